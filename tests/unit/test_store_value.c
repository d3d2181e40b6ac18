/* Rows: one encoding each, every truncation and stray byte is CORRUPT. */
#include "store/value.h"

#include "tests/support/cmocka.h"
#include "tests/support/tmpstore.h"

#include <stdio.h>
#include <stdlib.h>

/* Decodes a row of a kind and encodes it again into wr. */
typedef enum status (*again_fn)(struct bytes in, struct writer *wr);

#define AGAIN(name)                                                     \
    static enum status again_##name(struct bytes in, struct writer *wr) \
    {                                                                   \
        struct store_##name row;                                        \
        memset(&row, 0, sizeof(row));                                   \
        enum status status = store_value_get_##name(in, &row);          \
        if (!status)                                                    \
            store_value_put_##name(wr, &row);                           \
        return status;                                                  \
    }

AGAIN(record)
AGAIN(proof)
AGAIN(version)
AGAIN(update)
AGAIN(peer)
AGAIN(activation)

static enum status again_seq(struct bytes in, struct writer *wr)
{
    uint64_t epoch;
    uint64_t seq;
    enum status status = store_value_get_seq(in, &epoch, &seq);
    if (!status)
        store_value_put_seq(wr, epoch, seq);
    return status;
}

static enum status again_bitmap(struct bytes in, struct writer *wr)
{
    struct bytes bits;
    uint32_t count;
    enum status status = store_value_get_bitmap(in, 19, &bits, &count);
    if (!status)
        store_value_put_bitmap(wr, bits, count);
    return status;
}

/* The row decodes to itself; shorter, longer and of another version it is
 * CORRUPT; with any one byte changed it is either CORRUPT or its own only
 * encoding. */
static void check_row(struct writer *row, again_fn again)
{
    uint8_t buf[STORE_VALUE_ROW_MAX];
    uint8_t copy[STORE_VALUE_ROW_MAX];
    struct writer wr;
    assert_int_equal(writer_status(row), STATUS_OK);
    writer_init(&wr, buf, sizeof(buf));
    assert_int_equal(again(writer_view(row), &wr), STATUS_OK);
    assert_true(bytes_equal(writer_view(row), writer_view(&wr)));
    for (size_t size = 0; size < row->size; size++)
        assert_int_equal(again(bytes_of(row->data, size), &wr), STATUS_CORRUPT);
    memcpy(copy, row->data, row->size);
    copy[row->size] = 0;
    assert_int_equal(again(bytes_of(copy, row->size + 1), &wr), STATUS_CORRUPT);
    for (size_t i = 0; i < row->size; i++) {
        for (unsigned mask = 1; mask < 256; mask = mask * 3 + 1) {
            copy[i] = (uint8_t)(row->data[i] ^ mask);
            writer_init(&wr, buf, sizeof(buf));
            enum status status = again(bytes_of(copy, row->size), &wr);
            if (status)
                assert_int_equal(status, STATUS_CORRUPT);
            else
                assert_true(
                    bytes_equal(writer_view(&wr), bytes_of(copy, row->size)));
            assert_true(i > 0 || status);
        }
        copy[i] = row->data[i];
    }
}

static void rows_have_one_encoding(void **state)
{
    (void)state;
    uint8_t buf[STORE_VALUE_ROW_MAX - 1];
    struct writer wr;
    struct store_record rec = {.epoch = 1,
                               .seq = 2,
                               .kind = 3,
                               .author = bytes_of_text("author"),
                               .envelope = bytes_of_text("envelope")};
    struct store_proof proof = {.epoch = 1,
                                .greatest_hash = {{1}},
                                .least = bytes_of_text("least"),
                                .greatest = bytes_of_text("greatest")};
    struct store_version version = tmpstore_version("model/a", 3, 100);
    struct store_update update = tmpstore_update("model/a", 3, 4, 9);
    struct store_peer peer = {.address_count = 3, .addresses = {"a", "", "c"}};
    struct store_activation act = {.n = 4, .stage = 2, .tmp = ".tmp-x"};
    writer_init(&wr, buf, sizeof(buf));
    store_value_put_record(&wr, &rec);
    check_row(&wr, again_record);
    writer_init(&wr, buf, sizeof(buf));
    store_value_put_proof(&wr, &proof);
    check_row(&wr, again_proof);
    for (int i = 0; i < 2; i++) {
        version.has_update = i;
        update.has_base = i;
        update.held_count = update.row_count = 4;
        writer_init(&wr, buf, sizeof(buf));
        store_value_put_version(&wr, &version);
        check_row(&wr, again_version);
        writer_init(&wr, buf, sizeof(buf));
        store_value_put_update(&wr, &update);
        check_row(&wr, again_update);
    }
    writer_init(&wr, buf, sizeof(buf));
    store_value_put_peer(&wr, &peer);
    check_row(&wr, again_peer);
    writer_init(&wr, buf, sizeof(buf));
    store_value_put_activation(&wr, &act);
    check_row(&wr, again_activation);
    writer_init(&wr, buf, sizeof(buf));
    store_value_put_seq(&wr, 7, 8);
    check_row(&wr, again_seq);
    writer_init(&wr, buf, sizeof(buf));
    store_value_put_bitmap(&wr, bytes_of("\xff\x0f\x01", 3), 13);
    check_row(&wr, again_bitmap);
}

/* The first bytes of SCHEMA.md's layouts, so that they cannot drift. */
static void rows_are_laid_out_as_documented(void **state)
{
    (void)state;
    uint8_t buf[STORE_VALUE_ROW_MAX];
    struct writer wr;
    struct store_version version = tmpstore_version("m", 3, 2);
    version.state = STORE_VERSION_STAGED;
    version.pins = 5;
    writer_init(&wr, buf, sizeof(buf));
    store_value_put_version(&wr, &version);
    assert_int_equal(wr.size, 64 + 32 + 2 + 8);
    assert_memory_equal(buf,
                        "\x01\x00\x04\x10\x00\x00\x00\x05\x00\x00\x00\x02"
                        "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\x00",
                        24);
    assert_memory_equal(buf + 64, version.tree.b, 32);
    assert_memory_equal(buf + 96, "\x01m\x07trainer", 10);
    struct store_update update = tmpstore_update("m", UINT64_MAX, 4, 9);
    writer_init(&wr, buf, sizeof(buf));
    store_value_put_update(&wr, &update);
    assert_int_equal(wr.size, 50 + 32 + 2);
    assert_memory_equal(buf, "\x01\x00\x00\x00\x00\x09", 6);
    assert_memory_equal(buf + 50, update.target.b, 32);
}

static void block_counts_round_up(void **state)
{
    (void)state;
    assert_int_equal(store_value_block_count(0, 16), 0);
    assert_int_equal(store_value_block_count(1, 16), 1);
    assert_int_equal(store_value_block_count(65536, 16), 1);
    assert_int_equal(store_value_block_count(65537, 16), 2);
    assert_true(store_value_block_count(UINT64_MAX, 0) == UINT64_MAX);
    assert_true(store_value_block_count(1, 41) == UINT64_MAX);
    assert_int_equal(store_value_block_count(UINT64_MAX, 40), 1 << 24);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_have_one_encoding),
        cmocka_unit_test(rows_are_laid_out_as_documented),
        cmocka_unit_test(block_counts_round_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
