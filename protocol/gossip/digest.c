/* The descent. Every message is answered from what is known at that moment; a
 * message that finds no room is dropped, and the next digest begins anew. */
#include "protocol/gossip/digest.h"

#include "protocol/node_state.h"

/* The next PING after a difference in control, in statuses alone. */
#define REDO_MIN_NS    1000000000ull
#define REDO_STATUS_NS 20000000000ull

static struct trie *trie_by_number(struct node *n, unsigned number)
{
    return trust_trie(n->trust, (enum trust_trie)number);
}

/* Between the whole and 5/4 of it, so that links do not beat together. */
static uint64_t jitter(struct node *n, uint64_t ns)
{
    return ns + rng_below(&n->rng, ns / 4 + 1);
}

static void fill_roots(struct node *n, struct message_ping *m)
{
    m->control = trie_root(trie_by_number(n, TRUST_TRIE_CONTROL));
    m->status = trie_root(trie_by_number(n, TRUST_TRIE_STATUS));
    m->load = 0;
}

static bool same_root(const struct trie_root *a, const struct trie_root *b)
{
    return !memcmp(a->b, b->b, sizeof a->b);
}

void digest_ping(struct node *n, struct peer *p)
{
    struct message_ping *m = &n->out->u.ping;
    n->out->type = MESSAGE_PING;
    fill_roots(n, m);
    m->nonce = rng_u64(&n->rng);
    p->next_ping_ns = n->now_ns + jitter(n, n->ping_idle_ns);
    if (!peer_send_out(n, p))
        return;
    p->ping_nonce = m->nonce;
    p->ping_sent_ns = n->now_ns;
}

void digest_on_ping(struct node *n, struct peer *p)
{
    struct message_ping theirs = n->in->u.ping;
    struct message_ping *m = &n->out->u.ping;
    if (!quota_take(&p->pings, 1, n->now_ns))
        return;
    n->out->type = MESSAGE_PONG;
    fill_roots(n, m);
    m->nonce = theirs.nonce;
    p->equal = same_root(&m->control, &theirs.control) &&
               same_root(&m->status, &theirs.status);
    if (p->equal) {
        n->ledger.digested = true;
        p->next_ping_ns = n->now_ns + jitter(n, n->ping_idle_ns);
    } else if (!n->ledger.digested) {
        p->next_ping_ns =
            node_earlier(p->next_ping_ns, n->now_ns + REDO_MIN_NS);
    }
    (void)peer_send_out(n, p);
}

/* ---- What to send of a trie: groups of entries and nodes, in messages that
 * are sent when full. ---- */

struct descent {
    struct node *n;
    struct peer *p;
    uint8_t trie;
    size_t bytes; /* of the LEAF in n->out, at most */
};

static void flush(struct descent *d)
{
    struct message *out = d->n->out;
    size_t count = out->type == MESSAGE_LEAF   ? out->u.leaf.group_count
                   : out->type == MESSAGE_TRIE ? out->u.trie.count
                                               : out->u.get.count;
    if (count && !peer_send_out(d->n, d->p))
        d->p->missed = true;
    d->bytes = 16;
    if (out->type == MESSAGE_LEAF)
        out->u.leaf.group_count = out->u.leaf.entry_count = 0;
    else if (out->type == MESSAGE_TRIE)
        out->u.trie.count = 0;
    else
        out->u.get.count = 0;
}

static void begin(struct descent *d, enum message_type type)
{
    struct message *out = d->n->out;
    out->type = type;
    d->bytes = 16;
    if (type == MESSAGE_LEAF) {
        out->u.leaf.trie = d->trie;
        out->u.leaf.group_count = out->u.leaf.entry_count = 0;
    } else if (type == MESSAGE_TRIE) {
        out->u.trie.trie = d->trie;
        out->u.trie.count = 0;
    } else {
        out->u.get.count = 0;
    }
}

/* The entries under prefix, a leaf of ours. */
static void add_group(struct descent *d, const struct trie_prefix *prefix)
{
    struct message_leaf *m = &d->n->out->u.leaf;
    size_t count;
    const struct vector_entry *entries =
        trie_entries(trie_by_number(d->n, d->trie), prefix, &count);
    size_t size = MESSAGE_GROUP_BYTES + count * MESSAGE_ENTRY_BYTES;
    if (m->group_count == LIMIT_TRIE_NODES ||
        m->entry_count + count > LIMIT_LEAF_ENTRIES ||
        d->bytes + size > LIMIT_FRAME_PLAIN_BYTES)
        flush(d);
    m->groups[m->group_count++] = (struct message_leaf_group){
        .prefix = *prefix, .first = m->entry_count, .count = count};
    for (size_t i = 0; i < count; i++)
        m->entries[m->entry_count++] = entries[i];
    d->bytes += size;
}

static void add_node(struct descent *d, const struct trie_prefix *prefix,
                     const struct trie_children *children)
{
    struct message_trie *m = &d->n->out->u.trie;
    if (m->count == LIMIT_TRIE_NODES)
        flush(d);
    m->nodes[m->count].prefix = *prefix;
    m->nodes[m->count++].children = *children;
}

/* Sends our node at prefix when it is of the form that the message carries. */
static void add_prefix(struct descent *d, const struct trie_prefix *prefix,
                       enum message_type type)
{
    struct trie_children children;
    bool leaf = trie_node(trie_by_number(d->n, d->trie), prefix, &children);
    if (leaf && type == MESSAGE_LEAF)
        add_group(d, prefix);
    else if (!leaf && type == MESSAGE_TRIE)
        add_node(d, prefix, &children);
}

static void send_root(struct node *n, struct peer *p, enum trust_trie trie)
{
    static const struct trie_prefix root;
    struct descent d = {.n = n, .p = p, .trie = (uint8_t)trie};
    begin(&d, MESSAGE_LEAF);
    add_prefix(&d, &root, MESSAGE_LEAF);
    flush(&d);
    begin(&d, MESSAGE_TRIE);
    add_prefix(&d, &root, MESSAGE_TRIE);
    flush(&d);
}

/* When to ask again. While control differs, soon after records came or one was
 * missed, else less and less often, for two nodes may differ for good. Statuses
 * are on their way within their budget: to ask often would cost more than it
 * brings. */
static void plan_redo(struct node *n, struct peer *p, bool control)
{
    uint64_t least = control || p->missed ? REDO_MIN_NS : REDO_STATUS_NS;
    if (p->redo_wait_ns && p->redo_wait_ns < n->ping_idle_ns)
        p->redo_wait_ns *= 2;
    if (p->missed || (control && p->progress) || p->redo_wait_ns < least)
        p->redo_wait_ns = least;
    p->progress = p->missed = p->push.overflow = false;
    p->next_ping_ns =
        n->now_ns + jitter(n, node_earlier(p->redo_wait_ns, n->ping_idle_ns));
}

void digest_on_pong(struct node *n, struct peer *p)
{
    struct message_ping mine, theirs = n->in->u.ping;
    if (!p->ping_sent_ns || theirs.nonce != p->ping_nonce)
        return;
    p->rtt_ns = n->now_ns - p->ping_sent_ns;
    p->ping_sent_ns = 0;
    transfer_peer_rtt(n->transfer, p->id, p->rtt_ns);
    fill_roots(n, &mine);
    bool control = same_root(&mine.control, &theirs.control);
    bool status = same_root(&mine.status, &theirs.status);
    p->equal = control && status;
    if (p->equal || p->redo_wait_ns)
        n->ledger.digested = true;
    if (p->equal) {
        p->redo_wait_ns = 0;
        p->next_ping_ns = n->now_ns + jitter(n, n->ping_idle_ns);
        return;
    }
    if (!control)
        send_root(n, p, TRUST_TRIE_CONTROL);
    if (!status)
        send_root(n, p, TRUST_TRIE_STATUS);
    plan_redo(n, p, !control);
}

/* ---- The peer's nodes and entries. ---- */

/* Our side of one of the peer's nodes: all of it when we have few entries
 * there, else the children that differ. */
static void answer_node(struct descent *d, const struct message_trie_node *node,
                        enum message_type type)
{
    struct trie *trie = trie_by_number(d->n, d->trie);
    struct trie_children children;
    if (node->prefix.nibbles >= TRIE_NIBBLES_MAX)
        return;
    if (trie_node(trie, &node->prefix, &children)) {
        if (type == MESSAGE_LEAF)
            add_group(d, &node->prefix);
        return;
    }
    uint16_t mask =
        trie_differing_children(trie, &node->prefix, &node->children);
    for (unsigned i = 0; i < TRIE_FANOUT; i++)
        if (mask >> i & 1) {
            struct trie_prefix child = trie_prefix_child(&node->prefix, i);
            add_prefix(d, &child, type);
        }
}

void digest_on_trie(struct node *n, struct peer *p)
{
    const struct message_trie *m = &n->in->u.trie;
    static const enum message_type passes[] = {MESSAGE_LEAF, MESSAGE_TRIE};
    struct descent d = {.n = n, .p = p, .trie = m->trie};
    for (size_t pass = 0; pass < 2; pass++) {
        begin(&d, passes[pass]);
        for (size_t i = 0; i < m->count; i++)
            answer_node(&d, &m->nodes[i], passes[pass]);
        flush(&d);
    }
}

static void on_move(void *ctx, enum trie_move move, const struct slot_id *slot)
{
    struct descent *d = ctx;
    struct message_get *get = &d->n->out->u.get;
    if (move == TRIE_SEND) {
        const struct slot_entry *entry = trust_slot(d->n->trust, slot);
        if (!entry)
            return;
        struct push_item item = push_item_of(entry);
        push_add(&d->p->push, &item);
        return;
    }
    if (get->count == LIMIT_GET_SLOTS)
        flush(d);
    get->slots[get->count++] = *slot;
}

void digest_announce(struct node *n, struct peer *p)
{
    struct message_leaf *m = &n->out->u.leaf;
    const struct push_item *item;
    n->out->type = MESSAGE_LEAF;
    m->trie = TRUST_TRIE_STATUS;
    m->group_count = m->entry_count = 0;
    while ((item = push_peek(&p->push)) && item->class == PUSH_ANNOUNCE &&
           m->group_count < LIMIT_TRIE_NODES) {
        const struct slot_entry *entry = trust_slot(n->trust, &item->slot);
        if (entry &&
            !quota_take(&n->beat.send, DIGEST_ANNOUNCE_COST, n->now_ns))
            break;
        if (entry) {
            struct message_leaf_group *group = &m->groups[m->group_count++];
            *group = (struct message_leaf_group){
                .prefix = {.nibbles = TRIE_NIBBLES_MAX},
                .first = m->entry_count,
                .count = 1};
            memcpy(group->prefix.b, item->slot.b, sizeof group->prefix.b);
            m->entries[m->entry_count++] = vector_entry_of(entry);
        }
        push_pop(&p->push);
    }
    if (m->group_count && !peer_send_out(n, p))
        p->missed = true;
}

static void settle_push(struct node *n, struct peer *p)
{
    if (p->push.overflow)
        p->missed = true;
    if (p->push.count)
        peer_raise(n, p);
}

/* What the peer announces need not be announced to it. */
static void forget_announced(struct node *n, struct peer *p,
                             const struct message_leaf *m,
                             const struct message_leaf_group *group)
{
    if (group->prefix.nibbles != TRIE_NIBBLES_MAX || group->count != 1)
        return;
    const struct vector_entry *theirs = &m->entries[group->first];
    const struct slot_entry *entry = trust_slot(n->trust, &theirs->slot);
    if (!entry)
        return;
    struct vector_entry ours = vector_entry_of(entry);
    if (vector_entry_compare(&ours, theirs) == VECTOR_EQUAL)
        push_remove(&p->push, &theirs->slot);
}

void digest_on_leaf(struct node *n, struct peer *p)
{
    const struct message_leaf *m = &n->in->u.leaf;
    struct trie *trie = trie_by_number(n, m->trie);
    struct descent d = {.n = n, .p = p, .trie = m->trie};
    begin(&d, MESSAGE_GET);
    for (size_t i = 0; i < m->group_count; i++) {
        const struct message_leaf_group *group = &m->groups[i];
        forget_announced(n, p, m, group);
        if (trie_reconcile(trie, &group->prefix, &m->entries[group->first],
                           group->count, on_move, &d))
            continue;
        peer_punish(n, p, "LEAF entries out of order");
        return;
    }
    flush(&d);
    settle_push(n, p);
}

void digest_on_get(struct node *n, struct peer *p)
{
    const struct message_get *m = &n->in->u.get;
    for (size_t i = 0; i < m->count; i++) {
        const struct slot_entry *entry = trust_slot(n->trust, &m->slots[i]);
        if (!entry)
            continue;
        struct push_item item = push_item_of(entry);
        push_add(&p->push, &item);
    }
    settle_push(n, p);
}
