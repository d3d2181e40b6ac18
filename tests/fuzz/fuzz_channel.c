/* The incremental opener. The first byte is the size of the chunks that the
 * rest arrives in. Keys are fixed, so that the corpus holds frames that open;
 * what comes out is the same in whatever chunks it came in. */
#include "protocol/noise/channel.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct outcome {
    enum status status;
    uint64_t frames;
    uint64_t bytes;
    uint64_t sum;
};

static struct channel *make_channel(void)
{
    struct crypto_secret key;
    struct cipher_state send = {0}, recv = {0};
    memset(key.b, 7, sizeof(key.b));
    cipher_state_init_key(&send, &key);
    cipher_state_init_key(&recv, &key);
    return channel_new_take(&send, &recv);
}

static struct outcome open_all(struct bytes in, size_t chunk)
{
    struct outcome out = {0};
    struct channel *ch = make_channel();
    if (!ch)
        abort();
    while (in.size && !out.status) {
        struct bytes part = {in.data, in.size < chunk ? in.size : chunk};
        in.data += part.size;
        in.size -= part.size;
        while (part.size && !out.status) {
            struct bytes plain;
            bool ready;
            out.status = channel_open(ch, &part, &plain, &ready);
            if (!ready)
                continue;
            out.frames++;
            out.bytes += plain.size;
            for (size_t i = 0; i < plain.size; i++)
                out.sum = out.sum * 31 + plain.data[i];
        }
    }
    if (channel_received(ch) != out.frames)
        abort();
    channel_free(ch);
    return out;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (crypto_init() || !size)
        return 0;
    struct bytes in = bytes_of(data + 1, size - 1);
    struct outcome whole = open_all(in, SIZE_MAX);
    struct outcome parts = open_all(in, data[0] ? data[0] : 1);
    if (whole.status != parts.status || whole.frames != parts.frames ||
        whole.bytes != parts.bytes || whole.sum != parts.sum)
        abort();
    return 0;
}
