/* Which records count: who may write what, what may be said, and the root
 * chain. Nothing here changes what is held.
 *
 * Ref: PROTOCOL.md, "Trust". */
#include "protocol/trust_state.h"

#include "protocol/name.h"

#include <stdlib.h>

/* ---- verdicts ---- */

bool trust_refuse(struct trust_verdict *v, enum status status, const char *what)
{
    v->outcome = TRUST_REFUSED;
    v->status = diag_fail(&v->diag, status, "%s", what);
    return false;
}

bool trust_unknown(struct trust_verdict *v, const char *what)
{
    v->outcome = TRUST_UNKNOWN;
    v->status = diag_fail(&v->diag, STATUS_NOT_FOUND, "%s", what);
    return false;
}

bool trust_say_stale(struct trust_verdict *v, const char *what)
{
    v->outcome = TRUST_STALE;
    v->status = diag_fail(&v->diag, STATUS_STALE, "%s", what);
    return false;
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
        return trust_say_stale(
            v, "the record is of an earlier epoch of its author");
    if (rec->f.epoch > epoch)
        return trust_unknown(v, "the record is of a later epoch of its author");
    return true;
}

static bool check_role(const struct trust *t, const struct record *rec,
                       bool verify, struct trust_verdict *v)
{
    const struct body_role *role =
        trust_role(t, slot_author_bytes(&rec->f.author));
    if (!role)
        return trust_unknown(v, "the fleet record names no such role");
    if (!role_may_write(role->kind, rec->f.kind))
        return trust_refuse(v, STATUS_REFUSED,
                            "the role may not sign records of this kind");
    if (!check_epoch(rec, role->epoch, v))
        return false;
    if (verify && !role_signed(rec, role))
        return trust_refuse(v, STATUS_BAD_SIGNATURE,
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
        return trust_refuse(
            v, STATUS_REFUSED,
            "certificates of this fleet are signed by an enroller");
    if (!bytes_equal(rec->f.name, bytes_of_text(hex)))
        return trust_refuse(v, STATUS_REFUSED,
                            "a node may certify nobody but itself");
    if (body_list_has(t->fleet->body.revoked, id.b))
        return trust_refuse(v, STATUS_REFUSED, "the node is revoked");
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
        return trust_refuse(v, STATUS_REFUSED, "the node is revoked");
    case TRUST_NODE_UNKNOWN:
        return trust_unknown(v, "the node has no certificate");
    default:
        break;
    }
    if (rec->f.kind < RECORD_STATUS)
        return trust_refuse(v, STATUS_REFUSED,
                            "a node may not sign records of this kind");
    return check_epoch(rec, cert.epoch, v);
}

/* Whether the author may write this now, and did sign it. */
bool trust_check_author(const struct trust *t, const struct record *rec,
                        bool verify, struct trust_verdict *v)
{
    if (!rec->f.author.is_node)
        return check_role(t, rec, verify, v);
    bool may = rec->f.kind == RECORD_CERT ? check_self_cert(t, rec, v)
                                          : check_node(t, rec, v);
    if (may && verify && !node_signed(rec))
        return trust_refuse(v, STATUS_BAD_SIGNATURE,
                            "the node did not sign it");
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
        return trust_refuse(v, st, "");
    if (rec->f.name.size == NODE_ID_HEX_SIZE - 1)
        memcpy(text, rec->f.name.data, rec->f.name.size);
    if (!node_id_from_hex(text, &id))
        return trust_refuse(v, STATUS_REFUSED, "a certificate names no node");
    node_id_hex(&id, hex);
    if (strcmp(hex, text) != 0)
        return trust_refuse(v, STATUS_REFUSED, "a node id is lower-case hex");
    *common = cert.common;
    if (cert.common.understood && rec->f.author.is_node &&
        cert.epoch != rec->f.epoch)
        return trust_refuse(
            v, STATUS_REFUSED,
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
        return trust_refuse(v, st, "");
    if (!name_split_version(rec->f.name, &model, &n))
        return trust_refuse(v, STATUS_REFUSED, "illegal name of a version");
    if (!name_pattern_matches(trust_role(t, author)->pattern, model))
        return trust_refuse(v, STATUS_REFUSED,
                            "the role may not publish this model");
    if (n < trust_floor(t, author, model))
        return trust_refuse(v, STATUS_REFUSED,
                            "the version is below its publisher's floor");
    *common = body.common;
    if (!body.common.understood)
        return true;
    if (vector_model_get(&body.vector, author) != n)
        return trust_refuse(
            v, STATUS_REFUSED,
            "the version vector has another counter than the name");
    if (body.floor > n || n - body.floor >= LIMIT_FLOOR_WINDOW)
        return trust_refuse(v, STATUS_REFUSED,
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
        return trust_refuse(v, st, "");
    if (!name_is_channel(rec->f.name))
        return trust_refuse(v, STATUS_REFUSED, "illegal name of a channel");
    const struct body_role *role =
        trust_role(t, slot_author_bytes(&rec->f.author));
    for (size_t i = 0; body.common.understood && i < body.entry_count; i++)
        if (!name_pattern_matches(role->pattern, body.entries[i].model))
            return trust_refuse(v, STATUS_REFUSED,
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
        return trust_refuse(v, st, "");
    if (rec->f.name.size)
        return trust_refuse(v, STATUS_REFUSED, "a status has no name");
    *common = body.common;
    return true;
}

static bool check_contrib(const struct record *rec, struct body_common *common,
                          struct trust_verdict *v)
{
    struct body_contrib body;
    enum status st = body_contrib_decode(rec->f.body, &body, &v->diag);
    if (st)
        return trust_refuse(v, st, "");
    if (!name_is_model(rec->f.name))
        return trust_refuse(v, STATUS_REFUSED, "a contribution names no model");
    *common = body.common;
    return true;
}

/* The rules of the record's kind; common tells of heals and understanding. */
bool trust_check_body(const struct trust *t, const struct record *rec,
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
    return st ? trust_refuse(v, st, "") : true;
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

const struct slot_entry *trust_fleet_entry(const struct trust *t,
                                           uint64_t number)
{
    struct slot_id id = fleet_slot(number);
    return slot_table_find(t->table, &id);
}

/* A record of the chain with what it says. bytes is owned: the envelope. */
enum status trust_fleet_copy(struct bytes envelope, struct trust_fleet **out)
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
        trust_fleet_free(fleet);
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
bool trust_fleet_follows(const struct trust_fleet *prev,
                         const struct record *rec,
                         const struct body_fleet *body, bool verify,
                         struct trust_verdict *v)
{
    const struct body_role *root = root_of(body);
    if (body->has_prev != (prev != NULL))
        return trust_refuse(
            v, STATUS_REFUSED,
            "fleet record 1 and no other is without predecessor");
    if (prev && !hash_equal(&body->prev, &prev->hash))
        return trust_unknown(v, "the fleet record follows one not known here");
    if (rec->f.epoch != root->epoch ||
        (prev && root->epoch < root_of(&prev->body)->epoch))
        return trust_refuse(v, STATUS_REFUSED, "the epoch of root is wrong");
    if (verify && !role_signed(rec, root))
        return trust_refuse(v, STATUS_BAD_SIGNATURE,
                            "too few good signatures of its own root keys");
    if (verify && prev && !role_signed(rec, root_of(&prev->body)))
        return trust_refuse(
            v, STATUS_BAD_SIGNATURE,
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
    const struct slot_entry *e = trust_fleet_entry(t, number - 1);
    uint64_t newest = t->fleet ? t->fleet->number : 0;
    if (!e || number > newest + 2 || number < newest)
        return STATUS_NOT_FOUND;
    if (number <= newest + 1)
        return trust_slot_acts(e) ? trust_fleet_copy(e->envelope, out)
                                  : STATUS_NOT_FOUND;
    for (unsigned i = 0; e->has_proof && body->has_prev && i < 2; i++)
        if (hash_equal(&e->proof[i].hash, &body->prev))
            return trust_fleet_copy(e->proof[i].envelope, out);
    return STATUS_NOT_FOUND;
}

static bool check_fleet_number(const struct trust *t, const struct record *rec,
                               uint64_t *number, struct trust_verdict *v)
{
    struct slot_author root = slot_author_role(bytes_of_text(BODY_ROOT_NAME));
    if (!slot_author_equal(&rec->f.author, &root))
        return trust_refuse(v, STATUS_REFUSED,
                            "fleet records are signed by root");
    if (!name_to_number(rec->f.name, number) || *number > LIMIT_AUTHOR_SLOTS)
        return trust_refuse(v, STATUS_REFUSED,
                            "illegal number of a fleet record");
    if (rec->f.has_fleet == (*number == 1))
        return trust_refuse(v, STATUS_REFUSED,
                            "fleet record 1 and no other names no fleet");
    if (t->fleet && *number < t->fleet->number)
        return trust_refuse(v, STATUS_REFUSED,
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
        trust_refuse(v, st, "");
        return STATUS_OK;
    }
    if (number > 1) {
        st = find_previous(t, number, &body, &prev);
        if (st == STATUS_NO_MEMORY)
            return st;
        if (st) {
            trust_unknown(v, "the fleet record follows one not known here");
            return STATUS_OK;
        }
    }
    if (!common->understood && !prev) {
        trust_refuse(v, STATUS_UNSUPPORTED, "the fleet needs a newer version");
        return STATUS_OK;
    }
    /* Not understood: its signers may not be either, so that the signatures of
     * the previous root alone decide whether it is kept and relayed. */
    if (!common->understood && prev)
        *ok = role_signed(rec, root_of(&prev->body)) ||
              trust_refuse(v, STATUS_BAD_SIGNATURE,
                           "too few good signatures of the previous root keys");
    else
        *ok = trust_fleet_follows(prev, rec, &body, verify, v);
    trust_fleet_free(prev);
    return STATUS_OK;
}

/* ---- the rules together ---- */

bool trust_check_fleet_id(const struct trust *t, const struct record *rec,
                          struct trust_verdict *v)
{
    if (!rec->f.has_fleet) {
        if (rec->f.kind != RECORD_FLEET)
            return trust_refuse(v, STATUS_REFUSED, "the record names no fleet");
        if (t->has_fleet_id && !hash_equal(&t->fleet_id, &rec->hash))
            return trust_refuse(v, STATUS_MISMATCH,
                                "the record is the first of another fleet");
        return true;
    }
    if (!t->has_fleet_id)
        return trust_unknown(v, "no fleet is known yet");
    if (!hash_equal(&t->fleet_id, &rec->f.fleet))
        return trust_refuse(v, STATUS_MISMATCH,
                            "the record is of another fleet");
    return true;
}

/* Author, signatures and content. */
enum status trust_check_record(const struct trust *t, const struct record *rec,
                               bool verify, struct body_common *common,
                               struct trust_verdict *v, bool *ok)
{
    if (rec->f.kind == RECORD_FLEET)
        return check_fleet(t, rec, verify, common, v, ok);
    if (!t->fleet)
        *ok = trust_unknown(v, "no fleet record is known yet");
    else
        *ok = trust_check_author(t, rec, verify, v) &&
              trust_check_body(t, rec, common, v);
    return STATUS_OK;
}

void trust_fleet_free(struct trust_fleet *fleet)
{
    if (!fleet)
        return;
    free(fleet->bytes);
    free(fleet);
}
