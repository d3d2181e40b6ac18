/* What the parser of ncnn files takes, finds and refuses: the cases of
 * tests/data/formats/ncnn.json, and the real files next to the source tree,
 * where there are some. */
#include "tests/support/format_cases.h"

#include "tests/support/cmocka.h"

static void cases_get_the_expected_answer(void **state)
{
    (void)state;
    assert_true(format_cases_run("ncnn") > 20);
}

static void whatever_is_taken_of_damaged_files_is_sound(void **state)
{
    (void)state;
    assert_true(format_cases_damage("ncnn") > 20);
}

static void every_failed_allocation_is_survived(void **state)
{
    (void)state;
    assert_true(format_cases_starve("ncnn") > 20);
}

static void tensors_cover_real_files(void **state)
{
    static const struct format_real real[] = {
        {{"outside/linzaer-ncnn/v1.param", "outside/linzaer-ncnn/v1.bin"},
         2,
         0.98},
        {{"outside/linzaer-ncnn/v2.bin", "outside/linzaer-ncnn/v2.param"},
         2,
         0.98},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(real) / sizeof(real[0]); i++)
        if (!format_corpus_covered(&real[i]))
            skip();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cases_get_the_expected_answer),
        cmocka_unit_test(whatever_is_taken_of_damaged_files_is_sound),
        cmocka_unit_test(every_failed_allocation_is_survived),
        cmocka_unit_test(tensors_cover_real_files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
