/* The steps of lattices: those that quantisation parameters of NNC name, as far
 * as they are normal binary32 numbers.
 *
 *     step(qp, density) = (m + qp mod m) * 2^(floor(qp / m) - density),
 *     m = 2^density
 *
 * Ref: ISO/IEC 15938-17:2024, "uniform quantization"; codec/FORMAT.md,
 * "Lattices". */
#ifndef CODEC_LOSSLESS_LATTICE_STEP_H
#define CODEC_LOSSLESS_LATTICE_STEP_H

#include "codec/lossless/narrow_float.h"

#include <stdbool.h>

#define LATTICE_DENSITY_MAX 7u
/* Of floor(qp / m). */
#define LATTICE_OCTAVE_MIN (-120)
#define LATTICE_OCTAVE_MAX 100
/* Most steps from a prediction; each is a binary32 number. */
#define LATTICE_LEVEL_MAX ((int32_t)1 << 24)

static inline int lattice_octave(int qp, unsigned density)
{
    int m = 1 << density;
    return qp >= 0 ? qp / m : -((m - 1 - qp) / m);
}

/* True when there is such a step. */
static inline bool lattice_step_ok(int qp, unsigned density)
{
    return density <= LATTICE_DENSITY_MAX &&
           qp >= LATTICE_OCTAVE_MIN * (1 << density) &&
           qp < (LATTICE_OCTAVE_MAX + 1) * (1 << density);
}

/* The step; lattice_step_ok. Exact. */
static inline float lattice_step(int qp, unsigned density)
{
    int octave = lattice_octave(qp, density);
    uint32_t mantissa = (uint32_t)(qp - octave * (1 << density))
                        << (23 - density);
    return float_of_bits((uint32_t)(octave + 127) << 23 | mantissa);
}

#endif
