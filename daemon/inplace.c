/* Segments that nothing else reads any more are written first (Kahn's order of
 * the graph "must be before"); where there is none because some need each
 * other's bytes, the first one left is, and what others need of it is kept.
 *
 * The base is looked at in pages: each is overwritten by one step at most and
 * is kept when a later step reads it. */
#include "daemon/inplace.h"

#include <stdlib.h>

#define INPLACE_PAGE_LOG_MIN 12u
#define INPLACE_PAGES_MAX    (1u << 20)
#define INPLACE_NEVER        UINT32_MAX

/* A segment reads a stretch of pages. */
struct inplace_span {
    uint32_t segment;
    uint32_t first;
    uint32_t last; /* inclusive */
};

struct inplace {
    const struct journal_plan *plan;
    unsigned page_log;
    uint32_t page_count;
    uint32_t segment_count;
    bool *writes; /* per segment: it must be written, and is not yet */
    struct inplace_span *spans;
    size_t span_count, span_cap;
    uint32_t *first_span; /* per segment, once sorted; one more at the end */
    uint32_t *readers;    /* per segment: spans of others that read it */
    uint32_t *queue;      /* segments that nothing else reads */
    uint32_t queue_at, queue_end;
    uint32_t *order;
    uint32_t order_count;
    uint32_t *step_of_page; /* the step that overwrites it */
    uint32_t *last_reader;  /* the last step that reads it, plus 1 */
};

enum status inplace_new(const struct journal_plan *plan, struct inplace **out)
{
    struct inplace *inplace = calloc(1, sizeof(*inplace));
    *out = inplace;
    if (!inplace)
        return STATUS_NO_MEMORY;
    inplace->plan = plan;
    inplace->page_log = INPLACE_PAGE_LOG_MIN;
    while (plan->base_size >> inplace->page_log >= INPLACE_PAGES_MAX)
        inplace->page_log++;
    uint64_t page = 1ull << inplace->page_log;
    uint64_t segment = 1ull << plan->segment_log;
    inplace->page_count =
        (uint32_t)((plan->base_size + page - 1) >> inplace->page_log);
    inplace->segment_count =
        (uint32_t)((plan->target_size + segment - 1) >> plan->segment_log);
    size_t n = (size_t)inplace->segment_count + 1;
    inplace->writes = calloc(n, sizeof(bool));
    inplace->first_span = calloc(n + 1, sizeof(uint32_t));
    inplace->readers = calloc(n, sizeof(uint32_t));
    inplace->queue = calloc(n, sizeof(uint32_t));
    inplace->order = calloc(n, sizeof(uint32_t));
    n = (size_t)inplace->page_count + 1;
    inplace->step_of_page = calloc(n, sizeof(uint32_t));
    inplace->last_reader = calloc(n, sizeof(uint32_t));
    if (inplace->writes && inplace->first_span && inplace->readers &&
        inplace->queue && inplace->order && inplace->step_of_page &&
        inplace->last_reader)
        return STATUS_OK;
    inplace_free(inplace);
    *out = NULL;
    return STATUS_NO_MEMORY;
}

void inplace_free(struct inplace *inplace)
{
    if (!inplace)
        return;
    free(inplace->writes);
    free(inplace->spans);
    free(inplace->first_span);
    free(inplace->readers);
    free(inplace->queue);
    free(inplace->order);
    free(inplace->step_of_page);
    free(inplace->last_reader);
    free(inplace);
}

void inplace_write(struct inplace *inplace, uint32_t segment)
{
    if (segment < inplace->segment_count)
        inplace->writes[segment] = true;
}

enum status inplace_read(struct inplace *inplace, uint32_t segment,
                         uint64_t offset, uint64_t size)
{
    uint64_t end = inplace->plan->base_size;
    if (!size || offset >= end || segment >= inplace->segment_count)
        return STATUS_OK;
    end = size < end - offset ? offset + size : end;
    const struct inplace_span span = {
        segment, (uint32_t)(offset >> inplace->page_log),
        (uint32_t)((end - 1) >> inplace->page_log)};
    struct inplace_span *last =
        inplace->span_count ? &inplace->spans[inplace->span_count - 1] : NULL;
    if (last && last->segment == segment && span.first >= last->first &&
        span.first <= last->last + 1) {
        if (span.last > last->last)
            last->last = span.last;
        return STATUS_OK;
    }
    if (inplace->span_count == inplace->span_cap) {
        size_t cap = inplace->span_cap ? 2 * inplace->span_cap : 1024;
        struct inplace_span *spans =
            cap > UINT32_MAX ? NULL
                             : realloc(inplace->spans, cap * sizeof(*spans));
        if (!spans)
            return STATUS_NO_MEMORY;
        inplace->spans = spans;
        inplace->span_cap = cap;
    }
    inplace->spans[inplace->span_count++] = span;
    return STATUS_OK;
}

/* ---- Order ---- */

static int span_compare(const void *a, const void *b)
{
    const struct inplace_span *x = a, *y = b;
    if (x->segment != y->segment)
        return x->segment < y->segment ? -1 : 1;
    return x->first < y->first ? -1 : x->first > y->first;
}

static void inplace_sort(struct inplace *inplace)
{
    if (inplace->span_count)
        qsort(inplace->spans, inplace->span_count, sizeof(*inplace->spans),
              span_compare);
    size_t at = 0;
    for (uint32_t i = 0; i <= inplace->segment_count; i++) {
        while (at < inplace->span_count && inplace->spans[at].segment < i)
            at++;
        inplace->first_span[i] = (uint32_t)at;
    }
}

/* The segments that lie where a span reads; false when none does. */
static bool span_segments(const struct inplace *inplace,
                          const struct inplace_span *span, uint32_t *first,
                          uint32_t *last)
{
    unsigned shift = inplace->plan->segment_log - inplace->page_log;
    *first = span->first >> shift;
    *last = span->last >> shift;
    if (*last >= inplace->segment_count)
        *last = inplace->segment_count - 1;
    return *first <= *last;
}

/* Adds to, or takes from, the readers of all segments that one reads. */
static void inplace_count(struct inplace *inplace, uint32_t segment, bool add)
{
    for (uint32_t i = inplace->first_span[segment];
         i < inplace->first_span[segment + 1]; i++) {
        uint32_t first, last;
        if (!span_segments(inplace, &inplace->spans[i], &first, &last))
            continue;
        for (uint32_t k = first; k <= last; k++) {
            if (k == segment)
                continue;
            inplace->readers[k] += add ? 1u : UINT32_MAX;
            if (!add && !inplace->readers[k] && inplace->writes[k])
                inplace->queue[inplace->queue_end++] = k;
        }
    }
}

static void inplace_next(struct inplace *inplace, uint32_t segment)
{
    inplace->writes[segment] = false;
    inplace->order[inplace->order_count++] = segment;
    inplace_count(inplace, segment, false);
}

/* A segment enters the queue when its last reader is done; one taken out of
 * turn while it had readers is done before they are, and never enters. */
static void inplace_sequence(struct inplace *inplace)
{
    uint32_t next = 0, count = inplace->segment_count;
    for (uint32_t i = 0; i < count; i++)
        if (inplace->writes[i])
            inplace_count(inplace, i, true);
    for (uint32_t i = 0; i < count; i++)
        if (inplace->writes[i] && !inplace->readers[i])
            inplace->queue[inplace->queue_end++] = i;
    while (next < count) {
        if (inplace->queue_at < inplace->queue_end)
            inplace_next(inplace, inplace->queue[inplace->queue_at++]);
        else if (inplace->writes[next])
            inplace_next(inplace, next);
        else
            next++;
    }
}

/* ---- Steps ---- */

/* Runs of neighbours, upwards or downwards, of a bounded size. */
static enum status inplace_steps(struct inplace *inplace,
                                 struct journal_plan *plan)
{
    uint32_t most = JOURNAL_STEP_BYTES >> plan->segment_log;
    plan->steps =
        calloc((size_t)inplace->order_count + 1, sizeof(*plan->steps));
    if (!plan->steps)
        return STATUS_NO_MEMORY;
    for (uint32_t i = 0; i < inplace->order_count; i++) {
        uint32_t segment = inplace->order[i];
        struct journal_step *step =
            plan->step_count ? &plan->steps[plan->step_count - 1] : NULL;
        bool up = step && segment == step->first + step->count;
        bool down = step && segment + 1 == step->first;
        if ((up || down) && step->count < most) {
            step->first -= down;
            step->count++;
            continue;
        }
        plan->steps[plan->step_count++] = (struct journal_step){segment, 1, 0};
    }
    return STATUS_OK;
}

static void inplace_mark_reads(struct inplace *inplace, uint32_t segment,
                               uint32_t step)
{
    for (uint32_t i = inplace->first_span[segment];
         i < inplace->first_span[segment + 1]; i++)
        for (uint32_t page = inplace->spans[i].first;
             page <= inplace->spans[i].last; page++)
            if (inplace->last_reader[page] < step + 1)
                inplace->last_reader[page] = step + 1;
}

static void inplace_mark(struct inplace *inplace,
                         const struct journal_plan *plan)
{
    for (uint32_t i = 0; i < inplace->page_count; i++)
        inplace->step_of_page[i] = INPLACE_NEVER;
    for (uint32_t i = 0; i < plan->step_count; i++) {
        uint64_t offset;
        uint64_t end = journal_step_range(plan, i, &offset) + offset;
        for (uint64_t at = offset; at < end && at < plan->base_size;
             at += 1ull << inplace->page_log)
            inplace->step_of_page[at >> inplace->page_log] = i;
        const struct journal_step *step = &plan->steps[i];
        for (uint32_t k = 0; k < step->count; k++)
            inplace_mark_reads(inplace, step->first + k, i);
    }
}

/* ---- Keeps ---- */

static bool inplace_kept(const struct inplace *inplace, uint64_t page,
                         uint32_t step)
{
    return inplace->step_of_page[page] == step &&
           inplace->last_reader[page] > step + 1;
}

static enum status inplace_add_keep(struct journal_plan *plan, uint64_t offset,
                                    uint64_t end)
{
    uint32_t count = plan->keep_count;
    if (count == JOURNAL_KEEPS_MAX)
        return STATUS_LIMIT;
    if (!(count & (count - 1))) { /* at powers of two */
        size_t cap = count ? 2 * (size_t)count : 1;
        struct journal_keep *keeps = realloc(plan->keeps, cap * sizeof(*keeps));
        if (!keeps)
            return STATUS_NO_MEMORY;
        plan->keeps = keeps;
    }
    plan->keeps[plan->keep_count++] =
        (struct journal_keep){offset, end - offset, plan->keep_bytes};
    plan->keep_bytes += end - offset;
    return STATUS_OK;
}

static enum status inplace_keep_step(const struct inplace *inplace,
                                     struct journal_plan *plan, uint32_t step)
{
    uint64_t offset, page = 1ull << inplace->page_log;
    uint64_t end = journal_step_range(plan, step, &offset) + offset;
    enum status status = STATUS_OK;
    if (end > plan->base_size)
        end = plan->base_size;
    for (uint64_t at = offset; !status && at < end;) {
        uint64_t to = at;
        while (to < end && inplace_kept(inplace, to >> inplace->page_log, step))
            to += page;
        if (to > at)
            status = inplace_add_keep(plan, at, to < end ? to : end);
        at = to > at ? to : at + page;
    }
    plan->steps[step].keep_end = plan->keep_count;
    return status;
}

enum status inplace_solve(struct inplace *inplace, struct journal_plan *plan,
                          uint64_t *keep_bytes)
{
    inplace_sort(inplace);
    inplace_sequence(inplace);
    enum status status = inplace_steps(inplace, plan);
    if (status)
        return status;
    inplace_mark(inplace, plan);
    for (uint32_t i = 0; !status && i < plan->step_count; i++) {
        uint64_t offset, bytes = journal_step_range(plan, i, &offset);
        if (bytes > plan->step_bytes)
            plan->step_bytes = (uint32_t)bytes;
        status = inplace_keep_step(inplace, plan, i);
    }
    *keep_bytes = plan->keep_bytes;
    if (!status && plan->keep_bytes > INPLACE_KEEP_MIN &&
        plan->keep_bytes > plan->base_size / 2)
        status = STATUS_LIMIT;
    return status;
}
