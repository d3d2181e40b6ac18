/* The table of element types. */
#include "codec/model/dtype.h"

#include <string.h>

unsigned dtype_bits(enum dtype dtype)
{
    switch (dtype) {
#define DTYPE_CASE(name, value, bits, text) \
    case DTYPE_##name:                      \
        return bits;
        DTYPE_LIST(DTYPE_CASE)
#undef DTYPE_CASE
    case DTYPE_COUNT:
        break;
    }
    return 0;
}

const char *dtype_name(enum dtype dtype)
{
    switch (dtype) {
#define DTYPE_CASE(name, value, bits, text) \
    case DTYPE_##name:                      \
        return text;
        DTYPE_LIST(DTYPE_CASE)
#undef DTYPE_CASE
    case DTYPE_COUNT:
        break;
    }
    return "?";
}

bool dtype_from_name(const char *name, size_t size, enum dtype *out)
{
    for (int i = 0; i < DTYPE_COUNT; i++) {
        const char *text = dtype_name((enum dtype)i);
        if (strlen(text) == size && !memcmp(text, name, size)) {
            *out = (enum dtype)i;
            return true;
        }
    }
    return false;
}

bool dtype_is_float(enum dtype dtype)
{
    return dtype == DTYPE_F64 || dtype == DTYPE_F32 || dtype == DTYPE_F16 ||
           dtype == DTYPE_BF16;
}
