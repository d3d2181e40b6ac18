/* The public face of writing NNC streams: deltamesh/nnc.h, "Writing". The
 * stream is handed to the sink after each unit, so that memory holds one. */
#include "codec/api/adapt.h"
#include "codec/api/nnc_kept.h"
#include "codec/base/checked.h"
#include "codec/nnc/nnc_enc.h"
#include "codec/quant/rd_tensor.h"

#include <assert.h>
#include <deltamesh/nnc.h>

#define WRITE_DENSITY 2u

struct dmc_nnc_enc {
    struct dmc_nnc_enc_params params;
    struct dmc_sink sink;
    struct writer out; /* what the sink has not got yet */
    struct nnc_enc *enc;
    struct nnc_state *kept;  /* the caller's, or NULL */
    struct nnc_state *newer; /* what this stream changes in it */
    struct rd_tensor *rd;    /* finds levels; made when first needed */
    int32_t *levels;         /* found */
    size_t levels_cap;
    bool finished;
    struct diag diag; /* of the call that runs */
};

static enum status write_params(struct dmc_nnc_enc *enc,
                                const struct dmc_nnc_enc_params *params)
{
    struct dmc_nnc_enc_params *own = &enc->params;
    if (params) {
        enum status status =
            adapt_params(params, sizeof(*own), own, sizeof(*own), &enc->diag);
        if (status)
            return status;
    }
    if (!own->qp_density)
        own->qp_density = WRITE_DENSITY;
    else if (own->qp_density == DMC_NNC_DENSITY_0)
        own->qp_density = 0;
    if (own->qp_density > 7)
        return diag_fail(&enc->diag, STATUS_USAGE, "qp_density is over 7");
    enc->kept = own->state ? own->state->state : NULL;
    return STATUS_OK;
}

/* Hands on what has been written. */
static enum status write_out(struct dmc_nnc_enc *enc)
{
    enum status status = writer_status(&enc->out);
    if (!status)
        status = adapt_write(&enc->sink, writer_view(&enc->out));
    if (status)
        writer_fail(&enc->out, status);
    enc->out.size = 0;
    return status;
}

static enum status write_begin(struct dmc_nnc_enc *enc)
{
    const enum nnc_choice choice = enc->params.quick ? NNC_NEVER : NNC_BY_COST;
    const struct nnc_enc_params params = {
        .out = &enc->out,
        .profile = enc->params.first_edition ? 0 : 1,
        .qp_density = (uint8_t)enc->params.qp_density,
        .incremental = enc->params.incremental,
        .rules = {.sets = choice,
                  .unary = choice,
                  .scan = choice,
                  .row_skip = choice},
        .diag = &enc->diag,
    };
    enum status status = nnc_enc_new(&params, &enc->enc);
    if (!status && enc->kept)
        status = nnc_state_new(&enc->newer);
    return status ? status : write_out(enc);
}

enum dmc_status dmc_nnc_enc_new(const struct dmc_sink *sink,
                                const struct dmc_nnc_enc_params *params,
                                struct dmc_nnc_enc **enc,
                                struct dmc_error *error)
{
    *enc = NULL;
    struct dmc_nnc_enc *made = calloc(1, sizeof(*made));
    if (!made)
        return adapt_end(STATUS_NO_MEMORY, NULL, error);
    writer_init_heap(&made->out, SIZE_MAX);
    enum status status = adapt_sink_check(sink, &made->diag);
    if (!status)
        status = write_params(made, params);
    if (!status) {
        made->sink = *sink;
        status = write_begin(made);
    }
    enum dmc_status told = adapt_end(status, &made->diag, error);
    if (status)
        dmc_nnc_enc_free(made);
    else
        *enc = made;
    return told;
}

void dmc_nnc_enc_free(struct dmc_nnc_enc *enc)
{
    if (!enc)
        return;
    nnc_enc_free(enc->enc);
    nnc_state_free(enc->newer);
    rd_tensor_free(enc->rd);
    free(enc->levels);
    writer_deinit(&enc->out);
    free(enc);
}

/* ---- Tensors ---- */

static enum status write_shape(const struct dmc_nnc_tensor *from,
                               struct nnc_tensor *out)
{
    if (!from->name || !from->shape || from->rank > NNC_RANK_MAX)
        return STATUS_USAGE;
    for (uint32_t i = 0; i < from->rank; i++)
        out->shape[i] = from->shape[i];
    return STATUS_OK;
}

/* The caller's tensor as ours; own keeps what it points to. */
static enum status write_take(struct dmc_nnc_enc *enc,
                              const struct dmc_nnc_tensor *tensor, bool alone,
                              struct nnc_tensor *out)
{
    struct dmc_nnc_tensor from;
    enum status status =
        adapt_params(tensor, sizeof(from), &from, sizeof(from), &enc->diag);
    if (status)
        return status;
    memset(out, 0, sizeof(*out));
    if (write_shape(&from, out))
        return diag_fail(&enc->diag, STATUS_USAGE,
                         "a tensor has no name or no shape");
    if (from.kind > DMC_NNC_RAW || from.part > DMC_NNC_BIAS ||
        alone != (from.part == DMC_NNC_ALONE) || from.unary > 256 ||
        from.scan_order > 4)
        return diag_fail(&enc->diag, STATUS_USAGE,
                         "tensor '%.80s': kind, part, unary or scan_order "
                         "does not fit",
                         from.name);
    out->name = from.name;
    out->name_size = strlen(from.name);
    out->rank = from.rank;
    out->elem_count = from.elem_count;
    out->kind = (enum nnc_kind)from.kind;
    out->part = (enum nnc_part)from.part;
    out->qp = from.qp;
    out->unary = (uint16_t)from.unary;
    out->scan_order = (uint8_t)from.scan_order;
    out->dq = from.dq != 0;
    out->codebook = (struct nnc_codebook){
        .size = from.codebook ? from.codebook_size : 0,
        .zero = from.codebook_zero,
        .values = from.codebook,
    };
    out->device_id = from.device_id;
    out->parameter_id = from.parameter_id;
    out->put_node_depth = from.put_node_depth;
    out->has_parent = from.has_parent != 0;
    return STATUS_OK;
}

/* What the receiver has of a tensor, or NULL. */
static const struct nnc_node *write_known(const struct dmc_nnc_enc *enc,
                                          const struct nnc_tensor *tensor)
{
    return enc->kept ? nnc_state_find(enc->kept, tensor->name) : NULL;
}

/* Whether a tensor can follow what is kept of it, in a stream that does not
 * have it yet. */
static enum status write_follows(struct dmc_nnc_enc *enc,
                                 const struct nnc_node *node,
                                 const struct nnc_tensor *tensor)
{
    if (enc->newer && nnc_state_find(enc->newer, tensor->name))
        return diag_fail(&enc->diag, STATUS_USAGE,
                         "tensor '%.80s' was written before", tensor->name);
    if (tensor->has_parent && node &&
        (node->rank != tensor->rank ||
         memcmp(node->shape, tensor->shape,
                node->rank * sizeof(node->shape[0])) != 0))
        return diag_fail(&enc->diag, STATUS_USAGE,
                         "tensor '%.80s' is an update to one of another shape",
                         tensor->name);
    return STATUS_OK;
}

/* Its place in the chain of updates. */
static void write_place(const struct dmc_nnc_enc *enc,
                        const struct nnc_node *node, struct nnc_tensor *tensor,
                        struct nnc_enc_data *data)
{
    if (!enc->kept)
        return;
    tensor->put_node_depth = 0;
    if (!tensor->has_parent)
        return;
    tensor->put_node_depth = node ? node->put_node_depth + 1 : 1;
    if (!node)
        return;
    (void)nnc_state_device(enc->kept, &tensor->device_id);
    if (node->has_ids)
        tensor->parameter_id = node->parameter_id;
    tensor->temporal = node->levels != NULL;
    data->temporal = node->levels;
    data->history = node->history;
}

/* Notes what was sent; the caller's state waits for the end. */
static enum status write_note(struct dmc_nnc_enc *enc,
                              const struct nnc_node *node,
                              const struct nnc_tensor *sent,
                              const int32_t *levels)
{
    if (!enc->kept || !sent->coded_size)
        return STATUS_OK;
    enum status status =
        nnc_state_sent(enc->newer, node, sent, enc->params.incremental, levels);
    nnc_state_set_device(enc->newer, sent->device_id);
    return status;
}

static enum status write_tensor(struct dmc_nnc_enc *enc,
                                struct nnc_tensor *tensor,
                                struct nnc_enc_data *data,
                                struct nnc_tensor *sent)
{
    const struct nnc_node *node = write_known(enc, tensor);
    enum status status = write_follows(enc, node, tensor);
    if (status)
        return status;
    write_place(enc, node, tensor, data);
    status = nnc_enc_tensor(enc->enc, tensor, data, sent);
    if (!status)
        status = write_note(enc, node, sent, data->levels);
    return status ? status : write_out(enc);
}

/* What each public function begins with. */
static enum status write_enter(struct dmc_nnc_enc *enc)
{
    diag_reset(&enc->diag);
    enum status status = writer_status(&enc->out);
    if (!status && enc->finished)
        status = diag_fail(&enc->diag, STATUS_USAGE, "the stream has ended");
    return status;
}

/* And ends with: after other errors than of usage nothing can follow. */
static enum dmc_status write_leave(struct dmc_nnc_enc *enc, enum status status,
                                   struct dmc_error *error)
{
    if (status && status != STATUS_USAGE)
        writer_fail(&enc->out, status);
    return adapt_end(status, &enc->diag, error);
}

static enum dmc_status write_one(struct dmc_nnc_enc *enc,
                                 const struct dmc_nnc_tensor *tensor,
                                 struct nnc_enc_data *data, bool raw,
                                 uint64_t *coded_size, struct dmc_error *error)
{
    struct nnc_tensor ours, sent;
    if (coded_size)
        *coded_size = 0;
    enum status status = write_enter(enc);
    if (!status)
        status = write_take(enc, tensor, true, &ours);
    if (!status && !raw && ours.kind == NNC_RAW_FLOAT)
        status =
            diag_fail(&enc->diag, STATUS_USAGE,
                      "tensor '%.80s': raw values are no levels", ours.name);
    if (!status && raw)
        ours.kind = NNC_RAW_FLOAT;
    if (!status)
        status = write_tensor(enc, &ours, data, &sent);
    if (!status && coded_size)
        *coded_size = sent.coded_size;
    return write_leave(enc, status, error);
}

enum dmc_status dmc_nnc_enc_levels(struct dmc_nnc_enc *enc,
                                   const struct dmc_nnc_tensor *tensor,
                                   const int32_t *levels, uint64_t *coded_size,
                                   struct dmc_error *error)
{
    struct nnc_enc_data data = {.levels = levels};
    return write_one(enc, tensor, &data, false, coded_size, error);
}

enum dmc_status dmc_nnc_enc_raw(struct dmc_nnc_enc *enc,
                                const struct dmc_nnc_tensor *tensor,
                                const float *values, uint64_t *coded_size,
                                struct dmc_error *error)
{
    struct nnc_enc_data data = {.raw = values};
    return write_one(enc, tensor, &data, true, coded_size, error);
}

/* ---- Blocks ---- */

#define WRITE_PARTS_MAX ((size_t)DMC_NNC_BIAS)

/* The tensors of a block as ours; all have the place of the first in the chain
 * of updates. */
struct write_block {
    struct nnc_tensor tensors[WRITE_PARTS_MAX];
    struct nnc_enc_data data[WRITE_PARTS_MAX];
    const struct nnc_node *nodes[WRITE_PARTS_MAX];
    size_t count;
};

static enum status write_add(struct dmc_nnc_enc *enc, struct write_block *block,
                             const struct dmc_nnc_tensor *tensor,
                             const int32_t *levels)
{
    size_t i = block->count++;
    struct nnc_tensor *ours = &block->tensors[i];
    const struct nnc_tensor *first = &block->tensors[0];
    enum status status = write_take(enc, tensor, false, ours);
    if (status)
        return status;
    block->nodes[i] = write_known(enc, ours);
    status = write_follows(enc, block->nodes[i], ours);
    if (status)
        return status;
    block->data[i] = (struct nnc_enc_data){.levels = levels};
    write_place(enc, block->nodes[i], ours, &block->data[i]);
    if (ours->has_parent != first->has_parent ||
        ours->device_id != first->device_id ||
        ours->parameter_id != first->parameter_id ||
        ours->put_node_depth != first->put_node_depth)
        return diag_fail(&enc->diag, STATUS_USAGE,
                         "tensor '%.80s' has another place in the chain than "
                         "the first of its block",
                         ours->name);
    return STATUS_OK;
}

static enum status write_block(struct dmc_nnc_enc *enc,
                               struct write_block *block, const uint64_t *shape,
                               uint32_t rank, uint64_t *coded_size)
{
    enum status status = nnc_enc_block(enc->enc, block->tensors, block->data,
                                       block->count, shape, rank, coded_size);
    for (size_t i = 0; !status && i < block->count; i++) {
        block->tensors[i].coded_size = *coded_size;
        status = write_note(enc, block->nodes[i], &block->tensors[i],
                            block->data[i].levels);
    }
    return status ? status : write_out(enc);
}

enum dmc_status dmc_nnc_enc_block(struct dmc_nnc_enc *enc,
                                  const struct dmc_nnc_tensor *const *tensors,
                                  const int32_t *const *levels, size_t count,
                                  const uint64_t *shape, uint32_t rank,
                                  uint64_t *coded_size, struct dmc_error *error)
{
    struct write_block block;
    uint64_t size = 0;
    block.count = 0;
    enum status status = write_enter(enc);
    if (!status && (!tensors || !levels || !shape || count > WRITE_PARTS_MAX))
        status = diag_fail(&enc->diag, STATUS_USAGE, "not a block");
    for (size_t i = 0; !status && i < count; i++)
        status = write_add(enc, &block, tensors[i], levels[i]);
    if (!status)
        status = write_block(enc, &block, shape, rank, &size);
    if (coded_size)
        *coded_size = status ? 0 : size;
    return write_leave(enc, status, error);
}

/* ---- Floats ---- */

static_assert((int)DMC_NNC_AIM_QP == (int)RD_QP &&
                  (int)DMC_NNC_AIM_MAX_ERROR == (int)RD_MAX_ERROR &&
                  (int)DMC_NNC_AIM_SHARE == (int)RD_SHARE &&
                  (int)DMC_NNC_AIM_BITS == (int)RD_BITS,
              "public aims are ours");
static_assert((int)DMC_NNC_BY_COST == (int)RD_BY_COST &&
                  (int)DMC_NNC_NO == (int)RD_NO &&
                  (int)DMC_NNC_YES == (int)RD_YES,
              "public choices are ours");

/* Room for the levels, and the one that finds them. */
static enum status write_room(struct dmc_nnc_enc *enc,
                              const struct nnc_tensor *tensor)
{
    uint64_t count = 1;
    for (uint32_t i = 0; i < tensor->rank; i++)
        if (!checked_mul_u64(count, tensor->shape[i], &count))
            return STATUS_USAGE;
    if (count != tensor->elem_count || count > SIZE_MAX / sizeof(int32_t))
        return STATUS_USAGE;
    if (!enc->rd && rd_tensor_new(&enc->rd))
        return STATUS_NO_MEMORY;
    if (enc->levels && count <= enc->levels_cap)
        return STATUS_OK;
    free(enc->levels);
    enc->levels_cap = 0;
    enc->levels = malloc(((size_t)count + 1) * sizeof(*enc->levels));
    if (!enc->levels)
        return STATUS_NO_MEMORY;
    enc->levels_cap = (size_t)count;
    return STATUS_OK;
}

static enum status write_rule(struct dmc_nnc_enc *enc,
                              const struct dmc_nnc_quant *quant,
                              struct rd_params *rule)
{
    struct dmc_nnc_quant own;
    enum status status =
        adapt_params(quant, sizeof(own), &own, sizeof(own), &enc->diag);
    if (status)
        return status;
    if (own.aim > DMC_NNC_AIM_BITS || own.dq > DMC_NNC_YES ||
        own.codebook > DMC_NNC_YES)
        return STATUS_USAGE;
    *rule = (struct rd_params){
        .aim = (enum rd_aim)own.aim,
        .qp = own.qp,
        .error = own.error,
        .bits = own.bits,
        .density = (uint8_t)enc->params.qp_density,
        .lambda = own.lambda < 0    ? 0
                  : own.lambda == 0 ? RD_LAMBDA
                                    : own.lambda,
        .dq = (enum rd_choice)own.dq,
        .codebook = (enum rd_choice)own.codebook,
    };
    return STATUS_OK;
}

/* Finds the levels of a tensor, and notes in it how they are to be read. */
static enum status write_find(struct dmc_nnc_enc *enc, struct rd_params *rule,
                              const float *values, struct nnc_tensor *tensor,
                              struct rd_result *found)
{
    const struct nnc_node *node = write_known(enc, tensor);
    rule->values = values;
    rule->elem_count = tensor->elem_count;
    rule->row_elems = 1;
    for (uint32_t i = 1; i < tensor->rank; i++)
        rule->row_elems *= tensor->shape[i];
    rule->has_parent = tensor->has_parent;
    if (tensor->has_parent && node)
        rule->temporal = node->levels;
    if (tensor->scan_order)
        rule->dq = RD_NO; /* states follow the rows */
    enum status status = rd_tensor_run(enc->rd, rule, enc->levels, found);
    if (status)
        return status;
    tensor->kind = found->kind;
    tensor->qp = found->qp;
    tensor->dq = found->dq;
    tensor->codebook = found->codebook;
    return STATUS_OK;
}

static enum status write_floats(struct dmc_nnc_enc *enc,
                                struct nnc_tensor *tensor, const float *values,
                                const struct dmc_nnc_quant *quant,
                                struct dmc_nnc_result *result)
{
    struct rd_params rule;
    struct rd_result found;
    struct nnc_tensor sent;
    struct nnc_enc_data data = {.raw = values};
    enum status status = write_follows(enc, write_known(enc, tensor), tensor);
    if (status)
        return status;
    status = write_rule(enc, quant, &rule);
    if (!status)
        status = write_room(enc, tensor);
    if (!status && !values && tensor->elem_count)
        status = STATUS_USAGE;
    if (!status)
        status = write_find(enc, &rule, values, tensor, &found);
    if (!status && found.kind != NNC_RAW_FLOAT)
        data = (struct nnc_enc_data){.levels = enc->levels};
    if (!status)
        status = write_tensor(enc, tensor, &data, &sent);
    if (status)
        return status == STATUS_USAGE
                   ? diag_fail(&enc->diag, status,
                               "tensor '%.80s': shape, values or quantisation "
                               "do not fit",
                               tensor->name)
                   : status;
    *result = (struct dmc_nnc_result){
        .coded_size = sent.coded_size,
        .square_error = found.square_error,
        .max_error = found.max_error,
        .kind = (uint32_t)found.kind,
        .qp = found.qp,
        .dq = sent.dq,
    };
    return STATUS_OK;
}

enum dmc_status
dmc_nnc_enc_floats(struct dmc_nnc_enc *enc, const struct dmc_nnc_tensor *tensor,
                   const float *values, const struct dmc_nnc_quant *quant,
                   struct dmc_nnc_result *result, struct dmc_error *error)
{
    struct nnc_tensor ours;
    struct dmc_nnc_result own = {0};
    enum status status = write_enter(enc);
    if (!status)
        status = write_take(enc, tensor, true, &ours);
    if (!status)
        status = write_floats(enc, &ours, values, quant, &own);
    enum status told =
        result ? adapt_result(&own, sizeof(own), sizeof(own), result)
               : STATUS_OK;
    return write_leave(enc, status ? status : told, error);
}

enum dmc_status dmc_nnc_enc_finish(struct dmc_nnc_enc *enc,
                                   struct dmc_error *error)
{
    diag_reset(&enc->diag);
    enum status status = nnc_enc_finish(enc->enc);
    if (!status && enc->finished)
        status = STATUS_USAGE;
    if (!status)
        status = write_out(enc);
    if (!status && enc->kept)
        status = nnc_state_take(enc->kept, enc->newer);
    if (!status)
        enc->finished = true;
    return adapt_end(status, &enc->diag, error);
}
