/* Ranges of the adaptive coders: bytes back into coded bits, raw bits beside
 * them. Included by their decoders alone.
 *
 * Ref: codec/FORMAT.md, "Segment coded small", "Stream". */
#ifndef CODEC_LOSSLESS_SMALL_RANGE_DEC_H
#define CODEC_LOSSLESS_SMALL_RANGE_DEC_H

#include "codec/base/reader.h"
#include "codec/lossless/small_bits.h"

/* code is where the stream lies within the interval. Past the end zeros are
 * read and counted. */
struct small_coder {
    uint64_t code, range;
    const uint8_t *pos, *end;
    size_t over;
    const uint8_t *raw;
    size_t raw_size; /* bytes */
    size_t raw_pos;  /* bits */
};

static __attribute__((noinline)) uint32_t
small_last_word(struct small_coder *coder)
{
    uint32_t word = 0;
    for (unsigned i = 0; i < 4; i++) {
        unsigned more = coder->pos < coder->end;
        word = word << 8 | (more ? *coder->pos : 0);
        coder->pos += more;
        coder->over += 1 - more;
    }
    return word;
}

SMALL_INLINE uint32_t small_next_word(struct small_coder *coder)
{
    if (coder->end - coder->pos < 4) {
        struct small_coder c = *coder;
        uint32_t word = small_last_word(&c);
        *coder = c;
        return word;
    }
    uint32_t word = load_be32(coder->pos);
    coder->pos += 4;
    return word;
}

SMALL_INLINE unsigned small_code(struct small_coder *coder, uint32_t p,
                                 unsigned bit)
{
    uint64_t bound = (coder->range >> 16) * p;
    bit = coder->code < bound;
    /* No branch: it could not be foretold. All ones for a 1: */
    uint64_t one = 0 - (uint64_t)bit;
    coder->code -= bound & ~one;
    coder->range -= bound;
    coder->range ^= (coder->range ^ bound) & one;
    if (coder->range >> 32 == 0) {
        coder->code = coder->code << 32 | small_next_word(coder);
        coder->range <<= 32;
    }
    return bit;
}

static __attribute__((noinline)) uint64_t
small_raw_slow(const uint8_t *data, size_t size, size_t pos, unsigned bits)
{
    uint64_t v = 0;
    for (unsigned i = 0; i < bits; i++) {
        size_t at = pos + i;
        if (at / 8 < size)
            v |= (uint64_t)(data[at / 8] >> (at % 8) & 1) << i;
    }
    return v;
}

SMALL_INLINE uint64_t small_raw(struct small_coder *coder, uint64_t value,
                                unsigned bits)
{
    size_t at = coder->raw_pos / 8;
    unsigned shift = (unsigned)(coder->raw_pos % 8);
    if (at + 16 <= coder->raw_size) {
        value = load_le64(coder->raw + at) >> shift;
        if (bits > 56)
            value |= (uint64_t)coder->raw[at + 8] << 1 << (63 - shift);
        value &= ((uint64_t)1 << bits) - 1;
    } else {
        value =
            small_raw_slow(coder->raw, coder->raw_size, coder->raw_pos, bits);
    }
    coder->raw_pos += bits;
    return value;
}

/* Starts the stream at rd, which is left just past it. *empty: it holds no
 * element. TRUNCATED. */
static inline enum status small_stream_begin(struct small_coder *coder,
                                             struct reader *rd, bool *empty)
{
    *empty = true;
    uint64_t head = reader_varint(rd);
    if (reader_status(rd) || !head)
        return reader_status(rd);
    uint64_t raw_bytes = reader_varint(rd);
    if (head - 1 > reader_left(rd) || raw_bytes > reader_left(rd) - (head - 1))
        reader_fail(rd, STATUS_TRUNCATED);
    if (reader_status(rd))
        return reader_status(rd);
    struct bytes in = reader_bytes(rd, (size_t)(head - 1));
    struct bytes raw = reader_bytes(rd, (size_t)raw_bytes);
    *coder = (struct small_coder){.range = UINT64_MAX,
                                  .pos = in.data,
                                  .end = in.data + in.size,
                                  .raw = raw.data,
                                  .raw_size = raw.size};
    uint64_t high = small_next_word(coder);
    coder->code = high << 32 | small_next_word(coder);
    *empty = false;
    return STATUS_OK;
}

/* TRUNCATED: more was asked for than the stream holds; CORRUPT: less. */
static inline enum status small_stream_finish(const struct small_coder *coder)
{
    if (coder->raw_pos > coder->raw_size * 8 || coder->over > 8)
        return STATUS_TRUNCATED;
    size_t left = coder->raw_size * 8 - coder->raw_pos;
    if (coder->pos < coder->end || coder->over < 4 || left >= 8 ||
        (left && coder->raw[coder->raw_size - 1] >> (8 - left)))
        return STATUS_CORRUPT;
    return STATUS_OK;
}

#endif
