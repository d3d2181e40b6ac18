/* The tensors of a content made of one or more files, concatenated. A file
 * that is no known format, or that cannot be read as the format it claims, has
 * no tensors, unless another file tells of them: its bytes are content all the
 * same. */
#ifndef CODEC_MODEL_MODEL_H
#define CODEC_MODEL_MODEL_H

#include "codec/base/arena.h"
#include "codec/base/source.h"
#include "codec/model/container.h"
#include "codec/model/part.h"
#include "codec/model/tensor.h"

struct model_file {
    const char *path;
    uint64_t offset;
    uint64_t size;
    enum container_format format; /* CONTAINER_OPAQUE when unreadable, too */
    enum container_format claims; /* what its suffix or content says */
    enum status status;           /* why it could not be read as what it claims,
                                     or OK */
};

struct model {
    uint64_t size;          /* of the content */
    struct tensor *tensors; /* by offset, none overlapping */
    size_t tensor_count;
    struct model_file *files; /* by offset */
    size_t file_count;
    struct arena arena; /* holds the files, names and shapes */
};

/* Parses every part of a content.
 *
 * source  the content
 * parts   part_count of them, in order and without gap, together the source;
 *         of their paths the suffix counts, and what one file calls another
 * out     set on success; release with model_free
 * diag    on success: empty, or why the first unreadable file is opaque
 *         (then model_unreadable names it)
 *
 * USAGE when the parts do not cover the source, NO_MEMORY, or what the source
 * answers. A malformed file is no error here, see above. */
enum status model_parse(const struct source *source,
                        const struct model_part *parts, size_t part_count,
                        struct model **out, struct diag *diag) MUST_CHECK;

/* The same for a content that is one file. */
enum status model_parse_file(const struct source *source, const char *path,
                             struct model **out, struct diag *diag) MUST_CHECK;

void model_free(struct model *model);

/* The first file that claims a format but cannot be read as it; NULL when
 * there is none. */
const struct model_file *model_unreadable(const struct model *model);

#endif
