/* Shifts of blocks: from symbols to contexts, and their choice. */
#include "codec/lossless/fast_shift.h"

#include "codec/lossless/fast_stats.h"

/* A block has a shift if one in so many elements shows it. */
#define CLEAR_PART 8u

struct fast_shift fast_shift_of(unsigned sym)
{
    bool none = sym == FREQ_SYM_ESCAPE;
    int shift = none ? 0 : (int)sym - (int)FAST_SHIFT_NONE;
    unsigned half = (unsigned)shift & 1;
    int octaves = (shift - (int)half) / 2;
    return (struct fast_shift){
        .up = (uint8_t)(octaves < 0 ? -octaves : 0),
        .down = (uint8_t)(octaves > 0 ? octaves : 0),
        .half = (uint8_t)half,
    };
}

/* width and mantissa_bits are constants where these are inlined. */
static ALWAYS_INLINE void contexts_from(const struct fast_lookup *lookup,
                                        const uint8_t *base, uint16_t *ctx,
                                        size_t count, unsigned width,
                                        unsigned mantissa_bits)
{
    for (size_t i = 0; i < count; i++) {
        uint64_t bits = fast_load(base + i * (width / 8), width);
        unsigned e = fast_exponent(bits, width, mantissa_bits);
        e = lookup->shifted ? fast_shift_exponent(&lookup->shift, e) : e;
        ctx[i] = lookup->by_exponent[e];
    }
}

static void contexts_alike(const struct fast_kernels *kernels,
                           const struct fast_lookup *lookup, unsigned width,
                           const uint8_t *base, uint16_t *ctx, size_t count)
{
    size_t done = lookup->window->on ? count - count % FAST_GROUP : 0;
    if (width == 32) {
        kernels->contexts_32(lookup, base, ctx, done);
        contexts_from(lookup, base + 4 * done, ctx + done, count - done, 32,
                      23);
        return;
    }
    if (!kernels->contexts_64)
        done = 0;
    else
        kernels->contexts_64(lookup, base, ctx, done);
    contexts_from(lookup, base + 8 * done, ctx + done, count - done, 64, 52);
}

void fast_contexts(const struct fast_kernels *kernels,
                   const struct fast_context *context, const uint8_t *base,
                   const uint8_t *shifts, uint16_t *ctx, size_t count)
{
    unsigned width = context->format.width;
    size_t step = context->shifted ? FAST_SHIFT_BLOCK : count;
    for (size_t at = 0; at < count; at += step) {
        unsigned sym = context->shifted ? *shifts++ : FAST_SHIFT_NONE;
        size_t now = count - at < step ? count - at : step;
        if (sym == FAST_SHIFT_EQUAL) {
            for (size_t i = 0; i < now; i++)
                ctx[at + i] = context->by_exponent[0][FAST_SHIFT_QUIET];
            continue;
        }
        struct fast_shift shift = fast_shift_of(sym);
        struct fast_lookup lookup = {context->by_exponent[shift.half],
                                     &context->window[shift.half],
                                     context->shifted, shift};
        contexts_alike(kernels, &lookup, width, base + at * (width / 8),
                       ctx + at, now);
    }
}

static ALWAYS_INLINE uint64_t magnitude_of(uint64_t d, unsigned width)
{
    uint64_t mask = ~(uint64_t)0 >> (64 - width);
    uint64_t sign = 0 - (d >> (width - 1) & 1);
    return ((d ^ sign) - sign) & mask;
}

/* No branches on values: they would be hard to predict. */
static ALWAYS_INLINE void
classes_from(const struct classes_format *format, const uint8_t *base,
             const uint8_t *target, struct fast_classes *classes, size_t count,
             unsigned width, unsigned mantissa_bits)
{
    unsigned first = 2u * format->exponent_bias;
    for (size_t i = 0; i < count; i++) {
        uint64_t from = fast_load(base + i * (width / 8), width);
        uint64_t to = fast_load(target + i * (width / 8), width);
        unsigned e = fast_exponent(from, width, mantissa_bits);
        to = fast_ordered(to, width, mantissa_bits);
        from = fast_ordered(from, width, mantissa_bits);
        uint64_t d = magnitude_of(to - from, width), none = d == 0;
        unsigned diff = 1 + classes_of(d | none);
        classes[i] = (struct fast_classes){
            .exponent = (uint16_t)e,
            .diff = (uint16_t)(diff & ((unsigned)none - 1)),
            .value =
                fast_value_index(magnitude_of(to, width), mantissa_bits, first),
        };
    }
}

void fast_classes_find(const struct fast_kernels *kernels,
                       const struct classes_format *format, const uint8_t *base,
                       const uint8_t *target, struct fast_classes *classes,
                       size_t count)
{
    if (format->width == 64) {
        classes_from(format, base, target, classes, count, 64, 52);
        return;
    }
    size_t done = count - count % FAST_GROUP;
    kernels->classes_32(base, target, classes, done);
    classes_from(format, base + 4 * done, target + 4 * done, classes + done,
                 count - done, 32, 23);
}

unsigned fast_shift_choose(const struct fast_kernels *kernels,
                           const struct fast_classes *classes, size_t count,
                           unsigned scale)
{
    struct fast_sizes sizes = kernels->sizes(classes, count);
    if (!sizes.changed)
        return FAST_SHIFT_EQUAL;
    if (sizes.clear < (count + CLEAR_PART - 1) / CLEAR_PART)
        return FAST_SHIFT_NONE;
    unsigned sum = sizes.sum - sizes.clear, clear = sizes.clear;
    int shift = (int)((2 * sum + clear) / (2 * clear)) -
                (int)(scale + FAST_SHIFT_USUAL - 1) + (int)FAST_SHIFT_NONE;
    shift = shift < 1 ? 1 : shift;
    return (unsigned)shift < CLASSES_SYM_LAST ? (unsigned)shift
                                              : CLASSES_SYM_LAST;
}
