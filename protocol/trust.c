/* Judging records, keeping what counts, and forgetting what a new fleet
 * record, certificate or floor takes away. Questions about what is kept are in
 * trust_query.c. */
#include "protocol/trust_state.h"

#include "protocol/cbor.h"
#include "protocol/name.h"

#include <assert.h>
#include <stdlib.h>

/* ---- verdicts ---- */

static bool refuse(struct trust_verdict *v, enum status status,
                   const char *what)
{
    v->outcome = TRUST_REFUSED;
    v->status = diag_fail(&v->diag, status, "%s", what);
    return false;
}

static bool unknown(struct trust_verdict *v, const char *what)
{
    v->outcome = TRUST_UNKNOWN;
    v->status = diag_fail(&v->diag, STATUS_NOT_FOUND, "%s", what);
    return false;
}

static bool stale(struct trust_verdict *v, const char *what)
{
    v->outcome = TRUST_STALE;
    v->status = diag_fail(&v->diag, STATUS_STALE, "%s", what);
    return false;
}

const char *trust_outcome_text(enum trust_outcome outcome)
{
    static const char *const texts[] = {"new",       "newer", "equivocation",
                                        "duplicate", "stale", "unknown",
                                        "refused"};
    return outcome <= TRUST_REFUSED ? texts[outcome] : "?";
}

/* ---- life ---- */

enum status trust_new(const struct hash *fleet, struct trust **out)
{
    struct trust *t = calloc(1, sizeof(*t));
    if (!t)
        return STATUS_NO_MEMORY;
    if (slot_table_new(&t->table) || trie_new(&t->tries[0]) ||
        trie_new(&t->tries[1])) {
        trust_free(t);
        return STATUS_NO_MEMORY;
    }
    if (fleet) {
        t->has_fleet_id = true;
        t->fleet_id = *fleet;
    }
    *out = t;
    return STATUS_OK;
}

static void free_fleet(struct trust_fleet *fleet)
{
    if (!fleet)
        return;
    free(fleet->bytes);
    free(fleet);
}

static void free_loaded(struct trust *t)
{
    for (size_t i = 0; i < t->loaded_count; i++)
        free(t->loaded[i].bytes);
    free(t->loaded);
    t->loaded = NULL;
    t->loaded_count = t->loaded_cap = 0;
}

void trust_free(struct trust *t)
{
    if (!t)
        return;
    free_fleet(t->fleet);
    free_loaded(t);
    free(t->last_stale.bytes);
    slot_table_free(t->table);
    trie_free(t->tries[0]);
    trie_free(t->tries[1]);
    free(t);
}

void trust_changes_init(struct trust_changes *changes)
{
    *changes = (struct trust_changes){0};
}

void trust_changes_deinit(struct trust_changes *changes)
{
    free(changes->dropped);
    *changes = (struct trust_changes){0};
}

static enum status changes_reserve(struct trust_changes *changes, size_t more)
{
    size_t cap = changes->dropped_count + more;
    if (cap <= changes->dropped_cap)
        return STATUS_OK;
    void *grown = realloc(changes->dropped, cap * sizeof(*changes->dropped));
    if (!grown)
        return STATUS_NO_MEMORY;
    changes->dropped = grown;
    changes->dropped_cap = cap;
    return STATUS_OK;
}

/* Room was reserved by the caller; without it the slot is only not forgotten
 * durably, and is judged again after the next start. */
static void drop_slot(struct trust *t, const struct slot_entry *entry,
                      struct trust_changes *changes)
{
    struct slot_id id = entry->id;
    trie_remove(t->tries[trust_trie_of(entry->kind)], &id);
    slot_table_remove(t->table, &id);
    if (changes->dropped_count < changes->dropped_cap)
        changes->dropped[changes->dropped_count++] = id;
}

/* ---- signatures ---- */

/* How many distinct keys of the list signed. Signatures of other keys are not
 * looked at; wrong ones do not count and do no harm. */
static size_t count_signers(const struct cose_envelope *envelope,
                            struct bytes keys, size_t enough)
{
    size_t good = 0;
    for (size_t i = 0; i < envelope->signature_count && good < enough; i++)
        if (body_list_has(keys, envelope->signatures[i].key.b) &&
            !cose_verify_one(envelope, i))
            good++;
    return good;
}

static bool role_signed(const struct record *rec, const struct body_role *role)
{
    return count_signers(&rec->envelope, role->keys, (size_t)role->threshold) >=
           role->threshold;
}

static bool node_signed(const struct record *rec)
{
    return count_signers(&rec->envelope, slot_author_bytes(&rec->f.author),
                         1) == 1;
}

/* ---- who may write what ---- */

static bool role_may_write(uint64_t role_kind, uint64_t kind)
{
    switch (kind) {
    case RECORD_FLEET:
        return role_kind == BODY_ROLE_ROOT;
    case RECORD_CERT:
        return role_kind == BODY_ROLE_ENROLLER;
    case RECORD_VERSION:
        return role_kind == BODY_ROLE_PUBLISHER ||
               role_kind == BODY_ROLE_AGGREGATOR;
    case RECORD_CHANNEL:
        return role_kind == BODY_ROLE_OPERATOR;
    case RECORD_STATUS:
    case RECORD_CONTRIB:
        return false;
    default:
        return true;
    }
}

static bool check_epoch(const struct record *rec, uint64_t epoch,
                        struct trust_verdict *v)
{
    if (rec->f.epoch < epoch)
        return stale(v, "the record is of an earlier epoch of its author");
    if (rec->f.epoch > epoch)
        return unknown(v, "the record is of a later epoch of its author");
    return true;
}

static bool check_role(const struct trust *t, const struct record *rec,
                       bool verify, struct trust_verdict *v)
{
    const struct body_role *role =
        trust_role(t, slot_author_bytes(&rec->f.author));
    if (!role)
        return unknown(v, "the fleet record names no such role");
    if (!role_may_write(role->kind, rec->f.kind))
        return refuse(v, STATUS_REFUSED,
                      "the role may not sign records of this kind");
    if (!check_epoch(rec, role->epoch, v))
        return false;
    if (verify && !role_signed(rec, role))
        return refuse(v, STATUS_BAD_SIGNATURE,
                      "too few good signatures of the role's keys");
    return true;
}

/* A certificate that a node signed for itself counts where enrolment is by
 * the fleet secret. */
static bool check_self_cert(const struct trust *t, const struct record *rec,
                            struct trust_verdict *v)
{
    char hex[NODE_ID_HEX_SIZE];
    struct node_id id;
    memcpy(id.b, rec->f.author.b, NODE_ID_BYTES);
    node_id_hex(&id, hex);
    if (t->fleet->body.enroll != BODY_ENROLL_PSK)
        return refuse(v, STATUS_REFUSED,
                      "certificates of this fleet are signed by an enroller");
    if (!bytes_equal(rec->f.name, bytes_of_text(hex)))
        return refuse(v, STATUS_REFUSED,
                      "a node may certify nobody but itself");
    if (body_list_has(t->fleet->body.revoked, id.b))
        return refuse(v, STATUS_REFUSED, "the node is revoked");
    return true;
}

static bool check_node(const struct trust *t, const struct record *rec,
                       struct trust_verdict *v)
{
    struct node_id id;
    struct body_cert cert;
    memcpy(id.b, rec->f.author.b, NODE_ID_BYTES);
    switch (trust_node(t, &id, &cert)) {
    case TRUST_NODE_REVOKED:
        return refuse(v, STATUS_REFUSED, "the node is revoked");
    case TRUST_NODE_UNKNOWN:
        return unknown(v, "the node has no certificate");
    default:
        break;
    }
    if (rec->f.kind < RECORD_STATUS)
        return refuse(v, STATUS_REFUSED,
                      "a node may not sign records of this kind");
    return check_epoch(rec, cert.epoch, v);
}

/* Whether the author may write this now, and did sign it. */
static bool check_author(const struct trust *t, const struct record *rec,
                         bool verify, struct trust_verdict *v)
{
    if (!rec->f.author.is_node)
        return check_role(t, rec, verify, v);
    bool may = rec->f.kind == RECORD_CERT ? check_self_cert(t, rec, v)
                                          : check_node(t, rec, v);
    if (may && verify && !node_signed(rec))
        return refuse(v, STATUS_BAD_SIGNATURE, "the node did not sign it");
    return may;
}

/* ---- what may be said ---- */

static bool check_cert(const struct record *rec, struct body_common *common,
                       struct trust_verdict *v)
{
    struct body_cert cert;
    struct node_id id;
    char text[NODE_ID_HEX_SIZE] = {0}, hex[NODE_ID_HEX_SIZE];
    enum status st = body_cert_decode(rec->f.body, &cert, &v->diag);
    if (st)
        return refuse(v, st, "");
    if (rec->f.name.size == NODE_ID_HEX_SIZE - 1)
        memcpy(text, rec->f.name.data, rec->f.name.size);
    if (!node_id_from_hex(text, &id))
        return refuse(v, STATUS_REFUSED, "a certificate names no node");
    node_id_hex(&id, hex);
    if (strcmp(hex, text) != 0)
        return refuse(v, STATUS_REFUSED, "a node id is lower-case hex");
    *common = cert.common;
    if (cert.common.understood && rec->f.author.is_node &&
        cert.epoch != rec->f.epoch)
        return refuse(v, STATUS_REFUSED,
                      "a self-signed certificate has another epoch inside");
    return true;
}

static bool check_version(const struct trust *t, const struct record *rec,
                          struct body_common *common, struct trust_verdict *v)
{
    struct body_version body;
    struct bytes model, author = slot_author_bytes(&rec->f.author);
    uint64_t n;
    enum status st = body_version_decode(rec->f.body, &body, &v->diag);
    if (st)
        return refuse(v, st, "");
    if (!name_split_version(rec->f.name, &model, &n))
        return refuse(v, STATUS_REFUSED, "illegal name of a version");
    if (!name_pattern_matches(trust_role(t, author)->pattern, model))
        return refuse(v, STATUS_REFUSED, "the role may not publish this model");
    if (n < trust_floor(t, author, model))
        return refuse(v, STATUS_REFUSED,
                      "the version is below its publisher's floor");
    *common = body.common;
    if (!body.common.understood)
        return true;
    if (vector_model_get(&body.vector, author) != n)
        return refuse(v, STATUS_REFUSED,
                      "the version vector has another counter than the name");
    if (body.floor > n || n - body.floor >= LIMIT_FLOOR_WINDOW)
        return refuse(v, STATUS_REFUSED,
                      "the floor is too far from the "
                      "version's counter");
    return true;
}

static bool check_channel(const struct trust *t, const struct record *rec,
                          struct body_common *common, struct trust_verdict *v)
{
    struct body_channel body;
    enum status st = body_channel_decode(rec->f.body, &body, &v->diag);
    if (st)
        return refuse(v, st, "");
    if (!name_is_channel(rec->f.name))
        return refuse(v, STATUS_REFUSED, "illegal name of a channel");
    const struct body_role *role =
        trust_role(t, slot_author_bytes(&rec->f.author));
    for (size_t i = 0; body.common.understood && i < body.entry_count; i++)
        if (!name_pattern_matches(role->pattern, body.entries[i].model))
            return refuse(v, STATUS_REFUSED,
                          "the role may not operate this model");
    *common = body.common;
    return true;
}

static bool check_status(const struct record *rec, struct body_common *common,
                         struct trust_verdict *v)
{
    struct body_status body;
    enum status st = body_status_decode(rec->f.body, &body, &v->diag);
    if (st)
        return refuse(v, st, "");
    if (rec->f.name.size)
        return refuse(v, STATUS_REFUSED, "a status has no name");
    *common = body.common;
    return true;
}

static bool check_contrib(const struct record *rec, struct body_common *common,
                          struct trust_verdict *v)
{
    struct body_contrib body;
    enum status st = body_contrib_decode(rec->f.body, &body, &v->diag);
    if (st)
        return refuse(v, st, "");
    if (!name_is_model(rec->f.name))
        return refuse(v, STATUS_REFUSED, "a contribution names no model");
    *common = body.common;
    return true;
}

/* The rules of the record's kind; common tells of heals and understanding. */
static bool check_body(const struct trust *t, const struct record *rec,
                       struct body_common *common, struct trust_verdict *v)
{
    switch (rec->f.kind) {
    case RECORD_CERT:
        return check_cert(rec, common, v);
    case RECORD_VERSION:
        return check_version(t, rec, common, v);
    case RECORD_CHANNEL:
        return check_channel(t, rec, common, v);
    case RECORD_STATUS:
        return check_status(rec, common, v);
    case RECORD_CONTRIB:
        return check_contrib(rec, common, v);
    default:
        break;
    }
    enum status st = body_decode_common(rec->f.body, common, &v->diag);
    return st ? refuse(v, st, "") : true;
}

/* ---- the root chain ---- */

static struct slot_id fleet_slot(uint64_t number)
{
    char name[NAME_VERSION_SIZE];
    struct slot_author root = slot_author_role(bytes_of_text(BODY_ROOT_NAME));
    struct bytes text = name_join_version(bytes_of("", 0), number, name);
    /* "#n" without its mark. */
    return slot_id_of(&root, RECORD_FLEET,
                      bytes_of(text.data + 1, text.size - 1));
}

static const struct slot_entry *fleet_entry(const struct trust *t,
                                            uint64_t number)
{
    struct slot_id id = fleet_slot(number);
    return slot_table_find(t->table, &id);
}

/* A record of the chain with what it says. bytes is owned: the envelope. */
static enum status fleet_copy(struct bytes envelope, struct trust_fleet **out)
{
    struct trust_fleet *fleet = calloc(1, sizeof(*fleet));
    uint8_t *bytes = malloc(envelope.size);
    struct record rec;
    if (!fleet || !bytes) {
        free(fleet);
        free(bytes);
        return STATUS_NO_MEMORY;
    }
    memcpy(bytes, envelope.data, envelope.size);
    fleet->bytes = bytes;
    enum status st = record_parse(bytes_of(bytes, envelope.size), &rec, NULL);
    if (!st)
        st = body_fleet_decode(rec.f.body, &fleet->body, NULL);
    if (st || !name_to_number(rec.f.name, &fleet->number)) {
        free_fleet(fleet);
        return STATUS_CORRUPT;
    }
    fleet->hash = rec.hash;
    *out = fleet;
    return STATUS_OK;
}

static const struct body_role *root_of(const struct body_fleet *fleet)
{
    return body_fleet_role(fleet, bytes_of_text(BODY_ROOT_NAME));
}

/* Whether rec, number prev->number + 1 or 1, may follow prev (NULL: none). */
static bool fleet_follows(const struct trust_fleet *prev,
                          const struct record *rec,
                          const struct body_fleet *body, bool verify,
                          struct trust_verdict *v)
{
    const struct body_role *root = root_of(body);
    if (body->has_prev != (prev != NULL))
        return refuse(v, STATUS_REFUSED,
                      "fleet record 1 and no other is without predecessor");
    if (prev && !hash_equal(&body->prev, &prev->hash))
        return unknown(v, "the fleet record follows one not known here");
    if (rec->f.epoch != root->epoch ||
        (prev && root->epoch < root_of(&prev->body)->epoch))
        return refuse(v, STATUS_REFUSED, "the epoch of root is wrong");
    if (verify && !role_signed(rec, root))
        return refuse(v, STATUS_BAD_SIGNATURE,
                      "too few good signatures of its own root keys");
    if (verify && prev && !role_signed(rec, root_of(&prev->body)))
        return refuse(v, STATUS_BAD_SIGNATURE,
                      "too few good signatures of the previous root keys");
    return true;
}

/* The record that number follows: the one in force, an earlier one of the
 * chain when number replaces the newest, or one of two that equivocate when
 * body decides between them. *out owned. */
static enum status find_previous(const struct trust *t, uint64_t number,
                                 const struct body_fleet *body,
                                 struct trust_fleet **out)
{
    const struct slot_entry *e = fleet_entry(t, number - 1);
    uint64_t newest = t->fleet ? t->fleet->number : 0;
    if (!e || number > newest + 2 || number < newest)
        return STATUS_NOT_FOUND;
    if (number <= newest + 1)
        return trust_slot_acts(e) ? fleet_copy(e->envelope, out)
                                  : STATUS_NOT_FOUND;
    for (unsigned i = 0; e->has_proof && body->has_prev && i < 2; i++)
        if (hash_equal(&e->proof[i].hash, &body->prev))
            return fleet_copy(e->proof[i].envelope, out);
    return STATUS_NOT_FOUND;
}

static bool check_fleet_number(const struct trust *t, const struct record *rec,
                               uint64_t *number, struct trust_verdict *v)
{
    struct slot_author root = slot_author_role(bytes_of_text(BODY_ROOT_NAME));
    if (!slot_author_equal(&rec->f.author, &root))
        return refuse(v, STATUS_REFUSED, "fleet records are signed by root");
    if (!name_to_number(rec->f.name, number) || *number > LIMIT_AUTHOR_SLOTS)
        return refuse(v, STATUS_REFUSED, "illegal number of a fleet record");
    if (rec->f.has_fleet == (*number == 1))
        return refuse(v, STATUS_REFUSED,
                      "fleet record 1 and no other names no fleet");
    if (t->fleet && *number < t->fleet->number)
        return refuse(v, STATUS_REFUSED,
                      "a later fleet record has made this one final");
    return true;
}

/* All rules of a fleet record. NO_MEMORY is the only failure; *ok tells. */
static enum status check_fleet(const struct trust *t, const struct record *rec,
                               bool verify, struct body_common *common,
                               struct trust_verdict *v, bool *ok)
{
    struct body_fleet body;
    struct trust_fleet *prev = NULL;
    uint64_t number;
    *ok = false;
    if (!check_fleet_number(t, rec, &number, v))
        return STATUS_OK;
    enum status st = body_fleet_decode(rec->f.body, &body, &v->diag);
    *common = body.common;
    if (st) {
        refuse(v, st, "");
        return STATUS_OK;
    }
    if (number > 1) {
        st = find_previous(t, number, &body, &prev);
        if (st == STATUS_NO_MEMORY)
            return st;
        if (st) {
            unknown(v, "the fleet record follows one not known here");
            return STATUS_OK;
        }
    }
    if (!common->understood && !prev) {
        refuse(v, STATUS_UNSUPPORTED, "the fleet needs a newer version");
        return STATUS_OK;
    }
    /* Not understood: its signers may not be either, so that the signatures of
     * the previous root alone decide whether it is kept and relayed. */
    if (!common->understood && prev)
        *ok = role_signed(rec, root_of(&prev->body)) ||
              refuse(v, STATUS_BAD_SIGNATURE,
                     "too few good signatures of the previous root keys");
    else
        *ok = fleet_follows(prev, rec, &body, verify, v);
    free_fleet(prev);
    return STATUS_OK;
}

/* ---- newer, stale, equivocal ---- */

enum position {
    POS_NEW,
    POS_NEWER,
    POS_OLDER,
    POS_HELD,
    POS_FORK,
    POS_WIDEN
};

static int compare_seq(uint64_t epoch_a, uint64_t seq_a, uint64_t epoch_b,
                       uint64_t seq_b)
{
    if (epoch_a != epoch_b)
        return epoch_a < epoch_b ? -1 : 1;
    return seq_a < seq_b ? -1 : seq_a > seq_b;
}

static enum position position_in_proof(const struct slot_entry *held,
                                       const struct hash *hash)
{
    bool inside = hash_compare(hash, &held->proof[0].hash) >= 0 &&
                  hash_compare(hash, &held->proof[1].hash) <= 0;
    return inside ? POS_HELD : POS_WIDEN;
}

/* Where rec stands to what its slot holds. */
static enum position position_of(const struct slot_entry *held,
                                 const struct record *rec)
{
    const struct record_fields *f = &rec->f;
    if (!held)
        return POS_NEW;
    if (held->has_proof &&
        !compare_seq(f->epoch, f->seq, held->proof_epoch, held->proof_seq))
        return position_in_proof(held, &rec->hash);
    int order = compare_seq(f->epoch, f->seq, held->epoch, held->seq);
    if (order)
        return order > 0 ? POS_NEWER : POS_OLDER;
    return hash_equal(&held->hash, &rec->hash) ? POS_HELD : POS_FORK;
}

/* The body heals an equivocation of a and b: the hashes it names span both. Of
 * several payloads everybody keeps the least and the greatest, and whoever
 * names these means those between, too. */
static bool names_both(const struct body_common *common, const struct hash *a,
                       const struct hash *b)
{
    size_t count = body_list_count(common->heals);
    if (count < 2)
        return false;
    const struct hash *least = body_list_hash(common->heals, 0);
    const struct hash *greatest = body_list_hash(common->heals, count - 1);
    return hash_compare(a, least) >= 0 && hash_compare(b, least) >= 0 &&
           hash_compare(a, greatest) <= 0 && hash_compare(b, greatest) <= 0;
}

/* An older record may be one half of an equivocation that happened before the
 * newest: peers that hold the proof send both halves one after the other. True
 * when rec and the older one seen last are such. */
static bool completes_stale_pair(const struct trust *t,
                                 const struct slot_entry *held,
                                 const struct record *rec)
{
    const struct trust_stale *s = &t->last_stale;
    struct body_common common;
    if (!s->bytes || rec->f.epoch != held->epoch ||
        !slot_id_equal(&s->slot, &rec->slot) ||
        compare_seq(s->epoch, s->seq, rec->f.epoch, rec->f.seq) ||
        hash_equal(&s->hash, &rec->hash))
        return false;
    if (held->has_proof && compare_seq(held->proof_epoch, held->proof_seq,
                                       rec->f.epoch, rec->f.seq) > 0)
        return false;
    return !body_decode_common(held->body, &common, NULL) &&
           !names_both(&common, &s->hash, &rec->hash);
}

/* Remembers an older record, unjudged. No memory only means that a pair is not
 * noticed this time. */
static void remember_stale(struct trust *t, const struct record *rec,
                           struct bytes envelope)
{
    uint8_t *copy = malloc(envelope.size);
    if (!copy)
        return;
    memcpy(copy, envelope.data, envelope.size);
    free(t->last_stale.bytes);
    t->last_stale = (struct trust_stale){
        .bytes = copy,
        .size = envelope.size,
        .slot = rec->slot,
        .epoch = rec->f.epoch,
        .seq = rec->f.seq,
        .hash = rec->hash,
    };
}

/* ---- entries ---- */

static bool copy_bytes(struct bytes in, struct bytes *out)
{
    uint8_t *copy = malloc(in.size);
    if (!copy)
        return false;
    memcpy(copy, in.data, in.size);
    *out = bytes_of(copy, in.size);
    return true;
}

/* Makes rec the newest of entry. */
static enum status entry_set_newest(struct slot_entry *entry,
                                    struct bytes envelope)
{
    struct record rec;
    struct bytes copy;
    struct body_common common;
    if (!copy_bytes(envelope, &copy))
        return STATUS_NO_MEMORY;
    free((void *)(uintptr_t)entry->envelope.data);
    entry->envelope = copy;
    /* It was judged before; parsing again only finds the views in the copy. */
    enum status st = record_parse(copy, &rec, NULL);
    if (st)
        return st;
    st = body_decode_common(rec.f.body, &common, NULL);
    if (st)
        return st;
    entry->id = rec.slot;
    entry->author = rec.f.author;
    entry->kind = rec.f.kind;
    entry->epoch = rec.f.epoch;
    entry->seq = rec.f.seq;
    entry->hash = rec.hash;
    entry->name = rec.f.name;
    entry->body = rec.f.body;
    return STATUS_OK;
}

struct half {
    struct hash hash;
    struct bytes envelope;
};

/* Makes a and b, in any order, the proof of entry. */
static enum status entry_set_proof(struct slot_entry *entry, uint64_t epoch,
                                   uint64_t seq, const struct half *a,
                                   const struct half *b)
{
    const struct half *halves[2] = {a, b};
    if (hash_compare(&a->hash, &b->hash) > 0) {
        halves[0] = b;
        halves[1] = a;
    }
    for (unsigned i = 0; i < 2; i++) {
        entry->proof[i].hash = halves[i]->hash;
        if (!copy_bytes(halves[i]->envelope, &entry->proof[i].envelope))
            return STATUS_NO_MEMORY;
    }
    entry->has_proof = true;
    entry->proof_epoch = epoch;
    entry->proof_seq = seq;
    return STATUS_OK;
}

static struct half proof_half(const struct slot_entry *e, unsigned i)
{
    return (struct half){e->proof[i].hash, e->proof[i].envelope};
}

static enum status entry_keep_proof(struct slot_entry *entry,
                                    const struct slot_entry *held)
{
    struct half a = proof_half(held, 0), b = proof_half(held, 1);
    return entry_set_proof(entry, held->proof_epoch, held->proof_seq, &a, &b);
}

/* rec replaces what is held, and the proof too unless it leaves that open. */
static enum status build_newer(const struct slot_entry *held,
                               const struct record *rec, struct bytes envelope,
                               const struct body_common *common,
                               struct slot_entry *entry, bool *heals)
{
    enum status st = entry_set_newest(entry, envelope);
    if (st || !held || !held->has_proof)
        return st;
    *heals = held->proof_epoch != rec->f.epoch ||
             names_both(common, &held->proof[0].hash, &held->proof[1].hash);
    return *heals ? STATUS_OK : entry_keep_proof(entry, held);
}

/* rec and other equivocate; where they are the newest, the least stands. */
static enum status build_proof(const struct slot_entry *held,
                               const struct record *rec,
                               const struct half *rec_half,
                               const struct half *other,
                               struct slot_entry *entry)
{
    enum status st =
        entry_set_proof(entry, rec->f.epoch, rec->f.seq, rec_half, other);
    if (st)
        return st;
    bool newest =
        !compare_seq(rec->f.epoch, rec->f.seq, held->epoch, held->seq);
    return entry_set_newest(entry,
                            newest ? entry->proof[0].envelope : held->envelope);
}

/* The entry that the slot would have with rec in it. */
static enum status build_entry(const struct trust *t, enum position pos,
                               const struct slot_entry *held,
                               const struct record *rec, struct bytes envelope,
                               const struct body_common *common,
                               struct slot_entry *entry, bool *heals)
{
    struct half own = {rec->hash, envelope}, other;
    switch (pos) {
    case POS_FORK:
        other = (struct half){held->hash, held->envelope};
        return build_proof(held, rec, &own, &other, entry);
    case POS_WIDEN:
        other = proof_half(
            held, hash_compare(&rec->hash, &held->proof[0].hash) < 0 ? 1 : 0);
        return build_proof(held, rec, &own, &other, entry);
    case POS_OLDER:
        other = (struct half){t->last_stale.hash, bytes_of(t->last_stale.bytes,
                                                           t->last_stale.size)};
        return build_proof(held, rec, &own, &other, entry);
    default:
        return build_newer(held, rec, envelope, common, entry, heals);
    }
}

/* ---- bounds ---- */

static const struct slot_entry *last_self_cert(const struct trust *t,
                                               size_t *count)
{
    const struct slot_entry *last = NULL;
    *count = 0;
    for (size_t i = 0; i < slot_table_count(t->table); i++) {
        const struct slot_entry *e = slot_table_at(t->table, i);
        if (e->kind != RECORD_CERT || !e->author.is_node)
            continue;
        last = e;
        ++*count;
    }
    return last;
}

/* The slots of a node but that of its certificate, which is bounded above. */
static const struct slot_entry *last_of_node(const struct trust *t,
                                             const struct slot_author *author,
                                             size_t *count)
{
    const struct slot_entry *last = NULL;
    *count = 0;
    for (size_t i = 0; i < slot_table_count(t->table); i++) {
        const struct slot_entry *e = slot_table_at(t->table, i);
        if (e->kind == RECORD_CERT || !slot_author_equal(&e->author, author))
            continue;
        last = e;
        ++*count;
    }
    return last;
}

/* What a new slot of author would push out: NULL when there is room. */
static const struct slot_entry *
overfull(const struct trust *t, const struct slot_author *author, uint64_t kind)
{
    size_t limit = author->is_node ? LIMIT_NODE_SLOTS : LIMIT_AUTHOR_SLOTS;
    const struct slot_entry *last;
    size_t count;
    if (kind == RECORD_FLEET)
        return NULL; /* the chain is kept; its numbers are bounded */
    if (kind == RECORD_CERT && author->is_node) {
        last = last_self_cert(t, &count);
        return count >= LIMIT_PSK_NODES ? last : NULL;
    }
    count = slot_table_author_count(t->table, author);
    if (count < limit)
        return NULL;
    if (!author->is_node)
        return slot_table_author_last(t->table, author);
    last = last_of_node(t, author, &count);
    return count >= limit ? last : NULL;
}

static bool check_bounds(const struct trust *t, const struct record *rec,
                         struct trust_verdict *v)
{
    const struct slot_entry *last = overfull(t, &rec->f.author, rec->f.kind);
    if (last && slot_id_compare(&rec->slot, &last->id) > 0)
        return refuse(v, STATUS_REFUSED,
                      "the author has as many slots as it may");
    return true;
}

/* ---- judging ---- */

static bool check_fleet_id(const struct trust *t, const struct record *rec,
                           struct trust_verdict *v)
{
    if (!rec->f.has_fleet) {
        if (rec->f.kind != RECORD_FLEET)
            return refuse(v, STATUS_REFUSED, "the record names no fleet");
        if (t->has_fleet_id && !hash_equal(&t->fleet_id, &rec->hash))
            return refuse(v, STATUS_MISMATCH,
                          "the record is the first of another fleet");
        return true;
    }
    if (!t->has_fleet_id)
        return unknown(v, "no fleet is known yet");
    if (!hash_equal(&t->fleet_id, &rec->f.fleet))
        return refuse(v, STATUS_MISMATCH, "the record is of another fleet");
    return true;
}

/* Author, signatures and content. */
static enum status check_record(const struct trust *t, const struct record *rec,
                                bool verify, struct body_common *common,
                                struct trust_verdict *v, bool *ok)
{
    if (rec->f.kind == RECORD_FLEET)
        return check_fleet(t, rec, verify, common, v, ok);
    if (!t->fleet)
        *ok = unknown(v, "no fleet record is known yet");
    else
        *ok = check_author(t, rec, verify, v) && check_body(t, rec, common, v);
    return STATUS_OK;
}

/* The other half of a pair of older records must count, too. */
static enum status check_last_stale(const struct trust *t,
                                    struct trust_verdict *v, bool *ok)
{
    struct record rec;
    struct body_common common;
    *ok = false;
    if (record_parse(bytes_of(t->last_stale.bytes, t->last_stale.size), &rec,
                     NULL)) {
        stale(v, "a newer record is held");
        return STATUS_OK;
    }
    return check_record(t, &rec, true, &common, v, ok);
}

static void set_held(struct trust_verdict *v)
{
    v->outcome = TRUST_DUPLICATE;
    v->status = STATUS_OK;
}

/* The outcome by position, for a record that passed all checks. */
static void set_accepted(struct trust_verdict *v, enum position pos)
{
    v->status = STATUS_OK;
    v->outcome = pos == POS_NEW     ? TRUST_NEW
                 : pos == POS_NEWER ? TRUST_NEWER
                                    : TRUST_EQUIVOCATION;
}

/* What is decided before any signature is looked at. */
static bool check_position(struct trust *t, const struct slot_entry *held,
                           const struct record *rec, struct bytes envelope,
                           enum position *pos, struct trust_verdict *v)
{
    *pos = position_of(held, rec);
    if (*pos == POS_HELD) {
        set_held(v);
        return false;
    }
    if (*pos == POS_OLDER && !completes_stale_pair(t, held, rec)) {
        if (rec->f.epoch == held->epoch)
            remember_stale(t, rec, envelope);
        return stale(v, "a newer record is held");
    }
    return true;
}

/* Judges rec and, if it is accepted, makes the entry its slot would have. */
static enum status judge_parsed(struct trust *t, const struct record *rec,
                                struct bytes envelope, bool verify,
                                struct trust_verdict *v,
                                struct slot_entry **out)
{
    struct body_common common = {.understood = true};
    const struct slot_entry *held = slot_table_find(t->table, &rec->slot);
    enum position pos;
    bool ok = false;
    if (!check_fleet_id(t, rec, v) ||
        !check_position(t, held, rec, envelope, &pos, v))
        return STATUS_OK;
    enum status st = check_record(t, rec, verify, &common, v, &ok);
    if (st || !ok)
        return st;
    if (pos == POS_NEW && !check_bounds(t, rec, v))
        return STATUS_OK;
    if (pos == POS_OLDER) {
        st = check_last_stale(t, v, &ok);
        if (st || !ok)
            return st;
    }
    struct slot_entry *entry = slot_entry_new();
    if (!entry)
        return STATUS_NO_MEMORY;
    v->heals = false;
    st = build_entry(t, pos, held, rec, envelope, &common, entry, &v->heals);
    if (st) {
        slot_entry_free(entry);
        return st;
    }
    entry->understood = trust_body_understood(entry->kind, entry->body);
    set_accepted(v, pos);
    *out = entry;
    return STATUS_OK;
}

static enum status judge(struct trust *t, struct bytes envelope, bool verify,
                         struct trust_verdict *v, struct slot_entry **entry)
{
    struct record rec;
    diag_reset(&v->diag);
    enum status st = record_parse(envelope, &rec, &v->diag);
    if (st) {
        refuse(v, st, "the record is malformed");
        return STATUS_OK;
    }
    v->slot = rec.slot;
    v->author = rec.f.author;
    v->kind = rec.f.kind;
    v->epoch = rec.f.epoch;
    v->seq = rec.f.seq;
    v->hash = rec.hash;
    return judge_parsed(t, &rec, envelope, verify, v, entry);
}

/* ---- considering ---- */

struct trust_pending {
    struct slot_entry *entry; /* what the slot would hold */
    struct bytes envelope;    /* what was considered; owned */
    uint64_t generation, fleet_generation;
};

static void pending_free(struct trust_pending *p)
{
    if (!p)
        return;
    slot_entry_free(p->entry);
    free((void *)(uintptr_t)p->envelope.data);
    free(p);
}

void trust_verdict_deinit(struct trust_verdict *v)
{
    pending_free(v->pending);
    free((void *)(uintptr_t)v->value.data);
    v->pending = NULL;
    v->value = (struct bytes){NULL, 0};
}

/* All envelopes of entry one after the other. */
static enum status entry_value(const struct slot_entry *entry,
                               struct bytes *out)
{
    struct bytes parts[3];
    unsigned count = slot_entry_envelopes(entry, parts);
    size_t size = 0, at = 0;
    for (unsigned i = 0; i < count; i++)
        size += parts[i].size;
    uint8_t *value = malloc(size);
    if (!value)
        return STATUS_NO_MEMORY;
    for (unsigned i = 0; i < count; i++) {
        memcpy(value + at, parts[i].data, parts[i].size);
        at += parts[i].size;
    }
    *out = bytes_of(value, size);
    return STATUS_OK;
}

/* entry becomes the verdict's, also on failure. */
static enum status verdict_set_entry(struct trust *t, struct bytes envelope,
                                     struct slot_entry *entry,
                                     struct trust_verdict *v)
{
    struct trust_pending *p = calloc(1, sizeof(*p));
    if (!p) {
        slot_entry_free(entry);
        return STATUS_NO_MEMORY;
    }
    v->pending = p;
    p->entry = entry;
    p->generation = t->generation;
    p->fleet_generation = t->fleet_generation;
    if (!copy_bytes(envelope, &p->envelope))
        return STATUS_NO_MEMORY;
    return entry_value(entry, &v->value);
}

enum status trust_consider(struct trust *t, struct bytes envelope,
                           struct trust_verdict *out)
{
    struct slot_entry *entry = NULL;
    *out = (struct trust_verdict){.outcome = TRUST_REFUSED};
    enum status st = judge(t, envelope, true, out, &entry);
    if (!st && entry)
        st = verdict_set_entry(t, envelope, entry, out);
    if (st)
        trust_verdict_deinit(out);
    return st;
}

/* ---- consequences ---- */

static bool same_signers(const struct trust_fleet *a,
                         const struct trust_fleet *b, struct bytes role)
{
    const struct body_role *x = a ? body_fleet_role(&a->body, role) : NULL;
    const struct body_role *y = b ? body_fleet_role(&b->body, role) : NULL;
    return x && y && x->threshold == y->threshold &&
           bytes_equal(x->keys, y->keys);
}

/* Whether what is held still counts under the fleet record in force. */
static bool still_counts(const struct trust *t, const struct slot_entry *e,
                         const struct trust_fleet *old)
{
    struct record rec;
    struct body_common common;
    struct trust_verdict v = {.outcome = TRUST_NEW};
    bool verify = !e->author.is_node &&
                  !same_signers(old, t->fleet, slot_author_bytes(&e->author));
    return t->fleet && !record_parse(e->envelope, &rec, NULL) &&
           check_author(t, &rec, verify, &v) &&
           check_body(t, &rec, &common, &v);
}

static void rejudge(struct trust *t, const struct trust_fleet *old, bool certs,
                    struct trust_changes *changes)
{
    for (size_t i = 0; i < slot_table_count(t->table);) {
        const struct slot_entry *e = slot_table_at(t->table, i);
        bool judged =
            e->kind != RECORD_FLEET && (e->kind == RECORD_CERT) == certs;
        if (judged && !still_counts(t, e, old))
            drop_slot(t, e, changes);
        else
            i++;
    }
}

/* Records of a node go when its certificate does, or changes its epoch. */
static void rejudge_node(struct trust *t, const struct slot_entry *cert,
                         struct trust_changes *changes)
{
    char hex[NODE_ID_HEX_SIZE] = {0};
    struct node_id id;
    memcpy(hex, cert->name.data, NODE_ID_HEX_SIZE - 1);
    if (!node_id_from_hex(hex, &id))
        return;
    struct slot_author author = slot_author_node(&id);
    for (size_t i = 0; i < slot_table_count(t->table);) {
        const struct slot_entry *e = slot_table_at(t->table, i);
        bool judged =
            e->kind != RECORD_CERT && slot_author_equal(&e->author, &author);
        if (judged && !still_counts(t, e, t->fleet))
            drop_slot(t, e, changes);
        else
            i++;
    }
}

/* A floor that rose buries the versions below it. */
static void bury(struct trust *t, const struct slot_entry *version,
                 struct trust_changes *changes)
{
    struct slot_author author = version->author;
    struct bytes model, other;
    uint64_t n;
    if (!name_split_version(version->name, &model, &n))
        return;
    uint64_t floor = trust_floor(t, slot_author_bytes(&author), model);
    for (size_t i = 0; i < slot_table_count(t->table);) {
        const struct slot_entry *e = slot_table_at(t->table, i);
        bool below = e->kind == RECORD_VERSION &&
                     slot_author_equal(&e->author, &author) &&
                     name_split_version(e->name, &other, &n) &&
                     bytes_equal(other, model) && n < floor;
        /* version itself is never below its own floor: model stays valid. */
        if (below)
            drop_slot(t, e, changes);
        else
            i++;
    }
}

static enum status put_entry(struct trust *t, struct slot_entry *entry)
{
    struct vector_entry v = vector_entry_of(entry);
    struct trie *trie = t->tries[trust_trie_of(entry->kind)];
    const struct slot_entry *held = slot_table_find(t->table, &entry->id);
    enum status st = trie_put(trie, &v);
    if (st)
        return st;
    st = slot_table_put_take(t->table, entry);
    if (st && !held)
        trie_remove(trie, &v.slot);
    return st;
}

/* Where the record after next decides between two that equivocate, the slot
 * holds the one it names and nothing else. */
static enum status settle(struct trust *t, const struct slot_entry *e,
                          uint64_t number)
{
    const struct slot_entry *next = fleet_entry(t, number + 1);
    struct body_fleet body;
    if (!next || !trust_slot_acts(next) ||
        body_fleet_decode(next->body, &body, NULL) || !body.has_prev)
        return STATUS_NOT_FOUND;
    for (unsigned i = 0; i < 2; i++) {
        if (!hash_equal(&e->proof[i].hash, &body.prev))
            continue;
        struct slot_entry *settled = slot_entry_new();
        if (!settled)
            return STATUS_NO_MEMORY;
        enum status st = entry_set_newest(settled, e->proof[i].envelope);
        settled->understood =
            !st && trust_body_understood(settled->kind, settled->body);
        if (!st)
            st = put_entry(t, settled);
        if (st)
            slot_entry_free(settled);
        return st;
    }
    return STATUS_NOT_FOUND;
}

/* The record of this number, if it follows prev and is acted on. Signatures
 * were verified when it was accepted, and prev is fixed by its hash. */
static enum status chain_step(struct trust *t, const struct trust_fleet *prev,
                              uint64_t number, struct trust_fleet **out)
{
    const struct slot_entry *e = fleet_entry(t, number);
    struct trust_verdict v = {.outcome = TRUST_NEW};
    struct record rec;
    if (e && e->has_proof && e->understood) {
        enum status st = settle(t, e, number);
        if (st)
            return st;
        e = fleet_entry(t, number);
    }
    if (!e || !trust_slot_acts(e))
        return STATUS_NOT_FOUND;
    enum status st = fleet_copy(e->envelope, out);
    if (st)
        return st;
    if (record_parse(e->envelope, &rec, NULL) ||
        !fleet_follows(prev, &rec, &(*out)->body, false, &v)) {
        free_fleet(*out);
        *out = NULL;
        return STATUS_NOT_FOUND;
    }
    return STATUS_OK;
}

static bool fleet_still_held(const struct trust *t)
{
    const struct slot_entry *e =
        t->fleet ? fleet_entry(t, t->fleet->number) : NULL;
    return e && trust_slot_acts(e) && hash_equal(&e->hash, &t->fleet->hash);
}

/* Walks the chain to the newest record that follows. *out is NULL when that is
 * the one in force already. */
static enum status chain_walk(struct trust *t, struct trust_fleet **out)
{
    bool held = fleet_still_held(t);
    struct trust_fleet *last = NULL;
    for (uint64_t number = held ? t->fleet->number + 1 : 1;; number++) {
        struct trust_fleet *next = NULL;
        const struct trust_fleet *prev = last ? last : held ? t->fleet : NULL;
        enum status st = chain_step(t, prev, number, &next);
        if (st == STATUS_NO_MEMORY) {
            free_fleet(last);
            return st;
        }
        if (st)
            break;
        free_fleet(last);
        last = next;
    }
    *out = last;
    return STATUS_OK;
}

static enum status fleet_refresh(struct trust *t, struct trust_changes *changes)
{
    struct trust_fleet *next = NULL;
    struct trust_fleet *old = t->fleet;
    enum status st = chain_walk(t, &next);
    if (st || !next)
        return st;
    if (old && hash_equal(&old->hash, &next->hash)) {
        free_fleet(next);
        return STATUS_OK;
    }
    t->fleet = next;
    t->has_fleet_id = true;
    if (next->number == 1)
        t->fleet_id = next->hash;
    t->fleet_generation++;
    changes->fleet = changes->certs = true;
    rejudge(t, old, true, changes);
    rejudge(t, old, false, changes);
    free_fleet(old);
    return STATUS_OK;
}

/* ---- committing ---- */

/* How many slots a commit of this kind may drop. */
static size_t drops_max(const struct trust *t, uint64_t kind)
{
    bool many = kind == RECORD_FLEET || kind == RECORD_VERSION;
    size_t count = slot_table_count(t->table);
    size_t few = 2 * (size_t)LIMIT_NODE_SLOTS + 4;
    return many || count < few ? count + 1 : few;
}

/* What follows from the entry now in the table. */
static enum status apply(struct trust *t, const struct slot_id *slot,
                         struct trust_changes *changes)
{
    const struct slot_entry *e = slot_table_find(t->table, slot);
    switch (e->kind) {
    case RECORD_FLEET:
        return fleet_refresh(t, changes);
    case RECORD_CERT:
        changes->certs = true;
        rejudge_node(t, e, changes);
        return STATUS_OK;
    case RECORD_VERSION:
        bury(t, e, changes);
        return STATUS_OK;
    default:
        return STATUS_OK;
    }
}

/* Makes room for a new slot, with what follows from the one that goes. */
static void evict(struct trust *t, const struct slot_entry *entry,
                  struct trust_changes *changes)
{
    const struct slot_entry *last = overfull(t, &entry->author, entry->kind);
    struct slot_author author;
    if (!last || slot_table_find(t->table, &entry->id))
        return;
    bool cert = last->kind == RECORD_CERT && last->author.is_node;
    author = last->author;
    drop_slot(t, last, changes);
    for (size_t i = 0; cert && i < slot_table_count(t->table);) {
        const struct slot_entry *e = slot_table_at(t->table, i);
        if (slot_author_equal(&e->author, &author) &&
            !still_counts(t, e, t->fleet))
            drop_slot(t, e, changes);
        else
            i++;
    }
}

/* Something was committed since the verdict: judges again, and tells whether
 * what was made durable is still what the slot will hold. */
static enum status judge_again(struct trust *t, struct trust_verdict *v)
{
    struct trust_pending *old = v->pending;
    struct bytes old_value = v->value;
    struct slot_entry *entry = NULL;
    bool verify = old->fleet_generation != t->fleet_generation;
    v->pending = NULL;
    v->value = (struct bytes){NULL, 0};
    enum status st = judge(t, old->envelope, verify, v, &entry);
    if (!st && entry)
        st = verdict_set_entry(t, old->envelope, entry, v);
    if (!st && entry && !bytes_equal(old_value, v->value))
        st = STATUS_BUSY;
    pending_free(old);
    free((void *)(uintptr_t)old_value.data);
    return st;
}

enum status trust_commit(struct trust *t, struct trust_verdict *v,
                         struct trust_changes *changes)
{
    enum status st = STATUS_OK;
    assert(v->pending);
    if (v->pending->generation != t->generation)
        st = judge_again(t, v);
    if (st || !v->pending)
        return st;
    st = changes_reserve(changes, drops_max(t, v->kind));
    if (st)
        return st;
    evict(t, v->pending->entry, changes);
    st = put_entry(t, v->pending->entry);
    if (st)
        return st;
    v->pending->entry = NULL;
    t->generation++;
    return apply(t, &v->slot, changes);
}

/* ---- loading ---- */

static unsigned load_rank(const struct record *rec)
{
    if (rec->f.kind == RECORD_FLEET)
        return 0;
    return rec->f.kind == RECORD_CERT ? 1 : 2;
}

static enum status load_one(struct trust *t, struct bytes envelope)
{
    struct record rec;
    struct bytes copy;
    if (record_parse(envelope, &rec, NULL))
        return STATUS_CORRUPT;
    if (t->loaded_count == t->loaded_cap) {
        size_t cap = t->loaded_cap ? 2 * t->loaded_cap : 64;
        void *grown = realloc(t->loaded, cap * sizeof(*t->loaded));
        if (!grown)
            return STATUS_NO_MEMORY;
        t->loaded = grown;
        t->loaded_cap = cap;
    }
    if (!copy_bytes(envelope, &copy))
        return STATUS_NO_MEMORY;
    struct trust_loaded *l = &t->loaded[t->loaded_count++];
    *l = (struct trust_loaded){.bytes = (uint8_t *)(uintptr_t)copy.data,
                               .size = copy.size,
                               .rank = load_rank(&rec),
                               .epoch = rec.f.epoch,
                               .seq = rec.f.seq};
    if (!l->rank && !name_to_number(rec.f.name, &l->number))
        l->number = 0;
    return STATUS_OK;
}

enum status trust_load(struct trust *t, struct bytes value)
{
    struct reader rd;
    reader_init(&rd, value);
    size_t before = t->loaded_count;
    enum status st = STATUS_OK;
    do {
        struct bytes envelope = cbor_read_raw(&rd);
        st = reader_status(&rd) ? STATUS_CORRUPT : load_one(t, envelope);
    } while (!st && reader_left(&rd));
    while (st && t->loaded_count > before)
        free(t->loaded[--t->loaded_count].bytes);
    return st;
}

/* Fleet records by number, then certificates, then the rest; older first. */
static int compare_loaded(const void *a, const void *b)
{
    const struct trust_loaded *x = a, *y = b;
    if (x->rank != y->rank)
        return x->rank < y->rank ? -1 : 1;
    if (x->number != y->number)
        return x->number < y->number ? -1 : 1;
    return compare_seq(x->epoch, x->seq, y->epoch, y->seq);
}

static enum status load_judge(struct trust *t, const struct trust_loaded *l,
                              struct trust_changes *changes)
{
    struct trust_verdict v;
    enum status st = trust_consider(t, bytes_of(l->bytes, l->size), &v);
    if (st)
        return st;
    if (trust_accepted(&v))
        st = trust_commit(t, &v, changes);
    trust_verdict_deinit(&v);
    return st;
}

/* Slots that were loaded and are not held, each once. */
static enum status load_drops(struct trust *t, struct trust_changes *changes)
{
    enum status st = changes_reserve(changes, t->loaded_count);
    changes->dropped_count = 0;
    for (size_t i = 0; !st && i < t->loaded_count; i++) {
        struct record rec;
        bool seen =
            record_parse(bytes_of(t->loaded[i].bytes, t->loaded[i].size), &rec,
                         NULL) ||
            slot_table_find(t->table, &rec.slot);
        for (size_t k = 0; !seen && k < changes->dropped_count; k++)
            seen = slot_id_equal(&changes->dropped[k], &rec.slot);
        if (!seen)
            changes->dropped[changes->dropped_count++] = rec.slot;
    }
    return st;
}

enum status trust_load_end(struct trust *t, struct trust_changes *changes)
{
    struct trust_changes scratch;
    trust_changes_init(&scratch);
    enum status st = STATUS_OK;
    if (t->loaded_count)
        qsort(t->loaded, t->loaded_count, sizeof(*t->loaded), compare_loaded);
    for (size_t i = 0; !st && i < t->loaded_count; i++)
        st = load_judge(t, &t->loaded[i], &scratch);
    if (!st)
        st = load_drops(t, &scratch);
    if (!st)
        st = changes_reserve(changes, scratch.dropped_count);
    for (size_t i = 0; !st && i < scratch.dropped_count; i++)
        changes->dropped[changes->dropped_count++] = scratch.dropped[i];
    changes->fleet |= scratch.fleet;
    changes->certs |= scratch.certs;
    trust_changes_deinit(&scratch);
    free_loaded(t);
    return st;
}
