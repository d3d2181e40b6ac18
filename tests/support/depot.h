/* A store with models folder in a scratch folder, and versions published into
 * it from memory, as the daemon's jobs would do it. Everything fails the test
 * when it does not work. */
#ifndef TESTS_SUPPORT_DEPOT_H
#define TESTS_SUPPORT_DEPOT_H

#include "daemon/activate.h"
#include "daemon/content.h"
#include "daemon/intake.h"
#include "daemon/publish.h"

struct depot {
    char dir[64], models[80], store[80], scratch[80];
    struct store_env *env;
    struct places places;
    struct intake *intake;
};

void depot_init(struct depot *depot, uint64_t quota_bytes);
void depot_deinit(struct depot *depot);

/* As after a kill: the store is closed and opened again. */
void depot_restart(struct depot *depot);

/* Bytes that follow from a seed; free them. */
uint8_t *depot_bytes(uint64_t seed, size_t size);

/* A job's input with these files, not run yet. paths: "a.bin" and so on. */
struct publish *depot_prepare(struct depot *depot, const char *model,
                              uint64_t n, const char *const *paths,
                              const struct bytes *files, size_t count);

/* One file "m.bin", published and in the store as complete; direct updates are
 * made from base (a tree, may be NULL). publish_free it. */
struct publish *depot_publish(struct depot *depot, const char *model,
                              uint64_t n, struct bytes file,
                              const struct hash *base);

/* Adds what was published as a complete version. */
void depot_add(struct depot *depot, const struct publish *p);

/* Runs one item; its status. bytes are copied. */
enum status depot_item(struct depot *depot, struct intake_item *item,
                       struct bytes bytes);

/* True when the file `current` leads to has these bytes. */
bool depot_runs(const struct depot *depot, const char *model, const char *path,
                struct bytes bytes);

#endif
