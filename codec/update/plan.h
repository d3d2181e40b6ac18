/* Decides how each range of the target is coded: measures every matched pair
 * once and chooses the mode with the fewest estimated bits. */
#ifndef CODEC_UPDATE_PLAN_H
#define CODEC_UPDATE_PLAN_H

#include "codec/base/source.h"
#include "codec/lossless/match.h"
#include "codec/update/record.h"
#include "codec/update/update_enc.h"

struct update_plan {
    struct update_record *records; /* owned: update_plan_deinit */
    uint32_t count;
    uint32_t cap;
    struct fast_tables tables;
    uint64_t coded_size; /* estimated bytes of all records' contents */
};

struct update_plan_input {
    const struct source *base; /* NULL: none */
    const struct source *target;
    const struct match_list *matches;
    unsigned stride; /* looks at one stretch of so many: 1 for a plan that is
                        carried out, more for an estimate */
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
