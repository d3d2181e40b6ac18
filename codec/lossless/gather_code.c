/* One form for every geometry: neighbouring runs that could be one are one, and
 * runs that move nothing are none. */
#include "codec/lossless/gather_code.h"

static uint64_t gather_zigzag(int64_t v)
{
    return v < 0 ? ((uint64_t) - (v + 1) << 1) + 1 : (uint64_t)v << 1;
}

/* v < 2^34. */
static int64_t gather_unzigzag(uint64_t v)
{
    return v & 1 ? -(int64_t)(v >> 1) - 1 : (int64_t)(v >> 1);
}

/* True when run b goes on where run a ends. */
static bool gather_run_follows(const struct gather_run *a,
                               const struct gather_run *b)
{
    if (a->base_column == GATHER_NONE || b->base_column == GATHER_NONE)
        return a->base_column == b->base_column;
    return (uint64_t)a->base_column + a->count == b->base_column;
}

/* The longest run from the i-th on; answers how many it is made of. */
static uint32_t gather_longest(const struct gather *g, uint32_t i,
                               struct gather_run *run)
{
    uint32_t n = 1;
    *run = g->runs[i];
    while (i + n < g->run_count && gather_run_follows(run, &g->runs[i + n]))
        run->count += g->runs[i + n++].count;
    return n;
}

static uint32_t gather_count_runs(const struct gather *g)
{
    struct gather_run run;
    uint32_t count = 0;
    for (uint32_t i = 0; i < g->run_count; count++)
        i += gather_longest(g, i, &run);
    if (count != 1)
        return count;
    gather_longest(g, 0, &run);
    return run.base_column != 0;
}

static void gather_write_runs(const struct gather *g, struct writer *wr)
{
    struct gather_run run;
    uint64_t next = 0;
    for (uint32_t i = 0; i < g->run_count;) {
        i += gather_longest(g, i, &run);
        bool none = run.base_column == GATHER_NONE;
        writer_varint(wr, 2ull * run.count + none);
        if (none)
            continue;
        writer_varint(wr,
                      gather_zigzag((int64_t)run.base_column - (int64_t)next));
        next = (uint64_t)run.base_column + run.count;
    }
}

void gather_write(const struct gather *g, struct writer *wr)
{
    uint32_t count = gather_count_runs(g);
    writer_varint(wr, g->columns);
    writer_varint(wr, 2ull * g->base_stride + g->transposed);
    writer_varint(wr, count);
    if (count)
        gather_write_runs(g, wr);
}

/* A number of 32 bits and a flag below them. */
static uint32_t gather_parse_pair(struct reader *rd, bool *flag)
{
    uint64_t v = reader_varint_max(rd, 2ull * UINT32_MAX + 1);
    *flag = v & 1;
    return (uint32_t)(v >> 1);
}

static struct gather_run gather_parse_run(struct reader *rd, uint64_t *next)
{
    bool none;
    struct gather_run run = {gather_parse_pair(rd, &none), GATHER_NONE};
    if (!run.count)
        reader_fail(rd, STATUS_CORRUPT);
    if (none)
        return run;
    uint64_t step = reader_varint_max(rd, 1ull << 34);
    int64_t column = (int64_t)*next + gather_unzigzag(step);
    if (column < 0 || column >= GATHER_NONE)
        reader_fail(rd, STATUS_CORRUPT);
    run.base_column = (uint32_t)column;
    *next = (uint64_t)run.base_column + run.count;
    return run;
}

static void gather_parse_runs(struct reader *rd, struct gather_run *runs,
                              uint32_t count)
{
    uint64_t next = 0;
    for (uint32_t i = 0; i < count && !reader_status(rd); i++) {
        runs[i] = gather_parse_run(rd, &next);
        if (i && gather_run_follows(&runs[i - 1], &runs[i]))
            reader_fail(rd, STATUS_CORRUPT);
    }
    if (count == 1 &&
        (!runs[0].base_column || runs[0].base_column == GATHER_NONE))
        reader_fail(rd, STATUS_CORRUPT);
}

void gather_parse(struct reader *rd, struct gather_run *runs,
                  struct gather *out)
{
    out->columns = (uint32_t)reader_varint_max(rd, UINT32_MAX);
    out->base_stride = gather_parse_pair(rd, &out->transposed);
    out->run_count = (uint32_t)reader_varint_max(rd, GATHER_RUNS_MAX);
    out->runs = out->run_count ? runs : NULL;
    runs[0] = (struct gather_run){0, GATHER_NONE};
    gather_parse_runs(rd, runs, out->run_count);
    if (!reader_status(rd) && out->columns && out->base_stride)
        return;
    reader_fail(rd, STATUS_CORRUPT);
    out->columns = out->base_stride = out->run_count = 0;
    out->runs = NULL;
    out->transposed = false;
}
