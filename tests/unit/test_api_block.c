/* Blocks of NNC streams by the public face, what both ends keep of them, and
 * memory that runs out in any of it. */
#include "tests/support/alloc_fail.h"
#include "tests/support/cmocka.h"

#include <deltamesh/nnc.h>
#include <stdlib.h>
#include <string.h>

#define ROWS  5u
#define COLS  6u
#define RANK  2u
#define PARTS 4u

static const uint64_t weight_shape[] = {ROWS, 2, 3};
static const uint64_t g_shape[] = {ROWS, RANK};
static const uint64_t h_shape[] = {RANK, COLS};

/* A layer: its weight, or G and H, and a bias and local scaling. */
struct layer {
    struct dmc_nnc_tensor tensors[PARTS];
    const struct dmc_nnc_tensor *list[PARTS];
    int32_t numbers[PARTS][ROWS * COLS];
    const int32_t *levels[PARTS];
    size_t count;
};

static void add(struct layer *layer, const char *name, uint32_t part,
                const uint64_t *shape, uint32_t rank)
{
    size_t i = layer->count++;
    struct dmc_nnc_tensor *tensor = &layer->tensors[i];
    dmc_nnc_tensor_init(tensor);
    tensor->name = name;
    tensor->part = part;
    tensor->shape = shape;
    tensor->rank = rank;
    tensor->kind = DMC_NNC_UNIFORM;
    tensor->qp = -8; /* step 1/4 */
    tensor->parameter_id = 3;
    tensor->elem_count = 1;
    for (uint32_t k = 0; k < rank; k++)
        tensor->elem_count *= shape[k];
    layer->list[i] = tensor;
    layer->levels[i] = layer->numbers[i];
    for (uint32_t k = 0; k < ROWS * COLS; k++)
        layer->numbers[i][k] = (int32_t)((k * 7 + i * 5) % 9) - 4;
}

static void layer_init(struct layer *layer, bool factors)
{
    layer->count = 0;
    if (factors) {
        add(layer, "l_G", DMC_NNC_G, g_shape, 2);
        add(layer, "l_H", DMC_NNC_H, h_shape, 2);
    } else {
        add(layer, "l", DMC_NNC_WEIGHT, weight_shape, 3);
    }
    add(layer, "l_scaling", DMC_NNC_LOCAL_SCALING, weight_shape, 1);
    add(layer, "l.bias", DMC_NNC_BIAS, weight_shape, 1);
}

/* A stream of that block alone; the first error. */
static enum dmc_status write_layer(struct dmc_buffer *out,
                                   const struct layer *layer,
                                   struct dmc_nnc_state *kept,
                                   struct dmc_error *error)
{
    struct dmc_sink sink = dmc_buffer_sink(out);
    struct dmc_nnc_enc_params params;
    struct dmc_nnc_enc *enc;
    uint64_t size;
    dmc_buffer_free(out);
    dmc_nnc_enc_params_init(&params);
    params.incremental = kept != NULL;
    params.state = kept;
    enum dmc_status status = dmc_nnc_enc_new(&sink, &params, &enc, error);
    if (!status)
        status = dmc_nnc_enc_block(enc, layer->list, layer->levels,
                                   layer->count, weight_shape, 3, &size, error);
    if (!status)
        status = dmc_nnc_enc_finish(enc, error);
    if (!status)
        assert_true(size < out->size);
    dmc_nnc_enc_free(enc);
    return status;
}

static const struct dmc_nnc_tensor *of_part(const struct layer *layer,
                                            uint32_t part, size_t *at)
{
    for (*at = 0; *at < layer->count; ++*at)
        if (layer->tensors[*at].part == part)
            return &layer->tensors[*at];
    return NULL;
}

static void check_part(const struct dmc_nnc_dec *dec,
                       const struct dmc_nnc_tensor *got,
                       const struct layer *layer)
{
    float values[ROWS * COLS];
    size_t at;
    const struct dmc_nnc_tensor *want = of_part(layer, got->part, &at);
    assert_non_null(want);
    assert_string_equal(got->name, want->name);
    assert_int_equal(got->elem_count, want->elem_count);
    assert_memory_equal(dmc_nnc_dec_levels(dec), layer->levels[at],
                        (size_t)want->elem_count * sizeof(int32_t));
    assert_int_equal(dmc_nnc_dec_values(dec, 0, want->elem_count, values),
                     DMC_OK);
    for (size_t i = 0; i < want->elem_count; i++)
        assert_true(values[i] == 0.25f * (float)layer->levels[at][i]);
}

/* Reads all, which must be the layer's tensors; how many there were. */
static enum dmc_status read_layer(const struct dmc_buffer *in,
                                  const struct layer *layer,
                                  struct dmc_nnc_state *kept, size_t *count)
{
    struct dmc_source source = dmc_source_of_memory(in->data, in->size);
    struct dmc_nnc_dec_params params;
    const struct dmc_nnc_tensor *got;
    struct dmc_nnc_dec *dec;
    *count = 0;
    dmc_nnc_dec_params_init(&params);
    params.state = kept;
    enum dmc_status status = dmc_nnc_dec_new(&source, &params, &dec, NULL);
    while (!status && !(status = dmc_nnc_dec_next(dec, &got, NULL)) && got) {
        check_part(dec, got, layer);
        ++*count;
    }
    dmc_nnc_dec_free(dec);
    return status;
}

static void blocks_come_back(void **state)
{
    (void)state;
    struct dmc_buffer out = {.size_max = 1u << 16};
    struct layer layer;
    size_t count;
    for (int factors = 0; factors < 2; factors++) {
        layer_init(&layer, factors);
        assert_int_equal(write_layer(&out, &layer, NULL, NULL), DMC_OK);
        assert_int_equal(read_layer(&out, &layer, NULL, &count), DMC_OK);
        assert_int_equal(count, layer.count);
    }
    dmc_buffer_free(&out);
}

static void both_ends_keep_blocks(void **state)
{
    (void)state;
    struct dmc_buffer out = {.size_max = 1u << 16};
    struct dmc_nnc_state *ends[2];
    struct dmc_nnc_node node;
    struct layer layer;
    size_t count;
    dmc_nnc_node_init(&node);
    layer_init(&layer, true);
    for (int i = 0; i < 2; i++)
        assert_int_equal(dmc_nnc_state_new(&ends[i]), DMC_OK);
    for (size_t i = 0; i < layer.count; i++)
        layer.tensors[i].has_parent = 1;
    for (uint32_t step = 1; step < 4; step++) {
        layer.numbers[0][1] = (int32_t)step;
        assert_int_equal(write_layer(&out, &layer, ends[0], NULL), DMC_OK);
        assert_int_equal(read_layer(&out, &layer, ends[1], &count), DMC_OK);
        assert_int_equal(count, layer.count);
        for (int i = 0; i < 2; i++) {
            assert_int_equal(dmc_nnc_state_count(ends[i]), layer.count);
            assert_int_equal(dmc_nnc_state_find(ends[i], "l_G", &node), DMC_OK);
            assert_int_equal(node.put_node_depth, step);
            assert_int_equal(node.parameter_id, 3);
            assert_int_equal(node.levels[1], step);
        }
    }
    /* The same again is not the next. */
    assert_int_equal(read_layer(&out, &layer, ends[1], &count), DMC_BAD_BASE);
    /* Nothing but zeroes is not sent. */
    memset(layer.numbers, 0, sizeof(layer.numbers));
    assert_int_equal(write_layer(&out, &layer, ends[0], NULL), DMC_OK);
    assert_int_equal(read_layer(&out, &layer, ends[1], &count), DMC_OK);
    assert_int_equal(count, 0);
    for (int i = 0; i < 2; i++)
        dmc_nnc_state_free(ends[i]);
    dmc_buffer_free(&out);
}

static void what_is_no_block_is_usage(void **state)
{
    (void)state;
    struct dmc_buffer out = {.size_max = 1u << 16};
    struct dmc_error error;
    struct layer layer;
    for (int fault = 0; fault < 6; fault++) {
        layer_init(&layer, fault == 5);
        if (fault == 0)
            layer.tensors[1].part = DMC_NNC_ALONE;
        else if (fault == 1)
            layer.tensors[2].kind = DMC_NNC_INT;
        else if (fault == 2)
            layer.count = 0;
        else if (fault == 3)
            layer.tensors[1].parameter_id = 9;
        else if (fault == 4)
            layer.list[2] = NULL;
        else
            layer.tensors[1].shape = g_shape;
        assert_int_equal(write_layer(&out, &layer, NULL, &error), DMC_USAGE);
        assert_true(error.text[0]);
    }
    dmc_buffer_free(&out);
}

static void an_update_of_another_shape_is_usage(void **state)
{
    (void)state;
    struct dmc_buffer out = {.size_max = 1u << 16};
    struct dmc_nnc_state *kept;
    struct dmc_nnc_node node;
    struct layer layer;
    struct dmc_error error;
    const int32_t levels[4] = {1, 2, 3, 4};
    const uint64_t four = 4;
    assert_int_equal(dmc_nnc_state_new(&kept), DMC_OK);
    dmc_nnc_node_init(&node);
    node.name = "l.bias";
    node.shape = &four;
    node.rank = 1;
    node.elem_count = 4;
    node.levels = levels;
    assert_int_equal(dmc_nnc_state_put(kept, &node), DMC_OK);
    layer_init(&layer, false);
    for (size_t i = 0; i < layer.count; i++)
        layer.tensors[i].has_parent = 1;
    assert_int_equal(write_layer(&out, &layer, kept, &error), DMC_USAGE);
    assert_non_null(strstr(error.text, "shape"));
    dmc_nnc_state_free(kept);
    dmc_buffer_free(&out);
}

/* Ids that no stream has said are not those of the tensor. */
static void ids_are_the_callers_until_they_were_sent(void **state)
{
    (void)state;
    struct dmc_buffer out = {.size_max = 1u << 16};
    struct dmc_nnc_state *kept;
    struct dmc_nnc_node node;
    struct layer layer;
    const int32_t levels[ROWS * COLS] = {1};
    assert_int_equal(dmc_nnc_state_new(&kept), DMC_OK);
    dmc_nnc_node_init(&node);
    layer_init(&layer, false);
    for (size_t i = 0; i < layer.count; i++) {
        layer.tensors[i].has_parent = 1;
        node.name = layer.tensors[i].name;
        node.shape = layer.tensors[i].shape;
        node.rank = layer.tensors[i].rank;
        node.elem_count = layer.tensors[i].elem_count;
        node.levels = levels;
        assert_int_equal(dmc_nnc_state_put(kept, &node), DMC_OK);
    }
    assert_int_equal(write_layer(&out, &layer, kept, NULL), DMC_OK);
    assert_int_equal(dmc_nnc_state_find(kept, "l", &node), DMC_OK);
    assert_int_equal(node.parameter_id, 3);
    assert_int_equal(node.put_node_depth, 1);
    dmc_nnc_state_free(kept);
    dmc_buffer_free(&out);
}

static void missing_arguments_are_usage(void **state)
{
    (void)state;
    struct dmc_buffer out = {.size_max = 1u << 16};
    struct dmc_sink sink = dmc_buffer_sink(&out);
    const struct dmc_sink none = {NULL, NULL};
    const float value = 1;
    struct dmc_nnc_enc *enc;
    struct layer layer;
    layer_init(&layer, false);
    assert_int_equal(dmc_nnc_enc_new(NULL, NULL, &enc, NULL), DMC_USAGE);
    assert_int_equal(dmc_nnc_enc_new(&none, NULL, &enc, NULL), DMC_USAGE);
    assert_null(enc);
    assert_int_equal(dmc_nnc_enc_new(&sink, NULL, &enc, NULL), DMC_OK);
    layer.tensors[1].part = DMC_NNC_ALONE;
    assert_int_equal(
        dmc_nnc_enc_levels(enc, &layer.tensors[1], NULL, NULL, NULL),
        DMC_USAGE);
    assert_int_equal(dmc_nnc_enc_levels(enc, NULL, layer.levels[0], NULL, NULL),
                     DMC_USAGE);
    assert_int_equal(
        dmc_nnc_enc_floats(enc, &layer.tensors[1], &value, NULL, NULL, NULL),
        DMC_USAGE);
    assert_int_equal(dmc_nnc_enc_raw(enc, &layer.tensors[1], NULL, NULL, NULL),
                     DMC_USAGE);
    assert_int_equal(dmc_nnc_enc_block(enc, NULL, NULL, 2, NULL, 0, NULL, NULL),
                     DMC_USAGE);
    assert_int_equal(dmc_nnc_enc_finish(enc, NULL), DMC_OK);
    dmc_nnc_enc_free(enc);
    dmc_buffer_free(&out);
}

/* Two streams of blocks, by both ends; as many of them as memory lets be. */
static enum dmc_status run_chain(struct dmc_buffer *out,
                                 const struct layer *layer)
{
    struct dmc_nnc_state *ends[2] = {NULL, NULL};
    size_t count;
    enum dmc_status status = dmc_nnc_state_new(&ends[0]);
    if (!status)
        status = dmc_nnc_state_new(&ends[1]);
    for (int i = 0; !status && i < 2; i++) {
        status = write_layer(out, layer, ends[0], NULL);
        if (!status)
            status = read_layer(out, layer, ends[1], &count);
        if (status) /* whatever they keep is of one stream or of the other */
            assert_true(!dmc_nnc_state_count(ends[1]) ||
                        dmc_nnc_state_count(ends[1]) == layer->count);
    }
    dmc_nnc_state_free(ends[0]);
    dmc_nnc_state_free(ends[1]);
    return status;
}

static void short_memory_is_told_of_blocks(void **state)
{
    (void)state;
    struct dmc_buffer out = {.size_max = 1u << 16};
    struct layer layer;
    bool failed = true;
    layer_init(&layer, true);
    for (size_t i = 0; i < layer.count; i++)
        layer.tensors[i].has_parent = 1;
    for (unsigned n = 0; failed; n++) {
        alloc_fail_after(n);
        enum dmc_status status = run_chain(&out, &layer);
        failed = alloc_fail_stop();
        assert_int_equal(status, failed ? DMC_NO_MEMORY : DMC_OK);
    }
    dmc_buffer_free(&out);
}

static void short_memory_is_told_of_floats(void **state)
{
    (void)state;
    static float values[ROWS * COLS];
    struct layer layer;
    struct dmc_nnc_quant quant;
    bool failed = true;
    layer_init(&layer, false);
    layer.tensors[0].part = DMC_NNC_ALONE;
    dmc_nnc_quant_init(&quant);
    quant.aim = DMC_NNC_AIM_SHARE;
    quant.error = 0.2;
    for (size_t i = 0; i < ROWS * COLS; i++)
        values[i] = (float)layer.numbers[0][i] / 7;
    for (unsigned n = 0; failed; n++) {
        struct dmc_buffer out = {.size_max = 1u << 16};
        struct dmc_sink sink = dmc_buffer_sink(&out);
        struct dmc_nnc_enc *enc;
        alloc_fail_after(n);
        enum dmc_status status = dmc_nnc_enc_new(&sink, NULL, &enc, NULL);
        if (!status)
            status = dmc_nnc_enc_floats(enc, &layer.tensors[0], values, &quant,
                                        NULL, NULL);
        if (!status)
            status = dmc_nnc_enc_finish(enc, NULL);
        failed = alloc_fail_stop();
        assert_int_equal(status, failed ? DMC_NO_MEMORY : DMC_OK);
        dmc_nnc_enc_free(enc);
        dmc_buffer_free(&out);
    }
}

/* Of the first edition, which only the last of its units shows: what comes
 * before is read apart. */
static void short_memory_is_told_of_editions(void **state)
{
    (void)state;
    static const unsigned char stream[] = {
        0x00, 0x04, 0x02, 0x00, 0x00, 0x08, 0x06, 0x81, 0x00, 0x40, 0x00, 0x80,
        0x00, 0x0f, 0x16, 0x01, 0x61, 0x00, 0x61, 0xc3, 0x00, 0x40, 0x8d, 0x00,
        0x4f, 0xf0, 0x3b, 0x00, 0x0f, 0x16, 0x01, 0x61, 0x00, 0x61, 0xc3, 0x00,
        0x40, 0x8d, 0x00, 0x4f, 0xf0, 0x3b, 0x00, 0x10, 0x16, 0x01, 0x61, 0x00,
        0x61, 0xc3, 0x00, 0x40, 0x8d, 0x00, 0x47, 0xf0, 0x3b, 0xc0};
    struct dmc_source source = dmc_source_of_memory(stream, sizeof(stream));
    bool failed = true;
    for (unsigned n = 0; failed; n++) {
        const struct dmc_nnc_tensor *got;
        struct dmc_nnc_dec *dec;
        int32_t third = 0;
        alloc_fail_after(n);
        enum dmc_status status = dmc_nnc_dec_new(&source, NULL, &dec, NULL);
        while (!status && !(status = dmc_nnc_dec_next(dec, &got, NULL)) && got)
            third += dmc_nnc_dec_levels(dec)[2];
        failed = alloc_fail_stop();
        dmc_nnc_dec_free(dec);
        assert_int_equal(status, failed ? DMC_NO_MEMORY : DMC_OK);
        if (!failed)
            assert_int_equal(third, 1);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(blocks_come_back),
        cmocka_unit_test(both_ends_keep_blocks),
        cmocka_unit_test(what_is_no_block_is_usage),
        cmocka_unit_test(an_update_of_another_shape_is_usage),
        cmocka_unit_test(ids_are_the_callers_until_they_were_sent),
        cmocka_unit_test(missing_arguments_are_usage),
        cmocka_unit_test(short_memory_is_told_of_blocks),
        cmocka_unit_test(short_memory_is_told_of_floats),
        cmocka_unit_test(short_memory_is_told_of_editions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
