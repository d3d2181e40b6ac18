/* Predictions: how the elements of a base become what a coder codes the target
 * against. Plain (the base itself), the base of another type, all or each row
 * times a factor, plus a matrix of low rank: sums of products of small integers
 * with one power-of-two step. The arithmetic is exact or one IEEE operation at
 * a time, so a prediction has the same bits on every machine.
 *
 * codec/FORMAT.md, "Predictions", says what every field means to the bit. */
#ifndef CODEC_LOSSLESS_PREDICT_H
#define CODEC_LOSSLESS_PREDICT_H

#include "codec/model/dtype.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PREDICT_RANK_MAX 64u
/* Floats. Of integers only -24 .. 0 is allowed. */
#define PREDICT_SHIFT_MIN     (-100)
#define PREDICT_SHIFT_MAX     60
#define PREDICT_INT_SHIFT_MIN (-24)
#define PREDICT_INT_SHIFT_MAX 0
/* Of row scales, from or to floats. */
#define PREDICT_SCALE_SHIFT_MIN (-60)
#define PREDICT_SCALE_SHIFT_MAX 30
/* Of row scales from integers to integers. */
#define PREDICT_INT_SCALE_SHIFT (-24)
/* Of a scale of the whole base. */
#define PREDICT_BASE_SCALE_MIN 0x1p-32f
#define PREDICT_BASE_SCALE_MAX 0x1p32f
/* Most bytes of u and v together. */
#define PREDICT_FACTOR_BYTES_MAX ((uint64_t)1 << 20)
/* What lost says of an element without a real-valued prediction. */
#define PREDICT_LOST_NONE 3u

/* How base elements become predictions. */
struct predict {
    enum dtype dtype;         /* of the target, of what comes out */
    enum dtype from;          /* of the base's elements; == dtype unless cast */
    uint32_t columns;         /* elements a row; 1 .. */
    unsigned rank;            /* 0: none; <= PREDICT_RANK_MAX */
    int shift;                /* step of the low rank sum is 2^shift */
    const int16_t *u;         /* rank a row, rows counted from the record's
                                 first element */
    const int16_t *v;         /* rank a column */
    const int32_t *row_scale; /* NULL: none; else one a row, which stands for
                                 row_scale * 2^scale_shift */
    int scale_shift;
    float base_scale;      /* 0: none; else the base is multiplied by it. Not 1,
                              nor with row_scale or from integers to integers */
    const uint32_t *pairs; /* NULL, or v as predict_pairs lays it out: saves
                              time when runs are shorter than about 32 rows */
};

/* True when such a prediction exists: the types, the rank, the shifts, and
 * columns agree with the limits above. Looks at no pointer but whether
 * row_scale is NULL. Without rank, scale and cast any dtype will do. */
bool predict_ok(const struct predict *p);

/* True for the types that low rank, scale and casts are for: f64 f32 f16 bf16
 * f8_e5m2 f8_e4m3 i8 u8 i16 u16. */
bool predict_dtype_ok(enum dtype dtype);

/* True when the prediction is the base itself. */
bool predict_is_plain(const struct predict *p);

/* True when predict_elems fills lost: a dtype of 8 or 16 bits, not plain. */
bool predict_has_lost(const struct predict *p);

/* 32-bit words that predict_pairs fills. */
size_t predict_pairs_count(const struct predict *p);
void predict_pairs(const struct predict *p, uint32_t *pairs);

/* Predicts count elements from first_elem on (counted from the record's first
 * element, which begins row 0).
 *
 * p     predict_ok, and u, v, row_scale cover the rows and columns
 * base  count elements of p->from, little-endian, at any alignment
 * pred  out: count elements of p->dtype; may be base itself when both types
 *       have the same size
 * lost  out: count bytes of 0 .. 7, unless predict_has_lost is false (then it
 *       may be NULL and is left alone)
 *
 * Long runs of whole rows are fastest. Allocates nothing; uses 20 kB of
 * stack. */
void predict_elems(const struct predict *p, uint64_t first_elem,
                   const uint8_t *base, size_t count, uint8_t *pred,
                   uint8_t *lost);

#endif
