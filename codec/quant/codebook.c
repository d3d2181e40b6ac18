#include "codec/quant/codebook.h"

#include <math.h>
#include <string.h>

#define RANGE_MAX (256 * (int64_t)CODEBOOK_MAX)

/* Levels in their order, with the sum of their values in fine steps. */
struct bins {
    uint32_t size;
    int32_t level[CODEBOOK_MAX];
    double sum[CODEBOOK_MAX], count[CODEBOOK_MAX];
};

/* The place of a level, or where it would be. */
static uint32_t bin_place(const struct bins *bins, int32_t level)
{
    uint32_t low = 0, high = bins->size;
    while (low < high) {
        uint32_t mid = (low + high) / 2;
        if (bins->level[mid] < level)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

static bool bin_insert(struct bins *bins, uint32_t at, int32_t level)
{
    if (bins->size == CODEBOOK_MAX)
        return false;
    uint32_t after = bins->size++ - at;
    memmove(bins->level + at + 1, bins->level + at,
            after * sizeof *bins->level);
    memmove(bins->sum + at + 1, bins->sum + at, after * sizeof *bins->sum);
    memmove(bins->count + at + 1, bins->count + at,
            after * sizeof *bins->count);
    bins->level[at] = level;
    bins->sum[at] = bins->count[at] = 0;
    return true;
}

static bool bin_all(struct bins *bins, const struct level_input *in,
                    const int32_t *levels)
{
    double inverse = (1 << CODEBOOK_FINE) / in->step;
    bins->size = 0;
    (void)bin_insert(bins, 0, 0);
    for (uint64_t i = 0; i < in->count; i++) {
        uint32_t at = bin_place(bins, levels[i]);
        if ((at == bins->size || bins->level[at] != levels[i]) &&
            !bin_insert(bins, at, levels[i]))
            return false;
        bins->sum[at] += (double)in->values[i] * inverse;
        bins->count[at]++;
    }
    return true;
}

/* The mean of a bin, but on its side of 0 and beyond the entry before. */
static double mean_of(const struct bins *bins, uint32_t at, double least)
{
    double mean = floor(bins->sum[at] / bins->count[at] + 0.5);
    return mean > least ? mean : least;
}

bool codebook_learn(struct codebook *book, const struct level_input *in,
                    const int32_t *levels, bool means)
{
    struct bins bins;
    if (!bin_all(&bins, in, levels))
        return false;
    for (uint32_t i = 0; !means && i < bins.size; i++) {
        bins.sum[i] = (double)bins.level[i] * (1 << CODEBOOK_FINE);
        bins.count[i] = 1;
    }
    book->size = bins.size;
    book->zero = bin_place(&bins, 0);
    book->values[book->zero] = 0;
    /* Upwards from 0, and downwards with signs turned. */
    for (uint32_t i = book->zero + 1; i < bins.size; i++) {
        double value = mean_of(&bins, i, (double)book->values[i - 1] + 1);
        if (value > RANGE_MAX)
            return false;
        book->values[i] = (int32_t)value;
    }
    for (uint32_t i = book->zero; i-- > 0;) {
        bins.sum[i] = -bins.sum[i];
        double value = mean_of(&bins, i, 1 - (double)book->values[i + 1]);
        if (value > RANGE_MAX)
            return false;
        book->values[i] = -(int32_t)value;
    }
    return true;
}

/* The entry nearest to x, in fine steps; of two the lower one. */
static uint32_t nearest(const struct codebook *book, double x)
{
    uint32_t low = 0, high = book->size - 1;
    while (low < high) {
        uint32_t mid = (low + high) / 2;
        if (2 * x > (double)book->values[mid] + (double)book->values[mid + 1])
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

/* One value: x in fine steps, after left. */
static int32_t choose(const struct codebook *book,
                      const struct level_cost *cost, double x, int32_t left,
                      int32_t base, double limit)
{
    int32_t near = (int32_t)nearest(book, x) - (int32_t)book->zero;
    int32_t offers[3] = {near, near > 0 ? near - 1 : near + 1, 0};
    unsigned count = !near ? 1 : near == 1 || near == -1 ? 2 : 3;
    float least = 0;
    int32_t best = near;
    for (unsigned i = 0; i < count; i++) {
        int32_t value = book->values[(int32_t)book->zero + offers[i]];
        double error = fabs(x - value) / (1 << CODEBOOK_FINE);
        if (i && error > limit)
            continue;
        float sum = (float)(error * error) +
                    level_cost_now(cost, 0, left, base, offers[i]);
        if (!i || sum < least) {
            least = sum;
            best = offers[i];
        }
    }
    return best;
}

void codebook_choose(const struct codebook *book, const struct level_input *in,
                     struct level_cost *cost, int32_t *indices)
{
    double inverse = (1 << CODEBOOK_FINE) / in->step;
    level_cost_init(cost, in);
    int32_t left = 0;
    for (uint64_t i = 0; i < in->count; i++) {
        int32_t base = in->temporal ? in->temporal[i] : 0;
        int32_t k = choose(book, cost, (double)in->values[i] * inverse, left,
                           base, in->limit);
        level_cost_adapt(cost, 0, left, base, k);
        indices[i] = left = k;
    }
}

/* Of ue(k). */
static uint32_t golomb_bits(uint64_t x, uint32_t k)
{
    uint32_t bits = 1;
    for (; x >= (uint64_t)1 << k; bits++)
        x -= (uint64_t)1 << k++;
    return bits + k;
}

static uint64_t folded(int64_t x)
{
    return x > 0 ? 2 * (uint64_t)x - 1 : 2 * (uint64_t)-x;
}

uint32_t codebook_bits(const struct nnc_codebook *book)
{
    if (!book->size)
        return 0;
    uint32_t least = UINT32_MAX;
    for (uint32_t egk = 0; egk < 16; egk++) {
        uint32_t bits = 0;
        for (uint32_t i = 1; i < book->size; i++)
            bits += golomb_bits(
                (uint64_t)((int64_t)book->values[i] - book->values[i - 1] - 1),
                egk);
        least = bits < least ? bits : least;
    }
    int64_t offset = (int64_t)book->zero - (book->size >> 1);
    return least + 4 + golomb_bits(book->size, 2) +
           golomb_bits(folded(offset), 2) +
           golomb_bits(folded(book->values[book->zero]), 7);
}
