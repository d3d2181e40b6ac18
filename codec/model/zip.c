/* From the end record to the directory to each entry's own header. */
#include "codec/model/zip.h"

#include "codec/base/reader.h"
#include "codec/model/scan.h"

#include <stdlib.h>

#define ZIP_LOCAL_MAGIC   0x04034b50u
#define ZIP_ENTRY_MAGIC   0x02014b50u
#define ZIP_END_MAGIC     0x06054b50u
#define ZIP_END64_MAGIC   0x06064b50u
#define ZIP_LOCATOR_MAGIC 0x07064b50u

#define ZIP_LOCAL_SIZE   30u
#define ZIP_ENTRY_SIZE   46u
#define ZIP_END_SIZE     22u
#define ZIP_END64_SIZE   56u
#define ZIP_LOCATOR_SIZE 20u
#define ZIP_COMMENT_MAX  65535u

#define ZIP_FLAG_ENCRYPTED  0x0001u
#define ZIP_FLAG_DESCRIPTOR 0x0008u
#define ZIP_EXTRA_ZIP64     0x0001u

struct zip {
    const struct source *file;
    struct scan scan;
    struct arena *arena;
    struct diag *diag;
    uint64_t directory; /* its offset and size */
    uint64_t directory_size;
    uint64_t count;
    struct zip_entry *entries;
};

/* What the directory says of one entry. */
struct zip_record {
    uint16_t flags, method, name_size, extra_size, comment_size, disk;
    uint64_t packed, plain, header;
};

static enum status zip_fail(const struct zip *zip, enum status status,
                            uint64_t at, const char *what)
{
    return diag_fail(zip->diag, status, "zip, at offset %llu: %s",
                     (unsigned long long)at, what);
}

/* ---- the end records ---- */

/* The end record closest to the end whose comment ends with the file. */
static enum status zip_find_end(struct zip *zip, uint8_t *tail, uint64_t *at)
{
    uint64_t size = zip->file->size;
    size_t want = ZIP_END_SIZE + ZIP_COMMENT_MAX;
    if (size < ZIP_END_SIZE)
        return zip_fail(zip, STATUS_TRUNCATED, 0, "no room for a directory");
    if (want > size)
        want = (size_t)size;
    enum status status = source_read(zip->file, size - want, tail, want);
    if (status)
        return status;
    for (size_t i = want - ZIP_END_SIZE + 1; i--;) {
        if (load_le32(tail + i) == ZIP_END_MAGIC &&
            load_le16(tail + i + 20) == want - ZIP_END_SIZE - i) {
            memmove(tail, tail + i, ZIP_END_SIZE);
            *at = size - want + i;
            return STATUS_OK;
        }
    }
    return zip_fail(zip, STATUS_TRUNCATED, size, "no directory at the end");
}

/* True when a zip64 locator stands before the end record at end. */
static enum status zip_locator(struct zip *zip, uint64_t end, bool *found,
                               uint64_t *at)
{
    uint8_t buf[ZIP_LOCATOR_SIZE];
    *found = false;
    if (end < ZIP_LOCATOR_SIZE)
        return STATUS_OK;
    enum status status =
        scan_read(&zip->scan, end - ZIP_LOCATOR_SIZE, buf, sizeof(buf));
    if (status || load_le32(buf) != ZIP_LOCATOR_MAGIC)
        return status;
    *found = true;
    *at = load_le64(buf + 8);
    if (load_le32(buf + 4) || load_le32(buf + 16) > 1)
        return zip_fail(zip, STATUS_UNSUPPORTED, end, "several disks");
    return STATUS_OK;
}

static enum status zip_end64(struct zip *zip, uint64_t at, uint64_t end)
{
    uint8_t buf[ZIP_END64_SIZE];
    if (end < ZIP_LOCATOR_SIZE + ZIP_END64_SIZE ||
        at > end - ZIP_LOCATOR_SIZE - ZIP_END64_SIZE)
        return zip_fail(zip, STATUS_CORRUPT, at, "no zip64 end record");
    enum status status = scan_read(&zip->scan, at, buf, sizeof(buf));
    if (status)
        return status;
    if (load_le32(buf) != ZIP_END64_MAGIC)
        return zip_fail(zip, STATUS_CORRUPT, at, "no zip64 end record");
    if (load_le32(buf + 16) || load_le32(buf + 20) ||
        load_le64(buf + 24) != load_le64(buf + 32))
        return zip_fail(zip, STATUS_UNSUPPORTED, at, "several disks");
    zip->count = load_le64(buf + 32);
    zip->directory_size = load_le64(buf + 40);
    zip->directory = load_le64(buf + 48);
    return STATUS_OK;
}

/* What the short record says must be what the long one does, or all ones. */
static bool zip_ends_agree(const struct zip *zip, const uint8_t *end)
{
    uint16_t count = load_le16(end + 10);
    uint32_t size = load_le32(end + 12), at = load_le32(end + 16);
    return (count == UINT16_MAX || count == zip->count) &&
           (size == UINT32_MAX || size == zip->directory_size) &&
           (at == UINT32_MAX || at == zip->directory);
}

static enum status zip_ends(struct zip *zip, const uint8_t *end, uint64_t at)
{
    uint64_t at64 = 0, limit = at;
    bool found;
    enum status status = zip_locator(zip, at, &found, &at64);
    if (!status && found) {
        status = zip_end64(zip, at64, at);
        limit = at64;
        if (!status && !zip_ends_agree(zip, end))
            status = zip_fail(zip, STATUS_CORRUPT, at, "end records disagree");
    } else if (!status) {
        if (load_le16(end + 4) || load_le16(end + 6) ||
            load_le16(end + 8) != load_le16(end + 10))
            return zip_fail(zip, STATUS_UNSUPPORTED, at, "several disks");
        zip->count = load_le16(end + 10);
        zip->directory_size = load_le32(end + 12);
        zip->directory = load_le32(end + 16);
    }
    if (!status && (zip->directory > limit ||
                    zip->directory_size > limit - zip->directory))
        status = zip_fail(zip, STATUS_CORRUPT, at,
                          "the directory does not lie before its end record");
    return status;
}

/* ---- entries ---- */

/* Sizes and offset of all ones are in the zip64 extra field, in this order. */
static enum status zip_extra(const struct zip *zip, struct bytes extra,
                             uint64_t at, struct zip_record *record)
{
    struct reader rd;
    uint64_t *wide[3];
    size_t count = 0, done = 0;
    if (record->plain == UINT32_MAX)
        wide[count++] = &record->plain;
    if (record->packed == UINT32_MAX)
        wide[count++] = &record->packed;
    if (record->header == UINT32_MAX)
        wide[count++] = &record->header;
    reader_init(&rd, extra);
    while (done < count && reader_left(&rd) >= 4) {
        uint16_t id = reader_le16(&rd);
        struct reader field = reader_sub(&rd, reader_le16(&rd));
        if (id != ZIP_EXTRA_ZIP64)
            continue;
        while (done < count)
            *wide[done++] = reader_le64(&field);
        if (reader_status(&field))
            return zip_fail(zip, STATUS_CORRUPT, at,
                            "a zip64 field ends early");
    }
    return STATUS_OK;
}

static void zip_record_fixed(const uint8_t *buf, struct zip_record *record)
{
    *record = (struct zip_record){
        .flags = load_le16(buf + 8),
        .method = load_le16(buf + 10),
        .packed = load_le32(buf + 20),
        .plain = load_le32(buf + 24),
        .name_size = load_le16(buf + 28),
        .extra_size = load_le16(buf + 30),
        .comment_size = load_le16(buf + 32),
        .disk = load_le16(buf + 34),
        .header = load_le32(buf + 42),
    };
}

static enum status zip_name(struct zip *zip, uint64_t at, uint16_t size,
                            struct bytes *name)
{
    uint8_t *copy = arena_alloc(zip->arena, (size_t)size + 1, 1);
    if (!copy)
        return STATUS_NO_MEMORY;
    *name = bytes_of(copy, size);
    return scan_read(&zip->scan, at, copy, size);
}

static enum status zip_read_extra(struct zip *zip, uint64_t at,
                                  struct zip_record *record)
{
    if (!record->extra_size)
        return STATUS_OK;
    uint8_t *buf = malloc(record->extra_size);
    if (!buf)
        return STATUS_NO_MEMORY;
    enum status status = scan_read(&zip->scan, at, buf, record->extra_size);
    if (!status)
        status = zip_extra(zip, bytes_of(buf, record->extra_size), at, record);
    free(buf);
    return status;
}

/* The directory's record at *at; leaves *at behind it. */
static enum status zip_record(struct zip *zip, uint64_t *at,
                              struct zip_record *record,
                              struct zip_entry *entry)
{
    uint8_t buf[ZIP_ENTRY_SIZE];
    uint64_t left = zip->directory + zip->directory_size - *at;
    if (left < sizeof(buf))
        return zip_fail(zip, STATUS_TRUNCATED, *at, "the directory ends early");
    enum status status = scan_read(&zip->scan, *at, buf, sizeof(buf));
    if (status)
        return status;
    if (load_le32(buf) != ZIP_ENTRY_MAGIC)
        return zip_fail(zip, STATUS_CORRUPT, *at, "no entry of a directory");
    zip_record_fixed(buf, record);
    uint64_t name_at = *at + sizeof(buf);
    uint64_t size = sizeof(buf) + (uint64_t)record->name_size +
                    record->extra_size + record->comment_size;
    if (size > left)
        return zip_fail(zip, STATUS_TRUNCATED, *at, "the directory ends early");
    if (record->disk)
        return zip_fail(zip, STATUS_UNSUPPORTED, *at, "several disks");
    status = zip_name(zip, name_at, record->name_size, &entry->name);
    if (!status)
        status = zip_read_extra(zip, name_at + record->name_size, record);
    *at += size;
    return status;
}

static bool zip_local_agrees(const uint8_t *local,
                             const struct zip_record *record)
{
    uint32_t packed = load_le32(local + 18), plain = load_le32(local + 22);
    if (load_le16(local + 8) != record->method ||
        load_le16(local + 26) != record->name_size)
        return false;
    if (load_le16(local + 6) & ZIP_FLAG_DESCRIPTOR)
        return true; /* the sizes stand behind the bytes */
    return (packed == UINT32_MAX || packed == record->packed) &&
           (plain == UINT32_MAX || plain == record->plain);
}

static enum status zip_same_name(struct zip *zip, uint64_t at,
                                 struct bytes name)
{
    uint8_t buf[256];
    for (size_t done = 0; done < name.size;) {
        size_t left = name.size - done;
        size_t size = left < sizeof(buf) ? left : sizeof(buf);
        enum status status = scan_read(&zip->scan, at + done, buf, size);
        if (status)
            return status;
        if (memcmp(buf, name.data + done, size))
            return zip_fail(zip, STATUS_CORRUPT, at,
                            "an entry's two names differ");
        done += size;
    }
    return STATUS_OK;
}

static enum status zip_locate(struct zip *zip, const struct zip_record *record,
                              struct zip_entry *entry)
{
    uint8_t local[ZIP_LOCAL_SIZE];
    uint64_t at = record->header, limit = zip->directory;
    if (at > limit || limit - at < sizeof(local))
        return zip_fail(zip, STATUS_CORRUPT, at,
                        "an entry does not lie before the directory");
    enum status status = scan_read(&zip->scan, at, local, sizeof(local));
    if (status)
        return status;
    if (load_le32(local) != ZIP_LOCAL_MAGIC || !zip_local_agrees(local, record))
        return zip_fail(zip, STATUS_CORRUPT, at,
                        "header and directory disagree on an entry");
    entry->header = at;
    entry->offset =
        at + sizeof(local) + load_le16(local + 26) + load_le16(local + 28);
    entry->size = record->packed;
    entry->stored = !record->method && !(record->flags & ZIP_FLAG_ENCRYPTED);
    if (entry->offset > limit || entry->size > limit - entry->offset ||
        (entry->stored && record->plain != record->packed))
        return zip_fail(zip, STATUS_CORRUPT, at, "an entry's size is wrong");
    return zip_same_name(zip, at + sizeof(local), entry->name);
}

static int zip_by_header(const void *a, const void *b)
{
    const struct zip_entry *x = a, *y = b;
    return (x->header > y->header) - (x->header < y->header);
}

static int zip_compare_names(struct bytes a, struct bytes b)
{
    size_t common = a.size < b.size ? a.size : b.size;
    int order = common ? memcmp(a.data, b.data, common) : 0;
    return order ? order : (a.size > b.size) - (a.size < b.size);
}

static int zip_by_name(const void *a, const void *b)
{
    const struct zip_entry *x = a, *y = b;
    return zip_compare_names(x->name, y->name);
}

static enum status zip_check(struct zip *zip)
{
    struct zip_entry *list = zip->entries;
    size_t count = (size_t)zip->count;
    if (count)
        qsort(list, count, sizeof(*list), zip_by_header);
    for (size_t i = 1; i < count; i++)
        if (list[i].header < list[i - 1].offset + list[i - 1].size)
            return zip_fail(zip, STATUS_CORRUPT, list[i].header,
                            "an entry overlaps another");
    if (count)
        qsort(list, count, sizeof(*list), zip_by_name);
    for (size_t i = 1; i < count; i++)
        if (bytes_equal(list[i].name, list[i - 1].name))
            return zip_fail(zip, STATUS_CORRUPT, list[i].header,
                            "a name occurs twice");
    return STATUS_OK;
}

static enum status zip_entries(struct zip *zip)
{
    uint64_t at = zip->directory;
    enum status status = STATUS_OK;
    if (zip->count > ZIP_ENTRIES_MAX)
        return zip_fail(zip, STATUS_LIMIT, at, "too many entries");
    if (zip->count > zip->directory_size / ZIP_ENTRY_SIZE)
        return zip_fail(zip, STATUS_CORRUPT, at,
                        "the directory has no room for its entries");
    zip->entries =
        arena_alloc(zip->arena, (size_t)zip->count, sizeof(*zip->entries));
    if (!zip->entries)
        return STATUS_NO_MEMORY;
    for (uint64_t i = 0; !status && i < zip->count; i++) {
        struct zip_record record;
        zip->entries[i].record = at;
        status = zip_record(zip, &at, &record, &zip->entries[i]);
        if (!status)
            status = zip_locate(zip, &record, &zip->entries[i]);
    }
    return status ? status : zip_check(zip);
}

enum status zip_read(const struct source *file, struct arena *arena,
                     struct zip_entry **entries, size_t *count,
                     struct diag *diag)
{
    struct zip zip = {.file = file, .arena = arena, .diag = diag};
    uint64_t at = 0;
    enum status status = scan_init(&zip.scan, file, arena);
    if (status)
        return status;
    uint8_t *tail = malloc(ZIP_END_SIZE + ZIP_COMMENT_MAX);
    if (!tail)
        return STATUS_NO_MEMORY;
    status = zip_find_end(&zip, tail, &at);
    if (!status)
        status = zip_ends(&zip, tail, at);
    if (!status)
        status = zip_entries(&zip);
    free(tail);
    *entries = status ? NULL : zip.entries;
    *count = status ? 0 : (size_t)zip.count;
    return status;
}

const struct zip_entry *zip_find(const struct zip_entry *entries, size_t count,
                                 struct bytes name)
{
    size_t low = 0, high = count;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        int order = zip_compare_names(entries[mid].name, name);
        if (!order)
            return &entries[mid];
        if (order < 0)
            low = mid + 1;
        else
            high = mid;
    }
    return NULL;
}

bool zip_probe(const struct source *file)
{
    uint8_t magic[4];
    return !source_read(file, 0, magic, sizeof(magic)) &&
           load_le32(magic) == ZIP_LOCAL_MAGIC;
}
