/* Predictions: what they are to the bit, the same from every kernel and
 * however a run is divided. */
#include "codec/lossless/predict_kernel.h"

#include "codec/base/bytes.h"
#include "codec/base/rng.h"
#include "codec/lossless/narrow_float.h"

#include "tests/support/cmocka.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static uint64_t next(uint64_t *state)
{
    *state = *state * UINT64_C(6364136223846793005) + 1442695040888963407;
    return *state >> 20;
}

static float f32_after(float base, int16_t u, int16_t v, int shift)
{
    struct predict p = {.dtype = DTYPE_F32,
                        .from = DTYPE_F32,
                        .columns = 1,
                        .rank = 1,
                        .shift = shift,
                        .u = &u,
                        .v = &v};
    uint8_t in[4], out[4];
    store_le32(in, float_bits(base));
    assert_true(predict_ok(&p));
    assert_false(predict_has_lost(&p));
    predict_elems(&p, 0, in, 1, out, NULL);
    return float_of_bits(load_le32(out));
}

static void predict_f32_adds_the_sum(void **state)
{
    (void)state;
    assert_true(f32_after(1.0f, 3, -5, -4) == 1.0f - 15.0f / 16);
    assert_true(f32_after(0.5f, 100, 100, -100) == 0.5f);
    /* 2^24 + 1 is rounded to even. */
    assert_true(f32_after(16777216.0f, 1, 1, 0) == 16777216.0f);
    assert_true(f32_after(16777216.0f, 3, 1, 0) == 16777220.0f);
}

static void predict_sum_wraps_at_32_bits(void **state)
{
    (void)state;
    int16_t u[4] = {-32768, -32768, -32768, -32768};
    struct predict p = {.dtype = DTYPE_F32,
                        .from = DTYPE_F32,
                        .columns = 1,
                        .rank = 2,
                        .u = u,
                        .v = u};
    uint8_t in[4] = {0}, out[4];
    predict_elems(&p, 0, in, 1, out, NULL); /* 2^31 becomes -2^31 */
    assert_true(float_of_bits(load_le32(out)) == -2147483648.0f);
    p.rank = 4;
    predict_elems(&p, 0, in, 1, out, NULL);
    assert_int_equal(load_le32(out), 0);
}

static void predict_keeps_the_base_where_nothing_is_finite(void **state)
{
    (void)state;
    static const uint32_t odd[] = {0x7f800000, 0xff800000, 0x7fc00001,
                                   0x7f800001, 0xffffffff};
    int16_t one = 1, big = 32767;
    struct predict p = {.dtype = DTYPE_F32,
                        .from = DTYPE_F32,
                        .columns = 1,
                        .rank = 1,
                        .u = &one,
                        .v = &one};
    uint8_t in[4], out[4], lost = 9;
    for (size_t i = 0; i < sizeof(odd) / sizeof(*odd); i++) {
        store_le32(in, odd[i]);
        predict_elems(&p, 0, in, 1, out, NULL);
        assert_int_equal(load_le32(out), odd[i]);
    }
    /* The sum overflows. */
    p.dtype = p.from = DTYPE_F16;
    p.u = p.v = &big;
    store_le16(in, 0x3c00);
    predict_elems(&p, 0, in, 1, out, &lost);
    assert_int_equal(load_le16(out), 0x3c00);
    assert_int_equal(lost, PREDICT_LOST_NONE);
}

/* One narrow element: base + sum 2^shift. */
static uint16_t narrow_after(enum dtype dtype, uint16_t base, int16_t sum,
                             int shift, uint8_t *lost)
{
    int16_t one = 1;
    struct predict p = {.dtype = dtype,
                        .from = dtype,
                        .columns = 1,
                        .rank = 1,
                        .shift = shift,
                        .u = &sum,
                        .v = &one};
    uint8_t in[2], out[2] = {0};
    store_le16(in, base);
    assert_true(predict_ok(&p) && predict_has_lost(&p));
    predict_elems(&p, 0, in, 1, out, lost);
    return load_le16(out);
}

static void predict_narrow_says_what_rounding_lost(void **state)
{
    (void)state;
    uint8_t lost;
    /* bf16: one unit of 1.0 is 2^-7. */
    assert_int_equal(narrow_after(DTYPE_BF16, 0x3f80, 3, -9, &lost), 0x3f81);
    assert_int_equal(lost, 2); /* 1/4 below */
    assert_int_equal(narrow_after(DTYPE_BF16, 0x3f80, 1, -9, &lost), 0x3f80);
    assert_int_equal(lost, 6); /* 1/4 above */
    assert_int_equal(narrow_after(DTYPE_BF16, 0xbf80, -1, -9, &lost), 0xbf80);
    assert_int_equal(lost, 2);
    assert_int_equal(narrow_after(DTYPE_BF16, 0x3f80, 1, -8, &lost), 0x3f80);
    assert_int_equal(lost, 7); /* a half, to even */
    assert_int_equal(narrow_after(DTYPE_BF16, 0x3f81, 1, -8, &lost), 0x3f82);
    assert_int_equal(lost, 0);
    assert_int_equal(narrow_after(DTYPE_I8, 5, 3, -2, &lost), 6);
    assert_int_equal(lost, 2);
    assert_int_equal(narrow_after(DTYPE_I8, 5, 1, -1, &lost), 6);
    assert_int_equal(lost, 0); /* halves go up */
    assert_int_equal(narrow_after(DTYPE_I8, 127, 5, 0, &lost), 127);
    assert_int_equal(lost, 7);
    assert_int_equal(narrow_after(DTYPE_U8, 1, -9, 0, &lost), 0);
    assert_int_equal(lost, 0);
    assert_int_equal(narrow_after(DTYPE_F8_E4M3, 0x38, 1, -3, &lost), 0x39);
    assert_int_equal(narrow_after(DTYPE_F8_E4M3, 0x7e, 16, 0, &lost), 0x7e);
    assert_int_equal(lost, 7); /* 464 is half way to what there is not */
    assert_int_equal(narrow_after(DTYPE_F8_E5M2, 0x3c, 1, -2, &lost), 0x3d);
}

/* Every narrow number survives; what lies between goes to the nearest. */
static void check_rounding(enum dtype dtype)
{
    struct narrow_float f;
    assert_true(narrow_float_of(dtype, &f));
    for (uint32_t m = 0; m < f.max_finite; m++) {
        float here = narrow_float_widen(&f, m);
        float there = narrow_float_widen(&f, m + 1);
        uint32_t bits = 0;
        uint8_t level = 0;
        assert_true(here < there);
        assert_true(narrow_float_round(&f, here, &bits, &level));
        assert_true(bits == m && level == 4);
        for (int eighth = 0; eighth < 8; eighth++) {
            float at = here + (there - here) * ((float)eighth + 0.5f) / 8;
            assert_true(narrow_float_round(&f, at, &bits, &level));
            assert_int_equal(bits, eighth < 4 ? m : m + 1);
            assert_int_equal(level, eighth < 4 ? eighth + 4 : eighth - 4);
            assert_true(narrow_float_round(&f, -at, &bits, &level));
            assert_int_equal(level, eighth < 4 ? 3 - eighth : 11 - eighth);
        }
        assert_true(
            narrow_float_round(&f, here / 2 + there / 2, &bits, &level));
        assert_int_equal(bits, m + (m & 1));
    }
}

static void narrow_float_rounds_to_nearest_even(void **state)
{
    (void)state;
    check_rounding(DTYPE_F8_E4M3);
    check_rounding(DTYPE_F8_E5M2);
    check_rounding(DTYPE_F16);
}

static void predict_casts_round_once(void **state)
{
    (void)state;
    struct predict p = {.dtype = DTYPE_BF16, .from = DTYPE_F32, .columns = 3};
    uint8_t in[8], out[8], lost;
    assert_true(predict_ok(&p) && !predict_is_plain(&p));
    store_le32(in, 0x3f80c000);
    predict_elems(&p, 0, in, 1, out, &lost);
    assert_int_equal(load_le16(out), 0x3f81);
    assert_int_equal(lost, 2);
    p.from = DTYPE_F64;
    p.dtype = DTYPE_F32;
    store_le64(in, UINT64_C(0x3ff0000010000000)); /* 1 + 2^-24 */
    predict_elems(&p, 0, in, 1, out, NULL);
    assert_int_equal(load_le32(out), 0x3f800000);
    store_le64(in, UINT64_C(0x7fe0000000000000)); /* beyond f32 */
    predict_elems(&p, 0, in, 1, out, NULL);
    assert_int_equal(load_le32(out), 0);
}

static void predict_scales_rows(void **state)
{
    (void)state;
    int32_t scale[2] = {3 << 23, 1 << 24}; /* 1.5, 1 */
    struct predict p = {.dtype = DTYPE_I8,
                        .from = DTYPE_I8,
                        .columns = 2,
                        .row_scale = scale,
                        .scale_shift = -24};
    static const uint8_t in[4] = {10, 251, 10, 251};
    uint8_t out[4], lost[4];
    assert_true(predict_ok(&p));
    predict_elems(&p, 0, in, 4, out, lost);
    assert_int_equal(out[0], 15);
    assert_int_equal((int8_t)out[1], -7); /* -7.5 goes up */
    assert_int_equal(lost[1], 0);
    assert_int_equal(out[2], 10);
    predict_elems(&p, 3, in + 3, 1, out, lost);
    assert_int_equal(out[0], 251);
    p.scale_shift = -20;
    assert_false(predict_ok(&p));
    p.from = DTYPE_F32; /* a quantiser: 0.75 * 1.5 * 2^24 * 2^-20 */
    uint8_t real[4];
    store_le32(real, float_bits(0.75f));
    assert_true(predict_ok(&p));
    predict_elems(&p, 0, real, 1, out, lost);
    assert_int_equal(out[0], 18);
}

/* A scale of the whole base: every kernel does as the arithmetic says, keeps
 * the sign of zero, and keeps what is not finite. */
static void predict_scales_all_of_the_base(void **state)
{
    enum {
        COUNT = 1000
    };
    static const enum dtype dtypes[] = {DTYPE_F32, DTYPE_BF16, DTYPE_F16,
                                        DTYPE_F64};
    uint64_t seed = 5;
    (void)state;
    for (unsigned d = 0; d < 4; d++) {
        struct predict p = {.dtype = dtypes[d],
                            .from = dtypes[d],
                            .columns = UINT32_MAX,
                            .base_scale = 0.875f};
        uint8_t base[8 * COUNT], plain[8 * COUNT], pred[8 * COUNT];
        uint8_t lost[COUNT], plain_lost[COUNT];
        size_t bytes = dtype_bits(dtypes[d]) / 8;
        assert_true(predict_ok(&p));
        assert_false(predict_is_plain(&p));
        for (size_t i = 0; i < bytes * COUNT; i++)
            base[i] = (uint8_t)next(&seed);
        memset(base, 0, bytes);
        base[bytes - 1] = 0x80;
        predict_elems_with(predict_kernel_plain(), &p, 0, base, COUNT, plain,
                           plain_lost);
        predict_elems(&p, 0, base, COUNT, pred, lost);
        assert_memory_equal(pred, plain, bytes * COUNT);
        assert_memory_equal(pred, base, bytes);
        if (predict_has_lost(&p))
            assert_memory_equal(lost, plain_lost, COUNT);
        for (size_t i = 0; dtypes[d] == DTYPE_F32 && i < COUNT; i++) {
            float b = float_of_bits(load_le32(base + 4 * i));
            uint32_t want =
                isfinite(b) ? float_bits(b * 0.875f) : load_le32(base + 4 * i);
            assert_int_equal(load_le32(pred + 4 * i), want);
        }
    }
    static const float bad[] = {1, -0.5f, 0x1p-33f, 0x1p33f, NAN, INFINITY};
    static const int32_t row_scale = 1;
    struct predict p = {
        .dtype = DTYPE_F32, .from = DTYPE_F32, .columns = UINT32_MAX};
    for (unsigned i = 0; i < 6; i++) {
        p.rank = 1;
        p.base_scale = bad[i];
        assert_false(predict_ok(&p));
    }
    p.base_scale = 2;
    assert_true(predict_ok(&p));
    p.row_scale = &row_scale;
    assert_false(predict_ok(&p));
    p = (struct predict){
        .dtype = DTYPE_I8, .from = DTYPE_I8, .columns = 1, .base_scale = 0.5f};
    assert_false(predict_ok(&p));
}

static void predict_refuses_what_has_no_meaning(void **state)
{
    (void)state;
    struct predict p = {
        .dtype = DTYPE_F32, .from = DTYPE_F32, .columns = 4, .rank = 64};
    assert_true(predict_ok(&p));
    p.rank = 65;
    assert_false(predict_ok(&p));
    p.rank = 1;
    p.shift = 61;
    assert_false(predict_ok(&p));
    p.shift = 0;
    p.columns = 0;
    assert_false(predict_ok(&p));
    p.columns = 1;
    p.dtype = p.from = DTYPE_I32;
    assert_false(predict_ok(&p));
    p.rank = 0;
    assert_true(predict_ok(&p)); /* plain */
    p.dtype = p.from = DTYPE_I8;
    p.rank = 1;
    p.shift = 1;
    assert_false(predict_ok(&p));
}

/* A random case of one dtype: kernels agree, whole and in pieces, from the
 * plain layout and from pairs. */
static void check_kernels(enum dtype dtype, uint32_t columns, unsigned rank,
                          uint64_t seed)
{
    size_t bytes = dtype_bits(dtype) / 8, rows = 5, count = rows * columns;
    uint8_t *base = malloc(count * bytes), *pred = malloc(count * bytes);
    uint8_t *again = malloc(count * bytes), *lost = calloc(count, 1);
    uint8_t *lost_again = calloc(count, 1);
    int16_t *u = malloc(rows * rank * 2), *v = malloc(columns * rank * 2);
    bool integer = dtype == DTYPE_I8 || dtype == DTYPE_U8 ||
                   dtype == DTYPE_I16 || dtype == DTYPE_U16;
    for (size_t i = 0; i < count * bytes; i++)
        base[i] = (uint8_t)next(&seed);
    for (size_t i = 0; i < rows * rank; i++)
        u[i] = (int16_t)(next(&seed) % 65536 - 32768);
    for (size_t i = 0; i < columns * rank; i++)
        v[i] = (int16_t)(next(&seed) % 2000 - 1000);
    struct predict p = {.dtype = dtype,
                        .from = dtype,
                        .columns = columns,
                        .rank = rank,
                        .shift = -(int)(next(&seed) % (integer ? 25 : 50)),
                        .u = u,
                        .v = v};
    int32_t scale[5];
    for (size_t i = 0; i < rows; i++)
        scale[i] = seed % 2 ? (int32_t)next(&seed) : (int32_t)(1 << 24);
    if (next(&seed) % 2) {
        p.row_scale = scale;
        p.scale_shift = -24;
        p.rank = next(&seed) % 3 ? rank : 0;
    }
    assert_true(predict_ok(&p));
    predict_elems_with(predict_kernel_plain(), &p, 0, base, count, pred, lost);
    predict_elems(&p, 0, base, count, again, lost_again);
    assert_memory_equal(pred, again, count * bytes);
    assert_memory_equal(lost, lost_again, count);
    uint32_t *pairs = malloc(predict_pairs_count(&p) * sizeof(*pairs) + 1);
    predict_pairs(&p, pairs);
    for (int use = 0; use < 2; use++) {
        p.pairs = use ? pairs : NULL;
        memcpy(again, base, count * bytes);
        memset(lost_again, 0, count);
        for (size_t at = 0; at < count;) {
            size_t n = 1 + (size_t)next(&seed) % (2 * columns);
            n = n < count - at ? n : count - at;
            predict_elems(&p, at, again + at * bytes, n, again + at * bytes,
                          lost_again + at);
            at += n;
        }
        assert_memory_equal(pred, again, count * bytes);
        assert_memory_equal(lost, lost_again, count);
    }
    free(pairs);
    free(base);
    free(pred);
    free(again);
    free(lost);
    free(lost_again);
    free(u);
    free(v);
}

static void predict_kernels_and_pieces_agree(void **state)
{
    (void)state;
    static const enum dtype dtypes[] = {
        DTYPE_F64, DTYPE_F32,     DTYPE_F16,     DTYPE_BF16, DTYPE_I8,
        DTYPE_U8,  DTYPE_F8_E4M3, DTYPE_F8_E5M2, DTYPE_I16,  DTYPE_U16};
    static const uint32_t columns[] = {1, 7, 32, 127, 128, 129, 300};
    static const unsigned ranks[] = {1, 2, 5, 64};
    for (size_t d = 0; d < 10; d++)
        for (size_t c = 0; c < 7; c++)
            for (size_t r = 0; r < 4; r++)
                for (uint64_t seed = 0; seed < 8; seed++)
                    check_kernels(dtypes[d], columns[c], ranks[r], seed + 1);
}

/* All of f16, every binade of sums: the vector form of rounding is the plain
 * one. */
static void predict_f16_kernel_rounds_all(void **state)
{
    (void)state;
    enum {
        COUNT = 65536
    };
    uint8_t *base = malloc(2 * COUNT), *pred = malloc(2 * COUNT);
    uint8_t *again = malloc(2 * COUNT), *lost = malloc(COUNT);
    uint8_t *lost_again = malloc(COUNT);
    int16_t *v = malloc(COUNT * sizeof(*v)), one = 1;
    for (uint32_t i = 0; i < COUNT; i++) {
        store_le16(base + 2 * i, (uint16_t)i);
        v[i] = (int16_t)(i * 40503);
    }
    for (int dtype = 0; dtype < 2; dtype++) {
        struct predict p = {.dtype = dtype ? DTYPE_F16 : DTYPE_BF16,
                            .columns = COUNT,
                            .rank = 1,
                            .u = &one,
                            .v = v};
        p.from = p.dtype;
        for (p.shift = -48; p.shift <= 4; p.shift += 3) {
            predict_elems(&p, 0, base, COUNT, pred, lost);
            predict_elems_with(predict_kernel_plain(), &p, 0, base, COUNT,
                               again, lost_again);
            assert_memory_equal(pred, again, 2 * COUNT);
            assert_memory_equal(lost, lost_again, COUNT);
        }
    }
    free(base);
    free(pred);
    free(again);
    free(lost);
    free(lost_again);
    free(v);
}

/* Predictions of many types from a fixed sequence of numbers: the same bits on
 * every machine and from every compiler. */
static void predict_has_the_same_bits_everywhere(void **state)
{
    (void)state;
    enum {
        ROWS = 6,
        COLUMNS = 21,
        COUNT = ROWS * COLUMNS
    };
    static const enum dtype dtypes[] = {DTYPE_F64,     DTYPE_F32,     DTYPE_F16,
                                        DTYPE_BF16,    DTYPE_F8_E4M3, DTYPE_I8,
                                        DTYPE_F8_E5M2, DTYPE_U16};
    uint64_t seed = 1, hash = UINT64_C(0xcbf29ce484222325);
    for (unsigned i = 0; i < 8 * 8 * 4; i++) {
        int16_t u[ROWS * 9], v[COLUMNS * 9];
        int32_t scale[ROWS];
        uint8_t base[COUNT * 8], pred[COUNT * 8], lost[COUNT] = {0};
        for (size_t k = 0; k < sizeof(base); k++)
            base[k] = (uint8_t)next(&seed);
        for (size_t k = 0; k < ROWS * 9; k++)
            u[k] = (int16_t)(next(&seed) % 4096 - 2048);
        for (size_t k = 0; k < COLUMNS * 9; k++)
            v[k] = (int16_t)(next(&seed) % 512 - 256);
        for (size_t k = 0; k < ROWS; k++)
            scale[k] = (int32_t)(next(&seed) % (1 << 25));
        struct predict p = {.from = dtypes[i % 8],
                            .dtype = dtypes[i / 8 % 8],
                            .columns = COLUMNS,
                            .rank = i & 64 ? 9 : 0,
                            .shift = -(int)(i % 25),
                            .u = u,
                            .v = v,
                            .row_scale = i & 128 ? scale : NULL,
                            .scale_shift = -24};
        assert_true(predict_ok(&p));
        predict_elems(&p, 0, base, COUNT, pred, lost);
        for (size_t k = 0; k < COUNT * (dtype_bits(p.dtype) / 8); k++)
            hash = (hash ^ pred[k]) * UINT64_C(0x100000001b3);
        for (size_t k = 0; k < COUNT; k++)
            hash = (hash ^ lost[k]) * UINT64_C(0x100000001b3);
    }
    assert_true(hash == UINT64_C(0x31f6eee98508ab19));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(predict_f32_adds_the_sum),
        cmocka_unit_test(predict_sum_wraps_at_32_bits),
        cmocka_unit_test(predict_keeps_the_base_where_nothing_is_finite),
        cmocka_unit_test(predict_narrow_says_what_rounding_lost),
        cmocka_unit_test(narrow_float_rounds_to_nearest_even),
        cmocka_unit_test(predict_casts_round_once),
        cmocka_unit_test(predict_scales_rows),
        cmocka_unit_test(predict_refuses_what_has_no_meaning),
        cmocka_unit_test(predict_kernels_and_pieces_agree),
        cmocka_unit_test(predict_scales_all_of_the_base),
        cmocka_unit_test(predict_f16_kernel_rounds_all),
        cmocka_unit_test(predict_has_the_same_bits_everywhere),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
