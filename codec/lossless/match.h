/* Which elements of the base each range of the target is to be coded over:
 * tensors by name, content, likeness of values and shape; parts of tensors that
 * grew, shrank, were merged, split, cast or transposed; what is no tensor by
 * its place in the file. */
#ifndef CODEC_LOSSLESS_MATCH_H
#define CODEC_LOSSLESS_MATCH_H

#include "codec/base/source.h"
#include "codec/lossless/gather.h"
#include "codec/model/model.h"

/* One range of the target. Ranges are in order, none empty, and cover it; those
 * of a tensor have whole elements.
 *
 * base_size is 0 for a range without base (then no other field of the base is
 * set). Else, unless it is merely like that stretch of the base (what is no
 * tensor in another length, a tensor of the same name in a shape that does not
 * fit), every element has its place in the base: one to one if columns is 0, or
 * as gather.h says. Then the base's elements may be of another type: floats, i8
 * and u8 have each other's. */
struct match {
    uint64_t target_offset;
    uint64_t size;
    const struct tensor *tensor; /* of the target; NULL: no tensor */
    uint64_t base_offset;        /* bytes */
    uint64_t base_size;          /* bytes, those used lie within */
    enum dtype base_dtype;       /* only with a tensor and a base */
    bool like;
    uint32_t columns; /* elements a row of the range; 0: one to one */
    uint32_t base_stride;
    struct gather_run *runs; /* owned by the list; NULL: none */
    uint32_t run_count;
    bool transposed;
};

struct match_list {
    struct match *items; /* owned: match_list_free */
    size_t count;
    size_t cap;
};

/* base is NULL when there is none, a model is NULL when its content is opaque.
 *
 * Where all names and shapes are equal nothing is read. Else less than 1 KiB of
 * each tensor, a few rows more of those that were merged or split, and of those
 * that grew or shrank some values of each row or column: in all at most about
 * 80 MiB and an eighth of the target. Where a good part is no tensor, that part
 * and the base are read once. Memory is 1 KiB a tensor and a few MiB.
 *
 * NO_MEMORY, or what the sources answer. On error out is empty. */
enum status match_contents(const struct source *base,
                           const struct model *base_model,
                           const struct source *target,
                           const struct model *target_model,
                           struct match_list *out) MUST_CHECK;

void match_list_free(struct match_list *list);

/* True when each element of the range has its place in the base. */
static inline bool match_has_places(const struct match *match)
{
    return match->base_size && !match->like;
}

/* True when bytes of range and base correspond one to one. */
static inline bool match_is_plain(const struct match *match)
{
    return match_has_places(match) && !match->columns &&
           match->base_size == match->size &&
           (!match->tensor || match->base_dtype == match->tensor->dtype);
}

/* The same range for a reader who knows plain and like ones only: others become
 * like ones, or have no base if their type is another. */
struct match match_flat(const struct match *match);

/* How a match with places picks its elements; borrows the runs. Elements are
 * bytes where there is no tensor, or one whose elements are no whole bytes or
 * more than eight: columns, too, count those. */
struct gather match_gather(const struct match *match);

/* The base elements, of type base_dtype, of the range's elements first to first
 * + count in their order: gather_read. Zero bits for elements without base. */
enum status match_gather_read(const struct match *match,
                              const struct source *base, uint64_t first,
                              size_t count, uint8_t *out) MUST_CHECK;

#endif
