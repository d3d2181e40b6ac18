/* The scenarios: each sets a fleet up, lets things go wrong, and then demands
 * what must be. They end the program with sim_fail when it is not so. */
#ifndef TESTS_SIM_SCENARIO_H
#define TESTS_SIM_SCENARIO_H

#include "tests/sim/run.h"

struct scenario {
    const char *name;
    const char *words;
    unsigned nodes;                            /* unless the caller says */
    void (*config)(struct sim_config *config); /* may be NULL */
    void (*run)(struct sim *sim);
};

extern const struct scenario scenario_basic, scenario_byzantine, scenario_churn,
    scenario_crash, scenario_equivocation, scenario_gossip, scenario_join,
    scenario_keep, scenario_partition, scenario_skew, scenario_swarm,
    scenario_wire;

/* Boots all and waits until each has a link. */
void scenario_start(struct sim *sim);

/* Publishes round (0, 1...) of goal->model at the node and releases it. */
void scenario_publish(struct sim *sim, unsigned node, unsigned round,
                      size_t size, struct sim_goal *goal);

/* All run the goal within seconds of virtual time, and then have equal
 * digests. */
void scenario_settle(struct sim *sim, struct sim_goal *goal, unsigned seconds);

#endif
