/* Which tensors are quantised, how hard, and the content they make.
 *
 * lambda is LAMBDA effective steps squared. The effective step is free, the
 * step of the levels the power of two next to it; factors of low rank parts are
 * rounded like elements in steps COARSE times the effective one. These figures
 * were fitted to sequences of model updates by bytes at equal error alone.
 *
 * A wanted error is searched for on samples of all matrices: what a run costs
 * is a few dozen passes over at most SAMPLE_TOTAL elements, then two over the
 * contents. */
#include "codec/quant/quantize.h"

#include "codec/lossless/match.h"
#include "codec/quant/quantize_size.h"
#include "codec/quant/quantize_tensor.h"
#include "codec/update/hint.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define LAMBDA 0.14
#define COARSE 1.4
/* Elements sampled of all tensors, and of one at least. */
#define SAMPLE_TOTAL ((size_t)4 << 20)
#define SAMPLE_MAX   ((size_t)160 << 10)
#define SAMPLE_MIN   ((size_t)8 << 10)
/* Of the search for an error. */
#define SEARCH_TRIALS 12
#define SEARCH_CLOSE  0.01
#define SEARCH_NARROW 1.01
/* Of a bit, in mean squares of the change. */
#define PRICE_MAX 1e6
/* Bytes of an update that are no levels or factors. */
#define UPDATE_BYTES  112.0
#define SEGMENT_BYTES 24.0
#define RECORD_BYTES  4.0

struct quantize {
    struct quantize_params params;
    struct quantize_tensor *tensors; /* by offset */
    size_t count;
    struct quantize_row *rows;
    struct quantize_strength strength;
    struct quantize_rate rate;  /* that tasks on matrices start from */
    struct quantize_rate *left; /* that each tensor's left */
    struct quantize_rate vector_rate;
    enum status *status; /* of each tensor's task */
    bool near;
    double change_square;
    uint64_t matrix_elems;
    double rest_bytes; /* of an update for what is no float tensor */
    struct quantize_total total;
    struct source source;
    struct update_hint *hint;
    struct update_hints hints;
};

/* Runs task(q, i) for each tensor; the first status that is none. */
static enum status for_each(struct quantize *q,
                            void (*task)(void *arg, unsigned index))
{
    const struct parallel *parallel = q->params.parallel;
    for (size_t i = 0; i < q->count; i++)
        q->status[i] = STATUS_OK;
    if (parallel && q->count > 1)
        parallel->run(parallel->ctx, (unsigned)q->count, task, q);
    else
        for (size_t i = 0; i < q->count; i++)
            task(q, (unsigned)i);
    for (size_t i = 0; i < q->count; i++)
        if (q->status[i])
            return q->status[i];
    return STATUS_OK;
}

static size_t sample_max(const struct quantize *q)
{
    size_t most = SAMPLE_TOTAL / (q->count ? q->count : 1);
    most = most > SAMPLE_MAX ? SAMPLE_MAX : most;
    return most < SAMPLE_MIN ? SAMPLE_MIN : most;
}

static void measure_task(void *arg, unsigned index)
{
    struct quantize *q = arg;
    struct quantize_tensor *t = &q->tensors[index];
    if (t->row.state == QUANTIZE_STEPS)
        q->status[index] = quantize_tensor_measure(t, sample_max(q));
}

/* How a tensor of the target stands to the base. */
static bool match_fits(const struct match *match, const struct tensor *tensor,
                       bool base)
{
    if (match->target_offset != tensor->offset || match->size != tensor->size)
        return false;
    return base ? match_is_plain(match) : !match->base_size;
}

static void add_tensor(struct quantize *q, const struct tensor *tensor,
                       const struct match *match)
{
    struct quantize_tensor *t = &q->tensors[q->count++];
    *t = (struct quantize_tensor){.row = {.tensor = tensor},
                                  .vector = tensor->rank < 2,
                                  .base = q->params.base,
                                  .target = q->params.target,
                                  .base_offset = match->base_offset,
                                  .count = tensor->size /
                                           (dtype_bits(tensor->dtype) / 8),
                                  .rank_max = q->params.max_rank};
    bool fits = match_fits(match, tensor, q->params.base != NULL);
    t->row.state = fits ? QUANTIZE_STEPS : QUANTIZE_EXACT;
}

static enum status add_tensors(struct quantize *q,
                               const struct match_list *matches)
{
    const struct model *model = q->params.target_model;
    size_t count = model->tensor_count + 1, at = 0;
    q->tensors = calloc(count, sizeof(*q->tensors));
    q->rows = calloc(count, sizeof(*q->rows));
    q->left = calloc(count, sizeof(*q->left));
    q->status = calloc(count, sizeof(*q->status));
    q->hint = calloc(count, sizeof(*q->hint));
    if (!q->tensors || !q->rows || !q->left || !q->status || !q->hint)
        return STATUS_NO_MEMORY;
    for (size_t i = 0; i < model->tensor_count; i++) {
        const struct tensor *tensor = &model->tensors[i];
        while (at + 1 < matches->count &&
               matches->items[at + 1].target_offset <= tensor->offset)
            at++;
        if (at < matches->count && dtype_is_float(tensor->dtype) &&
            tensor->size)
            add_tensor(q, tensor, &matches->items[at]);
    }
    return STATUS_OK;
}

static void sum_changes(struct quantize *q)
{
    q->change_square = 0;
    q->matrix_elems = 0;
    for (size_t i = 0; i < q->count; i++) {
        const struct quantize_tensor *t = &q->tensors[i];
        if (t->vector)
            continue;
        q->change_square += t->change_square;
        q->matrix_elems += t->count;
    }
}

static bool params_ok(const struct quantize_params *p)
{
    return p->target && p->target_model && !p->base == !p->base_model &&
           p->max_rank <= QUANTIZE_RANK_MAX &&
           p->target_model->size == p->target->size;
}

enum status quantize_new(const struct quantize_params *params,
                         struct quantize **out)
{
    struct match_list matches = {0};
    if (!params_ok(params))
        return diag_fail(params->diag, STATUS_USAGE,
                         "models and contents do not fit together");
    struct quantize *q = calloc(1, sizeof(*q));
    if (!q)
        return STATUS_NO_MEMORY;
    q->params = *params;
    enum status status =
        match_contents(params->base, params->base_model, params->target,
                       params->target_model, &matches);
    if (!status)
        status = add_tensors(q, &matches);
    match_list_free(&matches);
    if (!status)
        status = for_each(q, measure_task);
    if (status) {
        quantize_free(q);
        return status;
    }
    sum_changes(q);
    *out = q;
    return STATUS_OK;
}

static void reset(struct quantize *q)
{
    for (size_t i = 0; i < q->count; i++)
        quantize_tensor_reset(&q->tensors[i]);
    q->source = (struct source){0};
    q->hints = (struct update_hints){0};
    q->total = (struct quantize_total){0};
}

void quantize_free(struct quantize *q)
{
    if (!q)
        return;
    for (size_t i = 0; i < q->count; i++)
        quantize_tensor_deinit(&q->tensors[i]);
    free(q->tensors);
    free(q->rows);
    free(q->left);
    free(q->status);
    free(q->hint);
    free(q);
}

static bool is_open(const struct quantize_tensor *t)
{
    return t->change_square > 0 && t->row.state != QUANTIZE_SAME;
}

static void try_task(void *arg, unsigned index)
{
    struct quantize *q = arg;
    struct quantize_tensor *t = &q->tensors[index];
    q->left[index] = q->rate;
    if (is_open(t) && !t->vector)
        q->status[index] =
            quantize_tensor_try(t, &q->strength, q->near, &q->left[index]);
}

static void make_task(void *arg, unsigned index)
{
    struct quantize *q = arg;
    struct quantize_tensor *t = &q->tensors[index];
    q->left[index] = q->rate;
    if (is_open(t) && !t->vector)
        q->status[index] =
            quantize_tensor_make(t, &q->strength, &q->left[index]);
}

/* Vectors are small and learn from each other. */
static enum status make_vectors(struct quantize *q)
{
    enum status status = STATUS_OK;
    for (size_t i = 0; i < q->count && !status; i++)
        if (is_open(&q->tensors[i]) && q->tensors[i].vector)
            status = quantize_tensor_make(&q->tensors[i], &q->strength,
                                          &q->vector_rate);
    return status;
}

/* The next round starts from what the largest matrix left. */
static void keep_rate(struct quantize *q)
{
    size_t most = 0;
    for (size_t i = 0; i < q->count; i++) {
        const struct quantize_tensor *t = &q->tensors[i];
        if (t->vector || !is_open(t) || t->count <= most)
            continue;
        most = t->count;
        q->rate = q->left[i];
    }
}

/* Tries all matrices; the sum of their squared errors. */
static enum status try_all(struct quantize *q, double *error)
{
    enum status status = for_each(q, try_task);
    *error = 0;
    for (size_t i = 0; i < q->count && !status; i++)
        if (is_open(&q->tensors[i]) && !q->tensors[i].vector)
            *error += q->tensors[i].trial_error;
    keep_rate(q);
    q->near = true;
    return status;
}

/* The power of two next to an effective step, within bounds. */
static double step_near(double effective)
{
    double octave = nearbyint(log2(effective));
    octave = fmin(fmax(octave, QUANTIZE_QP_MIN / 4), QUANTIZE_QP_MAX / 4);
    return exp2(octave);
}

static struct quantize_strength strength_of(double effective)
{
    return (struct quantize_strength){.step = step_near(effective),
                                      .lambda = LAMBDA * effective * effective,
                                      .coarse = COARSE * effective,
                                      .vector_step_max = HUGE_VAL};
}

/* Where to look next, between steps whose errors are too small and too large;
 * 0 for one not known yet. */
static double next_step(double step, double ratio, double low, double high)
{
    if (low > 0 && high > 0)
        return sqrt(low * high);
    double change = fmin(fmax(1 / ratio, 0.1), 10);
    if (ratio < 1)
        return step * fmax(change, 1.1);
    return step * fmin(change, 1 / 1.1);
}

/* Finds the effective step whose error is the wanted part of the change, or the
 * largest one found whose error is smaller: steps of the levels go by octaves,
 * and errors, where levels are large, with them. */
static enum status search_error(struct quantize *q, double wanted)
{
    double goal = wanted * sqrt(q->change_square), low = 0, high = 0, error;
    double step = 3 * goal / sqrt((double)(q->matrix_elems + 1));
    enum status status = STATUS_OK;
    if (!(step > 0)) /* no matrix has changed */
        step = 1;
    for (int trial = 0; trial < SEARCH_TRIALS && !status; trial++) {
        q->strength = strength_of(step);
        status = try_all(q, &error);
        double ratio = goal > 0 ? sqrt(error) / goal : 1;
        if (status || fabs(ratio - 1) < SEARCH_CLOSE)
            return status;
        low = ratio < 1 ? step : low;
        high = ratio < 1 ? high : step;
        if (low > 0 && high > 0 && high < low * SEARCH_NARROW)
            break;
        step = next_step(step, fmax(ratio, 1e-3), low, high);
    }
    if (status || !(low > 0))
        return status;
    q->strength = strength_of(low);
    return try_all(q, &error);
}

/* Two rounds: the second starts from probabilities that fit. */
static enum status try_twice(struct quantize *q, double *error)
{
    enum status status = try_all(q, error);
    return status ? status : try_all(q, error);
}

/* A bit is worth that many mean squares of the change. */
static enum status choose_price(struct quantize *q, double price, double *error)
{
    double mean = q->change_square / (double)(q->matrix_elems + 1);
    *error = 0;
    q->strength = strength_of(mean > 0 ? sqrt(price * mean / LAMBDA) : 1);
    return try_twice(q, error);
}

/* The price alone, but no more is lost than the largest error. */
static enum status choose_auto(struct quantize *q)
{
    double error;
    if (!q->params.base || !(q->change_square > 0))
        return search_error(q, QUANTIZE_AUTO_FULL);
    enum status status = choose_price(q, QUANTIZE_AUTO_PRICE, &error);
    if (status || sqrt(error / q->change_square) <= QUANTIZE_AUTO_ERROR)
        return status;
    return search_error(q, QUANTIZE_AUTO_ERROR);
}

static enum status choose_strength(struct quantize *q,
                                   const struct quantize_rule *rule)
{
    double octave, error;
    switch (rule->mode) {
    case QUANTIZE_QP:
        octave = floor(rule->value / 4);
        if (!(octave * 4 >= QUANTIZE_QP_MIN && octave * 4 <= QUANTIZE_QP_MAX))
            return diag_fail(q->params.diag, STATUS_USAGE,
                             "qp must be from %d to %d", QUANTIZE_QP_MIN,
                             QUANTIZE_QP_MAX);
        q->strength = strength_of(exp2(octave));
        return try_twice(q, &error);
    case QUANTIZE_MAX_ERROR:
        octave = floor(log2(2 * rule->value));
        if (!(rule->value > 0 && octave * 4 >= QUANTIZE_QP_MIN &&
              octave * 4 <= QUANTIZE_QP_MAX))
            return diag_fail(q->params.diag, STATUS_USAGE,
                             "the largest error must be from 2^%d to 2^%d",
                             QUANTIZE_QP_MIN / 4 - 1, QUANTIZE_QP_MAX / 4 - 1);
        q->strength = strength_of(exp2(octave));
        q->strength.nearest = true;
        q->strength.vector_step_max = exp2(octave);
        return try_twice(q, &error);
    case QUANTIZE_ERROR:
        if (!(rule->value > 0 && rule->value < 1))
            return diag_fail(q->params.diag, STATUS_USAGE,
                             "the wanted error must lie between 0 and 1");
        return search_error(q, rule->value);
    case QUANTIZE_PRICE:
        if (!(rule->value > 0 && rule->value <= PRICE_MAX))
            return diag_fail(q->params.diag, STATUS_USAGE,
                             "the price of a bit must lie between 0 and %g",
                             PRICE_MAX);
        return choose_price(q, rule->value, &error);
    case QUANTIZE_AUTO:
        return choose_auto(q);
    default:
        return STATUS_USAGE;
    }
}

static bool has_base(const struct quantize *q, size_t i)
{
    return q->params.base && q->tensors[i].row.state == QUANTIZE_STEPS;
}

/* What lies before tensor i, or behind the last one: headers, checksums, other
 * types. */
static enum status add_rest(struct quantize *q, size_t i)
{
    const struct source *target = q->params.target, *base = q->params.base;
    uint64_t from = 0, base_from = 0, end = target->size;
    double bytes;
    if (i) {
        const struct quantize_tensor *t = &q->tensors[i - 1];
        from = t->row.tensor->offset + t->row.tensor->size;
        base_from = t->base_offset + t->row.tensor->size;
    }
    if (i < q->count)
        end = q->tensors[i].row.tensor->offset;
    if (from >= end)
        return STATUS_OK;
    if (i < q->count && has_base(q, i))
        base_from = q->tensors[i].base_offset - (end - from);
    else if (base && i == q->count)
        base_from = base->size - (end - from);
    enum status status =
        quantize_size_rest(base, base_from, target, from, end - from, &bytes);
    q->rest_bytes += status ? 0 : bytes;
    return status;
}

static enum status measure_rest(struct quantize *q)
{
    enum status status = STATUS_OK;
    q->rest_bytes = 0;
    for (size_t i = 0; i <= q->count && !status; i++)
        status = add_rest(q, i);
    return status;
}

/* What results take, by the coder's own models. */
static enum status measure_size(struct quantize *q)
{
    struct quantize_size *size = quantize_size_new();
    enum status status = size ? STATUS_OK : STATUS_NO_MEMORY;
    for (size_t i = 0; i < q->count && !status; i++)
        if (is_open(&q->tensors[i]) &&
            q->tensors[i].row.state == QUANTIZE_STEPS)
            status = quantize_size_add(size, &q->tensors[i]);
    quantize_size_free(size);
    return status ? status : measure_rest(q);
}

static void sum_total(struct quantize *q)
{
    struct quantize_total *total = &q->total;
    uint64_t segments = (q->params.target->size >> 20) + 1;
    double error = 0;
    double bytes =
        UPDATE_BYTES + SEGMENT_BYTES * (double)segments + q->rest_bytes;
    *total = (struct quantize_total){.step = q->strength.step};
    for (size_t i = 0; i < q->count; i++) {
        const struct quantize_tensor *t = &q->tensors[i];
        q->rows[i] = t->row;
        if (t->row.state != QUANTIZE_SAME)
            bytes += t->bits / 8 + RECORD_BYTES;
        if (!t->vector)
            error += t->error_square;
        else if (t->row.state == QUANTIZE_STEPS)
            total->vector_error =
                fmax(total->vector_error, t->row.error / t->row.change);
    }
    double elems = (double)(q->matrix_elems ? q->matrix_elems : 1);
    total->change = sqrt(q->change_square / elems);
    total->error = sqrt(error / elems);
    total->bytes = (uint64_t)bytes;
}

static void make_hints(struct quantize *q)
{
    size_t count = 0;
    for (size_t i = 0; i < q->count; i++) {
        const struct quantize_tensor *t = &q->tensors[i];
        if (t->row.state != QUANTIZE_STEPS)
            continue;
        q->hint[count++] = (struct update_hint){
            .target_offset = t->row.tensor->offset,
            .qp = (int16_t)t->row.qp,
            .density = 2,
            .has_step = true,
            .rank = (uint8_t)t->factors.rank,
            .shift = (int8_t)t->factors.shift,
            .columns = t->factors.rank ? (uint32_t)t->columns : 0,
            .u = t->factors.u,
            .v = t->factors.v};
    }
    q->hints = (struct update_hints){q->hint, count};
}

/* Some of a tensor's bytes, from any of them on. */
static enum status read_part(const struct quantize_tensor *t, uint64_t at,
                             uint8_t *out, size_t size)
{
    size_t bytes = dtype_bits(t->row.tensor->dtype) / 8;
    while (size) {
        uint8_t edge[8];
        size_t skip = (size_t)(at % bytes), now = size / bytes * bytes;
        enum status status;
        if (skip || !now) {
            now = bytes - skip < size ? bytes - skip : size;
            status = quantize_tensor_read(t, at / bytes, 1, edge);
            memcpy(out, edge + skip, now);
        } else {
            status = quantize_tensor_read(t, at / bytes, now / bytes, out);
        }
        if (status)
            return status;
        at += now;
        out += now;
        size -= now;
    }
    return STATUS_OK;
}

/* The first tensor that ends after offset. */
static size_t tensor_after(const struct quantize *q, uint64_t offset)
{
    size_t low = 0, high = q->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        const struct tensor *tensor = q->tensors[middle].row.tensor;
        if (tensor->offset + tensor->size <= offset)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* As much of a read as lies in one tensor, or between two; *size is cut to
 * that. */
static enum status read_stretch(const struct quantize *q, uint64_t offset,
                                uint8_t *out, size_t *size)
{
    size_t i = tensor_after(q, offset);
    const struct quantize_tensor *t = i < q->count ? &q->tensors[i] : NULL;
    uint64_t begin = t ? t->row.tensor->offset : UINT64_MAX;
    bool inside = offset >= begin;
    uint64_t left = (inside ? begin + t->row.tensor->size : begin) - offset;
    *size = left < *size ? (size_t)left : *size;
    if (inside && t->row.state == QUANTIZE_STEPS)
        return read_part(t, offset - begin, out, *size);
    return source_read(q->params.target, offset, out, *size);
}

static enum status content_read(void *ctx, uint64_t offset, void *out,
                                size_t size)
{
    const struct quantize *q = ctx;
    uint8_t *to = out;
    enum status status = STATUS_OK;
    for (size_t now; size && !status; offset += now, to += now, size -= now) {
        now = size;
        status = read_stretch(q, offset, to, &now);
    }
    return status;
}

enum status quantize_run(struct quantize *q, const struct quantize_rule *rule)
{
    reset(q);
    quantize_rate_init(&q->rate);
    q->vector_rate = q->rate;
    q->near = false;
    enum status status = choose_strength(q, rule);
    if (!status)
        status = for_each(q, make_task);
    if (!status)
        status = make_vectors(q);
    if (!status)
        status = measure_size(q);
    if (status) {
        reset(q);
        return status;
    }
    sum_total(q);
    make_hints(q);
    q->source = (struct source){content_read, q, q->params.target->size};
    return STATUS_OK;
}

const struct source *quantize_source(const struct quantize *q)
{
    return &q->source;
}

const struct update_hints *quantize_hints(const struct quantize *q)
{
    return &q->hints;
}

const struct quantize_row *quantize_rows(const struct quantize *q,
                                         size_t *count)
{
    *count = q->count;
    return q->rows;
}

struct quantize_total quantize_total(const struct quantize *q)
{
    return q->total;
}
