/* Every cryptographic primitive of the protocol: a thin face over libsodium.
 * Beside codec/base/hash.c the only file that knows the library.
 *
 * libsodium exports names of the same prefix: where one is taken ours is longer
 * (crypto_sign_message, crypto_digest).
 *
 * Functions that cannot fail once crypto_init has succeeded return void.
 * Secrets are wiped by their owner with crypto_wipe. */
#ifndef PROTOCOL_CRYPTO_H
#define PROTOCOL_CRYPTO_H

#include "codec/base/bytes.h"
#include "codec/base/rng.h"
#include "codec/base/status.h"
#include "protocol/node_id.h"

#define CRYPTO_SEED_BYTES      32u
#define CRYPTO_SIGNATURE_BYTES 64u
#define CRYPTO_DH_BYTES        32u
#define CRYPTO_SECRET_BYTES    32u
#define CRYPTO_NONCE_BYTES     12u
#define CRYPTO_TAG_BYTES       16u
#define CRYPTO_HASH_MAX        64u

/* An Ed25519 private key: the seed, then the public key. Secret. */
struct crypto_sign_key {
    uint8_t b[64];
};

struct crypto_signature {
    uint8_t b[CRYPTO_SIGNATURE_BYTES];
};

/* An X25519 private key. Secret. */
struct crypto_dh_key {
    uint8_t b[CRYPTO_DH_BYTES];
};

struct crypto_dh_public {
    uint8_t b[CRYPTO_DH_BYTES];
};

/* Any 32-byte symmetric secret: a pre-shared key, a cipher key, the fleet
 * secret. */
struct crypto_secret {
    uint8_t b[CRYPTO_SECRET_BYTES];
};

/* Call once in a process before anything else here; may be called again.
 * INTERNAL: the library found no usable source of randomness. */
enum status crypto_init(void) MUST_CHECK;

/* The operating system's random bytes. */
struct rng crypto_rng(void);

/* Overwrites in a way that the compiler keeps. */
void crypto_wipe(void *data, size_t size);

/* Compares in time that depends on size only. */
bool crypto_equal(const void *a, const void *b, size_t size);

/* Keeps pages out of swap and core dumps, as far as the system allows; unlock
 * wipes too. For long-lived keys of a process. */
void crypto_lock(void *data, size_t size);
void crypto_unlock(void *data, size_t size);

/* Ed25519 (RFC 8032). */
void crypto_sign_key_from_seed(const uint8_t seed[CRYPTO_SEED_BYTES],
                               struct crypto_sign_key *out);
void crypto_sign_key_generate(const struct rng *rng,
                              struct crypto_sign_key *out);
void crypto_sign_key_seed(const struct crypto_sign_key *key,
                          uint8_t out[CRYPTO_SEED_BYTES]);
struct node_id crypto_sign_key_id(const struct crypto_sign_key *key);
void crypto_sign_message(const struct crypto_sign_key *key, struct bytes msg,
                         struct crypto_signature *out);

/* Strict: BAD_SIGNATURE also for keys or R of small order, keys not in their
 * one encoding, and S not below the order of the group. */
enum status crypto_verify(const struct node_id *id, struct bytes msg,
                          const struct crypto_signature *sig) MUST_CHECK;

/* The X25519 forms of Ed25519 keys: the Noise static key of a node.
 * MISMATCH: the id is no point of the prime-order group. */
void crypto_dh_key_from_sign(const struct crypto_sign_key *key,
                             struct crypto_dh_key *out);
enum status crypto_dh_public_from_id(const struct node_id *id,
                                     struct crypto_dh_public *out) MUST_CHECK;

/* X25519 (RFC 7748). */
void crypto_dh_key_generate(const struct rng *rng, struct crypto_dh_key *out);
void crypto_dh_public(const struct crypto_dh_key *key,
                      struct crypto_dh_public *out);

/* out gets CRYPTO_DH_BYTES. MISMATCH: the shared secret is all zero, which
 * only happens with a public key of small order; out is then zeroed. */
enum status crypto_dh(const struct crypto_dh_key *key,
                      const struct crypto_dh_public *remote,
                      uint8_t out[CRYPTO_DH_BYTES]) MUST_CHECK;

/* ChaCha20-Poly1305 (RFC 8439). out has plain.size + CRYPTO_TAG_BYTES and may
 * be plain.data. */
void crypto_aead_seal(const struct crypto_secret *key,
                      const uint8_t nonce[CRYPTO_NONCE_BYTES], struct bytes ad,
                      struct bytes plain, uint8_t *out);

/* out has sealed.size - CRYPTO_TAG_BYTES and may be sealed.data.
 * TRUNCATED: shorter than a tag. MISMATCH: not made with this key, nonce and
 * ad; out is then unspecified and holds no plaintext. */
enum status crypto_aead_open(const struct crypto_secret *key,
                             const uint8_t nonce[CRYPTO_NONCE_BYTES],
                             struct bytes ad, struct bytes sealed, uint8_t *out)
    MUST_CHECK;

/* The hashes Noise names, and HMAC and HKDF over them as it defines them
 * (sections 4.3 and 5.1). */
enum crypto_hash_kind {
    CRYPTO_BLAKE2B, /* BLAKE2b-512, RFC 7693: 64 bytes */
    CRYPTO_SHA256   /* FIPS 180-4: 32 bytes */
};

/* HASHLEN of Noise. */
size_t crypto_hash_size(enum crypto_hash_kind kind);

/* Hash of a followed by b; out has crypto_hash_size bytes and may overlap
 * either. */
void crypto_digest(enum crypto_hash_kind kind, struct bytes a, struct bytes b,
                   uint8_t *out);

/* HMAC (RFC 2104) of a followed by b under key of at most one block (64 bytes).
 * out as for crypto_digest. */
void crypto_hmac(enum crypto_hash_kind kind, struct bytes key, struct bytes a,
                 struct bytes b, uint8_t *out);

/* HKDF(chaining_key, input, count): out gets count blocks of CRYPTO_HASH_MAX
 * bytes, of which the first crypto_hash_size bytes each are used; count is 2
 * or 3. chaining_key has crypto_hash_size bytes; out may overlap it. */
void crypto_hkdf(enum crypto_hash_kind kind, const uint8_t *chaining_key,
                 struct bytes input, unsigned count,
                 uint8_t out[][CRYPTO_HASH_MAX]);

/* BLAKE2b of in, keyed when key is not empty (at most 64 bytes); size is
 * 1..64. Beacons use it as their MAC with 16 bytes. */
void crypto_mac(struct bytes key, struct bytes in, uint8_t *out, size_t size);

/* Verifies a MAC in constant time. */
bool crypto_mac_ok(struct bytes key, struct bytes in, struct bytes mac);

/* A key from a passphrase by Argon2id (RFC 9106) with the "moderate" limits of
 * libsodium: about a second and 256 MiB. salt has CRYPTO_SALT_BYTES.
 * NO_MEMORY. */
#define CRYPTO_SALT_BYTES 16u
enum status crypto_secret_from_passphrase(struct bytes passphrase,
                                          const uint8_t *salt,
                                          struct crypto_secret *out) MUST_CHECK;

/* Base64 with padding (RFC 4648 section 4), in constant time for its size. A
 * new string to free(); NULL when memory is short. */
char *crypto_base64(struct bytes in);

/* The bytes of a Base64 text, to free(). CORRUPT: another alphabet, wrong or
 * missing padding, anything behind it. NO_MEMORY. An empty text yields a
 * pointer to no bytes. */
enum status crypto_from_base64(const char *text, uint8_t **out, size_t *size)
    MUST_CHECK;

#endif
