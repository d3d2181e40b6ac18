/* Each context is taken to cost the entropy of its bins, a floor for each bin,
 * and what it takes to learn: half the logarithm of their number. */
#include "codec/nnc/levels_unary.h"

#include <string.h>

#define LOG_BITS 12u
#define ONE      ((uint64_t)1 << LOG_BITS)
/* A bin costs this at least, in units of 1 / ONE bit. */
#define FLOOR 42u
/* Elements looked at. */
#define SAMPLE ((uint64_t)1 << 14)

static const uint8_t lengths[] = {1,  2,  3,  4,  5,  6,  7,  8,  9, 10,
                                  11, 12, 14, 16, 18, 20, 24, 28, 32};

void levels_unary_init(struct levels_unary *work)
{
    for (uint32_t i = 0; i <= 64; i++) {
        /* A bit of the logarithm for each squaring. */
        uint64_t x = (uint64_t)(64 + i) << 24; /* 1.0 is 2^30 */
        uint32_t log = i == 64 ? ONE : 0;
        for (uint32_t bit = LOG_BITS; i < 64 && bit-- > 0;) {
            x = (x * x) >> 30;
            if (x >> 31) {
                x >>= 1;
                log |= 1u << bit;
            }
        }
        work->log[i] = (uint16_t)log;
    }
}

/* n * log2(n), in units of 1 / ONE. */
static uint64_t n_log_n(const struct levels_unary *work, uint64_t n)
{
    if (n < 2)
        return 0;
    uint32_t whole = 63 - (uint32_t)__builtin_clzll(n);
    uint64_t part = (n << 20 >> whole) - ((uint64_t)1 << 20);
    uint32_t at = (uint32_t)(part >> 14), in = (uint32_t)(part & 0x3fff);
    uint32_t low = work->log[at], high = work->log[at + 1];
    return n * (whole * ONE + low + ((high - low) * in >> 14));
}

static uint64_t bins_cost(const struct levels_unary *work, uint64_t zeros,
                          uint64_t ones)
{
    uint64_t n = zeros + ones;
    if (!n)
        return 0;
    uint64_t entropy =
        n_log_n(work, n) - n_log_n(work, zeros) - n_log_n(work, ones);
    uint64_t learn = n_log_n(work, n) / n / 2;
    return entropy + n * FLOOR + learn;
}

static uint32_t bit_length(uint32_t v)
{
    return v ? 32 - (uint32_t)__builtin_clz(v) : 0;
}

static void count_levels(struct levels_unary *work, const int32_t *k,
                         uint64_t count)
{
    uint64_t step = (count + SAMPLE - 1) / SAMPLE;
    memset(work->small, 0, sizeof work->small);
    memset(work->large, 0, sizeof work->large);
    work->most = 0;
    for (uint64_t i = 0; i < count; i += step) {
        uint32_t neg = k[i] < 0;
        uint32_t a = neg ? 0u - (uint32_t)k[i] : (uint32_t)k[i];
        if (a <= LEVELS_UNARY_SMALL)
            work->small[neg][a]++;
        else
            work->large[bit_length(a)]++;
        work->most = a > work->most ? a : work->most;
    }
    if (work->most > LEVELS_UNARY_SMALL)
        work->most = LEVELS_UNARY_SMALL;
}

/* Bins of the rest beyond `unary` flags, and their suffixes. */
static uint64_t rest_cost(const struct levels_unary *work, uint32_t unary)
{
    uint64_t by_length[33];
    uint64_t cost = 0, above = 0;
    for (uint32_t i = 0; i < 33; i++)
        by_length[i] = work->large[i];
    for (uint32_t a = unary + 1; a <= work->most; a++)
        by_length[bit_length(a - unary)] +=
            (uint64_t)work->small[0][a] + work->small[1][a];
    for (uint32_t i = 32; i > 0; i--) {
        cost += bins_cost(work, by_length[i], above);
        cost += by_length[i] * (i - 1) * ONE;
        above += by_length[i];
    }
    return cost;
}

/* Sets flags[j], the cost of those that say whether a magnitude is above j. */
static void flags_cost(const struct levels_unary *work, uint64_t *flags)
{
    uint64_t above[2] = {0, 0};
    for (uint32_t i = 0; i < 33; i++)
        above[0] += work->large[i]; /* signs are alike up there */
    above[1] = above[0] / 2;
    above[0] -= above[1];
    for (uint32_t a = work->most; a > 0; a--) {
        flags[a] = 0;
        for (uint32_t neg = 0; neg < 2; neg++) {
            flags[a] += bins_cost(work, work->small[neg][a], above[neg]);
            above[neg] += work->small[neg][a];
        }
    }
}

uint16_t levels_unary_guess(struct levels_unary *work, const int32_t *k,
                            uint64_t count, bool *sure)
{
    uint64_t flags[LEVELS_UNARY_SMALL + 1];
    uint64_t least = UINT64_MAX, absent = 0, sum = 0;
    uint32_t best = LEVEL_UNARY_ABSENT, j = 0;
    *sure = true;
    count_levels(work, k, count);
    if (work->most < 3)
        return LEVEL_UNARY_ABSENT;
    flags_cost(work, flags);
    for (uint32_t i = 0; i < sizeof lengths; i++) {
        while (j < lengths[i]) {
            j++;
            sum += (j <= work->most ? flags[j] : 0) + ONE / 2; /* of the list */
        }
        uint64_t cost = sum + rest_cost(work, lengths[i]);
        if (lengths[i] == LEVEL_UNARY_ABSENT)
            absent = cost;
        else
            cost += 8 * ONE; /* in the header */
        if (cost < least) {
            least = cost;
            best = lengths[i];
        }
        if (absent && lengths[i] >= work->most)
            break;
    }
    *sure =
        best == LEVEL_UNARY_ABSENT || least + least / 16 + 64 * ONE < absent;
    return (uint16_t)best;
}
