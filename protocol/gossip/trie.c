/* The set itself is a sorted array, so that a prefix is a run of it. Hashes are
 * cached in a tree of nodes that exists only above leaves; a change marks the
 * nodes on its path dirty, and the next question hashes those again. */
#include "protocol/gossip/trie.h"

#include <assert.h>
#include <stdlib.h>

struct trie_hash {
    struct hash hash;
    bool valid;
};

/* A node that has more entries than a leaf may. */
struct trie_inner {
    struct trie_hash child_hash[TRIE_FANOUT];
    struct trie_inner *child[TRIE_FANOUT]; /* NULL: never asked, or a leaf */
};

struct trie {
    struct vector_entry *entries; /* ascending by slot */
    size_t count, cap;
    struct trie_hash root_hash;
    struct trie_inner *root; /* NULL: never asked, or a leaf */
};

/* A run of entries under one prefix. */
struct run {
    const struct vector_entry *entries;
    size_t count;
};

enum status trie_new(struct trie **out)
{
    struct trie *trie = calloc(1, sizeof(*trie));
    if (!trie)
        return STATUS_NO_MEMORY;
    trie->cap = 2 * LIMIT_TRIE_LEAF_ENTRIES;
    trie->entries = malloc(trie->cap * sizeof(*trie->entries));
    if (!trie->entries) {
        free(trie);
        return STATUS_NO_MEMORY;
    }
    *out = trie;
    return STATUS_OK;
}

/* Depth is bounded by TRIE_NIBBLES_MAX. */
static void inner_free(struct trie_inner *node)
{
    if (!node)
        return;
    for (unsigned i = 0; i < TRIE_FANOUT; i++)
        inner_free(node->child[i]);
    free(node);
}

void trie_free(struct trie *trie)
{
    if (!trie)
        return;
    inner_free(trie->root);
    free(trie->entries);
    free(trie);
}

size_t trie_count(const struct trie *trie)
{
    return trie->count;
}

static unsigned nibble_of(const struct slot_id *slot, unsigned index)
{
    uint8_t byte = slot->b[index / 2];
    return index % 2 ? byte & 15u : byte >> 4;
}

/* Position of the first entry whose slot is >= slot. */
static size_t lower_bound(const struct run *run, const uint8_t *slot)
{
    size_t low = 0, high = run->count;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (memcmp(run->entries[mid].slot.b, slot, SLOT_ID_BYTES) < 0)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

static struct run run_all(const struct trie *trie)
{
    return (struct run){trie->entries, trie->count};
}

/* Marks every hash over slot invalid. Nodes that became leaves when the set
 * shrank go when they are hashed again. */
static void invalidate(struct trie *trie, const struct slot_id *slot)
{
    struct trie_inner *node = trie->root;
    trie->root_hash.valid = false;
    for (unsigned depth = 0; node; depth++) {
        unsigned i = nibble_of(slot, depth);
        node->child_hash[i].valid = false;
        node = node->child[i];
    }
}

enum status trie_put(struct trie *trie, const struct vector_entry *entry)
{
    struct run all = run_all(trie);
    size_t at = lower_bound(&all, entry->slot.b);
    if (at == trie->count ||
        !slot_id_equal(&trie->entries[at].slot, &entry->slot)) {
        if (trie->count == trie->cap) {
            size_t cap = trie->cap + trie->cap / 2;
            void *grown = realloc(trie->entries, cap * sizeof(*entry));
            if (!grown)
                return STATUS_NO_MEMORY;
            trie->entries = grown;
            trie->cap = cap;
        }
        memmove(trie->entries + at + 1, trie->entries + at,
                (trie->count - at) * sizeof(*entry));
        trie->count++;
    }
    trie->entries[at] = *entry;
    invalidate(trie, &entry->slot);
    return STATUS_OK;
}

void trie_remove(struct trie *trie, const struct slot_id *slot)
{
    struct run all = run_all(trie);
    size_t at = lower_bound(&all, slot->b);
    if (at == trie->count || !slot_id_equal(&trie->entries[at].slot, slot))
        return;
    trie->count--;
    memmove(trie->entries + at, trie->entries + at + 1,
            (trie->count - at) * sizeof(trie->entries[0]));
    invalidate(trie, slot);
}

const struct vector_entry *trie_find(const struct trie *trie,
                                     const struct slot_id *slot)
{
    struct run all = run_all(trie);
    size_t at = lower_bound(&all, slot->b);
    return at < trie->count && slot_id_equal(&trie->entries[at].slot, slot)
               ? trie->entries + at
               : NULL;
}

/* Whether a node of this many entries at this depth shows its entries. */
static bool is_leaf(size_t count, unsigned depth)
{
    return count <= LIMIT_TRIE_LEAF_ENTRIES || depth >= TRIE_NIBBLES_MAX;
}

/* Cuts run, all of one prefix of depth nibbles, into its 16 children. */
static void split_run(const struct run *run, unsigned depth,
                      struct run children[TRIE_FANOUT])
{
    size_t at = 0;
    for (unsigned i = 0; i < TRIE_FANOUT; i++) {
        size_t start = at;
        while (at < run->count && nibble_of(&run->entries[at].slot, depth) == i)
            at++;
        children[i] = (struct run){run->entries + start, at - start};
    }
}

static void hash_leaf(const struct run *run, struct hash *out)
{
    struct hash_state st;
    hash_begin(&st, HASH_TRIE);
    hash_add(&st, "\0", 1);
    for (size_t i = 0; i < run->count; i++) {
        const struct vector_entry *e = &run->entries[i];
        uint8_t buf[VECTOR_ENTRY_BYTES];
        memcpy(buf, e->slot.b, SLOT_ID_BYTES);
        store_be64(buf + SLOT_ID_BYTES, e->epoch);
        store_be64(buf + SLOT_ID_BYTES + 8, e->seq);
        memcpy(buf + SLOT_ID_BYTES + 16, e->hash, VECTOR_HASH_BYTES);
        hash_add(&st, buf, sizeof(buf));
    }
    hash_end(&st, out);
}

static void hash_inner(const struct trie_children *children, struct hash *out)
{
    struct hash_state st;
    hash_begin(&st, HASH_TRIE);
    hash_add(&st, "\1", 1);
    hash_add(&st, children->hash, sizeof(children->hash));
    hash_end(&st, out);
}

static void children_of(const struct run *run, unsigned depth,
                        struct trie_inner **node, struct trie_children *out);

/* The hash of the node of run at depth, cached in *node below it. A missing
 * cache (no memory) only means hashing again. */
static void hash_node(const struct run *run, unsigned depth,
                      struct trie_inner **node, struct hash *out)
{
    if (!run->count) {
        *out = (struct hash){{0}};
    } else if (is_leaf(run->count, depth)) {
        hash_leaf(run, out);
    } else {
        struct trie_children children;
        children_of(run, depth, node, &children);
        hash_inner(&children, out);
        return;
    }
    inner_free(*node);
    *node = NULL;
}

static void children_of(const struct run *run, unsigned depth,
                        struct trie_inner **node, struct trie_children *out)
{
    struct run runs[TRIE_FANOUT];
    split_run(run, depth, runs);
    if (!*node)
        *node = calloc(1, sizeof(**node));
    for (unsigned i = 0; i < TRIE_FANOUT; i++) {
        struct trie_inner *none = NULL;
        struct trie_hash scratch = {.valid = false};
        struct trie_hash *cached = *node ? &(*node)->child_hash[i] : &scratch;
        if (!cached->valid)
            hash_node(&runs[i], depth + 1, *node ? &(*node)->child[i] : &none,
                      &cached->hash);
        cached->valid = true;
        memcpy(out->hash[i], cached->hash.b, TRIE_CHILD_BYTES);
        inner_free(none);
    }
}

struct trie_root trie_root(struct trie *trie)
{
    struct trie_root root;
    struct run all = run_all(trie);
    if (!trie->root_hash.valid)
        hash_node(&all, 0, &trie->root, &trie->root_hash.hash);
    trie->root_hash.valid = true;
    memcpy(root.b, trie->root_hash.hash.b, TRIE_ROOT_BYTES);
    return root;
}

bool trie_prefix_valid(const struct trie_prefix *prefix)
{
    if (prefix->nibbles > TRIE_NIBBLES_MAX)
        return false;
    for (unsigned i = prefix->nibbles; i < TRIE_NIBBLES_MAX; i++)
        if (nibble_of((const struct slot_id *)(const void *)prefix->b, i))
            return false;
    return true;
}

struct trie_prefix trie_prefix_child(const struct trie_prefix *prefix,
                                     unsigned index)
{
    struct trie_prefix child = *prefix;
    assert(prefix->nibbles < TRIE_NIBBLES_MAX && index < TRIE_FANOUT);
    unsigned value = prefix->nibbles % 2 ? index : index << 4;
    child.b[prefix->nibbles / 2] =
        (uint8_t)(child.b[prefix->nibbles / 2] | value);
    child.nibbles++;
    return child;
}

/* The last slot id under prefix. */
static struct slot_id prefix_end(const struct trie_prefix *prefix)
{
    struct slot_id end;
    memcpy(end.b, prefix->b, SLOT_ID_BYTES);
    for (unsigned i = prefix->nibbles; i < TRIE_NIBBLES_MAX; i++)
        end.b[i / 2] = (uint8_t)(end.b[i / 2] | (i % 2 ? 0x0f : 0xf0));
    return end;
}

static struct run run_of(const struct trie *trie,
                         const struct trie_prefix *prefix)
{
    struct run all = run_all(trie);
    struct slot_id last = prefix_end(prefix);
    size_t start = lower_bound(&all, prefix->b);
    size_t end = lower_bound(&all, last.b);
    if (end < trie->count && slot_id_equal(&trie->entries[end].slot, &last))
        end++;
    return (struct run){trie->entries + start, end - start};
}

const struct vector_entry *trie_entries(const struct trie *trie,
                                        const struct trie_prefix *prefix,
                                        size_t *count)
{
    struct run run = run_of(trie, prefix);
    *count = run.count;
    return run.entries;
}

/* The child hashes at prefix, out of the cache where it reaches. */
static void children_at(struct trie *trie, const struct trie_prefix *prefix,
                        const struct run *run, struct trie_children *out)
{
    struct trie_inner *none = NULL;
    struct trie_inner **node = &trie->root;
    (void)trie_root(trie);
    for (unsigned depth = 0; *node && depth < prefix->nibbles; depth++)
        node = &(*node)->child[nibble_of(
            (const struct slot_id *)(const void *)prefix->b, depth)];
    /* A cache stops at leaves; below those hash without one. */
    if (!*node)
        node = &none;
    children_of(run, prefix->nibbles, node, out);
    inner_free(none);
}

bool trie_node(struct trie *trie, const struct trie_prefix *prefix,
               struct trie_children *out)
{
    struct run run = run_of(trie, prefix);
    if (is_leaf(run.count, prefix->nibbles))
        return true;
    children_at(trie, prefix, &run, out);
    return false;
}

uint16_t trie_differing_children(struct trie *trie,
                                 const struct trie_prefix *prefix,
                                 const struct trie_children *peer)
{
    struct trie_children own;
    struct run run = run_of(trie, prefix);
    unsigned mask = 0;
    if (prefix->nibbles >= TRIE_NIBBLES_MAX)
        return 0;
    children_at(trie, prefix, &run, &own);
    for (unsigned i = 0; i < TRIE_FANOUT; i++)
        if (memcmp(own.hash[i], peer->hash[i], TRIE_CHILD_BYTES))
            mask |= 1u << i;
    return (uint16_t)mask;
}

static bool peer_entries_valid(const struct trie_prefix *prefix,
                               const struct vector_entry *peer, size_t count)
{
    struct slot_id last = prefix_end(prefix);
    for (size_t i = 0; i < count; i++) {
        if (memcmp(peer[i].slot.b, prefix->b, SLOT_ID_BYTES) < 0 ||
            slot_id_compare(&peer[i].slot, &last) > 0)
            return false;
        if (i && slot_id_compare(&peer[i - 1].slot, &peer[i].slot) >= 0)
            return false;
    }
    return true;
}

bool trie_reconcile(const struct trie *trie, const struct trie_prefix *prefix,
                    const struct vector_entry *peer, size_t peer_count,
                    trie_move_fn *on_slot, void *ctx)
{
    struct run own = run_of(trie, prefix);
    size_t i = 0, k = 0;
    if (!peer_entries_valid(prefix, peer, peer_count))
        return false;
    while (i < own.count || k < peer_count) {
        const struct vector_entry *mine = own.entries + i;
        int side = i == own.count ? 1
                   : k == peer_count
                       ? -1
                       : slot_id_compare(&mine->slot, &peer[k].slot);
        enum vector_order order = side < 0 ? VECTOR_AFTER
                                  : side > 0
                                      ? VECTOR_BEFORE
                                      : vector_entry_compare(mine, peer + k);
        const struct slot_id *slot = side <= 0 ? &mine->slot : &peer[k].slot;
        if (order == VECTOR_BEFORE || order == VECTOR_FORK)
            on_slot(ctx, TRIE_WANT, slot);
        if (order == VECTOR_AFTER || order == VECTOR_FORK)
            on_slot(ctx, TRIE_SEND, slot);
        i += side <= 0;
        k += side >= 0;
    }
    return true;
}
