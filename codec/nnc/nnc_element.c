/* binary32 has paths of its own, since most of all models is that; the other
 * types go one element at a time. A sum of two binary32 numbers is the same
 * when made in binary64 and then rounded: 53 bits are more than twice 24 and
 * two. */
#include "codec/nnc/nnc_element.h"

#include "codec/base/bytes.h"
#include "codec/lossless/narrow_float.h"

#include <math.h>

enum nnc_carry nnc_element_carry(enum dtype dtype)
{
    if (!dtype_is_number(dtype))
        return NNC_CARRY_NONE;
    return dtype_is_int(dtype) ? NNC_CARRY_INTS : NNC_CARRY_FLOATS;
}

static size_t width_of(enum dtype dtype)
{
    return dtype_bits(dtype) / 8;
}

static float load_f32(const uint8_t *p)
{
    return float_of_bits(load_le32(p));
}

static double load_f64(const uint8_t *p)
{
    uint64_t bits = load_le64(p);
    double value;
    memcpy(&value, &bits, sizeof(value));
    return value;
}

static void store_f64(uint8_t *p, double value)
{
    uint64_t bits;
    memcpy(&bits, &value, sizeof(bits));
    store_le64(p, bits);
}

/* f16, bf16 and the two of 8 bits; all of them have NaNs, all but f8_e4m3
 * infinities. */
static float narrow_load(const struct narrow_float *f, const uint8_t *p)
{
    uint32_t bits = f->width == 8 ? *p : load_le16(p);
    uint32_t magnitude = bits & ((1u << (f->width - 1)) - 1);
    bool infinities = f->max_finite != 0x7e;
    if (infinities && magnitude == f->max_finite + 1)
        return bits >> (f->width - 1) ? -INFINITY : INFINITY;
    return narrow_float_widen(f, bits);
}

static void narrow_store(const struct narrow_float *f, uint8_t *p, float value)
{
    uint32_t bits;
    uint8_t lost;
    if (!narrow_float_round(f, value, &bits, &lost)) {
        bits = f->max_finite + 1; /* infinity; of f8_e4m3 its NaN */
        if (isnan(value) && f->max_finite != 0x7e)
            bits |= 1u << (f->mantissa_bits - 1);
        bits |= (uint32_t)(signbit(value) != 0) << (f->width - 1);
    }
    if (f->width == 8)
        *p = (uint8_t)bits;
    else
        store_le16(p, (uint16_t)bits);
}

/* ---- to numbers ---- */

static void floats_f32(const uint8_t *in, const uint8_t *base, size_t count,
                       float *out)
{
    if (!base)
        for (size_t i = 0; i < count; i++)
            out[i] = load_f32(in + 4 * i);
    else
        for (size_t i = 0; i < count; i++)
            out[i] = load_f32(in + 4 * i) - load_f32(base + 4 * i);
}

void nnc_element_floats(enum dtype dtype, const uint8_t *in,
                        const uint8_t *base, size_t count, float *out)
{
    struct narrow_float f;
    if (dtype == DTYPE_F32) {
        floats_f32(in, base, count, out);
        return;
    }
    if (dtype == DTYPE_F64) {
        for (size_t i = 0; i < count; i++)
            out[i] = (float)(load_f64(in + 8 * i) -
                             (base ? load_f64(base + 8 * i) : 0));
        return;
    }
    (void)narrow_float_of(dtype, &f);
    size_t width = width_of(dtype);
    for (size_t i = 0; i < count; i++)
        out[i] = base ? narrow_load(&f, in + width * i) -
                            narrow_load(&f, base + width * i)
                      : narrow_load(&f, in + width * i);
}

/* False: above INT64_MAX. */
static bool int_load(enum dtype dtype, const uint8_t *p, int64_t *out)
{
    switch ((int)dtype) {
    case DTYPE_I8:
        *out = (int8_t)*p;
        break;
    case DTYPE_U16:
        *out = load_le16(p);
        break;
    case DTYPE_I16:
        *out = (int16_t)load_le16(p);
        break;
    case DTYPE_U32:
        *out = load_le32(p);
        break;
    case DTYPE_I32:
        *out = (int32_t)load_le32(p);
        break;
    case DTYPE_U64:
    case DTYPE_I64:
        *out = (int64_t)load_le64(p);
        return dtype == DTYPE_I64 || *out >= 0;
    default:
        *out = *p;
        break;
    }
    return true;
}

bool nnc_element_ints(enum dtype dtype, const uint8_t *in, const uint8_t *base,
                      size_t count, int32_t *out)
{
    size_t width = width_of(dtype);
    for (size_t i = 0; i < count; i++) {
        int64_t value, from = 0;
        if (!int_load(dtype, in + width * i, &value) ||
            (base && !int_load(dtype, base + width * i, &from)) ||
            __builtin_sub_overflow(value, from, &value) || value < INT32_MIN ||
            value > INT32_MAX)
            return false;
        out[i] = (int32_t)value;
    }
    return true;
}

/* ---- from numbers ---- */

static bool int_fits(enum dtype dtype, int64_t value)
{
    switch ((int)dtype) {
    case DTYPE_BOOL:
        return value == 0 || value == 1;
    case DTYPE_U8:
        return value >= 0 && value <= UINT8_MAX;
    case DTYPE_I8:
        return value >= INT8_MIN && value <= INT8_MAX;
    case DTYPE_U16:
        return value >= 0 && value <= UINT16_MAX;
    case DTYPE_I16:
        return value >= INT16_MIN && value <= INT16_MAX;
    case DTYPE_U32:
        return value >= 0 && value <= UINT32_MAX;
    case DTYPE_I32:
        return value >= INT32_MIN && value <= INT32_MAX;
    case DTYPE_U64:
        return value >= 0;
    default:
        return true;
    }
}

static bool int_store(enum dtype dtype, const uint8_t *base, size_t width,
                      int64_t value, uint8_t *out)
{
    int64_t from = 0;
    if (base && !int_load(dtype, base, &from))
        return false;
    if (__builtin_add_overflow(value, from, &value) || !int_fits(dtype, value))
        return false;
    for (size_t i = 0; i < width; i++)
        out[i] = (uint8_t)((uint64_t)value >> (8 * i));
    return true;
}

/* A sum that is no number is the same bits on every machine: those of the base,
 * or of one NaN where infinities cancel out. */
static float settled_f32(float sum, float base)
{
    return !isnan(sum) ? sum : isnan(base) ? base : NAN;
}

static double settled_f64(double sum, double base)
{
    return !isnan(sum) ? sum : isnan(base) ? base : (double)NAN;
}

static float sum_f32(float base, double value)
{
    return settled_f32((float)((double)base + value), base);
}

/* value is a binary32 number or an int32. */
static void float_store(enum dtype dtype, const struct narrow_float *f,
                        const uint8_t *base, double value, uint8_t *out)
{
    if (dtype == DTYPE_F64)
        store_f64(out, base
                           ? settled_f64(load_f64(base) + value, load_f64(base))
                           : value);
    else if (dtype == DTYPE_F32)
        store_le32(out, float_bits(base ? sum_f32(load_f32(base), value)
                                        : (float)value));
    else
        narrow_store(
            f, out, base ? sum_f32(narrow_load(f, base), value) : (float)value);
}

static bool put_one(enum dtype dtype, const struct narrow_float *f,
                    const uint8_t *base, double value, uint8_t *out)
{
    if (nnc_element_carry(dtype) == NNC_CARRY_FLOATS) {
        float_store(dtype, f, base, value, out);
        return true;
    }
    double whole = nearbyint(value);
    return fabs(whole) < 0x1p63 &&
           int_store(dtype, base, width_of(dtype), (int64_t)whole, out);
}

static void put_f32(const uint8_t *base, const float *values, size_t count,
                    uint8_t *out)
{
    if (!base)
        for (size_t i = 0; i < count; i++)
            store_le32(out + 4 * i, float_bits(values[i]));
    else
        for (size_t i = 0; i < count; i++) {
            float from = load_f32(base + 4 * i);
            store_le32(out + 4 * i,
                       float_bits(settled_f32(from + values[i], from)));
        }
}

bool nnc_element_put_floats(enum dtype dtype, const uint8_t *base,
                            const float *values, size_t count, uint8_t *out)
{
    struct narrow_float f;
    size_t width = width_of(dtype);
    if (dtype == DTYPE_F32) {
        put_f32(base, values, count, out);
        return true;
    }
    (void)narrow_float_of(dtype, &f);
    for (size_t i = 0; i < count; i++)
        if (!put_one(dtype, &f, base ? base + width * i : NULL,
                     (double)values[i], out + width * i))
            return false;
    return true;
}

bool nnc_element_put_ints(enum dtype dtype, const uint8_t *base,
                          const int32_t *values, size_t count, uint8_t *out)
{
    struct narrow_float f;
    size_t width = width_of(dtype);
    (void)narrow_float_of(dtype, &f);
    for (size_t i = 0; i < count; i++)
        if (!put_one(dtype, &f, base ? base + width * i : NULL,
                     (double)values[i], out + width * i))
            return false;
    return true;
}
