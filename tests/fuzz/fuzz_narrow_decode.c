/* Tables, a coding and a segment from outside. The first byte chooses the
 * dtype, the second the pieces. What is accepted must have the one form that
 * our writers give it; what is decoded must stay within its buffers and be the
 * same in plain C. */
#include "codec/lossless/narrow.h"

#include <stdlib.h>
#include <string.h>

#define ELEMS     5000u
#define PIECE_MAX 64u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_form(const uint8_t *data, struct reader *rd,
                       const struct narrow_tables *tables,
                       const struct narrow_coding *coding, enum dtype dtype)
{
    uint8_t buf[NARROW_TABLES_BYTES_MAX + NARROW_CODING_BYTES_MAX];
    struct writer wr;
    writer_init(&wr, buf, sizeof(buf));
    narrow_tables_write(tables, &wr);
    narrow_coding_write(coding, dtype, &wr);
    if (writer_status(&wr) || wr.size != reader_offset(rd) - 2 ||
        memcmp(buf, data + 2, wr.size) != 0)
        abort();
}

static enum status decode(struct reader *rd, struct narrow_dec *dec,
                          const struct narrow_coding *coding, enum dtype dtype,
                          size_t piece, uint8_t *out)
{
    size_t bytes = narrow_elem_bytes(dtype);
    uint8_t pred[PIECE_MAX * 2], lost[PIECE_MAX];
    for (size_t i = 0; i < sizeof(pred); i++)
        pred[i] = (uint8_t)(i * i >> 3);
    for (size_t i = 0; i < sizeof(lost); i++)
        lost[i] = (uint8_t)(i * 5 & 7);
    memset(out, 0, ELEMS * 2);
    enum status status = narrow_dec_begin(dec, rd);
    for (size_t at = 0; !status && at < ELEMS; at += piece) {
        size_t n = ELEMS - at < piece ? ELEMS - at : piece;
        narrow_dec_piece(dec, coding, dtype, pred, lost, out + at * bytes, n);
    }
    return status ? status : narrow_dec_finish(dec);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const enum dtype dtypes[] = {DTYPE_F16,     DTYPE_BF16,   DTYPE_I16,
                                        DTYPE_U16,     DTYPE_I8,     DTYPE_U8,
                                        DTYPE_F8_E4M3, DTYPE_F8_E5M2};
    struct reader rd;
    struct narrow_tables tables;
    struct narrow_coding coding;
    reader_init(&rd, bytes_of(data, size));
    enum dtype dtype = dtypes[reader_u8(&rd) % 8];
    size_t piece = 1 + reader_u8(&rd) % PIECE_MAX;
    if (narrow_tables_read(&rd, &tables) ||
        narrow_coding_read(&rd, dtype, tables.count, &coding))
        return 0;
    check_form(data, &rd, &tables, &coding, dtype);
    struct reader again = rd;
    struct narrow_dec *dec = narrow_dec_new(&tables);
    uint8_t *out = malloc(ELEMS * 2), *other = malloc(ELEMS * 2);
    if (!dec || !out || !other)
        abort();
    enum status status = decode(&rd, dec, &coding, dtype, piece, out);
    narrow_dec_plain(dec);
    if (decode(&again, dec, &coding, dtype, piece, other) != status ||
        memcmp(out, other, ELEMS * 2) != 0)
        abort();
    free(out);
    free(other);
    narrow_dec_free(dec);
    return 0;
}
