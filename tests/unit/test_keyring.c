/* Key files: what is written is read again, what others can read is refused. */
#include "daemon/keyring.h"

#include "tests/support/cmocka.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static char root[64];

static int make_root(void **state)
{
    (void)state;
    snprintf(root, sizeof(root), "/tmp/test_keyring.XXXXXX");
    return !mkdtemp(root) || setenv("XDG_CONFIG_HOME", root, 1);
}

static int remove_root(void **state)
{
    (void)state;
    char cmd[128];
    snprintf(cmd, sizeof(cmd), "rm -rf %s", root);
    return system(cmd);
}

/* A key of the fleet whose id is all `fleet`, saved in that folder. */
static void save_key(const char *folder_name, uint8_t fleet, const char *role)
{
    struct keyring_key key = {.role = ""};
    struct rng rng = crypto_rng();
    struct diag diag = {""};
    char folder[2048];
    enum status status =
        keyring_make_folder(folder_name, folder, sizeof(folder), &diag);
    assert_true(status == STATUS_OK || status == STATUS_EXISTS);
    memset(&key.fleet, fleet, sizeof(key.fleet));
    snprintf(key.role, sizeof(key.role), "%s", role);
    snprintf(key.path, sizeof(key.path), "%s/%s.key", folder, role);
    crypto_sign_key_generate(&rng, &key.key);
    assert_int_equal(keyring_save(&key, &diag), STATUS_OK);
    assert_int_equal(keyring_save(&key, NULL), STATUS_EXISTS);
}

static void keyring_finds_the_keys_of_a_fleet(void **state)
{
    (void)state;
    struct keyring ring = {.count = 0};
    struct hash fleet;
    save_key("one", 1, "root");
    save_key("one", 1, "publisher");
    save_key("two", 2, "publisher");
    memset(&fleet, 1, sizeof(fleet));
    assert_int_equal(keyring_load_fleet(&ring, &fleet, NULL), STATUS_OK);
    assert_int_equal(ring.count, 2);
    memset(&fleet, 2, sizeof(fleet));
    assert_int_equal(keyring_load_fleet(&ring, &fleet, NULL), STATUS_OK);
    assert_int_equal(ring.count, 3);
    assert_string_equal(ring.keys[2].role, "publisher");
    keyring_deinit(&ring);
    assert_int_equal(ring.count, 0);
}

static void keyring_refuses_a_key_others_can_read(void **state)
{
    (void)state;
    struct keyring ring = {.count = 0};
    struct diag diag = {""};
    char path[256];
    save_key("open", 3, "operator");
    snprintf(path, sizeof(path), "%s/deltamesh/open/operator.key", root);
    assert_int_equal(chmod(path, 0640), 0);
    assert_int_equal(keyring_load(&ring, path, &diag), STATUS_PERMISSION);
    assert_non_null(strstr(diag.text, "chmod 600"));
    assert_int_equal(chmod(path, 0600), 0);
    assert_int_equal(keyring_load(&ring, path, NULL), STATUS_OK);
    keyring_deinit(&ring);
}

static void keyring_text_round_trips_and_damage_is_found(void **state)
{
    (void)state;
    struct keyring_key key = {.role = "operator"}, back;
    struct rng rng = crypto_rng();
    char text[KEYRING_TEXT_MAX];
    crypto_sign_key_generate(&rng, &key.key);
    memset(&key.fleet, 0xab, sizeof(key.fleet));
    keyring_format(&key, text, sizeof(text));
    assert_int_equal(keyring_parse(text, &back, NULL), STATUS_OK);
    assert_memory_equal(&back.key, &key.key, sizeof(key.key));
    assert_string_equal(back.role, "operator");
    size_t size = strlen(text);
    for (size_t cut = 0; cut + 1 < size; cut++) {
        char part[KEYRING_TEXT_MAX];
        memcpy(part, text, cut);
        part[cut] = '\0';
        assert_int_equal(keyring_parse(part, &back, NULL), STATUS_CORRUPT);
    }
    char *secret = strstr(text, "secret ") + 7;
    secret[0] = secret[0] == '0' ? '1' : '0';
    assert_int_equal(keyring_parse(text, &back, NULL), STATUS_CORRUPT);
}

static void keyring_never_reuses_a_folder_with_keys(void **state)
{
    (void)state;
    char folder[2048];
    struct stat st;
    assert_int_equal(keyring_make_folder("fresh", folder, sizeof(folder), NULL),
                     STATUS_OK);
    assert_int_equal(stat(folder, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0700);
    save_key("fresh", 4, "root");
    assert_int_equal(keyring_make_folder("fresh", folder, sizeof(folder), NULL),
                     STATUS_EXISTS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keyring_finds_the_keys_of_a_fleet),
        cmocka_unit_test(keyring_refuses_a_key_others_can_read),
        cmocka_unit_test(keyring_text_round_trips_and_damage_is_found),
        cmocka_unit_test(keyring_never_reuses_a_folder_with_keys),
    };
    return crypto_init()
               ? 1
               : cmocka_run_group_tests(tests, make_root, remove_root);
}
