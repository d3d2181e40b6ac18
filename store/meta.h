/* What the node itself must remember: how often it started, how long it has
 * been up in all, the highest seq it authored in each slot, and small named
 * values. */
#ifndef STORE_META_H
#define STORE_META_H

#include "store/record.h"
#include "store/txn.h"

#define STORE_SETTING_NAME_MAX  200u
#define STORE_SETTING_BYTES_MAX 65536u

/* Raises the start counter by one and returns the new value: 1 at the first
 * start. */
enum status store_meta_start(struct store_txn *txn, uint64_t *start_count)
    MUST_CHECK;

/* The start counter; 0 before the first start. */
enum status store_meta_start_count(struct store_txn *txn, uint64_t *start_count)
    MUST_CHECK;

/* Seconds the node has been up over all its starts: what ages are measured by.
 * It only rises. */
enum status store_meta_uptime(struct store_txn *txn, uint64_t *seconds)
    MUST_CHECK;

/* Adds seconds and returns the new value in *now (may be NULL). Saturates. */
enum status store_meta_add_uptime(struct store_txn *txn, uint64_t seconds,
                                  uint64_t *now) MUST_CHECK;

/* The highest (epoch, seq) this node ever authored in the slot; zeroes when
 * none. */
enum status store_meta_own_seq(struct store_txn *txn,
                               const uint8_t slot[STORE_SLOT_BYTES],
                               uint64_t *epoch, uint64_t *seq) MUST_CHECK;

/* Notes that (epoch, seq) is authored. Commit before the record leaves; in the
 * same transaction as store_record_put.
 *
 * STATUS_STALE  not above what is noted already; nothing is changed */
enum status store_meta_raise_own_seq(struct store_txn *txn,
                                     const uint8_t slot[STORE_SLOT_BYTES],
                                     uint64_t epoch, uint64_t seq) MUST_CHECK;

/* Named values: the name is 1 to 200 bytes without zeroes, for instance
 * "activation/" and a model. A view as of the transaction.
 *
 * STATUS_NOT_FOUND, STATUS_USAGE (name), STATUS_LIMIT (over 64 KiB) */
enum status store_meta_get(struct store_txn *txn, const char *name,
                           struct bytes *value) MUST_CHECK;
enum status store_meta_put(struct store_txn *txn, const char *name,
                           struct bytes value) MUST_CHECK;
enum status store_meta_del(struct store_txn *txn, const char *name) MUST_CHECK;

/* The same for a number; *value is 0 with NOT_FOUND. Another value than a
 * number under that name is MISMATCH. */
enum status store_meta_get_u64(struct store_txn *txn, const char *name,
                               uint64_t *value) MUST_CHECK;
enum status store_meta_put_u64(struct store_txn *txn, const char *name,
                               uint64_t value) MUST_CHECK;

/* Calls fn for each named value that starts with prefix, in name order, until
 * it returns false. fn changes nothing. */
enum status store_meta_each(struct store_txn *txn, const char *prefix,
                            bool (*fn)(void *ctx, const char *name,
                                       struct bytes value),
                            void *ctx) MUST_CHECK;

#endif
