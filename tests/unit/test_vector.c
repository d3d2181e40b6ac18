/* Version vectors of the fleet and of models. */
#include "protocol/gossip/vector.h"

#include "codec/base/rng.h"
#include "tests/support/cmocka.h"

#include <stdlib.h>

static struct vector_entry entry(uint8_t slot, uint64_t epoch, uint64_t seq,
                                 uint8_t hash)
{
    struct vector_entry e = {.epoch = epoch, .seq = seq};
    e.slot.b[0] = slot;
    e.hash[0] = hash;
    return e;
}

static void epoch_beats_seq(void **state)
{
    (void)state;
    struct vector_entry old = entry(1, 1, UINT64_MAX, 7);
    struct vector_entry new = entry(1, 2, 0, 3);
    assert_int_equal(vector_entry_compare(&old, &new), VECTOR_BEFORE);
    assert_int_equal(vector_entry_compare(&new, &old), VECTOR_AFTER);
    assert_int_equal(vector_entry_compare(&new, &new), VECTOR_EQUAL);
    struct vector_entry fork = entry(1, 2, 0, 4);
    assert_int_equal(vector_entry_compare(&new, &fork), VECTOR_FORK);
    struct vector_entry later = entry(1, 2, 1, 0);
    assert_int_equal(vector_entry_compare(&new, &later), VECTOR_BEFORE);
}

static void vectors_compare_by_slot(void **state)
{
    (void)state;
    struct vector_entry a[] = {entry(1, 0, 1, 1), entry(2, 0, 5, 1)};
    struct vector_entry b[] = {entry(1, 0, 1, 1), entry(2, 0, 6, 1),
                               entry(9, 0, 1, 1)};
    struct vector_entry c[] = {entry(1, 0, 2, 1)};
    struct vector_entry f[] = {entry(1, 0, 1, 2), entry(2, 0, 5, 1)};
    assert_int_equal(vector_compare(a, 2, a, 2), VECTOR_EQUAL);
    assert_int_equal(vector_compare(a, 0, b, 0), VECTOR_EQUAL);
    assert_int_equal(vector_compare(a, 2, b, 3), VECTOR_BEFORE);
    assert_int_equal(vector_compare(b, 3, a, 2), VECTOR_AFTER);
    assert_int_equal(vector_compare(a, 2, c, 1), VECTOR_CONCURRENT);
    assert_int_equal(vector_compare(a, 2, f, 2), VECTOR_CONCURRENT);
    assert_int_equal(vector_compare(a, 0, b, 1), VECTOR_BEFORE);
}

static size_t random_vector(const struct rng *rng, struct vector_entry *out)
{
    size_t count = 0;
    for (unsigned slot = 0; slot < 20; slot++)
        if (rng_below(rng, 2))
            out[count++] = entry((uint8_t)slot, rng_below(rng, 2),
                                 rng_below(rng, 3), (uint8_t)rng_below(rng, 2));
    return count;
}

static void join_is_a_semilattice(void **state)
{
    (void)state;
    struct rng_seeded seeded;
    rng_seeded_init(&seeded, 5);
    struct rng rng = rng_from_seeded(&seeded);
    for (unsigned round = 0; round < 200; round++) {
        struct vector_entry a[20], b[20], c[20], x[60], y[60], z[60];
        size_t na = random_vector(&rng, a), nb = random_vector(&rng, b);
        size_t nc = random_vector(&rng, c);
        size_t nx = vector_join(a, na, b, nb, x);
        size_t ny = vector_join(b, nb, a, na, y);
        assert_int_equal(nx, ny);
        assert_memory_equal(x, y, nx * sizeof(x[0]));
        ny = vector_join(x, nx, x, nx, y);
        assert_int_equal(nx, ny);
        assert_memory_equal(x, y, nx * sizeof(x[0]));
        /* (a b) c is a (b c). */
        size_t nz = vector_join(x, nx, c, nc, z);
        nx = vector_join(b, nb, c, nc, x);
        ny = vector_join(a, na, x, nx, y);
        assert_int_equal(ny, nz);
        assert_memory_equal(y, z, ny * sizeof(y[0]));
    }
}

static struct vector_model model(uint64_t a, uint64_t bb)
{
    struct vector_model v = {0};
    if (bb)
        assert_int_equal(vector_model_set(&v, bytes_of_text("bb"), bb), 0);
    if (a)
        assert_int_equal(vector_model_set(&v, bytes_of_text("a"), a), 0);
    return v;
}

static void model_vectors_are_a_partial_order(void **state)
{
    (void)state;
    struct vector_model v10 = model(1, 0), v11 = model(1, 1);
    struct vector_model v20 = model(2, 0), v01 = model(0, 1);
    assert_int_equal(vector_model_compare(&v10, &v10), VECTOR_EQUAL);
    assert_int_equal(vector_model_compare(&v10, &v11), VECTOR_BEFORE);
    assert_int_equal(vector_model_compare(&v11, &v10), VECTOR_AFTER);
    assert_int_equal(vector_model_compare(&v20, &v11), VECTOR_CONCURRENT);
    assert_int_equal(vector_model_compare(&v10, &v01), VECTOR_CONCURRENT);
    assert_true(bytes_equal(v11.ticks[0].role, bytes_of_text("a")));
    assert_int_equal(vector_model_join(&v20, &v11), STATUS_OK);
    assert_int_equal(vector_model_get(&v20, bytes_of_text("a")), 2);
    assert_int_equal(vector_model_get(&v20, bytes_of_text("bb")), 1);
    assert_int_equal(vector_model_get(&v20, bytes_of_text("c")), 0);
}

static void model_vector_is_bounded(void **state)
{
    (void)state;
    struct vector_model v = {0};
    char names[LIMIT_VECTOR + 1][2];
    for (unsigned i = 0; i <= LIMIT_VECTOR; i++) {
        names[i][0] = (char)('a' + i);
        names[i][1] = 0;
        assert_int_equal(vector_model_set(&v, bytes_of_text(names[i]), 1),
                         i < LIMIT_VECTOR ? STATUS_OK : STATUS_LIMIT);
    }
    struct vector_model w = {0};
    assert_int_equal(vector_model_set(&w, bytes_of_text("zz"), 1), STATUS_OK);
    assert_int_equal(vector_model_join(&v, &w), STATUS_LIMIT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(epoch_beats_seq),
        cmocka_unit_test(vectors_compare_by_slot),
        cmocka_unit_test(join_is_a_semilattice),
        cmocka_unit_test(model_vectors_are_a_partial_order),
        cmocka_unit_test(model_vector_is_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
