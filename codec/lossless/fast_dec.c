/* Decoder of the fast coder: three passes over blocks that fit the first cache.
 * The exponents of the base choose contexts, the contexts tables for rANS, and
 * symbols and raw bits become elements. */
#include "codec/lossless/fast_shift.h"

#include <assert.h>
#include <stdlib.h>

#define BLOCK      512u /* all that a block needs fits the first cache */
#define BLOCK_BITS (BLOCK * 64u) /* most raw bits of a block */

#define SHIFTS (BLOCK / FAST_SHIFT_BLOCK)

static_assert(BLOCK <= RANS_BLOCK_MAX, "a block is one call of rANS");
static_assert(BLOCK % FAST_SHIFT_BLOCK == 0, "whole blocks with a shift");

struct fast_dec {
    const struct fast_kernels *kernels;
    struct rans_dec rans;
    struct rans_dec shift_rans;
    bool has_shifts; /* in the stream */
    const uint8_t *raw;
    size_t raw_bits; /* from raw on */
    size_t raw_pos;  /* in bits */
    bool raw_over;
    bool raw_in_tail;
    bool empty; /* the stream holds no element */
    unsigned table_count;
    struct fast_context context;
    size_t alike; /* so many in ctx are the context of exponent 0 */
    uint16_t ctx[BLOCK];
    uint8_t syms[BLOCK];
    uint8_t tail[2 * (BLOCK_BITS / 8 + FAST_LOAD_SLACK)];
    struct rans_dec_table tables[];
};

struct fast_dec *fast_dec_new(const struct fast_tables *tables)
{
    /* One more table, for what a stream of no tables is asked for. */
    unsigned count = tables->count ? tables->count : 1;
    struct fast_dec *dec =
        calloc(1, sizeof(*dec) + count * sizeof(dec->tables[0]));
    if (!dec)
        return NULL;
    dec->table_count = count;
    dec->empty = true;
    dec->kernels = fast_kernels_choose();
    for (unsigned i = 0; i < tables->count; i++)
        rans_dec_table_init(&dec->tables[i], &tables->table[i]);
    return dec;
}

void fast_dec_plain(struct fast_dec *dec)
{
    dec->kernels = &fast_kernels_plain;
}

void fast_dec_free(struct fast_dec *dec)
{
    free(dec);
}

enum status fast_dec_begin(struct fast_dec *dec, struct reader *rd)
{
    dec->raw_pos = dec->raw_bits = 0;
    dec->raw_over = dec->raw_in_tail = false;
    dec->empty = true;
    dec->has_shifts = false;
    uint64_t head = reader_varint(rd);
    if (reader_status(rd) || !head)
        return reader_status(rd);
    unsigned lane_code = (unsigned)((head - 1) % RANS_LANE_CODES);
    uint64_t word_count = (head - 1) / RANS_LANE_CODES;
    uint64_t raw_bytes = reader_varint(rd);
    uint64_t shift_words = reader_varint(rd);
    struct bytes state = reader_bytes(rd, 4 * rans_lane_count(lane_code));
    struct bytes shift_state = reader_bytes(rd, shift_words ? 4 : 0);
    dec->has_shifts = shift_words != 0;
    shift_words -= dec->has_shifts;
    size_t left = reader_left(rd);
    if (word_count > left / 2 || shift_words > left / 2 - word_count ||
        raw_bytes > left - 2 * (word_count + shift_words))
        reader_fail(rd, STATUS_TRUNCATED);
    if (reader_status(rd))
        return reader_status(rd);
    struct bytes words = reader_bytes(rd, (size_t)word_count * 2);
    struct bytes shifts = reader_bytes(rd, (size_t)shift_words * 2);
    struct bytes raw = reader_bytes(rd, (size_t)raw_bytes);
    dec->raw = raw.data;
    dec->raw_bits = raw.size * 8;
    dec->empty = false;
    enum status status = rans_dec_begin(&dec->rans, lane_code, state.data,
                                        words.data, (size_t)word_count);
    if (dec->kernels == &fast_kernels_plain)
        rans_dec_plain(&dec->rans);
    if (!status && dec->has_shifts)
        status = rans_dec_begin(&dec->shift_rans, 0, shift_state.data,
                                shifts.data, (size_t)shift_words);
    return status;
}

/* Before a block: raw bits that might run out in it move to the tail, where
 * zeros follow, so that the loop needs no test. */
static void prepare_raw(struct fast_dec *dec)
{
    size_t at = dec->raw_pos / 8, left = dec->raw_bits / 8 - at;
    if (dec->raw_in_tail || left >= BLOCK_BITS / 8 + FAST_LOAD_SLACK)
        return;
    if (left)
        memcpy(dec->tail, dec->raw + at, left);
    memset(dec->tail + left, 0, sizeof(dec->tail) / 2);
    dec->raw = dec->tail;
    dec->raw_bits = left * 8;
    dec->raw_pos %= 8;
    dec->raw_in_tail = true;
}

/* The shifts of a block's elements. */
static void take_shifts(struct fast_dec *dec, size_t count,
                        uint8_t shifts[SHIFTS])
{
    uint16_t ctx[SHIFTS];
    size_t n = (count + FAST_SHIFT_BLOCK - 1) / FAST_SHIFT_BLOCK;
    for (size_t i = 0; i < n; i++) {
        ctx[i] =
            (uint16_t)(dec->context.coding.shift_table << RANS_TABLE_SHIFT);
        shifts[i] = FAST_SHIFT_NONE;
    }
    if (dec->has_shifts)
        rans_dec_syms(&dec->shift_rans, dec->tables, ctx, shifts, n);
    else
        dec->raw_over = true;
}

static void find_contexts(struct fast_dec *dec, const uint8_t *base,
                          size_t count)
{
    uint8_t shifts[SHIFTS];
    if (dec->context.shifted)
        take_shifts(dec, count, shifts);
    fast_contexts(dec->kernels, &dec->context, base, shifts, dec->ctx, count);
    dec->alike = 0;
}

/* Without a base and for integers all contexts are one. */
static void set_contexts(struct fast_dec *dec, size_t count)
{
    for (size_t i = dec->alike; i < count; i++)
        dec->ctx[i] = dec->context.by_exponent[0][0];
    dec->alike = dec->alike < count ? count : dec->alike;
}

/* From here on width, mantissa_bits and has_base are constants where the
 * functions are inlined. */
static ALWAYS_INLINE uint64_t take_bits(const uint8_t *raw, size_t pos,
                                        unsigned bits, unsigned width)
{
    const uint8_t *p = raw + pos / 8;
    unsigned shift = (unsigned)(pos % 8);
    uint64_t v = load_le64(p) >> shift;
    if (width == 64) {
        v |= (uint64_t)p[8] << 1 << (63 - shift);
        return bits == 64 ? v : v & (((uint64_t)1 << bits) - 1);
    }
    return v & (((uint64_t)1 << bits) - 1);
}

static ALWAYS_INLINE size_t unmap_from(const struct fast_block *block,
                                       size_t from, size_t count,
                                       unsigned width, unsigned mantissa_bits,
                                       bool has_base)
{
    const classes_entry *rows = block->context->rows[0];
    const uint8_t *raw = block->raw, *syms = block->syms, *base = block->base;
    const uint16_t *ctx = block->ctx;
    size_t pos = block->raw_pos;
    for (size_t i = from; i < count; i++) {
        classes_entry entry = rows[fast_ctx_entry(ctx[i]) + syms[i]];
        unsigned bits = entry & 0xff;
        uint64_t r = take_bits(raw, pos, bits, width);
        pos += bits;
        uint64_t above = entry >> 8;
        uint64_t twice = (above << (bits & 63)) + r; /* 2 |d| + sign */
        uint64_t sign = twice & 1;
        uint64_t d = ((twice >> 1) ^ (0 - sign)) + sign;
        uint64_t v = 0;
        if (has_base) {
            v = fast_load(base + i * (width / 8), width);
            v = fast_ordered(v, width, mantissa_bits);
            v = fast_ctx_direct(ctx[i]) ? 0 : v;
        }
        v = fast_ordered(v + d, width, mantissa_bits);
        v = syms[i] == FREQ_SYM_ESCAPE ? r : v;
        fast_store(block->out + i * (width / 8), v, width);
    }
    return pos;
}

static ALWAYS_INLINE void unmap(struct fast_dec *dec, const uint8_t *base,
                                uint8_t *out, size_t count, unsigned width,
                                unsigned mantissa_bits, bool has_base)
{
    struct fast_block block = {&dec->context, base,     out,         dec->ctx,
                               dec->syms,     dec->raw, dec->raw_pos};
    size_t groups = count - count % FAST_GROUP, done = 0;
    if (width == 32) {
        block.raw_pos = dec->kernels->unmap_32(&block, groups);
        done = groups;
    } else if (width == 64 && dec->kernels->unmap_64) {
        block.raw_pos = dec->kernels->unmap_64(&block, groups);
        done = groups;
    }
    dec->raw_pos =
        unmap_from(&block, done, count, width, mantissa_bits, has_base);
}

static ALWAYS_INLINE void decode_block(struct fast_dec *dec,
                                       const uint8_t *base, uint8_t *out,
                                       size_t count, unsigned width,
                                       unsigned mantissa_bits, bool has_base)
{
    prepare_raw(dec);
    if (has_base && mantissa_bits)
        find_contexts(dec, base, count);
    else
        set_contexts(dec, count);
    rans_dec_syms(&dec->rans, dec->tables, dec->ctx, dec->syms, count);
    unmap(dec, base, out, count, width, mantissa_bits, has_base);
    if (dec->raw_pos > dec->raw_bits) {
        dec->raw_over = true;
        dec->raw_pos = dec->raw_bits;
    }
}

static ALWAYS_INLINE void decode_run(struct fast_dec *dec, const uint8_t *base,
                                     uint8_t *out, size_t count, unsigned width,
                                     unsigned mantissa_bits)
{
    size_t step = (size_t)BLOCK * (width / 8);
    for (; count; out += step) {
        size_t now = count < BLOCK ? count : BLOCK;
        if (dec->context.has_base)
            decode_block(dec, base, out, now, width, mantissa_bits, true);
        else
            decode_block(dec, NULL, out, now, width, mantissa_bits, false);
        base = base ? base + (now == BLOCK ? step : 0) : NULL;
        count -= now;
    }
}

void fast_dec_piece(struct fast_dec *dec, const struct fast_coding *coding,
                    enum dtype dtype, const uint8_t *base, uint8_t *out,
                    size_t elem_count)
{
    if (!elem_count)
        return;
    if (fast_context_set(&dec->context, coding, dtype))
        dec->alike = 0;
    if (dec->empty) {
        memset(out, 0, elem_count * (dec->context.format.width / 8));
        dec->raw_over = true;
        return;
    }
    switch (dtype) {
    case DTYPE_F64:
        decode_run(dec, base, out, elem_count, 64, 52);
        break;
    case DTYPE_F32:
        decode_run(dec, base, out, elem_count, 32, 23);
        break;
    case DTYPE_I64:
    case DTYPE_U64:
        decode_run(dec, base, out, elem_count, 64, 0);
        break;
    default:
        decode_run(dec, base, out, elem_count, 32, 0);
        break;
    }
}

enum status fast_dec_finish(struct fast_dec *dec)
{
    if (dec->raw_over)
        return STATUS_TRUNCATED;
    if (dec->empty)
        return STATUS_OK;
    enum status status = rans_dec_finish(&dec->rans);
    if (!status && dec->has_shifts)
        status = rans_dec_finish(&dec->shift_rans);
    if (status)
        return status;
    /* At most the rest of the last byte, in zeros. */
    size_t left = dec->raw_bits - dec->raw_pos;
    if (left >= 8 || (left && dec->raw[dec->raw_pos / 8] >> (dec->raw_pos % 8)))
        return STATUS_CORRUPT;
    return STATUS_OK;
}
