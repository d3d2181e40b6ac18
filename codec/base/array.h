/* Growing arrays of anything. */
#ifndef CODEC_BASE_ARRAY_H
#define CODEC_BASE_ARRAY_H

#include "codec/base/status.h"

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

/* Makes room for need elements of elem_bytes each, at least twice as many as
 * before. *array is realloc()ed and *cap follows. NO_MEMORY: all is as it was.
 */
static inline enum status MUST_CHECK array_grow(void **array, size_t elem_bytes,
                                                size_t need, size_t *cap)
{
    if (need <= *cap)
        return STATUS_OK;
    size_t want = *cap ? *cap * 2 : 64;
    if (want < need)
        want = need;
    if (want > SIZE_MAX / elem_bytes)
        return STATUS_NO_MEMORY;
    void *bigger = realloc(*array, want * elem_bytes);
    if (!bigger)
        return STATUS_NO_MEMORY;
    *array = bigger;
    *cap = want;
    return STATUS_OK;
}

#endif
