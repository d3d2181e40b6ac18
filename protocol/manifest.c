/* Building and parsing share the checks of values; packing is zstd with a held
 * manifest as prefix, for leaves that did not change cost nothing then. */
#include "protocol/manifest.h"

#include "protocol/cbor.h"
#include "protocol/name.h"

#include <stdlib.h>
#include <zstd.h>

/* Compresses hashes that repeat a prefix: matches matter, entropy does not. */
#define PACK_LEVEL 6

/* A window that covers prefix and manifest: 2 * 2.5 MiB fit 8 MiB. */
#define PACK_WINDOW_LOG 23

#define MANIFEST_KEYS_MAX 64u

static int text_compare(struct bytes a, struct bytes b)
{
    if (a.size != b.size)
        return a.size < b.size ? -1 : 1;
    return a.size ? memcmp(a.data, b.data, a.size) : 0;
}

void manifest_id(struct bytes manifest, struct hash *out)
{
    hash_bytes(HASH_MANIFEST, manifest, out);
}

enum status manifest_meta_set(struct manifest *m, struct bytes key,
                              struct bytes value)
{
    size_t at = 0;
    if (!name_is_label_key(key) || value.size > MANIFEST_META_VALUE_MAX)
        return STATUS_USAGE;
    while (at < m->meta_count && text_compare(m->meta[at].key, key) < 0)
        at++;
    struct manifest_meta *meta = m->meta + at;
    if (at == m->meta_count || !bytes_equal(meta->key, key)) {
        if (m->meta_count == LIMIT_MANIFEST_META)
            return STATUS_LIMIT;
        memmove(meta + 1, meta, (m->meta_count - at) * sizeof(*meta));
        m->meta_count++;
    }
    *meta = (struct manifest_meta){key, value};
    return STATUS_OK;
}

/* ---- checks ---- */

static bool is_folder_of(struct bytes folder, struct bytes path)
{
    return path.size > folder.size && path.data[folder.size] == '/' &&
           !memcmp(folder.data, path.data, folder.size);
}

static bool paths_clash(struct bytes a, struct bytes b)
{
    return bytes_equal(a, b) || is_folder_of(a, b) || is_folder_of(b, a);
}

static enum status check_files(const struct manifest *m, enum status bad,
                               struct diag *diag)
{
    uint64_t end = 0;
    if (!m->file_count || m->file_count > LIMIT_MANIFEST_FILES)
        return diag_fail(diag, bad, "a version has 1 to %u files",
                         LIMIT_MANIFEST_FILES);
    for (size_t i = 0; i < m->file_count; i++) {
        const struct manifest_file *f = &m->files[i];
        if (!name_is_path(f->path))
            return diag_fail(diag, bad, "file %zu has an illegal path", i + 1);
        for (size_t k = 0; k < i; k++)
            if (paths_clash(m->files[k].path, f->path))
                return diag_fail(diag, bad,
                                 "files %zu and %zu have clashing paths", k + 1,
                                 i + 1);
        if (f->offset != end || f->length > m->shape.size - end)
            return diag_fail(diag, bad, "file %zu does not follow the last",
                             i + 1);
        end += f->length;
    }
    if (end != m->shape.size)
        return diag_fail(diag, bad, "the files do not cover the content");
    return STATUS_OK;
}

static enum status check_meta(const struct manifest *m, enum status bad,
                              struct diag *diag)
{
    size_t total = 0;
    if (m->meta_count > LIMIT_MANIFEST_META)
        return diag_fail(diag, bad, "too many meta fields");
    for (size_t i = 0; i < m->meta_count; i++) {
        const struct manifest_meta *meta = &m->meta[i];
        if (!name_is_label_key(meta->key) ||
            meta->value.size > MANIFEST_META_VALUE_MAX)
            return diag_fail(diag, bad, "illegal meta field");
        if (i && text_compare(m->meta[i - 1].key, meta->key) >= 0)
            return diag_fail(diag, bad, "meta fields do not ascend");
        total += meta->key.size + meta->value.size;
    }
    if (total > LIMIT_MANIFEST_META_BYTES)
        return diag_fail(diag, bad, "over %u bytes of meta fields",
                         LIMIT_MANIFEST_META_BYTES);
    return STATUS_OK;
}

static enum status check_parents(const struct manifest *m, enum status bad,
                                 struct diag *diag)
{
    size_t count = body_list_count(m->parents);
    if (m->parents.size % HASH_BYTES || count > LIMIT_PARENTS)
        return diag_fail(diag, bad, "illegal parents");
    for (size_t i = 1; i < count; i++)
        if (hash_compare(body_list_hash(m->parents, i - 1),
                         body_list_hash(m->parents, i)) >= 0)
            return diag_fail(diag, bad, "parents do not ascend");
    return STATUS_OK;
}

static enum status check_shape(const struct manifest *m, enum status bad,
                               struct diag *diag)
{
    struct tree_shape shape;
    if (tree_shape_of(m->shape.size, &shape))
        return diag_fail(diag, bad, "the content is too large");
    if (shape.block_log != m->shape.block_log ||
        shape.block_count != m->shape.block_count)
        return diag_fail(diag, bad, "the block size does not fit the content");
    return STATUS_OK;
}

/* All but the leaves. */
static enum status check(const struct manifest *m, enum status bad,
                         struct diag *diag)
{
    if (!name_is_model(m->model))
        return diag_fail(diag, bad, "illegal model name");
    if (!body_vector_valid(&m->vector))
        return diag_fail(diag, bad, "illegal version vector");
    enum status st = check_shape(m, bad, diag);
    if (!st)
        st = check_parents(m, bad, diag);
    if (!st)
        st = check_files(m, bad, diag);
    return st ? st : check_meta(m, bad, diag);
}

/* ---- building ---- */

static void write_files(struct writer *wr, const struct manifest *m)
{
    cbor_write_uint(wr, 6);
    cbor_write_array(wr, m->file_count);
    for (size_t i = 0; i < m->file_count; i++) {
        cbor_write_array(wr, 3);
        cbor_write_text(wr, m->files[i].path);
        cbor_write_uint(wr, m->files[i].offset);
        cbor_write_uint(wr, m->files[i].length);
    }
}

static void write_meta(struct writer *wr, const struct manifest *m)
{
    if (!m->meta_count)
        return;
    cbor_write_uint(wr, 7);
    cbor_write_map(wr, m->meta_count);
    for (size_t i = 0; i < m->meta_count; i++) {
        cbor_write_text(wr, m->meta[i].key);
        cbor_write_text(wr, m->meta[i].value);
    }
}

static void write_fields(struct writer *wr, const struct manifest *m)
{
    cbor_write_map(wr, 7u + (m->parents.size != 0) + (m->meta_count != 0));
    cbor_write_uint(wr, 0);
    cbor_write_text(wr, m->model);
    cbor_write_uint(wr, 1);
    cbor_write_bytes(wr, m->tree.b, HASH_BYTES);
    cbor_write_uint(wr, 2);
    cbor_write_uint(wr, m->shape.size);
    cbor_write_uint(wr, 3);
    cbor_write_uint(wr, m->shape.block_log);
    if (m->parents.size) {
        cbor_write_uint(wr, 4);
        cbor_write_bytes(wr, m->parents.data, m->parents.size);
    }
    cbor_write_uint(wr, 5);
    body_write_vector(wr, &m->vector);
    write_files(wr, m);
    write_meta(wr, m);
    cbor_write_uint(wr, 8);
    cbor_write_bytes(wr, m->leaves, (size_t)m->shape.block_count * HASH_BYTES);
}

enum status manifest_build(const struct manifest *m, struct writer *out,
                           struct hash *id, struct diag *diag)
{
    size_t start = out->size;
    enum status st = check(m, STATUS_USAGE, diag);
    if (st)
        return st;
    write_fields(out, m);
    if (!out->status && out->size - start > LIMIT_MANIFEST_BYTES)
        writer_fail(out, STATUS_LIMIT);
    st = writer_status(out);
    if (!st)
        manifest_id(bytes_of(out->data + start, out->size - start), id);
    return st;
}

/* ---- parsing ---- */

static void read_files(struct reader *rd, struct manifest *m)
{
    m->file_count = cbor_read_array(rd, LIMIT_MANIFEST_FILES);
    for (size_t i = 0; i < m->file_count; i++) {
        cbor_read_array_of(rd, 3);
        m->files[i].path =
            cbor_read_text_max(rd, LIMIT_MANIFEST_PATH_PARTS * 256);
        m->files[i].offset = cbor_read_uint(rd);
        m->files[i].length = cbor_read_uint(rd);
    }
}

static void read_meta(struct reader *rd, struct manifest *m)
{
    struct cbor_map map;
    struct bytes raw;
    cbor_map_begin(&map, rd, LIMIT_MANIFEST_META);
    while (cbor_map_next_raw(&map, rd, &raw)) {
        struct manifest_meta *meta = &m->meta[m->meta_count++];
        struct reader key;
        cbor_reader_init(&key, raw);
        meta->key = cbor_read_text(&key);
        if (reader_status(&key))
            reader_fail(rd, reader_status(&key));
        meta->value = cbor_read_text_max(rd, MANIFEST_META_VALUE_MAX);
    }
    if (!m->meta_count)
        reader_fail(rd, STATUS_CORRUPT);
}

static void read_leaves(struct reader *rd, struct manifest *m)
{
    struct bytes leaves =
        cbor_read_bytes_max(rd, (size_t)TREE_BLOCKS_MAX * HASH_BYTES);
    if (leaves.size % HASH_BYTES)
        reader_fail(rd, STATUS_CORRUPT);
    m->shape.block_count = (uint32_t)(leaves.size / HASH_BYTES);
    m->leaves = body_list_hash(leaves, 0);
}

static void read_parents(struct reader *rd, struct manifest *m)
{
    m->parents = cbor_read_bytes_max(rd, (size_t)LIMIT_PARENTS * HASH_BYTES);
    if (!m->parents.size)
        reader_fail(rd, STATUS_CORRUPT);
}

static void read_field(struct cbor_map *map, struct reader *rd, int64_t key,
                       struct manifest *m)
{
    switch (key) {
    case 0:
        m->model = cbor_read_text_max(rd, LIMIT_MODEL_NAME_BYTES);
        break;
    case 1:
        cbor_read_fixed(rd, m->tree.b, HASH_BYTES);
        break;
    case 2:
        m->shape.size = cbor_read_uint(rd);
        break;
    case 3:
        m->shape.block_log = (uint8_t)cbor_read_uint_max(rd, 255);
        break;
    case 4:
        read_parents(rd, m);
        break;
    case 5:
        body_read_vector(rd, &m->vector);
        break;
    case 6:
        read_files(rd, m);
        break;
    case 7:
        read_meta(rd, m);
        break;
    case 8:
        read_leaves(rd, m);
        break;
    default:
        (void)cbor_map_unknown(map, rd);
    }
}

static enum status read_all(struct bytes in, struct manifest *m,
                            struct diag *diag)
{
    struct reader rd;
    struct cbor_map map;
    int64_t key;
    if (in.size > LIMIT_MANIFEST_BYTES)
        return diag_fail(diag, STATUS_LIMIT, "a manifest of %zu bytes",
                         in.size);
    cbor_reader_init(&rd, in);
    cbor_map_begin(&map, &rd, MANIFEST_KEYS_MAX);
    while (cbor_map_next(&map, &rd, &key))
        read_field(&map, &rd, key, m);
    cbor_map_require(&map, &rd, 0x16f);
    m->understood = !map.must_understand;
    enum status st = reader_finish(&rd);
    if (st)
        return diag_fail(diag, st, "manifest is malformed at byte %zu",
                         reader_offset(&rd));
    return STATUS_OK;
}

enum status manifest_parse(struct bytes in, struct manifest *out,
                           struct diag *diag)
{
    struct hash tree;
    memset(out, 0, sizeof(*out));
    enum status st = read_all(in, out, diag);
    if (!st)
        st = check(out, STATUS_CORRUPT, diag);
    if (st)
        return st;
    tree_id(&out->shape, out->leaves, &tree);
    if (!hash_equal(&tree, &out->tree))
        return diag_fail(diag, STATUS_MISMATCH,
                         "the leaves do not give the tree id");
    return STATUS_OK;
}

enum status manifest_check_record(struct bytes bytes, const struct manifest *m,
                                  struct bytes model,
                                  const struct body_version *record,
                                  struct diag *diag)
{
    struct hash id;
    manifest_id(bytes, &id);
    const char *what =
        bytes.size != record->manifest_size    ? "size"
        : !hash_equal(&id, &record->id)        ? "id"
        : !bytes_equal(m->model, model)        ? "model"
        : !hash_equal(&m->tree, &record->tree) ? "tree"
        : m->shape.size != record->size        ? "size of the content"
        : vector_model_compare(&m->vector, &record->vector) != VECTOR_EQUAL
            ? "version vector"
        : !bytes_equal(m->parents, record->parents) ? "parents"
                                                    : NULL;
    if (what)
        return diag_fail(diag, STATUS_MISMATCH,
                         "the manifest has another %s than was signed", what);
    return STATUS_OK;
}

/* ---- transport ---- */

static bool pack_setup(ZSTD_CCtx *ctx, struct bytes prefix)
{
    return !ZSTD_isError(ZSTD_CCtx_setParameter(ctx, ZSTD_c_compressionLevel,
                                                PACK_LEVEL)) &&
           !ZSTD_isError(ZSTD_CCtx_setParameter(ctx, ZSTD_c_windowLog,
                                                PACK_WINDOW_LOG)) &&
           !ZSTD_isError(ZSTD_CCtx_setParameter(
               ctx, ZSTD_c_enableLongDistanceMatching, 1)) &&
           !ZSTD_isError(ZSTD_CCtx_refPrefix(ctx, prefix.data, prefix.size));
}

enum status manifest_pack(struct bytes manifest, struct bytes prefix,
                          struct writer *out)
{
    size_t bound = ZSTD_compressBound(manifest.size);
    uint8_t *frame = malloc(bound);
    ZSTD_CCtx *ctx = ZSTD_createCCtx();
    size_t size = 0;
    bool done = frame && ctx && pack_setup(ctx, prefix);
    if (done) {
        size = ZSTD_compress2(ctx, frame, bound, manifest.data, manifest.size);
        done = !ZSTD_isError(size);
    }
    if (done)
        writer_bytes(out, frame, size);
    ZSTD_freeCCtx(ctx);
    free(frame);
    return done ? writer_status(out) : STATUS_NO_MEMORY;
}

/* The frame must be one, whole, of the size that was signed. */
static bool frame_fits(struct bytes frame, uint64_t size)
{
    size_t used = ZSTD_findFrameCompressedSize(frame.data, frame.size);
    return !ZSTD_isError(used) && used == frame.size &&
           ZSTD_getFrameContentSize(frame.data, frame.size) == size;
}

enum status manifest_unpack(struct bytes frame, struct bytes prefix,
                            uint64_t size, struct writer *out)
{
    enum status st = STATUS_OK;
    if (size > LIMIT_MANIFEST_BYTES)
        return STATUS_LIMIT;
    if (!frame_fits(frame, size))
        return STATUS_CORRUPT;
    uint8_t *to = writer_reserve(out, (size_t)size);
    if (!to)
        return writer_status(out);
    ZSTD_DCtx *ctx = ZSTD_createDCtx();
    if (!ctx ||
        ZSTD_isError(ZSTD_DCtx_setParameter(ctx, ZSTD_d_windowLogMax,
                                            PACK_WINDOW_LOG)) ||
        ZSTD_isError(ZSTD_DCtx_refPrefix(ctx, prefix.data, prefix.size)))
        st = STATUS_NO_MEMORY;
    else if (ZSTD_decompressDCtx(ctx, to, (size_t)size, frame.data,
                                 frame.size) != size)
        st = STATUS_CORRUPT;
    ZSTD_freeDCtx(ctx);
    if (st)
        out->size -= (size_t)size;
    return st;
}
