/* Estimated bits of a sample. */
#include "codec/lossless/lowrank_cost.h"

#include "codec/base/bytes.h"
#include "codec/lossless/narrow_float.h"
#include "codec/lossless/ordered.h"

#include <math.h>
#include <string.h>

int32_t lowrank_ordered(enum dtype dtype, const uint8_t *element)
{
    struct narrow_float f;
    switch ((int)dtype) {
    case DTYPE_I8:
        return (int8_t)*element;
    case DTYPE_U8:
        return *element;
    case DTYPE_I16:
        return (int16_t)load_le16(element);
    case DTYPE_U16:
        return load_le16(element);
    default:
        (void)narrow_float_of(dtype, &f);
        if (f.width == 8)
            return (int16_t)ordered_16((uint16_t)(*element << 8)) >> 8;
        return (int16_t)ordered_16(load_le16(element));
    }
}

/* Half octaves above unit, an exponent as it is stored in binary32: magnitudes
 * of a unit and more from 2 on; below, 0 and 1. */
static unsigned class_of(float value, int unit)
{
    int sym = (int)((float_bits(value) & 0x7fffffff) >> 22) - 2 * unit + 2;
    sym = sym < 0 ? 0 : sym;
    return sym < (int)LOWRANK_COST_SYMS ? (unsigned)sym : LOWRANK_COST_SYMS - 1;
}

/* Raw bits after a class, the sign included. */
static unsigned raw_bits(unsigned sym)
{
    return sym == 0 ? 0 : (sym < 4 ? 1 : (sym - 2) / 2);
}

/* Groups are exponents of the base, seen from 2^0 down. */
static unsigned group_of(float base, unsigned groups)
{
    int e = 127 - (int)(float_bits(base) >> 23 & 0xff);
    e = e < 0 ? 0 : e;
    return (unsigned)e < groups ? (unsigned)e : groups - 1;
}

static void count_wide(const struct lowrank_sample *s, const float *low,
                       struct lowrank_hist *hist)
{
    int mantissa = s->dtype == DTYPE_F64 ? 52 : 23;
    for (size_t i = 0; i < s->count; i++) {
        int e = (int)(float_bits(s->base[i]) >> 23 & 0xff);
        float rest = low ? s->diff[i] - low[i] : s->diff[i];
        unsigned sym = class_of(rest, (e ? e : 1) - mantissa);
        hist->count[group_of(s->base[i], LOWRANK_COST_GROUPS)][sym]++;
    }
}

/* A prediction in ordered form and its lost level. */
static int32_t round_bf16(float real, unsigned *level)
{
    uint32_t bits = float_bits(real), sign = 0 - (bits >> 31);
    uint32_t up = (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
    uint32_t over = ((bits - (up << 16)) ^ sign) - sign;
    *level = (over + 0x8000) >> 13;
    *level = *level > 7 ? 7 : *level;
    return (int16_t)ordered_16((uint16_t)up);
}

static int32_t round_narrow(const struct narrow_float *f, float real,
                            unsigned *level)
{
    uint8_t lost = 4;
    uint32_t bits = 0;
    (void)narrow_float_round(f, real, &bits, &lost);
    *level = lost;
    int32_t magnitude = (int32_t)(bits & ((1u << (f->width - 1)) - 1));
    return bits >> (f->width - 1) ? -1 - magnitude : magnitude;
}

static int32_t round_int(float real, unsigned *level)
{
    float up = real + 32768.5f;
    int32_t whole = (int32_t)up;
    *level = (unsigned)((up - (float)whole) * 8) & 7;
    return whole - 32768;
}

/* Small signed differences are symbols of their own. */
#define NARROW_SYMS 17

static void count_narrow(const struct lowrank_sample *s, const float *low,
                         struct lowrank_hist *hist)
{
    struct narrow_float f;
    bool is_float = narrow_float_of(s->dtype, &f);
    bool is_bf16 = s->dtype == DTYPE_BF16;
    for (size_t i = 0; i < s->count; i++) {
        float real = low ? s->base[i] + low[i] : s->base[i];
        unsigned level;
        int32_t pred = is_bf16 ? round_bf16(real, &level)
                               : (is_float ? round_narrow(&f, real, &level)
                                           : round_int(real, &level));
        int32_t d = s->target[i] - pred;
        d = level < 4 ? -d : d;
        unsigned fold = low ? (level < 4 ? 3 - level : level - 4) : 0;
        unsigned sym = (unsigned)(d + 8);
        if (sym >= NARROW_SYMS)
            sym = NARROW_SYMS + class_of((float)d, 127);
        unsigned group = is_float ? group_of(s->base[i], 16) : 0;
        hist->count[group * 4 + fold][sym % LOWRANK_COST_SYMS]++;
    }
}

/* Bits of a histogram coded by its own frequencies, raw bits included; symbols
 * from first on are classes. */
static double bits_of(const uint32_t *count, unsigned first)
{
    double total = 0, sum = 0;
    for (unsigned s = 0; s < LOWRANK_COST_SYMS; s++) {
        if (!count[s])
            continue;
        total += count[s];
        sum -= count[s] * (double)log2f((float)count[s]);
        sum += s < first ? 0 : count[s] * (double)raw_bits(s - first);
    }
    return total > 0 ? sum + total * log2(total) : 0;
}

double lowrank_cost(const struct lowrank_sample *sample, const float *low,
                    struct lowrank_hist *hist)
{
    memset(hist, 0, sizeof(*hist));
    bool wide = dtype_bits(sample->dtype) > 16;
    if (wide)
        count_wide(sample, low, hist);
    else
        count_narrow(sample, low, hist);
    double bits = 0;
    for (unsigned g = 0; g < LOWRANK_COST_GROUPS; g++)
        bits += bits_of(hist->count[g], wide ? 0 : NARROW_SYMS);
    return bits;
}
