/* publish --nnc: the files of a version made of another one and of an NNC
 * update that other software made. All of it happens in the command. */
#ifndef DAEMON_CTL_PUBLISH_NNC_H
#define DAEMON_CTL_PUBLISH_NNC_H

#include "daemon/ctl.h"

struct publish_nnc {
    const char *update; /* path of the stream; NULL: not asked for */
    const char *base;   /* version that it is an update to */
    const char *values; /* "as-sent", "new", "difference"; NULL: the first */
};

/* Makes the files, which have no name on disk: as those of the base, with the
 * update's values in them.
 *
 * fds, names  out: of max entries; to close and free by the caller
 * count       out
 *
 * Exit status, with the error told; nothing is to be released then. */
int ctl_publish_nnc(struct ctl *ctl, const struct publish_nnc *request,
                    int *fds, char **names, size_t max, size_t *count);

/* export --nnc: the whole verb. */
int ctl_export_nnc(int argc, char **argv);

#endif
