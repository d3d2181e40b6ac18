/* JSON is put together by hand: names are all there is to escape. */
#include "codec/model/safetensors_write.h"

#include "codec/base/checked.h"
#include "codec/base/utf8.h"
#include "codec/model/safetensors.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

static const char metadata_key[] = "__metadata__";

static void put_text(struct writer *out, const char *text)
{
    writer_bytes(out, text, strlen(text));
}

static void put_number(struct writer *out, uint64_t number)
{
    char text[24];
    snprintf(text, sizeof(text), "%" PRIu64, number);
    put_text(out, text);
}

static void put_char(struct writer *out, const uint8_t *p, size_t size)
{
    char text[8];
    if (*p == '"' || *p == '\\')
        snprintf(text, sizeof(text), "\\%c", *p);
    else if (*p < 0x20)
        snprintf(text, sizeof(text), "\\u%04x", (unsigned)*p);
    else {
        writer_bytes(out, p, size);
        return;
    }
    put_text(out, text);
}

static enum status put_name(struct writer *out, const struct tensor *tensor,
                            struct diag *diag)
{
    const uint8_t *p = (const uint8_t *)tensor->name;
    writer_u8(out, '"');
    for (size_t at = 0, size; at < tensor->name_size; at += size) {
        size = utf8_size(bytes_of(p + at, tensor->name_size - at));
        if (!size || !p[at])
            return diag_fail(diag, STATUS_USAGE,
                             "tensor '%.100s': its name is no UTF-8 text",
                             tensor->name);
        put_char(out, p + at, size);
    }
    writer_u8(out, '"');
    return STATUS_OK;
}

static enum status put_tensor(struct writer *out, const struct tensor *tensor,
                              uint64_t first, struct diag *diag)
{
    enum status status = put_name(out, tensor, diag);
    put_text(out, ":{\"dtype\":\"");
    put_text(out, dtype_name(tensor->dtype));
    put_text(out, "\",\"shape\":[");
    for (uint32_t i = 0; i < tensor->rank; i++) {
        if (i)
            writer_u8(out, ',');
        put_number(out, tensor->shape[i]);
    }
    put_text(out, "],\"data_offsets\":[");
    put_number(out, first);
    writer_u8(out, ',');
    put_number(out, first + tensor->size);
    put_text(out, "]}");
    return status;
}

static int by_name(const void *a, const void *b)
{
    const struct tensor *x = *(const struct tensor *const *)a;
    const struct tensor *y = *(const struct tensor *const *)b;
    size_t least = x->name_size < y->name_size ? x->name_size : y->name_size;
    int order = least ? memcmp(x->name, y->name, least) : 0;
    return order
               ? order
               : (x->name_size > y->name_size) - (x->name_size < y->name_size);
}

static enum status check_names(const struct tensor *tensors, size_t count,
                               struct diag *diag)
{
    const struct tensor **sorted = calloc(count + 1, sizeof(*sorted));
    enum status status = sorted ? STATUS_OK : STATUS_NO_MEMORY;
    for (size_t i = 0; !status && i < count; i++) {
        sorted[i] = &tensors[i];
        if (tensors[i].name_size == sizeof(metadata_key) - 1 &&
            !memcmp(tensors[i].name, metadata_key, sizeof(metadata_key) - 1))
            status = diag_fail(diag, STATUS_USAGE,
                               "no tensor can have the name %s", metadata_key);
    }
    if (!status)
        qsort(sorted, count, sizeof(*sorted), by_name);
    for (size_t i = 1; !status && i < count; i++)
        if (!by_name(&sorted[i - 1], &sorted[i]))
            status = diag_fail(diag, STATUS_USAGE,
                               "two tensors have the name '%.100s'",
                               sorted[i]->name);
    free(sorted);
    return status;
}

/* Sizes, and offsets from the end of the header. */
static enum status place(struct tensor *tensors, size_t count)
{
    uint64_t at = 0;
    for (size_t i = 0; i < count; i++) {
        struct tensor *t = &tensors[i];
        enum status status =
            tensor_size_of(t->dtype, t->shape, t->rank, &t->size);
        if (status)
            return status;
        t->offset = at;
        if (!checked_add_u64(at, t->size, &at) || at > (uint64_t)INT64_MAX)
            return STATUS_LIMIT;
    }
    return STATUS_OK;
}

enum status safetensors_write_header(struct tensor *tensors, size_t count,
                                     struct writer *out, struct diag *diag)
{
    struct writer json;
    writer_init_heap(&json, SAFETENSORS_HEADER_MAX);
    enum status status = check_names(tensors, count, diag);
    if (!status)
        status = place(tensors, count);
    writer_u8(&json, '{');
    for (size_t i = 0; !status && i < count; i++) {
        if (i)
            writer_u8(&json, ',');
        status = put_tensor(&json, &tensors[i], tensors[i].offset, diag);
    }
    writer_u8(&json, '}');
    while (!writer_status(&json) && json.size % 8)
        writer_u8(&json, ' ');
    if (!status)
        status = writer_status(&json);
    if (!status) {
        for (size_t i = 0; i < count; i++)
            tensors[i].offset += 8 + json.size;
        writer_le64(out, json.size);
        writer_bytes(out, json.data, json.size);
        status = writer_status(out);
    }
    writer_deinit(&json);
    return status;
}
