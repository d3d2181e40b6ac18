/* Plans in rounds: as many ranges as can be looked at side by side are
 * measured, then their records are added in order, so that the plan does not
 * depend on who was faster. */
#include "codec/update/plan.h"

#include "codec/base/checked.h"
#include "codec/lossless/bytes.h"
#include "codec/lossless/lowrank.h"
#include "codec/lossless/packed.h"
#include "codec/lossless/predict.h"
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
/* An unchanged range this small is coded along with its changed neighbours. */
#define PLAN_ABSORB_MAX 64u
/* Ranges with fewer elements, or fewer changed ones, have no low rank part. */
#define PLAN_RANK_ELEMS_MIN    1024u
#define PLAN_RANK_CHANGED_PART 8u
/* What a record with tables takes in the header, and a part of what it saves
 * that must remain: bits. */
#define PLAN_TABLES_BITS 96u
/* Coded bytes at which an auxiliary segment is full. */
#define PLAN_AUX_FULL 65536u

/* One range being looked at, and what was found out. */
struct plan_item {
    const struct match *match;
    struct update_record record; /* as far as it is decided */
    enum status status;
    bool coded; /* by elements; else as bytes */
    bool equal; /* to its prediction, which is the base itself */
    uint64_t seen;
    double bits;   /* as bytes */
    uint64_t like; /* bytes it may take over a base that is merely like it */
    uint64_t elem_bits;     /* as elements, tables included */
    struct predict predict; /* being tried */
    struct writer tables;   /* coded */
    uint64_t target_histogram[256];
    uint64_t diff_histogram[256];
};

/* What one item needs while it is looked at. */
struct plan_worker {
    struct coding_stats *best; /* of the record as it is decided */
    struct coding_stats *trial;
    int32_t *scales;
    uint8_t *base;
    uint8_t *pred;
    uint8_t *lost;
    uint8_t *target;
};

/* A record's place in the plan of codings, and how many of its bytes were
 * seen. */
struct plan_coding {
    size_t index;
    uint64_t seen;
    uint64_t like;
};

struct planner {
    const struct update_plan_input *in;
    struct update_plan *out;
    struct plan_coding *codings; /* per record */
    uint32_t coding_cap;
    struct coding_plan *plan;
    struct plan_item *items; /* of the round, one a worker */
    struct plan_worker *workers;
    unsigned width;
    uint64_t tables_size; /* decoded, of the auxiliary segment begun last */
    uint64_t seen;        /* bytes measured, for progress */
};

static const struct plan_coding plan_no_coding = {SIZE_MAX, 0, 0};

static enum status worker_init(struct plan_worker *worker,
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

static void worker_deinit(struct plan_worker *worker)
{
    coding_stats_free(worker->best);
    coding_stats_free(worker->trial);
    free(worker->scales);
    free(worker->base);
    free(worker->pred);
    free(worker->lost);
    free(worker->target);
}

static enum status planner_init(struct planner *pl)
{
    const struct parallel *parallel = pl->in->parallel;
    pl->width = parallel && parallel->width > 1 ? parallel->width : 1;
    pl->plan = coding_plan_new();
    pl->items = calloc(pl->width, sizeof(*pl->items));
    pl->workers = calloc(pl->width, sizeof(*pl->workers));
    if (!pl->plan || !pl->items || !pl->workers)
        return STATUS_NO_MEMORY;
    writer_init_heap(&pl->out->aux_bytes, PLAN_AUX_BYTES_MAX);
    enum status status = STATUS_OK;
    for (unsigned i = 0; !status && i < pl->width; i++) {
        writer_init_heap(&pl->items[i].tables, 2 * UPDATE_AUX_CODED_MAX);
        status = worker_init(&pl->workers[i], pl->in->speed);
    }
    return status;
}

static void planner_deinit(struct planner *pl)
{
    for (unsigned i = 0; pl->items && i < pl->width; i++)
        writer_deinit(&pl->items[i].tables);
    for (unsigned i = 0; pl->workers && i < pl->width; i++)
        worker_deinit(&pl->workers[i]);
    coding_plan_free(pl->plan);
    free(pl->items);
    free(pl->workers);
    free(pl->codings);
}

/* Room for the tables of all items of a round, whatever they come to. */
static bool planner_room_for_tables(const struct planner *pl)
{
    return pl->out->aux_bytes.size + (size_t)pl->width * UPDATE_AUX_CODED_MAX <=
               PLAN_AUX_BYTES_MAX &&
           pl->out->aux_count + pl->width <= UPDATE_AUX_MAX;
}

/* ---- measuring ---- */

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
item_each(struct planner *pl, struct plan_worker *worker,
          struct plan_item *item,
          enum status (*look)(struct planner *pl, struct plan_worker *worker,
                              struct plan_item *item, uint64_t at, size_t size))
{
    const struct match *match = item->match;
    uint64_t step = (uint64_t)PLAN_STRETCH * pl->in->stride;
    enum status status = STATUS_OK;
    item->seen = 0;
    for (uint64_t at = 0; !status && at < match->size; at += step) {
        uint64_t left = match->size - at;
        size_t size = left < PLAN_STRETCH ? (size_t)left : PLAN_STRETCH;
        status = source_read(pl->in->target, match->target_offset + at,
                             worker->target, size);
        if (!status)
            status = look(pl, worker, item, at, size);
        item->seen += size;
    }
    return status;
}

static enum status look_bytes(struct planner *pl, struct plan_worker *worker,
                              struct plan_item *item, uint64_t at, size_t size)
{
    bool pair = match_is_plain(item->match);
    enum status status = STATUS_OK;
    if (pair)
        status = source_read(pl->in->base, item->match->base_offset + at,
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

static enum status look_elems(struct planner *pl, struct plan_worker *worker,
                              const struct plan_item *item,
                              const struct predict *predict, uint64_t at,
                              size_t size, struct coding_stats *stats,
                              bool *equal)
{
    uint32_t width = packed_unit_bytes(predict->dtype);
    size_t count = size / width;
    const uint8_t *pred = NULL, *lost = NULL;
    if (match_has_places(item->match)) {
        enum status status = match_gather_read(item->match, pl->in->base,
                                               at / width, count, worker->base);
        if (status)
            return status;
        pred = worker->base;
        if (!predict_is_plain(predict)) {
            predict_elems(predict, at / width, worker->base, count,
                          worker->pred, worker->lost);
            pred = worker->pred;
        }
        lost = predict_has_lost(predict) ? worker->lost : NULL;
    }
    if (!pred || memcmp(pred, worker->target, size))
        *equal = false;
    if (packed_dtype(predict->dtype))
        look_packed(stats, pred, worker->target, count);
    else
        coding_stats_add(stats, pred, lost, worker->target, count);
    return STATUS_OK;
}

static enum status look_plain(struct planner *pl, struct plan_worker *worker,
                              struct plan_item *item, uint64_t at, size_t size)
{
    struct predict predict = item_predict(item);
    return look_elems(pl, worker, item, &predict, at, size, worker->best,
                      &item->equal);
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
static enum status item_as_bytes(struct planner *pl, struct plan_worker *worker,
                                 struct plan_item *item)
{
    struct update_record *record = &item->record;
    record->mode = UPDATE_BYTES;
    enum status status = item_each(pl, worker, item, look_bytes);
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

/* A part's bytes for the whole of which it was seen. */
static uint64_t plan_scale(uint64_t bytes, uint64_t size, uint64_t seen)
{
    if (seen == size || !seen)
        return bytes;
    return (uint64_t)((double)bytes * (double)size / (double)seen);
}

/* What a sample takes as bytes over a base that is merely like it. */
static enum status item_try_like(struct planner *pl, struct plan_worker *worker,
                                 struct plan_item *item)
{
    struct update_record probe = item->record;
    struct segment_piece piece = {.record = &probe};
    struct writer frame;
    uint64_t offset;
    uint32_t size;
    probe.mode = UPDATE_BYTES;
    piece.size =
        probe.size < PLAN_STRETCH ? (uint32_t)probe.size : PLAN_STRETCH;
    piece.target_offset = probe.target_offset + (probe.size - piece.size) / 2;
    if (!segment_piece_prefix(&piece, PLAN_PREFIX, &offset, &size))
        return STATUS_OK;
    uint8_t *prefix = malloc(size);
    if (!prefix)
        return STATUS_NO_MEMORY;
    writer_init_heap(&frame, 2 * PLAN_STRETCH);
    enum status status = source_read(pl->in->base, offset, prefix, size);
    if (!status)
        status = source_read(pl->in->target, piece.target_offset,
                             worker->target, piece.size);
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

/* The range as a matrix: as the tensor is best seen. False when it is none, or
 * not one that tables are for. */
static bool item_matrix(const struct planner *pl,
                        const struct plan_worker *worker,
                        const struct plan_item *item,
                        struct lowrank_input *input)
{
    const struct match *match = item->match;
    const struct update_record *record = &item->record;
    const struct tensor *tensor = match->tensor;
    uint64_t elems = record_elems(record);
    *input = (struct lowrank_input){
        .base = pl->in->base,
        .target = pl->in->target,
        .base_offset = match->base_offset,
        .target_offset = match->target_offset,
        .from = record->from,
        .dtype = record->dtype,
    };
    if (!pl->in->max_rank || match->columns || elems < PLAN_RANK_ELEMS_MIN ||
        !predict_dtype_ok(record->dtype) || !predict_dtype_ok(record->from) ||
        coding_stats_changed(worker->best) < elems / PLAN_RANK_CHANGED_PART ||
        !lowrank_view(tensor->shape, tensor->rank, &input->rows,
                      &input->columns))
        return false;
    input->rows = elems / input->columns;
    return elems % input->columns == 0;
}

static enum status look_trial(struct planner *pl, struct plan_worker *worker,
                              struct plan_item *item, uint64_t at, size_t size)
{
    bool equal;
    return look_elems(pl, worker, item, &item->predict, at, size, worker->trial,
                      &equal);
}

/* The record with these tables, if they save more than they cost. */
static enum status item_try(struct planner *pl, struct plan_worker *worker,
                            struct plan_item *item,
                            const struct predict *predict)
{
    struct update_record record = item->record;
    struct writer tables;
    record.columns = predict->columns;
    record.rank = (uint8_t)predict->rank;
    record.shift = (int8_t)predict->shift;
    record.scaled = predict->row_scale != NULL;
    record.scale_shift = record.scaled ? (int8_t)predict->scale_shift : 0;
    item->predict = *predict;
    writer_init_heap(&tables, 2 * UPDATE_AUX_CODED_MAX);
    enum status status = predictor_tables_write(&record, predict, &tables);
    if (!status)
        status =
            coding_stats_reset(worker->trial, record.dtype, item_columns(item));
    if (!status)
        status = item_each(pl, worker, item, look_trial);
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
static enum status item_try_scales(struct planner *pl,
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
    status = item_try(pl, worker, item, &predict);
    if (!item->record.scaled)
        return status;
    input->row_scale = worker->scales;
    input->scale_shift = PREDICT_INT_SCALE_SHIFT;
    return status;
}

static enum status item_try_rank(struct planner *pl, struct plan_worker *worker,
                                 struct plan_item *item,
                                 const struct lowrank_input *input)
{
    struct lowrank lowrank;
    enum status status = lowrank_fit(input, pl->in->max_rank, &lowrank);
    if (status)
        return status;
    if (lowrank.rank) {
        struct predict predict =
            lowrank_predict(&lowrank, input->from, input->dtype);
        predict.row_scale = input->row_scale;
        predict.scale_shift = input->scale_shift;
        status = item_try(pl, worker, item, &predict);
    }
    lowrank_deinit(&lowrank);
    return status;
}

static enum status item_try_tables(struct planner *pl,
                                   struct plan_worker *worker,
                                   struct plan_item *item)
{
    struct lowrank_input input;
    if (!planner_room_for_tables(pl) || !item_matrix(pl, worker, item, &input))
        return STATUS_OK;
    item->elem_bits = coding_stats_bits(worker->best);
    enum status status = item_try_scales(pl, worker, item, &input);
    if (!status)
        status = item_try_rank(pl, worker, item, &input);
    free(worker->scales);
    worker->scales = NULL;
    return status;
}

static enum status item_as_elems(struct planner *pl, struct plan_worker *worker,
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
        status = item_each(pl, worker, item, look_plain);
    item->equal = item->equal && match_is_plain(match);
    if (status || item->equal)
        return status;
    if (match->base_size && match->like)
        return item_try_like(pl, worker, item);
    return match_has_places(match) ? item_try_tables(pl, worker, item)
                                   : STATUS_OK;
}

static enum status item_measure(struct planner *pl, struct plan_worker *worker,
                                struct plan_item *item)
{
    const struct match *match = item->match;
    enum coding_kind kind;
    item->coded = match->tensor &&
                  coding_kind_of(match->tensor->dtype, &kind) &&
                  match->size >= PLAN_CODED_SIZE_MIN;
    item->equal = match->base_size != 0;
    item->tables.size = 0;
    item->bits = 0;
    memset(item->target_histogram, 0, sizeof(item->target_histogram));
    memset(item->diff_histogram, 0, sizeof(item->diff_histogram));
    item->record = (struct update_record){
        .target_offset = match->target_offset,
        .size = match->size,
        .base_offset = match->base_size ? match->base_offset : 0,
        .base_size = match->base_size,
    };
    return item->coded ? item_as_elems(pl, worker, item)
                       : item_as_bytes(pl, worker, item);
}

/* ---- adding ---- */

static bool plan_base_follows(const struct update_record *a,
                              const struct update_record *b)
{
    return a->base_size == a->size && b->base_size == b->size &&
           a->base_offset + a->size == b->base_offset;
}

/* Joins a record to the one before it where that codes the same. */
static bool planner_join(struct planner *pl, const struct update_record *next)
{
    struct record_list *list = &pl->out->records;
    if (!list->count || next->mode == UPDATE_CODED)
        return false;
    struct update_record *last = &list->records[list->count - 1];
    bool bare = !last->base_size && !next->base_size;
    bool follows = plan_base_follows(last, next);
    bool absorb = last->mode == UPDATE_DIFF && next->mode == UPDATE_SAME &&
                  next->size <= PLAN_ABSORB_MAX;
    if (!(last->mode == next->mode && (bare || follows)) &&
        !(absorb && follows))
        return false;
    last->size += next->size;
    last->base_size += next->base_size;
    return true;
}

static enum status planner_add(struct planner *pl,
                               const struct update_record *record,
                               struct plan_coding coding)
{
    struct record_list *list = &pl->out->records;
    if (planner_join(pl, record))
        return STATUS_OK;
    if (list->count >= UPDATE_RECORDS_MAX)
        return STATUS_LIMIT;
    if (list->count == pl->coding_cap) {
        uint32_t cap = pl->coding_cap ? 2 * pl->coding_cap : 64;
        struct plan_coding *more = realloc(pl->codings, cap * sizeof(*more));
        if (!more)
            return STATUS_NO_MEMORY;
        pl->codings = more;
        pl->coding_cap = cap;
    }
    uint32_t aux = list->count ? list->records[list->count - 1].aux : 0;
    struct update_record *out = record_list_push(list);
    if (!out)
        return STATUS_NO_MEMORY;
    *out = *record;
    if (!record_has_tables(record))
        out->aux = aux;
    pl->codings[list->count - 1] = coding;
    return STATUS_OK;
}

static enum status planner_new_aux(struct planner *pl)
{
    struct update_plan *out = pl->out;
    if (out->aux_count == UPDATE_AUX_MAX)
        return STATUS_LIMIT;
    if (out->aux_count == out->aux_cap) {
        uint32_t cap = out->aux_cap ? 2 * out->aux_cap : 16;
        struct plan_aux *more = realloc(out->aux, cap * sizeof(*more));
        if (!more)
            return STATUS_NO_MEMORY;
        out->aux = more;
        out->aux_cap = cap;
    }
    out->aux[out->aux_count++] = (struct plan_aux){out->aux_bytes.size, 0};
    pl->tables_size = 0;
    return STATUS_OK;
}

/* Puts the item's tables into the auxiliary segment begun last, or the next
 * one. */
static enum status planner_add_tables(struct planner *pl,
                                      struct plan_item *item)
{
    struct update_plan *out = pl->out;
    struct bytes coded = writer_view(&item->tables);
    uint64_t size = record_tables_size(&item->record);
    struct plan_aux *last =
        out->aux_count ? &out->aux[out->aux_count - 1] : NULL;
    if (!last || last->size >= PLAN_AUX_FULL ||
        last->size + coded.size > UPDATE_AUX_CODED_MAX ||
        pl->tables_size + size > RECORD_TABLES_MAX) {
        enum status status = planner_new_aux(pl);
        if (status)
            return status;
        last = &out->aux[out->aux_count - 1];
    }
    writer_bytes(&out->aux_bytes, coded.data, coded.size);
    last->size += (uint32_t)coded.size;
    pl->tables_size += size;
    item->record.aux = out->aux_count;
    return writer_status(&out->aux_bytes);
}

static enum status planner_add_window(struct planner *pl,
                                      const struct match *match,
                                      struct update_record *record)
{
    struct record_list *list = &pl->out->records;
    struct gather_run *runs =
        record_list_push_runs(list, match->runs, match->run_count);
    if (match->run_count && !runs)
        return STATUS_NO_MEMORY;
    record->columns = match->columns;
    record->window = (struct record_window){
        .on = true,
        .transposed = match->transposed,
        .stride = match->base_stride,
        .run_first = list->run_count - match->run_count,
        .run_count = match->run_count,
    };
    struct gather gather;
    record_gather(list, record, &gather);
    return gather_check(&gather, record_elems(record), pl->in->base->size,
                        &record->base_size);
}

static enum status planner_add_elems(struct planner *pl, struct plan_item *item,
                                     struct plan_worker *worker)
{
    struct plan_coding coding = {.seen = item->seen, .like = item->like};
    struct update_record *record = &item->record;
    enum status status = STATUS_OK;
    if (record_has_tables(record))
        status = planner_add_tables(pl, item);
    if (!status && match_has_places(item->match) && item->match->columns)
        status = planner_add_window(pl, item->match, record);
    if (!status)
        status = coding_plan_add(pl->plan, worker->best, &coding.index);
    return status ? status : planner_add(pl, record, coding);
}

static enum status planner_add_item(struct planner *pl, struct plan_item *item,
                                    struct plan_worker *worker)
{
    if (item->equal) {
        struct update_record same = item->record;
        same.mode = UPDATE_SAME;
        same.dtype = same.from = DTYPE_BOOL;
        return planner_add(pl, &same, plan_no_coding);
    }
    if (item->coded)
        return planner_add_elems(pl, item, worker);
    if (item->seen)
        pl->out->coded_size +=
            (uint64_t)(item->bits / 8 * (double)item->match->size /
                       (double)item->seen);
    return planner_add(pl, &item->record, plan_no_coding);
}

/* ---- the whole ---- */

static void plan_task(void *arg, unsigned index)
{
    struct planner *pl = arg;
    struct plan_item *item = &pl->items[index];
    item->status = item_measure(pl, &pl->workers[index], item);
}

static void plan_measure_round(struct planner *pl, unsigned count)
{
    if (count > 1) {
        pl->in->parallel->run(pl->in->parallel->ctx, count, plan_task, pl);
        return;
    }
    plan_task(pl, 0);
}

static enum status plan_progress(struct planner *pl, uint64_t size)
{
    pl->seen += size;
    if (pl->in->progress &&
        !pl->in->progress(pl->in->progress_ctx, pl->seen, pl->in->target->size))
        return STATUS_CLOSED;
    return STATUS_OK;
}

static enum status plan_round(struct planner *pl, const struct match *matches,
                              unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        pl->items[i].match = &matches[i];
    plan_measure_round(pl, count);
    for (unsigned i = 0; i < count; i++) {
        enum status status = pl->items[i].status;
        if (!status)
            status = planner_add_item(pl, &pl->items[i], &pl->workers[i]);
        if (!status)
            status = plan_progress(pl, matches[i].size);
        if (status)
            return status;
    }
    return STATUS_OK;
}

/* The coding of one record, or bytes where coding gains nothing. */
static void plan_settle(struct planner *pl, uint32_t i)
{
    struct update_record *record = &pl->out->records.records[i];
    struct plan_coding coding = pl->codings[i];
    if (coding.index == plan_no_coding.index)
        return;
    uint64_t bits = coding_plan_coding(pl->plan, coding.index, &record->coding);
    uint64_t bytes = plan_scale(bits / 8, record->size, coding.seen);
    bool poor = bytes >= record->size - record->size / 64;
    if (!record_has_tables(record) && (poor || bytes > coding.like)) {
        record_uncode(record);
        pl->out->coded_size += coding.like;
        return;
    }
    if (!coding_has_base(&record->coding)) {
        record->base_size = record->base_offset = 0;
        record->from = record->dtype;
        record->columns = 0;
        record->window = (struct record_window){0};
    }
    pl->out->coded_size += bytes;
}

static enum status plan_run(struct planner *pl)
{
    const struct match_list *matches = pl->in->matches;
    enum status status = planner_init(pl);
    for (size_t i = 0; !status && i < matches->count;) {
        size_t left = matches->count - i;
        unsigned count = left < pl->width ? (unsigned)left : pl->width;
        status = plan_round(pl, &matches->items[i], count);
        i += count;
    }
    if (!status)
        status = coding_plan_solve(pl->plan, &pl->out->tables);
    for (uint32_t i = 0; !status && i < pl->out->records.count; i++)
        plan_settle(pl, i);
    pl->out->coded_size += pl->out->aux_bytes.size;
    return status;
}

enum status update_plan_make(const struct update_plan_input *input,
                             struct update_plan *out)
{
    struct planner pl = {.in = input, .out = out};
    memset(out, 0, sizeof(*out));
    enum status status = plan_run(&pl);
    planner_deinit(&pl);
    if (status)
        update_plan_deinit(out);
    return status;
}

void update_plan_deinit(struct update_plan *plan)
{
    record_list_deinit(&plan->records);
    writer_deinit(&plan->aux_bytes);
    free(plan->aux);
    memset(plan, 0, sizeof(*plan));
}
