/* Checked from a copy that nobody else can write to. */
#include "daemon/premade.h"

#include "codec/update/update_dec.h"
#include "codec/update/update_file.h"
#include "daemon/fs.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Most bytes of a file before the header: its magic, and a length. */
#define PREMADE_HEAD 64u

struct premade {
    const struct premade_params *params;
    struct job *job;
    struct diag *diag;
    int scratch; /* the copy */
    struct source copy;
    struct update_file update;
    struct update_aux aux;
    struct content *base;
    struct update_dec *dec;
    uint8_t *coded, *plain; /* of one segment */
};

static enum status premade_read(void *ctx, uint64_t offset, void *out,
                                size_t size)
{
    const struct premade *premade = ctx;
    return fs_pread(premade->scratch, out, size, offset);
}

static enum status premade_copy_piece(void *ctx, struct bytes piece)
{
    struct premade *premade = ctx;
    uint64_t at = premade->copy.size;
    if (premade->job && job_stopped(premade->job))
        return STATUS_CLOSED;
    premade->copy.size += piece.size;
    return fs_pwrite(premade->scratch, piece.data, piece.size, at);
}

static enum status premade_copy(struct premade *premade, const char *dir)
{
    const struct source *file = premade->params->file;
    premade->scratch = fs_scratch(dir);
    if (premade->scratch < 0)
        return diag_fail(premade->diag, status_from_errno(errno), "%s: %s", dir,
                         strerror(errno));
    premade->copy = (struct source){premade_read, premade, 0};
    return source_each(file, 0, file->size, premade_copy_piece, premade);
}

static bool premade_has_base(const struct premade *premade)
{
    const struct premade_params *params = premade->params;
    const struct update_header *header = &premade->update.header;
    for (size_t i = 0; header->has_base && i < params->base_count; i++)
        if (hash_equal(&params->bases[i], &header->base_tree))
            return true;
    return false;
}

static enum status premade_look(struct premade *premade)
{
    enum status status =
        update_file_open(&premade->copy, &premade->update, premade->diag);
    if (status)
        return status;
    /* A header's size is not bound to the tree that it names. */
    const struct update_header *header = &premade->update.header;
    if (!hash_equal(&header->target_tree, premade->params->target) ||
        header->target.size != premade->params->target_size)
        return diag_fail(premade->diag, STATUS_CORRUPT,
                         "it does not lead to the files given");
    if (header->has_base &&
        hash_equal(&header->base_tree, &header->target_tree))
        return diag_fail(premade->diag, STATUS_CORRUPT,
                         "it starts from what it leads to");
    if (!premade_has_base(premade))
        return diag_fail(premade->diag, STATUS_CORRUPT,
                         "what it starts from is no parent, and no channel "
                         "names it (any more); publish again");
    return STATUS_OK;
}

/* The base held here. */
static enum status premade_open(struct premade *premade,
                                const struct places *places)
{
    enum status status =
        content_open(places, &premade->update.header.base_tree, premade->job,
                     &premade->base, premade->diag);
    return status == STATUS_CORRUPT ? STATUS_INTERNAL : status;
}

static enum status premade_start(struct premade *premade)
{
    const struct update_header *header = &premade->update.header;
    premade->aux = update_file_aux(&premade->update);
    premade->coded = malloc(UPDATE_SEGMENT_CODED_MAX);
    premade->plain = malloc(UPDATE_SEGMENT_SIZE_MAX);
    if (!premade->coded || !premade->plain)
        return STATUS_NO_MEMORY;
    return update_dec_new(header, &premade->base->source, &premade->aux,
                          &premade->dec);
}

static enum status premade_compare(const struct premade *premade,
                                   uint32_t index)
{
    const struct update_header *header = &premade->update.header;
    uint64_t start = update_segment_offset(header, index);
    uint32_t first, count;
    update_segment_blocks(header, index, &first, &count);
    for (uint32_t i = first; i < first + count; i++) {
        struct hash leaf;
        uint64_t at = tree_block_offset(&header->target, i) - start;
        tree_leaf(
            bytes_of(premade->plain + at, tree_block_size(&header->target, i)),
            &leaf);
        if (!hash_equal(&leaf, &premade->params->target_leaves[i]))
            return diag_fail(premade->diag, STATUS_CORRUPT,
                             "block %u does not decode to the files given", i);
    }
    return STATUS_OK;
}

static enum status premade_decode(const struct premade *premade)
{
    const struct update_header *header = &premade->update.header;
    enum status status = STATUS_OK;
    for (uint32_t i = 0; i < header->segment_count && !status; i++) {
        struct bytes coded;
        if (premade->job && job_stopped(premade->job))
            return STATUS_CLOSED;
        status =
            update_file_segment(&premade->update, i, premade->coded, &coded);
        if (!status)
            status = update_dec_segment(premade->dec, i, coded, premade->plain,
                                        update_segment_target_size(header, i),
                                        premade->diag);
        if (!status && !update_segment_is_aux(header, i))
            status = premade_compare(premade, i);
    }
    return status;
}

static void premade_close(struct premade *premade)
{
    update_dec_free(premade->dec);
    content_close(premade->base);
    update_file_close(&premade->update);
    free(premade->coded);
    free(premade->plain);
    if (premade->scratch >= 0)
        close(premade->scratch);
}

/* What its maker got wrong is one thing for the caller, whatever it was; a base
 * that cannot be had here is none of it. */
static enum status premade_blame(enum status status)
{
    switch (status) {
    case STATUS_TRUNCATED:
    case STATUS_UNSUPPORTED:
    case STATUS_LIMIT:
    case STATUS_MISMATCH:
    case STATUS_BAD_BASE:
    case STATUS_NOT_FOUND:
        return STATUS_CORRUPT;
    default:
        return status;
    }
}

static enum status premade_check(struct premade *premade,
                                 const struct places *places)
{
    uint64_t size = premade->params->file->size;
    if (size > update_bytes_max(premade->params->target_size) + PREMADE_HEAD)
        return diag_fail(premade->diag, STATUS_CORRUPT,
                         "it is larger than any update to these files");
    enum status status = premade_copy(premade, places->scratch_dir);
    if (!status)
        status = premade_blame(premade_look(premade));
    if (!status)
        status = premade_open(premade, places);
    if (!status)
        status = premade_blame(premade_start(premade));
    return status ? status : premade_blame(premade_decode(premade));
}

enum status premade_keep(const struct places *places,
                         const struct premade_params *params, struct job *job,
                         struct made_update *out, struct diag *diag)
{
    struct diag why = {""};
    struct premade premade = {
        .params = params, .job = job, .diag = &why, .scratch = -1};
    memset(out, 0, sizeof(*out));
    enum status status = premade_check(&premade, places);
    if (status == STATUS_CORRUPT)
        diag_fail(diag, status, "the update that came along: %.180s",
                  why.text[0] ? why.text : status_text(status));
    else if (status)
        diag_fail(diag, status, "%s",
                  why.text[0] ? why.text : status_text(status));
    if (!status) {
        const struct ready_update ready = {
            .header = bytes_of(premade.update.header_bytes,
                               premade.update.header_size),
            .fd = premade.scratch,
            .segments_offset = premade.update.segments_offset};
        status = make_keep(places, params->input, &ready, job, out, diag);
    }
    premade_close(&premade);
    return status;
}
