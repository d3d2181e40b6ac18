/* Cuts a byte stream into frames: a 2-byte big-endian length and that many
 * bytes. Serves handshake messages and transport messages alike. */
#ifndef PROTOCOL_NOISE_FRAMER_H
#define PROTOCOL_NOISE_FRAMER_H

#include "codec/base/bytes.h"
#include "codec/base/status.h"

#define FRAMER_HEAD_BYTES 2u

/* Holds a heap buffer while a frame has begun but is not whole. */
struct framer {
    uint8_t *frame;    /* the body gathered so far */
    size_t gathered;   /* bytes in it */
    size_t body_bytes; /* announced length, once head_bytes is 2 */
    size_t max;
    unsigned head_bytes; /* bytes of the length seen */
    uint8_t head[FRAMER_HEAD_BYTES];
    enum status status; /* sticky */
};

/* Frames of 0..max bytes are accepted, max <= 65535. */
void framer_init(struct framer *fr, size_t max);
void framer_deinit(struct framer *fr); /* wipes */

/* Changes the bound, when the handshake ends; between frames only. */
void framer_set_max(struct framer *fr, size_t max);

/* Takes bytes from the front of *in until a frame is whole (*ready is true and
 * *body its bytes, which may be written to and hold until the next call) or
 * *in is empty. Call again while ready, or while *in is not empty.
 *
 * LIMIT: a frame longer than max, before any of its bytes is taken; NO_MEMORY.
 * Both are sticky. */
enum status framer_take(struct framer *fr, struct bytes *in, uint8_t **body,
                        size_t *body_size, bool *ready) MUST_CHECK;

#endif
