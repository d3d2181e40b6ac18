/* The clock, the events, the connections and the shells of the cores. */
#include "tests/sim/run.h"

#include "protocol/manifest.h"
#include "protocol/name.h"
#include "tests/sim/invariants.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#define NO_NODE            UINT32_MAX
#define BUFFER_NS          50000000ull /* of sending, that a socket takes ahead */
#define CHUNK_BYTES        32768u
#define CONNECT_TIMEOUT_NS (8 * SIM_SECOND)

enum event_kind {
    EVENT_TIMER,     /* node */
    EVENT_CONNECT,   /* conn: reaches the accepting side */
    EVENT_CONNECTED, /* conn: the answer is back */
    EVENT_BYTES,     /* conn, side, data */
    EVENT_PULL,      /* conn, side: the socket takes more */
    EVENT_CLOSE,     /* conn, side: the other side closed */
    EVENT_OP,        /* node, op */
    EVENT_CALL,      /* fn */
};

/* One end of a connection: a node's link, or an actor. */
struct side {
    uint32_t node; /* NO_NODE: the actor */
    unsigned boot; /* of the node, when it was made */
    link_id link;
    bool open;
    bool closing;     /* the core said CLOSE */
    bool pulling;     /* an EVENT_PULL is queued */
    uint64_t busy_ns; /* its sending is done */
};

struct conn {
    uint32_t id;
    struct side sides[2]; /* [0] dialled */
    uint64_t delay_ns;
    bool dead; /* something was lost: nothing arrives any more */
    struct sim_actor actor;
};

/* An operation under way. */
struct op {
    struct node_action action; /* with its own copies */
    uint8_t *bytes;
    char *text;
};

struct event {
    uint64_t at_ns, order;
    enum event_kind kind;
    uint32_t node, conn;
    unsigned boot, side;
    struct op *op;
    uint8_t *data;
    size_t size;
    sim_call_fn *fn;
    void *ctx;
};

struct sim {
    struct sim_config config;
    struct rng_seeded seeded;
    struct rng rng;
    struct fleet fleet;
    struct fleet_bytes founding;
    struct sim_node *nodes[SIM_NODES_MAX];
    unsigned groups[SIM_NODES_MAX];
    unsigned node_count;
    uint64_t now_ns, next_order, events;
    struct event *heap;
    size_t heap_count, heap_cap;
    struct conn **conns; /* by id; NULL: gone */
    size_t conn_count, conn_cap;
    struct hash_state trace;
    uint8_t *chunk;
};

void sim_fail(struct sim *sim, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    fprintf(stderr, "seed %llu, nodes %u, time %.6f s, event %llu: ",
            (unsigned long long)sim->config.seed, sim->config.nodes,
            (double)sim->now_ns / 1e9, (unsigned long long)sim->events);
    vfprintf(stderr, fmt, args);
    fprintf(stderr, "\n");
    va_end(args);
    exit(1);
}

static void trace(struct sim *sim, uint64_t what)
{
    hash_add_le64(&sim->trace, sim->now_ns);
    hash_add_le64(&sim->trace, what);
}

/* ---- The event queue: a binary heap by time, then by order of birth. ---- */

static bool before(const struct event *a, const struct event *b)
{
    return a->at_ns != b->at_ns ? a->at_ns < b->at_ns : a->order < b->order;
}

static void push_event(struct sim *sim, struct event event)
{
    if (sim->heap_count == sim->heap_cap) {
        sim->heap_cap = sim->heap_cap ? 2 * sim->heap_cap : 256;
        sim->heap = realloc(sim->heap, sim->heap_cap * sizeof *sim->heap);
        assert(sim->heap);
    }
    event.order = sim->next_order++;
    size_t i = sim->heap_count++;
    while (i && before(&event, &sim->heap[(i - 1) / 2])) {
        sim->heap[i] = sim->heap[(i - 1) / 2];
        i = (i - 1) / 2;
    }
    sim->heap[i] = event;
}

static struct event pop_event(struct sim *sim)
{
    struct event top = sim->heap[0], last = sim->heap[--sim->heap_count];
    size_t i = 0;
    for (;;) {
        size_t child = 2 * i + 1;
        if (child >= sim->heap_count)
            break;
        if (child + 1 < sim->heap_count &&
            before(&sim->heap[child + 1], &sim->heap[child]))
            child++;
        if (!before(&sim->heap[child], &last))
            break;
        sim->heap[i] = sim->heap[child];
        i = child;
    }
    sim->heap[i] = last;
    return top;
}

static void free_op(struct op *op)
{
    if (!op)
        return;
    free(op->bytes);
    free(op->text);
    free(op);
}

/* ---- Clocks. ---- */

/* How far a clock is off after this time: in steps small enough that it never
 * goes back. */
static int64_t drift_ns(uint64_t passed_ns, int64_t ppm)
{
    return (int64_t)(passed_ns / 1000000) * ppm +
           (int64_t)(passed_ns % 1000000) * ppm / 1000000;
}

/* What the node's clock shows: it begins anywhere and runs a little wrong. */
static uint64_t node_time(const struct sim_node *node)
{
    uint64_t passed = node->sim->now_ns - node->booted_ns;
    int64_t drift = drift_ns(passed, node->skew_ppm);
    return node->offset_ns + passed + (uint64_t)drift;
}

/* The virtual time at which it shows that, or a little later. */
static uint64_t sim_time(const struct sim_node *node, uint64_t shown_ns)
{
    uint64_t passed =
        shown_ns > node->offset_ns ? shown_ns - node->offset_ns : 0;
    uint64_t rate = (uint64_t)(1000000 + node->skew_ppm);
    uint64_t at = node->booted_ns + passed / rate * 1000000 +
                  passed % rate * 1000000 / rate + 1000;
    return at > node->sim->now_ns ? at : node->sim->now_ns + 1000;
}

/* ---- Connections. ---- */

static struct conn *conn_by_id(struct sim *sim, uint32_t id)
{
    return id < sim->conn_count ? sim->conns[id] : NULL;
}

static struct conn *new_conn(struct sim *sim)
{
    if (sim->conn_count == sim->conn_cap) {
        sim->conn_cap = sim->conn_cap ? 2 * sim->conn_cap : 64;
        sim->conns = realloc(sim->conns, sim->conn_cap * sizeof *sim->conns);
        assert(sim->conns);
    }
    struct conn *c = calloc(1, sizeof *c);
    assert(c);
    c->id = (uint32_t)sim->conn_count;
    uint64_t spread = sim->config.delay_max_ns - sim->config.delay_min_ns;
    c->delay_ns = sim->config.delay_min_ns + rng_below(&sim->rng, spread + 1);
    c->sides[0].node = c->sides[1].node = NO_NODE;
    sim->conns[sim->conn_count++] = c;
    return c;
}

static void drop_conn(struct sim *sim, struct conn *c)
{
    if (c->sides[0].open || c->sides[1].open)
        return;
    sim->conns[c->id] = NULL;
    free(c);
}

static struct sim_node *side_node(struct sim *sim, const struct side *s)
{
    if (s->node == NO_NODE)
        return NULL;
    struct sim_node *node = sim->nodes[s->node];
    return node->core && node->boots == s->boot ? node : NULL;
}

static bool apart(const struct sim *sim, const struct conn *c)
{
    uint32_t a = c->sides[0].node, b = c->sides[1].node;
    return a != NO_NODE && b != NO_NODE && sim->groups[a] != sim->groups[b];
}

static struct conn *conn_of_link(struct sim *sim, const struct sim_node *node,
                                 link_id link, unsigned *side)
{
    for (size_t i = sim->conn_count; i-- > 0;) {
        struct conn *c = sim->conns[i];
        for (unsigned s = 0; c && s < 2; s++)
            if (c->sides[s].node == node->index &&
                c->sides[s].boot == node->boots && c->sides[s].link == link) {
                *side = s;
                return c;
            }
    }
    return NULL;
}

/* Time for size bytes on the wire. */
static uint64_t wire_ns(const struct sim *sim, size_t size)
{
    return (uint64_t)size * SIM_SECOND / sim->config.bytes_s;
}

static void pump(struct sim *sim, struct sim_node *node);

/* Puts bytes on the wire of one side. */
static void send_bytes(struct sim *sim, struct conn *c, unsigned side,
                       const uint8_t *data, size_t size)
{
    struct side *s = &c->sides[side];
    if (s->busy_ns < sim->now_ns)
        s->busy_ns = sim->now_ns;
    s->busy_ns += wire_ns(sim, size);
    uint8_t *copy = malloc(size);
    assert(copy);
    memcpy(copy, data, size);
    push_event(sim, (struct event){.at_ns = s->busy_ns + c->delay_ns,
                                   .kind = EVENT_BYTES,
                                   .conn = c->id,
                                   .side = 1 - side,
                                   .data = copy,
                                   .size = size});
}

/* Takes what the core has for a link, as far as the socket takes it. */
static void pull(struct sim *sim, struct sim_node *node, struct conn *c,
                 unsigned side)
{
    struct side *s = &c->sides[side];
    while (s->open) {
        if (s->busy_ns > sim->now_ns + BUFFER_NS) {
            if (!s->pulling)
                push_event(sim, (struct event){.at_ns = s->busy_ns - BUFFER_NS,
                                               .kind = EVENT_PULL,
                                               .conn = c->id,
                                               .side = side});
            s->pulling = true;
            return;
        }
        size_t size = node_link_output(node->core, s->link, sim->chunk,
                                       CHUNK_BYTES, node_time(node));
        if (!size)
            return;
        send_bytes(sim, c, side, sim->chunk, size);
    }
}

/* One side closes: the other hears of it behind the bytes on the wire. */
static void close_side(struct sim *sim, struct conn *c, unsigned side)
{
    struct side *s = &c->sides[side];
    if (!s->open)
        return;
    s->open = false;
    uint64_t from = s->busy_ns > sim->now_ns ? s->busy_ns : sim->now_ns;
    push_event(sim, (struct event){.at_ns = from + c->delay_ns,
                                   .kind = EVENT_CLOSE,
                                   .conn = c->id,
                                   .side = 1 - side});
}

/* ---- The shell of a core: actions. ---- */

static struct sim_node *node_at(struct sim *sim, const char *addr)
{
    for (unsigned i = 0; i < sim->node_count; i++)
        if (!strcmp(sim->nodes[i]->addr, addr))
            return sim->nodes[i];
    return NULL;
}

static void do_dial(struct sim *sim, struct sim_node *node,
                    const struct node_action *action)
{
    struct conn *c = new_conn(sim);
    struct sim_node *to = node_at(sim, action->text);
    c->sides[0] = (struct side){.node = node->index,
                                .boot = node->boots,
                                .link = action->link,
                                .open = true};
    c->sides[1].node = to ? to->index : NO_NODE;
    push_event(sim, (struct event){.at_ns = sim->now_ns + c->delay_ns,
                                   .kind = EVENT_CONNECT,
                                   .conn = c->id});
}

static void do_close(struct sim *sim, struct sim_node *node,
                     const struct node_action *action)
{
    unsigned side = 0;
    struct conn *c = conn_of_link(sim, node, action->link, &side);
    if (c) {
        pull(sim, node, c, side);
        close_side(sim, c, side);
    }
    node_link_closed(node->core, action->link, action->status, node_time(node));
}

static uint64_t op_ns(struct sim *sim)
{
    return sim->config.op_min_ns +
           rng_below(&sim->rng,
                     sim->config.op_max_ns - sim->config.op_min_ns + 1);
}

/* Starts an operation; records are written one after the other. */
static void do_op(struct sim *sim, struct sim_node *node,
                  const struct node_action *action)
{
    struct op *op = calloc(1, sizeof *op);
    assert(op);
    op->action = *action;
    if (action->owned) {
        op->bytes = action->owned;
    } else if (action->bytes.size) {
        op->bytes = malloc(action->bytes.size);
        assert(op->bytes);
        memcpy(op->bytes, action->bytes.data, action->bytes.size);
        op->action.bytes.data = op->bytes;
    }
    if (action->text)
        op->text = strdup(action->text);
    uint64_t at = sim->now_ns + op_ns(sim);
    if (action->kind == NODE_ACTION_ACTIVATE)
        invariants_activate(sim, node, action->text, &action->version);
    if (action->kind == NODE_ACTION_PUT_RECORD) {
        if (at < node->records_ns)
            at = node->records_ns;
        node->records_ns = at;
    }
    push_event(sim, (struct event){.at_ns = at,
                                   .kind = EVENT_OP,
                                   .node = node->index,
                                   .boot = node->boots,
                                   .op = op});
}

static void do_output(struct sim *sim, struct sim_node *node, link_id link)
{
    unsigned side = 0;
    struct conn *c = conn_of_link(sim, node, link, &side);
    if (c)
        pull(sim, node, c, side);
}

static void perform(struct sim *sim, struct sim_node *node,
                    const struct node_action *action)
{
    switch (action->kind) {
    case NODE_ACTION_DIAL:
        do_dial(sim, node, action);
        break;
    case NODE_ACTION_CLOSE:
        do_close(sim, node, action);
        break;
    case NODE_ACTION_OUTPUT:
        do_output(sim, node, action->link);
        break;
    case NODE_ACTION_DROP_RECORD:
        disk_drop_record(&node->disk, action->record.slot);
        break;
    case NODE_ACTION_LOG:
        if (sim->config.verbose)
            fprintf(stderr, "%12.6f node %u: [%d] %s\n",
                    (double)sim->now_ns / 1e9, node->index, (int)action->level,
                    action->text);
        break;
    case NODE_ACTION_DROP_VERSION:
        disk_drop_version(&node->disk, &action->version);
        break;
    case NODE_ACTION_CANCEL:
    case NODE_ACTION_EVENT:
        break;
    default:
        do_op(sim, node, action);
    }
}

static void arm_timer(struct sim *sim, struct sim_node *node)
{
    uint64_t due = node_deadline_ns(node->core);
    if (due == UINT64_MAX)
        return;
    uint64_t at = sim_time(node, due);
    if (node->timer_ns && node->timer_ns <= at && node->timer_ns > sim->now_ns)
        return;
    node->timer_ns = at;
    push_event(sim, (struct event){.at_ns = at,
                                   .kind = EVENT_TIMER,
                                   .node = node->index,
                                   .boot = node->boots});
}

/* After any call: everything the core wants done. */
static void pump(struct sim *sim, struct sim_node *node)
{
    struct node_action action;
    unsigned turns = 0;
    while (node_next_action(node->core, &action)) {
        trace(sim, (uint64_t)action.kind << 32 | node->index);
        perform(sim, node, &action);
        if (++turns > 1000000)
            sim_fail(sim, "node %u never comes to rest", node->index);
    }
    invariants_node(sim, node);
    arm_timer(sim, node);
}

/* ---- Outcomes of operations. ---- */

static enum status read_segment(struct sim_node *node,
                                const struct node_action *a, uint8_t **copy,
                                struct bytes *out)
{
    const struct disk_update *u = disk_update(&node->disk, &a->update);
    if (!u || a->index >= u->parsed.segment_count || !u->segments[a->index])
        return STATUS_NOT_FOUND;
    *out = bytes_of(u->segments[a->index], u->parsed.segments[a->index].size);
    if (!node->faults.bad_segments || !out->size)
        return STATUS_OK;
    *copy = malloc(out->size);
    assert(*copy);
    memcpy(*copy, out->data, out->size);
    (*copy)[out->size / 2] ^= 0x10;
    out->data = *copy;
    return STATUS_OK;
}

static enum status read_object(struct sim_node *node,
                               const struct node_action *a, struct bytes *out)
{
    if (a->kind == NODE_ACTION_READ_MANIFEST) {
        const struct disk_version *v = disk_version(&node->disk, &a->version);
        if (!v)
            return STATUS_NOT_FOUND;
        *out = bytes_of(v->manifest, v->manifest_size);
        return STATUS_OK;
    }
    const struct disk_update *u = disk_update(&node->disk, &a->update);
    if (!u)
        return STATUS_NOT_FOUND;
    *out = bytes_of(u->header, u->header_size);
    return STATUS_OK;
}

static enum status do_work(struct sim *sim, struct sim_node *node,
                           struct op *op, uint8_t **copy, struct bytes *out)
{
    const struct node_action *a = &op->action;
    enum status status;
    switch (a->kind) {
    case NODE_ACTION_PUT_RECORD:
        if (!disk_put_record(&node->disk, &a->record, a->bytes))
            sim_fail(sim, "node %u: a slot goes back", node->index);
        return STATUS_OK;
    case NODE_ACTION_PUT_MANIFEST:
        return disk_put_manifest(&node->disk, &a->version, a->bytes);
    case NODE_ACTION_PUT_HEADER:
        return disk_put_header(&node->disk, &a->update, a->bytes);
    case NODE_ACTION_DECODE:
        return disk_decode(&node->disk, &a->version, &a->update, a->index,
                           a->bytes);
    case NODE_ACTION_READ_MANIFEST:
    case NODE_ACTION_READ_HEADER:
        return read_object(node, a, out);
    case NODE_ACTION_READ_SEGMENT:
        return read_segment(node, a, copy, out);
    case NODE_ACTION_COMPLETE:
        status = disk_complete(&node->disk, &a->version);
        if (status)
            sim_fail(sim, "node %u: COMPLETE: %s", node->index,
                     status_text(status));
        invariants_complete(sim, node, &a->version);
        return STATUS_OK;
    case NODE_ACTION_MAKE:
        return disk_make(&node->disk, a->has_base ? &a->base : NULL, &a->tree,
                         out);
    case NODE_ACTION_ESTIMATE:
        return STATUS_NOT_FOUND; /* or what finish_op says */
    case NODE_ACTION_ACTIVATE:
        disk_put_running(&node->disk, op->text, &a->version);
        return STATUS_OK;
    default:
        sim_fail(sim, "node %u: an action %d with an op", node->index,
                 (int)a->kind);
    }
}

static void finish_op(struct sim *sim, struct sim_node *node, struct op *op)
{
    struct node_result result = {.cpu_ns = SIM_MS};
    uint8_t *copy = NULL;
    bool fails = node->faults.fail_puts &&
                 rng_below(&sim->rng, 1000) < node->faults.fail_puts;
    if (fails)
        result.status = STATUS_IO;
    else
        result.status = do_work(sim, node, op, &copy, &result.bytes);
    if (!fails && op->action.kind == NODE_ACTION_ESTIMATE &&
        rng_below(&sim->rng, 2)) {
        result.status = STATUS_OK;
        result.estimate = 1 + rng_below(&sim->rng, 100000);
    }
    trace(sim, (uint64_t)(unsigned)-result.status);
    node_done(node->core, op->action.op, &result, node_time(node));
    free(copy);
    pump(sim, node);
}

/* ---- Events. ---- */

static void on_connect(struct sim *sim, struct conn *c)
{
    struct side *to = &c->sides[1];
    bool reached = to->node != NO_NODE && sim->nodes[to->node]->core &&
                   !apart(sim, c) && c->sides[0].open;
    if (!reached) {
        bool silent = to->node != NO_NODE && apart(sim, c);
        c->dead = true;
        push_event(sim, (struct event){.at_ns = sim->now_ns +
                                                (silent ? CONNECT_TIMEOUT_NS
                                                        : c->delay_ns),
                                       .kind = EVENT_CONNECTED,
                                       .conn = c->id});
        return;
    }
    struct sim_node *node = sim->nodes[to->node];
    char addr[48] = "10.9.9.9:1";
    if (c->sides[0].node != NO_NODE)
        (void)snprintf(addr, sizeof addr, "%.30s%u",
                       sim->nodes[c->sides[0].node]->addr, c->id % 10);
    enum status status =
        node_accept(node->core, addr, node_time(node), &to->link);
    to->boot = node->boots;
    to->open = !status;
    push_event(sim, (struct event){.at_ns = sim->now_ns + c->delay_ns,
                                   .kind = EVENT_CONNECTED,
                                   .conn = c->id});
    if (status)
        push_event(sim, (struct event){.at_ns = sim->now_ns + c->delay_ns,
                                       .kind = EVENT_CLOSE,
                                       .conn = c->id});
    pump(sim, node);
}

static void on_connected(struct sim *sim, struct conn *c)
{
    struct side *from = &c->sides[0];
    struct sim_node *node = side_node(sim, from);
    if (!from->open) {
        drop_conn(sim, c);
        return;
    }
    if (c->actor.opened && !c->dead)
        c->actor.opened(c->actor.ctx, c->id);
    if (!node)
        return;
    if (c->dead)
        from->open = false;
    node_dialled(node->core, from->link, c->dead ? STATUS_TIMEOUT : STATUS_OK,
                 "", node_time(node));
    pump(sim, node);
    if (c->dead)
        drop_conn(sim, c);
}

static void on_bytes(struct sim *sim, struct event *e)
{
    struct conn *c = conn_by_id(sim, e->conn);
    if (!c)
        return;
    struct side *s = &c->sides[e->side];
    struct sim_node *node = side_node(sim, s);
    if (apart(sim, c))
        c->dead = true;
    if (c->dead || !s->open)
        return;
    hash_add(&sim->trace, e->data, e->size < 64 ? e->size : 64);
    if (node) {
        node_link_recv(node->core, s->link, bytes_of(e->data, e->size),
                       node_time(node));
        pump(sim, node);
    } else if (c->actor.recv) {
        c->actor.recv(c->actor.ctx, c->id, bytes_of(e->data, e->size));
    }
}

static void on_close(struct sim *sim, struct conn *c, unsigned side)
{
    struct side *s = &c->sides[side];
    struct sim_node *node = side_node(sim, s);
    bool open = s->open;
    if (c->dead && apart(sim, c))
        return; /* the news of it is lost too */
    s->open = false;
    if (open && node) {
        node_link_closed(node->core, s->link, STATUS_CLOSED, node_time(node));
        pump(sim, node);
    } else if (open && c->actor.closed) {
        c->actor.closed(c->actor.ctx, c->id);
    }
    drop_conn(sim, c);
}

static void on_pull(struct sim *sim, struct conn *c, unsigned side)
{
    struct sim_node *node = side_node(sim, &c->sides[side]);
    c->sides[side].pulling = false;
    if (!node || !c->sides[side].open)
        return;
    pull(sim, node, c, side);
    pump(sim, node);
}

static void on_timer(struct sim *sim, struct event *e)
{
    struct sim_node *node = sim->nodes[e->node];
    if (!node->core || node->boots != e->boot || node->timer_ns != e->at_ns)
        return;
    node->timer_ns = 0;
    node_tick(node->core, node_time(node));
    pump(sim, node);
    if (node_deadline_ns(node->core) > node_time(node))
        node->spins = 0;
    else if (++node->spins > 100)
        sim_fail(sim, "node %u is due for ever", node->index);
}

static void on_op(struct sim *sim, struct event *e)
{
    struct sim_node *node = sim->nodes[e->node];
    if (node->core && node->boots == e->boot)
        finish_op(sim, node, e->op);
    free_op(e->op);
}

static void handle(struct sim *sim, struct event *e)
{
    struct conn *c = e->kind == EVENT_TIMER || e->kind == EVENT_OP
                         ? NULL
                         : conn_by_id(sim, e->conn);
    switch (e->kind) {
    case EVENT_TIMER:
        on_timer(sim, e);
        break;
    case EVENT_CONNECT:
        if (c)
            on_connect(sim, c);
        break;
    case EVENT_CONNECTED:
        if (c)
            on_connected(sim, c);
        break;
    case EVENT_BYTES:
        on_bytes(sim, e);
        free(e->data);
        break;
    case EVENT_PULL:
        if (c)
            on_pull(sim, c, e->side);
        break;
    case EVENT_CLOSE:
        if (c)
            on_close(sim, c, e->side);
        break;
    case EVENT_OP:
        on_op(sim, e);
        break;
    case EVENT_CALL:
        e->fn(sim, e->ctx);
        break;
    }
}

bool sim_run(struct sim *sim, uint64_t until_ns, sim_done_fn *done, void *ctx)
{
    if (done && done(sim, ctx))
        return true;
    while (sim->heap_count && sim->heap[0].at_ns <= until_ns) {
        struct event e = pop_event(sim);
        assert(e.at_ns >= sim->now_ns);
        sim->now_ns = e.at_ns;
        sim->events++;
        trace(sim, (uint64_t)e.kind << 32 | e.node);
        handle(sim, &e);
        bool quiet = e.kind == EVENT_TIMER;
        if (done && !quiet && done(sim, ctx))
            return true;
    }
    sim->now_ns = until_ns;
    return done && done(sim, ctx);
}

void sim_at(struct sim *sim, uint64_t at_ns, sim_call_fn *fn, void *ctx)
{
    push_event(sim,
               (struct event){
                   .at_ns = at_ns, .kind = EVENT_CALL, .fn = fn, .ctx = ctx});
}

/* ---- Nodes. ---- */

struct sim_node *sim_add_node(struct sim *sim)
{
    struct sim_node *node = calloc(1, sizeof *node);
    assert(node && sim->node_count < SIM_NODES_MAX);
    unsigned i = sim->node_count;
    node->sim = sim;
    node->index = i;
    (void)snprintf(node->addr, sizeof node->addr, "10.0.%u.%u:1", i / 200,
                   i % 200 + 1);
    fleet_node_key(&sim->fleet, i, &node->key);
    node->id = crypto_sign_key_id(&node->key);
    rng_seeded_init(&node->seeded, rng_u64(&sim->rng));
    uint64_t range = (uint64_t)(2 * sim->config.skew_ppm_max) + 1;
    node->skew_ppm =
        (int64_t)rng_below(&sim->rng, range) - sim->config.skew_ppm_max;
    sim->nodes[sim->node_count++] = node;
    return node;
}

void sim_boot(struct sim *sim, unsigned index)
{
    struct sim_node *node = sim->nodes[index];
    const char *peers[8];
    const char *listen[1] = {node->addr};
    struct node_config config = {.key = node->key,
                                 .fleet = sim->fleet.id,
                                 .psk_count = 1,
                                 .rng = rng_from_seeded(&node->seeded),
                                 .uptime_ns = node->uptime_ns,
                                 .peers = peers,
                                 .listen = listen,
                                 .listen_count = 1,
                                 .software = "sim",
                                 .dial_max = sim->config.dial_max,
                                 .ping_idle_ns = sim->config.ping_idle_ns,
                                 .mirror = &node->mirror,
                                 .mirror_count = node->mirror ? 1 : 0,
                                 .wire_version_max = node->wire_max};
    memset(config.psk[0], 0x5e, sizeof config.psk[0]);
    for (unsigned i = 0; i < sim->config.static_peers && i < 8; i++)
        if (i != index)
            peers[config.peer_count++] = sim->nodes[i]->addr;
    assert(!node->core);
    node->boots++;
    node->booted_ns = sim->now_ns;
    node->offset_ns = 1 + rng_below(&sim->rng, 1000 * SIM_SECOND);
    node->timer_ns = node->records_ns = node->checked_records = 0;
    enum status status = node_new(&config, &node->core);
    if (!status)
        status = disk_load(&node->disk, node->core);
    if (!status)
        status = node_start(node->core, node_time(node));
    if (status)
        sim_fail(sim, "node %u does not boot: %s", index, status_text(status));
    trace(sim, 0xb007);
    pump(sim, node);
}

void sim_crash(struct sim *sim, unsigned index)
{
    struct sim_node *node = sim->nodes[index];
    if (!node->core)
        return;
    trace(sim, 0xdead);
    node->uptime_ns += sim->now_ns - node->booted_ns;
    node_free(node->core);
    node->core = NULL;
    for (size_t i = 0; i < sim->conn_count; i++) {
        struct conn *c = sim->conns[i];
        for (unsigned s = 0; c && s < 2; s++)
            if (c->sides[s].node == index && c->sides[s].boot == node->boots)
                close_side(sim, c, s);
    }
}

void sim_stop(struct sim *sim)
{
    for (unsigned i = 0; i < sim->node_count; i++)
        sim_crash(sim, i);
}

static bool allocate(struct sim *sim)
{
    sim->chunk = malloc(CHUNK_BYTES);
    return sim->chunk != NULL;
}

struct sim *sim_new(const struct sim_config *config)
{
    struct sim *sim = calloc(1, sizeof *sim);
    assert(sim && !crypto_init() && allocate(sim));
    sim->config = *config;
    rng_seeded_init(&sim->seeded, config->seed);
    sim->rng = rng_from_seeded(&sim->seeded);
    hash_begin(&sim->trace, HASH_MISC);
    fleet_init_small(&sim->fleet, config->seed, &sim->founding);
    for (unsigned i = 0; i < config->nodes; i++)
        (void)sim_add_node(sim);
    return sim;
}

/* Node 0 founds the fleet: it has record 1. */
static void found(struct sim *sim)
{
    struct record rec;
    struct node_record_ref ref = {.kind = RECORD_FLEET};
    if (record_parse(fleet_view(&sim->founding), &rec, NULL))
        sim_fail(sim, "no fleet record");
    memcpy(ref.slot, rec.slot.b, sizeof ref.slot);
    ref.epoch = rec.f.epoch;
    ref.seq = rec.f.seq;
    ref.hash = rec.hash;
    (void)disk_put_record(&sim->nodes[0]->disk, &ref,
                          fleet_view(&sim->founding));
}

void sim_boot_all(struct sim *sim)
{
    found(sim);
    for (unsigned i = 0; i < sim->node_count; i++)
        sim_boot(sim, i);
}

void sim_free(struct sim *sim)
{
    for (unsigned i = 0; i < sim->node_count; i++) {
        node_free(sim->nodes[i]->core);
        disk_deinit(&sim->nodes[i]->disk);
        free(sim->nodes[i]);
    }
    while (sim->heap_count) {
        struct event e = pop_event(sim);
        free_op(e.op);
        free(e.data);
    }
    for (size_t i = 0; i < sim->conn_count; i++)
        free(sim->conns[i]);
    free(sim->conns);
    free(sim->heap);
    free(sim->chunk);
    free(sim);
}

/* ---- Faults. ---- */

void sim_group(struct sim *sim, unsigned node, unsigned group)
{
    sim->groups[node] = group;
}

void sim_heal(struct sim *sim)
{
    memset(sim->groups, 0, sizeof sim->groups);
}

bool sim_break_one(struct sim *sim)
{
    size_t open = 0;
    struct conn *chosen = NULL;
    for (size_t i = 0; i < sim->conn_count; i++) {
        struct conn *c = sim->conns[i];
        if (c && c->sides[0].open && c->sides[1].open &&
            !rng_below(&sim->rng, ++open))
            chosen = c;
    }
    if (!chosen)
        return false;
    for (unsigned side = 0; side < 2; side++)
        push_event(sim, (struct event){.at_ns = sim->now_ns,
                                       .kind = EVENT_CLOSE,
                                       .conn = chosen->id,
                                       .side = side});
    return true;
}

/* ---- Actors. ---- */

uint32_t sim_actor_connect(struct sim *sim, const struct sim_actor *actor,
                           unsigned node)
{
    struct conn *c = new_conn(sim);
    c->actor = *actor;
    c->sides[0].open = true;
    c->sides[1].node = node;
    push_event(sim, (struct event){.at_ns = sim->now_ns + c->delay_ns,
                                   .kind = EVENT_CONNECT,
                                   .conn = c->id});
    return c->id;
}

void sim_actor_send(struct sim *sim, uint32_t id, struct bytes out)
{
    struct conn *c = conn_by_id(sim, id);
    if (c && c->sides[0].open && out.size)
        send_bytes(sim, c, 0, out.data, out.size);
}

void sim_actor_close(struct sim *sim, uint32_t id)
{
    struct conn *c = conn_by_id(sim, id);
    if (c)
        close_side(sim, c, 0);
}

/* ---- Fleet. ---- */

enum status sim_submit(struct sim *sim, unsigned index, struct bytes envelope,
                       struct diag *diag)
{
    struct sim_node *node = sim->nodes[index];
    op_id op;
    enum status status =
        node_submit(node->core, envelope, node_time(node), &op, diag);
    pump(sim, node);
    return status;
}

uint8_t *sim_content(uint64_t seed, unsigned round, size_t size)
{
    struct rng_seeded seeded;
    struct rng rng = rng_from_seeded(&seeded);
    uint8_t *out = malloc(size + 1);
    assert(out);
    rng_seeded_init(&seeded, seed);
    rng_fill(&rng, out, size);
    for (unsigned r = 0; r < round; r++) {
        rng_seeded_init(&seeded, seed * 1000 + r + 1);
        for (unsigned i = 0; i < 20 && size > 64; i++) {
            size_t at = (size_t)rng_below(&rng, size - 64);
            rng_fill(&rng, out + at, 1 + (size_t)rng_below(&rng, 64));
        }
    }
    return out;
}

static void build_manifest(struct sim *sim, const char *model, uint64_t n,
                           struct bytes content, const struct hash *parent,
                           struct writer *out, struct manifest *m,
                           struct hash *id)
{
    struct tree_builder builder = {0};
    struct source source = source_of_bytes(content);
    struct diag diag = {{0}};
    memset(m, 0, sizeof *m);
    m->model = bytes_of_text(model);
    m->file_count = 1;
    m->files[0].path = bytes_of_text("model.bin");
    m->files[0].length = content.size;
    if (parent)
        m->parents = bytes_of(parent, sizeof *parent);
    enum status status = tree_build(&source, &builder, &m->tree);
    m->shape = builder.shape;
    m->leaves = builder.leaves;
    if (!status)
        status = vector_model_set(&m->vector, bytes_of_text("trainer"), n);
    if (!status)
        status = manifest_build(m, out, id, &diag);
    if (status)
        sim_fail(sim, "no manifest: %s %s", status_text(status), diag.text);
    m->leaves = NULL;
    tree_builder_deinit(&builder);
}

/* The version of model with that counter on the disk of a node. */
static const struct disk_version *older(struct sim *sim, struct sim_node *node,
                                        const char *model, uint64_t n)
{
    const struct trust *trust = node_trust(node->core);
    struct trust_version facts;
    size_t cursor = 0;
    (void)sim;
    while (trust_version_next(trust, &cursor, bytes_of_text(model), &facts))
        if (facts.n == n)
            return disk_version(&node->disk, &facts.body.id);
    return NULL;
}

static void add_update(struct sim *sim, struct sim_node *node,
                       const struct hash *base, const struct hash *tree)
{
    struct bytes header;
    enum status status = disk_make(&node->disk, base, tree, &header);
    if (!status)
        status = node_add_update(node->core, header);
    if (status)
        sim_fail(sim, "no update: %s", status_text(status));
}

struct hash sim_publish(struct sim *sim, unsigned index, const char *model,
                        uint64_t n, struct bytes content)
{
    return sim_publish_floor(sim, index, model, n, 1, content);
}

struct hash sim_publish_floor(struct sim *sim, unsigned index,
                              const char *model, uint64_t n, uint64_t floor,
                              struct bytes content)
{
    struct sim_node *node = sim->nodes[index];
    const struct disk_version *base =
        n > 1 ? older(sim, node, model, n - 1) : NULL;
    struct manifest *m = calloc(1, sizeof *m);
    struct fleet_bytes *record = malloc(sizeof *record);
    struct writer wr;
    struct hash id;
    assert(m && record);
    writer_init_heap(&wr, LIMIT_MANIFEST_BYTES);
    build_manifest(sim, model, n, content, base ? &base->id : NULL, &wr, m,
                   &id);
    disk_put_content(&node->disk, &id, writer_view(&wr), content);
    enum status status = node_add_version(node->core, &id, writer_view(&wr));
    if (status)
        sim_fail(sim, "version not added: %s", status_text(status));
    add_update(sim, node, NULL, &m->tree);
    if (base && base->complete)
        add_update(sim, node, &base->tree, &m->tree);
    struct body_version body = {.id = id,
                                .tree = m->tree,
                                .size = content.size,
                                .manifest_size = wr.size,
                                .vector = m->vector,
                                .parents = m->parents,
                                .floor = floor};
    fleet_version_body(&sim->fleet, "trainer", model, n, 1, &body, record);
    struct diag diag = {{0}};
    status = sim_submit(sim, index, fleet_view(record), &diag);
    if (status)
        sim_fail(sim, "version record refused: %s", diag.text);
    writer_deinit(&wr);
    free(m);
    free(record);
    return id;
}

void sim_release(struct sim *sim, unsigned node, uint64_t seq,
                 const char *model, const struct hash *version)
{
    struct fleet_bytes *record = malloc(sizeof *record);
    struct diag diag = {{0}};
    assert(record);
    fleet_channel(&sim->fleet, "desk", "main", seq, model, version, record);
    if (sim_submit(sim, node, fleet_view(record), &diag))
        sim_fail(sim, "channel record refused: %s", diag.text);
    free(record);
}

enum status sim_want(struct sim *sim, unsigned index,
                     const struct hash *version)
{
    struct sim_node *node = sim->nodes[index];
    enum status status = node_want(node->core, version, node_time(node));
    pump(sim, node);
    return status;
}

void sim_damage(struct sim *sim, unsigned index, const struct hash *version)
{
    struct sim_node *node = sim->nodes[index];
    struct disk_version *v = disk_version(&node->disk, version);
    assert(v && v->complete);
    v->complete = false;
    v->bitmap[0] &= 0xfe;
    memset(v->content, 0, tree_block_size(&v->shape, 0));
    node_heal(node->core, version, 0, node_time(node));
    pump(sim, node);
}

/* ---- Asking. ---- */

static struct trie_root root_of(struct sim_node *node, enum trust_trie which)
{
    struct trust *trust = (struct trust *)(uintptr_t)node_trust(node->core);
    return trie_root(trust_trie(trust, which));
}

bool sim_equal(struct sim *sim, void *unused)
{
    struct trie_root control = {{0}}, status = {{0}};
    bool first = true;
    (void)unused;
    for (unsigned i = 0; i < sim->node_count; i++) {
        struct sim_node *node = sim->nodes[i];
        if (!node->core)
            continue;
        struct trie_root c = root_of(node, TRUST_TRIE_CONTROL);
        struct trie_root s = root_of(node, TRUST_TRIE_STATUS);
        if (first) {
            control = c;
            status = s;
            first = false;
        }
        if (memcmp(&control, &c, sizeof c) || memcmp(&status, &s, sizeof s))
            return false;
    }
    return true;
}

bool sim_all_run(struct sim *sim, void *ctx)
{
    const struct sim_goal *goal = ctx;
    for (unsigned i = 0; i < sim->node_count; i++) {
        struct sim_node *node = sim->nodes[i];
        const struct hash *runs = disk_running(&node->disk, goal->model);
        if (node->core && (!runs || !hash_equal(runs, &goal->version)))
            return false;
    }
    return true;
}

unsigned sim_links_up(struct sim *sim, unsigned index)
{
    struct node_link_info info;
    unsigned up = 0;
    if (!sim->nodes[index]->core)
        return 0;
    for (size_t i = 0; node_link_at(sim->nodes[index]->core, i, &info); i++)
        if (info.up)
            up++;
    return up;
}

bool sim_all_link(struct sim *sim, void *unused)
{
    (void)unused;
    for (unsigned i = 0; i < sim->node_count; i++)
        if (sim->nodes[i]->core && !sim_links_up(sim, i))
            return false;
    return true;
}

void sim_totals(struct sim *sim, struct node_counters *out)
{
    uint64_t *to = (uint64_t *)(void *)out;
    memset(out, 0, sizeof *out);
    for (unsigned i = 0; i < sim->node_count; i++) {
        struct node_counters c;
        const uint64_t *from = (const uint64_t *)(const void *)&c;
        if (!sim->nodes[i]->core)
            continue;
        node_counters(sim->nodes[i]->core, &c);
        for (size_t k = 0; k < sizeof c / sizeof *from; k++)
            to[k] += from[k];
    }
}

uint64_t sim_now(const struct sim *sim)
{
    return sim->now_ns;
}

struct rng *sim_rng(struct sim *sim)
{
    return &sim->rng;
}

struct fleet *sim_fleet(struct sim *sim)
{
    return &sim->fleet;
}

const struct sim_config *sim_config(const struct sim *sim)
{
    return &sim->config;
}

struct sim_node *sim_node(struct sim *sim, unsigned index)
{
    return sim->nodes[index];
}

unsigned sim_node_count(const struct sim *sim)
{
    return sim->node_count;
}

uint64_t sim_trace(struct sim *sim)
{
    struct hash_state copy = sim->trace;
    struct hash out;
    hash_end(&copy, &out);
    return load_le64(out.b);
}

uint64_t sim_events(const struct sim *sim)
{
    return sim->events;
}
