/* What an NNC bitstream says of one tensor besides its integers, shared by
 * the reader and the writer of bitstreams and by those who call them.
 *
 * Ref: ISO/IEC 15938-17:2024; the subset that is read and written is in
 * codec/FORMAT.md, "NNC". */
#ifndef CODEC_NNC_NNC_H
#define CODEC_NNC_NNC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define NNC_RANK_MAX 32u

/* Values are those of the standard. */
enum nnr_unit_type {
    NNR_STR = 0, /* start */
    NNR_MPS = 1, /* model parameter set */
    NNR_LPS = 2, /* layer parameter set */
    NNR_TPL = 3, /* topology */
    NNR_QNT = 4, /* quantisation */
    NNR_NDU = 5, /* compressed data */
    NNR_AGG = 6, /* aggregate */
};

/* How the values of a tensor are made of what is coded. */
enum nnc_kind {
    NNC_INT,       /* the integers themselves, int32 */
    NNC_UNIFORM,   /* float: level * step(qp) */
    NNC_CODEBOOK,  /* float: codebook[level + zero] * step(qp) */
    NNC_RAW_FLOAT, /* float32 as it is */
};

/* What a tensor is of its block; alone it is NNC_ALONE. In the order of a
 * block's names. */
enum nnc_part {
    NNC_ALONE,
    NNC_WEIGHT,
    NNC_G,
    NNC_H,
    NNC_LOCAL_SCALING,
    NNC_BN_BETA,
    NNC_BN_GAMMA,
    NNC_BN_MEAN,
    NNC_BN_VAR,
    NNC_BIAS,
};

/* Increasing multiples of the step; values[zero] is the zero entry. */
struct nnc_codebook {
    uint32_t size; /* 0: none */
    uint32_t zero;
    uint8_t egk;
    const int32_t *values;
};

/* One tensor, sent or read. Pointers are borrowed from whoever made it. */
struct nnc_tensor {
    const char *name; /* UTF-8, ends with a NUL that name_size leaves out */
    size_t name_size;
    uint32_t rank; /* 1 .. NNC_RANK_MAX */
    uint64_t shape[NNC_RANK_MAX];
    uint64_t elem_count;
    enum nnc_kind kind;
    enum nnc_part part;
    int qp;             /* mps_quantization_parameter included */
    uint8_t qp_density; /* of that qp */
    uint16_t unary;     /* cabac_unary_length_minus1 + 1 */
    uint8_t scan_order;
    bool dq;
    struct nnc_codebook codebook;
    /* Parameter update tree. */
    uint32_t device_id, parameter_id, put_node_depth;
    bool has_parent;     /* a difference to the node before */
    bool temporal;       /* contexts look at the levels of the node before */
    uint64_t coded_size; /* read: bytes of its unit */
};

#endif
