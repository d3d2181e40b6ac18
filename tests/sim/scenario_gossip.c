/* Records alone, many nodes: how fast and how dear. */
#include "tests/sim/scenario.h"

#include <stdio.h>
#include <stdlib.h>

static bool all_have(struct sim *sim, void *ctx)
{
    const struct slot_id *slot = ctx;
    for (unsigned i = 0; i < sim_node_count(sim); i++)
        if (!trust_slot(node_trust(sim_node(sim, i)->core), slot))
            return false;
    return true;
}

static void run(struct sim *sim)
{
    struct fleet_bytes *out = malloc(sizeof *out);
    struct node_counters before, after;
    struct slot_author author = slot_author_role(bytes_of_text("trainer"));
    struct slot_id slot =
        slot_id_of(&author, RECORD_VERSION, bytes_of_text("cam/detect#1"));
    if (!out)
        sim_fail(sim, "out of memory");
    sim_boot_all(sim);
    if (!sim_run(sim, 30 * SIM_MINUTE, sim_equal, NULL))
        sim_fail(sim, "the fleet does not come to rest");
    uint64_t rest = sim_now(sim);
    sim_totals(sim, &before);
    fleet_version(sim_fleet(sim), "trainer", "cam/detect", 1, 1, 1, out);
    uint64_t from = sim_now(sim);
    if (sim_submit(sim, 0, fleet_view(out), NULL))
        sim_fail(sim, "a record was refused");
    if (!sim_run(sim, from + 2 * SIM_MINUTE, all_have, &slot))
        sim_fail(sim, "a record did not reach all");
    uint64_t took = sim_now(sim) - from;
    sim_totals(sim, &after);
    unsigned n = sim_node_count(sim);
    printf("# %u nodes: at rest after %.1f s; a record at all after %.0f ms; "
           "%.0f bytes sent a node\n",
           n, (double)rest / 1e9, (double)took / 1e6,
           (double)(after.bytes_out - before.bytes_out) / n);
    sim_totals(sim, &before);
    if (!sim_run(sim, sim_now(sim) + SIM_MINUTE, sim_equal, NULL))
        sim_fail(sim, "digests stay different");
    sim_totals(sim, &before);
    from = sim_now(sim);
    (void)sim_run(sim, from + 10 * SIM_MINUTE, NULL, NULL);
    sim_totals(sim, &after);
    printf("# idle: %.1f bytes/s sent a node\n",
           (double)(after.bytes_out - before.bytes_out) / n / 600.0);
    free(out);
}

static void config(struct sim_config *c)
{
    c->delay_min_ns = 20 * SIM_MS;
    c->delay_max_ns = 100 * SIM_MS;
}

const struct scenario scenario_gossip = {
    .name = "gossip",
    .words = "one record to all of many nodes; what it costs",
    .nodes = 30,
    .config = config,
    .run = run,
};
