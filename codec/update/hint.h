/* What the maker of a version knows of how it was made: of each quantised
 * tensor the step of its difference to the base, and the low rank part that
 * was added below it, which no one can find again from the contents. A planner
 * tries that first and fits nothing. Hints that do not hold cost time, never
 * correctness. */
#ifndef CODEC_UPDATE_HINT_H
#define CODEC_UPDATE_HINT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Of one tensor of the target:
 *
 *     target = round to dtype(pred + (float)q * step(qp, density))
 *
 * pred is the base, or what codec/lossless/predict.h makes of it with rank,
 * shift, u and v. */
struct update_hint {
    uint64_t target_offset; /* of the tensor's first byte */
    int16_t qp;             /* as codec/lossless/lattice.h has it */
    uint8_t density;
    bool has_step;    /* false: qp and density mean nothing, only rank does */
    uint8_t rank;     /* 0: no low rank part; at most PREDICT_RANK_MAX */
    int8_t shift;     /* its step is 2^shift */
    uint32_t columns; /* elements a row; a divisor of the tensor's elements.
                         Only with rank */
    const int16_t *u; /* rank a row, rows counted from the first element */
    const int16_t *v; /* rank a column */
};

/* In order of target_offset; all is borrowed. */
struct update_hints {
    const struct update_hint *items;
    size_t count;
};

#endif
