/* CipherState over ChaCha20-Poly1305.
 *
 * Ref: The Noise Protocol Framework, revision 34, sections 4.2, 5.1 and 12.3.
 */
#include "protocol/noise/cipher_state.h"

#include <assert.h>

/* Reserved for rekeying; never a message's. */
#define CIPHER_STATE_LAST_NONCE UINT64_MAX

void cipher_state_init_key(struct cipher_state *cs,
                           const struct crypto_secret *key)
{
    cs->k = *key;
    cs->n = 0;
    cs->has_key = true;
}

void cipher_state_deinit(struct cipher_state *cs)
{
    crypto_wipe(cs, sizeof(*cs));
}

size_t cipher_state_overhead(const struct cipher_state *cs)
{
    return cs->has_key ? CRYPTO_TAG_BYTES : 0;
}

/* 32 zero bits, then the counter in little-endian order. */
static void cipher_state_nonce(uint64_t n, uint8_t out[CRYPTO_NONCE_BYTES])
{
    memset(out, 0, 4);
    store_le64(out + 4, n);
}

static void cipher_state_copy(struct bytes in, uint8_t *out)
{
    if (in.size)
        memmove(out, in.data, in.size);
}

enum status cipher_state_seal(struct cipher_state *cs, struct bytes ad,
                              struct bytes plain, uint8_t *out)
{
    uint8_t nonce[CRYPTO_NONCE_BYTES];
    if (!cs->has_key) {
        cipher_state_copy(plain, out);
        return STATUS_OK;
    }
    if (cs->n == CIPHER_STATE_LAST_NONCE)
        return STATUS_LIMIT;
    cipher_state_nonce(cs->n++, nonce);
    crypto_aead_seal(&cs->k, nonce, ad, plain, out);
    return STATUS_OK;
}

enum status cipher_state_open(struct cipher_state *cs, struct bytes ad,
                              struct bytes sealed, uint8_t *out)
{
    uint8_t nonce[CRYPTO_NONCE_BYTES];
    if (!cs->has_key) {
        cipher_state_copy(sealed, out);
        return STATUS_OK;
    }
    if (cs->n == CIPHER_STATE_LAST_NONCE)
        return STATUS_LIMIT;
    cipher_state_nonce(cs->n, nonce);
    enum status status = crypto_aead_open(&cs->k, nonce, ad, sealed, out);
    if (!status)
        cs->n++;
    return status;
}

void cipher_state_rekey(struct cipher_state *cs)
{
    static const uint8_t zeros[CRYPTO_SECRET_BYTES];
    uint8_t nonce[CRYPTO_NONCE_BYTES];
    uint8_t out[CRYPTO_SECRET_BYTES + CRYPTO_TAG_BYTES];
    assert(cs->has_key);
    cipher_state_nonce(CIPHER_STATE_LAST_NONCE, nonce);
    crypto_aead_seal(&cs->k, nonce, (struct bytes){0},
                     bytes_of(zeros, sizeof(zeros)), out);
    memcpy(cs->k.b, out, sizeof(cs->k.b));
    crypto_wipe(out, sizeof(out));
}
