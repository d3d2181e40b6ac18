/* Predictions with NEON: sums, the same as the plain loop's. */
#include "codec/lossless/predict_kernel.h"

#if defined(__aarch64__) && defined(__ARM_NEON) && \
    __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__

#    include <arm_neon.h>

/* Eight columns' pairs: the first factors and the second ones apart. */
static inline int16x8x2_t load_pairs(const uint32_t *v)
{
    return vld2q_s16((const int16_t *)(const void *)v);
}

static void sum_neon(const uint32_t *u, const uint32_t *v, size_t stride,
                     unsigned pair_count, size_t columns, int32_t *acc)
{
    for (size_t j = 0; j < columns; j += 16) {
        int32x4_t a = vdupq_n_s32(0), b = a, c = a, d = a;
        const uint32_t *at = v + j;
        for (unsigned k = 0; k < pair_count; k++, at += stride) {
            int16x4_t w = vreinterpret_s16_u32(vdup_n_u32(u[k]));
            int16x8x2_t x = load_pairs(at), y = load_pairs(at + 8);
            a = vmlal_lane_s16(a, vget_low_s16(x.val[0]), w, 0);
            b = vmlal_lane_s16(b, vget_high_s16(x.val[0]), w, 0);
            c = vmlal_lane_s16(c, vget_low_s16(y.val[0]), w, 0);
            d = vmlal_lane_s16(d, vget_high_s16(y.val[0]), w, 0);
            a = vmlal_lane_s16(a, vget_low_s16(x.val[1]), w, 1);
            b = vmlal_lane_s16(b, vget_high_s16(x.val[1]), w, 1);
            c = vmlal_lane_s16(c, vget_low_s16(y.val[1]), w, 1);
            d = vmlal_lane_s16(d, vget_high_s16(y.val[1]), w, 1);
        }
        vst1q_s32(acc + j, a);
        vst1q_s32(acc + j + 4, b);
        vst1q_s32(acc + j + 8, c);
        vst1q_s32(acc + j + 12, d);
    }
}

static void lay_neon(const int16_t *v, unsigned rank, size_t columns,
                     uint32_t *pairs)
{
    predict_lay_pairs(v, rank, 0, columns, pairs);
}

const struct predict_kernel *predict_kernel_neon(void)
{
    static const struct predict_kernel kernel = {.lay = lay_neon,
                                                 .sum = sum_neon,
                                                 .join_f32 = predict_join_f32,
                                                 .join_bf16 = predict_join_bf16,
                                                 .join_int8 =
                                                     predict_join_int8};
    return &kernel;
}

#else

const struct predict_kernel *predict_kernel_neon(void)
{
    return NULL;
}

#endif
