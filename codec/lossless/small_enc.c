/* Encoder of the small coder: what the models say, into ranges. */
#include "codec/lossless/small_range_enc.h"

#include <stdlib.h>

/* Most coded bytes a byte of the target takes: an element has at most 72 bits
 * that are coded, each of at most 16 bits. */
#define CODED_PER_BYTE 144u

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

void small_enc_finish(struct small_enc *enc, struct writer *wr)
{
    if (enc->bytes) {
        small_stream_write(&enc->coder, wr);
    } else {
        writer_u8(wr, 0);
    }
    if (writer_status(&enc->wr))
        writer_fail(wr, writer_status(&enc->wr));
    if (writer_status(&enc->raw))
        writer_fail(wr, writer_status(&enc->raw));
    small_enc_begin(enc);
}
