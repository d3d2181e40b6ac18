/* Orders in place: whatever segments read, nothing is needed after it was
 * overwritten and not kept; the plan survives being written down. */
#include "daemon/inplace.h"
#include "tests/support/cmocka.h"

#include <stdlib.h>

#define SEGMENT (1u << 16)
#define READS   4u

struct segment_reads {
    uint64_t offset[READS], size[READS];
    bool written;
};

struct scene {
    struct journal_plan plan;
    struct segment_reads *segments;
    uint32_t count;
    uint64_t keep_bytes;
};

static void scene_init(struct scene *scene, uint64_t base, uint64_t target)
{
    memset(scene, 0, sizeof(*scene));
    scene->plan.base_size = base;
    scene->plan.target_size = target;
    scene->plan.segment_log = 16;
    scene->count = (uint32_t)((target + SEGMENT - 1) / SEGMENT);
    scene->segments = calloc(scene->count + 1u, sizeof(*scene->segments));
    assert_non_null(scene->segments);
}

static void scene_deinit(struct scene *scene)
{
    journal_plan_free(&scene->plan);
    free(scene->segments);
}

static enum status scene_solve(struct scene *scene)
{
    struct inplace *inplace;
    assert_int_equal(inplace_new(&scene->plan, &inplace), STATUS_OK);
    for (uint32_t i = 0; i < scene->count; i++) {
        const struct segment_reads *s = &scene->segments[i];
        if (s->written)
            inplace_write(inplace, i);
        for (unsigned k = 0; s->written && k < READS; k++)
            assert_int_equal(inplace_read(inplace, i, s->offset[k], s->size[k]),
                             STATUS_OK);
    }
    enum status status =
        inplace_solve(inplace, &scene->plan, &scene->keep_bytes);
    inplace_free(inplace);
    return status;
}

/* Carries the plan out on bytes that say where they are. */
static void scene_check(struct scene *scene)
{
    const struct journal_plan *plan = &scene->plan;
    uint8_t *gone = calloc(plan->base_size + 1, 1);
    uint8_t *kept = calloc(plan->base_size + 1, 1);
    uint32_t written = 0, keep = 0;
    assert_true(gone && kept);
    for (uint32_t i = 0; i < plan->step_count; i++) {
        const struct journal_step *step = &plan->steps[i];
        uint64_t offset, bytes = journal_step_range(plan, i, &offset);
        assert_true(bytes <= JOURNAL_STEP_BYTES && bytes <= plan->step_bytes);
        for (uint32_t k = step->first; k < step->first + step->count; k++)
            for (unsigned r = 0; r < READS; r++) {
                const struct segment_reads *s = &scene->segments[k];
                assert_true(s->written);
                for (uint64_t at = s->offset[r];
                     at < s->offset[r] + s->size[r] && at < plan->base_size;
                     at++)
                    assert_true(!gone[at] || kept[at]);
            }
        for (; keep < step->keep_end; keep++)
            memset(kept + plan->keeps[keep].offset, 1, plan->keeps[keep].size);
        for (uint64_t at = offset; at < offset + bytes && at < plan->base_size;
             at++)
            assert_int_equal(gone[at]++, 0);
        written += step->count;
    }
    for (uint32_t i = 0; i < scene->count; i++)
        written -= scene->segments[i].written;
    assert_int_equal(written, 0);
    free(gone);
    free(kept);
}

static void plan_reads_back(const struct journal_plan *plan)
{
    struct writer in, out;
    struct journal_plan again;
    writer_init_heap(&in, 1 << 20);
    writer_init_heap(&out, 1 << 20);
    journal_plan_write(plan, &in);
    assert_int_equal(writer_status(&in), STATUS_OK);
    assert_int_equal(journal_plan_parse(writer_view(&in), &again), STATUS_OK);
    assert_int_equal(again.step_bytes, plan->step_bytes);
    assert_int_equal(again.keep_bytes, plan->keep_bytes);
    journal_plan_write(&again, &out);
    assert_true(bytes_equal(writer_view(&in), writer_view(&out)));
    journal_plan_free(&again);
    for (size_t size = 0; size < in.size; size += 1 + size / 50)
        assert_int_not_equal(
            journal_plan_parse(bytes_of(in.data, size), &again), STATUS_OK);
    writer_deinit(&in);
    writer_deinit(&out);
}

static uint64_t below(uint64_t *seed, uint64_t end)
{
    *seed = *seed * 6364136223846793005u + 1442695040888963407u;
    return (*seed >> 33) % end;
}

static void nothing_is_needed_after_it_is_gone(void **state)
{
    (void)state;
    for (uint64_t round = 0, seed = 1; round < 60; round++) {
        struct scene scene;
        uint64_t base = below(&seed, 40 * SEGMENT) + 1;
        scene_init(&scene, base, below(&seed, 40 * SEGMENT) + 1);
        for (uint32_t i = 0; i < scene.count; i++) {
            struct segment_reads *s = &scene.segments[i];
            s->written = below(&seed, 4) > 0;
            for (unsigned k = 0; k < READS; k++) {
                s->offset[k] = below(&seed, base);
                s->size[k] = below(&seed, round % 3 ? 3000 : 2 * SEGMENT);
            }
        }
        assert_int_equal(scene_solve(&scene), STATUS_OK);
        scene_check(&scene);
        plan_reads_back(&scene.plan);
        scene_deinit(&scene);
    }
}

/* Every segment reads what lies a distance from where it is written. */
static uint64_t keeps_of_shift(int64_t shift, uint64_t margin)
{
    struct scene scene;
    uint64_t base = 64ull * SEGMENT;
    scene_init(&scene, base, (uint64_t)((int64_t)base + shift));
    for (uint32_t i = 0; i < scene.count; i++) {
        struct segment_reads *s = &scene.segments[i];
        int64_t low = (int64_t)i * SEGMENT - shift - (int64_t)margin;
        int64_t high = low + SEGMENT + 2 * (int64_t)margin;
        s->written = true;
        s->offset[0] = low > 0 ? (uint64_t)low : 0;
        s->size[0] =
            high > (int64_t)s->offset[0] ? (uint64_t)high - s->offset[0] : 0;
    }
    assert_int_equal(scene_solve(&scene), STATUS_OK);
    scene_check(&scene);
    uint64_t bytes = scene.plan.keep_bytes;
    scene_deinit(&scene);
    return bytes;
}

static void shifts_need_no_keeps(void **state)
{
    (void)state;
    assert_int_equal(keeps_of_shift(0, 0), 0);
    assert_int_equal(keeps_of_shift(8, 0), 0);
    assert_int_equal(keeps_of_shift(-8, 0), 0);
    assert_int_equal(keeps_of_shift(300001, 0), 0);
    assert_int_equal(keeps_of_shift(-300001, 0), 0);
    /* Neighbours that look at each other keep a margin for each step. */
    assert_true(keeps_of_shift(0, 4096) <= 2 * 4096);
}

static void too_many_keeps_are_refused(void **state)
{
    struct scene scene;
    uint64_t base = 4096ull * SEGMENT; /* 256 MiB, its halves swapped */
    (void)state;
    scene_init(&scene, base, base);
    for (uint32_t i = 0; i < scene.count; i++) {
        struct segment_reads *s = &scene.segments[i];
        s->written = true;
        s->offset[0] = ((uint64_t)i * SEGMENT + base / 2) % base;
        s->size[0] = SEGMENT;
        s->offset[1] = (uint64_t)(scene.count - 1 - i) * SEGMENT;
        s->size[1] = SEGMENT;
    }
    enum status status = scene_solve(&scene);
    assert_true(scene.keep_bytes > INPLACE_KEEP_MIN);
    assert_int_equal(status,
                     scene.keep_bytes > base / 2 ? STATUS_LIMIT : STATUS_OK);
    scene_deinit(&scene);
}

/* A plan by hand, with one thing wrong. */
static enum status parse_plan(struct journal_step *steps, uint32_t step_count,
                              struct journal_keep *keeps, uint32_t keep_count,
                              uint8_t segment_log)
{
    const struct journal_plan plan = {.base_size = 3 * SEGMENT,
                                      .target_size = 3 * SEGMENT - 5,
                                      .segment_log = segment_log,
                                      .steps = steps,
                                      .step_count = step_count,
                                      .keeps = keeps,
                                      .keep_count = keep_count};
    struct journal_plan out;
    struct writer wr;
    writer_init_heap(&wr, 1 << 16);
    journal_plan_write(&plan, &wr);
    enum status status = journal_plan_parse(writer_view(&wr), &out);
    journal_plan_free(&out);
    writer_deinit(&wr);
    return status;
}

static void unsound_plans_are_refused(void **state)
{
    struct journal_keep inside = {10, 20, 0}, outside = {SEGMENT - 1, 2, 0};
    struct journal_keep none = {10, 0, 0}, huge = {10, UINT64_MAX, 0};
    struct journal_step sound[] = {{0, 1, 1}, {1, 2, 1}};
    struct journal_step twice[] = {{0, 2, 0}, {1, 1, 0}};
    struct journal_step past[] = {{2, 2, 0}};
    struct journal_step empty[] = {{2, 0, 0}};
    (void)state;
    assert_int_equal(parse_plan(sound, 2, &inside, 1, 16), STATUS_OK);
    assert_int_equal(parse_plan(sound, 2, &outside, 1, 16), STATUS_CORRUPT);
    assert_int_equal(parse_plan(sound, 2, &none, 1, 16), STATUS_CORRUPT);
    assert_int_equal(parse_plan(sound, 2, &huge, 1, 16), STATUS_CORRUPT);
    assert_int_equal(parse_plan(twice, 2, NULL, 0, 16), STATUS_CORRUPT);
    assert_int_equal(parse_plan(past, 1, NULL, 0, 16), STATUS_CORRUPT);
    assert_int_equal(parse_plan(empty, 1, NULL, 0, 16), STATUS_CORRUPT);
    assert_int_equal(parse_plan(sound, 2, &inside, 1, 3), STATUS_LIMIT);
    assert_int_equal(parse_plan(sound, 2, &inside, 1, 60), STATUS_LIMIT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_needed_after_it_is_gone),
        cmocka_unit_test(shifts_need_no_keeps),
        cmocka_unit_test(too_many_keeps_are_refused),
        cmocka_unit_test(unsound_plans_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
