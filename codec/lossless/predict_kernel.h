/* The inner loops of predictions, plain and for some processors, all with the
 * same results to the bit. Private to predict_* and its test. */
#ifndef CODEC_LOSSLESS_PREDICT_KERNEL_H
#define CODEC_LOSSLESS_PREDICT_KERNEL_H

#include "codec/lossless/predict.h"

/* Columns that are worked on at a time. */
#define PREDICT_TILE 128u
/* Sums are made for multiples of so many columns. */
#define PREDICT_TILE_STEP 32u

/* Elements of one row. */
struct predict_run {
    const struct predict *p;
    const int32_t *acc; /* the low rank sums; NULL: none */
    int32_t scale;      /* of the row */
    const uint8_t *base;
    uint8_t *pred;
    uint8_t *lost;
    size_t count; /* <= PREDICT_TILE */
};

struct predict_kernel {
    /* Lays out columns <= PREDICT_TILE columns of v in pairs: the first pairs
     * of PREDICT_TILE columns, next the second ones, and so on. What lies
     * beyond columns is left alone. */
    void (*lay)(const int16_t *v, unsigned rank, size_t columns,
                uint32_t *pairs);
    /* acc[j] = sum of the products of pairs, for j below columns rounded up to
     * PREDICT_TILE_STEP. u holds pair_count pairs; v the pairs of PREDICT_TILE
     * columns, next the second pairs, and so on. */
    void (*sum)(const uint32_t *u, const uint32_t *v, size_t stride,
                unsigned pair_count, size_t columns, int32_t *acc);
    /* Joins base and sums of the same type, without row scale but for
     * join_int8, which alone may lack sums. NULL where predict_join_any does.
     */
    void (*join_f32)(const struct predict_run *run);
    void (*join_bf16)(const struct predict_run *run);
    void (*join_f16)(const struct predict_run *run);
    void (*join_int8)(const struct predict_run *run);
};

/* What sums are multiplied by: of sums that are none -0, which changes nothing
 * that it is added to. And what the base is multiplied by. */
float predict_step(const struct predict *p);
static inline float predict_base_scale(const struct predict *p)
{
    return p->base_scale > 0 ? p->base_scale : 1;
}

/* Pairs from the given one on. */
void predict_lay_pairs(const int16_t *v, unsigned rank, unsigned from,
                       size_t columns, uint32_t *pairs);

/* Of every type and combination. */
void predict_join_any(const struct predict_run *run);

/* Plain loops as in struct predict_kernel. */
void predict_join_f32(const struct predict_run *run);
void predict_join_bf16(const struct predict_run *run);
void predict_join_int8(const struct predict_run *run);

const struct predict_kernel *predict_kernel_plain(void);
/* NULL when this build or this processor has none. */
const struct predict_kernel *predict_kernel_avx2(void);
const struct predict_kernel *predict_kernel_neon(void);

/* predict_elems with a given kernel. */
void predict_elems_with(const struct predict_kernel *kernel,
                        const struct predict *p, uint64_t first_elem,
                        const uint8_t *base, size_t count, uint8_t *pred,
                        uint8_t *lost);

#endif
