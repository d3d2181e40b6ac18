/* Measures the narrow coder alone: bytes and speed over pairs of safetensors
 * files, one JSON line a pair.
 *
 *   bench_narrow [-n REPEATS] [-p] [-r RANK] [-s SEGMENT_BYTES] BASE|-
 * TARGET...
 *
 * A base of - measures coding without one; -p decodes in plain C. Tensors are
 * matched by name and size; those of wider types, and unchanged ones, count 0
 * bytes and are left out of raw_bytes_coded. With -r, matrices are predicted by
 * the base and the best approximation of that rank of the change, in floating
 * point, where this pays; factor_bytes says what its factors might take, at 9
 * bits each. Every stream is decoded and compared. */
#include "codec/base/bytes.h"
#include "codec/lossless/narrow.h"

#include "tests/bench/tensor_file.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

struct job {
    enum dtype dtype;
    const uint8_t *base; /* the prediction */
    const uint8_t *lost; /* what rounding it lost; NULL */
    const uint8_t *target;
    size_t count;
    size_t rows, columns; /* of a matrix; 0 */
    size_t index;
    uint64_t bits;
    struct narrow_coding coding;
};

struct bench {
    struct job *job;
    size_t job_count;
    size_t raw, same, other, factors;
    unsigned rank;
    bool plain;
    size_t segment_bytes;
    int repeats;
};

static void shape_of(json_t *info, struct job *job)
{
    json_t *shape = json_object_get(info, "shape");
    size_t count = json_array_size(shape);
    size_t rows = (size_t)json_integer_value(json_array_get(shape, 0));
    if (count < 2 || !rows)
        return;
    job->rows = rows;
    job->columns = job->count / rows;
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
        } else if (!narrow_dtype_ok(dtype)) {
            bench->other += to.size;
        } else {
            bench->job[bench->job_count++] =
                (struct job){.dtype = dtype,
                             .base = from.data,
                             .target = to.data,
                             .count = to.size / narrow_elem_bytes(dtype)};
            shape_of(info, &bench->job[bench->job_count - 1]);
        }
    }
    qsort(bench->job, bench->job_count, sizeof(*bench->job), by_place);
}

/* Values of elements, and back. Only floats of 16 bits and I8 are predicted. */
static int exponent_of(enum dtype dtype, double v)
{
    int e = 0;
    if (dtype == DTYPE_I8)
        return 0;
    (void)frexp(v, &e); /* v = m 2^e, m from 1/2 */
    int least = dtype == DTYPE_BF16 ? -125 : -13;
    return (e > least ? e : least) - (dtype == DTYPE_BF16 ? 8 : 11);
}

static double value_of(enum dtype dtype, const uint8_t *p)
{
    if (dtype == DTYPE_I8)
        return (int8_t)*p;
    uint32_t bits = load_le16(p), mant = dtype == DTYPE_BF16 ? 7 : 10;
    uint32_t e = (bits & 0x7fff) >> mant, m = bits & ((1u << mant) - 1);
    int bias = dtype == DTYPE_BF16 ? 127 : 15;
    double v = ldexp((double)(e ? m | 1u << mant : m),
                     (int)(e ? e : 1) - bias - (int)mant);
    return bits >> 15 ? -v : v;
}

/* Stores v rounded; returns which eighth of a step that lost. */
static uint8_t store_value(enum dtype dtype, double v, uint8_t *p)
{
    int step = exponent_of(dtype, v);
    double units = ldexp(v, -step), whole = nearbyint(units);
    double level = floor((units - whole + 0.5) * 8);
    if (dtype == DTYPE_I8) {
        whole = whole < -127 ? -127 : whole > 127 ? 127 : whole;
        *p = (uint8_t)(int8_t)whole;
    } else {
        int mant = dtype == DTYPE_BF16 ? 7 : 10;
        int bias = dtype == DTYPE_BF16 ? 127 : 15;
        uint32_t m = (uint32_t)fabs(whole), e = (uint32_t)(step + bias + mant);
        /* A mantissa without its leading one belongs to exponent 0; one that
         * rounding carried over adds to the exponent. */
        uint32_t bits = m + ((e - 1) << mant);
        store_le16(p, (uint16_t)(bits | (v < 0 ? 0x8000u : 0)));
    }
    return (uint8_t)(level < 0 ? 0 : level > 7 ? 7 : level);
}

static void orthonormalise(double *u, size_t n, unsigned rank)
{
    for (unsigned i = 0; i < rank; i++) {
        double *a = u + i * n, sum = 0;
        for (unsigned j = 0; j < i; j++) {
            double dot = 0;
            for (size_t k = 0; k < n; k++)
                dot += a[k] * u[j * n + k];
            for (size_t k = 0; k < n; k++)
                a[k] -= dot * u[j * n + k];
        }
        for (size_t k = 0; k < n; k++)
            sum += a[k] * a[k];
        double by = sum > 1e-300 ? 1 / sqrt(sum) : 0;
        for (size_t k = 0; k < n; k++)
            a[k] *= by;
    }
}

/* to = d from, or its transpose: rank vectors each. */
static void multiply(const double *d, size_t rows, size_t columns,
                     const double *from, double *to, unsigned rank,
                     bool transpose)
{
    size_t in = transpose ? rows : columns, out = transpose ? columns : rows;
    memset(to, 0, rank * out * sizeof(*to));
    for (unsigned i = 0; i < rank; i++)
        for (size_t r = 0; r < rows; r++)
            for (size_t c = 0; c < columns; c++) {
                size_t a = transpose ? r : c, b = transpose ? c : r;
                to[i * out + b] += d[r * columns + c] * from[i * in + a];
            }
}

/* The change d becomes its approximation of the rank. */
static void approximate(double *d, size_t rows, size_t columns, unsigned rank)
{
    double *u = calloc(rank * rows, sizeof(*u));
    double *v = calloc(rank * columns, sizeof(*v));
    uint32_t seed = 1;
    for (size_t i = 0; i < rank * columns; i++)
        v[i] = (double)(seed = seed * 1664525 + 1013904223) / 4294967296.0 - .5;
    for (unsigned round = 0; round < 3; round++) {
        multiply(d, rows, columns, v, u, rank, false);
        orthonormalise(u, rows, rank);
        multiply(d, rows, columns, u, v, rank, true);
    }
    memset(d, 0, rows * columns * sizeof(*d));
    for (unsigned i = 0; i < rank; i++)
        for (size_t r = 0; r < rows; r++)
            for (size_t c = 0; c < columns; c++)
                d[r * columns + c] += u[i * rows + r] * v[i * columns + c];
    free(u);
    free(v);
}

static uint64_t estimate(const struct job *job, const uint8_t *pred,
                         const uint8_t *lost)
{
    struct narrow_stats *stats = narrow_stats_new();
    narrow_stats_reset(stats, job->dtype);
    narrow_stats_add(stats, pred, lost, job->target, job->count);
    uint64_t bits = narrow_plan_estimate(stats);
    narrow_stats_free(stats);
    return bits;
}

static void predict(struct bench *bench, struct job *job)
{
    size_t bytes = narrow_elem_bytes(job->dtype);
    double *d = malloc(job->count * sizeof(*d));
    uint8_t *pred = malloc(job->count * bytes), *lost = malloc(job->count);
    for (size_t i = 0; i < job->count; i++)
        d[i] = value_of(job->dtype, job->target + i * bytes) -
               value_of(job->dtype, job->base + i * bytes);
    approximate(d, job->rows, job->columns, bench->rank);
    for (size_t i = 0; i < job->count; i++)
        lost[i] = store_value(
            job->dtype, value_of(job->dtype, job->base + i * bytes) + d[i],
            pred + i * bytes);
    size_t factors = bench->rank * (job->rows + job->columns) * 9u / 8u;
    if (estimate(job, pred, lost) + factors * 8 <
        estimate(job, job->base, NULL)) {
        bench->factors += factors;
        job->base = pred;
        job->lost = lost;
    } else {
        free(pred);
        free(lost);
    }
    free(d);
}

static void predict_all(struct bench *bench)
{
    for (size_t i = 0; i < bench->job_count; i++) {
        struct job *job = &bench->job[i];
        bool known = job->dtype == DTYPE_F16 || job->dtype == DTYPE_BF16 ||
                     job->dtype == DTYPE_I8;
        if (known && job->base && job->rows > bench->rank &&
            job->columns > bench->rank)
            predict(bench, job);
    }
}

static void free_jobs(struct bench *bench)
{
    for (size_t i = 0; i < bench->job_count; i++)
        if (bench->job[i].lost) {
            free((void *)(uintptr_t)bench->job[i].base);
            free((void *)(uintptr_t)bench->job[i].lost);
        }
    free(bench->job);
}

static void plan_all(struct bench *bench, struct narrow_tables *tables)
{
    struct narrow_stats *stats = narrow_stats_new();
    struct narrow_plan *plan = narrow_plan_new();
    for (size_t i = 0; i < bench->job_count; i++) {
        struct job *job = &bench->job[i];
        narrow_stats_reset(stats, job->dtype);
        narrow_stats_add(stats, job->base, job->lost, job->target, job->count);
        if (narrow_plan_add(plan, stats, &job->index))
            exit(2);
    }
    if (narrow_plan_solve(plan, tables))
        exit(2);
    for (size_t i = 0; i < bench->job_count; i++)
        bench->job[i].bits = narrow_plan_coding(plan, bench->job[i].index,
                                                &bench->job[i].coding);
    narrow_stats_free(stats);
    narrow_plan_free(plan);
}

/* Walks the elements in segments; enc or dec is NULL. */
static void walk(struct bench *bench, struct narrow_enc *enc, struct writer *wr,
                 struct narrow_dec *dec, struct reader *rd, uint8_t *out)
{
    size_t room = bench->segment_bytes;
    if (dec && narrow_dec_begin(dec, rd))
        die("does not begin", "stream");
    for (size_t i = 0; i < bench->job_count; i++) {
        const struct job *job = &bench->job[i];
        size_t bytes = narrow_elem_bytes(job->dtype), at = 0;
        while (at < job->count) {
            if (room < bytes) {
                if (enc)
                    narrow_enc_finish(enc, wr);
                else if (narrow_dec_finish(dec) || narrow_dec_begin(dec, rd))
                    die("does not decode", "stream");
                room = bench->segment_bytes;
            }
            size_t n =
                job->count - at < room / bytes ? job->count - at : room / bytes;
            const uint8_t *base = job->base ? job->base + at * bytes : NULL;
            const uint8_t *lost = job->lost ? job->lost + at : NULL;
            if (!enc)
                narrow_dec_piece(dec, &job->coding, job->dtype, base, lost, out,
                                 n);
            else if (narrow_enc_piece(enc, &job->coding, job->dtype, base, lost,
                                      job->target + at * bytes, n))
                die("segment too long", "encoder");
            at += n;
            room -= n * bytes;
            out += dec ? n * bytes : 0;
        }
    }
    if (enc)
        narrow_enc_finish(enc, wr);
    else if (narrow_dec_finish(dec))
        die("does not decode", "stream");
}

static void compare(const struct bench *bench, const uint8_t *out)
{
    for (size_t i = 0; i < bench->job_count; i++) {
        size_t size =
            bench->job[i].count * narrow_elem_bytes(bench->job[i].dtype);
        if (memcmp(out, bench->job[i].target, size))
            die("comes back changed", "tensor");
        out += size;
    }
}

static void measure(struct bench *bench, const char *label)
{
    struct narrow_tables tables;
    size_t coded_raw = bench->raw - bench->same - bench->other;
    double plan_s = 1e9, enc_s = 1e9, dec_s = 1e9, t;
    size_t stream = 0, heads = 0, full = 0;
    uint64_t bits = 0;
    uint8_t *out = malloc(coded_raw + 1);
    for (int r = 0; r < bench->repeats; r++) {
        t = now();
        plan_all(bench, &tables);
        plan_s = now() - t < plan_s ? now() - t : plan_s;
        struct narrow_enc *enc = narrow_enc_new(&tables, bench->segment_bytes);
        struct narrow_dec *dec = narrow_dec_new(&tables);
        if (bench->plain)
            narrow_dec_plain(dec);
        struct writer wr;
        writer_init_heap(&wr, coded_raw * 3 + 1000);
        t = now();
        walk(bench, enc, &wr, NULL, NULL, NULL);
        enc_s = now() - t < enc_s ? now() - t : enc_s;
        struct reader rd;
        reader_init(&rd, writer_view(&wr));
        t = now();
        walk(bench, NULL, NULL, dec, &rd, out);
        dec_s = now() - t < dec_s ? now() - t : dec_s;
        compare(bench, out);
        stream = wr.size;
        narrow_enc_free(enc);
        narrow_dec_free(dec);
        writer_deinit(&wr);
    }
    uint8_t buf[NARROW_TABLES_BYTES_MAX];
    struct writer wr;
    writer_init(&wr, buf, sizeof(buf));
    narrow_tables_write(&tables, &wr);
    size_t table_bytes = wr.size;
    for (size_t i = 0; i < bench->job_count; i++) {
        writer_init(&wr, buf, sizeof(buf));
        narrow_coding_write(&bench->job[i].coding, bench->job[i].dtype, &wr);
        heads += wr.size;
        full += bench->job[i].coding.mode == NARROW_FULL;
        bits += bench->job[i].bits;
    }
    size_t sum = stream + heads + table_bytes + bench->factors;
    printf("{\"case\":\"%s\",\"raw_bytes\":%zu,\"raw_bytes_coded\":%zu,"
           "\"other_bytes\":%zu,\"tensors\":%zu,\"full\":%zu,\"tables\":%u,"
           "\"table_bytes\":%zu,\"factor_bytes\":%zu,\"coding_bytes\":%zu,"
           "\"stream_bytes\":%zu,"
           "\"sum_bytes\":%zu,\"estimate_bytes\":%zu,\"ratio\":%.4f,\"plan_"
           "mbps\":%.0f,"
           "\"encode_mbps\":%.0f,\"decode_mbps\":%.0f}\n",
           label, bench->raw, coded_raw, bench->other, bench->job_count, full,
           tables.count, table_bytes, bench->factors, heads, stream, sum,
           (size_t)(bits / 8),
           (double)sum / (double)(bench->raw - bench->other),
           (double)coded_raw / plan_s / 1e6, (double)coded_raw / enc_s / 1e6,
           (double)coded_raw / dec_s / 1e6);
    free(out);
}

static void run_pair(const char *base_path, const char *target_path,
                     size_t segment_bytes, int repeats, unsigned rank,
                     bool plain)
{
    struct file base = {0}, target = {0};
    struct bench bench = {.segment_bytes = segment_bytes,
                          .repeats = repeats,
                          .rank = rank,
                          .plain = plain};
    bool has_base = strcmp(base_path, "-") != 0;
    if (has_base)
        file_load(&base, base_path);
    file_load(&target, target_path);
    collect(&bench, has_base ? &base : NULL, &target);
    if (rank)
        predict_all(&bench);
    measure(&bench, target_path);
    free_jobs(&bench);
    free(base.data);
    free(target.data);
    json_decref(base.header);
    json_decref(target.header);
}

int main(int argc, char **argv)
{
    size_t segment_bytes = 1 << 20;
    int repeats = 3, opt;
    unsigned rank = 0;
    bool plain = false;
    while ((opt = getopt(argc, argv, "n:pr:s:")) != -1) {
        if (opt == 'n')
            repeats = atoi(optarg);
        else if (opt == 'p')
            plain = true;
        else if (opt == 'r')
            rank = (unsigned)atoi(optarg);
        else if (opt == 's')
            segment_bytes = (size_t)atol(optarg);
        else
            return 2;
    }
    for (; optind + 1 < argc; optind += 2)
        run_pair(argv[optind], argv[optind + 1], segment_bytes, repeats, rank,
                 plain);
    return 0;
}
