/* Ed25519: {"tests": [{seed, public, msg, sig}]} of RFC 8032, and Wycheproof's
 * {pk, msg, sig, result}. */
#include "tests/conformance/suite.h"

#include "protocol/crypto.h"

static struct suite_blob seed, public_key, msg, sig;

static enum suite_result check_signing(char *why, size_t why_size)
{
    struct crypto_sign_key key;
    struct crypto_signature made;
    if (seed.size != CRYPTO_SEED_BYTES)
        return suite_because(SUITE_FAIL, why, why_size, "seed is malformed");
    crypto_sign_key_from_seed(seed.b, &key);
    struct node_id id = crypto_sign_key_id(&key);
    if (!bytes_equal(bytes_of(id.b, sizeof(id.b)), suite_view(&public_key)))
        return suite_because(SUITE_FAIL, why, why_size, "public key differs");
    crypto_sign_message(&key, suite_view(&msg), &made);
    if (!bytes_equal(bytes_of(made.b, sizeof(made.b)), suite_view(&sig)))
        return suite_because(SUITE_FAIL, why, why_size, "signature differs");
    return SUITE_PASS;
}

static bool verifies(void)
{
    struct node_id id;
    struct crypto_signature given;
    if (public_key.size != sizeof(id.b) || sig.size != sizeof(given.b))
        return false;
    memcpy(id.b, public_key.b, sizeof(id.b));
    memcpy(given.b, sig.b, sizeof(given.b));
    return crypto_verify(&id, suite_view(&msg), &given) == STATUS_OK;
}

static enum suite_result run_vector(const json_t *vector, char *why,
                                    size_t why_size)
{
    const char *result = suite_text(vector, "result");
    const char *member = json_object_get(vector, "public") ? "public" : "pk";
    if (!suite_hex(vector, "seed", &seed) ||
        !suite_hex(vector, member, &public_key) ||
        !suite_hex(vector, "msg", &msg) || !suite_hex(vector, "sig", &sig))
        return suite_because(SUITE_FAIL, why, why_size, "hex is malformed");
    if (seed.present && check_signing(why, why_size))
        return SUITE_FAIL;
    if (!strcmp(result, "acceptable"))
        return SUITE_PASS;
    bool expected = strcmp(result, "invalid") != 0;
    if (verifies() != expected)
        return suite_because(SUITE_FAIL, why, why_size, "expected %s: %s",
                             expected ? "valid" : "invalid",
                             suite_text(vector, "comment"));
    return SUITE_PASS;
}

int main(int argc, char **argv)
{
    return suite_main(argc, argv, "ed25519", "tests", "sig", run_vector);
}
