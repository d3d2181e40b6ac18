/* Directions once, then factors of a few ranks, each judged with what it
 * leaves. */
#include "codec/quant/rd_lowrank.h"

#include "codec/quant/qp.h"
#include "codec/quant/quantize_rank.h"
#include "codec/quant/quantize_rate.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Steps of factors for one of the levels, as codec/quant/quantize.c has it. */
#define COARSE 1.4
/* Ranks that may be worse, one after the other, before the search ends. */
#define PATIENCE 2u

static const uint8_t ranks[] = {1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64};
#define RANK_COUNT (sizeof(ranks) / sizeof(ranks[0]))

struct search {
    const struct rd_lowrank_params *params;
    struct rd_lowrank *out;
    size_t count;
    struct quantize_basis basis;
    float *product, *rest;
    int32_t *levels;
    struct quantize_rate *rate;
    double best;
};

void rd_lowrank_deinit(struct rd_lowrank *low)
{
    free(low->g);
    free(low->h);
    free(low->product);
    memset(low, 0, sizeof(*low));
}

/* qp of 2^octave. */
static int qp_of_octave(int octave, unsigned density)
{
    return octave * (1 << density);
}

/* False where a step has no qp. */
static bool share_shift(const struct rd_lowrank_params *p, int shift,
                        struct rd_lowrank *low)
{
    int a = shift / 2, b = shift - shift / 2;
    low->g_qp = qp_of_octave(a, p->density);
    low->h_qp = qp_of_octave(b, p->density);
    int least = low->g_qp < low->h_qp ? low->g_qp : low->h_qp;
    int most = low->g_qp > low->h_qp ? low->g_qp : low->h_qp;
    return least >= qp_min(p->density) && most <= qp_max(p->density);
}

static enum status take_factors(const struct rd_lowrank_params *p,
                                const struct quantize_factors *factors,
                                struct rd_lowrank *low)
{
    size_t rank = factors->rank;
    *low =
        (struct rd_lowrank){.rows = factors->rows, .columns = factors->columns};
    if (!share_shift(p, factors->shift, low))
        return STATUS_OK;
    low->g = malloc(low->rows * rank * sizeof(*low->g));
    low->h = malloc(low->columns * rank * sizeof(*low->h));
    if (!low->g || !low->h)
        return STATUS_NO_MEMORY;
    for (size_t i = 0; i < low->rows * rank; i++)
        low->g[i] = factors->u[i];
    for (size_t j = 0; j < low->columns; j++)
        for (size_t k = 0; k < rank; k++)
            low->h[k * low->columns + j] = factors->v[j * rank + k];
    low->rank = (unsigned)rank;
    return STATUS_OK;
}

/* As nnc_dec_product_values makes it. */
static void multiply(const struct rd_lowrank *low, unsigned density, float *out)
{
    float g_step = (float)qp_step(low->g_qp, density);
    float h_step = (float)qp_step(low->h_qp, density);
    for (size_t i = 0; i < low->rows; i++, out += low->columns)
        for (unsigned k = 0; k < low->rank; k++) {
            const int32_t *h = low->h + k * low->columns;
            float factor = g_step * (float)low->g[i * low->rank + k];
            for (size_t j = 0; j < low->columns; j++) {
                float product = factor * (h_step * (float)h[j]);
                out[j] = k ? out[j] + product : product;
            }
        }
}

static double square_of(const float *values, size_t count)
{
    double sum = 0;
    for (size_t i = 0; i < count; i++)
        sum += (double)values[i] * (double)values[i];
    return sum;
}

/* Error and price of what is left: as levels or, if that is not worth it,
 * not at all. */
static enum status weigh(struct search *s, const float *rest, double *weight)
{
    const struct rd_lowrank_params *p = s->params;
    *weight = square_of(rest, s->count);
    const struct quantize_matrix m = {
        .count = s->count, .columns = s->out->columns, .diff = rest};
    double bits, error;
    quantize_rate_init(s->rate);
    enum status status = quantize_rate_choose(
        &m, (float)p->step, p->price, s->rate, s->levels, &bits, &error);
    if (status == STATUS_LIMIT) {
        *weight = HUGE_VAL;
        return STATUS_OK;
    }
    *weight = fmin(*weight, error + p->price * bits);
    return status;
}

static void keep(struct search *s, struct rd_lowrank *low, double weight)
{
    size_t rows = s->out->rows, columns = s->out->columns;
    rd_lowrank_deinit(s->out);
    *s->out = *low;
    s->out->rows = rows;
    s->out->columns = columns;
    s->out->product = s->product;
    s->product = NULL;
    s->best = weight;
    memset(low, 0, sizeof(*low));
}

static enum status try_rank(struct search *s, unsigned rank, bool *better)
{
    const struct rd_lowrank_params *p = s->params;
    struct quantize_factors factors;
    struct rd_lowrank low = {0};
    double weight = HUGE_VAL;
    *better = false;
    if (!s->product)
        s->product = malloc(s->count * sizeof(*s->product));
    if (!s->product)
        return STATUS_NO_MEMORY;
    enum status status = quantize_factors_make(
        &s->basis, rank, COARSE * p->step, p->values, s->out->rows, &factors);
    if (status || !factors.rank)
        return status;
    status = take_factors(p, &factors, &low);
    if (!status && low.rank) {
        multiply(&low, p->density, s->product);
        for (size_t i = 0; i < s->count; i++)
            s->rest[i] = p->values[i] - s->product[i];
        status = weigh(s, s->rest, &weight);
        weight += p->price * (quantize_factors_bits(&factors, low.rows) +
                              8.0 * p->unit_bytes);
    }
    if (!status && (weight < s->best || (p->exact_rank && low.rank))) {
        keep(s, &low, weight);
        *better = true;
    }
    rd_lowrank_deinit(&low);
    quantize_factors_deinit(&factors);
    return status;
}

/* Whether the rank is worth a look: half to twice the one before, 1 and 2 where
 * there was none. */
static bool is_near(const struct rd_lowrank_params *p, unsigned rank)
{
    unsigned before = p->near ? p->near - 1 : 0;
    if (!p->near || p->exact_rank)
        return true;
    return before ? 2 * rank >= before && rank <= 2 * before : rank <= 2;
}

static enum status try_ranks(struct search *s)
{
    unsigned count = s->basis.count, worse = 0;
    bool better;
    if (s->params->exact_rank)
        return count ? try_rank(s, count, &better) : STATUS_OK;
    enum status status = weigh(s, s->params->values, &s->best);
    for (size_t i = 0; !status && i < RANK_COUNT && worse < PATIENCE; i++) {
        if (ranks[i] > count)
            break;
        if (!is_near(s->params, ranks[i]))
            continue;
        status = try_rank(s, ranks[i], &better);
        worse = better ? 0 : worse + 1;
    }
    return status;
}

/* Whether the strongest direction can pay: what it holds is more than one bit
 * for each of its numbers is worth. */
static bool may_pay(const struct search *s)
{
    const struct rd_lowrank_params *p = s->params;
    double numbers = (double)(s->out->rows + s->out->columns);
    return s->basis.count &&
           (p->exact_rank || s->basis.value[0] * s->basis.value[0] >
                                 p->price * (numbers + 8.0 * p->unit_bytes));
}

static enum status search_run(struct search *s, unsigned most)
{
    const struct rd_lowrank_params *p = s->params;
    enum status status = quantize_basis_find(p->values, s->out->rows,
                                             s->out->columns, most, &s->basis);
    if (status || !may_pay(s))
        return status;
    s->rest = malloc(s->count * sizeof(*s->rest));
    s->levels = malloc(s->count * sizeof(*s->levels));
    s->rate = malloc(sizeof(*s->rate));
    return s->rest && s->levels && s->rate ? try_ranks(s) : STATUS_NO_MEMORY;
}

enum status rd_lowrank_run(const struct rd_lowrank_params *params,
                           struct rd_lowrank *out)
{
    struct search s = {.params = params, .out = out, .best = HUGE_VAL};
    memset(out, 0, sizeof(*out));
    if (params->shape_rank < 2 ||
        !quantize_rank_view(params->shape, params->shape_rank, &out->rows,
                            &out->columns))
        return STATUS_OK;
    s.count = out->rows * out->columns;
    unsigned most = quantize_rank_limit(out->rows, out->columns, params->most);
    while (most > 1 && !is_near(params, most))
        most--;
    enum status status = most ? search_run(&s, most) : STATUS_OK;
    quantize_basis_deinit(&s.basis);
    free(s.product);
    free(s.rest);
    free(s.levels);
    free(s.rate);
    if (status)
        rd_lowrank_deinit(out);
    return status;
}
