/* The inner loops in plain C: what runs from element to element is apart from
 * what compilers make vector code of. */
#include "codec/lossless/fast_shift.h"

#include <assert.h>

/* 32 numbers between memory in the order of files and registers. */
static ALWAYS_INLINE void load_group(uint32_t v[FAST_GROUP], const uint8_t *p)
{
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    memcpy(v, p, FAST_GROUP * sizeof(*v));
#else
    for (unsigned i = 0; i < FAST_GROUP; i++)
        v[i] = load_le32(p + 4 * i);
#endif
}

static ALWAYS_INLINE void store_group(uint8_t *p, const uint32_t v[FAST_GROUP])
{
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    memcpy(p, v, FAST_GROUP * sizeof(*v));
#else
    for (unsigned i = 0; i < FAST_GROUP; i++)
        store_le32(p + 4 * i, v[i]);
#endif
}

static void contexts_32(const struct fast_lookup *lookup, const uint8_t *base,
                        uint16_t *ctx, size_t count)
{
    const uint16_t *by_exponent = lookup->by_exponent;
    if (!lookup->shifted)
        for (size_t i = 0; i < count; i++)
            ctx[i] = by_exponent[load_le32(base + 4 * i) >> 23 & 0xff];
    else
        for (size_t i = 0; i < count; i++)
            ctx[i] = by_exponent[fast_shift_exponent(
                &lookup->shift, load_le32(base + 4 * i) >> 23 & 0xff)];
}

/* What 32 elements are made of. */
struct parts {
    uint32_t twice[FAST_GROUP]; /* 2 |d| + sign, or the element if escaped */
    uint32_t keep[FAST_GROUP];  /* all ones unless coded by value */
    uint8_t escape[FAST_GROUP + 1];
    unsigned escape_count;
};

/* has_direct is a constant where this is inlined. */
static ALWAYS_INLINE size_t find_parts(const struct fast_block *block,
                                       size_t at, size_t pos, bool has_direct,
                                       struct parts *parts)
{
    const uint64_t *quick = block->context->quick[0];
    const uint32_t *mask = block->context->mask;
    const uint16_t *ctx = block->ctx + at;
    const uint8_t *syms = block->syms + at, *raw = block->raw;
    unsigned escapes = 0;
    for (unsigned i = 0; i < FAST_GROUP; i++) {
        uint64_t entry = quick[fast_ctx_entry(ctx[i]) + syms[i]];
        unsigned bits = entry & 0xff;
        uint64_t r = load_le64(raw + pos / 8) >> (pos % 8);
        pos += bits;
        parts->twice[i] = ((uint32_t)r & mask[bits]) + (uint32_t)(entry >> 32);
        parts->escape[escapes] = (uint8_t)i;
        escapes += syms[i] == FREQ_SYM_ESCAPE;
        if (has_direct)
            parts->keep[i] = (uint32_t)fast_ctx_direct(ctx[i]) - 1;
    }
    parts->escape_count = escapes;
    return pos;
}

static ALWAYS_INLINE uint32_t ordered(uint32_t v, bool is_float)
{
    return is_float ? v ^ (0 - (v >> 31)) >> 1 : v;
}

/* The flags are constants where these are inlined. */
static ALWAYS_INLINE void join_parts(const struct fast_block *block, size_t at,
                                     struct parts *parts, bool is_float,
                                     bool has_base, bool has_direct)
{
    uint32_t v[FAST_GROUP] = {0};
    if (has_base)
        load_group(v, block->base + 4 * at);
    for (unsigned i = 0; i < FAST_GROUP; i++) {
        uint32_t twice = parts->twice[i], sign = 0 - (twice & 1);
        uint32_t from = ordered(v[i], is_float);
        if (has_direct && has_base)
            from &= parts->keep[i];
        v[i] = ordered(from + ((twice >> 1 ^ sign) - sign), is_float);
    }
    for (unsigned i = 0; i < parts->escape_count; i++)
        v[parts->escape[i]] = parts->twice[parts->escape[i]];
    store_group(block->out + 4 * at, v);
}

static ALWAYS_INLINE size_t unmap(const struct fast_block *block, size_t count,
                                  bool is_float, bool has_base, bool has_direct)
{
    size_t pos = block->raw_pos;
    for (size_t at = 0; at < count; at += FAST_GROUP) {
        struct parts parts;
        pos = find_parts(block, at, pos, has_direct, &parts);
        join_parts(block, at, &parts, is_float, has_base, has_direct);
    }
    return pos;
}

static size_t unmap_32(const struct fast_block *block, size_t count)
{
    const struct fast_context *context = block->context;
    if (!context->is_float)
        return context->has_base ? unmap(block, count, false, true, false)
                                 : unmap(block, count, false, false, false);
    if (!context->has_base)
        return unmap(block, count, true, false, false);
    return context->has_direct ? unmap(block, count, true, true, true)
                               : unmap(block, count, true, true, false);
}

/* Differences of a group, and the half octaves of their magnitudes. */
struct diffs {
    uint32_t magnitude[FAST_GROUP];
    uint32_t twice[FAST_GROUP];       /* 2 |d| + sign */
    uint32_t half_octave[FAST_GROUP]; /* anything for 0; 62 for 2^31 */
};

/* A half octave is exponent and highest mantissa bit of the magnitude as a
 * float, which vectors can make. Clearing what lies two bits below a one keeps
 * its rounding, of whatever mode, from carrying so far. */
static ALWAYS_INLINE void find_diffs(const uint32_t *to, const uint32_t *from,
                                     bool is_float, struct diffs *diffs)
{
    float f[FAST_GROUP];
    uint32_t bits[FAST_GROUP];
    for (unsigned i = 0; i < FAST_GROUP; i++) {
        uint32_t d = ordered(to[i], is_float) - from[i];
        uint32_t sign = 0 - (d >> 31), m = (d ^ sign) - sign;
        diffs->magnitude[i] = m;
        diffs->twice[i] = (m << 1) - sign;
        f[i] = (float)(int32_t)(m & ~(m >> 2));
    }
    static_assert(sizeof(f) == sizeof(bits), "floats have 32 bits");
    memcpy(bits, f, sizeof(bits));
    for (unsigned i = 0; i < FAST_GROUP; i++)
        diffs->half_octave[i] = (bits[i] >> 22 & 0x1ff) - 2 * 127;
}

/* The symbols that a group should have, table << 5 | row << 16 above them. */
static ALWAYS_INLINE void choose_syms(const struct fast_syms *block, size_t at,
                                      const struct diffs *diffs,
                                      bool has_direct, uint32_t *chosen)
{
    const uint32_t first = block->context->direct_first;
    const int32_t last = CLASSES_SYM_LAST;
    uint32_t ctx[FAST_GROUP];
    for (unsigned i = 0; i < FAST_GROUP; i++)
        ctx[i] = block->ctx[at + i];
    for (unsigned i = 0; i < FAST_GROUP; i++) {
        uint32_t row = ctx[i] >> FAST_ROW_SHIFT & (CLASSES_ROWS - 1);
        uint32_t m = diffs->magnitude[i];
        int32_t over = (int32_t)(diffs->half_octave[i] - row);
        over = over > 0 ? over : 0;
        over = over < last ? over : last;
        uint32_t sym = (uint32_t)over + 1;
        if (has_direct) {
            uint32_t h = m >> 22, from = h - first;
            uint32_t in = 0 - (uint32_t)((int32_t)from >= 0);
            in &= 0 - (uint32_t)((int32_t)from < last);
            uint32_t value = ((from + 1) & in) | (FREQ_SYM_ESCAPE & ~in);
            sym = row == CLASSES_ROW_DIRECT ? value : sym;
        }
        sym |= FREQ_SYM_ESCAPE * (m >> 31);
        sym &= (uint32_t)(m == 0) - 1;
        chosen[i] = sym | ctx[i] >> RANS_TABLE_SHIFT << 5 | row << 16;
    }
}

/* Symbols and raw bits of a group. */
static ALWAYS_INLINE void find_syms(const struct fast_syms *block, size_t at,
                                    const uint32_t *to,
                                    const struct diffs *diffs, bool has_direct)
{
    const uint64_t *quick = block->context->quick[0];
    const uint8_t *escape = block->escape;
    uint16_t *syms = block->syms + at;
    uint64_t *raw = block->raw + at / 2, *raw_bits = block->bits + at / 2;
    uint32_t chosen[FAST_GROUP];
    uint64_t even = 0, even_bits = 0;
    choose_syms(block, at, diffs, has_direct, chosen);
    for (unsigned i = 0; i < FAST_GROUP; i++) {
        uint32_t sym = chosen[i] & 0xffff, row = chosen[i] >> 16;
        sym |= escape[sym];
        uint64_t entry = quick[row * FREQ_SYMS + sym % FREQ_SYMS];
        uint64_t bits = entry & 0xff;
        uint32_t r = cpu_opaque(diffs->twice[i] - (uint32_t)(entry >> 32));
        r = sym % FREQ_SYMS == FREQ_SYM_ESCAPE ? to[i] : r;
        syms[i] = (uint16_t)sym;
        if (i % 2) {
            raw[i / 2] = even | (uint64_t)r << even_bits;
            raw_bits[i / 2] = even_bits + bits;
        }
        even = r;
        even_bits = bits;
    }
}

/* The flags are constants where this is inlined. */
static ALWAYS_INLINE void syms(const struct fast_syms *block, size_t count,
                               bool is_float, bool has_base, bool has_direct)
{
    for (size_t at = 0; at < count; at += FAST_GROUP) {
        struct diffs diffs;
        uint32_t to[FAST_GROUP], from[FAST_GROUP] = {0};
        load_group(to, block->target + 4 * at);
        if (has_base)
            load_group(from, block->base + 4 * at);
        for (unsigned i = 0; has_base && i < FAST_GROUP; i++) {
            uint32_t keep = ~UINT32_C(0);
            if (has_direct)
                keep = (uint32_t)fast_ctx_direct(block->ctx[at + i]) - 1;
            from[i] = ordered(from[i], is_float) & keep;
        }
        find_diffs(to, from, is_float, &diffs);
        find_syms(block, at, to, &diffs, has_direct);
    }
}

static void syms_32(const struct fast_syms *block, size_t count)
{
    const struct fast_context *context = block->context;
    if (!context->is_float && context->has_base)
        syms(block, count, false, true, false);
    else if (!context->is_float)
        syms(block, count, false, false, false);
    else if (!context->has_base)
        syms(block, count, true, false, true);
    else if (context->has_direct)
        syms(block, count, true, true, true);
    else
        syms(block, count, true, true, false);
}

static void classes_32(const uint8_t *base, const uint8_t *target,
                       struct fast_classes *classes, size_t count)
{
    for (size_t at = 0; at < count; at += FAST_GROUP) {
        struct diffs diffs;
        uint32_t to[FAST_GROUP], from[FAST_GROUP], value[FAST_GROUP];
        uint32_t exponent[FAST_GROUP];
        load_group(to, target + 4 * at);
        load_group(from, base + 4 * at);
        for (unsigned i = 0; i < FAST_GROUP; i++) {
            uint32_t v = ordered(to[i], true), sign = 0 - (v >> 31);
            uint32_t m = (v ^ sign) - sign;
            exponent[i] = from[i] << 1 >> 24;
            from[i] = ordered(from[i], true);
            value[i] = ((m >> 22) + 1) & ((uint32_t)(m == 0) - 1);
        }
        find_diffs(to, from, true, &diffs);
        for (unsigned i = 0; i < FAST_GROUP; i++) {
            uint32_t some = (uint32_t)(diffs.magnitude[i] == 0) - 1;
            classes[at + i] = (struct fast_classes){
                .exponent = (uint16_t)exponent[i],
                .diff = (uint16_t)((diffs.half_octave[i] + 1) & some),
                .value = value[i]};
        }
    }
}

struct fast_sizes fast_plain_sizes(const struct fast_classes *classes,
                                   size_t count)
{
    uint32_t sum = 0, clear = 0, changed = 0;
    for (size_t i = 0; i < count; i++) {
        uint32_t diff = classes[i].diff, e = classes[i].exponent;
        uint32_t all = 0 - (uint32_t)((diff > FAST_CLEAR_CLASS) & (e > 0));
        sum += (diff + 2 * e) & all;
        clear -= all;
        changed |= diff;
    }
    return (struct fast_sizes){sum, clear, changed != 0};
}

const struct fast_kernels fast_kernels_plain = {
    .contexts_32 = contexts_32,
    .unmap_32 = unmap_32,
    .syms_32 = syms_32,
    .classes_32 = classes_32,
    .sizes = fast_plain_sizes,
};
