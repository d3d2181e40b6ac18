/* Mark and sweep of content.
 *
 * Roots: versions that are running, on trial, previous, staged or being
 * activated, that are pinned, that the caller lists (what channels name, with
 * what is being fetched for them), and the last few complete ones of each
 * model. Reached: whatever has the tree that the realising update of something
 * kept starts from. Versions that are neither are stripped (their rows stay),
 * updates that realise nothing kept are removed.
 *
 * Every step is one small transaction after which the store is consistent, so
 * a killed run is simply run again. */
#ifndef STORE_GC_H
#define STORE_GC_H

#include "codec/base/hash.h"
#include "store/txn.h"

enum store_gc_kind {
    STORE_GC_VERSION,
    STORE_GC_UPDATE
};

/* Something that is, or would be, removed. */
struct store_gc_item {
    enum store_gc_kind kind;
    struct hash id;
    const char *model; /* holds for the call */
    uint64_t bytes;    /* as store/usage.h counts: freed by this item */
};

struct store_gc_options {
    const struct hash *targets; /* version ids that are roots; borrowed */
    size_t target_count;
    uint32_t keep_last; /* complete versions of each model; 3 by default */
    /* Keeps complete updates that realise nothing here but lead from kept
     * trees, or from nothing, to kept ones: they serve peers. Without it only
     * what this node needs stays. */
    bool keep_extra;
    bool dry_run; /* report, change nothing */
    /* True: a job uses it, leave it alone and all it reaches. Asked during
     * the run, on the thread that runs it, possibly within a write
     * transaction. May be NULL. */
    bool (*in_use)(void *ctx, enum store_gc_kind kind, const struct hash *id);
    /* Called once for each item, when it is gone (or for a dry run). May be
     * NULL. */
    void (*report)(void *ctx, const struct store_gc_item *item);
    void *ctx;
};

struct store_gc_result {
    uint64_t freed_bytes; /* or what a dry run would free */
    uint32_t version_count;
    uint32_t update_count;
};

/* Runs to the end, in transactions of its own. out may be NULL.
 *
 * STATUS_NO_MEMORY  the graph does not fit in memory
 * and what transactions return. */
enum status store_gc_run(struct store_env *env,
                         const struct store_gc_options *options,
                         struct store_gc_result *out, struct diag *diag)
    MUST_CHECK;

#endif
