/* Counts the classes of a tensor's differences and values by base exponent. */
#include "codec/lossless/fast_stats.h"

#include "codec/lossless/fast_shift.h"

#include <stdlib.h>

/* Counters have 32 bits; what comes after so many elements is like them. */
#define COUNTED_MAX ((uint64_t)1 << 31)
/* A class from which on the size of changes is seen, not their rounding. */
#define CLEAR_CLASS 8u

static void shift_exponents(unsigned sym, uint8_t exponent[CLASSES_EXPONENTS])
{
    struct fast_shift shift = fast_shift_of(sym);
    for (unsigned e = 0; e < CLASSES_EXPONENTS; e++)
        exponent[e] =
            (uint8_t)(sym == FAST_SHIFT_EQUAL ? FAST_SHIFT_QUIET
                                              : fast_shift_exponent(&shift, e));
}

struct fast_stats *fast_stats_new(void)
{
    struct fast_stats *stats = calloc(1, sizeof(*stats));
    if (!stats)
        return NULL;
    stats->kernels = fast_kernels_choose();
    for (unsigned sym = 0; sym < FREQ_SYMS; sym++)
        shift_exponents(sym, stats->exponent[sym]);
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

static void counts_reset(struct fast_counts *counts)
{
    for (unsigned e = 0; e < CLASSES_EXPONENTS; e++) {
        if (!counts->seen[e])
            continue;
        memset(&counts->diff[0][e], 0, sizeof(counts->diff[0][e]));
        memset(&counts->diff[1][e], 0, sizeof(counts->diff[1][e]));
        memset(&counts->value[e], 0, sizeof(counts->value[e]));
        counts->seen[e] = false;
    }
}

void fast_stats_reset(struct fast_stats *stats, enum dtype dtype)
{
    counts_reset(&stats->plain);
    counts_reset(&stats->shifted);
    memset(stats->shift, 0, sizeof(stats->shift));
    stats->elem_count = stats->changed_count = 0;
    stats->has_base = stats->has_scale = false;
    (void)classes_format(dtype, &stats->format);
}

/* The median of class + 2 * exponent over the changes that are clear of
 * rounding, or over all when few are. */
uint16_t fast_counts_scale(const struct fast_counts *counts)
{
    uint64_t hist[2][FAST_DIFFS + 2 * CLASSES_EXPONENTS] = {{0}};
    uint64_t total[2] = {0};
    for (unsigned e = 0; e < CLASSES_EXPONENTS; e++) {
        for (unsigned c = 0; counts->seen[e] && c < FAST_DIFFS; c++) {
            uint32_t count = counts->diff[0][e].count[1 + c];
            unsigned clear = c >= CLEAR_CLASS;
            hist[clear][c + 2 * (e ? e : 1)] += count;
            total[clear] += count;
        }
    }
    bool all = total[1] < total[0] / 4;
    uint64_t half = (total[1] + (all ? total[0] : 0)) / 2, sum = 0;
    unsigned at = 0;
    for (; at + 1 < FAST_DIFFS + 2 * CLASSES_EXPONENTS; at++) {
        sum += hist[1][at] + (all ? hist[0][at] : 0);
        if (sum > half)
            break;
    }
    const unsigned usual = FAST_SHIFT_USUAL - 1;
    return (uint16_t)(at > usual ? at - usual : 0);
}

/* width and mantissa_bits are constants where these are inlined. */
static ALWAYS_INLINE uint64_t magnitude_of(uint64_t d, unsigned width)
{
    uint64_t mask = ~(uint64_t)0 >> (64 - width);
    uint64_t sign = 0 - (d >> (width - 1) & 1);
    return ((d ^ sign) - sign) & mask;
}

static ALWAYS_INLINE void count_values(struct fast_stats *stats,
                                       const uint8_t *target, size_t count,
                                       unsigned width, unsigned mantissa_bits)
{
    unsigned first = 2u * stats->format.exponent_bias;
    uint32_t *counts = stats->plain.value[0].count;
    for (size_t i = 0; i < count; i++) {
        uint64_t to = fast_load(target + i * (width / 8), width);
        to = magnitude_of(fast_ordered(to, width, mantissa_bits), width);
        counts[fast_value_index(to, mantissa_bits, first)]++;
    }
    stats->plain.seen[0] = true;
    stats->changed_count += count;
}

static ALWAYS_INLINE void count_class(struct fast_counts *counts, unsigned half,
                                      unsigned e, struct fast_classes c)
{
    counts->seen[e] = true;
    counts->diff[half][e].count[c.diff]++;
    counts->value[e].count[c.value]++;
}

/* One block with a shift. */
static void count_shifted(struct fast_stats *stats,
                          const struct fast_classes *classes, size_t count)
{
    struct fast_counts *counts = &stats->shifted;
    unsigned sym =
        fast_shift_choose(stats->kernels, classes, count, stats->shift_scale);
    unsigned half = sym == FAST_SHIFT_EQUAL ? 0 : fast_shift_of(sym).half;
    const uint8_t *exponent = stats->exponent[sym];
    stats->shift[sym]++;
    for (size_t i = 0; i < count; i++)
        count_class(counts, half, exponent[classes[i].exponent], classes[i]);
}

static void count_classes(struct fast_stats *stats,
                          const struct fast_classes *classes, size_t count)
{
    size_t same = 0;
    for (size_t i = 0; i < count; i++) {
        count_class(&stats->plain, 0, classes[i].exponent, classes[i]);
        same += !classes[i].diff;
    }
    stats->changed_count += count - same;
    if (!stats->has_scale && same < count) {
        stats->shift_scale = fast_counts_scale(&stats->plain);
        stats->has_scale = true;
    }
    for (size_t at = 0; at < count; at += FAST_SHIFT_BLOCK)
        count_shifted(stats, classes + at,
                      count - at < FAST_SHIFT_BLOCK ? count - at
                                                    : FAST_SHIFT_BLOCK);
}

static void count_diffs(struct fast_stats *stats, const uint8_t *base,
                        const uint8_t *target, size_t count)
{
    size_t bytes = stats->format.width / 8;
    for (size_t at = 0; at < count; at += FAST_STATS_BLOCK) {
        size_t now = count - at;
        now = now < FAST_STATS_BLOCK ? now : FAST_STATS_BLOCK;
        fast_classes_find(stats->kernels, &stats->format, base + at * bytes,
                          target + at * bytes, stats->classes, now);
        count_classes(stats, stats->classes, now);
    }
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
        count_magnitude(stats->plain.value[0].count, magnitude_of(to, width));
        if (!base)
            continue;
        to -= fast_load(base + i * (width / 8), width);
        changed += count_magnitude(stats->plain.diff[0][0].count,
                                   magnitude_of(to, width));
    }
    stats->plain.seen[0] = true;
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
    else if (base)
        count_diffs(stats, base, target, elem_count);
    else if (format->width == 64)
        count_values(stats, target, elem_count, 64, 52);
    else
        count_values(stats, target, elem_count, 32, 23);
}

uint64_t fast_stats_count(const struct fast_stats *stats)
{
    return stats->elem_count;
}

uint64_t fast_stats_changed(const struct fast_stats *stats)
{
    return stats->changed_count;
}
