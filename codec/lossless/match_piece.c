/* Tensors that were put together or taken apart. Along their first dimension
 * these are stretches of elements, found by their beginnings and followed as
 * long as their ends are alike too; beginnings are sought where something else
 * begins or ends. Along the last one they are columns of one base tensor. */
#include "codec/lossless/match_node.h"

#include <stdlib.h>

/* Values compared at a place. */
#define PIECE_VALUES     64u
#define PIECE_VALUES_MIN 8u
/* Values at the end of a piece, and how nearly they are as alike as those at
 * its beginning: a foreign row among them is to be noticed. */
#define PIECE_TAIL       16u
#define PIECE_TAIL_ALIKE 0.8f
#define PIECE_Z          4.5f
/* Base tensors looked at and tried for one, places in each, pieces of one. */
#define PIECE_NEAR   4096u
#define PIECE_BASES  64u
#define PIECE_PLACES 32u
#define PIECE_MAX    256u
/* Comparisons for one tensor; for all of them so many, and some each. */
#define PIECE_WORK      4096u
#define PIECE_WORK_ALL  16384u
#define PIECE_WORK_EACH 64u

/* One target tensor while it is covered. */
struct piece {
    struct matcher *ma;
    struct match_node *node;
    struct match_node *bases[PIECE_BASES];
    uint64_t used[PIECE_BASES]; /* before */
    uint32_t base_count;
    uint32_t work; /* comparisons left */
    float here[PIECE_VALUES];
    uint64_t here_at;
    size_t here_count;
};

/* A stretch that may be one. */
struct piece_place {
    struct match_node *base;
    uint64_t at;
    float corr;
};

static bool piece_may_be(const struct match_node *node,
                         const struct match_node *base)
{
    return base->rank && !base->claimed && match_kinds_fit(node, base) &&
           base->columns == node->columns && base->rows != node->rows &&
           base->elem_count >= PIECE_VALUES_MIN;
}

static bool piece_may_be_columns(const struct match_node *node,
                                 const struct match_node *base)
{
    return base->rank == 2 && node->rank == 2 && !base->claimed &&
           match_kinds_fit(node, base) && base->rows == node->rows &&
           base->columns != node->columns && base->columns <= UINT32_MAX;
}

/* Bases from the one on that lies as far into the base as the tensor into the
 * target, both ways. */
static void piece_find_bases(struct piece *pc,
                             bool (*may_be)(const struct match_node *,
                                            const struct match_node *))
{
    pc->base_count = 0;
    const struct match_side *base = &pc->ma->base;
    size_t place = (size_t)(pc->node - pc->ma->target.nodes);
    size_t middle = place * base->count / pc->ma->target.count;
    size_t most = 2 * base->count < PIECE_NEAR ? 2 * base->count : PIECE_NEAR;
    for (size_t i = 0; i < most && pc->base_count < PIECE_BASES; i++) {
        size_t away = i / 2 + (i & 1);
        if (i & 1 ? away > middle : middle + away >= base->count)
            continue;
        struct match_node *node =
            &base->nodes[i & 1 ? middle - away : middle + away];
        if (!may_be(pc->node, node))
            continue;
        pc->used[pc->base_count] = node->used;
        pc->bases[pc->base_count++] = node;
    }
}

/* Correlation of up to PIECE_VALUES elements from both places on; 0 when they
 * do not tell. */
static enum status piece_compare(struct piece *pc, uint64_t at,
                                 const struct match_node *base,
                                 uint64_t base_at, uint64_t count, float *corr)
{
    float there[PIECE_VALUES];
    size_t n = count < PIECE_VALUES ? (size_t)count : PIECE_VALUES;
    *corr = 0;
    if (!pc->work || n < PIECE_VALUES_MIN)
        return STATUS_OK;
    pc->work--;
    enum status status = STATUS_OK;
    if (pc->here_at != at || pc->here_count < n)
        status =
            match_values(pc->ma, &pc->ma->target, pc->node, at, n, pc->here);
    pc->here_at = at;
    pc->here_count = status ? 0 : n;
    if (!status)
        status = match_values(pc->ma, &pc->ma->base, base, base_at, n, there);
    if (status)
        return status;
    *corr = match_corr(pc->here, there, n);
    if (!match_beyond_chance(*corr, n, PIECE_Z))
        *corr = 0;
    return STATUS_OK;
}

static enum status piece_try(struct piece *pc, uint64_t at,
                             struct match_node *base, uint64_t base_at,
                             struct piece_place *best)
{
    uint64_t left = pc->node->elem_count - at, count;
    float corr;
    if (base_at >= base->elem_count)
        return STATUS_OK;
    count = base->elem_count - base_at;
    count = count < left ? count : left;
    enum status status = piece_compare(pc, at, base, base_at, count, &corr);
    if (!status && corr > best->corr)
        *best = (struct piece_place){base, base_at, corr};
    return status;
}

/* The best beginning of a piece for what is at `at`. */
static enum status piece_find(struct piece *pc, uint64_t at,
                              struct piece_place *best)
{
    enum status status = STATUS_OK;
    *best = (struct piece_place){0};
    for (uint32_t i = 0; !status && i < pc->base_count; i++) {
        struct match_node *base = pc->bases[i];
        uint64_t step = pc->node->elem_count, places = 1;
        status = piece_try(pc, at, base, base->used, best);
        if (!status && base->elem_count > step) {
            places = base->elem_count / step;
            status = piece_try(pc, at, base, base->elem_count - step, best);
        }
        for (uint64_t k = 0; !status && k < places && k < PIECE_PLACES; k++)
            status = piece_try(pc, at, base, k * step, best);
        if (best->corr > 0.98f)
            break;
    }
    return status;
}

/* How many whole rows from there on are alike: at their last ones. */
static enum status piece_measure(struct piece *pc, uint64_t at,
                                 const struct piece_place *place,
                                 uint64_t *rows)
{
    uint64_t columns = pc->node->columns;
    uint64_t left = pc->node->elem_count - at;
    uint64_t most = place->base->elem_count - place->at;
    uint64_t low = 0, high = (left < most ? left : most) / columns;
    uint64_t tail = (PIECE_TAIL + columns - 1) / columns;
    float corr;
    *rows = high;
    while (low < high) {
        /* The whole of it first. */
        uint64_t end = *rows, back = end < tail ? end : tail;
        enum status status = piece_compare(
            pc, at + (end - back) * columns, place->base,
            place->at + (end - back) * columns, back * columns, &corr);
        if (status)
            return status;
        if (corr > PIECE_TAIL_ALIKE * place->corr)
            low = end;
        else
            high = end - 1;
        *rows = low + (high - low + 1) / 2;
    }
    *rows = low;
    return STATUS_OK;
}

static enum status piece_add(struct piece *pc, uint64_t at,
                             const struct piece_place *place, uint64_t count)
{
    const struct tensor *t = pc->node->tensor, *b = place->base->tensor;
    struct match match = {
        .target_offset = t->offset + at * pc->node->width,
        .size = count * pc->node->width,
        .tensor = t,
        .base_offset = b->offset + place->at * place->base->width,
        .base_size = count * place->base->width,
        .base_dtype = b->dtype,
    };
    place->base->used = place->at + count;
    return match_list_add(&pc->node->pieces, match);
}

/* Where nothing begins, the next row that might is as far on as the smallest
 * base is long. */
static uint64_t piece_step(const struct piece *pc)
{
    uint64_t step = pc->node->rows;
    for (uint32_t i = 0; i < pc->base_count; i++)
        step = pc->bases[i]->rows < step ? pc->bases[i]->rows : step;
    uint64_t least = pc->node->rows / PIECE_MAX + 1;
    return (step > least ? step : least) * pc->node->columns;
}

static enum status piece_cover(struct piece *pc)
{
    uint64_t step = piece_step(pc), rows;
    enum status status = STATUS_OK;
    for (uint64_t at = 0; !status && pc->work && at < pc->node->elem_count;) {
        struct piece_place best;
        rows = 0;
        status = piece_find(pc, at, &best);
        if (!status && best.base)
            status = piece_measure(pc, at, &best, &rows);
        if (!status && rows && pc->node->pieces.count < PIECE_MAX)
            status = piece_add(pc, at, &best, rows * pc->node->columns);
        at += rows ? rows * pc->node->columns : step;
    }
    return status;
}

/* Whether columns from `at` of the target are those from `base_at` of the base:
 * the first row, then one in the middle. */
static enum status piece_try_columns(struct piece *pc, uint64_t at,
                                     struct match_node *base, uint64_t base_at,
                                     struct piece_place *best)
{
    uint64_t middle = pc->node->rows / 2;
    uint64_t left = pc->node->columns - at, most = base->columns - base_at;
    uint64_t count = left < most ? left : most;
    float corr;
    enum status status = piece_compare(pc, at, base, base_at, count, &corr);
    if (status || corr <= best->corr)
        return status;
    status = piece_compare(pc, middle * pc->node->columns + at, base,
                           middle * base->columns + base_at, count, &corr);
    if (!status && corr > best->corr)
        *best = (struct piece_place){base, at > base_at ? at : base_at, corr};
    return status;
}

/* The narrower one's columns at multiples of its width in the wider one. */
static enum status piece_find_columns(struct piece *pc,
                                      struct piece_place *best)
{
    enum status status = STATUS_OK;
    *best = (struct piece_place){0};
    for (uint32_t i = 0; !status && i < pc->base_count; i++) {
        struct match_node *base = pc->bases[i];
        bool split = base->columns > pc->node->columns;
        uint64_t wide = split ? base->columns : pc->node->columns;
        uint64_t step = split ? pc->node->columns : base->columns;
        for (uint64_t k = 0;
             !status && k < PIECE_PLACES && (k + 1) * step <= wide; k++)
            status = piece_try_columns(pc, split ? 0 : k * step, base,
                                       split ? k * step : 0, best);
        uint64_t last = wide - step;
        if (!status)
            status = piece_try_columns(pc, split ? 0 : last, base,
                                       split ? last : 0, best);
    }
    return status;
}

/* A window of columns of a wider base, or of a narrower one amid columns that
 * have no base. */
static enum status piece_add_columns(struct piece *pc,
                                     const struct piece_place *place)
{
    const struct tensor *t = pc->node->tensor, *b = place->base->tensor;
    uint32_t wide = (uint32_t)pc->node->columns, at = (uint32_t)place->at;
    uint32_t narrow = (uint32_t)place->base->columns, count = 0;
    struct match match = {.target_offset = t->offset,
                          .size = t->size,
                          .tensor = t,
                          .base_offset = b->offset,
                          .base_size = b->size,
                          .base_dtype = b->dtype,
                          .columns = wide,
                          .base_stride = narrow};
    match.runs = malloc(3 * sizeof(*match.runs));
    if (!match.runs)
        return STATUS_NO_MEMORY;
    if (narrow > wide) {
        match.runs[count++] = (struct gather_run){wide, at};
    } else {
        if (at)
            match.runs[count++] = (struct gather_run){at, GATHER_NONE};
        match.runs[count++] = (struct gather_run){narrow, 0};
        if (at + narrow < wide)
            match.runs[count++] =
                (struct gather_run){wide - at - narrow, GATHER_NONE};
    }
    match.run_count = count;
    enum status status = match_list_add(&pc->node->pieces, match);
    if (status)
        free(match.runs);
    return status;
}

static enum status piece_cover_columns(struct piece *pc)
{
    struct piece_place best;
    if (pc->node->columns > UINT32_MAX)
        return STATUS_OK;
    piece_find_bases(pc, piece_may_be_columns);
    enum status status = piece_find_columns(pc, &best);
    if (!status && best.base)
        status = piece_add_columns(pc, &best);
    return status;
}

/* Pieces of less than half of a tensor are chance, or the tensor is another in
 * which rows are missing. */
static void piece_weigh(struct piece *pc)
{
    struct match_list *pieces = &pc->node->pieces;
    uint64_t covered = 0;
    for (size_t i = 0; i < pieces->count; i++)
        covered += pieces->items[i].size;
    if (2 * covered >= pc->node->tensor->size)
        return;
    match_list_free(pieces);
    for (uint32_t i = 0; i < pc->base_count; i++)
        pc->bases[i]->used = pc->used[i];
}

static enum status piece_match(struct matcher *ma, struct match_node *node,
                               uint32_t *work)
{
    uint32_t most = *work < PIECE_WORK ? *work : PIECE_WORK;
    struct piece pc = {.ma = ma, .node = node, .work = most};
    enum status status = STATUS_OK;
    piece_find_bases(&pc, piece_may_be);
    if (pc.base_count)
        status = piece_cover(&pc);
    piece_weigh(&pc);
    if (!status && !node->pieces.count)
        status = piece_cover_columns(&pc);
    match_count_pieces(ma, node);
    *work -= most - pc.work;
    return status;
}

enum status match_pieces(struct matcher *ma)
{
    uint32_t work = PIECE_WORK_ALL;
    enum status status = STATUS_OK;
    for (size_t i = 0; !status && i < ma->target.count; i++) {
        struct match_node *node = &ma->target.nodes[i];
        if (node->other || node->pieces.count || !node->rank ||
            node->elem_count < PIECE_VALUES_MIN)
            continue;
        work += PIECE_WORK_EACH;
        status = piece_match(ma, node, &work);
    }
    return status;
}
