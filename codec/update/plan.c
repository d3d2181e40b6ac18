/* Measures matched ranges in stretches of bounded size. */
#include "codec/update/plan.h"

#include "codec/lossless/bytes.h"
#include "codec/update/segment.h"

#include <math.h>
#include <stdlib.h>

#define PLAN_STRETCH 65536u
/* Prefix of a sample tried as bytes. */
#define PLAN_PREFIX (1u << 20)
/* Float tensors below this size are not worth a coding of their own. */
#define PLAN_FLOAT_SIZE_MIN 64u
/* An unchanged range this small is coded along with its changed neighbours. */
#define PLAN_ABSORB_MAX 64u

/* A record's place in the float plan, and how many of its bytes were seen. */
struct plan_coding {
    size_t index;
    uint64_t seen;
    uint64_t like; /* bytes it may take over a base that is merely like it */
};

struct planner {
    const struct update_plan_input *in;
    struct update_plan *out;
    struct plan_coding *codings; /* per record */
    struct fast_stats *stats;
    struct fast_plan *floats;
    uint8_t *base;
    uint8_t *target;
    uint64_t seen; /* bytes measured, for progress */
};

static const struct plan_coding plan_no_coding = {SIZE_MAX, 0, 0};

/* What was found out about one range. */
struct plan_measure {
    bool equal;
    uint64_t bytes;
    uint64_t diff_histogram[256];
    uint64_t target_histogram[256];
};

static enum status planner_init(struct planner *pl)
{
    pl->stats = fast_stats_new();
    pl->floats = fast_plan_new();
    pl->base = malloc(PLAN_STRETCH);
    pl->target = malloc(PLAN_STRETCH);
    return pl->stats && pl->floats && pl->base && pl->target ? STATUS_OK
                                                             : STATUS_NO_MEMORY;
}

static void planner_deinit(struct planner *pl)
{
    fast_stats_free(pl->stats);
    fast_plan_free(pl->floats);
    free(pl->base);
    free(pl->target);
    free(pl->codings);
}

static enum status planner_grow(struct planner *pl)
{
    struct update_plan *out = pl->out;
    if (out->count < out->cap)
        return STATUS_OK;
    if (out->count >= UPDATE_RECORDS_MAX)
        return STATUS_LIMIT;
    uint32_t cap = out->cap ? 2 * out->cap : 64;
    struct update_record *records =
        realloc(out->records, cap * sizeof(*records));
    if (!records)
        return STATUS_NO_MEMORY;
    out->records = records;
    struct plan_coding *codings = realloc(pl->codings, cap * sizeof(*codings));
    if (!codings)
        return STATUS_NO_MEMORY;
    pl->codings = codings;
    out->cap = cap;
    return STATUS_OK;
}

static bool plan_base_follows(const struct update_record *a,
                              const struct update_record *b)
{
    return a->base_size == a->size && b->base_size == b->size &&
           a->base_offset + a->size == b->base_offset;
}

/* Joins a record to the one before it where that codes the same. */
static bool planner_join(struct planner *pl, const struct update_record *next)
{
    if (!pl->out->count || next->mode == UPDATE_FLOAT)
        return false;
    struct update_record *last = &pl->out->records[pl->out->count - 1];
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
    if (planner_join(pl, record))
        return STATUS_OK;
    enum status status = planner_grow(pl);
    if (status)
        return status;
    pl->codings[pl->out->count] = coding;
    pl->out->records[pl->out->count++] = *record;
    return STATUS_OK;
}

static void plan_histograms(struct plan_measure *me, const uint8_t *base,
                            const uint8_t *target, size_t size)
{
    for (size_t i = 0; i < size; i++)
        me->target_histogram[target[i]]++;
    if (!base)
        return;
    for (size_t i = 0; i < size; i++)
        me->diff_histogram[(uint8_t)(target[i] - base[i])]++;
}

static void plan_look(struct planner *pl, const struct match *match,
                      bool floats, bool pair, size_t size,
                      struct plan_measure *me)
{
    const uint8_t *base = pair ? pl->base : NULL;
    if (!pair || memcmp(pl->base, pl->target, size))
        me->equal = false;
    me->bytes += size;
    if (floats)
        fast_stats_add(pl->stats, base, pl->target,
                       size / (dtype_bits(match->tensor->dtype) / 8));
    else
        plan_histograms(me, base, pl->target, size);
}

static enum status plan_progress(struct planner *pl, uint64_t size)
{
    pl->seen += size;
    if (pl->in->progress &&
        !pl->in->progress(pl->in->progress_ctx, pl->seen, pl->in->target->size))
        return STATUS_CLOSED;
    return STATUS_OK;
}

/* Reads a range in stretches, the base beside it where both correspond. */
static enum status plan_measure_range(struct planner *pl,
                                      const struct match *match, bool floats,
                                      struct plan_measure *me)
{
    bool pair = match->base_size == match->size;
    uint64_t step = (uint64_t)PLAN_STRETCH * pl->in->stride;
    memset(me, 0, sizeof(*me));
    me->equal = pair;
    for (uint64_t at = 0; at < match->size; at += step) {
        uint64_t left = match->size - at;
        size_t size = left < PLAN_STRETCH ? (size_t)left : PLAN_STRETCH;
        enum status status = source_read(
            pl->in->target, match->target_offset + at, pl->target, size);
        if (!status && pair)
            status = source_read(pl->in->base, match->base_offset + at,
                                 pl->base, size);
        if (status)
            return status;
        plan_look(pl, match, floats, pair, size, me);
        status = plan_progress(pl, left < step ? left : step);
        if (status)
            return status;
    }
    return STATUS_OK;
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

/* Bytes of what is no float: differences or the bytes themselves. */
static enum status plan_bytes(struct planner *pl, const struct match *match,
                              const struct plan_measure *me)
{
    struct update_record record = {
        .target_offset = match->target_offset,
        .size = match->size,
        .base_offset = match->base_size ? match->base_offset : 0,
        .base_size = match->base_size,
        .mode = UPDATE_BYTES,
    };
    double bits = plan_entropy(me->target_histogram, me->bytes);
    if (match->base_size == match->size) {
        double diff = plan_entropy(me->diff_histogram, me->bytes);
        /* What is no tensor has its equal stretches found by the frame. */
        if (diff < bits && match->tensor)
            record.mode = UPDATE_DIFF;
        bits = diff < bits ? diff : bits;
    }
    if (me->equal) {
        record.mode = UPDATE_SAME;
        bits = 0;
    }
    if (me->bytes)
        pl->out->coded_size +=
            (uint64_t)(bits / 8 * (double)match->size / (double)me->bytes);
    return planner_add(pl, &record, plan_no_coding);
}

/* A part's bytes for the whole of which it was seen. */
static uint64_t plan_scale(uint64_t bytes, uint64_t size, uint64_t seen)
{
    if (seen == size)
        return bytes;
    return (uint64_t)((double)bytes * (double)size / (double)seen);
}

/* What a sample takes as bytes over a base of another shape: a tensor that lost
 * columns has all its rows in the old one. */
static enum status plan_try_like(struct planner *pl,
                                 const struct update_record *record,
                                 uint64_t *bytes)
{
    struct update_record probe = *record;
    struct segment_piece piece = {.record = &probe};
    struct writer frame;
    uint64_t offset;
    uint32_t size;
    probe.mode = UPDATE_BYTES;
    piece.size =
        record->size < PLAN_STRETCH ? (uint32_t)record->size : PLAN_STRETCH;
    piece.target_offset =
        record->target_offset + (record->size - piece.size) / 2;
    if (!segment_piece_prefix(&piece, PLAN_PREFIX, &offset, &size))
        return STATUS_OK;
    uint8_t *prefix = malloc(size);
    if (!prefix)
        return STATUS_NO_MEMORY;
    writer_init_heap(&frame, 2 * PLAN_STRETCH);
    enum status status = source_read(pl->in->base, offset, prefix, size);
    if (!status)
        status = source_read(pl->in->target, piece.target_offset, pl->target,
                             piece.size);
    if (!status)
        status = bytes_encode(bytes_of(pl->target, piece.size),
                              bytes_of(prefix, size), 3, &frame);
    *bytes = plan_scale(frame.size, record->size, piece.size);
    writer_deinit(&frame);
    free(prefix);
    return status;
}

static enum status plan_floats(struct planner *pl, const struct match *match,
                               const struct plan_measure *me)
{
    struct update_record record = {
        .target_offset = match->target_offset,
        .size = match->size,
        .base_offset = match->base_size ? match->base_offset : 0,
        .base_size = match->base_size,
        .mode = UPDATE_FLOAT,
        .dtype = match->tensor->dtype,
    };
    struct plan_coding coding = {.seen = me->bytes, .like = match->size};
    if (me->equal) {
        record.mode = UPDATE_SAME;
        return planner_add(pl, &record, plan_no_coding);
    }
    enum status status = fast_plan_add(pl->floats, pl->stats, &coding.index);
    if (!status && match->base_size && match->base_size != match->size)
        status = plan_try_like(pl, &record, &coding.like);
    if (status)
        return status;
    return planner_add(pl, &record, coding);
}

static enum status plan_match(struct planner *pl, const struct match *match)
{
    struct plan_measure me;
    bool floats = match->tensor && fast_dtype_ok(match->tensor->dtype) &&
                  match->size >= PLAN_FLOAT_SIZE_MIN;
    if (floats)
        fast_stats_reset(pl->stats, match->tensor->dtype);
    enum status status = plan_measure_range(pl, match, floats, &me);
    if (status)
        return status;
    return floats ? plan_floats(pl, match, &me) : plan_bytes(pl, match, &me);
}

/* The coding of one float record, or bytes where coding gains nothing. */
static void plan_settle(struct planner *pl, uint32_t i)
{
    struct update_record *record = &pl->out->records[i];
    struct plan_coding coding = pl->codings[i];
    if (coding.index == plan_no_coding.index)
        return;
    uint64_t bits = fast_plan_coding(pl->floats, coding.index, &record->coding);
    uint64_t bytes = plan_scale(bits / 8, record->size, coding.seen);
    if (bytes >= record->size - record->size / 64 || bytes > coding.like) {
        record->mode = UPDATE_BYTES;
        pl->out->coded_size += coding.like;
        return;
    }
    if (record->coding.mode == FAST_FULL)
        record->base_size = record->base_offset = 0;
    pl->out->coded_size += bytes;
}

static enum status plan_run(struct planner *pl)
{
    enum status status = planner_init(pl);
    for (size_t i = 0; !status && i < pl->in->matches->count; i++)
        status = plan_match(pl, &pl->in->matches->items[i]);
    if (!status)
        status = fast_plan_solve(pl->floats, &pl->out->tables);
    for (uint32_t i = 0; !status && i < pl->out->count; i++)
        plan_settle(pl, i);
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
    free(plan->records);
    memset(plan, 0, sizeof(*plan));
}
