/* What levels cost in the adaptive contexts of an NNC stream, for those who
 * choose levels: contexts that follow what was chosen, and tables made of them
 * that hold for a while.
 *
 * Costs are squared steps: lambda * bits, lambda being what a bit is worth.
 * The unary length is LEVEL_COST_UNARY, whatever the stream will have; scans
 * are row by row.
 *
 * Ref: ISO/IEC 15938-17:2024, tensor syntax; cabac_cost.h. */
#ifndef CODEC_QUANT_LEVEL_COST_H
#define CODEC_QUANT_LEVEL_COST_H

#include "codec/entropy/cabac_cost.h"
#include "codec/entropy/cabac_moves.h"
#include "codec/nnc/ctx_select.h"

#include <stdbool.h>
#include <stdint.h>

#define LEVEL_COST_UNARY 11u
#define LEVEL_COST_CTX   (CTX_GREATER + 4 * LEVEL_COST_UNARY + 34)
/* Magnitudes that have an entry in the table. */
#define LEVEL_COST_TABLE 32u

/* A tensor whose levels are to be chosen. Arrays are borrowed, count entries.
 */
struct level_input {
    const float *values; /* finite */
    uint64_t count;
    uint64_t row_elems; /* rows of so many may be skipped; 0: none is */
    double step;        /* |values| / step <= 2^30 */
    double lambda;      /* squared steps that a bit is worth; 0: none */
    double limit; /* no error above this, in steps; HUGE_VAL: no such limit.
                   * >= 0.5, with dependent quantisation >= 1 */
    const int32_t *temporal; /* levels of the update before, or NULL */
    const uint8_t *sets; /* parameter set of each of LEVEL_COST_CTX contexts;
                          * NULL: all start from set 0 */
};

/* A context: its transitions and its state, as in cabac_moves.h. */
struct level_cost_ctx {
    const struct cabac_moves *moves;
    int16_t fast, slow;
};

struct level_cost {
    struct level_cost_ctx ctx[LEVEL_COST_CTX];
    float scale; /* lambda / CABAC_COST_ONE */
    /* As of the last level_cost_refresh. */
    float sig[3][2][8]; /* [class of left][bin][state] */
    float sig_temporal[2][2][8];
    float sign[3][2]; /* [class of left][negative] */
    float sign_temporal[2][2];
    float magnitude[2][LEVEL_COST_TABLE + 2]; /* [negative][|k|] */
    float golomb[32]; /* what is above the unary part, by bits of its suffix */
    float flag_sum[4][LEVEL_COST_UNARY + 1]; /* 0 .. 1: negative, 2 .. 3: with
                                              * |base| below: ones before */
    float flag_stop[4][LEVEL_COST_UNARY];
    float skip[2];
};

void level_cost_init(struct level_cost *cost, const struct level_input *in);

/* Makes the tables anew. */
void level_cost_refresh(struct level_cost *cost);

/* Adapts contexts to k, not the tables; left is the k before. */
void level_cost_adapt(struct level_cost *cost, unsigned state, int32_t left,
                      int32_t base, int32_t k);

/* The same for the flag of a row. */
void level_cost_adapt_row(struct level_cost *cost, bool skipped);

/* By the tables: of magnitude k > 0, without significance and sign. */
float level_cost_magnitude(const struct level_cost *cost, bool negative,
                           int32_t base, uint32_t k);

/* By the contexts: of a whole level. */
float level_cost_now(const struct level_cost *cost, unsigned state,
                     int32_t left, int32_t base, int32_t k);

#endif
