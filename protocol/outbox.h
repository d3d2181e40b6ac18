/* What the core wants done: the queue of actions, each with the bytes and the
 * text it speaks of, and the names of the operations among them. */
#ifndef PROTOCOL_OUTBOX_H
#define PROTOCOL_OUTBOX_H

#include "protocol/node.h"

struct outbox_item;

struct outbox {
    struct outbox_item *first, *last;
    struct outbox_item *current; /* handed out; lives until the next */
    op_id next_op;
    size_t count;
    bool lost; /* an allocation failed: something was not queued */
};

void outbox_init(struct outbox *box);
void outbox_deinit(struct outbox *box);

/* A new operation. */
op_id outbox_op(struct outbox *box);

/* Queues a copy of action, of its text and of its bytes. action->owned, when
 * set, is taken over: the shell gets it. False when out of memory: nothing was
 * taken. */
bool outbox_put(struct outbox *box, const struct node_action *action);

/* The next action; views hold until the next call. */
bool outbox_next(struct outbox *box, struct node_action *out);

void outbox_log(struct outbox *box, enum node_log_level level, const char *fmt,
                ...) __attribute__((format(printf, 3, 4)));

#endif
