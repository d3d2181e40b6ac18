/* The primitives of NNR headers, read most significant bit first from a unit.
 * As with struct reader the first failure sticks, later reads yield zero, and
 * the status is looked at before a value is acted on.
 *
 * Ref: ISO/IEC 15938-17:2024, syntax descriptors. */
#ifndef CODEC_NNC_NNR_BITS_H
#define CODEC_NNC_NNR_BITS_H

#include "codec/base/bytes.h"
#include "codec/base/status.h"

/* Zeros that may come before the one of an exp-Golomb number. */
#define NNR_PREFIX_MAX 32u

struct nnr_bits {
    const uint8_t *data;
    uint64_t size; /* bits */
    uint64_t pos;  /* bits read; <= size */
    enum status status;
};

static inline void nnr_bits_init(struct nnr_bits *in, struct bytes bytes)
{
    *in = (struct nnr_bits){bytes.data, 8 * (uint64_t)bytes.size, 0, STATUS_OK};
}

static inline void nnr_bits_fail(struct nnr_bits *in, enum status status)
{
    if (!in->status)
        in->status = status;
}

static inline uint64_t nnr_bits_left(const struct nnr_bits *in)
{
    return in->status ? 0 : in->size - in->pos;
}

/* u(count), count <= 32 */
static inline uint32_t nnr_bits_u(struct nnr_bits *in, unsigned count)
{
    if (count > nnr_bits_left(in)) {
        nnr_bits_fail(in, STATUS_TRUNCATED);
        return 0;
    }
    uint32_t value = 0;
    for (unsigned i = 0; i < count; i++, in->pos++) {
        uint32_t byte = in->data[in->pos / 8];
        value = value << 1 | (byte >> (7 - in->pos % 8) & 1);
    }
    return value;
}

static inline bool nnr_bits_flag(struct nnr_bits *in)
{
    return nnr_bits_u(in, 1);
}

/* i(count), 1 <= count <= 31 */
static inline int32_t nnr_bits_i(struct nnr_bits *in, unsigned count)
{
    int32_t value = (int32_t)nnr_bits_u(in, count);
    int32_t half = (int32_t)1 << (count - 1);
    return value < half ? value : value - 2 * half;
}

/* ue(order); CORRUPT when the prefix is too long or the number is above 32
 * bits. */
static inline uint32_t nnr_bits_ue(struct nnr_bits *in, unsigned order)
{
    uint64_t value = 0;
    unsigned zeros = 0;
    while (!nnr_bits_flag(in) && !in->status) {
        if (++zeros > NNR_PREFIX_MAX || order > 31) {
            nnr_bits_fail(in, STATUS_CORRUPT);
            return 0;
        }
        value += (uint64_t)1 << order++;
    }
    if (order > 32)
        nnr_bits_fail(in, STATUS_CORRUPT);
    else if (order)
        value += nnr_bits_u(in, order);
    if (value > UINT32_MAX)
        nnr_bits_fail(in, STATUS_CORRUPT);
    return in->status ? 0 : (uint32_t)value;
}

/* ie(order): odd numbers are positive. CORRUPT outside of 32 bits. */
static inline int32_t nnr_bits_ie(struct nnr_bits *in, unsigned order)
{
    uint32_t value = nnr_bits_ue(in, order);
    if (value == UINT32_MAX) {
        nnr_bits_fail(in, STATUS_CORRUPT);
        return 0;
    }
    return value & 1 ? (int32_t)(value / 2) + 1 : -(int32_t)(value / 2);
}

/* One bit, not looked at, and on to the next byte. */
static inline void nnr_bits_align(struct nnr_bits *in)
{
    nnr_bits_u(in, 1);
    if (!in->status)
        in->pos = (in->pos + 7) / 8 * 8;
}

/* The bytes from here on; empty after a failure, or if a byte was begun
 * (CORRUPT). */
static inline struct bytes nnr_bits_rest(struct nnr_bits *in)
{
    if (in->pos % 8)
        nnr_bits_fail(in, STATUS_CORRUPT);
    if (in->status)
        return (struct bytes){0};
    return bytes_of(in->data + in->pos / 8, (size_t)((in->size - in->pos) / 8));
}

/* st(v): UTF-8 up to its NUL, which *size leaves out. CORRUPT when it is no
 * UTF-8 or does not start on a byte, TRUNCATED without a NUL. "" then. The text
 * lies in the unit. */
const char *nnr_bits_text(struct nnr_bits *in, size_t *size);

/* Passes over count bits. */
static inline void nnr_bits_skip(struct nnr_bits *in, uint64_t count)
{
    if (count > nnr_bits_left(in))
        nnr_bits_fail(in, STATUS_TRUNCATED);
    else
        in->pos += count;
}

#endif
