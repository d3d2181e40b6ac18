/* The walk over the pieces of a segment. */
#include "codec/update/segment.h"

#include "codec/lossless/packed.h"

void segment_walk_begin(struct segment_walk *walk,
                        const struct record_list *list, uint64_t offset,
                        uint64_t size)
{
    const struct update_record *records = list->records;
    uint32_t low = 0, high = list->count;
    while (low < high) {
        uint32_t mid = low + (high - low) / 2;
        if (records[mid].target_offset + records[mid].size <= offset)
            low = mid + 1;
        else
            high = mid;
    }
    walk->record = records ? records + low : NULL;
    walk->end = records ? records + list->count : NULL;
    walk->at = offset;
    walk->stop = offset + size;
}

/* Elements cut by the segment's edges; an element within one segment smaller
 * than itself does not occur, segments being 64 KiB or the end. */
static void segment_piece_cut(struct segment_piece *piece)
{
    const struct update_record *record = piece->record;
    uint32_t width = packed_unit_bytes(record->dtype);
    uint64_t from = piece->target_offset - record->target_offset;
    uint32_t over = (uint32_t)(from % width);
    piece->head = over ? width - over : 0;
    if (piece->head > piece->size)
        piece->head = piece->size;
    piece->tail = (piece->size - piece->head) % width;
}

bool segment_walk_next(struct segment_walk *walk, struct segment_piece *piece)
{
    if (walk->at >= walk->stop || walk->record == walk->end)
        return false;
    const struct update_record *record = walk->record;
    uint64_t end = record->target_offset + record->size;
    uint64_t stop = end < walk->stop ? end : walk->stop;
    *piece = (struct segment_piece){
        .record = record,
        .target_offset = walk->at,
        .size = (uint32_t)(stop - walk->at),
    };
    if (record->mode == UPDATE_CODED)
        segment_piece_cut(piece);
    walk->at = stop;
    if (stop == end)
        walk->record++;
    return true;
}

uint32_t segment_piece_bytes(const struct segment_piece *piece)
{
    switch (piece->record->mode) {
    case UPDATE_BYTES:
        return piece->size;
    case UPDATE_CODED:
        return piece->head + piece->tail;
    default:
        return 0;
    }
}

size_t segment_piece_elems(const struct segment_piece *piece)
{
    if (piece->record->mode != UPDATE_CODED)
        return 0;
    uint32_t width = packed_unit_bytes(piece->record->dtype);
    return (piece->size - piece->head - piece->tail) / width;
}

uint64_t segment_piece_first(const struct segment_piece *piece)
{
    const struct update_record *record = piece->record;
    uint64_t from = piece->target_offset - record->target_offset;
    return (from + piece->head) / packed_unit_bytes(record->dtype);
}

uint64_t segment_piece_base(const struct segment_piece *piece, uint32_t at)
{
    const struct update_record *record = piece->record;
    return record->base_offset +
           (piece->target_offset + at - record->target_offset);
}

bool segment_piece_copy(const struct segment_piece *piece, uint64_t *at)
{
    const struct update_record *record = piece->record;
    *at = segment_piece_base(piece, 0);
    return record->base_size == record->size && !record->window.on &&
           record->from == record->dtype;
}

/* at of size bytes as a place in other bytes, rounded down; in integers that
 * never overflow: sizes are at most 2^36. */
static uint64_t segment_scale(uint64_t at, uint64_t size, uint64_t other)
{
    while (size >> 24) {
        size >>= 1;
        other >>= 1;
    }
    return at * (other / size) + at * (other % size) / size;
}

bool segment_piece_like(const struct segment_piece *piece, uint64_t *low,
                        uint64_t *high)
{
    const struct update_record *record = piece->record;
    uint64_t from = piece->target_offset - record->target_offset;
    uint64_t to = from + piece->size;
    if (!record->base_size)
        return false;
    if (record->base_size != record->size) {
        from = segment_scale(from, record->size, record->base_size);
        to = segment_scale(to, record->size, record->base_size);
    }
    *low = record->base_offset + from;
    *high = record->base_offset + to;
    return true;
}

bool segment_piece_prefix(const struct segment_piece *piece, uint32_t room,
                          uint64_t *offset, uint32_t *size)
{
    const struct update_record *record = piece->record;
    uint64_t low, high, end = record->base_offset + record->base_size;
    if (record->mode != UPDATE_BYTES || !room ||
        !segment_piece_like(piece, &low, &high))
        return false;
    uint64_t before = low - record->base_offset;
    low -= before < SEGMENT_PREFIX_MARGIN ? before : SEGMENT_PREFIX_MARGIN;
    high += SEGMENT_PREFIX_MARGIN;
    high = high < end ? high : end;
    if (low >= high)
        return false;
    *offset = low;
    *size = (uint32_t)(high - low < room ? high - low : room);
    return true;
}

size_t segment_stretch_max(const struct update_record *record)
{
    return packed_dtype(record->dtype) ? CODING_PIECE_MAX / 2
                                       : CODING_PIECE_MAX;
}
