/* Elements of a base picked in the order of a target: a stretch as it is, rows
 * that have another length in the base, chosen columns of them, or a matrix
 * turned over. It holds no tensor: encoder and decoder pick alike, the latter
 * by what a record of unknown origin says. */
#ifndef CODEC_LOSSLESS_GATHER_H
#define CODEC_LOSSLESS_GATHER_H

#include "codec/base/source.h"

#define GATHER_RUNS_MAX 4096u
/* The base column of target columns that have none. */
#define GATHER_NONE UINT32_MAX
/* The most bytes in a row of a transposed target, so that a piece of some rows
 * is read in runs of some elements. */
#define GATHER_TRANSPOSED_ROW_MAX (1u << 20)

/* Neighbouring columns of the target and where they begin in a base row. */
struct gather_run {
    uint32_t count;       /* elements, at least 1 */
    uint32_t base_column; /* or GATHER_NONE */
};

/* Where the base element of target element e is, with i = e / columns and
 * j = e % columns, counted in elements from base_offset:
 *
 *     columns 0      e
 *     not transposed i * base_stride + c(j)
 *     transposed     c(j) * base_stride + i
 *
 * c(j) is the base column that the runs give column j; j without runs. */
struct gather {
    uint64_t base_offset;          /* bytes */
    uint32_t elem_bytes;           /* of the base: 1, 2, 4 or 8 */
    uint32_t columns;              /* elements a row of the target; or 0 */
    uint32_t base_stride;          /* elements a row of the base */
    uint32_t run_count;            /* 0: every column is its own */
    const struct gather_run *runs; /* together as long as columns; borrowed */
    bool transposed;
};

/* Checks a gather of elem_count elements and says how many bytes of the base
 * from base_offset it reaches, through unused ones between.
 *
 * CORRUPT when widths, strides or runs do not fit each other, a run leaves the
 * base row, a transposed target has more rows than a base row has elements or
 * rows longer than GATHER_TRANSPOSED_ROW_MAX, or the base is not that long. */
enum status gather_check(const struct gather *gather, uint64_t elem_count,
                         uint64_t base_size, uint64_t *reach) MUST_CHECK;

/* Reads the base elements of the target elements first to first + count into
 * out, count * elem_bytes bytes; zero bits where there is none. The gather has
 * been checked for that many at least.
 *
 * Costs at most one read and 4 KiB of the base for each element, in practice a
 * read for every few KiB, and allocates nothing. A transposed target is best
 * read in pieces of many whole rows: each row of a piece makes its reads
 * longer. Answers what the base answers. */
enum status gather_read(const struct gather *gather, const struct source *base,
                        uint64_t first, size_t count, uint8_t *out) MUST_CHECK;

#endif
