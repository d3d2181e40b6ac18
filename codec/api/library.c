/* Version, texts and buffers of the installed library. */
#include "codec/api/adapt.h"

#include <deltamesh/io.h>
#include <stdlib.h>

unsigned dmc_version(void)
{
    return DMC_VERSION;
}

#define LIBRARY_TEXT_OF(x) #x
#define LIBRARY_TEXT(x)    LIBRARY_TEXT_OF(x)

const char *dmc_version_text(void)
{
    return LIBRARY_TEXT(DMC_VERSION_MAJOR) "." LIBRARY_TEXT(
        DMC_VERSION_MINOR) "." LIBRARY_TEXT(DMC_VERSION_PATCH);
}

const char *dmc_status_text(enum dmc_status status)
{
    return status_text((enum status)status);
}

static enum status library_grow(struct dmc_buffer *buffer, size_t need)
{
    size_t cap = buffer->cap < 4096 ? 4096 : buffer->cap;
    while (cap < need)
        cap = cap > SIZE_MAX / 2 ? need : 2 * cap;
    if (cap > buffer->size_max)
        cap = buffer->size_max;
    unsigned char *data = realloc(buffer->data, cap);
    if (!data)
        return STATUS_NO_MEMORY;
    buffer->data = data;
    buffer->cap = cap;
    return STATUS_OK;
}

static int library_append(void *ctx, const void *data, size_t size)
{
    struct dmc_buffer *buffer = ctx;
    if (buffer->size > buffer->size_max ||
        size > buffer->size_max - buffer->size)
        return STATUS_LIMIT;
    if (!size)
        return STATUS_OK;
    if (buffer->size + size > buffer->cap) {
        enum status status = library_grow(buffer, buffer->size + size);
        if (status)
            return status;
    }
    memcpy(buffer->data + buffer->size, data, size);
    buffer->size += size;
    return STATUS_OK;
}

struct dmc_sink dmc_buffer_sink(struct dmc_buffer *buffer)
{
    return (struct dmc_sink){library_append, buffer};
}

void dmc_buffer_free(struct dmc_buffer *buffer)
{
    if (!buffer)
        return;
    free(buffer->data);
    buffer->data = NULL;
    buffer->size = buffer->cap = 0;
}
