/* Encoder of the lattice coder. */
#include "codec/lossless/small_range_enc.h"

#include "codec/lossless/lattice_model.inc"

#include <stdlib.h>

/* Most coded bytes a byte of the target takes: an element of 16 bits has at
 * most 60 bits that are coded, each of at most 16 bits. */
#define CODED_PER_BYTE 80u

struct lattice_enc {
    size_t bytes_max, bytes;
    struct small_coder coder;
    struct writer wr;
    struct writer raw;
    struct lattice_context context;
    struct lattice_models models;
    int32_t levels[LATTICE_STRETCH];
    int64_t residuals[LATTICE_STRETCH];
};

struct lattice_enc *lattice_enc_new(size_t segment_bytes_max)
{
    struct lattice_enc *enc = calloc(1, sizeof(*enc));
    if (!enc)
        return NULL;
    enc->bytes_max = segment_bytes_max;
    writer_init_heap(&enc->wr, CODED_PER_BYTE * segment_bytes_max + 64);
    writer_init_heap(&enc->raw, 4 * segment_bytes_max + 64);
    lattice_models_init(&enc->models);
    lattice_enc_begin(enc);
    return enc;
}

void lattice_enc_free(struct lattice_enc *enc)
{
    if (!enc)
        return;
    writer_deinit(&enc->wr);
    writer_deinit(&enc->raw);
    free(enc);
}

void lattice_enc_begin(struct lattice_enc *enc)
{
    enc->wr.size = enc->raw.size = 0;
    enc->coder = (struct small_coder){
        .range = UINT64_MAX, .wr = &enc->wr, .raw = &enc->raw};
    enc->bytes = 0;
    lattice_models_reset(&enc->models);
}

enum status lattice_enc_piece(struct lattice_enc *enc,
                              const struct lattice_coding *coding,
                              enum dtype dtype, const uint8_t *pred,
                              const uint8_t *target, size_t elem_count,
                              uint64_t first_elem)
{
    size_t elem_bytes = dtype_bits(dtype) / 8;
    if (elem_count > (enc->bytes_max - enc->bytes) / elem_bytes)
        return STATUS_LIMIT;
    enc->bytes += elem_count * elem_bytes;
    for (size_t at = 0; at < elem_count; at += LATTICE_STRETCH) {
        size_t left = elem_count - at;
        struct lattice_piece piece = {
            .pred = pred ? pred + at * elem_bytes : NULL,
            .levels = enc->levels,
            .residuals = coding->has_residual ? enc->residuals : NULL,
            .elem_count = left < LATTICE_STRETCH ? left : LATTICE_STRETCH,
        };
        (void)lattice_levels(coding, dtype, piece.pred,
                             target + at * elem_bytes, piece.elem_count,
                             piece.levels, piece.residuals);
        lattice_context_set(&enc->context, &enc->models, coding, dtype,
                            piece.elem_count, first_elem + at);
        lattice_walk(&enc->models, &enc->coder, &enc->context, &piece);
    }
    return STATUS_OK;
}

void lattice_enc_finish(struct lattice_enc *enc, struct writer *wr)
{
    if (enc->bytes)
        small_stream_write(&enc->coder, wr);
    else
        writer_u8(wr, 0);
    if (writer_status(&enc->wr))
        writer_fail(wr, writer_status(&enc->wr));
    if (writer_status(&enc->raw))
        writer_fail(wr, writer_status(&enc->raw));
    lattice_enc_begin(enc);
}

static void write_factors(struct lattice_enc *enc, bool guessed, unsigned rank,
                          const int16_t *factors, size_t count)
{
    const struct lattice_coding coding = {.guessed = guessed,
                                          .columns = rank > 1 ? rank : 0};
    for (size_t at = 0; at < count; at += LATTICE_STRETCH) {
        size_t left = count - at;
        struct lattice_piece piece = {
            .levels = enc->levels,
            .elem_count = left < LATTICE_STRETCH ? left : LATTICE_STRETCH,
        };
        for (size_t i = 0; i < piece.elem_count; i++)
            enc->levels[i] = factors[at + i];
        lattice_context_set(&enc->context, &enc->models, &coding, DTYPE_F32,
                            piece.elem_count, at);
        lattice_walk(&enc->models, &enc->coder, &enc->context, &piece);
    }
}

enum status lattice_factors_write(bool guessed, unsigned rank, uint64_t rows,
                                  uint32_t columns, const int16_t *u,
                                  const int16_t *v, struct writer *wr)
{
    size_t u_count = (size_t)(rank * rows), v_count = (size_t)rank * columns;
    struct lattice_enc *enc = lattice_enc_new(2 * (u_count + v_count));
    if (!enc)
        return STATUS_NO_MEMORY;
    lattice_models_expect(&enc->models, LATTICE_FACTOR_MEAN);
    write_factors(enc, guessed, rank, u, u_count);
    write_factors(enc, guessed, rank, v, v_count);
    small_stream_write(&enc->coder, wr);
    enum status status = writer_status(&enc->wr);
    status = status ? status : writer_status(&enc->raw);
    lattice_enc_free(enc);
    return status ? status : writer_status(wr);
}
