/* Which parser a file gets, and contents of several files. */
#include "codec/model/model.h"
#include "tests/support/tiny_model.h"

#include "tests/support/cmocka.h"
#include "tests/support/model_sound.h"

#include <stdio.h>
#include <stdlib.h>

static const struct tiny_tensor two[] = {
    {"w", DTYPE_F32, 4, 3, 1, 0, 0, 0},
    {"b", DTYPE_F32, 4, 0, 2, 0, 0, 0},
};

static void suffix_goes_before_content(void **state)
{
    struct source text = source_of_bytes(bytes_of_text("hello"));
    size_t size;
    uint8_t *file = tiny_model_new(two, 2, &size);
    struct source model = source_of_bytes(bytes_of(file, size));
    (void)state;
    assert_int_equal(container_probe("x.safetensors", &text),
                     CONTAINER_SAFETENSORS);
    assert_int_equal(container_probe("x.bin", &model), CONTAINER_SAFETENSORS);
    assert_int_equal(container_probe(NULL, &model), CONTAINER_SAFETENSORS);
    assert_int_equal(container_probe("x.bin", &text), CONTAINER_OPAQUE);
    assert_int_equal(container_probe("x.safetensors.bak", &text),
                     CONTAINER_OPAQUE);
    assert_string_equal(container_name(CONTAINER_SAFETENSORS), "safetensors");
    free(file);
}

static void suffixes_say_the_format(void **state)
{
    static const struct {
        const char *path;
        enum container_format format;
    } cases[] = {
        {"a.onnx", CONTAINER_ONNX},   {"d/a.tflite", CONTAINER_TFLITE},
        {"a.pt", CONTAINER_TORCH},    {"a.pth", CONTAINER_TORCH},
        {"a.param", CONTAINER_NCNN},  {"a.bin", CONTAINER_OPAQUE},
        {"a.ckpt", CONTAINER_OPAQUE}, {"onnx", CONTAINER_OPAQUE},
    };
    struct source text = source_of_bytes(bytes_of_text("hello"));
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        assert_int_equal(container_probe(cases[i].path, &text),
                         cases[i].format);
}

static void
a_file_of_another_format_than_its_suffix_says_is_opaque(void **state)
{
    static const char *const paths[] = {"a.onnx", "a.tflite", "a.pt",
                                        "a.param"};
    size_t size;
    uint8_t *file = tiny_model_new(two, 2, &size);
    struct source source = source_of_bytes(bytes_of(file, size));
    (void)state;
    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
        struct model *model;
        struct diag diag;
        diag_reset(&diag);
        assert_int_equal(model_parse_file(&source, paths[i], &model, &diag),
                         STATUS_OK);
        assert_non_null(model_unreadable(model));
        assert_int_equal(model->files[0].format, CONTAINER_OPAQUE);
        assert_int_not_equal(model->files[0].claims, CONTAINER_OPAQUE);
        assert_int_equal(model->tensor_count, 0);
        assert_string_not_equal(diag.text, "");
        model_free(model);
    }
    free(file);
}

static void an_unknown_file_has_no_tensors(void **state)
{
    struct source source = source_of_bytes(bytes_of_text("hello"));
    struct model *model;
    struct diag diag;
    (void)state;
    diag_reset(&diag);
    assert_int_equal(model_parse_file(&source, "a.txt", &model, &diag),
                     STATUS_OK);
    assert_int_equal(model->tensor_count, 0);
    assert_int_equal(model->file_count, 1);
    assert_null(model_unreadable(model));
    model_free(model);
}

static void an_unreadable_file_is_opaque_and_says_why(void **state)
{
    struct source source = source_of_bytes(bytes_of_text("hello"));
    struct model *model;
    struct diag diag;
    (void)state;
    diag_reset(&diag);
    assert_int_equal(model_parse_file(&source, "a.safetensors", &model, &diag),
                     STATUS_OK);
    assert_int_equal(model->tensor_count, 0);
    assert_non_null(model_unreadable(model));
    assert_int_equal(model_unreadable(model)->status, STATUS_TRUNCATED);
    assert_int_equal(model_unreadable(model)->format, CONTAINER_OPAQUE);
    assert_non_null(strstr(diag.text, "too short"));
    model_free(model);
}

static void files_are_concatenated(void **state)
{
    size_t size;
    uint8_t *file = tiny_model_new(two, 2, &size);
    size_t total = 2 * size + 5;
    uint8_t *content = malloc(total);
    struct model *model;
    struct diag diag;
    (void)state;
    diag_reset(&diag);
    memcpy(content, file, size);
    memcpy(content + size, "notes", 5);
    memcpy(content + size + 5, file, size);
    struct source source = source_of_bytes(bytes_of(content, total));
    const struct model_part parts[] = {{"a.safetensors", 0, size},
                                       {"notes.txt", size, 5},
                                       {"b.safetensors", size + 5, size}};
    assert_int_equal(model_parse(&source, parts, 3, &model, &diag), STATUS_OK);
    assert_int_equal(model->tensor_count, 4);
    assert_int_equal(model->tensors[2].file, 2);
    assert_int_equal(model->tensors[2].offset,
                     model->tensors[0].offset + size + 5);
    assert_string_equal(model->files[1].path, "notes.txt");
    assert_int_equal(model->files[1].format, CONTAINER_OPAQUE);
    assert_memory_equal(content + model->tensors[0].offset,
                        content + model->tensors[2].offset,
                        (size_t)model->tensors[0].size);
    model_free(model);
    free(content);
    free(file);
}

static void parts_must_cover_the_content(void **state)
{
    struct source source = source_of_bytes(bytes_of_text("hello"));
    struct model *model = NULL;
    const struct model_part gap[] = {{"a", 0, 2}, {"b", 3, 2}};
    const struct model_part shorter[] = {{"a", 0, 2}, {"b", 2, 2}};
    const struct model_part longer[] = {{"a", 0, 2}, {"b", 2, UINT64_MAX}};
    (void)state;
    assert_int_equal(model_parse(&source, gap, 2, &model, NULL), STATUS_USAGE);
    assert_int_equal(model_parse(&source, shorter, 2, &model, NULL),
                     STATUS_USAGE);
    assert_int_equal(model_parse(&source, longer, 2, &model, NULL),
                     STATUS_USAGE);
    assert_int_equal(model_parse(&source, NULL, 0, &model, NULL), STATUS_USAGE);
}

static enum status broken_read(void *ctx, uint64_t offset, void *out,
                               size_t size)
{
    (void)ctx;
    (void)offset;
    (void)out;
    (void)size;
    return STATUS_IO;
}

static void errors_of_the_source_are_no_format(void **state)
{
    struct source source = {broken_read, NULL, 100};
    struct model *model;
    (void)state;
    assert_int_equal(model_parse_file(&source, "a.safetensors", &model, NULL),
                     STATUS_IO);
    assert_int_equal(container_probe("a", &source), CONTAINER_OPAQUE);
}

static void sizes_of_tensors(void **state)
{
    static const uint64_t shape[] = {3, 5, 7};
    static const uint64_t huge[] = {UINT64_C(1) << 40, UINT64_C(1) << 40};
    uint64_t size;
    (void)state;
    assert_int_equal(tensor_size_of(DTYPE_F32, shape, 3, &size), STATUS_OK);
    assert_int_equal(size, 420);
    assert_int_equal(tensor_size_of(DTYPE_F64, NULL, 0, &size), STATUS_OK);
    assert_int_equal(size, 8);
    assert_int_equal(tensor_size_of(DTYPE_U8, huge, 2, &size), STATUS_LIMIT);
    assert_int_equal(tensor_size_of(DTYPE_F4, shape, 3, &size), STATUS_CORRUPT);
    struct tensor tensor = {
        .dtype = DTYPE_F32, .rank = 3, .shape = shape, .size = 420};
    assert_int_equal(tensor_elem_count(&tensor), 105);
    assert_int_equal(tensor_row_size(&tensor), 140);
}

/* A shard each, and an index that no parser claims. */
static void shards_are_read_each_and_the_index_is_bytes(void **state)
{
    static const char index[] =
        "{\"metadata\":{},\"weight_map\":{\"w\":\"m-1.safetensors\"}}";
    size_t size, index_size = sizeof(index) - 1;
    uint8_t *file = tiny_model_new(two, 2, &size);
    uint8_t *content = malloc(2 * size + index_size);
    struct model *model;
    struct diag diag;
    (void)state;
    diag_reset(&diag);
    memcpy(content, file, size);
    memcpy(content + size, file, size);
    memcpy(content + 2 * size, index, index_size);
    struct source source =
        source_of_bytes(bytes_of(content, 2 * size + index_size));
    const struct model_part parts[] = {
        {"m-1.safetensors", 0, size},
        {"m-2.safetensors", size, size},
        {"m.safetensors.index.json", 2 * size, index_size}};
    assert_int_equal(model_parse(&source, parts, 3, &model, &diag), STATUS_OK);
    assert_null(model_unreadable(model));
    assert_int_equal(model->tensor_count, 4);
    assert_int_equal(model->files[2].format, CONTAINER_OPAQUE);
    assert_true(model_sound(model));
    model_free(model);
    free(content);
    free(file);
}

/* initializer { dims: 2, data_type: FLOAT, name: "w", external_data
 * { location: "./w.bi" }, data_location: EXTERNAL } */
static const uint8_t external[] = {
    0x3a, 0x1f, 0x2a, 0x1d, 0x08, 0x02, 0x10, 0x01, 0x42, 0x01, 0x77,
    0x6a, 0x12, 0x0a, 0x08, 0x6c, 0x6f, 0x63, 0x61, 0x74, 0x69, 0x6f,
    0x6e, 0x12, 0x06, 0x2e, 0x2f, 0x77, 0x2e, 0x62, 0x69, 0x70, 0x01};

static void data_that_two_files_name_is_one_tensor(void **state)
{
    uint8_t content[256];
    size_t size = sizeof(external);
    struct model *model;
    struct diag diag;
    (void)state;
    diag_reset(&diag);
    memcpy(content, external, size);
    memcpy(content + size, external, size);
    memset(content + 2 * size, 7, 8);
    struct source source = source_of_bytes(bytes_of(content, 2 * size + 8));
    const struct model_part parts[] = {
        {"a.onnx", 0, size}, {"b.onnx", size, size}, {"w.bi", 2 * size, 8}};
    assert_int_equal(model_parse(&source, parts, 3, &model, &diag), STATUS_OK);
    assert_string_equal(diag.text, "");
    assert_int_equal(model->tensor_count, 1);
    assert_int_equal(model->tensors[0].file, 2);
    assert_int_equal(model->tensors[0].offset, 2 * size);
    assert_true(model_sound(model));
    model_free(model);
}

static void parts_are_found_by_relative_names(void **state)
{
    const struct model_part parts[] = {{"m.onnx", 0, 0},    {"w.bin", 0, 0},
                                       {"a/m.onnx", 0, 0},  {"a/w.bin", 0, 0},
                                       {"a/b/w.bin", 0, 0}, {NULL, 0, 0}};
    static const struct {
        size_t from;
        const char *location;
        enum part_lookup result;
        size_t index;
    } cases[] = {
        {0, "w.bin", PART_FOUND, 1},        {0, "./w.bin", PART_FOUND, 1},
        {0, "a/w.bin", PART_FOUND, 3},      {0, "a//./w.bin", PART_FOUND, 3},
        {2, "w.bin", PART_FOUND, 3},        {2, "b/w.bin", PART_FOUND, 4},
        {5, "w.bin", PART_FOUND, 1},        {2, "a/w.bin", PART_ABSENT, 0},
        {0, "W.bin", PART_ABSENT, 0},       {0, "a", PART_ABSENT, 0},
        {0, "w.bin/x", PART_ABSENT, 0},     {0, "", PART_OUTSIDE, 0},
        {0, ".", PART_OUTSIDE, 0},          {0, "..", PART_OUTSIDE, 0},
        {2, "../w.bin", PART_OUTSIDE, 0},   {0, "/w.bin", PART_OUTSIDE, 0},
        {0, "a/../w.bin", PART_OUTSIDE, 0}, {0, "a\\w.bin", PART_OUTSIDE, 0},
        {0, "C:w.bin", PART_OUTSIDE, 0},
    };
    struct part_set set = {NULL, parts, 6};
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        size_t index = 0;
        assert_int_equal(part_find(&set, cases[i].from,
                                   bytes_of_text(cases[i].location), &index),
                         cases[i].result);
        assert_int_equal(index, cases[i].index);
    }
    assert_int_equal(part_find(&set, 0, bytes_of("w.bin", 6), &(size_t){0}),
                     PART_OUTSIDE);
}

/* ---- the corpus of bad files ---- */

static uint8_t *load(const char *path, size_t *size)
{
    FILE *f = fopen(path, "rb");
    uint8_t *out = NULL;
    if (!f)
        return NULL;
    if (!fseek(f, 0, SEEK_END)) {
        long end = ftell(f);
        rewind(f);
        out = malloc((size_t)end + 1);
        *size = out ? fread(out, 1, (size_t)end, f) : 0;
    }
    fclose(f);
    return out;
}

static void replay_entry(const char *folder, const json_t *entry)
{
    const char *name = json_string_value(json_object_get(entry, "file"));
    const char *expect = json_string_value(json_object_get(entry, "expect"));
    char path[4096];
    struct model *model;
    struct diag diag;
    size_t size = 0;
    snprintf(path, sizeof(path), "%s/%s", folder, name);
    uint8_t *file = load(path, &size);
    assert_non_null(file);
    struct source source = source_of_bytes(bytes_of(file, size));
    diag_reset(&diag);
    assert_int_equal(model_parse_file(&source, name, &model, &diag), STATUS_OK);
    bool taken = !model_unreadable(model);
    assert_true(model_sound(model));
    if (!strcmp(expect, "accept")) {
        if (!taken)
            fail_msg("%s is valid: %s", name, diag.text);
        assert_int_equal(model->tensor_count,
                         json_integer_value(json_object_get(entry, "tensors")));
    } else if (!strcmp(expect, "reject") && taken) {
        fail_msg("%s is not valid", name);
    }
    assert_true(taken || diag.text[0]);
    model_free(model);
    free(file);
}

static void bad_files_get_the_expected_answer(void **state)
{
    const char *root = getenv("DM_SRCDIR");
    char folder[2048], path[4096];
    json_t *entry;
    size_t i;
    (void)state;
    snprintf(folder, sizeof(folder), "%s/../shared/corpus/bad",
             root ? root : ".");
    snprintf(path, sizeof(path), "%s/index.json", folder);
    json_t *index = json_load_file(path, 0, NULL);
    if (!index) {
        print_message("# SKIP no corpus of bad files at %s\n", folder);
        skip();
    }
    json_array_foreach(json_object_get(index, "files"), i, entry)
        replay_entry(folder, entry);
    json_decref(index);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(suffix_goes_before_content),
        cmocka_unit_test(suffixes_say_the_format),
        cmocka_unit_test(
            a_file_of_another_format_than_its_suffix_says_is_opaque),
        cmocka_unit_test(an_unknown_file_has_no_tensors),
        cmocka_unit_test(an_unreadable_file_is_opaque_and_says_why),
        cmocka_unit_test(files_are_concatenated),
        cmocka_unit_test(parts_must_cover_the_content),
        cmocka_unit_test(errors_of_the_source_are_no_format),
        cmocka_unit_test(sizes_of_tensors),
        cmocka_unit_test(shards_are_read_each_and_the_index_is_bytes),
        cmocka_unit_test(data_that_two_files_name_is_one_tensor),
        cmocka_unit_test(parts_are_found_by_relative_names),
        cmocka_unit_test(bad_files_get_the_expected_answer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
