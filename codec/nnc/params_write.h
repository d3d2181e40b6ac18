/* Writes the model parameter set.
 *
 * Ref: ISO/IEC 15938-17:2024, NNR model parameter set syntax. */
#ifndef CODEC_NNC_PARAMS_WRITE_H
#define CODEC_NNC_PARAMS_WRITE_H

#include "codec/base/writer.h"

#include <stdbool.h>
#include <stdint.h>

/* Appends the unit: scalar quantisation, mps_quantization_parameter 0, no maps.
 *
 * profile  0 or 1
 * density  mps_qp_density, 0 .. 7
 * parents  mps_parent_signalling_enabled_flag; profile 1 only */
void params_write(struct writer *out, uint8_t profile, uint8_t density,
                  bool parents);

#endif
