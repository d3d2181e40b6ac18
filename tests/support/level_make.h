/* Integers that an NNC tensor can have: from any numbers the levels that
 * dependent quantisation makes of them in the order of a scan, or those that a
 * codebook has. */
#ifndef TESTS_SUPPORT_LEVEL_MAKE_H
#define TESTS_SUPPORT_LEVEL_MAKE_H

#include "codec/nnc/dq_state.h"
#include "codec/nnc/level_order.h"

/* levels: coding->elem_count numbers in row-major order, changed in place. */
static inline void level_make(const struct level_coding *coding,
                              int32_t *levels)
{
    uint64_t width = coding->row_elems;
    struct level_order order = {.coding = *coding};
    struct level_cursor cur = {0};
    struct level_piece p;
    unsigned state = 0;
    for (uint64_t i = 0; i < coding->elem_count && coding->codebook_size; i++)
        levels[i] = (int32_t)((uint32_t)levels[i] % coding->codebook_size) -
                    (int32_t)coding->codebook_zero;
    if (!coding->dq)
        return;
    order.rows = coding->elem_count / width;
    if (coding->scan_order && width > 1 && order.rows > 1)
        order.block = (uint64_t)4 << coding->scan_order;
    while (level_order_next(&order, &cur, &p)) {
        for (uint64_t i = 0; i < p.count; i++) {
            int32_t k = levels[p.first + i] / 2;
            levels[p.first + i] = dq_state_level(state, k);
            state = dq_state_next(state, k);
        }
    }
}

#endif
