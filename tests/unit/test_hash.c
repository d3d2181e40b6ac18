/* Personalised hashes: kinds never meet, hex is strict. */
#include "codec/base/hash.h"

#include "tests/support/cmocka.h"

static void hash_kinds_differ(void **state)
{
    (void)state;
    struct hash all[HASH_KIND_COUNT];
    for (int i = 0; i < HASH_KIND_COUNT; i++) {
        hash_bytes((enum hash_kind)i, bytes_of("abc", 3), &all[i]);
        for (int j = 0; j < i; j++)
            assert_false(hash_equal(&all[i], &all[j]));
    }
}

/* Python: hashlib.blake2b(b"abc", digest_size=32, person=b"dm leaf") */
static void hash_leaf_matches_another_implementation(void **state)
{
    (void)state;
    char hex[HASH_HEX_SIZE];
    struct hash h;
    hash_bytes(HASH_LEAF, bytes_of("abc", 3), &h);
    hash_hex(&h, hex);
    assert_string_equal(
        hex,
        "7197a00caef9399dc4c0678a331c85ff5a0f4b933b2e08e315521627f3e243a3");
}

static void hash_in_parts_equals_hash_at_once(void **state)
{
    (void)state;
    struct hash a, b;
    struct hash_state st;
    hash_begin(&st, HASH_TREE);
    hash_add_le64(&st, 0x0807060504030201u);
    hash_add_le32(&st, 0x0c0b0a09u);
    hash_add(&st, NULL, 0);
    hash_end(&st, &a);
    hash_bytes(HASH_TREE, bytes_of("\1\2\3\4\5\6\7\10\11\12\13\14", 12), &b);
    assert_true(hash_equal(&a, &b));
}

static void hash_hex_is_strict(void **state)
{
    (void)state;
    struct hash h, back;
    char hex[HASH_HEX_SIZE];
    hash_bytes(HASH_MISC, bytes_of("x", 1), &h);
    hash_hex(&h, hex);
    assert_true(hash_from_hex(hex, &back));
    assert_true(hash_equal(&h, &back));
    hex[10] = 'g';
    assert_false(hash_from_hex(hex, &back));
    hex[10] = '\0';
    assert_false(hash_from_hex(hex, &back));
    assert_false(hash_is_zero(&h));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hash_kinds_differ),
        cmocka_unit_test(hash_leaf_matches_another_implementation),
        cmocka_unit_test(hash_in_parts_equals_hash_at_once),
        cmocka_unit_test(hash_hex_is_strict),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
