/* Row scales of quantised tensors: a tensor that was quantised anew, with
 * another scale for each row, is near its base times the ratio of old and new
 * scales. The numbers struct predict takes, where they come from, and their
 * coding as a factor set.
 *
 * Byte layout: codec/FORMAT.md, "Row scales". */
#ifndef CODEC_LOSSLESS_ROW_SCALE_H
#define CODEC_LOSSLESS_ROW_SCALE_H

#include "codec/base/reader.h"
#include "codec/base/writer.h"
#include "codec/lossless/lowrank.h"

/* Row scales are 1 + d / 2^14 for d of 16 bits, in units of 2^-24. */
#define ROW_SCALE_ONE       ((int32_t)1 << 24)
#define ROW_SCALE_STEP_BITS 10u
#define ROW_SCALE_ROWS_MAX  (((uint64_t)1 << 19) - 1)

/* From or to floats they have all bits: two numbers of a factor set each. */
#define ROW_SCALE_FINE_ROWS_MAX (((uint64_t)1 << 18) - 1)

/* True unless both types are integers. */
bool row_scale_is_fine(enum dtype from, enum dtype dtype);

/* The nearest row scale to a ratio; ROW_SCALE_ONE for what is no number. */
int32_t row_scale_near(double ratio);

/* The scales that bring the rows of an i8 or u8 base nearest to the target, by
 * least squares: for where the quantisers' own scales are not known (their
 * ratio is better). input->row_scale is ignored.
 *
 * scale  out: one a row
 *
 * UNSUPPORTED: other types, or more than ROW_SCALE_ROWS_MAX rows; NO_MEMORY, or
 * what the sources answer. */
enum status row_scale_fit(const struct lowrank_input *input, int32_t *scale)
    MUST_CHECK;

/* Writes 1 .. ROW_SCALE_ROWS_MAX scales made by the above, or, if fine, 1 ..
 * ROW_SCALE_FINE_ROWS_MAX of any value. NO_MEMORY, or what the writer says. */
enum status row_scale_write(uint64_t rows, bool fine, const int32_t *scale,
                            struct writer *wr) MUST_CHECK;

/* Reads the scales of rows rows. LIMIT: no rows or too many; TRUNCATED,
 * CORRUPT, NO_MEMORY. */
enum status row_scale_read(struct reader *rd, uint64_t rows, bool fine,
                           int32_t *scale) MUST_CHECK;

#endif
