/* Rows of the narrow coder: what each symbol means at each scale. */
#include "codec/lossless/narrow_rows.h"

/* Rows 0 and 1 have symbols of their own for both signs of this many
 * magnitudes; the others drop bits that then are raw. */
static const uint8_t signed_count[NARROW_ROW_MAX + 1] = {15, 7};

unsigned narrow_signed_count(unsigned row)
{
    return signed_count[row];
}

static unsigned shift_of(unsigned row)
{
    return row < 2 ? 0 : row - 2;
}

bool narrow_format(enum dtype dtype, struct narrow_format *format)
{
    switch (dtype) {
    case DTYPE_F16:
        *format = (struct narrow_format){16, 10, 10, 31, 0, true, 0x7fff, 64};
        return true;
    case DTYPE_BF16:
        *format = (struct narrow_format){16, 7, 7, 255, 0, true, 0x7fff, 512};
        return true;
    case DTYPE_F8_E4M3:
        *format = (struct narrow_format){8, 3, 3, 15, 0, true, 0x7f, 32};
        return true;
    case DTYPE_F8_E5M2:
        *format = (struct narrow_format){8, 2, 2, 31, 0, true, 0x7f, 64};
        return true;
    case DTYPE_I16:
        *format = (struct narrow_format){16, 0, 8, 255, 128, true, 0, 0};
        return true;
    case DTYPE_U16:
        *format = (struct narrow_format){16, 0, 8, 255, 0, false, 0, 0};
        return true;
    case DTYPE_I8:
        *format = (struct narrow_format){8, 0, 0, 255, 128, true, 0, 0};
        return true;
    default:
        *format = (struct narrow_format){8, 0, 0, 255, 0, false, 0, 0};
        return dtype_bits(dtype) > 0 && dtype_bits(dtype) <= 8;
    }
}

static narrow_entry entry(uint32_t twice, unsigned bits)
{
    return twice << 8 | bits;
}

/* Class i holds magnitudes from low on, 2^bits of them: single ones below 8,
 * then quarter octaves. */
static uint32_t class_low(unsigned i, unsigned *bits)
{
    *bits = i < 8 ? 0 : i / 4 - 1;
    return i < 8 ? i : (4u | (i & 3)) << *bits;
}

static narrow_entry difference(unsigned row, unsigned sym)
{
    unsigned n = signed_count[row], shift = shift_of(row), bits;
    if (sym <= 2 * n && !shift)
        return entry(sym ? sym + 1 : 0, 0);
    uint32_t low = class_low(sym - n, &bits);
    return entry(low << (shift + 1), bits + shift + 1);
}

void narrow_rows_init(narrow_entry (*rows)[FREQ_SYMS], unsigned width)
{
    for (unsigned row = 0; row <= NARROW_ROW_MAX; row++) {
        for (unsigned s = 0; s < FREQ_SYM_ESCAPE; s++)
            rows[row][s] = difference(row, s);
        rows[row][FREQ_SYM_ESCAPE] = entry(0, width);
    }
}

void narrow_row_direct(narrow_entry row[FREQ_SYMS],
                       const struct narrow_format *format, unsigned first)
{
    unsigned bits = format->mantissa_bits;
    row[0] = entry(0, 0);
    for (unsigned s = 1; s < FREQ_SYM_ESCAPE; s++) {
        unsigned half_octave = first + s - 1;
        row[s] = half_octave < format->half_octaves
                     ? entry(half_octave << bits, bits)
                     : entry(0, format->width);
    }
    row[FREQ_SYM_ESCAPE] = entry(0, format->width);
}

/* The least magnitude of a bin. */
static uint32_t bin_low(unsigned bin)
{
    unsigned i = bin >> 1;
    return i < 16 ? i : (4u | (i & 3)) << (i / 4 - 2);
}

static unsigned class_of(uint32_t m)
{
    if (m < 8)
        return m;
    unsigned top = 31 - (unsigned)__builtin_clz(m);
    return 4 * (top - 1) + (m >> (top - 2) & 3);
}

static unsigned sym_of(unsigned row, uint32_t m, unsigned g)
{
    unsigned n = signed_count[row];
    if (!row && m > n)
        return FREQ_SYM_ESCAPE;
    if (n && m && m <= n)
        return 2 * m - 1 + g;
    unsigned sym = m ? n + class_of(m >> shift_of(row)) : 0;
    return sym < FREQ_SYM_ESCAPE ? sym : FREQ_SYM_ESCAPE;
}

void narrow_syms_init(uint8_t (*syms)[NARROW_BINS])
{
    for (unsigned row = 0; row <= NARROW_ROW_MAX; row++)
        for (unsigned bin = 0; bin < NARROW_BINS; bin++)
            syms[row][bin] = (uint8_t)sym_of(row, bin_low(bin), bin & 1);
}

void narrow_bins_init(uint8_t bins[NARROW_DIFFS])
{
    for (uint32_t m = 0; m < NARROW_DIFFS / 2; m++) {
        bins[m] = (uint8_t)narrow_bin(2 * m);
        bins[(0 - m) & (NARROW_DIFFS - 1)] = (uint8_t)narrow_bin(2 * m + 1);
    }
    bins[0] = 0;
    bins[NARROW_DIFFS / 2] = (uint8_t)narrow_bin(NARROW_DIFFS + 1);
}
