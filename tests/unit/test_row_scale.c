/* Row scales: near to their ratio, found from the data, coded and read. */
#include "codec/lossless/row_scale.h"

#include "tests/support/cmocka.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static void row_scale_is_nearest_to_a_ratio(void **state)
{
    (void)state;
    assert_int_equal(row_scale_near(1), ROW_SCALE_ONE);
    assert_int_equal(row_scale_near(1.5), ROW_SCALE_ONE * 3 / 2);
    assert_int_equal(row_scale_near(1 + 1 / 40000.0), ROW_SCALE_ONE);
    assert_int_equal(row_scale_near(NAN), ROW_SCALE_ONE);
    assert_int_equal(row_scale_near(INFINITY), ROW_SCALE_ONE);
    assert_int_equal(row_scale_near(1e9), ROW_SCALE_ONE + 32767 * 1024);
    assert_int_equal(row_scale_near(-1e9), -ROW_SCALE_ONE);
}

/* A row requantised with a ratio: the fit finds it, the prediction is right. */
static void row_scale_fit_finds_the_ratio(void **state)
{
    (void)state;
    enum {
        ROWS = 3,
        COLUMNS = 251
    };
    static const double ratio[ROWS] = {1, 0.93, 1.2};
    uint8_t base[ROWS * COLUMNS], target[ROWS * COLUMNS];
    uint8_t pred[ROWS * COLUMNS], lost[ROWS * COLUMNS];
    for (size_t i = 0; i < ROWS * COLUMNS; i++) {
        int b = (int)(i * 77 % 201) - 100;
        base[i] = (uint8_t)b;
        target[i] = (uint8_t)(int)lrint(b * ratio[i / COLUMNS]);
    }
    struct source from = source_of_bytes(bytes_of(base, sizeof(base)));
    struct source to = source_of_bytes(bytes_of(target, sizeof(target)));
    struct lowrank_input in = {.base = &from,
                               .target = &to,
                               .from = DTYPE_I8,
                               .dtype = DTYPE_I8,
                               .rows = ROWS,
                               .columns = COLUMNS};
    int32_t scale[ROWS];
    assert_int_equal(row_scale_fit(&in, scale), 0);
    for (size_t i = 0; i < ROWS; i++)
        assert_true(fabs(scale[i] / (double)ROW_SCALE_ONE - ratio[i]) < 1e-3);
    struct predict p = {.dtype = DTYPE_I8,
                        .from = DTYPE_I8,
                        .columns = COLUMNS,
                        .row_scale = scale,
                        .scale_shift = PREDICT_INT_SCALE_SHIFT};
    assert_true(predict_ok(&p));
    predict_elems(&p, 0, base, sizeof(base), pred, lost);
    size_t wrong = 0;
    for (size_t i = 0; i < sizeof(base); i++)
        wrong += pred[i] != target[i];
    assert_true(wrong < sizeof(base) / 10);
    in.dtype = in.from = DTYPE_F32;
    assert_int_equal(row_scale_fit(&in, scale), STATUS_UNSUPPORTED);
    in.dtype = in.from = DTYPE_I8;
    in.rows = ROWS + 1;
    assert_int_equal(row_scale_fit(&in, scale), STATUS_TRUNCATED);
}

static void row_scales_come_back(void **state)
{
    (void)state;
    int32_t scale[500], again[500];
    for (int i = 0; i < 500; i++)
        scale[i] = row_scale_near(1 + (i * i % 61 - 30) / 1000.0);
    scale[7] = row_scale_near(1e9);
    scale[8] = row_scale_near(-1e9);
    struct writer wr;
    writer_init_heap(&wr, 4096);
    assert_int_equal(row_scale_write(500, false, scale, &wr), 0);
    assert_true(wr.size < 750);
    struct reader rd;
    reader_init(&rd, writer_view(&wr));
    assert_int_equal(row_scale_read(&rd, 500, false, again), 0);
    assert_int_equal(reader_finish(&rd), 0);
    assert_memory_equal(scale, again, sizeof(scale));
    reader_init(&rd, bytes_of(wr.data, wr.size - 1));
    assert_int_not_equal(row_scale_read(&rd, 500, false, again), 0);
    assert_int_equal(row_scale_read(&rd, 0, false, again), STATUS_LIMIT);
    assert_int_equal(row_scale_read(&rd, UINT64_MAX, false, again),
                     STATUS_LIMIT);
    writer_deinit(&wr);
}

static void fine_scales_of_any_value_come_back(void **state)
{
    (void)state;
    int32_t scale[] = {0, 1, -1, INT32_MAX, INT32_MIN, 0x8000, -0x8001, 65535};
    int32_t again[8];
    struct writer wr;
    struct reader rd;
    writer_init_heap(&wr, 4096);
    assert_int_equal(row_scale_write(8, true, scale, &wr), 0);
    reader_init(&rd, writer_view(&wr));
    assert_int_equal(row_scale_read(&rd, 8, true, again), 0);
    assert_int_equal(reader_finish(&rd), 0);
    assert_memory_equal(scale, again, sizeof(scale));
    for (size_t size = 0; size < wr.size; size++) {
        reader_init(&rd, bytes_of(wr.data, size));
        assert_int_not_equal(row_scale_read(&rd, 8, true, again), 0);
    }
    assert_int_equal(
        row_scale_read(&rd, ROW_SCALE_FINE_ROWS_MAX + 1, true, again),
        STATUS_LIMIT);
    writer_deinit(&wr);
    assert_true(row_scale_is_fine(DTYPE_F32, DTYPE_I8));
    assert_true(row_scale_is_fine(DTYPE_U8, DTYPE_F64));
    assert_false(row_scale_is_fine(DTYPE_I8, DTYPE_I8));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(row_scale_is_nearest_to_a_ratio),
        cmocka_unit_test(row_scale_fit_finds_the_ratio),
        cmocka_unit_test(row_scales_come_back),
        cmocka_unit_test(fine_scales_of_any_value_come_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
