/* Batches of arrivals: decode, write, sync, commit. */
#include "daemon/intake.h"

#include "codec/update/header.h"
#include "codec/update/update_dec.h"
#include "daemon/fs.h"
#include "store/meta.h"
#include "store/record.h"
#include "store/segment.h"
#include "store/update.h"
#include "store/version.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define TARGETS_MAX  4u /* versions being filled at once with open files */
#define DECODERS_MAX 2u

/* A version being filled. */
struct target {
    struct hash version;
    uint8_t *manifest_bytes;
    struct manifest manifest;
    struct fileset *files;
    bool written; /* since the last sync */
    uint64_t used;
};

struct decoder {
    struct hash update;
    struct update_header header;
    struct content *base;
    struct content_aux aux;
    struct update_dec *dec;
    uint64_t used;
};

struct intake {
    const struct places *places;
    struct target *targets[TARGETS_MAX];
    struct decoder *decoders[DECODERS_MAX];
    uint8_t *plain; /* one segment */
    uint64_t clock; /* counts uses */
    uint64_t uptime_s;
};

enum status intake_new(const struct places *places, struct intake **out)
{
    *out = calloc(1, sizeof(**out));
    if (!*out)
        return STATUS_NO_MEMORY;
    (*out)->places = places;
    return STATUS_OK;
}

static void target_free(struct target *target)
{
    if (!target)
        return;
    fileset_free(target->files);
    free(target->manifest_bytes);
    free(target);
}

static void decoder_free(struct decoder *decoder)
{
    if (!decoder)
        return;
    update_dec_free(decoder->dec);
    update_header_free(&decoder->header);
    content_close(decoder->base);
    free(decoder);
}

void intake_rest(struct intake *intake)
{
    for (size_t i = 0; i < TARGETS_MAX; i++) {
        target_free(intake->targets[i]);
        intake->targets[i] = NULL;
    }
    for (size_t i = 0; i < DECODERS_MAX; i++) {
        decoder_free(intake->decoders[i]);
        intake->decoders[i] = NULL;
    }
    free(intake->plain);
    intake->plain = NULL;
}

void intake_free(struct intake *intake)
{
    if (!intake)
        return;
    intake_rest(intake);
    free(intake);
}

/* ---- Open versions and decoders. ---- */

static enum status target_open(struct intake *intake,
                               const struct hash *version, struct target **out,
                               struct diag *diag)
{
    struct store_txn txn;
    struct store_version row;
    char dir[PATH_MAX];
    size_t size;
    struct target *target = calloc(1, sizeof(*target));
    if (!target)
        return STATUS_NO_MEMORY;
    target->version = *version;
    enum status status =
        store_txn_begin(&txn, intake->places->env, STORE_TXN_READ, diag);
    if (!status) {
        status = store_version_get(&txn, version, &row);
        if (!status)
            status = content_manifest(&txn, version, &target->manifest_bytes,
                                      &size, &target->manifest);
        store_txn_abort(&txn);
    }
    if (!status)
        status = activate_tmp_dir(intake->places, row.model, version, dir);
    if (!status)
        status =
            fileset_create(dir, target->manifest.files,
                           target->manifest.file_count, &target->files, diag);
    /* The names are durable before any bit says that a block is. */
    if (!status)
        status = fileset_sync(target->files, true);
    if (status)
        target_free(target);
    else
        *out = target;
    return status;
}

/* Written blocks must be durable before their target is closed. */
static enum status target_flush(struct target *target)
{
    if (!target || !target->written)
        return STATUS_OK;
    target->written = false;
    return fileset_sync(target->files, false);
}

static enum status target_get(struct intake *intake, const struct hash *version,
                              struct target **out, struct diag *diag)
{
    size_t oldest = 0;
    for (size_t i = 0; i < TARGETS_MAX; i++) {
        struct target *at = intake->targets[i];
        if (at && hash_equal(&at->version, version)) {
            at->used = ++intake->clock;
            *out = at;
            return STATUS_OK;
        }
        if (!at || (intake->targets[oldest] &&
                    at->used < intake->targets[oldest]->used))
            oldest = i;
    }
    enum status status = target_flush(intake->targets[oldest]);
    if (!status)
        status = target_open(intake, version, out, diag);
    if (status)
        return status;
    target_free(intake->targets[oldest]);
    intake->targets[oldest] = *out;
    (*out)->used = ++intake->clock;
    return STATUS_OK;
}

static void target_drop(struct intake *intake, const struct hash *version)
{
    for (size_t i = 0; i < TARGETS_MAX; i++) {
        struct target *at = intake->targets[i];
        if (at && hash_equal(&at->version, version)) {
            target_free(at);
            intake->targets[i] = NULL;
        }
    }
}

static enum status decoder_open(struct intake *intake,
                                const struct hash *update, struct decoder **out,
                                struct diag *diag)
{
    struct store_txn txn;
    struct bytes view;
    struct decoder *d = calloc(1, sizeof(*d));
    if (!d)
        return STATUS_NO_MEMORY;
    d->update = *update;
    content_aux_init(&d->aux, intake->places, update);
    enum status status =
        store_txn_begin(&txn, intake->places->env, STORE_TXN_READ, diag);
    if (!status) {
        status = store_update_get_header(&txn, update, &view);
        if (!status)
            status = update_header_parse(view, &d->header, diag);
        store_txn_abort(&txn);
    }
    if (!status && d->header.has_base) {
        status = content_open(intake->places, &d->header.base_tree, NULL,
                              &d->base, diag);
        if (status == STATUS_NOT_FOUND || status == STATUS_MISMATCH)
            status = STATUS_BAD_BASE;
    }
    if (!status)
        status = update_dec_new(&d->header, d->base ? &d->base->source : NULL,
                                &d->aux.aux, &d->dec);
    if (status)
        decoder_free(d);
    else
        *out = d;
    return status;
}

static enum status decoder_get(struct intake *intake, const struct hash *update,
                               struct decoder **out, struct diag *diag)
{
    size_t oldest = 0;
    for (size_t i = 0; i < DECODERS_MAX; i++) {
        struct decoder *at = intake->decoders[i];
        if (at && hash_equal(&at->update, update)) {
            at->used = ++intake->clock;
            *out = at;
            return STATUS_OK;
        }
        if (!at || (intake->decoders[oldest] &&
                    at->used < intake->decoders[oldest]->used))
            oldest = i;
    }
    enum status status = decoder_open(intake, update, out, diag);
    if (status)
        return status;
    decoder_free(intake->decoders[oldest]);
    intake->decoders[oldest] = *out;
    (*out)->used = ++intake->clock;
    return STATUS_OK;
}

static void decoders_drop_to(struct intake *intake, const struct hash *tree)
{
    for (size_t i = 0; i < DECODERS_MAX; i++) {
        struct decoder *at = intake->decoders[i];
        if (at && hash_equal(&at->header.target_tree, tree)) {
            decoder_free(at);
            intake->decoders[i] = NULL;
        }
    }
}

/* ---- Decoding one segment. ---- */

/* True when every block of the base has its leaf. A base without a manifest
 * was checked when it was made. */
static bool base_is_sound(const struct decoder *d)
{
    if (!d->base || !d->base->has_manifest)
        return true;
    return content_check(d->base, NULL, NULL, NULL) == STATUS_OK;
}

/* True when every auxiliary segment is here as its update says. */
static bool aux_is_sound(const struct decoder *d)
{
    struct writer coded;
    bool sound = true;
    writer_init_heap(&coded, UPDATE_AUX_CODED_MAX);
    for (uint32_t i = 0; i < d->header.aux_count && sound; i++)
        sound = !update_aux_read(&d->aux.aux, &d->header, i, &coded, NULL);
    writer_deinit(&coded);
    return sound;
}

static bool may_be_ours(enum status status)
{
    return status == STATUS_MISMATCH || status == STATUS_CORRUPT ||
           status == STATUS_TRUNCATED || status == STATUS_LIMIT;
}

static enum status write_blocks(struct target *target, const struct decoder *d,
                                uint32_t index, const uint8_t *plain,
                                struct intake_item *item)
{
    const struct manifest *m = &target->manifest;
    uint32_t first, count;
    const uint8_t *at = plain;
    update_segment_blocks(&d->header, index, &first, &count);
    for (uint32_t i = first; i < first + count; i++) {
        struct hash leaf;
        uint32_t size = tree_block_size(&m->shape, i);
        tree_leaf(bytes_of(at, size), &leaf);
        if (!hash_equal(&leaf, &m->leaves[i]))
            return diag_fail(&item->diag, STATUS_MISMATCH,
                             "block %u does not have its hash", i);
        at += size;
    }
    target->written = true;
    item->first_block = first;
    item->block_count = count;
    return fileset_write(target->files, tree_block_offset(&m->shape, first),
                         plain, (size_t)(at - plain));
}

static bool same_shape(const struct update_header *header,
                       const struct manifest *m)
{
    return hash_equal(&header->target_tree, &m->tree) &&
           header->target.size == m->shape.size &&
           header->target.block_log == m->shape.block_log;
}

static enum status decode(struct intake *intake, struct intake_item *item)
{
    struct target *target;
    struct decoder *d;
    item->first_block = item->block_count = 0;
    if (!intake->plain)
        intake->plain = malloc(UPDATE_SEGMENT_SIZE_MAX);
    if (!intake->plain)
        return STATUS_NO_MEMORY;
    enum status status =
        target_get(intake, &item->version, &target, &item->diag);
    if (!status)
        status = decoder_get(intake, &item->update, &d, &item->diag);
    if (status)
        return status;
    if (!same_shape(&d->header, &target->manifest) ||
        item->index >= d->header.segment_count)
        return STATUS_CORRUPT;
    uint32_t size = update_segment_target_size(&d->header, item->index);
    if (size > UPDATE_SEGMENT_SIZE_MAX)
        return STATUS_CORRUPT;
    status = update_dec_segment(d->dec, item->index,
                                bytes_of(item->bytes, item->size),
                                intake->plain, size, &item->diag);
    if (update_segment_is_aux(&d->header, item->index))
        return status;
    if (!status)
        status = write_blocks(target, d, item->index, intake->plain, item);
    /* A wrong result of a right coded segment may be the fault of our own base
     * or of what our store has of the update. */
    if (may_be_ours(status) && !base_is_sound(d))
        status = STATUS_BAD_BASE;
    else if (may_be_ours(status) && !aux_is_sound(d))
        status = STATUS_NOT_FOUND;
    return status;
}

/* ---- The transaction. ---- */

static enum status put_record(struct store_txn *txn,
                              const struct intake_item *item)
{
    struct store_record rec = {
        .epoch = item->epoch,
        .seq = item->seq,
        .hash = item->hash,
        .kind = (uint8_t)item->record_kind,
        .envelope = bytes_of(item->bytes, item->size),
    };
    memcpy(rec.slot, item->slot, sizeof(rec.slot));
    /* Which record of a slot stands is the core's to say. */
    enum status status = store_record_remove(txn, item->slot);
    return status ? status : store_record_put(txn, &rec);
}

static uint64_t rank_of(const struct vector_model *vector)
{
    uint64_t rank = 0;
    for (size_t i = 0; i < vector->count; i++)
        rank += vector->ticks[i].n;
    return rank;
}

static enum status add_row(struct intake *intake, struct store_txn *txn,
                           const struct intake_item *item,
                           const struct manifest *m,
                           enum store_version_state state)
{
    struct store_version row = {
        .id = item->version,
        .tree = m->tree,
        .counter = item->counter,
        .rank = rank_of(&m->vector),
        .size = m->shape.size,
        .block_count = m->shape.block_count,
        .block_log = m->shape.block_log,
        .state = state,
        .known_uptime = intake->uptime_s,
        .state_uptime = intake->uptime_s,
        .used_uptime = intake->uptime_s,
    };
    if (m->model.size > STORE_NAME_MAX)
        return STATUS_LIMIT;
    memcpy(row.model, m->model.data, m->model.size);
    memcpy(row.role, item->role, sizeof(row.role));
    enum status status = store_version_add(txn, &row);
    if (status == STATUS_EXISTS)
        status = store_version_set_state(txn, &item->version, state,
                                         intake->uptime_s);
    if (!status)
        status = store_version_put_manifest(txn, &item->version,
                                            bytes_of(item->bytes, item->size));
    return status;
}

static enum status put_manifest(struct intake *intake, struct store_txn *txn,
                                struct intake_item *item,
                                enum store_version_state state)
{
    struct manifest *m = malloc(sizeof(*m));
    if (!m)
        return STATUS_NO_MEMORY;
    enum status status =
        manifest_parse(bytes_of(item->bytes, item->size), m, &item->diag);
    if (!status)
        status = add_row(intake, txn, item, m, state);
    if (!status && state == STORE_VERSION_COMPLETE)
        status = store_version_set_blocks(txn, &item->version, 0,
                                          m->shape.block_count);
    if (!status && state == STORE_VERSION_COMPLETE)
        status = store_version_set_update(txn, &item->version, &item->update);
    free(m);
    return status;
}

static enum status put_header(struct intake *intake, struct store_txn *txn,
                              struct intake_item *item)
{
    struct update_header header;
    struct store_version version;
    enum status status = update_header_parse(bytes_of(item->bytes, item->size),
                                             &header, &item->diag);
    if (status)
        return status;
    struct store_update update = {
        .id = item->update,
        .has_base = header.has_base,
        .base = header.base_tree,
        .target = header.target_tree,
        .segment_count = header.segment_count,
        .coded_size = item->size + header.coded_size,
        .added_uptime = intake->uptime_s,
    };
    update_header_free(&header);
    status = store_version_get(txn, &item->version, &version);
    if (status)
        return status;
    memcpy(update.model, version.model, sizeof(update.model));
    status = store_update_add(txn, &update, bytes_of(item->bytes, item->size));
    return status == STATUS_EXISTS ? STATUS_OK : status;
}

/* What came is right: it takes the place of other bytes, which are damaged. */
static enum status put_segment(struct store_txn *txn,
                               const struct intake_item *item)
{
    struct bytes coded = bytes_of(item->bytes, item->size), old;
    enum status status =
        store_segment_put(txn, &item->update, item->index, coded);
    if (status != STATUS_EXISTS)
        return status;
    status = store_segment_get(txn, &item->update, item->index, &old);
    if (status || (old.size == coded.size &&
                   (!old.size || !memcmp(old.data, coded.data, old.size))))
        return status;
    status = store_segment_remove(txn, &item->update, item->index);
    if (!status)
        status = store_segment_put(txn, &item->update, item->index, coded);
    return status;
}

static enum status put_decoded(struct intake *intake, struct store_txn *txn,
                               const struct intake_item *item)
{
    struct store_version row;
    enum status status = put_segment(txn, item);
    if (status)
        return status;
    status = store_version_get(txn, &item->version, &row);
    if (!status && item->block_count)
        status = store_version_set_blocks(txn, &item->version,
                                          item->first_block, item->block_count);
    if (!status && row.state < STORE_VERSION_FETCHING)
        status = store_version_set_state(
            txn, &item->version, STORE_VERSION_FETCHING, intake->uptime_s);
    return status;
}

/* The complete update with the fewest bytes, so that little is kept. */
struct best_update {
    bool found;
    uint64_t size;
    struct hash id;
};

static bool note_best(void *ctx, const struct store_update *update)
{
    struct best_update *best = ctx;
    if (store_update_complete(update) &&
        (!best->found || update->coded_size < best->size))
        *best = (struct best_update){true, update->coded_size, update->id};
    return true;
}

static enum status put_complete(struct intake *intake, struct store_txn *txn,
                                const struct intake_item *item)
{
    struct store_version row;
    struct best_update best = {.found = false};
    enum status status = store_version_get(txn, &item->version, &row);
    if (!status)
        status = store_update_each_to(txn, &row.tree, note_best, &best);
    if (!status && best.found)
        status = store_version_set_update(txn, &item->version, &best.id);
    if (!status && row.state < STORE_VERSION_COMPLETE)
        status = store_version_set_state(
            txn, &item->version, STORE_VERSION_COMPLETE, intake->uptime_s);
    decoders_drop_to(intake, &row.tree);
    target_drop(intake, &item->version);
    return status;
}

/* What is in place stays until another version is. */
static enum status drop_version(struct store_txn *txn,
                                const struct intake_item *item)
{
    struct store_version row;
    uint64_t n;
    enum status status = store_version_get(txn, &item->version, &row);
    if (status == STATUS_NOT_FOUND)
        return STATUS_OK;
    if (status || !activate_find(txn, row.model, &item->version, &n))
        return status;
    return store_version_remove(txn, &item->version);
}

static void prepared_name(const struct hash *version, char out[96])
{
    char hex[HASH_HEX_SIZE];
    hash_hex(version, hex);
    snprintf(out, 96, INTAKE_PREPARED_PREFIX "%s", hex);
}

static enum status add_version(struct intake *intake, struct store_txn *txn,
                               struct intake_item *item)
{
    char name[96];
    prepared_name(&item->version, name);
    enum status status =
        store_meta_put(txn, name, bytes_of(item->version.b, HASH_BYTES));
    return status ? status
                  : put_manifest(intake, txn, item, STORE_VERSION_COMPLETE);
}

static enum status perform(struct intake *intake, struct store_txn *txn,
                           struct intake_item *item)
{
    char name[96];
    switch (item->kind) {
    case INTAKE_PUT_RECORD:
        return put_record(txn, item);
    case INTAKE_DROP_RECORD:
        return store_record_remove(txn, item->slot);
    case INTAKE_PUT_MANIFEST:
        return put_manifest(intake, txn, item, STORE_VERSION_WANTED);
    case INTAKE_PUT_HEADER:
        return put_header(intake, txn, item);
    case INTAKE_DECODE:
        return put_decoded(intake, txn, item);
    case INTAKE_COMPLETE:
        return put_complete(intake, txn, item);
    case INTAKE_DROP_VERSION:
        target_drop(intake, &item->version);
        return drop_version(txn, item);
    case INTAKE_ADD_VERSION:
        return add_version(intake, txn, item);
    case INTAKE_COMMITTED:
        prepared_name(&item->version, name);
        return store_meta_del(txn, name);
    case INTAKE_ADD_UPTIME:
        return store_meta_add_uptime(txn, item->counter, NULL);
    }
    return STATUS_INTERNAL;
}

static uint64_t thread_cpu_ns(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
    return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

/* Everything not failed yet gets this status. */
static void fail_rest(struct intake_item *list, enum status status)
{
    for (struct intake_item *item = list; item; item = item->next)
        if (!item->status)
            item->status = status;
}

static void decode_all(struct intake *intake, struct intake_item *list)
{
    for (struct intake_item *item = list; item; item = item->next) {
        uint64_t begin = thread_cpu_ns();
        diag_reset(&item->diag);
        item->status = STATUS_OK;
        if (item->kind == INTAKE_DECODE)
            item->status = decode(intake, item);
        item->cpu_ns = thread_cpu_ns() - begin;
    }
}

static enum status sync_all(struct intake *intake)
{
    for (size_t i = 0; i < TARGETS_MAX; i++) {
        enum status status = target_flush(intake->targets[i]);
        if (status)
            return status;
    }
    return STATUS_OK;
}

void intake_run(struct intake *intake, struct intake_item *list,
                uint64_t uptime_s)
{
    struct store_txn txn;
    intake->uptime_s = uptime_s;
    decode_all(intake, list);
    enum status status = sync_all(intake);
    if (!status)
        status =
            store_txn_begin(&txn, intake->places->env, STORE_TXN_WRITE, NULL);
    if (status) {
        fail_rest(list, status);
        return;
    }
    for (struct intake_item *item = list; item; item = item->next)
        if (!item->status)
            item->status = perform(intake, &txn, item);
    status = store_txn_commit(&txn);
    if (status)
        fail_rest(list, status);
}
