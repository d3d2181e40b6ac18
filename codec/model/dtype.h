/* Element types of tensors. */
#ifndef CODEC_MODEL_DTYPE_H
#define CODEC_MODEL_DTYPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* name, value in streams, bits an element, name as safetensors has it or would.
 * Values are part of the update format: append only. I4 and U4 are packed, two
 * in a byte. */
#define DTYPE_LIST(X)                    \
    X(BOOL, 0, 8, "BOOL")                \
    X(U8, 1, 8, "U8")                    \
    X(I8, 2, 8, "I8")                    \
    X(U16, 3, 16, "U16")                 \
    X(I16, 4, 16, "I16")                 \
    X(U32, 5, 32, "U32")                 \
    X(I32, 6, 32, "I32")                 \
    X(U64, 7, 64, "U64")                 \
    X(I64, 8, 64, "I64")                 \
    X(F16, 9, 16, "F16")                 \
    X(BF16, 10, 16, "BF16")              \
    X(F32, 11, 32, "F32")                \
    X(F64, 12, 64, "F64")                \
    X(F8_E5M2, 13, 8, "F8_E5M2")         \
    X(F8_E4M3, 14, 8, "F8_E4M3")         \
    X(F8_E8M0, 15, 8, "F8_E8M0")         \
    X(F4, 16, 4, "F4")                   \
    X(F6_E2M3, 17, 6, "F6_E2M3")         \
    X(F6_E3M2, 18, 6, "F6_E3M2")         \
    X(C64, 19, 64, "C64")                \
    X(F8_E5M2FNUZ, 20, 8, "F8_E5M2FNUZ") \
    X(F8_E4M3FNUZ, 21, 8, "F8_E4M3FNUZ") \
    X(I4, 22, 4, "I4")                   \
    X(U4, 23, 4, "U4")                   \
    X(C128, 24, 128, "C128")

enum dtype {
#define DTYPE_ENUM(name, value, bits, text) DTYPE_##name = (value),
    DTYPE_LIST(DTYPE_ENUM)
#undef DTYPE_ENUM
    DTYPE_COUNT
};

/* Bits an element takes in the file; 0 for an unknown value. */
unsigned dtype_bits(enum dtype dtype);

/* The name safetensors gives it; "?" for an unknown value. Static. */
const char *dtype_name(enum dtype dtype);

/* False when no type has this name (size bytes, exact case). */
bool dtype_from_name(const char *name, size_t size, enum dtype *out);

/* True for f64, f32, f16, bf16: the floats that delta and full modes code. */
bool dtype_is_float(enum dtype dtype);

/* Integers of whole bytes, bool among them. */
bool dtype_is_int(enum dtype dtype);

/* Either, or a float of 8 bits: each element is one number. */
bool dtype_is_number(enum dtype dtype);

#endif
