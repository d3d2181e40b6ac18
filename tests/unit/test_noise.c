/* The Noise engine: two sides of every pattern meet, and nothing but the exact
 * messages, in order, under the same secrets, lets them. */
#include "protocol/noise/handshake_state.h"

#include "tests/support/cmocka.h"

#include <stdio.h>

#define OURS         "Noise_XXpsk0_25519_ChaChaPoly_BLAKE2b"
#define MESSAGE_ROOM 512u

struct pair {
    struct noise_pattern pattern;
    struct crypto_dh_key s[2];
    struct crypto_dh_public s_public[2];
    struct crypto_secret psks[2][LIMIT_NOISE_PSKS];
    struct bytes prologue[2];
    struct rng_seeded seeded;
    struct handshake_state hs[2]; /* initiator, responder */
};

static void pair_init(struct pair *pair, const char *name)
{
    *pair = (struct pair){0};
    assert_int_equal(noise_pattern_parse(name, &pair->pattern, NULL),
                     STATUS_OK);
    rng_seeded_init(&pair->seeded, 7);
    struct rng rng = rng_from_seeded(&pair->seeded);
    for (int i = 0; i < 2; i++) {
        crypto_dh_key_generate(&rng, &pair->s[i]);
        crypto_dh_public(&pair->s[i], &pair->s_public[i]);
        memset(pair->psks[i], 0x55, sizeof(pair->psks[i]));
        pair->prologue[i] = bytes_of_text("deltamesh/1");
    }
}

static void pair_start(struct pair *pair)
{
    struct rng rng = rng_from_seeded(&pair->seeded);
    for (int i = 0; i < 2; i++) {
        struct handshake_config config = {
            .pattern = &pair->pattern,
            .initiator = i == 0,
            .prologue = pair->prologue[i],
            .s = &pair->s[i],
            .rs = &pair->s_public[1 - i],
            .psks = pair->psks[i],
            .psk_count = pair->pattern.psk_count,
            .rng = &rng,
        };
        assert_int_equal(handshake_state_init(&pair->hs[i], &config, NULL),
                         STATUS_OK);
    }
}

static enum status pair_write(struct pair *pair, unsigned message,
                              struct bytes payload, struct writer *wire)
{
    return handshake_state_write(&pair->hs[message % 2], payload, wire);
}

static enum status pair_read(struct pair *pair, unsigned message,
                             struct bytes wire)
{
    uint8_t buf[MESSAGE_ROOM];
    struct writer out;
    writer_init(&out, buf, sizeof(buf));
    enum status status =
        handshake_state_read(&pair->hs[1 - message % 2], wire, &out);
    if (status)
        assert_int_equal(out.size, 0);
    return status;
}

/* Runs messages 0 .. count - 1. */
static void pair_run(struct pair *pair, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        uint8_t buf[MESSAGE_ROOM];
        struct writer wire;
        writer_init(&wire, buf, sizeof(buf));
        assert_true(handshake_state_writes_next(&pair->hs[i % 2]));
        assert_int_equal(pair_write(pair, i, bytes_of_text("payload"), &wire),
                         STATUS_OK);
        assert_int_equal(pair_read(pair, i, writer_view(&wire)), STATUS_OK);
    }
}

static void check_meeting(struct pair *pair)
{
    struct cipher_state send[2], recv[2];
    uint8_t buf[32];
    for (int i = 0; i < 2; i++) {
        assert_true(handshake_state_done(&pair->hs[i]));
        assert_int_equal(
            handshake_state_split(&pair->hs[i], &send[i], &recv[i]), STATUS_OK);
    }
    assert_true(bytes_equal(handshake_state_hash(&pair->hs[0]),
                            handshake_state_hash(&pair->hs[1])));
    for (int i = 0; i < 2; i++) {
        assert_int_equal(cipher_state_seal(&send[i], (struct bytes){0},
                                           bytes_of_text("hi"), buf),
                         STATUS_OK);
        assert_int_equal(cipher_state_open(&recv[1 - i], (struct bytes){0},
                                           bytes_of(buf, 18), buf),
                         STATUS_OK);
        assert_memory_equal(buf, "hi", 2);
    }
    assert_true(!crypto_equal(&send[0].k, &recv[0].k, sizeof(send[0].k)));
}

static void noise_every_pattern_meets(void **state)
{
    (void)state;
    static struct pair pair;
    size_t count = 0;
    for (const char *base; (base = noise_pattern_known(count)); count++) {
        for (int hash = 0; hash < 2; hash++) {
            char name[128];
            snprintf(name, sizeof(name), "Noise_%s%s_25519_ChaChaPoly_%s", base,
                     hash ? "psk0+psk1" : "", hash ? "SHA256" : "BLAKE2b");
            pair_init(&pair, name);
            assert_int_equal(pair.pattern.psk_count, hash ? 2 : 0);
            pair_start(&pair);
            pair_run(&pair, pair.pattern.message_count);
            check_meeting(&pair);
        }
    }
    assert_int_equal(count, 38);
}

static void noise_remote_keys_become_known(void **state)
{
    (void)state;
    static struct pair pair;
    pair_init(&pair, OURS);
    pair_start(&pair);
    assert_null(handshake_state_remote_static(&pair.hs[0]));
    assert_null(handshake_state_remote_ephemeral(&pair.hs[1]));
    pair_run(&pair, 1);
    assert_memory_equal(handshake_state_remote_ephemeral(&pair.hs[1]),
                        &pair.hs[0].e_public, CRYPTO_DH_BYTES);
    pair_run(&pair, 0);
    pair_init(&pair, OURS);
    pair_start(&pair);
    pair_run(&pair, 3);
    for (int i = 0; i < 2; i++)
        assert_memory_equal(handshake_state_remote_static(&pair.hs[i]),
                            &pair.s_public[1 - i], CRYPTO_DH_BYTES);
}

static void noise_changed_byte_of_any_message_fails(void **state)
{
    (void)state;
    static struct pair pair;
    for (unsigned message = 0; message < 3; message++) {
        pair_init(&pair, OURS);
        pair_start(&pair);
        pair_run(&pair, message);
        uint8_t buf[MESSAGE_ROOM];
        struct writer wire;
        writer_init(&wire, buf, sizeof(buf));
        assert_int_equal(
            pair_write(&pair, message, bytes_of_text("payload"), &wire),
            STATUS_OK);
        struct handshake_state before = pair.hs[1 - message % 2];
        for (size_t i = 0; i < wire.size; i++) {
            pair.hs[1 - message % 2] = before;
            buf[i] ^= 1;
            assert_int_equal(pair_read(&pair, message, writer_view(&wire)),
                             STATUS_MISMATCH);
            buf[i] ^= 1;
            assert_int_equal(pair_read(&pair, message, writer_view(&wire)),
                             STATUS_MISMATCH); /* it sticks */
        }
        pair.hs[1 - message % 2] = before;
        assert_int_equal(pair_read(&pair, message, writer_view(&wire)),
                         STATUS_OK);
    }
}

static void noise_truncation_at_any_byte_fails(void **state)
{
    (void)state;
    static struct pair pair;
    for (unsigned message = 0; message < 3; message++) {
        pair_init(&pair, OURS);
        pair_start(&pair);
        pair_run(&pair, message);
        uint8_t buf[MESSAGE_ROOM];
        struct writer wire;
        writer_init(&wire, buf, sizeof(buf));
        assert_int_equal(pair_write(&pair, message, (struct bytes){0}, &wire),
                         STATUS_OK);
        struct handshake_state before = pair.hs[1 - message % 2];
        for (size_t size = 0; size < wire.size; size++) {
            pair.hs[1 - message % 2] = before;
            enum status status = pair_read(&pair, message, bytes_of(buf, size));
            assert_true(status == STATUS_TRUNCATED ||
                        status == STATUS_MISMATCH);
        }
        pair.hs[1 - message % 2] = before;
        buf[wire.size] = 0;
        assert_int_equal(
            pair_read(&pair, message, bytes_of(buf, wire.size + 1)),
            STATUS_MISMATCH);
    }
}

/* An outsider is refused at the first message, before any DH. */
static void noise_wrong_psk_fails_at_the_first_message(void **state)
{
    (void)state;
    static struct pair pair;
    uint8_t buf[MESSAGE_ROOM];
    struct writer wire;
    pair_init(&pair, OURS);
    pair.psks[1][0].b[31] ^= 1;
    pair_start(&pair);
    writer_init(&wire, buf, sizeof(buf));
    assert_int_equal(pair_write(&pair, 0, (struct bytes){0}, &wire), STATUS_OK);
    assert_int_equal(wire.size, 32 + 16);
    assert_int_equal(pair_read(&pair, 0, writer_view(&wire)), STATUS_MISMATCH);
    assert_false(handshake_state_done(&pair.hs[1]));
}

static void noise_wrong_prologue_fails(void **state)
{
    (void)state;
    static struct pair pair;
    uint8_t buf[MESSAGE_ROOM];
    struct writer wire;
    pair_init(&pair, OURS);
    pair.prologue[1] = bytes_of_text("deltamesh/2");
    pair_start(&pair);
    writer_init(&wire, buf, sizeof(buf));
    assert_int_equal(pair_write(&pair, 0, (struct bytes){0}, &wire), STATUS_OK);
    assert_int_equal(pair_read(&pair, 0, writer_view(&wire)), STATUS_MISMATCH);
}

static void noise_out_of_turn_is_usage(void **state)
{
    (void)state;
    static struct pair pair;
    uint8_t buf[MESSAGE_ROOM];
    struct writer wire;
    struct cipher_state a, b;
    pair_init(&pair, OURS);
    pair_start(&pair);
    writer_init(&wire, buf, sizeof(buf));
    assert_int_equal(
        handshake_state_write(&pair.hs[1], (struct bytes){0}, &wire),
        STATUS_USAGE);
    assert_int_equal(
        handshake_state_read(&pair.hs[0], bytes_of(buf, 48), &wire),
        STATUS_USAGE);
    assert_int_equal(handshake_state_split(&pair.hs[0], &a, &b), STATUS_USAGE);
    assert_false(a.has_key);
    pair_run(&pair, 3); /* the questions broke nothing */
    assert_int_equal(
        handshake_state_write(&pair.hs[0], (struct bytes){0}, &wire),
        STATUS_USAGE);
    assert_int_equal(
        handshake_state_read(&pair.hs[1], bytes_of(buf, 48), &wire),
        STATUS_USAGE);
}

/* A repeated, a skipped and a foreign message all fail. */
static void noise_messages_out_of_order_fail(void **state)
{
    (void)state;
    static struct pair pair, other;
    uint8_t first[MESSAGE_ROOM], second[MESSAGE_ROOM];
    struct writer one, two;
    pair_init(&pair, OURS);
    pair_start(&pair);
    writer_init(&one, first, sizeof(first));
    writer_init(&two, second, sizeof(second));
    assert_int_equal(
        pair_write(&pair, 0,
                   bytes_of_text("as long as the second and third message are, "
                                 "so that none is merely too short"),
                   &one),
        STATUS_OK);
    assert_int_equal(pair_read(&pair, 0, writer_view(&one)), STATUS_OK);
    assert_int_equal(pair_write(&pair, 1, (struct bytes){0}, &two), STATUS_OK);
    /* The initiator gets its own message back instead of the second. */
    other = pair;
    assert_int_equal(pair_read(&other, 1, writer_view(&one)), STATUS_MISMATCH);
    /* The responder gets the first message again as the third. */
    assert_int_equal(pair_read(&pair, 2, writer_view(&one)), STATUS_MISMATCH);
    /* A message of another handshake with the same keys. */
    pair_init(&other, OURS);
    rng_seeded_init(&other.seeded, 8);
    struct rng rng = rng_from_seeded(&other.seeded);
    (void)rng_u64(&rng);
    pair_start(&other);
    pair_run(&other, 1);
    assert_int_equal(pair_read(&other, 1, writer_view(&two)), STATUS_MISMATCH);
}

/* A peer whose ephemeral has small order forces a shared secret of zeroes. */
static void noise_all_zero_dh_aborts(void **state)
{
    (void)state;
    static struct pair pair;
    uint8_t msg[32] = {0}, buf[MESSAGE_ROOM];
    struct writer out;
    pair_init(&pair, "Noise_NN_25519_ChaChaPoly_BLAKE2b");
    pair_start(&pair);
    writer_init(&out, buf, sizeof(buf));
    assert_int_equal(
        handshake_state_read(&pair.hs[1], bytes_of(msg, sizeof(msg)), &out),
        STATUS_OK);
    assert_int_equal(
        handshake_state_write(&pair.hs[1], (struct bytes){0}, &out),
        STATUS_MISMATCH);
    assert_int_equal(out.size, 0);
    assert_int_equal(
        handshake_state_write(&pair.hs[1], (struct bytes){0}, &out),
        STATUS_MISMATCH);
}

static void noise_sizes_are_limited(void **state)
{
    (void)state;
    static struct pair pair;
    static uint8_t big[LIMIT_NOISE_MESSAGE_BYTES + 1], buf[200000];
    struct writer out;
    for (size_t size = LIMIT_NOISE_MESSAGE_BYTES - 48;
         size <= LIMIT_NOISE_MESSAGE_BYTES - 47; size++) {
        pair_init(&pair, OURS);
        pair_start(&pair);
        writer_init(&out, buf, sizeof(buf));
        assert_int_equal(
            handshake_state_write(&pair.hs[0], bytes_of(big, size), &out),
            size + 48 <= LIMIT_NOISE_MESSAGE_BYTES ? STATUS_OK : STATUS_LIMIT);
    }
    assert_int_equal(out.size, 0);
    pair_init(&pair, OURS);
    pair_start(&pair);
    assert_int_equal(
        handshake_state_read(&pair.hs[1], bytes_of(big, sizeof(big)), &out),
        STATUS_LIMIT);
    writer_init(&out, buf, 47);
    assert_int_equal(
        handshake_state_write(&pair.hs[0], (struct bytes){0}, &out),
        STATUS_LIMIT);
}

static void noise_missing_keys_are_usage(void **state)
{
    (void)state;
    static struct handshake_state hs;
    static struct noise_pattern pattern;
    struct rng rng = crypto_rng();
    struct crypto_dh_key s = {{1}};
    struct crypto_dh_public rs = {{9}};
    struct crypto_secret psk[LIMIT_NOISE_PSKS] = {{{1}}};
    assert_int_equal(
        noise_pattern_parse("Noise_IKpsk1_25519_ChaChaPoly_BLAKE2b", &pattern,
                            NULL),
        STATUS_OK);
    const struct handshake_config good = {.pattern = &pattern,
                                          .initiator = true,
                                          .s = &s,
                                          .rs = &rs,
                                          .psks = psk,
                                          .psk_count = 1,
                                          .rng = &rng};
    struct handshake_config config = good;
    assert_int_equal(handshake_state_init(&hs, &config, NULL), STATUS_OK);
    for (int i = 0; i < 5; i++) {
        struct diag diag = {0};
        config = good;
        if (i == 0)
            config.s = NULL;
        else if (i == 1)
            config.rs = NULL;
        else if (i == 2)
            config.psk_count = 0;
        else if (i == 3)
            config.psk_count = 2;
        else
            config.rng = NULL;
        assert_int_equal(handshake_state_init(&hs, &config, &diag),
                         STATUS_USAGE);
        assert_true(diag.text[0]);
        assert_false(handshake_state_writes_next(&hs));
        assert_false(handshake_state_done(&hs));
    }
}

static void noise_deinit_leaves_no_secret(void **state)
{
    (void)state;
    static struct pair pair;
    static const struct handshake_state zero;
    pair_init(&pair, OURS);
    pair_start(&pair);
    handshake_state_deinit(&pair.hs[0]);
    assert_memory_equal(&pair.hs[0], &zero, sizeof(zero));
}

static void noise_names_are_judged(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        enum status status;
    } cases[] = {
        {"Noise_XX_25519_ChaChaPoly_SHA256", STATUS_OK},
        {"Noise_XXpsk0+psk3_25519_ChaChaPoly_SHA256", STATUS_OK},
        {"Noise_I1X1psk3_25519_ChaChaPoly_BLAKE2b", STATUS_OK},
        {"Noise_XX_448_ChaChaPoly_SHA256", STATUS_UNSUPPORTED},
        {"Noise_XX_25519_AESGCM_SHA256", STATUS_UNSUPPORTED},
        {"Noise_XX_25519_ChaChaPoly_SHA512", STATUS_UNSUPPORTED},
        {"Noise_XX_25519_ChaChaPoly_BLAKE2b_x", STATUS_UNSUPPORTED},
        {"Noise_XY_25519_ChaChaPoly_SHA256", STATUS_UNSUPPORTED},
        {"Noise_XXfallback_25519_ChaChaPoly_SHA256", STATUS_UNSUPPORTED},
        {"Noise_XXpsk4_25519_ChaChaPoly_SHA256", STATUS_CORRUPT},
        {"Noise_XXpsk_25519_ChaChaPoly_SHA256", STATUS_CORRUPT},
        {"Noise_XXpsk00_25519_ChaChaPoly_SHA256", STATUS_CORRUPT},
        {"Noise_XXpskx_25519_ChaChaPoly_SHA256", STATUS_CORRUPT},
        {"Noise_XXpsk1+psk1_25519_ChaChaPoly_SHA256", STATUS_CORRUPT},
        {"Noise_XXpsk1+_25519_ChaChaPoly_SHA256", STATUS_CORRUPT},
        {"Noise_XX_25519_ChaChaPoly", STATUS_CORRUPT},
        {"Noise_XX_25519_ChaChaPoly_", STATUS_CORRUPT},
        {"Noise__25519_ChaChaPoly_SHA256", STATUS_CORRUPT},
        {"XX_25519_ChaChaPoly_SHA256", STATUS_CORRUPT},
        {"", STATUS_CORRUPT},
    };
    static struct noise_pattern pattern;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct diag diag = {0};
        enum status status =
            noise_pattern_parse(cases[i].name, &pattern, &diag);
        if (status != cases[i].status)
            fail_msg("%s: %s", cases[i].name, status_text(status));
        assert_int_equal(diag.text[0] != 0, status != STATUS_OK);
    }
    char name[400];
    memset(name, 'N', sizeof(name));
    name[sizeof(name) - 1] = '\0';
    assert_int_equal(noise_pattern_parse(name, &pattern, NULL), STATUS_LIMIT);
}

static void cipher_state_nonces_end_before_the_reserved_one(void **state)
{
    (void)state;
    struct crypto_secret key = {{3}};
    struct cipher_state a = {0}, b = {0};
    uint8_t buf[32];
    cipher_state_init_key(&a, &key);
    cipher_state_init_key(&b, &key);
    a.n = b.n = UINT64_MAX - 1;
    assert_int_equal(
        cipher_state_seal(&a, (struct bytes){0}, bytes_of_text("x"), buf),
        STATUS_OK);
    assert_int_equal(
        cipher_state_open(&b, (struct bytes){0}, bytes_of(buf, 17), buf),
        STATUS_OK);
    assert_int_equal(
        cipher_state_seal(&a, (struct bytes){0}, bytes_of_text("x"), buf),
        STATUS_LIMIT);
    assert_int_equal(
        cipher_state_open(&b, (struct bytes){0}, bytes_of(buf, 17), buf),
        STATUS_LIMIT);
}

/* REKEY is the first half of zeroes sealed under nonce 2^64 - 1. */
static void cipher_state_rekey_follows_its_definition(void **state)
{
    (void)state;
    struct crypto_secret key = {{3}};
    struct cipher_state cs = {0};
    uint8_t nonce[CRYPTO_NONCE_BYTES] = {0}, zeros[32] = {0}, out[48];
    memset(nonce + 4, 0xff, 8);
    crypto_aead_seal(&key, nonce, (struct bytes){0},
                     bytes_of(zeros, sizeof(zeros)), out);
    cipher_state_init_key(&cs, &key);
    cs.n = 5;
    cipher_state_rekey(&cs);
    assert_memory_equal(cs.k.b, out, sizeof(cs.k.b));
    assert_int_equal(cs.n, 5);
}

static void cipher_state_nonce_moves_on_success_only(void **state)
{
    (void)state;
    struct crypto_secret key = {{3}};
    struct cipher_state cs = {0};
    uint8_t buf[17] = {0};
    cipher_state_init_key(&cs, &key);
    assert_int_equal(
        cipher_state_open(&cs, (struct bytes){0}, bytes_of(buf, 17), buf),
        STATUS_MISMATCH);
    assert_int_equal(
        cipher_state_open(&cs, (struct bytes){0}, bytes_of(buf, 15), buf),
        STATUS_TRUNCATED);
    assert_int_equal(cs.n, 0);
}

static int setup(void **state)
{
    (void)state;
    return crypto_init() ? -1 : 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(noise_every_pattern_meets),
        cmocka_unit_test(noise_remote_keys_become_known),
        cmocka_unit_test(noise_changed_byte_of_any_message_fails),
        cmocka_unit_test(noise_truncation_at_any_byte_fails),
        cmocka_unit_test(noise_wrong_psk_fails_at_the_first_message),
        cmocka_unit_test(noise_wrong_prologue_fails),
        cmocka_unit_test(noise_out_of_turn_is_usage),
        cmocka_unit_test(noise_messages_out_of_order_fail),
        cmocka_unit_test(noise_all_zero_dh_aborts),
        cmocka_unit_test(noise_sizes_are_limited),
        cmocka_unit_test(noise_missing_keys_are_usage),
        cmocka_unit_test(noise_deinit_leaves_no_secret),
        cmocka_unit_test(noise_names_are_judged),
        cmocka_unit_test(cipher_state_nonces_end_before_the_reserved_one),
        cmocka_unit_test(cipher_state_rekey_follows_its_definition),
        cmocka_unit_test(cipher_state_nonce_moves_on_success_only),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}
