/* The face over libsodium. Return codes that can only mean a wrong size are
 * asserted; the rest become statuses here. */
#include "protocol/crypto.h"

#include <assert.h>
#include <sodium.h>
#include <stdlib.h>

static_assert(sizeof(struct crypto_sign_key) == crypto_sign_SECRETKEYBYTES,
              "secret key: seed, then public key");
static_assert(CRYPTO_SIGNATURE_BYTES == crypto_sign_BYTES, "signature");
static_assert(CRYPTO_SEED_BYTES == crypto_sign_SEEDBYTES, "seed");
static_assert(NODE_ID_BYTES == crypto_sign_PUBLICKEYBYTES, "public key");
static_assert(CRYPTO_DH_BYTES == crypto_scalarmult_BYTES, "X25519");
static_assert(CRYPTO_TAG_BYTES == crypto_aead_chacha20poly1305_ietf_ABYTES,
              "tag");
static_assert(CRYPTO_NONCE_BYTES == crypto_aead_chacha20poly1305_ietf_NPUBBYTES,
              "nonce");

enum status crypto_init(void)
{
    return sodium_init() < 0 ? STATUS_INTERNAL : STATUS_OK;
}

static void crypto_rng_fill(void *ctx, void *out, size_t size)
{
    (void)ctx;
    randombytes_buf(out, size);
}

struct rng crypto_rng(void)
{
    return (struct rng){crypto_rng_fill, NULL};
}

void crypto_wipe(void *data, size_t size)
{
    sodium_memzero(data, size);
}

bool crypto_equal(const void *a, const void *b, size_t size)
{
    return sodium_memcmp(a, b, size) == 0;
}

void crypto_lock(void *data, size_t size)
{
    /* Refused by a small RLIMIT_MEMLOCK: the key works all the same. */
    (void)sodium_mlock(data, size);
}

void crypto_unlock(void *data, size_t size)
{
    (void)sodium_munlock(data, size);
    sodium_memzero(data, size);
}

void crypto_sign_key_from_seed(const uint8_t seed[CRYPTO_SEED_BYTES],
                               struct crypto_sign_key *out)
{
    struct node_id id;
    int rc = crypto_sign_seed_keypair(id.b, out->b, seed);
    assert(rc == 0);
    (void)rc;
}

void crypto_sign_key_generate(const struct rng *rng,
                              struct crypto_sign_key *out)
{
    uint8_t seed[CRYPTO_SEED_BYTES];
    rng_fill(rng, seed, sizeof(seed));
    crypto_sign_key_from_seed(seed, out);
    crypto_wipe(seed, sizeof(seed));
}

void crypto_sign_key_seed(const struct crypto_sign_key *key,
                          uint8_t out[CRYPTO_SEED_BYTES])
{
    memcpy(out, key->b, CRYPTO_SEED_BYTES);
}

struct node_id crypto_sign_key_id(const struct crypto_sign_key *key)
{
    struct node_id id;
    memcpy(id.b, key->b + CRYPTO_SEED_BYTES, sizeof(id.b));
    return id;
}

void crypto_sign_message(const struct crypto_sign_key *key, struct bytes msg,
                         struct crypto_signature *out)
{
    int rc = crypto_sign_detached(out->b, NULL, msg.data, msg.size, key->b);
    assert(rc == 0);
    (void)rc;
}

enum status crypto_verify(const struct node_id *id, struct bytes msg,
                          const struct crypto_signature *sig)
{
    return crypto_sign_verify_detached(sig->b, msg.data, msg.size, id->b)
               ? STATUS_BAD_SIGNATURE
               : STATUS_OK;
}

void crypto_dh_key_from_sign(const struct crypto_sign_key *key,
                             struct crypto_dh_key *out)
{
    int rc = crypto_sign_ed25519_sk_to_curve25519(out->b, key->b);
    assert(rc == 0);
    (void)rc;
}

enum status crypto_dh_public_from_id(const struct node_id *id,
                                     struct crypto_dh_public *out)
{
    return crypto_sign_ed25519_pk_to_curve25519(out->b, id->b) ? STATUS_MISMATCH
                                                               : STATUS_OK;
}

void crypto_dh_key_generate(const struct rng *rng, struct crypto_dh_key *out)
{
    rng_fill(rng, out->b, sizeof(out->b));
}

void crypto_dh_public(const struct crypto_dh_key *key,
                      struct crypto_dh_public *out)
{
    int rc = crypto_scalarmult_base(out->b, key->b);
    assert(rc == 0);
    (void)rc;
}

enum status crypto_dh(const struct crypto_dh_key *key,
                      const struct crypto_dh_public *remote,
                      uint8_t out[CRYPTO_DH_BYTES])
{
    if (crypto_scalarmult(out, key->b, remote->b) == 0)
        return STATUS_OK;
    crypto_wipe(out, CRYPTO_DH_BYTES);
    return STATUS_MISMATCH;
}

void crypto_aead_seal(const struct crypto_secret *key,
                      const uint8_t nonce[CRYPTO_NONCE_BYTES], struct bytes ad,
                      struct bytes plain, uint8_t *out)
{
    int rc = crypto_aead_chacha20poly1305_ietf_encrypt(
        out, NULL, plain.data, plain.size, ad.data, ad.size, NULL, nonce,
        key->b);
    assert(rc == 0);
    (void)rc;
}

enum status crypto_aead_open(const struct crypto_secret *key,
                             const uint8_t nonce[CRYPTO_NONCE_BYTES],
                             struct bytes ad, struct bytes sealed, uint8_t *out)
{
    if (sealed.size < CRYPTO_TAG_BYTES)
        return STATUS_TRUNCATED;
    return crypto_aead_chacha20poly1305_ietf_decrypt(
               out, NULL, NULL, sealed.data, sealed.size, ad.data, ad.size,
               nonce, key->b)
               ? STATUS_MISMATCH
               : STATUS_OK;
}

size_t crypto_hash_size(enum crypto_hash_kind kind)
{
    return kind == CRYPTO_BLAKE2B ? 64 : 32;
}

/* BLOCKLEN of Noise. */
static size_t crypto_hash_block(enum crypto_hash_kind kind)
{
    return kind == CRYPTO_BLAKE2B ? 128 : 64;
}

static void crypto_hash3_blake2b(const struct bytes parts[3], uint8_t *out)
{
    crypto_generichash_blake2b_state st;
    crypto_generichash_blake2b_init(&st, NULL, 0, 64);
    for (int i = 0; i < 3; i++)
        crypto_generichash_blake2b_update(&st, parts[i].data, parts[i].size);
    crypto_generichash_blake2b_final(&st, out, 64);
    crypto_wipe(&st, sizeof(st));
}

static void crypto_hash3_sha256(const struct bytes parts[3], uint8_t *out)
{
    crypto_hash_sha256_state st;
    crypto_hash_sha256_init(&st);
    for (int i = 0; i < 3; i++)
        crypto_hash_sha256_update(&st, parts[i].data, parts[i].size);
    crypto_hash_sha256_final(&st, out);
    crypto_wipe(&st, sizeof(st));
}

/* Empty parts may have no address, which the library does not take. */
static void crypto_hash3(enum crypto_hash_kind kind, struct bytes a,
                         struct bytes b, struct bytes c, uint8_t *out)
{
    static const uint8_t nothing[1];
    struct bytes parts[3] = {a, b, c};
    for (int i = 0; i < 3; i++)
        if (!parts[i].size)
            parts[i].data = nothing;
    if (kind == CRYPTO_BLAKE2B)
        crypto_hash3_blake2b(parts, out);
    else
        crypto_hash3_sha256(parts, out);
}

void crypto_digest(enum crypto_hash_kind kind, struct bytes a, struct bytes b,
                   uint8_t *out)
{
    crypto_hash3(kind, a, b, (struct bytes){0}, out);
}

void crypto_hmac(enum crypto_hash_kind kind, struct bytes key, struct bytes a,
                 struct bytes b, uint8_t *out)
{
    uint8_t pad[128] = {0};
    uint8_t inner[CRYPTO_HASH_MAX];
    size_t block = crypto_hash_block(kind);
    assert(key.size <= 64);
    if (key.size)
        memcpy(pad, key.data, key.size);
    for (size_t i = 0; i < block; i++)
        pad[i] ^= 0x36;
    crypto_hash3(kind, bytes_of(pad, block), a, b, inner);
    for (size_t i = 0; i < block; i++)
        pad[i] ^= 0x36 ^ 0x5c;
    crypto_digest(kind, bytes_of(pad, block),
                  bytes_of(inner, crypto_hash_size(kind)), out);
    crypto_wipe(pad, sizeof(pad));
    crypto_wipe(inner, sizeof(inner));
}

void crypto_hkdf(enum crypto_hash_kind kind, const uint8_t *chaining_key,
                 struct bytes input, unsigned count,
                 uint8_t out[][CRYPTO_HASH_MAX])
{
    size_t size = crypto_hash_size(kind);
    uint8_t temp_key[CRYPTO_HASH_MAX];
    assert(count == 2 || count == 3);
    crypto_hmac(kind, bytes_of(chaining_key, size), input, (struct bytes){0},
                temp_key);
    for (unsigned i = 0; i < count; i++) {
        uint8_t counter = (uint8_t)(i + 1);
        struct bytes last = {i ? out[i - 1] : NULL, i ? size : 0};
        crypto_hmac(kind, bytes_of(temp_key, size), last, bytes_of(&counter, 1),
                    out[i]);
    }
    crypto_wipe(temp_key, sizeof(temp_key));
}

void crypto_mac(struct bytes key, struct bytes in, uint8_t *out, size_t size)
{
    int rc = crypto_generichash_blake2b(out, size, in.data, in.size,
                                        key.size ? key.data : NULL, key.size);
    assert(rc == 0);
    (void)rc;
}

bool crypto_mac_ok(struct bytes key, struct bytes in, struct bytes mac)
{
    uint8_t want[64];
    if (!mac.size || mac.size > sizeof(want))
        return false;
    crypto_mac(key, in, want, mac.size);
    return crypto_equal(want, mac.data, mac.size);
}

enum status crypto_secret_from_passphrase(struct bytes passphrase,
                                          const uint8_t *salt,
                                          struct crypto_secret *out)
{
    static_assert(CRYPTO_SALT_BYTES == crypto_pwhash_argon2id_SALTBYTES,
                  "salt of Argon2id");
    if (crypto_pwhash_argon2id(out->b, sizeof(out->b),
                               (const char *)passphrase.data, passphrase.size,
                               salt, crypto_pwhash_argon2id_OPSLIMIT_MODERATE,
                               crypto_pwhash_argon2id_MEMLIMIT_MODERATE,
                               crypto_pwhash_argon2id_ALG_ARGON2ID13))
        return STATUS_NO_MEMORY;
    return STATUS_OK;
}

char *crypto_base64(struct bytes in)
{
    const int variant = sodium_base64_VARIANT_ORIGINAL;
    if (in.size > SIZE_MAX / 2)
        return NULL;
    size_t size = sodium_base64_encoded_len(in.size, variant);
    char *out = malloc(size);
    return out ? sodium_bin2base64(out, size, in.data, in.size, variant) : NULL;
}

enum status crypto_from_base64(const char *text, uint8_t **out, size_t *size)
{
    size_t text_size = strlen(text);
    size_t cap = text_size / 4 * 3 + 3;
    *out = malloc(cap);
    *size = 0;
    if (!*out)
        return STATUS_NO_MEMORY;
    if (!sodium_base642bin(*out, cap, text, text_size, NULL, size, NULL,
                           sodium_base64_VARIANT_ORIGINAL))
        return STATUS_OK;
    free(*out);
    *out = NULL;
    return STATUS_CORRUPT;
}
