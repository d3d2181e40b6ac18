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

enum status row_scale_write(uint64_t rows, const int32_t *scale,
                            struct writer *wr)
{
    if (!rows || rows > ROW_SCALE_ROWS_MAX)
        return STATUS_USAGE;
    int16_t *d = malloc((size_t)rows * sizeof(*d)), none = 0;
    if (!d)
        return STATUS_NO_MEMORY;
    for (size_t i = 0; i < rows; i++)
        d[i] =
            (int16_t)((scale[i] - ROW_SCALE_ONE) / (1 << ROW_SCALE_STEP_BITS));
    enum status status = factors_write(1, rows, 1, d, &none, wr);
    free(d);
    return status;
}

enum status row_scale_read(struct reader *rd, uint64_t rows, int32_t *scale)
{
    if (!rows || rows > ROW_SCALE_ROWS_MAX)
        return STATUS_LIMIT;
    int16_t *d = malloc((size_t)rows * sizeof(*d)), none = 0;
    if (!d)
        return STATUS_NO_MEMORY;
    enum status status = factors_read(rd, 1, rows, 1, d, &none);
    if (!status && none)
        status = STATUS_CORRUPT;
    for (size_t i = 0; i < rows && !status; i++)
        scale[i] = ROW_SCALE_ONE + d[i] * (1 << ROW_SCALE_STEP_BITS);
    free(d);
    return status;
}
