/* Block sizes, leaves and ids, against values computed elsewhere. */
#include "codec/update/tree.h"

#include "tests/support/cmocka.h"

#include <stdlib.h>

/* Byte i of the content under test. */
static uint8_t pattern(uint64_t i)
{
    return (uint8_t)(i * 7 + (i >> 8));
}

static uint8_t *content(size_t size)
{
    uint8_t *out = malloc(size + 1);
    for (size_t i = 0; i < size; i++)
        out[i] = pattern(i);
    return out;
}

static void shape_grows_with_the_content(void **state)
{
    static const struct {
        uint64_t size;
        uint8_t log;
        uint32_t count;
    } cases[] = {
        {0, 16, 0},
        {1, 16, 1},
        {65536, 16, 1},
        {65537, 16, 2},
        {UINT64_C(1023) << 16, 16, 1023},
        {(UINT64_C(1023) << 16) + 1, 17, 512},
        {UINT64_C(1023) << 17, 17, 1023},
        {(UINT64_C(1023) << 17) + 1, 18, 512},
        {(UINT64_C(1023) << 19) + 1, 20, 512},
        {UINT64_C(64) << 30, 20, 65536},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct tree_shape shape;
        assert_int_equal(tree_shape_of(cases[i].size, &shape), STATUS_OK);
        assert_int_equal(shape.block_log, cases[i].log);
        assert_int_equal(shape.block_count, cases[i].count);
    }
}

static void shape_above_64_gib_is_refused(void **state)
{
    struct tree_shape shape;
    (void)state;
    assert_int_equal(tree_shape_of(TREE_SIZE_MAX + 1, &shape), STATUS_LIMIT);
    assert_int_equal(tree_shape_of(UINT64_MAX, &shape), STATUS_LIMIT);
}

static void last_block_is_what_is_left(void **state)
{
    struct tree_shape shape;
    (void)state;
    assert_int_equal(tree_shape_of(200000, &shape), STATUS_OK);
    assert_int_equal(tree_block_size(&shape, 0), 65536);
    assert_int_equal(tree_block_offset(&shape, 3), 196608);
    assert_int_equal(tree_block_size(&shape, 3), 200000 - 196608);
}

/* tests/gen/tree_ids.py recomputes these with another BLAKE2b. */
static void ids_are_those_of_another_implementation(void **state)
{
    static const struct {
        size_t size;
        const char *id;
    } cases[] = {
        {0, "b8a782ca81404c537c63587583d07777"
            "be7ea16087043582e686b3a5aee5bef7"},
        {1, "c8b616873af71d3724a246ff075e3605"
            "1fe8455b58b0cca405563d2e71b72a92"},
        {65536, "14e0c71ecedeecac756e46b23afb2b0d"
                "680df71abd8d4e7f48c8e1b07c138e57"},
        {65537, "6f71d5ca86d64a27d73c5157ebfddca9"
                "907127a63d0e8e9962f4635ba385be69"},
        {1000000, "781f666ec991cfe69b8ee759874ed45a"
                  "3372b6298865fcc58cd8a0dcacbc3d72"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        uint8_t *data = content(cases[i].size);
        struct source source = source_of_bytes(bytes_of(data, cases[i].size));
        struct tree_builder tb;
        struct hash id;
        char hex[HASH_HEX_SIZE];
        assert_int_equal(tree_build(&source, &tb, &id), STATUS_OK);
        hash_hex(&id, hex);
        assert_string_equal(hex, cases[i].id);
        tree_builder_deinit(&tb);
        free(data);
    }
}

static void pieces_of_any_size_give_the_same_leaves(void **state)
{
    static const size_t steps[] = {1000, 65536, 65537, 150000};
    size_t size = 150000;
    uint8_t *data = content(size);
    struct hash first, id, leaf;
    (void)state;
    for (size_t s = 0; s < 4; s++) {
        struct tree_builder tb;
        assert_int_equal(tree_builder_init(&tb, size), STATUS_OK);
        for (size_t at = 0; at < size; at += steps[s]) {
            size_t n = size - at < steps[s] ? size - at : steps[s];
            assert_int_equal(tree_builder_add(&tb, bytes_of(data + at, n)),
                             STATUS_OK);
        }
        assert_int_equal(tree_builder_finish(&tb, &id), STATUS_OK);
        tree_leaf(bytes_of(data + 65536, 65536), &leaf);
        assert_true(hash_equal(&leaf, &tb.leaves[1]));
        if (!s)
            first = id;
        assert_true(hash_equal(&first, &id));
        tree_builder_deinit(&tb);
    }
    free(data);
}

static void builder_notices_bytes_too_many_and_too_few(void **state)
{
    struct tree_builder tb;
    struct hash id;
    (void)state;
    assert_int_equal(tree_builder_init(&tb, 3), STATUS_OK);
    assert_int_equal(tree_builder_add(&tb, bytes_of("ab", 2)), STATUS_OK);
    assert_int_equal(tree_builder_finish(&tb, &id), STATUS_MISMATCH);
    assert_int_equal(tree_builder_add(&tb, bytes_of("cd", 2)), STATUS_MISMATCH);
    tree_builder_deinit(&tb);
}

static enum status failing_read(void *ctx, uint64_t offset, void *out,
                                size_t size)
{
    (void)ctx;
    memset(out, 0, size);
    return offset ? STATUS_IO : STATUS_OK;
}

static void errors_of_the_source_come_through(void **state)
{
    struct source source = {failing_read, NULL, 300000};
    struct tree_builder tb;
    struct hash id;
    (void)state;
    assert_int_equal(tree_build(&source, &tb, &id), STATUS_IO);
    tree_builder_deinit(&tb);
    source.size = TREE_SIZE_MAX + 1;
    assert_int_equal(tree_build(&source, &tb, &id), STATUS_LIMIT);
    tree_builder_deinit(&tb);
}

static void source_refuses_what_lies_outside(void **state)
{
    struct source source = source_of_bytes(bytes_of("abc", 3));
    char out[4];
    (void)state;
    assert_int_equal(source_read(&source, 1, out, 2), STATUS_OK);
    assert_memory_equal(out, "bc", 2);
    assert_int_equal(source_read(&source, 2, out, 2), STATUS_TRUNCATED);
    assert_int_equal(source_read(&source, 4, out, 0), STATUS_TRUNCATED);
    assert_int_equal(source_read(&source, UINT64_MAX, out, 2),
                     STATUS_TRUNCATED);
    assert_int_equal(source_read(&source, 3, out, 0), STATUS_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shape_grows_with_the_content),
        cmocka_unit_test(shape_above_64_gib_is_refused),
        cmocka_unit_test(last_block_is_what_is_left),
        cmocka_unit_test(ids_are_those_of_another_implementation),
        cmocka_unit_test(pieces_of_any_size_give_the_same_leaves),
        cmocka_unit_test(builder_notices_bytes_too_many_and_too_few),
        cmocka_unit_test(errors_of_the_source_come_through),
        cmocka_unit_test(source_refuses_what_lies_outside),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
