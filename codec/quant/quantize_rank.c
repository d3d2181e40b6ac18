/* Subspace iteration, rounding of directions, least squares. */
#include "codec/quant/quantize_rank.h"

#include "codec/lossless/factors.h"
#include "codec/lossless/lowrank.h"
#include "codec/lossless/lowrank_math.h"
#include "codec/lossless/predict.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define SIDE_MIN   4u
#define OVERSAMPLE 8u
#define PASSES     3u
#define FACTOR_MAX 32767.0
/* Rounds of fitting v to the rounded u, then u to the rounded v. */
#define REFITS 1u
/* Largest sum of products, so that it is exact in 32 bits. */
#define SUM_MAX 0x1p30
/* Shifts tried beyond the wanted one. */
#define COARSER_MAX 24
/* Bytes of a set besides its numbers. */
#define SET_BYTES 6u

bool quantize_rank_view(const uint64_t *shape, uint32_t shape_rank,
                        size_t *rows, size_t *columns)
{
    uint64_t above;
    uint32_t below;
    if (!lowrank_view_from(shape, shape_rank, SIDE_MIN, SIDE_MIN, &above,
                           &below))
        return false;
    *rows = (size_t)above;
    *columns = below;
    return true;
}

unsigned quantize_rank_limit(size_t rows, size_t columns, unsigned most)
{
    uint64_t sum = (uint64_t)rows + columns;
    uint64_t least = rows < columns ? rows : columns;
    uint64_t half = (uint64_t)rows * columns / 2 / sum;
    uint64_t fits = FACTORS_COUNT_MAX / sum;
    most = most < PREDICT_RANK_MAX ? most : PREDICT_RANK_MAX;
    most = most < least ? most : (unsigned)least;
    most = most < half ? most : (unsigned)half;
    return most < fits ? most : (unsigned)fits;
}

/* What the search for directions works on. */
struct finder {
    const float *diff;
    size_t rows, columns, width, stride;
    float *right, *other; /* columns x stride */
    float *left;          /* rows x stride */
    double gram[LOWRANK_WIDTH_MAX * LOWRANK_WIDTH_MAX];
    double vector[LOWRANK_WIDTH_MAX * LOWRANK_WIDTH_MAX];
    double value[LOWRANK_WIDTH_MAX], work[2 * LOWRANK_WIDTH_MAX];
    float turn[LOWRANK_WIDTH_MAX * LOWRANK_WIDTH_MAX];
};

/* right = D^T signs. */
static void first_guess(struct finder *f)
{
    uint64_t seed = 1;
    memset(f->left, 0, f->rows * f->stride * sizeof(*f->left));
    for (size_t i = 0; i < f->rows; i++)
        for (size_t k = 0; k < f->width; k++) {
            seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407;
            f->left[i * f->stride + k] = seed >> 63 ? 1.0f : -1.0f;
        }
    memset(f->right, 0, f->columns * f->stride * sizeof(*f->right));
    lowrank_multiply(f->columns, f->rows, f->stride, f->diff, 1, f->columns,
                     f->left, f->right);
}

/* a (count x stride) times turn. */
static void turn_rows(const struct finder *f, size_t count, float *a)
{
    float out[64 * LOWRANK_WIDTH_MAX];
    for (size_t at = 0; at < count; at += 64, a += 64 * f->stride) {
        size_t now = count - at < 64 ? count - at : 64;
        memset(out, 0, now * f->stride * sizeof(*out));
        lowrank_multiply(now, f->stride, f->stride, a, f->stride, 1, f->turn,
                         out);
        memcpy(a, out, now * f->stride * sizeof(*out));
    }
}

/* Makes the columns of right orthonormal; rounds, as they may be close. */
static bool orthonormal(struct finder *f)
{
    static const double ridge[] = {2e-5, 1e-6, 1e-12};
    for (int round = 0; round < 3; round++) {
        lowrank_gram(f->columns, f->width, f->stride, f->right, f->right,
                     f->gram);
        if (!lowrank_cholesky(f->width, f->gram, ridge[round]))
            return false;
        memset(f->turn, 0, sizeof(f->turn));
        lowrank_whitener(f->width, f->stride, f->gram, f->turn);
        turn_rows(f, f->columns, f->right);
    }
    return true;
}

/* other = D^T D right. */
static void power_pass(struct finder *f)
{
    memset(f->left, 0, f->rows * f->stride * sizeof(*f->left));
    memset(f->other, 0, f->columns * f->stride * sizeof(*f->other));
    lowrank_multiply(f->rows, f->columns, f->stride, f->diff, f->columns, 1,
                     f->right, f->left);
    lowrank_multiply(f->columns, f->rows, f->stride, f->diff, 1, f->columns,
                     f->left, f->other);
}

/* Turns right so that its columns are the leading directions. */
static void rotate(struct finder *f)
{
    size_t n = f->width;
    lowrank_gram(f->columns, n, f->stride, f->right, f->other, f->gram);
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < i; j++)
            f->gram[i * n + j] = f->gram[j * n + i] =
                (f->gram[i * n + j] + f->gram[j * n + i]) / 2;
    lowrank_eigen(n, f->gram, f->value, f->vector, f->work);
    memset(f->turn, 0, sizeof(f->turn));
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < n; k++)
            f->turn[i * f->stride + k] = (float)f->vector[i * n + k];
    turn_rows(f, f->columns, f->right);
}

static enum status take_basis(const struct finder *f, unsigned count,
                              struct quantize_basis *out)
{
    while (count && !(f->value[count - 1] > 1e-10 * f->value[0]))
        count--;
    out->right = malloc((count * f->columns + 1) * sizeof(*out->right));
    out->value = malloc((count + 1) * sizeof(*out->value));
    if (!out->right || !out->value)
        return STATUS_NO_MEMORY;
    out->count = count;
    out->columns = f->columns;
    for (unsigned k = 0; k < count; k++) {
        out->value[k] = sqrt(f->value[k]);
        for (size_t j = 0; j < f->columns; j++)
            out->right[k * f->columns + j] = f->right[j * f->stride + k];
    }
    return STATUS_OK;
}

static bool find(struct finder *f)
{
    first_guess(f);
    if (!orthonormal(f))
        return false;
    for (unsigned pass = 0; pass < PASSES; pass++) {
        power_pass(f);
        if (pass + 1 == PASSES)
            break;
        memcpy(f->right, f->other, f->columns * f->stride * sizeof(float));
        if (!orthonormal(f))
            return false;
    }
    rotate(f);
    return f->value[0] > 0;
}

enum status quantize_basis_find(const float *diff, size_t rows, size_t columns,
                                unsigned count, struct quantize_basis *out)
{
    memset(out, 0, sizeof(*out));
    struct finder *f = calloc(1, sizeof(*f));
    if (!f)
        return STATUS_NO_MEMORY;
    size_t least = rows < columns ? rows : columns;
    f->diff = diff;
    f->rows = rows;
    f->columns = columns;
    f->width = count + OVERSAMPLE < least ? count + OVERSAMPLE : least;
    f->stride = (f->width + LOWRANK_STEP - 1) / LOWRANK_STEP * LOWRANK_STEP;
    f->right = malloc(columns * f->stride * sizeof(float));
    f->other = malloc(columns * f->stride * sizeof(float));
    f->left = malloc(rows * f->stride * sizeof(float));
    enum status status = STATUS_NO_MEMORY;
    if (f->right && f->other && f->left)
        status = count && find(f) ? take_basis(f, count, out) : STATUS_OK;
    free(f->right);
    free(f->other);
    free(f->left);
    free(f);
    if (status)
        quantize_basis_deinit(out);
    return status;
}

void quantize_basis_deinit(struct quantize_basis *basis)
{
    free(basis->right);
    free(basis->value);
    memset(basis, 0, sizeof(*basis));
}

static int16_t to_factor(double x)
{
    x = x > FACTOR_MAX ? FACTOR_MAX : (x < -FACTOR_MAX ? -FACTOR_MAX : x);
    return (int16_t)lrint(x);
}

/* v, and the same as floats in wide (columns x stride). */
static void round_right(const struct quantize_basis *basis, size_t stride,
                        struct quantize_factors *out, float *wide)
{
    memset(wide, 0, basis->columns * stride * sizeof(*wide));
    for (unsigned k = 0; k < out->rank; k++) {
        const float *right = basis->right + k * basis->columns;
        double scale = sqrt(basis->value[k] * exp2(-out->shift)), most = 0;
        for (size_t j = 0; j < basis->columns; j++)
            most = fmax(most, fabs((double)right[j]));
        scale = most * scale > FACTOR_MAX ? FACTOR_MAX / most : scale;
        for (size_t j = 0; j < basis->columns; j++) {
            int16_t v = to_factor(scale * (double)right[j]);
            out->v[j * out->rank + k] = v;
            wide[j * stride + k] = (float)v;
        }
    }
}

/* FIT_COARSER: a number or a sum does not fit; FIT_NONE: a component has
 * vanished. */
enum fit {
    FIT_OK,
    FIT_COARSER,
    FIT_NONE
};

/* u for the rows. */
static enum fit fit_left(const float *diff, size_t stride, const float *wide,
                         struct quantize_factors *out, float *left)
{
    double gram[LOWRANK_WIDTH_MAX * LOWRANK_WIDTH_MAX];
    float turn[LOWRANK_WIDTH_MAX * LOWRANK_WIDTH_MAX] = {0};
    unsigned rank = out->rank;
    lowrank_gram(out->columns, rank, stride, wide, wide, gram);
    if (!lowrank_cholesky(rank, gram, 1e-12))
        return FIT_NONE;
    lowrank_inverse(rank, stride, gram, turn);
    double step = exp2(-out->shift), u_most[PREDICT_RANK_MAX] = {0}, sum = 0;
    for (size_t row = 0; row < out->rows; row++) {
        float fit[LOWRANK_WIDTH_MAX] = {0};
        memset(left, 0, stride * sizeof(*left));
        lowrank_multiply(1, out->columns, stride, diff + row * out->columns,
                         out->columns, 1, wide, left);
        lowrank_multiply(1, stride, stride, left, stride, 1, turn, fit);
        for (unsigned k = 0; k < rank; k++) {
            double u = (double)fit[k] * step;
            u_most[k] = fmax(u_most[k], fabs(u));
            out->u[row * rank + k] = to_factor(u);
        }
    }
    for (unsigned k = 0; k < rank; k++) {
        double v_most = 0;
        for (size_t j = 0; j < out->columns; j++)
            v_most = fmax(v_most, abs(out->v[j * rank + k]));
        sum += (u_most[k] + 1) * v_most;
        if (v_most < 1)
            return FIT_NONE;
        if (u_most[k] > FACTOR_MAX)
            return FIT_COARSER;
    }
    return sum < SUM_MAX ? FIT_OK : FIT_COARSER;
}

/* v anew, by least squares to u as it was rounded; wide follows. Left as it is
 * where that has no solution. u: rows x stride, sums: columns x stride. */
static void refit_right(const float *diff, size_t stride,
                        struct quantize_factors *out, float *u, float *sums,
                        float *wide)
{
    double gram[LOWRANK_WIDTH_MAX * LOWRANK_WIDTH_MAX];
    float turn[LOWRANK_WIDTH_MAX * LOWRANK_WIDTH_MAX] = {0};
    size_t rank = out->rank, columns = out->columns;
    memset(u, 0, out->rows * stride * sizeof(*u));
    for (size_t i = 0; i < out->rows; i++)
        for (size_t k = 0; k < rank; k++)
            u[i * stride + k] = (float)out->u[i * rank + k];
    lowrank_gram(out->rows, rank, stride, u, u, gram);
    if (!lowrank_cholesky(rank, gram, 1e-12))
        return;
    lowrank_inverse(rank, stride, gram, turn);
    memset(sums, 0, columns * stride * sizeof(*sums));
    memset(wide, 0, columns * stride * sizeof(*wide));
    lowrank_multiply(columns, out->rows, stride, diff, 1, columns, u, sums);
    lowrank_multiply(columns, stride, stride, sums, stride, 1, turn, wide);
    double step = exp2(-out->shift);
    for (size_t j = 0; j < columns; j++)
        for (size_t k = 0; k < rank; k++) {
            int16_t v = to_factor((double)wide[j * stride + k] * step);
            out->v[j * rank + k] = v;
            wide[j * stride + k] = (float)v;
        }
}

/* A step's share in each component is about sqrt(value) 2^(shift / 2): the
 * shift for which that is right in the middle of them. */
static int shift_for(const struct quantize_basis *basis, unsigned rank,
                     double step)
{
    double mean = 0;
    for (unsigned k = 0; k < rank; k++)
        mean += log2(basis->value[k]) / rank;
    return (int)lrint(2 * log2(step) - mean);
}

enum status quantize_factors_make(const struct quantize_basis *basis,
                                  unsigned rank, double step, const float *diff,
                                  size_t rows, struct quantize_factors *out)
{
    size_t stride = (rank + LOWRANK_STEP - 1) / LOWRANK_STEP * LOWRANK_STEP;
    float *wide = malloc(basis->columns * stride * sizeof(*wide));
    float *sums = malloc(basis->columns * stride * sizeof(*sums));
    float *tall = malloc(rows * stride * sizeof(*tall));
    float left[LOWRANK_WIDTH_MAX];
    *out = (struct quantize_factors){
        .rank = rank, .rows = rows, .columns = basis->columns};
    out->u = malloc(rows * rank * sizeof(*out->u));
    out->v = malloc(basis->columns * rank * sizeof(*out->v));
    enum fit fit = FIT_COARSER;
    enum status status =
        wide && sums && tall && out->u && out->v ? STATUS_OK : STATUS_NO_MEMORY;
    int wanted = shift_for(basis, rank, step);
    for (int more = 0; !status && fit == FIT_COARSER && more < COARSER_MAX;
         more++) {
        out->shift = wanted + more;
        if (out->shift < PREDICT_SHIFT_MIN || out->shift > PREDICT_SHIFT_MAX)
            continue;
        round_right(basis, stride, out, wide);
        fit = fit_left(diff, stride, wide, out, left);
        for (unsigned round = 0; round < REFITS && fit == FIT_OK; round++) {
            refit_right(diff, stride, out, tall, sums, wide);
            fit = fit_left(diff, stride, wide, out, left);
        }
    }
    free(wide);
    free(sums);
    free(tall);
    if (status || fit != FIT_OK)
        quantize_factors_deinit(out);
    return status;
}

void quantize_factors_deinit(struct quantize_factors *factors)
{
    free(factors->u);
    free(factors->v);
    memset(factors, 0, sizeof(*factors));
}

/* Entropy of rounded normal numbers of the same mean square. */
static double column_bits(const int16_t *first, unsigned rank, size_t count)
{
    double sum = 0;
    for (size_t i = 0; i < count; i++)
        sum += (double)first[i * rank] * first[i * rank];
    return log2(fmax(sqrt(sum / (double)count), 0.3) * 4.13);
}

double quantize_factors_bits(const struct quantize_factors *factors,
                             size_t rows)
{
    double bits = 8 * SET_BYTES;
    for (unsigned k = 0; k < factors->rank; k++) {
        double u = column_bits(factors->u + k, factors->rank, factors->rows);
        double v = column_bits(factors->v + k, factors->rank, factors->columns);
        bits += (double)rows * u + (double)factors->columns * v;
    }
    return bits;
}

void quantize_factors_row(const struct quantize_factors *factors, size_t row,
                          float *out)
{
    const int16_t *u = factors->u + row * factors->rank;
    const float step = (float)exp2(factors->shift);
    for (size_t j = 0; j < factors->columns; j++) {
        const int16_t *v = factors->v + j * factors->rank;
        int32_t sum = 0;
        for (unsigned k = 0; k < factors->rank; k++)
            sum += u[k] * v[k];
        out[j] = (float)sum * step;
    }
}
