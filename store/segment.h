/* The coded segments of updates. */
#ifndef STORE_SEGMENT_H
#define STORE_SEGMENT_H

#include "codec/base/hash.h"
#include "store/txn.h"

#define STORE_SEGMENT_BYTES_MAX (16u << 20)

/* Stores one segment of an update; its hash is the caller's to check. One of
 * no bytes is noted as held and takes no room.
 *
 * STATUS_EXISTS     held already; nothing is changed
 * STATUS_NOT_FOUND  no such update
 * STATUS_LIMIT      index or size too large
 * STATUS_NO_SPACE   over the quota (does not stick), or the map is full */
enum status store_segment_put(struct store_txn *txn, const struct hash *update,
                              uint32_t index, struct bytes segment) MUST_CHECK;

/* Notes segments first .. first + count - 1 as held without bytes: those that
 * change nothing. Segments held already are left as they are.
 *
 * STATUS_NOT_FOUND, STATUS_LIMIT */
enum status store_segment_put_empty(struct store_txn *txn,
                                    const struct hash *update, uint32_t first,
                                    uint32_t count) MUST_CHECK;

/* A view of one segment, without a copy, as of the transaction.
 *
 * STATUS_NOT_FOUND  no such update, or the segment is not held
 * STATUS_LIMIT      index past the last */
enum status store_segment_get(struct store_txn *txn, const struct hash *update,
                              uint32_t index, struct bytes *segment) MUST_CHECK;

/* Copies part of one segment in a read transaction of its own: size bytes from
 * offset, fewer at its end; *copied says how many, *segment_size (may be NULL)
 * the size of the whole.
 *
 * As store_segment_get; STATUS_LIMIT also for an offset past the end. */
enum status store_segment_read(struct store_env *env, const struct hash *update,
                               uint32_t index, uint64_t offset, uint8_t *out,
                               size_t size, size_t *copied,
                               uint64_t *segment_size, struct diag *diag)
    MUST_CHECK;

/* Forgets one segment, for instance a damaged one. Fine when not held.
 *
 * STATUS_NOT_FOUND  no such update
 * STATUS_LIMIT      index past the last */
enum status store_segment_remove(struct store_txn *txn,
                                 const struct hash *update, uint32_t index)
    MUST_CHECK;

#endif
