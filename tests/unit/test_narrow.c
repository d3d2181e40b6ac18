/* The narrow coder end to end: every bit pattern comes back, whatever the
 * prediction and its losses, however pieces and segments are cut; damage is
 * found or harmless and the same in every variant; headers are validated. */
#include "codec/lossless/narrow.h"

#include "codec/base/bits.h"
#include "codec/base/rng.h"
#include "codec/lossless/narrow_context.h"

#include "tests/support/cmocka.h"

#include <stdlib.h>
#include <string.h>

#define ELEMS_MAX (128u * 1024)
#define BYTES_MAX (2 * ELEMS_MAX)

static const enum dtype dtypes[] = {
    DTYPE_F16, DTYPE_BF16, DTYPE_F8_E4M3, DTYPE_F8_E5M2, DTYPE_I16,
    DTYPE_U16, DTYPE_I8,   DTYPE_U8,      DTYPE_BOOL,    DTYPE_F8_E8M0};
#define DTYPES (sizeof(dtypes) / sizeof(*dtypes))

/* What predicts the target: nothing, elements, elements and their losses. */
enum help {
    HELP_NONE,
    HELP_PRED,
    HELP_LOST,
    HELP_COUNT
};

/* One tensor and what was made of it; runs start at odd addresses. */
struct fixture {
    enum dtype dtype;
    enum help help;
    size_t count;
    uint8_t pred[BYTES_MAX + 1];
    uint8_t lost[ELEMS_MAX + 1];
    uint8_t target[BYTES_MAX + 1];
    uint8_t out[BYTES_MAX + 1];
    uint8_t other[BYTES_MAX + 1];
    uint8_t stream[3 * BYTES_MAX];
    size_t stream_size;
    struct narrow_tables tables;
    struct narrow_coding coding;
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

static const uint8_t *pred_at(const struct fixture *f, size_t i)
{
    return f->help == HELP_NONE ? NULL
                                : f->pred + 1 + i * narrow_elem_bytes(f->dtype);
}

static const uint8_t *lost_at(const struct fixture *f, size_t i)
{
    return f->help == HELP_LOST ? f->lost + 1 + i : NULL;
}

static void put(struct fixture *f, uint8_t *run, size_t i, uint32_t v)
{
    uint8_t *p = run + 1 + i * narrow_elem_bytes(f->dtype);
    p[0] = (uint8_t)v;
    if (narrow_elem_bytes(f->dtype) == 2)
        p[1] = (uint8_t)(v >> 8);
}

static void plan(struct fixture *f)
{
    struct narrow_stats *stats = narrow_stats_new();
    struct narrow_plan *made = narrow_plan_new();
    size_t index, half = f->count / 2;
    assert_non_null(stats);
    assert_non_null(made);
    narrow_stats_reset(stats, f->dtype);
    narrow_stats_add(stats, pred_at(f, 0), lost_at(f, 0), f->target + 1, half);
    narrow_stats_add(stats, pred_at(f, half), lost_at(f, half),
                     f->target + 1 + half * narrow_elem_bytes(f->dtype),
                     f->count - half);
    assert_int_equal(narrow_stats_count(stats), f->count);
    assert_int_equal(narrow_plan_add(made, stats, &index), STATUS_OK);
    assert_int_equal(narrow_plan_solve(made, &f->tables), STATUS_OK);
    f->bits = narrow_plan_coding(made, index, &f->coding);
    narrow_stats_free(stats);
    narrow_plan_free(made);
}

/* Through bytes and back, as a reader gets them. */
static void reread(struct fixture *f)
{
    uint8_t buf[NARROW_TABLES_BYTES_MAX + NARROW_CODING_BYTES_MAX];
    uint8_t again[sizeof(buf)];
    struct writer wr;
    struct reader rd;
    writer_init(&wr, buf, sizeof(buf));
    narrow_tables_write(&f->tables, &wr);
    assert_true(wr.size <= NARROW_TABLES_BYTES_MAX);
    size_t tables_size = wr.size;
    narrow_coding_write(&f->coding, f->dtype, &wr);
    assert_int_equal(writer_status(&wr), STATUS_OK);
    assert_true(wr.size - tables_size <= NARROW_CODING_BYTES_MAX);
    struct narrow_tables tables;
    struct narrow_coding coding;
    reader_init(&rd, writer_view(&wr));
    assert_int_equal(narrow_tables_read(&rd, &tables), STATUS_OK);
    assert_int_equal(narrow_coding_read(&rd, f->dtype, tables.count, &coding),
                     STATUS_OK);
    assert_int_equal(reader_finish(&rd), STATUS_OK);
    size_t size = wr.size;
    writer_init(&wr, again, sizeof(again));
    narrow_tables_write(&tables, &wr);
    narrow_coding_write(&coding, f->dtype, &wr);
    assert_int_equal(wr.size, size);
    assert_memory_equal(again, buf, size);
    f->tables = tables;
    f->coding = coding;
}

static void encode(struct fixture *f, size_t piece)
{
    size_t bytes = narrow_elem_bytes(f->dtype);
    struct narrow_enc *enc = narrow_enc_new(&f->tables, BYTES_MAX);
    struct writer wr;
    assert_non_null(enc);
    writer_init(&wr, f->stream, sizeof(f->stream));
    for (size_t i = 0; i < f->count; i += piece) {
        size_t n = f->count - i < piece ? f->count - i : piece;
        assert_int_equal(narrow_enc_piece(enc, &f->coding, f->dtype,
                                          pred_at(f, i), lost_at(f, i),
                                          f->target + 1 + i * bytes, n),
                         STATUS_OK);
    }
    narrow_enc_finish(enc, &wr);
    assert_int_equal(writer_status(&wr), STATUS_OK);
    assert_true(wr.size <= 160 + 3 * f->count * bytes);
    f->stream_size = wr.size;
    narrow_enc_free(enc);
}

/* Decodes size bytes of the stream in pieces. */
static enum status decode(struct fixture *f, size_t size, size_t piece,
                          bool plain, uint8_t *out)
{
    size_t bytes = narrow_elem_bytes(f->dtype);
    struct narrow_dec *dec = narrow_dec_new(&f->tables);
    assert_non_null(dec);
    if (plain)
        narrow_dec_plain(dec);
    /* A buffer of its own: reading past the end shows. */
    uint8_t *stream = malloc(size + 1);
    struct reader rd;
    memcpy(stream, f->stream, size);
    reader_init(&rd, bytes_of(stream, size));
    enum status status = narrow_dec_begin(dec, &rd);
    memset(out, 0xa5, f->count * bytes);
    for (size_t i = 0; !status && i < f->count; i += piece) {
        size_t n = f->count - i < piece ? f->count - i : piece;
        narrow_dec_piece(dec, &f->coding, f->dtype, pred_at(f, i),
                         lost_at(f, i), out + i * bytes, n);
    }
    if (!status)
        status = narrow_dec_finish(dec);
    free(stream);
    narrow_dec_free(dec);
    return status;
}

static void check(struct fixture *f, size_t piece)
{
    size_t size = f->count * narrow_elem_bytes(f->dtype);
    for (int plain = 0; plain < 2; plain++) {
        assert_int_equal(
            decode(f, f->stream_size, piece, plain != 0, f->out + 1),
            STATUS_OK);
        assert_memory_equal(f->out + 1, f->target + 1, size);
    }
}

static void round_trip(struct fixture *f)
{
    plan(f);
    reread(f);
    encode(f, f->count ? f->count : 1);
    check(f, f->count ? f->count : 1);
}

enum shape {
    SHAPE_NEAR,   /* a small change of each value */
    SHAPE_WIDE,   /* changes of all sizes */
    SHAPE_SPARSE, /* of one in 100 */
    SHAPE_RANDOM, /* any bits */
    SHAPE_EQUAL,
    SHAPE_COUNT
};

static uint32_t changed(struct rng *rng, enum shape shape, uint32_t from)
{
    uint32_t by = (uint32_t)rng_u64(rng);
    switch (shape) {
    case SHAPE_NEAR:
        return from + (by & 3) + (by >> 2 & 3) - 3;
    case SHAPE_WIDE:
        return from + (by >> 8 & ((1u << (by & 15)) - 1)) * (by & 16 ? 1 : ~0u);
    case SHAPE_SPARSE:
        return by % 100 ? from : from ^ (by >> 8) % 100;
    case SHAPE_RANDOM:
        return by;
    default:
        return from;
    }
}

static void fill(struct fixture *f, enum dtype dtype, enum help help,
                 enum shape shape, size_t count)
{
    struct rng_seeded seeded;
    rng_seeded_init(&seeded, shape * 100u + dtype);
    struct rng rng = rng_from_seeded(&seeded);
    f->dtype = dtype;
    f->help = help;
    f->count = count;
    unsigned width = 8 * narrow_elem_bytes(dtype);
    for (size_t i = 0; i < count; i++) {
        /* Sums of four look like weights. */
        uint64_t r = rng_u64(&rng);
        uint32_t from = (uint32_t)((r & 0xffff) + (r >> 16 & 0xffff) +
                                   (r >> 32 & 0xffff) + (r >> 48)) /
                        4;
        from >>= 16 - width;
        if (dtype == DTYPE_F16 || dtype == DTYPE_BF16) /* few exponents */
            from = (from & 0x87ff) | 0x3000;
        put(f, f->pred, i, from);
        put(f, f->target, i, changed(&rng, shape, from));
        f->lost[1 + i] = (uint8_t)(rng_u64(&rng) & 7);
    }
}

static void narrow_brings_every_shape_back(void **state)
{
    struct fixture *f = *state;
    for (unsigned d = 0; d < DTYPES; d++)
        for (unsigned help = 0; help < HELP_COUNT; help++)
            for (unsigned shape = 0; shape < SHAPE_COUNT; shape++) {
                fill(f, dtypes[d], help, shape, 20011);
                round_trip(f);
            }
}

/* Each pattern with itself and with far ones as prediction. */
static void narrow_brings_every_pattern_back(void **state)
{
    struct fixture *f = *state;
    for (unsigned d = 0; d < DTYPES; d++)
        for (unsigned help = 0; help < HELP_COUNT; help++) {
            f->dtype = dtypes[d];
            f->help = help;
            f->count = ELEMS_MAX;
            for (uint32_t i = 0; i < ELEMS_MAX; i++) {
                bool narrow = narrow_elem_bytes(f->dtype) == 1;
                uint32_t from = narrow ? i >> 8 : i;
                put(f, f->target, i, i);
                put(f, f->pred, i, i < 65536 || narrow ? from : i * 40503u);
                f->lost[1 + i] = (uint8_t)(i % 8);
            }
            round_trip(f);
        }
}

static void narrow_pieces_may_be_cut_anywhere(void **state)
{
    struct fixture *f = *state;
    static const size_t cuts[] = {1, 3, 31, 32, 33, 1000, 2048, 2049, 5000};
    for (unsigned d = 0; d < 8; d += 2)
        for (unsigned i = 0; i < sizeof(cuts) / sizeof(*cuts); i++) {
            fill(f, dtypes[d], HELP_LOST, SHAPE_WIDE, 5000);
            plan(f);
            encode(f, cuts[(i + 4) % 9]);
            check(f, cuts[i]);
        }
}

static void narrow_every_small_count_comes_back(void **state)
{
    struct fixture *f = *state;
    for (size_t count = 0; count < 70; count++)
        for (unsigned help = 0; help < HELP_COUNT; help++) {
            fill(f, count % 2 ? DTYPE_BF16 : DTYPE_I8, help, SHAPE_WIDE, count);
            round_trip(f);
        }
}

static void narrow_decodes_in_place(void **state)
{
    struct fixture *f = *state;
    for (unsigned d = 0; d < DTYPES; d++) {
        fill(f, dtypes[d], HELP_LOST, SHAPE_WIDE, 10000);
        plan(f);
        encode(f, 10000);
        struct narrow_dec *dec = narrow_dec_new(&f->tables);
        struct reader rd;
        assert_non_null(dec);
        reader_init(&rd, bytes_of(f->stream, f->stream_size));
        assert_int_equal(narrow_dec_begin(dec, &rd), STATUS_OK);
        narrow_dec_piece(dec, &f->coding, f->dtype, f->pred + 1, f->lost + 1,
                         f->pred + 1, f->count);
        assert_int_equal(narrow_dec_finish(dec), STATUS_OK);
        assert_memory_equal(f->pred + 1, f->target + 1,
                            f->count * narrow_elem_bytes(f->dtype));
        narrow_dec_free(dec);
    }
}

static void narrow_sides_of_losses_pay(void **state)
{
    struct fixture *f = *state;
    fill(f, DTYPE_BF16, HELP_LOST, SHAPE_EQUAL, 50000);
    for (size_t i = 0; i < f->count; i++) {
        /* Far from the middle the next number is as likely as pred. */
        unsigned level = f->lost[1 + i];
        uint32_t v = load_le16(f->pred + 1 + 2 * i);
        if (level == 7 && i % 16 < 8)
            v += v >> 15 ? 0xffffu : 1;
        if (level == 0 && i % 16 < 8)
            v += v >> 15 ? 1 : 0xffffu;
        put(f, f->target, i, v);
    }
    round_trip(f);
    size_t with = f->stream_size;
    assert_true(f->coding.has_lost);
    f->help = HELP_PRED;
    round_trip(f);
    assert_false(f->coding.has_lost);
    assert_true(with * 10 < f->stream_size * 7);
}

static void narrow_ignores_losses_a_coding_does_not_use(void **state)
{
    struct fixture *f = *state;
    fill(f, DTYPE_F16, HELP_PRED, SHAPE_NEAR, 3000);
    plan(f);
    encode(f, 3000);
    f->help = HELP_LOST;
    check(f, 3000);
}

/* A valid coding of any kind, whatever suits. */
static void random_coding(struct rng *rng, struct fixture *f)
{
    struct narrow_coding *coding = &f->coding;
    struct narrow_format format;
    assert_true(narrow_format(f->dtype, &format));
    bool real = format.mantissa_bits;
    memset(coding, 0, sizeof(*coding));
    coding->mode = f->help == HELP_NONE ? NARROW_FULL : NARROW_DELTA;
    coding->has_lost = f->help == HELP_LOST;
    coding->run_count = 1;
    if (f->help != HELP_NONE)
        coding->run_count =
            (uint8_t)(1 + rng_below(rng, f->help == HELP_LOST ? 8 : 16));
    if (!real)
        coding->row = (uint8_t)rng_below(rng, NARROW_ROW_MAX + 1);
    if (!real && f->help == HELP_NONE)
        coding->centre = (uint8_t)rng_below(rng, 2);
    if (real && f->help != HELP_NONE) {
        coding->scale = (uint16_t)rng_below(rng, 512);
        coding->direct_end = (uint16_t)rng_below(rng, 257);
        if (rng_below(rng, 2))
            coding->direct_end = 0;
    }
    if (real && f->help == HELP_NONE)
        coding->direct_end = 256;
    if (coding->direct_end)
        coding->direct_first = (uint16_t)rng_below(rng, format.half_octaves);
    unsigned exponent = 0;
    for (unsigned i = 0; i < coding->run_count; i++) {
        struct narrow_run *run = &coding->run[i];
        run->first_exponent = (uint8_t)exponent;
        exponent += 1 + (unsigned)rng_below(rng, 15);
        for (unsigned side = 0; side < 4; side++)
            run->table[side] = coding->has_lost || !side
                                   ? (uint8_t)rng_below(rng, f->tables.count)
                                   : run->table[0];
    }
}

static void narrow_any_valid_coding_codes_any_values(void **state)
{
    struct fixture *f = *state;
    struct rng_seeded seeded;
    rng_seeded_init(&seeded, 5);
    struct rng rng = rng_from_seeded(&seeded);
    for (unsigned round = 0; round < 150; round++) {
        fill(f, dtypes[round % DTYPES], round / DTYPES % 3, round % SHAPE_COUNT,
             3000);
        plan(f);
        random_coding(&rng, f);
        reread(f);
        encode(f, 3000);
        check(f, 999);
    }
}

static void narrow_variants_agree_on_hostile_streams(void **state)
{
    struct fixture *f = *state;
    struct rng_seeded seeded;
    rng_seeded_init(&seeded, 6);
    struct rng rng = rng_from_seeded(&seeded);
    for (unsigned round = 0; round < 120; round++) {
        fill(f, dtypes[round % DTYPES], round / DTYPES % 3, round % SHAPE_COUNT,
             7000);
        plan(f);
        random_coding(&rng, f);
        encode(f, 7000);
        for (unsigned i = 0; i < 8; i++) {
            size_t at = (size_t)rng_below(&rng, f->stream_size);
            f->stream[at] ^= (uint8_t)(1u << rng_below(&rng, 8));
            enum status a = decode(f, f->stream_size, 7000, false, f->out + 1);
            enum status b = decode(f, f->stream_size, 999, true, f->other + 1);
            assert_int_equal(a, b);
            assert_memory_equal(f->out + 1, f->other + 1,
                                f->count * narrow_elem_bytes(f->dtype));
        }
    }
}

static void narrow_every_truncation_is_found(void **state)
{
    struct fixture *f = *state;
    fill(f, DTYPE_BF16, HELP_LOST, SHAPE_WIDE, 300);
    plan(f);
    encode(f, 300);
    for (size_t size = 0; size < f->stream_size; size++)
        assert_int_equal(decode(f, size, 300, false, f->out + 1),
                         STATUS_TRUNCATED);
}

static void narrow_wrong_counts_are_found(void **state)
{
    struct fixture *f = *state;
    fill(f, DTYPE_F16, HELP_PRED, SHAPE_RANDOM, 3000);
    plan(f);
    encode(f, 3000);
    f->count = 2900;
    assert_int_equal(decode(f, f->stream_size, 3000, false, f->out + 1),
                     STATUS_CORRUPT);
    f->count = 3100;
    assert_int_equal(decode(f, f->stream_size, 3100, false, f->out + 1),
                     STATUS_TRUNCATED);
    f->stream[0] = 0;
    assert_int_equal(decode(f, 1, 3100, false, f->out + 1), STATUS_TRUNCATED);
    f->count = 0;
    assert_int_equal(decode(f, 1, 1, false, f->out + 1), STATUS_OK);
}

static void narrow_enc_refuses_more_than_its_segment(void **state)
{
    struct fixture *f = *state;
    fill(f, DTYPE_I8, HELP_PRED, SHAPE_NEAR, 1001);
    plan(f);
    struct narrow_enc *enc = narrow_enc_new(&f->tables, 1000);
    assert_non_null(enc);
    assert_int_equal(narrow_enc_piece(enc, &f->coding, f->dtype, pred_at(f, 0),
                                      NULL, f->target + 1, 1001),
                     STATUS_LIMIT);
    assert_int_equal(narrow_enc_piece(enc, &f->coding, f->dtype, pred_at(f, 0),
                                      NULL, f->target + 1, 1000),
                     STATUS_OK);
    assert_int_equal(narrow_enc_piece(enc, &f->coding, f->dtype, pred_at(f, 0),
                                      NULL, f->target + 1, 1),
                     STATUS_LIMIT);
    narrow_enc_free(enc);
}

static void narrow_takes_what_has_at_most_16_bits(void **state)
{
    (void)state;
    for (unsigned d = 0; d < DTYPE_COUNT; d++) {
        unsigned bits = dtype_bits(d);
        assert_int_equal(narrow_dtype_ok(d), bits && bits <= 16);
        if (bits && bits <= 16)
            assert_int_equal(narrow_elem_bytes(d), bits <= 8 ? 1 : 2);
    }
    assert_false(narrow_dtype_ok(DTYPE_COUNT));
}

/* Bits as "Narrow rows" in codec/FORMAT.md has them. */
struct field {
    uint32_t value;
    unsigned bits;
};

static enum status read_fields(const struct field *field, size_t count,
                               enum dtype dtype, unsigned table_count)
{
    uint8_t buf[64];
    struct writer wr;
    struct bit_writer bw;
    struct reader rd;
    struct narrow_coding coding;
    writer_init(&wr, buf, sizeof(buf));
    bit_writer_init(&bw, &wr);
    for (size_t i = 0; i < count; i++)
        bit_writer_put(&bw, field[i].value, field[i].bits);
    bit_writer_finish(&bw);
    reader_init(&rd, writer_view(&wr));
    enum status status = narrow_coding_read(&rd, dtype, table_count, &coding);
    return status ? status : reader_finish(&rd);
}

#define READ(dtype, tables, ...)                              \
    read_fields((const struct field[]){__VA_ARGS__},          \
                sizeof((const struct field[]){__VA_ARGS__}) / \
                    sizeof(struct field),                     \
                dtype, tables)

static void narrow_coding_read_validates(void **state)
{
    (void)state;
    /* full float: mode, direct_first, table */
    assert_int_equal(READ(DTYPE_F16, 3, {0, 1}, {63, 9}, {2, 4}), STATUS_OK);
    assert_int_equal(READ(DTYPE_F16, 3, {0, 1}, {64, 9}, {2, 4}),
                     STATUS_CORRUPT);
    assert_int_equal(READ(DTYPE_F16, 2, {0, 1}, {63, 9}, {2, 4}),
                     STATUS_CORRUPT);
    assert_int_equal(READ(DTYPE_F32, 3, {0, 1}, {63, 9}, {2, 4}),
                     STATUS_CORRUPT);
    assert_int_equal(READ(DTYPE_F16, 3, {0, 1}, {63, 9}, {2, 4}, {1, 1}),
                     STATUS_CORRUPT);
    assert_int_equal(READ(DTYPE_F16, 3, {0, 1}), STATUS_TRUNCATED);
    /* full integer: mode, row, centre, table */
    assert_int_equal(READ(DTYPE_I8, 1, {0, 1}, {9, 4}, {1, 1}, {0, 4}),
                     STATUS_OK);
    assert_int_equal(READ(DTYPE_I8, 1, {0, 1}, {10, 4}, {1, 1}, {0, 4}),
                     STATUS_CORRUPT);
    /* delta integer: mode, has_lost, runs - 1, row, runs */
    assert_int_equal(READ(DTYPE_I8, 1, {1, 1}, {0, 1}, {0, 4}, {0, 4}, {0, 4}),
                     STATUS_OK);
    assert_int_equal(READ(DTYPE_I8, 0, {1, 1}, {0, 1}, {0, 4}, {0, 4}, {0, 4}),
                     STATUS_CORRUPT);
    assert_int_equal(READ(DTYPE_I8, 2, {1, 1}, {1, 1}, {8, 4}, {0, 4}),
                     STATUS_CORRUPT);
    /* Four equal tables in the long form. */
    assert_int_equal(
        READ(DTYPE_I8, 2, {1, 1}, {1, 1}, {0, 4}, {0, 4}, {0, 4}, {1, 1}),
        STATUS_OK);
    assert_int_equal(READ(DTYPE_I8, 2, {1, 1}, {1, 1}, {0, 4}, {0, 4}, {0, 4},
                          {0, 1}, {0, 4}, {0, 4}, {1, 4}),
                     STATUS_OK);
    assert_int_equal(READ(DTYPE_I8, 2, {1, 1}, {1, 1}, {0, 4}, {0, 4}, {0, 4},
                          {0, 1}, {0, 4}, {0, 4}, {0, 4}),
                     STATUS_CORRUPT);
    /* delta float: mode, has_lost, runs - 1, scale, direct_end ... */
    assert_int_equal(READ(DTYPE_BF16, 1, {1, 1}, {0, 1}, {0, 4}, {511, 9},
                          {256, 9}, {511, 9}, {0, 4}),
                     STATUS_OK);
    assert_int_equal(READ(DTYPE_BF16, 1, {1, 1}, {0, 1}, {0, 4}, {511, 9},
                          {257, 9}, {511, 9}, {0, 4}),
                     STATUS_CORRUPT);
    assert_int_equal(
        READ(DTYPE_BF16, 1, {1, 1}, {0, 1}, {0, 4}, {511, 9}, {0, 9}, {0, 4}),
        STATUS_OK);
    /* gamma 256 is eight zeros, a one, eight zeros: beyond the last exponent */
    assert_int_equal(READ(DTYPE_BF16, 1, {1, 1}, {0, 1}, {1, 4}, {1, 9}, {0, 9},
                          {0, 4}, {0x100, 17}, {0, 4}),
                     STATUS_CORRUPT);
    assert_int_equal(READ(DTYPE_BF16, 1, {1, 1}, {0, 1}, {1, 4}, {1, 9}, {0, 9},
                          {0, 4}, {0x80, 8}, {0x7f, 7}, {0, 4}),
                     STATUS_OK);
}

static void narrow_tables_read_limits_the_count(void **state)
{
    (void)state;
    uint8_t buf[] = {17};
    struct narrow_tables tables;
    struct reader rd;
    reader_init(&rd, bytes_of(buf, 1));
    assert_int_equal(narrow_tables_read(&rd, &tables), STATUS_LIMIT);
    assert_int_equal(tables.count, 0);
    reader_init(&rd, bytes_of(buf, 0));
    assert_int_equal(narrow_tables_read(&rd, &tables), STATUS_TRUNCATED);
}

/* Every magnitude and sign is what the entry of its symbol says. */
static void narrow_rows_and_symbols_agree(void **state)
{
    (void)state;
    narrow_entry rows[NARROW_ROWS][FREQ_SYMS];
    uint8_t syms[NARROW_ROW_MAX + 1][NARROW_BINS];
    narrow_rows_init(rows, 16);
    narrow_syms_init(syms);
    for (unsigned row = 0; row <= NARROW_ROW_MAX; row++)
        for (uint32_t twice = 0; twice < 1u << 17; twice++) {
            if (twice == 1)
                continue; /* nothing has no sign */
            unsigned sym = syms[row][narrow_bin(twice)];
            narrow_entry entry = rows[row][sym];
            uint32_t low = entry >> 8;
            if (sym == FREQ_SYM_ESCAPE)
                assert_int_equal(entry & 0xff, 16);
            else
                assert_true(twice >= low && twice - low < 1u << (entry & 0xff));
        }
}

static void narrow_plan_estimates_what_the_encoder_makes(void **state)
{
    struct fixture *f = *state;
    for (unsigned d = 0; d < DTYPES; d++)
        for (unsigned help = 0; help < HELP_COUNT; help++) {
            fill(f, dtypes[d], help, SHAPE_NEAR, 50000);
            round_trip(f);
            uint64_t bits = f->stream_size * 8;
            assert_true(bits < f->bits + f->bits / 50 + 2048);
            assert_true(f->bits < bits + bits / 50 + 512);
        }
}

static void narrow_plan_takes_values_where_a_prediction_is_no_help(void **state)
{
    struct fixture *f = *state;
    fill(f, DTYPE_BF16, HELP_PRED, SHAPE_EQUAL, 20000);
    for (size_t i = 0; i < f->count; i++)
        put(f, f->pred, i, load_le16(f->target + 1 + 2 * (f->count - 1 - i)));
    plan(f);
    assert_int_equal(f->coding.mode, NARROW_FULL);
    fill(f, DTYPE_I8, HELP_LOST, SHAPE_EQUAL, 20000);
    for (size_t i = 0; i < f->count; i++)
        put(f, f->pred, i, f->target[1 + f->count - 1 - i]);
    plan(f);
    assert_int_equal(f->coding.mode, NARROW_FULL);
    fill(f, DTYPE_I8, HELP_PRED, SHAPE_NEAR, 20000);
    plan(f);
    assert_int_equal(f->coding.mode, NARROW_DELTA);
}

static void narrow_plan_unchanged_costs_nearly_nothing(void **state)
{
    struct fixture *f = *state;
    for (unsigned d = 0; d < DTYPES; d++) {
        fill(f, dtypes[d], HELP_PRED, SHAPE_EQUAL, 100000);
        round_trip(f);
        assert_true(f->stream_size < 64);
    }
}

static void narrow_plan_of_nothing_has_no_tables(void **state)
{
    struct fixture *f = *state;
    struct narrow_plan *made = narrow_plan_new();
    assert_int_equal(narrow_plan_solve(made, &f->tables), STATUS_OK);
    assert_int_equal(f->tables.count, 0);
    narrow_plan_free(made);
}

/* Unsigned values lie around the middle of their range, signed around 0, small
 * ones such as those of 4 bits near 0: none may cost more than it must. */
static void narrow_full_integers_find_their_centre(void **state)
{
    struct fixture *f = *state;
    struct rng_seeded seeded;
    rng_seeded_init(&seeded, 8);
    struct rng rng = rng_from_seeded(&seeded);
    static const struct {
        enum dtype dtype;
        uint32_t from, span;
        unsigned bits_most; /* in tenths, an element */
    } cases[] = {{DTYPE_U8, 120, 16, 42},     {DTYPE_I8, 0xf8, 16, 42},
                 {DTYPE_U8, 0, 16, 41},       {DTYPE_BOOL, 0, 2, 11},
                 {DTYPE_U16, 32640, 256, 83}, {DTYPE_I16, 0xff80, 256, 83}};
    for (unsigned c = 0; c < sizeof(cases) / sizeof(*cases); c++) {
        f->dtype = cases[c].dtype;
        f->help = HELP_NONE;
        f->count = 50000;
        for (size_t i = 0; i < f->count; i++)
            put(f, f->target, i,
                cases[c].from + (uint32_t)rng_below(&rng, cases[c].span));
        round_trip(f);
        assert_true(f->stream_size * 80 < f->count * cases[c].bits_most);
    }
}

/* Tables, coding and stream as they were once written; an independent decoder
 * made after codec/FORMAT.md reads the same. */
static void narrow_golden_stream_decodes(void **state)
{
    (void)state;
    static const uint8_t bytes[] = {
        0x02, 0xc0, 0x02, 0x91, 0xac, 0xaa, 0x8b, 0xfa, 0xff, 0xff,
        0xe3, 0x45, 0xb0, 0x75, 0x5d, 0x23, 0xd4, 0x52, 0xc5, 0xcc,
        0x4c, 0xe4, 0xff, 0x3f, 0x0c, 0x01, 0x07, 0x1f, 0x32, 0xe2,
        0x22, 0xb0, 0x07, 0x00, 0x01, 0x05, 0x07, 0x3a, 0x18, 0xd4,
        0x26, 0xa0, 0x67, 0x87, 0x03, 0x80, 0x9f, 0x3f, 0xc1, 0x7f};
    static const uint16_t pred[8] = {0x3f80, 0xbf81, 0x3f00, 0x3d00,
                                     0x3c10, 0x0000, 0x3f7f, 0x8000};
    static const uint16_t target[8] = {0x3f80, 0xbf82, 0x3eff, 0x3d05,
                                       0x3b80, 0x8003, 0x3f9f, 0x7fc1};
    static const uint8_t lost[8] = {4, 7, 0, 3, 4, 4, 6, 1};
    struct narrow_tables tables;
    struct narrow_coding coding;
    struct reader rd;
    reader_init(&rd, bytes_of(bytes, sizeof(bytes)));
    assert_int_equal(narrow_tables_read(&rd, &tables), STATUS_OK);
    assert_int_equal(narrow_coding_read(&rd, DTYPE_BF16, tables.count, &coding),
                     STATUS_OK);
    uint8_t in[16], out[16];
    for (unsigned i = 0; i < 8; i++)
        store_le16(in + 2 * i, pred[i]);
    struct narrow_dec *dec = narrow_dec_new(&tables);
    assert_non_null(dec);
    assert_int_equal(narrow_dec_begin(dec, &rd), STATUS_OK);
    narrow_dec_piece(dec, &coding, DTYPE_BF16, in, lost, out, 8);
    assert_int_equal(narrow_dec_finish(dec), STATUS_OK);
    assert_int_equal(reader_finish(&rd), STATUS_OK);
    for (unsigned i = 0; i < 8; i++)
        assert_int_equal(load_le16(out + 2 * i), target[i]);
    narrow_dec_free(dec);
}

/* Tensors of all types, with and without help, in one stream. */
static void narrow_mixes_tensors_in_a_segment(void **state)
{
    struct fixture *f = *state;
    struct narrow_stats *stats = narrow_stats_new();
    struct narrow_plan *made = narrow_plan_new();
    const size_t count = 1500, tensors = DTYPES * HELP_COUNT;
    size_t index;
    struct narrow_tables tables;
    struct narrow_coding coding;
    for (unsigned i = 0; i < tensors; i++) {
        fill(f, dtypes[i / 3], i % 3, SHAPE_NEAR, count);
        narrow_stats_reset(stats, f->dtype);
        narrow_stats_add(stats, pred_at(f, 0), lost_at(f, 0), f->target + 1,
                         count);
        assert_int_equal(narrow_plan_add(made, stats, &index), STATUS_OK);
        assert_int_equal(index, i);
    }
    assert_int_equal(narrow_plan_solve(made, &tables), STATUS_OK);
    assert_in_range(tables.count, 2, NARROW_TABLES_MAX);
    struct narrow_enc *enc = narrow_enc_new(&tables, BYTES_MAX);
    struct narrow_dec *dec = narrow_dec_new(&tables);
    struct writer wr;
    struct reader rd;
    writer_init(&wr, f->stream, sizeof(f->stream));
    for (unsigned i = 0; i < tensors; i++) {
        fill(f, dtypes[i / 3], i % 3, SHAPE_NEAR, count);
        (void)narrow_plan_coding(made, i, &coding);
        assert_int_equal(narrow_enc_piece(enc, &coding, f->dtype, pred_at(f, 0),
                                          lost_at(f, 0), f->target + 1, count),
                         STATUS_OK);
    }
    narrow_enc_finish(enc, &wr);
    reader_init(&rd, writer_view(&wr));
    assert_int_equal(narrow_dec_begin(dec, &rd), STATUS_OK);
    for (unsigned i = 0; i < tensors; i++) {
        fill(f, dtypes[i / 3], i % 3, SHAPE_NEAR, count);
        (void)narrow_plan_coding(made, i, &coding);
        narrow_dec_piece(dec, &coding, f->dtype, pred_at(f, 0), lost_at(f, 0),
                         f->out + 1, count);
        assert_memory_equal(f->out + 1, f->target + 1,
                            count * narrow_elem_bytes(f->dtype));
    }
    assert_int_equal(narrow_dec_finish(dec), STATUS_OK);
    narrow_enc_free(enc);
    narrow_dec_free(dec);
    narrow_stats_free(stats);
    narrow_plan_free(made);
}

static void narrow_stats_count_what_changed(void **state)
{
    struct fixture *f = *state;
    struct narrow_stats *stats = narrow_stats_new();
    for (unsigned d = 0; d < DTYPES; d++)
        for (unsigned help = 0; help < HELP_COUNT; help++) {
            fill(f, dtypes[d], help, SHAPE_EQUAL, 1000);
            f->target[1] ^= 1;
            f->target[1 + 500 * narrow_elem_bytes(f->dtype)] ^= 3;
            narrow_stats_reset(stats, f->dtype);
            narrow_stats_add(stats, pred_at(f, 0), lost_at(f, 0), f->target + 1,
                             1000);
            assert_int_equal(narrow_stats_changed(stats),
                             help == HELP_NONE ? 1000 : 2);
        }
    narrow_stats_free(stats);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        T(narrow_brings_every_shape_back),
        T(narrow_brings_every_pattern_back),
        T(narrow_pieces_may_be_cut_anywhere),
        T(narrow_every_small_count_comes_back),
        T(narrow_decodes_in_place),
        T(narrow_sides_of_losses_pay),
        T(narrow_ignores_losses_a_coding_does_not_use),
        T(narrow_any_valid_coding_codes_any_values),
        T(narrow_variants_agree_on_hostile_streams),
        T(narrow_every_truncation_is_found),
        T(narrow_wrong_counts_are_found),
        T(narrow_enc_refuses_more_than_its_segment),
        T(narrow_takes_what_has_at_most_16_bits),
        T(narrow_coding_read_validates),
        T(narrow_tables_read_limits_the_count),
        T(narrow_rows_and_symbols_agree),
        T(narrow_plan_estimates_what_the_encoder_makes),
        T(narrow_plan_takes_values_where_a_prediction_is_no_help),
        T(narrow_plan_unchanged_costs_nearly_nothing),
        T(narrow_plan_of_nothing_has_no_tables),
        T(narrow_full_integers_find_their_centre),
        T(narrow_golden_stream_decodes),
        T(narrow_mixes_tensors_in_a_segment),
        T(narrow_stats_count_what_changed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
