/* rANS rounds for AVX2: eight states a register, slots and symbols by single
 * loads, words handed to the lanes that need one, or taken from those that
 * give one, by a permutation. */
#include "codec/entropy/rans_rounds.h"

#include <assert.h>

#if CPU_X86

#    include <immintrin.h>
#    include <stddef.h>
#    include <string.h>

/* look_up_pair relies on it. */
static_assert(sizeof(struct rans_enc_sym) == 16 &&
                  offsetof(struct rans_enc_sym, freq) == 8 &&
                  offsetof(struct rans_enc_sym, quick) == 12,
              "the second half of a symbol is loaded as one");

/* Byte i of entry m is how many of the lanes before i are in m, which is the
 * place of lane i's word among those that the lanes in m take. */
#    define LANE(m, i)  ((uint64_t)((m) >> (i)&1))
#    define AFTER(m, i) (LANE(m, i) * (UINT64_C(0x0101010101010100) << 8 * (i)))
#    define PLACES_1(m)                                                        \
        (AFTER(m, 0) + AFTER(m, 1) + AFTER(m, 2) + AFTER(m, 3) + AFTER(m, 4) + \
         AFTER(m, 5) + AFTER(m, 6))
#    define PLACES_4(m) \
        PLACES_1(m), PLACES_1((m) + 1), PLACES_1((m) + 2), PLACES_1((m) + 3)
#    define PLACES_16(m) \
        PLACES_4(m), PLACES_4((m) + 4), PLACES_4((m) + 8), PLACES_4((m) + 12)
#    define PLACES_64(m)                                        \
        PLACES_16(m), PLACES_16((m) + 16), PLACES_16((m) + 32), \
            PLACES_16((m) + 48)

static const uint64_t places[256] = {PLACES_64(0), PLACES_64(64),
                                     PLACES_64(128), PLACES_64(192)};

/* Byte 8 - n + k of entry m is the k-th of the n lanes in m. */
#    define LANES_FROM(m, i)                                                   \
        (LANE(m, i) + LANE(m, (i) + 1) + LANE(m, (i) + 2) + LANE(m, (i) + 3) + \
         LANE(m, (i) + 4) + LANE(m, (i) + 5) + LANE(m, (i) + 6))
#    define GIVER(m, i) (LANE(m, i) * (i) << (56 - 8 * LANES_FROM(m, (i) + 1)))
#    define GIVERS_1(m)                                                        \
        (GIVER(m, 1) + GIVER(m, 2) + GIVER(m, 3) + GIVER(m, 4) + GIVER(m, 5) + \
         GIVER(m, 6) + GIVER(m, 7))
#    define GIVERS_4(m) \
        GIVERS_1(m), GIVERS_1((m) + 1), GIVERS_1((m) + 2), GIVERS_1((m) + 3)
#    define GIVERS_16(m) \
        GIVERS_4(m), GIVERS_4((m) + 4), GIVERS_4((m) + 8), GIVERS_4((m) + 12)
#    define GIVERS_64(m)                                        \
        GIVERS_16(m), GIVERS_16((m) + 16), GIVERS_16((m) + 32), \
            GIVERS_16((m) + 48)

static const uint64_t givers[256] = {GIVERS_64(0), GIVERS_64(64),
                                     GIVERS_64(128), GIVERS_64(192)};

CPU_AVX2 static ALWAYS_INLINE __m256i load_16_to_32(const void *p)
{
    return _mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *)p));
}

/* The table's words at eight places. Single loads: the gather instruction is
 * several times slower where processors had to be made safe, and no quicker
 * elsewhere. */
CPU_AVX2 static ALWAYS_INLINE __m256i look_up_8(const uint32_t *table,
                                                __m256i at)
{
    __m128i low = _mm256_castsi256_si128(at);
    __m128i high = _mm256_extracti128_si256(at, 1);
    uint64_t a = (uint64_t)_mm_cvtsi128_si64(low);
    uint64_t b = (uint64_t)_mm_extract_epi64(low, 1);
    uint64_t c = (uint64_t)_mm_cvtsi128_si64(high);
    uint64_t d = (uint64_t)_mm_extract_epi64(high, 1);
    low = _mm_cvtsi32_si128((int)table[(uint32_t)a]);
    high = _mm_cvtsi32_si128((int)table[(uint32_t)c]);
    low = _mm_insert_epi32(low, (int)table[a >> 32], 1);
    high = _mm_insert_epi32(high, (int)table[c >> 32], 1);
    low = _mm_insert_epi32(low, (int)table[(uint32_t)b], 2);
    high = _mm_insert_epi32(high, (int)table[(uint32_t)d], 2);
    low = _mm_insert_epi32(low, (int)table[b >> 32], 3);
    high = _mm_insert_epi32(high, (int)table[d >> 32], 3);
    return _mm256_inserti128_si256(_mm256_castsi128_si256(low), high, 1);
}

/* One symbol of eight lanes; returns the states after it. */
CPU_AVX2 static ALWAYS_INLINE __m256i decode_8(__m256i x, const uint32_t *slots,
                                               const uint16_t *ctx,
                                               __m256i *sym,
                                               const uint8_t **pos)
{
    const __m256i slot_mask = _mm256_set1_epi32((int)FREQ_SCALE - 1);
    __m256i table = _mm256_and_si256(
        _mm256_srli_epi32(load_16_to_32(ctx),
                          (int)(RANS_TABLE_SHIFT - FREQ_SCALE_BITS)),
        _mm256_set1_epi32((int)(0xffffffffu << FREQ_SCALE_BITS)));
    __m256i at = _mm256_or_si256(table, _mm256_and_si256(x, slot_mask));
    __m256i entry = look_up_8(slots, at);
    *sym = _mm256_srli_epi32(entry, 23);
    __m256i freq =
        _mm256_and_si256(_mm256_srli_epi32(entry, (int)FREQ_SCALE_BITS),
                         _mm256_set1_epi32(0xfff));
    __m256i quotient = _mm256_srli_epi32(x, (int)FREQ_SCALE_BITS);
    x = _mm256_add_epi32(_mm256_mullo_epi32(freq, quotient),
                         _mm256_and_si256(entry, slot_mask));
    __m256i low =
        _mm256_cmpeq_epi32(_mm256_srli_epi32(x, 16), _mm256_setzero_si256());
    unsigned lanes = (unsigned)_mm256_movemask_ps(_mm256_castsi256_ps(low));
    __m256i order = _mm256_cvtepu8_epi32(
        _mm_loadl_epi64((const __m128i *)(const void *)&places[lanes]));
    __m256i word = _mm256_permutevar8x32_epi32(load_16_to_32(*pos), order);
    *pos += 2 * (unsigned)__builtin_popcount(lanes);
    __m256i fed = _mm256_or_si256(_mm256_slli_epi32(x, 16), word);
    return _mm256_blendv_epi8(x, fed, low);
}

/* Eight symbols of 32 bits each from two registers to bytes, in order but for
 * the two middle quarters, which the caller puts right. */
CPU_AVX2 static ALWAYS_INLINE void store_16(uint8_t *syms, __m256i a, __m256i b)
{
    __m256i pair = _mm256_permute4x64_epi64(_mm256_packus_epi32(a, b), 0xd8);
    __m256i bytes = _mm256_packus_epi16(pair, pair);
    bytes = _mm256_permute4x64_epi64(bytes, 0xd8);
    _mm_storeu_si128((__m128i *)(void *)syms, _mm256_castsi256_si128(bytes));
}

CPU_AVX2 static ALWAYS_INLINE __m256i load_8(const uint32_t *p)
{
    return _mm256_loadu_si256((const __m256i *)(const void *)p);
}

CPU_AVX2 static ALWAYS_INLINE void store_8(uint32_t *p, __m256i v)
{
    _mm256_storeu_si256((__m256i *)(void *)p, v);
}

CPU_AVX2 const uint8_t *rans_rounds_16_avx2(uint32_t *state,
                                            const struct rans_dec_table *tables,
                                            const uint16_t *ctx, uint8_t *syms,
                                            size_t round_count,
                                            const uint8_t *pos)
{
    const uint32_t *slots = (const uint32_t *)(const void *)tables;
    __m256i x0 = load_8(state), x1 = load_8(state + 8), s0, s1;
    for (size_t round = 0; round < round_count; round++) {
        x0 = decode_8(x0, slots, ctx, &s0, &pos);
        x1 = decode_8(x1, slots, ctx + 8, &s1, &pos);
        store_16(syms, s0, s1);
        ctx += 16;
        syms += 16;
    }
    store_8(state, x0);
    store_8(state + 8, x1);
    return pos;
}

CPU_AVX2 const uint8_t *rans_rounds_32_avx2(uint32_t *state,
                                            const struct rans_dec_table *tables,
                                            const uint16_t *ctx, uint8_t *syms,
                                            size_t round_count,
                                            const uint8_t *pos)
{
    const uint32_t *slots = (const uint32_t *)(const void *)tables;
    __m256i x0 = load_8(state), x1 = load_8(state + 8), s0, s1;
    __m256i x2 = load_8(state + 16), x3 = load_8(state + 24), s2, s3;
    for (size_t round = 0; round < round_count; round++) {
        x0 = decode_8(x0, slots, ctx, &s0, &pos);
        x1 = decode_8(x1, slots, ctx + 8, &s1, &pos);
        x2 = decode_8(x2, slots, ctx + 16, &s2, &pos);
        x3 = decode_8(x3, slots, ctx + 24, &s3, &pos);
        store_16(syms, s0, s1);
        store_16(syms + 16, s2, s3);
        ctx += 32;
        syms += 32;
    }
    store_8(state, x0);
    store_8(state + 8, x1);
    store_8(state + 16, x2);
    store_8(state + 24, x3);
    return pos;
}

/* freq | cum_freq << 16 and quick of two symbols. */
CPU_AVX2 static ALWAYS_INLINE __m128i
look_up_pair(const struct rans_enc_table *tables, const uint16_t *syms)
{
    long long a, b;
    memcpy(&a, (const uint8_t *)tables + 16 * (size_t)syms[0] + 8, 8);
    memcpy(&b, (const uint8_t *)tables + 16 * (size_t)syms[1] + 8, 8);
    return _mm_insert_epi64(_mm_cvtsi64_si128(a), b, 1);
}

/* The quotients of eight states and their frequencies, given reciprocals of 32
 * bits: at first one too small at most. */
CPU_AVX2 static ALWAYS_INLINE __m256i divide(__m256i x, __m256i freq,
                                             __m256i rcp, __m256i *rest)
{
    __m256i even = _mm256_srli_epi64(_mm256_mul_epu32(x, rcp), 32);
    __m256i odd =
        _mm256_mul_epu32(_mm256_srli_epi64(x, 32), _mm256_srli_epi64(rcp, 32));
    __m256i q = _mm256_blend_epi32(even, odd, 0xaa);
    *rest = _mm256_sub_epi32(x, _mm256_mullo_epi32(q, freq));
    __m256i less = _mm256_cmpgt_epi32(freq, *rest); /* below 2^12 both */
    *rest = _mm256_sub_epi32(*rest, _mm256_andnot_si256(less, freq));
    return _mm256_add_epi32(q, _mm256_add_epi32(less, _mm256_set1_epi32(1)));
}

/* Takes one symbol into each of eight states; words go before *words. */
CPU_AVX2 static ALWAYS_INLINE __m256i
encode_8(__m256i x, const struct rans_enc_table *tables, const uint16_t *syms,
         uint8_t **words)
{
    __m128i p = look_up_pair(tables, syms);
    __m128i q = look_up_pair(tables, syms + 2);
    __m128i r = look_up_pair(tables, syms + 4);
    __m128i s = look_up_pair(tables, syms + 6);
    __m256 a = _mm256_castsi256_ps(
        _mm256_inserti128_si256(_mm256_castsi128_si256(p), r, 1));
    __m256 b = _mm256_castsi256_ps(
        _mm256_inserti128_si256(_mm256_castsi128_si256(q), s, 1));
    __m256i rcp = _mm256_castps_si256(_mm256_shuffle_ps(a, b, 0xdd));
    __m256i freq = _mm256_castps_si256(_mm256_shuffle_ps(a, b, 0x88));
    __m256i cum = _mm256_srli_epi32(freq, 16);
    freq = _mm256_and_si256(freq, _mm256_set1_epi32(0xffff));
    __m256i high = _mm256_srli_epi32(x, 32 - (int)FREQ_SCALE_BITS);
    __m256i low = _mm256_cmpgt_epi32(freq, high);
    unsigned full = ~(unsigned)_mm256_movemask_ps(_mm256_castsi256_ps(low));
    full &= 0xff;
    __m256i word = _mm256_and_si256(x, _mm256_set1_epi32(0xffff));
    word = _mm256_packus_epi32(word, word);
    __m128i give = _mm256_castsi256_si128(_mm256_permute4x64_epi64(word, 0xd8));
    __m128i lane =
        _mm_loadl_epi64((const __m128i *)(const void *)&givers[full]);
    lane = _mm_add_epi8(lane, lane);
    lane = _mm_unpacklo_epi8(lane, _mm_add_epi8(lane, _mm_set1_epi8(1)));
    _mm_storeu_si128((__m128i *)(void *)(*words - 16),
                     _mm_shuffle_epi8(give, lane));
    *words -= 2 * (unsigned)__builtin_popcount(full);
    x = _mm256_blendv_epi8(_mm256_srli_epi32(x, 16), x, low);
    __m256i rest, quotient = divide(x, freq, rcp, &rest);
    return _mm256_add_epi32(_mm256_slli_epi32(quotient, (int)FREQ_SCALE_BITS),
                            _mm256_add_epi32(rest, cum));
}

CPU_AVX2 uint8_t *rans_encode_16_avx2(const struct rans_enc_table *tables,
                                      const uint16_t *syms, size_t round_count,
                                      uint8_t *words, uint32_t *state)
{
    __m256i x0 = load_8(state), x1 = load_8(state + 8);
    while (round_count-- > 0) {
        const uint16_t *sym = syms + 16 * round_count;
        x1 = encode_8(x1, tables, sym + 8, &words);
        x0 = encode_8(x0, tables, sym, &words);
    }
    store_8(state, x0);
    store_8(state + 8, x1);
    return words;
}

CPU_AVX2 uint8_t *rans_encode_32_avx2(const struct rans_enc_table *tables,
                                      const uint16_t *syms, size_t round_count,
                                      uint8_t *words, uint32_t *state)
{
    __m256i x0 = load_8(state), x1 = load_8(state + 8);
    __m256i x2 = load_8(state + 16), x3 = load_8(state + 24);
    while (round_count-- > 0) {
        const uint16_t *sym = syms + 32 * round_count;
        x3 = encode_8(x3, tables, sym + 24, &words);
        x2 = encode_8(x2, tables, sym + 16, &words);
        x1 = encode_8(x1, tables, sym + 8, &words);
        x0 = encode_8(x0, tables, sym, &words);
    }
    store_8(state, x0);
    store_8(state + 8, x1);
    store_8(state + 16, x2);
    store_8(state + 24, x3);
    return words;
}

#endif
