/* Each magnitude has a symbol whose bits hold it, in every row and width. */
#include "codec/lossless/classes.h"

#include "tests/support/cmocka.h"

static classes_entry rows[CLASSES_ROWS][FREQ_SYMS];

static void classes_are_half_octaves(void **state)
{
    (void)state;
    static const unsigned expected[] = {0, 2, 3, 4, 4, 5, 5, 6, 6, 6, 6, 7};
    for (unsigned m = 1; m <= 12; m++)
        assert_int_equal(classes_of(m), expected[m - 1]);
    assert_int_equal(classes_of(UINT64_MAX), 127);
    assert_int_equal(classes_of((uint64_t)1 << 63), 126);
    assert_int_equal(classes_of(((uint64_t)1 << 62) - 1), 123);
}

/* 2 m + 1 lies in the interval of the entry. */
static void check(classes_entry entry, uint64_t magnitude)
{
    unsigned bits = entry & 0xff;
    uint64_t low = bits < 64 ? (uint64_t)(entry >> 8) << bits : 0;
    uint64_t twice = 2 * magnitude + 1;
    assert_true(twice >= low);
    assert_true(bits == 64 || (twice - low) >> bits == 0);
}

static void classes_rows_hold_each_magnitude(void **state)
{
    (void)state;
    static const unsigned widths[] = {16, 32, 64};
    for (unsigned i = 0; i < 3; i++) {
        unsigned width = widths[i];
        classes_rows_init(rows, width);
        for (unsigned row = 0; row <= 2 * (width - 2); row++) {
            for (uint64_t m = 1; m >> (width - 1) == 0; m += 1 + m / 13) {
                unsigned sym = classes_sym(classes_of(m), row);
                assert_in_range(sym, 1, FREQ_SYM_ESCAPE);
                if (sym != FREQ_SYM_ESCAPE)
                    check(rows[row][sym], m);
            }
            assert_int_equal(rows[row][0], 0);
            assert_int_equal(rows[row][FREQ_SYM_ESCAPE], width);
        }
    }
}

static void classes_rows_never_ask_for_more_than_the_width(void **state)
{
    (void)state;
    static const unsigned widths[] = {16, 32, 64};
    for (unsigned i = 0; i < 3; i++) {
        classes_rows_init(rows, widths[i]);
        for (unsigned row = 0; row <= CLASSES_ROW_MAX; row++)
            for (unsigned s = 0; s < FREQ_SYMS; s++)
                assert_in_range(rows[row][s] & 0xff, 0, widths[i]);
    }
}

static void classes_direct_row_holds_values(void **state)
{
    (void)state;
    static const enum dtype dtypes[] = {DTYPE_F64, DTYPE_F32};
    for (unsigned i = 0; i < 2; i++) {
        struct classes_format format;
        assert_true(classes_format(dtypes[i], &format));
        for (unsigned first = 0; first < format.half_octaves; first += 5) {
            classes_entry row[FREQ_SYMS];
            classes_row_direct(row, &format, first);
            for (unsigned h = 0; h < format.half_octaves; h++) {
                unsigned sym = classes_sym_direct(h, first);
                bool inside = h >= first && h < first + CLASSES_SYM_LAST;
                assert_int_equal(sym, inside ? h - first + 1 : FREQ_SYM_ESCAPE);
                uint64_t m = ((uint64_t)h << (format.mantissa_bits - 1)) | 1;
                if (inside)
                    check(row[sym], m);
            }
            for (unsigned s = 0; s < FREQ_SYMS; s++)
                assert_in_range(row[s] & 0xff, 0, format.width);
        }
    }
}

static void classes_row_falls_with_the_exponent(void **state)
{
    (void)state;
    struct classes_format format;
    assert_true(classes_format(DTYPE_F32, &format));
    assert_int_equal(classes_row(&format, 250, 120), 10);
    assert_int_equal(classes_row(&format, 250, 121), 8);
    assert_int_equal(classes_row(&format, 250, 200), 0);
    assert_int_equal(classes_row(&format, 1023, 0), 60);
    assert_int_equal(classes_row(&format, 10, 0), 8);
    assert_int_equal(classes_row(&format, 10, 1), 8);
    assert_false(classes_format(DTYPE_I8, &format));
}

static void classes_integers_have_no_mantissa(void **state)
{
    (void)state;
    static const enum dtype dtypes[] = {DTYPE_I32, DTYPE_U32, DTYPE_I64,
                                        DTYPE_U64};
    for (unsigned i = 0; i < 4; i++) {
        struct classes_format format;
        assert_true(classes_format(dtypes[i], &format));
        assert_int_equal(format.width, dtype_bits(dtypes[i]));
        assert_int_equal(format.mantissa_bits, 0);
        assert_int_equal(format.half_octaves, 0);
        assert_int_equal(classes_row(&format, 9, 0), 7);
        assert_int_equal(classes_row(&format, 1023, 0), 2 * format.width - 4);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(classes_are_half_octaves),
        cmocka_unit_test(classes_rows_hold_each_magnitude),
        cmocka_unit_test(classes_rows_never_ask_for_more_than_the_width),
        cmocka_unit_test(classes_direct_row_holds_values),
        cmocka_unit_test(classes_row_falls_with_the_exponent),
        cmocka_unit_test(classes_integers_have_no_mantissa),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
