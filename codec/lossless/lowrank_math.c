/* Products of thin matrices, plain and with AVX2 and FMA, and textbook
 * factorisations of small symmetric ones. */
#include "codec/lossless/lowrank_math.h"

#include <math.h>
#include <string.h>

/* Inner dimension done at a time, so that its part of b stays in the cache. */
#define INNER_BLOCK 128u
/* Rows of c that the vector loop keeps in registers. */
#define ROWS 6u

/* From here: inner <= INNER_BLOCK. */
static void multiply_plain(size_t count, size_t inner, size_t width,
                           const float *a, size_t a_row, size_t a_col,
                           const float *b, float *c)
{
    for (size_t i = 0; i < count; i++) {
        for (size_t t = 0; t < inner; t++) {
            float x = a[i * a_row + t * a_col];
            for (size_t w = 0; w < width; w += LOWRANK_STEP)
                for (size_t k = 0; k < LOWRANK_STEP; k++)
                    c[i * width + w + k] += x * b[t * width + w + k];
        }
    }
}

#if defined(__x86_64__) && defined(__GNUC__)
#    include <immintrin.h>

/* count <= ROWS is a constant where this is inlined. */
__attribute__((target("avx2,fma"), always_inline)) static inline void
tile(size_t count, size_t inner, size_t width, const float *a, size_t a_row,
     size_t a_col, const float *b, float *c)
{
    __m256 low[ROWS], high[ROWS];
    for (size_t i = 0; i < count; i++) {
        low[i] = _mm256_loadu_ps(c + i * width);
        high[i] = _mm256_loadu_ps(c + i * width + 8);
    }
    for (size_t t = 0; t < inner; t++) {
        __m256 x = _mm256_loadu_ps(b + t * width);
        __m256 y = _mm256_loadu_ps(b + t * width + 8);
#    pragma GCC unroll 6
        for (size_t i = 0; i < count; i++) {
            __m256 v = _mm256_broadcast_ss(a + i * a_row + t * a_col);
            low[i] = _mm256_fmadd_ps(v, x, low[i]);
            high[i] = _mm256_fmadd_ps(v, y, high[i]);
        }
    }
    for (size_t i = 0; i < count; i++) {
        _mm256_storeu_ps(c + i * width, low[i]);
        _mm256_storeu_ps(c + i * width + 8, high[i]);
    }
}

__attribute__((target("avx2,fma"))) static void
multiply_fma(size_t count, size_t inner, size_t width, const float *a,
             size_t a_row, size_t a_col, const float *b, float *c)
{
    size_t i = 0;
    for (; i + ROWS <= count; i += ROWS)
        for (size_t w = 0; w < width; w += LOWRANK_STEP)
            tile(ROWS, inner, width, a + i * a_row, a_row, a_col, b + w,
                 c + i * width + w);
    for (; i < count; i++)
        for (size_t w = 0; w < width; w += LOWRANK_STEP)
            tile(1, inner, width, a + i * a_row, a_row, a_col, b + w,
                 c + i * width + w);
}

static bool has_fma(void)
{
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}
#else
#    define multiply_fma multiply_plain
static bool has_fma(void)
{
    return false;
}
#endif

void lowrank_multiply(size_t count, size_t inner, size_t width, const float *a,
                      size_t a_row, size_t a_col, const float *b, float *c)
{
    bool fma = has_fma();
    for (size_t t = 0; t < inner; t += INNER_BLOCK) {
        size_t now = inner - t < INNER_BLOCK ? inner - t : INNER_BLOCK;
        (fma ? multiply_fma : multiply_plain)(count, now, width, a + t * a_col,
                                              a_row, a_col, b + t * width, c);
    }
}

void lowrank_gram(size_t count, size_t width, size_t stride, const float *a,
                  const float *b, double *g)
{
    float part[LOWRANK_WIDTH_MAX * LOWRANK_WIDTH_MAX];
    memset(g, 0, width * width * sizeof(*g));
    for (size_t at = 0; at < count; at += INNER_BLOCK) {
        size_t now = count - at < INNER_BLOCK ? count - at : INNER_BLOCK;
        memset(part, 0, width * stride * sizeof(*part));
        lowrank_multiply(width, now, stride, a + at * stride, 1, stride,
                         b + at * stride, part);
        for (size_t i = 0; i < width; i++)
            for (size_t j = 0; j < width; j++)
                g[i * width + j] += (double)part[i * stride + j];
    }
}

bool lowrank_cholesky(size_t width, double *g, double ridge)
{
    double trace = 0;
    for (size_t k = 0; k < width; k++)
        trace += g[k * width + k];
    for (size_t k = 0; k < width; k++)
        g[k * width + k] += ridge * trace / (double)width;
    for (size_t j = 0; j < width; j++) {
        for (size_t i = j; i < width; i++) {
            double sum = g[i * width + j];
            for (size_t k = 0; k < j; k++)
                sum -= g[i * width + k] * g[j * width + k];
            if (i == j && !(sum > 0))
                return false;
            g[i * width + j] = i == j ? sqrt(sum) : sum / g[j * width + j];
        }
    }
    return true;
}

/* Column c of the inverse of L, from its first element that is not zero. */
static void inverse_column(size_t width, const double *l, size_t c, double *x)
{
    for (size_t i = c; i < width; i++) {
        double sum = i == c ? 1 : 0;
        for (size_t k = c; k < i; k++)
            sum -= l[i * width + k] * x[k];
        x[i] = sum / l[i * width + i];
    }
}

void lowrank_whitener(size_t width, size_t stride, const double *l,
                      float *inverse)
{
    double x[LOWRANK_WIDTH_MAX];
    memset(inverse, 0, width * stride * sizeof(*inverse));
    for (size_t c = 0; c < width; c++) {
        inverse_column(width, l, c, x);
        for (size_t i = c; i < width; i++)
            inverse[c * stride + i] = (float)x[i];
    }
}

void lowrank_inverse(size_t width, size_t stride, const double *l,
                     float *inverse)
{
    double x[LOWRANK_WIDTH_MAX];
    memset(inverse, 0, width * stride * sizeof(*inverse));
    for (size_t c = 0; c < width; c++) {
        memset(x, 0, sizeof(x));
        inverse_column(width, l, c, x);
        for (size_t k = width; k-- > 0;) {
            for (size_t j = k + 1; j < width; j++)
                x[k] -= x[j] * l[j * width + k];
            x[k] /= l[k * width + k];
            inverse[c * stride + k] = (float)x[k];
        }
    }
}

/* Householder reflections make g tridiagonal: diagonal d, e[i] beside d[i] and
 * d[i - 1]. q becomes the product of the reflections. */
static void tridiagonal(size_t n, double *g, double *q, double *d, double *e)
{
    memset(q, 0, n * n * sizeof(*q));
    for (size_t i = 0; i < n; i++)
        q[i * n + i] = 1;
    for (size_t c = 0; c + 2 < n; c++) {
        double *v = d; /* d is filled at the end */
        double norm = 0;
        for (size_t i = c + 1; i < n; i++) {
            v[i] = g[i * n + c];
            norm += v[i] * v[i];
        }
        double beta = v[c + 1] > 0 ? -sqrt(norm) : sqrt(norm);
        double below = norm - v[c + 1] * v[c + 1];
        if (!(below > 0))
            continue;
        v[c + 1] -= beta;
        double scale = 2 / (below + v[c + 1] * v[c + 1]);
        /* g = h g h with h = 1 - scale v v^T; p = scale g v in e */
        double inner = 0;
        for (size_t i = c; i < n; i++) {
            double sum = 0;
            for (size_t j = c + 1; j < n; j++)
                sum += g[i * n + j] * v[j];
            e[i] = scale * sum;
            inner += i > c ? e[i] * v[i] : 0;
        }
        double half = scale * inner / 2;
        for (size_t i = c + 1; i < n; i++)
            e[i] -= half * v[i];
        for (size_t i = c + 1; i < n; i++)
            for (size_t j = c + 1; j < n; j++)
                g[i * n + j] -= v[i] * e[j] + e[i] * v[j];
        g[(c + 1) * n + c] = g[c * n + c + 1] = beta;
        for (size_t i = c + 2; i < n; i++)
            g[i * n + c] = g[c * n + i] = 0;
        for (size_t i = 0; i < n; i++) {
            double sum = 0;
            for (size_t j = c + 1; j < n; j++)
                sum += q[i * n + j] * v[j];
            for (size_t j = c + 1; j < n; j++)
                q[i * n + j] -= scale * sum * v[j];
        }
    }
    for (size_t i = 0; i < n; i++) {
        d[i] = g[i * n + i];
        e[i] = i ? g[i * n + i - 1] : 0;
    }
}

/* One implicit QL step with shift on rows first .. last of a tridiagonal
 * matrix; q (transposed: row k is vector k) follows. */
static void ql_step(size_t n, size_t first, size_t last, double *d, double *e,
                    double *qt)
{
    double g = (d[first + 1] - d[first]) / (2 * e[first + 1]);
    double r = hypot(g, 1);
    g = d[last] - d[first] + e[first + 1] / (g + (g >= 0 ? r : -r));
    double s = 1, c = 1, p = 0;
    for (size_t i = last; i-- > first;) {
        double f = s * e[i + 1], b = c * e[i + 1];
        r = sqrt(f * f + g * g);
        if (i + 2 <= last)
            e[i + 2] = r;
        if (!(r > 0)) {
            d[i + 1] -= p;
            return;
        }
        s = f / r;
        c = g / r;
        g = d[i + 1] - p;
        r = (d[i] - g) * s + 2 * c * b;
        p = s * r;
        d[i + 1] = g + p;
        g = c * r - b;
        double *x = qt + i * n, *y = x + n;
        for (size_t k = 0; k < n; k++) {
            double t = y[k];
            y[k] = s * x[k] + c * t;
            x[k] = c * x[k] - s * t;
        }
    }
    d[first] -= p;
    e[first + 1] = g;
}

static void sort_falling(size_t n, double *value, double *qt)
{
    for (size_t i = 0; i < n; i++) {
        size_t best = i;
        for (size_t j = i + 1; j < n; j++)
            best = value[j] > value[best] ? j : best;
        double t = value[i];
        value[i] = value[best];
        value[best] = t;
        for (size_t k = 0; k < n && best != i; k++) {
            t = qt[i * n + k];
            qt[i * n + k] = qt[best * n + k];
            qt[best * n + k] = t;
        }
    }
}

static void transpose(size_t n, double *m)
{
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < i; j++) {
            double t = m[i * n + j];
            m[i * n + j] = m[j * n + i];
            m[j * n + i] = t;
        }
}

void lowrank_eigen(size_t n, double *g, double *value, double *vector,
                   double *work)
{
    double *e = work;
    tridiagonal(n, g, vector, value, e);
    transpose(n, vector);
    for (size_t first = 0; first < n; first++) {
        for (unsigned round = 0; round < 60; round++) {
            size_t last = first;
            for (; last + 1 < n; last++) {
                double near = fabs(value[last]) + fabs(value[last + 1]);
                if (fabs(e[last + 1]) <= 1e-15 * near)
                    break;
            }
            if (last == first)
                break;
            ql_step(n, first, last, value, e, vector);
        }
    }
    sort_falling(n, value, vector);
    transpose(n, vector);
}
