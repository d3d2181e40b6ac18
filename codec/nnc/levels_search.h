/* Chooses how the integers of one tensor are coded: parameter sets, row skip,
 * history, temporal context, unary length, scan, dependent quantisation or not.
 * By cost of the true bins, all of them in tensors of up to LEVELS_SEARCH_ALL
 * elements, of a sample in larger ones. Integers only: the same choice on every
 * machine.
 *
 * Ref: ISO/IEC 15938-17:2024 says nothing of choices; costs are those of
 * cabac_cost.h. */
#ifndef CODEC_NNC_LEVELS_SEARCH_H
#define CODEC_NNC_LEVELS_SEARCH_H

#include "codec/base/status.h"
#include "codec/nnc/level_order.h"
#include "codec/nnc/levels_enc.h"

#include <stdbool.h>
#include <stdint.h>

/* Elements of which all bins are counted. */
#define LEVELS_SEARCH_ALL ((uint64_t)1 << 13)

/* What the search may change; what it may not stays as it is given. */
struct levels_freedom {
    bool sets;     /* else all contexts have set 0 */
    bool row_skip; /* else as choice->row_skip says */
    bool history;  /* else as choice->history says */
    bool temporal; /* coding->temporal may be left out */
    bool unary;    /* coding->unary, 1 .. LEVEL_UNARY_MAX */
    bool scan;     /* coding->scan_order may become 0 */
    bool uniform;  /* coding->dq may become false */
};

struct levels_search;

/* A workspace for any number of tensors, one after the other. */
enum status levels_search_new(struct levels_search **search) MUST_CHECK;
void levels_search_free(struct levels_search *search);

/* Chooses.
 *
 * coding  in: the tensor, out: with what was chosen
 * levels  coding->elem_count integers
 * choice  in: row_skip and history where they are not free, out: all
 * order   out: the tensor in coding order as chosen, of the workspace, until
 *         the next call
 * cost    out: bits of all the tensor's syntax and of what it needs in the
 *         header, in units of CABAC_COST_ONE / bit; about
 *
 * STATUS_USAGE      levels that dependent quantisation or the codebook cannot
 *                   produce
 * STATUS_NO_MEMORY */
enum status levels_search_run(struct levels_search *search,
                              const struct levels_freedom *freedom,
                              struct level_coding *coding,
                              const int32_t *levels,
                              struct levels_choice *choice,
                              const struct level_order **order, uint64_t *cost)
    MUST_CHECK;

#endif
