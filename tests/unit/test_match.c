/* Which base bytes a target range gets: names, contents, shapes, places. */
#include "codec/lossless/match.h"
#include "tests/support/tiny_model.h"

#include "tests/support/cmocka.h"

#include <stdlib.h>

struct side {
    uint8_t *data;
    size_t size;
    struct source source;
    struct model *model;
};

static void side_open(struct side *side, const struct tiny_tensor *tensors,
                      size_t count)
{
    side->data = tiny_model_new(tensors, count, &side->size);
    side->source = source_of_bytes(bytes_of(side->data, side->size));
    assert_int_equal(
        model_parse_file(&side->source, "m.safetensors", &side->model, NULL),
        STATUS_OK);
    assert_int_equal(side->model->tensor_count, count);
}

static void side_close(struct side *side)
{
    model_free(side->model);
    free(side->data);
}

/* Whatever is matched, the ranges tile the target and lie within the base. */
static void check_tiling(const struct match_list *list, uint64_t base_size,
                         uint64_t target_size)
{
    uint64_t at = 0;
    for (size_t i = 0; i < list->count; i++) {
        const struct match *m = &list->items[i];
        assert_int_equal(m->target_offset, at);
        assert_true(m->size > 0);
        assert_true(m->base_offset + m->base_size <= base_size);
        at += m->size;
    }
    assert_int_equal(at, target_size);
}

static void run(const struct side *base, const struct side *target,
                struct match_list *list)
{
    assert_int_equal(match_contents(&base->source, base->model, &target->source,
                                    target->model, list),
                     STATUS_OK);
    check_tiling(list, base->size, target->size);
}

static const struct match *find(const struct match_list *list, const char *name,
                                unsigned nth)
{
    for (size_t i = 0; i < list->count; i++)
        if (list->items[i].tensor &&
            !strcmp(list->items[i].tensor->name, name) && !nth--)
            return &list->items[i];
    fail_msg("no match for %s", name);
    return NULL;
}

static uint64_t offset_of(const struct side *side, const char *name)
{
    for (size_t i = 0; i < side->model->tensor_count; i++)
        if (!strcmp(side->model->tensors[i].name, name))
            return side->model->tensors[i].offset;
    fail_msg("no tensor %s", name);
    return 0;
}

static void expect_base(const struct match_list *list, const char *name,
                        unsigned nth, uint64_t offset, uint64_t size)
{
    const struct match *m = find(list, name, nth);
    assert_int_equal(m->base_offset, offset);
    assert_int_equal(m->base_size, size);
    assert_true(!size || m->size == size);
}

static void names_match_wherever_they_lie(void **state)
{
    const struct tiny_tensor old[] = {{"a", DTYPE_F32, 8, 8, 1, 0, 0, 0},
                                      {"b", DTYPE_F32, 4, 0, 2, 0, 0, 0}};
    const struct tiny_tensor new[] = {{"b", DTYPE_F32, 4, 0, 2, 0.1, 1, 0},
                                      {"a", DTYPE_F32, 8, 8, 1, 0.1, 2, 0}};
    struct side base, target;
    struct match_list list;
    (void)state;
    side_open(&base, old, 2);
    side_open(&target, new, 2);
    run(&base, &target, &list);
    expect_base(&list, "a", 0, offset_of(&base, "a"), 256);
    expect_base(&list, "b", 0, offset_of(&base, "b"), 16);
    assert_int_equal(list.items[0].base_offset, 0);
    assert_int_equal(list.items[0].base_size, offset_of(&base, "a"));
    match_list_free(&list);
    side_close(&base);
    side_close(&target);
}

static void another_dtype_is_no_match(void **state)
{
    const struct tiny_tensor old[] = {{"a", DTYPE_F32, 8, 8, 1, 0, 0, 0}};
    const struct tiny_tensor new[] = {{"a", DTYPE_BF16, 8, 8, 1, 0, 0, 0}};
    struct side base, target;
    struct match_list list;
    (void)state;
    side_open(&base, old, 1);
    side_open(&target, new, 1);
    run(&base, &target, &list);
    expect_base(&list, "a", 0, 0, 0);
    match_list_free(&list);
    side_close(&base);
    side_close(&target);
}

static void first_rows_are_kept_when_a_tensor_grows_or_shrinks(void **state)
{
    const struct tiny_tensor old[] = {{"head", DTYPE_F32, 7, 16, 1, 0, 0, 0}};
    const struct tiny_tensor new[] = {{"head", DTYPE_F32, 9, 16, 1, 0, 0, 0}};
    struct side base, target;
    struct match_list list;
    (void)state;
    side_open(&base, old, 1);
    side_open(&target, new, 1);
    run(&base, &target, &list);
    expect_base(&list, "head", 0, offset_of(&base, "head"), 7 * 64);
    expect_base(&list, "head", 1, 0, 0);
    assert_int_equal(find(&list, "head", 1)->size, 2 * 64);
    match_list_free(&list);
    run(&target, &base, &list);
    expect_base(&list, "head", 0, offset_of(&target, "head"), 7 * 64);
    match_list_free(&list);
    side_close(&base);
    side_close(&target);
}

static void a_shape_that_does_not_fit_is_merely_like_the_old_one(void **state)
{
    const struct tiny_tensor old[] = {{"w", DTYPE_F32, 40, 16, 1, 0, 0, 0}};
    const struct tiny_tensor new[] = {{"w", DTYPE_F32, 40, 12, 1, 0, 0, 0}};
    struct side base, target;
    struct match_list list;
    (void)state;
    side_open(&base, old, 1);
    side_open(&target, new, 1);
    run(&base, &target, &list);
    const struct match *m = find(&list, "w", 0);
    assert_int_equal(m->size, 40 * 12 * 4);
    assert_int_equal(m->base_offset, offset_of(&base, "w"));
    assert_int_equal(m->base_size, 40 * 16 * 4);
    match_list_free(&list);
    side_close(&base);
    side_close(&target);
}

static void equal_content_matches_under_another_name(void **state)
{
    const struct tiny_tensor old[] = {{"x.0", DTYPE_F32, 8, 8, 1, 0, 0, 0},
                                      {"x.1", DTYPE_F32, 8, 8, 2, 0, 0, 0},
                                      {"x.2", DTYPE_F32, 8, 8, 3, 0, 0, 0}};
    /* A layer went in front: every name means the content before it. */
    const struct tiny_tensor new[] = {{"x.0", DTYPE_F32, 8, 8, 9, 0, 0, 0},
                                      {"x.1", DTYPE_F32, 8, 8, 1, 0, 0, 0},
                                      {"x.2", DTYPE_F32, 8, 8, 2, 0, 0, 0},
                                      {"x.3", DTYPE_F32, 8, 8, 3, 0, 0, 0}};
    struct side base, target;
    struct match_list list;
    (void)state;
    side_open(&base, old, 3);
    side_open(&target, new, 4);
    run(&base, &target, &list);
    expect_base(&list, "x.1", 0, offset_of(&base, "x.0"), 256);
    expect_base(&list, "x.2", 0, offset_of(&base, "x.1"), 256);
    expect_base(&list, "x.3", 0, offset_of(&base, "x.2"), 256);
    match_list_free(&list);
    side_close(&base);
    side_close(&target);
}

static void trained_layers_match_under_another_number(void **state)
{
    const struct tiny_tensor old[] = {{"x.0", DTYPE_F32, 8, 8, 1, 0, 0, 0},
                                      {"x.1", DTYPE_F32, 8, 8, 2, 0, 0, 0},
                                      {"x.2", DTYPE_F32, 8, 8, 3, 0, 0, 0}};
    const struct tiny_tensor new[] = {{"x.0", DTYPE_F32, 8, 8, 9, 0, 0, 0},
                                      {"x.1", DTYPE_F32, 8, 8, 1, 1e-3, 5, 0},
                                      {"x.2", DTYPE_F32, 8, 8, 2, 1e-3, 6, 0},
                                      {"x.3", DTYPE_F32, 8, 8, 3, 1e-3, 7, 0}};
    struct side base, target;
    struct match_list list;
    (void)state;
    side_open(&base, old, 3);
    side_open(&target, new, 4);
    run(&base, &target, &list);
    expect_base(&list, "x.1", 0, offset_of(&base, "x.0"), 256);
    expect_base(&list, "x.2", 0, offset_of(&base, "x.1"), 256);
    expect_base(&list, "x.3", 0, offset_of(&base, "x.2"), 256);
    match_list_free(&list);
    side_close(&base);
    side_close(&target);
}

static void a_renamed_and_trained_tensor_matches_by_shape(void **state)
{
    const struct tiny_tensor old[] = {{"a", DTYPE_F32, 8, 8, 1, 0, 0, 0},
                                      {"old", DTYPE_F32, 8, 9, 2, 0, 0, 0}};
    const struct tiny_tensor new[] = {{"a", DTYPE_F32, 8, 8, 1, 0, 0, 0},
                                      {"new", DTYPE_F32, 8, 9, 2, 0.1, 5, 0}};
    struct side base, target;
    struct match_list list;
    (void)state;
    side_open(&base, old, 2);
    side_open(&target, new, 2);
    run(&base, &target, &list);
    expect_base(&list, "new", 0, offset_of(&base, "old"), 288);
    match_list_free(&list);
    side_close(&base);
    side_close(&target);
}

static void opaque_contents_match_as_wholes(void **state)
{
    struct source base = source_of_bytes(bytes_of_text("the old text"));
    struct source target = source_of_bytes(bytes_of_text("a newer text"));
    struct source empty = source_of_bytes(bytes_of("", 0));
    struct match_list list;
    (void)state;
    assert_int_equal(match_contents(&base, NULL, &target, NULL, &list),
                     STATUS_OK);
    assert_int_equal(list.count, 1);
    assert_int_equal(list.items[0].base_size, base.size);
    match_list_free(&list);
    assert_int_equal(match_contents(NULL, NULL, &target, NULL, &list),
                     STATUS_OK);
    assert_int_equal(list.items[0].base_size, 0);
    match_list_free(&list);
    assert_int_equal(match_contents(&base, NULL, &empty, NULL, &list),
                     STATUS_OK);
    assert_int_equal(list.count, 0);
    match_list_free(&list);
}

static void files_match_by_path(void **state)
{
    struct source base = source_of_bytes(bytes_of_text("aaaabbbbbb"));
    struct source target = source_of_bytes(bytes_of_text("bbbbbbaaaa"));
    const struct model_part old[] = {{"a", 0, 4}, {"b", 4, 6}};
    const struct model_part new[] = {{"b", 0, 6}, {"a", 6, 4}};
    struct model *base_model, *target_model;
    struct match_list list;
    (void)state;
    assert_int_equal(model_parse(&base, old, 2, &base_model, NULL), STATUS_OK);
    assert_int_equal(model_parse(&target, new, 2, &target_model, NULL),
                     STATUS_OK);
    assert_int_equal(
        match_contents(&base, base_model, &target, target_model, &list),
        STATUS_OK);
    check_tiling(&list, 10, 10);
    assert_int_equal(list.items[0].base_offset, 4);
    assert_int_equal(list.items[1].base_offset, 0);
    match_list_free(&list);
    model_free(base_model);
    model_free(target_model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_match_wherever_they_lie),
        cmocka_unit_test(another_dtype_is_no_match),
        cmocka_unit_test(first_rows_are_kept_when_a_tensor_grows_or_shrinks),
        cmocka_unit_test(a_shape_that_does_not_fit_is_merely_like_the_old_one),
        cmocka_unit_test(equal_content_matches_under_another_name),
        cmocka_unit_test(trained_layers_match_under_another_number),
        cmocka_unit_test(a_renamed_and_trained_tensor_matches_by_shape),
        cmocka_unit_test(opaque_contents_match_as_wholes),
        cmocka_unit_test(files_match_by_path),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
