/* Transactions with a sticky status.
 *
 * The first failure of a write (no space, a damaged row, input or output
 * error) sticks: later calls return it and change nothing, and commit aborts
 * and returns it. So a job writes straight lines and looks once. Answers are
 * no failures and do not stick: NOT_FOUND, EXISTS, STALE, MISMATCH, BUSY,
 * USAGE, LIMIT and a quota's NO_SPACE are returned before anything is changed.
 *
 * By convention one write transaction puts at most STORE_TXN_BYTES. Threads:
 * see store/env.h. The functions on tables are for the modules of store/. */
#ifndef STORE_TXN_H
#define STORE_TXN_H

#include "codec/base/bytes.h"
#include "codec/base/status.h"

#include <stdbool.h>
#include <stdint.h>

/* What one write transaction should put at most, keys and rows aside. */
#define STORE_TXN_BYTES (1u << 20)

struct store_env;
struct MDB_txn;

/* name, text in the file. The order is part of nothing. */
#define STORE_TABLE_LIST(X)           \
    X(META, "meta")                   \
    X(SETTING, "setting")             \
    X(OWN, "own")                     \
    X(RECORD, "record")               \
    X(PROOF, "proof")                 \
    X(VERSION, "version")             \
    X(VERSION_MODEL, "version.model") \
    X(VERSION_TREE, "version.tree")   \
    X(MANIFEST, "manifest")           \
    X(BITMAP, "bitmap")               \
    X(UPDATE, "update")               \
    X(UPDATE_TARGET, "update.target") \
    X(UPDATE_BASE, "update.base")     \
    X(HEADER, "header")               \
    X(HELD, "held")                   \
    X(SEGMENT, "segment")             \
    X(USAGE, "usage")                 \
    X(PEER, "peer")                   \
    X(ACTIVATION, "activation")

enum store_table {
#define STORE_TABLE_ENUM(name, text) STORE_TABLE_##name,
    STORE_TABLE_LIST(STORE_TABLE_ENUM)
#undef STORE_TABLE_ENUM
    STORE_TABLE_COUNT
};

enum store_txn_mode {
    STORE_TXN_READ,
    STORE_TXN_WRITE
};

/* Caller's storage; zeroes are an ended transaction. */
struct store_txn {
    struct store_env *env;
    struct MDB_txn *mdb;
    struct diag *diag; /* of store_txn_begin; may be NULL */
    enum status status;
    enum store_txn_mode mode;
    bool graph_changed; /* what gc marks by was changed */
};

/* Begins a transaction. diag is borrowed until it ends. A read transaction
 * sees what was committed before it began, and nothing later; views from it
 * hold until it ends. In a write transaction a view holds until the next
 * change.
 *
 * STATUS_PERMISSION  writing in an environment opened read-only
 * STATUS_BUSY        too many read transactions
 * STATUS_NO_MEMORY, STATUS_IO
 *
 * On error the transaction counts as ended. */
enum status store_txn_begin(struct store_txn *txn, struct store_env *env,
                            enum store_txn_mode mode, struct diag *diag)
    MUST_CHECK;

/* Ends the transaction: OK means that its changes are on the disk. Returns the
 * sticky status, if there is one, after undoing everything.
 *
 * STATUS_NO_SPACE  the map or the file system is full; nothing was changed
 * STATUS_IO        the disk failed; nothing was changed */
enum status store_txn_commit(struct store_txn *txn) MUST_CHECK;

/* Ends the transaction and undoes its changes. Fine on an ended one. */
void store_txn_abort(struct store_txn *txn);

static inline enum status store_txn_status(const struct store_txn *txn)
{
    return txn->status;
}

/* ---- for the modules of store/ ---- */

/* Makes a return code of LMDB sticky, with words; returns the status. */
enum status store_txn_fail_mdb(struct store_txn *txn, enum store_table table,
                               int rc);

/* Notes a failure with words for people and makes it sticky; returns the
 * sticky status. */
enum status store_txn_fail(struct store_txn *txn, enum status status,
                           const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* An answer with words that does not stick. */
enum status store_txn_answer(struct store_txn *txn, enum status status,
                             const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* NOT_FOUND leaves *value empty and does not stick. value may be NULL. */
enum status store_txn_get(struct store_txn *txn, enum store_table table,
                          struct bytes key, struct bytes *value) MUST_CHECK;

/* Replaces what is there. */
enum status store_txn_put(struct store_txn *txn, enum store_table table,
                          struct bytes key, struct bytes value);

/* Deleting what is not there is fine. */
enum status store_txn_del(struct store_txn *txn, enum store_table table,
                          struct bytes key);

/* Deletes every entry of a table. */
enum status store_txn_clear(struct store_txn *txn, enum store_table table);

/* Number of entries of a table; 0 after a failure. */
uint64_t store_txn_count(struct store_txn *txn, enum store_table table);

/* Number of the transaction: of a read one that of the last commit it sees, of
 * a write one the number its commit will have. */
uint64_t store_txn_id(const struct store_txn *txn);

/* Bytes a page of the file has. */
uint32_t store_txn_page_size(struct store_txn *txn);

#endif
