/* A singly linked queue; each item is one allocation that holds the action,
 * then its bytes, then its text. */
#include "protocol/outbox.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

struct outbox_item {
    struct outbox_item *next;
    struct node_action action;
    uint8_t tail[];
};

void outbox_init(struct outbox *box)
{
    *box = (struct outbox){.next_op = 1};
}

static void free_item(struct outbox_item *item)
{
    if (item)
        free(item->action.owned);
    free(item);
}

void outbox_deinit(struct outbox *box)
{
    free(box->current); /* what it owned is the shell's */
    while (box->first) {
        struct outbox_item *item = box->first;
        box->first = item->next;
        free_item(item);
    }
    *box = (struct outbox){0};
}

op_id outbox_op(struct outbox *box)
{
    return box->next_op++;
}

bool outbox_put(struct outbox *box, const struct node_action *action)
{
    size_t bytes = action->owned ? 0 : action->bytes.size;
    size_t text = action->text ? strlen(action->text) + 1 : 0;
    struct outbox_item *item = malloc(sizeof *item + bytes + text);
    if (!item) {
        box->lost = true;
        return false;
    }
    item->next = NULL;
    item->action = *action;
    if (bytes) {
        memcpy(item->tail, action->bytes.data, bytes);
        item->action.bytes.data = item->tail;
    }
    if (text) {
        memcpy(item->tail + bytes, action->text, text);
        item->action.text = (const char *)item->tail + bytes;
    }
    if (box->last)
        box->last->next = item;
    else
        box->first = item;
    box->last = item;
    box->count++;
    return true;
}

bool outbox_next(struct outbox *box, struct node_action *out)
{
    free(box->current);
    box->current = box->first;
    if (!box->current)
        return false;
    box->first = box->current->next;
    if (!box->first)
        box->last = NULL;
    box->count--;
    *out = box->current->action;
    return true;
}

void outbox_log(struct outbox *box, enum node_log_level level, const char *fmt,
                ...)
{
    char text[512];
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    struct node_action action = {
        .kind = NODE_ACTION_LOG, .level = level, .text = text};
    (void)outbox_put(box, &action);
}
