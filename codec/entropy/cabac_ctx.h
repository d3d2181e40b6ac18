/* The adaptive probability of one context of the binary arithmetic coder, as
 * both sides keep it: two estimates, a fast and a slow one, and the parameter
 * set they started from.
 *
 * The state s = 16 * fast + slow says by its sign which bin is the more
 * probable one (s >= 0: 1) and by |s >> 7| how much more.
 *
 * Ref: ISO/IEC 15938-17:2024, probability estimation. */
#ifndef CODEC_ENTROPY_CABAC_CTX_H
#define CODEC_ENTROPY_CABAC_CTX_H

#include "codec/entropy/cabac_tables.h"

#include <stdbool.h>
#include <stdint.h>

/* The engine's range is CABAC_RANGE_START at first and CABAC_RANGE_RESET after
 * a range reset. */
#define CABAC_RANGE_START 510u
#define CABAC_RANGE_RESET 256u

struct cabac_ctx {
    int16_t slow;
    int8_t fast;
    uint8_t set; /* < CABAC_SETS */
};

/* Starts from a parameter set, set < CABAC_SETS. */
static inline void cabac_ctx_init(struct cabac_ctx *ctx, unsigned set)
{
    const struct cabac_set *from = &cabac_sets[set];
    *ctx = (struct cabac_ctx){from->slow, from->fast, (uint8_t)set};
}

/* A state reset: back to where its set starts. */
static inline void cabac_ctx_reset(struct cabac_ctx *ctx)
{
    cabac_ctx_init(ctx, ctx->set);
}

/* The combined state. */
static inline int cabac_ctx_state(const struct cabac_ctx *ctx)
{
    return 16 * ctx->fast + ctx->slow;
}

/* The more probable bin. */
static inline unsigned cabac_ctx_mps(const struct cabac_ctx *ctx)
{
    return cabac_ctx_state(ctx) >= 0;
}

/* The column of cabac_range_lps, 0..31; the shift is arithmetic. */
static inline unsigned cabac_ctx_column(const struct cabac_ctx *ctx)
{
    int column = cabac_ctx_state(ctx) >> 7;
    return (unsigned)(column < 0 ? -column : column);
}

/* The range of the less probable bin; range is 256..510. */
static inline unsigned cabac_ctx_range_lps(const struct cabac_ctx *ctx,
                                           unsigned range)
{
    return cabac_range_lps[32 * (range >> 5 & 7) + cabac_ctx_column(ctx)];
}

/* Both estimates after a bin; each depends on itself alone. */
static inline void cabac_ctx_update(struct cabac_ctx *ctx, unsigned bin)
{
    const struct cabac_set *set = &cabac_sets[ctx->set];
    int sign = bin ? 1 : -1;
    int fast = cabac_step[16 + (sign * ctx->fast >> 3)] >> set->fast_shift;
    int slow = cabac_step[16 + (sign * ctx->slow >> 7)] >> set->slow_shift;
    ctx->fast = (int8_t)(ctx->fast + sign * fast);
    ctx->slow = (int16_t)(ctx->slow + sign * slow);
}

#endif
