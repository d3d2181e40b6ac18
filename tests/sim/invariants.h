/* What must hold after every event of a run. */
#ifndef TESTS_SIM_INVARIANTS_H
#define TESTS_SIM_INVARIANTS_H

#include "tests/sim/run.h"

/* After an event at a node: whatever its core holds in force is on its disk. */
void invariants_node(struct sim *sim, struct sim_node *node);

/* An activation: a durable channel names it, it is complete, its bytes have the
 * hash that was signed. */
void invariants_activate(struct sim *sim, struct sim_node *node,
                         const char *model, const struct hash *version);

/* A version was called complete. */
void invariants_complete(struct sim *sim, struct sim_node *node,
                         const struct hash *version);

#endif
