/* A file that is written whole or not at all: nameless, or under a hidden
 * name, until it is complete and durable, then renamed into place. */
#ifndef DAEMON_OUT_FILE_H
#define DAEMON_OUT_FILE_H

#include "codec/base/bytes.h"
#include "codec/base/status.h"

#include <stdbool.h>
#include <stdint.h>

struct out_file {
    int fd;
    uint64_t size;   /* bytes written */
    bool nameless;   /* temp_path does not exist yet */
    bool direct;     /* the path is no regular file: written as it comes */
    char *path;      /* where it goes, or a scratch file is made for */
    char *temp_path; /* beside it */
};

/* diag names the path in every error of this module. */
enum status out_file_open(struct out_file *file, const char *path,
                          struct diag *diag) MUST_CHECK;

/* A file without a name in the folder of path: room for what is copied into
 * another later. */
enum status out_file_scratch(struct out_file *file, const char *path,
                             struct diag *diag) MUST_CHECK;

enum status out_file_write(struct out_file *file, struct bytes bytes,
                           struct diag *diag) MUST_CHECK;

/* Appends what a scratch file holds. */
enum status out_file_append(struct out_file *file,
                            const struct out_file *scratch, struct diag *diag)
    MUST_CHECK;

/* Makes it durable and gives it its name. Closed afterwards, whatever the
 * result. */
enum status out_file_commit(struct out_file *file, struct diag *diag)
    MUST_CHECK;

/* Drops it; fine after commit. */
void out_file_abort(struct out_file *file);

#endif
