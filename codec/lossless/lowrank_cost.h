/* What elements of a sample would cost to code with a given prediction: the
 * entropy of their classes given the exponent of the base and the lost
 * fraction, and raw bits. Private to lowrank_*. */
#ifndef CODEC_LOSSLESS_LOWRANK_COST_H
#define CODEC_LOSSLESS_LOWRANK_COST_H

#include "codec/model/dtype.h"

#include <stddef.h>
#include <stdint.h>

#define LOWRANK_COST_GROUPS 64u
#define LOWRANK_COST_SYMS   128u

struct lowrank_sample {
    enum dtype dtype;
    size_t count;
    float *base;     /* values of the base */
    float *diff;     /* target less base */
    int32_t *target; /* of types of 16 bits and less: the ordered element */
};

/* Scratch. */
struct lowrank_hist {
    uint32_t count[LOWRANK_COST_GROUPS][LOWRANK_COST_SYMS];
};

/* Bits of the whole sample; low (one an element) is what the prediction adds
 * to the base, NULL: nothing. */
double lowrank_cost(const struct lowrank_sample *sample, const float *low,
                    struct lowrank_hist *hist);

/* The element as an ordered integer, for target. */
int32_t lowrank_ordered(enum dtype dtype, const uint8_t *element);

#endif
