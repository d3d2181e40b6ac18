/* Whatever is chosen for a tensor meets what was asked for. */
#include "codec/quant/rd_tensor.h"

#include "codec/nnc/nnc_enc.h"
#include "codec/quant/qp.h"

#include "tests/support/cmocka.h"
#include "tests/support/quant_values.h"

#define COUNT   6000u
#define COLUMNS 60u

static float values[COUNT];
static int32_t levels[COUNT];

static struct rd_params params_of(enum rd_aim aim)
{
    return (struct rd_params){.values = values,
                              .elem_count = COUNT,
                              .row_elems = COLUMNS,
                              .aim = aim,
                              .qp = -8,
                              .error = 0.05,
                              .bits = 4,
                              .density = 2,
                              .lambda = RD_LAMBDA};
}

static double value_of(const struct rd_result *r, int32_t level)
{
    double step = qp_step(r->qp, 2);
    return r->kind == NNC_CODEBOOK
               ? step * r->codebook.values[(int32_t)r->codebook.zero + level]
               : step * level;
}

/* Checks what the result says of itself, and that it can be written; returns
 * the bits it takes then. */
static double check(struct rd_tensor *rd, const struct rd_params *p,
                    struct rd_result *r)
{
    assert_int_equal(rd_tensor_run(rd, p, levels, r), STATUS_OK);
    double square = 0, most = 0;
    for (size_t i = 0; i < p->elem_count; i++) {
        double error = (double)values[i] - value_of(r, levels[i]);
        square += error * error;
        most = fabs(error) > most ? fabs(error) : most;
    }
    assert_true(fabs(square - r->square_error) <= 1e-5 * square + 1e-12);
    assert_true(fabs(most - r->max_error) <= 1e-5 * most + 1e-12);
    struct writer wr;
    struct nnc_enc *enc;
    writer_init_heap(&wr, 1 << 20);
    struct nnc_enc_params params = {
        .out = &wr, .profile = 1, .qp_density = p->density};
    struct nnc_tensor t = {.name = "w",
                           .name_size = 1,
                           .rank = 2,
                           .shape = {p->elem_count / p->row_elems,
                                     p->row_elems},
                           .elem_count = p->elem_count,
                           .kind = r->kind,
                           .qp = r->qp,
                           .qp_density = p->density,
                           .dq = r->dq,
                           .codebook = r->codebook},
                      sent;
    struct nnc_enc_data data = {.levels = levels};
    assert_int_equal(nnc_enc_new(&params, &enc), STATUS_OK);
    assert_int_equal(nnc_enc_tensor(enc, &t, &data, &sent), STATUS_OK);
    assert_int_equal(nnc_enc_finish(enc), STATUS_OK);
    nnc_enc_free(enc);
    writer_deinit(&wr);
    return 8.0 * (double)sent.coded_size;
}

static void each_choice(const struct rd_params *like, struct rd_result *r,
                        void (*then)(const struct rd_params *,
                                     const struct rd_result *))
{
    static const enum rd_choice pairs[][2] = {{RD_BY_COST, RD_BY_COST},
                                              {RD_YES, RD_NO},
                                              {RD_NO, RD_NO},
                                              {RD_NO, RD_YES}};
    struct rd_tensor *rd;
    assert_int_equal(rd_tensor_new(&rd), STATUS_OK);
    for (unsigned i = 0; i < 4; i++) {
        struct rd_params p = *like;
        p.dq = pairs[i][0];
        p.codebook = pairs[i][1];
        check(rd, &p, r);
        assert_true(p.dq == RD_BY_COST || r->dq == (p.dq == RD_YES));
        assert_true(p.codebook == RD_BY_COST ||
                    (r->kind == NNC_CODEBOOK) == (p.codebook == RD_YES));
        then(&p, r);
    }
    rd_tensor_free(rd);
}

static void within_max(const struct rd_params *p, const struct rd_result *r)
{
    assert_true(r->max_error <= p->error);
    assert_true(r->max_error > 0.6 * p->error);
}

static void rd_tensor_keeps_the_largest_error(void **state)
{
    (void)state;
    struct rd_params p = params_of(RD_MAX_ERROR);
    struct rd_result r;
    p.error = 0.25;
    quant_values(values, COUNT, 3, 1);
    each_choice(&p, &r, within_max);
}

static void within_share(const struct rd_params *p, const struct rd_result *r)
{
    double square = 0;
    for (size_t i = 0; i < COUNT; i++)
        square += (double)values[i] * values[i];
    assert_true(r->square_error <= p->error * p->error * square);
    assert_true(r->square_error > 0.4 * p->error * p->error * square);
}

static void rd_tensor_keeps_a_share_of_any_scale(void **state)
{
    (void)state;
    struct rd_result r;
    for (float scale = 1e-4f; scale < 1e4f; scale *= 1e3f) {
        struct rd_params p = params_of(RD_SHARE);
        quant_values(values, COUNT, scale, 2);
        each_choice(&p, &r, within_share);
    }
}

static void plausible(const struct rd_params *p, const struct rd_result *r)
{
    (void)p;
    assert_true(r->square_error > 0 && !r->zero);
}

static void rd_tensor_takes_a_qp(void **state)
{
    (void)state;
    struct rd_params p = params_of(RD_QP);
    struct rd_result r;
    quant_values(values, COUNT, 3, 3);
    each_choice(&p, &r, plausible);
}

static void rd_tensor_clips_to_bits(void **state)
{
    (void)state;
    struct rd_params p = params_of(RD_BITS);
    struct rd_tensor *rd;
    struct rd_result r;
    quant_values(values, COUNT, 3, 4);
    assert_int_equal(rd_tensor_new(&rd), STATUS_OK);
    p.dq = RD_NO;
    check(rd, &p, &r);
    for (size_t i = 0; i < COUNT; i++)
        assert_in_range(levels[i] + 8, 0, 15);
    rd_tensor_free(rd);
}

static void rd_tensor_weighs_bits_by_lambda(void **state)
{
    (void)state;
    struct rd_params p = params_of(RD_QP);
    struct rd_tensor *rd;
    struct rd_result r;
    double bits = HUGE_VAL, error = 0;
    quant_values(values, COUNT, 3, 5);
    p.dq = RD_YES;
    assert_int_equal(rd_tensor_new(&rd), STATUS_OK);
    for (p.lambda = 0; p.lambda < 0.5; p.lambda += 0.1) {
        double coded = check(rd, &p, &r);
        assert_true(coded < bits && r.square_error > error);
        bits = coded;
        error = r.square_error;
    }
    rd_tensor_free(rd);
}

static void rd_tensor_leaves_what_is_not_finite(void **state)
{
    (void)state;
    static const float odd[] = {NAN, INFINITY, -INFINITY};
    struct rd_params p = params_of(RD_QP);
    struct rd_tensor *rd;
    struct rd_result r;
    assert_int_equal(rd_tensor_new(&rd), STATUS_OK);
    for (unsigned i = 0; i < 3; i++) {
        quant_values(values, COUNT, 3, 6);
        values[COUNT - 1] = odd[i];
        assert_int_equal(rd_tensor_run(rd, &p, levels, &r), STATUS_OK);
        assert_int_equal(r.kind, NNC_RAW_FLOAT);
    }
    rd_tensor_free(rd);
}

static void rd_tensor_takes_zeros_extremes_and_nothing(void **state)
{
    (void)state;
    static const enum rd_aim aims[] = {RD_QP, RD_MAX_ERROR, RD_SHARE, RD_BITS};
    struct rd_tensor *rd;
    struct rd_result r;
    assert_int_equal(rd_tensor_new(&rd), STATUS_OK);
    for (unsigned i = 0; i < 4; i++) {
        struct rd_params p = params_of(aims[i]);
        memset(values, 0, sizeof values);
        check(rd, &p, &r);
        assert_true(r.zero && r.square_error == 0);
        values[7] = 3e38f;
        values[8] = 1e-38f;
        assert_int_equal(rd_tensor_run(rd, &p, levels, &r), STATUS_OK);
        assert_int_equal(r.kind, NNC_RAW_FLOAT); /* no step is so large */
        p.elem_count = 0;
        assert_int_equal(rd_tensor_run(rd, &p, levels, &r), STATUS_OK);
        assert_true(r.zero);
    }
    rd_tensor_free(rd);
}

static void rd_tensor_may_lose_all_of_it(void **state)
{
    (void)state;
    struct rd_tensor *rd;
    struct rd_result r;
    struct rd_params p = params_of(RD_SHARE);
    p.error = 1;
    quant_values(values, COUNT, 8, 3);
    assert_int_equal(rd_tensor_new(&rd), STATUS_OK);
    assert_int_equal(rd_tensor_run(rd, &p, levels, &r), STATUS_OK);
    assert_int_equal(r.kind, NNC_UNIFORM);
    rd_tensor_free(rd);
}

static void rd_tensor_refuses_what_makes_no_sense(void **state)
{
    (void)state;
    struct rd_params bad[7];
    struct rd_tensor *rd;
    struct rd_result r;
    for (unsigned i = 0; i < 7; i++)
        bad[i] = params_of(i < 3 ? RD_QP : i < 5 ? RD_SHARE : RD_BITS);
    bad[0].qp = 128;
    bad[1].density = 8;
    bad[2].lambda = NAN;
    bad[3].error = 1.01;
    bad[4].error = 0;
    bad[5].bits = 25;
    bad[6].dq = bad[6].codebook = RD_YES;
    assert_int_equal(rd_tensor_new(&rd), STATUS_OK);
    for (unsigned i = 0; i < 7; i++)
        assert_int_equal(rd_tensor_run(rd, &bad[i], levels, &r), STATUS_USAGE);
    rd_tensor_free(rd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rd_tensor_keeps_the_largest_error),
        cmocka_unit_test(rd_tensor_keeps_a_share_of_any_scale),
        cmocka_unit_test(rd_tensor_takes_a_qp),
        cmocka_unit_test(rd_tensor_clips_to_bits),
        cmocka_unit_test(rd_tensor_weighs_bits_by_lambda),
        cmocka_unit_test(rd_tensor_leaves_what_is_not_finite),
        cmocka_unit_test(rd_tensor_takes_zeros_extremes_and_nothing),
        cmocka_unit_test(rd_tensor_may_lose_all_of_it),
        cmocka_unit_test(rd_tensor_refuses_what_makes_no_sense),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
