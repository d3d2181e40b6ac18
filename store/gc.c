/* Mark and sweep. The graph is read into memory and marked; each step of the
 * sweep then runs in a write transaction that first looks whether anything the
 * marking rests on was committed since, and if so marks anew inside the
 * transaction, where nothing can change any more. */
#include "store/gc.h"

#include "codec/base/arena.h"
#include "store/activation.h"
#include "store/update.h"
#include "store/usage.h"
#include "store/value.h"

#include <stdlib.h>

/* Room for a graph of about a hundred thousand versions and updates. */
#define GC_ARENA_BYTES ((size_t)64 << 20)

struct gc_version {
    struct hash id;
    struct hash tree;
    struct hash update;
    char *model;
    uint64_t rank;
    uint64_t cost; /* of the manifest */
    enum store_version_state state;
    bool has_update;
    bool has_content;
    bool pinned;
    bool marked;
};

struct gc_update {
    struct hash id;
    struct hash base;
    struct hash target;
    char *model;
    uint64_t cost;
    bool has_base;
    bool complete;
    bool marked;
};

struct gc_graph {
    struct arena arena;
    uint64_t txn_id;             /* the marking holds for this commit */
    struct gc_version *versions; /* by id */
    size_t version_count;
    struct gc_version **by_tree;
    struct gc_version **by_rank; /* by model, the highest rank first */
    struct gc_update *updates;   /* by id */
    size_t update_count;
    struct gc_update **by_target;
    struct gc_version **version_work; /* marked, not followed yet */
    size_t version_work_count;
    struct gc_update **update_work;
    size_t update_work_count;
};

struct gc {
    struct store_env *env;
    const struct store_gc_options *options;
    struct gc_graph graph;
    struct store_gc_result result;
    struct diag *diag;
};

/* ---- reading the graph ---- */

/* For the callbacks of walks. */
struct gc_load {
    struct store_txn *txn;
    struct gc_graph *graph;
    size_t cap;
};

static char *gc_text(struct gc_load *load, const char *text)
{
    char *copy =
        arena_text(&load->graph->arena, text, strnlen(text, STORE_NAME_MAX));
    if (!copy)
        store_txn_fail(load->txn, STATUS_NO_MEMORY,
                       "gc: the graph does not fit in memory");
    return copy;
}

static bool gc_load_version(void *ctx, const struct store_version *version)
{
    struct gc_load *load = ctx;
    struct gc_graph *graph = load->graph;
    if (graph->version_count == load->cap)
        return false;
    struct gc_version *v = &graph->versions[graph->version_count];
    v->id = version->id;
    v->tree = version->tree;
    v->update = version->update;
    v->model = gc_text(load, version->model);
    v->rank = version->rank;
    v->cost = store_usage_cost(load->txn, version->manifest_size);
    v->state = version->state;
    v->has_update = version->has_update;
    v->has_content =
        version->has_update || version->manifest_size || version->have_count;
    v->pinned = version->pins != 0;
    if (!v->model)
        return false;
    graph->version_count++;
    return true;
}

static bool gc_load_update(void *ctx, const struct store_update *update)
{
    struct gc_load *load = ctx;
    struct gc_graph *graph = load->graph;
    if (graph->update_count == load->cap)
        return false;
    struct gc_update *u = &graph->updates[graph->update_count];
    u->id = update->id;
    u->base = update->base;
    u->target = update->target;
    u->model = gc_text(load, update->model);
    u->cost = update->held_cost;
    u->has_base = update->has_base;
    u->complete = store_update_complete(update);
    if (!u->model)
        return false;
    graph->update_count++;
    return true;
}

static int gc_order_tree(const void *a, const void *b)
{
    const struct gc_version *x = *(struct gc_version *const *)a;
    const struct gc_version *y = *(struct gc_version *const *)b;
    int order = hash_compare(&x->tree, &y->tree);
    return order ? order : hash_compare(&x->id, &y->id);
}

static int gc_order_rank(const void *a, const void *b)
{
    const struct gc_version *x = *(struct gc_version *const *)a;
    const struct gc_version *y = *(struct gc_version *const *)b;
    int order = strcmp(x->model, y->model);
    if (order)
        return order;
    if (x->rank != y->rank)
        return x->rank > y->rank ? -1 : 1;
    return hash_compare(&x->id, &y->id);
}

static int gc_order_target(const void *a, const void *b)
{
    const struct gc_update *x = *(struct gc_update *const *)a;
    const struct gc_update *y = *(struct gc_update *const *)b;
    int order = hash_compare(&x->target, &y->target);
    return order ? order : hash_compare(&x->id, &y->id);
}

static void gc_sort(struct gc_graph *graph)
{
    for (size_t i = 0; i < graph->version_count; i++) {
        graph->by_tree[i] = &graph->versions[i];
        graph->by_rank[i] = &graph->versions[i];
    }
    for (size_t i = 0; i < graph->update_count; i++)
        graph->by_target[i] = &graph->updates[i];
    qsort(graph->by_tree, graph->version_count, sizeof(void *), gc_order_tree);
    qsort(graph->by_rank, graph->version_count, sizeof(void *), gc_order_rank);
    qsort(graph->by_target, graph->update_count, sizeof(void *),
          gc_order_target);
}

static bool gc_alloc(struct gc_graph *graph, size_t versions, size_t updates)
{
    struct arena *arena = &graph->arena;
    arena_init(arena, GC_ARENA_BYTES);
    graph->versions = arena_alloc(arena, versions, sizeof(*graph->versions));
    graph->by_tree = arena_alloc(arena, versions, sizeof(void *));
    graph->by_rank = arena_alloc(arena, versions, sizeof(void *));
    graph->version_work = arena_alloc(arena, versions, sizeof(void *));
    graph->updates = arena_alloc(arena, updates, sizeof(*graph->updates));
    graph->by_target = arena_alloc(arena, updates, sizeof(void *));
    graph->update_work = arena_alloc(arena, updates, sizeof(void *));
    return graph->versions && graph->by_tree && graph->by_rank &&
           graph->version_work && graph->updates && graph->by_target &&
           graph->update_work;
}

static enum status gc_load(struct gc_graph *graph, struct store_txn *txn)
{
    size_t versions = (size_t)store_txn_count(txn, STORE_TABLE_VERSION);
    size_t updates = (size_t)store_txn_count(txn, STORE_TABLE_UPDATE);
    struct gc_load load = {txn, graph, versions};
    arena_deinit(&graph->arena);
    memset(graph, 0, sizeof(*graph));
    if (!gc_alloc(graph, versions, updates))
        return store_txn_fail(txn, STATUS_NO_MEMORY,
                              "gc: the graph does not fit in memory");
    enum status status = store_version_each(txn, gc_load_version, &load);
    load.cap = updates;
    if (!status)
        status = store_update_each(txn, gc_load_update, &load);
    if (!status)
        gc_sort(graph);
    /* What a write transaction sees is the commit before it. */
    graph->txn_id = store_txn_id(txn) - (txn->mode == STORE_TXN_WRITE);
    return status;
}

/* ---- finding in it ---- */

static struct gc_version *gc_find_version(struct gc_graph *graph,
                                          const struct hash *id)
{
    size_t low = 0;
    size_t high = graph->version_count;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        int order = hash_compare(&graph->versions[mid].id, id);
        if (!order)
            return &graph->versions[mid];
        if (order < 0)
            low = mid + 1;
        else
            high = mid;
    }
    return NULL;
}

static struct gc_update *gc_find_update(struct gc_graph *graph,
                                        const struct hash *id)
{
    size_t low = 0;
    size_t high = graph->update_count;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        int order = hash_compare(&graph->updates[mid].id, id);
        if (!order)
            return &graph->updates[mid];
        if (order < 0)
            low = mid + 1;
        else
            high = mid;
    }
    return NULL;
}

/* The first of by_tree that has the tree, or where it would be. */
static size_t gc_first_of_tree(const struct gc_graph *graph,
                               const struct hash *tree)
{
    size_t low = 0;
    size_t high = graph->version_count;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (hash_compare(&graph->by_tree[mid]->tree, tree) < 0)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

static size_t gc_first_of_target(const struct gc_graph *graph,
                                 const struct hash *target)
{
    size_t low = 0;
    size_t high = graph->update_count;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (hash_compare(&graph->by_target[mid]->target, target) < 0)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

/* ---- marking ---- */

static void gc_mark_version(struct gc_graph *graph, struct gc_version *version)
{
    if (version->marked)
        return;
    version->marked = true;
    graph->version_work[graph->version_work_count++] = version;
}

static void gc_mark_update(struct gc_graph *graph, struct gc_update *update)
{
    if (update->marked)
        return;
    update->marked = true;
    graph->update_work[graph->update_work_count++] = update;
}

/* Whatever holds the tree: the versions that are realised with it, or else
 * every complete update that leads to it. */
static void gc_mark_tree(struct gc_graph *graph, const struct hash *tree)
{
    bool realised = false;
    for (size_t i = gc_first_of_tree(graph, tree); i < graph->version_count;
         i++) {
        struct gc_version *version = graph->by_tree[i];
        if (!hash_equal(&version->tree, tree))
            break;
        if (!version->has_update)
            continue;
        realised = true;
        gc_mark_version(graph, version);
    }
    if (realised)
        return;
    for (size_t i = gc_first_of_target(graph, tree); i < graph->update_count;
         i++) {
        if (!hash_equal(&graph->by_target[i]->target, tree))
            break;
        if (graph->by_target[i]->complete)
            gc_mark_update(graph, graph->by_target[i]);
    }
}

/* A version still to be completed keeps what it is being made from. */
static void gc_mark_partial(struct gc_graph *graph,
                            const struct gc_version *version)
{
    for (size_t i = gc_first_of_target(graph, &version->tree);
         i < graph->update_count; i++) {
        if (!hash_equal(&graph->by_target[i]->target, &version->tree))
            break;
        gc_mark_update(graph, graph->by_target[i]);
    }
}

static bool gc_is_incomplete(const struct gc_version *version)
{
    return version->state == STORE_VERSION_KNOWN ||
           version->state == STORE_VERSION_WANTED ||
           version->state == STORE_VERSION_FETCHING;
}

static void gc_follow(struct gc_graph *graph)
{
    while (graph->version_work_count || graph->update_work_count) {
        if (graph->update_work_count) {
            struct gc_update *update =
                graph->update_work[--graph->update_work_count];
            if (update->has_base)
                gc_mark_tree(graph, &update->base);
            continue;
        }
        struct gc_version *version =
            graph->version_work[--graph->version_work_count];
        struct gc_update *update = version->has_update
                                       ? gc_find_update(graph, &version->update)
                                       : NULL;
        if (update)
            gc_mark_update(graph, update);
        if (gc_is_incomplete(version))
            gc_mark_partial(graph, version);
    }
}

static bool gc_is_complete(const struct gc_version *version)
{
    return version->state == STORE_VERSION_COMPLETE ||
           version->state == STORE_VERSION_STAGED ||
           version->state == STORE_VERSION_RUNNING ||
           version->state == STORE_VERSION_PREVIOUS ||
           version->state == STORE_VERSION_TRIAL;
}

static bool gc_is_root(const struct gc_version *version)
{
    return version->pinned || (gc_is_complete(version) &&
                               version->state != STORE_VERSION_COMPLETE);
}

static void gc_mark_last(struct gc_graph *graph, uint32_t keep_last)
{
    const char *model = "";
    uint32_t kept = 0;
    for (size_t i = 0; i < graph->version_count; i++) {
        struct gc_version *version = graph->by_rank[i];
        if (strcmp(model, version->model))
            kept = 0;
        model = version->model;
        if (!gc_is_complete(version) || kept == keep_last)
            continue;
        kept++;
        gc_mark_version(graph, version);
    }
}

static bool gc_in_use(const struct gc *gc, enum store_gc_kind kind,
                      const struct hash *id)
{
    const struct store_gc_options *options = gc->options;
    return options->in_use && options->in_use(options->ctx, kind, id);
}

static bool gc_mark_activation(void *ctx,
                               const struct store_activation *activation)
{
    struct gc_graph *graph = ctx;
    struct gc_version *version = gc_find_version(graph, &activation->version);
    if (version)
        gc_mark_version(graph, version);
    return true;
}

static bool gc_tree_is_kept(const struct gc_graph *graph,
                            const struct hash *tree)
{
    for (size_t i = gc_first_of_tree(graph, tree); i < graph->version_count;
         i++) {
        if (!hash_equal(&graph->by_tree[i]->tree, tree))
            break;
        if (graph->by_tree[i]->marked)
            return true;
    }
    return false;
}

/* Extra updates lead between trees that are kept anyway, so that marking them
 * reaches nothing new. */
static void gc_mark_extra(struct gc_graph *graph)
{
    for (size_t i = 0; i < graph->update_count; i++) {
        struct gc_update *update = &graph->updates[i];
        if (!update->marked && update->complete &&
            gc_tree_is_kept(graph, &update->target) &&
            (!update->has_base || gc_tree_is_kept(graph, &update->base)))
            update->marked = true;
    }
}

static enum status gc_mark(struct gc *gc, struct store_txn *txn)
{
    struct gc_graph *graph = &gc->graph;
    enum status status = gc_load(graph, txn);
    if (status)
        return status;
    for (size_t i = 0; i < graph->version_count; i++) {
        struct gc_version *version = &graph->versions[i];
        if (gc_is_root(version) ||
            gc_in_use(gc, STORE_GC_VERSION, &version->id))
            gc_mark_version(graph, version);
    }
    for (size_t i = 0; i < gc->options->target_count; i++) {
        struct gc_version *version =
            gc_find_version(graph, &gc->options->targets[i]);
        if (version)
            gc_mark_version(graph, version);
    }
    for (size_t i = 0; i < graph->update_count; i++)
        if (gc_in_use(gc, STORE_GC_UPDATE, &graph->updates[i].id))
            gc_mark_update(graph, &graph->updates[i]);
    gc_mark_last(graph, gc->options->keep_last);
    status = store_activation_each(txn, gc_mark_activation, graph);
    gc_follow(graph);
    if (gc->options->keep_extra)
        gc_mark_extra(graph);
    return status;
}

/* ---- sweeping ---- */

static void gc_report(struct gc *gc, enum store_gc_kind kind,
                      const struct hash *id, const char *model, uint64_t bytes)
{
    struct store_gc_item item = {kind, *id, model, bytes};
    gc->result.freed_bytes += bytes;
    if (kind == STORE_GC_VERSION)
        gc->result.version_count++;
    else
        gc->result.update_count++;
    if (gc->options->report)
        gc->options->report(gc->options->ctx, &item);
}

/* The first to be swept whose id is above *after (NULL: the first). */
static struct gc_version *gc_next_version(struct gc_graph *graph,
                                          const struct hash *after)
{
    for (size_t i = 0; i < graph->version_count; i++) {
        struct gc_version *version = &graph->versions[i];
        if (!version->marked && version->has_content &&
            (!after || hash_compare(&version->id, after) > 0))
            return version;
    }
    return NULL;
}

static struct gc_update *gc_next_update(struct gc_graph *graph,
                                        const struct hash *after)
{
    for (size_t i = 0; i < graph->update_count; i++) {
        struct gc_update *update = &graph->updates[i];
        if (!update->marked && (!after || hash_compare(&update->id, after) > 0))
            return update;
    }
    return NULL;
}

/* Marks anew if something was committed that the marking did not see. */
static enum status gc_renew(struct gc *gc, struct store_txn *txn)
{
    struct bytes value;
    uint64_t changed = 0;
    enum status status =
        store_txn_get(txn, STORE_TABLE_META, bytes_of_text("graph"), &value);
    if (status && status != STATUS_NOT_FOUND)
        return status;
    if (!status && store_value_get_u64(value, &changed))
        return store_txn_fail(txn, STATUS_CORRUPT,
                              "the store's counter graph is malformed");
    return changed <= gc->graph.txn_id ? STATUS_OK : gc_mark(gc, txn);
}

/* Strips one version and moves *after to it; *found false: none is left. */
static enum status gc_sweep_version(struct gc *gc, struct hash *after,
                                    bool *first, bool *found)
{
    struct store_txn txn;
    *found = false;
    enum status status =
        store_txn_begin(&txn, gc->env, STORE_TXN_WRITE, gc->diag);
    if (status)
        return status;
    status = gc_renew(gc, &txn);
    struct gc_version *version =
        status ? NULL : gc_next_version(&gc->graph, *first ? NULL : after);
    if (!version) {
        store_txn_abort(&txn);
        return status;
    }
    *found = true;
    *first = false;
    *after = version->id;
    if (gc_in_use(gc, STORE_GC_VERSION, &version->id)) {
        store_txn_abort(&txn);
        return STATUS_OK;
    }
    uint64_t txn_id = store_txn_id(&txn);
    status = store_version_strip(&txn, &version->id);
    if (!status)
        status = store_txn_commit(&txn);
    store_txn_abort(&txn);
    if (status)
        return status;
    version->has_content = false;
    version->has_update = false;
    gc->graph.txn_id = txn_id;
    gc_report(gc, STORE_GC_VERSION, &version->id, version->model,
              version->cost);
    return STATUS_OK;
}

/* One transaction's worth of removing one update. */
static enum status gc_sweep_update(struct gc *gc, struct hash *after,
                                   bool *first, bool *found)
{
    struct store_txn txn;
    bool done = false;
    *found = false;
    enum status status =
        store_txn_begin(&txn, gc->env, STORE_TXN_WRITE, gc->diag);
    if (status)
        return status;
    status = gc_renew(gc, &txn);
    struct gc_update *update =
        status ? NULL : gc_next_update(&gc->graph, *first ? NULL : after);
    if (!update) {
        store_txn_abort(&txn);
        return status;
    }
    *found = true;
    uint64_t txn_id = store_txn_id(&txn);
    status = STATUS_BUSY;
    if (!gc_in_use(gc, STORE_GC_UPDATE, &update->id))
        status = store_update_remove_some(&txn, &update->id, &done);
    if (status) {
        *first = false;
        *after = update->id;
        store_txn_abort(&txn);
        return status == STATUS_BUSY ? STATUS_OK : status;
    }
    status = store_txn_commit(&txn);
    if (status)
        return status;
    gc->graph.txn_id = txn_id;
    if (!done)
        return STATUS_OK;
    *first = false;
    *after = update->id;
    update->marked = true;
    gc_report(gc, STORE_GC_UPDATE, &update->id, update->model, update->cost);
    return STATUS_OK;
}

static enum status
gc_sweep(struct gc *gc, enum status (*step)(struct gc *gc, struct hash *after,
                                            bool *first, bool *found))
{
    struct hash after = {{0}};
    bool first = true;
    bool found = true;
    while (found) {
        enum status status = step(gc, &after, &first, &found);
        if (status)
            return status;
    }
    return STATUS_OK;
}

static void gc_list(struct gc *gc)
{
    const struct gc_graph *graph = &gc->graph;
    for (size_t i = 0; i < graph->version_count; i++) {
        const struct gc_version *version = &graph->versions[i];
        if (!version->marked && version->has_content)
            gc_report(gc, STORE_GC_VERSION, &version->id, version->model,
                      version->cost);
    }
    for (size_t i = 0; i < graph->update_count; i++) {
        const struct gc_update *update = &graph->updates[i];
        if (!update->marked)
            gc_report(gc, STORE_GC_UPDATE, &update->id, update->model,
                      update->cost);
    }
}

enum status store_gc_run(struct store_env *env,
                         const struct store_gc_options *options,
                         struct store_gc_result *out, struct diag *diag)
{
    struct gc gc = {.env = env, .options = options, .diag = diag};
    struct store_txn txn;
    enum status status = store_txn_begin(&txn, env, STORE_TXN_READ, diag);
    if (status)
        return status;
    status = gc_mark(&gc, &txn);
    store_txn_abort(&txn);
    if (!status && options->dry_run)
        gc_list(&gc);
    else if (!status)
        status = gc_sweep(&gc, gc_sweep_version);
    if (!status && !options->dry_run)
        status = gc_sweep(&gc, gc_sweep_update);
    arena_deinit(&gc.graph.arena);
    if (out)
        *out = gc.result;
    return status;
}
