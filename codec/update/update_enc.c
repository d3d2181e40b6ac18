/* Makes updates: hashes, matches, plans, then codes each segment the two or
 * three ways that can be smallest and keeps the smallest. */
#include "codec/update/update_enc.h"

#include "codec/lossless/match.h"
#include "codec/update/header_write.h"
#include "codec/update/plan.h"
#include "codec/update/segment.h"
#include "codec/update/segment_enc.h"

#include <stdlib.h>

#define ENC_SEGMENT_LOG_SMALL 18u /* 256 KiB: contents of at most: */
#define ENC_SMALL_SIZE_MAX    (8u << 20)
#define ENC_ALONE_CODED_MAX   65536u /* one segment where all codes to less */

/* How records were used by the segments coded so far. */
#define ENC_USED_PIECES 1u
#define ENC_USED_COPY   2u

/* One segment of a round. */
struct enc_worker {
    struct segment_enc *segment_enc;
    struct bytes out; /* its scratch */
    enum segment_use use;
    enum status status;
};

struct update_enc {
    struct update_enc_params params;
    struct tree_builder base_tree;
    struct tree_builder target_tree;
    struct update_plan plan;
    struct update_header header; /* records are the plan's */
    struct predictor_aux aux;
    uint8_t *used;        /* per record */
    uint32_t coded_count; /* segments handed out */
    struct enc_worker *workers;
    unsigned width;
    uint32_t round_first; /* segments that lie coded with the workers */
    uint32_t round_count;
};

enum status update_enc_new(const struct update_enc_params *params,
                           struct update_enc **out)
{
    struct tree_shape shape;
    if (tree_shape_of(params->target->size, &shape) ||
        (params->base && tree_shape_of(params->base->size, &shape)))
        return diag_fail(params->diag, STATUS_LIMIT,
                         "content is larger than 64 GiB");
    struct update_enc *enc = calloc(1, sizeof(*enc));
    if (!enc)
        return STATUS_NO_MEMORY;
    enc->params = *params;
    enc->width = params->parallel && params->parallel->width > 1
                     ? params->parallel->width
                     : 1;
    enc->workers = calloc(enc->width, sizeof(*enc->workers));
    if (!enc->workers) {
        free(enc);
        return STATUS_NO_MEMORY;
    }
    *out = enc;
    return STATUS_OK;
}

void update_enc_free(struct update_enc *enc)
{
    if (!enc)
        return;
    tree_builder_deinit(&enc->base_tree);
    tree_builder_deinit(&enc->target_tree);
    update_plan_deinit(&enc->plan);
    for (unsigned i = 0; i < enc->width; i++)
        segment_enc_free(enc->workers[i].segment_enc);
    free(enc->workers);
    free(enc->header.segments);
    free(enc->used);
    free(enc);
}

/* Progress of a whole plan out of that of its three passes. */
struct enc_progress {
    update_progress_fn fn;
    void *ctx;
    uint64_t before;
    uint64_t total;
};

static bool enc_progress(void *ctx, uint64_t done, uint64_t total)
{
    struct enc_progress *progress = ctx;
    (void)total;
    return !progress->fn || progress->fn(progress->ctx, progress->before + done,
                                         progress->total);
}

struct enc_hashing {
    struct tree_builder *tb;
    struct enc_progress *progress;
    uint64_t done, total;
};

static enum status enc_hash_piece(void *ctx, struct bytes piece)
{
    struct enc_hashing *hashing = ctx;
    enum status status = tree_builder_add(hashing->tb, piece);
    hashing->done += piece.size;
    if (!status &&
        !enc_progress(hashing->progress, hashing->done, hashing->total))
        status = STATUS_CLOSED;
    return status;
}

static enum status enc_hash(struct update_enc *enc, const char *what,
                            const struct source *source,
                            const struct hash *leaves, struct tree_builder *tb,
                            struct hash *id, struct enc_progress *progress)
{
    struct enc_hashing hashing = {tb, progress, 0, source->size};
    enum status status = tree_builder_init(tb, source->size);
    if (!status)
        status = source_each(source, 0, source->size, enc_hash_piece, &hashing);
    if (!status)
        status = tree_builder_finish(tb, id);
    progress->before += source->size;
    for (uint32_t i = 0; !status && leaves && i < tb->shape.block_count; i++)
        if (!hash_equal(&leaves[i], &tb->leaves[i]))
            status =
                diag_fail(enc->params.diag, STATUS_MISMATCH,
                          "block %u of the %s does not have its hash", i, what);
    return status;
}

static enum status enc_plan_over(struct update_enc *enc, bool opaque,
                                 struct enc_progress *progress)
{
    const struct update_enc_params *params = &enc->params;
    struct match_list matches;
    enum status status = match_contents(
        params->base, opaque ? NULL : params->base_model, params->target,
        opaque ? NULL : params->target_model, &matches);
    if (status)
        return status;
    struct update_plan_input input = {
        .base = params->base,
        .target = params->target,
        .matches = &matches,
        .speed = params->speed,
        .max_rank = params->max_rank,
        .effort = params->effort == UPDATE_EFFORT_SMALL,
        .stride = 1,
        .hints = params->hints,
        .parallel = params->parallel,
        .progress = enc_progress,
        .progress_ctx = progress,
    };
    status = update_plan_make(&input, &enc->plan);
    match_list_free(&matches);
    return status;
}

static uint64_t enc_segment_costs(const struct update_enc *enc)
{
    unsigned tables =
        enc->plan.tables.fast.count + enc->plan.tables.narrow.count;
    return 160 + 40 * (uint64_t)tables + 8 * (uint64_t)enc->plan.records.count +
           160 * (uint64_t)enc->header.segment_count;
}

uint64_t update_enc_estimate(const struct update_enc *enc)
{
    return enc->plan.coded_size + enc_segment_costs(enc);
}

static void enc_set_segment_log(struct update_enc *enc, unsigned log)
{
    unsigned block_log = enc->header.target.block_log;
    enc->header.segment_log = (uint8_t)(log > block_log ? log - block_log : 0);
    enc->header.segment_count =
        enc->header.aux_count +
        update_header_segment_count(&enc->header.target,
                                    enc->header.segment_log);
}

static enum status enc_buffers(struct update_enc *enc)
{
    enc->used = calloc((size_t)enc->plan.records.count + 1, 1);
    enc->header.segments = calloc((size_t)enc->header.target.block_count +
                                      enc->header.aux_count + 1,
                                  sizeof(*enc->header.segments));
    return enc->used && enc->header.segments ? STATUS_OK : STATUS_NO_MEMORY;
}

/* ---- segments ---- */

static struct bytes enc_aux(const struct update_enc *enc, uint32_t index)
{
    const struct plan_aux *aux = &enc->plan.aux[index];
    return bytes_of(enc->plan.aux_bytes.data + aux->offset, aux->size);
}

static enum status enc_read_aux(void *ctx, uint32_t index, struct bytes *coded)
{
    *coded = enc_aux(ctx, index);
    return STATUS_OK;
}

static void enc_task(void *arg, unsigned i)
{
    struct update_enc *enc = arg;
    struct enc_worker *worker = &enc->workers[i];
    const struct segment_enc_params params = {
        .base = enc->params.base,
        .target = enc->params.target,
        .header = &enc->header,
        .aux = &enc->aux,
        .effort = enc->params.effort,
    };
    if (!worker->segment_enc)
        worker->segment_enc = segment_enc_new(&params);
    worker->status =
        worker->segment_enc
            ? segment_enc_code(worker->segment_enc, enc->round_first + i,
                               &worker->out, &worker->use)
            : STATUS_NO_MEMORY;
}

/* Codes as many segments from first on as can be done side by side. */
static void enc_round(struct update_enc *enc, uint32_t first)
{
    uint32_t left = enc->header.segment_count - first;
    enc->round_first = first;
    enc->round_count = left < enc->width ? left : enc->width;
    if (enc->round_count > 1)
        enc->params.parallel->run(enc->params.parallel->ctx, enc->round_count,
                                  enc_task, enc);
    else
        enc_task(enc, 0);
}

static void enc_mark(struct update_enc *enc, uint32_t index,
                     enum segment_use use)
{
    struct segment_walk walk;
    struct segment_piece piece;
    uint8_t how = use == SEGMENT_USE_COPY ? ENC_USED_COPY : ENC_USED_PIECES;
    if (use == SEGMENT_USE_NONE)
        return;
    segment_walk_begin(&walk, &enc->header.records,
                       update_segment_offset(&enc->header, index),
                       update_segment_target_size(&enc->header, index));
    while (segment_walk_next(&walk, &piece))
        enc->used[piece.record - enc->header.records.records] |= how;
}

/* The coded bytes of a segment, out of the round that it belongs to. */
static enum status enc_code(struct update_enc *enc, uint32_t index,
                            struct bytes *out)
{
    if (index < enc->header.aux_count) {
        *out = enc_aux(enc, index);
        return STATUS_OK;
    }
    if (index < enc->round_first ||
        index >= enc->round_first + enc->round_count)
        enc_round(enc, index);
    const struct enc_worker *worker = &enc->workers[index - enc->round_first];
    *out = worker->out;
    if (!worker->status)
        enc_mark(enc, index, worker->use);
    return worker->status;
}

/* ---- the whole ---- */

/* A segment is 1 MiB, or 256 KiB of a small content so that a swarm has
 * something to share, unless all of it codes to little. */
static enum status enc_choose_segments(struct update_enc *enc)
{
    uint64_t size = enc->header.target.size;
    enc_set_segment_log(enc, TREE_BLOCK_LOG_MAX);
    if (size <= (1u << ENC_SEGMENT_LOG_SMALL) || size > ENC_SMALL_SIZE_MAX ||
        update_enc_estimate(enc) <= ENC_ALONE_CODED_MAX / 2)
        return STATUS_OK;
    if (enc->header.segment_count == enc->header.aux_count + 1) {
        enc_round(enc, enc->header.aux_count);
        if (enc->workers[0].status)
            return enc->workers[0].status;
        if (enc->workers[0].out.size <= ENC_ALONE_CODED_MAX)
            return STATUS_OK;
        enc->round_count = 0;
    }
    enc_set_segment_log(enc, ENC_SEGMENT_LOG_SMALL);
    return STATUS_OK;
}

static enum status enc_hash_both(struct update_enc *enc,
                                 struct enc_progress *progress)
{
    const struct update_enc_params *params = &enc->params;
    struct update_header *header = &enc->header;
    enum status status =
        enc_hash(enc, "target", params->target, params->target_leaves,
                 &enc->target_tree, &header->target_tree, progress);
    header->target = enc->target_tree.shape;
    if (status || !params->base)
        return status;
    header->has_base = true;
    header->base_size = params->base->size;
    return enc_hash(enc, "base", params->base, params->base_leaves,
                    &enc->base_tree, &header->base_tree, progress);
}

enum status update_enc_plan(struct update_enc *enc, update_progress_fn fn,
                            void *ctx)
{
    const struct update_enc_params *params = &enc->params;
    struct enc_progress progress = {.fn = fn, .ctx = ctx};
    progress.total =
        2 * params->target->size + (params->base ? params->base->size : 0);
    enum status status = enc_hash_both(enc, &progress);
    if (status)
        return status;
    status = enc_plan_over(enc, false, &progress);
    if (status == STATUS_LIMIT)
        status = enc_plan_over(enc, true, &progress);
    if (status)
        return status;
    enc->header.records = enc->plan.records;
    enc->header.tables = enc->plan.tables;
    enc->header.aux_count = enc->plan.aux_count;
    enc->aux = (struct predictor_aux){.read = enc_read_aux, .ctx = enc};
    status = enc_buffers(enc);
    if (!status)
        status = enc_choose_segments(enc);
    return status;
}

uint32_t update_enc_segment_count(const struct update_enc *enc)
{
    return enc->header.segment_count;
}

uint32_t update_enc_aux_count(const struct update_enc *enc)
{
    return enc->header.aux_count;
}

const struct hash *update_enc_base_tree(const struct update_enc *enc)
{
    return &enc->header.base_tree;
}

const struct hash *update_enc_target_tree(const struct update_enc *enc)
{
    return &enc->header.target_tree;
}

const struct hash *update_enc_target_leaves(const struct update_enc *enc)
{
    return enc->target_tree.leaves;
}

enum status update_enc_segment(struct update_enc *enc, uint32_t index,
                               struct bytes *out)
{
    if (index != enc->coded_count || index >= enc->header.segment_count)
        return STATUS_USAGE;
    enum status status = enc_code(enc, index, out);
    if (status)
        return status;
    struct update_segment *segment = &enc->header.segments[index];
    segment->size = (uint32_t)out->size;
    if (out->size)
        update_segment_hash(*out, segment->hash);
    enc->coded_count++;
    return STATUS_OK;
}

/* What the decoder need not know of a record is dropped: codings no segment
 * uses, bases nothing is copied from. */
static void enc_prune_record(const struct update_enc *enc, uint32_t index,
                             struct update_record *record)
{
    *record = enc->plan.records.records[index];
    if (enc->used[index] & ENC_USED_PIECES || record_has_tables(record))
        return;
    if (record->mode == UPDATE_CODED)
        record_uncode(record);
    if (enc->used[index] & ENC_USED_COPY) {
        record->mode = UPDATE_SAME;
        return;
    }
    record->mode = UPDATE_BYTES;
    record->base_offset = record->base_size = 0;
}

static bool enc_prune_joins(const struct update_record *a,
                            const struct update_record *b)
{
    if (a->mode != b->mode)
        return false;
    if (a->mode == UPDATE_BYTES)
        return !a->base_size && !b->base_size;
    return a->mode == UPDATE_SAME &&
           a->base_offset + a->base_size == b->base_offset;
}

/* The records worth writing, and the tables that they need. */
static void enc_prune(const struct update_enc *enc, struct record_list *out,
                      struct coding_tables *tables)
{
    bool used[CODING_KIND_COUNT] = {false};
    out->count = 0;
    for (uint32_t i = 0; i < enc->plan.records.count; i++) {
        struct update_record *record = &out->records[out->count];
        enc_prune_record(enc, i, record);
        if (record->mode == UPDATE_CODED)
            used[record->coding.kind] = true;
        if (!out->count || !enc_prune_joins(record - 1, record)) {
            out->count++;
            continue;
        }
        record[-1].size += record->size;
        record[-1].base_size += record->base_size;
    }
    if (!used[CODING_FAST])
        tables->fast.count = 0;
    if (!used[CODING_NARROW])
        tables->narrow.count = 0;
}

enum status update_enc_header(struct update_enc *enc, struct writer *wr)
{
    if (enc->coded_count != enc->header.segment_count)
        return STATUS_USAGE;
    struct update_header header = enc->header;
    size_t count = (size_t)enc->plan.records.count + 1;
    header.records.records = malloc(count * sizeof(struct update_record));
    if (!header.records.records)
        return STATUS_NO_MEMORY;
    enc_prune(enc, &header.records, &header.tables);
    update_header_write(&header, wr);
    free(header.records.records);
    return writer_status(wr);
}
