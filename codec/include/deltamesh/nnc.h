/* NNC streams (ISO/IEC 15938-17, Neural Network Coding): tensors in, a
 * bitstream out, and back. codec/FORMAT.md, "NNC", has what of the standard is
 * read and written; README.md has a word on patents. Not in a library that was
 * configured --without-nnc.
 *
 * A stream holds tensors, each with its name and shape, as integers, its
 * *levels*, and a step by which they are multiplied; or as float32 as they
 * are. An incremental stream holds updates of tensors: what it means to apply
 * one (to add it, or to replace) is for both sides to agree; to read one, the
 * receiver needs what it kept of those before, its *state*. */
#ifndef DELTAMESH_NNC_H
#define DELTAMESH_NNC_H

#include <string.h>

#include <deltamesh/io.h>

#ifdef __cplusplus
extern "C" {
#endif

/* How the values of a tensor are made of its levels. */
enum dmc_nnc_kind {
    DMC_NNC_INT = 0,      /* int32: the levels themselves */
    DMC_NNC_UNIFORM = 1,  /* float32: level * step */
    DMC_NNC_CODEBOOK = 2, /* float32: codebook[level + zero] * step */
    DMC_NNC_RAW = 3       /* float32 as they are; there are no levels */
};

/* What a tensor is of its layer. Streams may code the tensors of a layer
 * together, in a block, with a weight as the product of two: G * H. */
enum dmc_nnc_part {
    DMC_NNC_ALONE = 0,
    DMC_NNC_WEIGHT = 1,
    DMC_NNC_G = 2,
    DMC_NNC_H = 3,
    DMC_NNC_LOCAL_SCALING = 4,
    DMC_NNC_BN_BETA = 5,
    DMC_NNC_BN_GAMMA = 6,
    DMC_NNC_BN_MEAN = 7,
    DMC_NNC_BN_VAR = 8,
    DMC_NNC_BIAS = 9
};

/* The step is (m + (qp & (m - 1))) * 2^((qp >> density) - density), where m is
 * 2^density; with density 2: qp -4 is 1/2, and 4 more double it. */
struct dmc_nnc_tensor {
    size_t struct_size;
    const char *name; /* UTF-8, ends with a NUL */
    const uint64_t *shape;
    uint64_t elem_count; /* the product of shape */
    uint32_t rank;       /* 1 .. 32 */
    uint32_t kind;       /* enum dmc_nnc_kind */
    uint32_t part;       /* enum dmc_nnc_part */
    int32_t qp;
    uint32_t qp_density;
    uint32_t dq; /* dependent quantisation: not 0 */
    /* Multiples of the step, increasing; its entry codebook_zero is 0 or what
     * a level of 0 means. NULL and 0 but for DMC_NNC_CODEBOOK. */
    const int32_t *codebook;
    uint32_t codebook_size;
    uint32_t codebook_zero;
    uint32_t unary;      /* flags before the remainder: 1 .. 256 */
    uint32_t scan_order; /* 0: row by row; 1 .. 4: blocks of 8 .. 64 */
    /* Where the tensor stands in the chain of updates. */
    uint32_t device_id;
    uint32_t parameter_id;
    uint32_t put_node_depth;
    uint32_t has_parent; /* not 0: a difference to the node before */
    uint32_t temporal;   /* not 0: coded with the levels before in view */
    /* Bytes of its unit; 0 for the later ones of a block. */
    uint64_t coded_size;
};

static inline void dmc_nnc_tensor_init(struct dmc_nnc_tensor *tensor)
{
    memset(tensor, 0, sizeof(*tensor));
    tensor->struct_size = sizeof(*tensor);
}

/* ---- What is kept between incremental streams ---- */

/* Of each tensor, by name, its place in the chain of updates and the levels of
 * the last one; of all, the device they come from. Reading or writing a stream
 * changes a state when the stream has come to its end without error, and not at
 * all before. To write one down, go over its nodes; to read it back, put
 * them.
 *
 * An update is read with a state only if it is the next of its chain: the ids
 * are those that are kept, the depth is one more. So an update that was lost is
 * noticed by the one after it. Of a tensor that a state does not have, the
 * first update is read; of one with nothing in it yet, any. */
struct dmc_nnc_state;

struct dmc_nnc_node {
    size_t struct_size;
    const char *name; /* UTF-8, ends with a NUL */
    const uint64_t *shape;
    uint64_t elem_count;
    uint32_t rank;
    uint32_t has_ids; /* not 0: the next two were in a stream */
    uint32_t parameter_id;
    uint32_t put_node_depth;
    /* elem_count each. history: not 0 where the level of any update was not.
     * NULL: no update yet, or it was one of float32 as they are. */
    const int32_t *levels;
    const unsigned char *history;
};

static inline void dmc_nnc_node_init(struct dmc_nnc_node *node)
{
    memset(node, 0, sizeof(*node));
    node->struct_size = sizeof(*node);
}

/* An empty one. DMC_NO_MEMORY. */
DMC_API enum dmc_status
dmc_nnc_state_new(struct dmc_nnc_state **state) DMC_CHECKED;
DMC_API void dmc_nnc_state_free(struct dmc_nnc_state *state);

DMC_API size_t dmc_nnc_state_count(const struct dmc_nnc_state *state);

/* Fills *node, whose struct_size is set, with views that hold until the state
 * changes: of the node at index, in the order of names' bytes, or of that name.
 * DMC_NOT_FOUND; DMC_USAGE: struct_size is not set. */
DMC_API enum dmc_status dmc_nnc_state_at(const struct dmc_nnc_state *state,
                                         size_t index,
                                         struct dmc_nnc_node *node) DMC_CHECKED;
DMC_API enum dmc_status
dmc_nnc_state_find(const struct dmc_nnc_state *state, const char *name,
                   struct dmc_nnc_node *node) DMC_CHECKED;

/* Copies a node, in place of one of that name. DMC_USAGE: it has no name, or
 * shape and elem_count do not fit; DMC_UNSUPPORTED: fields of a newer version;
 * DMC_LIMIT: it has 65,536 nodes; DMC_NO_MEMORY. On error nothing has
 * changed. */
DMC_API enum dmc_status
dmc_nnc_state_put(struct dmc_nnc_state *state,
                  const struct dmc_nnc_node *node) DMC_CHECKED;

/* The device; DMC_NOT_FOUND where none is known yet. */
DMC_API enum dmc_status dmc_nnc_state_device(const struct dmc_nnc_state *state,
                                             uint32_t *device_id) DMC_CHECKED;
DMC_API void dmc_nnc_state_set_device(struct dmc_nnc_state *state,
                                      uint32_t device_id);

/* ---- Reading ----
 *
 *     dmc_nnc_dec_new(&source, NULL, &dec, &error)
 *     while (!(status = dmc_nnc_dec_next(dec, &tensor, &error)) && tensor)
 *         status = dmc_nnc_dec_values(dec, 0, tensor->elem_count, out)
 *     dmc_nnc_dec_free(dec)
 */
struct dmc_nnc_dec;

struct dmc_nnc_dec_params {
    size_t struct_size;
    /* Most elements of one tensor (of one block), and of all, those included
     * that the state then holds; 0: 2^28, and 2^36 or, with a state, 2^30. A
     * few bytes can announce that many zeroes; a tensor takes 4 bytes an
     * element while it is read, and 5 in the state: who knows how large the
     * model is should say so. Products of G and H count as tensors do, and may
     * take 64 multiplications for each element that a block may have, together
     * 64 for each that all may have. */
    uint64_t elem_count_max;
    uint64_t elem_total_max;
    /* What the streams before have left; kept until dmc_nnc_dec_free, and
     * changed when _next comes to the end. NULL: streams that need one are
     * refused. */
    struct dmc_nnc_state *state;
    /* Asked for the shape of a tensor whose stream leaves it out and that the
     * state does not know: fills shape[0 .. *rank - 1], answers 0, or
     * DMC_NOT_FOUND. NULL: not known. */
    int (*shape_of)(void *ctx, const char *name, uint32_t *rank,
                    uint64_t shape[32]);
    void *shape_ctx;
};

static inline void dmc_nnc_dec_params_init(struct dmc_nnc_dec_params *params)
{
    memset(params, 0, sizeof(*params));
    params->struct_size = sizeof(*params);
}

/* Begins to read.
 *
 * source  kept until dmc_nnc_dec_free
 * params  NULL: defaults
 *
 * Memory: one unit and its levels at a time, and what the state takes; for a
 * while twice that in some streams of profile 0, which are of one of two kinds
 * without saying so. Time: in proportion to the stream and the elements it
 * announces.
 *
 * Of this function and the next:
 * DMC_TRUNCATED    the stream ends within a unit
 * DMC_CORRUPT      it breaks the syntax
 * DMC_LIMIT        more elements than the limits allow, or a step above all of
 *                  binary32
 * DMC_UNSUPPORTED  it uses what is not read
 * DMC_BAD_BASE     the state is not what the stream builds on
 * DMC_NOT_FOUND    a shape is neither sent nor known
 * DMC_USAGE, DMC_NO_MEMORY, or what the source answers.
 * error names the tensor and the offset of its unit. */
DMC_API enum dmc_status dmc_nnc_dec_new(const struct dmc_source *source,
                                        const struct dmc_nnc_dec_params *params,
                                        struct dmc_nnc_dec **dec,
                                        struct dmc_error *error) DMC_CHECKED;
DMC_API void dmc_nnc_dec_free(struct dmc_nnc_dec *dec);

/* The next tensor, in the order of the stream; NULL at the end, or after an
 * error, after which there is none. A view until the next call. All of its unit
 * has been checked.
 *
 * A difference may come in two parts, one right after the other under one name:
 * a product of G and H, then levels. Their sum, rounded to float, is what is to
 * be added. */
DMC_API enum dmc_status dmc_nnc_dec_next(struct dmc_nnc_dec *dec,
                                         const struct dmc_nnc_tensor **tensor,
                                         struct dmc_error *error) DMC_CHECKED;

/* Levels of the current tensor, elem_count of them, row-major; NULL for
 * DMC_NNC_RAW. A view until the next call of _next. */
DMC_API const int32_t *dmc_nnc_dec_levels(const struct dmc_nnc_dec *dec);

/* Values of elements first .. first + count - 1 of the current tensor, the same
 * bits on every machine: int32_t of DMC_NNC_INT, float of the others.
 * DMC_USAGE: it has not so many. */
DMC_API enum dmc_status dmc_nnc_dec_values(const struct dmc_nnc_dec *dec,
                                           uint64_t first, uint64_t count,
                                           void *out) DMC_CHECKED;

/* The weight that G and H make, when the current tensor is such an H; else
 * NULL. Of the structure, name, shape, elem_count and rank are set. A view
 * until the next call of _next. */
DMC_API const struct dmc_nnc_tensor *
dmc_nnc_dec_product(const struct dmc_nnc_dec *dec);

/* Values of that weight: each is the sum, in order, of products of G and H,
 * every one of them and every sum rounded to binary32. DMC_USAGE: there is no
 * product, or it has not so many. */
DMC_API enum dmc_status
dmc_nnc_dec_product_values(const struct dmc_nnc_dec *dec, uint64_t first,
                           uint64_t count, float *out) DMC_CHECKED;

struct dmc_nnc_stream {
    size_t struct_size;
    uint32_t profile;     /* 0 or 1 */
    uint32_t qp_density;  /* of units to come */
    uint32_t incremental; /* not 0: tensors may be updates */
    uint32_t topology_format;
    uint64_t offset; /* of the current tensor's unit */
};

/* What the stream has said of itself so far. DMC_USAGE: struct_size is not
 * set. */
DMC_API enum dmc_status
dmc_nnc_dec_stream(const struct dmc_nnc_dec *dec,
                   struct dmc_nnc_stream *stream) DMC_CHECKED;

/* ---- Writing ----
 *
 *     dmc_nnc_enc_new(&sink, &params, &enc, &error)
 *     for each: dmc_nnc_enc_levels(enc, &tensor, levels, &size, &error)
 *     dmc_nnc_enc_finish(enc, &error)
 *     dmc_nnc_enc_free(enc)
 */
struct dmc_nnc_enc;

#define DMC_NNC_DENSITY_0 0xffffffffu

struct dmc_nnc_enc_params {
    size_t struct_size;
    uint32_t first_edition; /* not 0: general_profile_idc 0 */
    /* 1 .. 7; 0: the default, which is 2; DMC_NNC_DENSITY_0: 0. */
    uint32_t qp_density;
    uint32_t incremental; /* not 0: tensors may be updates */
    uint32_t quick;       /* not 0: does not search for the fewest bytes */
    /* What streams before have left at the receiver; kept until
     * dmc_nnc_enc_free, changed by _finish to what this one leaves. NULL: none
     * is kept; then updates are coded without a view of those before. */
    struct dmc_nnc_state *state;
};

static inline void dmc_nnc_enc_params_init(struct dmc_nnc_enc_params *params)
{
    memset(params, 0, sizeof(*params));
    params->struct_size = sizeof(*params);
}

/* Begins to write.
 *
 * sink    kept until dmc_nnc_enc_free; gets the stream a unit at a time
 * params  NULL: defaults: a whole model, fewest bytes
 *
 * The same calls give the same bytes on every machine. After an error other
 * than DMC_USAGE the encoder is good for dmc_nnc_enc_free only.
 *
 * DMC_USAGE, DMC_UNSUPPORTED (parameters), DMC_NO_MEMORY, or what the sink
 * answers. */
DMC_API enum dmc_status dmc_nnc_enc_new(const struct dmc_sink *sink,
                                        const struct dmc_nnc_enc_params *params,
                                        struct dmc_nnc_enc **enc,
                                        struct dmc_error *error) DMC_CHECKED;
DMC_API void dmc_nnc_enc_free(struct dmc_nnc_enc *enc);

/* Writes one tensor as integers.
 *
 * tensor      Read are name, rank, shape, elem_count, kind (not DMC_NNC_RAW),
 *             qp, unary (0: as it suits), scan_order, dq (then the levels must
 *             be ones that dependent quantisation can produce), the codebook,
 *             device_id, parameter_id, has_parent. With a state,
 *             put_node_depth is set from it, and the ids of a tensor that has a
 *             parent it knows: of the same shape. part must be DMC_NNC_ALONE.
 * levels      elem_count, row-major
 * coded_size  out, or NULL: bytes of its unit. 0: an update whose levels are
 *             all 0 is not sent.
 *
 * DMC_USAGE: the tensor is none that can be written, error says why; nothing
 * was. DMC_UNSUPPORTED, DMC_LIMIT: a unit of 2^31 bytes; DMC_NO_MEMORY, or what
 * the sink answers. */
DMC_API enum dmc_status dmc_nnc_enc_levels(struct dmc_nnc_enc *enc,
                                           const struct dmc_nnc_tensor *tensor,
                                           const int32_t *levels,
                                           uint64_t *coded_size,
                                           struct dmc_error *error) DMC_CHECKED;

/* Writes the tensors of a layer in one unit, a block, whose bytes they share:
 * shorter by a header each than units of their own.
 *
 * tensors     count of them, in the order of enum dmc_nnc_part and each part
 *             once: the weight, or G [rows, rank] and H [rank, columns]; and at
 *             least one of the others, which have one element a row of the
 *             weight (of batch norm all four). kind is DMC_NNC_UNIFORM, of the
 *             weight, or of both G and H, also DMC_NNC_CODEBOOK. dq, unary and
 *             scan_order are those of the first. All must have one place in the
 *             chain of updates: has_parent and the ids, and what a state has of
 *             them.
 * levels      of each, as in dmc_nnc_enc_levels
 * shape       of the weight, also of the one that G and H make; rank 1 .. 32
 * coded_size  out, or NULL. 0: updates whose levels are all 0 are not sent.
 *
 * Other software may not read blocks with G and H, or of updates. Statuses as
 * dmc_nnc_enc_levels. */
DMC_API enum dmc_status dmc_nnc_enc_block(
    struct dmc_nnc_enc *enc, const struct dmc_nnc_tensor *const *tensors,
    const int32_t *const *levels, size_t count, const uint64_t *shape,
    uint32_t rank, uint64_t *coded_size, struct dmc_error *error) DMC_CHECKED;

/* Writes one tensor as float32 as they are: elem_count little-endian values in
 * the stream. Other software may read nothing that follows one. Statuses as
 * above. */
DMC_API enum dmc_status dmc_nnc_enc_raw(struct dmc_nnc_enc *enc,
                                        const struct dmc_nnc_tensor *tensor,
                                        const float *values,
                                        uint64_t *coded_size,
                                        struct dmc_error *error) DMC_CHECKED;

/* What levels are to be found for. */
enum dmc_nnc_aim {
    DMC_NNC_AIM_QP = 0,        /* the step of qp */
    DMC_NNC_AIM_MAX_ERROR = 1, /* no element is off by more than error */
    DMC_NNC_AIM_SHARE = 2,     /* root mean square error: at most `error`, 0 ..
                                  1, of that of the values */
    DMC_NNC_AIM_BITS = 3       /* levels of so many bits, 2 .. 24 */
};

enum dmc_nnc_choice {
    DMC_NNC_BY_COST = 0,
    DMC_NNC_NO = 1,
    DMC_NNC_YES = 2
};

struct dmc_nnc_quant {
    size_t struct_size;
    uint32_t aim;      /* enum dmc_nnc_aim */
    int32_t qp;        /* of the stream's density */
    double error;      /* see aim */
    uint32_t bits;     /* see aim */
    uint32_t dq;       /* enum dmc_nnc_choice: dependent quantisation */
    uint32_t codebook; /* enum dmc_nnc_choice; not both DMC_NNC_YES */
    /* Squared steps that a bit is worth: levels lower error + lambda * bits. 0:
     * the default, which is 0.14; below 0: error alone counts. Tensors of two
     * and more dimensions should share step and lambda. */
    double lambda;
};

static inline void dmc_nnc_quant_init(struct dmc_nnc_quant *quant)
{
    memset(quant, 0, sizeof(*quant));
    quant->struct_size = sizeof(*quant);
}

struct dmc_nnc_result {
    size_t struct_size;
    uint64_t coded_size; /* bytes of the unit; 0: not sent */
    double square_error; /* sum over elements, of what a reader computes */
    double max_error;    /* of any element */
    uint32_t kind;       /* DMC_NNC_UNIFORM, _CODEBOOK or _RAW */
    int32_t qp;          /* of the step, unless raw */
    uint32_t dq;         /* not 0: dependent quantisation */
};

static inline void dmc_nnc_result_init(struct dmc_nnc_result *result)
{
    memset(result, 0, sizeof(*result));
    result->struct_size = sizeof(*result);
}

/* Writes one tensor of floats as levels that this finds, by error and by what
 * they cost. A tensor that holds an infinity or a NaN, that cannot be had at
 * the error wanted, or that is as short so, goes as float32 as it is.
 *
 * tensor  as in dmc_nnc_enc_levels; kind, qp, dq and codebook are not read
 * values  elem_count, row-major; of an update, the difference to what the
 *         receiver has
 * result  out, or NULL
 *
 * Memory: about 24 bytes an element. Levels may differ between machines in the
 * last choice, what a reader makes of them does not. Statuses as
 * dmc_nnc_enc_levels; DMC_USAGE: quant has a field out of its range. */
DMC_API enum dmc_status dmc_nnc_enc_floats(struct dmc_nnc_enc *enc,
                                           const struct dmc_nnc_tensor *tensor,
                                           const float *values,
                                           const struct dmc_nnc_quant *quant,
                                           struct dmc_nnc_result *result,
                                           struct dmc_error *error) DMC_CHECKED;

/* Ends the stream, and changes the state to what it leaves. */
DMC_API enum dmc_status dmc_nnc_enc_finish(struct dmc_nnc_enc *enc,
                                           struct dmc_error *error) DMC_CHECKED;

#ifdef __cplusplus
}
#endif

#endif
