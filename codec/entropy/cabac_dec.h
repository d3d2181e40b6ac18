/* The decoder's side of the binary arithmetic coder: bins out of one codeword.
 *
 * Plain use: cabac_dec_init, then cabac_dec_bin and cabac_dec_bypass in the
 * order in which the bins were written, cabac_dec_finish at the end. A codeword
 * that is too short never reads past its bytes: zero bits follow, are counted,
 * and cabac_dec_finish says TRUNCATED; loops that run as long as a count from
 * outside look at cabac_dec_overrun now and then.
 *
 * Hot loops keep the open struct in locals and use cabac_dec_fast.h.
 *
 * The offset is not shifted when the range is: it is the high part of value,
 * with `bits` bits of lookahead below it, and is compared with range << bits.
 *
 * Ref: ISO/IEC 15938-17:2024, arithmetic decoding; Marpe, Schwarz and Wiegand,
 * IEEE Trans. CSVT 13(7), 2003. */
#ifndef CODEC_ENTROPY_CABAC_DEC_H
#define CODEC_ENTROPY_CABAC_DEC_H

#include "codec/base/bytes.h"
#include "codec/base/status.h"
#include "codec/entropy/cabac_ctx.h"

/* Bits that a bin takes at most, and that cabac_dec_fill makes sure of. */
#define CABAC_DEC_BIN  7
#define CABAC_DEC_FILL (3 * CABAC_DEC_BIN)

struct cabac_dec {
    uint64_t value; /* offset << bits | lookahead */
    uint32_t range; /* 256 .. 510 */
    int32_t bits;   /* of lookahead */
    const uint8_t *pos, *start, *end;
    uint64_t past; /* bytes of zeros read past the end */
    bool outside;  /* an offset was not below the range */
};

/* The next four bytes, the first in the highest place, with zeros past the
 * end. */
static inline uint32_t cabac_dec_word(struct cabac_dec *dec)
{
    if (dec->end - dec->pos >= 4) {
        uint32_t word = load_be32(dec->pos);
        dec->pos += 4;
        return word;
    }
    uint32_t word = 0;
    for (int i = 0; i < 4; i++) {
        bool left = dec->pos < dec->end;
        word = word << 8 | (left ? *dec->pos : 0u);
        dec->pos += left;
        dec->past += !left;
    }
    return word;
}

static inline void cabac_dec_fill(struct cabac_dec *dec)
{
    if (__builtin_expect(dec->bits < CABAC_DEC_FILL, 0)) {
        dec->value = dec->value << 32 | cabac_dec_word(dec);
        dec->bits += 32;
    }
}

/* Keeps the offset below the range, on which all else relies (value does not
 * grow then, however many bins follow): no encoder lets it start elsewhere, and
 * cabac_dec_finish refuses a codeword that does. */
static inline void cabac_dec_confine(struct cabac_dec *dec)
{
    uint64_t bound = (uint64_t)dec->range << dec->bits;
    if (dec->value >= bound) {
        /* The bits read ahead stay, however many there are. */
        dec->value = bound - (UINT64_C(1) << dec->bits) +
                     (dec->value & ((UINT64_C(1) << dec->bits) - 1));
        dec->outside = true;
    }
}

/* bytes are borrowed as long as the decoder is used. */
static inline void cabac_dec_init(struct cabac_dec *dec, struct bytes bytes)
{
    static const uint8_t nothing[1];
    const uint8_t *start = bytes.size ? bytes.data : nothing;
    *dec = (struct cabac_dec){.range = CABAC_RANGE_START,
                              .bits = -9,
                              .pos = start,
                              .start = start,
                              .end = start + bytes.size};
    cabac_dec_fill(dec);
    cabac_dec_confine(dec);
}

/* Whether more than 64 bits past the end were used; what was only read ahead
 * does not count, so that it does not matter when refills happened. */
static inline bool cabac_dec_overrun(const struct cabac_dec *dec)
{
    return 8 * dec->past > (uint64_t)dec->bits + 64;
}

/* Takes the bin that lies in the upper part of the range, if it does: true,
 * and the offset and range are those within it. upper < range. */
static inline bool cabac_dec_split(struct cabac_dec *dec, uint32_t upper)
{
    uint32_t lower = dec->range - upper;
    uint64_t bound = (uint64_t)lower << dec->bits;
    bool in_upper = dec->value >= bound;
    dec->value -= in_upper ? bound : 0;
    dec->range = in_upper ? upper : lower;
    return in_upper;
}

static inline void cabac_dec_renorm(struct cabac_dec *dec)
{
    int shift = 8 - (31 ^ __builtin_clz(dec->range));
    dec->range <<= shift;
    dec->bits -= shift;
}

/* One bin with a context. */
static inline unsigned cabac_dec_bin(struct cabac_dec *dec,
                                     struct cabac_ctx *ctx)
{
    cabac_dec_fill(dec);
    unsigned mps = cabac_ctx_mps(ctx);
    unsigned bin =
        mps ^ cabac_dec_split(dec, cabac_ctx_range_lps(ctx, dec->range));
    cabac_dec_renorm(dec);
    cabac_ctx_update(ctx, bin);
    return bin;
}

/* count bins without a context, the first in the highest place; 0..32. */
static inline uint32_t cabac_dec_bypass(struct cabac_dec *dec, unsigned count)
{
    uint32_t value = 0;
    for (unsigned i = 0; i < count; i++) {
        cabac_dec_fill(dec);
        dec->bits--;
        uint64_t bound = (uint64_t)dec->range << dec->bits;
        bool bin = dec->value >= bound;
        dec->value -= bin ? bound : 0;
        value = value << 1 | bin;
    }
    return value;
}

static inline void cabac_dec_range_reset(struct cabac_dec *dec)
{
    dec->range = CABAC_RANGE_RESET;
    cabac_dec_confine(dec);
}

/* Reads the terminate bin and sees to it that the codeword ends where it
 * must: stop bit, zeros up to the byte's end, no byte more.
 *
 * STATUS_TRUNCATED  it is longer than the bytes
 * STATUS_CORRUPT    it ends elsewhere, or an offset was not below the range at
 *                   its start or at a range reset */
enum status cabac_dec_finish(struct cabac_dec *dec) MUST_CHECK;

#endif
