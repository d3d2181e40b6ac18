/* Which bytes of the base each range of the target is to be coded over:
 * tensors by name, then by content, by likeness of values, by shape; what is no
 * tensor by its place in the file. */
#ifndef CODEC_LOSSLESS_MATCH_H
#define CODEC_LOSSLESS_MATCH_H

#include "codec/base/source.h"
#include "codec/model/model.h"

/* One range of the target. Ranges are in order, none empty, and cover it.
 * base_size is 0 for a range without base; equal to size where the bytes of
 * both correspond one to one; else the base range is merely like it (what is
 * no tensor, and a tensor of the same name in a shape that does not fit). */
struct match {
    uint64_t target_offset;
    uint64_t size;
    uint64_t base_offset;
    uint64_t base_size;
    const struct tensor *tensor; /* of the target; NULL: no tensor */
};

struct match_list {
    struct match *items; /* owned: match_list_free */
    size_t count;
    size_t cap;
};

/* base is NULL when there is none, a model is NULL when its content is opaque.
 * Reads tensors that have no counterpart by name, and where there are such,
 * those of the same size.
 * NO_MEMORY, or what the sources answer. On error out is empty. */
enum status match_contents(const struct source *base,
                           const struct model *base_model,
                           const struct source *target,
                           const struct model *target_model,
                           struct match_list *out) MUST_CHECK;

void match_list_free(struct match_list *list);

#endif
