/* Any bytes as an update header: what is accepted is written back alike. */
#include "codec/update/header_write.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct update_header header;
    struct writer wr;
    struct diag diag;
    diag_reset(&diag);
    if (update_header_parse(bytes_of(data, size), &header, &diag))
        return 0;
    writer_init_heap(&wr, UPDATE_HEADER_MAX);
    update_header_write(&header, &wr);
    if (writer_status(&wr) ||
        !bytes_equal(writer_view(&wr), bytes_of(data, size)))
        abort();
    writer_deinit(&wr);
    update_header_free(&header);
    return 0;
}
