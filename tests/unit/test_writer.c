/* The append cursor: ceilings stick, buffers change hands. */
#include "codec/base/writer.h"

#include "tests/support/cmocka.h"

#include <stdlib.h>

static void writer_fixed_buffer_overflow_sticks(void **state)
{
    (void)state;
    uint8_t buf[4];
    struct writer wr;
    writer_init(&wr, buf, sizeof(buf));
    writer_be16(&wr, 0x0102);
    writer_le32(&wr, 7);
    assert_int_equal(writer_status(&wr), STATUS_LIMIT);
    writer_u8(&wr, 3);
    assert_int_equal(wr.size, 2);
    assert_memory_equal(buf, "\x01\x02", 2);
}

static void writer_heap_grows_to_its_ceiling(void **state)
{
    (void)state;
    struct writer wr;
    writer_init_heap(&wr, 1000);
    for (int i = 0; i < 1000; i++)
        writer_u8(&wr, (uint8_t)i);
    assert_int_equal(writer_status(&wr), STATUS_OK);
    assert_int_equal(wr.data[999], 999 & 0xff);
    writer_u8(&wr, 0);
    assert_int_equal(writer_status(&wr), STATUS_LIMIT);
    writer_deinit(&wr);
}

static void writer_take_moves_the_buffer(void **state)
{
    (void)state;
    struct writer wr;
    size_t size;
    writer_init_heap(&wr, 100);
    assert_null(writer_take(&wr, &size));
    writer_init_heap(&wr, 100);
    writer_bytes(&wr, "abc", 3);
    uint8_t *data = writer_take(&wr, &size);
    assert_non_null(data);
    assert_int_equal(size, 3);
    assert_memory_equal(data, "abc", 3);
    assert_int_equal(writer_view(&wr).size, 0);
    free(data);
    writer_deinit(&wr);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(writer_fixed_buffer_overflow_sticks),
        cmocka_unit_test(writer_heap_grows_to_its_ceiling),
        cmocka_unit_test(writer_take_moves_the_buffer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
