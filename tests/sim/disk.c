/* Durable state of a simulated node, with real contents and the real codec. */
#include "tests/sim/disk.h"

#include "codec/update/update_dec.h"
#include "codec/update/update_enc.h"
#include "protocol/manifest.h"
#include "tests/support/aux_update.h"

#include <assert.h>
#include <stdlib.h>

static uint8_t *copy(struct bytes in)
{
    uint8_t *out = malloc(in.size + 1);
    assert(out);
    if (in.size)
        memcpy(out, in.data, in.size);
    return out;
}

static void free_version(struct disk_version *v)
{
    free(v->manifest);
    free(v->leaves);
    free(v->content);
    free(v->bitmap);
    free(v);
}

static void free_update(struct disk_update *u)
{
    for (uint32_t i = 0; i < u->parsed.segment_count; i++)
        free(u->segments[i]);
    free(u->segments);
    update_header_free(&u->parsed);
    free(u->header);
    free(u);
}

void disk_deinit(struct disk *disk)
{
    for (size_t i = 0; i < disk->record_count; i++)
        free(disk->records[i].value);
    for (size_t i = 0; i < disk->version_count; i++)
        free_version(disk->versions[i]);
    for (size_t i = 0; i < disk->update_count; i++)
        free_update(disk->updates[i]);
    for (size_t i = 0; i < disk->running_count; i++)
        free(disk->running[i].model);
    free(disk->records);
    free(disk->versions);
    free(disk->updates);
    free(disk->running);
    *disk = (struct disk){0};
}

static void *grow(void *items, size_t count, size_t elem_size)
{
    void *out = realloc(items, (count + 1) * elem_size);
    assert(out);
    return out;
}

/* ---- Records. ---- */

const struct disk_record *disk_record(const struct disk *disk,
                                      const struct slot_id *slot)
{
    for (size_t i = 0; i < disk->record_count; i++)
        if (slot_id_equal(&disk->records[i].slot, slot))
            return &disk->records[i];
    return NULL;
}

bool disk_put_record(struct disk *disk, const struct node_record_ref *ref,
                     struct bytes value)
{
    struct slot_id slot;
    memcpy(slot.b, ref->slot, sizeof slot.b);
    size_t at = 0;
    while (at < disk->record_count &&
           !slot_id_equal(&disk->records[at].slot, &slot))
        at++;
    if (at == disk->record_count) {
        disk->records =
            grow(disk->records, disk->record_count, sizeof *disk->records);
        disk->records[disk->record_count++] = (struct disk_record){0};
    } else {
        const struct disk_record *old = &disk->records[at];
        if (ref->epoch < old->epoch ||
            (ref->epoch == old->epoch && ref->seq < old->seq))
            return false;
        free(old->value);
    }
    disk->records[at] = (struct disk_record){.slot = slot,
                                             .epoch = ref->epoch,
                                             .seq = ref->seq,
                                             .kind = ref->kind,
                                             .hash = ref->hash,
                                             .value = copy(value),
                                             .size = value.size};
    return true;
}

void disk_drop_record(struct disk *disk, const uint8_t slot[16])
{
    for (size_t i = 0; i < disk->record_count; i++) {
        if (memcmp(disk->records[i].slot.b, slot, SLOT_ID_BYTES))
            continue;
        free(disk->records[i].value);
        disk->records[i] = disk->records[--disk->record_count];
        return;
    }
}

/* ---- Versions. ---- */

struct disk_version *disk_version(const struct disk *disk,
                                  const struct hash *id)
{
    for (size_t i = 0; i < disk->version_count; i++)
        if (hash_equal(&disk->versions[i]->id, id))
            return disk->versions[i];
    return NULL;
}

struct disk_version *disk_tree(const struct disk *disk, const struct hash *tree)
{
    for (size_t i = 0; i < disk->version_count; i++)
        if (disk->versions[i]->complete &&
            hash_equal(&disk->versions[i]->tree, tree))
            return disk->versions[i];
    return NULL;
}

enum status disk_put_manifest(struct disk *disk, const struct hash *version,
                              struct bytes manifest)
{
    if (disk_version(disk, version))
        return STATUS_OK;
    struct manifest *m = malloc(sizeof *m);
    assert(m);
    enum status status = manifest_parse(manifest, m, NULL);
    struct hash id;
    manifest_id(manifest, &id);
    if (!status && !hash_equal(&id, version))
        status = STATUS_MISMATCH;
    if (!status) {
        struct disk_version *v = calloc(1, sizeof *v);
        assert(v);
        v->id = *version;
        v->tree = m->tree;
        v->manifest = copy(manifest);
        v->manifest_size = manifest.size;
        v->shape = m->shape;
        v->leaves = (struct hash *)(void *)copy(
            bytes_of(m->leaves, m->shape.block_count * sizeof *m->leaves));
        v->content = calloc(1, (size_t)m->shape.size + 1);
        v->bitmap = calloc(1, m->shape.block_count / 8 + 1);
        assert(v->content && v->bitmap);
        disk->versions = grow(disk->versions, disk->version_count, sizeof v);
        disk->versions[disk->version_count++] = v;
    }
    free(m);
    return status;
}

void disk_drop_version(struct disk *disk, const struct hash *version)
{
    for (size_t i = 0; i < disk->running_count; i++)
        if (hash_equal(&disk->running[i].version, version))
            return;
    for (size_t i = 0; i < disk->version_count; i++) {
        if (!hash_equal(&disk->versions[i]->id, version))
            continue;
        free_version(disk->versions[i]);
        disk->versions[i] = disk->versions[--disk->version_count];
        return;
    }
}

void disk_put_content(struct disk *disk, const struct hash *version,
                      struct bytes manifest, struct bytes content)
{
    enum status status = disk_put_manifest(disk, version, manifest);
    assert(!status);
    struct disk_version *v = disk_version(disk, version);
    assert(v && v->shape.size == content.size);
    memcpy(v->content, content.data, content.size);
    for (uint32_t i = 0; i < v->shape.block_count; i++)
        v->bitmap[i / 8] |= (uint8_t)(1u << i % 8);
    v->complete = true;
    (void)status;
}

enum status disk_complete(struct disk *disk, const struct hash *version)
{
    struct disk_version *v = disk_version(disk, version);
    if (!v)
        return STATUS_NOT_FOUND;
    for (uint32_t i = 0; i < v->shape.block_count; i++)
        if (!(v->bitmap[i / 8] >> i % 8 & 1))
            return STATUS_INTERNAL; /* the core claims what is not here */
    v->complete = true;
    return STATUS_OK;
}

void disk_put_running(struct disk *disk, const char *model,
                      const struct hash *version)
{
    for (size_t i = 0; i < disk->running_count; i++)
        if (!strcmp(disk->running[i].model, model)) {
            disk->running[i].version = *version;
            return;
        }
    disk->running =
        grow(disk->running, disk->running_count, sizeof *disk->running);
    disk->running[disk->running_count].model = strdup(model);
    disk->running[disk->running_count++].version = *version;
}

const struct hash *disk_running(const struct disk *disk, const char *model)
{
    for (size_t i = 0; i < disk->running_count; i++)
        if (!strcmp(disk->running[i].model, model))
            return &disk->running[i].version;
    return NULL;
}

/* ---- Updates. ---- */

struct disk_update *disk_update(const struct disk *disk, const struct hash *id)
{
    for (size_t i = 0; i < disk->update_count; i++)
        if (hash_equal(&disk->updates[i]->id, id))
            return disk->updates[i];
    return NULL;
}

enum status disk_put_header(struct disk *disk, const struct hash *update,
                            struct bytes header)
{
    struct hash id;
    if (disk_update(disk, update))
        return STATUS_OK;
    update_id(header, &id);
    if (!hash_equal(&id, update))
        return STATUS_MISMATCH;
    struct disk_update *u = calloc(1, sizeof *u);
    assert(u);
    enum status status = update_header_parse(header, &u->parsed, NULL);
    if (status) {
        free(u);
        return status;
    }
    u->id = id;
    u->header = copy(header);
    u->header_size = header.size;
    u->segments = calloc(u->parsed.segment_count + 1, sizeof *u->segments);
    assert(u->segments);
    disk->updates = grow(disk->updates, disk->update_count, sizeof u);
    disk->updates[disk->update_count++] = u;
    return STATUS_OK;
}

enum status disk_put_segment(struct disk *disk, const struct hash *update,
                             uint32_t index, struct bytes coded)
{
    struct disk_update *u = disk_update(disk, update);
    if (!u || index >= u->parsed.segment_count)
        return STATUS_NOT_FOUND;
    if (!u->segments[index])
        u->segments[index] = copy(coded);
    return STATUS_OK;
}

static enum status read_aux(void *ctx, uint32_t index, struct writer *out)
{
    const struct disk_update *u = ctx;
    if (!u->segments[index])
        return STATUS_NOT_FOUND;
    writer_bytes(out, u->segments[index], u->parsed.segments[index].size);
    return STATUS_OK;
}

/* Every block needs every auxiliary segment: the core must have put them. */
static enum status check_aux(struct disk *disk, struct update_dec *dec,
                             const struct disk_update *u)
{
    for (uint32_t i = 0; i < u->parsed.aux_count; i++) {
        struct bytes coded;
        enum status status = update_dec_aux(dec, i, &coded, NULL);
        if (status) {
            disk->early_blocks++;
            return status;
        }
    }
    return STATUS_OK;
}

static enum status decode(struct disk *disk, struct disk_version *v,
                          struct disk_update *u, uint32_t index,
                          struct bytes coded, uint8_t *out, size_t size)
{
    struct update_dec *dec = NULL;
    struct source base;
    const struct disk_version *b = NULL;
    (void)v;
    if (u->parsed.has_base) {
        b = disk_tree(disk, &u->parsed.base_tree);
        if (!b)
            return STATUS_BAD_BASE;
        base = source_of_bytes(bytes_of(b->content, (size_t)b->shape.size));
    }
    struct update_aux aux = {read_aux, u};
    enum status status =
        update_dec_new(&u->parsed, b ? &base : NULL, &aux, &dec);
    if (!status && coded.size && !update_segment_is_aux(&u->parsed, index))
        status = check_aux(disk, dec, u);
    if (!status)
        status = update_dec_segment(dec, index, coded, out, size, NULL);
    update_dec_free(dec);
    return status;
}

enum status disk_decode(struct disk *disk, const struct hash *version,
                        const struct hash *update, uint32_t index,
                        struct bytes coded)
{
    struct disk_version *v = disk_version(disk, version);
    struct disk_update *u = disk_update(disk, update);
    if (!v || !u || index >= u->parsed.segment_count)
        return STATUS_NOT_FOUND;
    if (!hash_equal(&u->parsed.target_tree, &v->tree))
        return STATUS_MISMATCH;
    size_t size = update_segment_target_size(&u->parsed, index);
    uint8_t *out = malloc(size + 1);
    assert(out);
    enum status status = decode(disk, v, u, index, coded, out, size);
    uint32_t first, count;
    update_segment_blocks(&u->parsed, index, &first, &count);
    size_t at = 0;
    for (uint32_t i = 0; !status && i < count; i++) {
        struct hash leaf;
        uint32_t bytes = tree_block_size(&v->shape, first + i);
        tree_leaf(bytes_of(out + at, bytes), &leaf);
        if (!hash_equal(&leaf, &v->leaves[first + i])) {
            disk->bad_blocks++;
            status = STATUS_MISMATCH;
        }
        at += bytes;
    }
    if (!status) {
        memcpy(v->content + tree_block_offset(&v->shape, first), out, size);
        for (uint32_t i = first; i < first + count; i++)
            v->bitmap[i / 8] |= (uint8_t)(1u << i % 8);
        status = disk_put_segment(disk, update, index, coded);
    }
    free(out);
    return status;
}

static enum status encode(struct update_enc *enc, struct writer *header,
                          struct writer *coded)
{
    enum status status = update_enc_plan(enc, NULL, NULL);
    uint32_t count = status ? 0 : update_enc_segment_count(enc);
    for (uint32_t i = 0; !status && i < count; i++) {
        struct bytes view;
        status = update_enc_segment(enc, i, &view);
        if (!status)
            writer_bytes(coded, view.data, view.size);
    }
    if (!status)
        status = update_enc_header(enc, header);
    return status ? status : writer_status(coded);
}

static enum status put_update(struct disk *disk, struct bytes header,
                              struct bytes coded, struct bytes *out)
{
    struct hash id;
    update_id(header, &id);
    enum status status = disk_put_header(disk, &id, header);
    if (status)
        return status;
    const struct disk_update *u = disk_update(disk, &id);
    for (uint32_t i = 0; !status && i < u->parsed.segment_count; i++) {
        const struct update_segment *s = &u->parsed.segments[i];
        status = disk_put_segment(disk, &id, i,
                                  bytes_of(coded.data + s->offset, s->size));
    }
    *out = bytes_of(u->header, u->header_size);
    return status;
}

/* Two of three updates get auxiliary segments, some of them large, unless they
 * would become larger than an update may be. */
static enum status put_made(struct disk *disk, struct bytes header,
                            struct bytes coded, struct bytes *out)
{
    struct writer header_out, coded_out;
    struct hash id;
    update_id(header, &id);
    uint32_t count = id.b[0] % 3 ? 1 + id.b[1] % 5u : 0;
    uint32_t size_max = 1u << id.b[2] % 17;
    writer_init_heap(&header_out, UPDATE_HEADER_MAX);
    writer_init_heap(&coded_out, 256u << 20);
    bool extended =
        count && aux_update_extend(header, coded, count, size_max,
                                   load_le64(id.b), &header_out, &coded_out);
    enum status status = extended ? put_update(disk, writer_view(&header_out),
                                               writer_view(&coded_out), out)
                                  : put_update(disk, header, coded, out);
    writer_deinit(&header_out);
    writer_deinit(&coded_out);
    return status;
}

enum status disk_make(struct disk *disk, const struct hash *base,
                      const struct hash *tree, struct bytes *header)
{
    struct disk_version *b = base ? disk_tree(disk, base) : NULL;
    struct disk_version *t = disk_tree(disk, tree);
    struct source bs, ts;
    struct update_enc *enc = NULL;
    if (!t || (base && !b))
        return STATUS_NOT_FOUND;
    ts = source_of_bytes(bytes_of(t->content, (size_t)t->shape.size));
    if (b)
        bs = source_of_bytes(bytes_of(b->content, (size_t)b->shape.size));
    struct update_enc_params params = {
        .base = b ? &bs : NULL, .target = &ts, .effort = UPDATE_EFFORT_FAST};
    struct writer bytes, coded;
    writer_init_heap(&bytes, UPDATE_HEADER_MAX);
    writer_init_heap(&coded, 256u << 20);
    enum status status = update_enc_new(&params, &enc);
    if (!status)
        status = encode(enc, &bytes, &coded);
    if (!status)
        status =
            put_made(disk, writer_view(&bytes), writer_view(&coded), header);
    writer_deinit(&bytes);
    writer_deinit(&coded);
    update_enc_free(enc);
    return status;
}

/* ---- Restart. ---- */

static enum status load_update(const struct disk_update *u, struct node *node)
{
    uint8_t *bitmap = calloc(1, u->parsed.segment_count / 8 + 1);
    assert(bitmap);
    bool all = true;
    for (uint32_t i = 0; i < u->parsed.segment_count; i++)
        if (u->segments[i] || !u->parsed.segments[i].size)
            bitmap[i / 8] |= (uint8_t)(1u << i % 8);
        else
            all = false;
    size_t size = all ? 0 : (u->parsed.segment_count + 7) / 8;
    enum status status = node_load_update(
        node, bytes_of(u->header, u->header_size), bytes_of(bitmap, size));
    free(bitmap);
    return status;
}

enum status disk_load(const struct disk *disk, struct node *node)
{
    enum status status = STATUS_OK;
    for (size_t i = 0; !status && i < disk->record_count; i++)
        status = node_load_record(
            node, bytes_of(disk->records[i].value, disk->records[i].size));
    for (size_t i = 0; !status && i < disk->version_count; i++) {
        const struct disk_version *v = disk->versions[i];
        size_t size = v->complete ? 0 : (v->shape.block_count + 7) / 8;
        status = node_load_version(
            node, &v->id, bytes_of(v->manifest, v->manifest_size),
            v->complete ? NODE_VERSION_COMPLETE : NODE_VERSION_FETCHING,
            bytes_of(v->bitmap, size));
    }
    for (size_t i = 0; !status && i < disk->update_count; i++)
        status = load_update(disk->updates[i], node);
    for (size_t i = 0; !status && i < disk->running_count; i++)
        status = node_load_running(node, disk->running[i].model,
                                   &disk->running[i].version);
    return status;
}
