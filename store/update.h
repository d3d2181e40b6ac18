/* Updates: the header as it came, which trees it leads from and to, and which
 * of its segments are held. */
#ifndef STORE_UPDATE_H
#define STORE_UPDATE_H

#include "codec/base/hash.h"
#include "store/txn.h"
#include "store/version.h"

#define STORE_SEGMENT_COUNT_MAX (1u << 18) /* auxiliary ones included */
#define STORE_HEADER_BYTES_MAX  (16u << 20)

/* Caller-owned. */
struct store_update {
    struct hash id;
    bool has_base;
    struct hash base; /* tree */
    struct hash target;
    char model[STORE_NAME_MAX + 1]; /* whose quota it counts against */
    uint32_t segment_count;         /* auxiliary ones included */
    uint64_t coded_size;            /* bytes of header and all segments */
    uint64_t added_uptime;
    uint32_t header_size; /* out */
    uint32_t held_count;  /* out: segments held, empty ones included */
    uint32_t row_count;   /* out: segments held that have bytes */
    uint64_t held_size;   /* out: bytes of segments held */
    uint64_t held_cost;   /* out: what header and segments count for in
                             store/usage.h */
};

/* Adds an update without segments; the out fields are ignored.
 *
 * STATUS_EXISTS    held already; nothing is changed
 * STATUS_MISMATCH  the HASH_UPDATE of the header is not the id
 * STATUS_LIMIT     over STORE_SEGMENT_COUNT_MAX or STORE_HEADER_BYTES_MAX
 * STATUS_USAGE     no or too long model name
 * STATUS_NO_SPACE  over the quota */
enum status store_update_add(struct store_txn *txn,
                             const struct store_update *update,
                             struct bytes header) MUST_CHECK;

/* STATUS_NOT_FOUND */
enum status store_update_get(struct store_txn *txn, const struct hash *id,
                             struct store_update *out) MUST_CHECK;

/* A view as of the transaction. NOT_FOUND. */
enum status store_update_get_header(struct store_txn *txn,
                                    const struct hash *id, struct bytes *header)
    MUST_CHECK;

static inline bool store_update_complete(const struct store_update *update)
{
    return update->held_count == update->segment_count;
}

/* Which segments are held, as store_version_get_blocks does it. */
enum status store_update_get_held(struct store_txn *txn, const struct hash *id,
                                  uint8_t *bits, size_t bits_size,
                                  uint32_t *held_count) MUST_CHECK;

typedef bool (*store_update_fn)(void *ctx, const struct store_update *update);

/* All updates in id order; those that lead to, or from, a tree. Until fn
 * returns false. fn changes nothing. */
enum status store_update_each(struct store_txn *txn, store_update_fn fn,
                              void *ctx) MUST_CHECK;
enum status store_update_each_to(struct store_txn *txn,
                                 const struct hash *target, store_update_fn fn,
                                 void *ctx) MUST_CHECK;
enum status store_update_each_from(struct store_txn *txn,
                                   const struct hash *base, store_update_fn fn,
                                   void *ctx) MUST_CHECK;

/* Removes the update in small transactions of its own: first segments, the
 * last ones first, then the rest. Killed in between, it is an update that
 * lacks segments. Fine when there is none.
 *
 * STATUS_BUSY  it realises a version: strip that first */
enum status store_update_remove(struct store_env *env, const struct hash *id,
                                struct diag *diag) MUST_CHECK;

/* One such transaction's worth, for callers with a transaction of their own.
 * *done: the update is gone. */
enum status store_update_remove_some(struct store_txn *txn,
                                     const struct hash *id, bool *done)
    MUST_CHECK;

#endif
