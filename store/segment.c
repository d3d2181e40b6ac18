/* Segments: bytes under (update, index), with the counters of the update kept
 * in step. */
#include "store/segment.h"

#include "store/bits.h"
#include "store/key.h"
#include "store/update_internal.h"
#include "store/usage.h"
#include "store/value.h"

static void segment_key(struct store_key *key, const struct hash *update,
                        uint32_t index)
{
    store_key_init(key);
    store_key_add_hash(key, update);
    store_key_add_be32(key, index);
}

/* The update's row, the index tested, and whether the segment is held. */
static enum status segment_look(struct store_txn *txn, const struct hash *id,
                                uint32_t index, struct store_update *update,
                                bool *is_held)
{
    *is_held = false;
    enum status status = store_update_get(txn, id, update);
    if (status)
        return status;
    if (index >= update->segment_count)
        return store_txn_answer(txn, STATUS_LIMIT, "segment %u of %u",
                                (unsigned)index,
                                (unsigned)update->segment_count);
    return store_bits_test(txn, STORE_TABLE_HELD, id, update->segment_count,
                           index, is_held);
}

/* Notes changed segments as held, after their rows were put. */
static enum status segment_note(struct store_txn *txn,
                                struct store_update *update, uint32_t first,
                                uint32_t count)
{
    uint32_t changed;
    enum status status =
        store_bits_change(txn, STORE_TABLE_HELD, &update->id,
                          update->segment_count, first, count, true, &changed);
    if (status || !changed)
        return status;
    update->held_count += changed;
    if (store_update_complete(update))
        txn->graph_changed = true;
    return store_update_put_row(txn, update);
}

enum status store_segment_put(struct store_txn *txn, const struct hash *id,
                              uint32_t index, struct bytes segment)
{
    struct store_update update;
    struct store_key key;
    bool is_held;
    if (segment.size > STORE_SEGMENT_BYTES_MAX)
        return STATUS_LIMIT;
    enum status status = segment_look(txn, id, index, &update, &is_held);
    if (status)
        return status;
    if (is_held)
        return STATUS_EXISTS;
    if (!segment.size)
        return segment_note(txn, &update, index, 1);
    uint64_t cost = store_usage_cost(txn, segment.size);
    status = store_usage_check(txn, cost);
    if (status)
        return status;
    update.row_count++;
    update.held_size += segment.size;
    update.held_cost += cost;
    segment_key(&key, id, index);
    store_txn_put(txn, STORE_TABLE_SEGMENT, store_key_view(&key), segment);
    store_usage_change(txn, update.model, cost, 0);
    return segment_note(txn, &update, index, 1);
}

enum status store_segment_put_empty(struct store_txn *txn,
                                    const struct hash *id, uint32_t first,
                                    uint32_t count)
{
    struct store_update update;
    enum status status = store_update_get(txn, id, &update);
    return status ? status : segment_note(txn, &update, first, count);
}

enum status store_segment_get(struct store_txn *txn, const struct hash *id,
                              uint32_t index, struct bytes *segment)
{
    struct store_update update;
    struct store_key key;
    bool is_held;
    *segment = (struct bytes){NULL, 0};
    enum status status = segment_look(txn, id, index, &update, &is_held);
    if (status)
        return status;
    if (!is_held)
        return STATUS_NOT_FOUND;
    segment_key(&key, id, index);
    status =
        store_txn_get(txn, STORE_TABLE_SEGMENT, store_key_view(&key), segment);
    return status == STATUS_NOT_FOUND ? STATUS_OK : status;
}

enum status store_segment_read(struct store_env *env, const struct hash *id,
                               uint32_t index, uint64_t offset, uint8_t *out,
                               size_t size, size_t *copied,
                               uint64_t *segment_size, struct diag *diag)
{
    struct store_txn txn;
    struct bytes segment;
    *copied = 0;
    if (segment_size)
        *segment_size = 0;
    enum status status = store_txn_begin(&txn, env, STORE_TXN_READ, diag);
    if (status)
        return status;
    status = store_segment_get(&txn, id, index, &segment);
    if (!status && offset > segment.size)
        status = STATUS_LIMIT;
    if (!status) {
        size_t left = segment.size - (size_t)offset;
        *copied = size < left ? size : left;
        if (*copied)
            memcpy(out, segment.data + offset, *copied);
        if (segment_size)
            *segment_size = segment.size;
    }
    store_txn_abort(&txn);
    return status;
}

enum status store_segment_remove(struct store_txn *txn, const struct hash *id,
                                 uint32_t index)
{
    struct store_update update;
    struct store_key key;
    struct bytes segment;
    bool is_held;
    enum status status = segment_look(txn, id, index, &update, &is_held);
    if (status || !is_held)
        return status;
    status = store_segment_get(txn, id, index, &segment);
    if (status)
        return status;
    if (store_update_complete(&update))
        txn->graph_changed = true;
    update.held_count--;
    if (segment.size) {
        uint64_t cost = store_usage_cost(txn, segment.size);
        update.row_count--;
        update.held_size -= segment.size;
        update.held_cost -= cost;
        segment_key(&key, id, index);
        store_txn_del(txn, STORE_TABLE_SEGMENT, store_key_view(&key));
        store_usage_change(txn, update.model, 0, cost);
    }
    status = store_bits_change(txn, STORE_TABLE_HELD, id, update.segment_count,
                               index, 1, false, NULL);
    return status ? status : store_update_put_row(txn, &update);
}
