/* The node key and the fleet file. */
#include "daemon/identity.h"

#include "daemon/fileset.h"
#include "daemon/fs.h"
#include "tests/support/cmocka.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct dir {
    char path[32], machine[64], key[64], fleet[64];
};

static void dir_make(struct dir *dir)
{
    strcpy(dir->path, "/tmp/dm-identity-XXXXXX");
    assert_non_null(mkdtemp(dir->path));
    snprintf(dir->machine, sizeof(dir->machine), "%s/machine-id", dir->path);
    snprintf(dir->key, sizeof(dir->key), "%s/node.key", dir->path);
    snprintf(dir->fleet, sizeof(dir->fleet), "%s/fleet", dir->path);
}

static void dir_remove(const struct dir *dir)
{
    assert_int_equal(fs_remove(AT_FDCWD, dir->path), STATUS_OK);
}

static void put(const char *path, const char *text)
{
    assert_int_equal(fs_write(path, bytes_of_text(text), 0600), STATUS_OK);
}

static struct identity load(const struct dir *dir)
{
    struct rng rng = crypto_rng();
    struct identity id;
    assert_int_equal(identity_load(dir->path, dir->machine, &rng, &id, NULL),
                     STATUS_OK);
    return id;
}

/* A file of that name that somebody has open must not receive the secret. */
static void secret_files_are_made_anew(void **state)
{
    (void)state;
    struct dir dir;
    char path[64], left[72], text[16];
    dir_make(&dir);
    snprintf(path, sizeof(path), "%s/secret", dir.path);
    snprintf(left, sizeof(left), "%s.new", path);
    int fd = open(left, O_RDWR | O_CREAT, 0666);
    assert_true(fd >= 0);
    put(path, "secret");
    assert_int_equal(pread(fd, text, sizeof(text), 0), 0);
    close(fd);
    assert_int_equal(symlink("elsewhere", left), 0);
    put(path, "secret");
    struct stat st;
    assert_int_equal(lstat(path, &st), 0);
    assert_true(S_ISREG(st.st_mode));
    assert_int_equal(st.st_mode & 07777, 0600);
    dir_remove(&dir);
}

/* What lies where a model's file should is looked at before it is read: a pipe
 * would be waited for, for ever. */
static void file_sets_are_made_of_regular_files(void **state)
{
    (void)state;
    struct dir dir;
    char path[64], to[64];
    struct fileset *set = NULL;
    const struct manifest_file file = {.path = bytes_of_text("f"), .length = 3};
    dir_make(&dir);
    snprintf(path, sizeof(path), "%s/f", dir.path);
    snprintf(to, sizeof(to), "%s/g", dir.path);
    assert_int_equal(mkfifo(path, 0644), 0);
    assert_int_not_equal(fileset_open(dir.path, &file, 1, &set, NULL),
                         STATUS_OK);
    assert_int_not_equal(fileset_create(dir.path, &file, 1, &set, NULL),
                         STATUS_OK);
    assert_int_equal(unlink(path), 0);
    put(to, "abc");
    assert_int_equal(symlink("g", path), 0);
    assert_int_not_equal(fileset_open(dir.path, &file, 1, &set, NULL),
                         STATUS_OK);
    assert_int_not_equal(fileset_create(dir.path, &file, 1, &set, NULL),
                         STATUS_OK);
    assert_int_equal(unlink(path), 0);
    put(path, "abc");
    assert_int_equal(fileset_open(dir.path, &file, 1, &set, NULL), STATUS_OK);
    fileset_free(set);
    dir_remove(&dir);
}

static void identity_stays_on_its_machine(void **state)
{
    (void)state;
    struct dir dir;
    dir_make(&dir);
    put(dir.machine, "0123456789abcdef\n");
    struct identity first = load(&dir), again = load(&dir);
    assert_memory_equal(&first.key, &again.key, sizeof(first.key));
    assert_false(again.other_machine);
    struct stat st;
    assert_int_equal(stat(dir.key, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);

    put(dir.machine, "another\n");
    struct identity other = load(&dir);
    assert_true(other.other_machine);
    assert_memory_not_equal(&first.key, &other.key, sizeof(first.key));
    again = load(&dir);
    assert_false(again.other_machine);
    assert_memory_equal(&other.key, &again.key, sizeof(other.key));
    dir_remove(&dir);
}

static void identity_without_machine_id_is_bound_later(void **state)
{
    (void)state;
    struct dir dir;
    dir_make(&dir);
    struct identity first = load(&dir), again = load(&dir);
    assert_memory_equal(&first.key, &again.key, sizeof(first.key));
    put(dir.machine, "now\n");
    again = load(&dir);
    assert_memory_equal(&first.key, &again.key, sizeof(first.key));
    put(dir.machine, "other\n");
    again = load(&dir);
    assert_true(again.other_machine);
    dir_remove(&dir);
}

static void identity_damaged_key_is_left_alone(void **state)
{
    (void)state;
    struct dir dir;
    dir_make(&dir);
    struct rng rng = crypto_rng();
    (void)load(&dir);
    char *text;
    size_t size;
    assert_int_equal(fs_read(dir.key, 1000, &text, &size), STATUS_OK);
    for (size_t cut = 0; cut + 1 < size; cut++) {
        assert_int_equal(fs_write(dir.key, bytes_of(text, cut), 0600), 0);
        struct identity id;
        struct diag diag = {""};
        assert_int_equal(identity_load(dir.path, dir.machine, &rng, &id, &diag),
                         STATUS_CORRUPT);
        assert_non_null(strstr(diag.text, "node.key"));
    }
    free(text);
    dir_remove(&dir);
}

static void fleet_file_round_trip(void **state)
{
    (void)state;
    struct dir dir;
    dir_make(&dir);
    struct fleet_file in = {.secret_count = 2, .address_count = 1}, out;
    assert_int_equal(fleet_file_read(dir.path, &out, NULL), STATUS_NOT_FOUND);
    memset(in.fleet.b, 1, sizeof(in.fleet.b));
    memset(in.secret[0].b, 2, 32);
    memset(in.secret[1].b, 3, 32);
    strcpy(in.address[0], "h:1");
    assert_int_equal(fleet_file_write(dir.path, &in), STATUS_OK);
    assert_int_equal(fleet_file_read(dir.path, &out, NULL), STATUS_OK);
    assert_memory_equal(&in, &out, sizeof(in));
    put(dir.fleet, "deltamesh-fleet 2\n");
    assert_int_equal(fleet_file_read(dir.path, &out, NULL), STATUS_CORRUPT);
    put(dir.fleet, "");
    assert_int_equal(fleet_file_read(dir.path, &out, NULL), STATUS_CORRUPT);
    dir_remove(&dir);
}

int main(void)
{
    if (crypto_init())
        return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(secret_files_are_made_anew),
        cmocka_unit_test(file_sets_are_made_of_regular_files),
        cmocka_unit_test(identity_stays_on_its_machine),
        cmocka_unit_test(identity_without_machine_id_is_bound_later),
        cmocka_unit_test(identity_damaged_key_is_left_alone),
        cmocka_unit_test(fleet_file_round_trip),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
