/* Plans in rounds: as many ranges as can be looked at side by side are
 * measured, then their records are added in order, so that the plan does not
 * depend on who was faster. */
#include "codec/update/plan.h"

#include "codec/update/auxiliary.h"
#include "codec/update/plan_item.h"

#include <stdlib.h>

/* An unchanged range this small is coded along with its changed neighbours. */
#define PLAN_ABSORB_MAX 64u
/* Coded bytes at which an auxiliary segment is full. */
#define PLAN_AUX_FULL 65536u

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
        status = plan_worker_init(&pl->workers[i], pl->in->speed);
    }
    return status;
}

static void planner_deinit(struct planner *pl)
{
    for (unsigned i = 0; pl->items && i < pl->width; i++)
        writer_deinit(&pl->items[i].tables);
    for (unsigned i = 0; pl->workers && i < pl->width; i++)
        plan_worker_deinit(&pl->workers[i]);
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
    item->status = plan_item_measure(pl->in, &pl->workers[index], item);
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
    bool room = planner_room_for_tables(pl);
    for (unsigned i = 0; i < count; i++) {
        pl->items[i].match = &matches[i];
        pl->items[i].tables_fit = room;
    }
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

/* The coding of one record, or bytes where coding gains nothing. LIMIT: it has
 * tables, which the coding does not look at after all. */
static enum status plan_settle(struct planner *pl, uint32_t i)
{
    struct update_record *record = &pl->out->records.records[i];
    struct plan_coding coding = pl->codings[i];
    if (coding.index == plan_no_coding.index)
        return STATUS_OK;
    uint64_t bits = coding_plan_coding(pl->plan, coding.index, &record->coding);
    uint64_t bytes = plan_scale(bits / 8, record->size, coding.seen);
    bool poor = bytes >= record->size - record->size / 64;
    if (!record_has_tables(record) && (poor || bytes > coding.like)) {
        record_uncode(record);
        pl->out->coded_size += coding.like;
        return STATUS_OK;
    }
    if (!coding_has_base(&record->coding)) {
        if (record_has_tables(record))
            return STATUS_LIMIT;
        record->base_size = record->base_offset = 0;
        record->from = record->dtype;
        record->columns = 0;
        record->base_scale = 0;
        record->window = (struct record_window){0};
    }
    pl->out->coded_size += bytes;
    return STATUS_OK;
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
        status = plan_settle(pl, i);
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
