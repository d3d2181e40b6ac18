/* The newest signed record of each slot, and proofs of equivocation. Records
 * are sealed envelopes here: what the store compares and answers by is passed
 * beside them. */
#ifndef STORE_RECORD_H
#define STORE_RECORD_H

#include "codec/base/hash.h"
#include "store/txn.h"

#define STORE_SLOT_BYTES        16u
#define STORE_RECORD_AUTHOR_MAX 255u
#define STORE_RECORD_BYTES_MAX  65536u

/* Caller-owned; the views are borrowed (put) or as of the transaction (get).
 */
struct store_record {
    uint8_t slot[STORE_SLOT_BYTES];
    uint64_t epoch;
    uint64_t seq;
    struct hash hash; /* of the payload */
    uint8_t kind;     /* as protocol numbers them */
    uint8_t flags;    /* as protocol likes; kept as given */
    bool has_proof;   /* out: an equivocation proof is held for the slot */
    struct bytes author;
    struct bytes envelope;
};

/* Two different payloads that one author signed for one (slot, epoch, seq):
 * the least and the greatest hash of all that were seen. */
struct store_proof {
    uint8_t slot[STORE_SLOT_BYTES];
    uint64_t epoch;
    uint64_t seq;
    struct hash least_hash;
    struct hash greatest_hash;
    struct bytes least;
    struct bytes greatest;
};

/* Stores the record unless the slot holds a newer one; compares (epoch, seq)
 * as a pair. A higher epoch removes the proof of the slot.
 *
 * STATUS_EXISTS    this payload is held already
 * STATUS_STALE     a higher (epoch, seq) is held
 * STATUS_MISMATCH  another payload is held for this (epoch, seq): see
 *                  store_record_put_proof
 * STATUS_LIMIT     author or envelope too long
 *
 * These change nothing. */
enum status store_record_put(struct store_txn *txn,
                             const struct store_record *rec) MUST_CHECK;

/* STATUS_NOT_FOUND */
enum status store_record_get(struct store_txn *txn,
                             const uint8_t slot[STORE_SLOT_BYTES],
                             struct store_record *out) MUST_CHECK;

/* Changes the flags of the record held; NOT_FOUND. */
enum status store_record_set_flags(struct store_txn *txn,
                                   const uint8_t slot[STORE_SLOT_BYTES],
                                   uint8_t flags) MUST_CHECK;

/* Forgets record and proof of the slot. Fine when there is none. */
enum status store_record_remove(struct store_txn *txn,
                                const uint8_t slot[STORE_SLOT_BYTES])
    MUST_CHECK;

/* All records in slot order until fn returns false. fn changes nothing. */
enum status store_record_each(struct store_txn *txn,
                              bool (*fn)(void *ctx,
                                         const struct store_record *rec),
                              void *ctx) MUST_CHECK;

/* Notes that rec was seen where another payload is held for the same (epoch,
 * seq): of the held one, those of the proof and rec, the least and the
 * greatest hash become the proof, and the slot holds the least, so that every
 * node ends with the same.
 *
 * STATUS_EXISTS     rec is one of the two already, or lies between them
 * STATUS_NOT_FOUND  the slot holds no record of that (epoch, seq)
 * STATUS_USAGE      rec is the payload held: no equivocation
 * STATUS_LIMIT */
enum status store_record_put_proof(struct store_txn *txn,
                                   const struct store_record *rec) MUST_CHECK;

/* STATUS_NOT_FOUND */
enum status store_record_get_proof(struct store_txn *txn,
                                   const uint8_t slot[STORE_SLOT_BYTES],
                                   struct store_proof *out) MUST_CHECK;

/* Forgets the proof: a later record named both. Fine when there is none. */
enum status store_record_clear_proof(struct store_txn *txn,
                                     const uint8_t slot[STORE_SLOT_BYTES])
    MUST_CHECK;

#endif
