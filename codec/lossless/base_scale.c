/* One factor of a whole tensor, by least squares. */
#include "codec/lossless/base_scale.h"

#include "codec/base/bytes.h"
#include "codec/lossless/narrow_float.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define STRETCH_BYTES 65536u

/* Sums over all elements. */
struct sums {
    double change; /* of the base times its change */
    double square; /* of the base squared */
};

static double load_number(enum dtype dtype, const uint8_t *at)
{
    struct narrow_float f;
    if (narrow_float_of(dtype, &f))
        return (double)narrow_float_widen(&f, load_le16(at));
    if (dtype == DTYPE_F64) {
        uint64_t bits = load_le64(at);
        double d;
        memcpy(&d, &bits, sizeof(d));
        return d;
    }
    uint32_t bits = load_le32(at);
    float f32;
    memcpy(&f32, &bits, sizeof(f32));
    return (double)f32;
}

static void add(struct sums *sums, enum dtype dtype, const uint8_t *base,
                const uint8_t *target, size_t count)
{
    size_t bytes = dtype_bits(dtype) / 8;
    for (size_t i = 0; i < count; i++) {
        double b = load_number(dtype, base + i * bytes);
        double d = load_number(dtype, target + i * bytes) - b;
        double change = b * d, square = b * b;
        if (!isfinite(change) || !isfinite(square))
            continue;
        sums->change += change;
        sums->square += square;
    }
}

static enum status add_all(const struct lowrank_input *in, uint8_t *buf,
                           struct sums *sums)
{
    size_t bytes = dtype_bits(in->dtype) / 8;
    uint64_t size = in->rows * in->columns * bytes;
    enum status status = STATUS_OK;
    for (uint64_t at = 0; !status && at < size; at += STRETCH_BYTES) {
        size_t now =
            size - at < STRETCH_BYTES ? (size_t)(size - at) : STRETCH_BYTES;
        status = source_read(in->base, in->base_offset + at, buf, now);
        if (!status)
            status = source_read(in->target, in->target_offset + at,
                                 buf + STRETCH_BYTES, now);
        if (!status)
            add(sums, in->dtype, buf, buf + STRETCH_BYTES, now / bytes);
    }
    return status;
}

enum status base_scale_fit(const struct lowrank_input *in, float *scale)
{
    struct sums sums = {0};
    *scale = 0;
    if (in->from != in->dtype ||
        (in->dtype != DTYPE_F64 && in->dtype != DTYPE_F32 &&
         in->dtype != DTYPE_F16 && in->dtype != DTYPE_BF16))
        return STATUS_OK;
    uint8_t *buf = malloc(2 * STRETCH_BYTES);
    if (!buf)
        return STATUS_NO_MEMORY;
    enum status status = add_all(in, buf, &sums);
    free(buf);
    if (status || !(sums.square > 0))
        return status;
    float s = (float)(1 + sums.change / sums.square);
    if (s >= PREDICT_BASE_SCALE_MIN && s <= PREDICT_BASE_SCALE_MAX &&
        (s < 1 || s > 1))
        *scale = s;
    return STATUS_OK;
}
