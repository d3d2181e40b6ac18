/* Decoder of the narrow coder: three passes over blocks that fit the first
 * cache. Exponents and losses of the prediction choose contexts, the contexts
 * tables for rANS, and symbols and raw bits become elements. */
#include "codec/lossless/narrow_kernels.h"

#include <stdlib.h>

#define BLOCK      RANS_BLOCK_MAX
#define BLOCK_BITS (BLOCK * 16u) /* most raw bits of a block */

struct narrow_dec {
    const struct narrow_kernels *kernels;
    struct rans_dec rans;
    const uint8_t *raw;
    size_t raw_bits; /* from raw on */
    size_t raw_pos;  /* in bits */
    bool raw_over;
    bool raw_in_tail;
    bool empty; /* the stream holds no element */
    struct narrow_context context;
    uint16_t ctx[BLOCK];
    uint8_t syms[BLOCK];
    uint8_t tail[2 * (BLOCK_BITS / 8 + NARROW_LOAD_SLACK)];
    struct rans_dec_table tables[];
};

struct narrow_dec *narrow_dec_new(const struct narrow_tables *tables)
{
    /* One more table, for what a stream of no tables is asked for. */
    unsigned count = tables->count ? tables->count : 1;
    struct narrow_dec *dec =
        calloc(1, sizeof(*dec) + count * sizeof(dec->tables[0]));
    if (!dec)
        return NULL;
    dec->empty = true;
    dec->kernels = narrow_kernels_choose();
    for (unsigned i = 0; i < tables->count; i++)
        rans_dec_table_init(&dec->tables[i], &tables->table[i]);
    return dec;
}

void narrow_dec_plain(struct narrow_dec *dec)
{
    dec->kernels = &narrow_kernels_plain;
}

void narrow_dec_free(struct narrow_dec *dec)
{
    free(dec);
}

enum status narrow_dec_begin(struct narrow_dec *dec, struct reader *rd)
{
    dec->raw_pos = dec->raw_bits = 0;
    dec->raw_over = dec->raw_in_tail = false;
    dec->empty = true;
    uint64_t head = reader_varint(rd);
    if (reader_status(rd) || !head)
        return reader_status(rd);
    unsigned lane_code = (unsigned)((head - 1) % RANS_LANE_CODES);
    uint64_t word_count = (head - 1) / RANS_LANE_CODES;
    uint64_t raw_bytes = reader_varint(rd);
    struct bytes state = reader_bytes(rd, 4 * rans_lane_count(lane_code));
    if (word_count > reader_left(rd) / 2 ||
        raw_bytes > reader_left(rd) - 2 * word_count)
        reader_fail(rd, STATUS_TRUNCATED);
    if (reader_status(rd))
        return reader_status(rd);
    struct bytes words = reader_bytes(rd, (size_t)word_count * 2);
    struct bytes raw = reader_bytes(rd, (size_t)raw_bytes);
    dec->raw = raw.data;
    dec->raw_bits = raw.size * 8;
    dec->empty = false;
    enum status status = rans_dec_begin(&dec->rans, lane_code, state.data,
                                        words.data, (size_t)word_count);
    if (dec->kernels == &narrow_kernels_plain)
        rans_dec_plain(&dec->rans);
    return status;
}

/* Before a block: raw bits that might run out in it move to the tail, where
 * zeros follow, so that the loop needs no test. */
static void prepare_raw(struct narrow_dec *dec)
{
    size_t at = dec->raw_pos / 8, left = dec->raw_bits / 8 - at;
    if (dec->raw_in_tail || left >= BLOCK_BITS / 8 + NARROW_LOAD_SLACK)
        return;
    memset(dec->tail, 0, sizeof(dec->tail));
    if (left)
        memcpy(dec->tail, dec->raw + at, left);
    dec->raw = dec->tail;
    dec->raw_bits = left * 8;
    dec->raw_pos %= 8;
    dec->raw_in_tail = true;
}

/* What the loops are specialised for. */
struct shape {
    unsigned width;
    bool has_pred, has_lost;
};

/* From here on shape is a constant where the functions are inlined. */
static ALWAYS_INLINE void contexts_from(const struct narrow_block *block,
                                        size_t from, size_t count,
                                        struct shape shape)
{
    const struct narrow_context *context = block->context;
    for (size_t i = from; i < count; i++) {
        uint32_t v =
            narrow_load(block->pred + i * (shape.width / 8), shape.width);
        const uint8_t *lost = shape.has_lost ? block->lost + i : NULL;
        block->ctx[i] = context->ctx[narrow_ctx_at(context, v, lost)];
    }
}

static ALWAYS_INLINE uint32_t take_bits(const uint8_t *raw, size_t pos,
                                        unsigned bits)
{
    uint32_t v = load_le32(raw + pos / 8) >> (pos % 8);
    return v & ((UINT32_C(1) << bits) - 1);
}

/* One element after the other, for what is left of a block. */
static ALWAYS_INLINE size_t unmap_from(const struct narrow_block *block,
                                       size_t pos, size_t from, size_t count,
                                       struct shape shape)
{
    const struct narrow_context *context = block->context;
    const narrow_entry *rows = context->rows[0];
    const uint32_t order_mask = context->format.order_mask;
    const unsigned width = shape.width, step = width / 8;
    for (size_t i = from; i < count; i++) {
        uint16_t ctx = block->ctx[i];
        narrow_entry entry = rows[narrow_ctx_entry(ctx) + block->syms[i]];
        unsigned bits = entry & 0xff;
        uint32_t r = take_bits(block->raw, pos, bits);
        pos += bits;
        uint32_t twice = (entry >> 8) + r;
        uint32_t sign = 0 - ((twice ^ narrow_ctx_flip(ctx)) & 1);
        uint32_t v = context->full_pred;
        if (shape.has_pred)
            v = narrow_ordered(narrow_load(block->pred + i * step, width),
                               order_mask, width);
        v = narrow_ctx_direct(ctx) && shape.has_pred ? 0 : v;
        v += ((twice >> 1) ^ sign) - sign;
        v &= (UINT32_C(1) << width) - 1;
        v = narrow_ordered(v, order_mask, width);
        v = block->syms[i] == FREQ_SYM_ESCAPE ? r : v;
        narrow_store(block->out + i * step, v, width);
    }
    return pos;
}

static ALWAYS_INLINE void decode_block(struct narrow_dec *dec,
                                       const uint8_t *pred, const uint8_t *lost,
                                       uint8_t *out, size_t count,
                                       struct shape shape)
{
    size_t done = count - count % NARROW_GROUP;
    const struct narrow_kernels *kernels = dec->kernels;
    if (dec->context.is_plain && !kernels->any_value)
        kernels = &narrow_kernels_plain;
    prepare_raw(dec);
    struct narrow_block block = {&dec->context, pred,        lost,
                                 out,           dec->ctx,    dec->syms,
                                 dec->raw,      dec->raw_pos};
    if (shape.has_pred) {
        kernels->contexts(&block, done);
        contexts_from(&block, done, count, shape);
    }
    rans_dec_syms(&dec->rans, dec->tables, dec->ctx, dec->syms, count);
    size_t pos = kernels->unmap(&block, done);
    dec->raw_pos = unmap_from(&block, pos, done, count, shape);
    if (dec->raw_pos > dec->raw_bits) {
        dec->raw_over = true;
        dec->raw_pos = dec->raw_bits;
    }
}

static ALWAYS_INLINE void decode_run(struct narrow_dec *dec,
                                     const uint8_t *pred, const uint8_t *lost,
                                     uint8_t *out, size_t count,
                                     struct shape shape)
{
    for (size_t i = 0; !shape.has_pred && i < BLOCK && i < count; i++)
        dec->ctx[i] = dec->context.ctx[0];
    /* After the first block the next symbol is one of the first lane. */
    size_t most = BLOCK - dec->rans.lane;
    for (size_t at = 0, elem = 0; count;) {
        size_t now = count < most ? count : most;
        decode_block(dec, shape.has_pred ? pred + at : NULL,
                     shape.has_lost ? lost + elem : NULL, out + at, now, shape);
        count -= now;
        at += now * (shape.width / 8);
        elem += now;
        most = BLOCK;
    }
}

static ALWAYS_INLINE void decode_any(struct narrow_dec *dec,
                                     const uint8_t *pred, const uint8_t *lost,
                                     uint8_t *out, size_t count, unsigned width)
{
    if (!dec->context.has_pred)
        decode_run(dec, NULL, NULL, out, count,
                   (struct shape){width, false, false});
    else if (!dec->context.has_lost)
        decode_run(dec, pred, NULL, out, count,
                   (struct shape){width, true, false});
    else
        decode_run(dec, pred, lost, out, count,
                   (struct shape){width, true, true});
}

void narrow_dec_piece(struct narrow_dec *dec,
                      const struct narrow_coding *coding, enum dtype dtype,
                      const uint8_t *pred, const uint8_t *lost, uint8_t *out,
                      size_t elem_count)
{
    if (!elem_count)
        return;
    narrow_context_set(&dec->context, coding, dtype);
    unsigned width = dec->context.format.width;
    if (dec->empty) {
        memset(out, 0, elem_count * (width / 8));
        dec->raw_over = true;
    } else if (width == 8) {
        decode_any(dec, pred, lost, out, elem_count, 8);
    } else {
        decode_any(dec, pred, lost, out, elem_count, 16);
    }
}

enum status narrow_dec_finish(struct narrow_dec *dec)
{
    if (dec->raw_over)
        return STATUS_TRUNCATED;
    if (dec->empty)
        return STATUS_OK;
    enum status status = rans_dec_finish(&dec->rans);
    if (status)
        return status;
    /* At most the rest of the last byte, in zeros. */
    size_t left = dec->raw_bits - dec->raw_pos;
    if (left >= 8 || (left && dec->raw[dec->raw_pos / 8] >> (dec->raw_pos % 8)))
        return STATUS_CORRUPT;
    return STATUS_OK;
}
