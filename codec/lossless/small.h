/* The small lossless coder of tensors: differences to a prediction, or the
 * values themselves, bit by bit in adaptive models that begin with what the
 * expected size says. Where few elements change, or they have 8 bits, opinions
 * of several models are mixed.
 * Best ratio, at about 25 million elements a second; every element width.
 *
 * Making an update takes two passes over the tensors:
 *
 *   pass 1  for each tensor: small_stats_reset, small_stats_add in pieces, then
 *           small_plan, which yields its coding and an estimate
 *   pass 2  for each segment: small_enc_begin, small_enc_piece for each run of
 *           elements in file order, small_enc_finish
 *
 * The reader gets the codings through the header of the update and calls
 * small_dec_* with the same elements in the same order. A piece is what one
 * tensor has in one segment. It may come in stretches, one call each, of which
 * the first has SMALL_COLUMNS_MAX elements at least, or all. Models start anew
 * with each segment; nothing is shared by the update but the codings.
 *
 * Elements are little-endian runs at any alignment. Every bit pattern, NaNs
 * included, comes back unchanged.
 *
 * Byte layout: codec/FORMAT.md, "Segment coded small". */
#ifndef CODEC_LOSSLESS_SMALL_H
#define CODEC_LOSSLESS_SMALL_H

#include "codec/base/reader.h"
#include "codec/base/status.h"
#include "codec/base/writer.h"
#include "codec/model/dtype.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Most target bytes one segment may hold for this coder. */
#define SMALL_SEGMENT_BYTES_MAX (2u << 20)
/* Most bytes of a serialised coding. */
#define SMALL_CODING_BYTES_MAX 16u
/* Rows longer than this are not looked up. */
#define SMALL_COLUMNS_MAX 8192u
#define SMALL_SCALE_MAX   1023u

enum small_mode {
    SMALL_FULL = 0, /* no prediction is used */
    SMALL_DELTA = 1 /* difference to a prediction of the same dtype */
};

/* How one tensor is coded. Made by small_plan or small_coding_read. */
struct small_coding {
    uint8_t mode;   /* enum small_mode */
    uint8_t sparse; /* 1: whether an element changes is coded first, always */
    uint16_t scale; /* size of the changes, half octaves; at most
                       SMALL_SCALE_MAX */
    /* Below this exponent of the prediction the value is coded, not the
     * difference: 0 never, 256 always (floats of SMALL_FULL). Integers: 0. */
    uint16_t direct_end;
    uint16_t direct_top; /* highest usual exponent field of values; 0 unless
                            direct_end > 0 */
    uint32_t columns;    /* elements a row: 0 unknown, or at most
                            SMALL_COLUMNS_MAX */
};

/* True when the coder takes elements of this dtype: all whose elements have 8,
 * 16, 32 or 64 bits, but C64. */
bool small_dtype_ok(enum dtype dtype);

/* dtype is known to both sides; the coding must be valid for it. */
void small_coding_write(const struct small_coding *coding, enum dtype dtype,
                        struct writer *wr);

/* CORRUPT: a field outside what dtype allows, or bits among the padding;
 * TRUNCATED. On error the coding is zero. */
enum status small_coding_read(struct reader *rd, enum dtype dtype,
                              struct small_coding *coding) MUST_CHECK;

/* Statistics of one tensor, about 0.6 MiB, made for reuse. NULL: no memory. */
struct small_stats *small_stats_new(void);
void small_stats_free(struct small_stats *stats);

/* Starts a tensor. dtype must satisfy small_dtype_ok. columns: the elements of
 * a row (the product of all dimensions but the first), 0 if there are none. */
void small_stats_reset(struct small_stats *stats, enum dtype dtype,
                       uint64_t columns);

/* Adds elem_count elements. pred is NULL when the tensor has no prediction,
 * lost when nothing is known of it; either all or no pieces have one. */
void small_stats_add(struct small_stats *stats, const uint8_t *pred,
                     const uint8_t *lost, const uint8_t *target,
                     size_t elem_count);

/* Elements added, and how many differ from the prediction (all, without one).
 */
uint64_t small_stats_count(const struct small_stats *stats);
uint64_t small_stats_changed(const struct small_stats *stats);

/* The coding of the tensor in stats: SMALL_DELTA, or SMALL_FULL where there is
 * no prediction or it does not help. Returns the estimated size in bits, the
 * coding's own bytes included. Deterministic: integer arithmetic only. */
uint64_t small_plan(const struct small_stats *stats,
                    struct small_coding *coding);

/* The encoder, allocated once for segments of up to segment_bytes_max (<=
 * SMALL_SEGMENT_BYTES_MAX) target bytes; about 220 kB and what the coded
 * segment takes. NULL: no memory. */
struct small_enc *small_enc_new(size_t segment_bytes_max);
void small_enc_free(struct small_enc *enc);

void small_enc_begin(struct small_enc *enc);

/* Adds elem_count elements. pred and lost are ignored by SMALL_FULL; lost may
 * be NULL, else it holds 0 .. 7 for each element. first_elem: the index of the
 * first element within its tensor. coding must be valid for dtype. Any coding
 * codes any values, some badly.
 * LIMIT: the segment gets longer than segment_bytes_max; nothing was added. */
enum status small_enc_piece(struct small_enc *enc,
                            const struct small_coding *coding, enum dtype dtype,
                            const uint8_t *pred, const uint8_t *lost,
                            const uint8_t *target, size_t elem_count,
                            uint64_t first_elem) MUST_CHECK;

/* Writes the segment's stream, which knows its own length, and begins the next
 * segment. With no element it is one byte. wr fails with NO_MEMORY if there was
 * not enough for the coded bytes. */
void small_enc_finish(struct small_enc *enc, struct writer *wr);

/* The decoder, allocated once (about 220 kB) and reused. NULL: no memory. */
struct small_dec *small_dec_new(void);
void small_dec_free(struct small_dec *dec);

/* Starts the stream at rd, which is left just past it; its bytes are borrowed
 * until small_dec_finish. TRUNCATED, CORRUPT. */
enum status small_dec_begin(struct small_dec *dec, struct reader *rd)
    MUST_CHECK;

/* Decodes the next piece, as it was given to the encoder. out may be pred
 * itself (in place) but not overlap it otherwise. A stream that ends early
 * yields defined nonsense, which small_dec_finish reports. */
void small_dec_piece(struct small_dec *dec, const struct small_coding *coding,
                     enum dtype dtype, const uint8_t *pred, const uint8_t *lost,
                     uint8_t *out, size_t elem_count, uint64_t first_elem);

/* TRUNCATED: more was asked for than the stream holds; CORRUPT: less. Only OK
 * says that the elements are what was coded, up to damage that a hash must
 * find. */
enum status small_dec_finish(struct small_dec *dec) MUST_CHECK;

#endif
