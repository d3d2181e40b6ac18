/* A factor set from outside. The first three bytes choose rank, rows and
 * columns. What is read must be written and read again as the same numbers. */
#include "codec/lossless/factors.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void write_again(unsigned rank, uint64_t rows, uint32_t columns,
                        const int16_t *u, const int16_t *v)
{
    size_t u_size = (size_t)rows * rank * 2,
           v_size = (size_t)columns * rank * 2;
    int16_t *u_out = malloc(u_size), *v_out = malloc(v_size);
    struct writer wr;
    struct reader rd;
    writer_init_heap(&wr,
                     FACTORS_BYTES_MAX(factors_count(rank, rows, columns)));
    if (!u_out || !v_out || factors_write(rank, rows, columns, u, v, &wr))
        abort();
    reader_init(&rd, writer_view(&wr));
    if (factors_read(&rd, rank, rows, columns, u_out, v_out) ||
        reader_finish(&rd) || memcmp(u, u_out, u_size) != 0 ||
        memcmp(v, v_out, v_size) != 0)
        abort();
    writer_deinit(&wr);
    free(u_out);
    free(v_out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct reader rd;
    reader_init(&rd, bytes_of(data, size));
    unsigned rank = reader_u8(&rd);
    uint64_t rows = reader_u8(&rd);
    uint32_t columns = reader_u8(&rd);
    int16_t *u = malloc((size_t)rows * rank * 2 + 1);
    int16_t *v = malloc((size_t)columns * rank * 2 + 1);
    if (!u || !v)
        abort();
    if (!factors_read(&rd, rank, rows, columns, u, v))
        write_again(rank, rows, columns, u, v);
    free(u);
    free(v);
    return 0;
}
