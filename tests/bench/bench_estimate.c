/* How near update_estimate comes, for one pair of files or folders:
 *
 *     bench_estimate [--speed auto|fast|small] [--max-rank N] [BASE] TARGET
 *
 * Prints one JSON line: bytes of the update, the estimate and their ratio, what
 * the estimate read of each content, CPU seconds of both. Run over a corpus by
 * bench_estimate.py. */
#include "codec/update/estimate.h"
#include "daemon/ctl_content.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

struct counted {
    const struct source *source;
    uint64_t read;
    struct source face;
};

struct measured {
    uint64_t bytes, estimate, read_base, read_target;
    double make_s, estimate_s;
};

static double now(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static enum status counted_read(void *ctx, uint64_t offset, void *out,
                                size_t size)
{
    struct counted *counted = ctx;
    counted->read += size;
    return source_read(counted->source, offset, out, size);
}

static void counted_init(struct counted *counted, const struct source *source)
{
    *counted = (struct counted){.source = source};
    counted->face = (struct source){counted_read, counted, source->size};
}

static enum status make(const struct update_enc_params *params, uint64_t *bytes)
{
    struct update_enc *enc = NULL;
    struct writer wr;
    writer_init_heap(&wr, UPDATE_HEADER_MAX);
    enum status status = update_enc_new(params, &enc);
    if (!status)
        status = update_enc_plan(enc, NULL, NULL);
    uint32_t count = status ? 0 : update_enc_segment_count(enc);
    for (uint32_t i = 0; !status && i < count; i++) {
        struct bytes coded;
        status = update_enc_segment(enc, i, &coded);
        *bytes += coded.size;
    }
    if (!status)
        status = update_enc_header(enc, &wr);
    *bytes += wr.size;
    writer_deinit(&wr);
    update_enc_free(enc);
    return status;
}

static enum status measure(const struct update_enc_params *params,
                           struct measured *out)
{
    struct counted base, target;
    struct update_enc_params counted = *params;
    counted_init(&target, params->target);
    counted.target = &target.face;
    if (params->base) {
        counted_init(&base, params->base);
        counted.base = &base.face;
    }
    double start = now();
    enum status status = update_estimate(&counted, &out->estimate);
    out->estimate_s = now() - start;
    out->read_target = target.read;
    out->read_base = params->base ? base.read : 0;
    start = now();
    if (!status)
        status = make(params, &out->bytes);
    out->make_s = now() - start;
    return status;
}

static enum status look(const char *path, struct ctl_content *content)
{
    struct diag diag = {""};
    enum status status = ctl_content_open(content, path, &diag);
    if (!status)
        status = ctl_content_parse(content, &diag);
    if (status)
        fprintf(stderr, "%s: %s %s\n", path, status_text(status), diag.text);
    return status;
}

static bool speed_of(const char *name, enum coding_speed *out)
{
    static const char *const names[] = {"auto", "fast", "small"};
    for (unsigned i = 0; i < 3; i++)
        if (!strcmp(name, names[i])) {
            *out = (enum coding_speed)i;
            return true;
        }
    return false;
}

static enum status run(const char *base_path, const char *target_path,
                       struct update_enc_params *params)
{
    struct ctl_content base = CTL_CONTENT_CLOSED, target = CTL_CONTENT_CLOSED;
    struct measured m = {0};
    enum status status = look(target_path, &target);
    if (!status && base_path)
        status = look(base_path, &base);
    if (!status) {
        params->target = &target.source;
        params->target_model = target.model;
        params->base = base_path ? &base.source : NULL;
        params->base_model = base.model;
        status = measure(params, &m);
    }
    if (!status)
        printf("{\"bench\": \"estimate\", \"base\": \"%s\", \"target\": "
               "\"%s\", \"size\": %llu, \"bytes\": %llu, \"estimate\": %llu, "
               "\"ratio\": %.4f, \"read_base\": %llu, \"read_target\": %llu, "
               "\"estimate_s\": %.3f, \"make_s\": %.3f}\n",
               base_path ? base_path : "", target_path,
               (unsigned long long)target.source.size,
               (unsigned long long)m.bytes, (unsigned long long)m.estimate,
               (double)m.estimate / (double)m.bytes,
               (unsigned long long)m.read_base,
               (unsigned long long)m.read_target, m.estimate_s, m.make_s);
    ctl_content_close(&base);
    ctl_content_close(&target);
    return status;
}

int main(int argc, char **argv)
{
    static const struct option options[] = {
        {"speed", required_argument, NULL, 's'},
        {"max-rank", required_argument, NULL, 'r'},
        {NULL, 0, NULL, 0}};
    struct update_enc_params params = {.effort = UPDATE_EFFORT_SMALL,
                                       .max_rank = UPDATE_RANK_MAX};
    int c;
    while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (c == 'r')
            params.max_rank = (unsigned)strtoul(optarg, NULL, 10);
        else if (c != 's' || !speed_of(optarg, &params.speed))
            return 2;
    }
    int left = argc - optind;
    if (left < 1 || left > 2)
        return 2;
    return run(left == 2 ? argv[optind] : NULL, argv[argc - 1], &params) ? 1
                                                                         : 0;
}
