/* The records of an update header: how each range of the target is coded.
 *
 * Ref: codec/FORMAT.md, "Records". */
#ifndef CODEC_UPDATE_RECORD_H
#define CODEC_UPDATE_RECORD_H

#include "codec/base/reader.h"
#include "codec/base/writer.h"
#include "codec/lossless/fast.h"
#include "codec/model/dtype.h"

/* Values are part of the format. */
enum update_mode {
    UPDATE_SAME = 0,  /* the bytes of the base */
    UPDATE_BYTES = 1, /* bytes; a base, where there is one, helps */
    UPDATE_DIFF = 2,  /* each byte as its difference to the base's, mod 256 */
    UPDATE_FLOAT = 3, /* elements by a coding; with a base: FAST_DELTA */
    UPDATE_MODE_COUNT
};

/* Records are in order, none empty, and cover the target. base_size is 0
 * without a base, size where bytes correspond one to one; only UPDATE_BYTES
 * may have another. A FLOAT record has a base exactly when its coding is
 * FAST_DELTA, and whole elements. */
struct update_record {
    uint64_t target_offset;
    uint64_t size;
    uint64_t base_offset;
    uint64_t base_size;
    enum update_mode mode;
    enum dtype dtype; /* of a FLOAT record */
    struct fast_coding coding;
};

/* "same", "bytes", "diff", "delta", "full". Static. */
const char *record_mode_name(const struct update_record *record);

/* Writes count records that cover target_size bytes. */
void record_list_write(const struct update_record *records, uint32_t count,
                       uint64_t target_size, struct writer *wr);

/* Reads records until they cover target_size bytes.
 *
 * out    heap array of *count; the caller's
 * CORRUPT, TRUNCATED; LIMIT above count_max records; NO_MEMORY */
enum status record_list_read(struct reader *rd, uint64_t target_size,
                             uint64_t base_size, unsigned table_count,
                             uint32_t count_max, struct update_record **out,
                             uint32_t *count) MUST_CHECK;

#endif
