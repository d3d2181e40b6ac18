/* Opening: one owner, schemas, foreign and broken files, and the map. */
#include "store/env.h"

#include "store/schema.h"
#include "tests/support/cmocka.h"
#include "tests/support/tmpstore.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static const struct store_env_options plain;

static enum status try_open(struct tmpstore *tmp, bool read_only)
{
    struct store_env_options options = {.read_only = read_only};
    struct store_env *env;
    diag_reset(&tmp->diag);
    enum status status = store_env_open(&env, tmp->path, &options, &tmp->diag);
    assert_true((env != NULL) == (status == STATUS_OK));
    store_env_close(env);
    return status;
}

static size_t slurp(const char *file, uint8_t **out)
{
    struct stat st;
    int fd = open(file, O_RDONLY);
    assert_true(fd >= 0);
    assert_int_equal(fstat(fd, &st), 0);
    *out = malloc((size_t)st.st_size + 1);
    assert_non_null(*out);
    assert_int_equal(read(fd, *out, (size_t)st.st_size), st.st_size);
    close(fd);
    return (size_t)st.st_size;
}

static void spill(const char *file, const void *data, size_t size)
{
    int fd = open(file, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, data, size), size);
    close(fd);
}

static void set_schema(struct tmpstore *tmp, const void *value, size_t size)
{
    struct store_txn txn;
    tmpstore_begin(tmp, &txn, STORE_TXN_WRITE);
    if (size)
        store_txn_put(&txn, STORE_TABLE_META, bytes_of_text("schema"),
                      bytes_of(value, size));
    else
        store_txn_del(&txn, STORE_TABLE_META, bytes_of_text("schema"));
    tmpstore_commit(&txn);
    store_env_close(tmp->env);
    tmp->env = NULL;
}

static void env_opens_again_and_finds_what_was_committed(void **state)
{
    (void)state;
    struct tmpstore tmp;
    struct store_txn txn;
    uint64_t n;
    tmpstore_init(&tmp, 0, 1 << 20);
    tmpstore_begin(&tmp, &txn, STORE_TXN_WRITE);
    assert_int_equal(store_meta_put_u64(&txn, "a", 7), STATUS_OK);
    tmpstore_commit(&txn);
    tmpstore_begin(&tmp, &txn, STORE_TXN_WRITE);
    assert_int_equal(store_meta_put_u64(&txn, "a", 8), STATUS_OK);
    store_txn_abort(&txn);
    store_txn_abort(&txn);
    tmpstore_reopen(&tmp, 0, 1 << 20);
    tmpstore_begin(&tmp, &txn, STORE_TXN_READ);
    assert_int_equal(store_meta_get_u64(&txn, "a", &n), STATUS_OK);
    assert_int_equal(n, 7);
    store_txn_abort(&txn);
    assert_int_equal(tmpstore_fsck(&tmp, false), 0);
    assert_string_equal(store_env_path(tmp.env), tmp.path);
    assert_true(store_env_file_bytes(tmp.env) > 0);
    tmpstore_deinit(&tmp);
}

static void env_second_owner_is_told_the_pid(void **state)
{
    (void)state;
    struct tmpstore tmp;
    char pid[32];
    tmpstore_init(&tmp, 0, 1 << 20);
    snprintf(pid, sizeof(pid), "pid %ld", (long)getpid());
    assert_int_equal(try_open(&tmp, false), STATUS_BUSY);
    assert_non_null(strstr(tmp.diag.text, pid));
    assert_non_null(strstr(tmp.diag.text, tmp.path));
    store_env_close(tmp.env);
    tmp.env = NULL;
    assert_int_equal(try_open(&tmp, false), STATUS_OK);
    tmpstore_deinit(&tmp);
}

static void env_missing_folder_is_not_found(void **state)
{
    (void)state;
    struct tmpstore tmp;
    struct store_env *env;
    tmpstore_init_empty(&tmp);
    assert_int_equal(
        store_env_open(&env, tmpstore_file(&tmp, "none"), &plain, &tmp.diag),
        STATUS_NOT_FOUND);
    assert_non_null(strstr(tmp.diag.text, "none"));
    tmpstore_deinit(&tmp);
}

static void env_read_only_reads_beside_the_owner(void **state)
{
    (void)state;
    struct tmpstore tmp;
    struct store_env_options options = {.read_only = true};
    struct store_env *env;
    struct store_txn txn;
    tmpstore_init_empty(&tmp);
    assert_int_equal(try_open(&tmp, true), STATUS_NOT_FOUND);
    assert_int_equal(access(tmpstore_file(&tmp, "data.mdb"), F_OK), -1);
    tmpstore_reopen(&tmp, 0, 1 << 20);
    tmpstore_fill(&tmp, "m", UINT64_MAX, 1, 2, 100, STORE_VERSION_RUNNING);
    /* LMDB allows one environment a process and file: close the owner's. */
    store_env_close(tmp.env);
    tmp.env = NULL;
    assert_int_equal(store_env_open(&env, tmp.path, &options, &tmp.diag),
                     STATUS_OK);
    assert_int_equal(store_txn_begin(&txn, env, STORE_TXN_WRITE, &tmp.diag),
                     STATUS_PERMISSION);
    store_txn_abort(&txn);
    tmp.env = env;
    assert_int_equal(tmpstore_fsck(&tmp, false), 0);
    tmpstore_deinit(&tmp);
}

static void check_untouched(struct tmpstore *tmp, enum status expected)
{
    static const char *const names[] = {"data.mdb", "lock.mdb"};
    uint8_t *before[2];
    uint8_t *after[2];
    size_t size[2];
    for (int i = 0; i < 2; i++)
        size[i] = slurp(tmpstore_file(tmp, names[i]), &before[i]);
    assert_int_equal(try_open(tmp, false), expected);
    assert_non_null(strstr(tmp->diag.text, tmp->path));
    assert_null(strchr(tmp->diag.text, '\n'));
    for (int i = 0; i < 2; i++) {
        assert_int_equal(slurp(tmpstore_file(tmp, names[i]), &after[i]),
                         size[i]);
        assert_memory_equal(after[i], before[i], size[i]);
        free(before[i]);
        free(after[i]);
    }
}

static void env_newer_schema_is_refused_untouched(void **state)
{
    (void)state;
    struct tmpstore tmp;
    tmpstore_init(&tmp, 0, 1 << 20);
    set_schema(&tmp, "\0\0\0\2", 4);
    check_untouched(&tmp, STATUS_UNSUPPORTED);
    assert_non_null(strstr(tmp.diag.text, "schema 2"));
    assert_int_equal(try_open(&tmp, true), STATUS_UNSUPPORTED);
    tmpstore_deinit(&tmp);
}

static void env_torn_schema_is_corrupt_untouched(void **state)
{
    (void)state;
    struct tmpstore tmp;
    static const struct {
        const char *data;
        size_t size;
    } torn[] = {{"\0\0\0", 3}, {"\0\0\0\0", 4}, {"\0\0\0\1\0", 5}, {"", 0}};
    for (size_t i = 0; i < sizeof(torn) / sizeof(torn[0]); i++) {
        tmpstore_init(&tmp, 0, 1 << 20);
        set_schema(&tmp, torn[i].data, torn[i].size);
        check_untouched(&tmp, STATUS_CORRUPT);
        tmpstore_deinit(&tmp);
    }
}

static void env_interrupted_creation_is_made_anew(void **state)
{
    (void)state;
    struct tmpstore tmp;
    static const uint8_t zero[8192];
    static const size_t sizes[] = {0, 1, 4096, 8192};
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        tmpstore_init_empty(&tmp);
        spill(tmpstore_file(&tmp, "data.mdb"), zero, sizes[i]);
        assert_int_equal(try_open(&tmp, true), STATUS_NOT_FOUND);
        assert_int_equal(try_open(&tmp, false), STATUS_OK);
        tmpstore_deinit(&tmp);
    }
}

static void env_other_files_are_corrupt_and_stay(void **state)
{
    (void)state;
    struct tmpstore tmp;
    uint8_t text[9000];
    uint8_t *after;
    memset(text, 'x', sizeof(text));
    tmpstore_init_empty(&tmp);
    spill(tmpstore_file(&tmp, "data.mdb"), text, sizeof(text));
    assert_int_equal(try_open(&tmp, false), STATUS_CORRUPT);
    assert_int_equal(try_open(&tmp, true), STATUS_CORRUPT);
    assert_int_equal(slurp(tmpstore_file(&tmp, "data.mdb"), &after),
                     sizeof(text));
    assert_memory_equal(after, text, sizeof(text));
    free(after);
    tmpstore_deinit(&tmp);
}

static void env_of_another_word_size_is_unsupported(void **state)
{
    (void)state;
    struct tmpstore tmp;
    uint8_t page[8192] = {0};
    uint32_t magic = 0xBEEFC0DE;
    memcpy(page + (sizeof(size_t) == 8 ? 12 : 16), &magic, sizeof(magic));
    tmpstore_init_empty(&tmp);
    spill(tmpstore_file(&tmp, "data.mdb"), page, sizeof(page));
    assert_int_equal(try_open(&tmp, false), STATUS_UNSUPPORTED);
    assert_int_equal(try_open(&tmp, true), STATUS_UNSUPPORTED);
    tmpstore_deinit(&tmp);
}

static void env_map_follows_the_quota(void **state)
{
    (void)state;
    const uint64_t mib = 1 << 20;
    assert_int_equal(store_env_map_for_quota(100 * mib), (125 + 64) * mib);
    assert_true(store_env_map_for_quota(STORE_QUOTA_NONE) >= 1024 * mib);
    assert_true(store_env_map_for_quota(UINT64_MAX - 1) <= UINT64_C(1) << 46);
}

static void env_map_shrinks_to_the_address_space(void **state)
{
    (void)state;
    struct tmpstore tmp;
    struct rlimit old;
    struct rlimit tight;
    char line[128];
    unsigned long long pages = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    if (!file || !fgets(line, sizeof(line), file))
        skip();
    fclose(file);
    pages = strtoull(line, NULL, 10);
    if (pages > UINT64_C(1) << 32) /* a sanitizer's shadow */
        skip();
    assert_int_equal(getrlimit(RLIMIT_AS, &old), 0);
    tight = old;
    tight.rlim_cur = (rlim_t)(pages * 4096 + (1000 << 20));
    tmpstore_init_empty(&tmp);
    assert_int_equal(setrlimit(RLIMIT_AS, &tight), 0);
    tmpstore_reopen(&tmp, UINT64_C(100) << 30, 0);
    assert_true(store_env_map_bytes(tmp.env) < 1000 << 20);
    assert_true(store_env_map_bytes(tmp.env) >= 400 << 20);
    uint64_t quota = store_env_quota(tmp.env);
    assert_true(store_env_map_for_quota(quota) <=
                store_env_map_bytes(tmp.env) + 65536);
    store_env_set_quota(tmp.env, UINT64_C(200) << 30);
    assert_int_equal(store_env_quota(tmp.env), quota);
    tmpstore_fill(&tmp, "m", UINT64_MAX, 1, 2, 100, STORE_VERSION_RUNNING);
    assert_int_equal(setrlimit(RLIMIT_AS, &old), 0);
    tmpstore_deinit(&tmp);
}

static void env_map_grows_when_no_transaction_is_open(void **state)
{
    (void)state;
    const uint64_t mib = 1 << 20;
    struct tmpstore tmp;
    struct store_txn txn;
    tmpstore_init(&tmp, 10 * mib, 0);
    uint64_t map = store_env_map_bytes(tmp.env);
    tmpstore_begin(&tmp, &txn, STORE_TXN_READ);
    store_env_set_quota(tmp.env, 200 * mib);
    assert_int_equal(store_env_map_bytes(tmp.env), map);
    assert_true(store_env_quota(tmp.env) < 11 * mib);
    store_txn_abort(&txn);
    assert_int_equal(store_env_quota(tmp.env), 200 * mib);
    map = store_env_map_bytes(tmp.env);
    assert_int_equal(map, store_env_map_for_quota(200 * mib));
    store_env_set_quota(tmp.env, 400 * mib);
    assert_true(store_env_map_bytes(tmp.env) > map);
    map = store_env_map_bytes(tmp.env);
    store_env_set_quota(tmp.env, mib);
    assert_int_equal(store_env_map_bytes(tmp.env), map);
    tmpstore_fill(&tmp, "m", UINT64_MAX, 1, 2, 100, STORE_VERSION_RUNNING);
    assert_int_equal(tmpstore_fsck(&tmp, false), 0);
    tmpstore_deinit(&tmp);
}

/* A daemon in another process: opens, and at a word writes more than the map
 * had room for at first. */
static void be_growing_owner(const char *path, int in, int out)
{
    struct store_env_options options = {.map_bytes = 1 << 20};
    struct store_env *env;
    struct store_txn txn;
    char name[16];
    char word = 'x';
    static uint8_t big[50000];
    if (store_env_open(&env, path, &options, NULL) || write(out, &word, 1) != 1)
        _exit(1);
    while (read(in, &word, 1) == 1) {
        store_env_set_quota(env, 100 << 20);
        for (int i = 0; i < 60; i++) {
            snprintf(name, sizeof(name), "%d", i);
            if (store_txn_begin(&txn, env, STORE_TXN_WRITE, NULL) ||
                store_meta_put(&txn, name, bytes_of(big, sizeof(big))) ||
                store_txn_commit(&txn))
                _exit(2);
        }
        if (write(out, &word, 1) != 1)
            _exit(3);
    }
    _exit(0);
}

static void env_read_only_follows_a_growing_owner(void **state)
{
    (void)state;
    struct store_env_options options = {.read_only = true};
    struct tmpstore tmp;
    struct store_txn txn;
    struct bytes value;
    int to[2];
    int from[2];
    char word = 'x';
    int status;
    tmpstore_init_empty(&tmp);
    assert_int_equal(pipe(to) + pipe(from), 0);
    fflush(NULL);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (!pid) {
        close(to[1]);
        be_growing_owner(tmp.path, to[0], from[1]);
    }
    assert_int_equal(read(from[0], &word, 1), 1);
    assert_int_equal(try_open(&tmp, false), STATUS_BUSY);
    if (store_env_open(&tmp.env, tmp.path, &options, &tmp.diag))
        fail_msg("%s", tmp.diag.text);
    assert_int_equal(store_env_map_bytes(tmp.env), 1 << 20);
    assert_int_equal(write(to[1], &word, 1), 1);
    assert_int_equal(read(from[0], &word, 1), 1);
    tmpstore_begin(&tmp, &txn, STORE_TXN_READ);
    assert_int_equal(store_meta_get(&txn, "59", &value), STATUS_OK);
    assert_int_equal(value.size, 50000);
    store_txn_abort(&txn);
    close(to[1]);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    close(to[0]);
    close(from[0]);
    close(from[1]);
    tmpstore_deinit(&tmp);
}

/* What threads of a pool do: one writes, others read, and the quota rises. */
struct reading {
    struct tmpstore *tmp;
    atomic_bool stop;
    atomic_uint failures;
};

static bool pair_is_equal(struct store_env *env)
{
    struct store_txn txn;
    uint64_t a = 0;
    uint64_t b = 0;
    if (store_txn_begin(&txn, env, STORE_TXN_READ, NULL))
        return false;
    enum status status = store_meta_get_u64(&txn, "a", &a);
    if (!status)
        status = store_meta_get_u64(&txn, "b", &b);
    store_txn_abort(&txn);
    return (!status || status == STATUS_NOT_FOUND) && a == b;
}

static void *read_pairs(void *ctx)
{
    struct reading *reading = ctx;
    while (!atomic_load(&reading->stop))
        if (!pair_is_equal(reading->tmp->env))
            atomic_fetch_add(&reading->failures, 1);
    return NULL;
}

static void env_serves_readers_while_writing_and_growing(void **state)
{
    (void)state;
    const uint64_t mib = 1 << 20;
    struct tmpstore tmp;
    struct store_txn txn;
    struct reading reading = {.tmp = &tmp};
    pthread_t threads[3];
    tmpstore_init(&tmp, mib, 0);
    for (int i = 0; i < 3; i++)
        assert_int_equal(
            pthread_create(&threads[i], NULL, read_pairs, &reading), 0);
    for (uint64_t i = 1; i <= 100; i++) {
        tmpstore_begin(&tmp, &txn, STORE_TXN_WRITE);
        assert_int_equal(store_meta_put_u64(&txn, "a", i), STATUS_OK);
        assert_int_equal(store_meta_put_u64(&txn, "b", i), STATUS_OK);
        tmpstore_commit(&txn);
        store_env_set_quota(tmp.env, i * mib);
    }
    atomic_store(&reading.stop, true);
    for (int i = 0; i < 3; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    assert_int_equal(atomic_load(&reading.failures), 0);
    assert_int_equal(store_env_map_bytes(tmp.env),
                     store_env_map_for_quota(100 * mib));
    tmpstore_deinit(&tmp);
}

static void env_full_map_is_an_answer_that_changes_nothing(void **state)
{
    (void)state;
    struct tmpstore tmp;
    struct store_txn txn;
    uint8_t *big = calloc(1, 60000);
    uint64_t n;
    int written = 0;
    assert_non_null(big);
    tmpstore_init(&tmp, 0, 1 << 20);
    for (;; written++) {
        char name[16];
        snprintf(name, sizeof(name), "%d", written);
        tmpstore_begin(&tmp, &txn, STORE_TXN_WRITE);
        assert_int_equal(store_meta_put_u64(&txn, "last", (uint64_t)written),
                         STATUS_OK);
        enum status status = store_meta_put(&txn, name, bytes_of(big, 60000));
        if (status == STATUS_NO_SPACE) {
            assert_int_equal(store_meta_put_u64(&txn, "last", 1000),
                             STATUS_NO_SPACE);
            assert_int_equal(store_txn_commit(&txn), STATUS_NO_SPACE);
            assert_non_null(strstr(tmp.diag.text, tmp.path));
            break;
        }
        tmpstore_commit(&txn);
    }
    tmpstore_begin(&tmp, &txn, STORE_TXN_READ);
    assert_int_equal(store_meta_get_u64(&txn, "last", &n), STATUS_OK);
    assert_int_equal(n, written - 1);
    store_txn_abort(&txn);
    /* There is room to remove. */
    tmpstore_begin(&tmp, &txn, STORE_TXN_WRITE);
    assert_int_equal(store_meta_del(&txn, "0"), STATUS_OK);
    tmpstore_commit(&txn);
    assert_int_equal(tmpstore_fsck(&tmp, false), 0);
    free(big);
    tmpstore_deinit(&tmp);
}

static enum status step_two(struct store_txn *txn)
{
    return store_meta_put_u64(txn, "two", 2);
}

static enum status step_three(struct store_txn *txn)
{
    uint64_t two;
    if (store_meta_get_u64(txn, "two", &two))
        return STATUS_INTERNAL;
    return store_meta_put_u64(txn, "three", two + 1);
}

static enum status step_failing(struct store_txn *txn)
{
    (void)txn;
    return STATUS_NO_SPACE;
}

static void schema_steps_run_in_order_and_together(void **state)
{
    (void)state;
    struct tmpstore tmp;
    struct store_txn txn;
    uint64_t n;
    uint32_t number;
    const struct store_schema_step steps[] = {
        {1, step_failing}, {2, step_two}, {3, step_three}, {4, step_failing}};
    tmpstore_init(&tmp, 0, 1 << 20);
    tmpstore_begin(&tmp, &txn, STORE_TXN_WRITE);
    assert_int_equal(store_schema_migrate(&txn, 1, steps, 4, 4),
                     STATUS_NO_SPACE);
    assert_int_equal(store_txn_commit(&txn), STATUS_NO_SPACE);
    tmpstore_begin(&tmp, &txn, STORE_TXN_WRITE);
    assert_int_equal(store_meta_get_u64(&txn, "two", &n), STATUS_NOT_FOUND);
    assert_int_equal(store_schema_migrate(&txn, 1, steps, 4, 3), STATUS_OK);
    assert_int_equal(store_meta_get_u64(&txn, "three", &n), STATUS_OK);
    assert_int_equal(n, 3);
    assert_int_equal(store_schema_read(&txn, &number), STATUS_OK);
    assert_int_equal(number, 3);
    store_txn_abort(&txn);
    tmpstore_deinit(&tmp);
}

static void meta_counters_rise_and_last(void **state)
{
    (void)state;
    struct tmpstore tmp;
    struct store_txn txn;
    uint64_t n;
    tmpstore_init(&tmp, 0, 1 << 20);
    for (uint64_t i = 1; i <= 3; i++) {
        tmpstore_begin(&tmp, &txn, STORE_TXN_WRITE);
        assert_int_equal(store_meta_start(&txn, &n), STATUS_OK);
        assert_int_equal(n, i);
        assert_int_equal(store_meta_add_uptime(&txn, 10, &n), STATUS_OK);
        assert_int_equal(n, 10 * i);
        tmpstore_commit(&txn);
        tmpstore_reopen(&tmp, 0, 1 << 20);
    }
    tmpstore_begin(&tmp, &txn, STORE_TXN_WRITE);
    assert_int_equal(store_meta_start_count(&txn, &n), STATUS_OK);
    assert_int_equal(n, 3);
    assert_int_equal(store_meta_add_uptime(&txn, UINT64_MAX, NULL), STATUS_OK);
    assert_int_equal(store_meta_uptime(&txn, &n), STATUS_OK);
    assert_true(n == UINT64_MAX);
    store_txn_abort(&txn);
    tmpstore_deinit(&tmp);
}

static bool count_setting(void *ctx, const char *name, struct bytes value)
{
    unsigned *count = ctx;
    assert_int_equal(strncmp(name, "p/", 2), 0);
    assert_int_equal(value.size, 1);
    return ++*count < 2;
}

static void meta_settings_have_names_and_limits(void **state)
{
    (void)state;
    struct tmpstore tmp;
    struct store_txn txn;
    struct bytes value;
    uint64_t n;
    unsigned count = 0;
    char name[STORE_SETTING_NAME_MAX + 2];
    uint8_t *big = calloc(1, STORE_SETTING_BYTES_MAX + 1);
    tmpstore_init(&tmp, 0, 1 << 20);
    tmpstore_begin(&tmp, &txn, STORE_TXN_WRITE);
    assert_int_equal(store_meta_get(&txn, "x", &value), STATUS_NOT_FOUND);
    assert_int_equal(store_meta_put(&txn, "", bytes_of_text("a")),
                     STATUS_USAGE);
    memset(name, 'n', sizeof(name));
    name[sizeof(name) - 1] = 0;
    assert_int_equal(store_meta_put(&txn, name, bytes_of_text("a")),
                     STATUS_USAGE);
    assert_int_equal(store_meta_put(&txn, name + 1, bytes_of_text("a")),
                     STATUS_OK);
    assert_int_equal(
        store_meta_put(&txn, "big", bytes_of(big, STORE_SETTING_BYTES_MAX + 1)),
        STATUS_LIMIT);
    assert_int_equal(store_meta_put(&txn, "p", bytes_of_text("ab")), STATUS_OK);
    assert_int_equal(store_meta_get_u64(&txn, "p", &n), STATUS_MISMATCH);
    assert_int_equal(store_meta_put(&txn, "p/1", bytes_of_text("a")),
                     STATUS_OK);
    assert_int_equal(store_meta_put(&txn, "p/2", bytes_of_text("a")),
                     STATUS_OK);
    assert_int_equal(store_meta_put(&txn, "p/3", bytes_of_text("a")),
                     STATUS_OK);
    assert_int_equal(store_meta_each(&txn, "p/", count_setting, &count),
                     STATUS_OK);
    assert_int_equal(count, 2);
    assert_int_equal(store_meta_del(&txn, "p/1"), STATUS_OK);
    assert_int_equal(store_meta_del(&txn, "p/1"), STATUS_OK);
    assert_int_equal(store_meta_get(&txn, "p/1", &value), STATUS_NOT_FOUND);
    tmpstore_commit(&txn);
    free(big);
    tmpstore_deinit(&tmp);
}

static void meta_own_seq_only_rises(void **state)
{
    (void)state;
    struct tmpstore tmp;
    struct store_txn txn;
    uint8_t slot[STORE_SLOT_BYTES] = {1};
    uint64_t epoch;
    uint64_t seq;
    tmpstore_init(&tmp, 0, 1 << 20);
    tmpstore_begin(&tmp, &txn, STORE_TXN_WRITE);
    assert_int_equal(store_meta_own_seq(&txn, slot, &epoch, &seq), STATUS_OK);
    assert_int_equal(epoch + seq, 0);
    assert_int_equal(store_meta_raise_own_seq(&txn, slot, 1, 5), STATUS_OK);
    assert_int_equal(store_meta_raise_own_seq(&txn, slot, 1, 5), STATUS_STALE);
    assert_int_equal(store_meta_raise_own_seq(&txn, slot, 0, 9), STATUS_STALE);
    assert_int_equal(store_meta_raise_own_seq(&txn, slot, 2, 1), STATUS_OK);
    assert_int_equal(store_meta_own_seq(&txn, slot, &epoch, &seq), STATUS_OK);
    assert_int_equal(epoch, 2);
    assert_int_equal(seq, 1);
    tmpstore_commit(&txn);
    tmpstore_deinit(&tmp);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(env_opens_again_and_finds_what_was_committed),
        cmocka_unit_test(env_second_owner_is_told_the_pid),
        cmocka_unit_test(env_missing_folder_is_not_found),
        cmocka_unit_test(env_read_only_reads_beside_the_owner),
        cmocka_unit_test(env_newer_schema_is_refused_untouched),
        cmocka_unit_test(env_torn_schema_is_corrupt_untouched),
        cmocka_unit_test(env_interrupted_creation_is_made_anew),
        cmocka_unit_test(env_other_files_are_corrupt_and_stay),
        cmocka_unit_test(env_of_another_word_size_is_unsupported),
        cmocka_unit_test(env_map_follows_the_quota),
        cmocka_unit_test(env_map_shrinks_to_the_address_space),
        cmocka_unit_test(env_map_grows_when_no_transaction_is_open),
        cmocka_unit_test(env_read_only_follows_a_growing_owner),
        cmocka_unit_test(env_serves_readers_while_writing_and_growing),
        cmocka_unit_test(env_full_map_is_an_answer_that_changes_nothing),
        cmocka_unit_test(schema_steps_run_in_order_and_together),
        cmocka_unit_test(meta_counters_rise_and_last),
        cmocka_unit_test(meta_settings_have_names_and_limits),
        cmocka_unit_test(meta_own_seq_only_rises),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
