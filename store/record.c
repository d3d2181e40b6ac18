/* Slots: compare and set, and proofs of equivocation. */
#include "store/record.h"

#include "store/cursor.h"
#include "store/value.h"

#define RECORD_ROW_MAX (STORE_RECORD_BYTES_MAX + 512u)
#define PROOF_ROW_MAX  (2 * STORE_RECORD_BYTES_MAX + 512u)

static struct bytes record_key(const uint8_t *slot)
{
    return bytes_of(slot, STORE_SLOT_BYTES);
}

static int record_compare(uint64_t epoch_a, uint64_t seq_a, uint64_t epoch_b,
                          uint64_t seq_b)
{
    if (epoch_a != epoch_b)
        return epoch_a < epoch_b ? -1 : 1;
    return seq_a < seq_b ? -1 : seq_a > seq_b;
}

static enum status record_malformed(struct store_txn *txn, const char *what)
{
    return store_txn_fail(txn, STATUS_CORRUPT, "a %s in the store is malformed",
                          what);
}

/* Puts what wr holds, unless writing it failed. */
static enum status record_put_row(struct store_txn *txn, enum store_table table,
                                  const uint8_t *slot, const struct writer *wr)
{
    enum status status = writer_status(wr);
    if (status)
        return store_txn_fail(txn, status, "a record does not fit");
    return store_txn_put(txn, table, record_key(slot), writer_view(wr));
}

static bool record_fits(const struct store_record *rec)
{
    return rec->author.size <= STORE_RECORD_AUTHOR_MAX &&
           rec->envelope.size <= STORE_RECORD_BYTES_MAX;
}

/* The row alone, without a look at proofs. */
static enum status record_get_row(struct store_txn *txn, const uint8_t *slot,
                                  struct store_record *out)
{
    struct bytes value;
    /* slot may lie in *out. */
    struct store_record row = {.epoch = 0};
    memcpy(row.slot, slot, STORE_SLOT_BYTES);
    *out = row;
    enum status status =
        store_txn_get(txn, STORE_TABLE_RECORD, record_key(out->slot), &value);
    if (!status && store_value_get_record(value, out))
        status = record_malformed(txn, "record");
    return status;
}

static enum status record_put_new(struct store_txn *txn,
                                  const struct store_record *rec)
{
    struct writer wr;
    writer_init_heap(&wr, RECORD_ROW_MAX);
    store_value_put_record(&wr, rec);
    enum status status =
        record_put_row(txn, STORE_TABLE_RECORD, rec->slot, &wr);
    writer_deinit(&wr);
    return status;
}

enum status store_record_put(struct store_txn *txn,
                             const struct store_record *rec)
{
    struct store_record held;
    if (!record_fits(rec))
        return STATUS_LIMIT;
    enum status status = record_get_row(txn, rec->slot, &held);
    if (status == STATUS_NOT_FOUND)
        return record_put_new(txn, rec);
    if (status)
        return status;
    int order = record_compare(rec->epoch, rec->seq, held.epoch, held.seq);
    if (order < 0)
        return STATUS_STALE;
    if (order == 0)
        return hash_equal(&rec->hash, &held.hash) ? STATUS_EXISTS
                                                  : STATUS_MISMATCH;
    if (rec->epoch > held.epoch)
        store_txn_del(txn, STORE_TABLE_PROOF, record_key(rec->slot));
    return record_put_new(txn, rec);
}

enum status store_record_get(struct store_txn *txn,
                             const uint8_t slot[STORE_SLOT_BYTES],
                             struct store_record *out)
{
    enum status status = record_get_row(txn, slot, out);
    if (status)
        return status;
    status = store_txn_get(txn, STORE_TABLE_PROOF, record_key(out->slot), NULL);
    out->has_proof = status == STATUS_OK;
    return status == STATUS_NOT_FOUND ? STATUS_OK : status;
}

enum status store_record_set_flags(struct store_txn *txn,
                                   const uint8_t slot[STORE_SLOT_BYTES],
                                   uint8_t flags)
{
    struct store_record rec;
    enum status status = record_get_row(txn, slot, &rec);
    if (status)
        return status;
    rec.flags = flags;
    return record_put_new(txn, &rec);
}

enum status store_record_remove(struct store_txn *txn,
                                const uint8_t slot[STORE_SLOT_BYTES])
{
    store_txn_del(txn, STORE_TABLE_PROOF, record_key(slot));
    return store_txn_del(txn, STORE_TABLE_RECORD, record_key(slot));
}

enum status store_record_each(struct store_txn *txn,
                              bool (*fn)(void *ctx,
                                         const struct store_record *rec),
                              void *ctx)
{
    struct store_cursor cur;
    struct store_record rec;
    store_cursor_open(&cur, txn, STORE_TABLE_RECORD, bytes_of(NULL, 0));
    while (store_cursor_next(&cur)) {
        if (cur.key.size != STORE_SLOT_BYTES) {
            record_malformed(txn, "slot");
            break;
        }
        if (store_record_get(txn, cur.key.data, &rec) || !fn(ctx, &rec))
            break;
    }
    store_cursor_close(&cur);
    return store_txn_status(txn);
}

/* ---- proofs ---- */

enum status store_record_get_proof(struct store_txn *txn,
                                   const uint8_t slot[STORE_SLOT_BYTES],
                                   struct store_proof *out)
{
    struct bytes value;
    struct store_proof row = {.epoch = 0};
    memcpy(row.slot, slot, STORE_SLOT_BYTES);
    *out = row;
    enum status status =
        store_txn_get(txn, STORE_TABLE_PROOF, record_key(out->slot), &value);
    if (!status && store_value_get_proof(value, out))
        status = record_malformed(txn, "proof");
    return status;
}

/* Widens the proof by one payload; false when it is known or lies between. */
static bool proof_widen(struct store_proof *proof,
                        const struct store_record *rec)
{
    if (hash_compare(&rec->hash, &proof->least_hash) < 0) {
        proof->least_hash = rec->hash;
        proof->least = rec->envelope;
        return true;
    }
    if (hash_compare(&rec->hash, &proof->greatest_hash) > 0) {
        proof->greatest_hash = rec->hash;
        proof->greatest = rec->envelope;
        return true;
    }
    return false;
}

/* Both rows are written before either is put: a put ends the views. */
static enum status proof_put(struct store_txn *txn,
                             const struct store_proof *proof,
                             struct store_record *held)
{
    struct writer row;
    struct writer slot;
    bool changed = !hash_equal(&held->hash, &proof->least_hash);
    held->hash = proof->least_hash;
    held->envelope = proof->least;
    writer_init_heap(&row, PROOF_ROW_MAX);
    writer_init_heap(&slot, RECORD_ROW_MAX);
    store_value_put_proof(&row, proof);
    store_value_put_record(&slot, held);
    enum status status =
        record_put_row(txn, STORE_TABLE_PROOF, proof->slot, &row);
    if (!status && changed)
        status = record_put_row(txn, STORE_TABLE_RECORD, proof->slot, &slot);
    writer_deinit(&row);
    writer_deinit(&slot);
    return status;
}

enum status store_record_put_proof(struct store_txn *txn,
                                   const struct store_record *rec)
{
    struct store_record held;
    struct store_proof proof;
    if (!record_fits(rec))
        return STATUS_LIMIT;
    enum status status = record_get_row(txn, rec->slot, &held);
    if (status)
        return status;
    if (record_compare(rec->epoch, rec->seq, held.epoch, held.seq))
        return STATUS_NOT_FOUND;
    if (hash_equal(&rec->hash, &held.hash))
        return STATUS_USAGE;
    status = store_record_get_proof(txn, rec->slot, &proof);
    if (status && status != STATUS_NOT_FOUND)
        return status;
    if (status || record_compare(proof.epoch, proof.seq, rec->epoch, rec->seq))
        proof = (struct store_proof){.least_hash = held.hash,
                                     .greatest_hash = held.hash,
                                     .least = held.envelope,
                                     .greatest = held.envelope};
    memcpy(proof.slot, rec->slot, STORE_SLOT_BYTES);
    proof.epoch = rec->epoch;
    proof.seq = rec->seq;
    if (!proof_widen(&proof, rec))
        return STATUS_EXISTS;
    return proof_put(txn, &proof, &held);
}

enum status store_record_clear_proof(struct store_txn *txn,
                                     const uint8_t slot[STORE_SLOT_BYTES])
{
    return store_txn_del(txn, STORE_TABLE_PROOF, record_key(slot));
}
