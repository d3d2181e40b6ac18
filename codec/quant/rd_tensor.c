/* Each kind of quantiser is tried in two passes: the first, over a part of the
 * elements, with contexts that start from set 0, the second with the sets that
 * suit the levels of the first. Kinds are then compared by squared error and
 * true bits at one price, unless there is only one. */
#include "codec/quant/rd_tensor.h"

#include "codec/nnc/levels_search.h"
#include "codec/quant/codebook.h"
#include "codec/quant/qp.h"
#include "codec/quant/trellis.h"
#include "codec/quant/uniform.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* At equal error, and at equal price of error, a uniform quantiser has about
 * this many steps of a dependent one: its points lie two steps apart, and it
 * gains 1 dB. */
#define DQ_STEPS 1.75
/* Octaves below the first step that are tried. */
#define QP_OCTAVES      4
#define CODEBOOK_ROUNDS 3
/* Of larger tensors the first pass sees so many elements. */
#define FIRST_ELEMS 4096u
/* Where the choice is free, a dependent quantiser that spends more bits an
 * element is not compared with others, in tensors of more elements. */
#define DQ_SURE_BITS  1.0
#define DQ_SURE_ELEMS 1024u
/* The error of fewer elements says little of that with another step. */
#define SMOOTH_ELEMS 16u
/* Levels below take less than the 32 bits of a number, however they come. */
#define SMALL_LEVEL (1 << 10)

struct rd_trial {
    struct rd_result result;
    int32_t *levels; /* owned; 4 bytes an element */
    double step;
    double bits;   /* estimate of the payload; once weighed */
    double weight; /* squared error + price * bits */
    struct codebook book;
    uint8_t sets[CTX_COUNT_MAX];
};

struct rd_tensor {
    struct trellis *trellis;
    struct levels_search *search;
    struct level_cost cost;
    struct levels_choice choice;
    struct rd_trial best, trial;
    size_t cap; /* elements of levels */
    float *scratch;
    size_t scratch_cap;
    /* Of the tensor at hand. */
    const struct rd_params *params;
    double square, max_abs; /* of the values */
    double price;           /* squared error a bit is worth */
    bool sure;              /* nothing else needs to be tried */
};

enum status rd_tensor_new(struct rd_tensor **out)
{
    struct rd_tensor *rd = *out = calloc(1, sizeof *rd);
    if (!rd)
        return STATUS_NO_MEMORY;
    enum status status = trellis_new(&rd->trellis);
    if (!status)
        status = levels_search_new(&rd->search);
    if (status) {
        rd_tensor_free(rd);
        *out = NULL;
    }
    return status;
}

void rd_tensor_free(struct rd_tensor *rd)
{
    if (!rd)
        return;
    trellis_free(rd->trellis);
    levels_search_free(rd->search);
    free(rd->best.levels);
    free(rd->trial.levels);
    free(rd->scratch);
    free(rd);
}

static bool is_valid(const struct rd_params *p)
{
    if (p->density > QP_DENSITY_MAX || !p->row_elems || !(p->lambda >= 0) ||
        !isfinite(p->lambda) || (p->dq == RD_YES && p->codebook == RD_YES))
        return false;
    switch (p->aim) {
    case RD_QP:
        return p->qp >= qp_min(p->density) && p->qp <= qp_max(p->density);
    case RD_MAX_ERROR:
        return p->error > 0 && isfinite(p->error);
    case RD_SHARE:
        return p->error > 0 && p->error <= 1;
    case RD_BITS:
        return p->bits >= 2 && p->bits <= 24;
    }
    return false;
}

static enum status need(struct rd_tensor *rd, uint64_t count)
{
    if (count > SIZE_MAX / 8)
        return STATUS_NO_MEMORY;
    if (count <= rd->cap)
        return STATUS_OK;
    free(rd->best.levels);
    free(rd->trial.levels);
    rd->cap = (size_t)count;
    rd->best.levels = malloc(rd->cap * sizeof(int32_t));
    rd->trial.levels = malloc(rd->cap * sizeof(int32_t));
    if (rd->best.levels && rd->trial.levels)
        return STATUS_OK;
    rd->cap = 0;
    return STATUS_NO_MEMORY;
}

static enum status need_scratch(struct rd_tensor *rd, uint64_t count)
{
    if (count <= rd->scratch_cap)
        return STATUS_OK;
    free(rd->scratch);
    rd->scratch = malloc((size_t)count * sizeof *rd->scratch);
    rd->scratch_cap = rd->scratch ? (size_t)count : 0;
    return rd->scratch ? STATUS_OK : STATUS_NO_MEMORY;
}

/* False if a value is not finite. */
static bool measure(struct rd_tensor *rd)
{
    const struct rd_params *p = rd->params;
    double square = 0;
    float most = 0;
    bool finite = true;
    for (uint64_t i = 0; i < p->elem_count; i++) {
        float a = fabsf(p->values[i]);
        finite = finite && a <= 3.4028234664e38f;
        most = a > most ? a : most;
        square += (double)a * a;
    }
    rd->square = square;
    rd->max_abs = most;
    return finite;
}

/* False if even the largest step makes levels of the largest value that are no
 * int32. */
static bool has_step(const struct rd_tensor *rd)
{
    unsigned density = rd->params->density;
    return rd->max_abs <= 0x1p30 * qp_step(qp_max(density), density);
}

/* What decoders make of the levels, against the values. */
static void weigh_error(const struct rd_tensor *rd, struct rd_trial *t)
{
    const struct rd_params *p = rd->params;
    const struct nnc_codebook *book = &t->result.codebook;
    float step = (float)t->step;
    double square = 0, most = 0;
    bool zero = true;
    for (uint64_t i = 0; i < p->elem_count; i++) {
        int32_t level = t->levels[i];
        float value =
            book->size
                ? (float)(book->values[(int64_t)book->zero + level] * t->step)
                : step * (float)level;
        double error = (double)value - (double)p->values[i];
        square += error * error;
        most = fabs(error) > most ? fabs(error) : most;
        zero = zero && !level;
    }
    t->result.square_error = square;
    t->result.max_error = most;
    t->result.zero = zero;
}

/* Of the first count elements, whole rows; with all that the encoder may do, or
 * what is enough for comparisons. */
static enum status weigh_bits(struct rd_tensor *rd, struct rd_trial *t,
                              uint64_t count, bool all)
{
    const struct rd_params *p = rd->params;
    const struct levels_freedom freedom = {.sets = true,
                                           .row_skip = true,
                                           .temporal = all,
                                           .unary = all,
                                           .uniform = all};
    struct level_coding coding = {.elem_count = count,
                                  .row_elems = p->row_elems,
                                  .profile = 1,
                                  .unary = LEVEL_COST_UNARY,
                                  .dq = t->result.dq,
                                  .codebook_size = t->result.codebook.size,
                                  .codebook_zero = t->result.codebook.zero,
                                  .has_parent = p->has_parent,
                                  .temporal = p->temporal};
    const struct level_order *order;
    uint64_t cost;
    enum status status = levels_search_run(
        rd->search, &freedom, &coding, t->levels, &rd->choice, &order, &cost);
    if (status)
        return status;
    memcpy(t->sets, rd->choice.sets, sizeof t->sets);
    t->bits =
        (double)cost / CABAC_COST_ONE + codebook_bits(&t->result.codebook);
    return STATUS_OK;
}

static bool rows_may_be_skipped(const struct rd_params *p)
{
    return p->row_elems > 1 && p->elem_count > p->row_elems;
}

static struct level_input input_of(const struct rd_tensor *rd,
                                   const struct rd_trial *t)
{
    const struct rd_params *p = rd->params;
    double factor = t->result.dq ? DQ_STEPS * DQ_STEPS : 1;
    return (struct level_input){
        .values = p->values,
        .count = p->elem_count,
        .row_elems = rows_may_be_skipped(p) ? p->row_elems : 0,
        .step = t->step,
        .lambda = p->lambda * factor,
        .limit =
            p->aim == RD_MAX_ERROR ? p->error / t->step : (double)HUGE_VALF,
        .temporal = p->temporal,
    };
}

static enum status choose_levels(struct rd_tensor *rd, struct rd_trial *t,
                                 const struct level_input *in)
{
    if (t->result.dq)
        return trellis_run(rd->trellis, in, t->levels);
    if (in->lambda > 0)
        uniform_choose(in, &rd->cost, t->levels);
    else
        uniform_nearest(in, -INT32_MAX, INT32_MAX, t->levels);
    return STATUS_OK;
}

/* Elements from which the second pass has its sets: whole rows. */
static uint64_t first_elems(const struct rd_params *p)
{
    uint64_t rows = FIRST_ELEMS / p->row_elems + 1;
    return rows < p->elem_count / p->row_elems ? rows * p->row_elems
                                               : p->elem_count;
}

/* Sets that suit the first levels, for the second pass. */
static enum status choose_sets(struct rd_tensor *rd, struct rd_trial *t,
                               const struct level_input *in)
{
    const struct rd_params *p = rd->params;
    struct level_input first = *in;
    first.count = first_elems(p);
    enum status status = choose_levels(rd, t, &first);
    if (!status)
        status = weigh_bits(rd, t, first.count, false);
    rd->sure = t->result.dq && p->dq == RD_BY_COST && p->codebook == RD_NO &&
               p->elem_count > DQ_SURE_ELEMS &&
               t->bits > DQ_SURE_BITS * (double)first.count;
    return status;
}

/* Makes rd->trial with a qp; passes 1 or 2. */
static enum status make(struct rd_tensor *rd, bool dq, int qp, unsigned passes)
{
    struct rd_trial *t = &rd->trial;
    t->result = (struct rd_result){.kind = NNC_UNIFORM, .qp = qp, .dq = dq};
    t->step = qp_step(qp, rd->params->density);
    struct level_input in = input_of(rd, t);
    enum status status = STATUS_OK;
    if (passes > 1 && in.lambda > 0) {
        status = choose_sets(rd, t, &in);
        in.sets = t->sets;
    }
    if (!status)
        status = choose_levels(rd, t, &in);
    if (!status)
        weigh_error(rd, t);
    return status;
}

/* Whether there is only one kind of quantiser to try. */
static bool is_alone(const struct rd_params *p)
{
    if (p->rough || p->aim == RD_BITS)
        return true;
    return p->dq == RD_YES || (p->dq == RD_NO && p->codebook == RD_NO);
}

static bool has_large_levels(const struct rd_tensor *rd,
                             const struct rd_trial *t)
{
    const struct rd_params *p = rd->params;
    for (uint64_t i = 0; i < p->elem_count; i++)
        if (t->levels[i] > SMALL_LEVEL || t->levels[i] < -SMALL_LEVEL)
            return true;
    return false;
}

static bool may_be_raw(const struct rd_params *p)
{
    return p->aim == RD_MAX_ERROR || p->aim == RD_SHARE;
}

/* As dear as the values themselves. */
static bool is_dear(const struct rd_params *p, const struct rd_trial *t)
{
    return t->bits > 32.0 * (double)p->elem_count;
}

/* The trial becomes the best if it is the better one. */
static enum status compare(struct rd_tensor *rd)
{
    struct rd_trial *t = &rd->trial;
    const struct rd_params *p = rd->params;
    t->bits = 0;
    t->weight = 0;
    if ((!rd->sure && !is_alone(p)) ||
        (may_be_raw(p) && !p->rough && has_large_levels(rd, t))) {
        enum status status = weigh_bits(rd, t, p->elem_count, false);
        if (!status && may_be_raw(p) && is_dear(p, t))
            status = weigh_bits(rd, t, p->elem_count, true);
        if (status)
            return status;
        t->weight = t->result.square_error + rd->price * t->bits;
    }
    if (rd->best.weight <= t->weight)
        return STATUS_OK;
    struct rd_trial better = rd->trial;
    rd->trial = rd->best;
    rd->best = better;
    if (better.result.codebook.size)
        rd->best.result.codebook.values = rd->best.book.values;
    return STATUS_OK;
}

static bool fits(const struct rd_tensor *rd, const struct rd_trial *t)
{
    const struct rd_params *p = rd->params;
    if (p->aim == RD_MAX_ERROR)
        return t->result.max_error <= p->error;
    if (p->aim == RD_SHARE)
        return t->result.square_error <= p->error * p->error * rd->square;
    return true;
}

/* The qp from which on steps are tried downwards. */
static int first_qp(const struct rd_tensor *rd, bool dq)
{
    const struct rd_params *p = rd->params;
    if (p->aim == RD_MAX_ERROR)
        return qp_at_most(p->error * (dq ? 1 : 2), p->density);
    double rms = sqrt(rd->square / (double)p->elem_count);
    double step = 4.5 * p->error * rms / (dq ? DQ_STEPS : 1);
    return qp_at_most(step, p->density);
}

/* By how much smaller a qp is that may meet the aim, at least 1: where the
 * error is half, the step is half or more. */
static int qp_excess(const struct rd_tensor *rd, const struct rd_trial *t)
{
    const struct rd_params *p = rd->params;
    bool smooth = p->aim == RD_SHARE && p->elem_count >= SMOOTH_ELEMS;
    double part = smooth && rd->square > 0
                      ? sqrt(t->result.square_error / rd->square) / p->error
                      : 1;
    double by = floor(log2(part) * (1 << p->density));
    return by > 1 ? (int)fmin(by, 1 << p->density) : 1;
}

/* Makes the trial with about the largest step that meets the aim, looked for
 * by one pass each; *found false if there is none. */
static enum status make_aimed(struct rd_tensor *rd, bool dq, bool *found)
{
    const struct rd_params *p = rd->params;
    int low = qp_floor(rd->max_abs, p->density);
    int qp = first_qp(rd, dq);
    int stop = qp - (QP_OCTAVES << p->density);
    unsigned passes = 1;
    *found = false;
    while (qp >= low && qp >= stop) {
        enum status status = make(rd, dq, qp, passes);
        if (status)
            return status;
        bool fit = fits(rd, &rd->trial);
        *found = fit && (passes > 1 || p->rough || !(p->lambda > 0));
        if (*found)
            return STATUS_OK;
        passes = fit ? 2 : passes;
        qp -= fit ? 0 : qp_excess(rd, &rd->trial);
    }
    return STATUS_OK;
}

static int clipped(int qp, unsigned density)
{
    return qp < qp_min(density)   ? qp_min(density)
           : qp > qp_max(density) ? qp_max(density)
                                  : qp;
}

/* The qp of the uniform quantiser that stands beside a dependent one. */
static int uniform_qp(const struct rd_params *p)
{
    int more = p->dq == RD_NO || p->codebook == RD_YES ? 0 : (3 << p->density);
    return clipped(p->qp + more / 4, p->density);
}

static enum status make_bits(struct rd_tensor *rd)
{
    const struct rd_params *p = rd->params;
    enum status status = need_scratch(rd, p->elem_count);
    if (status)
        return status;
    int low, high;
    int qp = qp_of_bits(p->values, (size_t)p->elem_count, rd->scratch, p->bits,
                        p->density, &low, &high);
    int least = qp_floor(rd->max_abs, p->density);
    status = make(rd, false, qp > least ? qp : least, 1);
    if (status)
        return status;
    for (uint64_t i = 0; i < p->elem_count; i++) {
        int32_t *level = &rd->trial.levels[i];
        *level = *level < low ? low : *level > high ? high : *level;
    }
    weigh_error(rd, &rd->trial);
    return STATUS_OK;
}

/* One kind of quantiser. */
static enum status try_kind(struct rd_tensor *rd, bool dq)
{
    const struct rd_params *p = rd->params;
    bool found = true;
    enum status status;
    if (p->aim == RD_BITS && !dq) {
        status = make_bits(rd);
    } else if (p->aim == RD_QP || p->aim == RD_BITS) {
        int qp = dq ? p->qp : uniform_qp(p);
        int least = qp_floor(rd->max_abs, p->density);
        status = make(rd, dq, qp > least ? qp : least, p->rough ? 1 : 2);
    } else {
        status = make_aimed(rd, dq, &found);
    }
    return status || !found ? status : compare(rd);
}

/* Makes the trial, which has levels of a uniform quantiser, one with a
 * codebook of them. *found false if they are too many, or do not fit. */
static void make_codebook(struct rd_tensor *rd, bool means, bool *found)
{
    struct rd_trial *t = &rd->trial;
    struct level_input in = input_of(rd, t);
    int rounds = means ? CODEBOOK_ROUNDS : 1;
    *found = true;
    for (int i = 0; *found && i < rounds; i++) {
        *found = codebook_learn(&t->book, &in, t->levels, means);
        if (*found)
            codebook_choose(&t->book, &in, &rd->cost, t->levels);
    }
    if (!*found)
        return;
    t->result.kind = NNC_CODEBOOK;
    t->result.qp -= CODEBOOK_FINE << rd->params->density;
    t->step = qp_step(t->result.qp, rd->params->density);
    t->result.codebook = (struct nnc_codebook){
        .size = t->book.size, .zero = t->book.zero, .values = t->book.values};
    weigh_error(rd, t);
    *found = fits(rd, t);
}

/* The qp of the best uniform trial, which codebooks start from. */
static int codebook_qp(const struct rd_tensor *rd)
{
    const struct rd_trial *best = &rd->best;
    if (best->weight < HUGE_VAL && !best->result.dq)
        return best->result.qp;
    return rd->params->aim == RD_QP ? uniform_qp(rd->params)
                                    : first_qp(rd, false);
}

static enum status try_codebook(struct rd_tensor *rd)
{
    const struct rd_params *p = rd->params;
    int qp = codebook_qp(rd);
    if (qp - (CODEBOOK_FINE << p->density) < qp_min(p->density) ||
        qp < qp_floor(rd->max_abs, p->density) || !p->elem_count)
        return STATUS_OK;
    bool found = false;
    enum status status = STATUS_OK;
    for (int i = 0; !status && !found && i < 2; i++) {
        status = make(rd, false, qp, 1);
        if (!status)
            make_codebook(rd, !i, &found);
    }
    if (status || !found)
        return status;
    if (p->codebook == RD_YES)
        rd->best.weight = HUGE_VAL;
    return compare(rd);
}

/* The price of a bit at which kinds are compared. Where the aim bounds the
 * error, bits alone count but for ties. */
static double price_of(const struct rd_tensor *rd)
{
    const struct rd_params *p = rd->params;
    if (p->aim != RD_QP && p->aim != RD_BITS)
        return rd->square > 0 ? 1e3 * rd->square : 1;
    double step = qp_step(uniform_qp(p), p->density);
    return (p->lambda > 0 ? p->lambda : RD_LAMBDA) * step * step;
}

static void raw(struct rd_tensor *rd, int32_t *levels, struct rd_result *result)
{
    uint64_t count = rd->params->elem_count;
    *result = (struct rd_result){.kind = NNC_RAW_FLOAT};
    if (count)
        memset(levels, 0, (size_t)count * sizeof *levels);
}

static enum status try_kinds(struct rd_tensor *rd)
{
    const struct rd_params *p = rd->params;
    bool dq = p->dq != RD_NO && p->codebook != RD_YES && p->aim != RD_BITS;
    enum status status = STATUS_OK;
    rd->price = price_of(rd);
    rd->best.weight = HUGE_VAL;
    rd->sure = false;
    if (dq)
        status = try_kind(rd, true);
    if (status || rd->sure || (dq && p->rough))
        return status;
    if (p->dq != RD_YES)
        status = try_kind(rd, false);
    if (!status && p->codebook != RD_NO && p->dq != RD_YES && p->aim != RD_BITS)
        status = try_codebook(rd);
    return status;
}

enum status rd_tensor_run(struct rd_tensor *rd, const struct rd_params *params,
                          int32_t *levels, struct rd_result *result)
{
    rd->params = params;
    if (!is_valid(params))
        return STATUS_USAGE;
    enum status status = need(rd, params->elem_count);
    if (status)
        return status;
    if (!measure(rd) || !has_step(rd)) {
        raw(rd, levels, result);
        return STATUS_OK;
    }
    if (!params->elem_count) {
        *result =
            (struct rd_result){.qp = params->aim == RD_QP ? params->qp : 0,
                               .kind = NNC_UNIFORM,
                               .zero = true};
        return STATUS_OK;
    }
    status = try_kinds(rd);
    if (status)
        return status;
    const struct rd_trial *best = &rd->best;
    if (best->weight == HUGE_VAL ||
        (may_be_raw(params) && is_dear(params, best))) {
        raw(rd, levels, result);
        return STATUS_OK;
    }
    *result = best->result;
    memcpy(levels, best->levels, (size_t)params->elem_count * sizeof *levels);
    return STATUS_OK;
}
