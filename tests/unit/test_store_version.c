/* Versions: rows, manifests, bitmaps, states and indexes. */
#include "store/version.h"

#include "tests/support/cmocka.h"
#include "tests/support/tmpstore.h"

#include <stdio.h>
#include <stdlib.h>

static int setup(void **state)
{
    struct tmpstore *tmp = calloc(1, sizeof(*tmp));
    assert_non_null(tmp);
    tmpstore_init(tmp, 64 << 10, 4 << 20);
    *state = tmp;
    return 0;
}

static int teardown(void **state)
{
    struct tmpstore *tmp = *state;
    if (tmpstore_fsck(tmp, false))
        fail_msg("%s", tmp->problems);
    tmpstore_deinit(tmp);
    free(tmp);
    return 0;
}

static void version_comes_back_as_added(void **state)
{
    struct tmpstore *tmp = *state;
    struct store_txn txn;
    struct store_version version = tmpstore_version("cam/detect", 7, 12);
    struct store_version out;
    version.pins = STORE_PIN_LOCAL;
    version.state = STORE_VERSION_WANTED;
    version.size -= 5;
    tmpstore_begin(tmp, &txn, STORE_TXN_WRITE);
    assert_int_equal(store_version_get(&txn, &version.id, &out),
                     STATUS_NOT_FOUND);
    assert_int_equal(store_version_add(&txn, &version), STATUS_OK);
    assert_int_equal(store_version_add(&txn, &version), STATUS_EXISTS);
    tmpstore_commit(&txn);
    tmpstore_reopen(tmp, 0, 4 << 20);
    tmpstore_begin(tmp, &txn, STORE_TXN_READ);
    assert_int_equal(store_version_get(&txn, &version.id, &out), STATUS_OK);
    assert_true(hash_equal(&out.tree, &version.tree));
    assert_string_equal(out.model, "cam/detect");
    assert_string_equal(out.role, "trainer");
    assert_int_equal(out.counter, 7);
    assert_int_equal(out.rank, 7);
    assert_int_equal(out.size, version.size);
    assert_int_equal(out.block_count, 12);
    assert_int_equal(out.block_log, 16);
    assert_int_equal(out.state, STORE_VERSION_WANTED);
    assert_int_equal(out.pins, STORE_PIN_LOCAL);
    assert_int_equal(out.known_uptime, 7);
    assert_false(out.has_update);
    assert_int_equal(out.manifest_size, 0);
    assert_int_equal(out.have_count, 0);
    store_txn_abort(&txn);
}

static void version_that_does_not_fit_is_refused(void **state)
{
    struct tmpstore *tmp = *state;
    struct store_txn txn;
    struct store_version good = tmpstore_version("m", 1, 4);
    struct store_version bad;
    tmpstore_begin(tmp, &txn, STORE_TXN_WRITE);
    bad = good;
    bad.model[0] = 0;
    assert_int_equal(store_version_add(&txn, &bad), STATUS_USAGE);
    bad = good;
    memset(bad.model, 'm', sizeof(bad.model));
    assert_int_equal(store_version_add(&txn, &bad), STATUS_USAGE);
    bad = good;
    memset(bad.role, 'm', sizeof(bad.role));
    assert_int_equal(store_version_add(&txn, &bad), STATUS_USAGE);
    bad = good;
    bad.state = STORE_VERSION_STATE_COUNT;
    assert_int_equal(store_version_add(&txn, &bad), STATUS_USAGE);
    bad = good;
    bad.size++;
    assert_int_equal(store_version_add(&txn, &bad), STATUS_USAGE);
    bad = good;
    bad.block_log = 63;
    assert_int_equal(store_version_add(&txn, &bad), STATUS_USAGE);
    bad = good;
    bad.block_count = STORE_BLOCK_COUNT_MAX + 1;
    assert_int_equal(store_version_add(&txn, &bad), STATUS_LIMIT);
    bad = good;
    bad.size = bad.block_count = bad.block_log = 0;
    assert_int_equal(store_version_add(&txn, &bad), STATUS_OK);
    tmpstore_commit(&txn);
}

static void version_manifest_must_be_its_own_and_fit(void **state)
{
    struct tmpstore *tmp = *state;
    struct store_txn txn;
    struct store_version version = tmpstore_version("m", 1, 4);
    struct store_version large = tmpstore_version("m", 2, 4);
    struct bytes manifest;
    uint64_t bytes;
    char text[64];
    uint8_t *big = calloc(1, STORE_MANIFEST_BYTES_MAX + 1);
    tmpstore_begin(tmp, &txn, STORE_TXN_WRITE);
    manifest = tmpstore_manifest(1, text);
    assert_int_equal(store_version_put_manifest(&txn, &version.id, manifest),
                     STATUS_NOT_FOUND);
    assert_int_equal(store_version_add(&txn, &version), STATUS_OK);
    assert_int_equal(store_version_get_manifest(&txn, &version.id, &manifest),
                     STATUS_NOT_FOUND);
    manifest = tmpstore_manifest(2, text);
    assert_int_equal(store_version_put_manifest(&txn, &version.id, manifest),
                     STATUS_MISMATCH);
    manifest = bytes_of(big, STORE_MANIFEST_BYTES_MAX + 1);
    assert_int_equal(store_version_put_manifest(&txn, &version.id, manifest),
                     STATUS_LIMIT);
    manifest = tmpstore_manifest(1, text);
    for (int i = 0; i < 2; i++)
        assert_int_equal(
            store_version_put_manifest(&txn, &version.id, manifest), STATUS_OK);
    assert_int_equal(store_version_get_manifest(&txn, &version.id, &manifest),
                     STATUS_OK);
    assert_true(bytes_equal(manifest, tmpstore_manifest(1, text)));
    assert_int_equal(store_usage_of_model(&txn, "m", &bytes), STATUS_OK);
    assert_int_equal(bytes, store_usage_cost(&txn, manifest.size));
    /* The quota is 64 KiB: refused, and the transaction goes on. */
    manifest = bytes_of(big, 64 << 10);
    hash_bytes(HASH_MANIFEST, manifest, &large.id);
    assert_int_equal(store_version_add(&txn, &large), STATUS_OK);
    diag_reset(&tmp->diag);
    assert_int_equal(store_version_put_manifest(&txn, &large.id, manifest),
                     STATUS_NO_SPACE);
    assert_non_null(strstr(tmp->diag.text, "quota"));
    tmpstore_commit(&txn);
    free(big);
}

static void version_blocks_are_set_and_cleared_in_runs(void **state)
{
    struct tmpstore *tmp = *state;
    struct store_txn txn;
    struct store_version version = tmpstore_version("m", 1, 19);
    uint8_t bits[4];
    uint32_t have;
    tmpstore_begin(tmp, &txn, STORE_TXN_WRITE);
    assert_int_equal(store_version_set_blocks(&txn, &version.id, 0, 1),
                     STATUS_NOT_FOUND);
    assert_int_equal(store_version_add(&txn, &version), STATUS_OK);
    assert_int_equal(store_version_set_blocks(&txn, &version.id, 3, 10),
                     STATUS_OK);
    assert_int_equal(store_version_set_blocks(&txn, &version.id, 12, 7),
                     STATUS_OK);
    assert_int_equal(store_version_set_blocks(&txn, &version.id, 12, 8),
                     STATUS_LIMIT);
    assert_int_equal(store_version_set_blocks(&txn, &version.id, 20, 0),
                     STATUS_LIMIT);
    assert_int_equal(store_version_set_blocks(&txn, &version.id, UINT32_MAX, 2),
                     STATUS_LIMIT);
    assert_int_equal(store_version_clear_blocks(&txn, &version.id, 8, 2),
                     STATUS_OK);
    memset(bits, 0xff, sizeof(bits));
    assert_int_equal(
        store_version_get_blocks(&txn, &version.id, bits, sizeof(bits), &have),
        STATUS_OK);
    assert_memory_equal(bits, "\xf8\xfc\x07\x00", 4);
    assert_int_equal(have, 14);
    assert_int_equal(
        store_version_get_blocks(&txn, &version.id, bits, 2, &have),
        STATUS_USAGE);
    tmpstore_commit(&txn);
    tmpstore_begin(tmp, &txn, STORE_TXN_WRITE);
    assert_int_equal(store_version_get(&txn, &version.id, &version), STATUS_OK);
    assert_int_equal(version.have_count, 14);
    assert_int_equal(store_version_clear_blocks(&txn, &version.id, 0, 19),
                     STATUS_OK);
    assert_int_equal(store_txn_count(&txn, STORE_TABLE_BITMAP), 0);
    tmpstore_commit(&txn);
}

static void version_states_pins_and_times_change_alone(void **state)
{
    struct tmpstore *tmp = *state;
    struct store_txn txn;
    struct store_version version = tmpstore_version("m", 1, 3);
    struct store_version out;
    struct hash none = tmpstore_hash(99);
    tmpstore_begin(tmp, &txn, STORE_TXN_WRITE);
    assert_int_equal(store_version_set_state(&txn, &none, STORE_VERSION_BAD, 1),
                     STATUS_NOT_FOUND);
    assert_int_equal(store_version_set_pins(&txn, &none, 1), STATUS_NOT_FOUND);
    assert_int_equal(store_version_touch(&txn, &none, 1), STATUS_NOT_FOUND);
    assert_int_equal(store_version_set_update(&txn, &none, NULL),
                     STATUS_NOT_FOUND);
    assert_int_equal(store_version_add(&txn, &version), STATUS_OK);
    assert_int_equal(store_version_set_state(&txn, &version.id,
                                             STORE_VERSION_STATE_COUNT, 1),
                     STATUS_USAGE);
    assert_int_equal(
        store_version_set_state(&txn, &version.id, STORE_VERSION_BAD, 44),
        STATUS_OK);
    assert_int_equal(store_version_set_pins(&txn, &version.id, 5), STATUS_OK);
    assert_int_equal(store_version_touch(&txn, &version.id, 50), STATUS_OK);
    assert_int_equal(store_version_touch(&txn, &version.id, 49), STATUS_OK);
    assert_int_equal(store_version_get(&txn, &version.id, &out), STATUS_OK);
    assert_int_equal(out.state, STORE_VERSION_BAD);
    assert_int_equal(out.state_uptime, 44);
    assert_int_equal(out.pins, 5);
    assert_int_equal(out.used_uptime, 50);
    assert_string_equal(store_version_state_text(out.state), "bad");
    assert_string_equal(store_version_state_text(STORE_VERSION_TRIAL), "trial");
    assert_string_equal(store_version_state_text(STORE_VERSION_STATE_COUNT),
                        "unknown");
    tmpstore_commit(&txn);
}

static void version_update_must_lead_to_its_tree(void **state)
{
    struct tmpstore *tmp = *state;
    struct store_txn txn;
    struct store_version version = tmpstore_version("m", 1, 3);
    struct store_update right = tmpstore_update("m", UINT64_MAX, 1, 1);
    struct store_update wrong = tmpstore_update("m", UINT64_MAX, 2, 1);
    char text[64];
    tmpstore_begin(tmp, &txn, STORE_TXN_WRITE);
    assert_int_equal(store_version_add(&txn, &version), STATUS_OK);
    assert_int_equal(store_version_set_update(&txn, &version.id, &right.id),
                     STATUS_NOT_FOUND);
    assert_int_equal(
        store_update_add(&txn, &right, tmpstore_header(UINT64_MAX, 1, text)),
        STATUS_OK);
    assert_int_equal(
        store_update_add(&txn, &wrong, tmpstore_header(UINT64_MAX, 2, text)),
        STATUS_OK);
    assert_int_equal(store_version_set_update(&txn, &version.id, &wrong.id),
                     STATUS_MISMATCH);
    assert_int_equal(store_version_set_update(&txn, &version.id, &right.id),
                     STATUS_OK);
    assert_int_equal(store_version_get(&txn, &version.id, &version), STATUS_OK);
    assert_true(version.has_update);
    assert_true(hash_equal(&version.update, &right.id));
    assert_int_equal(store_version_set_update(&txn, &version.id, NULL),
                     STATUS_OK);
    assert_int_equal(store_version_get(&txn, &version.id, &version), STATUS_OK);
    assert_false(version.has_update);
    tmpstore_commit(&txn);
}

struct seen {
    uint64_t ranks[16];
    unsigned count;
};

static bool note_version(void *ctx, const struct store_version *version)
{
    struct seen *seen = ctx;
    seen->ranks[seen->count++] = version->rank;
    return seen->count < 4;
}

static void version_indexes_follow_model_rank_and_tree(void **state)
{
    struct tmpstore *tmp = *state;
    struct store_txn txn;
    struct seen seen = {.count = 0};
    tmpstore_begin(tmp, &txn, STORE_TXN_WRITE);
    for (uint64_t i = 6; i-- > 0;) {
        struct store_version version =
            tmpstore_version(i % 2 ? "ab" : "a", i, 1);
        if (i == 5)
            version.tree = tmpstore_tree(2);
        assert_int_equal(store_version_add(&txn, &version), STATUS_OK);
    }
    assert_int_equal(
        store_version_each_of_model(&txn, "a", note_version, &seen), STATUS_OK);
    assert_int_equal(seen.count, 3);
    assert_int_equal(seen.ranks[0], 0);
    assert_int_equal(seen.ranks[1], 2);
    assert_int_equal(seen.ranks[2], 4);
    seen.count = 0;
    struct hash tree = tmpstore_tree(2);
    assert_int_equal(
        store_version_each_of_tree(&txn, &tree, note_version, &seen),
        STATUS_OK);
    assert_int_equal(seen.count, 2);
    assert_int_equal(seen.ranks[0] + seen.ranks[1], 7);
    seen.count = 0;
    assert_int_equal(store_version_each(&txn, note_version, &seen), STATUS_OK);
    assert_int_equal(seen.count, 4);
    struct store_version gone = tmpstore_version("a", 2, 1);
    for (int i = 0; i < 2; i++)
        assert_int_equal(store_version_remove(&txn, &gone.id), STATUS_OK);
    seen.count = 0;
    assert_int_equal(
        store_version_each_of_model(&txn, "a", note_version, &seen), STATUS_OK);
    assert_int_equal(seen.count, 2);
    assert_int_equal(store_version_each_of_model(&txn, "", note_version, NULL),
                     STATUS_OK);
    tmpstore_commit(&txn);
}

static void version_is_found_by_a_unique_prefix(void **state)
{
    struct tmpstore *tmp = *state;
    struct store_txn txn;
    struct store_version a = tmpstore_version("m", 1, 1);
    struct store_version b = tmpstore_version("m", 2, 1);
    struct store_version out;
    char hex[HASH_HEX_SIZE];
    memset(&a.id, 0xab, sizeof(a.id));
    b.id = a.id;
    b.id.b[3] = 0xac;
    tmpstore_begin(tmp, &txn, STORE_TXN_WRITE);
    assert_int_equal(store_version_find(&txn, "ab", &out), STATUS_NOT_FOUND);
    assert_int_equal(store_version_add(&txn, &a), STATUS_OK);
    assert_int_equal(store_version_add(&txn, &b), STATUS_OK);
    assert_int_equal(store_version_find(&txn, "a", &out), STATUS_AMBIGUOUS);
    assert_int_equal(store_version_find(&txn, "ababab", &out),
                     STATUS_AMBIGUOUS);
    assert_int_equal(store_version_find(&txn, "abababa", &out),
                     STATUS_AMBIGUOUS);
    assert_int_equal(store_version_find(&txn, "abababac", &out), STATUS_OK);
    assert_int_equal(out.rank, 2);
    assert_int_equal(store_version_find(&txn, "abababab", &out), STATUS_OK);
    assert_int_equal(out.rank, 1);
    assert_int_equal(store_version_find(&txn, "b", &out), STATUS_NOT_FOUND);
    assert_int_equal(store_version_find(&txn, "", &out), STATUS_USAGE);
    assert_int_equal(store_version_find(&txn, "AB", &out), STATUS_USAGE);
    hash_hex(&b.id, hex);
    assert_int_equal(store_version_find(&txn, hex, &out), STATUS_OK);
    store_txn_abort(&txn);
}

static void version_strip_keeps_the_row(void **state)
{
    struct tmpstore *tmp = *state;
    struct store_txn txn;
    struct store_version version;
    uint64_t bytes;
    static const enum store_version_state states[] = {STORE_VERSION_RUNNING,
                                                      STORE_VERSION_BAD};
    for (uint64_t i = 0; i < 2; i++) {
        tmpstore_fill(tmp, "m", UINT64_MAX, i, 2, 100, states[i]);
        version = tmpstore_version("m", i, 2);
        tmpstore_begin(tmp, &txn, STORE_TXN_WRITE);
        assert_int_equal(store_version_strip(&txn, &version.id), STATUS_OK);
        assert_int_equal(store_version_get(&txn, &version.id, &version),
                         STATUS_OK);
        assert_int_equal(version.state,
                         i ? STORE_VERSION_BAD : STORE_VERSION_KNOWN);
        assert_int_equal(version.have_count + version.manifest_size, 0);
        assert_false(version.has_update);
        tmpstore_commit(&txn);
        struct store_update update = tmpstore_update("m", UINT64_MAX, i, 2);
        assert_int_equal(store_update_remove(tmp->env, &update.id, NULL),
                         STATUS_OK);
    }
    tmpstore_begin(tmp, &txn, STORE_TXN_WRITE);
    assert_int_equal(store_usage_total(&txn, &bytes), STATUS_OK);
    assert_int_equal(bytes, 0);
    version.id = tmpstore_hash(9);
    assert_int_equal(store_version_strip(&txn, &version.id), STATUS_NOT_FOUND);
    store_txn_abort(&txn);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(version_comes_back_as_added),
        TEST(version_that_does_not_fit_is_refused),
        TEST(version_manifest_must_be_its_own_and_fit),
        TEST(version_blocks_are_set_and_cleared_in_runs),
        TEST(version_states_pins_and_times_change_alone),
        TEST(version_update_must_lead_to_its_tree),
        TEST(version_indexes_follow_model_rank_and_tree),
        TEST(version_is_found_by_a_unique_prefix),
        TEST(version_strip_keeps_the_row),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
