/* What makes a patch in place safe to kill: a file beside the one that is
 * changed. Its head says what is done in which order; behind it lie the
 * stretches of the old content that are needed after they are overwritten, and
 * two slots in turn hold the new bytes of a step before they go to their
 * place. The file has its full size from the start, so that a full disk is met
 * before anything is changed.
 *
 * Layout (numbers little-endian; varints as in codec/FORMAT.md):
 *
 *     head   magic "DMJOURNL", bytes of the head (4), then the plan, then the
 *            hash of all of it (32)
 *     keeps  from the next multiple of 4,096 on, in the order of the plan
 *     slots  two, each: step + 1 (4), bytes (4), hash of the update's id, step,
 *            keeps of the step and bytes (32), zeroes to 64, the bytes
 *
 * Only the machine that wrote a journal reads it, but it is read as any bytes
 * from outside are. */
#ifndef DAEMON_JOURNAL_H
#define DAEMON_JOURNAL_H

#include "codec/base/hash.h"
#include "codec/base/reader.h"
#include "codec/base/writer.h"

#define JOURNAL_SUFFIX     ".dmjournal"
#define JOURNAL_STEP_BYTES (4u << 20) /* a step writes at most */
#define JOURNAL_STEPS_MAX  65536u
#define JOURNAL_KEEPS_MAX  (1u << 20)
#define JOURNAL_HEAD_MAX   (32u << 20)

/* Segments first .. first + count - 1 are decoded, then written. */
struct journal_step {
    uint32_t first;
    uint32_t count;
    uint32_t keep_end; /* keeps before it belong to this step or earlier ones */
};

/* Bytes of the base that a step overwrites and later ones need. */
struct journal_keep {
    uint64_t offset;
    uint64_t size;
    uint64_t at; /* among all keeps */
};

struct journal_plan {
    struct hash update; /* id */
    struct hash base;   /* trees */
    struct hash target;
    uint64_t base_size;
    uint64_t target_size;
    uint8_t segment_log; /* a segment has 1 << segment_log bytes, the last one
                            fewer */
    struct journal_step *steps; /* owned: journal_plan_free */
    uint32_t step_count;
    struct journal_keep *keeps; /* owned; of each step in order of offset */
    uint32_t keep_count;
    uint64_t keep_bytes; /* of all keeps */
    uint32_t step_bytes; /* of the largest step */
};

void journal_plan_free(struct journal_plan *plan);

/* Where a step writes: offset, and bytes returned. */
uint64_t journal_step_range(const struct journal_plan *plan, uint32_t step,
                            uint64_t *offset);

/* The plan as bytes and back. CORRUPT, TRUNCATED, LIMIT, NO_MEMORY; a plan
 * that was read is sound: steps lie within the target and write no byte twice,
 * keeps lie within the base and the range of their step. */
void journal_plan_write(const struct journal_plan *plan, struct writer *wr);
enum status journal_plan_parse(struct bytes bytes, struct journal_plan *out)
    MUST_CHECK;

/* True when there is a journal for the file. */
bool journal_pending(const char *path);

struct journal {
    int fd; /* -1: none */
    char *path;
    struct journal_plan plan;
    struct journal_keep *sorted; /* the keeps by offset in the base */
    uint64_t keeps_at;
};

#define JOURNAL_CLOSED ((struct journal){.fd = -1})

/* Makes the journal of the file path, durable and at its full size, or none at
 * all; takes the plan on success. diag names it in every error. */
enum status journal_create_take(struct journal *journal, const char *path,
                                struct journal_plan *plan, struct diag *diag)
    MUST_CHECK;

/* Opens one that is there. CORRUPT: it is no whole journal. */
enum status journal_open(struct journal *journal, const char *path,
                         struct diag *diag) MUST_CHECK;
void journal_close(struct journal *journal);

/* Removes it: all is done. */
enum status journal_remove(struct journal *journal, struct diag *diag)
    MUST_CHECK;

/* Copies a keep before it is overwritten: size bytes. */
enum status journal_put_keep(struct journal *journal, uint32_t keep,
                             const void *data, struct diag *diag) MUST_CHECK;

/* Bytes of the base from offset on out of the keeps of the steps before step.
 * NOT_FOUND when they are not all there. */
enum status journal_read_keep(const struct journal *journal, uint32_t step,
                              uint64_t offset, void *out, size_t size)
    MUST_CHECK;

/* After its keeps: the new bytes of a step, as many as its range. Durable on
 * return. */
enum status journal_commit(struct journal *journal, uint32_t step,
                           const void *data, struct diag *diag) MUST_CHECK;

/* The last step that was committed; all before it are in their place. buf has
 * room for plan.step_bytes and gets its bytes. *any is false when there is
 * none. CORRUPT: it can be told no more. */
enum status journal_last(const struct journal *journal, bool *any,
                         uint32_t *step, uint8_t *buf, struct diag *diag)
    MUST_CHECK;

#endif
