/* The measure of results. */
#include "codec/quant/quantize_size.h"

#include "codec/lossless/lattice.h"

#include <stdlib.h>
#include <string.h>

/* A segment of an update, which has models of its own. */
#define SEGMENT_LOG 20
/* Elements of one tensor that are measured at most. */
#define ELEMS_MAX (32 * LATTICE_STRETCH)

/* Of a stretch that differs: what its record takes. */
#define REST_BYTES 6
/* Bytes of one stretch that are looked at. */
#define REST_MAX  ((uint64_t)1 << 20)
#define REST_PART 4096u
/* Bytes without base that make one. */
#define REST_FULL 2

struct quantize_size {
    struct lattice_stats *stats;
    uint64_t segment; /* of the last tensor; UINT64_MAX: there is none */
    uint8_t pred[8 * LATTICE_STRETCH], target[8 * LATTICE_STRETCH];
};

struct quantize_size *quantize_size_new(void)
{
    struct quantize_size *size = calloc(1, sizeof(*size));
    if (!size)
        return NULL;
    size->segment = UINT64_MAX;
    size->stats = lattice_stats_new();
    if (size->stats)
        return size;
    free(size);
    return NULL;
}

void quantize_size_free(struct quantize_size *size)
{
    if (!size)
        return;
    lattice_stats_free(size->stats);
    free(size);
}

static uint64_t stats_bits(const struct quantize_size *size)
{
    struct lattice_coding coding;
    return lattice_plan(size->stats, &coding);
}

static enum status add_factors(const struct quantize_tensor *t, double *bits)
{
    const struct quantize_factors *f = &t->factors;
    struct writer wr;
    writer_init_heap(&wr, (size_t)1 << 30);
    enum status status = lattice_factors_write(
        true, f->rank, t->rows, (uint32_t)t->columns, f->u, f->v, &wr);
    *bits += 8 * (double)wr.size;
    writer_deinit(&wr);
    return status;
}

/* Elements from first on; count of them. */
static enum status add_levels(struct quantize_size *size,
                              const struct quantize_tensor *t, uint64_t first,
                              size_t count)
{
    enum status status = STATUS_OK;
    for (size_t at = 0; at < count && !status; at += LATTICE_STRETCH) {
        size_t left = count - at;
        size_t now = left < LATTICE_STRETCH ? left : LATTICE_STRETCH;
        status = quantize_tensor_pred(t, first + at, now, size->pred);
        if (!status)
            status = quantize_tensor_read(t, first + at, now, size->target);
        if (!status)
            lattice_stats_add(size->stats, t->base ? size->pred : NULL,
                              size->target, now);
    }
    return status;
}

enum status quantize_size_add(struct quantize_size *size,
                              struct quantize_tensor *t)
{
    const struct tensor *tensor = t->row.tensor;
    const struct lattice_coding coding = {
        .has_pred = t->base != NULL, .density = 2, .qp = (int16_t)t->row.qp};
    size_t count = t->count < ELEMS_MAX ? t->count : ELEMS_MAX;
    uint64_t rows = (t->count - count) / 2 / t->columns;
    if (size->segment != tensor->offset >> SEGMENT_LOG) {
        lattice_stats_reset(size->stats, tensor->dtype, 0);
        lattice_stats_begin(size->stats, &coding);
    }
    size->segment = (tensor->offset + tensor->size - 1) >> SEGMENT_LOG;
    lattice_stats_next(size->stats, tensor->dtype, t->vector ? 0 : t->columns,
                       &coding);
    uint64_t before = stats_bits(size);
    enum status status = add_levels(size, t, rows * t->columns, count);
    t->bits =
        (double)(stats_bits(size) - before) * (double)t->count / (double)count;
    if (!status && t->factors.rank)
        status = add_factors(t, &t->bits);
    return status;
}

enum status quantize_size_rest(const struct source *base, uint64_t base_offset,
                               const struct source *target, uint64_t offset,
                               uint64_t size, double *bytes)
{
    uint8_t from[REST_PART], to[REST_PART];
    uint64_t looked = size < REST_MAX ? size : REST_MAX, differ = 0;
    enum status status = STATUS_OK;
    *bytes = (double)size / REST_FULL;
    if (!base || base_offset > base->size || size > base->size - base_offset)
        return STATUS_OK;
    for (uint64_t at = 0; at < looked; at += REST_PART) {
        size_t now =
            (size_t)(looked - at < REST_PART ? looked - at : REST_PART);
        status = source_read(base, base_offset + at, from, now);
        status = status ? status : source_read(target, offset + at, to, now);
        if (status)
            return status;
        for (size_t i = 0; i < now; i++)
            differ += from[i] != to[i];
    }
    *bytes = differ
                 ? REST_BYTES + (double)differ * (double)size / (double)looked
                 : 0;
    return STATUS_OK;
}
