/* Low rank parts of quantised differences: planted directions are found, their
 * factors are as coarse as asked for. */
#include "codec/quant/quantize_rank.h"

#include "tests/support/cmocka.h"

#include <math.h>
#include <stdlib.h>

#define ROWS    60u
#define COLUMNS 44u

static double uniform(uint64_t *seed)
{
    *seed = *seed * UINT64_C(6364136223846793005) + 1442695040888963407;
    return (double)(*seed >> 11) / 9007199254740992.0 - 0.5;
}

/* The sum of rank products of vectors, each a third of the one before. */
static void plant(float *diff, unsigned rank)
{
    uint64_t seed = 3;
    for (size_t i = 0; i < ROWS * COLUMNS; i++)
        diff[i] = 0;
    double size = 1;
    for (unsigned k = 0; k < rank; k++, size /= 3) {
        double u[ROWS], v[COLUMNS];
        for (size_t i = 0; i < ROWS; i++)
            u[i] = size * uniform(&seed);
        for (size_t j = 0; j < COLUMNS; j++)
            v[j] = uniform(&seed);
        for (size_t i = 0; i < ROWS; i++)
            for (size_t j = 0; j < COLUMNS; j++)
                diff[i * COLUMNS + j] += (float)(u[i] * v[j]);
    }
}

static double rms_left(const float *diff, const struct quantize_factors *f)
{
    double sum = 0;
    float low[COLUMNS];
    for (size_t i = 0; i < ROWS; i++) {
        quantize_factors_row(f, i, low);
        for (size_t j = 0; j < COLUMNS; j++)
            sum += pow((double)(diff[i * COLUMNS + j] - low[j]), 2);
    }
    return sqrt(sum / (ROWS * COLUMNS));
}

static void planted_directions_are_found(void **state)
{
    (void)state;
    float diff[ROWS * COLUMNS];
    struct quantize_basis basis;
    plant(diff, 3);
    assert_int_equal(quantize_basis_find(diff, ROWS, COLUMNS, 16, &basis),
                     STATUS_OK);
    assert_true(basis.count >= 3);
    double sum = 0, found = 0;
    for (size_t i = 0; i < ROWS * COLUMNS; i++)
        sum += (double)diff[i] * (double)diff[i];
    for (unsigned k = 0; k < 3; k++)
        found += basis.value[k] * basis.value[k];
    assert_true(found > 0.9999 * sum && found < 1.0001 * sum);
    for (unsigned k = 1; k < basis.count; k++)
        assert_true(basis.value[k] <= basis.value[k - 1]);
    quantize_basis_deinit(&basis);
}

static void factors_are_as_coarse_as_the_step(void **state)
{
    (void)state;
    float diff[ROWS * COLUMNS];
    struct quantize_basis basis;
    plant(diff, 2);
    assert_int_equal(quantize_basis_find(diff, ROWS, COLUMNS, 8, &basis),
                     STATUS_OK);
    double before_left = 1e9, before_bits = 0;
    for (double step = 0.1; step > 1e-4; step /= 4) {
        struct quantize_factors factors;
        double bits;
        assert_int_equal(
            quantize_factors_make(&basis, 2, step, diff, ROWS, &factors),
            STATUS_OK);
        assert_int_equal(factors.rank, 2);
        double left = rms_left(diff, &factors);
        assert_true(left < step);
        assert_true(left < before_left);
        bits = quantize_factors_bits(&factors, ROWS);
        assert_true(bits > before_bits);
        before_left = left;
        before_bits = bits;
        quantize_factors_deinit(&factors);
    }
    quantize_basis_deinit(&basis);
}

static void bits_of_some_rows_tell_those_of_all(void **state)
{
    (void)state;
    float diff[ROWS * COLUMNS];
    struct quantize_basis basis;
    struct quantize_factors whole, half;
    double all, guess;
    plant(diff, 2);
    assert_int_equal(quantize_basis_find(diff, ROWS, COLUMNS, 8, &basis),
                     STATUS_OK);
    assert_int_equal(
        quantize_factors_make(&basis, 2, 0.003, diff, ROWS, &whole), STATUS_OK);
    assert_int_equal(
        quantize_factors_make(&basis, 2, 0.003, diff, ROWS / 2, &half),
        STATUS_OK);
    all = quantize_factors_bits(&whole, ROWS);
    guess = quantize_factors_bits(&half, ROWS);
    assert_true(fabs(guess / all - 1) < 0.25);
    quantize_factors_deinit(&whole);
    quantize_factors_deinit(&half);
    quantize_basis_deinit(&basis);
}

static void steps_too_coarse_leave_no_factors(void **state)
{
    (void)state;
    float diff[ROWS * COLUMNS];
    struct quantize_basis basis;
    struct quantize_factors factors;
    plant(diff, 2);
    assert_int_equal(quantize_basis_find(diff, ROWS, COLUMNS, 8, &basis),
                     STATUS_OK);
    assert_int_equal(
        quantize_factors_make(&basis, 2, 1e6, diff, ROWS, &factors), STATUS_OK);
    assert_int_equal(factors.rank, 0);
    quantize_factors_deinit(&factors);
    quantize_basis_deinit(&basis);
}

/* Factors of 16 bits, sums of 32: very fine steps end where those do. */
static void very_fine_steps_do_not_overflow(void **state)
{
    (void)state;
    float diff[ROWS * COLUMNS];
    struct quantize_basis basis;
    struct quantize_factors factors;
    plant(diff, 2);
    assert_int_equal(quantize_basis_find(diff, ROWS, COLUMNS, 8, &basis),
                     STATUS_OK);
    assert_int_equal(
        quantize_factors_make(&basis, 2, 1e-9, diff, ROWS, &factors),
        STATUS_OK);
    if (factors.rank)
        assert_true(rms_left(diff, &factors) < 1e-3);
    quantize_factors_deinit(&factors);
    quantize_basis_deinit(&basis);
}

static void nothing_has_no_directions(void **state)
{
    (void)state;
    float diff[ROWS * COLUMNS] = {0};
    struct quantize_basis basis;
    assert_int_equal(quantize_basis_find(diff, ROWS, COLUMNS, 8, &basis),
                     STATUS_OK);
    assert_int_equal(basis.count, 0);
    quantize_basis_deinit(&basis);
}

static void views_are_nearly_square(void **state)
{
    (void)state;
    static const uint64_t conv[] = {32, 16, 5, 5}, thin[] = {2, 100},
                          depth[] = {64, 1, 3, 3};
    size_t rows = 0, columns = 0;
    assert_true(quantize_rank_view(conv, 4, &rows, &columns));
    assert_int_equal(rows, 32);
    assert_int_equal(columns, 400);
    assert_true(quantize_rank_view(depth, 4, &rows, &columns));
    assert_int_equal(rows, 64);
    assert_int_equal(columns, 9);
    assert_false(quantize_rank_view(thin, 2, &rows, &columns));
    assert_int_equal(quantize_rank_limit(64, 9, 64), 3);
    assert_int_equal(quantize_rank_limit(1000, 1000, 64), 64);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(planted_directions_are_found),
        cmocka_unit_test(factors_are_as_coarse_as_the_step),
        cmocka_unit_test(bits_of_some_rows_tell_those_of_all),
        cmocka_unit_test(steps_too_coarse_leave_no_factors),
        cmocka_unit_test(very_fine_steps_do_not_overflow),
        cmocka_unit_test(nothing_has_no_directions),
        cmocka_unit_test(views_are_nearly_square),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
