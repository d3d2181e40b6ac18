/* Row scales: by ratio or least squares, and coded. */
#include "codec/lossless/row_scale.h"

#include "codec/lossless/factors.h"

#include <math.h>
#include <stdlib.h>

#define STEPS_ONE 16384.0 /* steps of a scale of 1 */

int32_t row_scale_near(double ratio)
{
    double d = (ratio - 1) * STEPS_ONE;
    if (!isfinite(d))
        return ROW_SCALE_ONE;
    d = d > INT16_MAX ? INT16_MAX : (d < INT16_MIN ? INT16_MIN : d);
    return ROW_SCALE_ONE + (int32_t)lrint(d) * (1 << ROW_SCALE_STEP_BITS);
}

static double fit_row(const uint8_t *base, const uint8_t *target, size_t count,
                      bool is_signed)
{
    int64_t both = 0, square = 0;
    for (size_t i = 0; i < count; i++) {
        int64_t b = is_signed ? (int8_t)base[i] : base[i];
        int64_t t = is_signed ? (int8_t)target[i] : target[i];
        both += b * t;
        square += b * b;
    }
    return square ? (double)both / (double)square : 1;
}

enum status row_scale_fit(const struct lowrank_input *in, int32_t *scale)
{
    bool is_signed = in->dtype == DTYPE_I8;
    if (in->from != in->dtype || (!is_signed && in->dtype != DTYPE_U8) ||
        in->rows > ROW_SCALE_ROWS_MAX)
        return STATUS_UNSUPPORTED;
    size_t columns = in->columns;
    uint8_t *row = malloc(2 * columns + 1);
    enum status status = row ? STATUS_OK : STATUS_NO_MEMORY;
    for (uint64_t i = 0; i < in->rows && !status; i++) {
        status =
            source_read(in->base, in->base_offset + i * columns, row, columns);
        if (!status)
            status = source_read(in->target, in->target_offset + i * columns,
                                 row + columns, columns);
        if (!status)
            scale[i] =
                row_scale_near(fit_row(row, row + columns, columns, is_signed));
    }
    free(row);
    return status;
}

static bool is_integer(enum dtype dtype)
{
    return dtype == DTYPE_I8 || dtype == DTYPE_U8 || dtype == DTYPE_I16 ||
           dtype == DTYPE_U16;
}

bool row_scale_is_fine(enum dtype from, enum dtype dtype)
{
    return !is_integer(from) || !is_integer(dtype);
}

static bool rows_ok(uint64_t rows, bool fine)
{
    return rows &&
           rows <= (fine ? ROW_SCALE_FINE_ROWS_MAX : ROW_SCALE_ROWS_MAX);
}

/* As numbers of a factor set: steps, or upper and lower half. */
static void split(int32_t scale, bool fine, int16_t *out)
{
    if (!fine) {
        *out = (int16_t)((scale - ROW_SCALE_ONE) / (1 << ROW_SCALE_STEP_BITS));
        return;
    }
    int32_t low = scale & 0xffff;
    out[0] = (int16_t)(scale >> 16);
    out[1] = (int16_t)(low < 0x8000 ? low : low - 0x10000);
}

static int32_t join(const int16_t *in, bool fine)
{
    if (!fine)
        return ROW_SCALE_ONE + *in * (1 << ROW_SCALE_STEP_BITS);
    return in[0] * 0x10000 + (in[1] & 0xffff);
}

enum status row_scale_write(uint64_t rows, bool fine, const int32_t *scale,
                            struct writer *wr)
{
    if (!rows_ok(rows, fine))
        return STATUS_USAGE;
    const int16_t none[2] = {0};
    unsigned rank = fine ? 2 : 1;
    int16_t *d = malloc(rank * (size_t)rows * sizeof(*d));
    if (!d)
        return STATUS_NO_MEMORY;
    for (size_t i = 0; i < rows; i++)
        split(scale[i], fine, d + rank * i);
    enum status status = factors_write(rank, rows, 1, d, none, wr);
    free(d);
    return status;
}

enum status row_scale_read(struct reader *rd, uint64_t rows, bool fine,
                           int32_t *scale)
{
    if (!rows_ok(rows, fine))
        return STATUS_LIMIT;
    int16_t none[2] = {0};
    unsigned rank = fine ? 2 : 1;
    int16_t *d = malloc(rank * (size_t)rows * sizeof(*d));
    if (!d)
        return STATUS_NO_MEMORY;
    enum status status = factors_read(rd, rank, rows, 1, d, none);
    if (!status && (none[0] || none[1]))
        status = STATUS_CORRUPT;
    for (size_t i = 0; i < rows && !status; i++)
        scale[i] = join(d + rank * i, fine);
    free(d);
    return status;
}
