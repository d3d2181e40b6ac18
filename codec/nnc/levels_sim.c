#include "codec/nnc/levels_sim.h"

#include <string.h>

/* Bins before any run is given up, or joins another. */
#define GIVE_UP_MIN 128u
#define JOIN_MIN    256u
/* Tensors of more elements are long. */
#define LONG_ELEMS 16384u

static const struct cabac_moves *moves_of(uint32_t set)
{
    return &cabac_moves[cabac_moves_of[set]];
}

static struct levels_sim_run first_run(uint32_t set, uint64_t cost)
{
    const struct cabac_set *from = &cabac_sets[set];
    return (struct levels_sim_run){cost, (int16_t)(16 * from->fast), from->slow,
                                   (uint8_t)set};
}

static void same_init(struct levels_sim *sim, uint32_t set, uint32_t bin)
{
    const struct cabac_moves *moves = moves_of(set);
    struct levels_sim_run run = first_run(set, 0);
    for (uint32_t i = 0; i <= LEVELS_SIM_BINS; i++) {
        sim->same[set][bin][i] =
            (struct levels_sim_same){(uint32_t)run.cost, run.fast, run.slow};
        run.cost += cabac_cost(run.fast + run.slow, bin);
        run.fast = (int16_t)cabac_moves_fast(moves, run.fast, bin);
        run.slow = (int16_t)cabac_moves_slow(moves, run.slow, bin);
    }
}

void levels_sim_init(struct levels_sim *sim)
{
    for (uint32_t i = 0; i < CABAC_SETS; i++) {
        same_init(sim, i, 0);
        same_init(sim, i, 1);
    }
}

/* Runs from the start again, of sets that were not given up. */
static void restart(struct levels_sim_ctx *ctx)
{
    uint64_t cost[CABAC_SETS];
    for (uint32_t i = 0; i < CABAC_SETS; i++)
        cost[i] = levels_sim_cost(ctx, i);
    ctx->live = 0;
    for (uint32_t i = 0; i < CABAC_SETS; i++) {
        ctx->with[i] = (uint8_t)i;
        ctx->more[i] = 0;
        if (cost[i] != LEVELS_SIM_NEVER)
            ctx->run[ctx->live++] = first_run(i, cost[i]);
    }
}

static void start(struct levels_sim_ctx *ctx, uint32_t sets)
{
    ctx->fill = ctx->total = 0;
    ctx->live = sets;
    for (uint32_t i = 0; i < CABAC_SETS; i++) {
        ctx->run[i] = first_run(i, 0);
        ctx->with[i] = (uint8_t)i;
        ctx->more[i] = 0;
    }
}

void levels_sim_start(struct levels_sim *sim,
                      const struct ctx_run runs[CTX_RUNS], uint32_t sets,
                      uint64_t elem_count)
{
    sim->sets = sets;
    sim->is_long = elem_count > LONG_ELEMS;
    sim->weight = 1;
    sim->bypass = 0;
    for (uint32_t i = 0; i < CTX_RUNS; i++) {
        for (uint32_t j = 0; j < runs[i].count; j++)
            start(&sim->ctx[runs[i].first + j], sets);
    }
}

void levels_sim_flush(struct levels_sim *sim,
                      const struct ctx_run runs[CTX_RUNS])
{
    for (uint32_t i = 0; i < CTX_RUNS; i++) {
        for (uint32_t j = 0; j < runs[i].count; j++)
            levels_sim_run(sim, &sim->ctx[runs[i].first + j]);
    }
}

void levels_sim_reset(struct levels_sim *sim,
                      const struct ctx_run runs[CTX_RUNS])
{
    levels_sim_flush(sim, runs);
    for (uint32_t i = 0; i < CTX_RUNS; i++) {
        for (uint32_t j = 0; j < runs[i].count; j++)
            restart(&sim->ctx[runs[i].first + j]);
    }
}

void levels_sim_weigh(struct levels_sim *sim,
                      const struct ctx_run runs[CTX_RUNS], uint64_t weight)
{
    levels_sim_flush(sim, runs);
    sim->weight = weight;
}

static const struct levels_sim_run *find(const struct levels_sim_ctx *ctx,
                                         uint32_t set)
{
    for (uint32_t i = 0; i < ctx->live; i++) {
        if (ctx->run[i].set == set)
            return &ctx->run[i];
    }
    return NULL;
}

uint64_t levels_sim_cost(const struct levels_sim_ctx *ctx, uint32_t set)
{
    int64_t more = 0;
    while (ctx->with[set] != set) {
        more += ctx->more[set];
        set = ctx->with[set];
    }
    const struct levels_sim_run *run = find(ctx, set);
    return run ? run->cost + (uint64_t)more : LEVELS_SIM_NEVER;
}

/* A run in registers; as wide as addresses are. */
struct runner {
    const struct cabac_move *move; /* of bin 0 */
    ptrdiff_t fast, slow;
    uint64_t cost;
};

static ALWAYS_INLINE struct runner runner_of(const struct levels_sim_run *run)
{
    return (struct runner){moves_of(run->set)->bin, run->fast, run->slow, 0};
}

/* cost: the middle of the bin's row of cabac_cost_table. */
static ALWAYS_INLINE void runner_bin(struct runner *r, const uint16_t *cost,
                                     ptrdiff_t bin)
{
    const struct cabac_move *move = r->move + bin;
    r->cost += cost[(r->fast + r->slow) >> 7];
    r->fast = move->fast[128 + (r->fast >> 4)];
    r->slow += move->slow[32 + ((r->slow + bin - 1) >> 7)];
}

static ALWAYS_INLINE void
runner_done(const struct runner *r, struct levels_sim_run *run, uint64_t weight)
{
    run->fast = (int16_t)r->fast;
    run->slow = (int16_t)r->slow;
    run->cost += r->cost * weight;
}

/* Runs `runs` (1 .. 3) of the sets at once over the bins. */
static ALWAYS_INLINE void run_some(struct levels_sim_run *run, uint32_t runs,
                                   const uint8_t *bins, uint32_t count,
                                   uint64_t weight)
{
    struct runner a = runner_of(run), b = runner_of(run + (runs > 1 ? 1 : 0)),
                  c = runner_of(run + (runs > 2 ? 2 : 0));
    for (const uint8_t *end = bins + count; bins != end; bins++) {
        ptrdiff_t bin = *bins;
        const uint16_t *cost = cabac_cost_table[bin] + 32;
        runner_bin(&a, cost, bin);
        if (runs > 1)
            runner_bin(&b, cost, bin);
        if (runs > 2)
            runner_bin(&c, cost, bin);
    }
    runner_done(&a, run, weight);
    if (runs > 1)
        runner_done(&b, run + 1, weight);
    if (runs > 2)
        runner_done(&c, run + 2, weight);
}

static void drop_run(struct levels_sim_ctx *ctx, uint32_t at)
{
    ctx->live--;
    memmove(&ctx->run[at], &ctx->run[at + 1],
            (ctx->live - at) * sizeof ctx->run[0]);
}

/* Shifts so large that the fast estimate of a context with no surprises stays
 * where it is: states with them need not meet. */
static bool may_stay(uint8_t set)
{
    return cabac_step[16] >> cabac_sets[set].fast_shift == 0;
}

static bool may_join(const struct levels_sim_run *a,
                     const struct levels_sim_run *b)
{
    if (cabac_moves_of[a->set] != cabac_moves_of[b->set])
        return false;
    return !may_stay(a->set) || (a->fast == b->fast && a->slow == b->slow);
}

/* Of the runs with the same shifts the cheapest goes on for all of them: after
 * so many bins what is left between their states is little. */
static void join(struct levels_sim_ctx *ctx)
{
    for (uint32_t i = 0; i < ctx->live; i++) {
        struct levels_sim_run *a = &ctx->run[i];
        for (uint32_t j = i + 1; j < ctx->live; j++) {
            struct levels_sim_run *b = &ctx->run[j];
            if (!may_join(a, b))
                continue;
            if (b->cost < a->cost) {
                struct levels_sim_run better = *b;
                *b = *a;
                *a = better;
            }
            ctx->with[b->set] = a->set;
            ctx->more[b->set] = (int64_t)(b->cost - a->cost);
            drop_run(ctx, j--);
        }
    }
}

static void give_up(struct levels_sim_ctx *ctx, uint64_t behind)
{
    uint64_t best = LEVELS_SIM_NEVER;
    for (uint32_t i = 0; i < ctx->live; i++)
        best = ctx->run[i].cost < best ? ctx->run[i].cost : best;
    for (uint32_t i = ctx->live; i-- > 0;) {
        if (ctx->run[i].cost - best > behind)
            drop_run(ctx, i);
    }
}

/* In which share of ones, in 64ths, of its first bins a set is worth a run:
 * where it is the best, or less than a bit from it, for bins drawn with that
 * share, and somewhat to both sides. Set 0 is what others are compared with. */
static const uint8_t share[CABAC_SETS][2] = {
    {0, 64},  {0, 17}, {50, 64}, {8, 44},  {40, 62},
    {54, 64}, {0, 28}, {12, 50}, {36, 62},
};

static void drop_hopeless(struct levels_sim_ctx *ctx, uint32_t ones,
                          uint32_t count)
{
    uint32_t part = 64 * ones;
    for (uint32_t i = ctx->live; i-- > 0;) {
        const uint8_t *may = share[ctx->run[i].set];
        if (part < may[0] * count || part > may[1] * count)
            drop_run(ctx, i);
    }
}

/* The first bins of a context; false if they are still to be run. */
static bool run_first(struct levels_sim *sim, struct levels_sim_ctx *ctx,
                      uint32_t count)
{
    uint32_t ones = 0;
    for (uint32_t i = 0; i < count; i++)
        ones += ctx->bins[i];
    uint32_t fewer = ones < count - ones ? ones : count - ones;
    ctx->alike = fewer * 16 < count;
    if (!sim->is_long)
        drop_hopeless(ctx, ones, count);
    if (ones && ones != count)
        return false;
    for (uint32_t i = 0; i < ctx->live; i++) {
        struct levels_sim_run *run = &ctx->run[i];
        const struct levels_sim_same *same =
            &sim->same[run->set][ones != 0][count];
        run->fast = same->fast;
        run->slow = same->slow;
        run->cost += same->cost * sim->weight;
    }
    return true;
}

static void run_all(struct levels_sim_ctx *ctx, uint32_t count, uint64_t weight)
{
    uint32_t at = 0;
    for (; at + 3 <= ctx->live; at += 3)
        run_some(&ctx->run[at], 3, ctx->bins, count, weight);
    if (ctx->live - at == 2)
        run_some(&ctx->run[at], 2, ctx->bins, count, weight);
    else if (ctx->live - at == 1)
        run_some(&ctx->run[at], 1, ctx->bins, count, weight);
}

static uint64_t patience(const struct levels_sim *sim,
                         const struct levels_sim_ctx *ctx)
{
    uint64_t bits = sim->is_long ? LEVELS_SIM_GIVE_UP_LONG
                    : ctx->alike ? LEVELS_SIM_GIVE_UP_ALIKE
                                 : LEVELS_SIM_GIVE_UP;
    return bits << CABAC_COST_BITS;
}

void levels_sim_run(struct levels_sim *sim, struct levels_sim_ctx *ctx)
{
    uint32_t count = ctx->fill;
    if (!count)
        return;
    bool first = !ctx->total;
    ctx->fill = 0;
    ctx->total += count;
    if (!first || !run_first(sim, ctx, count))
        run_all(ctx, count, sim->weight);
    if (ctx->live > 1 && ctx->total >= JOIN_MIN)
        join(ctx);
    if (ctx->live > 1 && ctx->total >= GIVE_UP_MIN)
        give_up(ctx, sim->weight * patience(sim, ctx));
}
