/* Messages: whatever decodes, encodes to something that decodes to the same.
 */
#include "protocol/message.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void round_trip(const struct message *msg)
{
    struct message *back = malloc(sizeof *back);
    uint8_t *one = malloc(2 * (size_t)LIMIT_FRAME_PLAIN_BYTES);
    uint8_t *two = one + LIMIT_FRAME_PLAIN_BYTES;
    struct writer a, b;
    if (!back || !one)
        abort();
    writer_init(&a, one, LIMIT_FRAME_PLAIN_BYTES);
    if (message_encode(msg, &a))
        abort();
    if (message_decode(writer_view(&a), back, NULL))
        abort();
    writer_init(&b, two, LIMIT_FRAME_PLAIN_BYTES);
    if (message_encode(back, &b))
        abort();
    if (!bytes_equal(writer_view(&a), writer_view(&b)))
        abort();
    free(back);
    free(one);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct diag diag = {{0}};
    struct message *msg = malloc(sizeof *msg);
    if (!msg)
        abort();
    enum status status = message_decode(bytes_of(data, size), msg, &diag);
    if (!status)
        round_trip(msg);
    else if (!diag.text[0])
        abort();
    free(msg);
    return 0;
}
