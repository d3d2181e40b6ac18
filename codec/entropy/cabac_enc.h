/* The arithmetic encoder of ISO/IEC 15938-17: bins into a codeword that is
 * appended to a writer. One codeword is one payload.
 *
 *     cabac_enc_init(&enc, wr);
 *     cabac_enc_bin(&enc, s, bin); cabac_enc_bypass(&enc, value, bits); ...
 *     cabac_enc_finish(&enc);
 *
 * What fails is the writer, whose status sticks; the encoder goes on as if it
 * had not. The struct is open so that loops may keep a copy in registers:
 * copy it, work on the copy, copy it back. Contexts are not part of it: the
 * caller passes s = 16 * fast + slow and then updates them.
 *
 * low is the lower end of the interval, a number of 9 bits plus one for each
 * shift since the start; its upper bits are in the writer already, where a
 * carry still reaches them.
 *
 * Ref: ISO/IEC 15938-17:2024, arithmetic encoding (informative); the engine is
 * that of ISO/IEC 14496-10, 9.3.4.2. */
#ifndef CODEC_ENTROPY_CABAC_ENC_H
#define CODEC_ENTROPY_CABAC_ENC_H

#include "codec/base/cpu.h"
#include "codec/base/writer.h"
#include "codec/entropy/cabac_ctx.h"
#include "codec/entropy/cabac_moves.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Bits of low at which whole bytes leave it. */
#define CABAC_ENC_FILL_MAX 41u
/* Most bypass bins of one call. */
#define CABAC_ENC_BYPASS_MAX 16u

struct cabac_enc {
    struct writer *wr; /* borrowed */
    size_t start;      /* bytes before the codeword */
    uint64_t low;      /* its last `fill` bits, and a carry above them */
    uint32_t range;    /* 256 .. 510 between calls */
    uint32_t fill;     /* 9 .. CABAC_ENC_FILL_MAX - 1 between calls */
};

void cabac_enc_init(struct cabac_enc *enc, struct writer *wr);

/* The terminating bin, the stop bit and the padding to a byte. */
void cabac_enc_finish(struct cabac_enc *enc);

/* Moves all whole bytes above the last 9 .. 16 bits of low to the writer and
 * returns what is left of it. */
uint64_t cabac_enc_flush(struct writer *wr, size_t start, uint64_t low,
                         uint32_t fill);

/* Bits shifted since the start (9 at the start are not counted). */
static inline uint64_t cabac_enc_shifts(const struct cabac_enc *enc)
{
    return (uint64_t)(enc->wr->size - enc->start) * 8 + enc->fill - 9;
}

/* low has got `bits` more (<= 16). */
static ALWAYS_INLINE void cabac_enc_shift(struct cabac_enc *enc, uint32_t bits)
{
    enc->fill += bits;
    if (enc->fill >= CABAC_ENC_FILL_MAX) {
        enc->low = cabac_enc_flush(enc->wr, enc->start, enc->low, enc->fill);
        enc->fill = 9 + ((enc->fill - 9) & 7);
    }
}

/* One bin whose context is in state s; bin is 0 or 1. */
static ALWAYS_INLINE void cabac_enc_bin(struct cabac_enc *enc, ptrdiff_t s,
                                        int bin)
{
    uint32_t lps = cabac_moves_lps[32 + (s >> 7)][(enc->range >> 5) - 8];
    uint32_t mps = enc->range - lps;
    bool less = (s >= 0) != bin;
    enc->low += less ? mps : 0;
    uint32_t range = less ? lps : mps;
    uint32_t bits = 8 - (31 ^ (uint32_t)__builtin_clz(range));
    enc->range = range << bits;
    enc->low <<= bits;
    cabac_enc_shift(enc, bits);
}

/* The low `bits` bits of value (the others are zero), first the upper ones;
 * bits <= CABAC_ENC_BYPASS_MAX. */
static ALWAYS_INLINE void cabac_enc_bypass(struct cabac_enc *enc,
                                           uint32_t value, uint32_t bits)
{
    enc->low = (enc->low << bits) + (uint64_t)value * enc->range;
    cabac_enc_shift(enc, bits);
}

/* At the start of a row of blocks: makes what follows decodable by itself. */
static inline void cabac_enc_reset_range(struct cabac_enc *enc)
{
    enc->range = CABAC_RANGE_RESET;
}

#endif
