/* From files to a manifest and updates. */
#include "daemon/publish.h"

#include "daemon/premade.h"
#include "daemon/threads.h"
#include "protocol/name.h"

#include <stdlib.h>

void publish_free(struct publish *p)
{
    if (!p)
        return;
    fileset_free(p->files);
    fileset_free(p->premade);
    for (size_t i = 0; i < LIMIT_MANIFEST_FILES; i++)
        free(p->paths[i]);
    for (size_t i = 0; i < p->meta_count; i++) {
        free(p->meta_keys[i]);
        free(p->meta_values[i]);
    }
    for (size_t i = 0; i < PUBLISH_BASES_MAX + 1; i++)
        free(p->updates[i].header);
    free(p->manifest);
    free(p);
}

struct hashing {
    struct publish *publish;
    struct tree_builder *tb;
    uint64_t done;
};

static enum status hash_piece(void *ctx, struct bytes piece)
{
    struct hashing *hashing = ctx;
    hashing->done += piece.size;
    atomic_store(&hashing->publish->mark.done, hashing->done);
    if (job_stopped(&hashing->publish->job))
        return STATUS_CLOSED;
    return tree_builder_add(hashing->tb, piece);
}

static enum status hash_files(struct publish *p, const struct source *source,
                              struct tree_builder *tb)
{
    struct hashing hashing = {p, tb, 0};
    enum status status = tree_builder_init(tb, source->size);
    if (!status)
        status = source_each(source, 0, source->size, hash_piece, &hashing);
    if (status == STATUS_LIMIT)
        return diag_fail(&p->diag, status, "a version has at most 64 GiB");
    return status ? status : tree_builder_finish(tb, &p->tree);
}

static enum status fill_manifest(struct publish *p, struct manifest *m,
                                 const struct tree_builder *tb)
{
    m->model = bytes_of_text(p->model);
    m->tree = p->tree;
    m->shape = tb->shape;
    m->leaves = tb->leaves;
    m->parents = bytes_of(p->parents, p->parent_count * HASH_BYTES);
    m->file_count = fileset_count(p->files);
    for (size_t i = 0; i < m->file_count; i++)
        m->files[i] = (struct manifest_file){bytes_of_text(p->paths[i]),
                                             fileset_offset(p->files, i),
                                             fileset_length(p->files, i)};
    enum status status = STATUS_OK;
    for (size_t i = 0; i < p->tick_count && !status; i++)
        status = vector_model_set(&m->vector, bytes_of_text(p->ticks_role[i]),
                                  p->ticks_n[i]);
    if (!status)
        status = vector_model_set(&m->vector, bytes_of_text(p->role), p->n);
    for (size_t i = 0; i < p->meta_count && !status; i++) {
        status = manifest_meta_set(m, bytes_of_text(p->meta_keys[i]),
                                   bytes_of_text(p->meta_values[i]));
        if (status)
            diag_fail(&p->diag, status, "meta \"%s\" does not fit: %s",
                      p->meta_keys[i], status_text(status));
    }
    return status;
}

static enum status build_manifest(struct publish *p,
                                  const struct tree_builder *tb)
{
    struct writer wr;
    struct manifest *m = calloc(1, sizeof(*m));
    if (!m)
        return STATUS_NO_MEMORY;
    writer_init_heap(&wr, LIMIT_MANIFEST_BYTES);
    enum status status = fill_manifest(p, m, tb);
    if (!status)
        status = manifest_build(m, &wr, &p->version, &p->diag);
    if (!status)
        p->manifest = writer_take(&wr, &p->manifest_size);
    writer_deinit(&wr);
    free(m);
    return status;
}

static enum status parse_model(struct publish *p, const struct source *source,
                               struct model **out)
{
    struct model_part parts[LIMIT_MANIFEST_FILES];
    struct diag words = {""};
    size_t count = fileset_count(p->files);
    for (size_t i = 0; i < count; i++)
        parts[i] = (struct model_part){p->paths[i], fileset_offset(p->files, i),
                                       fileset_length(p->files, i)};
    enum status status = model_parse(source, parts, count, out, &words);
    const struct model_file *bad = status ? NULL : model_unreadable(*out);
    if (bad)
        snprintf(p->warning, sizeof(p->warning),
                 "%.60s is taken as plain bytes: %s", bad->path, words.text);
    return status;
}

static enum status make_full(struct publish *p, struct make_input *input)
{
    atomic_store(&p->stage, PUBLISH_FULL);
    enum status status =
        make_update(p->places, input, &p->job, &p->updates[0], &p->diag);
    if (!status)
        p->update_count = 1;
    return status;
}

/* A direct update that cannot be made, or is no smaller, is no failure. */
static enum status make_direct(struct publish *p, struct make_input *input,
                               const struct hash *base)
{
    struct content *content = NULL;
    struct model *model = NULL;
    struct diag ignored = {""};
    atomic_store(&p->stage, PUBLISH_DIRECT);
    enum status status =
        content_open(p->places, base, &p->job, &content, &ignored);
    if (!status)
        status = content_model(content, &model, NULL);
    if (!status) {
        struct made_update *made = &p->updates[p->update_count];
        input->params.base = &content->source;
        input->params.base_model = model;
        input->params.base_leaves =
            content->has_manifest ? content->manifest.leaves : NULL;
        input->bytes_max = p->updates[0].bytes;
        status = make_update(p->places, input, &p->job, made, &ignored);
        if (!status)
            p->update_count++;
    }
    model_free(model);
    content_close(content);
    return status == STATUS_CLOSED || status == STATUS_NO_MEMORY ? status
                                                                 : STATUS_OK;
}

/* The update the publisher made itself, kept unless a full one is smaller. */
static enum status keep_premade(struct publish *p, struct make_input *input,
                                const struct tree_builder *tb)
{
    struct made_update *made = &p->updates[p->update_count];
    atomic_store(&p->stage, PUBLISH_DIRECT);
    struct source file = fileset_source(p->premade);
    const struct premade_params params = {.file = &file,
                                          .bases = p->bases,
                                          .base_count = p->base_count,
                                          .target = &p->tree,
                                          .target_leaves = tb->leaves,
                                          .target_size = p->size,
                                          .input = input};
    input->bytes_max = p->updates[0].bytes;
    enum status status =
        premade_keep(p->places, &params, &p->job, made, &p->diag);
    if (!status)
        p->update_count++;
    return status == STATUS_LIMIT ? STATUS_OK : status;
}

static bool has_update_from(const struct publish *p, const struct hash *base)
{
    for (size_t i = 1; i < p->update_count; i++)
        if (hash_equal(&p->updates[i].base, base))
            return true;
    return false;
}

static enum status make_directs(struct publish *p, struct make_input *input,
                                const struct tree_builder *tb)
{
    enum status status = STATUS_OK;
    if (p->premade)
        status = keep_premade(p, input, tb);
    for (size_t i = 0; i < p->base_count && !status; i++)
        if (!hash_equal(&p->bases[i], &p->tree) &&
            !has_update_from(p, &p->bases[i]))
            status = make_direct(p, input, &p->bases[i]);
    return status;
}

/* A second thread doubles the memory, which the daemon has to bound; a third
 * one would be too much. */
#define PUBLISH_THREADS 2u

static enum status make_updates(struct publish *p, const struct source *source,
                                const struct tree_builder *tb)
{
    struct model *model = NULL;
    struct threads *threads = NULL;
    unsigned width = threads_processors();
    enum status status = parse_model(p, source, &model);
    if (!status)
        status = threads_new(width < PUBLISH_THREADS ? width : PUBLISH_THREADS,
                             &threads);
    struct make_input input = {
        .params = {.target = source,
                   .target_model = model,
                   .target_leaves = tb->leaves,
                   .effort = UPDATE_EFFORT_SMALL,
                   .max_rank = UPDATE_RANK_MAX,
                   .parallel = threads ? threads_parallel(threads) : NULL},
        .model = p->model,
        .uptime_s = p->uptime_s,
        .mark = &p->mark,
    };
    if (!status)
        status = make_full(p, &input);
    if (!status)
        status = make_directs(p, &input, tb);
    threads_free(threads);
    model_free(model);
    return status;
}

static enum status check_names(struct publish *p)
{
    if (!name_is_model(bytes_of_text(p->model)))
        return diag_fail(&p->diag, STATUS_USAGE, "\"%s\" is no model name",
                         p->model);
    for (size_t i = 0; i < fileset_count(p->files); i++)
        if (!name_is_path(bytes_of_text(p->paths[i])))
            return diag_fail(&p->diag, STATUS_USAGE,
                             "\"%.100s\" cannot be a file of a version: its "
                             "parts are of A-Z a-z 0-9 . _ - and begin with "
                             "none of . and -",
                             p->paths[i]);
    return STATUS_OK;
}

static enum status take_in(struct publish *p, const struct source *source,
                           struct tree_builder *tb)
{
    p->size = source->size;
    atomic_store(&p->mark.total, source->size);
    if (p->quota_bytes && source->size > p->quota_bytes)
        return diag_fail(&p->diag, STATUS_NO_SPACE,
                         "the version has %llu bytes, the quota is %llu",
                         (unsigned long long)source->size,
                         (unsigned long long)p->quota_bytes);
    enum status status = hash_files(p, source, tb);
    if (status)
        return status;
    if (p->has_latest && hash_equal(&p->latest_tree, &p->tree)) {
        p->unchanged = true;
        return STATUS_OK;
    }
    status = build_manifest(p, tb);
    return status ? status : make_updates(p, source, tb);
}

void publish_run(struct publish *p)
{
    struct tree_builder tb;
    memset(&tb, 0, sizeof(tb));
    struct source source = fileset_source(p->files);
    p->status = check_names(p);
    if (!p->status)
        p->status = take_in(p, &source, &tb);
    if (p->status == STATUS_TRUNCATED || p->status == STATUS_MISMATCH)
        diag_fail(&p->diag, p->status, "a file changed while it was read");
    if (p->status == STATUS_NO_SPACE && !p->diag.text[0])
        diag_fail(&p->diag, p->status, "no space left in the store or in %s",
                  p->places->scratch_dir);
    tree_builder_deinit(&tb);
}
