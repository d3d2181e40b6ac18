/* COSE: whatever parses as an envelope is written again as the same bytes; the
 * general form never reads past its input. */
#include "protocol/cose.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void try_envelope(struct bytes in)
{
    static uint8_t again[LIMIT_RECORD_BYTES];
    struct cose_envelope envelope;
    struct diag diag = {0};
    struct writer wr;
    if (cose_parse(in, &envelope, &diag)) {
        if (!diag.text[0])
            abort();
        return;
    }
    for (size_t i = 0; i < envelope.signature_count; i++)
        (void)!cose_verify_one(&envelope, i);
    writer_init(&wr, again, sizeof(again));
    if (cose_encode(envelope.payload, envelope.signatures,
                    envelope.signature_count, &wr) ||
        !bytes_equal(writer_view(&wr), in))
        abort();
}

static void try_message(struct bytes in)
{
    static const struct node_id key = {{1}};
    struct cose_message msg;
    if (cose_message_parse(in, &msg, NULL))
        return;
    for (size_t i = 0; i < msg.signer_count; i++)
        if (!cose_message_verify(&msg, i, &key, (struct bytes){0}, NULL))
            abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (crypto_init())
        abort();
    try_envelope(bytes_of(data, size));
    try_message(bytes_of(data, size));
    return 0;
}
