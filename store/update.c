/* Updates: a row each, its header and held segments in tables of their own,
 * and an index by either end. */
#include "store/update.h"

#include "store/bits.h"
#include "store/cursor.h"
#include "store/key.h"
#include "store/segment.h"
#include "store/update_internal.h"
#include "store/usage.h"
#include "store/value.h"

#include <stdlib.h>

/* Segments removed in one transaction. */
#define UPDATE_REMOVE_COUNT 256u

static void update_index_key(struct store_key *key, const struct hash *tree,
                             const struct hash *id)
{
    store_key_init(key);
    store_key_add_hash(key, tree);
    store_key_add_hash(key, id);
}

enum status store_update_put_row(struct store_txn *txn,
                                 const struct store_update *update)
{
    uint8_t buf[STORE_VALUE_ROW_MAX];
    struct writer wr;
    writer_init(&wr, buf, sizeof(buf));
    store_value_put_update(&wr, update);
    enum status status = writer_status(&wr);
    if (status)
        return store_txn_fail(txn, status, "an update's row does not fit");
    return store_txn_put(txn, STORE_TABLE_UPDATE,
                         store_key_of_hash(&update->id), writer_view(&wr));
}

enum status store_update_get(struct store_txn *txn, const struct hash *id,
                             struct store_update *out)
{
    struct bytes value;
    char hex[HASH_HEX_SIZE];
    /* id may be out->id. */
    *out = (struct store_update){.id = *id};
    enum status status = store_txn_get(txn, STORE_TABLE_UPDATE,
                                       store_key_of_hash(&out->id), &value);
    if (!status && store_value_get_update(value, out)) {
        hash_hex(&out->id, hex);
        status =
            store_txn_fail(txn, STATUS_CORRUPT,
                           "the store's row of update %.16s is malformed", hex);
    }
    return status;
}

enum status store_update_get_header(struct store_txn *txn,
                                    const struct hash *id, struct bytes *header)
{
    return store_txn_get(txn, STORE_TABLE_HEADER, store_key_of_hash(id),
                         header);
}

enum status store_update_get_held(struct store_txn *txn, const struct hash *id,
                                  uint8_t *bits, size_t bits_size,
                                  uint32_t *held_count)
{
    struct store_update update;
    enum status status = store_update_get(txn, id, &update);
    if (status)
        return status;
    return store_bits_copy(txn, STORE_TABLE_HELD, id, update.segment_count,
                           bits, bits_size, held_count);
}

/* ---- adding ---- */

static enum status update_check(struct store_txn *txn,
                                const struct store_update *update,
                                struct bytes header)
{
    struct hash hash;
    if (!store_value_name_fits(update->model))
        return store_txn_answer(txn, STATUS_USAGE,
                                "an update's model name is empty or too long");
    if (update->segment_count > STORE_SEGMENT_COUNT_MAX)
        return store_txn_answer(txn, STATUS_LIMIT, "an update of %u segments",
                                (unsigned)update->segment_count);
    if (header.size > STORE_HEADER_BYTES_MAX)
        return store_txn_answer(txn, STATUS_LIMIT,
                                "an update header of %zu bytes", header.size);
    hash_bytes(HASH_UPDATE, header, &hash);
    if (!hash_equal(&hash, &update->id))
        return store_txn_answer(txn, STATUS_MISMATCH,
                                "the header is not the update's");
    return STATUS_OK;
}

enum status store_update_add(struct store_txn *txn,
                             const struct store_update *update,
                             struct bytes header)
{
    struct store_key key;
    struct store_update row = *update;
    enum status status = update_check(txn, update, header);
    if (status)
        return status;
    status = store_txn_get(txn, STORE_TABLE_UPDATE,
                           store_key_of_hash(&update->id), NULL);
    if (status != STATUS_NOT_FOUND)
        return status ? status : STATUS_EXISTS;
    row.header_size = (uint32_t)header.size;
    row.held_count = 0;
    row.row_count = 0;
    row.held_size = 0;
    row.held_cost = store_usage_cost(txn, header.size);
    status = store_usage_check(txn, row.held_cost);
    if (status)
        return status;
    txn->graph_changed = true;
    store_update_put_row(txn, &row);
    store_txn_put(txn, STORE_TABLE_HEADER, store_key_of_hash(&row.id), header);
    update_index_key(&key, &row.target, &row.id);
    store_txn_put(txn, STORE_TABLE_UPDATE_TARGET, store_key_view(&key),
                  bytes_of(NULL, 0));
    if (row.has_base) {
        update_index_key(&key, &row.base, &row.id);
        store_txn_put(txn, STORE_TABLE_UPDATE_BASE, store_key_view(&key),
                      bytes_of(NULL, 0));
    }
    return store_usage_change(txn, row.model, row.held_cost, 0);
}

/* ---- walks ---- */

static enum status update_walk(struct store_txn *txn, enum store_table table,
                               struct bytes prefix, store_update_fn fn,
                               void *ctx)
{
    struct store_cursor cur;
    struct store_update update;
    struct hash id;
    store_cursor_open(&cur, txn, table, prefix);
    while (store_cursor_next(&cur)) {
        if (cur.key.size < HASH_BYTES) {
            store_txn_fail(txn, STATUS_CORRUPT,
                           "a key of an update is malformed");
            break;
        }
        memcpy(id.b, cur.key.data + cur.key.size - HASH_BYTES, HASH_BYTES);
        enum status status = store_update_get(txn, &id, &update);
        if (status == STATUS_NOT_FOUND)
            store_txn_fail(txn, STATUS_CORRUPT,
                           "an index names an update that is not there");
        if (status || !fn(ctx, &update))
            break;
    }
    store_cursor_close(&cur);
    return store_txn_status(txn);
}

enum status store_update_each(struct store_txn *txn, store_update_fn fn,
                              void *ctx)
{
    return update_walk(txn, STORE_TABLE_UPDATE, bytes_of(NULL, 0), fn, ctx);
}

enum status store_update_each_to(struct store_txn *txn,
                                 const struct hash *target, store_update_fn fn,
                                 void *ctx)
{
    return update_walk(txn, STORE_TABLE_UPDATE_TARGET,
                       store_key_of_hash(target), fn, ctx);
}

enum status store_update_each_from(struct store_txn *txn,
                                   const struct hash *base, store_update_fn fn,
                                   void *ctx)
{
    return update_walk(txn, STORE_TABLE_UPDATE_BASE, store_key_of_hash(base),
                       fn, ctx);
}

/* ---- removing ---- */

struct update_need {
    const struct hash *id;
    bool needed;
};

static bool update_needed_by(void *ctx, const struct store_version *version)
{
    struct update_need *need = ctx;
    need->needed =
        version->has_update && hash_equal(&version->update, need->id);
    return !need->needed;
}

static enum status update_check_unused(struct store_txn *txn,
                                       const struct store_update *update)
{
    struct update_need need = {&update->id, false};
    enum status status = store_version_each_of_tree(txn, &update->target,
                                                    update_needed_by, &need);
    if (!status && need.needed)
        status =
            store_txn_answer(txn, STATUS_BUSY, "the update realises a version");
    return status;
}

/* The last row below *end with its bit set; false when there is none. */
static bool update_last_held(const uint8_t *bits, uint32_t *end)
{
    while (*end > 0) {
        --*end;
        if (store_value_bit(bits, *end))
            return true;
    }
    return false;
}

static enum status update_remove_segments(struct store_txn *txn,
                                          const struct hash *id,
                                          uint32_t segment_count)
{
    size_t size = store_value_bitmap_bytes(segment_count);
    uint8_t *bits = malloc(size + 1);
    uint32_t end = segment_count;
    if (!bits)
        return store_txn_fail(txn, STATUS_NO_MEMORY, "out of memory");
    enum status status = store_bits_copy(txn, STORE_TABLE_HELD, id,
                                         segment_count, bits, size, NULL);
    for (uint32_t i = 0; !status && i < UPDATE_REMOVE_COUNT; i++) {
        if (!update_last_held(bits, &end))
            break;
        status = store_segment_remove(txn, id, end);
    }
    free(bits);
    return status;
}

static enum status update_remove_row(struct store_txn *txn,
                                     const struct store_update *update)
{
    struct store_key key;
    store_usage_change(txn, update->model, 0, update->held_cost);
    store_txn_del(txn, STORE_TABLE_HEADER, store_key_of_hash(&update->id));
    store_txn_del(txn, STORE_TABLE_HELD, store_key_of_hash(&update->id));
    update_index_key(&key, &update->target, &update->id);
    store_txn_del(txn, STORE_TABLE_UPDATE_TARGET, store_key_view(&key));
    if (update->has_base) {
        update_index_key(&key, &update->base, &update->id);
        store_txn_del(txn, STORE_TABLE_UPDATE_BASE, store_key_view(&key));
    }
    return store_txn_del(txn, STORE_TABLE_UPDATE,
                         store_key_of_hash(&update->id));
}

enum status store_update_remove_some(struct store_txn *txn,
                                     const struct hash *id, bool *done)
{
    struct store_update update;
    *done = false;
    enum status status = store_update_get(txn, id, &update);
    if (status == STATUS_NOT_FOUND) {
        *done = true;
        return STATUS_OK;
    }
    if (!status)
        status = update_check_unused(txn, &update);
    if (status)
        return status;
    txn->graph_changed = true;
    if (update.row_count)
        return update_remove_segments(txn, id, update.segment_count);
    *done = true;
    return update_remove_row(txn, &update);
}

enum status store_update_remove(struct store_env *env, const struct hash *id,
                                struct diag *diag)
{
    struct store_txn txn;
    bool done = false;
    while (!done) {
        enum status status = store_txn_begin(&txn, env, STORE_TXN_WRITE, diag);
        if (status)
            return status;
        status = store_update_remove_some(&txn, id, &done);
        if (status) {
            store_txn_abort(&txn);
            return status;
        }
        status = store_txn_commit(&txn);
        if (status)
            return status;
    }
    return STATUS_OK;
}
