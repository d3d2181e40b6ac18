#include "codec/quant/uniform.h"

#include "codec/base/cpu.h"

#include <math.h>

static ALWAYS_INLINE int32_t away(float x)
{
    /* Exact where x has a fraction; of larger ones nothing is to be rounded. */
    return (int32_t)(x < 0 ? -(int64_t)((double)-x + 0.5)
                           : (int64_t)((double)x + 0.5));
}

void uniform_nearest(const struct level_input *in, int32_t low, int32_t high,
                     int32_t *levels)
{
    float inverse = (float)(1 / in->step);
    for (uint64_t i = 0; i < in->count; i++) {
        int32_t level = away(in->values[i] * inverse);
        levels[i] = level < low ? low : level > high ? high : level;
    }
}

/* The contexts of one element. */
struct here {
    int32_t left, base;
};

/* The best magnitude with the sign of x; ax = |x|, in steps. */
static int32_t choose(const struct level_cost *cost, const struct here *h,
                      double ax, bool negative, double limit)
{
    uint32_t nearest = (uint32_t)(ax + 0.5);
    uint32_t offers[3] = {nearest, nearest ? nearest - 1 : 0, 0};
    unsigned count = nearest > 1 ? 3 : nearest + 1;
    float least = 0;
    int32_t best = 0;
    for (unsigned i = 0; i < count; i++) {
        double error = fabs(ax - offers[i]);
        if (i && error > limit)
            continue;
        int32_t k = negative ? -(int32_t)offers[i] : (int32_t)offers[i];
        float sum = (float)(error * error) +
                    level_cost_now(cost, 0, h->left, h->base, k);
        if (!i || sum < least) {
            least = sum;
            best = k;
        }
    }
    return best;
}

void uniform_choose(const struct level_input *in, struct level_cost *cost,
                    int32_t *levels)
{
    level_cost_init(cost, in);
    double inverse = 1 / in->step;
    struct here h = {0, 0};
    for (uint64_t i = 0; i < in->count; i++) {
        h.base = in->temporal ? in->temporal[i] : 0;
        double x = (double)in->values[i] * inverse;
        int32_t k = choose(cost, &h, fabs(x), x < 0, in->limit);
        level_cost_adapt(cost, 0, h.left, h.base, k);
        levels[i] = h.left = k;
    }
}
