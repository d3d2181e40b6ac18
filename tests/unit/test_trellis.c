/* Dependent quantisation: levels are the states', and the best there are. */
#include "codec/quant/trellis.h"

#include "codec/quant/uniform.h"

#include "tests/support/cmocka.h"
#include "tests/support/quant_values.h"

#define COUNT   20000u
#define COLUMNS 100u

static float values[COUNT];
static int32_t levels[COUNT], others[COUNT];

static struct level_input input_of(size_t count, double step, double lambda)
{
    return (struct level_input){.values = values,
                                .count = count,
                                .step = step,
                                .lambda = lambda,
                                .limit = HUGE_VAL};
}

static void run(const struct level_input *in, int32_t *out)
{
    struct trellis *trellis;
    assert_int_equal(trellis_new(&trellis), STATUS_OK);
    assert_int_equal(trellis_run(trellis, in, out), STATUS_OK);
    trellis_free(trellis);
}

static void trellis_levels_are_those_of_the_states(void **state)
{
    (void)state;
    static const double lambdas[] = {0, 0.1, 0.4, 3};
    for (unsigned i = 0; i < 4; i++) {
        for (unsigned shift = 0; shift < 12; shift += 3) {
            quant_values(values, COUNT, 2, shift);
            struct level_input in =
                input_of(COUNT, ldexp(1, -(int)shift), lambdas[i]);
            in.row_elems = shift & 1 ? COLUMNS : 0;
            run(&in, levels);
            assert_true(quant_fits_states(levels, COUNT));
        }
    }
}

/* Over all levels of count elements from a state on. */
static double least_error(size_t at, size_t count, unsigned from)
{
    if (at == count)
        return 0;
    double least = HUGE_VAL;
    for (int32_t k = -4; k <= 4; k++) {
        double error = (double)values[at] - dq_state_level(from, k);
        double sum =
            error * error + least_error(at + 1, count, dq_state_next(from, k));
        least = sum < least ? sum : least;
    }
    return least;
}

static void trellis_without_rate_has_the_least_error_of_all(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 20; seed++) {
        quant_values(values, 5, 6, seed);
        struct level_input in = input_of(5, 1, 0);
        run(&in, levels);
        double error = quant_error(values, levels, 5, 1);
        double least = least_error(0, 5, 0);
        assert_true(fabs(error - least) <= 1e-4 * (1 + least));
    }
}

static void trellis_leaves_zeros_as_they_are(void **state)
{
    (void)state;
    for (unsigned rate = 0; rate < 2; rate++) {
        quant_values(values, COUNT, 8, 3);
        for (size_t i = 0; i < COUNT; i += i % 7 + 2)
            values[i] = 0;
        struct level_input in = input_of(COUNT, 0.5, rate ? 0.01 : 0);
        run(&in, levels);
        for (size_t i = 0; i < COUNT; i++)
            assert_true(values[i] != 0 || !levels[i]);
    }
}

static void trellis_beats_uniform_of_twice_the_step(void **state)
{
    (void)state;
    quant_values(values, COUNT, 8, 1);
    struct level_input in = input_of(COUNT, 0.125, 0), twice = in;
    twice.step = 0.25;
    run(&in, levels);
    uniform_nearest(&twice, -INT32_MAX, INT32_MAX, others);
    double ours = quant_error(values, levels, COUNT, 0.125);
    double theirs = quant_error(values, others, COUNT, 0.25);
    assert_true(ours < 0.85 * theirs); /* 0.7 dB at least */
    assert_true(quant_bits(levels, COUNT, 1, true) <
                1.03 * quant_bits(others, COUNT, 1, false));
}

static void trellis_with_rate_saves_bits_at_equal_error(void **state)
{
    (void)state;
    quant_values(values, COUNT, 1, 2);
    struct level_input plain = input_of(COUNT, 0.5, 0);
    struct level_input rate = input_of(COUNT, 0.5, 0.4);
    run(&plain, others);
    double error = quant_error(values, others, COUNT, plain.step);
    do {
        rate.step *= 0.98;
        run(&rate, levels);
    } while (quant_error(values, levels, COUNT, rate.step) > error);
    double bits = quant_bits(levels, COUNT, 1, true);
    assert_true(bits > 0);
    assert_true(bits < 0.97 * quant_bits(others, COUNT, 1, true));
}

static void trellis_keeps_within_its_limit(void **state)
{
    (void)state;
    quant_values(values, COUNT, 4, 3);
    struct level_input in = input_of(COUNT, 0.25, 2);
    in.limit = 1;
    in.row_elems = COLUMNS;
    run(&in, levels);
    for (size_t i = 0; i < COUNT; i++)
        assert_true(fabs((double)values[i] - levels[i] * 0.25) <=
                    0.25 * (1 + 1e-5));
    assert_true(quant_fits_states(levels, COUNT));
}

static void trellis_skips_rows_that_are_not_worth_it(void **state)
{
    (void)state;
    for (size_t r = 0; r < COUNT / COLUMNS; r++)
        quant_values(values + r * COLUMNS, COLUMNS, r % 8 ? 1.0f : 40, r);
    struct level_input in = input_of(COUNT, 1, 0.5);
    in.row_elems = COLUMNS;
    run(&in, levels);
    assert_true(quant_fits_states(levels, COUNT));
    unsigned zero = 0;
    for (size_t r = 0; r < COUNT / COLUMNS; r++) {
        bool any = false;
        for (size_t i = 0; i < COLUMNS; i++)
            any = any || levels[r * COLUMNS + i];
        zero += !any;
        assert_true(any || r % 8);
    }
    assert_true(zero > COUNT / COLUMNS / 2);
}

static void trellis_prefers_what_the_update_before_suggests(void **state)
{
    (void)state;
    quant_values(values, COUNT, 1, 4);
    struct level_input in = input_of(COUNT, 0.25, 0.4);
    run(&in, others);
    in.temporal = others;
    run(&in, levels);
    assert_true(quant_fits_states(levels, COUNT));
    unsigned zero = 0, kept = 0;
    for (size_t i = 0; i < COUNT; i++) {
        zero += !others[i];
        kept += !others[i] && !levels[i];
    }
    assert_true(kept > zero - zero / 50);
}

static void trellis_is_the_same_everywhere(void **state)
{
    (void)state;
    uint64_t hash = 14695981039346656037u;
    for (unsigned i = 0; i < 2; i++) {
        quant_values(values, COUNT, 3, 5);
        struct level_input in = input_of(COUNT, 0.3125, i ? 0.375 : 0);
        in.row_elems = COLUMNS;
        run(&in, levels);
        for (size_t j = 0; j < COUNT; j++)
            hash = (hash ^ (uint32_t)levels[j]) * 1099511628211u;
    }
    assert_int_equal(hash, UINT64_C(0x54f08e43fa002866));
}

static void trellis_takes_nothing_and_huge_values(void **state)
{
    (void)state;
    struct level_input in = input_of(0, 1, 0.1);
    run(&in, levels);
    values[0] = 1e9f;
    values[1] = -1e9f;
    values[2] = 0;
    in.count = 3;
    run(&in, levels);
    assert_true(quant_fits_states(levels, 3));
    assert_true(abs(levels[0] - 1000000000) <= 1);
    assert_true(abs(levels[1] + 1000000000) <= 1);
}

static void level_cost_tables_agree_with_contexts(void **state)
{
    (void)state;
    static struct level_cost cost;
    struct level_input in = input_of(0, 1, 1);
    uint64_t seed = 6;
    level_cost_init(&cost, &in);
    for (unsigned i = 0; i < 3000; i++) {
        unsigned s = quant_random(&seed) & 7;
        int32_t left = (int32_t)(quant_random(&seed) % 3) - 1;
        int32_t base = (int32_t)(quant_random(&seed) % 9) - 4;
        int32_t k = (int32_t)(quant_random(&seed) % 61) - 30;
        level_cost_refresh(&cost);
        float now = level_cost_now(&cost, s, left, base, k);
        unsigned l = ctx_left_class(left), above = ctx_base_above(base, 1);
        float sum =
            base ? cost.sig_temporal[above][k != 0][s] : cost.sig[l][k != 0][s];
        if (k)
            sum += (base ? cost.sign_temporal[base > 0][k < 0]
                         : cost.sign[l][k < 0]) +
                   level_cost_magnitude(&cost, k < 0, base, (uint32_t)abs(k));
        assert_true(fabsf(sum - now) < 1e-3f);
        level_cost_adapt(&cost, s, left, base, k);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(trellis_levels_are_those_of_the_states),
        cmocka_unit_test(trellis_without_rate_has_the_least_error_of_all),
        cmocka_unit_test(trellis_leaves_zeros_as_they_are),
        cmocka_unit_test(trellis_beats_uniform_of_twice_the_step),
        cmocka_unit_test(trellis_with_rate_saves_bits_at_equal_error),
        cmocka_unit_test(trellis_keeps_within_its_limit),
        cmocka_unit_test(trellis_skips_rows_that_are_not_worth_it),
        cmocka_unit_test(trellis_prefers_what_the_update_before_suggests),
        cmocka_unit_test(trellis_is_the_same_everywhere),
        cmocka_unit_test(trellis_takes_nothing_and_huge_values),
        cmocka_unit_test(level_cost_tables_agree_with_contexts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
