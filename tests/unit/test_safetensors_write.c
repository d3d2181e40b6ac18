/* What the writer of safetensors headers makes, read back by the reader. */
#include "codec/model/safetensors.h"
#include "codec/model/safetensors_write.h"

#include "tests/support/cmocka.h"

static const uint64_t shape_2_3[] = {2, 3};
static const uint64_t shape_0[] = {0};

static struct tensor tensor(const char *name, enum dtype dtype, uint32_t rank,
                            const uint64_t *shape)
{
    return (struct tensor){.name = name,
                           .name_size = (uint32_t)strlen(name),
                           .dtype = dtype,
                           .rank = rank,
                           .shape = shape};
}

/* Writes tensors, and zeroes for their bytes; reads what there is. */
static void round_trip(struct tensor *tensors, size_t count,
                       struct arena *arena, struct tensor **read)
{
    struct writer out;
    struct diag diag = {""};
    size_t read_count;
    writer_init_heap(&out, 1u << 20);
    assert_int_equal(safetensors_write_header(tensors, count, &out, &diag), 0);
    assert_int_equal(out.size % 8, 0);
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(tensors[i].offset, out.size);
        memset(writer_reserve(&out, tensors[i].size), 0, tensors[i].size);
    }
    struct source source = source_of_bytes(writer_view(&out));
    arena_init(arena, 1u << 20);
    assert_int_equal(
        safetensors_parse(&source, arena, read, &read_count, &diag), 0);
    assert_int_equal(read_count, count);
    writer_deinit(&out);
}

static void tensors_come_back_as_they_were(void **state)
{
    struct tensor t[] = {
        tensor("a", DTYPE_F32, 2, shape_2_3),
        tensor("scalar", DTYPE_I64, 0, NULL),
        tensor("half", DTYPE_F16, 2, shape_2_3),
    };
    struct tensor *read;
    struct arena arena;
    (void)state;
    round_trip(t, 3, &arena, &read);
    for (size_t i = 0; i < 3; i++) {
        assert_string_equal(read[i].name, t[i].name);
        assert_int_equal(read[i].dtype, t[i].dtype);
        assert_int_equal(read[i].offset, t[i].offset);
        assert_int_equal(read[i].size, t[i].size);
        assert_true(tensor_same_shape(&read[i], &t[i]));
    }
    assert_int_equal(t[1].size, 8);
    arena_deinit(&arena);
}

static void any_text_can_be_a_name(void **state)
{
    struct tensor t[] = {
        tensor("", DTYPE_U8, 0, NULL),
        tensor("\"quoted\\ \x01\x1f\n", DTYPE_U8, 0, NULL),
        tensor("gr\xc3\xbc\xc3\x9f \xf0\x9f\x98\x80 \x7f", DTYPE_U8, 0, NULL),
    };
    struct tensor *read;
    struct arena arena;
    (void)state;
    round_trip(t, 3, &arena, &read);
    for (size_t i = 0; i < 3; i++)
        assert_string_equal(read[i].name, t[i].name);
    arena_deinit(&arena);
}

static void no_tensors_make_a_file(void **state)
{
    struct tensor t[1], *read;
    struct arena arena;
    (void)state;
    round_trip(t, 0, &arena, &read);
    arena_deinit(&arena);
}

static void a_tensor_without_elements_takes_no_bytes(void **state)
{
    struct tensor t[] = {tensor("none", DTYPE_F32, 1, shape_0),
                         tensor("one", DTYPE_F32, 0, NULL)};
    struct writer out;
    (void)state;
    writer_init_heap(&out, 1u << 20);
    assert_int_equal(safetensors_write_header(t, 2, &out, NULL), 0);
    assert_int_equal(t[0].size, 0);
    assert_int_equal(t[1].offset, t[0].offset);
    writer_deinit(&out);
}

static void expect(enum status want, struct tensor *t, size_t count)
{
    struct writer out;
    struct diag diag = {""};
    writer_init_heap(&out, 1u << 20);
    assert_int_equal(safetensors_write_header(t, count, &out, &diag), want);
    assert_int_equal(out.size, 0);
    writer_deinit(&out);
}

static void names_that_files_cannot_have_are_refused(void **state)
{
    static const char *const bad[] = {
        "__metadata__",     "\x80",         "\xc0\x80", "\xc3", "\xed\xa0\x80",
        "\xf4\x90\x80\x80", "\xe0\x80\x80", "a\xff"};
    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        struct tensor t = tensor(bad[i], DTYPE_U8, 0, NULL);
        expect(STATUS_USAGE, &t, 1);
    }
    struct tensor nul = tensor("a", DTYPE_U8, 0, NULL);
    nul.name = "a\0b";
    nul.name_size = 3;
    expect(STATUS_USAGE, &nul, 1);
    struct tensor twice[] = {tensor("x", DTYPE_U8, 0, NULL),
                             tensor("y", DTYPE_U8, 0, NULL),
                             tensor("x", DTYPE_F32, 0, NULL)};
    expect(STATUS_USAGE, twice, 3);
}

static void shapes_that_overflow_are_refused(void **state)
{
    static const uint64_t huge[] = {UINT64_C(1) << 40, UINT64_C(1) << 40};
    static const uint64_t half[] = {UINT64_C(1) << 61};
    struct tensor one = tensor("x", DTYPE_F32, 2, huge);
    struct tensor two[] = {tensor("x", DTYPE_U8, 1, half),
                           tensor("y", DTYPE_U8, 1, half),
                           tensor("z", DTYPE_F32, 1, half)};
    (void)state;
    expect(STATUS_LIMIT, &one, 1);
    expect(STATUS_LIMIT, two, 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tensors_come_back_as_they_were),
        cmocka_unit_test(any_text_can_be_a_name),
        cmocka_unit_test(no_tensors_make_a_file),
        cmocka_unit_test(a_tensor_without_elements_takes_no_bytes),
        cmocka_unit_test(names_that_files_cannot_have_are_refused),
        cmocka_unit_test(shapes_that_overflow_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
