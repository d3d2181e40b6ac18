/* Collects the tensors of every part of a content. */
#include "codec/model/model.h"

#include "codec/model/collect.h"

#include <stdlib.h>

/* What names, shapes and arrays of one model may take: a few times the largest
 * header of each of many files. */
#define MODEL_ARENA_BUDGET ((size_t)256 << 20)
#define MODEL_FILES_MAX    65536u

/* What the files of a content yield, before they are one list. */
struct model_yield {
    struct tensor *tensors;
    size_t count;
};

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

/* A budget that is spent says of the file what LIMIT does. */
static enum status model_spent(const struct model *model, enum status status,
                               struct diag *diag)
{
    if (status != STATUS_NO_MEMORY || !model->arena.spent)
        return status;
    return diag_fail(diag, STATUS_LIMIT,
                     "names and shapes of the content take over %zu MiB",
                     MODEL_ARENA_BUDGET >> 20);
}

static enum status model_add_file(struct model *model,
                                  const struct part_set *set,
                                  struct model_yield *yield, struct diag *diag)
{
    size_t index = model->file_count;
    struct model_file *file = &model->files[index];
    struct part_window window;
    struct source view = part_source(set, index, &window);
    const char *path = part_path(set, index);
    *file = (struct model_file){.offset = set->parts[index].offset,
                                .size = view.size};
    file->path = arena_text(&model->arena, path, strlen(path));
    if (!file->path)
        return STATUS_NO_MEMORY;
    model->file_count++;
    file->format = file->claims = container_probe(path, &view);
    enum status status =
        container_parse(file->format, set, index, &model->arena,
                        &yield->tensors, &yield->count, diag);
    status = model_file_failed(file, model_spent(model, status, diag));
    if (status || file->status)
        *yield = (struct model_yield){NULL, 0};
    return status;
}

/* One list, by offset in the content. */
static enum status model_join(struct model *model,
                              const struct model_yield *yields)
{
    size_t total = 0;
    for (size_t i = 0; i < model->file_count; i++)
        total += yields[i].count;
    if (!total)
        return STATUS_OK;
    model->tensors = malloc(total * sizeof(*model->tensors));
    if (!model->tensors)
        return STATUS_NO_MEMORY;
    for (size_t i = 0; i < model->file_count; i++) {
        for (size_t k = 0; k < yields[i].count; k++) {
            struct tensor *tensor = &model->tensors[model->tensor_count++];
            *tensor = yields[i].tensors[k];
            tensor->offset += model->files[tensor->file].offset;
        }
    }
    model->tensor_count = collect_settle(model->tensors, model->tensor_count);
    return STATUS_OK;
}

static enum status model_read(struct model *model, const struct part_set *set,
                              struct diag *diag)
{
    struct model_yield *yields = calloc(set->count + 1, sizeof(*yields));
    model->files =
        arena_alloc(&model->arena, set->count, sizeof(*model->files));
    enum status status = model->files && yields ? STATUS_OK : STATUS_NO_MEMORY;
    for (size_t i = 0; !status && i < set->count; i++)
        status = model_add_file(model, set, &yields[i], diag);
    if (!status)
        status = model_join(model, yields);
    free(yields);
    return status;
}

enum status model_parse(const struct source *source,
                        const struct model_part *parts, size_t part_count,
                        struct model **out, struct diag *diag)
{
    struct part_set set = {source, parts, part_count};
    enum status status = model_check_parts(source, parts, part_count);
    if (status)
        return status;
    struct model *model = calloc(1, sizeof(*model));
    if (!model)
        return STATUS_NO_MEMORY;
    arena_init(&model->arena, MODEL_ARENA_BUDGET);
    model->size = source->size;
    status = model_read(model, &set, diag);
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
    free(model->tensors);
    free(model);
}

const struct model_file *model_unreadable(const struct model *model)
{
    for (size_t i = 0; i < model->file_count; i++)
        if (model->files[i].status)
            return &model->files[i];
    return NULL;
}
