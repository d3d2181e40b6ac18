/* Dependent quantisation: which of all sequences of levels that the eight
 * states can produce has the smallest squared error + lambda * bits, found by
 * Viterbi's algorithm.
 *
 * Bits are those of the stream's adaptive contexts. Contexts follow the best
 * path so far, a block of up to TRELLIS_BLOCK elements late; each survivor has
 * the class of its own last level. Rows that are worth being skipped become
 * all zero. A value of 0 gets level 0: what did not change stays as it is. With
 * lambda = 0 no rate is looked at: that is several times faster
 * and gives the least squared error.
 *
 * Arithmetic is binary32, one operation at a time, in the same order with and
 * without vectors: one input gives the same levels on every machine.
 *
 * Ref: ISO/IEC 15938-17:2024, dependent quantisation. */
#ifndef CODEC_QUANT_TRELLIS_H
#define CODEC_QUANT_TRELLIS_H

#include "codec/base/status.h"
#include "codec/quant/level_cost.h"

#define TRELLIS_BLOCK 128u

struct trellis;

/* A workspace for any number of tensors: 2 bytes an element of the largest. */
enum status trellis_new(struct trellis **trellis) MUST_CHECK;
void trellis_free(struct trellis *trellis);

/* Chooses.
 *
 * levels  out: in->count of them, levels of dq_state.h in row-major order
 *
 * NO_MEMORY. */
enum status trellis_run(struct trellis *trellis, const struct level_input *in,
                        int32_t *levels) MUST_CHECK;

#endif
