/* Any bytes as a TFLite file:
 * the tensors of what is taken are sound. */
#include "tests/support/model_sound.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct model_part parts[] = {{"m.tflite", 0, size}};
    struct source source = source_of_bytes(bytes_of(data, size));
    struct model *model;
    struct diag diag;
    diag_reset(&diag);
    if (model_parse(&source, parts, 1, &model, &diag) || !model_sound(model))
        abort();
    model_free(model);
    return 0;
}
