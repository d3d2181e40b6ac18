/* Decides how each range of the target is coded: measures every matched range
 * once or twice and chooses the mode with the fewest estimated bits. */
#ifndef CODEC_UPDATE_PLAN_H
#define CODEC_UPDATE_PLAN_H

#include "codec/base/parallel.h"
#include "codec/base/source.h"
#include "codec/lossless/coding_plan.h"
#include "codec/lossless/match.h"
#include "codec/update/record.h"
#include "codec/update/update_enc.h"

/* Coded bytes of all auxiliary segments of one update: ranges that would need
 * more do without tables. */
#define PLAN_AUX_BYTES_MAX (24u << 20)

/* One auxiliary segment. */
struct plan_aux {
    uint64_t offset; /* of its bytes in aux_bytes */
    uint32_t size;
};

struct update_plan {
    struct record_list records; /* owned, as all: update_plan_deinit */
    struct coding_tables tables;
    struct writer aux_bytes; /* coded tables of all auxiliary segments */
    struct plan_aux *aux;
    uint32_t aux_count, aux_cap;
    uint64_t coded_size; /* estimated bytes of all records' contents */
};

struct update_plan_input {
    const struct source *base; /* NULL: none */
    const struct source *target;
    const struct match_list *matches;
    enum coding_speed speed;
    unsigned max_rank; /* 0: no low rank prediction */
    unsigned effort;   /* of their fit, as struct lowrank_input has it */
    unsigned stride;   /* looks at one stretch of so many: 1 for a plan that is
                          carried out, more for an estimate */
    uint32_t stretch;  /* bytes of one, a multiple of 8; 0, or any without a
                          stride: what suits */
    const struct update_hints *hints; /* NULL: none */
    const struct parallel *parallel;  /* NULL: one after the other */
    update_progress_fn progress; /* may be NULL; told bytes of the target */
    void *progress_ctx;
};

/* LIMIT above UPDATE_RECORDS_MAX records (the caller then plans with opaque
 * contents), NO_MEMORY, CLOSED when progress says so, or what the sources
 * answer. On error out is empty. */
enum status update_plan_make(const struct update_plan_input *input,
                             struct update_plan *out) MUST_CHECK;

void update_plan_deinit(struct update_plan *plan);

#endif
