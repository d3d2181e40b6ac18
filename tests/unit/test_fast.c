/* The fast coder end to end: every bit pattern comes back, however pieces and
 * segments are cut; damage is found or harmless; headers are validated; a
 * golden stream decodes for ever. */
#include "codec/lossless/fast.h"

#include "codec/base/rng.h"

#include "tests/support/cmocka.h"

#include <stdlib.h>
#include <string.h>

#define BYTES_MAX (64u * 1024)
#define DTYPES    6
#define FLOATS    2 /* of them, the first two */

static const enum dtype dtypes[DTYPES] = {DTYPE_F64, DTYPE_F32, DTYPE_I32,
                                          DTYPE_U64, DTYPE_U32, DTYPE_I64};

static size_t elem_bytes(enum dtype dtype)
{
    return dtype_bits(dtype) / 8;
}

/* One tensor and what was made of it. base and target start at odd
 * addresses. */
struct fixture {
    enum dtype dtype;
    bool has_base;
    size_t count;
    uint8_t base[BYTES_MAX + 1];
    uint8_t target[BYTES_MAX + 1];
    uint8_t out[BYTES_MAX + 1];
    uint8_t plain[3 * BYTES_MAX];
    uint8_t stream[3 * BYTES_MAX];
    size_t stream_size;
    struct fast_tables tables;
    struct fast_coding coding;
    uint64_t bits;
};

static int setup(void **state)
{
    *state = calloc(1, sizeof(struct fixture));
    return *state ? 0 : -1;
}

static int teardown(void **state)
{
    free(*state);
    return 0;
}

enum shape {
    SHAPE_NEAR,    /* a small change of each value */
    SHAPE_SPARSE,  /* of one in 100 */
    SHAPE_RANDOM,  /* any bits */
    SHAPE_SPECIAL, /* zeros, infinities, NaNs, denormals, extremes */
    SHAPE_EQUAL,
    SHAPE_BLOCKS, /* of larger and smaller changes, and of none */
    SHAPE_COUNT
};

static uint64_t special(struct rng *rng, enum dtype dtype)
{
    unsigned width = dtype_bits(dtype);
    unsigned mantissa = width == 64 ? 52 : 23;
    uint64_t sign = (uint64_t)1 << (width - 1);
    uint64_t inf = (sign - 1) >> mantissa << mantissa;
    const uint64_t values[] = {
        0,        1,       inf - 1,        inf, inf + 1,
        sign - 1, inf / 2, inf | inf >> 1, 3,   (uint64_t)1 << mantissa};
    uint64_t v = values[rng_below(rng, sizeof(values) / sizeof(*values))];
    return rng_below(rng, 2) ? v | sign : v;
}

static uint64_t changed(struct rng *rng, enum dtype dtype, enum shape shape,
                        size_t i, uint64_t from)
{
    unsigned block = (unsigned)(i / FAST_SHIFT_BLOCK * 7 % 10);
    unsigned width = dtype_bits(dtype);
    switch (shape) {
    case SHAPE_NEAR:
        return from + (rng_u64(rng) & 63) - 32;
    case SHAPE_SPARSE:
        return rng_below(rng, 100) ? from : from ^ rng_below(rng, 1000);
    case SHAPE_RANDOM:
        return rng_u64(rng);
    case SHAPE_SPECIAL:
        return special(rng, dtype);
    case SHAPE_BLOCKS:
        if (block > 7)
            return from;
        return from + (rng_u64(rng) >> (64 - width / 3 - block)) -
               ((uint64_t)1 << (width / 3 + block - 1));
    default:
        return from;
    }
}

static void put(uint8_t *p, uint64_t v, size_t size)
{
    for (size_t i = 0; i < size; i++)
        p[i] = (uint8_t)(v >> 8 * i);
}

/* A base like weights: few exponents below 1. */
static uint64_t weight(struct rng *rng, enum dtype dtype)
{
    unsigned width = dtype_bits(dtype);
    uint64_t one = width == 64 ? UINT64_C(0x3ff0000000000000) : 0x3f800000;
    uint64_t octave = width == 64 ? (uint64_t)1 << 52 : 1u << 23;
    uint64_t v = one - octave * (unsigned)__builtin_clzll(rng_u64(rng) | 1) -
                 rng_u64(rng) % octave;
    return rng_below(rng, 2) ? v | (uint64_t)1 << (width - 1) : v;
}

static void fill(struct fixture *f, enum dtype dtype, enum shape shape,
                 size_t count, uint64_t seed)
{
    struct rng_seeded seeded;
    rng_seeded_init(&seeded, seed);
    struct rng rng = rng_from_seeded(&seeded);
    size_t size = elem_bytes(dtype);
    assert_true(count * size <= BYTES_MAX);
    f->dtype = dtype;
    f->count = count;
    for (size_t i = 0; i < count; i++) {
        uint64_t from =
            shape == SHAPE_SPECIAL ? special(&rng, dtype) : weight(&rng, dtype);
        put(f->base + 1 + i * size, from, size);
        put(f->target + 1 + i * size, changed(&rng, dtype, shape, i, from),
            size);
    }
}

static void plan_with(struct fixture *f, bool has_base, bool plain)
{
    struct fast_stats *stats = fast_stats_new();
    struct fast_plan *made = fast_plan_new();
    assert_non_null(stats);
    assert_non_null(made);
    if (plain)
        fast_stats_plain(stats);
    size_t index = 9, half = f->count / 3;
    const uint8_t *base = has_base ? f->base + 1 : NULL;
    size_t skip = half * elem_bytes(f->dtype);
    fast_stats_reset(stats, f->dtype);
    fast_stats_add(stats, base, f->target + 1, half);
    fast_stats_add(stats, base ? base + skip : NULL, f->target + 1 + skip,
                   f->count - half);
    assert_int_equal(fast_stats_count(stats), f->count);
    assert_int_equal(fast_plan_add(made, stats, &index), STATUS_OK);
    assert_int_equal(index, 0);
    assert_int_equal(fast_plan_solve(made, &f->tables), STATUS_OK);
    f->bits = fast_plan_coding(made, 0, &f->coding);
    f->has_base = f->coding.mode == FAST_DELTA;
    assert_true(has_base || !f->has_base);
    fast_stats_free(stats);
    fast_plan_free(made);
}

/* Plain C and what suits the processor must count the same. */
static void plan(struct fixture *f, bool has_base)
{
    plan_with(f, has_base, true);
    struct fast_tables tables = f->tables;
    struct fast_coding coding = f->coding;
    uint64_t bits = f->bits;
    plan_with(f, has_base, false);
    assert_int_equal(f->bits, bits);
    assert_memory_equal(&f->tables, &tables, sizeof(tables));
    assert_memory_equal(&f->coding, &coding, sizeof(coding));
}

/* Where a piece may be cut. */
static size_t allowed(const struct fixture *f, size_t piece)
{
    if (!f->coding.shifted || piece >= f->count)
        return piece;
    return (piece + FAST_SHIFT_BLOCK - 1) / FAST_SHIFT_BLOCK * FAST_SHIFT_BLOCK;
}

static void encode_with(struct fixture *f, size_t piece, bool plain)
{
    struct fast_enc *enc = fast_enc_new(&f->tables, BYTES_MAX);
    assert_non_null(enc);
    if (plain)
        fast_enc_plain(enc);
    size_t size = elem_bytes(f->dtype);
    struct writer wr;
    piece = allowed(f, piece);
    writer_init(&wr, f->stream, sizeof(f->stream));
    fast_enc_begin(enc);
    for (size_t i = 0; i < f->count; i += piece) {
        size_t n = f->count - i < piece ? f->count - i : piece;
        assert_int_equal(
            fast_enc_piece(enc, &f->coding, f->dtype,
                           f->has_base ? f->base + 1 + i * size : NULL,
                           f->target + 1 + i * size, n),
            STATUS_OK);
    }
    fast_enc_finish(enc, &wr);
    assert_int_equal(writer_status(&wr), STATUS_OK);
    f->stream_size = wr.size;
    fast_enc_free(enc);
}

/* And write the same. */
static void encode(struct fixture *f, size_t piece)
{
    encode_with(f, piece, true);
    size_t size = f->stream_size;
    memcpy(f->plain, f->stream, size);
    encode_with(f, piece, false);
    assert_int_equal(f->stream_size, size);
    assert_memory_equal(f->stream, f->plain, size);
}

static enum status decode_with(struct fixture *f, struct fast_dec *dec,
                               size_t piece, const uint8_t *stream,
                               size_t stream_size)
{
    size_t size = elem_bytes(f->dtype);
    struct reader rd;
    piece = allowed(f, piece);
    reader_init(&rd, bytes_of(stream, stream_size));
    enum status status = fast_dec_begin(dec, &rd);
    if (status)
        return status;
    for (size_t i = 0; i < f->count; i += piece) {
        size_t n = f->count - i < piece ? f->count - i : piece;
        fast_dec_piece(dec, &f->coding, f->dtype,
                       f->has_base ? f->base + 1 + i * size : NULL,
                       f->out + 1 + i * size, n);
    }
    status = fast_dec_finish(dec);
    return status ? status : reader_finish(&rd);
}

/* From an exact copy, so that a read past the end is seen by a sanitizer. Plain
 * C and what suits the processor must do the same with any stream. */
static enum status decode(struct fixture *f, size_t piece, size_t stream_size)
{
    struct fast_dec *dec = fast_dec_new(&f->tables);
    uint8_t *copy = malloc(stream_size + 1);
    assert_non_null(dec);
    assert_non_null(copy);
    memcpy(copy, f->stream, stream_size);
    memset(f->out, 0xa5, sizeof(f->out));
    fast_dec_plain(dec);
    enum status plain = decode_with(f, dec, piece, copy, stream_size);
    memcpy(f->plain, f->out, sizeof(f->out));
    fast_dec_free(dec);
    dec = fast_dec_new(&f->tables);
    assert_non_null(dec);
    memset(f->out, 0xa5, sizeof(f->out));
    enum status status = decode_with(f, dec, piece, copy, stream_size);
    assert_int_equal(status, plain);
    assert_memory_equal(f->out, f->plain, sizeof(f->out));
    free(copy);
    fast_dec_free(dec);
    return status;
}

static void assert_same(const struct fixture *f)
{
    assert_memory_equal(f->out + 1, f->target + 1,
                        f->count * elem_bytes(f->dtype));
}

static void fast_brings_every_shape_back(void **state)
{
    struct fixture *f = *state;
    for (unsigned d = 0; d < DTYPES; d++) {
        for (unsigned shape = 0; shape < SHAPE_COUNT; shape++) {
            for (unsigned base = 0; base < 2; base++) {
                fill(f, dtypes[d], (enum shape)shape, 7001, d + 10 * shape);
                plan(f, base);
                encode(f, 7001);
                assert_int_equal(decode(f, 7001, f->stream_size), STATUS_OK);
                assert_same(f);
            }
        }
    }
}

/* Blocks of which each has changes of its own size cost no more than if all
 * were alike, but for what says their sizes. */
static void fast_blocks_have_shifts(void **state)
{
    struct fixture *f = *state;
    static const size_t pieces[] = {128, 512, 1024, 1280, 8000};
    for (unsigned d = 0; d < FLOATS; d++) {
        fill(f, dtypes[d], SHAPE_BLOCKS, 8000, d);
        plan(f, true);
        assert_true(f->coding.shifted);
        for (unsigned i = 0; i < 5; i++) {
            encode(f, pieces[4 - i]);
            assert_int_equal(decode(f, pieces[i], f->stream_size), STATUS_OK);
            assert_same(f);
        }
        size_t with = f->stream_size;
        f->coding.shifted = f->coding.shift_table = 0;
        encode(f, 8000);
        assert_true(with < f->stream_size - f->stream_size / 20);
    }
    fill(f, DTYPE_F32, SHAPE_NEAR, 8000, 9);
    plan(f, true);
    assert_false(f->coding.shifted);
}

/* A stream without shifts for elements that need them, and shifts too many or
 * too few. */
static void fast_wrong_shifts_are_found(void **state)
{
    struct fixture *f = *state;
    fill(f, DTYPE_F32, SHAPE_BLOCKS, 8000, 2);
    plan(f, true);
    struct fast_coding coding = f->coding;
    f->coding.shifted = 0;
    encode(f, 8000);
    f->coding = coding;
    assert_int_equal(decode(f, 8000, f->stream_size), STATUS_TRUNCATED);
    encode(f, 8000);
    f->coding.shifted = 0;
    assert_int_not_equal(decode(f, 8000, f->stream_size), STATUS_OK);
}

static void fast_pieces_may_be_cut_anywhere(void **state)
{
    struct fixture *f = *state;
    static const size_t pieces[] = {1, 2, 31, 33, 2047, 2048, 2049, 5000};
    for (unsigned d = 0; d < DTYPES; d++) {
        fill(f, dtypes[d], SHAPE_NEAR, 5000, d);
        plan(f, true);
        for (unsigned i = 0; i < 8; i++) {
            encode(f, pieces[7 - i]);
            assert_int_equal(decode(f, pieces[i], f->stream_size), STATUS_OK);
            assert_same(f);
        }
    }
}

static void fast_every_small_count_comes_back(void **state)
{
    struct fixture *f = *state;
    for (unsigned d = 0; d < DTYPES; d++) {
        for (size_t count = 0; count < 70; count++) {
            fill(f, dtypes[d], SHAPE_NEAR, count, count);
            plan(f, true);
            encode(f, 70);
            assert_int_equal(decode(f, 70, f->stream_size), STATUS_OK);
            assert_same(f);
            if (!count)
                assert_int_equal(f->stream_size, 1);
        }
    }
}

static void fast_decodes_in_place(void **state)
{
    struct fixture *f = *state;
    fill(f, DTYPE_F32, SHAPE_NEAR, 6000, 3);
    plan(f, true);
    assert_true(f->has_base);
    encode(f, 6000);
    struct fast_dec *dec = fast_dec_new(&f->tables);
    struct reader rd;
    reader_init(&rd, bytes_of(f->stream, f->stream_size));
    assert_int_equal(fast_dec_begin(dec, &rd), STATUS_OK);
    fast_dec_piece(dec, &f->coding, f->dtype, f->base + 1, f->base + 1, 6000);
    assert_int_equal(fast_dec_finish(dec), STATUS_OK);
    assert_memory_equal(f->base + 1, f->target + 1, 6000 * 4);
    fast_dec_free(dec);
}

static void fast_leaves_the_reader_past_its_stream(void **state)
{
    struct fixture *f = *state;
    fill(f, DTYPE_F32, SHAPE_NEAR, 3000, 4);
    plan(f, true);
    encode(f, 3000);
    size_t first = f->stream_size;
    memcpy(f->stream + first, f->stream, first);
    f->stream[2 * first] = 0; /* one without elements */
    struct fast_dec *dec = fast_dec_new(&f->tables);
    struct reader rd;
    reader_init(&rd, bytes_of(f->stream, 2 * first + 1));
    for (int i = 0; i < 2; i++) {
        assert_int_equal(fast_dec_begin(dec, &rd), STATUS_OK);
        memset(f->out, 0, sizeof(f->out));
        fast_dec_piece(dec, &f->coding, f->dtype, f->base + 1, f->out + 1,
                       3000);
        assert_int_equal(fast_dec_finish(dec), STATUS_OK);
        assert_same(f);
    }
    assert_int_equal(fast_dec_begin(dec, &rd), STATUS_OK);
    assert_int_equal(fast_dec_finish(dec), STATUS_OK);
    assert_int_equal(reader_finish(&rd), STATUS_OK);
    fast_dec_free(dec);
}

static void fast_mixes_tensors_in_a_segment(void **state)
{
    struct fixture *f[3];
    struct fast_stats *stats = fast_stats_new();
    struct fast_plan *made = fast_plan_new();
    struct fast_tables tables;
    (void)state;
    for (unsigned i = 0; i < 3; i++) {
        f[i] = calloc(1, sizeof(*f[i]));
        assert_non_null(f[i]);
        fill(f[i], dtypes[i], SHAPE_NEAR, 3000 + i, i);
        fast_stats_reset(stats, f[i]->dtype);
        fast_stats_add(stats, i ? f[i]->base + 1 : NULL, f[i]->target + 1,
                       f[i]->count);
        size_t index;
        assert_int_equal(fast_plan_add(made, stats, &index), STATUS_OK);
        assert_int_equal(index, i);
    }
    assert_int_equal(fast_plan_solve(made, &tables), STATUS_OK);
    struct fast_enc *enc = fast_enc_new(&tables, FAST_SEGMENT_BYTES_MAX);
    struct fast_dec *dec = fast_dec_new(&tables);
    for (unsigned i = 0; i < 3; i++) {
        (void)fast_plan_coding(made, i, &f[i]->coding);
        assert_int_equal(fast_enc_piece(enc, &f[i]->coding, f[i]->dtype,
                                        f[i]->base + 1, f[i]->target + 1,
                                        f[i]->count),
                         STATUS_OK);
    }
    struct writer wr;
    writer_init(&wr, f[0]->stream, sizeof(f[0]->stream));
    fast_enc_finish(enc, &wr);
    struct reader rd;
    reader_init(&rd, writer_view(&wr));
    assert_int_equal(fast_dec_begin(dec, &rd), STATUS_OK);
    for (unsigned i = 0; i < 3; i++)
        fast_dec_piece(dec, &f[i]->coding, f[i]->dtype, f[i]->base + 1,
                       f[i]->out + 1, f[i]->count);
    assert_int_equal(fast_dec_finish(dec), STATUS_OK);
    for (unsigned i = 0; i < 3; i++) {
        assert_same(f[i]);
        free(f[i]);
    }
    fast_enc_free(enc);
    fast_dec_free(dec);
    fast_stats_free(stats);
    fast_plan_free(made);
}

/* Contexts are kept from piece to piece: tensors in turn show what is stale. */
static void fast_takes_pieces_of_tensors_in_turn(void **state)
{
    enum {
        TENSORS = 5,
        COUNT = 3000,
        PIECE = 130
    };
    static const enum dtype of[TENSORS] = {DTYPE_F32, DTYPE_F32, DTYPE_I32,
                                           DTYPE_F64, DTYPE_U64};
    struct fixture *f[TENSORS];
    struct fast_stats *stats = fast_stats_new();
    struct fast_plan *made = fast_plan_new();
    struct fast_tables tables;
    (void)state;
    for (unsigned i = 0; i < TENSORS; i++) {
        f[i] = calloc(1, sizeof(*f[i]));
        assert_non_null(f[i]);
        fill(f[i], of[i], SHAPE_NEAR, COUNT, i);
        fast_stats_reset(stats, of[i]);
        fast_stats_add(stats, i != 1 ? f[i]->base + 1 : NULL, f[i]->target + 1,
                       COUNT);
        size_t index;
        assert_int_equal(fast_plan_add(made, stats, &index), STATUS_OK);
    }
    assert_int_equal(fast_plan_solve(made, &tables), STATUS_OK);
    struct fast_enc *enc = fast_enc_new(&tables, FAST_SEGMENT_BYTES_MAX);
    struct fast_dec *dec = fast_dec_new(&tables);
    for (unsigned i = 0; i < TENSORS; i++)
        (void)fast_plan_coding(made, i, &f[i]->coding);
    for (size_t at = 0; at < TENSORS * COUNT; at += PIECE) {
        struct fixture *g = f[at / PIECE % TENSORS];
        size_t skip = 1 + at / PIECE / TENSORS * PIECE * elem_bytes(g->dtype);
        size_t n = skip / elem_bytes(g->dtype) + PIECE > COUNT ? 0 : PIECE;
        assert_int_equal(fast_enc_piece(enc, &g->coding, g->dtype,
                                        g->base + skip, g->target + skip, n),
                         STATUS_OK);
        g->count = n ? skip / elem_bytes(g->dtype) + n : g->count;
    }
    struct writer wr;
    writer_init(&wr, f[0]->stream, sizeof(f[0]->stream));
    fast_enc_finish(enc, &wr);
    struct reader rd;
    reader_init(&rd, writer_view(&wr));
    assert_int_equal(fast_dec_begin(dec, &rd), STATUS_OK);
    for (size_t at = 0; at < TENSORS * COUNT; at += PIECE) {
        struct fixture *g = f[at / PIECE % TENSORS];
        size_t skip = 1 + at / PIECE / TENSORS * PIECE * elem_bytes(g->dtype);
        size_t n = skip / elem_bytes(g->dtype) + PIECE > COUNT ? 0 : PIECE;
        fast_dec_piece(dec, &g->coding, g->dtype, g->base + skip, g->out + skip,
                       n);
    }
    assert_int_equal(fast_dec_finish(dec), STATUS_OK);
    for (unsigned i = 0; i < TENSORS; i++) {
        assert_true(f[i]->count > COUNT - 2 * PIECE);
        assert_same(f[i]);
        free(f[i]);
    }
    fast_enc_free(enc);
    fast_dec_free(dec);
    fast_stats_free(stats);
    fast_plan_free(made);
}

static enum status read_coding(const struct fast_coding *coding,
                               enum dtype dtype, unsigned table_count)
{
    uint8_t buf[FAST_CODING_BYTES_MAX];
    struct writer wr;
    struct reader rd;
    struct fast_coding back;
    writer_init(&wr, buf, sizeof(buf));
    fast_coding_write(coding, &wr);
    reader_init(&rd, writer_view(&wr));
    return fast_coding_read(&rd, dtype, table_count, &back);
}

static struct fast_coding random_coding(struct rng *rng, enum dtype dtype,
                                        unsigned table_count)
{
    struct fast_coding coding = {.mode = FAST_FULL, .run_count = 1};
    if (!dtype_is_float(dtype)) {
        coding.mode = rng_below(rng, 2) ? FAST_FULL : FAST_DELTA;
        coding.scale = (uint16_t)rng_below(rng, 200);
        coding.run[0].table = (uint8_t)rng_below(rng, table_count);
        return coding;
    }
    coding.direct_first = (uint16_t)rng_below(rng, 512);
    coding.direct_end = 256;
    if (rng_below(rng, 4)) {
        coding.mode = FAST_DELTA;
        coding.run_count = (uint8_t)(1 + rng_below(rng, FAST_RUNS_MAX));
        coding.scale = (uint16_t)rng_below(rng, 1024);
        coding.direct_end = (uint16_t)rng_below(rng, 257);
        coding.shifted = (uint8_t)rng_below(rng, 2);
        if (coding.shifted)
            coding.shift_table = (uint8_t)rng_below(rng, table_count);
        if (!coding.direct_end)
            coding.direct_first = 0;
    }
    for (unsigned i = 0; i < coding.run_count; i++)
        coding.run[i] = (struct fast_run){(uint8_t)(i * 16),
                                          (uint8_t)rng_below(rng, table_count)};
    return coding;
}

/* Whatever tables and codings say, whatever the data: nothing is lost. */
static void fast_any_valid_coding_codes_any_values(void **state)
{
    struct fixture *f = *state;
    struct rng_seeded seeded;
    rng_seeded_init(&seeded, 77);
    struct rng rng = rng_from_seeded(&seeded);
    for (unsigned i = 0; i < 400; i++) {
        enum dtype dtype = dtypes[i % DTYPES];
        fill(f, dtype, (enum shape)(i % SHAPE_COUNT), 300, i);
        plan(f, true);
        f->coding = random_coding(&rng, dtype, f->tables.count);
        assert_int_equal(read_coding(&f->coding, dtype, f->tables.count),
                         STATUS_OK);
        f->has_base = f->coding.mode == FAST_DELTA;
        encode(f, 100);
        assert_int_equal(decode(f, 300, f->stream_size), STATUS_OK);
        assert_same(f);
    }
}

/* Changes of 0 .. 31 with a sign are 6 bits, whatever the width; the values
 * themselves take what their size needs. */
static void fast_integers_cost_what_changes(void **state)
{
    struct fixture *f = *state;
    for (unsigned d = FLOATS; d < DTYPES; d++) {
        fill(f, dtypes[d], SHAPE_NEAR, 7000, d);
        plan(f, true);
        assert_true(f->has_base);
        encode(f, 7000);
        assert_int_equal(decode(f, 7000, f->stream_size), STATUS_OK);
        assert_same(f);
        assert_in_range(f->stream_size, 7000 * 6 / 8, 7000 * 13 / 16);
        assert_in_range(f->bits, 7000 * 6, 7000 * 13 / 2);
        size_t size = elem_bytes(f->dtype);
        for (unsigned i = 0; i < 7000; i++)
            put(f->target + 1 + i * size, i % 1000, size);
        plan(f, true);
        assert_false(f->has_base);
        encode(f, 7000);
        assert_int_equal(decode(f, 7000, f->stream_size), STATUS_OK);
        assert_same(f);
        assert_in_range(f->stream_size, 1000, 7000 * 12 / 8);
    }
}

/* Any states, words and raw bits under any coding: all variants agree. */
static void fast_variants_agree_on_hostile_streams(void **state)
{
    struct fixture *f = *state;
    struct rng_seeded seeded;
    rng_seeded_init(&seeded, 78);
    struct rng rng = rng_from_seeded(&seeded);
    for (unsigned i = 0; i < 200; i++) {
        enum dtype dtype = dtypes[i % DTYPES];
        fill(f, dtype, i % 3 ? SHAPE_NEAR : SHAPE_SPECIAL, 5000, i);
        plan(f, true);
        f->coding = random_coding(&rng, dtype, f->tables.count);
        f->has_base = f->coding.mode == FAST_DELTA;
        size_t words = rng_below(&rng, 5000), raw = rng_below(&rng, 60000);
        struct writer wr;
        writer_init(&wr, f->stream, sizeof(f->stream));
        writer_varint(&wr, 1 + words * 4 + 2 + i % 2);
        writer_varint(&wr, raw);
        size_t shifts = rng_below(&rng, 40);
        writer_varint(&wr, shifts);
        for (unsigned j = 0; j < (i % 2 ? 32 : 16); j++)
            writer_le32(&wr, (uint32_t)rng_u64(&rng) | 1u << 31);
        if (shifts)
            writer_le32(&wr, (uint32_t)rng_u64(&rng) | 1u << 31);
        size_t left = 2 * words + raw + (shifts ? 2 * (shifts - 1) : 0);
        rng_fill(&rng, writer_reserve(&wr, left), left);
        f->stream_size = wr.size;
        (void)decode(f, 1 + rng_below(&rng, 5000), f->stream_size);
    }
}

static void fast_every_truncation_is_found(void **state)
{
    struct fixture *f = *state;
    for (unsigned d = 0; d < DTYPES; d++) {
        fill(f, dtypes[d], d < FLOATS ? SHAPE_BLOCKS : SHAPE_NEAR, 900, d);
        plan(f, true);
        f->coding.shifted = f->has_base && d < FLOATS;
        encode(f, 900);
        for (size_t cut = 0; cut < f->stream_size; cut++)
            assert_int_not_equal(decode(f, 900, cut), STATUS_OK);
    }
}

static void fast_wrong_counts_are_found(void **state)
{
    struct fixture *f = *state;
    fill(f, DTYPE_F32, SHAPE_NEAR, 3000, 5);
    plan(f, true);
    encode(f, 3000);
    f->count = 2999;
    assert_int_equal(decode(f, 3000, f->stream_size), STATUS_CORRUPT);
    f->count = 100;
    assert_int_equal(decode(f, 3000, f->stream_size), STATUS_CORRUPT);
    f->count = 6000;
    assert_int_equal(decode(f, 3000, f->stream_size), STATUS_TRUNCATED);
    f->stream[0] = 0;
    assert_int_equal(decode(f, 3000, 1), STATUS_TRUNCATED);
}

static void fast_survives_flipped_bits(void **state)
{
    struct fixture *f = *state;
    struct rng_seeded seeded;
    rng_seeded_init(&seeded, 6);
    struct rng rng = rng_from_seeded(&seeded);
    unsigned found = 0;
    for (unsigned i = 0; i < 2000; i++) {
        if (i % 500 == 0) {
            fill(f, dtypes[i / 500], i % 1000 ? SHAPE_BLOCKS : SHAPE_NEAR, 400,
                 i);
            plan(f, true);
            encode(f, 400);
        }
        size_t at = rng_below(&rng, f->stream_size);
        uint8_t bit = (uint8_t)(1 << rng_below(&rng, 8));
        f->stream[at] ^= bit;
        found += decode(f, 400, f->stream_size) != STATUS_OK;
        f->stream[at] ^= bit;
    }
    /* Flips among the raw bits change values only: for a hash to find. */
    assert_in_range(found, 200, 1999);
}

static void fast_enc_refuses_more_than_its_segment(void **state)
{
    struct fixture *f = *state;
    fill(f, DTYPE_F32, SHAPE_NEAR, 200, 7);
    plan(f, true);
    struct fast_enc *enc = fast_enc_new(&f->tables, 400);
    const uint8_t *base = f->base + 1, *target = f->target + 1;
    assert_int_equal(
        fast_enc_piece(enc, &f->coding, f->dtype, base, target, 101),
        STATUS_LIMIT);
    assert_int_equal(
        fast_enc_piece(enc, &f->coding, f->dtype, base, target, 100),
        STATUS_OK);
    assert_int_equal(fast_enc_piece(enc, &f->coding, f->dtype, base, target, 1),
                     STATUS_LIMIT);
    struct writer wr;
    writer_init(&wr, f->stream, sizeof(f->stream));
    fast_enc_finish(enc, &wr);
    f->stream_size = wr.size;
    f->count = 100;
    assert_int_equal(decode(f, 100, f->stream_size), STATUS_OK);
    assert_same(f);
    /* finish leaves it ready for the next segment. */
    assert_int_equal(
        fast_enc_piece(enc, &f->coding, f->dtype, base, target, 100),
        STATUS_OK);
    fast_enc_free(enc);
}

static void fast_coding_form_comes_back(void **state)
{
    struct fixture *f = *state;
    for (unsigned i = 0; i < 40; i++) {
        fill(f, dtypes[i % DTYPES], (enum shape)(i % SHAPE_COUNT), 4000, i);
        plan(f, i & 1);
        uint8_t buf[FAST_CODING_BYTES_MAX], tab[FAST_TABLES_BYTES_MAX];
        struct writer wr;
        struct reader rd;
        struct fast_coding coding;
        struct fast_tables tables;
        writer_init(&wr, buf, sizeof(buf));
        fast_coding_write(&f->coding, &wr);
        assert_int_equal(writer_status(&wr), STATUS_OK);
        reader_init(&rd, writer_view(&wr));
        assert_int_equal(
            fast_coding_read(&rd, f->dtype, f->tables.count, &coding),
            STATUS_OK);
        assert_int_equal(reader_finish(&rd), STATUS_OK);
        assert_memory_equal(&coding, &f->coding, sizeof(coding));
        for (size_t cut = 0; cut < wr.size; cut++) {
            reader_init(&rd, bytes_of(buf, cut));
            assert_int_equal(
                fast_coding_read(&rd, f->dtype, f->tables.count, &coding),
                STATUS_TRUNCATED);
        }
        writer_init(&wr, tab, sizeof(tab));
        fast_tables_write(&f->tables, &wr);
        reader_init(&rd, writer_view(&wr));
        assert_int_equal(fast_tables_read(&rd, &tables), STATUS_OK);
        assert_int_equal(reader_finish(&rd), STATUS_OK);
        assert_memory_equal(&tables, &f->tables, sizeof(tables));
        for (size_t cut = 0; cut < wr.size; cut++) {
            reader_init(&rd, bytes_of(tab, cut));
            assert_int_not_equal(fast_tables_read(&rd, &tables), STATUS_OK);
            assert_int_equal(tables.count, 0);
        }
    }
}

static void fast_coding_read_validates(void **state)
{
    (void)state;
    struct fast_coding good = {
        .mode = FAST_DELTA,
        .run_count = 2,
        .scale = 250,
        .direct_end = 90,
        .direct_first = 60,
        .run = {{0, 1}, {100, 2}},
    };
    assert_int_equal(read_coding(&good, DTYPE_F32, 3), STATUS_OK);
    assert_int_equal(read_coding(&good, DTYPE_F32, 2), STATUS_CORRUPT);
    assert_int_equal(read_coding(&good, DTYPE_I8, 3), STATUS_CORRUPT);
    struct fast_coding bad = good;
    bad.run[1].first_exponent = 0;
    assert_int_equal(read_coding(&bad, DTYPE_F32, 3), STATUS_CORRUPT);
    bad = good;
    bad.direct_end = 257;
    assert_int_equal(read_coding(&bad, DTYPE_F32, 3), STATUS_CORRUPT);
    bad = good;
    bad.direct_first = 512;
    assert_int_equal(read_coding(&bad, DTYPE_F32, 3), STATUS_CORRUPT);
    assert_int_equal(read_coding(&bad, DTYPE_F64, 3), STATUS_OK);
    bad = good;
    bad.shifted = 1;
    bad.shift_table = 2;
    assert_int_equal(read_coding(&bad, DTYPE_F32, 3), STATUS_OK);
    bad.shift_table = 3;
    assert_int_equal(read_coding(&bad, DTYPE_F32, 3), STATUS_CORRUPT);
    bad = (struct fast_coding){.mode = FAST_DELTA, .run_count = 1};
    assert_int_equal(read_coding(&bad, DTYPE_I32, 1), STATUS_OK);
    bad.shifted = 1;
    assert_int_equal(read_coding(&bad, DTYPE_I32, 1), STATUS_CORRUPT);
    uint8_t padded[] = {0x00, 0x00, 0x80};
    struct reader rd;
    struct fast_coding coding;
    reader_init(&rd, bytes_of(padded, 3));
    assert_int_equal(fast_coding_read(&rd, DTYPE_F32, 1, &coding),
                     STATUS_CORRUPT);
    padded[2] = 0;
    reader_init(&rd, bytes_of(padded, 3));
    assert_int_equal(fast_coding_read(&rd, DTYPE_F32, 1, &coding), STATUS_OK);
    reader_init(&rd, bytes_of(padded, 3));
    assert_int_equal(fast_coding_read(&rd, DTYPE_F32, 0, &coding),
                     STATUS_CORRUPT);
}

static void fast_tables_read_limits_the_count(void **state)
{
    (void)state;
    uint8_t many[FAST_TABLES_BYTES_MAX];
    struct reader rd;
    struct fast_tables tables;
    memset(many, 0xff, sizeof(many));
    many[0] = 17;
    reader_init(&rd, bytes_of(many, sizeof(many)));
    assert_int_equal(fast_tables_read(&rd, &tables), STATUS_LIMIT);
    assert_int_equal(tables.count, 0);
    many[0] = 0;
    reader_init(&rd, bytes_of(many, 1));
    assert_int_equal(fast_tables_read(&rd, &tables), STATUS_OK);
    assert_int_equal(tables.count, 0);
    many[0] = 0x20; /* padding */
    reader_init(&rd, bytes_of(many, 1));
    assert_int_equal(fast_tables_read(&rd, &tables), STATUS_CORRUPT);
}

static void fast_plan_estimates_what_the_encoder_makes(void **state)
{
    struct fixture *f = *state;
    for (unsigned d = 0; d < DTYPES; d++) {
        fill(f, dtypes[d], SHAPE_NEAR, 8000, d);
        plan(f, true);
        encode(f, 8000);
        uint64_t made = f->stream_size * 8;
        assert_in_range(f->bits, made - made / 50 - 300, made + made / 50);
        assert_true(made < 8000 * dtype_bits(dtypes[d]) * 3 / 5);
    }
}

/* Costs of many elements exceed 32 bits: 1 M elements by adding the same ones
 * again and again, in a tensor far longer than the fixture. */
static void fast_plan_estimates_long_tensors(void **state)
{
    struct fixture *f = *state;
    fill(f, DTYPE_F32, SHAPE_NEAR, 8000, 3);
    plan(f, true);
    uint64_t once = f->bits;
    struct fast_stats *stats = fast_stats_new();
    struct fast_plan *made = fast_plan_new();
    size_t index;
    fast_stats_reset(stats, DTYPE_F32);
    for (unsigned i = 0; i < 125; i++)
        fast_stats_add(stats, f->base + 1, f->target + 1, f->count);
    assert_int_equal(fast_plan_add(made, stats, &index), STATUS_OK);
    assert_int_equal(fast_plan_solve(made, &f->tables), STATUS_OK);
    uint64_t bits = fast_plan_coding(made, 0, &f->coding);
    assert_in_range(bits / 125, once - once / 20, once + once / 100);
    f->has_base = f->coding.mode == FAST_DELTA;
    encode(f, 8000);
    assert_in_range(f->stream_size * 8, bits / 125 - 100,
                    bits / 125 + bits / 125 / 50 + 300);
    fast_stats_free(stats);
    fast_plan_free(made);
}

static void fast_plan_takes_values_where_a_base_is_no_help(void **state)
{
    struct fixture *f = *state;
    struct rng_seeded seeded;
    rng_seeded_init(&seeded, 12);
    struct rng rng = rng_from_seeded(&seeded);
    fill(f, DTYPE_F32, SHAPE_NEAR, 8000, 1);
    for (size_t i = 0; i < f->count; i++)
        put(f->base + 1 + 4 * i, rng_u64(&rng), 4);
    plan(f, true);
    assert_int_equal(f->coding.mode, FAST_FULL);
}

static void fast_plan_unchanged_costs_nearly_nothing(void **state)
{
    struct fixture *f = *state;
    fill(f, DTYPE_F32, SHAPE_EQUAL, 16000, 1);
    plan(f, true);
    encode(f, 16000);
    assert_true(f->stream_size < 16);
    struct fast_stats *stats = fast_stats_new();
    fast_stats_reset(stats, DTYPE_F32);
    fast_stats_add(stats, f->base + 1, f->target + 1, f->count);
    assert_int_equal(fast_stats_changed(stats), 0);
    f->target[5] ^= 1;
    fast_stats_reset(stats, DTYPE_F32);
    fast_stats_add(stats, f->base + 1, f->target + 1, f->count);
    assert_int_equal(fast_stats_changed(stats), 1);
    fast_stats_free(stats);
}

static void fast_small_models_have_small_headers(void **state)
{
    struct fixture *f = *state;
    struct fast_stats *stats = fast_stats_new();
    struct fast_plan *made = fast_plan_new();
    size_t index, codings = 0;
    for (unsigned i = 0; i < 10; i++) {
        fill(f, DTYPE_F32, SHAPE_NEAR, 100 + 150 * i, i);
        fast_stats_reset(stats, DTYPE_F32);
        fast_stats_add(stats, f->base + 1, f->target + 1, f->count);
        assert_int_equal(fast_plan_add(made, stats, &index), STATUS_OK);
    }
    assert_int_equal(fast_plan_solve(made, &f->tables), STATUS_OK);
    uint8_t buf[FAST_TABLES_BYTES_MAX];
    struct writer wr;
    writer_init(&wr, buf, sizeof(buf));
    fast_tables_write(&f->tables, &wr);
    assert_in_range(wr.size, 1, 100);
    writer_init(&wr, buf, sizeof(buf));
    for (unsigned i = 0; i < 10; i++) {
        (void)fast_plan_coding(made, i, &f->coding);
        fast_coding_write(&f->coding, &wr);
    }
    codings = wr.size;
    assert_in_range(codings, 10, 120);
    fast_stats_free(stats);
    fast_plan_free(made);
}

static void fast_plan_of_nothing_has_no_tables(void **state)
{
    struct fixture *f = *state;
    struct fast_plan *made = fast_plan_new();
    assert_int_equal(fast_plan_solve(made, &f->tables), STATUS_OK);
    assert_int_equal(f->tables.count, 0);
    fast_plan_free(made);
    struct fast_dec *dec = fast_dec_new(&f->tables);
    struct fast_enc *enc = fast_enc_new(&f->tables, 1000);
    assert_non_null(dec);
    assert_non_null(enc);
    fast_dec_free(dec);
    fast_enc_free(enc);
    fast_dec_free(NULL);
    fast_enc_free(NULL);
    fast_plan_free(NULL);
    fast_stats_free(NULL);
    assert_true(fast_dtype_ok(DTYPE_F64));
    assert_false(fast_dtype_ok(DTYPE_F16));
    assert_false(fast_dtype_ok(DTYPE_I8));
}

/* Numbers that the golden streams hold, made anew by integers alone. */
static void golden_fill(struct fixture *f, enum dtype dtype, size_t count)
{
    uint32_t x = 12345;
    unsigned width = dtype_bits(dtype);
    f->dtype = dtype;
    f->count = count;
    for (uint32_t i = 0; i < f->count; i++) {
        x = x * 1664525u + 1013904223u;
        uint32_t from = 0x3c000000u + (x >> 5 & 0x03ffffffu);
        uint32_t to = from + (x >> 20 & 0x1ff) - 256;
        if (i % 7 == 0)
            to = from | x << 31;
        if (i % 31 == 5)
            to = 0x7fc00001u;
        if (i % 13 == 4)
            from = i & 1 ? 0x80000000u : 0;
        put(f->base + 1 + i * width / 8, from >> (32 - width), width / 8);
        put(f->target + 1 + i * width / 8, to >> (32 - width), width / 8);
    }
}

static uint8_t nibble(char c)
{
    return (uint8_t)(c <= '9' ? c - '0' : c - 'a' + 10);
}

static void golden_decode(struct fixture *f, const char *hex)
{
    uint8_t all[2048];
    size_t size = strlen(hex) / 2;
    assert_true(size <= sizeof(all));
    for (size_t i = 0; i < size; i++)
        all[i] = (uint8_t)(nibble(hex[2 * i]) << 4 | nibble(hex[2 * i + 1]));
    struct reader rd;
    reader_init(&rd, bytes_of(all, size));
    assert_int_equal(fast_tables_read(&rd, &f->tables), STATUS_OK);
    assert_int_equal(
        fast_coding_read(&rd, f->dtype, f->tables.count, &f->coding),
        STATUS_OK);
    f->has_base = f->coding.mode == FAST_DELTA;
    size_t at = reader_offset(&rd);
    f->stream_size = size - at;
    memcpy(f->stream, all + at, size - at);
    assert_int_equal(decode(f, 10, f->stream_size), STATUS_OK);
    assert_same(f);
}

static void fast_golden_difference_decodes(void **state)
{
    golden_fill(*state, DTYPE_F32, 96);
    golden_decode(
        *state,
        "01c20084713b14be9aab31e48e01053754ec90e3861a378f19813d01c2010059"
        "770069901e1372b483172206793c49560b63473525c4660dc6c8b51253476cd1"
        "4581cdcd26bd69c81066123e1938b5129cf1fb3086a3f7080000fef3e2128cf1"
        "4ade9d696a7d2a3ba31d70a68fd0536ff647b724900e29fca4d352165fd9df00"
        "00e0bf4735ce20c92e9067670ec2c438f7728e2ba945befa1caaecfc004e4492"
        "f496660f0000fe2b809aa213bea963df8787eb7d9145c3889e679f5c8c2c4226"
        "ad715e0cf15041c803");
}

static void fast_golden_value_decodes(void **state)
{
    golden_fill(*state, DTYPE_F32, 96);
    golden_decode(
        *state,
        "a1fffff15e63344fdb7054e74208c40100619802002e4001001f50757e879136"
        "bfd3859a4f189439d1f50ee38bd9e681e9de564639bb56db356ae2715c311591"
        "b5977c2cdaac6ca009c4915319e321e030ccee1185a3f7080000fec35c79cf25"
        "18b142135e0209c69e117aa799ad7ecee5db42b88c9978758dfbafb2335a1ebe"
        "3f87a18fa1c3fc47e8716d21dacbfed56e3148d845500d27ab075f2973cdb449"
        "7248e133d173f82ccee2b52af778d5165f390000f8cff13b0f186045f81af987"
        "1ed99b7f001b2d49768150619e2d8fc221d765dc3a8a9840c7c438d4f14e1083"
        "33eee04debd8a54e57011b5d92af3ebde77fea0c56c94b3b470091cced094b04"
        "4e114912fad9498f348a4dbb0000e03f55751f5053d4ddea2cc070b74cf1db6e"
        "4dbc8725eca976d2b262e2e15a586d40772d778c8ba2cb4d30a2e7ac0c542af0"
        "8c7c5f4ed48ec4ca82b027a361482c7420c29bb4463b012643b5900737a78290"
        "07");
}

static void fast_golden_shifts_decode(void **state)
{
    struct fixture *f = *state;
    golden_fill(f, DTYPE_F32, 500);
    golden_decode(
        f, "e3c108048ee3ce0ccbbc17bf0694ff0fa3fdff0f43aaa55a4bba481852d56522"
           "5d8047444444444444444444444444444404a3d413401c020f00ea03fc0602f0"
           "670100ff6f0200cd07f689bf71c7ca13051000b765d7dff3046cee9c451ae3ce"
           "d4df978e673e9b13ba9743baa43701bad2b47d4b621aa5a118724318fbd157d8"
           "576fb38ec3b552dd194a514eeee36772d435b9a62f50be32e09912fa19dd3ff6"
           "5f496f0a84f3ef5e37d930e087ff59cd1fda31f06a0d7f8fbfebe300e5d48f20"
           "4f8973ee77cdc0d547708fc8d043a4905d37a39956ebc273ce94d6f61742e7aa"
           "87c0096c20ec186d39919b1651c7685467936cba34ed92e50fe77889177345ed"
           "f7dd77e217515af387caebe4e7c1bb9eb4c72af5775ac9568bc459314be16f86"
           "a9d08f2da28b17efaff5c3198bc961cddf5333fe8f914b8981f01fe2cf331194"
           "c4dc9d0de046dcc094e2c8293c19e3213cc061583c311cbd470000f09f179760"
           "8c97159a98e735f68ce2619a2edf963cfa5476463be04c1fa1a7deec8f6e4994"
           "32d7f2201d52f8267a0e3c4e7b8f57c9c3e22bfb1b0000fcf7a8c6b137ffe291"
           "6417840af3f364670ec2c438f7720e77f0264f492df2d5e75067b0c2c3ce0fe0"
           "442449afd0cf5e0fcd1e0000fc57003545ef56e779267cd37b58120ffb3e3c5c"
           "ef8b2c1a46f43cfbe462c49058ccd38108cfc3a435cebb1360ce63a816caf350"
           "41c8a71a0100c07ff5b03fefb3ec09df5e16af5c1e0e3688fe5a368f87ca3889"
           "f821230f78e65b74165ea108eccfa0d98227628cef040000ffc134f5a379a6a8"
           "2e605fb4bcd1b640ac2cac077378d979fad39a6ecb16b8161f4af3884a62f254"
           "e4362f4d1e456de45f9f270000f86fc11baf77a02694a7125080471f4e99476e"
           "bf19d87d79bccfc76d3cc6a50d3c90fee4753baa58dcab7ca9c1431108e8f26c"
           "878e124f9ee752e69887e0e29b670ebb556c1fd8e4699ed7aaf8ce030080ff34"
           "c2338b2eada0bf6f2524afa6fbad77e774797a094279f1ccfdd59aee151b17f1"
           "6a640f080000fe9b000e4cd5bc17e0d715b3bfbc8ebc03cf52cb37e371b5148a"
           "f3f8dd31c9c72f79c23fd948cc535c1552baf43e5aab210f6d7ba722f3d0d2c6"
           "020080ff120d146d5bf32dbd0719293c5ec77e3574203bc627e90e4a907afdfa"
           "e85c105aac6ad04e78c60e0000fe730ca9a4b85f612c5a1c8f882c57aac0d864"
           "61a8a502fef1dbd6ec32608e079240316f0000f01f3e900291170dd5f1481228"
           "3a326ff14caedfe8b70d1df8ece041765f9d9f7826aab5efd827570b82775e35"
           "120000fce7fd97a3e1d19839e369124ae0f1cb68e2c94b78db162af62702ef32"
           "b1fe32e3593e75157a3c0b585ccbe201c9e8bdf1a3f889bd2c424d7b0000f09f"
           "f89f1a8f465e560c192ae2f3ce1b0593850078e85a9d6f84e7839f98a7cbc1e9"
           "042ebe2245cabd4ba43e634878f0041c3c5a0000f09f4f4d6f9af0348efa84be"
           "b79f60f69d7844e4088ff13ac5f0e8e5fd863be77df99bd5a8c79332126fb2f3"
           "cc716cf2709c481445cff68e670a0000fe0bf98d467f2bc81254ce963124391e"
           "6ce81abb43e2b166ede771ec56187abb6a7a69c7e336b6c0e63fe2e953bbe4b9"
           "2a7db0f0106272124f942aee8e87e9e6c3370000f86f83503443b8d479120871"
           "79dcc102485fb742b9732f08124c034e0a08794c15f8cc6ac7d52b6cac17f2cf"
           "8a920dc903");
    assert_true(f->coding.shifted);
}

/* Four lanes, two tables, three runs, values below an exponent. */
static void fast_golden_lanes_decode(void **state)
{
    golden_fill(*state, DTYPE_F32, 500);
    golden_decode(
        *state,
        "e2c108048ee3ce0ccbbc17bf0694ff0fa300c6eeaeaaaaaa90ffffffff7f453d"
        "79cc21f2620f00e604b605002e9f6d0063372d06c43f0600cf4fcd00f4bec5af"
        "c497b5ac4510443d20ebffefdb65dddf3997ffa72f10c76ffc15256bc46fbebf"
        "1ed5ff3fd24f8d6e8376af685fc1f9bec9df1bafc8f7f68f1e46383d5573182f"
        "c837c6ac14d2ea0c310ff3d5cbc762d90a2ecd8fc41fcd2f0fe0c89ffebfb8f6"
        "302e4d10ba8f05658563c527e737019e6097f9be8880eafeeb9e2f7d8b53ca7f"
        "bb13ff5f756fcb3f0997af8d482ec1656a96b3cb2ee7d6a494ff769edf6c6fc2"
        "f489cbb7cfef1554fc3cf0bf6c2e7850e415730d5168bd78fd1710dd1217fbfe"
        "f474e03fc4ff89603e94fe6ffe5746978ad9ecc7f5bec48f616bc6b7ecd7cdf7"
        "c55ff88beb578dec1b9b516757ea8a36cf77d1dfde6fb61ac447214c462dce67"
        "62851186dafe4e8ffb98dc4f2d3f7bcb826ac417d4cfd491cebfc5eff9f7226a"
        "8370b6ee085ab46393bccd67e3afc4915319e321e0302c86a3f7080000fef3ce"
        "2518252f63cf88696a7d2a3ba31d70a68fd0536ff647b724900e297c267a8ed3"
        "52165fd9df0000e0bf47350e7bf34f925d20cfce1c848971eee51c57528b7cf5"
        "39a83358d9f9019c8824e92dcd1e0000fc57003545277c93f7b0847d1f1eaef7"
        "45160d237a9e7d7231b20899b4c67931c44305219f6a040000ffd5c3febccfb2"
        "277c7b490e3688deb56c4e659c44fc20238f392e3a2b1481fd3168b622c6f84e"
        "0000f01fcc38457501fba2e58db6056265613d28eb4f6bba2d5be0aa14151929"
        "6aea0000e0bf056fbc5e4225a08092db6fafe7e396716903e94f5eb7a38ac5bd"
        "942f350add0e1d873f87dd2ab2e679ad8aef3c0000f84f233cb3e8d20afafb56"
        "42f26abadf1aed2508e5c533f7576bbad7d8b8d0c81e100000fc37011c98aa79"
        "2fc0af2b667f793af2cea2966fba147e774c1f7e49715548e9d2fba26d112d6d"
        "2c0000f82fd140d1b635dfd2eb2023f53af6aba103d9313e49775082d4ebd747"
        "e782d062a506ed1c3b0000f8cf31a492e27e8562d1621159ae5481b1c9c2504b"
        "05fce3b7add965c01c0f248162de0000e03f7c2005225734544b12287264de26"
        "d76ff4db861af8ec905dafcecf44b5f61dfbe46a41f0ceab46020080ffbcfee5"
        "681a33a726a1845f469397f0b62dd4d99fc83261fd652e1f7515fa022cae6520"
        "19bd377e143fb19745a8690f0000fe23fea76ae465c590a1223eefbc5150b210"
        "40d7d4f9c62e07a713b8f88a1429f72e91fa0c43c20b3878b40000e03f9f32bd"
        "69368efa84beb79fc0ec3b227284c7f03ac57a79bfe1ce795ffeca6ad4534619"
        "e33891280a3ddb7b0a0000fe0bf98d467f2bc81254ce16634832367419bb43ec"
        "8edd0a436f57995eda6e630bd8fc07bf52fa600962721245157733dd7cf80600"
        "00ff6d108a264a74070b207ddd0ae5cebd2048300d80a9029f59edb87a858df5"
        "42fe5905");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fast_brings_every_shape_back),
        cmocka_unit_test(fast_blocks_have_shifts),
        cmocka_unit_test(fast_wrong_shifts_are_found),
        cmocka_unit_test(fast_pieces_may_be_cut_anywhere),
        cmocka_unit_test(fast_every_small_count_comes_back),
        cmocka_unit_test(fast_decodes_in_place),
        cmocka_unit_test(fast_leaves_the_reader_past_its_stream),
        cmocka_unit_test(fast_mixes_tensors_in_a_segment),
        cmocka_unit_test(fast_takes_pieces_of_tensors_in_turn),
        cmocka_unit_test(fast_any_valid_coding_codes_any_values),
        cmocka_unit_test(fast_integers_cost_what_changes),
        cmocka_unit_test(fast_variants_agree_on_hostile_streams),
        cmocka_unit_test(fast_every_truncation_is_found),
        cmocka_unit_test(fast_wrong_counts_are_found),
        cmocka_unit_test(fast_survives_flipped_bits),
        cmocka_unit_test(fast_enc_refuses_more_than_its_segment),
        cmocka_unit_test(fast_coding_form_comes_back),
        cmocka_unit_test(fast_coding_read_validates),
        cmocka_unit_test(fast_tables_read_limits_the_count),
        cmocka_unit_test(fast_plan_estimates_what_the_encoder_makes),
        cmocka_unit_test(fast_plan_estimates_long_tensors),
        cmocka_unit_test(fast_plan_takes_values_where_a_base_is_no_help),
        cmocka_unit_test(fast_plan_unchanged_costs_nearly_nothing),
        cmocka_unit_test(fast_small_models_have_small_headers),
        cmocka_unit_test(fast_plan_of_nothing_has_no_tables),
        cmocka_unit_test(fast_golden_difference_decodes),
        cmocka_unit_test(fast_golden_value_decodes),
        cmocka_unit_test(fast_golden_shifts_decode),
        cmocka_unit_test(fast_golden_lanes_decode),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
