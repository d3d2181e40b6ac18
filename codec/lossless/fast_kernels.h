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

struct fast_kernels {
    /* The context of each element; count is a multiple of FAST_GROUP and the
     * context's window is one. */
    void (*contexts_32)(const struct fast_context *context, const uint8_t *base,
                        uint16_t *ctx, size_t count);
    /* Symbols and raw bits to elements; the same count. Returns the position
     * after the raw bits. */
    size_t (*unmap_32)(const struct fast_block *block, size_t count);
    /* The same for 64-bit elements. Both may be NULL. */
    void (*contexts_64)(const struct fast_context *context, const uint8_t *base,
                        uint16_t *ctx, size_t count);
    size_t (*unmap_64)(const struct fast_block *block, size_t count);
    /* Elements to symbols and raw bits; the same count. */
    void (*syms_32)(const struct fast_syms *block, size_t count);
    /* Classes of floats that have a base; the same count. */
    void (*classes_32)(const uint8_t *base, const uint8_t *target,
                       struct fast_classes *classes, size_t count);
};

extern const struct fast_kernels fast_kernels_plain;

/* What suits the processor. */
const struct fast_kernels *fast_kernels_choose(void);

#if CPU_X86
extern const struct fast_kernels fast_kernels_avx2;
void fast_avx2_syms_32(const struct fast_syms *block, size_t count);
void fast_avx2_classes_32(const uint8_t *base, const uint8_t *target,
                          struct fast_classes *classes, size_t count);
#endif

#endif
