/* What env.c and txn.c share. Nobody else includes it, nor lmdb.h. */
#ifndef STORE_ENV_INTERNAL_H
#define STORE_ENV_INTERNAL_H

#include "codec/base/status.h"
#include "store/txn.h"

#include <lmdb.h>
#include <pthread.h>

struct store_env {
    MDB_env *mdb;
    MDB_dbi dbi[STORE_TABLE_COUNT];
    char *path;
    int lock_fd; /* -1: none held */
    bool read_only;
    bool map_given; /* by the caller: the quota is not bound by it */
    uint32_t page_size;

    pthread_mutex_t mutex; /* guards what follows */
    uint32_t txn_count;    /* open or waiting to open */
    uint64_t quota;
    uint64_t map_bytes;
    uint64_t map_wanted;
    bool unmapped; /* growing failed: only closing is left */
};

/* The status of an LMDB return code; 0 is OK. */
enum status store_env_status(int rc);

/* Around each transaction: counts it, so that the map grows when there is
 * none. */
enum status store_env_enter(struct store_env *env, struct diag *diag);
void store_env_leave(struct store_env *env);

/* Takes over the map size of a writer in another process. False while other
 * transactions are open. */
bool store_env_remap(struct store_env *env);

#endif
