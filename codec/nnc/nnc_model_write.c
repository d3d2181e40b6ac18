/* Units do not depend on each other: each thread has an encoder of its own,
 * whose start is thrown away, and takes tensors of a batch as it gets free; the
 * batch's units are put in order once all are made. */
#include "codec/nnc/nnc_model_write.h"

#include "codec/lossless/lattice.h"
#include "codec/nnc/nnc_element.h"
#include "codec/nnc/nnc_lowrank.h"
#include "codec/nnc/nnc_sparsify.h"
#include "codec/nnc/nnc_step.h"
#include "codec/quant/qp.h"

#include <math.h>
#include <stdatomic.h>

#define UNIT_MAX    ((size_t)1 << 31)
#define THREADS_MAX 64u
#define TRIES       6
/* Longer names have no low rank part. */
#define LOW_NAME_MAX 4096u
/* Of tensors of two or more dimensions, so many elements are tried: where an
 * error was asked for or there are low rank parts, which a few rows tell little
 * of, and where neither was. */
#define TRIAL_ELEMS       0x1p22
#define TRIAL_ELEMS_USUAL 0x1p18

/* What one thread works with. */
struct worker {
    struct rd_tensor *rd;
    struct nnc_enc *enc;
    struct writer unit;
    struct lattice_stats *lattice; /* if the rules want it */
    uint8_t *bytes, *base;
    float *values;
    int32_t *levels;
    size_t bytes_cap, base_cap, values_cap, levels_cap; /* in bytes */
    struct diag diag;
};

/* What becomes of one tensor. */
struct item {
    size_t index;
    enum status status;
    bool raw; /* it holds what is no number, or takes no levels: at the end */
    bool done;
    bool trial; /* the error is wanted only */
    struct nnc_write_row row;
    uint8_t *unit;
    size_t unit_size;
};

struct writing {
    const struct nnc_write_params *params;
    int qp;       /* of the step that all share */
    double share; /* error of each instead, where no step is small enough; 0 */
    struct worker workers[THREADS_MAX];
    unsigned worker_count;
    struct item *items; /* of the batch */
    size_t item_count;
    atomic_size_t next;
    uint8_t *low_near;  /* a byte a tensor */
    bool raws;          /* this is the end: raw tensors only */
    bool trial;         /* errors are wanted only, and these are their sums */
    double trial_share; /* of the elements that are looked at for them */
    double square_error, square_value;
};

/* One tensor on its way. */
struct job {
    const struct nnc_write_params *params;
    struct worker *w;
    struct item *item;
    const struct tensor *tensor;
    const struct tensor *base; /* NULL: sent whole */
    size_t elem_count;
    uint8_t *low_near; /* 1 + the rank last found for it */
    uint64_t skip;     /* bytes of the tensor before those looked at */
    double share;      /* as in struct writing */
    struct nnc_tensor head;
};

static enum status grow(void **array, size_t *cap, size_t count, size_t width)
{
    if (count > SIZE_MAX / width)
        return STATUS_NO_MEMORY;
    if (count * width <= *cap)
        return STATUS_OK;
    free(*array);
    *cap = 0;
    *array = malloc(count * width);
    if (!*array)
        return STATUS_NO_MEMORY;
    *cap = count * width;
    return STATUS_OK;
}

static void leave(struct job *job, const char *why)
{
    job->item->row.fate = NNC_WRITE_LEFT;
    job->item->row.why = why;
    job->item->done = true;
}

/* ---- what a tensor is ---- */

static const char *why_not(const struct tensor *tensor)
{
    if (nnc_element_carry(tensor->dtype) == NNC_CARRY_NONE)
        return "its type is not carried";
    if (tensor->rank > NNC_RANK_MAX)
        return "it has more than 32 dimensions";
    for (uint32_t i = 1; i < tensor->rank; i++)
        if (!tensor->shape[i])
            return "it has no elements";
    return NULL;
}

static void set_parent(struct job *job)
{
    const struct nnc_state *state = job->params->state;
    const struct nnc_node *node =
        state ? nnc_state_find(state, job->head.name) : NULL;
    job->head.has_parent = true;
    job->head.put_node_depth = 1;
    if (node) {
        job->head.put_node_depth = node->put_node_depth + 1;
        if (node->has_ids)
            job->head.parameter_id = node->parameter_id;
    }
    if (state)
        (void)nnc_state_device(state, &job->head.device_id);
}

static void set_head(struct job *job)
{
    const struct nnc_write_rules *rules = &job->params->rules;
    const struct tensor *tensor = job->tensor;
    const char *name = job->params->names->name[job->item->index];
    job->head = (struct nnc_tensor){
        .name = name,
        .name_size = strlen(name),
        .rank = tensor->rank ? tensor->rank : 1,
        .shape = {1},
        .elem_count = job->elem_count,
        .qp_density = rules->density,
        .scan_order = tensor->rank > 1 ? rules->scan_order : 0,
        .device_id = rules->device_id,
        .parameter_id = (uint32_t)job->item->index,
    };
    for (uint32_t i = 0; i < tensor->rank; i++)
        job->head.shape[i] = tensor->shape[i];
    if (job->base)
        set_parent(job);
}

/* Not as a difference after all. */
static void send_whole(struct job *job)
{
    job->base = NULL;
    set_head(job);
}

static size_t byte_size(const struct job *job)
{
    return job->elem_count * (dtype_bits(job->tensor->dtype) / 8);
}

static enum status load_bytes(struct job *job)
{
    struct worker *w = job->w;
    const struct nnc_write_params *params = job->params;
    size_t size = byte_size(job);
    enum status status = grow((void **)&w->bytes, &w->bytes_cap, size, 1);
    if (!status)
        status = source_read(params->source, job->tensor->offset + job->skip,
                             w->bytes, size);
    if (!status && job->base)
        status = grow((void **)&w->base, &w->base_cap, size, 1);
    if (!status && job->base)
        status = source_read(params->base, job->base->offset + job->skip,
                             w->base, size);
    return status;
}

static enum status load(struct job *job)
{
    struct worker *w = job->w;
    enum status status = load_bytes(job);
    if (!status)
        status = grow((void **)&w->values, &w->values_cap, job->elem_count, 4);
    if (!status)
        status = grow((void **)&w->levels, &w->levels_cap, job->elem_count, 4);
    return status;
}

/* ---- coding ---- */

static const struct nnc_node *node_of(const struct job *job)
{
    return job->head.has_parent && job->params->state
               ? nnc_state_find(job->params->state, job->head.name)
               : NULL;
}

/* What w has written since the item began. */
static enum status keep_unit(const struct worker *w, struct item *item)
{
    item->unit_size = w->unit.size;
    item->unit = malloc(w->unit.size + 1);
    if (!item->unit)
        return STATUS_NO_MEMORY;
    memcpy(item->unit, w->unit.data, w->unit.size);
    return STATUS_OK;
}

static enum status encode(struct job *job, const float *raw)
{
    const struct nnc_node *node = node_of(job);
    struct item *item = job->item;
    struct worker *w = job->w;
    const struct nnc_enc_data data = {
        .levels = raw ? NULL : w->levels,
        .raw = raw,
        .temporal =
            node && node->elem_count == job->elem_count ? node->levels : NULL,
    };
    job->head.temporal = data.temporal != NULL;
    enum status status =
        nnc_enc_tensor(w->enc, &job->head, &data, &item->row.sent);
    if (status)
        return status;
    item->done = true;
    if (!item->row.sent.coded_size)
        item->row.fate = NNC_WRITE_SAME;
    return keep_unit(w, item);
}

/* A list of nothing. */
static enum status write_empty(struct job *job)
{
    bool ints = nnc_element_carry(job->tensor->dtype) == NNC_CARRY_INTS;
    job->head.kind = ints ? NNC_INT : NNC_UNIFORM;
    return encode(job, NULL);
}

static enum status write_ints(struct job *job)
{
    struct worker *w = job->w;
    bool fits = nnc_element_ints(job->tensor->dtype, w->bytes,
                                 job->base ? w->base : NULL, job->elem_count,
                                 w->levels);
    if (!fits && job->base) {
        send_whole(job);
        fits = nnc_element_ints(job->tensor->dtype, w->bytes, NULL,
                                job->elem_count, w->levels);
    }
    job->head.kind = NNC_INT;
    if (!fits) {
        leave(job, "a number in it does not fit 32 bits");
        return STATUS_OK;
    }
    return encode(job, NULL);
}

static enum status write_raw(struct job *job)
{
    job->head.kind = NNC_RAW_FLOAT;
    if (!job->item->raw || job->item->done) {
        job->item->raw = true;
        return STATUS_OK; /* at the end */
    }
    return encode(job, job->w->values);
}

static bool all_finite(const float *values, size_t count)
{
    float sum = 0;
    for (size_t i = 0; i < count; i++)
        sum += values[i] * 0.0f; /* a NaN stays */
    return sum == 0;
}

static void measure_values(struct job *job)
{
    double sum = 0;
    for (size_t i = 0; i < job->elem_count; i++)
        sum += (double)job->w->values[i] * (double)job->w->values[i];
    job->item->row.square_value = sum;
}

/* Integers of a lattice that all elements lie on; false: there is none. */
static bool find_lattice(struct job *job)
{
    struct worker *w = job->w;
    struct lattice_coding coding;
    enum dtype dtype = job->tensor->dtype;
    const uint8_t *pred = job->base ? w->base : NULL;
    if (!w->lattice || !lattice_dtype_ok(dtype))
        return false;
    lattice_stats_reset(w->lattice, dtype, 0);
    lattice_stats_sample(w->lattice, pred, w->bytes, job->elem_count);
    if (!lattice_detect(w->lattice, &coding))
        return false;
    unsigned density = job->params->rules.density;
    lattice_reduce(&coding);
    if (coding.density > density)
        return false;
    int qp = coding.qp * (1 << (density - coding.density));
    if (qp < qp_min(density) || qp > qp_max(density) ||
        lattice_levels(&coding, dtype, pred, w->bytes, job->elem_count,
                       w->levels, NULL))
        return false;
    job->head.kind = NNC_UNIFORM;
    job->head.qp = qp;
    return true;
}

static void rules_of(const struct job *job, struct rd_params *rd)
{
    const struct nnc_write_rules *rules = &job->params->rules;
    bool vector = job->head.rank < 2;
    double share = rules->vector_error > 0 ? rules->vector_error
                   : job->head.has_parent  ? NNC_WRITE_VECTOR_ERROR
                                           : NNC_WRITE_VECTOR_FULL;
    if (rules->step == NNC_STEP_MAX) {
        rd->aim = RD_MAX_ERROR;
        rd->error = rules->value;
    } else if (rules->step == NNC_STEP_BITS) {
        rd->aim = RD_BITS;
        rd->bits = (unsigned)rules->value;
        if (vector && rd->bits < 8)
            rd->bits = 8;
    } else if (rules->step == NNC_STEP_ERROR && job->params->base &&
               !job->base && !vector) {
        rd->aim = RD_SHARE; /* whole among differences */
        rd->error = rules->value > 0 ? fmin(rules->value, NNC_WRITE_FULL)
                                     : NNC_WRITE_FULL;
    } else if (vector && !rules->has_vector_qp) {
        rd->aim = RD_SHARE;
        rd->error = share;
    } else if (job->share > 0 && !vector) {
        rd->aim = RD_SHARE;
        rd->error = job->share;
    } else {
        rd->aim = RD_QP;
        rd->qp = vector ? rules->vector_qp : rd->qp;
    }
}

/* ---- low rank parts ---- */

/* The name of the factor, in `out` of LOW_NAME_MAX + 3 bytes. */
static const char *low_name(const struct nnc_tensor *weight, const char *ending,
                            char *out)
{
    memcpy(out, weight->name, weight->name_size);
    memcpy(out + weight->name_size, ending, sizeof(NNC_LOWRANK_G));
    return out;
}

/* Ids behind those of the tensors, or those that the chain has. */
static void set_low_ids(const struct job *job, struct nnc_tensor *weight)
{
    const struct nnc_state *state = job->params->state;
    char name[LOW_NAME_MAX + sizeof(NNC_LOWRANK_G)];
    const struct nnc_node *node =
        state ? nnc_state_find(state, low_name(weight, NNC_LOWRANK_G, name))
              : NULL;
    weight->parameter_id =
        (uint32_t)job->params->model->tensor_count + (uint32_t)job->item->index;
    weight->put_node_depth = 1;
    if (node) {
        weight->put_node_depth = node->put_node_depth + 1;
        weight->parameter_id = node->parameter_id;
    }
}

/* Factors of that tensor have a chain of their own, whose names are no other
 * tensor's; and G and H have one, or neither. */
static bool low_names_free(const struct job *job)
{
    char name[LOW_NAME_MAX + sizeof(NNC_LOWRANK_G)];
    const struct nnc_names *names = job->params->names;
    size_t index;
    return job->head.name_size <= LOW_NAME_MAX &&
           !nnc_names_find(names, low_name(&job->head, NNC_LOWRANK_G, name),
                           &index) &&
           !nnc_names_find(names, low_name(&job->head, NNC_LOWRANK_H, name),
                           &index);
}

static bool low_allowed(const struct job *job, const struct rd_params *rd)
{
    const struct nnc_write_rules *rules = &job->params->rules;
    return rules->low_rank && rd->aim == RD_QP && job->head.rank > 1 &&
           job->base && rules->codebook != RD_YES && !(rules->sparsity > 0) &&
           low_names_free(job);
}

/* Writes G and H where they pay and leaves what is left in the values. */
static enum status write_low(struct job *job, const struct rd_params *rd)
{
    const struct nnc_write_rules *rules = &job->params->rules;
    struct nnc_write_row *row = &job->item->row;
    double step = qp_step(rd->qp, rd->density);
    if (rd->dq != RD_NO)
        step *= RD_DQ_STEP;
    const struct rd_lowrank_params params = {
        .values = rd->values,
        .shape = job->head.shape,
        .shape_rank = job->head.rank,
        .step = step,
        .price = (rd->lambda > 0 ? rd->lambda : RD_LAMBDA) * step * step,
        .density = rd->density,
        .most =
            rules->low_rank < RD_LOWRANK_MAX ? rules->low_rank : RD_LOWRANK_MAX,
        .exact_rank = rules->low_rank_exact,
        .near = *job->low_near,
        .unit_bytes =
            NNC_LOWRANK_UNIT_BYTES + 2 * (unsigned)job->head.name_size,
    };
    struct nnc_tensor weight = job->head;
    struct rd_lowrank low;
    enum status status = rd_lowrank_run(&params, &low);
    if (!status)
        *job->low_near = (uint8_t)(1 + low.rank);
    if (!status && low.rank && !job->item->trial) {
        set_low_ids(job, &weight);
        status = nnc_lowrank_put(job->w->enc, &weight, &low, &row->low_size);
    }
    if (!status && low.rank) {
        row->low_rank = low.rank;
        for (size_t i = 0; i < job->elem_count; i++)
            job->w->values[i] -= low.product[i];
    }
    rd_lowrank_deinit(&low);
    return status;
}

static enum status write_quantised(struct job *job, int qp)
{
    struct worker *w = job->w;
    struct rd_result result;
    const struct nnc_node *node = node_of(job);
    const struct nnc_write_rules *rules = &job->params->rules;
    struct rd_params rd = {
        .values = w->values,
        .elem_count = job->elem_count,
        .row_elems =
            job->head.rank > 1 ? job->elem_count / job->head.shape[0] : 1,
        .qp = qp,
        .density = rules->density,
        .lambda = rules->lambda,
        .dq = job->head.scan_order ? RD_NO : rules->dq,
        .codebook = rules->codebook,
        .temporal =
            node && node->elem_count == job->elem_count ? node->levels : NULL,
        .has_parent = job->head.has_parent,
        .rough = job->item->trial,
    };
    rules_of(job, &rd);
    enum status status = STATUS_OK;
    if (low_allowed(job, &rd))
        status = write_low(job, &rd);
    if (!status)
        status = rd_tensor_run(w->rd, &rd, w->levels, &result);
    if (status)
        return status;
    if (result.kind == NNC_RAW_FLOAT) {
        if (job->item->trial) /* the step is not for this one */
            job->item->row.square_value = 0;
        return write_raw(job);
    }
    job->head.kind = result.kind;
    job->head.qp = result.qp;
    job->head.dq = result.dq;
    job->head.codebook = result.codebook;
    job->item->row.square_error = result.square_error;
    job->item->row.max_error = result.max_error;
    if (job->item->trial)
        return STATUS_OK;
    status = encode(job, NULL);
    if (job->item->row.low_size)
        job->item->row.fate = NNC_WRITE_SENT;
    return status;
}

static enum status write_floats(struct job *job, int qp)
{
    struct worker *w = job->w;
    struct nnc_write_row *row = &job->item->row;
    const struct nnc_write_rules *rules = &job->params->rules;
    nnc_element_floats(job->tensor->dtype, w->bytes, job->base ? w->base : NULL,
                       job->elem_count, w->values);
    if (!all_finite(w->values, job->elem_count)) {
        send_whole(job);
        nnc_element_floats(job->tensor->dtype, w->bytes, NULL, job->elem_count,
                           w->values);
        return write_raw(job);
    }
    measure_values(job);
    row->lattice = find_lattice(job);
    if (row->lattice)
        return job->item->trial ? STATUS_OK : encode(job, NULL);
    if (job->item->raw)
        return write_raw(job);
    enum status status =
        rules->sparsity > 0 && job->head.rank > 1
            ? nnc_sparsify(w->values, job->elem_count, rules->sparsity)
            : STATUS_OK;
    return status ? status : write_quantised(job, qp);
}

/* Rows from the middle of a tensor stand for all of it. */
static void thin(struct job *job, double share)
{
    uint64_t rows = job->head.shape[0];
    uint64_t row_elems = rows ? job->elem_count / rows : 0;
    uint64_t some = (uint64_t)ceil((double)rows * share);
    some = some < 1 ? 1 : some;
    if (some >= rows)
        return;
    job->head.shape[0] = some;
    job->head.elem_count = some * row_elems;
    job->elem_count = (size_t)job->head.elem_count;
    job->skip =
        (rows - some) / 2 * (row_elems * (dtype_bits(job->tensor->dtype) / 8));
}

static enum status write_item(struct writing *writing, struct worker *w,
                              struct item *item)
{
    const struct nnc_write_params *params = writing->params;
    struct job job = {
        .params = params,
        .w = w,
        .item = item,
        .tensor = &params->model->tensors[item->index],
        .base = nnc_step_base(params, item->index),
        .share = writing->share,
        .low_near = &writing->low_near[item->index],
    };
    item->row = (struct nnc_write_row){
        .tensor = job.tensor,
        .name = params->names->name[item->index],
    };
    const char *why = why_not(job.tensor);
    if (!item->trial)
        w->unit.size = 0;
    if (item->trial &&
        (why || job.tensor->rank < 2 || (params->base && !job.base) ||
         nnc_element_carry(job.tensor->dtype) != NNC_CARRY_FLOATS))
        return STATUS_OK;
    if (why) {
        leave(&job, why);
        return STATUS_OK;
    }
    job.elem_count = (size_t)tensor_elem_count(job.tensor);
    set_head(&job);
    if (item->trial)
        thin(&job, writing->trial_share);
    enum status status = load(&job);
    if (status)
        return status;
    if (job.base && !memcmp(w->bytes, w->base, byte_size(&job))) {
        item->row.fate = NNC_WRITE_SAME;
        item->done = true;
        return STATUS_OK;
    }
    if (!job.elem_count)
        return item->trial ? STATUS_OK : write_empty(&job);
    return nnc_element_carry(job.tensor->dtype) == NNC_CARRY_INTS
               ? write_ints(&job)
               : write_floats(&job, writing->qp);
}

/* ---- batches ---- */

static void work(void *arg, unsigned index)
{
    struct writing *writing = arg;
    struct worker *w = &writing->workers[index];
    for (;;) {
        size_t i = atomic_fetch_add(&writing->next, 1);
        if (i >= writing->item_count)
            return;
        writing->items[i].status = write_item(writing, w, &writing->items[i]);
    }
}

static enum status put_item(struct writing *writing, struct item *item)
{
    const struct nnc_write_params *params = writing->params;
    enum status status = item->status;
    if (writing->trial) {
        writing->square_error += item->row.square_error;
        writing->square_value += item->row.square_value;
        return status;
    }
    if (!status && item->unit_size)
        status =
            params->put(params->put_ctx, bytes_of(item->unit, item->unit_size));
    if (!status && item->done && params->row)
        params->row(params->row_ctx, &item->row);
    free(item->unit);
    item->unit = NULL;
    return status;
}

static enum status run_batch(struct writing *writing)
{
    const struct parallel *parallel = writing->params->parallel;
    enum status status = STATUS_OK;
    atomic_store(&writing->next, 0);
    if (parallel && writing->worker_count > 1)
        parallel->run(parallel->ctx, writing->worker_count, work, writing);
    else
        work(writing, 0);
    for (size_t i = 0; i < writing->item_count; i++) {
        enum status one = put_item(writing, &writing->items[i]);
        if (!status)
            status = one;
    }
    for (unsigned i = 0; status && i < writing->worker_count; i++)
        if (writing->workers[i].diag.text[0])
            diag_fail(writing->params->diag, status, "%s",
                      writing->workers[i].diag.text);
    return status;
}

/* raw: a byte a tensor, not 0 where it is to be sent as it is. */
static enum status write_tensors(struct writing *writing, uint8_t *raw)
{
    size_t count = writing->params->model->tensor_count;
    enum status status = STATUS_OK;
    for (size_t at = 0; !status && at < count;) {
        writing->item_count = 0;
        for (; at < count && writing->item_count < NNC_WRITE_BATCH; at++)
            if (raw[at] == writing->raws)
                writing->items[writing->item_count++] = (struct item){
                    .index = at, .raw = writing->raws, .trial = writing->trial};
        status = run_batch(writing);
        for (size_t i = 0; i < writing->item_count; i++)
            raw[writing->items[i].index] = writing->items[i].raw;
    }
    return status;
}

/* ---- start and end ---- */

static enum status worker_new(struct writing *writing, struct worker *w)
{
    const struct nnc_write_rules *rules = &writing->params->rules;
    writer_init_heap(&w->unit, UNIT_MAX);
    const struct nnc_enc_params enc = {
        .out = &w->unit,
        .profile = rules->profile,
        .qp_density = rules->density,
        .incremental = writing->params->base != NULL,
        .rules = rules->enc,
        .diag = &w->diag,
    };
    enum status status = rd_tensor_new(&w->rd);
    if (!status)
        status = nnc_enc_new(&enc, &w->enc);
    if (!status && rules->lattice) {
        w->lattice = lattice_stats_new();
        status = w->lattice ? STATUS_OK : STATUS_NO_MEMORY;
    }
    return status;
}

static void worker_free(struct worker *w)
{
    rd_tensor_free(w->rd);
    nnc_enc_free(w->enc);
    writer_deinit(&w->unit);
    lattice_stats_free(w->lattice);
    free(w->bytes);
    free(w->base);
    free(w->values);
    free(w->levels);
}

static enum status check(const struct nnc_write_params *params)
{
    const struct nnc_write_rules *rules = &params->rules;
    if (rules->profile > 1 || (params->base && rules->profile != 1))
        return diag_fail(params->diag, STATUS_USAGE,
                         "profile 0 has no differences to a base");
    if (params->state && !params->base)
        return diag_fail(params->diag, STATUS_USAGE,
                         "updates sent before need a base");
    if (rules->scan_order && rules->dq == RD_YES)
        return diag_fail(params->diag, STATUS_USAGE,
                         "dependent quantisation is done row by row only: "
                         "scan 0");
    return STATUS_OK;
}

/* The error of all tensors of two or more dimensions with writing->qp. */
static enum status try_step(struct writing *writing, uint8_t *none,
                            double *error)
{
    writing->trial = true;
    writing->square_error = writing->square_value = 0;
    enum status status = write_tensors(writing, none);
    memset(none, 0, writing->params->model->tensor_count);
    writing->trial = false;
    *error = writing->square_value > 0
                 ? sqrt(writing->square_error / writing->square_value)
                 : 0;
    return status;
}

static double count_elements(const struct writing *writing)
{
    const struct model *model = writing->params->model;
    double count = 0;
    for (size_t i = 0; i < model->tensor_count; i++)
        if (model->tensors[i].rank > 1)
            count += (double)tensor_elem_count(&model->tensors[i]);
    return count;
}

/* From a first guess to the largest step that keeps the error: as far as the
 * error found suggests, once both sides are known to their middle. If no step
 * does, each tensor keeps it by itself, or is sent as it is. */
static enum status search_step(struct writing *writing, double share,
                               uint8_t *none)
{
    const struct nnc_write_rules *rules = &writing->params->rules;
    int low = qp_min(rules->density) - 1, high = qp_max(rules->density) + 1;
    int first = low;
    enum status status = STATUS_OK;
    writing->trial_share =
        (rules->value > 0 || rules->low_rank ? TRIAL_ELEMS
                                             : TRIAL_ELEMS_USUAL) /
        (count_elements(writing) + 1);
    for (int i = 0; !status && high - low > 1 && (i < TRIES || low == first);
         i++) {
        double error;
        status = try_step(writing, none, &error);
        bool fits = error <= share;
        *(fits ? &low : &high) = writing->qp;
        double octaves = error > 0 ? log2(share / error) : 1;
        double move = round(octaves * (1 << rules->density));
        int by = (int)fmin(fmax(fabs(move), 1), 4 << rules->density);
        int next = writing->qp + (fits ? by : -by);
        bool inside = next > low && next < high;
        writing->qp = inside ? next : low + (high - low) / 2;
    }
    writing->qp = low;
    if (low < qp_min(rules->density)) {
        writing->qp = qp_min(rules->density);
        writing->share = share;
    }
    return status;
}

/* none: a byte a tensor, all 0 */
static enum status find_step(struct writing *writing, uint8_t *none)
{
    const struct nnc_write_params *params = writing->params;
    const struct nnc_write_rules *rules = &params->rules;
    double share = rules->value > 0 ? rules->value
                   : params->base   ? NNC_WRITE_ERROR
                                    : NNC_WRITE_FULL;
    if (rules->step == NNC_STEP_ERROR) {
        enum status status = nnc_step_find(params, share, &writing->qp);
        return status ? status : search_step(writing, share, none);
    }
    if (rules->step == NNC_STEP_QP)
        writing->qp = (int)rules->value;
    return STATUS_OK;
}

static enum status write_all(struct writing *writing)
{
    const struct nnc_write_params *params = writing->params;
    uint8_t *raw = calloc(params->model->tensor_count + 1, 1);
    writing->items = calloc(NNC_WRITE_BATCH, sizeof(*writing->items));
    writing->low_near = calloc(params->model->tensor_count + 1, 1);
    enum status status = raw && writing->items && writing->low_near
                             ? find_step(writing, raw)
                             : STATUS_NO_MEMORY;
    if (!status) /* every encoder's start is the stream's */
        status = params->put(params->put_ctx,
                             writer_view(&writing->workers[0].unit));
    if (!status)
        status = write_tensors(writing, raw);
    writing->raws = true;
    if (!status)
        status = write_tensors(writing, raw);
    free(writing->items);
    free(writing->low_near);
    free(raw);
    return status;
}

enum status nnc_model_write(const struct nnc_write_params *params)
{
    enum status status = check(params);
    if (status)
        return status;
    struct writing *writing = calloc(1, sizeof(*writing));
    if (!writing)
        return STATUS_NO_MEMORY;
    unsigned width = params->parallel ? params->parallel->width : 1;
    writing->params = params;
    width = width < THREADS_MAX ? width : THREADS_MAX;
    while (!status && writing->worker_count < width)
        status =
            worker_new(writing, &writing->workers[writing->worker_count++]);
    if (!status)
        status = write_all(writing);
    for (unsigned i = 0; i < writing->worker_count; i++)
        worker_free(&writing->workers[i]);
    free(writing);
    return status;
}
