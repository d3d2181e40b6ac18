/* A bump allocator with a budget: one for each message or decode, released as
 * a whole. Nothing in it is freed alone. */
#ifndef CODEC_BASE_ARENA_H
#define CODEC_BASE_ARENA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct arena_chunk;

struct arena {
    struct arena_chunk *chunks;
    size_t budget; /* bytes that may still be taken */
    bool spent;    /* a request was refused for the budget */
};

/* An arena that hands out at most budget bytes in all. Allocates nothing yet.
 */
void arena_init(struct arena *arena, size_t budget);

/* Frees everything and leaves an arena with no budget. */
void arena_deinit(struct arena *arena);

/* count elements of elem_size bytes, zeroed, aligned for any type. NULL when
 * the product overflows, the budget is spent or the heap is. A count of 0
 * yields a valid pointer. Holds until arena_deinit. */
void *arena_alloc(struct arena *arena, size_t count, size_t elem_size);

/* A copy of size bytes followed by a NUL. */
char *arena_text(struct arena *arena, const void *text, size_t size);

#endif
