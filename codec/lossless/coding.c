/* One face for the lossless coders. */
#include "codec/lossless/coding.h"

#include "codec/lossless/packed.h"

#include <stdlib.h>

bool coding_kind_of(enum dtype dtype, enum coding_kind *kind)
{
    dtype = packed_coded_as(dtype);
    if (!small_dtype_ok(dtype))
        return false;
    *kind = narrow_dtype_ok(dtype) ? CODING_NARROW : CODING_FAST;
    return narrow_dtype_ok(dtype) || fast_dtype_ok(dtype);
}

bool coding_has_base(const struct coding *coding)
{
    switch (coding->kind) {
    case CODING_FAST:
        return coding->fast.mode == FAST_DELTA;
    case CODING_NARROW:
        return coding->narrow.mode == NARROW_DELTA;
    case CODING_LATTICE:
        return coding->lattice.has_pred;
    default:
        return coding->small.mode == SMALL_DELTA;
    }
}

bool coding_needs_lost(const struct coding *coding)
{
    return coding->kind == CODING_NARROW && coding_has_base(coding) &&
           coding->narrow.has_lost;
}

void coding_tables_write(const struct coding_tables *tables, struct writer *wr)
{
    fast_tables_write(&tables->fast, wr);
    narrow_tables_write(&tables->narrow, wr);
}

enum status coding_tables_read(struct reader *rd, struct coding_tables *tables)
{
    enum status status = fast_tables_read(rd, &tables->fast);
    return status ? status : narrow_tables_read(rd, &tables->narrow);
}

void coding_write(const struct coding *coding, enum dtype dtype,
                  struct writer *wr)
{
    dtype = packed_coded_as(dtype);
    switch (coding->kind) {
    case CODING_FAST:
        fast_coding_write(&coding->fast, wr);
        break;
    case CODING_NARROW:
        narrow_coding_write(&coding->narrow, dtype, wr);
        break;
    case CODING_LATTICE:
        lattice_coding_write(&coding->lattice, wr);
        break;
    default:
        small_coding_write(&coding->small, dtype, wr);
        break;
    }
}

enum status coding_read(struct reader *rd, enum coding_kind kind,
                        enum dtype dtype, const struct coding_tables *tables,
                        struct coding *coding)
{
    coding->kind = kind;
    dtype = packed_coded_as(dtype);
    switch (kind) {
    case CODING_FAST:
        return fast_coding_read(rd, dtype, tables->fast.count, &coding->fast);
    case CODING_NARROW:
        return narrow_coding_read(rd, dtype, tables->narrow.count,
                                  &coding->narrow);
    case CODING_LATTICE:
        return lattice_dtype_ok(dtype)
                   ? lattice_coding_read(rd, &coding->lattice)
                   : STATUS_CORRUPT;
    default:
        return small_coding_read(rd, dtype, &coding->small);
    }
}

struct coding_enc {
    const struct coding_tables *tables;
    size_t bytes_max;
    struct fast_enc *fast;
    struct narrow_enc *narrow;
    struct small_enc *small;
    struct lattice_enc *lattice;
    unsigned used; /* 1 << kind of those that got pieces */
};

struct coding_enc *coding_enc_new(const struct coding_tables *tables,
                                  size_t segment_bytes_max)
{
    struct coding_enc *enc = calloc(1, sizeof(*enc));
    if (!enc)
        return NULL;
    enc->tables = tables;
    enc->bytes_max = segment_bytes_max;
    return enc;
}

void coding_enc_free(struct coding_enc *enc)
{
    if (!enc)
        return;
    fast_enc_free(enc->fast);
    narrow_enc_free(enc->narrow);
    small_enc_free(enc->small);
    lattice_enc_free(enc->lattice);
    free(enc);
}

void coding_enc_begin(struct coding_enc *enc)
{
    enc->used = 0;
}

/* The coder is there, and has begun the segment. */
static bool enc_ready(struct coding_enc *enc, enum coding_kind kind)
{
    bool fresh = !(enc->used & 1u << kind);
    switch (kind) {
    case CODING_FAST:
        if (!enc->fast)
            enc->fast = fast_enc_new(&enc->tables->fast, enc->bytes_max);
        if (enc->fast && fresh)
            fast_enc_begin(enc->fast);
        break;
    case CODING_NARROW:
        if (!enc->narrow)
            enc->narrow = narrow_enc_new(&enc->tables->narrow, enc->bytes_max);
        if (enc->narrow && fresh)
            narrow_enc_begin(enc->narrow);
        break;
    case CODING_LATTICE:
        if (!enc->lattice)
            enc->lattice = lattice_enc_new(enc->bytes_max);
        if (enc->lattice && fresh)
            lattice_enc_begin(enc->lattice);
        break;
    default:
        if (!enc->small)
            enc->small = small_enc_new(enc->bytes_max);
        if (enc->small && fresh)
            small_enc_begin(enc->small);
        break;
    }
    enc->used |= 1u << kind;
    return kind == CODING_FAST      ? enc->fast != NULL
           : kind == CODING_NARROW  ? enc->narrow != NULL
           : kind == CODING_LATTICE ? enc->lattice != NULL
                                    : enc->small != NULL;
}

enum status coding_enc_piece(struct coding_enc *enc,
                             const struct coding *coding, enum dtype dtype,
                             const uint8_t *pred, const uint8_t *lost,
                             const uint8_t *target, uint64_t first_elem,
                             size_t elem_count)
{
    if (!enc_ready(enc, coding->kind))
        return STATUS_NO_MEMORY;
    switch (coding->kind) {
    case CODING_FAST:
        return fast_enc_piece(enc->fast, &coding->fast, dtype, pred, target,
                              elem_count);
    case CODING_NARROW:
        return narrow_enc_piece(enc->narrow, &coding->narrow, dtype, pred, lost,
                                target, elem_count);
    case CODING_LATTICE:
        return lattice_enc_piece(enc->lattice, &coding->lattice, dtype, pred,
                                 target, elem_count, first_elem);
    default:
        return small_enc_piece(enc->small, &coding->small, dtype, pred, lost,
                               target, elem_count, first_elem);
    }
}

void coding_enc_finish(struct coding_enc *enc, struct writer *wr)
{
    if (enc->used & 1u << CODING_FAST)
        fast_enc_finish(enc->fast, wr);
    if (enc->used & 1u << CODING_NARROW)
        narrow_enc_finish(enc->narrow, wr);
    if (enc->used & 1u << CODING_SMALL)
        small_enc_finish(enc->small, wr);
    if (enc->used & 1u << CODING_LATTICE)
        lattice_enc_finish(enc->lattice, wr);
    enc->used = 0;
}

struct coding_dec {
    const struct coding_tables *tables;
    struct fast_dec *fast;
    struct narrow_dec *narrow;
    struct small_dec *small;
    struct lattice_dec *lattice;
    unsigned used;
};

struct coding_dec *coding_dec_new(const struct coding_tables *tables)
{
    struct coding_dec *dec = calloc(1, sizeof(*dec));
    if (dec)
        dec->tables = tables;
    return dec;
}

void coding_dec_free(struct coding_dec *dec)
{
    if (!dec)
        return;
    fast_dec_free(dec->fast);
    narrow_dec_free(dec->narrow);
    small_dec_free(dec->small);
    lattice_dec_free(dec->lattice);
    free(dec);
}

static enum status dec_begin(struct coding_dec *dec, enum coding_kind kind,
                             struct reader *rd)
{
    switch (kind) {
    case CODING_FAST:
        if (!dec->fast)
            dec->fast = fast_dec_new(&dec->tables->fast);
        return dec->fast ? fast_dec_begin(dec->fast, rd) : STATUS_NO_MEMORY;
    case CODING_NARROW:
        if (!dec->narrow)
            dec->narrow = narrow_dec_new(&dec->tables->narrow);
        return dec->narrow ? narrow_dec_begin(dec->narrow, rd)
                           : STATUS_NO_MEMORY;
    case CODING_LATTICE:
        if (!dec->lattice)
            dec->lattice = lattice_dec_new();
        return dec->lattice ? lattice_dec_begin(dec->lattice, rd)
                            : STATUS_NO_MEMORY;
    default:
        if (!dec->small)
            dec->small = small_dec_new();
        return dec->small ? small_dec_begin(dec->small, rd) : STATUS_NO_MEMORY;
    }
}

enum status coding_dec_begin(struct coding_dec *dec, unsigned mask,
                             struct reader *rd)
{
    enum status status = STATUS_OK;
    dec->used = mask;
    for (unsigned kind = 0; !status && kind < CODING_KIND_COUNT; kind++)
        if (mask & 1u << kind)
            status = dec_begin(dec, (enum coding_kind)kind, rd);
    return status;
}

void coding_dec_piece(struct coding_dec *dec, const struct coding *coding,
                      enum dtype dtype, const uint8_t *pred,
                      const uint8_t *lost, uint8_t *out, uint64_t first_elem,
                      size_t elem_count)
{
    switch (coding->kind) {
    case CODING_FAST:
        fast_dec_piece(dec->fast, &coding->fast, dtype, pred, out, elem_count);
        break;
    case CODING_NARROW:
        narrow_dec_piece(dec->narrow, &coding->narrow, dtype, pred, lost, out,
                         elem_count);
        break;
    case CODING_LATTICE:
        lattice_dec_piece(dec->lattice, &coding->lattice, dtype, pred, out,
                          elem_count, first_elem);
        break;
    default:
        small_dec_piece(dec->small, &coding->small, dtype, pred, lost, out,
                        elem_count, first_elem);
        break;
    }
}

enum status coding_dec_finish(struct coding_dec *dec)
{
    enum status status = STATUS_OK;
    if (dec->used & 1u << CODING_FAST)
        status = fast_dec_finish(dec->fast);
    if (!status && dec->used & 1u << CODING_NARROW)
        status = narrow_dec_finish(dec->narrow);
    if (!status && dec->used & 1u << CODING_SMALL)
        status = small_dec_finish(dec->small);
    if (!status && dec->used & 1u << CODING_LATTICE)
        status = lattice_dec_finish(dec->lattice);
    return status;
}
