/* A sorted array, last to go first: fleets of the size this serves keep it
 * short, and its bound keeps it small. */
#include "protocol/gossip/push.h"

#include "protocol/name.h"
#include "protocol/record.h"

#include <stdlib.h>

void push_deinit(struct push *push)
{
    free(push->items);
    *push = (struct push){0};
}

struct push_item push_item_of(const struct slot_entry *entry)
{
    struct push_item item = {.slot = entry->id, .class = PUSH_CONTROL};
    if (entry->kind == RECORD_FLEET) {
        item.class = PUSH_FLEET;
        if (!name_to_number(entry->name, &item.order))
            item.order = UINT64_MAX;
    } else if (entry->kind == RECORD_CERT) {
        item.class = PUSH_CERT;
    } else if (entry->kind == RECORD_STATUS) {
        item.class = PUSH_STATUS_BEAT;
    }
    return item;
}

/* Above 0: a goes after b. */
static int compare(const struct push_item *a, const struct push_item *b)
{
    if (a->class != b->class)
        return a->class < b->class ? -1 : 1;
    if (a->order != b->order)
        return a->order < b->order ? -1 : 1;
    return slot_id_compare(&a->slot, &b->slot);
}

/* The index of item, or where it would be put. */
static size_t locate(const struct push *push, const struct push_item *item,
                     bool *found)
{
    size_t low = 0, high = push->count;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        int order = compare(&push->items[mid], item);
        if (!order) {
            *found = true;
            return mid;
        }
        if (order > 0)
            low = mid + 1;
        else
            high = mid;
    }
    *found = false;
    return low;
}

static bool grow(struct push *push)
{
    if (push->count < push->cap)
        return true;
    size_t cap = push->cap ? 2 * push->cap : 16;
    if (cap > LIMIT_PUSH_SLOTS)
        cap = LIMIT_PUSH_SLOTS;
    if (cap <= push->count)
        return false;
    struct push_item *items = realloc(push->items, cap * sizeof *items);
    if (!items)
        return false;
    push->items = items;
    push->cap = cap;
    return true;
}

static void remove_at(struct push *push, size_t at)
{
    if (at == push->count - 1)
        push->part = 0;
    push->count--;
    memmove(&push->items[at], &push->items[at + 1],
            (push->count - at) * sizeof *push->items);
    if (push->count)
        return;
    free(push->items);
    push->items = NULL;
    push->cap = 0;
}

static bool remove_item(struct push *push, struct push_item item,
                        enum push_class class)
{
    bool found;
    item.class = class;
    size_t at = locate(push, &item, &found);
    if (found)
        remove_at(push, at);
    return found;
}

void push_add(struct push *push, const struct push_item *item)
{
    bool found;
    struct push_item it = *item;
    for (int c = PUSH_STATUS_CHANGE; c <= PUSH_ANNOUNCE; c++)
        if (it.class >= PUSH_STATUS_CHANGE && c != (int)it.class &&
            remove_item(push, it, (enum push_class)c) && c < (int)it.class)
            it.class = (enum push_class)c;
    size_t at = locate(push, &it, &found);
    if (found)
        return;
    if (!grow(push)) {
        push->overflow = true;
        return;
    }
    if (at == push->count)
        push->part = 0;
    memmove(&push->items[at + 1], &push->items[at],
            (push->count - at) * sizeof *push->items);
    push->items[at] = it;
    push->count++;
}

void push_remove(struct push *push, const struct slot_id *slot)
{
    for (size_t i = 0; i < push->count; i++) {
        if (!slot_id_equal(&push->items[i].slot, slot))
            continue;
        remove_at(push, i);
        return;
    }
}

const struct push_item *push_peek(const struct push *push)
{
    return push->count ? &push->items[push->count - 1] : NULL;
}

void push_pop(struct push *push)
{
    if (push->count)
        remove_at(push, push->count - 1);
}
