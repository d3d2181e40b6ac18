/* What the symbols of the narrow coder mean: rows of 32 entries, and the bins
 * in which its planner counts differences, fine enough for every row. Private
 * to narrow_*.
 *
 * A difference has a magnitude m and a sign g, 1 where it leads the unlikely
 * way; both travel as 2 m + g. Layout and formulas: codec/FORMAT.md, "Narrow
 * rows". */
#ifndef CODEC_LOSSLESS_NARROW_ROWS_H
#define CODEC_LOSSLESS_NARROW_ROWS_H

#include "codec/base/cpu.h"
#include "codec/entropy/freq.h"
#include "codec/model/dtype.h"

#include <stdbool.h>
#include <stdint.h>

/* Rows of differences, and the one of values. */
#define NARROW_ROWS       16u
#define NARROW_ROW_MAX    9u
#define NARROW_ROW_FLOAT  1u /* the lowest that floats use */
#define NARROW_ROW_DIRECT 10u

#define NARROW_EXPONENTS 256u
#define NARROW_LEVELS    8u /* of what rounding lost */
#define NARROW_SIDES     4u /* the same, mirrored */

#define NARROW_DIFFS 65536u

/* Bins of 2 m + g: m itself below 16, then quarter octaves. */
#define NARROW_BINS 128u

/* What the coder has to know of a dtype. */
struct narrow_format {
    uint8_t width;          /* bits of an element: 8, 16 */
    uint8_t mantissa_bits;  /* stored ones; 0: an integer */
    uint8_t exponent_shift; /* context = (bits >> shift & mask) ^ flip */
    uint8_t exponent_mask;
    uint8_t exponent_flip;
    bool is_signed;
    uint16_t order_mask;   /* inverted where the sign bit is set */
    uint16_t half_octaves; /* of a float's magnitudes */
};

/* False for a dtype with elements of more than 16 bits. */
bool narrow_format(enum dtype dtype, struct narrow_format *format);

/* A symbol of a row: entry & 0xff raw bits r follow; 2 m + g is
 * (entry >> 8) + r. The escape has width bits and no magnitude. */
typedef uint32_t narrow_entry;

/* Magnitudes whose signs have symbols of their own. */
unsigned narrow_signed_count(unsigned row);

/* Fills rows 0 .. NARROW_ROW_MAX for elements of width bits. */
void narrow_rows_init(narrow_entry (*rows)[FREQ_SYMS], unsigned width);

/* Fills the direct row whose symbol 1 is half octave first. */
void narrow_row_direct(narrow_entry row[FREQ_SYMS],
                       const struct narrow_format *format, unsigned first);

/* Fills the symbol of each bin in rows 0 .. NARROW_ROW_MAX. */
void narrow_syms_init(uint8_t (*syms)[NARROW_BINS]);

/* Fills the bin of each difference of 16 bits, as a signed number modulo 2^16;
 * g, the lowest bit, is its sign. */
void narrow_bins_init(uint8_t bins[NARROW_DIFFS]);

/* Bin of 2 m + g, which is at most 2^17 - 1. */
static ALWAYS_INLINE unsigned narrow_bin(uint32_t twice)
{
    uint32_t m = twice >> 1;
    unsigned top = 31 - (unsigned)__builtin_clz(m | 8);
    unsigned wide = 4 * top + (m >> (top - 2) & 3);
    return (m < 16 ? m : wide) << 1 | (twice & 1);
}

/* The row for a prediction of this exponent: each octave further below scale
 * doubles the differences that are expected. */
static ALWAYS_INLINE unsigned narrow_row_float(unsigned scale,
                                               unsigned exponent)
{
    unsigned e = exponent ? exponent : 1;
    unsigned row = scale > e ? NARROW_ROW_FLOAT + scale - e : NARROW_ROW_FLOAT;
    return row < NARROW_ROW_MAX ? row : NARROW_ROW_MAX;
}

/* The symbol of a half octave of values in a direct row. */
static ALWAYS_INLINE unsigned narrow_sym_direct(unsigned half_octave,
                                                unsigned first)
{
    unsigned sym = half_octave - first; /* wraps below first */
    return sym >= FREQ_SYM_ESCAPE - 1 ? FREQ_SYM_ESCAPE : sym + 1;
}

#endif
