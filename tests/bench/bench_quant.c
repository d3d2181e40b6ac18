/* Quantisers for NNC streams.
 *
 *     bench_quant [OPTION]... FILE...   a sequence of models, in closed loop
 *     bench_quant --speed               one tensor of Laplace values
 *
 * Closed loop: each file is coded as an NNC stream of differences to what the
 * stream before has made of the receiver's model, which starts as the first
 * file. All tensors of two and more dimensions have one qp; the others a step
 * of their own (RD_SHARE, 5 %), or one qp as well. Tensors that are not float
 * are left out;
 * those of 16 bits are widened.
 *
 *     --qp N         of matrices, density 2 (-44)
 *     --vector-qp N  of the others
 *     --lambda L     price of a bit, in squared steps (RD_LAMBDA)
 *     --dq W, --codebook W   no, yes, cost (cost)
 *     --low-rank N   at most N components as G and H beside the levels of what
 *                    is left (0: none)
 *     --full         the first file itself instead
 *
 * One JSON line: bytes of all streams, error of matrices as their root mean
 * square over that of the change from the first file to the last, the largest
 * error of the others over their own change, parameters a second. */
#include "codec/base/bytes.h"
#include "codec/base/writer.h"
#include "codec/lossless/narrow_float.h"
#include "codec/model/model.h"
#include "codec/nnc/nnc_enc.h"
#include "codec/nnc/nnc_lowrank.h"
#include "codec/quant/qp.h"
#include "codec/quant/rd_tensor.h"
#include "codec/quant/trellis.h"
#include "codec/quant/uniform.h"

#include <getopt.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct content {
    uint8_t *data;
    size_t size;
    struct source source;
    struct model *model;
};

/* What sender and receiver keep of a tensor. */
struct kept {
    const struct tensor *first; /* NULL: none to send */
    size_t count;
    float *now;
    int32_t *levels; /* of the last one sent; NULL: none was */
    uint32_t depth, low_depth;
    double vector_error; /* largest error over change */
};

struct options {
    int qp, vector_qp;
    bool has_vector_qp, full, speed;
    double lambda;
    unsigned low_rank;
    enum rd_choice dq, codebook;
};

struct sums {
    uint64_t bytes, vector_bytes, parameters;
    double error, change, choose_s, encode_s;
    unsigned dq, uniform, codebook, raw, low;
    uint64_t low_bytes;
};

static double now(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
    return (double)ts.tv_sec + 1e-9 * (double)ts.tv_nsec;
}

static void die(const char *what)
{
    fprintf(stderr, "bench_quant: %s\n", what);
    exit(2);
}

static void *need(size_t size)
{
    void *p = calloc(1, size + 1);
    if (!p)
        die("no memory");
    return p;
}

static void load(struct content *c, const char *path)
{
    FILE *f = fopen(path, "rb");
    if (!f)
        die(path);
    fseek(f, 0, SEEK_END);
    c->size = (size_t)ftell(f);
    rewind(f);
    c->data = need(c->size);
    if (fread(c->data, 1, c->size, f) != c->size)
        die(path);
    fclose(f);
    c->source = source_of_bytes(bytes_of(c->data, c->size));
    if (model_parse_file(&c->source, path, &c->model, NULL))
        die(path);
}

static void floats(const struct content *c, const struct tensor *t, float *out)
{
    const uint8_t *data = c->data + t->offset;
    struct narrow_float narrow;
    if (t->dtype == DTYPE_F32)
        memcpy(out, data, (size_t)t->size);
    else if (narrow_float_of(t->dtype, &narrow))
        for (uint64_t i = 0; i < t->size / 2; i++)
            out[i] = narrow_float_widen(&narrow, load_le16(data + 2 * i));
}

static const struct tensor *find(const struct content *c,
                                 const struct tensor *like)
{
    for (size_t i = 0; i < c->model->tensor_count; i++)
        if (tensor_same_name(&c->model->tensors[i], like) &&
            tensor_same_shape(&c->model->tensors[i], like))
            return &c->model->tensors[i];
    return NULL;
}

static struct rd_params params_of(const struct options *o,
                                  const struct tensor *t, const float *diff,
                                  const struct kept *k)
{
    bool matrix = t->rank >= 2;
    struct rd_params p = {
        .values = diff,
        .elem_count = k->count,
        .row_elems = matrix && t->shape[0] ? k->count / t->shape[0] : 1,
        .aim = matrix || o->has_vector_qp ? RD_QP : RD_SHARE,
        .qp = matrix ? o->qp : o->vector_qp,
        .density = 2,
        .lambda = o->lambda,
        .dq = o->dq,
        .codebook = o->codebook,
        .temporal = k->levels,
        .has_parent = !o->full};
    p.error = o->full ? RD_VECTOR_SHARE / 10 : RD_VECTOR_SHARE;
    return p;
}

static void note_kind(struct sums *s, const struct rd_result *r)
{
    s->dq += r->kind == NNC_UNIFORM && r->dq;
    s->uniform += r->kind == NNC_UNIFORM && !r->dq;
    s->codebook += r->kind == NNC_CODEBOOK;
    s->raw += r->kind == NNC_RAW_FLOAT;
}

static void receive(struct kept *k, const struct rd_result *r,
                    const int32_t *levels, const float *diff)
{
    double step = qp_step(r->qp, 2);
    for (size_t i = 0; i < k->count; i++) {
        int32_t level = levels[i];
        k->now[i] +=
            r->kind == NNC_RAW_FLOAT ? diff[i]
            : r->kind == NNC_CODEBOOK
                ? (float)(step *
                          r->codebook.values[(int64_t)r->codebook.zero + level])
                : (float)step * (float)level;
    }
}

/* Sends a low rank part of the difference where it pays; what is left is then
 * in diff. */
static void send_low(const struct options *o, struct nnc_enc *enc,
                     const struct tensor *t, float *diff, struct kept *k,
                     uint32_t id, struct sums *s)
{
    double step = qp_step(o->dq == RD_NO ? o->qp : o->qp + 3, 2);
    const struct rd_lowrank_params params = {
        .values = diff,
        .shape = t->shape,
        .shape_rank = t->rank,
        .step = step,
        .price = (o->lambda > 0 ? o->lambda : RD_LAMBDA) * step * step,
        .density = 2,
        .most = o->low_rank,
        .unit_bytes = NNC_LOWRANK_UNIT_BYTES + 2 * t->name_size};
    struct nnc_tensor weight = {.name = t->name,
                                .name_size = t->name_size,
                                .rank = t->rank,
                                .qp_density = 2,
                                .has_parent = true,
                                .parameter_id = 512 + id,
                                .put_node_depth = k->low_depth + 1};
    struct rd_lowrank low;
    uint64_t size;
    if (!o->low_rank || t->rank < 2 || o->full)
        return;
    memcpy(weight.shape, t->shape, t->rank * sizeof *t->shape);
    if (rd_lowrank_run(&params, &low))
        die("rd_lowrank_run");
    if (low.rank) {
        if (nnc_lowrank_put(enc, &weight, &low, &size))
            die("nnc_lowrank_put");
        s->low++;
        s->low_bytes += size;
        k->low_depth++;
        for (size_t i = 0; i < k->count; i++) {
            diff[i] -= low.product[i];
            k->now[i] += low.product[i];
        }
    }
    rd_lowrank_deinit(&low);
}

static void send_tensor(const struct options *o, struct rd_tensor *rd,
                        struct nnc_enc *enc, const struct content *c,
                        const struct tensor *t, struct kept *k, uint32_t id,
                        struct sums *s)
{
    float *values = need(k->count * sizeof *values);
    float *diff = need(k->count * sizeof *diff);
    int32_t *levels = need(k->count * sizeof *levels);
    floats(c, t, values);
    double change = 0;
    for (size_t i = 0; i < k->count; i++) {
        diff[i] = o->full ? values[i] : values[i] - k->now[i];
        change += (double)diff[i] * diff[i];
    }
    send_low(o, enc, t, diff, k, id, s);
    struct rd_params p = params_of(o, t, diff, k);
    struct rd_result r;
    double start = now();
    if (rd_tensor_run(rd, &p, levels, &r))
        die("rd_tensor_run");
    s->choose_s += now() - start;
    note_kind(s, &r);
    uint64_t one = k->count;
    struct nnc_tensor tensor = {.name = t->name,
                                .name_size = t->name_size,
                                .rank = t->rank ? t->rank : 1,
                                .elem_count = k->count,
                                .kind = r.kind,
                                .qp = r.qp,
                                .qp_density = 2,
                                .dq = r.dq,
                                .codebook = r.codebook,
                                .parameter_id = id,
                                .put_node_depth = o->full ? 0 : k->depth + 1,
                                .has_parent = !o->full,
                                .temporal = k->levels != NULL};
    memcpy(tensor.shape, t->rank ? t->shape : &one,
           tensor.rank * sizeof *tensor.shape);
    struct nnc_enc_data data = {
        .levels = levels, .raw = diff, .temporal = k->levels};
    struct nnc_tensor sent;
    start = now();
    if (nnc_enc_tensor(enc, &tensor, &data, &sent))
        die("nnc_enc_tensor");
    s->encode_s += now() - start;
    s->vector_bytes += t->rank < 2 ? sent.coded_size : 0;
    s->parameters += k->count;
    if (o->full)
        memset(k->now, 0, k->count * sizeof *k->now);
    receive(k, &r, levels, diff);
    double error = 0;
    for (size_t i = 0; i < k->count; i++)
        error += ((double)values[i] - (double)k->now[i]) *
                 ((double)values[i] - (double)k->now[i]);
    if (t->rank < 2 && change > 0)
        k->vector_error = fmax(k->vector_error, sqrt(error / change));
    if (sent.coded_size) {
        free(k->levels);
        k->levels = r.kind == NNC_RAW_FLOAT ? NULL : levels;
        k->depth++;
        if (!k->levels)
            free(levels);
    } else {
        free(levels);
    }
    free(values);
    free(diff);
}

static void send_model(const struct options *o, struct rd_tensor *rd,
                       const struct content *first, const struct content *c,
                       struct kept *kept, struct sums *s)
{
    struct writer wr;
    struct nnc_enc *enc;
    writer_init_heap(&wr, SIZE_MAX / 2);
    struct nnc_enc_params params = {
        .out = &wr, .profile = 1, .qp_density = 2, .incremental = !o->full};
    if (nnc_enc_new(&params, &enc))
        die("nnc_enc_new");
    for (size_t i = 0; i < first->model->tensor_count; i++) {
        if (!kept[i].first)
            continue;
        const struct tensor *t = find(c, kept[i].first);
        if (t)
            send_tensor(o, rd, enc, c, t, &kept[i], (uint32_t)i, s);
    }
    if (nnc_enc_finish(enc))
        die("nnc_enc_finish");
    s->bytes += writer_view(&wr).size;
    nnc_enc_free(enc);
    writer_deinit(&wr);
}

static void compare(const struct content *first, const struct content *last,
                    const struct kept *kept, struct sums *s)
{
    for (size_t i = 0; i < first->model->tensor_count; i++) {
        const struct kept *k = &kept[i];
        const struct tensor *t = k->first ? find(last, k->first) : NULL;
        if (!t || t->rank < 2)
            continue;
        float *a = need(k->count * 4), *b = need(k->count * 4);
        floats(first, k->first, a);
        floats(last, t, b);
        for (size_t j = 0; j < k->count; j++) {
            double change = (double)b[j] - (double)a[j];
            double error = (double)b[j] - (double)k->now[j];
            s->change += change * change;
            s->error += error * error;
        }
        free(a);
        free(b);
    }
}

static void run(const struct options *o, char **paths, int count)
{
    struct content first = {0}, last = {0};
    struct sums s = {0};
    struct rd_tensor *rd;
    if (rd_tensor_new(&rd))
        die("rd_tensor_new");
    load(&first, paths[0]);
    struct kept *kept = need(first.model->tensor_count * sizeof *kept);
    for (size_t i = 0; i < first.model->tensor_count; i++) {
        const struct tensor *t = &first.model->tensors[i];
        if (t->dtype != DTYPE_F32 && t->dtype != DTYPE_F16 &&
            t->dtype != DTYPE_BF16)
            continue;
        kept[i].first = t;
        kept[i].count = (size_t)tensor_elem_count(t);
        kept[i].now = need(kept[i].count * sizeof(float));
        floats(&first, t, kept[i].now);
    }
    if (o->full)
        send_model(o, rd, &first, &first, kept, &s);
    for (int i = 1; i < count && !o->full; i++) {
        load(&last, paths[i]);
        send_model(o, rd, &first, &last, kept, &s);
        if (i + 1 == count)
            compare(&first, &last, kept, &s);
        free(last.data);
        model_free(last.model);
    }
    double vector_error = 0;
    for (size_t i = 0; i < first.model->tensor_count; i++) {
        vector_error = fmax(vector_error, kept[i].vector_error);
        free(kept[i].now);
        free(kept[i].levels);
    }
    printf("{\"qp\": %d, \"lambda\": %g, \"bytes\": %llu, "
           "\"vector_bytes\": %llu, \"error\": %.4f, "
           "\"vector_error\": %.4f, \"dq\": %u, \"uniform\": %u, "
           "\"codebook\": %u, \"raw\": %u, \"low\": %u, "
           "\"low_bytes\": %llu, \"choose_mps\": %.2f, "
           "\"encode_mps\": %.2f}\n",
           o->qp, o->lambda, (unsigned long long)s.bytes,
           (unsigned long long)s.vector_bytes,
           s.change > 0 ? sqrt(s.error / s.change) : 0, vector_error, s.dq,
           s.uniform, s.codebook, s.raw, s.low, (unsigned long long)s.low_bytes,
           (double)s.parameters / s.choose_s / 1e6,
           (double)s.parameters / s.encode_s / 1e6);
    rd_tensor_free(rd);
    free(kept);
    free(first.data);
    model_free(first.model);
}

#define SPEED_COUNT ((size_t)1 << 20)

static uint64_t next(uint64_t *x)
{
    *x ^= *x << 13;
    *x ^= *x >> 7;
    return *x ^= *x << 17;
}

static double seconds_of(struct trellis *trellis, struct level_cost *cost,
                         const struct level_input *in, int32_t *levels)
{
    double least = HUGE_VAL;
    for (int i = 0; i < 5; i++) {
        double start = now();
        if (!trellis)
            uniform_choose(in, cost, levels);
        else if (trellis_run(trellis, in, levels))
            die("trellis_run");
        least = fmin(least, now() - start);
    }
    return least;
}

static void speed(void)
{
    static const double steps[] = {0.05, 0.2, 1, 4};
    float *values = need(SPEED_COUNT * sizeof *values);
    int32_t *levels = need(SPEED_COUNT * sizeof *levels);
    struct level_cost *cost = need(sizeof *cost);
    struct trellis *trellis;
    uint64_t x = 88172645463325252u;
    if (trellis_new(&trellis))
        die("no memory");
    for (size_t i = 0; i < SPEED_COUNT; i++) {
        double u = (double)(next(&x) >> 11) / 9007199254740992.0;
        values[i] = (float)(next(&x) & 1 ? log(1 - u) : -log(1 - u));
    }
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
        struct level_input in = {.values = values,
                                 .count = SPEED_COUNT,
                                 .row_elems = 1024,
                                 .step = steps[i],
                                 .limit = HUGE_VAL};
        double square = seconds_of(trellis, cost, &in, levels);
        in.lambda = RD_LAMBDA;
        double uniform = seconds_of(NULL, cost, &in, levels);
        in.lambda = 3 * RD_LAMBDA;
        double rate = seconds_of(trellis, cost, &in, levels);
        printf("{\"step\": %g, \"trellis_mps\": %.2f, "
               "\"trellis_rate_mps\": %.2f, \"uniform_rate_mps\": "
               "%.2f}\n",
               steps[i], (double)SPEED_COUNT / square / 1e6,
               (double)SPEED_COUNT / rate / 1e6,
               (double)SPEED_COUNT / uniform / 1e6);
    }
    trellis_free(trellis);
    free(cost);
    free(values);
    free(levels);
}

static enum rd_choice choice_of(const char *word)
{
    return !strcmp(word, "no")    ? RD_NO
           : !strcmp(word, "yes") ? RD_YES
                                  : RD_BY_COST;
}

int main(int argc, char **argv)
{
    static const struct option names[] = {
        {"qp", required_argument, NULL, 'q'},
        {"vector-qp", required_argument, NULL, 'v'},
        {"lambda", required_argument, NULL, 'l'},
        {"dq", required_argument, NULL, 'd'},
        {"codebook", required_argument, NULL, 'c'},
        {"low-rank", required_argument, NULL, 'r'},
        {"full", no_argument, NULL, 'f'},
        {"speed", no_argument, NULL, 's'},
        {NULL, 0, NULL, 0}};
    struct options o = {.qp = -44, .lambda = RD_LAMBDA};
    int c;
    while ((c = getopt_long(argc, argv, "", names, NULL)) != -1) {
        if (c == 'q')
            o.qp = atoi(optarg);
        else if (c == 'v')
            o.vector_qp = atoi(optarg), o.has_vector_qp = true;
        else if (c == 'l')
            o.lambda = atof(optarg);
        else if (c == 'd')
            o.dq = choice_of(optarg);
        else if (c == 'c')
            o.codebook = choice_of(optarg);
        else if (c == 'r')
            o.low_rank = (unsigned)atoi(optarg);
        else if (c == 'f')
            o.full = true;
        else if (c == 's')
            o.speed = true;
        else
            return 2;
    }
    if (o.speed)
        speed();
    else if (optind < argc)
        run(&o, argv + optind, argc - optind);
    else
        die("no files");
    return 0;
}
