/* Opening LMDB: one owner, the schema looked at before anything is written,
 * and a map that grows only while nobody uses it. */
#include "store/env.h"

#include "codec/base/checked.h"
#include "store/env_internal.h"
#include "store/schema.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define ENV_DATA_NAME  "data.mdb"
#define ENV_TABLE_NAME "lock.mdb"
#define ENV_OWNER_NAME "owner.lock"
#define ENV_FILE_MODE  0600
#define ENV_MIB        (UINT64_C(1) << 20)
/* Room besides the quota: records, indexes, and pages to sweep with. */
#define ENV_MAP_EXTRA (64 * ENV_MIB)
#define ENV_MAP_MAX32 (1024 * ENV_MIB)
/* Largest file that could be an interrupted creation: two pages. */
#define ENV_BLANK_MAX (2u * 65536u)

enum status store_env_status(int rc)
{
    switch (rc) {
    case MDB_SUCCESS:
        return STATUS_OK;
    case MDB_NOTFOUND:
        return STATUS_NOT_FOUND;
    case MDB_KEYEXIST:
        return STATUS_EXISTS;
    case MDB_MAP_FULL:
    case MDB_TXN_FULL:
        return STATUS_NO_SPACE;
    case MDB_CORRUPTED:
    case MDB_PAGE_NOTFOUND:
    case MDB_INVALID:
        return STATUS_CORRUPT;
    case MDB_VERSION_MISMATCH:
        return STATUS_UNSUPPORTED;
    case MDB_READERS_FULL:
        return STATUS_BUSY;
    case MDB_PANIC:
        return STATUS_IO;
    default:
        return rc > 0 ? status_from_errno(rc) : STATUS_INTERNAL;
    }
}

static uint64_t env_map_cap(uint64_t map_bytes)
{
    if (sizeof(void *) < 8 && map_bytes > ENV_MAP_MAX32)
        map_bytes = ENV_MAP_MAX32;
    /* 2^46 bytes: half of what Linux gives a process where pointers have 64
     * bits. */
    if (map_bytes > UINT64_C(1) << 46)
        map_bytes = UINT64_C(1) << 46;
    return map_bytes & ~UINT64_C(0xffff);
}

uint64_t store_env_map_for_quota(uint64_t quota_bytes)
{
    uint64_t map;
    if (quota_bytes == 0 || quota_bytes == STORE_QUOTA_NONE)
        quota_bytes = UINT64_C(1) << 40;
    if (!checked_add_u64(quota_bytes, quota_bytes / 4, &map) ||
        !checked_add_u64(map, ENV_MAP_EXTRA + 0xffff, &map))
        map = UINT64_MAX;
    return env_map_cap(map);
}

/* path/name in a new string; NULL without memory. */
static char *env_file(const char *path, const char *name)
{
    char *file = NULL;
    if (asprintf(&file, "%s/%s", path, name) < 0)
        return NULL;
    return file;
}

static enum status env_no_memory(struct diag *diag)
{
    return diag_fail(diag, STATUS_NO_MEMORY, "store: out of memory");
}

static enum status env_errno(struct diag *diag, const char *path, int err)
{
    enum status status = status_from_errno(err);
    return diag_fail(diag, status, "store %s: %s", path, strerror(err));
}

static enum status env_mdb(struct diag *diag, const char *path, int rc)
{
    if (rc == MDB_SUCCESS)
        return STATUS_OK;
    if (rc == MDB_INVALID)
        return diag_fail(diag, STATUS_CORRUPT,
                         "store %s: " ENV_DATA_NAME " is not a database", path);
    return diag_fail(diag, store_env_status(rc), "store %s: %s", path,
                     mdb_strerror(rc));
}

/* ---- the owner's lock ---- */

static void env_lock_refused(int fd, const char *path, struct diag *diag)
{
    char text[24] = "";
    ssize_t size = pread(fd, text, sizeof(text) - 1, 0);
    long pid = size > 0 ? strtol(text, NULL, 10) : 0;
    if (pid > 0)
        diag_fail(diag, STATUS_BUSY,
                  "store %s is in use by the process with pid %ld", path, pid);
    else
        diag_fail(diag, STATUS_BUSY, "store %s is in use by another process",
                  path);
}

static enum status env_lock(struct store_env *env, struct diag *diag)
{
    char *file = env_file(env->path, ENV_OWNER_NAME);
    if (!file)
        return env_no_memory(diag);
    int fd = open(file, O_RDWR | O_CREAT | O_CLOEXEC, ENV_FILE_MODE);
    int err = errno;
    free(file);
    if (fd < 0)
        return env_errno(diag, env->path, err);
    if (flock(fd, LOCK_EX | LOCK_NB)) {
        err = errno;
        enum status status = STATUS_BUSY;
        if (err == EWOULDBLOCK)
            env_lock_refused(fd, env->path, diag);
        else
            status = env_errno(diag, env->path, err);
        close(fd);
        return status;
    }
    env->lock_fd = fd;
    return STATUS_OK;
}

/* Says who holds the lock: only words for people, so a failure is none. */
static void env_lock_sign(struct store_env *env)
{
    char text[24];
    int size = snprintf(text, sizeof(text), "%ld\n", (long)getpid());
    if (ftruncate(env->lock_fd, 0) ||
        pwrite(env->lock_fd, text, (size_t)size, 0) != size)
        return;
}

static void env_unlock(struct store_env *env)
{
    if (env->lock_fd < 0)
        return;
    if (!ftruncate(env->lock_fd, 0))
        flock(env->lock_fd, LOCK_UN);
    close(env->lock_fd);
    env->lock_fd = -1;
}

/* ---- a look at the file before it is opened ---- */

/* LMDB's magic number, where a machine of this or another word size and byte
 * order would have put it (struct MDB_meta follows the page header). */
static bool env_foreign(const uint8_t *head, size_t size)
{
    const uint32_t magic = 0xBEEFC0DE;
    const uint32_t swapped = 0xDEC0EFBE;
    const size_t here = sizeof(size_t) == 8 ? 16 : 12;
    const size_t other = sizeof(size_t) == 8 ? 12 : 16;
    uint32_t a;
    uint32_t b;
    if (size < 20)
        return false;
    memcpy(&a, head + here, sizeof(a));
    memcpy(&b, head + other, sizeof(b));
    return a != magic && (a == swapped || b == magic || b == swapped);
}

/* What a kill or power cut during creation may leave. */
static bool env_blank(int fd, off_t size)
{
    static const uint8_t zero[4096];
    uint8_t buf[4096];
    if (size > (off_t)ENV_BLANK_MAX)
        return false;
    for (off_t at = 0; at < size;) {
        ssize_t got = pread(fd, buf, sizeof(buf), at);
        if (got <= 0 || memcmp(buf, zero, (size_t)got))
            return false;
        at += got;
    }
    return true;
}

/* *size: bytes of the data file; 0 when it is as good as absent. */
static enum status env_look(struct store_env *env, uint64_t *size,
                            struct diag *diag)
{
    uint8_t head[20];
    struct stat st;
    enum status status = STATUS_OK;
    *size = 0;
    if (stat(env->path, &st))
        return env_errno(diag, env->path, errno);
    char *file = env_file(env->path, ENV_DATA_NAME);
    if (!file)
        return env_no_memory(diag);
    int fd = open(file, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        status =
            errno == ENOENT ? STATUS_OK : env_errno(diag, env->path, errno);
        goto out;
    }
    if (fstat(fd, &st)) {
        status = env_errno(diag, env->path, errno);
    } else if (env_blank(fd, st.st_size)) {
        if (st.st_size && !env->read_only && truncate(file, 0))
            status = env_errno(diag, env->path, errno);
    } else {
        ssize_t got = pread(fd, head, sizeof(head), 0);
        *size = (uint64_t)st.st_size;
        if (got > 0 && env_foreign(head, (size_t)got))
            status = diag_fail(diag, STATUS_UNSUPPORTED,
                               "store %s was made on a machine of another word "
                               "size or byte order",
                               env->path);
    }
    close(fd);
out:
    free(file);
    return status;
}

static enum status env_create(struct store_env *env, uint64_t map_bytes,
                              unsigned flags, struct diag *diag)
{
    int rc = mdb_env_create(&env->mdb);
    if (!rc)
        rc = mdb_env_set_maxdbs(env->mdb, STORE_TABLE_COUNT);
    if (!rc && map_bytes)
        rc = mdb_env_set_mapsize(env->mdb, (size_t)map_bytes);
    if (!rc)
        rc =
            mdb_env_open(env->mdb, env->path, flags | MDB_NOTLS, ENV_FILE_MODE);
    if (!rc)
        return STATUS_OK;
    if (env->mdb)
        mdb_env_close(env->mdb);
    env->mdb = NULL;
    return env_mdb(diag, env->path, rc);
}

static void env_destroy(struct store_env *env)
{
    if (env->mdb)
        mdb_env_close(env->mdb);
    env->mdb = NULL;
}

static enum status env_open_tables(struct store_env *env, MDB_txn *mdb,
                                   unsigned flags, struct diag *diag)
{
    static const char *const names[STORE_TABLE_COUNT] = {
#define ENV_TABLE_TEXT(name, text) text,
        STORE_TABLE_LIST(ENV_TABLE_TEXT)
#undef ENV_TABLE_TEXT
    };
    for (int i = 0; i < STORE_TABLE_COUNT; i++) {
        int rc = mdb_dbi_open(mdb, names[i], flags, &env->dbi[i]);
        if (rc == MDB_NOTFOUND || rc == MDB_INCOMPATIBLE)
            return diag_fail(diag, STATUS_CORRUPT,
                             "store %s: table %s is missing", env->path,
                             names[i]);
        if (rc)
            return env_mdb(diag, env->path, rc);
    }
    return STATUS_OK;
}

/* The schema number of the open environment, with the meta table alone; 0 when
 * the database is empty. */
static enum status env_schema_peek(struct store_env *env, uint32_t *number,
                                   struct diag *diag)
{
    struct store_txn txn;
    MDB_stat st;
    *number = 0;
    enum status status = store_txn_begin(&txn, env, STORE_TXN_READ, diag);
    if (status)
        return status;
    int rc = mdb_dbi_open(txn.mdb, "meta", 0, &env->dbi[STORE_TABLE_META]);
    if (!rc)
        status = store_schema_read(&txn, number);
    else if (rc != MDB_NOTFOUND)
        status = env_mdb(diag, env->path, rc);
    if (!status && !*number) {
        /* Named tables are entries of the unnamed one. */
        MDB_dbi names;
        rc = mdb_dbi_open(txn.mdb, NULL, 0, &names);
        if (!rc)
            rc = mdb_stat(txn.mdb, names, &st);
        if (rc)
            status = env_mdb(diag, env->path, rc);
        else if (st.ms_entries)
            status = diag_fail(diag, STATUS_CORRUPT,
                               "store %s: the database has no schema number",
                               env->path);
    }
    store_txn_abort(&txn);
    return status;
}

static enum status env_schema_judge(struct store_env *env, uint32_t number,
                                    struct diag *diag)
{
    if (env->read_only && number < STORE_SCHEMA_NUMBER)
        return diag_fail(diag, STATUS_UNSUPPORTED,
                         "store %s has the older schema %u: start the daemon "
                         "once to bring it to %u",
                         env->path, (unsigned)number, STORE_SCHEMA_NUMBER);
    return store_schema_check(number, env->path, diag);
}

/* Looks without LMDB's lock file, which opening would write to. The owner's
 * lock keeps writers away meanwhile. */
static enum status env_probe(struct store_env *env, uint64_t file_bytes,
                             struct diag *diag)
{
    uint32_t number;
    enum status status =
        env_create(env, file_bytes, MDB_RDONLY | MDB_NOLOCK, diag);
    if (status)
        return status;
    status = env_schema_peek(env, &number, diag);
    if (!status)
        status = env_schema_judge(env, number, diag);
    env_destroy(env);
    return status;
}

/* ---- opening ---- */

static enum status env_open_reader(struct store_env *env, struct diag *diag)
{
    uint32_t number;
    MDB_txn *mdb = NULL;
    char *table = env_file(env->path, ENV_TABLE_NAME);
    if (!table)
        return env_no_memory(diag);
    /* Nobody writes where there is no reader table, and none is made. */
    unsigned flags = MDB_RDONLY;
    if (access(table, F_OK))
        flags |= MDB_NOLOCK;
    free(table);
    enum status status = env_create(env, 0, flags, diag);
    if (status)
        return status;
    status = env_schema_peek(env, &number, diag);
    if (!status)
        status = env_schema_judge(env, number, diag);
    if (status)
        return status;
    int rc = mdb_txn_begin(env->mdb, NULL, MDB_RDONLY, &mdb);
    if (rc)
        return env_mdb(diag, env->path, rc);
    status = env_open_tables(env, mdb, 0, diag);
    /* Handles of tables outlive a transaction that commits. */
    rc = mdb_txn_commit(mdb);
    return status ? status : env_mdb(diag, env->path, rc);
}

/* Tables and schema number in one transaction: both are there, or neither. */
static enum status env_prepare(struct store_env *env, struct diag *diag)
{
    struct store_txn txn;
    uint32_t number;
    size_t step_count;
    enum status status = store_txn_begin(&txn, env, STORE_TXN_WRITE, diag);
    if (status)
        return status;
    status = env_open_tables(env, txn.mdb, MDB_CREATE, diag);
    if (!status)
        status = store_schema_read(&txn, &number);
    if (!status && number != STORE_SCHEMA_NUMBER) {
        const struct store_schema_step *steps = store_schema_steps(&step_count);
        status = store_schema_migrate(&txn, number, steps, step_count,
                                      STORE_SCHEMA_NUMBER);
    }
    if (status) {
        store_txn_abort(&txn);
        return status;
    }
    return store_txn_commit(&txn);
}

/* Halves the map, down to least, until the address space has room for it:
 * where a process gets 39 bits of addresses, or is limited. */
static enum status env_create_fitting(struct store_env *env, uint64_t map_bytes,
                                      uint64_t least, struct diag *diag)
{
    struct diag words;
    enum status status;
    do {
        diag_reset(&words);
        status = env_create(env, map_bytes, 0, &words);
        map_bytes = (map_bytes / 2) & ~UINT64_C(0xffff);
    } while (status == STATUS_NO_MEMORY && map_bytes >= least);
    return status ? diag_fail(diag, status, "%s", words.text) : STATUS_OK;
}

static enum status env_open_writer(struct store_env *env, uint64_t file_bytes,
                                   uint64_t map_bytes, struct diag *diag)
{
    int dead = 0;
    uint64_t least = env_map_cap(file_bytes + ENV_MAP_EXTRA);
    if (map_bytes)
        least = map_bytes;
    else
        map_bytes = store_env_map_for_quota(env->quota);
    if (map_bytes < least)
        map_bytes = least;
    enum status status = env_create_fitting(env, map_bytes, least, diag);
    if (status)
        return status;
    int rc = mdb_reader_check(env->mdb, &dead);
    if (rc)
        return env_mdb(diag, env->path, rc);
    return env_prepare(env, diag);
}

static enum status env_open_inner(struct store_env *env,
                                  const struct store_env_options *options,
                                  struct diag *diag)
{
    uint64_t size;
    enum status status = STATUS_OK;
    struct stat st;
    if (stat(env->path, &st))
        return env_errno(diag, env->path, errno);
    if (!env->read_only)
        status = env_lock(env, diag);
    if (!status)
        status = env_look(env, &size, diag);
    if (status)
        return status;
    if (env->read_only && !size)
        return diag_fail(diag, STATUS_NOT_FOUND, "no store in %s", env->path);
    if (env->read_only)
        return env_open_reader(env, diag);
    if (size)
        status = env_probe(env, size, diag);
    if (status)
        return status;
    env_lock_sign(env);
    return env_open_writer(env, size, options->map_bytes, diag);
}

enum status store_env_open(struct store_env **out, const char *path,
                           const struct store_env_options *options,
                           struct diag *diag)
{
    MDB_envinfo info;
    MDB_stat st;
    *out = NULL;
    struct store_env *env = calloc(1, sizeof(*env));
    if (!env)
        return env_no_memory(diag);
    env->lock_fd = -1;
    env->read_only = options->read_only;
    env->quota = options->quota_bytes ? options->quota_bytes : STORE_QUOTA_NONE;
    env->map_given = options->map_bytes != 0;
    pthread_mutex_init(&env->mutex, NULL);
    env->path = strdup(path);
    enum status status =
        env->path ? env_open_inner(env, options, diag) : env_no_memory(diag);
    if (status) {
        store_env_close(env);
        return status;
    }
    mdb_env_info(env->mdb, &info);
    mdb_env_stat(env->mdb, &st);
    env->map_bytes = info.me_mapsize;
    env->map_wanted = info.me_mapsize;
    env->page_size = st.ms_psize;
    *out = env;
    return STATUS_OK;
}

void store_env_close(struct store_env *env)
{
    if (!env)
        return;
    env_destroy(env);
    env_unlock(env);
    pthread_mutex_destroy(&env->mutex);
    free(env->path);
    free(env);
}

/* ---- the map ---- */

/* LMDB unmaps first and maps then, and a failure leaves nothing: so the
 * address space is tried before. Called with the mutex and no transaction. */
static void env_grow(struct store_env *env)
{
    size_t size = (size_t)env->map_wanted;
    void *probe = mmap(NULL, size, PROT_NONE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (probe == MAP_FAILED) {
        env->map_wanted = env->map_bytes;
        return;
    }
    munmap(probe, size);
    if (mdb_env_set_mapsize(env->mdb, size))
        env->unmapped = true;
    else
        env->map_bytes = size;
    env->map_wanted = env->map_bytes;
}

enum status store_env_enter(struct store_env *env, struct diag *diag)
{
    enum status status = STATUS_OK;
    pthread_mutex_lock(&env->mutex);
    if (env->unmapped)
        status = diag_fail(diag, STATUS_NO_MEMORY,
                           "store %s: the map was lost when it grew: restart",
                           env->path);
    else
        env->txn_count++;
    pthread_mutex_unlock(&env->mutex);
    return status;
}

void store_env_leave(struct store_env *env)
{
    pthread_mutex_lock(&env->mutex);
    env->txn_count--;
    if (!env->txn_count && env->map_wanted > env->map_bytes)
        env_grow(env);
    pthread_mutex_unlock(&env->mutex);
}

bool store_env_remap(struct store_env *env)
{
    MDB_envinfo info;
    pthread_mutex_lock(&env->mutex);
    bool done = env->read_only && env->txn_count == 1 &&
                !mdb_env_set_mapsize(env->mdb, 0);
    if (done && !mdb_env_info(env->mdb, &info))
        env->map_bytes = env->map_wanted = info.me_mapsize;
    pthread_mutex_unlock(&env->mutex);
    return done;
}

void store_env_set_quota(struct store_env *env, uint64_t quota_bytes)
{
    uint64_t map = store_env_map_for_quota(quota_bytes);
    pthread_mutex_lock(&env->mutex);
    env->quota = quota_bytes ? quota_bytes : STORE_QUOTA_NONE;
    if (!env->read_only && map > env->map_bytes) {
        env->map_wanted = map;
        if (!env->txn_count && !env->unmapped)
            env_grow(env);
    }
    pthread_mutex_unlock(&env->mutex);
}

/* The quota a map has room for: store_env_map_for_quota backwards. */
static uint64_t env_map_carries(uint64_t map_bytes)
{
    uint64_t room = map_bytes - ENV_MAP_EXTRA;
    return room - room / 5;
}

uint64_t store_env_quota(struct store_env *env)
{
    pthread_mutex_lock(&env->mutex);
    uint64_t quota = env->quota;
    uint64_t carried =
        env->map_bytes > ENV_MAP_EXTRA ? env_map_carries(env->map_bytes) : 0;
    if (!env->map_given && !env->read_only && quota > carried)
        quota = carried;
    pthread_mutex_unlock(&env->mutex);
    return quota;
}

uint64_t store_env_map_bytes(struct store_env *env)
{
    pthread_mutex_lock(&env->mutex);
    uint64_t map = env->map_bytes;
    pthread_mutex_unlock(&env->mutex);
    return map;
}

uint64_t store_env_file_bytes(struct store_env *env)
{
    int fd = -1;
    struct stat st;
    if (mdb_env_get_fd(env->mdb, &fd) || fstat(fd, &st))
        return 0;
    return (uint64_t)st.st_size;
}

const char *store_env_path(const struct store_env *env)
{
    return env->path;
}
