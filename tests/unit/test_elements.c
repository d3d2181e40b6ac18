/* Elements as numbers: known bit patterns of each type. */
#include "daemon/elements.h"
#include "tests/support/cmocka.h"

#include <math.h>

static double element(enum dtype dtype, uint64_t bits)
{
    uint8_t in[8];
    double out;
    for (unsigned i = 0; i < 8; i++)
        in[i] = (uint8_t)(bits >> (8 * i));
    elements_read(dtype, in, 1, &out);
    return out;
}

static void known_patterns(void **state)
{
    static const struct {
        enum dtype dtype;
        uint64_t bits;
        double value;
    } cases[] = {
        {DTYPE_BOOL, 1, 1},
        {DTYPE_U8, 255, 255},
        {DTYPE_I8, 255, -1},
        {DTYPE_U16, 65535, 65535},
        {DTYPE_I16, 65535, -1},
        {DTYPE_U32, 0xffffffff, 4294967295.0},
        {DTYPE_I32, 0xffffffff, -1},
        {DTYPE_U64, 1ull << 63, 9223372036854775808.0},
        {DTYPE_I64, UINT64_MAX, -1},
        {DTYPE_F32, 0xbf800000, -1},
        {DTYPE_F64, 0x4000000000000000, 2},
        {DTYPE_BF16, 0x3f80, 1},
        {DTYPE_F16, 0x3c00, 1},
        {DTYPE_F16, 0xc000, -2},
        {DTYPE_F16, 0x7bff, 65504},   /* the largest */
        {DTYPE_F16, 0x0001, 0x1p-24}, /* the smallest */
        {DTYPE_F8_E5M2, 0x3c, 1},
        {DTYPE_F8_E5M2, 0x7b, 57344}, /* the largest */
        {DTYPE_F8_E5M2, 0x01, 0x1p-16},
        {DTYPE_F8_E4M3, 0x38, 1},
        {DTYPE_F8_E4M3, 0x7e, 448}, /* the largest */
        {DTYPE_F8_E4M3, 0x81, -0x1p-9},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        double value = element(cases[i].dtype, cases[i].bits);
        assert_true(dtype_is_number(cases[i].dtype));
        if (value < cases[i].value || value > cases[i].value)
            fail_msg("case %zu: %g, not %g", i, value, cases[i].value);
    }
}

static void what_is_not_finite(void **state)
{
    (void)state;
    assert_true(isinf(element(DTYPE_F16, 0x7c00)));
    assert_true(isnan(element(DTYPE_F16, 0x7c01)));
    assert_true(isinf(element(DTYPE_F8_E5M2, 0xfc)));
    assert_true(isnan(element(DTYPE_F8_E4M3, 0x7f)));
    assert_true(isnan(element(DTYPE_F8_E4M3, 0xff)));
}

static void packed_types_are_no_numbers(void **state)
{
    (void)state;
    for (unsigned i = 0; i < DTYPE_COUNT; i++)
        assert_true(!dtype_is_number((enum dtype)i) ||
                    dtype_bits((enum dtype)i) % 8 == 0);
    assert_false(dtype_is_number(DTYPE_F4));
    assert_false(dtype_is_number(DTYPE_C64));
    assert_false(dtype_is_number(DTYPE_F8_E8M0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_patterns),
        cmocka_unit_test(what_is_not_finite),
        cmocka_unit_test(packed_types_are_no_numbers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
