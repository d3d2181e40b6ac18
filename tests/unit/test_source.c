/* Sources read whole: every byte once, in order, up to the first error. */
#include "codec/base/source.h"

#include "tests/support/cmocka.h"

#include <stdlib.h>

struct seen {
    uint8_t *bytes;
    size_t size, calls, fail_at;
};

static enum status see(void *ctx, struct bytes piece)
{
    struct seen *seen = ctx;
    assert_true(piece.size > 0 && piece.size <= 65536);
    if (++seen->calls == seen->fail_at)
        return STATUS_CLOSED;
    memcpy(seen->bytes + seen->size, piece.data, piece.size);
    seen->size += piece.size;
    return STATUS_OK;
}

static void each_hands_over_every_byte_in_order(void **state)
{
    static const size_t sizes[] = {0, 1, 65535, 65536, 65537, 200000};
    uint8_t *data = malloc(200100), *out = malloc(200100);
    (void)state;
    for (size_t i = 0; i < 200100; i++)
        data[i] = (uint8_t)(i * 131 >> 5);
    struct source source = source_of_bytes(bytes_of(data, 200100));
    for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
        struct seen seen = {.bytes = out};
        assert_int_equal(source_each(&source, 100, sizes[i], see, &seen),
                         STATUS_OK);
        assert_int_equal(seen.size, sizes[i]);
        assert_memory_equal(out, data + 100, sizes[i]);
        assert_int_equal(seen.calls, (sizes[i] + 65535) / 65536);
    }
    free(data);
    free(out);
}

static void each_ends_at_the_first_error(void **state)
{
    uint8_t *data = calloc(1, 200000), *out = malloc(200000);
    struct source source = source_of_bytes(bytes_of(data, 200000));
    struct seen seen = {.bytes = out, .fail_at = 2};
    (void)state;
    assert_int_equal(source_each(&source, 0, 200000, see, &seen),
                     STATUS_CLOSED);
    assert_int_equal(seen.calls, 2);
    seen = (struct seen){.bytes = out};
    assert_int_equal(source_each(&source, 0, 200001, see, &seen),
                     STATUS_TRUNCATED);
    assert_int_equal(seen.size, 3 * 65536);
    free(data);
    free(out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_hands_over_every_byte_in_order),
        cmocka_unit_test(each_ends_at_the_first_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
