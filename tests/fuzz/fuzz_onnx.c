/* Any bytes as an ONNX file, and as the external data of itself:
 * the tensors of what is taken are sound. */
#include "tests/support/model_sound.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t *twice = malloc(2 * size + 1);
    if (!twice)
        return 0;
    if (size) {
        memcpy(twice, data, size);
        memcpy(twice + size, data, size);
    }
    struct model_part parts[] = {{"m.onnx", 0, size}, {"w.bin", size, size}};
    struct source source = source_of_bytes(bytes_of(twice, 2 * size));
    struct model *model;
    struct diag diag;
    diag_reset(&diag);
    if (model_parse(&source, parts, 2, &model, &diag) || !model_sound(model))
        abort();
    model_free(model);
    free(twice);
    return 0;
}
