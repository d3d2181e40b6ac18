/* An element has two points in each quantiser, one of each parity, and zero;
 * parity leads to the next state, into which two ways lead. What a way costs
 * apart from the survivor's own significance and sign is common to the four
 * states of a quantiser. */
#include "codec/quant/trellis.h"

#include "codec/base/cpu.h"
#include "codec/nnc/dq_state.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define STATES    8u
#define NEVER     1e30f
#define BLOCK_MIN 8u
/* Magnitudes from which on zero is not tried, in steps. */
#define ZERO_MAX 16.0

/* The two ways into each state: from which state, by which parity. */
static const uint8_t from[STATES][2] = {{0, 4}, {2, 6}, {0, 4}, {2, 6},
                                        {3, 7}, {1, 5}, {3, 7}, {1, 5}};
static const uint8_t parity[STATES][2] = {{0, 1}, {0, 1}, {1, 0}, {1, 0},
                                          {1, 0}, {1, 0}, {0, 1}, {0, 1}};

/* States 0 .. 3, or 4 .. 7, at once. Lanes of masks are 0 or -1. */
typedef float floats __attribute__((vector_size(16)));
typedef int32_t masks __attribute__((vector_size(16)));

#define LANES  4u
#define HALVES (STATES / LANES)

/* The state's survivor: its cost, and what its last k was. */
struct survivors {
    floats cost[HALVES];
    masks some[HALVES];     /* not zero */
    masks negative[HALVES]; /* below zero */
};

/* How one element was reached: bit t: state t by its second way; bit 8 + t:
 * the even way into t is a zero. */
typedef uint16_t way_bits;

struct trellis {
    struct level_cost cost;
    way_bits *ways;
    size_t way_cap;
    uint8_t *skips; /* a row: bit t: state t by skipping it */
    size_t skip_cap;
    int32_t k[TRELLIS_BLOCK];
    uint8_t state[TRELLIS_BLOCK];
};

/* Where a run stands. */
struct run {
    const struct level_input *in;
    double inverse;
    float limit_square;
    struct survivors now, row_start;
    float row_energy;
    uint64_t row;
    int32_t left; /* last k of the best path before the block */
};

enum status trellis_new(struct trellis **trellis)
{
    *trellis = calloc(1, sizeof **trellis);
    return *trellis ? STATUS_OK : STATUS_NO_MEMORY;
}

void trellis_free(struct trellis *trellis)
{
    if (!trellis)
        return;
    free(trellis->ways);
    free(trellis->skips);
    free(trellis);
}

static enum status need(struct trellis *t, uint64_t count, uint64_t rows)
{
    if (count > SIZE_MAX / sizeof *t->ways)
        return STATUS_NO_MEMORY;
    if (count > t->way_cap) {
        free(t->ways);
        t->ways = malloc((size_t)count * sizeof *t->ways);
        t->way_cap = t->ways ? (size_t)count : 0;
    }
    if (rows > t->skip_cap) {
        free(t->skips);
        t->skips = malloc((size_t)rows);
        t->skip_cap = t->skips ? (size_t)rows : 0;
    }
    return t->way_cap < count || t->skip_cap < rows ? STATUS_NO_MEMORY
                                                    : STATUS_OK;
}

/* A value in steps: 2 * half + rest, 0 <= rest < 2. */
struct place {
    uint32_t half;
    float rest;
    bool negative;
};

static ALWAYS_INLINE struct place place_of(float value, double inverse)
{
    double x = fabs((double)value) * inverse;
    uint32_t half = (uint32_t)(x * 0.5);
    return (struct place){half, (float)(x - 2.0 * half), value < 0};
}

/* The lower of the two magnitudes k of quantiser q around a place; the other
 * is one more. */
static ALWAYS_INLINE uint32_t lower_k(const struct place *p, unsigned q)
{
    return p->half + (q && p->rest >= 1);
}

/* The magnitude of a parity. */
static ALWAYS_INLINE uint32_t k_of(const struct place *p, unsigned q,
                                   unsigned odd)
{
    uint32_t k = lower_k(p, q);
    return k + ((k ^ odd) & 1);
}

static ALWAYS_INLINE float square(float x)
{
    return x * x;
}

static ALWAYS_INLINE float magnitude(const struct level_cost *cost,
                                     const struct place *p, int32_t base,
                                     uint32_t k)
{
    if (!base && k < LEVEL_COST_TABLE + 2)
        return cost->magnitude[p->negative][k];
    return level_cost_magnitude(cost, p->negative, base, k);
}

/* What the ways of each quantiser and parity cost, and zero: squared distance
 * and magnitude. Lanes are quantisers, 0, 1, 0, 1, as of states. */
struct offers {
    floats even, odd;
    float zero;
};

static ALWAYS_INLINE float limited(const struct run *run, float distance)
{
    return distance > run->limit_square ? NEVER : distance;
}

/* The magnitudes around a place are half, half + 1 and half + 2. In quantiser 0
 * the first two are its neighbours, in quantiser 1 the second and, by rest, the
 * first or the third, which has the first one's parity. Points that are zero
 * only are none. */
static ALWAYS_INLINE void offers_of(const struct run *run,
                                    const struct level_cost *cost,
                                    const struct place *p, int32_t base,
                                    bool rate, struct offers *o)
{
    float r = p->rest, x = 2.0f * (float)p->half + r;
    bool above = r >= 1, is_odd = p->half & 1;
    float far = above ? 3 - r : r + 1;
    float same[2] = {limited(run, p->half ? square(r) : NEVER),
                     limited(run, above || p->half ? square(far) : NEVER)};
    float other[2] = {limited(run, square(2 - r)), limited(run, square(1 - r))};
    o->zero =
        limited(run, p->half < (uint32_t)ZERO_MAX / 2 ? square(x) : NEVER);
    if (rate) {
        float first = p->half ? magnitude(cost, p, base, p->half) : 0;
        float second = magnitude(cost, p, base, p->half + 1);
        float third = magnitude(cost, p, base, p->half + 2);
        same[0] += first;
        same[1] += above ? third : first;
        other[0] += second;
        other[1] += second;
    }
    floats sames = {same[0], same[1], same[0], same[1]};
    floats others = {other[0], other[1], other[0], other[1]};
    if (x == 0) /* stays what it is */
        sames = others = (floats){NEVER, NEVER, NEVER, NEVER};
    o->even = is_odd ? others : sames;
    o->odd = is_odd ? sames : others;
}

static ALWAYS_INLINE floats either(masks mask, floats yes, floats no)
{
    return (floats)((mask & (masks)yes) | (~mask & (masks)no));
}

static ALWAYS_INLINE floats load(const float *at)
{
    floats v;
    memcpy(&v, at, sizeof v);
    return v;
}

/* What it costs, of four states, to be zero and not to be. */
struct significance {
    floats none, some;
};

static ALWAYS_INLINE struct significance
significance_of(const struct survivors *now, const struct level_cost *cost,
                unsigned half, bool negative, int32_t base)
{
    unsigned first = LANES * half;
    if (base) {
        const float(*sig)[STATES] = cost->sig_temporal[ctx_base_above(base, 1)];
        return (struct significance){
            load(&sig[0][first]),
            load(&sig[1][first]) + cost->sign_temporal[base > 0][negative]};
    }
    masks below = now->negative[half], some = now->some[half];
    floats none = either(below, load(&cost->sig[1][0][first]),
                         load(&cost->sig[2][0][first]));
    floats sig =
        either(below, load(&cost->sig[1][1][first]) + cost->sign[1][negative],
               load(&cost->sig[2][1][first]) + cost->sign[2][negative]);
    return (struct significance){
        either(some, none, load(&cost->sig[0][0][first])),
        either(some, sig,
               load(&cost->sig[0][1][first]) + cost->sign[0][negative])};
}

/* The ways out of four states. */
struct ways {
    floats even, odd;
    masks zero; /* the even way is a zero */
};

static ALWAYS_INLINE struct ways ways_of(const struct survivors *now,
                                         unsigned half,
                                         const struct significance *sig,
                                         const struct offers *o)
{
    struct ways w;
    floats some = now->cost[half] + sig->some;
    floats none = now->cost[half] + sig->none + o->zero;
    w.even = some + o->even;
    w.odd = some + o->odd;
    w.zero = none <= w.even;
    w.even = either(w.zero, none, w.even);
    return w;
}

/* The better of two ways into four states; a bit for each state: bit 0 .. 3
 * second way, 8 .. 11 zero. */
static ALWAYS_INLINE masks choose_ways(struct survivors *now, unsigned half,
                                       const struct ways *first,
                                       const struct ways *second, bool negative)
{
    const masks bit = {1, 2, 4, 8};
    masks take = second->even < first->even;
    masks zero = (take & second->zero) | (~take & first->zero);
    now->cost[half] = either(take, second->even, first->even);
    now->some[half] = ~zero;
    now->negative[half] = negative ? ~zero : (masks){0};
    return (take & bit) | (zero & (bit << 8));
}

/* Lanes 0 and 2, or 3 and 1, of both. */
#define EVENS(a, b) __builtin_shufflevector(a, b, 0, 2, 4, 6)
#define ODDS(a, b)  __builtin_shufflevector(a, b, 3, 1, 7, 5)

/* One element: the survivors after it and how they were reached. The shuffles
 * are from[] and parity[]: ways out of states 0 .. 3 are the first into each
 * state, those of 4 .. 7 the second; field even holds them from there on. */
static ALWAYS_INLINE way_bits advance(struct survivors *now,
                                      const struct level_cost *cost,
                                      const struct offers *o, bool negative,
                                      int32_t base, bool rate)
{
    struct significance low = {{0}, {0}}, high = {{0}, {0}};
    if (rate) {
        low = significance_of(now, cost, 0, negative, base);
        high = significance_of(now, cost, 1, negative, base);
    }
    struct ways w0 = ways_of(now, 0, &low, o), w1 = ways_of(now, 1, &high, o);
    const masks never = {0};
    struct ways first = {.even = EVENS(w0.even, w0.odd),
                         .zero = EVENS(w0.zero, never)};
    struct ways second = {.even = EVENS(w1.odd, w1.even),
                          .zero = EVENS(never, w1.zero)};
    masks bits = choose_ways(now, 0, &first, &second, negative);
    first = (struct ways){.even = ODDS(w0.odd, w0.even),
                          .zero = ODDS(never, w0.zero)};
    second = (struct ways){.even = ODDS(w1.even, w1.odd),
                           .zero = ODDS(w1.zero, never)};
    bits |= choose_ways(now, 1, &first, &second, negative) << 4;
    return (way_bits)(bits[0] | bits[1] | bits[2] | bits[3]);
}

/* Elements first .. first + count - 1, within one row if rows count. */
static ALWAYS_INLINE void run_some(struct trellis *t, struct run *run,
                                   uint64_t first, uint64_t count, bool rate)
{
    const struct level_input *in = run->in;
    struct survivors now = run->now;
    float energy = 0;
    for (uint64_t i = first; i < first + count; i++) {
        struct place p = place_of(in->values[i], run->inverse);
        int32_t base = rate && in->temporal ? in->temporal[i] : 0;
        struct offers o;
        offers_of(run, &t->cost, &p, base, rate, &o);
        energy += o.zero;
        t->ways[i] = advance(&now, &t->cost, &o, p.negative, base, rate);
    }
    run->now = now;
    run->row_energy += energy;
}

static float cost_of(const struct survivors *now, unsigned state)
{
    return now->cost[state / LANES][state % LANES];
}

static unsigned best_state(const struct survivors *now)
{
    unsigned best = 0;
    for (unsigned s = 1; s < STATES; s++)
        if (cost_of(now, s) < cost_of(now, best))
            best = s;
    return best;
}

/* Costs stay small, so that binary32 does: the least becomes 0. */
static void rebase(struct run *run)
{
    float least = cost_of(&run->now, best_state(&run->now));
    for (unsigned h = 0; h < HALVES; h++) {
        run->now.cost[h] -= least;
        run->row_start.cost[h] -= least;
    }
}

/* At the end of a row: each state may have been reached by skipping it. */
static void end_row(struct trellis *t, struct run *run)
{
    const float *skip = t->cost.skip;
    unsigned skipped = 0;
    struct survivors *now = &run->now;
    for (unsigned s = 0; s < STATES; s++) {
        unsigned end = dq_state_after_zeros(s, run->in->row_elems);
        unsigned h = end / LANES, lane = end % LANES;
        float cost = cost_of(&run->row_start, s) + run->row_energy + skip[1];
        float coded = now->cost[h][lane] + skip[0];
        bool better = cost < coded;
        now->cost[h][lane] = better ? cost : coded;
        if (better) {
            const struct survivors *was = &run->row_start;
            now->some[h][lane] = was->some[s / LANES][s % LANES];
            now->negative[h][lane] = was->negative[s / LANES][s % LANES];
        }
        skipped |= (unsigned)better << end;
    }
    t->skips[run->row++] = (uint8_t)skipped;
    level_cost_adapt_row(&t->cost, skipped >> best_state(now) & 1);
    run->row_start = *now;
    run->row_energy = 0;
}

/* The state before so many zeros: zeros lead to each state from one. */
static unsigned before_zeros(unsigned state, uint64_t count)
{
    unsigned s = 0;
    while (dq_state_after_zeros(s, count) != state)
        s++;
    return s;
}

/* One element back: its k, and the state before it. */
static ALWAYS_INLINE int32_t back(const struct trellis *t,
                                  const struct run *run, uint64_t i,
                                  unsigned *state)
{
    unsigned bits = t->ways[i];
    unsigned take = bits >> *state & 1;
    unsigned zero = bits >> (8 + *state) & 1;
    unsigned odd = parity[*state][take];
    *state = from[*state][take];
    if (zero)
        return 0;
    struct place p = place_of(run->in->values[i], run->inverse);
    int32_t k = (int32_t)k_of(&p, *state & 1, odd);
    return p.negative ? -k : k;
}

/* Contexts follow the best path through the last count elements. */
static void adapt(struct trellis *t, struct run *run, uint64_t first,
                  uint64_t count)
{
    unsigned state = best_state(&run->now);
    for (uint64_t i = count; i-- > 0;) {
        t->k[i] = back(t, run, first + i, &state);
        t->state[i] = (uint8_t)state;
    }
    const int32_t *temporal = run->in->temporal;
    for (uint64_t i = 0; i < count; i++) {
        level_cost_adapt(&t->cost, t->state[i], run->left,
                         temporal ? temporal[first + i] : 0, t->k[i]);
        run->left = t->k[i];
    }
    level_cost_refresh(&t->cost);
}

/* Elements until contexts are adapted. */
static uint64_t block_size(const struct run *run, uint64_t at, bool rate)
{
    const struct level_input *in = run->in;
    uint64_t size = at / 8 < BLOCK_MIN       ? BLOCK_MIN
                    : at / 8 > TRELLIS_BLOCK ? TRELLIS_BLOCK
                                             : at / 8;
    if (!rate)
        size = 4096;
    if (size > in->count - at)
        size = in->count - at;
    return size;
}

static void forward(struct trellis *t, struct run *run, bool rate)
{
    const struct level_input *in = run->in;
    uint64_t row_elems = rate ? in->row_elems : 0;
    for (uint64_t at = 0; at < in->count;) {
        uint64_t size = block_size(run, at, rate);
        if (row_elems && size > row_elems - at % row_elems)
            size = row_elems - at % row_elems;
        if (rate)
            run_some(t, run, at, size, true);
        else
            run_some(t, run, at, size, false);
        if (rate)
            adapt(t, run, at, size);
        at += size;
        if (row_elems && at % row_elems == 0)
            end_row(t, run);
        rebase(run);
    }
}

static void backward(const struct trellis *t, const struct run *run, bool rate,
                     int32_t *levels)
{
    const struct level_input *in = run->in;
    uint64_t row_elems = rate ? in->row_elems : 0;
    unsigned state = best_state(&run->now);
    for (uint64_t at = in->count; at > 0;) {
        if (row_elems && at % row_elems == 0 &&
            t->skips[at / row_elems - 1] >> state & 1) {
            at -= row_elems;
            memset(levels + at, 0, (size_t)row_elems * sizeof *levels);
            state = before_zeros(state, row_elems);
        } else {
            at--;
            int32_t k = back(t, run, at, &state);
            levels[at] = dq_state_level(state, k);
        }
    }
}

enum status trellis_run(struct trellis *trellis, const struct level_input *in,
                        int32_t *levels)
{
    bool rate = in->lambda > 0;
    uint64_t rows = in->row_elems ? in->count / in->row_elems : 0;
    enum status status = need(trellis, in->count, rows);
    if (status)
        return status;
    struct run run = {.in = in, .inverse = 1 / in->step};
    run.limit_square = (float)(in->limit * in->limit * (1 + 1e-6));
    for (unsigned s = 1; s < STATES; s++)
        run.now.cost[s / LANES][s % LANES] = NEVER;
    run.row_start = run.now;
    level_cost_init(&trellis->cost, in);
    level_cost_refresh(&trellis->cost);
    forward(trellis, &run, rate);
    backward(trellis, &run, rate, levels);
    return STATUS_OK;
}
