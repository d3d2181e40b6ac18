#include "codec/quant/qp.h"

#include <math.h>
#include <stdbool.h>

#define LEVEL_CEILING 1073741824.0

/* qp >> density, arithmetic, as every compiler has it. */
static int octave(int qp, unsigned density)
{
    int m = 1 << density;
    return (qp - (int)((unsigned)qp & (unsigned)(m - 1))) / m;
}

double qp_step(int qp, unsigned density)
{
    int m = 1 << density;
    int part = m + (int)((unsigned)qp & (unsigned)(m - 1));
    return ldexp(part, octave(qp, density) - (int)density);
}

static int within(double qp, unsigned density)
{
    double low = qp_min(density), high = qp_max(density);
    return (int)(qp < low ? low : qp > high ? high : qp);
}

/* On the scale of qp, not rounded: linear within an octave. */
static double exact_qp(double step, unsigned density)
{
    int exponent;
    double part = 2 * frexp(step, &exponent); /* 1 .. 2 */
    double m = 1 << density;
    return (exponent - 1) * m + (part - 1) * m;
}

int qp_at_most(double step, unsigned density)
{
    return within(floor(exact_qp(step, density)), density);
}

int qp_nearest(double step, unsigned density)
{
    return within(floor(exact_qp(step, density) + 0.5), density);
}

int qp_floor(double max_abs, unsigned density)
{
    if (!(max_abs > 0))
        return qp_min(density);
    return within(ceil(exact_qp(max_abs / LEVEL_CEILING, density)), density);
}

/* The k-th smallest of count values, which are reordered. */
static float kth(float *v, size_t count, size_t k)
{
    size_t low = 0, high = count - 1;
    while (low < high) {
        float pivot = v[low + (high - low) / 2];
        size_t i = low, j = high;
        for (;;) {
            while (v[i] < pivot)
                i++;
            while (v[j] > pivot)
                j--;
            if (i >= j)
                break;
            float swap = v[i];
            v[i++] = v[j];
            v[j--] = swap;
        }
        /* v[low .. j'] <= pivot <= the rest, j' = j or i - 1. */
        size_t split = v[j] > pivot ? j - 1 : j;
        if (k <= split)
            high = split;
        else
            low = split + 1;
    }
    return v[k];
}

/* The 99.95th percentile, or the maximum where that is 0. */
static double top(const float *values, size_t count, float *scratch)
{
    float most = 0;
    for (size_t i = 0; i < count; i++) {
        scratch[i] = fabsf(values[i]);
        most = scratch[i] > most ? scratch[i] : most;
    }
    if (!count)
        return 0;
    double at = 0.9995 * (double)(count - 1);
    size_t k = (size_t)at;
    double low = kth(scratch, count, k);
    double high = k + 1 < count ? kth(scratch, count, k + 1) : low;
    double top = low + (high - low) * (at - (double)k);
    return top > 0 ? top : most;
}

int qp_of_bits(const float *values, size_t count, float *scratch, unsigned bits,
               unsigned density, int *low, int *high)
{
    bool negative = false;
    for (size_t i = 0; i < count; i++)
        negative = negative || values[i] < 0;
    int half = 1 << (bits - 1);
    *low = negative ? -half : 0;
    *high = negative ? half - 1 : 2 * half - 1;
    double most = top(values, count, scratch);
    return most > 0 ? qp_nearest(most / *high, density) : qp_min(density);
}
