/* Finds peers on the same networks: a multicast beacon now and then, to a
 * link-local IPv6 group and a site-local IPv4 one, that nobody answers. What
 * is heard becomes a hint to the core. A machine without multicast goes
 * without: nothing here is fatal.
 *
 * Beacon, 30 bytes: "dmb1", 8 random bytes of this start, the TCP port (big
 * endian), and a 16-byte MAC of all before it and the fleet id under the fleet
 * secret. */
#ifndef DAEMON_UDP_H
#define DAEMON_UDP_H

#include "daemon/loop.h"

#define UDP_BEACON_BYTES 30u

struct udp;

/* NO_MEMORY. */
enum status udp_new(struct loop *loop, struct udp **out) MUST_CHECK;

/* Begins, or ends when discovery is switched off. May be called again. */
void udp_start(struct udp *udp);
void udp_stop(struct udp *udp);
void udp_free(struct udp *udp); /* after the loop has run out */

/* ---- The packet. ---- */

void udp_beacon_write(const struct fleet_file *fleet, const uint8_t instance[8],
                      unsigned port, uint8_t out[UDP_BEACON_BYTES]);

/* False unless it is a beacon of this fleet under one of its secrets. */
bool udp_beacon_read(const struct fleet_file *fleet, struct bytes in,
                     uint8_t instance[8], unsigned *port);

#endif
