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
    for (int i = 0; i < 3000; i++) {
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
    assert_int_equal(workdir_open(&dir, false, &diag), STATUS_OK);
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
    assert_int_equal(workdir_open(&dir, false, &diag), STATUS_NOT_FOUND);
    assert_non_null(strstr(diag.text, "/nonexistent/folder"));
    workdir_close(&dir);
    if (before)
        setenv("TMPDIR", before, 1);
    else
        unsetenv("TMPDIR");
    free(before);
}

/* A process that opens one, starts a group, tells both, and waits. */
static pid_t start_one(struct workdir *told, pid_t *group)
{
    int fds[2];
    assert_int_equal(pipe(fds), 0);
    pid_t pid = fork();
    if (!pid) {
        struct workdir dir;
        setpgid(0, 0);
        signal(SIGINT, SIG_DFL); /* tests in the background have it ignored */
        if (workdir_open(&dir, true, NULL))
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
            write(fds[1], &dir, sizeof(dir)) < 0)
            _exit(1);
        for (;;)
            pause();
    }
    close(fds[1]);
    assert_int_equal(read(fds[0], group, sizeof(*group)), sizeof(*group));
    size_t got = 0;
    while (got < sizeof(*told)) {
        ssize_t n = read(fds[0], (char *)told + got, sizeof(*told) - got);
        assert_true(n > 0);
        got += (size_t)n;
    }
    close(fds[0]);
    return pid;
}

/* Or is a zombie that init has to bury. */
static bool has_ended(pid_t pid)
{
    char path[64], state = 'Z';
    snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
    FILE *file = fopen(path, "r");
    if (file && fscanf(file, "%*d (%*[^)]) %c", &state) != 1)
        state = 'Z';
    if (file)
        fclose(file);
    return state == 'Z';
}

static bool ended_soon(pid_t pid)
{
    const struct timespec pause = {0, 10 * 1000 * 1000};
    for (int i = 0; i < 3000; i++) {
        if (has_ended(pid))
            return true;
        nanosleep(&pause, NULL);
    }
    return false;
}

/* signal: to the maker, or if it is negative to all of its group. */
static void expect_gone_after(int signal)
{
    struct workdir dir;
    pid_t group;
    struct stat st;
    pid_t pid = start_one(&dir, &group);
    assert_int_equal(stat(dir.plain, &st), 0);
    assert_int_equal(kill(signal < 0 ? -pid : pid, abs(signal)), 0);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    assert_true(gone_soon(dir.path));
    if (dir.link[0])
        assert_true(gone_soon(dir.link));
    assert_true(ended_soon(group));
}

static void workdir_goes_when_its_maker_is_killed(void **state)
{
    (void)state;
    expect_gone_after(SIGINT);
    expect_gone_after(SIGTERM);
    expect_gone_after(SIGKILL);
}

/* As timeout(1) and those that run jobs do it. */
static void workdir_goes_when_the_whole_group_is_killed(void **state)
{
    (void)state;
    expect_gone_after(-SIGKILL);
}

static void set_tmpdir(const char *path)
{
    if (path)
        setenv("TMPDIR", path, 1);
    else
        unsetenv("TMPDIR");
}

static void expect_plain_over(const char *folder)
{
    struct workdir dir;
    struct diag diag = {""};
    struct stat a, b;
    assert_int_equal(mkdir(folder, 0700), 0);
    set_tmpdir(folder);
    assert_int_equal(workdir_open(&dir, true, &diag), STATUS_OK);
    assert_int_equal(strspn(dir.plain, "abcdefghijklmnopqrstuvwxyz"
                                       "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                       "0123456789/._-"),
                     strlen(dir.plain));
    assert_int_equal(dir.plain[0], '/');
    assert_int_equal(stat(dir.path, &a), 0);
    assert_int_equal(stat(dir.plain, &b), 0);
    assert_int_equal(a.st_ino, b.st_ino);
    assert_non_null(strstr(dir.path, folder));
    expect_gone_after(SIGKILL);
    char link[sizeof(dir.link)];
    memcpy(link, dir.link, sizeof(link));
    workdir_close(&dir);
    assert_true(!link[0] || stat(link, &a));
    assert_int_equal(rmdir(folder), 0); /* nothing is in it */
}

static void workdir_has_a_plain_name_in_any_folder(void **state)
{
    (void)state;
    char home[] = "/tmp/deltamesh-test-XXXXXX", cwd[PATH_MAX];
    char *before = getenv("TMPDIR") ? strdup(getenv("TMPDIR")) : NULL;
    assert_true(mkdtemp(home) && getcwd(cwd, sizeof(cwd)) && !chdir(home));
    expect_plain_over("my it's \"$(x)\" {} tmp");
    expect_plain_over("-rf");
    set_tmpdir(before);
    free(before);
    assert_int_equal(chdir(cwd), 0);
    assert_int_equal(rmdir(home), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(workdir_is_private_and_removed),
        cmocka_unit_test(workdir_that_cannot_be_made_is_named),
        cmocka_unit_test(workdir_goes_when_its_maker_is_killed),
        cmocka_unit_test(workdir_goes_when_the_whole_group_is_killed),
        cmocka_unit_test(workdir_has_a_plain_name_in_any_folder),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
