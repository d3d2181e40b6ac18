/* Bits of NNC headers, most significant first, over a writer whose status
 * says whether there was room.
 *
 * Ref: ISO/IEC 15938-17:2024, descriptors u, i, ue, ie, st. */
#ifndef CODEC_NNC_BIT_PUT_H
#define CODEC_NNC_BIT_PUT_H

#include "codec/base/writer.h"

#include <stdint.h>

struct bit_put {
    struct writer *wr;
    uint32_t acc;  /* the last `fill` bits of it are not written yet */
    uint32_t fill; /* < 8 between calls */
};

static inline void bit_put_init(struct bit_put *bp, struct writer *wr)
{
    *bp = (struct bit_put){wr, 0, 0};
}

/* u(bits): the others must be zero; bits <= 32. */
static inline void bit_put_u(struct bit_put *bp, uint32_t value, uint32_t bits)
{
    while (bits) {
        uint32_t some = 8 - bp->fill < bits ? 8 - bp->fill : bits;
        bits -= some;
        bp->acc = bp->acc << some | (value >> bits & ((1u << some) - 1));
        bp->fill += some;
        if (bp->fill == 8) {
            writer_u8(bp->wr, (uint8_t)bp->acc);
            bp->acc = bp->fill = 0;
        }
    }
}

/* i(bits): two's complement, bits < 32. */
static inline void bit_put_i(struct bit_put *bp, int32_t value, uint32_t bits)
{
    bit_put_u(bp, (uint32_t)value & ((1u << bits) - 1), bits);
}

/* ue(k) */
static inline void bit_put_ue(struct bit_put *bp, uint64_t value, uint32_t k)
{
    while (k < 63 && value >= (uint64_t)1 << k) {
        bit_put_u(bp, 0, 1);
        value -= (uint64_t)1 << k;
        k++;
    }
    bit_put_u(bp, 1, 1);
    if (k > 32) {
        bit_put_u(bp, (uint32_t)(value >> 32), k - 32);
        k = 32;
    }
    bit_put_u(bp, (uint32_t)value, k);
}

/* How many bits that is. */
static inline uint32_t bit_put_ue_bits(uint64_t value, uint32_t k)
{
    uint32_t bits = 1;
    for (; k < 63 && value >= (uint64_t)1 << k; bits++)
        value -= (uint64_t)1 << k++;
    return bits + k;
}

/* ie(k) */
static inline void bit_put_ie(struct bit_put *bp, int64_t value, uint32_t k)
{
    uint64_t size = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;
    bit_put_ue(bp, value > 0 ? 2 * size - 1 : 2 * size, k);
}

/* A one, and zeros to the end of the byte. */
static inline void bit_put_align(struct bit_put *bp)
{
    bit_put_u(bp, 1, 1);
    bit_put_u(bp, 0, (8 - bp->fill) % 8);
}

/* st(v): text without its NUL; at the start of a byte only. */
static inline void bit_put_text(struct bit_put *bp, const char *text,
                                size_t size)
{
    writer_bytes(bp->wr, text, size);
    writer_u8(bp->wr, 0);
}

#endif
