/* The public face of decoding updates: deltamesh/update.h, "Applying". */
#include "codec/api/adapt.h"
#include "codec/update/tree.h"
#include "codec/update/update_dec.h"
#include "codec/update/update_file.h"

#include <assert.h>
#include <deltamesh/update.h>

struct dmc_update {
    struct adapt_source from;
    struct update_file file;
};

struct dmc_update_dec {
    const struct dmc_update *update;
    struct adapt_source base;
    struct update_aux aux;
    struct update_dec *dec;
    uint8_t *coded; /* of one segment */
};

static_assert(DMC_TREE_BYTES == HASH_BYTES, "a tree id is a hash");
static_assert(DMC_SEGMENT_SIZE_MAX == UPDATE_SEGMENT_SIZE_MAX,
              "segments are as large as they say");

static enum status apply_tree(const struct source *source, struct hash *id)
{
    struct tree_builder tb;
    enum status status = tree_build(source, &tb, id);
    tree_builder_deinit(&tb);
    return status;
}

enum dmc_status dmc_tree_id(const struct dmc_source *content,
                            unsigned char id[DMC_TREE_BYTES],
                            struct dmc_error *error)
{
    struct adapt_source from;
    struct diag diag;
    struct hash hash;
    diag_reset(&diag);
    enum status status = adapt_source_init(&from, content, &diag);
    if (!status)
        status = apply_tree(&from.source, &hash);
    if (!status)
        memcpy(id, hash.b, HASH_BYTES);
    return adapt_end(status, &diag, error);
}

/* ---- Updates ---- */

enum dmc_status dmc_update_open(const struct dmc_source *file,
                                struct dmc_update **update,
                                struct dmc_error *error)
{
    struct diag diag;
    diag_reset(&diag);
    *update = NULL;
    struct dmc_update *made = calloc(1, sizeof(*made));
    if (!made)
        return adapt_end(STATUS_NO_MEMORY, NULL, error);
    enum status status = adapt_source_init(&made->from, file, &diag);
    if (!status)
        status = update_file_open(&made->from.source, &made->file, &diag);
    if (status)
        free(made);
    else
        *update = made;
    return adapt_end(status, &diag, error);
}

void dmc_update_close(struct dmc_update *update)
{
    if (update)
        update_file_close(&update->file);
    free(update);
}

/* Segments that cover the target: auxiliary ones are not told of. */
static uint32_t apply_count(const struct dmc_update *update)
{
    return update->file.header.segment_count - update->file.header.aux_count;
}

enum dmc_status dmc_update_get_info(const struct dmc_update *update,
                                    struct dmc_update_info *info)
{
    const struct update_file *file = &update->file;
    struct hash id;
    struct dmc_update_info own = {
        .base_size = file->header.base_size,
        .target_size = file->header.target.size,
        .coded_size = file->header.coded_size,
        .has_base = file->header.has_base,
        .segment_count = apply_count(update),
    };
    update_id(bytes_of(file->header_bytes, file->header_size), &id);
    memcpy(own.id, id.b, HASH_BYTES);
    memcpy(own.base_tree, file->header.base_tree.b, HASH_BYTES);
    memcpy(own.target_tree, file->header.target_tree.b, HASH_BYTES);
    return (enum dmc_status)adapt_result(&own, sizeof(own), sizeof(own), info);
}

enum dmc_status dmc_update_segment_range(const struct dmc_update *update,
                                         uint32_t segment, uint64_t *offset,
                                         uint32_t *size)
{
    const struct update_header *header = &update->file.header;
    if (segment >= apply_count(update))
        return DMC_USAGE;
    *offset = update_segment_offset(header, header->aux_count + segment);
    *size = update_segment_target_size(header, header->aux_count + segment);
    return DMC_OK;
}

/* ---- Segments ---- */

static enum status apply_base(struct dmc_update_dec *dec,
                              const struct dmc_source *base, struct diag *diag)
{
    bool has_base = dec->update->file.header.has_base;
    if (has_base && !base)
        return diag_fail(diag, STATUS_BAD_BASE, "the update needs its base");
    if (!has_base && base)
        return diag_fail(diag, STATUS_BAD_BASE,
                         "the update is a full one and takes no base");
    return base ? adapt_source_init(&dec->base, base, diag) : STATUS_OK;
}

enum dmc_status dmc_update_dec_new(const struct dmc_update *update,
                                   const struct dmc_source *base,
                                   struct dmc_update_dec **dec,
                                   struct dmc_error *error)
{
    struct diag diag;
    diag_reset(&diag);
    *dec = NULL;
    struct dmc_update_dec *made = calloc(1, sizeof(*made));
    if (!made)
        return adapt_end(STATUS_NO_MEMORY, NULL, error);
    made->update = update;
    made->aux = update_file_aux(&update->file);
    made->coded = malloc(UPDATE_SEGMENT_CODED_MAX);
    enum status status = made->coded ? STATUS_OK : STATUS_NO_MEMORY;
    if (!status)
        status = apply_base(made, base, &diag);
    if (!status)
        status = update_dec_new(&update->file.header,
                                base ? &made->base.source : NULL, &made->aux,
                                &made->dec);
    if (status)
        dmc_update_dec_free(made);
    else
        *dec = made;
    return adapt_end(status, &diag, error);
}

void dmc_update_dec_free(struct dmc_update_dec *dec)
{
    if (!dec)
        return;
    update_dec_free(dec->dec);
    free(dec->coded);
    free(dec);
}

static enum status apply_segment(struct dmc_update_dec *dec, uint32_t segment,
                                 void *out, size_t size, struct diag *diag)
{
    const struct update_file *file = &dec->update->file;
    uint64_t offset;
    uint32_t need;
    struct bytes coded;
    if (dmc_update_segment_range(dec->update, segment, &offset, &need) ||
        size < need)
        return diag_fail(diag, STATUS_USAGE,
                         "no segment %lu, or no room for it",
                         (unsigned long)segment);
    segment += file->header.aux_count;
    enum status status = update_file_segment(file, segment, dec->coded, &coded);
    if (status)
        return status;
    return update_dec_segment(dec->dec, segment, coded, out, need, diag);
}

enum dmc_status dmc_update_dec_segment(struct dmc_update_dec *dec,
                                       uint32_t segment, void *out, size_t size,
                                       struct dmc_error *error)
{
    struct diag diag;
    diag_reset(&diag);
    enum status status = apply_segment(dec, segment, out, size, &diag);
    return adapt_end(status, &diag, error);
}

/* ---- All of it ---- */

static enum status apply_check_base(const struct dmc_update_dec *dec,
                                    struct diag *diag)
{
    const struct update_header *header = &dec->update->file.header;
    struct hash id;
    if (!header->has_base)
        return STATUS_OK;
    enum status status = apply_tree(&dec->base.source, &id);
    if (!status && !hash_equal(&id, &header->base_tree))
        status = diag_fail(diag, STATUS_BAD_BASE,
                           "the base is not the one the update was made for");
    return status;
}

static enum status apply_segments(struct dmc_update_dec *dec,
                                  const struct dmc_sink *out, struct diag *diag)
{
    const struct update_header *header = &dec->update->file.header;
    struct tree_builder tb;
    struct hash id;
    uint8_t *plain = malloc(UPDATE_SEGMENT_SIZE_MAX);
    enum status status = tree_builder_init(&tb, header->target.size);
    if (!status && !plain)
        status = STATUS_NO_MEMORY;
    for (uint32_t i = 0; !status && i < apply_count(dec->update); i++) {
        struct bytes piece = bytes_of(
            plain, update_segment_target_size(header, header->aux_count + i));
        status = apply_segment(dec, i, plain, UPDATE_SEGMENT_SIZE_MAX, diag);
        if (!status)
            status = tree_builder_add(&tb, piece);
        if (!status)
            status = adapt_write(out, piece);
    }
    if (!status)
        status = tree_builder_finish(&tb, &id);
    if (!status && !hash_equal(&id, &header->target_tree))
        status = diag_fail(diag, STATUS_MISMATCH,
                           "what the update decodes to is not its target");
    tree_builder_deinit(&tb);
    free(plain);
    return status;
}

enum dmc_status dmc_update_apply(const struct dmc_update *update,
                                 const struct dmc_source *base,
                                 const struct dmc_sink *out,
                                 struct dmc_error *error)
{
    struct dmc_update_dec *dec;
    struct diag diag;
    enum dmc_status opened = dmc_update_dec_new(update, base, &dec, error);
    if (opened)
        return opened;
    diag_reset(&diag);
    enum status status = adapt_sink_check(out, &diag);
    if (!status)
        status = apply_check_base(dec, &diag);
    if (!status)
        status = apply_segments(dec, out, &diag);
    dmc_update_dec_free(dec);
    return adapt_end(status, &diag, error);
}
