/* Finds or makes the bytes of a tree. */
#include "daemon/content.h"

#include "codec/update/header.h"
#include "codec/update/update_dec.h"
#include "daemon/fs.h"
#include "store/segment.h"
#include "store/update.h"
#include "store/version.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#define CANDIDATES_MAX 16u

static enum status open_at(const struct places *places, const struct hash *tree,
                           struct job *job, unsigned depth,
                           struct content **out, struct diag *diag);

enum status content_manifest(struct store_txn *txn, const struct hash *version,
                             uint8_t **bytes, size_t *size,
                             struct manifest *out)
{
    struct bytes view;
    *bytes = NULL;
    enum status status = store_version_get_manifest(txn, version, &view);
    if (status)
        return status;
    *bytes = malloc(view.size ? view.size : 1);
    if (!*bytes)
        return STATUS_NO_MEMORY;
    memcpy(*bytes, view.data, view.size);
    *size = view.size;
    status = manifest_parse(bytes_of(*bytes, *size), out, NULL);
    if (status) {
        free(*bytes);
        *bytes = NULL;
    }
    return status;
}

/* ---- Decoding. ---- */

static enum status load_header(const struct places *places,
                               const struct hash *update,
                               struct update_header *out, struct diag *diag)
{
    struct store_txn txn;
    struct bytes view;
    memset(out, 0, sizeof(*out));
    enum status status =
        store_txn_begin(&txn, places->env, STORE_TXN_READ, diag);
    if (status)
        return status;
    status = store_update_get_header(&txn, update, &view);
    if (!status)
        status = update_header_parse(view, out, diag);
    store_txn_abort(&txn);
    return status;
}

static enum status check_blocks(const struct update_header *header,
                                uint32_t index, const struct hash *leaves,
                                const uint8_t *data, struct diag *diag)
{
    uint32_t first, count;
    update_segment_blocks(header, index, &first, &count);
    for (uint32_t i = 0; i < count; i++) {
        struct hash leaf;
        uint32_t size = tree_block_size(&header->target, first + i);
        tree_leaf(bytes_of(data, size), &leaf);
        if (!hash_equal(&leaf, &leaves[first + i]))
            return diag_fail(diag, STATUS_MISMATCH,
                             "block %u does not have its hash", first + i);
        data += size;
    }
    return STATUS_OK;
}

static enum status read_aux(void *ctx, uint32_t index, struct writer *out)
{
    const struct content_aux *aux = ctx;
    struct store_txn txn;
    struct bytes view;
    enum status status =
        store_txn_begin(&txn, aux->places->env, STORE_TXN_READ, NULL);
    if (status)
        return status;
    status = store_segment_get(&txn, &aux->update, index, &view);
    if (!status)
        writer_bytes(out, view.data, view.size);
    store_txn_abort(&txn);
    return status;
}

void content_aux_init(struct content_aux *aux, const struct places *places,
                      const struct hash *update)
{
    aux->places = places;
    aux->update = *update;
    aux->aux = (struct update_aux){read_aux, aux};
}

struct decode_buffers {
    uint8_t *coded, *plain;
};

static enum status decode_one(const struct places *places,
                              const struct hash *update, struct update_dec *dec,
                              const struct update_header *header,
                              uint32_t index, const struct hash *leaves,
                              const struct decode_buffers *buf,
                              struct diag *diag)
{
    size_t copied = 0;
    uint32_t size = header->segments[index].size;
    uint32_t plain = update_segment_target_size(header, index);
    if (size > UPDATE_SEGMENT_CODED_MAX || plain > UPDATE_SEGMENT_SIZE_MAX)
        return STATUS_LIMIT;
    enum status status = STATUS_OK;
    if (size) {
        status = store_segment_read(places->env, update, index, 0, buf->coded,
                                    size, &copied, NULL, diag);
        if (!status && copied != size)
            status = STATUS_CORRUPT;
    }
    if (!status)
        status = update_dec_segment(dec, index, bytes_of(buf->coded, size),
                                    buf->plain, plain, diag);
    if (!status && leaves)
        status = check_blocks(header, index, leaves, buf->plain, diag);
    return status;
}

enum status content_decode(const struct places *places,
                           const struct hash *update,
                           const struct content *base,
                           const struct hash *leaves, struct job *job,
                           enum status (*put)(void *ctx, uint64_t offset,
                                              const uint8_t *data, size_t size),
                           void *ctx, struct diag *diag)
{
    struct update_header header;
    struct update_dec *dec = NULL;
    struct content_aux aux;
    content_aux_init(&aux, places, update);
    enum status status = load_header(places, update, &header, diag);
    if (status)
        return status;
    struct decode_buffers buf = {malloc(UPDATE_SEGMENT_CODED_MAX),
                                 malloc(UPDATE_SEGMENT_SIZE_MAX)};
    if (!buf.coded || !buf.plain)
        status = STATUS_NO_MEMORY;
    if (!status)
        status = update_dec_new(&header, base ? &base->source : NULL, &aux.aux,
                                &dec);
    for (uint32_t i = header.aux_count; i < header.segment_count && !status;
         i++) {
        if (job && job_stopped(job))
            status = STATUS_CLOSED;
        if (!status)
            status =
                decode_one(places, update, dec, &header, i, leaves, &buf, diag);
        if (!status)
            status = put(ctx, update_segment_offset(&header, i), buf.plain,
                         update_segment_target_size(&header, i));
    }
    update_dec_free(dec);
    update_header_free(&header);
    free(buf.coded);
    free(buf.plain);
    return status;
}

/* ---- Choosing updates. ---- */

struct chosen {
    struct hash id, base;
    bool has_base;
};

struct choice {
    struct chosen list[CANDIDATES_MAX];
    size_t count;
};

/* Full updates are tried last: a chain over what lies in place is cheaper. */
static bool note_update(void *ctx, const struct store_update *update)
{
    struct choice *choice = ctx;
    if (!store_update_complete(update))
        return true;
    if (choice->count == CANDIDATES_MAX)
        return false;
    choice->list[choice->count++] =
        (struct chosen){update->id, update->base, update->has_base};
    return true;
}

static enum status find_updates(const struct places *places,
                                const struct hash *tree, struct choice *out,
                                struct diag *diag)
{
    struct store_txn txn;
    out->count = 0;
    enum status status =
        store_txn_begin(&txn, places->env, STORE_TXN_READ, diag);
    if (status)
        return status;
    status = store_update_each_to(&txn, tree, note_update, out);
    store_txn_abort(&txn);
    return status;
}

/* Makes a tree from one of its updates. */
static enum status make_by(const struct places *places,
                           const struct chosen *chosen,
                           const struct hash *leaves, struct job *job,
                           unsigned depth,
                           enum status (*put)(void *ctx, uint64_t offset,
                                              const uint8_t *data, size_t size),
                           void *ctx, struct diag *diag)
{
    struct content *base = NULL;
    enum status status = STATUS_OK;
    if (chosen->has_base)
        status =
            depth ? open_at(places, &chosen->base, job, depth - 1, &base, diag)
                  : STATUS_NOT_FOUND;
    if (!status)
        status = content_decode(places, &chosen->id, base, leaves, job, put,
                                ctx, diag);
    content_close(base);
    return status;
}

/* The content without a byte needs no update to be made. */
static bool tree_is_empty(const struct hash *tree)
{
    struct tree_shape shape;
    struct hash empty;
    if (tree_shape_of(0, &shape))
        return false;
    tree_id(&shape, NULL, &empty);
    return hash_equal(tree, &empty);
}

static enum status
make_tree(const struct places *places, const struct hash *tree,
          const struct hash *leaves, struct job *job, unsigned depth,
          enum status (*put)(void *ctx, uint64_t offset, const uint8_t *data,
                             size_t size),
          void *ctx, struct diag *diag)
{
    struct choice choice;
    if (tree_is_empty(tree))
        return STATUS_OK;
    enum status status = find_updates(places, tree, &choice, diag);
    if (status)
        return status;
    enum status last = STATUS_NOT_FOUND;
    for (int full = 0; full < 2; full++) {
        for (size_t i = 0; i < choice.count; i++) {
            if (choice.list[i].has_base == (full != 0))
                continue;
            diag_reset(diag);
            status = make_by(places, &choice.list[i], leaves, job, depth, put,
                             ctx, diag);
            if (!status || status == STATUS_CLOSED || status == STATUS_NO_SPACE)
                return status;
            if (status != STATUS_NOT_FOUND)
                last = status;
        }
    }
    return last;
}

enum status content_make(const struct places *places, const struct hash *tree,
                         const struct hash *leaves, struct job *job,
                         enum status (*put)(void *ctx, uint64_t offset,
                                            const uint8_t *data, size_t size),
                         void *ctx, struct diag *diag)
{
    return make_tree(places, tree, leaves, job, CONTENT_CHAIN_MAX, put, ctx,
                     diag);
}

/* ---- Opening. ---- */

struct candidate {
    struct hash id;
    char model[STORE_NAME_MAX + 1];
    bool complete;
};

struct candidates {
    struct candidate list[CANDIDATES_MAX];
    size_t count;
};

static bool note_version(void *ctx, const struct store_version *version)
{
    struct candidates *c = ctx;
    if (!version->manifest_size)
        return true;
    struct candidate *at = &c->list[c->count++];
    at->id = version->id;
    memcpy(at->model, version->model, sizeof(at->model));
    at->complete = version->state >= STORE_VERSION_COMPLETE;
    return c->count < CANDIDATES_MAX;
}

/* The plain files of a version, in place or complete in its own folder. */
static enum status open_plain(const struct places *places,
                              struct store_txn *txn,
                              const struct candidate *candidate,
                              const struct manifest *m, struct fileset **out)
{
    uint64_t n;
    char dir[PATH_MAX];
    *out = NULL;
    enum status status =
        activate_find(txn, candidate->model, &candidate->id, &n);
    if (!status)
        status = activate_dir(places, candidate->model, n, dir);
    if (!status)
        status = fileset_open(dir, m->files, m->file_count, out, NULL);
    if (!status || !candidate->complete)
        return status;
    status = activate_tmp_dir(places, candidate->model, &candidate->id, dir);
    return status ? status
                  : fileset_open(dir, m->files, m->file_count, out, NULL);
}

/* Looks through the versions with this tree: keeps the first manifest, and the
 * plain files where one has them. */
static enum status look_up(const struct places *places, struct content *content,
                           struct diag *diag)
{
    struct store_txn txn;
    struct candidates c = {.count = 0};
    enum status status =
        store_txn_begin(&txn, places->env, STORE_TXN_READ, diag);
    if (status)
        return status;
    status = store_version_each_of_tree(&txn, &content->tree, note_version, &c);
    for (size_t i = 0; i < c.count && !status && !content->files; i++) {
        uint8_t *bytes;
        size_t size;
        struct manifest *m = &content->manifest;
        free(content->manifest_bytes);
        content->manifest_bytes = NULL;
        if (content_manifest(&txn, &c.list[i].id, &bytes, &size, m))
            continue;
        content->manifest_bytes = bytes;
        if (open_plain(places, &txn, &c.list[i], m, &content->files))
            content->files = NULL;
    }
    content->has_manifest = content->manifest_bytes != NULL;
    store_txn_abort(&txn);
    return status;
}

/* A nameless file that grows as it is written. */
static enum status scratch_read(void *ctx, uint64_t offset, void *out,
                                size_t size)
{
    const struct content *content = ctx;
    return fs_pread(content->scratch, out, size, offset);
}

static enum status scratch_put(void *ctx, uint64_t offset, const uint8_t *data,
                               size_t size)
{
    struct content *content = ctx;
    if (offset + size > content->source.size)
        content->source.size = offset + size;
    return fs_pwrite(content->scratch, data, size, offset);
}

static enum status make_scratch(const struct places *places,
                                struct content *content, struct job *job,
                                unsigned depth, struct diag *diag)
{
    content->scratch = fs_scratch(places->scratch_dir);
    if (content->scratch < 0)
        return diag_fail(diag, status_from_errno(errno), "%s: %s",
                         places->scratch_dir, strerror(errno));
    content->source = (struct source){scratch_read, content, 0};
    const struct hash *leaves =
        content->has_manifest ? content->manifest.leaves : NULL;
    enum status status = make_tree(places, &content->tree, leaves, job, depth,
                                   scratch_put, content, diag);
    if (status || leaves)
        return status;
    struct tree_builder tb;
    struct hash tree;
    status = tree_build(&content->source, &tb, &tree);
    tree_builder_deinit(&tb);
    if (!status && !hash_equal(&tree, &content->tree))
        status = diag_fail(diag, STATUS_MISMATCH,
                           "updates do not lead to their tree");
    return status;
}

static enum status open_at(const struct places *places, const struct hash *tree,
                           struct job *job, unsigned depth,
                           struct content **out, struct diag *diag)
{
    *out = NULL;
    struct content *content = calloc(1, sizeof(*content));
    if (!content)
        return STATUS_NO_MEMORY;
    content->tree = *tree;
    content->scratch = -1;
    enum status status = look_up(places, content, diag);
    if (!status && content->files)
        content->source = fileset_source(content->files);
    else if (!status)
        status = make_scratch(places, content, job, depth, diag);
    if (status)
        content_close(content);
    else
        *out = content;
    return status;
}

enum status content_open(const struct places *places, const struct hash *tree,
                         struct job *job, struct content **out,
                         struct diag *diag)
{
    return open_at(places, tree, job, CONTENT_CHAIN_MAX, out, diag);
}

/* ---- Looking. ---- */

/* Updates that a look goes through, the last one from nothing or plain. */
#define LOOK_CHAIN_MAX 3u

struct content_lazy {
    const struct places *places;
    struct hash update;
    struct update_header header;
    struct content_aux aux;
    struct content *base;
    struct update_dec *dec;
    struct decode_buffers buf;
    uint32_t index; /* of the segment in buf.plain; UINT32_MAX: none */
};

static void lazy_free(struct content_lazy *lazy)
{
    if (!lazy)
        return;
    update_dec_free(lazy->dec);
    update_header_free(&lazy->header);
    content_close(lazy->base);
    free(lazy->buf.coded);
    free(lazy->buf.plain);
    free(lazy);
}

static enum status lazy_read(void *ctx, uint64_t offset, void *out, size_t size)
{
    struct content_lazy *lazy = ctx;
    const struct update_header *header = &lazy->header;
    unsigned log = header->target.block_log + header->segment_log;
    uint8_t *to = out;
    while (size) {
        uint32_t index = header->aux_count + (uint32_t)(offset >> log);
        size_t skip = (size_t)(offset & (((uint64_t)1 << log) - 1));
        if (index >= header->segment_count ||
            skip >= update_segment_target_size(header, index))
            return STATUS_TRUNCATED;
        if (index != lazy->index) {
            lazy->index = UINT32_MAX;
            enum status status =
                decode_one(lazy->places, &lazy->update, lazy->dec, header,
                           index, NULL, &lazy->buf, NULL);
            if (status)
                return status;
            lazy->index = index;
        }
        size_t left = update_segment_target_size(header, index) - skip;
        size_t now = size < left ? size : left;
        memcpy(to, lazy->buf.plain + skip, now);
        to += now;
        offset += now;
        size -= now;
    }
    return STATUS_OK;
}

static enum status look_at(const struct places *places, const struct hash *tree,
                           unsigned depth, struct content **out,
                           struct diag *diag);

static enum status lazy_open(const struct places *places,
                             const struct chosen *chosen, unsigned depth,
                             struct content *content, struct diag *diag)
{
    struct content_lazy *lazy = calloc(1, sizeof(*lazy));
    enum status status = STATUS_NO_MEMORY;
    if (!lazy)
        return status;
    lazy->places = places;
    lazy->update = chosen->id;
    lazy->index = UINT32_MAX;
    lazy->buf = (struct decode_buffers){malloc(UPDATE_SEGMENT_CODED_MAX),
                                        malloc(UPDATE_SEGMENT_SIZE_MAX)};
    content_aux_init(&lazy->aux, places, &chosen->id);
    if (lazy->buf.coded && lazy->buf.plain)
        status = load_header(places, &chosen->id, &lazy->header, diag);
    if (!status && chosen->has_base)
        status = look_at(places, &chosen->base, depth, &lazy->base, diag);
    if (!status)
        status = update_dec_new(&lazy->header,
                                lazy->base ? &lazy->base->source : NULL,
                                &lazy->aux.aux, &lazy->dec);
    if (status) {
        lazy_free(lazy);
        return status;
    }
    content->lazy = lazy;
    content->source =
        (struct source){lazy_read, lazy, lazy->header.target.size};
    return STATUS_OK;
}

/* From nothing first, the way with the fewest segments to decode. */
static enum status look_through(const struct places *places, unsigned depth,
                                struct content *content, struct diag *diag)
{
    struct choice choice;
    enum status status = find_updates(places, &content->tree, &choice, diag);
    if (status)
        return status;
    for (int over = 0; over < 2; over++)
        for (size_t i = 0; i < choice.count; i++) {
            if (choice.list[i].has_base != (over != 0) || (over && !depth))
                continue;
            status = lazy_open(places, &choice.list[i], over ? depth - 1 : 0,
                               content, diag);
            if (status != STATUS_NOT_FOUND)
                return status;
        }
    return STATUS_NOT_FOUND;
}

static enum status look_at(const struct places *places, const struct hash *tree,
                           unsigned depth, struct content **out,
                           struct diag *diag)
{
    *out = NULL;
    struct content *content = calloc(1, sizeof(*content));
    if (!content)
        return STATUS_NO_MEMORY;
    content->tree = *tree;
    content->scratch = -1;
    enum status status = look_up(places, content, diag);
    if (!status && content->files)
        content->source = fileset_source(content->files);
    else if (!status && tree_is_empty(tree))
        content->source = source_of_bytes(bytes_of("", 0));
    else if (!status)
        status = look_through(places, depth, content, diag);
    if (status)
        content_close(content);
    else
        *out = content;
    return status;
}

enum status content_open_look(const struct places *places,
                              const struct hash *tree, struct content **out,
                              struct diag *diag)
{
    return look_at(places, tree, LOOK_CHAIN_MAX - 1, out, diag);
}

void content_close(struct content *content)
{
    if (!content)
        return;
    lazy_free(content->lazy);
    fileset_free(content->files);
    if (content->scratch >= 0)
        close(content->scratch);
    for (size_t i = 0; content->paths && i < content->manifest.file_count; i++)
        free(content->paths[i]);
    free(content->paths);
    free(content->manifest_bytes);
    free(content);
}

/* Paths with a NUL, kept as long as the content. */
static enum status make_paths(struct content *content)
{
    const struct manifest *m = &content->manifest;
    if (content->paths)
        return STATUS_OK;
    content->paths = calloc(m->file_count, sizeof(*content->paths));
    if (!content->paths)
        return STATUS_NO_MEMORY;
    for (size_t i = 0; i < m->file_count; i++) {
        struct bytes path = m->files[i].path;
        content->paths[i] = bytes_to_text(path);
        if (!content->paths[i])
            return STATUS_NO_MEMORY;
    }
    return STATUS_OK;
}

enum status content_model(struct content *content, struct model **out,
                          struct diag *diag)
{
    const struct manifest *m = &content->manifest;
    struct model_part parts[LIMIT_MANIFEST_FILES];
    *out = NULL;
    if (!content->has_manifest)
        return model_parse_file(&content->source, NULL, out, diag);
    enum status status = make_paths(content);
    if (status)
        return status;
    for (size_t i = 0; i < m->file_count; i++)
        parts[i] = (struct model_part){content->paths[i], m->files[i].offset,
                                       m->files[i].length};
    return model_parse(&content->source, parts, m->file_count, out, diag);
}

enum status content_check(const struct content *content, struct job *job,
                          void (*fn)(void *ctx, uint32_t block), void *ctx)
{
    const struct manifest *m = &content->manifest;
    if (!content->has_manifest)
        return STATUS_USAGE;
    uint8_t *block = malloc(TREE_BLOCK_SIZE_MAX);
    if (!block)
        return STATUS_NO_MEMORY;
    enum status status = STATUS_OK;
    bool differs = false;
    for (uint32_t i = 0; i < m->shape.block_count && !status; i++) {
        struct hash leaf;
        uint32_t size = tree_block_size(&m->shape, i);
        status = source_read(&content->source, tree_block_offset(&m->shape, i),
                             block, size);
        tree_leaf(bytes_of(block, size), &leaf);
        if (!status && !hash_equal(&leaf, &m->leaves[i])) {
            differs = true;
            if (fn)
                fn(ctx, i);
        }
        if (job && job_stopped(job))
            status = STATUS_CLOSED;
    }
    free(block);
    return !status && differs ? STATUS_MISMATCH : status;
}
