/* A model's content with other values in its tensors: see nnc_model_read.h. */
#include "codec/nnc/nnc_element.h"
#include "codec/nnc/nnc_model_read.h"

#define PIECE_ELEMS ((size_t)1 << 15)
#define WIDTH_MAX   8u

struct patch {
    const struct nnc_patch_params *params;
    const struct nnc_entry **entry; /* of each tensor of the model, or NULL */
    uint64_t at;                    /* bytes of the content that were put */
    uint32_t *numbers;              /* PIECE_ELEMS */
    uint8_t *bytes;                 /* PIECE_ELEMS * WIDTH_MAX */
};

static bool same_shape(const struct tensor *tensor,
                       const struct nnc_entry *entry)
{
    if (!tensor->rank)
        return entry->elem_count == 1 && entry->rank == 1;
    if (tensor->rank != entry->rank)
        return false;
    for (uint32_t i = 0; i < entry->rank; i++)
        if (tensor->shape[i] != entry->shape[i])
            return false;
    return true;
}

static enum status find_tensor(struct patch *patch, size_t entry_index)
{
    const struct nnc_patch_params *params = patch->params;
    const struct nnc_entry *entry = &params->entries->items[entry_index];
    const char *name = params->entries->names.name[entry_index];
    size_t index;
    if (!nnc_names_find(params->names, name, &index))
        return diag_fail(params->diag, STATUS_BAD_BASE,
                         "tensor '%.120s': the model has none of that name",
                         name);
    const struct tensor *tensor = &params->model->tensors[index];
    if (!same_shape(tensor, entry))
        return diag_fail(params->diag, STATUS_BAD_BASE,
                         "tensor '%.120s': the model's has another shape",
                         name);
    if (nnc_element_carry(tensor->dtype) == NNC_CARRY_NONE)
        return diag_fail(params->diag, STATUS_BAD_BASE,
                         "tensor '%.120s': the model's is of type %s, which "
                         "takes no numbers",
                         name, dtype_name(tensor->dtype));
    patch->entry[index] = entry;
    return STATUS_OK;
}

static enum status put_copy(struct patch *patch, uint64_t end)
{
    const size_t size_max = PIECE_ELEMS * WIDTH_MAX;
    enum status status = STATUS_OK;
    while (!status && patch->at < end) {
        uint64_t left = end - patch->at;
        size_t size = left < size_max ? (size_t)left : size_max;
        status =
            source_read(patch->params->base, patch->at, patch->bytes, size);
        if (!status)
            status = patch->params->put(patch->params->put_ctx,
                                        bytes_of(patch->bytes, size));
        patch->at += size;
    }
    return status;
}

/* What was read into numbers is made this machine's order of bytes. */
static void from_le(uint32_t *words, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        uint32_t word = load_le32((const uint8_t *)(words + i));
        memcpy(words + i, &word, sizeof(word));
    }
}

static enum status put_piece(struct patch *patch, const struct tensor *tensor,
                             const struct nnc_entry *entry, uint64_t first,
                             size_t count)
{
    const struct nnc_patch_params *params = patch->params;
    bool add = params->mode == NNC_VALUES_AS_SENT
                   ? entry->difference
                   : params->mode == NNC_VALUES_DIFFERENCE;
    size_t size = count * (dtype_bits(tensor->dtype) / 8);
    uint8_t *base = add ? patch->bytes : NULL;
    enum status status = source_read(params->values, entry->offset + 4 * first,
                                     patch->numbers, 4 * count);
    if (!status && add)
        status = source_read(params->base, patch->at, patch->bytes, size);
    if (status)
        return status;
    from_le(patch->numbers, count);
    bool fits = entry->ints
                    ? nnc_element_put_ints(tensor->dtype, base,
                                           (const int32_t *)patch->numbers,
                                           count, patch->bytes)
                    : nnc_element_put_floats(tensor->dtype, base,
                                             (const float *)patch->numbers,
                                             count, patch->bytes);
    if (!fits)
        return diag_fail(params->diag, STATUS_MISMATCH,
                         "tensor '%.120s': a number is out of the range of %s",
                         entry->name, dtype_name(tensor->dtype));
    patch->at += size;
    return params->put(params->put_ctx, bytes_of(patch->bytes, size));
}

static enum status put_tensor(struct patch *patch, size_t index)
{
    const struct tensor *tensor = &patch->params->model->tensors[index];
    const struct nnc_entry *entry = patch->entry[index];
    enum status status = put_copy(patch, tensor->offset);
    for (uint64_t at = 0; !status && at < entry->elem_count;
         at += PIECE_ELEMS) {
        uint64_t left = entry->elem_count - at;
        size_t count = left < PIECE_ELEMS ? (size_t)left : PIECE_ELEMS;
        status = put_piece(patch, tensor, entry, at, count);
    }
    return status;
}

enum status nnc_model_patch(const struct nnc_patch_params *params)
{
    size_t count = params->model->tensor_count;
    struct patch patch = {
        .params = params,
        .entry = calloc(count + 1, sizeof(*patch.entry)),
        .numbers = malloc(PIECE_ELEMS * sizeof(*patch.numbers)),
        .bytes = malloc(PIECE_ELEMS * WIDTH_MAX),
    };
    enum status status = patch.entry && patch.numbers && patch.bytes
                             ? STATUS_OK
                             : STATUS_NO_MEMORY;
    for (size_t i = 0; !status && i < params->entries->count; i++)
        status = find_tensor(&patch, i);
    for (size_t i = 0; !status && i < count; i++)
        if (patch.entry[i])
            status = put_tensor(&patch, i);
    if (!status)
        status = put_copy(&patch, params->base->size);
    free(patch.entry);
    free(patch.numbers);
    free(patch.bytes);
    return status;
}
