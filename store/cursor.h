/* Walks over tables, for the modules of store/. */
#ifndef STORE_CURSOR_H
#define STORE_CURSOR_H

#include "store/txn.h"

struct MDB_cursor;

/* Walks the entries of a table whose keys start with prefix, in key order:
 *
 *     struct store_cursor cur;
 *     for (store_cursor_open(&cur, txn, table, prefix);
 *          store_cursor_next(&cur);)
 *         ... cur.key, cur.value ...
 *     store_cursor_close(&cur);
 *
 * Errors stick to the transaction and end the walk. */
struct store_cursor {
    struct store_txn *txn;
    struct MDB_cursor *mdb;
    struct bytes prefix; /* borrowed */
    struct bytes key;    /* of the present entry; views as of the txn */
    struct bytes value;
    enum store_table table;
    bool started;
};

void store_cursor_open(struct store_cursor *cur, struct store_txn *txn,
                       enum store_table table, struct bytes prefix);

/* Moves to the next entry; false at the end or after a failure. */
bool store_cursor_next(struct store_cursor *cur);

/* Deletes the present entry; store_cursor_next then gives the one after it. */
void store_cursor_del(struct store_cursor *cur);

void store_cursor_close(struct store_cursor *cur);

#endif
