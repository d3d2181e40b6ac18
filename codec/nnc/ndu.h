/* The header of a compressed data unit: which tensors it holds and how their
 * integers are coded.
 *
 * Ref: ISO/IEC 15938-17:2024, NNR_NDU. */
#ifndef CODEC_NNC_NDU_H
#define CODEC_NNC_NDU_H

#include "codec/nnc/nnc.h"
#include "codec/nnc/nnr_bits.h"
#include "codec/nnc/params.h"

/* nnr_compressed_data_unit_payload_type. */
enum ndu_type {
    NDU_INT = 0,
    NDU_FLOAT = 1,
    NDU_RAW_FLOAT = 2,
    NDU_BLOCK = 3,
};

/* Bits of compressed_parameter_types. */
#define NDU_DECOMPOSED    1u
#define NDU_LOCAL_SCALING 2u
#define NDU_BATCH_NORM    4u
#define NDU_BIAS          8u

/* parent_node_id_type. */
enum ndu_parent_type {
    NDU_PARENT_NODE = 0,
    NDU_PARENT_SHA256 = 1,
    NDU_PARENT_SHA512 = 2,
};

/* W or G and H, LS, four of batch norm, BI. */
#define NDU_NAMES_MAX 8u

#define NDU_UNARY_DEFAULT                              \
    10u /* where cabac_unary_length_minus1 is not sent \
         */

/* More entries than any codebook has use for. */
#define NDU_CODEBOOK_MAX ((uint32_t)1 << 24)

struct ndu {
    enum ndu_type type;
    bool multiple_elements;        /* nnr_multiple_topology_elements_... */
    bool format_present;           /* nnr_decompressed_data_format_present */
    bool input_parameters_present; /* dimensions, unary length, parts */
    uint8_t format;                /* nnr_decompressed_data_format */

    /* Names in the order of the list: W (or G, H), LS, BN beta, gamma, mean,
     * variance, BI; of one that is no block just its own. */
    uint32_t name_count;
    const char *names[NDU_NAMES_MAX];
    size_t name_sizes[NDU_NAMES_MAX];

    bool node_id_present;
    uint32_t device_id, parameter_id, put_node_depth;
    bool has_parent; /* parent_node_id_present_flag */
    uint32_t parent_type;
    bool temporal; /* temporal_context_modeling_flag */
    uint32_t parent_device_id;
    uint8_t parent_hash[64]; /* of the parent's payload, by type */

    bool codebook_present;
    struct nnc_codebook codebook;   /* of the tensor, or of W or G */
    struct nnc_codebook codebook_h; /* of H: codebook("dc") */
    bool dq;

    bool dimensions_present;
    uint32_t rank;
    uint64_t shape[NNC_RANK_MAX]; /* of the tensor, or of a block's W */
    uint8_t parts;                /* compressed_parameter_types */
    uint32_t decomposition_rank, g_number_of_rows;
    bool unary_present;
    uint16_t unary; /* cabac_unary_length_minus1 + 1 */
    uint32_t first_dimension_shift;
    uint8_t scan_order;
};

/* What the header is read against. */
struct ndu_context {
    uint8_t profile;
    const struct model_params *model;
    /* Rank and shape of the tensor name, where the unit does not send them;
     * NOT_FOUND. name is W's: of a block with a decomposed one G's name less
     * its "_G". */
    enum status (*shape_of)(void *ctx, const struct ndu *ndu, uint32_t *rank,
                            uint64_t shape[NNC_RANK_MAX]);
    void *ctx;
};

/* Reads from just behind the unit's own fields up to the payload, which is what
 * is left in the reader. Names point into the unit's bytes; codebooks are on
 * the heap. Call ndu_deinit whatever the answer is.
 *
 * STATUS_TRUNCATED    the header is longer than its unit
 * STATUS_CORRUPT      a reserved type or scan, names that do not fit the parts,
 *                     a codebook that is none
 * STATUS_LIMIT        more than NNC_RANK_MAX dimensions, a huge codebook
 * STATUS_UNSUPPORTED  indexed names, a mapping of dimensions, dependent
 *                     quantisation of codebook indices
 * STATUS_NO_MEMORY, or what shape_of says */
enum status ndu_read(struct nnr_bits *in, const struct ndu_context *context,
                     struct ndu *ndu) MUST_CHECK;
void ndu_deinit(struct ndu *ndu);

/* Bytes of the name of a block's weight: of a decomposed one G's less "_G". */
size_t ndu_weight_name_size(const struct ndu *ndu);

#endif
