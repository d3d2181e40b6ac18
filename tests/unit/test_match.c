/* Which base bytes a target range gets: names, contents, shapes, places. */
#include "codec/base/rng.h"
#include "codec/lossless/match.h"
#include "tests/support/tiny_model.h"

#include "tests/support/cmocka.h"

#include <stdio.h>
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

static void another_type_of_number_is_a_match_that_says_so(void **state)
{
    const struct tiny_tensor old[] = {{"a", DTYPE_F32, 8, 8, 1, 0, 0, 0},
                                      {"b", DTYPE_F32, 8, 8, 2, 0, 0, 0},
                                      {"c", DTYPE_F32, 8, 8, 3, 0, 0, 0}};
    const struct tiny_tensor new[] = {{"a", DTYPE_BF16, 8, 8, 1, 0, 0, 0},
                                      {"b", DTYPE_I8, 8, 8, 2, 0, 0, 0},
                                      {"c", DTYPE_I32, 8, 8, 3, 0, 0, 0}};
    struct side base, target;
    struct match_list list;
    (void)state;
    side_open(&base, old, 3);
    side_open(&target, new, 3);
    run(&base, &target, &list);
    const struct match *m = find(&list, "b", 0);
    assert_int_equal(m->base_offset, offset_of(&base, "b"));
    assert_int_equal(m->base_dtype, DTYPE_F32);
    m = find(&list, "a", 0);
    assert_int_equal(m->base_offset, offset_of(&base, "a"));
    assert_int_equal(m->base_size, 256);
    assert_int_equal(m->base_dtype, DTYPE_F32);
    assert_true(match_has_places(m));
    assert_false(match_is_plain(m));
    assert_int_equal(match_flat(m).base_size, 0);
    expect_base(&list, "c", 0, 0, 0);
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

/* Bytes without pattern, the same for the same seed. */
static void noise(uint64_t seed, uint8_t *out, size_t size)
{
    struct rng_seeded seeded;
    rng_seeded_init(&seeded, seed);
    struct rng rng = rng_from_seeded(&seeded);
    rng_fill(&rng, out, size);
}

static void expect_range(const struct match *match, uint64_t size,
                         uint64_t base_offset, uint64_t base_size)
{
    assert_int_equal(match->size, size);
    assert_int_equal(match->base_offset, base_offset);
    assert_int_equal(match->base_size, base_size);
    assert_int_equal(match->like, base_size && base_size != size);
}

/* Base: A B C. Target: C, something new, A but for its first 9 bytes. */
static void long_copies_in_opaque_contents_are_found(void **state)
{
    enum {
        A = 30000,
        B = 50000,
        C = 70000,
        NEW = 5000
    };
    uint8_t *old = malloc(A + B + C), *new = malloc(C + NEW + A);
    struct match_list list;
    (void)state;
    assert_true(old && new);
    noise(1, old, A + B + C);
    memcpy(new, old + A + B, C);
    noise(2, new + C, NEW);
    memcpy(new + C + NEW, old + 9, A - 9);
    struct source base = source_of_bytes(bytes_of(old, A + B + C));
    struct source target = source_of_bytes(bytes_of(new, C + NEW + A - 9));
    assert_int_equal(match_contents(&base, NULL, &target, NULL, &list),
                     STATUS_OK);
    assert_int_equal(list.count, 3);
    expect_range(&list.items[0], C, A + B, C);
    expect_range(&list.items[1], NEW, 0, 0);
    expect_range(&list.items[2], A - 9, 9, A - 9);
    match_list_free(&list);
    /* A stretch left out, then one that changed. */
    memcpy(new, old, A);
    noise(3, new + A, NEW);
    memcpy(new + A + NEW, old + A + B, C);
    target = source_of_bytes(bytes_of(new, A + NEW + C));
    assert_int_equal(match_contents(&base, NULL, &target, NULL, &list),
                     STATUS_OK);
    assert_int_equal(list.count, 3);
    expect_range(&list.items[0], A, 0, A);
    expect_range(&list.items[1], NEW, A, B);
    expect_range(&list.items[2], C, A + B, C);
    match_list_free(&list);
    free(old);
    free(new);
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

/* A file of tensors a, b and c of 16 bytes each at these offsets. */
static void lay_out(struct model *model, struct model_file *file,
                    struct tensor *tensors, const char *names, uint64_t size,
                    const uint64_t *offsets)
{
    static const uint64_t shape[] = {4};
    static const char *const texts[] = {"a", "b", "c"};
    *file = (struct model_file){.path = "m", .size = size};
    for (size_t i = 0; i < 3; i++)
        tensors[i] = (struct tensor){.name = texts[names[i] - 'a'],
                                     .name_size = 1,
                                     .dtype = DTYPE_F32,
                                     .rank = 1,
                                     .shape = shape,
                                     .offset = offsets[i],
                                     .size = 16};
    *model = (struct model){.size = size,
                            .tensors = tensors,
                            .tensor_count = 3,
                            .files = file,
                            .file_count = 1};
}

static void what_is_no_tensor_is_found_beside_its_tensor(void **state)
{
    static const uint64_t old_at[] = {10, 30, 52}, new_at[] = {12, 33, 51};
    uint8_t old[75], new[72];
    struct source base = source_of_bytes(bytes_of(old, sizeof(old)));
    struct source target = source_of_bytes(bytes_of(new, sizeof(new)));
    struct model base_model, target_model;
    struct model_file files[2];
    struct tensor tensors[2][3];
    struct match_list list;
    (void)state;
    memset(old, 1, sizeof(old));
    memset(new, 2, sizeof(new));
    lay_out(&base_model, &files[0], tensors[0], "abc", sizeof(old), old_at);
    lay_out(&target_model, &files[1], tensors[1], "cba", sizeof(new), new_at);
    assert_int_equal(
        match_contents(&base, &base_model, &target, &target_model, &list),
        STATUS_OK);
    check_tiling(&list, sizeof(old), sizeof(new));
    assert_int_equal(list.count, 7);
    /* Start to start; 5 bytes before b to 4; those before a to what was before
     * a, which is the start; end to end. */
    assert_int_equal(list.items[0].base_offset, 0);
    assert_int_equal(list.items[0].base_size, 10);
    assert_true(list.items[0].like);
    assert_int_equal(list.items[2].base_offset, 26);
    assert_int_equal(list.items[2].base_size, 4);
    assert_int_equal(list.items[4].base_offset, 0);
    assert_int_equal(list.items[6].base_offset, 68);
    assert_int_equal(list.items[6].base_size, 7);
    match_list_free(&list);
}

/* ---- the corpus ---- */

static bool corpus_open(struct side *side, const char *name)
{
    const char *root = getenv("DM_SRCDIR");
    char path[2048];
    memset(side, 0, sizeof(*side));
    snprintf(path, sizeof(path), "%s/../shared/corpus/%s.safetensors",
             root ? root : ".", name);
    FILE *f = fopen(path, "rb");
    if (!f)
        return false;
    assert_int_equal(fseek(f, 0, SEEK_END), 0);
    side->size = (size_t)ftell(f);
    rewind(f);
    side->data = malloc(side->size);
    assert_int_equal(fread(side->data, 1, side->size, f), side->size);
    fclose(f);
    side->source = source_of_bytes(bytes_of(side->data, side->size));
    assert_int_equal(
        model_parse_file(&side->source, "m.safetensors", &side->model, NULL),
        STATUS_OK);
    return true;
}

/* Bytes of the match that are those of its base. */
static uint64_t equal_bytes(const struct side *base, const struct side *target,
                            const struct match *m)
{
    size_t width = match_gather(m).elem_bytes;
    uint8_t *out = malloc((size_t)m->size);
    uint64_t equal = 0;
    assert_int_equal(m->base_dtype, m->tensor->dtype);
    assert_int_equal(
        match_gather_read(m, &base->source, 0, (size_t)m->size / width, out),
        STATUS_OK);
    for (size_t i = 0; i < m->size; i++)
        equal += out[i] == target->data[m->target_offset + i];
    free(out);
    return equal;
}

/* So much in a hundred of the bytes of tensors has its place in the base, and
 * so much is equal there. */
static bool check_pair(const char *old, const char *new, uint64_t placed,
                       uint64_t same)
{
    struct side base, target;
    struct match_list list;
    uint64_t all = 0, with = 0, equal = 0;
    if (!corpus_open(&base, old))
        return false;
    assert_true(corpus_open(&target, new));
    run(&base, &target, &list);
    for (size_t i = 0; i < list.count; i++) {
        const struct match *m = &list.items[i];
        if (!m->tensor)
            continue;
        all += m->size;
        if (!match_has_places(m))
            continue;
        with += m->size;
        equal += equal_bytes(&base, &target, m);
    }
    if (100 * with < placed * all || 100 * equal < same * all)
        fail_msg("%s to %s: of %llu bytes %llu have a place, %llu are equal",
                 old, new, (unsigned long long)all, (unsigned long long)with,
                 (unsigned long long)equal);
    match_list_free(&list);
    side_close(&base);
    side_close(&target);
    return true;
}

static void structure_changes_of_the_corpus_are_followed(void **state)
{
    (void)state;
    if (!check_pair("classext/c7", "classext/c8", 99, 20)) {
        print_message("# SKIP no corpus\n");
        skip();
    }
    check_pair("classext/c10", "structure/s1", 89, 20);   /* a block is new */
    check_pair("structure/s1", "structure/s2", 100, 100); /* renamed */
    check_pair("structure/s2", "structure/s3", 100, 100); /* pruned */
    check_pair("structure/s2", "structure/s4", 100, 20);  /* and trained */
    check_pair("structure/s4", "structure/s5", 100, 20);  /* renumbered */
    check_pair("structure/s5", "structure/s6", 100, 0);   /* folded */
    check_pair("classext/c7", "headonly/h0", 99, 98);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_match_wherever_they_lie),
        cmocka_unit_test(another_type_of_number_is_a_match_that_says_so),
        cmocka_unit_test(first_rows_are_kept_when_a_tensor_grows_or_shrinks),
        cmocka_unit_test(a_shape_that_does_not_fit_is_merely_like_the_old_one),
        cmocka_unit_test(equal_content_matches_under_another_name),
        cmocka_unit_test(trained_layers_match_under_another_number),
        cmocka_unit_test(a_renamed_and_trained_tensor_matches_by_shape),
        cmocka_unit_test(opaque_contents_match_as_wholes),
        cmocka_unit_test(long_copies_in_opaque_contents_are_found),
        cmocka_unit_test(files_match_by_path),
        cmocka_unit_test(what_is_no_tensor_is_found_beside_its_tensor),
        cmocka_unit_test(structure_changes_of_the_corpus_are_followed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
