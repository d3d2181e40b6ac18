/* What a tensor's differences are like, and how it is coded best. */
#include "codec/lossless/small.h"

#include "codec/base/bytes.h"
#include "codec/lossless/small_bits.h"

#include <stdlib.h>

#define CODING_BITS  32u /* about what a coding takes */
#define EXPONENTS    256u
#define CLASSES      128u
#define FIELDS       256u /* exponent fields of values, f64 less 896 */
#define LOST_LEVELS  8u
#define PAIRS_BEFORE 33u
#define PAIRS_AFTER  65u
/* Counters have 32 bits; what comes after so many elements is like them. */
#define COUNTED_MAX ((uint64_t)1 << 31)

struct small_stats {
    enum dtype dtype;
    struct small_format format;
    uint64_t columns;
    bool has_pred;
    uint64_t elem_count, changed_count;
    uint32_t same[EXPONENTS];
    uint32_t other_sign[EXPONENTS];
    uint32_t diff[EXPONENTS][CLASSES];
    uint32_t value[EXPONENTS][FIELDS];
    /* Sizes of neighbours: half octave (modulo 64) by octave (modulo 32) of the
     * one before; the last of each is "no difference". */
    unsigned before;
    uint32_t pair[PAIRS_BEFORE][PAIRS_AFTER];
    uint32_t lost[LOST_LEVELS][3]; /* no difference, up, down */
};

struct small_stats *small_stats_new(void)
{
    return calloc(1, sizeof(struct small_stats));
}

void small_stats_free(struct small_stats *stats)
{
    free(stats);
}

void small_stats_reset(struct small_stats *stats, enum dtype dtype,
                       uint64_t columns)
{
    memset(stats, 0, sizeof(*stats));
    stats->dtype = dtype;
    stats->format = small_format(dtype);
    stats->columns = columns;
}

static inline void count_as(struct small_stats *stats, const uint8_t *pred,
                            const uint8_t *lost, const uint8_t *target,
                            size_t count, unsigned width, unsigned mant)
{
    uint64_t mask = ~(uint64_t)0 >> (64 - width), changed = 0;
    unsigned before = stats->before;
    for (size_t i = 0; i < count; i++) {
        size_t at = i * (width / 8);
        uint64_t p = pred ? small_load(pred + at, width) : 0;
        uint64_t t = small_load(target + at, width);
        unsigned e = small_exponent(p, width, mant);
        uint64_t d =
            small_ordered(t, width, mant) - small_ordered(p, width, mant);
        uint64_t mag = d >> (width - 1) & 1 ? (0 - d) & mask : d & mask;
        if (mant) {
            stats->value[e][small_exponent(t, width, mant)]++;
            stats->other_sign[e] += (unsigned)((t ^ p) >> (width - 1) & 1);
        }
        unsigned after = PAIRS_AFTER - 1;
        if (mag) {
            unsigned class = small_class(mag);
            stats->diff[e][class]++;
            after = (class + (mant ? 2 * e : 0)) % (PAIRS_AFTER - 1);
        } else {
            stats->same[e]++;
        }
        if (lost)
            stats->lost[lost[i] % LOST_LEVELS]
                       [mag ? 1 + (d >> (width - 1) & 1) : 0]++;
        stats->pair[before][after]++;
        before = mag ? after / 2 : PAIRS_BEFORE - 1;
        changed += t != p || !pred;
    }
    stats->changed_count += changed;
    stats->before = before;
}

void small_stats_add(struct small_stats *stats, const uint8_t *pred,
                     const uint8_t *lost, const uint8_t *target,
                     size_t elem_count)
{
    stats->has_pred = pred != NULL;
    stats->elem_count += elem_count;
    if (stats->elem_count > COUNTED_MAX) {
        stats->changed_count += elem_count;
        return;
    }
#define COUNT_AS(width, mant) \
    count_as(stats, pred, lost, target, elem_count, width, mant)
    SMALL_AS(stats->dtype, COUNT_AS);
#undef COUNT_AS
}

uint64_t small_stats_count(const struct small_stats *stats)
{
    return stats->elem_count;
}

uint64_t small_stats_changed(const struct small_stats *stats)
{
    return stats->changed_count;
}

/* log2 in 16 bits after the point; v > 0. */
static uint32_t log2_16(uint64_t v)
{
    unsigned top = 63 - (unsigned)__builtin_clzll(v);
    uint64_t x = v << (63 - top) >> 32; /* 1 .. 2, 31 bits after the point */
    uint32_t log = (uint32_t)top << 16;
    for (unsigned i = 16; i--;) {
        x = x * x >> 31;
        if (x >> 32) {
            x >>= 1;
            log |= UINT32_C(1) << i;
        }
    }
    return log;
}

/* count log2 count in 16 bits after the point. */
static uint64_t weight_of(uint64_t count)
{
    return count ? count * log2_16(count) : 0;
}

/* Bits (16 after the point) of coding count symbols that occur so often, by a
 * model that learns them. */
static uint64_t entropy(const uint32_t *counts, unsigned symbols)
{
    uint64_t sum = 0, bits = 0, learn = 0;
    for (unsigned s = 0; s < symbols; s++) {
        sum += counts[s];
        bits += weight_of(counts[s]);
        if (counts[s])
            learn += 65536 + log2_16(counts[s]) / 4;
    }
    return weight_of(sum) - bits + (sum > 4 ? learn : 0);
}

static uint64_t two_way(uint64_t a, uint64_t b)
{
    return weight_of(a + b) - weight_of(a) - weight_of(b);
}

static uint64_t diff_cost(const struct small_stats *stats, unsigned e)
{
    uint64_t changed = 0, raw = 0;
    for (unsigned c = 0; c < CLASSES; c++) {
        uint64_t k = c / 2;
        changed += stats->diff[e][c];
        raw += stats->diff[e][c] * (1 + (k ? k - 1 : 0));
    }
    return entropy(stats->diff[e], CLASSES) + two_way(stats->same[e], changed) +
           (raw << 16);
}

static uint64_t value_cost(const struct small_stats *stats,
                           const uint32_t fields[FIELDS], uint64_t count,
                           uint64_t other_sign)
{
    return entropy(fields, FIELDS) + ((count * stats->format.mant) << 16) +
           two_way(other_sign, count - other_sign);
}

static uint64_t count_of(const struct small_stats *stats, unsigned e)
{
    uint64_t count = stats->same[e];
    for (unsigned c = 0; c < CLASSES; c++)
        count += stats->diff[e][c];
    return count;
}

/* Size of the changes: the mean of their magnitudes, each times two to the
 * power of its exponent, in half octaves; of those in the highest thousandth
 * each counts as the lowest of them. */
#define SIZES (CLASSES + 2 * EXPONENTS)

static unsigned scale_of(const struct small_stats *stats, bool sparse,
                         unsigned first_e)
{
    uint64_t hist[SIZES] = {0}, count = 0, changed = 0;
    for (unsigned e = first_e; e < EXPONENTS; e++) {
        unsigned at = stats->format.mant ? 2 * (e ? e : 1) : 0;
        for (unsigned c = 0; c < CLASSES; c++) {
            hist[at + c] += stats->diff[e][c];
            changed += stats->diff[e][c];
        }
        count += stats->same[e];
    }
    if (!changed)
        return SMALL_SCALE_BIAS;
    count = sparse ? changed : count + changed;
    uint64_t above = 0;
    unsigned top = SIZES - 1;
    while (top && (above + hist[top]) * 1000 < changed)
        above += hist[top--];
    /* 2^(i/2) of a middle, 16 bits after the point. */
    uint64_t sum = above << 16;
    for (unsigned i = 0; i <= top && i < 64; i++) {
        uint64_t unit = (i & 1 ? 46341u : 65536u) >> (i / 2);
        sum += hist[top - i] * unit;
    }
    uint32_t log_sum = log2_16(sum ? sum : 1), log_count = log2_16(count);
    int32_t log = (int32_t)log_sum - (int32_t)log_count - (16 << 16);
    int32_t scale = (int32_t)top + SMALL_SCALE_BIAS + ((2 * log + 32768) >> 16);
    return scale < 0                          ? 0
           : scale > (int32_t)SMALL_SCALE_MAX ? SMALL_SCALE_MAX
                                              : (unsigned)scale;
}

/* The highest exponent field but for a thousandth. */
static unsigned top_of(const struct small_stats *stats, unsigned end_e)
{
    uint64_t count[FIELDS] = {0}, sum = 0, above = 0;
    for (unsigned e = 0; e < end_e; e++) {
        for (unsigned f = 0; f < FIELDS; f++) {
            count[f] += stats->value[e][f];
            sum += stats->value[e][f];
        }
    }
    unsigned top = FIELDS - 1;
    while (top && (above + count[top]) * 1000 < sum)
        above += count[top--];
    return top + (stats->format.width == 64 ? 896 : 0);
}

static uint64_t full_cost(const struct small_stats *stats)
{
    uint32_t fields[FIELDS] = {0};
    for (unsigned e = 0; e < EXPONENTS; e++)
        for (unsigned f = 0; f < FIELDS; f++)
            fields[f] += stats->value[e][f];
    return value_cost(stats, fields, stats->elem_count, 0) +
           (stats->elem_count << 16);
}

/* Bits saved because neighbours change alike. */
static uint64_t neighbour_gain(const struct small_stats *stats)
{
    uint32_t after[PAIRS_AFTER] = {0};
    uint64_t apart = 0, given = 0;
    for (unsigned b = 0; b < PAIRS_BEFORE; b++) {
        given += entropy(stats->pair[b], PAIRS_AFTER);
        for (unsigned a = 0; a < PAIRS_AFTER; a++)
            after[a] += stats->pair[b][a];
    }
    apart = entropy(after, PAIRS_AFTER);
    return given < apart ? apart - given : 0;
}

/* Bits saved because what rounding lost tells the side. */
static uint64_t lost_gain(const struct small_stats *stats)
{
    uint32_t sides[3] = {0};
    uint64_t given = 0;
    for (unsigned l = 0; l < LOST_LEVELS; l++) {
        given += entropy(stats->lost[l], 3);
        for (unsigned i = 0; i < 3; i++)
            sides[i] += stats->lost[l][i];
    }
    uint64_t apart = entropy(sides, 3);
    return given < apart ? apart - given : 0;
}

/* Sets direct_end; returns the cost. */
static uint64_t plan_delta(const struct small_stats *stats,
                           struct small_coding *coding)
{
    uint64_t gain = 0, best = 0, sum = 0;
    for (unsigned e = 0; e < EXPONENTS; e++) {
        uint64_t count = count_of(stats, e);
        if (!count)
            continue;
        uint64_t diff = diff_cost(stats, e);
        sum += diff;
        if (!stats->format.mant)
            continue;
        uint64_t value =
            value_cost(stats, stats->value[e], count, stats->other_sign[e]);
        gain += diff - value; /* modulo 2^64, as below */
        if ((int64_t)(gain - best) > (int64_t)(count << 9)) {
            best = gain;
            coding->direct_end = (uint16_t)(e + 1);
        }
    }
    return sum - best;
}

uint64_t small_plan(const struct small_stats *stats,
                    struct small_coding *coding)
{
    bool has_float = stats->format.mant != 0;
    *coding = (struct small_coding){.mode = SMALL_DELTA};
    if (stats->columns > 1 && stats->columns <= SMALL_COLUMNS_MAX &&
        stats->columns < stats->elem_count)
        coding->columns = (uint32_t)stats->columns;
    uint64_t bits = plan_delta(stats, coding);
    uint64_t gain = neighbour_gain(stats) + lost_gain(stats);
    if (!coding->direct_end && stats->has_pred)
        bits -= gain < bits / 2 ? gain : bits / 2;
    if (!stats->has_pred) {
        coding->mode = SMALL_FULL;
        coding->direct_end = has_float ? EXPONENTS : 0;
    }
    if (stats->has_pred && has_float && full_cost(stats) <= bits) {
        coding->mode = SMALL_FULL;
        coding->direct_end = EXPONENTS;
    }
    if (coding->mode == SMALL_FULL && has_float)
        bits = full_cost(stats);
    if (coding->direct_end)
        coding->direct_top = (uint16_t)top_of(
            stats, coding->mode == SMALL_FULL ? EXPONENTS : coding->direct_end);
    if (coding->direct_end < EXPONENTS) {
        coding->sparse =
            stats->changed_count <
            stats->elem_count / (stats->format.width == 16 ? 8 : 2);
        coding->scale = (uint16_t)scale_of(
            stats, coding->sparse && stats->format.width > 16,
            coding->direct_end);
    }
    if (stats->elem_count > COUNTED_MAX)
        bits = bits / (COUNTED_MAX >> 10) * (stats->elem_count >> 10);
    return (bits >> 16) + CODING_BITS;
}
