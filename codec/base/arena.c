/* Chunks of growing size in a list; big requests get a chunk of their own. */
#include "codec/base/arena.h"

#include "codec/base/checked.h"

#include <stdalign.h>
#include <stdlib.h>
#include <string.h>

#define ARENA_CHUNK_BYTES 4096u

struct arena_chunk {
    struct arena_chunk *next;
    size_t used;
    size_t cap;
    alignas(max_align_t) uint8_t data[];
};

void arena_init(struct arena *arena, size_t budget)
{
    *arena = (struct arena){.budget = budget};
}

void arena_deinit(struct arena *arena)
{
    for (struct arena_chunk *c = arena->chunks; c;) {
        struct arena_chunk *next = c->next;
        free(c);
        c = next;
    }
    *arena = (struct arena){0};
}

static struct arena_chunk *arena_add_chunk(struct arena *arena, size_t size)
{
    size_t cap = size > ARENA_CHUNK_BYTES ? size : ARENA_CHUNK_BYTES;
    struct arena_chunk *c = malloc(sizeof(*c) + cap);
    if (!c)
        return NULL;
    c->next = arena->chunks;
    c->used = 0;
    c->cap = cap;
    arena->chunks = c;
    return c;
}

void *arena_alloc(struct arena *arena, size_t count, size_t elem_size)
{
    size_t size;
    if (!checked_mul_size(count, elem_size, &size) ||
        size > SIZE_MAX - sizeof(struct arena_chunk) - alignof(max_align_t))
        return NULL;
    size = (size + alignof(max_align_t) - 1) & ~(alignof(max_align_t) - 1);
    if (!size)
        size = alignof(max_align_t);
    if (size > arena->budget) {
        arena->spent = true;
        return NULL;
    }
    struct arena_chunk *c = arena->chunks;
    if (!c || c->cap - c->used < size)
        c = arena_add_chunk(arena, size);
    if (!c)
        return NULL;
    void *at = c->data + c->used;
    c->used += size;
    arena->budget -= size;
    return memset(at, 0, size);
}

char *arena_text(struct arena *arena, const void *text, size_t size)
{
    if (size == SIZE_MAX)
        return NULL;
    char *copy = arena_alloc(arena, size + 1, 1);
    if (copy && size)
        memcpy(copy, text, size);
    return copy;
}
