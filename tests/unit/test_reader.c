/* The bounded cursor: sticking failures, sub-readers, canonical varints. */
#include "codec/base/reader.h"
#include "codec/base/writer.h"

#include "tests/support/cmocka.h"

static void reader_u32_past_end_sticks(void **state)
{
    (void)state;
    const uint8_t in[] = {1, 2, 3, 4, 5, 6};
    struct reader rd;
    reader_init(&rd, bytes_of(in, sizeof(in)));
    assert_int_equal(reader_le32(&rd), 0x04030201);
    assert_int_equal(reader_le32(&rd), 0);
    assert_int_equal(reader_status(&rd), STATUS_TRUNCATED);
    assert_int_equal(reader_u8(&rd), 0);
    assert_int_equal(reader_left(&rd), 0);
    assert_int_equal(reader_finish(&rd), STATUS_TRUNCATED);
}

static void reader_left_over_bytes_are_corrupt(void **state)
{
    (void)state;
    const uint8_t in[] = {1, 2};
    struct reader rd;
    reader_init(&rd, bytes_of(in, sizeof(in)));
    assert_int_equal(reader_u8(&rd), 1);
    assert_int_equal(reader_finish(&rd), STATUS_CORRUPT);
    assert_int_equal(reader_u8(&rd), 2);
    assert_int_equal(reader_finish(&rd), STATUS_OK);
}

static void reader_copy_past_end_zeroes(void **state)
{
    (void)state;
    uint8_t out[4] = {9, 9, 9, 9};
    struct reader rd;
    reader_init(&rd, bytes_of("ab", 2));
    reader_copy(&rd, out, 4);
    assert_memory_equal(out, "\0\0\0\0", 4);
}

static void reader_sub_is_bounded_and_inherits_failure(void **state)
{
    (void)state;
    struct reader rd;
    reader_init(&rd, bytes_of("abcdef", 6));
    struct reader sub = reader_sub(&rd, 2);
    assert_int_equal(reader_be16(&sub), 0x6162);
    assert_int_equal(reader_u8(&sub), 0);
    assert_int_equal(reader_status(&sub), STATUS_TRUNCATED);
    assert_int_equal(reader_u8(&rd), 'c');
    sub = reader_sub(&rd, 9);
    assert_int_equal(reader_status(&sub), STATUS_TRUNCATED);
}

static void varint_round_trips(void **state)
{
    (void)state;
    static const uint64_t values[] = {
        0, 1, 127, 128, 300, ~0u, 1u << 21, UINT64_MAX - 1, UINT64_MAX};
    for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
        uint8_t buf[10];
        struct writer wr;
        struct reader rd;
        writer_init(&wr, buf, sizeof(buf));
        writer_varint(&wr, values[i]);
        assert_int_equal(writer_status(&wr), STATUS_OK);
        for (size_t cut = 0; cut < wr.size; cut++) {
            reader_init(&rd, bytes_of(buf, cut));
            reader_varint(&rd);
            assert_int_equal(reader_status(&rd), STATUS_TRUNCATED);
        }
        reader_init(&rd, writer_view(&wr));
        assert_true(reader_varint(&rd) == values[i]);
        assert_int_equal(reader_finish(&rd), STATUS_OK);
    }
}

static void varint_other_forms_are_corrupt(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "\x80\x00", "\xff\x80\x00", "\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02",
        "\xff\xff\xff\xff\xff\xff\xff\xff\xff\x81\x01"};
    static const size_t sizes[] = {2, 3, 10, 11};
    for (size_t i = 0; i < 4; i++) {
        struct reader rd;
        reader_init(&rd, bytes_of(bad[i], sizes[i]));
        reader_varint(&rd);
        assert_int_equal(reader_status(&rd), STATUS_CORRUPT);
    }
    struct reader rd;
    reader_init(&rd, bytes_of("\x05", 1));
    assert_int_equal(reader_varint_max(&rd, 4), 0);
    assert_int_equal(reader_status(&rd), STATUS_LIMIT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reader_u32_past_end_sticks),
        cmocka_unit_test(reader_left_over_bytes_are_corrupt),
        cmocka_unit_test(reader_copy_past_end_zeroes),
        cmocka_unit_test(reader_sub_is_bounded_and_inherits_failure),
        cmocka_unit_test(varint_round_trips),
        cmocka_unit_test(varint_other_forms_are_corrupt),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
