/* Ranges of the adaptive coders: coded bits into bytes, raw bits beside them.
 * Included by their encoders alone.
 *
 * Ref: codec/FORMAT.md, "Segment coded small", "Stream". */
#ifndef CODEC_LOSSLESS_SMALL_RANGE_ENC_H
#define CODEC_LOSSLESS_SMALL_RANGE_ENC_H

#include "codec/base/writer.h"
#include "codec/lossless/small_bits.h"

/* An interval of the line 0 .. 2^64 beyond the bytes written: low to low +
 * range. A carry out of low runs back through the bytes. Beside it raw bits. */
struct small_coder {
    uint64_t low, range;
    uint64_t acc; /* raw bits not yet written */
    unsigned fill;
    struct writer *wr;
    struct writer *raw;
};

static inline void small_carry(struct writer *wr)
{
    for (size_t i = wr->size; i-- && !++wr->data[i];)
        ;
}

SMALL_INLINE unsigned small_code(struct small_coder *coder, uint32_t p,
                                 unsigned bit)
{
    uint64_t bound = (coder->range >> 16) * p;
    if (bit) {
        coder->range = bound;
    } else {
        coder->range -= bound;
        coder->low += bound;
        if (coder->low < bound)
            small_carry(coder->wr);
    }
    if (coder->range >> 32 == 0) {
        writer_be32(coder->wr, (uint32_t)(coder->low >> 32));
        coder->low <<= 32;
        coder->range <<= 32;
    }
    return bit;
}

SMALL_INLINE uint64_t small_raw(struct small_coder *coder, uint64_t value,
                                unsigned bits)
{
    value &= ((uint64_t)1 << bits) - 1;
    coder->acc |= value << coder->fill;
    if (coder->fill + bits >= 64) {
        writer_le64(coder->raw, coder->acc);
        coder->acc = coder->fill ? value >> (64 - coder->fill) : 0;
        coder->fill += bits - 64;
    } else {
        coder->fill += bits;
    }
    return value;
}

/* The shortest bytes that, followed by zeros, lie in the interval; those that
 * end it in zeros are left out. */
static inline void small_range_finish(struct small_coder *coder)
{
    uint64_t value = 0, below = UINT64_MAX;
    unsigned keep = 0;
    for (; keep < 8; keep++) {
        below = UINT64_MAX >> (8 * keep);
        value = (coder->low + below) & ~below;
        if (value - coder->low < coder->range)
            break;
    }
    if (value < coder->low)
        small_carry(coder->wr);
    for (unsigned i = 0; i < keep; i++)
        writer_u8(coder->wr, (uint8_t)(value >> (56 - 8 * i)));
}

static inline void small_raw_finish(struct small_coder *coder)
{
    for (; coder->fill; coder->fill -= coder->fill < 8 ? coder->fill : 8) {
        writer_u8(coder->raw, (uint8_t)coder->acc);
        coder->acc >>= 8;
    }
}

/* Ends the stream and writes it: head, sizes, coded bits, raw bits. */
static inline void small_stream_write(struct small_coder *coder,
                                      struct writer *wr)
{
    small_range_finish(coder);
    small_raw_finish(coder);
    writer_varint(wr, coder->wr->size + 1);
    writer_varint(wr, coder->raw->size);
    writer_bytes(wr, coder->wr->data, coder->wr->size);
    writer_bytes(wr, coder->raw->data, coder->raw->size);
}

#endif
