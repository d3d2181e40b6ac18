/* Bitmaps in tables whose key is a hash: held blocks of versions, held
 * segments of updates. A bitmap without set bits has no row. For the modules
 * of store/. */
#ifndef STORE_BITS_H
#define STORE_BITS_H

#include "codec/base/hash.h"
#include "store/txn.h"

/* A view of the bits, ceil(bit_count / 8) bytes, and how many are set; an
 * empty view when none is. set_count may be NULL. */
enum status store_bits_get(struct store_txn *txn, enum store_table table,
                           const struct hash *id, uint32_t bit_count,
                           struct bytes *bits, uint32_t *set_count) MUST_CHECK;

/* Copies the bits to out, zero filled to out_size.
 *
 * STATUS_USAGE  out is too small */
enum status store_bits_copy(struct store_txn *txn, enum store_table table,
                            const struct hash *id, uint32_t bit_count,
                            uint8_t *out, size_t out_size, uint32_t *set_count)
    MUST_CHECK;

/* Whether one bit is set. */
enum status store_bits_test(struct store_txn *txn, enum store_table table,
                            const struct hash *id, uint32_t bit_count,
                            uint32_t index, bool *is_set) MUST_CHECK;

/* Sets or clears bits first .. first + count - 1; *changed (may be NULL): how
 * many were otherwise before.
 *
 * STATUS_LIMIT  past bit_count; nothing is changed */
enum status store_bits_change(struct store_txn *txn, enum store_table table,
                              const struct hash *id, uint32_t bit_count,
                              uint32_t first, uint32_t count, bool set,
                              uint32_t *changed) MUST_CHECK;

#endif
