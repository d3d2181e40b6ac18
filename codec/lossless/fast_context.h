/* What encoder and decoder of the fast coder share: a coding spread out to one
 * context for each base exponent, and access to elements. Private to fast_*. */
#ifndef CODEC_LOSSLESS_FAST_CONTEXT_H
#define CODEC_LOSSLESS_FAST_CONTEXT_H

#include "codec/base/bytes.h"
#include "codec/entropy/rans.h"
#include "codec/lossless/classes.h"
#include "codec/lossless/fast.h"
#include "codec/lossless/ordered.h"

#define FAST_SCALE_MAX 1023u
#define FAST_ROW_SHIFT 5u
#define FAST_WINDOW    64u

/* Contexts at exponents first .. + FAST_WINDOW - 1, low and high bytes apart;
 * those below and above are like the first and the last. */
struct fast_window {
    bool on; /* else contexts differ over a wider range */
    uint8_t first;
    uint8_t low[FAST_WINDOW];
    uint8_t high[FAST_WINDOW];
};

/* Contexts are table << RANS_TABLE_SHIFT | row << FAST_ROW_SHIFT. */
struct fast_context {
    struct fast_coding coding; /* what the rest was made of */
    enum dtype dtype;
    bool is_set;
    struct classes_format format;
    unsigned rows_width; /* for which rows is filled; 0 = not yet */
    bool is_float;
    bool has_base;
    bool has_direct; /* some exponent is coded by value */
    bool shifted;
    uint16_t direct_first;
    /* The second ones are for changes half an octave larger. */
    uint16_t by_exponent[2][CLASSES_EXPONENTS];
    struct fast_window window[2];
    classes_entry rows[CLASSES_ROWS][FREQ_SYMS];
    /* The same for plain kernels: bits | (above << bits) << 32. */
    uint64_t quick[CLASSES_ROWS][FREQ_SYMS];
    uint32_t mask[33]; /* that many ones */
};

/* coding must be valid for dtype. Returns false, at once, if the context was
 * that already. */
bool fast_context_set(struct fast_context *context,
                      const struct fast_coding *coding, enum dtype dtype);

static inline bool fast_ctx_direct(uint16_t ctx)
{
    return (ctx >> FAST_ROW_SHIFT & (CLASSES_ROWS - 1)) == CLASSES_ROW_DIRECT;
}

/* Index of a symbol in rows[0]. */
static inline unsigned fast_ctx_entry(uint16_t ctx)
{
    return ctx & ((1u << RANS_TABLE_SHIFT) - 1);
}

/* width is a constant wherever the following are inlined. */
static inline uint64_t fast_load(const uint8_t *p, unsigned width)
{
    return width == 32 ? load_le32(p) : load_le64(p);
}

static inline void fast_store(uint8_t *p, uint64_t v, unsigned width)
{
    if (width == 32)
        store_le32(p, (uint32_t)v);
    else
        store_le64(p, v);
}

/* mantissa_bits is 0 for integers, which are in order as they are and have
 * exponent 0. */
static inline uint64_t fast_ordered(uint64_t v, unsigned width,
                                    unsigned mantissa_bits)
{
    if (!mantissa_bits)
        return v;
    return width == 32 ? ordered_32((uint32_t)v) : ordered_64(v);
}

/* The exponent as contexts see it. */
static inline unsigned fast_exponent(uint64_t bits, unsigned width,
                                     unsigned mantissa_bits)
{
    if (!mantissa_bits)
        return 0;
    unsigned mask = (1u << (width - 1 - mantissa_bits)) - 1;
    unsigned e = (unsigned)(bits >> mantissa_bits) & mask;
    if (width != 64)
        return e;
    return e < 896 ? 0 : (e > 896 + 255 ? 255 : e - 896);
}

#endif
