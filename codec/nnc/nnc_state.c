/* Nodes sorted by name, each with copies of its own. */
#include "codec/nnc/nnc_state.h"

#include "codec/base/array.h"
#include "codec/base/checked.h"

#include <stdlib.h>
#include <string.h>

struct entry {
    struct nnc_node node; /* points to the three below */
    char *name;
    int32_t *levels;
    uint8_t *history;
};

struct nnc_state {
    struct entry **entries;
    size_t count, cap;
    bool device_known;
    uint32_t device_id;
};

enum status nnc_state_new(struct nnc_state **state)
{
    *state = calloc(1, sizeof(**state));
    return *state ? STATUS_OK : STATUS_NO_MEMORY;
}

static void entry_free(struct entry *entry)
{
    if (!entry)
        return;
    free(entry->name);
    free(entry->levels);
    free(entry->history);
    free(entry);
}

void nnc_state_free(struct nnc_state *state)
{
    if (!state)
        return;
    for (size_t i = 0; i < state->count; i++)
        entry_free(state->entries[i]);
    free(state->entries);
    free(state);
}

/* Where the name is, or would be. */
static size_t place_of(const struct nnc_state *state, const char *name,
                       bool *found)
{
    size_t low = 0;
    size_t high = state->count;
    *found = false;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = strcmp(state->entries[middle]->name, name);
        if (!order) {
            *found = true;
            return middle;
        }
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

const struct nnc_node *nnc_state_find(const struct nnc_state *state,
                                      const char *name)
{
    bool found;
    size_t place = place_of(state, name, &found);
    return found ? &state->entries[place]->node : NULL;
}

size_t nnc_state_count(const struct nnc_state *state)
{
    return state->count;
}

const struct nnc_node *nnc_state_at(const struct nnc_state *state, size_t index)
{
    return &state->entries[index]->node;
}

/* There is room for one more. */
static void insert(struct nnc_state *state, struct entry *entry)
{
    bool found;
    size_t place = place_of(state, entry->name, &found);
    if (found) {
        entry_free(state->entries[place]);
    } else {
        memmove(state->entries + place + 1, state->entries + place,
                (state->count - place) * sizeof(struct entry *));
        state->count++;
    }
    state->entries[place] = entry;
}

/* Room for more entries, of which so many have names that are not there yet.
 * Names of a stream come in an order that its maker chose: the limit also
 * bounds the time that it takes to sort them in. */
static enum status reserve(struct nnc_state *state, size_t more, size_t fresh)
{
    if (state->count + fresh > NNC_STATE_NODES_MAX)
        return STATUS_LIMIT;
    return array_grow((void **)&state->entries, sizeof(struct entry *),
                      state->count + more, &state->cap);
}

/* A copy of count elements, NULL of NULL; *ok turns false without memory. */
static void *copy_of(const void *from, uint64_t count, size_t elem_size,
                     bool *ok)
{
    uint64_t size;
    if (!from)
        return NULL;
    if (!checked_mul_u64(count, elem_size, &size) || size > SIZE_MAX - 1) {
        *ok = false;
        return NULL;
    }
    void *copy = malloc((size_t)size + 1);
    if (copy)
        memcpy(copy, from, (size_t)size);
    else
        *ok = false;
    return copy;
}

/* Takes history, which is on the heap, in any case. */
static enum status put(struct nnc_state *state, const struct nnc_node *node,
                       uint8_t *history)
{
    struct entry *entry = calloc(1, sizeof(*entry));
    bool ok = entry != NULL;
    enum status rc = STATUS_NO_MEMORY;
    if (ok) {
        entry->node = *node;
        entry->history = history;
        entry->name = copy_of(node->name, strlen(node->name) + 1, 1, &ok);
        entry->levels =
            copy_of(node->levels, node->elem_count, sizeof(int32_t), &ok);
    } else {
        free(history);
    }
    if (ok)
        rc = reserve(state, 1, !nnc_state_find(state, node->name));
    if (rc) {
        entry_free(entry);
        return rc;
    }
    entry->node.name = entry->name;
    entry->node.levels = entry->levels;
    entry->node.history = entry->history;
    insert(state, entry);
    return STATUS_OK;
}

enum status nnc_state_put(struct nnc_state *state, const struct nnc_node *node)
{
    bool ok = true;
    uint8_t *history = copy_of(node->history, node->elem_count, 1, &ok);
    return ok ? put(state, node, history) : STATUS_NO_MEMORY;
}

/* What was not 0 before, and what is not 0 now. */
static void turn_on(uint8_t *history, const uint8_t *before,
                    const int32_t *levels, uint64_t count)
{
    for (uint64_t i = 0; i < count; i++)
        history[i] = (uint8_t)(levels[i] != 0 || (before && before[i]));
}

static void node_of_tensor(struct nnc_node *node, const struct nnc_node *before,
                           const struct nnc_tensor *tensor, bool has_ids)
{
    *node = (struct nnc_node){.name = tensor->name,
                              .has_ids = has_ids,
                              .parameter_id = tensor->parameter_id,
                              .put_node_depth = tensor->put_node_depth,
                              .rank = tensor->rank,
                              .elem_count = tensor->elem_count};
    memcpy(node->shape, tensor->shape, sizeof(node->shape));
    if (has_ids)
        return;
    node->has_ids = before && before->has_ids && tensor->has_parent;
    node->parameter_id = before ? before->parameter_id : 0;
    node->put_node_depth = !tensor->has_parent ? 0
                           : before            ? before->put_node_depth + 1
                                               : 1;
}

enum status nnc_state_sent(struct nnc_state *state,
                           const struct nnc_node *before,
                           const struct nnc_tensor *tensor, bool has_ids,
                           const int32_t *levels)
{
    struct nnc_node node;
    uint8_t *history = NULL;
    node_of_tensor(&node, before, tensor, has_ids);
    node.levels = levels;
    if (tensor->has_parent && levels) {
        bool fits = before && before->elem_count == node.elem_count;
        if (node.elem_count >= SIZE_MAX)
            return STATUS_NO_MEMORY;
        history = malloc((size_t)node.elem_count + 1);
        if (!history)
            return STATUS_NO_MEMORY;
        turn_on(history, fits ? before->history : NULL, levels,
                node.elem_count);
    }
    return put(state, &node, history);
}

bool nnc_state_device(const struct nnc_state *state, uint32_t *device_id)
{
    *device_id = state->device_id;
    return state->device_known;
}

void nnc_state_set_device(struct nnc_state *state, uint32_t device_id)
{
    state->device_known = true;
    state->device_id = device_id;
}

static uint64_t kept_elems(const struct entry *entry)
{
    return entry->levels ? entry->node.elem_count : 0;
}

uint64_t nnc_state_elems(const struct nnc_state *state,
                         const struct nnc_state *newer)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < newer->count; i++)
        sum += kept_elems(newer->entries[i]);
    for (size_t i = 0; i < state->count; i++)
        if (!nnc_state_find(newer, state->entries[i]->name))
            sum += kept_elems(state->entries[i]);
    return sum;
}

enum status nnc_state_take(struct nnc_state *state, struct nnc_state *newer)
{
    size_t fresh = 0;
    for (size_t i = 0; i < newer->count; i++)
        fresh += !nnc_state_find(state, newer->entries[i]->name);
    enum status rc =
        newer->count ? reserve(state, newer->count, fresh) : STATUS_OK;
    if (rc)
        return rc;
    for (size_t i = 0; i < newer->count; i++)
        insert(state, newer->entries[i]);
    newer->count = 0;
    if (newer->device_known)
        nnc_state_set_device(state, newer->device_id);
    newer->device_known = false;
    return STATUS_OK;
}
