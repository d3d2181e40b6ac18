/* Transactions over LMDB: every return code is translated here. */
#include "store/txn.h"

#include "store/env_internal.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <sys/statvfs.h>

static MDB_val txn_val(struct bytes in)
{
    return (MDB_val){in.size, (void *)(uintptr_t)in.data};
}

static struct bytes txn_bytes(MDB_val val)
{
    return bytes_of(val.mv_data, val.mv_size);
}

static const char *txn_table_text(enum store_table table)
{
    static const char *const names[STORE_TABLE_COUNT] = {
#define TXN_TABLE_TEXT(name, text) text,
        STORE_TABLE_LIST(TXN_TABLE_TEXT)
#undef TXN_TABLE_TEXT
    };
    return names[table];
}

static enum status __attribute__((format(printf, 3, 0)))
txn_say(struct store_txn *txn, enum status status, const char *fmt,
        va_list args)
{
    char text[sizeof(txn->diag->text)];
    if (txn->diag) {
        vsnprintf(text, sizeof(text), fmt, args);
        diag_fail(txn->diag, status, "%s", text);
    }
    return status;
}

enum status store_txn_fail(struct store_txn *txn, enum status status,
                           const char *fmt, ...)
{
    if (txn->status)
        return txn->status;
    va_list args;
    va_start(args, fmt);
    txn->status = txn_say(txn, status, fmt, args);
    va_end(args);
    return txn->status;
}

enum status store_txn_answer(struct store_txn *txn, enum status status,
                             const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    status = txn_say(txn, status, fmt, args);
    va_end(args);
    return status;
}

enum status store_txn_fail_mdb(struct store_txn *txn, enum store_table table,
                               int rc)
{
    if (rc == MDB_MAP_FULL || rc == MDB_TXN_FULL)
        return store_txn_fail(txn, STATUS_NO_SPACE,
                              "store %s is full (%s, table %s)", txn->env->path,
                              mdb_strerror(rc), txn_table_text(table));
    return store_txn_fail(txn, store_env_status(rc), "store %s, table %s: %s",
                          txn->env->path, txn_table_text(table),
                          mdb_strerror(rc));
}

/* ---- begin and end ---- */

enum status store_txn_begin(struct store_txn *txn, struct store_env *env,
                            enum store_txn_mode mode, struct diag *diag)
{
    *txn = (struct store_txn){.env = env, .diag = diag, .mode = mode};
    if (mode == STORE_TXN_WRITE && env->read_only)
        return diag_fail(diag, STATUS_PERMISSION,
                         "store %s is open for reading only", env->path);
    enum status status = store_env_enter(env, diag);
    if (status)
        return status;
    unsigned flags = mode == STORE_TXN_READ ? MDB_RDONLY : 0;
    int rc = mdb_txn_begin(env->mdb, NULL, flags, &txn->mdb);
    if (rc == MDB_MAP_RESIZED && store_env_remap(env))
        rc = mdb_txn_begin(env->mdb, NULL, flags, &txn->mdb);
    if (!rc)
        return STATUS_OK;
    txn->mdb = NULL;
    store_env_leave(env);
    if (rc == MDB_PANIC)
        return diag_fail(diag, STATUS_IO,
                         "store %s: the disk failed earlier: restart",
                         env->path);
    return diag_fail(diag, store_env_status(rc), "store %s: %s", env->path,
                     mdb_strerror(rc));
}

void store_txn_abort(struct store_txn *txn)
{
    if (!txn->mdb)
        return;
    mdb_txn_abort(txn->mdb);
    txn->mdb = NULL;
    store_env_leave(txn->env);
}

/* gc compares this number with that of its marking. */
static void txn_note_graph(struct store_txn *txn)
{
    uint8_t value[8];
    if (!txn->graph_changed || txn->mode == STORE_TXN_READ)
        return;
    store_be64(value, store_txn_id(txn));
    store_txn_put(txn, STORE_TABLE_META, bytes_of_text("graph"),
                  bytes_of(value, sizeof(value)));
}

/* LMDB says EIO of a write that was cut short, as the last one on a full disk
 * is. */
static int txn_commit_error(const struct store_txn *txn, int rc)
{
    struct statvfs vfs;
    if (rc == EIO && !statvfs(txn->env->path, &vfs) &&
        (uint64_t)vfs.f_bavail * vfs.f_frsize < STORE_TXN_BYTES)
        return ENOSPC;
    return rc;
}

enum status store_txn_commit(struct store_txn *txn)
{
    assert(txn->mdb);
    txn_note_graph(txn);
    if (txn->status) {
        enum status status = txn->status;
        store_txn_abort(txn);
        return status;
    }
    int rc = mdb_txn_commit(txn->mdb);
    txn->mdb = NULL;
    store_env_leave(txn->env);
    if (rc)
        rc = txn_commit_error(txn, rc);
    if (rc)
        return store_txn_fail(txn, store_env_status(rc),
                              "store %s: cannot commit: %s", txn->env->path,
                              mdb_strerror(rc));
    return STATUS_OK;
}

uint64_t store_txn_id(const struct store_txn *txn)
{
    return mdb_txn_id(txn->mdb);
}

uint32_t store_txn_page_size(struct store_txn *txn)
{
    return txn->env->page_size;
}

/* ---- entries ---- */

enum status store_txn_get(struct store_txn *txn, enum store_table table,
                          struct bytes key, struct bytes *value)
{
    MDB_val k = txn_val(key);
    MDB_val v = {0, NULL};
    if (value)
        *value = (struct bytes){NULL, 0};
    if (txn->status)
        return txn->status;
    int rc = mdb_get(txn->mdb, txn->env->dbi[table], &k, &v);
    if (rc == MDB_NOTFOUND)
        return STATUS_NOT_FOUND;
    if (rc)
        return store_txn_fail_mdb(txn, table, rc);
    if (value)
        *value = txn_bytes(v);
    return STATUS_OK;
}

enum status store_txn_put(struct store_txn *txn, enum store_table table,
                          struct bytes key, struct bytes value)
{
    MDB_val k = txn_val(key);
    MDB_val v = txn_val(value);
    if (txn->status)
        return txn->status;
    int rc = mdb_put(txn->mdb, txn->env->dbi[table], &k, &v, 0);
    return rc ? store_txn_fail_mdb(txn, table, rc) : STATUS_OK;
}

enum status store_txn_del(struct store_txn *txn, enum store_table table,
                          struct bytes key)
{
    MDB_val k = txn_val(key);
    if (txn->status)
        return txn->status;
    int rc = mdb_del(txn->mdb, txn->env->dbi[table], &k, NULL);
    if (rc && rc != MDB_NOTFOUND)
        return store_txn_fail_mdb(txn, table, rc);
    return STATUS_OK;
}

enum status store_txn_clear(struct store_txn *txn, enum store_table table)
{
    if (txn->status)
        return txn->status;
    int rc = mdb_drop(txn->mdb, txn->env->dbi[table], 0);
    return rc ? store_txn_fail_mdb(txn, table, rc) : STATUS_OK;
}

uint64_t store_txn_count(struct store_txn *txn, enum store_table table)
{
    MDB_stat st;
    if (txn->status)
        return 0;
    int rc = mdb_stat(txn->mdb, txn->env->dbi[table], &st);
    if (rc) {
        store_txn_fail_mdb(txn, table, rc);
        return 0;
    }
    return st.ms_entries;
}
