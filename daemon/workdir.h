/* A folder for files that others have to open by name, and that must not stay
 * behind. A child process waits beside it: when the one that made the folder
 * ends, by whatever signal, the child ends what that one had started and
 * removes the folder. */
#ifndef DAEMON_WORKDIR_H
#define DAEMON_WORKDIR_H

#include "codec/base/status.h"

#include <limits.h>
#include <sys/types.h>

struct workdir {
    char path[PATH_MAX - 512]; /* "" when closed */
    pid_t guard;
    int line; /* the guard sees it close */
};

/* Makes a folder of a new name in $TMPDIR, or /tmp, that only the user may
 * enter. To be called before any thread is started. NO_SPACE, PERMISSION, IO;
 * diag names the folder. */
enum status workdir_open(struct workdir *dir, struct diag *diag) MUST_CHECK;

/* Removes it with all in it. Zeroes are fine. */
void workdir_close(struct workdir *dir);

/* Lets the guard kill this process group, too; 0: none any more. */
void workdir_group(struct workdir *dir, pid_t group);

#endif
