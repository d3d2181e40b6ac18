/* Floats of 16 and 8 bits in software: to binary32 without loss, and from it
 * rounded to nearest even together with what the rounding lost. */
#ifndef CODEC_LOSSLESS_NARROW_FLOAT_H
#define CODEC_LOSSLESS_NARROW_FLOAT_H

#include "codec/model/dtype.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

struct narrow_float {
    unsigned width;         /* bits */
    unsigned mantissa_bits; /* stored ones */
    int bias;
    uint32_t max_finite; /* magnitude of the largest number */
};

/* False for other types, with something usable in f. f8_e4m3 has no
 * infinities. */
static inline bool narrow_float_of(enum dtype dtype, struct narrow_float *f)
{
    switch ((int)dtype) {
    case DTYPE_F16:
        *f = (struct narrow_float){16, 10, 15, 0x7bff};
        return true;
    case DTYPE_BF16:
        *f = (struct narrow_float){16, 7, 127, 0x7f7f};
        return true;
    case DTYPE_F8_E5M2:
        *f = (struct narrow_float){8, 2, 15, 0x7b};
        return true;
    case DTYPE_F8_E4M3:
        *f = (struct narrow_float){8, 3, 7, 0x7e};
        return true;
    default:
        *f = (struct narrow_float){16, 7, 127, 0x7f7f};
        return false;
    }
}

static inline uint32_t float_bits(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof(bits));
    return bits;
}

static inline float float_of_bits(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof(value));
    return value;
}

/* 2^exponent for -126 .. 127. */
static inline float float_power(int exponent)
{
    return float_of_bits((uint32_t)(exponent + 127) << 23);
}

/* The number itself; an infinity or NaN becomes a NaN. */
static inline float narrow_float_widen(const struct narrow_float *f,
                                       uint32_t bits)
{
    uint32_t sign = bits >> (f->width - 1) << 31;
    uint32_t magnitude = bits & ((1u << (f->width - 1)) - 1);
    uint32_t e = magnitude >> f->mantissa_bits;
    uint32_t m = magnitude & ((1u << f->mantissa_bits) - 1);
    if (magnitude > f->max_finite)
        return float_of_bits(UINT32_C(0x7fc00000));
    if (f->bias == 127)
        return float_of_bits(sign | magnitude << 16);
    if (!e) {
        float v = (float)m * float_power(1 - f->bias - (int)f->mantissa_bits);
        return float_of_bits(sign | float_bits(v));
    }
    uint32_t wide = (uint32_t)((int)e - f->bias + 127);
    return float_of_bits(sign | wide << 23 | m << (23 - f->mantissa_bits));
}

/* value rounded to nearest even. level says which eighth of a unit in the last
 * place (of value's binade) value lies above the result: floor(8 x + 4) for a
 * distance of x units, at most 7. False when value or the result is not finite
 * (then neither is set). */
static inline bool narrow_float_round(const struct narrow_float *f, float value,
                                      uint32_t *bits, uint8_t *level)
{
    uint32_t in = float_bits(value);
    int e = (int)(in >> 23 & 0xff);
    uint32_t m = in & 0x7fffff;
    if (e == 255)
        return false;
    if (e)
        m |= 0x800000;
    else
        e = 1;
    int t = (int)f->mantissa_bits, own = e - 127 + f->bias;
    int drop = 23 - t + (own < 1 ? 1 - own : 0);
    if (drop > 27) /* that is far enough below the smallest number */
        drop = 27;
    uint32_t q = m >> drop, rest = m & (((uint32_t)1 << drop) - 1);
    uint32_t half = (uint32_t)1 << (drop - 1);
    uint32_t up = rest > half || (rest == half && (q & 1));
    uint32_t magnitude = ((uint32_t)(own < 1 ? 0 : own - 1) << t) + q + up;
    if (magnitude > f->max_finite)
        return false;
    int64_t over = (int64_t)rest - ((int64_t)up << drop);
    bool negative = in >> 31;
    int64_t eighth =
        ((negative ? -over : over) * 8 + ((int64_t)4 << drop)) >> drop;
    *level = (uint8_t)(eighth > 7 ? 7 : eighth);
    *bits = (uint32_t)negative << (f->width - 1) | magnitude;
    return true;
}

#endif
