/* The seeded source replays, and bounded draws stay in bounds. */
#include "codec/base/rng.h"

#include "tests/support/cmocka.h"

static void rng_same_seed_same_numbers(void **state)
{
    (void)state;
    struct rng_seeded a, b, c;
    rng_seeded_init(&a, 42);
    rng_seeded_init(&b, 42);
    rng_seeded_init(&c, 43);
    struct rng ra = rng_from_seeded(&a), rb = rng_from_seeded(&b);
    struct rng rc = rng_from_seeded(&c);
    int differ = 0;
    for (int i = 0; i < 1000; i++) {
        uint64_t v = rng_u64(&ra);
        assert_true(v == rng_u64(&rb));
        differ += v != rng_u64(&rc);
    }
    assert_true(differ > 990);
}

static void rng_below_stays_below_and_reaches_all(void **state)
{
    (void)state;
    struct rng_seeded seeded;
    rng_seeded_init(&seeded, 7);
    struct rng rng = rng_from_seeded(&seeded);
    unsigned seen[7] = {0};
    for (int i = 0; i < 7000; i++)
        seen[rng_below(&rng, 7)]++;
    for (int i = 0; i < 7; i++)
        assert_in_range(seen[i], 850, 1150);
    assert_int_equal(rng_below(&rng, 1), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rng_same_seed_same_numbers),
        cmocka_unit_test(rng_below_stays_below_and_reaches_all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
