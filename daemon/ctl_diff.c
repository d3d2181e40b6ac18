/* deltamesh diff: makes an update file from one model to another, or of one
 * alone; a model is a file or a folder of files. Needs no daemon. */
#include "daemon/ctl_encode.h"
#include "daemon/ctl_offline.h"
#include "daemon/threads.h"

#include <stdio.h>

static const char diff_usage[] =
    "usage: deltamesh diff [--speed auto|fast|small] [--max-rank N]\n"
    "                      [--threads N] [--json] [BASE] TARGET -o UPDATE\n"
    "  BASE TARGET   files, or folders of files, as publish takes them\n"
    "  --speed       fast: quick to make and to apply; small: fewest bytes\n"
    "  --max-rank N  of low-rank predictions, 0 (none) to 64; default 64\n"
    "  --threads N   work on so many things at once; default: the processors\n";

struct diff {
    struct ctl *ctl;
    const char *base_path; /* NULL: none */
    const char *target_path;
    const char *out_path;
    struct encode_options options;
    unsigned width;
    struct threads *threads;
    struct ctl_content base;
    struct ctl_content target;
    struct progress progress;
    struct diag diag;
};

static enum status diff_open(struct diff *diff)
{
    enum status status =
        ctl_content_open(&diff->target, diff->target_path, &diff->diag);
    if (!status)
        status = ctl_content_model(diff->ctl, &diff->target);
    if (!status && diff->base_path)
        status = ctl_content_open(&diff->base, diff->base_path, &diff->diag);
    if (!status && diff->base_path)
        status = ctl_content_model(diff->ctl, &diff->base);
    return status;
}

static enum status diff_make(struct diff *diff, struct encoded *made)
{
    enum status status = diff_open(diff);
    if (!status)
        status = threads_new(diff->width, &diff->threads);
    if (status)
        return status;
    diff->options.parallel = threads_parallel(diff->threads);
    return ctl_encode(diff->base_path ? &diff->base : NULL, &diff->target,
                      diff->out_path, &diff->options, &diff->progress, made,
                      &diff->diag);
}

static void diff_report(const struct diff *diff, const struct encoded *made)
{
    char id[HASH_HEX_SIZE], target[HASH_HEX_SIZE], base[HASH_HEX_SIZE];
    uint64_t raw = diff->target.source.size;
    hash_hex(&made->id, id);
    hash_hex(&made->target, target);
    hash_hex(&made->base, base);
    if (diff->ctl->json) {
        json_t *json =
            json_pack("{s:s, s:s*, s:s, s:I, s:I}", "update", id, "base",
                      made->has_base ? base : NULL, "target", target, "bytes",
                      (json_int_t)made->bytes, "target_bytes", (json_int_t)raw);
        ctl_print_json(diff->ctl, json);
        json_decref(json);
        return;
    }
    printf("%s: %llu bytes", diff->out_path, (unsigned long long)made->bytes);
    if (raw)
        printf(", %.1f %% of %llu", 100.0 * (double)made->bytes / (double)raw,
               (unsigned long long)raw);
    printf("\n");
}

static int diff_run(struct diff *diff)
{
    struct encoded made;
    diff->base = diff->target = CTL_CONTENT_CLOSED;
    progress_begin(&diff->progress, "diff");
    enum status status = diff_make(diff, &made);
    progress_end(&diff->progress);
    if (!status)
        diff_report(diff, &made);
    int exit = ctl_offline_exit(diff->ctl, status, &diff->diag);
    threads_free(diff->threads);
    ctl_content_close(&diff->base);
    ctl_content_close(&diff->target);
    return exit;
}

/* False: the option or its value does not fit; *exit is set. */
static bool diff_option(struct diff *diff, int option, int *exit)
{
    bool fits = true;
    switch (option) {
    case 'o':
        diff->out_path = optarg;
        return true;
    case 'f':
        diff->options.speed = CODING_SPEED_FAST;
        return true;
    case 's':
        fits = ctl_encode_speed(optarg, &diff->options.speed);
        break;
    case 'r':
        fits = ctl_offline_count(optarg, 0, UPDATE_RANK_MAX,
                                 &diff->options.max_rank);
        break;
    case 'T':
        fits = ctl_offline_count(optarg, 1, THREADS_WIDTH_MAX, &diff->width);
        break;
    default:
        return ctl_option(diff->ctl, option, exit);
    }
    if (!fits)
        *exit = ctl_misused(diff->ctl);
    return fits;
}

int ctl_diff(int argc, char **argv)
{
    static const struct option options[] = {
        {"output", required_argument, NULL, 'o'},
        {"fast", no_argument, NULL, 'f'}, /* as --speed fast */
        {"speed", required_argument, NULL, 's'},
        {"max-rank", required_argument, NULL, 'r'},
        {"threads", required_argument, NULL, 'T'},
        CTL_OPTIONS};
    struct ctl ctl;
    struct diff diff = {.ctl = &ctl, .options.max_rank = CTL_ENCODE_RANK};
    int exit = CTL_OK;
    ctl_begin(&ctl, argv, diff_usage);
    for (int c; (c = getopt_long(argc, argv, "o:", options, NULL)) != -1;)
        if (!diff_option(&diff, c, &exit))
            return exit;
    if (!diff.out_path || argc - optind < 1 || argc - optind > 2)
        return ctl_misused(&ctl);
    diff.target_path = argv[argc - 1];
    if (argc - optind == 2)
        diff.base_path = argv[optind];
    return diff_run(&diff);
}
