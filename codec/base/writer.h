/* An append cursor over a buffer that the caller owns, or over a heap buffer
 * that grows up to a ceiling. The first failure sticks (LIMIT at the ceiling,
 * NO_MEMORY), later writes do nothing, and the status is checked once. */
#ifndef CODEC_BASE_WRITER_H
#define CODEC_BASE_WRITER_H

#include "codec/base/bytes.h"
#include "codec/base/status.h"

struct writer {
    uint8_t *data; /* the buffer's first byte */
    size_t size;   /* bytes written */
    size_t cap;    /* bytes the buffer has now */
    size_t max;    /* bytes it may grow to; == cap for a fixed buffer */
    bool heap;
    enum status status;
};

/* Writes into buf, which stays the caller's. */
void writer_init(struct writer *wr, void *buf, size_t cap);

/* Writes into a heap buffer that starts empty and never exceeds max bytes.
 * Release with writer_deinit, or take the buffer with writer_take. */
void writer_init_heap(struct writer *wr, size_t max);
void writer_deinit(struct writer *wr);

/* Hands the heap buffer to the caller (free() it) and leaves the writer empty.
 * NULL when nothing was written or a write failed. */
uint8_t *writer_take(struct writer *wr, size_t *size);

/* Room for size bytes, counted as written; NULL on failure. The pointer holds
 * until the next write. */
uint8_t *writer_reserve(struct writer *wr, size_t size);

void writer_bytes(struct writer *wr, const void *data, size_t size);
void writer_u8(struct writer *wr, uint8_t v);
void writer_le16(struct writer *wr, uint16_t v);
void writer_le32(struct writer *wr, uint32_t v);
void writer_le64(struct writer *wr, uint64_t v);
void writer_be16(struct writer *wr, uint16_t v);
void writer_be32(struct writer *wr, uint32_t v);
void writer_be64(struct writer *wr, uint64_t v);
void writer_varint(struct writer *wr, uint64_t v); /* LEB128, shortest form */

static inline void writer_fail(struct writer *wr, enum status status)
{
    if (!wr->status)
        wr->status = status;
}

static inline enum status MUST_CHECK writer_status(const struct writer *wr)
{
    return wr->status;
}

/* What was written so far; holds until the next write. */
static inline struct bytes writer_view(const struct writer *wr)
{
    return (struct bytes){wr->data, wr->size};
}

#endif
