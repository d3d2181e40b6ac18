/* The fit of low rank predictions: finds what is planted, leaves alone what
 * does not pay, and survives odd matrices. */
#include "codec/lossless/lowrank.h"

#include "codec/base/bytes.h"
#include "codec/lossless/narrow_float.h"

#include "tests/support/alloc_fail.h"
#include "tests/support/cmocka.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* A pair of matrices in memory and its input. */
struct pair {
    struct source base, target;
    struct lowrank_input in;
    uint8_t *base_data, *target_data;
    size_t size;
};

static double uniform(uint64_t *seed)
{
    *seed = *seed * UINT64_C(6364136223846793005) + 1442695040888963407;
    return (double)(*seed >> 11) / 9007199254740992.0 - 0.5;
}

static void store(enum dtype dtype, uint8_t *data, size_t i, double value)
{
    struct narrow_float f;
    uint32_t bits = 0;
    uint64_t wide;
    uint8_t level;
    if (dtype == DTYPE_F64) {
        memcpy(&wide, &value, sizeof(wide));
        store_le64(data + 8 * i, wide);
    } else if (dtype == DTYPE_F32) {
        store_le32(data + 4 * i, float_bits((float)value));
    } else if (dtype == DTYPE_I8) {
        data[i] = (uint8_t)(int8_t)lrint(fmax(fmin(value, 127), -128));
    } else {
        assert_true(narrow_float_of(dtype, &f));
        assert_true(narrow_float_round(&f, (float)value, &bits, &level));
        store_le16(data + 2 * i, (uint16_t)bits);
    }
}

/* target = base + rank components of the given size + noise. */
static void pair_init(struct pair *p, enum dtype dtype, size_t rows,
                      uint32_t columns, unsigned rank, double size,
                      double noise)
{
    uint64_t seed = 7;
    double scale = dtype == DTYPE_I8 ? 200 : 0.1;
    p->size = rows * columns * (dtype_bits(dtype) / 8);
    p->base_data = malloc(p->size);
    p->target_data = malloc(p->size);
    double *u = malloc(rows * (rank + 1) * sizeof(*u));
    double *v = malloc(columns * (rank + 1) * sizeof(*v));
    for (size_t i = 0; i < rows * rank; i++)
        u[i] = uniform(&seed);
    for (size_t i = 0; i < (size_t)columns * rank; i++)
        v[i] = uniform(&seed);
    for (size_t i = 0; i < rows; i++)
        for (size_t j = 0; j < columns; j++) {
            double base = scale * uniform(&seed), sum = 0;
            for (unsigned k = 0; k < rank; k++)
                sum += u[i * rank + k] * v[j * rank + k];
            if (dtype == DTYPE_F32)
                base = (double)(float)base;
            if (dtype == DTYPE_I8)
                base = rint(base);
            store(dtype, p->base_data, i * columns + j, base);
            store(dtype, p->target_data, i * columns + j,
                  base + scale * (size * sum + noise * uniform(&seed)));
        }
    free(u);
    free(v);
    p->base = source_of_bytes(bytes_of(p->base_data, p->size));
    p->target = source_of_bytes(bytes_of(p->target_data, p->size));
    p->in = (struct lowrank_input){.base = &p->base,
                                   .target = &p->target,
                                   .from = dtype,
                                   .dtype = dtype,
                                   .rows = rows,
                                   .columns = columns};
}

static void pair_deinit(struct pair *p)
{
    free(p->base_data);
    free(p->target_data);
}

/* Mean square of target - prediction, of f32. */
static double left_over(const struct pair *p, const struct lowrank *fit)
{
    size_t count = p->size / 4;
    uint8_t *pred = malloc(p->size);
    struct predict how = lowrank_predict(fit, DTYPE_F32, DTYPE_F32);
    double sum = 0;
    assert_true(predict_ok(&how));
    predict_elems(&how, 0, p->base_data, count, pred, NULL);
    for (size_t i = 0; i < count; i++) {
        double d = (double)float_of_bits(load_le32(p->target_data + 4 * i)) -
                   (double)float_of_bits(load_le32(pred + 4 * i));
        sum += d * d;
    }
    free(pred);
    return sum / (double)count;
}

static void lowrank_finds_planted_components(void **state)
{
    (void)state;
    struct pair p;
    struct lowrank fit;
    pair_init(&p, DTYPE_F32, 200, 300, 5, 0.1, 0.01);
    assert_int_equal(lowrank_fit(&p.in, 32, &fit), 0);
    assert_in_range(fit.rank, 4, 8);
    assert_true(fit.bits < fit.plain_bits * 9 / 10);
    /* The noise has a mean square of (0.1 * 0.01)^2 / 12. */
    assert_true(left_over(&p, &fit) < 1.3 * 1e-6 / 12);
    /* Fewer components are worse, but better than none. */
    double five = left_over(&p, &fit);
    lowrank_truncate(&fit, 2);
    assert_int_equal(fit.rank, 2);
    assert_true(left_over(&p, &fit) > five);
    struct lowrank none = {.columns = 300, .rows = 200};
    assert_true(left_over(&p, &fit) < left_over(&p, &none));
    lowrank_deinit(&fit);
    pair_deinit(&p);
}

/* As where an adapter was merged: all but the rounding is predicted. */
static void lowrank_goes_beyond_16_bits(void **state)
{
    (void)state;
    struct pair p;
    struct lowrank fit;
    pair_init(&p, DTYPE_F32, 256, 256, 3, 0.05, 0);
    assert_int_equal(lowrank_fit(&p.in, 64, &fit), 0);
    assert_true(fit.rank >= 6);
    /* A unit of most elements is 2^-28 .. 2^-29. */
    assert_true(sqrt(left_over(&p, &fit)) < exp2(-28));
    assert_true(fit.bits < fit.plain_bits / 4);
    lowrank_deinit(&fit);
    pair_deinit(&p);
}

/* More than is kept in memory. */
static void lowrank_reads_big_matrices_in_blocks(void **state)
{
    (void)state;
    struct pair p;
    struct lowrank fit;
    pair_init(&p, DTYPE_F32, 3500, 1000, 2, 0.1, 0.01);
    assert_int_equal(lowrank_fit(&p.in, 8, &fit), 0);
    assert_in_range(fit.rank, 2, 6);
    assert_true(left_over(&p, &fit) < 1.1 * 1e-6 / 12);
    lowrank_deinit(&fit);
    pair_deinit(&p);
}

static void lowrank_takes_every_float_and_int8(void **state)
{
    (void)state;
    static const enum dtype dtypes[] = {DTYPE_F64, DTYPE_F32, DTYPE_BF16,
                                        DTYPE_F16, DTYPE_I8};
    for (size_t d = 0; d < sizeof(dtypes) / sizeof(*dtypes); d++) {
        struct pair p;
        struct lowrank fit;
        pair_init(&p, dtypes[d], 256, 128, 3, 0.5, 0.02);
        assert_int_equal(lowrank_fit(&p.in, 16, &fit), 0);
        assert_in_range(fit.rank, 3, 8);
        unsigned tenths = dtypes[d] == DTYPE_F64 ? 10 : 9;
        assert_true(fit.bits < fit.plain_bits * tenths / 10);
        struct predict how = lowrank_predict(&fit, dtypes[d], dtypes[d]);
        assert_true(predict_ok(&how));
        lowrank_deinit(&fit);
        pair_deinit(&p);
    }
}

static void check_none(struct pair *p)
{
    struct lowrank fit;
    assert_int_equal(lowrank_fit(&p->in, 64, &fit), 0);
    assert_int_equal(fit.rank, 0);
    assert_null(fit.u);
    lowrank_deinit(&fit);
}

static void lowrank_leaves_alone_what_does_not_pay(void **state)
{
    (void)state;
    struct pair p;
    pair_init(&p, DTYPE_F32, 100, 100, 0, 0, 0.01); /* noise */
    check_none(&p);
    memcpy(p.target_data, p.base_data, p.size); /* nothing changed */
    check_none(&p);
    for (size_t i = 0; i < 100 * 100; i += 97) /* few did */
        p.target_data[4 * i] ^= 1;
    check_none(&p);
    p.in.from = p.in.dtype = DTYPE_I32;
    check_none(&p);
    pair_deinit(&p);
}

static void lowrank_survives_odd_values(void **state)
{
    (void)state;
    static const uint32_t odd[] = {0x7fc00000, 0x7f800000, 0xff800000,
                                   0x7f7fffff, 0x00000001, 0};
    struct pair p;
    struct lowrank fit;
    for (uint32_t columns = 1; columns < 40; columns += 6) {
        pair_init(&p, DTYPE_F32, 33, columns, 1, 0.1, 0.001);
        for (size_t i = 0; i < 33 * columns; i += 5) {
            store_le32(p.base_data + 4 * i, odd[i % 6]);
            store_le32(p.target_data + 4 * i, odd[i / 6 % 6]);
        }
        assert_int_equal(lowrank_fit(&p.in, 64, &fit), 0);
        assert_true(fit.rank <= columns);
        lowrank_deinit(&fit);
        /* One column is all that changes, and a constant. */
        memcpy(p.target_data, p.base_data, p.size);
        for (size_t i = 0; i < 33; i++)
            store_le32(p.target_data + 4 * i * columns, 0x3f800000);
        assert_int_equal(lowrank_fit(&p.in, 64, &fit), 0);
        lowrank_deinit(&fit);
        pair_deinit(&p);
    }
}

static void lowrank_keeps_factors_within_their_limit(void **state)
{
    (void)state;
    struct pair p;
    struct lowrank fit;
    pair_init(&p, DTYPE_F32, 64, 40000, 14, 3, 0.0001);
    assert_int_equal(lowrank_fit(&p.in, 64, &fit), 0);
    assert_in_range(fit.rank, 1, 13); /* 14 would be over 1 MiB */
    lowrank_deinit(&fit);
    pair_deinit(&p);
}

static void lowrank_says_what_a_source_says(void **state)
{
    (void)state;
    struct pair p;
    struct lowrank fit;
    pair_init(&p, DTYPE_F32, 64, 64, 1, 0.1, 0.01);
    p.in.target_offset = 4; /* past the end */
    assert_int_equal(lowrank_fit(&p.in, 8, &fit), STATUS_TRUNCATED);
    assert_null(fit.u);
    pair_deinit(&p);
}

/* Every allocation fails once: the status says so and nothing is left. */
static void lowrank_says_when_memory_is_out(void **state)
{
    (void)state;
    struct pair p;
    pair_init(&p, DTYPE_F32, 96, 64, 2, 0.05, 0);
    for (unsigned rounds = 0;; rounds++) {
        struct lowrank fit;
        alloc_fail_after(rounds);
        enum status status = lowrank_fit(&p.in, 16, &fit);
        bool failed = alloc_fail_stop();
        assert_int_equal(status, failed ? STATUS_NO_MEMORY : STATUS_OK);
        if (failed)
            assert_null(fit.u);
        lowrank_deinit(&fit);
        if (!failed)
            break;
    }
    pair_deinit(&p);
}

static void check_view(const uint64_t *shape, uint32_t rank, uint64_t rows,
                       uint32_t columns)
{
    uint64_t m = 0;
    uint32_t n = 0;
    assert_int_equal(lowrank_view(shape, rank, &m, &n), rows != 0);
    assert_true(m == rows && n == columns);
}

static void lowrank_view_is_nearly_square(void **state)
{
    (void)state;
    check_view((uint64_t[]){104, 48, 3, 3}, 4, 104, 432);
    check_view((uint64_t[]){12, 64, 768}, 3, 768, 768);
    check_view((uint64_t[]){1024, 256}, 2, 1024, 256);
    check_view((uint64_t[]){1000}, 1, 0, 0);
    check_view((uint64_t[]){10, 4}, 2, 0, 0);
    check_view((uint64_t[]){240, 1, 3, 3}, 4, 240, 9);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lowrank_finds_planted_components),
        cmocka_unit_test(lowrank_goes_beyond_16_bits),
        cmocka_unit_test(lowrank_reads_big_matrices_in_blocks),
        cmocka_unit_test(lowrank_takes_every_float_and_int8),
        cmocka_unit_test(lowrank_leaves_alone_what_does_not_pay),
        cmocka_unit_test(lowrank_survives_odd_values),
        cmocka_unit_test(lowrank_keeps_factors_within_their_limit),
        cmocka_unit_test(lowrank_says_what_a_source_says),
        cmocka_unit_test(lowrank_says_when_memory_is_out),
        cmocka_unit_test(lowrank_view_is_nearly_square),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
