/* How the integers of one tensor travel in an NNC data unit: what encoder and
 * decoder of them must both know. The names are those of the standard where
 * it has one.
 *
 * Integers are *levels*: what is multiplied by the step, or, with a codebook,
 * the index less the place of its zero entry. In coding order "left" is the
 * integer k coded before; with dependent quantisation level = 2k - sign(k) *
 * (state & 1).
 *
 * Ref: ISO/IEC 15938-17:2024, tensor syntax and contexts. */
#ifndef CODEC_NNC_LEVEL_CODING_H
#define CODEC_NNC_LEVEL_CODING_H

#include <stdbool.h>
#include <stdint.h>

#define LEVEL_UNARY_MAX      256u
#define LEVEL_SCAN_ORDER_MAX 4u

struct level_coding {
    uint64_t elem_count;
    uint64_t row_elems; /* product of all dimensions but the first; 1 for 1-D */
    uint8_t profile;    /* general_profile_idc: 0 or 1 */
    bool first_edition; /* profile 0 as the first edition's software wrote it */
    uint16_t unary;     /* cabac_unary_length_minus1 + 1 */
    uint8_t scan_order; /* 0 .. LEVEL_SCAN_ORDER_MAX, as in the header */
    bool dq;            /* dependent quantisation */
    uint32_t codebook_size; /* 0: none */
    uint32_t codebook_zero; /* index of the zero entry */
    bool has_parent;        /* parent_node_id_present_flag */
    /* elem_count levels of the tensor's last update, or NULL: temporal context
     * is not used. */
    const int32_t *temporal;
    /* A byte an element, not 0 where any earlier update had a level that was
     * not; NULL: all were 0, or none is known. The decoder looks at it only if
     * the stream says so, the encoder says so when it is not NULL. */
    const uint8_t *history;
};

#endif
