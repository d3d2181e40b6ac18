/* Levels come back whatever the settings; what cannot be coded is refused; the
 * search costs about what it says and does not choose what is longer. */
#include "codec/nnc/levels_enc.h"
#include "codec/nnc/levels_search.h"
#include "codec/nnc/levels_unary.h"

#include "codec/base/rng.h"
#include "codec/entropy/cabac_cost.h"
#include "codec/entropy/cabac_dec.h"
#include "codec/nnc/levels_dec.h"

#include "tests/support/cmocka.h"
#include "tests/support/level_make.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define ELEMS 2400

struct fixture {
    struct levels_search *search;
    struct levels_dec *dec;
    struct rng_seeded seeded;
    struct rng rng;
    int32_t levels[ELEMS], temporal[ELEMS], out[ELEMS];
    uint8_t history[ELEMS];
    struct levels_choice choice;
    struct levels_entries entries;
};

static const struct levels_freedom all_free = {true, true, true, true,
                                               true, true, true};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    if (!f || levels_search_new(&f->search) || levels_dec_new(&f->dec))
        return -1;
    rng_seeded_init(&f->seeded, 1);
    f->rng = rng_from_seeded(&f->seeded);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    levels_search_free(f->search);
    levels_dec_free(f->dec);
    free(f->entries.entry);
    free(f);
    return 0;
}

static struct level_coding coding_of(uint64_t rows, uint64_t columns)
{
    return (struct level_coding){.elem_count = rows * columns,
                                 .row_elems = columns,
                                 .profile = 1,
                                 .unary = 10};
}

/* Small numbers mostly, one in eight rows all zero. */
static void fill(struct fixture *f, const struct level_coding *c, int scale)
{
    for (uint64_t i = 0; i < c->elem_count; i++) {
        uint32_t r = (uint32_t)rng_below(&f->rng, 1u << 16);
        int32_t v = (int32_t)(r % 7) * (r % 5 == 0) + (r % 97 == 0) * scale;
        bool zero = i / c->row_elems % 8 == 3;
        f->levels[i] = zero ? 0 : r & 1 << 12 ? -v : v;
        f->temporal[i] = (int32_t)rng_below(&f->rng, 5) - 2;
        f->history[i] = rng_below(&f->rng, 3) == 0;
    }
    level_make(c, f->levels);
}

/* Encodes with a search of that freedom and decodes; returns bytes. */
static size_t trip(struct fixture *f, const struct levels_freedom *freedom,
                   struct level_coding coding, uint64_t *cost)
{
    const struct level_order *order;
    struct cabac_enc enc;
    struct writer wr;
    writer_init_heap(&wr, 1u << 20);
    f->choice.row_skip = false;
    f->choice.history = false;
    f->entries.count = 0;
    assert_int_equal(levels_search_run(f->search, freedom, &coding, f->levels,
                                       &f->choice, &order, cost),
                     STATUS_OK);
    cabac_enc_init(&enc, &wr);
    assert_int_equal(levels_enc(&enc, order, &f->choice, &f->entries),
                     STATUS_OK);
    cabac_enc_finish(&enc);
    levels_dec_begin(f->dec, writer_view(&wr));
    assert_int_equal(levels_dec_tensor(f->dec, &coding, f->out), STATUS_OK);
    assert_int_equal(levels_dec_finish(f->dec), STATUS_OK);
    assert_memory_equal(f->out, f->levels,
                        coding.elem_count * sizeof f->levels[0]);
    size_t size = wr.size;
    writer_deinit(&wr);
    return size;
}

static void levels_come_back_with_every_setting(void **state)
{
    static const uint64_t shapes[][2] = {{1, 1},   {7, 1},  {1, 9},   {2, 2},
                                         {13, 21}, {40, 9}, {16, 64}, {70, 33}};
    struct fixture *f = *state;
    uint64_t cost;
    for (unsigned i = 0; i < 8 * 5 * 2 * 4; i++) {
        struct level_coding c = coding_of(shapes[i % 8][0], shapes[i % 8][1]);
        struct levels_freedom freedom = all_free;
        c.scan_order = (uint8_t)(i / 8 % 5);
        c.dq = i / 40 % 2;
        c.has_parent = i / 80 & 1;
        if (i / 80 == 3) {
            c.temporal = f->temporal;
            c.history = f->history;
        }
        freedom.scan = i % 3 != 0;
        freedom.uniform = i % 5 != 0;
        fill(f, &c, 1 << (i % 20));
        (void)trip(f, &freedom, c, &cost);
    }
}

static void levels_come_back_with_every_unary_length(void **state)
{
    static const struct levels_freedom sets = {.sets = true};
    struct fixture *f = *state;
    uint64_t cost;
    for (uint16_t unary = 1; unary <= LEVEL_UNARY_MAX; unary += 15) {
        struct level_coding c = coding_of(24, 25);
        c.unary = unary;
        fill(f, &c, 270);
        (void)trip(f, &sets, c, &cost);
    }
}

static void levels_of_any_codebook_come_back(void **state)
{
    struct fixture *f = *state;
    uint64_t cost;
    for (uint32_t size = 1; size < 60; size += size < 8 ? 1 : 13) {
        for (uint32_t zero = 0; zero < size; zero += size < 8 ? 1 : 11) {
            for (uint16_t unary = 1; unary < 14; unary += 3) {
                struct level_coding c = coding_of(20, 25);
                struct levels_freedom freedom = all_free;
                c.codebook_size = size;
                c.codebook_zero = zero;
                c.unary = unary;
                freedom.unary = unary == 10;
                if (zero % 2) {
                    c.has_parent = true;
                    c.temporal = f->temporal;
                }
                fill(f, &c, 3);
                (void)trip(f, &freedom, c, &cost);
            }
        }
    }
}

static void levels_of_32_bits_come_back(void **state)
{
    struct fixture *f = *state;
    struct level_coding c = coding_of(4, 4);
    uint64_t cost;
    for (int i = 0; i < 16; i++)
        f->levels[i] = i % 3 == 0   ? INT32_MAX - i
                       : i % 3 == 1 ? INT32_MIN + (i > 1 ? i : 0)
                                    : i - 8;
    (void)trip(f, &all_free, c, &cost);
    c.profile = 0;
    (void)trip(f, &all_free, c, &cost);
}

static void levels_that_no_state_has_are_refused(void **state)
{
    struct fixture *f = *state;
    struct level_coding c = coding_of(2, 3);
    struct level_order order = {0};
    /* The first state is an even one. */
    memset(f->levels, 0, sizeof f->levels);
    f->levels[0] = 1;
    c.dq = true;
    assert_int_equal(level_order_set(&order, &c, f->levels, false),
                     STATUS_USAGE);
    f->levels[0] = 2; /* k = 1, and state 2 is even */
    f->levels[1] = 3;
    assert_int_equal(level_order_set(&order, &c, f->levels, false),
                     STATUS_USAGE);
    f->levels[1] = 4;
    assert_int_equal(level_order_set(&order, &c, f->levels, false), STATUS_OK);
    level_order_deinit(&order);
}

static void levels_outside_of_the_codebook_are_refused(void **state)
{
    struct fixture *f = *state;
    struct level_coding c = coding_of(2, 3);
    struct level_order order = {0};
    c.codebook_size = 4;
    c.codebook_zero = 1;
    memset(f->levels, 0, sizeof f->levels);
    for (int32_t v = -3; v <= 4; v++) {
        f->levels[5] = v;
        assert_int_equal(level_order_set(&order, &c, f->levels, false),
                         v < -1 || v > 2 ? STATUS_USAGE : STATUS_OK);
    }
    level_order_deinit(&order);
}

/* Rows of zeros, of which some were skipped and some not, move the states
 * differently; it must be found out which. */
static void levels_with_some_zero_rows_skipped_are_understood(void **state)
{
    struct fixture *f = *state;
    struct level_coding c = coding_of(24, 33);
    struct levels_freedom freedom = all_free;
    struct level_order order = {.coding = c, .rows = 24, .block = 8};
    struct level_cursor cur = {0};
    struct level_piece p;
    unsigned s = 0;
    uint64_t cost;
    c.scan_order = 1;
    c.dq = true;
    while (level_order_next(&order, &cur, &p)) {
        bool zero = p.row % 4 == 1, skipped = zero && p.row % 8 == 5;
        for (uint64_t i = 0; i < p.count; i++) {
            int32_t k =
                zero ? 0 : (int32_t)((p.first + i) * 2654435761u >> 29) - 3;
            f->levels[p.first + i] = dq_state_level(s, k);
            s = skipped ? s : dq_state_next(s, k);
        }
        if (skipped)
            s = dq_state_after_zeros(s, 33);
    }
    freedom.uniform = false;
    (void)trip(f, &freedom, c, &cost);
}

static void levels_search_costs_about_what_is_written(void **state)
{
    struct fixture *f = *state;
    uint64_t cost;
    for (unsigned i = 0; i < 16; i++) {
        struct level_coding c = coding_of(48, 50);
        c.dq = i & 1;
        c.scan_order = (uint8_t)(i & 2);
        c.has_parent = i & 4;
        c.temporal = i & 4 ? f->temporal : NULL;
        fill(f, &c, i & 8 ? 5000 : 4);
        size_t size = trip(f, &all_free, c, &cost);
        double bits = (double)cost / CABAC_COST_ONE;
        /* Entry points and the unary length are in the header. */
        bits -= 24.0 * (double)f->entries.count;
        assert_true(fabs(bits - 8.0 * (double)size) < 24 + bits / 50);
    }
}

static void levels_search_is_not_longer_than_no_choice(void **state)
{
    static const struct levels_freedom none = {false, false, false, false,
                                               false, false, false};
    struct fixture *f = *state;
    uint64_t cost;
    for (unsigned i = 0; i < 12; i++) {
        struct level_coding c = coding_of(1 + i * 9, 20);
        c.dq = i & 1;
        fill(f, &c, i & 2 ? 100 : 1);
        size_t chosen = trip(f, &all_free, c, &cost);
        assert_true(chosen <= trip(f, &none, c, &cost) + 1);
    }
}

static void levels_unary_guess_follows_magnitudes(void **state)
{
    struct levels_unary *work = calloc(1, sizeof *work);
    struct fixture *f = *state;
    bool sure;
    assert_non_null(work);
    levels_unary_init(work);
    for (int i = 0; i < ELEMS; i++)
        f->levels[i] = 100000 + i * 77 % 5000;
    assert_true(levels_unary_guess(work, f->levels, ELEMS, &sure) <= 2);
    for (int i = 0; i < ELEMS; i++)
        f->levels[i] = i % 2 ? 13 : 0; /* suffixes would tell that each time */
    assert_true(levels_unary_guess(work, f->levels, ELEMS, &sure) >= 12);
    free(work);
}

/* Flags, list and states of two tensors in one codeword, with blocks in both:
 * what the entry points say must be what a decoder has there. */
static void levels_entries_hold_the_offset_of_a_decoder(void **state)
{
    struct fixture *f = *state;
    struct level_coding c = coding_of(20, 9);
    const struct level_order *order;
    struct levels_freedom freedom = {.sets = false};
    struct cabac_enc enc;
    struct writer wr;
    uint64_t cost;
    c.scan_order = 1;
    memset(f->levels, 0, sizeof f->levels);
    writer_init_heap(&wr, 1u << 16);
    assert_int_equal(levels_search_run(f->search, &freedom, &c, f->levels,
                                       &f->choice, &order, &cost),
                     STATUS_OK);
    f->entries.count = 0;
    cabac_enc_init(&enc, &wr);
    assert_int_equal(levels_enc(&enc, order, &f->choice, &f->entries),
                     STATUS_OK);
    cabac_enc_finish(&enc);
    assert_int_equal(f->entries.count, 2);
    /* All bins are zeros of one context; walk them as a decoder does. */
    struct cabac_dec dec;
    struct cabac_ctx shift, sig;
    cabac_dec_init(&dec, writer_view(&wr));
    assert_int_equal(cabac_dec_bypass(&dec, 1), 0);
    cabac_ctx_init(&shift, 0);
    for (int i = 0; i < 3 + 3 + 20 + 31; i++)
        assert_int_equal(cabac_dec_bin(&dec, &shift), 0);
    cabac_dec_range_reset(&dec);
    for (int part = 0; part < 2; part++) {
        cabac_ctx_init(&sig, 0);
        for (int i = 0; i < 8 * 9; i++)
            assert_int_equal(cabac_dec_bin(&dec, &sig), 0);
        cabac_dec_range_reset(&dec);
        assert_int_equal(
            levels_entry_value(&f->entries.entry[part], wr.data, wr.size),
            dec.value >> dec.bits);
    }
    writer_deinit(&wr);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(levels_come_back_with_every_setting),
        cmocka_unit_test(levels_come_back_with_every_unary_length),
        cmocka_unit_test(levels_of_any_codebook_come_back),
        cmocka_unit_test(levels_of_32_bits_come_back),
        cmocka_unit_test(levels_that_no_state_has_are_refused),
        cmocka_unit_test(levels_outside_of_the_codebook_are_refused),
        cmocka_unit_test(levels_with_some_zero_rows_skipped_are_understood),
        cmocka_unit_test(levels_search_costs_about_what_is_written),
        cmocka_unit_test(levels_search_is_not_longer_than_no_choice),
        cmocka_unit_test(levels_unary_guess_follows_magnitudes),
        cmocka_unit_test(levels_entries_hold_the_offset_of_a_decoder),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
