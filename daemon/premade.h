/* An update that the publisher's command made itself, because it knows more of
 * how the version came about than anyone can find in its bytes. It comes as an
 * update file (codec/FORMAT.md) and is believed in nothing: it is copied,
 * decoded over the base held here, and every block compared with the version's
 * leaves. */
#ifndef DAEMON_PREMADE_H
#define DAEMON_PREMADE_H

#include "daemon/make.h"

struct premade_params {
    const struct source *file; /* the update file */
    const struct hash *bases;  /* trees it may start from */
    size_t base_count;
    const struct hash *target;        /* the tree it must lead to */
    const struct hash *target_leaves; /* of that tree */
    uint64_t target_size;
    const struct make_input *input; /* params are not looked at */
};

/* Checks the update and keeps it in the store.
 *
 * CORRUPT  it is malformed, starts from another content, leads to another, or
 *          does not decode to it; diag says which
 * LIMIT    it is sound, but over input->bytes_max: nothing is kept
 * CLOSED, NO_SPACE, IO, NO_MEMORY, and what opening the base answers */
enum status premade_keep(const struct places *places,
                         const struct premade_params *params, struct job *job,
                         struct made_update *out, struct diag *diag) MUST_CHECK;

#endif
