/* What is kept between NNC streams: the state of deltamesh/nnc.h. */
#include "codec/api/nnc_kept.h"

#include "codec/api/adapt.h"
#include "codec/base/checked.h"

#include <deltamesh/nnc.h>

enum dmc_status dmc_nnc_state_new(struct dmc_nnc_state **state)
{
    struct dmc_nnc_state *made = calloc(1, sizeof(*made));
    enum status status = made ? nnc_state_new(&made->state) : STATUS_NO_MEMORY;
    if (status) {
        free(made);
        made = NULL;
    }
    *state = made;
    return (enum dmc_status)status;
}

void dmc_nnc_state_free(struct dmc_nnc_state *state)
{
    if (state)
        nnc_state_free(state->state);
    free(state);
}

size_t dmc_nnc_state_count(const struct dmc_nnc_state *state)
{
    return nnc_state_count(state->state);
}

static enum dmc_status kept_tell(const struct nnc_node *node,
                                 struct dmc_nnc_node *out)
{
    if (!node)
        return DMC_NOT_FOUND;
    const struct dmc_nnc_node own = {
        .name = node->name,
        .shape = node->shape,
        .elem_count = node->elem_count,
        .rank = node->rank,
        .has_ids = node->has_ids,
        .parameter_id = node->parameter_id,
        .put_node_depth = node->put_node_depth,
        .levels = node->levels,
        .history = node->history,
    };
    return (enum dmc_status)adapt_result(&own, sizeof(own), sizeof(own), out);
}

enum dmc_status dmc_nnc_state_at(const struct dmc_nnc_state *state,
                                 size_t index, struct dmc_nnc_node *node)
{
    return kept_tell(index < nnc_state_count(state->state)
                         ? nnc_state_at(state->state, index)
                         : NULL,
                     node);
}

enum dmc_status dmc_nnc_state_find(const struct dmc_nnc_state *state,
                                   const char *name, struct dmc_nnc_node *node)
{
    return kept_tell(nnc_state_find(state->state, name), node);
}

static enum status kept_shape(const struct dmc_nnc_node *from,
                              struct nnc_node *node)
{
    uint64_t count = 1;
    if (!from->name || !from->shape || !from->rank || from->rank > NNC_RANK_MAX)
        return STATUS_USAGE;
    for (uint32_t i = 0; i < from->rank; i++) {
        node->shape[i] = from->shape[i];
        if (!checked_mul_u64(count, from->shape[i], &count))
            return STATUS_USAGE;
    }
    if (count != from->elem_count || count > SIZE_MAX / sizeof(int32_t))
        return STATUS_USAGE;
    return STATUS_OK;
}

enum dmc_status dmc_nnc_state_put(struct dmc_nnc_state *state,
                                  const struct dmc_nnc_node *node)
{
    struct dmc_nnc_node own;
    struct nnc_node copy;
    enum status status =
        adapt_params(node, sizeof(own), &own, sizeof(own), NULL);
    if (!status)
        status = kept_shape(&own, &copy);
    if (status)
        return (enum dmc_status)status;
    copy.name = own.name;
    copy.has_ids = own.has_ids != 0;
    copy.parameter_id = own.parameter_id;
    copy.put_node_depth = own.put_node_depth;
    copy.rank = own.rank;
    copy.elem_count = own.elem_count;
    copy.levels = own.levels;
    copy.history = own.history;
    return (enum dmc_status)nnc_state_put(state->state, &copy);
}

enum dmc_status dmc_nnc_state_device(const struct dmc_nnc_state *state,
                                     uint32_t *device_id)
{
    return nnc_state_device(state->state, device_id) ? DMC_OK : DMC_NOT_FOUND;
}

void dmc_nnc_state_set_device(struct dmc_nnc_state *state, uint32_t device_id)
{
    nnc_state_set_device(state->state, device_id);
}
