/* The fit: passes over the difference in blocks of rows, choice of the rank on
 * a sample, rounding. */
#include "codec/lossless/lowrank.h"

#include "codec/base/bytes.h"
#include "codec/lossless/lowrank_cost.h"
#include "codec/lossless/lowrank_math.h"
#include "codec/lossless/narrow_float.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Differences up to this size are kept for all passes. */
#define CACHE_BYTES ((size_t)8 << 20)
#define BLOCK_BYTES ((size_t)512 << 10)
/* Rows of the first guess, a direction sought. */
#define GUESS_ROWS        4u
#define COLUMN_FLOATS_MAX ((uint64_t)1 << 20)
/* Directions sought beyond the rank. */
#define OVERSAMPLE 8u
#define WIDTH_MAX  LOWRANK_WIDTH_MAX
/* Elements of the sample by which the rank is chosen. */
#define SAMPLE_SHARE 64u
#define SAMPLE_MIN   8192u
#define SAMPLE_MAX   32768u
/* Bits that low rank must save. */
#define MARGIN_BITS 256.0
/* Least sides of a matrix for which factors may pay. */
#define ROWS_MIN    16u
#define COLUMNS_MIN 8u
/* Share of the residual's energy that rounding may add, at the extremes. */
#define NOISE_MIN 0.02
#define NOISE_MAX 0.3
/* Least bits of an element that doubling the residual is taken to cost. */
#define SLOPE_MIN  0.2
#define FACTOR_MAX 32767.0f
#define ROUND_UP   0.44f
/* Rounds of fitting what earlier ones left. */
#define STAGES_MAX 4u
/* Largest root mean square of factors: the extremes must fit, too. */
#define FACTOR_RMS_MAX 7000.0

struct fit {
    const struct lowrank_input *in;
    size_t rows, columns;
    size_t block_rows;
    uint8_t *bytes; /* a block of both sources */
    float *block;   /* a block's differences, or all when cached */
    bool cached;
    size_t width;          /* directions sought */
    size_t stride;         /* width rounded up to LOWRANK_STEP */
    float *right;          /* columns x stride */
    float *other;          /* columns x stride */
    float *left;           /* block_rows x stride */
    double *gram, *vector; /* width x width */
    double value[WIDTH_MAX];
    double work[2 * WIDTH_MAX];
    double energy;      /* sum of squares */
    double factor_bits; /* of prior */
    struct lowrank_sample sample;
    size_t sample_rows;
    float *rest;  /* of the sample, less what out has */
    float *along; /* sample_rows x stride */
    float *low;   /* of the sample, predicted */
    /* What was found before: the difference is taken less it. */
    const struct lowrank *prior;
    int16_t *across; /* v of prior, component after component */
    float *line;     /* a row */
    struct lowrank_hist *hist;
};

static float load_real(enum dtype dtype, const uint8_t *at)
{
    struct narrow_float f;
    double wide;
    uint64_t bits;
    switch ((int)dtype) {
    case DTYPE_F32:
        return float_of_bits(load_le32(at));
    case DTYPE_F64:
        bits = load_le64(at);
        memcpy(&wide, &bits, sizeof(wide));
        return (float)wide;
    case DTYPE_I8:
    case DTYPE_U8:
    case DTYPE_I16:
    case DTYPE_U16:
        return (float)lowrank_ordered(dtype, at);
    default:
        (void)narrow_float_of(dtype, &f);
        return narrow_float_widen(&f, f.width == 8 ? *at : load_le16(at));
    }
}

/* Loops of this length are what compilers turn to vectors. */
#define CHUNK 64u

static void load_reals(enum dtype dtype, const uint8_t *in, size_t count,
                       float *out)
{
    size_t bytes = dtype_bits(dtype) / 8, i = 0;
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    if (dtype == DTYPE_F32) {
        memcpy(out, in, 4 * count);
        return;
    }
    for (; dtype == DTYPE_BF16 && i + CHUNK <= count; i += CHUNK) {
        uint16_t half[CHUNK];
        uint32_t wide[CHUNK];
        memcpy(half, in + 2 * i, sizeof(half));
        for (size_t k = 0; k < CHUNK; k++)
            wide[k] = (uint32_t)half[k] << 16;
        memcpy(out + i, wide, sizeof(wide));
    }
#endif
    for (; i < count; i++)
        out[i] = load_real(dtype, in + i * bytes);
}

/* Differences of f64 are taken before they are rounded. */
static void subtract_f64(const uint8_t *target, const uint8_t *base,
                         size_t count, float *out)
{
    for (size_t i = 0; i < count; i++) {
        uint64_t a = load_le64(target + 8 * i), b = load_le64(base + 8 * i);
        double x, y;
        memcpy(&x, &a, sizeof(x));
        memcpy(&y, &b, sizeof(y));
        out[i] = (float)(x - y);
    }
}

/* x less y, 0 where that is not finite. */
static void subtract_chunk(const float *x, const float *y, float *out)
{
    for (size_t k = 0; k < CHUNK; k++) {
        float d = x[k] - y[k];
        out[k] = d - d == 0 ? d : 0;
    }
}

/* scale times base is what target is compared with. */
static void subtract(enum dtype dtype, enum dtype from, const uint8_t *target,
                     const uint8_t *base, float scale, size_t count, float *out)
{
    size_t from_bytes = dtype_bits(from) / 8, bytes = dtype_bits(dtype) / 8;
    bool wide = dtype == DTYPE_F64 && from == DTYPE_F64;
    for (size_t at = 0; at < count; at += CHUNK) {
        float x[CHUNK] = {0}, y[CHUNK] = {0};
        size_t now = count - at < CHUNK ? count - at : CHUNK;
        if (wide) {
            subtract_f64(target + at * bytes, base + at * bytes, now, x);
        } else {
            load_reals(dtype, target + at * bytes, now, x);
            load_reals(from, base + at * from_bytes, now, y);
        }
        for (size_t k = 0; k < CHUNK && !wide; k++)
            y[k] *= scale;
        subtract_chunk(x, y, x);
        memcpy(out + at, x, now * sizeof(*out));
    }
}

static enum status read_rows(struct fit *fit, size_t row, size_t count,
                             const uint8_t **base, const uint8_t **target)
{
    const struct lowrank_input *in = fit->in;
    size_t from = fit->columns * (dtype_bits(in->from) / 8);
    size_t to = fit->columns * (dtype_bits(in->dtype) / 8);
    *base = fit->bytes;
    *target = fit->bytes + fit->block_rows * from;
    enum status status = source_read(in->base, in->base_offset + row * from,
                                     fit->bytes, count * from);
    if (!status)
        status = source_read(in->target, in->target_offset + row * to,
                             fit->bytes + fit->block_rows * from, count * to);
    return status;
}

/* One row's share of what was found before. */
static void prior_row(const struct fit *fit, size_t row, float *out)
{
    const struct lowrank *p = fit->prior;
    const float step = (float)exp2(p->shift);
    const int16_t *u = p->u + row * p->rank;
    for (size_t at = 0; at < fit->columns; at += 64) {
        size_t count = fit->columns - at < 64 ? fit->columns - at : 64;
        uint32_t sum[64] = {0};
        for (unsigned k = 0; k < p->rank; k++) {
            const int16_t *v = fit->across + k * fit->columns + at;
            for (size_t j = 0; j < count; j++)
                sum[j] += (uint32_t)(u[k] * v[j]);
        }
        for (size_t j = 0; j < count; j++)
            out[at + j] = (float)(int32_t)sum[j] * step;
    }
}

static void subtract_prior(const struct fit *fit, size_t row, size_t count,
                           float *block)
{
    for (size_t i = 0; i < count; i++, block += fit->columns) {
        prior_row(fit, row + i, fit->line);
        for (size_t j = 0; j < fit->columns; j++)
            block[j] -= fit->line[j];
    }
}

static bool is_scaled(const struct fit *fit)
{
    return fit->in->row_scale || fit->in->base_scale > 0;
}

static float scale_of(const struct fit *fit, size_t row)
{
    const struct lowrank_input *in = fit->in;
    if (!in->row_scale)
        return in->base_scale > 0 ? in->base_scale : 1;
    return (float)in->row_scale[row] * (float)exp2(in->scale_shift);
}

static void subtract_row(const struct fit *fit, size_t row,
                         const uint8_t *target, const uint8_t *base, float *out)
{
    subtract(fit->in->dtype, fit->in->from, target, base, scale_of(fit, row),
             fit->columns, out);
}

static enum status load_rows(struct fit *fit, size_t row, size_t count,
                             float *out)
{
    const uint8_t *base, *target;
    size_t from = fit->columns * (dtype_bits(fit->in->from) / 8);
    size_t to = fit->columns * (dtype_bits(fit->in->dtype) / 8);
    enum status status = read_rows(fit, row, count, &base, &target);
    if (!status && is_scaled(fit))
        for (size_t i = 0; i < count; i++)
            subtract_row(fit, row + i, target + i * to, base + i * from,
                         out + i * fit->columns);
    else if (!status)
        subtract(fit->in->dtype, fit->in->from, target, base, 1,
                 count * fit->columns, out);
    if (!status && fit->prior)
        subtract_prior(fit, row, count, out);
    return status;
}

/* Rows row .. of the difference, as many as a block has at most. */
static enum status next_block(struct fit *fit, size_t row, const float **block,
                              size_t *count)
{
    size_t left = fit->rows - row;
    *count = left < fit->block_rows ? left : fit->block_rows;
    *block = fit->block;
    if (fit->cached) {
        *block = fit->block + row * fit->columns;
        return STATUS_OK;
    }
    return load_rows(fit, row, *count, fit->block);
}

static enum status fill_cache(struct fit *fit)
{
    enum status status = STATUS_OK;
    for (size_t row = 0; fit->cached && row < fit->rows && !status;
         row += fit->block_rows) {
        size_t left = fit->rows - row;
        size_t count = left < fit->block_rows ? left : fit->block_rows;
        status = load_rows(fit, row, count, fit->block + row * fit->columns);
    }
    return status;
}

static double energy_of(const float *block, size_t count)
{
    double sum = 0;
    for (size_t at = 0; at < count; at += 256) {
        float part[8] = {0};
        size_t now = count - at < 256 ? count - at : 256, i = 0;
        for (; i + 8 <= now; i += 8)
            for (size_t k = 0; k < 8; k++)
                part[k] += block[at + i + k] * block[at + i + k];
        for (; i < now; i++)
            part[0] += block[at + i] * block[at + i];
        for (size_t k = 0; k < 8; k++)
            sum += (double)part[k];
    }
    return sum;
}

/* Random signs for each row of a block. */
static void fill_random(struct fit *fit, size_t count, uint64_t *seed)
{
    memset(fit->left, 0, count * fit->stride * sizeof(*fit->left));
    for (size_t i = 0; i < count; i++) {
        uint64_t bits = 0;
        for (size_t k = 0; k < fit->width; k++) {
            if (k % 32 == 0) {
                *seed =
                    *seed * UINT64_C(6364136223846793005) + 1442695040888963407;
                bits = *seed >> 32;
            }
            fit->left[i * fit->stride + k] = bits & 1 ? 1.0f : -1.0f;
            bits >>= 1;
        }
    }
}

/* right = D^T random: a first guess at the row space. */
static enum status first_pass(struct fit *fit)
{
    uint64_t seed = 1;
    size_t skip = fit->rows / (GUESS_ROWS * fit->stride) + 1;
    memset(fit->right, 0, fit->columns * fit->stride * sizeof(*fit->right));
    fit->energy = 0;
    for (size_t row = 0; row < fit->rows;) {
        const float *block;
        size_t count;
        enum status status = next_block(fit, row, &block, &count);
        if (status)
            return status;
        fit->energy += energy_of(block, count * fit->columns);
        /* Some of the rows will do for a guess. */
        size_t some = (count + skip - 1) / skip;
        fill_random(fit, some, &seed);
        lowrank_multiply(fit->columns, some, fit->stride, block, 1,
                         skip * fit->columns, fit->left, fit->right);
        row += count;
    }
    return STATUS_OK;
}

/* other = D^T D right. */
static enum status power_pass(struct fit *fit)
{
    memset(fit->other, 0, fit->columns * fit->stride * sizeof(*fit->other));
    for (size_t row = 0; row < fit->rows;) {
        const float *block;
        size_t count;
        enum status status = next_block(fit, row, &block, &count);
        if (status)
            return status;
        memset(fit->left, 0, count * fit->stride * sizeof(*fit->left));
        lowrank_multiply(count, fit->columns, fit->stride, block, fit->columns,
                         1, fit->right, fit->left);
        lowrank_multiply(fit->columns, count, fit->stride, block, 1,
                         fit->columns, fit->left, fit->other);
        row += count;
    }
    return STATUS_OK;
}

/* a (count x stride) times turn, for each row of a. */
static void turn_rows(size_t count, size_t stride, const float *turn, float *a)
{
    float out[64 * WIDTH_MAX];
    for (size_t at = 0; at < count; at += 64, a += 64 * stride) {
        size_t now = count - at < 64 ? count - at : 64;
        memset(out, 0, now * stride * sizeof(*out));
        lowrank_multiply(now, stride, stride, a, stride, 1, turn, out);
        memcpy(a, out, now * stride * sizeof(*out));
    }
}

/* Makes the columns of right orthonormal, in three rounds for the sake of
 * nearly dependent ones. */
static bool orthonormal(struct fit *fit)
{
    static const double ridge[] = {2e-5, 1e-6, 1e-12};
    float turn[WIDTH_MAX * WIDTH_MAX];
    for (int round = 0; round < 3; round++) {
        lowrank_gram(fit->columns, fit->width, fit->stride, fit->right,
                     fit->right, fit->gram);
        if (!lowrank_cholesky(fit->width, fit->gram, ridge[round]))
            return false;
        memset(turn, 0, sizeof(turn));
        lowrank_whitener(fit->width, fit->stride, fit->gram, turn);
        turn_rows(fit->columns, fit->stride, turn, fit->right);
    }
    return true;
}

/* right = other with columns of length 1. */
static void normalise(struct fit *fit)
{
    float scale[WIDTH_MAX] = {0};
    for (size_t j = 0; j < fit->columns; j++)
        for (size_t k = 0; k < fit->width; k++) {
            float x = fit->other[j * fit->stride + k];
            scale[k] += x * x;
        }
    for (size_t k = 0; k < fit->width; k++) {
        scale[k] = scale[k] > 0 ? 1 / sqrtf(scale[k]) : 0;
        fit->value[k] = fit->value[k] > 0 ? fit->value[k] : 0;
    }
    for (size_t j = 0; j < fit->columns; j++)
        for (size_t k = 0; k < fit->stride; k++)
            fit->right[j * fit->stride + k] =
                fit->other[j * fit->stride + k] * scale[k];
}

/* After power_pass: value[k] = energy of component k, right = its direction. */
static void rotate(struct fit *fit)
{
    size_t n = fit->width;
    lowrank_gram(fit->columns, n, fit->stride, fit->right, fit->other,
                 fit->gram);
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < i; j++)
            fit->gram[i * n + j] = fit->gram[j * n + i] =
                (fit->gram[i * n + j] + fit->gram[j * n + i]) / 2;
    lowrank_eigen(n, fit->gram, fit->value, fit->vector, fit->work);
    float turn[WIDTH_MAX * WIDTH_MAX];
    memset(turn, 0, fit->stride * fit->stride * sizeof(*turn));
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < n; k++)
            turn[i * fit->stride + k] = (float)fit->vector[i * n + k];
    turn_rows(fit->columns, fit->stride, turn, fit->other);
    normalise(fit);
}

static enum status load_sample(struct fit *fit)
{
    struct lowrank_sample *s = &fit->sample;
    size_t n = fit->columns, bytes = dtype_bits(fit->in->dtype) / 8;
    s->count = fit->sample_rows * n;
    for (size_t i = 0; i < fit->sample_rows; i++) {
        const uint8_t *base, *target;
        size_t row = (2 * i + 1) * fit->rows / (2 * fit->sample_rows);
        enum status status = read_rows(fit, row, 1, &base, &target);
        if (status)
            return status;
        subtract_row(fit, row, target, base, s->diff + i * n);
        load_reals(fit->in->from, base, n, s->base + i * n);
        for (size_t j = 0; j < n && is_scaled(fit); j++)
            s->base[i * n + j] *= scale_of(fit, row);
        for (size_t j = 0; bytes <= 2 && j < n; j++)
            s->target[i * n + j] =
                lowrank_ordered(s->dtype, target + j * bytes);
    }
    return STATUS_OK;
}

/* The sample's coordinates along the directions found. */
static void project_sample(struct fit *fit)
{
    memset(fit->along, 0, fit->sample_rows * fit->stride * sizeof(*fit->along));
    lowrank_multiply(fit->sample_rows, fit->columns, fit->stride, fit->rest,
                     fit->columns, 1, fit->right, fit->along);
}

/* y += a x. */
static void add_scaled(size_t n, float a, const float *restrict x,
                       float *restrict y)
{
    size_t j = 0;
    for (; j + 32 <= n; j += 32)
        for (size_t w = 0; w < 32; w++)
            y[j + w] += a * x[j + w];
    for (; j < n; j++)
        y[j] += a * x[j];
}

/* Adds component k to the sample's low rank part. */
static void add_component(struct fit *fit, size_t k)
{
    size_t n = fit->columns;
    for (size_t j = 0; j < n; j++)
        fit->line[j] = fit->right[j * fit->stride + k];
    for (size_t i = 0; i < fit->sample_rows; i++)
        add_scaled(n, fit->along[i * fit->stride + k], fit->line,
                   fit->low + i * n);
}

/* How the factors of a rank are rounded. */
struct rounding {
    unsigned rank;
    int shift;
    double noise; /* share of the residual's energy */
    double skew;  /* log2 by which u is finer, v coarser than even */
    double bits;  /* of the factors */
    float up;     /* what is at least so far above an integer goes up */
    bool limited; /* a finer step does not fit 16 bits */
};

static double even_rms(const struct fit *fit, size_t k, int shift)
{
    double mn = (double)fit->rows * (double)fit->columns;
    return sqrt(sqrt(fit->value[k] / mn) / exp2(shift));
}

/* The step for which factor bits and rounding noise together cost least:
 * noise / (1 + noise) = factors an element. rest is the mean square of what the
 * components leave, slope the bits of an element that twice it would cost. */
static struct rounding choose_rounding(const struct fit *fit, unsigned rank,
                                       double rest, double slope)
{
    double m = (double)fit->rows, n = (double)fit->columns, mn = m * n;
    double share = rank * (m + n) / mn / (2 * slope);
    struct rounding r = {.rank = rank};
    double sum = 0;
    for (unsigned k = 0; k < rank; k++)
        sum += sqrt(fit->value[k] / mn);
    r.noise = 0.8 * share / (1 - (share < 0.5 ? share : 0.5));
    r.noise = fmin(fmax(r.noise, NOISE_MIN), NOISE_MAX);
    /* Rounding adds step * sum / 6 to the mean square. */
    r.shift = (int)lrint(log2(6 * r.noise * rest / sum));
    int least_shift = (int)ceil(
        log2(sqrt(fit->value[0] / mn) / (FACTOR_RMS_MAX * FACTOR_RMS_MAX)));
    r.limited = r.shift < least_shift;
    r.shift = r.limited ? least_shift : r.shift;
    r.shift = fit->prior ? fit->prior->shift : r.shift;
    r.shift = r.shift < PREDICT_SHIFT_MIN ? PREDICT_SHIFT_MIN : r.shift;
    r.shift = r.shift > PREDICT_SHIFT_MAX ? PREDICT_SHIFT_MAX : r.shift;
    if (dtype_bits(fit->in->dtype) <= 16 && fit->in->dtype <= DTYPE_I16) {
        r.shift =
            r.shift < PREDICT_INT_SHIFT_MIN ? PREDICT_INT_SHIFT_MIN : r.shift;
        r.shift =
            r.shift > PREDICT_INT_SHIFT_MAX ? PREDICT_INT_SHIFT_MAX : r.shift;
    }
    r.noise = exp2(r.shift) * sum / 6 / rest;
    double even = 2 * slope * mn * r.noise / rank;
    r.skew = asinh((m - n) / even) / 1.386;
    r.skew = fmin(fmax(r.skew, -2), 2);
    for (unsigned k = 0; k < rank; k++) {
        double rms = even_rms(fit, k, r.shift);
        r.bits += m * log2(fmax(rms * exp2(-r.skew), 0.3) * 4.13);
        r.bits += n * log2(fmax(rms * exp2(r.skew), 0.3) * 4.13);
    }
    r.noise *= cosh(1.386 * r.skew);
    r.up = r.limited || fit->prior ? 0.5f : ROUND_UP;
    return r;
}

/* The mean square of what the sample's prediction leaves. */
static double rest_square(const struct fit *fit)
{
    double sum = 0;
    for (size_t at = 0; at < fit->sample.count; at += 256) {
        float part[8] = {0};
        size_t left = fit->sample.count - at, now = left < 256 ? left : 256;
        for (size_t i = 0; i < now; i++) {
            float x = fit->sample.diff[at + i] - fit->low[at + i];
            part[i % 8] += x * x;
        }
        for (size_t k = 0; k < 8; k++)
            sum += (double)part[k];
    }
    double least = fit->energy / (double)(fit->rows * fit->columns) * 1e-14;
    return fmax(sum / (double)fit->sample.count, least);
}

/* A rank whose bits were measured on the sample. */
struct probe {
    unsigned rank;
    double rest; /* mean square left */
    double bits; /* of all elements, without factors */
};

static struct probe probe_rank(struct fit *fit, unsigned rank, bool low)
{
    double scale = (double)fit->rows / (double)fit->sample_rows;
    const float *given = low ? fit->low : NULL;
    return (struct probe){rank, rest_square(fit),
                          lowrank_cost(&fit->sample, given, fit->hist) * scale};
}

/* Ranks from low->rank + 1 to high->rank: bits fall with the logarithm of what
 * is left, and that is known from the components. */
static void search_between(const struct fit *fit, const struct probe *low,
                           const struct probe *high, struct rounding *chosen,
                           double *best)
{
    double mn = (double)fit->rows * (double)fit->columns, sum = 0, part = 0;
    for (unsigned k = low->rank; k < high->rank; k++)
        sum += fit->value[k];
    double fall = log2(low->rest / high->rest);
    double slope = fall > 0 ? (low->bits - high->bits) / mn / fall : 0.5;
    slope = fit->prior ? 0.5 : fmin(fmax(slope, SLOPE_MIN), 0.5);
    for (unsigned rank = low->rank + 1; rank <= high->rank; rank++) {
        part += fit->value[rank - 1] / sum;
        double rest = low->rest + part * (high->rest - low->rest);
        double way = fall > 0 ? log2(low->rest / rest) / fall : 1;
        struct rounding r = choose_rounding(fit, rank, rest, slope);
        double bits = low->bits + way * (high->bits - low->bits) + r.bits +
                      slope * mn * log2(1 + r.noise);
        if (bits < *best) {
            *best = bits;
            *chosen = r;
        }
    }
}

/* The rank whose estimated bits are fewest; rank 0 when none saves any. */
static struct rounding choose_rank(struct fit *fit, unsigned rank_max,
                                   double *plain, double *best)
{
    static const uint8_t probed[] = {1, 4, 16, 32, 64};
    struct rounding chosen = {0};
    unsigned most = rank_max < fit->width ? rank_max : (unsigned)fit->width;
    while (most && !(fit->value[most - 1] > 0))
        most--;
    project_sample(fit);
    struct probe before = probe_rank(fit, 0, fit->prior || is_scaled(fit));
    *plain = *best = before.bits;
    for (size_t i = 0; before.rank < most; i++) {
        unsigned rank = probed[i] < most ? probed[i] : most;
        for (unsigned k = before.rank; k < rank; k++)
            add_component(fit, k);
        struct probe now = probe_rank(fit, rank, true);
        search_between(fit, &before, &now, &chosen, best);
        /* The best lies behind when even the last ones do not pay. */
        if (rank >= 16 && chosen.rank < rank)
            break;
        before = now;
    }
    return chosen;
}

/* up is a half or less: what is just above a half costs fewer bits below. */
static int16_t to_factor(float x, float up)
{
    x = x > FACTOR_MAX ? FACTOR_MAX : (x < -FACTOR_MAX ? -FACTOR_MAX : x);
    return (int16_t)(x < 0 ? -(int)(up - x) : (int)(up + x));
}

/* v = right, scaled and rounded; right becomes what v stands for. */
static void round_right(struct fit *fit, const struct rounding *r, int16_t *v)
{
    for (unsigned k = 0; k < r->rank; k++) {
        double beta = sqrt((double)fit->columns) * even_rms(fit, k, r->shift) *
                      exp2(r->skew);
        float most = 0, scale = (float)beta;
        for (size_t j = 0; j < fit->columns; j++)
            most = fmaxf(most, fabsf(fit->right[j * fit->stride + k]));
        scale = most * scale > FACTOR_MAX ? FACTOR_MAX / most : scale;
        for (size_t j = 0; j < fit->columns; j++)
            v[j * r->rank + k] =
                to_factor(scale * fit->right[j * fit->stride + k], r->up);
    }
    memset(fit->right, 0, fit->columns * fit->stride * sizeof(*fit->right));
    for (size_t j = 0; j < fit->columns; j++)
        for (unsigned k = 0; k < r->rank; k++)
            fit->right[j * fit->stride + k] = (float)v[j * r->rank + k];
}

/* u = least squares fit of D to right, rounded. */
static enum status fit_left(struct fit *fit, const struct rounding *r,
                            int16_t *u)
{
    size_t rank = r->rank, wide = fit->stride;
    size_t need = (rank + LOWRANK_STEP - 1) / LOWRANK_STEP * LOWRANK_STEP;
    for (size_t j = 0; j < fit->columns && need < wide; j++)
        memmove(fit->right + j * need, fit->right + j * wide,
                need * sizeof(*fit->right));
    lowrank_gram(fit->columns, rank, need, fit->right, fit->right, fit->gram);
    if (!lowrank_cholesky(rank, fit->gram, 1e-12))
        return STATUS_OK; /* some v is all zeros: u stays zero */
    float turn[WIDTH_MAX * WIDTH_MAX] = {0};
    lowrank_inverse(rank, need, fit->gram, turn);
    for (size_t k = 0; k < rank * need; k++)
        turn[k] *= (float)exp2(-r->shift);
    for (size_t row = 0; row < fit->rows;) {
        const float *block;
        size_t count;
        enum status status = next_block(fit, row, &block, &count);
        if (status)
            return status;
        memset(fit->left, 0, count * need * sizeof(*fit->left));
        lowrank_multiply(count, fit->columns, need, block, fit->columns, 1,
                         fit->right, fit->left);
        turn_rows(count, need, turn, fit->left);
        for (size_t i = 0; i < count; i++)
            for (size_t k = 0; k < rank; k++)
                u[(row + i) * rank + k] =
                    to_factor(fit->left[i * need + k], r->up);
        row += count;
    }
    return STATUS_OK;
}

/* The sample's part of what was found, in low, and what is left, in rest. */
static void predict_sample(struct fit *fit)
{
    for (size_t i = 0; i < fit->sample_rows; i++) {
        size_t row = (2 * i + 1) * fit->rows / (2 * fit->sample_rows);
        prior_row(fit, row, fit->low + i * fit->columns);
    }
    for (size_t i = 0; i < fit->sample.count; i++)
        fit->rest[i] = fit->sample.diff[i] - fit->low[i];
}

static bool set_prior(struct fit *fit, const struct lowrank *prior)
{
    free(fit->across);
    fit->prior = prior;
    fit->across = malloc(fit->columns * prior->rank * sizeof(*fit->across));
    for (size_t j = 0; j < fit->columns && fit->across; j++)
        for (unsigned k = 0; k < prior->rank; k++)
            fit->across[k * fit->columns + j] = prior->v[j * prior->rank + k];
    return fit->across != NULL;
}

/* Both sets' factors side by side, in newly allocated memory; NULL: none. */
static int16_t *beside(const int16_t *a, unsigned a_rank, const int16_t *b,
                       unsigned b_rank, size_t count)
{
    unsigned rank = a_rank + b_rank;
    int16_t *out = malloc(count * rank * sizeof(*out));
    for (size_t i = 0; i < count && out; i++) {
        for (unsigned k = 0; k < a_rank; k++)
            out[i * rank + k] = a[i * a_rank + k];
        for (unsigned k = 0; k < b_rank; k++)
            out[i * rank + a_rank + k] = b[i * b_rank + k];
    }
    return out;
}

/* Rounds right, fits u to it, and adds both to what sum has. */
static enum status add_rounded(struct fit *fit, const struct rounding *r,
                               struct lowrank *sum)
{
    struct lowrank own = {.rank = r->rank};
    enum status status = STATUS_NO_MEMORY;
    own.u = calloc(fit->rows * r->rank, sizeof(*own.u));
    own.v = calloc(fit->columns * r->rank, sizeof(*own.v));
    if (own.u && own.v) {
        round_right(fit, r, own.v);
        status = fit_left(fit, r, own.u);
    }
    if (!status) {
        int16_t *u = beside(sum->u, sum->rank, own.u, own.rank, fit->rows);
        int16_t *v = beside(sum->v, sum->rank, own.v, own.rank, fit->columns);
        free(sum->u);
        free(sum->v);
        sum->u = u;
        sum->v = v;
        sum->rank += own.rank;
        sum->shift = r->shift;
        status = u && v ? STATUS_OK : STATUS_NO_MEMORY;
    }
    lowrank_deinit(&own);
    return status;
}

/* One round of finding components in what is left. more: another round may
 * help, as the step could not be as fine as it should. */
static enum status fit_stage(struct fit *fit, unsigned rank_max,
                             struct lowrank *out, bool *more)
{
    double before, bits;
    struct rounding r = choose_rank(fit, rank_max, &before, &bits);
    if (!fit->prior)
        out->plain_bits = out->bits = (uint64_t)before;
    *more = false;
    if (!r.rank || bits + MARGIN_BITS > before)
        return STATUS_OK;
    struct lowrank sum = *out;
    out->u = out->v = NULL;
    enum status status = add_rounded(fit, &r, &sum);
    *out = sum;
    if (status)
        return status;
    out->bits = (uint64_t)(bits + fit->factor_bits);
    fit->factor_bits += r.bits;
    *more = r.limited || fit->prior;
    if (*more && !set_prior(fit, out))
        return STATUS_NO_MEMORY;
    if (*more)
        predict_sample(fit);
    return STATUS_OK;
}

static void *array(size_t count, size_t elem_bytes, bool *failed)
{
    void *p = calloc(count ? count : 1, elem_bytes);
    *failed |= !p;
    return p;
}

static enum status fit_init(struct fit *fit, const struct lowrank_input *in,
                            unsigned rank_max)
{
    bool failed = false;
    size_t elem = dtype_bits(in->from) / 8 + dtype_bits(in->dtype) / 8;
    fit->in = in;
    fit->rows = (size_t)in->rows;
    fit->columns = in->columns;
    fit->block_rows = BLOCK_BYTES / (fit->columns * sizeof(float)) + 1;
    fit->block_rows = fit->block_rows < fit->rows ? fit->block_rows : fit->rows;
    fit->cached = fit->rows * fit->columns <= CACHE_BYTES / sizeof(float);
    size_t least = fit->rows < fit->columns ? fit->rows : fit->columns;
    fit->width = rank_max + OVERSAMPLE < least ? rank_max + OVERSAMPLE : least;
    fit->stride = (fit->width + LOWRANK_STEP - 1) / LOWRANK_STEP * LOWRANK_STEP;
    size_t sampled = fit->rows * fit->columns / SAMPLE_SHARE;
    sampled = sampled < SAMPLE_MIN ? SAMPLE_MIN : sampled;
    sampled = sampled > SAMPLE_MAX ? SAMPLE_MAX : sampled;
    fit->sample_rows = sampled / fit->columns + 1;
    if (fit->sample_rows > fit->rows)
        fit->sample_rows = fit->rows;
    fit->sample.dtype = in->dtype;
    sampled = fit->sample_rows * fit->columns;
    size_t wide = fit->columns * fit->stride;
    fit->bytes = array(fit->block_rows * fit->columns, elem, &failed);
    fit->block =
        array((fit->cached ? fit->rows : fit->block_rows) * fit->columns,
              sizeof(float), &failed);
    fit->right = array(wide, sizeof(float), &failed);
    fit->other = array(wide, sizeof(float), &failed);
    fit->left = array(fit->block_rows * fit->stride, sizeof(float), &failed);
    fit->gram = array(fit->width * fit->width, sizeof(double), &failed);
    fit->vector = array(fit->width * fit->width, sizeof(double), &failed);
    fit->sample.base = array(sampled, sizeof(float), &failed);
    fit->sample.diff = array(sampled, sizeof(float), &failed);
    fit->sample.target = array(sampled, sizeof(int32_t), &failed);
    fit->low = array(sampled, sizeof(float), &failed);
    fit->rest = array(sampled, sizeof(float), &failed);
    fit->along = array(fit->sample_rows * fit->stride, sizeof(float), &failed);
    fit->line = array(fit->columns, sizeof(float), &failed);
    fit->hist = array(1, sizeof(*fit->hist), &failed);
    return failed ? STATUS_NO_MEMORY : STATUS_OK;
}

static void fit_deinit(struct fit *fit)
{
    free(fit->bytes);
    free(fit->block);
    free(fit->right);
    free(fit->other);
    free(fit->left);
    free(fit->gram);
    free(fit->vector);
    free(fit->sample.base);
    free(fit->sample.diff);
    free(fit->sample.target);
    free(fit->low);
    free(fit->rest);
    free(fit->along);
    free(fit->line);
    free(fit->across);
    free(fit->hist);
}

static unsigned limit_rank(const struct lowrank_input *in, unsigned rank_max)
{
    uint64_t sum = in->rows + in->columns;
    uint64_t most = PREDICT_FACTOR_BYTES_MAX / 2 / (sum ? sum : 1);
    uint64_t least = in->rows < in->columns ? in->rows : in->columns;
    most = most < least ? most : least;
    /* With a factor for every other element they never pay. */
    uint64_t half = in->rows * in->columns / 2 / (sum ? sum : 1);
    most = most < half ? most : half;
    most = most < PREDICT_RANK_MAX ? most : PREDICT_RANK_MAX;
    /* Two thin matrices of all columns are to stay below 8 MiB. */
    uint64_t wide = COLUMN_FLOATS_MAX / in->columns;
    wide = wide / LOWRANK_STEP * LOWRANK_STEP;
    wide = wide > OVERSAMPLE ? wide - OVERSAMPLE : 0;
    most = most < wide ? most : wide;
    return rank_max < most ? rank_max : (unsigned)most;
}

/* Directions and energies of what is left. */
static enum status find_directions(struct fit *fit)
{
    enum status status = first_pass(fit);
    if (status || !(fit->energy > 0) || !orthonormal(fit)) {
        memset(fit->value, 0, sizeof(fit->value));
        return status;
    }
    status = power_pass(fit);
    for (unsigned i = 0; i < fit->in->effort && !status; i++) {
        memcpy(fit->right, fit->other,
               fit->columns * fit->stride * sizeof(*fit->right));
        if (!orthonormal(fit))
            break;
        status = power_pass(fit);
    }
    if (status)
        return status;
    rotate(fit);
    /* Directions of next to no energy are errors of the others: they must not
     * count these twice. */
    if (fit->value[fit->width - 1] < 1e-5 * fit->value[0] && !orthonormal(fit))
        memset(fit->value, 0, sizeof(fit->value));
    return STATUS_OK;
}

static enum status fit_all(struct fit *fit, unsigned rank_max,
                           struct lowrank *out)
{
    bool more = true;
    enum status status = load_sample(fit);
    if (!status)
        status = fill_cache(fit);
    memcpy(fit->rest, fit->sample.diff, fit->sample.count * sizeof(float));
    for (unsigned stage = 0; more && stage < STAGES_MAX && !status; stage++) {
        if (fit->prior && fit->cached)
            status = fill_cache(fit);
        if (!status)
            status = find_directions(fit);
        if (!status)
            status = fit_stage(fit, rank_max - out->rank, out, &more);
    }
    if (!status && out->bits + (uint64_t)MARGIN_BITS > out->plain_bits)
        lowrank_deinit(out);
    return status;
}

enum status lowrank_fit(const struct lowrank_input *input, unsigned rank_max,
                        struct lowrank *out)
{
    *out = (struct lowrank){.rows = input->rows, .columns = input->columns};
    rank_max = input->columns ? limit_rank(input, rank_max) : 0;
    if (!rank_max || !predict_dtype_ok(input->dtype) ||
        !predict_dtype_ok(input->from))
        return STATUS_OK;
    struct fit *fit = calloc(1, sizeof(*fit));
    if (!fit)
        return STATUS_NO_MEMORY;
    enum status status = fit_init(fit, input, rank_max);
    if (!status)
        status = fit_all(fit, rank_max, out);
    fit_deinit(fit);
    free(fit);
    if (status || !out->rank)
        lowrank_deinit(out);
    return status;
}

void lowrank_deinit(struct lowrank *lowrank)
{
    free(lowrank->u);
    free(lowrank->v);
    lowrank->u = lowrank->v = NULL;
    lowrank->rank = 0;
}

static void keep_first(int16_t *factors, size_t count, unsigned from,
                       unsigned to)
{
    for (size_t i = 0; i < count; i++)
        memmove(factors + i * to, factors + i * from, to * sizeof(*factors));
}

void lowrank_truncate(struct lowrank *lowrank, unsigned rank)
{
    if (rank >= lowrank->rank)
        return;
    keep_first(lowrank->u, (size_t)lowrank->rows, lowrank->rank, rank);
    keep_first(lowrank->v, lowrank->columns, lowrank->rank, rank);
    lowrank->rank = rank;
}

struct predict lowrank_predict(const struct lowrank *lowrank, enum dtype from,
                               enum dtype dtype)
{
    return (struct predict){.dtype = dtype,
                            .from = from,
                            .columns = lowrank->columns,
                            .rank = lowrank->rank,
                            .shift = lowrank->shift,
                            .u = lowrank->u,
                            .v = lowrank->v};
}

bool lowrank_view_from(const uint64_t *shape, uint32_t shape_rank,
                       uint64_t rows_min, uint32_t columns_min, uint64_t *rows,
                       uint32_t *columns)
{
    uint64_t best = UINT64_MAX, above = 1;
    for (uint32_t split = 1; split < shape_rank; split++) {
        uint64_t below = 1;
        for (uint32_t i = split; i < shape_rank; i++)
            below *= shape[i];
        above *= shape[split - 1];
        if (above < rows_min || below < columns_min || below > UINT32_MAX ||
            above + below >= best)
            continue;
        best = above + below;
        *rows = above;
        *columns = (uint32_t)below;
    }
    return best != UINT64_MAX;
}

bool lowrank_view(const uint64_t *shape, uint32_t shape_rank, uint64_t *rows,
                  uint32_t *columns)
{
    return lowrank_view_from(shape, shape_rank, ROWS_MIN, COLUMNS_MIN, rows,
                             columns);
}
