/* Cheapest paths by number of steps: cost[s][e] is that of the best path of
 * s + 1 held updates that ends with edge e. */
#include "protocol/planner.h"

#define NO_EDGE PLANNER_EDGES_MAX

struct search {
    const struct planner_edge *edges;
    size_t edge_count;
    uint64_t cost[PLANNER_STEPS_MAX][PLANNER_EDGES_MAX];
    size_t before[PLANNER_STEPS_MAX][PLANNER_EDGES_MAX];
    bool reached[PLANNER_STEPS_MAX][PLANNER_EDGES_MAX];
};

static bool tree_is_held(const struct hash *held, size_t held_count,
                         const struct hash *tree)
{
    for (size_t i = 0; i < held_count; i++)
        if (hash_equal(&held[i], tree))
            return true;
    return false;
}

static uint64_t add_saturated(uint64_t a, uint64_t b)
{
    return a > UINT64_MAX - b ? UINT64_MAX : a + b;
}

static void find_first_steps(struct search *s, const struct hash *held,
                             size_t held_count)
{
    for (size_t e = 0; e < s->edge_count; e++) {
        const struct planner_edge *edge = &s->edges[e];
        s->reached[0][e] =
            !edge->has_base || tree_is_held(held, held_count, &edge->base);
        s->cost[0][e] = edge->bytes;
        s->before[0][e] = NO_EDGE;
    }
}

/* Which of two equally long ways to the same place to take. */
static bool is_better(const struct search *s, uint64_t cost, size_t edge,
                      uint64_t than_cost, size_t than_edge)
{
    if (cost != than_cost)
        return cost < than_cost;
    return hash_compare(&s->edges[edge].id, &s->edges[than_edge].id) < 0;
}

static void extend_to(struct search *s, size_t step, size_t e)
{
    const struct planner_edge *edge = &s->edges[e];
    size_t best = NO_EDGE;
    s->reached[step][e] = false;
    if (edge->make || !edge->has_base)
        return;
    for (size_t b = 0; b < s->edge_count; b++)
        if (s->reached[step - 1][b] && !s->edges[b].make &&
            hash_equal(&s->edges[b].tree, &edge->base) &&
            (best == NO_EDGE || is_better(s, s->cost[step - 1][b], b,
                                          s->cost[step - 1][best], best)))
            best = b;
    if (best == NO_EDGE)
        return;
    s->reached[step][e] = true;
    s->before[step][e] = best;
    s->cost[step][e] = add_saturated(s->cost[step - 1][best], edge->bytes);
}

struct choice {
    bool found;
    size_t step, edge;
    uint64_t cost;
};

static void choose(const struct search *s, const struct hash *target, bool make,
                   struct choice *best)
{
    best->found = false;
    for (size_t step = 0; step < PLANNER_STEPS_MAX; step++)
        for (size_t e = 0; e < s->edge_count; e++) {
            if (!s->reached[step][e] || s->edges[e].make != make ||
                !hash_equal(&s->edges[e].tree, target))
                continue;
            uint64_t cost = s->cost[step][e];
            bool better = !best->found || cost < best->cost ||
                          (step == best->step &&
                           is_better(s, cost, e, best->cost, best->edge));
            if (better)
                *best = (struct choice){true, step, e, cost};
        }
}

/* Whether what must be made is worth it. */
static bool is_worth_making(const struct choice *made,
                            const struct choice *held)
{
    if (!made->found || !held->found)
        return made->found;
    uint64_t margin = made->cost / 100 * PLANNER_MAKE_MARGIN +
                      made->cost % 100 * PLANNER_MAKE_MARGIN / 100;
    return add_saturated(made->cost, margin) < held->cost;
}

static void write_plan(const struct search *s, const struct choice *choice,
                       struct planner_plan *out)
{
    out->step_count = choice->step + 1;
    out->bytes = choice->cost;
    size_t edge = choice->edge;
    for (size_t step = choice->step + 1; step-- > 0;) {
        out->steps[step] = edge;
        edge = s->before[step][edge];
    }
}

bool planner_find(const struct planner_edge *edges, size_t edge_count,
                  const struct hash *held, size_t held_count,
                  const struct hash *target, struct planner_plan *out)
{
    out->step_count = 0;
    out->bytes = 0;
    if (tree_is_held(held, held_count, target))
        return true;
    struct search s;
    s.edges = edges;
    s.edge_count =
        edge_count < PLANNER_EDGES_MAX ? edge_count : PLANNER_EDGES_MAX;
    find_first_steps(&s, held, held_count);
    for (size_t step = 1; step < PLANNER_STEPS_MAX; step++)
        for (size_t e = 0; e < s.edge_count; e++)
            extend_to(&s, step, e);
    struct choice by_held, by_making;
    choose(&s, target, false, &by_held);
    choose(&s, target, true, &by_making);
    if (is_worth_making(&by_making, &by_held))
        write_plan(&s, &by_making, out);
    else if (by_held.found)
        write_plan(&s, &by_held, out);
    else
        return false;
    return true;
}
