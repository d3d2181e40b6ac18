/* Comparing what two nodes know: PING and PONG with the roots of the two
 * digest tries, and the descent by TRIE, LEAF and GET where they differ. The
 * side whose PING was answered with other roots descends; nothing is kept
 * between messages.
 *
 * Ref: PROTOCOL.md, "Gossip". */
#ifndef PROTOCOL_GOSSIP_DIGEST_H
#define PROTOCOL_GOSSIP_DIGEST_H

#include "protocol/peer.h"

/* What announcing one slot takes of the budget of statuses. */
#define DIGEST_ANNOUNCE_COST 64u

void digest_ping(struct node *n, struct peer *p);

/* Sends the entries of the slots that p->push holds to announce, as a LEAF of
 * groups that are one slot each: the peer asks for what it lacks. */
void digest_announce(struct node *n, struct peer *p);

/* n->in is that message, from p. */
void digest_on_ping(struct node *n, struct peer *p);
void digest_on_pong(struct node *n, struct peer *p);
void digest_on_trie(struct node *n, struct peer *p);
void digest_on_leaf(struct node *n, struct peer *p);
void digest_on_get(struct node *n, struct peer *p);

#endif
