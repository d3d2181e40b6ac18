/* Rows of the store: the first byte picks the kind of row, the rest is the
 * row. What decodes must encode to the same bytes. */
#include "store/value.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_same(struct bytes in, struct writer *wr)
{
    if (writer_status(wr) || !bytes_equal(in, writer_view(wr)))
        abort();
}

#define CHECK_ROW(name)                          \
    do {                                         \
        struct store_##name row;                 \
        memset(&row, 0, sizeof(row));            \
        if (!store_value_get_##name(in, &row)) { \
            store_value_put_##name(wr, &row);    \
            check_same(in, wr);                  \
        }                                        \
    } while (0)

static void check_row(uint8_t kind, struct bytes in, struct writer *wr)
{
    uint64_t epoch;
    uint64_t seq;
    struct bytes bits;
    uint32_t count;
    switch (kind % 8) {
    case 0:
        CHECK_ROW(record);
        break;
    case 1:
        CHECK_ROW(proof);
        break;
    case 2:
        CHECK_ROW(version);
        break;
    case 3:
        CHECK_ROW(update);
        break;
    case 4:
        CHECK_ROW(peer);
        break;
    case 5:
        CHECK_ROW(activation);
        break;
    case 6:
        if (!store_value_get_seq(in, &epoch, &seq)) {
            store_value_put_seq(wr, epoch, seq);
            check_same(in, wr);
        }
        break;
    default:
        if (!store_value_get_bitmap(in, kind * 3u, &bits, &count)) {
            store_value_put_bitmap(wr, bits, count);
            check_same(in, wr);
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct writer wr;
    if (!size)
        return 0;
    writer_init_heap(&wr, size + 64);
    check_row(data[0], bytes_of(data + 1, size - 1), &wr);
    writer_deinit(&wr);
    return 0;
}
