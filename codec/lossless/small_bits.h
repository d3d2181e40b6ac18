/* Elements as the small coder sees them: width, ordered form, exponent. */
#ifndef CODEC_LOSSLESS_SMALL_BITS_H
#define CODEC_LOSSLESS_SMALL_BITS_H

#include "codec/base/bytes.h"
#include "codec/model/dtype.h"

#define SMALL_SCALE_BIAS 32

#define SMALL_INLINE static inline __attribute__((always_inline))

struct small_format {
    uint8_t width; /* bits */
    uint8_t mant;  /* stored bits of the mantissa; 0: an integer */
};

static inline struct small_format small_format(enum dtype dtype)
{
    switch (dtype) {
    case DTYPE_F64:
        return (struct small_format){64, 52};
    case DTYPE_F32:
        return (struct small_format){32, 23};
    case DTYPE_F16:
        return (struct small_format){16, 10};
    case DTYPE_BF16:
        return (struct small_format){16, 7};
    case DTYPE_F8_E4M3:
        return (struct small_format){8, 3};
    case DTYPE_F8_E5M2:
        return (struct small_format){8, 2};
    default:
        return (struct small_format){(uint8_t)dtype_bits(dtype), 0};
    }
}

/* Calls what(width, mant) with constants for the usual types. */
#define SMALL_AS(dtype, what)                            \
    do {                                                 \
        struct small_format as = small_format(dtype);    \
        if (as.width == 32 && as.mant)                   \
            what(32, 23);                                \
        else if (as.width == 16 && as.mant == 7)         \
            what(16, 7);                                 \
        else if (as.width == 16 && as.mant)              \
            what(16, 10);                                \
        else if (as.width == 8 && !as.mant)              \
            what(8, 0);                                  \
        else                                             \
            what((unsigned)as.width, (unsigned)as.mant); \
    } while (0)

SMALL_INLINE uint64_t small_load(const uint8_t *p, unsigned width)
{
    if (width == 64)
        return load_le64(p);
    if (width == 32)
        return load_le32(p);
    return width == 16 ? load_le16(p) : p[0];
}

SMALL_INLINE void small_store(uint8_t *p, uint64_t v, unsigned width)
{
    if (width == 64)
        store_le64(p, v);
    else if (width == 32)
        store_le32(p, (uint32_t)v);
    else if (width == 16)
        store_le16(p, (uint16_t)v);
    else
        p[0] = (uint8_t)v;
}

/* Floats as ordered integers, integers as they are. Its own inverse. */
SMALL_INLINE uint64_t small_ordered(uint64_t v, unsigned width, unsigned mant)
{
    uint64_t sign = mant ? 0 - (v >> (width - 1) & 1) : 0;
    return v ^ (sign & (~(uint64_t)0 >> (65 - width)));
}

/* The exponent field (f64: less 896), 0 .. 255; of integers of 8 bits the bit
 * length of the magnitude, of wider ones 0. */
SMALL_INLINE unsigned small_exponent(uint64_t v, unsigned width, unsigned mant)
{
    if (!mant) {
        unsigned x = (unsigned)(v & 0x80 ? 256 - v : v);
        return width > 8 || !x ? 0 : 32 - (unsigned)__builtin_clz(x);
    }
    unsigned field = (unsigned)(v >> mant) & ((1u << (width - 1 - mant)) - 1);
    if (width < 64)
        return field;
    return field < 896 ? 0 : field > 1151 ? 255 : field - 896;
}

/* The half octave of a magnitude > 0: 0 for 1, 2 for 2, 3 for 3, 4 for 4 and
 * 5, ... */
static inline unsigned small_class(uint64_t mag)
{
    unsigned top = 63 - (unsigned)__builtin_clzll(mag);
    return 2 * top + (unsigned)(mag << 1 >> top & 1);
}

#endif
