/* Sizes and comparisons of tensors. */
#include "codec/model/tensor.h"

#include "codec/base/checked.h"

enum status tensor_size_of(enum dtype dtype, const uint64_t *shape,
                           uint32_t rank, uint64_t *size)
{
    uint64_t count = 1, bits;
    for (uint32_t i = 0; i < rank; i++)
        if (!checked_mul_u64(count, shape[i], &count))
            return STATUS_LIMIT;
    if (!checked_mul_u64(count, dtype_bits(dtype), &bits))
        return STATUS_LIMIT;
    *size = bits / 8;
    return bits % 8 ? STATUS_CORRUPT : STATUS_OK;
}

uint64_t tensor_elem_count(const struct tensor *tensor)
{
    unsigned bits = dtype_bits(tensor->dtype);
    return bits ? tensor->size * 8 / bits : 0;
}

uint64_t tensor_row_size(const struct tensor *tensor)
{
    if (!tensor->rank || !tensor->shape[0])
        return 0;
    return tensor->size / tensor->shape[0];
}

bool tensor_same_name(const struct tensor *a, const struct tensor *b)
{
    return bytes_equal(bytes_of(a->name, a->name_size),
                       bytes_of(b->name, b->name_size));
}

bool tensor_same_shape(const struct tensor *a, const struct tensor *b)
{
    if (a->rank != b->rank)
        return false;
    for (uint32_t i = 0; i < a->rank; i++)
        if (a->shape[i] != b->shape[i])
            return false;
    return true;
}
