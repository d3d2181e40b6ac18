/* Digest tries against a model that hashes the definition afresh, and the
 * descent of two tries until they are equal. */
#include "protocol/gossip/trie.h"

#include "codec/base/rng.h"
#include "codec/base/writer.h"
#include "tests/support/cmocka.h"

#include <stdlib.h>

static struct vector_entry random_entry(const struct rng *rng, unsigned spread)
{
    struct vector_entry e = {.epoch = rng_below(rng, 2),
                             .seq = 1 + rng_below(rng, 3)};
    rng_fill(rng, e.slot.b, SLOT_ID_BYTES);
    /* Crowd some under few prefixes, so that the trie grows deep. */
    for (unsigned i = 0; i < spread; i++)
        e.slot.b[i] &= 0x11;
    rng_fill(rng, e.hash, VECTOR_HASH_BYTES);
    return e;
}

/* ---- the definition, without any cache ---- */

static unsigned nibble(const struct slot_id *slot, unsigned i)
{
    return i % 2 ? slot->b[i / 2] & 15u : slot->b[i / 2] >> 4;
}

static void model_hash(const struct vector_entry *e, size_t count,
                       unsigned depth, struct hash *out)
{
    uint8_t buf[1 + 16 * TRIE_CHILD_BYTES + 31 * VECTOR_ENTRY_BYTES];
    struct writer wr;
    *out = (struct hash){{0}};
    if (!count)
        return;
    writer_init(&wr, buf, sizeof(buf));
    writer_u8(&wr, count > 31);
    for (size_t i = 0; count <= 31 && i < count; i++) {
        writer_bytes(&wr, e[i].slot.b, 16);
        writer_be64(&wr, e[i].epoch);
        writer_be64(&wr, e[i].seq);
        writer_bytes(&wr, e[i].hash, 8);
    }
    for (size_t c = 0, at = 0; count > 31 && c < 16; c++) {
        size_t start = at;
        struct hash child;
        while (at < count && nibble(&e[at].slot, depth) == c)
            at++;
        model_hash(e + start, at - start, depth + 1, &child);
        writer_bytes(&wr, child.b, 12);
    }
    assert_int_equal(wr.status, STATUS_OK);
    hash_bytes(HASH_TRIE, writer_view(&wr), out);
}

static void assert_root_is_model(struct trie *t)
{
    struct trie_prefix all = {0};
    struct hash expected;
    size_t count;
    const struct vector_entry *e = trie_entries(t, &all, &count);
    assert_int_equal(count, trie_count(t));
    model_hash(e, count, 0, &expected);
    struct trie_root root = trie_root(t);
    assert_memory_equal(root.b, expected.b, TRIE_ROOT_BYTES);
}

static struct trie *new_trie(void)
{
    struct trie *t;
    assert_int_equal(trie_new(&t), STATUS_OK);
    return t;
}

static void empty_root_is_zero(void **state)
{
    (void)state;
    struct trie *t = new_trie();
    struct trie_root zero = {{0}}, root = trie_root(t);
    assert_memory_equal(root.b, zero.b, TRIE_ROOT_BYTES);
    struct vector_entry e = {.seq = 1};
    assert_int_equal(trie_put(t, &e), STATUS_OK);
    root = trie_root(t);
    assert_memory_not_equal(root.b, zero.b, TRIE_ROOT_BYTES);
    trie_remove(t, &e.slot);
    root = trie_root(t);
    assert_memory_equal(root.b, zero.b, TRIE_ROOT_BYTES);
    trie_remove(t, &e.slot);
    trie_free(t);
}

static void root_follows_random_changes(void **state)
{
    (void)state;
    for (unsigned spread = 0; spread < 3; spread++) {
        struct rng_seeded seeded;
        rng_seeded_init(&seeded, 11 + spread);
        struct rng rng = rng_from_seeded(&seeded);
        struct trie *t = new_trie();
        struct vector_entry known[700];
        size_t count = 0;
        for (unsigned step = 0; step < 1200; step++) {
            bool add =
                step < 700 ? rng_below(&rng, 4) != 0 : rng_below(&rng, 4) == 0;
            if (add && count < 700) {
                known[count] = random_entry(&rng, spread);
                assert_int_equal(trie_put(t, &known[count++]), STATUS_OK);
            } else if (count) {
                size_t i = (size_t)rng_below(&rng, count);
                if (rng_below(&rng, 2)) {
                    known[i].seq += 10;
                    assert_int_equal(trie_put(t, &known[i]), STATUS_OK);
                } else {
                    trie_remove(t, &known[i].slot);
                    known[i] = known[--count];
                }
            }
            if (step % 7 == 0)
                assert_root_is_model(t);
        }
        for (size_t i = 0; i < count; i++)
            assert_true(trie_find(t, &known[i].slot)->seq == known[i].seq);
        trie_free(t);
    }
}

static void order_of_changes_does_not_matter(void **state)
{
    (void)state;
    struct rng_seeded seeded;
    rng_seeded_init(&seeded, 3);
    struct rng rng = rng_from_seeded(&seeded);
    struct trie *a = new_trie(), *b = new_trie();
    struct vector_entry e[200];
    for (unsigned i = 0; i < 200; i++)
        e[i] = random_entry(&rng, 1);
    for (unsigned i = 0; i < 200; i++) {
        assert_int_equal(trie_put(a, &e[i]), STATUS_OK);
        assert_int_equal(trie_put(b, &e[199 - i]), STATUS_OK);
        (void)trie_root(b);
    }
    struct trie_root x = trie_root(a), y = trie_root(b);
    assert_memory_equal(x.b, y.b, TRIE_ROOT_BYTES);
    trie_free(a);
    trie_free(b);
}

static void a_node_with_32_entries_shows_children(void **state)
{
    (void)state;
    struct trie *t = new_trie();
    struct trie_prefix all = {0};
    struct trie_children children;
    for (unsigned i = 0; i < 32; i++) {
        struct vector_entry e = {.seq = 1};
        assert_true(trie_node(t, &all, &children));
        e.slot.b[0] = (uint8_t)(i << 3);
        assert_int_equal(trie_put(t, &e), STATUS_OK);
    }
    assert_false(trie_node(t, &all, &children));
    struct trie_prefix child = trie_prefix_child(&all, 15);
    assert_true(trie_prefix_valid(&child));
    size_t count;
    const struct vector_entry *e = trie_entries(t, &child, &count);
    assert_int_equal(count, 2);
    assert_int_equal(e[1].slot.b[0], 0xf8);
    trie_free(t);
}

static void prefixes_of_peers_are_checked(void **state)
{
    (void)state;
    struct trie_prefix p = {.nibbles = 1, .b = {0xa0}};
    assert_true(trie_prefix_valid(&p));
    p.b[0] = 0xa1;
    assert_false(trie_prefix_valid(&p));
    p.nibbles = 33;
    assert_false(trie_prefix_valid(&p));
    p.nibbles = 32;
    assert_true(trie_prefix_valid(&p));
    struct trie *t = new_trie();
    struct trie_children zero = {{{0}}};
    assert_int_equal(trie_differing_children(t, &p, &zero), 0);
    trie_free(t);
}

static void no_call(void *ctx, enum trie_move move, const struct slot_id *slot)
{
    (void)ctx;
    (void)move;
    (void)slot;
    fail();
}

static void unsorted_or_foreign_entries_are_refused(void **state)
{
    (void)state;
    struct trie *t = new_trie();
    struct trie_prefix p = {.nibbles = 1, .b = {0xa0}};
    struct vector_entry e[2] = {{.seq = 1}, {.seq = 1}};
    e[0].slot.b[0] = 0xa2;
    e[1].slot.b[0] = 0xa1;
    assert_false(trie_reconcile(t, &p, e, 2, no_call, NULL));
    e[1].slot.b[0] = 0xa2;
    assert_false(trie_reconcile(t, &p, e, 2, no_call, NULL));
    e[1].slot.b[0] = 0xb0;
    assert_false(trie_reconcile(t, &p, e, 2, no_call, NULL));
    e[0].slot.b[0] = 0x9f;
    assert_false(trie_reconcile(t, &p, e, 1, no_call, NULL));
    trie_free(t);
}

/* ---- descent ---- */

struct pair {
    struct trie *own, *peer;
    unsigned messages;
};

/* Both sides take the newer entry; of a fork the greater hash, in place of the
 * proof that trust would make. */
static void exchange(void *ctx, enum trie_move move, const struct slot_id *slot)
{
    struct pair *p = ctx;
    struct trie *from = move == TRIE_WANT ? p->peer : p->own;
    struct trie *to = move == TRIE_WANT ? p->own : p->peer;
    struct vector_entry e = *trie_find(from, slot);
    const struct vector_entry *held = trie_find(to, slot);
    struct vector_entry joined[2];
    size_t count = vector_join(&e, 1, held, held ? 1 : 0, joined);
    assert_int_equal(count, 1);
    assert_int_equal(trie_put(to, &joined[0]), STATUS_OK);
}

/* What own does when peer shows its node at prefix. */
static void descend(struct pair *p, const struct trie_prefix *prefix)
{
    struct trie_children children;
    size_t count;
    p->messages++;
    if (trie_node(p->peer, prefix, &children)) {
        const struct vector_entry *e = trie_entries(p->peer, prefix, &count);
        struct vector_entry *copy = malloc((count + 1) * sizeof(*copy));
        assert_non_null(copy);
        memcpy(copy, e, count * sizeof(*copy));
        /* Collect first: on_slot may not change the trie under it. */
        struct trie *before = new_trie();
        size_t own_count;
        const struct vector_entry *own =
            trie_entries(p->own, prefix, &own_count);
        for (size_t i = 0; i < own_count; i++)
            assert_int_equal(trie_put(before, &own[i]), STATUS_OK);
        assert_true(trie_reconcile(before, prefix, copy, count, exchange, p));
        trie_free(before);
        free(copy);
        return;
    }
    uint16_t mask = trie_differing_children(p->own, prefix, &children);
    for (unsigned i = 0; i < 16; i++)
        if (mask >> i & 1) {
            struct trie_prefix child = trie_prefix_child(prefix, i);
            struct pair turned = {p->peer, p->own, 0};
            descend(&turned, &child);
            p->messages += turned.messages;
        }
}

static void descent_makes_two_tries_equal(void **state)
{
    (void)state;
    struct rng_seeded seeded;
    rng_seeded_init(&seeded, 77);
    struct rng rng = rng_from_seeded(&seeded);
    for (unsigned round = 0; round < 30; round++) {
        struct pair p = {new_trie(), new_trie(), 0};
        unsigned total = (unsigned)rng_below(&rng, 600);
        for (unsigned i = 0; i < total; i++) {
            struct vector_entry e = random_entry(&rng, round % 3);
            unsigned where = (unsigned)rng_below(&rng, 40);
            if (where != 0)
                assert_int_equal(trie_put(p.own, &e), STATUS_OK);
            if (where == 2)
                e.seq++;
            if (where == 3)
                e.hash[0]++;
            if (where != 1)
                assert_int_equal(trie_put(p.peer, &e), STATUS_OK);
        }
        struct trie_prefix all = {0};
        descend(&p, &all);
        struct trie_root x = trie_root(p.own), y = trie_root(p.peer);
        assert_memory_equal(x.b, y.b, TRIE_ROOT_BYTES);
        assert_int_equal(trie_count(p.own), trie_count(p.peer));
        assert_root_is_model(p.own);
        trie_free(p.own);
        trie_free(p.peer);
    }
}

static void one_difference_in_1000_costs_few_messages(void **state)
{
    (void)state;
    struct rng_seeded seeded;
    rng_seeded_init(&seeded, 9);
    struct rng rng = rng_from_seeded(&seeded);
    struct pair p = {new_trie(), new_trie(), 0};
    for (unsigned i = 0; i < 1000; i++) {
        struct vector_entry e = random_entry(&rng, 0);
        assert_int_equal(trie_put(p.own, &e), STATUS_OK);
        if (i)
            assert_int_equal(trie_put(p.peer, &e), STATUS_OK);
    }
    struct trie_prefix all = {0};
    descend(&p, &all);
    assert_in_range(p.messages, 2, 4);
    assert_int_equal(trie_count(p.peer), 1000);
    trie_free(p.own);
    trie_free(p.peer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(empty_root_is_zero),
        cmocka_unit_test(root_follows_random_changes),
        cmocka_unit_test(order_of_changes_does_not_matter),
        cmocka_unit_test(a_node_with_32_entries_shows_children),
        cmocka_unit_test(prefixes_of_peers_are_checked),
        cmocka_unit_test(unsorted_or_foreign_entries_are_refused),
        cmocka_unit_test(descent_makes_two_tries_equal),
        cmocka_unit_test(one_difference_in_1000_costs_few_messages),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
