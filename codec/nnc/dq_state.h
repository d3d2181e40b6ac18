/* The states of dependent quantisation: eight, starting from 0 for every
 * tensor. An even state has the points 2k * step, an odd one
 * (2k - sign(k)) * step; the parity of k leads to the next state.
 *
 * Ref: ISO/IEC 15938-17:2024, dependent quantisation. */
#ifndef CODEC_NNC_DQ_STATE_H
#define CODEC_NNC_DQ_STATE_H

#include <stdint.h>

#define DQ_STATES 8u

static const uint8_t dq_state_table[DQ_STATES][2] = {
    {0, 2}, {7, 5}, {1, 3}, {6, 4}, {2, 0}, {5, 7}, {3, 1}, {4, 6},
};

/* The state after k. */
static inline unsigned dq_state_next(unsigned state, int32_t k)
{
    return dq_state_table[state][(uint32_t)k & 1];
}

/* The state after count zeros, any count. Zeros walk 0 -> 0, 5 -> 5,
 * 1 -> 7 -> 4 -> 2 -> 1 and 3 -> 6 -> 3. */
static inline unsigned dq_state_after_zeros(unsigned state, uint64_t count)
{
    for (unsigned i = (unsigned)(count & 3); i; i--)
        state = dq_state_table[state][0];
    return state;
}

/* The level of k; magnitudes are modulo 2^32, as the standard's software has
 * them. */
static inline int32_t dq_state_level(unsigned state, int32_t k)
{
    uint32_t odd = state & 1;
    uint32_t twice = 2u * (uint32_t)k;
    return (int32_t)(k > 0 ? twice - odd : k < 0 ? twice + odd : 0);
}

/* The k of a level that has one in this state: an even level, or in odd
 * states 0 and the odd ones. */
static inline int32_t dq_state_k(unsigned state, int32_t level)
{
    int32_t odd = (int32_t)(state & 1);
    return (int32_t)(((int64_t)level + (level > 0   ? odd
                                        : level < 0 ? -odd
                                                    : 0)) /
                     2);
}

#endif
