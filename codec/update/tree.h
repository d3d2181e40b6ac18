/* Content addressing: a content is cut into blocks, each block has a leaf
 * hash, and the tree id names size, block size and leaves.
 *
 * Block size: the smallest power of two from 64 KiB on that gives fewer than
 * 1,024 blocks, at most 1 MiB; at most 65,536 blocks (64 GiB).
 * Ref: codec/FORMAT.md, "Trees". */
#ifndef CODEC_UPDATE_TREE_H
#define CODEC_UPDATE_TREE_H

#include "codec/base/hash.h"
#include "codec/base/source.h"

#define TREE_BLOCK_LOG_MIN  16u
#define TREE_BLOCK_LOG_MAX  20u
#define TREE_BLOCK_SIZE_MAX (1u << TREE_BLOCK_LOG_MAX)
#define TREE_BLOCKS_MAX     65536u
#define TREE_SIZE_MAX       ((uint64_t)TREE_BLOCKS_MAX << TREE_BLOCK_LOG_MAX)

struct tree_shape {
    uint64_t size;        /* bytes of the content */
    uint8_t block_log;    /* a block has 1 << block_log bytes, the last fewer */
    uint32_t block_count; /* 0 for an empty content */
};

/* The one shape of a content of size bytes. LIMIT above TREE_SIZE_MAX. */
enum status tree_shape_of(uint64_t size, struct tree_shape *out) MUST_CHECK;

/* Offset of block index in the content; index <= block_count. */
static inline uint64_t tree_block_offset(const struct tree_shape *shape,
                                         uint32_t index)
{
    return (uint64_t)index << shape->block_log;
}

/* Bytes of block index; index < block_count. */
static inline uint32_t tree_block_size(const struct tree_shape *shape,
                                       uint32_t index)
{
    uint64_t left = shape->size - tree_block_offset(shape, index);
    uint64_t full = (uint64_t)1 << shape->block_log;
    return (uint32_t)(left < full ? left : full);
}

/* The leaf hash of one block. */
void tree_leaf(struct bytes block, struct hash *out);

/* The id over size, block_log and leaves[block_count]. */
void tree_id(const struct tree_shape *shape, const struct hash *leaves,
             struct hash *out);

/* Hashes a content handed over in pieces of any size, in order. */
struct tree_builder {
    struct tree_shape shape;
    struct hash *leaves; /* owned: shape.block_count of them */
    uint32_t index;      /* block being hashed */
    uint32_t filled;     /* bytes of it so far */
    struct hash_state state;
};

/* LIMIT as tree_shape_of, NO_MEMORY. */
enum status tree_builder_init(struct tree_builder *tb, uint64_t size)
    MUST_CHECK;
void tree_builder_deinit(struct tree_builder *tb);

/* MISMATCH when more bytes come than the size said. */
enum status tree_builder_add(struct tree_builder *tb, struct bytes piece)
    MUST_CHECK;

/* The id; leaves stay in tb->leaves until deinit. MISMATCH when bytes are
 * missing. */
enum status tree_builder_finish(struct tree_builder *tb, struct hash *id)
    MUST_CHECK;

/* Reads a source once, block by block (<= 64 KiB of memory and the leaves).
 *
 * tb   out: initialised and finished; release with tree_builder_deinit, also
 *      after an error
 * id   out
 * LIMIT, NO_MEMORY, or what the source answers. */
enum status tree_build(const struct source *source, struct tree_builder *tb,
                       struct hash *id) MUST_CHECK;

#endif
