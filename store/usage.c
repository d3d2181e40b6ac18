/* Counters of room taken, kept in the transactions that take it. */
#include "store/usage.h"

#include "store/cursor.h"
#include "store/env.h"
#include "store/key.h"
#include "store/value.h"

/* What LMDB puts before the data of a large value. */
#define USAGE_PAGE_HEAD 16u
/* Key, node head and offset of a small value, about. */
#define USAGE_SMALL_HEAD 64u

uint64_t store_usage_cost(struct store_txn *txn, uint64_t value_size)
{
    uint64_t page = store_txn_page_size(txn);
    if (!value_size)
        return 0;
    /* Pages of small entries may be half full. */
    if (value_size + USAGE_SMALL_HEAD <= page / 2)
        return 2 * (value_size + USAGE_SMALL_HEAD);
    return (value_size + USAGE_PAGE_HEAD + page - 1) / page * page;
}

/* The total is kept under the empty name. */
static enum status usage_get(struct store_txn *txn, const char *model,
                             uint64_t *bytes)
{
    struct store_key key;
    struct bytes value;
    *bytes = 0;
    store_key_init(&key);
    store_key_add_text(&key, model);
    enum status status =
        store_txn_get(txn, STORE_TABLE_USAGE, store_key_view(&key), &value);
    if (!status && store_value_get_u64(value, bytes))
        status = store_txn_fail(txn, STATUS_CORRUPT,
                                "the store's usage of %s is malformed",
                                *model ? model : "all models");
    return status == STATUS_NOT_FOUND ? STATUS_OK : status;
}

enum status store_usage_total(struct store_txn *txn, uint64_t *bytes)
{
    return usage_get(txn, "", bytes);
}

enum status store_usage_of_model(struct store_txn *txn, const char *model,
                                 uint64_t *bytes)
{
    *bytes = 0;
    if (!store_value_name_fits(model))
        return STATUS_OK;
    return usage_get(txn, model, bytes);
}

enum status store_usage_each(struct store_txn *txn,
                             bool (*fn)(void *ctx, const char *model,
                                        uint64_t bytes),
                             void *ctx)
{
    struct store_cursor cur;
    char model[STORE_NAME_MAX + 1];
    uint64_t bytes;
    store_cursor_open(&cur, txn, STORE_TABLE_USAGE, bytes_of(NULL, 0));
    while (store_cursor_next(&cur)) {
        if (cur.key.size == 1)
            continue;
        if (cur.key.size == 0 || cur.key.size > sizeof(model) ||
            cur.key.data[cur.key.size - 1] ||
            store_value_get_u64(cur.value, &bytes)) {
            store_txn_fail(txn, STATUS_CORRUPT,
                           "a usage row of the store is malformed");
            break;
        }
        memcpy(model, cur.key.data, cur.key.size);
        if (!fn(ctx, model, bytes))
            break;
    }
    store_cursor_close(&cur);
    return store_txn_status(txn);
}

enum status store_usage_check(struct store_txn *txn, uint64_t bytes)
{
    uint64_t total;
    uint64_t quota = store_env_quota(txn->env);
    enum status status = store_usage_total(txn, &total);
    if (status || quota == STORE_QUOTA_NONE)
        return status;
    if (total <= quota && bytes <= quota - total)
        return STATUS_OK;
    return store_txn_answer(txn, STATUS_NO_SPACE,
                            "%llu bytes more are over the quota: %llu of %llu "
                            "are used",
                            (unsigned long long)bytes,
                            (unsigned long long)total,
                            (unsigned long long)quota);
}

static enum status usage_change_one(struct store_txn *txn, const char *model,
                                    uint64_t added, uint64_t removed)
{
    struct store_key key;
    uint8_t buf[8];
    uint64_t bytes;
    enum status status = usage_get(txn, model, &bytes);
    if (status)
        return status;
    bytes += added;
    if (bytes < removed)
        return store_txn_fail(txn, STATUS_CORRUPT,
                              "the store's usage of %s is less than what is "
                              "removed",
                              *model ? model : "all models");
    bytes -= removed;
    store_key_init(&key);
    store_key_add_text(&key, model);
    if (!bytes)
        return store_txn_del(txn, STORE_TABLE_USAGE, store_key_view(&key));
    store_be64(buf, bytes);
    return store_txn_put(txn, STORE_TABLE_USAGE, store_key_view(&key),
                         bytes_of(buf, sizeof(buf)));
}

enum status store_usage_change(struct store_txn *txn, const char *model,
                               uint64_t added, uint64_t removed)
{
    if (added == removed)
        return store_txn_status(txn);
    usage_change_one(txn, model, added, removed);
    return usage_change_one(txn, "", added, removed);
}
