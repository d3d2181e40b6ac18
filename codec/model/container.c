/* Suffix first, then content: which parser a file gets. */
#include "codec/model/container.h"

#include "codec/model/safetensors.h"

static const char *const container_names[CONTAINER_FORMAT_COUNT] = {
    [CONTAINER_OPAQUE] = "opaque",
    [CONTAINER_SAFETENSORS] = "safetensors",
};

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
    if (path && container_has_suffix(path, ".safetensors"))
        return CONTAINER_SAFETENSORS;
    if (safetensors_probe(file))
        return CONTAINER_SAFETENSORS;
    return CONTAINER_OPAQUE;
}

enum status container_parse(enum container_format format,
                            const struct source *file, struct arena *arena,
                            struct tensor **tensors, size_t *tensor_count,
                            struct diag *diag)
{
    *tensors = NULL;
    *tensor_count = 0;
    if (format == CONTAINER_SAFETENSORS)
        return safetensors_parse(file, arena, tensors, tensor_count, diag);
    return STATUS_OK;
}
