/* Encoder of the fast coder: collects the symbols of a segment and writes raw
 * bits block by block; rANS runs backwards over the symbols at the end. */
#include "codec/lossless/fast_shift.h"

#include <stdlib.h>

#define BLOCK       1024u
#define SHIFTS      (BLOCK / FAST_SHIFT_BLOCK)
#define STORE_SLACK 16u

struct fast_enc {
    const struct fast_kernels *kernels;
    struct fast_context context;
    struct rans_enc_table rans[FAST_TABLES_MAX];
    /* FREQ_SYM_ESCAPE for a symbol without frequency, else 0. */
    uint8_t escape[FAST_TABLES_MAX][FREQ_SYMS];
    uint32_t uncoded[FAST_TABLES_MAX]; /* bits: symbols without frequency */
    size_t alike; /* so many in ctx are the context of exponent 0 */
    uint16_t ctx[BLOCK];
    struct fast_classes classes[FAST_SHIFT_BLOCK];
    uint64_t bits[BLOCK];  /* how many raw bits of an element, or of two */
    uint64_t value[BLOCK]; /* these bits */
    uint32_t cost[FAST_TABLES_MAX][FREQ_SYMS];
    size_t bytes_max;
    size_t bytes; /* of the target so far */
    size_t sym_count;
    size_t shift_count;
    uint8_t *raw_pos;
    uint64_t raw_acc;  /* raw_fill bits not stored yet */
    unsigned raw_fill; /* < 64 */
    uint16_t *syms;
    uint16_t *shifts; /* table << 5 | symbol */
    uint8_t *raw;
    uint8_t *words;
    size_t words_size;
};

struct fast_enc *fast_enc_new(const struct fast_tables *tables,
                              size_t segment_bytes_max)
{
    struct fast_enc *enc = calloc(1, sizeof(*enc));
    if (!enc)
        return NULL;
    size_t max = segment_bytes_max < FAST_SEGMENT_BYTES_MAX
                     ? segment_bytes_max
                     : FAST_SEGMENT_BYTES_MAX;
    enc->bytes_max = max;
    /* A word for each symbol and for each shift, and one each to spare. */
    enc->words_size = max + 4;
    enc->syms = malloc(max / 2 + 2);
    enc->shifts = malloc(max / 2 + 2);
    enc->raw = malloc(max + STORE_SLACK);
    enc->words = malloc(enc->words_size);
    if (!enc->syms || !enc->shifts || !enc->raw || !enc->words) {
        fast_enc_free(enc);
        return NULL;
    }
    enc->kernels = fast_kernels_choose();
    for (unsigned i = 0; i < tables->count; i++) {
        rans_enc_table_init(&enc->rans[i], &tables->table[i]);
        freq_costs(&tables->table[i], 0, enc->cost[i]);
        for (unsigned s = 0; s < FREQ_SYMS; s++) {
            bool none = !tables->table[i].freq[s];
            enc->escape[i][s] = none ? FREQ_SYM_ESCAPE : 0;
            enc->uncoded[i] |= (uint32_t)none << s;
        }
    }
    fast_enc_begin(enc);
    return enc;
}

void fast_enc_plain(struct fast_enc *enc)
{
    enc->kernels = &fast_kernels_plain;
}

void fast_enc_free(struct fast_enc *enc)
{
    if (!enc)
        return;
    free(enc->syms);
    free(enc->shifts);
    free(enc->raw);
    free(enc->words);
    free(enc);
}

void fast_enc_begin(struct fast_enc *enc)
{
    enc->bytes = enc->sym_count = enc->shift_count = 0;
    enc->raw_pos = enc->raw;
    enc->raw_acc = 0;
    enc->raw_fill = 0;
}

/* The write cursor, in locals of the loop. */
struct raw_out {
    uint8_t *pos;
    uint64_t acc;
    unsigned fill; /* < 64 */
};

/* bits <= 64; those above must be zero. Always stores 8 bytes. No branches. */
static ALWAYS_INLINE void put_bits(struct raw_out *out, uint64_t v,
                                   unsigned bits)
{
    uint64_t acc = out->acc | v << out->fill;
    store_le64(out->pos, acc);
    uint64_t left = v >> 1 >> (63 - out->fill);
    unsigned fill = out->fill + bits;
    uint64_t full = 0 - (uint64_t)(fill / 64);
    out->pos += full & 8;
    out->acc = acc ^ ((acc ^ left) & full);
    out->fill = fill % 64;
}

/* classes_sym for any magnitude, 0 and those too wide included, without
 * branches: symbols are hard to predict. */
static ALWAYS_INLINE unsigned diff_sym(uint64_t magnitude, unsigned row,
                                       unsigned width)
{
    uint64_t none = magnitude == 0;
    int over = (int)classes_of(magnitude | none) - (int)row;
    over &= ~(over >> 31);
    unsigned sym = (unsigned)over + 1;
    sym = sym > FREQ_SYM_ESCAPE ? FREQ_SYM_ESCAPE : sym;
    sym |= FREQ_SYM_ESCAPE * (unsigned)(magnitude >> (width - 1));
    return sym & ((unsigned)none - 1);
}

static ALWAYS_INLINE unsigned value_sym(uint64_t magnitude, unsigned first,
                                        unsigned width, unsigned mantissa_bits)
{
    if (!magnitude)
        return 0;
    if (magnitude >> (width - 1))
        return FREQ_SYM_ESCAPE;
    return classes_sym_direct((unsigned)(magnitude >> (mantissa_bits - 1)),
                              first);
}

/* First pass over a block: the symbol and raw bits of each element. width,
 * mantissa_bits and has_base are constants where these are inlined. */
static ALWAYS_INLINE void find_syms(struct fast_enc *enc, const uint16_t *ctxs,
                                    const uint8_t *base, const uint8_t *target,
                                    size_t count, unsigned width,
                                    unsigned mantissa_bits, bool has_base)
{
    const struct fast_context *context = &enc->context;
    const uint64_t mask = ~(uint64_t)0 >> (64 - width);
    uint16_t *syms = enc->syms + enc->sym_count;
    for (size_t i = 0; i < count; i++) {
        uint64_t bits = fast_load(target + i * (width / 8), width), from = 0;
        if (has_base)
            from = fast_load(base + i * (width / 8), width);
        uint16_t ctx = ctxs[i];
        bool direct = mantissa_bits && (!has_base || fast_ctx_direct(ctx));
        from = direct ? 0 : fast_ordered(from, width, mantissa_bits);
        uint64_t d = fast_ordered(bits, width, mantissa_bits) - from;
        uint64_t sign = d >> (width - 1) & 1;
        uint64_t magnitude = ((d ^ (0 - sign)) + sign) & mask;
        unsigned row = fast_ctx_entry(ctx) >> FAST_ROW_SHIFT;
        unsigned sym = direct ? value_sym(magnitude, context->direct_first,
                                          width, mantissa_bits)
                              : diff_sym(magnitude, row, width);
        unsigned table = ctx >> RANS_TABLE_SHIFT;
        sym |= enc->escape[table][sym];
        classes_entry entry = context->rows[row][sym];
        uint64_t above = (uint64_t)(entry >> 8) << (entry & 63);
        /* An escape has nothing above its bits. */
        enc->value[i] =
            (sym == FREQ_SYM_ESCAPE ? bits : 2 * magnitude + sign) - above;
        enc->bits[i] = entry & 0xff;
        syms[i] = (uint16_t)(table * FREQ_SYMS + sym);
    }
}

/* Second pass: the raw bits. */
static void put_raw(struct fast_enc *enc, size_t count)
{
    struct raw_out out = {enc->raw_pos, enc->raw_acc, enc->raw_fill};
    for (size_t i = 0; i < count; i++)
        put_bits(&out, enc->value[i], (unsigned)enc->bits[i]);
    enc->raw_pos = out.pos;
    enc->raw_acc = out.acc;
    enc->raw_fill = out.fill;
}

/* A shift that the table has, from sym towards none. */
static unsigned coded_shift(const struct fast_enc *enc, unsigned sym)
{
    uint32_t uncoded = enc->uncoded[enc->context.coding.shift_table];
    while (sym != FAST_SHIFT_NONE && uncoded >> sym & 1)
        sym = sym < FAST_SHIFT_NONE ? sym + 1 : sym - 1;
    return uncoded >> sym & 1 ? FREQ_SYM_ESCAPE : sym;
}

/* Chooses the shifts of a block's elements. */
static void put_shifts(struct fast_enc *enc, const uint8_t *base,
                       const uint8_t *target, size_t count,
                       uint8_t shifts[SHIFTS])
{
    const struct fast_context *context = &enc->context;
    size_t bytes = context->format.width / 8;
    unsigned table = context->coding.shift_table;
    for (size_t at = 0; at < count; at += FAST_SHIFT_BLOCK) {
        size_t n = count - at;
        n = n < FAST_SHIFT_BLOCK ? n : FAST_SHIFT_BLOCK;
        fast_classes_find(enc->kernels, &context->format, base + at * bytes,
                          target + at * bytes, enc->classes, n);
        unsigned sym = fast_shift_choose(enc->kernels, enc->classes, n,
                                         context->coding.scale);
        sym = coded_shift(enc, sym);
        *shifts++ = (uint8_t)sym;
        enc->shifts[enc->shift_count++] = (uint16_t)(table * FREQ_SYMS + sym);
    }
}

static void find_contexts(struct fast_enc *enc, const uint8_t *base,
                          const uint8_t *target, size_t count)
{
    const struct fast_context *context = &enc->context;
    uint8_t shifts[SHIFTS];
    if (context->has_base && context->is_float) {
        if (context->shifted)
            put_shifts(enc, base, target, count, shifts);
        fast_contexts(enc->kernels, context, base, shifts, enc->ctx, count);
        enc->alike = 0;
    }
    for (; enc->alike < count && !(context->has_base && context->is_float);
         enc->alike++)
        enc->ctx[enc->alike] = context->by_exponent[0][0];
}

/* Both passes by kernels; returns how many elements they took. */
static size_t encode_quick(struct fast_enc *enc, const uint8_t *base,
                           const uint8_t *target, size_t count)
{
    const struct fast_context *context = &enc->context;
    count -= count % FAST_GROUP;
    const struct fast_syms block = {.context = context,
                                    .base = base,
                                    .target = target,
                                    .ctx = enc->ctx,
                                    .uncoded = enc->uncoded,
                                    .escape = enc->escape[0],
                                    .syms = enc->syms + enc->sym_count,
                                    .raw = enc->value,
                                    .bits = enc->bits};
    enc->kernels->syms_32(&block, count);
    put_raw(enc, count / 2);
    enc->sym_count += count;
    return count;
}

static ALWAYS_INLINE void encode_run(struct fast_enc *enc, const uint8_t *base,
                                     const uint8_t *target, size_t count,
                                     unsigned width, unsigned mantissa_bits,
                                     bool has_base)
{
    size_t step = (size_t)BLOCK * (width / 8);
    for (size_t at = 0; count; at += step) {
        size_t now = count < BLOCK ? count : BLOCK, done = 0;
        find_contexts(enc, has_base ? base + at : NULL, target + at, now);
        if (width == 32)
            done = encode_quick(enc, has_base ? base + at : NULL, target + at,
                                now);
        size_t skip = at + done * (width / 8);
        find_syms(enc, enc->ctx + done, has_base ? base + skip : NULL,
                  target + skip, now - done, width, mantissa_bits, has_base);
        put_raw(enc, now - done);
        enc->sym_count += now - done;
        count -= now;
    }
}

static ALWAYS_INLINE void encode_any(struct fast_enc *enc, const uint8_t *base,
                                     const uint8_t *target, size_t count,
                                     unsigned width, unsigned mantissa_bits)
{
    if (enc->context.has_base)
        encode_run(enc, base, target, count, width, mantissa_bits, true);
    else
        encode_run(enc, NULL, target, count, width, mantissa_bits, false);
}

enum status fast_enc_piece(struct fast_enc *enc,
                           const struct fast_coding *coding, enum dtype dtype,
                           const uint8_t *base, const uint8_t *target,
                           size_t elem_count)
{
    if (fast_context_set(&enc->context, coding, dtype))
        enc->alike = 0;
    size_t elem_bytes = enc->context.format.width / 8;
    if (elem_count > (enc->bytes_max - enc->bytes) / elem_bytes)
        return STATUS_LIMIT;
    enc->bytes += elem_count * elem_bytes;
    switch (dtype) {
    case DTYPE_F64:
        encode_any(enc, base, target, elem_count, 64, 52);
        break;
    case DTYPE_F32:
        encode_any(enc, base, target, elem_count, 32, 23);
        break;
    case DTYPE_I64:
    case DTYPE_U64:
        encode_any(enc, base, target, elem_count, 64, 0);
        break;
    default:
        encode_any(enc, base, target, elem_count, 32, 0);
        break;
    }
    return STATUS_OK;
}

/* So many have the most lanes. */
#define MANY_BYTES 65536u

/* More lanes decode faster but cost about 2 bytes each: few for few bytes. */
static unsigned choose_lanes(const struct fast_enc *enc)
{
    uint64_t raw = (uint64_t)(enc->raw_pos - enc->raw), cost = 0;
    for (size_t i = 0; raw < MANY_BYTES && i < enc->sym_count; i++)
        cost += enc->cost[enc->syms[i] / FREQ_SYMS][enc->syms[i] % FREQ_SYMS];
    uint64_t bytes = (cost >> 19) + raw;
    return bytes < 512 ? 0 : (bytes < 16384 ? 1 : (bytes < MANY_BYTES ? 2 : 3));
}

void fast_enc_finish(struct fast_enc *enc, struct writer *wr)
{
    if (!enc->sym_count) {
        writer_u8(wr, 0);
        return;
    }
    store_le64(enc->raw_pos, enc->raw_acc);
    enc->raw_pos += (enc->raw_fill + 7) / 8;
    size_t raw_bytes = (size_t)(enc->raw_pos - enc->raw);
    unsigned lane_code = choose_lanes(enc);
    unsigned lane_count = rans_lane_count(lane_code);
    uint32_t state[RANS_LANES_MAX];
    uint8_t *end = enc->words + enc->words_size;
    uint8_t *words =
        enc->kernels != &fast_kernels_plain
            ? rans_encode(enc->rans, enc->syms, enc->sym_count, lane_count, end,
                          state)
            : rans_encode_plain(enc->rans, enc->syms, enc->sym_count,
                                lane_count, end, state);
    size_t word_count = (size_t)(end - words) / 2;
    uint32_t shift_state[RANS_LANES_MAX];
    const uint8_t *shifts = rans_encode_plain(
        enc->rans, enc->shifts, enc->shift_count, 1, words, shift_state);
    writer_varint(wr, 1 + ((uint64_t)word_count * RANS_LANE_CODES | lane_code));
    writer_varint(wr, raw_bytes);
    writer_varint(wr, enc->shift_count ? 1 + (size_t)(words - shifts) / 2 : 0);
    for (unsigned i = 0; i < lane_count; i++)
        writer_le32(wr, state[i]);
    if (enc->shift_count)
        writer_le32(wr, shift_state[0]);
    writer_bytes(wr, words, word_count * 2);
    writer_bytes(wr, shifts, (size_t)(words - shifts));
    writer_bytes(wr, enc->raw, raw_bytes);
    fast_enc_begin(enc);
}
