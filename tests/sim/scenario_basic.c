/* A fleet with nothing wrong: joining, publishing, two rounds of a model. */
#include "tests/sim/scenario.h"

#include <stdlib.h>

#define CONTENT_BYTES 300000u

static void step(struct sim *sim, unsigned round, struct sim_goal *goal)
{
    uint8_t *content = sim_content(sim_config(sim)->seed, round, CONTENT_BYTES);
    goal->version = sim_publish(sim, 0, goal->model, round + 1,
                                bytes_of(content, CONTENT_BYTES));
    sim_release(sim, 0, round + 1, goal->model, &goal->version);
    if (!sim_run(sim, sim_now(sim) + 2 * SIM_MINUTE, sim_all_run, goal))
        sim_fail(sim, "round %u did not reach all", round);
    free(content);
}

static void run(struct sim *sim)
{
    struct sim_goal goal = {.model = "cam/detect"};
    sim_boot_all(sim);
    if (!sim_run(sim, SIM_MINUTE, sim_all_link, NULL))
        sim_fail(sim, "a node found no link");
    for (unsigned round = 0; round < 3; round++)
        step(sim, round, &goal);
    if (!sim_run(sim, sim_now(sim) + 10 * SIM_MINUTE, sim_equal, NULL))
        sim_fail(sim, "digests stay different");
}

const struct scenario scenario_basic = {
    .name = "basic",
    .words = "publish three rounds; all run each",
    .nodes = 8,
    .run = run,
};
