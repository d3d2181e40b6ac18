/* The records of the node: every one is judged, made durable, taken into force
 * and pushed on, in this order. Also those the node writes itself.
 *
 * Private to the core; n is the node everywhere. */
#ifndef PROTOCOL_LEDGER_H
#define PROTOCOL_LEDGER_H

#include "protocol/peer.h"
#include "protocol/trust.h"

#define LEDGER_SOURCES_MAX 4u

/* Newer records of nodes that peers bring: a second and in a row, for each of
 * some classes of authors. What is over the budget is left to the next digest,
 * which brings the newest alone. */
#define LEDGER_AUTHOR_CLASSES 256u
#define LEDGER_AUTHOR_RECORDS 1u
#define LEDGER_AUTHOR_BURST   32u

/* A record that is being made durable. */
struct ledger_item {
    op_id op;
    struct hash key; /* of the envelope */
    struct trust_verdict verdict;
    link_id sources[LEDGER_SOURCES_MAX]; /* links that have it */
    size_t source_count;
    size_t bytes;
};

struct ledger {
    struct ledger_item **items; /* in the order they were judged */
    size_t count, cap, bytes;
    struct trust_changes changes;
    struct quota authors[LEDGER_AUTHOR_CLASSES];
    bool digested;     /* a peer compared its digest with ours */
    bool cert_refused; /* said once; not tried again until a restart */
    op_id cert_op, status_op;
};

void ledger_deinit(struct ledger *ledger);

/* A record from a peer. */
void ledger_receive(struct node *n, struct peer *p, struct bytes envelope);

/* A record from the operator; as node_submit. */
enum status ledger_submit(struct node *n, struct bytes envelope, op_id *op,
                          struct diag *diag) MUST_CHECK;

/* True when op was one of the ledger's. */
bool ledger_done(struct node *n, op_id op, enum status status);

/* What was loaded is complete. */
enum status ledger_start(struct node *n) MUST_CHECK;

/* Writes own records that are due; when the next may be. */
void ledger_tick(struct node *n);
uint64_t ledger_deadline_ns(const struct node *n);

/* True once the node may write records. */
bool ledger_may_author(const struct node *n);

#endif
