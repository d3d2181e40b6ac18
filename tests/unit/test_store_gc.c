/* What gc keeps, what it sweeps, and that it can stop anywhere. */
#include "store/gc.h"

#include "tests/support/cmocka.h"
#include "tests/support/tmpstore.h"

#include <stdio.h>
#include <stdlib.h>

#define NONE UINT64_MAX

struct fixture {
    struct tmpstore tmp;
    struct store_gc_options options;
    struct store_gc_item items[32];
    unsigned item_count;
    struct hash used; /* what in_use answers for */
};

static void note_item(void *ctx, const struct store_gc_item *item)
{
    struct fixture *f = ctx;
    assert_true(f->item_count < 32);
    assert_non_null(item->model);
    f->items[f->item_count++] = *item;
}

static bool is_used(void *ctx, enum store_gc_kind kind, const struct hash *id)
{
    struct fixture *f = ctx;
    (void)kind;
    return hash_equal(id, &f->used);
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    assert_non_null(f);
    tmpstore_init(&f->tmp, 0, 8 << 20);
    f->options = (struct store_gc_options){
        .keep_last = 3, .report = note_item, .in_use = is_used, .ctx = f};
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    if (tmpstore_fsck(&f->tmp, false))
        fail_msg("%s", f->tmp.problems);
    tmpstore_deinit(&f->tmp);
    free(f);
    return 0;
}

static struct store_gc_result run(struct fixture *f)
{
    struct store_gc_result result;
    f->item_count = 0;
    diag_reset(&f->tmp.diag);
    if (store_gc_run(f->tmp.env, &f->options, &result, &f->tmp.diag))
        fail_msg("%s", f->tmp.diag.text);
    assert_int_equal(result.version_count + result.update_count, f->item_count);
    return result;
}

static void fill(struct fixture *f, uint64_t base, uint64_t number,
                 enum store_version_state state)
{
    tmpstore_fill(&f->tmp, "m", base, number, 3, 500, state);
}

/* Whether a version still has its content. */
static bool holds(struct fixture *f, uint64_t number)
{
    struct store_txn txn;
    struct store_version version = tmpstore_version("m", number, 1);
    struct store_update update;
    tmpstore_begin(&f->tmp, &txn, STORE_TXN_READ);
    assert_int_equal(store_version_get(&txn, &version.id, &version), STATUS_OK);
    bool held = version.has_update &&
                !store_update_get(&txn, &version.update, &update) &&
                store_update_complete(&update) && version.manifest_size;
    if (!held) {
        assert_false(version.has_update);
        assert_int_equal(version.manifest_size + version.have_count, 0);
    }
    store_txn_abort(&txn);
    return held;
}

static uint64_t usage(struct fixture *f)
{
    struct store_txn txn;
    uint64_t bytes;
    tmpstore_begin(&f->tmp, &txn, STORE_TXN_READ);
    assert_int_equal(store_usage_total(&txn, &bytes), STATUS_OK);
    store_txn_abort(&txn);
    return bytes;
}

static void gc_keeps_the_last_of_each_model(void **state)
{
    struct fixture *f = *state;
    for (uint64_t i = 0; i < 6; i++)
        fill(f, NONE, i, STORE_VERSION_COMPLETE);
    tmpstore_fill(&f->tmp, "other", NONE, 10, 3, 500, STORE_VERSION_COMPLETE);
    uint64_t before = usage(f);
    f->options.dry_run = true;
    struct store_gc_result dry = run(f);
    assert_int_equal(usage(f), before);
    assert_true(holds(f, 0));
    f->options.dry_run = false;
    struct store_gc_result result = run(f);
    assert_memory_equal(&dry, &result, sizeof(result));
    assert_int_equal(result.version_count, 3);
    assert_int_equal(result.update_count, 3);
    assert_int_equal(before - usage(f), result.freed_bytes);
    for (uint64_t i = 0; i < 6; i++)
        assert_int_equal(holds(f, i), i >= 3);
    assert_true(holds(f, 10));
    assert_int_equal(run(f).freed_bytes, 0);
}

static void gc_keeps_roots_and_the_bases_they_reach(void **state)
{
    struct fixture *f = *state;
    struct store_txn txn;
    fill(f, NONE, 0, STORE_VERSION_COMPLETE);
    fill(f, 0, 1, STORE_VERSION_COMPLETE);
    fill(f, 1, 2, STORE_VERSION_RUNNING); /* reaches 1 and 0 */
    fill(f, NONE, 3, STORE_VERSION_COMPLETE);
    fill(f, 3, 4, STORE_VERSION_PREVIOUS); /* reaches 3 */
    fill(f, NONE, 5, STORE_VERSION_STAGED);
    fill(f, NONE, 6, STORE_VERSION_TRIAL);
    fill(f, NONE, 7, STORE_VERSION_COMPLETE); /* pinned */
    fill(f, NONE, 8, STORE_VERSION_COMPLETE); /* a target */
    fill(f, NONE, 9, STORE_VERSION_COMPLETE); /* in use */
    fill(f, NONE, 10, STORE_VERSION_BAD);
    fill(f, 9, 11, STORE_VERSION_COMPLETE);
    fill(f, NONE, 12, STORE_VERSION_COMPLETE); /* being activated */
    struct store_version pinned = tmpstore_version("m", 7, 3);
    struct store_version target = tmpstore_version("m", 8, 3);
    struct store_version used = tmpstore_version("m", 9, 3);
    struct store_version active = tmpstore_version("m", 12, 3);
    struct store_activation act = {
        .model = "m", .version = active.id, .tmp = ".t"};
    tmpstore_begin(&f->tmp, &txn, STORE_TXN_WRITE);
    assert_int_equal(store_version_set_pins(&txn, &pinned.id, 1), STATUS_OK);
    assert_int_equal(store_activation_begin(&txn, &act), STATUS_OK);
    tmpstore_commit(&txn);
    f->used = used.id;
    f->options.keep_last = 0;
    f->options.targets = &target.id;
    f->options.target_count = 1;
    run(f);
    for (uint64_t i = 0; i <= 12; i++)
        assert_int_equal(holds(f, i), i != 10 && i != 11);
}

static void gc_leaves_alone_what_gains_a_reason_meanwhile(void **state)
{
    struct fixture *f = *state;
    struct store_update update = tmpstore_update("m", NONE, 0, 3);
    fill(f, NONE, 0, STORE_VERSION_COMPLETE);
    f->options.keep_last = 0;
    f->used = update.id;
    struct store_gc_result result = run(f);
    assert_int_equal(result.version_count, 1);
    assert_int_equal(result.update_count, 0);
    assert_false(holds(f, 0));
    f->used = tmpstore_hash(1);
    result = run(f);
    assert_int_equal(result.update_count, 1);
    assert_int_equal(usage(f), 0);
}

static bool never_used(void *ctx, enum store_gc_kind kind,
                       const struct hash *id)
{
    (void)ctx;
    (void)kind;
    (void)id;
    return false;
}

/* Pins version 1 in the middle of a run, after version 0 or another went. */
static void pin_when_first_goes(void *ctx, const struct store_gc_item *item)
{
    struct fixture *f = ctx;
    struct store_txn txn;
    struct store_version version;
    struct diag diag = {{0}};
    if (f->item_count++)
        return;
    for (uint64_t i = 0; i < 4; i++) {
        version = tmpstore_version("m", i, 3);
        if (hash_equal(&version.id, &item->id))
            continue;
        if (store_txn_begin(&txn, f->tmp.env, STORE_TXN_WRITE, &diag))
            fail_msg("%s", diag.text);
        assert_int_equal(store_version_set_pins(&txn, &version.id, 1),
                         STATUS_OK);
        tmpstore_commit(&txn);
    }
}

static void gc_marks_anew_when_the_graph_changes(void **state)
{
    struct fixture *f = *state;
    struct store_gc_result result;
    for (uint64_t i = 0; i < 4; i++)
        fill(f, NONE, i, STORE_VERSION_COMPLETE);
    f->options.keep_last = 0;
    f->options.in_use = never_used;
    f->options.report = pin_when_first_goes;
    assert_int_equal(
        store_gc_run(f->tmp.env, &f->options, &result, &f->tmp.diag),
        STATUS_OK);
    assert_int_equal(result.version_count, 1);
    assert_int_equal(result.update_count, 1);
    unsigned held = 0;
    for (uint64_t i = 0; i < 4; i++)
        held += holds(f, i);
    assert_int_equal(held, 3);
}

static void gc_keeps_what_a_wanted_version_is_made_from(void **state)
{
    struct fixture *f = *state;
    struct store_txn txn;
    struct store_version wanted = tmpstore_version("m", 1, 3);
    struct store_version stray = tmpstore_version("m", 2, 3);
    struct store_update half = tmpstore_update("m", 0, 1, 3);
    struct store_update other = tmpstore_update("m", 0, 2, 3);
    struct store_update out;
    char text[64];
    fill(f, NONE, 0, STORE_VERSION_COMPLETE);
    wanted.state = stray.state = STORE_VERSION_FETCHING;
    tmpstore_begin(&f->tmp, &txn, STORE_TXN_WRITE);
    assert_int_equal(store_version_add(&txn, &wanted), STATUS_OK);
    assert_int_equal(store_version_add(&txn, &stray), STATUS_OK);
    assert_int_equal(store_version_set_blocks(&txn, &stray.id, 0, 1),
                     STATUS_OK);
    assert_int_equal(store_update_add(&txn, &half, tmpstore_header(0, 1, text)),
                     STATUS_OK);
    assert_int_equal(
        store_update_add(&txn, &other, tmpstore_header(0, 2, text)), STATUS_OK);
    tmpstore_commit(&txn);
    f->options.targets = &wanted.id;
    f->options.target_count = 1;
    f->options.keep_last = 0;
    run(f);
    assert_true(holds(f, 0));
    tmpstore_begin(&f->tmp, &txn, STORE_TXN_READ);
    assert_int_equal(store_update_get(&txn, &half.id, &out), STATUS_OK);
    assert_int_equal(store_update_get(&txn, &other.id, &out), STATUS_NOT_FOUND);
    assert_int_equal(store_version_get(&txn, &stray.id, &stray), STATUS_OK);
    assert_int_equal(stray.have_count, 0);
    store_txn_abort(&txn);
}

static void gc_keeps_extra_updates_only_when_asked(void **state)
{
    struct fixture *f = *state;
    struct store_txn txn;
    struct store_update extra = tmpstore_update("m", 0, 1, 1);
    struct store_update partial = tmpstore_update("m", 2, 1, 1);
    struct store_update away = tmpstore_update("m", 8, 1, 1);
    char text[64];
    for (uint64_t i = 0; i < 3; i++)
        fill(f, NONE, i, STORE_VERSION_COMPLETE);
    tmpstore_begin(&f->tmp, &txn, STORE_TXN_WRITE);
    assert_int_equal(
        store_update_add(&txn, &extra, tmpstore_header(0, 1, text)), STATUS_OK);
    assert_int_equal(store_segment_put_empty(&txn, &extra.id, 0, 1), STATUS_OK);
    assert_int_equal(
        store_update_add(&txn, &partial, tmpstore_header(2, 1, text)),
        STATUS_OK);
    assert_int_equal(store_update_add(&txn, &away, tmpstore_header(8, 1, text)),
                     STATUS_OK);
    assert_int_equal(store_segment_put_empty(&txn, &away.id, 0, 1), STATUS_OK);
    tmpstore_commit(&txn);
    f->options.keep_extra = true;
    assert_int_equal(run(f).update_count, 2);
    f->options.keep_extra = false;
    struct store_gc_result result = run(f);
    assert_int_equal(result.update_count, 1);
    assert_true(hash_equal(&f->items[0].id, &extra.id));
    for (uint64_t i = 0; i < 3; i++)
        assert_true(holds(f, i));
}

static void gc_keeps_updates_to_a_base_that_no_version_realises(void **state)
{
    struct fixture *f = *state;
    struct store_txn txn;
    struct store_version base = tmpstore_version("m", 0, 3);
    struct store_update update = tmpstore_update("m", NONE, 0, 3);
    fill(f, NONE, 0, STORE_VERSION_COMPLETE);
    fill(f, 0, 1, STORE_VERSION_RUNNING);
    tmpstore_begin(&f->tmp, &txn, STORE_TXN_WRITE);
    assert_int_equal(store_version_remove(&txn, &base.id), STATUS_OK);
    tmpstore_commit(&txn);
    f->options.keep_last = 0;
    run(f);
    tmpstore_begin(&f->tmp, &txn, STORE_TXN_READ);
    assert_int_equal(store_update_get(&txn, &update.id, &update), STATUS_OK);
    store_txn_abort(&txn);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(gc_keeps_the_last_of_each_model),
        TEST(gc_keeps_roots_and_the_bases_they_reach),
        TEST(gc_leaves_alone_what_gains_a_reason_meanwhile),
        TEST(gc_marks_anew_when_the_graph_changes),
        TEST(gc_keeps_what_a_wanted_version_is_made_from),
        TEST(gc_keeps_extra_updates_only_when_asked),
        TEST(gc_keeps_updates_to_a_base_that_no_version_realises),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
