/* Elements of 4 bits lie two in a byte; coders see them one to a byte, 0 to 15,
 * the low half of a byte first.
 *
 * Ref: codec/FORMAT.md, "Segments". */
#ifndef CODEC_LOSSLESS_PACKED_H
#define CODEC_LOSSLESS_PACKED_H

#include "codec/model/dtype.h"

static inline bool packed_dtype(enum dtype dtype)
{
    return dtype_bits(dtype) == 4;
}

/* The dtype that coders know elements by. */
static inline enum dtype packed_coded_as(enum dtype dtype)
{
    return packed_dtype(dtype) ? DTYPE_U8 : dtype;
}

/* Bytes of what cannot be divided: an element, or two of 4 bits. 0 for a dtype
 * whose elements are neither whole bytes nor half ones. */
static inline uint32_t packed_unit_bytes(enum dtype dtype)
{
    unsigned bits = dtype_bits(dtype);
    return packed_dtype(dtype) ? 1 : (bits % 8 ? 0 : bits / 8);
}

/* out gets 2 * byte_count bytes. */
static inline void packed_spread(const uint8_t *bytes, size_t byte_count,
                                 uint8_t *out)
{
    for (size_t i = 0; i < byte_count; i++) {
        out[2 * i] = bytes[i] & 15;
        out[2 * i + 1] = bytes[i] >> 4;
    }
}

/* elems are 2 * byte_count bytes, of which the low halves count. */
static inline void packed_join(const uint8_t *elems, size_t byte_count,
                               uint8_t *out)
{
    for (size_t i = 0; i < byte_count; i++)
        out[i] = (uint8_t)((elems[2 * i] & 15) | elems[2 * i + 1] << 4);
}

#endif
