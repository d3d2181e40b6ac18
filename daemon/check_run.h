/* Runs a command of the user's that judges a candidate: his own evaluation, as
 * he would run it, with his rights.
 *
 * The command goes to /bin/sh -c with each {} replaced by the path of the
 * candidate, quoted if the path needs it. Its standard input is empty, its
 * standard error is ours; it is the leader of a process group of its own, of
 * which nothing is left when it has ended. */
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
    const char *path;    /* of the candidate */
    bool has_min;
    double min; /* the last number printed must be as large */
    unsigned timeout_s;
    /* Told the process group once it runs, and 0 before it is gone; may be
     * NULL. */
    void (*group)(void *ctx, pid_t group);
    void *ctx;
};

struct check_result {
    enum check_verdict verdict;
    int exit;       /* of the command */
    bool has_value; /* a number was printed */
    double value;   /* the last one */
    double took_s;
};

/* True when the command says where the candidate goes. */
bool check_command_fits(const char *command);

/* The command with the path put in; free() it. NULL: out of memory. */
char *check_command(const char *command, const char *path);

/* The last number of a text that stands by itself: no letter, digit or
 * underscore touches it, so that "layer3" is none; nan and inf are. */
bool check_last_number(const char *text, size_t size, double *out);

/* Runs it to its end. Exit status 0, and with has_min a number at least as
 * large, is a pass; any other exit status is a failure.
 *
 * TIMEOUT  it did not end in time: its group was killed
 * USAGE    it could not be run (126, 127), was ended by a signal, or printed no
 *          number though has_min asks for one: nothing is known of the
 * candidate NO_MEMORY, or what the system answers. diag says which. */
enum status check_run(const struct check_options *options,
                      struct check_result *out, struct diag *diag) MUST_CHECK;

#endif
