/* Whether the tensors of a model are as its header promises. */
#ifndef TESTS_SUPPORT_MODEL_SOUND_H
#define TESTS_SUPPORT_MODEL_SOUND_H

#include "codec/model/model.h"

#include <jansson.h>

static inline bool model_sound_tensor(const struct model *model,
                                      const struct tensor *t)
{
    uint64_t size;
    if (t->file >= model->file_count || t->rank > TENSOR_RANK_MAX)
        return false;
    const struct model_file *file = &model->files[t->file];
    if (t->offset < file->offset || t->offset - file->offset > file->size ||
        t->size > file->size - (t->offset - file->offset))
        return false;
    if (tensor_size_of(t->dtype, t->shape, t->rank, &size) || size != t->size ||
        strlen(t->name) != t->name_size)
        return false;
    json_t *utf8 = json_stringn(t->name, t->name_size);
    json_decref(utf8);
    return utf8 != NULL;
}

/* False when tensors are out of order or of their file, overlap, have another
 * size than their shape says, or a name that is no UTF-8. */
static inline bool model_sound(const struct model *model)
{
    uint64_t end = 0;
    for (size_t i = 0; i < model->tensor_count; i++) {
        const struct tensor *tensor = &model->tensors[i];
        if (tensor->offset < end || !model_sound_tensor(model, tensor))
            return false;
        end = tensor->offset + tensor->size;
    }
    return true;
}

#endif
