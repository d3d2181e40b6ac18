/* Bins with contexts for hot loops, bit-exact with cabac_dec_bin: both
 * estimates move by what one table says, and the ranges of the less probable
 * bin for all eight rows are one word, looked up before the range is known.
 *
 * The bin itself is a branch, so that what follows need not wait for the
 * comparison; which of both intervals it is then follows from the context's
 * state, which is known early, and is a choice without a branch. */
#ifndef CODEC_ENTROPY_CABAC_DEC_FAST_H
#define CODEC_ENTROPY_CABAC_DEC_FAST_H

#include "codec/base/cpu.h"
#include "codec/entropy/cabac_dec.h"

/* Estimates have steps between -20 and 19 times 128; none leaves that. */
#define CABAC_MOVES_MIDDLE 20
#define CABAC_MOVES_COUNT  40

/* How estimates move and what they mean, for all sets, made once. */
struct cabac_dec_moves {
    /* Ranges of the less probable bin for the state s at (s >> 7) + 32; row i
     * is byte i from the lowest. */
    uint64_t rows[64];
    /* What an estimate (the fast one 16 times itself) gains: of a set and a
     * bin, slow then fast, at ((estimate + bin - 1) >> 7) + the middle. */
    int16_t gain[CABAC_SETS][2][2][CABAC_MOVES_COUNT];
};

void cabac_dec_moves_init(struct cabac_dec_moves *moves);

/* A context in a hot loop. */
struct cabac_dec_ctx {
    uint64_t rows; /* of moves, for the state */
    int16_t slow;
    int16_t fast;  /* 16 times the estimate */
    uint32_t gain; /* in moves->gain, the middle of its set's first run */
};

static inline void cabac_dec_ctx_init(struct cabac_dec_ctx *ctx,
                                      const struct cabac_dec_moves *moves,
                                      unsigned set)
{
    ctx->slow = cabac_sets[set].slow;
    ctx->fast = (int16_t)(16 * cabac_sets[set].fast);
    ctx->gain = 4 * CABAC_MOVES_COUNT * set + CABAC_MOVES_MIDDLE;
    ctx->rows = moves->rows[((ctx->slow + ctx->fast) >> 7) + 32];
}

/* A state reset. */
static inline void cabac_dec_ctx_reset(struct cabac_dec_ctx *ctx,
                                       const struct cabac_dec_moves *moves)
{
    cabac_dec_ctx_init(ctx, moves, ctx->gain / (4 * CABAC_MOVES_COUNT));
}

static ALWAYS_INLINE void
cabac_dec_ctx_move(struct cabac_dec_ctx *ctx,
                   const struct cabac_dec_moves *moves, int bin)
{
    const int16_t *gain =
        &moves->gain[0][0][0][0] + ctx->gain + 2 * CABAC_MOVES_COUNT * bin;
    int64_t slow = ctx->slow;
    int64_t fast = ctx->fast;
    slow += gain[(slow + bin - 1) >> 7];
    fast += gain[((fast + bin - 1) >> 7) + CABAC_MOVES_COUNT];
    ctx->slow = (int16_t)slow;
    ctx->fast = (int16_t)fast;
    ctx->rows = moves->rows[((slow + fast) >> 7) + 32];
}

/* Both intervals of a range, and what is left of each once it is normalised:
 * all of it is there before it is known which one it is. */
struct cabac_dec_halves {
    uint64_t bound;
    uint32_t lower, upper; /* normalised */
    int32_t lower_shift, upper_shift;
};

static ALWAYS_INLINE struct cabac_dec_halves
cabac_dec_halve(const struct cabac_dec *dec, uint64_t rows)
{
    struct cabac_dec_halves halves;
    uint32_t upper = (uint8_t)(rows >> (dec->range >> 2 & 56));
    uint32_t lower = dec->range - upper;
    halves.bound = (uint64_t)lower << dec->bits;
    /* The less probable bin has at most half: one shift is enough. */
    halves.lower_shift = lower < 256;
    halves.lower = lower < 256 ? 2 * lower : lower;
    halves.upper_shift = 8 - (31 ^ __builtin_clz(upper));
    halves.upper = upper << halves.upper_shift;
    return halves;
}

/* Goes on with the lower part of the range, which is at least half of it where
 * its bin is the likely one: one shift is enough. */
static ALWAYS_INLINE void cabac_dec_take_lower(struct cabac_dec *dec,
                                               uint32_t lower)
{
    uint32_t shift = lower >> 8 ^ 1;
    dec->range = lower << shift;
    dec->bits -= (int32_t)shift;
}

/* Goes on with the upper part; above is what of the value lies in it. */
static ALWAYS_INLINE void cabac_dec_take_upper(struct cabac_dec *dec,
                                               uint32_t upper, uint64_t above)
{
    int shift = 8 - (31 ^ __builtin_clz(upper));
    dec->range = upper << shift;
    dec->bits -= shift;
    dec->value = above;
}

/* As cabac_dec_bin; rows are those of ctx. At least CABAC_DEC_BIN bits of
 * lookahead are left. */
static ALWAYS_INLINE bool
cabac_dec_ready_bin(struct cabac_dec *dec, struct cabac_dec_ctx *ctx,
                    uint64_t rows, const struct cabac_dec_moves *moves)
{
    uint32_t upper = (uint8_t)(rows >> (dec->range >> 2 & 56));
    uint32_t lower = dec->range - upper;
    int64_t above = (int64_t)(dec->value - ((uint64_t)lower << dec->bits));
    int64_t state = (int64_t)ctx->slow + ctx->fast;
    if ((above ^ state) < 0) { /* the likely bin, below, is 1; or neither */
        if (state >= 0)
            cabac_dec_take_lower(dec, lower);
        else
            cabac_dec_take_upper(dec, upper, (uint64_t)above);
        cabac_dec_ctx_move(ctx, moves, 1);
        return true;
    }
    if (state >= 0)
        cabac_dec_take_upper(dec, upper, (uint64_t)above);
    else
        cabac_dec_take_lower(dec, lower);
    cabac_dec_ctx_move(ctx, moves, 0);
    return false;
}

/* The same with whatever lookahead. */
static ALWAYS_INLINE bool
cabac_dec_fast_bin(struct cabac_dec *dec, struct cabac_dec_ctx *ctx,
                   uint64_t rows, const struct cabac_dec_moves *moves)
{
    cabac_dec_fill(dec);
    return cabac_dec_ready_bin(dec, ctx, rows, moves);
}

/* The same without a branch, for bins as likely as not; with the lookahead of
 * cabac_dec_ready_bin. */
static ALWAYS_INLINE unsigned
cabac_dec_even_bin(struct cabac_dec *dec, struct cabac_dec_ctx *ctx,
                   const struct cabac_dec_moves *moves)
{
    struct cabac_dec_halves halves = cabac_dec_halve(dec, ctx->rows);
    int64_t above = (int64_t)(dec->value - halves.bound);
    uint64_t below = (uint64_t)(above >> 63); /* all ones, or 0 */
    uint32_t mask = (uint32_t)below;
    unsigned bin =
        (unsigned)((uint64_t)(above ^ (ctx->slow + ctx->fast)) >> 63);
    dec->range = halves.upper ^ ((halves.lower ^ halves.upper) & mask);
    dec->bits -= halves.upper_shift ^
                 ((halves.lower_shift ^ halves.upper_shift) & (int32_t)mask);
    dec->value = (uint64_t)above + (halves.bound & below);
    cabac_dec_ctx_move(ctx, moves, (int)bin);
    return bin;
}

#endif
