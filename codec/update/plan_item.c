/* Tries what may code a range: nothing at all, its elements over the base, over
 * scales of it, with a low rank part, as bytes. */
#include "codec/update/plan_item.h"

#include "codec/lossless/base_scale.h"
#include "codec/lossless/bytes.h"
#include "codec/lossless/lowrank.h"
#include "codec/lossless/packed.h"
#include "codec/lossless/row_ratio.h"
#include "codec/lossless/row_scale.h"
#include "codec/update/auxiliary.h"
#include "codec/update/predictor.h"
#include "codec/update/segment.h"

#include <math.h>
#include <stdlib.h>

#define PLAN_STRETCH 65536u
/* Prefix of a sample tried as bytes. */
#define PLAN_PREFIX (1u << 20)
/* Tensors below this size are not worth a coding of their own. */
#define PLAN_CODED_SIZE_MIN 64u
/* Except where they lie on a lattice: down to this one, and if levels take less
 * than 3 in 4 of their bits. */
#define PLAN_LEVELS_SIZE_MIN 16u
/* Ranges without tensor that may be numbers, and what is looked at of them. */
#define PLAN_GUESS_MIN    16384u
#define PLAN_GUESS_BYTES  4096u
#define PLAN_GUESS_PLACES 3u
/* Ranges with fewer elements, or fewer changed ones, have no low rank part. */
#define PLAN_RANK_ELEMS_MIN    1024u
#define PLAN_RANK_CHANGED_PART 8u
/* A scale of a whole tensor must save one in so many bits; the former where
 * time matters, and low rank is then fitted once. */
#define PLAN_SCALE_PART_FAST 256u
#define PLAN_SCALE_PART      8192u
/* What a record with tables takes in the header, and a part of what it saves
 * that must remain: bits. */
#define PLAN_TABLES_BITS 96u

enum status plan_worker_init(struct plan_worker *worker,
                             enum coding_speed speed)
{
    worker->best = coding_stats_new(speed);
    worker->trial = coding_stats_new(speed);
    worker->base = malloc(PLAN_STRETCH * sizeof(uint64_t));
    worker->pred = malloc(PLAN_STRETCH);
    worker->lost = malloc(PLAN_STRETCH);
    worker->target = malloc(PLAN_STRETCH);
    return worker->best && worker->trial && worker->base && worker->pred &&
                   worker->lost && worker->target
               ? STATUS_OK
               : STATUS_NO_MEMORY;
}

void plan_worker_deinit(struct plan_worker *worker)
{
    coding_stats_free(worker->best);
    coding_stats_free(worker->trial);
    free(worker->scales);
    free(worker->base);
    free(worker->pred);
    free(worker->lost);
    free(worker->target);
}

static void item_histograms(struct plan_item *item, const uint8_t *base,
                            const uint8_t *target, size_t size)
{
    for (size_t i = 0; i < size; i++)
        item->target_histogram[target[i]]++;
    if (!base)
        return;
    for (size_t i = 0; i < size; i++)
        item->diff_histogram[(uint8_t)(target[i] - base[i])]++;
}

/* Calls look for every stretch that the stride leaves. */
static enum status
item_each(const struct update_plan_input *in, struct plan_worker *worker,
          struct plan_item *item,
          enum status (*look)(const struct update_plan_input *in,
                              struct plan_worker *worker,
                              struct plan_item *item, uint64_t at, size_t size))
{
    const struct match *match = item->match;
    size_t stretch = in->stride > 1 && in->stretch ? in->stretch : PLAN_STRETCH;
    uint64_t step = (uint64_t)stretch * in->stride;
    enum status status = STATUS_OK;
    item->seen = 0;
    for (uint64_t at = 0; !status && at < match->size; at += step) {
        uint64_t left = match->size - at;
        size_t size = left < stretch ? (size_t)left : stretch;
        status = source_read(in->target, match->target_offset + at,
                             worker->target, size);
        if (!status)
            status = look(in, worker, item, at, size);
        item->seen += size;
    }
    return status;
}

static enum status look_bytes(const struct update_plan_input *in,
                              struct plan_worker *worker,
                              struct plan_item *item, uint64_t at, size_t size)
{
    bool pair = match_is_plain(item->match);
    enum status status = STATUS_OK;
    if (pair)
        status = source_read(in->base, item->match->base_offset + at,
                             worker->base, size);
    if (status)
        return status;
    if (!pair || memcmp(worker->base, worker->target, size))
        item->equal = false;
    item_histograms(item, pair ? worker->base : NULL, worker->target, size);
    return STATUS_OK;
}

/* The prediction that the item's record says, without tables. */
static struct predict item_predict(const struct plan_item *item)
{
    const struct update_record *record = &item->record;
    return (struct predict){
        .dtype = record->dtype,
        .from = record->from,
        .columns = record->columns ? record->columns : UINT32_MAX,
    };
}

static void look_packed(struct coding_stats *stats, const uint8_t *pred,
                        const uint8_t *target, size_t pairs)
{
    uint8_t to[2 * 1024], from[2 * 1024];
    for (size_t at = 0; at < pairs; at += 1024) {
        size_t now = pairs - at < 1024 ? pairs - at : 1024;
        packed_spread(target + at, now, to);
        if (pred)
            packed_spread(pred + at, now, from);
        coding_stats_add(stats, pred ? from : NULL, NULL, to, 2 * now);
    }
}

/* The predictions of a stretch; *pred is NULL without a base. */
static enum status look_predict(const struct update_plan_input *in,
                                struct plan_worker *worker,
                                const struct plan_item *item,
                                const struct predict *predict, uint64_t at,
                                size_t count, const uint8_t **pred)
{
    *pred = NULL;
    if (!match_has_places(item->match))
        return STATUS_OK;
    uint64_t first = at / packed_unit_bytes(predict->dtype);
    enum status status =
        match_gather_read(item->match, in->base, first, count, worker->base);
    if (status)
        return status;
    *pred = worker->base;
    if (predict_is_plain(predict))
        return STATUS_OK;
    predict_elems(predict, first, worker->base, count, worker->pred,
                  worker->lost);
    *pred = worker->pred;
    return STATUS_OK;
}

static enum status
look_elems(const struct update_plan_input *in, struct plan_worker *worker,
           const struct plan_item *item, const struct predict *predict,
           uint64_t at, size_t size, struct coding_stats *stats, bool *equal)
{
    size_t count = size / packed_unit_bytes(predict->dtype);
    const uint8_t *pred, *lost;
    enum status status =
        look_predict(in, worker, item, predict, at, count, &pred);
    if (status)
        return status;
    lost = pred && predict_has_lost(predict) ? worker->lost : NULL;
    if (!pred || memcmp(pred, worker->target, size))
        *equal = false;
    if (packed_dtype(predict->dtype))
        look_packed(stats, pred, worker->target, count);
    else
        coding_stats_add(stats, pred, lost, worker->target, count);
    return STATUS_OK;
}

static enum status look_plain(const struct update_plan_input *in,
                              struct plan_worker *worker,
                              struct plan_item *item, uint64_t at, size_t size)
{
    struct predict predict = item_predict(item);
    return look_elems(in, worker, item, &predict, at, size, worker->best,
                      &item->equal);
}

static enum status look_levels(const struct update_plan_input *in,
                               struct plan_worker *worker,
                               struct plan_item *item, uint64_t at, size_t size)
{
    struct predict predict = item_predict(item);
    size_t count = size / packed_unit_bytes(predict.dtype);
    const uint8_t *pred;
    enum status status =
        look_predict(in, worker, item, &predict, at, count, &pred);
    if (!status)
        coding_stats_add_lattice(worker->best, pred, worker->target, count);
    return status;
}

/* Bits of all values at their empirical frequencies. The one place where
 * floating point chooses; it decides nothing that a decoder must repeat. */
static double plan_entropy(const uint64_t histogram[256], uint64_t total)
{
    double bits = 0;
    for (unsigned i = 0; i < 256; i++)
        if (histogram[i])
            bits += (double)histogram[i] *
                    log2((double)total / (double)histogram[i]);
    return bits;
}

/* What is coded as bytes: differences or the bytes themselves. */
static enum status item_as_bytes(const struct update_plan_input *in,
                                 struct plan_worker *worker,
                                 struct plan_item *item)
{
    struct update_record *record = &item->record;
    record->mode = UPDATE_BYTES;
    enum status status = item_each(in, worker, item, look_bytes);
    if (status)
        return status;
    item->bits = plan_entropy(item->target_histogram, item->seen);
    if (match_is_plain(item->match)) {
        double diff = plan_entropy(item->diff_histogram, item->seen);
        /* What is no tensor has its equal stretches found by the frame. */
        if (diff < item->bits && item->match->tensor)
            record->mode = UPDATE_DIFF;
        item->bits = diff < item->bits ? diff : item->bits;
    }
    return STATUS_OK;
}

uint64_t plan_scale(uint64_t bytes, uint64_t size, uint64_t seen)
{
    if (seen == size || !seen)
        return bytes;
    return (uint64_t)((double)bytes * (double)size / (double)seen);
}

/* What a sample takes as bytes over a base that is merely like it. */
static enum status item_try_like(const struct update_plan_input *in,
                                 struct plan_worker *worker,
                                 struct plan_item *item)
{
    struct update_record probe = item->record;
    struct segment_piece piece = {.record = &probe};
    struct writer frame;
    uint64_t offset = 0;
    uint32_t size = 0;
    probe.mode = UPDATE_BYTES;
    piece.size =
        probe.size < PLAN_STRETCH ? (uint32_t)probe.size : PLAN_STRETCH;
    piece.target_offset = probe.target_offset + (probe.size - piece.size) / 2;
    if (!segment_piece_prefix(&piece, PLAN_PREFIX, &offset, &size))
        size = 0;
    uint8_t *prefix = malloc((size_t)size + 1);
    if (!prefix)
        return STATUS_NO_MEMORY;
    writer_init_heap(&frame, 2 * PLAN_STRETCH);
    enum status status = source_read(in->target, piece.target_offset,
                                     worker->target, piece.size);
    if (!status && size)
        status = source_read(in->base, offset, prefix, size);
    if (!status)
        status = bytes_encode(bytes_of(worker->target, piece.size),
                              bytes_of(prefix, size), 3, &frame);
    item->like = plan_scale(frame.size, probe.size, piece.size);
    writer_deinit(&frame);
    free(prefix);
    return status;
}

/* Elements a row of the range, as far as coders and low rank care. */
static uint64_t item_columns(const struct plan_item *item)
{
    const struct match *match = item->match;
    const struct tensor *tensor = match->tensor;
    uint64_t columns = 1;
    if (match->columns)
        return match->columns;
    for (uint32_t i = 1; i < tensor->rank; i++)
        columns *= tensor->shape[i];
    uint64_t elems = match->size * 8 / dtype_bits(tensor->dtype);
    return tensor->rank > 1 && columns && columns <= elems ? columns : 0;
}

/* The step that is hinted at. */
static bool item_hint_coding(const struct plan_item *item,
                             struct lattice_coding *coding)
{
    const struct update_hint *hint = item->hint;
    if (!hint || !hint->has_step || !lattice_step_ok(hint->qp, hint->density))
        return false;
    *coding = (struct lattice_coding){
        .guessed = true,
        .has_pred = match_has_places(item->match),
        .density = hint->density,
        .qp = hint->qp,
    };
    return true;
}

/* The same, where the lattice coder may be used. */
static bool item_hint_levels(const struct update_plan_input *in,
                             const struct plan_item *item,
                             struct lattice_coding *coding)
{
    return in->speed != CODING_SPEED_FAST &&
           lattice_dtype_ok(item->record.dtype) &&
           item_hint_coding(item, coding);
}

/* Measures levels over the base, or none, where they are hinted at or found. */
static enum status item_try_levels(const struct update_plan_input *in,
                                   struct plan_worker *worker,
                                   struct plan_item *item)
{
    struct lattice_coding coding;
    if (!item_hint_coding(item, &coding) &&
        !coding_stats_find_lattice(worker->best, &coding))
        return STATUS_OK;
    if (!coding_stats_begin_lattice(worker->best, &coding, false))
        return STATUS_OK;
    return item_each(in, worker, item, look_levels);
}

/* The range as a matrix: as the tensor is best seen. False when it is none, or
 * not one that tables are for. */
static bool item_matrix(const struct update_plan_input *in,
                        const struct plan_worker *worker,
                        const struct plan_item *item,
                        struct lowrank_input *input)
{
    const struct match *match = item->match;
    const struct update_record *record = &item->record;
    const struct tensor *tensor = match->tensor;
    uint64_t elems = record_elems(record);
    *input = (struct lowrank_input){
        .base = in->base,
        .target = in->target,
        .base_offset = match->base_offset,
        .target_offset = match->target_offset,
        .from = record->from,
        .dtype = record->dtype,
        .effort = in->effort,
    };
    if (!in->max_rank || match->columns || elems < PLAN_RANK_ELEMS_MIN ||
        !predict_dtype_ok(record->dtype) || !predict_dtype_ok(record->from) ||
        coding_stats_changed(worker->best) < elems / PLAN_RANK_CHANGED_PART ||
        !lowrank_view(tensor->shape, tensor->rank, &input->rows,
                      &input->columns))
        return false;
    input->rows = elems / input->columns;
    return elems % input->columns == 0;
}

static enum status look_trial(const struct update_plan_input *in,
                              struct plan_worker *worker,
                              struct plan_item *item, uint64_t at, size_t size)
{
    bool equal;
    return look_elems(in, worker, item, &item->predict, at, size, worker->trial,
                      &equal);
}

static enum status look_trial_levels(const struct update_plan_input *in,
                                     struct plan_worker *worker,
                                     struct plan_item *item, uint64_t at,
                                     size_t size)
{
    size_t count = size / packed_unit_bytes(item->predict.dtype);
    const uint8_t *pred;
    enum status status =
        look_predict(in, worker, item, &item->predict, at, count, &pred);
    if (!status)
        coding_stats_add_lattice(worker->trial, pred, worker->target, count);
    return status;
}

/* Measures the record of the trial: as levels if those are hinted at. */
static enum status item_look_trial(const struct update_plan_input *in,
                                   struct plan_worker *worker,
                                   struct plan_item *item)
{
    struct lattice_coding coding;
    enum status status = coding_stats_reset(worker->trial, item->record.dtype,
                                            item_columns(item));
    if (status)
        return status;
    if (item_hint_levels(in, item, &coding) &&
        coding_stats_begin_lattice(worker->trial, &coding, true))
        return item_each(in, worker, item, look_trial_levels);
    return item_each(in, worker, item, look_trial);
}

/* The record with these tables, if they save more than they cost. */
static enum status item_try(const struct update_plan_input *in,
                            struct plan_worker *worker, struct plan_item *item,
                            const struct predict *predict)
{
    struct update_record record = item->record;
    struct writer tables;
    if (predict->rank || predict->row_scale)
        record.columns = predict->columns;
    record.rank = (uint8_t)predict->rank;
    record.shift = (int8_t)predict->shift;
    record.scaled = predict->row_scale != NULL;
    record.scale_shift = record.scaled ? (int8_t)predict->scale_shift : 0;
    record.base_scale = predict->base_scale;
    struct lattice_coding levels;
    if (item_hint_levels(in, item, &levels))
        record.coding = (struct coding){/* which decides on the tables */
                                        .kind = CODING_LATTICE,
                                        .lattice = levels};
    if (!record_tables_ok(&record))
        return STATUS_OK;
    item->predict = *predict;
    writer_init_heap(&tables, 2 * UPDATE_AUX_CODED_MAX);
    enum status status = predictor_tables_write(&record, predict, &tables);
    if (!status)
        status = item_look_trial(in, worker, item);
    uint64_t bits = status ? 0
                           : coding_stats_bits(worker->trial) +
                                 8 * (uint64_t)tables.size + PLAN_TABLES_BITS;
    if (!status && bits < item->elem_bits &&
        tables.size <= UPDATE_AUX_CODED_MAX) {
        struct coding_stats *swap = worker->best;
        worker->best = worker->trial;
        worker->trial = swap;
        item->record = record;
        item->elem_bits = bits;
        item->tables.size = 0;
        writer_bytes(&item->tables, tables.data, tables.size);
        status = writer_status(&item->tables);
    }
    writer_deinit(&tables);
    return status;
}

/* A tensor of small integers that was quantised anew. */
static enum status item_try_scales(const struct update_plan_input *in,
                                   struct plan_worker *worker,
                                   struct plan_item *item,
                                   struct lowrank_input *input)
{
    bool any = false;
    if (dtype_bits(input->dtype) != 8 || input->from != input->dtype ||
        input->rows > record_elems(&item->record) / 8 ||
        input->rows > ROW_SCALE_ROWS_MAX)
        return STATUS_OK;
    worker->scales = malloc((size_t)input->rows * sizeof(int32_t));
    if (!worker->scales)
        return STATUS_NO_MEMORY;
    enum status status = row_scale_fit(input, worker->scales);
    for (uint64_t i = 0; !status && i < input->rows; i++)
        any |= worker->scales[i] != ROW_SCALE_ONE;
    if (status || !any)
        return status == STATUS_UNSUPPORTED ? STATUS_OK : status;
    const struct predict predict = {
        .dtype = input->dtype,
        .from = input->from,
        .columns = input->columns,
        .row_scale = worker->scales,
        .scale_shift = PREDICT_INT_SCALE_SHIFT,
    };
    status = item_try(in, worker, item, &predict);
    if (!item->record.scaled)
        return status;
    input->row_scale = worker->scales;
    input->scale_shift = PREDICT_INT_SCALE_SHIFT;
    return status;
}

/* A tensor whose rows were multiplied by numbers, or quantised, or both undone.
 */
static enum status item_try_ratios(const struct update_plan_input *in,
                                   struct plan_worker *worker,
                                   struct plan_item *item)
{
    const struct match *match = item->match;
    const struct tensor *tensor = match->tensor;
    uint64_t elems = record_elems(&item->record);
    uint64_t rows = tensor->rank < 2 ? 0 : tensor->shape[0];
    if (match->columns || !rows || elems % rows || rows > elems / 8 ||
        elems / rows > ROW_RATIO_COLUMNS_MAX ||
        coding_stats_changed(worker->best) < elems / 2 || in->stride > 1)
        return STATUS_OK;
    struct predict predict = item_predict(item);
    const struct lowrank_input input = {
        .base = in->base,
        .target = in->target,
        .base_offset = match->base_offset,
        .target_offset = match->target_offset,
        .from = predict.from,
        .dtype = predict.dtype,
        .rows = rows,
        .columns = predict.columns = (uint32_t)(elems / rows),
    };
    bool found;
    worker->scales = malloc((size_t)rows * sizeof(int32_t));
    if (!worker->scales)
        return STATUS_NO_MEMORY;
    enum status status =
        row_ratio_fit(&input, worker->scales, &predict.scale_shift, &found);
    predict.row_scale = worker->scales;
    if (!status && found)
        status = item_try(in, worker, item, &predict);
    free(worker->scales);
    worker->scales = NULL;
    return status == STATUS_UNSUPPORTED ? STATUS_OK : status;
}

/* A tensor of floats that has shrunk or grown as a whole. What that saves must
 * be worth fitting twice. */
static enum status item_try_scale(const struct update_plan_input *in,
                                  struct plan_worker *worker,
                                  struct plan_item *item,
                                  struct lowrank_input *input)
{
    float scale;
    enum status status = base_scale_fit(input, &scale);
    if (status || !(scale > 0))
        return status;
    const struct predict predict = {
        .dtype = input->dtype,
        .from = input->from,
        .columns = UINT32_MAX,
        .base_scale = scale,
    };
    unsigned part = in->effort ? PLAN_SCALE_PART : PLAN_SCALE_PART_FAST;
    uint64_t bits = item->elem_bits, margin = bits / part;
    item->elem_bits -= margin;
    status = item_try(in, worker, item, &predict);
    if (!(item->record.base_scale > 0))
        item->elem_bits = bits;
    else if (input->dtype != DTYPE_F64)
        input->base_scale = scale;
    return status;
}

static enum status item_try_rank(const struct update_plan_input *in,
                                 struct plan_worker *worker,
                                 struct plan_item *item,
                                 const struct lowrank_input *input)
{
    struct lowrank lowrank;
    enum status status = lowrank_fit(input, in->max_rank, &lowrank);
    if (status)
        return status;
    if (lowrank.rank) {
        struct predict predict =
            lowrank_predict(&lowrank, input->from, input->dtype);
        predict.row_scale = input->row_scale;
        predict.scale_shift = input->scale_shift;
        predict.base_scale = input->base_scale;
        status = item_try(in, worker, item, &predict);
    }
    lowrank_deinit(&lowrank);
    return status;
}

/* The low rank part that is hinted at, and the levels over it. */
static enum status item_try_hint(const struct update_plan_input *in,
                                 struct plan_worker *worker,
                                 struct plan_item *item)
{
    const struct update_hint *hint = item->hint;
    uint64_t elems = record_elems(&item->record);
    if (item->match->columns || !hint->columns || elems % hint->columns)
        return STATUS_OK;
    const struct predict predict = {
        .dtype = item->record.dtype,
        .from = item->record.from,
        .columns = hint->columns,
        .rank = hint->rank,
        .shift = hint->shift,
        .u = hint->u,
        .v = hint->v,
    };
    return predict_ok(&predict) ? item_try(in, worker, item, &predict)
                                : STATUS_OK;
}

static enum status item_try_tables(const struct update_plan_input *in,
                                   struct plan_worker *worker,
                                   struct plan_item *item)
{
    struct lowrank_input input;
    if (!item->tables_fit)
        return STATUS_OK;
    item->elem_bits = coding_stats_bits(worker->best);
    if (item->hint && item->hint->rank)
        return item_try_hint(in, worker, item);
    if (item->hint || coding_stats_on_lattice(worker->best))
        return STATUS_OK;
    enum status status = item_try_ratios(in, worker, item);
    if (status || item->record.scaled || !item_matrix(in, worker, item, &input))
        return status;
    status = item_try_scales(in, worker, item, &input);
    if (!status)
        status = item_try_scale(in, worker, item, &input);
    if (!status)
        status = item_try_rank(in, worker, item, &input);
    if (!status && input.base_scale > 0 && in->effort) {
        /* A change of low rank and nothing else is best without. */
        input.base_scale = 0;
        status = item_try_rank(in, worker, item, &input);
    }
    free(worker->scales);
    worker->scales = NULL;
    return status;
}

static enum status item_as_elems(const struct update_plan_input *in,
                                 struct plan_worker *worker,
                                 struct plan_item *item)
{
    const struct match *match = item->match;
    struct update_record *record = &item->record;
    record->mode = UPDATE_CODED;
    record->dtype = match->tensor->dtype;
    record->from = match_has_places(match) ? match->base_dtype : record->dtype;
    item->like = match->size;
    enum status status = coding_stats_reset(
        worker->best, packed_coded_as(record->dtype), item_columns(item));
    if (!status)
        status = item_each(in, worker, item, look_plain);
    item->equal = item->equal && match_is_plain(match);
    if (!status && !item->equal)
        status = item_try_levels(in, worker, item);
    if (status || item->equal)
        return status;
    if ((match->base_size && match->like) || match == &item->guess)
        return item_try_like(in, worker, item);
    return match_has_places(match) ? item_try_tables(in, worker, item)
                                   : STATUS_OK;
}

/* Whether bytes look like weights of a float type: sizes from 2^-20 to 2^4, or
 * zero. */
static bool plan_looks_like(enum dtype dtype, const uint8_t *bytes, size_t size)
{
    unsigned width = dtype_bits(dtype) / 8, bias = 127, seen = 0, count = 0;
    for (size_t i = 0; i + width <= size; i += width, count++) {
        unsigned top = load_le16(bytes + i + width - 2) & 0x7fff, field;
        if (dtype == DTYPE_F64)
            field = (top >> 4) - 896;
        else
            field = dtype == DTYPE_F16 ? (top >> 10) + 112 : top >> 7;
        seen += !top || field - (bias - 20) <= 24;
    }
    return count && seen >= count - count / 32;
}

/* Bytes with little to find but how often each occurs. */
static bool plan_looks_like_noise(const uint8_t *bytes, size_t size)
{
    uint64_t histogram[256] = {0};
    for (size_t i = 0; i < size; i++)
        histogram[bytes[i]]++;
    return plan_entropy(histogram, size) >= 6 * (double)size;
}

/* Narrow ones first: each pair of them may pass for a wide one. */
static const enum dtype plan_guesses[] = {DTYPE_BF16, DTYPE_F16, DTYPE_F32,
                                          DTYPE_F64, DTYPE_I8};
#define PLAN_GUESSES (sizeof(plan_guesses) / sizeof(plan_guesses[0]))

/* The first of the types that what is looked at may be; PLAN_GUESSES: none. */
static size_t plan_guess(const struct match *match, const uint8_t *samples)
{
    size_t size = PLAN_GUESS_BYTES, i = 0;
    for (; i < PLAN_GUESSES; i++) {
        enum dtype dtype = plan_guesses[i];
        bool like = match->size % (dtype_bits(dtype) / 8) == 0;
        for (size_t k = 0; like && k < PLAN_GUESS_PLACES; k++) {
            const uint8_t *sample = samples + k * size;
            like = dtype == DTYPE_I8 ? plan_looks_like_noise(sample, size)
                                     : plan_looks_like(dtype, sample, size);
        }
        if (like)
            break;
    }
    return i;
}

/* What is no tensor may be numbers all the same. */
static enum status item_guess(const struct update_plan_input *in,
                              struct plan_worker *worker,
                              struct plan_item *item)
{
    const struct match *match = item->match;
    enum status status = STATUS_OK;
    if (match->tensor || match->size < PLAN_GUESS_MIN)
        return STATUS_OK;
    for (uint64_t k = 0; !status && k < PLAN_GUESS_PLACES; k++) {
        uint64_t at = match->size * (k + 1) / (8 * (PLAN_GUESS_PLACES + 1)) * 8;
        status = source_read(
            in->target, match->target_offset + at - PLAN_GUESS_BYTES / 2,
            worker->target + k * PLAN_GUESS_BYTES, PLAN_GUESS_BYTES);
    }
    size_t found = status ? PLAN_GUESSES : plan_guess(match, worker->target);
    if (found == PLAN_GUESSES)
        return status;
    enum dtype dtype = plan_guesses[found];
    item->number_count = match->size * 8 / dtype_bits(dtype);
    item->numbers = (struct tensor){
        .dtype = dtype,
        .rank = 1,
        .shape = &item->number_count,
        .offset = match->target_offset,
        .size = match->size,
    };
    item->guess = *match;
    item->guess.tensor = &item->numbers;
    item->guess.base_dtype = dtype;
    item->match = &item->guess;
    return STATUS_OK;
}

/* What is known of the tensor of the range. */
static const struct update_hint *
item_find_hint(const struct update_plan_input *in, const struct match *match)
{
    const struct update_hints *hints = in->hints;
    size_t low = 0, high = hints ? hints->count : 0;
    if (!match->tensor)
        return NULL;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (hints->items[mid].target_offset < match->target_offset)
            low = mid + 1;
        else
            high = mid;
    }
    return hints && low < hints->count &&
                   hints->items[low].target_offset == match->target_offset
               ? &hints->items[low]
               : NULL;
}

/* What is coded as bytes unless something better is found. */
static void item_reset_record(struct plan_item *item)
{
    const struct match *match = item->match;
    item->record = (struct update_record){
        .target_offset = match->target_offset,
        .size = match->size,
        .base_offset = match->base_size ? match->base_offset : 0,
        .base_size = match->base_size,
    };
}

/* A tensor of few elements, as levels or, if coded is not set, not at all. */
static enum status item_try_tiny(const struct update_plan_input *in,
                                 struct plan_worker *worker,
                                 struct plan_item *item)
{
    uint64_t size = item->match->size;
    enum status status = item_as_elems(in, worker, item);
    if (status)
        return status;
    item->coded = !item->equal && coding_stats_on_lattice(worker->best) &&
                  coding_stats_bits(worker->best) < 8 * (size - size / 4);
    if (!item->coded) {
        item->equal = item->match->base_size != 0;
        item_reset_record(item);
    }
    return STATUS_OK;
}

enum status plan_item_measure(const struct update_plan_input *in,
                              struct plan_worker *worker,
                              struct plan_item *item)
{
    enum status status = item_guess(in, worker, item);
    if (status)
        return status;
    const struct match *match = item->match;
    enum coding_kind kind;
    item->coded = match->tensor && coding_kind_of(match->tensor->dtype, &kind);
    item->equal = match->base_size != 0;
    item->hint = item_find_hint(in, match);
    item->tables.size = 0;
    item->bits = 0;
    memset(item->target_histogram, 0, sizeof(item->target_histogram));
    memset(item->diff_histogram, 0, sizeof(item->diff_histogram));
    item_reset_record(item);
    if (item->coded && match->size < PLAN_CODED_SIZE_MIN) {
        item->coded = false;
        if (match->size >= PLAN_LEVELS_SIZE_MIN &&
            lattice_dtype_ok(match->tensor->dtype))
            status = item_try_tiny(in, worker, item);
        if (status || item->coded)
            return status;
    }
    return item->coded ? item_as_elems(in, worker, item)
                       : item_as_bytes(in, worker, item);
}
