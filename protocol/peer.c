/* The life of a link. Decisions about the whole node (whom to dial, what to
 * ask for) are elsewhere; here is what one link needs. */
#include "protocol/peer.h"

#include "protocol/gossip/digest.h"
#include "protocol/node_state.h"
#include "protocol/noise/channel.h"

#include <stdio.h>
#include <stdlib.h>

#define FOLD_NS \
    600000000000ull /* one line in ten minutes for a flapping node */

/* ---- Finding, making, freeing. ---- */

struct peer *peer_find(const struct node *n, link_id id)
{
    for (size_t i = 0; i < n->peer_count; i++)
        if (n->peers[i]->id == id)
            return n->peers[i];
    return NULL;
}

struct peer *peer_of_node(const struct node *n, const struct node_id *node)
{
    for (size_t i = 0; i < n->peer_count; i++) {
        struct peer *p = n->peers[i];
        if (p->known && !p->closing && node_id_equal(&p->node, node))
            return p;
    }
    return NULL;
}

static bool grow(struct node *n)
{
    if (n->peer_count < n->peer_cap)
        return true;
    size_t cap = n->peer_cap ? 2 * n->peer_cap : 8;
    struct peer **peers = realloc(n->peers, cap * sizeof *peers);
    if (!peers)
        return false;
    n->peers = peers;
    n->peer_cap = cap;
    return true;
}

struct peer *peer_new(struct node *n, const char *addr, bool outgoing)
{
    struct peer *p = calloc(1, sizeof *p);
    char *copy = strdup(addr);
    if (!p || !copy || !grow(n)) {
        free(p);
        free(copy);
        return NULL;
    }
    p->addr = copy;
    p->outgoing = outgoing;
    p->dialling = outgoing;
    p->id = n->next_link++;
    p->born_ns = p->heard_ns = n->now_ns;
    quota_init(&p->pings, 1, 20, n->now_ns);
    quota_init(&p->refusals, 1, 128, n->now_ns);
    n->peers[n->peer_count++] = p;
    n->counters.links_opened++;
    return p;
}

void peer_free(struct peer *p)
{
    session_free(p->session);
    push_deinit(&p->push);
    free(p->control.data);
    free(p->cert);
    free(p->addr);
    free(p);
}

/* Info the first time in a while for this node, else debug. */
static enum node_log_level fold(struct node *n, const struct node_id *node)
{
    for (size_t i = 0; i < NODE_LOG_FOLDS; i++)
        if (n->folds[i].until_ns > n->now_ns &&
            node_id_equal(&n->folds[i].node, node))
            return NODE_LOG_DEBUG;
    n->folds[n->fold_next].node = *node;
    n->folds[n->fold_next].until_ns = n->now_ns + FOLD_NS;
    n->fold_next = (n->fold_next + 1) % NODE_LOG_FOLDS;
    return NODE_LOG_INFO;
}

/* The same for a warning. */
static enum node_log_level fold_warning(struct node *n,
                                        const struct node_id *node)
{
    return fold(n, node) == NODE_LOG_INFO ? NODE_LOG_WARN : NODE_LOG_DEBUG;
}

static void ban(struct node *n, const struct peer *p)
{
    if (!p->known)
        return;
    n->bans[n->ban_next].node = p->node;
    n->bans[n->ban_next].until_ns = n->now_ns + PEER_BAN_NS;
    n->ban_next = (n->ban_next + 1) % NODE_BANS;
}

static bool is_banned(const struct node *n, const struct node_id *node)
{
    for (size_t i = 0; i < NODE_BANS; i++)
        if (n->bans[i].until_ns > n->now_ns &&
            node_id_equal(&n->bans[i].node, node))
            return true;
    return false;
}

static void tell_link(struct node *n, const struct peer *p,
                      enum node_event event, const char *text)
{
    struct node_action action = {
        .kind = NODE_ACTION_EVENT, .event = event, .link = p->id, .text = text};
    memcpy(action.peer, p->node.b, sizeof action.peer);
    (void)outbox_put(&n->outbox, &action);
}

/* The address that this link was dialled for learns how it went. */
static void settle_entry(struct node *n, struct peer *p)
{
    struct links_entry *entry = links_of(n->links, p->id);
    if (!entry)
        return;
    if (p->known && !node_id_equal(&p->node, &n->id)) {
        entry->has_node = true;
        entry->node = p->node;
    }
    links_down(n->links, entry, p->error, p->punished, n->now_ns);
}

void peer_remove(struct node *n, struct peer *p, enum status why)
{
    size_t at = 0;
    while (n->peers[at] != p)
        at++;
    n->peers[at] = n->peers[--n->peer_count];
    if (!p->error[0] && why)
        (void)snprintf(p->error, sizeof p->error, "%s", status_text(why));
    settle_entry(n, p);
    if (p->up) {
        transfer_peer_down(n->transfer, p->id, n->now_ns);
        tell_link(n, p, NODE_EVENT_LINK_DOWN, p->addr);
        outbox_log(&n->outbox, fold(n, &p->node), "link to %s is down: %s",
                   p->addr, p->error[0] ? p->error : "closed");
    } else {
        outbox_log(&n->outbox, NODE_LOG_DEBUG, "no link to %s: %s", p->addr,
                   p->error[0] ? p->error : "closed");
        if (p->session)
            n->counters.handshakes_failed++;
    }
    peer_free(p);
}

/* ---- Ending. ---- */

void peer_raise(struct node *n, struct peer *p)
{
    if (p->raised || !p->session)
        return;
    struct node_action action = {.kind = NODE_ACTION_OUTPUT, .link = p->id};
    p->raised = outbox_put(&n->outbox, &action);
}

void peer_close(struct node *n, struct peer *p, enum status why,
                const char *text)
{
    if (p->closing)
        return;
    p->closing = true;
    p->why = why;
    (void)snprintf(p->error, sizeof p->error, "%s", text);
    if (p->session && session_pending(p->session))
        peer_raise(n, p);
    struct node_action action = {
        .kind = NODE_ACTION_CLOSE, .link = p->id, .status = why};
    (void)outbox_put(&n->outbox, &action);
}

void peer_bye(struct node *n, struct peer *p, enum message_bye_reason reason,
              enum status why, const char *text)
{
    if (p->closing)
        return;
    if (p->session)
        session_bye(p->session, reason, text);
    peer_close(n, p, why, text);
}

void peer_punish(struct node *n, struct peer *p, const char *text)
{
    if (p->closing)
        return;
    p->punished = true;
    n->counters.strikes++;
    outbox_log(&n->outbox, fold_warning(n, &p->node),
               "closing the link to %s: %s", p->addr, text);
    ban(n, p);
    peer_bye(n, p, MESSAGE_BYE_PROTOCOL, STATUS_CORRUPT, text);
}

void peer_strike(struct node *n, struct peer *p, const char *text)
{
    if (p->closing)
        return;
    if (++p->strikes >= LIMIT_LINK_STRIKES) {
        peer_punish(n, p, text);
        return;
    }
    n->counters.strikes++;
    outbox_log(&n->outbox, NODE_LOG_DEBUG, "strike %u for %s: %s", p->strikes,
               p->addr, text);
}

/* ---- Sending. ---- */

static bool fifo_room(struct peer_fifo *fifo, size_t size)
{
    if (fifo->head && fifo->head == fifo->size)
        fifo->head = fifo->size = 0;
    if (size <= fifo->cap - fifo->size)
        return true;
    if (fifo->head)
        memmove(fifo->data, fifo->data + fifo->head, fifo->size - fifo->head);
    fifo->size -= fifo->head;
    fifo->head = 0;
    if (size <= fifo->cap - fifo->size)
        return true;
    size_t cap = fifo->cap ? fifo->cap : 512;
    while (cap - fifo->size < size)
        cap *= 2;
    if (cap > LIMIT_LINK_CONTROL_BYTES)
        return false;
    uint8_t *data = realloc(fifo->data, cap);
    if (!data)
        return false;
    fifo->data = data;
    fifo->cap = cap;
    return true;
}

bool peer_send(struct node *n, struct peer *p, struct bytes message)
{
    struct peer_fifo *fifo = &p->control;
    if (!p->up || p->closing || message.size > LIMIT_FRAME_PLAIN_BYTES)
        return false;
    if (!fifo->data)
        *fifo = (struct peer_fifo){0};
    if (!fifo_room(fifo, message.size + 2))
        return false;
    store_le16(fifo->data + fifo->size, (uint16_t)message.size);
    memcpy(fifo->data + fifo->size + 2, message.data, message.size);
    fifo->size += message.size + 2;
    peer_raise(n, p);
    return true;
}

bool peer_send_out(struct node *n, struct peer *p)
{
    struct writer wr;
    writer_init(&wr, n->plain, LIMIT_FRAME_PLAIN_BYTES);
    if (message_encode(n->out, &wr))
        return false;
    return peer_send(n, p, writer_view(&wr));
}

/* The next waiting control message; empty when there is none. */
static struct bytes fifo_peek(const struct peer_fifo *fifo)
{
    if (fifo->head == fifo->size)
        return bytes_of(NULL, 0);
    return bytes_of(fifo->data + fifo->head + 2,
                    load_le16(fifo->data + fifo->head));
}

static void fifo_pop(struct peer_fifo *fifo)
{
    fifo->head += 2u + load_le16(fifo->data + fifo->head);
    if (fifo->head < fifo->size)
        return;
    free(fifo->data);
    *fifo = (struct peer_fifo){0};
}

/* The envelope of a slot that goes next: all of them in turn. */
static struct bytes next_envelope(const struct peer *p,
                                  const struct slot_entry *entry,
                                  unsigned *count)
{
    struct bytes parts[3];
    *count = slot_entry_envelopes(entry, parts);
    return parts[p->push.part < *count ? p->push.part : *count - 1];
}

/* What an envelope takes of the budget of statuses. */
static uint64_t push_cost(struct bytes envelope)
{
    return envelope.size + 32;
}

/* Takes the next envelope of the slot that goes next, as RECORD into n->plain;
 * empty when there is none, or statuses are over their budget. */
static struct bytes next_record(struct node *n, struct peer *p, size_t room)
{
    for (;;) {
        const struct push_item *item = push_peek(&p->push);
        if (!item || item->class == PUSH_ANNOUNCE)
            return bytes_of(NULL, 0);
        const struct slot_entry *entry = trust_slot(n->trust, &item->slot);
        if (!entry) {
            push_pop(&p->push);
            continue;
        }
        unsigned count;
        struct bytes envelope = next_envelope(p, entry, &count);
        if (envelope.size + 16 > room)
            return bytes_of(NULL, 0);
        if (item->class >= PUSH_STATUS_CHANGE &&
            !quota_take(&n->beat.send, push_cost(envelope), n->now_ns))
            return bytes_of(NULL, 0);
        struct message *msg = n->out;
        struct writer wr;
        msg->type = MESSAGE_RECORD;
        msg->u.record.envelope = envelope;
        writer_init(&wr, n->plain, LIMIT_FRAME_PLAIN_BYTES);
        enum status status = message_encode(msg, &wr);
        if (++p->push.part >= count)
            push_pop(&p->push);
        if (status)
            continue;
        n->counters.records_pushed++;
        return writer_view(&wr);
    }
}

static struct bytes next_bulk(struct node *n, struct peer *p, size_t room)
{
    if (!p->bulk || room < TRANSFER_DATA_MIN)
        return bytes_of(NULL, 0);
    if (room > LIMIT_FRAME_PLAIN_BYTES)
        room = LIMIT_FRAME_PLAIN_BYTES;
    size_t size =
        transfer_next_data(n->transfer, p->id, n->plain, room, n->now_ns);
    p->bulk = size > 0;
    p->data_out += size;
    return bytes_of(n->plain, size);
}

/* Seals messages behind used bytes of buf: control, records, then data. */
static size_t seal_messages(struct node *n, struct peer *p, uint8_t *buf,
                            size_t used, size_t cap)
{
    struct writer wr;
    writer_init(&wr, buf, cap);
    wr.size = used;
    while (cap - wr.size > CHANNEL_FRAME_BYTES(0)) {
        size_t room = cap - wr.size - CHANNEL_FRAME_BYTES(0);
        struct bytes plain = fifo_peek(&p->control);
        bool control = plain.size > 0;
        if (plain.size > room)
            break;
        if (!control)
            plain = next_record(n, p, room);
        if (!plain.size && !control)
            plain = next_bulk(n, p, room);
        if (!plain.size && fifo_peek(&p->control).size)
            continue; /* the transfer had something to say instead */
        if (!plain.size)
            break;
        if (session_seal(p->session, plain, &wr)) {
            peer_close(n, p, STATUS_INTERNAL, "a message cannot be sealed");
            break;
        }
        if (control)
            fifo_pop(&p->control);
    }
    return wr.size;
}

size_t peer_output(struct node *n, struct peer *p, uint8_t *buf, size_t cap)
{
    if (!p->session)
        return 0;
    size_t size = session_take(p->session, buf, cap);
    if (p->up && !p->closing && !session_pending(p->session))
        size = seal_messages(n, p, buf, size, cap);
    p->bytes_out += size;
    n->counters.bytes_out += size;
    if (!size)
        p->raised = false;
    return size;
}

/* ---- Up. ---- */

/* Up to 16 addresses of other links, for one whom we cannot take. */
static void send_peers(struct node *n, struct peer *p)
{
    struct message_peers *m = &n->out->u.peers;
    n->out->type = MESSAGE_PEERS;
    m->count = 0;
    for (size_t i = 0; i < links_count(n->links); i++) {
        const struct links_entry *e = links_at(n->links, i);
        if (m->count < LIMIT_PEERS_ADDRS && !e->self && !e->error[0] &&
            e->source != LINKS_HINT)
            m->addrs[m->count++] = bytes_of_text(e->addr);
    }
    if (session_queue(p->session, n->out))
        outbox_log(&n->outbox, NODE_LOG_DEBUG, "no PEERS to %s", p->addr);
}

static unsigned accepted_up(const struct node *n)
{
    unsigned count = 0;
    for (size_t i = 0; i < n->peer_count; i++)
        if (!n->peers[i]->outgoing && n->peers[i]->known &&
            !n->peers[i]->closing)
            count++;
    return count;
}

/* Whether the fleet lets this node in; words in *text when not. */
static bool admits(struct node *n, struct peer *p,
                   enum message_bye_reason *reason, const char **text)
{
    p->certified = false;
    if (!trust_fleet(n->trust, NULL))
        return true; /* joining: everyone who has the secret */
    switch (trust_node_presented(n->trust, &p->node,
                                 bytes_of(p->cert, p->cert_size))) {
    case TRUST_NODE_CERTIFIED:
        p->certified = true;
        return true;
    case TRUST_NODE_REVOKED:
        *reason = MESSAGE_BYE_REVOKED;
        *text = "this node is revoked";
        return false;
    default:
        *reason = MESSAGE_BYE_CERTIFICATE;
        *text = "no certificate of this fleet";
        return false;
    }
}

/* Of two links between two nodes the one dialled by the lesser id stays; of
 * two dialled by the same the newer. True when p stays. */
static bool settle_duplicate(struct node *n, struct peer *p)
{
    struct peer *other = NULL;
    for (size_t i = 0; i < n->peer_count; i++) {
        struct peer *q = n->peers[i];
        if (q != p && q->known && !q->closing &&
            node_id_equal(&q->node, &p->node))
            other = q;
    }
    if (!other)
        return true;
    bool ours_lesser = node_id_compare(&n->id, &p->node) < 0;
    bool stays = p->outgoing == other->outgoing || p->outgoing == ours_lesser;
    peer_bye(n, stays ? other : p, MESSAGE_BYE_DUPLICATE, STATUS_EXISTS,
             "another link to this node stays");
    return stays;
}

static uint64_t fleet_number(const struct node *n)
{
    uint64_t number = 0;
    return trust_fleet(n->trust, &number) ? number : 0;
}

/* The peer proved who it is: may it stay? */
static void judge(struct node *n, struct peer *p)
{
    enum message_bye_reason reason = MESSAGE_BYE_CERTIFICATE;
    const char *text = "";
    struct bytes cert = session_peer_cert(p->session);
    struct links_entry *entry = links_of(n->links, p->id);
    p->node = *session_peer(p->session);
    if (cert.size && (p->cert = malloc(cert.size))) {
        memcpy(p->cert, cert.data, cert.size);
        p->cert_size = cert.size;
    }
    if (node_id_equal(&p->node, &n->id)) {
        if (entry)
            entry->self = true;
        peer_bye(n, p, MESSAGE_BYE_SELF, STATUS_REFUSED,
                 "the address is our own");
        return;
    }
    if (is_banned(n, &p->node)) {
        peer_bye(n, p, MESSAGE_BYE_PROTOCOL, STATUS_REFUSED,
                 "this node broke the protocol a moment ago");
        return;
    }
    if (!admits(n, p, &reason, &text)) {
        peer_bye(n, p, reason, STATUS_REFUSED, text);
        return;
    }
    bool full = !p->outgoing && accepted_up(n) >= n->accept_max &&
                !peer_of_node(n, &p->node);
    p->known = true;
    if (full) {
        send_peers(n, p);
        peer_bye(n, p, MESSAGE_BYE_FULL, STATUS_BUSY, "too many links");
        return;
    }
    if (!settle_duplicate(n, p))
        return;
    if (session_admit(p->session, fleet_number(n)))
        peer_close(n, p, STATUS_NO_MEMORY, "out of memory");
}

/* Fleet records that the peer lacks, at once: a joining node can judge nothing
 * without them. */
static void push_fleet(struct node *n, struct peer *p, uint64_t theirs)
{
    if (theirs >= fleet_number(n))
        return;
    for (size_t i = 0; i < trust_slot_count(n->trust); i++) {
        const struct slot_entry *entry = trust_slot_at(n->trust, i);
        if (entry->kind != RECORD_FLEET)
            continue;
        struct push_item item = push_item_of(entry);
        if (item.order > theirs)
            push_add(&p->push, &item);
    }
}

/* An address of this machine or its networks, by its look. */
static bool is_local(const char *addr)
{
    static const char *const heads[] = {"127.",
                                        "10.",
                                        "192.168.",
                                        "169.254.",
                                        "[::1]",
                                        "[fe8",
                                        "[fd",
                                        "[fc",
                                        "[::ffff:127.",
                                        "[::ffff:10.",
                                        "[::ffff:192.168.",
                                        "localhost"};
    for (size_t i = 0; i < sizeof heads / sizeof *heads; i++)
        if (!strncmp(addr, heads[i], strlen(heads[i])))
            return true;
    unsigned second = 0;
    return sscanf(addr, "172.%u.", &second) == 1 && second >= 16 &&
           second <= 31;
}

static void on_up(struct node *n, struct peer *p)
{
    struct links_entry *entry = links_of(n->links, p->id);
    const struct session_hello *hello = session_peer_hello(p->session);
    struct transfer_peer facts = {.node = p->node.b, .lan = is_local(p->addr)};
    p->up = true; /* first: the transfer speaks at once */
    if (transfer_peer_up(n->transfer, p->id, &facts, n->now_ns)) {
        p->up = false;
        peer_close(n, p, STATUS_NO_MEMORY, "out of memory");
        return;
    }
    p->up_ns = n->now_ns;
    if (entry)
        links_up(n->links, entry, &p->node);
    tell_link(n, p, NODE_EVENT_LINK_UP, p->addr);
    outbox_log(&n->outbox, fold(n, &p->node),
               "link %s %s is up (%02x%02x%02x%02x, %s)",
               p->outgoing ? "to" : "from", p->addr, p->node.b[0], p->node.b[1],
               p->node.b[2], p->node.b[3],
               hello->software[0] ? hello->software : "?");
    push_fleet(n, p, hello->fleet_seq);
    if (p->push.count)
        peer_raise(n, p);
    if (p->cert_size && trust_fleet(n->trust, NULL))
        ledger_receive(n, p, bytes_of(p->cert, p->cert_size));
    p->next_ping_ns = n->now_ns + (p->outgoing ? 0 : n->ping_idle_ns / 2);
    if (p->outgoing)
        digest_ping(n, p);
}

void peer_learn_addresses(struct node *n, const struct node_id *node,
                          const struct body_status *status)
{
    char addr[LIMIT_ADDR_BYTES + 1];
    if (node_id_equal(node, &n->id))
        return;
    for (size_t i = 0; i < status->address_count; i++) {
        struct bytes text = status->addresses[i];
        if (!text.size || text.size > LIMIT_ADDR_BYTES ||
            memchr(text.data, 0, text.size))
            continue;
        memcpy(addr, text.data, text.size);
        addr[text.size] = '\0';
        enum status added =
            links_add(n->links, addr, LINKS_ROSTER, node, n->now_ns);
        if (added && added != STATUS_CORRUPT)
            return; /* no room: those known will do */
    }
}

void peer_judge_all(struct node *n)
{
    for (size_t i = 0; i < n->peer_count; i++) {
        struct peer *p = n->peers[i];
        enum message_bye_reason reason = MESSAGE_BYE_CERTIFICATE;
        const char *text = "";
        if (!p->known || p->closing)
            continue;
        if (!admits(n, p, &reason, &text)) {
            peer_bye(n, p, reason, STATUS_REFUSED, text);
            continue;
        }
        if (p->up && p->cert_size &&
            !trust_node_certificate(n->trust, &p->node).size)
            ledger_receive(n, p, bytes_of(p->cert, p->cert_size));
    }
}

/* ---- Receiving. ---- */

static void on_bye(struct node *n, struct peer *p)
{
    const struct message_bye *m = &n->in->u.bye;
    char text[LIMIT_BYE_TEXT_BYTES + 1];
    size_t size = m->text.size;
    for (size_t i = 0; i < size; i++) {
        uint8_t c = m->text.data[i];
        text[i] = c < ' ' || c == 0x7f ? '?' : (char)c;
    }
    text[size] = '\0';
    char why[LIMIT_BYE_TEXT_BYTES + 24];
    (void)snprintf(why, sizeof why, "the peer says: %s",
                   size ? text : "goodbye");
    struct links_entry *entry = links_of(n->links, p->id);
    if (entry && m->reason == MESSAGE_BYE_SELF)
        entry->self = true;
    if (m->reason == MESSAGE_BYE_REVOKED || m->reason == MESSAGE_BYE_WIRE ||
        m->reason == MESSAGE_BYE_CERTIFICATE)
        outbox_log(&n->outbox, fold_warning(n, &p->node),
                   "%s refuses this node: %s", p->addr,
                   size ? text : "no reason given");
    peer_close(n, p, STATUS_CLOSED,
               m->reason == MESSAGE_BYE_DUPLICATE ? "" : why);
}

/* Addresses of the fleet, from one who cannot take us. */
static void on_peers(struct node *n)
{
    const struct message_peers *m = &n->in->u.peers;
    for (size_t i = 0; i < m->count; i++) {
        char addr[LIMIT_ADDR_BYTES + 1];
        if (!m->addrs[i].size || memchr(m->addrs[i].data, 0, m->addrs[i].size))
            continue;
        memcpy(addr, m->addrs[i].data, m->addrs[i].size);
        addr[m->addrs[i].size] = '\0';
        enum status status =
            links_add(n->links, addr, LINKS_HINT, NULL, n->now_ns);
        if (status && status != STATUS_CORRUPT)
            return;
    }
}

static void on_record(struct node *n, struct peer *p)
{
    ledger_receive(n, p, n->in->u.record.envelope);
}

static void on_parcel(struct node *n, struct peer *p, struct bytes plain)
{
    enum status status = transfer_message(n->transfer, p->id, plain, n->now_ns);
    if (n->in->type == MESSAGE_DATA)
        p->data_in += plain.size;
    if (status == STATUS_TRUNCATED || status == STATUS_CORRUPT ||
        status == STATUS_LIMIT)
        peer_punish(n, p, "a malformed message");
}

static void dispatch(struct node *n, struct peer *p, struct bytes plain)
{
    switch (n->in->type) {
    case MESSAGE_PING:
        digest_on_ping(n, p);
        break;
    case MESSAGE_PONG:
        digest_on_pong(n, p);
        break;
    case MESSAGE_TRIE:
        digest_on_trie(n, p);
        break;
    case MESSAGE_LEAF:
        digest_on_leaf(n, p);
        break;
    case MESSAGE_GET:
        digest_on_get(n, p);
        break;
    case MESSAGE_RECORD:
        on_record(n, p);
        break;
    case MESSAGE_PEERS:
        on_peers(n);
        break;
    case MESSAGE_BYE:
        on_bye(n, p);
        break;
    case MESSAGE_HELLO:
        peer_punish(n, p, "a second HELLO");
        break;
    default:
        on_parcel(n, p, plain);
    }
}

static void on_message(struct node *n, struct peer *p, struct bytes plain)
{
    struct diag diag = {{0}};
    enum status status = message_decode(plain, n->in, &diag);
    if (status == STATUS_UNSUPPORTED) {
        outbox_log(&n->outbox, NODE_LOG_DEBUG, "ignored from %s: %s", p->addr,
                   diag.text);
        return;
    }
    if (status) {
        peer_punish(n, p, diag.text);
        return;
    }
    bool early =
        !p->up && n->in->type != MESSAGE_BYE && n->in->type != MESSAGE_PEERS;
    if (early)
        peer_punish(n, p, "a message before HELLO");
    else
        dispatch(n, p, plain);
}

static void on_session_error(struct node *n, struct peer *p, enum status status,
                             const struct diag *diag)
{
    const char *text = diag->text[0] ? diag->text : status_text(status);
    bool loud = p->up || status == STATUS_UNSUPPORTED;
    if (p->up && status != STATUS_NO_MEMORY) {
        p->punished = true;
        n->counters.strikes++;
        ban(n, p);
    }
    if (loud || p->outgoing)
        outbox_log(&n->outbox,
                   loud ? fold_warning(n, &p->node) : NODE_LOG_DEBUG,
                   "link to %s: %s", p->addr, text);
    peer_close(n, p, status, text);
}

void peer_recv(struct node *n, struct peer *p, struct bytes in)
{
    enum session_event event = SESSION_EVENT_NONE;
    struct bytes plain;
    p->bytes_in += in.size;
    n->counters.bytes_in += in.size;
    if (!p->session || p->closing)
        return;
    p->heard_ns = n->now_ns;
    do {
        struct diag diag = {{0}};
        enum status status =
            session_recv(p->session, &in, &event, &plain, &diag);
        if (status) {
            on_session_error(n, p, status, &diag);
            return;
        }
        if (event == SESSION_EVENT_PEER)
            judge(n, p);
        else if (event == SESSION_EVENT_UP)
            on_up(n, p);
        else if (event == SESSION_EVENT_MESSAGE)
            on_message(n, p, plain);
    } while (event && !p->closing);
    if (session_pending(p->session))
        peer_raise(n, p);
}

void peer_connected(struct node *n, struct peer *p)
{
    p->dialling = false;
    p->heard_ns = n->now_ns;
    if (session_new(&n->identity, p->outgoing, &p->session)) {
        peer_close(n, p, STATUS_NO_MEMORY, "out of memory");
        return;
    }
    if (p->outgoing)
        peer_raise(n, p);
}

/* ---- Time. ---- */

/* Statuses that waited for their budget, announcements for their time. */
static uint64_t push_due_ns(struct node *n, struct peer *p)
{
    const struct push_item *item = push_peek(&p->push);
    if (!item || p->raised || !p->up || p->closing)
        return UINT64_MAX;
    if (item->class == PUSH_ANNOUNCE) {
        uint64_t due =
            quota_ready_ns(&n->beat.send, DIGEST_ANNOUNCE_COST, n->now_ns);
        return due > p->announce_ns ? due : p->announce_ns;
    }
    const struct slot_entry *entry = trust_slot(n->trust, &item->slot);
    unsigned count;
    uint64_t cost = entry ? push_cost(next_envelope(p, entry, &count)) : 0;
    return quota_ready_ns(&n->beat.send, cost, n->now_ns);
}

static uint64_t silence_ns(const struct peer *p)
{
    if (!p->ping_sent_ns)
        return UINT64_MAX;
    uint64_t from =
        p->heard_ns > p->ping_sent_ns ? p->heard_ns : p->ping_sent_ns;
    return from + PEER_SILENCE_NS;
}

void peer_tick(struct node *n, struct peer *p)
{
    if (p->closing)
        return;
    if (!p->up) {
        if (n->now_ns >= p->born_ns + PEER_HANDSHAKE_NS)
            peer_close(n, p, STATUS_TIMEOUT,
                       p->dialling ? "no answer" : "the handshake timed out");
        return;
    }
    if (n->now_ns >= silence_ns(p)) {
        peer_close(n, p, STATUS_TIMEOUT, "no answer for 30 s");
        return;
    }
    if (n->now_ns >= p->next_ping_ns)
        digest_ping(n, p);
    if (push_due_ns(n, p) > n->now_ns)
        return;
    if (push_peek(&p->push)->class == PUSH_ANNOUNCE)
        digest_announce(n, p);
    else
        peer_raise(n, p);
}

uint64_t peer_deadline_ns(const struct node *n, struct peer *p)
{
    if (p->closing)
        return UINT64_MAX;
    if (!p->up)
        return p->born_ns + PEER_HANDSHAKE_NS;
    uint64_t due = node_earlier(silence_ns(p), p->next_ping_ns);
    return node_earlier(due, push_due_ns((struct node *)(uintptr_t)n, p));
}
