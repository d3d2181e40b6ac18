/* What the planner of the fast coder knows of a tensor while its elements are
 * counted. Private to fast_*. */
#ifndef CODEC_LOSSLESS_FAST_STATS_H
#define CODEC_LOSSLESS_FAST_STATS_H

#include "codec/lossless/classes.h"
#include "codec/lossless/fast.h"
#include "codec/lossless/fast_kernels.h"

/* Half octaves of differences: 0 .. 127, of which 2 w - 2 occur; 2 w - 2 itself
 * is a magnitude that only the escape codes. */
#define FAST_DIFFS 128u
/* Half octaves of values, seen from 2 * exponent_bias on. */
#define FAST_VALUES 512u

/* count[0] is of zeros, count[1 + h] of half octave h. */
struct fast_diff_counts {
    uint32_t count[1 + FAST_DIFFS];
};

/* The same, and the last one is of those beyond. Of integers the half octaves
 * of their own magnitudes, as in fast_diff_counts. */
struct fast_value_counts {
    uint32_t count[1 + FAST_VALUES + 1];
};

/* Index in fast_value_counts of a value of this magnitude; first is twice the
 * exponent bias. */
static ALWAYS_INLINE unsigned
fast_value_index(uint64_t magnitude, unsigned mantissa_bits, unsigned first)
{
    unsigned at = 1 + (unsigned)(magnitude >> (mantissa_bits - 1)) - first;
    at = at - 1 < FAST_VALUES ? at : 1 + FAST_VALUES;
    return at & (0 - (unsigned)(magnitude != 0));
}

#define FAST_STATS_BLOCK 1024u

/* By exponent of the base. */
struct fast_counts {
    bool seen[CLASSES_EXPONENTS];
    /* The second ones of blocks whose changes are half an octave larger than
     * the scale and the exponent say. */
    struct fast_diff_counts diff[2][CLASSES_EXPONENTS];
    struct fast_value_counts value[CLASSES_EXPONENTS];
};

struct fast_stats {
    const struct fast_kernels *kernels;
    struct fast_classes classes[FAST_STATS_BLOCK];
    struct classes_format format;
    uint64_t elem_count;
    uint64_t changed_count;
    bool has_base;
    /* Exponent 0 alone without a base and for integers. */
    struct fast_counts plain;
    /* Floats that have a base, by exponents as shifts leave them. */
    struct fast_counts shifted;
    bool has_scale;       /* some element has changed */
    uint16_t shift_scale; /* the scale that shifts go from */
    uint32_t shift[FREQ_SYMS];
    /* What each symbol of a shift makes of each exponent. */
    uint8_t exponent[FREQ_SYMS][CLASSES_EXPONENTS];
};

/* The scale for what was counted: the usual change becomes FAST_SHIFT_USUAL. */
uint16_t fast_counts_scale(const struct fast_counts *counts);

#endif
