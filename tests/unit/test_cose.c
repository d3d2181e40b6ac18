/* Envelopes: one encoding, every other refused; signatures that bind. */
#include "protocol/cose.h"

#include "protocol/cbor.h"

#include "tests/support/cmocka.h"
#include "tests/support/hex.h"

#include <stdlib.h>

/* The envelope of "payloadpayload" by the keys of seeds 00.. and 01.., made
 * without our code (tests/gen/fuzz_corpus.py). */
static const char golden[] =
    "d8628440a04e7061796c6f61647061796c6f616482835826a201270458203b6a27bc"
    "ceb6a42d62a3a8d02a6f0d73653215771de243a63ac048a18b59da29a0584071e5b3"
    "92cba576c0d0dab8c56c69f44922c9b36f6ae504c91164b49321143ba9d270a62689"
    "d14baefc42d3db1053a50a924de65dadcbb2b798d30bc7f8ff6d0d835826a2012704"
    "58208a88e3dd7409f195fd52db2d3cba5d72ca6709bf1d94121bf3748801b40f6f5c"
    "a05840fa9bbda69f96fe72fbe431d992f9408311244d187b103db30a3564a7ed219a"
    "92ec20372f7ca629b0ebc8a87d0490d6b9a397d88a28b8d0c3e0864b7eaca47709";

#define PAYLOAD "payloadpayload"

static struct crypto_sign_key key_of(uint8_t byte)
{
    uint8_t seed[CRYPTO_SEED_BYTES];
    struct crypto_sign_key key;
    memset(seed, byte, sizeof(seed));
    crypto_sign_key_from_seed(seed, &key);
    return key;
}

static struct cose_signature signature_of(uint8_t byte, struct bytes payload)
{
    struct crypto_sign_key key = key_of(byte);
    struct cose_signature sig;
    assert_int_equal(cose_sign(payload, &key, &sig), STATUS_OK);
    return sig;
}

static void cose_encodes_the_golden_bytes_in_any_order(void **state)
{
    (void)state;
    uint8_t want_buf[512], buf[512];
    struct bytes want = hex_bytes(golden, want_buf, sizeof(want_buf));
    struct bytes payload = bytes_of_text(PAYLOAD);
    for (int swap = 0; swap < 2; swap++) {
        struct writer wr;
        struct cose_signature sigs[2];
        sigs[swap] = signature_of(0, payload);
        sigs[1 - swap] = signature_of(1, payload);
        writer_init(&wr, buf, sizeof(buf));
        assert_int_equal(cose_encode(payload, sigs, 2, &wr), STATUS_OK);
        assert_true(bytes_equal(writer_view(&wr), want));
    }
}

static void cose_parses_and_verifies_the_golden_bytes(void **state)
{
    (void)state;
    uint8_t buf[512];
    struct cose_envelope env;
    struct crypto_sign_key key = key_of(1);
    struct node_id id = crypto_sign_key_id(&key);
    struct bytes in = hex_bytes(golden, buf, sizeof(buf));
    assert_int_equal(cose_parse(in, &env, NULL), STATUS_OK);
    assert_true(bytes_equal(env.payload, bytes_of_text(PAYLOAD)));
    assert_int_equal(env.signature_count, 2);
    assert_true(node_id_equal(&env.signatures[1].key, &id));
    assert_int_equal(cose_verify_one(&env, 0), STATUS_OK);
    assert_int_equal(cose_verify_one(&env, 1), STATUS_OK);
}

static void cose_every_truncation_is_refused(void **state)
{
    (void)state;
    uint8_t buf[512];
    struct cose_envelope env;
    struct bytes in = hex_bytes(golden, buf, sizeof(buf));
    for (size_t size = 0; size < in.size; size++) {
        uint8_t *exact = malloc(size ? size : 1);
        struct diag diag = {0};
        memcpy(exact, in.data, size);
        assert_int_equal(cose_parse(bytes_of(exact, size), &env, &diag),
                         STATUS_TRUNCATED);
        assert_true(diag.text[0]);
        free(exact);
    }
}

/* A flipped bit is refused by the parser or by a signature; flips within one
 * signer's part leave the other valid, flips elsewhere leave none. */
static void cose_every_flipped_bit_is_noticed(void **state)
{
    (void)state;
    uint8_t buf[512];
    struct cose_envelope env;
    struct bytes in = hex_bytes(golden, buf, sizeof(buf));
    for (size_t i = 0; i < in.size; i++) {
        buf[i] ^= 1;
        bool ok = !cose_parse(in, &env, NULL) && env.signature_count == 2 &&
                  !cose_verify_one(&env, 0) && !cose_verify_one(&env, 1);
        assert_false(ok);
        buf[i] ^= 1;
    }
}

static void cose_signature_of_another_payload_fails(void **state)
{
    (void)state;
    uint8_t buf[512];
    struct writer wr;
    struct cose_envelope env;
    struct cose_signature sig = signature_of(0, bytes_of_text("one"));
    writer_init(&wr, buf, sizeof(buf));
    assert_int_equal(cose_encode(bytes_of_text("two"), &sig, 1, &wr),
                     STATUS_OK);
    assert_int_equal(cose_parse(writer_view(&wr), &env, NULL), STATUS_OK);
    assert_int_equal(cose_verify_one(&env, 0), STATUS_BAD_SIGNATURE);
}

/* A remote signer gets the bytes, signs them, and the envelope verifies. */
static void cose_to_be_signed_serves_a_remote_signer(void **state)
{
    (void)state;
    uint8_t tbs[256], buf[512];
    struct writer wr;
    struct cose_envelope env;
    struct crypto_sign_key key = key_of(9);
    struct cose_signature sig = {.key = crypto_sign_key_id(&key)};
    struct bytes payload = bytes_of_text("remote");
    writer_init(&wr, tbs, sizeof(tbs));
    cose_to_be_signed(payload, &sig.key, &wr);
    assert_int_equal(wr.status, STATUS_OK);
    assert_int_equal(cbor_validate(writer_view(&wr), NULL), STATUS_OK);
    crypto_sign_message(&key, writer_view(&wr), &sig.sig);
    writer_init(&wr, buf, sizeof(buf));
    assert_int_equal(cose_encode(payload, &sig, 1, &wr), STATUS_OK);
    assert_int_equal(cose_parse(writer_view(&wr), &env, NULL), STATUS_OK);
    assert_int_equal(cose_verify_one(&env, 0), STATUS_OK);
}

static void cose_encode_refuses_bad_arguments(void **state)
{
    (void)state;
    static uint8_t buf[2 * LIMIT_RECORD_BYTES], big[LIMIT_RECORD_BYTES];
    struct cose_signature sigs[LIMIT_RECORD_SIGNATURES + 1];
    struct bytes payload = bytes_of_text("p");
    struct writer wr;
    for (size_t i = 0; i < LIMIT_RECORD_SIGNATURES + 1; i++)
        sigs[i] = signature_of((uint8_t)i, payload);
    writer_init(&wr, buf, sizeof(buf));
    assert_int_equal(cose_encode(payload, sigs, 0, &wr), STATUS_USAGE);
    assert_int_equal(
        cose_encode(payload, sigs, LIMIT_RECORD_SIGNATURES + 1, &wr),
        STATUS_USAGE);
    sigs[3] = sigs[1];
    assert_int_equal(cose_encode(payload, sigs, 4, &wr), STATUS_USAGE);
    assert_int_equal(cose_encode(bytes_of(big, sizeof(big)), sigs, 1, &wr),
                     STATUS_LIMIT);
    assert_int_equal(wr.size, 0);
    writer_init(&wr, buf, 10);
    assert_int_equal(cose_encode(payload, sigs, 1, &wr), STATUS_LIMIT);
}

/* The largest payload that fits is taken, one byte more is not. */
static void cose_record_limit_is_exact(void **state)
{
    (void)state;
    static uint8_t buf[LIMIT_RECORD_BYTES], big[LIMIT_RECORD_BYTES];
    struct cose_envelope env;
    struct writer wr;
    size_t most = LIMIT_RECORD_BYTES - (5 + 3 + 1 + 108);
    struct cose_signature sig = signature_of(0, bytes_of(big, most));
    writer_init(&wr, buf, sizeof(buf));
    assert_int_equal(cose_encode(bytes_of(big, most + 1), &sig, 1, &wr),
                     STATUS_LIMIT);
    assert_int_equal(cose_encode(bytes_of(big, most), &sig, 1, &wr), STATUS_OK);
    assert_int_equal(wr.size, LIMIT_RECORD_BYTES);
    assert_int_equal(cose_parse(writer_view(&wr), &env, NULL), STATUS_OK);
    assert_int_equal(cose_verify_one(&env, 0), STATUS_OK);
    assert_int_equal(
        cose_parse(bytes_of(buf, LIMIT_RECORD_BYTES + 1), &env, NULL),
        STATUS_LIMIT);
}

/* Writes [98] [body, unprotected, payload, signers...] as told. */
struct shape {
    uint64_t tag;
    bool body_header, body_unprotected, detached, unprotected, extra_label;
    int64_t alg;
    size_t signers;
    bool descending, twice;
    size_t sig_size;
};

static void write_shape_signer(struct writer *wr, const struct shape *shape,
                               size_t i)
{
    uint8_t header[64], key[NODE_ID_BYTES] = {0};
    uint8_t sig[80] = {0};
    struct writer header_wr;
    key[0] = (uint8_t)(shape->twice ? 1 : shape->descending ? 9 - i : i);
    writer_init(&header_wr, header, sizeof(header));
    cbor_write_map(&header_wr, shape->extra_label ? 3 : 2);
    cbor_write_uint(&header_wr, 1);
    cbor_write_int(&header_wr, shape->alg);
    if (shape->extra_label) {
        cbor_write_uint(&header_wr, 3);
        cbor_write_uint(&header_wr, 0);
    }
    cbor_write_uint(&header_wr, 4);
    cbor_write_bytes(&header_wr, key, sizeof(key));
    cbor_write_array(wr, 3);
    cbor_write_bytes(wr, header, header_wr.size);
    cbor_write_map(wr, shape->unprotected ? 1 : 0);
    if (shape->unprotected) {
        cbor_write_uint(wr, 4);
        cbor_write_null(wr);
    }
    cbor_write_bytes(wr, sig, shape->sig_size);
}

static enum status parse_shape(const struct shape *shape, struct diag *diag)
{
    uint8_t buf[4096];
    struct writer wr;
    struct cose_envelope env;
    writer_init(&wr, buf, sizeof(buf));
    if (shape->tag)
        cbor_write_tag(&wr, shape->tag);
    cbor_write_array(&wr, 4);
    cbor_write_bytes(&wr, "\xa0", shape->body_header ? 1 : 0);
    cbor_write_map(&wr, shape->body_unprotected ? 1 : 0);
    if (shape->body_unprotected) {
        cbor_write_uint(&wr, 1);
        cbor_write_int(&wr, -8);
    }
    if (shape->detached)
        cbor_write_null(&wr);
    else
        cbor_write_bytes(&wr, "p", 1);
    cbor_write_array(&wr, shape->signers);
    for (size_t i = 0; i < shape->signers; i++)
        write_shape_signer(&wr, shape, i);
    assert_int_equal(wr.status, STATUS_OK);
    return cose_parse(writer_view(&wr), &env, diag);
}

static void cose_other_shapes_are_refused(void **state)
{
    (void)state;
    const struct shape good = {
        .tag = 98, .alg = -8, .signers = 3, .sig_size = 64};
    struct shape shape = good;
    assert_int_equal(parse_shape(&shape, NULL), STATUS_OK);
    shape.signers = LIMIT_RECORD_SIGNATURES;
    assert_int_equal(parse_shape(&shape, NULL), STATUS_OK);
    shape.signers = LIMIT_RECORD_SIGNATURES + 1;
    assert_int_equal(parse_shape(&shape, NULL), STATUS_LIMIT);
    shape.signers = 0;
    assert_int_equal(parse_shape(&shape, NULL), STATUS_CORRUPT);
    shape = good, shape.tag = 0;
    assert_int_equal(parse_shape(&shape, NULL), STATUS_CORRUPT);
    shape = good, shape.tag = 18;
    assert_int_equal(parse_shape(&shape, NULL), STATUS_CORRUPT);
    shape = good, shape.tag = 97;
    assert_int_equal(parse_shape(&shape, NULL), STATUS_UNSUPPORTED);
    shape = good, shape.body_header = true;
    assert_int_equal(parse_shape(&shape, NULL), STATUS_CORRUPT);
    shape = good, shape.body_unprotected = true;
    assert_int_equal(parse_shape(&shape, NULL), STATUS_CORRUPT);
    shape = good, shape.detached = true;
    assert_int_equal(parse_shape(&shape, NULL), STATUS_UNSUPPORTED);
    shape = good, shape.unprotected = true;
    assert_int_equal(parse_shape(&shape, NULL), STATUS_CORRUPT);
    shape = good, shape.extra_label = true;
    assert_int_equal(parse_shape(&shape, NULL), STATUS_CORRUPT);
    shape = good, shape.descending = true;
    assert_int_equal(parse_shape(&shape, NULL), STATUS_CORRUPT);
    shape = good, shape.twice = true;
    assert_int_equal(parse_shape(&shape, NULL), STATUS_CORRUPT);
    shape = good, shape.sig_size = 63;
    assert_int_equal(parse_shape(&shape, NULL), STATUS_CORRUPT);
    shape = good, shape.sig_size = 65;
    assert_int_equal(parse_shape(&shape, NULL), STATUS_CORRUPT);
}

static void cose_other_algorithms_are_refused_by_name(void **state)
{
    (void)state;
    struct diag diag = {0};
    struct shape shape = {.tag = 98, .alg = -7, .signers = 1, .sig_size = 64};
    assert_int_equal(parse_shape(&shape, &diag), STATUS_UNSUPPORTED);
    assert_non_null(strstr(diag.text, "ES256"));
    diag_reset(&diag);
    shape.alg = -12345;
    assert_int_equal(parse_shape(&shape, &diag), STATUS_UNSUPPORTED);
    assert_non_null(strstr(diag.text, "-12345"));
}

static void cose_sign1_is_read_but_is_no_envelope(void **state)
{
    (void)state;
    uint8_t buf[256];
    struct cose_message msg;
    struct cose_envelope env;
    struct diag diag = {0};
    struct bytes in = hex_bytes(
        "D28445A201270300A10442313154546869732069732074686520636F6E74656E742E"
        "58407142FD2FF96D56DB85BEE905A76BA1D0B7321A95C8C4D3607C5781932B7AFB87"
        "11497DFA751BF40B58B3BCC32300B1487F3DB34085EEF013BF08F4A44D6FEF0D",
        buf, sizeof(buf));
    struct node_id key;
    assert_true(node_id_from_hex("d75a980182b10ab7d54bfed3c964073a"
                                 "0ee172f3daa62325af021a68f707511a",
                                 &key));
    assert_int_equal(cose_message_parse(in, &msg, NULL), STATUS_OK);
    assert_true(msg.single);
    assert_int_equal(msg.signer_count, 1);
    assert_int_equal(
        cose_message_verify(&msg, 0, &key, (struct bytes){0}, NULL), STATUS_OK);
    assert_int_equal(
        cose_message_verify(&msg, 0, &key, bytes_of_text("aad"), &diag),
        STATUS_BAD_SIGNATURE);
    assert_int_equal(cose_parse(in, &env, &diag), STATUS_UNSUPPORTED);
}

static void cose_header_alg_tells_missing_from_text(void **state)
{
    (void)state;
    int64_t alg;
    assert_int_equal(cose_header_alg((struct bytes){0}, &alg),
                     STATUS_NOT_FOUND);
    assert_int_equal(cose_header_alg(bytes_of("\xa0", 1), &alg),
                     STATUS_NOT_FOUND);
    assert_int_equal(cose_header_alg(bytes_of("\xa1\x01\x61\x61", 4), &alg),
                     STATUS_UNSUPPORTED);
    assert_int_equal(cose_header_alg(bytes_of("\xa1\x01\x27", 3), &alg),
                     STATUS_OK);
    assert_int_equal(alg, COSE_ALG_EDDSA);
    assert_int_equal(cose_header_alg(bytes_of("\xa1\x01", 2), &alg),
                     STATUS_TRUNCATED);
    assert_string_equal(cose_alg_name(-36), "ES512");
    assert_string_equal(cose_alg_name(-9999), "unknown");
}

static int setup(void **state)
{
    (void)state;
    return crypto_init() ? -1 : 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cose_encodes_the_golden_bytes_in_any_order),
        cmocka_unit_test(cose_parses_and_verifies_the_golden_bytes),
        cmocka_unit_test(cose_every_truncation_is_refused),
        cmocka_unit_test(cose_every_flipped_bit_is_noticed),
        cmocka_unit_test(cose_signature_of_another_payload_fails),
        cmocka_unit_test(cose_to_be_signed_serves_a_remote_signer),
        cmocka_unit_test(cose_encode_refuses_bad_arguments),
        cmocka_unit_test(cose_record_limit_is_exact),
        cmocka_unit_test(cose_other_shapes_are_refused),
        cmocka_unit_test(cose_other_algorithms_are_refused_by_name),
        cmocka_unit_test(cose_sign1_is_read_but_is_no_envelope),
        cmocka_unit_test(cose_header_alg_tells_missing_from_text),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}
