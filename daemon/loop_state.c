/* The state folder: opened by one daemon, and made whole after a kill. */
#include "daemon/loop_parts.h"

#include "daemon/fs.h"
#include "protocol/record.h"
#include "store/meta.h"
#include "store/record.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define QUOTA_LEAST ((uint64_t)16 << 20)

static enum status make_dirs(struct loop *loop, struct diag *diag)
{
    const struct config *c = &loop->config;
    int n[3];
    n[0] =
        c->models_dir
            ? snprintf(loop->models_dir, PATH_MAX, "%s", c->models_dir)
            : snprintf(loop->models_dir, PATH_MAX, "%s/models", c->state_dir);
    n[1] = snprintf(loop->store_dir, PATH_MAX, "%s/store", c->state_dir);
    n[2] = snprintf(loop->scratch_dir, PATH_MAX, "%s/scratch", c->state_dir);
    const char *dirs[] = {c->state_dir, loop->models_dir, loop->store_dir,
                          loop->scratch_dir};
    for (int i = 0; i < 3; i++)
        if (n[i] < 0 || n[i] >= PATH_MAX)
            return diag_fail(diag, STATUS_USAGE, "state: the path is too long");
    for (int i = 0; i < 4; i++) {
        enum status status = fs_make_dirs(dirs[i], 0755);
        if (status)
            return diag_fail(diag, status, "%s: %s", dirs[i],
                             status_text(status));
    }
    if (chmod(loop->store_dir, 0700) || chmod(loop->scratch_dir, 0700))
        return diag_fail(diag, status_from_errno(errno), "%s: %s",
                         loop->store_dir, strerror(errno));
    return STATUS_OK;
}

/* One daemon a state; the lock goes with the process. */
static enum status lock_state(struct loop *loop, struct diag *diag)
{
    char path[PATH_MAX], text[32] = "";
    snprintf(path, sizeof(path), "%.*s/lock", PATH_MAX - 8,
             loop->config.state_dir);
    loop->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (loop->lock_fd < 0)
        return diag_fail(diag, status_from_errno(errno), "%s: %s", path,
                         strerror(errno));
    if (flock(loop->lock_fd, LOCK_EX | LOCK_NB)) {
        ssize_t n = pread(loop->lock_fd, text, sizeof(text) - 1, 0);
        text[n > 0 ? strcspn(text, "\n") : 0] = '\0';
        return diag_fail(diag, STATUS_BUSY,
                         "%s is in use by another deltameshd (pid %s)",
                         loop->config.state_dir, text[0] ? text : "?");
    }
    int n = snprintf(text, sizeof(text), "%ld\n", (long)getpid());
    if (ftruncate(loop->lock_fd, 0) ||
        pwrite(loop->lock_fd, text, (size_t)n, 0) != n)
        return diag_fail(diag, status_from_errno(errno), "%s: %s", path,
                         strerror(errno));
    return STATUS_OK;
}

uint64_t loop_quota(const struct loop *loop)
{
    struct statvfs vfs;
    uint64_t quota = loop->config.quota_bytes;
    if (!quota && !statvfs(loop->config.state_dir, &vfs))
        quota = (uint64_t)vfs.f_blocks * vfs.f_frsize / 100 *
                loop->config.quota_percent;
    return quota > QUOTA_LEAST ? quota : QUOTA_LEAST;
}

static enum status open_store(struct loop *loop, struct diag *diag)
{
    struct store_txn txn;
    const struct store_env_options options = {.quota_bytes = loop_quota(loop)};
    enum status status =
        store_env_open(&loop->env, loop->store_dir, &options, diag);
    if (status)
        return diag_fail(diag, status, "%s: %s", loop->store_dir,
                         status_text(status));
    loop->places =
        (struct places){loop->env, loop->models_dir, loop->scratch_dir};
    status = store_txn_begin(&txn, loop->env, STORE_TXN_WRITE, diag);
    if (status)
        return status;
    uint64_t starts;
    status = store_meta_start(&txn, &starts);
    if (!status)
        status = store_meta_uptime(&txn, &loop->uptime_base_s);
    if (status) {
        store_txn_abort(&txn);
        return status;
    }
    status = store_txn_commit(&txn);
    loop->uptime_saved_s = loop->uptime_base_s;
    if (!status)
        status = activate_recover(&loop->places, loop->uptime_base_s, diag);
    return status;
}

/* A version being filled whose files are gone starts anew; a complete one
 * that no update realises and whose files are gone is forgotten. */
struct check {
    struct loop *loop;
    struct store_txn *txn;
    struct hash *lost;
    size_t lost_count, cap;
};

static bool plain_is_there(const struct check *check,
                           const struct store_version *version)
{
    char dir[PATH_MAX];
    uint64_t n;
    uint8_t *bytes;
    size_t size;
    struct fileset *set = NULL;
    const struct places *places = &check->loop->places;
    struct manifest *m = malloc(sizeof(*m));
    bool there = false;
    if (m && !content_manifest(check->txn, &version->id, &bytes, &size, m)) {
        if (!activate_find(check->txn, version->model, &version->id, &n) &&
            !activate_dir(places, version->model, n, dir))
            there = !fileset_open(dir, m->files, m->file_count, &set, NULL);
        if (!there &&
            !activate_tmp_dir(places, version->model, &version->id, dir))
            there = !fileset_open(dir, m->files, m->file_count, &set, NULL);
        fileset_free(set);
        free(bytes);
    }
    free(m);
    return there;
}

static bool check_version(void *ctx, const struct store_version *version)
{
    struct check *check = ctx;
    bool filling = version->state == STORE_VERSION_FETCHING;
    bool plain_only =
        version->state >= STORE_VERSION_COMPLETE && !version->has_update;
    if ((!filling && !plain_only) || !version->manifest_size ||
        plain_is_there(check, version))
        return true;
    if (check->lost_count == check->cap) {
        size_t cap = check->cap ? 2 * check->cap : 8;
        struct hash *lost = realloc(check->lost, cap * sizeof(*lost));
        if (!lost)
            return false;
        check->lost = lost;
        check->cap = cap;
    }
    check->lost[check->lost_count++] = version->id;
    return true;
}

static enum status forget_lost(struct loop *loop, const struct check *check,
                               struct diag *diag)
{
    struct store_txn txn;
    if (!check->lost_count)
        return STATUS_OK;
    enum status status =
        store_txn_begin(&txn, loop->env, STORE_TXN_WRITE, diag);
    if (status)
        return status;
    for (size_t i = 0; i < check->lost_count && !status; i++)
        status = store_version_strip(&txn, &check->lost[i]);
    if (status) {
        store_txn_abort(&txn);
        return status;
    }
    log_warn(&loop->log,
             "files of %zu versions are gone; they are fetched "
             "again when wanted",
             check->lost_count);
    return store_txn_commit(&txn);
}

/* Versions made here whose record did not become durable before a kill. */
struct orphans {
    struct loop *loop;
    struct store_txn *txn;
    struct hash id; /* being looked for */
    bool found;
    char name[96]; /* of the first setting without a record */
};

static bool find_in_record(void *ctx, const struct store_record *rec)
{
    struct orphans *o = ctx;
    if (rec->kind == RECORD_VERSION)
        o->found = memmem(rec->envelope.data, rec->envelope.size, o->id.b,
                          HASH_BYTES) != NULL;
    return !o->found;
}

static bool check_prepared(void *ctx, const char *name, struct bytes value)
{
    struct orphans *o = ctx;
    if (value.size == HASH_BYTES && strlen(name) < sizeof(o->name)) {
        memcpy(o->id.b, value.data, HASH_BYTES);
        strcpy(o->name, name);
    }
    return false; /* one at a time: the walk must not change the table */
}

/* Looks at one setting. *more: there was one. */
static enum status settle_prepared(struct loop *loop, bool *more,
                                   struct diag *diag)
{
    struct store_txn txn;
    struct orphans o = {.loop = loop, .txn = &txn};
    enum status status =
        store_txn_begin(&txn, loop->env, STORE_TXN_WRITE, diag);
    if (status)
        return status;
    status = store_meta_each(&txn, INTAKE_PREPARED_PREFIX, check_prepared, &o);
    *more = o.name[0] != '\0';
    if (!status && *more)
        status = store_record_each(&txn, find_in_record, &o);
    if (!status && *more && !o.found)
        status = store_version_remove(&txn, &o.id);
    if (!status && *more)
        status = store_meta_del(&txn, o.name);
    if (status || !*more) {
        store_txn_abort(&txn);
        return status;
    }
    return store_txn_commit(&txn);
}

static enum status check_files(struct loop *loop, struct diag *diag)
{
    struct store_txn txn;
    struct check check = {.loop = loop, .txn = &txn};
    enum status status = store_txn_begin(&txn, loop->env, STORE_TXN_READ, diag);
    if (status)
        return status;
    status = store_version_each(&txn, check_version, &check);
    store_txn_abort(&txn);
    if (!status)
        status = forget_lost(loop, &check, diag);
    free(check.lost);
    return status;
}

enum status loop_open_state(struct loop *loop, struct diag *diag)
{
    enum status status = make_dirs(loop, diag);
    if (!status)
        status = lock_state(loop, diag);
    if (!status)
        status = open_store(loop, diag);
    for (bool more = true; more && !status;)
        status = settle_prepared(loop, &more, diag);
    if (!status)
        status = check_files(loop, diag);
    return status;
}

enum status loop_open_identity(struct loop *loop, struct diag *diag)
{
    char hex[NODE_ID_HEX_SIZE];
    enum status status =
        identity_load(loop->config.state_dir, loop->setup.machine_id_path,
                      &loop->rng, &loop->identity, diag);
    if (status)
        return status;
    crypto_lock(&loop->identity.key, sizeof(loop->identity.key));
    struct node_id id = crypto_sign_key_id(&loop->identity.key);
    node_id_hex(&id, hex);
    if (loop->identity.other_machine)
        log_warn(&loop->log,
                 "the node key was made on another machine: this one gets its "
                 "own; its id is %s",
                 hex);
    else
        log_info(&loop->log, "this node is %s", hex);
    return STATUS_OK;
}
