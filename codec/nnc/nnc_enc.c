/* A unit is made in two buffers, header and payload, since the header has the
 * entry points of the payload; both are kept from tensor to tensor. */
#include "codec/nnc/nnc_enc.h"

#include "codec/base/checked.h"
#include "codec/entropy/cabac_enc.h"
#include "codec/nnc/levels_enc.h"
#include "codec/nnc/levels_search.h"
#include "codec/nnc/levels_unary.h"
#include "codec/nnc/ndu_write.h"
#include "codec/nnc/params_write.h"
#include "codec/nnc/topology_write.h"
#include "codec/nnc/unit_write.h"

#include <stdlib.h>
#include <string.h>

#define UNARY_NNCODEC 11u
#define PARTS_MAX     9u
#define UNIT_MAX      0x7fffffffu

struct nnc_enc {
    struct nnc_enc_params params;
    struct levels_search *search;
    struct levels_choice choice;
    struct levels_entries entries;
    struct ndu_entry *ndu_entries; /* heap */
    size_t ndu_cap;
    struct writer head, payload;
};

/* One tensor as it will be coded. */
struct job {
    const struct nnc_tensor *tensor;
    const struct nnc_enc_data *data;
    struct nnc_codebook codebook; /* size 0: none */
    struct level_coding coding;
};

enum status nnc_enc_new(const struct nnc_enc_params *params,
                        struct nnc_enc **enc)
{
    *enc = NULL;
    if (params->profile > 1 || params->qp_density > 7 ||
        (params->incremental && params->profile != 1))
        return diag_fail(params->diag, STATUS_USAGE,
                         "profile, density and incremental do not fit");
    struct nnc_enc *e = calloc(1, sizeof *e);
    if (!e)
        return STATUS_NO_MEMORY;
    e->params = *params;
    writer_init_heap(&e->head, UNIT_MAX);
    writer_init_heap(&e->payload, UNIT_MAX);
    enum status status = levels_search_new(&e->search);
    if (!status && !params->continues) {
        unit_write_start(params->out, params->profile);
        params_write(params->out, params->profile, params->qp_density,
                     params->incremental);
        if (params->rules.topology == NNC_ALWAYS)
            topology_write(params->out);
    }
    if (!status)
        status = writer_status(params->out);
    if (status)
        nnc_enc_free(e);
    else
        *enc = e;
    return status;
}

void nnc_enc_free(struct nnc_enc *enc)
{
    if (!enc)
        return;
    levels_search_free(enc->search);
    free(enc->entries.entry);
    free(enc->ndu_entries);
    writer_deinit(&enc->head);
    writer_deinit(&enc->payload);
    free(enc);
}

enum status nnc_enc_finish(struct nnc_enc *enc)
{
    return writer_status(enc->params.out);
}

/* Words for people about one tensor. */
static enum status refuse(const struct nnc_enc *enc, const struct nnc_tensor *t,
                          enum status status, const char *why)
{
    int size = t->name && t->name_size < 100 ? (int)t->name_size : 0;
    return diag_fail(enc->params.diag, status, "tensor '%.*s': %s", size,
                     t->name ? t->name : "", why);
}

static enum status check_shape(const struct nnc_enc *enc,
                               const struct nnc_tensor *t)
{
    uint64_t count = 1;
    if (!t->rank || t->rank > NNC_RANK_MAX)
        return refuse(enc, t, STATUS_USAGE, "needs 1 to 32 dimensions");
    for (uint32_t i = 0; i < t->rank; i++) {
        if (!checked_mul_u64(count, t->shape[i], &count))
            return refuse(enc, t, STATUS_LIMIT, "too many elements");
    }
    if (count != t->elem_count)
        return refuse(enc, t, STATUS_USAGE, "shape and count differ");
    if (count > SIZE_MAX / sizeof(int32_t))
        return refuse(enc, t, STATUS_LIMIT, "too many elements");
    for (uint32_t i = 1; i < t->rank; i++) {
        if (!t->shape[i])
            return refuse(enc, t, STATUS_UNSUPPORTED,
                          "a dimension after the first is 0");
    }
    return STATUS_OK;
}

static bool is_codebook(const struct nnc_codebook *cb)
{
    if (!cb->size || cb->zero >= cb->size || !cb->values)
        return false;
    for (uint32_t i = 1; i < cb->size; i++) {
        if (cb->values[i] <= cb->values[i - 1])
            return false;
    }
    return true;
}

static enum status check_kind(const struct nnc_enc *enc,
                              const struct nnc_tensor *t,
                              const struct nnc_enc_data *data)
{
    int qp_end = 1 << (5 + enc->params.qp_density);
    bool has_qp = t->kind == NNC_UNIFORM || t->kind == NNC_CODEBOOK;
    if (t->kind == NNC_RAW_FLOAT ? !data->raw && t->elem_count
                                 : !data->levels && t->elem_count)
        return refuse(enc, t, STATUS_USAGE, "no numbers");
    if (has_qp && (t->qp < -qp_end || t->qp >= qp_end))
        return refuse(enc, t, STATUS_USAGE, "qp out of range");
    if (t->kind == NNC_CODEBOOK && (!is_codebook(&t->codebook) || t->dq))
        return refuse(enc, t, STATUS_USAGE,
                      "not a codebook, or one with dependent quantisation");
    if (t->scan_order > LEVEL_SCAN_ORDER_MAX || t->unary > LEVEL_UNARY_MAX)
        return refuse(enc, t, STATUS_USAGE, "scan or unary length unknown");
    return STATUS_OK;
}

static enum status check(const struct nnc_enc *enc, const struct nnc_tensor *t,
                         const struct nnc_enc_data *data)
{
    if (!t->name || memchr(t->name, 0, t->name_size))
        return refuse(enc, t, STATUS_USAGE, "no name, or a NUL in it");
    if (t->has_parent && (!enc->params.incremental || !t->put_node_depth))
        return refuse(enc, t, STATUS_USAGE, "a parent where there can be none");
    enum status status = check_shape(enc, t);
    return status ? status : check_kind(enc, t, data);
}

/* All levels are the first one. */
static bool is_constant(const struct nnc_tensor *t,
                        const struct nnc_enc_data *data)
{
    for (uint64_t i = 1; i < t->elem_count; i++) {
        if (data->levels[i] != data->levels[0])
            return false;
    }
    return t->elem_count != 0;
}

/* What the tensor adds is nothing at all. */
static bool is_nothing(const struct nnc_tensor *t,
                       const struct nnc_enc_data *data)
{
    bool zero =
        t->kind != NNC_CODEBOOK || t->codebook.values[t->codebook.zero] == 0;
    return t->kind != NNC_RAW_FLOAT && zero &&
           (!t->elem_count || (!data->levels[0] && is_constant(t, data)));
}

static void set_job(const struct nnc_enc *enc, struct job *job,
                    const struct nnc_tensor *t, const struct nnc_enc_data *data)
{
    const struct nnc_enc_rules *rules = &enc->params.rules;
    uint64_t row_elems = 1;
    for (uint32_t i = 1; i < t->rank; i++)
        row_elems *= t->shape[i];
    uint16_t unary = rules->unary == NNC_BY_COST ? LEVEL_UNARY_ABSENT
                     : t->unary                  ? t->unary
                                                 : UNARY_NNCODEC;
    *job = (struct job){.tensor = t, .data = data};
    if (t->kind == NNC_CODEBOOK)
        job->codebook = t->codebook;
    job->coding = (struct level_coding){
        .elem_count = t->elem_count,
        .row_elems = row_elems,
        .profile = enc->params.profile,
        .unary = unary,
        .scan_order = t->scan_order,
        .dq = t->dq && t->kind == NNC_UNIFORM,
        .codebook_size = job->codebook.size,
        .codebook_zero = job->codebook.zero,
        .has_parent = t->has_parent,
        .temporal = t->has_parent && t->temporal && rules->temporal != NNC_NEVER
                        ? data->temporal
                        : NULL,
        .history = t->has_parent ? data->history : NULL,
    };
}

static struct levels_freedom freedom_of(const struct nnc_enc_rules *rules)
{
    return (struct levels_freedom){
        .sets = rules->sets == NNC_BY_COST,
        .row_skip = rules->row_skip == NNC_BY_COST,
        .history = true,
        .temporal = rules->temporal == NNC_BY_COST,
        .unary = rules->unary == NNC_BY_COST,
        .scan = rules->scan == NNC_BY_COST,
        .uniform = rules->uniform == NNC_BY_COST,
    };
}

/* Searches and encodes the levels of one tensor behind what is in enc->cabac.
 */
static enum status put_levels(struct nnc_enc *enc, struct job *job,
                              const struct levels_freedom *freedom,
                              const int32_t *levels, struct cabac_enc *cabac)
{
    const struct level_order *order;
    uint64_t cost;
    enc->choice.row_skip = enc->params.rules.row_skip == NNC_ALWAYS;
    enum status status = levels_search_run(enc->search, freedom, &job->coding,
                                           levels, &enc->choice, &order, &cost);
    if (status == STATUS_USAGE)
        return refuse(enc, job->tensor, status,
                      "levels that cannot be coded so");
    if (status)
        return status;
    uint32_t bits = 6u + enc->params.qp_density;
    if (job->tensor->kind != NNC_INT)
        cabac_enc_bypass(cabac, (uint32_t)job->tensor->qp & ((1u << bits) - 1),
                         bits);
    return levels_enc(cabac, order, &enc->choice, &enc->entries);
}

static void begin_unit(struct nnc_enc *enc)
{
    enc->entries.count = 0;
    enc->head.size = enc->payload.size = 0;
    enc->head.status = enc->payload.status = STATUS_OK;
}

/* The header, given what the payload has become, and the unit. */
static enum status end_unit(struct nnc_enc *enc, struct ndu_fields *fields,
                            uint64_t *size)
{
    size_t count = enc->entries.count;
    if (count > enc->ndu_cap) {
        free(enc->ndu_entries);
        enc->ndu_cap = 0;
        enc->ndu_entries = malloc(count * sizeof *enc->ndu_entries);
        if (!enc->ndu_entries)
            return STATUS_NO_MEMORY;
        enc->ndu_cap = count;
    }
    for (size_t i = 0; i < count; i++) {
        const struct levels_entry *e = &enc->entries.entry[i];
        uint32_t value =
            levels_entry_value(e, enc->payload.data, enc->payload.size);
        enc->ndu_entries[i] = (struct ndu_entry){e->shifts - e->previous,
                                                 (uint8_t)value, e->state};
    }
    fields->entries = enc->ndu_entries;
    fields->entry_count = count;
    ndu_write(&enc->head, fields);
    enum status status = writer_status(&enc->head);
    if (!status)
        status = writer_status(&enc->payload);
    if (status)
        return status;
    *size = unit_write(enc->params.out, NNR_NDU, writer_view(&enc->head),
                       writer_view(&enc->payload));
    return writer_status(enc->params.out);
}

static void set_fields(const struct nnc_enc *enc, struct ndu_fields *fields,
                       const struct job *job)
{
    const struct nnc_enc_params *params = &enc->params;
    const struct nnc_tensor *t = job->tensor;
    bool ids = params->incremental || params->rules.node_ids == NNC_ALWAYS;
    *fields = (struct ndu_fields){
        .profile = params->profile,
        .parents = params->incremental,
        .type = t->kind == NNC_INT         ? NDU_INT
                : t->kind == NNC_RAW_FLOAT ? NDU_RAW_FLOAT
                                           : NDU_FLOAT,
        .node_id = ids,
        .device_id = t->device_id,
        .parameter_id = t->parameter_id,
        .put_node_depth = t->put_node_depth,
        .has_parent = t->has_parent,
        .temporal = job->coding.temporal != NULL,
        .dq = job->coding.dq,
        .codebook = job->codebook.size ? &job->codebook : NULL,
        .shape = t->shape,
        .rank = t->rank,
        .unary = job->coding.unary,
        .long_form = params->rules.long_headers,
        .scan_order = job->coding.scan_order,
    };
}

static void put_raw(struct writer *wr, const float *raw, uint64_t count)
{
    uint8_t *at = NULL;
    if (count > SIZE_MAX / 4)
        writer_fail(wr, STATUS_LIMIT);
    else
        at = writer_reserve(wr, (size_t)count * 4);
    for (uint64_t i = 0; at && i < count; i++) {
        uint32_t bits;
        memcpy(&bits, &raw[i], sizeof bits);
        store_le32(at + 4 * i, bits);
    }
}

/* A codebook of one entry says all of a tensor of one value. Its product with
 * the step is exact up to here, as is that of a level. */
#define ONE_VALUE_MAX (1 << 24)

/* Turns a tensor of one value into that. The integers that a receiver keeps are
 * then zeros, so only if they are or no one will look at them. */
static bool make_single(const struct nnc_enc *enc, struct job *job)
{
    const struct nnc_tensor *t = job->tensor;
    if (t->kind != NNC_UNIFORM || enc->params.profile != 1 ||
        !enc->params.rules.single || !is_constant(t, job->data))
        return false;
    int32_t level = job->data->levels[0];
    if (level < -ONE_VALUE_MAX || level > ONE_VALUE_MAX ||
        (level && enc->params.incremental))
        return false;
    job->codebook = (struct nnc_codebook){1, 0, 0, job->data->levels};
    job->coding.codebook_size = 1;
    job->coding.codebook_zero = 0;
    job->coding.dq = false;
    job->coding.scan_order = 0;
    return true;
}

static enum status put_payload(struct nnc_enc *enc, struct job *job)
{
    struct levels_freedom freedom = freedom_of(&enc->params.rules);
    struct cabac_enc cabac;
    if (job->tensor->kind == NNC_RAW_FLOAT) {
        put_raw(&enc->payload, job->data->raw, job->tensor->elem_count);
        job->coding.scan_order = 0;
        return STATUS_OK;
    }
    cabac_enc_init(&cabac, &enc->payload);
    int32_t *zeros = NULL;
    if (make_single(enc, job)) {
        zeros = calloc((size_t)job->tensor->elem_count, sizeof *zeros);
        if (!zeros)
            return STATUS_NO_MEMORY;
    }
    enum status status = put_levels(enc, job, &freedom,
                                    zeros ? zeros : job->data->levels, &cabac);
    free(zeros);
    if (!status)
        cabac_enc_finish(&cabac);
    return status;
}

enum status nnc_enc_tensor(struct nnc_enc *enc, const struct nnc_tensor *tensor,
                           const struct nnc_enc_data *data,
                           struct nnc_tensor *sent)
{
    struct nnc_tensor about = *tensor;
    struct job job;
    about.coded_size = 0;
    enum status status = check(enc, tensor, data);
    if (status)
        return status;
    if (!tensor->has_parent || !is_nothing(tensor, data)) {
        struct ndu_fields fields;
        struct bytes name = bytes_of(tensor->name, tensor->name_size);
        begin_unit(enc);
        set_job(enc, &job, tensor, data);
        status = put_payload(enc, &job);
        if (status)
            return status;
        set_fields(enc, &fields, &job);
        fields.names = &name;
        fields.name_count = 1;
        status = end_unit(enc, &fields, &about.coded_size);
        about.unary = job.coding.unary;
        about.scan_order = job.coding.scan_order;
        about.dq = job.coding.dq;
        about.temporal = job.coding.temporal != NULL;
        about.qp_density = enc->params.qp_density;
        if (job.codebook.size) {
            about.kind = NNC_CODEBOOK;
            about.codebook = job.codebook;
        }
    }
    if (sent)
        *sent = about;
    return status;
}

static const enum nnc_part coding_order[] = {
    NNC_LOCAL_SCALING, NNC_BIAS,   NNC_BN_BETA, NNC_BN_GAMMA, NNC_BN_MEAN,
    NNC_BN_VAR,        NNC_WEIGHT, NNC_G,       NNC_H,
};

static bool is_weight(enum nnc_part part)
{
    return part == NNC_WEIGHT || part == NNC_G || part == NNC_H;
}

static uint8_t part_bit(enum nnc_part part)
{
    switch (part) {
    case NNC_G:
    case NNC_H:
        return NDU_HAS_GH;
    case NNC_LOCAL_SCALING:
        return NDU_HAS_LS;
    case NNC_BN_BETA:
    case NNC_BN_GAMMA:
    case NNC_BN_MEAN:
    case NNC_BN_VAR:
        return NDU_HAS_BN;
    case NNC_BIAS:
        return NDU_HAS_BI;
    default:
        return 0;
    }
}

/* The tensors of a block by part; NULL where there is none. */
struct block {
    struct job job[NNC_BIAS + 1];
    bool has[NNC_BIAS + 1];
    uint8_t parts;
};

static enum status check_block(const struct nnc_enc *enc,
                               const struct nnc_tensor *t, size_t count,
                               const uint64_t *shape, uint32_t rank)
{
    bool has[NNC_BIAS + 1] = {false};
    uint64_t elems = 1;
    for (size_t i = 0; i < count; i++) {
        if (t[i].part == NNC_ALONE || t[i].part > NNC_BIAS ||
            (i && t[i].part <= t[i - 1].part))
            return refuse(enc, &t[i], STATUS_USAGE, "parts out of order");
        if (t[i].kind == NNC_INT || t[i].kind == NNC_RAW_FLOAT ||
            (t[i].kind == NNC_CODEBOOK && !is_weight(t[i].part)))
            return refuse(enc, &t[i], STATUS_USAGE, "not for a block");
        if (!is_weight(t[i].part) &&
            (t[i].rank != 1 || t[i].shape[0] != shape[0]))
            return refuse(enc, &t[i], STATUS_USAGE,
                          "not one element a row of the weight");
        has[t[i].part] = true;
    }
    for (uint32_t i = 0; i < rank; i++) {
        if (!checked_mul_u64(elems, shape[i], &elems))
            return refuse(enc, t, STATUS_LIMIT, "too many elements");
    }
    bool bn = has[NNC_BN_BETA];
    if (has[NNC_WEIGHT] == has[NNC_G] || has[NNC_G] != has[NNC_H] ||
        has[NNC_BN_GAMMA] != bn || has[NNC_BN_MEAN] != bn ||
        has[NNC_BN_VAR] != bn || count < 2)
        return refuse(enc, t, STATUS_USAGE, "parts of a block are missing");
    if (has[NNC_WEIGHT])
        return t[0].elem_count == elems
                   ? STATUS_OK
                   : refuse(enc, t, STATUS_USAGE, "shape and count differ");
    uint64_t columns;
    if (t[0].rank != 2 || t[1].rank != 2 || t[0].shape[1] != t[1].shape[0] ||
        !checked_mul_u64(t[0].shape[0], t[1].shape[1], &columns) ||
        columns != elems || (t[0].kind != t[1].kind))
        return refuse(enc, t, STATUS_USAGE, "G and H do not fit");
    return STATUS_OK;
}

/* All have the header of the first; scans only where all weights have one. */
static void set_block(const struct nnc_enc *enc, struct block *block,
                      const struct nnc_tensor *t,
                      const struct nnc_enc_data *data, size_t count)
{
    uint8_t scan = t[0].scan_order;
    bool temporal = t[0].has_parent && t[0].temporal;
    *block = (struct block){0};
    for (size_t i = 0; i < count; i++) {
        struct job *job = &block->job[t[i].part];
        set_job(enc, job, &t[i], &data[i]);
        block->has[t[i].part] = true;
        block->parts |= part_bit(t[i].part);
        if (is_weight(t[i].part) &&
            (job->coding.row_elems == 1 ||
             job->coding.row_elems >= job->coding.elem_count))
            scan = 0;
        temporal = temporal && job->coding.temporal;
    }
    for (size_t i = 0; i < count; i++) {
        struct level_coding *coding = &block->job[t[i].part].coding;
        coding->scan_order = is_weight(t[i].part) ? scan : 0;
        coding->unary = block->job[t[0].part].coding.unary;
        coding->has_parent = t[0].has_parent;
        coding->dq = t[0].dq && t[0].kind == NNC_UNIFORM;
        if (!temporal)
            coding->temporal = NULL;
    }
}

static enum status put_block(struct nnc_enc *enc, struct block *block)
{
    struct levels_freedom freedom = freedom_of(&enc->params.rules);
    struct cabac_enc cabac;
    enum status status = STATUS_OK;
    freedom.temporal = freedom.unary = freedom.scan = freedom.uniform = false;
    cabac_enc_init(&cabac, &enc->payload);
    for (size_t i = 0; i < PARTS_MAX && !status; i++) {
        struct job *job = &block->job[coding_order[i]];
        if (block->has[coding_order[i]])
            status = put_levels(enc, job, &freedom, job->data->levels, &cabac);
    }
    cabac_enc_finish(&cabac);
    return status;
}

enum status nnc_enc_block(struct nnc_enc *enc, const struct nnc_tensor *tensors,
                          const struct nnc_enc_data *data, size_t count,
                          const uint64_t *shape, uint32_t rank,
                          uint64_t *coded_size)
{
    struct bytes names[PARTS_MAX];
    struct ndu_fields fields;
    struct block block;
    enum status status = STATUS_OK;
    if (!count || count > PARTS_MAX || !rank || rank > NNC_RANK_MAX)
        return diag_fail(enc->params.diag, STATUS_USAGE, "not a block");
    for (size_t i = 0; i < count && !status; i++) {
        names[i] = bytes_of(tensors[i].name, tensors[i].name_size);
        status = check(enc, &tensors[i], &data[i]);
    }
    if (!status)
        status = check_block(enc, tensors, count, shape, rank);
    if (status)
        return status;
    bool nothing = tensors[0].has_parent;
    for (size_t i = 0; i < count; i++)
        nothing = nothing && is_nothing(&tensors[i], &data[i]);
    *coded_size = 0;
    if (nothing)
        return STATUS_OK;
    begin_unit(enc);
    set_block(enc, &block, tensors, data, count);
    status = put_block(enc, &block);
    if (status)
        return status;
    set_fields(enc, &fields, &block.job[tensors[0].part]);
    fields.type = NDU_BLOCK;
    fields.names = names;
    fields.name_count = count;
    fields.shape = shape;
    fields.rank = rank;
    fields.parts = block.parts;
    if (block.has[NNC_G]) {
        fields.decomposition_rank = tensors[0].shape[1];
        fields.g_rows = tensors[0].shape[0];
        if (block.job[NNC_H].codebook.size)
            fields.codebook_h = &block.job[NNC_H].codebook;
    }
    return end_unit(enc, &fields, coded_size);
}
