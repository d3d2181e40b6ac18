/* Names of the tensors of a stream or a model, none twice: of equal ones the
 * second x becomes x#2, the third x#3, as in files whose tensors share a name.
 * Found by name. */
#ifndef CODEC_NNC_NNC_NAMES_H
#define CODEC_NNC_NNC_NAMES_H

#include "codec/base/arena.h"
#include "codec/base/status.h"
#include "codec/model/model.h"

struct nnc_names {
    const char **name; /* count of them; borrowed until changed, NUL at end */
    uint32_t *order;   /* indices, by name */
    size_t count;
    struct arena arena; /* holds all of it */
};

/* Makes names of count texts, which must outlive them. NO_MEMORY; LIMIT: more
 * than 2^32 names, or equal names that cannot be told apart. On error there is
 * nothing to release. */
enum status nnc_names_init(struct nnc_names *names, const char *const *text,
                           size_t count) MUST_CHECK;

/* The same of a model's tensors, in its order. */
enum status nnc_names_of_model(struct nnc_names *names,
                               const struct model *model) MUST_CHECK;

void nnc_names_deinit(struct nnc_names *names);

/* True and the index of that name, or false. */
bool nnc_names_find(const struct nnc_names *names, const char *name,
                    size_t *index);

#endif
