/* Frequency tables sum up, stay near their histogram, and have one form. */
#include "codec/entropy/freq.h"

#include "codec/base/rng.h"

#include "tests/support/cmocka.h"

#include <string.h>

static unsigned sum_of(const struct freq_table *table)
{
    unsigned sum = 0;
    for (unsigned s = 0; s < FREQ_SYMS; s++)
        sum += table->freq[s];
    return sum;
}

/* Cost of the histogram with the table, in bits, rounded down. */
static uint64_t cost_of(const uint64_t *hist, const struct freq_table *table)
{
    uint32_t cost[FREQ_SYMS];
    uint64_t sum = 0;
    freq_costs(table, 64, cost);
    for (unsigned s = 0; s < FREQ_SYMS; s++)
        sum += hist[s] * cost[s];
    return sum >> 16;
}

static size_t write_table(const struct freq_table *table, uint8_t *buf,
                          size_t cap)
{
    struct writer wr;
    struct bit_writer bw;
    writer_init(&wr, buf, cap);
    bit_writer_init(&bw, &wr);
    freq_write(table, &bw);
    bit_writer_finish(&bw);
    assert_int_equal(writer_status(&wr), STATUS_OK);
    assert_int_equal(wr.size, (freq_bits(table) + 7) / 8);
    return wr.size;
}

static enum status read_table(const uint8_t *buf, size_t size,
                              struct freq_table *table)
{
    struct reader rd;
    struct bit_reader br;
    reader_init(&rd, bytes_of(buf, size));
    bit_reader_init(&br, &rd);
    freq_read(&br, table);
    bit_reader_finish(&br);
    return reader_finish(&rd);
}

/* Geometric, flat, spiky and random shapes. */
static void make_hist(struct rng *rng, int kind, uint64_t *hist)
{
    unsigned centre = (unsigned)rng_below(rng, FREQ_SYMS);
    for (unsigned s = 0; s < FREQ_SYMS; s++) {
        unsigned off = s > centre ? s - centre : centre - s;
        hist[s] = kind == 0   ? rng_below(rng, 1000000) >> off
                  : kind == 1 ? 66 + rng_below(rng, 5)
                  : kind == 2 ? (off ? 1 : UINT64_C(1) << 40)
                              : rng_below(rng, 3) * rng_below(rng, 100);
    }
}

/* log2 by squaring: each square of a number in 1 .. 2 yields one more bit. */
static uint32_t log2_by_squaring(uint64_t v)
{
    unsigned top = 63 - (unsigned)__builtin_clzll(v);
    uint64_t x = top > 31 ? v >> (top - 31) : v << (31 - top);
    uint32_t result = top;
    for (int i = 0; i < 16; i++) {
        x = x * x >> 31;
        uint32_t bit = (uint32_t)(x >> 32);
        x >>= bit;
        result = result << 1 | bit;
    }
    return result;
}

static void freq_log2_agrees_with_squaring(void **state)
{
    (void)state;
    for (uint64_t v = 1; v < 70000; v++)
        assert_in_range(freq_log2(v) + 4, log2_by_squaring(v) + 2,
                        log2_by_squaring(v) + 6);
    for (uint64_t v = 1; v < UINT64_MAX / 5; v = v * 4 + v / 3 + 1)
        assert_in_range(freq_log2(v) + 4, log2_by_squaring(v) + 2,
                        log2_by_squaring(v) + 6);
}

static void freq_log2_is_near_the_bits_of_powers(void **state)
{
    (void)state;
    for (unsigned n = 0; n < 64; n++)
        assert_int_equal(freq_log2((uint64_t)1 << n), n << 16);
    /* log2(3) = 1.58496250, log2(10) = 3.32192809, log2(2^63 - 1) */
    assert_in_range(freq_log2(3), 103868, 103872);
    assert_in_range(freq_log2(10), 217702, 217706);
    assert_in_range(freq_log2(INT64_MAX), (63 << 16) - 4, 63 << 16);
    for (uint64_t v = 1; v < 5000; v++)
        assert_in_range(freq_log2(v + 1), freq_log2(v), freq_log2(2 * v));
    /* log2(ab) = log2 a + log2 b within the error. */
    for (uint64_t a = 3; a < 100; a += 7)
        for (uint64_t b = 1000; b < 1100; b += 13)
            assert_in_range(freq_log2(a * b) + 8, freq_log2(a) + freq_log2(b),
                            freq_log2(a) + freq_log2(b) + 16);
}

static void freq_normalise_sums_and_stays_near_entropy(void **state)
{
    (void)state;
    struct rng_seeded seeded;
    rng_seeded_init(&seeded, 1);
    struct rng rng = rng_from_seeded(&seeded);
    for (int i = 0; i < 400; i++) {
        uint64_t hist[FREQ_SYMS], total = 0;
        make_hist(&rng, i % 4, hist);
        for (unsigned s = 0; s < FREQ_SYMS; s++)
            total += hist[s];
        struct freq_table table;
        freq_normalise(hist, &table);
        assert_int_equal(freq_check(&table), STATUS_OK);
        assert_int_equal(sum_of(&table), FREQ_SCALE);
        uint64_t least = freq_entropy(hist) >> 16;
        uint64_t cost = cost_of(hist, &table);
        /* The logarithm is a little small. */
        assert_true(cost + total / 8192 + 40 >= least);
        assert_true(cost <= least + least / 25 + total / 40 + 40);
    }
}

static void freq_normalise_of_nothing_is_all_escapes(void **state)
{
    (void)state;
    uint64_t hist[FREQ_SYMS] = {0};
    struct freq_table table;
    freq_normalise(hist, &table);
    assert_int_equal(freq_check(&table), STATUS_OK);
    assert_int_equal(table.freq[FREQ_SYM_ESCAPE], FREQ_SCALE);
}

static void freq_normalise_takes_huge_counts(void **state)
{
    (void)state;
    uint64_t hist[FREQ_SYMS];
    for (unsigned s = 0; s < FREQ_SYMS; s++)
        hist[s] = UINT64_MAX / 20;
    struct freq_table table;
    freq_normalise(hist, &table);
    assert_int_equal(freq_check(&table), STATUS_OK);
}

static void freq_normalise_leaves_the_rare_to_the_escape(void **state)
{
    (void)state;
    uint64_t hist[FREQ_SYMS] = {0};
    hist[3] = 1000000;
    hist[5] = 500;
    hist[9] = 2;
    struct freq_table table;
    freq_normalise(hist, &table);
    assert_true(table.freq[5] > 0);
    assert_int_equal(table.freq[9], 0);
    assert_true(table.freq[FREQ_SYM_ESCAPE] > 0);
    uint32_t cost[FREQ_SYMS];
    freq_costs(&table, 20, cost);
    assert_int_equal(cost[9], cost[FREQ_SYM_ESCAPE] + (20 << 16));
}

static void freq_form_comes_back_and_is_small(void **state)
{
    (void)state;
    struct rng_seeded seeded;
    rng_seeded_init(&seeded, 2);
    struct rng rng = rng_from_seeded(&seeded);
    for (int i = 0; i < 400; i++) {
        uint64_t hist[FREQ_SYMS];
        make_hist(&rng, i % 4, hist);
        struct freq_table table, back;
        freq_normalise(hist, &table);
        uint8_t buf[FREQ_TABLE_BITS_MAX / 8];
        size_t size = write_table(&table, buf, sizeof(buf));
        assert_int_equal(read_table(buf, size, &back), STATUS_OK);
        assert_memory_equal(&table, &back, sizeof(table));
        for (size_t cut = 0; cut < size; cut++)
            assert_int_not_equal(read_table(buf, cut, &back), STATUS_OK);
        if (i % 4 == 0)
            assert_in_range(size, 5, 24);
    }
}

static void freq_read_accepts_only_what_write_makes(void **state)
{
    (void)state;
    struct rng_seeded seeded;
    rng_seeded_init(&seeded, 3);
    struct rng rng = rng_from_seeded(&seeded);
    unsigned good = 0;
    for (int i = 0; i < 20000; i++) {
        uint64_t hist[FREQ_SYMS];
        struct freq_table table;
        uint8_t buf[FREQ_TABLE_BITS_MAX / 8], again[sizeof(buf)];
        make_hist(&rng, i % 4, hist);
        if (i % 16 == 0) {
            freq_normalise(hist, &table);
            write_table(&table, buf, sizeof(buf));
        }
        buf[rng_below(&rng, 16)] ^= (uint8_t)(1 << rng_below(&rng, 8));
        struct reader rd;
        struct bit_reader br;
        reader_init(&rd, bytes_of(buf, sizeof(buf)));
        bit_reader_init(&br, &rd);
        freq_read(&br, &table);
        if (reader_status(&rd))
            continue;
        good++;
        assert_int_equal(freq_check(&table), STATUS_OK);
        size_t size = write_table(&table, again, sizeof(again));
        assert_memory_equal(again, buf, size - 1);
    }
    assert_true(good > 100);
}

static void freq_check_refuses_broken_tables(void **state)
{
    (void)state;
    struct freq_table table = {{0}, FREQ_SYM_ESCAPE};
    table.freq[FREQ_SYM_ESCAPE] = FREQ_SCALE;
    assert_int_equal(freq_check(&table), STATUS_OK);
    table.freq[0] = 1;
    assert_int_equal(freq_check(&table), STATUS_CORRUPT); /* sum */
    table.freq[FREQ_SYM_ESCAPE] = FREQ_SCALE - 1;
    assert_int_equal(freq_check(&table), STATUS_OK);
    table.freq[0] = 17;
    table.freq[FREQ_SYM_ESCAPE] = FREQ_SCALE - 17;
    assert_int_equal(freq_check(&table), STATUS_CORRUPT); /* no form */
    table.pivot = 0;
    table.freq[FREQ_SYM_ESCAPE] = 0;
    table.freq[0] = FREQ_SCALE;
    assert_int_equal(freq_check(&table), STATUS_CORRUPT); /* no escape */
    table.pivot = FREQ_SYMS;
    assert_int_equal(freq_check(&table), STATUS_CORRUPT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(freq_log2_agrees_with_squaring),
        cmocka_unit_test(freq_log2_is_near_the_bits_of_powers),
        cmocka_unit_test(freq_normalise_sums_and_stays_near_entropy),
        cmocka_unit_test(freq_normalise_of_nothing_is_all_escapes),
        cmocka_unit_test(freq_normalise_takes_huge_counts),
        cmocka_unit_test(freq_normalise_leaves_the_rare_to_the_escape),
        cmocka_unit_test(freq_form_comes_back_and_is_small),
        cmocka_unit_test(freq_read_accepts_only_what_write_makes),
        cmocka_unit_test(freq_check_refuses_broken_tables),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
