/* Matching works on the two lists of tensors; contents are read only where
 * names and shapes do not settle it. */
#include "codec/lossless/match_node.h"

#include <stdlib.h>

/* Elements that are no whole bytes are looked at as a row of bytes. */
static void match_node_shape(struct match_node *node)
{
    const struct tensor *t = node->tensor;
    unsigned bits = dtype_bits(t->dtype);
    node->width = bits % 8 || bits > 64 ? 1 : bits / 8;
    if (node->width * 8 != bits) {
        node->rank = 1;
        node->dims[0] = node->rows = node->elem_count = t->size;
        node->columns = t->size ? 1 : 0;
        return;
    }
    node->elem_count = tensor_elem_count(t);
    for (uint32_t i = 0; i < t->rank; i++) {
        if (t->shape[i] == 1)
            continue;
        if (node->rank < MATCH_RANK_MAX)
            node->dims[node->rank++] = t->shape[i];
        else
            node->dims[MATCH_RANK_MAX - 1] *= t->shape[i];
    }
    node->rows = node->rank ? node->dims[0] : 1;
    node->columns = node->elem_count && node->rows
                        ? node->elem_count / node->rows
                        : node->rows;
}

static enum status match_side_init(struct match_side *side,
                                   const struct source *source,
                                   const struct model *model)
{
    side->source = source;
    side->model = model;
    side->count = model ? model->tensor_count : 0;
    side->nodes = calloc(side->count + 1, sizeof(*side->nodes));
    side->sorted = calloc(side->count + 1, sizeof(struct match_node *));
    if (!side->nodes || !side->sorted) {
        side->count = 0;
        return STATUS_NO_MEMORY;
    }
    for (size_t i = 0; i < side->count; i++) {
        side->nodes[i].tensor = &model->tensors[i];
        side->sorted[i] = &side->nodes[i];
        match_node_shape(&side->nodes[i]);
    }
    return STATUS_OK;
}

static void match_side_deinit(struct match_side *side)
{
    for (size_t i = 0; i < side->count; i++) {
        free(side->nodes[i].sketch);
        match_list_free(&side->nodes[i].pieces);
    }
    free(side->nodes);
    free(side->sorted);
}

/* Each target tensor and the base tensor of its name. True when that settles
 * all of both sides. */
static bool match_names(struct matcher *ma)
{
    size_t found = 0;
    match_names_sort(&ma->base);
    for (size_t i = 0; i < ma->target.count; i++) {
        struct match_node *node = &ma->target.nodes[i];
        struct match_node *base = match_find_name(&ma->base, node->tensor->name,
                                                  node->tensor->name_size);
        if (!base || !match_kinds_fit(node, base))
            continue;
        if (node->rows == base->rows && node->columns == base->columns) {
            match_pair(node, base, MATCH_BY_NAME);
            found++;
            continue;
        }
        node->partner = base;
        node->partner_named = true;
    }
    return found == ma->target.count && found == ma->base.count;
}

/* The last word of a name. */
static bool match_same_word(const struct tensor *a, const struct tensor *b)
{
    uint32_t n = 0;
    while (n < a->name_size && n < b->name_size) {
        char c = a->name[a->name_size - 1 - n];
        if (c != b->name[b->name_size - 1 - n])
            return false;
        if (c == '.' || c == '/' || c == '_')
            return true;
        n++;
    }
    return n == a->name_size || n == b->name_size;
}

static bool match_may_follow(const struct match_node *node,
                             const struct match_node *base, bool same_word)
{
    return !base->claimed && !base->used && match_kinds_fit(node, base) &&
           base->rows == node->rows && base->columns == node->columns &&
           (same_word ? match_same_word(node->tensor, base->tensor)
                      : !match_sketches_apart(node, base));
}

/* What is left is paired with what is left of the same type and shape, in
 * order: a renamed layer that was trained on. */
static void match_in_order(struct matcher *ma, bool same_word)
{
    size_t from = 0;
    for (size_t i = 0; i < ma->target.count; i++) {
        struct match_node *node = &ma->target.nodes[i];
        if (node->other || node->pieces.count)
            continue;
        for (size_t tries = 0; tries < ma->base.count && tries < 4096;
             tries++) {
            size_t j = (from + tries) % ma->base.count;
            if (!match_may_follow(node, &ma->base.nodes[j], same_word))
                continue;
            match_pair(node, &ma->base.nodes[j], MATCH_BY_ORDER);
            node->other->claimed = true;
            from = j + 1;
            break;
        }
    }
}

static void match_claim(struct matcher *ma)
{
    for (size_t i = 0; i < ma->target.count; i++)
        if (ma->target.nodes[i].other)
            ma->target.nodes[i].other->claimed = true;
}

void match_count_pieces(struct matcher *ma, struct match_node *node)
{
    size_t pieces = ma->piece_count + node->pieces.count;
    size_t runs = ma->run_count;
    for (size_t i = 0; i < node->pieces.count; i++)
        runs += node->pieces.items[i].run_count;
    if (pieces > MATCH_PIECES_MAX || runs > MATCH_RUNS_MAX) {
        match_list_free(&node->pieces);
        return;
    }
    ma->piece_count = pieces;
    ma->run_count = runs;
}

enum status match_list_add(struct match_list *list, struct match match)
{
    if (!match.size)
        return STATUS_OK;
    if (list->count == list->cap) {
        size_t cap = list->cap ? 2 * list->cap : 64;
        struct match *items = realloc(list->items, cap * sizeof(*items));
        if (!items)
            return STATUS_NO_MEMORY;
        list->items = items;
        list->cap = cap;
    }
    list->items[list->count++] = match;
    return STATUS_OK;
}

/* A range of a tensor that has no place in the base. */
static enum status match_add_bare(struct matcher *ma,
                                  const struct match_node *node, uint64_t from,
                                  uint64_t to)
{
    struct match match = {
        .target_offset = from, .size = to - from, .tensor = node->tensor};
    const struct match_node *like = node->partner;
    if (like && !node->pieces.count &&
        like->tensor->dtype == node->tensor->dtype) {
        match.base_offset = like->tensor->offset;
        match.base_size = like->tensor->size;
        match.base_dtype = like->tensor->dtype;
        match.like = true;
    }
    return match_list_add(ma->list, match);
}

/* A tensor as large as its counterpart. */
static enum status match_add_whole(struct matcher *ma,
                                   const struct match_node *node)
{
    const struct tensor *tensor = node->tensor, *base = node->other->tensor;
    struct match match = {
        .target_offset = tensor->offset,
        .size = tensor->size,
        .tensor = tensor,
        .base_offset = base->offset,
        .base_size = base->size,
        .base_dtype = base->dtype,
    };
    if (node->turned) {
        struct gather gather;
        uint64_t reach;
        match.columns = (uint32_t)node->columns;
        match.base_stride = (uint32_t)node->rows;
        match.transposed = true;
        gather = match_gather(&match);
        if (node->rows > UINT32_MAX || node->columns > UINT32_MAX ||
            gather_check(&gather, node->elem_count, ma->base.source->size,
                         &reach))
            return match_add_bare(ma, node, tensor->offset,
                                  tensor->offset + tensor->size);
    }
    return match_list_add(ma->list, match);
}

static enum status match_add_tensor(struct matcher *ma, struct match_node *node)
{
    uint64_t at = node->tensor->offset, end = at + node->tensor->size;
    if (node->other)
        return match_add_whole(ma, node);
    for (size_t i = 0; i < node->pieces.count; i++) {
        struct match *piece = &node->pieces.items[i];
        uint64_t from = piece->target_offset;
        enum status status = match_add_bare(ma, node, at, from);
        if (!status)
            status = match_list_add(ma->list, *piece);
        if (status)
            return status;
        piece->runs = NULL; /* the list's now */
        at = from + piece->size;
    }
    return match_add_bare(ma, node, at, end);
}

static enum status match_add_file(struct matcher *ma, size_t file, size_t *next)
{
    const struct model_file *f = &ma->target.model->files[file];
    struct match_place gap = {.from = f->offset, .starts = true};
    size_t base_file = match_gap_file(ma, file);
    enum status status = STATUS_OK;
    for (; !status && *next < ma->target.count; (*next)++) {
        struct match_node *node = &ma->target.nodes[*next];
        if (node->tensor->file != file)
            break;
        gap.to = node->tensor->offset;
        gap.next = node;
        if (gap.to > gap.from) {
            status =
                match_list_add(ma->list, match_gap_match(ma, base_file, &gap));
            gap.index++;
        }
        if (!status)
            status = match_add_tensor(ma, node);
        gap.from = node->tensor->offset + node->tensor->size;
        gap.starts = false;
    }
    gap.to = f->offset + f->size;
    gap.next = NULL;
    if (!status && gap.to > gap.from)
        status = match_list_add(ma->list, match_gap_match(ma, base_file, &gap));
    return status;
}

static enum status match_assemble(struct matcher *ma)
{
    size_t next = 0;
    enum status status = match_gaps_init(&ma->gaps, &ma->base);
    if (status)
        return status;
    if (!ma->target.model) {
        struct match_place all = {.to = ma->target.source->size,
                                  .starts = true};
        return match_list_add(ma->list, match_gap_match(ma, 0, &all));
    }
    for (size_t i = 0; !status && i < ma->target.model->file_count; i++)
        status = match_add_file(ma, i, &next);
    return status;
}

/* From what is certain to what is merely likely. */
static enum status match_tensors(struct matcher *ma)
{
    if (!ma->base.count || !ma->target.count || match_names(ma))
        return STATUS_OK;
    match_names_loosely(ma);
    enum status status = match_by_sketch(ma);
    if (!status)
        status = match_places(ma);
    if (!status)
        status = match_shapes_differ(ma, false);
    if (!status)
        status = match_pieces(ma);
    if (!status) {
        match_neighbours(ma);
        status = match_shapes_differ(ma, true);
    }
    if (status)
        return status;
    match_claim(ma);
    match_in_order(ma, true);
    match_in_order(ma, false);
    return STATUS_OK;
}

enum status match_contents(const struct source *base,
                           const struct model *base_model,
                           const struct source *target,
                           const struct model *target_model,
                           struct match_list *out)
{
    struct matcher ma = {.list = out};
    *out = (struct match_list){0};
    ma.buf = malloc(MATCH_BUFFER_SIZE);
    enum status status = ma.buf ? STATUS_OK : STATUS_NO_MEMORY;
    if (!status)
        status = match_side_init(&ma.base, base, base ? base_model : NULL);
    if (!status)
        status = match_side_init(&ma.target, target, target_model);
    if (!status)
        status = match_tensors(&ma);
    if (!status)
        status = match_assemble(&ma);
    if (!status)
        status = match_copies(&ma);
    match_gaps_deinit(&ma.gaps);
    match_side_deinit(&ma.base);
    match_side_deinit(&ma.target);
    for (uint32_t i = 0; i < ma.map_count; i++)
        free(ma.maps[i].at);
    free(ma.buf);
    if (status)
        match_list_free(out);
    return status;
}

void match_list_free(struct match_list *list)
{
    for (size_t i = 0; i < list->count; i++)
        free(list->items[i].runs);
    free(list->items);
    *list = (struct match_list){0};
}

struct match match_flat(const struct match *match)
{
    struct match flat = *match;
    flat.columns = flat.base_stride = flat.run_count = 0;
    flat.runs = NULL;
    flat.transposed = false;
    if (!match->base_size || match->like || match_is_plain(match))
        return flat;
    flat.like = match->base_dtype == match->tensor->dtype;
    if (!flat.like)
        flat.base_offset = flat.base_size = 0;
    return flat;
}

struct gather match_gather(const struct match *match)
{
    unsigned bits = match->tensor ? dtype_bits(match->base_dtype) : 8;
    return (struct gather){
        .base_offset = match->base_offset,
        .elem_bytes = bits % 8 || bits > 64 ? 1 : bits / 8,
        .columns = match->columns,
        .base_stride = match->base_stride,
        .run_count = match->run_count,
        .runs = match->runs,
        .transposed = match->transposed,
    };
}

enum status match_gather_read(const struct match *match,
                              const struct source *base, uint64_t first,
                              size_t count, uint8_t *out)
{
    struct gather gather = match_gather(match);
    return gather_read(&gather, base, first, count, out);
}
