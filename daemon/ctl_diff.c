/* deltamesh diff: makes an update file from one model file to another, or of
 * one alone. Needs no daemon. */
#include "codec/update/update_enc.h"
#include "codec/update/update_file.h"
#include "daemon/ctl.h"
#include "daemon/ctl_offline.h"
#include "daemon/file_source.h"
#include "daemon/out_file.h"
#include "daemon/progress.h"
#include "daemon/table.h"

#include <stdio.h>
#include <stdlib.h>

static const char diff_usage[] =
    "usage: deltamesh diff [--fast] [--json] [BASE] TARGET -o UPDATE\n";

struct diff {
    struct ctl *ctl;
    const char *base_path; /* NULL: none */
    const char *target_path;
    const char *out_path;
    enum update_effort effort;
    struct file_source base;
    struct file_source target;
    struct model *base_model;
    struct model *target_model;
    struct update_enc *enc;
    struct out_file scratch;
    struct writer header;
    struct progress progress;
    struct diag diag;
};

static bool diff_planned(void *ctx, uint64_t done, uint64_t total)
{
    struct diff *diff = ctx;
    progress_show(&diff->progress, done / 2, total);
    return true;
}

static enum status diff_open(struct diff *diff)
{
    enum status status =
        file_source_open(&diff->target, diff->target_path, &diff->diag);
    if (!status)
        status = ctl_offline_model(diff->ctl, &diff->target, diff->target_path,
                                   &diff->target_model);
    if (status || !diff->base_path)
        return status;
    status = file_source_open(&diff->base, diff->base_path, &diff->diag);
    if (!status)
        status = ctl_offline_model(diff->ctl, &diff->base, diff->base_path,
                                   &diff->base_model);
    return status;
}

static enum status diff_plan(struct diff *diff)
{
    struct update_enc_params params = {
        .base = diff->base_path ? &diff->base.source : NULL,
        .target = &diff->target.source,
        .base_model = diff->base_model,
        .target_model = diff->target_model,
        .effort = diff->effort,
        .diag = &diff->diag,
    };
    enum status status = update_enc_new(&params, &diff->enc);
    if (!status)
        status = update_enc_plan(diff->enc, diff_planned, diff);
    return status;
}

static enum status diff_segments(struct diff *diff)
{
    uint32_t count = update_enc_segment_count(diff->enc);
    enum status status = STATUS_OK;
    for (uint32_t i = 0; !status && i < count; i++) {
        struct bytes coded;
        status = update_enc_segment(diff->enc, i, &coded);
        if (!status)
            status = out_file_write(&diff->scratch, coded, &diff->diag);
        progress_show(&diff->progress, (uint64_t)count + i,
                      2 * (uint64_t)count);
    }
    return status;
}

static enum status diff_write(struct diff *diff, uint64_t *size)
{
    struct out_file out;
    struct writer head;
    writer_init_heap(&head, UPDATE_HEADER_MAX + 64u);
    update_file_write_head(&head, writer_view(&diff->header));
    enum status status = writer_status(&head);
    if (!status)
        status = out_file_open(&out, diff->out_path, &diff->diag);
    if (!status) {
        status = out_file_write(&out, writer_view(&head), &diff->diag);
        if (!status)
            status = out_file_append(&out, &diff->scratch, &diff->diag);
        *size = out.size;
        if (!status)
            status = out_file_commit(&out, &diff->diag);
        out_file_abort(&out);
    }
    writer_deinit(&head);
    return status;
}

static enum status diff_make(struct diff *diff, uint64_t *size)
{
    enum status status = diff_open(diff);
    if (!status)
        status = diff_plan(diff);
    if (!status)
        status = out_file_scratch(&diff->scratch, diff->out_path, &diff->diag);
    if (!status)
        status = diff_segments(diff);
    if (!status)
        status = update_enc_header(diff->enc, &diff->header);
    if (!status)
        status = diff_write(diff, size);
    return status;
}

static void diff_report(const struct diff *diff, uint64_t size)
{
    struct hash id;
    char id_hex[HASH_HEX_SIZE], target[HASH_HEX_SIZE], base[HASH_HEX_SIZE];
    uint64_t raw = diff->target.source.size;
    update_id(writer_view(&diff->header), &id);
    hash_hex(&id, id_hex);
    hash_hex(update_enc_target_tree(diff->enc), target);
    hash_hex(update_enc_base_tree(diff->enc), base);
    if (diff->ctl->json) {
        json_t *json =
            json_pack("{s:s, s:s*, s:s, s:I, s:I}", "update", id_hex, "base",
                      diff->base_path ? base : NULL, "target", target, "bytes",
                      (json_int_t)size, "target_bytes", (json_int_t)raw);
        ctl_print_json(diff->ctl, json);
        json_decref(json);
        return;
    }
    printf("%s: %llu bytes", diff->out_path, (unsigned long long)size);
    if (raw)
        printf(", %.1f %% of %llu", 100.0 * (double)size / (double)raw,
               (unsigned long long)raw);
    printf("\n");
}

static void diff_close(struct diff *diff)
{
    progress_end(&diff->progress);
    update_enc_free(diff->enc);
    model_free(diff->base_model);
    model_free(diff->target_model);
    out_file_abort(&diff->scratch);
    writer_deinit(&diff->header);
    file_source_close(&diff->base);
    file_source_close(&diff->target);
}

static int diff_run(struct diff *diff)
{
    uint64_t size = 0;
    diff->base.fd = diff->target.fd = diff->scratch.fd = -1;
    writer_init_heap(&diff->header, UPDATE_HEADER_MAX);
    progress_begin(&diff->progress, "diff");
    enum status status = diff_make(diff, &size);
    progress_end(&diff->progress);
    if (!status)
        diff_report(diff, size);
    int exit = ctl_offline_exit(diff->ctl, status, &diff->diag);
    diff_close(diff);
    return exit;
}

int ctl_diff(int argc, char **argv)
{
    static const struct option options[] = {
        {"output", required_argument, NULL, 'o'},
        {"fast", no_argument, NULL, 'f'},
        CTL_OPTIONS};
    struct ctl ctl;
    struct diff diff = {.ctl = &ctl, .effort = UPDATE_EFFORT_SMALL};
    int exit = CTL_OK;
    ctl_begin(&ctl, argv, diff_usage);
    for (int c; (c = getopt_long(argc, argv, "o:", options, NULL)) != -1;) {
        if (c == 'o')
            diff.out_path = optarg;
        else if (c == 'f')
            diff.effort = UPDATE_EFFORT_FAST;
        else if (!ctl_option(&ctl, c, &exit))
            return exit;
    }
    if (!diff.out_path || argc - optind < 1 || argc - optind > 2)
        return ctl_misused(&ctl);
    diff.target_path = argv[argc - 1];
    if (argc - optind == 2)
        diff.base_path = argv[optind];
    return diff_run(&diff);
}
