/* The lattice coder, and updates that use it, over a sequence of models that is
 * quantised in closed loop with nothing but steps:
 *
 *     bench_lattice [--qp N | --rms R] [--round X] [--far] FILE...
 *
 * Tensors of two or more dimensions get the step of qp N (density 2), or one of
 * R times the root mean square of the first change (1); a level is the distance
 * in steps plus X (0.5: the nearest), rounded down. The others get 2^k such
 * that the error is 5 % of their change. Each file is quantised against what
 * the one before became. --far: also the update from the first to the last.
 *
 * One JSON line a step and one for all: bytes of the update and of the coder
 * alone, bits an element of both kinds beside the entropy of levels given their
 * neighbours, error, speed. */
#include "codec/lossless/lattice.h"
#include "codec/model/model.h"
#include "codec/update/update_dec.h"
#include "codec/update/update_enc.h"

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

struct options {
    int qp;
    double rms, round;
    bool far, has_qp;
};

/* Of levels, given those left and above, 9 contexts. */
struct entropy {
    double counts[9][31], all;
};

struct sums {
    uint64_t update_bytes, header_bytes, coder_bytes, elems, vectors;
    struct entropy entropy[2]; /* vectors, matrices */
    double error, change, encode_s, decode_s, vector_error;
};

static double now(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
    return (double)ts.tv_sec + 1e-9 * (double)ts.tv_nsec;
}

static void die(const char *what)
{
    fprintf(stderr, "bench_lattice: %s\n", what);
    exit(2);
}

static void load(struct content *c, const char *path)
{
    FILE *f = fopen(path, "rb");
    if (!f)
        die(path);
    fseek(f, 0, SEEK_END);
    c->size = (size_t)ftell(f);
    rewind(f);
    c->data = malloc(c->size + 1);
    if (!c->data || fread(c->data, 1, c->size, f) != c->size)
        die(path);
    fclose(f);
    c->source = source_of_bytes(bytes_of(c->data, c->size));
    if (model_parse_file(&c->source, path, &c->model, NULL))
        die(path);
}

static const struct tensor *find(const struct content *c,
                                 const struct tensor *like)
{
    for (size_t i = 0; i < c->model->tensor_count; i++)
        if (tensor_same_name(&c->model->tensors[i], like) &&
            tensor_same_shape(&c->model->tensors[i], like) &&
            c->model->tensors[i].dtype == like->dtype)
            return &c->model->tensors[i];
    return NULL;
}

static bool is_matrix(const struct tensor *t)
{
    return t->rank >= 2;
}

static double value(const struct content *c, const struct tensor *t, size_t i)
{
    const uint8_t *at = c->data + t->offset;
    return lattice_value(t->dtype, dtype_bits(t->dtype) == 32
                                       ? load_le32(at + 4 * i)
                                       : load_le16(at + 2 * i));
}

static size_t elems(const struct tensor *t)
{
    return t->size / (dtype_bits(t->dtype) / 8);
}

static bool is_float(const struct tensor *t)
{
    return lattice_dtype_ok(t->dtype) && t->dtype != DTYPE_F64;
}

static double rms(const struct content *a, const struct tensor *f,
                  const struct content *b, const struct tensor *t)
{
    double sum = 0;
    size_t n = elems(t);
    for (size_t i = 0; i < n; i++) {
        double d = value(a, f, i) - value(b, t, i);
        sum += d * d;
    }
    return n ? sqrt(sum / (double)n) : 0;
}

/* The step of all matrices: R times the first change. */
static int qp_of(const struct content *a, const struct content *b, double r)
{
    double sum = 0, n = 0;
    for (size_t i = 0; i < b->model->tensor_count; i++) {
        const struct tensor *t = &b->model->tensors[i], *f = find(a, t);
        if (!f || !is_float(t) || !is_matrix(t))
            continue;
        size_t count = elems(t);
        double e = rms(a, f, b, t);
        sum += e * e * (double)count;
        n += (double)count;
    }
    return (int)floor(4 * log2(r * sqrt(sum / n)));
}

static void note(struct entropy *e, const int32_t *q, size_t n, size_t columns)
{
    for (size_t i = 0; i < n; i++) {
        int left = i ? abs(q[i - 1]) : 0;
        int up = columns && i >= columns ? abs(q[i - columns]) : 0;
        int v = q[i] < -15 ? -15 : q[i] > 15 ? 15 : q[i];
        left = left > 2 ? 2 : left;
        up = up > 2 ? 2 : up;
        e->counts[left * 3 + up][v + 15]++;
    }
    e->all += (double)n;
}

static double entropy_bits(const struct entropy *e)
{
    double bits = 0;
    for (unsigned c = 0; c < 9; c++) {
        double all = 0;
        for (unsigned v = 0; v < 31; v++)
            all += e->counts[c][v];
        for (unsigned v = 0; v < 31; v++)
            if (e->counts[c][v] > 0)
                bits += e->counts[c][v] * log2(all / e->counts[c][v]);
    }
    return bits;
}

static void check_stream(const struct lattice_coding *codings,
                         const struct content *prev, const struct content *c,
                         struct bytes coded, struct sums *s)
{
    static struct lattice_dec *dec;
    struct reader rd;
    uint8_t *out = malloc(c->size + 1);
    if (!dec)
        dec = lattice_dec_new();
    reader_init(&rd, coded);
    double start = now();
    if (!dec || !out || lattice_dec_begin(dec, &rd))
        die("stream");
    for (size_t i = 0; i < c->model->tensor_count; i++) {
        const struct tensor *t = &c->model->tensors[i], *f = find(prev, t);
        if (!f || !is_float(t))
            continue;
        lattice_dec_piece(dec, &codings[i], t->dtype, prev->data + f->offset,
                          out, elems(t), 0);
        if (memcmp(out, c->data + t->offset, t->size))
            die("decodes to something else");
    }
    if (lattice_dec_finish(dec))
        die("does not end");
    s->decode_s += now() - start;
    free(out);
}

/* Replaces c's floats by their quantised form over prev; codes them. */
static void quantise(const struct content *prev, struct content *c, int qp,
                     const struct options *o, struct sums *s)
{
    static struct lattice_enc *enc;
    struct writer wr;
    size_t count = c->model->tensor_count;
    struct lattice_coding *codings = calloc(count, sizeof(*codings));
    if (!enc)
        enc = lattice_enc_new(LATTICE_SEGMENT_BYTES_MAX);
    if (!enc || !codings)
        die("memory");
    writer_init_heap(&wr, 64u << 20);
    for (size_t i = 0; i < count; i++) {
        const struct tensor *t = &c->model->tensors[i], *f = find(prev, t);
        if (!f || !is_float(t))
            continue;
        size_t n = elems(t), columns = 1;
        const uint8_t *p = prev->data + f->offset;
        uint8_t *v = c->data + t->offset;
        int32_t *q = malloc(n * sizeof(*q) + 1);
        double *was = malloc(n * sizeof(*was) + 1);
        double change = rms(prev, f, c, t), err = 0;
        if (!q || !was)
            die("memory");
        for (uint32_t k = 1; k < t->rank; k++)
            columns *= (size_t)t->shape[k];
        struct lattice_coding *k = &codings[i];
        *k = (struct lattice_coding){.has_pred = true, .density = 2};
        k->qp = (int16_t)qp;
        if (!is_matrix(t))
            k->qp = (int16_t)(4 * floor(log2(change * 0.05 * sqrt(12))));
        if (!(change > 0))
            k->qp = 0;
        if (is_matrix(t) && columns > 1 && columns <= LATTICE_COLUMNS_MAX)
            k->columns = (uint32_t)columns;
        lattice_reduce(k);
        double step = (double)lattice_step(k->qp, k->density);
        for (size_t j = 0; j < n; j++) {
            was[j] = value(c, t, j);
            double x = (was[j] - value(prev, f, j)) / step;
            double m = floor(fabs(x) + (is_matrix(t) ? o->round : 0.5));
            q[j] = (int32_t)(x < 0 ? -m : m);
        }
        lattice_points(k, t->dtype, p, q, n, v);
        k->has_residual = lattice_levels(k, t->dtype, p, v, n, q, NULL) != 0;
        for (size_t j = 0; j < n; j++) {
            double e = value(c, t, j) - was[j];
            err += e * e;
        }
        free(was);
        if (is_matrix(t)) {
            s->error += err;
            s->change += change * change * (double)n;
        } else if (change > 0) {
            double e = sqrt(err / (double)n) / change;
            s->vector_error = e > s->vector_error ? e : s->vector_error;
            s->vectors += n;
        }
        s->elems += n;
        note(&s->entropy[is_matrix(t)], q, n, columns);
        double start = now();
        if (lattice_enc_piece(enc, k, t->dtype, p, v, n, 0)) {
            lattice_enc_finish(enc, &wr);
            if (lattice_enc_piece(enc, k, t->dtype, p, v, n, 0))
                die("tensor");
        }
        s->encode_s += now() - start;
        free(q);
    }
    size_t before = wr.size;
    lattice_enc_finish(enc, &wr);
    s->coder_bytes += wr.size;
    if (!before)
        check_stream(codings, prev, c, writer_view(&wr), s);
    writer_deinit(&wr);
    free(codings);
}

/* Coded segments in memory, as one that decodes has them. */
struct coded {
    struct writer header;
    struct writer segments[64];
};

static enum status read_aux(void *ctx, uint32_t index, struct writer *out)
{
    struct bytes coded = writer_view(&((struct coded *)ctx)->segments[index]);
    writer_bytes(out, coded.data, coded.size);
    return writer_status(out);
}

/* What the update decodes to is the target. */
static void check_update(const struct content *a, const struct content *b,
                         struct coded *coded)
{
    struct update_header header;
    struct update_dec *dec;
    struct diag diag = {""};
    const struct update_aux aux = {read_aux, coded};
    uint8_t *out = malloc(UPDATE_SEGMENT_SIZE_MAX);
    if (!out ||
        update_header_parse(writer_view(&coded->header), &header, &diag))
        die(diag.text);
    if (update_dec_new(&header, &a->source, &aux, &dec))
        die("memory");
    for (uint32_t i = 0; i < header.segment_count; i++) {
        size_t size = update_segment_target_size(&header, i);
        if (update_dec_segment(dec, i, writer_view(&coded->segments[i]), out,
                               size, &diag))
            die(diag.text);
        if (memcmp(out, b->data + update_segment_offset(&header, i), size))
            die("the update leads elsewhere");
    }
    update_dec_free(dec);
    update_header_free(&header);
    free(out);
}

static uint64_t update_bytes(const struct content *a, const struct content *b,
                             uint64_t *header_bytes)
{
    struct update_enc_params params = {
        .base = &a->source,
        .target = &b->source,
        .base_model = a->model,
        .target_model = b->model,
        .effort = UPDATE_EFFORT_SMALL,
        .max_rank = UPDATE_RANK_MAX,
    };
    struct update_enc *enc;
    struct coded coded;
    uint64_t bytes = 0;
    if (update_enc_new(&params, &enc) || update_enc_plan(enc, NULL, NULL))
        die("plan");
    uint32_t count = update_enc_segment_count(enc);
    if (count > 64)
        die("too large");
    for (uint32_t i = 0; i < count; i++) {
        struct bytes out;
        if (update_enc_segment(enc, i, &out))
            die("segment");
        bytes += out.size;
        writer_init_heap(&coded.segments[i], UPDATE_SEGMENT_CODED_MAX);
        writer_bytes(&coded.segments[i], out.data, out.size);
    }
    writer_init_heap(&coded.header, UPDATE_HEADER_MAX);
    if (update_enc_header(enc, &coded.header))
        die("header");
    *header_bytes += coded.header.size;
    bytes += coded.header.size;
    check_update(a, b, &coded);
    for (uint32_t i = 0; i < count; i++)
        writer_deinit(&coded.segments[i]);
    writer_deinit(&coded.header);
    update_enc_free(enc);
    return bytes;
}

static void print(const char *what, const struct sums *s, unsigned steps,
                  double error)
{
    double vec = entropy_bits(&s->entropy[0]),
           mat = entropy_bits(&s->entropy[1]);
    printf("{\"bench\": \"lattice\", \"what\": \"%s\", \"steps\": %u, "
           "\"update\": %llu, \"header\": %llu, \"coder\": %llu, \"entropy\": "
           "%.0f, "
           "\"entropy_vectors\": %.0f, \"bits\": %.4f, \"entropy_bits\": %.4f, "
           "\"error\": %.4f, \"vector_error\": %.3f, \"encode_M\": %.1f, "
           "\"decode_M\": %.1f}\n",
           what, steps, (unsigned long long)s->update_bytes,
           (unsigned long long)s->header_bytes,
           (unsigned long long)s->coder_bytes, (vec + mat) / 8, vec / 8,
           8 * (double)s->coder_bytes / (double)s->elems,
           (vec + mat) / (double)s->elems, error, s->vector_error,
           (double)s->elems / s->encode_s / 1e6,
           (double)s->elems / s->decode_s / 1e6);
}

/* Error of the matrices of c against the file, relative to their change. */
static double relative(const struct content *first, const struct content *exact,
                       const struct content *c)
{
    double err = 0, change = 0;
    for (size_t i = 0; i < c->model->tensor_count; i++) {
        const struct tensor *t = &c->model->tensors[i], *f = find(first, t);
        if (!f || !is_float(t) || !is_matrix(t))
            continue;
        size_t n = elems(t);
        double e = rms(exact, t, c, t);
        double d = rms(exact, t, first, f);
        err += e * e * (double)n;
        change += d * d * (double)n;
    }
    return sqrt(err / change);
}

static void run(char **files, int count, const struct options *o)
{
    struct content first, prev, c = {0}, exact;
    struct sums all = {0};
    int qp = o->qp;
    load(&first, files[0]);
    load(&prev, files[0]);
    for (int i = 1; i < count; i++) {
        struct sums s = {0};
        load(&c, files[i]);
        if (i == 1 && !o->has_qp)
            qp = qp_of(&first, &c, o->rms);
        quantise(&prev, &c, qp, o, &s);
        s.update_bytes = update_bytes(&prev, &c, &s.header_bytes);
        all.update_bytes += s.update_bytes;
        all.header_bytes += s.header_bytes;
        all.coder_bytes += s.coder_bytes;
        all.elems += s.elems;
        all.encode_s += s.encode_s;
        all.decode_s += s.decode_s;
        if (s.vector_error > all.vector_error)
            all.vector_error = s.vector_error;
        for (unsigned k = 0; k < 2; k++)
            for (unsigned x = 0; x < 9; x++)
                for (unsigned v = 0; v < 31; v++)
                    all.entropy[k].counts[x][v] += s.entropy[k].counts[x][v];
        print(files[i], &s, 1, sqrt(s.error / (s.change + 1e-300)));
        prev = c;
    }
    load(&exact, files[count - 1]);
    print("all", &all, (unsigned)count - 1, relative(&first, &exact, &c));
    uint64_t header = 0;
    if (o->far)
        printf("{\"bench\": \"lattice\", \"what\": \"far\", \"update\": "
               "%llu}\n",
               (unsigned long long)update_bytes(&first, &c, &header));
}

int main(int argc, char **argv)
{
    static const struct option names[] = {
        {"qp", required_argument, NULL, 'q'},
        {"rms", required_argument, NULL, 'r'},
        {"round", required_argument, NULL, 'o'},
        {"far", no_argument, NULL, 'f'},
        {NULL, 0, NULL, 0}};
    struct options o = {.rms = 1, .round = 0.5};
    int c;
    while ((c = getopt_long(argc, argv, "", names, NULL)) != -1) {
        if (c == 'q') {
            o.qp = atoi(optarg);
            o.has_qp = true;
        } else if (c == 'r') {
            o.rms = atof(optarg);
        } else if (c == 'o') {
            o.round = atof(optarg);
        } else if (c == 'f') {
            o.far = true;
        } else {
            return 2;
        }
    }
    if (argc - optind < 2)
        die("needs two files");
    run(argv + optind, argc - optind, &o);
    return 0;
}
