/* ChaCha20-Poly1305: Wycheproof's {"tests": [{key, iv, aad, msg, ct, tag,
 * result}]}. */
#include "tests/conformance/suite.h"

#include "protocol/crypto.h"

static struct suite_blob key, iv, aad, msg, ct, tag;

static bool load(const json_t *vector)
{
    return suite_hex(vector, "key", &key) && suite_hex(vector, "iv", &iv) &&
           suite_hex(vector, "aad", &aad) && suite_hex(vector, "msg", &msg) &&
           suite_hex(vector, "ct", &ct) && suite_hex(vector, "tag", &tag);
}

static bool opens(const struct crypto_secret *secret, struct bytes sealed)
{
    static uint8_t out[SUITE_BLOB_MAX];
    if (crypto_aead_open(secret, iv.b, suite_view(&aad), sealed, out))
        return false;
    return bytes_equal(bytes_of(out, sealed.size - CRYPTO_TAG_BYTES),
                       suite_view(&msg));
}

static enum suite_result run_vector(const json_t *vector, char *why,
                                    size_t why_size)
{
    static uint8_t sealed[2 * SUITE_BLOB_MAX], made[2 * SUITE_BLOB_MAX];
    struct crypto_secret secret;
    bool valid = strcmp(suite_text(vector, "result"), "invalid") != 0;
    if (!load(vector))
        return suite_because(SUITE_FAIL, why, why_size, "hex is malformed");
    if (key.size != sizeof(secret.b) || iv.size != CRYPTO_NONCE_BYTES)
        return valid ? suite_because(SUITE_FAIL, why, why_size,
                                     "a key or nonce of another size")
                     : SUITE_PASS; /* the type cannot hold it */
    memcpy(secret.b, key.b, sizeof(secret.b));
    memcpy(sealed, ct.b, ct.size);
    memcpy(sealed + ct.size, tag.b, tag.size);
    struct bytes whole = bytes_of(sealed, ct.size + tag.size);
    if (opens(&secret, whole) != valid)
        return suite_because(SUITE_FAIL, why, why_size, "%s: %s",
                             valid ? "refused" : "accepted",
                             suite_text(vector, "comment"));
    crypto_aead_seal(&secret, iv.b, suite_view(&aad), suite_view(&msg), made);
    if (valid &&
        !bytes_equal(bytes_of(made, msg.size + CRYPTO_TAG_BYTES), whole))
        return suite_because(SUITE_FAIL, why, why_size,
                             "sealed bytes differ: %s",
                             suite_text(vector, "comment"));
    return SUITE_PASS;
}

int main(int argc, char **argv)
{
    return suite_main(argc, argv, "chacha20poly1305", "tests", "tag",
                      run_vector);
}
