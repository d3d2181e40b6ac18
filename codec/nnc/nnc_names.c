#include "codec/nnc/nnc_names.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NAMES_BUDGET ((size_t)256 << 20)
#define NAMES_ROUNDS 8u

static int by_name(const void *a, const void *b, void *ctx)
{
    const struct nnc_names *names = ctx;
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    int order = strcmp(names->name[x], names->name[y]);
    return order ? order : (x > y) - (x < y);
}

static void sort_names(struct nnc_names *names)
{
    qsort_r(names->order, names->count, sizeof(*names->order), by_name, names);
}

/* Gives the second and later of equal names a number. True: there were some.
 * Names are read where they were sorted, and changed after that. */
static enum status tell_apart(struct nnc_names *names, bool *changed)
{
    const char *first = NULL;
    unsigned nth = 1;
    *changed = false;
    for (size_t i = 0; i < names->count; i++) {
        uint32_t index = names->order[i];
        if (!first || strcmp(first, names->name[index])) {
            first = names->name[index];
            nth = 1;
            continue;
        }
        size_t size = strlen(first);
        char *made = arena_alloc(&names->arena, size + 16, 1);
        if (!made)
            return STATUS_NO_MEMORY;
        snprintf(made, size + 16, "%s#%u", first, ++nth);
        names->name[index] = made;
        *changed = true;
    }
    return STATUS_OK;
}

enum status nnc_names_init(struct nnc_names *names, const char *const *text,
                           size_t count)
{
    bool changed = true;
    memset(names, 0, sizeof(*names));
    if (count > UINT32_MAX)
        return STATUS_LIMIT;
    arena_init(&names->arena, NAMES_BUDGET);
    names->count = count;
    names->name = arena_alloc(&names->arena, count, sizeof(*names->name));
    names->order = arena_alloc(&names->arena, count, sizeof(*names->order));
    enum status status =
        names->name && names->order ? STATUS_OK : STATUS_NO_MEMORY;
    for (size_t i = 0; !status && i < count; i++) {
        names->name[i] = text[i];
        names->order[i] = (uint32_t)i;
    }
    for (unsigned i = 0; !status && changed && i < NAMES_ROUNDS; i++) {
        sort_names(names);
        status = tell_apart(names, &changed);
    }
    if (!status && changed)
        status = STATUS_LIMIT;
    if (status)
        nnc_names_deinit(names);
    return status;
}

enum status nnc_names_of_model(struct nnc_names *names,
                               const struct model *model)
{
    const char **text = calloc(model->tensor_count + 1, sizeof(*text));
    memset(names, 0, sizeof(*names));
    if (!text)
        return STATUS_NO_MEMORY;
    for (size_t i = 0; i < model->tensor_count; i++)
        text[i] = model->tensors[i].name;
    enum status status = nnc_names_init(names, text, model->tensor_count);
    free(text);
    return status;
}

void nnc_names_deinit(struct nnc_names *names)
{
    arena_deinit(&names->arena);
    memset(names, 0, sizeof(*names));
}

bool nnc_names_find(const struct nnc_names *names, const char *name,
                    size_t *index)
{
    size_t low = 0, high = names->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = strcmp(names->name[names->order[middle]], name);
        if (!order) {
            *index = names->order[middle];
            return true;
        }
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return false;
}
