/* The handle and its tables: what is known, held and linked, and where each
 * input goes. */
#include "protocol/transfer_state.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- Small helpers that all files use. ---- */

bool transfer_ranges_add(struct parcel_ranges *ranges, uint32_t first,
                         uint32_t count)
{
    if (ranges->count) {
        struct parcel_range *last = &ranges->at[ranges->count - 1];
        if (last->first + last->count == first) {
            last->count += count;
            return true;
        }
    }
    if (ranges->count == PARCEL_RANGES_MAX)
        return false;
    ranges->at[ranges->count++] = (struct parcel_range){first, count};
    return true;
}

uint64_t transfer_ranges_sum(const struct parcel_ranges *ranges)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < ranges->count; i++)
        sum += ranges->at[i].count;
    return sum;
}

bool transfer_grow(void **items, size_t count, size_t *cap, size_t size)
{
    if (count < *cap)
        return true;
    size_t wanted = *cap ? *cap * 2 : 8;
    void *grown = realloc(*items, wanted * size);
    if (!grown)
        return false;
    *items = grown;
    *cap = wanted;
    return true;
}

struct version *transfer_version_of(const struct transfer *t,
                                    const struct hash *id)
{
    for (size_t i = 0; i < t->version_count; i++)
        if (hash_equal(&t->versions[i]->id, id))
            return t->versions[i];
    return NULL;
}

struct version *transfer_version_with_tree(const struct transfer *t,
                                           const struct hash *tree)
{
    for (size_t i = 0; i < t->version_count; i++)
        if (hash_equal(&t->versions[i]->tree, tree))
            return t->versions[i];
    return NULL;
}

struct version *transfer_holder_of(const struct transfer *t,
                                   const struct hash *tree)
{
    for (size_t i = 0; i < t->version_count; i++) {
        struct version *v = t->versions[i];
        if (v->complete && !v->damaged && hash_equal(&v->tree, tree))
            return v;
    }
    return NULL;
}

struct update *transfer_update_of(const struct transfer *t,
                                  const struct hash *id)
{
    for (size_t i = 0; i < t->update_count; i++)
        if (hash_equal(&t->updates[i]->id, id))
            return t->updates[i];
    return NULL;
}

struct update *transfer_update_at(const struct transfer *t, uint32_t ref)
{
    for (size_t i = 0; i < t->update_count; i++)
        if (t->updates[i]->ref == ref)
            return t->updates[i];
    return NULL;
}

struct link *transfer_link_of(const struct transfer *t, link_id id)
{
    for (size_t i = 0; i < t->link_count; i++)
        if (t->links[i]->id == id)
            return t->links[i];
    return NULL;
}

struct link *transfer_link_to(const struct transfer *t, const uint8_t *node)
{
    for (size_t i = 0; i < t->link_count; i++)
        if (!memcmp(t->links[i]->node, node, sizeof t->links[i]->node))
            return t->links[i];
    return NULL;
}

void transfer_send(struct transfer *t, struct link *link)
{
    uint8_t buf[8192]; /* an OFFER of 16 updates takes under 2.5 kB */
    struct writer wr;
    writer_init(&wr, buf, sizeof buf);
    enum status status = parcel_encode(&t->out, &wr);
    assert(!status);
    (void)status;
    t->host.send(t->host.ctx, link->id, writer_view(&wr));
}

void transfer_strike(struct transfer *t, struct link *link, const char *why)
{
    t->counters.strikes++;
    t->host.strike(t->host.ctx, link->id, why);
}

void transfer_log(struct transfer *t, enum node_log_level level,
                  const char *fmt, ...)
{
    char text[256];
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    t->host.log(t->host.ctx, level, text);
}

bool transfer_start(struct transfer *t, const struct node_action *action,
                    const struct op *op)
{
    if (!transfer_grow((void **)&t->ops, t->op_count, &t->op_cap,
                       sizeof *t->ops))
        return false;
    op_id id = t->host.start(t->host.ctx, action);
    if (!id)
        return false;
    t->ops[t->op_count] = *op;
    t->ops[t->op_count++].id = id;
    return true;
}

void transfer_segment_blocks(const struct update *u, const struct version *v,
                             uint32_t index, uint32_t *first, uint32_t *end)
{
    *first = *end = 0;
    if (transfer_segment_is_aux(u, index))
        return;
    uint64_t from = (uint64_t)(index - u->header.aux_count)
                    << u->header.segment_log;
    uint64_t to = from + ((uint64_t)1 << u->header.segment_log);
    uint32_t count = v->shape.block_count;
    *first = from < count ? (uint32_t)from : count;
    *end = to < count ? (uint32_t)to : count;
}

bool transfer_segment_is_done(const struct update *u, const struct version *v,
                              uint32_t index)
{
    uint32_t first, end;
    if (transfer_segment_is_aux(u, index))
        return bit_get(u->held, index);
    transfer_segment_blocks(u, v, index, &first, &end);
    for (uint32_t b = first; b < end; b++)
        if (!bit_get(v->blocks, b))
            return false;
    return true;
}

/* ---- Creation. ---- */

static bool host_is_whole(const struct transfer_host *host)
{
    return host->send && host->output && host->start && host->cancel &&
           host->strike && host->log && host->event && host->check_manifest;
}

enum status transfer_new(const struct transfer_config *config,
                         const struct transfer_host *host,
                         struct transfer **out)
{
    assert(host_is_whole(host));
    struct transfer *t = calloc(1, sizeof *t);
    *out = t;
    if (!t)
        return STATUS_NO_MEMORY;
    t->host = *host;
    memcpy(t->node, config->node, sizeof t->node);
    t->no_make = config->no_make;
    t->rate = config->rate_bytes_s;
    t->tokens = (int64_t)(CREDIT_LINK / 16);
    t->wake_ns = t->have_due_ns = NEVER;
    return STATUS_OK;
}

static void version_free(struct version *v)
{
    if (!v)
        return;
    free(v->model);
    free(v->parents);
    free(v->blocks);
    free(v);
}

static void update_free(struct update *u)
{
    free(u->header.segments);
    free(u->held);
    free(u->given);
    free(u);
}

static void told_free(struct told *told)
{
    free(told->have);
    free(told->pending);
}

static void link_free(struct link *link)
{
    for (size_t i = 0; i < link->seen_count; i++) {
        free(link->seen[i].have);
        free(link->seen[i].pending);
    }
    for (size_t i = 0; i < link->request_count; i++)
        writer_deinit(&link->requests[i].in);
    for (size_t i = 0; i < link->told_count; i++)
        told_free(&link->told[i]);
    free(link->seen);
    free(link->requests);
    free(link->told);
    free(link->queue);
    free(link);
}

void transfer_free(struct transfer *t)
{
    if (!t)
        return;
    for (size_t i = 0; i < t->link_count; i++)
        link_free(t->links[i]);
    t->link_count = 0; /* nothing more is sent */
    while (t->fetches)
        fetch_free(t, t->fetches);
    serve_free(t);
    for (size_t i = 0; i < t->op_count; i++)
        free(t->ops[i].frame);
    for (size_t i = 0; i < t->version_count; i++)
        version_free(t->versions[i]);
    for (size_t i = 0; i < t->update_count; i++)
        update_free(t->updates[i]);
    free(t->links);
    free(t->ops);
    free(t->versions);
    free(t->updates);
    free(t);
}

/* Ends every input. */
static void transfer_run(struct transfer *t)
{
    fetch_run_all(t);
    serve_run(t);
}

/* ---- Versions. ---- */

static enum status version_fill(struct version *v,
                                const struct transfer_version *facts)
{
    v->id = facts->id;
    v->tree = facts->tree;
    v->manifest_size = facts->manifest_size;
    v->counter = facts->counter;
    v->model = strdup(facts->model);
    v->parent_count = facts->parent_count < 16 ? facts->parent_count : 16;
    v->parents = calloc(v->parent_count + 1, sizeof *v->parents);
    v->blocks = calloc(bits_bytes(v->shape.block_count) + 1, 1);
    if (!v->model || !v->parents || !v->blocks)
        return STATUS_NO_MEMORY;
    if (v->parent_count)
        memcpy(v->parents, facts->parents,
               v->parent_count * sizeof(struct hash));
    return STATUS_OK;
}

enum status transfer_learn(struct transfer *t,
                           const struct transfer_version *facts)
{
    if (transfer_version_of(t, &facts->id))
        return STATUS_OK;
    if (facts->manifest_size > LIMIT_MANIFEST_BYTES)
        return STATUS_LIMIT;
    struct version *v = calloc(1, sizeof *v);
    if (!v || !transfer_grow((void **)&t->versions, t->version_count,
                             &t->version_cap, sizeof(struct version *))) {
        free(v);
        return STATUS_NO_MEMORY;
    }
    enum status status = tree_shape_of(facts->size, &v->shape);
    if (!status)
        status = version_fill(v, facts);
    if (status) {
        version_free(v);
        return status;
    }
    t->versions[t->version_count++] = v;
    t->plans_dirty = true;
    return STATUS_OK;
}

void transfer_name(struct transfer *t, const struct hash *version, bool named)
{
    struct version *v = transfer_version_of(t, version);
    if (!v || v->named == named)
        return;
    v->named = named;
    t->offers_dirty = true;
    transfer_run(t);
}

static enum status bitmap_check(struct bytes bits, size_t count)
{
    if (bits.size != bits_bytes(count))
        return STATUS_CORRUPT;
    if (count % 8 && bits.data[bits.size - 1] >> count % 8)
        return STATUS_CORRUPT;
    return STATUS_OK;
}

static void blocks_set_all(struct version *v)
{
    for (uint32_t b = 0; b < v->shape.block_count; b++)
        bit_set(v->blocks, b);
    v->blocks_done = v->shape.block_count;
}

static uint32_t blocks_count(const struct version *v)
{
    uint32_t done = 0;
    for (uint32_t b = 0; b < v->shape.block_count; b++)
        done += bit_get(v->blocks, b);
    return done;
}

enum status transfer_hold_version(struct transfer *t,
                                  const struct hash *version, bool complete,
                                  struct bytes bitmap, uint64_t now_ns)
{
    t->now = now_ns;
    struct version *v = transfer_version_of(t, version);
    if (!v)
        return STATUS_NOT_FOUND;
    if (!complete && bitmap.size) {
        enum status status = bitmap_check(bitmap, v->shape.block_count);
        if (status)
            return status;
        for (size_t i = 0; i < bitmap.size; i++)
            v->blocks[i] |= bitmap.data[i];
        v->blocks_done = blocks_count(v);
    }
    v->manifest = true;
    if (complete) {
        blocks_set_all(v);
        v->complete = true;
        v->damaged = false;
    }
    t->plans_dirty = t->offers_dirty = true;
    transfer_run(t);
    return STATUS_OK;
}

/* Nothing of it is here any more; what was wanted is fetched from the start. */
static void version_clear(struct transfer *t, struct version *v)
{
    if (v->fetch)
        fetch_free(t, v->fetch);
    memset(v->blocks, 0, bits_bytes(v->shape.block_count));
    v->blocks_done = 0;
    v->manifest = v->complete = v->damaged = false;
    t->plans_dirty = t->offers_dirty = true;
}

void transfer_drop_version(struct transfer *t, const struct hash *version)
{
    struct version *v = transfer_version_of(t, version);
    if (!v)
        return;
    version_clear(t, v);
    transfer_run(t);
}

void transfer_forget(struct transfer *t, const struct hash *version)
{
    for (size_t i = 0; i < t->version_count; i++) {
        struct version *v = t->versions[i];
        if (!hash_equal(&v->id, version))
            continue;
        version_clear(t, v);
        t->versions[i] = t->versions[--t->version_count];
        version_free(v);
        transfer_run(t);
        return;
    }
}

void transfer_heal(struct transfer *t, const struct hash *version,
                   uint32_t block, uint64_t now_ns)
{
    t->now = now_ns;
    struct version *v = transfer_version_of(t, version);
    if (!v || !v->manifest || block >= v->shape.block_count)
        return;
    if (bit_get(v->blocks, block)) {
        bit_clear(v->blocks, block);
        v->blocks_done--;
    }
    if (v->fetch) /* a new plan from what is left */
        fetch_free(t, v->fetch);
    v->complete = false;
    v->wanted = true;
    t->plans_dirty = t->offers_dirty = true;
    transfer_run(t);
}

/* ---- Updates. ---- */

static enum status default_read_header(struct bytes bytes,
                                       struct transfer_header *out)
{
    struct update_header header;
    enum status status = update_header_parse(bytes, &header, NULL);
    if (status)
        return status;
    *out = (struct transfer_header){.has_base = header.has_base,
                                    .base = header.base_tree,
                                    .tree = header.target_tree,
                                    .size = header.target.size,
                                    .segment_log = header.segment_log,
                                    .segment_count = header.segment_count,
                                    .aux_count = header.aux_count};
    out->segments = calloc(header.segment_count + 1u, sizeof *out->segments);
    if (!out->segments)
        status = STATUS_NO_MEMORY;
    for (uint32_t i = 0; !status && i < header.segment_count; i++) {
        out->segments[i].size = header.segments[i].size;
        memcpy(out->segments[i].hash, header.segments[i].hash,
               sizeof out->segments[i].hash);
    }
    update_header_free(&header);
    return status;
}

/* The directory fits the content it claims to lead to. */
static enum status header_check(const struct transfer_header *h)
{
    struct tree_shape shape;
    enum status status = tree_shape_of(h->size, &shape);
    if (status)
        return status;
    if (h->segment_log > 16)
        return STATUS_CORRUPT;
    uint64_t span = (uint64_t)1 << h->segment_log;
    if (h->aux_count > UPDATE_AUX_MAX)
        return STATUS_LIMIT;
    if (h->segment_count !=
        h->aux_count + (shape.block_count + span - 1) / span)
        return STATUS_CORRUPT;
    for (uint32_t i = 0; i < h->segment_count; i++) {
        if (h->segments[i].size > UPDATE_SEGMENT_CODED_MAX)
            return STATUS_LIMIT;
        if (i < h->aux_count && !h->segments[i].size)
            return STATUS_CORRUPT;
    }
    return STATUS_OK;
}

enum status transfer_read_header(struct transfer *t, struct bytes bytes,
                                 struct transfer_header *out)
{
    memset(out, 0, sizeof *out);
    enum status status = t->host.read_header
                             ? t->host.read_header(t->host.ctx, bytes, out)
                             : default_read_header(bytes, out);
    if (!status)
        status = header_check(out);
    if (status) {
        free(out->segments);
        out->segments = NULL;
    }
    return status;
}

static void update_init(struct update *u, size_t header_bytes)
{
    const struct transfer_header *h = &u->header;
    u->bytes = header_bytes;
    for (uint32_t i = 0; i < h->segment_count; i++) {
        u->bytes += h->segments[i].size;
        u->coded_count += h->segments[i].size > 0;
    }
}

struct update *transfer_add_update(struct transfer *t, const struct hash *id,
                                   struct transfer_header *header,
                                   size_t header_bytes)
{
    struct update *u = transfer_update_of(t, id);
    if (u) {
        free(header->segments);
        return u;
    }
    u = calloc(1, sizeof *u);
    if (u)
        u->held = calloc(bits_bytes(header->segment_count) + 1, 1);
    if (!u || !u->held ||
        !transfer_grow((void **)&t->updates, t->update_count, &t->update_cap,
                       sizeof(struct update *))) {
        if (u)
            free(u->held);
        free(u);
        free(header->segments);
        return NULL;
    }
    u->id = *id;
    u->ref = ++t->last_ref;
    u->header = *header;
    update_init(u, header_bytes);
    t->updates[t->update_count++] = u;
    t->plans_dirty = t->offers_dirty = true;
    return u;
}

/* Segments of which bit i is set (all: empty) can be read back. */
static void update_hold(struct update *u, struct bytes segments)
{
    u->held_count = 0;
    for (uint32_t i = 0; i < u->header.segment_count; i++) {
        if (!u->header.segments[i].size)
            continue;
        if (!segments.size || bit_get(segments.data, i))
            bit_set(u->held, i);
        u->held_count += bit_get(u->held, i);
    }
    u->changes++;
}

enum status transfer_hold_update(struct transfer *t, struct bytes header,
                                 struct bytes segments, uint64_t now_ns)
{
    t->now = now_ns;
    struct transfer_header parsed;
    enum status status = transfer_read_header(t, header, &parsed);
    if (status)
        return status;
    if (segments.size)
        status = bitmap_check(segments, parsed.segment_count);
    if (status) {
        free(parsed.segments);
        return status;
    }
    struct hash id;
    hash_bytes(HASH_UPDATE, header, &id);
    struct update *u = transfer_add_update(t, &id, &parsed, header.size);
    if (!u)
        return STATUS_NO_MEMORY;
    update_hold(u, segments);
    t->have_dirty = t->offers_dirty = true;
    transfer_run(t);
    return STATUS_OK;
}

void transfer_drop_update(struct transfer *t, const struct hash *update)
{
    for (size_t i = 0; i < t->update_count; i++) {
        struct update *u = t->updates[i];
        if (!hash_equal(&u->id, update))
            continue;
        struct fetch *f = fetch_of_update(t, update);
        if (f)
            fetch_leave_update(t, f);
        serve_drop_update(t, u);
        t->updates[i] = t->updates[--t->update_count];
        update_free(u);
        t->plans_dirty = t->offers_dirty = true;
        transfer_run(t);
        return;
    }
}

/* ---- Wants. ---- */

enum status transfer_want(struct transfer *t, const struct hash *version,
                          unsigned urgency, uint64_t now_ns)
{
    t->now = now_ns;
    struct version *v = transfer_version_of(t, version);
    if (!v)
        return STATUS_NOT_FOUND;
    v->wanted = true;
    v->urgency = urgency;
    t->plans_dirty = true;
    transfer_run(t);
    return STATUS_OK;
}

void transfer_unwant(struct transfer *t, const struct hash *version,
                     uint64_t now_ns)
{
    t->now = now_ns;
    struct version *v = transfer_version_of(t, version);
    if (!v)
        return;
    v->wanted = false;
    t->plans_dirty = true;
    transfer_run(t);
}

/* ---- Peers. ---- */

enum status transfer_peer_up(struct transfer *t, link_id id,
                             const struct transfer_peer *peer, uint64_t now_ns)
{
    t->now = now_ns;
    assert(!transfer_link_of(t, id));
    struct link *link = calloc(1, sizeof *link);
    if (!link || !transfer_grow((void **)&t->links, t->link_count, &t->link_cap,
                                sizeof(struct link *))) {
        free(link);
        return STATUS_NO_MEMORY;
    }
    link->id = id;
    memcpy(link->node, peer->node, sizeof link->node);
    link->lan = peer->lan;
    link->rtt_ns = peer->rtt_ns;
    t->links[t->link_count++] = link;
    transfer_run(t);
    return STATUS_OK;
}

void transfer_peer_down(struct transfer *t, link_id id, uint64_t now_ns)
{
    t->now = now_ns;
    for (size_t i = 0; i < t->link_count; i++) {
        struct link *link = t->links[i];
        if (link->id != id)
            continue;
        t->links[i] = t->links[--t->link_count];
        fetch_link_down(t, link);
        serve_link_down(t, link);
        link_free(link);
        transfer_run(t);
        return;
    }
}

void transfer_peer_rtt(struct transfer *t, link_id id, uint64_t rtt_ns)
{
    struct link *link = transfer_link_of(t, id);
    if (link)
        link->rtt_ns = rtt_ns;
}

static void dispatch(struct transfer *t, struct link *link)
{
    switch (t->in.type) {
    case MESSAGE_HAVE:
        fetch_have(t, link, &t->in.u.have);
        break;
    case MESSAGE_ASK:
        serve_ask(t, link, &t->in.u.ask);
        break;
    case MESSAGE_OFFER:
        fetch_offer(t, link, &t->in.u.offer);
        break;
    case MESSAGE_NO:
        fetch_no(t, link, &t->in.u.no);
        break;
    case MESSAGE_CANCEL:
        serve_cancel(t, link, &t->in.u.cancel);
        break;
    default:
        fetch_data(t, link, &t->in.u.data);
    }
}

enum status transfer_message(struct transfer *t, link_id id,
                             struct bytes message, uint64_t now_ns)
{
    t->now = now_ns;
    struct link *link = transfer_link_of(t, id);
    if (!link)
        return STATUS_OK;
    enum status status = parcel_decode(message, &t->in, NULL);
    if (status)
        return status;
    if (t->in.type == MESSAGE_DATA)
        t->counters.data_in += message.size;
    t->quiet = false;
    dispatch(t, link);
    if (!t->quiet)
        transfer_run(t);
    return STATUS_OK;
}

size_t transfer_next_data(struct transfer *t, link_id id, uint8_t *buf,
                          size_t cap, uint64_t now_ns)
{
    assert(cap >= TRANSFER_DATA_MIN);
    t->now = now_ns;
    struct link *link = transfer_link_of(t, id);
    if (!link)
        return 0;
    size_t size = serve_data(t, link, buf, cap);
    t->counters.data_out += size;
    return size;
}

/* ---- Outcomes and time. ---- */

bool transfer_op_done(struct transfer *t, op_id id,
                      const struct node_result *result, uint64_t now_ns)
{
    t->now = now_ns;
    size_t i = 0;
    while (i < t->op_count && t->ops[i].id != id)
        i++;
    if (i == t->op_count)
        return false;
    struct op op = t->ops[i];
    t->ops[i] = t->ops[--t->op_count];
    if (op.what == OP_READ_BLOB || op.what == OP_MAKE || op.what == OP_ESTIMATE)
        serve_op_done(t, &op, result);
    else
        fetch_op_done(t, &op, result);
    free(op.frame);
    transfer_run(t);
    return true;
}

void transfer_tick(struct transfer *t, uint64_t now_ns)
{
    t->now = now_ns;
    transfer_run(t);
}

uint64_t transfer_deadline_ns(const struct transfer *t)
{
    uint64_t serving = serve_deadline(t);
    return serving < t->wake_ns ? serving : t->wake_ns;
}

bool transfer_info(const struct transfer *t, const struct hash *version,
                   struct transfer_info *out)
{
    const struct version *v = transfer_version_of(t, version);
    if (!v)
        return false;
    enum node_version_state state = NODE_VERSION_KNOWN;
    if (v->complete)
        state = NODE_VERSION_COMPLETE;
    else if (v->manifest)
        state = NODE_VERSION_FETCHING;
    else if (v->wanted)
        state = NODE_VERSION_WANTED;
    *out = (struct transfer_info){.state = state,
                                  .wanted = v->wanted,
                                  .blocks_done = v->blocks_done,
                                  .blocks_total = v->shape.block_count,
                                  .why = v->complete ? "" : v->why};
    return true;
}

void transfer_counters(const struct transfer *t, struct transfer_counters *out)
{
    *out = t->counters;
}
