/* What receivers hold of a model: the content a quantised version is made
 * against, as the daemon has it. */
#ifndef DAEMON_CTL_QUANTIZE_BASE_H
#define DAEMON_CTL_QUANTIZE_BASE_H

#include "daemon/ctl_version.h"

/* Zeroes are closed. Must stay where it is until closed. */
struct quantize_base {
    bool held; /* false: there is none, version is zero */
    struct ctl_version version;
};

/* Asks for what channel main names of the model, else for parent (NULL: none is
 * given), else for the newest version; a version that is not here is fetched.
 * Without any, held is false and all is well. The descriptors are the daemon's
 * own files or a nameless one: nothing is copied. Exit status, with the error
 * told. */
int quantize_base_open(struct ctl *ctl, const char *model, const char *parent,
                       struct quantize_base *out);
void quantize_base_close(struct quantize_base *base);

#endif
