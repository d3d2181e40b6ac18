/* Work of the loop on other threads: records for the intake, in order and in
 * batches, and long reads and makes of the core; their outcome goes back. */
#include "daemon/loop_parts.h"

#include "protocol/trust.h"
#include "store/segment.h"
#include "store/update.h"

#include <malloc.h>
#include <stdlib.h>

#define GC_DELAY_NS   (30u * 1000000000ull)
#define GC_FULL_NS    (10u * 1000000000ull) /* while there is no space */
#define FORGOTTEN_MAX 32u /* folders of a model that are looked at */

/* A read or a make for the core. */
struct loop_op {
    struct job job;
    struct loop_op *next;
    struct loop *loop;
    op_id op;
    enum node_action_kind kind;
    struct hash version, update, base, tree;
    bool has_base;
    enum coding_speed speed;
    uint32_t index;
    char model[STORE_NAME_MAX + 1];
    uint64_t uptime_s;
    /* out */
    enum status status;
    struct diag diag;
    uint8_t *bytes;
    size_t size;
    uint64_t estimate;
    struct hash forgotten[FORGOTTEN_MAX];
    size_t forgotten_count;
    bool shallow; /* our own idea: another update where chains grow long */
    bool made;
};

struct loop_wait {
    struct loop_wait *next;
    op_id op;
    void (*fn)(void *ctx, enum status status);
    void *ctx;
};

/* ---- Waiting for records. ---- */

void loop_wait_op(struct loop *loop, op_id op,
                  void (*fn)(void *ctx, enum status status), void *ctx)
{
    struct loop_wait *wait = calloc(1, sizeof(*wait));
    if (!wait) {
        fn(ctx, STATUS_NO_MEMORY);
        return;
    }
    *wait = (struct loop_wait){loop->waits, op, fn, ctx};
    loop->waits = wait;
}

static void wake(struct loop *loop, op_id op, enum status status)
{
    for (struct loop_wait **at = &loop->waits; *at;) {
        struct loop_wait *wait = *at;
        if (wait->op != op) {
            at = &wait->next;
            continue;
        }
        *at = wait->next;
        wait->fn(wait->ctx, status);
        free(wait);
        at = &loop->waits;
    }
}

void loop_forget(struct loop *loop, const void *ctx)
{
    for (struct loop_wait **at = &loop->waits; *at;) {
        struct loop_wait *wait = *at;
        if (wait->ctx == ctx) {
            *at = wait->next;
            free(wait);
        } else {
            at = &wait->next;
        }
    }
}

/* ---- The intake. ---- */

struct batch {
    struct job job;
    struct loop *loop;
    struct loop_item *list;
    uint64_t uptime_s;
};

struct loop_item *loop_item_new(enum intake_kind kind)
{
    struct loop_item *item = calloc(1, sizeof(*item));
    if (item)
        item->item.kind = kind;
    return item;
}

static void batch_run(struct job *job)
{
    struct batch *batch = (struct batch *)job;
    intake_run(batch->loop->intake, &batch->list->item, batch->uptime_s);
}

static void intake_start(struct loop *loop);

/* NO_SPACE pauses fetching in the core; here it is told and room is made. */
static void note_space(struct loop *loop, enum status status, const char *words)
{
    if (status == STATUS_NO_SPACE && !loop->space_problem[0]) {
        snprintf(loop->space_problem, sizeof(loop->space_problem),
                 "no space: fetching pauses%s%.150s", words[0] ? ": " : "",
                 words);
        log_warn(&loop->log, "%s", loop->space_problem);
        loop->beat_due_gc_ns = uv_hrtime();
        uv_timer_start(&loop->beat, loop->beat.timer_cb, 0, LOOP_BEAT_MS);
    } else if (status == STATUS_NO_SPACE) {
        /* What was wanted then may be of no use now. */
        uint64_t due = uv_hrtime() + GC_FULL_NS;
        if (!loop->beat_due_gc_ns || loop->beat_due_gc_ns > due)
            loop->beat_due_gc_ns = due;
    } else if (!status && loop->space_problem[0]) {
        loop->space_problem[0] = '\0';
        log_info(&loop->log, "there is space again");
    }
}

static bool takes_space(enum intake_kind kind)
{
    return kind == INTAKE_PUT_MANIFEST || kind == INTAKE_PUT_HEADER ||
           kind == INTAKE_DECODE || kind == INTAKE_ADD_VERSION;
}

static void item_done(struct loop *loop, struct loop_item *it)
{
    struct intake_item *item = &it->item;
    if (takes_space(item->kind))
        note_space(loop, item->status, item->diag.text);
    if (item->status && item->status != STATUS_NO_SPACE)
        log_debug(&loop->log, "intake %d: %s %s", (int)item->kind,
                  status_text(item->status), item->diag.text);
    if (item->op && loop->node) {
        const struct node_result result = {.status = item->status,
                                           .cpu_ns = item->cpu_ns};
        node_done(loop->node, item->op, &result, uv_hrtime());
        wake(loop, item->op, item->status);
    }
    if (it->done)
        it->done(loop, it);
    free(item->bytes);
    free(it);
}

static void batch_done(struct job *job)
{
    struct batch *batch = (struct batch *)job;
    struct loop *loop = batch->loop;
    struct intake_item *next;
    loop->intake_busy = false;
    for (struct intake_item *i = &batch->list->item; i; i = next) {
        next = i->next;
        item_done(loop, (struct loop_item *)i);
    }
    free(batch);
    intake_start(loop);
    loop_drain(loop);
}

/* Takes what waits, up to INTAKE_BATCH_BYTES, as one job. */
static void intake_start(struct loop *loop)
{
    if (loop->intake_busy || !loop->items_first)
        return;
    struct batch *batch = calloc(1, sizeof(*batch));
    if (!batch)
        return; /* the next item tries again */
    uint64_t bytes = loop->items_first->item.size;
    struct loop_item *last = loop->items_first;
    while (last->item.next &&
           bytes + last->item.next->size <= INTAKE_BATCH_BYTES) {
        last = (struct loop_item *)last->item.next;
        bytes += last->item.size;
    }
    batch->job.lanes = JOB_LANE_WRITE;
    batch->job.run = batch_run;
    batch->job.done = batch_done;
    batch->loop = loop;
    batch->list = loop->items_first;
    batch->uptime_s = loop_uptime_s(loop);
    loop->items_first = (struct loop_item *)last->item.next;
    if (!loop->items_first)
        loop->items_last = NULL;
    last->item.next = NULL;
    loop->intake_busy = true;
    job_submit(&loop->jobs, &batch->job);
}

void loop_item_submit(struct loop *loop, struct loop_item *item)
{
    item->item.next = NULL;
    if (loop->items_last)
        loop->items_last->item.next = &item->item;
    else
        loop->items_first = item;
    loop->items_last = item;
    intake_start(loop);
}

/* The publisher and counter of a version, as its record says. */
static void name_version(struct loop *loop, struct intake_item *item)
{
    struct trust_version *v = malloc(sizeof(*v));
    if (v && !trust_version_get(node_trust(loop->node), &item->version, v) &&
        v->author.size <= STORE_NAME_MAX) {
        memcpy(item->role, v->author.data, v->author.size);
        item->counter = v->n;
    }
    free(v);
}

void loop_submit_action(struct loop *loop, enum intake_kind kind,
                        const struct node_action *a)
{
    struct loop_item *it = loop_item_new(kind);
    uint8_t *bytes = a->owned;
    if (it && a->bytes.size && !bytes) {
        bytes = malloc(a->bytes.size);
        if (bytes)
            memcpy(bytes, a->bytes.data, a->bytes.size);
    }
    if (!it || (a->bytes.size && !bytes)) {
        free(it);
        free(a->owned);
        const struct node_result result = {.status = STATUS_NO_MEMORY};
        if (a->op)
            node_done(loop->node, a->op, &result, uv_hrtime());
        return;
    }
    if (bytes == a->owned && bytes && a->bytes.data != bytes)
        memmove(bytes, a->bytes.data, a->bytes.size);
    it->item.op = a->op;
    it->item.version = a->version;
    it->item.update = a->update;
    it->item.hash = a->record.hash;
    memcpy(it->item.slot, a->record.slot, sizeof(it->item.slot));
    it->item.epoch = a->record.epoch;
    it->item.seq = a->record.seq;
    it->item.record_kind = a->record.kind;
    it->item.index = a->index;
    it->item.bytes = bytes;
    it->item.size = a->bytes.size;
    if (kind == INTAKE_PUT_MANIFEST)
        name_version(loop, &it->item);
    loop_item_submit(loop, it);
}

/* ---- Reads, makes and activations. ---- */

static enum status take_view(struct loop_op *op, struct bytes view)
{
    op->bytes = malloc(view.size ? view.size : 1);
    if (!op->bytes)
        return STATUS_NO_MEMORY;
    if (view.size)
        memcpy(op->bytes, view.data, view.size);
    op->size = view.size;
    return STATUS_OK;
}

static enum status read_store(struct loop_op *op)
{
    struct store_txn txn;
    struct bytes view;
    enum status status =
        store_txn_begin(&txn, op->loop->env, STORE_TXN_READ, &op->diag);
    if (status)
        return status;
    if (op->kind == NODE_ACTION_READ_MANIFEST)
        status = store_version_get_manifest(&txn, &op->version, &view);
    else if (op->kind == NODE_ACTION_READ_HEADER)
        status = store_update_get_header(&txn, &op->update, &view);
    else
        status = store_segment_get(&txn, &op->update, op->index, &view);
    if (!status)
        status = take_view(op, view);
    store_txn_abort(&txn);
    return status;
}

static void note_forgotten(void *ctx, const struct hash *version)
{
    struct loop_op *op = ctx;
    if (op->forgotten_count < FORGOTTEN_MAX)
        op->forgotten[op->forgotten_count++] = *version;
}

static struct make_pair op_pair(const struct loop_op *op)
{
    return (struct make_pair){.base = op->has_base ? &op->base : NULL,
                              .target = &op->tree,
                              .speed = op->speed};
}

static void op_run(struct job *job)
{
    struct loop_op *op = (struct loop_op *)job;
    const struct places *places = &op->loop->places;
    if (op->shallow) {
        struct made_update made;
        op->status = make_shallow(places, &op->version, op->uptime_s, job,
                                  &op->made, &made, &op->diag);
        op->bytes = made.header;
        op->size = made.header_size;
    } else if (op->kind == NODE_ACTION_MAKE) {
        struct made_update made;
        const struct make_pair pair = op_pair(op);
        op->status = make_update_between(places, &pair, op->uptime_s, job,
                                         &made, &op->diag);
        op->bytes = made.header;
        op->size = made.header_size;
    } else if (op->kind == NODE_ACTION_ESTIMATE) {
        const struct make_pair pair = op_pair(op);
        op->status = make_estimate(places, &pair, &op->estimate);
    } else if (op->kind == NODE_ACTION_ACTIVATE) {
        const struct activate_options options = {.ctx = op,
                                                 .job = job,
                                                 .uptime_s = op->uptime_s,
                                                 .forgotten = note_forgotten};
        uint64_t n;
        op->status =
            activate_version(places, &op->version, &options, &n, &op->diag);
    } else {
        op->status = read_store(op);
    }
}

static void shallow_done(struct loop *loop, const struct loop_op *op)
{
    if (op->status && op->status != STATUS_CLOSED)
        log_debug(&loop->log, "no update for fewer steps was made: %s %s",
                  status_text(op->status), op->diag.text);
    if (!op->made || !loop->node)
        return;
    enum status status =
        node_add_update(loop->node, bytes_of(op->bytes, op->size));
    if (status)
        log_debug(&loop->log, "an update for fewer steps was not taken: %s",
                  status_text(status));
}

static void op_done(struct job *job)
{
    struct loop_op *op = (struct loop_op *)job;
    struct loop *loop = op->loop;
    struct loop_op **at = &loop->ops;
    while (*at != op)
        at = &(*at)->next;
    *at = op->next;
    if (op->status && op->kind == NODE_ACTION_ACTIVATE)
        log_warn(&loop->log, "%s cannot be put in place: %s", op->model,
                 op->diag.text[0] ? op->diag.text : status_text(op->status));
    if (op->kind == NODE_ACTION_ESTIMATE) {
        log_debug(&loop->log, "an update that could be made: %s, %llu bytes",
                  status_text(op->status), (unsigned long long)op->estimate);
        malloc_trim(0);
    }
    if (op->kind == NODE_ACTION_ACTIVATE || op->kind == NODE_ACTION_MAKE) {
        note_space(loop, op->status, op->diag.text);
        if (!loop->beat_due_gc_ns && !op->status)
            loop->beat_due_gc_ns = uv_hrtime() + GC_DELAY_NS;
        malloc_trim(0);
    }
    for (size_t i = 0; i < op->forgotten_count && loop->node; i++)
        node_swept_version(loop->node, &op->forgotten[i]);
    if (op->shallow) {
        shallow_done(loop, op);
    } else if (loop->node) {
        const struct node_result result = {
            .status = op->status,
            .bytes = bytes_of(op->bytes, op->status ? 0 : op->size),
            .estimate = op->estimate,
            .cpu_ns = job->cpu_ns};
        node_done(loop->node, op->op, &result, uv_hrtime());
    }
    if (op->kind == NODE_ACTION_ACTIVATE && !op->status)
        loop_submit_shallow(loop, &op->version);
    free(op->bytes);
    free(op);
    loop_drain(loop);
}

void loop_submit_shallow(struct loop *loop, const struct hash *version)
{
    struct loop_op *op = loop->stopping ? NULL : calloc(1, sizeof(*op));
    if (!op)
        return;
    op->loop = loop;
    op->kind = NODE_ACTION_MAKE;
    op->shallow = true;
    op->version = *version;
    op->uptime_s = loop_uptime_s(loop);
    op->job.lanes = JOB_LANE_LONG;
    op->job.run = op_run;
    op->job.done = op_done;
    op->next = loop->ops;
    loop->ops = op;
    job_submit(&loop->jobs, &op->job);
}

void loop_submit_op(struct loop *loop, const struct node_action *a)
{
    struct loop_op *op = calloc(1, sizeof(*op));
    if (!op) {
        const struct node_result result = {.status = STATUS_NO_MEMORY};
        node_done(loop->node, a->op, &result, uv_hrtime());
        return;
    }
    op->loop = loop;
    op->op = a->op;
    op->kind = a->kind;
    op->version = a->version;
    op->update = a->update;
    op->base = a->base;
    op->has_base = a->has_base;
    op->speed = a->speed;
    op->tree = a->tree;
    op->index = a->index;
    op->uptime_s = loop_uptime_s(loop);
    snprintf(op->model, sizeof(op->model), "%s", a->text ? a->text : "");
    op->job.run = op_run;
    op->job.done = op_done;
    if (a->kind == NODE_ACTION_MAKE || a->kind == NODE_ACTION_ESTIMATE)
        op->job.lanes = JOB_LANE_LONG;
    else if (a->kind == NODE_ACTION_ACTIVATE)
        op->job.lanes = JOB_LANE_PLACE;
    op->next = loop->ops;
    loop->ops = op;
    job_submit(&loop->jobs, &op->job);
}

void loop_cancel_op(struct loop *loop, op_id id)
{
    for (struct loop_op *op = loop->ops; op; op = op->next)
        if (op->op == id && op->kind == NODE_ACTION_MAKE && !op->shallow)
            atomic_store(&op->job.cancelled, true);
}

void loop_free_jobs(struct loop *loop)
{
    while (loop->items_first) {
        struct loop_item *it = loop->items_first;
        loop->items_first = (struct loop_item *)it->item.next;
        free(it->item.bytes);
        free(it);
    }
    while (loop->waits) {
        struct loop_wait *wait = loop->waits;
        loop->waits = wait->next;
        free(wait);
    }
}
