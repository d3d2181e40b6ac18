/* Any bytes as an ncnn pair: two bytes of the text's size, the text, the
 * binary: the tensors of what is taken are sound. */
#include "tests/support/model_sound.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t text = 0;
    if (size >= 2) {
        text = load_le16(data);
        data += 2;
        size -= 2;
    }
    if (text > size)
        text = size;
    struct model_part parts[] = {{"m.param", 0, text},
                                 {"m.bin", text, size - text}};
    struct source source = source_of_bytes(bytes_of(data, size));
    struct model *model;
    struct diag diag;
    diag_reset(&diag);
    if (model_parse(&source, parts, 2, &model, &diag) || !model_sound(model))
        abort();
    model_free(model);
    return 0;
}
