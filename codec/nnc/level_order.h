/* The integers of one tensor in the order in which they are coded: scans,
 * the k of dependent quantisation, rows that are all zero. For encoders and
 * those who search; the arrays are kept from tensor to tensor.
 *
 * Ref: ISO/IEC 15938-17:2024, scans and dependent quantisation. */
#ifndef CODEC_NNC_LEVEL_ORDER_H
#define CODEC_NNC_LEVEL_ORDER_H

#include "codec/base/status.h"
#include "codec/nnc/level_coding.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct level_order {
    struct level_coding coding; /* scan_order 0 where the tensor has no scan */
    uint64_t rows;              /* of coding.row_elems each; 0 if empty */
    uint64_t block;             /* side of a block; 0: row by row */
    bool row_flags;             /* the syntax has skip and history flags */
    bool skips;                 /* k and states are those with rows skipped */
    /* In coding order; they hold until the next level_order_set. */
    const int32_t *k;
    const uint8_t *states;  /* before each element; NULL without dq */
    const int32_t *base;    /* coding.temporal, or NULL */
    const uint8_t *history; /* coding.history, or NULL */
    /* A byte a row if row_flags: all its levels are 0; with skips and states,
     * and that it is skipped. */
    const uint8_t *row_zero;
    uint64_t zero_rows;

    int32_t *k_buf, *trial_buf, *base_buf;
    uint8_t *states_buf, *history_buf, *row_buf;
    size_t k_cap, trial_cap, base_cap, states_cap, history_cap, row_cap;
};

/* {0} is a valid, empty order. */
void level_order_deinit(struct level_order *order);

/* Puts a tensor into coding order.
 *
 * coding  its row_elems is not 0; temporal and history are looked at. Borrowed
 *         arrays in it, and levels, may be pointed to until the next call.
 * skips   rows of zeros will be skipped: with dependent quantisation and
 *         blocks the states, and so k, depend on that. Ignored where the syntax
 *         has no skip flags.
 *
 * STATUS_USAGE      levels that dependent quantisation cannot produce in this
 *                   order, or that lie outside of the codebook
 * STATUS_NO_MEMORY */
enum status level_order_set(struct level_order *order,
                            const struct level_coding *coding,
                            const int32_t *levels, bool skips) MUST_CHECK;

/* A run of elements of one row that are coded one after the other. */
struct level_piece {
    uint64_t at;    /* its first element in coding order */
    uint64_t first; /* and in row-major order */
    uint64_t count;
    uint64_t row;
    bool resets; /* the first of a row of blocks, but not of the tensor */
};

struct level_cursor {
    uint64_t row_begin, row_end; /* of the row of blocks */
    uint64_t col, row, at;
    bool resets;
};

/* Walks over all pieces in coding order; false at the end. A cursor of zeros is
 * at the start. */
static inline bool level_order_next(const struct level_order *order,
                                    struct level_cursor *cur,
                                    struct level_piece *piece)
{
    uint64_t width = order->coding.row_elems;
    uint64_t side = order->block ? order->block : width;
    if (cur->row == cur->row_end) {
        if (cur->row_end && cur->col + side < width) {
            cur->col += side;
        } else if (cur->row_end == order->rows) {
            return false;
        } else {
            cur->resets = order->block && cur->row_end;
            cur->row_begin = cur->row_end;
            uint64_t left = order->rows - cur->row_end;
            uint64_t step = order->block ? order->block : order->rows;
            cur->row_end += step < left ? step : left;
            cur->col = 0;
        }
        cur->row = cur->row_begin;
    }
    uint64_t wide = width - cur->col;
    *piece =
        (struct level_piece){cur->at, cur->row * width + cur->col,
                             wide < side ? wide : side, cur->row, cur->resets};
    cur->resets = false;
    cur->at += piece->count;
    cur->row++;
    return true;
}

#endif
