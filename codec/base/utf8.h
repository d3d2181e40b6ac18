/* Well-formed UTF-8: the shortest form, no surrogates, at most U+10FFFF.
 *
 * Ref: RFC 3629, section 4. */
#ifndef CODEC_BASE_UTF8_H
#define CODEC_BASE_UTF8_H

#include "codec/base/bytes.h"

#include <stdbool.h>

/* Bytes of the character that text, which is not empty, begins with; 0 for
 * none. */
static inline size_t utf8_size(struct bytes text)
{
    uint8_t first = text.data[0];
    if (first < 0x80)
        return 1;
    size_t size = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
    if (first < 0xc2 || first > 0xf4 || size > text.size)
        return 0;
    uint8_t low = first == 0xe0 ? 0xa0 : first == 0xf0 ? 0x90 : 0x80;
    uint8_t high = first == 0xed ? 0x9f : first == 0xf4 ? 0x8f : 0xbf;
    if (text.data[1] < low || text.data[1] > high)
        return 0;
    for (size_t i = 2; i < size; i++)
        if ((text.data[i] & 0xc0) != 0x80)
            return 0;
    return size;
}

static inline bool utf8_valid(struct bytes text)
{
    while (text.size) {
        size_t size = utf8_size(text);
        if (!size)
            return false;
        text = bytes_of(text.data + size, text.size - size);
    }
    return true;
}

#endif
