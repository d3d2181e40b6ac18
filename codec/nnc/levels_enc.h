/* Encodes the integers of one tensor: flags, the list of parameter sets, rows
 * that are skipped, elements. What is chosen comes from levels_search, or from
 * whoever wants something else.
 *
 * Ref: ISO/IEC 15938-17:2024, tensor syntax. */
#ifndef CODEC_NNC_LEVELS_ENC_H
#define CODEC_NNC_LEVELS_ENC_H

#include "codec/base/status.h"
#include "codec/entropy/cabac_enc.h"
#include "codec/nnc/ctx_select.h"
#include "codec/nnc/level_order.h"

#include <stdbool.h>
#include <stdint.h>

/* What the encoder is free to choose within one struct level_coding. */
struct levels_choice {
    bool row_skip; /* needs level_order.row_flags, and skips with dq */
    bool history;  /* the same, and has_parent and history */
    /* Parameter set 0 .. 8 of each context. Sets of contexts that are not in
     * the list, or have no flag there, must be 0. */
    uint8_t sets[CTX_COUNT_MAX];
};

/* Where a row of blocks begins. */
struct levels_entry {
    uint64_t shifts;   /* cabac_enc_shifts there */
    uint64_t previous; /* and at the entry before, or after the list */
    uint32_t low;      /* the last 9 bits of low */
    uint8_t state;     /* of dependent quantisation */
};

struct levels_entries {
    struct levels_entry *entry; /* heap */
    size_t count, cap;
};

/* Encodes one tensor.
 *
 * enc      at the start of the tensor's syntax (behind qp)
 * order    the tensor
 * entries  rows of blocks are appended here if there is more than one; may be
 *          NULL if there are no blocks
 *
 * STATUS_NO_MEMORY; that the writer failed is seen there. */
enum status levels_enc(struct cabac_enc *enc, const struct level_order *order,
                       const struct levels_choice *choice,
                       struct levels_entries *entries) MUST_CHECK;

/* The 8 bits that a decoder has in its offset at an entry of a codeword that is
 * finished. codeword has `size` bytes. */
uint32_t levels_entry_value(const struct levels_entry *entry,
                            const uint8_t *codeword, size_t size);

#endif
