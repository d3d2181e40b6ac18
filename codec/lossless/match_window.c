/* From maps of two axes to matches: one for each stretch of rows, with the runs
 * of their columns; or, where all columns are kept, a window whose runs are the
 * rows. */
#include "codec/lossless/match_shape.h"

#include <stdlib.h>

#define SHAPE_RANGES_MAX 256u
/* A run must be worth what it takes to say so: bytes of the tensor for each. */
#define SHAPE_RUN_BYTES   8u
#define SHAPE_RANGE_BYTES 32u
#define SHAPE_RUNS_LEAST  16u
/* More ranges of rows become one window rather than matches of their own. */
#define SHAPE_RANGES_FEW 8u

/* Runs of a map, of at least `least` entries; shorter ones have no base. Counts
 * only when out is NULL. */
static uint32_t shape_runs(const uint32_t *map, uint32_t to, uint32_t least,
                           uint64_t scale, struct gather_run *out)
{
    uint32_t count = 0;
    bool bare = false;
    for (uint32_t i = 0, n; i < to; i += n) {
        bool none = map[i] == MATCH_NOWHERE;
        for (n = 1; i + n < to; n++)
            if (none ? map[i + n] != MATCH_NOWHERE : map[i + n] != map[i] + n)
                break;
        none = none || n < least;
        if (none && bare) {
            if (out)
                out[count - 1].count += (uint32_t)(n * scale);
            continue;
        }
        if (out)
            out[count] = (struct gather_run){(uint32_t)(n * scale),
                                             none ? GATHER_NONE
                                                  : (uint32_t)(map[i] * scale)};
        bare = none;
        count++;
    }
    return count;
}

/* Runs that a gather may have: the shortest are left out where there are too
 * many. NULL with *count 0: half of the columns would be. */
static enum status shape_few_runs(const uint32_t *map, uint32_t to,
                                  uint64_t scale, uint32_t most,
                                  struct gather_run **out, uint32_t *count)
{
    uint32_t least = 1;
    *out = NULL;
    while ((*count = shape_runs(map, to, least, scale, NULL)) > most)
        least += 1 + least / 4;
    struct gather_run *runs = malloc(*count * sizeof(*runs));
    if (!runs)
        return STATUS_NO_MEMORY;
    shape_runs(map, to, least, scale, runs);
    uint64_t found = 0, kept = 0;
    for (uint32_t i = 0; i < to; i++)
        found += map[i] != MATCH_NOWHERE;
    for (uint32_t i = 0; i < *count; i++)
        kept += runs[i].base_column == GATHER_NONE ? 0 : runs[i].count / scale;
    if (2 * kept >= found && kept) {
        *out = runs;
        return STATUS_OK;
    }
    free(runs);
    *count = 0;
    return STATUS_OK;
}

/* Not more than a gather may have, nor than are worth it. */
static uint32_t shape_runs_most(const struct shape *sh, uint64_t bytes,
                                uint32_t most)
{
    uint64_t worth = sh->node->tensor->size / bytes;
    worth = worth < SHAPE_RUNS_LEAST ? SHAPE_RUNS_LEAST : worth;
    return worth < most ? (uint32_t)worth : most;
}

static struct match shape_match(const struct shape *sh)
{
    return (struct match){.tensor = sh->node->tensor,
                          .target_offset = sh->node->tensor->offset,
                          .size = sh->node->tensor->size,
                          .base_dtype = sh->base->tensor->dtype,
                          .base_offset = sh->base->tensor->offset};
}

/* Rows of the tensor as one row whose runs they are. Takes no runs: copies. */
static enum status shape_add_window(struct shape *sh, uint64_t first,
                                    uint64_t elems,
                                    const struct gather_run *runs,
                                    uint32_t run_count)
{
    struct match match = shape_match(sh);
    uint64_t reach;
    match.target_offset += first * sh->node->width;
    match.size = elems * sh->node->width;
    match.columns = (uint32_t)elems;
    match.base_stride = (uint32_t)sh->base->elem_count;
    match.run_count = run_count;
    match.runs = malloc(run_count * sizeof(*runs));
    if (!match.runs)
        return STATUS_NO_MEMORY;
    memcpy(match.runs, runs, run_count * sizeof(*runs));
    struct gather gather = match_gather(&match);
    enum status status =
        gather_check(&gather, elems, sh->ma->base.source->size, &reach);
    match.base_size = reach;
    if (!status)
        status = match_list_add(&sh->node->pieces, match);
    if (status)
        free(match.runs);
    return status;
}

/* Windows of as many rows as their runs allow. */
static enum status shape_add_windows(struct shape *sh)
{
    struct gather_run *runs;
    uint32_t count;
    uint64_t first = 0;
    enum status status = shape_few_runs(
        sh->row_map, sh->rows, sh->units * sh->inner,
        shape_runs_most(sh, SHAPE_RUN_BYTES, UINT32_MAX), &runs, &count);
    for (uint32_t i = 0, n; !status && i < count; i += n) {
        uint64_t elems = 0;
        for (n = 0; n < GATHER_RUNS_MAX && i + n < count; n++)
            elems += runs[i + n].count;
        status = shape_add_window(sh, first, elems, runs + i, n);
        first += elems;
    }
    free(runs);
    return status;
}

/* Rows that follow each other on both sides; each by itself, with the runs of
 * its columns if there are any. */
static enum status shape_add_range(struct shape *sh, uint32_t row,
                                   uint32_t base_row, uint64_t count,
                                   const struct gather_run *runs,
                                   uint32_t run_count)
{
    struct match match = shape_match(sh);
    uint64_t length = sh->units * sh->inner;
    uint64_t base_length = sh->base_units * sh->inner;
    count *= sh->group;
    match.target_offset += row * sh->group * length * sh->node->width;
    match.size = count * length * sh->node->width;
    match.base_offset += base_row * sh->group * base_length * sh->base->width;
    match.base_size = count * base_length * sh->base->width;
    if (run_count) {
        match.columns = (uint32_t)length;
        match.base_stride = (uint32_t)base_length;
        match.run_count = run_count;
        match.runs = malloc(run_count * sizeof(*runs));
        if (!match.runs)
            return STATUS_NO_MEMORY;
        memcpy(match.runs, runs, run_count * sizeof(*runs));
    }
    enum status status = match_list_add(&sh->node->pieces, match);
    if (status)
        free(match.runs);
    return status;
}

static enum status shape_add_ranges(struct shape *sh,
                                    const struct gather_run *runs,
                                    uint32_t run_count)
{
    struct gather_run *ranges;
    uint32_t count, row = 0;
    uint32_t most = shape_runs_most(
        sh, SHAPE_RANGE_BYTES + (uint64_t)run_count * SHAPE_RUN_BYTES,
        SHAPE_RANGES_MAX);
    enum status status =
        shape_few_runs(sh->row_map, sh->rows, 1, most, &ranges, &count);
    for (uint32_t i = 0; !status && i < count; i++) {
        if (ranges[i].base_column != GATHER_NONE)
            status = shape_add_range(sh, row, ranges[i].base_column,
                                     ranges[i].count, runs, run_count);
        row += ranges[i].count;
    }
    free(ranges);
    return status;
}

enum status match_shape_emit(struct shape *sh)
{
    struct gather_run *runs;
    uint32_t run_count;
    if (sh->units != sh->base_units) {
        enum status status = shape_few_runs(sh->unit_map, sh->units, sh->inner,
                                            GATHER_RUNS_MAX, &runs, &run_count);
        if (!status && run_count)
            status = shape_add_ranges(sh, runs, run_count);
        free(runs);
        return status;
    }
    uint32_t ranges = shape_runs(sh->row_map, sh->rows, 1, 1, NULL);
    if (ranges > SHAPE_RANGES_FEW && sh->node->elem_count <= UINT32_MAX &&
        sh->base->elem_count <= UINT32_MAX)
        return shape_add_windows(sh);
    return shape_add_ranges(sh, NULL, 0);
}
