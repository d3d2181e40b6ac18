/* Reads an NNC bitstream, tensor by tensor:
 *
 *     nnc_dec_new(&params, &dec);
 *     while (!(rc = nnc_dec_next(dec, &tensor)) && tensor)
 *         nnc_dec_values(dec, 0, tensor->elem_count, out);
 *     nnc_dec_free(dec);
 *
 * What is read: both profiles, the streams of NNCodec 1.x included (nothing
 * tells them from profile 0; each data unit that does not fit is tried as one);
 * integers, uniform and dependent quantisation, codebooks, raw floats, blocks,
 * decomposed weights, all scans, incremental streams. Units of other kinds
 * (QNT, AGG, unknown ones) and topologies are skipped; layer parameter sets
 * replace density and parameter of the data units that follow.
 *
 * Memory: one data unit and its levels (a block of tensors is one unit), plus,
 * with a state, the levels of what was read so far; for a while twice that in a
 * stream of profile 0 whose edition is not clear from its first unit. A stream
 * is checked whole: a unit is handed out only when its codeword ended where it
 * must.
 *
 * Errors, of any function; the decoder is then good for nnc_dec_free only, the
 * state is as it was, diag names the tensor and the unit's offset:
 * STATUS_TRUNCATED    the stream ends within a unit
 * STATUS_CORRUPT      it breaks the syntax
 * STATUS_LIMIT        a unit or tensor is larger than the limits allow
 * STATUS_UNSUPPORTED  it uses what is not read
 * STATUS_BAD_BASE     the state is not what the stream builds on
 * STATUS_NOT_FOUND    a tensor's shape is neither sent nor known
 * STATUS_NO_MEMORY, or what the source says
 *
 * Ref: ISO/IEC 15938-17:2024; the subset is in codec/FORMAT.md, "NNC". */
#ifndef CODEC_NNC_NNC_DEC_H
#define CODEC_NNC_NNC_DEC_H

#include "codec/base/source.h"
#include "codec/base/status.h"
#include "codec/nnc/nnc.h"
#include "codec/nnc/nnc_state.h"

#define NNC_ELEM_COUNT_MAX ((uint64_t)1 << 28)
#define NNC_ELEM_TOTAL_MAX ((uint64_t)1 << 36)
/* The same of streams that are followed: a state keeps 5 bytes an element. */
#define NNC_ELEM_STATE_MAX ((uint64_t)1 << 30)
/* A product of G and H may take as many multiplications for each element that
 * a unit may have, and all of them for each that the stream may have. */
#define NNC_PRODUCT_WORK 64u

/* 0: the constant above. A few bytes can announce that many zeros, so callers
 * who know how large a model is should say so. The weight that G and H make
 * counts as they do. */
struct nnc_dec_limits {
    uint64_t elem_count_max; /* of the tensors of one data unit together */
    uint64_t elem_total_max; /* of a stream; 0: less if there is a state */
    /* Of all that the state holds after a stream; 0: elem_total_max. */
    uint64_t elem_state_max;
};

/* Fills rank and shape of a tensor that the stream gives none for, or answers
 * NOT_FOUND. */
typedef enum status (*nnc_shape_fn)(void *ctx, const char *name, uint32_t *rank,
                                    uint64_t shape[NNC_RANK_MAX]);

/* in, state and diag are borrowed until nnc_dec_free. */
struct nnc_dec_params {
    const struct source *in;
    struct nnc_dec_limits limits;
    /* What earlier streams left, or NULL: streams that need one are refused.
     * Replaced by what this one leaves when nnc_dec_next reaches its end. */
    struct nnc_state *state;
    /* Asked when dimensions are not sent and the state knows none; or NULL. */
    nnc_shape_fn shape_of;
    void *shape_ctx;
    struct diag *diag; /* or NULL */
};

struct nnc_dec;

/* Reads the start unit. *dec is NULL on failure. */
enum status nnc_dec_new(const struct nnc_dec_params *params,
                        struct nnc_dec **dec) MUST_CHECK;
void nnc_dec_free(struct nnc_dec *dec);

/* What the stream's own units say of it: as read so far (the model parameter
 * set comes before the first tensor). */
struct nnc_stream {
    uint8_t profile;
    uint8_t qp_density;
    bool incremental; /* mps_parent_signalling_enabled_flag */
    uint8_t topology_format;
    uint64_t offset; /* of the current tensor's unit */
};
const struct nnc_stream *nnc_dec_stream(const struct nnc_dec *dec);

/* The next tensor, in the order of the stream (of a block: local scaling, bias,
 * batch norm beta, gamma, mean, variance, weight or G and H), or NULL at the
 * end; the state is replaced then. tensor and what it points to hold until the
 * next call. coded_size is that of the unit for the first tensor of a block and
 * 0 for the others. */
enum status nnc_dec_next(struct nnc_dec *dec, const struct nnc_tensor **tensor)
    MUST_CHECK;

/* elem_count levels of the current tensor in row-major order (codebook: the
 * index less zero); NULL for NNC_RAW_FLOAT. Until the next nnc_dec_next. */
const int32_t *nnc_dec_levels(const struct nnc_dec *dec);

/* The values of elements first .. first + count - 1 of the current tensor:
 * int32_t for NNC_INT, float for the others. Exactly:
 *
 *   uniform   (float)step * (float)level, one binary32 multiplication
 *   codebook  (float)((double)codebook[level + zero] * step)
 *   step      (m + (qp & (m - 1))) * 2^((qp >> density) - density), m =
 *             2^density, arithmetic shift; streams with a step that is above
 *             all binary32 numbers are LIMIT */
void nnc_dec_values(const struct nnc_dec *dec, uint64_t first, uint64_t count,
                    void *out);

/* A weight that was sent as G and H. */
struct nnc_product {
    const char *name; /* G's name without its "_G", if it has that */
    uint32_t rank;
    uint64_t shape[NNC_RANK_MAX];
    uint64_t elem_count;
};

/* When the current tensor is the H of a decomposed weight: the weight they
 * make; else NULL. Until the next nnc_dec_next. */
const struct nnc_product *nnc_dec_product(const struct nnc_dec *dec);

/* Values of elements of that weight in row-major order: element (i, j) of G * H
 * is the sum of G(i, r) * H(r, j) over increasing r, each product and each sum
 * rounded to binary32; a NaN, which takes infinities, is 0x7fc00000. (The
 * standard leaves the arithmetic open.) */
void nnc_dec_product_values(const struct nnc_dec *dec, uint64_t first,
                            uint64_t count, float *out);

#endif
