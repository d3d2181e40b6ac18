/* Deterministic CBOR: one encoding a value, every other one refused. */
#include "protocol/cbor.h"
#include "protocol/limits.h"

#include "tests/support/cmocka.h"
#include "tests/support/hex.h"

static enum status validate_hex(const char *text)
{
    uint8_t buf[256];
    return cbor_validate(hex_bytes(text, buf, sizeof(buf)), NULL);
}

/* A value with every type and three levels, as the writer makes it. */
static struct bytes sample(uint8_t *buf, size_t cap)
{
    struct writer wr;
    writer_init(&wr, buf, cap);
    cbor_write_map(&wr, 5);
    cbor_write_int(&wr, 0);
    cbor_write_array(&wr, 4);
    cbor_write_bool(&wr, true);
    cbor_write_bool(&wr, false);
    cbor_write_null(&wr);
    cbor_write_uint(&wr, UINT64_MAX);
    cbor_write_int(&wr, 1);
    cbor_write_text(&wr, bytes_of_text("na\xc3\xafve"));
    cbor_write_int(&wr, 300);
    cbor_write_bytes(&wr, "\0\1\2", 3);
    cbor_write_int(&wr, -1);
    cbor_write_tag(&wr, 98);
    cbor_write_map(&wr, 0);
    cbor_write_int(&wr, -500);
    cbor_write_int(&wr, INT64_MIN);
    assert_int_equal(wr.status, STATUS_OK);
    return writer_view(&wr);
}

static void cbor_writes_shortest_heads(void **state)
{
    (void)state;
    static const struct {
        uint64_t v;
        const char *hex;
    } cases[] = {
        {0, "00"},
        {23, "17"},
        {24, "1818"},
        {255, "18ff"},
        {256, "190100"},
        {65535, "19ffff"},
        {65536, "1a00010000"},
        {UINT32_MAX, "1affffffff"},
        {(uint64_t)UINT32_MAX + 1, "1b0000000100000000"},
        {UINT64_MAX, "1bffffffffffffffff"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        uint8_t buf[16], want[16];
        struct writer wr;
        struct reader rd;
        struct bytes expected = hex_bytes(cases[i].hex, want, sizeof(want));
        writer_init(&wr, buf, sizeof(buf));
        cbor_write_uint(&wr, cases[i].v);
        assert_true(bytes_equal(writer_view(&wr), expected));
        assert_int_equal(cbor_head_size(cases[i].v), expected.size);
        cbor_reader_init(&rd, expected);
        assert_true(cbor_read_uint(&rd) == cases[i].v);
        assert_int_equal(reader_finish(&rd), STATUS_OK);
    }
}

static void cbor_signed_integers_round_trip(void **state)
{
    (void)state;
    static const int64_t values[] = {0,    -1,   -24,       -25,
                                     -256, -257, INT64_MIN, INT64_MAX};
    for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
        uint8_t buf[16];
        struct writer wr;
        struct reader rd;
        writer_init(&wr, buf, sizeof(buf));
        cbor_write_int(&wr, values[i]);
        cbor_reader_init(&rd, writer_view(&wr));
        assert_true(cbor_read_int(&rd) == values[i]);
        assert_int_equal(reader_finish(&rd), STATUS_OK);
    }
}

static void cbor_int_outside_int64_is_limit(void **state)
{
    (void)state;
    static const char *const cases[] = {"1b8000000000000000",
                                        "3b8000000000000000"};
    for (size_t i = 0; i < 2; i++) {
        uint8_t buf[16];
        struct reader rd;
        cbor_reader_init(&rd, hex_bytes(cases[i], buf, sizeof(buf)));
        assert_int_equal(cbor_read_int(&rd), 0);
        assert_int_equal(rd.status, STATUS_LIMIT);
    }
}

static void cbor_sample_reads_back(void **state)
{
    (void)state;
    uint8_t buf[128], bin[3];
    struct reader rd;
    struct cbor_map map;
    int64_t key;
    struct bytes in = sample(buf, sizeof(buf));
    assert_int_equal(cbor_validate(in, NULL), STATUS_OK);
    cbor_reader_init(&rd, in);
    cbor_map_begin(&map, &rd, 5);
    assert_true(cbor_map_next(&map, &rd, &key) && key == 0);
    cbor_read_array_of(&rd, 4);
    assert_true(cbor_read_bool(&rd));
    assert_false(cbor_read_bool(&rd));
    assert_int_equal(cbor_peek(&rd), CBOR_NULL);
    cbor_read_null(&rd);
    assert_true(cbor_read_uint(&rd) == UINT64_MAX);
    assert_true(cbor_map_next(&map, &rd, &key) && key == 1);
    assert_true(
        bytes_equal(cbor_read_text(&rd), bytes_of_text("na\xc3\xafve")));
    assert_true(cbor_map_next(&map, &rd, &key) && key == 300);
    cbor_read_fixed(&rd, bin, sizeof(bin));
    assert_memory_equal(bin, "\0\1\2", 3);
    assert_true(cbor_map_next(&map, &rd, &key) && key == -1);
    assert_int_equal(cbor_read_tag(&rd), 98);
    cbor_skip(&rd);
    assert_true(cbor_map_next(&map, &rd, &key) && key == -500);
    assert_true(cbor_read_int(&rd) == INT64_MIN);
    assert_false(cbor_map_next(&map, &rd, &key));
    cbor_map_require(&map, &rd, 3);
    assert_int_equal(reader_finish(&rd), STATUS_OK);
}

static void cbor_every_truncation_is_refused(void **state)
{
    (void)state;
    uint8_t buf[128];
    struct bytes in = sample(buf, sizeof(buf));
    for (size_t size = 0; size < in.size; size++) {
        struct reader rd;
        struct diag diag = {0};
        uint8_t *exact = malloc(size ? size : 1);
        memcpy(exact, in.data, size);
        assert_int_equal(cbor_validate(bytes_of(exact, size), &diag),
                         STATUS_TRUNCATED);
        assert_true(diag.text[0]);
        cbor_reader_init(&rd, bytes_of(exact, size));
        assert_int_equal(rd.status, STATUS_TRUNCATED);
        free(exact);
    }
}

static void cbor_other_encodings_are_corrupt(void **state)
{
    (void)state;
    static const char *const cases[] = {
        "1800",               /* 0 in two bytes */
        "1817",               /* 23 in two bytes */
        "190000",             /* 0 in three bytes */
        "1900ff",             /* 255 in three bytes */
        "1a0000ffff",         /* 65535 in five bytes */
        "1b00000000ffffffff", /* 2^32 - 1 in nine bytes */
        "3817",               /* -24 in two bytes */
        "580161",             /* a byte string's length in two bytes */
        "780161",             /* a text's length in two bytes */
        "980100",             /* an array's count in two bytes */
        "b8010000",           /* a map's count in two bytes */
        "d81100",             /* a tag in two bytes */
        "1c",
        "1d",
        "1e", /* reserved */
        "1f", /* no such thing */
        "3f",
        "df00",
        "5f4100ff", /* indefinite lengths */
        "7f6161ff",
        "9f00ff",
        "bf0000ff",
        "ff",     /* a break alone */
        "f7",     /* undefined */
        "e0",     /* simple(0) */
        "f3",     /* simple(19) */
        "f814",   /* false in two bytes */
        "f818",   /* a simple value in two bytes */
        "f820",   /* simple(32) */
        "f90000", /* floats */
        "fa00000000",
        "fb0000000000000000",
        "0000", /* two items */
        "8000", /* something after an array */
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        if (validate_hex(cases[i]) != STATUS_CORRUPT)
            fail_msg("%s: %s", cases[i], status_text(validate_hex(cases[i])));
    assert_int_equal(validate_hex("a2010001"), STATUS_TRUNCATED);
}

static void cbor_text_must_be_utf8(void **state)
{
    (void)state;
    static const char *const good[] = {
        "60",       "6161",     "62c280",   "62dfbf",     "63e0a080",
        "63ed9fbf", "63ee8080", "63efbfbf", "64f0908080", "64f48fbfbf"};
    static const char *const bad[] = {
        "6180",   /* a continuation alone */
        "62c27f", /* no continuation */
        "61c2",   /* cut short */
        "62c080", /* longer than needed */
        "62c1bf",     "63e09fbf", "64f08fbfbf", "63eda080",
        "63edbfbf",   /* surrogates */
        "64f4908080", /* above U+10FFFF */
        "64f5808080", "61ff",     "62e282",     "63f09f98",
    };
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
        assert_int_equal(validate_hex(good[i]), STATUS_OK);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        uint8_t buf[16];
        struct reader rd;
        struct bytes in = hex_bytes(bad[i], buf, sizeof(buf));
        assert_int_equal(cbor_validate(in, NULL), STATUS_CORRUPT);
        reader_init(&rd, in);
        assert_int_equal(cbor_read_text(&rd).size, 0);
        assert_int_equal(rd.status, STATUS_CORRUPT);
    }
}

static void cbor_depth_is_bounded(void **state)
{
    (void)state;
    assert_int_equal(LIMIT_CBOR_DEPTH, 8);
    assert_int_equal(validate_hex("818181818181818100"), STATUS_OK);
    assert_int_equal(validate_hex("81818181818181818100"), STATUS_LIMIT);
    assert_int_equal(validate_hex("c1c1c1c1c1c1c1c1c100"), STATUS_LIMIT);
    assert_int_equal(validate_hex("a100a100a100a100a100a100a100a100a10000"),
                     STATUS_LIMIT);
    uint8_t deep[4096];
    memset(deep, 0x81, sizeof(deep));
    assert_int_equal(cbor_validate(bytes_of(deep, sizeof(deep)), NULL),
                     STATUS_LIMIT);
}

static void cbor_map_keys_ascend_strictly(void **state)
{
    (void)state;
    assert_int_equal(validate_hex("a201000200"), STATUS_OK);
    assert_int_equal(validate_hex("a202000100"), STATUS_CORRUPT);
    assert_int_equal(validate_hex("a201000100"), STATUS_CORRUPT);
    /* 24 before -1 before a byte string before a text. */
    assert_int_equal(validate_hex("a4181800200040006000"), STATUS_OK);
    assert_int_equal(validate_hex("a22000181800"), STATUS_CORRUPT);
    /* Shorter strings first: their head is less. */
    assert_int_equal(validate_hex("a261620062616100"), STATUS_OK);
    assert_int_equal(validate_hex("a262616100616200"), STATUS_CORRUPT);
    /* Inside a value too. */
    assert_int_equal(validate_hex("8200a201000100"), STATUS_CORRUPT);
}

static void cbor_map_next_refuses_what_validate_would(void **state)
{
    (void)state;
    static const struct {
        const char *hex;
        enum status status;
    } cases[] = {
        {"a202000100", STATUS_CORRUPT},
        {"a201000100", STATUS_CORRUPT},
        {"a2010060", STATUS_TRUNCATED}, /* fewer bytes than two pairs need */
        {"a1616100", STATUS_CORRUPT},   /* a text key */
        {"a11b800000000000000000", STATUS_LIMIT},
        {"a30000", STATUS_TRUNCATED},
        {"80", STATUS_CORRUPT},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        uint8_t buf[32];
        struct reader rd;
        struct cbor_map map;
        int64_t key;
        reader_init(&rd, hex_bytes(cases[i].hex, buf, sizeof(buf)));
        cbor_map_begin(&map, &rd, 10);
        while (cbor_map_next(&map, &rd, &key))
            cbor_skip(&rd);
        assert_int_equal(rd.status, cases[i].status);
    }
}

static void cbor_unknown_keys_are_kept_or_flagged(void **state)
{
    (void)state;
    uint8_t buf[64];
    struct reader rd;
    struct cbor_map map;
    struct bytes kept[4];
    int64_t key;
    size_t count = 0;
    /* {0: 1, 7: [1, 2], -1: "a", -2: null} */
    struct bytes in = hex_bytes("a400010782010220616121f6", buf, sizeof(buf));
    cbor_reader_init(&rd, in);
    cbor_map_begin(&map, &rd, 10);
    while (cbor_map_next(&map, &rd, &key)) {
        if (key == 0)
            assert_int_equal(cbor_read_uint(&rd), 1);
        else
            kept[count++] = cbor_map_unknown(&map, &rd);
        assert_int_equal(map.must_understand, key < 0);
    }
    assert_int_equal(reader_finish(&rd), STATUS_OK);
    assert_int_equal(count, 3);
    assert_true(bytes_equal(kept[0], bytes_of("\x07\x82\x01\x02", 4)));
    assert_true(bytes_equal(kept[1], bytes_of("\x20\x61\x61", 3)));
    assert_true(map.must_understand);
    assert_int_equal(map.must_key, -1);
    assert_true(map.seen == (1u << 0 | 1u << 7));
}

static void cbor_missing_key_is_corrupt(void **state)
{
    (void)state;
    struct reader rd;
    struct cbor_map map;
    int64_t key;
    cbor_reader_init(&rd, bytes_of("\xa1\x00\x01", 3));
    cbor_map_begin(&map, &rd, 10);
    while (cbor_map_next(&map, &rd, &key))
        cbor_skip(&rd);
    cbor_map_require(&map, &rd, 1u << 0);
    assert_int_equal(rd.status, STATUS_OK);
    cbor_map_require(&map, &rd, 1u << 0 | 1u << 1);
    assert_int_equal(rd.status, STATUS_CORRUPT);
}

static void cbor_counts_are_bounded(void **state)
{
    (void)state;
    struct reader rd;
    struct cbor_map map;
    reader_init(&rd, bytes_of("\x83\0\0\0", 4));
    assert_int_equal(cbor_read_array(&rd, 2), 0);
    assert_int_equal(rd.status, STATUS_LIMIT);
    reader_init(&rd, bytes_of("\x83\0\0", 3));
    assert_int_equal(cbor_read_array(&rd, 3), 0);
    assert_int_equal(rd.status, STATUS_TRUNCATED);
    reader_init(&rd, bytes_of("\xa2\0\0\1\0", 5));
    cbor_map_begin(&map, &rd, 1);
    assert_int_equal(rd.status, STATUS_LIMIT);
    reader_init(&rd, bytes_of("\x83\0\0\0", 4));
    cbor_read_array_of(&rd, 2);
    assert_int_equal(rd.status, STATUS_CORRUPT);
    assert_int_equal(validate_hex("9b7fffffffffffffff00"), STATUS_TRUNCATED);
    assert_int_equal(validate_hex("bbffffffffffffffff00"), STATUS_TRUNCATED);
    assert_int_equal(validate_hex("5bffffffffffffffff00"), STATUS_TRUNCATED);
    assert_int_equal(validate_hex("7a7fffffff00"), STATUS_TRUNCATED);
}

static void cbor_reads_of_another_type_stick(void **state)
{
    (void)state;
    uint8_t out[2] = {9, 9};
    struct reader rd;
    struct bytes in = bytes_of("\x60", 1);
    reader_init(&rd, in);
    assert_int_equal(cbor_read_uint(&rd), 0);
    assert_int_equal(rd.status, STATUS_CORRUPT);
    assert_int_equal(cbor_peek(&rd), CBOR_NONE);
    reader_init(&rd, in);
    assert_false(cbor_read_bool(&rd));
    assert_int_equal(rd.status, STATUS_CORRUPT);
    reader_init(&rd, bytes_of("\xf6", 1));
    assert_false(cbor_read_bool(&rd));
    assert_int_equal(rd.status, STATUS_CORRUPT);
    reader_init(&rd, bytes_of("\xf5", 1));
    cbor_read_null(&rd);
    assert_int_equal(rd.status, STATUS_CORRUPT);
    reader_init(&rd, in);
    assert_int_equal(cbor_read_bytes(&rd).size, 0);
    assert_int_equal(rd.status, STATUS_CORRUPT);
    reader_init(&rd, bytes_of("\x41\x07", 2));
    cbor_read_fixed(&rd, out, 2);
    assert_int_equal(rd.status, STATUS_CORRUPT);
    assert_memory_equal(out, "\0\0", 2);
}

static void cbor_maxima_are_limits(void **state)
{
    (void)state;
    struct reader rd;
    reader_init(&rd, bytes_of("\x42\x01\x02", 3));
    assert_int_equal(cbor_read_bytes_max(&rd, 1).size, 0);
    assert_int_equal(rd.status, STATUS_LIMIT);
    reader_init(&rd, bytes_of("\x62"
                              "ab",
                              3));
    assert_int_equal(cbor_read_text_max(&rd, 1).size, 0);
    assert_int_equal(rd.status, STATUS_LIMIT);
    reader_init(&rd, bytes_of("\x62"
                              "ab",
                              3));
    assert_int_equal(cbor_read_text_max(&rd, 2).size, 2);
    reader_init(&rd, bytes_of("\x05", 1));
    assert_int_equal(cbor_read_uint_max(&rd, 4), 0);
    assert_int_equal(rd.status, STATUS_LIMIT);
}

static void cbor_peek_names_the_type(void **state)
{
    (void)state;
    static const struct {
        uint8_t first;
        enum cbor_type type;
    } cases[] = {
        {0x00, CBOR_UINT}, {0x20, CBOR_NEGATIVE}, {0x40, CBOR_BYTES},
        {0x60, CBOR_TEXT}, {0x80, CBOR_ARRAY},    {0xa0, CBOR_MAP},
        {0xc0, CBOR_TAG},  {0xf4, CBOR_BOOL},     {0xf5, CBOR_BOOL},
        {0xf6, CBOR_NULL}, {0xf7, CBOR_NONE},     {0xf9, CBOR_NONE},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct reader rd;
        reader_init(&rd, bytes_of(&cases[i].first, 1));
        assert_int_equal(cbor_peek(&rd), cases[i].type);
        assert_int_equal(reader_left(&rd), 1);
    }
}

static void cbor_raw_items_copy(void **state)
{
    (void)state;
    uint8_t buf[128], again[128];
    struct reader rd;
    struct writer wr;
    struct bytes in = sample(buf, sizeof(buf));
    reader_init(&rd, in);
    struct bytes item = cbor_read_raw(&rd);
    assert_int_equal(reader_finish(&rd), STATUS_OK);
    writer_init(&wr, again, sizeof(again));
    cbor_write_raw(&wr, item);
    assert_true(bytes_equal(writer_view(&wr), in));
    reader_init(&rd, bytes_of("\x18\x00", 2));
    assert_int_equal(cbor_read_raw(&rd).size, 0);
    assert_int_equal(rd.status, STATUS_CORRUPT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cbor_writes_shortest_heads),
        cmocka_unit_test(cbor_signed_integers_round_trip),
        cmocka_unit_test(cbor_int_outside_int64_is_limit),
        cmocka_unit_test(cbor_sample_reads_back),
        cmocka_unit_test(cbor_every_truncation_is_refused),
        cmocka_unit_test(cbor_other_encodings_are_corrupt),
        cmocka_unit_test(cbor_text_must_be_utf8),
        cmocka_unit_test(cbor_depth_is_bounded),
        cmocka_unit_test(cbor_map_keys_ascend_strictly),
        cmocka_unit_test(cbor_map_next_refuses_what_validate_would),
        cmocka_unit_test(cbor_unknown_keys_are_kept_or_flagged),
        cmocka_unit_test(cbor_missing_key_is_corrupt),
        cmocka_unit_test(cbor_counts_are_bounded),
        cmocka_unit_test(cbor_reads_of_another_type_stick),
        cmocka_unit_test(cbor_maxima_are_limits),
        cmocka_unit_test(cbor_peek_names_the_type),
        cmocka_unit_test(cbor_raw_items_copy),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
