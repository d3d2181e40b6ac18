/* Steps of quantisation as NNC streams have them: a quantisation parameter qp
 * and a density stand for the step
 *
 *     D = (m + (qp & (m - 1))) * 2^((qp >> density) - density), m = 2^density
 *
 * m steps an octave, qp 0 is a step of 1. All of it is exact: D has at most
 * 8 significant bits.
 *
 * Ref: ISO/IEC 15938-17:2024, quantisation. */
#ifndef CODEC_QUANT_QP_H
#define CODEC_QUANT_QP_H

#include <stddef.h>

#define QP_DENSITY_MAX 7u

/* What a stream can hold with mps_quantization_parameter 0; density <=
 * QP_DENSITY_MAX. */
static inline int qp_min(unsigned density)
{
    return -(1 << (5 + density));
}

static inline int qp_max(unsigned density)
{
    return (1 << (5 + density)) - 1;
}

/* The step of qp, for any qp of a stream: 2^-32 .. 2^32. */
double qp_step(int qp, unsigned density);

/* The largest qp whose step is at most `step` > 0, qp_min if there is none. */
int qp_at_most(double step, unsigned density);

/* The qp nearest to a step > 0, halves upwards, within the limits. */
int qp_nearest(double step, unsigned density);

/* The smallest qp at which no value's level is above 2^30: what quantisers
 * here take. max_abs is that of the values. */
int qp_floor(double max_abs, unsigned density);

/* The step of a bit depth and the levels that it has: such that the 99.95th
 * percentile of the magnitudes is the largest level.
 *
 * values   count of them, finite
 * scratch  count floats
 * bits     2 .. 24; of a tensor of one dimension at least 8 are usual
 * low, high  out: levels are to be clipped to these
 *
 * Returns a qp; qp_min if all values are 0. */
int qp_of_bits(const float *values, size_t count, float *scratch, unsigned bits,
               unsigned density, int *low, int *high);

#endif
