/* inspect UPDATE: a line for each range of the target, and what its coded
 * bytes are, as far as they can be told apart: the segments of an update are
 * of one size each and may hold several ranges. */
#include "codec/update/segment.h"
#include "daemon/ctl_inspect.h"
#include "daemon/ctl_offline.h"
#include "daemon/table.h"

#include <stdio.h>
#include <stdlib.h>

/* A range within one record and, where they are known, within one tensor. */
struct range {
    uint64_t offset;
    uint64_t size;
    const struct update_record *record;
    const struct tensor *tensor; /* NULL: none, or not known */
    double coded;                /* bytes */
    bool shared;                 /* some of them were shared out by size */
};

struct inspection {
    const struct ctl *ctl;
    const struct ctl_update *update;
    const struct update_header *header;
    struct ctl_content names; /* base or target, or closed */
    bool by_base;
    struct range *ranges;
    size_t count, cap;
    double most; /* coded bytes of the largest range */
};

/* ---- Ranges ---- */

static enum status ranges_add(struct inspection *in, const struct range *range)
{
    if (in->count == in->cap) {
        size_t cap = in->cap ? 2 * in->cap : 256;
        struct range *ranges = realloc(in->ranges, cap * sizeof(*ranges));
        if (!ranges)
            return STATUS_NO_MEMORY;
        in->ranges = ranges;
        in->cap = cap;
    }
    in->ranges[in->count++] = *range;
    return STATUS_OK;
}

/* The tensor at an offset of the named model (NULL: none), and where that
 * changes. */
static const struct tensor *name_at(const struct model *model, uint64_t offset,
                                    uint64_t *until)
{
    size_t low = 0, high = model->tensor_count;
    *until = UINT64_MAX;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (model->tensors[mid].offset + model->tensors[mid].size <= offset)
            low = mid + 1;
        else
            high = mid;
    }
    if (low == model->tensor_count)
        return NULL;
    const struct tensor *tensor = &model->tensors[low];
    bool in = offset >= tensor->offset;
    *until = in ? tensor->offset + tensor->size : tensor->offset;
    return in ? tensor : NULL;
}

static enum status ranges_of_record(struct inspection *in,
                                    const struct update_record *record)
{
    const struct model *model = in->names.model;
    uint64_t from = in->by_base ? record->base_offset : record->target_offset;
    bool split = model && (!in->by_base || record->base_size == record->size);
    bool named = model && (!in->by_base || record->base_size);
    enum status status = STATUS_OK;
    for (uint64_t at = 0; !status && at < record->size;) {
        struct range range = {.offset = record->target_offset + at,
                              .size = record->size - at,
                              .record = record};
        uint64_t until = UINT64_MAX;
        if (named)
            range.tensor = name_at(model, from + at, &until);
        if (split && until - from - at < range.size)
            range.size = until - from - at;
        status = ranges_add(in, &range);
        at += range.size;
    }
    return status;
}

/* ---- Coded bytes ---- */

/* Bytes of a range in a segment that needed coding. */
static uint64_t range_weight(const struct range *range, uint64_t start,
                             uint64_t end, bool all)
{
    uint64_t low = range->offset > start ? range->offset : start;
    uint64_t high = range->offset + range->size;
    if (high > end)
        high = end;
    if (high <= low || (!all && range->record->mode == UPDATE_SAME))
        return 0;
    return high - low;
}

/* Shares the coded bytes of a segment out among ranges first .. last - 1. */
static void share_segment(struct inspection *in, uint32_t index, size_t first,
                          size_t last)
{
    uint64_t start = update_segment_offset(in->header, index);
    uint64_t end = start + update_segment_target_size(in->header, index);
    double coded = in->header->segments[index].size;
    uint64_t total = 0;
    size_t sharers = 0;
    bool all = true;
    for (size_t i = first; i < last; i++)
        all &= range_weight(&in->ranges[i], start, end, false) == 0;
    for (size_t i = first; i < last; i++) {
        uint64_t weight = range_weight(&in->ranges[i], start, end, all);
        total += weight;
        sharers += weight > 0;
    }
    for (size_t i = first; i < last; i++) {
        uint64_t weight = range_weight(&in->ranges[i], start, end, all);
        if (!weight)
            continue;
        in->ranges[i].coded += coded * (double)weight / (double)total;
        in->ranges[i].shared |= sharers > 1;
    }
}

/* Bytes of tables that a range takes from auxiliary segment index; those of a
 * record are shared out among its ranges. */
static double range_tables(const struct range *range, uint32_t index)
{
    const struct update_record *record = range->record;
    if (!record_has_tables(record) || record->aux != index + 1)
        return 0;
    return (double)record_tables_size(record) * (double)range->size /
           (double)record->size;
}

/* Ranges first .. last - 1 are those of the records that may use it. */
static void share_auxiliary(struct inspection *in, uint32_t index, size_t first,
                            size_t last)
{
    double total = 0;
    size_t sharers = 0;
    for (size_t i = first; i < last; i++) {
        total += range_tables(&in->ranges[i], index);
        sharers += range_tables(&in->ranges[i], index) > 0;
    }
    for (size_t i = first; total > 0 && i < last; i++) {
        double part = range_tables(&in->ranges[i], index) / total;
        in->ranges[i].coded += in->header->segments[index].size * part;
        in->ranges[i].shared |= part > 0 && sharers > 1;
    }
}

/* aux rises from record to record. */
static void share_auxiliaries(struct inspection *in)
{
    size_t first = 0;
    for (uint32_t i = 0; i < in->header->aux_count; i++) {
        while (first < in->count && in->ranges[first].record->aux < i + 1)
            first++;
        size_t last = first;
        while (last < in->count && in->ranges[last].record->aux == i + 1)
            last++;
        share_auxiliary(in, i, first, last);
        first = last;
    }
}

static void share_all(struct inspection *in)
{
    size_t first = 0;
    share_auxiliaries(in);
    for (uint32_t i = in->header->aux_count; i < in->header->segment_count;
         i++) {
        uint64_t start = update_segment_offset(in->header, i);
        uint64_t end = start + update_segment_target_size(in->header, i);
        while (first < in->count &&
               in->ranges[first].offset + in->ranges[first].size <= start)
            first++;
        size_t last = first;
        while (last < in->count && in->ranges[last].offset < end)
            last++;
        if (in->header->segments[i].size)
            share_segment(in, i, first, last);
    }
    for (size_t i = 0; i < in->count; i++)
        if (in->ranges[i].coded > in->most)
            in->most = in->ranges[i].coded;
}

/* Elements of a range; 0 when its type is not known. */
static double range_elements(const struct range *range)
{
    unsigned bits = range->record->mode == UPDATE_CODED
                        ? dtype_bits(range->record->dtype)
                    : range->tensor ? dtype_bits(range->tensor->dtype)
                                    : 0;
    return bits ? (double)range->size * 8 / bits : 0;
}

static const char *range_dtype(const struct range *range)
{
    if (range->record->mode == UPDATE_CODED)
        return dtype_name(range->record->dtype);
    return range->tensor ? dtype_name(range->tensor->dtype) : "-";
}

/* "fast", "narrow", "small", "lattice" for what a coder codes, else "-". */
static const char *range_coder(const struct range *range)
{
    static const char *const names[CODING_KIND_COUNT] = {"fast", "narrow",
                                                         "small", "lattice"};
    const struct update_record *record = range->record;
    return record->mode == UPDATE_CODED ? names[record->coding.kind] : "-";
}

/* ---- Text ---- */

static void range_row(const struct inspection *in, struct table *table,
                      const struct range *range)
{
    char offset[32], size[32], base[48] = "-", coded[48], bits[48] = "-";
    char bar[CTL_BAR_SIZE], mode[48];
    const struct update_record *record = range->record;
    const char *about = range->shared ? "~" : "";
    double elements = range_elements(range);
    snprintf(offset, sizeof(offset), "%llu", (unsigned long long)range->offset);
    snprintf(size, sizeof(size), "%llu", (unsigned long long)range->size);
    if (record->base_size == record->size)
        snprintf(base, sizeof(base), "%llu",
                 (unsigned long long)(record->base_offset + range->offset -
                                      record->target_offset));
    else if (record->base_size)
        snprintf(base, sizeof(base), "%llu",
                 (unsigned long long)record->base_offset);
    snprintf(coded, sizeof(coded), "%s%.0f", about, range->coded);
    if (elements > 0)
        snprintf(bits, sizeof(bits), "%s%.2f", about,
                 8 * range->coded / elements);
    ctl_offline_bar(in->most > 0 ? range->coded / in->most : 0, bar);
    snprintf(mode, sizeof(mode), "%s", record_mode_name(record));
    if (record->rank)
        snprintf(mode, sizeof(mode), "%s %u", record_mode_name(record),
                 record->rank);
    table_row(table, offset, size, mode, range_coder(range), range_dtype(range),
              base, coded, bits, bar, range->tensor ? range->tensor->name : "");
}

static uint32_t changed_segments(const struct update_header *header)
{
    uint32_t count = 0;
    for (uint32_t i = header->aux_count; i < header->segment_count; i++)
        count += header->segments[i].size > 0;
    return count;
}

static void print_totals(const struct update_header *header, uint64_t bytes)
{
    char target[HASH_HEX_SIZE], base[HASH_HEX_SIZE];
    hash_hex(&header->target_tree, target);
    hash_hex(&header->base_tree, base);
    if (header->has_base)
        printf("base    %s, %llu bytes\n", base,
               (unsigned long long)header->base_size);
    else
        printf("base    none: a full update\n");
    printf("target  %s, %llu bytes\n", target,
           (unsigned long long)header->target.size);
    printf("update  %llu bytes", (unsigned long long)bytes);
    if (header->target.size)
        printf(", %.1f %% of the target",
               100.0 * (double)bytes / (double)header->target.size);
    printf("; %u segments, %u of them changed",
           header->segment_count - header->aux_count, changed_segments(header));
    if (header->aux_count)
        printf("; %u auxiliary", header->aux_count);
    printf("\n");
}

/* "delta 3 ranges, 1.7 MB as 0.4 MB", a line for each mode there is. */
static void print_modes(const struct inspection *in)
{
    for (size_t first = 0; first < in->count; first++) {
        const char *mode = record_mode_name(in->ranges[first].record);
        double coded = 0;
        uint64_t size = 0;
        size_t count = 0, i = 0;
        while (i < first &&
               strcmp(record_mode_name(in->ranges[i].record), mode) != 0)
            i++;
        if (i < first)
            continue; /* printed already */
        for (i = first; i < in->count; i++)
            if (!strcmp(record_mode_name(in->ranges[i].record), mode)) {
                count++;
                size += in->ranges[i].size;
                coded += in->ranges[i].coded;
            }
        printf("%-7s %zu %s, %llu bytes as %.0f\n", mode, count,
               count == 1 ? "range" : "ranges", (unsigned long long)size,
               coded);
    }
}

static void print_files(const struct ctl_update *update)
{
    for (size_t i = 0; i < update->listing.count; i++) {
        printf("file    ");
        table_put_text(update->listing.files[i].path, stdout);
        printf(", %llu bytes\n",
               (unsigned long long)update->listing.files[i].size);
    }
}

static enum status inspection_text(const struct inspection *in)
{
    struct table *table = table_new(
        in->names.model
            ? ">offset|>bytes|mode|coder|dtype|>base|>coded|>bits||tensor"
            : ">offset|>bytes|mode|coder|dtype|>base|>coded|>bits|");
    if (!table)
        return STATUS_NO_MEMORY;
    for (size_t i = 0; i < in->count; i++)
        range_row(in, table, &in->ranges[i]);
    table_print(table, stdout);
    table_free(table);
    print_files(in->update);
    print_modes(in);
    print_totals(in->header, in->update->file.source.size);
    return STATUS_OK;
}

/* ---- JSON ---- */

static json_t *range_json(const struct range *range)
{
    const struct update_record *record = range->record;
    json_t *json = json_pack(
        "{s:I, s:I, s:s, s:f, s:b}", "offset", (json_int_t)range->offset,
        "bytes", (json_int_t)range->size, "mode", record_mode_name(record),
        "coded", range->coded, "shared", (int)range->shared);
    if (*range_dtype(range) != '-')
        json_object_set_new(json, "dtype", json_string(range_dtype(range)));
    if (record->mode == UPDATE_CODED)
        json_object_set_new(json, "coder", json_string(range_coder(range)));
    if (record->rank)
        json_object_set_new(json, "rank", json_integer(record->rank));
    if (range->tensor)
        json_object_set_new(
            json, "name",
            json_stringn(range->tensor->name, range->tensor->name_size));
    if (record->base_size)
        json_object_set_new(json, "base_offset",
                            json_integer((json_int_t)record->base_offset));
    return json;
}

static enum status inspection_json(const struct inspection *in)
{
    const struct update_header *header = in->header;
    const struct update_file *file = &in->update->update;
    char target[HASH_HEX_SIZE], base[HASH_HEX_SIZE], id_hex[HASH_HEX_SIZE];
    struct hash id;
    json_t *records = json_array(), *segments = json_array();
    json_t *auxiliary = json_array();
    json_t *files = in->update->is_folder ? json_array() : NULL;
    update_id(bytes_of(file->header_bytes, file->header_size), &id);
    hash_hex(&id, id_hex);
    hash_hex(&header->target_tree, target);
    hash_hex(&header->base_tree, base);
    for (size_t i = 0; i < in->count; i++)
        json_array_append_new(records, range_json(&in->ranges[i]));
    for (uint32_t i = 0; i < header->segment_count; i++)
        json_array_append_new(i < header->aux_count ? auxiliary : segments,
                              json_integer(header->segments[i].size));
    for (size_t i = 0; i < in->update->listing.count; i++)
        json_array_append_new(
            files,
            json_pack("{s:s, s:I}", "path", in->update->listing.files[i].path,
                      "bytes", (json_int_t)in->update->listing.files[i].size));
    json_t *json = json_pack(
        "{s:s, s:s, s:s*, s:s, s:I, s:I, s:I, s:o*, s:o, s:o, s:o}", "format",
        "update", "update", id_hex, "base", header->has_base ? base : NULL,
        "target", target, "base_bytes", (json_int_t)header->base_size,
        "target_bytes", (json_int_t)header->target.size, "bytes",
        (json_int_t)in->update->file.source.size, "files", files, "records",
        records, "segments", segments, "auxiliary", auxiliary);
    if (!json)
        return STATUS_NO_MEMORY;
    ctl_print_json(in->ctl, json);
    json_decref(json);
    return STATUS_OK;
}

/* ---- Both ---- */

/* The model that names ranges must be the one the update speaks of. */
static enum status inspection_names(struct inspection *in, const char *path,
                                    struct diag *diag)
{
    struct hash id;
    const struct hash *want =
        in->by_base ? &in->header->base_tree : &in->header->target_tree;
    enum status status = ctl_inspect_open(&in->names, path, diag);
    if (!status)
        status = ctl_content_tree(&in->names, &id);
    if (!status && !hash_equal(&id, want))
        status =
            diag_fail(diag, STATUS_BAD_BASE, "%.100s is not the %s of %.80s",
                      path, in->by_base ? "base" : "target", in->update->path);
    return status;
}

static enum status inspection_run(struct inspection *in)
{
    enum status status = STATUS_OK;
    for (uint32_t i = 0; !status && i < in->header->records.count; i++)
        status = ranges_of_record(in, &in->header->records.records[i]);
    if (status)
        return status;
    share_all(in);
    return in->ctl->json ? inspection_json(in) : inspection_text(in);
}

enum status ctl_inspect_update(const struct ctl *ctl, const char *path,
                               const char *base_path, const char *target_path,
                               struct diag *diag)
{
    struct ctl_update update;
    struct inspection in = {.ctl = ctl,
                            .update = &update,
                            .header = &update.update.header,
                            .names = CTL_CONTENT_CLOSED,
                            .by_base = base_path != NULL};
    const char *names = base_path ? base_path : target_path;
    enum status status = ctl_update_open(&update, path, diag);
    if (!status && names)
        status = inspection_names(&in, names, diag);
    if (!status)
        status = inspection_run(&in);
    free(in.ranges);
    ctl_content_close(&in.names);
    ctl_update_close(&update);
    return status;
}
