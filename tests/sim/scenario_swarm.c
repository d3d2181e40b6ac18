/* Eight nodes, all linked: a model of 1.7 MB in nine rounds, each an update of
 * about 0.75 MB. What the publisher sends, what a receiver takes in, nothing
 * twice; then a node that slept since round 2 takes the shortest way. */
#include "tests/sim/scenario.h"

#include "codec/base/hash.h"

#include <stdio.h>
#include <stdlib.h>

#define CONTENT_BYTES 1700000u
#define PAGE          4096u
#define ROUNDS        9u
#define SLEEPER       7u
#define SLEEPS_AFTER  2u

struct state {
    struct sim_goal goal;
    uint8_t *content;
    struct rng_seeded seeded;
    struct node_counters before[8];
};

/* Refills 44 of 100 pages. */
static void change(struct state *st)
{
    struct rng rng = rng_from_seeded(&st->seeded);
    for (size_t at = 0; at < CONTENT_BYTES; at += PAGE) {
        size_t size = CONTENT_BYTES - at < PAGE ? CONTENT_BYTES - at : PAGE;
        if (rng_below(&rng, 100) < 44)
            rng_fill(&rng, st->content + at, size);
    }
}

static uint64_t update_bytes(const struct disk_update *u)
{
    return u->header_size + u->parsed.coded_size;
}

/* The smallest update at the node that leads to the version, over any base or
 * over base (NULL: none). */
static const struct disk_update *find_update(struct sim *sim, unsigned node,
                                             const struct hash *tree,
                                             const struct hash *base)
{
    const struct disk *disk = &sim_node(sim, node)->disk;
    for (size_t i = 0; i < disk->update_count; i++) {
        const struct disk_update *u = disk->updates[i];
        if (hash_equal(&u->parsed.target_tree, tree) &&
            u->parsed.has_base == (base != NULL) &&
            (!base || hash_equal(&u->parsed.base_tree, base)))
            return u;
    }
    return NULL;
}

static const struct hash *tree_of(struct sim *sim, const struct hash *version)
{
    return &disk_version(&sim_node(sim, 0)->disk, version)->tree;
}

static void note_counters(struct sim *sim, struct state *st)
{
    for (unsigned i = 0; i < sim_node_count(sim); i++)
        if (sim_node(sim, i)->core)
            node_counters(sim_node(sim, i)->core, &st->before[i]);
}

struct most {
    uint64_t data, all; /* bytes a receiver took in */
};

static void check_receiver(struct sim *sim, struct state *st, unsigned node,
                           uint64_t bytes, struct most *most)
{
    struct node_counters c;
    node_counters(sim_node(sim, node)->core, &c);
    uint64_t in = c.data_in - st->before[node].data_in;
    uint64_t all = c.bytes_in - st->before[node].bytes_in;
    uint64_t blocks = (CONTENT_BYTES + 65535) / 65536;
    if (c.segments_twice)
        sim_fail(sim, "node %u received a segment twice", node);
    if (all > bytes * 102 / 100 + 40 * blocks + 1000)
        sim_fail(sim, "node %u took in %llu bytes for %llu", node,
                 (unsigned long long)all, (unsigned long long)bytes);
    most->data = in > most->data ? in : most->data;
    most->all = all > most->all ? all : most->all;
}

static void publish(struct sim *sim, struct state *st, unsigned round)
{
    st->goal.version = sim_publish(sim, 0, st->goal.model, round + 1,
                                   bytes_of(st->content, CONTENT_BYTES));
    sim_release(sim, 0, round + 1, st->goal.model, &st->goal.version);
    if (!sim_run(sim, sim_now(sim) + 2 * SIM_MINUTE, sim_all_run, &st->goal))
        sim_fail(sim, "round %u did not reach all", round);
}

static void step(struct sim *sim, struct state *st, unsigned round,
                 const struct hash *before)
{
    struct node_counters c;
    struct most most = {0, 0};
    uint64_t from = sim_now(sim);
    change(st);
    note_counters(sim, st);
    publish(sim, st, round);
    uint64_t took = sim_now(sim) - from;
    const struct disk_update *u = find_update(
        sim, 0, tree_of(sim, &st->goal.version), tree_of(sim, before));
    if (!u)
        sim_fail(sim, "no update was made at publishing");
    node_counters(sim_node(sim, 0)->core, &c);
    uint64_t sent = c.data_out - st->before[0].data_out;
    uint64_t bytes = update_bytes(u);
    if (sent > 3 * bytes)
        sim_fail(sim, "the publisher sent %llu bytes for %llu",
                 (unsigned long long)sent, (unsigned long long)bytes);
    for (unsigned i = 1; i < sim_node_count(sim); i++)
        if (sim_node(sim, i)->core)
            check_receiver(sim, st, i, bytes, &most);
    printf("# round %u: %llu bytes in %u segments, publisher sent %.2f of it, "
           "a receiver took in %.4f at most (%.4f with all gossip), %.0f ms\n",
           round, (unsigned long long)bytes, u->parsed.segment_count,
           (double)sent / (double)bytes, (double)most.data / (double)bytes,
           (double)most.all / (double)bytes, (double)took / 1e6);
}

/* Back after six rounds: no more bytes than the best way there is. */
static void wake(struct sim *sim, struct state *st, const struct hash *slept)
{
    sim_boot(sim, SLEEPER);
    if (!sim_run(sim, sim_now(sim) + 5 * SIM_MINUTE, sim_all_run, &st->goal))
        sim_fail(sim, "the sleeper did not catch up");
    const struct hash *to = tree_of(sim, &st->goal.version);
    uint64_t best = update_bytes(find_update(sim, 0, to, NULL));
    for (unsigned i = 0; i < sim_node_count(sim); i++) {
        const struct disk_update *u =
            find_update(sim, i, to, tree_of(sim, slept));
        if (u && update_bytes(u) < best)
            best = update_bytes(u);
    }
    struct node_counters c;
    node_counters(sim_node(sim, SLEEPER)->core, &c);
    printf("# the sleeper took in %.4f of the best way\n",
           (double)c.data_in / (double)best);
    if (c.data_in > best * 102 / 100 + 3000 || c.segments_twice)
        sim_fail(sim, "the sleeper took in %llu bytes, the best way is %llu",
                 (unsigned long long)c.data_in, (unsigned long long)best);
}

static bool all_linked_with_all(struct sim *sim, void *unused)
{
    (void)unused;
    for (unsigned i = 0; i < sim_node_count(sim); i++)
        if (sim_links_up(sim, i) + 1 < sim_node_count(sim))
            return false;
    return true;
}

static void run(struct sim *sim)
{
    struct state st = {.goal = {.model = "cam/detect"}};
    struct rng rng = rng_from_seeded(&st.seeded);
    struct hash versions[ROUNDS];
    st.content = malloc(CONTENT_BYTES);
    if (!st.content)
        sim_fail(sim, "out of memory");
    rng_seeded_init(&st.seeded, sim_config(sim)->seed);
    rng_fill(&rng, st.content, CONTENT_BYTES);
    sim_boot_all(sim);
    if (!sim_run(sim, 10 * SIM_MINUTE, all_linked_with_all, NULL))
        sim_fail(sim, "not all nodes are linked");
    (void)sim_run(sim, sim_now(sim) + SIM_MINUTE, NULL, NULL);
    publish(sim, &st, 0);
    versions[0] = st.goal.version;
    for (unsigned round = 1; round < ROUNDS; round++) {
        if (round == SLEEPS_AFTER + 1)
            sim_crash(sim, SLEEPER);
        step(sim, &st, round, &versions[round - 1]);
        versions[round] = st.goal.version;
        (void)sim_run(sim, sim_now(sim) + 30 * SIM_SECOND, NULL, NULL);
    }
    wake(sim, &st, &versions[SLEEPS_AFTER]);
    free(st.content);
}

static void config(struct sim_config *c)
{
    c->nodes = 8;
    c->static_peers = 8;
    c->bytes_s = 100000000;
    c->delay_min_ns = SIM_MS / 10;
    c->delay_max_ns = SIM_MS;
    c->op_min_ns = SIM_MS / 10;
    c->op_max_ns = 3 * SIM_MS;
}

const struct scenario scenario_swarm = {
    .name = "swarm",
    .words = "nine rounds of 0.75 MB to 7 nodes; who sends how much",
    .nodes = 8,
    .config = config,
    .run = run,
};
