/* Writes the header of a compressed data unit.
 *
 * Ref: ISO/IEC 15938-17:2024, NNR compressed data unit header syntax. */
#ifndef CODEC_NNC_NDU_WRITE_H
#define CODEC_NNC_NDU_WRITE_H

#include "codec/base/bytes.h"
#include "codec/base/writer.h"
#include "codec/nnc/nnc.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* nnr_compressed_data_unit_payload_type */
enum ndu_payload_type {
    NDU_INT = 0,
    NDU_FLOAT = 1,
    NDU_RAW_FLOAT = 2,
    NDU_BLOCK = 3,
};

/* compressed_parameter_types */
#define NDU_HAS_GH 1u
#define NDU_HAS_LS 2u
#define NDU_HAS_BN 4u
#define NDU_HAS_BI 8u

/* An entry of cabac_entry_point_list. */
struct ndu_entry {
    uint64_t bit_offset;
    uint8_t value;
    uint8_t state; /* of dependent quantisation */
};

struct ndu_fields {
    uint8_t profile;
    bool parents; /* mps_parent_signalling_enabled_flag */
    enum ndu_payload_type type;
    const struct bytes *names; /* without NUL; more than one in a BLOCK */
    size_t name_count;
    bool node_id; /* the next three are written; needed with a parent */
    uint32_t device_id, parameter_id, put_node_depth;
    bool has_parent; /* the node with a put_node_depth of one less */
    bool temporal;
    bool dq;
    const struct nnc_codebook *codebook;   /* or NULL */
    const struct nnc_codebook *codebook_h; /* of H in a BLOCK, or NULL */
    const uint64_t *shape;
    uint32_t rank;
    uint16_t unary;
    bool long_form; /* unary is written even if it need not be */
    uint8_t parts;  /* compressed_parameter_types */
    uint64_t decomposition_rank, g_rows; /* if NDU_HAS_GH */
    uint8_t scan_order;
    const struct ndu_entry *entries;
    size_t entry_count;
};

/* Appends the header, from the payload type to the alignment. */
void ndu_write(struct writer *wr, const struct ndu_fields *fields);

#endif
