/* The public face of NNC streams: what deltamesh/nnc.h promises. */
#include "tests/support/alloc_fail.h"
#include "tests/support/cmocka.h"

#include <deltamesh/nnc.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ROWS 24u
#define COLS 40u
#define SIZE (ROWS * COLS)

static const uint64_t shape[] = {ROWS, COLS};

/* A sparse, reproducible pattern of small integers. */
static void fill(int32_t *levels, uint32_t seed)
{
    for (uint32_t i = 0; i < SIZE; i++) {
        seed = seed * 1664525u + 1013904223u;
        int32_t v = (int32_t)(seed >> 28) - 8;
        levels[i] = v > 3 || v < -3 ? 0 : v;
    }
}

static struct dmc_nnc_tensor tensor_of(const char *name)
{
    struct dmc_nnc_tensor tensor;
    dmc_nnc_tensor_init(&tensor);
    tensor.name = name;
    tensor.shape = shape;
    tensor.rank = 2;
    tensor.elem_count = SIZE;
    tensor.kind = DMC_NNC_UNIFORM;
    tensor.qp = -20; /* step 1/32 */
    return tensor;
}

/* A stream of one tensor "w" of those levels. */
static void stream_of(struct dmc_buffer *out,
                      const struct dmc_nnc_enc_params *params,
                      const struct dmc_nnc_tensor *tensor,
                      const int32_t *levels)
{
    struct dmc_sink sink = dmc_buffer_sink(out);
    struct dmc_nnc_enc *enc;
    struct dmc_error error;
    uint64_t size;
    assert_int_equal(dmc_nnc_enc_new(&sink, params, &enc, &error), DMC_OK);
    assert_int_equal(dmc_nnc_enc_levels(enc, tensor, levels, &size, &error),
                     DMC_OK);
    assert_int_equal(dmc_nnc_enc_finish(enc, &error), DMC_OK);
    assert_true(size <= out->size);
    dmc_nnc_enc_free(enc);
}

static void levels_and_values_come_back(void **state)
{
    (void)state;
    struct dmc_buffer out = {.size_max = 1u << 20};
    struct dmc_sink sink = dmc_buffer_sink(&out);
    static const int32_t codebook[] = {-7, -1, 0, 5};
    int32_t levels[SIZE], indices[SIZE];
    float raw[SIZE], values[SIZE];
    struct dmc_nnc_enc *enc;
    struct dmc_nnc_dec *dec;
    const struct dmc_nnc_tensor *got;
    fill(levels, 1);
    for (uint32_t i = 0; i < SIZE; i++) {
        raw[i] = (float)i * 0.1f;
        indices[i] = levels[i] < -2 ? -2 : levels[i] > 1 ? 1 : levels[i];
    }
    struct dmc_nnc_tensor tensor = tensor_of("uniform");
    assert_int_equal(dmc_nnc_enc_new(&sink, NULL, &enc, NULL), DMC_OK);
    assert_int_equal(dmc_nnc_enc_levels(enc, &tensor, levels, NULL, NULL),
                     DMC_OK);
    tensor.name = "int";
    tensor.kind = DMC_NNC_INT;
    assert_int_equal(dmc_nnc_enc_levels(enc, &tensor, levels, NULL, NULL),
                     DMC_OK);
    tensor.name = "codebook";
    tensor.kind = DMC_NNC_CODEBOOK;
    tensor.codebook = codebook;
    tensor.codebook_size = 4;
    tensor.codebook_zero = 2;
    assert_int_equal(dmc_nnc_enc_levels(enc, &tensor, indices, NULL, NULL),
                     DMC_OK);
    tensor.name = "raw";
    assert_int_equal(dmc_nnc_enc_raw(enc, &tensor, raw, NULL, NULL), DMC_OK);
    assert_int_equal(dmc_nnc_enc_finish(enc, NULL), DMC_OK);
    dmc_nnc_enc_free(enc);

    struct dmc_source source = dmc_source_of_memory(out.data, out.size);
    assert_int_equal(dmc_nnc_dec_new(&source, NULL, &dec, NULL), DMC_OK);
    assert_null(dmc_nnc_dec_levels(dec));
    assert_int_equal(dmc_nnc_dec_next(dec, &got, NULL), DMC_OK);
    assert_string_equal(got->name, "uniform");
    assert_int_equal(got->rank, 2);
    assert_int_equal(got->shape[1], COLS);
    assert_memory_equal(dmc_nnc_dec_levels(dec), levels, sizeof(levels));
    assert_int_equal(dmc_nnc_dec_values(dec, 0, SIZE, values), DMC_OK);
    for (uint32_t i = 0; i < SIZE; i++)
        assert_true(values[i] == (float)levels[i] / 32.0f);
    assert_int_equal(dmc_nnc_dec_values(dec, SIZE, 1, values), DMC_USAGE);
    assert_int_equal(dmc_nnc_dec_values(dec, 1, UINT64_MAX, values), DMC_USAGE);
    assert_null(dmc_nnc_dec_product(dec));
    assert_int_equal(dmc_nnc_dec_product_values(dec, 0, 1, values), DMC_USAGE);

    assert_int_equal(dmc_nnc_dec_next(dec, &got, NULL), DMC_OK);
    assert_int_equal(got->kind, DMC_NNC_INT);
    int32_t ints[SIZE];
    assert_int_equal(dmc_nnc_dec_values(dec, 0, SIZE, ints), DMC_OK);
    assert_memory_equal(ints, levels, sizeof(levels));

    assert_int_equal(dmc_nnc_dec_next(dec, &got, NULL), DMC_OK);
    assert_int_equal(got->kind, DMC_NNC_CODEBOOK);
    assert_int_equal(got->codebook_size, 4);
    assert_memory_equal(got->codebook, codebook, sizeof(codebook));
    assert_memory_equal(dmc_nnc_dec_levels(dec), indices, sizeof(indices));
    assert_int_equal(dmc_nnc_dec_values(dec, 0, SIZE, values), DMC_OK);
    for (uint32_t i = 0; i < SIZE; i++)
        assert_true(values[i] == (float)codebook[indices[i] + 2] / 32.0f);

    assert_int_equal(dmc_nnc_dec_next(dec, &got, NULL), DMC_OK);
    assert_int_equal(got->kind, DMC_NNC_RAW);
    assert_null(dmc_nnc_dec_levels(dec));
    assert_int_equal(dmc_nnc_dec_values(dec, 0, SIZE, values), DMC_OK);
    assert_memory_equal(values, raw, sizeof(raw));
    for (int again = 0; again < 2; again++) {
        assert_int_equal(dmc_nnc_dec_next(dec, &got, NULL), DMC_OK);
        assert_null(got);
    }
    assert_null(dmc_nnc_dec_levels(dec));
    dmc_nnc_dec_free(dec);
    dmc_buffer_free(&out);
}

static void stream_says_what_it_is(void **state)
{
    (void)state;
    struct dmc_buffer out = {.size_max = 1u << 20};
    struct dmc_nnc_enc_params params;
    struct dmc_nnc_tensor tensor = tensor_of("w");
    struct dmc_nnc_stream stream = {.struct_size = sizeof(stream)};
    const struct dmc_nnc_tensor *got;
    struct dmc_nnc_dec *dec;
    int32_t levels[SIZE];
    fill(levels, 2);
    dmc_nnc_enc_params_init(&params);
    params.first_edition = 1;
    params.qp_density = DMC_NNC_DENSITY_0;
    params.quick = 1;
    tensor.qp = -5;
    stream_of(&out, &params, &tensor, levels);
    struct dmc_source source = dmc_source_of_memory(out.data, out.size);
    assert_int_equal(dmc_nnc_dec_new(&source, NULL, &dec, NULL), DMC_OK);
    assert_int_equal(dmc_nnc_dec_next(dec, &got, NULL), DMC_OK);
    assert_int_equal(dmc_nnc_dec_stream(dec, &stream), DMC_OK);
    assert_int_equal(stream.profile, 0);
    assert_int_equal(stream.qp_density, 0);
    assert_int_equal(stream.incremental, 0);
    assert_int_equal(got->qp, -5);
    assert_int_equal(got->coded_size, out.size - stream.offset);
    stream.struct_size = 1;
    assert_int_equal(dmc_nnc_dec_stream(dec, &stream), DMC_USAGE);
    dmc_nnc_dec_free(dec);
    dmc_buffer_free(&out);
}

/* ---- Incremental streams ---- */

struct ends {
    struct dmc_nnc_state *sender, *receiver;
};

static int ends_setup(void **state)
{
    struct ends *ends = calloc(1, sizeof(*ends));
    assert_int_equal(dmc_nnc_state_new(&ends->sender), DMC_OK);
    assert_int_equal(dmc_nnc_state_new(&ends->receiver), DMC_OK);
    *state = ends;
    return 0;
}

static int ends_teardown(void **state)
{
    struct ends *ends = *state;
    dmc_nnc_state_free(ends->sender);
    dmc_nnc_state_free(ends->receiver);
    free(ends);
    return 0;
}

static void send_update(struct ends *ends, struct dmc_buffer *out,
                        const int32_t *levels)
{
    struct dmc_nnc_enc_params params;
    struct dmc_nnc_tensor tensor = tensor_of("w");
    dmc_nnc_enc_params_init(&params);
    params.incremental = 1;
    params.state = ends->sender;
    tensor.has_parent = 1;
    tensor.parameter_id = 7;
    dmc_buffer_free(out);
    stream_of(out, &params, &tensor, levels);
}

/* Reads all; true when the levels of the last tensor were these. */
static enum dmc_status receive(struct ends *ends, const struct dmc_buffer *in,
                               const int32_t *levels, uint32_t *tensors)
{
    struct dmc_source source = dmc_source_of_memory(in->data, in->size);
    struct dmc_nnc_dec_params params;
    const struct dmc_nnc_tensor *tensor;
    struct dmc_nnc_dec *dec;
    *tensors = 0;
    dmc_nnc_dec_params_init(&params);
    params.state = ends->receiver;
    enum dmc_status status = dmc_nnc_dec_new(&source, &params, &dec, NULL);
    while (!status && !(status = dmc_nnc_dec_next(dec, &tensor, NULL)) &&
           tensor) {
        ++*tensors;
        assert_memory_equal(dmc_nnc_dec_levels(dec), levels,
                            SIZE * sizeof(*levels));
    }
    dmc_nnc_dec_free(dec);
    return status;
}

static void assert_same_state(const struct ends *ends, uint32_t depth)
{
    struct dmc_nnc_node a, b;
    uint32_t device_a = 1, device_b = 2;
    dmc_nnc_node_init(&a);
    dmc_nnc_node_init(&b);
    assert_int_equal(dmc_nnc_state_count(ends->sender), 1);
    assert_int_equal(dmc_nnc_state_count(ends->receiver), 1);
    assert_int_equal(dmc_nnc_state_at(ends->sender, 0, &a), DMC_OK);
    assert_int_equal(dmc_nnc_state_find(ends->receiver, "w", &b), DMC_OK);
    assert_int_equal(a.put_node_depth, depth);
    assert_int_equal(b.put_node_depth, depth);
    assert_int_equal(b.parameter_id, 7);
    assert_int_equal(b.elem_count, SIZE);
    assert_memory_equal(a.levels, b.levels, SIZE * sizeof(int32_t));
    assert_non_null(a.history);
    assert_memory_equal(a.history, b.history, SIZE);
    assert_int_equal(dmc_nnc_state_device(ends->sender, &device_a), DMC_OK);
    assert_int_equal(dmc_nnc_state_device(ends->receiver, &device_b), DMC_OK);
    assert_int_equal(device_a, device_b);
}

static void both_ends_keep_the_same_state(void **state)
{
    struct ends *ends = *state;
    struct dmc_buffer out = {.size_max = 1u << 20};
    int32_t levels[SIZE];
    uint32_t tensors;
    for (uint32_t step = 1; step < 4; step++) {
        fill(levels, step / 2);
        send_update(ends, &out, levels);
        assert_int_equal(receive(ends, &out, levels, &tensors), DMC_OK);
        assert_int_equal(tensors, 1);
        assert_same_state(ends, step);
    }
    int32_t zeroes[SIZE] = {0};
    send_update(ends, &out, zeroes);
    assert_int_equal(receive(ends, &out, zeroes, &tensors), DMC_OK);
    assert_int_equal(tensors, 0); /* not sent */
    assert_same_state(ends, 3);
    dmc_buffer_free(&out);
}

static void missed_update_is_a_bad_base(void **state)
{
    struct ends *ends = *state;
    struct dmc_buffer out = {.size_max = 1u << 20};
    int32_t levels[SIZE];
    uint32_t tensors;
    struct dmc_nnc_node node;
    fill(levels, 5);
    dmc_nnc_node_init(&node);
    send_update(ends, &out, levels);
    assert_int_equal(receive(ends, &out, levels, &tensors), DMC_OK);
    send_update(ends, &out, levels); /* lost */
    send_update(ends, &out, levels); /* looks at the one that was lost */
    assert_int_equal(receive(ends, &out, levels, &tensors), DMC_BAD_BASE);
    assert_int_equal(dmc_nnc_state_find(ends->receiver, "w", &node), DMC_OK);
    assert_int_equal(node.put_node_depth, 1);
    dmc_buffer_free(&out);
}

static void state_can_be_copied_node_by_node(void **state)
{
    struct ends *ends = *state;
    struct dmc_buffer out = {.size_max = 1u << 20};
    struct dmc_nnc_node node;
    int32_t levels[SIZE];
    uint32_t tensors, device;
    fill(levels, 6);
    send_update(ends, &out, levels);
    dmc_nnc_node_init(&node);
    assert_int_equal(dmc_nnc_state_device(ends->receiver, &device),
                     DMC_NOT_FOUND);
    assert_int_equal(dmc_nnc_state_at(ends->sender, 1, &node), DMC_NOT_FOUND);
    assert_int_equal(dmc_nnc_state_at(ends->sender, 0, &node), DMC_OK);
    assert_int_equal(dmc_nnc_state_put(ends->receiver, &node), DMC_OK);
    dmc_nnc_state_set_device(ends->receiver, 0);
    send_update(ends, &out, levels);
    assert_int_equal(receive(ends, &out, levels, &tensors), DMC_OK);
    assert_same_state(ends, 2);

    assert_int_equal(dmc_nnc_state_at(ends->sender, 0, &node), DMC_OK);
    node.elem_count++;
    assert_int_equal(dmc_nnc_state_put(ends->receiver, &node), DMC_USAGE);
    node.struct_size = 0;
    assert_int_equal(dmc_nnc_state_put(ends->receiver, &node), DMC_USAGE);
    dmc_buffer_free(&out);
}

static void unfinished_stream_leaves_the_state(void **state)
{
    struct ends *ends = *state;
    struct dmc_buffer out = {.size_max = 1u << 20};
    struct dmc_sink sink = dmc_buffer_sink(&out);
    struct dmc_nnc_tensor tensor = tensor_of("w");
    struct dmc_nnc_enc_params params;
    struct dmc_nnc_enc *enc;
    int32_t levels[SIZE];
    fill(levels, 8);
    dmc_nnc_enc_params_init(&params);
    params.incremental = 1;
    params.state = ends->sender;
    tensor.has_parent = 1;
    assert_int_equal(dmc_nnc_enc_new(&sink, &params, &enc, NULL), DMC_OK);
    assert_int_equal(dmc_nnc_enc_levels(enc, &tensor, levels, NULL, NULL),
                     DMC_OK);
    assert_int_equal(dmc_nnc_enc_levels(enc, &tensor, levels, NULL, NULL),
                     DMC_USAGE); /* twice */
    dmc_nnc_enc_free(enc);
    assert_int_equal(dmc_nnc_state_count(ends->sender), 0);

    for (size_t size = 1; size < out.size; size++) {
        struct dmc_buffer cut = {.data = out.data, .size = size};
        uint32_t tensors;
        enum dmc_status status = receive(ends, &cut, levels, &tensors);
        if (status)
            assert_int_equal(dmc_nnc_state_count(ends->receiver), 0);
        else /* between two units */
            assert_int_equal(tensors, 0);
    }
    dmc_buffer_free(&out);
}

/* ---- Floats ---- */

static void write_floats(struct dmc_buffer *out, const float *values,
                         const struct dmc_nnc_quant *quant,
                         struct dmc_nnc_result *result)
{
    struct dmc_sink sink = dmc_buffer_sink(out);
    struct dmc_nnc_tensor tensor = tensor_of("w");
    struct dmc_nnc_enc *enc;
    struct dmc_error error;
    dmc_nnc_result_init(result);
    assert_int_equal(dmc_nnc_enc_new(&sink, NULL, &enc, &error), DMC_OK);
    assert_int_equal(
        dmc_nnc_enc_floats(enc, &tensor, values, quant, result, &error),
        DMC_OK);
    assert_int_equal(dmc_nnc_enc_finish(enc, &error), DMC_OK);
    dmc_nnc_enc_free(enc);
}

static void read_floats(const struct dmc_buffer *in, float *values)
{
    struct dmc_source source = dmc_source_of_memory(in->data, in->size);
    const struct dmc_nnc_tensor *got;
    struct dmc_nnc_dec *dec;
    assert_int_equal(dmc_nnc_dec_new(&source, NULL, &dec, NULL), DMC_OK);
    assert_int_equal(dmc_nnc_dec_next(dec, &got, NULL), DMC_OK);
    assert_non_null(got);
    assert_int_equal(dmc_nnc_dec_values(dec, 0, SIZE, values), DMC_OK);
    dmc_nnc_dec_free(dec);
}

static void floats_keep_the_error_that_is_told(void **state)
{
    (void)state;
    float values[SIZE], got[SIZE];
    struct dmc_nnc_quant quant;
    struct dmc_nnc_result result;
    uint32_t seed = 3;
    double power = 0;
    for (uint32_t i = 0; i < SIZE; i++) {
        seed = seed * 1664525u + 1013904223u;
        values[i] = (float)((double)seed / 4294967296.0 - 0.5);
        power += (double)values[i] * values[i];
    }
    dmc_nnc_quant_init(&quant);
    for (uint32_t aim = DMC_NNC_AIM_QP; aim <= DMC_NNC_AIM_BITS; aim++) {
        struct dmc_buffer out = {.size_max = 1u << 20};
        double square = 0, most = 0;
        quant.aim = aim;
        quant.qp = -12;
        quant.error = 0.05;
        quant.bits = 4;
        write_floats(&out, values, &quant, &result);
        read_floats(&out, got);
        for (uint32_t i = 0; i < SIZE; i++) {
            double error = (double)got[i] - values[i];
            square += error * error;
            if (error > most || -error > most)
                most = error < 0 ? -error : error;
        }
        assert_true(square <= result.square_error * 1.0001 + 1e-12);
        assert_true(square >= result.square_error * 0.9999 - 1e-12);
        assert_true(result.max_error >= most * 0.9999);
        if (aim == DMC_NNC_AIM_MAX_ERROR)
            assert_true(most <= 0.05);
        if (aim == DMC_NNC_AIM_SHARE)
            assert_true(square <= 0.05 * 0.05 * power);
        assert_true(result.coded_size < out.size);
        assert_true(out.size < SIZE);
        dmc_buffer_free(&out);
    }
}

static void what_is_not_finite_goes_as_it_is(void **state)
{
    (void)state;
    float values[SIZE] = {0}, got[SIZE];
    struct dmc_buffer out = {.size_max = 1u << 20};
    struct dmc_nnc_quant quant;
    struct dmc_nnc_result result;
    values[5] = (float)INFINITY;
    dmc_nnc_quant_init(&quant);
    write_floats(&out, values, &quant, &result);
    assert_int_equal(result.kind, DMC_NNC_RAW);
    read_floats(&out, got);
    assert_memory_equal(values, got, sizeof(values));
    dmc_buffer_free(&out);
}

static void quantisation_out_of_range_is_usage(void **state)
{
    (void)state;
    static const float values[SIZE];
    struct dmc_buffer out = {.size_max = 1u << 20};
    struct dmc_sink sink = dmc_buffer_sink(&out);
    struct dmc_nnc_enc *enc;
    struct dmc_error error;
    assert_int_equal(dmc_nnc_enc_new(&sink, NULL, &enc, &error), DMC_OK);
    for (int which = 0; which < 7; which++) {
        struct dmc_nnc_tensor tensor = tensor_of("w");
        struct dmc_nnc_quant quant;
        dmc_nnc_quant_init(&quant);
        switch (which) {
        case 0:
            quant.aim = 4;
            break;
        case 1:
            quant.dq = quant.codebook = DMC_NNC_YES;
            break;
        case 2:
            quant.qp = 1 << 20;
            break;
        case 3:
            quant.aim = DMC_NNC_AIM_BITS;
            quant.bits = 1;
            break;
        case 4:
            quant.aim = DMC_NNC_AIM_MAX_ERROR;
            quant.error = -1;
            break;
        case 5:
            quant.struct_size = 0;
            break;
        default:
            tensor.elem_count--;
        }
        assert_int_equal(
            dmc_nnc_enc_floats(enc, &tensor, values, &quant, NULL, &error),
            DMC_USAGE);
        assert_string_not_equal(error.text, "");
    }
    dmc_nnc_enc_free(enc);
    dmc_buffer_free(&out);
}

/* ---- Errors ---- */

static void tensors_that_cannot_be_written(void **state)
{
    (void)state;
    struct dmc_buffer out = {.size_max = 1u << 20};
    struct dmc_sink sink = dmc_buffer_sink(&out);
    struct dmc_nnc_enc *enc;
    struct dmc_error error;
    int32_t levels[SIZE];
    fill(levels, 9);
    assert_int_equal(dmc_nnc_enc_new(&sink, NULL, &enc, &error), DMC_OK);
    size_t before = out.size;
    for (int which = 0; which < 11; which++) {
        struct dmc_nnc_tensor tensor = tensor_of("w");
        const int32_t *use = levels;
        switch (which) {
        case 0:
            tensor.struct_size = 0;
            break;
        case 1:
            tensor.name = NULL;
            break;
        case 2:
            tensor.shape = NULL;
            break;
        case 3:
            tensor.rank = 33;
            break;
        case 4:
            tensor.elem_count++;
            break;
        case 5:
            tensor.kind = DMC_NNC_RAW;
            break;
        case 6:
            tensor.qp = 1 << 20;
            break;
        case 7:
            tensor.scan_order = 5;
            break;
        case 8:
            tensor.kind = DMC_NNC_CODEBOOK; /* but none */
            break;
        case 9:
            tensor.has_parent = 1; /* of a whole model */
            break;
        default:
            use = NULL;
        }
        assert_int_equal(dmc_nnc_enc_levels(enc, &tensor, use, NULL, &error),
                         DMC_USAGE);
        assert_string_not_equal(error.text, "");
    }
    assert_int_equal(out.size, before);
    struct dmc_nnc_tensor tensor = tensor_of("w");
    assert_int_equal(dmc_nnc_enc_levels(enc, &tensor, levels, NULL, &error),
                     DMC_OK); /* none of these did harm */
    assert_int_equal(dmc_nnc_enc_finish(enc, &error), DMC_OK);
    assert_int_equal(dmc_nnc_enc_finish(enc, &error), DMC_USAGE);
    dmc_nnc_enc_free(enc);
    dmc_buffer_free(&out);
}

static void limits_are_the_callers(void **state)
{
    (void)state;
    struct dmc_buffer out = {.size_max = 1u << 20};
    struct dmc_nnc_tensor tensor = tensor_of("w");
    struct dmc_nnc_dec_params params;
    const struct dmc_nnc_tensor *got;
    struct dmc_nnc_dec *dec;
    struct dmc_error error;
    int32_t levels[SIZE];
    fill(levels, 10);
    stream_of(&out, NULL, &tensor, levels);
    struct dmc_source source = dmc_source_of_memory(out.data, out.size);
    dmc_nnc_dec_params_init(&params);
    params.elem_count_max = SIZE - 1;
    assert_int_equal(dmc_nnc_dec_new(&source, &params, &dec, &error), DMC_OK);
    assert_int_equal(dmc_nnc_dec_next(dec, &got, &error), DMC_LIMIT);
    assert_non_null(strstr(error.text, "w"));
    assert_null(got);
    assert_int_equal(dmc_nnc_dec_next(dec, &got, &error), DMC_USAGE);
    dmc_nnc_dec_free(dec);
    dmc_buffer_free(&out);
}

/* G [16384, 8192] and H [8192, 16384], all zero: 2^41 multiplications. */
static void product_of_much_work_is_over_the_limit(void **state)
{
    (void)state;
    static const uint8_t stream[] = {
        0x00, 0x04, 0x02, 0x01, 0x00, 0x08, 0x06, 0x81, 0x00, 0x40, 0x00,
        0x80, 0x00, 0x28, 0x16, 0x1d, 0x80, 0x80, 0x77, 0x5f, 0x47, 0x00,
        0x77, 0x5f, 0x48, 0x00, 0xd0, 0x42, 0x16, 0x42, 0xb1, 0x00, 0x20,
        0x08, 0x00, 0x10, 0x02, 0x10, 0x04, 0x08, 0x00, 0x10, 0x20, 0x02,
        0x82, 0xc8, 0x58, 0x20, 0xec, 0x00, 0x12, 0x80};
    struct dmc_source source = dmc_source_of_memory(stream, sizeof(stream));
    const struct dmc_nnc_tensor *got;
    struct dmc_nnc_dec *dec;
    assert_int_equal(dmc_nnc_dec_new(&source, NULL, &dec, NULL), DMC_OK);
    assert_int_equal(dmc_nnc_dec_next(dec, &got, NULL), DMC_LIMIT);
    dmc_nnc_dec_free(dec);
}

static void state_takes_so_many_nodes(void **state)
{
    struct ends *ends = *state;
    const uint64_t one = 1;
    char name[16];
    struct dmc_nnc_node node;
    dmc_nnc_node_init(&node);
    node.name = name;
    node.shape = &one;
    node.rank = 1;
    node.elem_count = 1;
    for (unsigned i = 0; i < 65536; i++) {
        snprintf(name, sizeof(name), "%05u", 65535 - i);
        assert_int_equal(dmc_nnc_state_put(ends->sender, &node), DMC_OK);
    }
    assert_int_equal(dmc_nnc_state_put(ends->sender, &node), DMC_OK);
    snprintf(name, sizeof(name), "more");
    assert_int_equal(dmc_nnc_state_put(ends->sender, &node), DMC_LIMIT);
    assert_int_equal(dmc_nnc_state_count(ends->sender), 65536);
}

static int full(void *ctx, const void *data, size_t size)
{
    (void)data;
    (void)size;
    return --*(int *)ctx < 0 ? DMC_NO_SPACE : DMC_OK;
}

static void full_sink_ends_the_stream(void **state)
{
    (void)state;
    struct dmc_nnc_tensor tensor = tensor_of("w");
    struct dmc_nnc_enc *enc;
    int32_t levels[SIZE];
    int room = 0;
    struct dmc_sink sink = {full, &room};
    fill(levels, 11);
    assert_int_equal(dmc_nnc_enc_new(&sink, NULL, &enc, NULL), DMC_NO_SPACE);
    assert_null(enc);
    room = 1;
    assert_int_equal(dmc_nnc_enc_new(&sink, NULL, &enc, NULL), DMC_OK);
    for (int again = 0; again < 2; again++)
        assert_int_equal(dmc_nnc_enc_levels(enc, &tensor, levels, NULL, NULL),
                         DMC_NO_SPACE);
    assert_int_equal(dmc_nnc_enc_finish(enc, NULL), DMC_NO_SPACE);
    dmc_nnc_enc_free(enc);
}

/* A stream changed in any byte is refused, or decodes to something. */
static void changed_streams_do_no_harm(void **state)
{
    (void)state;
    struct dmc_buffer out = {.size_max = 1u << 20};
    struct dmc_nnc_tensor tensor = tensor_of("w");
    struct dmc_nnc_dec_params params;
    int32_t levels[SIZE];
    fill(levels, 12);
    stream_of(&out, NULL, &tensor, levels);
    dmc_nnc_dec_params_init(&params);
    params.elem_count_max = 1u << 16;
    for (size_t at = 0; at < out.size; at++)
        for (unsigned bit = 0; bit < 8; bit++) {
            const struct dmc_nnc_tensor *got;
            struct dmc_nnc_dec *dec;
            out.data[at] ^= (unsigned char)(1u << bit);
            struct dmc_source source = dmc_source_of_memory(out.data, out.size);
            enum dmc_status status =
                dmc_nnc_dec_new(&source, &params, &dec, NULL);
            while (!status && !(status = dmc_nnc_dec_next(dec, &got, NULL)) &&
                   got)
                assert_true(got->elem_count <= params.elem_count_max);
            dmc_nnc_dec_free(dec);
            out.data[at] ^= (unsigned char)(1u << bit);
        }
    dmc_buffer_free(&out);
}

static void no_memory_is_told_and_nothing_leaks(void **state)
{
    (void)state;
    struct dmc_buffer whole = {.size_max = 1u << 20};
    struct dmc_nnc_tensor tensor = tensor_of("w");
    int32_t levels[SIZE];
    bool failed = true;
    fill(levels, 13);
    stream_of(&whole, NULL, &tensor, levels);
    for (unsigned n = 0; failed; n++) {
        struct dmc_source source = dmc_source_of_memory(whole.data, whole.size);
        const struct dmc_nnc_tensor *got;
        struct dmc_nnc_dec *dec;
        alloc_fail_after(n);
        enum dmc_status status = dmc_nnc_dec_new(&source, NULL, &dec, NULL);
        while (!status && !(status = dmc_nnc_dec_next(dec, &got, NULL)) && got)
            ;
        failed = alloc_fail_stop();
        assert_int_equal(status, failed ? DMC_NO_MEMORY : DMC_OK);
        dmc_nnc_dec_free(dec);
    }
    failed = true;
    for (unsigned n = 0; failed; n++) {
        struct dmc_buffer out = {.size_max = 1u << 20};
        struct dmc_sink sink = dmc_buffer_sink(&out);
        struct dmc_nnc_enc *enc;
        alloc_fail_after(n);
        enum dmc_status status = dmc_nnc_enc_new(&sink, NULL, &enc, NULL);
        if (!status)
            status = dmc_nnc_enc_levels(enc, &tensor, levels, NULL, NULL);
        if (!status)
            status = dmc_nnc_enc_finish(enc, NULL);
        failed = alloc_fail_stop();
        assert_int_equal(status, failed ? DMC_NO_MEMORY : DMC_OK);
        dmc_nnc_enc_free(enc);
        dmc_buffer_free(&out);
    }
    dmc_buffer_free(&whole);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(levels_and_values_come_back),
        cmocka_unit_test(stream_says_what_it_is),
        cmocka_unit_test_setup_teardown(both_ends_keep_the_same_state,
                                        ends_setup, ends_teardown),
        cmocka_unit_test_setup_teardown(missed_update_is_a_bad_base, ends_setup,
                                        ends_teardown),
        cmocka_unit_test_setup_teardown(state_can_be_copied_node_by_node,
                                        ends_setup, ends_teardown),
        cmocka_unit_test_setup_teardown(unfinished_stream_leaves_the_state,
                                        ends_setup, ends_teardown),
        cmocka_unit_test(floats_keep_the_error_that_is_told),
        cmocka_unit_test(what_is_not_finite_goes_as_it_is),
        cmocka_unit_test(quantisation_out_of_range_is_usage),
        cmocka_unit_test(tensors_that_cannot_be_written),
        cmocka_unit_test(limits_are_the_callers),
        cmocka_unit_test(product_of_much_work_is_over_the_limit),
        cmocka_unit_test_setup_teardown(state_takes_so_many_nodes, ends_setup,
                                        ends_teardown),
        cmocka_unit_test(full_sink_ends_the_stream),
        cmocka_unit_test(changed_streams_do_no_harm),
        cmocka_unit_test(no_memory_is_told_and_nothing_leaks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
