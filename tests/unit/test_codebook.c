/* Codebooks find where values cluster. */
#include "codec/quant/codebook.h"

#include "codec/quant/uniform.h"

#include "tests/support/cmocka.h"
#include "tests/support/quant_values.h"

#define COUNT 4000u

static float values[COUNT];
static int32_t levels[COUNT];
static struct level_cost cost;

static struct level_input input_of(double step, double lambda)
{
    return (struct level_input){.values = values,
                                .count = COUNT,
                                .step = step,
                                .lambda = lambda,
                                .limit = HUGE_VAL};
}

static void codebook_finds_clusters(void **state)
{
    (void)state;
    static const float centre[] = {-2.1875f, 0, 0.8125f, 3.25f};
    uint64_t seed = 1;
    for (size_t i = 0; i < COUNT; i++)
        values[i] = centre[quant_random(&seed) & 3];
    struct codebook book;
    struct level_input in = input_of(1, 0.1);
    uniform_nearest(&in, -INT32_MAX, INT32_MAX, levels);
    assert_true(codebook_learn(&book, &in, levels, true));
    assert_int_equal(book.size, 4);
    assert_int_equal(book.zero, 1);
    codebook_choose(&book, &in, &cost, levels);
    for (size_t i = 0; i < COUNT; i++)
        assert_true(book.values[(int32_t)book.zero + levels[i]] / 16.0 ==
                    (double)values[i]);
}

static void codebook_lowers_the_error_of_its_levels(void **state)
{
    (void)state;
    quant_values(values, COUNT, 3, 2);
    struct codebook book;
    struct level_input in = input_of(1, 0.14);
    uniform_choose(&in, &cost, levels);
    assert_true(codebook_learn(&book, &in, levels, true));
    double plain = quant_error(values, levels, COUNT, 1), learned = 0;
    for (size_t i = 0; i < COUNT; i++) {
        /* No level is left out of this one. */
        double error = (double)values[i] -
                       book.values[(int32_t)book.zero + levels[i]] / 16.0;
        learned += error * error;
    }
    for (uint32_t i = 1; i < book.size; i++)
        assert_true(book.values[i] > book.values[i - 1]);
    assert_int_equal(book.values[book.zero], 0);
    assert_true(learned < plain);
}

static void codebook_refuses_too_many_levels(void **state)
{
    (void)state;
    struct codebook book;
    for (size_t i = 0; i < COUNT; i++)
        values[i] = (float)(i % (CODEBOOK_MAX + 1));
    struct level_input in = input_of(1, 0);
    uniform_nearest(&in, -INT32_MAX, INT32_MAX, levels);
    assert_false(codebook_learn(&book, &in, levels, true));
    in.count = CODEBOOK_MAX;
    assert_true(codebook_learn(&book, &in, levels, true));
    assert_int_equal(book.size, CODEBOOK_MAX);
}

static void codebook_bits_are_those_of_the_syntax(void **state)
{
    (void)state;
    int32_t list[] = {-1, 0, 1};
    struct nnc_codebook book = {.size = 3, .zero = 1, .values = list};
    /* egk 4, ue(2) of 3: 3, ie(2) of 0: 3, ie(7) of 0: 8, two ue(0) of 0. */
    assert_int_equal(codebook_bits(&book), 4 + 3 + 3 + 8 + 2);
    book.size = 0;
    assert_int_equal(codebook_bits(&book), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(codebook_finds_clusters),
        cmocka_unit_test(codebook_lowers_the_error_of_its_levels),
        cmocka_unit_test(codebook_refuses_too_many_levels),
        cmocka_unit_test(codebook_bits_are_those_of_the_syntax),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
