/* Liars: one node whose disk hands out changed segments, outsiders that send
 * noise and replay, members that send nonsense or claim to have nothing new.
 * Everyone else ends as if they were not there. */
#include "tests/sim/scenario.h"

#include "protocol/session.h"

#include <stdlib.h>

enum trick {
    TRICK_NOISE,    /* random bytes on a fresh connection */
    TRICK_REPLAY,   /* one first message again and again */
    TRICK_SILENCE,  /* connects and says nothing */
    TRICK_NONSENSE, /* a member that sends damaged messages */
    TRICK_WITHHOLD, /* a member that answers every PING with its own roots */
    TRICK_COUNT
};

struct liar {
    struct sim *sim;
    enum trick trick;
    unsigned target;
    struct rng_seeded seeded;
    struct session_identity identity;
    struct session *session;
    struct fleet_bytes cert;
    struct message *msg;
    uint8_t first[64];
    size_t first_size;
    unsigned turns, opened, closed;
};

static void connect_liar(struct liar *l);

static void send_pending(struct liar *l, uint32_t conn)
{
    uint8_t buf[16384];
    size_t size;
    while ((size = session_take(l->session, buf, sizeof buf))) {
        if (!l->first_size && size <= sizeof l->first) {
            memcpy(l->first, buf, size);
            l->first_size = size;
        }
        sim_actor_send(l->sim, conn, bytes_of(buf, size));
    }
}

static void send_plain(struct liar *l, uint32_t conn, struct bytes plain)
{
    uint8_t buf[17000];
    struct writer wr;
    writer_init(&wr, buf, sizeof buf);
    if (session_seal(l->session, plain, &wr))
        sim_fail(l->sim, "the liar cannot seal");
    sim_actor_send(l->sim, conn, writer_view(&wr));
}

/* Bytes that are nearly a message. */
static void send_nonsense(struct liar *l, uint32_t conn)
{
    uint8_t plain[200];
    struct rng rng = rng_from_seeded(&l->seeded);
    size_t size = 1 + (size_t)rng_below(&rng, sizeof plain - 1);
    rng_fill(&rng, plain, size);
    plain[0] = (uint8_t)rng_below(&rng, MESSAGE_TYPE_COUNT);
    if (size > 1)
        plain[1] = (uint8_t)(0xa0 + rng_below(&rng, 4));
    send_plain(l, conn, bytes_of(plain, size));
}

/* "I know exactly what you know." */
static void send_echo(struct liar *l, uint32_t conn, struct bytes plain)
{
    uint8_t buf[256];
    struct writer wr;
    if (message_decode(plain, l->msg, NULL) || l->msg->type != MESSAGE_PING)
        return;
    l->msg->type = MESSAGE_PONG;
    writer_init(&wr, buf, sizeof buf);
    if (!message_encode(l->msg, &wr))
        send_plain(l, conn, writer_view(&wr));
}

static void on_opened(void *ctx, uint32_t conn)
{
    struct liar *l = ctx;
    uint8_t noise[300];
    struct rng rng = rng_from_seeded(&l->seeded);
    l->opened++;
    switch (l->trick) {
    case TRICK_NOISE:
        rng_fill(&rng, noise, sizeof noise);
        sim_actor_send(l->sim, conn, bytes_of(noise, sizeof noise));
        break;
    case TRICK_REPLAY:
        if (l->first_size)
            sim_actor_send(l->sim, conn, bytes_of(l->first, l->first_size));
        else
            send_pending(l, conn);
        break;
    case TRICK_SILENCE:
        break;
    default:
        send_pending(l, conn);
    }
}

static void on_recv(void *ctx, uint32_t conn, struct bytes in)
{
    struct liar *l = ctx;
    enum session_event event = SESSION_EVENT_NONE;
    struct bytes plain;
    if (l->trick < TRICK_NONSENSE)
        return;
    do {
        if (session_recv(l->session, &in, &event, &plain, NULL))
            return;
        if (event == SESSION_EVENT_PEER && session_admit(l->session, 1))
            return;
        if (event == SESSION_EVENT_MESSAGE && l->trick == TRICK_WITHHOLD)
            send_echo(l, conn, plain);
        send_pending(l, conn);
        if (session_state(l->session) == SESSION_UP &&
            l->trick == TRICK_NONSENSE)
            send_nonsense(l, conn);
    } while (event);
}

static void again(struct sim *sim, void *ctx)
{
    (void)sim;
    connect_liar(ctx);
}

static void on_closed(void *ctx, uint32_t conn)
{
    struct liar *l = ctx;
    (void)conn;
    l->closed++;
    if (++l->turns < 20)
        sim_at(l->sim, sim_now(l->sim) + 500 * SIM_MS, again, l);
}

static void connect_liar(struct liar *l)
{
    struct sim_actor actor = {
        .opened = on_opened, .recv = on_recv, .closed = on_closed, .ctx = l};
    session_free(l->session);
    if (session_new(&l->identity, true, &l->session))
        sim_fail(l->sim, "no session");
    (void)sim_actor_connect(l->sim, &actor, l->target);
}

static struct liar *new_liar(struct sim *sim, enum trick trick)
{
    struct liar *l = calloc(1, sizeof *l);
    struct crypto_secret psk;
    struct crypto_sign_key key;
    unsigned index = 200 + (unsigned)trick;
    if (!l || !(l->msg = calloc(1, sizeof *l->msg)))
        sim_fail(sim, "out of memory");
    l->sim = sim;
    l->trick = trick;
    l->target = (unsigned)rng_below(sim_rng(sim), sim_node_count(sim));
    rng_seeded_init(&l->seeded, rng_u64(sim_rng(sim)));
    struct rng rng = rng_from_seeded(&l->seeded);
    memset(psk.b, 0x5e, sizeof psk.b);
    fleet_node_key(sim_fleet(sim), index, &key);
    if (session_identity_init(&l->identity, &key, &psk, 1, &rng))
        sim_fail(sim, "no identity");
    l->identity.fleet = sim_fleet(sim)->id;
    fleet_self_cert(sim_fleet(sim), index, 1, NULL, &l->cert);
    l->identity.cert = fleet_view(&l->cert);
    connect_liar(l);
    return l;
}

static void free_liar(struct liar *l)
{
    session_free(l->session);
    session_identity_deinit(&l->identity);
    free(l->msg);
    free(l);
}

static void run(struct sim *sim)
{
    struct sim_goal goal = {.model = "cam/detect"};
    struct liar *liars[TRICK_COUNT];
    struct node_counters totals;
    scenario_start(sim);
    sim_node(sim, 1)->faults.bad_segments = true;
    for (unsigned i = 0; i < TRICK_COUNT; i++)
        liars[i] = new_liar(sim, (enum trick)i);
    for (unsigned round = 0; round < 3; round++) {
        scenario_publish(sim, 0, round, 600000, &goal);
        scenario_settle(sim, &goal, 300);
    }
    (void)sim_run(sim, sim_now(sim) + SIM_MINUTE, NULL, NULL);
    sim_totals(sim, &totals);
    if (!totals.strikes || !totals.handshakes_failed)
        sim_fail(sim, "no liar was noticed");
    for (unsigned i = 0; i < TRICK_COUNT; i++) {
        bool harmless = i == TRICK_WITHHOLD || i == TRICK_SILENCE;
        if (!liars[i]->opened || (!harmless && !liars[i]->closed))
            sim_fail(sim, "liar %u was let be", i);
        if (sim_links_up(sim, liars[i]->target) >
            sim_node_count(sim) + TRICK_COUNT)
            sim_fail(sim, "liars fill a node with links");
    }
    for (unsigned i = 0; i < sim_node_count(sim); i++)
        if (sim_node(sim, i)->disk.bad_blocks)
            sim_fail(sim, "a changed segment was decoded");
    sim_stop(sim);
    for (unsigned i = 0; i < TRICK_COUNT; i++)
        free_liar(liars[i]);
}

const struct scenario scenario_byzantine = {
    .name = "byzantine",
    .words = "changed segments, noise, replay, nonsense, withholding",
    .nodes = 6,
    .run = run,
};
