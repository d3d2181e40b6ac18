/* Shifts: blocks of elements whose changes are larger or smaller than those of
 * the rest of their tensor. A shift of so many half octaves lets the exponents
 * of a block's base seem that much smaller. Private to fast_*. */
#ifndef CODEC_LOSSLESS_FAST_SHIFT_H
#define CODEC_LOSSLESS_FAST_SHIFT_H

#include "codec/lossless/fast_kernels.h"

/* Symbols 1 .. 30 are a shift of symbol - FAST_SHIFT_NONE half octaves; the
 * escape stands for none, too. */
#define FAST_SHIFT_NONE 15u
/* In a block of this symbol all exponents are FAST_SHIFT_QUIET. */
#define FAST_SHIFT_EQUAL 0u
#define FAST_SHIFT_QUIET (CLASSES_EXPONENTS - 1)
/* In other blocks they are at most this. */
#define FAST_SHIFT_LAST (CLASSES_EXPONENTS - 2)
/* Where the usual class of changes lies among the symbols 1 .. 30. */
#define FAST_SHIFT_USUAL 17u

/* Zero stays, all others stay others. */
static inline unsigned fast_shift_exponent(const struct fast_shift *shift,
                                           unsigned exponent)
{
    int e = (int)exponent + shift->up - shift->down;
    e = e < 1 ? 1 : e;
    e = e > (int)FAST_SHIFT_LAST ? (int)FAST_SHIFT_LAST : e;
    return exponent ? (unsigned)e : 0;
}

/* What a symbol other than FAST_SHIFT_EQUAL means. */
struct fast_shift fast_shift_of(unsigned sym);

/* The contexts of count floats that have a base. shifts has the symbol of each
 * FAST_SHIFT_BLOCK of them, or anything if the context has no shifts. */
void fast_contexts(const struct fast_kernels *kernels,
                   const struct fast_context *context, const uint8_t *base,
                   const uint8_t *shifts, uint16_t *ctx, size_t count);

/* The classes of count floats that have a base. */
void fast_classes_find(const struct fast_kernels *kernels,
                       const struct classes_format *format, const uint8_t *base,
                       const uint8_t *target, struct fast_classes *classes,
                       size_t count);

/* The symbol for a block of these classes where scale is the tensor's. */
unsigned fast_shift_choose(const struct fast_kernels *kernels,
                           const struct fast_classes *classes, size_t count,
                           unsigned scale);

#endif
