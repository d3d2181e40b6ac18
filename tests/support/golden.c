/* Loading and decoding of golden updates. */
#include "tests/support/golden.h"

#include "codec/update/update_dec.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void golden_path(char *path, size_t size, const char *name,
                        const char *suffix)
{
    const char *root = getenv("DM_SRCDIR");
    snprintf(path, size, "%s/tests/vectors/updates/%s%s", root ? root : ".",
             name, suffix);
}

static bool golden_read(const char *path, uint8_t **out, size_t *size)
{
    FILE *file = fopen(path, "rb");
    uint8_t *data = malloc(1u << 20);
    *size = file && data ? fread(data, 1, 1u << 20, file) : 0;
    if (file)
        fclose(file);
    *out = data;
    if (*size)
        return true;
    fprintf(stderr, "%s: cannot be read\n", path);
    return false;
}

static bool golden_hash(const char *hex, struct hash *out)
{
    for (unsigned i = 0; i < sizeof(out->b); i++) {
        unsigned byte;
        if (sscanf(hex + 2 * i, "%2x", &byte) != 1)
            return false;
        out->b[i] = (uint8_t)byte;
    }
    return true;
}

static bool golden_entry(const json_t *entry, struct golden *out)
{
    char path[512];
    const char *name = json_string_value(json_object_get(entry, "update"));
    const char *base = json_string_value(json_object_get(entry, "base"));
    const char *tree = json_string_value(json_object_get(entry, "target"));
    if (!name || !tree || strlen(tree) != 2 * sizeof(out->target_tree.b) ||
        !golden_hash(tree, &out->target_tree))
        return false;
    snprintf(out->name, sizeof(out->name), "%s", name);
    snprintf(out->base_name, sizeof(out->base_name), "%s", base ? base : "");
    out->target_size =
        (uint64_t)json_integer_value(json_object_get(entry, "size"));
    golden_path(path, sizeof(path), name, ".update");
    return golden_read(path, &out->update, &out->update_size);
}

bool golden_load(struct golden_list *list)
{
    char path[512];
    json_error_t error;
    memset(list, 0, sizeof(*list));
    golden_path(path, sizeof(path), "index", ".json");
    json_t *root = json_load_file(path, 0, &error);
    const json_t *array = json_object_get(root, "updates");
    bool good = json_array_size(array) && json_array_size(array) <= GOLDEN_MAX;
    for (size_t i = 0; good && i < json_array_size(array); i++)
        good =
            golden_entry(json_array_get(array, i), &list->items[list->count++]);
    json_decref(root);
    if (!good)
        fprintf(stderr, "%s: not a list of golden updates\n", path);
    return good;
}

void golden_free(struct golden_list *list)
{
    for (unsigned i = 0; i < list->count; i++) {
        free(list->items[i].update);
        free(list->items[i].target);
    }
    list->count = 0;
}

const struct golden *golden_base(const struct golden_list *list,
                                 const struct golden *golden)
{
    for (unsigned i = 0; *golden->base_name && i < list->count; i++)
        if (!strcmp(list->items[i].name, golden->base_name))
            return &list->items[i];
    return NULL;
}

/* Where the decoder gets auxiliary segments. */
struct golden_aux {
    const struct update_header *header;
    struct bytes coded;
};

static struct bytes golden_coded(const struct golden_aux *aux, uint32_t index)
{
    const struct update_segment *segment = &aux->header->segments[index];
    return bytes_of(aux->coded.data + segment->offset, segment->size);
}

static enum status golden_aux_read(void *ctx, uint32_t index,
                                   struct writer *out)
{
    struct bytes coded = golden_coded(ctx, index);
    writer_bytes(out, coded.data, coded.size);
    return STATUS_OK;
}

/* The coded bytes and what comes out are of exact size each, so that a
 * sanitizer sees their ends. */
static enum status golden_segment(struct update_dec *dec,
                                  const struct golden_aux *place,
                                  uint32_t index, uint8_t *out,
                                  struct diag *diag)
{
    struct bytes view = golden_coded(place, index);
    uint32_t size = update_segment_target_size(place->header, index);
    uint8_t *coded = malloc(view.size ? view.size : 1);
    uint8_t *part = malloc(size ? size : 1);
    enum status status = STATUS_NO_MEMORY;
    if (coded && part) {
        if (view.size)
            memcpy(coded, view.data, view.size);
        status = update_dec_segment(dec, index, bytes_of(coded, view.size),
                                    part, size, diag);
    }
    if (!status && size)
        memcpy(out + update_segment_offset(place->header, index), part, size);
    free(coded);
    free(part);
    return status;
}

enum status golden_segments(const struct update_header *header,
                            struct bytes coded, const struct bytes *base,
                            uint8_t *out, struct diag *diag)
{
    struct golden_aux place = {header, coded};
    struct update_aux aux = {golden_aux_read, &place};
    struct source source = {0};
    struct update_dec *dec;
    if (base)
        source = source_of_bytes(*base);
    enum status status = update_dec_new(
        header, header->has_base && base ? &source : NULL, &aux, &dec);
    if (status)
        return status;
    for (uint32_t i = 0; !status && i < header->segment_count; i++)
        status = golden_segment(dec, &place, i, out, diag);
    update_dec_free(dec);
    return status;
}

static enum status golden_tree(const struct update_header *header,
                               struct bytes target)
{
    struct source source = source_of_bytes(target);
    struct tree_builder tree;
    struct hash id;
    enum status status = tree_build(&source, &tree, &id);
    tree_builder_deinit(&tree);
    if (!status && !hash_equal(&id, &header->target_tree))
        return STATUS_MISMATCH;
    return status;
}

enum status golden_decode(struct bytes update, const struct bytes *base,
                          uint8_t **out, uint64_t *size, struct diag *diag)
{
    struct source source = source_of_bytes(update);
    struct update_file file;
    *out = NULL;
    *size = 0;
    enum status status = update_file_open(&source, &file, diag);
    if (status)
        return status;
    const struct update_header *header = &file.header;
    struct bytes coded = {update.data + file.segments_offset,
                          update.size - (size_t)file.segments_offset};
    *size = header->target.size;
    if (*size > (64u << 20))
        status = STATUS_LIMIT;
    else if (!(*out = malloc((size_t)*size + 1)))
        status = STATUS_NO_MEMORY;
    if (!status)
        status = golden_segments(header, coded, base, *out, diag);
    if (!status)
        status = golden_tree(header, bytes_of(*out, (size_t)*size));
    update_file_close(&file);
    if (status) {
        free(*out);
        *out = NULL;
    }
    return status;
}
