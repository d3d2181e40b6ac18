/* Encoder of the narrow coder: collects the symbols of a segment and writes raw
 * bits block by block; rANS runs backwards over the symbols at the end. */
#include "codec/lossless/narrow_kernels.h"

#include <stdlib.h>

#define BLOCK       1024u
#define STORE_SLACK 16u

struct narrow_enc {
    const struct narrow_kernels *kernels;
    struct narrow_context context;
    struct rans_enc_table rans[NARROW_TABLES_MAX];
    /* The symbol of each bin by table and row. */
    uint8_t syms_of[NARROW_TABLES_MAX][NARROW_ROWS][NARROW_BINS];
    uint8_t bins[NARROW_DIFFS];
    /* The symbol itself, or the escape if it has no frequency. */
    uint8_t coded[NARROW_TABLES_MAX][FREQ_SYMS];
    uint16_t ctx[BLOCK];
    narrow_entry entry[BLOCK];
    uint32_t twice[BLOCK];
    uint32_t cost[NARROW_TABLES_MAX][FREQ_SYMS];
    size_t bytes_max;
    size_t bytes; /* of the target so far */
    size_t sym_count;
    uint8_t *raw_pos;
    uint64_t raw_acc; /* raw_fill bits not stored yet */
    unsigned raw_fill;
    uint16_t *syms;
    uint8_t *raw;
    uint8_t *words;
    size_t words_size;
};

static void set_tables(struct narrow_enc *enc,
                       const struct narrow_tables *tables)
{
    uint8_t syms[NARROW_ROW_MAX + 1][NARROW_BINS];
    narrow_syms_init(syms);
    for (unsigned i = 0; i < tables->count; i++) {
        rans_enc_table_init(&enc->rans[i], &tables->table[i]);
        freq_costs(&tables->table[i], 0, enc->cost[i]);
        for (unsigned s = 0; s < FREQ_SYMS; s++)
            enc->coded[i][s] =
                (uint8_t)(tables->table[i].freq[s] ? s : FREQ_SYM_ESCAPE);
        for (unsigned row = 0; row <= NARROW_ROW_MAX; row++)
            for (unsigned bin = 0; bin < NARROW_BINS; bin++)
                enc->syms_of[i][row][bin] = enc->coded[i][syms[row][bin]];
    }
}

struct narrow_enc *narrow_enc_new(const struct narrow_tables *tables,
                                  size_t segment_bytes_max)
{
    struct narrow_enc *enc = calloc(1, sizeof(*enc));
    if (!enc)
        return NULL;
    size_t max = segment_bytes_max < NARROW_SEGMENT_BYTES_MAX
                     ? segment_bytes_max
                     : NARROW_SEGMENT_BYTES_MAX;
    enc->bytes_max = max;
    enc->words_size = 2 * max + 2; /* a word an element, and one to spare */
    enc->syms = malloc(2 * max + 2);
    enc->raw = malloc(max + STORE_SLACK);
    enc->words = malloc(enc->words_size);
    if (!enc->syms || !enc->raw || !enc->words) {
        narrow_enc_free(enc);
        return NULL;
    }
    enc->kernels = narrow_kernels_choose();
    narrow_bins_init(enc->bins);
    set_tables(enc, tables);
    narrow_enc_begin(enc);
    return enc;
}

void narrow_enc_free(struct narrow_enc *enc)
{
    if (!enc)
        return;
    free(enc->syms);
    free(enc->raw);
    free(enc->words);
    free(enc);
}

void narrow_enc_begin(struct narrow_enc *enc)
{
    enc->bytes = enc->sym_count = 0;
    enc->raw_pos = enc->raw;
    enc->raw_acc = 0;
    enc->raw_fill = 0;
}

static ALWAYS_INLINE unsigned value_sym(uint32_t m, unsigned first,
                                        unsigned width, unsigned mantissa_bits)
{
    if (!m)
        return 0;
    if (m >> (width - 1))
        return FREQ_SYM_ESCAPE;
    return narrow_sym_direct(m >> (mantissa_bits - 1), first);
}

/* What the loops are specialised for. */
struct shape {
    unsigned width;
    bool has_pred, has_lost;
};

/* First pass over a block: contexts. shape is a constant where the following
 * are inlined. */
static ALWAYS_INLINE void find_contexts(struct narrow_enc *enc,
                                        const uint8_t *pred,
                                        const uint8_t *lost, size_t count,
                                        struct shape shape)
{
    const struct narrow_context *context = &enc->context;
    const struct narrow_block block = {
        .context = context, .pred = pred, .lost = lost, .ctx = enc->ctx};
    size_t done = count - count % NARROW_GROUP;
    enc->kernels->contexts(&block, done);
    for (size_t i = done; i < count; i++) {
        uint32_t v = narrow_load(pred + i * (shape.width / 8), shape.width);
        const uint8_t *loss = shape.has_lost ? lost + i : NULL;
        enc->ctx[i] = context->ctx[narrow_ctx_at(context, v, loss)];
    }
}

/* Second pass: symbols, and for each element the entry of its row and 2 m + g.
 */
static ALWAYS_INLINE void find_syms(struct narrow_enc *enc, const uint8_t *pred,
                                    const uint8_t *target, size_t count,
                                    struct shape shape)
{
    const struct narrow_context *context = &enc->context;
    const uint32_t order_mask = context->format.order_mask;
    const unsigned mantissa_bits = context->format.mantissa_bits;
    const unsigned width = shape.width, step = width / 8;
    const uint8_t *syms_of = enc->syms_of[0][0];
    const narrow_entry *rows = context->rows[0];
    uint16_t *syms = enc->syms + enc->sym_count;
    for (size_t i = 0; i < count; i++) {
        uint32_t bits = narrow_load(target + i * step, width);
        uint32_t from = context->full_pred;
        uint16_t ctx = shape.has_pred ? enc->ctx[i] : context->ctx[0];
        if (shape.has_pred)
            from = narrow_ordered(narrow_load(pred + i * step, width),
                                  order_mask, width);
        bool direct = narrow_ctx_direct(ctx);
        uint32_t flip = narrow_ctx_flip(ctx);
        uint32_t to = narrow_ordered(bits, order_mask, width);
        int32_t d = narrow_signed(to - (direct ? 0 : from), width);
        uint32_t twice = narrow_twice(d, flip);
        unsigned table = ctx >> RANS_TABLE_SHIFT, sym;
        unsigned row = narrow_ctx_entry(ctx) >> NARROW_ROW_SHIFT;
        if (direct)
            sym = enc->coded[table][value_sym(twice >> 1, context->direct_first,
                                              width, mantissa_bits)];
        else
            sym = syms_of[(table * NARROW_ROWS + row) * NARROW_BINS +
                          (enc->bins[(uint16_t)d] ^ flip)];
        enc->entry[i] = rows[narrow_ctx_entry(ctx) + sym];
        enc->twice[i] = sym == FREQ_SYM_ESCAPE ? bits : twice;
        syms[i] = (uint16_t)(table * FREQ_SYMS + sym);
    }
}

/* Third pass: the raw bits. Always stores 8 bytes. */
static void put_raw(struct narrow_enc *enc, size_t count)
{
    uint8_t *pos = enc->raw_pos;
    uint64_t acc = enc->raw_acc;
    unsigned fill = enc->raw_fill; /* < 8 between elements */
    for (size_t i = 0; i < count; i++) {
        unsigned bits = enc->entry[i] & 0xff;
        uint64_t r = bits ? enc->twice[i] - (enc->entry[i] >> 8) : 0;
        acc |= r << fill;
        fill += bits;
        store_le64(pos, acc);
        pos += fill / 8;
        acc >>= fill & ~7u;
        fill &= 7;
    }
    enc->raw_pos = pos;
    enc->raw_acc = acc;
    enc->raw_fill = fill;
}

static ALWAYS_INLINE void encode_run(struct narrow_enc *enc,
                                     const uint8_t *pred, const uint8_t *lost,
                                     const uint8_t *target, size_t count,
                                     struct shape shape)
{
    size_t step = (size_t)BLOCK * (shape.width / 8);
    for (size_t at = 0, elem = 0; count; at += step, elem += BLOCK) {
        size_t now = count < BLOCK ? count : BLOCK;
        if (shape.has_pred)
            find_contexts(enc, pred + at, shape.has_lost ? lost + elem : NULL,
                          now, shape);
        find_syms(enc, shape.has_pred ? pred + at : NULL, target + at, now,
                  shape);
        put_raw(enc, now);
        enc->sym_count += now;
        count -= now;
    }
}

static ALWAYS_INLINE void encode_any(struct narrow_enc *enc,
                                     const uint8_t *pred, const uint8_t *lost,
                                     const uint8_t *target, size_t count,
                                     unsigned width)
{
    if (!enc->context.has_pred)
        encode_run(enc, NULL, NULL, target, count,
                   (struct shape){width, false, false});
    else if (!enc->context.has_lost)
        encode_run(enc, pred, NULL, target, count,
                   (struct shape){width, true, false});
    else
        encode_run(enc, pred, lost, target, count,
                   (struct shape){width, true, true});
}

enum status narrow_enc_piece(struct narrow_enc *enc,
                             const struct narrow_coding *coding,
                             enum dtype dtype, const uint8_t *pred,
                             const uint8_t *lost, const uint8_t *target,
                             size_t elem_count)
{
    narrow_context_set(&enc->context, coding, dtype);
    unsigned width = enc->context.format.width;
    if (elem_count > (enc->bytes_max - enc->bytes) / (width / 8))
        return STATUS_LIMIT;
    enc->bytes += elem_count * (width / 8);
    if (width == 8)
        encode_any(enc, pred, lost, target, elem_count, 8);
    else
        encode_any(enc, pred, lost, target, elem_count, 16);
    return STATUS_OK;
}

/* More lanes decode faster but cost about 2 bytes each: few for few bytes. */
static unsigned choose_lanes(const struct narrow_enc *enc)
{
    const uint32_t *costs = enc->cost[0];
    uint64_t cost = 0;
    for (size_t i = 0; i < enc->sym_count; i++)
        cost += costs[enc->syms[i]];
    uint64_t bytes = (cost >> 19) + (uint64_t)(enc->raw_pos - enc->raw);
    return bytes < 512 ? 0 : (bytes < 8192 ? 1 : (bytes < 24576 ? 2 : 3));
}

void narrow_enc_finish(struct narrow_enc *enc, struct writer *wr)
{
    if (!enc->sym_count) {
        writer_u8(wr, 0);
        return;
    }
    if (enc->raw_fill)
        enc->raw_pos++; /* stored already, see put_raw */
    size_t raw_bytes = (size_t)(enc->raw_pos - enc->raw);
    unsigned lane_code = choose_lanes(enc);
    unsigned lane_count = rans_lane_count(lane_code);
    uint32_t state[RANS_LANES_MAX];
    uint8_t *end = enc->words + enc->words_size;
    const uint8_t *words = rans_encode(enc->rans, enc->syms, enc->sym_count,
                                       lane_count, end, state);
    size_t word_count = (size_t)(end - words) / 2;
    writer_varint(wr, 1 + ((uint64_t)word_count * RANS_LANE_CODES | lane_code));
    writer_varint(wr, raw_bytes);
    for (unsigned i = 0; i < lane_count; i++)
        writer_le32(wr, state[i]);
    writer_bytes(wr, words, word_count * 2);
    writer_bytes(wr, enc->raw, raw_bytes);
    narrow_enc_begin(enc);
}
