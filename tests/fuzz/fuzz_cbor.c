/* CBOR: what validates must read and write again as the same bytes; what does
 * not must fail in the pull reader too. */
#include "protocol/cbor.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void copy_item(struct reader *rd, struct writer *wr, unsigned depth);

static void copy_map(struct reader *rd, struct writer *wr, unsigned depth)
{
    struct cbor_map map;
    struct bytes key;
    cbor_map_begin(&map, rd, SIZE_MAX);
    cbor_write_map(wr, map.left);
    while (cbor_map_next_raw(&map, rd, &key)) {
        cbor_write_raw(wr, key);
        copy_item(rd, wr, depth + 1);
    }
}

static void copy_integer(struct reader *rd, struct writer *wr)
{
    struct reader copy = *rd;
    int64_t v = cbor_read_int(&copy);
    if (copy.status) {
        cbor_write_raw(wr, cbor_read_raw(rd)); /* below int64_t */
    } else {
        *rd = copy;
        cbor_write_int(wr, v);
    }
}

static void copy_item(struct reader *rd, struct writer *wr, unsigned depth)
{
    struct bytes view;
    size_t count;
    if (depth > 8)
        abort();
    switch (cbor_peek(rd)) {
    case CBOR_UINT:
        cbor_write_uint(wr, cbor_read_uint(rd));
        break;
    case CBOR_NEGATIVE:
        copy_integer(rd, wr);
        break;
    case CBOR_BYTES:
        view = cbor_read_bytes(rd);
        cbor_write_bytes(wr, view.data, view.size);
        break;
    case CBOR_TEXT:
        cbor_write_text(wr, cbor_read_text(rd));
        break;
    case CBOR_ARRAY:
        count = cbor_read_array(rd, SIZE_MAX);
        cbor_write_array(wr, count);
        while (count--)
            copy_item(rd, wr, depth + 1);
        break;
    case CBOR_MAP:
        copy_map(rd, wr, depth);
        break;
    case CBOR_TAG:
        cbor_write_tag(wr, cbor_read_tag(rd));
        copy_item(rd, wr, depth + 1);
        break;
    case CBOR_BOOL:
        cbor_write_bool(wr, cbor_read_bool(rd));
        break;
    case CBOR_NULL:
        cbor_read_null(rd);
        cbor_write_null(wr);
        break;
    default:
        reader_fail(rd, STATUS_CORRUPT);
        break;
    }
}

/* The pull reads on bytes that nobody validated, one after another. */
static void read_anything(struct bytes in)
{
    struct reader rd;
    struct cbor_map map;
    int64_t key;
    reader_init(&rd, in);
    cbor_map_begin(&map, &rd, 1000);
    while (cbor_map_next(&map, &rd, &key)) {
        struct bytes kept = cbor_map_unknown(&map, &rd);
        if (!rd.status && !kept.size)
            abort();
    }
    for (size_t max = 0; max < 4; max++) {
        reader_init(&rd, in);
        (void)cbor_read_array(&rd, max);
        (void)cbor_read_text_max(&rd, max);
        (void)cbor_read_bytes_max(&rd, max);
        (void)cbor_read_int(&rd);
        cbor_skip(&rd);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bytes in = bytes_of(data, size);
    struct diag diag = {0};
    struct reader rd;
    struct writer wr;
    read_anything(in);
    enum status status = cbor_validate(in, &diag);
    cbor_reader_init(&rd, in);
    if (rd.status != status || (status && !diag.text[0]))
        abort();
    if (status)
        return 0;
    writer_init_heap(&wr, size);
    copy_item(&rd, &wr, 0);
    if (reader_finish(&rd) || wr.status || !bytes_equal(writer_view(&wr), in))
        abort();
    writer_deinit(&wr);
    return 0;
}
