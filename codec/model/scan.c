/* A direct-mapped cache of pages. */
#include "codec/model/scan.h"

enum status scan_init(struct scan *scan, const struct source *source,
                      struct arena *arena)
{
    *scan = (struct scan){.source = source};
    scan->pages = arena_alloc(arena, SCAN_PAGES, SCAN_PAGE_SIZE);
    return scan->pages ? STATUS_OK : STATUS_NO_MEMORY;
}

void scan_init_pages(struct scan *scan, const struct source *source,
                     uint8_t *pages)
{
    *scan = (struct scan){.source = source, .pages = pages};
}

static enum status scan_page(struct scan *scan, uint64_t page,
                             const uint8_t **data)
{
    size_t slot = (size_t)(page % SCAN_PAGES);
    uint8_t *at = scan->pages + slot * SCAN_PAGE_SIZE;
    *data = at;
    if (scan->tags[slot] == page + 1)
        return STATUS_OK;
    uint64_t left = scan->source->size - page * SCAN_PAGE_SIZE;
    size_t size = left < SCAN_PAGE_SIZE ? (size_t)left : SCAN_PAGE_SIZE;
    scan->tags[slot] = 0;
    enum status status =
        source_read(scan->source, page * SCAN_PAGE_SIZE, at, size);
    if (!status)
        scan->tags[slot] = page + 1;
    return status;
}

enum status scan_read(struct scan *scan, uint64_t offset, void *out,
                      size_t size)
{
    uint8_t *to = out;
    if (offset > scan->source->size || size > scan->source->size - offset)
        return STATUS_TRUNCATED;
    if (size > SCAN_PAGE_SIZE)
        return source_read(scan->source, offset, out, size);
    while (size) {
        const uint8_t *data;
        size_t in = (size_t)(offset % SCAN_PAGE_SIZE);
        size_t part = SCAN_PAGE_SIZE - in < size ? SCAN_PAGE_SIZE - in : size;
        enum status status = scan_page(scan, offset / SCAN_PAGE_SIZE, &data);
        if (status)
            return status;
        memcpy(to, data + in, part);
        to += part;
        offset += part;
        size -= part;
    }
    return STATUS_OK;
}
