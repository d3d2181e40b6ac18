/* Rows that were multiplied or quantised: the factors are found, and what they
 * predict is the tensor to the bit. */
#include "codec/lossless/row_ratio.h"

#include "codec/lossless/row_scale.h"

#include "tests/support/cmocka.h"

#include <math.h>
#include <string.h>

enum {
    ROWS = 12,
    COLUMNS = 90,
    COUNT = ROWS * COLUMNS
};

static const float factor[ROWS] = {1.25f,  0.33333f, 2.718f, 1,
                                   -0.57f, 0.0621f,  3.5f,   0.999f,
                                   1.001f, 0.7f,     0,      1.5f};

static void make_base(float base[COUNT])
{
    for (size_t i = 0; i < COUNT; i++)
        base[i] = (float)((double)(i * 7919 % 2003) - 1001) / 7777;
}

static struct lowrank_input input_of(const struct source *base, enum dtype from,
                                     const struct source *target,
                                     enum dtype dtype)
{
    return (struct lowrank_input){.base = base,
                                  .target = target,
                                  .from = from,
                                  .dtype = dtype,
                                  .rows = ROWS,
                                  .columns = COLUMNS};
}

/* Elements that the found scales do not predict; all, if none are found. */
static size_t wrong_with_fit(const void *base, size_t base_size,
                             enum dtype from, const void *target,
                             size_t target_size, enum dtype dtype)
{
    struct source b = source_of_bytes(bytes_of(base, base_size));
    struct source t = source_of_bytes(bytes_of(target, target_size));
    struct lowrank_input in = input_of(&b, from, &t, dtype);
    int32_t scale[ROWS];
    uint8_t pred[8 * COUNT], lost[COUNT];
    bool found;
    struct predict p = {
        .dtype = dtype, .from = from, .columns = COLUMNS, .row_scale = scale};
    assert_int_equal(row_ratio_fit(&in, scale, &p.scale_shift, &found), 0);
    if (!found)
        return COUNT;
    assert_true(predict_ok(&p));
    predict_elems(&p, 0, base, COUNT, pred, lost);
    size_t wrong = 0, width = target_size / COUNT;
    for (size_t i = 0; i < COUNT; i++)
        wrong += memcmp(pred + i * width, (const uint8_t *)target + i * width,
                        width) != 0;
    return wrong;
}

static void multiplied_rows_are_predicted_exactly(void **state)
{
    (void)state;
    float base[COUNT], target[COUNT];
    make_base(base);
    for (size_t i = 0; i < COUNT; i++)
        target[i] = base[i] * factor[i / COLUMNS];
    assert_true(wrong_with_fit(base, sizeof(base), DTYPE_F32, target,
                               sizeof(target), DTYPE_F32) < COUNT / 20);
}

static void quantised_rows_are_predicted(void **state)
{
    (void)state;
    float base[COUNT], back[COUNT];
    int8_t target[COUNT];
    make_base(base);
    for (size_t i = 0; i < COUNT; i++) {
        float step = 0.001f + 0.0001f * (float)(i / COLUMNS);
        target[i] = (int8_t)fmaxf(-127, fminf(127, rintf(base[i] / step)));
        back[i] = (float)target[i] * step;
    }
    assert_true(wrong_with_fit(base, sizeof(base), DTYPE_F32, target,
                               sizeof(target), DTYPE_I8) < COUNT / 50);
    assert_true(wrong_with_fit(target, sizeof(target), DTYPE_I8, back,
                               sizeof(back), DTYPE_F32) < COUNT / 20);
}

static void other_changes_are_no_scales(void **state)
{
    (void)state;
    float base[COUNT], target[COUNT];
    make_base(base);
    for (size_t i = 0; i < COUNT; i++)
        target[i] = base[i] + (float)(i * 31 % 101) / 10000;
    assert_int_equal(wrong_with_fit(base, sizeof(base), DTYPE_F32, target,
                                    sizeof(target), DTYPE_F32),
                     COUNT);
    memset(target, 0, sizeof(target));
    assert_int_equal(wrong_with_fit(base, sizeof(base), DTYPE_F32, target,
                                    sizeof(target), DTYPE_F32),
                     COUNT);
}

static void numbers_that_are_not_finite_do_no_harm(void **state)
{
    (void)state;
    float base[COUNT], target[COUNT];
    make_base(base);
    for (size_t i = 0; i < COUNT; i++)
        target[i] = base[i] * 3;
    base[7] = NAN;
    target[500] = INFINITY;
    (void)wrong_with_fit(base, sizeof(base), DTYPE_F32, target, sizeof(target),
                         DTYPE_F32);
}

static void other_types_are_refused_and_sources_answer(void **state)
{
    (void)state;
    float base[COUNT], target[COUNT];
    int32_t scale[ROWS + 1];
    int shift;
    bool found;
    make_base(base);
    memcpy(target, base, sizeof(base));
    struct source b = source_of_bytes(bytes_of(base, sizeof(base)));
    struct source t = source_of_bytes(bytes_of(target, sizeof(target)));
    struct lowrank_input in = input_of(&b, DTYPE_I8, &t, DTYPE_I8);
    assert_int_equal(row_ratio_fit(&in, scale, &shift, &found),
                     STATUS_UNSUPPORTED);
    in = input_of(&b, DTYPE_F32, &t, DTYPE_I32);
    assert_int_equal(row_ratio_fit(&in, scale, &shift, &found),
                     STATUS_UNSUPPORTED);
    in = input_of(&b, DTYPE_F32, &t, DTYPE_F32);
    in.rows = ROWS + 1;
    in.base_offset = 8;
    assert_int_equal(row_ratio_fit(&in, scale, &shift, &found),
                     STATUS_TRUNCATED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(multiplied_rows_are_predicted_exactly),
        cmocka_unit_test(quantised_rows_are_predicted),
        cmocka_unit_test(other_changes_are_no_scales),
        cmocka_unit_test(numbers_that_are_not_finite_do_no_harm),
        cmocka_unit_test(other_types_are_refused_and_sources_answer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
