/* Rows are read as binary64, in which all types are exact. Floating point
 * chooses scales only; what they predict is integer and IEEE arithmetic. */
#include "codec/lossless/row_ratio.h"

#include "codec/base/bytes.h"
#include "codec/lossless/row_scale.h"

#include <math.h>
#include <stdlib.h>

/* Rows looked at first, and what part of the difference may be left. */
#define SAMPLE_ROWS 8u
#define LEFT_MAX    (1.0 / 64)
/* Scales have 30 bits. */
#define SCALE_BITS 30

struct ratio {
    const struct lowrank_input *in;
    uint8_t *bytes; /* a row of base or target */
    double *base;
    double *target;
};

/* What is left of a row, and what there was. */
struct ratio_sums {
    double left;
    double before; /* as difference to the base */
    double square; /* of the target */
};

static enum status ratio_read(const struct source *source, enum dtype dtype,
                              uint64_t offset, size_t count, uint8_t *bytes,
                              double *out)
{
    const struct predict cast = {
        .dtype = DTYPE_F64, .from = dtype, .columns = UINT32_MAX};
    size_t width = dtype_bits(dtype) / 8;
    enum status status = source_read(source, offset, bytes, count * width);
    if (status)
        return status;
    predict_elems(&cast, 0, bytes, count, (uint8_t *)out, NULL);
    for (size_t i = 0; i < count; i++) {
        uint64_t bits = load_le64((const uint8_t *)&out[i]);
        memcpy(&out[i], &bits, sizeof(bits));
    }
    return STATUS_OK;
}

static enum status ratio_row(struct ratio *ratio, uint64_t row)
{
    const struct lowrank_input *in = ratio->in;
    size_t count = in->columns;
    enum status status =
        ratio_read(in->base, in->from,
                   in->base_offset + row * count * (dtype_bits(in->from) / 8),
                   count, ratio->bytes, ratio->base);
    if (status)
        return status;
    return ratio_read(in->target, in->dtype,
                      in->target_offset +
                          row * count * (dtype_bits(in->dtype) / 8),
                      count, ratio->bytes, ratio->target);
}

static double ratio_squares(const struct ratio *ratio)
{
    double both = 0, square = 0;
    for (size_t i = 0; i < ratio->in->columns; i++) {
        both += ratio->base[i] * ratio->target[i];
        square += ratio->base[i] * ratio->base[i];
    }
    double factor = square > 0 ? both / square : 0;
    return isfinite(factor) ? factor : 0;
}

/* The factors for which all of the row rounds to the target, if there are any:
 * their middle. Values at the ends of the type's range say nothing. */
static double ratio_rounding(const struct ratio *ratio, double factor)
{
    double low = -INFINITY, high = INFINITY;
    bool is_signed = ratio->in->dtype == DTYPE_I8;
    for (size_t i = 0; i < ratio->in->columns; i++) {
        double b = ratio->base[i], t = ratio->target[i];
        if (b == 0 || t >= (is_signed ? 127 : 255) ||
            t <= (is_signed ? -127 : 0))
            continue;
        double from = (t - 0.5) / b, to = (t + 0.5) / b;
        low = fmax(low, b > 0 ? from : to);
        high = fmin(high, b > 0 ? to : from);
    }
    return low <= high && isfinite(low + high) ? low + (high - low) / 2
                                               : factor;
}

static double ratio_of(const struct ratio *ratio)
{
    double factor = ratio_squares(ratio);
    return dtype_is_float(ratio->in->dtype) ? factor
                                            : ratio_rounding(ratio, factor);
}

static void ratio_add(const struct ratio *ratio, struct ratio_sums *sums)
{
    double factor = ratio_of(ratio);
    for (size_t i = 0; i < ratio->in->columns; i++) {
        double b = ratio->base[i], t = ratio->target[i];
        sums->left += (t - factor * b) * (t - factor * b);
        sums->before += (t - b) * (t - b);
        sums->square += t * t;
    }
}

/* Whether it is worth looking at all rows. */
static enum status ratio_sample(struct ratio *ratio, bool *found)
{
    const struct lowrank_input *in = ratio->in;
    struct ratio_sums sums = {0};
    uint64_t step = in->rows / SAMPLE_ROWS + 1;
    for (uint64_t row = step / 2; row < in->rows; row += step) {
        enum status status = ratio_row(ratio, row);
        if (status)
            return status;
        ratio_add(ratio, &sums);
    }
    *found = sums.square > 0 && sums.left < LEFT_MAX * sums.square;
    if (dtype_is_float(in->from) && dtype_is_float(in->dtype))
        *found = *found && sums.left < LEFT_MAX * sums.before;
    return STATUS_OK;
}

/* Numbers as integers with one power of two as unit. */
static void ratio_quantise(const double *factor, uint64_t rows, int32_t *scale,
                           int *scale_shift)
{
    double most = 0;
    int exponent = 0;
    for (uint64_t i = 0; i < rows; i++)
        most = fmax(most, fabs(factor[i]));
    (void)frexp(most, &exponent);
    int shift = exponent - SCALE_BITS;
    shift = shift < PREDICT_SCALE_SHIFT_MIN ? PREDICT_SCALE_SHIFT_MIN : shift;
    shift = shift > PREDICT_SCALE_SHIFT_MAX ? PREDICT_SCALE_SHIFT_MAX : shift;
    for (uint64_t i = 0; i < rows; i++) {
        /* More bits than the arithmetic has would only cost. */
        double exact = ldexp((double)(float)factor[i], -shift);
        exact = fmax(fmin(exact, INT32_MAX), INT32_MIN);
        scale[i] = (int32_t)llrint(exact);
    }
    *scale_shift = shift;
}

static enum status ratio_all(struct ratio *ratio, int32_t *scale,
                             int *scale_shift)
{
    uint64_t rows = ratio->in->rows;
    double *factor = malloc((size_t)rows * sizeof(*factor));
    enum status status = factor ? STATUS_OK : STATUS_NO_MEMORY;
    for (uint64_t i = 0; !status && i < rows; i++) {
        status = ratio_row(ratio, i);
        if (!status)
            factor[i] = ratio_of(ratio);
    }
    if (!status)
        ratio_quantise(factor, rows, scale, scale_shift);
    free(factor);
    return status;
}

static bool ratio_type_ok(enum dtype dtype)
{
    return dtype_is_float(dtype) || dtype == DTYPE_I8 || dtype == DTYPE_U8;
}

enum status row_ratio_fit(const struct lowrank_input *in, int32_t *scale,
                          int *scale_shift, bool *found)
{
    struct ratio ratio = {.in = in};
    *found = false;
    if (!ratio_type_ok(in->from) || !ratio_type_ok(in->dtype) ||
        !row_scale_is_fine(in->from, in->dtype) || !in->columns ||
        in->columns > ROW_RATIO_COLUMNS_MAX ||
        in->rows > ROW_SCALE_FINE_ROWS_MAX)
        return STATUS_UNSUPPORTED;
    ratio.bytes = malloc(in->columns * sizeof(uint64_t));
    ratio.base = malloc(in->columns * sizeof(double));
    ratio.target = malloc(in->columns * sizeof(double));
    enum status status = ratio.bytes && ratio.base && ratio.target
                             ? STATUS_OK
                             : STATUS_NO_MEMORY;
    if (!status)
        status = ratio_sample(&ratio, found);
    if (!status && *found)
        status = ratio_all(&ratio, scale, scale_shift);
    free(ratio.bytes);
    free(ratio.base);
    free(ratio.target);
    return status;
}
