/* The decoder's tables are those of their formulas, its fast bins are its plain
 * ones, and codewords that end early or late are noticed. */
#include "codec/entropy/cabac_dec.h"

#include "codec/base/rng.h"
#include "codec/entropy/cabac_dec_fast.h"

#include "tests/support/cmocka.h"

#include <stdlib.h>
#include <string.h>

/* Every state that updates reach from every start of a set. */
static void moves_are_those_of_the_formula(void **state)
{
    (void)state;
    static struct cabac_dec_moves moves;
    cabac_dec_moves_init(&moves);
    uint64_t seed = 1;
    for (unsigned set = 0; set < CABAC_SETS; set++) {
        struct cabac_ctx plain;
        struct cabac_dec_ctx fast;
        cabac_ctx_init(&plain, set);
        cabac_dec_ctx_init(&fast, &moves, set);
        for (unsigned i = 0; i < 20000; i++) {
            seed = seed * 6364136223846793005u + 1442695040888963407u;
            /* Stretches with more of one bin, so that both ends are seen. */
            unsigned bin = (seed >> 60) < (i / 2000 % 2 ? 15 : 1);
            assert_int_equal(fast.slow, plain.slow);
            assert_int_equal(fast.fast, 16 * plain.fast);
            for (unsigned row = 0; row < 8; row++)
                assert_int_equal((uint8_t)(fast.rows >> (8 * row)),
                                 cabac_ctx_range_lps(&plain, 256 + 32 * row));
            cabac_ctx_update(&plain, bin);
            cabac_dec_ctx_move(&fast, &moves, (int)bin);
        }
        cabac_ctx_reset(&plain);
        cabac_dec_ctx_reset(&fast, &moves);
        assert_int_equal(fast.slow, plain.slow);
        assert_int_equal(fast.fast, 16 * plain.fast);
    }
}

static void fill(uint8_t *bytes, size_t size, uint64_t seed)
{
    for (size_t i = 0; i < size; i++) {
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        bytes[i] = (uint8_t)(seed >> 56);
    }
}

static void fast_bins_are_the_plain_ones(void **state)
{
    (void)state;
    static struct cabac_dec_moves moves;
    uint8_t bytes[400];
    struct cabac_ctx plain_ctx[9];
    struct cabac_dec_ctx fast_ctx[9];
    struct cabac_dec plain;
    struct cabac_dec fast;
    cabac_dec_moves_init(&moves);
    fill(bytes, sizeof(bytes), 3);
    cabac_dec_init(&plain, bytes_of(bytes, sizeof(bytes)));
    cabac_dec_init(&fast, bytes_of(bytes, sizeof(bytes)));
    for (unsigned i = 0; i < 9; i++) {
        cabac_ctx_init(&plain_ctx[i], i);
        cabac_dec_ctx_init(&fast_ctx[i], &moves, i);
    }
    for (unsigned i = 0; !cabac_dec_overrun(&plain); i++) {
        struct cabac_dec_ctx *ctx = &fast_ctx[i % 9];
        unsigned bin = cabac_dec_bin(&plain, &plain_ctx[i % 9]);
        cabac_dec_fill(&fast);
        unsigned same = i % 4
                            ? cabac_dec_fast_bin(&fast, ctx, ctx->rows, &moves)
                            : cabac_dec_even_bin(&fast, ctx, &moves);
        assert_int_equal(bin, same);
        assert_int_equal(plain.range, fast.range);
        assert_true(plain.range >= 256 && plain.range <= 510);
        assert_true(plain.value < (uint64_t)plain.range << plain.bits);
        if (i % 7 == 0)
            assert_int_equal(cabac_dec_bypass(&plain, i % 33),
                             cabac_dec_bypass(&fast, i % 33));
    }
    assert_int_equal(cabac_dec_finish(&plain), STATUS_TRUNCATED);
    assert_int_equal(cabac_dec_finish(&fast), STATUS_TRUNCATED);
}

/* The codeword of nothing: range 508, offset 508, its last bit the stop bit. */
static void an_empty_codeword_is_two_bytes(void **state)
{
    (void)state;
    static const uint8_t good[2] = {0xfe, 0x80};
    static const struct {
        uint8_t bytes[3];
        size_t size;
        enum status status;
    } cases[] = {
        {{0xfe, 0x80}, 2, STATUS_OK},
        {{0xfe, 0x81}, 2, STATUS_CORRUPT},    /* padding */
        {{0xfe, 0x00}, 2, STATUS_CORRUPT},    /* no stop bit */
        {{0x7e, 0x80}, 2, STATUS_CORRUPT},    /* no end here */
        {{0xff, 0x80}, 2, STATUS_CORRUPT},    /* beyond the range */
        {{0xfe, 0x80, 0}, 3, STATUS_CORRUPT}, /* a byte more */
        {{0xfe}, 1, STATUS_TRUNCATED},
        {{0}, 0, STATUS_TRUNCATED},
    };
    struct cabac_dec dec;
    cabac_dec_init(&dec, bytes_of(good, sizeof(good)));
    assert_int_equal(cabac_dec_finish(&dec), STATUS_OK);
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        cabac_dec_init(&dec, bytes_of(cases[i].bytes, cases[i].size));
        assert_int_equal(cabac_dec_finish(&dec), cases[i].status);
    }
}

/* Offset 510, of which the first range has 510 values; and after a range reset
 * offset 257 of 256: the bins that follow are defined, the end is refused. */
static void an_offset_outside_of_the_range_is_refused(void **state)
{
    (void)state;
    static const uint8_t all[4] = {0xff, 0, 0, 0};
    static const uint8_t half[4] = {0x80, 0x80, 0, 0x80};
    struct cabac_dec dec;
    cabac_dec_init(&dec, bytes_of(all, sizeof(all)));
    assert_true(dec.value < (uint64_t)dec.range << dec.bits);
    cabac_dec_init(&dec, bytes_of(half, sizeof(half)));
    assert_true(dec.value >= (uint64_t)CABAC_RANGE_RESET << dec.bits);
    cabac_dec_range_reset(&dec);
    for (unsigned i = 0; i < 100; i++) {
        assert_true(dec.value < (uint64_t)dec.range << dec.bits);
        cabac_dec_bypass(&dec, 1);
    }
    cabac_dec_init(&dec, bytes_of(half, 2));
    cabac_dec_range_reset(&dec);
    assert_int_equal(cabac_dec_finish(&dec), STATUS_CORRUPT);
}

static void zeros_follow_the_end_and_are_counted(void **state)
{
    (void)state;
    struct cabac_dec dec;
    cabac_dec_init(&dec, (struct bytes){0});
    assert_false(cabac_dec_overrun(&dec));
    for (unsigned i = 0; i < 20; i++)
        assert_int_equal(cabac_dec_bypass(&dec, 32), 0);
    assert_true(cabac_dec_overrun(&dec));
    assert_int_equal(cabac_dec_finish(&dec), STATUS_TRUNCATED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(moves_are_those_of_the_formula),
        cmocka_unit_test(fast_bins_are_the_plain_ones),
        cmocka_unit_test(an_empty_codeword_is_two_bytes),
        cmocka_unit_test(an_offset_outside_of_the_range_is_refused),
        cmocka_unit_test(zeros_follow_the_end_and_are_counted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
