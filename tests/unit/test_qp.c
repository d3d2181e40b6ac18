/* Steps are those of the formula; the ways back to qp agree with it. */
#include "codec/quant/qp.h"

#include "tests/support/cmocka.h"

#include <math.h>

static void qp_step_is_that_of_known_pairs(void **state)
{
    (void)state;
    assert_true(qp_step(0, 2) == 1);
    assert_true(qp_step(-4, 2) == 0.5);
    assert_true(qp_step(3, 2) == 1.75);
    assert_true(qp_step(-1, 2) == 0.875);
    assert_true(qp_step(-32, 2) == 1.0 / 256);
    assert_true(qp_step(-75, 2) == 1.25 / 524288);
    assert_true(qp_step(-5, 0) == 1.0 / 32);
    assert_true(qp_step(1, 7) == 129.0 / 128);
}

static void qp_comes_back_from_its_step(void **state)
{
    (void)state;
    for (unsigned density = 0; density <= QP_DENSITY_MAX; density++) {
        for (int qp = qp_min(density); qp <= qp_max(density); qp++) {
            double step = qp_step(qp, density);
            assert_int_equal(qp_at_most(step, density), qp);
            assert_int_equal(qp_nearest(step, density), qp);
            if (qp < qp_max(density))
                assert_true(qp_step(qp + 1, density) > step);
            if (qp > qp_min(density))
                assert_int_equal(qp_at_most(step * (1 - 1e-12), density),
                                 qp - 1);
        }
    }
}

static void qp_stays_within_its_limits(void **state)
{
    (void)state;
    for (unsigned density = 0; density <= QP_DENSITY_MAX; density++) {
        assert_int_equal(qp_at_most(1e30, density), qp_max(density));
        assert_int_equal(qp_nearest(1e-30, density), qp_min(density));
        assert_int_equal(qp_floor(0, density), qp_min(density));
        assert_int_equal(qp_floor(3e38, density), qp_max(density));
    }
}

static void qp_floor_keeps_levels_below_their_ceiling(void **state)
{
    (void)state;
    for (double most = 1e-3; most < 1e17; most *= 1.7) {
        int qp = qp_floor(most, 2);
        assert_true(most / qp_step(qp, 2) <= 1073741824.0);
        if (qp > qp_min(2))
            assert_true(most / qp_step(qp - 1, 2) > 1073741824.0);
    }
}

static void qp_of_bits_puts_the_percentile_at_the_top(void **state)
{
    (void)state;
    static float values[10000], scratch[10000];
    int low, high;
    for (unsigned i = 0; i < 10000; i++)
        values[i] = (float)((i * 7919) % 10000) / 10000;
    int qp = qp_of_bits(values, 10000, scratch, 4, 2, &low, &high);
    assert_int_equal(low, 0);
    assert_int_equal(high, 15);
    assert_int_equal(qp, qp_nearest(0.9995 / 15, 2));
    values[17] = -0.5f;
    qp = qp_of_bits(values, 10000, scratch, 4, 2, &low, &high);
    assert_int_equal(low, -8);
    assert_int_equal(high, 7);
    assert_int_equal(qp, qp_nearest(0.9995 / 7, 2));
}

static void qp_of_bits_takes_the_largest_where_most_are_zero(void **state)
{
    (void)state;
    static float values[10000], scratch[10000];
    int low, high;
    assert_int_equal(qp_of_bits(values, 10000, scratch, 8, 2, &low, &high),
                     qp_min(2));
    values[5] = 127;
    values[6] = -1;
    assert_int_equal(qp_of_bits(values, 10000, scratch, 8, 2, &low, &high), 0);
    assert_int_equal(qp_of_bits(values, 0, scratch, 8, 2, &low, &high),
                     qp_min(2));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(qp_step_is_that_of_known_pairs),
        cmocka_unit_test(qp_comes_back_from_its_step),
        cmocka_unit_test(qp_stays_within_its_limits),
        cmocka_unit_test(qp_floor_keeps_levels_below_their_ceiling),
        cmocka_unit_test(qp_of_bits_puts_the_percentile_at_the_top),
        cmocka_unit_test(qp_of_bits_takes_the_largest_where_most_are_zero),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
