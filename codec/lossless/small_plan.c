/* What a tensor's differences are like, and how it is coded best. */
#include "codec/lossless/small.h"

#include "codec/base/bytes.h"
#include "codec/lossless/small_bits.h"

#include <stdlib.h>

#define CODING_BITS  32u /* about what a coding takes */
#define EXPONENTS    256u
#define CLASSES      128u
#define FIELDS       256u /* exponent fields of values, f64 less 896 */
#define SURENESS     5u   /* of the side: nothing lost, then more and more */
#define SIDES        5u   /* no difference; 1 or more up; 1 or more down */
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
    uint32_t other_sign[EXPONENTS];
    /* "Up" is where the difference is likelier to be. */
    uint32_t side[EXPONENTS][SURENESS][SIDES];
    uint32_t diff[EXPONENTS][2][CLASSES];
    uint32_t value[EXPONENTS][FIELDS];
    /* Sizes of neighbours: half octave (modulo 64) by octave (modulo 32) of the
     * one before; the last of each is "no difference". */
    unsigned before;
    uint32_t pair[PAIRS_BEFORE][PAIRS_AFTER];
};

struct small_stats *small_stats_new(void)
{
    return calloc(1, sizeof(struct small_stats));
}

void small_stats_free(struct small_stats *stats)
{
    free(stats);
}

static uint64_t count_of(const struct small_stats *stats, unsigned e)
{
    uint64_t count = 0;
    for (unsigned sure = 0; sure < SURENESS; sure++)
        for (unsigned side = 0; side < SIDES; side++)
            count += stats->side[e][sure][side];
    return count;
}

/* Most exponents do not occur: what they have is zero already. */
void small_stats_reset(struct small_stats *stats, enum dtype dtype,
                       uint64_t columns)
{
    for (unsigned e = 0; e < EXPONENTS; e++) {
        if (!count_of(stats, e))
            continue;
        memset(stats->side[e], 0, sizeof(stats->side[e]));
        memset(stats->diff[e], 0, sizeof(stats->diff[e]));
        memset(stats->value[e], 0, sizeof(stats->value[e]));
        stats->other_sign[e] = 0;
    }
    memset(stats->pair, 0, sizeof(stats->pair));
    stats->before = 0;
    stats->has_pred = false;
    stats->elem_count = stats->changed_count = 0;
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
        unsigned after = PAIRS_AFTER - 1, side = 0;
        unsigned flip = mant ? (unsigned)(p >> (width - 1)) & 1 : 0, sure = 0;
        if (lost) {
            flip = lost[i] < 4;
            sure = 1 + (flip ? 3 - (lost[i] & 3u) : lost[i] & 3u);
        }
        if (mag) {
            unsigned class = small_class(mag);
            unsigned down = ((unsigned)(d >> (width - 1)) & 1) ^ flip;
            stats->diff[e][down][class]++;
            side = 1 + 2 * down + (class > 0);
            after = (class + (mant ? 2 * e : 0)) % (PAIRS_AFTER - 1);
        }
        stats->side[e][sure][side]++;
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

/* Bits (16 after the point) of coding symbols that occur so often. */
static uint64_t entropy(const uint32_t *counts, unsigned symbols)
{
    uint64_t sum = 0, bits = 0;
    for (unsigned s = 0; s < symbols; s++) {
        sum += counts[s];
        bits += weight_of(counts[s]);
    }
    return weight_of(sum) - bits;
}

/* The same, by a model that learns them. */
static uint64_t learnt(const uint32_t *counts, unsigned symbols)
{
    uint64_t sum = 0, learn = 0;
    for (unsigned s = 0; s < symbols; s++) {
        sum += counts[s];
        if (counts[s])
            learn += 65536 + log2_16(counts[s]) / 4;
    }
    return entropy(counts, symbols) + (sum > 4 ? learn : 0);
}

static uint64_t two_way(uint64_t a, uint64_t b)
{
    return weight_of(a + b) - weight_of(a) - weight_of(b);
}

static uint64_t diff_cost(const struct small_stats *stats, unsigned e)
{
    uint64_t raw = 0, bits = 0;
    for (unsigned sure = 0; sure < SURENESS; sure++)
        bits += learnt(stats->side[e][sure], SIDES);
    for (unsigned down = 0; down < 2; down++) {
        bits += learnt(stats->diff[e][down] + 1, CLASSES - 1);
        for (unsigned c = 4; c < CLASSES; c++)
            raw += stats->diff[e][down][c] * (c / 2 - 1);
    }
    return bits + (raw << 16);
}

static uint64_t value_cost(const struct small_stats *stats,
                           const uint32_t fields[FIELDS], uint64_t count,
                           uint64_t other_sign)
{
    return learnt(fields, FIELDS) + ((count * stats->format.mant) << 16) +
           two_way(other_sign, count - other_sign);
}

static uint64_t diff_count(const struct small_stats *stats, unsigned e,
                           unsigned class)
{
    return (uint64_t)stats->diff[e][0][class] + stats->diff[e][1][class];
}

static uint64_t same_count(const struct small_stats *stats, unsigned e)
{
    uint64_t count = 0;
    for (unsigned sure = 0; sure < SURENESS; sure++)
        count += stats->side[e][sure][0];
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
        if (!count_of(stats, e))
            continue;
        for (unsigned c = 0; c < CLASSES; c++) {
            hist[at + c] += diff_count(stats, e, c);
            changed += diff_count(stats, e, c);
        }
        count += same_count(stats, e);
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
    /* Differences of wide types have many octaves: leave room for the low. */
    if (stats->format.width > 16 && !sparse)
        scale -= 2;
    return scale < 0                          ? 0
           : scale > (int32_t)SMALL_SCALE_MAX ? SMALL_SCALE_MAX
                                              : (unsigned)scale;
}

/* The highest exponent field but for a thousandth. */
static unsigned top_of(const struct small_stats *stats, unsigned end_e)
{
    uint64_t count[FIELDS] = {0}, sum = 0, above = 0;
    for (unsigned e = 0; e < end_e; e++) {
        if (!count_of(stats, e))
            continue;
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
    for (unsigned e = 0; e < EXPONENTS; e++) {
        if (!count_of(stats, e))
            continue;
        for (unsigned f = 0; f < FIELDS; f++)
            fields[f] += stats->value[e][f];
    }
    return value_cost(stats, fields, stats->elem_count, 0) +
           (stats->elem_count << 16);
}

/* Bits saved because neighbours change alike. */
static uint64_t neighbour_gain(const struct small_stats *stats)
{
    uint32_t after[PAIRS_AFTER] = {0};
    uint64_t apart = 0, given = 0;
    for (unsigned b = 0; b < PAIRS_BEFORE; b++) {
        given += learnt(stats->pair[b], PAIRS_AFTER);
        for (unsigned a = 0; a < PAIRS_AFTER; a++)
            after[a] += stats->pair[b][a];
    }
    apart = learnt(after, PAIRS_AFTER);
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
    coding->sparse = stats->changed_count <
                     stats->elem_count / (stats->format.width == 16 ? 8 : 2);
    if ((coding->sparse || stats->format.width == 8) && !coding->direct_end &&
        stats->has_pred) {
        uint64_t gain = neighbour_gain(stats);
        bits -= gain < bits / 2 ? gain : bits / 2;
    }
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
        coding->scale = (uint16_t)scale_of(
            stats, coding->sparse && stats->format.width > 16,
            coding->direct_end);
    } else {
        coding->sparse = 0;
    }
    if (stats->elem_count > COUNTED_MAX)
        bits = bits / (COUNTED_MAX >> 10) * (stats->elem_count >> 10);
    return (bits >> 16) + CODING_BITS;
}
