/* The append cursor: fixed and growing buffers behind one reserve call. */
#include "codec/base/writer.h"

#include <stdlib.h>

void writer_init(struct writer *wr, void *buf, size_t cap)
{
    *wr = (struct writer){.data = buf, .cap = cap, .max = cap};
}

void writer_init_heap(struct writer *wr, size_t max)
{
    *wr = (struct writer){.max = max, .heap = true};
}

void writer_deinit(struct writer *wr)
{
    if (wr->heap)
        free(wr->data);
    *wr = (struct writer){0};
}

uint8_t *writer_take(struct writer *wr, size_t *size)
{
    *size = 0;
    if (!wr->heap || wr->status || !wr->data) {
        writer_deinit(wr);
        return NULL;
    }
    uint8_t *data = wr->data;
    *size = wr->size;
    size_t max = wr->max;
    writer_init_heap(wr, max);
    return data;
}

/* Doubles up to the ceiling; false leaves the writer failed. */
static bool writer_grow(struct writer *wr, size_t need)
{
    if (need > wr->max || !wr->heap) {
        writer_fail(wr, STATUS_LIMIT);
        return false;
    }
    size_t cap = wr->cap ? wr->cap : 64;
    while (cap < need)
        cap = cap > wr->max / 2 ? wr->max : cap * 2;
    if (cap > wr->max)
        cap = wr->max;
    uint8_t *data = realloc(wr->data, cap);
    if (!data) {
        writer_fail(wr, STATUS_NO_MEMORY);
        return false;
    }
    wr->data = data;
    wr->cap = cap;
    return true;
}

uint8_t *writer_reserve(struct writer *wr, size_t size)
{
    if (wr->status)
        return NULL;
    if (size > SIZE_MAX - wr->size) {
        writer_fail(wr, STATUS_LIMIT);
        return NULL;
    }
    size_t need = wr->size + size;
    if ((need > wr->cap || !wr->data) && !writer_grow(wr, need))
        return NULL;
    uint8_t *at = wr->data + wr->size;
    wr->size = need;
    return at;
}

void writer_bytes(struct writer *wr, const void *data, size_t size)
{
    if (!size)
        return;
    uint8_t *at = writer_reserve(wr, size);
    if (at)
        memcpy(at, data, size);
}

void writer_u8(struct writer *wr, uint8_t v)
{
    writer_bytes(wr, &v, 1);
}

void writer_le16(struct writer *wr, uint16_t v)
{
    uint8_t *at = writer_reserve(wr, 2);
    if (at)
        store_le16(at, v);
}

void writer_le32(struct writer *wr, uint32_t v)
{
    uint8_t *at = writer_reserve(wr, 4);
    if (at)
        store_le32(at, v);
}

void writer_le64(struct writer *wr, uint64_t v)
{
    uint8_t *at = writer_reserve(wr, 8);
    if (at)
        store_le64(at, v);
}

void writer_be16(struct writer *wr, uint16_t v)
{
    uint8_t *at = writer_reserve(wr, 2);
    if (at)
        store_be16(at, v);
}

void writer_be32(struct writer *wr, uint32_t v)
{
    uint8_t *at = writer_reserve(wr, 4);
    if (at)
        store_be32(at, v);
}

void writer_be64(struct writer *wr, uint64_t v)
{
    uint8_t *at = writer_reserve(wr, 8);
    if (at)
        store_be64(at, v);
}

void writer_varint(struct writer *wr, uint64_t v)
{
    while (v >= 0x80) {
        writer_u8(wr, (uint8_t)(v | 0x80));
        v >>= 7;
    }
    writer_u8(wr, (uint8_t)v);
}
