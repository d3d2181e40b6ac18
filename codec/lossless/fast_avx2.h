/* What decoder, encoder and statistics for AVX2 share. Private to fast_*. */
#ifndef CODEC_LOSSLESS_FAST_AVX2_H
#define CODEC_LOSSLESS_FAST_AVX2_H

#include "codec/lossless/fast_kernels.h"

#if CPU_X86

#    include <immintrin.h>

CPU_AVX2 static ALWAYS_INLINE __m256i avx2_load(const void *p)
{
    return _mm256_loadu_si256((const __m256i *)p);
}

CPU_AVX2 static ALWAYS_INLINE void avx2_store(void *p, __m256i v)
{
    _mm256_storeu_si256((__m256i *)p, v);
}

CPU_AVX2 static ALWAYS_INLINE __m256i avx2_bytes_8(const uint8_t *p)
{
    return _mm256_cvtepu8_epi32(
        _mm_loadl_epi64((const __m128i *)(const void *)p));
}

CPU_AVX2 static ALWAYS_INLINE __m256i avx2_signs_8(const uint8_t *p)
{
    return _mm256_cvtepi8_epi32(
        _mm_loadl_epi64((const __m128i *)(const void *)p));
}

/* The exponents of 32 elements as bytes, in order. */
CPU_AVX2 static ALWAYS_INLINE __m256i avx2_exponents(const uint8_t *base)
{
    const __m256i order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
    __m256i e[4];
    for (unsigned i = 0; i < 4; i++)
        e[i] = _mm256_srli_epi32(_mm256_slli_epi32(avx2_load(base + 32 * i), 1),
                                 24);
    return _mm256_permutevar8x32_epi32(
        _mm256_packus_epi16(_mm256_packus_epi32(e[0], e[1]),
                            _mm256_packus_epi32(e[2], e[3])),
        order);
}

/* What is known of 32 elements before their raw bits are seen. A load holds the
 * raw bits of eight of them, or of four of 64 bits. */
struct avx2_meaning {
    uint8_t bits[32];   /* raw bits */
    uint8_t before[32]; /* raw bits of those before in its load */
    uint8_t above[32];  /* what goes above them */
    uint8_t direct[32]; /* 0xff: coded by value */
    uint8_t value[32];  /* 0xff: above lacks what direct_first adds */
    uint64_t sum[4];    /* raw bits of each eight; 32-bit elements only */
};

/* Rows of 32 contexts, as bytes. */
CPU_AVX2 static ALWAYS_INLINE __m256i avx2_rows_of(const uint16_t *ctx)
{
    const __m256i mask = _mm256_set1_epi16(CLASSES_ROWS - 1);
    __m256i a = _mm256_and_si256(
        _mm256_srli_epi16(avx2_load(ctx), FAST_ROW_SHIFT), mask);
    __m256i b = _mm256_and_si256(
        _mm256_srli_epi16(avx2_load(ctx + 16), FAST_ROW_SHIFT), mask);
    return _mm256_permute4x64_epi64(_mm256_packus_epi16(a, b), 0xd8);
}

/* bits and above of differences, see classes.c, "difference" and "lowest".
 * Symbols 0 and escape are left to the caller. */
CPU_AVX2 static ALWAYS_INLINE void avx2_differences(__m256i row, __m256i sym,
                                                    unsigned width,
                                                    __m256i *bits,
                                                    __m256i *above)
{
    const __m256i one = _mm256_set1_epi8(1), two = _mm256_set1_epi8(2);
    __m256i c = _mm256_sub_epi8(_mm256_add_epi8(row, sym), one);
    __m256i top =
        _mm256_and_si256(_mm256_srli_epi16(c, 1), _mm256_set1_epi8(0x7f));
    __m256i none = _mm256_cmpeq_epi8(top, _mm256_setzero_si256());
    __m256i lowest = _mm256_andnot_si256(none, _mm256_cmpeq_epi8(sym, one));
    __m256i wide = _mm256_cmpgt_epi8(top, _mm256_set1_epi8((char)(width - 2)));
    *bits = _mm256_sub_epi8(top, none);
    *bits = _mm256_add_epi8(*bits, _mm256_and_si256(lowest, two));
    *bits = _mm256_blendv_epi8(*bits, _mm256_set1_epi8((char)width), wide);
    *above = _mm256_or_si256(two, _mm256_and_si256(c, one));
    *above = _mm256_blendv_epi8(*above, one, none);
    *above = _mm256_andnot_si256(_mm256_or_si256(lowest, wide), *above);
}

/* width of elements: 32 or 64; has_diff: some are coded by difference;
 * has_direct: some by value. Constants where this is inlined. */
CPU_AVX2 static ALWAYS_INLINE void
avx2_find_meaning(const struct fast_context *context, const uint16_t *ctx,
                  const uint8_t *syms, unsigned width, bool has_diff,
                  bool has_direct, struct avx2_meaning *m)
{
    const __m256i zero = _mm256_setzero_si256(),
                  all = _mm256_cmpeq_epi8(zero, zero);
    __m256i sym = avx2_load(syms), bits = zero, above = zero, direct = all;
    __m256i none = _mm256_cmpeq_epi8(sym, zero);
    __m256i wide = _mm256_cmpeq_epi8(sym, _mm256_set1_epi8(FREQ_SYM_ESCAPE));
    if (has_diff) {
        __m256i row = avx2_rows_of(ctx);
        avx2_differences(row, sym, width, &bits, &above);
        direct = _mm256_cmpeq_epi8(row, _mm256_set1_epi8(CLASSES_ROW_DIRECT));
    }
    if (has_direct) {
        unsigned left = context->format.half_octaves - context->direct_first;
        unsigned last = left < CLASSES_SYM_LAST ? left : CLASSES_SYM_LAST;
        __m256i over = _mm256_cmpgt_epi8(sym, _mm256_set1_epi8((char)last));
        wide = _mm256_or_si256(wide, _mm256_and_si256(direct, over));
        bits = _mm256_blendv_epi8(
            bits, _mm256_set1_epi8((char)context->format.mantissa_bits),
            direct);
        above = _mm256_blendv_epi8(above, sym, direct);
        avx2_store(m->direct, direct);
        avx2_store(m->value,
                   _mm256_andnot_si256(_mm256_or_si256(none, wide), direct));
    }
    bits = _mm256_blendv_epi8(bits, _mm256_set1_epi8((char)width), wide);
    bits = _mm256_andnot_si256(none, bits);
    above = _mm256_andnot_si256(_mm256_or_si256(none, wide), above);
    avx2_store(m->bits, bits);
    avx2_store(m->above, above);
    if (width == 32) {
        avx2_store(m->sum, _mm256_sad_epu8(bits, zero));
        bits = _mm256_add_epi8(bits, _mm256_slli_epi64(bits, 8));
        bits = _mm256_add_epi8(bits, _mm256_slli_epi64(bits, 16));
        bits = _mm256_add_epi8(bits, _mm256_slli_epi64(bits, 32));
        avx2_store(m->before, _mm256_slli_epi64(bits, 8));
    } else {
        __m256i two = _mm256_add_epi8(_mm256_slli_epi32(bits, 8),
                                      _mm256_slli_epi32(bits, 16));
        two = _mm256_add_epi8(two, _mm256_slli_epi32(bits, 24));
        avx2_store(m->before, two);
    }
}

CPU_AVX2 static ALWAYS_INLINE __m256i avx2_ordered_8(__m256i v, bool is_float)
{
    if (!is_float)
        return v;
    return _mm256_xor_si256(v, _mm256_srli_epi32(_mm256_srai_epi32(v, 31), 1));
}

#endif

#endif
