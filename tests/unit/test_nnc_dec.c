/* Streams are read to their end or refused whole: every cut and every flipped
 * bit, limits, shapes that are not sent, states that do not fit; products of
 * factors; the fast path of levels against the plain one. */
#include "codec/nnc/nnc_dec.h"

#include "codec/nnc/dq_state.h"
#include "codec/nnc/levels_dec.h"
#include "codec/nnc/nnc_enc.h"

#include "tests/support/cmocka.h"

#include <stdlib.h>
#include <string.h>

/* One tensor "w", {{0.5, -1}, {0, 2}}, at step 0.5. */
static const uint8_t whole[] = {0x00, 0x04, 0x02, 0x01, 0x00, 0x08, 0x06, 0x81,
                                0x00, 0x40, 0x00, 0x80, 0x00, 0x06, 0x0e, 0x00,
                                0x00, 0x00, 0x00, 0x15, 0x16, 0x09, 0x77, 0x00,
                                0xd0, 0x40, 0xc1, 0x20, 0xa0, 0x82, 0xa0, 0x80,
                                0xfb, 0x4a, 0x80, 0x0e, 0x06, 0x37, 0x80};

/* The second update of it, after levels 2 -2 0 4: 0 -2 0 1. */
static const uint8_t update[] = {0x00, 0x04, 0x02, 0x01, 0x00, 0x08, 0x06, 0x81,
                                 0x08, 0x40, 0x00, 0x80, 0x00, 0x06, 0x0e, 0x00,
                                 0x00, 0x00, 0x00, 0x15, 0x16, 0x09, 0x77, 0x00,
                                 0xd0, 0x4a, 0x67, 0x04, 0x82, 0x82, 0x0a, 0x82,
                                 0xfb, 0x6f, 0xd0, 0x00, 0x42, 0x36, 0x60};

static const int32_t before[4] = {2, -2, 0, 4};

static enum status drain(struct nnc_dec *dec)
{
    const struct nnc_tensor *tensor;
    enum status rc;
    while (!(rc = nnc_dec_next(dec, &tensor)) && tensor)
        continue;
    return rc;
}

static enum status read_all(struct bytes stream, struct nnc_state *state,
                            uint64_t elem_count_max, struct diag *diag)
{
    struct source source = source_of_bytes(stream);
    struct nnc_dec_params params = {.in = &source, .state = state};
    struct nnc_dec *dec;
    params.limits.elem_count_max = elem_count_max;
    params.diag = diag;
    enum status rc = nnc_dec_new(&params, &dec);
    if (rc)
        return rc;
    rc = drain(dec);
    /* A failure stays. */
    const struct nnc_tensor *tensor;
    if (rc)
        assert_int_equal(nnc_dec_next(dec, &tensor), rc);
    nnc_dec_free(dec);
    return rc;
}

static struct nnc_state *state_with(uint32_t parameter_id, uint32_t depth,
                                    uint64_t rows)
{
    struct nnc_state *state;
    struct nnc_node node = {.name = "w",
                            .has_ids = true,
                            .parameter_id = parameter_id,
                            .put_node_depth = depth,
                            .rank = 2,
                            .shape = {rows, 4 / rows},
                            .elem_count = 4,
                            .levels = before};
    assert_int_equal(nnc_state_new(&state), STATUS_OK);
    assert_int_equal(nnc_state_put(state, &node), STATUS_OK);
    nnc_state_set_device(state, 0);
    return state;
}

static void a_stream_yields_levels_and_values(void **state)
{
    (void)state;
    static const int32_t levels[4] = {1, -2, 0, 4};
    static const float values[4] = {0.5f, -1, 0, 2};
    struct source source = source_of_bytes(bytes_of(whole, sizeof(whole)));
    struct nnc_dec_params params = {.in = &source};
    struct nnc_dec *dec;
    const struct nnc_tensor *tensor;
    float out[4];
    assert_int_equal(nnc_dec_new(&params, &dec), STATUS_OK);
    assert_int_equal(nnc_dec_next(dec, &tensor), STATUS_OK);
    assert_string_equal(tensor->name, "w");
    assert_int_equal(tensor->kind, NNC_UNIFORM);
    assert_int_equal(tensor->qp, -4);
    assert_int_equal(tensor->unary, 11);
    assert_int_equal(tensor->coded_size, 21);
    assert_int_equal(nnc_dec_stream(dec)->offset, 18);
    assert_memory_equal(nnc_dec_levels(dec), levels, sizeof(levels));
    nnc_dec_values(dec, 0, 4, out);
    assert_memory_equal(out, values, sizeof(values));
    nnc_dec_values(dec, 3, 1, out);
    assert_memory_equal(out, values + 3, sizeof(float));
    assert_null(nnc_dec_product(dec));
    assert_int_equal(nnc_dec_next(dec, &tensor), STATUS_OK);
    assert_null(tensor);
    assert_int_equal(nnc_dec_next(dec, &tensor), STATUS_OK);
    assert_null(tensor);
    nnc_dec_free(dec);
}

/* Cuts between units behind the parameter set leave a stream that is whole. */
static void every_cut_is_noticed(void **state)
{
    (void)state;
    for (size_t size = 0; size < sizeof(whole); size++) {
        struct diag diag = {0};
        enum status rc = read_all(bytes_of(whole, size), NULL, 0, &diag);
        if (size == 12 || size == 18)
            assert_int_equal(rc, STATUS_OK);
        else
            assert_int_equal(rc, STATUS_TRUNCATED);
        assert_true(!rc == !*diag.text);
    }
}

static void require_before(const struct nnc_state *state)
{
    const struct nnc_node *node = nnc_state_find(state, "w");
    assert_int_equal(nnc_state_count(state), 1);
    assert_int_equal(node->put_node_depth, 1);
    assert_memory_equal(node->levels, before, sizeof(before));
    assert_null(node->history);
}

static void flipped_bits_leave_no_trace_when_refused(void **state)
{
    (void)state;
    unsigned refused = 0;
    for (size_t bit = 0; bit < 8 * sizeof(update); bit++) {
        uint8_t bytes[sizeof(update)];
        struct diag diag = {0};
        struct nnc_state *receiver = state_with(0, 1, 2);
        memcpy(bytes, update, sizeof(bytes));
        bytes[bit / 8] ^= (uint8_t)(0x80 >> bit % 8);
        if (read_all(bytes_of(bytes, sizeof(bytes)), receiver, 1000, &diag)) {
            refused++;
            require_before(receiver);
        }
        nnc_state_free(receiver);
    }
    assert_true(refused > 4 * sizeof(update));
}

static void an_update_follows_its_base(void **state)
{
    (void)state;
    static const int32_t levels[4] = {0, -2, 0, 1};
    static const uint8_t history[4] = {0, 1, 0, 1};
    struct nnc_state *receiver = state_with(0, 1, 2);
    struct diag diag = {0};
    struct bytes stream = bytes_of(update, sizeof(update));
    assert_int_equal(read_all(stream, receiver, 0, &diag), STATUS_OK);
    const struct nnc_node *node = nnc_state_find(receiver, "w");
    assert_int_equal(node->put_node_depth, 2);
    assert_memory_equal(node->levels, levels, sizeof(levels));
    assert_memory_equal(node->history, history, sizeof(history));
    /* The same again does not follow itself. */
    assert_int_equal(read_all(stream, receiver, 0, &diag), STATUS_BAD_BASE);
    assert_int_equal(nnc_state_find(receiver, "w")->put_node_depth, 2);
    nnc_state_free(receiver);
}

static void a_base_that_does_not_fit_is_refused(void **state)
{
    (void)state;
    struct bytes stream = bytes_of(update, sizeof(update));
    struct nnc_state *receivers[] = {state_with(1, 1, 2), state_with(0, 2, 2),
                                     state_with(0, 0, 2), state_with(0, 1, 4),
                                     state_with(0, 1, 2)};
    nnc_state_set_device(receivers[4], 7);
    for (size_t i = 0; i < sizeof(receivers) / sizeof(*receivers); i++) {
        struct diag diag = {0};
        assert_int_equal(read_all(stream, receivers[i], 0, &diag),
                         STATUS_BAD_BASE);
        assert_non_null(strstr(diag.text, "'w'"));
        assert_non_null(strstr(diag.text, "offset 18"));
        nnc_state_free(receivers[i]);
    }
    struct diag diag = {0};
    assert_int_equal(read_all(stream, NULL, 0, &diag), STATUS_BAD_BASE);
}

static void a_stream_without_parents_is_a_root(void **state)
{
    (void)state;
    struct nnc_state *receiver = state_with(0, 9, 2);
    struct bytes stream = bytes_of(whole, sizeof(whole));
    assert_int_equal(read_all(stream, receiver, 0, NULL), STATUS_OK);
    const struct nnc_node *node = nnc_state_find(receiver, "w");
    assert_int_equal(node->put_node_depth, 0);
    assert_int_equal(node->levels[3], 4);
    assert_null(node->history);
    nnc_state_free(receiver);
}

static void limits_hold(void **state)
{
    (void)state;
    struct bytes stream = bytes_of(whole, sizeof(whole));
    assert_int_equal(read_all(stream, NULL, 4, NULL), STATUS_OK);
    assert_int_equal(read_all(stream, NULL, 3, NULL), STATUS_LIMIT);
    struct source source = source_of_bytes(stream);
    struct nnc_dec_params params = {.in = &source, .limits = {0, 3, 0}};
    struct nnc_dec *dec;
    assert_int_equal(nnc_dec_new(&params, &dec), STATUS_OK);
    assert_int_equal(drain(dec), STATUS_LIMIT);
    nnc_dec_free(dec);
}

static enum status read_no_more(void *ctx, uint64_t offset, void *out,
                                size_t size)
{
    (void)ctx;
    if (offset >= 18)
        return STATUS_IO;
    memcpy(out, whole + offset, size);
    return STATUS_OK;
}

static void the_source_may_fail(void **state)
{
    (void)state;
    struct source source = {.read = read_no_more, .size = sizeof(whole)};
    struct nnc_dec_params params = {.in = &source};
    struct nnc_dec *dec;
    assert_int_equal(nnc_dec_new(&params, &dec), STATUS_OK);
    assert_int_equal(drain(dec), STATUS_IO);
    nnc_dec_free(dec);
}

/* A unit of the first edition, integers -1 0 0 2 2 -1, that can also be read as
 * one of profile 0: -1 0 8 -1 0 0. */
static const uint8_t either[] = {0x00, 0x0f, 0x16, 0x01, 0x61, 0x00, 0x61, 0xc3,
                                 0x00, 0x40, 0x8d, 0x00, 0x4f, 0xf0, 0x3b};
/* One that cannot. */
static const uint8_t first[] = {0x00, 0x10, 0x16, 0x01, 0x61, 0x00, 0x61, 0xc3,
                                0x00, 0x40, 0x8d, 0x00, 0x47, 0xf0, 0x3b, 0xc0};

#define EITHER_UNITS 300u

struct counted {
    struct bytes bytes;
    uint64_t read; /* bytes */
};

static enum status read_counted(void *ctx, uint64_t offset, void *out,
                                size_t size)
{
    struct counted *counted = ctx;
    counted->read += size;
    memcpy(out, counted->bytes.data + offset, size);
    return STATUS_OK;
}

static void require_edition(const uint8_t *last, size_t last_size,
                            int32_t third)
{
    struct writer wr;
    const struct nnc_tensor *tensor;
    struct nnc_dec *dec;
    writer_init_heap(&wr, 1 << 16);
    writer_bytes(&wr, whole, 12);
    wr.data[3] = 0; /* the profile */
    for (unsigned i = 0; i < EITHER_UNITS; i++)
        writer_bytes(&wr, either, sizeof(either));
    writer_bytes(&wr, last, last_size);
    struct counted counted = {bytes_of(wr.data, wr.size), 0};
    struct source source = {read_counted, &counted, wr.size};
    struct nnc_dec_params params = {.in = &source};
    assert_int_equal(nnc_dec_new(&params, &dec), STATUS_OK);
    for (unsigned i = 0; i < EITHER_UNITS; i++) {
        assert_int_equal(nnc_dec_next(dec, &tensor), STATUS_OK);
        assert_int_equal(nnc_dec_levels(dec)[2], third);
    }
    assert_int_equal(drain(dec), STATUS_OK);
    assert_true(counted.read < 4 * wr.size);
    nnc_dec_free(dec);
    writer_deinit(&wr);
}

static void editions_are_told_by_the_whole_stream(void **state)
{
    (void)state;
    require_edition(first, sizeof(first), 0);
    require_edition(first, 0, 8); /* and are looked for once */
}

static void states_keep_names_in_order(void **state)
{
    (void)state;
    static const char *const names[] = {"b", "", "a", "c", "b"};
    struct nnc_state *one;
    struct nnc_state *two;
    assert_int_equal(nnc_state_new(&one), STATUS_OK);
    assert_int_equal(nnc_state_new(&two), STATUS_OK);
    for (uint32_t i = 0; i < 5; i++) {
        struct nnc_node node = {.name = names[i],
                                .put_node_depth = i,
                                .rank = 1,
                                .shape = {1},
                                .elem_count = 1,
                                .levels = before};
        assert_int_equal(nnc_state_put(i < 3 ? one : two, &node), STATUS_OK);
    }
    nnc_state_set_device(two, 5);
    assert_int_equal(nnc_state_take(one, two), STATUS_OK);
    assert_int_equal(nnc_state_count(two), 0);
    assert_int_equal(nnc_state_count(one), 4);
    assert_string_equal(nnc_state_at(one, 0)->name, "");
    assert_string_equal(nnc_state_at(one, 3)->name, "c");
    assert_int_equal(nnc_state_find(one, "b")->put_node_depth, 4);
    assert_null(nnc_state_find(one, "d"));
    uint32_t device;
    assert_true(nnc_state_device(one, &device));
    assert_int_equal(device, 5);
    assert_false(nnc_state_device(two, &device));
    nnc_state_free(one);
    nnc_state_free(two);
}

/* Zeros in one step are zeros one by one, and levels have their k. */
static void states_of_dependent_quantisation(void **state)
{
    (void)state;
    for (unsigned from = 0; from < DQ_STATES; from++) {
        unsigned at = from;
        for (unsigned count = 0; count < 20; count++) {
            assert_int_equal(dq_state_after_zeros(from, count), at);
            at = dq_state_next(at, 0);
        }
        for (int32_t k = -9; k < 10; k++)
            assert_int_equal(dq_state_k(from, dq_state_level(from, k)), k);
    }
}

#define G_ROWS  6u
#define FACTORS 3u
#define COLUMNS 300u

static void write_factors(struct writer *out, const int32_t *g,
                          const int32_t *h)
{
    static const uint64_t shape[3] = {G_ROWS, COLUMNS / 4, 4};
    struct nnc_enc_params params = {.out = out, .profile = 1, .qp_density = 2};
    struct nnc_tensor factors[2] = {{.name = "w_G",
                                     .name_size = 3,
                                     .rank = 2,
                                     .shape = {G_ROWS, FACTORS},
                                     .elem_count = G_ROWS * FACTORS,
                                     .part = NNC_G,
                                     .kind = NNC_UNIFORM,
                                     .qp = -21,
                                     .unary = 11}};
    factors[1] = factors[0];
    factors[1].name = "w_H";
    factors[1].part = NNC_H;
    factors[1].shape[0] = FACTORS;
    factors[1].shape[1] = COLUMNS;
    factors[1].elem_count = FACTORS * COLUMNS;
    struct nnc_enc_data data[2] = {{.levels = g}, {.levels = h}};
    struct nnc_enc *enc;
    uint64_t size;
    assert_int_equal(nnc_enc_new(&params, &enc), STATUS_OK);
    assert_int_equal(nnc_enc_block(enc, factors, data, 2, shape, 3, &size),
                     STATUS_OK);
    assert_int_equal(nnc_enc_finish(enc), STATUS_OK);
    nnc_enc_free(enc);
}

/* qp -21 at density 2 is (4 + 3) * 2^-8. */
static float product_at(const int32_t *g, const int32_t *h, size_t i)
{
    float step = 7.0f / 256;
    float sum = 0;
    for (size_t r = 0; r < FACTORS; r++) {
        float a = step * (float)g[i / COLUMNS * FACTORS + r];
        float b = step * (float)h[r * COLUMNS + i % COLUMNS];
        float product = a * b;
        sum += product;
    }
    return sum;
}

static void factors_are_multiplied_in_order(void **state)
{
    (void)state;
    static int32_t g[G_ROWS * FACTORS];
    static int32_t h[FACTORS * COLUMNS];
    static float out[G_ROWS * COLUMNS];
    for (size_t i = 0; i < G_ROWS * FACTORS; i++)
        g[i] = (int32_t)(i * 7919 % 31) - 15;
    for (size_t i = 0; i < FACTORS * COLUMNS; i++)
        h[i] = (int32_t)(i * 104729 % 1001) - 500;
    struct writer wr;
    writer_init_heap(&wr, 1 << 20);
    write_factors(&wr, g, h);
    struct source source = source_of_bytes(bytes_of(wr.data, wr.size));
    struct nnc_dec_params params = {.in = &source};
    struct nnc_dec *dec;
    const struct nnc_tensor *tensor;
    assert_int_equal(nnc_dec_new(&params, &dec), STATUS_OK);
    assert_int_equal(nnc_dec_next(dec, &tensor), STATUS_OK);
    assert_int_equal(tensor->part, NNC_G);
    assert_null(nnc_dec_product(dec));
    assert_int_equal(nnc_dec_next(dec, &tensor), STATUS_OK);
    const struct nnc_product *product = nnc_dec_product(dec);
    assert_non_null(product);
    assert_string_equal(product->name, "w");
    assert_int_equal(product->rank, 3);
    assert_int_equal(product->elem_count, G_ROWS * COLUMNS);
    nnc_dec_product_values(dec, 0, 5, out);
    nnc_dec_product_values(dec, 5, product->elem_count - 5, out + 5);
    for (size_t i = 0; i < product->elem_count; i++)
        assert_true(out[i] == product_at(g, h, i));
    assert_int_equal(drain(dec), STATUS_OK);
    nnc_dec_free(dec);
    writer_deinit(&wr);
}

static enum status read_total(const struct writer *wr, uint64_t total)
{
    struct source source = source_of_bytes(bytes_of(wr->data, wr->size));
    struct nnc_dec_params params = {.in = &source};
    struct nnc_dec *dec;
    params.limits.elem_total_max = total;
    assert_int_equal(nnc_dec_new(&params, &dec), STATUS_OK);
    enum status rc = drain(dec);
    nnc_dec_free(dec);
    return rc;
}

/* What factors make is put somewhere as well, and takes time. */
static void products_count_as_tensors_do(void **state)
{
    (void)state;
    static const int32_t zeros[FACTORS * COLUMNS];
    const uint64_t parts = FACTORS * (G_ROWS + COLUMNS);
    const uint64_t all = parts + G_ROWS * COLUMNS;
    struct writer wr;
    writer_init_heap(&wr, 1 << 20);
    write_factors(&wr, zeros, zeros);
    assert_int_equal(read_total(&wr, all), STATUS_OK);
    assert_int_equal(read_total(&wr, all - 1), STATUS_LIMIT);
    size_t head = 12; /* STR and MPS come before the unit */
    for (unsigned i = 0, size = (unsigned)wr.size; i < 3; i++)
        for (size_t at = head; at < size; at++)
            writer_u8(&wr, wr.data[at]);
    assert_int_equal(read_total(&wr, 4 * all), STATUS_OK);
    assert_int_equal(read_total(&wr, 4 * parts + all), STATUS_LIMIT);
    writer_deinit(&wr);
}

static enum status keep_one(struct nnc_state *receiver, const char *name,
                            uint64_t most)
{
    static const int32_t levels[3] = {1, 0, -1};
    struct writer wr;
    struct nnc_enc *enc;
    struct nnc_dec *dec;
    const struct nnc_enc_params write = {.out = &wr, .profile = 1};
    const struct nnc_tensor tensor = {.name = name,
                                      .name_size = strlen(name),
                                      .rank = 1,
                                      .shape = {3},
                                      .elem_count = 3,
                                      .kind = NNC_INT};
    const struct nnc_enc_data data = {.levels = levels};
    writer_init_heap(&wr, 1 << 12);
    assert_int_equal(nnc_enc_new(&write, &enc), STATUS_OK);
    assert_int_equal(nnc_enc_tensor(enc, &tensor, &data, NULL), STATUS_OK);
    nnc_enc_free(enc);
    struct source source = source_of_bytes(bytes_of(wr.data, wr.size));
    struct nnc_dec_params params = {.in = &source, .state = receiver};
    params.limits.elem_state_max = most;
    assert_int_equal(nnc_dec_new(&params, &dec), STATUS_OK);
    enum status rc = drain(dec);
    nnc_dec_free(dec);
    writer_deinit(&wr);
    return rc;
}

/* Streams of a few bytes each, one after the other. */
static void a_state_does_not_grow_without_end(void **state)
{
    (void)state;
    struct nnc_state *receiver;
    assert_int_equal(nnc_state_new(&receiver), STATUS_OK);
    assert_int_equal(keep_one(receiver, "a", 8), STATUS_OK);
    assert_int_equal(keep_one(receiver, "b", 8), STATUS_OK);
    assert_int_equal(keep_one(receiver, "c", 8), STATUS_LIMIT);
    assert_null(nnc_state_find(receiver, "c"));
    assert_int_equal(keep_one(receiver, "a", 8), STATUS_OK);
    assert_int_equal(keep_one(receiver, "c", 9), STATUS_OK);
    assert_int_equal(nnc_state_count(receiver), 3);
    nnc_state_free(receiver);
}

#define ELEMS 4800u

static void fill(uint8_t *bytes, size_t size, uint64_t *seed, unsigned zeros)
{
    for (size_t i = 0; i < size; i++) {
        *seed = *seed * 6364136223846793005u + 1442695040888963407u;
        bytes[i] = (*seed >> 40 & 255) < zeros ? 0 : (uint8_t)(*seed >> 56);
    }
}

static enum status read_levels(struct levels_dec *dec, struct bytes payload,
                               const struct level_coding *coding, bool plain,
                               int32_t *levels)
{
    memset(levels, 0x55, ELEMS * sizeof(*levels));
    levels_dec_begin(dec, payload);
    return plain ? levels_dec_tensor_plain(dec, coding, levels)
                 : levels_dec_tensor(dec, coding, levels);
}

/* Any bytes are some integers, until they end: those of either path. */
static void the_fast_path_is_the_plain_one(void **state)
{
    (void)state;
    static int32_t levels[2][ELEMS];
    static int32_t base[ELEMS];
    static uint8_t payload[3000];
    struct levels_dec *dec;
    uint64_t seed = 11;
    unsigned good = 0;
    assert_int_equal(levels_dec_new(&dec), STATUS_OK);
    for (unsigned round = 0; round < 400; round++) {
        struct level_coding coding = {.profile = 1,
                                      .elem_count = round % 3 ? ELEMS : 300,
                                      .row_elems = round % 5 ? 60 : 1,
                                      .unary = round % 7 ? 11 : 2,
                                      .scan_order = (uint8_t)(round % 5),
                                      .dq = round & 1,
                                      .has_parent = true};
        for (unsigned i = 0; i < ELEMS; i++)
            base[i] = i / (round % 90 + 1) % 3 ? 0 : (int32_t)(i % 9) - 4;
        if (round & 2)
            coding.temporal = base;
        fill(payload, sizeof(payload), &seed, round % 250);
        struct bytes bytes = bytes_of(payload, sizeof(payload));
        enum status rc = read_levels(dec, bytes, &coding, false, levels[0]);
        enum status same = read_levels(dec, bytes, &coding, true, levels[1]);
        assert_true(!rc == !same);
        if (rc)
            continue;
        good++;
        assert_memory_equal(levels[0], levels[1],
                            coding.elem_count * sizeof(int32_t));
    }
    assert_true(good > 100);
    levels_dec_free(dec);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_stream_yields_levels_and_values),
        cmocka_unit_test(every_cut_is_noticed),
        cmocka_unit_test(flipped_bits_leave_no_trace_when_refused),
        cmocka_unit_test(an_update_follows_its_base),
        cmocka_unit_test(a_base_that_does_not_fit_is_refused),
        cmocka_unit_test(a_stream_without_parents_is_a_root),
        cmocka_unit_test(limits_hold),
        cmocka_unit_test(the_source_may_fail),
        cmocka_unit_test(editions_are_told_by_the_whole_stream),
        cmocka_unit_test(states_keep_names_in_order),
        cmocka_unit_test(states_of_dependent_quantisation),
        cmocka_unit_test(factors_are_multiplied_in_order),
        cmocka_unit_test(products_count_as_tensors_do),
        cmocka_unit_test(a_state_does_not_grow_without_end),
        cmocka_unit_test(the_fast_path_is_the_plain_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
