/* HandshakeState of the Noise specification, section 5.3, for any pattern of
 * pattern.h. Turn by turn: the side whose turn it is writes one message, the
 * other reads it; then the keys are split. */
#ifndef PROTOCOL_NOISE_HANDSHAKE_STATE_H
#define PROTOCOL_NOISE_HANDSHAKE_STATE_H

#include "codec/base/writer.h"
#include "protocol/limits.h"
#include "protocol/noise/pattern.h"
#include "protocol/noise/symmetric_state.h"

/* Everything is copied; pointers that the pattern does not need may be NULL. */
struct handshake_config {
    const struct noise_pattern *pattern;
    bool initiator;
    struct bytes prologue;
    const struct crypto_dh_key *s;     /* own static key */
    const struct crypto_dh_public *rs; /* the other's, if known beforehand */
    const struct crypto_secret *psks;  /* in the order of psk tokens */
    size_t psk_count;
    const struct crypto_dh_key *e; /* fixed ephemeral: for test vectors only */
    const struct rng *rng;         /* source of the ephemeral otherwise */
};

/* Open so that it can lie within a link; touch by the functions only. Secret.
 */
struct handshake_state {
    struct symmetric_state sym;
    struct noise_pattern pattern;
    struct crypto_dh_key s, e;
    struct crypto_dh_public s_public, e_public, rs, re;
    struct crypto_secret psks[LIMIT_NOISE_PSKS];
    unsigned psks_used;
    unsigned next; /* message to write or read next */
    bool initiator, has_s, has_e, has_rs, has_re;
    enum status status; /* sticky */
};

/* USAGE: a key, a psk or the source of randomness that the pattern needs is
 * missing, or there are more psks than tokens; words in diag. With fewer psks
 * than tokens hs cannot be made. */
enum status handshake_state_init(struct handshake_state *hs,
                                 const struct handshake_config *config,
                                 struct diag *diag) MUST_CHECK;
void handshake_state_deinit(struct handshake_state *hs); /* wipes */

/* Whether the next message is ours to write. */
bool handshake_state_writes_next(const struct handshake_state *hs);
bool handshake_state_done(const struct handshake_state *hs);

/* Appends the next message to out.
 *
 * USAGE     not our turn, or done
 * LIMIT     the message would exceed LIMIT_NOISE_MESSAGE_BYTES, or out is full
 * MISMATCH  a DH result is all zero
 * Any failure is sticky: the handshake is over. */
enum status handshake_state_write(struct handshake_state *hs,
                                  struct bytes payload, struct writer *out)
    MUST_CHECK;

/* Reads the other's next message and appends its payload to out.
 *
 * USAGE      not their turn, or done
 * TRUNCATED  shorter than the pattern's message
 * MISMATCH   does not authenticate (another psk, prologue, key or a changed
 *            byte), or a DH result is all zero
 * LIMIT      over LIMIT_NOISE_MESSAGE_BYTES, or out is full
 * Any failure is sticky: the handshake is over. */
enum status handshake_state_read(struct handshake_state *hs, struct bytes msg,
                                 struct writer *out) MUST_CHECK;

/* The other's static or ephemeral key once known, else NULL. */
const struct crypto_dh_public *
handshake_state_remote_static(const struct handshake_state *hs);
const struct crypto_dh_public *
handshake_state_remote_ephemeral(const struct handshake_state *hs);

/* The handshake hash; the channel binding once done. Holds until the next
 * call. */
struct bytes handshake_state_hash(const struct handshake_state *hs);

/* The transport ciphers. USAGE before the handshake is done. After a one-way
 * pattern the second (the responder's sending) cipher must not be used. */
enum status handshake_state_split(const struct handshake_state *hs,
                                  struct cipher_state *send,
                                  struct cipher_state *recv) MUST_CHECK;

#endif
