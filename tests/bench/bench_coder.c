/* Measures the lossless coders alone, through the face they share: bytes and
 * speed over pairs of safetensors files, one JSON line a pair.
 *
 *   bench_coder [-n REPEATS] [-b SEGMENT_BYTES] [-s auto|fast|small]
 *               BASE|- TARGET [BASE TARGET]...
 *
 * -s as publish has it: fast measures the coders with static tables, small the
 * adaptive ones where they are smaller. A base of - measures coding without
 * one. Tensors are matched by name and size; those that travel as bytes, and
 * unchanged ones, count 0 bytes and are left out of raw_bytes_coded. Every
 * stream is decoded and compared. Speeds are those of the quickest round of
 * each tensor (plan) and of each segment (encode, decode), so that a busy
 * machine spoils little. */
#include "codec/lossless/coding.h"
#include "codec/lossless/coding_plan.h"

#include "tests/bench/tensor_file.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct job {
    enum dtype dtype;
    const uint8_t *base;
    const uint8_t *target;
    size_t count;
    uint64_t columns;
    size_t index;
    uint64_t bits;
    struct coding coding;
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
    enum coding_speed speed;
};

static void laps_begin(struct laps *laps)
{
    laps->at = 0;
    laps->since = now();
}

static void laps_note(struct laps *laps)
{
    double lap = now() - laps->since;
    if (laps->at == laps->count) {
        laps->count++;
        laps->least = realloc(laps->least, laps->count * sizeof(double));
        if (!laps->least)
            die("no memory", "laps");
        laps->least[laps->at] = lap;
    }
    if (lap < laps->least[laps->at])
        laps->least[laps->at] = lap;
    laps->at++;
    laps->since = now();
}

static double laps_sum(const struct laps *laps)
{
    double sum = 0;
    for (size_t i = 0; i < laps->count; i++)
        sum += laps->least[i];
    return sum;
}

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

/* Elements of 4 bits are left out: they would have to be spread first. */
static bool is_coded(enum dtype dtype)
{
    enum coding_kind kind;
    return dtype_bits(dtype) >= 8 && coding_kind_of(dtype, &kind);
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
        } else if (!is_coded(dtype)) {
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

static void plan_one(struct job *job, struct coding_stats *stats,
                     struct coding_plan *plan)
{
    if (coding_stats_reset(stats, job->dtype, job->columns))
        die("no memory", "statistics");
    coding_stats_add(stats, job->base, NULL, job->target, job->count);
    if (coding_plan_add(plan, stats, &job->index))
        die("no memory", "plan");
}

static void plan_all(struct bench *bench, struct coding_tables *tables)
{
    struct coding_stats *stats = coding_stats_new(bench->speed);
    struct coding_plan *plan = coding_plan_new();
    if (!stats || !plan)
        die("no memory", "plan");
    laps_begin(&bench->plan);
    for (size_t i = 0; i < bench->job_count; i++) {
        plan_one(&bench->job[i], stats, plan);
        laps_note(&bench->plan);
    }
    if (coding_plan_solve(plan, tables))
        die("no memory", "plan");
    laps_note(&bench->plan);
    for (size_t i = 0; i < bench->job_count; i++)
        bench->job[i].bits = coding_plan_coding(plan, bench->job[i].index,
                                                &bench->job[i].coding);
    coding_stats_free(stats);
    coding_plan_free(plan);
}

/* What a walk over the elements does: enc or dec is NULL. */
struct walk {
    struct coding_enc *enc;
    struct writer *wr;
    struct coding_dec *dec;
    struct reader *rd;
    uint8_t *out;
    struct laps *laps;
};

/* The coders that have a part in the segment that begins with element at of a
 * job: a mask of their kinds. */
static unsigned kinds_of(const struct bench *bench, size_t first, size_t at)
{
    size_t room = bench->segment_bytes;
    unsigned mask = 0;
    for (size_t i = first; i < bench->job_count && room; i++, at = 0) {
        const struct job *job = &bench->job[i];
        size_t bytes = dtype_bits(job->dtype) / 8;
        size_t size = (job->count - at) * bytes;
        if (room < bytes)
            break;
        mask |= 1u << job->coding.kind;
        room -= size < room ? size : room;
    }
    return mask;
}

static void begin(const struct bench *bench, const struct walk *walk,
                  size_t job, size_t at)
{
    if (walk->enc)
        coding_enc_begin(walk->enc);
    else if (coding_dec_begin(walk->dec, kinds_of(bench, job, at), walk->rd))
        die("does not begin", "stream");
}

static void finish(const struct walk *walk)
{
    if (walk->enc)
        coding_enc_finish(walk->enc, walk->wr);
    else if (coding_dec_finish(walk->dec))
        die("does not decode", "stream");
    laps_note(walk->laps);
}

static void do_piece(struct walk *walk, const struct job *job, size_t at,
                     size_t n)
{
    size_t bytes = dtype_bits(job->dtype) / 8;
    const uint8_t *base = job->base && coding_has_base(&job->coding)
                              ? job->base + at * bytes
                              : NULL;
    if (walk->dec) {
        coding_dec_piece(walk->dec, &job->coding, job->dtype, base, NULL,
                         walk->out, at, n);
        walk->out += n * bytes;
    } else if (coding_enc_piece(walk->enc, &job->coding, job->dtype, base, NULL,
                                job->target + at * bytes, at, n)) {
        die("segment too long", "encoder");
    }
}

static void walk_all(const struct bench *bench, struct walk *walk)
{
    size_t room = bench->segment_bytes;
    laps_begin(walk->laps);
    begin(bench, walk, 0, 0);
    for (size_t i = 0; i < bench->job_count; i++) {
        const struct job *job = &bench->job[i];
        size_t bytes = dtype_bits(job->dtype) / 8, at = 0;
        while (at < job->count) {
            if (room < bytes) {
                finish(walk);
                begin(bench, walk, i, at);
                room = bench->segment_bytes;
            }
            size_t n = room / bytes < CODING_PIECE_MAX ? room / bytes
                                                       : CODING_PIECE_MAX;
            n = job->count - at < n ? job->count - at : n;
            do_piece(walk, job, at, n);
            at += n;
            room -= n * bytes;
        }
    }
    finish(walk);
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

static size_t head_bytes(const struct bench *bench,
                         const struct coding_tables *tables, uint64_t *bits)
{
    struct writer wr;
    writer_init_heap(&wr, SIZE_MAX);
    coding_tables_write(tables, &wr);
    for (size_t i = 0; i < bench->job_count; i++) {
        coding_write(&bench->job[i].coding, bench->job[i].dtype, &wr);
        *bits += bench->job[i].bits;
    }
    if (writer_status(&wr))
        die("no memory", "heads");
    size_t size = wr.size;
    writer_deinit(&wr);
    return size;
}

/* One round: plans, encodes, decodes; returns the bytes of the stream. */
static size_t round_of(struct bench *bench, struct coding_tables *tables,
                       uint8_t *out)
{
    struct writer wr;
    struct reader rd;
    plan_all(bench, tables);
    struct coding_enc *enc = coding_enc_new(tables, bench->segment_bytes);
    struct coding_dec *dec = coding_dec_new(tables);
    if (!enc || !dec)
        die("no memory", "coders");
    writer_init_heap(&wr, SIZE_MAX);
    struct walk encode = {.enc = enc, .wr = &wr, .laps = &bench->enc};
    walk_all(bench, &encode);
    if (writer_status(&wr))
        die("no memory", "stream");
    reader_init(&rd, writer_view(&wr));
    struct walk decode = {
        .dec = dec, .rd = &rd, .out = out, .laps = &bench->dec};
    walk_all(bench, &decode);
    compare(bench, out);
    size_t size = wr.size;
    writer_deinit(&wr);
    coding_enc_free(enc);
    coding_dec_free(dec);
    return size;
}

static void measure(struct bench *bench, const char *label)
{
    struct coding_tables *tables = malloc(sizeof(*tables));
    size_t coded_raw = bench->raw - bench->same - bench->other;
    size_t stream = 0;
    uint64_t bits = 0;
    uint8_t *out = malloc(coded_raw + 1);
    if (!tables || !out)
        die("no memory", label);
    for (int r = 0; r < bench->repeats; r++)
        stream = round_of(bench, tables, out);
    size_t heads = head_bytes(bench, tables, &bits);
    double plan_s = laps_sum(&bench->plan), enc_s = laps_sum(&bench->enc),
           dec_s = laps_sum(&bench->dec);
    printf("{\"case\":\"%s\",\"raw_bytes\":%zu,\"raw_bytes_coded\":%zu,"
           "\"other_bytes\":%zu,\"tensors\":%zu,\"head_bytes\":%zu,"
           "\"stream_bytes\":%zu,\"estimate_bytes\":%zu,\"ratio\":%.4f,"
           "\"plan_mbps\":%.0f,\"encode_mbps\":%.0f,\"make_mbps\":%.0f,"
           "\"decode_mbps\":%.0f}\n",
           label, bench->raw, coded_raw, bench->other, bench->job_count, heads,
           stream, (size_t)(bits / 8),
           (double)(stream + heads) / (double)(bench->raw - bench->other),
           (double)coded_raw / plan_s / 1e6, (double)coded_raw / enc_s / 1e6,
           (double)coded_raw / (plan_s + enc_s) / 1e6,
           (double)coded_raw / dec_s / 1e6);
    free(tables);
    free(out);
}

static void run_pair(const char *base_path, const char *target_path,
                     const struct bench *options)
{
    struct file base = {0}, target = {0};
    struct bench bench = *options;
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

static bool read_speed(const char *name, enum coding_speed *out)
{
    static const char *const names[] = {"auto", "fast", "small"};
    for (unsigned i = 0; i < 3; i++)
        if (!strcmp(name, names[i])) {
            *out = (enum coding_speed)i;
            return true;
        }
    return false;
}

int main(int argc, char **argv)
{
    struct bench options = {.segment_bytes = 1 << 20, .repeats = 3};
    int opt;
    while ((opt = getopt(argc, argv, "b:n:s:")) != -1) {
        if (opt == 'n')
            options.repeats = atoi(optarg);
        else if (opt == 'b')
            options.segment_bytes = (size_t)atol(optarg);
        else if (opt != 's' || !read_speed(optarg, &options.speed))
            return 2;
    }
    if ((argc - optind) % 2 || argc == optind)
        return 2;
    for (; optind + 1 < argc; optind += 2)
        run_pair(argv[optind], argv[optind + 1], &options);
    return 0;
}
