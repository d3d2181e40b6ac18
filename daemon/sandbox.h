/* What the daemon gives up once it is open: new privileges, core dumps, and
 * (where the kernel has Landlock) writing anywhere but in its own folders. */
#ifndef DAEMON_SANDBOX_H
#define DAEMON_SANDBOX_H

#include "codec/base/status.h"

#include <stddef.h>

/* Writing stays possible under these folders only. Missing kernel support is
 * fine and returns UNSUPPORTED after doing the rest. */
enum status sandbox_enter(const char *const *folders, size_t count) MUST_CHECK;

#endif
