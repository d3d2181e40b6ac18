/* Estimates are near what is then made, and look at little of it. */
#include "codec/update/estimate.h"

#include "codec/base/rng.h"
#include "codec/update/update_enc.h"
#include "tests/support/cmocka.h"
#include "tests/support/tiny_model.h"

#include <stdio.h>
#include <stdlib.h>

#define NEAR_PERCENT 15u
#define READ_MAX     (5u << 19)

/* A content in memory that counts what is read. */
struct content {
    uint8_t *data;
    size_t size;
    uint64_t read;
    struct source source;
    struct model *model;
};

static enum status content_read(void *ctx, uint64_t offset, void *out,
                                size_t size)
{
    struct content *c = ctx;
    if (offset > c->size || size > c->size - offset)
        return STATUS_TRUNCATED;
    memcpy(out, c->data + offset, size);
    c->read += size;
    return STATUS_OK;
}

static void content_open(struct content *c, const char *path)
{
    c->source = (struct source){content_read, c, c->size};
    assert_int_equal(model_parse_file(&c->source, path, &c->model, NULL),
                     STATUS_OK);
}

static void content_of(struct content *c, const struct tiny_tensor *list,
                       size_t count)
{
    c->data = tiny_model_new(list, count, &c->size);
    assert_non_null(c->data);
    content_open(c, "m.safetensors");
}

static void content_close(struct content *c)
{
    model_free(c->model);
    free(c->data);
}

static uint64_t make(const struct update_enc_params *params)
{
    struct update_enc *enc;
    struct writer header;
    struct bytes coded;
    uint64_t bytes = 0;
    writer_init_heap(&header, UPDATE_HEADER_MAX);
    assert_int_equal(update_enc_new(params, &enc), STATUS_OK);
    assert_int_equal(update_enc_plan(enc, NULL, NULL), STATUS_OK);
    for (uint32_t i = 0; i < update_enc_segment_count(enc); i++) {
        assert_int_equal(update_enc_segment(enc, i, &coded), STATUS_OK);
        bytes += coded.size;
    }
    assert_int_equal(update_enc_header(enc, &header), STATUS_OK);
    bytes += header.size;
    writer_deinit(&header);
    update_enc_free(enc);
    return bytes;
}

/* Returns the bytes of the update made. */
static uint64_t check_near(struct content *base, struct content *target,
                           unsigned max_rank)
{
    struct update_enc_params params = {
        .base = base ? &base->source : NULL,
        .base_model = base ? base->model : NULL,
        .target = &target->source,
        .target_model = target->model,
        .effort = UPDATE_EFFORT_SMALL,
        .max_rank = max_rank,
    };
    uint64_t estimate;
    target->read = 0;
    if (base)
        base->read = 0;
    assert_int_equal(update_estimate(&params, &estimate), STATUS_OK);
    assert_true(target->read <= READ_MAX);
    assert_true(!base || base->read <= READ_MAX);
    uint64_t bytes = make(&params);
    assert_in_range(estimate, bytes - bytes * NEAR_PERCENT / 100,
                    bytes + bytes * NEAR_PERCENT / 100);
    return bytes;
}

static void small_contents_are_told_exactly(void **state)
{
    (void)state;
    const struct tiny_tensor old[] = {{"a", DTYPE_F32, 200, 100, 1, 0, 0, 0},
                                      {"b", DTYPE_I8, 64, 64, 2, 0, 0, 0}};
    const struct tiny_tensor new[] = {{"a", DTYPE_F32, 200, 100, 1, 1e-3, 5, 0},
                                      {"b", DTYPE_I8, 64, 64, 2, 0.1, 6, 0}};
    struct content base, target;
    content_of(&base, old, 2);
    content_of(&target, new, 2);
    struct update_enc_params params = {.base = &base.source,
                                       .base_model = base.model,
                                       .target = &target.source,
                                       .target_model = target.model,
                                       .max_rank = 32};
    uint64_t estimate;
    assert_int_equal(update_estimate(&params, &estimate), STATUS_OK);
    assert_int_equal(estimate, make(&params));
    content_close(&base);
    content_close(&target);
}

/* Tensors of all widths, changed in different ways; the names are equal. */
static void large_contents_are_told_from_little(void **state)
{
    (void)state;
    const struct tiny_tensor old[] = {{"a", DTYPE_F32, 700, 700, 1, 0, 0, 0},
                                      {"b", DTYPE_BF16, 900, 900, 2, 0, 0, 0},
                                      {"c", DTYPE_I8, 600, 500, 3, 0, 0, 0},
                                      {"d", DTYPE_F32, 300000, 0, 4, 0, 0, 0},
                                      {"e", DTYPE_F32, 500, 600, 5, 0, 0, 0}};
    const struct tiny_tensor new[] = {
        {"a", DTYPE_F32, 700, 700, 1, 1e-3, 11, 0},
        {"b", DTYPE_BF16, 900, 900, 2, 1e-2, 12, 0},
        {"c", DTYPE_I8, 600, 500, 3, 0.1, 13, 0},
        {"d", DTYPE_F32, 300000, 0, 4, 1e-3, 14, 10},
        {"e", DTYPE_F32, 500, 600, 5, 0, 0, 0}};
    struct content base, target;
    content_of(&base, old, 5);
    content_of(&target, new, 5);
    check_near(&base, &target, 32);
    check_near(NULL, &target, 32);
    check_near(&base, &base, 32);
    content_close(&base);
    content_close(&target);
}

/* Adds x y^T to the first matrix of a model. */
static void add_rank_one(struct content *c, uint32_t rows, uint32_t columns)
{
    struct rng_seeded seeded;
    rng_seeded_init(&seeded, 77);
    struct rng rng = rng_from_seeded(&seeded);
    uint8_t *at = c->data + c->model->tensors[0].offset;
    float *y = malloc(columns * sizeof(*y));
    for (uint32_t j = 0; j < columns; j++)
        y[j] = (float)rng_below(&rng, 2001) / 1000 - 1;
    for (uint32_t i = 0; i < rows; i++) {
        float x = (float)rng_below(&rng, 2001) / 1e6f - 1e-3f;
        for (uint32_t j = 0; j < columns; j++, at += 4) {
            float value;
            memcpy(&value, at, 4);
            value += x * y[j];
            memcpy(at, &value, 4);
        }
    }
    free(y);
}

static void what_low_rank_saves_is_told(void **state)
{
    (void)state;
    const struct tiny_tensor old[] = {{"a", DTYPE_F32, 1500, 600, 1, 0, 0, 0}};
    const struct tiny_tensor new[] = {
        {"a", DTYPE_F32, 1500, 600, 1, 1e-5, 11, 0}};
    struct content base, target;
    content_of(&base, old, 1);
    content_of(&target, new, 1);
    add_rank_one(&target, 1500, 600);
    uint64_t without = check_near(&base, &target, 0);
    uint64_t with = check_near(&base, &target, 32);
    assert_true(with < without - without / 5);
    content_close(&base);
    content_close(&target);
}

static void bytes_that_are_no_model_are_told(void **state)
{
    (void)state;
    struct content base = {.size = 4u << 20}, target = {.size = 4u << 20};
    struct rng_seeded seeded;
    rng_seeded_init(&seeded, 5);
    struct rng rng = rng_from_seeded(&seeded);
    base.data = malloc(base.size);
    target.data = malloc(target.size);
    /* Words of text, so that it packs. */
    for (size_t i = 0; i < base.size; i += 4)
        store_le32(base.data + i,
                   0x20000000u + (uint32_t)rng_below(&rng, 5000));
    memcpy(target.data, base.data, base.size);
    for (size_t i = 0; i < target.size; i += 512)
        store_le32(target.data + i,
                   0x20000000u + (uint32_t)rng_below(&rng, 5000));
    content_open(&base, "a");
    content_open(&target, "a");
    check_near(NULL, &target, 32);
    content_close(&base);
    content_close(&target);
}

static void equal_leaves_need_no_look(void **state)
{
    (void)state;
    const struct tiny_tensor list[] = {{"a", DTYPE_F32, 1500, 600, 1, 0, 0, 0}};
    struct content base, target;
    struct tree_builder tb;
    struct hash tree;
    uint64_t estimate;
    content_of(&base, list, 1);
    content_of(&target, list, 1);
    assert_int_equal(tree_build(&base.source, &tb, &tree), STATUS_OK);
    base.read = target.read = 0;
    struct update_enc_params params = {.base = &base.source,
                                       .base_model = base.model,
                                       .base_leaves = tb.leaves,
                                       .target = &target.source,
                                       .target_model = target.model,
                                       .target_leaves = tb.leaves};
    assert_int_equal(update_estimate(&params, &estimate), STATUS_OK);
    assert_int_equal(base.read + target.read, 0);
    assert_in_range(estimate, 1, 300);
    tree_builder_deinit(&tb);
    content_close(&base);
    content_close(&target);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(small_contents_are_told_exactly),
        cmocka_unit_test(large_contents_are_told_from_little),
        cmocka_unit_test(what_low_rank_saves_is_told),
        cmocka_unit_test(bytes_that_are_no_model_are_told),
        cmocka_unit_test(equal_leaves_need_no_look),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
