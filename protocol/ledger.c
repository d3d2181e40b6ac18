/* From an envelope to a record in force: judge, store, commit, push. */
#include "protocol/ledger.h"

#include "protocol/node_state.h"

#include <stdio.h>
#include <stdlib.h>

#define CERT_EPOCH_FIRST 0u

/* ---- Records being made durable. ---- */

static void free_item(struct ledger_item *item)
{
    trust_verdict_deinit(&item->verdict);
    free(item);
}

void ledger_deinit(struct ledger *ledger)
{
    for (size_t i = 0; i < ledger->count; i++)
        free_item(ledger->items[i]);
    free(ledger->items);
    trust_changes_deinit(&ledger->changes);
    *ledger = (struct ledger){0};
}

static struct ledger_item *find_key(const struct ledger *ledger,
                                    const struct hash *key)
{
    for (size_t i = 0; i < ledger->count; i++)
        if (hash_equal(&ledger->items[i]->key, key))
            return ledger->items[i];
    return NULL;
}

static void add_source(struct ledger_item *item, const struct peer *p)
{
    if (p && item->source_count < LEDGER_SOURCES_MAX)
        item->sources[item->source_count++] = p->id;
}

/* The last record of this slot that is being made durable, NULL when none. */
static struct ledger_item *find_slot(const struct ledger *ledger,
                                     const struct slot_id *slot)
{
    for (size_t i = ledger->count; i-- > 0;)
        if (slot_id_equal(&ledger->items[i]->verdict.slot, slot))
            return ledger->items[i];
    return NULL;
}

/* What is judged is compared with what is in force, which the record on its way
 * to the disk is not yet: only a newer one may follow it there, lest the disk
 * goes back. */
static bool behind_pending(const struct ledger *ledger,
                           const struct trust_verdict *v)
{
    const struct ledger_item *item = find_slot(ledger, &v->slot);
    if (!item)
        return false;
    const struct trust_verdict *p = &item->verdict;
    return v->epoch < p->epoch || (v->epoch == p->epoch && v->seq <= p->seq);
}

static bool grow(struct ledger *ledger)
{
    if (ledger->count < ledger->cap)
        return true;
    size_t cap = ledger->cap ? 2 * ledger->cap : 8;
    struct ledger_item **items = realloc(ledger->items, cap * sizeof *items);
    if (!items)
        return false;
    ledger->items = items;
    ledger->cap = cap;
    return true;
}

static void remove_item(struct ledger *ledger, struct ledger_item *item)
{
    size_t at = 0;
    while (ledger->items[at] != item)
        at++;
    ledger->bytes -= item->bytes;
    ledger->count--;
    memmove(&ledger->items[at], &ledger->items[at + 1],
            (ledger->count - at) * sizeof *ledger->items);
    free_item(item);
}

static bool put_action(struct node *n, struct ledger_item *item)
{
    const struct trust_verdict *v = &item->verdict;
    struct node_action action = {.kind = NODE_ACTION_PUT_RECORD,
                                 .op = outbox_op(&n->outbox),
                                 .bytes = v->value};
    memcpy(action.record.slot, v->slot.b, sizeof action.record.slot);
    action.record.epoch = v->epoch;
    action.record.seq = v->seq;
    action.record.kind = (uint32_t)v->kind;
    action.record.hash = v->hash;
    item->op = action.op;
    return outbox_put(&n->outbox, &action);
}

/* Takes an accepted verdict over and asks the shell to store it; 0 when out of
 * memory. */
static op_id put(struct node *n, struct peer *p, const struct hash *key,
                 struct trust_verdict *verdict)
{
    struct ledger *ledger = &n->ledger;
    struct ledger_item *item = calloc(1, sizeof *item);
    if (!item || !grow(ledger)) {
        free(item);
        return 0;
    }
    item->key = *key;
    item->verdict = *verdict;
    item->bytes = verdict->value.size;
    *verdict = (struct trust_verdict){0};
    add_source(item, p);
    if (!put_action(n, item)) {
        free_item(item);
        return 0;
    }
    ledger->items[ledger->count++] = item;
    ledger->bytes += item->bytes;
    return item->op;
}

static bool full(const struct ledger *ledger)
{
    return ledger->count >= LIMIT_PENDING_RECORDS ||
           ledger->bytes >= LIMIT_PENDING_BYTES;
}

/* ---- From peers. ---- */

static void push_newer(struct node *n, struct peer *p,
                       const struct slot_id *slot)
{
    const struct slot_entry *entry = trust_slot(n->trust, slot);
    if (!entry)
        return;
    struct push_item item = push_item_of(entry);
    push_add(&p->push, &item);
    peer_raise(n, p);
}

/* A malformed record is a strike; one that only does not count may come from
 * an honest peer that knows less, within a budget. */
static void on_refused(struct node *n, struct peer *p,
                       const struct trust_verdict *v)
{
    n->counters.records_refused++;
    outbox_log(&n->outbox, NODE_LOG_DEBUG, "record from %s refused: %s",
               p->addr,
               v->diag.text[0] ? v->diag.text : status_text(v->status));
    bool malformed = v->status == STATUS_CORRUPT || v->status == STATUS_LIMIT ||
                     v->status == STATUS_TRUNCATED;
    if (malformed)
        peer_strike(n, p, v->diag.text);
    else if (!quota_take(&p->refusals, 1, n->now_ns))
        peer_punish(n, p, "too many records that do not count");
}

/* The class of an author differs from start to start, so that nobody can choose
 * the author whose budget it takes. */
static struct quota *author_quota(struct node *n,
                                  const struct slot_author *author)
{
    uint64_t mixed =
        (load_le64(author->b) ^ n->identity.instance) * 0x9e3779b97f4a7c15u;
    return &n->ledger.authors[(mixed >> 32) % LEDGER_AUTHOR_CLASSES];
}

/* Nodes write a few records a minute. One that writes without end must not have
 * every other node write and relay without end. */
static bool within_budget(struct node *n, const struct trust_verdict *v)
{
    return !v->author.is_node || v->outcome == TRUST_NEW ||
           quota_take(author_quota(n, &v->author), 1, n->now_ns);
}

static void on_verdict(struct node *n, struct peer *p, const struct hash *key,
                       struct trust_verdict *v)
{
    switch (v->outcome) {
    case TRUST_DUPLICATE:
        push_remove(&p->push, &v->slot);
        return;
    case TRUST_STALE:
        push_newer(n, p, &v->slot);
        return;
    case TRUST_UNKNOWN:
        p->missed = true;
        return;
    case TRUST_REFUSED:
        on_refused(n, p, v);
        return;
    default:
        p->progress = true;
        if (behind_pending(&n->ledger, v) || !within_budget(n, v) ||
            !put(n, p, key, v))
            p->missed = true;
    }
}

void ledger_receive(struct node *n, struct peer *p, struct bytes envelope)
{
    struct hash key;
    struct trust_verdict verdict;
    hash_bytes(HASH_MISC, envelope, &key);
    n->counters.records_in++;
    struct ledger_item *item = find_key(&n->ledger, &key);
    if (item) {
        add_source(item, p);
        return;
    }
    if (full(&n->ledger) || trust_consider(n->trust, envelope, &verdict)) {
        p->missed = true;
        return;
    }
    on_verdict(n, p, &key, &verdict);
    trust_verdict_deinit(&verdict);
}

/* ---- From the operator, and own ones. ---- */

enum status ledger_submit(struct node *n, struct bytes envelope, op_id *op,
                          struct diag *diag)
{
    struct hash key;
    struct trust_verdict v;
    *op = 0;
    hash_bytes(HASH_MISC, envelope, &key);
    struct ledger_item *item = find_key(&n->ledger, &key);
    if (item) {
        *op = item->op;
        return STATUS_OK;
    }
    if (full(&n->ledger))
        return diag_fail(diag, STATUS_BUSY, "too many records at once");
    enum status status = trust_consider(n->trust, envelope, &v);
    if (status)
        return status;
    status = v.status;
    if (status)
        (void)diag_fail(diag, status, "%s",
                        v.diag.text[0] ? v.diag.text : status_text(status));
    if (trust_accepted(&v) && behind_pending(&n->ledger, &v)) {
        status = diag_fail(diag, STATUS_BUSY,
                           "another record of this slot is being stored");
    } else if (trust_accepted(&v)) {
        *op = put(n, NULL, &key, &v);
        status = *op ? STATUS_OK : STATUS_NO_MEMORY;
    }
    trust_verdict_deinit(&v);
    return status;
}

/* ---- In force. ---- */

static bool is_source(const struct ledger_item *item, link_id link)
{
    for (size_t i = 0; i < item->source_count; i++)
        if (item->sources[i] == link)
            return true;
    return false;
}

/* To every link but those it came from. The author of a status sends it to all
 * its links at once; others wait a little and then announce it, for in a dense
 * mesh nearly everyone has it by then. */
static void push_all(struct node *n, const struct ledger_item *item,
                     bool change)
{
    const struct slot_entry *entry = trust_slot(n->trust, &item->verdict.slot);
    if (!entry)
        return;
    struct push_item it = push_item_of(entry);
    if (it.class == PUSH_STATUS_BEAT && change)
        it.class = PUSH_STATUS_CHANGE;
    if (it.class >= PUSH_STATUS_CHANGE && item->source_count)
        it.class = PUSH_ANNOUNCE;
    for (size_t i = 0; i < n->peer_count; i++) {
        struct peer *p = n->peers[i];
        if (!p->up || p->closing || is_source(item, p->id))
            continue;
        if (it.class == PUSH_ANNOUNCE && p->announce_ns <= n->now_ns)
            p->announce_ns =
                n->now_ns + PEER_HOLD_NS + rng_below(&n->rng, 2 * PEER_HOLD_NS);
        push_add(&p->push, &it);
        if (it.class != PUSH_ANNOUNCE)
            peer_raise(n, p);
    }
}

static bool same_models(const struct body_status *a,
                        const struct body_status *b)
{
    if (a->model_count != b->model_count)
        return false;
    for (size_t i = 0; i < a->model_count; i++) {
        const struct body_status_model *x = &a->models[i], *y = &b->models[i];
        if (!bytes_equal(x->model, y->model) || x->state != y->state ||
            x->has_running != y->has_running || !bytes_equal(x->why, y->why) ||
            (x->has_running && !hash_equal(&x->running, &y->running)))
            return false;
    }
    return true;
}

/* Whether the status says more than that its node lives: compared with the one
 * it replaces. */
static bool status_changes(const struct node *n, const struct trust_verdict *v)
{
    const struct slot_entry *old = trust_slot(n->trust, &v->slot);
    struct body_status was, is;
    struct record rec;
    if (v->kind != RECORD_STATUS || !old)
        return true;
    if (record_parse(v->value, &rec, NULL) ||
        body_status_decode(rec.f.body, &is, NULL) ||
        body_status_decode(old->body, &was, NULL))
        return true;
    return !same_models(&was, &is);
}

static void tell(struct node *n, enum node_event event, struct bytes text,
                 const struct slot_author *author)
{
    char name[LIMIT_RECORD_NAME_BYTES + 1];
    size_t size = text.size < sizeof name ? text.size : sizeof name - 1;
    if (size)
        memcpy(name, text.data, size);
    name[size] = '\0';
    struct node_action action = {
        .kind = NODE_ACTION_EVENT, .event = event, .text = name};
    if (author && author->is_node)
        memcpy(action.peer, author->b, sizeof action.peer);
    (void)outbox_put(&n->outbox, &action);
}

static void learn_addresses(struct node *n, const struct slot_author *author)
{
    struct node_id node;
    struct body_status *body = malloc(sizeof *body);
    memcpy(node.b, author->b, sizeof node.b);
    if (body && !trust_status_get(n->trust, &node, body))
        peer_learn_addresses(n, &node, body);
    free(body);
}

/* Our labels decide what we are to run. */
static bool is_own_cert(const struct node *n, const struct trust_verdict *v,
                        struct bytes name)
{
    char hex[NODE_ID_HEX_SIZE];
    node_id_hex(&n->id, hex);
    return v->kind == RECORD_CERT && bytes_equal(name, bytes_of_text(hex));
}

/* What follows from a record's being in force, by its kind. */
static void on_commit(struct node *n, const struct trust_verdict *v)
{
    const struct slot_entry *entry = trust_slot(n->trust, &v->slot);
    struct bytes name = entry ? entry->name : bytes_of(NULL, 0);
    switch (v->kind) {
    case RECORD_FLEET:
        tell(n, NODE_EVENT_FLEET, name, NULL);
        outbox_log(&n->outbox, NODE_LOG_INFO, "fleet record %.*s is in force",
                   (int)name.size, (const char *)name.data);
        break;
    case RECORD_CHANNEL:
        tell(n, NODE_EVENT_CHANNEL, name, NULL);
        outbox_log(&n->outbox, NODE_LOG_INFO, "channel %.*s, record %llu",
                   (int)name.size, (const char *)name.data,
                   (unsigned long long)v->seq);
        break;
    case RECORD_STATUS:
        learn_addresses(n, &v->author);
        tell(n, NODE_EVENT_STATUS, bytes_of(NULL, 0), &v->author);
        break;
    default:
        break;
    }
    bool decides = v->kind == RECORD_FLEET || v->kind == RECORD_VERSION ||
                   v->kind == RECORD_CHANNEL || is_own_cert(n, v, name);
    if (decides)
        n->shelf.stale = true;
}

static void drop_slots(struct node *n)
{
    struct trust_changes *c = &n->ledger.changes;
    for (size_t i = 0; i < c->dropped_count; i++) {
        struct node_action action = {.kind = NODE_ACTION_DROP_RECORD};
        memcpy(action.record.slot, c->dropped[i].b, sizeof action.record.slot);
        (void)outbox_put(&n->outbox, &action);
    }
    if (c->dropped_count)
        n->shelf.stale = true;
    bool judge = c->fleet || c->certs;
    trust_changes_deinit(c);
    trust_changes_init(c);
    if (judge)
        peer_judge_all(n);
}

/* The certificate to show: the newest held, else the first, which is the same
 * whenever it is made. */
static void refresh_cert(struct node *n)
{
    struct bytes held = trust_node_certificate(n->trust, &n->id);
    struct bytes shown = n->identity.cert;
    if (!held.size || bytes_equal(held, shown))
        return;
    uint8_t *copy = malloc(held.size);
    if (!copy)
        return;
    memcpy(copy, held.data, held.size);
    free((uint8_t *)(uintptr_t)shown.data);
    n->identity.cert = bytes_of(copy, held.size);
}

static void commit(struct node *n, struct ledger_item *item)
{
    struct trust_verdict *v = &item->verdict;
    bool change = status_changes(n, v);
    enum status status = trust_commit(n->trust, v, &n->ledger.changes);
    if (status == STATUS_BUSY) {
        n->ledger.bytes += v->value.size - item->bytes;
        item->bytes = v->value.size;
        if (put_action(n, item))
            return;
        status = STATUS_NO_MEMORY;
    }
    if (status) {
        outbox_log(&n->outbox, NODE_LOG_ERROR, "record not taken: %s",
                   status_text(status));
    } else if (trust_accepted(v)) {
        n->counters.records_new++;
        on_commit(n, v);
        push_all(n, item, change);
        if (v->kind == RECORD_CERT || v->kind == RECORD_FLEET)
            refresh_cert(n);
    }
    remove_item(&n->ledger, item);
    drop_slots(n);
}

bool ledger_done(struct node *n, op_id op, enum status status)
{
    struct ledger_item *item = NULL;
    for (size_t i = 0; i < n->ledger.count; i++)
        if (n->ledger.items[i]->op == op)
            item = n->ledger.items[i];
    if (!item)
        return false;
    op_id before = item->op;
    if (status) {
        outbox_log(&n->outbox, NODE_LOG_ERROR, "a record was not stored: %s",
                   status_text(status));
        remove_item(&n->ledger, item);
    } else {
        commit(n, item);
    }
    if (n->ledger.cert_op == before)
        n->ledger.cert_op = 0;
    if (n->ledger.status_op == before)
        n->ledger.status_op = 0;
    return true;
}

/* ---- Own records. ---- */

bool ledger_may_author(const struct node *n)
{
    if (!n->started || !trust_fleet(n->trust, NULL))
        return false;
    return n->ledger.digested || n->now_ns >= n->start_ns + n->author_wait_ns;
}

static enum status sign(const struct node *n, const struct record_fields *f,
                        struct writer *out)
{
    const struct crypto_sign_key *keys[1] = {&n->key};
    struct writer payload;
    writer_init_heap(&payload, LIMIT_RECORD_BYTES);
    enum status status = record_build_payload(f, &payload);
    if (!status)
        status = record_sign(writer_view(&payload), keys, 1, out);
    writer_deinit(&payload);
    return status;
}

static void own_labels(const struct node *n, struct body_labels *out)
{
    out->count = 0;
    for (size_t i = 0; i < n->label_count; i++) {
        const char *text = n->labels[i];
        const char *eq = strchr(text, '=');
        if (!eq)
            continue;
        if (body_labels_set(out, bytes_of(text, (size_t)(eq - text)),
                            bytes_of_text(eq + 1)))
            continue; /* the shell checked them; one that is wrong is left out
                       */
    }
}

/* Our self-signed certificate with this epoch and seq. */
static enum status write_cert(const struct node *n, uint64_t epoch,
                              uint64_t seq, struct bytes heals,
                              struct writer *out)
{
    char hex[NODE_ID_HEX_SIZE];
    struct body_cert cert = {.epoch = epoch};
    struct writer body;
    cert.common.heals = heals;
    own_labels(n, &cert.labels);
    node_id_hex(&n->id, hex);
    writer_init_heap(&body, LIMIT_RECORD_BYTES);
    enum status status = body_cert_encode(&cert, &body);
    struct record_fields f = {.has_fleet = true,
                              .fleet = n->identity.fleet,
                              .author = slot_author_node(&n->id),
                              .kind = RECORD_CERT,
                              .name = bytes_of_text(hex),
                              .epoch = epoch,
                              .seq = seq,
                              .body = writer_view(&body)};
    if (!status)
        status = sign(n, &f, out);
    writer_deinit(&body);
    return status;
}

enum status ledger_start(struct node *n)
{
    trust_changes_init(&n->ledger.changes);
    for (size_t i = 0; i < LEDGER_AUTHOR_CLASSES; i++)
        quota_init(&n->ledger.authors[i], LEDGER_AUTHOR_RECORDS,
                   LEDGER_AUTHOR_BURST, n->now_ns);
    enum status status = trust_load_end(n->trust, &n->ledger.changes);
    if (status)
        return status;
    n->ledger.changes.fleet = n->ledger.changes.certs = false;
    drop_slots(n);
    refresh_cert(n);
    if (n->identity.cert.size)
        return STATUS_OK;
    struct writer wr;
    writer_init_heap(&wr, LIMIT_RECORD_BYTES);
    status = write_cert(n, CERT_EPOCH_FIRST, 1, bytes_of(NULL, 0), &wr);
    if (!status) {
        size_t size = 0;
        uint8_t *data = writer_take(&wr, &size);
        n->identity.cert = bytes_of(data, size);
    }
    writer_deinit(&wr);
    return status;
}

static bool same_labels(const struct body_labels *a,
                        const struct body_labels *b)
{
    if (a->count != b->count)
        return false;
    for (size_t i = 0; i < a->count; i++)
        if (!bytes_equal(a->labels[i].key, b->labels[i].key) ||
            !bytes_equal(a->labels[i].value, b->labels[i].value))
            return false;
    return true;
}

/* Where enrolment is by the secret: a certificate that says what the
 * configuration says. */
static bool cert_due(const struct node *n)
{
    struct body_cert held;
    struct body_labels want;
    const struct body_fleet *fleet = trust_fleet(n->trust, NULL);
    if (n->ledger.cert_op || n->ledger.cert_refused || !ledger_may_author(n) ||
        fleet->enroll != BODY_ENROLL_PSK)
        return false;
    switch (trust_node(n->trust, &n->id, &held)) {
    case TRUST_NODE_REVOKED:
        return false;
    case TRUST_NODE_UNKNOWN:
        return true;
    default:
        own_labels(n, &want);
        return !same_labels(&held.labels, &want);
    }
}

static void author_cert(struct node *n)
{
    struct hash buf[2];
    struct bytes heals = {NULL, 0};
    struct diag diag = {{0}};
    char hex[NODE_ID_HEX_SIZE];
    struct slot_author author = slot_author_node(&n->id);
    uint64_t epoch = CERT_EPOCH_FIRST, seq = 1;
    node_id_hex(&n->id, hex);
    if (trust_next_seq(n->trust, &author, RECORD_CERT, bytes_of_text(hex),
                       &epoch, &seq, buf, &heals)) {
        epoch = CERT_EPOCH_FIRST;
        seq = 1;
    }
    struct writer wr;
    writer_init_heap(&wr, LIMIT_RECORD_BYTES);
    enum status status = write_cert(n, epoch, seq, heals, &wr);
    if (!status)
        status = ledger_submit(n, writer_view(&wr), &n->ledger.cert_op, &diag);
    writer_deinit(&wr);
    if (!status)
        return;
    outbox_log(&n->outbox, NODE_LOG_WARN, "own certificate: %s",
               diag.text[0] ? diag.text : status_text(status));
    n->ledger.cert_refused = true;
}

static void author_status(struct node *n)
{
    struct hash buf[2];
    struct bytes heals = {NULL, 0};
    struct slot_author author = slot_author_node(&n->id);
    struct record_fields f = {.has_fleet = true,
                              .fleet = n->identity.fleet,
                              .author = author,
                              .kind = RECORD_STATUS};
    struct writer body, wr;
    struct diag diag = {{0}};
    writer_init_heap(&body, LIMIT_RECORD_BYTES);
    writer_init_heap(&wr, LIMIT_RECORD_BYTES);
    enum status status =
        trust_next_seq(n->trust, &author, RECORD_STATUS, bytes_of(NULL, 0),
                       &f.epoch, &f.seq, buf, &heals);
    if (!status)
        status = shelf_status(n, heals, &body);
    f.body = writer_view(&body);
    if (!status)
        status = sign(n, &f, &wr);
    if (!status)
        status =
            ledger_submit(n, writer_view(&wr), &n->ledger.status_op, &diag);
    if (status)
        outbox_log(&n->outbox, NODE_LOG_WARN, "own status: %s",
                   diag.text[0] ? diag.text : status_text(status));
    status_beat_written(&n->beat, wr.size ? wr.size : STATUS_BYTES_S,
                        rng_below(&n->rng, STATUS_BEAT_NS / 2), n->now_ns);
    writer_deinit(&body);
    writer_deinit(&wr);
}

static bool status_possible(const struct node *n)
{
    return !n->ledger.status_op && ledger_may_author(n) &&
           trust_node(n->trust, &n->id, NULL) == TRUST_NODE_CERTIFIED;
}

void ledger_tick(struct node *n)
{
    if (cert_due(n))
        author_cert(n);
    if (status_possible(n) &&
        status_beat_due_ns(&n->beat, n->now_ns) <= n->now_ns)
        author_status(n);
}

uint64_t ledger_deadline_ns(const struct node *n)
{
    if (!trust_fleet(n->trust, NULL))
        return UINT64_MAX;
    if (!ledger_may_author(n))
        return n->start_ns + n->author_wait_ns;
    if (!status_possible(n))
        return UINT64_MAX;
    struct status_beat beat = n->beat;
    return status_beat_due_ns(&beat, n->now_ns);
}
