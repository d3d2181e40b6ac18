/* What the safetensors reader takes and refuses; the corpus of bad files next
 * to the source tree, where there is one. */
#include "codec/model/safetensors.h"
#include "tests/support/tiny_model.h"

#include "tests/support/cmocka.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

struct parsed {
    struct arena arena;
    struct tensor *tensors;
    size_t count;
    struct diag diag;
    enum status status;
};

static void parse(struct parsed *p, struct bytes bytes)
{
    struct source source = source_of_bytes(bytes);
    memset(p, 0, sizeof(*p));
    arena_init(&p->arena, 64u << 20);
    p->status =
        safetensors_parse(&source, &p->arena, &p->tensors, &p->count, &p->diag);
}

static void parse_json(struct parsed *p, const char *json, size_t data_size)
{
    uint8_t *data = calloc(1, data_size + 1);
    size_t size;
    uint8_t *file = tiny_file_new(json, data, data_size, &size);
    parse(p, bytes_of(file, size));
    free(file);
    free(data);
}

static void expect_refused(const char *json, size_t data_size,
                           const char *words)
{
    struct parsed p;
    parse_json(&p, json, data_size);
    assert_int_not_equal(p.status, STATUS_OK);
    assert_int_equal(p.count, 0);
    if (!strstr(p.diag.text, words))
        fail_msg("%s: \"%s\" does not say \"%s\"", json, p.diag.text, words);
    arena_deinit(&p.arena);
}

#define ONE(dtype, shape, offsets)                           \
    "{\"a\":{\"dtype\":\"" dtype "\",\"shape\":[" shape "]," \
    "\"data_offsets\":[" offsets "]}}"
#define TWO(first, second)                                                \
    "{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[" first    \
    "]},\"b\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[" second \
    "]}}"

static void tensors_come_in_the_order_of_their_bytes(void **state)
{
    struct parsed p;
    (void)state;
    parse_json(&p, TWO("8,16", "0,8"), 16);
    assert_int_equal(p.status, STATUS_OK);
    assert_int_equal(p.count, 2);
    assert_string_equal(p.tensors[0].name, "b");
    assert_string_equal(p.tensors[1].name, "a");
    assert_int_equal(p.tensors[0].rank, 1);
    assert_int_equal(p.tensors[0].shape[0], 2);
    assert_int_equal(p.tensors[1].size, 8);
    assert_int_equal(p.tensors[1].offset, p.tensors[0].offset + 8);
    assert_int_equal(p.tensors[0].dtype, DTYPE_F32);
    arena_deinit(&p.arena);
}

static void odd_but_valid_files_are_taken(void **state)
{
    static const struct {
        const char *json;
        size_t data_size;
        size_t count;
    } cases[] = {
        {"{}", 0, 0},
        {"{}       ", 0, 0},
        {"{\"__metadata__\":{\"k\":\"v\"}}", 0, 0},
        {ONE("F32", "", "0,4"), 4, 1},
        {ONE("F32", "0", "0,0"), 0, 1},
        {ONE("F32", "5,0,3", "0,0"), 0, 1},
        {ONE("BOOL", "3", "0,3"), 3, 1},
        {ONE("F4", "2", "0,1"), 1, 1},
        {"{\"../../etc/passwd\":{\"dtype\":\"U8\",\"shape\":[1],"
         "\"data_offsets\":[0,1]}}",
         1, 1},
        {TWO("0,8", "8,16"), 16, 2},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct parsed p;
        parse_json(&p, cases[i].json, cases[i].data_size);
        if (p.status)
            fail_msg("%s: %s", cases[i].json, p.diag.text);
        assert_int_equal(p.count, cases[i].count);
        arena_deinit(&p.arena);
    }
}

static void malformed_headers_are_refused_by_name(void **state)
{
    (void)state;
    expect_refused("[]", 0, "no JSON object");
    expect_refused("{this is not JSON}", 0, "header JSON");
    expect_refused("{\"\xff\":1}", 0, "header JSON");
    expect_refused("{\"a\":1}", 0, "no object");
    expect_refused("{\"a\":{}}", 0, "dtype");
    expect_refused("{\"__metadata__\":{\"k\":1}}", 0, "no text");
    expect_refused("{\"__metadata__\":[]}", 0, "no object");
    expect_refused("{\"a\":1,\"a\":2}", 0, "duplicate");
    expect_refused("{} x", 0, "header JSON");
    expect_refused(ONE("F33", "1", "0,4"), 4, "dtype is unknown");
    expect_refused(ONE("f32", "1", "0,4"), 4, "dtype is unknown");
}

static void shapes_and_offsets_that_lie_are_refused(void **state)
{
    (void)state;
    expect_refused(ONE("F32", "-1", "0,4"), 4, "whole number");
    expect_refused(ONE("F32", "1.0", "0,4"), 4, "whole number");
    expect_refused(ONE("F32", "\"1\"", "0,4"), 4, "whole number");
    expect_refused(ONE("U8", "4294967296,4294967296", "0,0"), 0, "overflows");
    expect_refused(ONE("F64", "2305843009213693952", "0,0"), 0, "overflows");
    expect_refused(ONE("F32", "4", "0,12"), 12, "disagree");
    expect_refused(ONE("F4", "3", "0,1"), 1, "overflows");
    expect_refused(ONE("F32", "1", "4,0"), 4, "backwards");
    expect_refused(ONE("F32", "2", "0,8"), 4, "behind the end");
    expect_refused(ONE("F32", "1", "0"), 4, "no two numbers");
    expect_refused(ONE("F32", "1", "0,4,8"), 4, "no two numbers");
    expect_refused(ONE("F32", "1", "18446744073709551600,4"), 4, "header JSON");
    expect_refused(ONE("F32", "1", "4,8"), 8, "hole");
    expect_refused(ONE("F32", "1", "0,4"), 8, "belong to no tensor");
    expect_refused(TWO("0,8", "4,12"), 12, "overlaps");
    expect_refused(TWO("0,8", "12,20"), 20, "hole");
}

static void lengths_that_lie_are_refused(void **state)
{
    static const uint64_t lengths[] = {0, 3, 100, UINT64_C(1) << 63,
                                       UINT64_MAX};
    (void)state;
    for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
        uint8_t file[10] = {0, 0, 0, 0, 0, 0, 0, 0, '{', '}'};
        struct parsed p;
        store_le64(file, lengths[i]);
        parse(&p, bytes_of(file, sizeof(file)));
        assert_int_not_equal(p.status, STATUS_OK);
        arena_deinit(&p.arena);
    }
}

static void every_truncation_is_refused(void **state)
{
    const char *json = TWO("0,8", "8,16");
    uint8_t data[16] = {0};
    size_t size;
    uint8_t *file = tiny_file_new(json, data, sizeof(data), &size);
    (void)state;
    for (size_t cut = 0; cut < size; cut++) {
        uint8_t *copy = malloc(cut ? cut : 1);
        struct parsed p;
        memcpy(copy, file, cut);
        parse(&p, bytes_of(copy, cut));
        assert_int_not_equal(p.status, STATUS_OK);
        arena_deinit(&p.arena);
        free(copy);
    }
    free(file);
}

static void deep_nesting_is_refused(void **state)
{
    size_t depth = 20000;
    char *json = malloc(2 * depth + 16);
    (void)state;
    strcpy(json, "{\"a\":");
    memset(json + 5, '[', depth);
    memset(json + 5 + depth, ']', depth);
    strcpy(json + 5 + 2 * depth, "}");
    expect_refused(json, 0, "depth");
    free(json);
}

static void rank_is_limited(void **state)
{
    char shape[400] = "1", json[600];
    (void)state;
    for (unsigned i = 1; i < TENSOR_RANK_MAX + 1; i++)
        strcat(shape, ",1");
    snprintf(json, sizeof(json),
             "{\"a\":{\"dtype\":\"U8\",\"shape\":[%s],\"data_offsets\":[0,1]}}",
             shape);
    expect_refused(json, 1, "at most 64");
}

static void a_name_with_nul_is_not_the_name_before_it(void **state)
{
    (void)state;
    expect_refused("{\"a\\u0000b\":{\"dtype\":\"U8\",\"shape\":[1],"
                   "\"data_offsets\":[0,1]}}",
                   1, "NUL");
}

static void messages_hold_no_control_characters(void **state)
{
    struct parsed p;
    (void)state;
    parse_json(&p, "{\"\\u001b[31m\":{\"dtype\":\"F32\"}}", 0);
    assert_int_equal(p.status, STATUS_CORRUPT);
    for (const char *c = p.diag.text; *c; c++)
        assert_true(*c >= ' ');
    arena_deinit(&p.arena);
}

static void five_thousand_tensors_are_taken(void **state)
{
    struct tiny_tensor *list = calloc(5000, sizeof(*list));
    char(*names)[16] = calloc(5000, sizeof(*names));
    struct parsed p;
    size_t size;
    (void)state;
    for (unsigned i = 0; i < 5000; i++) {
        snprintf(names[i], sizeof(names[i]), "t%u", i);
        list[i] = (struct tiny_tensor){names[i], DTYPE_U8, 1, 0, i, 0, 0, 0};
    }
    uint8_t *file = tiny_model_new(list, 5000, &size);
    parse(&p, bytes_of(file, size));
    assert_int_equal(p.status, STATUS_OK);
    assert_int_equal(p.count, 5000);
    assert_string_equal(p.tensors[4999].name, "t4999");
    arena_deinit(&p.arena);
    free(file);
    free(names);
    free(list);
}

/* Two bytes a value in the file, dozens in memory: other nodes read what a
 * publisher made. */
static void a_header_of_too_many_values_is_refused(void **state)
{
    (void)state;
    static const char head[] = "{\"x\":[";
    size_t size = 3 * SAFETENSORS_VALUES_MAX;
    struct parsed p;
    uint8_t *file = malloc(8 + size);
    assert_non_null(file);
    store_le64(file, size);
    memcpy(file + 8, head, sizeof(head) - 1);
    for (size_t i = sizeof(head) - 1; i + 2 < size; i++)
        file[8 + i] = (i & 1) != (sizeof(head) & 1) ? '0' : ',';
    file[8 + size - 3] = '0';
    file[8 + size - 2] = ']';
    file[8 + size - 1] = '}';
    parse(&p, bytes_of(file, 8 + size));
    assert_int_equal(p.status, STATUS_LIMIT);
    assert_non_null(strstr(p.diag.text, "values"));
    arena_deinit(&p.arena);
    free(file);
}

static void a_header_above_16_mib_is_refused(void **state)
{
    size_t length = SAFETENSORS_HEADER_MAX + 1;
    char *json = malloc(length + 1);
    (void)state;
    memset(json, ' ', length);
    json[0] = '{';
    json[1] = '}';
    json[length] = 0;
    expect_refused(json, 0, "16 MiB");
    free(json);
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
    const char *format = json_string_value(json_object_get(entry, "format"));
    const char *expect = json_string_value(json_object_get(entry, "expect"));
    char path[4096];
    struct parsed p;
    size_t size = 0;
    if (strcmp(format, "safetensors"))
        return;
    snprintf(path, sizeof(path), "%s/%s", folder, name);
    uint8_t *file = load(path, &size);
    assert_non_null(file);
    parse(&p, bytes_of(file, size));
    if (!strcmp(expect, "accept")) {
        if (p.status)
            fail_msg("%s is valid: %s", name, p.diag.text);
        assert_int_equal(p.count,
                         json_integer_value(json_object_get(entry, "tensors")));
    } else if (!strcmp(expect, "reject") && !p.status) {
        fail_msg("%s is not valid", name);
    }
    arena_deinit(&p.arena);
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
        cmocka_unit_test(tensors_come_in_the_order_of_their_bytes),
        cmocka_unit_test(odd_but_valid_files_are_taken),
        cmocka_unit_test(malformed_headers_are_refused_by_name),
        cmocka_unit_test(shapes_and_offsets_that_lie_are_refused),
        cmocka_unit_test(lengths_that_lie_are_refused),
        cmocka_unit_test(every_truncation_is_refused),
        cmocka_unit_test(deep_nesting_is_refused),
        cmocka_unit_test(rank_is_limited),
        cmocka_unit_test(a_name_with_nul_is_not_the_name_before_it),
        cmocka_unit_test(messages_hold_no_control_characters),
        cmocka_unit_test(five_thousand_tensors_are_taken),
        cmocka_unit_test(a_header_of_too_many_values_is_refused),
        cmocka_unit_test(a_header_above_16_mib_is_refused),
        cmocka_unit_test(bad_files_get_the_expected_answer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
