/* The encoder, from sources to the store. */
#include "daemon/make.h"

#include "codec/update/estimate.h"
#include "daemon/fs.h"
#include "store/segment.h"
#include "store/update.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

struct make {
    const struct places *places;
    const struct make_input *input;
    struct job *job;
    struct diag *diag;
    struct update_enc *enc;
    int scratch;
    uint64_t start; /* of the coded segments in scratch */
    uint64_t coded; /* their bytes */
    struct writer header;
};

static bool plan_goes_on(void *ctx, uint64_t done, uint64_t total)
{
    struct make *make = ctx;
    (void)done;
    (void)total;
    return !make->job || !job_stopped(make->job);
}

static void mark(const struct make *make, uint64_t done, uint64_t total)
{
    if (!make->input->mark)
        return;
    atomic_store(&make->input->mark->total, total);
    atomic_store(&make->input->mark->done, done);
}

static enum status code_segments(struct make *make)
{
    uint32_t count = update_enc_segment_count(make->enc);
    for (uint32_t i = 0; i < count; i++) {
        struct bytes coded;
        mark(make, i, count);
        if (make->job && job_stopped(make->job))
            return STATUS_CLOSED;
        enum status status = update_enc_segment(make->enc, i, &coded);
        if (!status)
            status =
                fs_pwrite(make->scratch, coded.data, coded.size, make->coded);
        if (status)
            return status;
        make->coded += coded.size;
        if (make->input->bytes_max && make->coded > make->input->bytes_max)
            return STATUS_LIMIT;
    }
    writer_init_heap(&make->header, UPDATE_HEADER_MAX);
    return update_enc_header(make->enc, &make->header);
}

static enum status put_header(const struct make *make,
                              const struct update_header *header,
                              const struct hash *id, bool *held)
{
    struct store_txn txn;
    struct store_update row = {
        .id = *id,
        .has_base = header->has_base,
        .base = header->base_tree,
        .target = header->target_tree,
        .segment_count = header->segment_count,
        .coded_size = make->header.size + header->coded_size,
        .added_uptime = make->input->uptime_s,
    };
    size_t size = strlen(make->input->model);
    if (size > STORE_NAME_MAX)
        return STATUS_LIMIT;
    memcpy(row.model, make->input->model, size);
    enum status status =
        store_txn_begin(&txn, make->places->env, STORE_TXN_WRITE, make->diag);
    if (status)
        return status;
    status = store_update_add(&txn, &row, writer_view(&make->header));
    if (status == STATUS_EXISTS) {
        status = store_update_get(&txn, id, &row);
        *held = !status && store_update_complete(&row);
    }
    if (status) {
        store_txn_abort(&txn);
        return status;
    }
    return store_txn_commit(&txn);
}

/* Segments from index on that fit one transaction; *index moves on. */
static enum status put_some(const struct make *make,
                            const struct update_header *header,
                            const struct hash *id, uint8_t *buf,
                            uint32_t *index)
{
    struct store_txn txn;
    uint64_t bytes = 0;
    enum status status =
        store_txn_begin(&txn, make->places->env, STORE_TXN_WRITE, make->diag);
    if (status)
        return status;
    for (; *index < header->segment_count; (*index)++) {
        const struct update_segment *seg = &header->segments[*index];
        if (bytes && bytes + seg->size > STORE_TXN_BYTES)
            break;
        bytes += seg->size + 32;
        status =
            fs_pread(make->scratch, buf, seg->size, make->start + seg->offset);
        if (!status)
            status =
                store_segment_put(&txn, id, *index, bytes_of(buf, seg->size));
        if (status && status != STATUS_EXISTS)
            break;
        status = STATUS_OK;
    }
    if (status) {
        store_txn_abort(&txn);
        return status;
    }
    return store_txn_commit(&txn);
}

static enum status store_update(const struct make *make,
                                struct made_update *out)
{
    struct update_header header;
    bool held = false;
    uint32_t index = 0;
    enum status status =
        update_header_parse(writer_view(&make->header), &header, make->diag);
    if (status)
        return status;
    update_id(writer_view(&make->header), &out->id);
    out->has_base = header.has_base;
    out->base = header.base_tree;
    out->bytes = make->header.size + header.coded_size;
    out->segment_count = header.segment_count;
    uint8_t *buf = malloc(UPDATE_SEGMENT_CODED_MAX);
    if (!buf)
        status = STATUS_NO_MEMORY;
    if (!status && make->input->bytes_max &&
        out->bytes > make->input->bytes_max)
        status = STATUS_LIMIT;
    if (!status)
        status = put_header(make, &header, &out->id, &held);
    while (!status && !held && index < header.segment_count) {
        status = put_some(make, &header, &out->id, buf, &index);
        if (!status && make->job && job_stopped(make->job))
            status = STATUS_CLOSED;
    }
    update_header_free(&header);
    free(buf);
    return status;
}

enum status make_update(const struct places *places,
                        const struct make_input *input, struct job *job,
                        struct made_update *out, struct diag *diag)
{
    struct make make = {.places = places,
                        .input = input,
                        .job = job,
                        .diag = diag,
                        .scratch = -1};
    struct update_enc_params params = input->params;
    memset(out, 0, sizeof(*out));
    params.diag = diag;
    enum status status = update_enc_new(&params, &make.enc);
    if (status)
        return status;
    make.scratch = fs_scratch(places->scratch_dir);
    if (make.scratch < 0)
        status = diag_fail(diag, status_from_errno(errno), "%s: %s",
                           places->scratch_dir, strerror(errno));
    if (!status)
        status = update_enc_plan(make.enc, plan_goes_on, &make);
    if (!status)
        status = code_segments(&make);
    update_enc_free(make.enc);
    if (!status)
        status = store_update(&make, out);
    if (!status)
        out->header = writer_take(&make.header, &out->header_size);
    writer_deinit(&make.header);
    if (make.scratch >= 0)
        close(make.scratch);
    return status;
}

enum status make_keep(const struct places *places,
                      const struct make_input *input,
                      const struct ready_update *ready, struct job *job,
                      struct made_update *out, struct diag *diag)
{
    struct make make = {.places = places,
                        .input = input,
                        .job = job,
                        .diag = diag,
                        .scratch = ready->fd,
                        .start = ready->segments_offset};
    memset(out, 0, sizeof(*out));
    writer_init_heap(&make.header, UPDATE_HEADER_MAX);
    writer_bytes(&make.header, ready->header.data, ready->header.size);
    enum status status = writer_status(&make.header);
    if (!status)
        status = store_update(&make, out);
    if (!status)
        out->header = writer_take(&make.header, &out->header_size);
    writer_deinit(&make.header);
    return status;
}

/* Contents and tensors of both ends. */
struct ends {
    struct content *base, *target;
    struct model *base_model, *target_model;
};

static void ends_close(struct ends *ends)
{
    model_free(ends->base_model);
    model_free(ends->target_model);
    content_close(ends->base);
    content_close(ends->target);
}

static enum status ends_parse(struct ends *ends)
{
    enum status status = STATUS_OK;
    if (ends->base)
        status = content_model(ends->base, &ends->base_model, NULL);
    return status ? status
                  : content_model(ends->target, &ends->target_model, NULL);
}

static enum status ends_open(const struct places *places,
                             const struct hash *base, const struct hash *target,
                             struct job *job, struct ends *out,
                             struct diag *diag)
{
    enum status status = STATUS_OK;
    if (base)
        status = content_open(places, base, job, &out->base, diag);
    if (!status)
        status = content_open(places, target, job, &out->target, diag);
    return status ? status : ends_parse(out);
}

/* How the update from one end to the other is made while somebody waits. */
static struct update_enc_params ends_params(const struct ends *ends,
                                            enum coding_speed speed)
{
    const struct content *base = ends->base;
    return (struct update_enc_params){
        .base = base ? &base->source : NULL,
        .target = &ends->target->source,
        .base_model = ends->base_model,
        .target_model = ends->target_model,
        .base_leaves =
            base && base->has_manifest ? base->manifest.leaves : NULL,
        .target_leaves = ends->target->manifest.leaves,
        .effort = UPDATE_EFFORT_FAST,
        .speed = speed,
        .max_rank = MAKE_RANK,
    };
}

/* bytes_max: as struct make_input's. */
static enum status ends_make(const struct places *places,
                             const struct ends *ends, enum coding_speed speed,
                             uint64_t bytes_max, uint64_t uptime_s,
                             struct job *job, struct made_update *out,
                             struct diag *diag)
{
    char model[STORE_NAME_MAX + 1] = "";
    if (!ends->target->has_manifest)
        return STATUS_NOT_FOUND;
    struct bytes name = ends->target->manifest.model;
    memcpy(model, name.data,
           name.size < sizeof(model) ? name.size : sizeof(model) - 1);
    const struct make_input input = {
        .params = ends_params(ends, speed),
        .model = model,
        .uptime_s = uptime_s,
        .bytes_max = bytes_max,
    };
    return make_update(places, &input, job, out, diag);
}

enum status make_update_between(const struct places *places,
                                const struct make_pair *pair, uint64_t uptime_s,
                                struct job *job, struct made_update *out,
                                struct diag *diag)
{
    struct ends ends = {.base = NULL};
    memset(out, 0, sizeof(*out));
    enum status status =
        ends_open(places, pair->base, pair->target, job, &ends, diag);
    if (!status)
        status =
            ends_make(places, &ends, pair->speed, 0, uptime_s, job, out, diag);
    ends_close(&ends);
    return status;
}

enum status make_estimate(const struct places *places,
                          const struct make_pair *pair, uint64_t *bytes)
{
    struct ends ends = {.base = NULL};
    enum status status =
        content_open_look(places, pair->target, &ends.target, NULL);
    if (!status && pair->base)
        status = content_open_look(places, pair->base, &ends.base, NULL);
    if (!status)
        status = ends_parse(&ends);
    if (!status && !ends.target->has_manifest)
        status = STATUS_NOT_FOUND;
    if (!status) {
        const struct update_enc_params params = ends_params(&ends, pair->speed);
        status = update_estimate(&params, bytes);
    }
    ends_close(&ends);
    return status;
}

/* ---- Depth. ---- */

struct depth {
    struct hash update;
    bool has_update;
};

static bool note_realising(void *ctx, const struct store_version *version)
{
    struct depth *depth = ctx;
    if (version->has_update && version->state >= STORE_VERSION_COMPLETE) {
        depth->has_update = true;
        depth->update = version->update;
    }
    return !depth->has_update;
}

/* What a version is made of. */
struct chain {
    struct hash tree; /* its own */
    unsigned steps;   /* down to a full update */
    bool has_root;
    struct hash root; /* what the full update yields */
};

/* Without a full update in reach there is no root. */
static enum status chain_walk(struct store_txn *txn, struct chain *chain)
{
    struct hash at = chain->tree;
    for (chain->steps = 0; chain->steps <= CONTENT_CHAIN_MAX; chain->steps++) {
        struct depth depth = {.has_update = false};
        struct store_update update;
        enum status status =
            store_version_each_of_tree(txn, &at, note_realising, &depth);
        if (!status && !depth.has_update) {
            chain->steps = CONTENT_CHAIN_MAX + 1;
            return STATUS_OK;
        }
        if (!status)
            status = store_update_get(txn, &depth.update, &update);
        if (status)
            return status;
        if (!update.has_base) {
            chain->has_root = true;
            chain->root = at;
            return STATUS_OK;
        }
        at = update.base;
    }
    return STATUS_OK;
}

static enum status look_at(const struct places *places,
                           const struct hash *version, struct chain *chain,
                           struct diag *diag)
{
    struct store_txn txn;
    struct store_version row;
    memset(chain, 0, sizeof(*chain));
    enum status status =
        store_txn_begin(&txn, places->env, STORE_TXN_READ, diag);
    if (status)
        return status;
    status = store_version_get(&txn, version, &row);
    if (!status && row.state < STORE_VERSION_COMPLETE)
        status = STATUS_NOT_FOUND;
    chain->tree = row.tree;
    if (!status)
        status = chain_walk(&txn, chain);
    store_txn_abort(&txn);
    return status;
}

static enum status realise_by(const struct places *places,
                              const struct hash *version,
                              const struct hash *update, struct diag *diag)
{
    struct store_txn txn;
    enum status status =
        store_txn_begin(&txn, places->env, STORE_TXN_WRITE, diag);
    if (status)
        return status;
    status = store_version_set_update(&txn, version, update);
    if (status) {
        store_txn_abort(&txn);
        return status;
    }
    return store_txn_commit(&txn);
}

/* One over the root, when that is clearly smaller than a full one: it takes a
 * step more, and its base has to stay. */
static enum status make_over_root(const struct places *places,
                                  const struct chain *chain, uint64_t uptime_s,
                                  struct job *job, struct made_update *out)
{
    struct ends ends = {.base = NULL};
    struct diag ignored = {""};
    uint64_t full = 0;
    if (!chain->has_root)
        return STATUS_NOT_FOUND;
    enum status status =
        ends_open(places, &chain->root, &chain->tree, job, &ends, &ignored);
    if (!status && !ends.target->has_manifest)
        status = STATUS_NOT_FOUND;
    if (!status) {
        struct update_enc_params params = ends_params(&ends, CODING_SPEED_AUTO);
        params.base = NULL;
        params.base_model = NULL;
        params.base_leaves = NULL;
        status = update_estimate(&params, &full);
    }
    if (!status)
        status = ends_make(places, &ends, CODING_SPEED_AUTO, full / 3 * 2 + 1,
                           uptime_s, job, out, &ignored);
    ends_close(&ends);
    return status;
}

enum status make_shallow(const struct places *places,
                         const struct hash *version, uint64_t uptime_s,
                         struct job *job, bool *made, struct made_update *out,
                         struct diag *diag)
{
    struct chain chain;
    *made = false;
    memset(out, 0, sizeof(*out));
    enum status status = look_at(places, version, &chain, diag);
    if (status || chain.steps <= MAKE_DEPTH_MAX)
        return status;
    const struct make_pair full = {.target = &chain.tree};
    status = make_over_root(places, &chain, uptime_s, job, out);
    if (status && status != STATUS_CLOSED)
        status = make_update_between(places, &full, uptime_s, job, out, diag);
    if (!status)
        status = realise_by(places, version, &out->id, diag);
    *made = !status;
    if (status) {
        free(out->header);
        out->header = NULL;
    }
    return status;
}
