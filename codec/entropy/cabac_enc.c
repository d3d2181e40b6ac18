/* Bytes of the codeword leave low five or less at a time; a carry out of them
 * runs back over the bytes written before. */
#include "codec/entropy/cabac_enc.h"

void cabac_enc_init(struct cabac_enc *enc, struct writer *wr)
{
    *enc = (struct cabac_enc){
        .wr = wr, .start = wr->size, .range = CABAC_RANGE_START, .fill = 9};
}

static void carry(struct writer *wr, size_t start)
{
    size_t at = wr->size;
    while (at > start && ++wr->data[--at] == 0)
        ;
}

uint64_t cabac_enc_flush(struct writer *wr, size_t start, uint64_t low,
                         uint32_t fill)
{
    uint32_t count = (fill - 9) / 8, keep = fill - 8 * count;
    uint64_t top = low >> keep;
    if (top >> (8 * count) && !wr->status)
        carry(wr, start);
    uint8_t *out = writer_reserve(wr, count);
    if (out) {
        for (uint32_t i = 0; i < count; i++)
            out[i] = (uint8_t)(top >> (8 * (count - 1 - i)));
    }
    return low & (((uint64_t)1 << keep) - 1);
}

void cabac_enc_finish(struct cabac_enc *enc)
{
    enc->range -= 2;
    enc->low += enc->range;
    enc->low |= 1;
    uint32_t pad = (8 - enc->fill % 8) % 8;
    /* Nine bits more than there are, so that all of low leaves. */
    enc->low <<= pad + 16;
    (void)cabac_enc_flush(enc->wr, enc->start, enc->low, enc->fill + pad + 16);
    enc->low = 0;
    enc->fill = 0;
}
