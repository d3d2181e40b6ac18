/* Taking records, keeping what counts, and forgetting what a new fleet
 * record, certificate or floor takes away. Questions about what is kept are in
 * trust_query.c, the rules of what counts in trust_check.c. */
#include "protocol/trust_state.h"

#include "protocol/cbor.h"
#include "protocol/name.h"

#include <assert.h>
#include <stdlib.h>

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
    trust_fleet_free(t->fleet);
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
        return trust_refuse(v, STATUS_REFUSED,
                            "the author has as many slots as it may");
    return true;
}

/* ---- judging ---- */

/* The other half of a pair of older records must count, too. */
static enum status check_last_stale(const struct trust *t,
                                    struct trust_verdict *v, bool *ok)
{
    struct record rec;
    struct body_common common;
    *ok = false;
    if (record_parse(bytes_of(t->last_stale.bytes, t->last_stale.size), &rec,
                     NULL)) {
        trust_say_stale(v, "a newer record is held");
        return STATUS_OK;
    }
    return trust_check_record(t, &rec, true, &common, v, ok);
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
        return trust_say_stale(v, "a newer record is held");
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
    if (!trust_check_fleet_id(t, rec, v) ||
        !check_position(t, held, rec, envelope, &pos, v))
        return STATUS_OK;
    enum status st = trust_check_record(t, rec, verify, &common, v, &ok);
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
        trust_refuse(v, st, "the record is malformed");
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
           trust_check_author(t, &rec, verify, &v) &&
           trust_check_body(t, &rec, &common, &v);
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
    const struct slot_entry *next = trust_fleet_entry(t, number + 1);
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
    const struct slot_entry *e = trust_fleet_entry(t, number);
    struct trust_verdict v = {.outcome = TRUST_NEW};
    struct record rec;
    if (e && e->has_proof && e->understood) {
        enum status st = settle(t, e, number);
        if (st)
            return st;
        e = trust_fleet_entry(t, number);
    }
    if (!e || !trust_slot_acts(e))
        return STATUS_NOT_FOUND;
    enum status st = trust_fleet_copy(e->envelope, out);
    if (st)
        return st;
    if (record_parse(e->envelope, &rec, NULL) ||
        !trust_fleet_follows(prev, &rec, &(*out)->body, false, &v)) {
        trust_fleet_free(*out);
        *out = NULL;
        return STATUS_NOT_FOUND;
    }
    return STATUS_OK;
}

static bool fleet_still_held(const struct trust *t)
{
    const struct slot_entry *e =
        t->fleet ? trust_fleet_entry(t, t->fleet->number) : NULL;
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
            trust_fleet_free(last);
            return st;
        }
        if (st)
            break;
        trust_fleet_free(last);
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
        trust_fleet_free(next);
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
    trust_fleet_free(old);
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
