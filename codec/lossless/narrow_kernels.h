/* Variants of the decoder's inner loops. Private to narrow_*. */
#ifndef CODEC_LOSSLESS_NARROW_KERNELS_H
#define CODEC_LOSSLESS_NARROW_KERNELS_H

#include "codec/base/cpu.h"
#include "codec/lossless/narrow_context.h"

/* A kernel takes elements in groups of so many; plain C does the rest. */
#define NARROW_GROUP 32u
/* How far past the last raw bit it uses a kernel may read. */
#define NARROW_LOAD_SLACK 48u

/* A block on its way from predictions to elements. */
struct narrow_block {
    const struct narrow_context *context;
    const uint8_t *pred; /* NULL unless the context has predictions */
    const uint8_t *lost; /* NULL unless the context has losses */
    uint8_t *out;
    uint16_t *ctx;
    uint8_t *syms;
    const uint8_t *raw;
    size_t raw_pos; /* in bits */
};

struct narrow_kernels {
    /* The context of each element that has a prediction. count is a multiple
     * of NARROW_GROUP. */
    void (*contexts)(const struct narrow_block *block, size_t count);
    /* Symbols and raw bits to elements; the same count. Returns the position
     * after the raw bits. */
    size_t (*unmap)(const struct narrow_block *block, size_t count);
    bool any_value; /* else not those of a context that is_plain */
};

extern const struct narrow_kernels narrow_kernels_plain;

#if CPU_X86
extern const struct narrow_kernels narrow_kernels_avx2;
#endif

/* What suits the processor. */
static inline const struct narrow_kernels *narrow_kernels_choose(void)
{
#if CPU_X86
    if (cpu_has_avx2())
        return &narrow_kernels_avx2;
#endif
    return &narrow_kernels_plain;
}

#endif
