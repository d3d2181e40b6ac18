/* What the bins of one tensor cost with each of the nine parameter sets, found
 * by running all of them: for the choice of sets and for every choice that
 * changes which bins there are.
 *
 * Only four pairs of shifts differ between the sets. Runs of one pair come to
 * nearly the same state in the end, but for the pair of 7 and 5, so after some
 * bins only the best of each goes on, and one that has fallen far behind is
 * given up. In short tensors a set that starts far from what a context's first
 * bins are like is not run at all.
 *
 * Ref: ISO/IEC 15938-17:2024, context variables; cabac_cost.h. */
#ifndef CODEC_NNC_LEVELS_SIM_H
#define CODEC_NNC_LEVELS_SIM_H

#include "codec/base/cpu.h"
#include "codec/base/status.h"
#include "codec/entropy/cabac_cost.h"
#include "codec/entropy/cabac_moves.h"
#include "codec/nnc/ctx_select.h"

#include <stdbool.h>
#include <stdint.h>

/* Bins of a context that are run at once. */
#define LEVELS_SIM_BINS 64u

/* Cost of what cannot be the best. */
#define LEVELS_SIM_NEVER UINT64_MAX

/* A run this many bits behind the best is given up: over the rest of a context
 * it would have to gain that. In long tensors it has time for it, and slow sets
 * do; where nearly all bins are alike they take longer to get there. */
#define LEVELS_SIM_GIVE_UP       12u
#define LEVELS_SIM_GIVE_UP_ALIKE 40u
#define LEVELS_SIM_GIVE_UP_LONG  200u

/* One set's run. */
struct levels_sim_run {
    uint64_t cost;
    int16_t fast, slow; /* as in cabac_moves.h */
    uint8_t set;
};

/* One context: its first `live` runs are still run. */
struct levels_sim_ctx {
    uint32_t fill;  /* bins that wait */
    uint32_t total; /* bins before these */
    uint32_t live;
    bool alike; /* its first bins are nearly all the same */
    struct levels_sim_run run[CABAC_SETS];
    /* Sets that run with another: that one's cost, and this more. */
    uint8_t with[CABAC_SETS];
    int64_t more[CABAC_SETS];
    uint8_t bins[LEVELS_SIM_BINS];
};

/* A set's run after a number of equal bins. */
struct levels_sim_same {
    uint32_t cost;
    int16_t fast, slow;
};

struct levels_sim {
    struct levels_sim_same same[CABAC_SETS][2][LEVELS_SIM_BINS + 1];
    uint32_t sets; /* the first of them are run */
    bool is_long;  /* there are many bins: sets show late what they are worth */
    uint64_t weight; /* of bins from now on; see levels_sim_weigh */
    uint64_t bypass; /* bits, weighed */
    struct levels_sim_ctx ctx[CTX_COUNT_MAX];
};

/* sim is large: on the heap, please. */
void levels_sim_init(struct levels_sim *sim);

/* Starts over with contexts `runs`, and the first `sets` sets, for a tensor of
 * elem_count elements. */
void levels_sim_start(struct levels_sim *sim,
                      const struct ctx_run runs[CTX_RUNS], uint32_t sets,
                      uint64_t elem_count);

/* Runs what waits; after it costs are those of all bins. */
void levels_sim_flush(struct levels_sim *sim,
                      const struct ctx_run runs[CTX_RUNS]);

/* All contexts go back to their starts, as where a row of blocks begins. */
void levels_sim_reset(struct levels_sim *sim,
                      const struct ctx_run runs[CTX_RUNS]);

/* Each bin from now on stands for `weight` of them. */
void levels_sim_weigh(struct levels_sim *sim,
                      const struct ctx_run runs[CTX_RUNS], uint64_t weight);

/* The cost of a context's bins with a set, in units of CABAC_COST_ONE / bit;
 * LEVELS_SIM_NEVER if the set was given up. After levels_sim_flush. */
uint64_t levels_sim_cost(const struct levels_sim_ctx *ctx, uint32_t set);

/* Runs the bins of a context that wait. */
void levels_sim_run(struct levels_sim *sim, struct levels_sim_ctx *ctx);

static ALWAYS_INLINE void levels_sim_bin(struct levels_sim *sim,
                                         uint32_t number, int bin)
{
    struct levels_sim_ctx *ctx = &sim->ctx[number];
    ctx->bins[ctx->fill++] = (uint8_t)bin;
    if (ctx->fill == LEVELS_SIM_BINS)
        levels_sim_run(sim, ctx);
}

#endif
