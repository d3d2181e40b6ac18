/* From a model to an NNC stream: the whole of it, or what it is more than a
 * base that the receiver holds.
 *
 * How tensors travel:
 *
 *   floats        as levels times a step, by the rules; of those that hold an
 *                 infinity or a NaN the values themselves, at the end of the
 *                 stream, since some readers take nothing behind such ones
 *   integers      as they are, if all fit int32; differences that do not are
 *                 none, the tensor is sent whole
 *   scalars       as tensors of the shape [1]
 *   all else      not: other types, larger numbers, more than NNC_RANK_MAX
 *                 dimensions, a 0 behind the first; rows say so
 *
 * Names are those of nnc_names; NNCodec 2.0 does not take names with _G or _H
 * in them. parameter_id is a tensor's place in the model.
 *
 * With a base (an incremental stream) a tensor that the base has by name, type
 * and shape is sent as difference to it, with a parent, and not at all where
 * nothing changed; others, and floats with an infinity or NaN on either side,
 * are sent whole, as roots. Differences of floats are made in binary32 (f64:
 * binary64), and so are the receiver's sums (nnc_element.h).
 *
 * Memory: a thread has one tensor, about 40 bytes an element, and the coded
 * bytes of NNC_WRITE_BATCH tensors. */
#ifndef CODEC_NNC_NNC_MODEL_WRITE_H
#define CODEC_NNC_NNC_MODEL_WRITE_H

#include "codec/base/parallel.h"
#include "codec/model/model.h"
#include "codec/nnc/nnc_enc.h"
#include "codec/nnc/nnc_names.h"
#include "codec/nnc/nnc_state.h"
#include "codec/quant/rd_tensor.h"

#define NNC_WRITE_BATCH 256u
/* Errors that NNC_STEP_ERROR has where none is asked for: of a difference, and
 * of whole values; and those of vectors. As in codec/quant/quantize.h. */
#define NNC_WRITE_ERROR        0.5
#define NNC_WRITE_FULL         0.02
#define NNC_WRITE_VECTOR_ERROR 0.05
#define NNC_WRITE_VECTOR_FULL  0.005

/* Where the step of tensors of two or more dimensions comes from. */
enum nnc_step {
    /* One step for all: the largest with which their error is at most `value`
     * (0: the constants above) of the root mean square of all their numbers, or
     * with a base of their differences; found by trying it on four million
     * elements (0: a quarter million), so of larger models the error is about
     * that. Tensors of numbers so large that no step is for them do not count.
     * Where no step is small enough each tensor has that error, or is sent as
     * it is. Tensors that the base has not have an error of NNC_WRITE_FULL
     * each, or value if that is less. */
    NNC_STEP_ERROR,
    NNC_STEP_QP,   /* qp = value for all */
    NNC_STEP_BITS, /* value bits a level; all tensors, of one dimension 8 or
                      more */
    /* No element of any tensor is off by more than value, binary32 rounding
     * apart. */
    NNC_STEP_MAX,
};

struct nnc_write_rules {
    enum nnc_step step;
    double value;
    /* Of tensors of one dimension, unless BITS or MAX: a qp, or the share of
     * their root mean square that the error may have (0: the constants above).
     */
    bool has_vector_qp;
    int vector_qp;
    double vector_error;
    /* Tensors that lie on a lattice over the base (or 0) are sent as its
     * integers, exactly; the rules hold for the others. */
    bool lattice;
    double sparsity; /* 0 .. 1: share of the smallest numbers of each tensor of
                        two or more dimensions that become 0 before */
    double lambda;   /* RD_LAMBDA is usual; 0 with MAX */
    enum rd_choice dq, codebook;
    uint8_t density; /* of qp, 0 .. 7; 2 is usual */
    uint8_t profile; /* 1 is usual; 0 without base only */
    uint8_t scan_order;
    uint32_t device_id;
    /* Differences of two or more dimensions may have a low rank part of so many
     * components (nnc_lowrank.h), as many as pay; exact: of just so many.
     * 0: none. Only where a step is shared (ERROR, QP), without sparsity and
     * without codebooks asked for; NNCodec does not read such streams. */
    unsigned low_rank;
    bool low_rank_exact;
    struct nnc_enc_rules enc;
};

enum nnc_write_fate {
    NNC_WRITE_SENT,
    NNC_WRITE_SAME, /* nothing changed, or nothing that is left by the rules */
    NNC_WRITE_LEFT, /* it cannot be carried: why says so */
};

/* One tensor of the model. */
struct nnc_write_row {
    const struct tensor *tensor;
    const char *name; /* in the stream */
    enum nnc_write_fate fate;
    const char *why;        /* LEFT; static */
    struct nnc_tensor sent; /* SENT: as of nnc_enc_tensor; no pointer in it but
                               name counts */
    bool lattice;           /* sent exactly as integers of a lattice */
    unsigned low_rank;      /* components of G and H; 0: none */
    uint64_t low_size;      /* bytes of that unit, not in sent.coded_size */
    double square_error;    /* of what was sent of it, and of SAME */
    double square_value;
    double max_error;
};

/* All borrowed for the call. */
struct nnc_write_params {
    const struct source *source;
    const struct model *model;
    const struct nnc_names *names;
    const struct source *base; /* NULL, as the next two: the whole model */
    const struct model *base_model;
    const struct nnc_names *base_names;
    /* What the updates sent before left, or NULL; only with a base. */
    const struct nnc_state *state;
    struct nnc_write_rules rules;
    const struct parallel *parallel; /* or NULL; sources are read by several
                                        threads then */
    enum status (*put)(void *ctx, struct bytes bytes); /* the stream */
    void *put_ctx;
    void (*row)(void *ctx, const struct nnc_write_row *row); /* or NULL; once a
                                        tensor, in the order of the model but
                                        raw ones last */
    void *row_ctx;
    struct diag *diag; /* or NULL */
};

/* Writes the stream.
 *
 * STATUS_USAGE      rules that do not fit each other or the base
 * STATUS_BAD_BASE   the state is of other tensors
 * STATUS_NO_MEMORY, or what sources, put and nnc_enc.h say */
enum status nnc_model_write(const struct nnc_write_params *params) MUST_CHECK;

#endif
