/* One struct link a connection, from the first address tried to the last
 * callback of its handles. */
#include "daemon/net.h"

#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/socket.h>

#define READ_SIZE        65536u
#define OUT_SIZE         (2 * NODE_OUTPUT_MIN)
#define PUMP_MAX         8 /* buffers of one link before others have a turn */
#define NOTSENT_LOWAT    32768
#define DIAL_TIMEOUT_MS  5000u /* for one address */
#define CLOSE_TIMEOUT_MS 2000u
#define LISTEN_MAX       8u
#define BACKLOG          64

enum link_state {
    LINK_RESOLVING,
    LINK_CONNECTING,
    LINK_OPEN,
    LINK_DRAINING, /* closes when its output is sent */
    LINK_DEAD,     /* handles are closing */
};

struct link {
    struct link *next;
    struct net *net;
    link_id id;
    enum link_state state;
    enum status why;
    bool wants_output, writing;
    bool tcp_made;
    unsigned handles; /* not closed yet */
    uv_tcp_t tcp;
    uv_timer_t timer;
    uv_write_t write;
    uv_connect_t connect;
    uv_getaddrinfo_t resolve;
    bool resolving;
    struct addrinfo *addrs, *addr; /* found, and the one being tried */
    enum status last_error;
    uint8_t *out;
};

struct listener {
    uv_tcp_t tcp;
    bool made;
    char name[NODE_ADDR_MAX + 1]; /* as configured */
};

struct net {
    struct loop *loop;
    struct link *links;
    struct listener listeners[LISTEN_MAX];
    size_t listener_count;
    bool stopping;
    char read_buf[READ_SIZE]; /* the core takes all of it at once */
};

static enum status status_from_uv(int err)
{
    switch (err) {
    case UV_EADDRINUSE:
        return STATUS_EXISTS;
    case UV_EAI_NONAME:
    case UV_EAI_NODATA:
        return STATUS_NO_SUCH_HOST;
    case UV_EOF:
        return STATUS_CLOSED;
    default:
        return err > -1000 ? status_from_errno(-err) : STATUS_IO;
    }
}

static void address_text(const struct sockaddr *sa, char out[NODE_ADDR_MAX + 1])
{
    char host[64] = "?";
    uv_ip_name(sa, host, sizeof(host));
    if (sa->sa_family == AF_INET6)
        snprintf(
            out, NODE_ADDR_MAX + 1, "[%s]:%u", host,
            ntohs(((const struct sockaddr_in6 *)(const void *)sa)->sin6_port));
    else
        snprintf(
            out, NODE_ADDR_MAX + 1, "%s:%u", host,
            ntohs(((const struct sockaddr_in *)(const void *)sa)->sin_port));
}

/* ---- Links. ---- */

static struct link *link_find(struct net *net, link_id id)
{
    for (struct link *l = net->links; l; l = l->next)
        if (l->id == id && l->state != LINK_DEAD)
            return l;
    return NULL;
}

static struct link *link_new(struct net *net)
{
    struct link *l = calloc(1, sizeof(*l));
    if (!l)
        return NULL;
    l->net = net;
    l->timer.data = l;
    uv_timer_init(&net->loop->uv, &l->timer);
    l->handles = 1;
    l->next = net->links;
    net->links = l;
    return l;
}

static void link_free_if_done(struct link *l)
{
    if (l->handles || l->resolving)
        return;
    struct link **at = &l->net->links;
    while (*at != l)
        at = &(*at)->next;
    *at = l->next;
    if (l->addrs)
        uv_freeaddrinfo(l->addrs);
    free(l->out);
    free(l);
}

static void on_link_handle_closed(uv_handle_t *handle)
{
    struct link *l = handle->data;
    l->handles--;
    link_free_if_done(l);
}

static void link_close_handles(struct link *l)
{
    l->state = LINK_DEAD;
    if (l->resolving)
        uv_cancel((uv_req_t *)&l->resolve);
    uv_close((uv_handle_t *)&l->timer, on_link_handle_closed);
    if (l->tcp_made)
        uv_close((uv_handle_t *)&l->tcp, on_link_handle_closed);
}

/* The connection is gone: the core hears of it once. */
static void link_gone(struct link *l, enum status why)
{
    struct loop *loop = l->net->loop;
    if (l->state == LINK_DEAD)
        return;
    link_close_handles(l);
    if (loop->node)
        node_link_closed(loop->node, l->id, why, uv_hrtime());
}

static void link_tcp_init(struct link *l)
{
    uv_tcp_init(&l->net->loop->uv, &l->tcp);
    l->tcp.data = l;
    l->tcp_made = true;
    l->handles++;
}

static void link_tune(struct link *l)
{
    uv_os_fd_t fd;
    int lowat = NOTSENT_LOWAT;
    uv_tcp_nodelay(&l->tcp, 1);
    if (!uv_fileno((uv_handle_t *)&l->tcp, &fd))
        setsockopt(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &lowat, sizeof(lowat));
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    struct link *l = handle->data;
    (void)suggested;
    *buf = uv_buf_init(l->net->read_buf, READ_SIZE);
}

static void on_read(uv_stream_t *stream, ssize_t got, const uv_buf_t *buf)
{
    struct link *l = stream->data;
    struct loop *loop = l->net->loop;
    if (!got || l->state == LINK_DEAD)
        return;
    if (got < 0)
        link_gone(l, status_from_uv((int)got));
    else if (l->state == LINK_OPEN)
        node_link_recv(loop->node, l->id, bytes_of(buf->base, (size_t)got),
                       uv_hrtime());
    loop_drain(loop);
}

static bool link_pump(struct link *l);

static void on_written(uv_write_t *req, int result)
{
    struct link *l = req->data;
    l->writing = false;
    if (l->state == LINK_DEAD)
        return;
    if (result)
        link_gone(l, status_from_uv(result));
    else
        (void)link_pump(l);
    loop_drain(l->net->loop);
}

/* Hands n bytes of the buffer to the socket. False: wait for on_written. */
static bool link_send(struct link *l, size_t size, bool wait)
{
    uv_stream_t *stream = (uv_stream_t *)&l->tcp;
    uv_buf_t buf = uv_buf_init((char *)l->out, (unsigned)size);
    int sent = wait ? UV_EAGAIN : uv_try_write(stream, &buf, 1);
    if (sent == (int)size)
        return true;
    if (sent < 0 && sent != UV_EAGAIN) {
        link_gone(l, status_from_uv(sent));
        return false;
    }
    if (sent > 0) {
        buf.base += sent;
        buf.len -= (size_t)sent;
    }
    l->write.data = l;
    l->writing = true;
    int result = uv_write(&l->write, stream, &buf, 1, on_written);
    if (result) {
        l->writing = false;
        link_gone(l, status_from_uv(result));
    }
    return false;
}

/* Pulls bytes from the core while the socket takes them. True when any. */
static bool link_pump(struct link *l)
{
    struct loop *loop = l->net->loop;
    bool any = false;
    if (l->state != LINK_OPEN && l->state != LINK_DRAINING)
        return false;
    l->wants_output = false;
    for (int turn = 0; !l->writing; turn++) {
        if (!l->out)
            l->out = malloc(OUT_SIZE);
        if (!l->out) {
            link_gone(l, STATUS_NO_MEMORY);
            return true;
        }
        size_t size =
            node_link_output(loop->node, l->id, l->out, OUT_SIZE, uv_hrtime());
        if (!size)
            break;
        any = true;
        if (!link_send(l, size, turn == PUMP_MAX))
            return true;
    }
    if (!l->writing) {
        free(l->out);
        l->out = NULL;
        if (l->state == LINK_DRAINING) {
            link_gone(l, l->why);
            any = true;
        }
    }
    return any;
}

static void link_opened(struct link *l)
{
    l->state = LINK_OPEN;
    uv_timer_stop(&l->timer);
    link_tune(l);
    uv_read_start((uv_stream_t *)&l->tcp, on_alloc, on_read);
}

/* ---- Dialling. ---- */

static void dial_next(struct link *l);

static void dial_failed(struct link *l)
{
    struct loop *loop = l->net->loop;
    if (l->state == LINK_DEAD)
        return;
    link_close_handles(l);
    if (loop->node)
        node_dialled(loop->node, l->id, l->last_error, NULL, uv_hrtime());
}

static void on_socket_replaced(uv_handle_t *handle)
{
    struct link *l = handle->data;
    l->handles--;
    if (l->state == LINK_DEAD) {
        link_free_if_done(l);
        return;
    }
    dial_next(l);
    loop_drain(l->net->loop);
}

/* This address failed: close its socket, then try the next one. */
static void dial_again(struct link *l, enum status why)
{
    l->last_error = why;
    l->addr = l->addr->ai_next;
    uv_timer_stop(&l->timer);
    l->tcp_made = false;
    uv_close((uv_handle_t *)&l->tcp, on_socket_replaced);
}

static void on_connected(uv_connect_t *req, int result)
{
    struct link *l = req->data;
    struct loop *loop = l->net->loop;
    if (result == UV_ECANCELED || l->state != LINK_CONNECTING)
        return;
    if (result) {
        dial_again(l, status_from_uv(result));
        return;
    }
    char remote[NODE_ADDR_MAX + 1];
    address_text(l->addr->ai_addr, remote);
    link_opened(l);
    node_dialled(loop->node, l->id, STATUS_OK, remote, uv_hrtime());
    loop_drain(loop);
}

static void on_dial_timeout(uv_timer_t *timer)
{
    struct link *l = timer->data;
    if (l->state == LINK_CONNECTING)
        dial_again(l, STATUS_TIMEOUT);
}

static void dial_next(struct link *l)
{
    while (l->addr && l->addr->ai_family != AF_INET &&
           l->addr->ai_family != AF_INET6)
        l->addr = l->addr->ai_next;
    if (!l->addr) {
        dial_failed(l);
        return;
    }
    l->state = LINK_CONNECTING;
    link_tcp_init(l);
    l->connect.data = l;
    uv_timer_start(&l->timer, on_dial_timeout, DIAL_TIMEOUT_MS, 0);
    int result =
        uv_tcp_connect(&l->connect, &l->tcp, l->addr->ai_addr, on_connected);
    if (result)
        dial_again(l, status_from_uv(result));
}

static void on_resolved(uv_getaddrinfo_t *req, int result,
                        struct addrinfo *addrs)
{
    struct link *l = req->data;
    l->resolving = false;
    l->addrs = l->addr = addrs;
    if (l->state == LINK_DEAD) {
        link_free_if_done(l);
        return;
    }
    l->last_error = result ? status_from_uv(result) : STATUS_NO_SUCH_HOST;
    if (result)
        dial_failed(l);
    else
        dial_next(l);
    loop_drain(l->net->loop);
}

void net_dial(struct net *net, link_id link, const char *addr)
{
    char host[NODE_ADDR_MAX + 1], service[8];
    unsigned port;
    struct loop *loop = net->loop;
    struct link *l = link_new(net);
    if (!l) {
        node_dialled(loop->node, link, STATUS_NO_MEMORY, NULL, uv_hrtime());
        return;
    }
    l->id = link;
    l->state = LINK_RESOLVING;
    l->last_error = STATUS_USAGE;
    const struct addrinfo hints = {.ai_family = AF_UNSPEC,
                                   .ai_socktype = SOCK_STREAM,
                                   .ai_flags = AI_ADDRCONFIG};
    int result = UV_EINVAL;
    if (config_split_address(addr, CONFIG_PORT_DEFAULT, host, sizeof(host),
                             &port)) {
        snprintf(service, sizeof(service), "%u", port);
        l->resolve.data = l;
        result = uv_getaddrinfo(&loop->uv, &l->resolve, on_resolved, host,
                                service, &hints);
        l->resolving = !result;
    }
    if (result)
        dial_failed(l);
}

/* ---- What the core asks for. ---- */

void net_output(struct net *net, link_id link)
{
    struct link *l = link_find(net, link);
    if (l)
        l->wants_output = true;
}

bool net_flush(struct net *net)
{
    bool any = false;
    for (struct link *l = net->links, *next; l; l = next) {
        next = l->next;
        if (l->wants_output && !l->writing && link_pump(l))
            any = true;
    }
    return any;
}

static void on_close_timeout(uv_timer_t *timer)
{
    struct link *l = timer->data;
    link_gone(l, l->why);
    loop_drain(l->net->loop);
}

void net_close(struct net *net, link_id link, enum status why)
{
    struct link *l = link_find(net, link);
    if (!l) {
        node_link_closed(net->loop->node, link, why, uv_hrtime());
        return;
    }
    if (l->state != LINK_OPEN) {
        if (l->state != LINK_DRAINING)
            link_gone(l, why);
        return;
    }
    l->state = LINK_DRAINING;
    l->why = why;
    uv_read_stop((uv_stream_t *)&l->tcp);
    uv_timer_start(&l->timer, on_close_timeout, CLOSE_TIMEOUT_MS, 0);
    l->wants_output = true;
}

/* ---- Listening. ---- */

static void on_connection(uv_stream_t *server, int result)
{
    struct net *net = server->data;
    struct loop *loop = net->loop;
    struct sockaddr_storage sa;
    int size = sizeof(sa);
    char remote[NODE_ADDR_MAX + 1] = "?";
    struct link *l = result ? NULL : link_new(net);
    if (!l)
        return;
    link_tcp_init(l);
    l->state = LINK_CONNECTING;
    if (uv_accept(server, (uv_stream_t *)&l->tcp) || net->stopping ||
        uv_tcp_getpeername(&l->tcp, (struct sockaddr *)&sa, &size)) {
        link_close_handles(l);
        return;
    }
    address_text((const struct sockaddr *)&sa, remote);
    if (node_accept(loop->node, remote, uv_hrtime(), &l->id)) {
        link_close_handles(l);
        loop_drain(loop);
        return;
    }
    link_opened(l);
    loop_drain(loop);
}

enum status net_listen(struct net *net, struct diag *diag)
{
    for (size_t i = 0; i < net->listener_count; i++) {
        struct listener *at = &net->listeners[i];
        int result = uv_listen((uv_stream_t *)&at->tcp, BACKLOG, on_connection);
        if (result)
            return diag_fail(diag, status_from_uv(result),
                             "cannot listen on %s: %s", at->name,
                             uv_strerror(result));
    }
    return STATUS_OK;
}

/* Resolves a listen address; numeric ones need no network. */
static enum status bind_one(struct net *net, const char *name,
                            struct diag *diag)
{
    char host[NODE_ADDR_MAX + 1], service[8];
    unsigned port;
    struct addrinfo *found = NULL;
    struct listener *at = &net->listeners[net->listener_count];
    if (!config_split_address(name, CONFIG_PORT_DEFAULT, host, sizeof(host),
                              &port))
        return diag_fail(diag, STATUS_USAGE, "\"%s\" is no HOST:PORT", name);
    snprintf(service, sizeof(service), "%u", port);
    const struct addrinfo hints = {.ai_family = AF_UNSPEC,
                                   .ai_socktype = SOCK_STREAM,
                                   .ai_flags = AI_PASSIVE};
    int bad = getaddrinfo(host, service, &hints, &found);
    if (bad)
        return diag_fail(diag, STATUS_NOT_FOUND, "cannot listen on %s: %s",
                         name, gai_strerror(bad));
    uv_tcp_init(&net->loop->uv, &at->tcp);
    at->made = true;
    at->tcp.data = net;
    snprintf(at->name, sizeof(at->name), "%s", name);
    net->listener_count++;
    struct sockaddr_storage sa;
    int size = sizeof(sa);
    int result = uv_tcp_bind(&at->tcp, found->ai_addr, 0);
    if (!result)
        result = uv_tcp_getsockname(&at->tcp, (struct sockaddr *)&sa, &size);
    freeaddrinfo(found);
    if (!result)
        return STATUS_OK;
    return diag_fail(diag, status_from_uv(result), "cannot listen on %s: %s",
                     name, uv_strerror(result));
}

/* Without configuration: all addresses of both families, or of IPv4 alone
 * where the machine has no IPv6. */
static enum status bind_default(struct net *net, struct diag *diag)
{
    char name[32];
    snprintf(name, sizeof(name), "[::]:%u", CONFIG_PORT_DEFAULT);
    enum status status = bind_one(net, name, NULL);
    if (!status || status == STATUS_EXISTS)
        return status ? diag_fail(diag, status,
                                  "cannot listen on %s: it is in use", name)
                      : STATUS_OK;
    struct listener *last = &net->listeners[net->listener_count];
    if (net->listener_count) {
        last = &net->listeners[net->listener_count - 1];
        uv_close((uv_handle_t *)&last->tcp, NULL);
        uv_run(&net->loop->uv, UV_RUN_NOWAIT);
        net->listener_count--;
    }
    snprintf(name, sizeof(name), "0.0.0.0:%u", CONFIG_PORT_DEFAULT);
    return bind_one(net, name, diag);
}

enum status net_open(struct loop *loop, struct net **out, struct diag *diag)
{
    struct net *net = calloc(1, sizeof(*net));
    *out = net;
    if (!net)
        return STATUS_NO_MEMORY;
    net->loop = loop;
    const struct config_list *list = &loop->config.listen;
    if (!list->count)
        return bind_default(net, diag);
    if (list->count > LISTEN_MAX)
        return diag_fail(diag, STATUS_USAGE, "at most %u listen addresses",
                         LISTEN_MAX);
    enum status status = STATUS_OK;
    for (size_t i = 0; i < list->count && !status; i++)
        status = bind_one(net, list->item[i], diag);
    return status;
}

bool net_address(const struct net *net, size_t index,
                 char out[NODE_ADDR_MAX + 1])
{
    struct sockaddr_storage sa;
    int size = sizeof(sa);
    if (!net || index >= net->listener_count ||
        uv_tcp_getsockname(&net->listeners[index].tcp, (struct sockaddr *)&sa,
                           &size))
        return false;
    address_text((const struct sockaddr *)&sa, out);
    return true;
}

unsigned net_port(const struct net *net)
{
    char host[NODE_ADDR_MAX + 1], text[NODE_ADDR_MAX + 1];
    unsigned port = 0;
    if (!net_address(net, 0, text) ||
        !config_split_address(text, 0, host, sizeof(host), &port))
        return 0;
    return port;
}

void net_stop(struct net *net)
{
    if (!net || net->stopping)
        return;
    net->stopping = true;
    for (size_t i = 0; i < net->listener_count; i++)
        uv_close((uv_handle_t *)&net->listeners[i].tcp, NULL);
    for (struct link *l = net->links, *next; l; l = next) {
        next = l->next;
        if (l->state != LINK_DEAD)
            link_close_handles(l);
    }
}

void net_free(struct net *net)
{
    free(net);
}
