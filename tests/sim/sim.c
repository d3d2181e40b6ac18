/* sim SCENARIO|all [--seed N | --seeds A..B] [--nodes N] [--verbose]
 *
 * Runs a scenario with a seed and prints the seed and the trace hash; the same
 * seed gives the same hash. Without arguments: a few seeds of each scenario as
 * TAP, one of them twice to see that it replays. */
#include "tests/sim/scenario.h"

#include <stdio.h>
#include <stdlib.h>

static const struct scenario *const scenarios[] = {
    &scenario_basic,        &scenario_gossip,    &scenario_join,
    &scenario_partition,    &scenario_crash,     &scenario_churn,
    &scenario_wire,         &scenario_skew,      &scenario_swarm,
    &scenario_equivocation, &scenario_byzantine, &scenario_keep,
};
#define SCENARIO_COUNT (sizeof scenarios / sizeof *scenarios)

static uint64_t run_one(const struct scenario *s, uint64_t seed, unsigned nodes,
                        bool verbose)
{
    struct sim_config config = {.seed = seed,
                                .nodes = nodes ? nodes : s->nodes,
                                .delay_min_ns = 1 * SIM_MS,
                                .delay_max_ns = 40 * SIM_MS,
                                .bytes_s = 4000000,
                                .op_min_ns = SIM_MS / 2,
                                .op_max_ns = 10 * SIM_MS,
                                .static_peers = 2,
                                .verbose = verbose};
    if (s->config)
        s->config(&config);
    struct sim *sim = sim_new(&config);
    s->run(sim);
    uint64_t trace = sim_trace(sim);
    printf("# %s seed %llu nodes %u: %llu events, %.1f s, trace %016llx\n",
           s->name, (unsigned long long)seed, config.nodes,
           (unsigned long long)sim_events(sim), (double)sim_now(sim) / 1e9,
           (unsigned long long)trace);
    fflush(stdout);
    sim_free(sim);
    return trace;
}

static const struct scenario *find(const char *name)
{
    for (size_t i = 0; i < SCENARIO_COUNT; i++)
        if (!strcmp(scenarios[i]->name, name))
            return scenarios[i];
    fprintf(stderr, "sim: no scenario %s; there are:\n", name);
    for (size_t i = 0; i < SCENARIO_COUNT; i++)
        fprintf(stderr, "  %-10s %s\n", scenarios[i]->name,
                scenarios[i]->words);
    exit(2);
}

/* A failure ends the program before its "ok", which the harness notices. */
static int run_tap(void)
{
    printf("1..%zu\n", SCENARIO_COUNT + 1);
    for (size_t i = 0; i < SCENARIO_COUNT; i++) {
        for (uint64_t seed = 1; seed <= 2; seed++)
            (void)run_one(scenarios[i], seed, 0, false);
        printf("ok %zu - %s: %s\n", i + 1, scenarios[i]->name,
               scenarios[i]->words);
    }
    bool same = run_one(scenarios[0], 7, 4, false) ==
                run_one(scenarios[0], 7, 4, false);
    printf("%s %zu - a seed replays exactly\n", same ? "ok" : "not ok",
           SCENARIO_COUNT + 1);
    return same ? 0 : 1;
}

int main(int argc, char **argv)
{
    uint64_t from = 1, to = 1;
    unsigned nodes = 0;
    bool verbose = false;
    if (argc < 2)
        return run_tap();
    const struct scenario *s = strcmp(argv[1], "all") ? find(argv[1]) : NULL;
    for (int i = 2; i < argc; i++) {
        if (!strcmp(argv[i], "--verbose")) {
            verbose = true;
        } else if (i + 1 < argc && !strcmp(argv[i], "--seed")) {
            from = to = strtoull(argv[++i], NULL, 10);
        } else if (i + 1 < argc && !strcmp(argv[i], "--seeds")) {
            char *end;
            from = strtoull(argv[++i], &end, 10);
            to = strtoull(end + (*end ? 2 : 0), NULL, 10);
        } else if (i + 1 < argc && !strcmp(argv[i], "--nodes")) {
            nodes = (unsigned)strtoul(argv[++i], NULL, 10);
        } else {
            fprintf(stderr, "sim: what is %s?\n", argv[i]);
            return 2;
        }
    }
    if (nodes > SIM_NODES_MAX)
        nodes = SIM_NODES_MAX;
    for (size_t i = 0; i < SCENARIO_COUNT; i++)
        for (uint64_t seed = from; seed <= to; seed++)
            if (!s || s == scenarios[i])
                (void)run_one(scenarios[i], seed, nodes, verbose);
    return 0;
}
