/* Models into streams and back, in memory: names, differences, errors of all
 * that is called back, short memory. */
#include "codec/nnc/nnc_model_read.h"
#include "codec/nnc/nnc_model_write.h"
#include "tests/support/alloc_fail.h"
#include "tests/support/tiny_model.h"

#include "tests/support/cmocka.h"

#include <math.h>

struct file {
    uint8_t *data;
    size_t size;
    struct source source;
    struct model *model;
    struct nnc_names names;
};

static const struct tiny_tensor tensors[] = {
    {"w", DTYPE_F32, 24, 40, 1, 0, 0, 0},
    {"half", DTYPE_F16, 16, 16, 2, 0, 0, 0},
    {"b", DTYPE_F32, 40, 0, 3, 0, 0, 0},
    {"wide", DTYPE_F64, 3, 5, 4, 0, 0, 0},
    {"ints", DTYPE_I8, 9, 2, 5, 0, 0, 0},
};
#define TENSORS (sizeof(tensors) / sizeof(*tensors))

static void file_parse(struct file *file)
{
    struct diag diag = {""};
    assert_non_null(file->data);
    file->source = source_of_bytes(bytes_of(file->data, file->size));
    assert_int_equal(
        model_parse_file(&file->source, "a.safetensors", &file->model, &diag),
        0);
    assert_int_equal(nnc_names_of_model(&file->names, file->model), 0);
}

static void file_open(struct file *file, double noise)
{
    struct tiny_tensor some[TENSORS];
    memcpy(some, tensors, sizeof(some));
    for (size_t i = 0; i < TENSORS; i++) {
        some[i].noise = some[i].dtype == DTYPE_I8 ? 0 : noise;
        some[i].noise_seed = 77 + i;
    }
    file->data = tiny_model_new(some, TENSORS, &file->size);
    file_parse(file);
    assert_int_equal(file->model->tensor_count, TENSORS);
}

static void file_close(struct file *file)
{
    nnc_names_deinit(&file->names);
    model_free(file->model);
    free(file->data);
}

static enum status put(void *ctx, struct bytes bytes)
{
    struct writer *out = ctx;
    writer_bytes(out, bytes.data, bytes.size);
    return writer_status(out);
}

static struct nnc_write_rules plain_rules(void)
{
    return (struct nnc_write_rules){.step = NNC_STEP_MAX,
                                    .value = 0x1p-12,
                                    .density = 2,
                                    .profile = 1,
                                    .dq = RD_NO,
                                    .codebook = RD_NO};
}

static enum status encode(const struct file *target, const struct file *base,
                          const struct nnc_write_rules *rules,
                          struct writer *out)
{
    const struct nnc_write_params params = {
        .source = &target->source,
        .model = target->model,
        .names = &target->names,
        .base = base ? &base->source : NULL,
        .base_model = base ? base->model : NULL,
        .base_names = base ? &base->names : NULL,
        .rules = *rules,
        .put = put,
        .put_ctx = out,
    };
    return nnc_model_write(&params);
}

static enum status decode(struct bytes stream, const struct file *base,
                          enum nnc_values mode, struct writer *out,
                          struct diag *diag)
{
    struct writer apart;
    struct nnc_entries entries;
    struct source in = source_of_bytes(stream);
    writer_init_heap(&apart, 1u << 24);
    const struct nnc_read_params read = {
        .dec = {.in = &in, .diag = diag}, .put = put, .put_ctx = &apart};
    enum status status = nnc_model_read(&read, &entries);
    struct source values = source_of_bytes(writer_view(&apart));
    const struct nnc_patch_params patch = {
        .base = base ? &base->source : NULL,
        .model = base ? base->model : NULL,
        .names = base ? &base->names : NULL,
        .entries = &entries,
        .values = &values,
        .mode = mode,
        .put = put,
        .put_ctx = out,
        .diag = diag,
    };
    if (!status)
        status = base ? nnc_model_patch(&patch)
                      : nnc_model_file(&entries, &values, put, out, diag);
    nnc_entries_deinit(&entries);
    writer_deinit(&apart);
    return status;
}

static double largest(const uint8_t *a, const uint8_t *b,
                      const struct tensor *tensor)
{
    double most = 0;
    for (uint64_t at = 0; at < tensor->size; at += 4) {
        uint32_t x = load_le32(a + tensor->offset + at);
        uint32_t y = load_le32(b + tensor->offset + at);
        float p, q;
        memcpy(&p, &x, 4);
        memcpy(&q, &y, 4);
        double d = (double)p - (double)q;
        most = d > most ? d : -d > most ? -d : most;
    }
    return most;
}

static const struct tensor *find(const struct file *file, const char *name)
{
    size_t index;
    assert_true(nnc_names_find(&file->names, name, &index));
    return &file->model->tensors[index];
}

static void check_near(const struct file *want, const struct writer *got)
{
    const struct tensor *ints = find(want, "ints");
    assert_int_equal(got->size, want->size);
    assert_true(largest(want->data, got->data, find(want, "w")) <= 0x1.01p-12);
    assert_true(largest(want->data, got->data, find(want, "b")) <= 0x1.01p-12);
    assert_memory_equal(want->data + ints->offset, got->data + ints->offset,
                        ints->size);
}

static void a_model_comes_back_in_its_container(void **state)
{
    struct file file;
    struct writer stream, out;
    struct diag diag = {""};
    struct nnc_write_rules rules = plain_rules();
    (void)state;
    file_open(&file, 0);
    writer_init_heap(&stream, 1u << 24);
    writer_init_heap(&out, 1u << 24);
    assert_int_equal(encode(&file, NULL, &rules, &stream), 0);
    assert_int_equal(
        decode(writer_view(&stream), &file, NNC_VALUES_AS_SENT, &out, &diag),
        0);
    check_near(&file, &out);
    out.size = 0;
    assert_int_equal(
        decode(writer_view(&stream), NULL, NNC_VALUES_AS_SENT, &out, &diag), 0);
    assert_true(out.size > 8 && load_le64(out.data) < out.size);
    writer_deinit(&stream);
    writer_deinit(&out);
    file_close(&file);
}

static void a_difference_is_added_to_its_base(void **state)
{
    struct file old, new;
    struct writer stream, out;
    struct diag diag = {""};
    struct nnc_write_rules rules = plain_rules();
    (void)state;
    file_open(&old, 0);
    file_open(&new, 0.05);
    writer_init_heap(&stream, 1u << 24);
    writer_init_heap(&out, 1u << 24);
    assert_int_equal(encode(&new, &old, &rules, &stream), 0);
    assert_int_equal(
        decode(writer_view(&stream), &old, NNC_VALUES_AS_SENT, &out, &diag), 0);
    check_near(&new, &out);
    out.size = stream.size = 0;
    assert_int_equal(encode(&old, &old, &rules, &stream), 0);
    assert_int_equal(stream.size, 12); /* nothing but the start */
    writer_deinit(&stream);
    writer_deinit(&out);
    file_close(&old);
    file_close(&new);
}

#define SIDE 16u

/* Two matrices: numbers around `large`, and around `small`. */
static void pair_open(struct file *file, double large, double small)
{
    static const char json[] = "{\"v\":{\"dtype\":\"F32\",\"shape\":[16,16],"
                               "\"data_offsets\":[0,1024]},"
                               "\"w\":{\"dtype\":\"F32\",\"shape\":[16,16],"
                               "\"data_offsets\":[1024,2048]}}";
    uint8_t data[2 * SIDE * SIDE * 4];
    uint32_t seed = 1;
    for (size_t i = 0; i < 2 * SIDE * SIDE; i++) {
        seed = seed * 1664525u + 1013904223u;
        float value = (float)((i < SIDE * SIDE ? large : small) *
                              ((double)(seed >> 8) / 0x1p23 - 1));
        uint32_t bits;
        memcpy(&bits, &value, 4);
        store_le32(data + 4 * i, bits);
    }
    file->data = tiny_file_new(json, data, sizeof(data), &file->size);
    file_parse(file);
}

/* Sum of the squares of a - b; b may be NULL. */
static double distance(const uint8_t *a, const uint8_t *b,
                       const struct tensor *tensor)
{
    double sum = 0;
    for (uint64_t at = tensor->offset; at < tensor->offset + tensor->size;
         at += 4) {
        uint32_t x = load_le32(a + at), y = b ? load_le32(b + at) : 0;
        float p, q;
        memcpy(&p, &x, 4);
        memcpy(&q, &y, 4);
        sum += ((double)p - (double)q) * ((double)p - (double)q);
    }
    return sum;
}

static struct nnc_write_rules error_rules(void)
{
    struct nnc_write_rules rules = plain_rules();
    rules.step = NNC_STEP_ERROR;
    rules.value = 0;
    rules.lambda = RD_LAMBDA;
    rules.dq = rules.codebook = RD_BY_COST;
    return rules;
}

static void numbers_below_any_step_are_sent(void **state)
{
    struct file old, new;
    struct writer stream, out;
    struct diag diag = {""};
    struct nnc_write_rules rules = error_rules();
    (void)state;
    pair_open(&old, 1e-14, 1e-14);
    pair_open(&new, 3e-14, 2e-14);
    for (unsigned whole = 0; whole < 2; whole++) {
        const struct file *base = whole ? NULL : &old;
        writer_init_heap(&stream, 1u << 24);
        writer_init_heap(&out, 1u << 24);
        assert_int_equal(encode(&new, base, &rules, &stream), 0);
        assert_int_equal(
            decode(writer_view(&stream), &old, NNC_VALUES_AS_SENT, &out, &diag),
            0);
        const struct tensor *w = find(&new, "w");
        assert_true(distance(out.data, new.data, w) <=
                    0.25 * distance(new.data, base ? old.data : NULL, w));
        writer_deinit(&stream);
        writer_deinit(&out);
    }
    file_close(&old);
    file_close(&new);
}

static void numbers_above_any_step_do_not_make_it(void **state)
{
    struct file file;
    struct writer stream, out;
    struct diag diag = {""};
    struct nnc_write_rules rules = error_rules();
    (void)state;
    pair_open(&file, 1e25, 1);
    writer_init_heap(&stream, 1u << 24);
    writer_init_heap(&out, 1u << 24);
    assert_int_equal(encode(&file, NULL, &rules, &stream), 0);
    assert_int_equal(
        decode(writer_view(&stream), &file, NNC_VALUES_AS_SENT, &out, &diag),
        0);
    const struct tensor *v = find(&file, "v"), *w = find(&file, "w");
    assert_true(distance(out.data, file.data, v) == 0);
    assert_true(sqrt(distance(out.data, file.data, w)) <=
                1.01 * NNC_WRITE_FULL * sqrt(distance(file.data, NULL, w)));
    writer_deinit(&stream);
    writer_deinit(&out);
    file_close(&file);
}

static void ints_open(struct file *file, uint32_t value)
{
    static const char json[] = "{\"i\":{\"dtype\":\"I32\",\"shape\":[2,1],"
                               "\"data_offsets\":[0,8]}}";
    uint8_t data[8];
    store_le32(data, value);
    store_le32(data + 4, value + 1);
    file->data = tiny_file_new(json, data, sizeof(data), &file->size);
    file_parse(file);
}

static void integers_too_far_from_their_base_are_sent_whole(void **state)
{
    struct file old, new;
    struct writer stream, out;
    struct diag diag = {""};
    struct nnc_write_rules rules = plain_rules();
    (void)state;
    ints_open(&old, 0x80000000u);
    ints_open(&new, 0x7ffffffeu);
    writer_init_heap(&stream, 1u << 24);
    writer_init_heap(&out, 1u << 24);
    assert_int_equal(encode(&new, &old, &rules, &stream), 0);
    assert_int_equal(
        decode(writer_view(&stream), &old, NNC_VALUES_AS_SENT, &out, &diag), 0);
    assert_int_equal(out.size, new.size);
    assert_memory_equal(out.data, new.data, new.size);
    writer_deinit(&stream);
    writer_deinit(&out);
    file_close(&old);
    file_close(&new);
}

static void rules_that_do_not_fit_are_usage(void **state)
{
    struct file file;
    struct writer stream;
    struct nnc_write_rules rules = plain_rules();
    (void)state;
    file_open(&file, 0);
    writer_init_heap(&stream, 1u << 24);
    rules.profile = 0;
    assert_int_equal(encode(&file, &file, &rules, &stream), STATUS_USAGE);
    rules.profile = 1;
    rules.scan_order = 2;
    rules.dq = RD_YES;
    assert_int_equal(encode(&file, NULL, &rules, &stream), STATUS_USAGE);
    assert_int_equal(stream.size, 0);
    writer_deinit(&stream);
    file_close(&file);
}

static void a_full_output_is_told(void **state)
{
    struct file file;
    struct writer stream, out;
    struct diag diag = {""};
    struct nnc_write_rules rules = plain_rules();
    (void)state;
    file_open(&file, 0);
    writer_init_heap(&stream, 400);
    assert_int_equal(encode(&file, NULL, &rules, &stream), STATUS_LIMIT);
    writer_deinit(&stream);
    writer_init_heap(&stream, 1u << 24);
    writer_init_heap(&out, 1000);
    assert_int_equal(encode(&file, NULL, &rules, &stream), 0);
    assert_int_equal(
        decode(writer_view(&stream), &file, NNC_VALUES_AS_SENT, &out, &diag),
        STATUS_LIMIT);
    writer_deinit(&stream);
    writer_deinit(&out);
    file_close(&file);
}

static void streams_cut_short_make_nothing(void **state)
{
    struct file file;
    struct writer stream, out;
    struct nnc_write_rules rules = plain_rules();
    (void)state;
    file_open(&file, 0);
    writer_init_heap(&stream, 1u << 24);
    writer_init_heap(&out, 1u << 24);
    assert_int_equal(encode(&file, NULL, &rules, &stream), 0);
    for (size_t size = 0; size < stream.size; size += 3) {
        struct diag diag = {""};
        enum status status = decode(bytes_of(stream.data, size), &file,
                                    NNC_VALUES_AS_SENT, &out, &diag);
        if (status) {
            assert_int_equal(out.size, 0);
            assert_true(diag.text[0]);
        }
        out.size = 0;
    }
    writer_deinit(&stream);
    writer_deinit(&out);
    file_close(&file);
}

/* Fails the nth allocation, for every n up to the first that is not reached. */
static void short_memory_is_told(void **state)
{
    struct file old, new;
    struct writer stream, out;
    struct nnc_write_rules rules = plain_rules();
    bool more = true;
    (void)state;
    file_open(&old, 0);
    file_open(&new, 0.05);
    for (unsigned n = 0; more && n < 3000; n += 1 + n / 16) {
        struct diag diag = {""};
        writer_init_heap(&stream, 1u << 24);
        writer_init_heap(&out, 1u << 24);
        alloc_fail_after(n);
        enum status status = encode(&new, &old, &rules, &stream);
        if (!status)
            status = decode(writer_view(&stream), &old, NNC_VALUES_AS_SENT,
                            &out, &diag);
        more = alloc_fail_stop();
        assert_int_equal(status, more ? STATUS_NO_MEMORY : 0);
        writer_deinit(&stream);
        writer_deinit(&out);
    }
    assert_false(more);
    file_close(&old);
    file_close(&new);
}

static void equal_names_are_told_apart(void **state)
{
    const char *const text[] = {"x", "y", "x", "x#2", "x"};
    struct nnc_names names;
    (void)state;
    assert_int_equal(nnc_names_init(&names, text, 5), 0);
    for (size_t i = 0; i < 5; i++) {
        size_t found;
        assert_true(nnc_names_find(&names, names.name[i], &found));
        assert_int_equal(found, i);
    }
    assert_string_equal(names.name[0], "x");
    assert_string_equal(names.name[3], "x#2#2");
    assert_string_equal(names.name[4], "x#3");
    size_t found;
    assert_false(nnc_names_find(&names, "z", &found));
    nnc_names_deinit(&names);
    assert_int_equal(nnc_names_init(&names, text, 0), 0);
    assert_false(nnc_names_find(&names, "x", &found));
    nnc_names_deinit(&names);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_model_comes_back_in_its_container),
        cmocka_unit_test(a_difference_is_added_to_its_base),
        cmocka_unit_test(numbers_below_any_step_are_sent),
        cmocka_unit_test(numbers_above_any_step_do_not_make_it),
        cmocka_unit_test(integers_too_far_from_their_base_are_sent_whole),
        cmocka_unit_test(rules_that_do_not_fit_are_usage),
        cmocka_unit_test(a_full_output_is_told),
        cmocka_unit_test(streams_cut_short_make_nothing),
        cmocka_unit_test(short_memory_is_told),
        cmocka_unit_test(equal_names_are_told_apart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
