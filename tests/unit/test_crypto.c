/* The face over libsodium: published answers, refusals, and that what belongs
 * together fits together. The conformance programs run the long lists. */
#include "protocol/crypto.h"

#include "tests/support/cmocka.h"
#include "tests/support/hex.h"

static struct crypto_sign_key key_of(uint8_t byte)
{
    uint8_t seed[CRYPTO_SEED_BYTES];
    struct crypto_sign_key key;
    memset(seed, byte, sizeof(seed));
    crypto_sign_key_from_seed(seed, &key);
    return key;
}

static void node_id_hex_round_trips(void **state)
{
    (void)state;
    struct crypto_sign_key key = key_of(1);
    struct node_id id = crypto_sign_key_id(&key), back, before = {{7}};
    char text[NODE_ID_HEX_SIZE + 1];
    node_id_hex(&id, text);
    assert_int_equal(strlen(text), 64);
    assert_true(node_id_from_hex(text, &back));
    assert_true(node_id_equal(&id, &back));
    back = before;
    text[63] = 'g';
    assert_false(node_id_from_hex(text, &back));
    text[63] = '\0';
    assert_false(node_id_from_hex(text, &back));
    assert_true(node_id_equal(&back, &before));
    assert_false(node_id_is_zero(&id));
    assert_true(node_id_compare(&id, &before) != 0);
}

static void crypto_sign_key_keeps_its_seed(void **state)
{
    (void)state;
    struct rng_seeded seeded;
    rng_seeded_init(&seeded, 1);
    struct rng rng = rng_from_seeded(&seeded);
    struct crypto_sign_key key, again;
    uint8_t seed[CRYPTO_SEED_BYTES];
    crypto_sign_key_generate(&rng, &key);
    crypto_sign_key_seed(&key, seed);
    crypto_sign_key_from_seed(seed, &again);
    assert_memory_equal(&key, &again, sizeof(key));
}

static void crypto_verify_refuses_every_changed_byte(void **state)
{
    (void)state;
    struct crypto_sign_key key = key_of(2);
    struct node_id id = crypto_sign_key_id(&key);
    struct crypto_signature sig;
    char msg[] = "message";
    struct bytes view = bytes_of_text(msg);
    crypto_sign_message(&key, view, &sig);
    assert_int_equal(crypto_verify(&id, view, &sig), STATUS_OK);
    for (size_t i = 0; i < sizeof(sig.b); i++) {
        sig.b[i] ^= 0x10;
        assert_int_equal(crypto_verify(&id, view, &sig), STATUS_BAD_SIGNATURE);
        sig.b[i] ^= 0x10;
    }
    for (size_t i = 0; i < view.size; i++) {
        msg[i] ^= 1;
        assert_int_equal(crypto_verify(&id, view, &sig), STATUS_BAD_SIGNATURE);
        msg[i] ^= 1;
    }
    for (size_t i = 0; i < sizeof(id.b); i++) {
        id.b[i] ^= 1;
        assert_int_equal(crypto_verify(&id, view, &sig), STATUS_BAD_SIGNATURE);
        id.b[i] ^= 1;
    }
}

static void crypto_verify_refuses_keys_of_small_order(void **state)
{
    (void)state;
    static const char *const keys[] = {
        "0000000000000000000000000000000000000000000000000000000000000000",
        "0100000000000000000000000000000000000000000000000000000000000000",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
    };
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
        struct node_id id;
        struct crypto_dh_public dh;
        struct crypto_signature sig = {{1}};
        assert_true(node_id_from_hex(keys[i], &id));
        assert_int_equal(crypto_verify(&id, bytes_of_text("m"), &sig),
                         STATUS_BAD_SIGNATURE);
        assert_int_equal(crypto_dh_public_from_id(&id, &dh), STATUS_MISMATCH);
    }
}

/* A node's Noise key is one key, whether from its secret or its id. */
static void crypto_dh_forms_of_a_sign_key_agree(void **state)
{
    (void)state;
    for (uint8_t i = 0; i < 8; i++) {
        struct crypto_sign_key key = key_of(i);
        struct node_id id = crypto_sign_key_id(&key);
        struct crypto_dh_key secret;
        struct crypto_dh_public from_secret, from_id;
        crypto_dh_key_from_sign(&key, &secret);
        crypto_dh_public(&secret, &from_secret);
        assert_int_equal(crypto_dh_public_from_id(&id, &from_id), STATUS_OK);
        assert_memory_equal(&from_secret, &from_id, sizeof(from_id));
    }
}

static void crypto_dh_agrees_and_refuses_zero(void **state)
{
    (void)state;
    struct rng rng = crypto_rng();
    struct crypto_dh_key a, b;
    struct crypto_dh_public a_public, b_public, zero = {{0}};
    uint8_t ab[CRYPTO_DH_BYTES], ba[CRYPTO_DH_BYTES];
    static const uint8_t zeros[CRYPTO_DH_BYTES];
    crypto_dh_key_generate(&rng, &a);
    crypto_dh_key_generate(&rng, &b);
    crypto_dh_public(&a, &a_public);
    crypto_dh_public(&b, &b_public);
    assert_int_equal(crypto_dh(&a, &b_public, ab), STATUS_OK);
    assert_int_equal(crypto_dh(&b, &a_public, ba), STATUS_OK);
    assert_memory_equal(ab, ba, sizeof(ab));
    assert_int_equal(crypto_dh(&a, &zero, ab), STATUS_MISMATCH);
    assert_memory_equal(ab, zeros, sizeof(ab));
}

static void crypto_aead_seals_in_place_and_refuses_changes(void **state)
{
    (void)state;
    struct crypto_secret key = {{1, 2, 3}};
    uint8_t nonce[CRYPTO_NONCE_BYTES] = {4};
    uint8_t buf[5 + CRYPTO_TAG_BYTES] = "hello", out[5 + CRYPTO_TAG_BYTES];
    struct bytes ad = bytes_of_text("ad");
    struct bytes sealed = bytes_of(buf, sizeof(buf));
    crypto_aead_seal(&key, nonce, ad, bytes_of(buf, 5), buf);
    for (size_t i = 0; i < sizeof(buf); i++) {
        buf[i] ^= 1;
        assert_int_equal(crypto_aead_open(&key, nonce, ad, sealed, out),
                         STATUS_MISMATCH);
        buf[i] ^= 1;
    }
    for (size_t size = 0; size < sizeof(buf); size++)
        assert_int_equal(
            crypto_aead_open(&key, nonce, ad, bytes_of(buf, size), out),
            size < CRYPTO_TAG_BYTES ? STATUS_TRUNCATED : STATUS_MISMATCH);
    assert_int_equal(
        crypto_aead_open(&key, nonce, (struct bytes){0}, sealed, out),
        STATUS_MISMATCH);
    assert_int_equal(crypto_aead_open(&key, nonce, ad, sealed, buf), STATUS_OK);
    assert_memory_equal(buf, "hello", 5);
}

static void crypto_digest_is_the_published_one(void **state)
{
    (void)state;
    uint8_t out[CRYPTO_HASH_MAX], want[CRYPTO_HASH_MAX];
    struct bytes ab = bytes_of_text("ab"), c = bytes_of_text("c");
    /* RFC 7693 appendix A, FIPS 180-4: of "abc". */
    hex_bytes(
        "ba80a53f981c4d0d6a2797b69f12f6e94c212f14685ac4b74b12bb6fdbffa2d1"
        "7d87c5392aab792dc252d5de4533cc9518d38aa8dbf1925ab92386edd4009923",
        want, sizeof(want));
    crypto_digest(CRYPTO_BLAKE2B, ab, c, out);
    assert_memory_equal(out, want, 64);
    hex_bytes(
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
        want, sizeof(want));
    crypto_digest(CRYPTO_SHA256, ab, c, out);
    assert_memory_equal(out, want, 32);
}

/* RFC 4231 test cases 1 and 2; for BLAKE2b from Python's hmac. */
static void crypto_hmac_is_the_published_one(void **state)
{
    (void)state;
    uint8_t out[CRYPTO_HASH_MAX], want[CRYPTO_HASH_MAX], key[20];
    memset(key, 0x0b, sizeof(key));
    crypto_hmac(CRYPTO_SHA256, bytes_of(key, sizeof(key)), bytes_of_text("Hi "),
                bytes_of_text("There"), out);
    hex_bytes(
        "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7",
        want, sizeof(want));
    assert_memory_equal(out, want, 32);
    crypto_hmac(CRYPTO_SHA256, bytes_of_text("Jefe"),
                bytes_of_text("what do ya want for nothing?"),
                (struct bytes){0}, out);
    hex_bytes(
        "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
        want, sizeof(want));
    assert_memory_equal(out, want, 32);
    crypto_hmac(CRYPTO_BLAKE2B, bytes_of_text("Jefe"),
                bytes_of_text("what do ya want for nothing?"),
                (struct bytes){0}, out);
    hex_bytes(
        "6ff884f8ddc2a6586b3c98a4cd6ebdf14ec10204b6710073eb5865ade37a2643"
        "b8807c1335d107ecdb9ffeaeb6828c4625ba172c66379efcd222c2de11727ab4",
        want, sizeof(want));
    assert_memory_equal(out, want, 64);
}

/* HKDF of Noise is HMAC by its definition, and two outputs are the first two
 * of three. */
static void crypto_hkdf_chains_hmac(void **state)
{
    (void)state;
    static const enum crypto_hash_kind kinds[] = {CRYPTO_BLAKE2B,
                                                  CRYPTO_SHA256};
    for (int k = 0; k < 2; k++) {
        size_t size = crypto_hash_size(kinds[k]);
        uint8_t ck[CRYPTO_HASH_MAX] = {5}, two[2][CRYPTO_HASH_MAX];
        uint8_t three[3][CRYPTO_HASH_MAX], temp[CRYPTO_HASH_MAX];
        uint8_t want[CRYPTO_HASH_MAX];
        struct bytes input = bytes_of_text("input");
        crypto_hkdf(kinds[k], ck, input, 2, two);
        crypto_hkdf(kinds[k], ck, input, 3, three);
        assert_memory_equal(two[0], three[0], size);
        assert_memory_equal(two[1], three[1], size);
        crypto_hmac(kinds[k], bytes_of(ck, size), input, (struct bytes){0},
                    temp);
        crypto_hmac(kinds[k], bytes_of(temp, size), bytes_of(three[1], size),
                    bytes_of("\3", 1), want);
        assert_memory_equal(three[2], want, size);
    }
}

static void crypto_mac_verifies_only_itself(void **state)
{
    (void)state;
    uint8_t mac[16];
    struct bytes key = bytes_of_text("secret"), in = bytes_of_text("beacon");
    struct bytes view = bytes_of(mac, sizeof(mac));
    crypto_mac(key, in, mac, sizeof(mac));
    assert_true(crypto_mac_ok(key, in, view));
    assert_false(crypto_mac_ok(bytes_of_text("secreT"), in, view));
    assert_false(crypto_mac_ok(key, bytes_of_text("beaco"), view));
    for (size_t i = 0; i < sizeof(mac); i++) {
        mac[i] ^= 0x80;
        assert_false(crypto_mac_ok(key, in, view));
        mac[i] ^= 0x80;
    }
    assert_false(crypto_mac_ok(key, in, bytes_of(mac, 15)));
    assert_false(crypto_mac_ok(key, in, bytes_of(mac, 0)));
}

static void crypto_wipe_and_unlock_leave_zeroes(void **state)
{
    (void)state;
    uint8_t secret[32], zeros[32] = {0};
    memset(secret, 7, sizeof(secret));
    assert_false(crypto_equal(secret, zeros, sizeof(secret)));
    crypto_wipe(secret, sizeof(secret));
    assert_true(crypto_equal(secret, zeros, sizeof(secret)));
    crypto_lock(secret, sizeof(secret));
    memset(secret, 7, sizeof(secret));
    crypto_unlock(secret, sizeof(secret));
    assert_memory_equal(secret, zeros, sizeof(secret));
}

static int setup(void **state)
{
    (void)state;
    return crypto_init() || crypto_init() ? -1 : 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(node_id_hex_round_trips),
        cmocka_unit_test(crypto_sign_key_keeps_its_seed),
        cmocka_unit_test(crypto_verify_refuses_every_changed_byte),
        cmocka_unit_test(crypto_verify_refuses_keys_of_small_order),
        cmocka_unit_test(crypto_dh_forms_of_a_sign_key_agree),
        cmocka_unit_test(crypto_dh_agrees_and_refuses_zero),
        cmocka_unit_test(crypto_aead_seals_in_place_and_refuses_changes),
        cmocka_unit_test(crypto_digest_is_the_published_one),
        cmocka_unit_test(crypto_hmac_is_the_published_one),
        cmocka_unit_test(crypto_hkdf_chains_hmac),
        cmocka_unit_test(crypto_mac_verifies_only_itself),
        cmocka_unit_test(crypto_wipe_and_unlock_leave_zeroes),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}
