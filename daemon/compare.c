/* Pairs by name first; what is left by what the encoder matches it with. */
#include "daemon/compare.h"

#include "codec/lossless/match.h"
#include "daemon/elements.h"

#include <math.h>
#include <stdlib.h>

#define COMPARE_ELEMS 8192u /* at a time */
#define COMPARE_BYTES (COMPARE_ELEMS * 16u)

struct comparer {
    const struct source *base, *target;
    const struct model *base_model, *target_model;
    const struct tensor **by_name; /* of the base */
    bool *used;                    /* per tensor of the base */
    struct compare *out;
    uint8_t *base_buf, *target_buf;
    double *base_values, *target_values;
};

double compare_relative(double diff_square, double base_square)
{
    if (!(diff_square > 0))
        return 0;
    return base_square > 0 ? sqrt(diff_square / base_square) : 1;
}

void compare_free(struct compare *compare)
{
    free(compare->rows);
    memset(compare, 0, sizeof(*compare));
}

/* ---- Pairs ---- */

static int name_compare(const void *a, const void *b)
{
    const struct tensor *const *x = a, *const *y = b;
    int order = strcmp((*x)->name, (*y)->name);
    if (order)
        return order;
    return (*x)->offset < (*y)->offset ? -1 : (*x)->offset > (*y)->offset;
}

/* The first unused tensor of the base of this name; NULL: none. */
static const struct tensor *find_name(const struct comparer *c,
                                      const struct tensor *tensor)
{
    size_t low = 0, high = c->base_model->tensor_count;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (strcmp(c->by_name[mid]->name, tensor->name) < 0)
            low = mid + 1;
        else
            high = mid;
    }
    for (; low < c->base_model->tensor_count; low++) {
        const struct tensor *found = c->by_name[low];
        if (!tensor_same_name(found, tensor))
            return NULL;
        if (!c->used[found - c->base_model->tensors])
            return found;
    }
    return NULL;
}

static void pair(struct comparer *c, struct compare_row *row,
                 const struct tensor *base)
{
    row->base = base;
    row->renamed = !tensor_same_name(base, row->target);
    c->used[base - c->base_model->tensors] = true;
}

/* The tensor of the base that a byte of it lies in. */
static const struct tensor *find_offset(const struct model *model,
                                        uint64_t offset)
{
    size_t low = 0, high = model->tensor_count;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (model->tensors[mid].offset + model->tensors[mid].size <= offset)
            low = mid + 1;
        else
            high = mid;
    }
    if (low == model->tensor_count || model->tensors[low].offset > offset)
        return NULL;
    return &model->tensors[low];
}

/* What has another name now. */
static enum status pair_renamed(struct comparer *c)
{
    struct match_list list;
    enum status status = match_contents(c->base, c->base_model, c->target,
                                        c->target_model, &list);
    if (status)
        return status;
    for (size_t i = 0; i < list.count; i++) {
        const struct match *match = &list.items[i];
        if (!match->tensor || !match->base_size)
            continue;
        struct compare_row *row =
            &c->out->rows[match->tensor - c->target_model->tensors];
        const struct tensor *base =
            find_offset(c->base_model, match->base_offset);
        if (!row->base && base && !c->used[base - c->base_model->tensors])
            pair(c, row, base);
    }
    match_list_free(&list);
    return STATUS_OK;
}

static enum status pair_all(struct comparer *c)
{
    size_t unpaired = 0;
    for (size_t i = 0; i < c->base_model->tensor_count; i++)
        c->by_name[i] = &c->base_model->tensors[i];
    if (c->base_model->tensor_count)
        qsort(c->by_name, c->base_model->tensor_count, sizeof(*c->by_name),
              name_compare);
    for (size_t i = 0; i < c->target_model->tensor_count; i++) {
        struct compare_row *row = &c->out->rows[i];
        row->target = &c->target_model->tensors[i];
        const struct tensor *base = find_name(c, row->target);
        if (base)
            pair(c, row, base);
        unpaired += !base;
    }
    c->out->count = c->target_model->tensor_count;
    if (!unpaired || !c->base_model->tensor_count)
        return STATUS_OK;
    return pair_renamed(c);
}

static void add_gone(struct comparer *c)
{
    for (size_t i = 0; i < c->base_model->tensor_count; i++)
        if (!c->used[i])
            c->out->rows[c->out->count++] = (struct compare_row){
                .kind = COMPARE_GONE, .base = &c->base_model->tensors[i]};
}

/* ---- Values ---- */

static void measure_values(struct compare_row *row, const double *base,
                           const double *target, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        double diff = target[i] - base[i];
        if (isfinite(base[i]))
            row->base_square += base[i] * base[i];
        if (!isfinite(diff))
            continue;
        row->diff_square += diff * diff;
        if (fabs(diff) > row->max_diff)
            row->max_diff = fabs(diff);
    }
}

static void measure_changed(const struct comparer *c, struct compare_row *row,
                            size_t count, size_t width)
{
    bool same_type = row->base->dtype == row->target->dtype;
    for (size_t i = 0; i < count; i++)
        row->changed += same_type
                            ? memcmp(c->base_buf + i * width,
                                     c->target_buf + i * width, width) != 0
                            : c->base_values[i] < c->target_values[i] ||
                                  c->base_values[i] > c->target_values[i];
}

/* What is compared as bytes has width 1. */
static enum status measure_piece(struct comparer *c, struct compare_row *row,
                                 uint64_t at, size_t count, bool numeric)
{
    size_t base_width = numeric ? dtype_bits(row->base->dtype) / 8 : 1;
    size_t width = numeric ? dtype_bits(row->target->dtype) / 8 : 1;
    enum status status =
        source_read(c->base, row->base->offset + at * base_width, c->base_buf,
                    count * base_width);
    if (!status)
        status = source_read(c->target, row->target->offset + at * width,
                             c->target_buf, count * width);
    if (status)
        return status;
    if (numeric) {
        elements_read(row->base->dtype, c->base_buf, count, c->base_values);
        elements_read(row->target->dtype, c->target_buf, count,
                      c->target_values);
        measure_values(row, c->base_values, c->target_values, count);
    }
    measure_changed(c, row, count, width);
    return STATUS_OK;
}

static enum status measure(struct comparer *c, struct compare_row *row)
{
    const struct tensor *a = row->base, *b = row->target;
    bool numeric = dtype_is_number(a->dtype) && dtype_is_number(b->dtype);
    row->measured = numeric ? tensor_elem_count(a) == tensor_elem_count(b)
                            : a->dtype == b->dtype && a->size == b->size;
    row->count = numeric ? tensor_elem_count(b) : b->size;
    row->kind = a->dtype != b->dtype || !tensor_same_shape(a, b)
                    ? COMPARE_RESHAPED
                    : COMPARE_SAME;
    enum status status = STATUS_OK;
    for (uint64_t at = 0; row->measured && !status && at < row->count;) {
        uint64_t left = row->count - at;
        size_t count = left < COMPARE_ELEMS ? (size_t)left : COMPARE_ELEMS;
        status = measure_piece(c, row, at, count, numeric);
        at += count;
    }
    if (row->changed && row->kind == COMPARE_SAME)
        row->kind = COMPARE_CHANGED;
    return status;
}

static enum status measure_all(struct comparer *c, struct progress *progress)
{
    enum status status = STATUS_OK;
    for (size_t i = 0; !status && i < c->out->count; i++) {
        struct compare_row *row = &c->out->rows[i];
        if (!row->base)
            row->kind = COMPARE_NEW;
        else
            status = measure(c, row);
        if (progress)
            progress_show(progress, row->target->offset, c->target->size);
    }
    return status;
}

static enum status comparer_init(struct comparer *c)
{
    size_t base = c->base_model->tensor_count;
    size_t target = c->target_model->tensor_count;
    c->by_name = calloc(base + 1, sizeof(*c->by_name));
    c->used = calloc(base + 1, sizeof(*c->used));
    c->base_buf = malloc(COMPARE_BYTES);
    c->target_buf = malloc(COMPARE_BYTES);
    c->base_values = malloc(COMPARE_ELEMS * sizeof(double));
    c->target_values = malloc(COMPARE_ELEMS * sizeof(double));
    c->out->rows = calloc(base + target + 1, sizeof(*c->out->rows));
    return c->by_name && c->used && c->base_buf && c->target_buf &&
                   c->base_values && c->target_values && c->out->rows
               ? STATUS_OK
               : STATUS_NO_MEMORY;
}

static void comparer_deinit(struct comparer *c)
{
    free(c->by_name);
    free(c->used);
    free(c->base_buf);
    free(c->target_buf);
    free(c->base_values);
    free(c->target_values);
}

enum status compare_models(const struct source *base,
                           const struct model *base_model,
                           const struct source *target,
                           const struct model *target_model,
                           struct progress *progress, struct compare *out)
{
    struct comparer c = {.base = base,
                         .target = target,
                         .base_model = base_model,
                         .target_model = target_model,
                         .out = out};
    memset(out, 0, sizeof(*out));
    enum status status = comparer_init(&c);
    if (!status)
        status = pair_all(&c);
    if (!status)
        status = measure_all(&c, progress);
    if (!status)
        add_gone(&c);
    comparer_deinit(&c);
    if (status)
        compare_free(out);
    return status;
}

enum status compare_bytes(const struct source *base,
                          const struct source *target, uint64_t *differ)
{
    uint64_t less = base->size < target->size ? base->size : target->size;
    uint64_t more = base->size < target->size ? target->size : base->size;
    uint8_t *a = malloc(COMPARE_BYTES), *b = malloc(COMPARE_BYTES);
    enum status status = a && b ? STATUS_OK : STATUS_NO_MEMORY;
    *differ = more - less;
    for (uint64_t at = 0; !status && at < less;) {
        size_t n =
            less - at < COMPARE_BYTES ? (size_t)(less - at) : COMPARE_BYTES;
        status = source_read(base, at, a, n);
        if (!status)
            status = source_read(target, at, b, n);
        for (size_t i = 0; !status && i < n; i++)
            *differ += a[i] != b[i];
        at += n;
    }
    free(a);
    free(b);
    return status;
}
