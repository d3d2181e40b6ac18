/* SymmetricState of the Noise specification, section 5.2: chaining key,
 * handshake hash and the cipher between handshake tokens. */
#ifndef PROTOCOL_NOISE_SYMMETRIC_STATE_H
#define PROTOCOL_NOISE_SYMMETRIC_STATE_H

#include "protocol/noise/cipher_state.h"

struct symmetric_state {
    struct cipher_state cipher;
    enum crypto_hash_kind hash;
    uint8_t ck[CRYPTO_HASH_MAX];
    uint8_t h[CRYPTO_HASH_MAX];
};

void symmetric_state_init(struct symmetric_state *ss,
                          enum crypto_hash_kind hash, const char *name);
void symmetric_state_deinit(struct symmetric_state *ss); /* wipes */

void symmetric_state_mix_key(struct symmetric_state *ss, struct bytes input);
void symmetric_state_mix_hash(struct symmetric_state *ss, struct bytes data);
void symmetric_state_mix_key_and_hash(struct symmetric_state *ss,
                                      struct bytes input);

/* EncryptAndHash, DecryptAndHash; sizes and statuses as for cipher_state; out
 * may not overlap the input. */
enum status symmetric_state_seal(struct symmetric_state *ss, struct bytes plain,
                                 uint8_t *out) MUST_CHECK;
enum status symmetric_state_open(struct symmetric_state *ss,
                                 struct bytes sealed, uint8_t *out) MUST_CHECK;

/* The handshake hash so far; holds until the next call. */
struct bytes symmetric_state_hash(const struct symmetric_state *ss);

/* c1 for what the initiator sends, c2 for what the responder sends. */
void symmetric_state_split(const struct symmetric_state *ss,
                           struct cipher_state *c1, struct cipher_state *c2);

#endif
