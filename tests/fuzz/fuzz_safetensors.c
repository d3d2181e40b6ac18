/* Any file as a safetensors file: what is accepted tiles the file. */
#include "codec/model/safetensors.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const struct tensor *tensors, size_t count, uint64_t size)
{
    uint64_t at = count ? tensors[0].offset : size;
    for (size_t i = 0; i < count; i++) {
        uint64_t bytes;
        if (tensors[i].offset != at || tensors[i].rank > TENSOR_RANK_MAX ||
            tensor_size_of(tensors[i].dtype, tensors[i].shape, tensors[i].rank,
                           &bytes) ||
            bytes != tensors[i].size ||
            strlen(tensors[i].name) != tensors[i].name_size)
            abort();
        at += bytes;
    }
    if (at != size)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct source source = source_of_bytes(bytes_of(data, size));
    struct tensor *tensors;
    size_t count;
    struct arena arena;
    struct diag diag;
    diag_reset(&diag);
    arena_init(&arena, 64u << 20);
    if (!safetensors_parse(&source, &arena, &tensors, &count, &diag))
        check(tensors, count, size);
    arena_deinit(&arena);
    return 0;
}
