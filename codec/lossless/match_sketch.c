/* A sketch is a square of values from the middle of a tensor: the same values
 * when the tensor is transposed, moved, renamed or cast, about the same when it
 * was trained on. Sketches are read when first needed, once for each tensor. */
#include "codec/lossless/match_node.h"

#include <math.h>
#include <stdlib.h>

/* Tensors tried for one. */
#define MATCH_TRIES        512u
#define MATCH_TRIES_SCALED 64u
/* A pair by name is kept, or another one preferred, from this correlation on;
 * chance is left out from so many standard deviations on. */
#define MATCH_ALIKE   0.5f
#define MATCH_CERTAIN 0.98f
#define MATCH_Z       4.5f
/* Mean correlation of rows by themselves, chance being 0.3, and its worth. */
#define MATCH_SCALED       0.85f
#define MATCH_SCALED_WORTH 0.9f

/* The sides of the square; of a narrow matrix a longer rectangle. */
static void match_sketch_shape(const struct match_node *node, uint64_t *rows,
                               uint64_t *columns)
{
    uint64_t side = MATCH_SKETCH_SIDE, most = MATCH_SKETCH_MAX;
    *rows = node->rows < side ? node->rows : side;
    *columns = node->columns < side ? node->columns : side;
    if (*columns < side)
        *rows = node->rows < most / *columns ? node->rows : most / *columns;
    else if (*rows < side)
        *columns = node->columns < most / *rows ? node->columns : most / *rows;
}

static bool match_varied(const float *v, size_t count)
{
    size_t changes = 0;
    for (size_t i = 1; i < count; i++)
        changes += v[i] != v[i - 1];
    return count >= 8 && changes >= 4;
}

static enum status match_sketch(struct matcher *ma,
                                const struct match_side *side,
                                struct match_node *node)
{
    uint64_t rows, columns;
    enum status status = STATUS_OK;
    if (node->sketch || !node->elem_count)
        return STATUS_OK;
    match_sketch_shape(node, &rows, &columns);
    node->sketch = malloc((size_t)(rows * columns) * sizeof(float));
    if (!node->sketch)
        return STATUS_NO_MEMORY;
    node->sketch_count = (uint32_t)(rows * columns);
    uint64_t first =
        (node->rows - rows) / 2 * node->columns + (node->columns - columns) / 2;
    if (columns == node->columns) {
        columns *= rows;
        rows = 1;
    }
    for (uint64_t i = 0; !status && i < rows; i++)
        status = match_values(ma, side, node, first + i * node->columns,
                              (size_t)columns, node->sketch + i * columns);
    node->varied = match_varied(node->sketch, node->sketch_count);
    node->sketch_norm =
        match_normalise(node->sketch, node->sketch_count, &node->sketch_mean);
    return status;
}

/* A sketch as that of the transpose. */
static void match_turn_sketch(const struct match_node *node, float *out)
{
    uint64_t rows, columns;
    match_sketch_shape(node, &rows, &columns);
    for (uint64_t i = 0; i < rows; i++)
        for (uint64_t j = 0; j < columns; j++)
            out[j * rows + i] = node->sketch[i * columns + j];
}

/* Rows that were multiplied by numbers of their own, as when a normalisation is
 * folded into the layer before: about as good as a correlation that much lower;
 * 0 when it is no such case. */
static float match_rows_scaled(const struct match_node *a, const float *v,
                               const float *w)
{
    uint64_t rows, columns;
    float sum = 0;
    match_sketch_shape(a, &rows, &columns);
    if (rows < 4 || columns < 6)
        return 0;
    for (uint64_t i = 0; i < rows; i++)
        sum += fabsf(
            match_corr(v + i * columns, w + i * columns, (size_t)columns));
    sum /= (float)rows;
    return sum > MATCH_SCALED ? MATCH_SCALED_WORTH * sum : 0;
}

static bool match_comparable(const struct match_node *a,
                             const struct match_node *b)
{
    return a->sketch_count == b->sketch_count && a->varied && b->varied;
}

/* Correlation of a sketch, which is a's or that of its transpose, with b's; or
 * of its rows when each may be scaled. */
static float match_alike(const struct match_node *a, const float *sketch,
                         const struct match_node *b, bool scaled)
{
    if (!match_comparable(a, b))
        return 0;
    return scaled ? match_rows_scaled(a, sketch, b->sketch)
                  : match_dot(sketch, b->sketch, a->sketch_count);
}

static bool match_good(float corr, size_t count)
{
    return corr >= MATCH_ALIKE && match_beyond_chance(corr, count, MATCH_Z);
}

bool match_sketches_apart(const struct match_node *a,
                          const struct match_node *b)
{
    if (!match_comparable(a, b))
        return false;
    float n = (float)a->sketch_count;
    float mean = a->sketch_mean - b->sketch_mean;
    float corr = match_dot(a->sketch, b->sketch, a->sketch_count);
    float all =
        a->sketch_norm * a->sketch_norm + n * a->sketch_mean * a->sketch_mean;
    float left = a->sketch_norm * a->sketch_norm +
                 b->sketch_norm * b->sketch_norm -
                 2 * corr * a->sketch_norm * b->sketch_norm + n * mean * mean;
    return left > all;
}

static enum status match_check_name(struct matcher *ma, struct match_node *node)
{
    enum status status = match_sketch(ma, &ma->target, node);
    if (!status)
        status = match_sketch(ma, &ma->base, node->other);
    if (status)
        return status;
    if (match_good(match_alike(node, node->sketch, node->other, false),
                   node->sketch_count) ||
        match_good(match_alike(node, node->sketch, node->other, true),
                   node->sketch_count))
        match_pair(node, node->other, MATCH_BY_VALUES);
    return STATUS_OK;
}

/* By shape, then by place in the base. */
static int match_by_shape(const void *a, const void *b)
{
    const struct match_node *const *x = a, *const *y = b;
    if ((*x)->rows != (*y)->rows)
        return (*x)->rows < (*y)->rows ? -1 : 1;
    if ((*x)->columns != (*y)->columns)
        return (*x)->columns < (*y)->columns ? -1 : 1;
    return (*x > *y) - (*x < *y);
}

/* The first of the base, in that order, that is not before a shape and place.
 */
static size_t match_find_shape(const struct match_side *base, uint64_t rows,
                               uint64_t columns, const struct match_node *from)
{
    size_t low = 0, high = base->count;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        const struct match_node *node = base->sorted[mid];
        bool before = node->rows != rows         ? node->rows < rows
                      : node->columns != columns ? node->columns < columns
                                                 : node < from;
        if (before)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

/* The best counterpart so far. */
struct match_best {
    struct match_node *node;
    float corr;
    float rank; /* corr, more for one that is free */
    bool turned;
};

/* How a tensor is looked at while its counterpart is sought. */
struct match_look {
    const struct match_node *node;
    const float *sketch;
    bool turned;
    bool scaled;
};

static enum status match_try(struct matcher *ma, const struct match_look *look,
                             struct match_node *base, struct match_best *best)
{
    enum status status = match_sketch(ma, &ma->base, base);
    if (status)
        return status;
    float corr = match_alike(look->node, look->sketch, base, look->scaled);
    float rank = corr + (base->claimed ? 0 : 0.01f);
    if (rank <= best->rank || !match_good(corr, look->node->sketch_count))
        return STATUS_OK;
    *best = (struct match_best){base, corr, rank, look->turned};
    return STATUS_OK;
}

/* Tries the base tensors of a shape, those first that follow the place where
 * the last one was found. */
static enum status match_try_shape(struct matcher *ma,
                                   const struct match_look *look,
                                   const struct match_node *from,
                                   struct match_best *best)
{
    const struct match_node *node = look->node;
    uint64_t rows = look->turned ? node->columns : node->rows;
    uint64_t columns = look->turned ? node->rows : node->columns;
    const struct match_side *side = &ma->base;
    size_t tries = look->scaled ? MATCH_TRIES_SCALED : MATCH_TRIES;
    size_t first = match_find_shape(side, rows, columns, side->nodes);
    size_t start = match_find_shape(side, rows, columns, from) - first;
    size_t count =
        match_find_shape(side, rows, columns, side->nodes + side->count) -
        first;
    for (size_t i = 0; i < count && i < tries; i++) {
        struct match_node *base = side->sorted[first + (start + i) % count];
        if (!match_kinds_fit(node, base) || (look->turned && base->rank != 2))
            continue;
        enum status status = match_try(ma, look, base, best);
        if (status)
            return status;
        if (best->rank > MATCH_CERTAIN + 0.01f)
            break;
    }
    return STATUS_OK;
}

static enum status match_search(struct matcher *ma, struct match_node *node,
                                const struct match_node **from)
{
    float turned[MATCH_SKETCH_MAX];
    struct match_best best = {0};
    enum status status = match_sketch(ma, &ma->target, node);
    if (status || !node->varied)
        return status;
    struct match_look look = {.node = node, .sketch = node->sketch};
    status = match_try_shape(ma, &look, *from, &best);
    if (!status && node->rank == 2 && best.corr < MATCH_CERTAIN) {
        match_turn_sketch(node, turned);
        status = match_try_shape(
            ma, &(struct match_look){node, turned, true, false}, *from, &best);
    }
    look.scaled = true;
    if (!status && !best.node)
        status = match_try_shape(ma, &look, *from, &best);
    if (status || !best.node)
        return status;
    match_pair(node, best.node, MATCH_BY_VALUES);
    node->turned = best.turned;
    node->partner = NULL;
    *from = best.node + 1;
    return STATUS_OK;
}

enum status match_by_sketch(struct matcher *ma)
{
    const struct match_node *from = ma->base.nodes;
    enum status status = STATUS_OK;
    for (size_t i = 0; !status && i < ma->target.count; i++)
        if (ma->target.nodes[i].other)
            status = match_check_name(ma, &ma->target.nodes[i]);
    qsort(ma->base.sorted, ma->base.count, sizeof(*ma->base.sorted),
          match_by_shape);
    for (size_t i = 0; !status && i < ma->target.count; i++)
        if (ma->target.nodes[i].bond != MATCH_BY_VALUES)
            status = match_search(ma, &ma->target.nodes[i], &from);
    match_names_sort(&ma->base);
    return status;
}
