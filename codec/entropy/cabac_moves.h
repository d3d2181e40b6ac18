/* Contexts of the binary arithmetic coder by tables: what cabac_ctx.h computes,
 * for loops that code or count many bins. A state here is a pair of numbers,
 * fast and slow, where fast is 16 times that of struct cabac_ctx, so that
 * s = fast + slow.
 *
 * Ref: ISO/IEC 15938-17:2024, context variables. */
#ifndef CODEC_ENTROPY_CABAC_MOVES_H
#define CODEC_ENTROPY_CABAC_MOVES_H

#include "codec/entropy/cabac_tables.h"

#include <stdint.h>

/* Different pairs of shifts among the parameter sets. */
#define CABAC_PAIRS 4u

/* Transitions with one pair of shifts, by bin. */
struct cabac_moves {
    struct cabac_move {
        int16_t fast[256]; /* the next one: [128 + (fast >> 4)] */
        int16_t slow[64];  /* what is added: [32 + ((slow + bin - 1) >> 7)] */
    } bin[2];
};
extern const struct cabac_moves cabac_moves[CABAC_PAIRS];

/* The entry of cabac_moves for each parameter set. */
extern const uint8_t cabac_moves_of[CABAC_SETS];

/* Range of the less probable bin, [32 + (s >> 7)][(range >> 5) & 7]. */
extern const uint8_t cabac_moves_lps[64][8];

static inline int cabac_moves_fast(const struct cabac_moves *moves, int fast,
                                   unsigned bin)
{
    return moves->bin[bin].fast[128 + (fast >> 4)];
}

static inline int cabac_moves_slow(const struct cabac_moves *moves, int slow,
                                   unsigned bin)
{
    return slow + moves->bin[bin].slow[32 + ((slow + (int)bin - 1) >> 7)];
}

#endif
