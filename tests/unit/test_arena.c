/* The bump allocator: budget, zeroing, alignment. */
#include "codec/base/arena.h"

#include "tests/support/cmocka.h"

#include <stdalign.h>
#include <string.h>

static void arena_budget_is_not_exceeded(void **state)
{
    (void)state;
    struct arena arena;
    arena_init(&arena, 4096);
    assert_non_null(arena_alloc(&arena, 4, 1000));
    assert_null(arena_alloc(&arena, 1, 1000));
    assert_non_null(arena_alloc(&arena, 1, 64));
    assert_null(arena_alloc(&arena, SIZE_MAX / 2, 3));
    assert_null(arena_alloc(&arena, SIZE_MAX, 1));
    arena_deinit(&arena);
    assert_null(arena_alloc(&arena, 1, 1));
}

static void arena_memory_is_zeroed_and_aligned(void **state)
{
    (void)state;
    struct arena arena;
    arena_init(&arena, 1 << 20);
    for (size_t size = 0; size < 300; size++) {
        uint8_t *at = arena_alloc(&arena, size, 1);
        assert_non_null(at);
        assert_int_equal((uintptr_t)at % alignof(max_align_t), 0);
        for (size_t i = 0; i < size; i++)
            assert_int_equal(at[i], 0);
        memset(at, 0xff, size);
    }
    arena_deinit(&arena);
}

static void arena_text_ends_in_nul(void **state)
{
    (void)state;
    struct arena arena;
    arena_init(&arena, 1024);
    assert_string_equal(arena_text(&arena, "model-x", 5), "model");
    arena_deinit(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(arena_budget_is_not_exceeded),
        cmocka_unit_test(arena_memory_is_zeroed_and_aligned),
        cmocka_unit_test(arena_text_ends_in_nul),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
