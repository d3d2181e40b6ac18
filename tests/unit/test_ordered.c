/* Ordered integers: one to one, in the order of the numbers. */
#include "codec/lossless/ordered.h"

#include "tests/support/cmocka.h"

#include <string.h>

static void ordered_16_is_its_own_inverse(void **state)
{
    (void)state;
    for (uint32_t v = 0; v <= 0xffff; v++)
        assert_int_equal(ordered_16(ordered_16((uint16_t)v)), v);
}

static void ordered_wide_is_its_own_inverse(void **state)
{
    (void)state;
    for (uint64_t v = 1; v; v = v * 3 + 1) {
        assert_true(ordered_64(ordered_64(v)) == v);
        assert_true(ordered_32(ordered_32((uint32_t)v)) == (uint32_t)v);
        if (v > UINT64_MAX / 4)
            break;
    }
}

static int32_t of_float(float f)
{
    uint32_t bits;
    memcpy(&bits, &f, sizeof(bits));
    return (int32_t)ordered_32(bits);
}

static int64_t of_double(double d)
{
    uint64_t bits;
    memcpy(&bits, &d, sizeof(bits));
    return (int64_t)ordered_64(bits);
}

static void ordered_keeps_the_order_of_numbers(void **state)
{
    (void)state;
    static const double rising[] = {-1e30, -2,    -1.5,  -1e-30, -1e-40,
                                    0,     1e-40, 1e-30, 1,      1e30};
    for (size_t i = 1; i < sizeof(rising) / sizeof(*rising); i++) {
        assert_true(of_float((float)rising[i - 1]) <
                    of_float((float)rising[i]));
        assert_true(of_double(rising[i - 1]) < of_double(rising[i]));
    }
}

static void ordered_zeros_are_neighbours(void **state)
{
    (void)state;
    assert_int_equal(of_float(0.0f), 0);
    assert_int_equal(of_float(-0.0f), -1);
    assert_true(of_double(-0.0) == -1);
    assert_int_equal((int16_t)ordered_16(0x8000), -1);
    assert_int_equal((int16_t)ordered_16(0xffff), INT16_MIN);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ordered_16_is_its_own_inverse),
        cmocka_unit_test(ordered_wide_is_its_own_inverse),
        cmocka_unit_test(ordered_keeps_the_order_of_numbers),
        cmocka_unit_test(ordered_zeros_are_neighbours),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
