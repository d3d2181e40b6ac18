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

#define FAST_STATS_BLOCK 1024u

struct fast_stats {
    const struct fast_kernels *kernels;
    struct fast_classes classes[FAST_STATS_BLOCK];
    struct classes_format format;
    uint64_t elem_count;
    uint64_t changed_count;
    bool has_base;
    /* By exponent of the base; exponent 0 alone without a base. */
    bool seen[CLASSES_EXPONENTS];
    struct fast_diff_counts diff[CLASSES_EXPONENTS];
    struct fast_value_counts value[CLASSES_EXPONENTS];
};

#endif
