/* The lossless coders behind one face: which of them codes a record, with which
 * parameters, and the streams they leave in a segment.
 *
 *   fast    elements of 32 and 64 bits, static tables    codec/lossless/fast.h
 *   narrow  elements of 8 and 16 bits, static tables codec/lossless/narrow.h
 *   small   elements of any width, adaptive models       codec/lossless/small.h
 *   lattice floats whole steps from a prediction       codec/lossless/lattice.h
 *
 * All code a run of target elements given their prediction, or without one.
 * Pieces must be the same runs on both sides.
 *
 * Byte layout: codec/FORMAT.md, "Classes", "Narrow rows", "Segment coded
 * small", "Lattices" and "Segments". */
#ifndef CODEC_LOSSLESS_CODING_H
#define CODEC_LOSSLESS_CODING_H

#include "codec/base/reader.h"
#include "codec/base/writer.h"
#include "codec/lossless/fast.h"
#include "codec/lossless/lattice.h"
#include "codec/lossless/narrow.h"
#include "codec/lossless/small.h"

/* Values are part of the format. */
enum coding_kind {
    CODING_FAST = 0,
    CODING_NARROW = 1,
    CODING_SMALL = 2,
    CODING_LATTICE = 3,
    CODING_KIND_COUNT
};

/* Most bytes of a serialised coding of any kind. */
#define CODING_BYTES_MAX 64u
/* Most elements of one piece: larger runs are cut into pieces of this size,
 * counted from the run's first element, and a rest. */
#define CODING_PIECE_MAX 8192u

/* How one record is coded. */
struct coding {
    enum coding_kind kind;
    union {
        struct fast_coding fast;
        struct narrow_coding narrow;
        struct small_coding small;
        struct lattice_coding lattice;
    };
};

/* What the codings of one update share. */
struct coding_tables {
    struct fast_tables fast;
    struct narrow_tables narrow;
};

/* The coder with static tables for this dtype. False for dtypes that travel as
 * bytes: elements of 6 bits, and pairs of numbers. */
bool coding_kind_of(enum dtype dtype, enum coding_kind *kind);

/* False: the values are coded without looking at a prediction. */
bool coding_has_base(const struct coding *coding);

/* True: what rounding the prediction lost must be given. */
bool coding_needs_lost(const struct coding *coding);

void coding_tables_write(const struct coding_tables *tables, struct writer *wr);

/* CORRUPT, LIMIT, TRUNCATED as the coders say. */
enum status coding_tables_read(struct reader *rd, struct coding_tables *tables)
    MUST_CHECK;

/* The parameters; kind and dtype are known to both sides. */
void coding_write(const struct coding *coding, enum dtype dtype,
                  struct writer *wr);

/* kind must be one that codes dtype, else CORRUPT. */
enum status coding_read(struct reader *rd, enum coding_kind kind,
                        enum dtype dtype, const struct coding_tables *tables,
                        struct coding *coding) MUST_CHECK;

/* All encoders of one segment, made as they are needed. */
struct coding_enc;

/* tables is borrowed. NULL: no memory. */
struct coding_enc *coding_enc_new(const struct coding_tables *tables,
                                  size_t segment_bytes_max);
void coding_enc_free(struct coding_enc *enc);

/* Starts a segment. */
void coding_enc_begin(struct coding_enc *enc);

/* Adds a piece. Elements of 4 bits must have been spread, and are then U8:
 * codec/lossless/packed.h.
 *
 * pred        elem_count predictions; NULL exactly when the coding has no base
 * lost        what rounding them lost, or NULL unless coding_needs_lost
 * first_elem  index of the piece's first element in its record
 *
 * LIMIT: more than segment_bytes_max; NO_MEMORY */
enum status coding_enc_piece(struct coding_enc *enc,
                             const struct coding *coding, enum dtype dtype,
                             const uint8_t *pred, const uint8_t *lost,
                             const uint8_t *target, uint64_t first_elem,
                             size_t elem_count) MUST_CHECK;

/* Writes the streams of the coders that got pieces, in the order of their
 * kinds. */
void coding_enc_finish(struct coding_enc *enc, struct writer *wr);

/* All decoders of one segment, made as they are needed. */
struct coding_dec;

/* tables is borrowed. NULL: no memory. */
struct coding_dec *coding_dec_new(const struct coding_tables *tables);
void coding_dec_free(struct coding_dec *dec);

/* Starts a segment in which the coders of the kinds in mask (1 << kind) have
 * pieces: reads their streams' heads and leaves rd just past them. The bytes
 * are borrowed until coding_dec_finish. TRUNCATED, CORRUPT, NO_MEMORY. */
enum status coding_dec_begin(struct coding_dec *dec, unsigned mask,
                             struct reader *rd) MUST_CHECK;

/* Decodes a piece whose kind is in the mask: pred and lost as when it was
 * encoded. out may be pred itself. */
void coding_dec_piece(struct coding_dec *dec, const struct coding *coding,
                      enum dtype dtype, const uint8_t *pred,
                      const uint8_t *lost, uint8_t *out, uint64_t first_elem,
                      size_t elem_count);

/* TRUNCATED or CORRUPT when a stream held less or more than was asked for. */
enum status coding_dec_finish(struct coding_dec *dec) MUST_CHECK;

#endif
