/* publish --quantize: from files to a quantised version of them, small to send
 * to those that run what the channel names, and with --check good enough by the
 * user's own judgement.
 *
 * All of it happens in the command: the daemon gets the quantised content and
 * the update that leads to it. */
#ifndef DAEMON_CTL_QUANTIZE_H
#define DAEMON_CTL_QUANTIZE_H

#include "daemon/ctl.h"

#define QUANTIZE_CHECK_TIMEOUT_S 600

#define QUANTIZE_META_MAX 4u /* entries that it adds */

enum quantize_goal {
    QUANTIZE_GOAL_NONE,
    QUANTIZE_GOAL_AUTO,
    QUANTIZE_GOAL_QP,
    QUANTIZE_GOAL_MAX_ERROR,
    QUANTIZE_GOAL_RATIO
};

/* What was asked for on the command line. */
struct quantize_request {
    enum quantize_goal goal;
    double value;      /* of the goal */
    const char *text;  /* as it was written */
    const char *check; /* NULL: no judge */
    bool has_min;
    double check_min;
    long check_timeout_s;
};

/* "auto", "qp=N", "max-error=E", "target-ratio=R" with R such as 0.01 or 1%.
 * text is borrowed. False when it is none of them, or out of its range. */
bool quantize_request_parse(struct quantize_request *request, const char *text);

/* The files to publish, which become those of the quantised version. */
struct quantize_files {
    int *fds; /* replaced by others when the version is quantised */
    char *const *names;
    size_t count;
    int update_fd;  /* out: an update file to them from what runs, or -1 */
    json_t *meta;   /* what the manifest shall say is added */
    json_t *report; /* out: of every candidate; NULL when there is none */
};

/* Makes the quantised version, and prints what was tried unless --json.
 *
 * model   whose channel main names what receivers hold
 * parent  a version to start from when it names none; may be NULL
 *
 * The exit status; then the error was told and fds are as they were. A model
 * with nothing to quantise is left as it is, and that is said. */
int ctl_quantize(struct ctl *ctl, const char *model, const char *parent,
                 const struct quantize_request *request,
                 struct quantize_files *files);

#endif
