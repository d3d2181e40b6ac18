/* Makes a share of a tensor's numbers zero, the smallest ones. */
#ifndef CODEC_NNC_NNC_SPARSIFY_H
#define CODEC_NNC_NNC_SPARSIFY_H

#include "codec/base/status.h"

#include <stdint.h>

/* values  count of them, finite; at least floor(share * count) are 0 after:
 *         those of the smallest magnitude, and all that are equal to the
 *         largest of them
 * share   0 .. 1
 *
 * NO_MEMORY: half a megabyte. */
enum status nnc_sparsify(float *values, uint64_t count, double share)
    MUST_CHECK;

#endif
