/* The magnitude that so many are at most is found half by half: binary32
 * numbers without sign are ordered as their bits are. */
#include "codec/nnc/nnc_sparsify.h"

#include "codec/lossless/narrow_float.h"

#include <stdlib.h>

#define HALF_COUNT ((size_t)1 << 16)

static uint32_t magnitude(float value)
{
    return float_bits(value) & 0x7fffffff;
}

/* The half at which the running sum reaches wanted >= 1; what is below it is
 * taken off wanted. */
static uint32_t half_at(const uint64_t *counts, uint64_t *wanted)
{
    uint32_t half = 0;
    while (counts[half] < *wanted) {
        *wanted -= counts[half];
        half++;
    }
    return half;
}

enum status nnc_sparsify(float *values, uint64_t count, double share)
{
    uint64_t wanted = (uint64_t)(share * (double)count);
    if (!wanted)
        return STATUS_OK;
    wanted = wanted < count ? wanted : count;
    uint64_t *counts = calloc(2 * HALF_COUNT, sizeof(*counts));
    if (!counts)
        return STATUS_NO_MEMORY;
    for (uint64_t i = 0; i < count; i++)
        counts[magnitude(values[i]) >> 16]++;
    uint32_t high = half_at(counts, &wanted);
    for (uint64_t i = 0; i < count; i++)
        if (magnitude(values[i]) >> 16 == high)
            counts[HALF_COUNT + (magnitude(values[i]) & 0xffff)]++;
    uint32_t most = high << 16 | half_at(counts + HALF_COUNT, &wanted);
    free(counts);
    for (uint64_t i = 0; i < count; i++)
        if (magnitude(values[i]) <= most)
            values[i] = 0;
    return STATUS_OK;
}
