/* Putting versions in place: a kill before any step leaves the old or the new
 * version whole, and the next start needs no repair. */
#include "daemon/activate.h"

#include "daemon/fs.h"
#include "store/activation.h"
#include "tests/support/cmocka.h"
#include "tests/support/depot.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define SIZE 200000u

struct stop {
    enum activate_step at;
    bool reached;
};

static bool stop_before(void *ctx, enum activate_step step)
{
    struct stop *stop = ctx;
    if (step != stop->at)
        return true;
    stop->reached = true;
    return false;
}

static enum status activate(struct depot *depot, const struct hash *version,
                            struct stop *stop, uint64_t *n)
{
    const struct activate_options options = {
        .before = stop ? stop_before : NULL, .ctx = stop, .uptime_s = 5};
    struct diag diag = {""};
    return activate_version(&depot->places, version, &options, n, &diag);
}

static enum store_version_state state_of(struct depot *depot,
                                         const struct hash *id)
{
    struct store_txn txn;
    struct store_version row;
    assert_int_equal(store_txn_begin(&txn, depot->env, STORE_TXN_READ, NULL),
                     STATUS_OK);
    assert_int_equal(store_version_get(&txn, id, &row), STATUS_OK);
    store_txn_abort(&txn);
    return row.state;
}

/* Names in the model's folder that begin with a dot, but for . and .. */
static int count_leftovers(const struct depot *depot, const char *model)
{
    char path[256];
    int count = 0;
    snprintf(path, sizeof(path), "%s/%s", depot->models, model);
    DIR *dir = opendir(path);
    assert_non_null(dir);
    for (struct dirent *e; (e = readdir(dir));)
        count += e->d_name[0] == '.' && strcmp(e->d_name, ".") &&
                 strcmp(e->d_name, "..");
    closedir(dir);
    return count;
}

static void activate_puts_files_in_place(void **state)
{
    (void)state;
    struct depot depot;
    depot_init(&depot, 0);
    static const char *const paths[] = {"a.bin", "sub/dir/b.bin", "empty"};
    uint8_t *a = depot_bytes(1, 100000), *b = depot_bytes(2, 70000);
    const struct bytes files[] = {bytes_of(a, 100000), bytes_of(b, 70000),
                                  bytes_of(NULL, 0)};
    struct publish *p =
        depot_prepare(&depot, "cameras/detector", 1, paths, files, 3);
    publish_run(p);
    assert_int_equal(p->status, STATUS_OK);
    depot_add(&depot, p);
    uint64_t n = 0;
    assert_int_equal(activate(&depot, &p->version, NULL, &n), STATUS_OK);
    assert_int_equal(n, 1);
    for (int i = 0; i < 3; i++)
        assert_true(depot_runs(&depot, "cameras/detector", paths[i], files[i]));
    assert_int_equal(state_of(&depot, &p->version), STORE_VERSION_RUNNING);
    /* Again changes nothing. */
    assert_int_equal(activate(&depot, &p->version, NULL, &n), STATUS_OK);
    assert_int_equal(n, 1);
    publish_free(p);
    free(a);
    free(b);
    depot_deinit(&depot);
}

static void activate_survives_a_kill_before_every_step(void **state)
{
    (void)state;
    for (int step = 0; step < ACTIVATE_STEP_COUNT; step++) {
        struct depot depot;
        struct stop stop = {(enum activate_step)step, false};
        uint64_t n;
        depot_init(&depot, 0);
        uint8_t *x = depot_bytes(3, SIZE), *y = depot_bytes(4, SIZE);
        struct bytes old = bytes_of(x, SIZE), new_ = bytes_of(y, SIZE);
        struct publish *p = depot_publish(&depot, "m", 1, old, NULL);
        struct publish *q = depot_publish(&depot, "m", 2, new_, &p->tree);
        assert_int_equal(activate(&depot, &p->version, NULL, &n), STATUS_OK);
        assert_int_equal(activate(&depot, &q->version, &stop, &n),
                         STATUS_CLOSED);
        assert_true(stop.reached);
        bool is_new = depot_runs(&depot, "m", "m.bin", new_);
        assert_true(is_new || depot_runs(&depot, "m", "m.bin", old));

        depot_restart(&depot);
        assert_int_equal(activate_recover(&depot.places, 6, NULL), STATUS_OK);
        bool runs_new = depot_runs(&depot, "m", "m.bin", new_);
        assert_true(runs_new || depot_runs(&depot, "m", "m.bin", old));
        assert_true(runs_new || !is_new);
        assert_int_equal(state_of(&depot, runs_new ? &q->version : &p->version),
                         STORE_VERSION_RUNNING);
        assert_int_equal(activate_recover(&depot.places, 6, NULL), STATUS_OK);

        uint64_t again;
        assert_int_equal(activate(&depot, &q->version, NULL, &again),
                         STATUS_OK);
        assert_true(again >= n);
        assert_true(depot_runs(&depot, "m", "m.bin", new_));
        assert_int_equal(state_of(&depot, &p->version), STORE_VERSION_PREVIOUS);
        assert_int_equal(count_leftovers(&depot, "m"), 0);
        publish_free(p);
        publish_free(q);
        free(x);
        free(y);
        depot_deinit(&depot);
    }
}

static void activate_keeps_the_folder_before_and_drops_older(void **state)
{
    (void)state;
    struct depot depot;
    depot_init(&depot, 0);
    char path[256];
    uint64_t n;
    for (uint64_t i = 1; i <= 4; i++) {
        uint8_t *x = depot_bytes(10 + i, SIZE);
        struct publish *p =
            depot_publish(&depot, "m", i, bytes_of(x, SIZE), NULL);
        assert_int_equal(activate(&depot, &p->version, NULL, &n), STATUS_OK);
        assert_int_equal(n, i);
        publish_free(p);
        free(x);
    }
    static const int there[] = {0, 0, 1, 1};
    for (int i = 1; i <= 4; i++) {
        snprintf(path, sizeof(path), "%s/m/%d", depot.models, i);
        assert_int_equal(!access(path, F_OK), there[i - 1]);
    }
    depot_deinit(&depot);
}

static void activate_back_to_an_older_version_takes_a_new_number(void **state)
{
    (void)state;
    struct depot depot;
    depot_init(&depot, 0);
    uint8_t *x = depot_bytes(3, SIZE), *y = depot_bytes(4, SIZE);
    struct publish *p = depot_publish(&depot, "m", 1, bytes_of(x, SIZE), NULL);
    struct publish *q = depot_publish(&depot, "m", 2, bytes_of(y, SIZE), NULL);
    uint64_t n;
    assert_int_equal(activate(&depot, &p->version, NULL, &n), STATUS_OK);
    assert_int_equal(activate(&depot, &q->version, NULL, &n), STATUS_OK);
    assert_int_equal(activate(&depot, &p->version, NULL, &n), STATUS_OK);
    assert_int_equal(n, 3);
    assert_true(depot_runs(&depot, "m", "m.bin", bytes_of(x, SIZE)));
    publish_free(p);
    publish_free(q);
    free(x);
    free(y);
    depot_deinit(&depot);
}

static void activate_mends_what_somebody_removed(void **state)
{
    (void)state;
    struct depot depot;
    depot_init(&depot, 0);
    char path[256];
    uint64_t n;
    uint8_t *x = depot_bytes(3, SIZE);
    struct publish *p = depot_publish(&depot, "m", 1, bytes_of(x, SIZE), NULL);
    assert_int_equal(activate(&depot, &p->version, NULL, &n), STATUS_OK);
    snprintf(path, sizeof(path), "%s/m/current", depot.models);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(activate_recover(&depot.places, 6, NULL), STATUS_OK);
    assert_true(depot_runs(&depot, "m", "m.bin", bytes_of(x, SIZE)));

    snprintf(path, sizeof(path), "%s/m/1", depot.models);
    assert_int_equal(fs_remove(AT_FDCWD, path), STATUS_OK);
    assert_int_equal(activate_recover(&depot.places, 6, NULL), STATUS_OK);
    assert_int_equal(state_of(&depot, &p->version), STORE_VERSION_COMPLETE);
    assert_int_equal(activate(&depot, &p->version, NULL, &n), STATUS_OK);
    assert_int_equal(n, 2);
    assert_true(depot_runs(&depot, "m", "m.bin", bytes_of(x, SIZE)));
    publish_free(p);
    free(x);
    depot_deinit(&depot);
}

static void activate_fresh_makes_damaged_files_again(void **state)
{
    (void)state;
    struct depot depot;
    depot_init(&depot, 0);
    char path[256];
    uint64_t n;
    uint8_t *x = depot_bytes(3, SIZE);
    struct publish *p = depot_publish(&depot, "m", 1, bytes_of(x, SIZE), NULL);
    assert_int_equal(activate(&depot, &p->version, NULL, &n), STATUS_OK);
    snprintf(path, sizeof(path), "%s/m/1/m.bin", depot.models);
    int fd = open(path, O_WRONLY);
    assert_true(fd >= 0);
    assert_int_equal(fs_pwrite(fd, "damage", 6, 70000), STATUS_OK);
    close(fd);
    struct content *content;
    assert_int_equal(
        content_open(&depot.places, &p->tree, NULL, &content, NULL), STATUS_OK);
    assert_int_equal(content_check(content, NULL, NULL, NULL), STATUS_MISMATCH);
    content_close(content);
    const struct activate_options options = {.fresh = true};
    assert_int_equal(
        activate_version(&depot.places, &p->version, &options, &n, NULL),
        STATUS_OK);
    assert_int_equal(n, 2);
    assert_true(depot_runs(&depot, "m", "m.bin", bytes_of(x, SIZE)));
    publish_free(p);
    free(x);
    depot_deinit(&depot);
}

static void activate_unknown_or_incomplete_is_not_found(void **state)
{
    (void)state;
    struct depot depot;
    depot_init(&depot, 0);
    struct hash none = {{1}};
    uint64_t n;
    assert_int_equal(activate(&depot, &none, NULL, &n), STATUS_NOT_FOUND);
    depot_deinit(&depot);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(activate_puts_files_in_place),
        cmocka_unit_test(activate_survives_a_kill_before_every_step),
        cmocka_unit_test(activate_keeps_the_folder_before_and_drops_older),
        cmocka_unit_test(activate_back_to_an_older_version_takes_a_new_number),
        cmocka_unit_test(activate_mends_what_somebody_removed),
        cmocka_unit_test(activate_fresh_makes_damaged_files_again),
        cmocka_unit_test(activate_unknown_or_incomplete_is_not_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
