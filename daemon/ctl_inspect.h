/* The three things inspect shows: a model, two models side by side, an update.
 */
#ifndef DAEMON_CTL_INSPECT_H
#define DAEMON_CTL_INSPECT_H

#include "daemon/ctl_content.h"
#include "daemon/ctl_decode.h"

#define CTL_SHAPE_SIZE 192u

/* "[64, 3, 3, 3]" into out of CTL_SHAPE_SIZE bytes; long shapes end in dots.
 * Returns out. */
const char *ctl_inspect_shape(const struct tensor *tensor, char *out);

/* Opens a model and finds its tensors; one that is not valid as what it claims
 * is an error. */
enum status ctl_inspect_open(struct ctl_content *content, const char *path,
                             struct diag *diag) MUST_CHECK;

/* "safetensors", "opaque", or of a folder the format of its first file with
 * tensors. */
const char *ctl_inspect_format(const struct ctl_content *content);

/* What changed between two models. */
enum status ctl_inspect_pair(const struct ctl *ctl, const char *base_path,
                             const char *target_path, struct diag *diag)
    MUST_CHECK;

/* What an update is made of; its ranges are named by the tensors of its base
 * or its target, when one is given (else both are NULL). */
enum status ctl_inspect_update(const struct ctl *ctl, const char *path,
                               const char *base_path, const char *target_path,
                               struct diag *diag) MUST_CHECK;

#endif
