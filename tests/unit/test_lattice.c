/* The lattice coder: levels and any bits come back, however pieces are cut;
 * damage is found; lattices are found and nothing else is taken for one. */
#include "codec/lossless/lattice.h"

#include "codec/base/rng.h"
#include "codec/lossless/small_bits.h"

#include "tests/support/cmocka.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define ELEMS 20000u

static const enum dtype dtypes[] = {DTYPE_F64, DTYPE_F32, DTYPE_F16,
                                    DTYPE_BF16};
#define DTYPES 4u

struct fixture {
    enum dtype dtype;
    size_t count;
    struct lattice_coding coding;
    uint8_t pred[ELEMS * 8 + 1]; /* at odd addresses, as the others */
    uint8_t target[ELEMS * 8 + 1];
    uint8_t out[ELEMS * 8 + 1];
    int32_t levels[ELEMS];
    struct rng_seeded seeded;
    struct rng rng;
    struct lattice_stats *stats;
    struct lattice_enc *enc;
    struct lattice_dec *dec;
    struct writer wr;
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    if (!f)
        return -1;
    f->stats = lattice_stats_new();
    f->enc = lattice_enc_new(LATTICE_SEGMENT_BYTES_MAX);
    f->dec = lattice_dec_new();
    writer_init_heap(&f->wr, 32u << 20);
    f->rng = rng_from_seeded(&f->seeded);
    rng_seeded_init(&f->seeded, 1);
    *state = f;
    return f->stats && f->enc && f->dec ? 0 : -1;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    lattice_stats_free(f->stats);
    lattice_enc_free(f->enc);
    lattice_dec_free(f->dec);
    writer_deinit(&f->wr);
    free(f);
    return 0;
}

static size_t bytes_of_elem(const struct fixture *f)
{
    return dtype_bits(f->dtype) / 8;
}

/* Close to normal, of deviation 1. */
static double noise(struct fixture *f)
{
    double sum = 0;
    for (unsigned i = 0; i < 12; i++)
        sum += (double)rng_below(&f->rng, 1u << 20) / (1u << 20);
    return sum - 6;
}

/* Stores the element of the type nearest to v. */
static void store(const struct fixture *f, uint8_t *at, double v)
{
    if (f->dtype == DTYPE_F64) {
        uint64_t bits;
        memcpy(&bits, &v, sizeof(bits));
        small_store(at, bits, 64);
    } else if (f->dtype == DTYPE_F32) {
        small_store(at, float_bits((float)v), 32);
    } else {
        struct narrow_float narrow;
        uint32_t bits = 0;
        uint8_t lost;
        (void)narrow_float_of(f->dtype, &narrow);
        (void)narrow_float_round(&narrow, (float)v, &bits, &lost);
        small_store(at, bits, 16);
    }
}

/* Predictions of deviation 0.05, and levels over them of which a share is not
 * zero, of a deviation. */
static void make(struct fixture *f, enum dtype dtype, size_t count,
                 double share, double deviation)
{
    f->dtype = dtype;
    f->count = count;
    for (size_t i = 0; i < count; i++) {
        store(f, f->pred + 1 + i * bytes_of_elem(f), noise(f) * 0.05);
        bool moved = (double)rng_below(&f->rng, 1000) < 1000 * share;
        f->levels[i] = moved ? (int32_t)lrint(noise(f) * deviation) : 0;
    }
    lattice_points(&f->coding, dtype, f->coding.has_pred ? f->pred + 1 : NULL,
                   f->levels, count, f->target + 1);
}

static const uint8_t *pred_of(const struct fixture *f, size_t at)
{
    return f->coding.has_pred ? f->pred + 1 + at * bytes_of_elem(f) : NULL;
}

static size_t encode(struct fixture *f)
{
    f->wr.size = 0;
    assert_int_equal(lattice_enc_piece(f->enc, &f->coding, f->dtype,
                                       pred_of(f, 0), f->target + 1, f->count,
                                       0),
                     STATUS_OK);
    lattice_enc_finish(f->enc, &f->wr);
    assert_int_equal(writer_status(&f->wr), STATUS_OK);
    return f->wr.size;
}

/* Decodes in stretches of so many elements, from bytes. */
static enum status decode(struct fixture *f, struct bytes coded, size_t stretch)
{
    struct reader rd;
    reader_init(&rd, coded);
    enum status status = lattice_dec_begin(f->dec, &rd);
    if (status)
        return status;
    for (size_t at = 0; at < f->count; at += stretch) {
        size_t now = f->count - at < stretch ? f->count - at : stretch;
        lattice_dec_piece(f->dec, &f->coding, f->dtype, pred_of(f, at),
                          f->out + 1 + at * bytes_of_elem(f), now, at);
    }
    status = lattice_dec_finish(f->dec);
    return status ? status : reader_finish(&rd);
}

static void check_trip(struct fixture *f)
{
    encode(f);
    memset(f->out, 0x55, sizeof(f->out));
    assert_int_equal(decode(f, writer_view(&f->wr), LATTICE_STRETCH),
                     STATUS_OK);
    assert_memory_equal(f->out + 1, f->target + 1, f->count * bytes_of_elem(f));
}

static void levels_come_back(void **state)
{
    struct fixture *f = *state;
    static const double shares[] = {0.003, 0.1, 0.9};
    static const double deviations[] = {1, 40, 4000};
    for (unsigned k = 0; k < DTYPES * 18; k++) {
        f->coding = (struct lattice_coding){
            .has_pred = k & 1,
            .qp = dtypes[k % DTYPES] == DTYPE_F16 ? -7 : -11,
            .columns = k / 2 % 2 ? 1 + k : 0,
            .guessed = k / 4 % 2,
        };
        make(f, dtypes[k % DTYPES], k % 5 ? 1 + k * 37 : ELEMS - k,
             shares[k / 3 % 3], deviations[k / 9 % 3]);
        f->coding.has_residual =
            lattice_levels(&f->coding, f->dtype, pred_of(f, 0), f->target + 1,
                           f->count, f->levels, NULL) != 0;
        check_trip(f);
    }
}

static void wide_steps_need_no_residual(void **state)
{
    struct fixture *f = *state;
    for (unsigned k = 0; k < DTYPES; k++) {
        f->coding = (struct lattice_coding){.has_pred = true, .qp = -3};
        make(f, dtypes[k], 5000, 0.5, 2);
        assert_int_equal(lattice_levels(&f->coding, f->dtype, pred_of(f, 0),
                                        f->target + 1, f->count, f->levels,
                                        NULL),
                         0);
        check_trip(f);
    }
}

/* Of any bits, NaNs and infinities in both among them. */
static void any_bits_come_back_by_residuals(void **state)
{
    struct fixture *f = *state;
    for (unsigned k = 0; k < DTYPES * 4; k++) {
        f->coding = (struct lattice_coding){.has_pred = k & 1,
                                            .has_residual = true,
                                            .qp = (int16_t)(10 * (int)k - 90),
                                            .columns = 30};
        f->dtype = dtypes[k % DTYPES];
        f->count = 3000;
        size_t size = f->count * bytes_of_elem(f);
        rng_fill(&f->rng, f->pred + 1, size);
        rng_fill(&f->rng, f->target + 1, size);
        if (k & 2)
            memcpy(f->target + 1, f->pred + 1, size / 2);
        if (k & 4)
            memset(f->pred + 1, 0xff, size / 3);
        check_trip(f);
    }
}

static void a_point_that_is_not_finite_is_the_prediction(void **state)
{
    struct fixture *f = *state;
    static const uint16_t preds[] = {0x7c00, 0xfc00, 0x7e01, 0x7bff, 0x8000};
    int32_t levels[] = {1, -1, 5, 3, 0};
    f->coding = (struct lattice_coding){.has_pred = true, .qp = 12};
    f->dtype = DTYPE_F16;
    for (size_t i = 0; i < 5; i++)
        small_store(f->pred + 1 + 2 * i, preds[i], 16);
    lattice_points(&f->coding, DTYPE_F16, f->pred + 1, levels, 5, f->out + 1);
    assert_memory_equal(f->out + 1, f->pred + 1, 10);
}

static void steps_are_those_of_their_parameters(void **state)
{
    (void)state;
    for (unsigned density = 0; density <= LATTICE_DENSITY_MAX; density++) {
        int m = 1 << density;
        for (int octave = LATTICE_OCTAVE_MIN; octave <= LATTICE_OCTAVE_MAX;
             octave++) {
            for (int r = 0; r < m; r++) {
                int qp = octave * m + r;
                assert_true(lattice_step_ok(qp, density));
                double step = ldexp(m + r, octave - (int)density);
                assert_true((double)lattice_step(qp, density) == step);
            }
        }
        assert_false(lattice_step_ok(LATTICE_OCTAVE_MIN * m - 1, density));
        assert_false(lattice_step_ok((LATTICE_OCTAVE_MAX + 1) * m, density));
    }
    assert_false(lattice_step_ok(0, LATTICE_DENSITY_MAX + 1));
}

static void a_step_is_written_in_one_form(void **state)
{
    struct fixture *f = *state;
    for (int qp = -480; qp <= 403; qp++) {
        struct lattice_coding coding = {.has_pred = true, .density = 2}, back;
        struct reader rd;
        coding.qp = (int16_t)qp;
        coding.columns = (uint32_t)(qp & 3) * 700;
        float step = lattice_step(qp, 2);
        lattice_reduce(&coding);
        assert_true(lattice_step(coding.qp, coding.density) == step);
        f->wr.size = 0;
        lattice_coding_write(&coding, &f->wr);
        reader_init(&rd, writer_view(&f->wr));
        assert_int_equal(lattice_coding_read(&rd, &back), STATUS_OK);
        assert_int_equal(reader_finish(&rd), STATUS_OK);
        assert_int_equal(back.qp, coding.qp);
        assert_int_equal(back.density, coding.density);
        assert_int_equal(back.columns, coding.columns);
        assert_true(back.has_pred);
        if (!coding.columns && !coding.density)
            assert_int_equal(f->wr.size, 2);
    }
}

static void codings_out_of_range_are_refused(void **state)
{
    static const uint8_t bad[][4] = {
        {0xfd, 0x03},       /* octave 135 */
        {0x75, 0x03},       /* octave 101 */
        {0xe1, 0x41},       /* one among the padding */
        {0xe1, 0xa1, 0xff}, /* columns beyond 8192 */
        {0xe1, 0x21, 0x00}, /* columns of 1 */
    };
    (void)state;
    for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct lattice_coding coding;
        struct reader rd;
        reader_init(&rd, bytes_of(bad[i], sizeof(bad[i])));
        assert_int_equal(lattice_coding_read(&rd, &coding), STATUS_CORRUPT);
        assert_int_equal(coding.qp, 0);
    }
}

static void every_shorter_stream_is_truncated(void **state)
{
    struct fixture *f = *state;
    f->coding = (struct lattice_coding){.has_pred = true, .qp = -9};
    make(f, DTYPE_F32, 400, 0.6, 9000);
    size_t size = encode(f);
    for (size_t i = 1; i < size; i++)
        assert_int_equal(decode(f, bytes_of(f->wr.data, i), LATTICE_STRETCH),
                         STATUS_TRUNCATED);
    f->count = 0;
    assert_int_equal(decode(f, writer_view(&f->wr), LATTICE_STRETCH),
                     STATUS_CORRUPT);
    static const uint8_t none = 0;
    f->count = 400;
    assert_int_equal(decode(f, bytes_of(&none, 1), LATTICE_STRETCH),
                     STATUS_TRUNCATED);
}

static void stretches_make_no_difference(void **state)
{
    struct fixture *f = *state;
    f->coding =
        (struct lattice_coding){.has_pred = true, .qp = -9, .columns = 300};
    make(f, DTYPE_F32, ELEMS, 0.05, 2);
    encode(f);
    assert_int_equal(decode(f, writer_view(&f->wr), LATTICE_STRETCH), 0);
    assert_memory_equal(f->out + 1, f->target + 1, f->count * 4);
    assert_int_equal(decode(f, writer_view(&f->wr), ELEMS), 0);
    assert_memory_equal(f->out + 1, f->target + 1, f->count * 4);
}

static void a_segment_too_long_is_refused(void **state)
{
    struct fixture *f = *state;
    struct lattice_enc *enc = lattice_enc_new(100);
    assert_non_null(enc);
    f->coding = (struct lattice_coding){.has_pred = true};
    make(f, DTYPE_F32, 26, 0, 0);
    assert_int_equal(lattice_enc_piece(enc, &f->coding, f->dtype, f->pred + 1,
                                       f->target + 1, 26, 0),
                     STATUS_LIMIT);
    assert_int_equal(lattice_enc_piece(enc, &f->coding, f->dtype, f->pred + 1,
                                       f->target + 1, 25, 0),
                     STATUS_OK);
    lattice_enc_free(enc);
}

static void what_is_unchanged_takes_next_to_nothing(void **state)
{
    struct fixture *f = *state;
    f->coding =
        (struct lattice_coding){.has_pred = true, .qp = -9, .columns = 200};
    make(f, DTYPE_F32, ELEMS, 0, 0);
    assert_true(encode(f) <= 8);
}

/* 53 vectors of 32 elements of which one in ten moves by a step or two. */
static void tiny_vectors_take_few_bytes(void **state)
{
    struct fixture *f = *state;
    f->coding = (struct lattice_coding){.has_pred = true, .qp = -9};
    make(f, DTYPE_F32, 53 * 32, 0.1, 1.2);
    f->wr.size = 0;
    for (size_t i = 0; i < 53; i++)
        assert_int_equal(lattice_enc_piece(f->enc, &f->coding, f->dtype,
                                           f->pred + 1 + i * 128,
                                           f->target + 1 + i * 128, 32, 0),
                         STATUS_OK);
    lattice_enc_finish(f->enc, &f->wr);
    assert_in_range(f->wr.size, 53, 53 * 3);
}

static bool detect(struct fixture *f, struct lattice_coding *found)
{
    lattice_stats_reset(f->stats, f->dtype, 0);
    lattice_stats_sample(f->stats, pred_of(f, 0), f->target + 1, f->count);
    return lattice_detect(f->stats, found);
}

static void lattices_are_found(void **state)
{
    struct fixture *f = *state;
    for (unsigned k = 0; k < DTYPES * 8; k++) {
        struct lattice_coding found;
        f->coding = (struct lattice_coding){
            .has_pred = !(k & 1), .qp = (int16_t)(k / 4 - 38), .density = 2};
        if (dtype_bits(dtypes[k % DTYPES]) == 16 && f->coding.has_pred)
            f->coding.qp = (int16_t)(f->coding.qp + 16);
        lattice_reduce(&f->coding);
        make(f, dtypes[k % DTYPES], k & 2 ? 20 : 4000, 0.4, 1.5);
        for (size_t i = 0; i < 9; i++) /* one step, at least once */
            f->levels[i] = i & 1 ? 1 : -1;
        lattice_points(&f->coding, f->dtype, pred_of(f, 0), f->levels, f->count,
                       f->target + 1);
        assert_true(detect(f, &found));
        assert_true(lattice_step(found.qp, found.density) ==
                    lattice_step(f->coding.qp, f->coding.density));
        assert_int_equal(found.has_pred, f->coding.has_pred);
    }
}

/* Versions of steps 2^-9 and 1.5 * 2^-8: from before both all lies on 2^-9. */
static void the_common_step_of_two_versions_is_found(void **state)
{
    struct fixture *f = *state;
    struct lattice_coding found,
        second = {.has_pred = true, .density = 1, .qp = -15};
    f->coding = (struct lattice_coding){.has_pred = true, .qp = -9};
    make(f, DTYPE_F32, 5000, 0.3, 2);
    for (size_t i = 0; i < f->count; i++)
        f->levels[i] = (int32_t)lrint(noise(f));
    lattice_points(&second, f->dtype, f->target + 1, f->levels, f->count,
                   f->target + 1);
    assert_true(detect(f, &found));
    assert_int_equal(found.density, 0);
    assert_int_equal(found.qp, -9);
    f->coding.has_residual = true;
    check_trip(f);
}

static void what_is_not_quantised_is_no_lattice(void **state)
{
    struct fixture *f = *state;
    for (unsigned k = 0; k < DTYPES * 2; k++) {
        struct lattice_coding found;
        f->coding = (struct lattice_coding){.has_pred = k & 4};
        make(f, dtypes[k % DTYPES], 3000, 0, 0);
        for (size_t i = 0; i < f->count; i++)
            store(f, f->target + 1 + i * bytes_of_elem(f),
                  noise(f) * (k & 4 ? 0.04 : 0.05));
        assert_false(detect(f, &found));
    }
}

static void estimates_are_near(void **state)
{
    struct fixture *f = *state;
    for (unsigned k = 0; k < 6; k++) {
        struct lattice_coding coding = {.has_pred = true, .qp = -9}, planned;
        f->coding = coding;
        make(f, dtypes[k % DTYPES], ELEMS, k < 3 ? 0.03 : 0.7, 3);
        lattice_stats_reset(f->stats, f->dtype, 100);
        lattice_stats_begin(f->stats, &coding);
        lattice_stats_add(f->stats, pred_of(f, 0), f->target + 1, f->count);
        uint64_t bits = lattice_plan(f->stats, &planned);
        assert_int_equal(planned.columns, 100);
        f->coding = planned;
        size_t size = encode(f);
        assert_in_range(bits / 8, size - size / 50 - 8, size + size / 50 + 8);
    }
}

static void factors_come_back(void **state)
{
    struct fixture *f = *state;
    static int16_t u[64 * 700], v[64 * 300], got_u[64 * 700], got_v[64 * 300];
    for (unsigned k = 0; k < 12; k++) {
        unsigned rank = k < 3 ? 1 : 1 + (unsigned)rng_below(&f->rng, 64);
        uint64_t rows = 1 + rng_below(&f->rng, 700);
        uint32_t columns = (uint32_t)(1 + rng_below(&f->rng, 300));
        for (size_t i = 0; i < rank * rows; i++)
            u[i] = (int16_t)(k & 1 ? rng_u64(&f->rng) : rng_below(&f->rng, 30));
        for (size_t i = 0; i < rank * columns; i++)
            v[i] = (int16_t)(noise(f) * (1 << k));
        bool guessed = k / 2 % 2;
        f->wr.size = 0;
        assert_int_equal(
            lattice_factors_write(guessed, rank, rows, columns, u, v, &f->wr),
            0);
        struct reader rd;
        reader_init(&rd, writer_view(&f->wr));
        assert_int_equal(lattice_factors_read(&rd, guessed, rank, rows, columns,
                                              got_u, got_v),
                         0);
        assert_int_equal(reader_finish(&rd), 0);
        assert_memory_equal(u, got_u, 2 * rank * rows);
        assert_memory_equal(v, got_v, 2 * rank * columns);
        reader_init(&rd, bytes_of(f->wr.data, f->wr.size - 1));
        assert_int_equal(lattice_factors_read(&rd, guessed, rank, rows, columns,
                                              got_u, got_v),
                         STATUS_TRUNCATED);
    }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(levels_come_back),
        TEST(wide_steps_need_no_residual),
        TEST(any_bits_come_back_by_residuals),
        TEST(a_point_that_is_not_finite_is_the_prediction),
        TEST(steps_are_those_of_their_parameters),
        TEST(a_step_is_written_in_one_form),
        TEST(codings_out_of_range_are_refused),
        TEST(every_shorter_stream_is_truncated),
        TEST(stretches_make_no_difference),
        TEST(a_segment_too_long_is_refused),
        TEST(what_is_unchanged_takes_next_to_nothing),
        TEST(tiny_vectors_take_few_bytes),
        TEST(lattices_are_found),
        TEST(the_common_step_of_two_versions_is_found),
        TEST(what_is_not_quantised_is_no_lattice),
        TEST(estimates_are_near),
        TEST(factors_come_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
