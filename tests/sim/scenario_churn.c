/* Connections break and nodes come and go while versions are published, and
 * disks now and then fail to do what they were asked. */
#include "tests/sim/scenario.h"

static void disturb(struct sim *sim)
{
    unsigned n = sim_node_count(sim);
    unsigned node = 1 + (unsigned)rng_below(sim_rng(sim), n - 1);
    switch (rng_below(sim_rng(sim), 3)) {
    case 0:
        (void)sim_break_one(sim);
        break;
    case 1:
        sim_crash(sim, node);
        break;
    default:
        if (!sim_node(sim, node)->core)
            sim_boot(sim, node);
    }
}

static void run(struct sim *sim)
{
    struct sim_goal goal = {.model = "cam/detect"};
    scenario_start(sim);
    for (unsigned i = 1; i < sim_node_count(sim); i++)
        sim_node(sim, i)->faults.fail_puts = 20;
    for (unsigned round = 0; round < 4; round++) {
        scenario_publish(sim, 0, round, 500000, &goal);
        for (unsigned i = 0; i < 40; i++) {
            (void)sim_run(sim,
                          sim_now(sim) + rng_below(sim_rng(sim), 200 * SIM_MS),
                          NULL, NULL);
            disturb(sim);
        }
    }
    for (unsigned i = 0; i < sim_node_count(sim); i++) {
        sim_node(sim, i)->faults.fail_puts = 0;
        if (!sim_node(sim, i)->core)
            sim_boot(sim, i);
    }
    scenario_settle(sim, &goal, 600);
}

const struct scenario scenario_churn = {
    .name = "churn",
    .words = "links break, nodes come and go, disks fail",
    .nodes = 8,
    .run = run,
};
