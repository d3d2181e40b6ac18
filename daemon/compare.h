/* Two models side by side: which tensors are the same, which changed by how
 * much, which are new, gone, renamed, of another shape or type. */
#ifndef DAEMON_COMPARE_H
#define DAEMON_COMPARE_H

#include "codec/base/source.h"
#include "codec/model/model.h"
#include "daemon/progress.h"

enum compare_kind {
    COMPARE_SAME,
    COMPARE_CHANGED,
    COMPARE_RESHAPED, /* another shape or dtype */
    COMPARE_NEW,      /* no base */
    COMPARE_GONE,     /* no target */
    COMPARE_KIND_COUNT
};

/* One tensor. What is measured needs both sides with as many elements. */
struct compare_row {
    enum compare_kind kind;
    const struct tensor *base; /* of the models compared */
    const struct tensor *target;
    bool renamed;
    bool measured;
    uint64_t count;   /* elements compared; bytes of packed types */
    uint64_t changed; /* of them */
    double base_square, diff_square; /* sums; 0 for packed types */
    double max_diff;
};

/* sqrt(diff_square / base_square): the change against the size of the values;
 * 1 where the base is all zero and something changed. */
double compare_relative(double diff_square, double base_square);

struct compare {
    struct compare_row *rows; /* owned: those of the target in the order of the
                                 file, then those gone */
    size_t count;
};

/* Both sides borrowed, the models by out, too. NO_MEMORY, or what the sources
 * answer. progress may be NULL. */
enum status
compare_models(const struct source *base, const struct model *base_model,
               const struct source *target, const struct model *target_model,
               struct progress *progress, struct compare *out) MUST_CHECK;
void compare_free(struct compare *compare);

/* Bytes that differ in their place; those that only one side has do. */
enum status compare_bytes(const struct source *base,
                          const struct source *target, uint64_t *differ)
    MUST_CHECK;

#endif
