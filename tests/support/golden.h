/* The golden updates of tests/vectors/updates, loaded and decoded. */
#ifndef TESTS_SUPPORT_GOLDEN_H
#define TESTS_SUPPORT_GOLDEN_H

#include "codec/base/bytes.h"
#include "codec/update/update_file.h"

#define GOLDEN_MAX 200u

struct golden {
    char name[64];
    char base_name[64]; /* the full update that makes its base; "": none */
    struct hash target_tree;
    uint64_t target_size;
    uint8_t *update; /* owned, as all */
    size_t update_size;
    uint8_t *target; /* NULL until it was decoded */
};

struct golden_list {
    struct golden items[GOLDEN_MAX];
    unsigned count;
};

/* Reads all of them, below $DM_SRCDIR or the working folder; false and a line
 * on stderr when one cannot be read. */
bool golden_load(struct golden_list *list);
void golden_free(struct golden_list *list);

/* The update whose target is the base of this one; NULL: it has none. */
const struct golden *golden_base(const struct golden_list *list,
                                 const struct golden *golden);

/* Decodes an update file over a base, as a receiver does; the target's tree is
 * compared with the header's.
 *
 * base  NULL: none
 * out   the target, to be freed; NULL on error or when it is empty
 * MISMATCH: another tree; else what codec/update says */
enum status golden_decode(struct bytes update, const struct bytes *base,
                          uint8_t **out, uint64_t *size, struct diag *diag)
    MUST_CHECK;

/* Decodes every segment of an update over a base into out, which has room for
 * its target. */
enum status golden_segments(const struct update_header *header,
                            struct bytes coded, const struct bytes *base,
                            uint8_t *out, struct diag *diag) MUST_CHECK;

#endif
