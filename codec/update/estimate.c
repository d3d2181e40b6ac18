/* A plan over a sample: the same choices as for an update that is made, from a
 * bounded part of the bytes. */
#include "codec/update/estimate.h"

#include "codec/lossless/match.h"
#include "codec/update/plan.h"

#include <string.h>

#define ESTIMATE_READ_MAX  (2u << 20) /* of each content */
#define ESTIMATE_FIXED     160u
#define ESTIMATE_A_SEGMENT 150u
#define ESTIMATE_A_RECORD  8u

/* Equal contents need no look. */
static bool estimate_same(const struct update_enc_params *params)
{
    struct tree_shape shape;
    if (!params->base || params->base->size != params->target->size ||
        !params->base_leaves || !params->target_leaves ||
        tree_shape_of(params->target->size, &shape))
        return false;
    return !shape.block_count ||
           !memcmp(params->base_leaves, params->target_leaves,
                   shape.block_count * sizeof(struct hash));
}

static uint64_t estimate_segments(const struct update_enc_params *params,
                                  uint64_t coded)
{
    uint64_t size = params->target->size;
    uint64_t each = coded > 65536 && size <= (8u << 20) ? 1u << 18 : 1u << 20;
    uint64_t count = (size + each - 1) / each;
    return coded ? count * ESTIMATE_A_SEGMENT : count;
}

enum status update_estimate(const struct update_enc_params *params,
                            uint64_t *bytes)
{
    struct match_list matches;
    struct update_plan plan;
    *bytes = ESTIMATE_FIXED;
    if (estimate_same(params))
        return STATUS_OK;
    enum status status =
        match_contents(params->base, params->base_model, params->target,
                       params->target_model, &matches);
    if (status)
        return status;
    struct update_plan_input input = {
        .base = params->base,
        .target = params->target,
        .matches = &matches,
        .stride = (unsigned)(params->target->size / ESTIMATE_READ_MAX + 1),
    };
    status = update_plan_make(&input, &plan);
    match_list_free(&matches);
    if (status)
        return status;
    *bytes += plan.coded_size + estimate_segments(params, plan.coded_size) +
              plan.records.count * (uint64_t)ESTIMATE_A_RECORD;
    update_plan_deinit(&plan);
    return STATUS_OK;
}
