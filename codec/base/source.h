/* Where content is read from: memory here, files and blocks of a store in the
 * daemon. Reads are at any offset, exact and may be repeated. */
#ifndef CODEC_BASE_SOURCE_H
#define CODEC_BASE_SOURCE_H

#include "codec/base/bytes.h"
#include "codec/base/status.h"

/* read fills exactly size bytes from offset or fails; it is only called within
 * the size (source_read sees to that). ctx must outlive the source. */
struct source {
    enum status (*read)(void *ctx, uint64_t offset, void *out, size_t size);
    void *ctx;
    uint64_t size;
};

/* TRUNCATED when the range does not lie within the source; else what the
 * source answers. On error out is unspecified. */
enum status source_read(const struct source *source, uint64_t offset, void *out,
                        size_t size) MUST_CHECK;

typedef enum status (*source_fn)(void *ctx, struct bytes piece);

/* Hands size bytes from offset on to fn, in order, in pieces of 64 KiB but the
 * last, each valid for its call. NO_MEMORY; ends with the first error of
 * source_read or of fn. */
enum status source_each(const struct source *source, uint64_t offset,
                        uint64_t size, source_fn fn, void *ctx) MUST_CHECK;

/* A source over bytes, which are borrowed and must outlive it. */
struct source source_of_bytes(struct bytes bytes);

#endif
