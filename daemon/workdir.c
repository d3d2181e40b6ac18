/* The guard is a fork that holds one end of a pair of sockets whose other end
 * only the process it watches has. */
#include "daemon/workdir.h"

#include "daemon/fs.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

/* What ends the whole group of the watched one must not end its guard. */
static void guard_ignore(void)
{
    static const int signals[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGPIPE};
    for (size_t i = 0; i < sizeof(signals) / sizeof(*signals); i++)
        signal(signals[i], SIG_IGN);
    setsid();
}

/* Whoever reads what the watched one prints must not wait for its guard. */
static void guard_detach(void)
{
    int null = open("/dev/null", O_RDWR);
    for (int fd = 0; null >= 0 && fd <= 2; fd++)
        dup2(null, fd);
    if (null > 2)
        close(null);
}

static void workdir_remove(const struct workdir *dir)
{
    enum status ignored = fs_remove(AT_FDCWD, dir->path);
    if (dir->link[0])
        ignored = fs_remove(AT_FDCWD, dir->link);
    (void)ignored;
}

static void guard_run(const struct workdir *dir, int in)
{
    pid_t group = 0, next;
    guard_ignore();
    guard_detach();
    ssize_t put = send(in, "", 1, MSG_NOSIGNAL); /* from now on it guards */
    while (put == 1) {
        ssize_t got = read(in, &next, sizeof(next));
        if (got == (ssize_t)sizeof(next))
            group = next;
        else if (got >= 0 || errno != EINTR)
            break;
    }
    if (group > 0)
        kill(-group, SIGKILL);
    workdir_remove(dir);
    _exit(0);
}

static enum status workdir_make(struct workdir *dir, struct diag *diag)
{
    char parent[PATH_MAX];
    const char *given = getenv("TMPDIR");
    if (!given || !*given)
        given = "/tmp";
    if (!realpath(given, parent))
        return diag_fail(diag, status_from_errno(errno), "%.180s: %s", given,
                         strerror(errno));
    int n =
        snprintf(dir->path, sizeof(dir->path), "%s/deltamesh-XXXXXX", parent);
    if (n < 0 || (size_t)n >= sizeof(dir->path)) {
        dir->path[0] = '\0';
        return diag_fail(diag, STATUS_USAGE, "TMPDIR is too long");
    }
    if (mkdtemp(dir->path))
        return STATUS_OK;
    int err = errno;
    dir->path[0] = '\0';
    return diag_fail(diag, status_from_errno(err), "%.180s: %s", parent,
                     strerror(err));
}

static bool path_is_plain(const char *path)
{
    for (; *path; path++)
        if (!isalnum((unsigned char)*path) && !strchr("/._-+,@%=", *path))
            return false;
    return true;
}

/* Sets plain. */
static enum status workdir_name(struct workdir *dir, struct diag *diag)
{
    if (path_is_plain(dir->path)) {
        memcpy(dir->plain, dir->path, sizeof(dir->plain));
        return STATUS_OK;
    }
    snprintf(dir->link, sizeof(dir->link), "/tmp/deltamesh-XXXXXX");
    if (!mkdtemp(dir->link)) {
        int err = errno;
        dir->link[0] = '\0';
        return diag_fail(diag, status_from_errno(err),
                         "/tmp: %s; a link is made there, as TMPDIR has "
                         "characters that a shell sees",
                         strerror(err));
    }
    snprintf(dir->plain, sizeof(dir->plain), "%s/folder", dir->link);
    if (symlink(dir->path, dir->plain))
        return diag_fail(diag, status_from_errno(errno), "%s: %s", dir->plain,
                         strerror(errno));
    return STATUS_OK;
}

/* It ignores signals and has left our group: before, what ends us would end it
 * as well. */
static bool guard_ready(int line)
{
    char byte;
    ssize_t got;
    do
        got = read(line, &byte, 1);
    while (got < 0 && errno == EINTR);
    return got == 1;
}

static enum status workdir_guard(struct workdir *dir, struct diag *diag)
{
    int fds[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds))
        return diag_fail(diag, STATUS_IO, "socketpair: %s", strerror(errno));
    dir->line = fds[1];
    dir->guard = fork();
    if (!dir->guard) {
        close(fds[1]);
        guard_run(dir, fds[0]);
    }
    int err = errno;
    close(fds[0]);
    if (dir->guard < 0)
        return diag_fail(diag, STATUS_IO, "fork: %s", strerror(err));
    return guard_ready(dir->line)
               ? STATUS_OK
               : diag_fail(diag, STATUS_IO, "the guard of %.120s ended",
                           dir->path);
}

enum status workdir_open(struct workdir *dir, bool plain, struct diag *diag)
{
    memset(dir, 0, sizeof(*dir));
    dir->line = -1;
    enum status status = workdir_make(dir, diag);
    if (!status && plain)
        status = workdir_name(dir, diag);
    if (!status)
        status = workdir_guard(dir, diag);
    if (status)
        workdir_close(dir);
    return status;
}

void workdir_group(struct workdir *dir, pid_t group)
{
    ssize_t put;
    do
        put = send(dir->line, &group, sizeof(group), MSG_NOSIGNAL);
    while (put < 0 && errno == EINTR);
}

void workdir_close(struct workdir *dir)
{
    if (!dir->path[0])
        return;
    workdir_remove(dir); /* the guard tries again */
    if (dir->line >= 0)
        close(dir->line);
    while (dir->guard > 0 && waitpid(dir->guard, NULL, 0) < 0 && errno == EINTR)
        ;
    memset(dir, 0, sizeof(*dir));
    dir->line = -1;
}
