/* What should run, what is wanted for it, what runs. Decisions are made anew
 * from the records whenever these changed: there is no history to get wrong. */
#include "protocol/shelf.h"

#include "protocol/manifest.h"
#include "protocol/name.h"
#include "protocol/node_state.h"

#include <stdio.h>
#include <stdlib.h>

#define ACTIVATE_RETRY_NS     5000000000ull /* doubled up to */
#define ACTIVATE_RETRY_MAX_NS 300000000000ull

#define DECIDE_NS 50000000ull

#define URGENCY_TARGET 2u
#define URGENCY_ASKED  1u
#define URGENCY_MIRROR 0u

/* ---- Tables. ---- */

static void free_version(struct shelf_version *v)
{
    free(v->model);
    free(v);
}

static void free_model(struct shelf_model *m)
{
    free(m->name);
    free(m);
}

void shelf_deinit(struct shelf *shelf)
{
    for (size_t i = 0; i < shelf->version_count; i++)
        free_version(shelf->versions[i]);
    for (size_t i = 0; i < shelf->model_count; i++)
        free_model(shelf->models[i]);
    free(shelf->versions);
    free(shelf->models);
    *shelf = (struct shelf){0};
}

static size_t locate_version(const struct shelf *shelf, const struct hash *id)
{
    size_t low = 0, high = shelf->version_count;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (hash_compare(&shelf->versions[mid]->id, id) < 0)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

struct shelf_version *shelf_find(const struct shelf *shelf,
                                 const struct hash *id)
{
    size_t at = locate_version(shelf, id);
    if (at == shelf->version_count || !hash_equal(&shelf->versions[at]->id, id))
        return NULL;
    return shelf->versions[at];
}

static char *copy_text(struct bytes text)
{
    char *copy = malloc(text.size + 1);
    if (!copy)
        return NULL;
    if (text.size)
        memcpy(copy, text.data, text.size);
    copy[text.size] = '\0';
    return copy;
}

static bool grow(void *list, size_t count, size_t *cap)
{
    void **items;
    if (count < *cap)
        return true;
    size_t wanted = *cap ? 2 * *cap : 8;
    memcpy(&items, list, sizeof items);
    items = realloc(items, wanted * sizeof *items);
    if (!items)
        return false;
    memcpy(list, &items, sizeof items);
    *cap = wanted;
    return true;
}

/* The entry of id, made when it is not there. */
static struct shelf_version *
add_version(struct shelf *shelf, const struct hash *id, struct bytes model)
{
    size_t at = locate_version(shelf, id);
    if (at < shelf->version_count && hash_equal(&shelf->versions[at]->id, id))
        return shelf->versions[at];
    struct shelf_version *v = calloc(1, sizeof *v);
    if (v)
        v->model = copy_text(model);
    if (!v || !v->model ||
        !grow(&shelf->versions, shelf->version_count, &shelf->version_cap)) {
        if (v)
            free_version(v);
        return NULL;
    }
    v->id = *id;
    memmove(&shelf->versions[at + 1], &shelf->versions[at],
            (shelf->version_count - at) * sizeof(struct shelf_version *));
    shelf->versions[at] = v;
    shelf->version_count++;
    return v;
}

static void remove_version(struct shelf *shelf, size_t at)
{
    free_version(shelf->versions[at]);
    shelf->version_count--;
    memmove(&shelf->versions[at], &shelf->versions[at + 1],
            (shelf->version_count - at) * sizeof(struct shelf_version *));
}

struct shelf_model *shelf_model(const struct shelf *shelf, const char *name)
{
    for (size_t i = 0; i < shelf->model_count; i++)
        if (!strcmp(shelf->models[i]->name, name))
            return shelf->models[i];
    return NULL;
}

static struct shelf_model *add_model(struct shelf *shelf, struct bytes name)
{
    size_t at = 0;
    for (; at < shelf->model_count; at++) {
        /* In the order of status bodies: shorter names first. */
        struct bytes other = bytes_of_text(shelf->models[at]->name);
        if (bytes_equal(other, name))
            return shelf->models[at];
        if (other.size > name.size ||
            (other.size == name.size &&
             memcmp(other.data, name.data, name.size) > 0))
            break;
    }
    struct shelf_model *m = calloc(1, sizeof *m);
    if (m)
        m->name = copy_text(name);
    if (!m || !m->name ||
        !grow(&shelf->models, shelf->model_count, &shelf->model_cap)) {
        if (m)
            free_model(m);
        return NULL;
    }
    memmove(&shelf->models[at + 1], &shelf->models[at],
            (shelf->model_count - at) * sizeof(struct shelf_model *));
    shelf->models[at] = m;
    shelf->model_count++;
    return m;
}

static bool is_running(const struct shelf *shelf, const struct shelf_version *v)
{
    const struct shelf_model *m = shelf_model(shelf, v->model);
    return m && ((m->has_running && hash_equal(&m->running, &v->id)) ||
                 (m->op && hash_equal(&m->activating, &v->id)));
}

/* ---- Telling. ---- */

/* "models/cam#3 (1a2b3c4d)" */
static const char *version_text(const struct shelf_version *v, char *buf,
                                size_t size)
{
    (void)snprintf(buf, size, "%s#%llu (%02x%02x%02x%02x)", v->model,
                   (unsigned long long)v->counter, v->id.b[0], v->id.b[1],
                   v->id.b[2], v->id.b[3]);
    return buf;
}

static void tell(struct node *n, enum node_event event,
                 const struct shelf_version *v, uint64_t done, uint64_t total)
{
    struct node_action action = {.kind = NODE_ACTION_EVENT,
                                 .event = event,
                                 .version = v->id,
                                 .tree = v->tree,
                                 .text = v->model,
                                 .done = done,
                                 .total = total};
    (void)outbox_put(&n->outbox, &action);
}

static void log_version(struct node *n, const struct shelf_version *v,
                        const char *what)
{
    char text[256];
    outbox_log(&n->outbox, NODE_LOG_INFO, "%s %s",
               version_text(v, text, sizeof text), what);
}

/* ---- The transfer's host. ---- */

static void host_send(void *ctx, link_id link, struct bytes message)
{
    struct node *n = ctx;
    struct peer *p = peer_find(n, link);
    if (p && p->up && !p->closing && !peer_send(n, p, message))
        peer_close(n, p, STATUS_LIMIT, "the peer does not read");
}

static void host_output(void *ctx, link_id link)
{
    struct node *n = ctx;
    struct peer *p = peer_find(n, link);
    if (!p || !p->up || p->closing)
        return;
    p->bulk = true;
    peer_raise(n, p);
}

static op_id host_start(void *ctx, const struct node_action *action)
{
    struct node *n = ctx;
    struct node_action copy = *action;
    copy.op = outbox_op(&n->outbox);
    return outbox_put(&n->outbox, &copy) ? copy.op : 0;
}

static void host_cancel(void *ctx, op_id op)
{
    struct node *n = ctx;
    struct node_action action = {.kind = NODE_ACTION_CANCEL, .op = op};
    (void)outbox_put(&n->outbox, &action);
}

static void host_strike(void *ctx, link_id link, const char *why)
{
    struct node *n = ctx;
    struct peer *p = peer_find(n, link);
    if (p)
        peer_strike(n, p, why);
}

static void host_log(void *ctx, enum node_log_level level, const char *text)
{
    struct node *n = ctx;
    outbox_log(&n->outbox, level, "%s", text);
}

static void host_event(void *ctx, enum node_event event,
                       const struct hash *version, uint64_t done,
                       uint64_t total)
{
    struct node *n = ctx;
    struct shelf_version *v = shelf_find(&n->shelf, version);
    if (!v)
        return;
    tell(n, event, v, done, total);
    if (event == NODE_EVENT_VERSION_FETCHING) {
        v->held = true;
        log_version(n, v, "is being fetched");
    } else if (event == NODE_EVENT_VERSION_COMPLETE) {
        v->held = v->complete = true;
        v->wanted = false;
        v->asked = false;
        n->counters.versions_completed++;
        log_version(n, v, "is complete");
    }
    n->shelf.check = true;
}

static enum status host_check_manifest(void *ctx, const struct hash *version,
                                       struct bytes manifest)
{
    struct node *n = ctx;
    struct diag diag = {{0}};
    struct trust_version facts;
    struct manifest *m = malloc(sizeof *m);
    if (!m)
        return STATUS_NO_MEMORY;
    enum status status = manifest_parse(manifest, m, &diag);
    if (!status)
        status = trust_version_get(n->trust, version, &facts);
    if (!status)
        status =
            manifest_check_record(manifest, m, facts.model, &facts.body, &diag);
    if (!status && !m->understood)
        status = diag_fail(&diag, STATUS_UNSUPPORTED,
                           "the manifest needs a newer build");
    free(m);
    if (status)
        outbox_log(&n->outbox, NODE_LOG_WARN, "manifest refused: %s",
                   diag.text[0] ? diag.text : status_text(status));
    return status;
}

enum status shelf_start_transfer(struct node *n, uint64_t rate_bytes_s)
{
    struct transfer_config config = {.node = n->id.b,
                                     .rate_bytes_s = rate_bytes_s};
    struct transfer_host host = {.ctx = n,
                                 .send = host_send,
                                 .output = host_output,
                                 .start = host_start,
                                 .cancel = host_cancel,
                                 .strike = host_strike,
                                 .log = host_log,
                                 .event = host_event,
                                 .check_manifest = host_check_manifest};
    return transfer_new(&config, &host, &n->transfer);
}

/* ---- What is known. ---- */

static enum status learn(struct node *n, const struct shelf_version *v)
{
    struct transfer_version facts = {.id = v->id,
                                     .tree = v->tree,
                                     .size = v->size,
                                     .manifest_size = v->manifest_size,
                                     .model = v->model,
                                     .counter = v->counter,
                                     .parents = v->parents,
                                     .parent_count = v->parent_count};
    return transfer_learn(n->transfer, &facts);
}

static void set_parents(struct shelf_version *v, struct bytes list)
{
    v->parent_count = body_list_count(list);
    if (v->parent_count > LIMIT_PARENTS)
        v->parent_count = LIMIT_PARENTS;
    if (v->parent_count)
        memcpy(v->parents, list.data, v->parent_count * sizeof *v->parents);
}

/* A counter for order and words: the greatest tick. */
static uint64_t top_tick(const struct vector_model *vector)
{
    uint64_t top = 0;
    for (size_t i = 0; i < vector->count; i++)
        if (vector->ticks[i].n > top)
            top = vector->ticks[i].n;
    return top;
}

enum status shelf_load_version(struct node *n, const struct hash *version,
                               struct bytes manifest,
                               enum node_version_state state,
                               struct bytes bitmap)
{
    struct manifest *m = malloc(sizeof *m);
    if (!m)
        return STATUS_NO_MEMORY;
    struct shelf_version *v = NULL;
    enum status status = manifest_parse(manifest, m, NULL);
    if (!status)
        v = add_version(&n->shelf, version, m->model);
    if (!status && !v)
        status = STATUS_NO_MEMORY;
    if (!status) {
        v->tree = m->tree;
        v->size = m->shape.size;
        v->manifest_size = manifest.size;
        if (!v->counter)
            v->counter = top_tick(&m->vector);
        set_parents(v, m->parents);
        v->held = true;
        v->dropped = false;
        v->complete = state == NODE_VERSION_COMPLETE;
        status = learn(n, v);
    }
    free(m);
    if (!status)
        status = transfer_hold_version(n->transfer, version, v->complete,
                                       bitmap, n->now_ns);
    if (!status && n->started && v->complete)
        tell(n, NODE_EVENT_VERSION_COMPLETE, v, 0, 0);
    n->shelf.check = n->shelf.stale = true;
    return status;
}

enum status shelf_load_running(struct node *n, const char *model,
                               const struct hash *version)
{
    struct shelf_model *m = add_model(&n->shelf, bytes_of_text(model));
    if (!m)
        return STATUS_NO_MEMORY;
    m->has_running = true;
    m->running = *version;
    return STATUS_OK;
}

/* ---- Deciding anew. ---- */

static void clear_marks(struct shelf *shelf)
{
    for (size_t i = 0; i < shelf->version_count; i++) {
        struct shelf_version *v = shelf->versions[i];
        v->record = v->startable = v->target = v->mirrored = false;
    }
    for (size_t i = 0; i < shelf->model_count; i++) {
        shelf->models[i]->has_target = false;
        shelf->models[i]->why[0] = '\0';
    }
}

static bool mirrors(const struct node *n, struct bytes model)
{
    for (size_t i = 0; i < n->mirror_count; i++)
        if (name_pattern_matches(bytes_of_text(n->mirror[i]), model))
            return true;
    return false;
}

static void take_record(struct node *n, const struct trust_version *facts)
{
    struct shelf_version *v =
        add_version(&n->shelf, &facts->body.id, facts->model);
    if (!v)
        return;
    bool fresh = !v->had_record;
    v->record = v->had_record = true;
    v->startable = facts->startable;
    v->counter = facts->n;
    v->mirrored = facts->startable && mirrors(n, facts->model) &&
                  trust_version_is_head(n->trust, facts);
    if (!fresh)
        return;
    v->tree = facts->body.tree;
    v->size = facts->body.size;
    v->manifest_size = facts->body.manifest_size;
    set_parents(v, facts->body.parents);
    enum status status = learn(n, v);
    if (status) {
        outbox_log(&n->outbox, NODE_LOG_WARN, "version not taken: %s",
                   status_text(status));
        return;
    }
    if (n->shelf.restored) {
        tell(n, NODE_EVENT_VERSION_KNOWN, v, 0, 0);
        log_version(n, v, "is known");
    }
}

static void take_records(struct node *n)
{
    size_t cursor = 0;
    struct trust_version *facts = malloc(sizeof *facts);
    if (!facts)
        return;
    while (trust_version_next(n->trust, &cursor, bytes_of(NULL, 0), facts))
        take_record(n, facts);
    free(facts);
}

/* The target of one model by one channel; of several channels that name it the
 * first counts. */
static void take_target(struct node *n, struct bytes channel,
                        struct bytes model, const struct body_labels *labels)
{
    struct hash target;
    struct diag diag = {{0}};
    struct shelf_model *m = add_model(&n->shelf, model);
    if (!m || m->has_target)
        return;
    enum status status =
        trust_target(n->trust, channel, model, &n->id, labels, &target, &diag);
    if (status == STATUS_OK) {
        m->has_target = true;
        m->target = target;
        m->why[0] = '\0';
    } else if (status != STATUS_NOT_FOUND) {
        (void)snprintf(m->why, sizeof m->why, "%s",
                       diag.text[0] ? diag.text : status_text(status));
    }
}

static void take_channel(struct node *n, struct bytes channel,
                         const struct body_labels *labels)
{
    struct bytes model;
    for (size_t i = 0; trust_channel_model(n->trust, channel, i, &model); i++)
        take_target(n, channel, model, labels);
}

static void take_channels(struct node *n)
{
    struct body_channel *body = malloc(sizeof *body);
    struct body_cert cert = {.epoch = 0};
    const struct slot_entry *entry;
    size_t cursor = 0;
    bool supported;
    if (!body)
        return;
    (void)trust_node(n->trust, &n->id, &cert);
    while (trust_channel_next(n->trust, &cursor, bytes_of(NULL, 0), &entry,
                              body, &supported))
        take_channel(n, entry->name, &cert.labels);
    free(body);
    for (size_t i = 0; i < n->shelf.model_count; i++) {
        const struct shelf_model *m = n->shelf.models[i];
        struct shelf_version *v =
            m->has_target ? shelf_find(&n->shelf, &m->target) : NULL;
        if (v)
            v->target = true;
    }
}

static void tell_wish(struct node *n, struct shelf_version *v)
{
    bool wanted = v->record && v->startable && !v->complete &&
                  (v->target || v->mirrored || v->asked);
    if (wanted == v->wanted)
        return;
    if (!wanted) {
        if (!v->complete)
            transfer_unwant(n->transfer, &v->id, n->now_ns);
        v->wanted = false;
        return;
    }
    unsigned urgency = v->target  ? URGENCY_TARGET
                       : v->asked ? URGENCY_ASKED
                                  : URGENCY_MIRROR;
    v->wanted = !transfer_want(n->transfer, &v->id, urgency, n->now_ns);
    if (v->target)
        log_version(n, v, "is wanted by a channel");
}

/* What the records buried may go, unless it runs. */
static void drop_buried(struct node *n)
{
    struct shelf *shelf = &n->shelf;
    for (size_t i = shelf->version_count; i-- > 0;) {
        struct shelf_version *v = shelf->versions[i];
        if (!v->had_record || (v->record && v->startable) ||
            is_running(shelf, v))
            continue;
        if (v->held && !v->dropped) {
            struct node_action action = {.kind = NODE_ACTION_DROP_VERSION,
                                         .version = v->id};
            v->dropped = outbox_put(&n->outbox, &action);
            log_version(n, v, "may no longer be started");
        }
        if (v->record)
            continue;
        transfer_forget(n->transfer, &v->id);
        remove_version(shelf, i);
    }
}

static void decide(struct node *n)
{
    struct shelf *shelf = &n->shelf;
    clear_marks(shelf);
    take_records(n);
    take_channels(n);
    drop_buried(n);
    for (size_t i = 0; i < shelf->version_count; i++) {
        struct shelf_version *v = shelf->versions[i];
        bool named = v->record && trust_named_by_channel(n->trust, &v->id);
        if (named != v->named)
            transfer_name(n->transfer, &v->id, named);
        v->named = named;
    }
    for (size_t i = 0; i < shelf->version_count; i++)
        tell_wish(n, shelf->versions[i]);
    shelf->restored = shelf->check = true;
}

enum status shelf_want(struct node *n, const struct hash *version)
{
    struct shelf_version *v = shelf_find(&n->shelf, version);
    if (!v || !v->record)
        return STATUS_NOT_FOUND;
    if (!v->startable)
        return STATUS_REFUSED;
    v->asked = !v->complete;
    tell_wish(n, v);
    return STATUS_OK;
}

void shelf_swept(struct node *n, const struct hash *version)
{
    struct shelf_version *v = shelf_find(&n->shelf, version);
    transfer_drop_version(n->transfer, version);
    if (!v)
        return;
    v->held = v->complete = v->wanted = false;
    n->shelf.stale = true;
}

void shelf_heal(struct node *n, const struct hash *version, uint32_t block)
{
    struct shelf_version *v = shelf_find(&n->shelf, version);
    if (!v || !v->complete)
        return;
    v->complete = false;
    v->wanted = true;
    log_version(n, v, "has a damaged block, which is fetched again");
    transfer_heal(n->transfer, version, block, n->now_ns);
}

/* ---- Activation. ---- */

static void activate(struct node *n, struct shelf_model *m)
{
    struct node_action action = {.kind = NODE_ACTION_ACTIVATE,
                                 .op = outbox_op(&n->outbox),
                                 .version = m->target,
                                 .text = m->name};
    const struct shelf_version *v = shelf_find(&n->shelf, &m->target);
    action.tree = v->tree;
    if (!outbox_put(&n->outbox, &action))
        return;
    m->op = action.op;
    m->activating = m->target;
}

static bool activation_due(const struct node *n, const struct shelf_model *m)
{
    if (!m->has_target || m->op || n->now_ns < m->retry_ns)
        return false;
    if (m->has_running && hash_equal(&m->running, &m->target))
        return false;
    const struct shelf_version *v = shelf_find(&n->shelf, &m->target);
    return v && v->complete && v->record && v->startable;
}

static void activated(struct node *n, struct shelf_model *m)
{
    struct shelf_version *v = shelf_find(&n->shelf, &m->activating);
    m->has_running = true;
    m->running = m->activating;
    m->failures = 0;
    m->retry_ns = 0;
    n->counters.activations++;
    if (!v)
        return;
    tell(n, NODE_EVENT_VERSION_RUNNING, v, 0, 0);
    log_version(n, v, "is running");
}

static void activation_failed(struct node *n, struct shelf_model *m,
                              enum status status)
{
    uint64_t wait = ACTIVATE_RETRY_NS;
    for (unsigned i = 0; i < m->failures && wait < ACTIVATE_RETRY_MAX_NS; i++)
        wait *= 2;
    m->failures++;
    m->retry_ns = n->now_ns + wait;
    outbox_log(&n->outbox, NODE_LOG_ERROR, "%s was not put in place: %s",
               m->name, status_text(status));
}

bool shelf_done(struct node *n, op_id op, enum status status)
{
    for (size_t i = 0; i < n->shelf.model_count; i++) {
        struct shelf_model *m = n->shelf.models[i];
        if (m->op != op)
            continue;
        m->op = 0;
        if (status)
            activation_failed(n, m, status);
        else
            activated(n, m);
        n->shelf.check = true;
        return true;
    }
    return false;
}

/* ---- How a model is. ---- */

/* The state and the words for it; "" when fine. */
static enum body_state
model_state(const struct node *n, const struct shelf_model *m, const char **why)
{
    const struct shelf_version *v =
        m->has_target ? shelf_find(&n->shelf, &m->target) : NULL;
    struct transfer_info info;
    *why = m->why;
    if (!m->has_target)
        return m->why[0] ? BODY_STATE_FAILED : BODY_STATE_RUNNING;
    if (m->has_running && hash_equal(&m->running, &m->target))
        return BODY_STATE_RUNNING;
    if (!v) {
        *why = "the version is not known";
        return BODY_STATE_KNOWN;
    }
    if (v->complete) {
        *why = m->failures ? "files not put in place" : "";
        return m->failures ? BODY_STATE_FAILED : BODY_STATE_STAGED;
    }
    if (!transfer_info(n->transfer, &v->id, &info))
        return BODY_STATE_KNOWN;
    *why = info.why;
    return v->held || info.blocks_done ? BODY_STATE_FETCHING : BODY_STATE_KNOWN;
}

static uint64_t uptime_s(const struct node *n)
{
    return (n->uptime_base_ns + (n->now_ns - n->start_ns)) / QUOTA_SECOND_NS;
}

static void note_states(struct node *n)
{
    for (size_t i = 0; i < n->shelf.model_count; i++) {
        struct shelf_model *m = n->shelf.models[i];
        const char *why;
        unsigned state = model_state(n, m, &why);
        if (state == m->state && m->since_ns)
            continue;
        m->state = state;
        m->since_ns = n->now_ns ? n->now_ns : 1;
        status_beat_changed(&n->beat, n->now_ns);
    }
}

/* Models that run or should, at most LIMIT_STATUS_MODELS. */
static void fill_models(struct node *n, struct body_status *out)
{
    for (size_t i = 0; i < n->shelf.model_count; i++) {
        struct shelf_model *m = n->shelf.models[i];
        const char *why;
        if (out->model_count == LIMIT_STATUS_MODELS)
            return;
        if (!m->has_running && !m->has_target && !m->why[0])
            continue;
        struct body_status_model *to = &out->models[out->model_count++];
        to->model = bytes_of_text(m->name);
        to->has_running = m->has_running;
        to->running = m->running;
        to->state = model_state(n, m, &why);
        to->why = bytes_of_text(why);
        if (to->why.size > LIMIT_STATUS_TEXT)
            to->why.size = LIMIT_STATUS_TEXT;
        uint64_t age_ns = n->now_ns - (m->since_ns ? m->since_ns : n->now_ns);
        to->since_s = uptime_s(n) - age_ns / QUOTA_SECOND_NS;
    }
}

/* Trees of complete versions, what runs or should first. */
static size_t fill_held(const struct node *n,
                        struct hash held[LIMIT_STATUS_HELD])
{
    size_t count = 0;
    for (unsigned pass = 0; pass < 2; pass++)
        for (size_t i = 0; i < n->shelf.version_count; i++) {
            const struct shelf_version *v = n->shelf.versions[i];
            bool first = v->target || is_running(&n->shelf, v);
            if (v->complete && first == !pass && count < LIMIT_STATUS_HELD)
                held[count++] = v->tree;
        }
    return body_list_sort(held, count);
}

enum status shelf_status(struct node *n, struct bytes heals, struct writer *out)
{
    struct hash held[LIMIT_STATUS_HELD];
    struct body_status *body = calloc(1, sizeof *body);
    if (!body)
        return STATUS_NO_MEMORY;
    body->common.heals = heals;
    fill_models(n, body);
    for (size_t i = 0; i < n->listen_count && i < LIMIT_STATUS_ADDRESSES; i++)
        body->addresses[body->address_count++] = bytes_of_text(n->listen[i]);
    body->held = bytes_of(held, fill_held(n, held) * sizeof *held);
    body->software = bytes_of_text(n->software);
    body->uptime_s = uptime_s(n);
    enum status status = body_status_encode(body, out);
    free(body);
    return status;
}

/* While records pour in, not after each; but nothing is put in place on a
 * decision that they may have made wrong. */
static bool decision_due(const struct node *n)
{
    const struct shelf *shelf = &n->shelf;
    bool due = !shelf->restored || !n->ledger.count ||
               n->now_ns >= shelf->decided_ns + DECIDE_NS;
    for (size_t i = 0; i < shelf->model_count && !due; i++)
        due = activation_due(n, shelf->models[i]);
    return shelf->stale && due;
}

void shelf_settle(struct node *n)
{
    struct shelf *shelf = &n->shelf;
    if (!n->started)
        return;
    if (decision_due(n)) {
        shelf->stale = false;
        shelf->decided_ns = n->now_ns;
        decide(n);
    }
    for (size_t i = 0; i < shelf->model_count; i++)
        if (activation_due(n, shelf->models[i]))
            activate(n, shelf->models[i]);
    if (shelf->check) {
        shelf->check = false;
        note_states(n);
    }
}

uint64_t shelf_deadline_ns(const struct node *n)
{
    uint64_t due =
        n->shelf.stale ? n->shelf.decided_ns + DECIDE_NS : UINT64_MAX;
    for (size_t i = 0; i < n->shelf.model_count; i++) {
        const struct shelf_model *m = n->shelf.models[i];
        if (m->has_target && !m->op && m->retry_ns > n->now_ns)
            due = node_earlier(due, m->retry_ns);
    }
    return due;
}
