/* The fleet falls apart in two; each side gets records the other lacks; then
 * it heals. */
#include "tests/sim/scenario.h"

static void run(struct sim *sim)
{
    struct sim_goal goal = {.model = "cam/detect"}, other = {.model = "lm"};
    unsigned n = sim_node_count(sim);
    scenario_start(sim);
    scenario_publish(sim, 0, 0, 200000, &goal);
    scenario_settle(sim, &goal, 60);
    for (unsigned i = 0; i < n; i++)
        sim_group(sim, i, i < n / 2 ? 1 : 2);
    scenario_publish(sim, 0, 1, 200000, &goal);
    uint8_t content[1000] = {1};
    other.version =
        sim_publish(sim, n - 1, "lm", 1, bytes_of(content, sizeof content));
    (void)sim_run(sim,
                  sim_now(sim) + SIM_SECOND +
                      rng_below(sim_rng(sim), 5 * SIM_MINUTE),
                  NULL, NULL);
    const struct hash *runs =
        disk_running(&sim_node(sim, n - 1)->disk, goal.model);
    if (runs && hash_equal(runs, &goal.version))
        sim_fail(sim, "the other side heard of it");
    sim_heal(sim);
    scenario_settle(sim, &goal, 300);
    for (unsigned i = 0; i < n; i++) {
        struct trust_version facts;
        if (trust_version_get(node_trust(sim_node(sim, i)->core),
                              &other.version, &facts))
            sim_fail(sim, "node %u lacks what the other side published", i);
    }
}

const struct scenario scenario_partition = {
    .name = "partition",
    .words = "two halves publish apart, then heal",
    .nodes = 8,
    .run = run,
};
