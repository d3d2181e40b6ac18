/* Interleaved static rANS. Both directions are short and share the meaning of a
 * state, so they live in one file. */
#include "codec/entropy/rans.h"

#include "codec/base/bytes.h"
#include "codec/entropy/rans_rounds.h"

#include <assert.h>
#include <string.h>

/* The reciprocal of freq with this many bits after the point divides exactly
 * what is below freq << 21. */
#define RECIPROCAL_BITS 43

unsigned rans_lane_count(unsigned lane_code)
{
    static const uint8_t count[RANS_LANE_CODES] = {1, 4, 16, 32};
    return count[lane_code];
}

void rans_enc_table_init(struct rans_enc_table *table,
                         const struct freq_table *freq)
{
    uint16_t cum = 0;
    for (unsigned s = 0; s < FREQ_SYMS; s++) {
        uint16_t f = freq->freq[s];
        struct rans_enc_sym *sym = &table->sym[s];
        *sym = (struct rans_enc_sym){0, f, cum, 0};
        if (f) {
            sym->reciprocal = (((uint64_t)1 << RECIPROCAL_BITS) + f - 1) / f;
            sym->quick = UINT32_MAX / f;
        }
        cum = (uint16_t)(cum + f);
    }
}

static ALWAYS_INLINE uint32_t encode_one(const struct rans_enc_sym *sym,
                                         uint32_t x, uint8_t **words)
{
    /* A word leaves when the state would outgrow 32 bits. The store is always
     * made, below what is kept, and the rest is arithmetic: no branch. */
    store_le16(*words - 2, (uint16_t)x);
    uint32_t full = x >> (32 - FREQ_SCALE_BITS) >= sym->freq;
    *words -= full * 2;
    x >>= full * 16;
    uint32_t q = (uint32_t)(x * sym->reciprocal >> RECIPROCAL_BITS);
    return (q << FREQ_SCALE_BITS) + (x - q * sym->freq) + sym->cum_freq;
}

static ALWAYS_INLINE const struct rans_enc_sym *
enc_sym(const struct rans_enc_table *tables, uint16_t sym)
{
    return &tables[sym / FREQ_SYMS].sym[sym % FREQ_SYMS];
}

/* lane_count is a constant where this is inlined. */
static ALWAYS_INLINE uint8_t *encode_rounds(const struct rans_enc_table *tables,
                                            const uint16_t *syms,
                                            size_t round_count,
                                            unsigned lane_count, uint8_t *words,
                                            uint32_t *state)
{
    uint32_t x[RANS_LANES_MAX];
    memcpy(x, state, sizeof(x));
    while (round_count-- > 0) {
        const uint16_t *sym = syms + round_count * lane_count;
        for (unsigned lane = lane_count; lane-- > 0;)
            x[lane] = encode_one(enc_sym(tables, sym[lane]), x[lane], &words);
    }
    memcpy(state, x, sizeof(x));
    return words;
}

uint8_t *rans_encode_plain(const struct rans_enc_table *tables,
                           const uint16_t *syms, size_t sym_count,
                           unsigned lane_count, uint8_t *words_end,
                           uint32_t state[RANS_LANES_MAX])
{
    for (unsigned i = 0; i < RANS_LANES_MAX; i++)
        state[i] = RANS_STATE_MIN;
    size_t rounds = sym_count / lane_count;
    for (size_t i = sym_count; i-- > rounds * lane_count;) {
        uint32_t *x = &state[i - rounds * lane_count];
        *x = encode_one(enc_sym(tables, syms[i]), *x, &words_end);
    }
    if (lane_count == RANS_LANES_MAX)
        return encode_rounds(tables, syms, rounds, RANS_LANES_MAX, words_end,
                             state);
    return encode_rounds(tables, syms, rounds, lane_count, words_end, state);
}

uint8_t *rans_encode(const struct rans_enc_table *tables, const uint16_t *syms,
                     size_t sym_count, unsigned lane_count, uint8_t *words_end,
                     uint32_t state[RANS_LANES_MAX])
{
#if CPU_X86
    if (lane_count >= 16 && cpu_has_avx2()) {
        size_t rounds = sym_count / lane_count, whole = rounds * lane_count;
        words_end = rans_encode_plain(tables, syms + whole, sym_count - whole,
                                      lane_count, words_end, state);
        return (lane_count == 16 ? rans_encode_16_avx2 : rans_encode_32_avx2)(
            tables, syms, rounds, words_end, state);
    }
#endif
    return rans_encode_plain(tables, syms, sym_count, lane_count, words_end,
                             state);
}

void rans_dec_table_init(struct rans_dec_table *table,
                         const struct freq_table *freq)
{
    unsigned slot = 0;
    for (uint32_t s = 0; s < FREQ_SYMS; s++)
        for (uint32_t i = 0; i < freq->freq[s] && slot < FREQ_SCALE; i++)
            table->slot[slot++] =
                s << 23 | (uint32_t)freq->freq[s] << FREQ_SCALE_BITS | i;
    assert(slot == FREQ_SCALE);
}

static ALWAYS_INLINE uint32_t decode_one(const struct rans_dec_table *tables,
                                         uint16_t ctx, uint32_t x, uint8_t *sym,
                                         const uint8_t **pos)
{
    uint32_t entry = tables[ctx >> RANS_TABLE_SHIFT].slot[x & (FREQ_SCALE - 1)];
    *sym = (uint8_t)(entry >> 23);
    x = (entry >> FREQ_SCALE_BITS & 0xfff) * (x >> FREQ_SCALE_BITS) +
        (entry & (FREQ_SCALE - 1));
    /* Half of these are taken at random. */
    uint32_t fed = cpu_opaque(x << 16 | load_le16(*pos));
    size_t low = x < RANS_STATE_MIN;
    *pos += 2 * low;
    return low ? fed : x;
}

/* lane_count is a constant where this is inlined. */
static ALWAYS_INLINE const uint8_t *
decode_rounds(uint32_t *state, unsigned lane_count,
              const struct rans_dec_table *tables, const uint16_t *ctx,
              uint8_t *syms, size_t round_count, const uint8_t *pos)
{
    uint32_t x[RANS_LANES_MAX];
    memcpy(x, state, lane_count * sizeof(*x));
    for (size_t round = 0; round < round_count; round++) {
        for (unsigned i = 0; i < lane_count; i++)
            x[i] = decode_one(tables, ctx[i], x[i], &syms[i], &pos);
        ctx += lane_count;
        syms += lane_count;
    }
    memcpy(state, x, lane_count * sizeof(*x));
    return pos;
}

static const uint8_t *rounds_1(uint32_t *state,
                               const struct rans_dec_table *tables,
                               const uint16_t *ctx, uint8_t *syms,
                               size_t round_count, const uint8_t *pos)
{
    return decode_rounds(state, 1, tables, ctx, syms, round_count, pos);
}

static const uint8_t *rounds_4(uint32_t *state,
                               const struct rans_dec_table *tables,
                               const uint16_t *ctx, uint8_t *syms,
                               size_t round_count, const uint8_t *pos)
{
    return decode_rounds(state, 4, tables, ctx, syms, round_count, pos);
}

static const uint8_t *rounds_16(uint32_t *state,
                                const struct rans_dec_table *tables,
                                const uint16_t *ctx, uint8_t *syms,
                                size_t round_count, const uint8_t *pos)
{
    return decode_rounds(state, 16, tables, ctx, syms, round_count, pos);
}

static const uint8_t *rounds_32(uint32_t *state,
                                const struct rans_dec_table *tables,
                                const uint16_t *ctx, uint8_t *syms,
                                size_t round_count, const uint8_t *pos)
{
    return decode_rounds(state, 32, tables, ctx, syms, round_count, pos);
}

void rans_dec_plain(struct rans_dec *dec)
{
    dec->rounds = dec->lane_count == 1    ? rounds_1
                  : dec->lane_count == 4  ? rounds_4
                  : dec->lane_count == 16 ? rounds_16
                                          : rounds_32;
}

static void choose_rounds(struct rans_dec *dec)
{
    rans_dec_plain(dec);
#if CPU_X86
    if (cpu_has_avx2() && dec->lane_count == 16)
        dec->rounds = rans_rounds_16_avx2;
    if (cpu_has_avx2() && dec->lane_count == 32)
        dec->rounds = rans_rounds_32_avx2;
#endif
}

enum status rans_dec_begin(struct rans_dec *dec, unsigned lane_code,
                           const uint8_t *state, const uint8_t *words,
                           size_t word_count)
{
    dec->lane_count = rans_lane_count(lane_code);
    dec->lane = 0;
    choose_rounds(dec);
    dec->pos = words;
    dec->end = words + 2 * word_count;
    dec->over = false;
    dec->in_tail = false;
    for (unsigned i = 0; i < dec->lane_count; i++) {
        dec->state[i] = load_le32(state + 4 * i);
        if (dec->state[i] < RANS_STATE_MIN)
            return STATUS_CORRUPT;
    }
    return STATUS_OK;
}

/* Before a block: if the words might run out in it, they move to the tail,
 * where zeros follow, so that the loop needs no test. */
static void prepare_words(struct rans_dec *dec)
{
    size_t left = (size_t)(dec->end - dec->pos);
    if (left >= (size_t)2 * RANS_BLOCK_MAX)
        return;
    if (!dec->in_tail) {
        memcpy(dec->tail, dec->pos, left);
        memset(dec->tail + left, 0, sizeof(dec->tail) / 2);
        dec->pos = dec->tail;
        dec->end = dec->tail + left;
        dec->in_tail = true;
    }
}

static void decode_single(struct rans_dec *dec,
                          const struct rans_dec_table *tables, uint16_t ctx,
                          uint8_t *sym)
{
    uint32_t *x = &dec->state[dec->lane];
    *x = decode_one(tables, ctx, *x, sym, &dec->pos);
    dec->lane = dec->lane + 1 == dec->lane_count ? 0 : dec->lane + 1;
}

void rans_dec_syms(struct rans_dec *dec, const struct rans_dec_table *tables,
                   const uint16_t *ctx, uint8_t *syms, size_t sym_count)
{
    prepare_words(dec);
    size_t i = 0;
    while (i < sym_count && dec->lane)
        decode_single(dec, tables, ctx[i], &syms[i]), i++;
    size_t rounds = (sym_count - i) / dec->lane_count;
    dec->pos =
        dec->rounds(dec->state, tables, ctx + i, syms + i, rounds, dec->pos);
    i += rounds * dec->lane_count;
    while (i < sym_count)
        decode_single(dec, tables, ctx[i], &syms[i]), i++;
    if (dec->pos > dec->end) {
        dec->over = true;
        dec->pos = dec->end;
    }
}

enum status rans_dec_finish(const struct rans_dec *dec)
{
    if (dec->over)
        return STATUS_TRUNCATED;
    bool ok = dec->pos == dec->end;
    for (unsigned i = 0; i < dec->lane_count; i++)
        ok = ok && dec->state[i] == RANS_STATE_MIN;
    return ok ? STATUS_OK : STATUS_CORRUPT;
}
