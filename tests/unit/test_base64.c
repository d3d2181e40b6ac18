/* Base64 of the control socket, and keys from passphrases. */
#include "protocol/crypto.h"

#include "tests/support/cmocka.h"

#include <stdlib.h>

/* RFC 4648 section 10. */
static void base64_matches_the_rfc(void **state)
{
    (void)state;
    static const char *const cases[][2] = {{"", ""},
                                           {"f", "Zg=="},
                                           {"fo", "Zm8="},
                                           {"foo", "Zm9v"},
                                           {"foob", "Zm9vYg=="},
                                           {"fooba", "Zm9vYmE="},
                                           {"foobar", "Zm9vYmFy"}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        uint8_t *back;
        size_t size;
        char *text = crypto_base64(bytes_of_text(cases[i][0]));
        assert_string_equal(text, cases[i][1]);
        assert_int_equal(crypto_from_base64(text, &back, &size), STATUS_OK);
        assert_true(
            bytes_equal(bytes_of(back, size), bytes_of_text(cases[i][0])));
        free(back);
        free(text);
    }
}

static void base64_other_forms_are_corrupt(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "Zg", "Zg=",  "Zg==x", "Zm9v\n",   "Zm-v",
        "Z",  "Zh==", "====",  "Zm9v====", " Zm9v"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        uint8_t *out;
        size_t size;
        assert_int_equal(crypto_from_base64(bad[i], &out, &size),
                         STATUS_CORRUPT);
        assert_null(out);
    }
}

static void passphrase_and_salt_both_count(void **state)
{
    (void)state;
    struct crypto_secret a, b;
    const uint8_t salt[CRYPTO_SALT_BYTES] = "0123456789abcde";
    assert_int_equal(
        crypto_secret_from_passphrase(bytes_of_text("hunter2"), salt, &a),
        STATUS_OK);
    assert_int_equal(
        crypto_secret_from_passphrase(bytes_of_text("hunter3"), salt, &b),
        STATUS_OK);
    assert_memory_not_equal(a.b, b.b, sizeof(a.b));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(base64_matches_the_rfc),
        cmocka_unit_test(base64_other_forms_are_corrupt),
        cmocka_unit_test(passphrase_and_salt_both_count),
    };
    return crypto_init() ? 1 : cmocka_run_group_tests(tests, NULL, NULL);
}
