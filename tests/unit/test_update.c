/* Updates from one content to another: what is made decodes to the target, any
 * segment alone, and nothing else is ever accepted. */
#include "codec/update/estimate.h"
#include "codec/update/record.h"
#include "codec/update/update_dec.h"
#include "codec/update/update_enc.h"

#include "codec/base/rng.h"
#include "tests/support/aux_update.h"
#include "tests/support/cmocka.h"
#include "tests/support/tiny_model.h"

#include <stdio.h>
#include <stdlib.h>

struct content {
    uint8_t *data;
    size_t size;
    struct source source;
    struct model *model;
};

/* A whole update in memory. */
struct made {
    struct writer header_bytes;
    struct writer coded;
    struct update_header header;
    uint64_t estimate;
};

static void content_take(struct content *c, uint8_t *data, size_t size,
                         const char *path)
{
    c->data = data;
    c->size = size;
    c->source = source_of_bytes(bytes_of(data, size));
    assert_int_equal(model_parse_file(&c->source, path, &c->model, NULL),
                     STATUS_OK);
}

static void content_model(struct content *c, const struct tiny_tensor *list,
                          size_t count)
{
    size_t size;
    uint8_t *data = tiny_model_new(list, count, &size);
    assert_non_null(data);
    content_take(c, data, size, "m.safetensors");
    assert_int_equal(c->model->tensor_count, count);
}

static void content_opaque(struct content *c, const void *data, size_t size)
{
    uint8_t *copy = malloc(size + 1);
    if (size)
        memcpy(copy, data, size);
    content_take(c, copy, size, "file");
}

static void content_free(struct content *c)
{
    model_free(c->model);
    free(c->data);
}

static void make_with(struct update_enc_params *params, struct made *out)
{
    struct update_enc *enc;
    struct bytes coded;
    writer_init_heap(&out->coded, 64u << 20);
    writer_init_heap(&out->header_bytes, UPDATE_HEADER_MAX);
    assert_int_equal(update_enc_new(params, &enc), STATUS_OK);
    assert_int_equal(update_enc_plan(enc, NULL, NULL), STATUS_OK);
    out->estimate = update_enc_estimate(enc);
    for (uint32_t i = 0; i < update_enc_segment_count(enc); i++) {
        assert_int_equal(update_enc_segment(enc, i, &coded), STATUS_OK);
        writer_bytes(&out->coded, coded.data, coded.size);
    }
    assert_int_equal(update_enc_header(enc, &out->header_bytes), STATUS_OK);
    update_enc_free(enc);
    assert_int_equal(update_header_parse(writer_view(&out->header_bytes),
                                         &out->header, NULL),
                     STATUS_OK);
    assert_int_equal(out->header.coded_size, out->coded.size);
}

static void make(const struct content *base, const struct content *target,
                 enum update_effort effort, struct made *out)
{
    struct update_enc_params params = {
        .base = base ? &base->source : NULL,
        .target = &target->source,
        .base_model = base ? base->model : NULL,
        .target_model = target->model,
        .effort = effort,
    };
    make_with(&params, out);
}

static void made_free(struct made *made)
{
    update_header_free(&made->header);
    writer_deinit(&made->coded);
    writer_deinit(&made->header_bytes);
}

static struct bytes made_segment(const struct made *made, uint32_t i)
{
    const struct update_segment *s = &made->header.segments[i];
    if (!s->size)
        return bytes_of("", 0);
    return bytes_of(made->coded.data + s->offset, s->size);
}

static size_t made_size(const struct made *made)
{
    return made->coded.size + made->header_bytes.size;
}

/* Decodes last segment first, each by a decoder of its own every other time. */
static void check(const struct content *base, const struct content *target,
                  const struct made *made)
{
    struct update_dec *dec;
    struct aux_place place = {&made->header, writer_view(&made->coded), 0};
    struct update_aux aux = aux_place_of(&place);
    uint8_t *out = malloc(UPDATE_SEGMENT_SIZE_MAX);
    assert_int_equal(
        update_dec_new(&made->header, base ? &base->source : NULL, &aux, &dec),
        STATUS_OK);
    for (uint32_t i = made->header.segment_count; i-- > 0;) {
        size_t size = update_segment_target_size(&made->header, i);
        struct diag diag;
        diag_reset(&diag);
        if (update_dec_segment(dec, i, made_segment(made, i), out, size, &diag))
            fail_msg("%s", diag.text);
        assert_memory_equal(
            out, target->data + update_segment_offset(&made->header, i), size);
    }
    update_dec_free(dec);
    free(out);
}

static size_t round_trip(const struct content *base,
                         const struct content *target)
{
    size_t sizes[2];
    for (unsigned e = 0; e < 2; e++) {
        struct made made;
        make(base, target, e ? UPDATE_EFFORT_FAST : UPDATE_EFFORT_SMALL, &made);
        check(base, target, &made);
        sizes[e] = made_size(&made);
        assert_true(sizes[e] <= update_bytes_max(target->size));
        made_free(&made);
    }
    return sizes[0];
}

static size_t round_trip_models(const struct tiny_tensor *old, size_t olds,
                                const struct tiny_tensor *new, size_t news)
{
    struct content base, target;
    content_model(&base, old, olds);
    content_model(&target, new, news);
    size_t size = round_trip(&base, &target);
    round_trip(NULL, &target);
    content_free(&base);
    content_free(&target);
    return size;
}

/* A little network in any float type. */
#define NET(dtype, noise, seed, share)                            \
    {"conv.weight", dtype, 64, 60, 1, noise, seed, share},        \
        {"conv.bias", dtype, 64, 0, 2, noise, seed + 1, share},   \
        {"steps", DTYPE_I64, 1, 0, 3, noise, seed + 2, 0},        \
        {"fc.weight", dtype, 30, 333, 4, noise, seed + 3, share}, \
        {"scale", dtype, 3, 0, 5, noise, seed + 4, share},        \
        {"int8", DTYPE_I8, 50, 50, 6, noise, seed + 5, share},    \
    {                                                             \
        "fc.bias", dtype, 30, 0, 7, noise, seed + 6, share        \
    }

static void equal_contents_take_next_to_nothing(void **state)
{
    const struct tiny_tensor net[] = {NET(DTYPE_F32, 0, 0, 0)};
    (void)state;
    assert_true(round_trip_models(net, 7, net, 7) <= 90);
}

static void fine_tuning_takes_less_than_the_model(void **state)
{
    const struct tiny_tensor f64[] = {NET(DTYPE_F64, 0, 0, 0)};
    const struct tiny_tensor f64n[] = {NET(DTYPE_F64, 1e-3, 9, 0)};
    const struct tiny_tensor f32[] = {NET(DTYPE_F32, 0, 0, 0)};
    const struct tiny_tensor f32n[] = {NET(DTYPE_F32, 1e-3, 9, 0)};
    const struct tiny_tensor f16[] = {NET(DTYPE_F16, 0, 0, 0)};
    const struct tiny_tensor f16n[] = {NET(DTYPE_F16, 1e-3, 9, 0)};
    const struct tiny_tensor bf16[] = {NET(DTYPE_BF16, 0, 0, 0)};
    const struct tiny_tensor bf16n[] = {NET(DTYPE_BF16, 1e-2, 9, 0)};
    (void)state;
    assert_in_range(round_trip_models(f64, 7, f64n, 7), 1, 98000);
    assert_in_range(round_trip_models(f32, 7, f32n, 7), 1, 31000);
    assert_in_range(round_trip_models(f16, 7, f16n, 7), 1, 9500);
    assert_in_range(round_trip_models(bf16, 7, bf16n, 7), 1, 9500);
}

static void few_changed_values_take_little(void **state)
{
    const struct tiny_tensor old[] = {NET(DTYPE_F32, 0, 0, 0)};
    const struct tiny_tensor new[] = {NET(DTYPE_F32, 1e-2, 9, 5)};
    (void)state;
    assert_true(round_trip_models(old, 7, new, 7) < 1500);
}

static void changed_structures_round_trip(void **state)
{
    const struct tiny_tensor old[] = {
        {"a", DTYPE_F32, 40, 50, 1, 0, 0, 0},
        {"b", DTYPE_F32, 60, 70, 2, 0, 0, 0},
        {"head", DTYPE_F32, 7, 900, 3, 0, 0, 0},
    };
    const struct tiny_tensor grown[] = {
        {"a", DTYPE_F32, 40, 50, 1, 0, 0, 0},
        {"b", DTYPE_F32, 60, 70, 2, 0, 0, 0},
        {"head", DTYPE_F32, 9, 900, 3, 0, 0, 0},
    };
    const struct tiny_tensor renamed[] = {
        {"a", DTYPE_F32, 40, 50, 1, 0, 0, 0},
        {"block.b", DTYPE_F32, 60, 70, 2, 0, 0, 0},
        {"head", DTYPE_F32, 7, 900, 3, 0, 0, 0},
    };
    const struct tiny_tensor inserted[] = {
        {"a", DTYPE_F32, 40, 50, 1, 0, 0, 0},
        {"new", DTYPE_F32, 33, 10, 9, 0, 0, 0},
        {"b", DTYPE_F32, 60, 70, 2, 0, 0, 0},
        {"head", DTYPE_F32, 7, 900, 3, 0, 0, 0},
    };
    (void)state;
    /* New rows cost what they are, old ones nothing. */
    assert_in_range(round_trip_models(old, 3, grown, 3), 4000, 7600);
    assert_in_range(round_trip_models(grown, 3, old, 3), 1, 300);
    assert_in_range(round_trip_models(old, 3, renamed, 3), 1, 300);
    assert_in_range(round_trip_models(old, 3, inserted, 4), 1, 1700);
    assert_in_range(round_trip_models(inserted, 4, old, 3), 1, 300);
}

static void another_dtype_round_trips(void **state)
{
    const struct tiny_tensor old[] = {NET(DTYPE_F32, 0, 0, 0)};
    const struct tiny_tensor new[] = {NET(DTYPE_BF16, 0, 0, 0)};
    (void)state;
    round_trip_models(old, 7, new, 7);
}

/* bf16 of an f32 is its upper half, rounded: what the base says to the bit. */
static void a_cast_takes_next_to_nothing(void **state)
{
    const struct tiny_tensor old[] = {{"x", DTYPE_F32, 100, 80, 1, 0, 0, 0}};
    const struct tiny_tensor new[] = {{"x", DTYPE_BF16, 100, 80, 1, 0, 0, 0}};
    struct content base, target;
    (void)state;
    content_model(&base, old, 1);
    content_model(&target, new, 1);
    const uint8_t *from = base.data + base.model->tensors[0].offset;
    uint8_t *to = target.data + target.model->tensors[0].offset;
    for (size_t i = 0; i < 8000; i++) {
        uint32_t bits = load_le32(from + 4 * i);
        bits += 0x7fff + (bits >> 16 & 1);
        store_le16(to + 2 * i, (uint16_t)(bits >> 16));
    }
    assert_in_range(round_trip(&base, &target), 1, 250);
    content_free(&base);
    content_free(&target);
}

/* A tensor of 4 bits an element, some of which change by one. */
static void content_packed(struct content *c, const char *dtype,
                           unsigned changes)
{
    static const char form[] = "{\"w\":{\"dtype\":\"%s\",\"shape\":[100,160],"
                               "\"data_offsets\":[0,8000]}}";
    char json[sizeof(form) + 8];
    uint8_t data[8000];
    size_t size;
    struct rng_seeded seeded;
    rng_seeded_init(&seeded, 17);
    struct rng rng = rng_from_seeded(&seeded);
    rng_fill(&rng, data, sizeof(data));
    for (unsigned i = 0; i < changes; i++) {
        uint8_t *at = &data[rng_below(&rng, sizeof(data))];
        *at = (uint8_t)(i % 2 ? *at ^ 0x10 : *at ^ 0x01);
    }
    snprintf(json, sizeof(json), form, dtype);
    uint8_t *file = tiny_file_new(json, data, sizeof(data), &size);
    assert_non_null(file);
    content_take(c, file, size, "m.safetensors");
    assert_int_equal(c->model->tensor_count, 1);
}

static void elements_of_four_bits_come_back(void **state)
{
    static const char *const dtypes[] = {"I4", "U4", "F4"};
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        struct content base, target;
        content_packed(&base, dtypes[i], 0);
        content_packed(&target, dtypes[i], 800);
        /* 5 % of 16,000 changed by one: 0.34 bits an element. */
        assert_in_range(round_trip(&base, &target), 500, 1000);
        round_trip(NULL, &target);
        content_free(&base);
        content_free(&target);
    }
}

/* Adds the product of a column and a row to a matrix. */
static void add_product(struct content *c, uint32_t rows, uint32_t columns)
{
    uint8_t *data = c->data + c->model->tensors[0].offset;
    for (uint32_t i = 0; i < rows; i++)
        for (uint32_t j = 0; j < columns; j++) {
            uint8_t *at = data + 4 * ((size_t)i * columns + j);
            uint32_t bits = load_le32(at);
            float value;
            memcpy(&value, &bits, 4);
            value +=
                1e-3f * (float)(int)(i % 17 - 8) * (float)(int)(j % 13 - 6);
            memcpy(&bits, &value, 4);
            store_le32(at, bits);
        }
}

static void a_change_of_low_rank_takes_little(void **state)
{
    const struct tiny_tensor net[] = {{"w", DTYPE_F32, 512, 512, 1, 0, 0, 0}};
    struct content base, target;
    struct made made, plain;
    (void)state;
    content_model(&base, net, 1);
    content_model(&target, net, 1);
    add_product(&target, 512, 512);
    struct update_enc_params params = {
        .base = &base.source,
        .target = &target.source,
        .base_model = base.model,
        .target_model = target.model,
        .max_rank = UPDATE_RANK_MAX,
    };
    make_with(&params, &made);
    check(&base, &target, &made);
    assert_true(made.header.aux_count > 0);
    params.max_rank = 0;
    make_with(&params, &plain);
    check(&base, &target, &plain);
    assert_int_equal(plain.header.aux_count, 0);
    assert_true(made_size(&made) < made_size(&plain) / 4);
    made_free(&made);
    made_free(&plain);
    content_free(&base);
    content_free(&target);
}

/* Runs tasks last to first: whatever order is allowed. */
/* Puts the float tensors of c, which has those of base, whole steps from them:
 * as near as that comes. */
static void quantise(const struct content *base, struct content *c, int qp)
{
    const struct lattice_coding coding = {.has_pred = true, .qp = (int16_t)qp};
    for (size_t i = 0; i < c->model->tensor_count; i++) {
        const struct tensor *t = &c->model->tensors[i];
        const uint8_t *pred = base->data + base->model->tensors[i].offset;
        if (!lattice_dtype_ok(t->dtype))
            continue;
        size_t count = t->size / (dtype_bits(t->dtype) / 8);
        int32_t *levels = malloc(count * sizeof(*levels));
        assert_non_null(levels);
        (void)lattice_levels(&coding, t->dtype, pred, c->data + t->offset,
                             count, levels, NULL);
        lattice_points(&coding, t->dtype, pred, levels, count,
                       c->data + t->offset);
        free(levels);
    }
}

static unsigned count_lattices(const struct made *made)
{
    unsigned count = 0;
    for (uint32_t i = 0; i < made->header.records.count; i++)
        count += made->header.records.records[i].mode == UPDATE_CODED &&
                 made->header.records.records[i].coding.kind == CODING_LATTICE;
    return count;
}

/* Of 24,000 elements of which one in five moves by a step or two. */
static void quantised_changes_travel_as_levels(void **state)
{
    static const enum dtype dtypes[] = {DTYPE_F32, DTYPE_F16, DTYPE_BF16,
                                        DTYPE_F64};
    (void)state;
    for (size_t i = 0; i < 4; i++) {
        const struct tiny_tensor old[] = {NET(dtypes[i], 0, 0, 0)};
        const struct tiny_tensor new[] = {NET(dtypes[i], 0.2, 9, 200)};
        struct content base, target;
        struct made made;
        uint64_t estimate;
        content_model(&base, old, 7);
        content_model(&target, new, 7);
        quantise(&base, &target, -7);
        memcpy(target.data + target.model->tensors[5].offset,
               base.data + base.model->tensors[5].offset, 2500);
        struct update_enc_params params = {
            .base = &base.source,
            .target = &target.source,
            .base_model = base.model,
            .target_model = target.model,
        };
        make_with(&params, &made);
        check(&base, &target, &made);
        assert_in_range(count_lattices(&made), 2, 5);
        assert_string_equal(record_mode_name(&made.header.records.records[1]),
                            "lattice");
        assert_int_equal(made.header_bytes.data[0], UPDATE_VERSION);
        assert_int_equal(update_estimate(&params, &estimate), STATUS_OK);
        assert_in_range(estimate, made_size(&made) * 85 / 100,
                        made_size(&made) * 115 / 100);
        assert_true(round_trip(&base, &target) < 4200);
        round_trip(NULL, &target);
        made_free(&made);
        params.speed = CODING_SPEED_FAST;
        make_with(&params, &made);
        assert_int_equal(count_lattices(&made), 0);
        assert_int_equal(made.header_bytes.data[0], UPDATE_VERSION_PLAIN);
        made_free(&made);
        content_free(&base);
        content_free(&target);
    }
}

/* From further back than one step: the sum of both, and few residuals. */
static void two_quantised_changes_are_one(void **state)
{
    const struct tiny_tensor net[] = {{"w", DTYPE_F32, 99, 120, 1, 0, 0, 0}};
    const struct tiny_tensor one[] = {{"w", DTYPE_F32, 99, 120, 1, 0.2, 2, 99}};
    const struct tiny_tensor two[] = {{"w", DTYPE_F32, 99, 120, 1, 0.2, 3, 99}};
    struct content a, b, c;
    (void)state;
    content_model(&a, net, 1);
    content_model(&b, one, 1);
    content_model(&c, two, 1);
    quantise(&a, &b, -7);
    quantise(&b, &c, -5);
    size_t first = round_trip(&a, &b), second = round_trip(&b, &c);
    assert_true(round_trip(&a, &c) < first + second);
    content_free(&a);
    content_free(&b);
    content_free(&c);
}

/* A low rank part no one can find again but from its factors: with them, levels
 * are all there is. Hints that do not hold do no harm. */
static void what_the_maker_knows_is_tried_first(void **state)
{
    const struct tiny_tensor net[] = {{"w", DTYPE_F32, 96, 128, 1, 0, 0, 0}};
    struct content base, target;
    struct made made, without;
    int16_t u[2 * 96], v[2 * 128];
    (void)state;
    content_model(&base, net, 1);
    content_model(&target, net, 1);
    for (int i = 0; i < 2 * 128; i++) {
        v[i] = (int16_t)((i * i + i / 3) % 61 - 30);
        u[i % (2 * 96)] = (int16_t)((i * 7 + i * i / 5) % 91 - 45);
    }
    struct update_hint hint = {
        .target_offset = target.model->tensors[0].offset,
        .qp = -36,
        .density = 2,
        .has_step = true,
        .rank = 2,
        .shift = -18,
        .columns = 128,
        .u = u,
        .v = v,
    };
    const struct predict predict = {.dtype = DTYPE_F32,
                                    .from = DTYPE_F32,
                                    .columns = 128,
                                    .rank = 2,
                                    .shift = hint.shift,
                                    .u = u,
                                    .v = v};
    uint8_t *data = target.data + hint.target_offset;
    predict_elems(&predict, 0, data, 96 * 128, data, NULL);
    int32_t levels[96 * 128];
    for (int i = 0; i < 96 * 128; i++)
        levels[i] = i % 37 == 0 ? i % 5 - 2 : 0;
    const struct lattice_coding coding = {.has_pred = true, .qp = -9};
    lattice_points(&coding, DTYPE_F32, data, levels, 96 * 128, data);
    const struct update_hints hints = {&hint, 1};
    struct update_enc_params params = {
        .base = &base.source,
        .target = &target.source,
        .base_model = base.model,
        .target_model = target.model,
        .max_rank = UPDATE_RANK_MAX,
        .hints = &hints,
    };
    make_with(&params, &made);
    check(&base, &target, &made);
    assert_int_equal(count_lattices(&made), 1);
    assert_int_equal(
        made.header.records.records[made.header.records.count - 1].rank, 2);
    params.hints = NULL;
    make_with(&params, &without);
    assert_true(made_size(&made) < made_size(&without) / 4);
    made_free(&made);
    u[5] ^= 99;
    hint.qp = 3;
    params.hints = &hints;
    make_with(&params, &made);
    check(&base, &target, &made);
    assert_true(made_size(&made) < 2 * made_size(&without));
    made_free(&made);
    made_free(&without);
    content_free(&base);
    content_free(&target);
}

static void run_backwards(void *ctx, unsigned count,
                          void (*task)(void *arg, unsigned index), void *arg)
{
    unsigned *most = ctx;
    *most = count > *most ? count : *most;
    while (count--)
        task(arg, count);
}

static void the_number_of_threads_changes_no_byte(void **state)
{
    const struct tiny_tensor old[] = {{"a", DTYPE_F32, 512, 600, 1, 0, 0, 0},
                                      {"b", DTYPE_BF16, 512, 600, 2, 0, 0, 0},
                                      {"c", DTYPE_F32, 512, 600, 3, 0, 0, 0}};
    const struct tiny_tensor new[] = {
        {"a", DTYPE_F32, 512, 600, 1, 1e-3, 7, 0},
        {"b", DTYPE_BF16, 512, 600, 2, 1e-2, 8, 0},
        {"c", DTYPE_F32, 512, 600, 3, 1e-3, 9, 3}};
    struct content base, target;
    struct made one, many;
    unsigned most = 0;
    const struct parallel parallel = {run_backwards, &most, 3};
    (void)state;
    content_model(&base, old, 3);
    content_model(&target, new, 3);
    add_product(&target, 512, 600);
    struct update_enc_params params = {
        .base = &base.source,
        .target = &target.source,
        .base_model = base.model,
        .target_model = target.model,
        .max_rank = UPDATE_RANK_MAX,
    };
    make_with(&params, &one);
    params.parallel = &parallel;
    make_with(&params, &many);
    assert_int_equal(most, 3);
    assert_int_equal(one.header_bytes.size, many.header_bytes.size);
    assert_memory_equal(one.header_bytes.data, many.header_bytes.data,
                        one.header_bytes.size);
    assert_int_equal(one.coded.size, many.coded.size);
    assert_memory_equal(one.coded.data, many.coded.data, one.coded.size);
    made_free(&one);
    made_free(&many);
    content_free(&base);
    content_free(&target);
}

static void every_bit_pattern_comes_back(void **state)
{
    const struct tiny_tensor net[] = {{"x", DTYPE_F32, 500, 0, 1, 0, 0, 0},
                                      {"y", DTYPE_F16, 500, 0, 2, 0, 0, 0}};
    struct rng_seeded seeded;
    struct content base, target;
    rng_seeded_init(&seeded, 4);
    struct rng rng = rng_from_seeded(&seeded);
    (void)state;
    content_model(&base, net, 2);
    content_model(&target, net, 2);
    uint8_t *x = target.data + target.model->tensors[0].offset;
    rng_fill(&rng, x, 1000); /* NaNs among them */
    store_le32(x, 0x7f800001);
    store_le32(x + 4, 0xff800000);
    store_le32(x + 8, 0x80000000);
    store_le32(x + 12, 1);
    round_trip(&base, &target);
    round_trip(&target, &base);
    content_free(&base);
    content_free(&target);
}

/* Each row of the new tensor is the first part of an old row; the file is too
 * large for one segment, and everything moved. */
static void lost_columns_are_found_in_the_old_tensor(void **state)
{
    const struct tiny_tensor old[] = {
        {"a", DTYPE_F32, 500, 500, 1, 0, 0, 0},
        {"b", DTYPE_F32, 800, 480, 2, 0, 0, 0},
    };
    const struct tiny_tensor new[] = {
        {"b", DTYPE_F32, 800, 360, 3, 0, 0, 0},
        {"a", DTYPE_F32, 500, 500, 1, 0, 0, 0},
    };
    struct content base, target;
    (void)state;
    content_model(&base, old, 2);
    content_model(&target, new, 2);
    const uint8_t *from = base.data + base.model->tensors[1].offset;
    uint8_t *to = target.data + target.model->tensors[0].offset;
    for (size_t row = 0; row < 800; row++)
        memcpy(to + row * 360 * 4, from + row * 480 * 4, (size_t)360 * 4);
    assert_in_range(round_trip(&base, &target), 1, 20000);
    content_free(&base);
    content_free(&target);
}

static void odd_contents_round_trip(void **state)
{
    static const size_t sizes[] = {0, 1, 2, 65535, 65536, 65537, 300001};
    struct rng_seeded seeded;
    struct content list[7];
    rng_seeded_init(&seeded, 5);
    struct rng rng = rng_from_seeded(&seeded);
    uint8_t *data = malloc(300001);
    (void)state;
    rng_fill(&rng, data, 300001);
    memset(data + 100000, 'x', 60000);
    for (unsigned i = 0; i < 7; i++)
        content_opaque(&list[i], data, sizes[i]);
    for (unsigned i = 0; i < 7; i++) {
        round_trip(NULL, &list[i]);
        for (unsigned j = 0; j < 7; j++)
            round_trip(&list[j], &list[i]);
    }
    for (unsigned i = 0; i < 7; i++)
        content_free(&list[i]);
    free(data);
}

static void moved_bytes_are_found_in_the_base(void **state)
{
    struct rng_seeded seeded;
    struct content base, target;
    size_t half = 300000;
    rng_seeded_init(&seeded, 6);
    struct rng rng = rng_from_seeded(&seeded);
    uint8_t *data = malloc(2 * half), *swapped = malloc(2 * half);
    (void)state;
    rng_fill(&rng, data, 2 * half);
    memcpy(swapped, data + half, half);
    memcpy(swapped + half, data, half);
    content_opaque(&base, data, 2 * half);
    content_opaque(&target, swapped, 2 * half);
    assert_in_range(round_trip(&base, &target), 1, 300);
    content_free(&base);
    content_free(&target);
    free(data);
    free(swapped);
}

/* No model says that they are numbers. */
static void trained_numbers_in_opaque_contents_are_found(void **state)
{
    enum {
        COUNT = 200000,
        HEAD = 8
    };
    struct rng_seeded seeded;
    struct content base, target;
    rng_seeded_init(&seeded, 7);
    struct rng rng = rng_from_seeded(&seeded);
    float *old = malloc(COUNT * sizeof(*old)), *new = malloc(4 * COUNT);
    (void)state;
    assert_true(old && new);
    for (size_t i = 0; i < COUNT; i++) {
        old[i] = ((float)rng_below(&rng, 2000001) - 1000000) / 1e7f;
        new[i] = old[i] + ((float)rng_below(&rng, 2001) - 1000) / 1e9f;
    }
    memcpy(old, "opaque..", HEAD);
    memcpy(new, "opaque..", HEAD);
    content_opaque(&base, old, COUNT * sizeof(*old));
    content_opaque(&target, new, COUNT * sizeof(*new));
    assert_in_range(round_trip(&base, &target), 1, COUNT * 5 / 2);
    content_free(&base);
    content_free(&target);
    free(old);
    free(new);
}

/* Each row times a factor of its own, as folded normalisations leave it, and
 * the same rows as small integers. */
static void rows_times_factors_take_little(void **state)
{
    const struct tiny_tensor old[] = {{"a", DTYPE_F32, 64, 96, 1, 0, 0, 0}};
    struct content base, target;
    (void)state;
    content_model(&base, old, 1);
    content_model(&target, old, 1);
    const struct tensor *tensor = &target.model->tensors[0];
    for (size_t i = 0; i < 64 * 96; i++) {
        uint8_t *at = target.data + tensor->offset + 4 * i;
        uint32_t bits = load_le32(at);
        float value;
        memcpy(&value, &bits, 4);
        value *= 0.5f + (float)(i / 96) / 77;
        memcpy(&bits, &value, 4);
        store_le32(at, bits);
    }
    assert_in_range(round_trip(&base, &target), 1, 64 * 96 / 4);
    content_free(&base);
    content_free(&target);
}

static void elements_cut_by_segments_come_back(void **state)
{
    /* 2.2 MB of f64 from an odd offset: eight segments of 256 KiB. */
    const struct tiny_tensor old[] = {{"odd", DTYPE_U8, 3, 0, 1, 0, 0, 0},
                                      {"w", DTYPE_F64, 530, 530, 2, 0, 0, 0}};
    const struct tiny_tensor new[] = {
        {"odd", DTYPE_U8, 3, 0, 1, 0, 0, 0},
        {"w", DTYPE_F64, 530, 530, 2, 1e-6, 3, 0}};
    struct content base, target;
    struct made made;
    (void)state;
    content_model(&base, old, 2);
    content_model(&target, new, 2);
    make(&base, &target, UPDATE_EFFORT_FAST, &made);
    assert_int_equal(made.header.segment_count, 9);
    assert_true(target.model->tensors[1].offset % 8 != 0);
    check(&base, &target, &made);
    made_free(&made);
    content_free(&base);
    content_free(&target);
}

static void a_segment_that_changes_nothing_has_no_bytes(void **state)
{
    const struct tiny_tensor old[] = {{"a", DTYPE_F32, 500, 500, 1, 0, 0, 0},
                                      {"b", DTYPE_F32, 500, 500, 2, 0, 0, 0}};
    struct content base, target;
    struct made made;
    unsigned changed = 0;
    (void)state;
    content_model(&base, old, 2);
    content_model(&target, old, 2);
    /* Noise in 70 kB of one tensor, so that it takes more than one segment. */
    for (size_t i = 1500000; i < 1570000; i += 4)
        target.data[i] ^= (uint8_t)(i * 37);
    make(&base, &target, UPDATE_EFFORT_FAST, &made);
    check(&base, &target, &made);
    for (uint32_t i = 0; i < made.header.segment_count; i++)
        changed += made.header.segments[i].size > 0;
    assert_true(changed >= 1 && changed < made.header.segment_count);
    made_free(&made);
    content_free(&base);
    content_free(&target);
}

static void the_same_inputs_give_the_same_bytes(void **state)
{
    const struct tiny_tensor old[] = {NET(DTYPE_F32, 0, 0, 0)};
    const struct tiny_tensor new[] = {NET(DTYPE_F32, 1e-3, 9, 0)};
    struct content base, target;
    struct made a, b;
    (void)state;
    content_model(&base, old, 7);
    content_model(&target, new, 7);
    make(&base, &target, UPDATE_EFFORT_SMALL, &a);
    make(&base, &target, UPDATE_EFFORT_SMALL, &b);
    assert_int_equal(a.header_bytes.size, b.header_bytes.size);
    assert_memory_equal(a.header_bytes.data, b.header_bytes.data,
                        a.header_bytes.size);
    assert_int_equal(a.coded.size, b.coded.size);
    assert_memory_equal(a.coded.data, b.coded.data, a.coded.size);
    made_free(&a);
    made_free(&b);
    content_free(&base);
    content_free(&target);
}

static void estimates_are_near(void **state)
{
    const struct tiny_tensor old[] = {NET(DTYPE_F32, 0, 0, 0)};
    const struct tiny_tensor new[] = {NET(DTYPE_F32, 1e-3, 9, 0)};
    struct content base, target;
    struct made made;
    uint64_t estimate;
    (void)state;
    content_model(&base, old, 7);
    content_model(&target, new, 7);
    struct update_enc_params params = {
        .base = &base.source,
        .target = &target.source,
        .base_model = base.model,
        .target_model = target.model,
    };
    make(&base, &target, UPDATE_EFFORT_SMALL, &made);
    size_t size = made_size(&made);
    assert_in_range(made.estimate, size * 9 / 10, size * 11 / 10);
    assert_int_equal(update_estimate(&params, &estimate), STATUS_OK);
    assert_in_range(estimate, size * 9 / 10, size * 11 / 10);
    params.target = &base.source;
    params.target_model = base.model;
    assert_int_equal(update_estimate(&params, &estimate), STATUS_OK);
    assert_in_range(estimate, 50, 300);
    made_free(&made);
    content_free(&base);
    content_free(&target);
}

static void blocks_without_their_leaf_are_noticed(void **state)
{
    const struct tiny_tensor net[] = {NET(DTYPE_F32, 0, 0, 0)};
    struct content base, target;
    struct tree_builder tb;
    struct hash id;
    struct diag diag;
    (void)state;
    content_model(&base, net, 7);
    content_model(&target, net, 7);
    assert_int_equal(tree_build(&base.source, &tb, &id), STATUS_OK);
    struct update_enc_params params = {
        .base = &base.source,
        .target = &target.source,
        .base_leaves = tb.leaves,
        .target_leaves = tb.leaves,
        .diag = &diag,
    };
    for (unsigned bad = 0; bad < 3; bad++) {
        struct update_enc *enc;
        uint8_t *data = bad == 1 ? base.data : target.data;
        data[20000] ^= bad > 0;
        diag_reset(&diag);
        assert_int_equal(update_enc_new(&params, &enc), STATUS_OK);
        assert_int_equal(update_enc_plan(enc, NULL, NULL),
                         bad ? STATUS_MISMATCH : STATUS_OK);
        assert_int_equal(diag.text[0] != 0, bad > 0);
        if (bad)
            assert_non_null(strstr(diag.text, bad == 1 ? "base" : "target"));
        data[20000] ^= bad > 0;
        update_enc_free(enc);
    }
    tree_builder_deinit(&tb);
    content_free(&base);
    content_free(&target);
}

static bool stop_at_once(void *ctx, uint64_t done, uint64_t total)
{
    (void)ctx;
    assert_true(done <= total);
    return false;
}

static void a_plan_can_be_stopped(void **state)
{
    struct content target;
    struct update_enc *enc;
    (void)state;
    content_opaque(&target, "hello", 5);
    struct update_enc_params params = {.target = &target.source};
    assert_int_equal(update_enc_new(&params, &enc), STATUS_OK);
    assert_int_equal(update_enc_plan(enc, stop_at_once, NULL), STATUS_CLOSED);
    update_enc_free(enc);
    content_free(&target);
}

static enum status limited_read(void *ctx, uint64_t offset, void *out,
                                size_t size)
{
    unsigned *left = ctx;
    (void)offset;
    if (!*left)
        return STATUS_IO;
    --*left;
    memset(out, 1, size);
    return STATUS_OK;
}

static void errors_of_the_sources_come_through(void **state)
{
    (void)state;
    for (unsigned reads = 0; reads < 8; reads++) {
        unsigned left = reads;
        struct source broken = {limited_read, &left, 100000};
        struct update_enc_params params = {.target = &broken};
        struct update_enc *enc;
        struct bytes coded;
        assert_int_equal(update_enc_new(&params, &enc), STATUS_OK);
        enum status status = update_enc_plan(enc, NULL, NULL);
        if (!status)
            status = update_enc_segment(enc, 0, &coded);
        assert_true(status == STATUS_IO || (reads >= 5 && !status));
        update_enc_free(enc);
    }
}

static void the_encoder_keeps_its_order(void **state)
{
    struct content target;
    struct update_enc *enc;
    struct bytes coded;
    struct writer wr;
    (void)state;
    content_opaque(&target, "hello", 5);
    struct update_enc_params params = {.target = &target.source};
    assert_int_equal(update_enc_new(&params, &enc), STATUS_OK);
    assert_int_equal(update_enc_plan(enc, NULL, NULL), STATUS_OK);
    writer_init_heap(&wr, 1000);
    assert_int_equal(update_enc_header(enc, &wr), STATUS_USAGE);
    assert_int_equal(update_enc_segment(enc, 1, &coded), STATUS_USAGE);
    assert_int_equal(update_enc_segment(enc, 0, &coded), STATUS_OK);
    assert_int_equal(update_enc_segment(enc, 0, &coded), STATUS_USAGE);
    assert_int_equal(update_enc_header(enc, &wr), STATUS_OK);
    writer_deinit(&wr);
    update_enc_free(enc);
    content_free(&target);
}

static void the_decoder_wants_the_right_base(void **state)
{
    const struct tiny_tensor net[] = {NET(DTYPE_F32, 0, 0, 0)};
    struct content base, target;
    struct made over, full;
    struct update_dec *dec = NULL;
    (void)state;
    content_model(&base, net, 7);
    content_opaque(&target, "hello", 5);
    make(&base, &target, UPDATE_EFFORT_FAST, &over);
    make(NULL, &target, UPDATE_EFFORT_FAST, &full);
    assert_int_equal(update_dec_new(&over.header, NULL, NULL, &dec),
                     STATUS_BAD_BASE);
    assert_int_equal(update_dec_new(&over.header, &target.source, NULL, &dec),
                     STATUS_BAD_BASE);
    assert_int_equal(update_dec_new(&full.header, &base.source, NULL, &dec),
                     STATUS_BAD_BASE);
    made_free(&over);
    made_free(&full);
    content_free(&base);
    content_free(&target);
}

/* ---- hostile updates ---- */

/* A changed segment whose hash the maker made fit must yield an error or
 * bytes, never a fault; those bytes meet the leaves later. */
static void decode_changed(const struct made *made, struct update_dec *dec,
                           uint32_t index, const uint8_t *coded, size_t size,
                           uint8_t *out)
{
    struct update_segment *segment = &made->header.segments[index];
    struct update_segment saved = *segment;
    uint8_t *copy = malloc(size ? size : 1);
    if (size)
        memcpy(copy, coded, size);
    segment->size = (uint32_t)size;
    update_segment_hash(bytes_of(copy, size), segment->hash);
    enum status status = update_dec_segment(
        dec, index, bytes_of(copy, size), out,
        update_segment_target_size(&made->header, index), NULL);
    assert_int_not_equal(status, STATUS_USAGE);
    assert_int_not_equal(status, STATUS_MISMATCH);
    assert_int_not_equal(status, STATUS_NO_MEMORY);
    *segment = saved;
    free(copy);
}

static void torture(const struct content *base, const struct content *target,
                    uint64_t seed)
{
    struct rng_seeded seeded;
    struct made made;
    struct update_dec *dec;
    uint8_t *out = malloc(UPDATE_SEGMENT_SIZE_MAX);
    rng_seeded_init(&seeded, seed);
    struct rng rng = rng_from_seeded(&seeded);
    make(base, target, UPDATE_EFFORT_SMALL, &made);
    assert_int_equal(
        update_dec_new(&made.header, base ? &base->source : NULL, NULL, &dec),
        STATUS_OK);
    struct bytes coded = made_segment(&made, 0);
    uint8_t *copy = malloc(coded.size + 1);
    size_t step = coded.size / 400 + 1;
    for (size_t cut = 1; cut < coded.size; cut += step)
        decode_changed(&made, dec, 0, coded.data, cut, out);
    for (unsigned i = 0; i < 400; i++) {
        memcpy(copy, coded.data, coded.size);
        size_t reach = i % 2 ? coded.size : (coded.size < 64 ? coded.size : 64);
        for (uint64_t n = 1 + rng_below(&rng, 3); n && reach; n--)
            copy[rng_below(&rng, reach)] ^= (uint8_t)(1u << rng_below(&rng, 8));
        decode_changed(&made, dec, 0, copy, coded.size, out);
    }
    decode_changed(&made, dec, 0, copy, 0, out);
    free(copy);
    update_dec_free(dec);
    made_free(&made);
    free(out);
}

static void changed_segments_never_fault(void **state)
{
    const struct tiny_tensor old[] = {NET(DTYPE_F32, 0, 0, 0)};
    const struct tiny_tensor new[] = {NET(DTYPE_F32, 1e-3, 9, 0)};
    const struct tiny_tensor few[] = {NET(DTYPE_BF16, 1e-3, 9, 4)};
    struct content base, target, half;
    (void)state;
    content_model(&base, old, 7);
    content_model(&target, new, 7);
    content_model(&half, few, 7);
    torture(&base, &target, 1);
    torture(NULL, &target, 2);
    torture(&base, &half, 3);
    torture(NULL, &half, 4);
    content_free(&base);
    content_free(&target);
    content_free(&half);
}

static void a_segment_without_its_hash_is_not_looked_at(void **state)
{
    const struct tiny_tensor new[] = {NET(DTYPE_F32, 1e-3, 9, 0)};
    struct content target;
    struct made made;
    struct update_dec *dec;
    struct diag diag;
    (void)state;
    content_model(&target, new, 7);
    make(NULL, &target, UPDATE_EFFORT_FAST, &made);
    uint8_t *out = malloc(target.size);
    assert_int_equal(update_dec_new(&made.header, NULL, NULL, &dec), STATUS_OK);
    struct bytes coded = made_segment(&made, 0);
    for (size_t i = 0; i < coded.size; i += coded.size / 50 + 1) {
        diag_reset(&diag);
        made.coded.data[i] ^= 1;
        assert_int_equal(
            update_dec_segment(dec, 0, coded, out, target.size, &diag),
            STATUS_MISMATCH);
        assert_non_null(strstr(diag.text, "segment 0"));
        made.coded.data[i] ^= 1;
    }
    assert_int_equal(update_dec_segment(dec, 0,
                                        bytes_of(coded.data, coded.size - 1),
                                        out, target.size, NULL),
                     STATUS_MISMATCH);
    assert_int_equal(
        update_dec_segment(dec, 0, bytes_of("", 0), out, target.size, NULL),
        STATUS_MISMATCH);
    assert_int_equal(update_dec_segment(dec, 1, coded, out, target.size, NULL),
                     STATUS_USAGE);
    assert_int_equal(
        update_dec_segment(dec, 0, coded, out, target.size - 1, NULL),
        STATUS_USAGE);
    update_dec_free(dec);
    made_free(&made);
    content_free(&target);
    free(out);
}

/* Flips bits of whole updates: what decodes in spite of it is the target, or
 * is found by the leaves. */
static void changed_headers_never_yield_a_wrong_block(void **state)
{
    const struct tiny_tensor old[] = {NET(DTYPE_BF16, 0, 0, 0)};
    const struct tiny_tensor new[] = {NET(DTYPE_BF16, 1e-2, 9, 0)};
    struct content base, target;
    struct made made;
    struct rng_seeded seeded;
    rng_seeded_init(&seeded, 8);
    struct rng rng = rng_from_seeded(&seeded);
    (void)state;
    content_model(&base, old, 7);
    content_model(&target, new, 7);
    make(&base, &target, UPDATE_EFFORT_FAST, &made);
    uint8_t *copy = malloc(made.header_bytes.size), *out = malloc(target.size);
    for (unsigned i = 0; i < 1500; i++) {
        struct update_header h;
        struct update_dec *dec;
        struct hash leaf, want;
        memcpy(copy, made.header_bytes.data, made.header_bytes.size);
        copy[rng_below(&rng, made.header_bytes.size)] ^=
            (uint8_t)(1u << rng_below(&rng, 8));
        if (update_header_parse(bytes_of(copy, made.header_bytes.size), &h,
                                NULL))
            continue;
        if (h.target.size == target.size &&
            !update_dec_new(&h, &base.source, NULL, &dec)) {
            enum status status = update_dec_segment(
                dec, 0, made_segment(&made, 0), out, target.size, NULL);
            tree_leaf(bytes_of(out, target.size), &leaf);
            tree_leaf(bytes_of(target.data, target.size), &want);
            if (!status && hash_equal(&leaf, &want))
                assert_memory_equal(out, target.data, target.size);
            update_dec_free(dec);
        }
        update_header_free(&h);
    }
    free(copy);
    free(out);
    made_free(&made);
    content_free(&base);
    content_free(&target);
}

static void contents_above_the_limit_are_refused(void **state)
{
    struct source huge = {limited_read, NULL, TREE_SIZE_MAX + 1};
    struct update_enc_params params = {.target = &huge};
    struct update_enc *enc;
    (void)state;
    assert_int_equal(update_enc_new(&params, &enc), STATUS_LIMIT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equal_contents_take_next_to_nothing),
        cmocka_unit_test(fine_tuning_takes_less_than_the_model),
        cmocka_unit_test(few_changed_values_take_little),
        cmocka_unit_test(changed_structures_round_trip),
        cmocka_unit_test(another_dtype_round_trips),
        cmocka_unit_test(a_cast_takes_next_to_nothing),
        cmocka_unit_test(elements_of_four_bits_come_back),
        cmocka_unit_test(a_change_of_low_rank_takes_little),
        cmocka_unit_test(quantised_changes_travel_as_levels),
        cmocka_unit_test(two_quantised_changes_are_one),
        cmocka_unit_test(what_the_maker_knows_is_tried_first),
        cmocka_unit_test(the_number_of_threads_changes_no_byte),
        cmocka_unit_test(every_bit_pattern_comes_back),
        cmocka_unit_test(lost_columns_are_found_in_the_old_tensor),
        cmocka_unit_test(odd_contents_round_trip),
        cmocka_unit_test(moved_bytes_are_found_in_the_base),
        cmocka_unit_test(trained_numbers_in_opaque_contents_are_found),
        cmocka_unit_test(rows_times_factors_take_little),
        cmocka_unit_test(elements_cut_by_segments_come_back),
        cmocka_unit_test(a_segment_that_changes_nothing_has_no_bytes),
        cmocka_unit_test(the_same_inputs_give_the_same_bytes),
        cmocka_unit_test(estimates_are_near),
        cmocka_unit_test(blocks_without_their_leaf_are_noticed),
        cmocka_unit_test(a_plan_can_be_stopped),
        cmocka_unit_test(errors_of_the_sources_come_through),
        cmocka_unit_test(the_encoder_keeps_its_order),
        cmocka_unit_test(the_decoder_wants_the_right_base),
        cmocka_unit_test(changed_segments_never_fault),
        cmocka_unit_test(a_segment_without_its_hash_is_not_looked_at),
        cmocka_unit_test(changed_headers_never_yield_a_wrong_block),
        cmocka_unit_test(contents_above_the_limit_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
