/* Puts versions in place by renames, with the intent in the store. */
#include "daemon/activate.h"

#include "daemon/content.h"
#include "daemon/fs.h"
#include "store/activation.h"
#include "store/meta.h"
#include "store/version.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define TMP_PREFIX  ".tmp-"
#define NEW_PREFIX  ".new-"
#define OLD_PREFIX  ".old-"
#define LINK_PREFIX ".current-"
#define ID_DIGITS   16 /* of a version id in names of folders */

/* ---- Names. ---- */

static enum status model_dir(const struct places *places, const char *model,
                             char out[PATH_MAX])
{
    int n = snprintf(out, PATH_MAX, "%s/%s", places->models_dir, model);
    return n < 0 || n >= PATH_MAX ? STATUS_LIMIT : STATUS_OK;
}

enum status activate_dir(const struct places *places, const char *model,
                         uint64_t n, char out[PATH_MAX])
{
    int size = snprintf(out, PATH_MAX, "%s/%s/%llu", places->models_dir, model,
                        (unsigned long long)n);
    return size < 0 || size >= PATH_MAX ? STATUS_LIMIT : STATUS_OK;
}

static enum status prefixed_dir(const struct places *places, const char *model,
                                const char *prefix, const struct hash *version,
                                char out[PATH_MAX])
{
    char hex[HASH_HEX_SIZE];
    hash_hex(version, hex);
    int n = snprintf(out, PATH_MAX, "%s/%s/%s%.*s", places->models_dir, model,
                     prefix, ID_DIGITS, hex);
    return n < 0 || n >= PATH_MAX ? STATUS_LIMIT : STATUS_OK;
}

enum status activate_tmp_dir(const struct places *places, const char *model,
                             const struct hash *version, char out[PATH_MAX])
{
    return prefixed_dir(places, model, TMP_PREFIX, version, out);
}

/* Digits only: a folder of ours. */
static bool folder_number(const char *name, uint64_t *n)
{
    uint64_t value = 0;
    if (!*name || *name == '0' || strlen(name) > 19)
        return false;
    for (; *name; name++) {
        if (*name < '0' || *name > '9')
            return false;
        value = value * 10 + (uint64_t)(*name - '0');
    }
    *n = value;
    return true;
}

/* ---- What the store remembers. ---- */

#define SETTING_SIZE 200

static void placed_name(const char *model, uint64_t n, char out[SETTING_SIZE])
{
    snprintf(out, SETTING_SIZE, "placed/%s/%llu", model, (unsigned long long)n);
}

struct placed {
    uint64_t n;
    struct hash version;
};

#define PLACED_MAX 32u

struct placed_list {
    const char *prefix;
    struct placed list[PLACED_MAX];
    size_t count;
};

static bool note_placed(void *ctx, const char *name, struct bytes value)
{
    struct placed_list *placed = ctx;
    struct placed *at = &placed->list[placed->count];
    if (!folder_number(name + strlen(placed->prefix), &at->n) ||
        value.size != HASH_BYTES)
        return true; /* of a model whose name goes on */
    memcpy(at->version.b, value.data, HASH_BYTES);
    return ++placed->count < PLACED_MAX;
}

static enum status list_placed(struct store_txn *txn, const char *model,
                               struct placed_list *out)
{
    char prefix[SETTING_SIZE];
    snprintf(prefix, sizeof(prefix), "placed/%s/", model);
    out->prefix = prefix;
    out->count = 0;
    enum status status = store_meta_each(txn, prefix, note_placed, out);
    out->prefix = NULL;
    return status;
}

enum status activate_find(struct store_txn *txn, const char *model,
                          const struct hash *version, uint64_t *n)
{
    struct placed_list placed;
    enum status status = list_placed(txn, model, &placed);
    if (status)
        return status;
    *n = 0;
    for (size_t i = 0; i < placed.count; i++)
        if (hash_equal(&placed.list[i].version, version) &&
            placed.list[i].n > *n)
            *n = placed.list[i].n;
    return *n ? STATUS_OK : STATUS_NOT_FOUND;
}

#define RUNNING_PREFIX "running/"
#define RUNNING_SIZE   (HASH_BYTES + 8u)

static bool parse_running(struct bytes value, struct hash *version, uint64_t *n)
{
    if (value.size != RUNNING_SIZE)
        return false;
    memcpy(version->b, value.data, HASH_BYTES);
    *n = load_le64(value.data + HASH_BYTES);
    return true;
}

enum status activate_running(struct store_txn *txn, const char *model,
                             struct hash *version, uint64_t *n)
{
    char name[SETTING_SIZE];
    struct bytes value;
    snprintf(name, sizeof(name), RUNNING_PREFIX "%s", model);
    enum status status = store_meta_get(txn, name, &value);
    if (status)
        return status;
    return parse_running(value, version, n) ? STATUS_OK : STATUS_CORRUPT;
}

struct each_running {
    bool (*fn)(void *ctx, const char *model, const struct hash *version,
               uint64_t n);
    void *ctx;
};

static bool pass_running(void *ctx, const char *name, struct bytes value)
{
    struct each_running *each = ctx;
    struct hash version;
    uint64_t n;
    return !parse_running(value, &version, &n) ||
           each->fn(each->ctx, name + strlen(RUNNING_PREFIX), &version, n);
}

enum status activate_each_running(struct store_txn *txn,
                                  bool (*fn)(void *ctx, const char *model,
                                             const struct hash *version,
                                             uint64_t n),
                                  void *ctx)
{
    struct each_running each = {fn, ctx};
    return store_meta_each(txn, RUNNING_PREFIX, pass_running, &each);
}

/* ---- Folders. ---- */

/* The highest number any folder of the model has. */
static uint64_t highest_folder(const char *dir)
{
    uint64_t highest = 0, n;
    DIR *d = opendir(dir);
    for (struct dirent *e; d && (e = readdir(d));)
        if (folder_number(e->d_name, &n) && n > highest)
            highest = n;
    if (d)
        closedir(d);
    return highest;
}

/* Makes entries of the model's folder, and of those above it up to the models
 * folder, durable. */
static enum status sync_model_dir(const struct places *places,
                                  const char *model)
{
    char path[PATH_MAX];
    enum status status = model_dir(places, model, path);
    size_t root = strlen(places->models_dir);
    while (!status) {
        status = fs_sync_dir(AT_FDCWD, path);
        char *slash = strrchr(path, '/');
        if (!slash || (size_t)(slash - path) < root)
            break;
        *slash = '\0';
    }
    return status;
}

static bool exists(const char *path)
{
    struct stat st;
    return !lstat(path, &st);
}

/* Replaces `current`. */
static enum status link_current(const struct places *places, const char *model,
                                uint64_t n)
{
    char dir[PATH_MAX], tmp[PATH_MAX + 64], current[PATH_MAX + 64], target[32];
    enum status status = model_dir(places, model, dir);
    if (status)
        return status;
    snprintf(target, sizeof(target), "%llu", (unsigned long long)n);
    snprintf(tmp, sizeof(tmp), "%s/" LINK_PREFIX "%s", dir, target);
    snprintf(current, sizeof(current), "%s/current", dir);
    unlink(tmp);
    if (symlink(target, tmp) || rename(tmp, current))
        return status_from_errno(errno);
    return sync_model_dir(places, model);
}

/* True when `current` points to folder n. */
static bool current_is(const struct places *places, const char *model,
                       uint64_t n)
{
    char dir[PATH_MAX], path[PATH_MAX + 16], target[32];
    uint64_t found;
    if (model_dir(places, model, dir))
        return false;
    snprintf(path, sizeof(path), "%s/current", dir);
    ssize_t size = readlink(path, target, sizeof(target) - 1);
    if (size < 0)
        return false;
    target[size] = '\0';
    return folder_number(target, &found) && found == n;
}

/* ---- Putting a version in place. ---- */

struct activate {
    const struct places *places;
    const struct activate_options *options;
    struct diag *diag;
    struct store_activation intent;
    struct store_version version;
    uint8_t *manifest_bytes;
    struct manifest manifest;
    char tmp[PATH_MAX], dir[PATH_MAX];
};

static bool go_on(const struct activate *a, enum activate_step step)
{
    return !a->options->before || a->options->before(a->options->ctx, step);
}

static enum status load_version(struct activate *a, const struct hash *id)
{
    struct store_txn txn;
    size_t size;
    enum status status =
        store_txn_begin(&txn, a->places->env, STORE_TXN_READ, a->diag);
    if (status)
        return status;
    status = store_version_get(&txn, id, &a->version);
    if (!status)
        status =
            content_manifest(&txn, id, &a->manifest_bytes, &size, &a->manifest);
    store_txn_abort(&txn);
    if (!status && a->version.state < STORE_VERSION_COMPLETE)
        status = STATUS_NOT_FOUND;
    return status;
}

/* True when it runs already, with its folder there. */
static bool runs_already(struct activate *a, uint64_t *n)
{
    struct store_txn txn;
    struct hash running;
    if (store_txn_begin(&txn, a->places->env, STORE_TXN_READ, NULL))
        return false;
    enum status status = activate_running(&txn, a->version.model, &running, n);
    store_txn_abort(&txn);
    return !status && hash_equal(&running, &a->version.id) &&
           !activate_dir(a->places, a->version.model, *n, a->dir) &&
           exists(a->dir) && current_is(a->places, a->version.model, *n);
}

/* Commits the intent. A folder that holds this version already becomes the tmp
 * folder again, because numbers only rise. */
static enum status begin(struct activate *a)
{
    const char *model = a->version.model;
    char hex[HASH_HEX_SIZE], dir[PATH_MAX], name[SETTING_SIZE];
    struct store_txn txn;
    uint64_t held = 0;
    a->intent = (struct store_activation){.version = a->version.id};
    memcpy(a->intent.model, model, sizeof(a->intent.model));
    hash_hex(&a->version.id, hex);
    snprintf(a->intent.tmp, sizeof(a->intent.tmp), TMP_PREFIX "%.*s", ID_DIGITS,
             hex);
    enum status status = model_dir(a->places, model, dir);
    if (!status)
        status = fs_make_dirs(dir, 0755);
    if (!status)
        status =
            store_txn_begin(&txn, a->places->env, STORE_TXN_WRITE, a->diag);
    if (status)
        return status;
    uint64_t last = 0, highest = highest_folder(dir);
    status = store_activation_last_n(&txn, model, &last);
    if (!status && highest > last)
        status = store_activation_raise_n(&txn, model, highest);
    if (!status && !a->options->fresh &&
        !activate_find(&txn, model, &a->version.id, &held)) {
        placed_name(model, held, name);
        status = store_meta_del(&txn, name);
    }
    if (!status)
        status = store_activation_begin(&txn, &a->intent);
    if (status) {
        store_txn_abort(&txn);
        return status;
    }
    status = store_txn_commit(&txn);
    char from[PATH_MAX];
    if (!status && held && !activate_dir(a->places, model, held, from) &&
        rename(from, a->tmp) && errno != ENOENT && errno != ENOTEMPTY)
        status = status_from_errno(errno);
    return status;
}

static enum status advance(struct activate *a,
                           enum store_activation_stage stage)
{
    struct store_txn txn;
    enum status status =
        store_txn_begin(&txn, a->places->env, STORE_TXN_WRITE, a->diag);
    if (status)
        return status;
    status = store_activation_advance(&txn, a->intent.model, stage);
    if (status) {
        store_txn_abort(&txn);
        return status;
    }
    status = store_txn_commit(&txn);
    if (!status)
        a->intent.stage = stage;
    return status;
}

static enum status put_file(void *ctx, uint64_t offset, const uint8_t *data,
                            size_t size)
{
    return fileset_write(ctx, offset, data, size);
}

/* Makes the files from updates under another name first, so that a folder
 * named .tmp-ID of a complete version is always whole. */
static enum status make_files(struct activate *a, struct fileset **out)
{
    char dir[PATH_MAX];
    struct fileset *set = NULL;
    const struct manifest *m = &a->manifest;
    enum status status = prefixed_dir(a->places, a->version.model, NEW_PREFIX,
                                      &a->version.id, dir);
    if (!status)
        status = fs_remove(AT_FDCWD, dir);
    if (!status)
        status = fs_remove(AT_FDCWD, a->tmp);
    if (!status)
        status = fileset_create(dir, m->files, m->file_count, &set, a->diag);
    if (!status)
        status = content_make(a->places, &m->tree, m->leaves, a->options->job,
                              put_file, set, a->diag);
    if (!status)
        status = fileset_sync(set, true);
    fileset_free(set);
    if (!status && rename(dir, a->tmp))
        status = status_from_errno(errno);
    if (status) {
        enum status ignored = fs_remove(AT_FDCWD, dir);
        (void)ignored; /* swept at the next start */
        return status;
    }
    return fileset_open(a->tmp, m->files, m->file_count, out, a->diag);
}

static enum status prepare_files(struct activate *a)
{
    struct fileset *set = NULL;
    const struct manifest *m = &a->manifest;
    enum status status =
        a->options->fresh
            ? STATUS_NOT_FOUND
            : fileset_open(a->tmp, m->files, m->file_count, &set, NULL);
    if (status)
        status = make_files(a, &set);
    if (!status)
        status = fileset_sync(set, true);
    if (!status)
        status = sync_model_dir(a->places, a->version.model);
    fileset_free(set);
    return status;
}

static enum status put_running(struct store_txn *txn, const char *model,
                               const struct hash *version, uint64_t n)
{
    char name[SETTING_SIZE];
    uint8_t value[RUNNING_SIZE];
    placed_name(model, n, name);
    enum status status =
        store_meta_put(txn, name, bytes_of(version->b, HASH_BYTES));
    if (status)
        return status;
    snprintf(name, sizeof(name), RUNNING_PREFIX "%s", model);
    memcpy(value, version->b, HASH_BYTES);
    store_le64(value + HASH_BYTES, n);
    return store_meta_put(txn, name, bytes_of(value, sizeof(value)));
}

/* The last transaction: what runs, what ran, and no intent any more. */
static enum status finish(const struct places *places,
                          const struct store_activation *intent,
                          uint64_t uptime_s, struct diag *diag)
{
    struct store_txn txn;
    struct hash before;
    uint64_t n;
    enum status status =
        store_txn_begin(&txn, places->env, STORE_TXN_WRITE, diag);
    if (status)
        return status;
    if (!activate_running(&txn, intent->model, &before, &n) &&
        !hash_equal(&before, &intent->version))
        status = store_version_set_state(&txn, &before, STORE_VERSION_PREVIOUS,
                                         uptime_s);
    if (status == STATUS_NOT_FOUND)
        status = STATUS_OK; /* gc forgot it */
    if (!status)
        status = store_version_set_state(&txn, &intent->version,
                                         STORE_VERSION_RUNNING, uptime_s);
    if (!status)
        status = put_running(&txn, intent->model, &intent->version, intent->n);
    if (!status)
        status = store_activation_clear(&txn, intent->model);
    if (status) {
        store_txn_abort(&txn);
        return status;
    }
    return store_txn_commit(&txn);
}

/* Forgets one folder: in the store first, then on the disk. A version that no
 * update realises had its only copy there. */
static enum status drop_folder(const struct places *places, const char *model,
                               const struct placed *placed,
                               const struct activate_options *options,
                               struct diag *diag)
{
    bool forgotten = false;
    struct store_txn txn;
    struct store_version version;
    char name[SETTING_SIZE], from[PATH_MAX], dir[PATH_MAX], to[PATH_MAX + 64];
    enum status status =
        store_txn_begin(&txn, places->env, STORE_TXN_WRITE, diag);
    if (status)
        return status;
    placed_name(model, placed->n, name);
    status = store_meta_del(&txn, name);
    if (!status && !store_version_get(&txn, &placed->version, &version) &&
        !version.has_update && version.state >= STORE_VERSION_COMPLETE) {
        status = store_version_strip(&txn, &placed->version);
        forgotten = true;
    }
    if (status) {
        store_txn_abort(&txn);
        return status;
    }
    status = store_txn_commit(&txn);
    if (!status && forgotten && options && options->forgotten)
        options->forgotten(options->ctx, &placed->version);
    if (!status)
        status = activate_dir(places, model, placed->n, from);
    if (!status)
        status = model_dir(places, model, dir);
    if (status)
        return status;
    snprintf(to, sizeof(to), "%s/" OLD_PREFIX "%llu", dir,
             (unsigned long long)placed->n);
    if (rename(from, to) && errno != ENOENT)
        return status_from_errno(errno);
    return fs_remove(AT_FDCWD, to);
}

/* Keeps folder n and the newest below it. */
static enum status drop_older(const struct places *places, const char *model,
                              uint64_t n,
                              const struct activate_options *options,
                              struct diag *diag)
{
    struct store_txn txn;
    struct placed_list placed;
    enum status status =
        store_txn_begin(&txn, places->env, STORE_TXN_READ, diag);
    if (status)
        return status;
    status = list_placed(&txn, model, &placed);
    store_txn_abort(&txn);
    uint64_t previous = 0;
    for (size_t i = 0; i < placed.count && !status; i++)
        if (placed.list[i].n < n && placed.list[i].n > previous)
            previous = placed.list[i].n;
    for (size_t i = 0; i < placed.count && !status; i++)
        if (placed.list[i].n < previous)
            status = drop_folder(places, model, &placed.list[i], options, diag);
    return status;
}

/* From stage RENAMED on: the rename of the folder may have been done. */
static enum status rename_and_link(const struct places *places,
                                   const struct store_activation *intent,
                                   struct activate *a, struct diag *diag)
{
    char dir[PATH_MAX], tmp[PATH_MAX + STORE_ACTIVATION_TMP_MAX + 2];
    char root[PATH_MAX];
    enum status status = activate_dir(places, intent->model, intent->n, dir);
    if (!status)
        status = model_dir(places, intent->model, root);
    if (status)
        return status;
    snprintf(tmp, sizeof(tmp), "%s/%s", root, intent->tmp);
    if (!exists(dir) && rename(tmp, dir))
        return diag_fail(diag, status_from_errno(errno), "%s: %s", dir,
                         strerror(errno));
    status = sync_model_dir(places, intent->model);
    if (status || !a)
        return status ? status : link_current(places, intent->model, intent->n);
    if (!go_on(a, ACTIVATE_STEP_RENAMED))
        return STATUS_CLOSED;
    status = advance(a, STORE_ACTIVATION_CURRENT);
    if (status)
        return status;
    if (!go_on(a, ACTIVATE_STEP_CURRENT))
        return STATUS_CLOSED;
    return link_current(places, intent->model, intent->n);
}

static enum status run_steps(struct activate *a)
{
    if (!go_on(a, ACTIVATE_STEP_INTENT))
        return STATUS_CLOSED;
    enum status status = prepare_files(a);
    if (status)
        return status;
    if (!go_on(a, ACTIVATE_STEP_FILES))
        return STATUS_CLOSED;
    status = advance(a, STORE_ACTIVATION_FILES);
    if (status)
        return status;
    if (!go_on(a, ACTIVATE_STEP_SYNCED))
        return STATUS_CLOSED;
    status = advance(a, STORE_ACTIVATION_RENAMED);
    if (status)
        return status;
    if (!go_on(a, ACTIVATE_STEP_NUMBER))
        return STATUS_CLOSED;
    status = rename_and_link(a->places, &a->intent, a, a->diag);
    if (status)
        return status;
    if (!go_on(a, ACTIVATE_STEP_LINKED))
        return STATUS_CLOSED;
    return finish(a->places, &a->intent, a->options->uptime_s, a->diag);
}

/* After a failure nothing of the attempt shall be in the way of the next. */
static void undo(const struct places *places, const char *model)
{
    struct store_txn txn;
    if (store_txn_begin(&txn, places->env, STORE_TXN_WRITE, NULL))
        return;
    enum status status = store_activation_clear(&txn, model);
    if (!status)
        status = store_txn_commit(&txn);
    else
        store_txn_abort(&txn);
    (void)status; /* then activate_recover does it at the next start */
}

static enum status recover_one(const struct places *places,
                               const struct store_activation *intent,
                               uint64_t uptime_s, struct diag *diag);

/* An intent left by an attempt that failed late is dealt with first. */
static enum status begin_after_leftover(struct activate *a)
{
    struct store_txn txn;
    struct store_activation left;
    enum status status = begin(a);
    if (status != STATUS_EXISTS)
        return status;
    status = store_txn_begin(&txn, a->places->env, STORE_TXN_READ, a->diag);
    if (status)
        return status;
    status = store_activation_get(&txn, a->version.model, &left);
    store_txn_abort(&txn);
    if (!status)
        status = recover_one(a->places, &left, a->options->uptime_s, a->diag);
    return status ? status : begin(a);
}

enum status activate_version(const struct places *places,
                             const struct hash *version,
                             const struct activate_options *options,
                             uint64_t *n, struct diag *diag)
{
    struct activate *a = calloc(1, sizeof(*a));
    if (!a)
        return STATUS_NO_MEMORY;
    a->places = places;
    a->options = options;
    a->diag = diag;
    enum status status = load_version(a, version);
    if (!status && !options->fresh && runs_already(a, n))
        goto out;
    if (!status)
        status = activate_tmp_dir(places, a->version.model, version, a->tmp);
    if (!status)
        status = begin_after_leftover(a);
    if (status)
        goto out;
    status = run_steps(a);
    *n = a->intent.n;
    if (status && status != STATUS_CLOSED &&
        a->intent.stage < STORE_ACTIVATION_RENAMED)
        undo(places, a->version.model);
    if (!status)
        status = drop_older(places, a->version.model, *n, options, diag);
out:
    free(a->manifest_bytes);
    free(a);
    return status;
}

/* ---- Recovery. ---- */

static enum status recover_one(const struct places *places,
                               const struct store_activation *intent,
                               uint64_t uptime_s, struct diag *diag)
{
    char root[PATH_MAX], dir[PATH_MAX];
    char tmp[PATH_MAX + STORE_ACTIVATION_TMP_MAX + 2];
    enum status status = model_dir(places, intent->model, root);
    if (!status)
        status = activate_dir(places, intent->model, intent->n, dir);
    if (status)
        return status;
    snprintf(tmp, sizeof(tmp), "%s/%s", root, intent->tmp);
    if (intent->stage < STORE_ACTIVATION_RENAMED ||
        (!exists(dir) && !exists(tmp))) {
        undo(places, intent->model);
        return STATUS_OK;
    }
    status = rename_and_link(places, intent, NULL, diag);
    return status ? status : finish(places, intent, uptime_s, diag);
}

#define LIST_MAX 256u

struct intents {
    struct store_activation *list;
    size_t count;
};

static bool note_intent(void *ctx, const struct store_activation *intent)
{
    struct intents *intents = ctx;
    intents->list[intents->count++] = *intent;
    return intents->count < LIST_MAX;
}

static enum status recover_intents(const struct places *places,
                                   uint64_t uptime_s, struct diag *diag)
{
    struct store_txn txn;
    struct intents intents = {calloc(LIST_MAX, sizeof(*intents.list)), 0};
    if (!intents.list)
        return STATUS_NO_MEMORY;
    enum status status =
        store_txn_begin(&txn, places->env, STORE_TXN_READ, diag);
    if (!status) {
        status = store_activation_each(&txn, note_intent, &intents);
        store_txn_abort(&txn);
    }
    for (size_t i = 0; i < intents.count && !status; i++)
        status = recover_one(places, &intents.list[i], uptime_s, diag);
    free(intents.list);
    return status;
}

struct running {
    char model[STORE_NAME_MAX + 1];
    struct hash version;
    uint64_t n;
};

struct running_list {
    struct running *list;
    size_t count;
};

static bool note_running(void *ctx, const char *model,
                         const struct hash *version, uint64_t n)
{
    struct running_list *running = ctx;
    struct running *at = &running->list[running->count];
    snprintf(at->model, sizeof(at->model), "%s", model);
    at->version = *version;
    at->n = n;
    return ++running->count < LIST_MAX;
}

/* The folder is gone: somebody removed it. The version is put in place again
 * from its update, if there is one. */
static enum status forget_running(const struct places *places,
                                  const struct running *running,
                                  uint64_t uptime_s, struct diag *diag)
{
    struct store_txn txn;
    struct store_version version;
    char name[SETTING_SIZE];
    enum status status =
        store_txn_begin(&txn, places->env, STORE_TXN_WRITE, diag);
    if (status)
        return status;
    placed_name(running->model, running->n, name);
    status = store_meta_del(&txn, name);
    snprintf(name, sizeof(name), RUNNING_PREFIX "%s", running->model);
    if (!status)
        status = store_meta_del(&txn, name);
    if (!status && !store_version_get(&txn, &running->version, &version)) {
        if (version.has_update)
            status = store_version_set_state(&txn, &running->version,
                                             STORE_VERSION_COMPLETE, uptime_s);
        else
            status = store_version_strip(&txn, &running->version);
    }
    if (status) {
        store_txn_abort(&txn);
        return status;
    }
    return store_txn_commit(&txn);
}

static enum status mend_running(const struct places *places,
                                const struct running *running,
                                uint64_t uptime_s, struct diag *diag)
{
    char dir[PATH_MAX];
    enum status status = activate_dir(places, running->model, running->n, dir);
    if (status)
        return status;
    if (!exists(dir))
        return forget_running(places, running, uptime_s, diag);
    if (!current_is(places, running->model, running->n))
        status = link_current(places, running->model, running->n);
    if (!status)
        status = drop_older(places, running->model, running->n, NULL, diag);
    return status;
}

/* True when the folder of a version being filled is still of use. */
static bool tmp_is_needed(struct store_txn *txn, const char *digits)
{
    struct store_version version;
    uint64_t n;
    if (store_version_find(txn, digits, &version))
        return false;
    if (version.state < STORE_VERSION_WANTED ||
        version.state > STORE_VERSION_STAGED)
        return false;
    return activate_find(txn, version.model, &version.id, &n) != STATUS_OK;
}

/* Removes what interrupted work left in one model's folder. */
static void sweep_dir(struct store_txn *txn, const char *path)
{
    DIR *dir = opendir(path);
    if (!dir)
        return;
    for (struct dirent *e; (e = readdir(dir));) {
        const char *name = e->d_name;
        bool tmp = !strncmp(name, TMP_PREFIX, strlen(TMP_PREFIX));
        bool other = !strncmp(name, NEW_PREFIX, strlen(NEW_PREFIX)) ||
                     !strncmp(name, OLD_PREFIX, strlen(OLD_PREFIX)) ||
                     !strncmp(name, LINK_PREFIX, strlen(LINK_PREFIX));
        if (other || (tmp && !tmp_is_needed(txn, name + strlen(TMP_PREFIX)))) {
            enum status ignored = fs_remove(dirfd(dir), name);
            (void)ignored; /* the next start tries again */
        }
    }
    closedir(dir);
}

/* Model folders are those without digits or dots in front, at any depth that
 * a name of 128 bytes allows; a numbered folder ends the walk. */
static void sweep_tree(struct store_txn *txn, const char *path, unsigned depth)
{
    DIR *dir = opendir(path);
    if (!dir)
        return;
    sweep_dir(txn, path);
    for (struct dirent *e; depth && (e = readdir(dir));) {
        char sub[PATH_MAX];
        int n = snprintf(sub, sizeof(sub), "%s/%s", path, e->d_name);
        if (e->d_name[0] >= 'a' && e->d_name[0] <= 'z' &&
            strcmp(e->d_name, "current") && n > 0 && (size_t)n < sizeof(sub))
            sweep_tree(txn, sub, depth - 1);
    }
    closedir(dir);
}

enum status activate_recover(const struct places *places, uint64_t uptime_s,
                             struct diag *diag)
{
    struct store_txn txn;
    enum status status = recover_intents(places, uptime_s, diag);
    struct running_list running = {calloc(LIST_MAX, sizeof(*running.list)), 0};
    if (!running.list)
        return STATUS_NO_MEMORY;
    if (!status)
        status = store_txn_begin(&txn, places->env, STORE_TXN_READ, diag);
    if (!status) {
        status = activate_each_running(&txn, note_running, &running);
        store_txn_abort(&txn);
    }
    for (size_t i = 0; i < running.count && !status; i++)
        status = mend_running(places, &running.list[i], uptime_s, diag);
    if (!status)
        status = store_txn_begin(&txn, places->env, STORE_TXN_READ, diag);
    if (!status) {
        sweep_tree(&txn, places->models_dir, 64);
        store_txn_abort(&txn);
    }
    free(running.list);
    return status;
}
