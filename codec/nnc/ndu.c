/* The fields of a data unit's header, in their order. Each function stops
 * silently after a failure: the reader keeps it. */
#include "codec/nnc/ndu.h"

#include "codec/nnc/level_coding.h"

#include <stdlib.h>
#include <string.h>

/* topology_elements_ids_list: the block's names. */
static void read_name_list(struct nnr_bits *in, struct ndu *ndu)
{
    uint32_t count = nnr_bits_ue(in, 7);
    if (count > NDU_NAMES_MAX - 2) {
        nnr_bits_fail(in, STATUS_CORRUPT);
        return;
    }
    ndu->name_count = count + 2;
    nnr_bits_align(in);
    for (uint32_t i = 0; i < ndu->name_count; i++)
        ndu->names[i] = nnr_bits_text(in, &ndu->name_sizes[i]);
}

static void read_names(struct nnr_bits *in, bool indexed, struct ndu *ndu)
{
    if (indexed) {
        nnr_bits_fail(in, STATUS_UNSUPPORTED);
    } else if (ndu->multiple_elements) {
        read_name_list(in, ndu);
    } else {
        ndu->name_count = 1;
        ndu->names[0] = nnr_bits_text(in, &ndu->name_sizes[0]);
    }
}

static void read_parent(struct nnr_bits *in, struct ndu *ndu)
{
    ndu->parent_type = nnr_bits_u(in, 2);
    ndu->temporal = nnr_bits_flag(in);
    if (ndu->parent_type > NDU_PARENT_SHA512) {
        nnr_bits_fail(in, STATUS_CORRUPT);
    } else if (ndu->parent_type != NDU_PARENT_NODE) {
        unsigned size = ndu->parent_type == NDU_PARENT_SHA256 ? 32 : 64;
        for (unsigned i = 0; i < size; i++)
            ndu->parent_hash[i] = (uint8_t)nnr_bits_u(in, 8);
    } else {
        ndu->parent_device_id = nnr_bits_ue(in, 1);
        if (!ndu->node_id_present) {
            ndu->parameter_id = nnr_bits_ue(in, 5);
            ndu->put_node_depth = nnr_bits_ue(in, 4);
        }
    }
}

static void read_node(struct nnr_bits *in, bool parent_signalling,
                      struct ndu *ndu)
{
    ndu->node_id_present = nnr_bits_flag(in);
    if (ndu->node_id_present) {
        ndu->device_id = nnr_bits_ue(in, 1);
        ndu->parameter_id = nnr_bits_ue(in, 5);
        ndu->put_node_depth = nnr_bits_ue(in, 4);
    }
    if (parent_signalling)
        ndu->has_parent = nnr_bits_flag(in);
    if (ndu->has_parent)
        read_parent(in, ndu);
}

/* The entries to one side of zero, `step` apart from it in the array. */
static void read_codebook_side(struct nnr_bits *in, unsigned egk,
                               int32_t *values, uint32_t zero, uint32_t count,
                               int step)
{
    int64_t value = values[zero];
    int32_t *next = values + zero;
    for (uint32_t i = 0; i < count && !in->status; i++) {
        value += step * ((int64_t)nnr_bits_ue(in, egk) + 1);
        if (value < INT32_MIN || value > INT32_MAX) {
            nnr_bits_fail(in, STATUS_CORRUPT);
            return;
        }
        next += step;
        *next = (int32_t)value;
    }
}

static void read_codebook(struct nnr_bits *in, struct nnc_codebook *codebook)
{
    codebook->egk = (uint8_t)nnr_bits_u(in, 4);
    uint32_t size = nnr_bits_ue(in, 2);
    int64_t zero = (int64_t)(size >> 1) + nnr_bits_ie(in, 2);
    /* Each entry is at least a bit. */
    if (!size || size > nnr_bits_left(in) || zero < 0 || zero >= size)
        nnr_bits_fail(in, STATUS_CORRUPT);
    else if (size > NDU_CODEBOOK_MAX)
        nnr_bits_fail(in, STATUS_LIMIT);
    if (in->status)
        return;
    int32_t *values = calloc(size, sizeof(*values));
    if (!values) {
        nnr_bits_fail(in, STATUS_NO_MEMORY);
        return;
    }
    codebook->size = size;
    codebook->zero = (uint32_t)zero;
    codebook->values = values;
    values[zero] = nnr_bits_ie(in, 7);
    read_codebook_side(in, codebook->egk, values, codebook->zero,
                       codebook->zero, -1);
    read_codebook_side(in, codebook->egk, values, codebook->zero,
                       size - 1 - codebook->zero, 1);
}

/* tensor_dimensions_list */
static void read_dimensions(struct nnr_bits *in, struct ndu *ndu)
{
    uint32_t rank = nnr_bits_ue(in, 1);
    if (rank > NNC_RANK_MAX)
        nnr_bits_fail(in, STATUS_LIMIT);
    else if (!rank)
        nnr_bits_fail(in, STATUS_CORRUPT);
    if (in->status)
        return;
    ndu->rank = rank;
    for (uint32_t i = 0; i < rank; i++)
        ndu->shape[i] = nnr_bits_ue(in, 7);
}

/* The number of names that the parts of a block make. */
static uint32_t names_of_parts(uint8_t parts)
{
    return (parts & NDU_DECOMPOSED ? 2u : 1u) +
           (parts & NDU_LOCAL_SCALING ? 1u : 0u) +
           (parts & NDU_BATCH_NORM ? 4u : 0u) + (parts & NDU_BIAS ? 1u : 0u);
}

static void read_input_parameters(struct nnr_bits *in, struct ndu *ndu)
{
    ndu->dimensions_present = nnr_bits_flag(in);
    ndu->unary_present = nnr_bits_flag(in);
    ndu->parts = (uint8_t)nnr_bits_u(in, 4);
    if (ndu->parts & NDU_DECOMPOSED) {
        ndu->decomposition_rank = nnr_bits_ue(in, 3);
        ndu->g_number_of_rows = nnr_bits_ue(in, 3);
    }
    if (ndu->dimensions_present)
        read_dimensions(in, ndu);
    if (ndu->unary_present)
        ndu->unary = (uint16_t)(nnr_bits_u(in, 8) + 1);
}

static uint64_t entry_points(uint64_t rows, unsigned scan_order)
{
    uint64_t block = (uint64_t)4 << scan_order;
    uint64_t block_rows = rows / block + (rows % block != 0);
    return block_rows ? block_rows - 1 : 0;
}

/* cabac_entry_point_list: not needed by a reader that goes from start to end.
 */
static void skip_entry_points(struct nnr_bits *in, const struct ndu *ndu)
{
    uint64_t count = entry_points(ndu->shape[0], ndu->scan_order);
    if (ndu->type == NDU_BLOCK && (ndu->parts & NDU_DECOMPOSED))
        count = entry_points(ndu->g_number_of_rows, ndu->scan_order) +
                entry_points(ndu->decomposition_rank, ndu->scan_order);
    for (uint64_t i = 0; i < count && !in->status; i++) {
        nnr_bits_u(in, 8);
        nnr_bits_u(in, ndu->dq ? 3 : 0);
        if (i == 0)
            nnr_bits_ue(in, 11);
        else
            nnr_bits_ie(in, 7);
    }
}

static void read_scan(struct nnr_bits *in, uint8_t profile, struct ndu *ndu)
{
    if (ndu->rank <= 1)
        return;
    if (profile == 1)
        ndu->first_dimension_shift = nnr_bits_ue(in, 1);
    ndu->scan_order = (uint8_t)nnr_bits_u(in, 4);
    if (ndu->scan_order > LEVEL_SCAN_ORDER_MAX)
        nnr_bits_fail(in, STATUS_CORRUPT);
    else if (ndu->scan_order)
        skip_entry_points(in, ndu);
}

/* Fields 1 to 15: what the unit is and where it stands in the update tree. */
static void read_identity(struct nnr_bits *in,
                          const struct ndu_context *context, struct ndu *ndu)
{
    uint32_t type = nnr_bits_u(in, 5);
    if (type > NDU_BLOCK)
        nnr_bits_fail(in, STATUS_CORRUPT);
    ndu->type = (enum ndu_type)(type & 3);
    ndu->multiple_elements = nnr_bits_flag(in);
    ndu->format_present = nnr_bits_flag(in);
    ndu->input_parameters_present = nnr_bits_flag(in);
    if (ndu->multiple_elements != (ndu->type == NDU_BLOCK))
        nnr_bits_fail(in, ndu->multiple_elements ? STATUS_UNSUPPORTED
                                                 : STATUS_CORRUPT);
    if (!in->status)
        read_names(in, context->model->indexed_reference, ndu);
    if (context->profile == 1)
        read_node(in, context->model->parent_signalling, ndu);
}

/* Fields 16 to 26. */
static void read_coding(struct nnr_bits *in, struct ndu *ndu)
{
    if (ndu->type == NDU_FLOAT || ndu->type == NDU_BLOCK)
        ndu->codebook_present = nnr_bits_flag(in);
    if (ndu->codebook_present && !in->status)
        read_codebook(in, &ndu->codebook);
    if (ndu->type != NDU_RAW_FLOAT)
        ndu->dq = nnr_bits_flag(in);
    if (ndu->format_present)
        ndu->format = (uint8_t)nnr_bits_u(in, 7);
    if (ndu->input_parameters_present && !in->status)
        read_input_parameters(in, ndu);
    if (ndu->type == NDU_BLOCK && names_of_parts(ndu->parts) != ndu->name_count)
        nnr_bits_fail(in, STATUS_CORRUPT);
    if (ndu->codebook_present && ndu->dq)
        nnr_bits_fail(in, STATUS_UNSUPPORTED);
}

enum status ndu_read(struct nnr_bits *in, const struct ndu_context *context,
                     struct ndu *ndu)
{
    *ndu = (struct ndu){.unary = NDU_UNARY_DEFAULT};
    read_identity(in, context, ndu);
    read_coding(in, ndu);
    if (!in->status && !ndu->dimensions_present) {
        enum status rc =
            context->shape_of(context->ctx, ndu, &ndu->rank, ndu->shape);
        if (rc)
            return rc;
    }
    if (!in->status && ndu->type == NDU_BLOCK &&
        (ndu->parts & NDU_DECOMPOSED) && ndu->codebook_present)
        read_codebook(in, &ndu->codebook_h);
    if (!in->status)
        read_scan(in, context->profile, ndu);
    nnr_bits_align(in);
    return in->status;
}

void ndu_deinit(struct ndu *ndu)
{
    free((void *)(uintptr_t)ndu->codebook.values);
    free((void *)(uintptr_t)ndu->codebook_h.values);
    ndu->codebook.values = NULL;
    ndu->codebook_h.values = NULL;
}

size_t ndu_weight_name_size(const struct ndu *ndu)
{
    size_t size = ndu->name_sizes[0];
    if (ndu->type == NDU_BLOCK && (ndu->parts & NDU_DECOMPOSED) && size >= 2 &&
        !memcmp(ndu->names[0] + size - 2, "_G", 2))
        return size - 2;
    return size;
}
