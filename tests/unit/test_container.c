/* Which parser a file gets, and contents of several files. */
#include "codec/model/model.h"
#include "tests/support/tiny_model.h"

#include "tests/support/cmocka.h"

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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(suffix_goes_before_content),
        cmocka_unit_test(an_unknown_file_has_no_tensors),
        cmocka_unit_test(an_unreadable_file_is_opaque_and_says_why),
        cmocka_unit_test(files_are_concatenated),
        cmocka_unit_test(parts_must_cover_the_content),
        cmocka_unit_test(errors_of_the_source_are_no_format),
        cmocka_unit_test(sizes_of_tensors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
