/* The tensor syntax, read. One inline walk over rows and blocks is instantiated
 * for the kinds of tensors that are frequent; everything the kinds leave out
 * is the plain one, which knows all tools. */
#include "codec/nnc/levels_dec.h"

#include "codec/entropy/cabac_dec_fast.h"
#include "codec/nnc/ctx_select.h"
#include "codec/nnc/dq_state.h"

#include <stdlib.h>
#include <string.h>

#define INLINE static ALWAYS_INLINE

/* Elements between two looks at whether the codeword has run out. */
#define CHUNK 4096u

struct levels_dec {
    struct cabac_dec engine;
    struct cabac_dec_moves moves;
    struct cabac_dec_ctx ctx[CTX_COUNT_MAX];
    uint8_t *skip; /* a byte a row, where rows may be skipped */
    uint64_t skip_cap;
    bool too_large; /* an integer of more than 32 bits was read */
};

/* What a walk needs to know of the tensor. */
struct walk {
    const struct level_coding *coding;
    int32_t *levels;
    uint64_t rows, row_elems;
    uint64_t block_rows, block_columns; /* elements of a full block */
    uint64_t skip_steps;                /* states a skipped segment advances */
    const uint8_t *skip;                /* or NULL */
    bool history;
    uint32_t max_below, max_above; /* magnitudes, or CTX_UNLIMITED */
    bool sign_coded;
};

/* The tools a walk is made for; constants where it is instantiated. */
struct tools {
    bool dq, temporal, history, limited;
};

enum status levels_dec_new(struct levels_dec **dec)
{
    *dec = calloc(1, sizeof(**dec));
    if (!*dec)
        return STATUS_NO_MEMORY;
    cabac_dec_moves_init(&(*dec)->moves);
    return STATUS_OK;
}

void levels_dec_free(struct levels_dec *dec)
{
    if (!dec)
        return;
    free(dec->skip);
    free(dec);
}

void levels_dec_begin(struct levels_dec *dec, struct bytes payload)
{
    cabac_dec_init(&dec->engine, payload);
}

int32_t levels_dec_qp(struct levels_dec *dec, unsigned bits)
{
    int32_t value = (int32_t)cabac_dec_bypass(&dec->engine, bits);
    int32_t half = (int32_t)1 << (bits - 1);
    return value < half ? value : value - 2 * half;
}

enum status levels_dec_finish(struct levels_dec *dec)
{
    return cabac_dec_finish(&dec->engine);
}

INLINE unsigned read_bin(struct cabac_dec *engine, struct levels_dec *dec,
                         unsigned index)
{
    struct cabac_dec_ctx *ctx = &dec->ctx[index];
    return cabac_dec_fast_bin(engine, ctx, ctx->rows, &dec->moves);
}

/* The part of a magnitude above the unary flags: exp-Golomb with context coded
 * prefix bins, which end early where the next group would start beyond most.
 */
INLINE uint32_t read_remainder(struct cabac_dec *engine, struct levels_dec *dec,
                               unsigned unary, uint32_t magnitude,
                               uint32_t most)
{
    unsigned first = ctx_remainder(unary);
    unsigned bits = 0;
    unsigned bin;
    do {
        bin = read_bin(engine, dec, first + bits);
        magnitude += bin << bits; /* below 2^31 + 257 */
        bits += bin;
    } while (bin && bits <= 30 &&
             (most == CTX_UNLIMITED ||
              (uint64_t)magnitude + ((uint64_t)1 << bits) <= most));
    uint64_t sum = (uint64_t)magnitude + cabac_dec_bypass(engine, bits);
    return sum < UINT32_MAX ? (uint32_t)sum : UINT32_MAX;
}

/* The largest magnitude of k whose level is a 32-bit integer. */
INLINE uint32_t magnitude_top(bool dq, unsigned state, bool negative)
{
    uint32_t top = 0x7fffffffu + negative;
    return dq ? (top + (state & 1)) / 2 : top;
}

/* A magnitude above 1, base as for ctx_greater. */
INLINE uint32_t read_magnitude(struct cabac_dec *engine, struct levels_dec *dec,
                               unsigned unary, bool negative, int32_t base,
                               uint32_t most)
{
    uint32_t magnitude = 1;
    unsigned flag = 0;
    unsigned bin;
    do {
        bin = read_bin(engine, dec, ctx_greater(unary, flag, negative, base));
        magnitude += bin;
        flag++;
    } while (bin && flag < unary && magnitude < most);
    if (bin && magnitude < most)
        return read_remainder(engine, dec, unary, magnitude, most);
    return magnitude;
}

INLINE int32_t read_element(struct cabac_dec *engine, struct levels_dec *dec,
                            const struct walk *walk, const struct tools *tools,
                            uint64_t place, unsigned state, int32_t left)
{
    const struct level_coding *coding = walk->coding;
    unsigned unary = coding->unary;
    int32_t base = tools->temporal ? coding->temporal[place] : 0;
    bool seen = tools->history && walk->history && coding->history[place];
    if (!read_bin(engine, dec, ctx_sig(state, left, base, seen)))
        return 0;
    bool negative = walk->max_below != 0;
    if (!tools->limited || walk->sign_coded)
        negative = read_bin(engine, dec, ctx_sign(left, base));
    uint32_t most = !tools->limited ? CTX_UNLIMITED
                    : negative      ? walk->max_below
                                    : walk->max_above;
    uint32_t magnitude = 1;
    if (most > 1)
        magnitude = read_magnitude(engine, dec, unary, negative, base, most);
    if (magnitude > magnitude_top(tools->dq, state, negative))
        dec->too_large = true;
    return (int32_t)(negative ? 0u - magnitude : magnitude);
}

/* What goes on from one element to the next. */
struct cursor {
    struct cabac_dec engine;
    unsigned state;
    int32_t left;
};

INLINE void read_run_plain(struct cursor *cursor, struct levels_dec *dec,
                           const struct walk *walk, const struct tools *tools,
                           uint64_t first, uint64_t count)
{
    struct cabac_dec engine = cursor->engine;
    unsigned state = cursor->state;
    int32_t left = cursor->left;
    for (uint64_t i = first; i < first + count; i++) {
        int32_t k = read_element(&engine, dec, walk, tools, i, state, left);
        left = k;
        walk->levels[i] = tools->dq ? dq_state_level(state, k) : k;
        if (tools->dq)
            state = dq_state_next(state, k);
    }
    cursor->engine = engine;
    cursor->state = state;
    cursor->left = left;
}

/* What a fast walk knows between two elements. rows are those of the context of
 * the next element's significance without temporal context. */
struct place {
    uint64_t rows;
    unsigned state8; /* 8 times the state of dependent quantisation */
    unsigned left;   /* ctx_left_class */
};

/* Byte i is 8 times the state that follows state i, by the parity of k. */
#define NEXT_EVEN UINT64_C(0x2018281030083800)
#define NEXT_ODD  UINT64_C(0x3008380020182810)

INLINE unsigned next_state8(unsigned state8, unsigned odd)
{
    return (unsigned)((odd ? NEXT_ODD : NEXT_EVEN) >> state8) & 56;
}

INLINE unsigned sig_of(unsigned state8, unsigned left)
{
    return CTX_SIG + 3 * (state8 / 8) + left;
}

/* Rows for both states that may follow, looked up before it is clear which of
 * them does. */
struct fork {
    uint64_t now, other; /* if k has the parity of what was read so far */
};

INLINE void fork_turn(struct fork *fork)
{
    uint64_t was = fork->now;
    fork->now = fork->other;
    fork->other = was;
}

/* The remainder, after which the parity is that of the magnitude. */
INLINE uint32_t read_unary_rest(struct cabac_dec *engine,
                                struct levels_dec *dec, unsigned unary,
                                uint32_t top, struct fork *fork)
{
    uint32_t magnitude =
        read_remainder(engine, dec, unary, unary + 1, CTX_UNLIMITED);
    if (magnitude > top)
        dec->too_large = true;
    if ((magnitude ^ (unary + 1)) & 1)
        fork_turn(fork);
    return magnitude;
}

/* Magnitude of an element that is not 0 and has no limit. greater: contexts of
 * its flags at 0, 2, 4...; rows are those of the first. */
INLINE uint32_t read_unary(struct cabac_dec *engine, struct levels_dec *dec,
                           struct cabac_dec_ctx *greater, uint64_t rows,
                           unsigned unary, uint32_t top, struct fork *fork)
{
    for (unsigned flag = 0; flag < unary; flag++) {
        if (flag)
            cabac_dec_fill(engine);
        if (!cabac_dec_ready_bin(engine, greater, rows, &dec->moves))
            return flag + 1;
        greater += 2;
        rows = greater->rows;
        fork_turn(fork);
    }
    return read_unary_rest(engine, dec, unary, top, fork);
}

/* The same where the base's magnitude makes the context. */
INLINE uint32_t read_unary_temporal(struct cabac_dec *engine,
                                    struct levels_dec *dec, unsigned unary,
                                    int32_t base, uint32_t top,
                                    struct fork *fork)
{
    uint32_t reach = base < 0 ? 0u - (uint32_t)base : (uint32_t)base;
    struct cabac_dec_ctx *greater = dec->ctx + ctx_greater_temporal(unary);
    for (unsigned flag = 0; flag < unary; flag++) {
        struct cabac_dec_ctx *ctx = greater + (reach < flag);
        if (flag)
            cabac_dec_fill(engine);
        if (!cabac_dec_ready_bin(engine, ctx, ctx->rows, &dec->moves))
            return flag + 1;
        greater += 2;
        fork_turn(fork);
    }
    return read_unary_rest(engine, dec, unary, top, fork);
}

/* What follows a significance flag of 1. */
INLINE int32_t read_nonzero(struct cabac_dec *engine, struct levels_dec *dec,
                            unsigned unary, bool dq, int32_t base,
                            struct place *place)
{
    unsigned sign = base ? ctx_sign(0, base) : CTX_SIGN + place->left;
    struct cabac_dec_ctx *greater = dec->ctx + CTX_GREATER;
    uint64_t rows[2] = {greater[0].rows, greater[1].rows};
    unsigned negative =
        cabac_dec_even_bin(engine, &dec->ctx[sign], &dec->moves);
    uint64_t mask = 0 - (uint64_t)negative;
    unsigned left = 2 - negative;
    unsigned state8 = place->state8;
    unsigned after[2] = {dq ? next_state8(state8, 0) : 0,
                         dq ? next_state8(state8, 1) : 0};
    struct fork fork = {dec->ctx[sig_of(after[1], left)].rows,
                        dec->ctx[sig_of(after[0], left)].rows};
    uint32_t top = magnitude_top(dq, state8 / 8, negative);
    uint32_t magnitude =
        base ? read_unary_temporal(engine, dec, unary, base, top, &fork)
             : read_unary(engine, dec, greater + negative,
                          rows[0] ^ ((rows[0] ^ rows[1]) & mask), unary, top,
                          &fork);
    place->rows = fork.now;
    place->left = left;
    if (dq) {
        place->state8 = next_state8(state8, magnitude & 1);
        magnitude = 2 * magnitude - (state8 >> 3 & 1);
    }
    return (int32_t)((magnitude ^ (uint32_t)mask) + negative);
}

/* The level of read_element without limits or history. */
INLINE int32_t read_level(struct cabac_dec *engine, struct levels_dec *dec,
                          unsigned unary, bool dq, int32_t base,
                          struct place *place)
{
    struct cabac_dec_ctx *sig = dec->ctx + sig_of(place->state8, place->left);
    uint64_t rows = place->rows;
    if (base) {
        sig = dec->ctx + ctx_sig(place->state8 / 8, 0, base, false);
        rows = sig->rows;
    }
    if (cabac_dec_fast_bin(engine, sig, rows, &dec->moves))
        return read_nonzero(engine, dec, unary, dq, base, place);
    if (dq)
        place->state8 = next_state8(place->state8, 0);
    place->left = 0;
    place->rows = dec->ctx[sig_of(place->state8, 0)].rows;
    return 0;
}

/* States below this make a 0 likely enough (its opposite has less than 29 of
 * the range) to look for runs. */
#define ZEROS_STATE (-2048)

/* Zeros while contexts do not move: all at once as long as the range stays in
 * a row. Stops before a bin that is not 0. */
INLINE uint64_t read_still_zeros(struct cabac_dec *engine, uint64_t rows,
                                 uint64_t max)
{
    uint64_t count = 0;
    uint64_t steps, in_row;
    do {
        cabac_dec_fill(engine);
        uint32_t upper = (uint8_t)(rows >> (engine->range >> 2 & 56));
        uint32_t offset = (uint32_t)(engine->value >> engine->bits);
        in_row = (engine->range & 31) / upper + 1;
        uint64_t below = (engine->range - 1 - offset) / upper;
        steps = in_row < below ? in_row : below;
        steps = steps < max - count ? steps : max - count;
        engine->range -= (uint32_t)steps * upper;
        count += steps;
        cabac_dec_renorm(engine);
    } while (steps == in_row && count < max);
    return count;
}

/* Zeros of one context as long as each of them moves it and ZEROS_STATE is not
 * left, at most max. Without dependent quantisation all zeros of a run have the
 * same one, whose estimates then need not go through memory in between. */
INLINE uint64_t read_own_zeros(struct cabac_dec *engine,
                               const struct cabac_dec_moves *moves,
                               struct cabac_dec_ctx *ctx, uint64_t max)
{
    const int16_t *gain = &moves->gain[0][0][0][0] + ctx->gain;
    int64_t slow = ctx->slow;
    int64_t fast = ctx->fast;
    uint64_t rows = ctx->rows;
    uint64_t count = 0;
    while (count < max && slow + fast < ZEROS_STATE) {
        cabac_dec_fill(engine);
        uint32_t upper = (uint8_t)(rows >> (engine->range >> 2 & 56));
        uint32_t lower = engine->range - upper;
        int64_t slow_gain = gain[(slow - 1) >> 7];
        int64_t fast_gain = gain[((fast - 1) >> 7) + CABAC_MOVES_COUNT];
        if (engine->value >= (uint64_t)lower << engine->bits ||
            !(slow_gain | fast_gain))
            break;
        cabac_dec_take_lower(engine, lower);
        slow += slow_gain;
        fast += fast_gain;
        rows = moves->rows[((slow + fast) >> 7) + 32];
        count++;
    }
    ctx->slow = (int16_t)slow;
    ctx->fast = (int16_t)fast;
    ctx->rows = rows;
    return count;
}

/* Zeros where contexts say so and the codeword agrees, at most max; left is 0
 * before and after. */
INLINE uint64_t read_zeros(struct cabac_dec *engine, struct levels_dec *dec,
                           bool dq, struct place *place, uint64_t max)
{
    uint64_t count = 0;
    uint64_t rows = 0;
    unsigned still = 0; /* contexts that did not move, in a row */
    unsigned state8 = place->state8;
    while (count < max) {
        struct cabac_dec_ctx *ctx = dec->ctx + sig_of(state8, 0);
        int slow = ctx->slow;
        int fast = ctx->fast;
        if (slow + fast >= ZEROS_STATE)
            break;
        if (!dq) {
            uint64_t own =
                read_own_zeros(engine, &dec->moves, ctx, max - count);
            count += own;
            if (own)
                continue;
        }
        still = ctx->rows == rows ? still : 0;
        rows = ctx->rows;
        cabac_dec_fill(engine);
        uint32_t upper = (uint8_t)(rows >> (engine->range >> 2 & 56));
        uint32_t lower = engine->range - upper;
        if (engine->value >= (uint64_t)lower << engine->bits)
            break;
        unsigned shift = lower < 256;
        engine->range = lower << shift;
        engine->bits -= (int)shift;
        count++;
        const int16_t *gain = &dec->moves.gain[0][0][0][0] + ctx->gain;
        int slow_gain = gain[(slow - 1) >> 7];
        int fast_gain = gain[((fast - 1) >> 7) + CABAC_MOVES_COUNT];
        if (dq)
            state8 = next_state8(state8, 0);
        if (slow_gain | fast_gain) {
            slow += slow_gain;
            fast += fast_gain;
            ctx->slow = (int16_t)slow;
            ctx->fast = (int16_t)fast;
            ctx->rows = dec->moves.rows[((slow + fast) >> 7) + 32];
            still = 0;
        } else if (++still >= 4 || !dq) {
            uint64_t more = read_still_zeros(engine, rows, max - count);
            for (unsigned i = dq ? (unsigned)(more & 3) : 0; i; i--)
                state8 = next_state8(state8, 0);
            count += more;
            still = 0;
        }
    }
    place->state8 = state8;
    place->rows = dec->ctx[sig_of(state8, 0)].rows;
    return count;
}

/* Zeros from base on. */
INLINE uint64_t zeros_of(const int32_t *base, uint64_t count)
{
    uint64_t zeros = 0;
    while (zeros < count && !base[zeros])
        zeros++;
    return zeros;
}

INLINE void read_run(struct cursor *cursor, struct levels_dec *dec,
                     const struct walk *walk, const struct tools *tools,
                     uint64_t first, uint64_t count)
{
    if (tools->limited) {
        read_run_plain(cursor, dec, walk, tools, first, count);
        return;
    }
    struct cabac_dec engine = cursor->engine;
    struct place place = {0, 8 * cursor->state, ctx_left_class(cursor->left)};
    place.rows = dec->ctx[sig_of(place.state8, place.left)].rows;
    unsigned unary = walk->coding->unary;
    int32_t *levels = walk->levels + first;
    const int32_t *base =
        tools->temporal ? walk->coding->temporal + first : NULL;
    uint64_t clear = tools->temporal ? 0 : count; /* no base up to here */
    memset(levels, 0, (size_t)count * sizeof(*levels));
    for (uint64_t i = 0; i < count; i++) {
        if (!place.left) {
            if (tools->temporal && i >= clear)
                clear = i + zeros_of(base + i, count - i);
            i += read_zeros(&engine, dec, tools->dq, &place, clear - i);
            if (i == count)
                break;
        }
        levels[i] = read_level(&engine, dec, unary, tools->dq,
                               tools->temporal ? base[i] : 0, &place);
    }
    cursor->engine = engine;
    cursor->state = place.state8 / 8;
    cursor->left = place.left == 1 ? -1 : place.left == 2;
}

/* One row of a block, in runs short enough to notice the codeword's end. */
INLINE bool read_segment(struct cursor *cursor, struct levels_dec *dec,
                         const struct walk *walk, const struct tools *tools,
                         uint64_t first, uint64_t count)
{
    while (count) {
        uint64_t run = count < CHUNK ? count : CHUNK;
        read_run(cursor, dec, walk, tools, first, run);
        if (cabac_dec_overrun(&cursor->engine))
            return false;
        first += run;
        count -= run;
    }
    return true;
}

static void skip_segment(struct cursor *cursor, const struct walk *walk,
                         uint64_t first, uint64_t count)
{
    memset(walk->levels + first, 0, (size_t)count * sizeof(*walk->levels));
    if (walk->coding->dq)
        cursor->state = dq_state_after_zeros(cursor->state, walk->skip_steps);
}

static void reset_contexts(struct levels_dec *dec, unsigned unary)
{
    for (unsigned i = 0; i < ctx_count(unary); i++)
        cabac_dec_ctx_reset(&dec->ctx[i], &dec->moves);
}

/* Rows top .. end - 1; *coded: contexts may have moved. */
INLINE bool read_block_row(struct cursor *cursor, struct levels_dec *dec,
                           const struct walk *walk, const struct tools *tools,
                           uint64_t top, uint64_t end, bool *coded)
{
    for (uint64_t x = 0; x < walk->row_elems; x += walk->block_columns) {
        uint64_t width = walk->row_elems - x;
        width = width < walk->block_columns ? width : walk->block_columns;
        for (uint64_t y = top; y < end; y++) {
            uint64_t first = y * walk->row_elems + x;
            if (walk->skip && walk->skip[y]) {
                skip_segment(cursor, walk, first, width);
                continue;
            }
            *coded = true;
            if (!read_segment(cursor, dec, walk, tools, first, width))
                return false;
        }
    }
    return true;
}

INLINE enum status read_rows(struct levels_dec *dec, const struct walk *walk,
                             const struct tools *tools)
{
    struct cursor cursor = {dec->engine, 0, 0};
    bool good = true;
    bool coded = false;
    for (uint64_t top = 0; top < walk->rows && good;) {
        uint64_t end = walk->rows - top;
        end = top + (end < walk->block_rows ? end : walk->block_rows);
        good = read_block_row(&cursor, dec, walk, tools, top, end, &coded);
        if (end < walk->rows) {
            if (coded)
                reset_contexts(dec, walk->coding->unary);
            coded = false;
            cursor.left = 0;
            cabac_dec_range_reset(&cursor.engine);
        }
        top = end;
    }
    dec->engine = cursor.engine;
    return good ? STATUS_OK : STATUS_TRUNCATED;
}

/* One function for each kind of tensor that has a walk of its own. */
#define WALK(attribute, name, dq, temporal)                             \
    attribute static enum status name(struct levels_dec *dec,           \
                                      const struct walk *walk)          \
    {                                                                   \
        static const struct tools tools = {dq, temporal, false, false}; \
        return read_rows(dec, walk, &tools);                            \
    }
#define WALKS(attribute, name)                        \
    WALK(attribute, name##_uniform, false, false)     \
    WALK(attribute, name##_dq, true, false)           \
    WALK(attribute, name##_uniform_base, false, true) \
    WALK(attribute, name##_dq_base, true, true)

WALKS(, walk)
#if CPU_X86
WALKS(CPU_BMI2, walk_bmi2)
#else
WALKS(, walk_bmi2)
#endif

static enum status walk_plain(struct levels_dec *dec, const struct walk *walk)
{
    struct tools tools = {walk->coding->dq, walk->coding->temporal != NULL,
                          true, true};
    return read_rows(dec, walk, &tools);
}

typedef enum status (*walk_fn)(struct levels_dec *dec, const struct walk *walk);

static enum status walk_any(struct levels_dec *dec, const struct walk *walk)
{
    /* By dq, then by temporal context. */
    static const walk_fn any[2][2] = {{walk_uniform, walk_uniform_base},
                                      {walk_dq, walk_dq_base}};
    static const walk_fn bmi2[2][2] = {
        {walk_bmi2_uniform, walk_bmi2_uniform_base},
        {walk_bmi2_dq, walk_bmi2_dq_base}};
    const struct level_coding *coding = walk->coding;
    if (walk->history || ctx_codebook(coding))
        return walk_plain(dec, walk);
    const walk_fn(*kinds)[2] = cpu_has_bmi2() ? bmi2 : any;
    return kinds[coding->dq][coding->temporal != NULL](dec, walk);
}

/* Whether rows exist as far as the syntax is concerned. */
static bool has_rows(const struct level_coding *coding)
{
    return coding->row_elems > 1 && coding->elem_count > coding->row_elems;
}

static void init_walk(struct walk *walk, const struct level_coding *coding,
                      int32_t *levels)
{
    *walk = (struct walk){.coding = coding, .levels = levels};
    walk->max_below = ctx_magnitude_max(coding, true);
    walk->max_above = ctx_magnitude_max(coding, false);
    walk->sign_coded = ctx_sign_coded(coding);
    walk->skip_steps = coding->row_elems;
    walk->row_elems = coding->elem_count;
    walk->rows = coding->elem_count ? 1 : 0;
    if (has_rows(coding)) {
        walk->row_elems = coding->row_elems;
        walk->rows = coding->elem_count / coding->row_elems;
    }
    walk->block_rows = walk->rows;
    walk->block_columns = walk->row_elems;
    if (has_rows(coding) && coding->scan_order)
        walk->block_rows = walk->block_columns = (uint64_t)4
                                                 << coding->scan_order;
}

/* Flags of the tools that a tensor with rows may use, and which rows are
 * skipped. */
static enum status read_row_flags(struct levels_dec *dec, struct walk *walk)
{
    const struct level_coding *coding = walk->coding;
    if (coding->profile != 1 || !has_rows(coding) || ctx_codebook(coding) == 1)
        return STATUS_OK;
    if (coding->has_parent)
        walk->history = cabac_dec_bypass(&dec->engine, 1);
    if (!cabac_dec_bypass(&dec->engine, 1))
        return STATUS_OK;
    if (walk->rows > dec->skip_cap) {
        uint8_t *bigger = realloc(dec->skip, (size_t)walk->rows);
        if (!bigger)
            return STATUS_NO_MEMORY;
        dec->skip = bigger;
        dec->skip_cap = walk->rows;
    }
    walk->skip = dec->skip;
    for (uint64_t row = 0; row < walk->rows; row++) {
        dec->skip[row] =
            (uint8_t)read_bin(&dec->engine, dec, ctx_row(coding->unary));
        if (row % CHUNK == 0 && cabac_dec_overrun(&dec->engine))
            return STATUS_TRUNCATED;
    }
    return STATUS_OK;
}

/* The list of parameter sets, from which all contexts start. */
static void read_sets(struct levels_dec *dec, const struct walk *walk)
{
    struct ctx_run runs[CTX_RUNS];
    ctx_runs(walk->coding, walk->history, runs);
    unsigned shift = ctx_shift(walk->coding->unary);
    for (unsigned i = 0; i < CTX_RUNS; i++) {
        for (unsigned j = 0; j < runs[i].coded; j++) {
            unsigned set = 0;
            if (read_bin(&dec->engine, dec, shift))
                set = 1 + cabac_dec_bypass(&dec->engine, 3);
            cabac_dec_ctx_init(&dec->ctx[runs[i].first + j], &dec->moves, set);
        }
    }
}

/* The contexts of profile 0's codebooks are not limited, so that an index may
 * leave the codebook there as well. */
static enum status check_indices(const struct level_coding *coding,
                                 const int32_t *levels)
{
    if (!coding->codebook_size)
        return STATUS_OK;
    int64_t low = -(int64_t)coding->codebook_zero;
    int64_t high = low + coding->codebook_size - 1;
    for (uint64_t i = 0; i < coding->elem_count; i++)
        if (levels[i] < low || levels[i] > high)
            return STATUS_CORRUPT;
    return STATUS_OK;
}

static enum status read_tensor(struct levels_dec *dec,
                               const struct level_coding *coding,
                               int32_t *levels, bool plain)
{
    struct walk walk;
    init_walk(&walk, coding, levels);
    unsigned count = ctx_count(coding->unary);
    for (unsigned i = 0; i < count; i++)
        cabac_dec_ctx_init(&dec->ctx[i], &dec->moves, 0);
    enum status rc = read_row_flags(dec, &walk);
    if (rc)
        return rc;
    read_sets(dec, &walk);
    walk.history = walk.history && coding->history; /* NULL: all are 0 */
    bool blocks = walk.rows > walk.block_rows;
    if (blocks ||
        (coding->first_edition && has_rows(coding) && coding->scan_order))
        cabac_dec_range_reset(&dec->engine);
    if (ctx_codebook(coding) == 1) {
        memset(levels, 0, (size_t)coding->elem_count * sizeof(*levels));
        return STATUS_OK;
    }
    dec->too_large = false;
    rc = plain ? walk_plain(dec, &walk) : walk_any(dec, &walk);
    if (!rc && dec->too_large)
        rc = STATUS_CORRUPT;
    return rc ? rc : check_indices(coding, levels);
}

enum status levels_dec_tensor(struct levels_dec *dec,
                              const struct level_coding *coding,
                              int32_t *levels)
{
    return read_tensor(dec, coding, levels, false);
}

enum status levels_dec_tensor_plain(struct levels_dec *dec,
                                    const struct level_coding *coding,
                                    int32_t *levels)
{
    return read_tensor(dec, coding, levels, true);
}
