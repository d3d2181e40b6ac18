/* Decoder of the lattice coder. */
#include "codec/lossless/small_range_dec.h"

#include "codec/lossless/lattice_model.inc"

#include <stdlib.h>

struct lattice_dec {
    bool empty; /* the stream holds no element */
    bool over;
    struct small_coder coder;
    struct lattice_context context;
    struct lattice_models models;
    int32_t levels[LATTICE_STRETCH];
    int64_t residuals[LATTICE_STRETCH];
};

struct lattice_dec *lattice_dec_new(void)
{
    struct lattice_dec *dec = calloc(1, sizeof(*dec));
    if (!dec)
        return NULL;
    dec->empty = true;
    lattice_models_init(&dec->models);
    return dec;
}

void lattice_dec_free(struct lattice_dec *dec)
{
    free(dec);
}

enum status lattice_dec_begin(struct lattice_dec *dec, struct reader *rd)
{
    dec->over = false;
    enum status status = small_stream_begin(&dec->coder, rd, &dec->empty);
    if (!status && !dec->empty)
        lattice_models_reset(&dec->models);
    return status;
}

static void add_residuals(enum dtype dtype, const int64_t *residuals,
                          size_t count, uint8_t *out)
{
    struct small_format format = small_format(dtype);
    uint64_t mask = ~(uint64_t)0 >> (64 - format.width);
    for (size_t i = 0; i < count; i++) {
        uint8_t *at = out + i * (format.width / 8u);
        if (!residuals[i])
            continue;
        uint64_t v = small_ordered(small_load(at, format.width), format.width,
                                   format.mant);
        v = (v + (uint64_t)residuals[i]) & mask;
        small_store(at, small_ordered(v, format.width, format.mant),
                    format.width);
    }
}

void lattice_dec_piece(struct lattice_dec *dec,
                       const struct lattice_coding *coding, enum dtype dtype,
                       const uint8_t *pred, uint8_t *out, size_t elem_count,
                       uint64_t first_elem)
{
    size_t elem_bytes = dtype_bits(dtype) / 8;
    if (!elem_count)
        return;
    if (dec->empty) {
        memset(out, 0, elem_count * elem_bytes);
        dec->over = true;
        return;
    }
    for (size_t at = 0; at < elem_count; at += LATTICE_STRETCH) {
        size_t left = elem_count - at;
        struct lattice_piece piece = {
            .pred = pred ? pred + at * elem_bytes : NULL,
            .levels = dec->levels,
            .residuals = coding->has_residual ? dec->residuals : NULL,
            .elem_count = left < LATTICE_STRETCH ? left : LATTICE_STRETCH,
        };
        lattice_context_set(&dec->context, &dec->models, coding, dtype,
                            piece.elem_count, first_elem + at);
        lattice_walk(&dec->models, &dec->coder, &dec->context, &piece);
        lattice_points(coding, dtype, piece.pred, piece.levels,
                       piece.elem_count, out + at * elem_bytes);
        if (piece.residuals)
            add_residuals(dtype, piece.residuals, piece.elem_count,
                          out + at * elem_bytes);
    }
}

enum status lattice_dec_finish(struct lattice_dec *dec)
{
    if (dec->over)
        return STATUS_TRUNCATED;
    return dec->empty ? STATUS_OK : small_stream_finish(&dec->coder);
}

/* False when a number does not fit. */
static bool read_factors(struct lattice_dec *dec, bool guessed, unsigned rank,
                         int16_t *factors, size_t count)
{
    const struct lattice_coding coding = {.guessed = guessed,
                                          .columns = rank > 1 ? rank : 0};
    bool fit = true;
    for (size_t at = 0; at < count; at += LATTICE_STRETCH) {
        size_t left = count - at;
        struct lattice_piece piece = {
            .levels = dec->levels,
            .elem_count = left < LATTICE_STRETCH ? left : LATTICE_STRETCH,
        };
        lattice_context_set(&dec->context, &dec->models, &coding, DTYPE_F32,
                            piece.elem_count, at);
        lattice_walk(&dec->models, &dec->coder, &dec->context, &piece);
        for (size_t i = 0; i < piece.elem_count; i++) {
            fit &= dec->levels[i] >= INT16_MIN && dec->levels[i] <= INT16_MAX;
            factors[at + i] = (int16_t)dec->levels[i];
        }
    }
    return fit;
}

enum status lattice_factors_read(struct reader *rd, bool guessed, unsigned rank,
                                 uint64_t rows, uint32_t columns, int16_t *u,
                                 int16_t *v)
{
    struct lattice_dec *dec = lattice_dec_new();
    if (!dec)
        return STATUS_NO_MEMORY;
    enum status status = lattice_dec_begin(dec, rd);
    if (!status && dec->empty)
        status = STATUS_TRUNCATED;
    if (!status) {
        lattice_models_expect(&dec->models, LATTICE_FACTOR_MEAN);
        bool fit = read_factors(dec, guessed, rank, u, (size_t)(rank * rows));
        fit &= read_factors(dec, guessed, rank, v, (size_t)rank * columns);
        status = lattice_dec_finish(dec);
        if (!status && !fit)
            status = STATUS_CORRUPT;
    }
    lattice_dec_free(dec);
    return status;
}
