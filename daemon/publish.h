/* Takes a new version in: hashes the files handed over, makes the manifest,
 * and makes and stores the updates that lead to it. What it leaves in the
 * store means nothing until the version record is signed and committed; gc
 * forgets it otherwise. */
#ifndef DAEMON_PUBLISH_H
#define DAEMON_PUBLISH_H

#include "daemon/make.h"
#include "store/version.h"

#define PUBLISH_BASES_MAX 8u
#define PUBLISH_META_MAX  LIMIT_MANIFEST_META

enum publish_stage {
    PUBLISH_HASHING,
    PUBLISH_FULL,   /* the full update */
    PUBLISH_DIRECT, /* direct ones */
};

/* Everything is owned: publish_free. */
struct publish {
    struct job job;
    void *owner; /* whoever submitted the job */

    /* in */
    const struct places *places;
    char model[STORE_NAME_MAX + 1];
    char role[STORE_NAME_MAX + 1];
    uint64_t n;
    struct fileset *files;
    char *paths[LIMIT_MANIFEST_FILES];
    char *meta_keys[PUBLISH_META_MAX], *meta_values[PUBLISH_META_MAX];
    size_t meta_count;
    struct hash parents[LIMIT_PARENTS]; /* version ids, sorted */
    size_t parent_count;
    char ticks_role[LIMIT_VECTOR][STORE_NAME_MAX + 1];
    uint64_t ticks_n[LIMIT_VECTOR]; /* the join of the parents' vectors */
    size_t tick_count;
    struct hash
        bases[PUBLISH_BASES_MAX]; /* trees to make direct updates from */
    size_t base_count;
    struct fileset *premade; /* an update file from one of them, or NULL */
    bool has_latest;         /* bytes equal to these make no new version */
    struct hash latest_tree;
    uint64_t quota_bytes;
    uint64_t uptime_s;

    /* running */
    atomic_int stage;
    struct progress_mark mark;

    /* out */
    enum status status;
    struct diag diag;
    bool unchanged;
    struct hash version, tree;
    uint64_t size;
    uint8_t *manifest;
    size_t manifest_size;
    struct made_update updates[PUBLISH_BASES_MAX + 1]; /* [0]: the full one */
    size_t update_count;
    char warning[sizeof(((struct diag *)0)->text) + 96]; /* "" for none */
};

void publish_free(struct publish *p);

/* The job's work.
 *
 * USAGE      a path, a meta key or the model's name does not fit
 * CORRUPT    the update that came along is not one from a base to the files
 * NO_SPACE   larger than the quota, or the disk is full
 * TRUNCATED, MISMATCH  a file changed meanwhile */
void publish_run(struct publish *p);

#endif
