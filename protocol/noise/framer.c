/* Frames out of a byte stream, gathered in a buffer of the announced size. */
#include "protocol/noise/framer.h"

#include "protocol/crypto.h"

#include <assert.h>
#include <stdlib.h>

void framer_init(struct framer *fr, size_t max)
{
    assert(max <= UINT16_MAX);
    *fr = (struct framer){.max = max};
}

/* Back to before a frame; what lay in the buffer may have been decrypted. */
static void framer_drop(struct framer *fr)
{
    if (fr->frame)
        crypto_wipe(fr->frame, fr->gathered);
    free(fr->frame);
    fr->frame = NULL;
    fr->gathered = 0;
    fr->body_bytes = 0;
    fr->head_bytes = 0;
}

void framer_deinit(struct framer *fr)
{
    framer_drop(fr);
    *fr = (struct framer){.status = STATUS_CLOSED};
}

void framer_set_max(struct framer *fr, size_t max)
{
    assert(max <= UINT16_MAX);
    fr->max = max;
}

static struct bytes framer_cut(struct bytes *in, size_t size)
{
    struct bytes part = {in->data, in->size < size ? in->size : size};
    if (part.size) {
        in->data += part.size;
        in->size -= part.size;
    }
    return part;
}

/* Reads the length; once it is whole, checks it and makes room. */
static enum status framer_take_head(struct framer *fr, struct bytes *in)
{
    struct bytes part = framer_cut(in, FRAMER_HEAD_BYTES - fr->head_bytes);
    for (size_t i = 0; i < part.size; i++)
        fr->head[fr->head_bytes++] = part.data[i];
    if (fr->head_bytes < FRAMER_HEAD_BYTES)
        return STATUS_OK;
    fr->body_bytes = load_be16(fr->head);
    if (fr->body_bytes > fr->max)
        return STATUS_LIMIT;
    fr->frame = malloc(fr->body_bytes ? fr->body_bytes : 1);
    return fr->frame ? STATUS_OK : STATUS_NO_MEMORY;
}

enum status framer_take(struct framer *fr, struct bytes *in, uint8_t **body,
                        size_t *body_size, bool *ready)
{
    *body = NULL;
    *body_size = 0;
    *ready = false;
    if (fr->status)
        return fr->status;
    if (fr->frame && fr->gathered == fr->body_bytes)
        framer_drop(fr); /* handed out by the last call */
    if (fr->head_bytes < FRAMER_HEAD_BYTES)
        fr->status = framer_take_head(fr, in);
    if (fr->status || fr->head_bytes < FRAMER_HEAD_BYTES)
        return fr->status;
    struct bytes part = framer_cut(in, fr->body_bytes - fr->gathered);
    if (part.size)
        memcpy(fr->frame + fr->gathered, part.data, part.size);
    fr->gathered += part.size;
    if (fr->gathered == fr->body_bytes) {
        *body = fr->frame;
        *body_size = fr->body_bytes;
        *ready = true;
    }
    return STATUS_OK;
}
