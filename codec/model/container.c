/* Suffix first, then content: which parser a file gets. */
#include "codec/model/container.h"

#include "codec/model/ncnn.h"
#include "codec/model/onnx.h"
#include "codec/model/safetensors.h"
#include "codec/model/tflite.h"
#include "codec/model/torchzip.h"

static const char *const container_names[CONTAINER_FORMAT_COUNT] = {
    [CONTAINER_OPAQUE] = "opaque", [CONTAINER_SAFETENSORS] = "safetensors",
    [CONTAINER_ONNX] = "onnx",     [CONTAINER_TFLITE] = "tflite",
    [CONTAINER_TORCH] = "torch",   [CONTAINER_NCNN] = "ncnn",
};

/* Suffixes that say the format. Others, as .bin and .ckpt, are used for many:
 * there the content says it. */
static const struct container_suffix {
    const char *suffix;
    enum container_format format;
} container_suffixes[] = {
    {".safetensors", CONTAINER_SAFETENSORS},
    {".onnx", CONTAINER_ONNX},
    {".tflite", CONTAINER_TFLITE},
    {".pt", CONTAINER_TORCH},
    {".pth", CONTAINER_TORCH},
    {".param", CONTAINER_NCNN},
};

static const struct container_content {
    bool (*probe)(const struct source *file);
    enum container_format format;
} container_contents[] = {
    {safetensors_probe, CONTAINER_SAFETENSORS},
    {tflite_probe, CONTAINER_TFLITE},
    {torchzip_probe, CONTAINER_TORCH},
    {ncnn_probe, CONTAINER_NCNN},
    {onnx_probe, CONTAINER_ONNX},
};

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

const char *container_name(enum container_format format)
{
    return format < CONTAINER_FORMAT_COUNT ? container_names[format] : "?";
}

static bool container_has_suffix(const char *path, const char *suffix)
{
    size_t path_size = strlen(path), size = strlen(suffix);
    return path_size >= size && !strcmp(path + path_size - size, suffix);
}

enum container_format container_probe(const char *path,
                                      const struct source *file)
{
    for (size_t i = 0; path && i < COUNT_OF(container_suffixes); i++)
        if (container_has_suffix(path, container_suffixes[i].suffix))
            return container_suffixes[i].format;
    for (size_t i = 0; i < COUNT_OF(container_contents); i++)
        if (container_contents[i].probe(file))
            return container_contents[i].format;
    return CONTAINER_OPAQUE;
}

static enum status container_safetensors(const struct part_set *set,
                                         size_t index, struct arena *arena,
                                         struct tensor **tensors,
                                         size_t *tensor_count,
                                         struct diag *diag)
{
    struct part_window window;
    struct source file = part_source(set, index, &window);
    enum status status =
        safetensors_parse(&file, arena, tensors, tensor_count, diag);
    for (size_t i = 0; !status && i < *tensor_count; i++)
        (*tensors)[i].file = (uint32_t)index;
    return status;
}

enum status container_parse(enum container_format format,
                            const struct part_set *set, size_t index,
                            struct arena *arena, struct tensor **tensors,
                            size_t *tensor_count, struct diag *diag)
{
    *tensors = NULL;
    *tensor_count = 0;
    switch (format) {
    case CONTAINER_SAFETENSORS:
        return container_safetensors(set, index, arena, tensors, tensor_count,
                                     diag);
    case CONTAINER_ONNX:
        return onnx_parse(set, index, arena, tensors, tensor_count, diag);
    case CONTAINER_TFLITE:
        return tflite_parse(set, index, arena, tensors, tensor_count, diag);
    case CONTAINER_TORCH:
        return torchzip_parse(set, index, arena, tensors, tensor_count, diag);
    case CONTAINER_NCNN:
        return ncnn_parse(set, index, arena, tensors, tensor_count, diag);
    case CONTAINER_OPAQUE:
    case CONTAINER_FORMAT_COUNT:
        break;
    }
    return STATUS_OK;
}
