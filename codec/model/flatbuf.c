/* Offsets, tables and vectors. */
#include "codec/model/flatbuf.h"

static void flatbuf_fail(struct flatbuf *fb, uint64_t pos, const char *what)
{
    if (!fb->status)
        fb->status = diag_fail(fb->diag, STATUS_CORRUPT,
                               "FlatBuffer, at offset %llu: %s",
                               (unsigned long long)pos, what);
}

/* True when size bytes from pos lie in the file. */
static bool flatbuf_fits(const struct flatbuf *fb, uint64_t pos, uint64_t size)
{
    uint64_t file = fb->scan->source->size;
    return pos <= file && size <= file - pos;
}

void flatbuf_read(struct flatbuf *fb, uint64_t pos, void *out, size_t size)
{
    memset(out, 0, size);
    if (fb->status)
        return;
    if (!flatbuf_fits(fb, pos, size)) {
        flatbuf_fail(fb, pos, "lies behind the end of the file");
        return;
    }
    enum status status = scan_read(fb->scan, pos, out, size);
    if (status) {
        fb->status = status;
        memset(out, 0, size);
    }
}

static uint16_t flatbuf_le16(struct flatbuf *fb, uint64_t pos)
{
    uint8_t buf[2];
    flatbuf_read(fb, pos, buf, sizeof(buf));
    return load_le16(buf);
}

static uint32_t flatbuf_le32(struct flatbuf *fb, uint64_t pos)
{
    uint8_t buf[4];
    flatbuf_read(fb, pos, buf, sizeof(buf));
    return load_le32(buf);
}

/* Where the offset stored at pos points to; 0 after a failure. */
static uint64_t flatbuf_follow(struct flatbuf *fb, uint64_t pos)
{
    uint32_t offset = flatbuf_le32(fb, pos);
    if (!offset)
        flatbuf_fail(fb, pos, "an offset points to itself");
    else if (!flatbuf_fits(fb, pos + offset, 4))
        flatbuf_fail(fb, pos, "an offset points behind the end of the file");
    return fb->status ? 0 : pos + offset;
}

static struct flatbuf_table flatbuf_table(struct flatbuf *fb, uint64_t at)
{
    static const struct flatbuf_table none;
    struct flatbuf_table table = {.pos = flatbuf_follow(fb, at)};
    int32_t back = (int32_t)flatbuf_le32(fb, table.pos);
    table.vtable = table.pos - (uint64_t)(int64_t)back;
    if (fb->status)
        return none;
    if (!flatbuf_fits(fb, table.vtable, 4)) {
        flatbuf_fail(fb, table.pos, "a vtable lies out of the file");
        return none;
    }
    table.vtable_size = flatbuf_le16(fb, table.vtable);
    table.size = flatbuf_le16(fb, table.vtable + 2);
    if (table.vtable_size < 4 || table.vtable_size % 2 ||
        !flatbuf_fits(fb, table.vtable, table.vtable_size))
        flatbuf_fail(fb, table.vtable, "a vtable has no such size");
    else if (table.size < 4 || !flatbuf_fits(fb, table.pos, table.size))
        flatbuf_fail(fb, table.pos, "a table ends behind the end of the file");
    return fb->status ? none : table;
}

struct flatbuf_table flatbuf_root(struct flatbuf *fb)
{
    return flatbuf_table(fb, 0);
}

/* Where a field of size bytes lies; 0 for an absent one. */
static uint64_t flatbuf_field(struct flatbuf *fb,
                              const struct flatbuf_table *table, unsigned field,
                              uint32_t size)
{
    uint32_t slot = 4 + 2 * field;
    if (fb->status || !table->pos || slot + 2 > table->vtable_size)
        return 0;
    uint32_t at = flatbuf_le16(fb, table->vtable + slot);
    if (!at)
        return 0;
    if (at < 4 || at > table->size || size > table->size - at) {
        flatbuf_fail(fb, table->vtable + slot, "a field lies out of its table");
        return 0;
    }
    return table->pos + at;
}

uint8_t flatbuf_u8(struct flatbuf *fb, const struct flatbuf_table *table,
                   unsigned field, uint8_t other)
{
    uint8_t value;
    uint64_t pos = flatbuf_field(fb, table, field, 1);
    if (!pos)
        return other;
    flatbuf_read(fb, pos, &value, 1);
    return value;
}

uint32_t flatbuf_u32(struct flatbuf *fb, const struct flatbuf_table *table,
                     unsigned field, uint32_t other)
{
    uint64_t pos = flatbuf_field(fb, table, field, 4);
    return pos ? flatbuf_le32(fb, pos) : other;
}

uint64_t flatbuf_u64(struct flatbuf *fb, const struct flatbuf_table *table,
                     unsigned field, uint64_t other)
{
    uint8_t buf[8];
    uint64_t pos = flatbuf_field(fb, table, field, 8);
    if (!pos)
        return other;
    flatbuf_read(fb, pos, buf, sizeof(buf));
    return load_le64(buf);
}

bool flatbuf_sub(struct flatbuf *fb, const struct flatbuf_table *table,
                 unsigned field, struct flatbuf_table *out)
{
    uint64_t at = flatbuf_field(fb, table, field, 4);
    *out = at ? flatbuf_table(fb, at) : (struct flatbuf_table){0};
    return out->pos != 0;
}

struct flatbuf_vector flatbuf_vector(struct flatbuf *fb,
                                     const struct flatbuf_table *table,
                                     unsigned field, uint32_t elem_size)
{
    static const struct flatbuf_vector none;
    uint64_t at = flatbuf_field(fb, table, field, 4);
    if (!at)
        return none;
    uint64_t pos = flatbuf_follow(fb, at);
    struct flatbuf_vector vector = {pos + 4, flatbuf_le32(fb, pos)};
    if (fb->status)
        return none;
    if (!flatbuf_fits(fb, vector.pos, (uint64_t)vector.count * elem_size)) {
        flatbuf_fail(fb, pos, "a vector ends behind the end of the file");
        return none;
    }
    return vector;
}

struct flatbuf_table flatbuf_element(struct flatbuf *fb,
                                     const struct flatbuf_vector *vector,
                                     uint32_t index)
{
    return flatbuf_table(fb, vector->pos + 4 * (uint64_t)index);
}
