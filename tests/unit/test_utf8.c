/* What is a character, against all there are. */
#include "codec/base/utf8.h"

#include "tests/support/cmocka.h"

/* Code points written down, the plain way. */
static size_t encode(uint32_t code, uint8_t *out)
{
    static const uint32_t ends[] = {0x80, 0x800, 0x10000, 0x110000};
    static const uint8_t leads[] = {0, 0xc0, 0xe0, 0xf0};
    size_t more = 0;
    while (code >= ends[more])
        more++;
    for (size_t i = more; i; i--, code >>= 6)
        out[i] = (uint8_t)(0x80 | (code & 0x3f));
    out[0] = (uint8_t)(leads[more] | code);
    return more + 1;
}

static void every_character_has_its_size(void **state)
{
    (void)state;
    for (uint32_t code = 0; code < 0x110000; code++) {
        uint8_t text[4];
        size_t size = encode(code, text);
        bool surrogate = code >= 0xd800 && code < 0xe000;
        assert_int_equal(utf8_size(bytes_of(text, size)), surrogate ? 0 : size);
        if (size > 1)
            assert_int_equal(utf8_size(bytes_of(text, size - 1)), 0);
    }
}

/* Of all sequences of four bytes that end with the last one there is, as many
 * begin with a character as there are of them. */
static void nothing_else_is_a_character(void **state)
{
    uint32_t counts[5] = {0};
    (void)state;
    for (uint32_t a = 0; a < 256; a++)
        for (uint32_t b = 0; b < 256; b++)
            for (uint32_t c = 0; c < 256; c++) {
                const uint8_t text[4] = {(uint8_t)a, (uint8_t)b, (uint8_t)c,
                                         0xbf};
                counts[utf8_size(bytes_of(text, 4))]++;
            }
    assert_int_equal(counts[1], 0x80 << 16);
    assert_int_equal(counts[2], (0x800 - 0x80) << 8); /* any third byte */
    assert_int_equal(counts[3], 0x10000 - 0x800 - 0x800);
    assert_int_equal(counts[4], 0x100000 >> 6);
}

static void texts_are_all_characters(void **state)
{
    (void)state;
    assert_true(utf8_valid(bytes_of(NULL, 0)));
    assert_true(utf8_valid(bytes_of("a\xc3\xa9\xe4\xb8\xad", 6)));
    assert_false(utf8_valid(bytes_of("a\xc3\xa9\xe4\xb8", 5)));
    assert_false(utf8_valid(bytes_of("a\xa9", 2)));
    assert_true(utf8_valid(bytes_of("a\0b", 3)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_character_has_its_size),
        cmocka_unit_test(nothing_else_is_a_character),
        cmocka_unit_test(texts_are_all_characters),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
