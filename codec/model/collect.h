/* The tensors that a parser finds, in any order, made a list as a model needs
 * it: sorted, none overlapping, equal names told apart. */
#ifndef CODEC_MODEL_COLLECT_H
#define CODEC_MODEL_COLLECT_H

#include "codec/base/arena.h"
#include "codec/model/tensor.h"

#define COLLECT_TENSORS_MAX (1u << 17)
/* Longer names are cut. */
#define COLLECT_NAME_MAX 4096u

struct collect {
    struct arena *arena;
    struct diag *diag;
    struct tensor *items;
    size_t count;
    size_t cap;
    uint64_t text_left; /* bytes of names and shapes that may still be taken */
};

/* file_size bounds what names and shapes may take: files in which many tensors
 * share one name must not grow in memory. */
void collect_init(struct collect *collect, struct arena *arena,
                  uint64_t file_size, struct diag *diag);

/* Adds a copy. What is no UTF-8, and control characters, become '?' in the
 * name.
 *
 * tensor  file, dtype, rank, shape, offset and size; name is not looked at
 *
 * LIMIT when there are too many tensors or names; NO_MEMORY. */
enum status collect_add(struct collect *collect, struct bytes name,
                        const struct tensor *tensor) MUST_CHECK;

/* The same for count elements of a type as a tensor of one dimension. */
enum status collect_add_flat(struct collect *collect, struct bytes name,
                             enum dtype dtype, uint32_t file, uint64_t offset,
                             uint64_t count) MUST_CHECK;

/* Sorts by file and offset, drops what overlaps a tensor before it (of those
 * of one range the first by name stays), and tells equal names apart: the
 * second x becomes x#2. NO_MEMORY. */
enum status collect_finish(struct collect *collect) MUST_CHECK;

/* Sorts by offset alone and drops what overlaps: for tensors of a whole
 * content. Returns how many are left. */
size_t collect_settle(struct tensor *tensors, size_t count);

#endif
