#include "codec/quant/level_cost.h"

#include "codec/base/cpu.h"

#include <string.h>

#define UNARY LEVEL_COST_UNARY

static struct level_cost_ctx start(unsigned set)
{
    const struct cabac_set *from = &cabac_sets[set];
    return (struct level_cost_ctx){&cabac_moves[cabac_moves_of[set]],
                                   (int16_t)(16 * from->fast), from->slow};
}

static ALWAYS_INLINE void update(struct level_cost_ctx *ctx, unsigned bin)
{
    ctx->fast = (int16_t)cabac_moves_fast(ctx->moves, ctx->fast, bin);
    ctx->slow = (int16_t)cabac_moves_slow(ctx->moves, ctx->slow, bin);
}

void level_cost_init(struct level_cost *cost, const struct level_input *in)
{
    for (unsigned i = 0; i < LEVEL_COST_CTX; i++)
        cost->ctx[i] = start(in->sets ? in->sets[i] : 0);
    cost->ctx[ctx_row(UNARY)] = start(0);
    cost->scale = (float)(in->lambda / CABAC_COST_ONE);
}

static float bin_cost(const struct level_cost *cost, unsigned ctx, unsigned bin)
{
    return cost->scale *
           (float)cabac_cost(cost->ctx[ctx].fast + cost->ctx[ctx].slow, bin);
}

/* Of what is left above the unary part, given the bits of its suffix. */
static void refresh_golomb(struct level_cost *cost)
{
    float ones = 0;
    for (unsigned e = 0; e < 31; e++) {
        unsigned ctx = ctx_remainder(UNARY) + e;
        cost->golomb[e] = ones + bin_cost(cost, ctx, 0) +
                          cost->scale * (float)(e * CABAC_COST_ONE);
        ones += bin_cost(cost, ctx, 1);
    }
    cost->golomb[31] = ones + cost->scale * (float)(31u * CABAC_COST_ONE);
}

static void refresh_flags(struct level_cost *cost)
{
    for (unsigned kind = 0; kind < 4; kind++) {
        unsigned first = kind < 2 ? CTX_GREATER + kind
                                  : ctx_greater_temporal(UNARY) + (kind & 1);
        float ones = 0;
        for (unsigned j = 0; j < UNARY; j++) {
            cost->flag_sum[kind][j] = ones;
            cost->flag_stop[kind][j] = bin_cost(cost, first + 2 * j, 0);
            ones += bin_cost(cost, first + 2 * j, 1);
        }
        cost->flag_sum[kind][UNARY] = ones;
    }
}

static float above_unary(const struct level_cost *cost, uint32_t k)
{
    uint32_t rest = k - UNARY; /* >= 1 */
    return cost->golomb[31 - __builtin_clz(rest)];
}

static float magnitude_plain(const struct level_cost *cost, bool negative,
                             uint32_t k)
{
    if (k <= UNARY)
        return cost->flag_sum[negative][k - 1] +
               cost->flag_stop[negative][k - 1];
    return cost->flag_sum[negative][UNARY] + above_unary(cost, k);
}

/* Flags up to |base| have one context each, those after another. */
static float magnitude_temporal(const struct level_cost *cost, int32_t base,
                                uint32_t k)
{
    uint32_t b = base < 0 ? 0u - (uint32_t)base : (uint32_t)base;
    uint32_t flags = k <= UNARY ? k - 1 : UNARY; /* ones */
    uint32_t turn = b >= flags ? flags : b + 1;
    float ones = cost->flag_sum[2][turn] + cost->flag_sum[3][flags] -
                 cost->flag_sum[3][turn];
    if (k > UNARY)
        return ones + above_unary(cost, k);
    return ones + cost->flag_stop[b < flags ? 3 : 2][flags];
}

float level_cost_magnitude(const struct level_cost *cost, bool negative,
                           int32_t base, uint32_t k)
{
    return base ? magnitude_temporal(cost, base, k)
                : magnitude_plain(cost, negative, k);
}

void level_cost_refresh(struct level_cost *cost)
{
    for (unsigned state = 0; state < 8; state++) {
        for (unsigned bin = 0; bin < 2; bin++) {
            for (unsigned left = 0; left < 3; left++)
                cost->sig[left][bin][state] =
                    bin_cost(cost, CTX_SIG + 3 * state + left, bin);
            for (unsigned above = 0; above < 2; above++)
                cost->sig_temporal[above][bin][state] =
                    bin_cost(cost, CTX_SIG_TEMPORAL + 2 * state + above, bin);
        }
    }
    for (unsigned bin = 0; bin < 2; bin++) {
        for (unsigned left = 0; left < 3; left++)
            cost->sign[left][bin] = bin_cost(cost, CTX_SIGN + left, bin);
        for (unsigned above = 0; above < 2; above++)
            cost->sign_temporal[above][bin] =
                bin_cost(cost, CTX_SIGN_TEMPORAL + above, bin);
        cost->skip[bin] = bin_cost(cost, ctx_row(UNARY), bin);
    }
    refresh_flags(cost);
    refresh_golomb(cost);
    for (unsigned negative = 0; negative < 2; negative++)
        for (uint32_t k = 1; k < LEVEL_COST_TABLE + 2; k++)
            cost->magnitude[negative][k] = magnitude_plain(cost, negative, k);
}

void level_cost_adapt(struct level_cost *cost, unsigned state, int32_t left,
                      int32_t base, int32_t k)
{
    struct level_cost_ctx *ctx = cost->ctx;
    update(&ctx[ctx_sig(state, left, base, false)], k != 0);
    if (!k)
        return;
    bool negative = k < 0;
    uint32_t a = negative ? 0u - (uint32_t)k : (uint32_t)k;
    update(&ctx[ctx_sign(left, base)], negative);
    if (base) {
        for (uint32_t j = 0; j < UNARY && j < a; j++)
            update(&ctx[ctx_greater(UNARY, j, negative, base)], j + 1 < a);
    } else {
        struct level_cost_ctx *at = &ctx[CTX_GREATER + negative];
        uint32_t ones = a - 1 < UNARY ? a - 1 : UNARY;
        for (uint32_t j = 0; j < ones; j++, at += 2)
            update(at, 1);
        if (ones < UNARY)
            update(at, 0);
    }
    if (a <= UNARY)
        return;
    unsigned e = 31 - (unsigned)__builtin_clz(a - UNARY);
    for (unsigned i = 0; i <= e && i < 31; i++)
        update(&ctx[ctx_remainder(UNARY) + i], i < e);
}

void level_cost_adapt_row(struct level_cost *cost, bool skipped)
{
    update(&cost->ctx[ctx_row(UNARY)], skipped);
}

float level_cost_now(const struct level_cost *cost, unsigned state,
                     int32_t left, int32_t base, int32_t k)
{
    float sum = bin_cost(cost, ctx_sig(state, left, base, false), k != 0);
    if (!k)
        return sum;
    bool negative = k < 0;
    uint32_t a = negative ? 0u - (uint32_t)k : (uint32_t)k;
    sum += bin_cost(cost, ctx_sign(left, base), negative);
    for (uint32_t j = 0; j < UNARY && j < a; j++)
        sum += bin_cost(cost, ctx_greater(UNARY, j, negative, base), j + 1 < a);
    if (a <= UNARY)
        return sum;
    unsigned e = 31 - (unsigned)__builtin_clz(a - UNARY);
    for (unsigned i = 0; i <= e && i < 31; i++)
        sum += bin_cost(cost, ctx_remainder(UNARY) + i, i < e);
    return sum + cost->scale * (float)(e * CABAC_COST_ONE);
}
