/* Interleaved static rANS: symbols of 32-entry tables chosen by context, coded
 * by 1, 4, 16 or 32 states of 32 bits in turn over one stream of 16-bit words.
 *
 * Symbol i of a stream belongs to lane i modulo the number of lanes. A state x
 * lies in 2^16 .. 2^32 - 1 and starts, in the order of decoding, wherever the
 * encoder left it; it must end at 2^16. The encoder works backwards.
 *
 * Ref: Duda, arXiv:1311.2540; Giesen, arXiv:1402.3392 (interleaving). Byte
 * layout in codec/FORMAT.md, "rANS tables" and "Segment coded fast". */
#ifndef CODEC_ENTROPY_RANS_H
#define CODEC_ENTROPY_RANS_H

#include "codec/base/status.h"
#include "codec/entropy/freq.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RANS_LANES_MAX  32u
#define RANS_STATE_MIN  ((uint32_t)1 << 16)
#define RANS_LANE_CODES 4u
/* A context carries its table in bits 12 and up; the rest is the caller's. */
#define RANS_TABLE_SHIFT 12u
/* Most symbols of one call of rans_dec_syms. */
#define RANS_BLOCK_MAX 2048u

/* 1, 4, 16, 32 for codes 0 .. 3. */
unsigned rans_lane_count(unsigned lane_code);

struct rans_enc_sym {
    uint64_t reciprocal; /* ceil(2^43 / freq) */
    uint16_t freq;
    uint16_t cum_freq;
    uint32_t quick; /* floor((2^32 - 1) / freq) */
};

struct rans_enc_table {
    struct rans_enc_sym sym[FREQ_SYMS];
};

void rans_enc_table_init(struct rans_enc_table *table,
                         const struct freq_table *freq);

/* Encodes sym_count symbols, each table << 5 | symbol with a frequency that is
 * not zero, and writes the words backwards, ending at words_end. There must be
 * room for sym_count + 1 words before it. Returns the first word; state gets
 * one state per lane for the head of the stream. */
uint8_t *rans_encode(const struct rans_enc_table *tables, const uint16_t *syms,
                     size_t sym_count, unsigned lane_count, uint8_t *words_end,
                     uint32_t state[RANS_LANES_MAX]);

/* The same bytes in plain C whatever the processor can do; for comparisons. */
uint8_t *rans_encode_plain(const struct rans_enc_table *tables,
                           const uint16_t *syms, size_t sym_count,
                           unsigned lane_count, uint8_t *words_end,
                           uint32_t state[RANS_LANES_MAX]);

/* For each slot: 5 bits symbol << 23, 12 bits frequency << 11, 11 bits slot
 * less the symbol's first slot. */
struct rans_dec_table {
    uint32_t slot[FREQ_SCALE];
};

void rans_dec_table_init(struct rans_dec_table *table,
                         const struct freq_table *freq);

/* Decodes round_count symbols of every lane; pos is the next word and there
 * are words for all of them. Returns the word after those used. */
typedef const uint8_t *(*rans_rounds)(uint32_t *state,
                                      const struct rans_dec_table *tables,
                                      const uint16_t *ctx, uint8_t *syms,
                                      size_t round_count, const uint8_t *pos);

/* Words are borrowed until the last one was used. Past the end the decoder
 * feeds itself zeros and notes it in over. */
struct rans_dec {
    rans_rounds rounds; /* as good as the processor allows */
    uint32_t state[RANS_LANES_MAX];
    unsigned lane_count;
    unsigned lane; /* of the next symbol */
    const uint8_t *pos;
    const uint8_t *end;
    bool over;
    bool in_tail; /* pos and end are in tail */
    uint8_t tail[2 * RANS_BLOCK_MAX * 2];
};

/* state is the head of the stream, 32 bits a lane, little-endian; CORRUPT when
 * one is below RANS_STATE_MIN. word_count words follow at words. */
enum status rans_dec_begin(struct rans_dec *dec, unsigned lane_code,
                           const uint8_t *state, const uint8_t *words,
                           size_t word_count) MUST_CHECK;

/* After rans_dec_begin: decode in plain C whatever the processor can do. The
 * symbols are the same; for comparisons. */
void rans_dec_plain(struct rans_dec *dec);

/* Decodes sym_count <= RANS_BLOCK_MAX symbols with the tables that ctx names;
 * each named table must exist. Work is proportional to sym_count whatever the
 * stream holds. */
void rans_dec_syms(struct rans_dec *dec, const struct rans_dec_table *tables,
                   const uint16_t *ctx, uint8_t *syms, size_t sym_count);

/* TRUNCATED: words were missing; CORRUPT: words are left over or a final state
 * is not RANS_STATE_MIN. */
enum status rans_dec_finish(const struct rans_dec *dec) MUST_CHECK;

#endif
