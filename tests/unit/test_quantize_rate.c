/* Levels chosen by error and rate: nearest without a price, fewer with one. */
#include "codec/quant/quantize_rate.h"

#include "tests/support/cmocka.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define COUNT   4096u
#define COLUMNS 64u

static double uniform(uint64_t *seed)
{
    *seed = *seed * UINT64_C(6364136223846793005) + 1442695040888963407;
    return (double)(*seed >> 11) / 9007199254740992.0 - 0.5;
}

static void fill(float *diff, double size)
{
    uint64_t seed = 11;
    for (size_t i = 0; i < COUNT; i++) {
        double sum = 0;
        for (int k = 0; k < 6; k++)
            sum += uniform(&seed);
        diff[i] = (float)(size * sum * 1.41);
    }
}

struct result {
    int32_t levels[COUNT];
    double bits, error;
};

static void choose(const float *diff, float step, double lambda,
                   struct result *out)
{
    struct quantize_matrix m = {
        .count = COUNT, .columns = COLUMNS, .diff = diff};
    struct quantize_rate rate;
    quantize_rate_init(&rate);
    assert_int_equal(quantize_rate_choose(&m, step, lambda, &rate, out->levels,
                                          &out->bits, &out->error),
                     STATUS_OK);
}

static void without_a_price_levels_are_the_nearest(void **state)
{
    (void)state;
    float diff[COUNT];
    struct result r;
    double error = 0;
    fill(diff, 1);
    choose(diff, 0.5f, 0, &r);
    for (size_t i = 0; i < COUNT; i++) {
        assert_int_equal(r.levels[i], (int32_t)lrintf(diff[i] / 0.5f));
        error += pow((double)diff[i] - 0.5 * r.levels[i], 2);
    }
    assert_true(fabs(error / r.error - 1) < 1e-5);
}

/* Normal numbers of deviation 1 in steps of 1/4 have 4.05 bits. */
static void bits_are_near_the_entropy(void **state)
{
    (void)state;
    float diff[COUNT];
    struct result r;
    fill(diff, 1);
    choose(diff, 0.25f, 0, &r);
    assert_true(r.bits / COUNT > 3.9 && r.bits / COUNT < 4.5);
    fill(diff, 0);
    choose(diff, 0.25f, 0, &r);
    assert_true(r.bits / COUNT < 0.02);
    assert_true(r.error == 0);
}

static void a_price_lowers_the_sum_of_error_and_rate(void **state)
{
    (void)state;
    float diff[COUNT];
    static struct result nearest, priced;
    fill(diff, 1);
    for (float step = 0.25f; step <= 2; step *= 2) {
        double lambda = 0.14 * (double)(step * step);
        choose(diff, step, 0, &nearest);
        choose(diff, step, lambda, &priced);
        assert_true(priced.bits < nearest.bits);
        assert_true(priced.error > nearest.error);
        assert_true(priced.error + lambda * priced.bits <
                    nearest.error + lambda * nearest.bits);
        for (size_t i = 0; i < COUNT; i++)
            assert_true(abs(priced.levels[i]) <= abs(nearest.levels[i]));
    }
}

static void a_model_that_learned_costs_less(void **state)
{
    (void)state;
    float diff[COUNT];
    struct quantize_matrix m = {
        .count = COUNT, .columns = COLUMNS, .diff = diff};
    struct quantize_rate rate;
    static struct result first, second;
    fill(diff, 0.2);
    quantize_rate_init(&rate);
    assert_int_equal(quantize_rate_choose(&m, 0.5f, 0, &rate, first.levels,
                                          &first.bits, &first.error),
                     STATUS_OK);
    assert_int_equal(quantize_rate_choose(&m, 0.5f, 0, &rate, second.levels,
                                          &second.bits, &second.error),
                     STATUS_OK);
    assert_true(second.bits < first.bits);
}

/* bf16 between 64 and 128 has steps of 1/2: a level stands for the number that
 * is rounded to, and is the one nearest to it. */
static void levels_of_narrow_types_are_those_of_what_is_rounded_to(void **state)
{
    (void)state;
    float diff[COUNT], pred[COUNT];
    uint64_t seed = 5;
    struct quantize_matrix m = {
        .count = COUNT, .columns = COLUMNS, .diff = diff, .pred = pred};
    struct quantize_rate rate;
    static struct result r;
    for (size_t i = 0; i < COUNT; i++) {
        pred[i] = 96;
        diff[i] = (float)(0.5 * rint(8 * uniform(&seed)));
    }
    (void)narrow_float_of(DTYPE_BF16, &m.narrow);
    quantize_rate_init(&rate);
    assert_int_equal(quantize_rate_choose(&m, 0.125f, 0.001, &rate, r.levels,
                                          &r.bits, &r.error),
                     STATUS_OK);
    assert_true(r.error == 0);
    for (size_t i = 0; i < COUNT; i++)
        assert_int_equal(r.levels[i], (int32_t)lrintf(diff[i] / 0.125f));
}

static void levels_beyond_the_largest_are_refused(void **state)
{
    (void)state;
    float diff[1] = {1e6f};
    struct quantize_matrix m = {.count = 1, .columns = 1, .diff = diff};
    struct quantize_rate rate;
    int32_t level;
    double bits, error;
    quantize_rate_init(&rate);
    assert_int_equal(
        quantize_rate_choose(&m, 1e-3f, 0, &rate, &level, &bits, &error),
        STATUS_LIMIT);
    assert_int_equal(
        quantize_rate_choose(&m, 1.0f, 0, &rate, &level, &bits, &error),
        STATUS_OK);
    assert_int_equal(level, 1000000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_a_price_levels_are_the_nearest),
        cmocka_unit_test(bits_are_near_the_entropy),
        cmocka_unit_test(a_price_lowers_the_sum_of_error_and_rate),
        cmocka_unit_test(a_model_that_learned_costs_less),
        cmocka_unit_test(
            levels_of_narrow_types_are_those_of_what_is_rounded_to),
        cmocka_unit_test(levels_beyond_the_largest_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
