/* Listings: what reads as one is written as the same bytes again. */
#include "daemon/listing.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct listing listing;
    struct writer wr;
    if (listing_parse(bytes_of(data, size), &listing))
        return 0;
    writer_init_heap(&wr, LISTING_BYTES_MAX);
    listing_write(&listing, &wr);
    if (writer_status(&wr) ||
        !bytes_equal(writer_view(&wr), bytes_of(data, size)))
        abort();
    writer_deinit(&wr);
    listing_free(&listing);
    return 0;
}
