/* The search over candidates: few tries, an end always, and what it finds is
 * what was asked for. */
#include "daemon/candidates.h"

#include "tests/support/cmocka.h"

#include <stdint.h>

/* Runs a search where candidate i passes if passes[i]; the tries it took. */
static size_t search(const bool *passes, size_t count, size_t start,
                     struct candidates *c)
{
    size_t tries = 0, index;
    candidates_init(c, count, start);
    while (candidates_next(c, &index)) {
        assert_true(index < count);
        assert_int_equal(c->states[index], CANDIDATE_UNTRIED);
        candidates_note(c, index, passes[index]);
        assert_true(++tries <= count);
    }
    return tries;
}

static size_t log2_up(size_t n)
{
    size_t log = 0;
    while (((size_t)1 << log) < n)
        log++;
    return log;
}

static void candidates_finds_every_border(void **state)
{
    (void)state;
    bool passes[64];
    struct candidates c;
    size_t found = 0;
    for (size_t count = 1; count <= 40; count++)
        for (size_t start = 0; start < count; start++)
            for (size_t border = 0; border < count; border++) {
                for (size_t i = 0; i < count; i++)
                    passes[i] = i >= border;
                size_t tries = search(passes, count, start, &c);
                assert_true(candidates_best(&c, &found));
                assert_int_equal(found, border);
                assert_true(tries <= 2 * log2_up(count) + 2);
            }
}

static void candidates_starts_where_it_is_told(void **state)
{
    (void)state;
    struct candidates c;
    size_t index = 99;
    candidates_init(&c, 26, 3);
    assert_true(candidates_next(&c, &index));
    assert_int_equal(index, 3);
    candidates_note(&c, 3, true);
    assert_true(candidates_next(&c, &index));
    assert_int_equal(index, 1);
    candidates_note(&c, 1, false);
    assert_true(candidates_next(&c, &index));
    assert_int_equal(index, 2);
    candidates_note(&c, 2, false);
    assert_false(candidates_next(&c, &index));
    assert_true(candidates_best(&c, &index));
    assert_int_equal(index, 3);
}

static void candidates_ends_at_the_last_when_none_passes(void **state)
{
    (void)state;
    const bool passes[64] = {false};
    struct candidates c;
    size_t found;
    for (size_t count = 1; count <= 64; count++)
        for (size_t start = 0; start < count; start += 3) {
            size_t tries = search(passes, count, start, &c);
            assert_false(candidates_best(&c, &found));
            assert_int_equal(c.states[count - 1], CANDIDATE_FAILED);
            assert_true(tries <= log2_up(count) + 2);
        }
}

/* Any pattern of passes and failures: it ends, what is found passed, and the
 * one next to it that is wanted more was tried and failed. */
static void candidates_without_order_finds_one_that_passed(void **state)
{
    (void)state;
    bool passes[12];
    struct candidates c;
    size_t found;
    for (unsigned mask = 0; mask < 1u << 12; mask++)
        for (size_t start = 0; start < 12; start += 4) {
            for (size_t i = 0; i < 12; i++)
                passes[i] = mask >> i & 1;
            search(passes, 12, start, &c);
            if (!candidates_best(&c, &found)) {
                assert_int_equal(c.states[11], CANDIDATE_FAILED);
                continue;
            }
            assert_true(passes[found]);
            assert_true(!found || c.states[found - 1] == CANDIDATE_FAILED);
        }
}

static void candidates_bounds_are_cut(void **state)
{
    (void)state;
    struct candidates c;
    size_t index;
    candidates_init(&c, SIZE_MAX, SIZE_MAX);
    assert_int_equal(c.count, CANDIDATES_MAX);
    assert_true(candidates_next(&c, &index));
    assert_int_equal(index, CANDIDATES_MAX - 1);
    candidates_note(&c, CANDIDATES_MAX, true); /* nothing */
    candidates_init(&c, 0, 0);
    assert_int_equal(c.count, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(candidates_finds_every_border),
        cmocka_unit_test(candidates_starts_where_it_is_told),
        cmocka_unit_test(candidates_ends_at_the_last_when_none_passes),
        cmocka_unit_test(candidates_without_order_finds_one_that_passed),
        cmocka_unit_test(candidates_bounds_are_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
