/* Reads the integers of tensors out of the codeword of a data unit.
 *
 *     levels_dec_begin(dec, payload);
 *     qp = levels_dec_qp(dec, 6 + density);        ... not of integer tensors
 *     levels_dec_tensor(dec, &coding, levels);     ... both once a tensor
 *     levels_dec_finish(dec);
 *
 * Ref: ISO/IEC 15938-17:2024, tensor syntax. */
#ifndef CODEC_NNC_LEVELS_DEC_H
#define CODEC_NNC_LEVELS_DEC_H

#include "codec/base/bytes.h"
#include "codec/base/status.h"
#include "codec/nnc/level_coding.h"

struct levels_dec;

/* NO_MEMORY. Some 50 KiB, and a byte for each row of the tallest tensor whose
 * rows may be skipped. */
enum status levels_dec_new(struct levels_dec **dec) MUST_CHECK;
void levels_dec_free(struct levels_dec *dec);

/* Starts on a codeword, borrowed until levels_dec_finish. */
void levels_dec_begin(struct levels_dec *dec, struct bytes payload);

/* A two's complement number of `bits` bins without context, 1 .. 31. */
int32_t levels_dec_qp(struct levels_dec *dec, unsigned bits);

/* One tensor.
 *
 * coding  what the header says; coding->temporal and coding->history have
 *         elem_count entries where they are not NULL
 * levels  out, elem_count of them in row-major order
 *
 * STATUS_TRUNCATED  the codeword ended well before the tensor
 * STATUS_CORRUPT    a level of more than 32 bits, a codebook index out of the
 *                   codebook
 * STATUS_NO_MEMORY  for the flags of skipped rows
 * On error levels are unspecified. Time follows elem_count, which the caller
 * has limited. */
enum status levels_dec_tensor(struct levels_dec *dec,
                              const struct level_coding *coding,
                              int32_t *levels) MUST_CHECK;

/* The same by the plain path alone, bit-exact: what the faster ones are tested
 * against. */
enum status levels_dec_tensor_plain(struct levels_dec *dec,
                                    const struct level_coding *coding,
                                    int32_t *levels) MUST_CHECK;

/* As cabac_dec_finish: the codeword must end where its bytes do. */
enum status levels_dec_finish(struct levels_dec *dec) MUST_CHECK;

#endif
