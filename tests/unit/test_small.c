/* The small coder end to end: every bit pattern of every type comes back,
 * however segments are cut; damage is found or harmless; codings are
 * validated; estimates are near. */
#include "codec/lossless/small.h"

#include "codec/base/bytes.h"
#include "codec/base/rng.h"
#include "codec/lossless/small_state.h"

#include "tests/support/cmocka.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define BYTES_MAX (32u * 1024)

static const enum dtype dtypes[] = {
    DTYPE_F64,     DTYPE_F32, DTYPE_F16, DTYPE_BF16, DTYPE_F8_E4M3,
    DTYPE_F8_E5M2, DTYPE_U64, DTYPE_I64, DTYPE_U32,  DTYPE_I32,
    DTYPE_U16,     DTYPE_I16, DTYPE_U8,  DTYPE_I8,   DTYPE_BOOL};
#define DTYPES (sizeof(dtypes) / sizeof(dtypes[0]))

static size_t elem_bytes(enum dtype dtype)
{
    return dtype_bits(dtype) / 8;
}

/* One tensor and what was made of it. pred and target start at odd
 * addresses. */
struct fixture {
    enum dtype dtype;
    bool has_pred, has_lost;
    size_t count;
    uint64_t columns;
    uint8_t pred[BYTES_MAX + 1];
    uint8_t target[BYTES_MAX + 1];
    uint8_t out[BYTES_MAX + 1];
    uint8_t lost[BYTES_MAX];
    uint8_t stream[3 * BYTES_MAX];
    size_t stream_size;
    struct small_coding coding;
    uint64_t bits;
    struct small_stats *stats;
    struct small_enc *enc;
    struct small_dec *dec;
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    if (!f)
        return -1;
    f->stats = small_stats_new();
    f->enc = small_enc_new(BYTES_MAX);
    f->dec = small_dec_new();
    *state = f;
    return f->stats && f->enc && f->dec ? 0 : -1;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    small_stats_free(f->stats);
    small_enc_free(f->enc);
    small_dec_free(f->dec);
    free(f);
    return 0;
}

enum shape {
    SHAPE_NEAR,    /* a small change of each value */
    SHAPE_SPARSE,  /* of one in 100 */
    SHAPE_RANDOM,  /* any bits */
    SHAPE_SPECIAL, /* zeros, infinities, NaNs, denormals, extremes */
    SHAPE_EQUAL,
    SHAPE_COUNT
};

static uint64_t special(const struct rng *rng, enum dtype dtype)
{
    struct small_format format = small_format(dtype);
    unsigned mant = format.mant ? format.mant : 3;
    uint64_t sign = (uint64_t)1 << (format.width - 1);
    uint64_t inf = (sign - 1) >> mant << mant;
    const uint64_t values[] = {
        0,        1,       inf - 1,        inf, inf + 1,
        sign - 1, inf / 2, inf | inf >> 1, 3,   (uint64_t)1 << mant};
    uint64_t v = values[rng_below(rng, sizeof(values) / sizeof(*values))];
    return rng_below(rng, 2) ? v | sign : v;
}

static uint64_t changed(const struct rng *rng, enum dtype dtype,
                        enum shape shape, uint64_t from)
{
    switch (shape) {
    case SHAPE_NEAR:
        return from + rng_below(rng, 41) - 20;
    case SHAPE_SPARSE:
        return rng_below(rng, 100) ? from : from + rng_below(rng, 1000) - 500;
    case SHAPE_RANDOM:
        return rng_u64(rng);
    case SHAPE_SPECIAL:
        return special(rng, dtype);
    default:
        return from;
    }
}

static void make(struct fixture *f, enum dtype dtype, enum shape shape,
                 size_t count, uint64_t seed)
{
    size_t bytes = elem_bytes(dtype);
    struct rng_seeded seeded;
    rng_seeded_init(&seeded, seed);
    struct rng rng = rng_from_seeded(&seeded);
    f->dtype = dtype;
    f->count = count;
    f->columns = 1 + rng_below(&rng, 300);
    for (size_t i = 0; i < count; i++) {
        uint64_t from =
            shape == SHAPE_SPECIAL ? special(&rng, dtype) : rng_u64(&rng);
        uint64_t to = changed(&rng, dtype, shape, from);
        small_store(f->pred + 1 + i * bytes, from, dtype_bits(dtype));
        small_store(f->target + 1 + i * bytes, to, dtype_bits(dtype));
        f->lost[i] = (uint8_t)rng_below(&rng, 8);
    }
}

static void plan(struct fixture *f)
{
    size_t half = f->count / 2, at = half * elem_bytes(f->dtype);
    const uint8_t *pred = f->has_pred ? f->pred + 1 : NULL;
    const uint8_t *lost = f->has_lost ? f->lost : NULL;
    small_stats_reset(f->stats, f->dtype, f->columns);
    small_stats_add(f->stats, pred, lost, f->target + 1, half);
    small_stats_add(f->stats, pred ? pred + at : NULL,
                    lost ? lost + half : NULL, f->target + 1 + at,
                    f->count - half);
    f->bits = small_plan(f->stats, &f->coding);
}

/* Codes the tensor in pieces; in: a decoder, else an encoder. */
static void walk(struct fixture *f, bool decode, size_t piece)
{
    size_t bytes = elem_bytes(f->dtype);
    for (size_t i = 0; i < f->count; i += piece) {
        size_t n = f->count - i < piece ? f->count - i : piece;
        const uint8_t *pred = f->has_pred ? f->pred + 1 + i * bytes : NULL;
        const uint8_t *lost = f->has_lost ? f->lost + i : NULL;
        if (decode)
            small_dec_piece(f->dec, &f->coding, f->dtype, pred, lost,
                            f->out + 1 + i * bytes, n, i);
        else
            assert_int_equal(small_enc_piece(f->enc, &f->coding, f->dtype, pred,
                                             lost, f->target + 1 + i * bytes, n,
                                             i),
                             STATUS_OK);
    }
}

static void encode(struct fixture *f, size_t piece)
{
    struct writer wr;
    writer_init(&wr, f->stream, sizeof(f->stream));
    walk(f, false, piece);
    small_enc_finish(f->enc, &wr);
    assert_int_equal(writer_status(&wr), STATUS_OK);
    f->stream_size = wr.size;
}

static enum status decode(struct fixture *f, size_t size, size_t piece)
{
    struct reader rd;
    reader_init(&rd, bytes_of(f->stream, size));
    enum status status = small_dec_begin(f->dec, &rd);
    if (status)
        return status;
    walk(f, true, piece);
    status = small_dec_finish(f->dec);
    return status ? status : reader_finish(&rd);
}

static void round_trip(struct fixture *f, size_t piece)
{
    size_t size = f->count * elem_bytes(f->dtype);
    plan(f);
    encode(f, piece);
    memset(f->out, 0x5a, sizeof(f->out));
    assert_int_equal(decode(f, f->stream_size, piece), STATUS_OK);
    assert_memory_equal(f->out + 1, f->target + 1, size);
    assert_int_equal(f->out[0], 0x5a);
    assert_int_equal(f->out[size + 1], 0x5a);
}

static void every_pattern_of_every_dtype_comes_back(void **state)
{
    struct fixture *f = *state;
    for (size_t d = 0; d < DTYPES; d++) {
        for (unsigned i = 0; i < SHAPE_COUNT * 3; i++) {
            f->has_pred = i % 3 > 0;
            f->has_lost = i % 3 > 1;
            make(f, dtypes[d], i / 3, 1500, d * 100 + i);
            round_trip(f, i % 2 ? 1500 : 700);
        }
    }
}

static void few_elements_come_back(void **state)
{
    struct fixture *f = *state;
    f->has_pred = true;
    f->has_lost = false;
    for (size_t count = 0; count < 20; count++) {
        make(f, DTYPE_F32, SHAPE_NEAR, count, count);
        round_trip(f, 7);
        if (!count)
            assert_int_equal(f->stream_size, 1);
    }
}

static void any_valid_coding_codes_any_values(void **state)
{
    struct fixture *f = *state;
    struct rng_seeded seeded;
    rng_seeded_init(&seeded, 5);
    struct rng rng = rng_from_seeded(&seeded);
    f->has_pred = true;
    for (unsigned i = 0; i < 120; i++) {
        enum dtype dtype = dtypes[i % DTYPES];
        struct small_format format = small_format(dtype);
        unsigned fields =
            format.mant ? 1u << (format.width - 1 - format.mant) : 0;
        make(f, dtype, i % SHAPE_COUNT, 600, i);
        f->has_lost = i & 1;
        f->coding = (struct small_coding){
            .mode = SMALL_DELTA,
            .sparse = (uint8_t)rng_below(&rng, 2),
            .scale = (uint16_t)rng_below(&rng, SMALL_SCALE_MAX + 1),
            .columns = (uint32_t)rng_below(&rng, 700)};
        if (format.mant && rng_below(&rng, 2)) {
            f->coding.direct_end = (uint16_t)(1 + rng_below(&rng, 256));
            f->coding.direct_top = (uint16_t)rng_below(&rng, fields);
        }
        encode(f, 600);
        assert_int_equal(decode(f, f->stream_size, 600), STATUS_OK);
        assert_memory_equal(f->out + 1, f->target + 1, 600 * elem_bytes(dtype));
    }
}

static void decoding_in_place_works(void **state)
{
    struct fixture *f = *state;
    f->has_pred = true;
    f->has_lost = false;
    for (size_t d = 0; d < DTYPES; d++) {
        make(f, dtypes[d], SHAPE_NEAR, 1000, d);
        plan(f);
        encode(f, 1000);
        struct reader rd;
        reader_init(&rd, bytes_of(f->stream, f->stream_size));
        assert_int_equal(small_dec_begin(f->dec, &rd), STATUS_OK);
        small_dec_piece(f->dec, &f->coding, f->dtype, f->pred + 1, NULL,
                        f->pred + 1, 1000, 0);
        assert_int_equal(small_dec_finish(f->dec), STATUS_OK);
        assert_memory_equal(f->pred + 1, f->target + 1,
                            1000 * elem_bytes(f->dtype));
    }
}

static void segments_are_independent(void **state)
{
    struct fixture *f = *state;
    f->has_pred = true;
    f->has_lost = true;
    make(f, DTYPE_BF16, SHAPE_NEAR, 5000, 1);
    plan(f);
    encode(f, 5000);
    size_t size = f->stream_size;
    uint8_t *first = malloc(size);
    assert_non_null(first);
    memcpy(first, f->stream, size);
    encode(f, 5000);
    assert_int_equal(f->stream_size, size);
    assert_memory_equal(f->stream, first, size);
    free(first);
}

static void a_segment_too_long_is_refused(void **state)
{
    struct fixture *f = *state;
    struct small_enc *enc = small_enc_new(100);
    assert_non_null(enc);
    f->has_pred = true;
    make(f, DTYPE_F32, SHAPE_NEAR, 26, 1);
    plan(f);
    assert_int_equal(small_enc_piece(enc, &f->coding, DTYPE_F32, f->pred, NULL,
                                     f->target, 26, 0),
                     STATUS_LIMIT);
    assert_int_equal(small_enc_piece(enc, &f->coding, DTYPE_F32, f->pred, NULL,
                                     f->target, 25, 0),
                     STATUS_OK);
    assert_int_equal(small_enc_piece(enc, &f->coding, DTYPE_F32, f->pred, NULL,
                                     f->target, 1, 25),
                     STATUS_LIMIT);
    small_enc_free(enc);
}

static void every_truncation_is_found(void **state)
{
    struct fixture *f = *state;
    f->has_pred = true;
    f->has_lost = false;
    for (size_t d = 0; d < DTYPES; d++) {
        make(f, dtypes[d], SHAPE_NEAR, 60, d);
        plan(f);
        encode(f, 60);
        for (size_t size = 0; size < f->stream_size; size++)
            assert_int_not_equal(decode(f, size, 60), STATUS_OK);
    }
}

/* Cuts a byte of one of the two parts, with sizes that agree. */
static void a_part_too_short_or_long_is_found(void **state)
{
    struct fixture *f = *state;
    f->has_pred = true;
    f->has_lost = false;
    make(f, DTYPE_F32, SHAPE_SPARSE, 2000, 1);
    plan(f);
    encode(f, 2000);
    struct reader rd;
    reader_init(&rd, bytes_of(f->stream, f->stream_size));
    size_t range = (size_t)reader_varint(&rd) - 1;
    size_t raw = (size_t)reader_varint(&rd);
    uint8_t parts[3 * BYTES_MAX];
    assert_int_equal(range + raw, reader_left(&rd));
    reader_copy(&rd, parts, range + raw);
    static const int change[][2] = {{-8, 0}, {0, -1}, {5, 0}, {0, 1}};
    for (size_t i = 0; i < 4; i++) {
        struct writer wr;
        size_t range_now = range + (size_t)change[i][0];
        size_t raw_now = raw + (size_t)change[i][1];
        memset(parts + range + raw, 0, 8);
        writer_init(&wr, f->stream, sizeof(f->stream));
        writer_varint(&wr, range_now + 1);
        writer_varint(&wr, raw_now);
        writer_bytes(&wr, parts, range < range_now ? range : range_now);
        if (range_now > range)
            writer_bytes(&wr, "\0\0\0\0", range_now - range);
        writer_bytes(&wr, parts + range, raw_now);
        assert_int_equal(decode(f, wr.size, 2000),
                         i < 2 ? STATUS_TRUNCATED : STATUS_CORRUPT);
    }
}

static void flipped_bits_stay_within_bounds(void **state)
{
    struct fixture *f = *state;
    f->has_pred = true;
    f->has_lost = true;
    for (size_t d = 0; d < DTYPES; d++) {
        make(f, dtypes[d], SHAPE_NEAR, 80, d);
        plan(f);
        encode(f, 80);
        for (size_t bit = 0; bit < f->stream_size * 8; bit += 3) {
            f->stream[bit / 8] ^= (uint8_t)(1 << bit % 8);
            f->out[80 * elem_bytes(f->dtype) + 1] = 0x77;
            (void)decode(f, f->stream_size, 80);
            assert_int_equal(f->out[80 * elem_bytes(f->dtype) + 1], 0x77);
            f->stream[bit / 8] ^= (uint8_t)(1 << bit % 8);
        }
        assert_int_equal(decode(f, f->stream_size, 80), STATUS_OK);
    }
}

static void more_asked_than_coded_is_truncated(void **state)
{
    struct fixture *f = *state;
    f->has_pred = true;
    f->has_lost = false;
    make(f, DTYPE_F32, SHAPE_NEAR, 100, 1);
    plan(f);
    encode(f, 100);
    f->count = 200;
    assert_int_equal(decode(f, f->stream_size, 100), STATUS_TRUNCATED);
    f->stream[0] = 0;
    memset(f->out, 1, sizeof(f->out));
    assert_int_equal(decode(f, 1, 100), STATUS_TRUNCATED);
    assert_int_equal(f->out[1], 0);
}

static void codings_come_back_or_are_refused(void **state)
{
    (void)state;
    struct rng_seeded seeded;
    rng_seeded_init(&seeded, 9);
    struct rng rng = rng_from_seeded(&seeded);
    unsigned good = 0;
    for (unsigned i = 0; i < 20000; i++) {
        uint8_t in[SMALL_CODING_BYTES_MAX], out[SMALL_CODING_BYTES_MAX];
        enum dtype dtype = dtypes[rng_below(&rng, DTYPES)];
        struct small_coding coding;
        struct reader rd;
        struct writer wr;
        for (unsigned k = 0; k < sizeof(in); k++)
            in[k] = rng_below(&rng, 3) ? (uint8_t)rng_u64(&rng) : 0;
        reader_init(&rd, bytes_of(in, sizeof(in)));
        if (small_coding_read(&rd, dtype, &coding))
            continue;
        good++;
        writer_init(&wr, out, sizeof(out));
        small_coding_write(&coding, dtype, &wr);
        assert_int_equal(writer_status(&wr), STATUS_OK);
        assert_int_equal(wr.size, reader_offset(&rd));
        assert_memory_equal(in, out, wr.size);
    }
    assert_true(good > 500);
}

static void a_short_coding_is_truncated(void **state)
{
    (void)state;
    uint8_t buf[SMALL_CODING_BYTES_MAX];
    struct small_coding coding = {.mode = SMALL_DELTA,
                                  .scale = 300,
                                  .direct_end = 100,
                                  .direct_top = 120,
                                  .columns = 1000};
    struct writer wr;
    writer_init(&wr, buf, sizeof(buf));
    small_coding_write(&coding, DTYPE_F32, &wr);
    for (size_t size = 0; size < wr.size; size++) {
        struct reader rd;
        struct small_coding read;
        reader_init(&rd, bytes_of(buf, size));
        assert_int_equal(small_coding_read(&rd, DTYPE_F32, &read),
                         STATUS_TRUNCATED);
        assert_int_equal(read.scale, 0);
    }
}

/* Values in eighths, rounded; the target is the rounding of a value near. */
static void make_rounded(struct fixture *f, size_t count)
{
    struct rng_seeded seeded;
    rng_seeded_init(&seeded, 4);
    struct rng rng = rng_from_seeded(&seeded);
    f->dtype = DTYPE_I16;
    f->count = count;
    f->columns = 100;
    f->has_pred = true;
    for (size_t i = 0; i < f->count; i++) {
        unsigned value = 800 + (unsigned)rng_below(&rng, 8000);
        unsigned near = value + (unsigned)rng_below(&rng, 7) - 3;
        store_le16(f->pred + 1 + i * 2, (uint16_t)((value + 4) / 8));
        store_le16(f->target + 1 + i * 2, (uint16_t)((near + 4) / 8));
        f->lost[i] = (uint8_t)((value + 4) % 8);
    }
}

static void knowing_what_rounding_lost_helps(void **state)
{
    struct fixture *f = *state;
    make_rounded(f, 8000);
    f->has_lost = false;
    round_trip(f, 8000);
    size_t without = f->stream_size;
    assert_in_range(f->bits, without * 8 * 95 / 100, without * 8 * 105 / 100);
    f->has_lost = true;
    round_trip(f, 8000);
    assert_true(f->stream_size < without * 7 / 10);
    assert_in_range(f->bits, f->stream_size * 8 * 90 / 100,
                    f->stream_size * 8 * 110 / 100);
}

/* Models begin with what differences of the planned size are like. */
static void few_elements_cost_little_more_than_many(void **state)
{
    struct fixture *f = *state;
    f->has_lost = true;
    make_rounded(f, 8000);
    round_trip(f, 8000);
    size_t many = f->stream_size;
    make_rounded(f, 400);
    round_trip(f, 400);
    assert_true(f->stream_size * 20 < many * 125 / 100);
}

/* A change of about size ulps of each value, like a step of training. */
static void make_step(struct fixture *f, double size, size_t count)
{
    struct rng_seeded seeded;
    rng_seeded_init(&seeded, 3);
    struct rng rng = rng_from_seeded(&seeded);
    f->dtype = DTYPE_F32;
    f->count = count;
    f->columns = 64;
    for (size_t i = 0; i < count; i++) {
        double u = 0, d = 0;
        for (unsigned k = 0; k < 12; k++) {
            u += (double)rng_below(&rng, 65536) / 65536 - 0.5;
            d += (double)rng_below(&rng, 65536) / 65536 - 0.5;
        }
        float from = (float)(u * 0.05), to = (float)(from + d * size);
        uint32_t bits;
        memcpy(&bits, &from, 4);
        store_le32(f->pred + 1 + i * 4, bits);
        memcpy(&bits, &to, 4);
        store_le32(f->target + 1 + i * 4, bits);
    }
}

static void estimates_are_near(void **state)
{
    struct fixture *f = *state;
    f->has_pred = true;
    f->has_lost = false;
    for (double size = 1e-8; size < 0.2; size *= 10) {
        make_step(f, size, 8000);
        round_trip(f, 8000);
        double real = (double)f->stream_size * 8;
        assert_true((double)f->bits > real * 0.93);
        assert_true((double)f->bits < real * 1.10);
    }
}

static void unchanged_tensors_cost_nearly_nothing(void **state)
{
    struct fixture *f = *state;
    f->has_pred = true;
    f->has_lost = false;
    for (size_t d = 0; d < DTYPES; d++) {
        make(f, dtypes[d], SHAPE_EQUAL, 4000, d);
        round_trip(f, 4000);
        assert_true(f->stream_size < 16);
    }
}

static void statistics_count_elements_and_changes(void **state)
{
    struct fixture *f = *state;
    make(f, DTYPE_I8, SHAPE_EQUAL, 100, 1);
    for (size_t i = 0; i < 7; i++)
        f->target[1 + i * 11] ^= 1;
    f->has_pred = true;
    plan(f);
    assert_int_equal(small_stats_count(f->stats), 100);
    assert_int_equal(small_stats_changed(f->stats), 7);
    f->has_pred = false;
    plan(f);
    assert_int_equal(small_stats_changed(f->stats), 100);
    assert_int_equal(f->coding.mode, SMALL_FULL);
}

/* Stretches of a piece, the first as long as its columns reach, code as the
 * whole does. */
static void stretches_of_a_piece_change_no_byte(void **state)
{
    struct fixture *f = *state;
    struct small_enc *enc = small_enc_new((size_t)1 << 20);
    size_t count = 20000;
    uint8_t *pred = calloc(count, 4), *target = calloc(count, 4);
    struct writer whole, parts;
    assert_non_null(enc);
    for (size_t i = 0; i < count; i++) {
        store_le32(pred + 4 * i, (uint32_t)(0x3c000000 + i * 7919));
        store_le32(target + 4 * i, (uint32_t)(0x3c000000 + i * 7919 + i % 23));
    }
    small_stats_reset(f->stats, DTYPE_F32, 300);
    small_stats_add(f->stats, pred, NULL, target, count);
    (void)small_plan(f->stats, &f->coding);
    writer_init_heap(&whole, 1 << 20);
    writer_init_heap(&parts, 1 << 20);
    assert_int_equal(small_enc_piece(enc, &f->coding, DTYPE_F32, pred, NULL,
                                     target, count, 700),
                     STATUS_OK);
    small_enc_finish(enc, &whole);
    small_enc_begin(enc);
    for (size_t at = 0; at < count; at += SMALL_COLUMNS_MAX) {
        size_t now = count - at;
        now = now < SMALL_COLUMNS_MAX ? now : SMALL_COLUMNS_MAX;
        assert_int_equal(small_enc_piece(enc, &f->coding, DTYPE_F32,
                                         pred + 4 * at, NULL, target + 4 * at,
                                         now, 700 + at),
                         STATUS_OK);
    }
    small_enc_finish(enc, &parts);
    assert_int_equal(whole.size, parts.size);
    assert_memory_equal(whole.data, parts.data, whole.size);
    writer_deinit(&whole);
    writer_deinit(&parts);
    free(pred);
    free(target);
    small_enc_free(enc);
}

/* squash is the logistic function of 1 / 256, stretch its inverse. */
static void tables_are_the_logistic_function(void **state)
{
    (void)state;
    struct small_models *m = calloc(1, sizeof(*m));
    assert_non_null(m);
    small_models_init(m);
    for (int i = -SMALL_SQUASH_MAX; i <= SMALL_SQUASH_MAX; i++) {
        double p = 65536 / (1 + exp(-i / 256.0));
        assert_true(fabs(m->tables.squash[i + SMALL_SQUASH_MAX] - p) < 1.01);
        assert_in_range(m->tables.squash[i + SMALL_SQUASH_MAX], 1, 65535);
    }
    for (int i = 4; i < 4092; i++) {
        double p = (i * 16 + 8) / 65536.0;
        double x = 256 * log(p / (1 - p));
        assert_true(fabs(m->tables.stretch[i] - x) < 1 + 0.1 / p / (1 - p) / 4);
        assert_int_equal(m->tables.stretch[0], -SMALL_STRETCH_MAX);
    }
    free(m);
}

static uint32_t fnv(const uint8_t *data, size_t size)
{
    uint32_t hash = UINT32_C(2166136261);
    for (size_t i = 0; i < size; i++)
        hash = (hash ^ data[i]) * UINT32_C(16777619);
    return hash;
}

/* What the coder writes, by hash: streams of other versions must stay
 * readable, so a change here is a change of the format. */
static void streams_stay_as_they_are(void **state)
{
    struct fixture *f = *state;
    static const uint32_t hashes[DTYPES] = {
        0xfcacdf9c, 0x86dd2043, 0xbc141494, 0xcc8c2130, 0xee7b906d,
        0x2993ee5b, 0xd8ef3794, 0xab6a9bfa, 0xb2a4eb7a, 0x97a0e782,
        0x6ce0a4dc, 0xff4da199, 0x5575f3e8, 0x2a983d0e, 0xc9485081};
    f->has_pred = true;
    for (size_t d = 0; d < DTYPES; d++) {
        make(f, dtypes[d], SHAPE_NEAR, 1000, d);
        f->has_lost = d & 1;
        f->coding = (struct small_coding){.mode = SMALL_DELTA,
                                          .sparse = d % 3 == 0,
                                          .scale = 40,
                                          .columns = 33};
        if (small_format(dtypes[d]).mant) {
            f->coding.direct_end = 3;
            f->coding.direct_top = 4;
            f->coding.scale = 60;
        }
        encode(f, 1000);
        assert_int_equal(fnv(f->stream, f->stream_size), hashes[d]);
    }
}

static void only_whole_bytes_are_coded(void **state)
{
    (void)state;
    for (int d = 0; d < DTYPE_COUNT; d++) {
        unsigned bits = dtype_bits((enum dtype)d);
        bool whole = bits % 8 == 0 && bits <= 64 && d != DTYPE_C64;
        assert_int_equal(small_dtype_ok((enum dtype)d), whole);
    }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(every_pattern_of_every_dtype_comes_back),
        TEST(few_elements_come_back),
        TEST(any_valid_coding_codes_any_values),
        TEST(decoding_in_place_works),
        TEST(segments_are_independent),
        TEST(stretches_of_a_piece_change_no_byte),
        TEST(a_segment_too_long_is_refused),
        TEST(every_truncation_is_found),
        TEST(a_part_too_short_or_long_is_found),
        TEST(flipped_bits_stay_within_bounds),
        TEST(more_asked_than_coded_is_truncated),
        TEST(codings_come_back_or_are_refused),
        TEST(a_short_coding_is_truncated),
        TEST(knowing_what_rounding_lost_helps),
        TEST(few_elements_cost_little_more_than_many),
        TEST(estimates_are_near),
        TEST(unchanged_tensors_cost_nearly_nothing),
        TEST(statistics_count_elements_and_changes),
        TEST(tables_are_the_logistic_function),
        TEST(streams_stay_as_they_are),
        TEST(only_whole_bytes_are_coded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
