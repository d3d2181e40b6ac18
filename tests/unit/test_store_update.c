/* Updates and segments: what is held, room taken, removal, a full map. */
#include "store/update.h"

#include "tests/support/cmocka.h"
#include "tests/support/tmpstore.h"

#include <stdio.h>
#include <stdlib.h>

static void init(struct tmpstore *tmp)
{
    tmpstore_init(tmp, 1 << 20, 8 << 20);
}

static void deinit(struct tmpstore *tmp)
{
    if (tmpstore_fsck(tmp, false))
        fail_msg("%s", tmp->problems);
    tmpstore_deinit(tmp);
}

static void add(struct tmpstore *tmp, uint64_t base, uint64_t target,
                uint32_t segment_count)
{
    struct store_update update =
        tmpstore_update("m", base, target, segment_count);
    struct store_txn txn;
    char text[64];
    tmpstore_begin(tmp, &txn, STORE_TXN_WRITE);
    assert_int_equal(
        store_update_add(&txn, &update, tmpstore_header(base, target, text)),
        STATUS_OK);
    tmpstore_commit(&txn);
}

static void update_comes_back_as_added(void **state)
{
    (void)state;
    struct tmpstore tmp;
    struct store_txn txn;
    struct store_update update = tmpstore_update("m", 1, 2, 9);
    struct store_update out;
    struct bytes header;
    char text[64];
    init(&tmp);
    update.coded_size = 1234;
    update.added_uptime = 77;
    tmpstore_begin(&tmp, &txn, STORE_TXN_WRITE);
    header = tmpstore_header(1, 2, text);
    assert_int_equal(store_update_get(&txn, &update.id, &out),
                     STATUS_NOT_FOUND);
    assert_int_equal(store_update_add(&txn, &update, header), STATUS_OK);
    assert_int_equal(store_update_add(&txn, &update, header), STATUS_EXISTS);
    assert_int_equal(store_update_get(&txn, &update.id, &out), STATUS_OK);
    assert_true(out.has_base && hash_equal(&out.base, &update.base));
    assert_true(hash_equal(&out.target, &update.target));
    assert_int_equal(out.segment_count, 9);
    assert_int_equal(out.coded_size, 1234);
    assert_int_equal(out.added_uptime, 77);
    assert_int_equal(out.header_size, header.size);
    assert_false(store_update_complete(&out));
    assert_int_equal(store_update_get_header(&txn, &update.id, &header),
                     STATUS_OK);
    assert_true(bytes_equal(header, tmpstore_header(1, 2, text)));
    tmpstore_commit(&txn);
    deinit(&tmp);
}

static void update_that_does_not_fit_is_refused(void **state)
{
    (void)state;
    struct tmpstore tmp;
    struct store_txn txn;
    struct store_update update = tmpstore_update("m", 1, 2, 9);
    struct store_update bad = update;
    char text[64];
    uint8_t *big = calloc(1, STORE_HEADER_BYTES_MAX + 1);
    init(&tmp);
    tmpstore_begin(&tmp, &txn, STORE_TXN_WRITE);
    assert_int_equal(
        store_update_add(&txn, &update, tmpstore_header(1, 3, text)),
        STATUS_MISMATCH);
    assert_int_equal(
        store_update_add(&txn, &update,
                         bytes_of(big, STORE_HEADER_BYTES_MAX + 1)),
        STATUS_LIMIT);
    hash_bytes(HASH_UPDATE, bytes_of(big, 1 << 20), &bad.id);
    assert_int_equal(store_update_add(&txn, &bad, bytes_of(big, 1 << 20)),
                     STATUS_NO_SPACE);
    bad = update;
    bad.segment_count = STORE_SEGMENT_COUNT_MAX + 1;
    assert_int_equal(store_update_add(&txn, &bad, tmpstore_header(1, 2, text)),
                     STATUS_LIMIT);
    bad = update;
    bad.model[0] = 0;
    assert_int_equal(store_update_add(&txn, &bad, tmpstore_header(1, 2, text)),
                     STATUS_USAGE);
    assert_int_equal(store_txn_count(&txn, STORE_TABLE_UPDATE), 0);
    tmpstore_commit(&txn);
    free(big);
    deinit(&tmp);
}

static void segment_put_counts_and_comes_back(void **state)
{
    (void)state;
    struct tmpstore tmp;
    struct store_txn txn;
    struct store_update update = tmpstore_update("m", UINT64_MAX, 2, 20);
    struct store_update out;
    struct bytes view;
    uint8_t buf[5000];
    uint8_t copy[16];
    uint8_t bits[3];
    size_t copied;
    uint64_t size;
    uint32_t held;
    init(&tmp);
    add(&tmp, UINT64_MAX, 2, 20);
    tmpstore_segment(&update.id, 3, buf, sizeof(buf));
    tmpstore_begin(&tmp, &txn, STORE_TXN_WRITE);
    view = bytes_of(buf, sizeof(buf));
    assert_int_equal(store_segment_put(&txn, &update.id, 3, view), STATUS_OK);
    assert_int_equal(store_segment_put(&txn, &update.id, 3, view),
                     STATUS_EXISTS);
    assert_int_equal(store_segment_put(&txn, &update.id, 20, view),
                     STATUS_LIMIT);
    assert_int_equal(store_segment_put(&txn, &update.target, 3, view),
                     STATUS_NOT_FOUND);
    assert_int_equal(store_segment_put(&txn, &update.id, 5, bytes_of(NULL, 0)),
                     STATUS_OK);
    assert_int_equal(store_segment_put_empty(&txn, &update.id, 2, 5),
                     STATUS_OK);
    assert_int_equal(store_segment_put_empty(&txn, &update.id, 18, 3),
                     STATUS_LIMIT);
    tmpstore_commit(&txn);
    tmpstore_begin(&tmp, &txn, STORE_TXN_READ);
    assert_int_equal(store_update_get(&txn, &update.id, &out), STATUS_OK);
    assert_int_equal(out.held_count, 5);
    assert_int_equal(out.row_count, 1);
    assert_int_equal(out.held_size, sizeof(buf));
    assert_int_equal(store_usage_total(&txn, &size), STATUS_OK);
    assert_int_equal(size, out.held_cost);
    assert_true(size >= 8192);
    assert_int_equal(store_update_get_held(&txn, &update.id, bits, 3, &held),
                     STATUS_OK);
    assert_memory_equal(bits, "\x7c\x00\x00", 3);
    assert_int_equal(held, 5);
    assert_int_equal(store_segment_get(&txn, &update.id, 3, &view), STATUS_OK);
    assert_true(bytes_equal(view, bytes_of(buf, sizeof(buf))));
    assert_int_equal(store_segment_get(&txn, &update.id, 4, &view), STATUS_OK);
    assert_int_equal(view.size, 0);
    assert_int_equal(store_segment_get(&txn, &update.id, 7, &view),
                     STATUS_NOT_FOUND);
    assert_int_equal(store_segment_get(&txn, &update.id, 20, &view),
                     STATUS_LIMIT);
    store_txn_abort(&txn);
    assert_int_equal(store_segment_read(tmp.env, &update.id, 3, 4990, copy, 16,
                                        &copied, &size, NULL),
                     STATUS_OK);
    assert_int_equal(copied, 10);
    assert_int_equal(size, 5000);
    assert_memory_equal(copy, buf + 4990, 10);
    assert_int_equal(store_segment_read(tmp.env, &update.id, 3, 5001, copy, 16,
                                        &copied, NULL, NULL),
                     STATUS_LIMIT);
    assert_int_equal(store_segment_read(tmp.env, &update.id, 9, 0, copy, 16,
                                        &copied, NULL, NULL),
                     STATUS_NOT_FOUND);
    deinit(&tmp);
}

static void segment_remove_gives_back_room(void **state)
{
    (void)state;
    struct tmpstore tmp;
    struct store_txn txn;
    struct store_update update = tmpstore_update("m", UINT64_MAX, 2, 2);
    struct store_update before;
    struct store_update after;
    uint8_t buf[5000] = {0};
    init(&tmp);
    add(&tmp, UINT64_MAX, 2, 2);
    tmpstore_begin(&tmp, &txn, STORE_TXN_WRITE);
    assert_int_equal(store_update_get(&txn, &update.id, &before), STATUS_OK);
    assert_int_equal(
        store_segment_put(&txn, &update.id, 1, bytes_of(buf, sizeof(buf))),
        STATUS_OK);
    assert_int_equal(store_segment_put_empty(&txn, &update.id, 0, 1),
                     STATUS_OK);
    assert_int_equal(store_update_get(&txn, &update.id, &after), STATUS_OK);
    assert_true(store_update_complete(&after));
    for (int i = 0; i < 2; i++) {
        assert_int_equal(store_segment_remove(&txn, &update.id, 0), STATUS_OK);
        assert_int_equal(store_segment_remove(&txn, &update.id, 1), STATUS_OK);
    }
    assert_int_equal(store_segment_remove(&txn, &update.id, 2), STATUS_LIMIT);
    assert_int_equal(store_segment_remove(&txn, &update.target, 0),
                     STATUS_NOT_FOUND);
    assert_int_equal(store_update_get(&txn, &update.id, &after), STATUS_OK);
    assert_int_equal(after.held_count + after.row_count, 0);
    assert_int_equal(after.held_size, 0);
    assert_int_equal(after.held_cost, before.held_cost);
    tmpstore_commit(&txn);
    deinit(&tmp);
}

static void segments_over_the_quota_are_refused_one_by_one(void **state)
{
    (void)state;
    struct tmpstore tmp;
    struct store_txn txn;
    struct store_update update = tmpstore_update("m", UINT64_MAX, 2, 64);
    uint8_t *buf = malloc(64 << 10);
    uint32_t put = 0;
    assert_non_null(buf);
    init(&tmp);
    add(&tmp, UINT64_MAX, 2, 64);
    for (enum status status = STATUS_OK; !status; put += !status) {
        tmpstore_segment(&update.id, put, buf, 64 << 10);
        tmpstore_begin(&tmp, &txn, STORE_TXN_WRITE);
        status =
            store_segment_put(&txn, &update.id, put, bytes_of(buf, 64 << 10));
        assert_true(!status || status == STATUS_NO_SPACE);
        tmpstore_commit(&txn);
    }
    /* 17 pages each, of 256 less the header. */
    assert_int_equal(put, 15);
    store_env_set_quota(tmp.env, 2 << 20);
    tmpstore_segment(&update.id, put, buf, 64 << 10);
    tmpstore_begin(&tmp, &txn, STORE_TXN_WRITE);
    assert_int_equal(
        store_segment_put(&txn, &update.id, put, bytes_of(buf, 64 << 10)),
        STATUS_OK);
    tmpstore_commit(&txn);
    free(buf);
    deinit(&tmp);
}

static bool count_update(void *ctx, const struct store_update *update)
{
    unsigned *count = ctx;
    (void)update;
    ++*count;
    return true;
}

static void update_indexes_lead_both_ways(void **state)
{
    (void)state;
    struct tmpstore tmp;
    struct store_txn txn;
    struct hash tree = tmpstore_tree(2);
    unsigned counts[3] = {0, 0, 0};
    init(&tmp);
    add(&tmp, UINT64_MAX, 2, 1);
    add(&tmp, 1, 2, 1);
    add(&tmp, 2, 3, 1);
    tmpstore_begin(&tmp, &txn, STORE_TXN_READ);
    assert_int_equal(store_update_each_to(&txn, &tree, count_update, counts),
                     STATUS_OK);
    assert_int_equal(
        store_update_each_from(&txn, &tree, count_update, counts + 1),
        STATUS_OK);
    assert_int_equal(store_update_each(&txn, count_update, counts + 2),
                     STATUS_OK);
    store_txn_abort(&txn);
    assert_int_equal(counts[0], 2);
    assert_int_equal(counts[1], 1);
    assert_int_equal(counts[2], 3);
    deinit(&tmp);
}

static void update_remove_goes_in_steps_and_spares_what_realises(void **state)
{
    (void)state;
    struct tmpstore tmp;
    struct store_txn txn;
    struct store_update update = tmpstore_update("m", UINT64_MAX, 4, 600);
    struct store_update out;
    struct store_version version = tmpstore_version("m", 4, 600);
    bool done;
    init(&tmp);
    tmpstore_fill(&tmp, "m", UINT64_MAX, 4, 600, 64, STORE_VERSION_COMPLETE);
    assert_int_equal(store_update_remove(tmp.env, &update.id, &tmp.diag),
                     STATUS_BUSY);
    tmpstore_begin(&tmp, &txn, STORE_TXN_WRITE);
    assert_int_equal(store_version_set_update(&txn, &version.id, NULL),
                     STATUS_OK);
    assert_int_equal(store_update_remove_some(&txn, &update.id, &done),
                     STATUS_OK);
    assert_false(done);
    tmpstore_commit(&txn);
    assert_int_equal(tmpstore_fsck(&tmp, false), 0);
    tmpstore_begin(&tmp, &txn, STORE_TXN_READ);
    assert_int_equal(store_update_get(&txn, &update.id, &out), STATUS_OK);
    assert_int_equal(out.held_count, 344);
    store_txn_abort(&txn);
    for (int i = 0; i < 2; i++)
        assert_int_equal(store_update_remove(tmp.env, &update.id, &tmp.diag),
                         STATUS_OK);
    tmpstore_begin(&tmp, &txn, STORE_TXN_READ);
    assert_int_equal(store_txn_count(&txn, STORE_TABLE_SEGMENT), 0);
    assert_int_equal(store_txn_count(&txn, STORE_TABLE_UPDATE_TARGET), 0);
    store_txn_abort(&txn);
    deinit(&tmp);
}

/* Operations of a fetch until the map is full, wherever that falls; what was
 * committed stays, nothing is half there, and a larger map helps. */
static void full_map_in_the_midst_of_each_step_is_consistent(void **state)
{
    (void)state;
    for (size_t size = 3000; size < 120000; size = size * 3 + 1000) {
        struct tmpstore tmp;
        struct store_txn txn;
        struct store_version version = tmpstore_version("m", 1, 4000);
        struct store_update update = tmpstore_update("m", UINT64_MAX, 1, 4000);
        struct store_update out;
        char text[64];
        uint32_t put = 0;
        enum status status = STATUS_OK;
        uint8_t *buf = malloc(size);
        assert_non_null(buf);
        tmpstore_init(&tmp, 0, 640 << 10);
        tmpstore_begin(&tmp, &txn, STORE_TXN_WRITE);
        assert_int_equal(store_version_add(&txn, &version), STATUS_OK);
        tmpstore_commit(&txn);
        add(&tmp, UINT64_MAX, 1, 4000);
        while (!status && put < 4000) {
            tmpstore_segment(&update.id, put, buf, size);
            status = store_version_commit_blocks(tmp.env, &version.id, put, 1,
                                                 &update.id, put,
                                                 bytes_of(buf, size), NULL);
            put += !status;
        }
        assert_int_equal(status, STATUS_NO_SPACE);
        assert_int_equal(tmpstore_fsck(&tmp, false), 0);
        tmpstore_begin(&tmp, &txn, STORE_TXN_WRITE);
        assert_int_equal(store_update_get(&txn, &update.id, &out), STATUS_OK);
        assert_int_equal(out.held_count, put);
        assert_int_equal(store_version_get(&txn, &version.id, &version),
                         STATUS_OK);
        assert_int_equal(version.have_count, put);
        /* Each other step, until one fails; then the transaction is lost. */
        status = STATUS_OK;
        for (uint64_t i = 10; !status; i++) {
            struct store_version other = tmpstore_version("n", i, 4000);
            status = store_version_add(&txn, &other);
            if (!status)
                status = store_version_put_manifest(&txn, &other.id,
                                                    tmpstore_manifest(i, text));
            if (!status)
                status = store_version_set_blocks(&txn, &other.id, 0, 4000);
        }
        assert_int_equal(status, STATUS_NO_SPACE);
        assert_int_equal(store_txn_commit(&txn), STATUS_NO_SPACE);
        assert_int_equal(tmpstore_fsck(&tmp, false), 0);
        tmpstore_reopen(&tmp, 0, 1 << 20);
        assert_int_equal(store_update_remove(tmp.env, &update.id, &tmp.diag),
                         STATUS_OK);
        free(buf);
        deinit(&tmp);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(update_comes_back_as_added),
        cmocka_unit_test(update_that_does_not_fit_is_refused),
        cmocka_unit_test(segment_put_counts_and_comes_back),
        cmocka_unit_test(segment_remove_gives_back_room),
        cmocka_unit_test(segments_over_the_quota_are_refused_one_by_one),
        cmocka_unit_test(update_indexes_lead_both_ways),
        cmocka_unit_test(update_remove_goes_in_steps_and_spares_what_realises),
        cmocka_unit_test(full_map_in_the_midst_of_each_step_is_consistent),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
