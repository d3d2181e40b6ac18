/* Values to be quantised, the same on every machine: integers over 2^16 with a
 * distribution that is peaked at 0 and has long tails. */
#ifndef TESTS_SUPPORT_QUANT_VALUES_H
#define TESTS_SUPPORT_QUANT_VALUES_H

#include "codec/nnc/dq_state.h"
#include "codec/nnc/levels_search.h"
#include "codec/quant/level_cost.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static inline uint32_t quant_random(uint64_t *seed)
{
    *seed = *seed * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(*seed >> 33);
}

/* Magnitudes mostly below `scale`. */
static inline void quant_values(float *values, size_t count, float scale,
                                uint64_t seed)
{
    for (size_t i = 0; i < count; i++) {
        float a = (float)((int32_t)(quant_random(&seed) & 0xffff) - 0x8000);
        float b = (float)(quant_random(&seed) & 0xffff);
        float c = (float)(quant_random(&seed) & 0xffff);
        values[i] = a * b * c * (scale / 70368744177664.0f);
    }
}

static inline double quant_error(const float *values, const int32_t *levels,
                                 size_t count, double step)
{
    double sum = 0;
    for (size_t i = 0; i < count; i++) {
        double error = (double)values[i] - (double)levels[i] * step;
        sum += error * error;
    }
    return sum;
}

/* Of their best coding, in bits; 0 if they are not levels of the states. */
static inline double quant_bits(const int32_t *levels, size_t count,
                                size_t columns, bool dq)
{
    struct levels_search *search;
    struct levels_freedom freedom = {.sets = true, .row_skip = true};
    struct level_coding coding = {.elem_count = count,
                                  .row_elems = columns,
                                  .profile = 1,
                                  .unary = 11,
                                  .dq = dq};
    struct levels_choice *choice = calloc(1, sizeof *choice);
    const struct level_order *order;
    uint64_t cost = 0;
    if (!choice || levels_search_new(&search))
        abort();
    if (levels_search_run(search, &freedom, &coding, levels, choice, &order,
                          &cost))
        cost = 0;
    levels_search_free(search);
    free(choice);
    return (double)cost / CABAC_COST_ONE;
}

/* Whether the eight states can produce them. */
static inline bool quant_fits_states(const int32_t *levels, size_t count)
{
    unsigned state = 0;
    for (size_t i = 0; i < count; i++) {
        int32_t k = dq_state_k(state, levels[i]);
        if (dq_state_level(state, k) != levels[i])
            return false;
        state = dq_state_next(state, k);
    }
    return true;
}

#endif
