/* Runs a command of the user's that judges a candidate: his own evaluation, as
 * he would run it, with his rights.
 *
 * The command goes to /bin/sh -c with each {} replaced by the path of the
 * candidate. Its standard input is empty, its standard error is ours; it is the
 * leader of a process group of its own, of which nothing is left when it has
 * ended. A process that leaves the group is none of it any more. */
#ifndef DAEMON_CHECK_RUN_H
#define DAEMON_CHECK_RUN_H

#include "codec/base/status.h"

#include <stdbool.h>
#include <sys/types.h>

enum check_verdict {
    CHECK_PASSED,
    CHECK_FAILED
};

struct check_options {
    const char *command; /* has a {} */
    const char *path;    /* of the candidate; nothing in it that a shell sees */
    bool has_min;
    double min;         /* the number printed must be as large */
    unsigned timeout_s; /* at least 1 */
    /* Told the process group before it does anything, and 0 before it is gone;
     * may be NULL. */
    void (*group)(void *ctx, pid_t group);
    void *ctx;
};

struct check_result {
    enum check_verdict verdict;
    int exit;       /* of the command */
    bool has_value; /* a number was printed */
    double value;   /* as check_number has it */
    bool several;   /* its line has more */
    double took_s;
};

/* True when the command says where the candidate goes. */
bool check_command_fits(const char *command);

/* The command with the path put in; free() it. NULL: out of memory. */
char *check_command(const char *command, const char *path);

/* The first number of the last line that has one. A number stands by itself: no
 * letter, digit or underscore touches it, so that "layer3" is none; nan is one,
 * what is no finite number is none. several: the line has more of them. */
bool check_number(const char *text, size_t size, double *out, bool *several);

/* Runs it to its end; from then on SIGCHLD is not ignored. Exit status 0, and
 * with has_min a number at least as large, is a pass; any other exit status is
 * a failure.
 *
 * TIMEOUT  it did not end in time: its group was killed
 * USAGE    it could not be run (126, 127), was ended by a signal, or printed no
 *          number though has_min asks for one: nothing is known of the
 *          candidate
 * NO_MEMORY, or what the system answers. diag says which. */
enum status check_run(const struct check_options *options,
                      struct check_result *out, struct diag *diag) MUST_CHECK;

#endif
