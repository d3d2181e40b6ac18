/* Learned levels: a few values, integers on a grid 16 times finer than the
 * step, instead of all its multiples. Each is the mean of what is assigned to
 * it, and assignment weighs squared error and bits (Lloyd's iteration with
 * rate). One entry is always 0.
 *
 * Worth its bytes where values cluster, or where few levels are used and their
 * means lie off the multiples of any step.
 *
 * Ref: ISO/IEC 15938-17:2024, codebooks. */
#ifndef CODEC_QUANT_CODEBOOK_H
#define CODEC_QUANT_CODEBOOK_H

#include "codec/nnc/nnc.h"
#include "codec/quant/level_cost.h"

#include <stdbool.h>
#include <stdint.h>

#define CODEBOOK_MAX 64u
/* The grid is finer than the step by 2^CODEBOOK_FINE. */
#define CODEBOOK_FINE 4

struct codebook {
    uint32_t size, zero;          /* values[zero] is 0 */
    int32_t values[CODEBOOK_MAX]; /* increasing */
};

/* Makes an entry of each level that occurs, and of 0: the mean of its values,
 * or without `means` the level itself.
 *
 * in      its step is the coarse one
 * levels  in->count integers that rise with the values they stand for: levels
 *         of a uniform quantiser, or what codebook_choose made
 *
 * False: there would be more than CODEBOOK_MAX entries, or of a range that is
 * 256 times as long. */
bool codebook_learn(struct codebook *book, const struct level_input *in,
                    const int32_t *levels, bool means);

/* Assigns each value to the nearest entry, the next one towards 0, or 0, as
 * uniform_choose does; indices are those less book->zero. */
void codebook_choose(const struct codebook *book, const struct level_input *in,
                     struct level_cost *cost, int32_t *indices);

/* Bits that a codebook takes in a header, with the best order of its code. */
uint32_t codebook_bits(const struct nnc_codebook *book);

#endif
