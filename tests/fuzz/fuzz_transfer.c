/* A transfer among hostile peers and a moody disk: the input is a list of
 * commands (messages made of few ids so that they meet, raw bytes, outcomes of
 * operations in any order, time, links that come and go). It must neither
 * crash nor leak, take a wrong segment for a right one, nor run in circles. */
#include "codec/update/header.h"
#include "protocol/manifest.h"
#include "protocol/transfer.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define LINKS     3
#define VERSIONS  3 /* 0 held, 1 wanted, 2 known */
#define UPDATES   2 /* 0 held: 0 -> 2, 1: 0 -> 1 */
#define SEGS      4
#define SEG_SIZE  3000u
#define OPS_MAX   64
#define STEPS_MAX 400

struct pending {
    op_id id;
    struct node_action action;
};

struct world {
    struct transfer *t;
    struct reader in;
    uint64_t now;
    bool up[LINKS];
    struct hash version[VERSIONS], tree[VERSIONS], update[UPDATES];
    uint8_t manifest[VERSIONS][100];
    uint8_t header[UPDATES][2];
    struct pending ops[OPS_MAX];
    size_t op_count;
    op_id last_op;
    uint8_t segment[SEG_SIZE];
    uint8_t packed[200]; /* the wanted version's manifest as it travels */
    size_t packed_size;
    bool aux[UPDATES]; /* the auxiliary segment was put */
};

static void segment_of(uint8_t update, uint32_t index, uint8_t *out)
{
    for (uint32_t i = 0; i < SEG_SIZE; i++)
        out[i] = (uint8_t)(update * 31 + index * 7 + i);
}

/* Two bytes: 'h' and which update. The first segment is auxiliary. */
static enum status host_read_header(void *ctx, struct bytes header,
                                    struct transfer_header *out)
{
    struct world *w = ctx;
    if (header.size != 2 || header.data[0] != 'h' || header.data[1] >= UPDATES)
        return STATUS_CORRUPT;
    out->has_base = true;
    out->base = w->tree[0];
    out->tree = w->tree[header.data[1] ? 1 : 2];
    out->size = (SEGS - 1) * 65536u;
    out->segment_count = SEGS;
    out->aux_count = 1;
    out->segments = calloc(SEGS, sizeof *out->segments);
    if (!out->segments)
        abort();
    for (uint32_t i = 0; i < SEGS - 1; i++) { /* the last is empty */
        uint8_t bytes[SEG_SIZE];
        segment_of(header.data[1], i, bytes);
        out->segments[i].size = SEG_SIZE;
        update_segment_hash(bytes_of(bytes, SEG_SIZE), out->segments[i].hash);
    }
    return STATUS_OK;
}

static void host_send(void *ctx, link_id link, struct bytes message)
{
    struct world *w = ctx;
    struct parcel p;
    if (!w->up[link - 1] || parcel_decode(message, &p, NULL))
        abort();
}

static void host_output(void *ctx, link_id link)
{
    (void)ctx;
    (void)link;
}

static op_id host_start(void *ctx, const struct node_action *action)
{
    struct world *w = ctx;
    if (w->op_count == OPS_MAX)
        return 0;
    if (action->kind == NODE_ACTION_DECODE && action->bytes.size) {
        uint8_t bytes[SEG_SIZE];
        segment_of(hash_equal(&action->update, &w->update[1]), action->index,
                   bytes);
        if (!bytes_equal(action->bytes, bytes_of(bytes, SEG_SIZE)))
            abort(); /* the hash must have been checked */
        if (action->index &&
            !w->aux[hash_equal(&action->update, &w->update[1])])
            abort(); /* what it needs must be here */
    }
    w->ops[w->op_count].id = ++w->last_op;
    w->ops[w->op_count++].action = *action;
    return w->last_op;
}

static void host_cancel(void *ctx, op_id op)
{
    (void)ctx;
    (void)op;
}

static void host_strike(void *ctx, link_id link, const char *why)
{
    (void)ctx;
    (void)link;
    (void)why;
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
    (void)ctx;
    (void)event;
    (void)version;
    if (done > total)
        abort();
}

static enum status host_check_manifest(void *ctx, const struct hash *version,
                                       struct bytes manifest)
{
    (void)ctx;
    (void)version;
    return manifest.size == 100 ? STATUS_OK : STATUS_MISMATCH;
}

/* ---- Messages out of the input. ---- */

static uint8_t byte(struct world *w)
{
    return reader_u8(&w->in);
}

static struct hash pick_id(struct world *w)
{
    uint8_t which = byte(w) % (2 * VERSIONS + UPDATES + 1);
    struct hash other = {{which}};
    if (which < VERSIONS)
        return w->version[which];
    if (which < 2 * VERSIONS)
        return w->tree[which - VERSIONS];
    if (which < 2 * VERSIONS + UPDATES)
        return w->update[which - 2 * VERSIONS];
    return other;
}

static void pick_ranges(struct world *w, struct parcel_ranges *out)
{
    out->count = byte(w) % 4;
    for (size_t i = 0; i < out->count; i++) {
        uint8_t first = byte(w);
        out->at[i].first = first < 250 ? first % 6u : first * 0x01010101u;
        out->at[i].count = byte(w) % 5 + 1u;
        if (byte(w) == 255 && first < 250)
            out->at[i].count = UINT32_MAX - out->at[i].first;
        if (out->at[i].count > UINT32_MAX - out->at[i].first)
            out->at[i].count = UINT32_MAX - out->at[i].first;
        if (!out->at[i].count)
            out->at[i] = (struct parcel_range){0, 1};
    }
}

static void pick_offer(struct world *w, struct parcel_offer *m)
{
    m->ask = byte(w) % 16;
    m->manifest = byte(w) % 2;
    m->complete = byte(w) % 2;
    m->update_count = byte(w) % 5;
    for (size_t i = 0; i < m->update_count; i++) {
        struct parcel_offer_update *e = &m->updates[i];
        memset(e, 0, sizeof *e);
        uint8_t bits = byte(w);
        e->ref = bits % 4;
        if (e->ref)
            e->update = pick_id(w);
        e->has_base = bits & 4;
        if (e->has_base)
            e->base = pick_id(w);
        e->has_tree = bits & 8;
        if (e->has_tree)
            e->tree = pick_id(w);
        e->partial = bits & 16;
        e->bytes = bits & 32 ? UINT64_MAX : 1u + byte(w) * 100u;
    }
}

static void pick_data(struct world *w, struct parcel_data *m, uint8_t *buf)
{
    static const uint32_t cuts[] = {0, 100, 1500, 3000};
    uint8_t what = byte(w);
    memset(m, 0, sizeof *m);
    m->ask = byte(w) % 16;
    m->index = byte(w) % 5;
    uint32_t from = cuts[what % 4], to = cuts[byte(w) % 4];
    m->last = byte(w) % 2;
    m->prefixed = what & 64;
    m->offset = what & 32 ? UINT64_MAX - from : from;
    segment_of(what & 16 ? 0 : 1, m->index, buf);
    m->payload = bytes_of(buf + from, to > from ? to - from : 1);
    if (what & 128) {
        m->offset = 0;
        m->last = true;
        m->payload = what & 2 ? bytes_of(w->packed, w->packed_size)
                              : bytes_of(w->header[what & 1], 2);
    }
}

static void pick_ask(struct world *w, struct parcel_ask *m)
{
    memset(m, 0, sizeof *m);
    m->ask = byte(w) % 16;
    m->what = (enum parcel_ask_what)(byte(w) % (PARCEL_ASK_MAKE + 1));
    m->insist = byte(w) % 2;
    m->id = pick_id(w);
    m->base_count = byte(w) % (PARCEL_BASES_MAX + 1);
    for (size_t i = 0; i < m->base_count; i++)
        m->bases[i] = pick_id(w);
    pick_ranges(w, &m->ranges);
}

static void pick_message(struct world *w, struct parcel *p, uint8_t *buf)
{
    static const enum message_type types[] = {MESSAGE_HAVE,   MESSAGE_ASK,
                                              MESSAGE_OFFER,  MESSAGE_NO,
                                              MESSAGE_CANCEL, MESSAGE_DATA};
    p->type = types[byte(w) % 6];
    switch (p->type) {
    case MESSAGE_HAVE:
        p->u.have.ref = byte(w) % 4;
        p->u.have.complete = byte(w) % 8 == 0;
        pick_ranges(w, &p->u.have.verified);
        pick_ranges(w, &p->u.have.pending);
        pick_ranges(w, &p->u.have.gone);
        break;
    case MESSAGE_ASK:
        pick_ask(w, &p->u.ask);
        p->u.ask.rate = p->u.ask.ask * 500000u;
        break;
    case MESSAGE_OFFER:
        pick_offer(w, &p->u.offer);
        break;
    case MESSAGE_NO:
        p->u.no.ask = byte(w) % 16;
        p->u.no.reason = (enum parcel_reason)(byte(w) % PARCEL_NO_REASON_COUNT);
        p->u.no.retry_ms = byte(w) * 0x1000000u;
        p->u.no.has_node = byte(w) % 2;
        memset(p->u.no.node.b, byte(w) % LINKS + 1, sizeof p->u.no.node.b);
        pick_ranges(w, &p->u.no.ranges);
        break;
    case MESSAGE_CANCEL:
        p->u.cancel.ask = byte(w) % 16;
        pick_ranges(w, &p->u.cancel.ranges);
        break;
    default:
        pick_data(w, &p->u.data, buf);
    }
}

static void send_message(struct world *w)
{
    uint8_t buf[SEG_SIZE + 1] = {0}, wire[8192];
    struct parcel p;
    struct writer wr;
    link_id link = byte(w) % LINKS + 1u;
    pick_message(w, &p, buf);
    writer_init(&wr, wire, sizeof wire);
    if (parcel_encode(&p, &wr))
        abort();
    if (transfer_message(w->t, link, writer_view(&wr), w->now) &&
        w->up[link - 1])
        abort(); /* what we write must read */
}

static void send_raw(struct world *w)
{
    struct bytes raw = reader_bytes(&w->in, byte(w) % 64u);
    (void)!transfer_message(w->t, byte(w) % LINKS + 1u, raw, w->now);
}

/* ---- Outcomes. ---- */

static int index_of(const struct hash *list, int count, const struct hash *id)
{
    for (int i = 0; i < count; i++)
        if (hash_equal(&list[i], id))
            return i;
    return -1;
}

static void end_operation(struct world *w)
{
    static const enum status statuses[] = {
        STATUS_OK,       STATUS_OK,       STATUS_OK, STATUS_MISMATCH,
        STATUS_BAD_BASE, STATUS_NO_SPACE, STATUS_IO, STATUS_NOT_FOUND};
    if (!w->op_count)
        return;
    size_t i = byte(w) % w->op_count;
    struct pending op = w->ops[i];
    w->ops[i] = w->ops[--w->op_count];
    struct node_result r = {.status = statuses[byte(w) % 8],
                            .cpu_ns = byte(w) * 100000000u};
    r.estimate = r.cpu_ns / 1000000u;
    uint8_t bytes[SEG_SIZE];
    int v = index_of(w->version, VERSIONS, &op.action.version);
    int u = index_of(w->update, UPDATES, &op.action.update);
    if (op.action.kind == NODE_ACTION_READ_MANIFEST && v >= 0)
        r.bytes = bytes_of(w->manifest[v], 100);
    if (op.action.kind == NODE_ACTION_READ_HEADER && u >= 0)
        r.bytes = bytes_of(w->header[u], 2);
    if (op.action.kind == NODE_ACTION_MAKE)
        r.bytes = bytes_of(w->header[byte(w) % UPDATES], 2);
    if (op.action.kind == NODE_ACTION_READ_SEGMENT && u >= 0) {
        segment_of((uint8_t)u, op.action.index, bytes);
        r.bytes = bytes_of(bytes, SEG_SIZE);
    }
    if (op.action.kind == NODE_ACTION_DECODE && u >= 0 && !r.status)
        w->aux[u] = w->aux[u] || !op.action.index;
    if (!transfer_op_done(w->t, op.id, &r, w->now))
        abort();
    free(op.action.owned);
}

static void toggle_link(struct world *w)
{
    unsigned i = byte(w) % LINKS;
    uint8_t node[32];
    memset(node, (int)i + 1, sizeof node);
    struct transfer_peer peer = {.node = node, .lan = i == 0};
    w->up[i] = !w->up[i];
    if (!w->up[i])
        transfer_peer_down(w->t, i + 1, w->now);
    else if (transfer_peer_up(w->t, i + 1, &peer, w->now))
        abort();
}

static void local_change(struct world *w)
{
    struct hash id = pick_id(w);
    switch (byte(w) % 8) {
    case 0:
        transfer_drop_version(w->t, &id);
        break;
    case 1:
        transfer_drop_update(w->t, &id);
        break;
    case 2:
        transfer_heal(w->t, &id, byte(w), w->now);
        break;
    case 3:
        transfer_unwant(w->t, &id, w->now);
        break;
    case 4:
        transfer_forget(w->t, &id);
        break;
    case 5:
        transfer_name(w->t, &id, byte(w) % 2);
        break;
    default:
        (void)!transfer_want(w->t, &id, byte(w), w->now);
    }
}

static void step(struct world *w)
{
    uint8_t out[2048];
    switch (byte(w) % 12) {
    case 0:
        send_raw(w);
        break;
    case 1:
    case 2:
        end_operation(w);
        break;
    case 3:
        w->now += (uint64_t)byte(w) * 1000000;
        transfer_tick(w->t, w->now);
        break;
    case 4:
        w->now += (uint64_t)byte(w) * 1000000000;
        transfer_tick(w->t, w->now);
        break;
    case 5:
        (void)transfer_next_data(w->t, byte(w) % LINKS + 1u, out, sizeof out,
                                 w->now);
        break;
    case 6:
        toggle_link(w);
        break;
    case 7:
        local_change(w);
        break;
    default:
        send_message(w);
    }
    for (int i = 0; i < 50 && transfer_deadline_ns(w->t) <= w->now; i++) {
        if (i == 49)
            abort(); /* a deadline in the past that ticking does not move */
        transfer_tick(w->t, w->now);
        w->now++;
    }
}

static void world_init(struct world *w)
{
    struct transfer_host host = {.ctx = w,
                                 .send = host_send,
                                 .output = host_output,
                                 .start = host_start,
                                 .cancel = host_cancel,
                                 .strike = host_strike,
                                 .log = host_log,
                                 .event = host_event,
                                 .check_manifest = host_check_manifest,
                                 .read_header = host_read_header};
    static const uint8_t node[32];
    struct transfer_config config = {.node = node, .rate_bytes_s = 100000};
    w->now = 1;
    if (transfer_new(&config, &host, &w->t))
        abort();
    for (uint8_t v = 0; v < VERSIONS; v++) {
        memset(w->manifest[v], v + 1, sizeof w->manifest[v]);
        memset(w->tree[v].b, v + 100, HASH_BYTES);
        hash_bytes(HASH_MANIFEST, bytes_of(w->manifest[v], 100),
                   &w->version[v]);
        struct transfer_version facts = {.id = w->version[v],
                                         .tree = w->tree[v],
                                         .size = (SEGS - 1) * 65536u,
                                         .manifest_size = 100,
                                         .model = "m",
                                         .counter = v};
        if (transfer_learn(w->t, &facts))
            abort();
        transfer_name(w->t, &w->version[v], true);
    }
    for (uint8_t u = 0; u < UPDATES; u++) {
        w->header[u][0] = 'h';
        w->header[u][1] = u;
        hash_bytes(HASH_UPDATE, bytes_of(w->header[u], 2), &w->update[u]);
    }
    struct bytes none = {NULL, 0};
    if (transfer_hold_version(w->t, &w->version[0], true, none, w->now) ||
        transfer_hold_update(w->t, bytes_of(w->header[0], 2), none, w->now) ||
        transfer_want(w->t, &w->version[1], 1, w->now))
        abort();
}

static void pack_manifest(struct world *w)
{
    struct writer wr;
    writer_init(&wr, w->packed, sizeof w->packed);
    if (manifest_pack(bytes_of(w->manifest[1], sizeof w->manifest[1]),
                      (struct bytes){NULL, 0}, &wr))
        abort();
    w->packed_size = wr.size;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct world *w = calloc(1, sizeof *w);
    if (!w)
        abort();
    world_init(w);
    pack_manifest(w);
    reader_init(&w->in, bytes_of(data, size));
    for (unsigned i = 0; i < LINKS; i++)
        toggle_link(w);
    for (unsigned i = 0; i < STEPS_MAX && reader_left(&w->in); i++)
        step(w);
    transfer_free(w->t);
    for (size_t i = 0; i < w->op_count; i++)
        free(w->ops[i].action.owned);
    free(w);
    return 0;
}
