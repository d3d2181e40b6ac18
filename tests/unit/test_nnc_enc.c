/* Bitstreams: two known ones bit for bit, what is left out of short headers,
 * what is dropped, blocks, and what is refused. */
#include "codec/nnc/nnc_enc.h"

#include "codec/nnc/nnc_dec.h"

#include "tests/support/alloc_fail.h"
#include "tests/support/cmocka.h"

#include <stdlib.h>
#include <string.h>

#define STREAM_MAX (1u << 22)

/* As NNCodec 2.0 writes. */
static const struct nnc_enc_rules like_nncodec = {
    .sets = NNC_NEVER,
    .row_skip = NNC_NEVER,
    .temporal = NNC_ALWAYS,
    .unary = NNC_NEVER,
    .scan = NNC_NEVER,
    .uniform = NNC_NEVER,
    .node_ids = NNC_ALWAYS,
    .topology = NNC_ALWAYS,
    .long_headers = true,
};

struct stream {
    struct writer wr;
    struct diag diag;
    struct nnc_enc_params params;
    struct nnc_enc *enc;
};

static void begin(struct stream *s, const struct nnc_enc_rules *rules,
                  bool incremental)
{
    writer_init_heap(&s->wr, STREAM_MAX);
    diag_reset(&s->diag);
    s->params = (struct nnc_enc_params){.out = &s->wr,
                                        .profile = 1,
                                        .qp_density = 2,
                                        .incremental = incremental,
                                        .diag = &s->diag};
    if (rules)
        s->params.rules = *rules;
    assert_int_equal(nnc_enc_new(&s->params, &s->enc), STATUS_OK);
}

static void end(struct stream *s)
{
    assert_int_equal(nnc_enc_finish(s->enc), STATUS_OK);
    nnc_enc_free(s->enc);
    writer_deinit(&s->wr);
}

static struct nnc_tensor matrix(const char *name, uint64_t rows,
                                uint64_t columns, int qp)
{
    return (struct nnc_tensor){.name = name,
                               .name_size = strlen(name),
                               .rank = 2,
                               .shape = {rows, columns},
                               .elem_count = rows * columns,
                               .kind = NNC_UNIFORM,
                               .qp = qp};
}

static struct nnc_tensor vector(const char *name, uint64_t count, int qp)
{
    struct nnc_tensor t = matrix(name, count, 1, qp);
    t.rank = 1;
    return t;
}

static void put(struct stream *s, const struct nnc_tensor *t,
                const int32_t *levels)
{
    struct nnc_enc_data data = {.levels = levels};
    assert_int_equal(nnc_enc_tensor(s->enc, t, &data, NULL), STATUS_OK);
}

static enum status refuse(struct stream *s, const struct nnc_tensor *t,
                          const int32_t *levels)
{
    struct nnc_enc_data data = {.levels = levels};
    size_t before = s->wr.size;
    diag_reset(&s->diag);
    enum status status = nnc_enc_tensor(s->enc, t, &data, NULL);
    assert_int_equal(s->wr.size, before);
    assert_true(s->diag.text[0] != 0);
    return status;
}

static void one_small_tensor_is_written_bit_for_bit(void **state)
{
    static const uint8_t expect[] = {
        0x00, 0x04, 0x02, 0x01, 0x00, 0x08, 0x06, 0x81, 0x00, 0x40,
        0x00, 0x80, 0x00, 0x06, 0x0e, 0x00, 0x00, 0x00, 0x00, 0x15,
        0x16, 0x09, 0x77, 0x00, 0xd0, 0x40, 0xc1, 0x20, 0xa0, 0x82,
        0xa0, 0x80, 0xfb, 0x4a, 0x80, 0x0e, 0x06, 0x37, 0x80};
    static const int32_t levels[] = {1, -2, 0, 4};
    struct nnc_tensor t = matrix("w", 2, 2, -4);
    struct stream s;
    (void)state;
    begin(&s, &like_nncodec, false);
    put(&s, &t, levels);
    assert_int_equal(s.wr.size, sizeof expect);
    assert_memory_equal(s.wr.data, expect, sizeof expect);
    end(&s);
}

static void a_second_update_is_written_bit_for_bit(void **state)
{
    static const uint8_t expect[] = {
        0x00, 0x04, 0x02, 0x01, 0x00, 0x08, 0x06, 0x81, 0x08, 0x40,
        0x00, 0x80, 0x00, 0x06, 0x0e, 0x00, 0x00, 0x00, 0x00, 0x15,
        0x16, 0x09, 0x77, 0x00, 0xd0, 0x4a, 0x67, 0x04, 0x82, 0x82,
        0x0a, 0x82, 0xfb, 0x6f, 0xd0, 0x00, 0x42, 0x36, 0x60};
    static const int32_t levels[] = {0, -2, 0, 1};
    static const int32_t before[] = {2, -2, 0, 4};
    struct nnc_enc_data data = {.levels = levels, .temporal = before};
    struct nnc_enc_rules rules = like_nncodec;
    struct nnc_tensor t = matrix("w", 2, 2, -4), sent;
    struct stream s;
    (void)state;
    rules.row_skip = NNC_ALWAYS;
    t.dq = t.has_parent = t.temporal = true;
    t.put_node_depth = 2;
    begin(&s, &rules, true);
    assert_int_equal(nnc_enc_tensor(s.enc, &t, &data, &sent), STATUS_OK);
    assert_int_equal(s.wr.size, sizeof expect);
    assert_memory_equal(s.wr.data, expect, sizeof expect);
    assert_int_equal(sent.coded_size, 21);
    assert_true(sent.temporal && sent.dq);
    end(&s);
}

static void short_headers_leave_out_what_need_not_be_there(void **state)
{
    static const int32_t levels[] = {1, -2, 0, 4};
    struct nnc_tensor t = matrix("w", 2, 2, -4);
    struct stream s;
    (void)state;
    begin(&s, NULL, false);
    put(&s, &t, levels);
    /* No topology (6), no ids (13 bits), no unary length (8 bits). */
    assert_true(s.wr.size <= 39 - 6 - 2);
    end(&s);
}

/* Decodes all of a stream and compares what is in it. */
static void expect_levels(struct bytes stream, size_t count,
                          const struct nnc_tensor *want,
                          const struct nnc_enc_data *data)
{
    struct source in = source_of_bytes(stream);
    struct nnc_dec_params params = {.in = &in};
    const struct nnc_tensor *got;
    struct nnc_dec *dec;
    assert_int_equal(nnc_dec_new(&params, &dec), STATUS_OK);
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(nnc_dec_next(dec, &got), STATUS_OK);
        assert_non_null(got);
        assert_string_equal(got->name, want[i].name);
        assert_int_equal(got->elem_count, want[i].elem_count);
        assert_int_equal(got->kind, want[i].kind);
        if (want[i].kind != NNC_RAW_FLOAT)
            assert_memory_equal(nnc_dec_levels(dec), data[i].levels,
                                want[i].elem_count * 4);
        if (want[i].kind == NNC_UNIFORM)
            assert_int_equal(got->qp, want[i].qp);
    }
    assert_int_equal(nnc_dec_next(dec, &got), STATUS_OK);
    assert_null(got);
    nnc_dec_free(dec);
}

static void tensors_of_all_kinds_come_back(void **state)
{
    static const int32_t numbers[] = {5, -7, 0, 0, 1, 2, INT32_MIN, INT32_MAX};
    static const int32_t book[] = {-9, -1, 0, 2, 100};
    static const int32_t indices[] = {-2, 2, 1, 0, 0, -1};
    static const float raw[] = {1.5f, -0.0f, 3e38f};
    struct nnc_tensor t[4] = {matrix("int", 2, 4, 0), matrix("book", 3, 2, -20),
                              vector("", 8, 31), vector("raw", 3, 0)};
    struct nnc_enc_data data[4] = {{.levels = numbers},
                                   {.levels = indices},
                                   {.levels = numbers},
                                   {.raw = raw}};
    struct stream s;
    (void)state;
    t[0].kind = NNC_INT;
    t[1].kind = NNC_CODEBOOK;
    t[1].codebook = (struct nnc_codebook){5, 2, 0, book};
    t[3].kind = NNC_RAW_FLOAT;
    for (uint8_t profile = 0; profile < 2; profile++) {
        begin(&s, NULL, false);
        nnc_enc_free(s.enc);
        s.wr.size = 0;
        s.params.profile = profile;
        assert_int_equal(nnc_enc_new(&s.params, &s.enc), STATUS_OK);
        for (size_t i = 0; i < 4; i++)
            assert_int_equal(nnc_enc_tensor(s.enc, &t[i], &data[i], NULL),
                             STATUS_OK);
        expect_levels(writer_view(&s.wr), 4, t, data);
        end(&s);
    }
}

static void empty_tensors_come_back(void **state)
{
    struct nnc_tensor t[2] = {vector("a", 0, -4), matrix("b", 0, 3, -4)};
    struct nnc_enc_data data[2] = {{0}, {0}};
    struct stream s;
    (void)state;
    t[1].dq = true;
    begin(&s, NULL, false);
    put(&s, &t[0], NULL);
    put(&s, &t[1], NULL);
    expect_levels(writer_view(&s.wr), 2, t, data);
    end(&s);
}

static void a_unit_over_32767_bytes_has_the_long_size(void **state)
{
    struct nnc_tensor t = vector("w", 20000, 0);
    int32_t *levels = calloc(20000, sizeof *levels);
    struct nnc_enc_data data = {.levels = levels};
    struct stream s;
    (void)state;
    assert_non_null(levels);
    for (uint32_t i = 0; i < 20000; i++)
        levels[i] = (int32_t)(i * 2654435761u) >> 8;
    begin(&s, NULL, false);
    put(&s, &t, levels);
    assert_true(s.wr.size > 40000);
    assert_int_equal(s.wr.data[12] >> 7, 1);
    expect_levels(writer_view(&s.wr), 1, &t, &data);
    end(&s);
    free(levels);
}

static void an_update_of_zeros_is_dropped(void **state)
{
    static const int32_t zeros[6];
    struct nnc_tensor t = matrix("w", 2, 3, -4), sent;
    struct nnc_enc_data data = {.levels = zeros};
    struct stream s;
    (void)state;
    begin(&s, NULL, true);
    size_t before = s.wr.size;
    t.has_parent = true;
    t.put_node_depth = 1;
    assert_int_equal(nnc_enc_tensor(s.enc, &t, &data, &sent), STATUS_OK);
    assert_int_equal(sent.coded_size, 0);
    assert_int_equal(s.wr.size, before);
    /* One that is not an update says that all of it is zero. */
    t.has_parent = false;
    assert_int_equal(nnc_enc_tensor(s.enc, &t, &data, &sent), STATUS_OK);
    assert_true(sent.coded_size > 0);
    end(&s);
}

static void one_value_may_be_a_codebook_of_one(void **state)
{
    static const int32_t ones[] = {7, 7, 7, 7, 7, 7};
    static const int32_t zeros[6];
    struct nnc_enc_rules rules = {.single = true};
    struct nnc_tensor t = matrix("w", 2, 3, -4), want = t;
    struct nnc_enc_data data = {.levels = zeros};
    struct stream plain, s;
    (void)state;
    begin(&plain, NULL, false);
    put(&plain, &t, ones);
    begin(&s, &rules, false);
    put(&s, &t, ones);
    assert_true(s.wr.size < plain.wr.size);
    want.kind = NNC_CODEBOOK;
    expect_levels(writer_view(&s.wr), 1, &want, &data);
    end(&plain);
    end(&s);
}

static void blocks_come_back(void **state)
{
    static const int32_t w[] = {1, -2, 0, 4, 0, 9}, one[] = {3, -3};
    struct nnc_tensor t[6] = {
        matrix("w", 2, 3, -8),     vector("b.beta", 2, -30),
        vector("b.gamma", 2, -31), vector("b.mean", 2, -32),
        vector("b.var", 2, -33),   vector("bias", 2, -34)};
    static const enum nnc_part parts[] = {NNC_WEIGHT,   NNC_BN_BETA,
                                          NNC_BN_GAMMA, NNC_BN_MEAN,
                                          NNC_BN_VAR,   NNC_BIAS};
    struct nnc_enc_data data[6] = {{.levels = w}};
    struct nnc_tensor order[6] = {{0}};
    struct nnc_enc_data order_data[6];
    static const int coded[] = {5, 1, 2, 3, 4, 0};
    uint64_t size;
    struct stream s;
    (void)state;
    for (int i = 0; i < 6; i++) {
        t[i].part = parts[i];
        if (i)
            data[i].levels = one;
    }
    begin(&s, NULL, false);
    assert_int_equal(
        nnc_enc_block(s.enc, t, data, 6, t[0].shape, t[0].rank, &size),
        STATUS_OK);
    for (int i = 0; i < 6; i++) {
        order[i] = t[coded[i]];
        order_data[i] = data[coded[i]];
    }
    expect_levels(writer_view(&s.wr), 6, order, order_data);
    /* Without its weight it is none. */
    assert_int_equal(
        nnc_enc_block(s.enc, t + 1, data + 1, 5, t[0].shape, 2, &size),
        STATUS_USAGE);
    end(&s);
}

static void decomposed_weights_come_back(void **state)
{
    static const int32_t g[40] = {1, 0, -2, 3, 0, 0, 5};
    static const int32_t h[24] = {0, 1, 1, -1, 2};
    static const uint64_t shape[] = {20, 3, 4};
    struct nnc_tensor t[2] = {matrix("w_G", 20, 2, -8),
                              matrix("w_H", 2, 12, 0)};
    struct nnc_enc_data data[2] = {{.levels = g}, {.levels = h}};
    uint64_t size;
    struct stream s;
    (void)state;
    t[0].part = NNC_G;
    t[1].part = NNC_H;
    t[0].scan_order = 1;
    begin(&s, NULL, false);
    assert_int_equal(nnc_enc_block(s.enc, t, data, 2, shape, 3, &size),
                     STATUS_OK);
    expect_levels(writer_view(&s.wr), 2, t, data);
    t[1].shape[1] = 6;
    t[1].elem_count = 12;
    assert_int_equal(nnc_enc_block(s.enc, t, data, 2, shape, 3, &size),
                     STATUS_USAGE);
    end(&s);
}

static void what_cannot_be_written_is_refused(void **state)
{
    static const int32_t levels[6] = {1, 2, 3, 4, 5, 6};
    static const int32_t book[] = {0, 0};
    struct nnc_tensor good = matrix("w", 2, 3, 0), t;
    struct stream s;
    (void)state;
    begin(&s, NULL, false);
    t = good, t.rank = 0;
    assert_int_equal(refuse(&s, &t, levels), STATUS_USAGE);
    t = good, t.elem_count = 5;
    assert_int_equal(refuse(&s, &t, levels), STATUS_USAGE);
    t = good, t.shape[0] = UINT64_MAX;
    assert_int_equal(refuse(&s, &t, levels), STATUS_LIMIT);
    t = good, t.shape[1] = 0, t.elem_count = 0;
    assert_int_equal(refuse(&s, &t, levels), STATUS_UNSUPPORTED);
    t = good, t.qp = 128;
    assert_int_equal(refuse(&s, &t, levels), STATUS_USAGE);
    t = good, t.qp = -129;
    assert_int_equal(refuse(&s, &t, levels), STATUS_USAGE);
    t = good, t.name = "a\0b", t.name_size = 3;
    assert_int_equal(refuse(&s, &t, levels), STATUS_USAGE);
    t = good, t.scan_order = 5;
    assert_int_equal(refuse(&s, &t, levels), STATUS_USAGE);
    t = good, t.unary = 257;
    assert_int_equal(refuse(&s, &t, levels), STATUS_USAGE);
    t = good, t.has_parent = true, t.put_node_depth = 1;
    assert_int_equal(refuse(&s, &t, levels), STATUS_USAGE);
    t = good, t.dq = true; /* a first level of 1 */
    assert_int_equal(refuse(&s, &t, levels), STATUS_USAGE);
    t = good, t.kind = NNC_CODEBOOK;
    assert_int_equal(refuse(&s, &t, levels), STATUS_USAGE);
    t.codebook = (struct nnc_codebook){2, 0, 0, book};
    assert_int_equal(refuse(&s, &t, levels), STATUS_USAGE);
    assert_int_equal(refuse(&s, &good, NULL), STATUS_USAGE);
    put(&s, &good, levels);
    end(&s);
}

static void what_parameters_cannot_be_is_refused(void **state)
{
    struct writer wr;
    struct nnc_enc *enc;
    struct nnc_enc_params params = {.out = &wr, .profile = 2};
    (void)state;
    writer_init_heap(&wr, STREAM_MAX);
    assert_int_equal(nnc_enc_new(&params, &enc), STATUS_USAGE);
    assert_null(enc);
    params.profile = 0;
    params.incremental = true;
    assert_int_equal(nnc_enc_new(&params, &enc), STATUS_USAGE);
    params.incremental = false;
    params.qp_density = 8;
    assert_int_equal(nnc_enc_new(&params, &enc), STATUS_USAGE);
    assert_int_equal(wr.size, 0);
    writer_deinit(&wr);
}

static enum status write_into(struct writer *wr)
{
    static const int32_t levels[] = {1, -2, 0, 4};
    struct nnc_tensor t = matrix("w", 2, 2, -4);
    struct nnc_enc_data data = {.levels = levels};
    struct nnc_enc_params params = {.out = wr, .profile = 1, .qp_density = 2};
    struct nnc_enc *enc;
    enum status status = nnc_enc_new(&params, &enc);
    if (!status)
        status = nnc_enc_tensor(enc, &t, &data, NULL);
    if (!status)
        status = nnc_enc_finish(enc);
    nnc_enc_free(enc);
    return status;
}

static void a_full_writer_is_noticed(void **state)
{
    uint8_t buf[100];
    struct writer wr;
    (void)state;
    writer_init(&wr, buf, sizeof buf);
    assert_int_equal(write_into(&wr), STATUS_OK);
    size_t size = wr.size;
    for (size_t cap = 0; cap < size; cap++) {
        writer_init(&wr, buf, cap);
        assert_int_equal(write_into(&wr), STATUS_LIMIT);
    }
}

static void units_made_apart_are_those_of_one_stream(void **state)
{
    static const int32_t levels[] = {1, -2, 0, 4, 9, 9, 0, 0};
    struct nnc_tensor a = matrix("a", 2, 4, -4), b = vector("b", 8, -9);
    struct stream whole, first, second;
    struct nnc_enc_params params;
    (void)state;
    begin(&whole, NULL, false);
    put(&whole, &a, levels);
    put(&whole, &b, levels);
    begin(&first, NULL, false);
    put(&first, &a, levels);
    begin(&second, NULL, false);
    nnc_enc_free(second.enc);
    second.wr.size = 0;
    params = second.params;
    params.continues = true;
    assert_int_equal(nnc_enc_new(&params, &second.enc), STATUS_OK);
    put(&second, &b, levels);
    writer_bytes(&first.wr, second.wr.data, second.wr.size);
    assert_int_equal(first.wr.size, whole.wr.size);
    assert_memory_equal(first.wr.data, whole.wr.data, whole.wr.size);
    end(&whole);
    end(&first);
    end(&second);
}

static enum status write_all(struct writer *wr)
{
    static int32_t levels[20 * 9];
    static const uint64_t shape[] = {20, 3, 3};
    struct nnc_enc_params params = {
        .out = wr, .profile = 1, .qp_density = 2, .rules.scan = NNC_NEVER};
    struct nnc_tensor one = matrix("w", 20, 9, -4);
    struct nnc_tensor two[2] = {matrix("g_G", 20, 3, 0),
                                matrix("g_H", 3, 9, 0)};
    struct nnc_enc_data data[2] = {{.levels = levels}, {.levels = levels}};
    struct nnc_enc *enc;
    uint64_t size;
    levels[1] = levels[100] = 2;
    one.scan_order = 1;
    two[0].part = NNC_G;
    two[1].part = NNC_H;
    two[0].dq = two[1].dq = true;
    enum status status = nnc_enc_new(&params, &enc);
    if (!status)
        status = nnc_enc_tensor(enc, &one, data, NULL);
    if (!status)
        status = nnc_enc_block(enc, two, data, 2, shape, 3, &size);
    nnc_enc_free(enc);
    return status;
}

static void no_memory_is_said_wherever_it_ends(void **state)
{
    bool failed = true;
    (void)state;
    for (unsigned after = 0; failed; after++) {
        struct writer wr;
        writer_init_heap(&wr, STREAM_MAX);
        alloc_fail_after(after);
        enum status status = write_all(&wr);
        failed = alloc_fail_stop();
        assert_int_equal(status, failed ? STATUS_NO_MEMORY : STATUS_OK);
        writer_deinit(&wr);
        assert_true(after < 100);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_small_tensor_is_written_bit_for_bit),
        cmocka_unit_test(a_second_update_is_written_bit_for_bit),
        cmocka_unit_test(short_headers_leave_out_what_need_not_be_there),
        cmocka_unit_test(tensors_of_all_kinds_come_back),
        cmocka_unit_test(empty_tensors_come_back),
        cmocka_unit_test(a_unit_over_32767_bytes_has_the_long_size),
        cmocka_unit_test(an_update_of_zeros_is_dropped),
        cmocka_unit_test(one_value_may_be_a_codebook_of_one),
        cmocka_unit_test(blocks_come_back),
        cmocka_unit_test(decomposed_weights_come_back),
        cmocka_unit_test(what_cannot_be_written_is_refused),
        cmocka_unit_test(what_parameters_cannot_be_is_refused),
        cmocka_unit_test(a_full_writer_is_noticed),
        cmocka_unit_test(units_made_apart_are_those_of_one_stream),
        cmocka_unit_test(no_memory_is_said_wherever_it_ends),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
