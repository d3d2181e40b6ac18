/* Names, patterns and paths: what is legal and what is not. */
#include "protocol/name.h"

#include "protocol/limits.h"
#include "tests/support/cmocka.h"

struct sample {
    const char *text;
    bool legal;
};

static void check(bool (*legal)(struct bytes), const struct sample *samples,
                  size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (legal(bytes_of_text(samples[i].text)) != samples[i].legal)
            fail_msg("\"%s\" should be %s", samples[i].text,
                     samples[i].legal ? "legal" : "illegal");
}

#define CHECK(legal, samples) \
    check(legal, samples, sizeof(samples) / sizeof((samples)[0]))

static void model_names(void **state)
{
    (void)state;
    static const struct sample samples[] = {
        {"a", true},         {"a/b/c", true},      {"a.b_c-9", true},
        {"currently", true}, {"a./b-", true},      {"", false},
        {"A", false},        {"9a", false},        {"a/", false},
        {"/a", false},       {"a//b", false},      {"a/current", false},
        {"current", false},  {"current/a", false}, {"a/.b", false},
        {"a/-b", false},     {"a b", false},       {"a#1", false},
        {"a/../b", false},   {"\xc3\xa4", false},  {"a\n", false},
    };
    CHECK(name_is_model, samples);
    char text[LIMIT_MODEL_NAME_BYTES + 2];
    memset(text, 'a', sizeof(text));
    assert_true(name_is_model(bytes_of(text, LIMIT_MODEL_NAME_BYTES)));
    assert_false(name_is_model(bytes_of(text, LIMIT_MODEL_NAME_BYTES + 1)));
    assert_false(name_is_model(bytes_of("a\0b", 3)));
}

static void a_model_is_no_folder_of_another(void **state)
{
    (void)state;
    assert_true(name_models_conflict(bytes_of_text("a"), bytes_of_text("a/b")));
    assert_true(
        name_models_conflict(bytes_of_text("a/b/c"), bytes_of_text("a/b")));
    assert_false(name_models_conflict(bytes_of_text("a"), bytes_of_text("a")));
    assert_false(
        name_models_conflict(bytes_of_text("a"), bytes_of_text("ab/c")));
    assert_false(
        name_models_conflict(bytes_of_text("a/b"), bytes_of_text("a/c")));
}

static void roles_and_labels(void **state)
{
    (void)state;
    static const struct sample roles[] = {
        {"root", true}, {"9", true},   {"ci.prod_2-x", true}, {"", false},
        {"A", false},   {".a", false}, {"-a", false},         {"a/b", false},
        {"a#", false},  {"_a", false},
    };
    static const struct sample keys[] = {
        {"site", true},  {"a.b", true}, {"node", false},
        {"nodes", true}, {"9", false},  {"", false},
    };
    static const struct sample values[] = {
        {"x", true},    {"Berlin:4/a+b@c-d_e.f", true},
        {"", false},    {"a b", false},
        {"a,b", false}, {"\"", false},
    };
    CHECK(name_is_role, roles);
    CHECK(name_is_channel, roles);
    CHECK(name_is_label_key, keys);
    CHECK(name_is_label_value, values);
    static const struct sample fleets[] = {{"My fleet (2)", true},
                                           {"", false},
                                           {"a\tb", false},
                                           {"\xc3\xa4", false}};
    CHECK(name_is_fleet, fleets);
}

static void patterns_match_what_they_say(void **state)
{
    (void)state;
    static const struct {
        const char *pattern, *model;
        bool matches;
    } cases[] = {
        {"*", "a/b", true},        {"a/*", "a/b", true},
        {"a/*", "a/b/c", true},    {"a/*", "a", false},
        {"a/*", "ab/c", false},    {"a/b/*", "a/b/c", true},
        {"a/b/*", "a/c/c", false}, {"a", "a", true},
        {"a", "a/b", false},       {"a", "b", false},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_true(name_is_pattern(bytes_of_text(cases[i].pattern)));
        assert_int_equal(name_pattern_matches(bytes_of_text(cases[i].pattern),
                                              bytes_of_text(cases[i].model)),
                         cases[i].matches);
    }
    static const struct sample patterns[] = {
        {"", false},   {"/*", false},  {"a*", false},   {"a/*/b", false},
        {"**", false}, {"*/a", false}, {"a/**", false}, {"current/*", false},
    };
    CHECK(name_is_pattern, patterns);
}

static void paths(void **state)
{
    (void)state;
    static const struct sample samples[] = {
        {"model.safetensors", true},
        {"a/B/9_x", true},
        {"1/2/3/4/5/6/7/8", true},
        {"1/2/3/4/5/6/7/8/9", false},
        {"", false},
        {"/a", false},
        {"a/", false},
        {"a//b", false},
        {".a", false},
        {"a/..", false},
        {"..", false},
        {"-rf", false},
        {"a b", false},
        {"a\\b", false},
        {"\xc3\xa4", false},
    };
    CHECK(name_is_path, samples);
    char text[256];
    memset(text, 'a', sizeof(text));
    assert_true(name_is_path(bytes_of(text, 255)));
    assert_false(name_is_path(bytes_of(text, 256)));
    assert_false(name_is_path(bytes_of("a\0", 2)));
}

static void version_names_round_trip(void **state)
{
    (void)state;
    char buf[NAME_VERSION_SIZE];
    struct bytes model;
    uint64_t n;
    struct bytes name =
        name_join_version(bytes_of_text("a/b"), UINT64_MAX, buf);
    assert_true(name_split_version(name, &model, &n));
    assert_true(bytes_equal(model, bytes_of_text("a/b")));
    assert_true(n == UINT64_MAX);
    static const char *const bad[] = {
        "a",  "a#",   "a#0",   "a#01", "a#1x",
        "#1", "a#-1", "a#1#2", "A#1",  "a#18446744073709551616"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_false(name_split_version(bytes_of_text(bad[i]), &model, &n));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(model_names),
        cmocka_unit_test(a_model_is_no_folder_of_another),
        cmocka_unit_test(roles_and_labels),
        cmocka_unit_test(patterns_match_what_they_say),
        cmocka_unit_test(paths),
        cmocka_unit_test(version_names_round_trip),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
