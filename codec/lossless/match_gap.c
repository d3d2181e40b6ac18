/* What is no tensor: the stretches of the base's files before, between and
 * behind tensors, each found by what it lies next to. */
#include "codec/lossless/match_node.h"

#include <stdlib.h>

static enum status match_gap_add(struct match_gaps *gaps, uint64_t from,
                                 uint64_t to)
{
    if (gaps->count == gaps->cap) {
        size_t cap = gaps->cap ? 2 * gaps->cap : 64;
        struct match_gap *items = realloc(gaps->items, cap * sizeof(*items));
        if (!items)
            return STATUS_NO_MEMORY;
        gaps->items = items;
        gaps->cap = cap;
    }
    gaps->items[gaps->count++] = (struct match_gap){from, to - from};
    return STATUS_OK;
}

static enum status match_gaps_of_file(struct match_gaps *gaps,
                                      struct match_side *side, size_t file,
                                      size_t *next)
{
    const struct model_file *f = &side->model->files[file];
    uint64_t at = f->offset, end = f->offset + f->size;
    enum status status = STATUS_OK;
    gaps->first[file] = gaps->count;
    for (; !status && *next < side->count; (*next)++) {
        struct match_node *node = &side->nodes[*next];
        if (node->tensor->file != file)
            break;
        node->gap = SIZE_MAX;
        if (node->tensor->offset > at) {
            node->gap = gaps->count;
            status = match_gap_add(gaps, at, node->tensor->offset);
        }
        at = node->tensor->offset + node->tensor->size;
    }
    if (!status && end > at)
        status = match_gap_add(gaps, at, end);
    return status;
}

enum status match_gaps_init(struct match_gaps *gaps, struct match_side *side)
{
    size_t files = side->source ? 1 : 0, next = 0;
    if (side->source && side->model)
        files = side->model->file_count;
    gaps->file_count = files;
    gaps->first = calloc(files + 1, sizeof(*gaps->first));
    if (!gaps->first)
        return STATUS_NO_MEMORY;
    enum status status = STATUS_OK;
    if (files && !side->model && side->source->size)
        status = match_gap_add(gaps, 0, side->source->size);
    for (size_t i = 0; !status && side->model && i < files; i++)
        status = match_gaps_of_file(gaps, side, i, &next);
    gaps->first[files] = gaps->count;
    return status;
}

void match_gaps_deinit(struct match_gaps *gaps)
{
    free(gaps->items);
    free(gaps->first);
}

size_t match_gap_file(const struct matcher *ma, size_t file)
{
    const struct model *base = ma->base.model, *target = ma->target.model;
    for (size_t i = 0; base && target && i < base->file_count; i++)
        if (!strcmp(base->files[i].path, target->files[file].path))
            return i;
    size_t count = ma->gaps.file_count;
    return file < count || !count ? file : count - 1;
}

/* The gap's index, SIZE_MAX for none: the first of a file for its first; the
 * last for its last; the one before the counterpart of the tensor that follows;
 * else that of the same number. */
static size_t match_gap_find(const struct match_gaps *gaps, size_t file,
                             const struct match_place *place)
{
    if (file >= gaps->file_count || gaps->first[file] == gaps->first[file + 1])
        return SIZE_MAX;
    size_t first = gaps->first[file], end = gaps->first[file + 1];
    const struct match_node *next = place->next;
    if (place->starts)
        return first;
    if (!next)
        return end - 1;
    if (next->other && next->other->gap != SIZE_MAX)
        return next->other->gap;
    return place->index < end - first ? first + place->index : SIZE_MAX;
}

struct match match_gap_match(const struct matcher *ma, size_t file,
                             const struct match_place *place)
{
    size_t found = match_gap_find(&ma->gaps, file, place);
    struct match match = {.target_offset = place->from,
                          .size = place->to - place->from};
    if (found == SIZE_MAX)
        return match;
    match.base_offset = ma->gaps.items[found].offset;
    match.base_size = ma->gaps.items[found].size;
    match.like = match.base_size != match.size;
    return match;
}
