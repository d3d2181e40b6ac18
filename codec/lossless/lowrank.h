/* The fit of low rank predictions: finds small integer factors u, v such that
 * base + u v^T comes near the target, when that pays. For encoders; what it
 * answers may differ from machine to machine, a decoder repeats none of it.
 *
 * A randomised range finder with one power iteration finds the leading right
 * singular vectors of the difference; the rank is chosen by the entropy of the
 * residual in a sample plus what the factors cost; the vectors are rounded to
 * integers and u is fitted anew, by least squares, to what they have become.
 *
 * Ref: Halko, Martinsson, Tropp, arXiv:0909.4061 (range finder). */
#ifndef CODEC_LOSSLESS_LOWRANK_H
#define CODEC_LOSSLESS_LOWRANK_H

#include "codec/base/source.h"
#include "codec/base/status.h"
#include "codec/lossless/predict.h"

/* A record of two sources, read several times in blocks of rows. */
struct lowrank_input {
    const struct source *base, *target;
    uint64_t base_offset, target_offset; /* of the first elements */
    enum dtype from, dtype;              /* of base and target */
    uint64_t rows;
    uint32_t columns;
    /* NULL, or one a row by which the base is multiplied first, as in struct
     * predict. */
    const int32_t *row_scale;
    int scale_shift;
    float base_scale; /* the same; not of f64 */
    /* Further passes over the data for slightly better directions: 1 saves 0.1
     * % of an update and takes half as long again; more is hardly better. */
    unsigned effort;
};

struct lowrank {
    unsigned rank; /* 0: low rank does not pay, nothing else is set */
    int shift;
    uint64_t rows;
    uint32_t columns;
    int16_t *u, *v; /* owned; rank a row, rank a column. The most important
                       component is first */
    /* Estimates of all elements' coded bits, the latter with factors. */
    uint64_t plain_bits, bits;
};

/* Fits at most rank_max components (also limited by PREDICT_RANK_MAX, rows,
 * columns and PREDICT_FACTOR_BYTES_MAX).
 *
 * out  set on success; release with lowrank_deinit
 *
 * Takes at most 24 MiB while it runs, whatever the size. UNSUPPORTED types are
 * no error: rank is 0. NO_MEMORY, or what the sources answer. Reentrant. */
enum status lowrank_fit(const struct lowrank_input *input, unsigned rank_max,
                        struct lowrank *out) MUST_CHECK;

/* Also of zeroes. */
void lowrank_deinit(struct lowrank *lowrank);

/* Keeps the first rank components (<= lowrank->rank): a cheaper candidate, a
 * little worse than a fit of that rank. The estimates are left as they are. */
void lowrank_truncate(struct lowrank *lowrank, unsigned rank);

/* The prediction these factors make; borrows from lowrank. */
struct predict lowrank_predict(const struct lowrank *lowrank, enum dtype from,
                               enum dtype dtype);

/* How a tensor of this shape is best seen as a matrix: the split of its
 * dimensions that makes it most nearly square. False when it has less than 16
 * rows or 8 columns in any view, or columns beyond 32 bits. */
bool lowrank_view(const uint64_t *shape, uint32_t shape_rank, uint64_t *rows,
                  uint32_t *columns);

/* The same with other least sides than 16 rows and 8 columns. */
bool lowrank_view_from(const uint64_t *shape, uint32_t shape_rank,
                       uint64_t rows_min, uint32_t columns_min, uint64_t *rows,
                       uint32_t *columns);

#endif
