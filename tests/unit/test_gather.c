/* Picking base elements: against the definition, element by element. */
#include "codec/base/rng.h"
#include "codec/lossless/gather_code.h"

#include "tests/support/cmocka.h"

#include <stdlib.h>

#define BASE_SIZE  (1u << 20)
#define OUT_ELEMS  20000u
#define GUARD_BYTE 0xa5

/* A base that notes how it is read. */
struct watched {
    uint8_t *data;
    uint64_t first, end, reads, bytes;
};

static enum status watched_read(void *ctx, uint64_t offset, void *out,
                                size_t size)
{
    struct watched *w = ctx;
    w->first = offset < w->first ? offset : w->first;
    w->end = offset + size > w->end ? offset + size : w->end;
    w->reads++;
    w->bytes += size;
    memcpy(out, w->data + offset, size);
    return STATUS_OK;
}

static void watched_reset(struct watched *w)
{
    w->first = UINT64_MAX;
    w->end = w->reads = w->bytes = 0;
}

static int setup(void **state)
{
    struct watched *w = calloc(1, sizeof(*w));
    struct rng_seeded seeded;
    rng_seeded_init(&seeded, 1);
    struct rng rng = rng_from_seeded(&seeded);
    w->data = malloc(BASE_SIZE);
    rng_fill(&rng, w->data, BASE_SIZE);
    *state = w;
    return 0;
}

static int teardown(void **state)
{
    struct watched *w = *state;
    free(w->data);
    free(w);
    return 0;
}

/* The definition in gather.h. False: no base. */
static bool place_of(const struct gather *g, uint64_t elem, uint64_t *at)
{
    uint64_t column, i, j;
    *at = elem;
    if (!g->columns)
        return true;
    i = elem / g->columns;
    j = column = elem % g->columns;
    for (uint32_t k = 0; k < g->run_count; k++) {
        if (j < g->runs[k].count) {
            if (g->runs[k].base_column == GATHER_NONE)
                return false;
            column = g->runs[k].base_column + j;
            break;
        }
        j -= g->runs[k].count;
    }
    *at = g->transposed ? column * g->base_stride + i
                        : i * g->base_stride + column;
    return true;
}

static void check_read(struct watched *w, const struct gather *g,
                       uint64_t first, size_t count)
{
    struct source base = {watched_read, w, BASE_SIZE};
    size_t width = g->elem_bytes;
    uint8_t *out = malloc(count * width + 1);
    static const uint8_t none[8];
    memset(out, GUARD_BYTE, count * width + 1);
    assert_int_equal(gather_read(g, &base, first, count, out), STATUS_OK);
    for (size_t e = 0; e < count; e++) {
        uint64_t at;
        const uint8_t *want = place_of(g, first + e, &at)
                                  ? w->data + g->base_offset + at * width
                                  : none;
        assert_memory_equal(out + e * width, want, width);
    }
    assert_int_equal(out[count * width], GUARD_BYTE);
    free(out);
}

static uint32_t make_runs(const struct rng *rng, uint32_t stride,
                          struct gather_run *runs, uint32_t *columns)
{
    uint32_t count = 1 + (uint32_t)rng_below(rng, 20);
    *columns = 0;
    for (uint32_t i = 0; i < count; i++) {
        runs[i].count = 1 + (uint32_t)rng_below(rng, stride);
        runs[i].base_column =
            rng_below(rng, 4)
                ? (uint32_t)rng_below(rng, stride - runs[i].count + 1)
                : GATHER_NONE;
        *columns += runs[i].count;
    }
    return count;
}

static void make_gather(const struct rng *rng, struct gather *g,
                        struct gather_run *runs, uint64_t *elems)
{
    *g = (struct gather){.elem_bytes = 1u << rng_below(rng, 4)};
    uint32_t most = rng_below(rng, 3) ? 60 : 3000;
    g->base_stride = 1 + (uint32_t)rng_below(rng, most);
    g->transposed = rng_below(rng, 2);
    g->columns = 1 + (uint32_t)rng_below(rng, g->base_stride);
    if (rng_below(rng, 2)) {
        g->run_count = make_runs(rng, g->base_stride, runs, &g->columns);
        g->runs = runs;
    }
    uint64_t rows = 1 + rng_below(rng, 50);
    if (g->transposed && rows > g->base_stride)
        rows = g->base_stride;
    *elems = (rows - 1) * g->columns + 1 + rng_below(rng, g->columns);
    g->base_offset = rng_below(rng, 1000);
}

static void every_element_is_where_the_definition_says(void **state)
{
    struct watched *w = *state;
    struct rng_seeded seeded;
    struct gather_run runs[32];
    unsigned checked = 0;
    rng_seeded_init(&seeded, 2);
    struct rng rng = rng_from_seeded(&seeded);
    for (unsigned round = 0; round < 4000; round++) {
        struct gather g;
        uint64_t elems, reach;
        make_gather(&rng, &g, runs, &elems);
        if (gather_check(&g, elems, BASE_SIZE, &reach) || elems > OUT_ELEMS)
            continue;
        watched_reset(w);
        check_read(w, &g, 0, (size_t)elems);
        assert_true(w->end <= g.base_offset + reach);
        assert_true(w->first >= g.base_offset);
        assert_true(w->reads <= elems);
        assert_true(w->bytes <= elems * 4096 + 65536);
        uint64_t first = rng_below(&rng, elems);
        check_read(w, &g, first, (size_t)rng_below(&rng, elems - first + 1));
        checked++;
    }
    assert_true(checked > 1000);
}

static void the_reach_ends_with_the_last_element_used(void **state)
{
    struct gather g = {.elem_bytes = 4, .columns = 3, .base_stride = 5};
    uint64_t reach;
    (void)state;
    assert_int_equal(gather_check(&g, 6, 32, &reach), STATUS_OK);
    assert_int_equal(reach, 32);
    assert_int_equal(gather_check(&g, 6, 31, &reach), STATUS_CORRUPT);
    g.transposed = true;
    assert_int_equal(gather_check(&g, 6, 48, &reach), STATUS_OK);
    assert_int_equal(reach, 48);
    assert_int_equal(gather_check(&g, 6, 47, &reach), STATUS_CORRUPT);
    g = (struct gather){.elem_bytes = 2, .base_offset = 10};
    assert_int_equal(gather_check(&g, 5, 20, &reach), STATUS_OK);
    assert_int_equal(reach, 10);
    assert_int_equal(gather_check(&g, 6, 20, &reach), STATUS_CORRUPT);
}

static void refuse(const struct gather *g, uint64_t elems)
{
    uint64_t reach;
    assert_int_equal(gather_check(g, elems, BASE_SIZE, &reach), STATUS_CORRUPT);
}

static void what_does_not_fit_is_corrupt(void **state)
{
    const struct gather_run runs[] = {{2, 0}, {1, GATHER_NONE}, {1, 4}};
    const struct gather_run empty[] = {{4, 0}, {0, 0}};
    const struct gather_run wide[] = {{4, 2}};
    const struct gather good = {.elem_bytes = 4,
                                .columns = 4,
                                .base_stride = 5,
                                .run_count = 3,
                                .runs = runs};
    struct gather g = good;
    uint64_t reach;
    (void)state;
    assert_int_equal(gather_check(&g, 8, BASE_SIZE, &reach), STATUS_OK);
    g.elem_bytes = 3;
    refuse(&g, 8);
    g = good;
    g.elem_bytes = 0;
    refuse(&g, 8);
    g = good;
    g.columns = 5;
    refuse(&g, 8);
    g = good;
    g.base_stride = 4;
    refuse(&g, 8);
    g = good;
    g.runs = empty;
    g.run_count = 2;
    refuse(&g, 8);
    g.runs = wide;
    g.run_count = 1;
    refuse(&g, 8);
    g = good;
    g.columns = 0;
    refuse(&g, 8);
    g = good;
    g.run_count = GATHER_RUNS_MAX + 1;
    refuse(&g, 8);
    g = good;
    refuse(&g, UINT64_MAX);
    g.base_offset = UINT64_MAX;
    refuse(&g, 8);
}

static void a_transposed_target_is_no_higher_than_a_base_row(void **state)
{
    struct gather g = {
        .elem_bytes = 1, .columns = 4, .base_stride = 5, .transposed = true};
    uint64_t reach;
    (void)state;
    assert_int_equal(gather_check(&g, 20, BASE_SIZE, &reach), STATUS_OK);
    refuse(&g, 21);
    g.columns = GATHER_TRANSPOSED_ROW_MAX + 1;
    refuse(&g, 1);
    g.columns = 0;
    refuse(&g, 1);
}

static void a_large_window_is_read_in_large_pieces(void **state)
{
    struct watched *w = *state;
    const struct gather_run runs[] = {{40, 0}, {20, 44}};
    struct gather g = {.elem_bytes = 4,
                       .columns = 60,
                       .base_stride = 64,
                       .run_count = 2,
                       .runs = runs};
    watched_reset(w);
    check_read(w, &g, 0, OUT_ELEMS);
    assert_true(w->reads < 10);
    /* 100 rows of 200, each the column of 200 base rows. */
    g = (struct gather){.elem_bytes = 4,
                        .columns = 200,
                        .base_stride = 100,
                        .transposed = true};
    watched_reset(w);
    check_read(w, &g, 0, OUT_ELEMS);
    assert_true(w->reads < 10);
}

/* Same columns from the same places, however the runs say it. */
static void check_same(const struct gather *a, const struct gather *b)
{
    assert_int_equal(a->columns, b->columns);
    assert_int_equal(a->base_stride, b->base_stride);
    assert_int_equal(a->transposed, b->transposed);
    for (uint64_t e = 0; e < a->columns; e++) {
        uint64_t at = 0, there = 0;
        bool has = place_of(a, e, &at);
        assert_int_equal(has, place_of(b, e, &there));
        assert_true(!has || at == there);
    }
}

static bool picks_something(const struct gather *g)
{
    bool some = !g->run_count;
    for (uint32_t i = 0; i < g->run_count; i++)
        some = some || g->runs[i].base_column != GATHER_NONE;
    return some;
}

static void what_is_written_is_read_back_alike(void **state)
{
    struct rng_seeded seeded;
    struct gather_run runs[32], *back = calloc(GATHER_RUNS_MAX, sizeof(*back));
    uint8_t first[1024], again[1024];
    unsigned checked = 0;
    (void)state;
    rng_seeded_init(&seeded, 3);
    struct rng rng = rng_from_seeded(&seeded);
    for (unsigned round = 0; round < 2000; round++) {
        struct gather g, got = {0};
        struct writer wr;
        struct reader rd;
        uint64_t elems, reach;
        make_gather(&rng, &g, runs, &elems);
        if (gather_check(&g, elems, BASE_SIZE, &reach))
            continue;
        writer_init(&wr, first, sizeof(first));
        gather_write(&g, &wr);
        if (!picks_something(&g))
            continue;
        assert_int_equal(writer_status(&wr), STATUS_OK);
        reader_init(&rd, writer_view(&wr));
        gather_parse(&rd, back, &got);
        assert_int_equal(reader_finish(&rd), STATUS_OK);
        check_same(&g, &got);
        size_t size = writer_view(&wr).size;
        writer_init(&wr, again, sizeof(again));
        gather_write(&got, &wr);
        assert_int_equal(writer_view(&wr).size, size);
        assert_memory_equal(first, again, size);
        for (size_t cut = 0; cut < size; cut++) {
            reader_init(&rd, bytes_of(first, cut));
            gather_parse(&rd, back, &got);
            assert_true(reader_status(&rd) != STATUS_OK);
            assert_int_equal(got.columns, 0);
        }
        checked++;
    }
    assert_true(checked > 500);
    free(back);
}

static void another_form_of_the_same_is_corrupt(void **state)
{
    /* columns, 2 * stride, run count, runs */
    static const struct {
        uint8_t bytes[16];
        size_t size;
        enum status status;
    } forms[] = {
        {{4, 10, 2, 4, 0, 4, 2}, 7, STATUS_OK},
        {{4, 10, 2, 4, 0, 4, 0}, 7, STATUS_CORRUPT}, /* one run in two */
        {{4, 10, 1, 8, 0}, 5, STATUS_CORRUPT},       /* moves nothing */
        {{4, 10, 1, 9}, 4, STATUS_CORRUPT},          /* picks nothing */
        {{4, 10, 2, 5, 5}, 5, STATUS_CORRUPT},       /* twice nothing */
        {{4, 10, 2, 0, 2, 8, 4}, 7, STATUS_CORRUPT}, /* an empty run */
        {{4, 10, 1, 8, 1}, 5, STATUS_CORRUPT},       /* before the row */
        {{0, 10, 0}, 3, STATUS_CORRUPT},             /* no columns */
        {{4, 1, 0}, 3, STATUS_CORRUPT},              /* no stride */
        {{4, 10, 0x81, 0x20, 0}, 5, STATUS_LIMIT},   /* 4097 runs */
        {{0x80, 0x80, 0x80, 0x80, 0x10, 10, 0}, 7, STATUS_LIMIT},
    };
    struct gather_run *runs = calloc(GATHER_RUNS_MAX, sizeof(*runs));
    (void)state;
    for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
        struct gather g = {0};
        struct reader rd;
        reader_init(&rd, bytes_of(forms[i].bytes, forms[i].size));
        gather_parse(&rd, runs, &g);
        assert_int_equal(reader_status(&rd), forms[i].status);
    }
    free(runs);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_element_is_where_the_definition_says),
        cmocka_unit_test(the_reach_ends_with_the_last_element_used),
        cmocka_unit_test(what_does_not_fit_is_corrupt),
        cmocka_unit_test(a_transposed_target_is_no_higher_than_a_base_row),
        cmocka_unit_test(what_is_written_is_read_back_alike),
        cmocka_unit_test(another_form_of_the_same_is_corrupt),
        cmocka_unit_test(a_large_window_is_read_in_large_pieces),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
