/* Sorting, overlaps and names. */
#include "codec/model/collect.h"

#include "codec/base/utf8.h"

#include <stdio.h>
#include <stdlib.h>

/* A dimension of one byte in a file takes eight in memory. */
#define COLLECT_TEXT_FACTOR 8u
#define COLLECT_TEXT_EXTRA  65536u
#define COLLECT_TEXT_MAX    ((uint64_t)96 << 20)

void collect_init(struct collect *collect, struct arena *arena,
                  uint64_t file_size, struct diag *diag)
{
    *collect = (struct collect){.arena = arena, .diag = diag};
    collect->text_left = COLLECT_TEXT_MAX;
    if (file_size < COLLECT_TEXT_MAX / COLLECT_TEXT_FACTOR)
        collect->text_left =
            COLLECT_TEXT_FACTOR * file_size + COLLECT_TEXT_EXTRA;
}

/* Bytes of the character at the front, 0 for none or one of control. */
static size_t collect_step(struct bytes text)
{
    bool control = text.data[0] < ' ' || text.data[0] == 0x7f;
    return control ? 0 : utf8_size(text);
}

static void collect_clean(char *name, size_t size)
{
    for (size_t at = 0; at < size;) {
        size_t step = collect_step(bytes_of(name + at, size - at));
        if (!step)
            name[at] = '?';
        at += step ? step : 1;
    }
}

static enum status collect_grow(struct collect *collect)
{
    if (collect->count == COLLECT_TENSORS_MAX)
        return diag_fail(collect->diag, STATUS_LIMIT, "more than %u tensors",
                         COLLECT_TENSORS_MAX);
    if (collect->count < collect->cap)
        return STATUS_OK;
    size_t cap = collect->cap ? 2 * collect->cap : 64;
    struct tensor *items =
        arena_alloc(collect->arena, cap, sizeof(*collect->items));
    if (!items)
        return STATUS_NO_MEMORY;
    if (collect->count)
        memcpy(items, collect->items, collect->count * sizeof(*items));
    collect->items = items;
    collect->cap = cap;
    return STATUS_OK;
}

static enum status collect_charge(struct collect *collect, uint64_t size)
{
    if (size > collect->text_left)
        return diag_fail(collect->diag, STATUS_LIMIT,
                         "names and shapes of tensors take more than the file");
    collect->text_left -= size;
    return STATUS_OK;
}

enum status collect_add(struct collect *collect, struct bytes name,
                        const struct tensor *tensor)
{
    size_t shape_size = tensor->rank * sizeof(uint64_t);
    enum status status = collect_grow(collect);
    if (name.size > COLLECT_NAME_MAX)
        name.size = COLLECT_NAME_MAX;
    if (!status)
        status = collect_charge(collect, name.size + shape_size);
    if (status)
        return status;
    char *copy = arena_text(collect->arena, name.data, name.size);
    uint64_t *shape =
        arena_alloc(collect->arena, tensor->rank, sizeof(uint64_t));
    if (!copy || !shape)
        return STATUS_NO_MEMORY;
    collect_clean(copy, name.size);
    if (shape_size)
        memcpy(shape, tensor->shape, shape_size);
    struct tensor *item = &collect->items[collect->count++];
    *item = *tensor;
    item->name = copy;
    item->name_size = (uint32_t)name.size;
    item->shape = shape;
    return STATUS_OK;
}

enum status collect_add_flat(struct collect *collect, struct bytes name,
                             enum dtype dtype, uint32_t file, uint64_t offset,
                             uint64_t count)
{
    struct tensor tensor = {
        .dtype = dtype,
        .rank = 1,
        .file = file,
        .shape = &count,
        .offset = offset,
    };
    if (tensor_size_of(dtype, &count, 1, &tensor.size))
        return STATUS_INTERNAL;
    return collect_add(collect, name, &tensor);
}

/* Of one offset: empty ones first, then the largest, then by name. */
static int collect_by_offset(const void *a, const void *b)
{
    const struct tensor *x = a, *y = b;
    if (x->offset != y->offset)
        return x->offset < y->offset ? -1 : 1;
    if (!x->size != !y->size)
        return x->size ? 1 : -1;
    if (x->size != y->size)
        return x->size > y->size ? -1 : 1;
    int order = strcmp(x->name, y->name);
    return order ? order : (x->file > y->file) - (x->file < y->file);
}

static int collect_by_file(const void *a, const void *b)
{
    const struct tensor *x = a, *y = b;
    if (x->file != y->file)
        return x->file < y->file ? -1 : 1;
    return collect_by_offset(a, b);
}

/* Keeps each tensor that begins where the ones before it have ended. */
static size_t collect_sweep(struct tensor *tensors, size_t count, bool files)
{
    size_t kept = 0;
    uint64_t end = 0;
    for (size_t i = 0; i < count; i++) {
        if (files && i && tensors[i].file != tensors[i - 1].file)
            end = 0;
        if (tensors[i].offset < end)
            continue;
        end = tensors[i].offset + tensors[i].size;
        tensors[kept++] = tensors[i];
    }
    return kept;
}

size_t collect_settle(struct tensor *tensors, size_t count)
{
    if (count)
        qsort(tensors, count, sizeof(*tensors), collect_by_offset);
    return collect_sweep(tensors, count, false);
}

static int collect_by_name(const void *a, const void *b)
{
    const struct tensor *const *x = a, *const *y = b;
    int order = strcmp((*x)->name, (*y)->name);
    return order ? order : (*x > *y) - (*x < *y);
}

static enum status collect_rename(struct collect *collect,
                                  struct tensor *tensor, size_t number)
{
    char suffix[24];
    size_t size = (size_t)snprintf(suffix, sizeof(suffix), "#%zu", number);
    enum status status = collect_charge(collect, tensor->name_size + size);
    if (status)
        return status;
    char *name = arena_alloc(collect->arena, tensor->name_size + size + 1, 1);
    if (!name)
        return STATUS_NO_MEMORY;
    memcpy(name, tensor->name, tensor->name_size);
    memcpy(name + tensor->name_size, suffix, size);
    tensor->name = name;
    tensor->name_size += (uint32_t)size;
    return STATUS_OK;
}

static enum status collect_names(struct collect *collect,
                                 struct tensor **sorted)
{
    for (size_t i = 0; i < collect->count; i++)
        sorted[i] = &collect->items[i];
    qsort(sorted, collect->count, sizeof(struct tensor *), collect_by_name);
    for (size_t i = 0, first = 0; i < collect->count; i++) {
        if (strcmp(sorted[i]->name, sorted[first]->name))
            first = i;
        if (i == first)
            continue;
        enum status status = collect_rename(collect, sorted[i], i - first + 1);
        if (status)
            return status;
    }
    return STATUS_OK;
}

enum status collect_finish(struct collect *collect)
{
    if (!collect->count)
        return STATUS_OK;
    qsort(collect->items, collect->count, sizeof(*collect->items),
          collect_by_file);
    collect->count = collect_sweep(collect->items, collect->count, true);
    struct tensor **sorted = calloc(collect->count, sizeof(struct tensor *));
    if (!sorted)
        return STATUS_NO_MEMORY;
    enum status status = collect_names(collect, sorted);
    free(sorted);
    return status;
}
