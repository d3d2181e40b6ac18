/* Levels of one tensor for an NNC stream, chosen by error and by what they
 * cost there: step, dependent quantisation or not, codebook or not, levels.
 *
 *     rd_tensor_new(&rd);
 *     rd_tensor_run(rd, &params, levels, &result);   ... once a tensor
 *     rd_tensor_free(rd);
 *
 * result.kind, qp, dq and codebook go into struct nnc_tensor, levels into
 * struct nnc_enc_data as they are. Scans in blocks are not looked at: with
 * scan_order > 0 say RD_NO to dq, or levels may not fit the order.
 *
 * What is minimised is squared error + lambda * step^2 * bits; bits are those
 * of the coder's adaptive contexts. Tensors that share a step and a lambda
 * share the price of a bit, which is what makes the error of all of them
 * together the smallest for their bytes: give all tensors of two and more
 * dimensions the same. A step of dependent quantisation counts as 1.75 of a
 * uniform quantiser, as their errors do: with RD_QP and dq by cost, qp is that
 * of dependent quantisation, and the uniform one beside it has 3/4 of an octave
 * more.
 *
 * RD_LAMBDA suits updates whose error is above a tenth or so of the change. At
 * smaller errors, where most levels are not zero, RD_LAMBDA_FINE takes 2 to 7 %
 * fewer bytes at equal error.
 *
 * The rule for tensors of one dimension, RD_SHARE: the largest step at which
 * the root mean square of the error is at most `error` times that of the
 * values (RD_VECTOR_SHARE: 5 %), values being the change in an incremental
 * stream and the tensor itself in another. So they cost a few bits an element
 * whatever their scale is; a fixed fine step spends up to 97 % of an update's
 * bytes on them. If that cannot be reached within the limits of qp, or if the
 * values themselves take fewer bytes, the result is RAW_FLOAT.
 *
 * Results are valid on any machine; which ones may differ in the last choice
 * between machines only where their binary64 arithmetic does. */
#ifndef CODEC_QUANT_RD_TENSOR_H
#define CODEC_QUANT_RD_TENSOR_H

#include "codec/base/status.h"
#include "codec/nnc/nnc.h"

#include <stdbool.h>
#include <stdint.h>

/* The usual price of a bit, in squared steps. */
#define RD_LAMBDA      0.14
#define RD_LAMBDA_FINE 0.04
/* The uniform quantiser's step that is like one of dependent quantisation. */
#define RD_DQ_STEP 1.68179283
/* Share of its root mean square that the error of a vector may have. */
#define RD_VECTOR_SHARE 0.05

enum rd_aim {
    RD_QP,        /* params.qp */
    RD_MAX_ERROR, /* the error of each element is at most params.error > 0 */
    RD_SHARE,     /* root mean square error <= params.error of that of the
                   * values; above 0, at most 1 */
    RD_BITS,      /* params.bits a level: 2 .. 24 */
};

enum rd_choice {
    RD_BY_COST,
    RD_NO,
    RD_YES,
};

/* Arrays are borrowed for the call, elem_count entries, row-major. */
struct rd_params {
    const float *values;
    uint64_t elem_count;
    uint64_t row_elems; /* product of all dimensions but the first; 1 for 1-D */
    enum rd_aim aim;
    int qp;
    double error;
    unsigned bits;
    uint8_t density; /* of qp, 0 .. QP_DENSITY_MAX */
    /* Squared steps that a bit is worth, RD_LAMBDA is usual; 0: squared error
     * alone counts. */
    double lambda;
    enum rd_choice dq;
    /* Not with dq RD_YES. RD_YES gives a uniform quantiser where more than
     * CODEBOOK_MAX entries were needed, and with RD_BITS. */
    enum rd_choice codebook;
    /* For the rate, as in struct nnc_enc_data; or NULL. */
    const int32_t *temporal;
    bool has_parent;
    /* The result is asked for its error only, which need not be exact: no bits
     * are counted where that can be avoided. */
    bool rough;
};

struct rd_result {
    enum nnc_kind kind; /* NNC_UNIFORM, NNC_CODEBOOK, NNC_RAW_FLOAT */
    int qp;
    bool dq;
    /* values points into the workspace, until its next run. */
    struct nnc_codebook codebook;
    double square_error; /* sum over elements, of what decoders compute */
    double max_error;
    bool zero; /* all levels are 0 */
};

struct rd_tensor;

/* A workspace for any number of tensors, one after the other. */
enum status rd_tensor_new(struct rd_tensor **rd) MUST_CHECK;
void rd_tensor_free(struct rd_tensor *rd);

/* Chooses.
 *
 * levels  out: elem_count of them; all 0 with RAW_FLOAT
 *
 * A tensor that holds an infinity or a NaN becomes RAW_FLOAT. Where levels
 * would be above 2^30 the step is a larger one (RD_QP, RD_BITS) or the result
 * RAW_FLOAT (RD_MAX_ERROR, RD_SHARE).
 *
 * STATUS_USAGE      params outside their ranges
 * STATUS_NO_MEMORY  about 20 bytes an element are needed */
enum status rd_tensor_run(struct rd_tensor *rd, const struct rd_params *params,
                          int32_t *levels, struct rd_result *result) MUST_CHECK;

#endif
