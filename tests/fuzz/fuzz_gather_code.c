/* Any bytes as a gather's geometry: what is accepted is written back alike. */
#include "codec/lossless/gather_code.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct gather_run runs[GATHER_RUNS_MAX];
    struct gather gather = {.elem_bytes = 4};
    struct reader rd;
    struct writer wr;
    uint64_t reach;
    reader_init(&rd, bytes_of(data, size));
    gather_parse(&rd, runs, &gather);
    if (reader_finish(&rd) ||
        gather_check(&gather, gather.columns, UINT64_MAX, &reach))
        return 0;
    writer_init_heap(&wr, size);
    gather_write(&gather, &wr);
    if (writer_status(&wr) ||
        !bytes_equal(writer_view(&wr), bytes_of(data, size)))
        abort();
    writer_deinit(&wr);
    return 0;
}
