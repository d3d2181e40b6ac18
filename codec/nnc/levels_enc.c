#include "codec/nnc/levels_enc.h"

#include "codec/base/array.h"
#include "codec/base/cpu.h"
#include "codec/entropy/cabac_moves.h"

struct ctx {
    const struct cabac_moves *moves;
    int16_t fast, slow; /* as in cabac_moves.h */
};

/* A copy of the engine that stays in registers, and the contexts. */
struct sink {
    struct cabac_enc enc;
    struct ctx *ctx;
};

static ALWAYS_INLINE void walk_bin(struct sink *sink, uint32_t number, int bin)
{
    struct ctx *c = &sink->ctx[number];
    const struct cabac_move *move = c->moves->bin + bin;
    ptrdiff_t fast = c->fast, slow = c->slow;
    cabac_enc_bin(&sink->enc, fast + slow, bin);
    c->fast = move->fast[128 + (fast >> 4)];
    c->slow = (int16_t)(slow + move->slow[32 + ((slow + bin - 1) >> 7)]);
}

static void start(struct ctx *c, uint32_t set)
{
    const struct cabac_set *from = &cabac_sets[set];
    *c = (struct ctx){&cabac_moves[cabac_moves_of[set]],
                      (int16_t)(16 * from->fast), from->slow};
}

static ALWAYS_INLINE void walk_bypass(struct sink *sink, uint32_t value,
                                      uint32_t bits)
{
    if (bits > CABAC_ENC_BYPASS_MAX) {
        bits -= CABAC_ENC_BYPASS_MAX;
        cabac_enc_bypass(&sink->enc, value >> CABAC_ENC_BYPASS_MAX, bits);
        value &= (1u << CABAC_ENC_BYPASS_MAX) - 1;
        bits = CABAC_ENC_BYPASS_MAX;
    }
    cabac_enc_bypass(&sink->enc, value, bits);
}

#define WALK_SINK struct sink
#include "codec/nnc/levels_walk.inc"

static void init_runs(struct ctx *ctx, const struct ctx_run runs[CTX_RUNS],
                      const uint8_t *sets)
{
    for (uint32_t i = 0; i < CTX_RUNS; i++) {
        for (uint32_t j = 0; j < runs[i].count; j++)
            start(&ctx[runs[i].first + j], sets[runs[i].first + j]);
    }
}

static void put_list(struct sink *sink, uint32_t unary,
                     const struct ctx_run runs[CTX_RUNS], const uint8_t *sets)
{
    start(&sink->ctx[ctx_shift(unary)], 0);
    for (uint32_t i = 0; i < CTX_RUNS; i++) {
        for (uint32_t j = 0; j < runs[i].coded; j++) {
            uint32_t set = sets[runs[i].first + j];
            walk_bin(sink, ctx_shift(unary), set != 0);
            if (set)
                walk_bypass(sink, set - 1, 3);
        }
    }
}

static void put_flags(struct sink *sink, const struct level_order *order,
                      const struct levels_choice *choice)
{
    uint32_t row = ctx_row(order->coding.unary);
    if (!order->row_flags)
        return;
    if (order->coding.has_parent)
        walk_bypass(sink, choice->history, 1);
    walk_bypass(sink, choice->row_skip, 1);
    start(&sink->ctx[row], 0);
    for (uint64_t r = 0; choice->row_skip && r < order->rows; r++)
        walk_bin(sink, row, order->row_zero[r]);
}

/* The hot loop: works on a copy of sink whose address nobody sees. */
static uint32_t put_run(struct sink *outer, const struct level_order *order,
                        bool history, uint64_t at, uint64_t count,
                        uint32_t left)
{
    struct sink sink = *outer;
    left = walk_run(&sink, order, history, at, count, left);
    *outer = sink;
    return left;
}

static enum status add_entry(struct levels_entries *entries,
                             const struct sink *sink, uint64_t *previous,
                             uint8_t state)
{
    enum status status =
        array_grow((void **)&entries->entry, sizeof *entries->entry,
                   entries->count + 1, &entries->cap);
    if (status)
        return status;
    uint64_t shifts = cabac_enc_shifts(&sink->enc);
    entries->entry[entries->count++] = (struct levels_entry){
        shifts, *previous, (uint32_t)(sink->enc.low & 0x1ff), state};
    *previous = shifts;
    return STATUS_OK;
}

/* The state of dependent quantisation at the start of a piece, which may be
 * one that is skipped. */
static uint8_t state_at(const struct level_order *order, uint64_t at)
{
    return order->states ? order->states[at] : 0;
}

static enum status put_pieces(struct sink *sink,
                              const struct level_order *order,
                              const struct levels_choice *choice,
                              const struct ctx_run runs[CTX_RUNS],
                              struct levels_entries *entries)
{
    struct level_cursor cur = {0};
    struct level_piece p;
    uint32_t left = 0;
    uint64_t previous = cabac_enc_shifts(&sink->enc);
    if (order->block && order->rows > order->block)
        cabac_enc_reset_range(&sink->enc);
    while (level_order_next(order, &cur, &p)) {
        if (p.resets) {
            init_runs(sink->ctx, runs, choice->sets);
            left = 0;
            cabac_enc_reset_range(&sink->enc);
            enum status status =
                add_entry(entries, sink, &previous, state_at(order, p.at));
            if (status)
                return status;
        }
        if (!choice->row_skip || !order->row_zero[p.row])
            left = put_run(sink, order, choice->history, p.at, p.count, left);
    }
    return STATUS_OK;
}

enum status levels_enc(struct cabac_enc *enc, const struct level_order *order,
                       const struct levels_choice *choice,
                       struct levels_entries *entries)
{
    struct ctx ctx[CTX_COUNT_MAX];
    struct sink sink = {*enc, ctx};
    struct ctx_run runs[CTX_RUNS];
    ctx_runs(&order->coding, choice->history, runs);
    put_flags(&sink, order, choice);
    put_list(&sink, order->coding.unary, runs, choice->sets);
    init_runs(ctx, runs, choice->sets);
    enum status status = STATUS_OK;
    if (order->block || choice->row_skip)
        status = put_pieces(&sink, order, choice, runs, entries);
    else
        (void)put_run(&sink, order, choice->history, 0,
                      order->coding.elem_count, 0);
    *enc = sink.enc;
    return status;
}

uint32_t levels_entry_value(const struct levels_entry *entry,
                            const uint8_t *codeword, size_t size)
{
    uint32_t bits = 0;
    for (uint64_t i = 0; i < 9; i++) {
        uint64_t at = entry->shifts + i;
        uint32_t byte = at / 8 < size ? codeword[at / 8] : 0;
        bits = bits << 1 | (byte >> (7 - at % 8) & 1);
    }
    return (bits - entry->low) & 0x1ff;
}
