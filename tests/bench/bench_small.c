/* Measures the small coder alone: bytes and speed over pairs of safetensors
 * files, one JSON line a pair and a dtype in it.
 *
 *   bench_small [-n REPEATS] [-s SEGMENT_BYTES] BASE|- TARGET [BASE TARGET]...
 *
 * A base of - measures coding without one. Tensors are matched by name and
 * size; those the coder does not take, and unchanged ones, count 0 bytes
 * and are left out of raw_bytes_coded. Every stream is decoded and compared. */
#include "codec/lossless/small.h"

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
    uint64_t columns;
    uint64_t bits;
    struct small_coding coding;
};

struct bench {
    struct job *job;
    size_t job_count;
    size_t raw, same, other;
    size_t segment_bytes;
    int repeats;
};

static uint64_t columns_of(json_t *info)
{
    json_t *shape = json_object_get(info, "shape");
    uint64_t columns = 1;
    for (size_t i = 1; i < json_array_size(shape); i++)
        columns *= (uint64_t)json_integer_value(json_array_get(shape, i));
    return columns;
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
        } else if (!small_dtype_ok(dtype)) {
            bench->other += to.size;
        } else {
            bench->job[bench->job_count++] =
                (struct job){.dtype = dtype,
                             .base = from.data,
                             .target = to.data,
                             .columns = columns_of(info),
                             .count = to.size / (dtype_bits(dtype) / 8)};
        }
    }
    qsort(bench->job, bench->job_count, sizeof(*bench->job), by_place);
}

static void plan_all(struct bench *bench)
{
    struct small_stats *stats = small_stats_new();
    for (size_t i = 0; i < bench->job_count; i++) {
        struct job *job = &bench->job[i];
        small_stats_reset(stats, job->dtype, job->columns);
        small_stats_add(stats, job->base, NULL, job->target, job->count);
        job->bits = small_plan(stats, &job->coding);
    }
    small_stats_free(stats);
}

/* Walks the elements in segments; enc or dec is NULL. */
static void walk(struct bench *bench, struct small_enc *enc, struct writer *wr,
                 struct small_dec *dec, struct reader *rd, uint8_t *out)
{
    size_t room = bench->segment_bytes;
    if (dec && small_dec_begin(dec, rd))
        die("does not begin", "stream");
    for (size_t i = 0; i < bench->job_count; i++) {
        const struct job *job = &bench->job[i];
        size_t bytes = dtype_bits(job->dtype) / 8, at = 0;
        while (at < job->count) {
            if (room < bytes) {
                if (enc)
                    small_enc_finish(enc, wr);
                else if (small_dec_finish(dec) || small_dec_begin(dec, rd))
                    die("does not decode", "stream");
                room = bench->segment_bytes;
            }
            size_t n =
                job->count - at < room / bytes ? job->count - at : room / bytes;
            const uint8_t *base = job->base ? job->base + at * bytes : NULL;
            if (!enc)
                small_dec_piece(dec, &job->coding, job->dtype, base, NULL, out,
                                n, at);
            else if (small_enc_piece(enc, &job->coding, job->dtype, base, NULL,
                                     job->target + at * bytes, n, at))
                die("segment too long", "encoder");
            at += n;
            room -= n * bytes;
            out += dec ? n * bytes : 0;
        }
    }
    if (enc)
        small_enc_finish(enc, wr);
    else if (small_dec_finish(dec))
        die("does not decode", "stream");
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

static size_t coding_bytes(const struct bench *bench, size_t *full,
                           uint64_t *bits)
{
    uint8_t buf[SMALL_CODING_BYTES_MAX];
    size_t sum = 0;
    for (size_t i = 0; i < bench->job_count; i++) {
        struct writer wr;
        writer_init(&wr, buf, sizeof(buf));
        small_coding_write(&bench->job[i].coding, bench->job[i].dtype, &wr);
        if (writer_status(&wr))
            die("too long", "coding");
        sum += wr.size;
        *full += bench->job[i].coding.mode == SMALL_FULL;
        *bits += bench->job[i].bits;
    }
    return sum;
}

static void measure(struct bench *bench, const char *label)
{
    size_t coded_raw = bench->raw - bench->same - bench->other;
    double plan_s = 1e9, enc_s = 1e9, dec_s = 1e9, t;
    size_t stream = 0, full = 0;
    uint64_t bits = 0;
    uint8_t *out = malloc(coded_raw + 1);
    for (int r = 0; r < bench->repeats; r++) {
        t = now();
        plan_all(bench);
        plan_s = now() - t < plan_s ? now() - t : plan_s;
        struct small_enc *enc = small_enc_new(bench->segment_bytes);
        struct small_dec *dec = small_dec_new();
        struct writer wr;
        writer_init_heap(&wr, coded_raw * 3 + 1000);
        t = now();
        walk(bench, enc, &wr, NULL, NULL, NULL);
        enc_s = now() - t < enc_s ? now() - t : enc_s;
        if (writer_status(&wr))
            die("too long", "stream");
        struct reader rd;
        reader_init(&rd, writer_view(&wr));
        t = now();
        walk(bench, NULL, NULL, dec, &rd, out);
        dec_s = now() - t < dec_s ? now() - t : dec_s;
        compare(bench, out);
        stream = wr.size;
        small_enc_free(enc);
        small_dec_free(dec);
        writer_deinit(&wr);
    }
    size_t heads = coding_bytes(bench, &full, &bits), sum = stream + heads;
    printf("{\"case\":\"%s\",\"dtype\":\"%s\",\"raw_bytes\":%zu,"
           "\"raw_bytes_coded\":%zu,\"other_bytes\":%zu,\"tensors\":%zu,"
           "\"full\":%zu,\"coding_bytes\":%zu,\"stream_bytes\":%zu,"
           "\"estimate_bytes\":%zu,\"ratio\":%.4f,\"plan_mbps\":%.0f,"
           "\"encode_mbps\":%.0f,\"decode_mbps\":%.0f}\n",
           label, bench->job_count ? dtype_name(bench->job->dtype) : "",
           bench->raw, coded_raw, bench->other, bench->job_count, full, heads,
           stream, (size_t)(bits / 8),
           (double)sum / (double)(bench->raw - bench->other),
           (double)coded_raw / plan_s / 1e6, (double)coded_raw / enc_s / 1e6,
           (double)coded_raw / dec_s / 1e6);
    free(out);
}

static void run_pair(const char *base_path, const char *target_path,
                     size_t segment_bytes, int repeats)
{
    struct file base = {0}, target = {0};
    struct bench bench = {.segment_bytes = segment_bytes, .repeats = repeats};
    bool has_base = strcmp(base_path, "-") != 0;
    if (has_base)
        file_load(&base, base_path);
    file_load(&target, target_path);
    collect(&bench, has_base ? &base : NULL, &target);
    measure(&bench, target_path);
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
    while ((opt = getopt(argc, argv, "n:s:")) != -1) {
        if (opt == 'n')
            repeats = atoi(optarg);
        else if (opt == 's')
            segment_bytes = (size_t)atol(optarg);
        else
            return 2;
    }
    for (; optind + 1 < argc; optind += 2)
        run_pair(argv[optind], argv[optind + 1], segment_bytes, repeats);
    return 0;
}
