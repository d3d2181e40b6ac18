/* Texts in NNR headers. */
#include "codec/nnc/nnr_bits.h"

#include "codec/base/utf8.h"

#include <string.h>

const char *nnr_bits_text(struct nnr_bits *in, size_t *size)
{
    *size = 0;
    struct bytes rest = nnr_bits_rest(in);
    const uint8_t *nul = rest.size ? memchr(rest.data, 0, rest.size) : NULL;
    if (!nul) {
        nnr_bits_fail(in, STATUS_TRUNCATED);
        return "";
    }
    if (!utf8_valid(bytes_of(rest.data, (size_t)(nul - rest.data)))) {
        nnr_bits_fail(in, STATUS_CORRUPT);
        return "";
    }
    *size = (size_t)(nul - rest.data);
    in->pos += 8 * ((uint64_t)*size + 1);
    return (const char *)rest.data;
}
