/* Predictions with AVX2: the same results as the plain loops. */
#include "codec/lossless/predict_kernel.h"

#if defined(__x86_64__) && defined(__GNUC__)

#    include <immintrin.h>

#    define AVX2 __attribute__((target("avx2")))

AVX2 static void sum_avx2(const uint32_t *u, const uint32_t *v, size_t stride,
                          unsigned pair_count, size_t columns, int32_t *acc)
{
    for (size_t j = 0; j < columns; j += PREDICT_TILE_STEP) {
        __m256i a = _mm256_setzero_si256(), b = a, c = a, d = a;
        const uint32_t *at = v + j;
        for (unsigned k = 0; k < pair_count; k++, at += stride) {
            const __m256i *x = (const __m256i *)(const void *)at;
            __m256i w = _mm256_set1_epi32((int)u[k]);
            a = _mm256_add_epi32(a,
                                 _mm256_madd_epi16(w, _mm256_loadu_si256(x)));
            b = _mm256_add_epi32(
                b, _mm256_madd_epi16(w, _mm256_loadu_si256(x + 1)));
            c = _mm256_add_epi32(
                c, _mm256_madd_epi16(w, _mm256_loadu_si256(x + 2)));
            d = _mm256_add_epi32(
                d, _mm256_madd_epi16(w, _mm256_loadu_si256(x + 3)));
        }
        __m256i *out = (__m256i *)(void *)(acc + j);
        _mm256_storeu_si256(out, a);
        _mm256_storeu_si256(out + 1, b);
        _mm256_storeu_si256(out + 2, c);
        _mm256_storeu_si256(out + 3, d);
    }
}

/* Blocks of four columns and four pairs are transposed, the rest is laid out
 * one by one. */
AVX2 static void lay_avx2(const int16_t *v, unsigned rank, size_t columns,
                          uint32_t *pairs)
{
    size_t whole = columns / 4 * 4;
    unsigned k = 0;
    for (; 2 * k + 8 <= rank; k += 4) {
        for (size_t j = 0; j < whole; j += 4) {
            const int16_t *at = v + j * rank + 2 * k;
            __m128i a = _mm_loadu_si128((const __m128i *)(const void *)at);
            __m128i b =
                _mm_loadu_si128((const __m128i *)(const void *)(at + rank));
            __m128i c =
                _mm_loadu_si128((const __m128i *)(const void *)(at + 2 * rank));
            __m128i d =
                _mm_loadu_si128((const __m128i *)(const void *)(at + 3 * rank));
            __m128i ab = _mm_unpacklo_epi32(a, b),
                    cd = _mm_unpacklo_epi32(c, d);
            __m128i *out = (__m128i *)(void *)(pairs + k * PREDICT_TILE + j);
            _mm_storeu_si128(out, _mm_unpacklo_epi64(ab, cd));
            _mm_storeu_si128(out + PREDICT_TILE / 4,
                             _mm_unpackhi_epi64(ab, cd));
            ab = _mm_unpackhi_epi32(a, b);
            cd = _mm_unpackhi_epi32(c, d);
            _mm_storeu_si128(out + PREDICT_TILE / 2,
                             _mm_unpacklo_epi64(ab, cd));
            _mm_storeu_si128(out + PREDICT_TILE / 4 * 3,
                             _mm_unpackhi_epi64(ab, cd));
        }
    }
    predict_lay_pairs(v, rank, k, whole, pairs);
    predict_lay_pairs(v + whole * rank, rank, 0, columns - whole,
                      pairs + whole);
}

/* What is left after the last whole vector. */
static void join_rest(const struct predict_run *run, size_t done, size_t bytes,
                      void (*join)(const struct predict_run *))
{
    struct predict_run rest = *run;
    rest.acc = rest.acc ? rest.acc + done : NULL;
    rest.base += done * bytes;
    rest.pred += done * bytes;
    rest.lost = rest.lost ? rest.lost + done : NULL;
    rest.count -= done;
    if (rest.count)
        join(&rest);
}

/* acc * 2^shift of eight elements. */
AVX2 static inline __m256 load_sums(const int32_t *acc, __m256 step)
{
    __m256i sums = _mm256_loadu_si256((const __m256i *)(const void *)acc);
    return _mm256_mul_ps(_mm256_cvtepi32_ps(sums), step);
}

AVX2 static void join_f32_avx2(const struct predict_run *run)
{
    const __m256i inf = _mm256_set1_epi32(0x7f800000);
    const __m256 step = _mm256_set1_ps(predict_step(run->p));
    const __m256 scale = _mm256_set1_ps(predict_base_scale(run->p));
    size_t i = 0;
    for (; i + 8 <= run->count; i += 8) {
        __m256 base =
            _mm256_loadu_ps((const float *)(const void *)(run->base + 4 * i));
        __m256 real = _mm256_add_ps(_mm256_mul_ps(base, scale),
                                    load_sums(run->acc + i, step));
        __m256i e = _mm256_and_si256(_mm256_castps_si256(real), inf);
        __m256 bad = _mm256_castsi256_ps(_mm256_cmpeq_epi32(e, inf));
        real = _mm256_blendv_ps(real, base, bad);
        _mm256_storeu_ps((float *)(void *)(run->pred + 4 * i), real);
    }
    join_rest(run, i, 4, predict_join_f32);
}

/* bf16 to bf16, as predict_join_bf16: real numbers in two vectors of eight,
 * whose halves go with those of packing, all else in one of sixteen. */
struct bf16_reals {
    __m256i low, high;
};

AVX2 static inline struct bf16_reals bf16_reals(const struct predict_run *run,
                                                size_t i, __m256i base,
                                                __m256 step, __m256 scale)
{
    const __m256i zero = _mm256_setzero_si256();
    __m256 low = _mm256_castsi256_ps(_mm256_unpacklo_epi16(zero, base));
    __m256 high = _mm256_castsi256_ps(_mm256_unpackhi_epi16(zero, base));
    low =
        _mm256_add_ps(_mm256_mul_ps(low, scale), load_sums(run->acc + i, step));
    high = _mm256_add_ps(_mm256_mul_ps(high, scale),
                         load_sums(run->acc + i + 8, step));
    return (struct bf16_reals){_mm256_castps_si256(low),
                               _mm256_castps_si256(high)};
}

/* Rounds to the upper 16 bits; what that took is in over. */
AVX2 static inline __m256i bf16_round(__m256i bits, __m256i *over)
{
    const __m256i one = _mm256_set1_epi32(1);
    __m256i odd = _mm256_and_si256(_mm256_srli_epi32(bits, 16), one);
    __m256i up = _mm256_add_epi32(
        _mm256_add_epi32(bits, _mm256_set1_epi32(0x7fff)), odd);
    *over = _mm256_sub_epi32(bits,
                             _mm256_and_si256(up, _mm256_set1_epi32(~0xffff)));
    return _mm256_srli_epi32(up, 16);
}

AVX2 static inline __m256i bf16_not_finite(__m256i v)
{
    const __m256i inf = _mm256_set1_epi16(0x7f80);
    return _mm256_cmpeq_epi16(_mm256_and_si256(v, inf), inf);
}

AVX2 static void join_bf16_avx2(const struct predict_run *run)
{
    const __m256 step = _mm256_set1_ps(predict_step(run->p));
    const __m256 scale = _mm256_set1_ps(predict_base_scale(run->p));
    size_t i = 0;
    for (; i + 16 <= run->count; i += 16) {
        __m256i base = _mm256_permute4x64_epi64(
            _mm256_loadu_si256(
                (const __m256i *)(const void *)(run->base + 2 * i)),
            0xd8);
        struct bf16_reals real = bf16_reals(run, i, base, step, scale);
        __m256i a, b;
        real.low = bf16_round(real.low, &a);
        real.high = bf16_round(real.high, &b);
        __m256i pred = _mm256_packus_epi32(real.low, real.high);
        __m256i over = _mm256_packs_epi32(a, b);
        __m256i sign = _mm256_srai_epi16(pred, 15);
        over = _mm256_subs_epi16(_mm256_xor_si256(over, sign), sign);
        __m256i level = _mm256_srli_epi16(
            _mm256_xor_si256(over, _mm256_set1_epi16(INT16_MIN)), 13);
        __m256i bad =
            _mm256_or_si256(bf16_not_finite(base), bf16_not_finite(pred));
        pred = _mm256_blendv_epi8(pred, base, bad);
        level = _mm256_blendv_epi8(level, _mm256_set1_epi16(PREDICT_LOST_NONE),
                                   bad);
        _mm256_storeu_si256((__m256i *)(void *)(run->pred + 2 * i),
                            _mm256_permute4x64_epi64(pred, 0xd8));
        level = _mm256_packus_epi16(level, level);
        /* Fours of levels: 0, 2 and 1, 3. */
        level = _mm256_permutevar8x32_epi32(
            level, _mm256_setr_epi32(0, 4, 1, 5, 0, 4, 1, 5));
        _mm_storeu_si128((__m128i *)(void *)(run->lost + i),
                         _mm256_castsi256_si128(level));
    }
    join_rest(run, i, 2, predict_join_bf16);
}

/* Stores eight predictions of 16 bits and their levels. */
AVX2 static inline void store_16(const struct predict_run *run, size_t i,
                                 __m256i bits, __m256i level)
{
    __m256i both = _mm256_packus_epi32(bits, level); /* b0-3 l0-3 b4-7 l4-7 */
    both = _mm256_permute4x64_epi64(both, 0xd8);
    __m128i levels = _mm256_extracti128_si256(both, 1);
    _mm_storeu_si128((__m128i *)(void *)(run->pred + 2 * i),
                     _mm256_castsi256_si128(both));
    _mm_storel_epi64((__m128i *)(void *)(run->lost + i),
                     _mm_packus_epi16(levels, levels));
}

/* As narrow_float_widen for f16, eight elements in 32 bits each. */
AVX2 static inline __m256 widen_f16(__m256i base)
{
    __m256i magnitude = _mm256_and_si256(base, _mm256_set1_epi32(0x7fff));
    __m256i sign = _mm256_slli_epi32(_mm256_xor_si256(base, magnitude), 16);
    __m256i normal = _mm256_add_epi32(_mm256_slli_epi32(magnitude, 13),
                                      _mm256_set1_epi32((127 - 15) << 23));
    __m256 tiny =
        _mm256_mul_ps(_mm256_cvtepi32_ps(magnitude), _mm256_set1_ps(0x1p-24f));
    __m256i is_tiny = _mm256_cmpgt_epi32(_mm256_set1_epi32(0x400), magnitude);
    __m256i bad = _mm256_cmpgt_epi32(magnitude, _mm256_set1_epi32(0x7bff));
    __m256i bits =
        _mm256_blendv_epi8(normal, _mm256_castps_si256(tiny), is_tiny);
    bits = _mm256_or_si256(bits, bad); /* a NaN */
    return _mm256_castsi256_ps(_mm256_or_si256(bits, sign));
}

/* As narrow_float_round for f16. */
AVX2 static void join_f16_avx2(const struct predict_run *run)
{
    const __m256i one = _mm256_set1_epi32(1), seven = _mm256_set1_epi32(7);
    const __m256 step = _mm256_set1_ps(predict_step(run->p));
    const __m256 scale = _mm256_set1_ps(predict_base_scale(run->p));
    size_t i = 0;
    for (; i + 8 <= run->count; i += 8) {
        __m256i base = _mm256_cvtepu16_epi32(_mm_loadu_si128(
            (const __m128i *)(const void *)(run->base + 2 * i)));
        __m256 real = _mm256_add_ps(_mm256_mul_ps(widen_f16(base), scale),
                                    load_sums(run->acc + i, step));
        __m256i bits = _mm256_castps_si256(real);
        __m256i sign = _mm256_srai_epi32(bits, 31);
        __m256i e = _mm256_and_si256(_mm256_srli_epi32(bits, 23),
                                     _mm256_set1_epi32(255));
        __m256i tiny = _mm256_cmpeq_epi32(e, _mm256_setzero_si256());
        __m256i m = _mm256_and_si256(bits, _mm256_set1_epi32(0x7fffff));
        m = _mm256_or_si256(
            m, _mm256_andnot_si256(tiny, _mm256_set1_epi32(0x800000)));
        __m256i own = _mm256_sub_epi32(_mm256_max_epi32(e, one),
                                       _mm256_set1_epi32(127 - 15));
        __m256i drop = _mm256_add_epi32(
            _mm256_set1_epi32(13), _mm256_max_epi32(_mm256_sub_epi32(one, own),
                                                    _mm256_setzero_si256()));
        drop = _mm256_min_epi32(drop, _mm256_set1_epi32(27));
        __m256i q = _mm256_srlv_epi32(m, drop);
        __m256i unit = _mm256_sllv_epi32(one, drop);
        __m256i rest = _mm256_and_si256(m, _mm256_sub_epi32(unit, one));
        __m256i half = _mm256_srli_epi32(unit, 1);
        __m256i up = _mm256_or_si256(
            _mm256_cmpgt_epi32(rest, half),
            _mm256_and_si256(
                _mm256_cmpeq_epi32(rest, half),
                _mm256_cmpeq_epi32(_mm256_and_si256(q, one), one)));
        __m256i field = _mm256_slli_epi32(
            _mm256_sub_epi32(_mm256_max_epi32(own, one), one), 10);
        __m256i pred =
            _mm256_sub_epi32(_mm256_add_epi32(field, q), up); /* up is -1 */
        __m256i bad =
            _mm256_or_si256(_mm256_cmpgt_epi32(pred, _mm256_set1_epi32(0x7bff)),
                            _mm256_cmpeq_epi32(e, _mm256_set1_epi32(255)));
        __m256i over = _mm256_sub_epi32(rest, _mm256_and_si256(unit, up));
        over = _mm256_sub_epi32(_mm256_xor_si256(over, sign), sign);
        __m256i eighth =
            _mm256_srlv_epi32(_mm256_add_epi32(_mm256_slli_epi32(over, 3),
                                               _mm256_slli_epi32(unit, 2)),
                              drop);
        __m256i level = _mm256_min_epi32(eighth, seven);
        pred = _mm256_or_si256(
            pred, _mm256_and_si256(sign, _mm256_set1_epi32(0x8000)));
        pred = _mm256_blendv_epi8(pred, base, bad);
        level = _mm256_blendv_epi8(level, _mm256_set1_epi32(PREDICT_LOST_NONE),
                                   bad);
        store_16(run, i, pred, level);
    }
    join_rest(run, i, 2, predict_join_any);
}

/* What base * scale + acc * 2^(24 + shift) amounts to, in whole numbers and 24
 * bits of fraction, beyond which the latter may reach. */
struct fixed {
    __m256i whole, part;
};

/* scale = high * 2^16 + low, so base * high has 8 bits of fraction, and base *
 * low fits into 24 bits of it. */
AVX2 static inline struct fixed scaled(__m256i base, int32_t scale)
{
    __m256i a = _mm256_mullo_epi32(base, _mm256_set1_epi32(scale >> 16));
    __m256i b = _mm256_mullo_epi32(base, _mm256_set1_epi32(scale & 0xffff));
    __m256i part = _mm256_and_si256(a, _mm256_set1_epi32(255));
    return (struct fixed){_mm256_srai_epi32(a, 8),
                          _mm256_add_epi32(_mm256_slli_epi32(part, 16), b)};
}

/* Whole parts of sums are limited to what is beyond all numbers of 8 bits. */
AVX2 static inline struct fixed summed(const int32_t *acc, int shift)
{
    const __m256i limit = _mm256_set1_epi32(65536);
    __m256i sums = _mm256_loadu_si256((const __m256i *)(const void *)acc);
    __m256i whole = _mm256_sra_epi32(sums, _mm_cvtsi32_si128(-shift));
    whole = _mm256_min_epi32(whole, limit);
    whole = _mm256_max_epi32(whole,
                             _mm256_sub_epi32(_mm256_setzero_si256(), limit));
    /* All bits go when shift is 0. */
    __m256i part = _mm256_sll_epi32(sums, _mm_cvtsi32_si128(32 + shift));
    return (struct fixed){whole, _mm256_srli_epi32(part, 8)};
}

AVX2 static void join_int8_avx2(const struct predict_run *run)
{
    bool is_signed = run->p->dtype == DTYPE_I8;
    const __m256i least = _mm256_set1_epi32(is_signed ? -128 : 0);
    const __m256i most = _mm256_set1_epi32(is_signed ? 127 : 255);
    const __m256i half = _mm256_set1_epi32(1 << 23);
    int32_t scale = run->p->row_scale ? run->scale : 1 << 24;
    size_t i = 0;
    for (; i + 8 <= run->count; i += 8) {
        __m128i in =
            _mm_loadl_epi64((const __m128i *)(const void *)(run->base + i));
        struct fixed real = scaled(is_signed ? _mm256_cvtepi8_epi32(in)
                                             : _mm256_cvtepu8_epi32(in),
                                   scale);
        if (run->acc) {
            struct fixed low = summed(run->acc + i, run->p->shift);
            real.whole = _mm256_add_epi32(real.whole, low.whole);
            real.part = _mm256_add_epi32(real.part, low.part);
        }
        real.part = _mm256_add_epi32(real.part, half);
        __m256i value =
            _mm256_add_epi32(real.whole, _mm256_srai_epi32(real.part, 24));
        __m256i level = _mm256_and_si256(_mm256_srli_epi32(real.part, 21),
                                         _mm256_set1_epi32(7));
        __m256i over = _mm256_cmpgt_epi32(value, most);
        __m256i under = _mm256_cmpgt_epi32(least, value);
        level = _mm256_or_si256(level,
                                _mm256_and_si256(over, _mm256_set1_epi32(7)));
        level = _mm256_andnot_si256(under, level);
        value = _mm256_min_epi32(_mm256_max_epi32(value, least), most);
        value = _mm256_and_si256(value, _mm256_set1_epi32(255));
        __m256i both = _mm256_packus_epi32(value, level);
        both = _mm256_permute4x64_epi64(both, 0xd8);
        both = _mm256_packus_epi16(both, both);
        _mm_storel_epi64((__m128i *)(void *)(run->pred + i),
                         _mm256_castsi256_si128(both));
        _mm_storel_epi64((__m128i *)(void *)(run->lost + i),
                         _mm256_extracti128_si256(both, 1));
    }
    join_rest(run, i, 1, predict_join_int8);
}

const struct predict_kernel *predict_kernel_avx2(void)
{
    static const struct predict_kernel kernel = {.lay = lay_avx2,
                                                 .sum = sum_avx2,
                                                 .join_f32 = join_f32_avx2,
                                                 .join_bf16 = join_bf16_avx2,
                                                 .join_f16 = join_f16_avx2,
                                                 .join_int8 = join_int8_avx2};
    return __builtin_cpu_supports("avx2") ? &kernel : NULL;
}

#else

const struct predict_kernel *predict_kernel_avx2(void)
{
    return NULL;
}

#endif
