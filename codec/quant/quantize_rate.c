/* The choice of levels by error and rate. */
#include "codec/quant/quantize_rate.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define FAST_SHIFT 4u
#define SLOW_SHIFT 7u
#define PROB_LEAST 32u
/* Magnitudes count up to this in the activity, in sixteenths. */
#define NEAR_MAX 65536

void quantize_rate_init(struct quantize_rate *rate)
{
    for (int i = 0; i <= 256; i++)
        rate->cost[i] = (float)-log2((i ? i : 0.5) / 256.0);
    for (size_t a = 0; a < QUANTIZE_ACTIVITIES; a++) {
        for (size_t k = 0; k < 3; k++) {
            uint16_t p = (uint16_t)(2000 + 1500 * a);
            rate->zero[a][k] = (struct quantize_prob){p, p};
        }
        for (size_t k = 0; k <= QUANTIZE_UNARY; k++)
            rate->more[a][k] = (struct quantize_prob){32768, 32768};
    }
    for (size_t k = 0; k < 9; k++)
        rate->sign[k] = (struct quantize_prob){32768, 32768};
    for (size_t k = 0; k < 32; k++)
        rate->golomb[k] = (struct quantize_prob){32768, 32768};
}

/* Between the table's entries: small probabilities need it. */
static inline float bin_cost(const float *cost, struct quantize_prob p,
                             bool bin)
{
    uint32_t mean = ((uint32_t)p.fast + p.slow) / 2;
    mean = bin ? mean : 65536 - mean;
    uint32_t at = mean >> 8;
    float part = (float)(mean & 255) * (1.0f / 256);
    if (at >= 256)
        return 0;
    return at ? cost[at] + part * (cost[at + 1] - cost[at])
              : cost[0] + 1 - 2 * part;
}

static inline void bin_learn(struct quantize_prob *p, bool bin)
{
    if (bin) {
        p->fast = (uint16_t)(p->fast + ((65535u - p->fast) >> FAST_SHIFT));
        p->slow = (uint16_t)(p->slow + ((65535u - p->slow) >> SLOW_SHIFT));
        return;
    }
    p->fast = (uint16_t)(p->fast - (p->fast >> FAST_SHIFT));
    p->slow = (uint16_t)(p->slow - (p->slow >> SLOW_SHIFT));
    p->fast = p->fast < PROB_LEAST ? PROB_LEAST : p->fast;
    p->slow = p->slow < PROB_LEAST ? PROB_LEAST : p->slow;
}

/* Where a level stands. */
struct place {
    unsigned activity, near, sign;
};

static inline unsigned golomb_size(uint32_t rest)
{
    return 31u - (unsigned)__builtin_clz(rest + 1);
}

static float level_cost(const struct quantize_rate *rate,
                        const struct place *at, int32_t level)
{
    const struct quantize_prob *zero = &rate->zero[at->activity][at->near];
    if (!level)
        return bin_cost(rate->cost, *zero, false);
    float bits = bin_cost(rate->cost, *zero, true) +
                 bin_cost(rate->cost, rate->sign[at->sign], level < 0);
    const struct quantize_prob *more = rate->more[at->activity];
    uint32_t rest = (uint32_t)abs(level) - 1, k = 0;
    for (; k < QUANTIZE_UNARY && k < rest; k++)
        bits += bin_cost(rate->cost, more[k], true);
    if (k < QUANTIZE_UNARY)
        return bits + bin_cost(rate->cost, more[k], false);
    unsigned size = golomb_size(rest - QUANTIZE_UNARY);
    for (unsigned i = 0; i < size; i++)
        bits += bin_cost(rate->cost, rate->golomb[i], true);
    return bits + bin_cost(rate->cost, rate->golomb[size], false) + (float)size;
}

static void level_learn(struct quantize_rate *rate, const struct place *at,
                        int32_t level)
{
    bin_learn(&rate->zero[at->activity][at->near], level != 0);
    if (!level)
        return;
    bin_learn(&rate->sign[at->sign], level < 0);
    struct quantize_prob *more = rate->more[at->activity];
    uint32_t rest = (uint32_t)abs(level) - 1, k = 0;
    for (; k < QUANTIZE_UNARY && k < rest; k++)
        bin_learn(&more[k], true);
    if (k < QUANTIZE_UNARY) {
        bin_learn(&more[k], false);
        return;
    }
    unsigned size = golomb_size(rest - QUANTIZE_UNARY);
    for (unsigned i = 0; i < size; i++)
        bin_learn(&rate->golomb[i], true);
    bin_learn(&rate->golomb[size], false);
}

static inline int32_t near_size(int32_t level)
{
    int32_t size = abs(level);
    return 16 * (size < NEAR_MAX ? size : NEAR_MAX);
}

static inline unsigned sign_of(int32_t level)
{
    return level > 0 ? 2 : (level < 0 ? 0 : 1);
}

/* Half octaves of the activity, in sixteenths; 0 for next to none. */
static inline unsigned activity_class(uint32_t activity)
{
    if (activity < 2)
        return 0;
    unsigned top = 31u - (unsigned)__builtin_clz(activity);
    unsigned half = 2 * top + (activity >> (top - 1) & 1);
    half = half > 3 ? half - 3 : 0;
    return half + 1 < QUANTIZE_ACTIVITIES ? half + 1 : QUANTIZE_ACTIVITIES - 1;
}

/* What is known of the rows so far: averages of magnitudes, in sixteenths. */
struct past {
    int32_t *column; /* of each column */
    int32_t row;
    size_t columns;
};

static inline struct place place_of(const struct past *past,
                                    const int32_t *levels, size_t i, size_t j)
{
    size_t columns = past->columns;
    int32_t left = j ? levels[i - 1] : 0, left2 = j > 1 ? levels[i - 2] : 0;
    int32_t up = 0, sides = 0;
    if (i >= columns) {
        up = levels[i - columns];
        sides = (j ? near_size(levels[i - columns - 1]) : 0) +
                (j + 1 < columns ? near_size(levels[i - columns + 1]) : 0);
    }
    int32_t sum = 10 * near_size(left) + 5 * near_size(left2) +
                  7 * near_size(up) + 2 * sides;
    sum = sum / 10 + 2 * past->row + past->column[j];
    return (struct place){.activity = activity_class((uint32_t)sum / 2),
                          .near = (left ? 1u : 0u) + (up ? 1u : 0u),
                          .sign = 3 * sign_of(left) + sign_of(up)};
}

static inline void past_add(struct past *past, size_t j, int32_t level)
{
    int32_t size = near_size(level);
    past->row += (size - past->row) / 16;
    past->column[j] += (size - past->column[j]) / 4;
}

/* False beyond the largest number. */
static inline bool narrow_rounded(const struct narrow_float *f, float value,
                                  float *out)
{
    uint32_t bits;
    uint8_t lost;
    if (!narrow_float_round(f, value, &bits, &lost))
        return false;
    *out = narrow_float_widen(f, bits);
    return true;
}

/* What is lost when element i gets this level. In narrow types that may be the
 * number of another level: *level becomes the one nearest to it. A point that
 * is not finite would be the prediction: then the next level towards it. */
static inline float level_error(const struct quantize_matrix *m, size_t i,
                                float step, int32_t *level)
{
    float point;
    if (!m->pred)
        return m->diff[i] - (float)*level * step;
    while (*level && !narrow_rounded(&m->narrow,
                                     m->pred[i] + (float)*level * step, &point))
        *level -= *level > 0 ? 1 : -1;
    if (!*level)
        return m->diff[i];
    float moved = point - m->pred[i];
    *level = (int32_t)lrintf(moved / step);
    return m->diff[i] - moved;
}

/* The level for which error and rate are least, of the nearest, that below it,
 * and 0. */
static int32_t best_level(const struct quantize_matrix *m, size_t i, float step,
                          float lambda, const struct quantize_rate *rate,
                          const struct place *at, int32_t nearest)
{
    float best = HUGE_VALF;
    int32_t chosen = nearest;
    const int32_t tried[] = {nearest, nearest - (nearest > 0 ? 1 : -1), 0};
    for (size_t k = 0; k < 3; k++) {
        int32_t level = tried[k];
        float error = level_error(m, i, step, &level);
        float sum = error * error + lambda * level_cost(rate, at, level);
        if (sum < best) {
            best = sum;
            chosen = level;
        }
        if (!tried[k])
            break;
    }
    return chosen;
}

static enum status choose_row(const struct quantize_matrix *m, size_t first,
                              float step, float lambda,
                              struct quantize_rate *rate, struct past *past,
                              int32_t *levels, double *bits, double *error)
{
    size_t left = m->count - first;
    size_t count = left < m->columns ? left : m->columns;
    float inverse = 1 / step, bit_sum = 0;
    double error_sum = 0;
    past->row /= 2;
    for (size_t j = 0; j < count; j++) {
        size_t i = first + j;
        float x = m->diff[i] * inverse;
        if (!(fabsf(x) < (float)QUANTIZE_LEVEL_MAX))
            return STATUS_LIMIT;
        struct place at = place_of(past, levels, i, j);
        int32_t level = (int32_t)lrintf(x);
        if (level && lambda > 0)
            level = best_level(m, i, step, lambda, rate, &at, level);
        float lost = level_error(m, i, step, &level);
        levels[i] = level;
        error_sum += (double)lost * (double)lost;
        bit_sum += level_cost(rate, &at, level);
        level_learn(rate, &at, level);
        past_add(past, j, level);
    }
    *bits += (double)bit_sum;
    *error += error_sum;
    return STATUS_OK;
}

enum status quantize_rate_choose(const struct quantize_matrix *m, float step,
                                 double lambda, struct quantize_rate *rate,
                                 int32_t *levels, double *bits, double *error)
{
    struct past past = {.columns = m->columns};
    past.column = calloc(m->columns, sizeof(*past.column));
    enum status status = past.column ? STATUS_OK : STATUS_NO_MEMORY;
    *bits = *error = 0;
    for (size_t at = 0; at < m->count && !status; at += m->columns)
        status = choose_row(m, at, step, (float)lambda, rate, &past, levels,
                            bits, error);
    free(past.column);
    return status;
}
