/* Builds that speak newer wire versions beside those that do not. */
#include "tests/sim/scenario.h"

static void run(struct sim *sim)
{
    struct sim_goal goal = {.model = "cam/detect"};
    for (unsigned i = 0; i < sim_node_count(sim); i++)
        sim_node(sim, i)->wire_max = i % 2 ? 0 : (uint8_t)(2 + i);
    scenario_start(sim);
    for (unsigned round = 0; round < 2; round++) {
        scenario_publish(sim, 0, round, 200000, &goal);
        scenario_settle(sim, &goal, 60);
    }
}

const struct scenario scenario_wire = {
    .name = "wire",
    .words = "older and newer wire versions in one fleet",
    .nodes = 6,
    .run = run,
};
