/* Predictions: what is allowed, how runs are cut to tiles, and the plain
 * loops. */
#include "codec/lossless/predict_kernel.h"

#include "codec/base/bytes.h"
#include "codec/lossless/narrow_float.h"

#include <assert.h>
#include <float.h>
#include <math.h>

static_assert(FLT_EVAL_METHOD == 0,
              "predictions need IEEE arithmetic in its own precision");

#define FIXED_BITS 24 /* of fraction, where integers are predicted */
#define FIXED_ONE  ((int64_t)1 << FIXED_BITS)

static bool is_int(enum dtype dtype)
{
    return dtype == DTYPE_I8 || dtype == DTYPE_U8 || dtype == DTYPE_I16 ||
           dtype == DTYPE_U16;
}

bool predict_dtype_ok(enum dtype dtype)
{
    struct narrow_float f;
    return is_int(dtype) || dtype == DTYPE_F32 || dtype == DTYPE_F64 ||
           narrow_float_of(dtype, &f);
}

bool predict_is_plain(const struct predict *p)
{
    return !p->rank && !p->row_scale && !(p->base_scale > 0) &&
           p->from == p->dtype;
}

bool predict_has_lost(const struct predict *p)
{
    return dtype_bits(p->dtype) <= 16 && !predict_is_plain(p);
}

static bool within(int value, int least, int most)
{
    return value >= least && value <= most;
}

static bool base_scale_ok(const struct predict *p, bool ints)
{
    return !ints && !p->row_scale && p->base_scale >= PREDICT_BASE_SCALE_MIN &&
           p->base_scale <= PREDICT_BASE_SCALE_MAX &&
           (p->base_scale < 1 || p->base_scale > 1);
}

bool predict_ok(const struct predict *p)
{
    if (predict_is_plain(p))
        return dtype_bits(p->dtype) != 0;
    if (!predict_dtype_ok(p->dtype) || !predict_dtype_ok(p->from) ||
        !p->columns || p->rank > PREDICT_RANK_MAX)
        return false;
    bool to_int = is_int(p->dtype), ints = to_int && is_int(p->from);
    if (p->rank &&
        !(to_int
              ? within(p->shift, PREDICT_INT_SHIFT_MIN, PREDICT_INT_SHIFT_MAX)
              : within(p->shift, PREDICT_SHIFT_MIN, PREDICT_SHIFT_MAX)))
        return false;
    if (!(p->base_scale >= 0) || (p->base_scale > 0 && !base_scale_ok(p, ints)))
        return false;
    if (!p->row_scale)
        return true;
    return ints ? p->scale_shift == PREDICT_INT_SCALE_SHIFT
                : within(p->scale_shift, PREDICT_SCALE_SHIFT_MIN,
                         PREDICT_SCALE_SHIFT_MAX);
}

/* One element of an integer type. */
static int32_t load_int(enum dtype dtype, const uint8_t *at)
{
    switch ((int)dtype) {
    case DTYPE_I8:
        return (int8_t)*at;
    case DTYPE_U8:
        return *at;
    case DTYPE_I16:
        return (int16_t)load_le16(at);
    default:
        return load_le16(at);
    }
}

static double double_of_bits(uint64_t bits)
{
    double value;
    memcpy(&value, &bits, sizeof(value));
    return value;
}

static uint64_t double_bits(double value)
{
    uint64_t bits;
    memcpy(&bits, &value, sizeof(bits));
    return bits;
}

static float load_float(enum dtype dtype, const uint8_t *at)
{
    struct narrow_float f;
    if (dtype == DTYPE_F32)
        return float_of_bits(load_le32(at));
    if (narrow_float_of(dtype, &f))
        return narrow_float_widen(&f, f.width == 8 ? *at : load_le16(at));
    return (float)load_int(dtype, at);
}

float predict_step(const struct predict *p)
{
    return p->rank ? float_power(p->shift) : -0.0f;
}

/* The real-valued prediction in binary32. */
static float real_float(const struct predict_run *run, size_t at,
                        const uint8_t *base)
{
    const struct predict *p = run->p;
    float real = load_float(p->from, base);
    if (p->row_scale)
        real *= (float)run->scale * float_power(p->scale_shift);
    real *= predict_base_scale(p);
    if (run->acc)
        real += (float)run->acc[at] * predict_step(p);
    return real;
}

/* The same in binary64, where either type is f64. */
static double real_double(const struct predict_run *run, size_t at,
                          const uint8_t *base)
{
    const struct predict *p = run->p;
    double real = p->from == DTYPE_F64 ? double_of_bits(load_le64(base))
                                       : (double)load_float(p->from, base);
    if (p->row_scale)
        real *= (double)run->scale * (double)float_power(p->scale_shift);
    real *= (double)predict_base_scale(p);
    if (run->acc)
        real += (double)run->acc[at] * (double)predict_step(p);
    return real;
}

/* The same in fixed point, between integers. */
static int64_t real_fixed(const struct predict_run *run, size_t at,
                          const uint8_t *base)
{
    const struct predict *p = run->p;
    int64_t real = load_int(p->from, base);
    real *= p->row_scale ? (int64_t)run->scale : FIXED_ONE;
    if (run->acc)
        real += (int64_t)run->acc[at] * ((int64_t)1 << (FIXED_BITS + p->shift));
    return real;
}

static void store_int(enum dtype dtype, int64_t real, uint8_t *pred,
                      uint8_t *lost)
{
    bool is_signed = dtype == DTYPE_I8 || dtype == DTYPE_I16;
    unsigned bits = dtype_bits(dtype);
    int64_t most = ((int64_t)1 << (bits - is_signed)) - 1;
    int64_t least = is_signed ? -most - 1 : 0;
    int64_t value = (real + FIXED_ONE / 2) >> FIXED_BITS;
    value = value > most ? most : (value < least ? least : value);
    int64_t eighth =
        (real - value * FIXED_ONE + FIXED_ONE / 2) >> (FIXED_BITS - 3);
    *lost = (uint8_t)(eighth > 7 ? 7 : (eighth < 0 ? 0 : eighth));
    if (bits == 8)
        *pred = (uint8_t)value;
    else
        store_le16(pred, (uint16_t)value);
}

static void store_fallback(const struct predict *p, const uint8_t *base,
                           uint8_t *pred, uint8_t *lost)
{
    size_t bytes = dtype_bits(p->dtype) / 8;
    if (p->from == p->dtype)
        memmove(pred, base, bytes);
    else
        memset(pred, 0, bytes);
    if (bytes <= 2)
        *lost = PREDICT_LOST_NONE;
}

static bool store_narrow(const struct narrow_float *f, float real,
                         uint8_t *pred, uint8_t *lost)
{
    uint32_t bits;
    if (!narrow_float_round(f, real, &bits, lost))
        return false;
    if (f->width == 8)
        *pred = (uint8_t)bits;
    else
        store_le16(pred, (uint16_t)bits);
    return true;
}

/* Larger numbers are far beyond every integer type. */
#define REAL_MAX 1048576.0

static bool store_real(enum dtype dtype, double real, uint8_t *pred,
                       uint8_t *lost)
{
    struct narrow_float f;
    if (!isfinite(real))
        return false;
    if (dtype == DTYPE_F64) {
        store_le64(pred, double_bits(real));
        return true;
    }
    if (is_int(dtype)) {
        real =
            real > REAL_MAX ? REAL_MAX : (real < -REAL_MAX ? -REAL_MAX : real);
        store_int(dtype, (int64_t)floor(real * (double)FIXED_ONE), pred, lost);
        return true;
    }
    float rounded = (float)real;
    if (dtype == DTYPE_F32) {
        if (isfinite(rounded))
            store_le32(pred, float_bits(rounded));
        return isfinite(rounded);
    }
    (void)narrow_float_of(dtype, &f);
    return store_narrow(&f, rounded, pred, lost);
}

void predict_join_any(const struct predict_run *run)
{
    const struct predict *p = run->p;
    size_t from = dtype_bits(p->from) / 8, to = dtype_bits(p->dtype) / 8;
    bool ints = is_int(p->from) && is_int(p->dtype);
    bool wide = p->from == DTYPE_F64 || p->dtype == DTYPE_F64;
    for (size_t i = 0; i < run->count; i++) {
        const uint8_t *base = run->base + i * from;
        uint8_t *pred = run->pred + i * to, none;
        uint8_t *lost = to <= 2 ? run->lost + i : &none;
        if (ints) {
            store_int(p->dtype, real_fixed(run, i, base), pred, lost);
            continue;
        }
        double real =
            wide ? real_double(run, i, base) : (double)real_float(run, i, base);
        if (!store_real(p->dtype, real, pred, lost))
            store_fallback(p, base, pred, lost);
    }
}

/* f32 of f32. */
void predict_join_f32(const struct predict_run *run)
{
    float step = predict_step(run->p), scale = predict_base_scale(run->p);
    for (size_t i = 0; i < run->count; i++) {
        uint32_t base = load_le32(run->base + 4 * i);
        float real = float_of_bits(base) * scale + (float)run->acc[i] * step;
        uint32_t bits = float_bits(real);
        bool finite = (bits & 0x7f800000) != 0x7f800000;
        store_le32(run->pred + 4 * i, finite ? bits : base);
    }
}

void predict_join_bf16(const struct predict_run *run)
{
    float step = predict_step(run->p), scale = predict_base_scale(run->p);
    for (size_t i = 0; i < run->count; i++) {
        uint32_t base = load_le16(run->base + 2 * i);
        float real =
            float_of_bits(base << 16) * scale + (float)run->acc[i] * step;
        uint32_t bits = float_bits(real), sign = 0 - (bits >> 31);
        uint32_t up = (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
        uint32_t over = ((bits - (up << 16)) ^ sign) - sign;
        uint32_t level = (over + 0x8000) >> 13;
        bool finite =
            (up & 0x7f80) != 0x7f80 && (bits & 0x7f800000) != 0x7f800000;
        store_le16(run->pred + 2 * i, (uint16_t)(finite ? up : base));
        level = level > 7 ? 7 : level;
        run->lost[i] = (uint8_t)(finite ? level : PREDICT_LOST_NONE);
    }
}

/* i8 of i8 or u8 of u8, with or without sums and scale. */
void predict_join_int8(const struct predict_run *run)
{
    bool is_signed = run->p->dtype == DTYPE_I8;
    int64_t most = is_signed ? 127 : 255, least = is_signed ? -128 : 0;
    int64_t scale = run->p->row_scale ? run->scale : FIXED_ONE;
    int64_t step = run->acc ? (int64_t)1 << (FIXED_BITS + run->p->shift) : 0;
    for (size_t i = 0; i < run->count; i++) {
        int64_t base = is_signed ? (int8_t)run->base[i] : run->base[i];
        int64_t real = base * scale + (run->acc ? run->acc[i] * step : 0);
        int64_t value = (real + FIXED_ONE / 2) >> FIXED_BITS;
        value = value > most ? most : value;
        value = value < least ? least : value;
        int64_t eighth =
            (real - value * FIXED_ONE + FIXED_ONE / 2) >> (FIXED_BITS - 3);
        eighth = eighth > 7 ? 7 : eighth;
        run->pred[i] = (uint8_t)value;
        run->lost[i] = (uint8_t)(eighth < 0 ? 0 : eighth);
    }
}

static void sum_plain(const uint32_t *u, const uint32_t *v, size_t stride,
                      unsigned pair_count, size_t columns, int32_t *acc)
{
    size_t count = (columns + PREDICT_TILE_STEP - 1) / PREDICT_TILE_STEP *
                   PREDICT_TILE_STEP;
    memset(acc, 0, count * sizeof(*acc));
    for (unsigned k = 0; k < pair_count; k++, v += stride) {
        int32_t a = (int16_t)u[k], b = (int16_t)(u[k] >> 16);
        for (size_t j = 0; j < count; j++) {
            uint32_t x = (uint32_t)(a * (int16_t)v[j]);
            uint32_t y = (uint32_t)(b * (int16_t)(v[j] >> 16));
            acc[j] = (int32_t)((uint32_t)acc[j] + x + y);
        }
    }
}

/* Two factors as they are multiplied together; the second of an odd rank's last
 * pair is 0. */
static uint32_t pair_of(const int16_t *factors, unsigned rank, unsigned k)
{
    uint32_t low = (uint16_t)factors[2 * k];
    uint32_t high = 2 * k + 1 < rank ? (uint16_t)factors[2 * k + 1] : 0;
    return low | high << 16;
}

void predict_lay_pairs(const int16_t *v, unsigned rank, unsigned from,
                       size_t columns, uint32_t *pairs)
{
    unsigned pair_count = (rank + 1) / 2;
    for (size_t j = 0; j < columns; j++, v += rank)
        for (unsigned k = from; k < pair_count; k++)
            pairs[k * PREDICT_TILE + j] = pair_of(v, rank, k);
}

static void lay_plain(const int16_t *v, unsigned rank, size_t columns,
                      uint32_t *pairs)
{
    predict_lay_pairs(v, rank, 0, columns, pairs);
}

const struct predict_kernel *predict_kernel_plain(void)
{
    static const struct predict_kernel kernel = {.sum = sum_plain,
                                                 .lay = lay_plain,
                                                 .join_f32 = predict_join_f32,
                                                 .join_bf16 = predict_join_bf16,
                                                 .join_int8 =
                                                     predict_join_int8};
    return &kernel;
}

/* Columns rounded up to whole tiles: tile after tile, in each pair after
 * pair. */
static size_t tile_count(const struct predict *p)
{
    return ((size_t)p->columns + PREDICT_TILE - 1) / PREDICT_TILE;
}

size_t predict_pairs_count(const struct predict *p)
{
    return tile_count(p) * PREDICT_TILE * ((p->rank + 1) / 2);
}

static void fill_pairs(const struct predict_kernel *kernel,
                       const struct predict *p, size_t column, uint32_t *pairs)
{
    unsigned pair_count = (p->rank + 1) / 2;
    size_t left = p->columns - column;
    size_t count = left < PREDICT_TILE ? left : PREDICT_TILE;
    kernel->lay(p->v + column * p->rank, p->rank, count, pairs);
    for (unsigned k = 0; k < pair_count && count < PREDICT_TILE; k++)
        memset(pairs + k * PREDICT_TILE + count, 0,
               (PREDICT_TILE - count) * sizeof(*pairs));
}

void predict_pairs(const struct predict *p, uint32_t *pairs)
{
    size_t step = (size_t)PREDICT_TILE * ((p->rank + 1) / 2);
    for (size_t t = 0; t < tile_count(p); t++)
        fill_pairs(predict_kernel_plain(), p, t * PREDICT_TILE,
                   pairs + t * step);
}

typedef void (*join_fn)(const struct predict_run *run);

static join_fn choose_join(const struct predict_kernel *kernel,
                           const struct predict *p)
{
    join_fn join = NULL;
    if (p->from != p->dtype)
        return predict_join_any;
    if (p->dtype == DTYPE_I8 || p->dtype == DTYPE_U8)
        join = kernel->join_int8;
    else if (p->row_scale)
        return predict_join_any;
    else if (p->dtype == DTYPE_F32)
        join = kernel->join_f32;
    else if (p->dtype == DTYPE_BF16)
        join = kernel->join_bf16;
    else if (p->dtype == DTYPE_F16)
        join = kernel->join_f16;
    return join ? join : predict_join_any;
}

/* Rows done at a time, so that all their tiles come from the cache; enough to
 * make laying out pairs worth while. */
#define ROWS_MAX        128u
#define ROWS_WITH_PAIRS 32u

/* A rectangle of rows x columns [first, end), whose elements lie in base, pred
 * and lost one row after the other. */
struct rect {
    uint64_t row;
    size_t rows, first, end;
    const uint8_t *base;
    uint8_t *pred, *lost;
};

/* One row's pairs. */
static inline void row_pairs(const int16_t *u, unsigned rank, uint32_t *pairs)
{
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    pairs[rank / 2] = 0;
    memcpy(pairs, u, rank * sizeof(*u));
#else
    for (unsigned k = 0; k < (rank + 1) / 2; k++)
        pairs[k] = pair_of(u, rank, k);
#endif
}

/* Columns [column, column + run->count) of each row; pairs of its tile. */
static void do_tile(const struct predict_kernel *kernel, const struct rect *r,
                    struct predict_run *run, const uint32_t *pairs,
                    size_t column)
{
    const struct predict *p = run->p;
    join_fn join = choose_join(kernel, p);
    size_t from = dtype_bits(p->from) / 8, to = dtype_bits(p->dtype) / 8;
    unsigned pair_count = (p->rank + 1) / 2;
    uint32_t u[PREDICT_RANK_MAX / 2 + 1];
    int32_t acc[PREDICT_TILE];
    run->acc = p->rank ? acc : NULL;
    if (!p->rank && join != predict_join_any && dtype_bits(p->dtype) > 8) {
        memset(acc, 0, sizeof(acc));
        run->acc = acc;
    }
    for (size_t i = 0; i < r->rows; i++) {
        size_t at = i * (r->end - r->first) + column - r->first;
        uint64_t row = r->row + i;
        if (pair_count) {
            row_pairs(p->u + row * p->rank, p->rank, u);
            kernel->sum(u, pairs + column % PREDICT_TILE, PREDICT_TILE,
                        pair_count, run->count, acc);
        }
        run->scale = p->row_scale ? p->row_scale[row] : 0;
        run->base = r->base + at * from;
        run->pred = r->pred + at * to;
        run->lost = r->lost ? r->lost + at : NULL;
        join(run);
    }
}

static void do_rect(const struct predict_kernel *kernel,
                    const struct predict *p, const struct rect *r)
{
    /* Sums reach past the last column of a run that begins within a tile. */
    uint32_t pairs[PREDICT_TILE * PREDICT_RANK_MAX / 2 + PREDICT_TILE_STEP];
    size_t step = (size_t)PREDICT_TILE * ((p->rank + 1) / 2);
    memset(pairs + step, 0, PREDICT_TILE_STEP * sizeof(*pairs));
    for (size_t column = r->first; column < r->end;) {
        size_t tile = column / PREDICT_TILE, left = r->end - column;
        struct predict_run run = {.p = p};
        run.count = PREDICT_TILE - column % PREDICT_TILE;
        run.count = run.count < left ? run.count : left;
        const uint32_t *use = pairs;
        if (p->pairs && column % PREDICT_TILE == 0)
            use = p->pairs + tile * step;
        else if (p->pairs)
            memcpy(pairs, p->pairs + tile * step, step * sizeof(*pairs));
        else if (p->rank)
            fill_pairs(kernel, p, tile * PREDICT_TILE, pairs);
        do_tile(kernel, r, &run, use, column);
        column += run.count;
    }
}

void predict_elems_with(const struct predict_kernel *kernel,
                        const struct predict *p, uint64_t first_elem,
                        const uint8_t *base, size_t count, uint8_t *pred,
                        uint8_t *lost)
{
    size_t from = dtype_bits(p->from) / 8, to = dtype_bits(p->dtype) / 8;
    if (predict_is_plain(p)) {
        if (pred != base)
            memmove(pred, base, count * to);
        return;
    }
    size_t most = p->pairs ? ROWS_WITH_PAIRS : ROWS_MAX;
    while (count) {
        struct rect r = {.row = first_elem / p->columns,
                         .rows = 1,
                         .first = (size_t)(first_elem % p->columns),
                         .end = p->columns,
                         .base = base,
                         .pred = pred,
                         .lost = lost};
        if (!r.first && count >= p->columns)
            r.rows = count / p->columns < most ? count / p->columns : most;
        else if (count < r.end - r.first)
            r.end = r.first + count;
        do_rect(kernel, p, &r);
        size_t done = r.rows * (r.end - r.first);
        base += done * from;
        pred += done * to;
        lost = lost ? lost + done : NULL;
        first_elem += done;
        count -= done;
    }
}

void predict_elems(const struct predict *p, uint64_t first_elem,
                   const uint8_t *base, size_t count, uint8_t *pred,
                   uint8_t *lost)
{
    const struct predict_kernel *kernel = predict_kernel_avx2();
    kernel = kernel ? kernel : predict_kernel_neon();
    predict_elems_with(kernel ? kernel : predict_kernel_plain(), p, first_elem,
                       base, count, pred, lost);
}
