/* Makes updates: hashes, matches, plans, then codes each segment the two or
 * three ways that can be smallest and keeps the smallest. */
#include "codec/update/update_enc.h"

#include "codec/lossless/bytes.h"
#include "codec/lossless/fast.h"
#include "codec/lossless/match.h"
#include "codec/update/header_write.h"
#include "codec/update/plan.h"
#include "codec/update/segment.h"

#include <stdlib.h>

#define ENC_SEGMENT_LOG_SMALL 18u /* 256 KiB: contents of at most: */
#define ENC_SMALL_SIZE_MAX    (8u << 20)
/* Contents for which time is no question. */
#define ENC_QUICK_SIZE_MAX  (1u << 20)
#define ENC_ALONE_CODED_MAX 65536u /* one segment where all codes to less */
#define ENC_READ_SIZE       65536u
#define ENC_OUT_MAX         (2u << 20)

/* Stretch of the base that a whole-segment frame looks at: at least, and so
 * many times the segment. */
#define ENC_PREFIX_MIN   (1u << 20)
#define ENC_PREFIX_MAX   (4u << 20)
#define ENC_PREFIX_FAST  2u
#define ENC_PREFIX_SMALL 16u

/* How records were used by the segments coded so far. */
#define ENC_USED_PIECES 1u
#define ENC_USED_COPY   2u

struct update_enc {
    struct update_enc_params params;
    struct tree_builder base_tree;
    struct tree_builder target_tree;
    struct update_plan plan;
    struct update_header header; /* records are the plan's */
    struct fast_enc *fast;
    uint8_t *used;        /* per record */
    uint32_t coded_count; /* segments coded */
    bool tried;           /* the first segment lies coded in out */
    uint8_t *target;      /* the segment */
    uint8_t *base;        /* room for the base of one piece */
    struct writer out;    /* the segment coded, smallest form so far */
    struct writer other;  /* another form of it */
    struct writer plain;  /* streams of the segment, see segment.h */
    struct writer diff;
    struct writer prefix;
    uint32_t prefix_max; /* of the segment */
    bool matched;        /* its pieces are same, or deltas to a base */
};

enum status update_enc_new(const struct update_enc_params *params,
                           struct update_enc **out)
{
    struct tree_shape shape;
    if (tree_shape_of(params->target->size, &shape) ||
        (params->base && tree_shape_of(params->base->size, &shape)))
        return diag_fail(params->diag, STATUS_LIMIT,
                         "content is larger than 64 GiB");
    struct update_enc *enc = calloc(1, sizeof(*enc));
    if (!enc)
        return STATUS_NO_MEMORY;
    enc->params = *params;
    writer_init_heap(&enc->out, ENC_OUT_MAX);
    writer_init_heap(&enc->other, ENC_OUT_MAX);
    writer_init_heap(&enc->plain, UPDATE_SEGMENT_SIZE_MAX);
    writer_init_heap(&enc->diff, UPDATE_SEGMENT_SIZE_MAX);
    writer_init_heap(&enc->prefix, UPDATE_PREFIX_MAX);
    *out = enc;
    return STATUS_OK;
}

void update_enc_free(struct update_enc *enc)
{
    if (!enc)
        return;
    tree_builder_deinit(&enc->base_tree);
    tree_builder_deinit(&enc->target_tree);
    update_plan_deinit(&enc->plan);
    fast_enc_free(enc->fast);
    free(enc->header.segments);
    free(enc->used);
    free(enc->target);
    free(enc->base);
    writer_deinit(&enc->out);
    writer_deinit(&enc->other);
    writer_deinit(&enc->plain);
    writer_deinit(&enc->diff);
    writer_deinit(&enc->prefix);
    free(enc);
}

/* Progress of a whole plan out of that of its three passes. */
struct enc_progress {
    update_progress_fn fn;
    void *ctx;
    uint64_t before;
    uint64_t total;
};

static bool enc_progress(void *ctx, uint64_t done, uint64_t total)
{
    struct enc_progress *progress = ctx;
    (void)total;
    return !progress->fn || progress->fn(progress->ctx, progress->before + done,
                                         progress->total);
}

static enum status enc_hash_blocks(const struct source *source,
                                   struct tree_builder *tb,
                                   struct enc_progress *progress)
{
    uint8_t *buf = malloc(ENC_READ_SIZE);
    enum status status = buf ? STATUS_OK : STATUS_NO_MEMORY;
    for (uint64_t at = 0; !status && at < source->size;) {
        uint64_t left = source->size - at;
        size_t size = left < ENC_READ_SIZE ? (size_t)left : ENC_READ_SIZE;
        status = source_read(source, at, buf, size);
        if (!status)
            status = tree_builder_add(tb, bytes_of(buf, size));
        at += size;
        if (!status && !enc_progress(progress, at, source->size))
            status = STATUS_CLOSED;
    }
    free(buf);
    return status;
}

static enum status enc_hash(struct update_enc *enc, const char *what,
                            const struct source *source,
                            const struct hash *leaves, struct tree_builder *tb,
                            struct hash *id, struct enc_progress *progress)
{
    enum status status = tree_builder_init(tb, source->size);
    if (!status)
        status = enc_hash_blocks(source, tb, progress);
    if (!status)
        status = tree_builder_finish(tb, id);
    progress->before += source->size;
    for (uint32_t i = 0; !status && leaves && i < tb->shape.block_count; i++)
        if (!hash_equal(&leaves[i], &tb->leaves[i]))
            status =
                diag_fail(enc->params.diag, STATUS_MISMATCH,
                          "block %u of the %s does not have its hash", i, what);
    return status;
}

static enum status enc_plan_over(struct update_enc *enc, bool opaque,
                                 struct enc_progress *progress)
{
    const struct update_enc_params *params = &enc->params;
    struct match_list matches;
    enum status status = match_contents(
        params->base, opaque ? NULL : params->base_model, params->target,
        opaque ? NULL : params->target_model, &matches);
    if (status)
        return status;
    struct update_plan_input input = {
        .base = params->base,
        .target = params->target,
        .matches = &matches,
        .stride = 1,
        .progress = enc_progress,
        .progress_ctx = progress,
    };
    status = update_plan_make(&input, &enc->plan);
    match_list_free(&matches);
    return status;
}

static uint64_t enc_segment_costs(const struct update_enc *enc)
{
    return 160 + 40 * (uint64_t)enc->plan.tables.count +
           8 * (uint64_t)enc->plan.count +
           160 * (uint64_t)enc->header.segment_count;
}

uint64_t update_enc_estimate(const struct update_enc *enc)
{
    return enc->plan.coded_size + enc_segment_costs(enc);
}

static void enc_set_segment_log(struct update_enc *enc, unsigned log)
{
    unsigned block_log = enc->header.target.block_log;
    enc->header.segment_log = (uint8_t)(log > block_log ? log - block_log : 0);
    enc->header.segment_count = update_header_segment_count(
        &enc->header.target, enc->header.segment_log);
}

static enum status enc_buffers(struct update_enc *enc)
{
    uint64_t size = enc->header.target.size;
    size_t room =
        size < UPDATE_SEGMENT_SIZE_MAX ? (size_t)size : UPDATE_SEGMENT_SIZE_MAX;
    enc->target = malloc(room + 1);
    enc->base = malloc(room + 1);
    enc->used = calloc((size_t)enc->plan.count + 1, 1);
    enc->header.segments = calloc((size_t)enc->header.target.block_count + 1,
                                  sizeof(*enc->header.segments));
    bool floats = enc->plan.tables.count > 0;
    if (floats)
        enc->fast = fast_enc_new(&enc->plan.tables, room ? room : 1);
    return enc->target && enc->base && enc->used && enc->header.segments &&
                   (enc->fast || !floats)
               ? STATUS_OK
               : STATUS_NO_MEMORY;
}

/* ---- one segment ---- */

static enum status enc_read_base(const struct update_enc *enc,
                                 const struct segment_piece *piece)
{
    return source_read(enc->params.base, segment_piece_base(piece, 0),
                       enc->base, piece->size);
}

static void enc_walk(const struct update_enc *enc, uint32_t index,
                     struct segment_walk *walk)
{
    segment_walk_begin(walk, enc->header.records, enc->header.record_count,
                       update_segment_offset(&enc->header, index),
                       update_segment_target_size(&enc->header, index));
}

static const uint8_t *enc_place(const struct update_enc *enc, uint32_t index,
                                const struct segment_piece *piece)
{
    return enc->target +
           (piece->target_offset - update_segment_offset(&enc->header, index));
}

/* True in *same when every piece is as in the base. */
static enum status enc_compare(struct update_enc *enc, uint32_t index,
                               bool *same)
{
    struct segment_walk walk;
    struct segment_piece piece;
    uint64_t at;
    *same = false;
    enc_walk(enc, index, &walk);
    while (segment_walk_next(&walk, &piece))
        if (!segment_piece_copy(&piece, &at))
            return STATUS_OK;
    enc_walk(enc, index, &walk);
    while (segment_walk_next(&walk, &piece)) {
        if (piece.record->mode == UPDATE_SAME)
            continue;
        enum status status = enc_read_base(enc, &piece);
        if (status)
            return status;
        if (memcmp(enc->base, enc_place(enc, index, &piece), piece.size))
            return STATUS_OK;
    }
    *same = true;
    return STATUS_OK;
}

static void enc_mark(struct update_enc *enc, uint32_t index, uint8_t how)
{
    struct segment_walk walk;
    struct segment_piece piece;
    enc_walk(enc, index, &walk);
    while (segment_walk_next(&walk, &piece))
        enc->used[piece.record - enc->header.records] |= how;
}

static enum status enc_piece_diff(struct update_enc *enc,
                                  const struct segment_piece *piece,
                                  const uint8_t *target)
{
    enum status status = enc_read_base(enc, piece);
    uint8_t *room = writer_reserve(&enc->diff, piece->size);
    if (status || writer_status(&enc->diff))
        return status ? status : writer_status(&enc->diff);
    for (uint32_t i = 0; i < piece->size; i++)
        room[i] = (uint8_t)(target[i] - enc->base[i]);
    return STATUS_OK;
}

static enum status enc_piece_bytes(struct update_enc *enc,
                                   const struct segment_piece *piece,
                                   const uint8_t *target)
{
    uint64_t offset;
    uint32_t size;
    writer_bytes(&enc->plain, target, piece->size);
    uint32_t room = enc->prefix_max - (uint32_t)enc->prefix.size;
    if (!segment_piece_prefix(piece, room, &offset, &size))
        return writer_status(&enc->plain);
    uint8_t *out = writer_reserve(&enc->prefix, size);
    if (writer_status(&enc->prefix))
        return writer_status(&enc->prefix);
    return source_read(enc->params.base, offset, out, size);
}

static enum status enc_piece_floats(struct update_enc *enc,
                                    const struct segment_piece *piece,
                                    const uint8_t *target)
{
    const struct update_record *record = piece->record;
    size_t elems = segment_piece_elems(piece);
    bool delta = record->coding.mode == FAST_DELTA;
    enum status status = STATUS_OK;
    writer_bytes(&enc->plain, target, piece->head);
    writer_bytes(&enc->plain, target + piece->size - piece->tail, piece->tail);
    if (delta)
        status = enc_read_base(enc, piece);
    if (!status)
        status = writer_status(&enc->plain);
    if (status || !elems)
        return status;
    return fast_enc_piece(enc->fast, &record->coding, record->dtype,
                          delta ? enc->base + piece->head : NULL,
                          target + piece->head, elems);
}

static enum status enc_piece(struct update_enc *enc,
                             const struct segment_piece *piece,
                             const uint8_t *target)
{
    switch (piece->record->mode) {
    case UPDATE_BYTES:
        return enc_piece_bytes(enc, piece, target);
    case UPDATE_DIFF:
        return enc_piece_diff(enc, piece, target);
    case UPDATE_FLOAT:
        return enc_piece_floats(enc, piece, target);
    default:
        return STATUS_OK;
    }
}

/* The level that is worth its time. */
static int enc_level(const struct update_enc *enc, size_t size)
{
    if (enc->params.effort == UPDATE_EFFORT_FAST)
        return size <= ENC_READ_SIZE ? 15 : 7;
    return enc->header.target.size <= (32u << 20) ? 19 : 15;
}

/* A stream of bytes: length and flag, then a frame, or the bytes where that is
 * no longer. */
static enum status enc_stream(struct update_enc *enc, struct bytes in,
                              struct bytes prefix)
{
    struct writer frame;
    if (!in.size)
        return STATUS_OK;
    writer_init_heap(&frame, ENC_OUT_MAX);
    int level = enc_level(enc, in.size);
    enum status status = STATUS_OK;
    if (in.size > ENC_READ_SIZE) {
        status = bytes_encode(in, prefix, 3, &frame);
        if (frame.size > in.size - in.size / 32)
            level = 0;
    }
    if (!status && level) {
        frame.size = 0;
        status = bytes_encode(in, prefix, level, &frame);
    }
    bool stored = frame.size >= in.size;
    struct bytes best = stored ? in : writer_view(&frame);
    writer_varint(&enc->out, (uint64_t)best.size << 1 | stored);
    writer_bytes(&enc->out, best.data, best.size);
    writer_deinit(&frame);
    return status;
}

/* The segment piece by piece. */
static enum status enc_pieces(struct update_enc *enc, uint32_t index)
{
    struct segment_walk walk;
    struct segment_piece piece;
    struct bytes none = {0};
    enum status status = STATUS_OK;
    bool floats = false;
    enc->plain.size = enc->diff.size = enc->prefix.size = enc->out.size = 0;
    enc->prefix_max =
        segment_prefix_max(update_segment_target_size(&enc->header, index));
    enc->matched = true;
    if (enc->fast)
        fast_enc_begin(enc->fast);
    enc_walk(enc, index, &walk);
    while (!status && segment_walk_next(&walk, &piece)) {
        floats |= segment_piece_elems(&piece) > 0;
        enc->matched &= piece.record->mode == UPDATE_SAME ||
                        (piece.record->mode == UPDATE_FLOAT &&
                         piece.record->coding.mode == FAST_DELTA);
        status = enc_piece(enc, &piece, enc_place(enc, index, &piece));
    }
    writer_u8(&enc->out, SEGMENT_PIECES);
    if (!status)
        status = enc_stream(enc, writer_view(&enc->plain),
                            writer_view(&enc->prefix));
    if (!status)
        status = enc_stream(enc, writer_view(&enc->diff), none);
    if (!status && floats)
        fast_enc_finish(enc->fast, &enc->out);
    return status ? status : writer_status(&enc->out);
}

/* The stretch of the base around what the segment's records point at, as much
 * as the effort allows. */
static void enc_prefix_range(const struct update_enc *enc, uint32_t index,
                             uint64_t *offset, uint64_t *size)
{
    struct segment_walk walk;
    struct segment_piece piece;
    uint64_t base_size = enc->header.base_size;
    uint64_t low = base_size, high = 0;
    uint64_t times = enc->params.effort == UPDATE_EFFORT_FAST
                         ? ENC_PREFIX_FAST
                         : ENC_PREFIX_SMALL;
    uint64_t room = times * update_segment_target_size(&enc->header, index);
    room = room < ENC_PREFIX_MIN ? ENC_PREFIX_MIN : room;
    room = room > ENC_PREFIX_MAX ? ENC_PREFIX_MAX : room;
    enc_walk(enc, index, &walk);
    while (segment_walk_next(&walk, &piece)) {
        uint64_t from, to;
        if (!segment_piece_like(&piece, &from, &to))
            continue;
        low = from < low ? from : low;
        high = to > high ? to : high;
    }
    if (low >= high) {
        low = update_segment_offset(&enc->header, index);
        high = low + update_segment_target_size(&enc->header, index);
    }
    uint64_t middle = low + (high - low) / 2;
    *offset = middle > room / 2 ? middle - room / 2 : 0;
    if (base_size <= room || *offset > base_size - room)
        *offset = base_size <= room ? 0 : base_size - room;
    *size = base_size - *offset < room ? base_size - *offset : room;
}

static enum status enc_load_prefix(struct update_enc *enc, uint64_t offset,
                                   uint64_t size)
{
    enc->prefix.size = 0;
    uint8_t *room = writer_reserve(&enc->prefix, (size_t)size);
    if (writer_status(&enc->prefix))
        return writer_status(&enc->prefix);
    if (!size)
        return STATUS_OK;
    return source_read(enc->params.base, offset, room, (size_t)size);
}

static enum status enc_frame_at(struct update_enc *enc, struct bytes in,
                                uint64_t offset, int level)
{
    enc->other.size = 0;
    writer_u8(&enc->other, SEGMENT_FRAME);
    writer_varint(&enc->other, enc->prefix.size ? offset : 0);
    writer_varint(&enc->other, enc->prefix.size);
    return bytes_encode(in, writer_view(&enc->prefix), level, &enc->other);
}

static void enc_keep_smaller(struct update_enc *enc, bool *kept)
{
    if (enc->other.size >= enc->out.size)
        return;
    struct writer swap = enc->out;
    enc->out = enc->other;
    enc->other = swap;
    *kept = true;
}

/* How far above the best form a quick frame may be for a thorough one to be
 * tried: nowhere near where most bytes went through a thorough one already, far
 * where a small content has structure. */
static size_t enc_reach(const struct update_enc *enc, size_t size, size_t quick)
{
    bool small = enc->header.target.size <= ENC_QUICK_SIZE_MAX;
    bool noise = quick > size - size / 8;
    if (!small && enc->plain.size > size / 2)
        return 0;
    return enc->out.size / (small && !noise ? 1 : 9);
}

/* The segment as one frame over the base. A quick try tells whether a thorough
 * one may win: what the quick one finds nothing in, the slow one hardly does.
 */
static enum status enc_frame(struct update_enc *enc, uint32_t index, bool *kept)
{
    uint64_t offset, size;
    struct bytes in =
        bytes_of(enc->target, update_segment_target_size(&enc->header, index));
    bool small = enc->header.target.size <= ENC_QUICK_SIZE_MAX;
    if (!small && enc->matched && enc->out.size < in.size - in.size / 4)
        return STATUS_OK;
    enc_prefix_range(enc, index, &offset, &size);
    enum status status = enc_load_prefix(enc, offset, size);
    if (!status)
        status = enc_frame_at(enc, in, offset, small ? 3 : 1);
    if (status)
        return status;
    size_t quick = enc->other.size;
    enc_keep_smaller(enc, kept);
    size_t reach = enc->out.size + enc_reach(enc, in.size, quick);
    if (quick > reach)
        return STATUS_OK;
    status = enc_frame_at(enc, in, offset, enc_level(enc, in.size));
    if (!status)
        enc_keep_smaller(enc, kept);
    return status;
}

static enum status enc_raw(struct update_enc *enc, uint32_t index)
{
    enc->out.size = 0;
    writer_u8(&enc->out, SEGMENT_RAW);
    writer_bytes(&enc->out, enc->target,
                 update_segment_target_size(&enc->header, index));
    return writer_status(&enc->out);
}

/* Leaves the segment in enc->out; empty when it changes nothing. */
static enum status enc_code(struct update_enc *enc, uint32_t index)
{
    uint32_t size = update_segment_target_size(&enc->header, index);
    bool same = false, framed = false;
    enum status status = source_read(enc->params.target,
                                     update_segment_offset(&enc->header, index),
                                     enc->target, size);
    if (!status)
        status = enc_compare(enc, index, &same);
    if (!status && same) {
        enc->out.size = 0;
        enc_mark(enc, index, ENC_USED_COPY);
        return STATUS_OK;
    }
    if (!status)
        status = enc_pieces(enc, index);
    if (!status)
        status = enc_frame(enc, index, &framed);
    if (status)
        return status;
    if (enc->out.size > size)
        return enc_raw(enc, index);
    if (!framed)
        enc_mark(enc, index, ENC_USED_PIECES);
    return STATUS_OK;
}

/* ---- the whole ---- */

/* A segment is 1 MiB, or 256 KiB of a small content so that a swarm has
 * something to share, unless all of it codes to little. */
static enum status enc_choose_segments(struct update_enc *enc)
{
    uint64_t size = enc->header.target.size;
    enc_set_segment_log(enc, TREE_BLOCK_LOG_MAX);
    if (size <= (1u << ENC_SEGMENT_LOG_SMALL) || size > ENC_SMALL_SIZE_MAX ||
        update_enc_estimate(enc) <= ENC_ALONE_CODED_MAX / 2)
        return STATUS_OK;
    if (enc->header.segment_count == 1) {
        enum status status = enc_code(enc, 0);
        if (status)
            return status;
        enc->tried = enc->out.size <= ENC_ALONE_CODED_MAX;
        if (enc->tried)
            return STATUS_OK;
        memset(enc->used, 0, enc->plan.count);
    }
    enc_set_segment_log(enc, ENC_SEGMENT_LOG_SMALL);
    return STATUS_OK;
}

static enum status enc_hash_both(struct update_enc *enc,
                                 struct enc_progress *progress)
{
    const struct update_enc_params *params = &enc->params;
    struct update_header *header = &enc->header;
    enum status status =
        enc_hash(enc, "target", params->target, params->target_leaves,
                 &enc->target_tree, &header->target_tree, progress);
    header->target = enc->target_tree.shape;
    if (status || !params->base)
        return status;
    header->has_base = true;
    header->base_size = params->base->size;
    return enc_hash(enc, "base", params->base, params->base_leaves,
                    &enc->base_tree, &header->base_tree, progress);
}

enum status update_enc_plan(struct update_enc *enc, update_progress_fn fn,
                            void *ctx)
{
    const struct update_enc_params *params = &enc->params;
    struct enc_progress progress = {.fn = fn, .ctx = ctx};
    progress.total =
        2 * params->target->size + (params->base ? params->base->size : 0);
    enum status status = enc_hash_both(enc, &progress);
    if (status)
        return status;
    status = enc_plan_over(enc, false, &progress);
    if (status == STATUS_LIMIT)
        status = enc_plan_over(enc, true, &progress);
    if (status)
        return status;
    enc->header.records = enc->plan.records;
    enc->header.record_count = enc->plan.count;
    status = enc_buffers(enc);
    if (!status)
        status = enc_choose_segments(enc);
    return status;
}

uint32_t update_enc_segment_count(const struct update_enc *enc)
{
    return enc->header.segment_count;
}

const struct hash *update_enc_base_tree(const struct update_enc *enc)
{
    return &enc->header.base_tree;
}

const struct hash *update_enc_target_tree(const struct update_enc *enc)
{
    return &enc->header.target_tree;
}

const struct hash *update_enc_target_leaves(const struct update_enc *enc)
{
    return enc->target_tree.leaves;
}

enum status update_enc_segment(struct update_enc *enc, uint32_t index,
                               struct bytes *out)
{
    if (index != enc->coded_count || index >= enc->header.segment_count)
        return STATUS_USAGE;
    enum status status = enc->tried ? STATUS_OK : enc_code(enc, index);
    if (status)
        return status;
    enc->tried = false;
    struct update_segment *segment = &enc->header.segments[index];
    *out = writer_view(&enc->out);
    segment->size = (uint32_t)out->size;
    if (out->size)
        update_segment_hash(*out, segment->hash);
    enc->coded_count++;
    return STATUS_OK;
}

/* What the decoder need not know of a record is dropped: codings no segment
 * uses, bases nothing is copied from. */
static void enc_prune_record(const struct update_enc *enc, uint32_t index,
                             struct update_record *record)
{
    *record = enc->plan.records[index];
    if (enc->used[index] & ENC_USED_PIECES)
        return;
    if (enc->used[index] & ENC_USED_COPY) {
        record->mode = UPDATE_SAME;
        return;
    }
    record->mode = UPDATE_BYTES;
    record->base_offset = record->base_size = 0;
}

static bool enc_prune_joins(const struct update_record *a,
                            const struct update_record *b)
{
    if (a->mode != b->mode)
        return false;
    if (a->mode == UPDATE_BYTES)
        return !a->base_size && !b->base_size;
    return a->mode == UPDATE_SAME &&
           a->base_offset + a->base_size == b->base_offset;
}

/* The records worth writing, and whether any needs the tables. */
static uint32_t enc_prune(const struct update_enc *enc,
                          struct update_record *out, bool *floats)
{
    uint32_t count = 0;
    *floats = false;
    for (uint32_t i = 0; i < enc->plan.count; i++) {
        enc_prune_record(enc, i, &out[count]);
        *floats |= out[count].mode == UPDATE_FLOAT;
        if (!count || !enc_prune_joins(&out[count - 1], &out[count])) {
            count++;
            continue;
        }
        out[count - 1].size += out[count].size;
        out[count - 1].base_size += out[count].base_size;
    }
    return count;
}

enum status update_enc_header(struct update_enc *enc, struct writer *wr)
{
    if (enc->coded_count != enc->header.segment_count)
        return STATUS_USAGE;
    struct update_header header = enc->header;
    bool floats;
    header.records =
        malloc(((size_t)enc->plan.count + 1) * sizeof(*header.records));
    if (!header.records)
        return STATUS_NO_MEMORY;
    header.record_count = enc_prune(enc, header.records, &floats);
    header.tables = floats ? &enc->plan.tables : NULL;
    update_header_write(&header, wr);
    free(header.records);
    return writer_status(wr);
}
