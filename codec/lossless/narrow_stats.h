/* What the planner of the narrow coder knows of a tensor while its elements are
 * counted. Private to narrow_*. */
#ifndef CODEC_LOSSLESS_NARROW_STATS_H
#define CODEC_LOSSLESS_NARROW_STATS_H

#include "codec/lossless/narrow.h"
#include "codec/lossless/narrow_rows.h"

#define NARROW_VALUES 512u

/* By side and bin. */
struct narrow_diff_counts {
    uint32_t count[NARROW_SIDES][NARROW_BINS];
};

/* count[0] is of zeros, count[1 + h] of half octave h; the last one is of the
 * magnitude that no half octave holds. */
struct narrow_value_counts {
    uint32_t count[1 + NARROW_VALUES + 1];
};

struct narrow_stats {
    struct narrow_format format;
    uint64_t elem_count;
    uint64_t changed_count; /* of elements that were not counted in bins */
    uint64_t binned_count;
    bool has_pred;
    bool has_lost;
    /* Integers: bins of the values themselves, around 0 and around the middle
     * of their range. */
    uint32_t whole[2][NARROW_BINS];
    /* By exponent of the prediction; exponent 0 alone without one. */
    bool seen[NARROW_EXPONENTS];
    struct narrow_diff_counts diff[NARROW_EXPONENTS];
    struct narrow_value_counts value[NARROW_EXPONENTS];
    uint8_t bins[NARROW_DIFFS];
    uint8_t syms[NARROW_ROW_MAX + 1][NARROW_BINS];
};

#endif
