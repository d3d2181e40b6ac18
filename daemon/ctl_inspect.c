/* deltamesh inspect: what is in a model file or an update file. Judged by its
 * suffix, else by its content. Needs no daemon. */
#include "codec/model/model.h"
#include "codec/update/record.h"
#include "codec/update/update_file.h"
#include "daemon/ctl.h"
#include "daemon/ctl_offline.h"
#include "daemon/file_source.h"
#include "daemon/table.h"

#include <stdio.h>
#include <stdlib.h>

static const char inspect_usage[] = "usage: deltamesh inspect [--json] FILE\n";

/* ---- models ---- */

/* "[64, 3, 3, 3]"; long shapes end in dots. */
static void inspect_shape(const struct tensor *tensor, char *out, size_t size)
{
    size_t at = (size_t)snprintf(out, size, "[");
    for (uint32_t i = 0; i < tensor->rank; i++) {
        if (at + 32 > size) {
            at += (size_t)snprintf(out + at, size - at, ", ..");
            break;
        }
        at += (size_t)snprintf(out + at, size - at, "%s%llu", i ? ", " : "",
                               (unsigned long long)tensor->shape[i]);
    }
    snprintf(out + at, size - at, "]");
}

static void inspect_tensor_row(struct table *table, const struct tensor *tensor)
{
    char shape[192], bytes[32];
    inspect_shape(tensor, shape, sizeof(shape));
    snprintf(bytes, sizeof(bytes), "%llu", (unsigned long long)tensor->size);
    table_row(table, tensor->name, dtype_name(tensor->dtype), shape, bytes);
}

static uint64_t inspect_elements(const struct model *model)
{
    uint64_t count = 0;
    for (size_t i = 0; i < model->tensor_count; i++)
        count += tensor_elem_count(&model->tensors[i]);
    return count;
}

static enum status inspect_model_text(const struct model *model)
{
    struct table *table = table_new("tensor|dtype|shape|>bytes");
    if (!table)
        return STATUS_NO_MEMORY;
    for (size_t i = 0; i < model->tensor_count; i++)
        inspect_tensor_row(table, &model->tensors[i]);
    table_print(table, stdout);
    table_free(table);
    printf("%s: %zu tensors, %llu elements, %llu bytes\n",
           container_name(model->files[0].format), model->tensor_count,
           (unsigned long long)inspect_elements(model),
           (unsigned long long)model->size);
    return STATUS_OK;
}

static json_t *inspect_tensor_json(const struct tensor *tensor)
{
    json_t *shape = json_array();
    for (uint32_t i = 0; i < tensor->rank; i++)
        json_array_append_new(shape,
                              json_integer((json_int_t)tensor->shape[i]));
    return json_pack("{s:s%, s:s, s:o, s:I, s:I}", "name", tensor->name,
                     (size_t)tensor->name_size, "dtype",
                     dtype_name(tensor->dtype), "shape", shape, "offset",
                     (json_int_t)tensor->offset, "bytes",
                     (json_int_t)tensor->size);
}

static enum status inspect_model_json(const struct ctl *ctl,
                                      const struct model *model)
{
    json_t *tensors = json_array();
    for (size_t i = 0; i < model->tensor_count; i++)
        json_array_append_new(tensors, inspect_tensor_json(&model->tensors[i]));
    json_t *json =
        json_pack("{s:s, s:I, s:I, s:o}", "format",
                  container_name(model->files[0].format), "bytes",
                  (json_int_t)model->size, "elements",
                  (json_int_t)inspect_elements(model), "tensors", tensors);
    if (!json)
        return STATUS_NO_MEMORY;
    ctl_print_json(ctl, json);
    json_decref(json);
    return STATUS_OK;
}

static enum status inspect_opaque(const struct ctl *ctl, uint64_t size)
{
    if (ctl->json) {
        json_t *json = json_pack("{s:s, s:I}", "format", "opaque", "bytes",
                                 (json_int_t)size);
        ctl_print_json(ctl, json);
        json_decref(json);
        return STATUS_OK;
    }
    printf("opaque, %llu bytes\n", (unsigned long long)size);
    return STATUS_OK;
}

static enum status inspect_model(const struct ctl *ctl,
                                 const struct source *source, const char *path,
                                 struct diag *diag)
{
    struct model *model;
    struct diag why;
    diag_reset(&why);
    enum status status = model_parse_file(source, path, &model, &why);
    if (status)
        return diag_fail(diag, status, "%.100s: %s", path, status_text(status));
    const struct model_file *bad = model_unreadable(model);
    if (bad)
        status = diag_fail(diag, bad->status,
                           "%.100s: not a valid safetensors file: %.100s", path,
                           why.text);
    else if (model->files[0].format == CONTAINER_OPAQUE)
        status = inspect_opaque(ctl, source->size);
    else if (ctl->json)
        status = inspect_model_json(ctl, model);
    else
        status = inspect_model_text(model);
    model_free(model);
    return status;
}

/* ---- updates ---- */

static const char *inspect_record_dtype(const struct update_record *record)
{
    return record->mode == UPDATE_FLOAT ? dtype_name(record->dtype) : "-";
}

static void inspect_record_row(struct table *table,
                               const struct update_record *record)
{
    char offset[32], size[32], base[48] = "-";
    snprintf(offset, sizeof(offset), "%llu",
             (unsigned long long)record->target_offset);
    snprintf(size, sizeof(size), "%llu", (unsigned long long)record->size);
    if (record->base_size)
        snprintf(base, sizeof(base), "%llu",
                 (unsigned long long)record->base_offset);
    table_row(table, offset, size, record_mode_name(record),
              inspect_record_dtype(record), base);
}

static uint32_t inspect_changed(const struct update_header *header)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < header->segment_count; i++)
        count += header->segments[i].size > 0;
    return count;
}

static void inspect_update_totals(const struct update_header *header,
                                  uint64_t bytes)
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
    printf("; %u segments, %u of them changed\n", header->segment_count,
           inspect_changed(header));
}

static enum status inspect_update_text(const struct update_header *header,
                                       uint64_t bytes)
{
    struct table *table = table_new(">offset|>bytes|mode|dtype|>base");
    if (!table)
        return STATUS_NO_MEMORY;
    for (uint32_t i = 0; i < header->record_count; i++)
        inspect_record_row(table, &header->records[i]);
    table_print(table, stdout);
    table_free(table);
    inspect_update_totals(header, bytes);
    return STATUS_OK;
}

static json_t *inspect_record_json(const struct update_record *record)
{
    json_t *json = json_pack(
        "{s:I, s:I, s:s}", "offset", (json_int_t)record->target_offset, "bytes",
        (json_int_t)record->size, "mode", record_mode_name(record));
    if (record->mode == UPDATE_FLOAT)
        json_object_set_new(json, "dtype",
                            json_string(dtype_name(record->dtype)));
    if (record->base_size)
        json_object_set_new(json, "base_offset",
                            json_integer((json_int_t)record->base_offset));
    return json;
}

static json_t *inspect_segments_json(const struct update_header *header)
{
    json_t *list = json_array();
    for (uint32_t i = 0; i < header->segment_count; i++)
        json_array_append_new(list, json_integer(header->segments[i].size));
    return list;
}

static enum status inspect_update_json(const struct ctl *ctl,
                                       const struct update_file *file,
                                       uint64_t bytes)
{
    const struct update_header *header = &file->header;
    char target[HASH_HEX_SIZE], base[HASH_HEX_SIZE], id_hex[HASH_HEX_SIZE];
    struct hash id;
    json_t *records = json_array();
    update_id(bytes_of(file->header_bytes, file->header_size), &id);
    hash_hex(&id, id_hex);
    hash_hex(&header->target_tree, target);
    hash_hex(&header->base_tree, base);
    for (uint32_t i = 0; i < header->record_count; i++)
        json_array_append_new(records,
                              inspect_record_json(&header->records[i]));
    json_t *json = json_pack(
        "{s:s, s:s, s:s*, s:s, s:I, s:I, s:I, s:o, s:o}", "format", "update",
        "update", id_hex, "base", header->has_base ? base : NULL, "target",
        target, "base_bytes", (json_int_t)header->base_size, "target_bytes",
        (json_int_t)header->target.size, "bytes", (json_int_t)bytes, "records",
        records, "segments", inspect_segments_json(header));
    if (!json)
        return STATUS_NO_MEMORY;
    ctl_print_json(ctl, json);
    json_decref(json);
    return STATUS_OK;
}

static enum status inspect_update(const struct ctl *ctl,
                                  const struct source *source, const char *path,
                                  struct diag *diag)
{
    struct update_file file;
    struct diag why;
    diag_reset(&why);
    enum status status = update_file_open(source, &file, &why);
    if (status)
        return diag_fail(diag, status, "%.100s: %.140s", path,
                         why.text[0] ? why.text : status_text(status));
    status = ctl->json ? inspect_update_json(ctl, &file, source->size)
                       : inspect_update_text(&file.header, source->size);
    update_file_close(&file);
    return status;
}

static int inspect_run(const struct ctl *ctl, const char *path)
{
    struct file_source file;
    struct diag diag;
    diag_reset(&diag);
    enum status status = file_source_open(&file, path, &diag);
    if (!status && update_file_probe(&file.source))
        status = inspect_update(ctl, &file.source, path, &diag);
    else if (!status)
        status = inspect_model(ctl, &file.source, path, &diag);
    file_source_close(&file);
    return ctl_offline_exit(ctl, status, &diag);
}

int ctl_inspect(int argc, char **argv)
{
    struct ctl ctl;
    int exit = CTL_OK;
    ctl_begin(&ctl, argv, inspect_usage);
    if (!ctl_plain_options(&ctl, argc, argv, 1, 1, &exit))
        return exit;
    return inspect_run(&ctl, argv[optind]);
}
