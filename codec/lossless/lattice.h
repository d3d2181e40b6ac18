/* The lattice coder: elements that lie whole steps away from their prediction,
 * as those of quantised versions do. It codes the integers, *levels*, each bit
 * by what several adaptive models say of it: zero or not, sign, how often
 * greater, a remainder. With guesses these are of what the level differs by
 * from what was to be expected of its neighbours and its prediction. Where few
 * levels are not zero, blocks that have none are skipped. Elements that lie
 * elsewhere, if there are any, have a residual: the distance from the nearest
 * point of the lattice.
 *
 * At 6 (nearly all large) to 120 (nearly all zero) million elements a second,
 * with guesses at 3 to 65. Types f64 f32 f16 bf16.
 *
 * A piece is what one record has in one segment. It may come in stretches, one
 * call each, of which all but the last have a multiple of LATTICE_STRETCH
 * elements. Models start anew with each segment. Elements are little-endian
 * runs at any alignment; with residuals every bit pattern comes back unchanged.
 *
 * Byte layout: codec/FORMAT.md, "Lattices". */
#ifndef CODEC_LOSSLESS_LATTICE_H
#define CODEC_LOSSLESS_LATTICE_H

#include "codec/base/reader.h"
#include "codec/base/status.h"
#include "codec/base/writer.h"
#include "codec/lossless/lattice_step.h"
#include "codec/model/dtype.h"

/* Most target bytes one segment may hold for this coder. */
#define LATTICE_SEGMENT_BYTES_MAX (2u << 20)
#define LATTICE_CODING_BYTES_MAX  16u
/* Rows longer than this are not looked up. */
#define LATTICE_COLUMNS_MAX 8192u
#define LATTICE_STRETCH     8192u

/* How one tensor is coded. */
struct lattice_coding {
    bool has_pred;     /* false: levels count from 0 */
    bool has_residual; /* elements need not lie on the lattice */
    bool guessed;      /* levels are guessed: from version 4 of updates on;
                          not among the coding's bits */
    uint8_t density;   /* the least that names the step */
    int16_t qp;        /* lattice_step_ok */
    uint32_t columns;  /* elements a row: 2 .. LATTICE_COLUMNS_MAX, or 0: no
                          matrix */
};

/* True for the types that the coder takes. */
bool lattice_dtype_ok(enum dtype dtype);

/* The same step with the least density. */
void lattice_reduce(struct lattice_coding *coding);

void lattice_coding_write(const struct lattice_coding *coding,
                          struct writer *wr);

/* CORRUPT: a field out of its range, a step that a smaller density names, bits
 * among the padding; TRUNCATED. On error the coding is zero. */
enum status lattice_coding_read(struct reader *rd,
                                struct lattice_coding *coding) MUST_CHECK;

/* The points of the lattice at count levels. pred: NULL without has_pred; out
 * may be pred itself. Where a point would not be finite it is the prediction.
 */
void lattice_points(const struct lattice_coding *coding, enum dtype dtype,
                    const uint8_t *pred, const int32_t *levels, size_t count,
                    uint8_t *out);

/* An element as a number; an infinity of 16 bits as a NaN. */
double lattice_value(enum dtype dtype, uint64_t bits);

/* True when target is the point at its nearest level. */
bool lattice_is_point(enum dtype dtype, uint64_t pred, uint64_t target, int qp,
                      unsigned density);

/* The levels nearest to count targets, and how many of these are not the points
 * there. residuals: NULL, or out: distances of the targets from the points, in
 * steps of ordered numbers, modulo 2^width. */
size_t lattice_levels(const struct lattice_coding *coding, enum dtype dtype,
                      const uint8_t *pred, const uint8_t *target, size_t count,
                      int32_t *levels, int64_t *residuals);

/* Statistics of one tensor, about 400 kB, made for reuse. NULL: no memory. */
struct lattice_stats *lattice_stats_new(void);
void lattice_stats_free(struct lattice_stats *stats);

/* Starts a tensor; lattice_dtype_ok. columns: elements a row, or 0. */
void lattice_stats_reset(struct lattice_stats *stats, enum dtype dtype,
                         uint64_t columns);

/* Takes some of the elements that are not as predicted into a sample: a few of
 * each call, so that it takes no time. pred: NULL, or given in all calls. */
void lattice_stats_sample(struct lattice_stats *stats, const uint8_t *pred,
                          const uint8_t *target, size_t elem_count);

/* Whether the sample lies on a lattice, but for a few: the coarsest whose step
 * is 2^k, or 3, 5 or 7 times that. Only where steps are wider than numbers lie
 * apart: elsewhere all is on a lattice. coding: out, without residuals. */
bool lattice_detect(const struct lattice_stats *stats,
                    struct lattice_coding *coding);

/* Measures by this coding from now on, of which step and has_pred matter. */
void lattice_stats_begin(struct lattice_stats *stats,
                         const struct lattice_coding *coding);

/* Goes on with another tensor as in the same segment: models stay as they are,
 * bits add up. */
void lattice_stats_next(struct lattice_stats *stats, enum dtype dtype,
                        uint64_t columns, const struct lattice_coding *coding);

/* Adds elements, in order, pieces as for the encoder. */
void lattice_stats_add(struct lattice_stats *stats, const uint8_t *pred,
                       const uint8_t *target, size_t elem_count);

/* The coding of what was added, guessed, and about its bits, the coding's own
 * included.
 * Deterministic: integer arithmetic only. */
uint64_t lattice_plan(const struct lattice_stats *stats,
                      struct lattice_coding *coding);

/* The encoder, allocated once for segments of up to segment_bytes_max (<=
 * LATTICE_SEGMENT_BYTES_MAX) target bytes; about 400 kB and what the coded
 * segment takes. NULL: no memory. */
struct lattice_enc *lattice_enc_new(size_t segment_bytes_max);
void lattice_enc_free(struct lattice_enc *enc);

void lattice_enc_begin(struct lattice_enc *enc);

/* Adds elem_count elements. Without has_residual each must be the point at its
 * nearest level. first_elem: the index of the first within its record.
 * LIMIT: the segment gets longer than segment_bytes_max; nothing was added. */
enum status lattice_enc_piece(struct lattice_enc *enc,
                              const struct lattice_coding *coding,
                              enum dtype dtype, const uint8_t *pred,
                              const uint8_t *target, size_t elem_count,
                              uint64_t first_elem) MUST_CHECK;

/* Writes the segment's stream and begins the next segment. */
void lattice_enc_finish(struct lattice_enc *enc, struct writer *wr);

/* The decoder, allocated once and reused. NULL: no memory. */
struct lattice_dec *lattice_dec_new(void);
void lattice_dec_free(struct lattice_dec *dec);

/* Starts the stream at rd, which is left just past it; its bytes are borrowed
 * until lattice_dec_finish. TRUNCATED, CORRUPT. */
enum status lattice_dec_begin(struct lattice_dec *dec, struct reader *rd)
    MUST_CHECK;

/* Decodes the next elements, as they were given to the encoder. out may be pred
 * itself but not overlap it otherwise. A stream that ends early yields defined
 * nonsense, which lattice_dec_finish reports. */
void lattice_dec_piece(struct lattice_dec *dec,
                       const struct lattice_coding *coding, enum dtype dtype,
                       const uint8_t *pred, uint8_t *out, size_t elem_count,
                       uint64_t first_elem);

/* TRUNCATED: more was asked for than the stream holds; CORRUPT: less. */
enum status lattice_dec_finish(struct lattice_dec *dec) MUST_CHECK;

/* A factor set (codec/lossless/factors.h) as levels over nothing, a matrix of
 * rank columns: about a seventh smaller than with static tables, where time is
 * no question. guessed: as in codings. Shape as there, and ok. NO_MEMORY, or
 * what the writer says. */
enum status lattice_factors_write(bool guessed, unsigned rank, uint64_t rows,
                                  uint32_t columns, const int16_t *u,
                                  const int16_t *v, struct writer *wr)
    MUST_CHECK;

/* Reads a set, which knows its own length; rd is left just past it. TRUNCATED,
 * CORRUPT: u and v are then unspecified; NO_MEMORY: about 350 kB. Work is
 * proportional to the count of factors, but for some 50 us. */
enum status lattice_factors_read(struct reader *rd, bool guessed, unsigned rank,
                                 uint64_t rows, uint32_t columns, int16_t *u,
                                 int16_t *v) MUST_CHECK;

#endif
