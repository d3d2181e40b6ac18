/* The part of a tensor that an NNC stream carries as G and H, two thin matrices
 * whose product it is; levels of what is left, if any, are a matter of
 * rd_tensor.h.
 *
 * Factors are integers u and v of quantize_rank.h, whose step is a power of two
 * shared between G and H: G = u * 2^a, H = v * 2^b, both with a qp. The product
 * is made as decoders make it (nnc_dec.h): in binary32, each product and each
 * sum rounded, over increasing components.
 *
 * The rank is the one for which squared error + price * bits is least, by the
 * estimates of quantize_rate.h and quantize_rank.h. */
#ifndef CODEC_QUANT_RD_LOWRANK_H
#define CODEC_QUANT_RD_LOWRANK_H

#include "codec/base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RD_LOWRANK_MAX 64u /* NNC_PRODUCT_WORK of one tensor */

/* Arrays are borrowed for the call. */
struct rd_lowrank_params {
    const float *values; /* finite, row-major */
    const uint64_t *shape;
    uint32_t shape_rank;
    double step;     /* of the levels of what is left: a uniform quantiser's */
    double price;    /* squared error that a bit is worth, > 0 */
    uint8_t density; /* of qp */
    unsigned most;   /* components, 1 .. RD_LOWRANK_MAX */
    bool exact_rank; /* most of them if the tensor has so many */
    /* 1 + the rank found at a step not far from this one: only those near it
     * are tried, which is faster. 0: not known. */
    unsigned near;
    unsigned unit_bytes; /* what a unit costs besides its numbers */
};

struct rd_lowrank {
    unsigned rank; /* 0: none pays; nothing else is set */
    size_t rows, columns;
    int g_qp, h_qp;
    int32_t *g, *h; /* owned: rows x rank, rank x columns */
    float *product; /* owned: rows x columns, what decoders make */
};

/* Chooses; out is to be released whatever the answer is. NO_MEMORY. */
enum status rd_lowrank_run(const struct rd_lowrank_params *params,
                           struct rd_lowrank *out) MUST_CHECK;
void rd_lowrank_deinit(struct rd_lowrank *low);

#endif
