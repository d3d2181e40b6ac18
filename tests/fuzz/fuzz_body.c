/* Bodies: the first byte chooses the kind. What decodes, and is as long when
 * encoded again, is the same bytes again; what decodes always encodes. */
#include "protocol/body.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

union any {
    struct body_fleet fleet;
    struct body_cert cert;
    struct body_version version;
    struct body_channel channel;
    struct body_status status;
    struct body_contrib contrib;
    struct body_common common; /* first in each */
};

static enum status decode(unsigned kind, struct bytes in, union any *out,
                          struct diag *diag)
{
    switch (kind) {
    case 0:
        return body_fleet_decode(in, &out->fleet, diag);
    case 1:
        return body_cert_decode(in, &out->cert, diag);
    case 2:
        return body_version_decode(in, &out->version, diag);
    case 3:
        return body_channel_decode(in, &out->channel, diag);
    case 4:
        return body_status_decode(in, &out->status, diag);
    default:
        return body_contrib_decode(in, &out->contrib, diag);
    }
}

static enum status encode(unsigned kind, const union any *in,
                          struct writer *out)
{
    switch (kind) {
    case 0:
        return body_fleet_encode(&in->fleet, out);
    case 1:
        return body_cert_encode(&in->cert, out);
    case 2:
        return body_version_encode(&in->version, out);
    case 3:
        return body_channel_encode(&in->channel, out);
    case 4:
        return body_status_encode(&in->status, out);
    default:
        return body_contrib_encode(&in->contrib, out);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static union any body;
    struct diag diag = {0};
    struct body_common common;
    struct writer wr;
    if (!size)
        return 0;
    unsigned kind = data[0] % 6;
    struct bytes in = bytes_of(data + 1, size - 1);
    (void)!body_decode_common(in, &common, NULL);
    if (decode(kind, in, &body, &diag)) {
        if (!diag.text[0])
            abort();
        return 0;
    }
    if (!body.common.understood)
        return 0;
    if (kind == 3)
        (void)!body_channel_supported(&body.channel, &diag);
    writer_init_heap(&wr, size + 16);
    if (encode(kind, &body, &wr) || wr.size > in.size)
        abort();
    if (wr.size == in.size && !bytes_equal(writer_view(&wr), in))
        abort();
    writer_deinit(&wr);
    return 0;
}
