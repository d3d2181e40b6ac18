/* What the parser of ONNX files takes, finds and refuses: the cases of
 * tests/data/formats/onnx.json, and the real files next to the source tree,
 * where there are some. */
#include "tests/support/format_cases.h"

#include "tests/support/cmocka.h"

#include <stdlib.h>

static void cases_get_the_expected_answer(void **state)
{
    (void)state;
    assert_true(format_cases_run("onnx") > 20);
}

static void whatever_is_taken_of_damaged_files_is_sound(void **state)
{
    (void)state;
    assert_true(format_cases_damage("onnx") > 20);
}

static void every_failed_allocation_is_survived(void **state)
{
    (void)state;
    assert_true(format_cases_starve("onnx") > 20);
}

static void tensors_cover_real_files(void **state)
{
    static const struct format_real real[] = {
        {{"onnx-export/classext-c10.onnx"}, 1, 0.98},
        {{"onnx-export/resnet-e8.onnx"}, 1, 0.99},
        {{"onnx-export/federated-r10-ext.onnx",
          "onnx-export/federated-r10-ext.bin"},
         2,
         0.98},
        {{"outside/silero-vad-onnx/v2.onnx"}, 1, 0.95},
        {{"outside/yunet-onnx/v3.onnx"}, 1, 0.92},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(real) / sizeof(real[0]); i++)
        if (!format_corpus_covered(&real[i]))
            skip();
}

/* Every tensor takes a few bytes of file and more of memory. */
static void too_many_tensors_are_refused(void **state)
{
    static const uint8_t empty[] = {0x2a, 0x04, 0x08, 0x00, 0x10, 0x01};
    size_t count = 140000, at = 6;
    uint8_t *file = calloc(count + 1, sizeof(empty));
    struct model *model;
    struct diag diag;
    (void)state;
    assert_non_null(file);
    for (size_t i = 0; i < count; i++) { /* dims [0], no data */
        memcpy(file + at, empty, sizeof(empty));
        at += sizeof(empty);
    }
    size_t body = at - 6;
    file[0] = 0x3a; /* graph, its length in five bytes */
    for (unsigned i = 0; i < 5; i++)
        file[1 + i] = (uint8_t)((body >> (7 * i) & 0x7f) | (i < 4 ? 0x80u : 0));
    struct source source = source_of_bytes(bytes_of(file, at));
    diag_reset(&diag);
    assert_int_equal(model_parse_file(&source, "m.onnx", &model, &diag),
                     STATUS_OK);
    assert_int_equal(model_unreadable(model)->status, STATUS_LIMIT);
    assert_non_null(strstr(diag.text, "tensors"));
    model_free(model);
    free(file);
}

/* A large raw_data is stepped over: of 64 MiB some pages are read. */
struct sparse {
    const uint8_t *head;
    size_t head_size;
    uint64_t read;
};

static enum status sparse_read(void *ctx, uint64_t offset, void *out,
                               size_t size)
{
    struct sparse *sparse = ctx;
    sparse->read += size;
    memset(out, 0, size);
    for (size_t i = 0; i < size && offset + i < sparse->head_size; i++)
        ((uint8_t *)out)[i] = sparse->head[offset + i];
    return STATUS_OK;
}

static void data_is_not_read(void **state)
{
    /* graph { initializer { dims: 1 << 24, data_type: 1, raw_data } } */
    static const uint8_t head[] = {
        0x3a, 0x91, 0x80, 0x80, 0x20, 0x2a, 0x8c, 0x80, 0x80, 0x20, 0x08,
        0x80, 0x80, 0x80, 0x08, 0x10, 0x01, 0x4a, 0x80, 0x80, 0x80, 0x20};
    struct sparse sparse = {head, sizeof(head), 0};
    struct source source = {sparse_read, &sparse,
                            sizeof(head) + (UINT64_C(1) << 26)};
    struct model *model;
    struct diag diag;
    (void)state;
    diag_reset(&diag);
    assert_int_equal(model_parse_file(&source, "m.onnx", &model, &diag),
                     STATUS_OK);
    assert_string_equal(diag.text, "");
    assert_int_equal(model->tensor_count, 1);
    assert_int_equal(model->tensors[0].size, 1 << 26);
    assert_true(sparse.read < 65536);
    model_free(model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cases_get_the_expected_answer),
        cmocka_unit_test(whatever_is_taken_of_damaged_files_is_sound),
        cmocka_unit_test(every_failed_allocation_is_survived),
        cmocka_unit_test(tensors_cover_real_files),
        cmocka_unit_test(too_many_tensors_are_refused),
        cmocka_unit_test(data_is_not_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
