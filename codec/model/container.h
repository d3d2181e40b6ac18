/* Which format a file has, by its suffix, else by its content, and the parser
 * for it. */
#ifndef CODEC_MODEL_CONTAINER_H
#define CODEC_MODEL_CONTAINER_H

#include "codec/base/arena.h"
#include "codec/base/source.h"
#include "codec/model/tensor.h"

enum container_format {
    CONTAINER_OPAQUE, /* unknown: bytes */
    CONTAINER_SAFETENSORS,
    CONTAINER_FORMAT_COUNT
};

/* "opaque", "safetensors". Static. */
const char *container_name(enum container_format format);

/* The format that a file claims. An error of the source counts as opaque.
 * path may be NULL: content alone decides. */
enum container_format container_probe(const char *path,
                                      const struct source *file);

/* Finds the tensors of one file. Offsets are within the file.
 *
 * arena    names, shapes and the array are taken from it
 * tensors  out: sorted by offset, not overlapping; 0 for CONTAINER_OPAQUE
 *
 * CORRUPT, TRUNCATED, UNSUPPORTED or LIMIT with words in diag when the file is
 * not a valid one of that format; NO_MEMORY; or what the source answers. */
enum status container_parse(enum container_format format,
                            const struct source *file, struct arena *arena,
                            struct tensor **tensors, size_t *tensor_count,
                            struct diag *diag) MUST_CHECK;

#endif
