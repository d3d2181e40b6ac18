/* Variants of the loops that decode and encode whole rounds, one symbol a lane.
 * Private to rans*. */
#ifndef CODEC_ENTROPY_RANS_ROUNDS_H
#define CODEC_ENTROPY_RANS_ROUNDS_H

#include "codec/base/cpu.h"
#include "codec/entropy/rans.h"

#if CPU_X86
const uint8_t *rans_rounds_16_avx2(uint32_t *state,
                                   const struct rans_dec_table *tables,
                                   const uint16_t *ctx, uint8_t *syms,
                                   size_t round_count, const uint8_t *pos);
const uint8_t *rans_rounds_32_avx2(uint32_t *state,
                                   const struct rans_dec_table *tables,
                                   const uint16_t *ctx, uint8_t *syms,
                                   size_t round_count, const uint8_t *pos);
/* Encodes the rounds at syms backwards, writing before words. */
uint8_t *rans_encode_16_avx2(const struct rans_enc_table *tables,
                             const uint16_t *syms, size_t round_count,
                             uint8_t *words, uint32_t *state);
uint8_t *rans_encode_32_avx2(const struct rans_enc_table *tables,
                             const uint16_t *syms, size_t round_count,
                             uint8_t *words, uint32_t *state);
#endif

#endif
