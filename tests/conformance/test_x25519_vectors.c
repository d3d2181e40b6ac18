/* X25519: Wycheproof's {"tests": [{public, private, shared, result, flags}]}.
 * An all-zero shared secret is refused whatever the result says. */
#include "tests/conformance/suite.h"

#include "protocol/crypto.h"

static bool is_zero(struct bytes in)
{
    uint8_t sum = 0;
    for (size_t i = 0; i < in.size; i++)
        sum |= in.data[i];
    return !sum;
}

static enum suite_result run_vector(const json_t *vector, char *why,
                                    size_t why_size)
{
    static struct suite_blob public_key, private_key, shared;
    struct crypto_dh_key key;
    struct crypto_dh_public remote;
    uint8_t out[CRYPTO_DH_BYTES];
    bool invalid = !strcmp(suite_text(vector, "result"), "invalid");
    if (!suite_hex(vector, "public", &public_key) ||
        !suite_hex(vector, "private", &private_key) ||
        !suite_hex(vector, "shared", &shared))
        return suite_because(SUITE_FAIL, why, why_size, "hex is malformed");
    if (public_key.size != sizeof(remote.b) ||
        private_key.size != sizeof(key.b))
        return invalid ? SUITE_PASS
                       : suite_because(SUITE_FAIL, why, why_size,
                                       "a key of another size");
    memcpy(remote.b, public_key.b, sizeof(remote.b));
    memcpy(key.b, private_key.b, sizeof(key.b));
    enum status status = crypto_dh(&key, &remote, out);
    bool refuse = invalid || is_zero(suite_view(&shared)) ||
                  suite_flag(vector, "ZeroSharedSecret");
    if (refuse != (status != STATUS_OK))
        return suite_because(SUITE_FAIL, why, why_size, "%s: %s",
                             refuse ? "accepted" : "refused",
                             suite_text(vector, "comment"));
    if (!refuse &&
        !bytes_equal(bytes_of(out, sizeof(out)), suite_view(&shared)))
        return suite_because(SUITE_FAIL, why, why_size,
                             "shared secret differs: %s",
                             suite_text(vector, "comment"));
    return SUITE_PASS;
}

int main(int argc, char **argv)
{
    return suite_main(argc, argv, "x25519", "tests", "private", run_vector);
}
