/* Counts the classes of a tensor's differences and values by base exponent. */
#include "codec/lossless/fast_stats.h"

#include "codec/lossless/fast_context.h"

#include <stdlib.h>

/* Counters have 32 bits; what comes after so many elements is like them. */
#define COUNTED_MAX ((uint64_t)1 << 31)

struct fast_stats *fast_stats_new(void)
{
    struct fast_stats *stats = calloc(1, sizeof(*stats));
    if (stats)
        stats->kernels = fast_kernels_choose();
    return stats;
}

void fast_stats_plain(struct fast_stats *stats)
{
    stats->kernels = &fast_kernels_plain;
}

void fast_stats_free(struct fast_stats *stats)
{
    free(stats);
}

void fast_stats_reset(struct fast_stats *stats, enum dtype dtype)
{
    for (unsigned e = 0; e < CLASSES_EXPONENTS; e++) {
        if (!stats->seen[e])
            continue;
        memset(&stats->diff[e], 0, sizeof(stats->diff[e]));
        memset(&stats->value[e], 0, sizeof(stats->value[e]));
        stats->seen[e] = false;
    }
    stats->elem_count = stats->changed_count = 0;
    stats->has_base = false;
    (void)classes_format(dtype, &stats->format);
}

/* width and mantissa_bits are constants where these are inlined. There are no
 * branches on values: they would be hard to predict. */
static ALWAYS_INLINE uint64_t magnitude_of(uint64_t d, unsigned width)
{
    uint64_t mask = ~(uint64_t)0 >> (64 - width);
    uint64_t sign = 0 - (d >> (width - 1) & 1);
    return ((d ^ sign) - sign) & mask;
}

static ALWAYS_INLINE void count_value(struct fast_value_counts *counts,
                                      uint64_t ordered, unsigned width,
                                      unsigned mantissa_bits, unsigned first)
{
    uint64_t magnitude = magnitude_of(ordered, width);
    unsigned at = 1 + (unsigned)(magnitude >> (mantissa_bits - 1)) - first;
    at = at - 1 < FAST_VALUES ? at : 1 + FAST_VALUES;
    counts->count[at & (0 - (unsigned)(magnitude != 0))]++;
}

static ALWAYS_INLINE void count_values(struct fast_stats *stats,
                                       const uint8_t *target, size_t count,
                                       unsigned width, unsigned mantissa_bits)
{
    unsigned first = 2u * stats->format.exponent_bias;
    for (size_t i = 0; i < count; i++) {
        uint64_t bits = fast_load(target + i * (width / 8), width);
        count_value(&stats->value[0], fast_ordered(bits, width, mantissa_bits),
                    width, mantissa_bits, first);
    }
    stats->seen[0] = true;
    stats->changed_count += count;
}

static ALWAYS_INLINE uint64_t count_diffs(struct fast_stats *stats,
                                          const uint8_t *base,
                                          const uint8_t *target, size_t count,
                                          unsigned width,
                                          unsigned mantissa_bits)
{
    unsigned first = 2u * stats->format.exponent_bias;
    uint64_t changed = 0;
    for (size_t i = 0; i < count; i++) {
        uint64_t from = fast_load(base + i * (width / 8), width);
        uint64_t to = fast_load(target + i * (width / 8), width);
        unsigned e = fast_exponent(from, width, mantissa_bits);
        to = fast_ordered(to, width, mantissa_bits);
        stats->seen[e] = true;
        count_value(&stats->value[e], to, width, mantissa_bits, first);
        uint64_t magnitude =
            magnitude_of(to - fast_ordered(from, width, mantissa_bits), width);
        uint64_t none = magnitude == 0;
        unsigned at = 1 + classes_of(magnitude | none);
        stats->diff[e].count[at & ((unsigned)none - 1)]++;
        changed += 1 - none;
    }
    return changed;
}

/* Floats of 32 bits that have a base, as far as kernels go. */
static size_t count_quick(struct fast_stats *stats, const uint8_t *base,
                          const uint8_t *target, size_t count)
{
    size_t done = 0, same = 0;
    while (count - done >= FAST_GROUP) {
        size_t now = count - done - (count - done) % FAST_GROUP;
        now = now < FAST_STATS_BLOCK ? now : FAST_STATS_BLOCK;
        stats->kernels->classes_32(base + 4 * done, target + 4 * done,
                                   stats->classes, now);
        for (size_t i = 0; i < now; i++) {
            struct fast_classes c = stats->classes[i];
            stats->seen[c.exponent] = true;
            stats->diff[c.exponent].count[c.diff]++;
            stats->value[c.exponent].count[c.value]++;
            same += !c.diff;
        }
        done += now;
    }
    stats->changed_count += done - same;
    return done;
}

static ALWAYS_INLINE void count_any(struct fast_stats *stats,
                                    const uint8_t *base, const uint8_t *target,
                                    size_t count, unsigned width,
                                    unsigned mantissa_bits)
{
    if (base)
        stats->changed_count +=
            count_diffs(stats, base, target, count, width, mantissa_bits);
    else
        count_values(stats, target, count, width, mantissa_bits);
}

/* Counts a magnitude by half octave; returns 1 unless it is 0. */
static ALWAYS_INLINE unsigned count_magnitude(uint32_t *count,
                                              uint64_t magnitude)
{
    unsigned some = magnitude != 0;
    unsigned at = 1 + classes_of(magnitude | !some);
    count[at & (0 - some)]++;
    return some;
}

/* Integers: the values, and the differences if there is a base. */
static ALWAYS_INLINE void count_integers(struct fast_stats *stats,
                                         const uint8_t *base,
                                         const uint8_t *target, size_t count,
                                         unsigned width)
{
    uint64_t changed = base ? 0 : count;
    for (size_t i = 0; i < count; i++) {
        uint64_t to = fast_load(target + i * (width / 8), width);
        count_magnitude(stats->value[0].count, magnitude_of(to, width));
        if (!base)
            continue;
        to -= fast_load(base + i * (width / 8), width);
        changed +=
            count_magnitude(stats->diff[0].count, magnitude_of(to, width));
    }
    stats->seen[0] = true;
    stats->changed_count += changed;
}

static uint64_t count_changed(const uint8_t *base, const uint8_t *target,
                              size_t count, size_t elem_bytes)
{
    uint64_t changed = 0;
    for (size_t i = 0; i < count; i++)
        changed += memcmp(base + i * elem_bytes, target + i * elem_bytes,
                          elem_bytes) != 0;
    return changed;
}

void fast_stats_add(struct fast_stats *stats, const uint8_t *base,
                    const uint8_t *target, size_t elem_count)
{
    const struct classes_format *format = &stats->format;
    stats->has_base = base != NULL;
    stats->elem_count += elem_count;
    if (stats->elem_count > COUNTED_MAX) {
        stats->changed_count +=
            base ? count_changed(base, target, elem_count, format->width / 8)
                 : elem_count;
        return;
    }
    if (!format->mantissa_bits && format->width == 64)
        count_integers(stats, base, target, elem_count, 64);
    else if (!format->mantissa_bits)
        count_integers(stats, base, target, elem_count, 32);
    else if (format->width == 64)
        count_any(stats, base, target, elem_count, 64, 52);
    else if (format->width == 32) {
        size_t n = base ? count_quick(stats, base, target, elem_count) : 0;
        count_any(stats, base ? base + 4 * n : NULL, target + 4 * n,
                  elem_count - n, 32, 23);
    } else if (format->mantissa_bits == 10)
        count_any(stats, base, target, elem_count, 16, 10);
    else
        count_any(stats, base, target, elem_count, 16, 7);
}

uint64_t fast_stats_count(const struct fast_stats *stats)
{
    return stats->elem_count;
}

uint64_t fast_stats_changed(const struct fast_stats *stats)
{
    return stats->changed_count;
}
