/* The checked read of a source, and the source over memory. */
#include "codec/base/source.h"

#include <stdlib.h>

#define SOURCE_PIECE ((size_t)1 << 16)

enum status source_read(const struct source *source, uint64_t offset, void *out,
                        size_t size)
{
    if (offset > source->size || size > source->size - offset)
        return STATUS_TRUNCATED;
    if (!size)
        return STATUS_OK;
    return source->read(source->ctx, offset, out, size);
}

enum status source_each(const struct source *source, uint64_t offset,
                        uint64_t size, source_fn fn, void *ctx)
{
    enum status status = STATUS_OK;
    if (!size)
        return STATUS_OK;
    uint8_t *buf = malloc(SOURCE_PIECE);
    if (!buf)
        return STATUS_NO_MEMORY;
    for (uint64_t at = 0; !status && at < size; at += SOURCE_PIECE) {
        uint64_t left = size - at;
        size_t piece = left < SOURCE_PIECE ? (size_t)left : SOURCE_PIECE;
        status = source_read(source, offset + at, buf, piece);
        if (!status)
            status = fn(ctx, bytes_of(buf, piece));
    }
    free(buf);
    return status;
}

static enum status source_read_memory(void *ctx, uint64_t offset, void *out,
                                      size_t size)
{
    const uint8_t *data = ctx;
    memcpy(out, data + offset, size);
    return STATUS_OK;
}

struct source source_of_bytes(struct bytes bytes)
{
    return (struct source){source_read_memory, (void *)(uintptr_t)bytes.data,
                           bytes.size};
}
