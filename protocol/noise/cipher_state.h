/* CipherState of the Noise specification, section 5.1: a key and a nonce for
 * ChaCha20-Poly1305. */
#ifndef PROTOCOL_NOISE_CIPHER_STATE_H
#define PROTOCOL_NOISE_CIPHER_STATE_H

#include "protocol/crypto.h"

/* All zero: no key yet. Secret. */
struct cipher_state {
    struct crypto_secret k;
    uint64_t n;
    bool has_key;
};

void cipher_state_init_key(struct cipher_state *cs,
                           const struct crypto_secret *key);
void cipher_state_deinit(struct cipher_state *cs); /* wipes */

/* Bytes that sealing adds: 16 with a key, else 0. */
size_t cipher_state_overhead(const struct cipher_state *cs);

/* EncryptWithAd. out has plain.size + overhead bytes and may be plain.data.
 * LIMIT: the nonces are used up; nothing was written. */
enum status cipher_state_seal(struct cipher_state *cs, struct bytes ad,
                              struct bytes plain, uint8_t *out) MUST_CHECK;

/* DecryptWithAd. out has sealed.size - overhead bytes and may be sealed.data.
 * TRUNCATED, MISMATCH as crypto_aead_open; LIMIT as above. The nonce moves on
 * only on success. */
enum status cipher_state_open(struct cipher_state *cs, struct bytes ad,
                              struct bytes sealed, uint8_t *out) MUST_CHECK;

/* REKEY(k) of section 4.2; the nonce stays. Needs a key. */
void cipher_state_rekey(struct cipher_state *cs);

#endif
