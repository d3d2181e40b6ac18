/* One link of the node, from dial or accept to its end: the session over it,
 * what waits to be sent, what it is owed in pings and records.
 *
 * Private to the core; n is the node everywhere. */
#ifndef PROTOCOL_PEER_H
#define PROTOCOL_PEER_H

#include "protocol/gossip/push.h"
#include "protocol/node.h"
#include "protocol/quota.h"
#include "protocol/session.h"

#define PEER_HANDSHAKE_NS 10000000000ull /* dial or accept to up */
#define PEER_BAN_NS       60000000000ull /* after a link was punished */
#define PEER_HOLD_NS      50000000ull /* least and most (thrice) wait of one */
#define PEER_SILENCE_NS   30000000000ull /* after an unanswered PING */

struct peer_fifo {
    uint8_t *data; /* messages, each behind its 2-byte length */
    size_t head, size, cap;
};

struct peer {
    link_id id;
    char *addr;
    bool outgoing, dialling;
    bool known; /* node is proven */
    bool up, certified, equal, closing, punished;
    bool raised; /* NODE_ACTION_OUTPUT is out and not yet drained */
    bool bulk;   /* the transfer may have data */
    struct node_id node;
    struct session *session;
    uint8_t *cert; /* presented in the handshake */
    size_t cert_size;
    char error[128];
    enum status why;

    uint64_t born_ns, up_ns, heard_ns;
    uint64_t ping_nonce, ping_sent_ns; /* 0: none unanswered */
    uint64_t next_ping_ns, redo_wait_ns, rtt_ns;
    bool progress; /* records came since the last PING */
    bool missed;   /* something could not be taken or sent: digest again */

    struct peer_fifo control;
    struct push push;
    uint64_t announce_ns; /* what push holds to announce waits till then */
    struct quota pings, refusals;
    unsigned strikes;
    uint64_t bytes_in, bytes_out, data_in, data_out;
};

/* NULL when unknown. */
struct peer *peer_find(const struct node *n, link_id id);
struct peer *peer_of_node(const struct node *n, const struct node_id *node);

/* A new link; NULL when out of memory. */
struct peer *peer_new(struct node *n, const char *addr, bool outgoing);

/* Forgets the link, which the shell closed. */
void peer_remove(struct node *n, struct peer *p, enum status why);
void peer_free(struct peer *p);

/* Starts the session. */
void peer_connected(struct node *n, struct peer *p);

void peer_recv(struct node *n, struct peer *p, struct bytes in);
size_t peer_output(struct node *n, struct peer *p, uint8_t *buf, size_t cap);

/* Asks the shell to pull. */
void peer_raise(struct node *n, struct peer *p);

/* Queues one encoded message, or n->out. False: no room, or the link is not
 * up. */
bool peer_send(struct node *n, struct peer *p, struct bytes message);
bool peer_send_out(struct node *n, struct peer *p);

/* Ends the link, with BYE where there is a channel. */
void peer_bye(struct node *n, struct peer *p, enum message_bye_reason reason,
              enum status why, const char *text);
void peer_close(struct node *n, struct peer *p, enum status why,
                const char *text);

/* The peer broke the protocol: the link ends and the address waits. */
void peer_punish(struct node *n, struct peer *p, const char *text);
/* It sent what no honest peer sends; at LIMIT_LINK_STRIKES as above. */
void peer_strike(struct node *n, struct peer *p, const char *text);

/* Notes where a node of the roster says it can be reached. */
struct body_status;
void peer_learn_addresses(struct node *n, const struct node_id *node,
                          const struct body_status *status);

/* Certificates or the fleet changed: who may stay? */
void peer_judge_all(struct node *n);

void peer_tick(struct node *n, struct peer *p);
uint64_t peer_deadline_ns(const struct node *n, struct peer *p);

#endif
