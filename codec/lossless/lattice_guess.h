/* What a level is guessed to be, from the levels next to it, the prediction's
 * size and how these went together so far in its piece: learnt by encoder and
 * decoder alike, in integers. Weight decay, inputs that go together and kernels
 * of convolutions make levels follow each other; a guess is used only while it
 * would have lowered what was to be coded lately.
 *
 * Formulas: codec/FORMAT.md, "Lattices", "Guesses". */
#ifndef CODEC_LOSSLESS_LATTICE_GUESS_H
#define CODEC_LOSSLESS_LATTICE_GUESS_H

#include "codec/lossless/lattice_state.h"

#define LATTICE_GUESS_LEVEL  32767 /* what levels are cut to */
#define LATTICE_GUESS_ERROR  (1 << 19)
#define LATTICE_GUESS_WEIGHT (1 << 23)
/* Octaves of the step from which on predictions are as large as may be. */
#define LATTICE_GUESS_PRED 20

/* A guess, in 1/16 levels, and what it is made of. */
struct lattice_guess {
    int32_t tap[LATTICE_TAPS];
    int32_t full; /* what the taps say */
    int32_t whole;
    unsigned off; /* what is left beside whole levels, 0 .. 15: -8 .. 7 */
};

/* The prediction in 1/16 steps, without its mantissa's part of the step. */
SMALL_INLINE int32_t lattice_guess_pred(const struct lattice_context *cx,
                                        uint64_t v, unsigned width)
{
    int field = (int)(v >> cx->mant & cx->field_mask), mant = (int)cx->mant;
    int size = field - cx->zero_field;
    if (!field || size < 0)
        return 0;
    uint64_t mag = (v & (((uint64_t)1 << mant) - 1)) | (uint64_t)1 << mant;
    if (size >= LATTICE_GUESS_PRED)
        mag = (uint64_t)1 << LATTICE_GUESS_PRED;
    else
        mag = size < mant ? mag >> (mant - size) : mag << (size - mant);
    return v >> (width - 1) ? -(int32_t)mag : (int32_t)mag;
}

/* How much of the taps' guess is used: that of nothing, half and all which took
 * the least lately. */
SMALL_INLINE int32_t lattice_guess_part(const struct lattice_past *past,
                                        int32_t full)
{
    unsigned best = past->cost[1] < past->cost[0];
    best = past->cost[2] < past->cost[best] ? 2 : best;
    return best ? full >> (2 - best) : 0;
}

/* v: the prediction's bits, 0 if there is none. whole: levels are not guessed
 * to be other than 0. */
SMALL_INLINE void lattice_guess_make(const struct lattice_models *m,
                                     const struct lattice_past *past,
                                     const struct lattice_context *cx,
                                     uint64_t v, unsigned width, bool whole,
                                     struct lattice_guess *g)
{
    uint32_t c = past->col;
    int64_t sum = 0;
    for (unsigned k = 0; k < 3; k++)
        g->tap[k] = past->before[k];
    g->tap[3] = cx->set ? m->up[c] : 0;
    g->tap[4] = past->up_left;
    g->tap[5] = cx->set && c + 1 < cx->columns ? m->up[c + 1] : 0;
    g->tap[6] = lattice_guess_pred(cx, v, width);
    g->tap[7] = cx->set ? m->drift[c] : 0;
    g->tap[8] = 16;
    for (unsigned k = 0; k < LATTICE_TAPS; k++)
        sum += (int64_t)past->weight[k] * g->tap[k];
    g->full = (int32_t)(sum >> 20);
    int32_t part = lattice_guess_part(past, g->full);
    g->whole = whole ? (part + 8) >> 4 : 0;
    int32_t off = part - g->whole * 16;
    off = off < -8 ? -8 : off > 7 ? 7 : off;
    g->off = (unsigned)(off + 8);
}

/* Weights move so as to have guessed better: as far as a tap's squares so far
 * allow, both seen in units of what is left on average. */
SMALL_INLINE void lattice_guess_weights(struct lattice_past *past,
                                        const struct lattice_guess *g,
                                        int64_t error)
{
    uint32_t mean = (uint32_t)(past->act + past->mean) >> 9 | 1;
    unsigned unit = 2 * (32 - (unsigned)__builtin_clz(mean));
    for (unsigned k = 0; k < LATTICE_TAPS; k++) {
        int64_t tap = g->tap[k];
        uint64_t square = (uint64_t)(tap * tap) << 12 >> unit;
        if (!square)
            continue;
        past->power[k] += square - (past->power[k] >> 9);
        unsigned shift =
            48 + unit - (unsigned)__builtin_clzll(past->power[k] + 16 * square);
        shift = shift > 62 ? 62 : shift;
        int64_t move = error * tap * (1 << 16);
        move = (move + ((int64_t)1 << (shift - 1))) >> shift;
        int64_t w = past->weight[k] + move;
        w = w > LATTICE_GUESS_WEIGHT ? LATTICE_GUESS_WEIGHT : w;
        w = w < -LATTICE_GUESS_WEIGHT ? -LATTICE_GUESS_WEIGHT : w;
        past->weight[k] = (int32_t)w;
    }
}

/* Learns what the level in column c was. */
SMALL_INLINE void lattice_guess_learn(struct lattice_models *m,
                                      struct lattice_past *past,
                                      const struct lattice_context *cx,
                                      const struct lattice_guess *g, uint32_t c,
                                      int32_t level)
{
    const int32_t most = LATTICE_GUESS_LEVEL;
    int32_t is = 16 * (level > most ? most : level < -most ? -most : level);
    for (unsigned k = 0; k < 3; k++) {
        int32_t off = is - (k ? g->full >> (2 - k) : 0);
        uint32_t mag = off < 0 ? 0 - (uint32_t)off : (uint32_t)off;
        int32_t cost = (int32_t)small_class((uint64_t)mag + 8) << 10;
        past->cost[k] += (cost - past->cost[k]) >> 6;
    }
    int32_t error = is - g->full;
    error = error > LATTICE_GUESS_ERROR ? LATTICE_GUESS_ERROR : error;
    error = error < -LATTICE_GUESS_ERROR ? -LATTICE_GUESS_ERROR : error;
    lattice_guess_weights(past, g, error);
    past->before[2] = past->before[1];
    past->before[1] = past->before[0];
    past->before[0] = is;
    if (!cx->set)
        return;
    past->up_left = c + 1 < cx->columns ? m->up[c] : 0;
    m->up[c] = is;
    m->drift[c] += (is - m->drift[c]) >> 2;
}

/* Learns that count levels, from column c on, are 0. */
SMALL_INLINE void lattice_guess_skip(struct lattice_models *m,
                                     struct lattice_past *past,
                                     const struct lattice_context *cx,
                                     uint32_t c, unsigned count)
{
    for (unsigned k = 0; k < 3; k++)
        past->before[k] = 0;
    past->up_left = 0;
    if (!cx->set)
        return;
    for (; count; count--) {
        m->up[c] = 0;
        m->drift[c] += (0 - m->drift[c]) >> 2;
        c = c + 1 == cx->columns ? 0 : c + 1;
    }
}

#endif
