/* One segment: its pieces as the records say, or one frame over the base, or
 * the bytes as they are. */
#include "codec/update/segment_enc.h"

#include "codec/lossless/bytes.h"
#include "codec/lossless/packed.h"
#include "codec/update/segment.h"

#include <stdlib.h>

/* Contents for which time is no question. */
#define ENC_QUICK_SIZE_MAX (1u << 20)
#define ENC_READ_SIZE      65536u
#define ENC_OUT_MAX        (2u << 20)

/* Stretch of the base that a whole-segment frame looks at: at least, and so
 * many times the segment. */
#define ENC_PREFIX_MIN   (1u << 20)
#define ENC_PREFIX_MAX   (4u << 20)
#define ENC_PREFIX_FAST  2u
#define ENC_PREFIX_SMALL 16u

struct segment_enc {
    struct segment_enc_params params;
    struct coding_enc *coders;
    struct predictor *predictor;
    uint8_t *target;     /* the segment */
    uint8_t *base;       /* room for the base of one piece */
    uint8_t *pred;       /* and for predictions */
    uint8_t *spread;     /* and for elements of 4 bits, two stretches */
    struct writer out;   /* the segment coded, smallest form so far */
    struct writer other; /* another form of it */
    struct writer plain; /* streams of the segment, see segment.h */
    struct writer diff;
    struct writer prefix;
    uint32_t prefix_max; /* of the segment */
    size_t unmatched;    /* bytes neither same nor coded over a base */
};

static enum status enc_read_base(const struct segment_enc *se,
                                 const struct segment_piece *piece)
{
    return source_read(se->params.base, segment_piece_base(piece, 0), se->base,
                       piece->size);
}

static void enc_walk(const struct segment_enc *se, uint32_t index,
                     struct segment_walk *walk)
{
    segment_walk_begin(walk, &se->params.header->records,
                       update_segment_offset(se->params.header, index),
                       update_segment_target_size(se->params.header, index));
}

static const uint8_t *enc_place(const struct segment_enc *se, uint32_t index,
                                const struct segment_piece *piece)
{
    return se->target + (piece->target_offset -
                         update_segment_offset(se->params.header, index));
}

/* True in *same when every piece is as in the base. */
static enum status enc_compare(struct segment_enc *se, uint32_t index,
                               bool *same)
{
    struct segment_walk walk;
    struct segment_piece piece;
    uint64_t at;
    *same = false;
    enc_walk(se, index, &walk);
    while (segment_walk_next(&walk, &piece))
        if (!segment_piece_copy(&piece, &at))
            return STATUS_OK;
    enc_walk(se, index, &walk);
    while (segment_walk_next(&walk, &piece)) {
        if (piece.record->mode == UPDATE_SAME)
            continue;
        enum status status = enc_read_base(se, &piece);
        if (status)
            return status;
        if (memcmp(se->base, enc_place(se, index, &piece), piece.size))
            return STATUS_OK;
    }
    *same = true;
    return STATUS_OK;
}

static enum status enc_piece_diff(struct segment_enc *se,
                                  const struct segment_piece *piece,
                                  const uint8_t *target)
{
    enum status status = enc_read_base(se, piece);
    uint8_t *room = writer_reserve(&se->diff, piece->size);
    if (status || writer_status(&se->diff))
        return status ? status : writer_status(&se->diff);
    for (uint32_t i = 0; i < piece->size; i++)
        room[i] = (uint8_t)(target[i] - se->base[i]);
    return STATUS_OK;
}

static enum status enc_piece_bytes(struct segment_enc *se,
                                   const struct segment_piece *piece,
                                   const uint8_t *target)
{
    uint64_t offset;
    uint32_t size;
    writer_bytes(&se->plain, target, piece->size);
    uint32_t room = se->prefix_max - (uint32_t)se->prefix.size;
    if (!segment_piece_prefix(piece, room, &offset, &size))
        return writer_status(&se->plain);
    uint8_t *out = writer_reserve(&se->prefix, size);
    if (writer_status(&se->prefix))
        return writer_status(&se->prefix);
    return source_read(se->params.base, offset, out, size);
}

/* One stretch of elements, given their prediction. */
static enum status enc_elems(struct segment_enc *se,
                             const struct update_record *record,
                             const uint8_t *target, uint64_t first,
                             size_t count)
{
    const uint8_t *pred = NULL, *lost = NULL;
    if (coding_has_base(&record->coding)) {
        enum status status = predictor_elems(se->predictor, record, first,
                                             count, se->pred, &lost);
        if (status)
            return status;
        pred = se->pred;
    }
    if (packed_dtype(record->dtype)) {
        uint8_t *other = se->spread + CODING_PIECE_MAX;
        packed_spread(target, count, se->spread);
        target = se->spread;
        if (pred)
            packed_spread(pred, count, other);
        pred = pred ? other : NULL;
        first *= 2;
        count *= 2;
    }
    return coding_enc_piece(se->coders, &record->coding,
                            packed_coded_as(record->dtype), pred, lost, target,
                            first, count);
}

static enum status enc_piece_coded(struct segment_enc *se,
                                   const struct segment_piece *piece,
                                   const uint8_t *target)
{
    const struct update_record *record = piece->record;
    size_t count = segment_piece_elems(piece);
    uint32_t width = packed_unit_bytes(record->dtype);
    size_t most = segment_stretch_max(record);
    uint64_t first = segment_piece_first(piece);
    writer_bytes(&se->plain, target, piece->head);
    writer_bytes(&se->plain, target + piece->size - piece->tail, piece->tail);
    enum status status = writer_status(&se->plain);
    target += piece->head;
    for (size_t at = 0; !status && at < count; at += most) {
        size_t now = count - at < most ? count - at : most;
        status = enc_elems(se, record, target + at * width, first + at, now);
    }
    return status;
}

static enum status enc_piece(struct segment_enc *se,
                             const struct segment_piece *piece,
                             const uint8_t *target)
{
    switch (piece->record->mode) {
    case UPDATE_BYTES:
        return enc_piece_bytes(se, piece, target);
    case UPDATE_DIFF:
        return enc_piece_diff(se, piece, target);
    case UPDATE_CODED:
        return enc_piece_coded(se, piece, target);
    default:
        return STATUS_OK;
    }
}

/* The level that is worth its time. */
static int enc_level(const struct segment_enc *se, size_t size)
{
    if (se->params.effort == UPDATE_EFFORT_FAST)
        return size <= ENC_READ_SIZE ? 15 : 7;
    return se->params.header->target.size <= (32u << 20) ? 19 : 15;
}

/* A stream of bytes: length and flag, then a frame, or the bytes where that is
 * no longer. */
static enum status enc_stream(struct segment_enc *se, struct bytes in,
                              struct bytes prefix)
{
    struct writer frame;
    if (!in.size)
        return STATUS_OK;
    writer_init_heap(&frame, ENC_OUT_MAX);
    int level = enc_level(se, in.size);
    enum status status = STATUS_OK;
    if (in.size > ENC_READ_SIZE) {
        status = bytes_encode(in, prefix, 3, &frame);
        /* What is nearly noise has symbols to be coded, not repetition. */
        if (frame.size > in.size - in.size / 8)
            level = 0;
    }
    if (!status && level) {
        frame.size = 0;
        status = bytes_encode(in, prefix, level, &frame);
    }
    bool stored = frame.size >= in.size;
    struct bytes best = stored ? in : writer_view(&frame);
    writer_varint(&se->out, (uint64_t)best.size << 1 | stored);
    writer_bytes(&se->out, best.data, best.size);
    writer_deinit(&frame);
    return status;
}

/* The segment piece by piece. */
static enum status enc_pieces(struct segment_enc *se, uint32_t index)
{
    struct segment_walk walk;
    struct segment_piece piece;
    struct bytes none = {0};
    enum status status = STATUS_OK;
    se->plain.size = se->diff.size = se->prefix.size = se->out.size = 0;
    se->prefix_max = segment_prefix_max(
        update_segment_target_size(se->params.header, index));
    se->unmatched = 0;
    coding_enc_begin(se->coders);
    enc_walk(se, index, &walk);
    while (!status && segment_walk_next(&walk, &piece)) {
        if (piece.record->mode != UPDATE_SAME &&
            (piece.record->mode != UPDATE_CODED ||
             !coding_has_base(&piece.record->coding)))
            se->unmatched += piece.size;
        status = enc_piece(se, &piece, enc_place(se, index, &piece));
    }
    writer_u8(&se->out, SEGMENT_PIECES);
    if (!status)
        status =
            enc_stream(se, writer_view(&se->plain), writer_view(&se->prefix));
    if (!status)
        status = enc_stream(se, writer_view(&se->diff), none);
    if (!status)
        coding_enc_finish(se->coders, &se->out);
    return status ? status : writer_status(&se->out);
}

/* The stretch of the base around what the segment's records point at, as much
 * as the effort allows. */
static void enc_prefix_range(const struct segment_enc *se, uint32_t index,
                             uint64_t *offset, uint64_t *size)
{
    struct segment_walk walk;
    struct segment_piece piece;
    uint64_t base_size = se->params.header->base_size;
    uint64_t low = base_size, high = 0;
    uint64_t times = se->params.effort == UPDATE_EFFORT_FAST ? ENC_PREFIX_FAST
                                                             : ENC_PREFIX_SMALL;
    uint64_t room =
        times * update_segment_target_size(se->params.header, index);
    room = room < ENC_PREFIX_MIN ? ENC_PREFIX_MIN : room;
    room = room > ENC_PREFIX_MAX ? ENC_PREFIX_MAX : room;
    enc_walk(se, index, &walk);
    while (segment_walk_next(&walk, &piece)) {
        uint64_t from, to;
        if (!segment_piece_like(&piece, &from, &to))
            continue;
        low = from < low ? from : low;
        high = to > high ? to : high;
    }
    if (low >= high) {
        low = update_segment_offset(se->params.header, index);
        high = low + update_segment_target_size(se->params.header, index);
    }
    uint64_t middle = low + (high - low) / 2;
    *offset = middle > room / 2 ? middle - room / 2 : 0;
    if (base_size <= room || *offset > base_size - room)
        *offset = base_size <= room ? 0 : base_size - room;
    *size = base_size - *offset < room ? base_size - *offset : room;
}

static enum status enc_load_prefix(struct segment_enc *se, uint64_t offset,
                                   uint64_t size)
{
    se->prefix.size = 0;
    uint8_t *room = writer_reserve(&se->prefix, (size_t)size);
    if (writer_status(&se->prefix))
        return writer_status(&se->prefix);
    if (!size)
        return STATUS_OK;
    return source_read(se->params.base, offset, room, (size_t)size);
}

static enum status enc_frame_at(struct segment_enc *se, struct bytes in,
                                uint64_t offset, int level)
{
    se->other.size = 0;
    writer_u8(&se->other, SEGMENT_FRAME);
    writer_varint(&se->other, se->prefix.size ? offset : 0);
    writer_varint(&se->other, se->prefix.size);
    return bytes_encode(in, writer_view(&se->prefix), level, &se->other);
}

static void enc_keep_smaller(struct segment_enc *se, bool *kept)
{
    if (se->other.size >= se->out.size)
        return;
    struct writer swap = se->out;
    se->out = se->other;
    se->other = swap;
    *kept = true;
}

/* How far above the best form a quick frame may be for a thorough one to be
 * tried: a little, and far where that takes no time. Where most bytes went
 * through a thorough one already another hardly finds more; nor does it in what
 * is nearly noise. */
static size_t enc_reach(const struct segment_enc *se, size_t size, size_t quick)
{
    uint64_t all = se->params.header->target.size;
    if (all <= ENC_READ_SIZE)
        return 2 * se->out.size;
    if (quick > size - size / 8)
        return 0;
    if (all > ENC_QUICK_SIZE_MAX && se->plain.size > size / 2)
        return se->out.size;
    return se->out.size + se->out.size / 9;
}

/* True where a frame is not worth trying: nearly all is coded over its base,
 * and so much has changed that a frame finds little that is as it was. */
static bool enc_frame_hopeless(const struct segment_enc *se, size_t size)
{
    return se->params.header->target.size > ENC_READ_SIZE &&
           se->unmatched <= size / 16 && se->out.size < size - size / 4 &&
           se->out.size > size / 32;
}

/* The segment as one frame over the base. A quick try tells whether a thorough
 * one may win: what the quick one finds nothing in, the slow one hardly does.
 */
static enum status enc_frame(struct segment_enc *se, uint32_t index, bool *kept)
{
    uint64_t offset, size;
    struct bytes in = bytes_of(
        se->target, update_segment_target_size(se->params.header, index));
    bool small = se->params.header->target.size <= ENC_QUICK_SIZE_MAX;
    if (enc_frame_hopeless(se, in.size))
        return STATUS_OK;
    enc_prefix_range(se, index, &offset, &size);
    enum status status = enc_load_prefix(se, offset, size);
    if (!status)
        status = enc_frame_at(se, in, offset, small ? 3 : 1);
    if (status)
        return status;
    size_t quick = se->other.size;
    enc_keep_smaller(se, kept);
    if (quick > enc_reach(se, in.size, quick))
        return STATUS_OK;
    status = enc_frame_at(se, in, offset, enc_level(se, in.size));
    if (!status)
        enc_keep_smaller(se, kept);
    return status;
}

static enum status enc_raw(struct segment_enc *se, uint32_t index)
{
    se->out.size = 0;
    writer_u8(&se->out, SEGMENT_RAW);
    writer_bytes(&se->out, se->target,
                 update_segment_target_size(se->params.header, index));
    return writer_status(&se->out);
}

/* Leaves the segment in se->out; empty when it changes nothing. */
static enum status enc_code(struct segment_enc *se, uint32_t index,
                            enum segment_use *use)
{
    uint32_t size = update_segment_target_size(se->params.header, index);
    bool same = false, framed = false;
    *use = SEGMENT_USE_NONE;
    enum status status = source_read(
        se->params.target, update_segment_offset(se->params.header, index),
        se->target, size);
    if (!status)
        status = enc_compare(se, index, &same);
    if (!status && same) {
        se->out.size = 0;
        *use = SEGMENT_USE_COPY;
        return STATUS_OK;
    }
    if (!status)
        status = enc_pieces(se, index);
    if (!status)
        status = enc_frame(se, index, &framed);
    if (status)
        return status;
    if (se->out.size > size)
        return enc_raw(se, index);
    if (!framed)
        *use = SEGMENT_USE_PIECES;
    return STATUS_OK;
}

enum status segment_enc_code(struct segment_enc *se, uint32_t index,
                             struct bytes *out, enum segment_use *use)
{
    se->out.status = se->other.status = se->plain.status = STATUS_OK;
    se->diff.status = se->prefix.status = STATUS_OK;
    enum status status = enc_code(se, index, use);
    *out = writer_view(&se->out);
    return status;
}

/* Bytes that coders see for a byte of the target, at most. */
static size_t enc_spread(const struct segment_enc_params *params)
{
    const struct record_list *list = &params->header->records;
    for (uint32_t i = 0; i < list->count; i++)
        if (list->records[i].mode == UPDATE_CODED &&
            packed_dtype(list->records[i].dtype))
            return 2;
    return 1;
}

struct segment_enc *segment_enc_new(const struct segment_enc_params *params)
{
    struct segment_enc *se = calloc(1, sizeof(*se));
    if (!se)
        return NULL;
    uint64_t size = params->header->target.size;
    size_t room =
        size < UPDATE_SEGMENT_SIZE_MAX ? (size_t)size : UPDATE_SEGMENT_SIZE_MAX;
    se->params = *params;
    writer_init_heap(&se->out, ENC_OUT_MAX);
    writer_init_heap(&se->other, ENC_OUT_MAX);
    writer_init_heap(&se->plain, UPDATE_SEGMENT_SIZE_MAX);
    writer_init_heap(&se->diff, UPDATE_SEGMENT_SIZE_MAX);
    writer_init_heap(&se->prefix, UPDATE_PREFIX_MAX);
    se->target = malloc(room + 1);
    se->base = malloc(room + 1);
    se->pred = malloc(CODING_PIECE_MAX * sizeof(uint64_t));
    se->spread = malloc(2 * CODING_PIECE_MAX);
    se->coders = coding_enc_new(&params->header->tables,
                                (room ? room : 1) * enc_spread(params));
    se->predictor =
        predictor_new(&params->header->records, params->base, params->aux);
    if (se->target && se->base && se->pred && se->spread && se->coders &&
        se->predictor)
        return se;
    segment_enc_free(se);
    return NULL;
}

void segment_enc_free(struct segment_enc *se)
{
    if (!se)
        return;
    coding_enc_free(se->coders);
    predictor_free(se->predictor);
    free(se->target);
    free(se->base);
    free(se->pred);
    free(se->spread);
    writer_deinit(&se->out);
    writer_deinit(&se->other);
    writer_deinit(&se->plain);
    writer_deinit(&se->diff);
    writer_deinit(&se->prefix);
    free(se);
}
