/* Tables, a coding and a segment from outside. The first byte chooses the
 * dtype, the second the pieces. What is accepted must have the one form that
 * our writers give it; what is decoded must stay within its buffers. */
#include "codec/lossless/fast.h"

#include <stdlib.h>
#include <string.h>

#define ELEMS 5000u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_form(const uint8_t *data, struct reader *rd,
                       const struct fast_tables *tables,
                       const struct fast_coding *coding)
{
    uint8_t buf[FAST_TABLES_BYTES_MAX + FAST_CODING_BYTES_MAX];
    struct writer wr;
    writer_init(&wr, buf, sizeof(buf));
    fast_tables_write(tables, &wr);
    fast_coding_write(coding, &wr);
    if (writer_status(&wr) || wr.size != reader_offset(rd) - 2 ||
        memcmp(buf, data + 2, wr.size) != 0)
        abort();
}

static void decode(struct reader *rd, const struct fast_tables *tables,
                   const struct fast_coding *coding, enum dtype dtype,
                   size_t piece)
{
    size_t bytes = dtype_bits(dtype) / 8, at = 0;
    struct fast_dec *dec = fast_dec_new(tables);
    uint8_t *base = malloc(ELEMS * bytes), *out = malloc(ELEMS * bytes);
    if (!dec || !base || !out)
        abort();
    for (size_t i = 0; i < ELEMS * bytes; i++)
        base[i] = (uint8_t)(i * i >> 3);
    while (reader_left(rd) && !fast_dec_begin(dec, rd)) {
        for (at = 0; at < ELEMS; at += piece) {
            size_t n = ELEMS - at < piece ? ELEMS - at : piece;
            fast_dec_piece(dec, coding, dtype, base + at * bytes,
                           out + at * bytes, n);
        }
        if (fast_dec_finish(dec))
            break;
    }
    free(base);
    free(out);
    fast_dec_free(dec);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const enum dtype dtypes[] = {DTYPE_F64, DTYPE_F32, DTYPE_F32,
                                        DTYPE_F64, DTYPE_I64, DTYPE_I32,
                                        DTYPE_U64, DTYPE_U32};
    struct reader rd;
    struct fast_tables tables;
    struct fast_coding coding;
    reader_init(&rd, bytes_of(data, size));
    enum dtype dtype = dtypes[reader_u8(&rd) % 8];
    size_t piece = 1 + (size_t)reader_u8(&rd) * 20;
    if (fast_tables_read(&rd, &tables) ||
        fast_coding_read(&rd, dtype, tables.count, &coding))
        return 0;
    check_form(data, &rd, &tables, &coding);
    decode(&rd, &tables, &coding, dtype, piece);
    return 0;
}
