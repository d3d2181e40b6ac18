/* Elements of every type as numbers and back, rounding and ranges. */
#include "codec/nnc/nnc_element.h"

#include "codec/base/bytes.h"
#include "codec/nnc/nnc_sparsify.h"
#include "tests/support/cmocka.h"

#include <math.h>

static void store_f(uint8_t *p, float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof(bits));
    store_le32(p, bits);
}

static void store_d(uint8_t *p, double value)
{
    uint64_t bits;
    memcpy(&bits, &value, sizeof(bits));
    store_le64(p, bits);
}

static float one_float(enum dtype dtype, uint64_t bits)
{
    uint8_t in[8];
    float out;
    store_le64(in, bits);
    nnc_element_floats(dtype, in, NULL, 1, &out);
    return out;
}

static uint64_t put_float(enum dtype dtype, float value)
{
    uint8_t out[8] = {0};
    assert_true(nnc_element_put_floats(dtype, NULL, &value, 1, out));
    return load_le64(out);
}

static void every_pattern_of_16_and_8_bits_comes_back(void **state)
{
    static const enum dtype types[] = {DTYPE_F16, DTYPE_BF16, DTYPE_F8_E5M2,
                                       DTYPE_F8_E4M3};
    (void)state;
    for (size_t t = 0; t < 4; t++) {
        uint32_t end = 1u << dtype_bits(types[t]);
        for (uint32_t bits = 0; bits < end; bits++) {
            float value = one_float(types[t], bits);
            uint64_t back = put_float(types[t], value);
            if (isnan(value))
                assert_true(isnan(one_float(types[t], back)));
            else
                assert_int_equal(back, bits);
        }
    }
}

/* Infinities that cancel out make the same NaN on every machine; what was a NaN
 * stays as it was. */
static void sums_that_are_no_number_are_the_same_everywhere(void **state)
{
    const float less = -INFINITY;
    uint8_t base[8], out[8] = {0};
    (void)state;
    store_le32(base, 0x7f800000);
    assert_true(nnc_element_put_floats(DTYPE_F32, base, &less, 1, out));
    assert_int_equal(load_le32(out), 0x7fc00000);
    store_le32(base, 0xffc12345);
    assert_true(nnc_element_put_floats(DTYPE_F32, base, &less, 1, out));
    assert_int_equal(load_le32(out), 0xffc12345);
    store_le64(base, UINT64_C(0x7ff) << 52);
    assert_true(nnc_element_put_floats(DTYPE_F64, base, &less, 1, out));
    assert_true(load_le64(out) == UINT64_C(0x7ff8) << 48);
    store_le16(base, 0x7c00);
    assert_true(nnc_element_put_floats(DTYPE_F16, base, &less, 1, out));
    assert_int_equal(load_le16(out), 0x7e00);
}

static void floats_beyond_the_range_become_infinite(void **state)
{
    (void)state;
    assert_int_equal(put_float(DTYPE_F16, 1e6f), 0x7c00);
    assert_int_equal(put_float(DTYPE_F16, -1e6f), 0xfc00);
    assert_int_equal(put_float(DTYPE_F16, -INFINITY), 0xfc00);
    assert_int_equal(put_float(DTYPE_F8_E4M3, 1e6f), 0x7f);
    assert_true(one_float(DTYPE_F16, 0x7c00) == INFINITY);
    assert_true(isnan(one_float(DTYPE_F16, 0x7c01)));
}

static void rounding_is_to_nearest_even(void **state)
{
    (void)state;
    assert_int_equal(put_float(DTYPE_F16, 1 + 0x1p-11f), 0x3c00);
    assert_int_equal(put_float(DTYPE_F16, 1 + 0x3p-11f), 0x3c02);
    assert_int_equal(put_float(DTYPE_F16, 1 + 0x1.1p-11f), 0x3c01);
    assert_int_equal(put_float(DTYPE_I32, 2.5f), 2);
    assert_int_equal(put_float(DTYPE_I32, 3.5f), 4);
}

static void differences_add_up_again(void **state)
{
    uint8_t a[16], b[16], out[16];
    float d[2];
    (void)state;
    store_f(a, 1.5f);
    store_f(a + 4, -0.25f);
    store_f(b, 1.25f);
    store_f(b + 4, 1e10f);
    nnc_element_floats(DTYPE_F32, a, b, 2, d);
    assert_true(d[0] == 0.25f && d[1] == -0.25f - 1e10f);
    assert_true(nnc_element_put_floats(DTYPE_F32, b, d, 1, out));
    assert_memory_equal(out, a, 4);
    store_d(a, 1 + 0x1p-50);
    store_d(b, 1);
    nnc_element_floats(DTYPE_F64, a, b, 1, d);
    assert_true(d[0] == 0x1p-50f);
    assert_true(nnc_element_put_floats(DTYPE_F64, b, d, 1, b));
    assert_memory_equal(b, a, 8);
}

static void integers_that_do_not_fit_are_told(void **state)
{
    uint8_t in[8], base[8], out[8];
    int32_t number;
    float value;
    (void)state;
    store_le64(in, UINT64_C(1) << 31);
    assert_false(nnc_element_ints(DTYPE_I64, in, NULL, 1, &number));
    store_le64(base, 1);
    assert_true(nnc_element_ints(DTYPE_I64, in, base, 1, &number));
    assert_int_equal(number, INT32_MAX);
    store_le64(in, UINT64_MAX);
    assert_false(nnc_element_ints(DTYPE_U64, in, NULL, 1, &number));
    assert_true(nnc_element_ints(DTYPE_I64, in, NULL, 1, &number));
    assert_int_equal(number, -1);
    assert_false(nnc_element_put_ints(DTYPE_U64, NULL, &number, 1, out));
    number = 200;
    assert_false(nnc_element_put_ints(DTYPE_I8, NULL, &number, 1, out));
    assert_true(nnc_element_put_ints(DTYPE_U8, NULL, &number, 1, out));
    assert_int_equal(out[0], 200);
    number = 100;
    assert_false(nnc_element_put_ints(DTYPE_U8, out, &number, 1, out));
    number = 2;
    assert_false(nnc_element_put_ints(DTYPE_BOOL, NULL, &number, 1, out));
    value = NAN;
    assert_false(nnc_element_put_floats(DTYPE_I32, NULL, &value, 1, out));
    value = 1e30f;
    assert_false(nnc_element_put_floats(DTYPE_I64, NULL, &value, 1, out));
    store_le64(base, (uint64_t)INT64_MAX);
    number = 1;
    assert_false(nnc_element_put_ints(DTYPE_I64, base, &number, 1, out));
}

static void integers_of_every_width_come_back(void **state)
{
    static const enum dtype types[] = {DTYPE_I8,  DTYPE_I16, DTYPE_I32,
                                       DTYPE_I64, DTYPE_U8,  DTYPE_U16,
                                       DTYPE_U32, DTYPE_U64, DTYPE_BOOL};
    (void)state;
    for (size_t t = 0; t < sizeof(types) / sizeof(*types); t++) {
        uint8_t in[8] = {1}, out[8] = {0};
        int32_t number;
        size_t width = dtype_bits(types[t]) / 8;
        if (t < 4) { /* -2 */
            memset(in, 0xff, width);
            in[0] = 0xfe;
        }
        assert_int_equal(nnc_element_carry(types[t]), NNC_CARRY_INTS);
        assert_true(nnc_element_ints(types[t], in, NULL, 1, &number));
        assert_true(nnc_element_put_ints(types[t], NULL, &number, 1, out));
        assert_memory_equal(in, out, width);
    }
    assert_int_equal(nnc_element_carry(DTYPE_C64), NNC_CARRY_NONE);
    assert_int_equal(nnc_element_carry(DTYPE_I4), NNC_CARRY_NONE);
}

static void sparsify_drops_the_smallest(void **state)
{
    float v[] = {3, -0.5f, 1, -4, 0.25f, 2, 0, -1};
    (void)state;
    assert_int_equal(nnc_sparsify(v, 8, 0.4), 0); /* three of them */
    const float want[] = {3, 0, 1, -4, 0, 2, 0, -1};
    assert_memory_equal(v, want, sizeof(v));
    assert_int_equal(nnc_sparsify(v, 8, 0.5), 0); /* both ones go */
    assert_true(v[2] == 0 && v[7] == 0 && v[5] == 2);
    assert_int_equal(nnc_sparsify(v, 8, 0), 0);
    assert_true(v[0] == 3);
    assert_int_equal(nnc_sparsify(v, 8, 1), 0);
    assert_true(v[0] == 0 && v[3] == 0);
    assert_int_equal(nnc_sparsify(v, 0, 1), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_pattern_of_16_and_8_bits_comes_back),
        cmocka_unit_test(sums_that_are_no_number_are_the_same_everywhere),
        cmocka_unit_test(floats_beyond_the_range_become_infinite),
        cmocka_unit_test(rounding_is_to_nearest_even),
        cmocka_unit_test(differences_add_up_again),
        cmocka_unit_test(integers_that_do_not_fit_are_told),
        cmocka_unit_test(integers_of_every_width_come_back),
        cmocka_unit_test(sparsify_drops_the_smallest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
