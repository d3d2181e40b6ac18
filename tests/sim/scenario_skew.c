/* Clocks that run up to two percent wrong and begin anywhere, slow disks, thin
 * and long lines. */
#include "tests/sim/scenario.h"

static void run(struct sim *sim)
{
    struct sim_goal goal = {.model = "cam/detect"};
    scenario_start(sim);
    for (unsigned round = 0; round < 2; round++) {
        scenario_publish(sim, 0, round, 200000, &goal);
        scenario_settle(sim, &goal, 600);
    }
}

static void config(struct sim_config *c)
{
    c->skew_ppm_max = 20000;
    c->delay_min_ns = 50 * SIM_MS;
    c->delay_max_ns = 800 * SIM_MS;
    c->op_max_ns = 400 * SIM_MS;
    c->bytes_s = 60000;
}

const struct scenario scenario_skew = {
    .name = "skew",
    .words = "wrong clocks, slow disks, thin lines",
    .nodes = 6,
    .config = config,
    .run = run,
};
