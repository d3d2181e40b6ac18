/* Floats as ordered integers: the bits of an IEEE number, sign and magnitude,
 * become a two's complement integer of the same width, so that neighbouring
 * numbers differ by one. -0 is -1 and +0 is 0; NaNs lie beyond the infinities.
 * The map is its own inverse. */
#ifndef CODEC_LOSSLESS_ORDERED_H
#define CODEC_LOSSLESS_ORDERED_H

#include <stdint.h>

static inline uint16_t ordered_16(uint16_t bits)
{
    return (uint16_t)(bits ^ (bits >> 15 ? 0x7fff : 0));
}

static inline uint32_t ordered_32(uint32_t bits)
{
    return bits ^ (bits >> 31 ? UINT32_C(0x7fffffff) : 0);
}

static inline uint64_t ordered_64(uint64_t bits)
{
    return bits ^ (bits >> 63 ? UINT64_C(0x7fffffffffffffff) : 0);
}

#endif
