/* What levels cost: an adaptive model of the coder that they are for, close
 * enough to choose by. Levels are chosen one after the other so that squared
 * error + lambda * bits is small.
 *
 * A level is zero or not, given how large those near it are (before it in its
 * row, in the row above, of its column so far); then its sign given those of
 * left and above; then its magnitude in unary, from eleven on as an
 * Exp-Golomb number. Probabilities are the mean of a fast and a slow estimate.
 */
#ifndef CODEC_QUANT_QUANTIZE_RATE_H
#define CODEC_QUANT_QUANTIZE_RATE_H

#include "codec/base/status.h"
#include "codec/lossless/narrow_float.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define QUANTIZE_ACTIVITIES 24u
#define QUANTIZE_UNARY      10u
/* Most steps from a prediction, of which each is a binary32 number. */
#define QUANTIZE_LEVEL_MAX ((int32_t)1 << 23)

/* Two estimates of the probability of a 1, in 1/65536. */
struct quantize_prob {
    uint16_t fast, slow;
};

struct quantize_rate {
    struct quantize_prob zero[QUANTIZE_ACTIVITIES][3];
    struct quantize_prob sign[9];
    struct quantize_prob more[QUANTIZE_ACTIVITIES][QUANTIZE_UNARY + 1];
    struct quantize_prob golomb[32];
    float cost[257]; /* bits of a bin of probability i / 256 */
};

void quantize_rate_init(struct quantize_rate *rate);

/* A matrix of differences to be put in steps. */
struct quantize_matrix {
    size_t count;
    size_t columns;    /* elements a row; the last row may be short */
    const float *diff; /* target less prediction */
    /* Of types narrower than 32 bits, whose rounding counts; else NULL. */
    const float *pred;
    struct narrow_float narrow;
};

/* Chooses levels.
 *
 * step    > 0
 * lambda  squared error that a bit is worth; 0: the nearest levels
 * rate    probabilities; left as the levels make them
 * levels  out: count of them
 * bits    out, as error: sum of bits, sum of squared errors of what is
 *         then rounded to its type
 *
 * LIMIT: a level above QUANTIZE_LEVEL_MAX; NO_MEMORY: 4 bytes a column. */
enum status quantize_rate_choose(const struct quantize_matrix *m, float step,
                                 double lambda, struct quantize_rate *rate,
                                 int32_t *levels, double *bits, double *error)
    MUST_CHECK;

#endif
