/* Cursors over LMDB. */
#include "store/cursor.h"

#include "store/env_internal.h"

static MDB_val cursor_val(struct bytes in)
{
    return (MDB_val){in.size, (void *)(uintptr_t)in.data};
}

static struct bytes cursor_bytes(MDB_val val)
{
    return bytes_of(val.mv_data, val.mv_size);
}

void store_cursor_open(struct store_cursor *cur, struct store_txn *txn,
                       enum store_table table, struct bytes prefix)
{
    *cur = (struct store_cursor){.txn = txn, .prefix = prefix, .table = table};
    if (txn->status)
        return;
    int rc = mdb_cursor_open(txn->mdb, txn->env->dbi[table], &cur->mdb);
    if (rc) {
        cur->mdb = NULL;
        store_txn_fail_mdb(txn, table, rc);
    }
}

bool store_cursor_next(struct store_cursor *cur)
{
    MDB_val k = cursor_val(cur->prefix);
    MDB_val v = {0, NULL};
    if (!cur->mdb || cur->txn->status)
        return false;
    MDB_cursor_op op = MDB_NEXT;
    if (!cur->started)
        op = cur->prefix.size ? MDB_SET_RANGE : MDB_FIRST;
    cur->started = true;
    int rc = mdb_cursor_get(cur->mdb, &k, &v, op);
    if (rc == MDB_NOTFOUND)
        return false;
    if (rc) {
        store_txn_fail_mdb(cur->txn, cur->table, rc);
        return false;
    }
    cur->key = cursor_bytes(k);
    cur->value = cursor_bytes(v);
    return cur->key.size >= cur->prefix.size &&
           bytes_equal(bytes_of(cur->key.data, cur->prefix.size), cur->prefix);
}

void store_cursor_del(struct store_cursor *cur)
{
    if (!cur->mdb || cur->txn->status)
        return;
    int rc = mdb_cursor_del(cur->mdb, 0);
    if (rc)
        store_txn_fail_mdb(cur->txn, cur->table, rc);
}

void store_cursor_close(struct store_cursor *cur)
{
    if (cur->mdb)
        mdb_cursor_close(cur->mdb);
    cur->mdb = NULL;
}
