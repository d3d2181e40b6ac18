/* Measuring, trying and making of one tensor. */
#include "codec/quant/quantize_tensor.h"

#include "codec/base/bytes.h"
#include "codec/lossless/lattice.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define CHUNK 4096u
/* Rows of a band of a sample: enough that rows above are there. */
#define BAND_ROWS 8u
/* Steps of vectors tried, each half the one before. */
#define VECTOR_HALVES 8
/* Worth of a bit of a vector, in squares of its step. */
#define VECTOR_LAMBDA 0.1
/* Tensors of so few elements have a finer step: it costs next to nothing, and
 * they often go back and forth. */
#define FEW_ELEMS 4u
#define FEW_SHARE (1.0 / 16)

static const uint8_t ranks[] = {0, 1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64};
#define RANK_COUNT (sizeof(ranks) / sizeof(ranks[0]))
/* Ranks in a row without a gain after which no more is tried. */
#define RANK_PATIENCE 3

static size_t elem_bytes(const struct quantize_tensor *t)
{
    return dtype_bits(t->row.tensor->dtype) / 8;
}

static double load_f64(const uint8_t *at)
{
    uint64_t bits = load_le64(at);
    double value;
    memcpy(&value, &bits, sizeof(value));
    return value;
}

/* An element as a number; NaN also for an infinity. */
static double load_real(enum dtype dtype, const uint8_t *at)
{
    struct narrow_float f;
    if (dtype == DTYPE_F64)
        return load_f64(at);
    if (dtype == DTYPE_F32)
        return (double)float_of_bits(load_le32(at));
    (void)narrow_float_of(dtype, &f);
    return (double)narrow_float_widen(&f, load_le16(at));
}

static bool is_narrow(const struct quantize_tensor *t)
{
    return dtype_bits(t->row.tensor->dtype) == 16;
}

/* The prediction's bytes of elements, without low rank zero or the base. */
static enum status read_base(const struct quantize_tensor *t, uint64_t first,
                             size_t count, uint8_t *out)
{
    size_t bytes = elem_bytes(t);
    if (t->base)
        return source_read(t->base, t->base_offset + first * bytes, out,
                           count * bytes);
    memset(out, 0, count * bytes);
    return STATUS_OK;
}

static struct predict predict_of(const struct quantize_tensor *t)
{
    return (struct predict){.dtype = t->row.tensor->dtype,
                            .from = t->row.tensor->dtype,
                            .columns = (uint32_t)t->columns,
                            .rank = t->factors.rank,
                            .shift = t->factors.shift,
                            .u = t->factors.u,
                            .v = t->factors.v};
}

/* Predictions with the low rank part that there is; a chunk at most. */
static enum status read_pred(const struct quantize_tensor *t, uint64_t first,
                             size_t count, uint8_t *out)
{
    uint8_t lost[CHUNK];
    enum status status = read_base(t, first, count, out);
    if (status || !t->factors.rank)
        return status;
    struct predict p = predict_of(t);
    predict_elems(&p, first, out, count, out, lost);
    return STATUS_OK;
}

/* Elements made by one, which makes a chunk at most. */
static enum status by_chunks(const struct quantize_tensor *t, uint64_t first,
                             size_t count, uint8_t *out,
                             enum status (*one)(const struct quantize_tensor *t,
                                                uint64_t first, size_t count,
                                                uint8_t *out))
{
    enum status status = STATUS_OK;
    size_t bytes = elem_bytes(t);
    for (size_t at = 0; at < count && !status; at += CHUNK) {
        size_t now = count - at < CHUNK ? count - at : CHUNK;
        status = one(t, first + at, now, out + at * bytes);
    }
    return status;
}

enum status quantize_tensor_pred(const struct quantize_tensor *t,
                                 uint64_t first, size_t count, uint8_t *out)
{
    return by_chunks(t, first, count, out, read_pred);
}

/* diff and, unless NULL, pred of all elements against what read gives; same
 * and finite are cleared when not all are. */
struct loaded {
    float *diff, *pred;
    bool same, finite;
    double square;
};

static enum status load_diff(const struct quantize_tensor *t,
                             struct loaded *out)
{
    uint8_t base[8 * CHUNK], target[8 * CHUNK];
    enum dtype dtype = t->row.tensor->dtype;
    size_t bytes = elem_bytes(t);
    out->same = out->finite = true;
    out->square = 0;
    for (size_t at = 0; at < t->count; at += CHUNK) {
        size_t now = t->count - at < CHUNK ? t->count - at : CHUNK;
        enum status status = read_pred(t, at, now, base);
        if (!status)
            status = source_read(t->target, t->row.tensor->offset + at * bytes,
                                 target, now * bytes);
        if (status)
            return status;
        out->same &= !memcmp(base, target, now * bytes);
        double square = 0;
        for (size_t i = 0; i < now; i++) {
            double x = load_real(dtype, base + i * bytes);
            double d = load_real(dtype, target + i * bytes) - x;
            float rounded = (float)d;
            out->finite &= rounded - rounded == 0;
            out->diff[at + i] = rounded;
            if (out->pred)
                out->pred[at + i] = (float)x;
            square += (double)rounded * (double)rounded;
        }
        out->square += square;
    }
    return STATUS_OK;
}

static enum status loaded_init(const struct quantize_tensor *t,
                               struct loaded *out)
{
    *out = (struct loaded){0};
    out->diff = malloc((t->count + 1) * sizeof(*out->diff));
    if (is_narrow(t))
        out->pred = malloc((t->count + 1) * sizeof(*out->pred));
    if (!out->diff || (is_narrow(t) && !out->pred))
        return STATUS_NO_MEMORY;
    return load_diff(t, out);
}

static void loaded_deinit(struct loaded *loaded)
{
    free(loaded->diff);
    free(loaded->pred);
}

static struct quantize_matrix matrix_of(const struct quantize_tensor *t,
                                        size_t rows, const float *diff,
                                        const float *pred)
{
    struct quantize_matrix m = {.count = rows * t->columns,
                                .columns = t->columns,
                                .diff = diff,
                                .pred = pred};
    (void)narrow_float_of(t->row.tensor->dtype, &m.narrow);
    return m;
}

/* The tensor's row from which sample row i was taken. */
static size_t sample_place(const struct quantize_tensor *t, size_t sampled,
                           size_t i)
{
    size_t bands = (sampled + BAND_ROWS - 1) / BAND_ROWS;
    size_t band = i / BAND_ROWS, within = i % BAND_ROWS;
    if (sampled == t->rows || bands < 2)
        return i;
    return (t->rows - BAND_ROWS) * band / (bands - 1) + within;
}

static enum status take_sample(struct quantize_tensor *t,
                               const struct loaded *loaded, size_t most)
{
    struct quantize_sample *s = &t->sample;
    size_t bands = most / t->columns / BAND_ROWS;
    s->rows = (bands ? bands : 1) * BAND_ROWS;
    s->rows = s->rows < t->rows ? s->rows : t->rows;
    size_t count = s->rows * t->columns;
    s->diff = malloc(count * sizeof(*s->diff));
    s->pred = loaded->pred ? malloc(count * sizeof(*s->pred)) : NULL;
    if (!s->diff || (loaded->pred && !s->pred))
        return STATUS_NO_MEMORY;
    for (size_t i = 0; i < s->rows; i++) {
        size_t from = sample_place(t, s->rows, i) * t->columns;
        memcpy(s->diff + i * t->columns, loaded->diff + from,
               t->columns * sizeof(*s->diff));
        if (s->pred)
            memcpy(s->pred + i * t->columns, loaded->pred + from,
                   t->columns * sizeof(*s->pred));
    }
    return STATUS_OK;
}

/* Rows and columns, and how many components a low rank part may have. */
static void set_view(struct quantize_tensor *t)
{
    const struct tensor *tensor = t->row.tensor;
    unsigned most = t->base && !t->vector ? t->rank_max : 0;
    t->rows = 1;
    t->columns = t->count;
    t->rank_max = 0;
    if (t->vector)
        return;
    if (quantize_rank_view(tensor->shape, tensor->rank, &t->rows,
                           &t->columns)) {
        t->rank_max = quantize_rank_limit(t->rows, t->columns, most);
        return;
    }
    t->rows = tensor->shape[0] ? (size_t)tensor->shape[0] : 1;
    t->columns = t->count / t->rows;
}

enum status quantize_tensor_measure(struct quantize_tensor *t,
                                    size_t sample_max)
{
    struct loaded loaded;
    set_view(t);
    enum status status = loaded_init(t, &loaded);
    t->row.state = !loaded.finite ? QUANTIZE_EXACT : QUANTIZE_STEPS;
    if (!status && loaded.same)
        t->row.state = t->base ? QUANTIZE_SAME : QUANTIZE_EXACT;
    if (!status && loaded.finite) {
        t->change_square = loaded.square;
        t->row.change = sqrt(loaded.square / (double)t->count);
    }
    /* What differs in signs of zeros alone, or next to it. */
    if (t->row.state == QUANTIZE_STEPS && !(t->row.change > 1e-30))
        t->row.state = QUANTIZE_EXACT;
    bool matrix = !t->vector && t->row.state == QUANTIZE_STEPS;
    if (!status && matrix)
        status = take_sample(t, &loaded, sample_max);
    if (!status && matrix && t->rank_max)
        status = quantize_basis_find(loaded.diff, t->rows, t->columns,
                                     t->rank_max, &t->basis);
    loaded_deinit(&loaded);
    return status;
}

/* What a trial of one rank needs. */
struct trial {
    float *diff, *pred; /* less the low rank part */
    int32_t *levels;
    float *low; /* a row */
};

static float narrow_rounded(const struct narrow_float *f, float value)
{
    uint32_t bits;
    uint8_t lost;
    return narrow_float_round(f, value, &bits, &lost)
               ? narrow_float_widen(f, bits)
               : value;
}

/* The sample's differences to predictions with factors. */
static void subtract_low(const struct quantize_tensor *t,
                         const struct quantize_factors *factors,
                         struct trial *trial)
{
    struct quantize_matrix m = matrix_of(t, 0, NULL, NULL);
    for (size_t i = 0; i < t->sample.rows; i++) {
        size_t first = i * t->columns;
        quantize_factors_row(factors, i, trial->low);
        for (size_t j = 0; j < t->columns; j++) {
            float diff = t->sample.diff[first + j], low = trial->low[j];
            if (t->sample.pred) {
                float pred = t->sample.pred[first + j];
                float moved = narrow_rounded(&m.narrow, pred + low);
                trial->pred[first + j] = moved;
                low = moved - pred;
            }
            trial->diff[first + j] = diff - low;
        }
    }
}

/* Bits and error of the sample with this rank; HUGE_VAL: there is none. */
static enum status try_rank(const struct quantize_tensor *t, unsigned rank,
                            const struct quantize_strength *s,
                            struct trial *trial, struct quantize_rate *rate,
                            double *bits, double *error)
{
    double scale = (double)t->rows / (double)t->sample.rows, factor_bits = 0;
    const float *diff = t->sample.diff, *pred = t->sample.pred;
    enum status status = STATUS_OK;
    *bits = *error = HUGE_VAL;
    if (rank) {
        struct quantize_factors factors;
        status = quantize_factors_make(&t->basis, rank, s->coarse, diff,
                                       t->sample.rows, &factors);
        if (status || !factors.rank)
            return status;
        subtract_low(t, &factors, trial);
        factor_bits = quantize_factors_bits(&factors, t->rows);
        quantize_factors_deinit(&factors);
        diff = trial->diff;
        pred = pred ? trial->pred : NULL;
    }
    struct quantize_matrix m = matrix_of(t, t->sample.rows, diff, pred);
    if (!status)
        status =
            quantize_rate_choose(&m, (float)s->step, s->nearest ? 0 : s->lambda,
                                 rate, trial->levels, bits, error);
    *bits = *bits * scale + factor_bits;
    *error *= scale;
    return status;
}

static enum status try_ranks(struct quantize_tensor *t,
                             const struct quantize_strength *s, bool near,
                             struct trial *trial, struct quantize_rate *rate)
{
    struct quantize_rate start = *rate;
    double best = HUGE_VAL;
    unsigned before = t->trial_rank, since = 0;
    for (size_t i = 0; i < RANK_COUNT && since < RANK_PATIENCE; i++) {
        double bits, error;
        struct quantize_rate after = start;
        if (ranks[i] > t->basis.count)
            break;
        bool close = (i + 2 >= RANK_COUNT || ranks[i + 2] >= before) &&
                     (i < 2 || ranks[i - 2] <= before);
        if (near && i && !close)
            continue;
        enum status status =
            try_rank(t, ranks[i], s, trial, &after, &bits, &error);
        if (status)
            return status;
        if (error + s->lambda * bits >= best) {
            since++;
            continue;
        }
        best = error + s->lambda * bits;
        since = 0;
        *rate = after;
        t->trial_rank = ranks[i];
        t->trial_bits = bits;
        t->trial_error = error;
    }
    return STATUS_OK;
}

enum status quantize_tensor_try(struct quantize_tensor *t,
                                const struct quantize_strength *s, bool near,
                                struct quantize_rate *rate)
{
    size_t count = t->sample.rows * t->columns;
    struct trial trial = {.diff = malloc(count * sizeof(float)),
                          .pred = malloc(count * sizeof(float)),
                          .levels = malloc(count * sizeof(int32_t)),
                          .low = malloc(t->columns * sizeof(float))};
    enum status status = STATUS_NO_MEMORY;
    if (trial.diff && trial.pred && trial.levels && trial.low)
        status = try_ranks(t, s, near, &trial, rate);
    free(trial.diff);
    free(trial.pred);
    free(trial.levels);
    free(trial.low);
    return status;
}

static int32_t level_at(const struct quantize_tensor *t, size_t i)
{
    switch (t->level_bytes) {
    case 1:
        return ((const int8_t *)t->levels)[i];
    case 2:
        return ((const int16_t *)t->levels)[i];
    default:
        return ((const int32_t *)t->levels)[i];
    }
}

static float step_of(const struct quantize_tensor *t)
{
    return lattice_step(t->row.qp, 2);
}

static enum status read_chunk(const struct quantize_tensor *t, uint64_t first,
                              size_t count, uint8_t *out)
{
    int32_t levels[CHUNK];
    struct lattice_coding coding = {.density = 2, .qp = (int16_t)t->row.qp};
    enum status status = read_pred(t, first, count, out);
    if (status || !t->levels)
        return status;
    for (size_t i = 0; i < count; i++)
        levels[i] = level_at(t, (size_t)first + i);
    lattice_points(&coding, t->row.tensor->dtype, out, levels, count, out);
    return STATUS_OK;
}

enum status quantize_tensor_read(const struct quantize_tensor *t,
                                 uint64_t first, size_t count, uint8_t *out)
{
    return by_chunks(t, first, count, out, read_chunk);
}

static enum status pack_levels(struct quantize_tensor *t, int32_t *levels)
{
    int32_t most = 0;
    t->row.levels = 0;
    for (size_t i = 0; i < t->count; i++) {
        most = abs(levels[i]) > most ? abs(levels[i]) : most;
        t->row.levels += levels[i] != 0;
    }
    t->level_bytes = most <= INT8_MAX ? 1 : (most <= INT16_MAX ? 2 : 4);
    free(t->levels);
    t->levels = malloc(t->count * t->level_bytes + 1);
    if (!t->levels)
        return STATUS_NO_MEMORY;
    for (size_t i = 0; i < t->count; i++) {
        if (t->level_bytes == 1)
            ((int8_t *)t->levels)[i] = (int8_t)levels[i];
        else if (t->level_bytes == 2)
            ((int16_t *)t->levels)[i] = (int16_t)levels[i];
        else
            ((int32_t *)t->levels)[i] = levels[i];
    }
    return STATUS_OK;
}

/* The true error, and how many elements are not the base's. */
static enum status measure_result(struct quantize_tensor *t)
{
    uint8_t base[8 * CHUNK], made[8 * CHUNK], want[8 * CHUNK];
    size_t bytes = elem_bytes(t);
    enum dtype dtype = t->row.tensor->dtype;
    t->error_square = 0;
    t->row.changed = 0;
    for (size_t at = 0; at < t->count; at += CHUNK) {
        size_t now = t->count - at < CHUNK ? t->count - at : CHUNK;
        enum status status = read_base(t, at, now, base);
        if (!status)
            status = read_chunk(t, at, now, made);
        if (!status)
            status = source_read(t->target, t->row.tensor->offset + at * bytes,
                                 want, now * bytes);
        if (status)
            return status;
        for (size_t i = 0; i < now; i++) {
            double lost = load_real(dtype, made + i * bytes) -
                          load_real(dtype, want + i * bytes);
            t->error_square += lost * lost;
            t->row.changed +=
                memcmp(base + i * bytes, made + i * bytes, bytes) != 0;
        }
    }
    t->row.error = sqrt(t->error_square / (double)t->count);
    return STATUS_OK;
}

static enum status choose_levels(struct quantize_tensor *t,
                                 const struct loaded *loaded, double lambda,
                                 struct quantize_rate *rate)
{
    int32_t *levels = malloc((t->count + 1) * sizeof(*levels));
    if (!levels)
        return STATUS_NO_MEMORY;
    struct quantize_matrix m =
        matrix_of(t, t->rows, loaded->diff, loaded->pred);
    double error;
    enum status status = quantize_rate_choose(&m, step_of(t), lambda, rate,
                                              levels, &t->bits, &error);
    if (!status)
        status = pack_levels(t, levels);
    free(levels);
    return status ? status : measure_result(t);
}

static void make_exact(struct quantize_tensor *t)
{
    quantize_tensor_reset(t);
    t->row.state = QUANTIZE_EXACT;
    t->bits = (double)t->row.tensor->size * 8;
}

/* The coarsest step, a power of two, for which the error is within its share of
 * the change; with levels that save bits where that allows it. */
static enum status make_vector(struct quantize_tensor *t,
                               const struct loaded *loaded,
                               const struct quantize_strength *s,
                               struct quantize_rate *rate)
{
    struct quantize_rate start = *rate;
    double most = t->row.change *
                  (t->base ? QUANTIZE_VECTOR_ERROR : QUANTIZE_VECTOR_FULL);
    if (t->count <= FEW_ELEMS)
        most *= FEW_SHARE;
    double step = fmin(most * sqrt(12), s->vector_step_max);
    int octave = (int)floor(log2(step));
    for (int half = 0; half < VECTOR_HALVES; half++, octave--) {
        for (int nearest = s->nearest; nearest < 2; nearest++) {
            double unit = exp2(octave);
            *rate = start;
            t->row.qp = 4 * octave;
            if (t->row.qp < QUANTIZE_QP_MIN || t->row.qp > QUANTIZE_QP_MAX)
                continue;
            enum status status = choose_levels(
                t, loaded, nearest ? 0 : VECTOR_LAMBDA * unit * unit, rate);
            if (status == STATUS_LIMIT)
                continue;
            if (status || t->row.error <= most)
                return status;
        }
    }
    *rate = start;
    make_exact(t);
    return STATUS_OK;
}

/* The low rank part of the last trial's rank, of all rows. */
static enum status make_factors(struct quantize_tensor *t,
                                const struct quantize_strength *s,
                                struct loaded *loaded, double *bits)
{
    enum status status =
        quantize_factors_make(&t->basis, t->trial_rank, s->coarse, loaded->diff,
                              t->rows, &t->factors);
    if (!status && t->factors.rank)
        *bits = quantize_factors_bits(&t->factors, t->rows);
    t->row.rank = t->factors.rank;
    return status ? status : load_diff(t, loaded);
}

static enum status make_matrix(struct quantize_tensor *t,
                               const struct quantize_strength *s,
                               struct loaded *loaded,
                               struct quantize_rate *rate)
{
    double factor_bits = 0;
    enum status status = STATUS_OK;
    t->row.qp = 4 * (int)floor(log2(s->step));
    if (t->trial_rank)
        status = make_factors(t, s, loaded, &factor_bits);
    if (!status)
        status = choose_levels(t, loaded, s->nearest ? 0 : s->lambda, rate);
    t->bits += factor_bits;
    if (status == STATUS_LIMIT) {
        make_exact(t);
        return STATUS_OK;
    }
    return status;
}

enum status quantize_tensor_make(struct quantize_tensor *t,
                                 const struct quantize_strength *s,
                                 struct quantize_rate *rate)
{
    struct loaded loaded;
    quantize_tensor_reset(t);
    t->row.state = QUANTIZE_STEPS;
    enum status status = loaded_init(t, &loaded);
    if (!status)
        status = t->vector ? make_vector(t, &loaded, s, rate)
                           : make_matrix(t, s, &loaded, rate);
    loaded_deinit(&loaded);
    return status;
}

void quantize_tensor_reset(struct quantize_tensor *t)
{
    quantize_factors_deinit(&t->factors);
    free(t->levels);
    t->levels = NULL;
    t->level_bytes = 0;
    t->row.rank = 0;
    t->row.error = 0;
    t->row.levels = t->row.changed = 0;
    t->bits = t->error_square = 0;
}

void quantize_tensor_deinit(struct quantize_tensor *t)
{
    quantize_tensor_reset(t);
    quantize_basis_deinit(&t->basis);
    free(t->sample.diff);
    free(t->sample.pred);
    t->sample = (struct quantize_sample){0};
}
