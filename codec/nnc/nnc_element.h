/* Elements of a model's tensors as the numbers that NNC streams carry, int32
 * and binary32, and back.
 *
 *   floats    f64 f32 f16 bf16 f8_e5m2 f8_e4m3. To binary32 exactly, f64
 *             rounded to nearest even.
 *   integers  bool u8 i8 u16 i16 u32 i32 u64 i64, as far as they fit int32.
 *
 * All else (packed, complex, scale types) is not carried. Elements are
 * little-endian at any alignment. */
#ifndef CODEC_NNC_NNC_ELEMENT_H
#define CODEC_NNC_NNC_ELEMENT_H

#include "codec/model/dtype.h"

enum nnc_carry {
    NNC_CARRY_NONE,
    NNC_CARRY_INTS,
    NNC_CARRY_FLOATS,
};

enum nnc_carry nnc_element_carry(enum dtype dtype);

/* Elements of a NNC_CARRY_FLOATS type, or with a base (else NULL) what they
 * are more than that: subtracted in binary32, f64 in binary64 and then rounded.
 */
void nnc_element_floats(enum dtype dtype, const uint8_t *in,
                        const uint8_t *base, size_t count, float *out);

/* The same of a NNC_CARRY_INTS type. False when a number does not fit int32;
 * out is unspecified then. */
bool nnc_element_ints(enum dtype dtype, const uint8_t *in, const uint8_t *base,
                      size_t count, int32_t *out);

/* Numbers made elements of any type that is carried, or with a base (else NULL)
 * added to its elements. out may be the base itself.
 *
 *   to a float    the sum is rounded once to binary32 (f64: binary64), then to
 *                 the type, to nearest even; beyond its range it becomes an
 *                 infinity, or NaN in f8_e4m3. A sum that is a NaN is the
 *                 base's, else a quiet one without sign or payload
 *   to an integer floats are rounded to nearest even first
 *
 * False when an integer type cannot hold a number; out is unspecified then. */
bool nnc_element_put_floats(enum dtype dtype, const uint8_t *base,
                            const float *values, size_t count, uint8_t *out);
bool nnc_element_put_ints(enum dtype dtype, const uint8_t *base,
                          const int32_t *values, size_t count, uint8_t *out);

#endif
