/* A folder for files that others have to open by name, and that must not stay
 * behind. A child process waits beside it: when the one that made the folder
 * ends, by whatever signal, the child ends what that one had started and
 * removes the folder. */
#ifndef DAEMON_WORKDIR_H
#define DAEMON_WORKDIR_H

#include "codec/base/status.h"

#include <limits.h>
#include <stdbool.h>
#include <sys/types.h>

struct workdir {
    char path[PATH_MAX - 512]; /* absolute; "" when closed */
    char
        plain[PATH_MAX - 512]; /* the same folder: letters, digits, /._-+,@%= */
    char link[32];             /* the folder of a link to path, or "" */
    pid_t guard;
    int line; /* the guard sees it close */
};

/* Makes a folder of a new name in $TMPDIR, or /tmp, that only the user may
 * enter. To be called before any thread is started.
 *
 * plain  it is needed by a name that a shell takes as it is, in quotes or not:
 *        where $TMPDIR has other characters, plain goes through a link in a
 *        folder of its own in /tmp; false: plain may be ""
 *
 * NO_SPACE, PERMISSION, IO; diag names the folder. */
enum status workdir_open(struct workdir *dir, bool plain, struct diag *diag)
    MUST_CHECK;

/* Removes it with all in it. Zeroes are fine. */
void workdir_close(struct workdir *dir);

/* Lets the guard kill this process group, too; 0: none any more. */
void workdir_group(struct workdir *dir, pid_t group);

#endif
