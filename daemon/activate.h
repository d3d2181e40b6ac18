/* Versions in place: `<models>/<model>/<n>/<path>` with `current` pointing to
 * the folder that runs, and what the store remembers of it.
 *
 * Steps of putting a version in place, each committed before it is begun, so
 * that a kill at any moment is finished or undone by activate_recover:
 *
 *     intent; files under .tmp-ID, all synced; rename to N; `current`
 *     replaced by rename; state
 *
 * Readers that resolve `current` see a whole version or, before the first one,
 * none. The folder that ran before stays until the next activation. */
#ifndef DAEMON_ACTIVATE_H
#define DAEMON_ACTIVATE_H

#include "codec/base/hash.h"
#include "daemon/job.h"
#include "store/env.h"
#include "store/txn.h"

#include <limits.h>

/* Where content lies. Borrowed texts; from any thread. */
struct places {
    struct store_env *env;
    const char *models_dir;
    const char *scratch_dir; /* for nameless files */
};

/* Folders of a version: complete and numbered, or being filled. LIMIT. */
enum status activate_dir(const struct places *places, const char *model,
                         uint64_t n, char out[PATH_MAX]) MUST_CHECK;
enum status activate_tmp_dir(const struct places *places, const char *model,
                             const struct hash *version, char out[PATH_MAX])
    MUST_CHECK;

/* The numbered folder of a version, newest first. NOT_FOUND. */
enum status activate_find(struct store_txn *txn, const char *model,
                          const struct hash *version, uint64_t *n) MUST_CHECK;

/* What runs of a model and in which folder. NOT_FOUND. */
enum status activate_running(struct store_txn *txn, const char *model,
                             struct hash *version, uint64_t *n) MUST_CHECK;

/* Calls fn for each model that runs something until it returns false. */
enum status activate_each_running(struct store_txn *txn,
                                  bool (*fn)(void *ctx, const char *model,
                                             const struct hash *version,
                                             uint64_t n),
                                  void *ctx) MUST_CHECK;

/* A test may stop the work before a step: false ends it with CLOSED, as a kill
 * would. */
enum activate_step {
    ACTIVATE_STEP_INTENT,
    ACTIVATE_STEP_FILES,   /* files written */
    ACTIVATE_STEP_SYNCED,  /* stage FILES committed */
    ACTIVATE_STEP_NUMBER,  /* stage RENAMED committed */
    ACTIVATE_STEP_RENAMED, /* renamed */
    ACTIVATE_STEP_CURRENT, /* stage CURRENT committed */
    ACTIVATE_STEP_LINKED,  /* `current` replaced */
    ACTIVATE_STEP_COUNT
};

struct activate_options {
    bool (*before)(void *ctx, enum activate_step step); /* may be NULL */
    void *ctx;
    struct job *job; /* whose cancellation ends it early; may be NULL */
    uint64_t uptime_s;
    /* Told of each version whose only copy lay in a folder that was dropped;
     * may be NULL. */
    void (*forgotten)(void *ctx, const struct hash *version);
    bool fresh; /* make the files again from updates, though they are there:
                 * those in place are damaged */
};

/* Puts a complete version in place, writing its files first if they are not
 * there yet. Running it already is fine. *n: its folder.
 *
 * NOT_FOUND  the content is not held
 * NO_SPACE, IO, MISMATCH (what is held does not have the leaves), CLOSED */
enum status activate_version(const struct places *places,
                             const struct hash *version,
                             const struct activate_options *options,
                             uint64_t *n, struct diag *diag) MUST_CHECK;

/* At start: finishes or undoes what a kill left, removes folders nothing needs
 * and mends `current`. */
enum status activate_recover(const struct places *places, uint64_t uptime_s,
                             struct diag *diag) MUST_CHECK;

#endif
