/* Elements as numbers, whatever their type, to see whether two tensors are
 * alike. Nothing here reaches a stream. */
#include "codec/lossless/match_node.h"

#include <math.h>

static float match_small_float(uint32_t bits, unsigned exponent_bits,
                               unsigned mantissa_bits)
{
    uint32_t mantissa = bits & ((1u << mantissa_bits) - 1);
    uint32_t exponent = bits >> mantissa_bits & ((1u << exponent_bits) - 1);
    int bias = (1 << (exponent_bits - 1)) - 1;
    bool negative = bits >> (mantissa_bits + exponent_bits) & 1;
    float value = exponent
                      ? ldexpf((float)(mantissa | 1u << mantissa_bits),
                               (int)exponent - bias - (int)mantissa_bits)
                      : ldexpf((float)mantissa, 1 - bias - (int)mantissa_bits);
    return negative ? -value : value;
}

static float match_f32(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof(value));
    return value;
}

static float match_f64(uint64_t bits)
{
    double value;
    memcpy(&value, &bits, sizeof(value));
    return fabs(value) < 1e30 ? (float)value : 0;
}

static float match_value(enum dtype dtype, unsigned width, const uint8_t *p)
{
    switch (dtype) {
    case DTYPE_F64:
        return match_f64(load_le64(p));
    case DTYPE_F32:
    case DTYPE_C64:
        return match_f32(load_le32(p));
    case DTYPE_BF16:
        return match_f32((uint32_t)load_le16(p) << 16);
    case DTYPE_F16:
        return match_small_float(load_le16(p), 5, 10);
    case DTYPE_F8_E5M2:
        return match_small_float(*p, 5, 2);
    case DTYPE_F8_E4M3:
        return match_small_float(*p, 4, 3);
    case DTYPE_I8:
        return (float)(int8_t)*p;
    case DTYPE_I16:
        return (float)(int16_t)load_le16(p);
    case DTYPE_I32:
        return (float)(int32_t)load_le32(p);
    case DTYPE_I64:
        return (float)(int64_t)load_le64(p);
    default:
        return width == 1   ? (float)*p
               : width == 2 ? (float)load_le16(p)
               : width == 4 ? (float)load_le32(p)
                            : (float)load_le64(p);
    }
}

enum status match_values(struct matcher *ma, const struct match_side *side,
                         const struct match_node *node, uint64_t first,
                         size_t count, float *out)
{
    const struct tensor *tensor = node->tensor;
    unsigned width = node->width;
    ma->bytes_read += count * width;
    enum status status = source_read(
        side->source, tensor->offset + first * width, ma->buf, count * width);
    for (size_t i = 0; !status && i < count; i++) {
        out[i] = match_value(tensor->dtype, width, ma->buf + i * width);
        /* The largest ones would overflow when squared. */
        if (!(fabsf(out[i]) < 1e15f))
            out[i] = 0;
    }
    return status;
}

float match_corr(const float *a, const float *b, size_t count)
{
    double sa = 0, sb = 0, aa = 0, bb = 0, ab = 0;
    for (size_t i = 0; i < count; i++) {
        sa += a[i];
        sb += b[i];
    }
    sa /= (double)(count ? count : 1);
    sb /= (double)(count ? count : 1);
    for (size_t i = 0; i < count; i++) {
        aa += (a[i] - sa) * (a[i] - sa);
        bb += (b[i] - sb) * (b[i] - sb);
        ab += (a[i] - sa) * (b[i] - sb);
    }
    return aa > 0 && bb > 0 ? (float)(ab / sqrt(aa) / sqrt(bb)) : 0;
}

float match_normalise(float *v, size_t count, float *mean)
{
    double sum = 0, square = 0;
    for (size_t i = 0; i < count; i++)
        sum += v[i];
    float middle = (float)(sum / (double)(count ? count : 1));
    for (size_t i = 0; i < count; i++) {
        v[i] -= middle;
        square += (double)v[i] * v[i];
    }
    float scale = square > 1e-30 ? (float)(1 / sqrt(square)) : 0;
    for (size_t i = 0; i < count; i++)
        v[i] *= scale;
    if (mean)
        *mean = middle;
    return (float)sqrt(square);
}

/* Several sums, so that they need not wait for each other. */
float match_dot(const float *a, const float *b, size_t count)
{
    float sum[4] = {0, 0, 0, 0};
    size_t i = 0;
    for (; i + 4 <= count; i += 4)
        for (size_t j = 0; j < 4; j++)
            sum[j] += a[i + j] * b[i + j];
    for (; i < count; i++)
        sum[0] += a[i] * b[i];
    return sum[0] + sum[1] + sum[2] + sum[3];
}

/* Fisher's transformation makes a correlation about normal. */
bool match_beyond_chance(float corr, size_t count, float z)
{
    if (count < 6 || corr < 0.4f)
        return false;
    float c = corr < 0.99999f ? corr : 0.99999f;
    return 0.5f * logf((1 + c) / (1 - c)) * sqrtf((float)count - 3) >= z;
}

/* Floats, and what they are quantised to. */
static bool match_is_number(enum dtype dtype)
{
    return dtype_is_float(dtype) || dtype == DTYPE_I8 || dtype == DTYPE_U8;
}

bool match_kinds_fit(const struct match_node *a, const struct match_node *b)
{
    enum dtype s = a->tensor->dtype, t = b->tensor->dtype;
    if (!a->tensor->size || !b->tensor->size)
        return false;
    if (dtype_is_float(s) || dtype_is_float(t))
        return s == t || (match_is_number(s) && match_is_number(t));
    return s == t;
}

void match_pair(struct match_node *target, struct match_node *base,
                enum match_bond bond)
{
    target->other = base;
    target->bond = bond;
    target->turned = false;
    if (bond == MATCH_BY_VALUES)
        base->claimed = true;
}
