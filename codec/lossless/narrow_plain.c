/* The inner loops in plain C: what runs from element to element is apart from
 * what compilers make vector code of. */
#include "codec/lossless/narrow_kernels.h"

/* What the loops are specialised for. */
struct shape {
    unsigned width;
    bool has_pred, has_lost, has_direct;
};

/* NARROW_GROUP elements between memory in the order of files and words. */
static ALWAYS_INLINE void load_group(uint16_t v[NARROW_GROUP], const uint8_t *p,
                                     unsigned width)
{
    for (unsigned i = 0; width == 8 && i < NARROW_GROUP; i++)
        v[i] = p[i];
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    if (width == 16)
        memcpy(v, p, NARROW_GROUP * sizeof(*v));
#else
    for (unsigned i = 0; width == 16 && i < NARROW_GROUP; i++)
        v[i] = load_le16(p + 2 * i);
#endif
}

static ALWAYS_INLINE void
store_group(uint8_t *p, const uint16_t v[NARROW_GROUP], unsigned width)
{
    for (unsigned i = 0; width == 8 && i < NARROW_GROUP; i++)
        p[i] = (uint8_t)v[i];
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    if (width == 16)
        memcpy(p, v, NARROW_GROUP * sizeof(*v));
#else
    for (unsigned i = 0; width == 16 && i < NARROW_GROUP; i++)
        store_le16(p + 2 * i, v[i]);
#endif
}

static ALWAYS_INLINE void contexts_run(const struct narrow_block *block,
                                       size_t count, struct shape shape)
{
    const struct narrow_context *context = block->context;
    const uint16_t *by = context->ctx;
    const unsigned shift = context->top_shift;
    const struct narrow_format format = context->format;
    uint16_t *ctx = block->ctx;
    for (size_t i = 0; i < count; i++) {
        uint32_t v =
            narrow_load(block->pred + i * (shape.width / 8), shape.width);
        unsigned at = v >> shift;
        if (shape.has_lost)
            at = narrow_exponent(v, &format) * NARROW_LEVELS +
                 (block->lost[i] & 7u);
        ctx[i] = by[at];
    }
}

static void contexts(const struct narrow_block *block, size_t count)
{
    bool lost = block->context->has_lost;
    if (block->context->format.width == 8 && lost)
        contexts_run(block, count, (struct shape){8, true, true, false});
    else if (block->context->format.width == 8)
        contexts_run(block, count, (struct shape){8, true, false, false});
    else if (lost)
        contexts_run(block, count, (struct shape){16, true, true, false});
    else
        contexts_run(block, count, (struct shape){16, true, false, false});
}

/* What elements are made of: 2 m + g, or the bits of those that escaped. */
struct parts {
    uint32_t twice[NARROW_GROUP];
    uint8_t escape[NARROW_GROUP + 1];
    unsigned escape_count;
};

static ALWAYS_INLINE size_t find_parts(const struct narrow_block *block,
                                       size_t at, size_t pos,
                                       struct parts *parts)
{
    static const uint32_t mask[32] = {
        0,     0x1,   0x3,   0x7,   0xf,    0x1f,   0x3f,   0x7f,  0xff,
        0x1ff, 0x3ff, 0x7ff, 0xfff, 0x1fff, 0x3fff, 0x7fff, 0xffff};
    const narrow_entry *rows = block->context->rows[0];
    const uint16_t *ctx = block->ctx + at;
    const uint8_t *syms = block->syms + at, *raw = block->raw;
    unsigned escapes = 0;
    for (unsigned i = 0; i < NARROW_GROUP; i++) {
        narrow_entry entry = rows[narrow_ctx_entry(ctx[i]) + syms[i]];
        uint32_t r = load_le32(raw + pos / 8) >> (pos % 8);
        pos += entry & 0xff;
        parts->twice[i] = (entry >> 8) + (r & mask[entry & 31]);
        parts->escape[escapes] = (uint8_t)i;
        escapes += syms[i] == FREQ_SYM_ESCAPE;
    }
    parts->escape_count = escapes;
    return pos;
}

/* Words with a sign at the top of width bits; the rest comes as it likes. */
static ALWAYS_INLINE uint16_t ordered(uint16_t v, uint16_t order_mask,
                                      unsigned width)
{
    uint16_t sign = (uint16_t)(0 - (v >> (width - 1) & 1));
    return (uint16_t)(v ^ (sign & order_mask));
}

static ALWAYS_INLINE void join_parts(const struct narrow_block *block,
                                     size_t at, const struct parts *parts,
                                     struct shape shape)
{
    const unsigned width = shape.width;
    const uint16_t order_mask = block->context->format.order_mask;
    const uint16_t *ctx = block->ctx + at;
    uint16_t v[NARROW_GROUP] = {0};
    if (shape.has_pred)
        load_group(v, block->pred + at * (width / 8), width);
    for (unsigned i = 0; i < NARROW_GROUP; i++) {
        uint16_t m = (uint16_t)(parts->twice[i] >> 1);
        uint16_t flip = (uint16_t)(ctx[i] / NARROW_FLIP);
        uint16_t sign = (uint16_t)(0 - ((parts->twice[i] ^ flip) & 1));
        uint16_t from = block->context->full_pred;
        if (shape.has_pred)
            from = ordered(v[i], order_mask, width);
        if (shape.has_pred && shape.has_direct)
            from = narrow_ctx_direct(ctx[i]) ? 0 : from;
        v[i] = ordered((uint16_t)(from + (m ^ sign) - sign), order_mask, width);
    }
    for (unsigned i = 0; i < parts->escape_count; i++)
        v[parts->escape[i]] = (uint16_t)parts->twice[parts->escape[i]];
    store_group(block->out + at * (width / 8), v, width);
}

static ALWAYS_INLINE size_t unmap_run(const struct narrow_block *block,
                                      size_t count, struct shape shape)
{
    size_t pos = block->raw_pos;
    for (size_t at = 0; at < count; at += NARROW_GROUP) {
        struct parts parts;
        pos = find_parts(block, at, pos, &parts);
        join_parts(block, at, &parts, shape);
    }
    return pos;
}

static size_t unmap(const struct narrow_block *block, size_t count)
{
    const struct narrow_context *context = block->context;
    const bool pred = context->has_pred;
    if (context->format.width == 8)
        return pred ? unmap_run(block, count,
                                (struct shape){8, true, false, true})
                    : unmap_run(block, count,
                                (struct shape){8, false, false, true});
    if (!pred)
        return unmap_run(block, count, (struct shape){16, false, false, true});
    return context->direct_end
               ? unmap_run(block, count, (struct shape){16, true, false, true})
               : unmap_run(block, count,
                           (struct shape){16, true, false, false});
}

const struct narrow_kernels narrow_kernels_plain = {contexts, unmap, true};
