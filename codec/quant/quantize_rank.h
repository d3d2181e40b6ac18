/* Low rank parts of quantised differences: the directions that hold most of a
 * difference, and integer factors for the first of them, as coarse as the step
 * of the levels asks for. The sum of products then stands for most of the
 * difference; levels take what is left, if it is worth them.
 *
 * Ref: Halko, Martinsson, Tropp, arXiv:0909.4061 (range finder). */
#ifndef CODEC_QUANT_QUANTIZE_RANK_H
#define CODEC_QUANT_QUANTIZE_RANK_H

#include "codec/base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Orthonormal directions in the row space of a matrix. */
struct quantize_basis {
    size_t columns;
    unsigned count; /* 0: none */
    float *right;   /* owned; direction k at right[k * columns ..] */
    double *value;  /* owned; lengths of the matrix along them, falling */
};

/* How a tensor is seen as a matrix: the split of its dimensions that makes it
 * most nearly square. False when no split has four rows and four columns. */
bool quantize_rank_view(const uint64_t *shape, uint32_t shape_rank,
                        size_t *rows, size_t *columns);

/* Most components that factors of such a matrix may have, and may pay. */
unsigned quantize_rank_limit(size_t rows, size_t columns, unsigned most);

/* Finds the leading directions, at most count of them (as quantize_rank_limit
 * has it) of rows times columns numbers. NO_MEMORY: three thin matrices of
 * count + 8 (at most 80) floats a row or column. */
enum status quantize_basis_find(const float *diff, size_t rows, size_t columns,
                                unsigned count, struct quantize_basis *out)
    MUST_CHECK;
void quantize_basis_deinit(struct quantize_basis *basis);

struct quantize_factors {
    unsigned rank; /* 0: none; as codec/lossless/predict.h has all of these */
    int shift;
    size_t rows, columns;
    int16_t *u, *v; /* owned */
};

/* Factors of the first rank directions for the given rows of the matrix, which
 * may be all or some: v is the same, u the least squares fit to it.
 *
 * step  a component's factors are so coarse that their rounding is like that
 *       of elements put in such steps
 * out   rank 0 when there are no such factors (a component vanishes, or a sum
 *       might overflow); deinit
 *
 * NO_MEMORY */
enum status quantize_factors_make(const struct quantize_basis *basis,
                                  unsigned rank, double step, const float *diff,
                                  size_t rows, struct quantize_factors *out)
    MUST_CHECK;
void quantize_factors_deinit(struct quantize_factors *factors);

/* About the bits of the coded factors, were they those of so many rows. */
double quantize_factors_bits(const struct quantize_factors *factors,
                             size_t rows);

/* out = row's share of the sum, columns numbers. */
void quantize_factors_row(const struct quantize_factors *factors, size_t row,
                          float *out);

#endif
