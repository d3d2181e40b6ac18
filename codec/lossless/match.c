/* Matching works on the two lists of tensors; contents are read only where
 * names do not settle it. */
#include "codec/lossless/match.h"

#include "codec/base/hash.h"

#include <stdlib.h>

#define MATCH_READ_SIZE 65536u
/* Smaller tensors are not worth a look at their content. */
#define MATCH_CONTENT_SIZE_MIN 64u

/* Values compared, and tensors tried for one; of a hundred values, a pair with
 * fewer alike is doubted, and one with so many is taken. */
#define MATCH_SAMPLE 256u
#define MATCH_TRIES  256u
#define MATCH_UNLIKE 25u
#define MATCH_ALIKE  50u

/* A tensor of either side while matching. */
struct match_node {
    const struct tensor *tensor;
    struct match_node *other;  /* its counterpart, NULL: none yet */
    const struct tensor *like; /* of its name, in a shape that does not fit */
    struct hash content;
    bool hashed;
};

struct match_side {
    const struct source *source;
    const struct model *model; /* may be NULL */
    struct match_node *nodes;  /* in the order of the model */
    struct match_node **sorted;
    size_t count;
};

struct matcher {
    struct match_side base;
    struct match_side target;
    uint8_t *buf;
    struct match_list *list;
};

static enum status match_side_init(struct match_side *side,
                                   const struct source *source,
                                   const struct model *model)
{
    side->source = source;
    side->model = model;
    side->count = model ? model->tensor_count : 0;
    side->nodes = calloc(side->count + 1, sizeof(*side->nodes));
    side->sorted = calloc(side->count + 1, sizeof(struct match_node *));
    if (!side->nodes || !side->sorted)
        return STATUS_NO_MEMORY;
    for (size_t i = 0; i < side->count; i++) {
        side->nodes[i].tensor = &model->tensors[i];
        side->sorted[i] = &side->nodes[i];
    }
    return STATUS_OK;
}

static int match_compare_name(const struct tensor *a, const struct tensor *b)
{
    uint32_t common = a->name_size < b->name_size ? a->name_size : b->name_size;
    int order = memcmp(a->name, b->name, common);
    if (order)
        return order;
    return (a->name_size > b->name_size) - (a->name_size < b->name_size);
}

static int match_by_name(const void *a, const void *b)
{
    const struct match_node *const *x = a, *const *y = b;
    int order = match_compare_name((*x)->tensor, (*y)->tensor);
    return order ? order : (*x > *y) - (*x < *y);
}

static bool match_same_kind(const struct tensor *a, const struct tensor *b)
{
    return a->dtype == b->dtype && a->size && b->size;
}

/* Equal but for the first dimension. */
static bool match_rows_fit(const struct tensor *a, const struct tensor *b)
{
    if (a->rank != b->rank || !a->rank)
        return false;
    for (uint32_t i = 1; i < a->rank; i++)
        if (a->shape[i] != b->shape[i])
            return false;
    return true;
}

static bool match_fits(const struct tensor *a, const struct tensor *b)
{
    return match_same_kind(a, b) &&
           (a->size == b->size || match_rows_fit(a, b));
}

static void match_pair(struct match_node *target, struct match_node *base)
{
    target->other = base;
    base->other = target;
}

static struct match_node *match_find_name(const struct match_side *side,
                                          const struct tensor *tensor)
{
    size_t low = 0, high = side->count;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (match_compare_name(side->sorted[mid]->tensor, tensor) < 0)
            low = mid + 1;
        else
            high = mid;
    }
    if (low == side->count ||
        match_compare_name(side->sorted[low]->tensor, tensor))
        return NULL;
    return side->sorted[low];
}

/* True when every tensor of both sides found its counterpart. */
static bool match_names(struct matcher *ma)
{
    size_t found = 0;
    qsort(ma->base.sorted, ma->base.count, sizeof(struct match_node *),
          match_by_name);
    for (size_t i = 0; i < ma->target.count; i++) {
        struct match_node *node = &ma->target.nodes[i];
        struct match_node *base = match_find_name(&ma->base, node->tensor);
        if (!base || base->other ||
            !match_same_kind(node->tensor, base->tensor))
            continue;
        if (!match_fits(node->tensor, base->tensor)) {
            node->like = base->tensor;
            continue;
        }
        match_pair(node, base);
        found++;
    }
    return found == ma->target.count && found == ma->base.count;
}

static enum status match_hash(struct matcher *ma, const struct source *source,
                              struct match_node *node)
{
    const struct tensor *tensor = node->tensor;
    struct hash_state st;
    hash_begin(&st, HASH_MISC);
    for (uint64_t at = 0; at < tensor->size;) {
        uint64_t left = tensor->size - at;
        size_t size = left < MATCH_READ_SIZE ? (size_t)left : MATCH_READ_SIZE;
        enum status status =
            source_read(source, tensor->offset + at, ma->buf, size);
        if (status)
            return status;
        hash_add(&st, ma->buf, size);
        at += size;
    }
    hash_end(&st, &node->content);
    node->hashed = true;
    return STATUS_OK;
}

/* By type, size, then content: equal contents are neighbours. */
static int match_by_content(const void *a, const void *b)
{
    const struct match_node *const *x = a, *const *y = b;
    const struct tensor *s = (*x)->tensor, *t = (*y)->tensor;
    if (s->dtype != t->dtype)
        return s->dtype < t->dtype ? -1 : 1;
    if (s->size != t->size)
        return s->size < t->size ? -1 : 1;
    int order = hash_compare(&(*x)->content, &(*y)->content);
    return order ? order : (*x > *y) - (*x < *y);
}

static enum status match_hash_side(struct matcher *ma, struct match_side *side)
{
    for (size_t i = 0; i < side->count; i++) {
        struct match_node *node = &side->nodes[i];
        if (node->tensor->size < MATCH_CONTENT_SIZE_MIN)
            continue;
        enum status status = match_hash(ma, side->source, node);
        if (status)
            return status;
    }
    return STATUS_OK;
}

/* The first base tensor with this type, size and content. */
static struct match_node *match_find_content(const struct match_side *side,
                                             const struct match_node *node)
{
    size_t low = 0, high = side->count;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        struct match_node probe = *side->sorted[mid];
        const struct tensor *s = probe.tensor, *t = node->tensor;
        bool less = s->dtype != t->dtype ? s->dtype < t->dtype
                    : s->size != t->size
                        ? s->size < t->size
                        : hash_compare(&probe.content, &node->content) < 0;
        if (less)
            low = mid + 1;
        else
            high = mid;
    }
    if (low == side->count)
        return NULL;
    struct match_node *found = side->sorted[low];
    bool equal = match_same_kind(found->tensor, node->tensor) &&
                 found->tensor->size == node->tensor->size && found->hashed &&
                 hash_equal(&found->content, &node->content);
    return equal ? found : NULL;
}

/* A layer that moved keeps its content under another name: equal content goes
 * before an equal name whose content differs. A base may serve twice. */
static enum status match_contents_equal(struct matcher *ma)
{
    enum status status = match_hash_side(ma, &ma->base);
    if (!status)
        status = match_hash_side(ma, &ma->target);
    if (status)
        return status;
    qsort(ma->base.sorted, ma->base.count, sizeof(struct match_node *),
          match_by_content);
    for (size_t i = 0; i < ma->target.count; i++) {
        struct match_node *node = &ma->target.nodes[i];
        if (!node->hashed)
            continue;
        if (node->other && node->other->hashed &&
            hash_equal(&node->other->content, &node->content))
            continue;
        struct match_node *base = match_find_content(&ma->base, node);
        if (!base)
            continue;
        if (node->other && node->other->other == node)
            node->other->other = NULL;
        node->other = base;
        if (!base->other)
            base->other = node;
    }
    return STATUS_OK;
}

/* A sample of a float tensor: sign, exponent and three bits of each value. */
static enum status match_sample(const struct source *source,
                                const struct tensor *tensor, uint8_t *buf,
                                uint16_t *out, size_t *count)
{
    size_t width = dtype_bits(tensor->dtype) / 8;
    size_t elems =
        (size_t)(tensor->size / width < MATCH_SAMPLE ? tensor->size / width
                                                     : MATCH_SAMPLE);
    uint64_t first = (tensor->size / width - elems) / 2;
    enum status status =
        source_read(source, tensor->offset + first * width, buf, elems * width);
    unsigned drop = tensor->dtype == DTYPE_F64   ? 1
                    : tensor->dtype == DTYPE_F16 ? 7
                                                 : 4;
    for (size_t i = 0; !status && i < elems; i++)
        out[i] = (uint16_t)(load_le16(buf + i * width + width - 2) >> drop);
    *count = elems;
    return status;
}

/* Values of a hundred that are about the same in both. */
static unsigned match_alike(const uint16_t *a, const uint16_t *b, size_t count)
{
    size_t alike = 0;
    for (size_t i = 0; i < count; i++)
        alike += a[i] == b[i];
    return count ? (unsigned)(100 * alike / count) : 0;
}

static bool match_comparable(const struct tensor *tensor)
{
    return dtype_is_float(tensor->dtype) &&
           tensor->size >= MATCH_CONTENT_SIZE_MIN;
}

/* Looks for the base tensor that is most like this one, the ones after the
 * last that was found first. */
static enum status match_find_like(struct matcher *ma, struct match_node *node,
                                   unsigned enough, size_t *from)
{
    uint16_t mine[MATCH_SAMPLE], theirs[MATCH_SAMPLE];
    struct match_node *best = NULL;
    size_t count = 0, tries = 0;
    enum status status =
        match_sample(ma->target.source, node->tensor, ma->buf, mine, &count);
    for (size_t i = 0; !status && i < ma->base.count && tries < MATCH_TRIES;
         i++) {
        struct match_node *base = &ma->base.nodes[(*from + i) % ma->base.count];
        if (base->tensor->dtype != node->tensor->dtype ||
            !tensor_same_shape(base->tensor, node->tensor))
            continue;
        tries++;
        status = match_sample(ma->base.source, base->tensor, ma->buf, theirs,
                              &count);
        unsigned alike = match_alike(mine, theirs, count);
        if (status || alike < enough)
            continue;
        enough = alike + 1;
        best = base;
    }
    if (!best || status)
        return status;
    *from = (size_t)(best - ma->base.nodes) + 1;
    if (node->other && node->other->other == node)
        node->other->other = NULL;
    node->other = best;
    if (!best->other)
        best->other = node;
    return STATUS_OK;
}

/* How much a tensor is like its counterpart; 0 without one. */
static enum status match_pair_alike(struct matcher *ma,
                                    const struct match_node *node,
                                    unsigned *alike)
{
    uint16_t a[MATCH_SAMPLE], b[MATCH_SAMPLE];
    size_t count = 0, other = 0;
    *alike = 0;
    if (!node->other)
        return STATUS_OK;
    enum status status =
        match_sample(ma->target.source, node->tensor, ma->buf, a, &count);
    if (!status)
        status = match_sample(ma->base.source, node->other->tensor, ma->buf, b,
                              &other);
    /* Grown ones are sampled at other rows: their name must do. */
    *alike = count == other && node->other->tensor->size == node->tensor->size
                 ? match_alike(a, b, count)
                 : 100;
    return status;
}

/* Where layers were inserted, removed or renamed, a name may mean another
 * layer than before: values tell. */
static enum status match_values_alike(struct matcher *ma)
{
    size_t from = 0;
    for (size_t i = 0; i < ma->target.count; i++) {
        struct match_node *node = &ma->target.nodes[i];
        unsigned alike;
        if (!match_comparable(node->tensor))
            continue;
        enum status status = match_pair_alike(ma, node, &alike);
        if (!status && alike < MATCH_UNLIKE)
            status = match_find_like(ma, node, MATCH_ALIKE, &from);
        if (status)
            return status;
    }
    return STATUS_OK;
}

/* What is left is paired with what is left of the same type and shape, in
 * order: a renamed layer that was trained on. */
static void match_shapes(struct matcher *ma)
{
    size_t from = 0;
    for (size_t i = 0; i < ma->target.count; i++) {
        struct match_node *node = &ma->target.nodes[i];
        if (node->other)
            continue;
        for (size_t tries = 0; tries < ma->base.count && tries < 4096;
             tries++) {
            size_t j = (from + tries) % ma->base.count;
            struct match_node *base = &ma->base.nodes[j];
            if (base->other || !match_same_kind(node->tensor, base->tensor) ||
                !tensor_same_shape(node->tensor, base->tensor))
                continue;
            match_pair(node, base);
            from = j + 1;
            break;
        }
    }
}

static enum status match_add(struct matcher *ma, struct match match)
{
    struct match_list *list = ma->list;
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

static enum status match_add_tensor(struct matcher *ma,
                                    const struct match_node *node)
{
    const struct tensor *tensor = node->tensor;
    const struct tensor *base = node->other ? node->other->tensor : NULL;
    struct match old = {.target_offset = tensor->offset, .tensor = tensor};
    struct match new = {.tensor = tensor};
    if (base) {
        old.size = base->size < tensor->size ? base->size : tensor->size;
        old.base_offset = base->offset;
        old.base_size = old.size;
    }
    new.target_offset = tensor->offset + old.size;
    new.size = tensor->size - old.size;
    if (!base && node->like) {
        new.base_offset = node->like->offset;
        new.base_size = node->like->size;
    }
    enum status status = match_add(ma, old);
    return status ? status : match_add(ma, new);
}

/* The index-th stretch of a file that belongs to no tensor. */
static struct match match_gap_of(const struct match_side *side, size_t file,
                                 size_t index)
{
    struct match gap = {0};
    if (!side->source)
        return gap;
    if (!side->model) {
        gap.base_size = index || file ? 0 : side->source->size;
        return gap;
    }
    if (file >= side->model->file_count)
        return gap;
    const struct model_file *f = &side->model->files[file];
    uint64_t at = f->offset, end = f->offset + f->size;
    for (size_t i = 0; i < side->count; i++) {
        const struct tensor *tensor = side->nodes[i].tensor;
        if (tensor->file != file)
            continue;
        if (tensor->offset > at && !index--)
            return (struct match){.base_offset = at,
                                  .base_size = tensor->offset - at};
        at = tensor->offset + tensor->size;
    }
    if (end > at && !index)
        return (struct match){.base_offset = at, .base_size = end - at};
    return gap;
}

/* The base file that corresponds to a file of the target: the one of the same
 * path, else the one at the same place. */
static size_t match_file_of(const struct matcher *ma, size_t file)
{
    const struct model *base = ma->base.model, *target = ma->target.model;
    if (!base || !target || base->file_count == 1)
        return file;
    for (size_t i = 0; i < base->file_count; i++)
        if (!strcmp(base->files[i].path, target->files[file].path))
            return i;
    return file;
}

static enum status match_add_gap(struct matcher *ma, size_t file, size_t index,
                                 uint64_t from, uint64_t to)
{
    struct match gap = match_gap_of(&ma->base, match_file_of(ma, file), index);
    gap.target_offset = from;
    gap.size = to - from;
    return match_add(ma, gap);
}

static enum status match_add_file(struct matcher *ma, size_t file, size_t *next)
{
    const struct model_file *f = &ma->target.model->files[file];
    uint64_t at = f->offset, end = f->offset + f->size;
    size_t gaps = 0;
    enum status status = STATUS_OK;
    for (; !status && *next < ma->target.count; (*next)++) {
        const struct match_node *node = &ma->target.nodes[*next];
        if (node->tensor->file != file)
            break;
        if (node->tensor->offset > at)
            status = match_add_gap(ma, file, gaps++, at, node->tensor->offset);
        if (!status)
            status = match_add_tensor(ma, node);
        at = node->tensor->offset + node->tensor->size;
    }
    if (!status && end > at)
        status = match_add_gap(ma, file, gaps, at, end);
    return status;
}

static enum status match_assemble(struct matcher *ma)
{
    size_t next = 0;
    if (!ma->target.model)
        return match_add_gap(ma, 0, 0, 0, ma->target.source->size);
    for (size_t i = 0; i < ma->target.model->file_count; i++) {
        enum status status = match_add_file(ma, i, &next);
        if (status)
            return status;
    }
    return STATUS_OK;
}

static enum status match_run(struct matcher *ma)
{
    if (ma->base.count && ma->target.count && !match_names(ma)) {
        enum status status = match_contents_equal(ma);
        if (!status)
            status = match_values_alike(ma);
        if (status)
            return status;
        match_shapes(ma);
    }
    return match_assemble(ma);
}

enum status match_contents(const struct source *base,
                           const struct model *base_model,
                           const struct source *target,
                           const struct model *target_model,
                           struct match_list *out)
{
    struct matcher ma = {.list = out};
    *out = (struct match_list){0};
    ma.buf = malloc(MATCH_READ_SIZE);
    enum status status = ma.buf ? STATUS_OK : STATUS_NO_MEMORY;
    if (!status)
        status = match_side_init(&ma.base, base, base ? base_model : NULL);
    if (!status)
        status = match_side_init(&ma.target, target, target_model);
    if (!status)
        status = match_run(&ma);
    free(ma.base.nodes);
    free(ma.base.sorted);
    free(ma.target.nodes);
    free(ma.target.sorted);
    free(ma.buf);
    if (status)
        match_list_free(out);
    return status;
}

void match_list_free(struct match_list *list)
{
    free(list->items);
    *list = (struct match_list){0};
}
