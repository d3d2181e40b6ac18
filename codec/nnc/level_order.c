#include "codec/nnc/level_order.h"

#include "codec/base/array.h"
#include "codec/nnc/dq_state.h"

#include <stdlib.h>
#include <string.h>

void level_order_deinit(struct level_order *order)
{
    free(order->k_buf);
    free(order->base_buf);
    free(order->trial_buf);
    free(order->states_buf);
    free(order->history_buf);
    free(order->row_buf);
    *order = (struct level_order){0};
}

static enum status grow(void **array, size_t elem_bytes, uint64_t count,
                        size_t *cap)
{
    if (count > SIZE_MAX)
        return STATUS_NO_MEMORY;
    return array_grow(array, elem_bytes, (size_t)count, cap);
}

static enum status reserve(struct level_order *order)
{
    uint64_t count = order->coding.elem_count;
    enum status status = STATUS_OK;
    if (order->block || order->coding.dq)
        status = grow((void **)&order->k_buf, sizeof *order->k_buf, count,
                      &order->k_cap);
    if (!status && order->coding.dq && order->block && order->skips)
        status = grow((void **)&order->trial_buf, sizeof *order->trial_buf,
                      count, &order->trial_cap);
    if (!status && order->coding.dq)
        status =
            grow((void **)&order->states_buf, 1, count, &order->states_cap);
    if (!status && order->block && order->coding.temporal)
        status = grow((void **)&order->base_buf, sizeof *order->base_buf, count,
                      &order->base_cap);
    if (!status && order->block && order->coding.history)
        status =
            grow((void **)&order->history_buf, 1, count, &order->history_cap);
    if (!status && order->row_flags)
        status =
            grow((void **)&order->row_buf, 1, order->rows, &order->row_cap);
    return status;
}

static bool all_zero(const int32_t *levels, uint64_t count)
{
    uint64_t i = 0;
    for (; i + 8 <= count; i += 8) {
        int32_t any = 0;
        for (int j = 0; j < 8; j++)
            any |= levels[i + (uint64_t)j];
        if (any)
            return false;
    }
    for (; i < count; i++) {
        if (levels[i])
            return false;
    }
    return true;
}

static void find_zero_rows(struct level_order *order, const int32_t *levels)
{
    uint64_t width = order->coding.row_elems;
    order->zero_rows = 0;
    order->row_zero = NULL;
    if (!order->row_flags)
        return;
    for (uint64_t r = 0; r < order->rows; r++) {
        order->row_buf[r] = all_zero(levels + r * width, width);
        order->zero_rows += order->row_buf[r];
    }
    order->row_zero = order->row_buf;
}

/* Copies the levels and what their contexts look at block by block. */
static void permute(struct level_order *order, const int32_t *levels)
{
    struct level_cursor cur = {0};
    struct level_piece p;
    while (level_order_next(order, &cur, &p)) {
        size_t count = (size_t)p.count;
        memcpy(order->k_buf + p.at, levels + p.first,
               count * sizeof *order->k_buf);
        if (order->base)
            memcpy(order->base_buf + p.at, order->coding.temporal + p.first,
                   count * sizeof *order->base_buf);
        if (order->history)
            memcpy(order->history_buf + p.at, order->coding.history + p.first,
                   count);
    }
    order->k = order->k_buf;
    order->base = order->base ? order->base_buf : NULL;
    order->history = order->history ? order->history_buf : NULL;
}

/* k of count levels from state on; false if one cannot be. k may be levels. */
static bool undo_states(const int32_t *levels, int32_t *k, uint8_t *states,
                        uint64_t count, uint8_t *state)
{
    uint8_t s = *state;
    for (uint64_t i = 0; i < count; i++) {
        int64_t v = levels[i];
        states[i] = s;
        if (v && (v & 1) != (s & 1))
            return false;
        if (s & 1)
            v += (v > 0) - (v < 0);
        k[i] = (int32_t)(v / 2);
        s = (uint8_t)dq_state_next(s, k[i]);
    }
    *state = s;
    return true;
}

/* One row of blocks in which the rows of zeros that row_buf names are skipped:
 * each piece of one moves the state by a whole row. */
static bool undo_block_row(struct level_order *order, uint64_t begin,
                           uint64_t end, uint8_t *state)
{
    uint64_t width = order->coding.row_elems, side = order->block;
    uint64_t at = begin * width;
    for (uint64_t col = 0; col < width; col += side) {
        uint64_t count = width - col < side ? width - col : side;
        for (uint64_t row = begin; row < end; row++, at += count) {
            if (!order->row_buf[row]) {
                if (!undo_states(order->k_buf + at, order->trial_buf + at,
                                 order->states_buf + at, count, state))
                    return false;
                continue;
            }
            memset(order->trial_buf + at, 0, (size_t)count * sizeof(int32_t));
            memset(order->states_buf + at, *state, (size_t)count);
            *state = (uint8_t)dq_state_after_zeros(*state, width);
        }
    }
    return true;
}

/* Rows of zeros in one row of blocks of which all subsets are tried. */
#define TRY_ROWS 8u

/* Rows of zeros may all have been skipped, or some; which shows in the states.
 */
static bool undo_skipping(struct level_order *order, uint64_t begin,
                          uint64_t end, uint8_t *state)
{
    uint64_t zero[TRY_ROWS];
    uint32_t count = 0;
    uint8_t s = *state;
    bool found = undo_block_row(order, begin, end, &s);
    for (uint64_t row = begin; row < end && count < TRY_ROWS && !found; row++) {
        if (order->row_buf[row])
            zero[count++] = row;
    }
    for (uint32_t mask = (1u << count) - 1; !found && mask-- > 0;) {
        for (uint32_t i = 0; i < count; i++)
            order->row_buf[zero[i]] = mask >> i & 1;
        s = *state;
        found = undo_block_row(order, begin, end, &s);
    }
    *state = s;
    return found;
}

static bool undo_dq(struct level_order *order)
{
    uint8_t state = 0;
    order->states = order->states_buf;
    if (!order->skips || !order->block) {
        const int32_t *levels = order->k;
        order->k = order->k_buf;
        return undo_states(levels, order->k_buf, order->states_buf,
                           order->coding.elem_count, &state);
    }
    order->k = order->trial_buf;
    for (uint64_t row = 0; row < order->rows; row += order->block) {
        uint64_t end = row + order->block;
        if (!undo_skipping(order, row, end < order->rows ? end : order->rows,
                           &state))
            return false;
    }
    return true;
}

static bool in_codebook(const struct level_coding *coding,
                        const int32_t *levels)
{
    if (!coding->codebook_size)
        return true;
    int64_t low = -(int64_t)coding->codebook_zero;
    int64_t high = low + coding->codebook_size - 1;
    for (uint64_t i = 0; i < coding->elem_count; i++) {
        if (levels[i] < low || levels[i] > high)
            return false;
    }
    return true;
}

enum status level_order_set(struct level_order *order,
                            const struct level_coding *coding,
                            const int32_t *levels, bool skips)
{
    uint64_t count = coding->elem_count, width = coding->row_elems;
    order->coding = *coding;
    order->rows = count / width;
    if (width == 1 || count <= width)
        order->coding.scan_order = 0;
    order->block =
        order->coding.scan_order ? (uint64_t)4 << order->coding.scan_order : 0;
    order->row_flags = coding->profile == 1 && width > 1 && count > width &&
                       coding->codebook_size != 1;
    order->skips = skips && order->row_flags;
    enum status status = reserve(order);
    if (status)
        return status;
    order->base = coding->temporal;
    order->history = coding->history;
    order->k = levels;
    order->states = NULL;
    find_zero_rows(order, levels);
    if (!in_codebook(coding, levels))
        return STATUS_USAGE;
    if (order->block)
        permute(order, levels);
    if (coding->dq && !undo_dq(order))
        return STATUS_USAGE;
    return STATUS_OK;
}
