/* Files, folders, counting and hex for the conformance programs. */
#include "tests/conformance/suite.h"

#include "protocol/crypto.h"

#include <dirent.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

struct suite {
    const char *array;
    const char *key;
    suite_case_fn run;
    unsigned passed;
    unsigned failed;
    unsigned skipped;
};

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

bool suite_hex_text(const char *text, struct suite_blob *out)
{
    size_t digits = strlen(text);
    out->size = 0;
    out->present = false;
    if (digits % 2 || digits / 2 > sizeof(out->b))
        return false;
    for (size_t i = 0; i < digits; i += 2) {
        int high = hex_digit(text[i]);
        int low = hex_digit(text[i + 1]);
        if (high < 0 || low < 0)
            return false;
        out->b[i / 2] = (uint8_t)(high << 4 | low);
    }
    out->size = digits / 2;
    out->present = true;
    return true;
}

bool suite_hex(const json_t *object, const char *member, struct suite_blob *out)
{
    const json_t *value = json_object_get(object, member);
    out->size = 0;
    out->present = false;
    if (!value || json_is_null(value))
        return true;
    return json_is_string(value) &&
           suite_hex_text(json_string_value(value), out);
}

const char *suite_text(const json_t *object, const char *member)
{
    const char *text = json_string_value(json_object_get(object, member));
    return text ? text : "";
}

bool suite_flag(const json_t *object, const char *flag)
{
    const json_t *flags = json_object_get(object, "flags");
    for (size_t i = 0; i < json_array_size(flags); i++) {
        const char *text = json_string_value(json_array_get(flags, i));
        if (text && !strcmp(text, flag))
            return true;
    }
    return false;
}

enum suite_result suite_because(enum suite_result result, char *why,
                                size_t why_size, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    vsnprintf(why, why_size, fmt, args);
    va_end(args);
    return result;
}

static void suite_run_case(struct suite *suite, const char *path, size_t index,
                           const json_t *vector)
{
    char why[512] = "";
    if (!json_object_get(vector, suite->key)) {
        printf("skip %s [%zu]: no member '%s'\n", path, index, suite->key);
        suite->skipped++;
        return;
    }
    switch (suite->run(vector, why, sizeof(why))) {
    case SUITE_PASS:
        suite->passed++;
        break;
    case SUITE_FAIL:
        suite->failed++;
        printf("FAIL %s [%zu]: %s\n", path, index, why);
        break;
    default:
        suite->skipped++;
        printf("skip %s [%zu]: %s\n", path, index, why);
        break;
    }
}

static void suite_run_file(struct suite *suite, const char *path)
{
    json_error_t error;
    json_t *root = json_load_file(path, JSON_DECODE_INT_AS_REAL, &error);
    const json_t *list = json_object_get(root, suite->array);
    if (!root) {
        printf("FAIL %s: line %d: %s\n", path, error.line, error.text);
        suite->failed++;
    } else if (!json_is_array(list)) {
        printf("skip %s: no array '%s'\n", path, suite->array);
        suite->skipped++;
    }
    for (size_t i = 0; i < json_array_size(list); i++)
        suite_run_case(suite, path, i, json_array_get(list, i));
    json_decref(root);
}

static int suite_is_json(const struct dirent *entry)
{
    size_t size = strlen(entry->d_name);
    return size > 5 && !strcmp(entry->d_name + size - 5, ".json");
}

static void suite_run_folder(struct suite *suite, const char *path)
{
    struct dirent **entries = NULL;
    int count = scandir(path, &entries, suite_is_json, alphasort);
    for (int i = 0; i < count; i++) {
        char *file = NULL;
        if (asprintf(&file, "%s/%s", path, entries[i]->d_name) >= 0)
            suite_run_file(suite, file);
        free(file);
        free(entries[i]);
    }
    free(entries);
}

static void suite_run_path(struct suite *suite, const char *path)
{
    struct stat st;
    if (stat(path, &st)) {
        printf("FAIL %s: cannot be read\n", path);
        suite->failed++;
    } else if (S_ISDIR(st.st_mode)) {
        suite_run_folder(suite, path);
    } else {
        suite_run_file(suite, path);
    }
}

static void suite_run_default(struct suite *suite, const char *name)
{
    const char *root = getenv("DM_SRCDIR");
    char *path = NULL;
    if (asprintf(&path, "%s/tests/vectors/%s", root ? root : ".", name) < 0)
        return;
    suite_run_path(suite, path);
    free(path);
}

int suite_main(int argc, char **argv, const char *name, const char *array,
               const char *key, suite_case_fn run)
{
    struct suite suite = {.array = array, .key = key, .run = run};
    if (crypto_init()) {
        fputs("no randomness\n", stderr);
        return 1;
    }
    for (int i = 1; i < argc; i++)
        suite_run_path(&suite, argv[i]);
    if (argc < 2)
        suite_run_default(&suite, name);
    printf("%u passed, %u failed, %u skipped\n", suite.passed, suite.failed,
           suite.skipped);
    return suite.failed || fflush(stdout) ? 1 : 0;
}
