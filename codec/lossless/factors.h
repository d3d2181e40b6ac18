/* Coded sets of factors: the small integers u and v of one record's low rank
 * prediction, near their entropy. Each component of u and of v has a width of
 * raw low bits; what is above, with its sign, is a symbol of a static rANS
 * table that components of like shape share.
 *
 * Byte layout: codec/FORMAT.md, "Factor sets". */
#ifndef CODEC_LOSSLESS_FACTORS_H
#define CODEC_LOSSLESS_FACTORS_H

#include "codec/base/reader.h"
#include "codec/base/status.h"
#include "codec/base/writer.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FACTORS_RANK_MAX 64u
/* Most factors of a set: 1 MiB of 16-bit numbers. */
#define FACTORS_COUNT_MAX ((uint64_t)1 << 19)
/* Most bytes a set codes to: a bit more than the factors themselves. */
#define FACTORS_BYTES_MAX(count) (3 * (size_t)(count) + 1024)

/* True when rank, rows and columns are not 0 and within the limits. */
bool factors_shape_ok(unsigned rank, uint64_t rows, uint32_t columns);

/* rank * (rows + columns). The shape must be ok. */
size_t factors_count(unsigned rank, uint64_t rows, uint32_t columns);

/* Writes a set: u, rank a row, and v, rank a column. Any values can be coded.
 * The shape must be ok and is not written. Deterministic. NO_MEMORY, or what
 * the writer says. */
enum status factors_write(unsigned rank, uint64_t rows, uint32_t columns,
                          const int16_t *u, const int16_t *v, struct writer *wr)
    MUST_CHECK;

/* Reads a set, which knows its own length; rd is left just past it.
 *
 * u, v  out, caller-owned: rank * rows and rank * columns numbers
 *
 * LIMIT: the shape is not ok (it comes from a record); TRUNCATED, CORRUPT: the
 * stream is bad, u and v are then unspecified; NO_MEMORY: about 100 kB. Work is
 * proportional to the count of factors. */
enum status factors_read(struct reader *rd, unsigned rank, uint64_t rows,
                         uint32_t columns, int16_t *u, int16_t *v) MUST_CHECK;

#endif
