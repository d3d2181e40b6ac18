/* Header to bytes and back, sizes and places of segments. */
#include "codec/update/header.h"

#include "codec/base/reader.h"
#include "codec/update/header_write.h"
#include "codec/update/record.h"

#include <stdlib.h>

#define HEADER_FLAG_BASE 1u

void update_id(struct bytes header, struct hash *out)
{
    hash_bytes(HASH_UPDATE, header, out);
}

uint64_t update_bytes_max(uint64_t target_size)
{
    return target_size + target_size / 100 + 65536;
}

uint64_t update_segment_offset(const struct update_header *header,
                               uint32_t index)
{
    return (uint64_t)index << (header->target.block_log + header->segment_log);
}

uint32_t update_segment_target_size(const struct update_header *header,
                                    uint32_t index)
{
    uint64_t left = header->target.size - update_segment_offset(header, index);
    uint64_t full = (uint64_t)1
                    << (header->target.block_log + header->segment_log);
    return (uint32_t)(left < full ? left : full);
}

void update_segment_blocks(const struct update_header *header, uint32_t index,
                           uint32_t *first, uint32_t *count)
{
    uint32_t full = (uint32_t)1 << header->segment_log;
    *first = index << header->segment_log;
    uint32_t left = header->target.block_count - *first;
    *count = left < full ? left : full;
}

void update_segment_hash(struct bytes coded,
                         uint8_t out[UPDATE_SEGMENT_HASH_BYTES])
{
    struct hash hash;
    hash_bytes(HASH_SEGMENT, coded, &hash);
    memcpy(out, hash.b, UPDATE_SEGMENT_HASH_BYTES);
}

uint32_t update_header_segment_count(const struct tree_shape *target,
                                     uint8_t segment_log)
{
    uint32_t mask = ((uint32_t)1 << segment_log) - 1;
    return (target->block_count + mask) >> segment_log;
}

void update_header_write(const struct update_header *header, struct writer *wr)
{
    static const struct fast_tables none;
    writer_u8(wr, UPDATE_VERSION);
    writer_u8(wr, header->has_base ? HEADER_FLAG_BASE : 0);
    writer_bytes(wr, header->target_tree.b, HASH_BYTES);
    writer_varint(wr, header->target.size);
    if (header->has_base) {
        writer_bytes(wr, header->base_tree.b, HASH_BYTES);
        writer_varint(wr, header->base_size);
    }
    writer_u8(wr, header->segment_log);
    fast_tables_write(header->tables ? header->tables : &none, wr);
    record_list_write(header->records, header->record_count,
                      header->target.size, wr);
    for (uint32_t i = 0; i < header->segment_count; i++) {
        const struct update_segment *segment = &header->segments[i];
        writer_varint(wr, segment->size);
        if (segment->size)
            writer_bytes(wr, segment->hash, UPDATE_SEGMENT_HASH_BYTES);
    }
}

static void header_read_ids(struct reader *rd, struct update_header *out)
{
    uint8_t flags = reader_u8(rd);
    if (flags & ~HEADER_FLAG_BASE)
        reader_fail(rd, STATUS_CORRUPT);
    out->has_base = flags & HEADER_FLAG_BASE;
    reader_copy(rd, out->target_tree.b, HASH_BYTES);
    uint64_t size = reader_varint_max(rd, TREE_SIZE_MAX);
    if (tree_shape_of(size, &out->target))
        reader_fail(rd, STATUS_LIMIT);
    if (out->has_base) {
        reader_copy(rd, out->base_tree.b, HASH_BYTES);
        out->base_size = reader_varint_max(rd, TREE_SIZE_MAX);
    }
    out->segment_log = reader_u8(rd);
    if (out->target.block_log + out->segment_log > TREE_BLOCK_LOG_MAX)
        reader_fail(rd, STATUS_LIMIT);
}

static enum status header_read_tables(struct reader *rd,
                                      struct update_header *out)
{
    if (reader_status(rd))
        return reader_status(rd);
    out->tables = calloc(1, sizeof(*out->tables));
    if (!out->tables)
        return STATUS_NO_MEMORY;
    enum status status = fast_tables_read(rd, out->tables);
    if (!status && !out->tables->count) {
        free(out->tables);
        out->tables = NULL;
    }
    return status;
}

static enum status header_read_records(struct reader *rd,
                                       struct update_header *out)
{
    return record_list_read(rd, out->target.size, out->base_size,
                            out->tables ? out->tables->count : 0,
                            UPDATE_RECORDS_MAX, &out->records,
                            &out->record_count);
}

/* Every segment takes at least one byte of what is left, so the count is
 * tested against it before it sizes the directory. */
static enum status header_read_directory(struct reader *rd,
                                         struct update_header *out)
{
    uint32_t count =
        update_header_segment_count(&out->target, out->segment_log);
    if (count > reader_left(rd))
        return STATUS_TRUNCATED;
    out->segments = calloc((size_t)count + 1, sizeof(*out->segments));
    if (!out->segments)
        return STATUS_NO_MEMORY;
    out->segment_count = count;
    for (uint32_t i = 0; i < count && !reader_status(rd); i++) {
        struct update_segment *segment = &out->segments[i];
        segment->offset = out->coded_size;
        segment->size =
            (uint32_t)reader_varint_max(rd, UPDATE_SEGMENT_CODED_MAX);
        if (segment->size)
            reader_copy(rd, segment->hash, UPDATE_SEGMENT_HASH_BYTES);
        out->coded_size += segment->size;
    }
    return reader_finish(rd);
}

static enum status header_read(struct reader *rd, struct update_header *out,
                               size_t size)
{
    header_read_ids(rd, out);
    enum status status = header_read_tables(rd, out);
    if (!status)
        status = header_read_records(rd, out);
    if (!status)
        status = header_read_directory(rd, out);
    uint64_t limit = update_bytes_max(out->target.size);
    if (!status && out->coded_size + size > limit)
        status = STATUS_LIMIT;
    return status;
}

enum status update_header_parse(struct bytes bytes, struct update_header *out,
                                struct diag *diag)
{
    struct reader rd;
    memset(out, 0, sizeof(*out));
    if (bytes.size > UPDATE_HEADER_MAX)
        return diag_fail(diag, STATUS_LIMIT,
                         "update header of %zu bytes is above its limit",
                         bytes.size);
    reader_init(&rd, bytes);
    uint8_t version = reader_u8(&rd);
    if (version > UPDATE_VERSION)
        return diag_fail(diag, STATUS_UNSUPPORTED,
                         "update format %u is newer than this build knows (%u)",
                         version, UPDATE_VERSION);
    if (!version)
        reader_fail(&rd, STATUS_CORRUPT);
    enum status status = header_read(&rd, out, bytes.size);
    if (!status)
        return STATUS_OK;
    update_header_free(out);
    return diag_fail(diag, status, "update header, byte %zu: %s",
                     reader_offset(&rd), status_text(status));
}

void update_header_free(struct update_header *header)
{
    free(header->records);
    free(header->tables);
    free(header->segments);
    memset(header, 0, sizeof(*header));
}
