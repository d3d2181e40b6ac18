/* How many bits a bin takes of the arithmetic coder of ISO/IEC 15938-17, given
 * the state of its context: for those who search and for quantisers that weigh
 * bits against error. Fixed point, so that choices are the same on every
 * machine. Over many bins the sum of these is within a few parts in a thousand
 * of what the coder writes.
 *
 * A context's combined state is s = 16 * fast + slow (cabac_tables.h); bypass
 * bins cost CABAC_COST_ONE. */
#ifndef CODEC_ENTROPY_CABAC_COST_H
#define CODEC_ENTROPY_CABAC_COST_H

#include <stdint.h>

/* Unit: bits / 2^CABAC_COST_BITS. */
#define CABAC_COST_BITS 13u
#define CABAC_COST_ONE  (1u << CABAC_COST_BITS)

/* [bin][32 + (s >> 7)]: the mean of log2(range / part of the bin) over ranges
 * 256 .. 511 weighed by log2(1 + 1 / range), with the parts of
 * cabac_range_lps. At most 7.15 bits. */
extern const uint16_t cabac_cost_table[2][64];

/* The cost of a bin (0 or 1) in state s = 16 * fast + slow. */
static inline uint32_t cabac_cost(int s, unsigned bin)
{
    return cabac_cost_table[bin][32 + (s >> 7)];
}

#endif
