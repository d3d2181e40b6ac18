/* deltamesh inspect: says what is in a model or in an update file, or what
 * changed between two models. Needs no daemon. */
#include "daemon/ctl_inspect.h"

#include "daemon/ctl_offline.h"
#include "daemon/table.h"

#include <stdio.h>

static const char inspect_usage[] =
    "usage: deltamesh inspect [--json] MODEL\n"
    "       deltamesh inspect [--json] MODEL MODEL\n"
    "       deltamesh inspect [--json] [--base MODEL | --target MODEL] UPDATE\n"
    "  MODEL     a file or a folder of files; of two, what changed from the\n"
    "            first to the second\n"
    "  --base, --target\n"
    "            name the ranges of the update by the tensors of its base, or\n"
    "            of its target\n";

const char *ctl_inspect_shape(const struct tensor *tensor, char *out)
{
    const size_t size = CTL_SHAPE_SIZE;
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
    return out;
}

const char *ctl_inspect_format(const struct ctl_content *content)
{
    const struct model *model = content->model;
    for (size_t i = 0; i < model->file_count; i++)
        if (model->files[i].format != CONTAINER_OPAQUE)
            return container_name(model->files[i].format);
    return container_name(CONTAINER_OPAQUE);
}

enum status ctl_inspect_open(struct ctl_content *content, const char *path,
                             struct diag *diag)
{
    struct diag why;
    diag_reset(&why);
    enum status status = ctl_content_open(content, path, diag);
    if (status)
        return status;
    status = ctl_content_parse(content, &why);
    if (status)
        return diag_fail(diag, status, "%.100s: %s", path, status_text(status));
    const struct model_file *bad = model_unreadable(content->model);
    if (!bad)
        return STATUS_OK;
    if (content->is_folder)
        return diag_fail(diag, bad->status,
                         "%.60s/%.60s: not a valid model file: %.100s", path,
                         bad->path, why.text);
    return diag_fail(diag, bad->status, "%.100s: not a valid %s file: %.100s",
                     path, container_name(bad->claims), why.text);
}

/* ---- One model ---- */

static void inspect_tensor_row(struct table *table, const struct tensor *tensor)
{
    char shape[CTL_SHAPE_SIZE], bytes[32];
    snprintf(bytes, sizeof(bytes), "%llu", (unsigned long long)tensor->size);
    table_row(table, tensor->name, dtype_name(tensor->dtype),
              ctl_inspect_shape(tensor, shape), bytes);
}

static uint64_t inspect_elements(const struct model *model)
{
    uint64_t count = 0;
    for (size_t i = 0; i < model->tensor_count; i++)
        count += tensor_elem_count(&model->tensors[i]);
    return count;
}

static enum status inspect_model_text(const struct ctl_content *content)
{
    const struct model *model = content->model;
    struct table *table = table_new("tensor|dtype|shape|>bytes");
    if (!table)
        return STATUS_NO_MEMORY;
    for (size_t i = 0; i < model->tensor_count; i++)
        inspect_tensor_row(table, &model->tensors[i]);
    table_print(table, stdout);
    table_free(table);
    printf("%s: ", ctl_inspect_format(content));
    if (content->is_folder)
        printf("%zu files, ", model->file_count);
    printf("%zu tensors, %llu elements, %llu bytes\n", model->tensor_count,
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
                                      const struct ctl_content *content)
{
    const struct model *model = content->model;
    json_t *tensors = json_array();
    for (size_t i = 0; i < model->tensor_count; i++)
        json_array_append_new(tensors, inspect_tensor_json(&model->tensors[i]));
    json_t *json =
        json_pack("{s:s, s:I, s:I, s:o}", "format", ctl_inspect_format(content),
                  "bytes", (json_int_t)model->size, "elements",
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

static bool inspect_is_opaque(const struct ctl_content *content)
{
    return !content->is_folder &&
           content->model->files[0].format == CONTAINER_OPAQUE;
}

static enum status inspect_model(const struct ctl *ctl, const char *path,
                                 struct diag *diag)
{
    struct ctl_content content;
    enum status status = ctl_inspect_open(&content, path, diag);
    if (!status && inspect_is_opaque(&content))
        status = inspect_opaque(ctl, content.source.size);
    else if (!status && ctl->json)
        status = inspect_model_json(ctl, &content);
    else if (!status)
        status = inspect_model_text(&content);
    ctl_content_close(&content);
    return status;
}

/* ---- The verb ---- */

struct inspect {
    struct ctl ctl;
    const char *base_path; /* of an update */
    const char *target_path;
};

/* An update, by its first bytes; what cannot be opened is none. */
static bool inspect_is_update(const char *path)
{
    struct file_source file;
    struct diag ignored = {""};
    bool is = !file_source_open(&file, path, &ignored) &&
              ctl_update_probe(&file.source);
    file_source_close(&file);
    return is;
}

static int inspect_run(const struct inspect *inspect, char **words, int count)
{
    struct diag diag;
    const struct ctl *ctl = &inspect->ctl;
    bool named = inspect->base_path || inspect->target_path;
    enum status status;
    diag_reset(&diag);
    if (count == 2)
        status = ctl_inspect_pair(ctl, words[0], words[1], &diag);
    else if (inspect_is_update(words[0]))
        status = ctl_inspect_update(ctl, words[0], inspect->base_path,
                                    inspect->target_path, &diag);
    else if (named)
        status =
            diag_fail(&diag, STATUS_USAGE, "%.100s is no update", words[0]);
    else
        status = inspect_model(ctl, words[0], &diag);
    return ctl_offline_exit(ctl, status, &diag);
}

int ctl_inspect(int argc, char **argv)
{
    static const struct option options[] = {
        {"base", required_argument, NULL, 'b'},
        {"target", required_argument, NULL, 't'},
        CTL_OPTIONS};
    struct inspect inspect = {.base_path = NULL};
    int exit = CTL_OK;
    ctl_begin(&inspect.ctl, argv, inspect_usage);
    for (int c; (c = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        if (c == 'b')
            inspect.base_path = optarg;
        else if (c == 't')
            inspect.target_path = optarg;
        else if (!ctl_option(&inspect.ctl, c, &exit))
            return exit;
    }
    int words = argc - optind;
    bool named = inspect.base_path || inspect.target_path;
    if (words < 1 || words > 2 || (words == 2 && named) ||
        (inspect.base_path && inspect.target_path))
        return ctl_misused(&inspect.ctl);
    return inspect_run(&inspect, argv + optind, words);
}
