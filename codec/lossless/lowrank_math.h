/* Small dense linear algebra for the fit of low rank predictions. Nothing a
 * decoder repeats depends on it. Private to lowrank_*. */
#ifndef CODEC_LOSSLESS_LOWRANK_MATH_H
#define CODEC_LOSSLESS_LOWRANK_MATH_H

#include <stdbool.h>
#include <stddef.h>

/* Columns of the thin matrices come in multiples of this, padded by zeros. */
#define LOWRANK_STEP      16u
#define LOWRANK_WIDTH_MAX 80u

/* c (count x width) += a (count x inner) b (inner x width); width is a multiple
 * of LOWRANK_STEP. Element (i, t) of a is a[i * a_row + t * a_col]. */
void lowrank_multiply(size_t count, size_t inner, size_t width, const float *a,
                      size_t a_row, size_t a_col, const float *b, float *c);

/* g (width x width) = a^T b, both count x stride; width <= stride. */
void lowrank_gram(size_t count, size_t width, size_t stride, const float *a,
                  const float *b, double *g);

/* Replaces a symmetric positive matrix by its Cholesky factor L (below and on
 * the diagonal), after adding ridge times the mean diagonal to the diagonal.
 * False when it is not positive. */
bool lowrank_cholesky(size_t width, double *g, double ridge);

/* inverse (width x stride, padded by zeros) = the transposed inverse of L:
 * a times it has orthonormal columns if L is the Cholesky factor of a's Gram
 * matrix. */
void lowrank_whitener(size_t width, size_t stride, const double *l,
                      float *inverse);

/* inverse (width x stride, padded by zeros) = the inverse of L L^T. */
void lowrank_inverse(size_t width, size_t stride, const double *l,
                     float *inverse);

/* Eigenvalues of the symmetric g, falling, in value; eigenvector k in column k
 * of vector. g is overwritten; work holds 2 width numbers. */
void lowrank_eigen(size_t width, double *g, double *value, double *vector,
                   double *work);

#endif
