/* What the verbs that need no daemon share: diff, patch, inspect, bench. */
#ifndef DAEMON_CTL_OFFLINE_H
#define DAEMON_CTL_OFFLINE_H

#include "daemon/ctl.h"

/* Says what went wrong, if anything: the words of diag, else those of the
 * status. Returns the exit status; files that do not fit each other are bad
 * input here. */
int ctl_offline_exit(const struct ctl *ctl, enum status status,
                     const struct diag *diag);

/* A whole number from min to max, for the value of an option. */
bool ctl_offline_count(const char *text, unsigned min, unsigned max,
                       unsigned *out);

/* Fills out of CTL_BAR_SIZE bytes with a bar: share is 0 to 1. Returns out. */
#define CTL_BAR_SIZE 17u
const char *ctl_offline_bar(double share, char *out);

#endif
