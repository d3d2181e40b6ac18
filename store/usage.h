/* How much room content takes, of each model and in all. The counts are kept
 * in the transaction that changes the content and checked by fsck. A manifest,
 * header or segment counts as what it may take in the file: whole pages when
 * it is larger than half a page, else twice its bytes and its key's. */
#ifndef STORE_USAGE_H
#define STORE_USAGE_H

#include "store/txn.h"

/* Bytes in all. */
enum status store_usage_total(struct store_txn *txn, uint64_t *bytes)
    MUST_CHECK;

/* Bytes of one model; 0 for one without content. */
enum status store_usage_of_model(struct store_txn *txn, const char *model,
                                 uint64_t *bytes) MUST_CHECK;

/* Each model with content, in name order, until fn returns false. */
enum status store_usage_each(struct store_txn *txn,
                             bool (*fn)(void *ctx, const char *model,
                                        uint64_t bytes),
                             void *ctx) MUST_CHECK;

/* What a value of that size counts for; 0 for none. */
uint64_t store_usage_cost(struct store_txn *txn, uint64_t value_size);

/* ---- for the modules of store/ ---- */

/* NO_SPACE, which does not stick, when bytes more would exceed the quota. */
enum status store_usage_check(struct store_txn *txn, uint64_t bytes) MUST_CHECK;

/* Counts added bytes more and removed bytes less for the model. */
enum status store_usage_change(struct store_txn *txn, const char *model,
                               uint64_t added, uint64_t removed);

#endif
