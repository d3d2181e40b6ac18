/* Texts in NNR headers. */
#include "codec/nnc/nnr_bits.h"

#include <string.h>

/* Bytes of the well-formed sequence at text, 0 if it is none (RFC 3629). */
static size_t utf8_size(const uint8_t *text, size_t left)
{
    uint8_t first = text[0];
    if (first < 0x80)
        return 1;
    size_t size = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
    if (first < 0xc2 || first > 0xf4 || size > left)
        return 0;
    for (size_t i = 1; i < size; i++)
        if ((text[i] & 0xc0) != 0x80)
            return 0;
    if ((first == 0xe0 && text[1] < 0xa0) ||
        (first == 0xed && text[1] > 0x9f) ||
        (first == 0xf0 && text[1] < 0x90) || (first == 0xf4 && text[1] > 0x8f))
        return 0;
    return size;
}

static bool utf8_valid(const uint8_t *text, size_t size)
{
    for (size_t i = 0; i < size;) {
        size_t step = utf8_size(text + i, size - i);
        if (!step)
            return false;
        i += step;
    }
    return true;
}

const char *nnr_bits_text(struct nnr_bits *in, size_t *size)
{
    *size = 0;
    struct bytes rest = nnr_bits_rest(in);
    const uint8_t *nul = rest.size ? memchr(rest.data, 0, rest.size) : NULL;
    if (!nul) {
        nnr_bits_fail(in, STATUS_TRUNCATED);
        return "";
    }
    if (!utf8_valid(rest.data, (size_t)(nul - rest.data))) {
        nnr_bits_fail(in, STATUS_CORRUPT);
        return "";
    }
    *size = (size_t)(nul - rest.data);
    in->pos += 8 * ((uint64_t)*size + 1);
    return (const char *)rest.data;
}
