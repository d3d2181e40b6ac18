/* inspect MODEL MODEL: a line for each tensor, then totals. */
#include "daemon/compare.h"
#include "daemon/ctl_inspect.h"
#include "daemon/ctl_offline.h"
#include "daemon/table.h"

#include <stdio.h>

struct pair_totals {
    size_t kinds[COMPARE_KIND_COUNT];
    size_t renamed;
    uint64_t count, changed;
    double base_square, diff_square;
    double most; /* relative change of the row that changed most */
};

static double row_relative(const struct compare_row *row)
{
    return compare_relative(row->diff_square, row->base_square);
}

static void pair_add(struct pair_totals *totals, const struct compare *compare)
{
    for (size_t i = 0; i < compare->count; i++) {
        const struct compare_row *row = &compare->rows[i];
        totals->kinds[row->kind]++;
        totals->renamed += row->renamed;
        if (!row->measured)
            continue;
        totals->count += row->count;
        totals->changed += row->changed;
        totals->base_square += row->base_square;
        totals->diff_square += row->diff_square;
        if (row_relative(row) > totals->most)
            totals->most = row_relative(row);
    }
}

/* ---- Text ---- */

static const char *kind_name(enum compare_kind kind)
{
    static const char *const names[COMPARE_KIND_COUNT] = {
        "same", "changed", "other shape", "new", "gone"};
    return names[kind];
}

/* "changed", "other shape, was F16 [4]", "same, was conv1" */
static void row_words(const struct compare_row *row, char *out, size_t size)
{
    char shape[CTL_SHAPE_SIZE];
    int n = snprintf(out, size, "%s", kind_name(row->kind));
    if (n > 0 && row->renamed)
        n += snprintf(out + n, size - (size_t)n, ", was %.100s",
                      row->base->name);
    if (n > 0 && row->kind == COMPARE_RESHAPED)
        snprintf(out + n, size - (size_t)n, ", was %s %s",
                 dtype_name(row->base->dtype),
                 ctl_inspect_shape(row->base, shape));
}

static void pair_row(struct table *table, const struct compare_row *row,
                     double most)
{
    const struct tensor *tensor = row->target ? row->target : row->base;
    char shape[CTL_SHAPE_SIZE], words[512], changed[32] = "-";
    char relative[32] = "-", max[32] = "-", bar[CTL_BAR_SIZE] = "";
    row_words(row, words, sizeof(words));
    if (row->measured) {
        snprintf(changed, sizeof(changed), "%.4g %%",
                 row->count ? 100.0 * (double)row->changed / (double)row->count
                            : 0.0);
        if (row->changed) {
            snprintf(relative, sizeof(relative), "%.3g", row_relative(row));
            snprintf(max, sizeof(max), "%.3g", row->max_diff);
        }
        ctl_offline_bar(most > 0 ? row_relative(row) / most : 0, bar);
    }
    table_row(table, tensor->name, dtype_name(tensor->dtype),
              ctl_inspect_shape(tensor, shape), words, changed, relative, max,
              bar);
}

static void pair_summary(const struct pair_totals *totals)
{
    const size_t *kinds = totals->kinds;
    printf("%zu same, %zu changed, %zu of another shape, %zu new, %zu gone, "
           "%zu renamed\n",
           kinds[COMPARE_SAME], kinds[COMPARE_CHANGED], kinds[COMPARE_RESHAPED],
           kinds[COMPARE_NEW], kinds[COMPARE_GONE], totals->renamed);
    if (totals->count)
        printf("%llu of %llu elements changed, %.4g %%; relative change %.3g\n",
               (unsigned long long)totals->changed,
               (unsigned long long)totals->count,
               100.0 * (double)totals->changed / (double)totals->count,
               compare_relative(totals->diff_square, totals->base_square));
}

static enum status pair_text(const struct compare *compare,
                             const struct pair_totals *totals)
{
    struct table *table =
        table_new("tensor|dtype|shape|change|>elements|>relative|>max|");
    if (!table)
        return STATUS_NO_MEMORY;
    for (size_t i = 0; i < compare->count; i++)
        pair_row(table, &compare->rows[i], totals->most);
    table_print(table, stdout);
    table_free(table);
    pair_summary(totals);
    return STATUS_OK;
}

/* ---- JSON ---- */

static json_t *shape_json(const struct tensor *tensor)
{
    json_t *shape = json_array();
    for (uint32_t i = 0; i < tensor->rank; i++)
        json_array_append_new(shape,
                              json_integer((json_int_t)tensor->shape[i]));
    return shape;
}

static json_t *row_json(const struct compare_row *row)
{
    static const char *const kinds[COMPARE_KIND_COUNT] = {
        "same", "changed", "reshaped", "new", "gone"};
    const struct tensor *tensor = row->target ? row->target : row->base;
    json_t *json =
        json_pack("{s:s%, s:s, s:o, s:s}", "name", tensor->name,
                  (size_t)tensor->name_size, "dtype", dtype_name(tensor->dtype),
                  "shape", shape_json(tensor), "change", kinds[row->kind]);
    if (row->renamed)
        json_object_set_new(
            json, "was", json_stringn(row->base->name, row->base->name_size));
    if (row->kind == COMPARE_RESHAPED) {
        json_object_set_new(json, "was_dtype",
                            json_string(dtype_name(row->base->dtype)));
        json_object_set_new(json, "was_shape", shape_json(row->base));
    }
    if (!row->measured)
        return json;
    json_object_set_new(json, "elements", json_integer((json_int_t)row->count));
    json_object_set_new(json, "changed",
                        json_integer((json_int_t)row->changed));
    json_object_set_new(json, "relative", json_real(row_relative(row)));
    json_object_set_new(json, "max", json_real(row->max_diff));
    return json;
}

static enum status pair_json(const struct ctl *ctl,
                             const struct ctl_content *base,
                             const struct ctl_content *target,
                             const struct compare *compare,
                             const struct pair_totals *totals)
{
    json_t *tensors = json_array();
    for (size_t i = 0; i < compare->count; i++)
        json_array_append_new(tensors, row_json(&compare->rows[i]));
    json_t *json = json_pack(
        "{s:s, s:I, s:I, s:I, s:I, s:f, s:o}", "format",
        ctl_inspect_format(target), "base_bytes", (json_int_t)base->source.size,
        "target_bytes", (json_int_t)target->source.size, "elements",
        (json_int_t)totals->count, "changed", (json_int_t)totals->changed,
        "relative", compare_relative(totals->diff_square, totals->base_square),
        "tensors", tensors);
    if (!json)
        return STATUS_NO_MEMORY;
    ctl_print_json(ctl, json);
    json_decref(json);
    return STATUS_OK;
}

/* ---- Both ---- */

/* Where one side has no tensors. */
static enum status pair_opaque(const struct ctl *ctl,
                               const struct ctl_content *base,
                               const struct ctl_content *target)
{
    uint64_t differ;
    enum status status = compare_bytes(&base->source, &target->source, &differ);
    if (status)
        return status;
    if (ctl->json) {
        json_t *json =
            json_pack("{s:s, s:I, s:I, s:I}", "format", "opaque", "base_bytes",
                      (json_int_t)base->source.size, "target_bytes",
                      (json_int_t)target->source.size, "bytes_differ",
                      (json_int_t)differ);
        ctl_print_json(ctl, json);
        json_decref(json);
        return STATUS_OK;
    }
    printf("%s is opaque, without tensors: compared byte by byte\n",
           target->model->tensor_count ? base->path : target->path);
    printf("%llu bytes, then %llu; %llu differ in their place\n",
           (unsigned long long)base->source.size,
           (unsigned long long)target->source.size, (unsigned long long)differ);
    return STATUS_OK;
}

static enum status pair_models(const struct ctl *ctl,
                               const struct ctl_content *base,
                               const struct ctl_content *target)
{
    struct compare compare;
    struct pair_totals totals = {.count = 0};
    struct progress progress;
    if (!base->model->tensor_count || !target->model->tensor_count)
        return pair_opaque(ctl, base, target);
    progress_begin(&progress, "inspect");
    enum status status =
        compare_models(&base->source, base->model, &target->source,
                       target->model, &progress, &compare);
    progress_end(&progress);
    if (status)
        return status;
    pair_add(&totals, &compare);
    status = ctl->json ? pair_json(ctl, base, target, &compare, &totals)
                       : pair_text(&compare, &totals);
    compare_free(&compare);
    return status;
}

enum status ctl_inspect_pair(const struct ctl *ctl, const char *base_path,
                             const char *target_path, struct diag *diag)
{
    struct ctl_content base = CTL_CONTENT_CLOSED, target = CTL_CONTENT_CLOSED;
    enum status status = ctl_inspect_open(&base, base_path, diag);
    if (!status)
        status = ctl_inspect_open(&target, target_path, diag);
    if (!status)
        status = pair_models(ctl, &base, &target);
    ctl_content_close(&base);
    ctl_content_close(&target);
    return status;
}
