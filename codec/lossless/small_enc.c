/* Encoder of the small coder: what the models say, into ranges. */
#include "codec/base/writer.h"
#include "codec/lossless/small_bits.h"

#include <stdlib.h>

/* Most coded bytes a byte of the target takes: an element has at most 72 bits
 * that are coded, each of at most 16 bits. */
#define CODED_PER_BYTE 144u

/* An interval of the line 0 .. 2^64 beyond the bytes written: low to low +
 * range. A carry out of low runs back through the bytes. Beside it raw bits. */
struct small_coder {
    uint64_t low, range;
    uint64_t acc; /* raw bits not yet written */
    unsigned fill;
    struct writer *wr;
    struct writer *raw;
};

static void carry(struct writer *wr)
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
            carry(coder->wr);
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

#include "codec/lossless/small_walk.inc"

struct small_enc {
    size_t bytes_max, bytes;
    struct small_coder coder;
    struct writer wr;
    struct writer raw;
    struct small_context context;
    struct small_models models;
};

struct small_enc *small_enc_new(size_t segment_bytes_max)
{
    struct small_enc *enc = calloc(1, sizeof(*enc));
    if (!enc)
        return NULL;
    enc->bytes_max = segment_bytes_max;
    writer_init_heap(&enc->wr, CODED_PER_BYTE * segment_bytes_max + 64);
    writer_init_heap(&enc->raw, segment_bytes_max + 64);
    small_models_init(&enc->models);
    small_enc_begin(enc);
    return enc;
}

void small_enc_free(struct small_enc *enc)
{
    if (!enc)
        return;
    writer_deinit(&enc->wr);
    writer_deinit(&enc->raw);
    free(enc);
}

void small_enc_begin(struct small_enc *enc)
{
    enc->wr.size = enc->raw.size = 0;
    enc->coder = (struct small_coder){
        .range = UINT64_MAX, .wr = &enc->wr, .raw = &enc->raw};
    enc->bytes = 0;
    small_models_reset(&enc->models);
}

enum status small_enc_piece(struct small_enc *enc,
                            const struct small_coding *coding, enum dtype dtype,
                            const uint8_t *pred, const uint8_t *lost,
                            const uint8_t *target, size_t elem_count,
                            uint64_t first_elem)
{
    size_t elem_bytes = dtype_bits(dtype) / 8;
    if (elem_count > (enc->bytes_max - enc->bytes) / elem_bytes)
        return STATUS_LIMIT;
    if (!elem_count)
        return STATUS_OK;
    enc->bytes += elem_count * elem_bytes;
    bool delta = coding->mode == SMALL_DELTA;
    struct small_piece piece = {.pred = delta ? pred : NULL,
                                .lost = delta ? lost : NULL,
                                .target = target,
                                .elem_count = elem_count};
    small_context_set(&enc->context, &enc->models, coding, dtype, pred != NULL,
                      elem_count, first_elem);
    small_walk(&enc->models, &enc->coder, &enc->context, &piece, dtype);
    return STATUS_OK;
}

/* The shortest bytes that, followed by zeros, lie in the interval; those that
 * end it in zeros are left out. */
static void range_finish(struct small_coder *coder)
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
        carry(coder->wr);
    for (unsigned i = 0; i < keep; i++)
        writer_u8(coder->wr, (uint8_t)(value >> (56 - 8 * i)));
}

static void raw_finish(struct small_coder *coder)
{
    for (; coder->fill; coder->fill -= coder->fill < 8 ? coder->fill : 8) {
        writer_u8(coder->raw, (uint8_t)coder->acc);
        coder->acc >>= 8;
    }
}

void small_enc_finish(struct small_enc *enc, struct writer *wr)
{
    if (enc->bytes) {
        range_finish(&enc->coder);
        raw_finish(&enc->coder);
        writer_varint(wr, enc->wr.size + 1);
        writer_varint(wr, enc->raw.size);
        writer_bytes(wr, enc->wr.data, enc->wr.size);
        writer_bytes(wr, enc->raw.data, enc->raw.size);
    } else {
        writer_u8(wr, 0);
    }
    if (writer_status(&enc->wr))
        writer_fail(wr, writer_status(&enc->wr));
    if (writer_status(&enc->raw))
        writer_fail(wr, writer_status(&enc->raw));
    small_enc_begin(enc);
}
