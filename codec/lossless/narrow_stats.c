/* Counts the bins of a tensor's differences and the half octaves of its values
 * by exponent and loss of the prediction. */
#include "codec/lossless/narrow_stats.h"

#include "codec/lossless/narrow_context.h"

#include <stdlib.h>

/* Counters have 32 bits; what comes after so many elements is like them. */
#define COUNTED_MAX ((uint64_t)1 << 31)

struct narrow_stats *narrow_stats_new(void)
{
    struct narrow_stats *stats = calloc(1, sizeof(*stats));
    if (!stats)
        return NULL;
    narrow_bins_init(stats->bins);
    narrow_syms_init(stats->syms);
    return stats;
}

void narrow_stats_free(struct narrow_stats *stats)
{
    free(stats);
}

void narrow_stats_reset(struct narrow_stats *stats, enum dtype dtype)
{
    for (unsigned e = 0; e < NARROW_EXPONENTS; e++) {
        if (!stats->seen[e])
            continue;
        for (unsigned side = 0; side < (stats->has_lost ? NARROW_SIDES : 1);
             side++)
            memset(stats->diff[e].count[side], 0,
                   sizeof(stats->diff[e].count[side]));
        if (stats->format.mantissa_bits)
            memset(&stats->value[e], 0, sizeof(stats->value[e]));
        stats->seen[e] = false;
    }
    memset(stats->whole, 0, sizeof(stats->whole));
    stats->elem_count = stats->changed_count = stats->binned_count = 0;
    stats->has_pred = stats->has_lost = false;
    (void)narrow_format(dtype, &stats->format);
}

/* width is a constant where these are inlined. There are no branches on
 * values: they would be hard to predict. */
static ALWAYS_INLINE void count_value(struct narrow_value_counts *counts,
                                      uint32_t v, unsigned half_shift,
                                      unsigned width)
{
    /* The magnitude of the ordered form, where -0 is -1. */
    uint32_t m = (v & ((UINT32_C(1) << (width - 1)) - 1)) + (v >> (width - 1));
    unsigned at = 1 + (m >> half_shift);
    counts->count[at & (0 - (unsigned)(m != 0))]++;
}

/* has_lost and real are constants too. */
static ALWAYS_INLINE void count_diffs(struct narrow_stats *stats,
                                      const uint8_t *pred, const uint8_t *lost,
                                      const uint8_t *target, size_t count,
                                      unsigned width, bool real)
{
    const struct narrow_format format = stats->format;
    const uint32_t order_mask = real ? format.order_mask : 0;
    const unsigned half_shift = format.mantissa_bits - 1u, step = width / 8;
    for (size_t i = 0; i < count; i++) {
        uint32_t from = narrow_load(pred + i * step, width);
        uint32_t to = narrow_load(target + i * step, width);
        unsigned e = narrow_exponent(from, &format);
        unsigned level =
            lost ? lost[i] & 7u : narrow_level(from, &format, width);
        stats->seen[e] = true;
        if (real)
            count_value(&stats->value[e], to, half_shift, width);
        uint32_t d = narrow_ordered(to, order_mask, width) -
                     narrow_ordered(from, order_mask, width);
        unsigned bin = stats->bins[(uint16_t)narrow_signed(d, width)];
        stats->diff[e].count[narrow_side(level)][bin ^ (level < 4)]++;
    }
    stats->binned_count += count;
}

/* Values of floats without a prediction. */
static ALWAYS_INLINE void count_values(struct narrow_stats *stats,
                                       const uint8_t *target, size_t count,
                                       unsigned width)
{
    unsigned half_shift = stats->format.mantissa_bits - 1u;
    for (size_t i = 0; i < count; i++)
        count_value(&stats->value[0],
                    narrow_load(target + i * (width / 8), width), half_shift,
                    width);
    stats->seen[0] = true;
}

static void count_whole(struct narrow_stats *stats, uint32_t v, uint32_t count,
                        unsigned width)
{
    uint32_t middle = UINT32_C(1) << (width - 1);
    for (unsigned centre = 0; centre < 2; centre++) {
        int32_t d = narrow_signed(v - (centre ? middle : 0), width);
        stats->whole[centre][stats->bins[(uint16_t)d]] += count;
    }
}

/* Values of integers. */
static void count_integers(struct narrow_stats *stats, const uint8_t *target,
                           size_t count)
{
    if (stats->format.width == 16) {
        for (size_t i = 0; i < count; i++)
            count_whole(stats, load_le16(target + 2 * i), 1, 16);
        return;
    }
    uint32_t hist[256] = {0};
    for (size_t i = 0; i < count; i++)
        hist[target[i]]++;
    for (unsigned v = 0; v < 256; v++)
        count_whole(stats, v, hist[v], 8);
}

static ALWAYS_INLINE void count_any(struct narrow_stats *stats,
                                    const uint8_t *pred, const uint8_t *lost,
                                    const uint8_t *target, size_t count,
                                    unsigned width)
{
    bool real = stats->format.mantissa_bits;
    if (!real)
        count_integers(stats, target, count);
    else if (!pred)
        count_values(stats, target, count, width);
    if (!pred)
        stats->changed_count += count;
    else if (real && lost)
        count_diffs(stats, pred, lost, target, count, width, true);
    else if (real)
        count_diffs(stats, pred, NULL, target, count, width, true);
    else if (lost)
        count_diffs(stats, pred, lost, target, count, width, false);
    else
        count_diffs(stats, pred, NULL, target, count, width, false);
}

static uint64_t count_changed(const uint8_t *pred, const uint8_t *target,
                              size_t count, size_t elem_bytes)
{
    uint64_t changed = 0;
    for (size_t i = 0; i < count; i++)
        changed += memcmp(pred + i * elem_bytes, target + i * elem_bytes,
                          elem_bytes) != 0;
    return changed;
}

void narrow_stats_add(struct narrow_stats *stats, const uint8_t *pred,
                      const uint8_t *lost, const uint8_t *target,
                      size_t elem_count)
{
    unsigned width = stats->format.width;
    uint64_t room =
        stats->elem_count < COUNTED_MAX ? COUNTED_MAX - stats->elem_count : 0;
    size_t count = elem_count < room ? elem_count : (size_t)room;
    size_t rest = elem_count - count, at = count * (width / 8);
    stats->has_pred = pred != NULL;
    stats->has_lost = pred && lost;
    stats->elem_count += elem_count;
    if (width == 8)
        count_any(stats, pred, lost, target, count, 8);
    else
        count_any(stats, pred, lost, target, count, 16);
    if (rest)
        stats->changed_count +=
            pred ? count_changed(pred + at, target + at, rest, width / 8)
                 : rest;
}

uint64_t narrow_stats_count(const struct narrow_stats *stats)
{
    return stats->elem_count;
}

uint64_t narrow_stats_changed(const struct narrow_stats *stats)
{
    uint64_t same = 0;
    for (unsigned e = 0; e < NARROW_EXPONENTS; e++)
        for (unsigned side = 0; stats->seen[e] && side < NARROW_SIDES; side++)
            same += (uint64_t)stats->diff[e].count[side][0] +
                    stats->diff[e].count[side][1];
    return stats->changed_count + stats->binned_count - same;
}
