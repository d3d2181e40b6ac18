/* What one link is still to be sent of the records: slots, not bytes, so that
 * only the newest record of a slot goes out, and only once. Fleet records come
 * first, in the order of their numbers, then certificates, then the rest of
 * control, then statuses, then announcements of statuses.
 *
 * Ref: PROTOCOL.md, "Gossip". */
#ifndef PROTOCOL_GOSSIP_PUSH_H
#define PROTOCOL_GOSSIP_PUSH_H

#include "protocol/slot.h"

#include <stdbool.h>

enum push_class {
    PUSH_FLEET,
    PUSH_CERT,
    PUSH_CONTROL,
    PUSH_STATUS_CHANGE,
    PUSH_STATUS_BEAT, /* nothing new but that the node lives */
    PUSH_ANNOUNCE,    /* another node's status: its entry goes, not its bytes */
    PUSH_CLASS_COUNT
};

struct push_item {
    struct slot_id slot;
    uint64_t order; /* number of a fleet record, else 0 */
    enum push_class class;
};

/* Zero is empty. */
struct push {
    struct push_item *items; /* the one to go first is last */
    size_t count, cap;
    unsigned part; /* envelopes of the next slot that went out already */
    bool overflow; /* something was left out: a digest will find it */
};

void push_deinit(struct push *push);

/* Class and order of a record of this kind and name; statuses are beats. */
struct push_item push_item_of(const struct slot_entry *entry);

/* Notes a slot unless it is there; a status that is there in a later class
 * moves up, one in an earlier class stays. When
 * LIMIT_PUSH_SLOTS are there or memory is out, overflow is set. */
void push_add(struct push *push, const struct push_item *item);

/* The peer has it. */
void push_remove(struct push *push, const struct slot_id *slot);

/* The item to go next, NULL when empty; valid until the next change. */
const struct push_item *push_peek(const struct push *push);
void push_pop(struct push *push);

#endif
