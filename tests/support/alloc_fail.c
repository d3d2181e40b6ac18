/* Wraps malloc, calloc and realloc with the linker. */
#include "tests/support/alloc_fail.h"

#include <stddef.h>

static bool alloc_fail_armed;
static bool alloc_fail_failed;
static unsigned alloc_fail_left;

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *old, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *old, size_t size);

void alloc_fail_after(unsigned count)
{
    alloc_fail_armed = true;
    alloc_fail_failed = false;
    alloc_fail_left = count;
}

bool alloc_fail_stop(void)
{
    alloc_fail_armed = false;
    return alloc_fail_failed;
}

static bool alloc_fail_now(void)
{
    if (!alloc_fail_armed)
        return false;
    if (alloc_fail_left) {
        alloc_fail_left--;
        return false;
    }
    alloc_fail_failed = true;
    return true;
}

void *__wrap_malloc(size_t size)
{
    return alloc_fail_now() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
    return alloc_fail_now() ? NULL : __real_calloc(count, size);
}

void *__wrap_realloc(void *old, size_t size)
{
    return alloc_fail_now() ? NULL : __real_realloc(old, size);
}
