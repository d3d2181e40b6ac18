/* Arithmetic on sizes that came from outside: false instead of wrapping. */
#ifndef CODEC_BASE_CHECKED_H
#define CODEC_BASE_CHECKED_H

#include "codec/base/status.h"

#include <stdbool.h>
#include <stdint.h>

static inline bool MUST_CHECK checked_add_u64(uint64_t a, uint64_t b,
                                              uint64_t *out)
{
    return !__builtin_add_overflow(a, b, out);
}

static inline bool MUST_CHECK checked_mul_u64(uint64_t a, uint64_t b,
                                              uint64_t *out)
{
    return !__builtin_mul_overflow(a, b, out);
}

static inline bool MUST_CHECK checked_add_size(size_t a, size_t b, size_t *out)
{
    return !__builtin_add_overflow(a, b, out);
}

static inline bool MUST_CHECK checked_mul_size(size_t a, size_t b, size_t *out)
{
    return !__builtin_mul_overflow(a, b, out);
}

#endif
