/* Measures low rank predictions alone: for each pair of tensors of two
 * safetensors files the rank, the bytes of factors, and the estimated bytes of
 * today's float coder without and with the prediction; then totals.
 *
 *   bench_lowrank [-r RANK_MAX] [-e EFFORT] [-n REPEATS] [-q] [-S] BASE
 * TARGET...
 *
 * -S leaves row scales of int8 away.
 *
 * Tensors are matched by name and size. Types that the float coder does not
 * take are estimated by the fit itself and listed apart. */
#include "codec/lossless/factors.h"
#include "codec/lossless/fast.h"
#include "codec/lossless/lowrank.h"
#include "codec/lossless/row_scale.h"

#include "tests/bench/tensor_file.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

struct job {
    const char *name;
    enum dtype dtype;
    const uint8_t *base, *target;
    size_t count;
    uint64_t shape[8];
    uint32_t shape_rank;
    struct lowrank fit;
    uint8_t *pred;
    size_t factor_bytes;
    size_t plain_at, low_at;
    bool use_low;
    int32_t *row_scale; /* of int8 with scales beside it */
    size_t scale_bytes;
};

static int repeats = 1;
static unsigned effort;
static bool quiet, scales = true;

/* Scales of an int8 tensor's rows: the ratio of those both files have under its
 * name with "_scale" or ".scale", else the best ones. */
static void find_scales(struct job *job, const struct file *base,
                        const struct file *target)
{
    char name[256];
    enum dtype a, b;
    struct bytes old, new;
    size_t rows = (size_t)job->shape[0];
    snprintf(name, sizeof(name), "%s_scale", job->name);
    if (!json_object_get(base->header, name))
        snprintf(name, sizeof(name), "%s.scale", job->name);
    json_t *x = json_object_get(base->header, name);
    json_t *y = json_object_get(target->header, name);
    job->row_scale = calloc(rows, sizeof(*job->row_scale));
    if (x && y && tensor_of(base, x, &a, &old) &&
        tensor_of(target, y, &b, &new) && old.size == 4 * rows &&
        new.size == 4 * rows && !getenv("BENCH_FIT_SCALES")) {
        for (size_t i = 0; i < rows; i++) {
            float p, q;
            memcpy(&p, old.data + 4 * i, 4);
            memcpy(&q, new.data + 4 * i, 4);
            job->row_scale[i] = row_scale_near((double)p / (double)q);
        }
    } else {
        struct source from = source_of_bytes(bytes_of(job->base, job->count));
        struct source to = source_of_bytes(bytes_of(job->target, job->count));
        struct lowrank_input in = {.base = &from,
                                   .target = &to,
                                   .from = DTYPE_I8,
                                   .dtype = DTYPE_I8,
                                   .rows = rows,
                                   .columns = (uint32_t)(job->count / rows)};
        if (row_scale_fit(&in, job->row_scale))
            die("scales", name);
    }
    struct writer wr;
    writer_init_heap(&wr, FACTORS_BYTES_MAX(rows + 1));
    if (row_scale_write(rows, false, job->row_scale, &wr))
        die("scales", name);
    job->scale_bytes = wr.size;
    writer_deinit(&wr);
}

static size_t collect(struct job *jobs, const struct file *base,
                      const struct file *target)
{
    const char *name;
    json_t *info;
    size_t count = 0;
    json_object_foreach(target->header, name, info)
    {
        struct bytes to, from = {0};
        enum dtype dtype, old;
        if (!tensor_of(target, info, &dtype, &to))
            continue;
        json_t *before = json_object_get(base->header, name);
        if (!before || !tensor_of(base, before, &old, &from) || old != dtype ||
            from.size != to.size)
            from.data = NULL;
        if (from.data && !memcmp(from.data, to.data, to.size))
            continue;
        struct job *job = &jobs[count++];
        *job = (struct job){.name = name,
                            .dtype = dtype,
                            .base = from.data,
                            .target = to.data,
                            .count = to.size / (dtype_bits(dtype) / 8)};
        json_t *shape = json_object_get(info, "shape");
        for (size_t i = 0; i < json_array_size(shape) && i < 8; i++)
            job->shape[job->shape_rank++] =
                (uint64_t)json_integer_value(json_array_get(shape, i));
        if (job->base && job->dtype == DTYPE_I8 && job->shape_rank > 1 &&
            scales)
            find_scales(job, base, target);
    }
    return count;
}

/* Fits and predicts; adds to the times. */
static void fit_job(struct job *job, unsigned rank_max, double *fit_s,
                    double *predict_s, double *factors_s)
{
    size_t size = job->count * (dtype_bits(job->dtype) / 8);
    struct source base = source_of_bytes(bytes_of(job->base, size));
    struct source target = source_of_bytes(bytes_of(job->target, size));
    struct lowrank_input in = {
        .base = &base, .target = &target, .from = job->dtype};
    in.dtype = job->dtype;
    in.effort = effort;
    in.row_scale = job->row_scale;
    in.scale_shift = PREDICT_INT_SCALE_SHIFT;
    if (!job->base ||
        !lowrank_view(job->shape, job->shape_rank, &in.rows, &in.columns))
        return;
    double best = 1e9, t;
    for (int r = 0; r < repeats; r++) {
        lowrank_deinit(&job->fit);
        t = now();
        if (lowrank_fit(&in, rank_max, &job->fit))
            die("no fit", job->name);
        best = now() - t < best ? now() - t : best;
    }
    *fit_s += best;
    if (!job->fit.rank)
        return;
    struct writer wr;
    writer_init_heap(&wr, 4 << 20);
    if (factors_write(job->fit.rank, in.rows, in.columns, job->fit.u,
                      job->fit.v, &wr))
        die("factors", job->name);
    job->factor_bytes = wr.size;
    int16_t *u = malloc(in.rows * job->fit.rank * 2);
    int16_t *v = malloc((size_t)in.columns * job->fit.rank * 2);
    best = 1e9;
    for (int r = 0; r < repeats; r++) {
        struct reader rd;
        reader_init(&rd, writer_view(&wr));
        t = now();
        if (factors_read(&rd, job->fit.rank, in.rows, in.columns, u, v))
            die("factors", job->name);
        best = now() - t < best ? now() - t : best;
    }
    *factors_s += best;
    free(u);
    free(v);
    writer_deinit(&wr);
    job->pred = malloc(size);
    uint8_t *lost = malloc(job->count);
    struct predict p = lowrank_predict(&job->fit, job->dtype, job->dtype);
    p.row_scale = job->row_scale;
    p.scale_shift = PREDICT_INT_SCALE_SHIFT;
    uint32_t *pairs = malloc(predict_pairs_count(&p) * sizeof(*pairs));
    predict_pairs(&p, pairs);
    p.pairs = pairs;
    best = 1e9;
    for (int r = 0; r < repeats; r++) {
        t = now();
        predict_elems(&p, 0, job->base, job->count, job->pred, lost);
        best = now() - t < best ? now() - t : best;
    }
    *predict_s += best;
    free(lost);
    free(pairs);
}

static size_t plan_one(struct fast_plan *plan, struct fast_stats *stats,
                       const struct job *job, const uint8_t *base)
{
    size_t index;
    fast_stats_reset(stats, job->dtype);
    fast_stats_add(stats, base, job->target, job->count);
    if (fast_plan_add(plan, stats, &index))
        exit(2);
    return index;
}

static uint64_t bits_at(const struct fast_plan *plan, size_t index)
{
    struct fast_coding coding;
    return fast_plan_coding(plan, index, &coding);
}

/* Decides which jobs use low rank, then plans anew with what was decided. */
static uint64_t plan_all(struct job *jobs, size_t count, uint64_t *plain)
{
    uint64_t total = 0;
    struct fast_tables tables;
    struct fast_stats *stats = fast_stats_new();
    for (int round = 0; round < 3; round++) {
        struct fast_plan *plan = fast_plan_new();
        total = 0;
        for (size_t i = 0; i < count; i++) {
            struct job *job = &jobs[i];
            if (!fast_dtype_ok(job->dtype))
                continue;
            bool low = job->pred && (round == 1 || job->use_low);
            if (!low || round < 2)
                job->plain_at = plan_one(plan, stats, job, job->base);
            if (low && round)
                job->low_at = plan_one(plan, stats, job, job->pred);
        }
        if (fast_plan_solve(plan, &tables))
            exit(2);
        for (size_t i = 0; i < count; i++) {
            struct job *job = &jobs[i];
            if (!fast_dtype_ok(job->dtype))
                continue;
            bool low = job->pred && round && (round == 1 || job->use_low);
            uint64_t low_bits =
                low ? bits_at(plan, job->low_at) + 8 * job->factor_bytes : 0;
            uint64_t bits =
                low && round == 2 ? 0 : bits_at(plan, job->plain_at);
            if (round == 1)
                job->use_low = low && low_bits < bits;
            if (round == 1 && !quiet && job->pred)
                printf("%-28s %6llu x %-6u rank %2u shift %4d factors %7zu  "
                       "%9llu -> %9llu  (fit said %llu -> %llu)\n",
                       job->name, (unsigned long long)job->fit.rows,
                       job->fit.columns, job->fit.rank, job->fit.shift,
                       job->factor_bytes, (unsigned long long)bits / 8,
                       (unsigned long long)low_bits / 8,
                       (unsigned long long)job->fit.plain_bits / 8,
                       (unsigned long long)job->fit.bits / 8);
            total += job->use_low && low ? low_bits : bits;
        }
        if (!round)
            *plain = total;
        fast_plan_free(plan);
    }
    fast_stats_free(stats);
    return total;
}

static void run_pair(const char *base_path, const char *target_path,
                     unsigned rank_max)
{
    struct file base, target;
    file_load(&base, base_path);
    file_load(&target, target_path);
    struct job *jobs =
        calloc(json_object_size(target.header) + 1, sizeof(*jobs));
    size_t count = collect(jobs, &base, &target), size = 0, predicted = 0;
    size_t factor_bytes = 0, other_plain = 0, other_low = 0, factors = 0;
    double fit_s = 0, predict_s = 0, factors_s = 0;
    for (size_t i = 0; i < count; i++) {
        struct job *job = &jobs[i];
        size_t bytes = job->count * (dtype_bits(job->dtype) / 8);
        uint64_t rows;
        uint32_t columns;
        fit_job(job, rank_max, &fit_s, &predict_s, &factors_s);
        if (lowrank_view(job->shape, job->shape_rank, &rows, &columns))
            size += bytes;
        factors += job->fit.rank ? factors_count(job->fit.rank, job->fit.rows,
                                                 job->fit.columns)
                                 : 0;
        predicted += job->fit.rank ? bytes : 0;
        factor_bytes += job->factor_bytes;
        if (!fast_dtype_ok(job->dtype)) {
            other_plain += job->fit.plain_bits / 8;
            other_low += job->fit.bits / 8 + job->scale_bytes;
            if (!quiet && job->fit.plain_bits)
                printf("%-28s rank %2u shift %4d factors %7zu (fit said "
                       "%llu -> %llu)\n",
                       job->name, job->fit.rank, job->fit.shift,
                       job->factor_bytes,
                       (unsigned long long)job->fit.plain_bits / 8,
                       (unsigned long long)job->fit.bits / 8);
        }
    }
    uint64_t plain, total = plan_all(jobs, count, &plain);
    printf("%s: plain %llu low %llu (%.3f) factors %zu, %.2f bits each; "
           "others %zu -> %zu; fit %.0f MB/s, predict %.0f MB/s, factors "
           "%.1f ns each\n",
           strrchr(target_path, '/') ? strrchr(target_path, '/') + 1
                                     : target_path,
           (unsigned long long)plain / 8, (unsigned long long)total / 8,
           (double)total / (double)(plain ? plain : 1), factor_bytes,
           factors ? 8.0 * (double)factor_bytes / (double)factors : 0,
           other_plain, other_low, (double)size / fit_s / 1e6,
           (double)predicted / predict_s / 1e6,
           1e9 * factors_s / (double)(factors ? factors : 1));
    for (size_t i = 0; i < count; i++) {
        lowrank_deinit(&jobs[i].fit);
        free(jobs[i].pred);
        free(jobs[i].row_scale);
    }
    free(jobs);
    free(base.data);
    free(target.data);
    json_decref(base.header);
    json_decref(target.header);
}

int main(int argc, char **argv)
{
    unsigned rank_max = 64;
    int opt;
    while ((opt = getopt(argc, argv, "r:n:e:qS")) != -1) {
        if (opt == 'r')
            rank_max = (unsigned)atoi(optarg);
        else if (opt == 'n')
            repeats = atoi(optarg);
        else if (opt == 'e')
            effort = (unsigned)atoi(optarg);
        else if (opt == 'q')
            quiet = true;
        else if (opt == 'S')
            scales = false;
        else
            return 2;
    }
    for (; optind + 1 < argc; optind += 2)
        run_pair(argv[optind], argv[optind + 1], rank_max);
    return 0;
}
