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

bool dtype_is_int(enum dtype dtype)
{
    return dtype == DTYPE_BOOL || dtype == DTYPE_U8 || dtype == DTYPE_I8 ||
           dtype == DTYPE_U16 || dtype == DTYPE_I16 || dtype == DTYPE_U32 ||
           dtype == DTYPE_I32 || dtype == DTYPE_U64 || dtype == DTYPE_I64;
}

bool dtype_is_number(enum dtype dtype)
{
    return dtype_is_float(dtype) || dtype_is_int(dtype) ||
           dtype == DTYPE_F8_E5M2 || dtype == DTYPE_F8_E4M3;
}
