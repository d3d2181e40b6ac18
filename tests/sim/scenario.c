/* What the scenarios share. */
#include "tests/sim/scenario.h"

#include <stdio.h>
#include <stdlib.h>

void scenario_start(struct sim *sim)
{
    sim_boot_all(sim);
    if (!sim_run(sim, sim_now(sim) + SIM_MINUTE, sim_all_link, NULL))
        sim_fail(sim, "a node found no link");
}

void scenario_publish(struct sim *sim, unsigned node, unsigned round,
                      size_t size, struct sim_goal *goal)
{
    uint8_t *content = sim_content(sim_config(sim)->seed, round, size);
    goal->version =
        sim_publish(sim, node, goal->model, round + 1, bytes_of(content, size));
    sim_release(sim, node, round + 1, goal->model, &goal->version);
    free(content);
}

/* Words about the first node that does not run the goal. */
static void explain(struct sim *sim, const struct sim_goal *goal)
{
    for (unsigned i = 0; i < sim_node_count(sim); i++) {
        struct node_version_info info;
        struct sim_node *node = sim_node(sim, i);
        const struct hash *runs = disk_running(&node->disk, goal->model);
        if (!node->core || (runs && hash_equal(runs, &goal->version)))
            continue;
        bool known = node_version_get(node->core, &goal->version, &info);
        fprintf(stderr, "node %u: %u links, version %s, %u of %u blocks, %s\n",
                i, sim_links_up(sim, i), known ? "known" : "unknown",
                known ? info.blocks_done : 0, known ? info.blocks_total : 0,
                known ? info.why : "");
    }
}

void scenario_settle(struct sim *sim, struct sim_goal *goal, unsigned seconds)
{
    uint64_t until = sim_now(sim) + seconds * SIM_SECOND;
    if (!sim_run(sim, until, sim_all_run, goal)) {
        explain(sim, goal);
        sim_fail(sim, "not all run %s", goal->model);
    }
    if (!sim_run(sim, sim_now(sim) + 20 * SIM_MINUTE, sim_equal, NULL))
        sim_fail(sim, "digests stay different");
}
