/* Every content hash of the system: BLAKE2b-256 with a personal string per
 * kind, so that a leaf, a tree, a manifest and a record never share a hash.
 *
 * Ref: RFC 7693; personalisation as in the BLAKE2 paper, section 2.8. */
#ifndef CODEC_BASE_HASH_H
#define CODEC_BASE_HASH_H

#include "codec/base/bytes.h"

#include <stdalign.h>

#define HASH_BYTES    32u
#define HASH_HEX_SIZE (2 * HASH_BYTES + 1)

struct hash {
    uint8_t b[HASH_BYTES];
};

/* What is hashed. The personal string of each is in hash.c and in FORMAT.md. */
enum hash_kind {
    HASH_LEAF,     /* one block of a content */
    HASH_TREE,     /* size, block_log and leaves of a content */
    HASH_MANIFEST, /* the bytes of a manifest: a version id */
    HASH_RECORD,   /* the payload of a record */
    HASH_SLOT,     /* author, kind and name of a record */
    HASH_UPDATE,   /* an update header: an update id */
    HASH_SEGMENT,  /* one coded segment */
    HASH_TRIE,     /* a node of a digest trie */
    HASH_BUCKET,   /* a node's place in a rollout */
    HASH_MISC,     /* anything that never meets another hash */
    HASH_KIND_COUNT
};

struct hash_state {
    alignas(64) uint8_t opaque[384];
};

void hash_begin(struct hash_state *st, enum hash_kind kind);
void hash_add(struct hash_state *st, const void *data, size_t size);
void hash_add_le32(struct hash_state *st, uint32_t v);
void hash_add_le64(struct hash_state *st, uint64_t v);
void hash_end(struct hash_state *st, struct hash *out);

/* All at once. */
void hash_bytes(enum hash_kind kind, struct bytes in, struct hash *out);

static inline bool hash_equal(const struct hash *a, const struct hash *b)
{
    return !memcmp(a->b, b->b, HASH_BYTES);
}

static inline int hash_compare(const struct hash *a, const struct hash *b)
{
    return memcmp(a->b, b->b, HASH_BYTES);
}

static inline bool hash_is_zero(const struct hash *a)
{
    static const struct hash zero;
    return hash_equal(a, &zero);
}

/* Lower-case hex with a NUL; out has HASH_HEX_SIZE bytes. */
void hash_hex(const struct hash *hash, char *out);

/* False unless text is exactly 64 hex digits. */
bool hash_from_hex(const char *text, struct hash *out);

#endif
