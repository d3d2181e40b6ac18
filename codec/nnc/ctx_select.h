/* Which context codes a bin of a tensor's integers, and for which contexts a
 * parameter set is sent: shared by both sides.
 *
 * G is the unary length (struct level_coding). One array of
 * ctx_count(G) contexts holds all of a tensor:
 *
 *   CTX_SIG           24   3 * state + sign class of left
 *   CTX_SIG_TEMPORAL  16   2 * state + (|base| > 1)
 *   CTX_SIG_HISTORY    8   state
 *   CTX_SIGN           3   sign class of left
 *   CTX_SIGN_TEMPORAL  2   base > 0
 *   CTX_GREATER       2G   2 * flag + negative
 *   then              2G   2 * flag + (|base| < flag), with temporal context
 *   then              32   prefix bins of the remainder
 *   then               1   flags of the parameter sets
 *   then               1   flags of skipped rows
 *
 * "base" is the co-located level of the tensor's last update, 0 without
 * temporal context; state is that of dependent quantisation, else 0.
 *
 * Ref: ISO/IEC 15938-17:2024, tensor syntax. */
#ifndef CODEC_NNC_CTX_SELECT_H
#define CODEC_NNC_CTX_SELECT_H

#include "codec/nnc/level_coding.h"

#include <stddef.h>

enum {
    CTX_SIG = 0,
    CTX_SIG_TEMPORAL = 24,
    CTX_SIG_HISTORY = 40,
    CTX_SIGN = 48,
    CTX_SIGN_TEMPORAL = 51,
    CTX_GREATER = 53,
    CTX_REMAINDER_BINS = 32,
    CTX_COUNT_MAX = CTX_GREATER + 4 * (int)LEVEL_UNARY_MAX + 34,
};

static inline unsigned ctx_greater_temporal(unsigned unary)
{
    return CTX_GREATER + 2 * unary;
}

/* Of prefix bin 0; bin i has the i-th after it. */
static inline unsigned ctx_remainder(unsigned unary)
{
    return CTX_GREATER + 4 * unary;
}

/* Codes whether a context has a parameter set other than 0. */
static inline unsigned ctx_shift(unsigned unary)
{
    return ctx_remainder(unary) + CTX_REMAINDER_BINS;
}

/* Codes whether a row is skipped. */
static inline unsigned ctx_row(unsigned unary)
{
    return ctx_shift(unary) + 1;
}

static inline unsigned ctx_count(unsigned unary)
{
    return ctx_shift(unary) + 2;
}

/* 0, 1, 2: left is 0, negative, positive. */
static inline unsigned ctx_left_class(int32_t left)
{
    return left < 0 ? 1 : 2u * (left > 0);
}

/* Whether |base| > bound, bound >= 0, for any base. */
static inline bool ctx_base_above(int32_t base, unsigned bound)
{
    uint32_t magnitude = base < 0 ? 0u - (uint32_t)base : (uint32_t)base;
    return magnitude > bound;
}

/* history: the stream uses it and the element was not 0 before. */
static inline unsigned ctx_sig(unsigned state, int32_t left, int32_t base,
                               bool history)
{
    if (history)
        return CTX_SIG_HISTORY + state;
    if (base)
        return CTX_SIG_TEMPORAL + 2 * state + ctx_base_above(base, 1);
    return CTX_SIG + 3 * state + ctx_left_class(left);
}

static inline unsigned ctx_sign(int32_t left, int32_t base)
{
    return base ? CTX_SIGN_TEMPORAL + (base > 0)
                : CTX_SIGN + ctx_left_class(left);
}

/* Of the flag "greater than flag + 1", flag < unary. */
static inline unsigned ctx_greater(unsigned unary, unsigned flag, bool negative,
                                   int32_t base)
{
    if (!base)
        return CTX_GREATER + 2 * flag + negative;
    bool below = flag && !ctx_base_above(base, flag - 1);
    return ctx_greater_temporal(unary) + 2 * flag + below;
}

/* The codebook's size as the tensor syntax sees it: 0 without one, and always
 * in profile 0. */
static inline uint32_t ctx_codebook(const struct level_coding *coding)
{
    return coding->profile == 1 ? coding->codebook_size : 0;
}

#define CTX_UNLIMITED UINT32_MAX

/* The largest magnitude of either sign, CTX_UNLIMITED without a codebook. */
static inline uint32_t ctx_magnitude_max(const struct level_coding *coding,
                                         bool negative)
{
    if (!ctx_codebook(coding))
        return CTX_UNLIMITED;
    return negative ? coding->codebook_zero
                    : coding->codebook_size - 1 - coding->codebook_zero;
}

/* Whether the sign is sent: not if a codebook has entries on one side only. */
static inline bool ctx_sign_coded(const struct level_coding *coding)
{
    return ctx_magnitude_max(coding, true) && ctx_magnitude_max(coding, false);
}

/* Contexts first .. first + count - 1 start from a set that is sent for the
 * first coded of them, coded <= count, and is 0 for the others. */
struct ctx_run {
    uint16_t first, count, coded;
};
#define CTX_RUNS 7u

/* How many of the remainder's count contexts have a set that is sent. */
static inline unsigned ctx_remainder_coded(uint32_t magnitude_max,
                                           unsigned unary, unsigned count)
{
    unsigned coded = 0;
    while (coded < count &&
           (magnitude_max == CTX_UNLIMITED ||
            (uint64_t)unary - 2 + ((uint64_t)2 << coded) < magnitude_max))
        coded++;
    return coded;
}

static inline uint16_t ctx_at_most(uint64_t wanted, unsigned count)
{
    return (uint16_t)(wanted < count ? wanted : count);
}

/* Fills the list of parameter sets in the order in which they are sent, once
 * for each tensor; CTX_RUNS entries, some with a count of 0. history: the
 * stream uses it. coding->temporal says whether temporal context is used. */
static inline void ctx_runs(const struct level_coding *coding, bool history,
                            struct ctx_run runs[CTX_RUNS])
{
    unsigned states = coding->dq ? 8 : 1;
    unsigned unary = coding->unary;
    bool temporal = coding->temporal != NULL;
    uint32_t below = ctx_magnitude_max(coding, true);
    uint32_t above = ctx_magnitude_max(coding, false);
    uint64_t most = below > above ? below : above;
    bool some = ctx_codebook(coding) != 1;
    unsigned prefix = coding->first_edition ? 32 : 31;

    const struct {
        unsigned first, count;
        uint64_t coded;
    } list[CTX_RUNS] = {
        {CTX_SIG, 3 * states, some ? 24 : 0},
        {CTX_SIG_TEMPORAL, temporal ? 2 * states : 0, some ? 16 : 0},
        {CTX_SIG_HISTORY, history ? states : 0, some ? 8 : 0},
        {CTX_SIGN, temporal ? 5 : 3, ctx_sign_coded(coding) ? 5 : 0},
        {CTX_GREATER, 2 * unary, 2 * most},
        {ctx_greater_temporal(unary), temporal ? 2 * unary : 0,
         most ? 2 * (most - 1) : 0},
        {ctx_remainder(unary), prefix,
         ctx_remainder_coded((uint32_t)most, unary, prefix)},
    };
    for (unsigned i = 0; i < CTX_RUNS; i++)
        runs[i] =
            (struct ctx_run){(uint16_t)list[i].first, (uint16_t)list[i].count,
                             ctx_at_most(list[i].coded, list[i].count)};
}

#endif
