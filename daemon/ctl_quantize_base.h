/* What receivers hold of a model: the content a quantised version is made
 * against, as the daemon has it. */
#ifndef DAEMON_CTL_QUANTIZE_BASE_H
#define DAEMON_CTL_QUANTIZE_BASE_H

#include "codec/base/hash.h"
#include "codec/model/model.h"
#include "daemon/ctl.h"
#include "daemon/fileset.h"

/* Zeroes are closed. Must stay where it is until closed. */
struct quantize_base {
    bool held; /* false: there is none, all else is zero */
    char version[HASH_HEX_SIZE];
    struct fileset *files;
    struct source source;
    struct model *parsed;
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
