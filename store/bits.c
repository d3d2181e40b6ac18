/* Bitmaps: read as views, changed in a copy. */
#include "store/bits.h"

#include "store/key.h"
#include "store/value.h"

enum status store_bits_get(struct store_txn *txn, enum store_table table,
                           const struct hash *id, uint32_t bit_count,
                           struct bytes *bits, uint32_t *set_count)
{
    struct bytes value;
    uint32_t count = 0;
    *bits = (struct bytes){NULL, 0};
    enum status status =
        store_txn_get(txn, table, store_key_of_hash(id), &value);
    if (!status && store_value_get_bitmap(value, bit_count, bits, &count))
        status = store_txn_fail(txn, STATUS_CORRUPT,
                                "a bitmap in the store is malformed");
    if (set_count)
        *set_count = count;
    return status == STATUS_NOT_FOUND ? STATUS_OK : status;
}

enum status store_bits_copy(struct store_txn *txn, enum store_table table,
                            const struct hash *id, uint32_t bit_count,
                            uint8_t *out, size_t out_size, uint32_t *set_count)
{
    struct bytes bits;
    if (out_size < store_value_bitmap_bytes(bit_count))
        return STATUS_USAGE;
    enum status status =
        store_bits_get(txn, table, id, bit_count, &bits, set_count);
    if (out_size)
        memset(out, 0, out_size);
    if (!status && bits.size)
        memcpy(out, bits.data, bits.size);
    return status;
}

enum status store_bits_test(struct store_txn *txn, enum store_table table,
                            const struct hash *id, uint32_t bit_count,
                            uint32_t index, bool *is_set)
{
    struct bytes bits;
    enum status status = store_bits_get(txn, table, id, bit_count, &bits, NULL);
    *is_set =
        !status && index / 8 < bits.size && store_value_bit(bits.data, index);
    return status;
}

static uint32_t bits_apply(uint8_t *bits, uint32_t first, uint32_t count,
                           bool set)
{
    uint32_t changed = 0;
    for (uint32_t i = first; i < first + count; i++) {
        if (store_value_bit(bits, i) == set)
            continue;
        bits[i / 8] = (uint8_t)(bits[i / 8] ^ 1u << (i % 8));
        changed++;
    }
    return changed;
}

enum status store_bits_change(struct store_txn *txn, enum store_table table,
                              const struct hash *id, uint32_t bit_count,
                              uint32_t first, uint32_t count, bool set,
                              uint32_t *changed)
{
    struct bytes old;
    struct writer wr;
    uint32_t set_count;
    uint32_t diff = 0;
    if (changed)
        *changed = 0;
    if (first > bit_count || count > bit_count - first)
        return STATUS_LIMIT;
    enum status status =
        store_bits_get(txn, table, id, bit_count, &old, &set_count);
    if (status || !count)
        return status;
    size_t size = store_value_bitmap_bytes(bit_count);
    writer_init_heap(&wr, size + 8);
    store_value_put_bitmap(&wr, bytes_of(NULL, 0), 0);
    size_t head = wr.size;
    uint8_t *bits = writer_reserve(&wr, size);
    if (bits) {
        memset(bits, 0, size);
        if (old.size)
            memcpy(bits, old.data, old.size);
        diff = bits_apply(bits, first, count, set);
        set_count = set ? set_count + diff : set_count - diff;
        store_be32(wr.data + head - 4, set_count);
    }
    if (writer_status(&wr))
        status = store_txn_fail(txn, writer_status(&wr),
                                "a bitmap cannot be changed");
    else if (diff && !set_count)
        status = store_txn_del(txn, table, store_key_of_hash(id));
    else if (diff)
        status =
            store_txn_put(txn, table, store_key_of_hash(id), writer_view(&wr));
    writer_deinit(&wr);
    if (changed)
        *changed = diff;
    return status;
}
