/* Bits packed into bytes, least significant first, over a writer or reader:
 * for small tables in headers, not for hot loops. */
#ifndef CODEC_BASE_BITS_H
#define CODEC_BASE_BITS_H

#include "codec/base/reader.h"
#include "codec/base/writer.h"

struct bit_writer {
    struct writer *wr;
    uint64_t acc;
    unsigned fill; /* bits in acc, < 8 between calls */
};

static inline void bit_writer_init(struct bit_writer *bw, struct writer *wr)
{
    *bw = (struct bit_writer){wr, 0, 0};
}

/* The low count bits of value; count <= 32, the others must be zero. */
static inline void bit_writer_put(struct bit_writer *bw, uint32_t value,
                                  unsigned count)
{
    bw->acc |= (uint64_t)value << bw->fill;
    bw->fill += count;
    while (bw->fill >= 8) {
        writer_u8(bw->wr, (uint8_t)bw->acc);
        bw->acc >>= 8;
        bw->fill -= 8;
    }
}

/* Elias gamma: the length less one as zero bits, a one, the bits below the
 * leading one. value > 0. */
static inline void bit_writer_gamma(struct bit_writer *bw, uint32_t value)
{
    unsigned below = 31 - (unsigned)__builtin_clz(value);
    bit_writer_put(bw, 0, below);
    bit_writer_put(bw, 1, 1);
    bit_writer_put(bw, value & ((1u << below) - 1), below);
}

/* Fills the last byte with zeros. */
static inline void bit_writer_finish(struct bit_writer *bw)
{
    if (bw->fill)
        bit_writer_put(bw, 0, 8 - bw->fill);
}

struct bit_reader {
    struct reader *rd; /* holds the status */
    uint64_t acc;
    unsigned fill;
};

static inline void bit_reader_init(struct bit_reader *br, struct reader *rd)
{
    *br = (struct bit_reader){rd, 0, 0};
}

/* count <= 32; 0 after a failure. */
static inline uint32_t bit_reader_get(struct bit_reader *br, unsigned count)
{
    while (br->fill < count) {
        br->acc |= (uint64_t)reader_u8(br->rd) << br->fill;
        br->fill += 8;
    }
    uint32_t value = (uint32_t)(br->acc & (((uint64_t)1 << count) - 1));
    br->acc >>= count;
    br->fill -= count;
    return reader_status(br->rd) ? 0 : value;
}

/* Elias gamma of at most 16 bits; a longer one is CORRUPT. 1 after a failure.
 */
static inline uint32_t bit_reader_gamma(struct bit_reader *br)
{
    unsigned below = 0;
    while (!bit_reader_get(br, 1)) {
        if (reader_status(br->rd))
            return 1;
        if (++below == 16) {
            reader_fail(br->rd, STATUS_CORRUPT);
            return 1;
        }
    }
    return 1u << below | bit_reader_get(br, below);
}

/* The rest of the last byte must be zeros, else CORRUPT. */
static inline void bit_reader_finish(struct bit_reader *br)
{
    if (br->acc)
        reader_fail(br->rd, STATUS_CORRUPT);
    br->fill = 0;
}

#endif
