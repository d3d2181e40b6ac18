/* deltamesh patch: makes the target of an update file from its base. Every
 * byte is checked against the target's id before the file gets its name.
 * Needs no daemon. */
#include "codec/update/update_dec.h"
#include "codec/update/update_file.h"
#include "daemon/ctl.h"
#include "daemon/ctl_offline.h"
#include "daemon/file_source.h"
#include "daemon/out_file.h"
#include "daemon/progress.h"

#include <stdio.h>
#include <stdlib.h>

static const char patch_usage[] =
    "usage: deltamesh patch [--json] [BASE] UPDATE -o TARGET\n";

struct patch {
    struct ctl *ctl;
    const char *base_path; /* NULL: none */
    const char *update_path;
    const char *out_path;
    struct file_source base;
    struct file_source update;
    struct update_file file;
    struct update_dec *dec;
    struct tree_builder tree; /* of the target */
    struct out_file out;
    uint8_t *coded;
    uint8_t *plain;
    struct progress progress;
    struct diag diag;
};

/* The base must be the one the update was made for: told before any byte is
 * written. */
static enum status patch_check_base(struct patch *patch)
{
    const struct update_header *header = &patch->file.header;
    char want[HASH_HEX_SIZE];
    struct tree_builder tb;
    struct hash id;
    hash_hex(&header->base_tree, want);
    if (!header->has_base && patch->base_path)
        return diag_fail(&patch->diag, STATUS_BAD_BASE,
                         "%s is a full update and takes no base",
                         patch->update_path);
    if (!header->has_base)
        return STATUS_OK;
    if (!patch->base_path)
        return diag_fail(&patch->diag, STATUS_BAD_BASE,
                         "%s needs its base, the file with tree %.16s",
                         patch->update_path, want);
    enum status status =
        file_source_open(&patch->base, patch->base_path, &patch->diag);
    if (status)
        return status;
    status = tree_build(&patch->base.source, &tb, &id);
    tree_builder_deinit(&tb);
    if (!status && !hash_equal(&id, &header->base_tree))
        status = diag_fail(&patch->diag, STATUS_BAD_BASE,
                           "%s is not the base of %s (which has tree %.16s)",
                           patch->base_path, patch->update_path, want);
    return status;
}

static enum status patch_open(struct patch *patch)
{
    enum status status =
        file_source_open(&patch->update, patch->update_path, &patch->diag);
    if (status)
        return status;
    struct diag why;
    diag_reset(&why);
    status = update_file_open(&patch->update.source, &patch->file, &why);
    if (status)
        return diag_fail(&patch->diag, status, "%.100s: %.140s",
                         patch->update_path,
                         why.text[0] ? why.text : status_text(status));
    return patch_check_base(patch);
}

static enum status patch_begin(struct patch *patch)
{
    const struct update_header *header = &patch->file.header;
    patch->coded = malloc(UPDATE_SEGMENT_CODED_MAX);
    patch->plain = malloc(UPDATE_SEGMENT_SIZE_MAX);
    if (!patch->coded || !patch->plain)
        return STATUS_NO_MEMORY;
    enum status status = update_dec_new(
        header, header->has_base ? &patch->base.source : NULL, &patch->dec);
    if (!status)
        status = tree_builder_init(&patch->tree, header->target.size);
    if (!status)
        status = out_file_open(&patch->out, patch->out_path, &patch->diag);
    return status;
}

static enum status patch_segment(struct patch *patch, uint32_t index)
{
    const struct update_header *header = &patch->file.header;
    size_t size = update_segment_target_size(header, index);
    struct bytes coded;
    enum status status =
        update_file_segment(&patch->file, index, patch->coded, &coded);
    if (!status)
        status = update_dec_segment(patch->dec, index, coded, patch->plain,
                                    size, &patch->diag);
    if (!status)
        status = tree_builder_add(&patch->tree, bytes_of(patch->plain, size));
    if (!status)
        status = out_file_write(&patch->out, bytes_of(patch->plain, size),
                                &patch->diag);
    progress_show(&patch->progress, index, header->segment_count);
    return status;
}

static enum status patch_finish(struct patch *patch)
{
    struct hash id;
    enum status status = tree_builder_finish(&patch->tree, &id);
    if (!status && !hash_equal(&id, &patch->file.header.target_tree))
        status = diag_fail(&patch->diag, STATUS_MISMATCH,
                           "what %s decodes to is not its target",
                           patch->update_path);
    if (!status)
        status = out_file_commit(&patch->out, &patch->diag);
    return status;
}

static enum status patch_make(struct patch *patch)
{
    enum status status = patch_open(patch);
    if (!status)
        status = patch_begin(patch);
    for (uint32_t i = 0; !status && i < patch->file.header.segment_count; i++)
        status = patch_segment(patch, i);
    if (!status)
        status = patch_finish(patch);
    return status;
}

static void patch_report(const struct patch *patch)
{
    char target[HASH_HEX_SIZE];
    uint64_t size = patch->file.header.target.size;
    hash_hex(&patch->file.header.target_tree, target);
    if (patch->ctl->json) {
        json_t *json = json_pack("{s:s, s:I}", "target", target, "target_bytes",
                                 (json_int_t)size);
        ctl_print_json(patch->ctl, json);
        json_decref(json);
        return;
    }
    printf("%s: %llu bytes, tree %.16s\n", patch->out_path,
           (unsigned long long)size, target);
}

static void patch_close(struct patch *patch)
{
    out_file_abort(&patch->out);
    update_dec_free(patch->dec);
    tree_builder_deinit(&patch->tree);
    update_file_close(&patch->file);
    free(patch->coded);
    free(patch->plain);
    file_source_close(&patch->base);
    file_source_close(&patch->update);
}

static int patch_run(struct patch *patch)
{
    patch->base.fd = patch->update.fd = patch->out.fd = -1;
    progress_begin(&patch->progress, "patch");
    enum status status = patch_make(patch);
    progress_end(&patch->progress);
    if (!status)
        patch_report(patch);
    int exit = ctl_offline_exit(patch->ctl, status, &patch->diag);
    patch_close(patch);
    return exit;
}

int ctl_patch(int argc, char **argv)
{
    static const struct option options[] = {
        {"output", required_argument, NULL, 'o'}, CTL_OPTIONS};
    struct ctl ctl;
    struct patch patch = {.ctl = &ctl};
    int exit = CTL_OK;
    ctl_begin(&ctl, argv, patch_usage);
    for (int c; (c = getopt_long(argc, argv, "o:", options, NULL)) != -1;) {
        if (c == 'o')
            patch.out_path = optarg;
        else if (!ctl_option(&ctl, c, &exit))
            return exit;
    }
    if (!patch.out_path || argc - optind < 1 || argc - optind > 2)
        return ctl_misused(&ctl);
    patch.update_path = argv[argc - 1];
    if (argc - optind == 2)
        patch.base_path = argv[optind];
    return patch_run(&patch);
}
