/* What encoder and decoder of a segment share: its kinds, and the walk over
 * the pieces of records that lie in it.
 *
 * Ref: codec/FORMAT.md, "Segments". */
#ifndef CODEC_UPDATE_SEGMENT_H
#define CODEC_UPDATE_SEGMENT_H

#include "codec/update/header.h"
#include "codec/update/record.h"

/* The first byte of a coded segment. */
enum segment_kind {
    SEGMENT_RAW = 0,   /* the target bytes */
    SEGMENT_FRAME = 1, /* one zstd frame over a stretch of the base */
    SEGMENT_PIECES = 2 /* piece by piece, as the records say */
};

/* Around the base bytes that correspond to a bytes piece, this much more of
 * its record's base is its prefix, too. */
#define SEGMENT_PREFIX_MARGIN 65536u

/* Most bytes of the base that a segment of so many target bytes may have as
 * prefix: what is read stays in proportion to what comes out. */
static inline uint32_t segment_prefix_max(uint32_t size)
{
    uint64_t max = (1u << 20) + 16 * (uint64_t)size;
    return max < UPDATE_PREFIX_MAX ? (uint32_t)max : UPDATE_PREFIX_MAX;
}

/* The part of one record that lies in a segment. */
struct segment_piece {
    const struct update_record *record;
    uint64_t target_offset; /* of the piece's first byte */
    uint32_t size;
    uint32_t head; /* CODED: bytes of an element cut by the segment's start */
    uint32_t tail; /* CODED: bytes of one cut by its end */
};

struct segment_walk {
    const struct update_record *record;
    const struct update_record *end;
    uint64_t at;   /* in the target */
    uint64_t stop; /* of the segment */
};

/* Pieces of target range offset .. offset + size, within what the records
 * cover. */
void segment_walk_begin(struct segment_walk *walk,
                        const struct record_list *list, uint64_t offset,
                        uint64_t size);

/* False after the last piece. */
bool segment_walk_next(struct segment_walk *walk, struct segment_piece *piece);

/* Bytes of a piece that travel as bytes: all of a BYTES piece, the cut
 * elements of a CODED piece, none of others. */
uint32_t segment_piece_bytes(const struct segment_piece *piece);

/* Whole elements of a CODED piece; pairs of them if they have 4 bits. */
size_t segment_piece_elems(const struct segment_piece *piece);

/* The index in its record of the first of these. */
uint64_t segment_piece_first(const struct segment_piece *piece);

/* The most elements, or pairs, that coders take at once: a piece is cut into
 * stretches of so many, and a rest. */
size_t segment_stretch_max(const struct update_record *record);

/* Where the base byte that corresponds to the piece's byte at is. Only for
 * records whose base_size is size. */
uint64_t segment_piece_base(const struct segment_piece *piece, uint32_t at);

/* True when the piece's bytes correspond one to one to base bytes: then *at is
 * where they begin. */
bool segment_piece_copy(const struct segment_piece *piece, uint64_t *at);

/* The base bytes that lie where the piece's do, from *low to *high: in
 * proportion where the record's base has another size. False without a base. */
bool segment_piece_like(const struct segment_piece *piece, uint64_t *low,
                        uint64_t *high);

/* The stretch of the base that is prefix for a BYTES piece; false when there
 * is none. room is what the segment's prefix may still take: it is cut there.
 */
bool segment_piece_prefix(const struct segment_piece *piece, uint32_t room,
                          uint64_t *offset, uint32_t *size);

#endif
