/* The number of columns in the parameters of adaptive coders: whether there are
 * any, then the position of the highest one bit and the bits below it.
 *
 * Ref: codec/FORMAT.md, "Segment coded small" and "Lattices". */
#ifndef CODEC_LOSSLESS_COLUMNS_FIELD_H
#define CODEC_LOSSLESS_COLUMNS_FIELD_H

#include "codec/base/bits.h"

/* columns: 0 for none, else 2 .. 65535 */
static inline void columns_field_put(struct bit_writer *bw, uint32_t columns)
{
    bit_writer_put(bw, columns != 0, 1);
    if (!columns)
        return;
    unsigned below = 31 - (unsigned)__builtin_clz(columns);
    bit_writer_put(bw, below, 4);
    bit_writer_put(bw, columns & ((1u << below) - 1), below);
}

/* A number below 2 or above max is CORRUPT. */
static inline uint32_t columns_field_get(struct bit_reader *br, uint32_t max)
{
    if (!bit_reader_get(br, 1))
        return 0;
    unsigned below = bit_reader_get(br, 4);
    uint32_t columns = 1u << below | bit_reader_get(br, below);
    if (columns < 2 || columns > max)
        reader_fail(br->rd, STATUS_CORRUPT);
    return columns;
}

#endif
