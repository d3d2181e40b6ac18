/* Closed loop of quantised updates: each file of a sequence is quantised
 * against what came out of the one before, made an update of, and read back.
 *
 *     bench_quantize RULE VALUE RANK OUT FILE FILE ...
 *
 * RULE is error, qp, max-error, price, auto, or price-error with a VALUE of
 * PRICE:ERROR: the rule of auto with other constants. OUT gets the last content
 * or, when it ends in a slash, all of them, each under the name of its file.
 * One JSON line an update: bytes of the update file, estimate, error, whether
 * the largest error of price-error was reached, seconds; then one of the whole
 * with errors against the last file as a part of the change from the first. */
#include "codec/base/source.h"
#include "codec/lossless/narrow_float.h"
#include "codec/quant/quantize.h"
#include "codec/update/hint.h"
#include "codec/update/update_dec.h"
#include "codec/update/update_enc.h"

#include "tests/support/aux_update.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct content {
    uint8_t *bytes;
    struct source source;
    struct model *model;
};

static void fail(const char *what, enum status status)
{
    fprintf(stderr, "%s: %s\n", what, status_text(status));
    exit(1);
}

static void content_set(struct content *c, uint8_t *bytes, size_t size,
                        const char *path)
{
    c->bytes = bytes;
    c->source = source_of_bytes(bytes_of(bytes, size));
    enum status status = model_parse_file(&c->source, path, &c->model, NULL);
    if (status)
        fail(path, status);
}

static void content_load(struct content *c, const char *path)
{
    FILE *file = fopen(path, "rb");
    if (!file || fseek(file, 0, SEEK_END))
        fail(path, STATUS_IO);
    long size = ftell(file);
    uint8_t *bytes = malloc((size_t)size + 1);
    rewind(file);
    if (!bytes || fread(bytes, 1, (size_t)size, file) != (size_t)size)
        fail(path, STATUS_IO);
    fclose(file);
    content_set(c, bytes, (size_t)size, path);
}

static void content_free(struct content *c)
{
    model_free(c->model);
    free(c->bytes);
}

static double seconds(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

struct update {
    struct writer segments, header_bytes;
    struct update_header header;
};

/* The update from base to target. */
static void update_make(const struct content *base,
                        const struct content *target, unsigned rank,
                        const struct update_hints *hints, struct update *out)
{
    struct update_enc_params params = {.base = &base->source,
                                       .target = &target->source,
                                       .base_model = base->model,
                                       .target_model = target->model,
                                       .effort = UPDATE_EFFORT_SMALL,
                                       .speed = CODING_SPEED_SMALL,
                                       .max_rank = rank,
                                       .hints = hints};
    struct update_enc *enc;
    writer_init_heap(&out->segments, (size_t)1 << 30);
    writer_init_heap(&out->header_bytes, UPDATE_HEADER_MAX);
    enum status status = update_enc_new(&params, &enc);
    status = status ? status : update_enc_plan(enc, NULL, NULL);
    for (uint32_t i = 0; !status && i < update_enc_segment_count(enc); i++) {
        struct bytes coded;
        status = update_enc_segment(enc, i, &coded);
        if (!status)
            writer_bytes(&out->segments, coded.data, coded.size);
    }
    status = status ? status : update_enc_header(enc, &out->header_bytes);
    status = status ? status
                    : update_header_parse(writer_view(&out->header_bytes),
                                          &out->header, NULL);
    if (status)
        fail("update", status);
    update_enc_free(enc);
}

/* Decodes the update; what comes out must be the target. */
static void update_check(const struct update *update,
                         const struct content *base,
                         const struct content *target)
{
    struct aux_place place = {&update->header, writer_view(&update->segments),
                              0};
    struct update_aux aux = aux_place_of(&place);
    struct update_dec *dec;
    uint8_t *out = malloc(UPDATE_SEGMENT_SIZE_MAX);
    enum status status =
        update_dec_new(&update->header, &base->source, &aux, &dec);
    for (uint32_t i = 0; !status && i < update->header.segment_count; i++) {
        const struct update_segment *s = &update->header.segments[i];
        struct bytes coded = {update->segments.data + s->offset, s->size};
        size_t size = update_segment_target_size(&update->header, i);
        status = update_dec_segment(dec, i, coded, out, size, NULL);
        if (!status &&
            memcmp(out,
                   target->bytes + update_segment_offset(&update->header, i),
                   size))
            status = STATUS_MISMATCH;
    }
    if (status)
        fail("decoding", status);
    update_dec_free(dec);
    free(out);
}

/* Bytes of the update file from base to target. */
static size_t update_bytes(const struct content *base,
                           const struct content *target, unsigned rank,
                           const struct update_hints *hints)
{
    struct update update;
    update_make(base, target, rank, hints, &update);
    update_check(&update, base, target);
    /* Magic and length. */
    size_t size = 12 + update.header_bytes.size + update.segments.size;
    update_header_free(&update.header);
    writer_deinit(&update.header_bytes);
    writer_deinit(&update.segments);
    return size;
}

static double real_at(const struct content *c, const struct tensor *t, size_t i)
{
    const uint8_t *at = c->bytes + t->offset + i * dtype_bits(t->dtype) / 8;
    struct narrow_float f;
    uint64_t bits;
    double value;
    if (t->dtype == DTYPE_F32)
        return (double)float_of_bits(load_le32(at));
    if (t->dtype == DTYPE_F64) {
        bits = load_le64(at);
        memcpy(&value, &bits, sizeof(value));
        return value;
    }
    (void)narrow_float_of(t->dtype, &f);
    return (double)narrow_float_widen(&f, load_le16(at));
}

/* Errors of got against want as parts of the change from first. */
static void whole_error(const struct content *first, const struct content *want,
                        const struct content *got, double *matrix,
                        double *vector)
{
    double error = 0, change = 0;
    *vector = 0;
    for (size_t k = 0; k < want->model->tensor_count; k++) {
        const struct tensor *t = &want->model->tensors[k];
        if (!dtype_is_float(t->dtype) || k >= first->model->tensor_count)
            continue;
        const struct tensor *f = &first->model->tensors[k];
        double e = 0, c = 0;
        for (size_t i = 0; i < tensor_elem_count(t); i++) {
            double w = real_at(want, t, i), g = real_at(got, t, i);
            e += (w - g) * (w - g);
            c += pow(w - real_at(first, f, i), 2);
        }
        if (t->rank >= 2) {
            error += e;
            change += c;
        } else if (c > 0) {
            *vector = fmax(*vector, sqrt(e / c));
        }
    }
    *matrix = sqrt(error / change);
}

/* What is run first, and what instead when its error is above error_max. */
struct rule {
    struct quantize_rule first;
    double error_max;
};

static struct rule rule_of(const char *name, const char *value)
{
    struct rule rules = {{QUANTIZE_AUTO, atof(value)}, HUGE_VAL};
    const char *colon = strchr(value, ':');
    enum quantize_mode *mode = &rules.first.mode;
    if (!strcmp(name, "error"))
        *mode = QUANTIZE_ERROR;
    if (!strcmp(name, "qp"))
        *mode = QUANTIZE_QP;
    if (!strcmp(name, "max-error"))
        *mode = QUANTIZE_MAX_ERROR;
    if (!strncmp(name, "price", 5))
        *mode = QUANTIZE_PRICE;
    if (!strcmp(name, "price-error") && colon)
        rules.error_max = atof(colon + 1);
    return rules;
}

static double error_of(const struct quantize *q)
{
    struct quantize_total total = quantize_total(q);
    return total.error / (total.change + 1e-300);
}

static enum status run_rule(struct quantize *q, const struct rule *rule,
                            bool *limited)
{
    struct quantize_rule error = {QUANTIZE_ERROR, rule->error_max};
    enum status status = quantize_run(q, &rule->first);
    *limited = !status && error_of(q) > rule->error_max;
    return *limited ? quantize_run(q, &error) : status;
}

static void save(const struct content *c, const char *path)
{
    FILE *file = fopen(path, "wb");
    size_t size = (size_t)c->source.size;
    if (!file || fwrite(c->bytes, 1, size, file) != size || fclose(file))
        fail(path, STATUS_IO);
}

static void save_in(const struct content *c, const char *folder,
                    const char *like)
{
    char path[4096];
    const char *slash = strrchr(like, '/');
    snprintf(path, sizeof(path), "%s%s", folder, slash ? slash + 1 : like);
    save(c, path);
}

static void print_rows(const struct quantize *q)
{
    size_t count;
    const struct quantize_row *rows = quantize_rows(q, &count);
    for (size_t i = 0; i < count; i++)
        fprintf(stderr, "%-40s state %d qp %d rank %u error %.4f levels %lu\n",
                rows[i].tensor->name, rows[i].state, rows[i].qp, rows[i].rank,
                rows[i].error / (rows[i].change + 1e-300),
                (unsigned long)rows[i].levels);
}

static size_t one_update(struct content *base, const struct content *next,
                         const char *path, const struct rule *rule,
                         unsigned rank, size_t *estimate)
{
    struct quantize_params params = {.base = &base->source,
                                     .base_model = base->model,
                                     .target = &next->source,
                                     .target_model = next->model,
                                     .max_rank = rank};
    struct quantize *q;
    bool limited = false;
    double start = seconds();
    enum status status = quantize_new(&params, &q);
    status = status ? status : run_rule(q, rule, &limited);
    if (status)
        fail(path, status);
    struct content made;
    size_t size = (size_t)next->source.size;
    uint8_t *bytes = malloc(size + 1);
    double took = seconds() - start;
    status = bytes ? source_read(quantize_source(q), 0, bytes, size)
                   : STATUS_NO_MEMORY;
    if (status)
        fail(path, status);
    content_set(&made, bytes, size, path);
    struct quantize_total total = quantize_total(q);
    size_t coded = update_bytes(base, &made, rank, quantize_hints(q));
    if (getenv("VERBOSE"))
        print_rows(q);
    printf("{\"file\": \"%s\", \"bytes\": %zu, \"estimate\": %lu, "
           "\"error\": %.4f, \"vector_error\": %.4f, \"step\": %g, "
           "\"limited\": %s, \"seconds\": %.2f}\n",
           path, coded, (unsigned long)total.bytes, error_of(q),
           total.vector_error, total.step, limited ? "true" : "false", took);
    fflush(stdout);
    quantize_free(q);
    content_free(base);
    *base = made;
    *estimate += (size_t)total.bytes;
    return coded;
}

int main(int argc, char **argv)
{
    if (argc < 7) {
        fputs("usage: bench_quantize RULE VALUE RANK OUT FILE FILE ...\n",
              stderr);
        return 2;
    }
    struct rule rule = rule_of(argv[1], argv[2]);
    unsigned rank = (unsigned)atoi(argv[3]);
    struct content first, last = {0}, held;
    size_t sum = 0, estimate = 0;
    double matrix, vector;
    bool folder = argv[4][0] && argv[4][strlen(argv[4]) - 1] == '/';
    content_load(&first, argv[5]);
    content_load(&held, argv[5]);
    for (int i = 6; i < argc; i++) {
        if (last.bytes)
            content_free(&last);
        content_load(&last, argv[i]);
        sum += one_update(&held, &last, argv[i], &rule, rank, &estimate);
        if (folder)
            save_in(&held, argv[4], argv[i]);
    }
    whole_error(&first, &last, &held, &matrix, &vector);
    printf(
        "{\"updates\": %d, \"bytes\": %zu, \"estimate\": %zu, \"error\": %.5f, "
        "\"vector_error\": %.5f}\n",
        argc - 6, sum, estimate, matrix, vector);
    if (!folder)
        save(&held, argv[4]);
    content_free(&first);
    content_free(&last);
    content_free(&held);
    return 0;
}
