/* Which updates lead from what is held to a wanted content with the fewest
 * bytes still to come. A pure function over a small graph whose nodes are
 * trees and whose edges are updates.
 *
 * The plan is the cheapest of: one direct update, a chain of at most
 * PLANNER_STEPS_MAX updates that somebody holds, the full update, or one
 * update that a peer would have to make first. Ties go to fewer steps, then to
 * the least ids, so that peers with the same choice choose the same bytes.
 *
 * An update that must be made costs its maker time and spreads worse, so its
 * estimate must be at least PLANNER_MAKE_MARGIN percent below the best path
 * of held ones. It is never part of a chain. */
#ifndef PROTOCOL_PLANNER_H
#define PROTOCOL_PLANNER_H

#include "codec/base/hash.h"

#define PLANNER_STEPS_MAX   4u
#define PLANNER_EDGES_MAX   128u
#define PLANNER_MAKE_MARGIN 15u

struct planner_edge {
    bool has_base; /* false: a full update */
    struct hash base, tree;
    struct hash id; /* of the update; of ties the least is taken */
    uint64_t bytes; /* still to come; what is verified counts as zero */
    bool make;      /* bytes is an estimate, nobody holds it yet */
};

struct planner_plan {
    size_t step_count;               /* 0: the target is held */
    size_t steps[PLANNER_STEPS_MAX]; /* edges, in the order they are applied */
    uint64_t bytes; /* of all steps; UINT64_MAX when they overflow */
};

/* edges  at most PLANNER_EDGES_MAX, more are not looked at
 * held   trees that are held whole and sound
 *
 * False when no path leads to target. */
bool planner_find(const struct planner_edge *edges, size_t edge_count,
                  const struct hash *held, size_t held_count,
                  const struct hash *target, struct planner_plan *out);

#endif
