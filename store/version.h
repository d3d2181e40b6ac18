/* Versions: what each is, its manifest, which of its blocks are held, and in
 * which state it is. */
#ifndef STORE_VERSION_H
#define STORE_VERSION_H

#include "codec/base/hash.h"
#include "store/txn.h"

#define STORE_NAME_MAX           128u /* bytes of a model or role name */
#define STORE_BLOCK_COUNT_MAX    65536u
#define STORE_MANIFEST_BYTES_MAX (4u << 20)

/* Numbers are stored: never reuse one. */
enum store_version_state {
    STORE_VERSION_KNOWN = 0,    /* a record names it */
    STORE_VERSION_WANTED = 1,   /* a channel or mirror wants it */
    STORE_VERSION_FETCHING = 2, /* some blocks are held */
    STORE_VERSION_COMPLETE = 3, /* its content can be made from what is held */
    STORE_VERSION_STAGED = 4,   /* waits for its turn to run */
    STORE_VERSION_RUNNING = 5,  /* current, confirmed */
    STORE_VERSION_PREVIOUS = 6, /* ran before, confirmed */
    STORE_VERSION_BAD = 7,      /* failed here: not to be run again */
    STORE_VERSION_TRIAL = 8,    /* current, not yet confirmed */
    STORE_VERSION_STATE_COUNT
};

/* "known", "wanted", ...; static. */
const char *store_version_state_text(enum store_version_state state);

/* Reasons to keep a version whatever its age: a set of bits. */
enum {
    STORE_PIN_OPERATOR = 1, /* by command or channel */
    STORE_PIN_LOCAL = 2,    /* by configuration */
    STORE_PIN_AUTHORED = 4, /* published here and not seen elsewhere yet */
};

/* Caller-owned. */
struct store_version {
    struct hash id;
    struct hash tree;
    char model[STORE_NAME_MAX + 1];
    char role[STORE_NAME_MAX + 1]; /* of the publisher; may be empty */
    uint64_t counter;              /* n: the publisher's own count */
    uint64_t rank; /* sum over the version vector: descendants rank higher */
    uint64_t size; /* bytes of the content */
    uint32_t block_count;
    uint8_t block_log;
    enum store_version_state state;
    uint32_t pins;
    bool has_update;
    struct hash update;     /* the update that realises it here */
    uint64_t known_uptime;  /* seconds of uptime when added, */
    uint64_t state_uptime;  /* ... when the state last changed, */
    uint64_t used_uptime;   /* ... when last asked for or read */
    uint32_t manifest_size; /* out: bytes; 0 when not held */
    uint32_t have_count;    /* out: blocks held */
};

/* Adds a version, without manifest, blocks and update: those fields are
 * ignored. block_count and block_log may be 0 when size is.
 *
 * STATUS_EXISTS  held already; nothing is changed
 * STATUS_USAGE   empty or too long name, state out of range, or sizes that
 *                do not fit: block_count != ceil(size / 2^block_log)
 * STATUS_LIMIT   over STORE_BLOCK_COUNT_MAX blocks */
enum status store_version_add(struct store_txn *txn,
                              const struct store_version *version) MUST_CHECK;

/* STATUS_NOT_FOUND */
enum status store_version_get(struct store_txn *txn, const struct hash *id,
                              struct store_version *out) MUST_CHECK;

/* Finds by a prefix of the id in lower-case hex, 1 to 64 digits.
 *
 * STATUS_NOT_FOUND, STATUS_AMBIGUOUS, STATUS_USAGE (not hex) */
enum status store_version_find(struct store_txn *txn, const char *hex,
                               struct store_version *out) MUST_CHECK;

/* Removes row, manifest, bitmap and indexes; updates stay for gc. Fine when
 * there is none. */
enum status store_version_remove(struct store_txn *txn, const struct hash *id)
    MUST_CHECK;

/* Stores the manifest; at most STORE_MANIFEST_BYTES_MAX, the one value that
 * may make a transaction larger than STORE_TXN_BYTES.
 *
 * STATUS_MISMATCH   its HASH_MANIFEST is not the id
 * STATUS_NO_SPACE   over the quota
 * STATUS_NOT_FOUND, STATUS_LIMIT */
enum status store_version_put_manifest(struct store_txn *txn,
                                       const struct hash *id,
                                       struct bytes manifest) MUST_CHECK;

/* A view as of the transaction. NOT_FOUND: no manifest held. */
enum status store_version_get_manifest(struct store_txn *txn,
                                       const struct hash *id,
                                       struct bytes *manifest) MUST_CHECK;

/* Each returns NOT_FOUND for an unknown id. A state may follow any other: what
 * is allowed is decided above. */
enum status store_version_set_state(struct store_txn *txn,
                                    const struct hash *id,
                                    enum store_version_state state,
                                    uint64_t uptime) MUST_CHECK;
enum status store_version_set_pins(struct store_txn *txn, const struct hash *id,
                                   uint32_t pins) MUST_CHECK;
enum status store_version_touch(struct store_txn *txn, const struct hash *id,
                                uint64_t uptime) MUST_CHECK;

/* Names the update that realises the version; NULL: none.
 *
 * STATUS_NOT_FOUND  no such version or update
 * STATUS_MISMATCH   the update leads to another tree */
enum status store_version_set_update(struct store_txn *txn,
                                     const struct hash *id,
                                     const struct hash *update) MUST_CHECK;

/* Notes blocks first .. first + count - 1 as held (verified), or as not held.
 *
 * STATUS_NOT_FOUND, STATUS_LIMIT (past block_count) */
enum status store_version_set_blocks(struct store_txn *txn,
                                     const struct hash *id, uint32_t first,
                                     uint32_t count) MUST_CHECK;
enum status store_version_clear_blocks(struct store_txn *txn,
                                       const struct hash *id, uint32_t first,
                                       uint32_t count) MUST_CHECK;

/* The bitmap, ceil(block_count / 8) bytes, block i is bit i % 8 of byte i / 8,
 * bits past the last block zero. bits has bits_size bytes, zero filled past
 * the bitmap. *have_count (may be NULL): number of set bits.
 *
 * STATUS_NOT_FOUND, STATUS_USAGE (bits_size too small) */
enum status store_version_get_blocks(struct store_txn *txn,
                                     const struct hash *id, uint8_t *bits,
                                     size_t bits_size, uint32_t *have_count)
    MUST_CHECK;

/* What a fetch commits after fdatasync of the decoded blocks: the blocks of
 * the version and the coded segment they came from, in one transaction of its
 * own. A segment held already is fine.
 *
 * As store_version_set_blocks and store_segment_put. */
enum status store_version_commit_blocks(struct store_env *env,
                                        const struct hash *id, uint32_t first,
                                        uint32_t count,
                                        const struct hash *update,
                                        uint32_t index, struct bytes segment,
                                        struct diag *diag) MUST_CHECK;

typedef bool (*store_version_fn)(void *ctx,
                                 const struct store_version *version);

/* All versions in id order; those of a model, lowest rank first; those whose
 * content is the tree. Until fn returns false. fn changes nothing. */
enum status store_version_each(struct store_txn *txn, store_version_fn fn,
                               void *ctx) MUST_CHECK;
enum status store_version_each_of_model(struct store_txn *txn,
                                        const char *model, store_version_fn fn,
                                        void *ctx) MUST_CHECK;
enum status store_version_each_of_tree(struct store_txn *txn,
                                       const struct hash *tree,
                                       store_version_fn fn, void *ctx)
    MUST_CHECK;

/* Removes manifest, bitmap and the realising update's name, keeping the row:
 * what gc does to a version. A BAD version stays BAD, others become KNOWN. */
enum status store_version_strip(struct store_txn *txn, const struct hash *id)
    MUST_CHECK;

#endif
