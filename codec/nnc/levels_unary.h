/* Guesses the unary length (cabac_unary_length_minus1 + 1) that codes the
 * integers of a tensor in the fewest bits, from how often each magnitude
 * occurs. The guess is then weighed against the default by true bins. */
#ifndef CODEC_NNC_LEVELS_UNARY_H
#define CODEC_NNC_LEVELS_UNARY_H

#include "codec/nnc/level_coding.h"

#include <stdbool.h>
#include <stdint.h>

/* The length where the header says none. */
#define LEVEL_UNARY_ABSENT 10u
/* Magnitudes that are counted one by one; larger ones by their bit length. */
#define LEVELS_UNARY_SMALL 64u

struct levels_unary {
    uint16_t log[65]; /* log2(1 + i / 64) in units of 2^-12 */
    /* Of the tensor at hand. */
    uint32_t small[2][LEVELS_UNARY_SMALL + 1]; /* [negative][magnitude] */
    uint32_t most;      /* the largest magnitude, at most LEVELS_UNARY_SMALL */
    uint32_t large[33]; /* [bit length] */
};

void levels_unary_init(struct levels_unary *work);

/* k: count integers as they are coded; long tensors are sampled. *sure: out,
 * the guess is LEVEL_UNARY_ABSENT or far better than that. */
uint16_t levels_unary_guess(struct levels_unary *work, const int32_t *k,
                            uint64_t count, bool *sure);

#endif
