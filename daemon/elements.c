/* Bits to doubles. */
#include "daemon/elements.h"

#include "codec/base/bytes.h"

#include <math.h>

static double of_f32(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof(value));
    return (double)value;
}

static double of_f64(uint64_t bits)
{
    double value;
    memcpy(&value, &bits, sizeof(value));
    return value;
}

/* A float of few bits: sign, exponent, mantissa. top: the largest exponent
 * holds infinities and NaNs. */
static double of_small(uint32_t bits, int exponent_bits, int mantissa_bits,
                       bool top)
{
    uint32_t mantissa = bits & ((1u << mantissa_bits) - 1);
    int exponent = (int)(bits >> mantissa_bits) & ((1 << exponent_bits) - 1);
    int bias = (1 << (exponent_bits - 1)) - 1;
    double sign = bits >> (exponent_bits + mantissa_bits) ? -1.0 : 1.0;
    if (top && exponent == (1 << exponent_bits) - 1)
        return mantissa ? (double)NAN : sign * (double)INFINITY;
    if (!top && (bits & 0x7f) == 0x7f)
        return (double)NAN;
    if (!exponent)
        return sign * ldexp((double)mantissa, 1 - bias - mantissa_bits);
    return sign * ldexp((double)(mantissa | 1u << mantissa_bits),
                        exponent - bias - mantissa_bits);
}

static double of_element(enum dtype dtype, const uint8_t *in)
{
    switch (dtype) {
    case DTYPE_I8:
        return (int8_t)*in;
    case DTYPE_U16:
        return load_le16(in);
    case DTYPE_I16:
        return (int16_t)load_le16(in);
    case DTYPE_U32:
        return load_le32(in);
    case DTYPE_I32:
        return (int32_t)load_le32(in);
    case DTYPE_U64:
        return (double)load_le64(in);
    case DTYPE_I64:
        return (double)(int64_t)load_le64(in);
    case DTYPE_F16:
        return of_small(load_le16(in), 5, 10, true);
    case DTYPE_BF16:
        return of_f32((uint32_t)load_le16(in) << 16);
    case DTYPE_F32:
        return of_f32(load_le32(in));
    case DTYPE_F64:
        return of_f64(load_le64(in));
    case DTYPE_F8_E5M2:
        return of_small(*in, 5, 2, true);
    case DTYPE_F8_E4M3:
        return of_small(*in, 4, 3, false);
    default:
        return *in;
    }
}

void elements_read(enum dtype dtype, const uint8_t *in, size_t count,
                   double *out)
{
    size_t width = dtype_bits(dtype) / 8;
    for (size_t i = 0; i < count; i++)
        out[i] = of_element(dtype, in + i * width);
}
