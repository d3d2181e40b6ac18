/* The decoder's inner loops for AVX2: contexts and what each symbol means are
 * found for 32 elements at a time in bytes, raw bits for eight in 32 bits,
 * elements for sixteen in 16 bits. */
#include "codec/lossless/narrow_kernels.h"

#if CPU_X86

#    include <immintrin.h>

/* Inlined whatever the compiler thinks of it, so that what is constant at the
 * call is constant inside. */
#    define KERNEL CPU_AVX2 static ALWAYS_INLINE

/* What the loops are specialised for. */
struct shape {
    bool bytes; /* elements of 8 bits */
    bool has_pred, has_lost, has_direct;
};

KERNEL __m256i load(const void *p)
{
    return _mm256_loadu_si256((const __m256i *)p);
}

KERNEL void store(void *p, __m256i v)
{
    _mm256_storeu_si256((__m256i *)p, v);
}

KERNEL __m256i all_bytes(unsigned v)
{
    return _mm256_set1_epi8((char)(uint8_t)v);
}

KERNEL __m256i all_words(unsigned v)
{
    return _mm256_set1_epi16((short)(uint16_t)v);
}

/* Bytes or words of which the compiler knows nothing: else it makes each anew,
 * in several steps, wherever it is used. */
KERNEL __m256i same_bytes(unsigned v)
{
    return all_bytes(cpu_opaque(v));
}

KERNEL __m256i same_words(unsigned v)
{
    return all_words(cpu_opaque(v));
}

KERNEL __m256i table_16(const uint8_t *p)
{
    return _mm256_broadcastsi128_si256(
        _mm_loadu_si128((const __m128i *)(const void *)p));
}

/* The low bytes of 32 words, saturated, in order. */
KERNEL __m256i pack_bytes(__m256i a, __m256i b)
{
    return _mm256_permute4x64_epi64(_mm256_packus_epi16(a, b), 0xd8);
}

/* Bytes p[i] for indices i below 32. */
KERNEL __m256i look_up_32(const uint8_t *p, __m256i i)
{
    __m256i low = _mm256_shuffle_epi8(table_16(p), i);
    __m256i high = _mm256_shuffle_epi8(table_16(p + 16), i);
    return _mm256_blendv_epi8(low, high, _mm256_slli_epi16(i, 3));
}

/* Exponents of 32 elements as contexts see them, and 0xff where the sign bit
 * is set. */
KERNEL __m256i exponents(const struct narrow_format *format,
                         const uint8_t *pred, bool bytes, __m256i *negative)
{
    const __m128i shift = _mm_cvtsi32_si128(format->exponent_shift);
    const __m256i mask = all_words(format->exponent_mask);
    __m256i a = load(pred), e;
    if (bytes) {
        *negative = _mm256_cmpgt_epi8(_mm256_setzero_si256(), a);
        e = _mm256_and_si256(_mm256_srl_epi16(a, shift),
                             all_bytes(format->exponent_mask));
    } else {
        __m256i b = load(pred + 32);
        *negative = _mm256_permute4x64_epi64(
            _mm256_packs_epi16(_mm256_srai_epi16(a, 15),
                               _mm256_srai_epi16(b, 15)),
            0xd8);
        e = pack_bytes(_mm256_and_si256(_mm256_srl_epi16(a, shift), mask),
                       _mm256_and_si256(_mm256_srl_epi16(b, shift), mask));
    }
    return _mm256_xor_si256(e, all_bytes(format->exponent_flip));
}

/* 0xff where a <= b, unsigned. */
KERNEL __m256i at_most(__m256i a, __m256i b)
{
    return _mm256_cmpeq_epi8(_mm256_min_epu8(a, b), a);
}

/* Integers: the run that each exponent belongs to, above the row. */
KERNEL __m256i integers(const struct narrow_context *context, __m256i e)
{
    __m256i run = _mm256_setzero_si256();
    for (unsigned r = 1; r < context->run_count; r++)
        run =
            _mm256_sub_epi8(run, at_most(all_bytes(context->run_first[r]), e));
    run = _mm256_and_si256(_mm256_slli_epi16(run, 4), all_bytes(0xf0));
    return _mm256_or_si256(run, all_bytes(context->row));
}

/* Floats: the same looked up, where it changes. */
KERNEL __m256i floats(const struct narrow_context *context, __m256i e)
{
    __m256i sum = _mm256_setzero_si256();
    e = _mm256_max_epu8(e, all_bytes(context->window_first));
    e = _mm256_min_epu8(e, all_bytes(context->window_last));
    e = _mm256_sub_epi8(e, all_bytes(context->window_first));
    for (unsigned i = 0; i < context->window_parts; i++) {
        /* 0x70 .. 0x7f in this part, else the top bit is set. */
        __m256i in = _mm256_adds_epu8(e, all_bytes(0x70));
        __m256i part = table_16(context->window + 16 * i);
        sum = _mm256_or_si256(sum, _mm256_shuffle_epi8(part, in));
        e = _mm256_sub_epi8(e, all_bytes(16));
    }
    return sum;
}

/* real is a constant. */
KERNEL void contexts_run(const struct narrow_block *block, size_t count,
                         struct shape shape, bool real)
{
    const struct narrow_context *context = block->context;
    const struct narrow_format format = context->format;
    const __m256i is_signed = all_bytes(format.is_signed ? 0xff : 0);
    const __m256i row_direct = same_bytes(NARROW_ROW_DIRECT);
    uint16_t *ctx = block->ctx;
    for (size_t at = 0; at < count; at += NARROW_GROUP) {
        __m256i flip, table;
        __m256i e =
            exponents(&format, block->pred + (shape.bytes ? at : 2 * at),
                      shape.bytes, &flip);
        __m256i row = real ? floats(context, e) : integers(context, e);
        __m256i run =
            _mm256_and_si256(_mm256_srli_epi16(row, 4), all_bytes(15));
        if (shape.has_lost) {
            __m256i lost =
                _mm256_and_si256(load(block->lost + at), all_bytes(7));
            flip = _mm256_cmpgt_epi8(all_bytes(4), lost);
            __m256i side =
                _mm256_and_si256(_mm256_xor_si256(lost, flip), all_bytes(3));
            run = _mm256_and_si256(_mm256_slli_epi16(run, 2), all_bytes(0x1c));
            table = look_up_32(context->run_sides, _mm256_or_si256(run, side));
        } else {
            flip = _mm256_and_si256(flip, is_signed);
            table = _mm256_shuffle_epi8(table_16(context->run_table), run);
        }
        row = _mm256_and_si256(row, all_bytes(15));
        if (real)
            flip =
                _mm256_andnot_si256(_mm256_cmpeq_epi8(row, row_direct), flip);
        /* table << 12 | flip << 9 | row << 5; tables come shifted by 4. */
        __m256i low =
            _mm256_and_si256(_mm256_slli_epi16(row, 5), all_bytes(0xe0));
        __m256i high = _mm256_srli_epi16(row, 3);
        high = _mm256_and_si256(high, all_bytes(1));
        high = _mm256_or_si256(high, _mm256_and_si256(flip, all_bytes(2)));
        high = _mm256_or_si256(high, table);
        __m256i a = _mm256_unpacklo_epi8(low, high);
        __m256i b = _mm256_unpackhi_epi8(low, high);
        store(ctx + at, _mm256_permute2x128_si256(a, b, 0x20));
        store(ctx + at + 16, _mm256_permute2x128_si256(a, b, 0x31));
    }
}

KERNEL void contexts_width(const struct narrow_block *block, size_t count,
                           bool bytes)
{
    const struct shape with = {bytes, true, true, true};
    const struct shape without = {bytes, true, false, true};
    const struct narrow_context *context = block->context;
    if (!context->format.mantissa_bits && context->has_lost)
        contexts_run(block, count, with, false);
    else if (!context->format.mantissa_bits)
        contexts_run(block, count, without, false);
    else if (context->has_lost)
        contexts_run(block, count, with, true);
    else
        contexts_run(block, count, without, true);
}

CPU_AVX2 static void contexts(const struct narrow_block *block, size_t count)
{
    if (block->context->format.width == 8)
        contexts_width(block, count, true);
    else
        contexts_width(block, count, false);
}

/* A block, and what all its elements have in common: copies, which no store of
 * an element can change. */
struct work {
    struct narrow_block block;
    __m256i order_mask;
    __m256i full_pred;
    __m256i mantissa_bits; /* bytes */
    __m256i direct_last;   /* the last symbol of values */
    __m256i direct_above;  /* what direct_first adds; bytes */
    __m256i low_signed;    /* magnitudes that row 0 or 1 has both signs of */
    __m256i low_last;      /* the last symbol of these */
    __m256i one, two, three, four, seven, escape, row_direct, width; /* bytes */
    __m256i row_mask, ctx_direct, escape_word;                       /* words */
};

KERNEL struct work work_of(const struct narrow_block *block)
{
    const struct narrow_context *context = block->context;
    unsigned left = context->format.half_octaves - context->direct_first;
    return (struct work){
        .block = *block,
        .order_mask = same_words(context->format.order_mask),
        .full_pred = same_words(context->full_pred),
        .mantissa_bits = same_bytes(context->format.mantissa_bits),
        .direct_last =
            same_bytes(left < FREQ_SYM_ESCAPE ? left : FREQ_SYM_ESCAPE),
        .direct_above = same_bytes(context->direct_first - 1u),
        .low_signed = same_bytes(context->low_signed),
        .low_last = same_bytes(2u * context->low_signed),
        .one = same_bytes(1),
        .two = same_bytes(2),
        .three = same_bytes(3),
        .four = same_bytes(4),
        .seven = same_bytes(7),
        .escape = same_bytes(FREQ_SYM_ESCAPE),
        .row_direct = same_bytes(NARROW_ROW_DIRECT),
        .width = same_bytes(context->format.width),
        .row_mask = same_words((NARROW_ROWS - 1) << NARROW_ROW_SHIFT),
        .ctx_direct = same_words(NARROW_ROW_DIRECT << NARROW_ROW_SHIFT),
        .escape_word = same_words(FREQ_SYM_ESCAPE)};
}

/* What is known of 32 elements before their raw bits are seen. */
struct meaning {
    uint8_t bits[32];   /* raw bits */
    uint8_t before[32]; /* raw bits of those before in its eight */
    uint8_t above[32];  /* what goes above them */
    uint64_t sum[4];    /* raw bits of each eight */
    bool has_raw;
    bool has_escape;
};

/* Rows of 32 contexts, as bytes. */
KERNEL __m256i rows_from(const uint16_t *ctx, __m256i mask)
{
    __m256i a = _mm256_and_si256(load(ctx), mask);
    __m256i b = _mm256_and_si256(load(ctx + 16), mask);
    return pack_bytes(_mm256_srli_epi16(a, NARROW_ROW_SHIFT),
                      _mm256_srli_epi16(b, NARROW_ROW_SHIFT));
}

/* bits and above of differences; see narrow_rows.c, "difference". none is 0xff
 * for symbol 0. */
KERNEL __m256i differences(const struct work *work, __m256i row, __m256i sym,
                           __m256i none, __m256i *above)
{
    __m256i is_low = _mm256_cmpgt_epi8(work->two, row);
    __m256i small =
        _mm256_andnot_si256(_mm256_cmpgt_epi8(sym, work->low_last), is_low);
    /* The class, its least magnitude less trailing zeros, its raw bits. */
    __m256i i =
        _mm256_sub_epi8(sym, _mm256_and_si256(is_low, work->low_signed));
    __m256i top = _mm256_or_si256(_mm256_and_si256(i, work->three), work->four);
    top = _mm256_blendv_epi8(i, top, _mm256_cmpgt_epi8(i, work->seven));
    __m256i bits = _mm256_and_si256(_mm256_srli_epi16(i, 2), work->seven);
    bits = _mm256_add_epi8(_mm256_max_epu8(bits, work->one),
                           _mm256_subs_epu8(row, work->two));
    /* Single magnitudes of either sign, and none where nothing is dropped. */
    __m256i single = _mm256_add_epi8(_mm256_add_epi8(sym, work->one), none);
    *above = _mm256_blendv_epi8(top, single, small);
    none = _mm256_and_si256(none, _mm256_cmpgt_epi8(work->three, row));
    return _mm256_andnot_si256(_mm256_or_si256(small, none), bits);
}

/* What the symbols of 32 elements say. The constants of shape choose what is
 * there. */
KERNEL void find_meaning(const struct work *work, size_t at, struct shape shape,
                         struct meaning *m)
{
    const __m256i zero = _mm256_setzero_si256();
    __m256i sym = load(work->block.syms + at), bits = zero, above = zero;
    __m256i none = _mm256_cmpeq_epi8(sym, zero);
    __m256i wide = _mm256_cmpeq_epi8(sym, work->escape);
    __m256i direct = _mm256_cmpeq_epi8(zero, zero);
    m->has_escape = !_mm256_testz_si256(wide, wide);
    if (shape.has_pred || !shape.has_direct) {
        __m256i row = rows_from(work->block.ctx + at, work->row_mask);
        bits = differences(work, row, sym, none, &above);
        direct = _mm256_cmpeq_epi8(row, work->row_direct);
    }
    if (shape.has_direct) {
        __m256i over = _mm256_cmpgt_epi8(sym, work->direct_last);
        __m256i value =
            _mm256_andnot_si256(none, _mm256_add_epi8(sym, work->direct_above));
        wide = _mm256_or_si256(wide, _mm256_and_si256(direct, over));
        bits = _mm256_blendv_epi8(
            bits, _mm256_andnot_si256(none, work->mantissa_bits), direct);
        above = _mm256_blendv_epi8(above, value, direct);
    }
    bits = _mm256_blendv_epi8(bits, work->width, wide);
    above = _mm256_andnot_si256(wide, above);
    store(m->above, above);
    m->has_raw = !_mm256_testz_si256(bits, bits);
    if (!m->has_raw)
        return;
    store(m->bits, bits);
    store(m->sum, _mm256_sad_epu8(bits, zero));
    bits = _mm256_add_epi8(bits, _mm256_slli_epi64(bits, 8));
    bits = _mm256_add_epi8(bits, _mm256_slli_epi64(bits, 16));
    bits = _mm256_add_epi8(bits, _mm256_slli_epi64(bits, 32));
    store(m->before, _mm256_slli_epi64(bits, 8));
}

/* 32 bits from each bit position on; all within 224 bits. */
KERNEL __m256i bits_at(const uint8_t *p, __m256i at)
{
    __m256i data = load(p), word = _mm256_srli_epi32(at, 5);
    __m256i by = _mm256_and_si256(at, _mm256_set1_epi32(31));
    __m256i low = _mm256_permutevar8x32_epi32(data, word);
    __m256i high = _mm256_permutevar8x32_epi32(
        data, _mm256_add_epi32(word, _mm256_set1_epi32(1)));
    return _mm256_or_si256(
        _mm256_srlv_epi32(low, by),
        _mm256_sllv_epi32(high, _mm256_sub_epi32(_mm256_set1_epi32(32), by)));
}

KERNEL __m256i bytes_8(const uint8_t *p)
{
    return _mm256_cvtepu8_epi32(
        _mm_loadl_epi64((const __m128i *)(const void *)p));
}

/* 2 m + g of eight elements whose raw bits begin at pos. */
KERNEL __m256i twice_8(const struct work *work, const struct meaning *m,
                       unsigned i, size_t pos)
{
    const __m256i ones = _mm256_set1_epi32(-1);
    __m256i bits = bytes_8(m->bits + 8 * i), above = bytes_8(m->above + 8 * i);
    __m256i at = _mm256_add_epi32(bytes_8(m->before + 8 * i),
                                  _mm256_set1_epi32((int)(pos % 8)));
    __m256i r = _mm256_andnot_si256(_mm256_sllv_epi32(ones, bits),
                                    bits_at(work->block.raw + pos / 8, at));
    return _mm256_add_epi32(_mm256_sllv_epi32(above, bits), r);
}

/* Sixteen words from bytes. */
KERNEL __m256i words_16(const uint8_t *p)
{
    return _mm256_cvtepu8_epi16(
        _mm_loadu_si128((const __m128i *)(const void *)p));
}

/* m, and g as a mask, of sixteen elements. */
KERNEL void split_16(__m256i a, __m256i b, __m256i *m, __m256i *g)
{
    *m = _mm256_permute4x64_epi64(
        _mm256_packus_epi32(_mm256_srli_epi32(a, 1), _mm256_srli_epi32(b, 1)),
        0xd8);
    *g = _mm256_permute4x64_epi64(
        _mm256_packs_epi32(_mm256_srai_epi32(_mm256_slli_epi32(a, 31), 31),
                           _mm256_srai_epi32(_mm256_slli_epi32(b, 31), 31)),
        0xd8);
}

/* Words whose sign is that of an element, in ordered form or back. */
KERNEL __m256i ordered_16s(__m256i v, __m256i order_mask, bool bytes)
{
    __m256i sign = bytes ? _mm256_slli_epi16(v, 8) : v;
    return _mm256_xor_si256(
        v, _mm256_and_si256(_mm256_srai_epi16(sign, 15), order_mask));
}

/* Sixteen elements from m, g and the predictions. */
KERNEL void finish_16(const struct work *work, size_t at, __m256i m, __m256i g,
                      bool has_escape, struct shape shape)
{
    const struct narrow_block *block = &work->block;
    const __m256i order_mask = work->order_mask;
    __m256i ctx = load(block->ctx + at), v = work->full_pred;
    if (shape.has_pred) {
        v = shape.bytes ? words_16(block->pred + at)
                        : load(block->pred + 2 * at);
        v = ordered_16s(v, order_mask, shape.bytes);
    }
    if (shape.has_pred && shape.has_direct) {
        __m256i direct = _mm256_cmpeq_epi16(
            _mm256_and_si256(ctx, work->row_mask), work->ctx_direct);
        v = _mm256_andnot_si256(direct, v);
    }
    /* The flip is bit 9 of the context. */
    __m256i flip = _mm256_srai_epi16(_mm256_slli_epi16(ctx, 6), 15);
    __m256i sign = _mm256_xor_si256(g, flip);
    __m256i d = _mm256_sub_epi16(_mm256_xor_si256(m, sign), sign);
    v = ordered_16s(_mm256_add_epi16(v, d), order_mask, shape.bytes);
    if (has_escape) {
        __m256i raw = _mm256_sub_epi16(_mm256_add_epi16(m, m), g);
        __m256i escape =
            _mm256_cmpeq_epi16(words_16(block->syms + at), work->escape_word);
        v = _mm256_blendv_epi8(v, raw, escape);
    }
    if (shape.bytes) {
        v = _mm256_and_si256(v, all_words(0xff));
        v = pack_bytes(v, v);
        _mm_storeu_si128((__m128i *)(void *)(block->out + at),
                         _mm256_castsi256_si128(v));
    } else {
        store(block->out + 2 * at, v);
    }
}

KERNEL size_t unmap_run(const struct narrow_block *block, size_t count,
                        struct shape shape)
{
    const struct work work = work_of(block);
    size_t pos = block->raw_pos;
    for (size_t at = 0; at < count; at += NARROW_GROUP) {
        struct meaning m;
        find_meaning(&work, at, shape, &m);
        for (unsigned half = 0; half < 2; half++) {
            __m256i magnitude, g;
            unsigned i = 2 * half;
            if (m.has_raw) {
                __m256i a = twice_8(&work, &m, i, pos);
                pos += m.sum[i];
                __m256i b = twice_8(&work, &m, i + 1, pos);
                pos += m.sum[i + 1];
                split_16(a, b, &magnitude, &g);
            } else {
                __m256i twice = words_16(m.above + 8 * i);
                magnitude = _mm256_srli_epi16(twice, 1);
                g = _mm256_srai_epi16(_mm256_slli_epi16(twice, 15), 15);
            }
            finish_16(&work, at + 8 * i, magnitude, g, m.has_escape, shape);
        }
    }
    return pos;
}

KERNEL size_t unmap_width(const struct narrow_block *block, size_t count,
                          bool bytes)
{
    const struct narrow_context *context = block->context;
    if (!context->direct_end)
        return context->has_pred
                   ? unmap_run(block, count,
                               (struct shape){bytes, true, false, false})
                   : unmap_run(block, count,
                               (struct shape){bytes, false, false, false});
    return context->has_pred
               ? unmap_run(block, count,
                           (struct shape){bytes, true, false, true})
               : unmap_run(block, count,
                           (struct shape){bytes, false, false, true});
}

CPU_AVX2 static size_t unmap(const struct narrow_block *block, size_t count)
{
    return block->context->format.width == 8 ? unmap_width(block, count, true)
                                             : unmap_width(block, count, false);
}

const struct narrow_kernels narrow_kernels_avx2 = {contexts, unmap, false};

#endif
