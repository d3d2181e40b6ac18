/* The constants of the binary arithmetic coder of ISO/IEC 15938-17: ranges of
 * the less probable bin, steps of the two probability estimates, and the
 * parameter sets that a context may start from.
 *
 * A context's state is s = 16 * fast + slow on a logistic-like scale: s >= 0
 * means that 1 is the more probable bin. */
#ifndef CODEC_ENTROPY_CABAC_TABLES_H
#define CODEC_ENTROPY_CABAC_TABLES_H

#include <stdint.h>

#define CABAC_SETS 9u

/* Range of the less probable bin: row (range >> 5) & 7, column |s >> 7|. */
extern const uint8_t cabac_range_lps[8 * 32];

/* Step of an estimate at 16 + (sign * s0 >> 3), or 16 + (sign * s1 >> 7),
 * before the shift of the parameter set; sign is that of the bin. */
extern const uint16_t cabac_step[32];

/* A parameter set: shifts of both estimates and where they start. */
struct cabac_set {
    uint8_t fast_shift, slow_shift;
    int8_t fast;
    int16_t slow;
};
extern const struct cabac_set cabac_sets[CABAC_SETS];

#endif
