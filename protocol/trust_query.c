/* Questions about the records that are held: read only, decoded as asked. */
#include "protocol/trust_state.h"

#include "protocol/name.h"

#include <stdio.h>

/* ---- slots ---- */

struct trie *trust_trie(struct trust *t, enum trust_trie which)
{
    return t->tries[which];
}

const struct slot_entry *trust_slot(const struct trust *t,
                                    const struct slot_id *slot)
{
    return slot_table_find(t->table, slot);
}

size_t trust_slot_count(const struct trust *t)
{
    return slot_table_count(t->table);
}

const struct slot_entry *trust_slot_at(const struct trust *t, size_t index)
{
    return slot_table_at(t->table, index);
}

bool trust_slot_acts(const struct slot_entry *entry)
{
    return entry->understood && !entry->has_proof;
}

bool trust_body_understood(uint64_t kind, struct bytes body)
{
    union {
        struct body_fleet fleet;
        struct body_cert cert;
        struct body_version version;
        struct body_channel channel;
        struct body_status status;
        struct body_contrib contrib;
        struct body_common common;
    } b;
    switch (kind) {
    case RECORD_FLEET:
        return !body_fleet_decode(body, &b.fleet, NULL) &&
               b.fleet.common.understood;
    case RECORD_CERT:
        return !body_cert_decode(body, &b.cert, NULL) &&
               b.cert.common.understood;
    case RECORD_VERSION:
        return !body_version_decode(body, &b.version, NULL) &&
               b.version.common.understood;
    case RECORD_CHANNEL:
        return !body_channel_decode(body, &b.channel, NULL) &&
               b.channel.common.understood;
    case RECORD_STATUS:
        return !body_status_decode(body, &b.status, NULL) &&
               b.status.common.understood;
    case RECORD_CONTRIB:
        return !body_contrib_decode(body, &b.contrib, NULL) &&
               b.contrib.common.understood;
    default:
        return !body_decode_common(body, &b.common, NULL) &&
               b.common.understood;
    }
}

/* The next entry of a kind that is acted on; NULL at the end. */
static const struct slot_entry *next_of_kind(const struct trust *t,
                                             size_t *cursor, uint64_t kind)
{
    while (*cursor < slot_table_count(t->table)) {
        const struct slot_entry *e = slot_table_at(t->table, (*cursor)++);
        if (e->kind == kind && trust_slot_acts(e))
            return e;
    }
    return NULL;
}

static const struct slot_entry *find(const struct trust *t,
                                     const struct slot_author *author,
                                     uint64_t kind, struct bytes name)
{
    struct slot_id id = slot_id_of(author, kind, name);
    return slot_table_find(t->table, &id);
}

/* ---- the fleet ---- */

const struct hash *trust_fleet_id(const struct trust *t)
{
    return t->has_fleet_id ? &t->fleet_id : NULL;
}

const struct body_fleet *trust_fleet(const struct trust *t, uint64_t *number)
{
    if (!t->fleet)
        return NULL;
    if (number)
        *number = t->fleet->number;
    return &t->fleet->body;
}

const struct hash *trust_fleet_hash(const struct trust *t)
{
    return t->fleet ? &t->fleet->hash : NULL;
}

const struct body_role *trust_role(const struct trust *t, struct bytes name)
{
    return t->fleet ? body_fleet_role(&t->fleet->body, name) : NULL;
}

bool trust_role_has_key(const struct body_role *role, const struct node_id *key)
{
    return body_list_has(role->keys, key->b);
}

/* ---- nodes ---- */

/* The certificates of one node, gathered. */
struct standing {
    bool any, revoked, doubtful;
    const struct slot_entry *best;
    struct body_cert cert; /* of best */
};

static void gather(struct standing *s, const struct slot_entry *e)
{
    struct body_cert cert;
    if (!e)
        return;
    if (!trust_slot_acts(e) || body_cert_decode(e->body, &cert, NULL)) {
        s->doubtful = true;
        return;
    }
    s->revoked |= cert.revoked;
    if (s->any && cert.epoch <= s->cert.epoch)
        return;
    s->any = true;
    s->best = e;
    s->cert = cert;
}

static void standing_of(const struct trust *t, const struct node_id *node,
                        struct standing *s)
{
    char hex[NODE_ID_HEX_SIZE];
    struct slot_author author;
    node_id_hex(node, hex);
    *s = (struct standing){0};
    if (!t->fleet)
        return;
    for (size_t i = 0; i < t->fleet->body.role_count; i++) {
        const struct body_role *role = &t->fleet->body.roles[i];
        if (role->kind != BODY_ROLE_ENROLLER)
            continue;
        author = slot_author_role(role->name);
        gather(s, find(t, &author, RECORD_CERT, bytes_of_text(hex)));
    }
    author = slot_author_node(node);
    if (!s->any && !s->doubtful && t->fleet->body.enroll == BODY_ENROLL_PSK)
        gather(s, find(t, &author, RECORD_CERT, bytes_of_text(hex)));
}

static enum trust_standing judge_standing(const struct trust *t,
                                          const struct node_id *node,
                                          const struct standing *s)
{
    if (s->revoked ||
        (t->fleet && body_list_has(t->fleet->body.revoked, node->b)))
        return TRUST_NODE_REVOKED;
    return s->any && !s->doubtful ? TRUST_NODE_CERTIFIED : TRUST_NODE_UNKNOWN;
}

enum trust_standing trust_node(const struct trust *t,
                               const struct node_id *node,
                               struct body_cert *cert)
{
    struct standing s;
    standing_of(t, node, &s);
    if (cert)
        *cert = s.cert;
    return judge_standing(t, node, &s);
}

static bool names_node(struct bytes name, struct node_id *node)
{
    char hex[NODE_ID_HEX_SIZE] = {0};
    if (name.size != NODE_ID_HEX_SIZE - 1)
        return false;
    memcpy(hex, name.data, name.size);
    return node_id_from_hex(hex, node);
}

enum trust_standing trust_node_presented(struct trust *t,
                                         const struct node_id *node,
                                         struct bytes envelope)
{
    struct standing s;
    struct trust_verdict v;
    struct record rec;
    struct node_id named;
    struct body_cert cert;
    standing_of(t, node, &s);
    enum trust_standing standing = judge_standing(t, node, &s);
    if (standing != TRUST_NODE_UNKNOWN || s.any || s.doubtful ||
        !envelope.size || trust_consider(t, envelope, &v))
        return standing;
    if (v.outcome == TRUST_NEW && !record_parse(envelope, &rec, NULL) &&
        rec.f.kind == RECORD_CERT && names_node(rec.f.name, &named) &&
        node_id_equal(&named, node) &&
        !body_cert_decode(rec.f.body, &cert, NULL) && cert.common.understood)
        standing = cert.revoked ? TRUST_NODE_REVOKED : TRUST_NODE_CERTIFIED;
    trust_verdict_deinit(&v);
    return standing;
}

struct bytes trust_node_certificate(const struct trust *t,
                                    const struct node_id *node)
{
    struct standing s;
    standing_of(t, node, &s);
    return s.best ? s.best->envelope : (struct bytes){NULL, 0};
}

bool trust_node_next(const struct trust *t, size_t *cursor,
                     struct node_id *node, struct body_cert *cert)
{
    const struct slot_entry *e;
    while ((e = next_of_kind(t, cursor, RECORD_CERT))) {
        struct standing s;
        if (!names_node(e->name, node))
            continue;
        standing_of(t, node, &s);
        /* A node may have several certificates; it is told of once. */
        if (s.best != e || judge_standing(t, node, &s) != TRUST_NODE_CERTIFIED)
            continue;
        if (cert)
            *cert = s.cert;
        return true;
    }
    return false;
}

/* ---- versions ---- */

static bool version_of(const struct slot_entry *e, struct bytes model,
                       struct trust_version *out)
{
    if (!name_split_version(e->name, &out->model, &out->n) ||
        (model.size && !bytes_equal(model, out->model)) ||
        body_version_decode(e->body, &out->body, NULL))
        return false;
    out->entry = e;
    out->author = slot_author_bytes(&e->author);
    out->startable = !out->body.retired;
    return true;
}

bool trust_version_next(const struct trust *t, size_t *cursor,
                        struct bytes model, struct trust_version *out)
{
    const struct slot_entry *e;
    while ((e = next_of_kind(t, cursor, RECORD_VERSION)))
        if (version_of(e, model, out))
            return true;
    return false;
}

enum status trust_version_get(const struct trust *t, const struct hash *id,
                              struct trust_version *out)
{
    const struct slot_entry *e;
    size_t cursor = 0;
    while ((e = next_of_kind(t, &cursor, RECORD_VERSION)))
        if (memmem(e->body.data, e->body.size, id->b, HASH_BYTES) &&
            version_of(e, bytes_of("", 0), out) &&
            hash_equal(&out->body.id, id))
            return STATUS_OK;
    return STATUS_NOT_FOUND;
}

bool trust_version_is_head(const struct trust *t, const struct trust_version *v)
{
    struct trust_version other;
    size_t cursor = 0;
    while (trust_version_next(t, &cursor, v->model, &other))
        if (other.startable &&
            vector_model_compare(&other.body.vector, &v->body.vector) ==
                VECTOR_AFTER)
            return false;
    return true;
}

/* Adds "model#n of role" to the siblings that diag lists. */
static void list_sibling(char *text, size_t cap, const struct trust_version *v)
{
    size_t used = strlen(text);
    snprintf(text + used, cap - used, "%s%.*s#%llu by %.*s", used ? ", " : "",
             (int)v->model.size, (const char *)v->model.data,
             (unsigned long long)v->n, (int)v->author.size,
             (const char *)v->author.data);
}

enum status trust_version_latest(const struct trust *t, struct bytes model,
                                 struct trust_version *out, struct diag *diag)
{
    struct trust_version v;
    char siblings[sizeof(diag->text)] = "";
    size_t cursor = 0, heads = 0;
    while (trust_version_next(t, &cursor, model, &v)) {
        if (!v.startable || !trust_version_is_head(t, &v))
            continue;
        if (!heads++)
            *out = v;
        list_sibling(siblings, sizeof(siblings), &v);
    }
    if (!heads)
        return diag_fail(diag, STATUS_NOT_FOUND, "no version of %.*s is known",
                         (int)model.size, (const char *)model.data);
    if (heads > 1)
        return diag_fail(diag, STATUS_AMBIGUOUS, "siblings: %s", siblings);
    return STATUS_OK;
}

uint64_t trust_floor(const struct trust *t, struct bytes role,
                     struct bytes model)
{
    struct slot_author author = slot_author_role(role);
    const struct slot_entry *e;
    struct trust_version v;
    uint64_t floor = 1;
    size_t cursor = 0;
    while ((e = next_of_kind(t, &cursor, RECORD_VERSION)))
        if (slot_author_equal(&e->author, &author) &&
            version_of(e, model, &v) && v.body.floor > floor)
            floor = v.body.floor;
    return floor;
}

enum status trust_version_lineage(const struct trust *t,
                                  const struct trust_version *v)
{
    struct vector_model sum = {0};
    struct trust_version parent;
    bool all = true;
    for (size_t i = 0; i < body_list_count(v->body.parents); i++) {
        if (trust_version_get(t, body_list_hash(v->body.parents, i), &parent)) {
            all = false;
            continue;
        }
        if (!bytes_equal(parent.model, v->model) ||
            vector_model_join(&sum, &parent.body.vector))
            return STATUS_MISMATCH;
    }
    if (vector_model_get(&sum, v->author) >= v->n ||
        vector_model_set(&sum, v->author, v->n))
        return STATUS_MISMATCH;
    enum vector_order order = vector_model_compare(&v->body.vector, &sum);
    return order == VECTOR_EQUAL || (!all && order == VECTOR_AFTER)
               ? STATUS_OK
               : STATUS_MISMATCH;
}

/* ---- channels ---- */

bool trust_channel_next(const struct trust *t, size_t *cursor,
                        struct bytes name, const struct slot_entry **entry,
                        struct body_channel *out, bool *supported)
{
    size_t count = slot_table_count(t->table);
    size_t roles = t->fleet ? t->fleet->body.role_count : 0;
    /* The cursor runs over roles times slots. */
    while (count && *cursor < roles * count) {
        const struct body_role *role = &t->fleet->body.roles[*cursor / count];
        const struct slot_entry *e = slot_table_at(t->table, *cursor % count);
        ++*cursor;
        if (role->kind != BODY_ROLE_OPERATOR) {
            *cursor += count - 1 - (*cursor - 1) % count;
            continue;
        }
        if (e->kind != RECORD_CHANNEL || !trust_slot_acts(e) ||
            !bytes_equal(role->name, slot_author_bytes(&e->author)) ||
            (name.size && !bytes_equal(name, e->name)) ||
            body_channel_decode(e->body, out, NULL))
            continue;
        *entry = e;
        *supported = !body_channel_supported(out, NULL);
        return true;
    }
    return false;
}

/* The newest startable version of a role. */
static bool newest_of(const struct trust *t, struct bytes model,
                      struct bytes role, struct hash *out)
{
    struct trust_version v;
    uint64_t best = 0;
    size_t cursor = 0;
    while (trust_version_next(t, &cursor, model, &v))
        if (v.startable && v.n > best && bytes_equal(v.author, role)) {
            best = v.n;
            *out = v.body.id;
        }
    return best != 0;
}

static enum status resolve(const struct trust *t,
                           const struct body_entry *entry, struct hash *out,
                           struct diag *diag)
{
    struct trust_version v;
    int size = (int)entry->model.size;
    const char *model = (const char *)entry->model.data;
    if (!entry->has_version)
        return newest_of(t, entry->model, entry->track, out)
                   ? STATUS_OK
                   : diag_fail(diag, STATUS_NOT_FOUND,
                               "%.*s has no version of %.*s yet",
                               (int)entry->track.size,
                               (const char *)entry->track.data, size, model);
    *out = entry->version;
    if (trust_version_get(t, out, &v))
        return diag_fail(diag, STATUS_REFUSED,
                         "the version of %.*s that the channel names is not "
                         "known, or buried by a floor",
                         size, model);
    if (!bytes_equal(v.model, entry->model))
        return diag_fail(diag, STATUS_REFUSED,
                         "the channel names a version of another model for "
                         "%.*s",
                         size, model);
    if (!v.startable)
        return diag_fail(diag, STATUS_REFUSED,
                         "the version of %.*s that the channel names is "
                         "retired",
                         size, model);
    return STATUS_OK;
}

static const struct body_entry *match(const struct body_channel *channel,
                                      struct bytes model,
                                      const struct node_id *node,
                                      const struct body_labels *labels)
{
    for (size_t i = 0; i < channel->entry_count; i++)
        if (bytes_equal(channel->entries[i].model, model) &&
            body_entry_matches(&channel->entries[i], node, labels))
            return &channel->entries[i];
    return NULL;
}

/* The channel record of one operator role; NULL: it has none of that name. */
static const struct slot_entry *channel_of(const struct trust *t,
                                           const struct body_role *role,
                                           struct bytes channel)
{
    struct slot_author author = slot_author_role(role->name);
    return role->kind == BODY_ROLE_OPERATOR
               ? find(t, &author, RECORD_CHANNEL, channel)
               : NULL;
}

enum status trust_target(const struct trust *t, struct bytes channel,
                         struct bytes model, const struct node_id *node,
                         const struct body_labels *labels, struct hash *out,
                         struct diag *diag)
{
    struct body_channel body;
    size_t roles = t->fleet ? t->fleet->body.role_count : 0;
    if (!name_is_channel(channel))
        return diag_fail(diag, STATUS_NOT_FOUND, "illegal name of a channel");
    for (size_t i = 0; i < roles; i++) {
        const struct body_entry *entry;
        const struct slot_entry *e =
            channel_of(t, &t->fleet->body.roles[i], channel);
        if (!e)
            continue;
        /* Not the next operator's either: nothing changes until this heals. */
        if (!trust_slot_acts(e) || body_channel_decode(e->body, &body, NULL))
            return diag_fail(diag, STATUS_UNSUPPORTED, "channel %.*s %s",
                             (int)channel.size, (const char *)channel.data,
                             e->has_proof ? "was signed in two ways at once"
                                          : "needs a newer version");
        enum status st = body_channel_supported(&body, diag);
        if (st)
            return st;
        entry = match(&body, model, node, labels);
        if (entry)
            return resolve(t, entry, out, diag);
    }
    return diag_fail(diag, STATUS_NOT_FOUND,
                     "no entry of channel %.*s matches %.*s here",
                     (int)channel.size, (const char *)channel.data,
                     (int)model.size, (const char *)model.data);
}

/* True when an entry before (body, at), in an earlier record or this one,
 * speaks of the same model. */
static bool told_before(const struct trust *t, struct bytes channel,
                        const struct slot_entry *until, size_t at,
                        struct bytes model)
{
    struct body_channel body;
    const struct slot_entry *e;
    size_t cursor = 0;
    bool supported;
    while (trust_channel_next(t, &cursor, channel, &e, &body, &supported)) {
        size_t count = e == until ? at : body.entry_count;
        for (size_t i = 0; i < count; i++)
            if (bytes_equal(body.entries[i].model, model))
                return true;
        if (e == until)
            return false;
    }
    return false;
}

bool trust_channel_model(const struct trust *t, struct bytes channel,
                         size_t index, struct bytes *model)
{
    struct body_channel body;
    const struct slot_entry *e;
    size_t cursor = 0;
    bool supported;
    while (trust_channel_next(t, &cursor, channel, &e, &body, &supported))
        for (size_t i = 0; i < body.entry_count; i++) {
            *model = body.entries[i].model;
            if (!told_before(t, channel, e, i, *model) && !index--)
                return true;
        }
    return false;
}

bool trust_named_by_channel(const struct trust *t, const struct hash *version)
{
    struct body_channel body;
    const struct slot_entry *e;
    struct hash id;
    size_t cursor = 0;
    bool supported;
    while (
        trust_channel_next(t, &cursor, bytes_of("", 0), &e, &body, &supported))
        for (size_t i = 0; supported && i < body.entry_count; i++)
            if (!resolve(t, &body.entries[i], &id, NULL) &&
                hash_equal(&id, version))
                return true;
    return false;
}

/* ---- statuses ---- */

bool trust_status_next(const struct trust *t, size_t *cursor,
                       struct node_id *node, struct body_status *out)
{
    const struct slot_entry *e;
    while ((e = next_of_kind(t, cursor, RECORD_STATUS)))
        if (!body_status_decode(e->body, out, NULL)) {
            memcpy(node->b, e->author.b, NODE_ID_BYTES);
            return true;
        }
    return false;
}

enum status trust_status_get(const struct trust *t, const struct node_id *node,
                             struct body_status *out)
{
    struct slot_author author = slot_author_node(node);
    const struct slot_entry *e =
        find(t, &author, RECORD_STATUS, bytes_of("", 0));
    if (!e || !trust_slot_acts(e))
        return STATUS_NOT_FOUND;
    return body_status_decode(e->body, out, NULL);
}

/* ---- authoring ---- */

static enum status author_epoch(const struct trust *t,
                                const struct slot_author *author, uint64_t kind,
                                uint64_t *epoch)
{
    struct body_cert cert;
    struct node_id id;
    if (!author->is_node) {
        const struct body_role *role = trust_role(t, slot_author_bytes(author));
        *epoch = role ? role->epoch : 0;
        return role ? STATUS_OK : STATUS_NOT_FOUND;
    }
    memcpy(id.b, author->b, NODE_ID_BYTES);
    enum trust_standing standing = trust_node(t, &id, &cert);
    *epoch = cert.epoch;
    return standing == TRUST_NODE_CERTIFIED || kind == RECORD_CERT
               ? STATUS_OK
               : STATUS_NOT_FOUND;
}

enum status trust_next_seq(const struct trust *t,
                           const struct slot_author *author, uint64_t kind,
                           struct bytes name, uint64_t *epoch, uint64_t *seq,
                           struct hash heals_buf[2], struct bytes *heals)
{
    const struct slot_entry *e = find(t, author, kind, name);
    *heals = (struct bytes){NULL, 0};
    *seq = 1;
    enum status st = author_epoch(t, author, kind, epoch);
    if (st || !e)
        return st;
    if (e->epoch > *epoch)
        *epoch = e->epoch;
    if (e->epoch == *epoch && e->seq == UINT64_MAX)
        return STATUS_LIMIT;
    if (e->epoch == *epoch)
        *seq = e->seq + 1;
    if (e->has_proof && e->proof_epoch == *epoch) {
        heals_buf[0] = e->proof[0].hash;
        heals_buf[1] = e->proof[1].hash;
        *heals = bytes_of(heals_buf, 2 * (size_t)HASH_BYTES);
    }
    return STATUS_OK;
}

size_t trust_author_slots(const struct trust *t,
                          const struct slot_author *author)
{
    return slot_table_author_count(t->table, author);
}

uint64_t trust_next_counter(const struct trust *t, struct bytes role,
                            struct bytes model)
{
    struct slot_author author = slot_author_role(role);
    uint64_t highest = 0;
    for (size_t i = 0; i < slot_table_count(t->table); i++) {
        const struct slot_entry *e = slot_table_at(t->table, i);
        struct trust_version v;
        if (e->kind != RECORD_VERSION || !version_of(e, model, &v))
            continue;
        uint64_t n = vector_model_get(&v.body.vector, role);
        if (slot_author_equal(&e->author, &author) && v.n > n)
            n = v.n;
        if (n > highest)
            highest = n;
    }
    return highest + 1;
}
