/* One range of the target as the planner sees it: what is tried on it, and what
 * comes out best. Several may be measured at the same time, each by a worker of
 * its own. Private to the planner. */
#ifndef CODEC_UPDATE_PLAN_ITEM_H
#define CODEC_UPDATE_PLAN_ITEM_H

#include "codec/update/plan.h"

/* One range being looked at, and what was found out. */
struct plan_item {
    const struct match *match;
    struct match guess; /* of numbers where there is no tensor */
    struct tensor numbers;
    uint64_t number_count;       /* its shape */
    struct update_record record; /* as far as it is decided */
    enum status status;
    bool coded;      /* by elements; else as bytes */
    bool equal;      /* to its prediction, which is the base itself */
    bool tables_fit; /* set before: there is room for tables */
    const struct update_hint *hint; /* of the tensor; NULL: none */
    uint64_t seen;
    double bits;   /* as bytes */
    uint64_t like; /* bytes it may take over a base that is merely like it */
    uint64_t elem_bits;     /* as elements, tables included */
    struct predict predict; /* being tried */
    struct writer tables;   /* coded */
    uint64_t target_histogram[256];
    uint64_t diff_histogram[256];
};

/* What one item needs while it is looked at. */
struct plan_worker {
    struct coding_stats *best; /* of the record as it is decided */
    struct coding_stats *trial;
    int32_t *scales;
    uint8_t *base;
    uint8_t *pred;
    uint8_t *lost;
    uint8_t *target;
};

/* NO_MEMORY; a worker of zeroes may be released all the same. */
enum status plan_worker_init(struct plan_worker *worker,
                             enum coding_speed speed) MUST_CHECK;
void plan_worker_deinit(struct plan_worker *worker);

/* Measures the range of item->match, which is set, as tables_fit and the empty
 * heap writer tables are: decides its record, but for coding and aux, and
 * leaves the statistics to plan with in worker->best. NO_MEMORY, or what the
 * sources answer. */
enum status plan_item_measure(const struct update_plan_input *in,
                              struct plan_worker *worker,
                              struct plan_item *item) MUST_CHECK;

/* A part's bytes for the whole of which it was seen. */
uint64_t plan_scale(uint64_t bytes, uint64_t size, uint64_t seen);

#endif
