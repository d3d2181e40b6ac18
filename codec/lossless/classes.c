/* Rows of classes: what each symbol means at each scale. */
#include "codec/lossless/classes.h"

bool classes_format(enum dtype dtype, struct classes_format *format)
{
    switch (dtype) {
    case DTYPE_F64:
        *format = (struct classes_format){64, 52, 896, 4096};
        return true;
    case DTYPE_F32:
        *format = (struct classes_format){32, 23, 0, 512};
        return true;
    case DTYPE_I64:
    case DTYPE_U64:
        *format = (struct classes_format){64, 0, 0, 0};
        return true;
    case DTYPE_I32:
    case DTYPE_U32:
        *format = (struct classes_format){32, 0, 0, 0};
        return true;
    default:
        return false;
    }
}

static classes_entry entry(uint32_t above, unsigned bits)
{
    return above << 8 | bits;
}

/* A class of differences. Magnitudes that no difference of this width has are
 * never coded; they get the width and no magnitude so that a decoder that
 * meets them stays within its types. */
static classes_entry difference(unsigned half_octave, unsigned width)
{
    unsigned top = half_octave / 2;
    if (top >= width - 1)
        return entry(0, width);
    if (!top)
        return entry(1, 1);
    return entry(2 | (half_octave & 1), top);
}

/* Symbol 1 of row q holds all magnitudes up to half octave q. In rows 0 and 1
 * that is 1 alone. */
static classes_entry lowest(unsigned row, unsigned width)
{
    unsigned bits = row / 2 + 2;
    if (row < 2)
        return difference(0, width);
    return entry(0, bits < width ? bits : width);
}

static void difference_row(classes_entry row_out[FREQ_SYMS], unsigned row,
                           unsigned width)
{
    row_out[0] = entry(0, 0);
    row_out[1] = lowest(row, width);
    for (unsigned s = 2; s <= CLASSES_SYM_LAST; s++)
        row_out[s] = difference(row + s - 1, width);
    row_out[FREQ_SYM_ESCAPE] = entry(0, width);
}

void classes_rows_init(classes_entry (*rows)[FREQ_SYMS], unsigned width)
{
    for (unsigned row = 0; row <= CLASSES_ROW_MAX; row++)
        difference_row(rows[row], row, width);
}

void classes_row_direct(classes_entry row[FREQ_SYMS],
                        const struct classes_format *format, unsigned first)
{
    row[0] = entry(0, 0);
    for (unsigned s = 1; s <= CLASSES_SYM_LAST; s++) {
        unsigned half_octave = first + s - 1;
        row[s] = half_octave < format->half_octaves
                     ? entry(half_octave, format->mantissa_bits)
                     : entry(0, format->width);
    }
    row[FREQ_SYM_ESCAPE] = entry(0, format->width);
}

unsigned classes_row(const struct classes_format *format, unsigned scale,
                     unsigned exponent)
{
    unsigned max = 2u * (format->width - 2u);
    unsigned less = 2 * (exponent ? exponent : 1);
    unsigned row = scale > less ? scale - less : 0;
    return row < max ? row : max;
}
