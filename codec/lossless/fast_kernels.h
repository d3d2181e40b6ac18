/* Variants of the inner loops for 32- and 64-bit elements. Private to fast_*.
 */
#ifndef CODEC_LOSSLESS_FAST_KERNELS_H
#define CODEC_LOSSLESS_FAST_KERNELS_H

#include "codec/base/cpu.h"
#include "codec/lossless/fast_context.h"

/* A kernel takes elements in groups of so many; plain C does the rest. */
#define FAST_GROUP 32u
/* How far past the last raw bit it uses a kernel may read. */
#define FAST_LOAD_SLACK 48u

/* A shift adds `up` to an exponent or takes `down` from it, one of which is 0.
 * half: the rest, 1 half octave or 0. */
struct fast_shift {
    uint8_t up, down, half;
};

/* How exponents become contexts. */
struct fast_lookup {
    const uint16_t *by_exponent;
    const struct fast_window *window;
    bool shifted; /* else exponents are as they are */
    struct fast_shift shift;
};

/* A block between the symbols and the elements. */
struct fast_block {
    const struct fast_context *context;
    const uint8_t *base; /* not read unless the context has a base */
    uint8_t *out;
    const uint16_t *ctx;
    const uint8_t *syms;
    const uint8_t *raw;
    size_t raw_pos; /* in bits */
};

/* A block on the way from elements to symbols. */
struct fast_syms {
    const struct fast_context *context;
    const uint8_t *base; /* not read unless the context has a base */
    const uint8_t *target;
    const uint16_t *ctx;
    const uint32_t *uncoded; /* for each table its symbols of frequency 0 */
    const uint8_t *escape;   /* for table << 5 | symbol: 31 if so, else 0 */
    uint16_t *syms;          /* table << 5 | symbol */
    uint64_t *raw;           /* raw bits of each two elements */
    uint64_t *bits;          /* how many */
};

/* What is counted of an element. */
struct fast_classes {
    uint16_t exponent;
    uint16_t diff;  /* 0: none, else 1 + half octave of the difference */
    uint32_t value; /* index of fast_value_counts */
};

/* What a block's shift is chosen by. */
struct fast_sizes {
    uint32_t sum; /* of 1 + class + 2 * exponent over changes that are clear */
    uint32_t clear; /* how many these are */
    bool changed;   /* there is any change */
};

/* A class from which on a change shows the size of changes around it. */
#define FAST_CLEAR_CLASS 6u

struct fast_kernels {
    /* The context of each element; count is a multiple of FAST_GROUP and the
     * window is on. */
    void (*contexts_32)(const struct fast_lookup *lookup, const uint8_t *base,
                        uint16_t *ctx, size_t count);
    /* Symbols and raw bits to elements; the same count. Returns the position
     * after the raw bits. */
    size_t (*unmap_32)(const struct fast_block *block, size_t count);
    /* The same for 64-bit elements. Both may be NULL. */
    void (*contexts_64)(const struct fast_lookup *lookup, const uint8_t *base,
                        uint16_t *ctx, size_t count);
    size_t (*unmap_64)(const struct fast_block *block, size_t count);
    /* Elements to symbols and raw bits; the same count. */
    void (*syms_32)(const struct fast_syms *block, size_t count);
    /* Classes of floats that have a base; the same count. */
    void (*classes_32)(const uint8_t *base, const uint8_t *target,
                       struct fast_classes *classes, size_t count);
    /* Of count classes, at most FAST_SHIFT_BLOCK. */
    struct fast_sizes (*sizes)(const struct fast_classes *classes,
                               size_t count);
};

extern const struct fast_kernels fast_kernels_plain;
struct fast_sizes fast_plain_sizes(const struct fast_classes *classes,
                                   size_t count);

/* What suits the processor. */
const struct fast_kernels *fast_kernels_choose(void);

#if CPU_X86
extern const struct fast_kernels fast_kernels_avx2;
void fast_avx2_syms_32(const struct fast_syms *block, size_t count);
struct fast_sizes fast_avx2_sizes(const struct fast_classes *classes,
                                  size_t count);
void fast_avx2_classes_32(const uint8_t *base, const uint8_t *target,
                          struct fast_classes *classes, size_t count);
#endif

#endif
