/* The depot of tests. */
#include "tests/support/depot.h"

#include "codec/base/rng.h"
#include "daemon/fs.h"
#include "tests/support/cmocka.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

static void depot_open(struct depot *depot, uint64_t quota_bytes)
{
    const struct store_env_options options = {.quota_bytes = quota_bytes,
                                              .map_bytes = (uint64_t)64 << 20};
    assert_int_equal(store_env_open(&depot->env, depot->store, &options, NULL),
                     STATUS_OK);
    depot->places = (struct places){depot->env, depot->models, depot->scratch};
    assert_int_equal(intake_new(&depot->places, &depot->intake), STATUS_OK);
}

void depot_init(struct depot *depot, uint64_t quota_bytes)
{
    memset(depot, 0, sizeof(*depot));
    strcpy(depot->dir, "/tmp/dm-depot-XXXXXX");
    assert_non_null(mkdtemp(depot->dir));
    snprintf(depot->models, sizeof(depot->models), "%s/models", depot->dir);
    snprintf(depot->store, sizeof(depot->store), "%s/store", depot->dir);
    snprintf(depot->scratch, sizeof(depot->scratch), "%s/scratch", depot->dir);
    assert_int_equal(fs_make_dirs(depot->models, 0755), STATUS_OK);
    assert_int_equal(fs_make_dirs(depot->store, 0755), STATUS_OK);
    assert_int_equal(fs_make_dirs(depot->scratch, 0755), STATUS_OK);
    depot_open(depot, quota_bytes);
}

void depot_restart(struct depot *depot)
{
    intake_free(depot->intake);
    store_env_close(depot->env);
    depot_open(depot, 0);
}

void depot_deinit(struct depot *depot)
{
    intake_free(depot->intake);
    store_env_close(depot->env);
    assert_int_equal(fs_remove(AT_FDCWD, depot->dir), STATUS_OK);
}

uint8_t *depot_bytes(uint64_t seed, size_t size)
{
    struct rng_seeded seeded;
    uint8_t *bytes = malloc(size + 1);
    assert_non_null(bytes);
    rng_seeded_init(&seeded, seed);
    struct rng rng = rng_from_seeded(&seeded);
    rng_fill(&rng, bytes, size);
    return bytes;
}

struct publish *depot_prepare(struct depot *depot, const char *model,
                              uint64_t n, const char *const *paths,
                              const struct bytes *files, size_t count)
{
    int fds[LIMIT_MANIFEST_FILES];
    struct publish *p = calloc(1, sizeof(*p));
    assert_non_null(p);
    for (size_t i = 0; i < count; i++) {
        fds[i] = memfd_create("depot", MFD_CLOEXEC);
        assert_true(fds[i] >= 0);
        assert_int_equal(fs_pwrite(fds[i], files[i].data, files[i].size, 0),
                         STATUS_OK);
        p->paths[i] = strdup(paths[i]);
    }
    p->places = &depot->places;
    snprintf(p->model, sizeof(p->model), "%s", model);
    strcpy(p->role, "publisher");
    p->n = n;
    assert_int_equal(fileset_of_fds(fds, count, &p->files, NULL), STATUS_OK);
    return p;
}

enum status depot_item(struct depot *depot, struct intake_item *item,
                       struct bytes bytes)
{
    item->bytes = (uint8_t *)(uintptr_t)bytes.data;
    item->size = bytes.size;
    item->next = NULL;
    intake_run(depot->intake, item, 1);
    return item->status;
}

void depot_add(struct depot *depot, const struct publish *p)
{
    struct intake_item item = {.kind = INTAKE_ADD_VERSION,
                               .version = p->version,
                               .update = p->updates[0].id,
                               .counter = p->n};
    strcpy(item.role, p->role);
    assert_int_equal(
        depot_item(depot, &item, bytes_of(p->manifest, p->manifest_size)),
        STATUS_OK);
}

struct publish *depot_publish(struct depot *depot, const char *model,
                              uint64_t n, struct bytes file,
                              const struct hash *base)
{
    static const char *const path = "m.bin";
    struct publish *p = depot_prepare(depot, model, n, &path, &file, 1);
    if (base)
        p->bases[p->base_count++] = *base;
    publish_run(p);
    assert_int_equal(p->status, STATUS_OK);
    depot_add(depot, p);
    return p;
}

bool depot_runs(const struct depot *depot, const char *model, const char *path,
                struct bytes bytes)
{
    char at[512], *text;
    size_t size;
    snprintf(at, sizeof(at), "%s/%s/current/%s", depot->models, model, path);
    if (fs_read(at, 64u << 20, &text, &size))
        return false;
    bool same = bytes_equal(bytes_of(text, size), bytes);
    free(text);
    return same;
}
