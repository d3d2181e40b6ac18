/* A tensor that grew or shrank: along its first dimension, along another, or
 * along both. Each axis that changed gets a map, found by comparing rows (or
 * columns) of both sides. Where a tensor alone does not tell, the maps of other
 * tensors are tried: channels that one layer lost, the next does not read. */
#include "codec/lossless/match_shape.h"

#include <stdlib.h>

/* Columns, when some were taken out; elements of a row that is followed without
 * a map; entries of the first axis; numbers in the vectors of a side. */
#define SHAPE_UNITS_MAX   65536u
#define SHAPE_BOOT_MAX    (MATCH_BUFFER_SIZE / 8)
#define SHAPE_INDEX_MAX   131072u
#define SHAPE_VALUES_MAX  (1u << 20)
#define SHAPE_ROW_VALUES  32u
#define SHAPE_UNIT_VALUES 24u
#define SHAPE_VALUES_MIN  8u
#define SHAPE_SPAN_MAX    2048u /* elements between the values of a row */
#define SHAPE_TRIES       256u
#define SHAPE_NEAR        8u
/* Bytes to be read, besides a part of the target's size. */
#define SHAPE_READ_MAX (64u << 20)

/* Numbers of both sides, vector after vector. */
struct shape_vectors {
    float *target;
    float *base;
};

/* Dimensions of both; those of one count where only one side has them. */
struct shape_dims {
    const uint64_t *target;
    const uint64_t *base;
    uint32_t rank;
};

static bool shape_dims_of(const struct shape *sh, struct shape_dims *dims)
{
    const struct match_node *t = sh->node, *b = sh->base;
    *dims = (struct shape_dims){t->dims, b->dims, t->rank};
    if (t->rank == b->rank)
        return t->rank > 0;
    *dims = (struct shape_dims){t->tensor->shape, b->tensor->shape,
                                t->tensor->rank};
    return t->tensor->rank == b->tensor->rank && t->tensor->rank > 0 &&
           t->tensor->rank <= MATCH_RANK_MAX;
}

/* The axis behind the first that differs, 0 for none; false when several do. */
static bool shape_axis(const struct shape_dims *dims, uint32_t *axis)
{
    *axis = 0;
    for (uint32_t i = 1; i < dims->rank; i++) {
        if (dims->target[i] == dims->base[i])
            continue;
        if (*axis)
            return false;
        *axis = i;
    }
    return true;
}

/* False when more than one dimension behind the first differs, or the number of
 * dimensions does. */
static bool shape_look(struct shape *sh)
{
    struct shape_dims dims;
    uint32_t axis;
    if (!shape_dims_of(sh, &dims) || !shape_axis(&dims, &axis))
        return false;
    uint64_t units = axis ? dims.target[axis] : 1;
    uint64_t base_units = axis ? dims.base[axis] : 1;
    if (dims.target[0] > SHAPE_INDEX_MAX || dims.base[0] > SHAPE_INDEX_MAX ||
        units > SHAPE_UNITS_MAX || base_units > SHAPE_UNITS_MAX)
        return false;
    sh->rows = (uint32_t)dims.target[0];
    sh->base_rows = (uint32_t)dims.base[0];
    sh->units = (uint32_t)units;
    sh->base_units = (uint32_t)base_units;
    sh->group = 1;
    for (uint32_t i = 1; i < axis; i++)
        sh->group *= dims.target[i];
    sh->inner = sh->node->elem_count / sh->rows / sh->group / units;
    return sh->inner * (uint64_t)(units > base_units ? units : base_units) <=
           UINT32_MAX;
}

/* False when looking at shapes has read as much as it may. */
static bool shape_may_read(const struct shape *sh)
{
    return sh->ma->bytes_read <
           SHAPE_READ_MAX + sh->ma->target.source->size / 16;
}

static enum status shape_init(struct shape *sh)
{
    sh->row_map = malloc((size_t)sh->rows * sizeof(uint32_t));
    sh->unit_map = malloc((size_t)sh->units * sizeof(uint32_t));
    if (!sh->row_map || !sh->unit_map)
        return STATUS_NO_MEMORY;
    for (uint32_t i = 0; i < sh->rows; i++)
        sh->row_map[i] = i < sh->base_rows ? i : MATCH_NOWHERE;
    for (uint32_t i = 0; i < sh->units; i++)
        sh->unit_map[i] = i < sh->base_units ? i : MATCH_NOWHERE;
    return STATUS_OK;
}

static void shape_deinit(struct shape *sh)
{
    free(sh->row_map);
    free(sh->unit_map);
}

static enum status shape_vectors_init(struct shape_vectors *v, size_t target,
                                      size_t base)
{
    v->target = calloc(target + 1, sizeof(float));
    v->base = calloc(base + 1, sizeof(float));
    return v->target && v->base ? STATUS_OK : STATUS_NO_MEMORY;
}

static void shape_vectors_deinit(struct shape_vectors *v)
{
    free(v->target);
    free(v->base);
}

/* Where in a row of each side the values of a row vector are. */
struct shape_spots {
    uint32_t target[SHAPE_ROW_VALUES];
    uint32_t base[SHAPE_ROW_VALUES];
    size_t count;
};

/* Neighbouring elements around the middle whose columns have a base. */
static void shape_find_spots(const struct shape *sh, size_t want,
                             struct shape_spots *spots)
{
    uint64_t elems = sh->units * sh->inner, tries = 0;
    uint64_t at = elems > 2 * want ? (elems - want) / 2 : 0;
    spots->count = 0;
    for (; tries < elems && spots->count < want; tries++, at++) {
        if (at == elems)
            at = 0;
        uint32_t unit = sh->unit_map[at / sh->inner];
        if (unit == MATCH_NOWHERE)
            continue;
        uint64_t base = unit * sh->inner + at % sh->inner;
        if (spots->count && (at - spots->target[0] > SHAPE_SPAN_MAX ||
                             base - spots->base[0] > SHAPE_SPAN_MAX))
            break;
        spots->target[spots->count] = (uint32_t)at;
        spots->base[spots->count++] = (uint32_t)base;
    }
}

/* One vector for each first-axis entry of a side. */
static enum status shape_read_rows(struct shape *sh, bool base,
                                   const struct shape_spots *spots, float *out)
{
    const struct match_side *side = base ? &sh->ma->base : &sh->ma->target;
    const struct match_node *node = base ? sh->base : sh->node;
    const uint32_t *spot = base ? spots->base : spots->target;
    uint32_t rows = base ? sh->base_rows : sh->rows;
    uint64_t length = (base ? sh->base_units : sh->units) * sh->inner;
    size_t k = spots->count, span = spot[k - 1] - spot[0] + 1;
    float row[SHAPE_SPAN_MAX + 1];
    for (uint32_t i = 0; i < rows; i++) {
        uint64_t first = (i * sh->group + sh->group / 2) * length + spot[0];
        enum status status = match_values(sh->ma, side, node, first, span, row);
        if (status)
            return status;
        for (size_t j = 0; j < k; j++)
            out[i * k + j] = row[spot[j] - spot[0]];
    }
    return STATUS_OK;
}

/* Finds row_map, given unit_map; *found is 0 when rows do not tell. */
static enum status shape_align_rows(struct shape *sh, size_t *found)
{
    struct shape_spots spots;
    struct shape_vectors v;
    uint64_t most = sh->rows > sh->base_rows ? sh->rows : sh->base_rows;
    size_t want = SHAPE_VALUES_MAX / (size_t)most;
    shape_find_spots(sh, want < SHAPE_ROW_VALUES ? want : SHAPE_ROW_VALUES,
                     &spots);
    *found = 0;
    if (spots.count < SHAPE_VALUES_MIN)
        return STATUS_OK;
    enum status status = shape_vectors_init(&v, sh->rows * spots.count,
                                            sh->base_rows * spots.count);
    if (!status)
        status = shape_read_rows(sh, false, &spots, v.target);
    if (!status)
        status = shape_read_rows(sh, true, &spots, v.base);
    if (!status)
        *found = match_align(v.target, sh->rows, v.base, sh->base_rows,
                             spots.count, sh->row_map);
    shape_vectors_deinit(&v);
    return status;
}

/* The s-th of so many samples over all rows that have a base. */
static void shape_sample(const struct shape *sh, uint64_t matched, uint64_t s,
                         uint64_t of, uint64_t *row, uint64_t *base_row,
                         uint64_t *elem)
{
    uint64_t total = matched * sh->group * sh->inner;
    uint64_t pick = s * total / of;
    uint64_t nth = pick / (sh->group * sh->inner), i = 0;
    for (; i + 1 < sh->rows; i++)
        if (sh->row_map[i] != MATCH_NOWHERE && !nth--)
            break;
    uint64_t sub = (s * 7 + pick) % sh->group;
    *row = i * sh->group + sub;
    *base_row = sh->row_map[i] * sh->group + sub;
    *elem = total <= of ? pick % sh->inner : (s * 5 + pick) % sh->inner;
}

/* The s-th value of each unit's vector, from one row. */
static enum status shape_read_units(struct shape *sh, bool base, uint64_t row,
                                    uint64_t elem, size_t k, size_t s,
                                    float *out)
{
    const struct match_side *side = base ? &sh->ma->base : &sh->ma->target;
    const struct match_node *node = base ? sh->base : sh->node;
    uint64_t units = base ? sh->base_units : sh->units;
    uint64_t step = MATCH_BUFFER_SIZE / 8 / sh->inner;
    float values[MATCH_BUFFER_SIZE / 8];
    for (uint64_t u = 0; u < units; u += step) {
        uint64_t n = units - u < step ? units - u : step;
        enum status status =
            match_values(sh->ma, side, node, (row * units + u) * sh->inner,
                         (size_t)(n * sh->inner), values);
        if (status)
            return status;
        for (uint64_t i = 0; i < n; i++)
            out[(u + i) * k + s] = values[i * sh->inner + elem];
    }
    return STATUS_OK;
}

static uint64_t shape_matched_rows(const struct shape *sh)
{
    uint64_t matched = 0;
    for (uint32_t i = 0; i < sh->rows; i++)
        matched += sh->row_map[i] != MATCH_NOWHERE;
    return matched;
}

/* Finds unit_map, given row_map. */
static enum status shape_align_units(struct shape *sh, size_t *found)
{
    struct shape_vectors v;
    uint64_t matched = shape_matched_rows(sh);
    uint64_t values = matched * sh->group * sh->inner;
    uint32_t most = sh->units > sh->base_units ? sh->units : sh->base_units;
    size_t k = SHAPE_VALUES_MAX / most;
    k = k < SHAPE_UNIT_VALUES ? k : SHAPE_UNIT_VALUES;
    k = values < k ? (size_t)values : k;
    *found = 0;
    if (k < SHAPE_VALUES_MIN || sh->inner > MATCH_BUFFER_SIZE / 8)
        return STATUS_OK;
    enum status status =
        shape_vectors_init(&v, sh->units * k, sh->base_units * k);
    for (size_t s = 0; !status && s < k; s++) {
        uint64_t row, base_row, elem;
        shape_sample(sh, matched, s, k, &row, &base_row, &elem);
        status = shape_read_units(sh, false, row, elem, k, s, v.target);
        if (!status)
            status = shape_read_units(sh, true, base_row, elem, k, s, v.base);
    }
    if (!status)
        *found = match_align(v.target, sh->units, v.base, sh->base_units, k,
                             sh->unit_map);
    shape_vectors_deinit(&v);
    return status;
}

static bool shape_enough(size_t found, uint32_t to, uint32_t from)
{
    return found && 2 * found >= (to < from ? to : from);
}

/* Keeps a map for other tensors. */
static enum status shape_keep(struct matcher *ma, uint32_t to, uint32_t from,
                              const uint32_t *at)
{
    for (uint32_t i = 0; i < ma->map_count; i++)
        if (ma->maps[i].to == to && ma->maps[i].from == from &&
            !memcmp(ma->maps[i].at, at, to * sizeof(*at)))
            return STATUS_OK;
    uint32_t *copy = malloc(to * sizeof(*at));
    if (!copy)
        return STATUS_NO_MEMORY;
    memcpy(copy, at, to * sizeof(*at));
    if (ma->map_count == MATCH_MAPS_MAX) {
        free(ma->maps[0].at);
        memmove(ma->maps, ma->maps + 1,
                (MATCH_MAPS_MAX - 1) * sizeof(ma->maps[0]));
        ma->map_count--;
    }
    ma->maps[ma->map_count++] = (struct match_map){from, to, copy};
    ma->maps_found++;
    return STATUS_OK;
}

/* Elements spread over the target. */
struct shape_sample {
    uint64_t at[SHAPE_TRIES];
    float target[SHAPE_TRIES];
    size_t count;
    float *base; /* all of it when it is small, else NULL; owned */
};

static enum status shape_sample_init(struct shape *sh,
                                     struct shape_sample *sample)
{
    uint64_t elems = sh->node->elem_count, most = sh->base->elem_count;
    enum status status = STATUS_OK;
    sample->base = NULL;
    sample->count = elems < SHAPE_TRIES ? (size_t)elems : SHAPE_TRIES;
    for (size_t i = 0; !status && i < sample->count; i++) {
        uint64_t step = elems / sample->count;
        sample->at[i] = i * step + (i * 7919) % step;
        status = match_values(sh->ma, &sh->ma->target, sh->node, sample->at[i],
                              1, &sample->target[i]);
    }
    if (status || most > MATCH_BUFFER_SIZE / 8)
        return status;
    sample->base = malloc((size_t)most * sizeof(float));
    if (!sample->base)
        return STATUS_NO_MEMORY;
    return match_values(sh->ma, &sh->ma->base, sh->base, 0, (size_t)most,
                        sample->base);
}

/* The base element of a target element; false: none. */
static bool shape_base_of(const struct shape *sh, uint64_t at, uint64_t *base)
{
    uint64_t length = sh->units * sh->inner;
    uint64_t row = at / length, column = at % length;
    uint32_t from = sh->row_map[row / sh->group];
    uint32_t unit = sh->unit_map[column / sh->inner];
    if (from == MATCH_NOWHERE || unit == MATCH_NOWHERE)
        return false;
    *base =
        (from * sh->group + row % sh->group) * (sh->base_units * sh->inner) +
        unit * sh->inner + column % sh->inner;
    return true;
}

/* How well both maps predict the sample: correlation of those that have a
 * base. */
static enum status shape_score(struct shape *sh,
                               const struct shape_sample *sample, float *score)
{
    float a[SHAPE_TRIES], b[SHAPE_TRIES];
    size_t count = 0;
    for (size_t i = 0; i < sample->count; i++) {
        uint64_t base;
        if (!shape_base_of(sh, sample->at[i], &base))
            continue;
        a[count] = sample->target[i];
        enum status status = STATUS_OK;
        if (sample->base)
            b[count] = sample->base[base];
        else
            status = match_values(sh->ma, &sh->ma->base, sh->base, base, 1,
                                  b + count);
        if (status)
            return status;
        count++;
    }
    *score = match_corr(a, b, count);
    return STATUS_OK;
}

/* The best of the maps of other tensors, if it is better than what is there. */
static enum status shape_best_map(struct shape *sh,
                                  const struct shape_sample *sample,
                                  float *best, const uint32_t **chosen)
{
    uint32_t *own = sh->row_map;
    enum status status = STATUS_OK;
    for (uint32_t i = sh->ma->map_count; !status && i-- && *best < 0.98f;) {
        const struct match_map *map = &sh->ma->maps[i];
        float score;
        if (map->to != sh->rows || map->from != sh->base_rows)
            continue;
        sh->row_map = map->at;
        status = shape_score(sh, sample, &score);
        sh->row_map = own;
        if (status || score <= *best + 0.05f || score < 0.3f)
            continue;
        *best = score;
        *chosen = map->at;
    }
    return status;
}

/* Rows too short to tell: of the maps of other tensors and the plain one, the
 * one that predicts best. */
static enum status shape_guess_rows(struct shape *sh, size_t *found)
{
    struct shape_sample sample;
    const uint32_t *chosen = NULL;
    float best = 0;
    enum status status = shape_sample_init(sh, &sample);
    *found = 0;
    if (!status)
        status = shape_score(sh, &sample, &best);
    if (!status)
        status = shape_best_map(sh, &sample, &best, &chosen);
    free(sample.base);
    if (chosen)
        memcpy(sh->row_map, chosen, sh->rows * sizeof(*chosen));
    if (!status && (chosen || best >= 0.9f))
        *found = (size_t)shape_matched_rows(sh);
    return status;
}

static enum status shape_solve_rows(struct shape *sh, bool *solved)
{
    size_t found;
    enum status status = shape_align_rows(sh, &found);
    *solved = shape_enough(found, sh->rows, sh->base_rows);
    if (!status && *solved)
        return shape_keep(sh->ma, sh->rows, sh->base_rows, sh->row_map);
    if (status || found)
        return status;
    status = shape_guess_rows(sh, &found);
    *solved = found != 0;
    return status;
}

static enum status shape_solve_units(struct shape *sh, bool *solved)
{
    size_t found;
    enum status status = shape_align_units(sh, &found);
    *solved = shape_enough(found, sh->units, sh->base_units);
    if (!status && *solved)
        return shape_keep(sh->ma, sh->units, sh->base_units, sh->unit_map);
    return status;
}

/* Both axes, the columns by a map that is known, or as they stand. */
static enum status shape_try_units(struct shape *sh, const uint32_t *units,
                                   bool *solved)
{
    size_t found;
    if (units)
        memcpy(sh->unit_map, units, sh->units * sizeof(*units));
    enum status status = shape_align_rows(sh, &found);
    *solved = shape_enough(found, sh->rows, sh->base_rows);
    return status;
}

/* Both axes, the rows by a map that is known. */
static enum status shape_try_rows(struct shape *sh, const uint32_t *rows,
                                  bool *solved)
{
    size_t found;
    memcpy(sh->row_map, rows, sh->rows * sizeof(*rows));
    enum status status = shape_align_units(sh, &found);
    *solved = shape_enough(found, sh->units, sh->base_units);
    return status;
}

static bool shape_near(float a, float b, float tolerance)
{
    float size = (a < 0 ? -a : a) + (b < 0 ? -b : b);
    float gap = a < b ? b - a : a - b;
    return gap <= tolerance * size;
}

/* Finds one row's units in order among those of another, all but few: hardly
 * any of a wrong one are there. The shorter is sought in the longer. */
static bool shape_subsequence(const struct shape *sh, const float *target,
                              const float *base, float tolerance)
{
    bool grown = sh->units > sh->base_units;
    const float *few = grown ? base : target, *many = grown ? target : base;
    size_t n = grown ? sh->base_units : sh->units, inner = (size_t)sh->inner;
    size_t m = grown ? sh->units : sh->base_units, missed = 0;
    for (uint32_t i = 0; i < sh->units; i++)
        sh->unit_map[i] = MATCH_NOWHERE;
    for (size_t i = 0, j = 0; i < n; i++) {
        size_t at = j;
        for (; at < m; at++) {
            size_t e = 0;
            while (e < inner && shape_near(few[i * inner + e],
                                           many[at * inner + e], tolerance))
                e++;
            if (e == inner)
                break;
        }
        if (at == m && ++missed > n / 16)
            return false;
        if (at == m)
            continue;
        sh->unit_map[grown ? at : i] = (uint32_t)(grown ? i : at);
        j = at + 1;
    }
    return true;
}

/* One row of the target against rows of the base that it may be. */
static enum status shape_boot_row(struct shape *sh, float *rows, uint32_t row,
                                  float tolerance, bool *solved)
{
    size_t length = (size_t)(sh->units * sh->inner);
    size_t base_length = (size_t)(sh->base_units * sh->inner);
    float *base = rows + SHAPE_BOOT_MAX;
    enum status status = match_values(sh->ma, &sh->ma->target, sh->node,
                                      row * sh->group * length, length, rows);
    for (uint32_t i = 0; !status && i < sh->base_rows && i < SHAPE_TRIES; i++) {
        uint32_t j = (row + i) % sh->base_rows;
        status = match_values(sh->ma, &sh->ma->base, sh->base,
                              j * sh->group * base_length, base_length, base);
        if (status || !shape_subsequence(sh, rows, base, tolerance))
            continue;
        return shape_try_units(sh, NULL, solved);
    }
    return status;
}

/* Both axes without a map: some row whose values can be followed. */
static enum status shape_boot(struct shape *sh, bool *solved)
{
    static const float tolerances[] = {0, 1.0f / 256};
    uint64_t length =
        (sh->units > sh->base_units ? sh->units : sh->base_units) * sh->inner;
    if (length > SHAPE_BOOT_MAX || sh->units < 4 || sh->base_units < 4)
        return STATUS_OK;
    float *rows = malloc(2 * SHAPE_BOOT_MAX * sizeof(float));
    if (!rows)
        return STATUS_NO_MEMORY;
    enum status status = STATUS_OK;
    for (size_t i = 0; !status && !*solved && i < 2; i++)
        for (uint32_t k = 0; !status && !*solved && k < 3; k++)
            status = shape_boot_row(sh, rows, k * (sh->rows / 3), tolerances[i],
                                    solved);
    free(rows);
    return status;
}

static enum status shape_solve_both(struct shape *sh, bool *solved)
{
    enum status status = shape_try_units(sh, NULL, solved);
    for (uint32_t i = sh->ma->map_count;
         !status && !*solved && i-- && shape_may_read(sh);) {
        const struct match_map *map = &sh->ma->maps[i];
        if (map->to == sh->units && map->from == sh->base_units)
            status = shape_try_units(sh, map->at, solved);
        if (!status && !*solved && map->to == sh->rows &&
            map->from == sh->base_rows)
            status = shape_try_rows(sh, map->at, solved);
    }
    if (!status && !*solved)
        status = shape_boot(sh, solved);
    if (status || !*solved)
        return status;
    /* Rows were told by some columns only: now all columns by the rows. */
    status = shape_solve_units(sh, solved);
    if (status || !*solved)
        return status;
    return shape_keep(sh->ma, sh->rows, sh->base_rows, sh->row_map);
}

/* Finds the maps, unless no map has been found since it was tried. */
static enum status shape_find_maps(struct shape *sh, bool *solved)
{
    uint64_t now = sh->ma->maps_found + 1;
    if (sh->node->tried == now || !shape_may_read(sh))
        return STATUS_OK;
    sh->node->tried = now;
    if (sh->units == sh->base_units)
        return shape_solve_rows(sh, solved);
    if (sh->rows == sh->base_rows)
        return shape_solve_units(sh, solved);
    return shape_solve_both(sh, solved);
}

/* With force, rows that are not found are as they stand. */
static enum status shape_solve(struct shape *sh, bool force)
{
    bool solved = false;
    enum status status = shape_init(sh);
    if (!status)
        status = shape_find_maps(sh, &solved);
    if (status || (!solved && (!force || sh->units != sh->base_units)))
        return status;
    if (!solved)
        for (uint32_t i = 0; i < sh->rows; i++)
            sh->row_map[i] = i < sh->base_rows ? i : MATCH_NOWHERE;
    return match_shape_emit(sh);
}

static enum status shape_try(struct matcher *ma, struct match_node *node,
                             bool force)
{
    struct shape sh = {.ma = ma, .node = node, .base = node->partner};
    if (!shape_look(&sh))
        return STATUS_OK;
    enum status status = shape_solve(&sh, force && node->partner_named);
    shape_deinit(&sh);
    match_count_pieces(ma, node);
    return status;
}

/* As many dimensions, and no more than two of another size. */
static bool shape_may_be(const struct match_node *node,
                         const struct match_node *base)
{
    uint32_t differ = 0;
    if (base->claimed || base->used || base->rank != node->rank ||
        !node->rank || !match_kinds_fit(node, base) ||
        (base->rows == node->rows && base->columns == node->columns))
        return false;
    for (uint32_t i = 0; i < node->rank; i++)
        differ += base->dims[i] != node->dims[i];
    return differ <= 2 && differ < node->rank + (node->rank == 1);
}

void match_neighbours(struct matcher *ma)
{
    size_t from = 0;
    for (size_t i = 0; i < ma->target.count; i++) {
        struct match_node *node = &ma->target.nodes[i];
        if (node->other)
            from = (size_t)(node->other - ma->base.nodes) + 1;
        if (node->other || node->partner || node->pieces.count)
            continue;
        for (size_t j = from; j < ma->base.count && j < from + SHAPE_NEAR;
             j++) {
            if (!shape_may_be(node, &ma->base.nodes[j]))
                continue;
            node->partner = &ma->base.nodes[j];
            node->partner_near = true;
            from = j + 1;
            break;
        }
    }
}

/* Tensors that are solved by others' maps wait for those. */
enum status match_shapes_differ(struct matcher *ma, bool near)
{
    for (unsigned round = 0; round < 3; round++)
        for (size_t i = 0; i < ma->target.count; i++) {
            struct match_node *node = &ma->target.nodes[i];
            if (!node->partner || node->other || node->pieces.count ||
                node->partner_near != near)
                continue;
            enum status status = shape_try(ma, node, round == 2);
            if (status)
                return status;
        }
    return STATUS_OK;
}
