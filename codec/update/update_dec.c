/* Decodes segments: streams of bytes first, then the walk that puts every
 * piece in its place. */
#include "codec/update/update_dec.h"

#include "codec/lossless/bytes.h"
#include "codec/lossless/packed.h"
#include "codec/update/predictor.h"
#include "codec/update/segment.h"

#include <stdlib.h>

struct update_dec {
    const struct update_header *header;
    const struct source *base;    /* NULL: none */
    const struct update_aux *aux; /* NULL: none */
    struct bytes_decoder *bytes;
    struct coding_dec *coders; /* NULL until a segment needs them */
    struct predictor *predictor;
    struct predictor_aux tables;
    struct diag *diag; /* of the segment being decoded */
    struct writer prefix;
    struct writer plain; /* BYTES pieces and cut elements */
    struct writer diff;  /* DIFF pieces */
    struct writer aux_coded;
};

/* One decode. */
struct segment_dec {
    struct update_dec *dec;
    struct reader rd;
    uint64_t offset; /* of the segment in the target */
    uint8_t *out;
    uint32_t size;
    size_t plain_at; /* bytes of dec->plain and dec->diff used */
    size_t diff_at;
};

enum status update_dec_new(const struct update_header *header,
                           const struct source *base,
                           const struct update_aux *aux,
                           struct update_dec **out)
{
    if (header->has_base != (base != NULL) ||
        (base && base->size != header->base_size))
        return STATUS_BAD_BASE;
    struct update_dec *dec = calloc(1, sizeof(*dec));
    if (!dec)
        return STATUS_NO_MEMORY;
    dec->header = header;
    dec->base = base;
    dec->aux = aux;
    dec->bytes = bytes_decoder_new();
    writer_init_heap(&dec->prefix, UPDATE_PREFIX_MAX);
    writer_init_heap(&dec->plain, UPDATE_SEGMENT_SIZE_MAX);
    writer_init_heap(&dec->diff, UPDATE_SEGMENT_SIZE_MAX);
    writer_init_heap(&dec->aux_coded, UPDATE_AUX_CODED_MAX);
    if (!dec->bytes) {
        update_dec_free(dec);
        return STATUS_NO_MEMORY;
    }
    *out = dec;
    return STATUS_OK;
}

void update_dec_free(struct update_dec *dec)
{
    if (!dec)
        return;
    bytes_decoder_free(dec->bytes);
    coding_dec_free(dec->coders);
    predictor_free(dec->predictor);
    writer_deinit(&dec->prefix);
    writer_deinit(&dec->plain);
    writer_deinit(&dec->diff);
    writer_deinit(&dec->aux_coded);
    free(dec);
}

enum status update_dec_aux(struct update_dec *dec, uint32_t index,
                           struct bytes *coded, struct diag *diag)
{
    if (index >= dec->header->aux_count)
        return STATUS_USAGE;
    enum status status =
        update_aux_read(dec->aux, dec->header, index, &dec->aux_coded, diag);
    *coded = writer_view(&dec->aux_coded);
    return status;
}

/* Appends a stretch of the base. A record without base never comes here; a
 * range outside of it is TRUNCATED by the source. */
static enum status update_dec_base(const struct update_dec *dec,
                                   uint64_t offset, void *out, size_t size)
{
    if (!dec->base)
        return STATUS_CORRUPT;
    return source_read(dec->base, offset, out, size);
}

static enum status update_dec_append(struct update_dec *dec, struct writer *wr,
                                     uint64_t offset, size_t size)
{
    uint8_t *room = writer_reserve(wr, size);
    if (writer_status(wr))
        return writer_status(wr);
    return update_dec_base(dec, offset, room, size);
}

static void segment_walk_of(const struct segment_dec *sd,
                            struct segment_walk *walk)
{
    const struct update_header *header = sd->dec->header;
    segment_walk_begin(walk, &header->records, sd->offset, sd->size);
}

static uint8_t *segment_place(const struct segment_dec *sd,
                              const struct segment_piece *piece)
{
    return sd->out + (piece->target_offset - sd->offset);
}

/* A segment without bytes: every piece is as in the base. */
static enum status segment_dec_same(struct segment_dec *sd)
{
    struct segment_walk walk;
    struct segment_piece piece;
    segment_walk_of(sd, &walk);
    while (segment_walk_next(&walk, &piece)) {
        uint64_t at;
        if (!segment_piece_copy(&piece, &at))
            return STATUS_CORRUPT;
        enum status status =
            update_dec_base(sd->dec, at, segment_place(sd, &piece), piece.size);
        if (status)
            return status;
    }
    return STATUS_OK;
}

static enum status segment_dec_raw(struct segment_dec *sd)
{
    reader_copy(&sd->rd, sd->out, sd->size);
    return reader_finish(&sd->rd);
}

static enum status segment_dec_frame(struct segment_dec *sd)
{
    struct update_dec *dec = sd->dec;
    uint64_t offset = reader_varint(&sd->rd);
    uint64_t size = reader_varint_max(&sd->rd, segment_prefix_max(sd->size));
    struct bytes frame = reader_bytes(&sd->rd, reader_left(&sd->rd));
    enum status status = reader_finish(&sd->rd);
    if (!status && !size && offset)
        status = STATUS_CORRUPT;
    if (!status && size)
        status = update_dec_append(dec, &dec->prefix, offset, (size_t)size);
    if (status)
        return status;
    return bytes_decode(dec->bytes, frame, writer_view(&dec->prefix), sd->out,
                        sd->size);
}

/* What the pieces need of each stream. */
struct segment_needs {
    uint32_t plain;
    uint32_t diff;
    unsigned coders; /* 1 << kind of each that has elements */
};

/* Collects the needs, and the prefix of the plain bytes. */
static enum status segment_dec_needs(struct segment_dec *sd,
                                     struct segment_needs *needs)
{
    struct segment_walk walk;
    struct segment_piece piece;
    struct writer *prefix = &sd->dec->prefix;
    segment_walk_of(sd, &walk);
    while (segment_walk_next(&walk, &piece)) {
        uint64_t offset;
        uint32_t size;
        needs->plain += segment_piece_bytes(&piece);
        if (piece.record->mode == UPDATE_DIFF)
            needs->diff += piece.size;
        if (segment_piece_elems(&piece))
            needs->coders |= 1u << piece.record->coding.kind;
        uint32_t room = segment_prefix_max(sd->size) - (uint32_t)prefix->size;
        if (!segment_piece_prefix(&piece, room, &offset, &size))
            continue;
        enum status status = update_dec_append(sd->dec, prefix, offset, size);
        if (status)
            return status;
    }
    return STATUS_OK;
}

/* A stream of bytes: its length and whether it is stored, then a frame or the
 * bytes. Absent when nothing is needed. */
static enum status segment_dec_stream(struct segment_dec *sd,
                                      struct bytes prefix, struct writer *wr,
                                      uint32_t need)
{
    if (!need)
        return STATUS_OK;
    uint64_t length = reader_varint_max(&sd->rd, 2 * UPDATE_SEGMENT_CODED_MAX);
    bool stored = length & 1;
    struct bytes in = reader_bytes(&sd->rd, (size_t)(length >> 1));
    uint8_t *room = writer_reserve(wr, need);
    if (reader_status(&sd->rd) || writer_status(wr))
        return reader_status(&sd->rd) ? reader_status(&sd->rd)
                                      : writer_status(wr);
    if (!stored)
        return bytes_decode(sd->dec->bytes, in, prefix, room, need);
    if (in.size != need)
        return STATUS_CORRUPT;
    memcpy(room, in.data, need);
    return STATUS_OK;
}

static enum status dec_read_tables(void *ctx, uint32_t index,
                                   struct bytes *coded)
{
    struct update_dec *dec = ctx;
    return update_dec_aux(dec, index, coded, dec->diag);
}

static void dec_bad_tables(void *ctx, uint32_t index, enum status status)
{
    struct update_dec *dec = ctx;
    (void)diag_fail(dec->diag, status, "tables in auxiliary segment %u: %s",
                    index, status_text(status));
}

static enum status segment_dec_begin_coders(struct segment_dec *sd,
                                            unsigned coders)
{
    struct update_dec *dec = sd->dec;
    if (!dec->coders)
        dec->coders = coding_dec_new(&dec->header->tables);
    if (!dec->predictor) {
        dec->tables = (struct predictor_aux){
            .read = dec_read_tables, .bad = dec_bad_tables, .ctx = dec};
        dec->predictor =
            predictor_new(&dec->header->records, dec->base, &dec->tables);
    }
    if (!dec->coders || !dec->predictor)
        return STATUS_NO_MEMORY;
    return coding_dec_begin(dec->coders, coders, &sd->rd);
}

static void segment_take_plain(struct segment_dec *sd, uint8_t *out,
                               uint32_t size)
{
    if (size)
        memcpy(out, sd->dec->plain.data + sd->plain_at, size);
    sd->plain_at += size;
}

/* Pairs of elements of 4 bits, whose predictions are in out. */
static void segment_dec_packed(struct segment_dec *sd,
                               const struct update_record *record,
                               uint64_t first, size_t pairs, bool has_base,
                               uint8_t *out)
{
    uint8_t elems[CODING_PIECE_MAX];
    if (has_base)
        packed_spread(out, pairs, elems);
    coding_dec_piece(sd->dec->coders, &record->coding,
                     packed_coded_as(record->dtype), has_base ? elems : NULL,
                     NULL, elems, 2 * first, 2 * pairs);
    packed_join(elems, pairs, out);
}

/* One stretch of elements: predictions first, in the place of what comes out.
 */
static enum status segment_dec_elems(struct segment_dec *sd,
                                     const struct update_record *record,
                                     uint64_t first, size_t count, uint8_t *out)
{
    bool has_base = coding_has_base(&record->coding);
    const uint8_t *lost = NULL;
    if (has_base) {
        enum status status = predictor_elems(sd->dec->predictor, record, first,
                                             count, out, &lost);
        if (status)
            return status;
    }
    if (packed_dtype(record->dtype)) {
        segment_dec_packed(sd, record, first, count, has_base, out);
        return STATUS_OK;
    }
    coding_dec_piece(sd->dec->coders, &record->coding, record->dtype,
                     has_base ? out : NULL, lost, out, first, count);
    return STATUS_OK;
}

static enum status segment_dec_coded(struct segment_dec *sd,
                                     const struct segment_piece *piece,
                                     uint8_t *out)
{
    const struct update_record *record = piece->record;
    uint32_t width = packed_unit_bytes(record->dtype);
    size_t most = segment_stretch_max(record);
    size_t count = segment_piece_elems(piece);
    uint64_t first = segment_piece_first(piece);
    enum status status = STATUS_OK;
    segment_take_plain(sd, out, piece->head);
    out += piece->head;
    for (size_t at = 0; !status && at < count; at += most) {
        size_t now = count - at < most ? count - at : most;
        status =
            segment_dec_elems(sd, record, first + at, now, out + at * width);
    }
    segment_take_plain(sd, out + count * width, piece->tail);
    return status;
}

static enum status segment_dec_diff(struct segment_dec *sd,
                                    const struct segment_piece *piece,
                                    uint8_t *out)
{
    enum status status = update_dec_base(sd->dec, segment_piece_base(piece, 0),
                                         out, piece->size);
    const uint8_t *diff = sd->dec->diff.data + sd->diff_at;
    for (uint32_t i = 0; !status && i < piece->size; i++)
        out[i] = (uint8_t)(out[i] + diff[i]);
    sd->diff_at += piece->size;
    return status;
}

static enum status segment_dec_piece(struct segment_dec *sd,
                                     const struct segment_piece *piece)
{
    uint8_t *out = segment_place(sd, piece);
    switch (piece->record->mode) {
    case UPDATE_SAME:
        return update_dec_base(sd->dec, segment_piece_base(piece, 0), out,
                               piece->size);
    case UPDATE_BYTES:
        segment_take_plain(sd, out, piece->size);
        return STATUS_OK;
    case UPDATE_DIFF:
        return segment_dec_diff(sd, piece, out);
    case UPDATE_CODED:
        return segment_dec_coded(sd, piece, out);
    default:
        return STATUS_CORRUPT;
    }
}

static enum status segment_dec_walk(struct segment_dec *sd)
{
    struct segment_walk walk;
    struct segment_piece piece;
    segment_walk_of(sd, &walk);
    while (segment_walk_next(&walk, &piece)) {
        enum status status = segment_dec_piece(sd, &piece);
        if (status)
            return status;
    }
    return STATUS_OK;
}

static enum status segment_dec_pieces(struct segment_dec *sd)
{
    struct update_dec *dec = sd->dec;
    struct segment_needs needs = {0};
    struct bytes none = {0};
    enum status status = segment_dec_needs(sd, &needs);
    if (!status)
        status = segment_dec_stream(sd, writer_view(&dec->prefix), &dec->plain,
                                    needs.plain);
    if (!status)
        status = segment_dec_stream(sd, none, &dec->diff, needs.diff);
    if (!status && needs.coders)
        status = segment_dec_begin_coders(sd, needs.coders);
    if (!status)
        status = reader_finish(&sd->rd);
    if (!status)
        status = segment_dec_walk(sd);
    if (!status && needs.coders)
        status = coding_dec_finish(dec->coders);
    return status;
}

static enum status segment_dec_run(struct segment_dec *sd)
{
    switch (reader_u8(&sd->rd)) {
    case SEGMENT_RAW:
        return segment_dec_raw(sd);
    case SEGMENT_FRAME:
        return segment_dec_frame(sd);
    case SEGMENT_PIECES:
        return segment_dec_pieces(sd);
    default:
        return STATUS_CORRUPT;
    }
}

static void update_dec_reset(struct update_dec *dec)
{
    dec->prefix.size = dec->plain.size = dec->diff.size = 0;
    dec->prefix.status = dec->plain.status = dec->diff.status = STATUS_OK;
}

static enum status update_dec_check(const struct update_header *header,
                                    uint32_t index, struct bytes coded)
{
    const struct update_segment *segment = &header->segments[index];
    uint8_t hash[UPDATE_SEGMENT_HASH_BYTES];
    if (coded.size != segment->size)
        return STATUS_MISMATCH;
    if (!coded.size)
        return STATUS_OK;
    update_segment_hash(coded, hash);
    return memcmp(hash, segment->hash, sizeof(hash)) ? STATUS_MISMATCH
                                                     : STATUS_OK;
}

enum status update_dec_segment(struct update_dec *dec, uint32_t index,
                               struct bytes coded, uint8_t *out, size_t size,
                               struct diag *diag)
{
    const struct update_header *header = dec->header;
    if (index >= header->segment_count ||
        size != update_segment_target_size(header, index))
        return STATUS_USAGE;
    if (update_dec_check(header, index, coded))
        return diag_fail(diag, STATUS_MISMATCH,
                         "segment %u does not have the hash of its update",
                         index);
    if (update_segment_is_aux(header, index))
        return STATUS_OK;
    struct segment_dec sd = {.dec = dec, .out = out, .size = (uint32_t)size};
    sd.offset = update_segment_offset(header, index);
    reader_init(&sd.rd, coded);
    update_dec_reset(dec);
    dec->diag = diag;
    enum status status =
        coded.size ? segment_dec_run(&sd) : segment_dec_same(&sd);
    if (!status)
        return STATUS_OK;
    return diag_fail(diag, status, "segment %u (target offset %llu): %s", index,
                     (unsigned long long)sd.offset, status_text(status));
}
