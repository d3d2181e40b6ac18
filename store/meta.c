/* Counters of the node itself, and named values. */
#include "store/meta.h"

#include "store/cursor.h"
#include "store/value.h"

static enum status meta_get_counter(struct store_txn *txn, const char *name,
                                    uint64_t *value)
{
    struct bytes view;
    *value = 0;
    enum status status =
        store_txn_get(txn, STORE_TABLE_META, bytes_of_text(name), &view);
    if (status == STATUS_NOT_FOUND)
        return STATUS_OK;
    if (!status && store_value_get_u64(view, value))
        status = store_txn_fail(txn, STATUS_CORRUPT,
                                "the store's counter %s is malformed", name);
    return status;
}

static enum status meta_put_counter(struct store_txn *txn, const char *name,
                                    uint64_t value)
{
    uint8_t buf[8];
    store_be64(buf, value);
    return store_txn_put(txn, STORE_TABLE_META, bytes_of_text(name),
                         bytes_of(buf, sizeof(buf)));
}

static enum status meta_add_counter(struct store_txn *txn, const char *name,
                                    uint64_t add, uint64_t *now)
{
    uint64_t value;
    enum status status = meta_get_counter(txn, name, &value);
    if (status)
        return status;
    value = value > UINT64_MAX - add ? UINT64_MAX : value + add;
    if (now)
        *now = value;
    return meta_put_counter(txn, name, value);
}

enum status store_meta_start(struct store_txn *txn, uint64_t *start_count)
{
    return meta_add_counter(txn, "starts", 1, start_count);
}

enum status store_meta_start_count(struct store_txn *txn, uint64_t *start_count)
{
    return meta_get_counter(txn, "starts", start_count);
}

enum status store_meta_uptime(struct store_txn *txn, uint64_t *seconds)
{
    return meta_get_counter(txn, "uptime", seconds);
}

enum status store_meta_add_uptime(struct store_txn *txn, uint64_t seconds,
                                  uint64_t *now)
{
    return meta_add_counter(txn, "uptime", seconds, now);
}

/* ---- what this node authored ---- */

enum status store_meta_own_seq(struct store_txn *txn,
                               const uint8_t slot[STORE_SLOT_BYTES],
                               uint64_t *epoch, uint64_t *seq)
{
    struct bytes view;
    *epoch = 0;
    *seq = 0;
    enum status status = store_txn_get(txn, STORE_TABLE_OWN,
                                       bytes_of(slot, STORE_SLOT_BYTES), &view);
    if (status == STATUS_NOT_FOUND)
        return STATUS_OK;
    if (!status && store_value_get_seq(view, epoch, seq))
        status = store_txn_fail(txn, STATUS_CORRUPT,
                                "the store's own seq of a slot is malformed");
    return status;
}

enum status store_meta_raise_own_seq(struct store_txn *txn,
                                     const uint8_t slot[STORE_SLOT_BYTES],
                                     uint64_t epoch, uint64_t seq)
{
    uint8_t buf[32];
    uint64_t old_epoch;
    uint64_t old_seq;
    struct writer wr;
    enum status status = store_meta_own_seq(txn, slot, &old_epoch, &old_seq);
    if (status)
        return status;
    if (epoch < old_epoch || (epoch == old_epoch && seq <= old_seq))
        return STATUS_STALE;
    writer_init(&wr, buf, sizeof(buf));
    store_value_put_seq(&wr, epoch, seq);
    return store_txn_put(txn, STORE_TABLE_OWN, bytes_of(slot, STORE_SLOT_BYTES),
                         writer_view(&wr));
}

/* ---- named values ---- */

static bool meta_name_fits(const char *name)
{
    size_t size = strnlen(name, STORE_SETTING_NAME_MAX + 1);
    return size > 0 && size <= STORE_SETTING_NAME_MAX;
}

enum status store_meta_get(struct store_txn *txn, const char *name,
                           struct bytes *value)
{
    *value = (struct bytes){NULL, 0};
    if (!meta_name_fits(name))
        return STATUS_USAGE;
    return store_txn_get(txn, STORE_TABLE_SETTING, bytes_of_text(name), value);
}

enum status store_meta_put(struct store_txn *txn, const char *name,
                           struct bytes value)
{
    if (!meta_name_fits(name))
        return STATUS_USAGE;
    if (value.size > STORE_SETTING_BYTES_MAX)
        return STATUS_LIMIT;
    return store_txn_put(txn, STORE_TABLE_SETTING, bytes_of_text(name), value);
}

enum status store_meta_del(struct store_txn *txn, const char *name)
{
    if (!meta_name_fits(name))
        return STATUS_USAGE;
    return store_txn_del(txn, STORE_TABLE_SETTING, bytes_of_text(name));
}

enum status store_meta_get_u64(struct store_txn *txn, const char *name,
                               uint64_t *value)
{
    struct bytes view;
    *value = 0;
    enum status status = store_meta_get(txn, name, &view);
    if (status)
        return status;
    return store_value_get_u64(view, value) ? STATUS_MISMATCH : STATUS_OK;
}

enum status store_meta_put_u64(struct store_txn *txn, const char *name,
                               uint64_t value)
{
    uint8_t buf[8];
    store_be64(buf, value);
    return store_meta_put(txn, name, bytes_of(buf, sizeof(buf)));
}

enum status store_meta_each(struct store_txn *txn, const char *prefix,
                            bool (*fn)(void *ctx, const char *name,
                                       struct bytes value),
                            void *ctx)
{
    struct store_cursor cur;
    char name[STORE_SETTING_NAME_MAX + 1];
    store_cursor_open(&cur, txn, STORE_TABLE_SETTING, bytes_of_text(prefix));
    while (store_cursor_next(&cur)) {
        if (cur.key.size > STORE_SETTING_NAME_MAX) {
            store_txn_fail(txn, STATUS_CORRUPT, "a setting's name is too long");
            break;
        }
        memcpy(name, cur.key.data, cur.key.size);
        name[cur.key.size] = 0;
        if (!fn(ctx, name, cur.value))
            break;
    }
    store_cursor_close(&cur);
    return store_txn_status(txn);
}
