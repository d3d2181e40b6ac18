/* Transfers of several nodes in one process: a fake host that stores and
 * decodes made-up contents, a fake network with seeded delays, shared uplinks
 * and ordered links. What holds at all times is asserted by the host itself:
 * nothing is decoded over a base that is not here, nothing wrong is taken for
 * right, no version is complete that is not. */
#include "codec/base/checked.h"
#include "codec/base/rng.h"
#include "codec/update/header.h"
#include "protocol/transfer.h"

#include "tests/support/cmocka.h"

#include <stdio.h>
#include <stdlib.h>

#define NODES_MAX    12
#define VERSIONS_MAX 10
#define UPDATES_MAX  32
#define SEGS_MAX     64
#define MS           ((uint64_t)1000000)
#define SEC          ((uint64_t)1000000000)

/* ---- Contents that everybody agrees on. ---- */

struct fake_update {
    int base, target; /* versions; base -1: none */
    uint32_t segs;    /* auxiliary ones included */
    uint32_t aux;     /* of these: the first ones */
    uint32_t size[SEGS_MAX];
    uint8_t header[2048];
    size_t header_size;
    struct hash id;
    bool poisoned; /* decodes to something else */
};

struct fake_version {
    struct hash id, tree;
    uint8_t manifest[2048];
    size_t manifest_size;
    uint64_t size;
};

enum event_kind {
    EVENT_MESSAGE,
    EVENT_OP
};

struct event {
    uint64_t at, order;
    enum event_kind kind;
    int node, from;
    uint32_t epoch; /* of the link or the node; others are dropped */
    uint8_t *data;
    size_t size;
    op_id op;
    struct node_action action;
};

struct pipe { /* one direction of a link */
    bool flagged;
    uint64_t last_arrival;
    uint64_t bytes; /* arrived, with 18 a frame */
};

struct world;

struct fake_node {
    struct world *w;
    int index;
    struct transfer *t;
    uint8_t id[32];
    uint64_t up_busy_until;
    uint64_t rate;  /* uplink bytes a second; 0: 100 MB */
    uint32_t epoch; /* restarts */
    op_id last_op;
    bool manifest[VERSIONS_MAX], complete[VERSIONS_MAX];
    bool bad_base[VERSIONS_MAX];
    uint8_t blocks[VERSIONS_MAX][SEGS_MAX];
    bool header[UPDATES_MAX];
    uint8_t segs[UPDATES_MAX][SEGS_MAX];    /* held */
    uint8_t decoded[UPDATES_MAX][SEGS_MAX]; /* times */
    unsigned strikes[NODES_MAX];
    unsigned twice, makes;
    bool liar;         /* its segments are wrong */
    bool deaf;         /* answers nothing */
    bool mute;         /* sends no data */
    bool withholds;    /* sends headers, but no segment, and makes nothing */
    uint64_t estimate; /* what it says of any pair; 0: as all */
    uint64_t estimate_cpu_ns;
    unsigned estimates;      /* asked for */
    enum coding_speed speed; /* of what it made last */
    enum status fault;       /* of DECODE, once */
    enum status late_fault;  /* likewise, but of what is not auxiliary */
    bool lies_in_aux;        /* its auxiliary segments are wrong */
    uint64_t complete_at[VERSIONS_MAX];
    bool refuses_manifest;
    uint64_t data_in, sent_data;
};

struct world {
    uint64_t now, order;
    struct rng_seeded seeded;
    struct rng rng;
    struct fake_version versions[VERSIONS_MAX];
    int version_count;
    struct fake_update updates[UPDATES_MAX];
    int update_count;
    struct fake_node nodes[NODES_MAX];
    int node_count;
    struct pipe pipes[NODES_MAX][NODES_MAX];
    uint32_t link_epoch[NODES_MAX][NODES_MAX];
    bool up[NODES_MAX][NODES_MAX];
    struct event **heap;
    size_t heap_count, heap_cap;
    uint64_t delay_min, delay_max;
    bool close_struck;
    uint32_t aux;          /* auxiliary segments of updates added from now on */
    uint32_t aux_size;     /* about; 0: 30,000 */
    int made_size_percent; /* of a made update against the target */
    uint64_t estimate;     /* what hosts say of any pair; 0: they cannot */
};

static void fill(struct world *w, void *out, size_t size)
{
    rng_fill(&w->rng, out, size);
}

/* The bytes of a segment follow from its update and its place. */
static void segment_bytes(const struct fake_update *u, uint32_t seg,
                          uint8_t *out)
{
    struct rng_seeded seeded;
    rng_seeded_init(&seeded, (uint64_t)(u->base + 2) * 1000003 +
                                 (uint64_t)u->target * 7919 + seg);
    struct rng rng = rng_from_seeded(&seeded);
    rng_fill(&rng, out, u->size[seg]);
}

static int version_of(const struct world *w, const struct hash *id)
{
    for (int i = 0; i < w->version_count; i++)
        if (hash_equal(&w->versions[i].id, id))
            return i;
    return -1;
}

static int version_of_tree(const struct world *w, const struct hash *tree)
{
    for (int i = 0; i < w->version_count; i++)
        if (hash_equal(&w->versions[i].tree, tree))
            return i;
    return -1;
}

static int update_of(const struct world *w, const struct hash *id)
{
    for (int i = 0; i < w->update_count; i++)
        if (hash_equal(&w->updates[i].id, id))
            return i;
    return -1;
}

static int add_version(struct world *w, uint64_t size)
{
    struct fake_version *v = &w->versions[w->version_count];
    v->size = size;
    v->manifest_size = 300 + 32 * (size_t)((size + 65535) / 65536);
    assert_true(v->manifest_size <= sizeof v->manifest);
    fill(w, v->manifest, v->manifest_size);
    hash_bytes(HASH_MANIFEST, bytes_of(v->manifest, v->manifest_size), &v->id);
    fill(w, v->tree.b, sizeof v->tree.b);
    return w->version_count++;
}

static uint32_t block_count(const struct fake_version *v)
{
    return (uint32_t)((v->size + 65535) / 65536);
}

/* A header: u8 has base, base, tree, size, segment log, counts of segments and
 * auxiliary ones, per segment size and hash. Segments are of 1 << log blocks.
 */
static void write_header(struct world *w, struct fake_update *u, uint8_t log)
{
    struct writer wr;
    static const struct hash none;
    writer_init(&wr, u->header, sizeof u->header);
    writer_u8(&wr, u->base >= 0);
    writer_bytes(&wr, u->base >= 0 ? w->versions[u->base].tree.b : none.b, 32);
    writer_bytes(&wr, w->versions[u->target].tree.b, 32);
    writer_le64(&wr, w->versions[u->target].size);
    writer_u8(&wr, log);
    writer_le32(&wr, u->segs);
    writer_le32(&wr, u->aux);
    for (uint32_t i = 0; i < u->segs; i++) {
        uint8_t hash[16] = {0};
        uint8_t *bytes = malloc(u->size[i] + 1u);
        segment_bytes(u, i, bytes);
        if (u->size[i])
            update_segment_hash(bytes_of(bytes, u->size[i]), hash);
        free(bytes);
        writer_le32(&wr, u->size[i]);
        writer_bytes(&wr, hash, 16);
    }
    assert_int_equal(writer_status(&wr), STATUS_OK);
    u->header_size = wr.size;
    hash_bytes(HASH_UPDATE, writer_view(&wr), &u->id);
}

/* An update of about bytes in all; every empty-th segment has none (0: all
 * have some). */
static int add_update(struct world *w, int base, int target, uint64_t bytes,
                      uint8_t log, uint32_t empty)
{
    struct fake_update *u = &w->updates[w->update_count];
    uint32_t span = 1u << log;
    u->base = base;
    u->target = target;
    uint32_t count = (block_count(&w->versions[target]) + span - 1) / span;
    u->aux = w->aux;
    u->segs = u->aux + count;
    assert_true(u->segs <= SEGS_MAX);
    for (uint32_t i = 0; i < u->aux; i++)
        u->size[i] = (w->aux_size ? w->aux_size : 30000) + i;
    for (uint32_t i = 0; i < count; i++)
        u->size[u->aux + i] =
            empty && i % empty == empty - 1 ? 0 : (uint32_t)(bytes / count) + i;
    write_header(w, u, log);
    return w->update_count++;
}

static uint64_t update_bytes(const struct fake_update *u)
{
    uint64_t bytes = u->header_size;
    for (uint32_t i = 0; i < u->segs; i++)
        bytes += u->size[i];
    return bytes;
}

static enum status fake_read_header(void *ctx, struct bytes header,
                                    struct transfer_header *out)
{
    (void)ctx;
    struct reader rd;
    reader_init(&rd, header);
    out->has_base = reader_u8(&rd);
    reader_copy(&rd, out->base.b, 32);
    reader_copy(&rd, out->tree.b, 32);
    out->size = reader_le64(&rd);
    out->segment_log = reader_u8(&rd);
    out->segment_count = reader_le32(&rd);
    out->aux_count = reader_le32(&rd);
    if (out->segment_count > SEGS_MAX)
        return STATUS_LIMIT;
    out->segments = calloc(SEGS_MAX, sizeof *out->segments);
    for (uint32_t i = 0; i < out->segment_count; i++) {
        out->segments[i].size = reader_le32(&rd);
        reader_copy(&rd, out->segments[i].hash, 16);
    }
    return reader_finish(&rd);
}

/* ---- Events, by time. ---- */

static bool is_before(const struct event *a, const struct event *b)
{
    return a->at != b->at ? a->at < b->at : a->order < b->order;
}

static struct event *push_event(struct world *w, uint64_t at,
                                enum event_kind kind, int node)
{
    struct event *e = calloc(1, sizeof *e);
    e->at = at;
    e->order = w->order++;
    e->kind = kind;
    e->node = node;
    if (w->heap_count == w->heap_cap) {
        w->heap_cap = w->heap_cap ? 2 * w->heap_cap : 256;
        w->heap = realloc(w->heap, w->heap_cap * sizeof *w->heap);
    }
    size_t i = w->heap_count++;
    for (; i && is_before(e, w->heap[(i - 1) / 2]); i = (i - 1) / 2)
        w->heap[i] = w->heap[(i - 1) / 2];
    w->heap[i] = e;
    return e;
}

static struct event *pop_event(struct world *w)
{
    struct event *top = w->heap[0], *last = w->heap[--w->heap_count];
    size_t i = 0;
    for (;;) {
        size_t child = 2 * i + 1;
        if (child >= w->heap_count)
            break;
        if (child + 1 < w->heap_count &&
            is_before(w->heap[child + 1], w->heap[child]))
            child++;
        if (!is_before(w->heap[child], last))
            break;
        w->heap[i] = w->heap[child];
        i = child;
    }
    if (w->heap_count)
        w->heap[i] = last;
    return top;
}

static void free_event(struct event *e)
{
    free(e->data);
    free(e);
}

/* ---- The network. Link ids are peers + 1. ---- */

static uint64_t node_rate(const struct fake_node *n)
{
    return n->rate ? n->rate : 100000000;
}

static void transmit(struct world *w, int from, int to, struct bytes message)
{
    struct pipe *p = &w->pipes[from][to];
    struct fake_node *n = &w->nodes[from];
    uint64_t took = (message.size + 18) * SEC / node_rate(n);
    uint64_t start = n->up_busy_until > w->now ? n->up_busy_until : w->now;
    bool data = message.data[0] == MESSAGE_DATA;
    if (data)
        n->up_busy_until = start + took;
    uint64_t span = w->delay_max - w->delay_min + 1;
    uint64_t at = (data ? start : w->now) + took + w->delay_min +
                  rng_below(&w->rng, span);
    if (at < p->last_arrival)
        at = p->last_arrival;
    p->last_arrival = at;
    struct event *e = push_event(w, at, EVENT_MESSAGE, to);
    e->from = from;
    e->epoch = w->link_epoch[from][to];
    e->data = malloc(message.size);
    memcpy(e->data, message.data, message.size);
    e->size = message.size;
    if (data)
        n->sent_data += message.size + 18;
}

static void host_send(void *ctx, link_id link, struct bytes message)
{
    struct fake_node *n = ctx;
    int to = (int)link - 1;
    assert_true(message.size && message.data[0] != MESSAGE_DATA);
    if (n->w->up[n->index][to])
        transmit(n->w, n->index, to, message);
}

static void host_output(void *ctx, link_id link)
{
    struct fake_node *n = ctx;
    n->w->pipes[n->index][link - 1].flagged = true;
}

static void cut(struct world *w, int a, int b)
{
    if (!w->up[a][b])
        return;
    w->up[a][b] = w->up[b][a] = false;
    w->link_epoch[a][b]++;
    w->link_epoch[b][a]++;
    w->pipes[a][b].flagged = w->pipes[b][a].flagged = false;
    transfer_peer_down(w->nodes[a].t, (link_id)b + 1, w->now);
    transfer_peer_down(w->nodes[b].t, (link_id)a + 1, w->now);
}

static void join(struct world *w, int a, int b)
{
    w->up[a][b] = w->up[b][a] = true;
    struct transfer_peer pa = {.node = w->nodes[a].id};
    struct transfer_peer pb = {.node = w->nodes[b].id};
    assert_int_equal(
        transfer_peer_up(w->nodes[a].t, (link_id)b + 1, &pb, w->now), 0);
    assert_int_equal(
        transfer_peer_up(w->nodes[b].t, (link_id)a + 1, &pa, w->now), 0);
}

static void join_all(struct world *w)
{
    for (int a = 0; a < w->node_count; a++)
        for (int b = a + 1; b < w->node_count; b++)
            join(w, a, b);
}

static void pump(struct world *w, struct fake_node *n)
{
    uint8_t buf[16384];
    bool any = !n->deaf && !n->mute;
    while (any) {
        any = false;
        for (int to = 0; to < w->node_count; to++) {
            struct pipe *p = &w->pipes[n->index][to];
            if (!p->flagged || !w->up[n->index][to] ||
                w->now < n->up_busy_until)
                continue;
            size_t size = transfer_next_data(n->t, (link_id)to + 1, buf,
                                             sizeof buf, w->now);
            p->flagged = size > 0;
            any = any || size;
            if (size)
                transmit(w, n->index, to, bytes_of(buf, size));
        }
    }
}

/* ---- Operations. ---- */

static op_id host_start(void *ctx, const struct node_action *action)
{
    struct fake_node *n = ctx;
    uint64_t took = MS / 10 + rng_below(&n->w->rng, MS);
    if (action->kind == NODE_ACTION_MAKE)
        took = 500 * MS;
    struct event *e = push_event(n->w, n->w->now + took, EVENT_OP, n->index);
    e->epoch = n->epoch;
    e->action = *action;
    e->data = action->owned;
    e->op = ++n->last_op;
    if (action->kind == NODE_ACTION_DECODE) {
        int u = update_of(n->w, &action->update);
        n->decoded[u][action->index]++;
        n->twice += n->decoded[u][action->index] > 1;
    }
    return e->op;
}

static void host_cancel(void *ctx, op_id op)
{
    (void)ctx;
    (void)op;
}

static void host_strike(void *ctx, link_id link, const char *why)
{
    struct fake_node *n = ctx;
    (void)why;
    n->strikes[link - 1]++;
}

static void host_log(void *ctx, enum node_log_level level, const char *text)
{
    (void)ctx;
    (void)level;
    (void)text;
}

static void host_event(void *ctx, enum node_event event,
                       const struct hash *version, uint64_t done,
                       uint64_t total)
{
    struct fake_node *n = ctx;
    int v = version_of(n->w, version);
    assert_true(v >= 0 && done <= total);
    if (event == NODE_EVENT_VERSION_COMPLETE) {
        assert_true(n->complete[v]);
        n->complete_at[v] = n->w->now;
    }
}

static enum status host_check_manifest(void *ctx, const struct hash *version,
                                       struct bytes manifest)
{
    struct fake_node *n = ctx;
    int v = version_of(n->w, version);
    assert_true(
        bytes_equal(manifest, bytes_of(n->w->versions[v].manifest,
                                       n->w->versions[v].manifest_size)));
    return n->refuses_manifest ? STATUS_MISMATCH : STATUS_OK;
}

static void do_estimate(struct fake_node *n, const struct node_action *a,
                        struct node_result *r)
{
    assert_true(n->complete[version_of_tree(n->w, &a->tree)]);
    assert_true(!a->has_base || n->complete[version_of_tree(n->w, &a->base)]);
    n->estimates++;
    r->cpu_ns = n->estimate_cpu_ns;
    r->estimate = n->estimate ? n->estimate : n->w->estimate;
    if (!r->estimate)
        r->status = STATUS_NOT_FOUND;
}

static enum status do_decode(struct fake_node *n, const struct node_action *a)
{
    struct world *w = n->w;
    int ui = update_of(w, &a->update), vi = version_of(w, &a->version);
    assert_true(ui >= 0 && vi >= 0 && n->header[ui] && n->manifest[vi]);
    struct fake_update *u = &w->updates[ui];
    assert_int_equal(u->target, vi);
    if (n->fault) {
        enum status fault = n->fault;
        n->fault = STATUS_OK;
        return fault;
    }
    bool aux = a->index < u->aux;
    if (n->late_fault && !aux) {
        enum status fault = n->late_fault;
        n->late_fault = STATUS_OK;
        return fault;
    }
    for (uint32_t i = 0; i < u->aux && !aux && u->size[a->index]; i++)
        assert_true(n->segs[ui][i]); /* what the others need is here */
    if (u->base >= 0)
        assert_true(n->complete[u->base]);
    if (u->base >= 0 && n->bad_base[u->base])
        return STATUS_BAD_BASE;
    uint8_t *expected = malloc(u->size[a->index] + 1u);
    segment_bytes(u, a->index, expected);
    bool same = bytes_equal(a->bytes, bytes_of(expected, u->size[a->index]));
    free(expected);
    assert_true(same); /* the transfer checks the hash itself */
    if (u->poisoned)
        return STATUS_MISMATCH;
    uint32_t blocks = block_count(&w->versions[vi]);
    uint32_t count = u->segs - u->aux, span = (blocks + count - 1) / count;
    uint32_t first = aux ? blocks : (a->index - u->aux) * span;
    for (uint32_t b = first; b < first + span; b++)
        if (b < blocks)
            n->blocks[vi][b] = 1;
    n->segs[ui][a->index] = 1;
    return STATUS_OK;
}

static enum status do_complete(struct fake_node *n, const struct node_action *a)
{
    int v = version_of(n->w, &a->version);
    assert_true(n->manifest[v]);
    for (uint32_t b = 0; b < block_count(&n->w->versions[v]); b++)
        assert_true(n->blocks[v][b]);
    n->complete[v] = true;
    return STATUS_OK;
}

static void do_make(struct fake_node *n, const struct node_action *a,
                    struct node_result *r)
{
    struct world *w = n->w;
    int target = version_of_tree(w, &a->tree);
    int base = a->has_base ? version_of_tree(w, &a->base) : -1;
    assert_true(n->complete[target] && (base < 0 || n->complete[base]));
    int made = -1;
    for (int i = 0; i < w->update_count; i++)
        if (w->updates[i].base == base && w->updates[i].target == target)
            made = i;
    if (made < 0)
        made = add_update(w, base, target,
                          w->versions[target].size *
                              (uint64_t)w->made_size_percent / 100,
                          2, 0);
    n->header[made] = true;
    memset(n->segs[made], 1, SEGS_MAX);
    n->makes++;
    n->speed = a->speed;
    r->bytes = bytes_of(w->updates[made].header, w->updates[made].header_size);
    r->cpu_ns = 4 * SEC;
}

static void do_read_segment(struct fake_node *n, const struct node_action *a,
                            struct node_result *r, uint8_t **out)
{
    int u = update_of(n->w, &a->update);
    assert_true(u >= 0);
    if (!n->segs[u][a->index]) {
        r->status = STATUS_NOT_FOUND;
        return;
    }
    *out = malloc(n->w->updates[u].size[a->index] + 1u);
    segment_bytes(&n->w->updates[u], a->index, *out);
    if (n->liar || (n->lies_in_aux && a->index < n->w->updates[u].aux))
        (*out)[0] ^= 1;
    r->bytes = bytes_of(*out, n->w->updates[u].size[a->index]);
}

static void perform(struct world *w, struct event *e)
{
    struct fake_node *n = &w->nodes[e->node];
    const struct node_action *a = &e->action;
    struct node_result r = {.status = STATUS_OK};
    uint8_t *read = NULL;
    if (e->epoch != n->epoch)
        return;
    if (n->withholds &&
        (a->kind == NODE_ACTION_READ_SEGMENT || a->kind == NODE_ACTION_MAKE))
        return;
    int v = version_of(w, &a->version), u = update_of(w, &a->update);
    switch (a->kind) {
    case NODE_ACTION_PUT_MANIFEST:
        n->manifest[v] = true;
        break;
    case NODE_ACTION_PUT_HEADER:
        assert_true(u >= 0 && n->manifest[v]);
        n->header[u] = true;
        break;
    case NODE_ACTION_DECODE:
        r.status = do_decode(n, a);
        break;
    case NODE_ACTION_COMPLETE:
        r.status = do_complete(n, a);
        break;
    case NODE_ACTION_READ_MANIFEST:
        assert_true(n->manifest[v]);
        r.bytes =
            bytes_of(w->versions[v].manifest, w->versions[v].manifest_size);
        break;
    case NODE_ACTION_READ_HEADER:
        assert_true(n->header[u]);
        r.bytes = bytes_of(w->updates[u].header, w->updates[u].header_size);
        break;
    case NODE_ACTION_READ_SEGMENT:
        do_read_segment(n, a, &r, &read);
        break;
    case NODE_ACTION_MAKE:
        do_make(n, a, &r);
        break;
    case NODE_ACTION_ESTIMATE:
        do_estimate(n, a, &r);
        break;
    default:
        fail();
    }
    assert_true(transfer_op_done(n->t, e->op, &r, w->now));
    free(read);
}

/* ---- Running. ---- */

static void deliver(struct world *w, struct event *e)
{
    struct fake_node *n = &w->nodes[e->node];
    if (e->epoch != w->link_epoch[e->from][e->node] || !w->up[e->from][e->node])
        return;
    w->pipes[e->from][e->node].bytes += e->size + 18;
    if (e->data[0] == MESSAGE_DATA)
        n->data_in += e->size + 18;
    if (n->deaf)
        return;
    assert_int_equal(transfer_message(n->t, (link_id)e->from + 1,
                                      bytes_of(e->data, e->size), w->now),
                     STATUS_OK);
}

static uint64_t next_time(struct world *w)
{
    uint64_t at = w->heap_count ? w->heap[0]->at : UINT64_MAX;
    for (int i = 0; i < w->node_count; i++) {
        struct fake_node *n = &w->nodes[i];
        uint64_t due = transfer_deadline_ns(n->t);
        bool flagged = false;
        for (int to = 0; to < w->node_count; to++)
            flagged = flagged || w->pipes[i][to].flagged;
        if (flagged && !n->deaf && !n->mute && n->up_busy_until < at)
            at = n->up_busy_until;
        if (due < at)
            at = due;
    }
    return at > w->now || at == UINT64_MAX ? at : w->now;
}

static void close_struck(struct world *w)
{
    for (int a = 0; w->close_struck && a < w->node_count; a++)
        for (int b = 0; b < w->node_count; b++)
            if (w->nodes[a].strikes[b] >= 3)
                cut(w, a, b);
}

/* Runs until nothing happens or the time has come. */
static void run_until(struct world *w, uint64_t until)
{
    unsigned still = 0;
    for (;;) {
        uint64_t at = next_time(w);
        if (at > until)
            break;
        still = at == w->now ? still + 1 : 0;
        assert_true(still < 100000); /* time goes on */
        w->now = at;
        while (w->heap_count && w->heap[0]->at <= w->now) {
            struct event *e = pop_event(w);
            if (e->kind == EVENT_MESSAGE)
                deliver(w, e);
            else
                perform(w, e);
            free_event(e);
        }
        for (int i = 0; i < w->node_count; i++) {
            struct fake_node *n = &w->nodes[i];
            if (transfer_deadline_ns(n->t) <= w->now)
                transfer_tick(n->t, w->now);
            pump(w, n);
        }
        close_struck(w);
    }
    w->now = until;
}

static void run_for(struct world *w, uint64_t ns)
{
    run_until(w, w->now + ns);
}

static bool all_complete(const struct world *w, int v)
{
    for (int i = 0; i < w->node_count; i++)
        if (!w->nodes[i].complete[v])
            return false;
    return true;
}

/* ---- Setting up. ---- */

static void start_node(struct world *w, int i)
{
    struct fake_node *n = &w->nodes[i];
    struct transfer_host host = {.ctx = n,
                                 .send = host_send,
                                 .output = host_output,
                                 .start = host_start,
                                 .cancel = host_cancel,
                                 .strike = host_strike,
                                 .log = host_log,
                                 .event = host_event,
                                 .check_manifest = host_check_manifest,
                                 .read_header = fake_read_header};
    struct transfer_config config = {.node = n->id};
    assert_int_equal(transfer_new(&config, &host, &n->t), STATUS_OK);
}

static struct world *world_new(uint64_t seed, int nodes)
{
    struct world *w = calloc(1, sizeof *w);
    rng_seeded_init(&w->seeded, seed);
    w->rng = rng_from_seeded(&w->seeded);
    w->now = SEC;
    w->delay_min = MS / 10;
    w->delay_max = MS;
    w->node_count = nodes;
    w->close_struck = true;
    w->made_size_percent = 40;
    for (int i = 0; i < nodes; i++) {
        w->nodes[i].w = w;
        w->nodes[i].index = i;
        fill(w, w->nodes[i].id, 32);
        start_node(w, i);
    }
    return w;
}

static void world_free(struct world *w)
{
    while (w->heap_count)
        free_event(pop_event(w));
    for (int i = 0; i < w->node_count; i++)
        transfer_free(w->nodes[i].t);
    free(w->heap);
    free(w);
}

static void learn(struct world *w, int node, int v)
{
    struct transfer_version facts = {.id = w->versions[v].id,
                                     .tree = w->versions[v].tree,
                                     .size = w->versions[v].size,
                                     .manifest_size =
                                         w->versions[v].manifest_size,
                                     .model = "m",
                                     .counter = (uint64_t)v + 1};
    assert_int_equal(transfer_learn(w->nodes[node].t, &facts), STATUS_OK);
    transfer_name(w->nodes[node].t, &w->versions[v].id, true);
}

static void learn_everywhere(struct world *w, int v)
{
    for (int i = 0; i < w->node_count; i++)
        learn(w, i, v);
}

static void hold_version(struct world *w, int node, int v)
{
    struct fake_node *n = &w->nodes[node];
    n->manifest[v] = n->complete[v] = true;
    memset(n->blocks[v], 1, SEGS_MAX);
    assert_int_equal(transfer_hold_version(n->t, &w->versions[v].id, true,
                                           (struct bytes){NULL, 0}, w->now),
                     STATUS_OK);
}

/* Without its first lacking segments. */
static void hold_some(struct world *w, int node, int u, uint32_t lacking)
{
    struct fake_node *n = &w->nodes[node];
    const struct fake_update *up = &w->updates[u];
    uint8_t bits[SEGS_MAX / 8] = {0};
    n->header[u] = true;
    for (uint32_t i = lacking; i < up->segs; i++) {
        n->segs[u][i] = 1;
        bits[i / 8] = (uint8_t)(bits[i / 8] | 1u << i % 8);
    }
    assert_int_equal(
        transfer_hold_update(n->t, bytes_of(up->header, up->header_size),
                             bytes_of(bits, (up->segs + 7) / 8), w->now),
        STATUS_OK);
}

static void hold_update(struct world *w, int node, int u)
{
    struct fake_node *n = &w->nodes[node];
    n->header[u] = true;
    memset(n->segs[u], 1, SEGS_MAX);
    assert_int_equal(transfer_hold_update(n->t,
                                          bytes_of(w->updates[u].header,
                                                   w->updates[u].header_size),
                                          (struct bytes){NULL, 0}, w->now),
                     STATUS_OK);
}

static void want(struct world *w, int node, int v)
{
    assert_int_equal(
        transfer_want(w->nodes[node].t, &w->versions[v].id, 1, w->now),
        STATUS_OK);
}

static uint64_t received(const struct world *w, int node)
{
    uint64_t bytes = 0;
    for (int i = 0; i < w->node_count; i++)
        bytes += w->pipes[i][node].bytes;
    return bytes;
}

#define MODEL_SIZE  1700000u
#define UPDATE_SIZE 750000u

/* Node 0 has versions 0 and 1 and the update between them, which has up to
 * three auxiliary segments as the seed says; all others have 0 and want 1. */
static struct world *crowd_new(uint64_t seed, int nodes, bool linked)
{
    struct world *w = world_new(seed, nodes);
    int v0 = add_version(w, MODEL_SIZE), v1 = add_version(w, MODEL_SIZE);
    w->aux = seed % 4;
    int u = add_update(w, v0, v1, UPDATE_SIZE, 2, 0);
    learn_everywhere(w, v0);
    for (int i = 0; i < nodes; i++)
        hold_version(w, i, v0);
    if (linked)
        join_all(w);
    learn_everywhere(w, v1);
    hold_version(w, 0, v1);
    hold_update(w, 0, u);
    return w;
}

static void want_all(struct world *w, int v)
{
    for (int i = 1; i < w->node_count; i++) {
        run_for(w, rng_below(&w->rng, 3 * MS));
        want(w, i, v);
    }
}

static void assert_lean(struct world *w, int u)
{
    const struct fake_update *up = &w->updates[u];
    uint64_t blocks = block_count(&w->versions[up->target]);
    uint64_t bound = update_bytes(up) * 102 / 100 + 40 * blocks + 1000;
    for (int i = 1; i < w->node_count; i++) {
        assert_true(received(w, i) <= bound);
        assert_int_equal(w->nodes[i].twice, 0);
        struct transfer_counters c;
        transfer_counters(w->nodes[i].t, &c);
        assert_int_equal(c.segments_twice, 0);
        assert_int_equal(c.segments_in, up->segs);
    }
}

/* ---- Tests. ---- */

static void
transfer_spreads_over_eight_nodes_and_spares_the_origin(void **state)
{
    (void)state;
    double worst = 0, overhead = 0;
    uint64_t slowest = 0;
    for (uint64_t seed = 1; seed <= 30; seed++) {
        struct world *w = crowd_new(seed, 8, true);
        uint64_t start = w->now;
        if (seed % 3 == 0)
            w->delay_max = 30 * MS;
        if (seed % 2 == 0)
            w->nodes[0].rate = 2000000;
        want_all(w, 1);
        run_for(w, 30 * SEC);
        assert_true(all_complete(w, 1));
        assert_lean(w, 0);
        double ratio = (double)w->nodes[0].sent_data /
                       (double)update_bytes(&w->updates[0]);
        worst = ratio > worst ? ratio : worst;
        assert_true(ratio <= 1.5);
        for (int i = 1; i < 8; i++) {
            double over =
                (double)received(w, i) - (double)update_bytes(&w->updates[0]);
            overhead = over > overhead ? over : overhead;
            uint64_t took = w->nodes[i].complete_at[1] - start;
            if (seed % 6 == 1 && took > slowest)
                slowest = took;
        }
        world_free(w);
    }
    print_message("# origin sends at most %.3f updates; %.0f bytes beside the "
                  "update; fast network: %.1f ms\n",
                  worst, overhead, (double)slowest / 1e6);
}

static void transfer_fetches_from_one_peer(void **state)
{
    (void)state;
    struct world *w = crowd_new(1, 2, true);
    want(w, 1, 1);
    run_for(w, 5 * SEC);
    assert_true(all_complete(w, 1));
    assert_lean(w, 0);
    world_free(w);
}

static void transfer_decodes_empty_segments_locally(void **state)
{
    (void)state;
    struct world *w = world_new(3, 3);
    int v0 = add_version(w, MODEL_SIZE), v1 = add_version(w, MODEL_SIZE);
    int u = add_update(w, v0, v1, 90000, 0, 2);
    for (int i = 0; i < 3; i++) {
        learn(w, i, v0);
        learn(w, i, v1);
        hold_version(w, i, v0);
    }
    join_all(w);
    hold_version(w, 0, v1);
    hold_update(w, 0, u);
    want_all(w, v1);
    run_for(w, 5 * SEC);
    assert_true(all_complete(w, v1));
    struct transfer_counters c;
    transfer_counters(w->nodes[1].t, &c);
    assert_int_equal(c.segments_in, w->updates[u].segs / 2);
    world_free(w);
}

static void transfer_waits_for_a_peer_that_has_it(void **state)
{
    (void)state;
    struct world *w = world_new(4, 2);
    int v0 = add_version(w, MODEL_SIZE), v1 = add_version(w, MODEL_SIZE);
    int u = add_update(w, -1, v1, 1500000, 2, 0);
    learn_everywhere(w, v0);
    learn_everywhere(w, v1);
    join_all(w);
    want(w, 1, v1);
    run_for(w, 10 * SEC);
    struct transfer_info info;
    assert_true(transfer_info(w->nodes[1].t, &w->versions[v1].id, &info));
    assert_int_equal(info.state, NODE_VERSION_WANTED);
    assert_string_not_equal(info.why, "");
    hold_version(w, 0, v1);
    hold_update(w, 0, u);
    run_for(w, 5 * SEC);
    assert_true(all_complete(w, v1));
    assert_true(transfer_info(w->nodes[1].t, &w->versions[v1].id, &info));
    assert_string_equal(info.why, "");
    world_free(w);
}

/* Peers that are between two others relay what they get. */
static void transfer_relays_along_a_line(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 10; seed++) {
        struct world *w = crowd_new(seed, 5, false);
        for (int i = 0; i < 4; i++)
            join(w, i, i + 1);
        want_all(w, 1);
        run_for(w, 30 * SEC);
        assert_true(all_complete(w, 1));
        assert_lean(w, 0);
        world_free(w);
    }
}

static void transfer_spreads_over_a_random_graph(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct world *w = crowd_new(seed, 12, false);
        w->delay_max = 20 * MS;
        for (int i = 1; i < 12; i++) {
            int first = (int)rng_below(&w->rng, (uint64_t)i);
            if (!w->up[i][first])
                join(w, i, first);
            int other = (int)rng_below(&w->rng, 12);
            if (other != i && !w->up[i][other])
                join(w, i, other);
        }
        want_all(w, 1);
        run_for(w, 60 * SEC);
        assert_true(all_complete(w, 1));
        for (int i = 1; i < 12; i++)
            assert_int_equal(w->nodes[i].twice, 0);
        world_free(w);
    }
}

/* The others are not linked with each other: being sent elsewhere leads
 * nowhere, and the origin must give everything. */
static void transfer_insists_when_elsewhere_is_not_linked(void **state)
{
    (void)state;
    struct world *w = crowd_new(5, 6, false);
    for (int i = 1; i < 6; i++)
        join(w, 0, i);
    uint64_t start = w->now;
    want_all(w, 1);
    run_for(w, 10 * SEC);
    assert_true(all_complete(w, 1));
    assert_lean(w, 0);
    for (int i = 1; i < 6; i++)
        assert_true(w->nodes[i].complete_at[1] < start + SEC);
    world_free(w);
}

static void transfer_takes_the_chain_with_the_fewest_bytes(void **state)
{
    (void)state;
    struct world *w = world_new(6, 2);
    for (int i = 0; i < 9; i++)
        learn_everywhere(w, add_version(w, MODEL_SIZE));
    int a = add_update(w, 2, 5, 100000, 2, 0);
    int b = add_update(w, 5, 8, 120000, 2, 0);
    int full = add_update(w, -1, 8, 1500000, 2, 0);
    int c = add_update(w, 1, 8, 10000, 2, 0); /* from what is not held */
    for (int i = 0; i < 9; i++)
        hold_version(w, 0, i);
    for (int u = 0; u < w->update_count; u++)
        hold_update(w, 0, u);
    hold_version(w, 1, 2);
    transfer_name(w->nodes[0].t, &w->versions[8].id, false); /* no making */
    join_all(w);
    want(w, 1, 8);
    run_for(w, 10 * SEC);
    assert_true(w->nodes[1].complete[8]);
    assert_true(w->nodes[1].complete[5]);
    assert_false(w->nodes[1].header[full]);
    assert_false(w->nodes[1].header[c]);
    uint64_t best = update_bytes(&w->updates[a]) + update_bytes(&w->updates[b]);
    assert_true(received(w, 1) <= best * 102 / 100 + 2 * 40 * 26 + 2000);
    assert_int_equal(w->nodes[0].makes, 0);
    world_free(w);
}

static void transfer_lets_the_holder_make_what_is_much_smaller(void **state)
{
    (void)state;
    struct world *w = world_new(7, 4);
    for (int i = 0; i < 9; i++)
        learn_everywhere(w, add_version(w, MODEL_SIZE));
    for (int i = 2; i < 8; i++)
        (void)add_update(w, i, i + 1, UPDATE_SIZE, 2, 0);
    int full = add_update(w, -1, 8, 1500000, 2, 0);
    for (int i = 0; i < 9; i++)
        for (int n = 0; n < 2; n++)
            hold_version(w, n, i);
    for (int u = 0; u < w->update_count; u++)
        for (int n = 0; n < 2; n++)
            hold_update(w, n, u);
    hold_version(w, 2, 2);
    hold_version(w, 3, 2);
    w->made_size_percent = 45;
    join_all(w);
    want(w, 2, 8);
    want(w, 3, 8);
    run_for(w, 20 * SEC);
    assert_true(w->nodes[2].complete[8] && w->nodes[3].complete[8]);
    assert_false(w->nodes[2].header[full]);
    /* Both asked the same maker, which made it once. */
    assert_int_equal(w->nodes[0].makes + w->nodes[1].makes, 1);
    int made = w->update_count - 1;
    for (int i = 2; i < 4; i++)
        assert_true(received(w, i) <=
                    update_bytes(&w->updates[made]) * 102 / 100 + 3500);
    world_free(w);
}

static void transfer_makes_within_the_budget_of_a_peer(void **state)
{
    (void)state;
    struct world *w = world_new(8, 2);
    for (int i = 0; i < 8; i++)
        learn_everywhere(w, add_version(w, MODEL_SIZE));
    for (int i = 0; i < 8; i++)
        hold_version(w, 0, i);
    hold_version(w, 1, 0);
    join_all(w);
    for (int i = 1; i < 8; i++) {
        want(w, 1, i);
        run_for(w, 20 * SEC);
    }
    /* Four CPU seconds each, ten an hour: the fourth has to wait. */
    assert_int_equal(w->nodes[0].makes, 3);
    world_free(w);
}

static void
transfer_does_not_leave_what_is_under_way_for_an_estimate(void **state)
{
    (void)state;
    struct world *w = crowd_new(26, 3, false);
    w->nodes[0].rate = 1000000;
    w->estimate = 1000;
    int other = add_version(w, MODEL_SIZE);
    learn_everywhere(w, other);
    hold_version(w, 1, other);
    hold_version(w, 2, other);
    hold_version(w, 2, 1);
    transfer_drop_version(w->nodes[0].t, &w->versions[other].id);
    join(w, 0, 1);
    want(w, 1, 1);
    run_for(w, 400 * MS);
    assert_true(w->nodes[1].data_in > 100000);
    join(w, 1, 2);
    run_for(w, 10 * SEC);
    assert_true(w->nodes[1].complete[1]);
    assert_int_equal(w->nodes[2].makes, 0);
    struct transfer_counters c;
    transfer_counters(w->nodes[1].t, &c);
    assert_int_equal(c.segments_in, w->updates[0].segs);
    world_free(w);
}

static void transfer_makes_nothing_for_what_no_channel_names(void **state)
{
    (void)state;
    struct world *w = world_new(8, 2);
    for (int i = 0; i < 2; i++)
        learn_everywhere(w, add_version(w, MODEL_SIZE));
    hold_version(w, 0, 0);
    hold_version(w, 0, 1);
    hold_version(w, 1, 0);
    transfer_name(w->nodes[0].t, &w->versions[1].id, false);
    join_all(w);
    want(w, 1, 1);
    run_for(w, 20 * SEC);
    assert_int_equal(w->nodes[0].makes, 0);
    transfer_name(w->nodes[0].t, &w->versions[1].id, true);
    run_for(w, 20 * SEC);
    assert_int_equal(w->nodes[0].makes, 1);
    assert_true(w->nodes[1].complete[1]);
    world_free(w);
}

static void transfer_survives_the_death_of_links(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct world *w = crowd_new(seed, 6, true);
        w->nodes[0].rate = 3000000;
        want_all(w, 1);
        for (int k = 0; k < 6; k++) {
            run_for(w, 20 * MS + rng_below(&w->rng, 40 * MS));
            int a = (int)rng_below(&w->rng, 6), b = (int)rng_below(&w->rng, 6);
            if (a == b || !w->up[a][b])
                continue;
            cut(w, a, b);
            run_for(w, rng_below(&w->rng, 50 * MS));
            join(w, a, b);
        }
        run_for(w, 60 * SEC);
        assert_true(all_complete(w, 1));
        for (int i = 1; i < 6; i++)
            assert_int_equal(w->nodes[i].twice, 0); /* never decoded twice */
        world_free(w);
    }
}

static void transfer_drops_a_liar_and_completes(void **state)
{
    (void)state;
    struct world *w = crowd_new(9, 4, true);
    hold_version(w, 3, 1);
    hold_update(w, 3, 0);
    w->nodes[3].liar = true;
    want(w, 1, 1);
    want(w, 2, 1);
    run_for(w, 30 * SEC);
    assert_true(w->nodes[1].complete[1] && w->nodes[2].complete[1]);
    assert_true(w->nodes[1].strikes[3] + w->nodes[2].strikes[3] > 0);
    assert_int_equal(w->nodes[1].strikes[0] + w->nodes[1].strikes[2], 0);
    assert_int_equal(w->nodes[2].strikes[0] + w->nodes[2].strikes[1], 0);
    world_free(w);
}

static void transfer_cuts_the_only_peer_after_three_lies(void **state)
{
    (void)state;
    struct world *w = crowd_new(10, 2, true);
    w->nodes[0].liar = true;
    want(w, 1, 1);
    run_for(w, 30 * SEC);
    assert_false(w->nodes[1].complete[1]);
    assert_false(w->up[0][1]);
    assert_true(w->nodes[1].strikes[0] >= 3);
    for (int i = 0; i < SEGS_MAX; i++)
        assert_int_equal(w->nodes[1].decoded[0][i], 0);
    world_free(w);
}

static void transfer_leaves_a_poisoned_update(void **state)
{
    (void)state;
    struct world *w = crowd_new(11, 2, true);
    w->updates[0].poisoned = true;
    w->close_struck = false;
    int full = add_update(w, -1, 1, 1500000, 2, 0);
    hold_update(w, 0, full);
    want(w, 1, 1);
    run_for(w, 30 * SEC);
    assert_true(w->nodes[1].complete[1]);
    assert_true(w->nodes[1].strikes[0] > 0);
    assert_true(w->nodes[1].header[full]);
    world_free(w);
}

static void transfer_plans_without_a_damaged_base(void **state)
{
    (void)state;
    struct world *w = crowd_new(12, 2, true);
    int full = add_update(w, -1, 1, 1500000, 2, 0);
    hold_update(w, 0, full);
    w->nodes[1].bad_base[0] = true;
    want(w, 1, 1);
    run_for(w, 30 * SEC);
    assert_true(w->nodes[1].complete[1]);
    assert_int_equal(w->nodes[1].strikes[0], 0);
    assert_true(w->nodes[1].header[full]);
    world_free(w);
}

static void transfer_pauses_without_space_and_says_so(void **state)
{
    (void)state;
    struct world *w = crowd_new(13, 2, true);
    w->nodes[1].fault = STATUS_NO_SPACE;
    want(w, 1, 1);
    run_for(w, 10 * SEC);
    struct transfer_info info;
    assert_true(transfer_info(w->nodes[1].t, &w->versions[1].id, &info));
    assert_non_null(strstr(info.why, "no space"));
    assert_false(w->nodes[1].complete[1]);
    assert_int_equal(w->nodes[1].strikes[0], 0);
    run_for(w, 80 * SEC);
    assert_true(w->nodes[1].complete[1]);
    world_free(w);
}

static void transfer_does_not_wait_for_a_slow_peer(void **state)
{
    (void)state;
    struct world *w = crowd_new(14, 4, true);
    hold_version(w, 3, 1);
    hold_update(w, 3, 0);
    w->nodes[3].rate = 20000; /* 37 s for the whole update */
    uint64_t start = w->now;
    want(w, 1, 1);
    want(w, 2, 1);
    run_for(w, 60 * SEC);
    for (int i = 1; i < 3; i++) {
        assert_true(w->nodes[i].complete[1]);
        assert_true(w->nodes[i].complete_at[1] < start + 12 * SEC);
        assert_int_equal(w->nodes[i].twice, 0);
    }
    world_free(w);
}

/* One who got the first copies answers nothing any more, though its link
 * stays: the others come back. */
static void transfer_comes_back_from_a_peer_that_went_deaf(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 10; seed++) {
        struct world *w = crowd_new(seed, 5, true);
        w->nodes[0].rate = 2000000;
        want_all(w, 1);
        run_for(w, 60 * MS);
        w->nodes[4].deaf = true;
        run_for(w, 60 * SEC);
        for (int i = 1; i < 4; i++)
            assert_true(w->nodes[i].complete[1]);
        w->nodes[4].deaf = false;
        world_free(w);
    }
}

/* A peer that shows many small updates and sends neither their headers nor
 * their segments costs some time, and does not keep the others' away. */
static void transfer_is_not_stalled_by_empty_promises(void **state)
{
    (void)state;
    for (unsigned kind = 0; kind < 2; kind++) {
        struct world *w = crowd_new(3 + kind, 3, true);
        hold_version(w, 2, 1);
        for (unsigned i = 0; i < 20; i++)
            hold_update(w, 2, add_update(w, -1, 1, 20000 + 100 * i, 2, 0));
        w->nodes[2].mute = kind == 0;
        w->nodes[2].withholds = kind == 1;
        want(w, 1, 1);
        run_for(w, 60 * SEC);
        assert_true(w->nodes[1].complete[1]);
        world_free(w);
    }
}

/* The same for updates that it says it can make. */
static void transfer_waits_for_one_maker_that_makes_nothing(void **state)
{
    (void)state;
    struct world *w = crowd_new(5, 3, true);
    w->nodes[2].estimate = 1000;
    w->nodes[2].withholds = true;
    hold_version(w, 2, 1);
    want(w, 1, 1);
    run_for(w, 180 * SEC);
    assert_true(w->nodes[1].complete[1]);
    world_free(w);
}

static void transfer_resumes_after_a_restart(void **state)
{
    (void)state;
    struct world *w = crowd_new(15, 2, true);
    w->nodes[0].rate = 1000000;
    want(w, 1, 1);
    run_for(w, 500 * MS);
    struct fake_node *n = &w->nodes[1];
    unsigned half = 0;
    uint8_t blocks[8] = {0}, segs[8] = {0};
    for (uint32_t b = 0; b < block_count(&w->versions[1]); b++)
        blocks[b / 8] = (uint8_t)(blocks[b / 8] | n->blocks[1][b] << b % 8);
    for (uint32_t s = 0; s < w->updates[0].segs; s++) {
        segs[s / 8] = (uint8_t)(segs[s / 8] | n->segs[0][s] << s % 8);
        half += n->segs[0][s];
    }
    assert_in_range(half, 1, w->updates[0].segs - 1);

    cut(w, 0, 1);
    transfer_free(n->t);
    n->epoch++;
    start_node(w, 1);
    learn(w, 1, 0);
    learn(w, 1, 1);
    hold_version(w, 1, 0);
    struct bytes bits = {blocks, (block_count(&w->versions[1]) + 7) / 8};
    assert_int_equal(
        transfer_hold_version(n->t, &w->versions[1].id, false, bits, w->now),
        STATUS_OK);
    bits = (struct bytes){segs, (w->updates[0].segs + 7) / 8};
    assert_int_equal(transfer_hold_update(n->t,
                                          bytes_of(w->updates[0].header,
                                                   w->updates[0].header_size),
                                          bits, w->now),
                     STATUS_OK);
    want(w, 1, 1);
    join(w, 0, 1);
    run_for(w, 10 * SEC);
    assert_true(n->complete[1]);
    struct transfer_counters c;
    transfer_counters(n->t, &c);
    assert_int_equal(c.segments_in, w->updates[0].segs - half);
    world_free(w);
}

/* Verified blocks count whatever update they came from. */
static void transfer_goes_on_with_another_update(void **state)
{
    (void)state;
    struct world *w = crowd_new(16, 3, true);
    int full = add_update(w, -1, 1, 1500000, 2, 0);
    hold_version(w, 2, 1);
    hold_update(w, 2, full);
    w->nodes[0].rate = 1000000;
    want(w, 1, 1);
    run_for(w, 500 * MS);
    unsigned half = 0;
    for (uint32_t s = 0; s < w->updates[0].segs; s++)
        half += w->nodes[1].segs[0][s];
    assert_in_range(half, 1, w->updates[0].segs - 1);
    cut(w, 0, 1);
    cut(w, 0, 2);
    run_for(w, 60 * SEC);
    assert_true(w->nodes[1].complete[1]);
    struct transfer_counters c;
    transfer_counters(w->nodes[1].t, &c);
    assert_true(c.segments_in <= w->updates[0].segs + 1);
    world_free(w);
}

static void transfer_waits_for_a_holder_that_left(void **state)
{
    (void)state;
    struct world *w = crowd_new(17, 3, true);
    w->nodes[0].rate = 1000000;
    want_all(w, 1);
    run_for(w, 300 * MS);
    cut(w, 0, 1);
    cut(w, 0, 2);
    run_for(w, 60 * SEC);
    assert_false(w->nodes[1].complete[1]);
    join(w, 0, 1);
    run_for(w, 60 * SEC);
    assert_true(w->nodes[1].complete[1]);
    assert_true(w->nodes[2].complete[1]); /* relayed */
    assert_int_equal(w->nodes[1].twice + w->nodes[2].twice, 0);
    world_free(w);
}

static void transfer_heals_a_block(void **state)
{
    (void)state;
    struct world *w = crowd_new(18, 2, true);
    want(w, 1, 1);
    run_for(w, 5 * SEC);
    assert_true(w->nodes[1].complete[1]);
    w->nodes[1].complete[1] = false;
    w->nodes[1].blocks[1][5] = 0;
    transfer_heal(w->nodes[1].t, &w->versions[1].id, 5, w->now);
    run_for(w, 5 * SEC);
    assert_true(w->nodes[1].complete[1]);
    struct transfer_counters c;
    transfer_counters(w->nodes[1].t, &c);
    assert_int_equal(c.segments_in, w->updates[0].segs + 1);
    world_free(w);
}

static void transfer_refuses_a_manifest_that_does_not_fit(void **state)
{
    (void)state;
    struct world *w = crowd_new(19, 2, true);
    w->nodes[1].refuses_manifest = true;
    want(w, 1, 1);
    run_for(w, 5 * SEC);
    struct transfer_info info;
    assert_true(transfer_info(w->nodes[1].t, &w->versions[1].id, &info));
    assert_non_null(strstr(info.why, "manifest"));
    assert_false(w->nodes[1].manifest[1]);
    world_free(w);
}

static void transfer_stops_when_nothing_is_wanted_any_more(void **state)
{
    (void)state;
    struct world *w = crowd_new(20, 2, true);
    w->nodes[0].rate = 500000;
    want(w, 1, 1);
    run_for(w, 600 * MS);
    transfer_unwant(w->nodes[1].t, &w->versions[1].id, w->now);
    run_for(w, SEC);
    uint64_t before = w->nodes[1].data_in;
    run_for(w, 10 * SEC);
    assert_true(before == w->nodes[1].data_in);
    assert_int_equal(w->nodes[1].strikes[0], 0);
    want(w, 1, 1);
    run_for(w, 10 * SEC);
    assert_true(w->nodes[1].complete[1]);
    world_free(w);
}

static void transfer_keeps_to_its_rate(void **state)
{
    (void)state;
    struct world *w = world_new(21, 2);
    transfer_free(w->nodes[0].t);
    struct transfer_host host = {.ctx = &w->nodes[0],
                                 .send = host_send,
                                 .output = host_output,
                                 .start = host_start,
                                 .cancel = host_cancel,
                                 .strike = host_strike,
                                 .log = host_log,
                                 .event = host_event,
                                 .check_manifest = host_check_manifest,
                                 .read_header = fake_read_header};
    struct transfer_config config = {.node = w->nodes[0].id,
                                     .rate_bytes_s = 200000};
    assert_int_equal(transfer_new(&config, &host, &w->nodes[0].t), STATUS_OK);
    int v = add_version(w, MODEL_SIZE);
    int u = add_update(w, -1, v, 800000, 2, 0);
    learn_everywhere(w, v);
    hold_version(w, 0, v);
    hold_update(w, 0, u);
    join_all(w);
    uint64_t start = w->now;
    want(w, 1, v);
    run_for(w, 20 * SEC);
    assert_true(w->nodes[1].complete[v]);
    uint64_t took = w->nodes[1].complete_at[v] - start;
    assert_in_range(took / MS, 3500, 5000);
    world_free(w);
}

/* ---- Messages by hand. ---- */

static void inject(struct world *w, int from, int to, const struct parcel *p)
{
    uint8_t buf[16384];
    struct writer wr;
    writer_init(&wr, buf, sizeof buf);
    assert_int_equal(parcel_encode(p, &wr), STATUS_OK);
    assert_int_equal(transfer_message(w->nodes[to].t, (link_id)from + 1,
                                      writer_view(&wr), w->now),
                     STATUS_OK);
}

/* What node sent last to peer: taken off the wire. */
static bool take_reply(struct world *w, int from, int to, struct parcel *out,
                       uint8_t *buf)
{
    for (size_t i = 0; i < w->heap_count; i++) {
        struct event *e = w->heap[i];
        if (e->kind != EVENT_MESSAGE || e->from != from || e->node != to ||
            e->epoch == UINT32_MAX)
            continue;
        memcpy(buf, e->data, e->size);
        e->epoch = UINT32_MAX; /* never delivered */
        return !parcel_decode(bytes_of(buf, e->size), out, NULL);
    }
    return false;
}

static void transfer_strikes_data_that_nobody_asked_for(void **state)
{
    (void)state;
    struct world *w = crowd_new(22, 2, true);
    struct parcel *p = calloc(1, sizeof *p);
    p->type = MESSAGE_DATA;
    p->u.data.ask = 77;
    p->u.data.payload = bytes_of("x", 1);
    inject(w, 0, 1, p);
    assert_int_equal(w->nodes[1].strikes[0], 1);
    free(p);
    world_free(w);
}

/* One short message must not be worth billions of steps. */
static void transfer_does_not_walk_through_a_no_to_everything(void **state)
{
    (void)state;
    struct world *w = crowd_new(23, 2, true);
    struct parcel *p = calloc(1, sizeof *p);
    w->nodes[0].rate = 100000;
    want(w, 1, 1);
    run_for(w, 1 * SEC);
    assert_true(w->nodes[1].header[0]);
    for (uint32_t ask = 1; ask <= 16; ask++) {
        p->type = MESSAGE_NO;
        p->u.no.ask = ask;
        p->u.no.reason = PARCEL_NO_UNKNOWN;
        p->u.no.ranges.count = PARCEL_RANGES_MAX;
        for (size_t i = 0; i < PARCEL_RANGES_MAX; i++)
            p->u.no.ranges.at[i] = (struct parcel_range){99, UINT32_MAX - 99};
        inject(w, 0, 1, p);
    }
    assert_in_range(w->nodes[1].strikes[0], 1, 16);
    free(p);
    world_free(w);
}

static enum parcel_reason ask_and_read_no(struct world *w,
                                          const struct parcel *ask)
{
    uint8_t buf[16384];
    struct parcel *reply = calloc(1, sizeof *reply);
    inject(w, 1, 0, ask);
    assert_true(take_reply(w, 0, 1, reply, buf));
    assert_int_equal(reply->type, MESSAGE_NO);
    assert_int_equal(reply->u.no.ask, ask->u.ask.ask);
    enum parcel_reason reason = reply->u.no.reason;
    free(reply);
    return reason;
}

static void transfer_answers_no_to_what_it_does_not_know(void **state)
{
    (void)state;
    struct world *w = crowd_new(23, 2, true);
    struct parcel *p = calloc(1, sizeof *p);
    p->type = MESSAGE_ASK;
    enum parcel_ask_what whats[] = {PARCEL_ASK_MANIFEST, PARCEL_ASK_HEADER,
                                    PARCEL_ASK_SEGMENTS, PARCEL_ASK_MAKE};
    for (size_t i = 0; i < 4; i++) {
        memset(&p->u.ask, 0, sizeof p->u.ask);
        p->u.ask.ask = 10 + (uint32_t)i;
        p->u.ask.what = whats[i];
        memset(p->u.ask.id.b, 0x55, 32);
        p->u.ask.ranges.count = whats[i] == PARCEL_ASK_SEGMENTS;
        p->u.ask.ranges.at[0] = (struct parcel_range){0, 1};
        assert_int_equal(ask_and_read_no(w, p), PARCEL_NO_UNKNOWN);
    }
    p->u.ask.ask = 20;
    p->u.ask.what = PARCEL_ASK_SEGMENTS;
    p->u.ask.id = w->updates[0].id;
    p->u.ask.ranges.count = 1;
    p->u.ask.ranges.at[0] = (struct parcel_range){w->updates[0].segs, 1};
    assert_int_equal(ask_and_read_no(w, p), PARCEL_NO_UNKNOWN);
    p->u.ask.ranges.at[0] = (struct parcel_range){0, UINT32_MAX};
    assert_int_equal(ask_and_read_no(w, p), PARCEL_NO_UNKNOWN);
    free(p);
    world_free(w);
}

/* What the last OFFER of node 0 to node 1 says of an update that could be made;
 * 0: none came. */
static uint64_t take_estimate(struct world *w)
{
    uint8_t buf[16384];
    uint64_t bytes = 0;
    struct parcel *reply = calloc(1, sizeof *reply);
    while (take_reply(w, 0, 1, reply, buf)) {
        assert_int_equal(reply->type, MESSAGE_OFFER);
        for (size_t i = 0; i < reply->u.offer.update_count; i++)
            if (!reply->u.offer.updates[i].ref)
                bytes = reply->u.offer.updates[i].bytes;
    }
    free(reply);
    return bytes;
}

/* Two versions without an update between them at node 0, and an ask for the
 * newer one from node 1, which has the older. */
static struct world *pair_new(uint64_t seed, struct parcel *ask)
{
    struct world *w = world_new(seed, 2);
    for (int i = 0; i < 2; i++) {
        learn_everywhere(w, add_version(w, MODEL_SIZE));
        hold_version(w, 0, i);
    }
    w->delay_min = w->delay_max = SEC;
    join_all(w);
    memset(ask, 0, sizeof *ask);
    ask->type = MESSAGE_ASK;
    ask->u.ask.ask = 1;
    ask->u.ask.what = PARCEL_ASK_VERSION;
    ask->u.ask.id = w->versions[1].id;
    ask->u.ask.base_count = 1;
    ask->u.ask.bases[0] = w->versions[0].tree;
    return w;
}

static void transfer_offers_again_once_bytes_are_known(void **state)
{
    (void)state;
    struct parcel *ask = calloc(1, sizeof *ask);
    struct world *w = pair_new(28, ask);
    w->estimate = 12345;
    inject(w, 1, 0, ask);
    uint64_t guess = take_estimate(w);
    assert_true(guess > 12345);
    run_for(w, 10 * MS);
    assert_true(take_estimate(w) == 12345);
    /* Later asks are answered with it at once, without another look. */
    struct parcel cancel = {.type = MESSAGE_CANCEL};
    cancel.u.cancel.ask = 1;
    inject(w, 1, 0, &cancel);
    uint8_t buf[16384];
    struct parcel *no = calloc(1, sizeof *no);
    (void)take_reply(w, 0, 1, no, buf);
    ask->u.ask.ask = 2;
    inject(w, 1, 0, ask);
    assert_true(take_estimate(w) == 12345);
    run_for(w, 10 * MS);
    assert_int_equal(w->nodes[0].estimates, 1);
    free(no);
    free(ask);
    world_free(w);
}

/* A chain through what the peer does not have is none; an update from what it
 * has is. */
static void transfer_estimates_unless_there_is_a_direct_update(void **state)
{
    (void)state;
    for (int direct = 0; direct < 2; direct++) {
        struct parcel *ask = calloc(1, sizeof *ask);
        struct world *w = pair_new(32, ask);
        learn_everywhere(w, add_version(w, MODEL_SIZE));
        learn_everywhere(w, add_version(w, MODEL_SIZE));
        hold_version(w, 0, 2);
        hold_version(w, 0, 3);
        hold_update(w, 0, add_update(w, 0, 2, UPDATE_SIZE, 2, 0));
        hold_update(w, 0, add_update(w, 2, 1, UPDATE_SIZE, 2, 0));
        if (direct)
            hold_update(w, 0, add_update(w, 0, 1, UPDATE_SIZE, 2, 0));
        /* One more base, so that something could be made beside it. */
        ask->u.ask.base_count = 2;
        ask->u.ask.bases[1] = w->versions[3].tree;
        inject(w, 1, 0, ask);
        assert_true(take_estimate(w) > 0);
        run_for(w, 10 * MS);
        assert_int_equal(w->nodes[0].estimates, direct ? 0 : 2);
        free(ask);
        world_free(w);
    }
}

static void transfer_guesses_what_cannot_be_estimated(void **state)
{
    (void)state;
    struct parcel *ask = calloc(1, sizeof *ask);
    struct world *w = pair_new(29, ask);
    inject(w, 1, 0, ask);
    assert_true(take_estimate(w) > 0);
    run_for(w, 10 * MS);
    assert_int_equal(w->nodes[0].estimates, 1);
    assert_true(take_estimate(w) == 0);
    free(ask);
    world_free(w);
}

static void transfer_estimates_within_the_budget_of_a_peer(void **state)
{
    (void)state;
    struct parcel *ask = calloc(1, sizeof *ask);
    struct world *w = pair_new(30, ask);
    w->nodes[0].estimate_cpu_ns = 4 * SEC;
    for (int i = 2; i < 8; i++) {
        learn_everywhere(w, add_version(w, MODEL_SIZE));
        hold_version(w, 0, i);
    }
    for (uint32_t i = 0; i < 6; i++) {
        ask->u.ask.ask = i + 1;
        ask->u.ask.bases[0] = w->versions[2 + i].tree;
        inject(w, 1, 0, ask);
        run_for(w, 10 * MS);
        (void)take_estimate(w);
        struct parcel cancel = {.type = MESSAGE_CANCEL};
        cancel.u.cancel.ask = i + 1;
        inject(w, 1, 0, &cancel);
        uint8_t buf[16384];
        struct parcel *no = calloc(1, sizeof *no);
        (void)take_reply(w, 0, 1, no, buf);
        free(no);
    }
    /* Four CPU seconds each, ten an hour. */
    assert_int_equal(w->nodes[0].estimates, 3);
    free(ask);
    world_free(w);
}

/* The first version comes whole over a line of that many bytes a second; of the
 * second one an update has to be made. */
static enum coding_speed speed_of_made(uint64_t rate)
{
    struct world *w = world_new(31, 2);
    w->nodes[0].rate = rate;
    w->estimate = 1000;
    for (int i = 0; i < 2; i++) {
        learn_everywhere(w, add_version(w, MODEL_SIZE));
        hold_version(w, 0, i);
    }
    hold_update(w, 0, add_update(w, -1, 0, 500000, 2, 0));
    join_all(w);
    want(w, 1, 0);
    run_for(w, 30 * SEC);
    assert_true(w->nodes[1].complete[0]);
    want(w, 1, 1);
    run_for(w, 30 * SEC);
    assert_true(w->nodes[1].complete[1]);
    assert_int_equal(w->nodes[0].makes, 1);
    enum coding_speed speed = w->nodes[0].speed;
    world_free(w);
    return speed;
}

static void transfer_makes_what_suits_the_link(void **state)
{
    (void)state;
    assert_int_equal(speed_of_made(300000), CODING_SPEED_SMALL);
    assert_int_equal(speed_of_made(20000000), CODING_SPEED_FAST);
    struct world *w = crowd_new(31, 2, true);
    transfer_drop_update(w->nodes[0].t, &w->updates[0].id);
    want(w, 1, 1);
    run_for(w, 30 * SEC);
    assert_int_equal(w->nodes[0].makes, 1);
    assert_int_equal(w->nodes[0].speed, CODING_SPEED_AUTO);
    world_free(w);
}

static void transfer_answers_busy_over_the_quotas(void **state)
{
    (void)state;
    struct world *w = crowd_new(24, 2, true);
    struct parcel *p = calloc(1, sizeof *p);
    uint8_t buf[16384];
    struct parcel *reply = calloc(1, sizeof *reply);
    p->type = MESSAGE_ASK;
    for (uint32_t i = 0; i < 4; i++) {
        p->u.ask.ask = 10 + i;
        p->u.ask.what = PARCEL_ASK_VERSION;
        p->u.ask.id.b[0] = (uint8_t)i;
        inject(w, 1, 0, p);
        assert_true(take_reply(w, 0, 1, reply, buf));
        assert_int_equal(reply->type, MESSAGE_OFFER);
    }
    p->u.ask.ask = 20;
    p->u.ask.id.b[0] = 20;
    assert_int_equal(ask_and_read_no(w, p), PARCEL_NO_BUSY);
    /* More than the credit of a link. */
    struct parcel cancel = {.type = MESSAGE_CANCEL};
    cancel.u.cancel.ask = 10;
    inject(w, 1, 0, &cancel);
    p->u.ask.ask = 21;
    p->u.ask.what = PARCEL_ASK_SEGMENTS;
    p->u.ask.id = w->updates[0].id;
    p->u.ask.ranges.count = 1;
    p->u.ask.ranges.at[0] = (struct parcel_range){0, w->updates[0].segs};
    inject(w, 1, 0, p);
    p->u.ask.ask = 22;
    assert_int_equal(ask_and_read_no(w, p), PARCEL_NO_BUSY);
    /* A cancelled ask is confirmed. */
    cancel.u.cancel.ask = 21;
    inject(w, 1, 0, &cancel);
    assert_true(take_reply(w, 0, 1, reply, buf));
    assert_int_equal(reply->type, MESSAGE_NO);
    assert_int_equal(reply->u.no.reason, PARCEL_NO_CANCELLED);
    free(p);
    free(reply);
    world_free(w);
}

/* ---- Auxiliary segments. ---- */

/* Eight of 100 KB before twelve others, a thin line. */
static struct world *aux_new(uint64_t seed, int nodes)
{
    struct world *w = world_new(seed, nodes);
    w->aux = 8;
    w->aux_size = 100000;
    for (int v = 0; v < 2; v++) {
        learn_everywhere(w, add_version(w, 3000000));
        hold_version(w, 0, v);
    }
    for (int i = 1; i < nodes; i++)
        hold_version(w, i, 0);
    hold_update(w, 0, add_update(w, 0, 1, 1200000, 2, 0));
    w->nodes[0].rate = 2000000;
    return w;
}

static void transfer_spreads_auxiliary_segments_like_others(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 10; seed++) {
        struct world *w = aux_new(seed, 6);
        w->nodes[0].rate = 0;
        join_all(w);
        want_all(w, 1);
        run_for(w, 30 * SEC);
        assert_true(all_complete(w, 1));
        assert_lean(w, 0);
        assert_true(w->nodes[0].sent_data <=
                    update_bytes(&w->updates[0]) * 3 / 2);
        world_free(w);
    }
}

static void transfer_does_not_wait_for_slow_auxiliary_segments(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 5; seed++) {
        struct world *w = aux_new(seed, 4);
        join_all(w);
        hold_version(w, 3, 1);
        hold_update(w, 3, 0);
        w->nodes[3].rate = 20000; /* 5 s for one */
        uint64_t start = w->now;
        want(w, 1, 1);
        want(w, 2, 1);
        run_for(w, 60 * SEC);
        for (int i = 1; i < 3; i++) {
            assert_true(w->nodes[i].complete[1]);
            assert_true(w->nodes[i].complete_at[1] < start + 12 * SEC);
            assert_int_equal(w->nodes[i].twice, 0);
        }
        world_free(w);
    }
}

/* Killed while auxiliary segments come in: those that are here stay. */
static void transfer_resumes_amid_auxiliary_segments(void **state)
{
    (void)state;
    struct world *w = aux_new(31, 2);
    w->nodes[0].rate = 1000000;
    join_all(w);
    want(w, 1, 1);
    run_for(w, 500 * MS);
    struct fake_node *n = &w->nodes[1];
    const struct fake_update *u = &w->updates[0];
    unsigned held = 0;
    uint8_t segs[8] = {0};
    for (uint32_t s = 0; s < u->segs; s++) {
        segs[s / 8] = (uint8_t)(segs[s / 8] | n->segs[0][s] << s % 8);
        held += n->segs[0][s];
    }
    assert_in_range(held, 1, u->aux - 1);
    cut(w, 0, 1);
    transfer_free(n->t);
    n->epoch++;
    start_node(w, 1);
    learn(w, 1, 0);
    learn(w, 1, 1);
    hold_version(w, 1, 0);
    assert_int_equal(transfer_hold_version(n->t, &w->versions[1].id, false,
                                           (struct bytes){NULL, 0}, w->now),
                     STATUS_OK);
    assert_int_equal(
        transfer_hold_update(n->t, bytes_of(u->header, u->header_size),
                             bytes_of(segs, (u->segs + 7) / 8), w->now),
        STATUS_OK);
    want(w, 1, 1);
    join(w, 0, 1);
    run_for(w, 10 * SEC);
    assert_true(n->complete[1]);
    struct transfer_counters c;
    transfer_counters(n->t, &c);
    assert_int_equal(c.segments_in, u->segs - held);
    world_free(w);
}

/* One peer has the segments of blocks, another the auxiliary ones, and comes
 * later. */
static void transfer_gets_auxiliary_segments_from_another_peer(void **state)
{
    (void)state;
    struct world *w = aux_new(32, 3);
    transfer_drop_update(w->nodes[0].t, &w->updates[0].id);
    memset(w->nodes[0].segs[0], 0, SEGS_MAX);
    transfer_name(w->nodes[0].t, &w->versions[1].id, false); /* no making */
    hold_some(w, 0, 0, w->updates[0].aux);
    join(w, 0, 1);
    want(w, 1, 1);
    run_for(w, 20 * SEC);
    struct transfer_info info;
    assert_true(transfer_info(w->nodes[1].t, &w->versions[1].id, &info));
    assert_int_equal(info.blocks_done, 0);
    hold_version(w, 2, 1);
    hold_update(w, 2, 0);
    transfer_name(w->nodes[2].t, &w->versions[1].id, false);
    join(w, 1, 2);
    run_for(w, 40 * SEC);
    assert_true(w->nodes[1].complete[1]);
    assert_int_equal(w->nodes[1].strikes[0] + w->nodes[1].strikes[2], 0);
    world_free(w);
}

static void transfer_strikes_for_wrong_auxiliary_segments(void **state)
{
    (void)state;
    struct world *w = aux_new(33, 3);
    join_all(w);
    hold_version(w, 2, 1);
    hold_update(w, 2, 0);
    w->nodes[2].lies_in_aux = true;
    want(w, 1, 1);
    run_for(w, 30 * SEC);
    assert_true(w->nodes[1].complete[1]);
    assert_true(w->nodes[1].strikes[2] > 0);
    assert_int_equal(w->nodes[1].strikes[0], 0);
    world_free(w);
}

/* What arrives while auxiliary segments lack waits, within bounds; when the
 * peer that shows them never sends them, another way is taken. */
static void transfer_does_not_wait_for_ever_for_auxiliary_segments(void **state)
{
    (void)state;
    struct world *w = aux_new(34, 4);
    w->aux = 2;
    w->aux_size = 1000;
    int v = add_version(w, 3000000), u = add_update(w, 0, v, 20u << 20, 0, 0);
    learn_everywhere(w, v);
    w->nodes[0].rate = 100000000;
    for (int i = 0; i < 4; i++)
        transfer_name(w->nodes[i].t, &w->versions[v].id, false);
    hold_version(w, 0, v);
    hold_some(w, 0, u, w->updates[u].aux);
    hold_version(w, 2, v);
    hold_update(w, 2, u);
    w->nodes[2].withholds = true;
    join(w, 0, 1);
    join(w, 1, 2);
    want(w, 1, v);
    run_for(w, 4 * SEC);
    assert_in_range(w->nodes[1].data_in, 500000, 5u << 20);
    run_for(w, 40 * SEC);
    assert_in_range(w->nodes[1].data_in, 500000, 40u << 20);
    assert_false(w->nodes[1].complete[v]);
    w->aux = 0;
    hold_version(w, 3, v);
    hold_update(w, 3, add_update(w, -1, v, 24u << 20, 0, 0));
    join(w, 1, 3);
    run_for(w, 120 * SEC);
    assert_true(w->nodes[1].complete[v]);
    world_free(w);
}

/* 800 KB of auxiliary segments and 600 KB of others against 1 MB of another
 * update: which one is taken depends on how many of the former are held. */
static void transfer_counts_missing_auxiliary_segments(void **state)
{
    (void)state;
    static const unsigned helds[] = {0, 2, 8};
    for (unsigned k = 0; k < 3; k++) {
        unsigned held = helds[k];
        struct world *w = world_new(37, 2);
        for (int v = 0; v < 2; v++) {
            learn_everywhere(w, add_version(w, MODEL_SIZE));
            hold_version(w, 0, v);
        }
        hold_version(w, 1, 0);
        transfer_name(w->nodes[0].t, &w->versions[1].id, false);
        w->aux = 8;
        w->aux_size = 100000;
        int a = add_update(w, 0, 1, 600000, 2, 0);
        w->aux = 0;
        int b = add_update(w, -1, 1, 1000000, 2, 0);
        hold_update(w, 0, a);
        hold_update(w, 0, b);
        struct fake_node *n = &w->nodes[1];
        uint8_t bits[2] = {(uint8_t)((1u << held) - 1), 0};
        memset(n->segs[a], 1, held);
        n->header[a] = true;
        assert_int_equal(
            transfer_hold_update(
                n->t, bytes_of(w->updates[a].header, w->updates[a].header_size),
                bytes_of(bits, sizeof bits), w->now),
            STATUS_OK);
        join_all(w);
        want(w, 1, 1);
        run_for(w, 10 * SEC);
        assert_true(n->complete[1]);
        assert_int_equal(n->header[b], held < 8);
        struct transfer_counters c;
        transfer_counters(n->t, &c);
        assert_int_equal(c.segments_in, held < 8 ? w->updates[b].segs
                                                 : w->updates[a].segs - held);
        world_free(w);
    }
}

/* Our own store lost or spoilt them. */
static void transfer_fetches_spoilt_auxiliary_segments_again(void **state)
{
    (void)state;
    struct world *w = aux_new(35, 2);
    join_all(w);
    w->nodes[1].late_fault = STATUS_NOT_FOUND;
    want(w, 1, 1);
    run_for(w, 10 * SEC);
    assert_false(w->nodes[1].complete[1]);
    assert_int_equal(w->nodes[1].strikes[0], 0);
    run_for(w, 80 * SEC);
    assert_true(w->nodes[1].complete[1]);
    for (uint32_t i = 0; i < w->updates[0].aux; i++)
        assert_int_equal(w->nodes[1].decoded[0][i], 2);
    world_free(w);
}

/* Complete by another update, with some auxiliary segments of the first. */
static void transfer_offers_what_it_has_of_an_update_it_left(void **state)
{
    (void)state;
    struct world *w = aux_new(36, 3);
    w->nodes[0].rate = 1000000;
    join(w, 0, 1);
    want(w, 1, 1);
    run_for(w, 500 * MS);
    assert_true(w->nodes[1].segs[0][0] + w->nodes[1].segs[0][7] > 0 ||
                w->nodes[1].data_in > 200000);
    w->aux = 0;
    hold_version(w, 2, 1);
    transfer_name(w->nodes[2].t, &w->versions[1].id, false);
    hold_update(w, 2, add_update(w, -1, 1, 300000, 2, 0));
    cut(w, 0, 1);
    join(w, 1, 2);
    run_for(w, 60 * SEC);
    assert_true(w->nodes[1].complete[1]);
    unsigned held = 0;
    for (uint32_t i = 0; i < w->updates[0].segs; i++)
        held += w->nodes[1].segs[0][i];
    assert_in_range(held, 1, w->updates[0].segs - 1);
    struct parcel *p = calloc(1, sizeof *p);
    struct parcel *reply = calloc(1, sizeof *reply);
    uint8_t buf[16384];
    p->type = MESSAGE_ASK;
    p->u.ask.ask = 77;
    p->u.ask.what = PARCEL_ASK_VERSION;
    p->u.ask.id = w->versions[1].id;
    p->u.ask.base_count = 1;
    p->u.ask.bases[0] = w->versions[0].tree;
    inject(w, 2, 1, p);
    assert_true(take_reply(w, 1, 2, reply, buf));
    assert_int_equal(reply->type, MESSAGE_OFFER);
    bool partial = false;
    for (size_t i = 0; i < reply->u.offer.update_count; i++)
        partial = partial || (reply->u.offer.updates[i].partial &&
                              hash_equal(&reply->u.offer.updates[i].update,
                                         &w->updates[0].id));
    assert_true(partial);
    free(p);
    free(reply);
    world_free(w);
}

static void transfer_learns_within_limits(void **state)
{
    (void)state;
    struct world *w = world_new(25, 1);
    struct transfer_version facts = {.model = "m"};
    facts.size = (uint64_t)1 << 40;
    assert_int_equal(transfer_learn(w->nodes[0].t, &facts), STATUS_LIMIT);
    facts.size = 1;
    facts.manifest_size = UINT64_MAX;
    assert_int_equal(transfer_learn(w->nodes[0].t, &facts), STATUS_LIMIT);
    struct hash unknown = {{9}};
    assert_int_equal(transfer_want(w->nodes[0].t, &unknown, 1, 0),
                     STATUS_NOT_FOUND);
    assert_int_equal(transfer_hold_version(w->nodes[0].t, &unknown, true,
                                           (struct bytes){NULL, 0}, 0),
                     STATUS_NOT_FOUND);
    facts.manifest_size = 100;
    assert_int_equal(transfer_learn(w->nodes[0].t, &facts), STATUS_OK);
    assert_int_equal(transfer_hold_version(w->nodes[0].t, &facts.id, false,
                                           bytes_of("\x02", 1), 0),
                     STATUS_CORRUPT);
    assert_int_equal(transfer_hold_version(w->nodes[0].t, &facts.id, false,
                                           bytes_of("\x01\x00", 2), 0),
                     STATUS_CORRUPT);
    world_free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(transfer_fetches_from_one_peer),
        cmocka_unit_test(
            transfer_spreads_over_eight_nodes_and_spares_the_origin),
        cmocka_unit_test(transfer_decodes_empty_segments_locally),
        cmocka_unit_test(transfer_waits_for_a_peer_that_has_it),
        cmocka_unit_test(transfer_relays_along_a_line),
        cmocka_unit_test(transfer_spreads_over_a_random_graph),
        cmocka_unit_test(transfer_insists_when_elsewhere_is_not_linked),
        cmocka_unit_test(transfer_takes_the_chain_with_the_fewest_bytes),
        cmocka_unit_test(transfer_lets_the_holder_make_what_is_much_smaller),
        cmocka_unit_test(transfer_makes_within_the_budget_of_a_peer),
        cmocka_unit_test(
            transfer_does_not_leave_what_is_under_way_for_an_estimate),
        cmocka_unit_test(transfer_makes_nothing_for_what_no_channel_names),
        cmocka_unit_test(transfer_survives_the_death_of_links),
        cmocka_unit_test(transfer_drops_a_liar_and_completes),
        cmocka_unit_test(transfer_cuts_the_only_peer_after_three_lies),
        cmocka_unit_test(transfer_leaves_a_poisoned_update),
        cmocka_unit_test(transfer_plans_without_a_damaged_base),
        cmocka_unit_test(transfer_pauses_without_space_and_says_so),
        cmocka_unit_test(transfer_does_not_wait_for_a_slow_peer),
        cmocka_unit_test(transfer_comes_back_from_a_peer_that_went_deaf),
        cmocka_unit_test(transfer_is_not_stalled_by_empty_promises),
        cmocka_unit_test(transfer_waits_for_one_maker_that_makes_nothing),
        cmocka_unit_test(transfer_resumes_after_a_restart),
        cmocka_unit_test(transfer_goes_on_with_another_update),
        cmocka_unit_test(transfer_waits_for_a_holder_that_left),
        cmocka_unit_test(transfer_heals_a_block),
        cmocka_unit_test(transfer_refuses_a_manifest_that_does_not_fit),
        cmocka_unit_test(transfer_stops_when_nothing_is_wanted_any_more),
        cmocka_unit_test(transfer_keeps_to_its_rate),
        cmocka_unit_test(transfer_strikes_data_that_nobody_asked_for),
        cmocka_unit_test(transfer_does_not_walk_through_a_no_to_everything),
        cmocka_unit_test(transfer_answers_no_to_what_it_does_not_know),
        cmocka_unit_test(transfer_offers_again_once_bytes_are_known),
        cmocka_unit_test(transfer_guesses_what_cannot_be_estimated),
        cmocka_unit_test(transfer_estimates_unless_there_is_a_direct_update),
        cmocka_unit_test(transfer_estimates_within_the_budget_of_a_peer),
        cmocka_unit_test(transfer_makes_what_suits_the_link),
        cmocka_unit_test(transfer_answers_busy_over_the_quotas),
        cmocka_unit_test(transfer_spreads_auxiliary_segments_like_others),
        cmocka_unit_test(transfer_does_not_wait_for_slow_auxiliary_segments),
        cmocka_unit_test(transfer_resumes_amid_auxiliary_segments),
        cmocka_unit_test(transfer_gets_auxiliary_segments_from_another_peer),
        cmocka_unit_test(transfer_strikes_for_wrong_auxiliary_segments),
        cmocka_unit_test(
            transfer_does_not_wait_for_ever_for_auxiliary_segments),
        cmocka_unit_test(transfer_counts_missing_auxiliary_segments),
        cmocka_unit_test(transfer_fetches_spoilt_auxiliary_segments_again),
        cmocka_unit_test(transfer_offers_what_it_has_of_an_update_it_left),
        cmocka_unit_test(transfer_learns_within_limits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
