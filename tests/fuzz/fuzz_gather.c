/* Any gather of any base: what the check accepts is read within its reach, each
 * element from where the definition says. */
#include "codec/base/reader.h"
#include "codec/lossless/gather.h"

#include <stdlib.h>

#define ELEMS_MAX 4096u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct fuzz_base {
    uint64_t first;
    uint64_t end;
};

static uint8_t fuzz_byte(uint64_t offset)
{
    return (uint8_t)(offset * 0x9e3779b97f4a7c15u >> 56);
}

/* Aborts outside of the reach. */
static enum status fuzz_read(void *ctx, uint64_t offset, void *out, size_t size)
{
    const struct fuzz_base *base = ctx;
    uint8_t *to = out;
    if (offset < base->first || size > base->end - offset)
        abort();
    for (size_t i = 0; i < size; i++)
        to[i] = fuzz_byte(offset + i);
    return STATUS_OK;
}

static uint64_t fuzz_column(const struct gather *g, uint64_t column)
{
    uint64_t left = column;
    for (uint32_t i = 0; i < g->run_count; left -= g->runs[i++].count)
        if (left < g->runs[i].count)
            return g->runs[i].base_column == GATHER_NONE
                       ? GATHER_NONE
                       : g->runs[i].base_column + left;
    return column;
}

static void fuzz_check_elem(const struct gather *g, uint64_t elem,
                            const uint8_t *got)
{
    uint64_t at = elem;
    if (g->columns) {
        uint64_t row = elem / g->columns;
        uint64_t column = fuzz_column(g, elem % g->columns);
        if (g->run_count && column == GATHER_NONE)
            at = UINT64_MAX;
        else
            at = g->transposed ? column * g->base_stride + row
                               : row * g->base_stride + column;
    }
    for (uint32_t i = 0; i < g->elem_bytes; i++)
        if (got[i] != (at == UINT64_MAX ? 0
                                        : fuzz_byte(g->base_offset +
                                                    at * g->elem_bytes + i)))
            abort();
}

static void fuzz_gather(const struct gather *g, uint64_t elems, uint64_t reach,
                        uint64_t size)
{
    struct fuzz_base base = {g->base_offset, g->base_offset + reach};
    struct source source = {fuzz_read, &base, size};
    uint64_t first = elems > ELEMS_MAX ? elems - ELEMS_MAX : 0;
    size_t count = (size_t)(elems - first);
    uint8_t *out = malloc(count * g->elem_bytes + 1);
    if (!out || gather_read(g, &source, first, count, out))
        abort();
    for (size_t i = 0; i < count; i++)
        fuzz_check_elem(g, first + i, out + i * g->elem_bytes);
    free(out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct gather_run runs[GATHER_RUNS_MAX];
    struct reader rd;
    struct gather g = {.runs = runs};
    uint64_t reach;
    reader_init(&rd, bytes_of(data, size));
    uint8_t flags = reader_u8(&rd);
    g.transposed = flags & 1;
    g.elem_bytes = 1u << (flags >> 1 & 3);
    g.base_offset = reader_le16(&rd);
    g.columns = reader_le32(&rd);
    g.base_stride = reader_le32(&rd);
    uint64_t elems = reader_le32(&rd), base_size = reader_le32(&rd);
    while (reader_left(&rd) >= 4 && g.run_count < GATHER_RUNS_MAX) {
        runs[g.run_count].count = reader_le16(&rd);
        uint16_t column = reader_le16(&rd);
        runs[g.run_count++].base_column =
            column == UINT16_MAX ? GATHER_NONE : column;
    }
    if (!gather_check(&g, elems, base_size, &reach))
        fuzz_gather(&g, elems, reach, base_size);
    return 0;
}
