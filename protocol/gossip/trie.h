/* A 16-way hash trie over slot ids: equal sets have equal roots, and where two
 * sets differ a descent by prefixes finds it. A function of the set alone,
 * whatever the order of changes.
 *
 * A prefix with at most LIMIT_TRIE_LEAF_ENTRIES entries is a leaf and shows
 * these; any other shows the hashes of its 16 children. Stateless descent:
 *
 *   roots differ           -> send the node at the empty prefix
 *   got child hashes       -> trie_differing_children; for each, send the node
 *                             at the child's prefix
 *   got a prefix' entries  -> trie_reconcile: ask for some, send some
 *
 * Ref: PROTOCOL.md, "Digest tries". */
#ifndef PROTOCOL_GOSSIP_TRIE_H
#define PROTOCOL_GOSSIP_TRIE_H

#include "protocol/gossip/vector.h"

#define TRIE_ROOT_BYTES  16u
#define TRIE_CHILD_BYTES 12u
#define TRIE_FANOUT      16u
#define TRIE_NIBBLES_MAX (2u * SLOT_ID_BYTES)

struct trie;

struct trie_root {
    uint8_t b[TRIE_ROOT_BYTES];
};

/* Leading half-bytes of a slot id, the high half of a byte first; the rest of
 * b is zero. */
struct trie_prefix {
    uint8_t nibbles; /* 0 .. TRIE_NIBBLES_MAX */
    uint8_t b[SLOT_ID_BYTES];
};

/* The children's hashes of a node: all zero for one without entries. */
struct trie_children {
    uint8_t hash[TRIE_FANOUT][TRIE_CHILD_BYTES];
};

enum status trie_new(struct trie **out) MUST_CHECK;
void trie_free(struct trie *trie);

size_t trie_count(const struct trie *trie);

/* Adds or replaces the entry of its slot. NO_MEMORY: unchanged. */
enum status trie_put(struct trie *trie, const struct vector_entry *entry)
    MUST_CHECK;
void trie_remove(struct trie *trie, const struct slot_id *slot);

/* NULL when absent. Holds until the next change. */
const struct vector_entry *trie_find(const struct trie *trie,
                                     const struct slot_id *slot);

/* The root; hashes only what changed since the last time. */
struct trie_root trie_root(struct trie *trie);

/* False unless nibbles is in range and the rest of b is zero: check what a
 * peer sent. */
bool trie_prefix_valid(const struct trie_prefix *prefix);

/* The prefix of child index (0..15); prefix->nibbles < TRIE_NIBBLES_MAX. */
struct trie_prefix trie_prefix_child(const struct trie_prefix *prefix,
                                     unsigned index);

/* The entries under prefix in order of their slots; *count gets how many.
 * Holds until the next change. */
const struct vector_entry *trie_entries(const struct trie *trie,
                                        const struct trie_prefix *prefix,
                                        size_t *count);

/* True when the node at prefix is a leaf: send its trie_entries. Else out gets
 * the children's hashes. */
bool trie_node(struct trie *trie, const struct trie_prefix *prefix,
               struct trie_children *out);

/* Bit i set: the child i of our node at prefix has another hash than the
 * peer's. 0 for a prefix that has no children. */
uint16_t trie_differing_children(struct trie *trie,
                                 const struct trie_prefix *prefix,
                                 const struct trie_children *peer);

/* What to do about the peer's entries under prefix (sorted strictly by slot,
 * else false is returned and nothing is reported): each slot that the peer has
 * newer, or that we lack, is reported with WANT; each that we have newer, or
 * that the peer lacks, with SEND; a fork with both. on_slot may not change the
 * trie. */
enum trie_move {
    TRIE_WANT,
    TRIE_SEND
};
typedef void trie_move_fn(void *ctx, enum trie_move move,
                          const struct slot_id *slot);
bool trie_reconcile(const struct trie *trie, const struct trie_prefix *prefix,
                    const struct vector_entry *peer, size_t peer_count,
                    trie_move_fn *on_slot, void *ctx);

#endif
