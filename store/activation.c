/* Activation intents and the numbers of model folders. */
#include "store/activation.h"

#include "store/cursor.h"
#include "store/key.h"
#include "store/meta.h"
#include "store/value.h"

#include <stdio.h>

static void activation_key(struct store_key *key, const char *model)
{
    store_key_init(key);
    store_key_add_text(key, model);
}

/* The setting that holds the last number given. */
static void activation_setting(char *name, size_t size, const char *model)
{
    snprintf(name, size, "activation.n/%s", model);
}

static enum status activation_put(struct store_txn *txn,
                                  const struct store_activation *activation)
{
    uint8_t buf[STORE_VALUE_ROW_MAX];
    struct store_key key;
    struct writer wr;
    writer_init(&wr, buf, sizeof(buf));
    store_value_put_activation(&wr, activation);
    enum status status = writer_status(&wr);
    if (status)
        return store_txn_fail(txn, status, "an activation's row does not fit");
    txn->graph_changed = true;
    activation_key(&key, activation->model);
    return store_txn_put(txn, STORE_TABLE_ACTIVATION, store_key_view(&key),
                         writer_view(&wr));
}

enum status store_activation_get(struct store_txn *txn, const char *model,
                                 struct store_activation *out)
{
    struct store_key key;
    struct bytes value;
    if (!store_value_name_fits(model)) {
        *out = (struct store_activation){.n = 0};
        return STATUS_NOT_FOUND;
    }
    /* model may be out->model. */
    activation_key(&key, model);
    *out = (struct store_activation){.n = 0};
    memcpy(out->model, key.data, key.size);
    enum status status = store_txn_get(txn, STORE_TABLE_ACTIVATION,
                                       store_key_view(&key), &value);
    if (!status && store_value_get_activation(value, out))
        status = store_txn_fail(txn, STATUS_CORRUPT,
                                "the store's activation of %s is malformed",
                                out->model);
    return status;
}

enum status store_activation_last_n(struct store_txn *txn, const char *model,
                                    uint64_t *n)
{
    char name[STORE_SETTING_NAME_MAX + 1];
    *n = 0;
    if (!store_value_name_fits(model))
        return STATUS_USAGE;
    activation_setting(name, sizeof(name), model);
    enum status status = store_meta_get_u64(txn, name, n);
    if (status == STATUS_MISMATCH)
        status = store_txn_fail(txn, STATUS_CORRUPT,
                                "the store's folder number of %s is malformed",
                                model);
    return status == STATUS_NOT_FOUND ? STATUS_OK : status;
}

enum status store_activation_raise_n(struct store_txn *txn, const char *model,
                                     uint64_t n)
{
    char name[STORE_SETTING_NAME_MAX + 1];
    uint64_t last;
    enum status status = store_activation_last_n(txn, model, &last);
    if (status || last >= n)
        return status;
    activation_setting(name, sizeof(name), model);
    return store_meta_put_u64(txn, name, n);
}

enum status store_activation_begin(struct store_txn *txn,
                                   struct store_activation *activation)
{
    struct store_activation held;
    uint64_t last;
    if (!store_value_name_fits(activation->model) || !activation->tmp[0] ||
        strnlen(activation->tmp, STORE_ACTIVATION_TMP_MAX + 1) >
            STORE_ACTIVATION_TMP_MAX)
        return STATUS_USAGE;
    enum status status = store_activation_get(txn, activation->model, &held);
    if (status != STATUS_NOT_FOUND)
        return status ? status : STATUS_EXISTS;
    status = store_activation_last_n(txn, activation->model, &last);
    if (status)
        return status;
    if (last == UINT64_MAX)
        return STATUS_LIMIT;
    activation->n = last + 1;
    activation->stage = STORE_ACTIVATION_INTENT;
    status = store_activation_raise_n(txn, activation->model, activation->n);
    return status ? status : activation_put(txn, activation);
}

enum status store_activation_advance(struct store_txn *txn, const char *model,
                                     enum store_activation_stage stage)
{
    struct store_activation activation;
    if ((unsigned)stage >= STORE_ACTIVATION_STAGE_COUNT)
        return STATUS_USAGE;
    enum status status = store_activation_get(txn, model, &activation);
    if (status)
        return status;
    if (stage <= activation.stage)
        return STATUS_STALE;
    activation.stage = stage;
    return activation_put(txn, &activation);
}

enum status store_activation_clear(struct store_txn *txn, const char *model)
{
    struct store_key key;
    if (!store_value_name_fits(model))
        return STATUS_OK;
    txn->graph_changed = true;
    activation_key(&key, model);
    return store_txn_del(txn, STORE_TABLE_ACTIVATION, store_key_view(&key));
}

enum status store_activation_each(struct store_txn *txn,
                                  bool (*fn)(void *ctx,
                                             const struct store_activation *a),
                                  void *ctx)
{
    struct store_cursor cur;
    struct store_activation activation;
    char model[STORE_NAME_MAX + 1];
    store_cursor_open(&cur, txn, STORE_TABLE_ACTIVATION, bytes_of(NULL, 0));
    while (store_cursor_next(&cur)) {
        if (cur.key.size < 2 || cur.key.size > sizeof(model) ||
            cur.key.data[cur.key.size - 1]) {
            store_txn_fail(txn, STATUS_CORRUPT,
                           "a key of an activation is malformed");
            break;
        }
        memcpy(model, cur.key.data, cur.key.size);
        if (store_activation_get(txn, model, &activation) ||
            !fn(ctx, &activation))
            break;
    }
    store_cursor_close(&cur);
    return store_txn_status(txn);
}
