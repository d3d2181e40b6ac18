/* CBOR: {"tests": [{hex, roundtrip, decoded}]} in the form of RFC 8949
 * Appendix A. What is not deterministic (roundtrip false), floats, and simple
 * values but false, true and null must be refused; all else must be accepted,
 * read as the value of `decoded`, and written again as the same bytes. */
#include "tests/conformance/suite.h"

#include "protocol/cbor.h"

/* Whether an item outside the subset occurs, judged without our reader. Works
 * on well-formed definite-length CBOR; anything else ends the walk. */
static size_t walk(const uint8_t *in, size_t size, bool *outside)
{
    if (!size)
        return 0;
    unsigned major = in[0] >> 5, info = in[0] & 31;
    size_t extra = info < 24 ? 0 : info < 28 ? (size_t)1 << (info - 24) : size;
    if (extra >= size)
        return size;
    uint64_t argument = info;
    for (size_t i = 0; i < extra; i++)
        argument = (i ? argument << 8 : 0) | in[1 + i];
    size_t at = 1 + extra;
    if (major == 7)
        *outside |= info < 20 || info > 22;
    if (major == 2 || major == 3)
        return argument > size - at ? size : at + (size_t)argument;
    uint64_t items = major == 4   ? argument
                     : major == 5 ? 2 * argument
                     : major == 6 ? 1
                                  : 0;
    for (; items && at < size; items--)
        at += walk(in + at, size - at, outside);
    return at;
}

static bool same_value(struct reader *rd, struct writer *wr,
                       const json_t *want);

/* Numbers are compared as binary64; their exact bytes by writing them. */
static bool same_number(const json_t *want, double got)
{
    return !want || (json_is_number(want) && json_number_value(want) == got);
}

static bool same_array(struct reader *rd, struct writer *wr, const json_t *want)
{
    size_t count = cbor_read_array(rd, 1000);
    cbor_write_array(wr, count);
    if (want && (!json_is_array(want) || json_array_size(want) != count))
        return false;
    for (size_t i = 0; i < count; i++)
        if (!same_value(rd, wr, json_array_get(want, i)))
            return false;
    return true;
}

static bool same_map(struct reader *rd, struct writer *wr, const json_t *want)
{
    struct cbor_map map;
    struct bytes key;
    cbor_map_begin(&map, rd, 1000);
    cbor_write_map(wr, map.left);
    if (want && (!json_is_object(want) || json_object_size(want) != map.left))
        return false;
    while (cbor_map_next_raw(&map, rd, &key)) {
        struct reader key_rd;
        const json_t *value = NULL;
        cbor_reader_init(&key_rd, key);
        cbor_write_raw(wr, key);
        if (want) {
            char name[64] = "";
            struct bytes text = cbor_read_text_max(&key_rd, sizeof(name) - 1);
            memcpy(name, text.data, text.size);
            value = json_object_get(want, name);
            if (!value)
                return false;
        }
        if (!same_value(rd, wr, value))
            return false;
    }
    return true;
}

static bool same_text(struct reader *rd, struct writer *wr, const json_t *want)
{
    struct bytes text = cbor_read_text(rd);
    cbor_write_text(wr, text);
    return !want || (json_is_string(want) &&
                     bytes_equal(text, bytes_of(json_string_value(want),
                                                json_string_length(want))));
}

/* A negative integer below int64_t has no reader of its own. */
static bool same_negative(struct reader *rd, struct writer *wr,
                          const json_t *want)
{
    struct reader copy = *rd;
    int64_t v = cbor_read_int(&copy);
    if (copy.status) {
        cbor_write_raw(wr, cbor_read_raw(rd));
        return !want || json_number_value(want) <= -9223372036854775808.0;
    }
    *rd = copy;
    cbor_write_int(wr, v);
    return same_number(want, (double)v);
}

static bool same_value(struct reader *rd, struct writer *wr, const json_t *want)
{
    uint64_t number;
    struct bytes view;
    bool flag;
    switch (cbor_peek(rd)) {
    case CBOR_UINT:
        number = cbor_read_uint(rd);
        cbor_write_uint(wr, number);
        return same_number(want, (double)number);
    case CBOR_NEGATIVE:
        return same_negative(rd, wr, want);
    case CBOR_BYTES:
        view = cbor_read_bytes(rd);
        cbor_write_bytes(wr, view.data, view.size);
        return true;
    case CBOR_TEXT:
        return same_text(rd, wr, want);
    case CBOR_ARRAY:
        return same_array(rd, wr, want);
    case CBOR_MAP:
        return same_map(rd, wr, want);
    case CBOR_TAG:
        cbor_write_tag(wr, cbor_read_tag(rd));
        return same_value(rd, wr, NULL);
    case CBOR_BOOL:
        flag = cbor_read_bool(rd);
        cbor_write_bool(wr, flag);
        return !want || (json_is_boolean(want) && json_is_true(want) == flag);
    case CBOR_NULL:
        cbor_read_null(rd);
        cbor_write_null(wr);
        return !want || json_is_null(want);
    default:
        return false;
    }
}

static enum suite_result run_vector(const json_t *vector, char *why,
                                    size_t why_size)
{
    static struct suite_blob in;
    static uint8_t again[SUITE_BLOB_MAX];
    struct reader rd;
    struct writer wr;
    bool outside = !json_is_true(json_object_get(vector, "roundtrip"));
    if (!suite_hex(vector, "hex", &in) || !in.present)
        return suite_because(SUITE_FAIL, why, why_size, "hex is malformed");
    (void)walk(in.b, in.size, &outside);
    enum status status = cbor_validate(suite_view(&in), NULL);
    if (outside != (status != STATUS_OK))
        return suite_because(SUITE_FAIL, why, why_size, "%s: %s",
                             outside ? "accepted" : "refused",
                             suite_text(vector, "hex"));
    if (outside)
        return SUITE_PASS;
    cbor_reader_init(&rd, suite_view(&in));
    writer_init(&wr, again, sizeof(again));
    if (!same_value(&rd, &wr, json_object_get(vector, "decoded")) ||
        reader_finish(&rd) || !bytes_equal(writer_view(&wr), suite_view(&in)))
        return suite_because(SUITE_FAIL, why, why_size, "reads wrong: %s",
                             suite_text(vector, "hex"));
    return SUITE_PASS;
}

int main(int argc, char **argv)
{
    return suite_main(argc, argv, "cbor", "tests", "hex", run_vector);
}
