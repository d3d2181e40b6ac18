/* Transport messages in frames, with a new key every LIMIT_REKEY_MESSAGES.
 *
 * Ref: The Noise Protocol Framework, revision 34, sections 11.3, 12.3 and 13.
 */
#include "protocol/noise/channel.h"

#include "protocol/noise/framer.h"

#include <assert.h>
#include <stdlib.h>

static_assert(LIMIT_FRAME_BYTES == LIMIT_FRAME_PLAIN_BYTES + CRYPTO_TAG_BYTES,
              "a frame is its plaintext and a tag");
static_assert(LIMIT_FRAME_BYTES <= LIMIT_NOISE_MESSAGE_BYTES,
              "a frame is one Noise message");

struct channel {
    struct cipher_state send;
    struct cipher_state recv;
    struct framer framer;
    enum status send_status; /* both sticky */
    enum status recv_status;
};

struct channel *channel_new_take(struct cipher_state *send,
                                 struct cipher_state *recv)
{
    assert(send->has_key && recv->has_key);
    struct channel *ch = calloc(1, sizeof(*ch));
    if (ch) {
        ch->send = *send;
        ch->recv = *recv;
        framer_init(&ch->framer, LIMIT_FRAME_BYTES);
    }
    cipher_state_deinit(send);
    cipher_state_deinit(recv);
    return ch;
}

void channel_free(struct channel *ch)
{
    if (!ch)
        return;
    framer_deinit(&ch->framer);
    crypto_wipe(ch, sizeof(*ch));
    free(ch);
}

/* Counted by the nonce, which goes on over a rekey. */
static void channel_count(struct cipher_state *cs)
{
    if (cs->n % LIMIT_REKEY_MESSAGES == 0)
        cipher_state_rekey(cs);
}

static enum status channel_seal_frame(struct channel *ch, struct bytes plain,
                                      struct writer *out)
{
    if (plain.size > LIMIT_FRAME_PLAIN_BYTES)
        return STATUS_LIMIT;
    uint8_t *at = writer_reserve(out, CHANNEL_FRAME_BYTES(plain.size));
    if (!at)
        return out->status;
    store_be16(at, (uint16_t)(plain.size + CRYPTO_TAG_BYTES));
    enum status status =
        cipher_state_seal(&ch->send, (struct bytes){0}, plain, at + 2);
    if (status)
        out->size -= CHANNEL_FRAME_BYTES(plain.size);
    else
        channel_count(&ch->send);
    return status;
}

enum status channel_seal(struct channel *ch, struct bytes plain,
                         struct writer *out)
{
    if (!ch->send_status)
        ch->send_status = channel_seal_frame(ch, plain, out);
    return ch->send_status;
}

static enum status channel_open_frame(struct channel *ch, struct bytes *in,
                                      struct bytes *plain, bool *ready)
{
    uint8_t *body;
    size_t size;
    enum status status = framer_take(&ch->framer, in, &body, &size, ready);
    if (status || !*ready)
        return status;
    status = cipher_state_open(&ch->recv, (struct bytes){0},
                               bytes_of(body, size), body);
    if (status) {
        *ready = false;
        return status;
    }
    channel_count(&ch->recv);
    *plain = bytes_of(body, size - CRYPTO_TAG_BYTES);
    return STATUS_OK;
}

enum status channel_open(struct channel *ch, struct bytes *in,
                         struct bytes *plain, bool *ready)
{
    *plain = (struct bytes){0};
    *ready = false;
    if (!ch->recv_status)
        ch->recv_status = channel_open_frame(ch, in, plain, ready);
    return ch->recv_status;
}

uint64_t channel_sent(const struct channel *ch)
{
    return ch->send.n;
}

uint64_t channel_received(const struct channel *ch)
{
    return ch->recv.n;
}
