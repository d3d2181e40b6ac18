/* Making an update file: what diff and bench do. */
#ifndef DAEMON_CTL_ENCODE_H
#define DAEMON_CTL_ENCODE_H

#include "codec/update/update_enc.h"
#include "daemon/ctl_content.h"
#include "daemon/progress.h"

/* Most that diff lets the plan choose. */
#define CTL_ENCODE_RANK UPDATE_RANK_MAX

struct encode_options {
    enum coding_speed speed;
    unsigned max_rank;
    const struct parallel *parallel;
    const struct update_hints *hints; /* NULL: nothing is known */
};

struct encoded {
    struct hash id;
    bool has_base;
    struct hash base; /* trees */
    struct hash target;
    uint64_t bytes; /* of the file */
};

/* Writes the update from base (NULL: from nothing) to target, whose tensors
 * have been looked for, to the file path: whole or not at all. That of a
 * folder begins with its listing. progress may be NULL.
 *
 * diag names what failed; status as update_enc_* and out_file_*. */
enum status ctl_encode(const struct ctl_content *base,
                       const struct ctl_content *target, const char *path,
                       const struct encode_options *options,
                       struct progress *progress, struct encoded *out,
                       struct diag *diag) MUST_CHECK;

/* "auto", "fast", "small". */
bool ctl_encode_speed(const char *name, enum coding_speed *out);

#endif
