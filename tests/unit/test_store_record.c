/* Slots, proofs of equivocation, peers and activations. */
#include "store/record.h"

#include "tests/support/cmocka.h"
#include "tests/support/tmpstore.h"

#include <stdio.h>
#include <stdlib.h>

static int setup(void **state)
{
    struct tmpstore *tmp = calloc(1, sizeof(*tmp));
    assert_non_null(tmp);
    tmpstore_init(tmp, 0, 4 << 20);
    *state = tmp;
    return 0;
}

static int teardown(void **state)
{
    struct tmpstore *tmp = *state;
    assert_int_equal(tmpstore_fsck(tmp, false), 0);
    tmpstore_deinit(tmp);
    free(tmp);
    return 0;
}

/* A record of slot 1 whose envelope is text and whose hash starts with top. */
static struct store_record record_of(uint64_t epoch, uint64_t seq, uint8_t top,
                                     const char *text)
{
    struct store_record rec = {.slot = {1},
                               .epoch = epoch,
                               .seq = seq,
                               .kind = 3,
                               .author = bytes_of_text("trainer"),
                               .envelope = bytes_of_text(text)};
    rec.hash.b[0] = top;
    return rec;
}

static enum status put(struct tmpstore *tmp, struct store_record rec)
{
    struct store_txn txn;
    tmpstore_begin(tmp, &txn, STORE_TXN_WRITE);
    enum status status = store_record_put(&txn, &rec);
    tmpstore_commit(&txn);
    return status;
}

static enum status put_proof(struct tmpstore *tmp, struct store_record rec)
{
    struct store_txn txn;
    tmpstore_begin(tmp, &txn, STORE_TXN_WRITE);
    enum status status = store_record_put_proof(&txn, &rec);
    tmpstore_commit(&txn);
    return status;
}

static void expect_held(struct tmpstore *tmp, uint64_t epoch, uint64_t seq,
                        const char *text, bool has_proof)
{
    struct store_txn txn;
    struct store_record rec;
    const uint8_t slot[STORE_SLOT_BYTES] = {1};
    tmpstore_begin(tmp, &txn, STORE_TXN_READ);
    assert_int_equal(store_record_get(&txn, slot, &rec), STATUS_OK);
    assert_int_equal(rec.epoch, epoch);
    assert_int_equal(rec.seq, seq);
    assert_int_equal(rec.kind, 3);
    assert_true(bytes_equal(rec.author, bytes_of_text("trainer")));
    assert_true(bytes_equal(rec.envelope, bytes_of_text(text)));
    assert_int_equal(rec.has_proof, has_proof);
    store_txn_abort(&txn);
}

static void record_put_never_goes_back(void **state)
{
    struct tmpstore *tmp = *state;
    struct store_txn txn;
    struct store_record rec;
    const uint8_t slot[STORE_SLOT_BYTES] = {1};
    tmpstore_begin(tmp, &txn, STORE_TXN_READ);
    assert_int_equal(store_record_get(&txn, slot, &rec), STATUS_NOT_FOUND);
    store_txn_abort(&txn);
    assert_int_equal(put(tmp, record_of(1, 5, 9, "a")), STATUS_OK);
    assert_int_equal(put(tmp, record_of(1, 5, 9, "a")), STATUS_EXISTS);
    assert_int_equal(put(tmp, record_of(1, 4, 9, "b")), STATUS_STALE);
    assert_int_equal(put(tmp, record_of(0, 9, 9, "c")), STATUS_STALE);
    assert_int_equal(put(tmp, record_of(1, 5, 8, "d")), STATUS_MISMATCH);
    expect_held(tmp, 1, 5, "a", false);
    assert_int_equal(put(tmp, record_of(1, 6, 7, "e")), STATUS_OK);
    assert_int_equal(put(tmp, record_of(2, 1, 6, "f")), STATUS_OK);
    assert_int_equal(put(tmp, record_of(1, UINT64_MAX, 5, "g")), STATUS_STALE);
    expect_held(tmp, 2, 1, "f", false);
}

static void record_too_large_is_limit(void **state)
{
    struct tmpstore *tmp = *state;
    uint8_t *big = calloc(1, STORE_RECORD_BYTES_MAX + 1);
    struct store_record rec = record_of(1, 1, 1, "");
    rec.envelope = bytes_of(big, STORE_RECORD_BYTES_MAX + 1);
    assert_int_equal(put(tmp, rec), STATUS_LIMIT);
    assert_int_equal(put_proof(tmp, rec), STATUS_LIMIT);
    rec.envelope.size--;
    rec.author = bytes_of(big, STORE_RECORD_AUTHOR_MAX + 1);
    assert_int_equal(put(tmp, rec), STATUS_LIMIT);
    rec.author.size--;
    assert_int_equal(put(tmp, rec), STATUS_OK);
    free(big);
}

static void record_flags_change_alone(void **state)
{
    struct tmpstore *tmp = *state;
    struct store_txn txn;
    struct store_record rec = record_of(1, 1, 1, "a");
    assert_int_equal(put(tmp, rec), STATUS_OK);
    tmpstore_begin(tmp, &txn, STORE_TXN_WRITE);
    assert_int_equal(store_record_set_flags(&txn, rec.slot, 6), STATUS_OK);
    assert_int_equal(store_record_get(&txn, rec.slot, &rec), STATUS_OK);
    assert_int_equal(rec.flags, 6);
    rec.slot[0] = 2;
    assert_int_equal(store_record_set_flags(&txn, rec.slot, 6),
                     STATUS_NOT_FOUND);
    tmpstore_commit(&txn);
    expect_held(tmp, 1, 1, "a", false);
}

static void expect_proof(struct tmpstore *tmp, uint8_t least, uint8_t greatest,
                         const char *least_text, const char *greatest_text)
{
    struct store_txn txn;
    struct store_proof proof;
    const uint8_t slot[STORE_SLOT_BYTES] = {1};
    tmpstore_begin(tmp, &txn, STORE_TXN_READ);
    assert_int_equal(store_record_get_proof(&txn, slot, &proof), STATUS_OK);
    assert_int_equal(proof.least_hash.b[0], least);
    assert_int_equal(proof.greatest_hash.b[0], greatest);
    assert_true(bytes_equal(proof.least, bytes_of_text(least_text)));
    assert_true(bytes_equal(proof.greatest, bytes_of_text(greatest_text)));
    store_txn_abort(&txn);
}

static void proof_keeps_least_and_greatest(void **state)
{
    struct tmpstore *tmp = *state;
    assert_int_equal(put_proof(tmp, record_of(1, 1, 5, "m")), STATUS_NOT_FOUND);
    assert_int_equal(put(tmp, record_of(1, 1, 5, "m")), STATUS_OK);
    assert_int_equal(put_proof(tmp, record_of(1, 1, 5, "m")), STATUS_USAGE);
    assert_int_equal(put_proof(tmp, record_of(1, 2, 6, "x")), STATUS_NOT_FOUND);
    assert_int_equal(put_proof(tmp, record_of(1, 1, 7, "hi")), STATUS_OK);
    expect_held(tmp, 1, 1, "m", true);
    expect_proof(tmp, 5, 7, "m", "hi");
    assert_int_equal(put_proof(tmp, record_of(1, 1, 6, "mid")), STATUS_EXISTS);
    assert_int_equal(put_proof(tmp, record_of(1, 1, 7, "hi")), STATUS_EXISTS);
    assert_int_equal(put_proof(tmp, record_of(1, 1, 2, "lo")), STATUS_OK);
    expect_held(tmp, 1, 1, "lo", true);
    expect_proof(tmp, 2, 7, "lo", "hi");
    assert_int_equal(put_proof(tmp, record_of(1, 1, 5, "m")), STATUS_EXISTS);
}

static void proof_stays_until_cleared_or_the_epoch_rises(void **state)
{
    struct tmpstore *tmp = *state;
    struct store_txn txn;
    struct store_proof proof;
    const uint8_t slot[STORE_SLOT_BYTES] = {1};
    assert_int_equal(put(tmp, record_of(1, 1, 5, "a")), STATUS_OK);
    assert_int_equal(put_proof(tmp, record_of(1, 1, 7, "b")), STATUS_OK);
    assert_int_equal(put(tmp, record_of(1, 2, 1, "c")), STATUS_OK);
    expect_held(tmp, 1, 2, "c", true);
    tmpstore_begin(tmp, &txn, STORE_TXN_WRITE);
    assert_int_equal(store_record_clear_proof(&txn, slot), STATUS_OK);
    assert_int_equal(store_record_clear_proof(&txn, slot), STATUS_OK);
    assert_int_equal(store_record_get_proof(&txn, slot, &proof),
                     STATUS_NOT_FOUND);
    tmpstore_commit(&txn);
    assert_int_equal(put_proof(tmp, record_of(1, 2, 7, "d")), STATUS_OK);
    assert_int_equal(put(tmp, record_of(2, 0, 7, "e")), STATUS_OK);
    expect_held(tmp, 2, 0, "e", false);
}

static bool count_record(void *ctx, const struct store_record *rec)
{
    unsigned *count = ctx;
    assert_int_equal(rec->slot[0], 2 * *count);
    assert_int_equal(rec->has_proof, *count == 1);
    return ++*count < 3;
}

static void record_each_walks_slots_in_order(void **state)
{
    struct tmpstore *tmp = *state;
    struct store_txn txn;
    unsigned count = 0;
    for (int i = 4; i >= 0; i--) {
        struct store_record rec = record_of(1, 1, 1, "a");
        rec.slot[0] = (uint8_t)(2 * i);
        assert_int_equal(put(tmp, rec), STATUS_OK);
    }
    struct store_record twin = record_of(1, 1, 9, "b");
    twin.slot[0] = 2;
    assert_int_equal(put_proof(tmp, twin), STATUS_OK);
    tmpstore_begin(tmp, &txn, STORE_TXN_WRITE);
    assert_int_equal(store_record_each(&txn, count_record, &count), STATUS_OK);
    assert_int_equal(count, 3);
    assert_int_equal(store_record_remove(&txn, twin.slot), STATUS_OK);
    assert_int_equal(store_record_remove(&txn, twin.slot), STATUS_OK);
    assert_int_equal(store_record_get(&txn, twin.slot, &twin),
                     STATUS_NOT_FOUND);
    tmpstore_commit(&txn);
}

/* ---- peers ---- */

static bool count_peer(void *ctx, const struct store_peer *peer)
{
    unsigned *count = ctx;
    (void)peer;
    return ++*count < 100;
}

static void peer_rows_come_back_and_are_trimmed_by_age(void **state)
{
    struct tmpstore *tmp = *state;
    struct store_txn txn;
    struct store_peer out;
    unsigned count = 0;
    tmpstore_begin(tmp, &txn, STORE_TXN_WRITE);
    for (uint8_t i = 0; i < 10; i++) {
        struct store_peer peer = {.id = {i},
                                  .seen_uptime = 100u - i,
                                  .sent_bytes = 1,
                                  .strikes = i,
                                  .address_count = 2,
                                  .addresses = {"192.0.2.1:1", "[::1]:2"}};
        assert_int_equal(store_peer_put(&txn, &peer), STATUS_OK);
    }
    assert_int_equal(store_peer_get(&txn, (uint8_t[32]){7}, &out), STATUS_OK);
    assert_int_equal(out.seen_uptime, 93);
    assert_int_equal(out.strikes, 7);
    assert_string_equal(out.addresses[1], "[::1]:2");
    assert_int_equal(store_peer_trim(&txn, 3), STATUS_OK);
    assert_int_equal(store_peer_each(&txn, count_peer, &count), STATUS_OK);
    assert_int_equal(count, 3);
    assert_int_equal(store_peer_get(&txn, (uint8_t[32]){7}, &out),
                     STATUS_NOT_FOUND);
    assert_int_equal(store_peer_get(&txn, (uint8_t[32]){2}, &out), STATUS_OK);
    out.address_count = STORE_PEER_ADDRESS_COUNT + 1;
    assert_int_equal(store_peer_put(&txn, &out), STATUS_USAGE);
    out.address_count = 1;
    memset(out.addresses[0], 'a', sizeof(out.addresses[0]));
    assert_int_equal(store_peer_put(&txn, &out), STATUS_USAGE);
    assert_int_equal(store_peer_remove(&txn, out.id), STATUS_OK);
    assert_int_equal(store_peer_remove(&txn, out.id), STATUS_OK);
    tmpstore_commit(&txn);
}

/* ---- activations ---- */

static bool count_activation(void *ctx, const struct store_activation *a)
{
    unsigned *count = ctx;
    assert_string_equal(a->model, "cam/one");
    ++*count;
    return true;
}

static void activation_numbers_and_stages_only_rise(void **state)
{
    struct tmpstore *tmp = *state;
    struct store_txn txn;
    struct store_version version = tmpstore_version("cam/one", 1, 1);
    struct store_activation act = {
        .model = "cam/one", .version = version.id, .tmp = ".tmp-1"};
    struct store_activation out;
    uint64_t n;
    unsigned count = 0;
    tmpstore_begin(tmp, &txn, STORE_TXN_WRITE);
    assert_int_equal(store_version_add(&txn, &version), STATUS_OK);
    assert_int_equal(store_activation_begin(&txn, &act), STATUS_OK);
    assert_int_equal(act.n, 1);
    assert_int_equal(store_activation_begin(&txn, &act), STATUS_EXISTS);
    assert_int_equal(store_activation_each(&txn, count_activation, &count),
                     STATUS_OK);
    assert_int_equal(count, 1);
    assert_int_equal(
        store_activation_advance(&txn, "cam/one", STORE_ACTIVATION_RENAMED),
        STATUS_OK);
    assert_int_equal(
        store_activation_advance(&txn, "cam/one", STORE_ACTIVATION_FILES),
        STATUS_STALE);
    assert_int_equal(
        store_activation_advance(&txn, "none", STORE_ACTIVATION_FILES),
        STATUS_NOT_FOUND);
    tmpstore_commit(&txn);
    assert_int_equal(tmpstore_fsck(tmp, false), 0);
    tmpstore_reopen(tmp, 0, 4 << 20);
    tmpstore_begin(tmp, &txn, STORE_TXN_WRITE);
    assert_int_equal(store_activation_get(&txn, "cam/one", &out), STATUS_OK);
    assert_int_equal(out.stage, STORE_ACTIVATION_RENAMED);
    assert_string_equal(out.tmp, ".tmp-1");
    assert_true(hash_equal(&out.version, &version.id));
    assert_int_equal(store_activation_clear(&txn, "cam/one"), STATUS_OK);
    assert_int_equal(store_activation_clear(&txn, "cam/one"), STATUS_OK);
    assert_int_equal(store_activation_get(&txn, "cam/one", &out),
                     STATUS_NOT_FOUND);
    assert_int_equal(store_activation_begin(&txn, &act), STATUS_OK);
    assert_int_equal(act.n, 2);
    assert_int_equal(store_activation_clear(&txn, "cam/one"), STATUS_OK);
    assert_int_equal(store_activation_raise_n(&txn, "cam/one", 40), STATUS_OK);
    assert_int_equal(store_activation_raise_n(&txn, "cam/one", 3), STATUS_OK);
    assert_int_equal(store_activation_last_n(&txn, "cam/one", &n), STATUS_OK);
    assert_int_equal(n, 40);
    act.model[0] = 0;
    assert_int_equal(store_activation_begin(&txn, &act), STATUS_USAGE);
    tmpstore_commit(&txn);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(record_put_never_goes_back),
        TEST(record_too_large_is_limit),
        TEST(record_flags_change_alone),
        TEST(proof_keeps_least_and_greatest),
        TEST(proof_stays_until_cleared_or_the_epoch_rises),
        TEST(record_each_walks_slots_in_order),
        TEST(peer_rows_come_back_and_are_trimmed_by_age),
        TEST(activation_numbers_and_stages_only_rise),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
