/* A source over another, with four bytes here and there replaced. */
#include "codec/model/zip_sums.h"

#include "codec/model/zip.h"

#include <stdlib.h>

#define SUMS_BUDGET     (64u << 20) /* of one archive's directory */
#define SUMS_PIECE      (1u << 16)
#define SUMS_POLYNOMIAL 0xedb88320u
#define SUMS_WIDTH      4u

#define ZIP_LOCAL_SUM        14u /* in an entry's header */
#define ZIP_RECORD_SUM       16u /* in its record of the directory */
#define ZIP_DESCRIPTOR_MAGIC 0x08074b50u

struct patch {
    uint64_t offset;
    uint8_t bytes[SUMS_WIDTH];
};

struct zip_sums {
    const struct source *then, *now;
    struct source source;
    struct patch *patches; /* by offset */
    size_t count, cap;
};

/* ---- CRC-32, eight bytes at a time ---- */

struct crc {
    uint32_t tables[8][256];
};

static void crc_init(struct crc *crc)
{
    for (uint32_t i = 0; i < 256; i++) {
        uint32_t c = i;
        for (int bit = 0; bit < 8; bit++)
            c = c >> 1 ^ (c & 1 ? SUMS_POLYNOMIAL : 0);
        crc->tables[0][i] = c;
    }
    for (uint32_t i = 0; i < 256; i++)
        for (int k = 1; k < 8; k++) {
            uint32_t c = crc->tables[k - 1][i];
            crc->tables[k][i] = c >> 8 ^ crc->tables[0][c & 0xff];
        }
}

static uint32_t crc_add(const struct crc *crc, uint32_t c, const uint8_t *p,
                        size_t size)
{
    const uint32_t(*t)[256] = crc->tables;
    for (; size >= 8; p += 8, size -= 8) {
        uint32_t low = c ^ load_le32(p), high = load_le32(p + 4);
        c = t[7][low & 0xff] ^ t[6][low >> 8 & 0xff] ^ t[5][low >> 16 & 0xff] ^
            t[4][low >> 24] ^ t[3][high & 0xff] ^ t[2][high >> 8 & 0xff] ^
            t[1][high >> 16 & 0xff] ^ t[0][high >> 24];
    }
    for (; size; p++, size--)
        c = c >> 8 ^ t[0][(c ^ *p) & 0xff];
    return c;
}

enum status zip_sum(const struct source *source, uint64_t offset, uint64_t size,
                    uint32_t *out)
{
    struct crc *crc = malloc(sizeof(*crc) + SUMS_PIECE);
    uint32_t c = UINT32_MAX;
    enum status status = crc ? STATUS_OK : STATUS_NO_MEMORY;
    if (!status)
        crc_init(crc);
    for (uint64_t at = 0; !status && at < size;) {
        uint8_t *buf = (uint8_t *)(crc + 1);
        size_t piece =
            size - at < SUMS_PIECE ? (size_t)(size - at) : SUMS_PIECE;
        status = source_read(source, offset + at, buf, piece);
        if (!status)
            c = crc_add(crc, c, buf, piece);
        at += piece;
    }
    free(crc);
    *out = ~c;
    return status;
}

/* ---- Patches ---- */

/* Replaces four bytes where they are the old sum; elsewhere there is none. */
static enum status patch(struct zip_sums *sums, uint64_t offset, uint32_t was,
                         uint32_t is)
{
    uint8_t buf[SUMS_WIDTH];
    enum status status = source_read(sums->then, offset, buf, sizeof(buf));
    if (status || load_le32(buf) != was)
        return status;
    if (sums->count == sums->cap) {
        size_t cap = sums->cap ? 2 * sums->cap : 64;
        struct patch *more = realloc(sums->patches, cap * sizeof(*more));
        if (!more)
            return STATUS_NO_MEMORY;
        sums->patches = more;
        sums->cap = cap;
    }
    struct patch *p = &sums->patches[sums->count++];
    p->offset = offset;
    store_le32(p->bytes, is);
    return STATUS_OK;
}

/* The sum that may stand behind the bytes, with or without a magic number. */
static enum status patch_behind(struct zip_sums *sums, uint64_t at,
                                uint64_t end, uint32_t was, uint32_t is)
{
    uint8_t buf[4];
    if (end - at < 2 * SUMS_WIDTH)
        return STATUS_OK;
    enum status status = source_read(sums->then, at, buf, sizeof(buf));
    if (!status && load_le32(buf) == ZIP_DESCRIPTOR_MAGIC)
        at += sizeof(buf);
    return status ? status : patch(sums, at, was, is);
}

/* start: of the archive in the content. end: what comes behind its bytes
 * begins there. */
static enum status patch_entry(struct zip_sums *sums, uint64_t start,
                               const struct zip_entry *entry, uint64_t end)
{
    uint8_t buf[SUMS_WIDTH];
    uint32_t was, then, now;
    uint64_t at = start + entry->offset, behind = at + entry->size;
    enum status status = source_read(
        sums->then, start + entry->record + ZIP_RECORD_SUM, buf, sizeof(buf));
    was = load_le32(buf);
    if (!status)
        status = zip_sum(sums->now, at, entry->size, &now);
    if (status || now == was)
        return status;
    status = zip_sum(sums->then, at, entry->size, &then);
    if (status || then != was)
        return status;
    status = patch(sums, start + entry->header + ZIP_LOCAL_SUM, was, now);
    if (!status)
        status = patch_behind(sums, behind, start + end, was, now);
    return status
               ? status
               : patch(sums, start + entry->record + ZIP_RECORD_SUM, was, now);
}

/* ---- Archives ---- */

/* One file of a content as a source of its own. */
struct window {
    const struct source *content;
    uint64_t start;
};

static enum status window_read(void *ctx, uint64_t offset, void *out,
                               size_t size)
{
    const struct window *window = ctx;
    return source_read(window->content, window->start + offset, out, size);
}

static int by_header(const void *a, const void *b)
{
    const struct zip_entry *x = a, *y = b;
    return (x->header > y->header) - (x->header < y->header);
}

/* The directory's first record ends what the last entry may have behind it. */
static uint64_t directory_of(const struct zip_entry *entries, size_t count)
{
    uint64_t first = UINT64_MAX;
    for (size_t i = 0; i < count; i++)
        if (entries[i].record < first)
            first = entries[i].record;
    return first;
}

static enum status patch_archive(struct zip_sums *sums,
                                 const struct model_file *file)
{
    struct window window = {sums->then, file->offset};
    const struct source source = {window_read, &window, file->size};
    struct arena arena;
    struct zip_entry *entries;
    size_t count;
    if (!zip_probe(&source))
        return STATUS_OK;
    arena_init(&arena, SUMS_BUDGET);
    enum status status = zip_read(&source, &arena, &entries, &count, NULL);
    if (!status && count)
        qsort(entries, count, sizeof(*entries), by_header);
    for (size_t i = 0; !status && i < count; i++)
        if (entries[i].stored)
            status = patch_entry(sums, file->offset, &entries[i],
                                 i + 1 < count ? entries[i + 1].header
                                               : directory_of(entries, count));
    arena_deinit(&arena);
    return status;
}

/* ---- The source ---- */

/* The first patch that ends behind offset. */
static size_t first_patch(const struct zip_sums *sums, uint64_t offset)
{
    size_t low = 0, high = sums->count;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (sums->patches[mid].offset + SUMS_WIDTH <= offset)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

static enum status sums_read(void *ctx, uint64_t offset, void *out, size_t size)
{
    const struct zip_sums *sums = ctx;
    uint8_t *bytes = out;
    enum status status = source_read(sums->now, offset, out, size);
    for (size_t i = first_patch(sums, offset); !status && i < sums->count;
         i++) {
        const struct patch *p = &sums->patches[i];
        if (p->offset >= offset + size)
            break;
        for (unsigned k = 0; k < SUMS_WIDTH; k++)
            if (p->offset + k >= offset && p->offset + k < offset + size)
                bytes[p->offset + k - offset] = p->bytes[k];
    }
    return status;
}

static int by_offset(const void *a, const void *b)
{
    const struct patch *x = a, *y = b;
    return (x->offset > y->offset) - (x->offset < y->offset);
}

enum status zip_sums_new(const struct model *model, const struct source *then,
                         const struct source *now, struct zip_sums **out)
{
    struct zip_sums *sums = calloc(1, sizeof(*sums));
    enum status status = sums ? STATUS_OK : STATUS_NO_MEMORY;
    *out = NULL;
    if (!status && (then->size != now->size || model->size != now->size))
        status = STATUS_USAGE;
    if (!status) {
        sums->then = then;
        sums->now = now;
        sums->source = (struct source){sums_read, sums, now->size};
    }
    for (size_t i = 0; !status && i < model->file_count; i++)
        if (model->files[i].format == CONTAINER_TORCH)
            status = patch_archive(sums, &model->files[i]);
    if (status) {
        zip_sums_free(sums);
        return status;
    }
    if (sums->count)
        qsort(sums->patches, sums->count, sizeof(*sums->patches), by_offset);
    *out = sums;
    return STATUS_OK;
}

void zip_sums_free(struct zip_sums *sums)
{
    if (!sums)
        return;
    free(sums->patches);
    free(sums);
}

const struct source *zip_sums_source(const struct zip_sums *sums)
{
    return &sums->source;
}

size_t zip_sums_count(const struct zip_sums *sums)
{
    return sums->count;
}
