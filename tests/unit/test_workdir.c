/* A folder that goes with whoever made it, however that ends. */
#include "daemon/workdir.h"

#include "tests/support/cmocka.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static void fill(const struct workdir *dir)
{
    char path[PATH_MAX];
    snprintf(path, sizeof(path), "%s/sub", dir->path);
    assert_int_equal(mkdir(path, 0700), 0);
    snprintf(path, sizeof(path), "%s/sub/file", dir->path);
    int fd = open(path, O_WRONLY | O_CREAT, 0600);
    assert_true(fd >= 0);
    close(fd);
}

static bool gone_soon(const char *path)
{
    const struct timespec pause = {0, 10 * 1000 * 1000};
    struct stat st;
    for (int i = 0; i < 500; i++) {
        if (stat(path, &st) && errno == ENOENT)
            return true;
        nanosleep(&pause, NULL);
    }
    return false;
}

static void workdir_is_private_and_removed(void **state)
{
    (void)state;
    struct workdir dir;
    struct diag diag = {""};
    struct stat st;
    assert_int_equal(workdir_open(&dir, &diag), STATUS_OK);
    assert_int_equal(stat(dir.path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0700);
    fill(&dir);
    char path[PATH_MAX];
    snprintf(path, sizeof(path), "%s", dir.path);
    workdir_close(&dir);
    assert_int_equal(stat(path, &st), -1);
    workdir_close(&dir); /* nothing */
}

static void workdir_that_cannot_be_made_is_named(void **state)
{
    (void)state;
    struct workdir dir;
    struct diag diag = {""};
    char *before = getenv("TMPDIR") ? strdup(getenv("TMPDIR")) : NULL;
    setenv("TMPDIR", "/nonexistent/folder", 1);
    assert_int_equal(workdir_open(&dir, &diag), STATUS_NOT_FOUND);
    assert_non_null(strstr(diag.text, "/nonexistent/folder"));
    workdir_close(&dir);
    if (before)
        setenv("TMPDIR", before, 1);
    else
        unsetenv("TMPDIR");
    free(before);
}

/* A process that opens one, starts a group, tells both, and waits. */
static pid_t start_one(char path[PATH_MAX], pid_t *group)
{
    int fds[2];
    assert_int_equal(pipe(fds), 0);
    pid_t pid = fork();
    if (!pid) {
        struct workdir dir;
        if (workdir_open(&dir, NULL))
            _exit(1);
        pid_t child = fork();
        if (!child) {
            setpgid(0, 0);
            close(fds[0]);
            close(fds[1]);
            execl("/bin/sleep", "sleep", "600", (char *)NULL);
            _exit(127);
        }
        setpgid(child, child);
        workdir_group(&dir, child);
        if (write(fds[1], &child, sizeof(child)) < 0 ||
            write(fds[1], dir.path, PATH_MAX - 512) < 0)
            _exit(1);
        for (;;)
            pause();
    }
    close(fds[1]);
    assert_int_equal(read(fds[0], group, sizeof(*group)), sizeof(*group));
    assert_int_equal(read(fds[0], path, PATH_MAX - 512), PATH_MAX - 512);
    close(fds[0]);
    return pid;
}

static void workdir_goes_when_its_maker_is_killed(void **state)
{
    (void)state;
    static const int signals[] = {SIGINT, SIGTERM, SIGKILL};
    for (size_t i = 0; i < sizeof(signals) / sizeof(*signals); i++) {
        char path[PATH_MAX];
        pid_t group;
        struct stat st;
        pid_t pid = start_one(path, &group);
        assert_int_equal(stat(path, &st), 0);
        assert_int_equal(kill(pid, signals[i]), 0);
        assert_int_equal(waitpid(pid, NULL, 0), pid);
        assert_true(gone_soon(path));
        const struct timespec pause = {0, 10 * 1000 * 1000};
        int left = 500;
        while (!kill(-group, 0) && left--)
            nanosleep(&pause, NULL);
        assert_true(left > 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(workdir_is_private_and_removed),
        cmocka_unit_test(workdir_that_cannot_be_made_is_named),
        cmocka_unit_test(workdir_goes_when_its_maker_is_killed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
