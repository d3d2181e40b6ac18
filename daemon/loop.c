/* The loop: actions of the core become jobs, sockets and log lines; their
 * outcome goes back. */
#include "daemon/loop.h"

#include "daemon/control.h"
#include "daemon/fs.h"
#include "daemon/net.h"
#include "daemon/notify.h"
#include "daemon/udp.h"
#include "protocol/name.h"
#include "protocol/trust.h"
#include "store/meta.h"
#include "store/segment.h"
#include "store/update.h"

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <net/if.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define BEAT_MS         60000u
#define UPTIME_SAVE_S   600u
#define STOP_WAIT_NS    (1500u * 1000000ull)
#define GC_DELAY_NS     (30u * 1000000000ull)
#define GC_FULL_NS      (10u * 1000000000ull) /* while there is no space */
#define GC_PERIOD_NS    (6u * 3600u * 1000000000ull)
#define QUOTA_LEAST     ((uint64_t)16 << 20)
#define DRAIN_TURNS_MAX 10000u
#define FORGOTTEN_MAX   32u /* folders of a model that are looked at */

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

uint64_t loop_uptime_s(const struct loop *loop)
{
    return loop->uptime_base_s + (uv_hrtime() - loop->started_ns) / 1000000000u;
}

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
        uv_timer_start(&loop->beat, loop->beat.timer_cb, 0, BEAT_MS);
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

static void submit_action(struct loop *loop, enum intake_kind kind,
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

static void shallow_submit(struct loop *loop, const struct hash *version);

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
        shallow_submit(loop, &op->version);
    free(op->bytes);
    free(op);
    loop_drain(loop);
}

/* Keeps what is in place readable by few steps, while its files are there. */
static void shallow_submit(struct loop *loop, const struct hash *version)
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

static void submit_op(struct loop *loop, const struct node_action *a)
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

static void cancel_op(struct loop *loop, op_id id)
{
    for (struct loop_op *op = loop->ops; op; op = op->next)
        if (op->op == id && op->kind == NODE_ACTION_MAKE && !op->shallow)
            atomic_store(&op->job.cancelled, true);
}

void loop_trim(struct loop *loop)
{
    (void)loop;
    malloc_trim(0);
}

/* ---- Actions. ---- */

static void perform(struct loop *loop, const struct node_action *a)
{
    static const enum log_level levels[] = {LOG_LEVEL_ERROR, LOG_LEVEL_WARN,
                                            LOG_LEVEL_INFO, LOG_LEVEL_DEBUG};
    switch (a->kind) {
    case NODE_ACTION_DIAL: {
        char addr[NODE_ADDR_MAX + 1];
        snprintf(addr, sizeof(addr), "%s", a->text);
        net_dial(loop->net, a->link, addr);
        return;
    }
    case NODE_ACTION_CLOSE:
        net_close(loop->net, a->link, a->status);
        return;
    case NODE_ACTION_OUTPUT:
        net_output(loop->net, a->link);
        return;
    case NODE_ACTION_PUT_RECORD:
        submit_action(loop, INTAKE_PUT_RECORD, a);
        return;
    case NODE_ACTION_DROP_RECORD:
        submit_action(loop, INTAKE_DROP_RECORD, a);
        return;
    case NODE_ACTION_PUT_MANIFEST:
        submit_action(loop, INTAKE_PUT_MANIFEST, a);
        return;
    case NODE_ACTION_PUT_HEADER:
        submit_action(loop, INTAKE_PUT_HEADER, a);
        return;
    case NODE_ACTION_DECODE:
        submit_action(loop, INTAKE_DECODE, a);
        return;
    case NODE_ACTION_COMPLETE:
        submit_action(loop, INTAKE_COMPLETE, a);
        return;
    case NODE_ACTION_DROP_VERSION:
        submit_action(loop, INTAKE_DROP_VERSION, a);
        return;
    case NODE_ACTION_READ_MANIFEST:
    case NODE_ACTION_READ_HEADER:
    case NODE_ACTION_READ_SEGMENT:
    case NODE_ACTION_MAKE:
    case NODE_ACTION_ESTIMATE:
    case NODE_ACTION_ACTIVATE:
        submit_op(loop, a);
        return;
    case NODE_ACTION_CANCEL:
        cancel_op(loop, a->op);
        return;
    case NODE_ACTION_LOG:
        log_line(&loop->log, levels[a->level & 3], "%s", a->text);
        return;
    case NODE_ACTION_EVENT:
        control_event(loop->control, a);
        return;
    }
}

static void on_node_timer(uv_timer_t *timer)
{
    struct loop *loop = timer->data;
    if (loop->node)
        node_tick(loop->node, uv_hrtime());
    loop_drain(loop);
}

static void arm_timer(struct loop *loop)
{
    uint64_t due = node_deadline_ns(loop->node);
    uint64_t now = uv_hrtime();
    if (due == UINT64_MAX) {
        uv_timer_stop(&loop->node_timer);
        return;
    }
    uint64_t ms = due > now ? (due - now + 999999) / 1000000 : 0;
    uv_update_time(&loop->uv);
    uv_timer_start(&loop->node_timer, on_node_timer, ms, 0);
}

/* Callbacks of sockets call this again from within: the outermost call goes
 * on until nothing is left. */
void loop_drain(struct loop *loop)
{
    struct node_action action;
    if (!loop->node || loop->draining_now || loop->stopping)
        return;
    loop->draining_now = true;
    for (unsigned turn = 0; turn < DRAIN_TURNS_MAX; turn++) {
        bool any = false;
        while (node_next_action(loop->node, &action)) {
            perform(loop, &action);
            any = true;
        }
        if (net_flush(loop->net))
            any = true;
        if (!any)
            break;
    }
    loop->draining_now = false;
    arm_timer(loop);
}

/* ---- Collecting garbage. ---- */

static void gc_report(void *ctx, const struct store_gc_item *item)
{
    struct loop_gc *gc = ctx;
    if (gc->item_count == gc->item_cap) {
        size_t cap = gc->item_cap ? 2 * gc->item_cap : 16;
        struct store_gc_item *items =
            realloc(gc->items, cap * sizeof(*gc->items));
        if (!items)
            return;
        gc->items = items;
        gc->item_cap = cap;
    }
    char dir[PATH_MAX];
    if (!gc->dry_run && item->kind == STORE_GC_VERSION &&
        !activate_tmp_dir(&gc->loop->places, item->model, &item->id, dir)) {
        enum status ignored = fs_remove(AT_FDCWD, dir);
        (void)ignored; /* swept at the next start */
    }
    gc->items[gc->item_count] = *item;
    gc->items[gc->item_count++].model = NULL;
}

static bool gc_in_use(void *ctx, enum store_gc_kind kind, const struct hash *id)
{
    const struct loop_gc *gc = ctx;
    for (size_t i = 0; i < gc->in_use_count; i++)
        if (kind == STORE_GC_UPDATE && hash_equal(&gc->in_use[i], id))
            return true;
    return false;
}

static void gc_run(struct job *job)
{
    struct loop_gc *gc = (struct loop_gc *)job;
    struct store_gc_result result = {0};
    const struct store_gc_options options = {
        .targets = gc->targets,
        .target_count = gc->target_count,
        .keep_last = gc->loop->config.keep,
        .keep_extra = true,
        .dry_run = gc->dry_run,
        .in_use = gc_in_use,
        .report = gc_report,
        .ctx = gc,
    };
    if (job_stopped(job))
        gc->status = STATUS_CLOSED;
    else
        gc->status = store_gc_run(gc->loop->env, &options, &result, &gc->diag);
    gc->freed_bytes = result.freed_bytes;
}

static void gc_done(struct job *job)
{
    struct loop_gc *gc = (struct loop_gc *)job;
    struct loop *loop = gc->loop;
    loop->gc_running = false;
    for (size_t i = 0; i < gc->item_count && !gc->dry_run && loop->node; i++) {
        if (gc->items[i].kind == STORE_GC_VERSION)
            node_swept_version(loop->node, &gc->items[i].id);
        else
            node_swept_update(loop->node, &gc->items[i].id);
    }
    if (!gc->dry_run && gc->item_count)
        log_info(&loop->log, "gc: %zu versions and updates, %llu bytes",
                 gc->item_count, (unsigned long long)gc->freed_bytes);
    if (gc->fn)
        gc->fn(gc->ctx, gc);
    free(gc->targets);
    free(gc->in_use);
    free(gc->items);
    free(gc);
    loop_drain(loop);
}

static enum status gc_targets(struct loop *loop, struct loop_gc *gc)
{
    struct node_version_info info;
    size_t count = 0;
    while (loop->node && node_version_at(loop->node, count, &info))
        count++;
    gc->targets = calloc(count + 1, sizeof(*gc->targets));
    if (!gc->targets)
        return STATUS_NO_MEMORY;
    for (size_t i = 0; i < count; i++)
        if (node_version_at(loop->node, i, &info) &&
            (info.wanted || info.running ||
             info.state == NODE_VERSION_FETCHING ||
             trust_named_by_channel(node_trust(loop->node), &info.id)))
            gc->targets[gc->target_count++] = info.id;
    return STATUS_OK;
}

enum status loop_gc(struct loop *loop, bool dry_run,
                    void (*fn)(void *ctx, struct loop_gc *gc), void *ctx)
{
    struct loop_gc *gc = calloc(1, sizeof(*gc));
    if (!gc)
        return STATUS_NO_MEMORY;
    enum status status = gc_targets(loop, gc);
    if (!status)
        status =
            control_prepared(loop->control, &gc->in_use, &gc->in_use_count);
    if (status) {
        free(gc->targets);
        free(gc);
        return status;
    }
    gc->loop = loop;
    gc->dry_run = dry_run;
    gc->fn = fn;
    gc->ctx = ctx;
    gc->job.lanes = JOB_LANE_ALL;
    gc->job.run = gc_run;
    gc->job.done = gc_done;
    loop->gc_running = true;
    job_submit(&loop->jobs, &gc->job);
    return STATUS_OK;
}

static void note_base(struct loop *loop, const struct node_version_info *info,
                      struct hash *out, size_t *count, size_t max)
{
    if (info->state != NODE_VERSION_COMPLETE || *count == max ||
        !(info->running ||
          trust_named_by_channel(node_trust(loop->node), &info->id)))
        return;
    for (size_t i = 0; i < *count; i++)
        if (hash_equal(&out[i], &info->tree))
            return;
    out[(*count)++] = info->tree;
}

size_t loop_bases(struct loop *loop, const char *model, struct hash *out,
                  size_t max)
{
    struct node_version_info info;
    size_t count = 0;
    for (size_t i = 0; node_version_at(loop->node, i, &info); i++)
        if (!strcmp(info.model, model))
            note_base(loop, &info, out, &count, max);
    return count;
}

/* ---- Addresses of this node. ---- */

static bool is_wildcard(const char *text)
{
    return !strncmp(text, "[::]:", 5) || !strncmp(text, "0.0.0.0:", 8);
}

static size_t interface_addresses(unsigned port, char out[][NODE_ADDR_MAX + 1],
                                  size_t max)
{
    uv_interface_address_t *list;
    int count;
    size_t used = 0;
    if (uv_interface_addresses(&list, &count))
        return 0;
    for (int i = 0; i < count && used < max; i++) {
        char host[64];
        const struct sockaddr *sa = (const struct sockaddr *)&list[i].address;
        const struct sockaddr_in6 *in6 = &list[i].address.address6;
        if (list[i].is_internal ||
            (sa->sa_family == AF_INET6 &&
             IN6_IS_ADDR_LINKLOCAL(&in6->sin6_addr)) ||
            uv_ip_name(sa, host, sizeof(host)))
            continue;
        snprintf(out[used++], NODE_ADDR_MAX + 1,
                 sa->sa_family == AF_INET6 ? "[%s]:%u" : "%s:%u", host, port);
    }
    uv_free_interface_addresses(list, count);
    return used;
}

size_t loop_addresses(const struct loop *loop,
                      char out[INVITE_ADDRESSES_MAX][NODE_ADDR_MAX + 1])
{
    const struct config_list *announce = &loop->config.announce;
    char bound[NODE_ADDR_MAX + 1], host[NODE_ADDR_MAX + 1];
    size_t count = 0;
    unsigned port;
    for (size_t i = 0; i < announce->count && count < INVITE_ADDRESSES_MAX;
         i++) {
        if (!config_split_address(announce->item[i], net_port(loop->net), host,
                                  sizeof(host), &port))
            continue;
        int n = snprintf(out[count], NODE_ADDR_MAX + 1,
                         strchr(host, ':') ? "[%s]:%u" : "%s:%u", host, port);
        count += n > 0 && n <= (int)NODE_ADDR_MAX;
    }
    if (count)
        return count;
    for (size_t i = 0;
         net_address(loop->net, i, bound) && count < INVITE_ADDRESSES_MAX; i++)
        if (is_wildcard(bound))
            count += interface_addresses(net_port(loop->net), out + count,
                                         INVITE_ADDRESSES_MAX - count);
        else
            memcpy(out[count++], bound, sizeof(bound));
    return count;
}

/* ---- Starting the node. ---- */

struct restore {
    struct loop *loop;
    struct store_txn *txn;
    enum status status;
};

static bool restore_record(void *ctx, const struct store_record *rec)
{
    struct restore *r = ctx;
    enum status status = node_load_record(r->loop->node, rec->envelope);
    if (status == STATUS_NO_MEMORY)
        r->status = status;
    else if (status)
        log_warn(&r->loop->log, "a stored record is damaged: %s",
                 status_text(status));
    return !r->status;
}

static enum node_version_state node_state(enum store_version_state state)
{
    switch (state) {
    case STORE_VERSION_COMPLETE:
    case STORE_VERSION_STAGED:
    case STORE_VERSION_RUNNING:
    case STORE_VERSION_PREVIOUS:
    case STORE_VERSION_TRIAL:
        return NODE_VERSION_COMPLETE;
    case STORE_VERSION_FETCHING:
        return NODE_VERSION_FETCHING;
    case STORE_VERSION_WANTED:
        return NODE_VERSION_WANTED;
    default:
        return NODE_VERSION_KNOWN;
    }
}

static bool restore_version(void *ctx, const struct store_version *version)
{
    struct restore *r = ctx;
    struct bytes manifest, bitmap = {NULL, 0};
    if (store_version_get_manifest(r->txn, &version->id, &manifest))
        return true;
    enum node_version_state state = node_state(version->state);
    size_t size = ((size_t)version->block_count + 7) / 8;
    uint8_t *bits = calloc(size + 1, 1);
    if (!bits)
        r->status = STATUS_NO_MEMORY;
    else if (state == NODE_VERSION_FETCHING &&
             !store_version_get_blocks(r->txn, &version->id, bits, size, NULL))
        bitmap = bytes_of(bits, size);
    if (!r->status) {
        enum status status = node_load_version(r->loop->node, &version->id,
                                               manifest, state, bitmap);
        if (status)
            log_warn(&r->loop->log, "a stored version of %s is not taken: %s",
                     version->model, status_text(status));
    }
    free(bits);
    return !r->status;
}

static bool restore_update(void *ctx, const struct store_update *update)
{
    struct restore *r = ctx;
    struct bytes header, bitmap = {NULL, 0};
    size_t size = ((size_t)update->segment_count + 7) / 8;
    if (store_update_get_header(r->txn, &update->id, &header))
        return true;
    uint8_t *bits = calloc(size + 1, 1);
    if (!bits)
        r->status = STATUS_NO_MEMORY;
    else if (!store_update_complete(update) &&
             !store_update_get_held(r->txn, &update->id, bits, size, NULL))
        bitmap = bytes_of(bits, size);
    if (!r->status) {
        enum status status = node_load_update(r->loop->node, header, bitmap);
        if (status)
            log_debug(&r->loop->log, "a stored update is not taken: %s",
                      status_text(status));
    }
    free(bits);
    return !r->status;
}

static bool restore_running(void *ctx, const char *model,
                            const struct hash *version, uint64_t n)
{
    struct restore *r = ctx;
    (void)n;
    enum status status = node_load_running(r->loop->node, model, version);
    if (status)
        log_warn(&r->loop->log, "%s: what runs is not known any more: %s",
                 model, status_text(status));
    return true;
}

static enum status restore_all(struct loop *loop, struct diag *diag)
{
    struct store_txn txn;
    struct restore r = {.loop = loop, .txn = &txn};
    enum status status = store_txn_begin(&txn, loop->env, STORE_TXN_READ, diag);
    if (status)
        return status;
    status = store_record_each(&txn, restore_record, &r);
    if (!status && !r.status)
        status = store_version_each(&txn, restore_version, &r);
    if (!status && !r.status)
        status = store_update_each(&txn, restore_update, &r);
    if (!status && !r.status)
        status = activate_each_running(&txn, restore_running, &r);
    store_txn_abort(&txn);
    return status ? status : r.status;
}

/* Texts that node_config borrows. */
struct node_texts {
    char address[INVITE_ADDRESSES_MAX][NODE_ADDR_MAX + 1];
    const char *listen[INVITE_ADDRESSES_MAX];
    const char *peers[CONFIG_LIST_MAX + INVITE_ADDRESSES_MAX];
};

static void fill_config(struct loop *loop, struct node_config *config,
                        struct node_texts *texts)
{
    const struct config *c = &loop->config;
    size_t peers = 0;
    *config = (struct node_config){
        .key = loop->identity.key,
        .fleet = loop->fleet.fleet,
        .psk_count = loop->fleet.secret_count,
        .rng = loop->rng,
        .uptime_ns = loop_uptime_s(loop) * 1000000000u,
        .listen_count = loop_addresses(loop, texts->address),
        .labels = (const char *const *)c->label.item,
        .label_count = c->label.count,
        .mirror = (const char *const *)c->mirror.item,
        .mirror_count = c->mirror.count,
        .software = LOOP_SOFTWARE,
        .dial_max = c->links_out,
        .accept_max = c->links_in,
        .rate_bytes_s = c->rate_bytes_s,
    };
    for (unsigned i = 0; i < loop->fleet.secret_count; i++)
        memcpy(config->psk[i], loop->fleet.secret[i].b, 32);
    for (size_t i = 0; i < c->peer.count; i++)
        texts->peers[peers++] = c->peer.item[i];
    for (size_t i = 0; i < loop->fleet.address_count; i++)
        texts->peers[peers++] = loop->fleet.address[i];
    for (size_t i = 0; i < config->listen_count; i++)
        texts->listen[i] = texts->address[i];
    config->peers = texts->peers;
    config->peer_count = peers;
    config->listen = texts->listen;
}

static enum status start_node(struct loop *loop, struct diag *diag)
{
    struct node_config config;
    struct node_texts *texts = calloc(1, sizeof(*texts));
    if (!texts)
        return STATUS_NO_MEMORY;
    fill_config(loop, &config, texts);
    enum status status = node_new(&config, &loop->node);
    crypto_wipe(&config, sizeof(config));
    free(texts);
    if (!status)
        status = restore_all(loop, diag);
    if (!status)
        status = node_start(loop->node, uv_hrtime());
    if (!status)
        status = net_listen(loop->net, diag);
    if (status) {
        node_free(loop->node);
        loop->node = NULL;
        return diag_fail(diag, status, "the node cannot start: %s",
                         status_text(status));
    }
    loop->joined = true;
    struct node_version_info info;
    for (size_t i = 0; node_version_at(loop->node, i, &info); i++)
        if (info.running)
            shallow_submit(loop, &info.id);
    udp_start(loop->udp);
    loop_drain(loop);
    return STATUS_OK;
}

/* Another invite of the same fleet: its addresses are tried too, the oldest
 * make room. */
static enum status add_addresses(struct loop *loop,
                                 const struct fleet_file *fleet,
                                 struct diag *diag)
{
    struct fleet_file *have = &loop->fleet;
    for (size_t i = 0; i < fleet->address_count; i++) {
        const char *addr = fleet->address[i];
        bool known = false;
        for (size_t k = 0; k < have->address_count; k++)
            known |= !strcmp(have->address[k], addr);
        if (known)
            continue;
        if (have->address_count == INVITE_ADDRESSES_MAX) {
            memmove(have->address[0], have->address[1],
                    (INVITE_ADDRESSES_MAX - 1) * sizeof(have->address[0]));
            have->address_count--;
        }
        memcpy(have->address[have->address_count++], addr,
               sizeof(have->address[0]));
        if (node_add_peer(loop->node, addr, uv_hrtime()))
            return diag_fail(diag, STATUS_LIMIT, "no room for another address");
    }
    loop_drain(loop);
    enum status status = fleet_file_write(loop->config.state_dir, have);
    if (status)
        diag_fail(diag, status, "%s/fleet cannot be written: %s",
                  loop->config.state_dir, status_text(status));
    return status;
}

enum status loop_join(struct loop *loop, const struct fleet_file *fleet,
                      struct diag *diag)
{
    if (loop->joined && !hash_equal(&loop->fleet.fleet, &fleet->fleet))
        return diag_fail(diag, STATUS_REFUSED,
                         "this node belongs to another fleet already");
    if (loop->joined)
        return add_addresses(loop, fleet, diag);
    enum status status = fleet_file_write(loop->config.state_dir, fleet);
    if (status)
        return diag_fail(diag, status, "%s/fleet cannot be written: %s",
                         loop->config.state_dir, status_text(status));
    loop->fleet = *fleet;
    return start_node(loop, diag);
}

/* ---- Opening. ---- */

static enum status make_dirs(struct loop *loop, struct diag *diag)
{
    const struct config *c = &loop->config;
    int n[3];
    n[0] =
        c->models_dir
            ? snprintf(loop->models_dir, PATH_MAX, "%s", c->models_dir)
            : snprintf(loop->models_dir, PATH_MAX, "%s/models", c->state_dir);
    n[1] = snprintf(loop->store_dir, PATH_MAX, "%s/store", c->state_dir);
    n[2] = snprintf(loop->scratch_dir, PATH_MAX, "%s/scratch", c->state_dir);
    const char *dirs[] = {c->state_dir, loop->models_dir, loop->store_dir,
                          loop->scratch_dir};
    for (int i = 0; i < 3; i++)
        if (n[i] < 0 || n[i] >= PATH_MAX)
            return diag_fail(diag, STATUS_USAGE, "state: the path is too long");
    for (int i = 0; i < 4; i++) {
        enum status status = fs_make_dirs(dirs[i], 0755);
        if (status)
            return diag_fail(diag, status, "%s: %s", dirs[i],
                             status_text(status));
    }
    if (chmod(loop->store_dir, 0700) || chmod(loop->scratch_dir, 0700))
        return diag_fail(diag, status_from_errno(errno), "%s: %s",
                         loop->store_dir, strerror(errno));
    return STATUS_OK;
}

/* One daemon a state; the lock goes with the process. */
static enum status lock_state(struct loop *loop, struct diag *diag)
{
    char path[PATH_MAX], text[32] = "";
    snprintf(path, sizeof(path), "%.*s/lock", PATH_MAX - 8,
             loop->config.state_dir);
    loop->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (loop->lock_fd < 0)
        return diag_fail(diag, status_from_errno(errno), "%s: %s", path,
                         strerror(errno));
    if (flock(loop->lock_fd, LOCK_EX | LOCK_NB)) {
        ssize_t n = pread(loop->lock_fd, text, sizeof(text) - 1, 0);
        text[n > 0 ? strcspn(text, "\n") : 0] = '\0';
        return diag_fail(diag, STATUS_BUSY,
                         "%s is in use by another deltameshd (pid %s)",
                         loop->config.state_dir, text[0] ? text : "?");
    }
    int n = snprintf(text, sizeof(text), "%ld\n", (long)getpid());
    if (ftruncate(loop->lock_fd, 0) ||
        pwrite(loop->lock_fd, text, (size_t)n, 0) != n)
        return diag_fail(diag, status_from_errno(errno), "%s: %s", path,
                         strerror(errno));
    return STATUS_OK;
}

static uint64_t quota_of(const struct loop *loop)
{
    struct statvfs vfs;
    uint64_t quota = loop->config.quota_bytes;
    if (!quota && !statvfs(loop->config.state_dir, &vfs))
        quota = (uint64_t)vfs.f_blocks * vfs.f_frsize / 100 *
                loop->config.quota_percent;
    return quota > QUOTA_LEAST ? quota : QUOTA_LEAST;
}

static enum status open_store(struct loop *loop, struct diag *diag)
{
    struct store_txn txn;
    const struct store_env_options options = {.quota_bytes = quota_of(loop)};
    enum status status =
        store_env_open(&loop->env, loop->store_dir, &options, diag);
    if (status)
        return diag_fail(diag, status, "%s: %s", loop->store_dir,
                         status_text(status));
    loop->places =
        (struct places){loop->env, loop->models_dir, loop->scratch_dir};
    status = store_txn_begin(&txn, loop->env, STORE_TXN_WRITE, diag);
    if (status)
        return status;
    uint64_t starts;
    status = store_meta_start(&txn, &starts);
    if (!status)
        status = store_meta_uptime(&txn, &loop->uptime_base_s);
    if (status) {
        store_txn_abort(&txn);
        return status;
    }
    status = store_txn_commit(&txn);
    loop->uptime_saved_s = loop->uptime_base_s;
    if (!status)
        status = activate_recover(&loop->places, loop->uptime_base_s, diag);
    return status;
}

/* A version being filled whose files are gone starts anew; a complete one
 * that no update realises and whose files are gone is forgotten. */
struct check {
    struct loop *loop;
    struct store_txn *txn;
    struct hash *lost;
    size_t lost_count, cap;
};

static bool plain_is_there(const struct check *check,
                           const struct store_version *version)
{
    char dir[PATH_MAX];
    uint64_t n;
    uint8_t *bytes;
    size_t size;
    struct fileset *set = NULL;
    const struct places *places = &check->loop->places;
    struct manifest *m = malloc(sizeof(*m));
    bool there = false;
    if (m && !content_manifest(check->txn, &version->id, &bytes, &size, m)) {
        if (!activate_find(check->txn, version->model, &version->id, &n) &&
            !activate_dir(places, version->model, n, dir))
            there = !fileset_open(dir, m->files, m->file_count, &set, NULL);
        if (!there &&
            !activate_tmp_dir(places, version->model, &version->id, dir))
            there = !fileset_open(dir, m->files, m->file_count, &set, NULL);
        fileset_free(set);
        free(bytes);
    }
    free(m);
    return there;
}

static bool check_version(void *ctx, const struct store_version *version)
{
    struct check *check = ctx;
    bool filling = version->state == STORE_VERSION_FETCHING;
    bool plain_only =
        version->state >= STORE_VERSION_COMPLETE && !version->has_update;
    if ((!filling && !plain_only) || !version->manifest_size ||
        plain_is_there(check, version))
        return true;
    if (check->lost_count == check->cap) {
        size_t cap = check->cap ? 2 * check->cap : 8;
        struct hash *lost = realloc(check->lost, cap * sizeof(*lost));
        if (!lost)
            return false;
        check->lost = lost;
        check->cap = cap;
    }
    check->lost[check->lost_count++] = version->id;
    return true;
}

static enum status forget_lost(struct loop *loop, const struct check *check,
                               struct diag *diag)
{
    struct store_txn txn;
    if (!check->lost_count)
        return STATUS_OK;
    enum status status =
        store_txn_begin(&txn, loop->env, STORE_TXN_WRITE, diag);
    if (status)
        return status;
    for (size_t i = 0; i < check->lost_count && !status; i++)
        status = store_version_strip(&txn, &check->lost[i]);
    if (status) {
        store_txn_abort(&txn);
        return status;
    }
    log_warn(&loop->log,
             "files of %zu versions are gone; they are fetched "
             "again when wanted",
             check->lost_count);
    return store_txn_commit(&txn);
}

/* Versions made here whose record did not become durable before a kill. */
struct orphans {
    struct loop *loop;
    struct store_txn *txn;
    struct hash id; /* being looked for */
    bool found;
    char name[96]; /* of the first setting without a record */
};

static bool find_in_record(void *ctx, const struct store_record *rec)
{
    struct orphans *o = ctx;
    if (rec->kind == RECORD_VERSION)
        o->found = memmem(rec->envelope.data, rec->envelope.size, o->id.b,
                          HASH_BYTES) != NULL;
    return !o->found;
}

static bool check_prepared(void *ctx, const char *name, struct bytes value)
{
    struct orphans *o = ctx;
    if (value.size == HASH_BYTES && strlen(name) < sizeof(o->name)) {
        memcpy(o->id.b, value.data, HASH_BYTES);
        strcpy(o->name, name);
    }
    return false; /* one at a time: the walk must not change the table */
}

/* Looks at one setting. *more: there was one. */
static enum status settle_prepared(struct loop *loop, bool *more,
                                   struct diag *diag)
{
    struct store_txn txn;
    struct orphans o = {.loop = loop, .txn = &txn};
    enum status status =
        store_txn_begin(&txn, loop->env, STORE_TXN_WRITE, diag);
    if (status)
        return status;
    status = store_meta_each(&txn, INTAKE_PREPARED_PREFIX, check_prepared, &o);
    *more = o.name[0] != '\0';
    if (!status && *more)
        status = store_record_each(&txn, find_in_record, &o);
    if (!status && *more && !o.found)
        status = store_version_remove(&txn, &o.id);
    if (!status && *more)
        status = store_meta_del(&txn, o.name);
    if (status || !*more) {
        store_txn_abort(&txn);
        return status;
    }
    return store_txn_commit(&txn);
}

static enum status check_files(struct loop *loop, struct diag *diag)
{
    struct store_txn txn;
    struct check check = {.loop = loop, .txn = &txn};
    enum status status = store_txn_begin(&txn, loop->env, STORE_TXN_READ, diag);
    if (status)
        return status;
    status = store_version_each(&txn, check_version, &check);
    store_txn_abort(&txn);
    if (!status)
        status = forget_lost(loop, &check, diag);
    free(check.lost);
    return status;
}

/* The join file or the credential of the service manager, at the first start
 * only. Neither is a failure: the node can still be joined by hand. */
static void read_join_file(struct loop *loop, struct fleet_file *out,
                           bool *found)
{
    char path[PATH_MAX] = "", *text = NULL;
    size_t size;
    struct invite invite;
    struct diag diag = {""};
    const char *dir = getenv("CREDENTIALS_DIRECTORY");
    *found = false;
    if (loop->config.join_file)
        snprintf(path, sizeof(path), "%s", loop->config.join_file);
    else if (dir)
        snprintf(path, sizeof(path), "%s/deltamesh.join", dir);
    if (!path[0])
        return;
    enum status status = fs_read(path, INVITE_LINE_MAX, &text, &size);
    if (status == STATUS_NOT_FOUND)
        return;
    if (!status)
        status = invite_read(text, &invite, &diag);
    if (text)
        crypto_wipe(text, size);
    free(text);
    if (status) {
        log_error(&loop->log, "%s: %s", path,
                  diag.text[0] ? diag.text : status_text(status));
        return;
    }
    memset(out, 0, sizeof(*out));
    out->fleet = invite.fleet;
    out->secret[0] = invite.secret;
    out->secret_count = 1;
    out->address_count = invite.address_count;
    memcpy(out->address, invite.address, sizeof(out->address));
    crypto_wipe(&invite, sizeof(invite));
    *found = true;
}

static enum status open_fleet(struct loop *loop, struct diag *diag)
{
    enum status status =
        fleet_file_read(loop->config.state_dir, &loop->fleet, diag);
    if (!status)
        return start_node(loop, diag);
    if (status != STATUS_NOT_FOUND)
        return status;
    struct fleet_file fleet;
    bool found;
    read_join_file(loop, &fleet, &found);
    if (found)
        return loop_join(loop, &fleet, diag);
    log_info(&loop->log, "not joined: run deltamesh join");
    return STATUS_OK;
}

static enum status open_identity(struct loop *loop, struct diag *diag)
{
    char hex[NODE_ID_HEX_SIZE];
    enum status status =
        identity_load(loop->config.state_dir, loop->setup.machine_id_path,
                      &loop->rng, &loop->identity, diag);
    if (status)
        return status;
    crypto_lock(&loop->identity.key, sizeof(loop->identity.key));
    struct node_id id = crypto_sign_key_id(&loop->identity.key);
    node_id_hex(&id, hex);
    if (loop->identity.other_machine)
        log_warn(&loop->log,
                 "the node key was made on another machine: this one gets its "
                 "own; its id is %s",
                 hex);
    else
        log_info(&loop->log, "this node is %s", hex);
    return STATUS_OK;
}

static void on_beat(uv_timer_t *timer);
static void on_signal(uv_signal_t *signal, int number);

static void on_watchdog(uv_timer_t *timer)
{
    (void)timer;
    notify_state("WATCHDOG=1");
}

static enum status open_handles(struct loop *loop)
{
    static const int numbers[] = {SIGTERM, SIGINT, SIGHUP};
    uint64_t watchdog_ms = notify_watchdog_ms();
    uv_timer_init(&loop->uv, &loop->node_timer);
    uv_timer_init(&loop->uv, &loop->beat);
    uv_timer_init(&loop->uv, &loop->watchdog);
    uv_timer_init(&loop->uv, &loop->stop_timer);
    loop->node_timer.data = loop->beat.data = loop;
    loop->watchdog.data = loop->stop_timer.data = loop;
    for (int i = 0; i < 3; i++) {
        uv_signal_init(&loop->uv, &loop->signals[i]);
        loop->signals[i].data = loop;
        if (uv_signal_start(&loop->signals[i], on_signal, numbers[i]))
            return STATUS_IO;
    }
    uv_timer_start(&loop->beat, on_beat, BEAT_MS, BEAT_MS);
    if (watchdog_ms)
        uv_timer_start(&loop->watchdog, on_watchdog, 0, watchdog_ms);
    loop->beat_due_gc_ns = uv_hrtime() + GC_PERIOD_NS;
    return STATUS_OK;
}

enum status loop_open(struct loop *loop, const struct loop_setup *setup,
                      struct diag *diag)
{
    memset(loop, 0, sizeof(*loop));
    loop->lock_fd = -1;
    loop->setup = *setup;
    loop->rng = crypto_rng();
    loop->started_ns = uv_hrtime();
    if (uv_loop_init(&loop->uv))
        return STATUS_NO_MEMORY;
    enum status status = setup->read_config(setup->ctx, &loop->config, diag);
    log_init(&loop->log, loop->config.log_level);
    job_queue_init(&loop->jobs, &loop->uv);
    if (!status)
        status = open_handles(loop);
    if (!status)
        status = make_dirs(loop, diag);
    if (!status)
        status = lock_state(loop, diag);
    if (!status)
        status = open_store(loop, diag);
    for (bool more = true; more && !status;)
        status = settle_prepared(loop, &more, diag);
    if (!status)
        status = check_files(loop, diag);
    if (!status)
        status = open_identity(loop, diag);
    if (!status)
        status = intake_new(&loop->places, &loop->intake);
    if (!status)
        status = net_open(loop, &loop->net, diag);
    if (!status)
        status = udp_new(loop, &loop->udp);
    if (!status)
        status = control_open(loop, &loop->control, diag);
    if (!status)
        status = open_fleet(loop, diag);
    return status;
}

/* ---- Running. ---- */

static void save_uptime(struct loop *loop)
{
    uint64_t now = loop_uptime_s(loop);
    struct loop_item *it;
    if (now - loop->uptime_saved_s < UPTIME_SAVE_S ||
        !(it = loop_item_new(INTAKE_ADD_UPTIME)))
        return;
    it->item.counter = now - loop->uptime_saved_s;
    loop->uptime_saved_s = now;
    loop_item_submit(loop, it);
}

static void on_beat(uv_timer_t *timer)
{
    struct loop *loop = timer->data;
    uint64_t now = uv_hrtime();
    if (loop->stopping)
        return;
    save_uptime(loop);
    control_notify_status(loop->control);
    if (loop->beat_due_gc_ns && now >= loop->beat_due_gc_ns &&
        !loop->gc_running && loop->node) {
        loop->beat_due_gc_ns = now + GC_PERIOD_NS;
        enum status ignored = loop_gc(loop, false, NULL, NULL);
        (void)ignored; /* the next beat tries again */
    }
    if (job_queue_idle(&loop->jobs) && !loop->items_first) {
        intake_rest(loop->intake);
        malloc_trim(0);
    }
}

enum status loop_reload(struct loop *loop, char *restart, size_t restart_size,
                        struct diag *diag)
{
    struct config fresh;
    enum status status = loop->setup.read_config(loop->setup.ctx, &fresh, diag);
    restart[0] = '\0';
    if (status)
        return status;
    config_restart_keys(&loop->config, &fresh, restart, restart_size);
    loop->log.level = fresh.log_level;
    loop->config.log_level = fresh.log_level;
    loop->config.quota_bytes = fresh.quota_bytes;
    loop->config.quota_percent = fresh.quota_percent;
    loop->config.keep = fresh.keep;
    loop->config.discovery = fresh.discovery;
    store_env_set_quota(loop->env, quota_of(loop));
    config_deinit(&fresh);
    if (loop->joined)
        udp_start(loop->udp);
    return STATUS_OK;
}

static void reload(struct loop *loop)
{
    char restart[512];
    struct diag diag = {""};
    notify_state("RELOADING=1");
    enum status status = loop_reload(loop, restart, sizeof(restart), &diag);
    if (status)
        log_error(&loop->log, "configuration not taken: %s",
                  diag.text[0] ? diag.text : status_text(status));
    else if (restart[0])
        log_warn(&loop->log, "these keys need a restart: %s", restart);
    else
        log_info(&loop->log, "configuration taken");
    notify_state("READY=1");
}

static void on_stop_timer(uv_timer_t *timer)
{
    struct loop *loop = timer->data;
    if (job_queue_idle(&loop->jobs)) {
        uv_stop(&loop->uv);
        return;
    }
    if (uv_hrtime() - loop->stopped_ns > STOP_WAIT_NS) {
        log_warn(&loop->log, "a job does not end; it is begun anew at the "
                             "next start");
        _exit(0);
    }
}

static void on_signal(uv_signal_t *handle, int number)
{
    struct loop *loop = handle->data;
    if (number == SIGHUP) {
        reload(loop);
        return;
    }
    if (loop->stopping)
        return;
    log_info(&loop->log, "stopping");
    notify_state("STOPPING=1");
    loop->stopping = true;
    job_queue_stop(&loop->jobs);
    loop->stopped_ns = uv_hrtime();
    uv_timer_start(&loop->stop_timer, on_stop_timer, 0, 20);
}

void loop_run(struct loop *loop)
{
    log_info(&loop->log, "%s is ready, control socket %s", LOOP_SOFTWARE,
             loop->config.control);
    notify_state("READY=1");
    control_notify_status(loop->control);
    uv_run(&loop->uv, UV_RUN_DEFAULT);
}

/* ---- Closing. ---- */

static void close_any(uv_handle_t *handle, void *arg)
{
    (void)arg;
    if (!uv_is_closing(handle))
        uv_close(handle, NULL);
}

static void save_uptime_now(struct loop *loop)
{
    struct store_txn txn;
    uint64_t now_s = loop_uptime_s(loop);
    if (!loop->env || now_s <= loop->uptime_saved_s ||
        store_txn_begin(&txn, loop->env, STORE_TXN_WRITE, NULL))
        return;
    enum status status =
        store_meta_add_uptime(&txn, now_s - loop->uptime_saved_s, NULL);
    if (status)
        store_txn_abort(&txn);
    else
        status = store_txn_commit(&txn);
    (void)status; /* some seconds of age are lost */
}

static void free_items(struct loop *loop)
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

void loop_close(struct loop *loop)
{
    loop->stopping = true;
    control_close(loop->control);
    udp_stop(loop->udp);
    net_stop(loop->net);
    uv_walk(&loop->uv, close_any, NULL);
    uv_run(&loop->uv, UV_RUN_DEFAULT);
    control_free(loop->control);
    udp_free(loop->udp);
    net_free(loop->net);
    uv_loop_close(&loop->uv);
    free_items(loop);
    node_free(loop->node);
    intake_free(loop->intake);
    save_uptime_now(loop);
    store_env_close(loop->env);
    if (loop->lock_fd >= 0)
        close(loop->lock_fd);
    crypto_unlock(&loop->identity.key, sizeof(loop->identity.key));
    crypto_wipe(&loop->fleet, sizeof(loop->fleet));
    config_deinit(&loop->config);
}
