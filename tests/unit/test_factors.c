/* Factor sets: any numbers come back, near their entropy; damage is found or
 * harmless. */
#include "codec/lossless/factors.h"

#include "tests/support/cmocka.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct sample {
    unsigned rank;
    uint64_t rows;
    uint32_t columns;
    int16_t *u, *v;
    struct writer wr;
};

static double uniform(uint64_t *seed)
{
    *seed = *seed * UINT64_C(6364136223846793005) + 1442695040888963407;
    return (double)(*seed >> 11) / 9007199254740992.0;
}

static int16_t gaussian(uint64_t *seed, double sigma)
{
    double r = sqrt(-2 * log(1 - uniform(seed)));
    double x = sigma * r * cos(6.283185307179586 * uniform(seed));
    return (int16_t)lrint(x > 32767 ? 32767 : (x < -32768 ? -32768 : x));
}

static void sample_init(struct sample *s, unsigned rank, uint64_t rows,
                        uint32_t columns)
{
    *s = (struct sample){.rank = rank, .rows = rows, .columns = columns};
    s->u = calloc(rows * rank, sizeof(*s->u));
    s->v = calloc((size_t)columns * rank, sizeof(*s->v));
    writer_init_heap(&s->wr,
                     FACTORS_BYTES_MAX(factors_count(rank, rows, columns)));
}

static void sample_deinit(struct sample *s)
{
    free(s->u);
    free(s->v);
    writer_deinit(&s->wr);
}

/* Component k has a deviation of sigma / (1 + k). */
static void fill(struct sample *s, double sigma, uint64_t seed)
{
    for (size_t i = 0; i < s->rows * s->rank; i++)
        s->u[i] = gaussian(&seed, sigma / (double)(1 + i % s->rank));
    for (size_t i = 0; i < (size_t)s->columns * s->rank; i++)
        s->v[i] = gaussian(&seed, 2 * sigma / (double)(1 + i % s->rank));
}

static void check_round_trip(struct sample *s)
{
    struct reader rd;
    size_t u = s->rows * s->rank, v = (size_t)s->columns * s->rank;
    int16_t *u_out = calloc(u, 2), *v_out = calloc(v, 2);
    assert_int_equal(
        factors_write(s->rank, s->rows, s->columns, s->u, s->v, &s->wr), 0);
    reader_init(&rd, writer_view(&s->wr));
    assert_int_equal(
        factors_read(&rd, s->rank, s->rows, s->columns, u_out, v_out), 0);
    assert_int_equal(reader_finish(&rd), 0);
    assert_memory_equal(u_out, s->u, 2 * u);
    assert_memory_equal(v_out, s->v, 2 * v);
    free(u_out);
    free(v_out);
}

static void factors_come_back(void **state)
{
    (void)state;
    static const unsigned ranks[] = {1, 3, 8, 33, 64};
    static const uint32_t columns[] = {1, 9, 100, 1000};
    static const double sigmas[] = {0, 0.4, 3, 50, 9000, 60000};
    for (size_t r = 0; r < 5; r++)
        for (size_t c = 0; c < 4; c++)
            for (size_t g = 0; g < 6; g++) {
                struct sample s;
                sample_init(&s, ranks[r], 1 + 61 * c, columns[c]);
                fill(&s, sigmas[g], g + 1);
                check_round_trip(&s);
                sample_deinit(&s);
            }
}

static void factors_of_any_bits_come_back(void **state)
{
    (void)state;
    uint64_t seed = 5;
    struct sample s;
    sample_init(&s, 64, 4096, 4096); /* the largest */
    for (size_t i = 0; i < 64 * 4096; i++) {
        s.u[i] = (int16_t)(uniform(&seed) * 65536 - 32768);
        s.v[i] = uniform(&seed) < 0.99 ? 0 : s.u[i];
    }
    check_round_trip(&s);
    sample_deinit(&s);
}

/* Bits beyond the entropy of rounded Gaussian numbers, which is
 * log2(sigma sqrt(2 pi e)). */
static void factors_take_little_more_than_their_entropy(void **state)
{
    (void)state;
    struct sample s;
    double bits = 0, sigma = 300;
    sample_init(&s, 32, 256, 1024);
    fill(&s, sigma, 1);
    check_round_trip(&s);
    for (unsigned k = 0; k < 32; k++) {
        bits += 256 * (log2(sigma / (1 + k)) + 2.0471);
        bits += 1024 * (log2(2 * sigma / (1 + k)) + 2.0471);
    }
    assert_true((double)s.wr.size * 8 < bits * 1.01);
    sample_deinit(&s);
}

static void factors_read_refuses_shapes(void **state)
{
    (void)state;
    struct reader rd;
    int16_t none[1];
    reader_init(&rd, bytes_of("", 0));
    assert_int_equal(factors_read(&rd, 0, 1, 1, none, none), STATUS_LIMIT);
    assert_int_equal(factors_read(&rd, 65, 1, 1, none, none), STATUS_LIMIT);
    assert_int_equal(factors_read(&rd, 1, 0, 1, none, none), STATUS_LIMIT);
    assert_int_equal(factors_read(&rd, 1, 1, 0, none, none), STATUS_LIMIT);
    assert_int_equal(factors_read(&rd, 64, 8000, 193, none, none),
                     STATUS_LIMIT);
    assert_int_equal(factors_read(&rd, 1, UINT64_MAX, 2, none, none),
                     STATUS_LIMIT);
    assert_int_equal(factors_read(&rd, 1, 1, 1, none, none), STATUS_TRUNCATED);
}

static void factors_read_finds_cuts(void **state)
{
    (void)state;
    struct sample s;
    sample_init(&s, 5, 40, 70);
    fill(&s, 100, 9);
    check_round_trip(&s);
    int16_t u[200], v[350];
    for (size_t size = 0; size < s.wr.size; size++) {
        struct reader rd;
        reader_init(&rd, bytes_of(s.wr.data, size));
        assert_int_not_equal(factors_read(&rd, 5, 40, 70, u, v), 0);
    }
    /* Another shape asks for more, or less, than there is. */
    struct reader rd;
    reader_init(&rd, writer_view(&s.wr));
    assert_int_not_equal(factors_read(&rd, 5, 40, 69, u, v), 0);
    sample_deinit(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(factors_come_back),
        cmocka_unit_test(factors_of_any_bits_come_back),
        cmocka_unit_test(factors_take_little_more_than_their_entropy),
        cmocka_unit_test(factors_read_refuses_shapes),
        cmocka_unit_test(factors_read_finds_cuts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
