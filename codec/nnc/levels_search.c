/* Choices are made one after the other, each by the cost of all bins with and
 * without; parameter sets are chosen anew for each. */
#include "codec/nnc/levels_search.h"

#include "codec/base/cpu.h"
#include "codec/nnc/levels_sim.h"
#include "codec/nnc/levels_unary.h"

#include <stdlib.h>
#include <string.h>

#define BITS(n) ((uint64_t)(n) << CABAC_COST_BITS)

/* Where only a sample is counted: the first elements, and runs of so many out
 * of the rest, so that half of what is beyond LEVELS_SEARCH_ALL is looked
 * at, up to a bound. */
#define SAMPLE_FIRST ((uint64_t)1 << 12)
#define SAMPLE_RUN   ((uint64_t)1 << 10)
#define SAMPLE_MAX   ((uint64_t)1 << 17)

/* Tensors in which small gains are looked for. */
#define SMALL_ELEMS ((uint64_t)1 << 12)

#define WALK_SINK struct levels_sim

static ALWAYS_INLINE void walk_bin(struct levels_sim *sim, uint32_t number,
                                   int bin)
{
    levels_sim_bin(sim, number, bin);
}

static ALWAYS_INLINE void walk_bypass(struct levels_sim *sim, uint32_t value,
                                      uint32_t bits)
{
    (void)value;
    sim->bypass += bits * sim->weight;
}

#include "codec/nnc/levels_walk.inc"

/* The bins of one context: their cost with set 0 and with the best other. */
struct ctx_cost {
    uint64_t plain, least;
    uint8_t set;
    bool many; /* enough for a set to pay */
};

/* One way to code the tensor, and what it costs. */
struct way {
    struct level_coding coding;
    struct level_order *order;
    bool row_skip, history;
    uint64_t cost;
    uint64_t fixed;        /* of flags and entry points */
    struct ctx_cost *bins; /* CTX_COUNT_MAX */
    uint8_t *sets;         /* CTX_COUNT_MAX */
};

struct levels_search {
    struct levels_sim sim;
    struct level_order order[2];
    struct ctx_cost bins[2][CTX_COUNT_MAX];
    uint8_t sets[2][CTX_COUNT_MAX];
    struct levels_unary unary;
    /* Of the tensor at hand. */
    const struct levels_freedom *freedom;
    const int32_t *levels;
    uint64_t times; /* see sample_times */
    bool sure;      /* of the unary length */
    struct way best, trial;
};

enum status levels_search_new(struct levels_search **search)
{
    *search = calloc(1, sizeof **search);
    if (!*search)
        return STATUS_NO_MEMORY;
    levels_sim_init(&(*search)->sim);
    levels_unary_init(&(*search)->unary);
    return STATUS_OK;
}

void levels_search_free(struct levels_search *search)
{
    if (!search)
        return;
    level_order_deinit(&search->order[0]);
    level_order_deinit(&search->order[1]);
    free(search);
}

/* One context's states outside of the simulation: the flags of the list, and
 * those of rows. */
struct flag {
    int fast, slow;
};

static uint64_t flag_cost(const struct flag *flag, uint32_t bin)
{
    return cabac_cost(flag->fast + flag->slow, bin);
}

static void flag_update(struct flag *flag, uint32_t bin)
{
    flag->fast = cabac_moves_fast(&cabac_moves[0], flag->fast, bin);
    flag->slow = cabac_moves_slow(&cabac_moves[0], flag->slow, bin);
}

static void sum_up(const struct levels_sim_ctx *ctx, struct ctx_cost *cost)
{
    *cost = (struct ctx_cost){0, 0, 0, ctx->total > 3};
    if (!ctx->total)
        return;
    cost->plain = levels_sim_cost(ctx, 0);
    cost->least = LEVELS_SIM_NEVER;
    for (uint8_t i = 1; i < CABAC_SETS; i++) {
        uint64_t other = levels_sim_cost(ctx, i);
        if (other < cost->least) {
            cost->least = other;
            cost->set = i;
        }
    }
    /* One that was given up is worse by nobody knows how much. */
    if (cost->plain == LEVELS_SIM_NEVER)
        cost->plain = cost->least + cost->least / 16 + BITS(64);
}

static void sum_up_all(const struct levels_sim *sim,
                       const struct ctx_run runs[CTX_RUNS],
                       struct ctx_cost *bins)
{
    for (uint32_t i = 0; i < CTX_RUNS; i++) {
        for (uint32_t j = 0; j < runs[i].count; j++)
            sum_up(&sim->ctx[runs[i].first + j], &bins[runs[i].first + j]);
    }
}

/* Chooses sets that save `extra` more than they cost; returns the cost of the
 * list and of all bins with them. */
static uint64_t choose_sets(const struct ctx_run runs[CTX_RUNS], uint64_t extra,
                            struct way *way)
{
    struct flag flag = {0, 0};
    uint64_t total = 0;
    for (uint32_t i = 0; i < CTX_RUNS; i++) {
        for (uint32_t j = 0; j < runs[i].count; j++) {
            const struct ctx_cost *bins = &way->bins[runs[i].first + j];
            bool use = false;
            if (j < runs[i].coded) {
                uint64_t no = flag_cost(&flag, 0), yes = flag_cost(&flag, 1);
                yes += BITS(3);
                use = bins->many && bins->plain > bins->least &&
                      bins->plain - bins->least > yes - no + extra;
                total += use ? yes : no;
                flag_update(&flag, use);
            }
            way->sets[runs[i].first + j] = use ? bins->set : 0;
            total += use ? bins->least : bins->plain;
        }
    }
    return total;
}

/* A set chosen makes the next flags of the list dearer if they are 0; how much
 * is found by trying. */
static uint64_t least_sets(struct way *way, const struct ctx_run runs[CTX_RUNS])
{
    static const uint16_t extras[] = {0, CABAC_COST_ONE / 2, CABAC_COST_ONE,
                                      2 * CABAC_COST_ONE};
    uint64_t least = LEVELS_SIM_NEVER, extra = 0;
    for (uint32_t i = 0; i < 4; i++) {
        uint64_t cost = choose_sets(runs, extras[i], way);
        if (cost < least) {
            least = cost;
            extra = extras[i];
        }
    }
    return choose_sets(runs, extra, way);
}

/* One run out of how many is counted beyond the first elements. */
static uint64_t sample_times(uint64_t elem_count)
{
    if (elem_count <= LEVELS_SEARCH_ALL)
        return 1;
    uint64_t wanted = LEVELS_SEARCH_ALL + (elem_count - LEVELS_SEARCH_ALL) / 2;
    wanted = wanted < SAMPLE_MAX ? wanted : SAMPLE_MAX;
    return (elem_count - SAMPLE_FIRST) / (wanted - SAMPLE_FIRST) + 1;
}

/* Elements from `at` on that are counted alike, at most count; *weight how
 * many each stands for, 0 if none. */
static uint64_t sample_at(uint64_t times, uint64_t at, uint64_t count,
                          uint64_t *weight)
{
    *weight = 1;
    if (times == 1)
        return count;
    uint64_t left = SAMPLE_FIRST - at;
    if (at >= SAMPLE_FIRST) {
        uint64_t in = (at - SAMPLE_FIRST) % (SAMPLE_RUN * times);
        *weight = in < SAMPLE_RUN ? times : 0;
        left = in < SAMPLE_RUN ? SAMPLE_RUN - in : SAMPLE_RUN * times - in;
    }
    return left < count ? left : count;
}

static uint32_t sign_of(int32_t k)
{
    return k ? 2 - (k < 0) : 0;
}

/* Runs one piece of the tensor through the simulation. */
static uint32_t run_piece(struct levels_search *search, const struct way *way,
                          const struct ctx_run runs[CTX_RUNS], uint64_t at,
                          uint64_t count, uint32_t left)
{
    const struct level_order *order = way->order;
    struct levels_sim *sim = &search->sim;
    while (count) {
        uint64_t weight;
        uint64_t some = sample_at(search->times, at, count, &weight);
        if (weight && weight != sim->weight)
            levels_sim_weigh(sim, runs, weight);
        if (weight)
            left = walk_run(sim, order, way->history, at, some, left);
        at += some;
        count -= some;
        if (!weight)
            left = sign_of(order->k[at - 1]);
    }
    return left;
}

/* Bits of an entry point: value, state, and mostly so many for the offset. */
static uint64_t entry_cost(const struct level_order *order)
{
    return BITS(8 + (order->coding.dq ? 3 : 0) + 10);
}

static uint64_t run_pieces(struct levels_search *search, const struct way *way,
                           const struct ctx_run runs[CTX_RUNS])
{
    const struct level_order *order = way->order;
    struct level_cursor cur = {0};
    struct level_piece p;
    uint32_t left = 0;
    uint64_t cost = 0;
    while (level_order_next(order, &cur, &p)) {
        if (p.resets) {
            levels_sim_reset(&search->sim, runs);
            left = 0;
            cost += entry_cost(order);
        }
        if (!way->row_skip || !order->row_zero[p.row])
            left = run_piece(search, way, runs, p.at, p.count, left);
    }
    return cost;
}

static uint64_t flags_cost(const struct way *way)
{
    const struct level_order *order = way->order;
    if (!order->row_flags)
        return 0;
    uint64_t cost = BITS(1 + (order->coding.has_parent ? 1 : 0));
    struct flag flag = {0, 0};
    for (uint64_t r = 0; way->row_skip && r < order->rows; r++) {
        cost += flag_cost(&flag, order->row_zero[r]);
        flag_update(&flag, order->row_zero[r]);
    }
    return cost;
}

/* The sum of all, given way->fixed and way->bins. */
static void add_up(struct levels_search *search, struct way *way,
                   const struct ctx_run runs[CTX_RUNS])
{
    way->cost = way->fixed + BITS(search->sim.bypass);
    way->cost += least_sets(way, runs);
    if (way->coding.unary != LEVEL_UNARY_ABSENT)
        way->cost += BITS(8);
}

/* Sets way->cost and way->sets; the coding, the flags and the order of it are
 * given. */
static void weigh_ordered(struct levels_search *search, struct way *way)
{
    const struct level_order *order = way->order;
    struct ctx_run runs[CTX_RUNS];
    ctx_runs(&order->coding, way->history, runs);
    levels_sim_start(&search->sim, runs, search->freedom->sets ? CABAC_SETS : 1,
                     order->coding.elem_count);
    way->fixed = flags_cost(way);
    if (order->block || way->row_skip)
        way->fixed += run_pieces(search, way, runs);
    else
        (void)run_piece(search, way, runs, 0, order->coding.elem_count, 0);
    levels_sim_flush(&search->sim, runs);
    sum_up_all(&search->sim, runs, way->bins);
    add_up(search, way, runs);
}

static enum status set_order(const struct levels_search *search,
                             struct way *way)
{
    enum status status = level_order_set(way->order, &way->coding,
                                         search->levels, way->row_skip);
    way->row_skip = way->row_skip && way->order->row_flags;
    return status;
}

static enum status weigh(struct levels_search *search, struct way *way)
{
    enum status status = set_order(search, way);
    if (!status)
        weigh_ordered(search, way);
    return status;
}

/* The first way, with the unary length that seems the best. */
static enum status weigh_first(struct levels_search *search, struct way *way)
{
    enum status status = set_order(search, way);
    if (status == STATUS_USAGE && search->freedom->row_skip) {
        /* With blocks the states may be those with rows skipped. */
        way->row_skip = true;
        status = set_order(search, way);
    }
    if (status)
        return status;
    search->sure = true;
    if (search->freedom->unary && way->coding.elem_count) {
        way->coding.unary =
            levels_unary_guess(&search->unary, way->order->k,
                               way->coding.elem_count, &search->sure);
        way->order->coding.unary = way->coding.unary;
    }
    weigh_ordered(search, way);
    return STATUS_OK;
}

/* Makes search->trial, which differs from the best in what the caller changed,
 * the best if it is cheaper. */
static enum status try_way(struct levels_search *search)
{
    enum status status = weigh(search, &search->trial);
    if (status == STATUS_USAGE)
        return STATUS_OK; /* not with these levels */
    if (!status && search->trial.cost < search->best.cost) {
        struct way better = search->trial;
        search->trial = search->best;
        search->best = better;
    }
    return status;
}

/* A copy of the best to be changed. */
static struct way *another(struct levels_search *search)
{
    struct way *trial = &search->trial;
    struct level_order *order = trial->order;
    uint8_t *sets = trial->sets;
    struct ctx_cost *bins = trial->bins;
    *trial = search->best;
    trial->order = order;
    trial->sets = sets;
    trial->bins = bins;
    return trial;
}

static enum status try_tools(struct levels_search *search)
{
    const struct levels_freedom *freedom = search->freedom;
    enum status status = STATUS_OK;
    if (freedom->row_skip && search->best.order->zero_rows) {
        another(search)->row_skip = !search->best.row_skip;
        status = try_way(search);
    }
    if (!status && freedom->temporal && search->best.coding.temporal) {
        another(search)->coding.temporal = NULL;
        status = try_way(search);
    }
    if (!status && freedom->history && search->best.history) {
        another(search)->history = false;
        status = try_way(search);
    }
    if (!status && freedom->scan && search->best.order->block) {
        another(search)->coding.scan_order = 0;
        status = try_way(search);
    }
    return status;
}

static enum status try_uniform(struct levels_search *search)
{
    const struct way *best = &search->best;
    uint64_t count = best->coding.elem_count;
    /* At a bit an element and more the states are worth their contexts. */
    bool sparse = best->cost < BITS(count);
    if (!search->freedom->uniform || !best->coding.dq ||
        (!sparse && count > SMALL_ELEMS))
        return STATUS_OK;
    another(search)->coding.dq = false;
    return try_way(search);
}

/* The bins of magnitudes above `from` whose flags are `unary`, but for the
 * first `from` of these. */
static void walk_above(struct levels_sim *sim, const int32_t *k, uint64_t count,
                       uint32_t from, uint32_t unary)
{
    for (uint64_t i = 0; i < count; i++) {
        uint32_t a = walk_magnitude_of(k[i]);
        if (a <= from)
            continue;
        uint32_t ctx = CTX_GREATER + (k[i] < 0);
        uint32_t ones = a - 1 < unary ? a - 1 : unary;
        for (uint32_t j = from; j < ones; j++)
            walk_bin(sim, ctx + 2 * j, 1);
        if (ones < unary)
            walk_bin(sim, ctx + 2 * ones, 0);
        else
            walk_rest(sim, ctx_remainder(unary), a - unary - 1,
                      UINT32_MAX - unary - 1);
    }
}

/* As weigh, of a way that differs from the best in its unary length: bins up to
 * the shorter of both are the same. */
static void weigh_unary(struct levels_search *search, struct way *way)
{
    const struct level_order *order = search->best.order;
    struct levels_sim *sim = &search->sim;
    uint64_t elem_count = order->coding.elem_count, weight;
    uint32_t unary = way->coding.unary, from = search->best.coding.unary;
    from = from < unary ? from : unary;
    struct ctx_run runs[CTX_RUNS];
    ctx_runs(&way->coding, way->history, runs);
    levels_sim_start(sim, runs, search->freedom->sets ? CABAC_SETS : 1,
                     elem_count);
    for (uint64_t at = 0, some; at < elem_count; at += some) {
        some = sample_at(search->times, at, elem_count - at, &weight);
        if (weight && weight != sim->weight)
            levels_sim_weigh(sim, runs, weight);
        if (weight)
            walk_above(sim, order->k + at, some, from, unary);
    }
    levels_sim_flush(sim, runs);
    memcpy(way->bins, search->best.bins,
           (CTX_GREATER + 2 * from) * sizeof *way->bins);
    for (uint32_t i = CTX_GREATER + 2 * from; i < CTX_GREATER + 2 * unary; i++)
        sum_up(&sim->ctx[i], &way->bins[i]);
    for (uint32_t i = 0; i < WALK_REST_BINS; i++)
        sum_up(&sim->ctx[ctx_remainder(unary) + i],
               &way->bins[ctx_remainder(unary) + i]);
    add_up(search, way, runs);
}

/* Whether none in the header is not better than the guess after all. */
static enum status try_unary(struct levels_search *search)
{
    if (search->sure)
        return STATUS_OK;
    struct level_order *order = search->best.order;
    struct way *trial = another(search);
    trial->coding.unary = LEVEL_UNARY_ABSENT;
    if (order->block || order->base || order->coding.codebook_size)
        return try_way(search);
    weigh_unary(search, trial);
    if (trial->cost >= search->best.cost)
        return STATUS_OK;
    /* The order stays but for that. */
    search->best.order = trial->order;
    trial->order = order;
    order->coding.unary = LEVEL_UNARY_ABSENT;
    struct way better = *trial;
    *trial = search->best;
    search->best = better;
    return STATUS_OK;
}

static void set_first(struct levels_search *search,
                      const struct level_coding *coding,
                      const struct levels_choice *choice)
{
    const struct levels_freedom *freedom = search->freedom;
    struct way *way = &search->best;
    *way = (struct way){.coding = *coding,
                        .order = &search->order[0],
                        .bins = search->bins[0],
                        .sets = search->sets[0]};
    search->trial.bins = search->bins[1];
    search->trial.order = &search->order[1];
    search->trial.sets = search->sets[1];
    bool rows = coding->profile == 1 && coding->row_elems > 1 &&
                coding->elem_count > coding->row_elems &&
                coding->codebook_size != 1;
    if (coding->profile != 1)
        way->coding.temporal = NULL;
    way->row_skip = rows && !freedom->row_skip && choice->row_skip;
    way->history = rows && coding->has_parent && coding->history &&
                   (freedom->history || choice->history);
    if (!way->history)
        way->coding.history = NULL;
}

enum status levels_search_run(struct levels_search *search,
                              const struct levels_freedom *freedom,
                              struct level_coding *coding,
                              const int32_t *levels,
                              struct levels_choice *choice,
                              const struct level_order **order, uint64_t *cost)
{
    search->freedom = freedom;
    search->levels = levels;
    /* Blocks start anew too often to learn from a few of them. */
    search->times = coding->scan_order && coding->elem_count <= SAMPLE_MAX
                        ? 1
                        : sample_times(coding->elem_count);
    set_first(search, coding, choice);
    enum status status = weigh_first(search, &search->best);
    if (!status)
        status = try_tools(search);
    if (!status)
        status = try_uniform(search);
    if (!status)
        status = try_unary(search);
    if (status)
        return status;
    const struct way *best = &search->best;
    *coding = best->coding;
    coding->scan_order = best->order->coding.scan_order;
    choice->row_skip = best->row_skip;
    choice->history = best->history;
    memcpy(choice->sets, best->sets, sizeof choice->sets);
    *order = best->order;
    *cost = best->cost;
    return STATUS_OK;
}
