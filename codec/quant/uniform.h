/* Uniform quantisation: value / step to the nearest integer, or to one nearby
 * that costs less. */
#ifndef CODEC_QUANT_UNIFORM_H
#define CODEC_QUANT_UNIFORM_H

#include "codec/quant/level_cost.h"

/* The nearest levels, halves away from zero: value * (1 / step) in binary32,
 * one multiply, then rounded. Levels are clipped to low .. high. in->lambda and
 * limit are not looked at. */
void uniform_nearest(const struct level_input *in, int32_t low, int32_t high,
                     int32_t *levels);

/* One after the other each level is the one of n, n - 1, 0 (n the nearest
 * magnitude) that has the smallest squared error + lambda * bits, bits being
 * those of the contexts as the levels before have left them. Levels whose error
 * would be above in->limit are not taken. Rows are not skipped.
 *
 * cost  a workspace; left as the levels make it */
void uniform_choose(const struct level_input *in, struct level_cost *cost,
                    int32_t *levels);

#endif
