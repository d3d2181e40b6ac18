/* The content of a version as the daemon holds it, read where it lies. */
#ifndef DAEMON_CTL_VERSION_H
#define DAEMON_CTL_VERSION_H

#include "codec/base/hash.h"
#include "codec/model/model.h"
#include "daemon/ctl.h"
#include "daemon/fileset.h"
#include "daemon/listing.h"

/* Zeroes are closed. Must stay where it is until closed. */
struct ctl_version {
    char id[HASH_HEX_SIZE];
    char *paths[LISTING_FILES_MAX]; /* of its files, owned */
    uint64_t sizes[LISTING_FILES_MAX];
    size_t count;
    struct fileset *files;
    struct source source;
    struct model *model;
};

/* Asks the daemon, which fetches it first if it has to, for ctl->fetch_s at
 * most. The connection stays open. Exit status, with the error told. */
int ctl_version_open(struct ctl *ctl, const char *name,
                     struct ctl_version *out);
void ctl_version_close(struct ctl_version *version);

#endif
