/* Row scales from or to floats: a tensor whose rows were multiplied by numbers
 * of their own (a normalisation folded into the layer before it), or quantised
 * to integers with a scale for each row, and back. Where the factors are found
 * exactly, so is the tensor. */
#ifndef CODEC_LOSSLESS_ROW_RATIO_H
#define CODEC_LOSSLESS_ROW_RATIO_H

#include "codec/lossless/lowrank.h"

#define ROW_RATIO_COLUMNS_MAX 65536u

/* Finds for each row the factor that brings the base nearest to the target:
 * least squares; to integers, as exactly as their rounding tells. A few rows
 * are looked at first. input->row_scale is ignored; at least one type is a
 * float.
 *
 * scale        out: one a row, for struct predict
 * scale_shift  out
 * found        out: false when rows are no multiples of the base's; then
 *              nothing else is set
 *
 * UNSUPPORTED: other types, more than ROW_RATIO_COLUMNS_MAX columns or
 * ROW_SCALE_FINE_ROWS_MAX rows; NO_MEMORY, or what the sources answer. */
enum status row_ratio_fit(const struct lowrank_input *input, int32_t *scale,
                          int *scale_shift, bool *found) MUST_CHECK;

#endif
