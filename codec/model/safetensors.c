/* Reads a safetensors header with jansson and checks that the tensors tile
 * the rest of the file. */
#include "codec/model/safetensors.h"

#include "codec/base/checked.h"

#include <jansson.h>
#include <limits.h>
#include <stdlib.h>

#define SAFETENSORS_LENGTH_SIZE 8u
#define SAFETENSORS_METADATA    "__metadata__"

/* One parse: what its steps share. */
struct safetensors {
    const struct source *file;
    struct arena *arena;
    struct diag *diag;
    uint64_t data_offset; /* of the first tensor byte in the file */
    struct tensor *tensors;
    size_t tensor_count;
};

/* Reads the length and the first byte; false when they cannot be those of a
 * header. */
static enum status safetensors_length(const struct source *file,
                                      uint64_t *length, struct diag *diag)
{
    uint8_t buf[SAFETENSORS_LENGTH_SIZE + 1];
    if (file->size < sizeof(buf))
        return diag_fail(diag, STATUS_TRUNCATED,
                         "file of %llu bytes is too short for a header",
                         (unsigned long long)file->size);
    enum status status = source_read(file, 0, buf, sizeof(buf));
    if (status)
        return status;
    *length = load_le64(buf);
    if (*length > file->size - SAFETENSORS_LENGTH_SIZE)
        return diag_fail(diag, STATUS_TRUNCATED,
                         "header length %llu reaches past the end of the file",
                         (unsigned long long)*length);
    if (!*length || buf[SAFETENSORS_LENGTH_SIZE] != '{')
        return diag_fail(diag, STATUS_CORRUPT,
                         "header at offset 8 is no JSON object");
    return STATUS_OK;
}

bool safetensors_probe(const struct source *file)
{
    uint64_t length;
    return !safetensors_length(file, &length, NULL);
}

/* Names in messages are cut and harmless to a terminal. */
static const char *safetensors_label(const char *name, char out[41])
{
    size_t i = 0;
    for (; name[i] && i < 40; i++)
        out[i] = (name[i] >= ' ' && name[i] < 127) ? name[i] : '?';
    out[i] = 0;
    return out;
}

static enum status safetensors_fail(struct safetensors *st, const char *name,
                                    const char *what)
{
    char label[41];
    return diag_fail(st->diag, STATUS_CORRUPT, "tensor %s: %s",
                     safetensors_label(name, label), what);
}

static bool safetensors_integer(const json_t *value, uint64_t *out)
{
    if (!json_is_integer(value) || json_integer_value(value) < 0)
        return false;
    *out = (uint64_t)json_integer_value(value);
    return true;
}

static enum status safetensors_shape(struct safetensors *st, const char *name,
                                     const json_t *list, struct tensor *tensor)
{
    size_t rank = json_array_size(list);
    if (!json_is_array(list) || rank > TENSOR_RANK_MAX)
        return safetensors_fail(st, name,
                                "shape is no array of at most 64 numbers");
    uint64_t *shape = arena_alloc(st->arena, rank, sizeof(*shape));
    if (!shape)
        return STATUS_NO_MEMORY;
    for (size_t i = 0; i < rank; i++)
        if (!safetensors_integer(json_array_get(list, i), &shape[i]))
            return safetensors_fail(st, name,
                                    "a dimension is no whole number >= 0");
    tensor->rank = (uint32_t)rank;
    tensor->shape = shape;
    return STATUS_OK;
}

static enum status safetensors_range(struct safetensors *st, const char *name,
                                     const json_t *list, struct tensor *tensor)
{
    uint64_t begin = 0, end = 0, size = 0;
    if (!json_is_array(list) || json_array_size(list) != 2 ||
        !safetensors_integer(json_array_get(list, 0), &begin) ||
        !safetensors_integer(json_array_get(list, 1), &end))
        return safetensors_fail(st, name, "data_offsets are no two numbers");
    if (begin > end)
        return safetensors_fail(st, name, "data_offsets run backwards");
    if (end > st->file->size - st->data_offset)
        return safetensors_fail(st, name, "ends behind the end of the file");
    if (tensor_size_of(tensor->dtype, tensor->shape, tensor->rank, &size))
        return safetensors_fail(st, name, "shape overflows");
    if (size != end - begin)
        return safetensors_fail(st, name, "shape and data_offsets disagree");
    tensor->offset = st->data_offset + begin;
    tensor->size = size;
    return STATUS_OK;
}

static enum status safetensors_tensor(struct safetensors *st, const char *name,
                                      const json_t *info, struct tensor *tensor)
{
    const char *type = json_string_value(json_object_get(info, "dtype"));
    if (!json_is_object(info))
        return safetensors_fail(st, name, "its entry is no object");
    if (!type || !dtype_from_name(type, strlen(type), &tensor->dtype))
        return safetensors_fail(st, name, "dtype is unknown");
    size_t name_size = strlen(name);
    tensor->name = arena_text(st->arena, name, name_size);
    if (!tensor->name)
        return STATUS_NO_MEMORY;
    tensor->name_size = (uint32_t)name_size;
    enum status status =
        safetensors_shape(st, name, json_object_get(info, "shape"), tensor);
    if (status)
        return status;
    return safetensors_range(st, name, json_object_get(info, "data_offsets"),
                             tensor);
}

static enum status safetensors_metadata(struct safetensors *st, json_t *map)
{
    const char *key;
    json_t *value;
    if (!json_is_object(map))
        return diag_fail(st->diag, STATUS_CORRUPT, "__metadata__ is no object");
    json_object_foreach(map, key, value) if (
        !json_is_string(value)) return diag_fail(st->diag, STATUS_CORRUPT,
                                                 "__metadata__ holds a value "
                                                 "that is no text");
    return STATUS_OK;
}

static enum status safetensors_entries(struct safetensors *st, json_t *root)
{
    const char *key;
    json_t *value;
    if (!json_is_object(root))
        return diag_fail(st->diag, STATUS_CORRUPT, "header is no object");
    st->tensors =
        arena_alloc(st->arena, json_object_size(root), sizeof(*st->tensors));
    if (!st->tensors)
        return STATUS_NO_MEMORY;
    json_object_foreach(root, key, value)
    {
        enum status status =
            strcmp(key, SAFETENSORS_METADATA)
                ? safetensors_tensor(st, key, value,
                                     &st->tensors[st->tensor_count++])
                : safetensors_metadata(st, value);
        if (status)
            return status;
    }
    return STATUS_OK;
}

static int safetensors_by_offset(const void *a, const void *b)
{
    const struct tensor *x = a, *y = b;
    if (x->offset != y->offset)
        return x->offset < y->offset ? -1 : 1;
    if (x->size != y->size)
        return x->size < y->size ? -1 : 1;
    return strcmp(x->name, y->name);
}

/* No gap, no overlap, nothing behind the last. */
static enum status safetensors_tiling(struct safetensors *st)
{
    uint64_t at = st->data_offset;
    qsort(st->tensors, st->tensor_count, sizeof(*st->tensors),
          safetensors_by_offset);
    for (size_t i = 0; i < st->tensor_count; i++) {
        const struct tensor *tensor = &st->tensors[i];
        if (tensor->offset != at)
            return safetensors_fail(st, tensor->name,
                                    tensor->offset < at
                                        ? "overlaps the one before it"
                                        : "leaves a hole before it");
        at += tensor->size;
    }
    if (at != st->file->size)
        return diag_fail(st->diag, STATUS_CORRUPT,
                         "bytes from offset %llu on belong to no tensor",
                         (unsigned long long)at);
    return STATUS_OK;
}

/* The parser's words, without bytes that a terminal would act on. */
static enum status safetensors_json_failed(struct safetensors *st,
                                           json_error_t *error)
{
    for (char *c = error->text; *c; c++)
        if (*c < ' ' || *c > '~')
            *c = '?';
    return diag_fail(st->diag, STATUS_CORRUPT, "header JSON, byte %d: %.100s",
                     error->position, error->text);
}

/* Each value but the first stands behind one of these; those in texts count
 * too, which does no harm. */
static size_t safetensors_values(const char *text, size_t size)
{
    size_t count = 0;
    for (size_t i = 0; i < size; i++)
        count += text[i] == ',' || text[i] == '[' || text[i] == '{';
    return count;
}

static enum status safetensors_load(struct safetensors *st, size_t length,
                                    json_t **root)
{
    char *text = malloc(length);
    if (!text)
        return STATUS_NO_MEMORY;
    enum status status =
        source_read(st->file, SAFETENSORS_LENGTH_SIZE, text, length);
    if (!status && safetensors_values(text, length) > SAFETENSORS_VALUES_MAX)
        status =
            diag_fail(st->diag, STATUS_LIMIT, "header has more than %u values",
                      SAFETENSORS_VALUES_MAX);
    if (!status) {
        json_error_t error;
        *root = json_loadb(text, length, JSON_REJECT_DUPLICATES, &error);
        if (!*root)
            status = safetensors_json_failed(st, &error);
    }
    free(text);
    return status;
}

enum status safetensors_parse(const struct source *file, struct arena *arena,
                              struct tensor **tensors, size_t *tensor_count,
                              struct diag *diag)
{
    struct safetensors st = {.file = file, .arena = arena, .diag = diag};
    json_t *root = NULL;
    uint64_t length;
    enum status status = safetensors_length(file, &length, diag);
    if (status)
        return status;
    if (length > SAFETENSORS_HEADER_MAX)
        return diag_fail(diag, STATUS_LIMIT,
                         "header of %llu bytes is above the limit of 16 MiB",
                         (unsigned long long)length);
    st.data_offset = SAFETENSORS_LENGTH_SIZE + length;
    status = safetensors_load(&st, (size_t)length, &root);
    if (!status)
        status = safetensors_entries(&st, root);
    json_decref(root);
    if (!status)
        status = safetensors_tiling(&st);
    *tensors = status ? NULL : st.tensors;
    *tensor_count = status ? 0 : st.tensor_count;
    return status;
}
