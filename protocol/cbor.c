/* Deterministic CBOR: one head parser, on which the pull reads and the
 * validation rest, and the shortest-form writer.
 *
 * Ref: RFC 8949 sections 3 and 4.2.1. */
#include "protocol/cbor.h"

#include "codec/base/utf8.h"
#include "protocol/limits.h"

enum cbor_major {
    MAJOR_UINT,
    MAJOR_NEGATIVE,
    MAJOR_BYTES,
    MAJOR_TEXT,
    MAJOR_ARRAY,
    MAJOR_MAP,
    MAJOR_TAG,
    MAJOR_SIMPLE
};

#define SIMPLE_FALSE 20u
#define SIMPLE_TRUE  21u
#define SIMPLE_NULL  22u

struct cbor_head {
    unsigned major;
    uint64_t argument;
};

static uint64_t cbor_read_argument(struct reader *rd, unsigned info)
{
    switch (info) {
    case 24:
        return reader_u8(rd);
    case 25:
        return reader_be16(rd);
    case 26:
        return reader_be32(rd);
    case 27:
        return reader_be64(rd);
    default: /* reserved, or an indefinite length */
        reader_fail(rd, STATUS_CORRUPT);
        return 0;
    }
}

/* The least argument that needs each width; a lesser one has a shorter form. */
static uint64_t cbor_least(unsigned info)
{
    switch (info) {
    case 24:
        return 24;
    case 25:
        return 0x100;
    case 26:
        return 0x10000;
    default:
        return 0x100000000u;
    }
}

/* Any head of the subset; major 7 only as false, true and null. */
static struct cbor_head cbor_read_head(struct reader *rd)
{
    static const struct cbor_head none = {MAJOR_SIMPLE, 0};
    uint8_t first = reader_u8(rd);
    unsigned info = first & 31;
    struct cbor_head head = {first >> 5, info};
    if (rd->status)
        return none;
    if (head.major == MAJOR_SIMPLE &&
        (info < SIMPLE_FALSE || info > SIMPLE_NULL)) {
        reader_fail(rd, STATUS_CORRUPT);
        return none;
    }
    if (info >= 24) {
        head.argument = cbor_read_argument(rd, info);
        if (!rd->status && head.argument < cbor_least(info))
            reader_fail(rd, STATUS_CORRUPT);
    }
    return rd->status ? none : head;
}

static uint64_t cbor_expect(struct reader *rd, unsigned major)
{
    struct cbor_head head = cbor_read_head(rd);
    if (head.major != major)
        reader_fail(rd, STATUS_CORRUPT);
    return rd->status ? 0 : head.argument;
}

enum cbor_type cbor_peek(const struct reader *rd)
{
    if (!reader_left(rd))
        return CBOR_NONE;
    unsigned major = *rd->pos >> 5;
    unsigned info = *rd->pos & 31;
    if (major < MAJOR_SIMPLE)
        return (enum cbor_type)major;
    if (info == SIMPLE_FALSE || info == SIMPLE_TRUE)
        return CBOR_BOOL;
    return info == SIMPLE_NULL ? CBOR_NULL : CBOR_NONE;
}

uint64_t cbor_read_uint(struct reader *rd)
{
    return cbor_expect(rd, MAJOR_UINT);
}

uint64_t cbor_read_uint_max(struct reader *rd, uint64_t max)
{
    uint64_t v = cbor_read_uint(rd);
    if (v > max) {
        reader_fail(rd, STATUS_LIMIT);
        return 0;
    }
    return v;
}

int64_t cbor_read_int(struct reader *rd)
{
    struct cbor_head head = cbor_read_head(rd);
    if (head.major != MAJOR_UINT && head.major != MAJOR_NEGATIVE)
        reader_fail(rd, STATUS_CORRUPT);
    if (head.argument > INT64_MAX)
        reader_fail(rd, STATUS_LIMIT);
    if (rd->status)
        return 0;
    int64_t v = (int64_t)head.argument;
    return head.major == MAJOR_UINT ? v : -1 - v;
}

bool cbor_read_bool(struct reader *rd)
{
    uint64_t v = cbor_expect(rd, MAJOR_SIMPLE);
    if (v == SIMPLE_NULL)
        reader_fail(rd, STATUS_CORRUPT);
    return !rd->status && v == SIMPLE_TRUE;
}

void cbor_read_null(struct reader *rd)
{
    if (cbor_expect(rd, MAJOR_SIMPLE) != SIMPLE_NULL)
        reader_fail(rd, STATUS_CORRUPT);
}

uint64_t cbor_read_tag(struct reader *rd)
{
    return cbor_expect(rd, MAJOR_TAG);
}

/* Lengths and counts are 64 bits wide; what is left never is. */
static struct bytes cbor_read_view(struct reader *rd, uint64_t size)
{
    if (size > reader_left(rd))
        reader_fail(rd, STATUS_TRUNCATED);
    return reader_bytes(rd, rd->status ? 0 : (size_t)size);
}

struct bytes cbor_read_bytes(struct reader *rd)
{
    return cbor_read_view(rd, cbor_expect(rd, MAJOR_BYTES));
}

struct bytes cbor_read_bytes_max(struct reader *rd, size_t max)
{
    struct bytes view = cbor_read_bytes(rd);
    if (view.size > max) {
        reader_fail(rd, STATUS_LIMIT);
        view.size = 0;
    }
    return view;
}

void cbor_read_fixed(struct reader *rd, void *out, size_t size)
{
    struct bytes view = cbor_read_bytes(rd);
    if (view.size != size)
        reader_fail(rd, STATUS_CORRUPT);
    if (!size)
        return;
    if (rd->status)
        memset(out, 0, size);
    else
        memcpy(out, view.data, size);
}

struct bytes cbor_read_text(struct reader *rd)
{
    struct bytes view = cbor_read_view(rd, cbor_expect(rd, MAJOR_TEXT));
    if (!utf8_valid(view)) {
        reader_fail(rd, STATUS_CORRUPT);
        view.size = 0;
    }
    return view;
}

struct bytes cbor_read_text_max(struct reader *rd, size_t max)
{
    struct bytes view = cbor_read_text(rd);
    if (view.size > max) {
        reader_fail(rd, STATUS_LIMIT);
        view.size = 0;
    }
    return view;
}

/* Each counted thing takes at least item_bytes of what is left. */
static size_t cbor_check_count(struct reader *rd, uint64_t count, uint64_t max,
                               size_t item_bytes)
{
    if (count > max)
        reader_fail(rd, STATUS_LIMIT);
    if (count > reader_left(rd) / item_bytes)
        reader_fail(rd, STATUS_TRUNCATED);
    return rd->status ? 0 : (size_t)count;
}

size_t cbor_read_array(struct reader *rd, size_t max)
{
    return cbor_check_count(rd, cbor_expect(rd, MAJOR_ARRAY), max, 1);
}

void cbor_read_array_of(struct reader *rd, size_t count)
{
    if (cbor_expect(rd, MAJOR_ARRAY) != count)
        reader_fail(rd, STATUS_CORRUPT);
    (void)cbor_check_count(rd, count, count, 1);
}

/* Strictly ascending, byte by byte; neither is a prefix of the other unless
 * they are equal, since both are whole items. */
static bool cbor_key_follows(struct bytes last, struct bytes key)
{
    size_t common = last.size < key.size ? last.size : key.size;
    int order = memcmp(last.data, key.data, common);
    return order < 0 || (order == 0 && last.size < key.size);
}

static void cbor_check_item(struct reader *rd, unsigned depth);

static void cbor_check_map(struct reader *rd, uint64_t pairs, unsigned depth)
{
    struct bytes last = {NULL, 0};
    size_t left = cbor_check_count(rd, pairs, UINT64_MAX, 2);
    for (; left && !rd->status; left--) {
        struct bytes key = {rd->pos, 0};
        cbor_check_item(rd, depth);
        key.size = (size_t)(rd->pos - key.data);
        if (!rd->status && last.data && !cbor_key_follows(last, key))
            reader_fail(rd, STATUS_CORRUPT);
        last = key;
        cbor_check_item(rd, depth);
    }
}

static void cbor_check_array(struct reader *rd, uint64_t items, unsigned depth)
{
    size_t left = cbor_check_count(rd, items, UINT64_MAX, 1);
    for (; left && !rd->status; left--)
        cbor_check_item(rd, depth);
}

/* One item inside depth containers; calls itself at most LIMIT_CBOR_DEPTH
 * deep. */
static void cbor_check_item(struct reader *rd, unsigned depth)
{
    struct cbor_head head = cbor_read_head(rd);
    if (rd->status)
        return;
    if (head.major >= MAJOR_ARRAY && head.major <= MAJOR_TAG &&
        depth == LIMIT_CBOR_DEPTH) {
        reader_fail(rd, STATUS_LIMIT);
        return;
    }
    switch (head.major) {
    case MAJOR_BYTES:
        (void)cbor_read_view(rd, head.argument);
        break;
    case MAJOR_TEXT:
        if (!utf8_valid(cbor_read_view(rd, head.argument)))
            reader_fail(rd, STATUS_CORRUPT);
        break;
    case MAJOR_ARRAY:
        cbor_check_array(rd, head.argument, depth + 1);
        break;
    case MAJOR_MAP:
        cbor_check_map(rd, head.argument, depth + 1);
        break;
    case MAJOR_TAG:
        cbor_check_item(rd, depth + 1);
        break;
    default:
        break;
    }
}

enum status cbor_validate(struct bytes in, struct diag *diag)
{
    struct reader rd;
    reader_init(&rd, in);
    cbor_check_item(&rd, 0);
    enum status status = reader_finish(&rd);
    if (status)
        return diag_fail(diag, status, "CBOR: %s at offset %zu",
                         status_text(status), reader_offset(&rd));
    return STATUS_OK;
}

void cbor_reader_init(struct reader *rd, struct bytes in)
{
    reader_init(rd, in);
    reader_fail(rd, cbor_validate(in, NULL));
}

struct bytes cbor_read_raw(struct reader *rd)
{
    struct bytes item = {rd->pos, 0};
    cbor_check_item(rd, 0);
    if (!rd->status)
        item.size = (size_t)(rd->pos - item.data);
    return item;
}

void cbor_skip(struct reader *rd)
{
    (void)cbor_read_raw(rd);
}

void cbor_map_begin(struct cbor_map *map, struct reader *rd, size_t max)
{
    *map = (struct cbor_map){0};
    map->left = cbor_check_count(rd, cbor_expect(rd, MAJOR_MAP), max, 2);
}

bool cbor_map_next_raw(struct cbor_map *map, struct reader *rd,
                       struct bytes *key)
{
    *key = (struct bytes){NULL, 0};
    if (rd->status || !map->left)
        return false;
    map->left--;
    struct bytes item = cbor_read_raw(rd);
    if (!rd->status && map->last_key.data &&
        !cbor_key_follows(map->last_key, item))
        reader_fail(rd, STATUS_CORRUPT);
    if (rd->status)
        return false;
    map->last_key = item;
    *key = item;
    return true;
}

bool cbor_map_next(struct cbor_map *map, struct reader *rd, int64_t *key)
{
    struct bytes item;
    struct reader key_rd;
    *key = 0;
    if (!cbor_map_next_raw(map, rd, &item))
        return false;
    reader_init(&key_rd, item);
    map->key = cbor_read_int(&key_rd);
    reader_fail(rd, reader_status(&key_rd));
    if (rd->status)
        return false;
    if (map->key >= 0 && map->key < 64)
        map->seen |= (uint64_t)1 << map->key;
    *key = map->key;
    return true;
}

struct bytes cbor_map_unknown(struct cbor_map *map, struct reader *rd)
{
    if (map->key < 0 && !map->must_understand) {
        map->must_understand = true;
        map->must_key = map->key;
    }
    cbor_skip(rd);
    if (rd->status)
        return (struct bytes){NULL, 0};
    return (struct bytes){map->last_key.data,
                          (size_t)(rd->pos - map->last_key.data)};
}

void cbor_map_require(const struct cbor_map *map, struct reader *rd,
                      uint64_t mask)
{
    if ((map->seen & mask) != mask)
        reader_fail(rd, STATUS_CORRUPT);
}

size_t cbor_head_size(uint64_t argument)
{
    if (argument < 24)
        return 1;
    if (argument < 0x100)
        return 2;
    if (argument < 0x10000)
        return 3;
    return argument < 0x100000000u ? 5 : 9;
}

static void cbor_write_head(struct writer *wr, unsigned major,
                            uint64_t argument)
{
    uint8_t base = (uint8_t)(major << 5);
    switch (cbor_head_size(argument)) {
    case 1:
        writer_u8(wr, (uint8_t)(base | argument));
        break;
    case 2:
        writer_u8(wr, base | 24);
        writer_u8(wr, (uint8_t)argument);
        break;
    case 3:
        writer_u8(wr, base | 25);
        writer_be16(wr, (uint16_t)argument);
        break;
    case 5:
        writer_u8(wr, base | 26);
        writer_be32(wr, (uint32_t)argument);
        break;
    default:
        writer_u8(wr, base | 27);
        writer_be64(wr, argument);
        break;
    }
}

void cbor_write_uint(struct writer *wr, uint64_t v)
{
    cbor_write_head(wr, MAJOR_UINT, v);
}

void cbor_write_int(struct writer *wr, int64_t v)
{
    if (v >= 0)
        cbor_write_head(wr, MAJOR_UINT, (uint64_t)v);
    else
        cbor_write_head(wr, MAJOR_NEGATIVE, (uint64_t)(-1 - v));
}

void cbor_write_bytes(struct writer *wr, const void *data, size_t size)
{
    cbor_write_head(wr, MAJOR_BYTES, size);
    writer_bytes(wr, data, size);
}

void cbor_write_text(struct writer *wr, struct bytes text)
{
    cbor_write_head(wr, MAJOR_TEXT, text.size);
    writer_bytes(wr, text.data, text.size);
}

void cbor_write_array(struct writer *wr, size_t count)
{
    cbor_write_head(wr, MAJOR_ARRAY, count);
}

void cbor_write_map(struct writer *wr, size_t count)
{
    cbor_write_head(wr, MAJOR_MAP, count);
}

void cbor_write_tag(struct writer *wr, uint64_t tag)
{
    cbor_write_head(wr, MAJOR_TAG, tag);
}

void cbor_write_bool(struct writer *wr, bool v)
{
    cbor_write_head(wr, MAJOR_SIMPLE, v ? SIMPLE_TRUE : SIMPLE_FALSE);
}

void cbor_write_null(struct writer *wr)
{
    cbor_write_head(wr, MAJOR_SIMPLE, SIMPLE_NULL);
}

void cbor_write_raw(struct writer *wr, struct bytes item)
{
    writer_bytes(wr, item.data, item.size);
}
