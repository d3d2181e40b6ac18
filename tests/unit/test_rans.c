/* Interleaved rANS gives symbols back for every number of lanes, checks its
 * end, and survives any words. */
#include "codec/entropy/rans.h"

#include "codec/base/bytes.h"
#include "codec/base/rng.h"

#include "tests/support/cmocka.h"

#include <stdlib.h>
#include <string.h>

#define SYMS_MAX 9000
#define TABLES   3

struct fixture {
    struct freq_table freq[TABLES];
    struct rans_enc_table enc[TABLES];
    struct rans_dec_table dec[TABLES];
    uint16_t syms[SYMS_MAX];
    uint16_t ctx[SYMS_MAX];
    uint8_t out[SYMS_MAX];
    uint8_t words[SYMS_MAX * 2 + 2];
    uint8_t head[4 * RANS_LANES_MAX];
    const uint8_t *first;
    size_t word_count;
    struct rans_dec rans;
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    if (!f)
        return -1;
    for (unsigned t = 0; t < TABLES; t++) {
        uint64_t hist[FREQ_SYMS] = {0};
        for (unsigned s = 0; s < FREQ_SYMS; s++)
            hist[s] = t == 0 ? 1000u >> (s / 2) : t == 1 ? 1 : s == 7;
        freq_normalise(hist, &f->freq[t]);
        rans_enc_table_init(&f->enc[t], &f->freq[t]);
        rans_dec_table_init(&f->dec[t], &f->freq[t]);
    }
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    free(*state);
    return 0;
}

static void fill(struct fixture *f, uint64_t seed)
{
    struct rng_seeded seeded;
    rng_seeded_init(&seeded, seed);
    struct rng rng = rng_from_seeded(&seeded);
    for (size_t i = 0; i < SYMS_MAX; i++) {
        unsigned t = (unsigned)rng_below(&rng, TABLES), s;
        do
            s = (unsigned)rng_below(&rng, FREQ_SYMS);
        while (!f->freq[t].freq[s]);
        f->syms[i] = (uint16_t)(t * FREQ_SYMS + s);
        f->ctx[i] = (uint16_t)(t << RANS_TABLE_SHIFT | (i & 0xfff));
    }
}

static void encode(struct fixture *f, size_t count, unsigned lane_code)
{
    uint32_t state[RANS_LANES_MAX];
    uint8_t *end = f->words + sizeof(f->words);
    f->first = rans_encode(f->enc, f->syms, count, rans_lane_count(lane_code),
                           end, state);
    f->word_count = (size_t)(end - f->first) / 2;
    for (unsigned i = 0; i < RANS_LANES_MAX; i++)
        store_le32(f->head + 4 * i, state[i]);
}

static enum status decode(struct fixture *f, size_t count, size_t word_count,
                          unsigned lane_code, size_t piece)
{
    /* Exact copy, so that a reader past the end is seen by a sanitizer. */
    uint8_t *words = malloc(word_count * 2 + 1);
    assert_non_null(words);
    memcpy(words, f->first, word_count * 2);
    enum status status =
        rans_dec_begin(&f->rans, lane_code, f->head, words, word_count);
    for (size_t i = 0; !status && i < count; i += piece) {
        size_t n = count - i < piece ? count - i : piece;
        rans_dec_syms(&f->rans, f->dec, f->ctx + i, f->out + i, n);
    }
    if (!status)
        status = rans_dec_finish(&f->rans);
    free(words);
    return status;
}

static void rans_gives_symbols_back(void **state)
{
    struct fixture *f = *state;
    static const size_t counts[] = {0, 1, 3, 31, 32, 33, 100, 2049, SYMS_MAX};
    fill(f, 5);
    for (unsigned code = 0; code < RANS_LANE_CODES; code++) {
        for (size_t c = 0; c < sizeof(counts) / sizeof(*counts); c++) {
            encode(f, counts[c], code);
            for (size_t piece = 1; piece <= RANS_BLOCK_MAX;
                 piece = piece * 5 + 2) {
                assert_int_equal(
                    decode(f, counts[c], f->word_count, code, piece),
                    STATUS_OK);
                for (size_t i = 0; i < counts[c]; i++)
                    assert_int_equal(f->out[i], f->syms[i] % FREQ_SYMS);
            }
        }
    }
}

static void rans_size_is_near_entropy(void **state)
{
    struct fixture *f = *state;
    fill(f, 6);
    uint64_t bits = 0;
    for (size_t i = 0; i < SYMS_MAX; i++) {
        uint32_t cost[FREQ_SYMS];
        freq_costs(&f->freq[f->syms[i] / FREQ_SYMS], 0, cost);
        bits += cost[f->syms[i] % FREQ_SYMS];
    }
    bits >>= 16;
    encode(f, SYMS_MAX, 1);
    assert_in_range(f->word_count * 16, bits - 64, bits + bits / 100 + 64);
}

static void rans_finds_missing_words(void **state)
{
    struct fixture *f = *state;
    fill(f, 7);
    for (unsigned code = 0; code < RANS_LANE_CODES; code++) {
        encode(f, 500, code);
        for (size_t cut = 0; cut < f->word_count; cut++)
            assert_int_not_equal(decode(f, 500, cut, code, 100), STATUS_OK);
        assert_int_equal(decode(f, 500, 0, code, 100), STATUS_TRUNCATED);
    }
}

static void rans_finds_left_words_and_wrong_ends(void **state)
{
    struct fixture *f = *state;
    fill(f, 8);
    encode(f, 500, 2);
    assert_int_equal(decode(f, 499, f->word_count, 2, 100), STATUS_CORRUPT);
    assert_int_equal(decode(f, 400, f->word_count, 2, 100), STATUS_CORRUPT);
    f->head[3] ^= 1; /* what no symbol can take up */
    assert_int_not_equal(decode(f, 500, f->word_count, 2, 100), STATUS_OK);
}

static void rans_refuses_a_low_state(void **state)
{
    struct fixture *f = *state;
    fill(f, 9);
    encode(f, 50, 1);
    store_le32(f->head + 12, RANS_STATE_MIN - 1);
    assert_int_equal(decode(f, 50, f->word_count, 1, 50), STATUS_CORRUPT);
}

static void rans_survives_any_words(void **state)
{
    struct fixture *f = *state;
    struct rng_seeded seeded;
    rng_seeded_init(&seeded, 10);
    struct rng rng = rng_from_seeded(&seeded);
    fill(f, 10);
    for (int i = 0; i < 200; i++) {
        unsigned code = (unsigned)rng_below(&rng, RANS_LANE_CODES);
        rng_fill(&rng, f->words, 600);
        rng_fill(&rng, f->head, sizeof(f->head));
        for (unsigned j = 0; j < RANS_LANES_MAX; j++)
            f->head[4 * j + 2] |= 1;
        f->first = f->words;
        enum status status =
            decode(f, SYMS_MAX, rng_below(&rng, 300), code, 2000);
        assert_int_not_equal(status, STATUS_OK);
        for (size_t j = 0; j < SYMS_MAX; j++)
            assert_true(f->out[j] < FREQ_SYMS);
    }
}

/* What is right for one variant on any words at all is what every variant of
 * the loop must give: symbols, states, words used, errors. */
static void rans_variants_agree_on_any_words(void **state)
{
    struct fixture *f = *state;
    struct rng_seeded seeded;
    rng_seeded_init(&seeded, 11);
    struct rng rng = rng_from_seeded(&seeded);
    static struct rans_dec plain;
    static uint8_t syms[SYMS_MAX];
    fill(f, 11);
    for (unsigned i = 0; i < 400; i++) {
        unsigned code = 2 + i % 2;
        rng_fill(&rng, f->words, sizeof(f->words));
        rng_fill(&rng, f->head, sizeof(f->head));
        for (unsigned j = 0; j < RANS_LANES_MAX; j++)
            f->head[4 * j + 2] |= 1;
        size_t words = rng_below(&rng, i % 4 ? 600 : SYMS_MAX);
        assert_int_equal(
            rans_dec_begin(&f->rans, code, f->head, f->words, words),
            STATUS_OK);
        plain = f->rans;
        rans_dec_plain(&plain);
        for (size_t at = 0, n; at < SYMS_MAX; at += n) {
            n = 1 + rng_below(&rng, RANS_BLOCK_MAX);
            n = n < SYMS_MAX - at ? n : SYMS_MAX - at;
            rans_dec_syms(&f->rans, f->dec, f->ctx + at, f->out + at, n);
            rans_dec_syms(&plain, f->dec, f->ctx + at, syms + at, n);
        }
        assert_memory_equal(f->out, syms, SYMS_MAX);
        assert_memory_equal(f->rans.state, plain.state,
                            4 * rans_lane_count(code));
        assert_int_equal(f->rans.end - f->rans.pos, plain.end - plain.pos);
        assert_int_equal(rans_dec_finish(&f->rans), rans_dec_finish(&plain));
    }
}

static void rans_encodes_alike_in_plain_c(void **state)
{
    struct fixture *f = *state;
    static uint8_t words[SYMS_MAX * 2 + 2];
    uint32_t plain[RANS_LANES_MAX], states[RANS_LANES_MAX];
    for (unsigned i = 0; i < 60; i++) {
        size_t count = i < 30 ? i * 5 : i * 70;
        unsigned lanes = rans_lane_count(i % RANS_LANE_CODES);
        fill(f, i);
        uint8_t *end = f->words + sizeof(f->words),
                *end_plain = words + sizeof(words);
        const uint8_t *a =
            rans_encode(f->enc, f->syms, count, lanes, end, states);
        const uint8_t *b =
            rans_encode_plain(f->enc, f->syms, count, lanes, end_plain, plain);
        assert_int_equal(end - a, end_plain - b);
        assert_memory_equal(a, b, (size_t)(end - a));
        assert_memory_equal(states, plain, 4 * lanes);
    }
}

/* The product with the reciprocal is the quotient for every state that can
 * meet a frequency: tried at the ends and next to multiples. */
static void rans_reciprocal_divides_exactly(void **state)
{
    (void)state;
    for (uint32_t freq = 1; freq <= FREQ_SCALE; freq++) {
        struct freq_table table = {{0}, FREQ_SYM_ESCAPE};
        struct rans_enc_table enc;
        table.freq[3] = (uint16_t)freq;
        rans_enc_table_init(&enc, &table);
        uint64_t rcp = enc.sym[3].reciprocal;
        uint64_t end = (uint64_t)freq << 21;
        for (uint64_t k = 1; k < 22; k++) {
            uint64_t near = (end >> k) / freq * freq;
            for (uint64_t x = near ? near - 1 : 0; x < near + 2 && x < end; x++)
                assert_true(x * rcp >> 43 == x / freq);
        }
        assert_true((end - 1) * rcp >> 43 == (end - 1) / freq);
        assert_true((end - 1) <= UINT64_MAX / rcp);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rans_gives_symbols_back),
        cmocka_unit_test(rans_size_is_near_entropy),
        cmocka_unit_test(rans_finds_missing_words),
        cmocka_unit_test(rans_finds_left_words_and_wrong_ends),
        cmocka_unit_test(rans_refuses_a_low_state),
        cmocka_unit_test(rans_survives_any_words),
        cmocka_unit_test(rans_variants_agree_on_any_words),
        cmocka_unit_test(rans_encodes_alike_in_plain_c),
        cmocka_unit_test(rans_reciprocal_divides_exactly),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
