/* Bytes that are no floats: one zstd frame, with a stretch of the base as
 * prefix.
 *
 * Ref: RFC 8878; codec/FORMAT.md, "Byte streams". */
#ifndef CODEC_LOSSLESS_BYTES_H
#define CODEC_LOSSLESS_BYTES_H

#include "codec/base/bytes.h"
#include "codec/base/status.h"
#include "codec/base/writer.h"

/* Appends one frame of in. prefix may be empty, must not overlap in, and is
 * what the decoder must be given, too. level 1 .. 19. Takes up to 14 MiB while
 * it works, less for less input. NO_MEMORY, INTERNAL, or the writer's status.
 */
enum status bytes_encode(struct bytes in, struct bytes prefix, int level,
                         struct writer *wr) MUST_CHECK;

struct bytes_decoder;

/* NULL: no memory. About 160 kB. */
struct bytes_decoder *bytes_decoder_new(void);
void bytes_decoder_free(struct bytes_decoder *decoder);

/* Decodes exactly one frame that yields exactly size bytes.
 * CORRUPT: it does not. */
enum status bytes_decode(struct bytes_decoder *decoder, struct bytes frame,
                         struct bytes prefix, uint8_t *out, size_t size)
    MUST_CHECK;

#endif
