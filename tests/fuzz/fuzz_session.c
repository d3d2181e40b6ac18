/* A whole core at a hostile link. The first byte of the input chooses:
 *
 * even  the rest arrives on a fresh connection
 * odd   a member shakes hands first; then the rest is messages, each behind a
 *       2-byte little-endian length, which it sends sealed
 *
 * The core stores records, has nothing to read, and lives on. */
#include "protocol/node.h"
#include "protocol/session.h"

#include "tests/support/fleet.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct hostile {
    struct fleet fleet;
    struct fleet_bytes founding, cert;
    struct rng_seeded seeds[2];
    struct node *core;
    struct session_identity identity;
    struct session *session;
    link_id link;
    bool closed;
    uint64_t now;
    uint8_t buf[NODE_OUTPUT_MIN];
};

static void must(bool ok)
{
    if (!ok)
        abort();
}

static void answer(struct hostile *h, const struct node_action *action)
{
    struct node_result result = {.status = STATUS_NOT_FOUND};
    if (action->kind == NODE_ACTION_PUT_RECORD ||
        action->kind == NODE_ACTION_PUT_MANIFEST ||
        action->kind == NODE_ACTION_PUT_HEADER)
        result.status = STATUS_OK;
    free(action->owned);
    if (action->op && action->kind != NODE_ACTION_CANCEL)
        node_done(h->core, action->op, &result, h->now);
}

/* What the core says goes to the member's session, if there is one. */
static void take_output(struct hostile *h)
{
    enum session_event event;
    struct bytes plain;
    size_t size;
    while (!h->closed && (size = node_link_output(h->core, h->link, h->buf,
                                                  sizeof h->buf, h->now))) {
        struct bytes in = bytes_of(h->buf, size);
        event = SESSION_EVENT_MESSAGE;
        while (h->session && event) {
            if (session_recv(h->session, &in, &event, &plain, NULL))
                return;
            if (event == SESSION_EVENT_PEER)
                must(!session_admit(h->session, 1));
        }
    }
}

static void pump(struct hostile *h)
{
    struct node_action action;
    for (unsigned turns = 0; node_next_action(h->core, &action); turns++) {
        must(turns < 100000);
        if (action.kind == NODE_ACTION_OUTPUT) {
            take_output(h);
        } else if (action.kind == NODE_ACTION_CLOSE) {
            take_output(h);
            h->closed = true;
            node_link_closed(h->core, action.link, action.status, h->now);
        } else {
            answer(h, &action);
        }
    }
}

static void recv(struct hostile *h, struct bytes in)
{
    h->now += 1000000;
    if (!h->closed)
        node_link_recv(h->core, h->link, in, h->now);
    pump(h);
    if (node_deadline_ns(h->core) <= h->now)
        node_tick(h->core, h->now);
    pump(h);
}

static struct hostile *new_hostile(void)
{
    struct hostile *h = calloc(1, sizeof *h);
    struct node_config config = {.psk_count = 1, .software = "fuzz"};
    struct crypto_sign_key key;
    struct crypto_secret psk = {{0}};
    must(h && !crypto_init());
    h->now = 1000000000;
    fleet_init_small(&h->fleet, 1, &h->founding);
    rng_seeded_init(&h->seeds[0], 1);
    rng_seeded_init(&h->seeds[1], 2);
    fleet_node_key(&h->fleet, 0, &config.key);
    config.fleet = h->fleet.id;
    config.rng = rng_from_seeded(&h->seeds[0]);
    must(!node_new(&config, &h->core));
    must(!node_load_record(h->core, fleet_view(&h->founding)));
    must(!node_start(h->core, h->now));
    must(!node_accept(h->core, "1.2.3.4:5", h->now, &h->link));
    struct rng rng = rng_from_seeded(&h->seeds[1]);
    fleet_node_key(&h->fleet, 1, &key);
    must(!session_identity_init(&h->identity, &key, &psk, 1, &rng));
    h->identity.fleet = h->fleet.id;
    fleet_self_cert(&h->fleet, 1, 1, NULL, &h->cert);
    h->identity.cert = fleet_view(&h->cert);
    pump(h);
    return h;
}

static void free_hostile(struct hostile *h)
{
    node_free(h->core);
    session_free(h->session);
    session_identity_deinit(&h->identity);
    free(h);
}

/* Handshake and HELLO. */
static void shake_hands(struct hostile *h)
{
    uint8_t out[16384];
    size_t size;
    must(!session_new(&h->identity, true, &h->session));
    while ((size = session_take(h->session, out, sizeof out)))
        recv(h, bytes_of(out, size));
    must(session_state(h->session) == SESSION_UP && !h->closed);
}

static void send_messages(struct hostile *h, struct reader *rd)
{
    uint8_t out[LIMIT_FRAME_PLAIN_BYTES + 64];
    while (reader_left(rd) && !h->closed) {
        size_t size = reader_le16(rd) % (LIMIT_FRAME_PLAIN_BYTES + 1);
        if (size > reader_left(rd))
            size = reader_left(rd);
        struct bytes plain = reader_bytes(rd, size);
        struct writer wr;
        writer_init(&wr, out, sizeof out);
        if (session_state(h->session) != SESSION_UP ||
            session_seal(h->session, plain, &wr))
            return;
        recv(h, writer_view(&wr));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct reader rd;
    struct hostile *h = new_hostile();
    reader_init(&rd, bytes_of(data, size));
    if (reader_u8(&rd) % 2) {
        shake_hands(h);
        send_messages(h, &rd);
    } else {
        recv(h, reader_bytes(&rd, reader_left(&rd)));
    }
    h->now += 100000000000;
    node_tick(h->core, h->now);
    pump(h);
    free_hostile(h);
    return 0;
}
