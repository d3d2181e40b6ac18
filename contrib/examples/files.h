/* Files as sources and sinks of libdeltamesh-codec, for the examples. */
#ifndef CONTRIB_EXAMPLES_FILES_H
#define CONTRIB_EXAMPLES_FILES_H

#include <deltamesh/io.h>
#include <stdio.h>
#include <unistd.h>

static inline int files_read(void *ctx, uint64_t offset, void *out, size_t size)
{
    char *at = out;
    while (size) {
        ssize_t n = pread(fileno((FILE *)ctx), at, size, (off_t)offset);
        if (n <= 0)
            return DMC_IO;
        at += n;
        offset += (uint64_t)n;
        size -= (size_t)n;
    }
    return DMC_OK;
}

static inline int files_write(void *ctx, const void *data, size_t size)
{
    return fwrite(data, 1, size, ctx) == size ? DMC_OK : DMC_IO;
}

/* Opens path for reading; NULL, and words on standard error, when it cannot. */
static inline FILE *files_open(const char *path, struct dmc_source *source)
{
    FILE *file = fopen(path, "rb");
    if (!file || fseeko(file, 0, SEEK_END)) {
        perror(path);
        return NULL;
    }
    source->read = files_read;
    source->ctx = file;
    source->size = (uint64_t)ftello(file);
    return file;
}

static inline struct dmc_sink files_sink(FILE *file)
{
    struct dmc_sink sink = {files_write, file};
    return sink;
}

#endif
