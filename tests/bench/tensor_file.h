/* Safetensors files as the benches of single coders read them: whole, trusted,
 * by name. Any failure ends the program. */
#ifndef TESTS_BENCH_TENSOR_FILE_H
#define TESTS_BENCH_TENSOR_FILE_H

#include "codec/base/bytes.h"
#include "codec/model/dtype.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct file {
    uint8_t *data;
    size_t size;
    const uint8_t *body;
    json_t *header;
};

static inline void die(const char *what, const char *which)
{
    fprintf(stderr, "%s: %s: %s\n", program_invocation_short_name, which, what);
    exit(2);
}

/* Seconds of CPU time. */
static inline double now(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
    return (double)ts.tv_sec + 1e-9 * (double)ts.tv_nsec;
}

static inline void file_load(struct file *file, const char *path)
{
    FILE *f = fopen(path, "rb");
    if (!f)
        die("cannot be opened", path);
    fseek(f, 0, SEEK_END);
    file->size = (size_t)ftell(f);
    rewind(f);
    file->data = malloc(file->size + 1);
    if (!file->data || fread(file->data, 1, file->size, f) != file->size)
        die("cannot be read", path);
    fclose(f);
    uint64_t header = file->size >= 8 ? load_le64(file->data) : UINT64_MAX;
    if (file->size < 8 || header > file->size - 8)
        die("is no safetensors file", path);
    file->body = file->data + 8 + header;
    file->header =
        json_loadb((const char *)file->data + 8, (size_t)header, 0, NULL);
    if (!file->header)
        die("is no safetensors file", path);
}

/* False for what this build does not know, or a tensor outside of the file. */
static inline bool tensor_of(const struct file *file, json_t *info,
                             enum dtype *dtype, struct bytes *data)
{
    const char *name = json_string_value(json_object_get(info, "dtype"));
    json_t *at = json_object_get(info, "data_offsets");
    if (!name || !dtype_from_name(name, strlen(name), dtype))
        return false;
    size_t from = (size_t)json_integer_value(json_array_get(at, 0));
    size_t to = (size_t)json_integer_value(json_array_get(at, 1));
    if (from > to || to > file->size - (size_t)(file->body - file->data))
        return false;
    *data = bytes_of(file->body + from, to - from);
    return true;
}

#endif
