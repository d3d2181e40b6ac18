/* Where the library reads from and writes to: memory, or callbacks of the
 * caller. */
#ifndef DELTAMESH_IO_H
#define DELTAMESH_IO_H

#include <stddef.h>
#include <stdint.h>

#include <deltamesh/status.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Something of known size that can be read at any offset, again and again,
 * and that does not change meanwhile.
 *
 * read  fills exactly size bytes from offset, which lie within the size, and
 *       answers 0; else a negative number. It is called by the thread that
 *       called the library, or by those of struct dmc_parallel. NULL: ctx
 *       points at size bytes of memory.
 *
 * Handles that keep a source keep a copy of this structure: what ctx points at
 * must outlive them. */
struct dmc_source {
    int (*read)(void *ctx, uint64_t offset, void *out, size_t size);
    void *ctx;
    uint64_t size;
};

/* data is borrowed. */
static inline struct dmc_source dmc_source_of_memory(const void *data,
                                                     size_t size)
{
    struct dmc_source source;
    source.read = 0;
    source.ctx = (void *)(uintptr_t)data;
    source.size = size;
    return source;
}

/* Something that takes bytes one after the other: write answers 0 when it has
 * taken all size of them, else a negative number. */
struct dmc_sink {
    int (*write)(void *ctx, const void *data, size_t size);
    void *ctx;
};

/* Memory that grows as it is written to: begins as zeroes, with the most bytes
 * it may take in size_max. dmc_buffer_free leaves it empty, ready for more. */
struct dmc_buffer {
    unsigned char *data; /* NULL while empty */
    size_t size;
    size_t size_max;
    size_t cap; /* the library's */
};

/* A sink that appends to the buffer, which must outlive it: DMC_LIMIT above
 * size_max, DMC_NO_MEMORY. */
DMC_API struct dmc_sink dmc_buffer_sink(struct dmc_buffer *buffer);
DMC_API void dmc_buffer_free(struct dmc_buffer *buffer);

/* Threads, if the caller has some: run calls task(arg, i) once for each i <
 * count, in any order, and returns when all are done; what they wrote is
 * visible then. A task may wait for one with a smaller index: either they are
 * started in order, or at least `width` run at once, which is how many there
 * are at most. */
struct dmc_parallel {
    void (*run)(void *ctx, unsigned count,
                void (*task)(void *arg, unsigned index), void *arg);
    void *ctx;
    unsigned width; /* >= 1 */
};

#ifdef __cplusplus
}
#endif

#endif
