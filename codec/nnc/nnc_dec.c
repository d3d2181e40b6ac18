/* Goes through the units of a stream; a data unit is read and checked as a
 * whole before the first of its tensors is handed out. */
#include "codec/nnc/nnc_dec.h"

#include "codec/base/checked.h"
#include "codec/nnc/levels_dec.h"
#include "codec/nnc/ndu.h"
#include "codec/nnc/topology.h"
#include "codec/nnc/unit.h"
#include "codec/quant/qp.h"

#include <float.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* One tensor of the unit. */
struct item {
    struct nnc_tensor tensor;
    uint64_t row_elems;
    const int32_t *levels; /* NULL: raw */
    const struct nnc_node *before;
};

/* Who wrote a stream of profile 0, as far as it shows. */
enum edition {
    EDITION_UNKNOWN,
    EDITION_SECOND, /* as profile 0 is defined */
    EDITION_FIRST,  /* the first edition's software */
};

struct nnc_dec {
    struct nnc_dec_params params;
    struct nnc_stream stream;
    struct model_params model;
    bool model_known;
    struct quant_params quant;
    enum edition edition;
    bool probing;        /* only to find the edition */
    uint64_t offset;     /* of the next unit */
    uint64_t elem_total; /* of all units so far */
    uint64_t work_total; /* multiplications of all products so far */
    enum status failed;

    struct unit unit;
    uint8_t *bytes; /* of the unit */
    size_t bytes_cap;
    struct ndu ndu;
    struct bytes payload;
    struct item items[NDU_NAMES_MAX];
    size_t item_count, item; /* items handed out so far */
    struct nnc_product product;
    char *product_name;

    struct levels_dec *levels_dec;
    int32_t *levels; /* of all items */
    size_t levels_cap;
    struct nnc_state *pending; /* what the stream leaves, with a state only */
};

static enum status fail(struct nnc_dec *dec, enum status rc, const char *what)
{
    const char *name = dec->ndu.name_count ? dec->ndu.names[0] : NULL;
    dec->failed = rc;
    if (name && *name)
        return diag_fail(dec->params.diag, rc,
                         "tensor '%.100s', unit at offset %" PRIu64 ": %s",
                         name, dec->unit.offset, what);
    return diag_fail(dec->params.diag, rc,
                     "unit of type %u at offset %" PRIu64 ": %s",
                     (unsigned)dec->unit.type, dec->unit.offset, what);
}

/* ---- units ---- */

static enum status load_unit(struct nnc_dec *dec)
{
    size_t size = dec->unit.size;
    if (size > dec->bytes_cap) {
        free(dec->bytes);
        dec->bytes_cap = 0;
        dec->bytes = malloc(size);
        if (!dec->bytes)
            return fail(dec, STATUS_NO_MEMORY, "no memory for its bytes");
        dec->bytes_cap = size;
    }
    enum status rc =
        source_read(dec->params.in, dec->unit.offset, dec->bytes, size);
    return rc ? fail(dec, rc, "cannot be read") : STATUS_OK;
}

/* Finds the next unit, and leaves dec->offset behind it. */
static enum status find_unit(struct nnc_dec *dec)
{
    enum status rc = unit_read(dec->params.in, dec->offset, &dec->unit);
    if (rc == STATUS_TRUNCATED)
        return fail(dec, rc, "the stream ends within it");
    if (rc)
        return fail(dec, rc, "no room for its own header");
    dec->offset += dec->unit.size;
    return STATUS_OK;
}

static void begin_bits(struct nnc_dec *dec, struct nnr_bits *in)
{
    uint32_t header = dec->unit.header_size;
    nnr_bits_init(in, bytes_of(dec->bytes + header, dec->unit.size - header));
}

static enum status read_parameters(struct nnc_dec *dec)
{
    struct nnr_bits in;
    struct topology topology = {0};
    enum status rc = load_unit(dec);
    if (rc)
        return rc;
    begin_bits(dec, &in);
    switch (dec->unit.type) {
    case NNR_STR:
        dec->stream.profile = params_read_start(&in);
        break;
    case NNR_MPS:
        params_read_model(&in, dec->stream.profile, &dec->model);
        dec->model_known = true;
        dec->quant = dec->model.quant;
        dec->stream.qp_density = dec->quant.qp_density;
        dec->stream.incremental = dec->model.parent_signalling;
        break;
    case NNR_LPS:
        params_read_layer(&in, &dec->quant);
        break;
    default:
        topology_read(&in, &topology);
        dec->stream.topology_format = topology.storage_format;
        break;
    }
    return in.status ? fail(dec, in.status, "its fields are malformed")
                     : STATUS_OK;
}

/* Reads a unit that is not data, or passes over it. */
static enum status read_other(struct nnc_dec *dec)
{
    switch (dec->unit.type) {
    case NNR_STR:
        return fail(dec, STATUS_CORRUPT, "a second start");
    case NNR_MPS:
        if (dec->model_known)
            return fail(dec, STATUS_CORRUPT, "a second model parameter set");
        return read_parameters(dec);
    case NNR_LPS:
    case NNR_TPL:
        return read_parameters(dec);
    default:
        return STATUS_OK;
    }
}

/* ---- shapes ---- */

static const struct nnc_node *find_node(const struct nnc_dec *dec,
                                        const char *name)
{
    const struct nnc_node *node = NULL;
    if (dec->pending)
        node = nnc_state_find(dec->pending, name);
    if (!node && dec->params.state)
        node = nnc_state_find(dec->params.state, name);
    return node;
}

static bool shape_is_sound(uint32_t rank)
{
    return rank >= 1 && rank <= NNC_RANK_MAX;
}

/* ndu_context.shape_of */
static enum status known_shape(void *ctx, const struct ndu *ndu, uint32_t *rank,
                               uint64_t shape[NNC_RANK_MAX])
{
    const struct nnc_dec *dec = ctx;
    const struct nnc_dec_params *params = &dec->params;
    char *name =
        bytes_to_text(bytes_of(ndu->names[0], ndu_weight_name_size(ndu)));
    if (!name)
        return STATUS_NO_MEMORY;
    const struct nnc_node *node = find_node(dec, name);
    enum status rc = STATUS_NOT_FOUND;
    if (node) {
        *rank = node->rank;
        memcpy(shape, node->shape, sizeof(node->shape));
        rc = STATUS_OK;
    } else if (params->shape_of) {
        rc = params->shape_of(params->shape_ctx, name, rank, shape);
    }
    free(name);
    return rc || shape_is_sound(*rank) ? rc : STATUS_LIMIT;
}

/* Elements of a shape, and of one index of its first dimension. */
static bool count_elems(uint32_t rank, const uint64_t *shape,
                        uint64_t *row_elems, uint64_t *elem_count)
{
    *row_elems = 1;
    for (uint32_t i = 1; i < rank; i++)
        if (!checked_mul_u64(*row_elems, shape[i], row_elems))
            return false;
    return checked_mul_u64(*row_elems, shape[0], elem_count);
}

/* ---- the tensors of a unit ---- */

static enum nnc_kind kind_of(const struct ndu *ndu,
                             const struct nnc_codebook *codebook)
{
    if (ndu->type == NDU_INT)
        return NNC_INT;
    if (ndu->type == NDU_RAW_FLOAT)
        return NNC_RAW_FLOAT;
    return codebook->size ? NNC_CODEBOOK : NNC_UNIFORM;
}

/* Adds a tensor under one of the unit's names. codebook: of size 0 if none. */
static enum status add_item(struct nnc_dec *dec, enum nnc_part part,
                            unsigned name, uint32_t rank, const uint64_t *shape,
                            const struct nnc_codebook *codebook)
{
    const struct ndu *ndu = &dec->ndu;
    struct item *item = &dec->items[dec->item_count++];
    struct nnc_tensor *tensor = &item->tensor;
    *item = (struct item){0};
    tensor->name = ndu->names[name];
    tensor->name_size = ndu->name_sizes[name];
    tensor->rank = rank;
    memcpy(tensor->shape, shape, rank * sizeof(*shape));
    tensor->kind = kind_of(ndu, codebook);
    tensor->part = part;
    tensor->qp_density = dec->quant.qp_density;
    tensor->unary = ndu->unary;
    tensor->scan_order = ndu->scan_order;
    tensor->dq = ndu->dq && tensor->kind == NNC_UNIFORM;
    tensor->codebook = *codebook;
    tensor->device_id = ndu->device_id;
    tensor->parameter_id = ndu->parameter_id;
    tensor->put_node_depth = ndu->put_node_depth;
    tensor->has_parent = ndu->has_parent;
    tensor->temporal = ndu->temporal;
    if (dec->item_count == 1)
        tensor->coded_size = dec->unit.size;
    return count_elems(rank, shape, &item->row_elems, &tensor->elem_count)
               ? STATUS_OK
               : fail(dec, STATUS_LIMIT, "more elements than can be counted");
}

static const struct nnc_codebook no_codebook;

/* A part as long as the weight's first dimension. */
static enum status add_vector(struct nnc_dec *dec, enum nnc_part part,
                              unsigned name)
{
    return add_item(dec, part, name, 1, dec->ndu.shape, &no_codebook);
}

/* The multiplications that so many elements may take. */
static uint64_t work_of(uint64_t elem_count)
{
    uint64_t work;
    return checked_mul_u64(elem_count, NNC_PRODUCT_WORK, &work) ? work
                                                                : UINT64_MAX;
}

/* Each element of the product takes as many multiplications as the factors have
 * ranks. */
static bool budget_work(struct nnc_dec *dec)
{
    const struct nnc_dec_limits *limits = &dec->params.limits;
    uint64_t work;
    if (!checked_mul_u64(dec->product.elem_count, dec->ndu.decomposition_rank,
                         &work) ||
        work > work_of(limits->elem_count_max) ||
        work > work_of(limits->elem_total_max) - dec->work_total)
        return false;
    dec->work_total += work;
    return true;
}

/* Sizes of the weight that G and H make; the name as in the header. */
static enum status init_product(struct nnc_dec *dec, uint64_t *columns)
{
    const struct ndu *ndu = &dec->ndu;
    struct nnc_product *product = &dec->product;
    uint64_t row_elems;
    product->rank = ndu->rank;
    memcpy(product->shape, ndu->shape, sizeof(product->shape));
    if (!count_elems(ndu->rank, ndu->shape, &row_elems, &product->elem_count) ||
        product->elem_count > dec->params.limits.elem_count_max)
        return fail(dec, STATUS_LIMIT, "the product has too many elements");
    if (!budget_work(dec))
        return fail(dec, STATUS_LIMIT, "the product takes too much work");
    if (!ndu->g_number_of_rows || !ndu->decomposition_rank ||
        product->elem_count % ndu->g_number_of_rows)
        return fail(dec, STATUS_CORRUPT, "its factors do not make the weight");
    *columns = product->elem_count / ndu->g_number_of_rows;
    dec->product_name =
        bytes_to_text(bytes_of(ndu->names[0], ndu_weight_name_size(ndu)));
    product->name = dec->product_name;
    return dec->product_name ? STATUS_OK
                             : fail(dec, STATUS_NO_MEMORY, "no memory");
}

static enum status add_weight(struct nnc_dec *dec)
{
    const struct ndu *ndu = &dec->ndu;
    if (!(ndu->parts & NDU_DECOMPOSED))
        return add_item(dec, NNC_WEIGHT, 0, ndu->rank, ndu->shape,
                        &ndu->codebook);
    uint64_t columns = 0;
    enum status rc = init_product(dec, &columns);
    if (rc)
        return rc;
    uint64_t g[2] = {ndu->g_number_of_rows, ndu->decomposition_rank};
    uint64_t h[2] = {ndu->decomposition_rank, columns};
    rc = add_item(dec, NNC_G, 0, 2, g, &ndu->codebook);
    return rc ? rc : add_item(dec, NNC_H, 1, 2, h, &ndu->codebook_h);
}

/* In the order in which the payload has them. */
static enum status add_block(struct nnc_dec *dec)
{
    static const enum nnc_part norm[4] = {NNC_BN_BETA, NNC_BN_GAMMA,
                                          NNC_BN_MEAN, NNC_BN_VAR};
    uint8_t parts = dec->ndu.parts;
    unsigned scaling = parts & NDU_DECOMPOSED ? 2 : 1;
    unsigned first_norm = scaling + (parts & NDU_LOCAL_SCALING ? 1 : 0);
    unsigned bias = first_norm + (parts & NDU_BATCH_NORM ? 4 : 0);
    enum status rc = STATUS_OK;
    if (parts & NDU_LOCAL_SCALING)
        rc = add_vector(dec, NNC_LOCAL_SCALING, scaling);
    if (!rc && (parts & NDU_BIAS))
        rc = add_vector(dec, NNC_BIAS, bias);
    for (unsigned i = 0; !rc && i < 4 && (parts & NDU_BATCH_NORM); i++)
        rc = add_vector(dec, norm[i], first_norm + i);
    return rc ? rc : add_weight(dec);
}

static enum status add_items(struct nnc_dec *dec)
{
    const struct ndu *ndu = &dec->ndu;
    if (ndu->type == NDU_BLOCK)
        return add_block(dec);
    return add_item(dec, NNC_ALONE, 0, ndu->rank, ndu->shape, &ndu->codebook);
}

/* ---- the node before ---- */

static bool same_shape(const struct nnc_tensor *tensor,
                       const struct nnc_node *node)
{
    return tensor->rank == node->rank &&
           !memcmp(tensor->shape, node->shape,
                   tensor->rank * sizeof(*tensor->shape));
}

/* Whether the unit says which node it is. */
static bool ids_sent(const struct ndu *ndu)
{
    return ndu->node_id_present ||
           (ndu->has_parent && ndu->parent_type == NDU_PARENT_NODE);
}

static bool device_fits(const struct nnc_dec *dec)
{
    uint32_t device = 0;
    bool known = dec->pending && nnc_state_device(dec->pending, &device);
    if (!known && dec->params.state)
        known = nnc_state_device(dec->params.state, &device);
    return !known || !dec->ndu.node_id_present || device == dec->ndu.device_id;
}

/* Whether a node of that depth is followed by the unit. Who does not count says
 * 0 of differences as of roots; temporal context is of those who do. */
static bool depth_fits(const struct ndu *ndu, uint32_t before)
{
    if (!ndu->put_node_depth)
        return !ndu->temporal && !before;
    return ndu->put_node_depth - 1 == before;
}

/* A difference is one to the node before, with temporal context or without:
 * added to another it would make a model that nobody ever had. */
static enum status check_ids(struct nnc_dec *dec, const struct nnc_node *before)
{
    const struct ndu *ndu = &dec->ndu;
    if (!device_fits(dec))
        return fail(dec, STATUS_BAD_BASE, "it comes from another device");
    if (!ids_sent(ndu) || !before->has_ids)
        return STATUS_OK;
    if (before->parameter_id != ndu->parameter_id)
        return fail(dec, STATUS_BAD_BASE, "it has another parameter id");
    if (!depth_fits(ndu, before->put_node_depth))
        return fail(dec, STATUS_BAD_BASE, "it is not the next of its node");
    return STATUS_OK;
}

/* Of a tensor that is not known. A state of nothing may be that of one who
 * begins in the midst of a chain, with a model that others made. */
static enum status check_first(struct nnc_dec *dec)
{
    const struct nnc_state *state = dec->params.state;
    if (!state || !nnc_state_count(state))
        return STATUS_OK;
    if (!device_fits(dec))
        return fail(dec, STATUS_BAD_BASE, "it comes from another device");
    if (ids_sent(&dec->ndu) && dec->ndu.put_node_depth > 1)
        return fail(dec, STATUS_BAD_BASE, "what came before it is missing");
    return STATUS_OK;
}

/* The rank of a weight's factors may change from update to update; what they
 * were before is then no context. */
static bool is_factor(const struct nnc_tensor *tensor)
{
    return tensor->part == NNC_G || tensor->part == NNC_H;
}

static enum status find_before(struct nnc_dec *dec, struct item *item)
{
    item->before = find_node(dec, item->tensor.name);
    if (!item->tensor.has_parent)
        return STATUS_OK;
    const struct nnc_node *before = item->before;
    if (item->tensor.temporal && !(before && before->levels))
        return fail(dec, STATUS_BAD_BASE, "what it builds on is not known");
    if (!before)
        return check_first(dec);
    if (!same_shape(&item->tensor, before) &&
        (item->tensor.temporal || !is_factor(&item->tensor)))
        return fail(dec, STATUS_BAD_BASE, "it has another shape than before");
    return before->has_ids || before->levels ? check_ids(dec, before)
                                             : STATUS_OK;
}

/* ---- payloads ---- */

static enum status grow_levels(struct nnc_dec *dec, uint64_t count)
{
    if (count <= dec->levels_cap && dec->levels)
        return STATUS_OK;
    free(dec->levels);
    dec->levels_cap = 0;
    dec->levels = NULL;
    size_t size;
    if (count < SIZE_MAX &&
        checked_mul_size((size_t)count + 1, sizeof(int32_t), &size))
        dec->levels = malloc(size);
    if (!dec->levels)
        return fail(dec, STATUS_NO_MEMORY, "no memory for its integers");
    dec->levels_cap = (size_t)count;
    return STATUS_OK;
}

static bool add_to_total(struct nnc_dec *dec, uint64_t count)
{
    if (count > dec->params.limits.elem_total_max - dec->elem_total)
        return false;
    dec->elem_total += count;
    return true;
}

/* All items against the limits, and memory for their levels. */
static enum status size_items(struct nnc_dec *dec)
{
    const struct nnc_dec_limits *limits = &dec->params.limits;
    uint64_t total = 0;
    for (size_t i = 0; i < dec->item_count; i++) {
        uint64_t count = dec->items[i].tensor.elem_count;
        if (count > limits->elem_count_max - total)
            return fail(dec, STATUS_LIMIT, "it has too many elements");
        total += count;
    }
    if (!add_to_total(dec, total) ||
        !add_to_total(dec, dec->product.elem_count))
        return fail(dec, STATUS_LIMIT, "the stream has too many elements");
    return dec->ndu.type == NDU_RAW_FLOAT ? STATUS_OK : grow_levels(dec, total);
}

static void coding_of(const struct nnc_dec *dec, const struct item *item,
                      bool first_edition, struct level_coding *coding)
{
    const struct nnc_tensor *tensor = &item->tensor;
    *coding = (struct level_coding){.elem_count = tensor->elem_count,
                                    .row_elems = item->row_elems,
                                    .profile = dec->stream.profile,
                                    .first_edition = first_edition,
                                    .unary = tensor->unary,
                                    .scan_order = tensor->scan_order,
                                    .dq = tensor->dq,
                                    .codebook_size = tensor->codebook.size,
                                    .codebook_zero = tensor->codebook.zero,
                                    .has_parent = tensor->has_parent};
    if (tensor->temporal)
        coding->temporal = item->before->levels;
    if (tensor->has_parent && item->before && same_shape(tensor, item->before))
        coding->history = item->before->history;
}

/* A step above all binary32 numbers would make NaNs of zeros, which are not the
 * same bits on every machine. */
static bool step_is_sound(const struct nnc_tensor *tensor)
{
    return qp_step(tensor->qp, tensor->qp_density) <= (double)FLT_MAX;
}

static enum status read_levels(struct nnc_dec *dec, bool first_edition)
{
    int32_t *levels = dec->levels;
    levels_dec_begin(dec->levels_dec, dec->payload);
    for (size_t i = 0; i < dec->item_count; i++) {
        struct item *item = &dec->items[i];
        struct level_coding coding;
        if (item->tensor.kind != NNC_INT)
            item->tensor.qp =
                levels_dec_qp(dec->levels_dec, 6u + dec->quant.qp_density) +
                dec->quant.qp;
        if (item->tensor.kind != NNC_INT && !step_is_sound(&item->tensor))
            return STATUS_LIMIT;
        coding_of(dec, item, first_edition, &coding);
        enum status rc = levels_dec_tensor(dec->levels_dec, &coding, levels);
        if (rc)
            return rc;
        item->levels = levels;
        levels += item->tensor.elem_count;
    }
    return levels_dec_finish(dec->levels_dec);
}

static enum status read_raw(struct nnc_dec *dec)
{
    uint64_t size = dec->payload.size;
    uint64_t count = dec->items[0].tensor.elem_count;
    if (count > size / 4)
        return fail(dec, STATUS_TRUNCATED, "fewer floats than elements");
    if (size != 4 * count)
        return fail(dec, STATUS_CORRUPT, "bytes behind the last float");
    return STATUS_OK;
}

/* Reads on, apart, until a unit shows the edition, once; profile 0 as it is
 * defined where none does. Few streams need that. */
static enum status find_edition(struct nnc_dec *dec)
{
    struct nnc_dec_params params = dec->params;
    struct nnc_dec *probe;
    const struct nnc_tensor *tensor = NULL;
    params.diag = NULL;
    enum status rc = nnc_dec_new(&params, &probe);
    if (rc)
        return rc;
    probe->probing = true;
    while (!rc && probe->edition == EDITION_UNKNOWN) {
        rc = nnc_dec_next(probe, &tensor);
        if (!tensor)
            break;
    }
    dec->edition =
        probe->edition == EDITION_FIRST ? EDITION_FIRST : EDITION_SECOND;
    nnc_dec_free(probe);
    return rc == STATUS_NO_MEMORY ? rc : STATUS_OK;
}

/* Nothing tells profile 0 of the first edition's software from profile 0 as
 * read otherwise, but that a codeword must end where its unit does. One in some
 * hundred short ones ends there either way; the first that does not says how to
 * read all of the stream. */
static enum status read_profile_0(struct nnc_dec *dec)
{
    bool first = dec->edition == EDITION_FIRST;
    enum status rc = read_levels(dec, first);
    if (rc == STATUS_NO_MEMORY || (!rc && dec->edition != EDITION_UNKNOWN))
        return rc;
    enum status other = read_levels(dec, !first);
    if (rc || other == STATUS_NO_MEMORY) {
        if (!other && dec->edition == EDITION_UNKNOWN)
            dec->edition = EDITION_FIRST;
        return other == STATUS_NO_MEMORY ? other : other ? rc : STATUS_OK;
    }
    if (other)
        dec->edition = EDITION_SECOND;
    else if (!dec->probing)
        rc = find_edition(dec);
    return rc ? rc : read_levels(dec, dec->edition == EDITION_FIRST);
}

static enum status read_payload(struct nnc_dec *dec)
{
    if (dec->ndu.type == NDU_RAW_FLOAT)
        return read_raw(dec);
    enum status rc = dec->stream.profile == 0 ? read_profile_0(dec)
                                              : read_levels(dec, false);
    if (rc == STATUS_TRUNCATED)
        return fail(dec, rc, "its codeword is longer than the unit");
    if (rc == STATUS_LIMIT)
        return fail(dec, rc, "its step is above all of binary32");
    if (rc)
        return fail(dec, rc, "its codeword is malformed");
    return STATUS_OK;
}

/* ---- data units ---- */

static enum status read_header(struct nnc_dec *dec)
{
    struct ndu_context context = {dec->stream.profile, &dec->model, known_shape,
                                  dec};
    struct nnr_bits in;
    begin_bits(dec, &in);
    enum status rc = ndu_read(&in, &context, &dec->ndu);
    if (rc == STATUS_NOT_FOUND)
        return fail(dec, rc, "its dimensions are neither sent nor known");
    if (rc)
        return fail(dec, rc, "its header is malformed or not supported");
    if (dec->ndu.type != NDU_INT && dec->ndu.type != NDU_RAW_FLOAT &&
        !(dec->quant.methods & (PARAMS_UNIFORM | PARAMS_CODEBOOK)))
        return fail(dec, STATUS_CORRUPT, "no quantisation parameters are set");
    dec->payload = nnr_bits_rest(&in);
    return STATUS_OK;
}

static enum status follow(struct nnc_dec *dec)
{
    for (size_t i = 0; i < dec->item_count && dec->pending; i++) {
        const struct item *item = &dec->items[i];
        /* Looked up again: an equal name in the unit may have replaced it. */
        const struct nnc_node *before = find_node(dec, item->tensor.name);
        enum status rc = nnc_state_sent(dec->pending, before, &item->tensor,
                                        ids_sent(&dec->ndu), item->levels);
        if (rc)
            return fail(dec, rc, "there is no room for its node");
        if (dec->ndu.node_id_present)
            nnc_state_set_device(dec->pending, dec->ndu.device_id);
    }
    return STATUS_OK;
}

static enum status read_data(struct nnc_dec *dec)
{
    dec->stream.offset = dec->unit.offset;
    if (!dec->model_known)
        return fail(dec, STATUS_CORRUPT, "data before the model parameter set");
    if (dec->unit.partial && dec->unit.partial_counter)
        return fail(dec, STATUS_UNSUPPORTED, "it is a part of a data unit");
    enum status rc = load_unit(dec);
    if (!rc)
        rc = read_header(dec);
    if (!rc)
        rc = add_items(dec);
    for (size_t i = 0; !rc && i < dec->item_count; i++)
        rc = find_before(dec, &dec->items[i]);
    if (!rc)
        rc = size_items(dec);
    if (!rc)
        rc = read_payload(dec);
    return rc ? rc : follow(dec);
}

static void drop_unit(struct nnc_dec *dec)
{
    ndu_deinit(&dec->ndu);
    free(dec->product_name);
    dec->product_name = NULL;
    dec->ndu = (struct ndu){0};
    dec->product = (struct nnc_product){0};
    dec->item_count = 0;
    dec->item = 0;
}

static enum status finish(struct nnc_dec *dec)
{
    if (!dec->model_known)
        return fail(dec, STATUS_TRUNCATED, "no model parameter set follows");
    if (!dec->pending || dec->probing)
        return STATUS_OK;
    struct nnc_state *state = dec->params.state;
    if (nnc_state_elems(state, dec->pending) >
        dec->params.limits.elem_state_max)
        return fail(dec, STATUS_LIMIT, "too many elements are to be kept");
    enum status rc = nnc_state_take(state, dec->pending);
    return rc ? fail(dec, rc, "there is no room for its nodes") : STATUS_OK;
}

enum status nnc_dec_next(struct nnc_dec *dec, const struct nnc_tensor **tensor)
{
    *tensor = NULL;
    if (dec->failed)
        return dec->failed;
    if (dec->item == dec->item_count)
        drop_unit(dec);
    while (!dec->item_count) {
        if (dec->offset == dec->params.in->size)
            return finish(dec);
        enum status rc = find_unit(dec);
        if (!rc)
            rc = dec->unit.type == NNR_NDU ? read_data(dec) : read_other(dec);
        if (rc)
            return rc;
    }
    *tensor = &dec->items[dec->item++].tensor;
    return STATUS_OK;
}

/* ---- what was read ---- */

const struct nnc_stream *nnc_dec_stream(const struct nnc_dec *dec)
{
    return &dec->stream;
}

static const struct item *current(const struct nnc_dec *dec)
{
    return &dec->items[dec->item - 1];
}

const int32_t *nnc_dec_levels(const struct nnc_dec *dec)
{
    return current(dec)->levels;
}

static double step_of(const struct nnc_tensor *tensor)
{
    return qp_step(tensor->qp, tensor->qp_density);
}

static void raw_values(const struct nnc_dec *dec, uint64_t first,
                       uint64_t count, float *out)
{
    const uint8_t *from = dec->payload.data + 4 * first;
    for (uint64_t i = 0; i < count; i++) {
        uint32_t word = load_le32(from + 4 * i);
        memcpy(out + i, &word, sizeof(word));
    }
}

static void codebook_values(const struct item *item, uint64_t first,
                            uint64_t count, float *out)
{
    const struct nnc_codebook *codebook = &item->tensor.codebook;
    double step = step_of(&item->tensor);
    for (uint64_t i = 0; i < count; i++) {
        int64_t index = item->levels[first + i] + (int64_t)codebook->zero;
        out[i] = (float)((double)codebook->values[index] * step);
    }
}

static void uniform_values(const struct item *item, uint64_t first,
                           uint64_t count, float *out)
{
    const int32_t *levels = item->levels + first;
    float step = (float)step_of(&item->tensor);
    for (uint64_t i = 0; i < count; i++)
        out[i] = step * (float)levels[i];
}

static void item_values(const struct nnc_dec *dec, const struct item *item,
                        uint64_t first, uint64_t count, void *out)
{
    switch (item->tensor.kind) {
    case NNC_INT:
        memcpy(out, item->levels + first, (size_t)count * sizeof(int32_t));
        break;
    case NNC_UNIFORM:
        uniform_values(item, first, count, out);
        break;
    case NNC_CODEBOOK:
        codebook_values(item, first, count, out);
        break;
    default:
        raw_values(dec, first, count, out);
        break;
    }
}

void nnc_dec_values(const struct nnc_dec *dec, uint64_t first, uint64_t count,
                    void *out)
{
    if (count)
        item_values(dec, current(dec), first, count, out);
}

const struct nnc_product *nnc_dec_product(const struct nnc_dec *dec)
{
    return dec->item && current(dec)->tensor.part == NNC_H ? &dec->product
                                                           : NULL;
}

#define PIECE 256u

/* Elements first .. first + count - 1 of one row, in each of which the products
 * are summed in the stated order. */
static void product_row(const struct nnc_dec *dec, uint64_t row, uint64_t first,
                        uint64_t count, float *out)
{
    const struct item *h = current(dec);
    const struct item *g = h - 1;
    uint64_t rank = g->tensor.shape[1];
    float piece[PIECE];
    for (uint64_t r = 0; r < rank; r++) {
        float factor;
        item_values(dec, g, row * rank + r, 1, &factor);
        item_values(dec, h, r * h->tensor.shape[1] + first, count, piece);
        for (uint64_t i = 0; i < count; i++) {
            float product = factor * piece[i];
            out[i] = r ? out[i] + product : product;
        }
    }
    for (uint64_t i = 0; i < count; i++)
        if (isnan(out[i]))
            out[i] = NAN; /* whatever NaN the machine makes of infinities */
}

void nnc_dec_product_values(const struct nnc_dec *dec, uint64_t first,
                            uint64_t count, float *out)
{
    uint64_t columns = current(dec)->tensor.shape[1];
    while (count) {
        uint64_t x = first % columns;
        uint64_t piece = columns - x < count ? columns - x : count;
        piece = piece < PIECE ? piece : PIECE;
        product_row(dec, first / columns, x, piece, out);
        first += piece;
        out += piece;
        count -= piece;
    }
}

/* ---- start and end ---- */

static enum status start(struct nnc_dec *dec)
{
    if (!dec->params.in->size)
        return fail(dec, STATUS_TRUNCATED, "the stream is empty");
    enum status rc = find_unit(dec);
    if (rc)
        return rc;
    if (dec->unit.type != NNR_STR)
        return fail(dec, STATUS_CORRUPT, "the first unit is no start");
    return read_parameters(dec);
}

enum status nnc_dec_new(const struct nnc_dec_params *params,
                        struct nnc_dec **dec)
{
    struct nnc_dec *made = calloc(1, sizeof(*made));
    *dec = NULL;
    if (!made)
        return STATUS_NO_MEMORY;
    made->params = *params;
    struct nnc_dec_limits *limits = &made->params.limits;
    if (!limits->elem_count_max)
        limits->elem_count_max = NNC_ELEM_COUNT_MAX;
    if (!limits->elem_total_max)
        limits->elem_total_max =
            params->state ? NNC_ELEM_STATE_MAX : NNC_ELEM_TOTAL_MAX;
    if (!limits->elem_state_max)
        limits->elem_state_max = limits->elem_total_max;
    enum status rc = levels_dec_new(&made->levels_dec);
    if (!rc && params->state)
        rc = nnc_state_new(&made->pending);
    if (!rc)
        rc = start(made);
    if (rc) {
        nnc_dec_free(made);
        return rc;
    }
    *dec = made;
    return STATUS_OK;
}

void nnc_dec_free(struct nnc_dec *dec)
{
    if (!dec)
        return;
    drop_unit(dec);
    levels_dec_free(dec->levels_dec);
    nnc_state_free(dec->pending);
    free(dec->levels);
    free(dec->bytes);
    free(dec);
}
