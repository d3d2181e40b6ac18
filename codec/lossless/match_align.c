/* Rows or columns that were inserted or removed: both sides keep their order,
 * so that one walk over both finds them. */
#include "codec/lossless/match_node.h"

#include <math.h>

/* Comparisons of one walk, and standard deviations away from chance for a
 * vector that is searched, and one at the place where it is expected. */
#define MATCH_ALIGN_WORK (1u << 21)
#define MATCH_Z_SEARCH   5.0f
#define MATCH_Z_EXPECT   2.0f

/* The least correlation that is so many deviations from chance. */
static float match_threshold(size_t k, float z)
{
    float corr = tanhf(z / sqrtf((float)k - 3));
    return corr < 0.5f ? 0.5f : corr;
}

static bool match_is_dull(const float *v, size_t k)
{
    for (size_t i = 0; i < k; i++)
        if (v[i] != 0)
            return false;
    return true;
}

/* What lies between two that were found as far apart on both sides, before the
 * first and behind the last, is found too. */
static void match_fill(uint32_t *map, size_t to, size_t from)
{
    size_t next = 0;
    uint32_t base = 0;
    for (size_t i = 0; i <= to; i++) {
        uint32_t at = i < to ? map[i] : (uint32_t)from;
        if (at == MATCH_NOWHERE)
            continue;
        if (i - next == at - base)
            for (size_t j = next; j < i; j++)
                map[j] = base + (uint32_t)(j - next);
        next = i + 1;
        base = at + 1;
    }
}

static size_t match_count_found(const uint32_t *map, size_t to)
{
    size_t found = 0;
    for (size_t i = 0; i < to; i++)
        found += map[i] != MATCH_NOWHERE;
    return found;
}

/* The first base vector from `at` on that is alike enough. */
static size_t match_walk(const float *v, const float *base, size_t at,
                         size_t from, size_t k, size_t *work)
{
    float search = match_threshold(k, MATCH_Z_SEARCH);
    if (at < from && match_dot(v, base + at * k, k) >= search)
        return at;
    if (match_is_dull(v, k))
        return at < from && match_is_dull(base + at * k, k) ? at : from;
    for (size_t j = at + 1; j < from && *work; j++) {
        (*work)--;
        if (match_dot(v, base + j * k, k) >= search)
            return j;
    }
    if (at < from &&
        match_dot(v, base + at * k, k) >= match_threshold(k, MATCH_Z_EXPECT))
        return at;
    return from;
}

size_t match_align(float *target, size_t to, float *base, size_t from, size_t k,
                   uint32_t *map)
{
    size_t at = 0, work = MATCH_ALIGN_WORK;
    for (size_t i = 0; i < to; i++)
        match_normalise(target + i * k, k, NULL);
    for (size_t i = 0; i < from; i++)
        match_normalise(base + i * k, k, NULL);
    for (size_t i = 0; i < to; i++) {
        size_t j = match_walk(target + i * k, base, at, from, k, &work);
        map[i] = j < from ? (uint32_t)j : MATCH_NOWHERE;
        if (j < from)
            at = j + 1;
    }
    size_t found = match_count_found(map, to);
    if (found)
        match_fill(map, to, from);
    return found;
}
