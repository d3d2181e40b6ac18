/* Cores and a loop: links, records, authoring, restoring, refusing. */
#include "protocol/node.h"
#include "protocol/trust.h"

#include "tests/support/cmocka.h"
#include "tests/support/fleet.h"

#include <stdio.h>
#include <stdlib.h>

#define SECOND    1000000000ull
#define BOXES_MAX 4u
#define WIRES_MAX 64u

/* A core with the smallest shell there is. */
struct box {
    struct node *core;
    struct rng_seeded seeded;
    char addr[16];
    enum status put_status; /* what writing a record comes to */
    unsigned puts, writes, dials, closes, warnings;
    uint8_t *values[64]; /* of records, in the order they were written */
    size_t sizes[64];
    bool hold;      /* writes are not answered */
    op_id held[16]; /* their ops */
    size_t held_count;
};

struct wire {
    unsigned box[2];
    link_id link[2];
    bool open;
};

struct world {
    struct fleet fleet;
    struct fleet_bytes founding;
    struct box boxes[BOXES_MAX];
    unsigned count;
    struct wire wires[WIRES_MAX];
    unsigned wire_count;
    uint64_t now;
};

static void serve(struct world *w);

static struct world *new_world(void)
{
    struct world *w = calloc(1, sizeof *w);
    assert_non_null(w);
    assert_int_equal(crypto_init(), STATUS_OK);
    fleet_init_small(&w->fleet, 1, &w->founding);
    w->now = 5 * SECOND;
    return w;
}

/* A node with these static peers; the caller loads and starts it. */
static struct box *add(struct world *w, unsigned key, const char *const *peers,
                       size_t peer_count)
{
    struct box *b = &w->boxes[w->count];
    struct node_config config = {.fleet = w->fleet.id,
                                 .psk_count = 1,
                                 .peers = peers,
                                 .peer_count = peer_count,
                                 .software = "unit"};
    rng_seeded_init(&b->seeded, w->count + 1);
    (void)snprintf(b->addr, sizeof b->addr, "box%u:1", w->count);
    const char *listen[1] = {b->addr};
    config.listen = listen;
    config.listen_count = 1;
    config.rng = rng_from_seeded(&b->seeded);
    fleet_node_key(&w->fleet, key, &config.key);
    assert_int_equal(node_new(&config, &b->core), STATUS_OK);
    w->count++;
    return b;
}

static void found(struct world *w, struct box *b)
{
    assert_int_equal(node_load_record(b->core, fleet_view(&w->founding)),
                     STATUS_OK);
}

static void boot(struct world *w, struct box *b)
{
    assert_int_equal(node_start(b->core, w->now), STATUS_OK);
    serve(w);
}

static void free_world(struct world *w)
{
    for (unsigned i = 0; i < w->count; i++) {
        node_free(w->boxes[i].core);
        for (unsigned k = 0; k < 64; k++)
            free(w->boxes[i].values[k]);
    }
    free(w);
}

static struct wire *find_wire(struct world *w, unsigned box, link_id link,
                              unsigned *side)
{
    for (unsigned i = 0; i < w->wire_count; i++)
        for (*side = 0; *side < 2; (*side)++)
            if (w->wires[i].open && w->wires[i].box[*side] == box &&
                w->wires[i].link[*side] == link)
                return &w->wires[i];
    return NULL;
}

static void do_dial(struct world *w, unsigned from, const struct node_action *a)
{
    w->boxes[from].dials++;
    for (unsigned to = 0; to < w->count; to++) {
        if (strcmp(w->boxes[to].addr, a->text) != 0)
            continue;
        struct wire *x = &w->wires[w->wire_count];
        *x = (struct wire){.box = {from, to}, .link = {a->link, 0}};
        if (node_accept(w->boxes[to].core, w->boxes[from].addr, w->now,
                        &x->link[1]))
            break;
        x->open = true;
        w->wire_count++;
        assert_in_range(w->wire_count, 0, WIRES_MAX - 1);
        node_dialled(w->boxes[from].core, a->link, STATUS_OK, "", w->now);
        return;
    }
    node_dialled(w->boxes[from].core, a->link, STATUS_CLOSED, "", w->now);
}

static void move(struct world *w, unsigned from, link_id link)
{
    uint8_t *buf = malloc(NODE_OUTPUT_MIN);
    unsigned side;
    size_t size;
    struct wire *x = find_wire(w, from, link, &side);
    while (x && x->open &&
           (size = node_link_output(w->boxes[from].core, link, buf,
                                    NODE_OUTPUT_MIN, w->now)))
        node_link_recv(w->boxes[x->box[1 - side]].core, x->link[1 - side],
                       bytes_of(buf, size), w->now);
    free(buf);
}

static void do_close(struct world *w, unsigned from,
                     const struct node_action *a)
{
    unsigned side;
    w->boxes[from].closes++;
    move(w, from, a->link);
    struct wire *x = find_wire(w, from, a->link, &side);
    if (x) {
        x->open = false;
        node_link_closed(w->boxes[x->box[1 - side]].core, x->link[1 - side],
                         STATUS_CLOSED, w->now);
    }
    node_link_closed(w->boxes[from].core, a->link, a->status, w->now);
}

static void do_put(struct world *w, struct box *b, const struct node_action *a)
{
    struct node_result result = {.status = b->put_status};
    b->writes++;
    if (b->hold) {
        b->held[b->held_count++] = a->op;
        return;
    }
    if (!b->put_status && b->puts < 64) {
        b->values[b->puts] = malloc(a->bytes.size);
        memcpy(b->values[b->puts], a->bytes.data, a->bytes.size);
        b->sizes[b->puts++] = a->bytes.size;
    }
    node_done(b->core, a->op, &result, w->now);
}

static bool serve_one(struct world *w, unsigned i)
{
    struct node_action a;
    struct box *b = &w->boxes[i];
    if (!node_next_action(b->core, &a))
        return false;
    switch (a.kind) {
    case NODE_ACTION_DIAL: {
        char addr[32];
        (void)snprintf(addr, sizeof addr, "%s", a.text);
        a.text = addr;
        do_dial(w, i, &a);
        break;
    }
    case NODE_ACTION_CLOSE:
        do_close(w, i, &a);
        break;
    case NODE_ACTION_OUTPUT:
        move(w, i, a.link);
        break;
    case NODE_ACTION_PUT_RECORD: {
        uint8_t *copy = malloc(a.bytes.size);
        memcpy(copy, a.bytes.data, a.bytes.size);
        a.bytes.data = copy;
        do_put(w, b, &a);
        free(copy);
        break;
    }
    case NODE_ACTION_LOG:
        b->warnings += a.level <= NODE_LOG_WARN;
        break;
    default:
        break;
    }
    return true;
}

/* Until no core wants anything. */
static void serve(struct world *w)
{
    bool any = true;
    for (unsigned turns = 0; any; turns++) {
        assert_in_range(turns, 0, 100000);
        any = false;
        for (unsigned i = 0; i < w->count; i++)
            any = serve_one(w, i) || any;
    }
}

/* Lets time pass, ticking each core when it is due. */
static void pass(struct world *w, uint64_t ns)
{
    uint64_t until = w->now + ns;
    for (unsigned turns = 0;; turns++) {
        uint64_t due = UINT64_MAX;
        assert_in_range(turns, 0, 100000);
        for (unsigned i = 0; i < w->count; i++) {
            uint64_t at = node_deadline_ns(w->boxes[i].core);
            due = at < due ? at : due;
        }
        if (due > until)
            break;
        if (due > w->now)
            w->now = due;
        for (unsigned i = 0; i < w->count; i++)
            if (node_deadline_ns(w->boxes[i].core) <= w->now)
                node_tick(w->boxes[i].core, w->now);
        serve(w);
    }
    w->now = until;
}

static unsigned links_up(const struct box *b)
{
    struct node_link_info info;
    unsigned up = 0;
    for (size_t i = 0; node_link_at(b->core, i, &info); i++)
        up += info.up;
    return up;
}

static size_t slots(const struct box *b)
{
    return trust_slot_count(node_trust(b->core));
}

static enum status submit(struct world *w, struct box *b,
                          const struct fleet_bytes *record, op_id *op,
                          struct diag *diag)
{
    enum status status =
        node_submit(b->core, fleet_view(record), w->now, op, diag);
    serve(w);
    return status;
}

/* Box 0 founded the fleet, box 1 has its address alone. */
static struct world *new_pair(void)
{
    static const char *const peers[] = {"box0:1"};
    struct world *w = new_world();
    struct box *a = add(w, 0, NULL, 0);
    struct box *b = add(w, 1, peers, 1);
    found(w, a);
    boot(w, a);
    boot(w, b);
    return w;
}

static void two_cores_shake_hands_and_gossip(void **state)
{
    (void)state;
    struct world *w = new_pair();
    struct fleet_bytes *record = malloc(sizeof *record);
    op_id op = 0;
    assert_int_equal(links_up(&w->boxes[0]), 1);
    assert_int_equal(links_up(&w->boxes[1]), 1);
    assert_non_null(trust_fleet(node_trust(w->boxes[1].core), NULL));
    fleet_version(&w->fleet, "trainer", "m", 1, 1, 1, record);
    assert_int_equal(submit(w, &w->boxes[0], record, &op, NULL), STATUS_OK);
    assert_int_not_equal(op, 0);
    struct hash id = fleet_version_id("trainer", "m", 1);
    struct trust_version facts;
    assert_int_equal(
        trust_version_get(node_trust(w->boxes[1].core), &id, &facts),
        STATUS_OK);
    free(record);
    free_world(w);
}

static void statuses_and_certificates_reach_the_other(void **state)
{
    (void)state;
    struct world *w = new_pair();
    struct node_id ids[2];
    memcpy(ids[0].b, node_id(w->boxes[0].core), 32);
    memcpy(ids[1].b, node_id(w->boxes[1].core), 32);
    pass(w, 90 * SECOND);
    for (unsigned i = 0; i < 2; i++) {
        const struct trust *t = node_trust(w->boxes[i].core);
        struct body_status *body = malloc(sizeof *body);
        assert_int_equal(trust_node(t, &ids[1 - i], NULL),
                         TRUST_NODE_CERTIFIED);
        assert_int_equal(trust_status_get(t, &ids[1 - i], body), STATUS_OK);
        assert_int_equal(body->address_count, 1);
        free(body);
    }
    struct node_link_info info;
    assert_true(node_link_at(w->boxes[0].core, 0, &info));
    assert_true(info.equal);
    assert_true(info.certified);
    free_world(w);
}

static void refused_record_says_why(void **state)
{
    (void)state;
    struct world *w = new_pair();
    struct fleet_bytes *record = malloc(sizeof *record);
    struct diag diag = {{0}};
    op_id op = 9;
    size_t before = slots(&w->boxes[0]);
    fleet_version(&w->fleet, "trainer", "m", 1, 1, 1, record);
    record->b[record->size - 1] ^= 1;
    assert_int_equal(submit(w, &w->boxes[0], record, &op, &diag),
                     STATUS_BAD_SIGNATURE);
    assert_int_equal(op, 0);
    assert_true(diag.text[0]);
    assert_int_equal(slots(&w->boxes[0]), before);
    free(record);
    free_world(w);
}

static void duplicate_record_has_no_op(void **state)
{
    (void)state;
    struct world *w = new_pair();
    struct fleet_bytes *record = malloc(sizeof *record);
    op_id op = 0;
    fleet_version(&w->fleet, "trainer", "m", 1, 1, 1, record);
    assert_int_equal(submit(w, &w->boxes[0], record, &op, NULL), STATUS_OK);
    assert_int_equal(submit(w, &w->boxes[0], record, &op, NULL), STATUS_OK);
    assert_int_equal(op, 0);
    free(record);
    free_world(w);
}

static void record_is_not_in_force_before_it_is_durable(void **state)
{
    (void)state;
    struct world *w = new_pair();
    struct fleet_bytes *record = malloc(sizeof *record);
    struct hash id = fleet_version_id("trainer", "m", 1);
    struct trust_version facts;
    struct node_result ok = {.status = STATUS_OK};
    op_id op = 0, again = 0;
    w->boxes[0].hold = true;
    fleet_version(&w->fleet, "trainer", "m", 1, 1, 1, record);
    assert_int_equal(submit(w, &w->boxes[0], record, &op, NULL), STATUS_OK);
    for (unsigned i = 0; i < 2; i++)
        assert_int_equal(
            trust_version_get(node_trust(w->boxes[i].core), &id, &facts),
            STATUS_NOT_FOUND);
    assert_int_equal(submit(w, &w->boxes[0], record, &again, NULL), STATUS_OK);
    assert_int_equal(op, again);
    w->boxes[0].hold = false;
    node_done(w->boxes[0].core, op, &ok, w->now);
    serve(w);
    for (unsigned i = 0; i < 2; i++)
        assert_int_equal(
            trust_version_get(node_trust(w->boxes[i].core), &id, &facts),
            STATUS_OK);
    free(record);
    free_world(w);
}

static void record_that_cannot_be_stored_is_forgotten(void **state)
{
    (void)state;
    struct world *w = new_pair();
    struct fleet_bytes *record = malloc(sizeof *record);
    op_id op = 0;
    size_t before = slots(&w->boxes[1]);
    w->boxes[0].put_status = STATUS_IO;
    fleet_version(&w->fleet, "trainer", "m", 1, 1, 1, record);
    assert_int_equal(submit(w, &w->boxes[0], record, &op, NULL), STATUS_OK);
    assert_int_equal(slots(&w->boxes[1]), before);
    w->boxes[0].put_status = STATUS_OK;
    assert_int_equal(submit(w, &w->boxes[0], record, &op, NULL), STATUS_OK);
    assert_int_not_equal(op, 0);
    assert_true(slots(&w->boxes[1]) > before);
    free(record);
    free_world(w);
}

static void older_record_may_not_follow_a_newer_to_the_disk(void **state)
{
    (void)state;
    struct world *w = new_pair();
    struct fleet_bytes *two = malloc(sizeof *two), *one = malloc(sizeof *one);
    struct hash id = fleet_version_id("trainer", "m", 1);
    op_id op = 0;
    fleet_version(&w->fleet, "trainer", "m", 1, 1, 1, one);
    assert_int_equal(submit(w, &w->boxes[0], one, &op, NULL), STATUS_OK);
    w->boxes[0].hold = true;
    fleet_channel(&w->fleet, "desk", "main", 2, "m", &id, two);
    fleet_channel(&w->fleet, "desk", "main", 1, "m", &id, one);
    assert_int_equal(submit(w, &w->boxes[0], two, &op, NULL), STATUS_OK);
    assert_int_equal(submit(w, &w->boxes[0], one, &op, NULL), STATUS_BUSY);
    assert_int_equal(op, 0);
    free(one);
    free(two);
    free_world(w);
}

static void nothing_is_written_before_the_wait_without_peers(void **state)
{
    (void)state;
    struct world *w = new_world();
    struct box *a = add(w, 0, NULL, 0);
    found(w, a);
    boot(w, a);
    pass(w, 59 * SECOND);
    assert_int_equal(a->puts, 0);
    pass(w, 5 * SECOND);
    assert_int_equal(a->puts, 2); /* certificate, status */
    free_world(w);
}

static void restored_node_goes_on_above_its_highest_seq(void **state)
{
    (void)state;
    struct world *w = new_pair();
    struct slot_author author;
    struct node_id id;
    pass(w, 2000 * SECOND); /* two beats at least */
    memcpy(id.b, node_id(w->boxes[1].core), 32);
    author = slot_author_node(&id);
    struct slot_id slot = slot_id_of(&author, RECORD_STATUS, bytes_of(NULL, 0));
    uint64_t seq = trust_slot(node_trust(w->boxes[0].core), &slot)->seq;
    assert_true(seq > 1);
    /* The disk of box 1 is lost, its key is not. */
    node_free(w->boxes[1].core);
    w->boxes[1].core = NULL;
    for (unsigned i = 0; i < w->wire_count; i++)
        if (w->wires[i].open) {
            w->wires[i].open = false;
            node_link_closed(w->boxes[0].core,
                             w->wires[i].link[w->wires[i].box[0] != 0],
                             STATUS_CLOSED, w->now);
        }
    static const char *const peers[] = {"box0:1"};
    w->count = 1;
    for (unsigned i = 0; i < w->boxes[1].puts; i++) {
        free(w->boxes[1].values[i]);
        w->boxes[1].values[i] = NULL;
    }
    w->boxes[1].puts = 0;
    struct box *b = add(w, 1, peers, 1);
    boot(w, b);
    pass(w, 120 * SECOND);
    const struct slot_entry *e =
        trust_slot(node_trust(w->boxes[0].core), &slot);
    assert_true(e->seq > seq);
    assert_false(e->has_proof);
    free_world(w);
}

static void links_dialled_both_ways_become_one(void **state)
{
    (void)state;
    static const char *const to0[] = {"box0:1"}, *const to1[] = {"box1:1"};
    struct world *w = new_world();
    struct box *a = add(w, 0, to1, 1), *b = add(w, 1, to0, 1);
    found(w, a);
    found(w, b);
    boot(w, a);
    boot(w, b);
    pass(w, 60 * SECOND);
    assert_int_equal(links_up(a), 1);
    assert_int_equal(links_up(b), 1);
    struct node_link_info info;
    assert_true(node_link_at(a->core, 0, &info));
    bool lesser = memcmp(node_id(a->core), node_id(b->core), 32) < 0;
    assert_int_equal(info.outgoing, lesser);
    free_world(w);
}

static void own_address_is_dialled_once(void **state)
{
    (void)state;
    static const char *const self[] = {"box0:1"};
    struct world *w = new_world();
    struct box *a = add(w, 0, self, 1);
    found(w, a);
    boot(w, a);
    pass(w, 600 * SECOND);
    assert_int_equal(a->dials, 1);
    assert_int_equal(links_up(a), 0);
    struct node_dial_info info;
    assert_true(node_dial_at(a->core, 0, &info));
    assert_string_equal(info.error, "this node itself");
    free_world(w);
}

static void failed_dial_backs_off_and_tells(void **state)
{
    (void)state;
    static const char *const nobody[] = {"nowhere:1"};
    struct world *w = new_world();
    struct box *a = add(w, 0, nobody, 1);
    boot(w, a);
    pass(w, 600 * SECOND);
    assert_in_range(a->dials, 12, 30);
    struct node_dial_info info;
    assert_true(node_dial_at(a->core, 0, &info));
    assert_string_equal(info.error, status_text(STATUS_CLOSED));
    assert_int_equal(info.failures, a->dials);
    assert_false(node_dial_at(a->core, 1, &info));
    free_world(w);
}

static void half_open_connections_are_bounded_and_end(void **state)
{
    (void)state;
    struct world *w = new_world();
    struct box *a = add(w, 0, NULL, 0);
    link_id link;
    boot(w, a);
    assert_int_equal(node_accept(a->core, "1.2.3.4:10", w->now, &link),
                     STATUS_OK);
    assert_int_equal(node_accept(a->core, "1.2.3.4:11", w->now, &link),
                     STATUS_OK);
    assert_int_equal(node_accept(a->core, "1.2.3.4:12", w->now, &link),
                     STATUS_BUSY);
    assert_int_equal(link, 0);
    for (unsigned i = 0; i < 14; i++) {
        char addr[32];
        (void)snprintf(addr, sizeof addr, "9.9.9.%u:1", i);
        assert_int_equal(node_accept(a->core, addr, w->now, &link), STATUS_OK);
    }
    pass(w, 11 * SECOND);
    assert_int_equal(a->closes, 16);
    assert_int_equal(node_accept(a->core, "8.8.8.8:1", w->now, &link),
                     STATUS_OK);
    free_world(w);
}

/* Connections that say nothing, from many addresses, keep nobody out. */
static void silent_connections_make_room(void **state)
{
    (void)state;
    struct world *w = new_pair();
    struct box *a = &w->boxes[0];
    link_id link, first = 0;
    pass(w, 5 * SECOND);
    assert_int_equal(links_up(a), 1);
    for (unsigned i = 0; i < 40; i++) {
        char addr[32];
        (void)snprintf(addr, sizeof addr, "9.9.%u.9:1", i);
        assert_int_equal(node_accept(a->core, addr, w->now, &link), STATUS_OK);
        first = first ? first : link;
        serve(w);
    }
    assert_int_equal(a->closes, 40 - LIMIT_LINKS_HALF_OPEN);
    struct node_link_info info;
    size_t open = 0;
    for (size_t i = 0; node_link_at(a->core, i, &info); i++) {
        assert_int_not_equal(info.link, first);
        open++;
    }
    assert_int_equal(open, LIMIT_LINKS_HALF_OPEN + 1);
    assert_int_equal(links_up(a), 1);
    free_world(w);
}

static void noise_on_a_fresh_link_closes_it(void **state)
{
    (void)state;
    struct world *w = new_world();
    struct box *a = add(w, 0, NULL, 0);
    link_id link;
    struct node_link_info info;
    boot(w, a);
    assert_int_equal(node_accept(a->core, "1.2.3.4:10", w->now, &link),
                     STATUS_OK);
    node_link_recv(a->core, link, bytes_of_text("GET / HTTP/1.1\r\n\r\n"),
                   w->now);
    serve(w);
    assert_int_equal(a->closes, 1);
    assert_false(node_link_at(a->core, 0, &info));
    struct node_counters counters;
    node_counters(a->core, &counters);
    assert_int_equal(counters.handshakes_failed, 1);
    free_world(w);
}

/* A certified node that writes one record after another costs the others a few
 * writes, and still they end with its newest. */
static void flood_of_one_author_is_folded(void **state)
{
    (void)state;
    static const uint8_t empty_map[] = {0xa0};
    struct world *w = new_pair();
    struct fleet_bytes *record = malloc(sizeof *record);
    struct node_id id = fleet_node_id(&w->fleet, 1);
    struct slot_author author = slot_author_node(&id);
    struct slot_id slot = slot_id_of(&author, 40, bytes_of_text("x"));
    pass(w, 5 * SECOND);
    unsigned before = w->boxes[0].writes;
    for (unsigned i = 1; i <= 500; i++) {
        op_id op;
        fleet_sign_node(&w->fleet, 1, 40, bytes_of_text("x"), 0, i,
                        bytes_of(empty_map, 1), record);
        assert_int_equal(submit(w, &w->boxes[1], record, &op, NULL), STATUS_OK);
    }
    assert_in_range(w->boxes[0].writes - before, 1, 40);
    pass(w, 60 * SECOND);
    assert_in_range(w->boxes[0].writes - before, 1, 50);
    const struct slot_entry *held =
        trust_slot(node_trust(w->boxes[0].core), &slot);
    assert_non_null(held);
    assert_int_equal(held->seq, 500);
    assert_int_equal(links_up(&w->boxes[0]), 1);
    free(record);
    free_world(w);
}

static void revoked_node_loses_its_link(void **state)
{
    (void)state;
    struct world *w = new_pair();
    struct fleet_bytes *record = malloc(sizeof *record);
    op_id op = 0;
    pass(w, 5 * SECOND);
    assert_int_equal(links_up(&w->boxes[0]), 1);
    w->fleet.revoked[w->fleet.revoked_count++] = fleet_node_id(&w->fleet, 1);
    fleet_advance(&w->fleet, record);
    assert_int_equal(submit(w, &w->boxes[0], record, &op, NULL), STATUS_OK);
    assert_int_equal(links_up(&w->boxes[0]), 0);
    pass(w, 60 * SECOND);
    assert_int_equal(links_up(&w->boxes[0]), 0);
    struct node_dial_info info;
    assert_true(node_dial_at(w->boxes[1].core, 0, &info));
    assert_non_null(strstr(info.error, "revoked"));
    free(record);
    free_world(w);
}

static void channel_makes_a_version_wanted(void **state)
{
    (void)state;
    struct world *w = new_pair();
    struct fleet_bytes *record = malloc(sizeof *record);
    struct hash id = fleet_version_id("trainer", "m", 1);
    struct node_version_info info;
    op_id op = 0;
    assert_int_equal(node_want(w->boxes[1].core, &id, w->now),
                     STATUS_NOT_FOUND);
    fleet_version(&w->fleet, "trainer", "m", 1, 1, 1, record);
    assert_int_equal(submit(w, &w->boxes[0], record, &op, NULL), STATUS_OK);
    assert_true(node_version_get(w->boxes[1].core, &id, &info));
    assert_false(info.wanted);
    assert_string_equal(info.model, "m");
    fleet_channel(&w->fleet, "desk", "main", 1, "m", &id, record);
    assert_int_equal(submit(w, &w->boxes[0], record, &op, NULL), STATUS_OK);
    assert_true(node_version_get(w->boxes[1].core, &id, &info));
    assert_true(info.wanted);
    assert_false(info.running);
    assert_true(node_version_at(w->boxes[1].core, 0, &info));
    assert_false(node_version_at(w->boxes[1].core, 1, &info));
    free(record);
    free_world(w);
}

static void unknown_links_and_ops_are_ignored(void **state)
{
    (void)state;
    struct world *w = new_pair();
    struct node *core = w->boxes[0].core;
    struct node_result ok = {.status = STATUS_OK};
    uint8_t *buf = malloc(NODE_OUTPUT_MIN);
    node_link_recv(core, 999, bytes_of_text("x"), w->now);
    node_link_closed(core, 999, STATUS_CLOSED, w->now);
    node_dialled(core, 999, STATUS_OK, "", w->now);
    node_done(core, 999999, &ok, w->now);
    assert_int_equal(node_link_output(core, 999, buf, NODE_OUTPUT_MIN, w->now),
                     0);
    free(buf);
    free_world(w);
}

static void bad_configuration_is_refused(void **state)
{
    (void)state;
    struct node_config config = {.psk_count = 3};
    struct node *core;
    struct rng_seeded seeded;
    rng_seeded_init(&seeded, 1);
    config.rng = rng_from_seeded(&seeded);
    assert_int_equal(crypto_init(), STATUS_OK);
    crypto_sign_key_generate(&config.rng, &config.key);
    assert_int_equal(node_new(&config, &core), STATUS_USAGE);
    config.psk_count = 0;
    assert_int_equal(node_new(&config, &core), STATUS_USAGE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(two_cores_shake_hands_and_gossip),
        cmocka_unit_test(statuses_and_certificates_reach_the_other),
        cmocka_unit_test(refused_record_says_why),
        cmocka_unit_test(duplicate_record_has_no_op),
        cmocka_unit_test(record_is_not_in_force_before_it_is_durable),
        cmocka_unit_test(record_that_cannot_be_stored_is_forgotten),
        cmocka_unit_test(older_record_may_not_follow_a_newer_to_the_disk),
        cmocka_unit_test(nothing_is_written_before_the_wait_without_peers),
        cmocka_unit_test(restored_node_goes_on_above_its_highest_seq),
        cmocka_unit_test(links_dialled_both_ways_become_one),
        cmocka_unit_test(own_address_is_dialled_once),
        cmocka_unit_test(failed_dial_backs_off_and_tells),
        cmocka_unit_test(half_open_connections_are_bounded_and_end),
        cmocka_unit_test(silent_connections_make_room),
        cmocka_unit_test(noise_on_a_fresh_link_closes_it),
        cmocka_unit_test(flood_of_one_author_is_folded),
        cmocka_unit_test(revoked_node_loses_its_link),
        cmocka_unit_test(channel_makes_a_version_wanted),
        cmocka_unit_test(unknown_links_and_ops_are_ignored),
        cmocka_unit_test(bad_configuration_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
