/* A child in a group of its own, read until it ends or its time is over. */
#include "daemon/check_run.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define CHECK_TAIL    8192u /* of its output that is looked at */
#define CHECK_POLL_MS 20
#define CHECK_GRACE_S 2.0 /* from SIGTERM to SIGKILL */

/* Reads at a time, so that what never stops writing has a limit, too. */
#define CHECK_READS 64u

/* ---- The command ---- */

bool check_command_fits(const char *command)
{
    return strstr(command, "{}") != NULL;
}

char *check_command(const char *command, const char *path)
{
    size_t size = strlen(command) + 1, path_size = strlen(path);
    for (const char *p = command; (p = strstr(p, "{}")); p += 2)
        size += path_size;
    char *out = malloc(size), *at = out;
    for (const char *p = command; out; p += 2) {
        const char *next = strstr(p, "{}");
        size_t plain = next ? (size_t)(next - p) : strlen(p);
        memcpy(at, p, plain);
        at += plain;
        *at = '\0';
        if (!next)
            break;
        memcpy(at, path, path_size);
        at += path_size;
        p = next;
    }
    return out;
}

/* ---- The number ---- */

static bool in_word(char c)
{
    return isalnum((unsigned char)c) || c == '_';
}

/* A number at text[at], which begins no word's middle; its length, or 0. */
static size_t number_at(const char *text, size_t size, size_t at, double *out)
{
    char buf[64], *end;
    size_t n = 0;
    while (n < sizeof(buf) - 1 && at + n < size &&
           (in_word(text[at + n]) || strchr("+-.", text[at + n]))) {
        buf[n] = text[at + n];
        n++;
    }
    buf[n] = '\0';
    double value = strtod(buf, &end);
    size_t used = (size_t)(end - buf);
    if (!used || isinf(value) || strpbrk(buf, "xX") ||
        (used < n && in_word(*end)))
        return 0;
    *out = value;
    return used;
}

/* The first number of a line, and how many there are. */
static size_t numbers_of(const char *text, size_t size, double *out)
{
    size_t count = 0;
    for (size_t at = 0; at < size;) {
        double value = 0;
        bool inside =
            at && (in_word(text[at - 1]) ||
                   (text[at - 1] == '.' && at > 1 && in_word(text[at - 2])));
        bool starts =
            text[at] && (in_word(text[at]) || strchr("+-.", text[at]));
        size_t used = starts && !inside ? number_at(text, size, at, &value) : 0;
        if (used && !count++)
            *out = value;
        at += used ? used : 1;
    }
    return count;
}

/* A progress bar writes line over line. */
static bool ends_line(char c)
{
    return c == '\n' || c == '\r';
}

bool check_number(const char *text, size_t size, double *out, bool *several)
{
    *several = false;
    for (size_t end = size, start; end; end = start - 1) {
        start = end;
        while (start && !ends_line(text[start - 1]))
            start--;
        size_t count = numbers_of(text + start, end - start, out);
        *several = count > 1;
        if (count || !start)
            return count != 0;
    }
    return false;
}

/* ---- The child ---- */

struct check {
    const struct check_options *options;
    pid_t pid;
    int out; /* its standard output */
    char tail[2 * CHECK_TAIL];
    size_t tail_size;
    double start_s;
    bool killed; /* SIGTERM was sent */
};

static double now_s(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

/* Between fork and exec: nothing but system calls. It begins when it is told
 * to: if the parent dies before, there is nothing to end. */
static void child(const char *command, int out, const int *go)
{
    sigset_t none;
    char byte;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    signal(SIGPIPE, SIG_DFL);
    setpgid(0, 0);
    close(go[1]);
    if (read(go[0], &byte, 1) != 1)
        _exit(126);
    int in = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (in < 0 || dup2(in, STDIN_FILENO) < 0 || dup2(out, STDOUT_FILENO) < 0)
        _exit(126);
    /* They may have been just these. */
    fcntl(STDIN_FILENO, F_SETFD, 0);
    fcntl(STDOUT_FILENO, F_SETFD, 0);
    execl("/bin/sh", "sh", "-c", command, (char *)NULL);
    _exit(127);
}

/* Whoever watches over us knows the group before it does anything. */
static void check_go(const struct check *check, int go)
{
    ssize_t put;
    setpgid(check->pid, check->pid); /* whoever comes first */
    if (check->options->group)
        check->options->group(check->options->ctx, check->pid);
    do
        put = write(go, "", 1);
    while (put < 0 && errno == EINTR);
}

static enum status check_start(struct check *check, const char *command)
{
    int fds[2], go[2];
    if (pipe2(fds, O_CLOEXEC))
        return status_from_errno(errno);
    check->out = fds[0];
    int err = pipe2(go, O_CLOEXEC) ? errno : 0;
    if (!err) {
        signal(SIGCHLD, SIG_DFL); /* ignored, it would leave no exit status */
        check->start_s = now_s();
        check->pid = fork();
        err = errno;
        if (!check->pid)
            child(command, fds[1], go);
        if (check->pid > 0)
            check_go(check, go[1]);
        close(go[0]); /* open until now: no SIGPIPE when it is gone */
        close(go[1]);
    }
    close(fds[1]);
    if (check->pid <= 0)
        return status_from_errno(err);
    fcntl(check->out, F_SETFL, O_NONBLOCK);
    return STATUS_OK;
}

/* Some of what is there to read; the last CHECK_TAIL bytes or more are kept.
 * False at the end. */
static bool check_read(struct check *check)
{
    for (unsigned i = 0; i < CHECK_READS; i++) {
        if (check->tail_size == sizeof(check->tail)) {
            memcpy(check->tail, check->tail + CHECK_TAIL, CHECK_TAIL);
            check->tail_size = CHECK_TAIL;
        }
        ssize_t got = read(check->out, check->tail + check->tail_size,
                           sizeof(check->tail) - check->tail_size);
        if (got <= 0)
            return got < 0 && (errno == EAGAIN || errno == EINTR);
        check->tail_size += (size_t)got;
    }
    return true;
}

static void check_limit(struct check *check)
{
    double over = now_s() - check->start_s - check->options->timeout_s;
    if (over > 0 && !check->killed) {
        kill(-check->pid, SIGTERM);
        check->killed = true;
    } else if (over > CHECK_GRACE_S) {
        kill(-check->pid, SIGKILL);
    }
}

/* Until the leader of the group has ended; it stays a zombie, so that its
 * number cannot be another's yet. */
static void check_wait(struct check *check)
{
    bool open = true;
    for (;;) {
        siginfo_t info = {.si_pid = 0};
        struct pollfd fd = {.fd = open ? check->out : -1, .events = POLLIN};
        int rc =
            waitid(P_PID, (id_t)check->pid, &info, WEXITED | WNOHANG | WNOWAIT);
        if (rc ? errno != EINTR : info.si_pid != 0)
            break;
        poll(&fd, 1, CHECK_POLL_MS);
        if (open)
            open = check_read(check);
        check_limit(check);
    }
    if (open)
        check_read(check);
}

/* What wait says; -1 where nobody knows. */
static int check_end(struct check *check)
{
    int wait_status;
    pid_t pid;
    kill(-check->pid, SIGKILL); /* what it left behind */
    if (check->options->group)
        check->options->group(check->options->ctx, 0);
    do
        pid = waitpid(check->pid, &wait_status, 0);
    while (pid < 0 && errno == EINTR);
    return pid < 0 ? -1 : wait_status;
}

static enum status judge_exit(const struct check *check, int wait_status,
                              struct diag *diag)
{
    if (wait_status < 0)
        return diag_fail(diag, STATUS_IO, "the end of the check was missed");
    int code = WIFEXITED(wait_status) ? WEXITSTATUS(wait_status) : 0;
    int signal = WIFSIGNALED(wait_status)    ? WTERMSIG(wait_status)
                 : code > 128 && code <= 192 ? code - 128
                                             : 0;
    if (check->killed)
        return diag_fail(diag, STATUS_TIMEOUT,
                         "the check did not end within %u s and was stopped",
                         check->options->timeout_s);
    if (signal)
        return diag_fail(diag, STATUS_USAGE, "the check was ended by signal %d",
                         signal);
    if (code == 126 || code == 127)
        return diag_fail(diag, STATUS_USAGE,
                         "the check could not be run (exit status %d)", code);
    return STATUS_OK;
}

static enum status judge(const struct check *check, int wait_status,
                         struct check_result *out, struct diag *diag)
{
    enum status status = judge_exit(check, wait_status, diag);
    if (status)
        return status;
    out->exit = WEXITSTATUS(wait_status);
    out->has_value =
        check_number(check->tail, check->tail_size, &out->value, &out->several);
    bool pass = !out->exit;
    if (pass && check->options->has_min && !out->has_value)
        return diag_fail(diag, STATUS_USAGE,
                         "the check printed no number to compare with %g",
                         check->options->min);
    if (pass && check->options->has_min)
        pass = out->value >= check->options->min;
    out->verdict = pass ? CHECK_PASSED : CHECK_FAILED;
    return STATUS_OK;
}

enum status check_run(const struct check_options *options,
                      struct check_result *out, struct diag *diag)
{
    struct check *check = calloc(1, sizeof(*check));
    char *command = check_command(options->command, options->path);
    memset(out, 0, sizeof(*out));
    enum status status = check && command ? STATUS_OK : STATUS_NO_MEMORY;
    if (!status) {
        check->options = options;
        check->out = -1;
        status = check_start(check, command);
        if (status)
            diag_fail(diag, status, "the check cannot be started: %s",
                      status_text(status));
        if (!status) {
            check_wait(check);
            out->took_s = now_s() - check->start_s;
            status = judge(check, check_end(check), out, diag);
        }
        if (check->out >= 0)
            close(check->out);
    }
    free(command);
    free(check);
    return status;
}
