/* BLAKE2b: {"tests": [{hash, in, key, out}]}, keyed and not. */
#include "tests/conformance/suite.h"

#include "protocol/crypto.h"

static enum suite_result run_vector(const json_t *vector, char *why,
                                    size_t why_size)
{
    static struct suite_blob in, key, out;
    uint8_t made[CRYPTO_HASH_MAX];
    const char *hash = suite_text(vector, "hash");
    if (*hash && strcmp(hash, "blake2b"))
        return suite_because(SUITE_SKIP, why, why_size,
                             "%s is another hash function", hash);
    if (!suite_hex(vector, "in", &in) || !suite_hex(vector, "key", &key) ||
        !suite_hex(vector, "out", &out) || !out.size ||
        out.size > sizeof(made) || key.size > 64)
        return suite_because(SUITE_FAIL, why, why_size, "hex is malformed");
    crypto_mac(suite_view(&key), suite_view(&in), made, out.size);
    if (!bytes_equal(bytes_of(made, out.size), suite_view(&out)))
        return suite_because(SUITE_FAIL, why, why_size, "differs");
    if (key.size || out.size != crypto_hash_size(CRYPTO_BLAKE2B))
        return SUITE_PASS;
    crypto_digest(CRYPTO_BLAKE2B, suite_view(&in), (struct bytes){0}, made);
    return bytes_equal(bytes_of(made, out.size), suite_view(&out))
               ? SUITE_PASS
               : suite_because(SUITE_FAIL, why, why_size, "digest differs");
}

int main(int argc, char **argv)
{
    return suite_main(argc, argv, "blake2b", "tests", "out", run_vector);
}
