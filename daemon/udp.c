/* Multicast beacons. */
#include "daemon/udp.h"

#include "codec/base/reader.h"
#include "daemon/net.h"

#include <net/if.h>
#include <netinet/in.h>
#include <stdlib.h>

#define GROUP6        "ff12::646d:6265"
#define GROUP4        "239.255.100.109"
#define PERIOD_MS     60000u
#define FIRST_MS      1000u
#define HINTS_PER_S   4u
#define BODY_BYTES    14u /* of a beacon, before the MAC */
#define INTERFACE_MAX 32

struct udp {
    struct loop *loop;
    uv_udp_t sock[2]; /* IPv6, IPv4 */
    bool made[2];
    uv_timer_t timer;
    bool running;
    uint8_t instance[8];
    uint64_t second; /* of the hints counted */
    unsigned hints;
    char buf[128];
};

/* ---- The packet. ---- */

static void beacon_mac(const struct crypto_secret *secret,
                       const struct hash *fleet, const uint8_t *body,
                       uint8_t out[CRYPTO_TAG_BYTES])
{
    uint8_t in[BODY_BYTES + HASH_BYTES];
    memcpy(in, body, BODY_BYTES);
    memcpy(in + BODY_BYTES, fleet->b, HASH_BYTES);
    crypto_mac(bytes_of(secret->b, sizeof(secret->b)), bytes_of(in, sizeof(in)),
               out, CRYPTO_TAG_BYTES);
}

void udp_beacon_write(const struct fleet_file *fleet, const uint8_t instance[8],
                      unsigned port, uint8_t out[UDP_BEACON_BYTES])
{
    memcpy(out, "dmb1", 4);
    memcpy(out + 4, instance, 8);
    store_be16(out + 12, (uint16_t)port);
    beacon_mac(&fleet->secret[0], &fleet->fleet, out, out + BODY_BYTES);
}

bool udp_beacon_read(const struct fleet_file *fleet, struct bytes in,
                     uint8_t instance[8], unsigned *port)
{
    uint8_t magic[4], mac[CRYPTO_TAG_BYTES], want[CRYPTO_TAG_BYTES];
    struct reader rd;
    reader_init(&rd, in);
    reader_copy(&rd, magic, sizeof(magic));
    reader_copy(&rd, instance, 8);
    *port = reader_be16(&rd);
    reader_copy(&rd, mac, sizeof(mac));
    if (reader_finish(&rd) || memcmp(magic, "dmb1", 4) || !*port)
        return false;
    for (unsigned i = 0; i < fleet->secret_count; i++) {
        beacon_mac(&fleet->secret[i], &fleet->fleet, in.data, want);
        if (crypto_equal(mac, want, sizeof(mac)))
            return true;
    }
    return false;
}

/* ---- Hearing. ---- */

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    struct udp *udp = handle->data;
    (void)suggested;
    *buf = uv_buf_init(udp->buf, sizeof(udp->buf));
}

/* A link-local address needs the interface it was heard on. */
static bool hint_address(const struct sockaddr *sa, unsigned port,
                         char out[NODE_ADDR_MAX + 1])
{
    char host[64], name[IF_NAMESIZE];
    const struct sockaddr_in6 *in6 = (const void *)sa;
    if (uv_ip_name(sa, host, sizeof(host)))
        return false;
    if (sa->sa_family != AF_INET6)
        snprintf(out, NODE_ADDR_MAX + 1, "%s:%u", host, port);
    else if (!IN6_IS_ADDR_LINKLOCAL(&in6->sin6_addr))
        snprintf(out, NODE_ADDR_MAX + 1, "[%s]:%u", host, port);
    else if (if_indextoname(in6->sin6_scope_id, name))
        snprintf(out, NODE_ADDR_MAX + 1, "[%s%%%s]:%u", host, name, port);
    else
        return false;
    return true;
}

static bool may_hint(struct udp *udp)
{
    uint64_t second = uv_hrtime() / 1000000000u;
    if (second != udp->second) {
        udp->second = second;
        udp->hints = 0;
    }
    return udp->hints++ < HINTS_PER_S;
}

static void on_packet(uv_udp_t *sock, ssize_t got, const uv_buf_t *buf,
                      const struct sockaddr *from, unsigned flags)
{
    struct udp *udp = sock->data;
    struct loop *loop = udp->loop;
    uint8_t instance[8];
    unsigned port;
    char addr[NODE_ADDR_MAX + 1];
    if (got <= 0 || !from || (flags & UV_UDP_PARTIAL) || !loop->node ||
        loop->stopping)
        return;
    if (!udp_beacon_read(&loop->fleet, bytes_of(buf->base, (size_t)got),
                         instance, &port) ||
        !memcmp(instance, udp->instance, sizeof(instance)) || !may_hint(udp) ||
        !hint_address(from, port, addr))
        return;
    node_peer_hint(loop->node, addr, uv_hrtime());
    loop_drain(loop);
}

/* ---- Telling. ---- */

struct interface {
    char text[80]; /* numeric address, with %name for IPv6 */
    bool ipv6;
};

/* One entry an interface and family. */
static size_t list_interfaces(struct interface *out, size_t max)
{
    uv_interface_address_t *list;
    int count;
    size_t used = 0;
    if (uv_interface_addresses(&list, &count))
        return 0;
    for (int i = 0; i < count && used < max; i++) {
        const struct sockaddr *sa = (const struct sockaddr *)&list[i].address;
        char host[64];
        bool ipv6 = sa->sa_family == AF_INET6;
        if (list[i].is_internal || uv_ip_name(sa, host, sizeof(host)) ||
            (ipv6 &&
             !IN6_IS_ADDR_LINKLOCAL(&list[i].address.address6.sin6_addr)))
            continue;
        out[used].ipv6 = ipv6;
        snprintf(out[used++].text, sizeof(out->text), ipv6 ? "%s%%%s" : "%s",
                 host, list[i].name);
    }
    uv_free_interface_addresses(list, count);
    return used;
}

static void send_all(struct udp *udp)
{
    uint8_t packet[UDP_BEACON_BYTES];
    struct interface list[INTERFACE_MAX];
    struct sockaddr_in6 to6;
    struct sockaddr_in to4;
    size_t count = list_interfaces(list, INTERFACE_MAX);
    unsigned port = net_port(udp->loop->net);
    uv_buf_t buf = uv_buf_init((char *)packet, sizeof(packet));
    if (!port || uv_ip6_addr(GROUP6, CONFIG_PORT_DEFAULT, &to6) ||
        uv_ip4_addr(GROUP4, CONFIG_PORT_DEFAULT, &to4))
        return;
    udp_beacon_write(&udp->loop->fleet, udp->instance, port, packet);
    for (size_t i = 0; i < count; i++) {
        int family = list[i].ipv6 ? 0 : 1;
        const struct sockaddr *to = list[i].ipv6
                                        ? (const struct sockaddr *)&to6
                                        : (const struct sockaddr *)&to4;
        if (!udp->made[family] ||
            uv_udp_set_multicast_interface(&udp->sock[family], list[i].text))
            continue;
        int ignored = uv_udp_try_send(&udp->sock[family], &buf, 1, to);
        (void)ignored; /* the next beacon may do better */
    }
}

static void on_timer(uv_timer_t *timer)
{
    struct udp *udp = timer->data;
    if (udp->running && !udp->loop->stopping)
        send_all(udp);
}

static bool open_socket(struct udp *udp, int family)
{
    struct sockaddr_in6 any6;
    struct sockaddr_in any4;
    uv_udp_t *sock = &udp->sock[family];
    if (uv_ip6_addr("::", CONFIG_PORT_DEFAULT, &any6) ||
        uv_ip4_addr("0.0.0.0", CONFIG_PORT_DEFAULT, &any4) ||
        uv_udp_init(&udp->loop->uv, sock))
        return false;
    sock->data = udp;
    const struct sockaddr *sa = family ? (const struct sockaddr *)&any4
                                       : (const struct sockaddr *)&any6;
    unsigned flags = UV_UDP_REUSEADDR | (family ? 0 : UV_UDP_IPV6ONLY);
    if (uv_udp_bind(sock, sa, flags) ||
        uv_udp_recv_start(sock, on_alloc, on_packet)) {
        uv_close((uv_handle_t *)sock, NULL);
        return false;
    }
    return true;
}

static void join_groups(struct udp *udp)
{
    struct interface list[INTERFACE_MAX];
    size_t count = list_interfaces(list, INTERFACE_MAX);
    for (size_t i = 0; i < count; i++) {
        int family = list[i].ipv6 ? 0 : 1;
        if (!udp->made[family])
            continue;
        int ignored =
            uv_udp_set_membership(&udp->sock[family], family ? GROUP4 : GROUP6,
                                  list[i].text, UV_JOIN_GROUP);
        (void)ignored; /* an interface without multicast */
    }
}

enum status udp_new(struct loop *loop, struct udp **out)
{
    *out = calloc(1, sizeof(**out));
    if (!*out)
        return STATUS_NO_MEMORY;
    (*out)->loop = loop;
    rng_fill(&loop->rng, (*out)->instance, sizeof((*out)->instance));
    uv_timer_init(&loop->uv, &(*out)->timer);
    (*out)->timer.data = *out;
    return STATUS_OK;
}

void udp_start(struct udp *udp)
{
    if (udp->running == udp->loop->config.discovery)
        return;
    if (udp->running) {
        udp_stop(udp);
        return;
    }
    udp->running = true;
    for (int family = 0; family < 2; family++)
        udp->made[family] = open_socket(udp, family);
    if (!udp->made[0] && !udp->made[1])
        log_warn(&udp->loop->log, "no discovery: UDP port %u cannot be bound",
                 CONFIG_PORT_DEFAULT);
    join_groups(udp);
    uv_timer_start(&udp->timer, on_timer, FIRST_MS, PERIOD_MS);
}

void udp_stop(struct udp *udp)
{
    if (!udp || !udp->running)
        return;
    udp->running = false;
    uv_timer_stop(&udp->timer);
    for (int family = 0; family < 2; family++)
        if (udp->made[family])
            uv_close((uv_handle_t *)&udp->sock[family], NULL);
    udp->made[0] = udp->made[1] = false;
}

void udp_free(struct udp *udp)
{
    free(udp);
}
