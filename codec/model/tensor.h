/* One tensor of a model: its name, element type, shape and the bytes it takes
 * in the content. */
#ifndef CODEC_MODEL_TENSOR_H
#define CODEC_MODEL_TENSOR_H

#include "codec/base/bytes.h"
#include "codec/base/status.h"
#include "codec/model/dtype.h"

#define TENSOR_RANK_MAX 64u

/* A view: name and shape belong to the model that holds the tensor. */
struct tensor {
    const char *name; /* UTF-8, ends with a NUL that name_size leaves out */
    uint32_t name_size;
    enum dtype dtype;
    uint32_t rank;         /* 0 for a scalar */
    uint32_t file;         /* index of the model's file it lies in */
    const uint64_t *shape; /* rank dimensions, row-major */
    uint64_t offset;       /* of its first byte in the content */
    uint64_t size;         /* bytes */
};

/* Bytes of a tensor of this type and shape. LIMIT when a product overflows 64
 * bits, CORRUPT when the elements do not fill whole bytes. */
enum status tensor_size_of(enum dtype dtype, const uint64_t *shape,
                           uint32_t rank, uint64_t *size) MUST_CHECK;

/* Elements; 1 for a scalar. The shape has been checked by tensor_size_of. */
uint64_t tensor_elem_count(const struct tensor *tensor);

/* Bytes of one entry of the first dimension; 0 when there is none. */
uint64_t tensor_row_size(const struct tensor *tensor);

bool tensor_same_name(const struct tensor *a, const struct tensor *b);
bool tensor_same_shape(const struct tensor *a, const struct tensor *b);

#endif
