/* Bytes from hex in tests. */
#ifndef TESTS_SUPPORT_HEX_H
#define TESTS_SUPPORT_HEX_H

#include "codec/base/bytes.h"

#include <stdio.h>
#include <stdlib.h>

/* The bytes of text, in out of cap bytes; aborts when it is no hex or does not
 * fit. */
static inline struct bytes hex_bytes(const char *text, void *out, size_t cap)
{
    size_t size = strlen(text) / 2;
    uint8_t *at = out;
    if (strlen(text) % 2 || size > cap)
        abort();
    for (size_t i = 0; i < size; i++) {
        unsigned byte;
        if (sscanf(text + 2 * i, "%2x", &byte) != 1)
            abort();
        at[i] = (uint8_t)byte;
    }
    return bytes_of(out, size);
}

#endif
