/* What arrives becomes durable here, in batches on one thread at a time:
 * records, manifests, headers, and coded segments, which are decoded and
 * checked against the leaves first. Everything of a batch is committed in one
 * transaction, after the decoded blocks were synced; only then does the core
 * hear of it. While one batch is synced the next one gathers. */
#ifndef DAEMON_INTAKE_H
#define DAEMON_INTAKE_H

#include "daemon/content.h"
#include "protocol/slot.h"
#include "store/version.h"

enum intake_kind {
    INTAKE_PUT_RECORD,   /* slot, epoch, seq, hash, record_kind, bytes */
    INTAKE_DROP_RECORD,  /* slot */
    INTAKE_PUT_MANIFEST, /* version, bytes, role, counter */
    INTAKE_PUT_HEADER,   /* update, version, bytes */
    INTAKE_DECODE,       /* version, update, index, bytes */
    INTAKE_COMPLETE,     /* version */
    INTAKE_DROP_VERSION, /* version */
    INTAKE_ADD_VERSION,  /* version, bytes, role, counter; updates: a version
                          * made here, whose updates are in the store */
    INTAKE_COMMITTED,    /* version: the record of one made here is durable */
    INTAKE_ADD_UPTIME,   /* counter: seconds more */
};

/* One thing to do. The submitter owns it and its bytes. */
struct intake_item {
    enum intake_kind kind;
    uint64_t op;
    struct hash version, update, hash;
    uint8_t slot[SLOT_ID_BYTES];
    uint64_t epoch, seq, counter;
    uint32_t record_kind, index;
    char role[STORE_NAME_MAX + 1];
    uint8_t *bytes;
    size_t size;

    /* out */
    enum status status;
    uint64_t cpu_ns;
    struct diag diag;

    struct intake_item *next;

    /* private */
    uint32_t first_block, block_count;
};

/* Bytes that one batch takes at most, unless its first item has more. */
#define INTAKE_BATCH_BYTES (1u << 20)

/* Name of the setting that marks a version made here until its record is
 * durable; at a start, one without a record is forgotten. */
#define INTAKE_PREPARED_PREFIX "prepared/"

struct intake;

/* places must outlive it. NO_MEMORY. */
enum status intake_new(const struct places *places, struct intake **out)
    MUST_CHECK;
void intake_free(struct intake *intake);

/* Performs a list; every item gets its status. On one thread at a time. */
void intake_run(struct intake *intake, struct intake_item *list,
                uint64_t uptime_s);

/* Forgets open files and decoders, when nothing is being fetched. */
void intake_rest(struct intake *intake);

#endif
