/* A fleet with nothing wrong: joining, publishing, three rounds of a model,
 * and back to an older one. */
#include "tests/sim/scenario.h"

static void run(struct sim *sim)
{
    struct sim_goal goal = {.model = "cam/detect"}, first;
    scenario_start(sim);
    scenario_publish(sim, 0, 0, 300000, &goal);
    first = goal;
    scenario_settle(sim, &goal, 60);
    for (unsigned round = 1; round < 3; round++) {
        scenario_publish(sim, 0, round, 300000, &goal);
        scenario_settle(sim, &goal, 60);
    }
    sim_release(sim, 0, 4, first.model, &first.version);
    scenario_settle(sim, &first, 60);
}

const struct scenario scenario_basic = {
    .name = "basic",
    .words = "three rounds published, then back to the first",
    .nodes = 8,
    .run = run,
};
