/* Frames over a prefix: round trips, and frames that are none. */
#include "codec/lossless/bytes.h"

#include "codec/base/rng.h"
#include "tests/support/cmocka.h"

#include <stdlib.h>

static void a_prefix_saves_what_it_holds(void **state)
{
    struct rng_seeded seeded;
    rng_seeded_init(&seeded, 3);
    struct rng rng = rng_from_seeded(&seeded);
    uint8_t data[5000], copy[4000], out[5000];
    struct bytes_decoder *decoder = bytes_decoder_new();
    struct writer with, without;
    (void)state;
    rng_fill(&rng, data, sizeof(data));
    memcpy(copy, data + 100, 4000);
    struct bytes in = bytes_of(copy, 4000), prefix = bytes_of(data, 5000);
    writer_init_heap(&with, 10000);
    writer_init_heap(&without, 10000);
    assert_int_equal(bytes_encode(in, prefix, 19, &with), STATUS_OK);
    assert_int_equal(bytes_encode(in, bytes_of("", 0), 3, &without), STATUS_OK);
    assert_in_range(with.size, 1, 40);
    assert_true(without.size >= 4000);
    assert_int_equal(
        bytes_decode(decoder, writer_view(&with), prefix, out, 4000),
        STATUS_OK);
    assert_memory_equal(out, data + 100, 4000);
    /* The decoder forgets the prefix. */
    assert_int_equal(bytes_decode(decoder, writer_view(&without),
                                  bytes_of("", 0), out, 4000),
                     STATUS_OK);
    assert_memory_equal(out, data + 100, 4000);
    writer_deinit(&with);
    writer_deinit(&without);
    bytes_decoder_free(decoder);
}

static void frames_that_are_not_exactly_one_are_corrupt(void **state)
{
    struct bytes_decoder *decoder = bytes_decoder_new();
    struct bytes none = bytes_of("", 0);
    uint8_t out[64], skippable[] = {0x50, 0x2a, 0x4d, 0x18, 0, 0, 0, 0};
    struct writer wr;
    (void)state;
    writer_init_heap(&wr, 1000);
    assert_int_equal(bytes_encode(bytes_of_text("hello hello"), none, 19, &wr),
                     STATUS_OK);
    size_t one = wr.size;
    for (size_t cut = 0; cut < one; cut++)
        assert_int_equal(
            bytes_decode(decoder, bytes_of(wr.data, cut), none, out, 11),
            STATUS_CORRUPT);
    assert_int_equal(
        bytes_decode(decoder, bytes_of(wr.data, one), none, out, 10),
        STATUS_CORRUPT);
    assert_int_equal(
        bytes_decode(decoder, bytes_of(wr.data, one), none, out, 12),
        STATUS_CORRUPT);
    assert_int_equal(bytes_encode(bytes_of("", 0), none, 1, &wr), STATUS_OK);
    assert_int_equal(bytes_decode(decoder, writer_view(&wr), none, out, 11),
                     STATUS_CORRUPT);
    assert_int_equal(
        bytes_decode(decoder, bytes_of(skippable, 8), none, out, 0),
        STATUS_CORRUPT);
    writer_deinit(&wr);
    bytes_decoder_free(decoder);
}

static void output_stops_at_the_ceiling_of_the_writer(void **state)
{
    struct writer wr;
    uint8_t buf[4];
    (void)state;
    writer_init(&wr, buf, sizeof(buf));
    assert_int_equal(
        bytes_encode(bytes_of_text("hello"), bytes_of("", 0), 3, &wr),
        STATUS_LIMIT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_prefix_saves_what_it_holds),
        cmocka_unit_test(frames_that_are_not_exactly_one_are_corrupt),
        cmocka_unit_test(output_stops_at_the_ceiling_of_the_writer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
