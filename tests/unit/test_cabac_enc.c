/* The arithmetic encoder writes what the definition says, bit for bit, and the
 * decoder reads it; tables are those of their formulas. */
#include "codec/entropy/cabac_enc.h"

#include "codec/base/rng.h"
#include "codec/entropy/cabac_cost.h"
#include "codec/entropy/cabac_ctx.h"
#include "codec/entropy/cabac_dec.h"
#include "codec/entropy/cabac_moves.h"

#include "tests/support/cmocka.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define BINS     4000
#define CONTEXTS 20
#define BITS_MAX (BINS * 32)

/* What is coded: bins of contexts, runs of bypass bins, range resets. */
enum op_kind {
    OP_BIN,
    OP_BYPASS,
    OP_RESET
};
struct op {
    enum op_kind kind;
    uint32_t ctx, value, bits;
};

/* The definition: low as a string of bits, one a byte. */
struct slow_enc {
    uint8_t low[BITS_MAX];
    size_t count;
    uint32_t range;
};

static void slow_shift(struct slow_enc *e)
{
    assert_true(e->count < BITS_MAX);
    e->low[e->count++] = 0;
}

static void slow_add(struct slow_enc *e, uint32_t value)
{
    uint32_t carry = 0;
    for (size_t i = e->count; i-- > 0 && (value || carry);) {
        uint32_t sum = e->low[i] + (value & 1) + carry;
        e->low[i] = (uint8_t)(sum & 1);
        carry = sum >> 1;
        value >>= 1;
    }
    assert_int_equal(carry, 0);
}

static void slow_bin(struct slow_enc *e, const struct cabac_ctx *ctx,
                     unsigned bin)
{
    uint32_t lps = cabac_ctx_range_lps(ctx, e->range);
    e->range -= lps;
    if (bin != cabac_ctx_mps(ctx)) {
        slow_add(e, e->range);
        e->range = lps;
    }
    for (; e->range < 256; e->range <<= 1)
        slow_shift(e);
}

static size_t slow_finish(struct slow_enc *e, uint8_t *out)
{
    e->range -= 2;
    slow_add(e, e->range);
    e->low[e->count - 1] = 1;
    size_t size = (e->count + 7) / 8;
    memset(out, 0, size);
    for (size_t i = 0; i < e->count; i++)
        out[i / 8] |= (uint8_t)(e->low[i] << (7 - i % 8));
    return size;
}

static void make_ops(struct op *ops, size_t count, uint64_t seed)
{
    struct rng_seeded seeded;
    rng_seeded_init(&seeded, seed);
    struct rng rng = rng_from_seeded(&seeded);
    for (size_t i = 0; i < count; i++) {
        uint32_t ctx = (uint32_t)rng_below(&rng, CONTEXTS);
        uint32_t kind = (uint32_t)rng_below(&rng, 50);
        /* Some contexts are certain, some even; long runs of ones make long
         * carries. */
        bool one = rng_below(&rng, CONTEXTS) < ctx;
        ops[i] = (struct op){OP_BIN, ctx, one, 1};
        if (kind < 4) {
            uint32_t bits = (uint32_t)rng_below(&rng, 17);
            uint32_t value = (uint32_t)rng_below(&rng, 1u << bits);
            if (kind < 2)
                value = (1u << bits) - 1;
            ops[i] = (struct op){OP_BYPASS, 0, value, bits};
        } else if (kind == 4 && seed % 2) {
            ops[i] = (struct op){OP_RESET, 0, 0, 0};
        }
    }
}

static void init_contexts(struct cabac_ctx ctx[CONTEXTS])
{
    for (unsigned i = 0; i < CONTEXTS; i++)
        cabac_ctx_init(&ctx[i], i % CABAC_SETS);
}

static void encode(const struct op *ops, size_t count, struct writer *wr)
{
    struct cabac_ctx ctx[CONTEXTS];
    struct cabac_enc enc;
    init_contexts(ctx);
    cabac_enc_init(&enc, wr);
    for (size_t i = 0; i < count; i++) {
        const struct op *op = &ops[i];
        struct cabac_ctx *c = &ctx[op->ctx];
        if (op->kind == OP_RESET) {
            cabac_enc_reset_range(&enc);
        } else if (op->kind == OP_BYPASS) {
            cabac_enc_bypass(&enc, op->value, op->bits);
        } else {
            cabac_enc_bin(&enc, cabac_ctx_state(c), (int)op->value);
            cabac_ctx_update(c, op->value);
        }
    }
    uint64_t shifts = cabac_enc_shifts(&enc);
    size_t start = enc.start;
    cabac_enc_finish(&enc);
    if (!writer_status(wr))
        assert_int_equal(wr->size - start, (shifts + 9 + 7) / 8);
}

static size_t encode_slowly(const struct op *ops, size_t count, uint8_t *out)
{
    struct cabac_ctx ctx[CONTEXTS];
    struct slow_enc *e = calloc(1, sizeof *e);
    assert_non_null(e);
    e->count = 9;
    e->range = 510;
    init_contexts(ctx);
    for (size_t i = 0; i < count; i++) {
        const struct op *op = &ops[i];
        if (op->kind == OP_RESET) {
            e->range = 256;
        } else if (op->kind == OP_BIN) {
            slow_bin(e, &ctx[op->ctx], op->value);
            cabac_ctx_update(&ctx[op->ctx], op->value);
        }
        for (uint32_t j = op->bits; op->kind == OP_BYPASS && j-- > 0;) {
            slow_shift(e);
            slow_add(e, op->value >> j & 1 ? e->range : 0);
        }
    }
    size_t size = slow_finish(e, out);
    free(e);
    return size;
}

static void cabac_enc_writes_what_the_definition_says(void **state)
{
    static struct op ops[BINS];
    static uint8_t expect[BITS_MAX / 8];
    (void)state;
    for (uint64_t seed = 0; seed < 40; seed++) {
        size_t count = seed < 20 ? seed : BINS;
        struct writer wr;
        writer_init_heap(&wr, sizeof expect);
        make_ops(ops, count, seed);
        writer_u8(&wr, 0xff); /* a carry must not reach this */
        encode(ops, count, &wr);
        assert_int_equal(writer_status(&wr), STATUS_OK);
        size_t size = encode_slowly(ops, count, expect);
        assert_int_equal(wr.size - 1, size);
        assert_int_equal(wr.data[0], 0xff);
        assert_memory_equal(wr.data + 1, expect, size);
        writer_deinit(&wr);
    }
}

static void cabac_dec_reads_what_was_written(void **state)
{
    static struct op ops[BINS];
    (void)state;
    for (uint64_t seed = 100; seed < 120; seed++) {
        struct cabac_ctx ctx[CONTEXTS];
        struct cabac_dec dec;
        struct writer wr;
        writer_init_heap(&wr, 1u << 20);
        make_ops(ops, BINS, seed);
        encode(ops, BINS, &wr);
        init_contexts(ctx);
        cabac_dec_init(&dec, writer_view(&wr));
        for (size_t i = 0; i < BINS; i++) {
            const struct op *op = &ops[i];
            if (op->kind == OP_RESET)
                cabac_dec_range_reset(&dec);
            else if (op->kind == OP_BYPASS)
                assert_int_equal(cabac_dec_bypass(&dec, op->bits), op->value);
            else
                assert_int_equal(cabac_dec_bin(&dec, &ctx[op->ctx]), op->value);
        }
        assert_int_equal(cabac_dec_finish(&dec), STATUS_OK);
        writer_deinit(&wr);
    }
}

static void cabac_enc_without_room_leaves_it_to_the_writer(void **state)
{
    static struct op ops[BINS];
    (void)state;
    make_ops(ops, BINS, 7);
    for (size_t cap = 0; cap < 40; cap++) {
        uint8_t buf[40];
        struct writer wr;
        writer_init(&wr, buf, cap);
        encode(ops, BINS, &wr);
        assert_int_equal(writer_status(&wr), STATUS_LIMIT);
        assert_true(wr.size <= cap);
    }
}

static void cabac_moves_are_those_of_a_context(void **state)
{
    (void)state;
    for (uint8_t set = 0; set < CABAC_SETS; set++) {
        const struct cabac_moves *moves = &cabac_moves[cabac_moves_of[set]];
        for (int fast = -123; fast <= 123; fast++) {
            for (unsigned bin = 0; bin < 2; bin++) {
                struct cabac_ctx c = {0, (int8_t)fast, set};
                cabac_ctx_update(&c, bin);
                assert_int_equal(cabac_moves_fast(moves, 16 * fast, bin),
                                 16 * c.fast);
            }
        }
        for (int slow = -2000; slow <= 2000; slow++) {
            for (unsigned bin = 0; bin < 2; bin++) {
                struct cabac_ctx c = {(int16_t)slow, 0, set};
                cabac_ctx_update(&c, bin);
                assert_int_equal(cabac_moves_slow(moves, slow, bin), c.slow);
            }
        }
    }
}

static void cabac_moves_ranges_are_those_of_a_context(void **state)
{
    (void)state;
    for (int fast = -123; fast <= 123; fast++) {
        for (int low = 0; low < 16; low++) {
            struct cabac_ctx c = {(int16_t)low, (int8_t)fast, 0};
            int s = cabac_ctx_state(&c);
            for (uint32_t range = 256; range < 512; range += 32)
                assert_int_equal(
                    cabac_moves_lps[32 + (s >> 7)][(range >> 5) & 7],
                    cabac_ctx_range_lps(&c, range));
        }
    }
}

static void cabac_cost_is_the_mean_over_ranges(void **state)
{
    (void)state;
    for (int i = 0; i < 64; i++) {
        int column = abs(i - 32) < 31 ? abs(i - 32) : 31;
        double less = 0, more = 0;
        for (int range = 256; range < 512; range++) {
            double part = cabac_range_lps[32 * ((range >> 5) & 7) + column];
            double weight = log2((range + 1.0) / range);
            less += weight * log2(range / part);
            more += weight * log2(range / (range - part));
        }
        unsigned mps = i >= 32;
        assert_int_equal(cabac_cost_table[mps][i],
                         (int)lround(more * CABAC_COST_ONE));
        assert_int_equal(cabac_cost_table[1 - mps][i],
                         (int)lround(less * CABAC_COST_ONE));
    }
}

static void cabac_cost_is_about_what_is_written(void **state)
{
    static struct op ops[BINS];
    (void)state;
    for (uint64_t seed = 200; seed < 220; seed += 2) {
        struct cabac_ctx ctx[CONTEXTS];
        struct writer wr;
        uint64_t cost = 0;
        writer_init_heap(&wr, 1u << 20);
        make_ops(ops, BINS, seed);
        encode(ops, BINS, &wr);
        init_contexts(ctx);
        for (size_t i = 0; i < BINS; i++) {
            const struct op *op = &ops[i];
            if (op->kind == OP_BYPASS) {
                cost += (uint64_t)op->bits * CABAC_COST_ONE;
                continue;
            }
            struct cabac_ctx *c = &ctx[op->ctx];
            cost += cabac_cost(cabac_ctx_state(c), op->value);
            cabac_ctx_update(c, op->value);
        }
        double bits = (double)cost / CABAC_COST_ONE;
        assert_true(fabs(bits - 8.0 * (double)wr.size) < 16 + bits / 100);
        writer_deinit(&wr);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cabac_enc_writes_what_the_definition_says),
        cmocka_unit_test(cabac_dec_reads_what_was_written),
        cmocka_unit_test(cabac_enc_without_room_leaves_it_to_the_writer),
        cmocka_unit_test(cabac_moves_are_those_of_a_context),
        cmocka_unit_test(cabac_moves_ranges_are_those_of_a_context),
        cmocka_unit_test(cabac_cost_is_the_mean_over_ranges),
        cmocka_unit_test(cabac_cost_is_about_what_is_written),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
