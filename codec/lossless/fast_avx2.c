/* The decoder's inner loops for AVX2: what each symbol means is found for 32
 * elements at a time in bytes, then eight at a time become elements. */
#include "codec/lossless/fast_avx2.h"
#include "codec/lossless/fast_shift.h"

#if CPU_X86

CPU_AVX2 static ALWAYS_INLINE __m256i window_part(const uint8_t *p)
{
    return _mm256_broadcastsi128_si256(
        _mm_loadu_si128((const __m128i *)(const void *)p));
}

/* The exponents of eight doubles as 32-bit numbers, as contexts see them. */
CPU_AVX2 static ALWAYS_INLINE __m256i exponents_64_8(const uint8_t *base)
{
    __m256 a = _mm256_castsi256_ps(
        _mm256_srli_epi64(_mm256_slli_epi64(avx2_load(base), 1), 53));
    __m256 b = _mm256_castsi256_ps(
        _mm256_srli_epi64(_mm256_slli_epi64(avx2_load(base + 32), 1), 53));
    __m256i e = _mm256_castps_si256(_mm256_shuffle_ps(a, b, 0x88));
    e = _mm256_sub_epi32(_mm256_permute4x64_epi64(e, 0xd8),
                         _mm256_set1_epi32(896));
    e = _mm256_max_epi32(e, _mm256_setzero_si256());
    return _mm256_min_epi32(e, _mm256_set1_epi32(CLASSES_EXPONENTS - 1));
}

/* Those of 32 doubles as bytes. */
CPU_AVX2 static ALWAYS_INLINE __m256i exponents_64(const uint8_t *base)
{
    const __m256i order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
    __m256i a =
        _mm256_packus_epi32(exponents_64_8(base), exponents_64_8(base + 64));
    __m256i b = _mm256_packus_epi32(exponents_64_8(base + 128),
                                    exponents_64_8(base + 192));
    return _mm256_permutevar8x32_epi32(_mm256_packus_epi16(a, b), order);
}

/* See fast_shift.h, "fast_shift_exponent". */
CPU_AVX2 static ALWAYS_INLINE __m256i
shifted_exponents(__m256i e, const struct fast_shift *shift)
{
    __m256i none = _mm256_cmpeq_epi8(e, _mm256_setzero_si256());
    e = _mm256_adds_epu8(e, _mm256_set1_epi8((char)shift->up));
    e = _mm256_subs_epu8(e, _mm256_set1_epi8((char)shift->down));
    e = _mm256_max_epu8(e, _mm256_set1_epi8(1));
    e = _mm256_min_epu8(e, _mm256_set1_epi8((char)FAST_SHIFT_LAST));
    return _mm256_andnot_si256(none, e);
}

/* width and shifted are constants where this is inlined. */
CPU_AVX2 static ALWAYS_INLINE void contexts(const struct fast_lookup *lookup,
                                            const uint8_t *base, uint16_t *ctx,
                                            size_t count, unsigned width,
                                            bool shifted)
{
    const struct fast_window *window = lookup->window;
    const __m256i first = _mm256_set1_epi8((char)window->first);
    const __m256i last = _mm256_set1_epi8(FAST_WINDOW - 1);
    __m256i low_part[4], high_part[4];
    for (unsigned i = 0; i < 4; i++) {
        low_part[i] = window_part(window->low + 16 * i);
        high_part[i] = window_part(window->high + 16 * i);
    }
    for (size_t at = 0; at < count; at += 32) {
        __m256i e = width == 32 ? avx2_exponents(base + 4 * at)
                                : exponents_64(base + 8 * at);
        if (shifted)
            e = shifted_exponents(e, &lookup->shift);
        e = _mm256_min_epu8(_mm256_subs_epu8(e, first), last);
        __m256i low = _mm256_setzero_si256(), high = low;
        for (unsigned i = 0; i < 4; i++) {
            /* 0x70 .. 0x7f in this part, else the top bit is set. */
            __m256i in = _mm256_adds_epu8(
                _mm256_sub_epi8(e, _mm256_set1_epi8((char)(16 * i))),
                _mm256_set1_epi8(0x70));
            low = _mm256_or_si256(low, _mm256_shuffle_epi8(low_part[i], in));
            high = _mm256_or_si256(high, _mm256_shuffle_epi8(high_part[i], in));
        }
        __m256i a = _mm256_unpacklo_epi8(low, high);
        __m256i b = _mm256_unpackhi_epi8(low, high);
        avx2_store(ctx + at, _mm256_permute2x128_si256(a, b, 0x20));
        avx2_store(ctx + at + 16, _mm256_permute2x128_si256(a, b, 0x31));
    }
}

CPU_AVX2 static void contexts_32(const struct fast_lookup *lookup,
                                 const uint8_t *base, uint16_t *ctx,
                                 size_t count)
{
    if (lookup->shifted)
        contexts(lookup, base, ctx, count, 32, true);
    else
        contexts(lookup, base, ctx, count, 32, false);
}

CPU_AVX2 static void contexts_64(const struct fast_lookup *lookup,
                                 const uint8_t *base, uint16_t *ctx,
                                 size_t count)
{
    if (lookup->shifted)
        contexts(lookup, base, ctx, count, 64, true);
    else
        contexts(lookup, base, ctx, count, 64, false);
}

/* 32 bits from each bit position on; all within 256 bits. */
CPU_AVX2 static ALWAYS_INLINE __m256i bits_at(const uint8_t *p, __m256i at)
{
    __m256i data = avx2_load(p), word = _mm256_srli_epi32(at, 5);
    __m256i by = _mm256_and_si256(at, _mm256_set1_epi32(31));
    __m256i low = _mm256_permutevar8x32_epi32(data, word);
    __m256i high = _mm256_permutevar8x32_epi32(
        data, _mm256_add_epi32(word, _mm256_set1_epi32(1)));
    return _mm256_or_si256(
        _mm256_srlv_epi32(low, by),
        _mm256_sllv_epi32(high, _mm256_sub_epi32(_mm256_set1_epi32(32), by)));
}

/* The raw bits of eight elements, with others above them. When they do not fit
 * one load the last four get one of their own. */
CPU_AVX2 static ALWAYS_INLINE __m256i raw_8(const uint8_t *raw, size_t pos,
                                            const struct avx2_meaning *m,
                                            unsigned i)
{
    __m256i at = _mm256_add_epi32(avx2_bytes_8(m->before + 8 * i),
                                  _mm256_set1_epi32((int)(pos % 8)));
    __m256i r = bits_at(raw + pos / 8, at);
    if (m->sum[i] + pos % 8 > 256) {
        size_t skip = (m->before[8 * i + 4] + pos % 8) / 8;
        at = _mm256_sub_epi32(at, _mm256_set1_epi32((int)(8 * skip)));
        __m256i rest = bits_at(raw + pos / 8 + skip, at);
        r = _mm256_blend_epi32(r, rest, 0xf0);
    }
    return r;
}

CPU_AVX2 static ALWAYS_INLINE void unmap_8(const struct fast_block *block,
                                           size_t at, size_t pos,
                                           const struct avx2_meaning *m,
                                           unsigned i, bool is_float,
                                           bool has_base, bool has_direct)
{
    const __m256i zero = _mm256_setzero_si256(),
                  ones = _mm256_cmpeq_epi32(zero, zero);
    __m256i bits = avx2_bytes_8(m->bits + 8 * i),
            above = avx2_bytes_8(m->above + 8 * i);
    if (has_direct) {
        int first = block->context->direct_first - 1;
        above = _mm256_add_epi32(
            above, _mm256_and_si256(avx2_signs_8(m->value + 8 * i),
                                    _mm256_set1_epi32(first)));
    }
    __m256i r = _mm256_andnot_si256(_mm256_sllv_epi32(ones, bits),
                                    raw_8(block->raw, pos, m, i));
    __m256i twice = _mm256_add_epi32(_mm256_sllv_epi32(above, bits), r);
    __m256i sign = _mm256_srai_epi32(_mm256_slli_epi32(twice, 31), 31);
    __m256i d = _mm256_sub_epi32(
        _mm256_xor_si256(_mm256_srli_epi32(twice, 1), sign), sign);
    if (has_base) {
        __m256i v = avx2_ordered_8(avx2_load(block->base + 4 * at), is_float);
        if (has_direct)
            v = _mm256_andnot_si256(avx2_signs_8(m->direct + 8 * i), v);
        d = _mm256_add_epi32(d, v);
    }
    __m256i escape = _mm256_cmpeq_epi32(avx2_bytes_8(block->syms + at),
                                        _mm256_set1_epi32(FREQ_SYM_ESCAPE));
    avx2_store(block->out + 4 * at,
               _mm256_blendv_epi8(avx2_ordered_8(d, is_float), r, escape));
}

CPU_AVX2 static ALWAYS_INLINE size_t unmap(const struct fast_block *block,
                                           size_t count, bool is_float,
                                           bool has_base, bool has_diff,
                                           bool has_direct)
{
    size_t pos = block->raw_pos;
    for (size_t at = 0; at < count; at += 32) {
        struct avx2_meaning m;
        avx2_find_meaning(block->context, block->ctx + at, block->syms + at, 32,
                          has_diff, has_direct, &m);
        for (unsigned i = 0; i < 4; i++) {
            unmap_8(block, at + 8 * i, pos, &m, i, is_float, has_base,
                    has_direct);
            pos += m.sum[i];
        }
    }
    return pos;
}

CPU_AVX2 static size_t unmap_32(const struct fast_block *block, size_t count)
{
    const struct fast_context *context = block->context;
    if (!context->is_float)
        return context->has_base
                   ? unmap(block, count, false, true, true, false)
                   : unmap(block, count, false, false, true, false);
    if (!context->has_base)
        return unmap(block, count, true, false, false, true);
    return context->has_direct ? unmap(block, count, true, true, true, true)
                               : unmap(block, count, true, true, true, false);
}

CPU_AVX2 static ALWAYS_INLINE __m256i bytes_4(const uint8_t *p)
{
    return _mm256_cvtepu8_epi64(_mm_cvtsi32_si128((int)load_le32(p)));
}

CPU_AVX2 static ALWAYS_INLINE __m256i signs_4(const uint8_t *p)
{
    return _mm256_cvtepi8_epi64(_mm_cvtsi32_si128((int)load_le32(p)));
}

/* 64 bits from each bit position on, of which those within 256 bits are right:
 * two words, and what a third has above them. */
CPU_AVX2 static ALWAYS_INLINE __m256i bits_at_64(const uint8_t *p, __m256i at)
{
    __m256i data = avx2_load(p), word = _mm256_srli_epi64(at, 5);
    __m256i by = _mm256_and_si256(at, _mm256_set1_epi64x(31));
    __m256i next = _mm256_add_epi64(word, _mm256_set1_epi64x(1));
    __m256i low = _mm256_permutevar8x32_epi32(
        data, _mm256_or_si256(word, _mm256_slli_epi64(next, 32)));
    __m256i high = _mm256_permutevar8x32_epi32(
        data, _mm256_add_epi64(word, _mm256_set1_epi64x(2)));
    high =
        _mm256_sllv_epi64(high, _mm256_sub_epi64(_mm256_set1_epi64x(64), by));
    return _mm256_or_si256(_mm256_srlv_epi64(low, by), high);
}

/* The raw bits of four elements, with others above them; see raw_8. */
CPU_AVX2 static ALWAYS_INLINE __m256i raw_4(const uint8_t *raw, size_t pos,
                                            const uint8_t *before, size_t sum)
{
    const uint8_t *p = raw + pos / 8;
    __m256i at = _mm256_add_epi64(bytes_4(before),
                                  _mm256_set1_epi64x((long long)(pos % 8)));
    __m256i r = bits_at_64(p, at);
    if (sum + pos % 8 > 256) {
        size_t skip = (before[2] + pos % 8) / 8;
        at = _mm256_sub_epi64(at, _mm256_set1_epi64x((long long)(8 * skip)));
        r = _mm256_blend_epi32(r, bits_at_64(p + skip, at), 0xf0);
    }
    return r;
}

CPU_AVX2 static ALWAYS_INLINE __m256i ordered_4(__m256i v, bool is_float)
{
    if (!is_float)
        return v;
    __m256i sign = _mm256_cmpgt_epi64(_mm256_setzero_si256(), v);
    return _mm256_xor_si256(v, _mm256_srli_epi64(sign, 1));
}

/* Elements at .. at + 3 of the block, i .. i + 3 of their 32. Returns how many
 * raw bits they took. */
CPU_AVX2 static ALWAYS_INLINE size_t unmap_4(const struct fast_block *block,
                                             size_t at, size_t pos,
                                             const struct avx2_meaning *m,
                                             unsigned i, bool is_float,
                                             bool has_base, bool has_direct)
{
    const __m256i zero = _mm256_setzero_si256();
    __m256i bits = bytes_4(m->bits + i), above = bytes_4(m->above + i);
    size_t sum = (size_t)m->before[i + 3] + m->bits[i + 3];
    if (has_direct) {
        int first = block->context->direct_first - 1;
        above = _mm256_add_epi64(
            above,
            _mm256_and_si256(signs_4(m->value + i), _mm256_set1_epi64x(first)));
    }
    __m256i r = _mm256_andnot_si256(
        _mm256_sllv_epi64(_mm256_cmpeq_epi64(zero, zero), bits),
        raw_4(block->raw, pos, m->before + i, sum));
    __m256i twice = _mm256_add_epi64(_mm256_sllv_epi64(above, bits), r);
    __m256i sign =
        _mm256_sub_epi64(zero, _mm256_and_si256(twice, _mm256_set1_epi64x(1)));
    __m256i d = _mm256_sub_epi64(
        _mm256_xor_si256(_mm256_srli_epi64(twice, 1), sign), sign);
    if (has_base) {
        __m256i v = ordered_4(avx2_load(block->base + 8 * at), is_float);
        if (has_direct)
            v = _mm256_andnot_si256(signs_4(m->direct + i), v);
        d = _mm256_add_epi64(d, v);
    }
    __m256i escape = _mm256_cmpeq_epi64(bytes_4(block->syms + at),
                                        _mm256_set1_epi64x(FREQ_SYM_ESCAPE));
    avx2_store(block->out + 8 * at,
               _mm256_blendv_epi8(ordered_4(d, is_float), r, escape));
    return sum;
}

CPU_AVX2 static ALWAYS_INLINE size_t unmap_wide(const struct fast_block *block,
                                                size_t count, bool is_float,
                                                bool has_base, bool has_diff,
                                                bool has_direct)
{
    size_t pos = block->raw_pos;
    for (size_t at = 0; at < count; at += 32) {
        struct avx2_meaning m;
        avx2_find_meaning(block->context, block->ctx + at, block->syms + at, 64,
                          has_diff, has_direct, &m);
        for (unsigned i = 0; i < 32; i += 4)
            pos += unmap_4(block, at + i, pos, &m, i, is_float, has_base,
                           has_direct);
    }
    return pos;
}

CPU_AVX2 static size_t unmap_64(const struct fast_block *block, size_t count)
{
    const struct fast_context *context = block->context;
    if (!context->is_float && context->has_base)
        return unmap_wide(block, count, false, true, true, false);
    if (!context->is_float)
        return unmap_wide(block, count, false, false, true, false);
    if (!context->has_base)
        return unmap_wide(block, count, true, false, false, true);
    if (context->has_direct)
        return unmap_wide(block, count, true, true, true, true);
    return unmap_wide(block, count, true, true, true, false);
}

const struct fast_kernels fast_kernels_avx2 = {
    .contexts_32 = contexts_32,
    .unmap_32 = unmap_32,
    .contexts_64 = contexts_64,
    .unmap_64 = unmap_64,
    .syms_32 = fast_avx2_syms_32,
    .classes_32 = fast_avx2_classes_32,
    .sizes = fast_avx2_sizes,
};

#endif
