/* The order in which segments of an update may be written over their own base.
 *
 * A segment is decoded from the old base. When it is written, it destroys what
 * lay there; what other segments still need of that must be written later, or
 * be kept elsewhere. Made in memory, from what each segment was seen to read.
 */
#ifndef DAEMON_INPLACE_H
#define DAEMON_INPLACE_H

#include "daemon/journal.h"

/* Keeps may take this much, or half the base if that is more. */
#define INPLACE_KEEP_MIN (64u << 20)

struct inplace;

/* plan: ids, sizes and segment_log are set; borrowed until inplace_free.
 * NO_MEMORY. */
enum status inplace_new(const struct journal_plan *plan, struct inplace **out)
    MUST_CHECK;
void inplace_free(struct inplace *inplace);

/* A segment that must be written. The order of calls does not matter. */
void inplace_write(struct inplace *inplace, uint32_t segment);

/* Bytes of the base that such a segment needs; what lies outside of the base
 * is left out. NO_MEMORY. */
enum status inplace_read(struct inplace *inplace, uint32_t segment,
                         uint64_t offset, uint64_t size) MUST_CHECK;

/* Chooses order and keeps, into plan->steps and plan->keeps.
 *
 * LIMIT  the keeps would be too much; *keep_bytes says how much
 * NO_MEMORY */
enum status inplace_solve(struct inplace *inplace, struct journal_plan *plan,
                          uint64_t *keep_bytes) MUST_CHECK;

#endif
