/* What encoder, decoder and statistics of the narrow coder share: a coding
 * spread out to one context for each exponent and level of loss, and access to
 * elements. Private to narrow_*. */
#ifndef CODEC_LOSSLESS_NARROW_CONTEXT_H
#define CODEC_LOSSLESS_NARROW_CONTEXT_H

#include "codec/base/bytes.h"
#include "codec/base/cpu.h"
#include "codec/entropy/rans.h"
#include "codec/lossless/narrow.h"
#include "codec/lossless/narrow_rows.h"

#define NARROW_ROW_SHIFT 5u
#define NARROW_FLIP      0x200u

/* Contexts are table << RANS_TABLE_SHIFT | flip << 9 | row << 5. */
struct narrow_context {
    struct narrow_coding coding; /* what the rest was made of */
    enum dtype dtype;
    bool is_set;
    struct narrow_format format;
    unsigned rows_width; /* for which rows is filled; 0 = not yet */
    bool has_pred;
    bool has_lost;
    uint16_t full_pred; /* what a full coding's values are counted from */
    uint16_t scale;
    uint16_t direct_end;
    uint16_t direct_first;
    uint8_t row; /* of integers */
    uint8_t run_count;
    uint8_t run_first[NARROW_RUNS_MAX];
    /* Tables << 4 of each run: of side 0, and of four sides for at most
     * NARROW_LOST_RUNS_MAX runs. */
    uint8_t run_table[NARROW_RUNS_MAX];
    uint8_t run_sides[NARROW_LOST_RUNS_MAX * NARROW_SIDES];
    /* For kernels: run << 4 | row of the exponents from window_first to
     * window_last; outside it is the same as at the end. Floats only. */
    uint8_t window_first, window_last;
    uint8_t window_parts; /* of 16 exponents */
    uint8_t window[NARROW_EXPONENTS];
    uint8_t low_signed; /* magnitudes that row 0 or 1 has both signs of */
    bool is_plain;      /* values are beyond what kernels of bytes can do */
    /* With has_lost [exponent * NARROW_LEVELS + level], else [bits of the
     * prediction >> top_shift]: its exponent and sign; 0 without one. */
    uint16_t ctx[NARROW_EXPONENTS * NARROW_LEVELS];
    unsigned top_shift;
    narrow_entry rows[NARROW_ROWS][FREQ_SYMS];
};

/* coding must be valid for dtype. */
void narrow_context_set(struct narrow_context *context,
                        const struct narrow_coding *coding, enum dtype dtype);

static ALWAYS_INLINE bool narrow_ctx_direct(uint16_t ctx)
{
    return (ctx >> NARROW_ROW_SHIFT & (NARROW_ROWS - 1)) == NARROW_ROW_DIRECT;
}

/* Index of symbol 0 in rows[0]. */
static ALWAYS_INLINE unsigned narrow_ctx_entry(uint16_t ctx)
{
    return ctx & (NARROW_FLIP - 1);
}

static ALWAYS_INLINE uint32_t narrow_ctx_flip(uint16_t ctx)
{
    return ctx / NARROW_FLIP & 1;
}

/* width is a constant wherever the following are inlined. */
static ALWAYS_INLINE uint32_t narrow_load(const uint8_t *p, unsigned width)
{
    return width == 8 ? *p : load_le16(p);
}

static ALWAYS_INLINE void narrow_store(uint8_t *p, uint32_t v, unsigned width)
{
    if (width == 8)
        *p = (uint8_t)v;
    else
        store_le16(p, (uint16_t)v);
}

/* Floats as ordered integers (ordered.h), integers as they are. */
static ALWAYS_INLINE uint32_t narrow_ordered(uint32_t v, uint32_t order_mask,
                                             unsigned width)
{
    return v ^ ((0 - (v >> (width - 1))) & order_mask);
}

static ALWAYS_INLINE unsigned
narrow_exponent(uint32_t v, const struct narrow_format *format)
{
    return (v >> format->exponent_shift & format->exponent_mask) ^
           format->exponent_flip;
}

/* Where in ctx the context of a prediction is. lost is NULL or a constant where
 * this is inlined. */
static ALWAYS_INLINE unsigned
narrow_ctx_at(const struct narrow_context *context, uint32_t v,
              const uint8_t *lost)
{
    if (!lost)
        return v >> context->top_shift;
    return narrow_exponent(v, &context->format) * NARROW_LEVELS + (*lost & 7u);
}

/* The level where rounding lost nothing that is known: away from zero is taken
 * to be likelier, by a trifle. */
static ALWAYS_INLINE unsigned
narrow_level(uint32_t v, const struct narrow_format *format, unsigned width)
{
    return 4 - (v >> (width - 1) & format->is_signed);
}

/* Which of NARROW_SIDES a level is, whichever the direction. */
static ALWAYS_INLINE unsigned narrow_side(unsigned level)
{
    return (level ^ (level & 4 ? 0 : 3)) & 3;
}

/* A difference modulo 2^width as a signed number. */
static ALWAYS_INLINE int32_t narrow_signed(uint32_t d, unsigned width)
{
    return (int32_t)(d << (32 - width)) >> (32 - width);
}

/* 2 m + g; flip is 0 or 1. */
static ALWAYS_INLINE uint32_t narrow_twice(int32_t d, uint32_t flip)
{
    uint32_t sign = (uint32_t)(d >> 31);
    return 2 * (((uint32_t)d ^ sign) - sign) + ((sign & 1) ^ flip);
}

#endif
