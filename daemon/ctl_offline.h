/* What the verbs that need no daemon share: diff, patch, inspect. */
#ifndef DAEMON_CTL_OFFLINE_H
#define DAEMON_CTL_OFFLINE_H

#include "codec/model/model.h"
#include "daemon/ctl.h"
#include "daemon/file_source.h"

/* Finds the tensors of a file; one that cannot be read as what it claims is
 * taken as opaque bytes, with a warning on standard error. */
enum status ctl_offline_model(const struct ctl *ctl,
                              const struct file_source *file, const char *path,
                              struct model **out) MUST_CHECK;

/* Says what went wrong, if anything: the words of diag, else those of the
 * status. Returns the exit status; files that do not fit each other are bad
 * input here. */
int ctl_offline_exit(const struct ctl *ctl, enum status status,
                     const struct diag *diag);

#endif
