/* From an NNC stream to a model: what the stream says of its tensors and, put
 * apart, their values; then a file of them, or another model's files with these
 * values in them.
 *
 *     nnc_model_read(&read, &entries);   values go to read.put
 *     nnc_model_file(&entries, &values, ...);  or
 *     nnc_model_patch(&patch);           values come back from a source
 *     nnc_entries_deinit(&entries);
 *
 * Memory: one data unit and its levels, a product, names and shapes of all
 * tensors, with a state what that holds. */
#ifndef CODEC_NNC_NNC_MODEL_READ_H
#define CODEC_NNC_NNC_MODEL_READ_H

#include "codec/model/model.h"
#include "codec/nnc/nnc_dec.h"
#include "codec/nnc/nnc_names.h"

#define NNC_ENTRIES_MAX ((size_t)1 << 17)

/* One tensor of a stream. G and H of a decomposed weight are one, the weight
 * they make; if they are a difference and the next unit is one of the weight's
 * name and shape, the two are one as well, whose values are the sums, each
 * rounded to binary32, of product and value (nnc_lowrank.h). */
struct nnc_entry {
    const char *name; /* as sent; nnc_entries.names tells equal ones apart */
    uint32_t rank;
    const uint64_t *shape;
    uint64_t elem_count;
    bool ints;       /* int32; else binary32 */
    bool difference; /* to the values before: it has a parent */
    uint64_t offset; /* of its values among those put apart; 4 bytes each */
};

struct nnc_entries {
    struct nnc_entry *items; /* in the order of the stream */
    size_t count, cap;
    uint64_t values_size; /* bytes put apart */
    bool incremental;     /* the stream is one of a chain */
    struct nnc_names names;
    struct arena arena;
};

/* Takes the next bytes of what is made. */
typedef enum status (*nnc_put_fn)(void *ctx, struct bytes bytes);

/* Gives shapes that a stream does not send: those of a model's tensors; ctx is
 * a struct nnc_shapes. */
struct nnc_shapes {
    const struct model *model;
    const struct nnc_names *names; /* of that model */
};
enum status nnc_shape_of_model(void *ctx, const char *name, uint32_t *rank,
                               uint64_t shape[NNC_RANK_MAX]) MUST_CHECK;

/* How large streams for a model may be: a unit and the whole so many times what
 * the model's largest tensor, and all of them, have. (G and H of a weight are
 * no longer than twice the weight, vectors of a block no longer than it.) */
#define NNC_MODEL_TIMES 8u
#define NNC_MODEL_SLACK 65536u
struct nnc_dec_limits nnc_limits_of_model(const struct model *model);

struct nnc_read_params {
    struct nnc_dec_params dec; /* in, limits, state, shape_of, diag */
    nnc_put_fn put; /* values, little-endian; NULL: only entries are wanted */
    void *put_ctx;
};

/* Reads a stream to its end; errors as in nnc_dec.h, or what put says, and
 * LIMIT for more than NNC_ENTRIES_MAX tensors. out is to be released whatever
 * the answer is. */
enum status nnc_model_read(const struct nnc_read_params *params,
                           struct nnc_entries *out) MUST_CHECK;
void nnc_entries_deinit(struct nnc_entries *entries);

/* Writes a safetensors file of the tensors in the order of the stream, F32 and
 * I32. values holds what nnc_model_read put. Names that safetensors cannot have
 * are USAGE. */
enum status nnc_model_file(const struct nnc_entries *entries,
                           const struct source *values, nnc_put_fn put,
                           void *put_ctx, struct diag *diag) MUST_CHECK;

/* What values of a stream are to those of the model: what the stream says
 * (tensors with a parent are differences), or one thing for all. */
enum nnc_values {
    NNC_VALUES_AS_SENT,
    NNC_VALUES_NEW,
    NNC_VALUES_DIFFERENCE,
};

struct nnc_patch_params {
    const struct source *base; /* the model's content */
    const struct model *model;
    const struct nnc_names *names; /* of the model's tensors */
    const struct nnc_entries *entries;
    const struct source *values; /* what nnc_model_read put */
    enum nnc_values mode;
    nnc_put_fn put;
    void *put_ctx;
    struct diag *diag; /* or NULL */
};

/* Puts the model's content with the values of its tensors that the stream has:
 * replaced, or added to as nnc_element.h says; all else as it is. A tensor
 * fits by name and shape; a scalar is one of the shape [1].
 *
 * STATUS_BAD_BASE   the model has no such tensor, or one of another shape or of
 *                   a type that takes no numbers; nothing was put
 * STATUS_MISMATCH   a number is beyond the range of an integer type
 * STATUS_NO_MEMORY, or what the sources or put say; diag names the tensor. */
enum status nnc_model_patch(const struct nnc_patch_params *params) MUST_CHECK;

#endif
