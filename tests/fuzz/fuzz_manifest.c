/* Manifests: the first byte chooses between a manifest and a packed one, whose
 * prefix and size are made of the input. */
#include "protocol/manifest.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void try_parse(struct bytes in)
{
    static struct manifest m;
    struct diag diag = {0};
    struct writer wr;
    struct hash id;
    if (manifest_parse(in, &m, &diag)) {
        if (!diag.text[0])
            abort();
        return;
    }
    if (!m.understood)
        return;
    writer_init_heap(&wr, in.size + 16);
    if (manifest_build(&m, &wr, &id, NULL) || wr.size > in.size)
        abort();
    if (wr.size == in.size && !bytes_equal(writer_view(&wr), in))
        abort();
    writer_deinit(&wr);
}

static void try_unpack(struct bytes in)
{
    struct writer wr;
    if (in.size < 4)
        return;
    size_t prefix = in.data[0] < in.size ? in.data[0] : 0;
    uint64_t size = load_le16(in.data + 1);
    writer_init_heap(&wr, LIMIT_MANIFEST_BYTES);
    if (!manifest_unpack(bytes_of(in.data + 3, in.size - 3),
                         bytes_of(in.data, prefix), size, &wr) &&
        wr.size != size)
        abort();
    writer_deinit(&wr);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (!size)
        return 0;
    if (data[0] & 1)
        try_unpack(bytes_of(data + 1, size - 1));
    else
        try_parse(bytes_of(data + 1, size - 1));
    return 0;
}
