/* Columns and words for people. */
#include "daemon/table.h"

#include "daemon/log.h"

#include "tests/support/cmocka.h"

#include <stdlib.h>
#include <string.h>

static char *printed(const struct table *table)
{
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);
    table_print(table, out);
    fclose(out);
    return text;
}

static void table_aligns_columns(void **state)
{
    (void)state;
    struct table *table = table_new("NAME|>SIZE|NOTE");
    table_row(table, "a", "1000", "x");
    table_row(table, "longer", "7", "");
    char *text = printed(table);
    assert_string_equal(text, "NAME    SIZE  NOTE\n"
                              "a       1000  x\n"
                              "longer     7  \n");
    assert_int_equal(table_rows(table), 2);
    free(text);
    table_free(table);
}

static void table_without_rows_prints_nothing(void **state)
{
    (void)state;
    struct table *table = table_new("NAME");
    char *text = printed(table);
    assert_string_equal(text, "");
    free(text);
    table_free(table);
}

static void table_replaces_control_characters(void **state)
{
    (void)state;
    struct table *table = table_new("N");
    table_row(table, "a\x1b[31m\xc2\x9b\xc3\xa4\n");
    char *text = printed(table);
    assert_string_equal(text, "N\na?[31m?\xc3\xa4?\n");
    free(text);
    table_free(table);
}

static void log_line_replaces_control_characters(void **state)
{
    (void)state;
    char text[128] = "";
    struct log log;
    log_init(&log, LOG_LEVEL_INFO);
    log.journal = false;
    log.out = tmpfile();
    assert_non_null(log.out);
    log_line(&log, LOG_LEVEL_INFO, "link %s",
             "a\nerror: b\x1b[2J\xc2\x9b"
             "1m \xc3\xa4");
    rewind(log.out);
    size_t size = fread(text, 1, sizeof(text) - 1, log.out);
    fclose(log.out);
    text[size] = '\0';
    assert_string_equal(text, "info: link a?error: b?[2J??1m \xc3\xa4\n");
}

static void table_bytes_rounds_to_units(void **state)
{
    (void)state;
    char out[TABLE_WORD];
    assert_string_equal(table_bytes(0, out), "0 B");
    assert_string_equal(table_bytes(999, out), "999 B");
    assert_string_equal(table_bytes(1000, out), "1.00 kB");
    assert_string_equal(table_bytes(1729624, out), "1.73 MB");
    assert_string_equal(table_bytes(999999, out), "1.00 MB");
    assert_string_equal(table_bytes(UINT64_MAX, out), "18.4 EB");
}

static void table_age_picks_a_unit(void **state)
{
    (void)state;
    char out[TABLE_WORD];
    assert_string_equal(table_age(-1, out), "-");
    assert_string_equal(table_age(59.6, out), "60 s");
    assert_string_equal(table_age(600, out), "10 min");
    assert_string_equal(table_age(86400, out), "24 h");
    assert_string_equal(table_age(864000, out), "10 d");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(table_aligns_columns),
        cmocka_unit_test(table_without_rows_prints_nothing),
        cmocka_unit_test(table_replaces_control_characters),
        cmocka_unit_test(log_line_replaces_control_characters),
        cmocka_unit_test(table_bytes_rounds_to_units),
        cmocka_unit_test(table_age_picks_a_unit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
