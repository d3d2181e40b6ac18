/* deltamesh patch: makes the target of an update file from its base. Every
 * byte is checked against the target's id before the file gets its name, or,
 * in place, before the first is changed. Needs no daemon. */
#include "daemon/ctl_decode.h"
#include "daemon/ctl_inplace.h"
#include "daemon/ctl_offline.h"
#include "daemon/journal.h"
#include "daemon/out_set.h"
#include "daemon/threads.h"

#include <stdio.h>

static const char patch_usage[] =
    "usage: deltamesh patch [--threads N] [--json] [BASE] UPDATE -o TARGET\n"
    "       deltamesh patch --in-place [--threads N] [--json] BASE UPDATE\n"
    "  -o TARGET    a file, or a folder where the update is one to a folder\n"
    "  --in-place   BASE becomes the target, with little room beside it; when "
    "cut\n               short, run the same again: BASE" JOURNAL_SUFFIX
    " knows how far it was\n"
    "  --threads N  decode so many segments at once; default: the processors\n";

struct patch {
    struct ctl *ctl;
    const char *base_path; /* NULL: none */
    const char *update_path;
    const char *out_path; /* NULL: in place */
    bool in_place;
    unsigned width;
    struct threads *threads;
    struct ctl_content base;
    struct ctl_update update;
    struct out_set out;
    struct progress progress;
    struct diag diag;
};

static enum status patch_put(void *ctx, const struct decoded *decoded,
                             struct diag *diag)
{
    struct patch *patch = ctx;
    return out_set_write(&patch->out, decoded->plain, diag);
}

static enum status patch_write(struct patch *patch)
{
    const struct ctl_update *update = &patch->update;
    const struct decode_params params = {
        .update = update,
        .base = update->update.header.has_base ? &patch->base.source : NULL,
        .parallel = threads_parallel(patch->threads),
        .put = patch_put,
        .ctx = patch,
        .progress = &patch->progress,
    };
    enum status status =
        out_set_open(&patch->out, patch->out_path,
                     update->is_folder ? &update->listing : NULL, &patch->diag);
    if (status)
        return status;
    status = ctl_decode(&params, &patch->diag);
    if (!status)
        return out_set_commit(&patch->out, &patch->diag);
    out_set_abort(&patch->out);
    return status;
}

static enum status patch_in_place(struct patch *patch)
{
    if (patch->update.is_folder)
        return diag_fail(&patch->diag, STATUS_USAGE,
                         "%.100s leads to a folder, which cannot be patched in "
                         "place: give a new one with -o",
                         patch->update_path);
    return ctl_inplace(&patch->update, patch->base_path,
                       threads_parallel(patch->threads), &patch->progress,
                       &patch->diag);
}

static enum status patch_make(struct patch *patch)
{
    enum status status =
        ctl_update_open(&patch->update, patch->update_path, &patch->diag);
    if (!status)
        status = threads_new(patch->width, &patch->threads);
    if (!status && patch->in_place)
        return patch_in_place(patch);
    if (!status)
        status = ctl_update_base(&patch->update, patch->base_path, &patch->base,
                                 &patch->diag);
    return status ? status : patch_write(patch);
}

static void patch_report(const struct patch *patch)
{
    char target[HASH_HEX_SIZE];
    const struct update_header *header = &patch->update.update.header;
    const char *path = patch->in_place ? patch->base_path : patch->out_path;
    hash_hex(&header->target_tree, target);
    if (patch->ctl->json) {
        json_t *json = json_pack("{s:s, s:I}", "target", target, "target_bytes",
                                 (json_int_t)header->target.size);
        ctl_print_json(patch->ctl, json);
        json_decref(json);
        return;
    }
    printf("%s: %llu bytes, tree %.16s\n", path,
           (unsigned long long)header->target.size, target);
}

static int patch_run(struct patch *patch)
{
    patch->base = CTL_CONTENT_CLOSED;
    patch->update = CTL_UPDATE_CLOSED;
    progress_begin(&patch->progress, "patch");
    enum status status = patch_make(patch);
    progress_end(&patch->progress);
    if (!status)
        patch_report(patch);
    int exit = ctl_offline_exit(patch->ctl, status, &patch->diag);
    threads_free(patch->threads);
    ctl_content_close(&patch->base);
    ctl_update_close(&patch->update);
    return exit;
}

int ctl_patch(int argc, char **argv)
{
    static const struct option options[] = {
        {"output", required_argument, NULL, 'o'},
        {"in-place", no_argument, NULL, 'i'},
        {"threads", required_argument, NULL, 'T'},
        CTL_OPTIONS};
    struct ctl ctl;
    struct patch patch = {.ctl = &ctl};
    int exit = CTL_OK;
    ctl_begin(&ctl, argv, patch_usage);
    for (int c; (c = getopt_long(argc, argv, "o:", options, NULL)) != -1;) {
        if (c == 'o')
            patch.out_path = optarg;
        else if (c == 'i')
            patch.in_place = true;
        else if (c == 'T') {
            if (!ctl_offline_count(optarg, 1, THREADS_WIDTH_MAX, &patch.width))
                return ctl_misused(&ctl);
        } else if (!ctl_option(&ctl, c, &exit))
            return exit;
    }
    int words = argc - optind;
    if (words < 1 || words > 2 || patch.in_place == (patch.out_path != NULL) ||
        (patch.in_place && words != 2))
        return ctl_misused(&ctl);
    patch.update_path = argv[argc - 1];
    if (words == 2)
        patch.base_path = argv[optind];
    return patch_run(&patch);
}
