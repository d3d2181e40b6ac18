/* The planner on small graphs: every kind of path, ties, margins, and numbers
 * that nobody honest would send. */
#include "protocol/planner.h"

#include "tests/support/cmocka.h"

static struct hash tree(int n)
{
    struct hash h = {{0}};
    h.b[0] = (uint8_t)n;
    h.b[31] = 1;
    return h;
}

/* From base (0: from nothing) to target; the id follows from its place. */
static struct planner_edge edge(int base, int target, uint64_t bytes)
{
    struct planner_edge e = {
        .has_base = base != 0, .tree = tree(target), .bytes = bytes};
    if (base)
        e.base = tree(base);
    e.id.b[0] = (uint8_t)target;
    e.id.b[1] = (uint8_t)base;
    return e;
}

static struct planner_edge makeable(int base, int target, uint64_t bytes)
{
    struct planner_edge e = edge(base, target, bytes);
    e.make = true;
    return e;
}

#define FIND(edges, held, target, plan)                             \
    planner_find((edges), sizeof(edges) / sizeof(edges)[0], (held), \
                 sizeof(held) / sizeof(held)[0], &(target), (plan))

static void planner_takes_direct_over_chain_and_full(void **state)
{
    (void)state;
    struct planner_edge e[] = {edge(0, 9, 1000), edge(2, 5, 100),
                               edge(5, 9, 100), edge(2, 9, 150)};
    struct hash held[] = {tree(2)}, target = tree(9);
    struct planner_plan plan;
    assert_true(FIND(e, held, target, &plan));
    assert_int_equal(plan.step_count, 1);
    assert_int_equal(plan.steps[0], 3);
    assert_int_equal(plan.bytes, 150);
}

static void planner_takes_a_chain_that_is_cheaper(void **state)
{
    (void)state;
    struct planner_edge e[] = {edge(0, 9, 1000), edge(5, 9, 30), edge(2, 4, 20),
                               edge(4, 5, 10), edge(2, 9, 61)};
    struct hash held[] = {tree(1), tree(2)}, target = tree(9);
    struct planner_plan plan;
    assert_true(FIND(e, held, target, &plan));
    assert_int_equal(plan.step_count, 3);
    assert_int_equal(plan.steps[0], 2);
    assert_int_equal(plan.steps[1], 3);
    assert_int_equal(plan.steps[2], 1);
    assert_int_equal(plan.bytes, 60);
}

static void planner_takes_full_without_a_base(void **state)
{
    (void)state;
    struct planner_edge e[] = {edge(2, 9, 1), edge(0, 9, 1000)};
    struct hash held[] = {tree(3)}, target = tree(9);
    struct planner_plan plan;
    assert_true(FIND(e, held, target, &plan));
    assert_int_equal(plan.step_count, 1);
    assert_int_equal(plan.steps[0], 1);
}

static void planner_starts_a_chain_with_a_full_update(void **state)
{
    (void)state;
    struct planner_edge e[] = {edge(4, 9, 10), edge(0, 4, 500),
                               edge(0, 9, 1000)};
    struct hash held[] = {tree(3)}, target = tree(9);
    struct planner_plan plan;
    assert_true(FIND(e, held, target, &plan));
    assert_int_equal(plan.step_count, 2);
    assert_int_equal(plan.steps[0], 1);
    assert_int_equal(plan.bytes, 510);
}

static void planner_counts_what_is_verified_as_nothing(void **state)
{
    (void)state;
    /* The full update is nearly here already. */
    struct planner_edge e[] = {edge(0, 9, 40), edge(2, 9, 90)};
    struct hash held[] = {tree(2)}, target = tree(9);
    struct planner_plan plan;
    assert_true(FIND(e, held, target, &plan));
    assert_int_equal(plan.steps[0], 0);
}

static void planner_needs_nothing_for_a_held_tree(void **state)
{
    (void)state;
    struct planner_edge e[] = {edge(0, 9, 40)};
    struct hash held[] = {tree(2), tree(9)}, target = tree(9);
    struct planner_plan plan;
    assert_true(FIND(e, held, target, &plan));
    assert_int_equal(plan.step_count, 0);
    assert_int_equal(plan.bytes, 0);
}

static void planner_finds_nothing_where_nothing_leads(void **state)
{
    (void)state;
    struct planner_edge e[] = {edge(0, 4, 40), edge(5, 9, 1), edge(9, 4, 1)};
    struct hash held[] = {tree(2)}, target = tree(9);
    struct planner_plan plan;
    assert_false(FIND(e, held, target, &plan));
    assert_false(planner_find(NULL, 0, NULL, 0, &target, &plan));
}

static void planner_goes_four_steps_and_not_five(void **state)
{
    (void)state;
    struct planner_edge e[] = {edge(1, 2, 1), edge(2, 3, 1), edge(3, 4, 1),
                               edge(4, 5, 1), edge(5, 6, 1)};
    struct hash held[] = {tree(1)}, four = tree(5), five = tree(6);
    struct planner_plan plan;
    assert_true(FIND(e, held, four, &plan));
    assert_int_equal(plan.step_count, 4);
    assert_int_equal(plan.bytes, 4);
    assert_false(FIND(e, held, five, &plan));
}

static void planner_breaks_ties_by_steps_then_ids(void **state)
{
    (void)state;
    struct hash held[] = {tree(1), tree(2)}, target = tree(9);
    struct planner_plan plan;
    struct planner_edge steps[] = {edge(1, 4, 5), edge(4, 9, 5),
                                   edge(2, 9, 10)};
    assert_true(FIND(steps, held, target, &plan));
    assert_int_equal(plan.step_count, 1);
    struct planner_edge ids[] = {edge(2, 9, 10), edge(1, 9, 10)};
    assert_true(FIND(ids, held, target, &plan));
    assert_int_equal(plan.steps[0], 1); /* base 1: the lesser id */
}

static void planner_makes_only_for_a_margin(void **state)
{
    (void)state;
    struct hash held[] = {tree(2)}, target = tree(9);
    struct planner_plan plan;
    struct planner_edge close[] = {edge(0, 9, 1000), makeable(2, 9, 870)};
    assert_true(FIND(close, held, target, &plan));
    assert_int_equal(plan.steps[0], 0);
    struct planner_edge far[] = {edge(0, 9, 1000), makeable(2, 9, 869)};
    assert_true(FIND(far, held, target, &plan));
    assert_int_equal(plan.steps[0], 1);
    struct planner_edge only[] = {makeable(2, 9, 5000), makeable(0, 9, 6000)};
    assert_true(FIND(only, held, target, &plan));
    assert_int_equal(plan.steps[0], 0);
}

static void planner_never_chains_what_must_be_made(void **state)
{
    (void)state;
    struct planner_edge e[] = {makeable(2, 4, 1), edge(4, 9, 1),
                               edge(0, 9, 1000)};
    struct hash held[] = {tree(2)}, target = tree(9);
    struct planner_plan plan;
    assert_true(FIND(e, held, target, &plan));
    assert_int_equal(plan.steps[0], 2);
}

static void planner_stands_hostile_numbers(void **state)
{
    (void)state;
    struct planner_edge e[] = {
        edge(2, 4, UINT64_MAX),     edge(4, 9, UINT64_MAX), edge(2, 2, 0),
        makeable(2, 9, UINT64_MAX), edge(9, 9, 0),
    };
    struct hash held[] = {tree(2)}, target = tree(9);
    struct planner_plan plan;
    assert_true(FIND(e, held, target, &plan));
    assert_int_equal(plan.step_count, 2);
    assert_true(plan.bytes == UINT64_MAX);
}

static void planner_ignores_edges_over_the_limit(void **state)
{
    (void)state;
    struct planner_edge e[PLANNER_EDGES_MAX + 1];
    for (size_t i = 0; i < PLANNER_EDGES_MAX; i++)
        e[i] = edge(2, 9, 100 + i);
    e[PLANNER_EDGES_MAX] = edge(2, 9, 1);
    struct hash held[] = {tree(2)}, target = tree(9);
    struct planner_plan plan;
    assert_true(FIND(e, held, target, &plan));
    assert_int_equal(plan.bytes, 100);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(planner_takes_direct_over_chain_and_full),
        cmocka_unit_test(planner_takes_a_chain_that_is_cheaper),
        cmocka_unit_test(planner_takes_full_without_a_base),
        cmocka_unit_test(planner_starts_a_chain_with_a_full_update),
        cmocka_unit_test(planner_counts_what_is_verified_as_nothing),
        cmocka_unit_test(planner_needs_nothing_for_a_held_tree),
        cmocka_unit_test(planner_finds_nothing_where_nothing_leads),
        cmocka_unit_test(planner_goes_four_steps_and_not_five),
        cmocka_unit_test(planner_breaks_ties_by_steps_then_ids),
        cmocka_unit_test(planner_makes_only_for_a_margin),
        cmocka_unit_test(planner_never_chains_what_must_be_made),
        cmocka_unit_test(planner_stands_hostile_numbers),
        cmocka_unit_test(planner_ignores_edges_over_the_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
