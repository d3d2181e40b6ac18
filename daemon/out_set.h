/* A content written to a file, or to the files of a folder: whole or not at
 * all. A new folder gets its name at the end; in one that is there each file
 * is replaced once all are written. */
#ifndef DAEMON_OUT_SET_H
#define DAEMON_OUT_SET_H

#include "daemon/listing.h"
#include "daemon/out_file.h"

struct out_set {
    const struct listing *listing; /* NULL: one file */
    const char *path;              /* where it goes; borrowed */
    char *folder; /* where files are written: path, or beside it */
    bool is_new;  /* folder is to be renamed to path */
    struct out_file files[LISTING_FILES_MAX];
    size_t index; /* file being written */
};

/* listing and path are borrowed until commit or abort. EXISTS: the folder has
 * a file that listing has not. diag names the path in every error. */
enum status out_set_open(struct out_set *set, const char *path,
                         const struct listing *listing, struct diag *diag)
    MUST_CHECK;

/* The next bytes of the content; USAGE past its end. */
enum status out_set_write(struct out_set *set, struct bytes bytes,
                          struct diag *diag) MUST_CHECK;

/* Closed afterwards, whatever the result. */
enum status out_set_commit(struct out_set *set, struct diag *diag) MUST_CHECK;

/* Drops all; fine after commit. */
void out_set_abort(struct out_set *set);

#endif
