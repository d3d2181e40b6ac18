/* Power cuts at any moment of a publish and of the fetches: nothing that was
 * acknowledged is lost, and all ends well without help. */
#include "tests/sim/scenario.h"

struct fate {
    unsigned node;
    bool up;
};

static void reboot(struct sim *sim, void *ctx)
{
    struct fate *fate = ctx;
    fate->up = true;
    if (!sim_node(sim, fate->node)->core)
        sim_boot(sim, fate->node);
}

static void cut(struct sim *sim, void *ctx)
{
    struct fate *fate = ctx;
    if (!sim_node(sim, fate->node)->core)
        return;
    sim_crash(sim, fate->node);
    sim_at(sim, sim_now(sim) + rng_below(sim_rng(sim), 3 * SIM_SECOND), reboot,
           fate);
}

static void run(struct sim *sim)
{
    struct sim_goal goal = {.model = "cam/detect"};
    struct fate fates[64];
    scenario_start(sim);
    for (unsigned round = 0; round < 3; round++) {
        scenario_publish(sim, 0, round, 700000, &goal);
        (void)sim_run(sim, sim_now(sim) + 20 * SIM_MS, NULL, NULL);
        unsigned count = sim_node_count(sim) * 2;
        for (unsigned i = 0; i < count && i < 64; i++) {
            fates[i].node =
                (unsigned)rng_below(sim_rng(sim), sim_node_count(sim));
            sim_at(sim, sim_now(sim) + rng_below(sim_rng(sim), 1500 * SIM_MS),
                   cut, &fates[i]);
        }
        (void)sim_run(sim, sim_now(sim) + 6 * SIM_SECOND, NULL, NULL);
        scenario_settle(sim, &goal, 180);
    }
}

static void config(struct sim_config *c)
{
    c->bytes_s = 1000000;
}

const struct scenario scenario_crash = {
    .name = "crash",
    .words = "power cuts at any moment of three rounds",
    .nodes = 6,
    .config = config,
    .run = run,
};
