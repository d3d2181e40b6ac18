/* Collects the tensors of every part of a content. */
#include "codec/model/model.h"

#include <stdlib.h>

/* What names, shapes and arrays of one model may take: a few times the largest
 * header of each of many files. */
#define MODEL_ARENA_BUDGET ((size_t)256 << 20)
#define MODEL_FILES_MAX    65536u

/* A part of the content as a source of its own. */
struct model_window {
    const struct source *content;
    uint64_t offset;
};

static enum status model_window_read(void *ctx, uint64_t offset, void *out,
                                     size_t size)
{
    const struct model_window *window = ctx;
    return source_read(window->content, window->offset + offset, out, size);
}

static enum status model_check_parts(const struct source *source,
                                     const struct model_part *parts,
                                     size_t part_count)
{
    uint64_t at = 0;
    for (size_t i = 0; i < part_count; i++) {
        if (parts[i].offset != at || parts[i].size > source->size - at)
            return STATUS_USAGE;
        at += parts[i].size;
    }
    return at == source->size && part_count <= MODEL_FILES_MAX ? STATUS_OK
                                                               : STATUS_USAGE;
}

/* An error of the file's format is noted in it; others end the parse. */
static enum status model_file_failed(struct model_file *file,
                                     enum status status)
{
    switch (status) {
    case STATUS_OK:
        return STATUS_OK;
    case STATUS_CORRUPT:
    case STATUS_TRUNCATED:
    case STATUS_UNSUPPORTED:
    case STATUS_LIMIT:
        file->status = status;
        file->format = CONTAINER_OPAQUE;
        return STATUS_OK;
    default:
        return status;
    }
}

static enum status model_append(struct model *model, struct tensor *tensors,
                                size_t count, const struct model_file *file)
{
    if (!count)
        return STATUS_OK;
    struct tensor *all =
        arena_alloc(&model->arena, model->tensor_count + count, sizeof(*all));
    if (!all)
        return STATUS_NO_MEMORY;
    if (model->tensor_count)
        memcpy(all, model->tensors, model->tensor_count * sizeof(*all));
    for (size_t i = 0; i < count; i++) {
        struct tensor *tensor = &all[model->tensor_count + i];
        *tensor = tensors[i];
        tensor->offset += file->offset;
        tensor->file = (uint32_t)(file - model->files);
    }
    model->tensors = all;
    model->tensor_count += count;
    return STATUS_OK;
}

static enum status model_add_file(struct model *model,
                                  const struct source *source,
                                  const struct model_part *part,
                                  struct diag *diag)
{
    struct model_file *file = &model->files[model->file_count];
    struct model_window window = {source, part->offset};
    struct source view = {model_window_read, &window, part->size};
    struct tensor *tensors = NULL;
    size_t count = 0;
    const char *path = part->path ? part->path : "";
    *file = (struct model_file){.offset = part->offset, .size = part->size};
    file->path = arena_text(&model->arena, path, strlen(path));
    if (!file->path)
        return STATUS_NO_MEMORY;
    model->file_count++;
    file->format = container_probe(path, &view);
    enum status status = container_parse(file->format, &view, &model->arena,
                                         &tensors, &count, diag);
    status = model_file_failed(file, status);
    if (status || file->status)
        return status;
    return model_append(model, tensors, count, file);
}

enum status model_parse(const struct source *source,
                        const struct model_part *parts, size_t part_count,
                        struct model **out, struct diag *diag)
{
    enum status status = model_check_parts(source, parts, part_count);
    if (status)
        return status;
    struct model *model = calloc(1, sizeof(*model));
    if (!model)
        return STATUS_NO_MEMORY;
    arena_init(&model->arena, MODEL_ARENA_BUDGET);
    model->size = source->size;
    model->files =
        arena_alloc(&model->arena, part_count, sizeof(*model->files));
    status = model->files ? STATUS_OK : STATUS_NO_MEMORY;
    for (size_t i = 0; !status && i < part_count; i++)
        status = model_add_file(model, source, &parts[i], diag);
    if (status) {
        model_free(model);
        return status;
    }
    *out = model;
    return STATUS_OK;
}

enum status model_parse_file(const struct source *source, const char *path,
                             struct model **out, struct diag *diag)
{
    struct model_part part = {path, 0, source->size};
    return model_parse(source, &part, 1, out, diag);
}

void model_free(struct model *model)
{
    if (!model)
        return;
    arena_deinit(&model->arena);
    free(model);
}

const struct model_file *model_unreadable(const struct model *model)
{
    for (size_t i = 0; i < model->file_count; i++)
        if (model->files[i].status)
            return &model->files[i];
    return NULL;
}
