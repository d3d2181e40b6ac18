/* TCP links: accepts, dials, carries bytes between sockets and the core. */
#ifndef DAEMON_NET_H
#define DAEMON_NET_H

#include "daemon/loop.h"

struct net;

/* Binds all listen addresses (port 0: any free one); nobody can connect yet.
 * diag names the address that cannot be bound. */
enum status net_open(struct loop *loop, struct net **out, struct diag *diag)
    MUST_CHECK;

/* Accepts connections from now on. EXISTS: a port is in use; diag names it. */
enum status net_listen(struct net *net, struct diag *diag) MUST_CHECK;

/* Starts to close everything; handles end on the loop. */
void net_stop(struct net *net);

/* After the loop has run out. */
void net_free(struct net *net);

/* Bound addresses with their ports: index 0, 1...; false past the end. */
bool net_address(const struct net *net, size_t index,
                 char out[NODE_ADDR_MAX + 1]);
unsigned net_port(const struct net *net); /* of the first */

void net_dial(struct net *net, link_id link, const char *addr);
void net_output(struct net *net, link_id link);
void net_close(struct net *net, link_id link, enum status why);

/* Sends for all links that net_output named since. True when any byte or event
 * came of it. */
bool net_flush(struct net *net);

#endif
