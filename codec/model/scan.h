/* Small reads here and there in a source, through a few pages kept in memory:
 * what a parser needs that never loads its file. */
#ifndef CODEC_MODEL_SCAN_H
#define CODEC_MODEL_SCAN_H

#include "codec/base/arena.h"
#include "codec/base/source.h"

#define SCAN_PAGE_SIZE 4096u
#define SCAN_PAGES     8u

struct scan {
    const struct source *source;
    uint64_t tags[SCAN_PAGES]; /* number of the page held, plus 1; 0: none */
    uint8_t *pages;
};

/* Takes 32 KiB from the arena; the source must outlive the scan. NO_MEMORY. */
enum status scan_init(struct scan *scan, const struct source *source,
                      struct arena *arena) MUST_CHECK;

/* The same over SCAN_PAGES pages of the caller, which must outlive it. */
void scan_init_pages(struct scan *scan, const struct source *source,
                     uint8_t *pages);

/* As source_read. Reads above a page go past the pages. */
enum status scan_read(struct scan *scan, uint64_t offset, void *out,
                      size_t size) MUST_CHECK;

/* The byte at offset, which must lie within the source, if its page is held:
 * for loops over numbers that mostly are a byte long. */
static inline bool scan_held_byte(const struct scan *scan, uint64_t offset,
                                  uint8_t *out)
{
    uint64_t page = offset / SCAN_PAGE_SIZE;
    size_t slot = (size_t)(page % SCAN_PAGES);
    if (scan->tags[slot] != page + 1)
        return false;
    *out = scan->pages[slot * SCAN_PAGE_SIZE + offset % SCAN_PAGE_SIZE];
    return true;
}

#endif
