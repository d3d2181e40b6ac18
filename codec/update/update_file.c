/* The update file: magic, length, header, segments. */
#include "codec/update/update_file.h"

#include <stdlib.h>

#define UPDATE_FILE_MAGIC      "DMUPDATE"
#define UPDATE_FILE_MAGIC_SIZE 8u
#define UPDATE_FILE_HEAD_SIZE  (UPDATE_FILE_MAGIC_SIZE + 4)

bool update_file_probe(const struct source *file)
{
    char magic[UPDATE_FILE_MAGIC_SIZE];
    if (source_read(file, 0, magic, sizeof(magic)))
        return false;
    return !memcmp(magic, UPDATE_FILE_MAGIC, sizeof(magic));
}

static enum status update_file_header(const struct source *source,
                                      struct update_file *out,
                                      struct diag *diag)
{
    uint8_t head[UPDATE_FILE_HEAD_SIZE];
    if (!update_file_probe(source))
        return diag_fail(diag, STATUS_CORRUPT, "not an update file");
    enum status status = source_read(source, 0, head, sizeof(head));
    if (status)
        return diag_fail(diag, status, "update file ends within its head");
    uint32_t size = load_le32(head + UPDATE_FILE_MAGIC_SIZE);
    if (size > UPDATE_HEADER_MAX)
        return diag_fail(diag, STATUS_LIMIT, "update header is too large");
    if (size > source->size - sizeof(head))
        return diag_fail(diag, STATUS_TRUNCATED,
                         "update file ends within its header");
    out->header_bytes = malloc((size_t)size + 1);
    if (!out->header_bytes)
        return STATUS_NO_MEMORY;
    out->header_size = size;
    out->segments_offset = sizeof(head) + (uint64_t)size;
    status = source_read(source, sizeof(head), out->header_bytes, size);
    if (status)
        return status;
    return update_header_parse(bytes_of(out->header_bytes, size), &out->header,
                               diag);
}

enum status update_file_open(const struct source *source,
                             struct update_file *out, struct diag *diag)
{
    memset(out, 0, sizeof(*out));
    out->source = source;
    enum status status = update_file_header(source, out, diag);
    uint64_t end = out->segments_offset + out->header.coded_size;
    if (!status && end > source->size)
        status = diag_fail(
            diag, STATUS_TRUNCATED, "update file ends at byte %llu of %llu",
            (unsigned long long)source->size, (unsigned long long)end);
    if (!status && end < source->size)
        status = diag_fail(diag, STATUS_CORRUPT,
                           "update file has bytes behind its end, offset %llu",
                           (unsigned long long)end);
    if (status)
        update_file_close(out);
    return status;
}

void update_file_close(struct update_file *file)
{
    update_header_free(&file->header);
    free(file->header_bytes);
    memset(file, 0, sizeof(*file));
}

enum status update_file_segment(const struct update_file *file, uint32_t index,
                                uint8_t *buf, struct bytes *coded)
{
    if (index >= file->header.segment_count)
        return STATUS_USAGE;
    const struct update_segment *segment = &file->header.segments[index];
    *coded = bytes_of(buf, segment->size);
    return source_read(file->source, file->segments_offset + segment->offset,
                       buf, segment->size);
}

static enum status update_file_read_aux(void *ctx, uint32_t index,
                                        struct writer *out)
{
    const struct update_file *file = ctx;
    struct bytes coded;
    if (index >= file->header.aux_count)
        return STATUS_NOT_FOUND;
    uint8_t *room = writer_reserve(out, file->header.segments[index].size);
    if (!room)
        return writer_status(out);
    return update_file_segment(file, index, room, &coded);
}

struct update_aux update_file_aux(const struct update_file *file)
{
    return (struct update_aux){update_file_read_aux, (void *)(uintptr_t)file};
}

void update_file_write_head(struct writer *wr, struct bytes header)
{
    writer_bytes(wr, UPDATE_FILE_MAGIC, UPDATE_FILE_MAGIC_SIZE);
    writer_le32(wr, (uint32_t)header.size);
    writer_bytes(wr, header.data, header.size);
}
