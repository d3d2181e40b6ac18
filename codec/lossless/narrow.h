/* The narrow coder: lossless coding of elements of 16 and 8 bits, floats and
 * integers, as differences to a prediction or as they are, in symbols of a few
 * static rANS tables that a whole update shares. Symbols carry the sign of
 * small differences. The context of an element is the exponent of its
 * prediction (the upper byte of an integer) and, where it is known, what
 * rounding the prediction lost: the target tends to lie on that side.
 *
 * Making an update takes two passes over the tensors:
 *
 *   pass 1  for each tensor: narrow_stats_reset, narrow_stats_add in pieces,
 *           then narrow_plan_add; after the last one narrow_plan_solve, which
 *           yields the tables, and narrow_plan_coding for each tensor
 *   pass 2  for each segment: narrow_enc_begin, narrow_enc_piece for each run
 *           of elements in file order, narrow_enc_finish
 *
 * The reader gets tables and codings through the header of the update and
 * calls narrow_dec_* with the same pieces in the same order. Pieces may be
 * divided differently on the two sides as long as dtype and coding agree for
 * each element.
 *
 * pred is a run of little-endian elements of the target's dtype at any
 * alignment. lost has a byte an element, 0 .. 7: in which eighth of a step
 * below (0 .. 3) or above (4 .. 7) pred the real prediction lay before it was
 * rounded; NULL where there is none. Elements of less than 8 bits come one to
 * a byte. Every bit pattern, NaNs included, comes back unchanged.
 *
 * Byte layout: codec/FORMAT.md, "rANS tables", "Narrow rows" and "Segment coded
 * narrow". */
#ifndef CODEC_LOSSLESS_NARROW_H
#define CODEC_LOSSLESS_NARROW_H

#include "codec/base/reader.h"
#include "codec/base/status.h"
#include "codec/base/writer.h"
#include "codec/entropy/freq.h"
#include "codec/model/dtype.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define NARROW_TABLES_MAX 16u
/* Runs of exponents, without and with lost. */
#define NARROW_RUNS_MAX      16u
#define NARROW_LOST_RUNS_MAX 8u
/* Most target bytes one segment may hold for this coder. */
#define NARROW_SEGMENT_BYTES_MAX (2u << 20)
/* Most bytes of a serialised coding and of serialised tables. */
#define NARROW_CODING_BYTES_MAX 32u
#define NARROW_TABLES_BYTES_MAX 1024u

/* The tables of one update. count may be 0 when nothing is coded narrow. */
struct narrow_tables {
    unsigned count;
    struct freq_table table[NARROW_TABLES_MAX];
};

enum narrow_mode {
    NARROW_FULL = 0, /* no prediction is used */
    NARROW_DELTA = 1 /* difference to a prediction of the same dtype */
};

/* From which exponent on which tables are used, by what rounding lost: side 0
 * is less than an eighth of a step, 3 is more than three. */
struct narrow_run {
    uint8_t first_exponent;
    uint8_t table[4]; /* all equal unless the coding has lost */
};

/* How one tensor is coded. Made by narrow_plan_coding or narrow_coding_read. */
struct narrow_coding {
    uint8_t mode;      /* enum narrow_mode */
    uint8_t run_count; /* 1 .. NARROW_RUNS_MAX, 1 for NARROW_FULL */
    uint8_t has_lost;  /* lost chooses tables; else it is ignored */
    uint8_t row;       /* integers: the row of all differences, 0 .. 9 */
    uint8_t centre;    /* integers, NARROW_FULL: 1 = values around the middle */
    uint16_t scale;    /* floats, NARROW_DELTA: exponent where changes are small
                          plus 1, at most 511 */
    /* Floats: below this exponent the value is coded, not the difference: 0
     * never, 256 always (NARROW_FULL). */
    uint16_t direct_end;
    uint16_t direct_first; /* half octave of the first class of values */
    struct narrow_run run[NARROW_RUNS_MAX];
};

/* True when the coder takes elements of this dtype: those of at most 16 bits.
 */
bool narrow_dtype_ok(enum dtype dtype);

/* Bytes of an element as the coder takes it, 1 or 2. */
unsigned narrow_elem_bytes(enum dtype dtype);

void narrow_tables_write(const struct narrow_tables *tables, struct writer *wr);

/* CORRUPT: a table does not sum to its scale or padding is not zero; LIMIT: too
 * many tables; TRUNCATED. On error tables->count is 0. */
enum status narrow_tables_read(struct reader *rd, struct narrow_tables *tables)
    MUST_CHECK;

/* dtype and the count of tables are known to both sides. */
void narrow_coding_write(const struct narrow_coding *coding, enum dtype dtype,
                         struct writer *wr);

/* CORRUPT: exponents beyond 255, a table that does not exist, a field outside
 * what dtype allows, a longer form than needed; TRUNCATED. */
enum status narrow_coding_read(struct reader *rd, enum dtype dtype,
                               unsigned table_count,
                               struct narrow_coding *coding) MUST_CHECK;

/* Statistics of one tensor, about 1 MiB, made for reuse. NULL: no memory. */
struct narrow_stats *narrow_stats_new(void);
void narrow_stats_free(struct narrow_stats *stats);

/* Starts a tensor. dtype must satisfy narrow_dtype_ok. */
void narrow_stats_reset(struct narrow_stats *stats, enum dtype dtype);

/* Adds elem_count elements; pred is NULL when the tensor has none, lost when
 * nothing is known. Either all or no pieces of a tensor have one. */
void narrow_stats_add(struct narrow_stats *stats, const uint8_t *pred,
                      const uint8_t *lost, const uint8_t *target,
                      size_t elem_count);

/* Elements added, and how many differ from the prediction (all, without). */
uint64_t narrow_stats_count(const struct narrow_stats *stats);
uint64_t narrow_stats_changed(const struct narrow_stats *stats);

/* A plan keeps at most 4.4 kB a tensor, usually 1 to 2 kB. NULL: no memory. */
struct narrow_plan *narrow_plan_new(void);
void narrow_plan_free(struct narrow_plan *plan);

/* Adds the tensor in stats, which may then be reset; *index counts from 0 in
 * the order of the calls. NO_MEMORY. */
enum status narrow_plan_add(struct narrow_plan *plan,
                            const struct narrow_stats *stats, size_t *index)
    MUST_CHECK;

/* Chooses the tables and each tensor's coding. NO_MEMORY. */
enum status narrow_plan_solve(struct narrow_plan *plan,
                              struct narrow_tables *tables) MUST_CHECK;

/* The coding of a tensor after narrow_plan_solve: NARROW_DELTA, or NARROW_FULL
 * where there is no prediction or it does not help. Returns its estimated size
 * in bits, the coding's own bytes included, to compare with raw.
 * Deterministic: integer arithmetic only. */
uint64_t narrow_plan_coding(const struct narrow_plan *plan, size_t index,
                            struct narrow_coding *coding);

/* Least bits that the tensor in stats may take: what narrow_plan_add would
 * estimate with tables of its own, to compare predictions. NO_MEMORY shows as
 * UINT64_MAX. */
uint64_t narrow_plan_estimate(const struct narrow_stats *stats);

/* The encoder, allocated once for segments of up to segment_bytes_max (<=
 * NARROW_SEGMENT_BYTES_MAX) target bytes; it takes 5 times that and 150 kB.
 * tables is copied. NULL: no memory. */
struct narrow_enc *narrow_enc_new(const struct narrow_tables *tables,
                                  size_t segment_bytes_max);
void narrow_enc_free(struct narrow_enc *enc);

void narrow_enc_begin(struct narrow_enc *enc);

/* Adds elem_count elements. pred is ignored by NARROW_FULL, lost unless
 * coding->has_lost. coding must be valid for dtype and the tables. Any coding
 * codes any values, some badly. LIMIT: the segment gets longer than
 * segment_bytes_max; nothing was added. */
enum status narrow_enc_piece(struct narrow_enc *enc,
                             const struct narrow_coding *coding,
                             enum dtype dtype, const uint8_t *pred,
                             const uint8_t *lost, const uint8_t *target,
                             size_t elem_count) MUST_CHECK;

/* Writes the segment's stream, which knows its own length, and begins the next
 * segment. With no element it is one byte. At most 160 bytes plus three times
 * the target bytes; with the planned coding hardly more than these. */
void narrow_enc_finish(struct narrow_enc *enc, struct writer *wr);

/* The decoder, allocated once (about 200 kB) and reused. NULL: no memory. */
struct narrow_dec *narrow_dec_new(const struct narrow_tables *tables);
void narrow_dec_free(struct narrow_dec *dec);

/* Streams begun from now on are decoded in plain C whatever the processor can
 * do. The elements are the same; for comparisons. */
void narrow_dec_plain(struct narrow_dec *dec);

/* Starts the stream at rd, which is left just past it; its bytes are borrowed
 * until narrow_dec_finish. TRUNCATED, CORRUPT. */
enum status narrow_dec_begin(struct narrow_dec *dec, struct reader *rd)
    MUST_CHECK;

/* Decodes the next elem_count elements. pred is ignored by NARROW_FULL, lost
 * unless coding->has_lost (then each byte must be 0 .. 7); out may be pred
 * itself (in place) but not overlap it otherwise. A stream that ends early
 * yields defined nonsense, which narrow_dec_finish reports. */
void narrow_dec_piece(struct narrow_dec *dec,
                      const struct narrow_coding *coding, enum dtype dtype,
                      const uint8_t *pred, const uint8_t *lost, uint8_t *out,
                      size_t elem_count);

/* TRUNCATED: more was asked for than the stream holds; CORRUPT: less, or the
 * final states are wrong. Only OK says that the elements are what was coded,
 * up to damage that a hash must find. */
enum status narrow_dec_finish(struct narrow_dec *dec) MUST_CHECK;

#endif
