/* A new node knows the fleet id, the secret and one address; meanwhile the
 * fleet has seen several fleet records. A node that was away for them catches
 * up too. */
#include "tests/sim/scenario.h"

#include <stdlib.h>

static void advance(struct sim *sim)
{
    struct fleet_bytes *out = malloc(sizeof *out);
    struct diag diag = {{0}};
    if (!out)
        sim_fail(sim, "out of memory");
    fleet_new_keys(sim_fleet(sim), &sim_fleet(sim)->roles[0]);
    fleet_advance(sim_fleet(sim), out);
    if (sim_submit(sim, 0, fleet_view(out), &diag))
        sim_fail(sim, "fleet record refused: %s", diag.text);
    free(out);
    (void)sim_run(sim, sim_now(sim) + SIM_SECOND, NULL, NULL);
}

static void run(struct sim *sim)
{
    struct sim_goal goal = {.model = "cam/detect"};
    scenario_start(sim);
    (void)sim_run(sim, sim_now(sim) + 5 * SIM_SECOND, NULL, NULL);
    sim_crash(sim, 2);
    scenario_publish(sim, 0, 0, 200000, &goal);
    for (unsigned i = 0; i < 5; i++)
        advance(sim);
    struct sim_node *late = sim_add_node(sim);
    sim_boot(sim, late->index);
    sim_boot(sim, 2);
    scenario_settle(sim, &goal, 120);
    uint64_t number = 0;
    (void)trust_fleet(node_trust(late->core), &number);
    if (number != 6)
        sim_fail(sim, "the new node is at fleet record %u", (unsigned)number);
    if (trust_node(node_trust(sim_node(sim, 0)->core), &late->id, NULL) !=
        TRUST_NODE_CERTIFIED)
        sim_fail(sim, "the new node is not certified");
}

const struct scenario scenario_join = {
    .name = "join",
    .words = "a new node, and one that was away, after five rotations",
    .nodes = 5,
    .run = run,
};
