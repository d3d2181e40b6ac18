/* Each kind of damage is found, indexes are rebuilt, nothing else is touched.
 */
#include "store/fsck.h"

#include "codec/base/writer.h"
#include "codec/update/update_enc.h"
#include "store/cursor.h"
#include "store/key.h"
#include "tests/support/aux_update.h"
#include "tests/support/cmocka.h"
#include "tests/support/tmpstore.h"

#include <stdio.h>
#include <stdlib.h>

static int setup(void **state)
{
    struct tmpstore *tmp = calloc(1, sizeof(*tmp));
    struct store_txn txn;
    struct store_record rec = {.slot = {1},
                               .epoch = 1,
                               .seq = 1,
                               .hash = {{5}},
                               .author = bytes_of_text("a"),
                               .envelope = bytes_of_text("b")};
    struct store_peer peer = {.id = {3}};
    struct store_activation act = {
        .model = "m", .version = tmpstore_version("m", 1, 9).id, .tmp = "t"};
    assert_non_null(tmp);
    tmpstore_init(tmp, 0, 4 << 20);
    tmpstore_fill(tmp, "m", UINT64_MAX, 1, 9, 3000, STORE_VERSION_RUNNING);
    tmpstore_fill(tmp, "m", 1, 2, 9, 3000, STORE_VERSION_STAGED);
    tmpstore_fill(tmp, "n", UINT64_MAX, 3, 9, 3000, STORE_VERSION_RUNNING);
    tmpstore_begin(tmp, &txn, STORE_TXN_WRITE);
    assert_int_equal(store_record_put(&txn, &rec), STATUS_OK);
    rec.hash.b[0] = 6;
    assert_int_equal(store_record_put_proof(&txn, &rec), STATUS_OK);
    assert_int_equal(store_meta_raise_own_seq(&txn, rec.slot, 1, 1), STATUS_OK);
    assert_int_equal(store_peer_put(&txn, &peer), STATUS_OK);
    assert_int_equal(store_activation_begin(&txn, &act), STATUS_OK);
    tmpstore_commit(&txn);
    assert_int_equal(tmpstore_fsck(tmp, false), 0);
    *state = tmp;
    return 0;
}

static int teardown(void **state)
{
    tmpstore_deinit(*state);
    free(*state);
    return 0;
}

/* The key and value of the first entry of a table. */
struct entry {
    uint8_t key[300];
    size_t key_size;
    uint8_t value[8000];
    size_t value_size;
};

static void first_entry(struct store_txn *txn, enum store_table table,
                        struct entry *out)
{
    struct store_cursor cur;
    store_cursor_open(&cur, txn, table, bytes_of(NULL, 0));
    assert_true(store_cursor_next(&cur));
    assert_true(cur.key.size <= sizeof(out->key));
    assert_true(cur.value.size <= sizeof(out->value));
    memcpy(out->key, cur.key.data, cur.key.size);
    if (cur.value.size)
        memcpy(out->value, cur.value.data, cur.value.size);
    out->key_size = cur.key.size;
    out->value_size = cur.value.size;
    store_cursor_close(&cur);
}

enum damage {
    DELETE,
    CUT,
    FLIP_LAST,
    STRAY_KEY
};

static void damage_first(struct tmpstore *tmp, enum store_table table,
                         enum damage damage)
{
    struct store_txn txn;
    struct entry entry;
    tmpstore_begin(tmp, &txn, STORE_TXN_WRITE);
    first_entry(&txn, table, &entry);
    struct bytes key = bytes_of(entry.key, entry.key_size);
    struct bytes value = bytes_of(entry.value, entry.value_size);
    if (damage == DELETE)
        store_txn_del(&txn, table, key);
    if (damage == CUT)
        value.size--;
    if (damage == FLIP_LAST)
        entry.value[entry.value_size - 1] ^= 0x40;
    if (damage == STRAY_KEY)
        entry.key[0] ^= 0x55;
    if (damage != DELETE)
        store_txn_put(&txn, table, key, value);
    tmpstore_commit(&txn);
}

static void expect_found(struct tmpstore *tmp, const char *words)
{
    assert_true(tmpstore_fsck(tmp, false) > 0);
    if (!strstr(tmp->problems, words))
        fail_msg("\"%s\" is not in:\n%s", words, tmp->problems);
}

static void fsck_finds_damaged_rows(void **state)
{
    static const struct {
        enum store_table table;
        enum damage damage;
        const char *words;
    } cases[] = {
        {STORE_TABLE_META, CUT, "malformed"},
        {STORE_TABLE_OWN, CUT, "own"},
        {STORE_TABLE_RECORD, CUT, "record"},
        {STORE_TABLE_RECORD, DELETE, "its slot holds no record"},
        {STORE_TABLE_PROOF, CUT, "proof"},
        {STORE_TABLE_PEER, CUT, "peer"},
        {STORE_TABLE_ACTIVATION, CUT, "activation"},
        {STORE_TABLE_VERSION, CUT, "version"},
        {STORE_TABLE_VERSION, DELETE, "belongs to nothing"},
        {STORE_TABLE_UPDATE, CUT, "update"},
        {STORE_TABLE_UPDATE, DELETE, "its update"},
        {STORE_TABLE_MANIFEST, FLIP_LAST, "manifest is damaged"},
        {STORE_TABLE_MANIFEST, CUT, "manifest has another size"},
        {STORE_TABLE_MANIFEST, DELETE, "manifest is missing"},
        {STORE_TABLE_HEADER, FLIP_LAST, "header is damaged"},
        {STORE_TABLE_HEADER, DELETE, "header is missing"},
        {STORE_TABLE_BITMAP, FLIP_LAST, "bitmap is malformed"},
        {STORE_TABLE_HELD, DELETE, "not noted as held"},
        {STORE_TABLE_SEGMENT, DELETE, "do not add up"},
        {STORE_TABLE_SEGMENT, CUT, "do not add up"},
        {STORE_TABLE_SEGMENT, STRAY_KEY, "belongs to nothing"},
        {STORE_TABLE_MANIFEST, STRAY_KEY, "belongs to nothing"},
        {STORE_TABLE_VERSION_MODEL, DELETE, "not in the index of models"},
        {STORE_TABLE_VERSION_TREE, DELETE, "not in the index of trees"},
        {STORE_TABLE_UPDATE_TARGET, DELETE, "not in the index of targets"},
        {STORE_TABLE_UPDATE_BASE, DELETE, "not in the index of bases"},
        {STORE_TABLE_UPDATE_BASE, STRAY_KEY, "other counts"},
        {STORE_TABLE_VERSION_TREE, STRAY_KEY, "other counts"},
        {STORE_TABLE_USAGE, FLIP_LAST, "usage"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        if (i) {
            teardown(state);
            setup(state);
        }
        damage_first(*state, cases[i].table, cases[i].damage);
        expect_found(*state, cases[i].words);
    }
}

static void fsck_deep_finds_a_damaged_segment(void **state)
{
    struct tmpstore *tmp = *state;
    struct store_txn txn;
    struct entry entry;
    struct store_fsck_options shallow = {.deep = false};
    struct store_fsck_result result;
    tmpstore_begin(tmp, &txn, STORE_TXN_WRITE);
    first_entry(&txn, STORE_TABLE_SEGMENT, &entry);
    entry.value[40] ^= 1;
    store_txn_put(&txn, STORE_TABLE_SEGMENT,
                  bytes_of(entry.key, entry.key_size),
                  bytes_of(entry.value, entry.value_size));
    tmpstore_commit(&txn);
    assert_int_equal(store_fsck_run(tmp->env, &shallow, &result, NULL),
                     STATUS_OK);
    assert_int_equal(result.problem_count, 0);
    assert_int_equal(result.version_count, 3);
    assert_int_equal(result.update_count, 3);
    assert_int_equal(result.segment_count, 27);
    assert_int_equal(result.record_count, 1);
    expect_found(tmp, "segment 0 is damaged");
}

static void fsck_repairs_indexes_and_counters(void **state)
{
    struct tmpstore *tmp = *state;
    static const enum store_table tables[] = {
        STORE_TABLE_VERSION_MODEL, STORE_TABLE_VERSION_TREE,
        STORE_TABLE_UPDATE_TARGET, STORE_TABLE_UPDATE_BASE, STORE_TABLE_USAGE};
    struct store_txn txn;
    struct entry entry;
    uint64_t before;
    uint64_t after;
    tmpstore_begin(tmp, &txn, STORE_TXN_WRITE);
    assert_int_equal(store_usage_total(&txn, &before), STATUS_OK);
    first_entry(&txn, STORE_TABLE_BITMAP, &entry);
    entry.value[4] = 1; /* the count of set bits */
    store_txn_put(&txn, STORE_TABLE_BITMAP, bytes_of(entry.key, entry.key_size),
                  bytes_of(entry.value, entry.value_size));
    tmpstore_commit(&txn);
    for (size_t i = 0; i < sizeof(tables) / sizeof(tables[0]); i++)
        damage_first(tmp, tables[i], DELETE);
    damage_first(tmp, STORE_TABLE_VERSION_MODEL, STRAY_KEY);
    damage_first(tmp, STORE_TABLE_SEGMENT, CUT);
    assert_true(tmpstore_fsck(tmp, true) >= 6);
    assert_int_equal(tmpstore_fsck(tmp, false), 0);
    tmpstore_begin(tmp, &txn, STORE_TXN_READ);
    assert_int_equal(store_usage_total(&txn, &after), STATUS_OK);
    assert_int_equal(before, after);
    store_txn_abort(&txn);
}

static void fsck_repairs_nothing_beside_real_damage(void **state)
{
    struct tmpstore *tmp = *state;
    damage_first(tmp, STORE_TABLE_USAGE, DELETE);
    damage_first(tmp, STORE_TABLE_MANIFEST, FLIP_LAST);
    uint64_t found = tmpstore_fsck(tmp, true);
    assert_true(found >= 1);
    assert_int_equal(tmpstore_fsck(tmp, false), found);
}

/* ---- with headers of the update format ---- */

/* Without check_segment, deep reads headers itself; those of these tests are
 * plain texts. */
static void fsck_deep_reads_the_headers_of_updates(void **state)
{
    struct tmpstore *tmp = *state;
    struct store_fsck_options options = {.deep = true};
    struct store_fsck_result result;
    assert_int_equal(store_fsck_run(tmp->env, &options, &result, NULL),
                     STATUS_OK);
    assert_int_equal(result.problem_count, 3);
}

/* An update made by the encoder, stored as a fetch would store it. */
struct made {
    struct bytes segments[64];
    struct writer header;
    struct store_update row;
};

/* With two auxiliary segments before the others. */
static void take_update(struct made *made, struct bytes header,
                        struct bytes coded)
{
    struct writer all;
    struct update_header parsed;
    writer_init_heap(&all, 4 << 20);
    writer_init_heap(&made->header, UPDATE_HEADER_MAX);
    assert_true(
        aux_update_extend(header, coded, 2, 5000, 1, &made->header, &all));
    assert_int_equal(
        update_header_parse(writer_view(&made->header), &parsed, NULL),
        STATUS_OK);
    assert_int_equal(parsed.aux_count, 2);
    made->row.segment_count = parsed.segment_count;
    made->row.coded_size = made->header.size + parsed.coded_size;
    update_id(writer_view(&made->header), &made->row.id);
    for (uint32_t i = 0; i < parsed.segment_count; i++) {
        const struct update_segment *segment = &parsed.segments[i];
        uint8_t *copy = malloc(segment->size + 1u);
        assert_non_null(copy);
        memcpy(copy, all.data + segment->offset, segment->size);
        made->segments[i] = bytes_of(copy, segment->size);
    }
    update_header_free(&parsed);
    writer_deinit(&all);
}

static void make_update(struct made *made)
{
    static uint8_t base[2500000];
    static uint8_t target[2500000];
    struct update_enc *enc;
    struct bytes coded;
    for (size_t i = 0; i < sizeof(base); i++)
        base[i] = target[i] = (uint8_t)(i * i >> 7);
    for (size_t i = 0; i < 1000; i++)
        target[1200000 + 7 * i] ^= 0x11;
    struct source from = source_of_bytes(bytes_of(base, sizeof(base)));
    struct source to = source_of_bytes(bytes_of(target, sizeof(target)));
    struct update_enc_params params = {.base = &from, .target = &to};
    struct writer header, all;
    assert_int_equal(update_enc_new(&params, &enc), STATUS_OK);
    assert_int_equal(update_enc_plan(enc, NULL, NULL), STATUS_OK);
    made->row =
        (struct store_update){.has_base = true,
                              .base = *update_enc_base_tree(enc),
                              .target = *update_enc_target_tree(enc),
                              .model = "real",
                              .segment_count = update_enc_segment_count(enc)};
    assert_true(made->row.segment_count <= 64);
    writer_init_heap(&all, 4 << 20);
    writer_init_heap(&header, UPDATE_HEADER_MAX);
    for (uint32_t i = 0; i < made->row.segment_count; i++) {
        assert_int_equal(update_enc_segment(enc, i, &coded), STATUS_OK);
        writer_bytes(&all, coded.data, coded.size);
    }
    assert_int_equal(update_enc_header(enc, &header), STATUS_OK);
    update_enc_free(enc);
    take_update(made, writer_view(&header), writer_view(&all));
    writer_deinit(&header);
    writer_deinit(&all);
}

static void made_free(struct made *made)
{
    for (uint32_t i = 0; i < made->row.segment_count; i++)
        free((void *)(uintptr_t)made->segments[i].data);
    writer_deinit(&made->header);
}

/* Stores it in an empty store, with damaged (UINT32_MAX: none) spoilt, and
 * returns the problems of a deep check. */
static uint64_t check_made(const struct made *made, uint32_t damaged)
{
    struct tmpstore tmp;
    struct store_txn txn;
    struct store_fsck_options options = {.deep = true};
    struct store_fsck_result result;
    tmpstore_init(&tmp, 0, 4 << 20);
    tmpstore_begin(&tmp, &txn, STORE_TXN_WRITE);
    assert_int_equal(
        store_update_add(&txn, &made->row, writer_view(&made->header)),
        STATUS_OK);
    for (uint32_t i = 0; i < made->row.segment_count; i++) {
        struct bytes segment = made->segments[i];
        if (i == damaged && segment.size)
            segment.size--;
        else if (i == damaged)
            segment = bytes_of("x", 1);
        assert_int_equal(store_segment_put(&txn, &made->row.id, i, segment),
                         STATUS_OK);
    }
    tmpstore_commit(&txn);
    assert_int_equal(store_fsck_run(tmp.env, &options, &result, NULL),
                     STATUS_OK);
    tmpstore_deinit(&tmp);
    return result.problem_count;
}

static void fsck_deep_checks_updates_of_the_encoder(void **state)
{
    (void)state;
    struct made made;
    make_update(&made);
    assert_true(made.row.segment_count > 1);
    assert_int_equal(check_made(&made, UINT32_MAX), 0);
    for (uint32_t i = 0; i < made.row.segment_count; i++)
        assert_int_equal(check_made(&made, i), 1);
    made.row.coded_size++;
    assert_int_equal(check_made(&made, UINT32_MAX), 1);
    made.row.coded_size--;
    made.row.has_base = false;
    assert_int_equal(check_made(&made, UINT32_MAX), 1);
    made_free(&made);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(fsck_finds_damaged_rows),
        TEST(fsck_deep_finds_a_damaged_segment),
        TEST(fsck_repairs_indexes_and_counters),
        TEST(fsck_repairs_nothing_beside_real_damage),
        TEST(fsck_deep_reads_the_headers_of_updates),
        cmocka_unit_test(fsck_deep_checks_updates_of_the_encoder),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
