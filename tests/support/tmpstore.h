/* A store in a temporary folder, and rows that are easy to make: everything
 * follows from small numbers, so that a test can ask for the same again. */
#ifndef TESTS_SUPPORT_TMPSTORE_H
#define TESTS_SUPPORT_TMPSTORE_H

#include "store/activation.h"
#include "store/env.h"
#include "store/fsck.h"
#include "store/gc.h"
#include "store/meta.h"
#include "store/peer.h"
#include "store/record.h"
#include "store/segment.h"
#include "store/txn.h"
#include "store/update.h"
#include "store/usage.h"
#include "store/version.h"

struct tmpstore {
    char path[64];
    struct store_env *env;
    struct diag diag;
    char problems[1024]; /* what fsck said, one a line */
};

/* Makes the folder under TMPDIR or /tmp and opens a store in it; fails the
 * test when that does not work. */
void tmpstore_init(struct tmpstore *tmp, uint64_t quota_bytes,
                   uint64_t map_bytes);

/* The folder alone. */
void tmpstore_init_empty(struct tmpstore *tmp);

/* Closes the store and opens it again. */
void tmpstore_reopen(struct tmpstore *tmp, uint64_t quota_bytes,
                     uint64_t map_bytes);

/* Closes the store and removes the folder. */
void tmpstore_deinit(struct tmpstore *tmp);

/* Begin and commit that fail the test. */
void tmpstore_begin(struct tmpstore *tmp, struct store_txn *txn,
                    enum store_txn_mode mode);
void tmpstore_commit(struct store_txn *txn);

/* Problems found by a deep fsck; their lines are in tmp->problems. */
uint64_t tmpstore_fsck(struct tmpstore *tmp, bool repair);

/* Segments made by tmpstore_segment are checked by this. */
enum status tmpstore_check_segment(void *ctx, struct bytes header,
                                   uint32_t index, struct bytes segment);

/* The file path/name; holds until the next call in this thread. */
const char *tmpstore_file(const struct tmpstore *tmp, const char *name);

struct hash tmpstore_hash(uint64_t seed);

/* The tree, manifest and version of a number; blocks of 64 KiB. The manifest
 * is a text of its number; its hash is the id. */
struct hash tmpstore_tree(uint64_t number);
struct bytes tmpstore_manifest(uint64_t number, char text[64]);
struct store_version tmpstore_version(const char *model, uint64_t number,
                                      uint32_t block_count);

/* The update from tree base to tree target, UINT64_MAX: from nothing. Its
 * header is a text of both numbers. */
struct bytes tmpstore_header(uint64_t base, uint64_t target, char text[64]);
struct store_update tmpstore_update(const char *model, uint64_t base,
                                    uint64_t target, uint32_t segment_count);

/* Fills out with the bytes of a segment: they follow from the header and
 * index, and start with both. size >= 40. */
void tmpstore_segment(const struct hash *update, uint32_t index, uint8_t *out,
                      size_t size);

/* In one transaction: adds version, manifest, the update from base (or
 * UINT64_MAX) with segments of size bytes, all blocks, and the state. */
void tmpstore_fill(struct tmpstore *tmp, const char *model, uint64_t base,
                   uint64_t number, uint32_t segment_count, size_t size,
                   enum store_version_state state);

#endif
