/* Patching a file in place. */
#ifndef DAEMON_CTL_INPLACE_H
#define DAEMON_CTL_INPLACE_H

#include "daemon/ctl_decode.h"

/* Turns the file path, the base of the update, into its target. Everything is
 * decoded and checked once before the first byte is changed. Killed at any
 * moment, or out of space, it goes on where it was when called again; until
 * then journal_pending tells.
 *
 * BAD_BASE   not the base; MISMATCH, CORRUPT  the update is damaged: nothing
 *            was changed
 * LIMIT      too much of the base is needed after it is overwritten
 * BUSY       somebody else is at it
 * NO_SPACE, PERMISSION, IO, NO_MEMORY
 * diag says what, and whether to call again. */
enum status ctl_inplace(const struct ctl_update *update, const char *path,
                        const struct parallel *parallel,
                        struct progress *progress, struct diag *diag)
    MUST_CHECK;

#endif
