/* What the parts of the core share: the node itself. Private to node.c, peer.c,
 * gossip/digest.c, ledger.c and shelf.c; others use node.h. */
#ifndef PROTOCOL_NODE_STATE_H
#define PROTOCOL_NODE_STATE_H

#include "protocol/gossip/links.h"
#include "protocol/gossip/status.h"
#include "protocol/ledger.h"
#include "protocol/node.h"
#include "protocol/outbox.h"
#include "protocol/peer.h"
#include "protocol/session.h"
#include "protocol/shelf.h"
#include "protocol/transfer.h"
#include "protocol/trust.h"

#define NODE_LOG_FOLDS 16u
#define NODE_BANS      32u

struct node {
    struct crypto_sign_key key;
    struct node_id id;
    struct rng rng;
    struct session_identity identity;
    char software[LIMIT_SOFTWARE_BYTES + 1];
    char **listen, **labels, **mirror;
    size_t listen_count, label_count, mirror_count;
    unsigned accept_max;
    uint64_t ping_idle_ns, author_wait_ns, uptime_base_ns;

    uint64_t now_ns, start_ns;
    bool started;

    struct outbox outbox;
    struct trust *trust;
    struct links *links;
    struct transfer *transfer;
    struct ledger ledger;
    struct shelf shelf;
    struct status_beat beat;

    struct peer **peers;
    size_t peer_count, peer_cap;
    link_id next_link;

    struct message *in, *out; /* scratch: being read, being written */
    uint8_t *plain;           /* scratch: LIMIT_FRAME_PLAIN_BYTES */

    /* Who broke the protocol is not let in again before. */
    struct {
        struct node_id node;
        uint64_t until_ns;
    } bans[NODE_BANS];
    size_t ban_next;

    /* Link messages at info, to fold flaps. */
    struct {
        struct node_id node;
        uint64_t until_ns;
    } folds[NODE_LOG_FOLDS];
    size_t fold_next;

    struct node_counters counters;
};

/* The earlier of two times. */
static inline uint64_t node_earlier(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

#endif
