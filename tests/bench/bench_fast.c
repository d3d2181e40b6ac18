/* Measures the fast float coder alone: bytes and speed over pairs of
 * safetensors files, one JSON line a pair.
 *
 *   bench_fast [-p] [-n REPEATS] [-s SEGMENT_BYTES] BASE|- TARGET
 *              [BASE TARGET]...
 *
 * -p measures plain C instead of what suits the processor.
 * A base of - measures coding without one. Tensors are matched by name and
 * size; those of other types than floats, and unchanged ones, count 0 bytes
 * and are left out of raw_bytes_coded. Every stream is decoded and compared.
 * Speeds are those of the quickest round of each tensor (plan) and of each
 * segment (encode, decode), so that a busy machine spoils little. */
#include "codec/lossless/fast.h"

#include "tests/bench/tensor_file.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

struct job {
    enum dtype dtype;
    const uint8_t *base;
    const uint8_t *target;
    size_t count;
    size_t index;
    uint64_t bits;
    struct fast_coding coding;
};

/* Quickest round of each step of a pass. */
struct laps {
    double *least;
    size_t count, at;
    double since;
};

struct bench {
    struct laps plan, enc, dec;
    struct job *job;
    size_t job_count;
    size_t raw, same, other;
    size_t segment_bytes;
    int repeats;
    bool plain;
};

static double wall_now(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec + 1e-9 * (double)ts.tv_nsec;
}

static void laps_begin(struct laps *laps)
{
    laps->at = 0;
    laps->since = wall_now();
}

static void laps_note(struct laps *laps)
{
    double t = wall_now();
    if (laps->at == laps->count) {
        laps->count++;
        laps->least = realloc(laps->least, laps->count * sizeof(double));
        if (!laps->least)
            exit(2);
        laps->least[laps->at] = 1e9;
    }
    double lap = t - laps->since;
    if (lap < laps->least[laps->at])
        laps->least[laps->at] = lap;
    laps->at++;
    laps->since = wall_now();
}

static double laps_sum(const struct laps *laps)
{
    double sum = 0;
    for (size_t i = 0; i < laps->count; i++)
        sum += laps->least[i];
    return sum;
}

static int by_place(const void *a, const void *b)
{
    const uint8_t *x = ((const struct job *)a)->target;
    const uint8_t *y = ((const struct job *)b)->target;
    return (x > y) - (x < y);
}

static void collect(struct bench *bench, const struct file *base,
                    const struct file *target)
{
    const char *name;
    json_t *info;
    bench->job =
        calloc(json_object_size(target->header) + 1, sizeof(*bench->job));
    json_object_foreach(target->header, name, info)
    {
        struct bytes to, from = {0};
        enum dtype dtype, old;
        if (!tensor_of(target, info, &dtype, &to))
            continue;
        bench->raw += to.size;
        json_t *before = base ? json_object_get(base->header, name) : NULL;
        if (!before || !tensor_of(base, before, &old, &from) || old != dtype ||
            from.size != to.size)
            from.data = NULL;
        if (from.data && !memcmp(from.data, to.data, to.size)) {
            bench->same += to.size;
        } else if (!fast_dtype_ok(dtype)) {
            bench->other += to.size;
        } else {
            bench->job[bench->job_count++] =
                (struct job){.dtype = dtype,
                             .base = from.data,
                             .target = to.data,
                             .count = to.size / (dtype_bits(dtype) / 8)};
        }
    }
    qsort(bench->job, bench->job_count, sizeof(*bench->job), by_place);
}

static void plan_all(struct bench *bench, struct fast_tables *tables)
{
    struct fast_stats *stats = fast_stats_new();
    struct fast_plan *plan = fast_plan_new();
    if (bench->plain)
        fast_stats_plain(stats);
    laps_begin(&bench->plan);
    for (size_t i = 0; i < bench->job_count; i++) {
        struct job *job = &bench->job[i];
        fast_stats_reset(stats, job->dtype);
        fast_stats_add(stats, job->base, job->target, job->count);
        if (fast_plan_add(plan, stats, &job->index))
            exit(2);
        laps_note(&bench->plan);
    }
    if (fast_plan_solve(plan, tables))
        exit(2);
    laps_note(&bench->plan);
    for (size_t i = 0; i < bench->job_count; i++)
        bench->job[i].bits =
            fast_plan_coding(plan, bench->job[i].index, &bench->job[i].coding);
    fast_stats_free(stats);
    fast_plan_free(plan);
}

/* Walks the elements in segments; enc or dec is NULL. */
static void walk(struct bench *bench, struct fast_enc *enc, struct writer *wr,
                 struct fast_dec *dec, struct reader *rd, uint8_t *out)
{
    size_t room = bench->segment_bytes;
    struct laps *laps = enc ? &bench->enc : &bench->dec;
    laps_begin(laps);
    if (dec && fast_dec_begin(dec, rd))
        die("does not begin", "stream");
    for (size_t i = 0; i < bench->job_count; i++) {
        const struct job *job = &bench->job[i];
        size_t bytes = dtype_bits(job->dtype) / 8, at = 0;
        while (at < job->count) {
            if (room < bytes) {
                if (enc)
                    fast_enc_finish(enc, wr);
                else if (fast_dec_finish(dec) || fast_dec_begin(dec, rd))
                    die("does not decode", "stream");
                laps_note(laps);
                room = bench->segment_bytes;
            }
            size_t n =
                job->count - at < room / bytes ? job->count - at : room / bytes;
            const uint8_t *base = job->base ? job->base + at * bytes : NULL;
            if (!enc)
                fast_dec_piece(dec, &job->coding, job->dtype, base, out, n);
            else if (fast_enc_piece(enc, &job->coding, job->dtype, base,
                                    job->target + at * bytes, n))
                die("segment too long", "encoder");
            at += n;
            room -= n * bytes;
            out += dec ? n * bytes : 0;
        }
    }
    if (enc)
        fast_enc_finish(enc, wr);
    else if (fast_dec_finish(dec))
        die("does not decode", "stream");
    laps_note(laps);
}

static void compare(const struct bench *bench, const uint8_t *out)
{
    for (size_t i = 0; i < bench->job_count; i++) {
        size_t size =
            bench->job[i].count * (dtype_bits(bench->job[i].dtype) / 8);
        if (memcmp(out, bench->job[i].target, size))
            die("comes back changed", "tensor");
        out += size;
    }
}

static void measure(struct bench *bench, const char *label)
{
    struct fast_tables tables;
    size_t coded_raw = bench->raw - bench->same - bench->other;
    size_t stream = 0, heads = 0, full = 0;
    uint64_t bits = 0;
    uint8_t *out = malloc(coded_raw + 1);
    struct writer stream_wr;
    writer_init_heap(&stream_wr, coded_raw * 2 + 1000);
    for (int r = 0; r < bench->repeats; r++) {
        plan_all(bench, &tables);
        struct fast_enc *enc = fast_enc_new(&tables, bench->segment_bytes);
        struct fast_dec *dec = fast_dec_new(&tables);
        if (bench->plain) {
            fast_enc_plain(enc);
            fast_dec_plain(dec);
        }
        stream_wr.size = 0; /* keeps its memory */
        walk(bench, enc, &stream_wr, NULL, NULL, NULL);
        struct reader rd;
        reader_init(&rd, writer_view(&stream_wr));
        walk(bench, NULL, NULL, dec, &rd, out);
        compare(bench, out);
        stream = stream_wr.size;
        fast_enc_free(enc);
        fast_dec_free(dec);
    }
    writer_deinit(&stream_wr);
    double plan_s = laps_sum(&bench->plan), enc_s = laps_sum(&bench->enc),
           dec_s = laps_sum(&bench->dec);
    uint8_t buf[FAST_TABLES_BYTES_MAX];
    struct writer wr;
    writer_init(&wr, buf, sizeof(buf));
    fast_tables_write(&tables, &wr);
    size_t table_bytes = wr.size;
    for (size_t i = 0; i < bench->job_count; i++) {
        writer_init(&wr, buf, sizeof(buf));
        fast_coding_write(&bench->job[i].coding, &wr);
        heads += wr.size;
        full += bench->job[i].coding.mode == FAST_FULL;
        bits += bench->job[i].bits;
    }
    size_t sum = stream + heads + table_bytes;
    printf("{\"case\":\"%s\",\"raw_bytes\":%zu,\"raw_bytes_coded\":%zu,"
           "\"other_bytes\":%zu,\"tensors\":%zu,\"full\":%zu,\"tables\":%u,"
           "\"table_bytes\":%zu,\"coding_bytes\":%zu,\"stream_bytes\":%zu,"
           "\"estimate_bytes\":%zu,\"ratio\":%.4f,\"plan_mbps\":%.0f,"
           "\"encode_mbps\":%.0f,\"make_mbps\":%.0f,\"decode_mbps\":%.0f}\n",
           label, bench->raw, coded_raw, bench->other, bench->job_count, full,
           tables.count, table_bytes, heads, stream, (size_t)(bits / 8),
           (double)sum / (double)(bench->raw - bench->other),
           (double)coded_raw / plan_s / 1e6, (double)coded_raw / enc_s / 1e6,
           (double)coded_raw / (plan_s + enc_s) / 1e6,
           (double)coded_raw / dec_s / 1e6);
    free(out);
}

static void run_pair(const char *base_path, const char *target_path,
                     size_t segment_bytes, int repeats, bool plain)
{
    struct file base = {0}, target = {0};
    struct bench bench = {
        .segment_bytes = segment_bytes, .repeats = repeats, .plain = plain};
    bool has_base = strcmp(base_path, "-") != 0;
    if (has_base)
        file_load(&base, base_path);
    file_load(&target, target_path);
    collect(&bench, has_base ? &base : NULL, &target);
    measure(&bench, target_path);
    free(bench.plan.least);
    free(bench.enc.least);
    free(bench.dec.least);
    free(bench.job);
    free(base.data);
    free(target.data);
    json_decref(base.header);
    json_decref(target.header);
}

int main(int argc, char **argv)
{
    size_t segment_bytes = 1 << 20;
    int repeats = 3, opt;
    bool plain = false;
    while ((opt = getopt(argc, argv, "pn:s:")) != -1) {
        if (opt == 'n')
            repeats = atoi(optarg);
        else if (opt == 'p')
            plain = true;
        else if (opt == 's')
            segment_bytes = (size_t)atol(optarg);
        else
            return 2;
    }
    for (; optind + 1 < argc; optind += 2)
        run_pair(argv[optind], argv[optind + 1], segment_bytes, repeats, plain);
    return 0;
}
