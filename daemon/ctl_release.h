/* What release and publish share. */
#ifndef DAEMON_CTL_RELEASE_H
#define DAEMON_CTL_RELEASE_H

#include "daemon/ctl.h"

/* Lets channel name a version (any way to name one): prepares, checks what is
 * to be signed, signs with ring, submits. *reply is that of PrepareRelease,
 * also when it is unchanged. 0 or an exit status after an error was told. */
int ctl_release_version(struct ctl *ctl, const char *version,
                        const char *channel, const struct keyring *ring,
                        json_t **reply);

#endif
