/* The fast lossless coder of floats and of integers of 32 and 64 bits: integer
 * differences to a base given the exponent of the base, or the values
 * themselves, in classes coded by a few static rANS tables that a whole update
 * shares. Floats that change more in one place than in another have a shift for
 * each block of FAST_SHIFT_BLOCK elements.
 *
 * Making an update takes two passes over the tensors:
 *
 *   pass 1  for each tensor: fast_stats_reset, fast_stats_add in pieces, then
 *           fast_plan_add; after the last one fast_plan_solve, which yields the
 *           tables, and fast_plan_coding for each tensor
 *   pass 2  for each segment: fast_enc_begin, fast_enc_piece for each run of
 *           elements in file order, fast_enc_finish
 *
 * The reader gets tables and codings through the header of the update and
 * calls fast_dec_* with the same pieces in the same order. A piece may be given
 * in parts, divided differently on the two sides, if each part but the last has
 * a multiple of FAST_SHIFT_BLOCK elements.
 *
 * Elements are little-endian runs at any alignment. Every bit pattern, NaNs
 * included, comes back unchanged.
 *
 * Byte layout: codec/FORMAT.md, "rANS tables", "Classes" and "Segment coded
 * fast". */
#ifndef CODEC_LOSSLESS_FAST_H
#define CODEC_LOSSLESS_FAST_H

#include "codec/base/reader.h"
#include "codec/base/status.h"
#include "codec/base/writer.h"
#include "codec/entropy/freq.h"
#include "codec/model/dtype.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FAST_TABLES_MAX 16u
#define FAST_RUNS_MAX   16u
/* Elements that share a shift, counted from the first one of a piece. */
#define FAST_SHIFT_BLOCK 128u
/* Most target bytes one segment may hold for this coder. */
#define FAST_SEGMENT_BYTES_MAX (2u << 20)
/* Most bytes of a serialised coding and of serialised tables. */
#define FAST_CODING_BYTES_MAX 32u
#define FAST_TABLES_BYTES_MAX 1024u

/* The tables of one update. count may be 0 when no tensor is coded fast. */
struct fast_tables {
    unsigned count;
    struct freq_table table[FAST_TABLES_MAX];
};

enum fast_mode {
    FAST_FULL = 0, /* no base is used */
    FAST_DELTA = 1 /* difference to a base of the same dtype */
};

/* From which base exponent on which table is used. */
struct fast_run {
    uint8_t first_exponent;
    uint8_t table;
};

/* How one tensor is coded. Made by fast_plan_coding or fast_coding_read. */
struct fast_coding {
    uint8_t mode; /* enum fast_mode */
    /* 1 .. FAST_RUNS_MAX; 1 for FAST_FULL and for integers */
    uint8_t run_count;
    uint8_t shifted;     /* 1: blocks have shifts; FAST_DELTA of floats only */
    uint8_t shift_table; /* that codes them; 0 without */
    /* Size of the changes in half octaves; 0 for FAST_FULL of floats. */
    uint16_t scale;
    /* Below this base exponent the value is coded, not the difference: 0 never
     * (integers), 256 always (FAST_FULL of floats). */
    uint16_t direct_end;
    uint16_t direct_first; /* half octave of the first class of values */
    struct fast_run run[FAST_RUNS_MAX];
};

/* True when the coder takes elements of this dtype: F64 F32 I64 U64 I32 U32. */
bool fast_dtype_ok(enum dtype dtype);

void fast_tables_write(const struct fast_tables *tables, struct writer *wr);

/* CORRUPT: a table does not sum to its scale or padding is not zero; LIMIT: too
 * many tables; TRUNCATED. On error tables->count is 0. */
enum status fast_tables_read(struct reader *rd, struct fast_tables *tables)
    MUST_CHECK;

/* dtype and the count of tables are known to both sides. */
void fast_coding_write(const struct fast_coding *coding, struct writer *wr);

/* CORRUPT: exponents not rising, a table that does not exist, a field outside
 * what dtype allows; TRUNCATED. */
enum status fast_coding_read(struct reader *rd, enum dtype dtype,
                             unsigned table_count, struct fast_coding *coding)
    MUST_CHECK;

/* Statistics of one tensor, about 1.6 MiB, made for reuse. NULL: no memory. */
struct fast_stats *fast_stats_new(void);
void fast_stats_free(struct fast_stats *stats);

/* Counts in plain C from now on whatever the processor can do; the counts are
 * the same. For comparisons. */
void fast_stats_plain(struct fast_stats *stats);

/* Starts a tensor. dtype must satisfy fast_dtype_ok. */
void fast_stats_reset(struct fast_stats *stats, enum dtype dtype);

/* Adds elem_count elements; base is NULL when the tensor has none. Either all
 * or no pieces of a tensor have a base. */
void fast_stats_add(struct fast_stats *stats, const uint8_t *base,
                    const uint8_t *target, size_t elem_count);

/* Elements added, and how many differ from the base (all, without a base). */
uint64_t fast_stats_count(const struct fast_stats *stats);
uint64_t fast_stats_changed(const struct fast_stats *stats);

/* A plan keeps at most 2.3 kB a tensor, usually 1 kB. NULL: no memory. */
struct fast_plan *fast_plan_new(void);
void fast_plan_free(struct fast_plan *plan);

/* Adds the tensor in stats, which may then be reset; *index counts from 0 in
 * the order of the calls. NO_MEMORY. */
enum status fast_plan_add(struct fast_plan *plan,
                          const struct fast_stats *stats, size_t *index)
    MUST_CHECK;

/* About the bits that the tensor in stats takes with tables of its own, to
 * compare predictions. NO_MEMORY shows as UINT64_MAX. */
uint64_t fast_plan_estimate(const struct fast_stats *stats);

/* Chooses the tables and each tensor's coding. NO_MEMORY. */
enum status fast_plan_solve(struct fast_plan *plan, struct fast_tables *tables)
    MUST_CHECK;

/* The coding of a tensor after fast_plan_solve: FAST_DELTA, or FAST_FULL where
 * there is no base or it does not help. Returns its estimated size in bits,
 * the coding's own bytes included, to compare with raw. Deterministic: integer
 * arithmetic only. */
uint64_t fast_plan_coding(const struct fast_plan *plan, size_t index,
                          struct fast_coding *coding);

/* The encoder, allocated once for segments of up to segment_bytes_max (<=
 * FAST_SEGMENT_BYTES_MAX) target bytes; it takes 3 times that and 80 kB. tables
 * is copied. NULL: no memory. */
struct fast_enc *fast_enc_new(const struct fast_tables *tables,
                              size_t segment_bytes_max);
void fast_enc_free(struct fast_enc *enc);

/* Encodes in plain C from now on whatever the processor can do. The bytes are
 * the same; for comparisons. */
void fast_enc_plain(struct fast_enc *enc);

void fast_enc_begin(struct fast_enc *enc);

/* Adds elem_count elements. base is ignored by FAST_FULL. coding must be valid
 * for dtype and the tables. Any coding codes any values, some badly.
 * LIMIT: the segment gets longer than segment_bytes_max; nothing was added. */
enum status fast_enc_piece(struct fast_enc *enc,
                           const struct fast_coding *coding, enum dtype dtype,
                           const uint8_t *base, const uint8_t *target,
                           size_t elem_count) MUST_CHECK;

/* Writes the segment's stream, which knows its own length, and begins the next
 * segment. With no element it is one byte. At most 176 bytes plus twice the
 * target bytes; with the planned coding hardly more than these. */
void fast_enc_finish(struct fast_enc *enc, struct writer *wr);

/* The decoder, allocated once (about 200 kB) and reused. NULL: no memory. */
struct fast_dec *fast_dec_new(const struct fast_tables *tables);
void fast_dec_free(struct fast_dec *dec);

/* Streams begun from now on are decoded in plain C whatever the processor can
 * do. Elements and errors are the same; for comparisons. */
void fast_dec_plain(struct fast_dec *dec);

/* Starts the stream at rd, which is left just past it; its bytes are borrowed
 * until fast_dec_finish. TRUNCATED, CORRUPT. */
enum status fast_dec_begin(struct fast_dec *dec, struct reader *rd) MUST_CHECK;

/* Decodes the next elem_count elements. base is ignored by FAST_FULL; out may
 * be base itself (in place) but not overlap it otherwise. A stream that ends
 * early yields defined nonsense, which fast_dec_finish reports. */
void fast_dec_piece(struct fast_dec *dec, const struct fast_coding *coding,
                    enum dtype dtype, const uint8_t *base, uint8_t *out,
                    size_t elem_count);

/* TRUNCATED: more was asked for than the stream holds; CORRUPT: less, or the
 * final states are wrong. Only OK says that the elements are what was coded,
 * up to damage that a hash must find. */
enum status fast_dec_finish(struct fast_dec *dec) MUST_CHECK;

#endif
