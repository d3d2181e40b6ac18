/* The trainer of tables: like histograms share one, unlike ones do not, and
 * what it finds does not cost more than what it was given could. */
#include "codec/entropy/cluster.h"

#include "tests/support/cmocka.h"

#include <stdlib.h>
#include <string.h>

#define HISTS 200u

/* Four kinds of histograms, each falling at another pace. */
static void fill(uint32_t (*hist)[FREQ_SYMS], const uint32_t **list)
{
    for (unsigned i = 0; i < HISTS; i++) {
        list[i] = hist[i];
        for (unsigned s = 0; s < FREQ_SYMS; s++)
            hist[i][s] = 100000u >> (s << (i % 4) & 31) | i % 3;
    }
}

static uint64_t cost_of(const uint32_t **list, const struct freq_table *table,
                        unsigned table_count)
{
    uint64_t sum = 0;
    for (unsigned i = 0; i < HISTS; i++) {
        uint64_t least = UINT64_MAX;
        for (unsigned t = 0; t < table_count; t++) {
            uint32_t cost[FREQ_SYMS];
            freq_costs(&table[t], 16, cost);
            uint64_t c = cluster_cost(list[i], cost);
            least = c < least ? c : least;
        }
        sum += least;
    }
    return sum;
}

static void cluster_finds_the_kinds(void **state)
{
    (void)state;
    static uint32_t hist[HISTS][FREQ_SYMS];
    const uint32_t *list[HISTS];
    struct freq_table table[CLUSTER_TABLES_MAX];
    unsigned count = 0;
    uint64_t entropy = 0;
    fill(hist, list);
    assert_int_equal(cluster_tables(list, HISTS, 16, table, &count), STATUS_OK);
    assert_true(count >= 4 && count <= CLUSTER_TABLES_MAX);
    for (unsigned t = 0; t < count; t++)
        assert_int_equal(freq_check(&table[t]), STATUS_OK);
    for (unsigned i = 0; i < HISTS; i++) {
        uint64_t wide[FREQ_SYMS];
        for (unsigned s = 0; s < FREQ_SYMS; s++)
            wide[s] = hist[i][s];
        entropy += freq_entropy(wide);
    }
    uint64_t cost = cost_of(list, table, count);
    assert_true(cost < entropy + entropy / 20);
    assert_true(cost < cost_of(list, table, 1));
}

static void cluster_of_one_kind_is_one_table(void **state)
{
    (void)state;
    static uint32_t hist[FREQ_SYMS] = {1000, 500, 250, 10};
    const uint32_t *list[5] = {hist, hist, hist, hist, hist};
    struct freq_table table[CLUSTER_TABLES_MAX], alone;
    unsigned count = 0;
    assert_int_equal(cluster_tables(list, 5, 16, table, &count), STATUS_OK);
    assert_int_equal(count, 1);
    uint64_t wide[FREQ_SYMS] = {5000, 2500, 1250, 50};
    freq_normalise(wide, &alone);
    assert_memory_equal(table[0].freq, alone.freq, sizeof(alone.freq));
}

static void cluster_takes_empty_histograms(void **state)
{
    (void)state;
    static uint32_t hist[FREQ_SYMS];
    const uint32_t *list[2] = {hist, hist};
    struct freq_table table[CLUSTER_TABLES_MAX];
    unsigned count = 0;
    assert_int_equal(cluster_tables(list, 2, 16, table, &count), STATUS_OK);
    assert_int_equal(count, 1);
    assert_int_equal(freq_check(&table[0]), STATUS_OK);
}

static void cluster_of_many_looks_at_some(void **state)
{
    (void)state;
    static uint32_t hist[HISTS][FREQ_SYMS];
    const uint32_t *list[HISTS];
    const size_t many = 3 * CLUSTER_HISTS_MAX + 7;
    const uint32_t **all = calloc(many, sizeof(*all));
    struct freq_table table[CLUSTER_TABLES_MAX];
    unsigned count = 0;
    assert_non_null(all);
    fill(hist, list);
    for (size_t i = 0; i < many; i++)
        all[i] = list[i / 3 % HISTS];
    assert_int_equal(cluster_tables(all, many, 16, table, &count), STATUS_OK);
    assert_true(count >= 3);
    free(all);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cluster_finds_the_kinds),
        cmocka_unit_test(cluster_of_one_kind_is_one_table),
        cmocka_unit_test(cluster_takes_empty_histograms),
        cmocka_unit_test(cluster_of_many_looks_at_some),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
