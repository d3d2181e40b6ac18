/* SymmetricState. Keys come from the first 32 bytes of HKDF outputs when
 * HASHLEN is 64.
 *
 * Ref: The Noise Protocol Framework, revision 34, section 5.2. */
#include "protocol/noise/symmetric_state.h"

static struct bytes symmetric_state_h(const struct symmetric_state *ss)
{
    return bytes_of(ss->h, crypto_hash_size(ss->hash));
}

static void symmetric_state_set_key(struct cipher_state *cs,
                                    const uint8_t temp_k[CRYPTO_HASH_MAX])
{
    struct crypto_secret key;
    memcpy(key.b, temp_k, sizeof(key.b));
    cipher_state_init_key(cs, &key);
    crypto_wipe(&key, sizeof(key));
}

void symmetric_state_init(struct symmetric_state *ss,
                          enum crypto_hash_kind hash, const char *name)
{
    struct bytes text = bytes_of_text(name);
    *ss = (struct symmetric_state){.hash = hash};
    if (text.size <= crypto_hash_size(hash))
        memcpy(ss->h, text.data, text.size);
    else
        crypto_digest(hash, text, (struct bytes){0}, ss->h);
    memcpy(ss->ck, ss->h, sizeof(ss->ck));
}

void symmetric_state_deinit(struct symmetric_state *ss)
{
    crypto_wipe(ss, sizeof(*ss));
}

void symmetric_state_mix_key(struct symmetric_state *ss, struct bytes input)
{
    uint8_t out[2][CRYPTO_HASH_MAX];
    crypto_hkdf(ss->hash, ss->ck, input, 2, out);
    memcpy(ss->ck, out[0], crypto_hash_size(ss->hash));
    symmetric_state_set_key(&ss->cipher, out[1]);
    crypto_wipe(out, sizeof(out));
}

void symmetric_state_mix_hash(struct symmetric_state *ss, struct bytes data)
{
    crypto_digest(ss->hash, symmetric_state_h(ss), data, ss->h);
}

void symmetric_state_mix_key_and_hash(struct symmetric_state *ss,
                                      struct bytes input)
{
    uint8_t out[3][CRYPTO_HASH_MAX];
    crypto_hkdf(ss->hash, ss->ck, input, 3, out);
    memcpy(ss->ck, out[0], crypto_hash_size(ss->hash));
    symmetric_state_mix_hash(ss, bytes_of(out[1], crypto_hash_size(ss->hash)));
    symmetric_state_set_key(&ss->cipher, out[2]);
    crypto_wipe(out, sizeof(out));
}

enum status symmetric_state_seal(struct symmetric_state *ss, struct bytes plain,
                                 uint8_t *out)
{
    size_t size = plain.size + cipher_state_overhead(&ss->cipher);
    enum status status =
        cipher_state_seal(&ss->cipher, symmetric_state_h(ss), plain, out);
    if (!status)
        symmetric_state_mix_hash(ss, bytes_of(out, size));
    return status;
}

enum status symmetric_state_open(struct symmetric_state *ss,
                                 struct bytes sealed, uint8_t *out)
{
    enum status status =
        cipher_state_open(&ss->cipher, symmetric_state_h(ss), sealed, out);
    if (!status)
        symmetric_state_mix_hash(ss, sealed);
    return status;
}

struct bytes symmetric_state_hash(const struct symmetric_state *ss)
{
    return symmetric_state_h(ss);
}

void symmetric_state_split(const struct symmetric_state *ss,
                           struct cipher_state *c1, struct cipher_state *c2)
{
    uint8_t out[2][CRYPTO_HASH_MAX];
    crypto_hkdf(ss->hash, ss->ck, (struct bytes){0}, 2, out);
    symmetric_state_set_key(c1, out[0]);
    symmetric_state_set_key(c2, out[1]);
    crypto_wipe(out, sizeof(out));
}
