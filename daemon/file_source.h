/* A source over an open file, read with pread: never mapped, so that a file
 * cut short by somebody else is an error and not a signal. */
#ifndef DAEMON_FILE_SOURCE_H
#define DAEMON_FILE_SOURCE_H

#include "codec/base/source.h"

struct file_source {
    int fd; /* -1 when closed */
    struct source source;
};

/* Opens a regular file. The size is that of this moment.
 * NOT_FOUND, PERMISSION, IO; USAGE when it is no regular file. diag names the
 * path. */
enum status file_source_open(struct file_source *file, const char *path,
                             struct diag *diag) MUST_CHECK;

/* The same over a descriptor, which it takes on success only. */
enum status file_source_take(struct file_source *file, int fd) MUST_CHECK;

/* Fine for a file that was never opened if fd is -1. */
void file_source_close(struct file_source *file);

#endif
