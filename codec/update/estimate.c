/* Small contents are made for real. Of large ones a sample is planned: short
 * stretches of everything tell what tensors take without tables, and a few
 * blocks of large ones, planned with and without, what tables save. */
#include "codec/update/estimate.h"

#include "codec/lossless/bytes.h"
#include "codec/lossless/lowrank.h"
#include "codec/lossless/match.h"
#include "codec/lossless/predict.h"
#include "codec/update/plan.h"

#include <stdlib.h>
#include <string.h>

/* Contents up to this size are read whole. */
#define ESTIMATE_WHOLE_MAX (5u << 19)
/* Read of each larger one: in stretches, ... */
#define ESTIMATE_STRETCHES   (1u << 20)
#define ESTIMATE_STRETCH_MIN 2048u
#define ESTIMATE_STRETCH_MAX 65536u
/* ... in blocks of rows ... */
#define ESTIMATE_BLOCKS    4u
#define ESTIMATE_BLOCK_MAX (256u << 10)
#define ESTIMATE_ROWS_MIN  16u
/* ... and in pieces of what is no tensor. */
#define ESTIMATE_PIECES    4u
#define ESTIMATE_PIECE_MAX (64u << 10)
#define ESTIMATE_PIECE_MIN 1024u

#define ESTIMATE_FIXED     80u
#define ESTIMATE_A_TABLE   40u
#define ESTIMATE_A_SEGMENT 150u
#define ESTIMATE_A_RECORD  8u /* that is coded, or 3 */

/* Views of some matches of a list that somebody else owns. */
struct estimate_list {
    struct match_list list;
    uint64_t size;
};

struct estimate {
    const struct update_enc_params *params;
    struct match_list matches;
    struct estimate_list matrices; /* large ones, that tables may be for */
    struct estimate_list pieces;   /* what is no tensor */
    struct estimate_list rest;
    uint64_t bytes;
    uint64_t records; /* bytes of them */
};

/* Equal contents need no look. */
static bool estimate_same(const struct update_enc_params *params)
{
    struct tree_shape shape;
    if (!params->base || params->base->size != params->target->size ||
        !params->base_leaves || !params->target_leaves ||
        tree_shape_of(params->target->size, &shape))
        return false;
    return !shape.block_count ||
           !memcmp(params->base_leaves, params->target_leaves,
                   shape.block_count * sizeof(struct hash));
}

/* ---- small contents ---- */

static enum status estimate_load(const struct source *source, uint64_t offset,
                                 uint64_t size, uint8_t **data,
                                 struct source *out)
{
    *data = malloc((size_t)size + 1);
    if (!*data)
        return STATUS_NO_MEMORY;
    *out = source_of_bytes(bytes_of(*data, (size_t)size));
    return source_read(source, offset, *data, (size_t)size);
}

static enum status estimate_make(const struct update_enc_params *params,
                                 uint64_t *bytes)
{
    struct update_enc *enc = NULL;
    struct writer header;
    writer_init_heap(&header, UPDATE_HEADER_MAX);
    enum status status = update_enc_new(params, &enc);
    if (!status)
        status = update_enc_plan(enc, NULL, NULL);
    uint32_t count = status ? 0 : update_enc_segment_count(enc);
    *bytes = 0;
    for (uint32_t i = 0; !status && i < count; i++) {
        struct bytes coded;
        status = update_enc_segment(enc, i, &coded);
        *bytes += status ? 0 : coded.size;
    }
    if (!status)
        status = update_enc_header(enc, &header);
    *bytes += header.size;
    writer_deinit(&header);
    update_enc_free(enc);
    return status;
}

static bool estimate_is_small(const struct update_enc_params *params)
{
    return params->target->size <= ESTIMATE_WHOLE_MAX &&
           (!params->base || params->base->size <= ESTIMATE_WHOLE_MAX);
}

static enum status estimate_whole(const struct update_enc_params *params,
                                  uint64_t *bytes)
{
    struct update_enc_params loaded = *params;
    struct source base, target;
    uint8_t *base_data = NULL, *target_data = NULL;
    loaded.target = &target;
    enum status status = estimate_load(params->target, 0, params->target->size,
                                       &target_data, &target);
    if (!status && params->base) {
        loaded.base = &base;
        status = estimate_load(params->base, 0, params->base->size, &base_data,
                               &base);
    }
    if (!status)
        status = estimate_make(&loaded, bytes);
    free(base_data);
    free(target_data);
    return status;
}

/* ---- sorting ranges ---- */

static enum status list_add(struct estimate_list *list,
                            const struct match *match)
{
    struct match_list *to = &list->list;
    if (to->count == to->cap) {
        size_t cap = to->cap ? 2 * to->cap : 64;
        struct match *more = realloc(to->items, cap * sizeof(*more));
        if (!more)
            return STATUS_NO_MEMORY;
        to->items = more;
        to->cap = cap;
    }
    to->items[to->count++] = *match;
    list->size += match->size;
    return STATUS_OK;
}

/* How a range is seen as a matrix. */
struct estimate_matrix {
    uint64_t rows;
    uint32_t columns;
    uint64_t row_size, base_row_size;
};

static bool estimate_matrix(const struct match *match,
                            struct estimate_matrix *out)
{
    const struct tensor *tensor = match->tensor;
    if (!tensor || !match_has_places(match) || match->columns ||
        match->size < ESTIMATE_PIECE_MAX || !predict_dtype_ok(tensor->dtype) ||
        !predict_dtype_ok(match->base_dtype) ||
        !lowrank_view(tensor->shape, tensor->rank, &out->rows, &out->columns))
        return false;
    out->row_size = (uint64_t)out->columns * dtype_bits(tensor->dtype) / 8;
    out->base_row_size =
        (uint64_t)out->columns * dtype_bits(match->base_dtype) / 8;
    out->rows = match->size / out->row_size;
    return match->size % out->row_size == 0 &&
           match->base_size == out->rows * out->base_row_size &&
           out->row_size * ESTIMATE_ROWS_MIN <= ESTIMATE_BLOCK_MAX &&
           out->base_row_size * ESTIMATE_ROWS_MIN <= ESTIMATE_BLOCK_MAX;
}

static enum status estimate_sort(struct estimate *e)
{
    enum status status = STATUS_OK;
    for (size_t i = 0; !status && i < e->matches.count; i++) {
        const struct match *match = &e->matches.items[i];
        struct estimate_matrix matrix;
        if (e->params->max_rank && estimate_matrix(match, &matrix))
            status = list_add(&e->matrices, match);
        else if (!match->tensor && match->size >= ESTIMATE_PIECE_MIN)
            status = list_add(&e->pieces, match);
        else
            status = list_add(&e->rest, match);
    }
    return status;
}

/* ---- plans ---- */

static enum coding_speed estimate_speed(enum coding_speed speed)
{
    switch (speed) {
    case CODING_SPEED_FAST:
        return CODING_SPEED_FAST;
    case CODING_SPEED_SMALL:
        return CODING_SPEED_SMALL;
    default:
        return CODING_SPEED_AUTO;
    }
}

/* What stretches say of ranges without tables. */
static enum status estimate_plain(struct estimate *e,
                                  const struct estimate_list *list,
                                  uint64_t *bytes)
{
    const struct update_enc_params *params = e->params;
    struct update_plan plan;
    uint64_t share = ESTIMATE_STRETCHES * (list->size / 1024) /
                     (params->target->size / 1024 + 1) / (list->list.count + 1);
    uint32_t stretch = ESTIMATE_STRETCH_MAX;
    while (stretch > ESTIMATE_STRETCH_MIN && stretch > share)
        stretch /= 2;
    const struct update_plan_input input = {
        .base = params->base,
        .target = params->target,
        .matches = &list->list,
        .speed = estimate_speed(params->speed),
        .stride = (unsigned)(params->target->size / ESTIMATE_STRETCHES + 1),
        .stretch = stretch,
        .hints = params->hints,
    };
    *bytes = 0;
    if (!list->list.count)
        return STATUS_OK;
    enum status status = update_plan_make(&input, &plan);
    if (status)
        return status;
    *bytes = plan.coded_size;
    for (uint32_t i = 0; i < plan.records.count; i++)
        e->records += plan.records.records[i].mode == UPDATE_CODED
                          ? ESTIMATE_A_RECORD
                          : 3;
    e->bytes += ESTIMATE_A_TABLE *
                (uint64_t)(plan.tables.fast.count + plan.tables.narrow.count);
    update_plan_deinit(&plan);
    return STATUS_OK;
}

/* ---- what tables save ---- */

/* A block of rows of a range, in memory. */
struct estimate_block {
    struct match match;
    struct source base, target;
    uint8_t *base_data, *target_data;
    double rows_part; /* of the whole range */
    double tables_part;
};

static enum status block_load(const struct estimate *e,
                              const struct match *match,
                              struct estimate_block *out)
{
    struct estimate_matrix m;
    memset(out, 0, sizeof(*out));
    if (!estimate_matrix(match, &m))
        return STATUS_INTERNAL;
    uint64_t wide = m.row_size > m.base_row_size ? m.row_size : m.base_row_size;
    uint64_t rows = ESTIMATE_BLOCK_MAX / wide;
    rows = rows < m.rows ? rows : m.rows;
    uint64_t first = (m.rows - rows) / 2;
    out->match = *match;
    out->match.size = rows * m.row_size;
    out->match.base_size = rows * m.base_row_size;
    out->match.target_offset = out->match.base_offset = 0;
    out->rows_part = (double)rows / (double)m.rows;
    out->tables_part =
        (double)(rows + m.columns) / (double)(m.rows + m.columns);
    enum status status = estimate_load(
        e->params->target, match->target_offset + first * m.row_size,
        out->match.size, &out->target_data, &out->target);
    if (!status)
        status = estimate_load(
            e->params->base, match->base_offset + first * m.base_row_size,
            out->match.base_size, &out->base_data, &out->base);
    return status;
}

static void block_free(struct estimate_block *block)
{
    free(block->base_data);
    free(block->target_data);
}

/* Bytes of the block's range, all of it, from a plan of the block. */
static enum status block_plan(const struct estimate *e,
                              const struct estimate_block *block,
                              unsigned max_rank, double *bytes)
{
    struct match match = block->match;
    const struct match_list list = {&match, 1, 1};
    struct update_plan plan;
    const struct update_plan_input input = {
        .base = &block->base,
        .target = &block->target,
        .matches = &list,
        .speed = estimate_speed(e->params->speed),
        .max_rank = max_rank,
        .stride = 1,
    };
    enum status status = update_plan_make(&input, &plan);
    if (status)
        return status;
    double tables = (double)plan.aux_bytes.size;
    *bytes = ((double)plan.coded_size - tables) / block->rows_part +
             tables / block->tables_part;
    update_plan_deinit(&plan);
    return STATUS_OK;
}

static enum status block_compare(const struct estimate *e,
                                 const struct match *match, double *without,
                                 double *with)
{
    struct estimate_block block;
    double a = 0, b = 0;
    enum status status = block_load(e, match, &block);
    if (!status)
        status = block_plan(e, &block, 0, &a);
    if (!status)
        status = block_plan(e, &block, e->params->max_rank, &b);
    block_free(&block);
    *without += a;
    *with += b < a ? b : a;
    return status;
}

/* What remains of the bytes of matrices when tables are used: looks at those
 * that lie at equal distances in all their bytes. */
static enum status estimate_gain(const struct estimate *e, double *part)
{
    const struct estimate_list *list = &e->matrices;
    uint64_t step = list->size / ESTIMATE_BLOCKS;
    uint64_t next = step / 2, at = 0;
    double without = 0, with = 0;
    enum status status = STATUS_OK;
    for (size_t i = 0; !status && i < list->list.count; i++) {
        at += list->list.items[i].size;
        if (at <= next)
            continue;
        status = block_compare(e, &list->list.items[i], &without, &with);
        while (next < at)
            next += step + 1;
    }
    *part = without > 0 ? with / without : 1;
    return status;
}

static enum status estimate_matrices(struct estimate *e)
{
    uint64_t bytes;
    double part = 1;
    enum status status = estimate_plain(e, &e->matrices, &bytes);
    if (!status && bytes)
        status = estimate_gain(e, &part);
    if (!status)
        e->bytes += (uint64_t)((double)bytes * part);
    return status;
}

/* ---- what is no tensor ---- */

static enum status piece_code(const struct estimate *e,
                              const struct match *match, uint64_t *size,
                              uint64_t *coded)
{
    struct source target, base;
    uint8_t *target_data = NULL, *base_data = NULL;
    struct writer frame;
    uint64_t from = 0, base_size = 0;
    *size = match->size < ESTIMATE_PIECE_MAX ? match->size : ESTIMATE_PIECE_MAX;
    uint64_t first = (match->size - *size) / 2;
    if (match->base_size) {
        from = first < match->base_size ? first : 0;
        base_size = match->base_size - from;
        base_size =
            base_size < ESTIMATE_PIECE_MAX ? base_size : ESTIMATE_PIECE_MAX;
    }
    writer_init_heap(&frame, 2 * ESTIMATE_PIECE_MAX);
    enum status status =
        estimate_load(e->params->target, match->target_offset + first, *size,
                      &target_data, &target);
    if (!status && base_size)
        status = estimate_load(e->params->base, match->base_offset + from,
                               base_size, &base_data, &base);
    if (!status)
        status =
            bytes_encode(bytes_of(target_data, (size_t)*size),
                         bytes_of(base_data, (size_t)base_size), 6, &frame);
    *coded = frame.size < *size ? frame.size : *size;
    writer_deinit(&frame);
    free(target_data);
    free(base_data);
    return status;
}

static enum status estimate_pieces(struct estimate *e)
{
    const struct estimate_list *list = &e->pieces;
    uint64_t step = list->size / ESTIMATE_PIECES;
    uint64_t next = step / 2, at = 0;
    uint64_t seen = 0, taken = 0;
    enum status status = STATUS_OK;
    for (size_t i = 0; !status && i < list->list.count; i++) {
        uint64_t size = 0, coded = 0;
        at += list->list.items[i].size;
        if (at <= next)
            continue;
        status = piece_code(e, &list->list.items[i], &size, &coded);
        seen += size;
        taken += coded;
        while (next < at)
            next += step + 1;
    }
    if (seen)
        e->bytes +=
            (uint64_t)((double)taken * (double)list->size / (double)seen);
    e->records += 3 * list->list.count;
    return status;
}

/* ---- the whole ---- */

static uint64_t estimate_segments(uint64_t size, uint64_t coded)
{
    uint64_t each = coded > 65536 && size <= (8u << 20) ? 1u << 18 : 1u << 20;
    uint64_t count = (size + each - 1) / each;
    if (!coded)
        return count;
    return coded < 65536 ? ESTIMATE_A_SEGMENT : count * ESTIMATE_A_SEGMENT;
}

static enum status estimate_parts(struct estimate *e)
{
    uint64_t rest = 0;
    enum status status = estimate_sort(e);
    if (!status)
        status = estimate_plain(e, &e->rest, &rest);
    e->bytes += rest;
    if (!status)
        status = estimate_matrices(e);
    if (!status)
        status = estimate_pieces(e);
    return status;
}

static enum status estimate_sample(const struct update_enc_params *params,
                                   uint64_t *bytes)
{
    struct estimate e = {.params = params};
    enum status status =
        match_contents(params->base, params->base_model, params->target,
                       params->target_model, &e.matches);
    if (status)
        return status;
    status = estimate_parts(&e);
    match_list_free(&e.matches);
    free(e.matrices.list.items);
    free(e.pieces.list.items);
    free(e.rest.list.items);
    *bytes = ESTIMATE_FIXED + e.bytes +
             estimate_segments(params->target->size, e.bytes) + e.records;
    return status;
}

enum status update_estimate(const struct update_enc_params *params,
                            uint64_t *bytes)
{
    *bytes = ESTIMATE_FIXED;
    if (estimate_same(params))
        return STATUS_OK;
    return estimate_is_small(params) ? estimate_whole(params, bytes)
                                     : estimate_sample(params, bytes);
}
