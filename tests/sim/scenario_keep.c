/* What a node keeps beside what it runs: a mirror fetches all, a wish fetches
 * one, a damaged block is fetched again, what the publisher buried goes. */
#include "tests/sim/scenario.h"

#include <stdlib.h>

struct wish {
    unsigned node;
    struct hash version;
};

static bool is_complete(struct sim *sim, void *ctx)
{
    const struct wish *wish = ctx;
    const struct disk_version *v =
        disk_version(&sim_node(sim, wish->node)->disk, &wish->version);
    return v && v->complete;
}

static bool is_gone(struct sim *sim, void *ctx)
{
    const struct wish *wish = ctx;
    return !disk_version(&sim_node(sim, wish->node)->disk, &wish->version);
}

static struct hash publish(struct sim *sim, unsigned round, uint64_t floor)
{
    uint8_t *content = sim_content(sim_config(sim)->seed, round, 400000);
    struct hash id = sim_publish_floor(sim, 0, "cam/detect", round + 1, floor,
                                       bytes_of(content, 400000));
    free(content);
    return id;
}

static void run(struct sim *sim)
{
    struct wish mirror = {.node = 1}, asked = {.node = 2};
    struct sim_goal goal = {.model = "cam/detect"};
    sim_node(sim, 1)->mirror = "cam/*";
    scenario_start(sim);
    mirror.version = asked.version = publish(sim, 0, 1);
    if (!sim_run(sim, sim_now(sim) + SIM_MINUTE, is_complete, &mirror))
        sim_fail(sim, "the mirror did not fetch");
    (void)sim_run(sim, sim_now(sim) + 10 * SIM_SECOND, NULL, NULL);
    if (is_complete(sim, &asked))
        sim_fail(sim, "a version was fetched that nobody wanted");
    if (sim_want(sim, 2, &asked.version))
        sim_fail(sim, "a known version cannot be wanted");
    if (!sim_run(sim, sim_now(sim) + SIM_MINUTE, is_complete, &asked))
        sim_fail(sim, "a wish was not fulfilled");

    sim_damage(sim, 2, &asked.version);
    if (!sim_run(sim, sim_now(sim) + SIM_MINUTE, is_complete, &asked))
        sim_fail(sim, "a damaged block was not healed");

    for (unsigned round = 1; round < 3; round++)
        goal.version = publish(sim, round, round + 1);
    sim_release(sim, 0, 1, goal.model, &goal.version);
    scenario_settle(sim, &goal, 120);
    if (!sim_run(sim, sim_now(sim) + SIM_MINUTE, is_gone, &mirror) ||
        !is_gone(sim, &asked))
        sim_fail(sim, "a buried version was kept");
}

const struct scenario scenario_keep = {
    .name = "keep",
    .words = "mirror, wish, damage, burial",
    .nodes = 5,
    .run = run,
};
