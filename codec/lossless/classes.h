/* How differences of integers and of ordered floats become symbols and raw
 * bits.
 *
 * An element of width w bits is coded as symbol 0 (no difference), 1 .. 30 (a
 * class of magnitudes) or 31 (escape: the w bits of the target themselves).
 * Which magnitudes a symbol means depends on its *row*, and the row on the
 * exponent of the base: row q says that class q and all below are symbol 1,
 * class q + 1 is symbol 2 and so on, in half octaves. The direct row is for
 * values instead of differences: its classes are half octaves of the float.
 *
 * Layout and formulas: codec/FORMAT.md, "Classes". */
#ifndef CODEC_LOSSLESS_CLASSES_H
#define CODEC_LOSSLESS_CLASSES_H

#include "codec/entropy/freq.h"
#include "codec/model/dtype.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CLASSES_SYM_LAST 30u /* the last class; after it the escape */

/* Contexts are base exponents as seen in 8 bits. */
#define CLASSES_EXPONENTS 256u

#define CLASSES_ROWS       128u
#define CLASSES_ROW_DIRECT 127u
#define CLASSES_ROW_MAX    124u /* of differences */

/* What the coder has to know of a dtype. */
struct classes_format {
    uint8_t width;          /* bits of an element: w */
    uint8_t mantissa_bits;  /* stored ones; 0 for an integer */
    uint16_t exponent_bias; /* subtracted from the exponent, clamped to 0 .. 255
                               : 896 for f64, else 0 */
    uint16_t
        half_octaves; /* of the float's magnitudes, 2^(exponent bits + 1) */
};

/* False for a dtype that is not coded in classes. */
bool classes_format(enum dtype dtype, struct classes_format *format);

/* A symbol of a row: the bits that follow are bits = entry & 0xff, sign
 * included, lowest; with their value r, 2 * magnitude + sign is
 * ((entry >> 8) << bits) + r. The escape has w bits and no magnitude. */
typedef uint32_t classes_entry;

/* Fills rows 0 .. CLASSES_ROW_MAX for elements of width bits. */
void classes_rows_init(classes_entry (*rows)[FREQ_SYMS], unsigned width);

/* Fills the direct row whose symbol 1 is half octave first. */
void classes_row_direct(classes_entry row[FREQ_SYMS],
                        const struct classes_format *format, unsigned first);

/* The row for a base of this exponent (0 .. 255, as clamped). */
unsigned classes_row(const struct classes_format *format, unsigned scale,
                     unsigned exponent);

/* The half octave of a magnitude > 0: 0 for 1, 2 for 2, 3 for 3, 4 for 4 and 5,
 * 5 for 6 and 7, ... */
static inline unsigned classes_of(uint64_t magnitude)
{
    unsigned top = 63 - (unsigned)__builtin_clzll(magnitude);
    return 2 * top + (unsigned)(magnitude << 1 >> top & 1);
}

/* The symbol of a class in row q; a class too large is the escape. */
static inline unsigned classes_sym(unsigned half_octave, unsigned row)
{
    unsigned sym = half_octave < row ? 1 : half_octave - row + 1;
    return sym > CLASSES_SYM_LAST ? FREQ_SYM_ESCAPE : sym;
}

/* The symbol of a half octave of values in a direct row. */
static inline unsigned classes_sym_direct(unsigned half_octave, unsigned first)
{
    unsigned sym = half_octave - first; /* wraps below first */
    return sym >= CLASSES_SYM_LAST ? FREQ_SYM_ESCAPE : sym + 1;
}

#endif
