/* One tensor to be quantised: what is known of its difference, what a step
 * would cost, its levels in the end. Private to quantize_*. */
#ifndef CODEC_QUANT_QUANTIZE_TENSOR_H
#define CODEC_QUANT_QUANTIZE_TENSOR_H

#include "codec/base/source.h"
#include "codec/lossless/predict.h"
#include "codec/model/tensor.h"
#include "codec/quant/quantize.h"
#include "codec/quant/quantize_rank.h"
#include "codec/quant/quantize_rate.h"

/* Rows of a difference, evenly spread in bands, that stand for all. */
struct quantize_sample {
    size_t rows;
    float *diff; /* owned; rows x columns */
    float *pred; /* owned; of narrow types the base's elements, else NULL */
};

/* How hard a run quantises. */
struct quantize_strength {
    double step;            /* of matrices: 2^(qp / 4) */
    double lambda;          /* squared error a bit is worth */
    double coarse;          /* step that low rank factors are rounded like */
    bool nearest;           /* levels are the nearest */
    double vector_step_max; /* of vectors; HUGE_VAL: none */
};

struct quantize_tensor {
    struct quantize_row row;
    bool vector;                        /* fewer than two dimensions */
    const struct source *base, *target; /* base NULL: predictions are 0 */
    uint64_t base_offset;
    size_t count, rows, columns; /* as a matrix */
    unsigned rank_max;
    double change_square; /* sum of squares */
    struct quantize_sample sample;
    struct quantize_basis basis;
    /* Of the last trial, for all elements. */
    unsigned trial_rank;
    double trial_error, trial_bits;
    /* Of the result. */
    double error_square, bits;
    struct quantize_factors factors;
    unsigned level_bytes; /* 1, 2, 4 */
    void *levels;         /* owned; signed integers; NULL: none */
};

/* Reads both tensors once: sets row.state and row.change; of matrices with a
 * change also sample (sample_max elements at most, but a band of rows) and
 * basis. NO_MEMORY, or what the sources answer. */
enum status quantize_tensor_measure(struct quantize_tensor *t,
                                    size_t sample_max) MUST_CHECK;

/* Chooses rank and levels of the sample; near: only ranks close to that of the
 * trial before. rate is left as the levels make it. Only of matrices. */
enum status quantize_tensor_try(struct quantize_tensor *t,
                                const struct quantize_strength *s, bool near,
                                struct quantize_rate *rate) MUST_CHECK;

/* Makes the result: of matrices with the rank of the last trial. */
enum status quantize_tensor_make(struct quantize_tensor *t,
                                 const struct quantize_strength *s,
                                 struct quantize_rate *rate) MUST_CHECK;

/* Drops the result. */
void quantize_tensor_reset(struct quantize_tensor *t);
void quantize_tensor_deinit(struct quantize_tensor *t);

/* Reads predictions of elements, with the low rank part that there is; zeros
 * without base. */
enum status quantize_tensor_pred(const struct quantize_tensor *t,
                                 uint64_t first, size_t count, uint8_t *out)
    MUST_CHECK;

/* Reads elements of the result. After quantize_tensor_make, with steps. */
enum status quantize_tensor_read(const struct quantize_tensor *t,
                                 uint64_t first, size_t count, uint8_t *out)
    MUST_CHECK;

#endif
