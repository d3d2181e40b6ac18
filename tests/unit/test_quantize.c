/* Quantising a model against its base: what comes out lies on its lattice, as
 * far from the target as was asked for, and leaves alone what it must. */
#include "codec/quant/quantize.h"

#include "codec/base/bytes.h"
#include "codec/lossless/narrow_float.h"
#include "codec/lossless/predict.h"
#include "codec/update/hint.h"
#include "codec/update/update_dec.h"
#include "codec/update/update_enc.h"

#include "tests/support/alloc_fail.h"
#include "tests/support/aux_update.h"
#include "tests/support/cmocka.h"
#include "tests/support/tiny_model.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct content {
    uint8_t *bytes;
    size_t size;
    struct source source;
    struct model *model;
};

static void content_take(struct content *c, uint8_t *bytes, size_t size)
{
    assert_non_null(bytes);
    c->bytes = bytes;
    c->size = size;
    c->source = source_of_bytes(bytes_of(bytes, size));
    assert_int_equal(
        model_parse_file(&c->source, "m.safetensors", &c->model, NULL),
        STATUS_OK);
}

static void content_tiny(struct content *c, const struct tiny_tensor *tensors,
                         size_t count)
{
    size_t size;
    uint8_t *bytes = tiny_model_new(tensors, count, &size);
    content_take(c, bytes, size);
}

static void content_file(struct content *c, const char *name)
{
    const char *root = getenv("DM_SRCDIR");
    char path[512];
    (void)snprintf(path, sizeof(path), "%s/tests/data/%s", root ? root : ".",
                   name);
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    assert_int_equal(fseek(file, 0, SEEK_END), 0);
    size_t size = (size_t)ftell(file);
    rewind(file);
    uint8_t *bytes = malloc(size + 1);
    assert_non_null(bytes);
    assert_int_equal(fread(bytes, 1, size, file), size);
    (void)fclose(file);
    content_take(c, bytes, size);
}

static void content_free(struct content *c)
{
    model_free(c->model);
    free(c->bytes);
}

static struct quantize_params params_of(const struct content *base,
                                        const struct content *target)
{
    return (struct quantize_params){.base = base ? &base->source : NULL,
                                    .base_model = base ? base->model : NULL,
                                    .target = &target->source,
                                    .target_model = target->model,
                                    .max_rank = 32};
}

/* A quantizer after a run. */
static struct quantize *run(const struct content *base,
                            const struct content *target,
                            enum quantize_mode mode, double value)
{
    struct quantize_params params = params_of(base, target);
    struct quantize_rule rule = {mode, value};
    struct quantize *q;
    assert_int_equal(quantize_new(&params, &q), STATUS_OK);
    assert_int_equal(quantize_run(q, &rule), STATUS_OK);
    return q;
}

static uint8_t *result_of(const struct quantize *q)
{
    const struct source *source = quantize_source(q);
    uint8_t *bytes = malloc((size_t)source->size + 1);
    assert_non_null(bytes);
    assert_int_equal(source_read(source, 0, bytes, (size_t)source->size),
                     STATUS_OK);
    return bytes;
}

static double real_at(enum dtype dtype, const uint8_t *at)
{
    struct narrow_float f;
    uint64_t bits = 0;
    double value;
    if (dtype == DTYPE_F32)
        return (double)float_of_bits(load_le32(at));
    if (dtype == DTYPE_F64) {
        bits = load_le64(at);
        memcpy(&value, &bits, sizeof(value));
        return value;
    }
    assert_true(narrow_float_of(dtype, &f));
    return (double)narrow_float_widen(&f, load_le16(at));
}

static double rms(const struct tensor *t, const uint8_t *a, const uint8_t *b)
{
    size_t bytes = dtype_bits(t->dtype) / 8, count = t->size / bytes;
    double sum = 0;
    for (size_t i = 0; i < count; i++) {
        size_t at = (size_t)t->offset + i * bytes;
        sum += pow(real_at(t->dtype, a + at) - real_at(t->dtype, b + at), 2);
    }
    return sqrt(sum / (double)count);
}

#define F32(n, r, c, s, d)                                         \
    {                                                              \
        .name = (n), .dtype = DTYPE_F32, .rows = (r), .cols = (c), \
        .seed = (s), .noise = (d), .noise_seed = (s) + 100         \
    }

static const struct tiny_tensor plain_base[] = {
    F32("a.weight", 48, 64, 1, 0), F32("b.bias", 96, 0, 2, 0),
    F32("c.weight", 32, 40, 3, 0), F32("d.bias", 3, 0, 4, 0)};
static const struct tiny_tensor plain_target[] = {
    F32("a.weight", 48, 64, 1, 0.1), F32("b.bias", 96, 0, 2, 0.1),
    F32("c.weight", 32, 40, 3, 0), F32("d.bias", 3, 0, 4, 0.2)};

struct pair {
    struct content base, target;
};

static void pair_plain(struct pair *p)
{
    content_tiny(&p->base, plain_base, 4);
    content_tiny(&p->target, plain_target, 4);
}

static void pair_free(struct pair *p)
{
    content_free(&p->base);
    content_free(&p->target);
}

static const struct quantize_row *row_named(const struct quantize *q,
                                            const char *name)
{
    size_t count;
    const struct quantize_row *rows = quantize_rows(q, &count);
    for (size_t i = 0; i < count; i++)
        if (!strcmp(rows[i].tensor->name, name))
            return &rows[i];
    fail_msg("no row %s", name);
    return NULL;
}

static const struct update_hint *hint_at(const struct quantize *q,
                                         uint64_t offset)
{
    const struct update_hints *hints = quantize_hints(q);
    for (size_t i = 0; i < hints->count; i++)
        if (hints->items[i].target_offset == offset)
            return &hints->items[i];
    return NULL;
}

/* Close, or, where levels are large, up to an octave less. */
static void assert_error(const struct quantize *q, double wanted)
{
    struct quantize_total total = quantize_total(q);
    double part = total.error / total.change / wanted;
    assert_true(part < 1.1);
    assert_true(part > (wanted < 0.3 ? 0.47 : 0.9));
}

static void error_is_as_wanted(void **state)
{
    (void)state;
    static const double wanted[] = {0.9, 0.5, 0.1, 0.01};
    struct pair p;
    pair_plain(&p);
    for (size_t i = 0; i < 4; i++) {
        struct quantize *q = run(&p.base, &p.target, QUANTIZE_ERROR, wanted[i]);
        assert_error(q, wanted[i]);
        uint8_t *made = result_of(q);
        const struct quantize_row *row = row_named(q, "a.weight");
        double error = rms(row->tensor, made, p.target.bytes);
        assert_true(fabs(error - row->error) <= 1e-6 * error);
        free(made);
        quantize_free(q);
    }
    pair_free(&p);
}

static void more_error_needs_fewer_bytes(void **state)
{
    (void)state;
    struct content base, target;
    content_file(&base, "federated/global-r01.safetensors");
    content_file(&target, "federated/global-r02.safetensors");
    uint64_t before = UINT64_MAX;
    for (double error = 0.05; error < 1; error *= 2) {
        struct quantize *q = run(&base, &target, QUANTIZE_ERROR, error);
        assert_true(quantize_total(q).bytes < before);
        assert_error(q, error);
        before = quantize_total(q).bytes;
        quantize_free(q);
    }
    content_free(&base);
    content_free(&target);
}

static void dearer_bits_are_fewer_and_lose_more(void **state)
{
    (void)state;
    struct content base, target;
    content_file(&base, "federated/global-r01.safetensors");
    content_file(&target, "federated/global-r02.safetensors");
    uint64_t bytes = UINT64_MAX;
    double error = 0;
    for (double price = 0.01; price < 2; price *= 4) {
        struct quantize *q = run(&base, &target, QUANTIZE_PRICE, price);
        struct quantize_total total = quantize_total(q);
        assert_true(total.bytes < bytes);
        assert_true(total.error > error);
        bytes = total.bytes;
        error = total.error;
        quantize_free(q);
    }
    content_free(&base);
    content_free(&target);
}

static void auto_is_its_price_or_its_largest_error(void **state)
{
    (void)state;
    static const char *const names[] = {"federated/global-r00.safetensors",
                                        "federated/global-r01.safetensors",
                                        "federated/global-r02.safetensors"};
    for (size_t i = 0; i < 2; i++) {
        struct content base, target;
        content_file(&base, names[i]);
        content_file(&target, names[i + 1]);
        struct quantize *priced =
            run(&base, &target, QUANTIZE_PRICE, QUANTIZE_AUTO_PRICE);
        struct quantize *q = run(&base, &target, QUANTIZE_AUTO, 0);
        struct quantize_total total = quantize_total(priced);
        double part = total.error / total.change;
        if (part > QUANTIZE_AUTO_ERROR)
            assert_error(q, QUANTIZE_AUTO_ERROR);
        else
            assert_true(quantize_total(q).error == total.error);
        quantize_free(priced);
        quantize_free(q);
        content_free(&base);
        content_free(&target);
    }
}

static void vectors_err_by_a_twentieth_of_their_change(void **state)
{
    (void)state;
    struct content base, target;
    content_file(&base, "federated/global-r00.safetensors");
    content_file(&target, "federated/global-r01.safetensors");
    struct quantize *q = run(&base, &target, QUANTIZE_ERROR, 0.9);
    uint8_t *made = result_of(q);
    size_t count, vectors = 0;
    const struct quantize_row *rows = quantize_rows(q, &count);
    for (size_t i = 0; i < count; i++) {
        const struct tensor *t = rows[i].tensor;
        if (t->rank >= 2 || rows[i].state == QUANTIZE_SAME)
            continue;
        vectors++;
        double change = rms(t, base.bytes, target.bytes);
        assert_true(rms(t, made, target.bytes) <= 0.05 * change);
    }
    assert_int_equal(vectors, 4);
    assert_true(quantize_total(q).vector_error <= 0.05);
    free(made);
    quantize_free(q);
    content_free(&base);
    content_free(&target);
}

/* Elements are pred + level * step, pred as the hint says. */
static void assert_on_lattice(const struct quantize *q,
                              const struct quantize_row *row,
                              const struct content *base, const uint8_t *made)
{
    const struct tensor *t = row->tensor;
    const struct update_hint *hint = hint_at(q, t->offset);
    assert_non_null(hint);
    assert_true(hint->has_step);
    assert_int_equal(hint->density, 2);
    assert_int_equal(hint->qp % 4, 0);
    size_t count = t->size / 4;
    uint8_t *pred = malloc(t->size), *lost = malloc(count);
    struct predict predict = {.dtype = DTYPE_F32,
                              .from = DTYPE_F32,
                              .columns = hint->rank ? hint->columns : 1,
                              .rank = hint->rank,
                              .shift = hint->shift,
                              .u = hint->u,
                              .v = hint->v};
    assert_true(predict_ok(&predict));
    predict_elems(&predict, 0, base->bytes + t->offset, count, pred, lost);
    float step = (float)exp2(hint->qp / 4);
    for (size_t i = 0; i < count; i++) {
        float p = float_of_bits(load_le32(pred + 4 * i));
        float x = float_of_bits(load_le32(made + t->offset + 4 * i));
        float level = rintf((x - p) / step);
        assert_true(x == p + level * step);
    }
    free(pred);
    free(lost);
}

static void elements_lie_on_the_lattice_of_the_hints(void **state)
{
    (void)state;
    struct content base, target;
    unsigned ranks = 0;
    content_file(&base, "federated/global-r01.safetensors");
    content_file(&target, "federated/global-r02.safetensors");
    static const double wanted[] = {0.9, 0.3, 0.01};
    for (size_t k = 0; k < 3; k++) {
        struct quantize *q = run(&base, &target, QUANTIZE_ERROR, wanted[k]);
        uint8_t *made = result_of(q);
        size_t count;
        const struct quantize_row *rows = quantize_rows(q, &count);
        for (size_t i = 0; i < count; i++) {
            if (rows[i].state == QUANTIZE_STEPS)
                assert_on_lattice(q, &rows[i], &base, made);
            ranks += rows[i].rank;
        }
        free(made);
        quantize_free(q);
    }
    /* The updates of federated learning have dominant directions. */
    assert_true(ranks > 0);
    content_free(&base);
    content_free(&target);
}

static void what_did_not_change_stays(void **state)
{
    (void)state;
    struct pair p;
    pair_plain(&p);
    struct quantize *q = run(&p.base, &p.target, QUANTIZE_ERROR, 0.5);
    const struct quantize_row *row = row_named(q, "c.weight");
    assert_int_equal(row->state, QUANTIZE_SAME);
    assert_null(hint_at(q, row->tensor->offset));
    uint8_t *made = result_of(q);
    assert_memory_equal(made + row->tensor->offset,
                        p.target.bytes + row->tensor->offset,
                        row->tensor->size);
    free(made);
    quantize_free(q);
    pair_free(&p);
}

static void other_types_and_the_header_stay(void **state)
{
    (void)state;
    static const struct tiny_tensor tensors[] = {
        F32("a", 20, 20, 1, 0),
        {.name = "n", .dtype = DTYPE_I64, .rows = 5, .seed = 9},
        {.name = "q", .dtype = DTYPE_I8, .rows = 16, .cols = 16, .seed = 8}};
    struct tiny_tensor changed[3];
    memcpy(changed, tensors, sizeof(changed));
    for (size_t i = 0; i < 3; i++) {
        changed[i].noise = 0.2;
        changed[i].noise_seed = 77 + i;
    }
    struct pair p;
    content_tiny(&p.base, tensors, 3);
    content_tiny(&p.target, changed, 3);
    struct quantize *q = run(&p.base, &p.target, QUANTIZE_ERROR, 0.5);
    uint8_t *made = result_of(q);
    const struct tensor *a = row_named(q, "a")->tensor;
    for (size_t i = 0; i < p.target.size; i++)
        if (i < a->offset || i >= a->offset + a->size)
            assert_int_equal(made[i], p.target.bytes[i]);
    assert_true(memcmp(made + a->offset, p.target.bytes + a->offset, a->size));
    size_t count;
    (void)quantize_rows(q, &count);
    assert_int_equal(count, 1);
    free(made);
    quantize_free(q);
    pair_free(&p);
}

static void tensors_with_infinities_or_without_base_stay(void **state)
{
    (void)state;
    static const struct tiny_tensor before[] = {F32("a", 20, 20, 1, 0),
                                                F32("b", 20, 20, 2, 0)};
    static const struct tiny_tensor after[] = {F32("a", 20, 20, 1, 0.1),
                                               F32("b", 20, 20, 2, 0.1),
                                               F32("new", 20, 24, 3, 0)};
    struct pair p;
    content_tiny(&p.base, before, 2);
    content_tiny(&p.target, after, 3);
    store_le32(p.target.bytes + p.target.model->tensors[1].offset + 8,
               0x7f800000);
    struct quantize *q = run(&p.base, &p.target, QUANTIZE_ERROR, 0.5);
    uint8_t *made = result_of(q);
    static const char *const names[] = {"b", "new"};
    for (size_t i = 0; i < 2; i++) {
        const struct quantize_row *row = row_named(q, names[i]);
        assert_int_equal(row->state, QUANTIZE_EXACT);
        assert_memory_equal(made + row->tensor->offset,
                            p.target.bytes + row->tensor->offset,
                            row->tensor->size);
    }
    assert_int_equal(row_named(q, "a")->state, QUANTIZE_STEPS);
    free(made);
    quantize_free(q);
    pair_free(&p);
}

static void all_float_types_reach_the_wanted_error(void **state)
{
    (void)state;
    static const enum dtype types[] = {DTYPE_F64, DTYPE_F32, DTYPE_F16,
                                       DTYPE_BF16};
    for (size_t i = 0; i < 4; i++) {
        struct tiny_tensor tensor = {
            .name = "a", .dtype = types[i], .rows = 40, .cols = 50, .seed = 5};
        struct pair p;
        content_tiny(&p.base, &tensor, 1);
        tensor.noise = 0.3;
        tensor.noise_seed = 6;
        content_tiny(&p.target, &tensor, 1);
        struct quantize *q = run(&p.base, &p.target, QUANTIZE_ERROR, 0.3);
        struct quantize_total total = quantize_total(q);
        uint8_t *made = result_of(q);
        double error = rms(row_named(q, "a")->tensor, made, p.target.bytes);
        assert_true(fabs(error / total.change / 0.3 - 1) < 0.05);
        free(made);
        quantize_free(q);
        pair_free(&p);
    }
}

static void no_element_errs_more_than_allowed(void **state)
{
    (void)state;
    struct pair p;
    pair_plain(&p);
    struct quantize *q = run(&p.base, &p.target, QUANTIZE_MAX_ERROR, 0.01);
    uint8_t *made = result_of(q);
    size_t count;
    const struct quantize_row *rows = quantize_rows(q, &count);
    for (size_t k = 0; k < count; k++)
        for (size_t i = 0; i < rows[k].tensor->size; i += 4) {
            size_t at = (size_t)rows[k].tensor->offset + i;
            double x = real_at(DTYPE_F32, made + at);
            assert_true(fabs(x - real_at(DTYPE_F32, p.target.bytes + at)) <
                        0.01001);
        }
    free(made);
    quantize_free(q);
    pair_free(&p);
}

/* Changes of 0 to 4 steps that end at the largest number of 16 bits. */
static void points_stay_below_the_largest_number(void **state)
{
    (void)state;
    static const struct tiny_tensor tensors[] = {
        {.name = "a", .dtype = DTYPE_F16, .rows = 8, .cols = 16, .seed = 1}};
    struct pair p;
    content_tiny(&p.base, tensors, 1);
    content_tiny(&p.target, tensors, 1);
    size_t at = (size_t)p.base.model->tensors[0].offset;
    for (size_t i = 0; i < 128; i++) {
        store_le16(p.base.bytes + at + 2 * i, (uint16_t)(0x7bff - 4 * i));
        store_le16(p.target.bytes + at + 2 * i, i < 100 ? 0x7bff : 0x7000);
    }
    struct quantize *q = run(&p.base, &p.target, QUANTIZE_MAX_ERROR, 2048);
    uint8_t *made = result_of(q);
    for (size_t i = 0; i < 128; i++) {
        double want = real_at(DTYPE_F16, p.target.bytes + at + 2 * i);
        double got = real_at(DTYPE_F16, made + at + 2 * i);
        assert_true(fabs(got - want) < (i < 100 ? 4096 : 2049));
    }
    free(made);
    quantize_free(q);
    pair_free(&p);
}

static void qp_sets_the_step(void **state)
{
    (void)state;
    struct pair p;
    pair_plain(&p);
    struct quantize *q = run(&p.base, &p.target, QUANTIZE_QP, -21);
    assert_int_equal(row_named(q, "a.weight")->qp, -24);
    assert_true(quantize_total(q).step == 1.0 / 64);
    quantize_free(q);
    pair_free(&p);
}

static void without_base_values_themselves_are_quantised(void **state)
{
    (void)state;
    struct content target;
    content_tiny(&target, plain_target, 4);
    struct quantize *q = run(NULL, &target, QUANTIZE_ERROR, 0.1);
    assert_error(q, 0.1);
    const struct quantize_row *row = row_named(q, "a.weight");
    assert_int_equal(row->state, QUANTIZE_STEPS);
    assert_int_equal(row->rank, 0);
    uint8_t *made = result_of(q);
    float step = (float)exp2(row->qp / 4);
    for (size_t i = 0; i < row->tensor->size; i += 4) {
        float x = float_of_bits(load_le32(made + row->tensor->offset + i));
        assert_true(x / step == rintf(x / step));
    }
    free(made);
    quantize_free(q);
    content_free(&target);
}

/* Each update's error is no more than a step of the receiver's model away: it
 * does not add up over a chain that starts from what came out. */
static void errors_do_not_add_up_in_a_closed_loop(void **state)
{
    (void)state;
    struct content held, next;
    content_file(&held, "federated/global-r00.safetensors");
    for (int round = 0; round < 8; round++) {
        content_file(&next, round % 2 ? "federated/global-r01.safetensors"
                                      : "federated/global-r02.safetensors");
        struct quantize *q = run(&held, &next, QUANTIZE_QP, -28);
        /* Dead zone and rounding of factors are within two steps. */
        assert_true(quantize_total(q).error < 2.0 / 128);
        uint8_t *made = result_of(q);
        size_t size = next.size;
        quantize_free(q);
        content_free(&held);
        content_free(&next);
        content_take(&held, made, size);
    }
    content_free(&held);
}

static void reads_at_any_offset_agree(void **state)
{
    (void)state;
    struct pair p;
    pair_plain(&p);
    struct quantize *q = run(&p.base, &p.target, QUANTIZE_ERROR, 0.4);
    uint8_t *whole = result_of(q), part[97];
    for (size_t at = 0; at + sizeof(part) <= p.target.size; at += 61) {
        size_t size = 1 + at % sizeof(part);
        assert_int_equal(source_read(quantize_source(q), at, part, size),
                         STATUS_OK);
        assert_memory_equal(part, whole + at, size);
    }
    free(whole);
    quantize_free(q);
    pair_free(&p);
}

/* Tasks from the last to the first. */
static void run_backwards(void *ctx, unsigned count,
                          void (*task)(void *arg, unsigned index), void *arg)
{
    (void)ctx;
    while (count--)
        task(arg, count);
}

static void order_of_tasks_does_not_matter(void **state)
{
    (void)state;
    struct pair p;
    pair_plain(&p);
    struct parallel parallel = {run_backwards, NULL, 2};
    struct quantize_params params = params_of(&p.base, &p.target);
    struct quantize *q = run(&p.base, &p.target, QUANTIZE_ERROR, 0.4), *other;
    struct quantize_rule rule = {QUANTIZE_ERROR, 0.4};
    params.parallel = &parallel;
    assert_int_equal(quantize_new(&params, &other), STATUS_OK);
    assert_int_equal(quantize_run(other, &rule), STATUS_OK);
    uint8_t *a = result_of(q), *b = result_of(other);
    assert_memory_equal(a, b, p.target.size);
    free(a);
    free(b);
    quantize_free(q);
    quantize_free(other);
    pair_free(&p);
}

static void a_second_run_forgets_the_first(void **state)
{
    (void)state;
    struct pair p;
    pair_plain(&p);
    struct quantize *q = run(&p.base, &p.target, QUANTIZE_ERROR, 0.4);
    uint8_t *first = result_of(q);
    struct quantize_rule rule = {QUANTIZE_ERROR, 0.9};
    assert_int_equal(quantize_run(q, &rule), STATUS_OK);
    uint8_t *coarse = result_of(q);
    assert_true(memcmp(first, coarse, p.target.size));
    rule.value = 0.4;
    assert_int_equal(quantize_run(q, &rule), STATUS_OK);
    uint8_t *again = result_of(q);
    assert_memory_equal(first, again, p.target.size);
    free(first);
    free(coarse);
    free(again);
    quantize_free(q);
    pair_free(&p);
}

struct update {
    struct writer segments, header_bytes;
    struct update_header header;
};

static void update_make(const struct content *base,
                        const struct content *target,
                        const struct update_hints *hints, struct update *out)
{
    struct update_enc_params params = {.base = &base->source,
                                       .target = &target->source,
                                       .base_model = base->model,
                                       .target_model = target->model,
                                       .effort = UPDATE_EFFORT_SMALL,
                                       .hints = hints};
    struct update_enc *enc;
    struct bytes coded;
    writer_init_heap(&out->segments, 16u << 20);
    writer_init_heap(&out->header_bytes, UPDATE_HEADER_MAX);
    assert_int_equal(update_enc_new(&params, &enc), STATUS_OK);
    assert_int_equal(update_enc_plan(enc, NULL, NULL), STATUS_OK);
    for (uint32_t i = 0; i < update_enc_segment_count(enc); i++) {
        assert_int_equal(update_enc_segment(enc, i, &coded), STATUS_OK);
        writer_bytes(&out->segments, coded.data, coded.size);
    }
    assert_int_equal(update_enc_header(enc, &out->header_bytes), STATUS_OK);
    update_enc_free(enc);
    assert_int_equal(update_header_parse(writer_view(&out->header_bytes),
                                         &out->header, NULL),
                     STATUS_OK);
}

static void update_check(const struct update *update,
                         const struct content *base, const uint8_t *target)
{
    struct aux_place place = {&update->header, writer_view(&update->segments),
                              0};
    struct update_aux aux = aux_place_of(&place);
    struct update_dec *dec;
    uint8_t *out = malloc(UPDATE_SEGMENT_SIZE_MAX);
    assert_int_equal(update_dec_new(&update->header, &base->source, &aux, &dec),
                     STATUS_OK);
    for (uint32_t i = 0; i < update->header.segment_count; i++) {
        const struct update_segment *s = &update->header.segments[i];
        struct bytes coded = {update->segments.data + s->offset, s->size};
        size_t size = update_segment_target_size(&update->header, i);
        assert_int_equal(update_dec_segment(dec, i, coded, out, size, NULL),
                         STATUS_OK);
        assert_memory_equal(
            out, target + update_segment_offset(&update->header, i), size);
    }
    update_dec_free(dec);
    free(out);
}

static void an_update_with_hints_is_as_small_as_estimated(void **state)
{
    (void)state;
    struct content base, target, made;
    content_file(&base, "federated/global-r01.safetensors");
    content_file(&target, "federated/global-r02.safetensors");
    static const double wanted[] = {0.9, 0.5, 0.1};
    for (size_t i = 0; i < 3; i++) {
        struct quantize *q = run(&base, &target, QUANTIZE_ERROR, wanted[i]);
        struct update update;
        content_take(&made, result_of(q), target.size);
        update_make(&base, &made, quantize_hints(q), &update);
        update_check(&update, &base, made.bytes);
        double size = (double)(update.segments.size + update.header_bytes.size);
        assert_true(fabs(size / (double)quantize_total(q).bytes - 1) < 0.1);
        assert_true(size < (double)target.size / 5);
        update_header_free(&update.header);
        writer_deinit(&update.header_bytes);
        writer_deinit(&update.segments);
        quantize_free(q);
        content_free(&made);
    }
    content_free(&base);
    content_free(&target);
}

static void rules_out_of_range_are_refused(void **state)
{
    (void)state;
    static const struct quantize_rule bad[] = {
        {QUANTIZE_ERROR, 0},       {QUANTIZE_ERROR, 1},
        {QUANTIZE_ERROR, -1},      {QUANTIZE_ERROR, NAN},
        {QUANTIZE_QP, -241},       {QUANTIZE_QP, 84},
        {QUANTIZE_QP, NAN},        {QUANTIZE_MAX_ERROR, 0},
        {QUANTIZE_MAX_ERROR, -1},  {QUANTIZE_MAX_ERROR, INFINITY},
        {QUANTIZE_MAX_ERROR, NAN}, {QUANTIZE_PRICE, 0},
        {QUANTIZE_PRICE, NAN},     {QUANTIZE_PRICE, INFINITY}};
    struct pair p;
    pair_plain(&p);
    struct quantize_params params = params_of(&p.base, &p.target);
    struct diag diag = {0};
    struct quantize *q;
    params.diag = &diag;
    assert_int_equal(quantize_new(&params, &q), STATUS_OK);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        diag_reset(&diag);
        assert_int_equal(quantize_run(q, &bad[i]), STATUS_USAGE);
        assert_true(diag.text[0]);
    }
    quantize_free(q);
    params.base_model = NULL;
    assert_int_equal(quantize_new(&params, &q), STATUS_USAGE);
    pair_free(&p);
}

static void equal_models_give_the_model(void **state)
{
    (void)state;
    struct content base, target;
    content_tiny(&base, plain_base, 4);
    content_tiny(&target, plain_base, 4);
    struct quantize *q = run(&base, &target, QUANTIZE_AUTO, 0);
    uint8_t *made = result_of(q);
    assert_memory_equal(made, target.bytes, target.size);
    assert_int_equal(quantize_hints(q)->count, 0);
    free(made);
    quantize_free(q);
    content_free(&base);
    content_free(&target);
}

static void every_failed_allocation_is_reported(void **state)
{
    (void)state;
    struct pair p;
    pair_plain(&p);
    struct quantize_params params = params_of(&p.base, &p.target);
    struct quantize_rule rule = {QUANTIZE_QP, -24};
    bool failed = true;
    unsigned swept = 0;
    for (unsigned after = 0; failed; after += 1 + after / 32) {
        struct quantize *q = NULL;
        alloc_fail_after(after);
        enum status status = quantize_new(&params, &q);
        if (!status)
            status = quantize_run(q, &rule);
        failed = alloc_fail_stop();
        assert_int_equal(status, failed ? STATUS_NO_MEMORY : STATUS_OK);
        if (q)
            quantize_free(q);
        swept++;
    }
    assert_true(swept > 20);
    pair_free(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(error_is_as_wanted),
        cmocka_unit_test(more_error_needs_fewer_bytes),
        cmocka_unit_test(dearer_bits_are_fewer_and_lose_more),
        cmocka_unit_test(auto_is_its_price_or_its_largest_error),
        cmocka_unit_test(vectors_err_by_a_twentieth_of_their_change),
        cmocka_unit_test(elements_lie_on_the_lattice_of_the_hints),
        cmocka_unit_test(what_did_not_change_stays),
        cmocka_unit_test(other_types_and_the_header_stay),
        cmocka_unit_test(tensors_with_infinities_or_without_base_stay),
        cmocka_unit_test(all_float_types_reach_the_wanted_error),
        cmocka_unit_test(no_element_errs_more_than_allowed),
        cmocka_unit_test(points_stay_below_the_largest_number),
        cmocka_unit_test(qp_sets_the_step),
        cmocka_unit_test(without_base_values_themselves_are_quantised),
        cmocka_unit_test(errors_do_not_add_up_in_a_closed_loop),
        cmocka_unit_test(reads_at_any_offset_agree),
        cmocka_unit_test(order_of_tasks_does_not_matter),
        cmocka_unit_test(a_second_run_forgets_the_first),
        cmocka_unit_test(an_update_with_hints_is_as_small_as_estimated),
        cmocka_unit_test(rules_out_of_range_are_refused),
        cmocka_unit_test(equal_models_give_the_model),
        cmocka_unit_test(every_failed_allocation_is_reported),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
