/* The encrypted channel after a handshake: plaintext frames of 0 to 16 KiB,
 * each a 2-byte length and one Noise transport message, and a new key in each
 * direction after every 2^16 messages. Any failure is sticky: the link is to
 * be closed.
 *
 * Byte by byte in PROTOCOL.md, "Transport (Noise)". */
#ifndef PROTOCOL_NOISE_CHANNEL_H
#define PROTOCOL_NOISE_CHANNEL_H

#include "codec/base/writer.h"
#include "protocol/limits.h"
#include "protocol/noise/cipher_state.h"

/* Bytes that a frame of this plaintext takes on the wire. */
#define CHANNEL_FRAME_BYTES(plain_size) ((size_t)(plain_size) + 2u + 16u)

struct channel;

/* Takes both ciphers over: they are wiped. NULL when out of memory. */
struct channel *channel_new_take(struct cipher_state *send,
                                 struct cipher_state *recv);
void channel_free(struct channel *ch); /* wipes; NULL is fine */

/* Appends the frame of plain to out.
 * LIMIT: plain over LIMIT_FRAME_PLAIN_BYTES, or the nonces are used up; else
 * the writer's status. */
enum status channel_seal(struct channel *ch, struct bytes plain,
                         struct writer *out) MUST_CHECK;

/* Takes received bytes, in chunks of any size, from the front of *in until a
 * frame is whole (*ready is true and *plain is its plaintext, which holds until
 * the next call on ch) or *in is empty.
 *
 *     while (in.size) {
 *         status = channel_open(ch, &in, &plain, &ready);
 *         if (status) ...close the link
 *         if (ready) ...act on plain
 *     }
 *
 * LIMIT      a frame over LIMIT_FRAME_BYTES
 * TRUNCATED  a frame too short for a tag
 * MISMATCH   a frame that does not authenticate: changed, lost, repeated
 * NO_MEMORY */
enum status channel_open(struct channel *ch, struct bytes *in,
                         struct bytes *plain, bool *ready) MUST_CHECK;

/* Messages sealed and opened so far. */
uint64_t channel_sent(const struct channel *ch);
uint64_t channel_received(const struct channel *ch);

#endif
