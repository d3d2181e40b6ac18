/* What the planner of the fast coder knows of a tensor while its elements are
 * counted. Private to fast_*. */
#ifndef CODEC_LOSSLESS_FAST_STATS_H
#define CODEC_LOSSLESS_FAST_STATS_H

#include "codec/lossless/classes.h"
#include "codec/lossless/fast.h"

/* Half octaves of differences: 0 .. 127, of which 2 w - 2 occur. */
#define FAST_DIFFS 128u
/* Half octaves of values, seen from 2 * exponent_bias on. */
#define FAST_VALUES 512u

struct fast_diff_counts {
    uint32_t zero;
    uint32_t wide; /* those that only an escape codes */
    uint32_t class[FAST_DIFFS];
};

struct fast_value_counts {
    uint32_t zero;
    uint32_t wide; /* beyond the FAST_VALUES half octaves */
    uint32_t half_octave[FAST_VALUES];
};

struct fast_stats {
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
