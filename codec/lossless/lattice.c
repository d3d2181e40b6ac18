/* Codings of the lattice coder in bits; levels and points. */
#include "codec/lossless/lattice.h"

#include "codec/lossless/columns_field.h"
#include "codec/lossless/small_bits.h"

#include <assert.h>
#include <float.h>
#include <math.h>

static_assert(FLT_EVAL_METHOD == 0,
              "points are made of single operations in their own formats");

#define OCTAVE_BITS 8u

bool lattice_dtype_ok(enum dtype dtype)
{
    return dtype == DTYPE_F32 || dtype == DTYPE_BF16 || dtype == DTYPE_F16 ||
           dtype == DTYPE_F64;
}

void lattice_reduce(struct lattice_coding *coding)
{
    while (coding->density && !(coding->qp & 1)) {
        coding->density--;
        coding->qp = (int16_t)(coding->qp / 2);
    }
}

void lattice_coding_write(const struct lattice_coding *coding,
                          struct writer *wr)
{
    struct bit_writer bw;
    int m = 1 << coding->density;
    int octave = lattice_octave(coding->qp, coding->density);
    bit_writer_init(&bw, wr);
    bit_writer_put(&bw, coding->has_pred, 1);
    bit_writer_put(&bw, coding->has_residual, 1);
    bit_writer_put(&bw, (uint32_t)(octave - LATTICE_OCTAVE_MIN), OCTAVE_BITS);
    bit_writer_put(&bw, coding->density, 3);
    bit_writer_put(&bw, (uint32_t)(coding->qp - octave * m) >> 1,
                   coding->density ? coding->density - 1u : 0);
    columns_field_put(&bw, coding->columns);
    bit_writer_finish(&bw);
}

enum status lattice_coding_read(struct reader *rd,
                                struct lattice_coding *coding)
{
    struct bit_reader br;
    bit_reader_init(&br, rd);
    *coding = (struct lattice_coding){0};
    coding->has_pred = bit_reader_get(&br, 1);
    coding->has_residual = bit_reader_get(&br, 1);
    int octave = (int)bit_reader_get(&br, OCTAVE_BITS) + LATTICE_OCTAVE_MIN;
    coding->density = (uint8_t)bit_reader_get(&br, 3);
    int qp = octave * (1 << coding->density);
    if (coding->density)
        qp += 2 * (int)bit_reader_get(&br, coding->density - 1u) + 1;
    if (!lattice_step_ok(qp, coding->density))
        reader_fail(rd, STATUS_CORRUPT);
    coding->qp = (int16_t)qp;
    coding->columns = columns_field_get(&br, LATTICE_COLUMNS_MAX);
    bit_reader_finish(&br);
    if (reader_status(rd))
        *coding = (struct lattice_coding){0};
    return reader_status(rd);
}

/* ---- points ---- */

static inline uint32_t point_f32(uint32_t pred, int32_t level, float step)
{
    float move = (float)level * step;
    uint32_t bits = float_bits(float_of_bits(pred) + move);
    return (bits >> 23 & 255) == 255 ? pred : bits;
}

static inline uint64_t point_f64(uint64_t pred, int32_t level, float step)
{
    double v, move = (double)level * (double)step;
    uint64_t bits;
    memcpy(&v, &pred, sizeof(v));
    v += move;
    memcpy(&bits, &v, sizeof(bits));
    return (bits >> 52 & 2047) == 2047 ? pred : bits;
}

static inline uint32_t point_narrow(const struct narrow_float *f, uint32_t pred,
                                    int32_t level, float step)
{
    uint32_t bits;
    uint8_t lost;
    float move = (float)level * step;
    float v = narrow_float_widen(f, pred) + move;
    return narrow_float_round(f, v, &bits, &lost) ? bits : pred;
}

/* The point of level, which is not 0. */
static inline uint64_t point_of(enum dtype dtype, uint64_t pred, int32_t level,
                                float step)
{
    struct narrow_float f;
    if (dtype == DTYPE_F32)
        return point_f32((uint32_t)pred, level, step);
    if (dtype == DTYPE_F64)
        return point_f64(pred, level, step);
    (void)narrow_float_of(dtype, &f);
    return point_narrow(&f, (uint32_t)pred, level, step);
}

static inline void points_as(const struct lattice_coding *coding,
                             enum dtype dtype, const int32_t *levels,
                             size_t count, uint8_t *out, unsigned width)
{
    float step = lattice_step(coding->qp, coding->density);
    size_t i = 0;
    while (i < count) {
        if (i + 8 <= count) {
            int32_t any = 0;
            for (size_t k = 0; k < 8; k++)
                any |= levels[i + k];
            if (!any) {
                i += 8;
                continue;
            }
        }
        size_t end = i + 8 <= count ? i + 8 : count;
        for (; i < end; i++) {
            uint8_t *at = out + i * (width / 8);
            uint64_t pred = small_load(at, width);
            if (levels[i])
                small_store(at, point_of(dtype, pred, levels[i], step), width);
        }
    }
}

#define LATTICE_AS(dtype, what)      \
    do {                             \
        if (dtype == DTYPE_F32)      \
            what(DTYPE_F32, 32);     \
        else if (dtype == DTYPE_F64) \
            what(DTYPE_F64, 64);     \
        else if (dtype == DTYPE_F16) \
            what(DTYPE_F16, 16);     \
        else                         \
            what(DTYPE_BF16, 16);    \
    } while (0)

void lattice_points(const struct lattice_coding *coding, enum dtype dtype,
                    const uint8_t *pred, const int32_t *levels, size_t count,
                    uint8_t *out)
{
    size_t size = count * (dtype_bits(dtype) / 8);
    if (!pred)
        memset(out, 0, size);
    else if (out != pred)
        memcpy(out, pred, size);
#define POINTS_AS(type, width) \
    points_as(coding, type, levels, count, out, width)
    LATTICE_AS(dtype, POINTS_AS);
#undef POINTS_AS
}

/* ---- levels ---- */

static inline double value_of(enum dtype dtype, uint64_t bits)
{
    struct narrow_float f;
    double v;
    if (dtype == DTYPE_F32)
        return (double)float_of_bits((uint32_t)bits);
    if (dtype == DTYPE_F64) {
        memcpy(&v, &bits, sizeof(v));
        return v;
    }
    (void)narrow_float_of(dtype, &f);
    return (double)narrow_float_widen(&f, (uint32_t)bits);
}

/* The nearest level; 0 where there is none. */
static inline int32_t level_of(enum dtype dtype, uint64_t pred, uint64_t target,
                               double per_step)
{
    double v = (value_of(dtype, target) - value_of(dtype, pred)) * per_step;
    if (!(v < LATTICE_LEVEL_MAX && v > -LATTICE_LEVEL_MAX))
        return 0;
    return (int32_t)lrint(v);
}

static inline size_t levels_as(const struct lattice_coding *coding,
                               const uint8_t *from, const uint8_t *target,
                               size_t count, int32_t *levels,
                               int64_t *residuals, enum dtype dtype,
                               unsigned width)
{
    float step = lattice_step(coding->qp, coding->density);
    double per_step = 1 / (double)step;
    unsigned mant = small_format(dtype).mant;
    size_t off = 0;
    for (size_t i = 0; i < count; i++) {
        size_t at = i * (width / 8);
        uint64_t p = from ? small_load(from + at, width) : 0;
        uint64_t t = small_load(target + at, width), point = p;
        int64_t residual = 0;
        levels[i] = 0;
        if (t != p) {
            levels[i] = level_of(dtype, p, t, per_step);
            if (levels[i])
                point = point_of(dtype, p, levels[i], step);
        }
        if (point != t) {
            off++;
            residual = (int64_t)(small_ordered(t, width, mant) -
                                 small_ordered(point, width, mant));
            residual =
                (int64_t)((uint64_t)residual << (64 - width)) >> (64 - width);
        }
        if (residuals)
            residuals[i] = residual;
    }
    return off;
}

double lattice_value(enum dtype dtype, uint64_t bits)
{
    return value_of(dtype, bits);
}

bool lattice_is_point(enum dtype dtype, uint64_t pred, uint64_t target, int qp,
                      unsigned density)
{
    float step = lattice_step(qp, density);
    int32_t level = level_of(dtype, pred, target, 1 / (double)step);
    return level ? point_of(dtype, pred, level, step) == target
                 : pred == target;
}

size_t lattice_levels(const struct lattice_coding *coding, enum dtype dtype,
                      const uint8_t *pred, const uint8_t *target, size_t count,
                      int32_t *levels, int64_t *residuals)
{
    size_t off;
#define LEVELS_AS(type, width) \
    off = levels_as(coding, pred, target, count, levels, residuals, type, width)
    LATTICE_AS(dtype, LEVELS_AS);
#undef LEVELS_AS
    return off;
}
