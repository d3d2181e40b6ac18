/* Blocks, leaves and the content id. */
#include "codec/update/tree.h"

#include <assert.h>
#include <stdlib.h>

enum status tree_shape_of(uint64_t size, struct tree_shape *out)
{
    if (size > TREE_SIZE_MAX)
        return STATUS_LIMIT;
    unsigned log = TREE_BLOCK_LOG_MIN;
    while (log < TREE_BLOCK_LOG_MAX && size > (uint64_t)1023 << log)
        log++;
    uint64_t mask = ((uint64_t)1 << log) - 1;
    *out = (struct tree_shape){size, (uint8_t)log,
                               (uint32_t)((size + mask) >> log)};
    return STATUS_OK;
}

void tree_leaf(struct bytes block, struct hash *out)
{
    hash_bytes(HASH_LEAF, block, out);
}

void tree_id(const struct tree_shape *shape, const struct hash *leaves,
             struct hash *out)
{
    struct hash_state st;
    hash_begin(&st, HASH_TREE);
    hash_add_le64(&st, shape->size);
    hash_add(&st, &shape->block_log, 1);
    for (uint32_t i = 0; i < shape->block_count; i++)
        hash_add(&st, leaves[i].b, HASH_BYTES);
    hash_end(&st, out);
}

enum status tree_builder_init(struct tree_builder *tb, uint64_t size)
{
    memset(tb, 0, sizeof(*tb));
    enum status status = tree_shape_of(size, &tb->shape);
    if (status)
        return status;
    tb->leaves = calloc((size_t)tb->shape.block_count + 1, sizeof(struct hash));
    if (!tb->leaves)
        return STATUS_NO_MEMORY;
    hash_begin(&tb->state, HASH_LEAF);
    return STATUS_OK;
}

void tree_builder_deinit(struct tree_builder *tb)
{
    free(tb->leaves);
    memset(tb, 0, sizeof(*tb));
}

/* Ends the leaf when its block is full. */
static void tree_builder_advance(struct tree_builder *tb)
{
    if (tb->filled < tree_block_size(&tb->shape, tb->index))
        return;
    hash_end(&tb->state, &tb->leaves[tb->index]);
    hash_begin(&tb->state, HASH_LEAF);
    tb->index++;
    tb->filled = 0;
}

enum status tree_builder_add(struct tree_builder *tb, struct bytes piece)
{
    while (piece.size) {
        if (tb->index >= tb->shape.block_count)
            return STATUS_MISMATCH;
        size_t want = tree_block_size(&tb->shape, tb->index) - tb->filled;
        size_t take = piece.size < want ? piece.size : want;
        hash_add(&tb->state, piece.data, take);
        tb->filled += (uint32_t)take;
        piece = bytes_of(piece.data + take, piece.size - take);
        tree_builder_advance(tb);
    }
    return STATUS_OK;
}

enum status tree_builder_finish(struct tree_builder *tb, struct hash *id)
{
    if (tb->index != tb->shape.block_count)
        return STATUS_MISMATCH;
    tree_id(&tb->shape, tb->leaves, id);
    return STATUS_OK;
}

static enum status tree_add(void *ctx, struct bytes piece)
{
    return tree_builder_add(ctx, piece);
}

enum status tree_build(const struct source *source, struct tree_builder *tb,
                       struct hash *id)
{
    enum status status = tree_builder_init(tb, source->size);
    if (!status)
        status = source_each(source, 0, source->size, tree_add, tb);
    if (!status)
        status = tree_builder_finish(tb, id);
    return status;
}
