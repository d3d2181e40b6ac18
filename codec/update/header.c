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
    if (update_segment_is_aux(header, index))
        return 0;
    return (uint64_t)(index - header->aux_count)
           << (header->target.block_log + header->segment_log);
}

uint32_t update_segment_target_size(const struct update_header *header,
                                    uint32_t index)
{
    if (update_segment_is_aux(header, index))
        return 0;
    uint64_t left = header->target.size - update_segment_offset(header, index);
    uint64_t full = (uint64_t)1
                    << (header->target.block_log + header->segment_log);
    return (uint32_t)(left < full ? left : full);
}

void update_segment_blocks(const struct update_header *header, uint32_t index,
                           uint32_t *first, uint32_t *count)
{
    *first = *count = 0;
    if (update_segment_is_aux(header, index))
        return;
    uint32_t full = (uint32_t)1 << header->segment_log;
    *first = (index - header->aux_count) << header->segment_log;
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

static uint8_t header_version(const struct update_header *header)
{
    if (!record_list_has_lattice(&header->records))
        return UPDATE_VERSION_PLAIN;
    return record_list_guessed(&header->records) ? UPDATE_VERSION
                                                 : UPDATE_VERSION_LEVELS;
}

void update_header_write(const struct update_header *header, struct writer *wr)
{
    writer_u8(wr, header_version(header));
    writer_u8(wr, header->has_base ? HEADER_FLAG_BASE : 0);
    writer_bytes(wr, header->target_tree.b, HASH_BYTES);
    writer_varint(wr, header->target.size);
    if (header->has_base) {
        writer_bytes(wr, header->base_tree.b, HASH_BYTES);
        writer_varint(wr, header->base_size);
    }
    writer_u8(wr, header->segment_log);
    coding_tables_write(&header->tables, wr);
    record_list_write(&header->records, header->target.size, wr);
    writer_varint(wr, header->aux_count);
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

static enum status header_read_records(struct reader *rd,
                                       struct update_header *out)
{
    enum status status = reader_status(rd);
    if (!status)
        status = coding_tables_read(rd, &out->tables);
    if (!status)
        status =
            record_list_read(rd, out->target.size, out->base_size, &out->tables,
                             UPDATE_RECORDS_MAX, &out->records);
    return status;
}

static void header_read_entry(struct reader *rd, bool aux,
                              struct update_segment *out)
{
    uint64_t max = aux ? UPDATE_AUX_CODED_MAX : UPDATE_SEGMENT_CODED_MAX;
    out->size = (uint32_t)reader_varint_max(rd, max);
    if (out->size)
        reader_copy(rd, out->hash, UPDATE_SEGMENT_HASH_BYTES);
    else if (aux)
        reader_fail(rd, STATUS_CORRUPT);
}

/* Every segment takes at least one byte of what is left, so the count is
 * tested against it before it sizes the directory. */
static enum status header_read_directory(struct reader *rd,
                                         struct update_header *out)
{
    const struct record_list *records = &out->records;
    uint32_t aux_count = (uint32_t)reader_varint_max(rd, UPDATE_AUX_MAX);
    if (aux_count <
        (records->count ? records->records[records->count - 1].aux : 0))
        reader_fail(rd, STATUS_CORRUPT);
    uint32_t count =
        aux_count + update_header_segment_count(&out->target, out->segment_log);
    if (reader_status(rd))
        return reader_status(rd);
    if (count > reader_left(rd))
        return STATUS_TRUNCATED;
    out->segments = calloc((size_t)count + 1, sizeof(*out->segments));
    if (!out->segments)
        return STATUS_NO_MEMORY;
    out->segment_count = count;
    out->aux_count = aux_count;
    for (uint32_t i = 0; i < count && !reader_status(rd); i++) {
        struct update_segment *segment = &out->segments[i];
        segment->offset = out->coded_size;
        header_read_entry(rd, i < aux_count, segment);
        out->coded_size += segment->size;
    }
    return reader_finish(rd);
}

static enum status header_read(struct reader *rd, struct update_header *out,
                               size_t size)
{
    header_read_ids(rd, out);
    enum status status = header_read_records(rd, out);
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
    if (version && version < UPDATE_VERSION_PLAIN)
        return diag_fail(diag, STATUS_UNSUPPORTED,
                         "update format %u is no longer read: make the update "
                         "again in format %u",
                         version, UPDATE_VERSION);
    if (!version)
        reader_fail(&rd, STATUS_CORRUPT);
    enum status status = header_read(&rd, out, bytes.size);
    if (!status && version == UPDATE_VERSION)
        record_list_set_guessed(&out->records);
    if (!status && version != header_version(out))
        status = STATUS_CORRUPT;
    if (!status)
        return STATUS_OK;
    update_header_free(out);
    return diag_fail(diag, status, "update header, byte %zu: %s",
                     reader_offset(&rd), status_text(status));
}

void update_header_free(struct update_header *header)
{
    record_list_deinit(&header->records);
    free(header->segments);
    memset(header, 0, sizeof(*header));
}
