/* Collecting garbage: what is kept, a run on the jobs, and what it removed. */
#include "daemon/loop_parts.h"

#include "daemon/control.h"
#include "daemon/fs.h"
#include "protocol/trust.h"

#include <fcntl.h>
#include <stdlib.h>

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
