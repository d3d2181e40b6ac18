/* The scenarios: each sets a fleet up, lets things go wrong, and then demands
 * what must be. They end the program with sim_fail when it is not so. */
#ifndef TESTS_SIM_SCENARIO_H
#define TESTS_SIM_SCENARIO_H

#include "tests/sim/run.h"

struct scenario {
    const char *name;
    const char *words;
    unsigned nodes; /* unless the command line says */
    void (*config)(struct sim_config *config); /* may be NULL */
    void (*run)(struct sim *sim);
};

extern const struct scenario scenario_basic, scenario_join, scenario_gossip,
    scenario_partition, scenario_crash, scenario_churn, scenario_byzantine,
    scenario_wire, scenario_skew;

#endif
