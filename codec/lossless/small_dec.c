/* Decoder of the small coder: ranges back into what was coded. */
#include "codec/lossless/small_range_dec.h"

#include <stdlib.h>

#include "codec/lossless/small_walk.inc"

struct small_dec {
    bool empty; /* the stream holds no element */
    bool over;
    struct small_coder coder;
    struct small_context context;
    struct small_models models;
};

struct small_dec *small_dec_new(void)
{
    struct small_dec *dec = calloc(1, sizeof(*dec));
    if (!dec)
        return NULL;
    dec->empty = true;
    small_models_init(&dec->models);
    return dec;
}

void small_dec_free(struct small_dec *dec)
{
    free(dec);
}

enum status small_dec_begin(struct small_dec *dec, struct reader *rd)
{
    dec->over = false;
    enum status status = small_stream_begin(&dec->coder, rd, &dec->empty);
    if (!status && !dec->empty)
        small_models_reset(&dec->models);
    return status;
}

void small_dec_piece(struct small_dec *dec, const struct small_coding *coding,
                     enum dtype dtype, const uint8_t *pred, const uint8_t *lost,
                     uint8_t *out, size_t elem_count, uint64_t first_elem)
{
    if (!elem_count)
        return;
    if (dec->empty) {
        memset(out, 0, elem_count * (dtype_bits(dtype) / 8));
        dec->over = true;
        return;
    }
    bool delta = coding->mode == SMALL_DELTA;
    struct small_piece piece = {.pred = delta ? pred : NULL,
                                .lost = delta ? lost : NULL,
                                .out = out,
                                .elem_count = elem_count};
    small_context_set(&dec->context, &dec->models, coding, dtype, pred != NULL,
                      elem_count, first_elem);
    small_walk(&dec->models, &dec->coder, &dec->context, &piece, dtype);
}

enum status small_dec_finish(struct small_dec *dec)
{
    if (dec->over)
        return STATUS_TRUNCATED;
    if (dec->empty)
        return STATUS_OK;
    return small_stream_finish(&dec->coder);
}
