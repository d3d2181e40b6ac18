/* Rows of the base that are short are read whole and several at a time, of long
 * ones only the runs. */
#include "codec/lossless/gather.h"

#include "codec/base/checked.h"

/* Base rows up to ROW_MAX bytes are read whole, as many as fill a buffer. */
#define GATHER_ROW_MAX     4096u
#define GATHER_BUFFER_SIZE 16384u

/* A gather while it is read. */
struct gatherer {
    const struct gather *g;
    const struct source *base;
    struct gather_run whole; /* when the gather has no runs */
    const struct gather_run *runs;
    uint32_t run_count;
};

/* A rectangle of the target: rows from row, columns from column. */
struct gather_part {
    uint64_t row;
    uint64_t rows;
    uint32_t column;
    uint32_t columns;
};

/* What lies in one run of a part: its place in the part's row, the base column,
 * its length. */
struct gather_cut {
    uint32_t j;
    uint32_t c;
    uint32_t n;
};

static bool gather_width_ok(uint32_t width)
{
    return width == 1 || width == 2 || width == 4 || width == 8;
}

/* The base columns that the runs reach; false when they do not fit. */
static bool gather_runs_reach(const struct gather *g, uint64_t limit,
                              uint64_t *reach)
{
    uint64_t sum = 0;
    *reach = 0;
    if (g->run_count > GATHER_RUNS_MAX)
        return false;
    if (!g->run_count) {
        *reach = g->columns;
        return *reach <= limit;
    }
    for (uint32_t i = 0; i < g->run_count; i++) {
        const struct gather_run *run = &g->runs[i];
        sum += run->count;
        if (!run->count)
            return false;
        if (run->base_column == GATHER_NONE)
            continue;
        uint64_t end = (uint64_t)run->base_column + run->count;
        if (end > limit)
            return false;
        *reach = end > *reach ? end : *reach;
    }
    return sum == g->columns;
}

/* Elements from the first to behind the last that is used. */
static bool gather_elems_reach(const struct gather *g, uint64_t elem_count,
                               uint64_t *reach)
{
    uint64_t rows, across, most;
    *reach = elem_count;
    if (!g->columns)
        return !g->run_count && !g->transposed && !g->base_stride;
    rows = elem_count / g->columns + (elem_count % g->columns != 0);
    if (!g->base_stride ||
        !gather_runs_reach(g, g->transposed ? UINT32_MAX : g->base_stride,
                           &across))
        return false;
    *reach = 0;
    if (!rows || !across)
        return true;
    if (!g->transposed)
        return checked_mul_u64(rows - 1, g->base_stride, &most) &&
               checked_add_u64(most, across, reach);
    if (rows > g->base_stride ||
        (uint64_t)g->columns * g->elem_bytes > GATHER_TRANSPOSED_ROW_MAX)
        return false;
    *reach = (across - 1) * g->base_stride + rows;
    return true;
}

enum status gather_check(const struct gather *g, uint64_t elem_count,
                         uint64_t base_size, uint64_t *reach)
{
    uint64_t elems, size;
    if (!gather_width_ok(g->elem_bytes) ||
        !gather_elems_reach(g, elem_count, &elems) ||
        !checked_mul_u64(elems, g->elem_bytes, &size) ||
        g->base_offset > base_size || size > base_size - g->base_offset)
        return STATUS_CORRUPT;
    *reach = size;
    return STATUS_OK;
}

static enum status gather_get(const struct gatherer *ga, uint64_t elem,
                              void *out, uint64_t count)
{
    const struct gather *g = ga->g;
    return source_read(ga->base, g->base_offset + elem * g->elem_bytes, out,
                       (size_t)count * g->elem_bytes);
}

/* Finds the next stretch: *run and *at say where the search stands. Answers
 * false at the end; stretches without base are left out. */
static bool gather_next(const struct gatherer *ga,
                        const struct gather_part *part, uint32_t *run,
                        uint64_t *at, struct gather_cut *cut)
{
    uint64_t end = (uint64_t)part->column + part->columns;
    for (; *run < ga->run_count && *at < end; (*run)++) {
        const struct gather_run *r = &ga->runs[*run];
        uint64_t from = *at > part->column ? *at : part->column;
        uint64_t to = *at + r->count < end ? *at + r->count : end;
        uint64_t start = *at;
        *at += r->count;
        if (from >= to || r->base_column == GATHER_NONE)
            continue;
        *cut = (struct gather_cut){(uint32_t)(from - part->column),
                                   r->base_column + (uint32_t)(from - start),
                                   (uint32_t)(to - from)};
        (*run)++;
        return true;
    }
    return false;
}

/* One row, each stretch by itself. */
static enum status gather_row(const struct gatherer *ga,
                              const struct gather_part *part, uint8_t *out)
{
    uint32_t run = 0, width = ga->g->elem_bytes;
    uint64_t at = 0;
    struct gather_cut cut;
    enum status status = STATUS_OK;
    while (!status && gather_next(ga, part, &run, &at, &cut))
        status = gather_get(ga, part->row * ga->g->base_stride + cut.c,
                            out + (size_t)cut.j * width, cut.n);
    return status;
}

/* The span of base columns that a part uses; false: none. */
static bool gather_span(const struct gatherer *ga,
                        const struct gather_part *part, uint32_t *first,
                        uint32_t *end)
{
    uint32_t run = 0;
    uint64_t at = 0;
    struct gather_cut cut;
    *first = UINT32_MAX;
    *end = 0;
    while (gather_next(ga, part, &run, &at, &cut)) {
        *first = cut.c < *first ? cut.c : *first;
        *end = cut.c + cut.n > *end ? cut.c + cut.n : *end;
    }
    return *end > *first;
}

/* Rows whose part of the base fits the buffer: read whole, then picked. */
static enum status gather_rows(const struct gatherer *ga,
                               const struct gather_part *part, uint8_t *out)
{
    uint8_t buf[GATHER_BUFFER_SIZE];
    uint32_t width = ga->g->elem_bytes, stride = ga->g->base_stride;
    uint32_t first, end;
    if (!gather_span(ga, part, &first, &end))
        return STATUS_OK;
    enum status status =
        gather_get(ga, part->row * stride + first, buf,
                   (part->rows - 1) * stride + (uint64_t)(end - first));
    for (uint64_t i = 0; !status && i < part->rows; i++) {
        const uint8_t *from = buf + (size_t)i * stride * width;
        uint8_t *to = out + (size_t)i * part->columns * width;
        uint32_t run = 0;
        uint64_t at = 0;
        struct gather_cut cut;
        while (gather_next(ga, part, &run, &at, &cut))
            memcpy(to + (size_t)cut.j * width,
                   from + (size_t)(cut.c - first) * width,
                   (size_t)cut.n * width);
    }
    return status;
}

static enum status gather_window(const struct gatherer *ga,
                                 struct gather_part part, uint8_t *out)
{
    uint64_t row_size = (uint64_t)ga->g->base_stride * ga->g->elem_bytes;
    uint64_t left = part.rows;
    enum status status = STATUS_OK;
    while (!status && left) {
        part.rows = 1;
        if (row_size <= GATHER_ROW_MAX) {
            part.rows = GATHER_BUFFER_SIZE / row_size;
            part.rows = part.rows < left ? part.rows : left;
            status = gather_rows(ga, &part, out);
        } else {
            status = gather_row(ga, &part, out);
        }
        out += (size_t)part.rows * part.columns * ga->g->elem_bytes;
        part.row += part.rows;
        left -= part.rows;
    }
    return status;
}

static inline void gather_scatter(uint32_t width, uint8_t *out, size_t step,
                                  const uint8_t *in, size_t count)
{
    for (size_t i = 0; i < count; i++)
        memcpy(out + i * step, in + i * width, width);
}

/* One base row, or the piece of it, down a column of the target. */
static void gather_column(uint32_t width, uint8_t *out, size_t step,
                          const uint8_t *in, size_t count)
{
    switch (width) {
    case 1:
        gather_scatter(1, out, step, in, count);
        return;
    case 2:
        gather_scatter(2, out, step, in, count);
        return;
    case 4:
        gather_scatter(4, out, step, in, count);
        return;
    default:
        gather_scatter(8, out, step, in, count);
    }
}

/* The stretch of neighbouring base rows, several in one read when short; rows
 * are at most a buffer high. */
static enum status gather_turn_cut(const struct gatherer *ga,
                                   const struct gather_part *part,
                                   const struct gather_cut *cut, uint8_t *out)
{
    uint8_t buf[GATHER_BUFFER_SIZE];
    uint32_t width = ga->g->elem_bytes;
    uint64_t stride = ga->g->base_stride, many = 1;
    size_t step = (size_t)part->columns * width;
    enum status status = STATUS_OK;
    if (stride * width <= GATHER_ROW_MAX)
        many = GATHER_BUFFER_SIZE / (stride * width);
    for (uint32_t n = 0; !status && n < cut->n; n += (uint32_t)many) {
        if (many > cut->n - n)
            many = cut->n - n;
        status = gather_get(ga, (cut->c + (uint64_t)n) * stride + part->row,
                            buf, (many - 1) * stride + part->rows);
        for (uint32_t k = 0; !status && k < many; k++)
            gather_column(width, out + ((size_t)cut->j + n + k) * width, step,
                          buf + k * stride * width, (size_t)part->rows);
    }
    return status;
}

static enum status gather_turned(const struct gatherer *ga,
                                 struct gather_part part, uint8_t *out)
{
    uint32_t width = ga->g->elem_bytes;
    uint64_t left = part.rows;
    enum status status = STATUS_OK;
    while (!status && left) {
        uint32_t run = 0;
        uint64_t at = 0;
        struct gather_cut cut;
        part.rows = GATHER_ROW_MAX / width;
        part.rows = part.rows < left ? part.rows : left;
        while (!status && gather_next(ga, &part, &run, &at, &cut))
            status = gather_turn_cut(ga, &part, &cut, out);
        out += (size_t)part.rows * part.columns * width;
        part.row += part.rows;
        left -= part.rows;
    }
    return status;
}

/* The largest rectangle that begins here: a part of a row, or whole rows. */
static struct gather_part gather_part_at(const struct gather *g, uint64_t elem,
                                         size_t count)
{
    struct gather_part part = {.row = elem / g->columns, .rows = 1};
    part.column = (uint32_t)(elem % g->columns);
    part.columns = g->columns - part.column;
    if (part.columns > count)
        part.columns = (uint32_t)count;
    else if (!part.column)
        part.rows = count / g->columns;
    return part;
}

enum status gather_read(const struct gather *g, const struct source *base,
                        uint64_t first, size_t count, uint8_t *out)
{
    struct gatherer ga = {g, base, {g->columns, 0}, g->runs, g->run_count};
    enum status status = STATUS_OK;
    if (!g->columns)
        return gather_get(&ga, first, out, count);
    if (!g->run_count) {
        ga.runs = &ga.whole;
        ga.run_count = 1;
    }
    memset(out, 0, count * g->elem_bytes);
    while (!status && count) {
        struct gather_part part = gather_part_at(g, first, count);
        uint64_t done = part.rows * part.columns;
        status = g->transposed ? gather_turned(&ga, part, out)
                               : gather_window(&ga, part, out);
        first += done;
        count -= (size_t)done;
        out += (size_t)done * g->elem_bytes;
    }
    return status;
}
