/* A bounded cursor over bytes from outside. The first failure sticks and later
 * reads yield zero or an empty view, so a record reads as straight lines and
 * is checked once, with reader_status or reader_finish, before any value is
 * acted on. */
#ifndef CODEC_BASE_READER_H
#define CODEC_BASE_READER_H

#include "codec/base/bytes.h"
#include "codec/base/status.h"

struct reader {
    const uint8_t *pos;
    const uint8_t *end;
    const uint8_t *start;
    enum status status;
};

static inline void reader_init(struct reader *rd, struct bytes in)
{
    static const uint8_t nothing[1];
    rd->start = in.size ? in.data : nothing;
    rd->pos = rd->start;
    rd->end = rd->start + in.size;
    rd->status = STATUS_OK;
}

/* Bytes not yet read; 0 after a failure. */
static inline size_t reader_left(const struct reader *rd)
{
    return rd->status ? 0 : (size_t)(rd->end - rd->pos);
}

/* Bytes read so far: the offset to name in a message. */
static inline size_t reader_offset(const struct reader *rd)
{
    return (size_t)(rd->pos - rd->start);
}

/* Notes a failure found by the caller, unless one is noted already. */
static inline void reader_fail(struct reader *rd, enum status status)
{
    if (!rd->status)
        rd->status = status;
}

static inline enum status reader_status(const struct reader *rd)
{
    return rd->status;
}

/* As reader_status, and CORRUPT when bytes are left over. */
static inline enum status MUST_CHECK reader_finish(const struct reader *rd)
{
    if (rd->status)
        return rd->status;
    return rd->pos == rd->end ? STATUS_OK : STATUS_CORRUPT;
}

/* A view of the next size bytes, empty on failure. Valid as long as the bytes
 * the reader was made over. */
static inline struct bytes reader_bytes(struct reader *rd, size_t size)
{
    if (size > reader_left(rd)) {
        reader_fail(rd, STATUS_TRUNCATED);
        return (struct bytes){rd->start, 0};
    }
    struct bytes view = {rd->pos, size};
    rd->pos += size;
    return view;
}

/* Copies exactly size bytes to out, zeroes on failure. */
static inline void reader_copy(struct reader *rd, void *out, size_t size)
{
    struct bytes view = reader_bytes(rd, size);
    if (!size)
        return;
    if (view.size == size)
        memcpy(out, view.data, size);
    else
        memset(out, 0, size);
}

/* A reader over the next size bytes, for a nested element. */
static inline struct reader reader_sub(struct reader *rd, size_t size)
{
    struct reader sub;
    reader_init(&sub, reader_bytes(rd, size));
    sub.status = rd->status;
    return sub;
}

static inline uint8_t reader_u8(struct reader *rd)
{
    struct bytes view = reader_bytes(rd, 1);
    return view.size ? view.data[0] : 0;
}

static inline uint16_t reader_le16(struct reader *rd)
{
    struct bytes view = reader_bytes(rd, 2);
    return view.size ? load_le16(view.data) : 0;
}

static inline uint32_t reader_le32(struct reader *rd)
{
    struct bytes view = reader_bytes(rd, 4);
    return view.size ? load_le32(view.data) : 0;
}

static inline uint64_t reader_le64(struct reader *rd)
{
    struct bytes view = reader_bytes(rd, 8);
    return view.size ? load_le64(view.data) : 0;
}

static inline uint16_t reader_be16(struct reader *rd)
{
    struct bytes view = reader_bytes(rd, 2);
    return view.size ? load_be16(view.data) : 0;
}

static inline uint32_t reader_be32(struct reader *rd)
{
    struct bytes view = reader_bytes(rd, 4);
    return view.size ? load_be32(view.data) : 0;
}

static inline uint64_t reader_be64(struct reader *rd)
{
    struct bytes view = reader_bytes(rd, 8);
    return view.size ? load_be64(view.data) : 0;
}

/* Unsigned LEB128 of at most 64 bits in its shortest form; a longer form or a
 * tenth byte over 1 is CORRUPT. */
static inline uint64_t reader_varint(struct reader *rd)
{
    uint64_t value = 0;
    for (unsigned shift = 0; shift < 70; shift += 7) {
        uint8_t byte = reader_u8(rd);
        if (rd->status)
            return 0;
        if ((shift == 63 && byte > 1) || (shift && !byte)) {
            reader_fail(rd, STATUS_CORRUPT);
            return 0;
        }
        value |= (uint64_t)(byte & 0x7f) << shift;
        if (!(byte & 0x80))
            return value;
    }
    reader_fail(rd, STATUS_CORRUPT);
    return 0;
}

/* A varint that must be <= max, else LIMIT: for counts before they size
 * anything. */
static inline uint64_t reader_varint_max(struct reader *rd, uint64_t max)
{
    uint64_t value = reader_varint(rd);
    if (value > max) {
        reader_fail(rd, STATUS_LIMIT);
        return 0;
    }
    return value;
}

#endif
