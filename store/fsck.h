/* Checks everything the store can know about itself. */
#ifndef STORE_FSCK_H
#define STORE_FSCK_H

#include "codec/base/hash.h"
#include "store/txn.h"

struct store_fsck_options {
    /* Also reads and hashes every segment; else all but those. */
    bool deep;
    /* Rebuilds indexes and counters from the rows they are made from. Nothing
     * else is ever repaired here. */
    bool repair_indexes;
    /* Called with one line for each problem; may be NULL. */
    void (*report)(void *ctx, const char *line);
    /* For deep: looks at one segment given the header of its update; OK, or
     * MISMATCH when it is damaged. NULL, the usual: headers are parsed and
     * compared with their rows, segments with the header's directory. */
    enum status (*check_segment)(void *ctx, struct bytes header, uint32_t index,
                                 struct bytes segment);
    void *ctx;
};

struct store_fsck_result {
    uint64_t problem_count;
    uint64_t repaired_count; /* of these */
    uint64_t version_count;
    uint64_t update_count;
    uint64_t segment_count;
    uint64_t record_count;
};

/* Looks at every row, cross reference, index, bitmap, counter and hash.
 * Problems are counted, not returned: OK means that the check itself ran.
 * A deep check reads everything; segments are read a few at a time, each in
 * a short read transaction. */
enum status store_fsck_run(struct store_env *env,
                           const struct store_fsck_options *options,
                           struct store_fsck_result *out, struct diag *diag)
    MUST_CHECK;

#endif
