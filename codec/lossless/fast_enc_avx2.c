/* The inner loops of encoder and statistics for AVX2. */
#include "codec/lossless/fast_avx2.h"

#if CPU_X86

/* The half octaves of eight magnitudes of 1 .. 2^31 - 1: exponent and highest
 * mantissa bit of a float. Clearing what lies two bits below a one keeps its
 * rounding from carrying. */
CPU_AVX2 static ALWAYS_INLINE __m256i half_octaves(__m256i magnitude)
{
    __m256i m = _mm256_andnot_si256(_mm256_srli_epi32(magnitude, 2), magnitude);
    __m256i f = _mm256_castps_si256(_mm256_cvtepi32_ps(m));
    return _mm256_sub_epi32(_mm256_srli_epi32(f, 22),
                            _mm256_set1_epi32(2 * 127));
}

/* Symbols of differences, whatever they are for 0 and 2^31. */
CPU_AVX2 static ALWAYS_INLINE __m256i diff_syms(__m256i magnitude, __m256i row)
{
    const __m256i zero = _mm256_setzero_si256();
    __m256i over = _mm256_sub_epi32(half_octaves(magnitude), row);
    over = _mm256_add_epi32(_mm256_max_epi32(over, zero), _mm256_set1_epi32(1));
    return _mm256_min_epi32(over, _mm256_set1_epi32(FREQ_SYM_ESCAPE));
}

CPU_AVX2 static ALWAYS_INLINE __m256i value_syms(__m256i magnitude,
                                                 unsigned first)
{
    __m256i at = _mm256_sub_epi32(_mm256_srli_epi32(magnitude, 22),
                                  _mm256_set1_epi32((int)first));
    at = _mm256_min_epu32(at, _mm256_set1_epi32(CLASSES_SYM_LAST));
    return _mm256_add_epi32(at, _mm256_set1_epi32(1));
}

/* All ones where the table has no frequency for the symbol. */
CPU_AVX2 static ALWAYS_INLINE __m256i without_frequency(const uint32_t *uncoded,
                                                        __m256i table,
                                                        __m256i sym)
{
    __m256 low = _mm256_castsi256_ps(
        _mm256_permutevar8x32_epi32(avx2_load(uncoded), table));
    __m256 high = _mm256_castsi256_ps(
        _mm256_permutevar8x32_epi32(avx2_load(uncoded + 8), table));
    __m256 upper = _mm256_castsi256_ps(_mm256_slli_epi32(table, 28));
    __m256i set = _mm256_castps_si256(_mm256_blendv_ps(low, high, upper));
    set = _mm256_srlv_epi32(set, sym);
    return _mm256_srai_epi32(_mm256_slli_epi32(set, 31), 31);
}

/* 32 elements half way. */
struct half_way {
    uint32_t bits[32];  /* of the target */
    uint32_t twice[32]; /* 2 |d| + sign */
    uint8_t sym[32];
};

CPU_AVX2 static ALWAYS_INLINE __m256i pack_32(__m256i a, __m256i b)
{
    return _mm256_permute4x64_epi64(_mm256_packus_epi32(a, b), 0xd8);
}

/* The flags are constants where these are inlined. */
CPU_AVX2 static ALWAYS_INLINE __m256i syms_8(const struct fast_syms *block,
                                             size_t at, struct half_way *half,
                                             unsigned i, bool is_float,
                                             bool has_base, bool has_diff,
                                             bool has_direct)
{
    const __m256i zero = _mm256_setzero_si256();
    __m256i ctx = _mm256_cvtepu16_epi32(
        _mm_loadu_si128((const __m128i *)(const void *)(block->ctx + at)));
    __m256i row = _mm256_and_si256(_mm256_srli_epi32(ctx, FAST_ROW_SHIFT),
                                   _mm256_set1_epi32(CLASSES_ROWS - 1));
    __m256i direct =
        _mm256_cmpeq_epi32(row, _mm256_set1_epi32(CLASSES_ROW_DIRECT));
    __m256i bits = avx2_load(block->target + 4 * at);
    __m256i d = avx2_ordered_8(bits, is_float);
    if (has_base) {
        __m256i v = avx2_ordered_8(avx2_load(block->base + 4 * at), is_float);
        if (has_direct)
            v = _mm256_andnot_si256(direct, v);
        d = _mm256_sub_epi32(d, v);
    }
    __m256i sign = _mm256_srai_epi32(d, 31), m = _mm256_abs_epi32(d);
    __m256i sym = zero;
    if (has_diff)
        sym = diff_syms(m, row);
    if (has_direct)
        sym = _mm256_blendv_epi8(
            sym, value_syms(m, block->context->direct_first), direct);
    __m256i table = _mm256_srli_epi32(ctx, (int)RANS_TABLE_SHIFT);
    __m256i escape = _mm256_srai_epi32(m, 31); /* 2^31 */
    sym = _mm256_andnot_si256(_mm256_cmpeq_epi32(m, zero), sym);
    escape =
        _mm256_or_si256(escape, without_frequency(block->uncoded, table, sym));
    sym = _mm256_or_si256(
        sym, _mm256_and_si256(escape, _mm256_set1_epi32(FREQ_SYM_ESCAPE)));
    avx2_store(half->bits + 8 * i, bits);
    avx2_store(half->twice + 8 * i,
               _mm256_sub_epi32(_mm256_slli_epi32(m, 1), sign));
    return _mm256_or_si256(_mm256_slli_epi32(table, 5), sym);
}

/* The raw bits of eight elements, two and two. */
CPU_AVX2 static ALWAYS_INLINE void raw_8(const struct fast_syms *block,
                                         size_t at, const struct half_way *half,
                                         const struct avx2_meaning *m,
                                         unsigned i, bool has_direct)
{
    const __m256i low = _mm256_set1_epi64x(0xffffffff);
    __m256i bits = avx2_bytes_8(m->bits + 8 * i);
    __m256i above = avx2_bytes_8(m->above + 8 * i);
    if (has_direct) {
        int first = block->context->direct_first - 1;
        above = _mm256_add_epi32(
            above, _mm256_and_si256(avx2_signs_8(m->value + 8 * i),
                                    _mm256_set1_epi32(first)));
    }
    __m256i r = _mm256_sub_epi32(avx2_load(half->twice + 8 * i),
                                 _mm256_sllv_epi32(above, bits));
    __m256i escape = _mm256_cmpeq_epi32(avx2_bytes_8(half->sym + 8 * i),
                                        _mm256_set1_epi32(FREQ_SYM_ESCAPE));
    r = _mm256_blendv_epi8(r, avx2_load(half->bits + 8 * i), escape);
    __m256i even = _mm256_and_si256(bits, low);
    __m256i odd = _mm256_sllv_epi64(_mm256_srli_epi64(r, 32), even);
    avx2_store(block->raw + at / 2,
               _mm256_or_si256(_mm256_and_si256(r, low), odd));
    avx2_store(block->bits + at / 2,
               _mm256_add_epi64(even, _mm256_srli_epi64(bits, 32)));
}

CPU_AVX2 static ALWAYS_INLINE void syms_32(const struct fast_syms *block,
                                           size_t count, bool is_float,
                                           bool has_base, bool has_diff,
                                           bool has_direct)
{
    const __m256i mask = _mm256_set1_epi16(FREQ_SYMS - 1);
    for (size_t at = 0; at < count; at += 32) {
        struct half_way half;
        struct avx2_meaning m;
        __m256i s[4];
        for (unsigned i = 0; i < 4; i++)
            s[i] = syms_8(block, at + 8 * i, &half, i, is_float, has_base,
                          has_diff, has_direct);
        __m256i a = pack_32(s[0], s[1]), b = pack_32(s[2], s[3]);
        avx2_store(block->syms + at, a);
        avx2_store(block->syms + at + 16, b);
        a = _mm256_packus_epi16(_mm256_and_si256(a, mask),
                                _mm256_and_si256(b, mask));
        avx2_store(half.sym, _mm256_permute4x64_epi64(a, 0xd8));
        avx2_find_meaning(block->context, block->ctx + at, half.sym, 32,
                          has_diff, has_direct, &m);
        for (unsigned i = 0; i < 4; i++)
            raw_8(block, at + 8 * i, &half, &m, i, has_direct);
    }
}

CPU_AVX2 void fast_avx2_syms_32(const struct fast_syms *block, size_t count)
{
    const struct fast_context *context = block->context;
    if (!context->is_float && context->has_base)
        syms_32(block, count, false, true, true, false);
    else if (!context->is_float)
        syms_32(block, count, false, false, true, false);
    else if (!context->has_base)
        syms_32(block, count, true, false, false, true);
    else if (context->has_direct)
        syms_32(block, count, true, true, true, true);
    else
        syms_32(block, count, true, true, true, false);
}

CPU_AVX2 void fast_avx2_classes_32(const uint8_t *base, const uint8_t *target,
                                   struct fast_classes *classes, size_t count)
{
    const __m256i zero = _mm256_setzero_si256(), one = _mm256_set1_epi32(1);
    for (size_t at = 0; at < count; at += 8) {
        __m256i from = avx2_load(base + 4 * at);
        __m256i to = avx2_ordered_8(avx2_load(target + 4 * at), true);
        __m256i d = _mm256_sub_epi32(to, avx2_ordered_8(from, true));
        __m256i m = _mm256_abs_epi32(d);
        __m256i wide = _mm256_srai_epi32(m, 31);
        __m256i diff = _mm256_add_epi32(half_octaves(m), one);
        diff = _mm256_blendv_epi8(diff, _mm256_set1_epi32(63), wide);
        diff = _mm256_andnot_si256(_mm256_cmpeq_epi32(m, zero), diff);
        __m256i e = _mm256_srli_epi32(_mm256_slli_epi32(from, 1), 24);
        __m256i first = _mm256_or_si256(e, _mm256_slli_epi32(diff, 16));
        to = _mm256_abs_epi32(to);
        __m256i value = _mm256_add_epi32(_mm256_srli_epi32(to, 22), one);
        value = _mm256_andnot_si256(_mm256_cmpeq_epi32(to, zero), value);
        __m256i a = _mm256_unpacklo_epi32(first, value);
        __m256i b = _mm256_unpackhi_epi32(first, value);
        avx2_store(classes + at, _mm256_permute2x128_si256(a, b, 0x20));
        avx2_store(classes + at + 4, _mm256_permute2x128_si256(a, b, 0x31));
    }
}

/* Four classes of 64 bits each at a time: exponent and diff are the lowest two
 * of their 16-bit parts. */
CPU_AVX2 struct fast_sizes fast_avx2_sizes(const struct fast_classes *classes,
                                           size_t count)
{
    const __m256i least = _mm256_set1_epi64x(
        (int64_t)(UINT64_C(0x7fff7fff) << 32 | FAST_CLEAR_CLASS << 16));
    const __m256i weights = _mm256_set1_epi64x(1 << 16 | 2);
    const __m256i first = _mm256_set1_epi64x(0xffffffff);
    const __m256i ones = _mm256_set1_epi32(-1);
    __m256i sum = _mm256_setzero_si256(), clear = sum, changed = sum;
    size_t whole = count - count % 4;
    for (size_t at = 0; at < whole; at += 4) {
        __m256i v = avx2_load(classes + at);
        __m256i is_clear =
            _mm256_cmpeq_epi32(_mm256_cmpgt_epi16(v, least), ones);
        __m256i size = _mm256_madd_epi16(v, weights);
        sum = _mm256_add_epi32(sum, _mm256_and_si256(size, is_clear));
        clear = _mm256_sub_epi32(clear, is_clear);
        changed = _mm256_or_si256(changed, v);
    }
    uint32_t sums[8], clears[8];
    avx2_store(sums, _mm256_and_si256(sum, first));
    avx2_store(clears, _mm256_and_si256(clear, first));
    struct fast_sizes rest = fast_plain_sizes(classes + whole, count - whole);
    for (unsigned i = 0; i < 8; i += 2) {
        rest.sum += sums[i];
        rest.clear += clears[i];
    }
    rest.changed |=
        !_mm256_testz_si256(changed, _mm256_set1_epi64x((int64_t)0xffff0000));
    return rest;
}

#endif
