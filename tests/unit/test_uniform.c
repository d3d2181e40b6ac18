/* Uniform levels are the nearest, or cheaper ones nearby. */
#include "codec/quant/uniform.h"

#include "tests/support/cmocka.h"
#include "tests/support/quant_values.h"

#define COUNT 20000u

static float values[COUNT];
static int32_t levels[COUNT], others[COUNT];
static struct level_cost cost;

static struct level_input input_of(double step, double lambda)
{
    return (struct level_input){.values = values,
                                .count = COUNT,
                                .step = step,
                                .lambda = lambda,
                                .limit = HUGE_VAL};
}

static void uniform_halves_go_away_from_zero(void **state)
{
    (void)state;
    float some[] = {0.5f, -0.5f, 1.5f, -2.5f, 0.49999997f, -0.0f, 7e8f};
    int32_t want[] = {1, -1, 2, -3, 0, 0, 700000000}, got[7];
    struct level_input in = {.values = some, .count = 7, .step = 1};
    uniform_nearest(&in, -INT32_MAX, INT32_MAX, got);
    assert_memory_equal(got, want, sizeof want);
    uniform_nearest(&in, -2, 1, got);
    assert_int_equal(got[2], 1);
    assert_int_equal(got[3], -2);
}

static void uniform_without_a_price_is_the_nearest(void **state)
{
    (void)state;
    quant_values(values, COUNT, 8, 1);
    struct level_input in = input_of(0.25, 0);
    uniform_nearest(&in, -INT32_MAX, INT32_MAX, others);
    uniform_choose(&in, &cost, levels);
    assert_memory_equal(levels, others, sizeof levels);
}

static void uniform_with_a_price_saves_bits_at_equal_error(void **state)
{
    (void)state;
    quant_values(values, COUNT, 1, 2);
    struct level_input plain = input_of(0.375, 0), rate = input_of(0.375, 0.14);
    uniform_nearest(&plain, -INT32_MAX, INT32_MAX, others);
    double error = quant_error(values, others, COUNT, plain.step);
    do {
        rate.step *= 0.98;
        uniform_choose(&rate, &cost, levels);
    } while (quant_error(values, levels, COUNT, rate.step) > error);
    assert_true(quant_bits(levels, COUNT, 1, false) <
                0.98 * quant_bits(others, COUNT, 1, false));
}

static void uniform_moves_towards_zero_only_and_within_its_limit(void **state)
{
    (void)state;
    quant_values(values, COUNT, 4, 3);
    struct level_input in = input_of(0.25, 1);
    in.limit = 0.75;
    uniform_nearest(&in, -INT32_MAX, INT32_MAX, others);
    uniform_choose(&in, &cost, levels);
    unsigned moved = 0;
    for (size_t i = 0; i < COUNT; i++) {
        assert_true(abs(levels[i]) <= abs(others[i]));
        assert_true((int64_t)levels[i] * others[i] >= 0);
        assert_true(fabs((double)values[i] - levels[i] * 0.25) <= 0.1875);
        moved += levels[i] != others[i];
    }
    assert_true(moved > COUNT / 50);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(uniform_halves_go_away_from_zero),
        cmocka_unit_test(uniform_without_a_price_is_the_nearest),
        cmocka_unit_test(uniform_with_a_price_saves_bits_at_equal_error),
        cmocka_unit_test(uniform_moves_towards_zero_only_and_within_its_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
