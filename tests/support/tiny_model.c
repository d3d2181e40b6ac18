/* Writes headers by hand and values from rng_seeded. */
#include "tests/support/tiny_model.h"

#include "codec/base/bytes.h"
#include "codec/base/rng.h"

#include <stdio.h>
#include <stdlib.h>

#define TINY_HEADER_ROOM 256u /* a tensor */

/* About normal, from four uniform numbers. */
static double tiny_value(const struct rng *rng)
{
    double sum = 0;
    for (int i = 0; i < 4; i++)
        sum += (double)(rng_u64(rng) >> 11) / 9007199254740992.0 - 0.5;
    return sum * 0.1;
}

static uint16_t tiny_half(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, 4);
    uint32_t sign = bits >> 16 & 0x8000;
    int exponent = (int)(bits >> 23 & 255) - 112;
    if (exponent <= 0)
        return (uint16_t)sign;
    return (uint16_t)(sign | (uint32_t)exponent << 10 | (bits >> 13 & 1023));
}

static void tiny_store(enum dtype dtype, double value, uint8_t *out)
{
    float single = (float)value;
    uint32_t bits;
    uint64_t wide;
    memcpy(&bits, &single, 4);
    memcpy(&wide, &value, 8);
    switch (dtype) {
    case DTYPE_F64:
        store_le64(out, wide);
        return;
    case DTYPE_F32:
        store_le32(out, bits);
        return;
    case DTYPE_F16:
        store_le16(out, tiny_half(single));
        return;
    case DTYPE_BF16:
        store_le16(out, (uint16_t)(bits >> 16));
        return;
    default: {
        int64_t whole = (int64_t)(value * 300);
        for (unsigned i = 0; i < dtype_bits(dtype) / 8; i++)
            out[i] = (uint8_t)((uint64_t)whole >> (8 * i));
    }
    }
}

static size_t tiny_count(const struct tiny_tensor *tensor)
{
    return (size_t)tensor->rows * (tensor->cols ? tensor->cols : 1);
}

static void tiny_fill(const struct tiny_tensor *tensor, uint8_t *out)
{
    struct rng_seeded values, noises;
    rng_seeded_init(&values, tensor->seed);
    rng_seeded_init(&noises, tensor->noise_seed);
    struct rng value = rng_from_seeded(&values);
    struct rng noise = rng_from_seeded(&noises);
    unsigned width = dtype_bits(tensor->dtype) / 8;
    for (size_t i = 0; i < tiny_count(tensor); i++) {
        double v = tiny_value(&value);
        double n = tiny_value(&noise) * tensor->noise;
        if (!tensor->per_mille || rng_below(&noise, 1000) < tensor->per_mille)
            v += n;
        tiny_store(tensor->dtype, v, out + i * width);
    }
}

uint8_t *tiny_file_new(const char *json, const void *data, size_t data_size,
                       size_t *size)
{
    size_t length = strlen(json);
    uint8_t *out = malloc(8 + length + data_size);
    if (!out)
        return NULL;
    store_le64(out, length);
    memcpy(out + 8, json, length);
    if (data_size)
        memcpy(out + 8 + length, data, data_size);
    *size = 8 + length + data_size;
    return out;
}

static size_t tiny_entry(const struct tiny_tensor *tensor, size_t offset,
                         char *out, size_t room)
{
    char cols[32] = "";
    size_t end = offset + tiny_count(tensor) * dtype_bits(tensor->dtype) / 8;
    if (tensor->cols)
        snprintf(cols, sizeof(cols), ",%u", tensor->cols);
    return (size_t)snprintf(out, room,
                            "\"%s\":{\"dtype\":\"%s\",\"shape\":[%u%s],"
                            "\"data_offsets\":[%zu,%zu]}",
                            tensor->name, dtype_name(tensor->dtype),
                            tensor->rows, cols, offset, end);
}

uint8_t *tiny_model_new(const struct tiny_tensor *tensors, size_t count,
                        size_t *size)
{
    size_t room = TINY_HEADER_ROOM * (count + 1), at = 0, data_size = 0;
    for (size_t i = 0; i < count; i++)
        data_size += tiny_count(&tensors[i]) * dtype_bits(tensors[i].dtype) / 8;
    char *json = malloc(room);
    uint8_t *data = malloc(data_size + 1), *out = NULL;
    if (json && data) {
        size_t offset = 0;
        json[at++] = '{';
        for (size_t i = 0; i < count; i++) {
            if (i)
                json[at++] = ',';
            at += tiny_entry(&tensors[i], offset, json + at, room - at);
            tiny_fill(&tensors[i], data + offset);
            offset +=
                tiny_count(&tensors[i]) * dtype_bits(tensors[i].dtype) / 8;
        }
        json[at++] = '}';
        json[at] = 0;
        out = tiny_file_new(json, data, data_size, size);
    }
    free(json);
    free(data);
    return out;
}
