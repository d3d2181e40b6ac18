/* The configuration: every wrong line is told by its number, every right one
 * takes effect. */
#include "daemon/config.h"

#include "tests/support/cmocka.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static enum status read_text(struct config *config, const char *text,
                             struct diag *diag)
{
    diag_reset(diag);
    return config_read_text(config, "t.conf", text, strlen(text), diag);
}

static void config_takes_every_kind_of_value(void **state)
{
    (void)state;
    struct config config;
    struct diag diag;
    assert_int_equal(config_init(&config), STATUS_OK);
    static const char text[] = "# a comment\n"
                               "[node]\n"
                               "state = /tmp/s\n"
                               "label = site=roof\n"
                               "label = cam=4\n"
                               "[network]\n"
                               "listen = [::1]:7\n"
                               "peer = a.example\n"
                               "peer = [fe80::1%eth0]:9\n"
                               "discovery = off\n"
                               "rate = 125K\n"
                               "links-in = 20\n"
                               "[store]\n"
                               "quota = 2G ; inline\n"
                               "[log]\n"
                               "level = debug";
    assert_int_equal(read_text(&config, text, &diag), STATUS_OK);
    assert_string_equal(config.state_dir, "/tmp/s");
    assert_int_equal(config.label.count, 2);
    assert_string_equal(config.label.item[1], "cam=4");
    assert_int_equal(config.peer.count, 2);
    assert_false(config.discovery);
    assert_int_equal(config.rate_bytes_s, 125 * 1024);
    assert_int_equal(config.links_in, 20);
    assert_true(config.quota_bytes == (uint64_t)2 << 30);
    assert_int_equal(config.log_level, LOG_LEVEL_DEBUG);
    assert_int_equal(read_text(&config, "[network]\npeer =\n", &diag),
                     STATUS_OK);
    assert_int_equal(config.peer.count, 0);
    config_deinit(&config);
}

static void config_wrong_lines_are_named(void **state)
{
    (void)state;
    static const struct {
        const char *text, *line, *word;
    } cases[] = {
        {"[node]\n\nsate = /x\n", "t.conf:3: ", "sate"},
        {"[nod]\nstate = /x\n", "t.conf:2: ", "nod"},
        {"state = /x\n", "t.conf:1: ", "section"},
        {"[node]\nstate = x\n", "t.conf:2: ", "absolute"},
        {"[node]\nlabel = x\n", "t.conf:2: ", "KEY=VALUE"},
        {"[network]\nlinks-in = 0\n", "t.conf:2: ", "1 to 1024"},
        {"[network]\nlinks-in = 99999999999999999999\n", "t.conf:2: ", "1024"},
        {"[network]\nrate = 12Q\n", "t.conf:2: ", "size"},
        {"[network]\nrate = 99999999999T\n", "t.conf:2: ", "size"},
        {"[network]\npeer = a:b:c\n", "t.conf:2: ", "HOST:PORT"},
        {"[network]\npeer = a:99999\n", "t.conf:2: ", "HOST:PORT"},
        {"[network]\ndiscovery = maybe\n", "t.conf:2: ", "yes or no"},
        {"[log]\nlevel = loud\n", "t.conf:2: ", "loud"},
        {"[log]\nno equals sign\n", "t.conf:2: ", "key = value"},
        {"[log\nlevel = info\n", "t.conf:1: ", "section"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct config config;
        struct diag diag;
        assert_int_equal(config_init(&config), STATUS_OK);
        assert_int_equal(read_text(&config, cases[i].text, &diag),
                         STATUS_USAGE);
        assert_memory_equal(diag.text, cases[i].line, strlen(cases[i].line));
        assert_non_null(strstr(diag.text, cases[i].word));
        config_deinit(&config);
    }
}

static void config_long_lines_and_zero_bytes_are_refused(void **state)
{
    (void)state;
    struct config config;
    struct diag diag = {""};
    char text[600];
    assert_int_equal(config_init(&config), STATUS_OK);
    memset(text, 'x', sizeof(text));
    assert_int_equal(config_read_text(&config, "t", text, sizeof(text), &diag),
                     STATUS_USAGE);
    diag_reset(&diag);
    assert_int_equal(
        config_read_text(&config, "t", "[log]\nlevel\0=", 13, &diag),
        STATUS_USAGE);
    assert_non_null(strstr(diag.text, "t:2: "));
    config_deinit(&config);
}

static void config_too_many_items_are_refused(void **state)
{
    (void)state;
    struct config config;
    struct diag diag = {""};
    assert_int_equal(config_init(&config), STATUS_OK);
    for (unsigned i = 0; i < CONFIG_LIST_MAX; i++)
        assert_int_equal(config_set(&config, "network", "peer", "a:1", &diag),
                         STATUS_OK);
    assert_int_equal(config_set(&config, "network", "peer", "a:1", &diag),
                     STATUS_USAGE);
    config_deinit(&config);
}

static void put_file(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static void config_drop_ins_come_after_in_name_order(void **state)
{
    (void)state;
    char dir[] = "/tmp/dm-config-XXXXXX", path[64], sub[128];
    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof(path), "%s/d.conf", dir);
    struct config config;
    struct diag diag = {""};
    assert_int_equal(config_init(&config), STATUS_OK);
    assert_int_equal(config_read(&config, path, false, &diag), STATUS_OK);
    assert_int_equal(config_read(&config, path, true, &diag), STATUS_NOT_FOUND);
    put_file(path, "[store]\nkeep = 5\n[log]\nlevel = warn\n");
    snprintf(sub, sizeof(sub), "%s/d.conf.d", dir);
    assert_int_equal(mkdir(sub, 0755), 0);
    snprintf(sub, sizeof(sub), "%s/d.conf.d/20.conf", dir);
    put_file(sub, "[store]\nkeep = 7\n");
    snprintf(sub, sizeof(sub), "%s/d.conf.d/10.conf", dir);
    put_file(sub, "[store]\nkeep = 6\n");
    snprintf(sub, sizeof(sub), "%s/d.conf.d/30.off", dir);
    put_file(sub, "nonsense");
    assert_int_equal(config_read(&config, path, true, &diag), STATUS_OK);
    assert_int_equal(config.keep, 7);
    assert_int_equal(config.log_level, LOG_LEVEL_WARN);
    config_deinit(&config);
    snprintf(sub, sizeof(sub), "rm -rf %s", dir);
    assert_int_equal(system(sub), 0);
}

static void config_restart_keys_are_those_that_differ(void **state)
{
    (void)state;
    struct config a, b;
    struct diag diag = {""};
    char names[256];
    assert_int_equal(config_init(&a), STATUS_OK);
    assert_int_equal(config_init(&b), STATUS_OK);
    config_restart_keys(&a, &b, names, sizeof(names));
    assert_string_equal(names, "");
    assert_int_equal(config_set(&b, "network", "peer", "x:1", &diag), 0);
    assert_int_equal(config_set(&b, "log", "level", "debug", &diag), 0);
    assert_int_equal(config_set(&b, "node", "state", "/q", &diag), 0);
    config_restart_keys(&a, &b, names, sizeof(names));
    assert_string_equal(names, "state peer");
    config_deinit(&a);
    config_deinit(&b);
}

static void config_addresses_split(void **state)
{
    (void)state;
    char host[32];
    unsigned port;
    assert_true(config_split_address("h", 5, host, sizeof(host), &port));
    assert_string_equal(host, "h");
    assert_int_equal(port, 5);
    assert_true(config_split_address("[::]:0", 5, host, sizeof(host), &port));
    assert_string_equal(host, "::");
    assert_int_equal(port, 0);
    assert_true(config_split_address("[fe80::1%lo]", 5, host, 32, &port));
    assert_string_equal(host, "fe80::1%lo");
    assert_false(config_split_address("", 5, host, sizeof(host), &port));
    assert_false(config_split_address(":1", 5, host, sizeof(host), &port));
    assert_false(config_split_address("::1", 5, host, sizeof(host), &port));
    assert_false(config_split_address("[::1", 5, host, sizeof(host), &port));
    assert_false(config_split_address("[::1]x", 5, host, 32, &port));
    assert_false(config_split_address("h:", 5, host, sizeof(host), &port));
    assert_false(config_split_address("h:1x", 5, host, sizeof(host), &port));
    assert_false(config_split_address("a b:1", 5, host, sizeof(host), &port));
    assert_false(config_split_address("hostname", 5, host, 8, &port));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(config_takes_every_kind_of_value),
        cmocka_unit_test(config_wrong_lines_are_named),
        cmocka_unit_test(config_long_lines_and_zero_bytes_are_refused),
        cmocka_unit_test(config_too_many_items_are_refused),
        cmocka_unit_test(config_drop_ins_come_after_in_name_order),
        cmocka_unit_test(config_restart_keys_are_those_that_differ),
        cmocka_unit_test(config_addresses_split),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
