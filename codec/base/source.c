/* The checked read of a source, and the source over memory. */
#include "codec/base/source.h"

enum status source_read(const struct source *source, uint64_t offset, void *out,
                        size_t size)
{
    if (offset > source->size || size > source->size - offset)
        return STATUS_TRUNCATED;
    if (!size)
        return STATUS_OK;
    return source->read(source->ctx, offset, out, size);
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
