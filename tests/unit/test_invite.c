/* Invites: every damage is noticed. */
#include "daemon/invite.h"

#include "tests/support/cmocka.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct invite sample(void)
{
    struct invite invite = {.address_count = 2};
    memset(invite.fleet.b, 0xab, sizeof(invite.fleet.b));
    memset(invite.secret.b, 0x17, sizeof(invite.secret.b));
    strcpy(invite.address[0], "hub.example:15938");
    strcpy(invite.address[1], "[fe80::1%eth0]:15938");
    return invite;
}

static void invite_round_trip(void **state)
{
    (void)state;
    struct invite in = sample(), out;
    char *line;
    assert_int_equal(invite_write(&in, &line, NULL), STATUS_OK);
    char text[INVITE_LINE_MAX];
    snprintf(text, sizeof(text), "# for cameras\n\n  %s \r\nmore", line);
    assert_int_equal(invite_read(text, &out, NULL), STATUS_OK);
    assert_memory_equal(&in, &out, sizeof(in));
    free(line);
}

static void invite_every_changed_character_is_noticed(void **state)
{
    (void)state;
    struct invite in = sample(), out;
    char *line;
    assert_int_equal(invite_write(&in, &line, NULL), STATUS_OK);
    size_t size = strlen(line);
    for (size_t i = 0; i < size; i++) {
        char was = line[i];
        line[i] = was == 'A' ? 'B' : 'A';
        assert_int_not_equal(invite_read(line, &out, NULL), STATUS_OK);
        line[i] = was;
    }
    for (size_t i = 0; i < size; i++) {
        char was = line[i];
        line[i] = '\0';
        assert_int_not_equal(invite_read(line, &out, NULL), STATUS_OK);
        line[i] = was;
    }
    free(line);
}

static void invite_newer_form_is_told_apart(void **state)
{
    (void)state;
    struct invite out;
    struct diag diag = {""};
    assert_int_equal(invite_read("deltamesh2:AAAA", &out, &diag),
                     STATUS_UNSUPPORTED);
    diag_reset(&diag);
    assert_int_equal(invite_read("hello", &out, &diag), STATUS_CORRUPT);
    assert_non_null(strstr(diag.text, "no invite"));
    assert_int_equal(invite_read("", &out, NULL), STATUS_CORRUPT);
    assert_int_equal(invite_read("# only\n", &out, NULL), STATUS_CORRUPT);
}

static void invite_needs_an_address_with_a_port(void **state)
{
    (void)state;
    struct invite in = sample();
    char *line;
    in.address_count = 0;
    assert_int_equal(invite_write(&in, &line, NULL), STATUS_USAGE);
    in = sample();
    strcpy(in.address[1], "hub:0");
    assert_int_equal(invite_write(&in, &line, NULL), STATUS_USAGE);
    strcpy(in.address[1], "a b");
    assert_int_equal(invite_write(&in, &line, NULL), STATUS_USAGE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(invite_round_trip),
        cmocka_unit_test(invite_every_changed_character_is_noticed),
        cmocka_unit_test(invite_newer_form_is_told_apart),
        cmocka_unit_test(invite_needs_an_address_with_a_port),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
