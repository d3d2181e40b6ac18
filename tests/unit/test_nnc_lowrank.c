/* Low rank parts as G and H: found, sent, made again bit for bit, and added to
 * what they left. */
#include "codec/nnc/nnc_dec.h"
#include "codec/nnc/nnc_lowrank.h"
#include "codec/nnc/nnc_model_read.h"
#include "codec/nnc/nnc_model_write.h"
#include "codec/quant/qp.h"
#include "tests/support/alloc_fail.h"
#include "tests/support/tiny_model.h"

#include "tests/support/cmocka.h"

#define ROWS    48u
#define COLUMNS 64u
#define COUNT   (ROWS * COLUMNS)

static const uint64_t shape[] = {6, 8, 4, 16}; /* seen as ROWS x COLUMNS */

static float noise(uint64_t *x)
{
    *x = *x * UINT64_C(6364136223846793005) + 1442695040888963407u;
    return (float)((int32_t)(*x >> 32)) * 0x1p-31f;
}

/* rank products of two vectors of noise, and noise of its own. */
static void planted(unsigned rank, float scale, float own, uint64_t seed,
                    float *out)
{
    float u[ROWS], v[COLUMNS];
    for (size_t i = 0; i < COUNT; i++)
        out[i] = own * noise(&seed);
    for (unsigned k = 0; k < rank; k++) {
        for (size_t i = 0; i < ROWS; i++)
            u[i] = noise(&seed);
        for (size_t j = 0; j < COLUMNS; j++)
            v[j] = noise(&seed);
        for (size_t i = 0; i < COUNT; i++)
            out[i] += scale * u[i / COLUMNS] * v[i % COLUMNS];
    }
}

static struct rd_lowrank_params params_of(const float *values)
{
    const double step = 0x1p-6;
    return (struct rd_lowrank_params){.values = values,
                                      .shape = shape,
                                      .shape_rank = 4,
                                      .step = step,
                                      .price = 0.14 * step * step,
                                      .density = 2,
                                      .most = RD_LOWRANK_MAX,
                                      .unit_bytes = NNC_LOWRANK_UNIT_BYTES};
}

static double square(const float *a, const float *b, size_t count)
{
    double sum = 0;
    for (size_t i = 0; i < count; i++)
        sum += ((double)a[i] - (double)b[i]) * ((double)a[i] - (double)b[i]);
    return sum;
}

static void a_planted_part_is_found(void **state)
{
    static const float zeros[COUNT];
    float values[COUNT];
    (void)state;
    planted(2, 1, 0x1p-9f, 3, values);
    const struct rd_lowrank_params params = params_of(values);
    struct rd_lowrank low;
    assert_int_equal(rd_lowrank_run(&params, &low), 0);
    assert_int_equal(low.rank, 2);
    assert_int_equal(low.rows, ROWS);
    assert_int_equal(low.columns, COLUMNS);
    assert_true(square(values, low.product, COUNT) <
                0.01 * square(values, zeros, COUNT));
    rd_lowrank_deinit(&low);
}

static void noise_has_none(void **state)
{
    float values[COUNT];
    (void)state;
    planted(0, 1, 0.3f, 3, values);
    struct rd_lowrank_params params = params_of(values);
    struct rd_lowrank low;
    assert_int_equal(rd_lowrank_run(&params, &low), 0);
    assert_int_equal(low.rank, 0);
    rd_lowrank_deinit(&low);
    memset(values, 0, sizeof(values));
    assert_int_equal(rd_lowrank_run(&params, &low), 0);
    assert_int_equal(low.rank, 0);
    rd_lowrank_deinit(&low);
    params.shape_rank = 1;
    assert_int_equal(rd_lowrank_run(&params, &low), 0);
    assert_int_equal(low.rank, 0);
    rd_lowrank_deinit(&low);
}

static void so_many_components_as_asked_for(void **state)
{
    float values[COUNT];
    (void)state;
    planted(4, 1, 0x1p-9f, 3, values);
    struct rd_lowrank_params params = params_of(values);
    params.exact_rank = true;
    for (params.most = 1; params.most <= 5; params.most++) {
        struct rd_lowrank low;
        assert_int_equal(rd_lowrank_run(&params, &low), 0);
        assert_int_equal(low.rank, params.most);
        rd_lowrank_deinit(&low);
    }
}

static void short_memory_is_told_by_the_search(void **state)
{
    float values[COUNT];
    bool more = true;
    (void)state;
    planted(2, 1, 0x1p-9f, 3, values);
    const struct rd_lowrank_params params = params_of(values);
    for (unsigned n = 0; more; n++) {
        struct rd_lowrank low;
        alloc_fail_after(n);
        enum status status = rd_lowrank_run(&params, &low);
        more = alloc_fail_stop();
        assert_int_equal(status, more ? STATUS_NO_MEMORY : 0);
        assert_int_equal(low.rank, more ? 0 : 2);
        rd_lowrank_deinit(&low);
    }
}

static void the_decoder_makes_the_same_product(void **state)
{
    float values[COUNT], got[COUNT];
    (void)state;
    planted(3, 1, 0x1p-7f, 8, values);
    const struct rd_lowrank_params params = params_of(values);
    struct nnc_tensor weight = {.name = "w",
                                .name_size = 1,
                                .rank = 4,
                                .shape = {6, 8, 4, 16},
                                .qp_density = 2,
                                .parameter_id = 7,
                                .put_node_depth = 1,
                                .has_parent = true};
    struct rd_lowrank low;
    struct writer out;
    struct nnc_enc *enc;
    uint64_t size;
    assert_int_equal(rd_lowrank_run(&params, &low), 0);
    assert_int_equal(low.rank, 3);
    writer_init_heap(&out, 1u << 20);
    const struct nnc_enc_params enc_params = {
        .out = &out, .profile = 1, .qp_density = 2, .incremental = true};
    assert_int_equal(nnc_enc_new(&enc_params, &enc), 0);
    assert_int_equal(nnc_lowrank_put(enc, &weight, &low, &size), 0);
    assert_int_equal(size, out.size - 12);
    assert_int_equal(nnc_enc_finish(enc), 0);
    nnc_enc_free(enc);

    struct source in = source_of_bytes(writer_view(&out));
    const struct nnc_dec_params dec_params = {.in = &in};
    const struct nnc_tensor *tensor;
    struct nnc_dec *dec;
    assert_int_equal(nnc_dec_new(&dec_params, &dec), 0);
    assert_int_equal(nnc_dec_next(dec, &tensor), 0);
    assert_string_equal(tensor->name, "w_G");
    assert_int_equal(nnc_dec_next(dec, &tensor), 0);
    assert_string_equal(tensor->name, "w_H");
    assert_int_equal(tensor->parameter_id, 7);
    const struct nnc_product *product = nnc_dec_product(dec);
    assert_non_null(product);
    assert_string_equal(product->name, "w");
    assert_int_equal(product->rank, 4);
    assert_int_equal(product->elem_count, COUNT);
    nnc_dec_product_values(dec, 0, COUNT, got);
    assert_memory_equal(got, low.product, sizeof(got));
    nnc_dec_free(dec);
    rd_lowrank_deinit(&low);
    writer_deinit(&out);
}

/* ---- models ---- */

struct file {
    uint8_t *data;
    size_t size;
    struct source source;
    struct model *model;
    struct nnc_names names;
};

static const struct tiny_tensor tensors[] = {
    {"w", DTYPE_F32, ROWS, COLUMNS, 1, 0, 0, 0},
    {"x", DTYPE_F32, ROWS, COLUMNS, 2, 0, 0, 0},
    {"x_G", DTYPE_F32, 4, 4, 2, 0, 0, 0},
    {"b", DTYPE_F32, ROWS, 0, 3, 0, 0, 0},
};
#define TENSORS (sizeof(tensors) / sizeof(*tensors))

static void file_open(struct file *file)
{
    file->data = tiny_model_new(tensors, TENSORS, &file->size);
    assert_non_null(file->data);
    file->source = source_of_bytes(bytes_of(file->data, file->size));
    assert_int_equal(
        model_parse_file(&file->source, "a.safetensors", &file->model, NULL),
        0);
    assert_int_equal(nnc_names_of_model(&file->names, file->model), 0);
}

static void file_close(struct file *file)
{
    nnc_names_deinit(&file->names);
    model_free(file->model);
    free(file->data);
}

static float value_at(const struct file *file, const char *name, size_t i)
{
    size_t index;
    float value;
    assert_true(nnc_names_find(&file->names, name, &index));
    uint32_t word =
        load_le32(file->data + file->model->tensors[index].offset + 4 * i);
    memcpy(&value, &word, sizeof(value));
    return value;
}

/* Adds numbers to the elements of a tensor. */
static void file_add(struct file *file, const char *name, const float *change)
{
    size_t index;
    assert_true(nnc_names_find(&file->names, name, &index));
    uint8_t *at = file->data + file->model->tensors[index].offset;
    for (size_t i = 0; i < COUNT; i++) {
        float value = value_at(file, name, i) + change[i];
        uint32_t word;
        memcpy(&word, &value, sizeof(word));
        store_le32(at + 4 * i, word);
    }
}

static enum status put(void *ctx, struct bytes bytes)
{
    struct writer *out = ctx;
    writer_bytes(out, bytes.data, bytes.size);
    return writer_status(out);
}

struct told {
    unsigned low_rank[TENSORS]; /* by tensor */
    double square_error[TENSORS];
};

static void told_row(void *ctx, const struct nnc_write_row *row)
{
    struct told *told = ctx;
    for (size_t i = 0; i < TENSORS; i++)
        if (!strcmp(row->name, tensors[i].name)) {
            told->low_rank[i] = row->low_rank;
            told->square_error[i] = row->square_error;
        }
}

static enum status encode(const struct file *target, const struct file *base,
                          unsigned low_rank, const struct nnc_state *kept,
                          struct writer *out, struct told *told)
{
    const struct nnc_write_params params = {
        .source = &target->source,
        .model = target->model,
        .names = &target->names,
        .base = &base->source,
        .base_model = base->model,
        .base_names = &base->names,
        .state = kept,
        .rules = {.step = NNC_STEP_QP,
                  .value = -24,
                  .density = 2,
                  .profile = 1,
                  .lambda = RD_LAMBDA,
                  .codebook = RD_NO,
                  .low_rank = low_rank},
        .put = put,
        .put_ctx = out,
        .row = told_row,
        .row_ctx = told,
    };
    memset(told, 0, sizeof(*told));
    return nnc_model_write(&params);
}

/* Makes target's content out of base's; count of entries. */
static enum status decode(const struct writer *stream, const struct file *base,
                          struct nnc_state *kept, bool values_wanted,
                          struct writer *out, size_t *count)
{
    struct writer apart;
    struct nnc_entries entries;
    struct source in = source_of_bytes(writer_view(stream));
    writer_init_heap(&apart, 1u << 24);
    const struct nnc_read_params read = {.dec = {.in = &in, .state = kept},
                                         .put = values_wanted ? put : NULL,
                                         .put_ctx = &apart};
    enum status status = nnc_model_read(&read, &entries);
    *count = entries.count;
    struct source values = source_of_bytes(writer_view(&apart));
    const struct nnc_patch_params patch = {.base = &base->source,
                                           .model = base->model,
                                           .names = &base->names,
                                           .entries = &entries,
                                           .values = &values,
                                           .put = put,
                                           .put_ctx = out};
    if (!status && values_wanted) {
        assert_int_equal(entries.values_size, apart.size);
        status = nnc_model_patch(&patch);
    }
    nnc_entries_deinit(&entries);
    writer_deinit(&apart);
    return status;
}

/* What the writer says of the error is what a reader has. */
static void check_error(const struct file *want, const struct writer *got,
                        const char *name, double error)
{
    struct file made = {.data = got->data, .model = want->model};
    double sum = 0;
    made.names = want->names;
    for (size_t i = 0; i < COUNT; i++) {
        double d =
            (double)value_at(want, name, i) - (double)value_at(&made, name, i);
        sum += d * d;
    }
    assert_true(error > 0 && sum > 0.999 * error && sum < 1.001 * error);
}

static void two_units_of_a_tensor_are_added(void **state)
{
    struct file old, new;
    struct writer stream, plain, out;
    struct told told, none;
    float change[COUNT];
    size_t count;
    (void)state;
    file_open(&old);
    file_open(&new);
    planted(2, 1, 0.03f, 5, change);
    file_add(&new, "w", change);
    file_add(&new, "x", change);
    writer_init_heap(&stream, 1u << 24);
    writer_init_heap(&plain, 1u << 24);
    writer_init_heap(&out, 1u << 24);
    assert_int_equal(encode(&new, &old, 64, NULL, &stream, &told), 0);
    assert_int_equal(encode(&new, &old, 0, NULL, &plain, &none), 0);
    assert_int_equal(told.low_rank[0], 2);
    assert_int_equal(told.low_rank[1], 0); /* x_G is another tensor */
    assert_int_equal(none.low_rank[0], 0);
    assert_true(4 * stream.size < 3 * plain.size);
    assert_int_equal(decode(&stream, &old, NULL, true, &out, &count), 0);
    assert_int_equal(count, 2);
    assert_int_equal(out.size, new.size);
    check_error(&new, &out, "w", told.square_error[0]);
    check_error(&new, &out, "x", told.square_error[1]);
    assert_int_equal(decode(&stream, &old, NULL, false, &out, &count), 0);
    assert_int_equal(count, 2);
    writer_deinit(&stream);
    writer_deinit(&plain);
    writer_deinit(&out);
    file_close(&old);
    file_close(&new);
}

static void ranks_change_along_a_chain(void **state)
{
    struct nnc_state *kept;
    struct file old, new;
    (void)state;
    file_open(&old);
    file_open(&new);
    assert_int_equal(nnc_state_new(&kept), 0);
    for (unsigned rank = 1; rank <= 4; rank++) {
        struct writer stream, out;
        struct told told;
        float change[COUNT];
        size_t count;
        planted(rank == 3 ? 0 : rank, 1, 0.03f, 50 + rank, change);
        file_add(&new, "w", change);
        writer_init_heap(&stream, 1u << 24);
        writer_init_heap(&out, 1u << 24);
        assert_int_equal(encode(&new, &old, 64, kept, &stream, &told), 0);
        assert_int_equal(told.low_rank[0], rank == 3 ? 0 : rank);
        assert_int_equal(decode(&stream, &old, kept, true, &out, &count), 0);
        assert_int_equal(count, 1);
        check_error(&new, &out, "w", told.square_error[0]);
        memcpy(old.data, out.data, old.size);
        writer_deinit(&stream);
        writer_deinit(&out);
    }
    const struct nnc_node *node = nnc_state_find(kept, "w_G");
    assert_non_null(node);
    assert_int_equal(node->put_node_depth, 3);
    assert_int_equal(node->parameter_id, TENSORS);
    assert_int_equal(node->shape[1], 4);
    assert_int_equal(nnc_state_find(kept, "w")->put_node_depth, 4);
    nnc_state_free(kept);
    file_close(&old);
    file_close(&new);
}

static void short_memory_is_told(void **state)
{
    struct file old, new;
    float change[COUNT];
    bool more = true;
    (void)state;
    file_open(&old);
    file_open(&new);
    planted(2, 1, 0.03f, 5, change);
    file_add(&new, "w", change);
    for (unsigned n = 0; more && n < 3000; n += 1 + n / 16) {
        struct writer stream, out;
        struct told told;
        size_t count;
        writer_init_heap(&stream, 1u << 24);
        writer_init_heap(&out, 1u << 24);
        alloc_fail_after(n);
        enum status status = encode(&new, &old, 64, NULL, &stream, &told);
        if (!status)
            status = decode(&stream, &old, NULL, true, &out, &count);
        more = alloc_fail_stop();
        assert_int_equal(status, more ? STATUS_NO_MEMORY : 0);
        writer_deinit(&stream);
        writer_deinit(&out);
    }
    assert_false(more);
    file_close(&old);
    file_close(&new);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_planted_part_is_found),
        cmocka_unit_test(noise_has_none),
        cmocka_unit_test(so_many_components_as_asked_for),
        cmocka_unit_test(short_memory_is_told_by_the_search),
        cmocka_unit_test(the_decoder_makes_the_same_product),
        cmocka_unit_test(two_units_of_a_tensor_are_added),
        cmocka_unit_test(ranks_change_along_a_chain),
        cmocka_unit_test(short_memory_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
