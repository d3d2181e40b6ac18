/* The header of an update: where it leads from and to, how each range of the
 * target is coded, and the size and hash of each coded segment. The update's
 * id is the hash of these bytes.
 *
 * Segments are counted from 0. The first aux_count are auxiliary: they cover no
 * block and hold what several others need to be decoded. Each of the others
 * covers a run of blocks of the target, in order.
 *
 * A header is read from hostile peers: every count is tested against limits
 * and the bytes left before it sizes anything.
 * Ref: codec/FORMAT.md, "Update header". */
#ifndef CODEC_UPDATE_HEADER_H
#define CODEC_UPDATE_HEADER_H

#include "codec/base/hash.h"
#include "codec/base/writer.h"
#include "codec/update/record.h"
#include "codec/update/tree.h"

/* The format; the forms before it, which updates whose levels are not guessed
 * and all without lattices have. */
#define UPDATE_VERSION            4u
#define UPDATE_VERSION_LEVELS     3u
#define UPDATE_VERSION_PLAIN      2u
#define UPDATE_SEGMENT_HASH_BYTES 16u
#define UPDATE_RECORDS_MAX        65536u
#define UPDATE_TABLES_MAX         65536u     /* bytes of all shared tables */
#define UPDATE_SEGMENT_SIZE_MAX   (1u << 20) /* of the target, a segment */
#define UPDATE_SEGMENT_CODED_MAX  (UPDATE_SEGMENT_SIZE_MAX + 1u)
#define UPDATE_AUX_MAX            4096u      /* auxiliary segments */
#define UPDATE_AUX_CODED_MAX      (1u << 20) /* coded bytes of one, 1 at least */
#define UPDATE_AUX_SIZE_MAX       (1u << 20) /* what one decodes to */
#define UPDATE_SEGMENTS_MAX       (UPDATE_AUX_MAX + TREE_BLOCKS_MAX)

/* Stretch of the base that one segment may ask for. */
#define UPDATE_PREFIX_MAX (8u << 20)

/* No header is larger: 4 KiB, 64 bytes a record, 24 a segment, tables. */
#define UPDATE_HEADER_MAX                                           \
    (4096u + 64u * UPDATE_RECORDS_MAX + 24u * UPDATE_SEGMENTS_MAX + \
     UPDATE_TABLES_MAX)

struct update_segment {
    uint64_t offset; /* of its coded bytes, counted from the first segment's */
    uint32_t size;   /* coded bytes; 0: it changes nothing */
    uint8_t hash[UPDATE_SEGMENT_HASH_BYTES]; /* of the coded bytes */
};

/* Parsed form. Owned by whoever parsed it: update_header_free. */
struct update_header {
    bool has_base;
    struct hash base_tree; /* zero without a base */
    struct hash target_tree;
    uint64_t base_size; /* 0 without a base */
    struct tree_shape target;
    uint8_t segment_log; /* a segment is 1 << segment_log whole blocks */

    struct record_list records; /* in order, covering the target */
    struct coding_tables tables;

    struct update_segment *segments;
    uint32_t segment_count; /* auxiliary ones included */
    uint32_t aux_count;     /* of these: the first ones */
    uint64_t coded_size;    /* of all segments */
};

/* Reads the exact bytes of a header.
 *
 * out   zeroed on error; else release with update_header_free. Keeps nothing
 *       of bytes.
 * UNSUPPORTED  a version of the format that this build does not read
 * TRUNCATED, CORRUPT, LIMIT, NO_MEMORY */
enum status update_header_parse(struct bytes bytes, struct update_header *out,
                                struct diag *diag) MUST_CHECK;

void update_header_free(struct update_header *header);

/* The update's id: the hash of its header. */
void update_id(struct bytes header, struct hash *out);

/* Most bytes an update to a target of this size may take, header included;
 * above it update_header_parse answers LIMIT. */
uint64_t update_bytes_max(uint64_t target_size);

static inline bool update_segment_is_aux(const struct update_header *header,
                                         uint32_t index)
{
    return index < header->aux_count;
}

/* Where segment index lies in the target; index < segment_count. An auxiliary
 * one is 0 bytes at offset 0. */
uint64_t update_segment_offset(const struct update_header *header,
                               uint32_t index);
uint32_t update_segment_target_size(const struct update_header *header,
                                    uint32_t index);

/* The blocks segment index covers: the first and how many; 0 blocks for an
 * auxiliary one. */
void update_segment_blocks(const struct update_header *header, uint32_t index,
                           uint32_t *first, uint32_t *count);

/* The hash of coded segment bytes as the directory keeps it. */
void update_segment_hash(struct bytes coded,
                         uint8_t out[UPDATE_SEGMENT_HASH_BYTES]);

#endif
