/* Slot ids and the table of slots. */
#include "protocol/slot.h"

#include "protocol/cbor.h"
#include "protocol/record.h"
#include "tests/support/cmocka.h"
#include "tests/support/fleet.h"

#include <stdlib.h>

static void slot_id_is_hash_of_author_kind_name(void **state)
{
    (void)state;
    struct slot_author author = slot_author_role(bytes_of_text("desk"));
    struct slot_id id =
        slot_id_of(&author, RECORD_CHANNEL, bytes_of("main", 4));
    struct hash hash;
    hash_bytes(HASH_SLOT,
               bytes_of("\x64"
                        "desk\x04\x64main",
                        11),
               &hash);
    assert_memory_equal(id.b, hash.b, SLOT_ID_BYTES);
}

static void slot_id_does_not_mix_fields(void **state)
{
    (void)state;
    struct slot_author ab = slot_author_role(bytes_of_text("ab"));
    struct slot_author a = slot_author_role(bytes_of_text("a"));
    struct slot_id x = slot_id_of(&ab, 4, bytes_of("c", 1));
    struct slot_id y = slot_id_of(&a, 4, bytes_of("bc", 2));
    assert_false(slot_id_equal(&x, &y));
    y = slot_id_of(&ab, 3, bytes_of("c", 1));
    assert_false(slot_id_equal(&x, &y));
    /* A role whose name is the bytes of a node id is another author. */
    struct node_id id;
    memset(id.b, 'a', sizeof(id.b));
    struct slot_author node = slot_author_node(&id);
    struct slot_author role = slot_author_role(bytes_of(id.b, sizeof(id.b)));
    x = slot_id_of(&node, 5, bytes_of("", 0));
    y = slot_id_of(&role, 5, bytes_of("", 0));
    assert_false(slot_id_equal(&x, &y));
    assert_false(slot_author_equal(&node, &role));
}

static void slot_of_record_is_slot_of_fields(void **state)
{
    (void)state;
    struct fleet f;
    struct fleet_bytes bytes;
    struct record rec;
    fleet_init_small(&f, 1, &bytes);
    fleet_version(&f, "trainer", "a/b", 7, 1, 1, &bytes);
    assert_int_equal(record_parse(fleet_view(&bytes), &rec, NULL), STATUS_OK);
    struct slot_author author = slot_author_role(bytes_of_text("trainer"));
    struct slot_id id =
        slot_id_of(&author, RECORD_VERSION, bytes_of_text("a/b#7"));
    assert_true(slot_id_equal(&id, &rec.slot));
}

static struct slot_entry *make_entry(unsigned id, const char *role,
                                     uint64_t seq)
{
    struct slot_entry *e = slot_entry_new();
    assert_non_null(e);
    store_be32(e->id.b, id);
    e->author = slot_author_role(bytes_of_text(role));
    e->seq = seq;
    return e;
}

static void table_is_ordered_and_replaces(void **state)
{
    (void)state;
    struct slot_table *t;
    assert_int_equal(slot_table_new(&t), STATUS_OK);
    for (unsigned i = 0; i < 500; i++)
        assert_int_equal(
            slot_table_put_take(t, make_entry(i * 7919 % 500, "a", 1)),
            STATUS_OK);
    assert_int_equal(slot_table_put_take(t, make_entry(3, "a", 2)), STATUS_OK);
    assert_int_equal(slot_table_count(t), 500);
    for (unsigned i = 0; i < 500; i++) {
        const struct slot_entry *e = slot_table_at(t, i);
        assert_int_equal(load_be32(e->id.b), i);
        assert_ptr_equal(slot_table_find(t, &e->id), e);
        assert_int_equal(slot_table_lower_bound(t, &e->id), i);
        assert_int_equal(e->seq, i == 3 ? 2 : 1);
    }
    assert_null(slot_table_at(t, 500));
    struct slot_id id = slot_table_at(t, 3)->id;
    assert_true(slot_table_remove(t, &id));
    assert_false(slot_table_remove(t, &id));
    assert_null(slot_table_find(t, &id));
    assert_int_equal(slot_table_count(t), 499);
    slot_table_free(t);
    slot_table_free(NULL);
    slot_entry_free(NULL);
}

static void table_counts_by_author(void **state)
{
    (void)state;
    struct slot_table *t;
    struct slot_author a = slot_author_role(bytes_of_text("a"));
    struct slot_author b = slot_author_role(bytes_of_text("b"));
    assert_int_equal(slot_table_new(&t), STATUS_OK);
    assert_int_equal(slot_table_author_count(t, &a), 0);
    assert_null(slot_table_author_last(t, &a));
    for (unsigned i = 0; i < 300; i++)
        assert_int_equal(
            slot_table_put_take(t, make_entry(i, i % 3 ? "a" : "b", 1)),
            STATUS_OK);
    assert_int_equal(slot_table_author_count(t, &a), 200);
    assert_int_equal(slot_table_author_count(t, &b), 100);
    assert_int_equal(load_be32(slot_table_author_last(t, &b)->id.b), 297);
    for (unsigned i = 0; i < 300; i += 3) {
        struct slot_id id = {{0}};
        store_be32(id.b, i);
        assert_true(slot_table_remove(t, &id));
    }
    assert_int_equal(slot_table_author_count(t, &b), 0);
    assert_int_equal(slot_table_author_count(t, &a), 200);
    slot_table_free(t);
}

static void digest_tells_proofs_apart(void **state)
{
    (void)state;
    struct slot_entry e = {.seq = 1};
    uint8_t plain[8], mixed[8], other[8];
    memset(e.hash.b, 5, sizeof(e.hash.b));
    slot_entry_digest(&e, plain);
    assert_memory_equal(plain, e.hash.b, 8);
    e.has_proof = true;
    e.proof[0].hash = e.hash;
    memset(e.proof[1].hash.b, 9, HASH_BYTES);
    slot_entry_digest(&e, mixed);
    assert_memory_not_equal(plain, mixed, 8);
    e.proof[1].hash.b[31]++;
    slot_entry_digest(&e, other);
    assert_memory_not_equal(other, mixed, 8);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(slot_id_is_hash_of_author_kind_name),
        cmocka_unit_test(slot_id_does_not_mix_fields),
        cmocka_unit_test(slot_of_record_is_slot_of_fields),
        cmocka_unit_test(table_is_ordered_and_replaces),
        cmocka_unit_test(table_counts_by_author),
        cmocka_unit_test(digest_tells_proofs_apart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
