/* The factor by which a whole tensor has shrunk or grown, as training with
 * weight decay leaves it beside the changes proper. */
#ifndef CODEC_LOSSLESS_BASE_SCALE_H
#define CODEC_LOSSLESS_BASE_SCALE_H

#include "codec/lossless/lowrank.h"

/* The factor that brings base nearest to target, by least squares, as struct
 * predict takes it. Of an input types, places and sizes are looked at.
 *
 * scale  out: 0 where none changes anything, and for other types than f64, f32,
 *        f16 and bf16 or a base of another type
 *
 * NO_MEMORY, or what the sources answer. */
enum status base_scale_fit(const struct lowrank_input *input, float *scale)
    MUST_CHECK;

#endif
