/* Small safetensors files of any make, the same for a seed on every machine:
 * what codecs are tested on when there is no corpus. */
#ifndef TESTS_SUPPORT_TINY_MODEL_H
#define TESTS_SUPPORT_TINY_MODEL_H

#include "codec/model/dtype.h"

/* Values are those of the seed, row by row, so that a tensor that grows keeps
 * its first rows; noise is the size of what is added to each, relative to the
 * values; of so many in a thousand. */
struct tiny_tensor {
    const char *name;
    enum dtype dtype;
    uint32_t rows;
    uint32_t cols; /* 0: the shape is [rows] */
    uint64_t seed;
    double noise;
    uint64_t noise_seed;
    uint32_t per_mille; /* of the values get noise; 0: all */
};

/* The file's bytes, free() them. NULL: no memory. */
uint8_t *tiny_model_new(const struct tiny_tensor *tensors, size_t count,
                        size_t *size);

/* A file of this header text and data, whatever they say. */
uint8_t *tiny_file_new(const char *json, const void *data, size_t data_size,
                       size_t *size);

#endif
