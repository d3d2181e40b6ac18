/* The answering side: offers to who asked for a version, HAVE while it is
 * being fetched here, the queue of what each peer asked, making updates, and
 * the DATA that goes out.
 *
 * Of a segment that this node has and nobody else shows, the first copy goes
 * to one asker; the others are sent there. A link takes one segment a round,
 * so that first copies spread over all who ask. */
#include "protocol/manifest.h"
#include "protocol/transfer_state.h"

#include <stdlib.h>

#define OFFER_DEPTH 4u /* steps that a chain may have */

/* ---- Refusing. ---- */

static void send_no(struct transfer *t, struct link *link, uint32_t ask,
                    enum parcel_reason reason, uint32_t retry_ms)
{
    struct parcel_no *m = &t->out.u.no;
    t->out.type = MESSAGE_NO;
    m->ask = ask;
    m->reason = reason;
    m->retry_ms = retry_ms;
    m->has_node = false;
    m->ranges.count = 0;
    transfer_send(t, link);
}

static void send_no_segment(struct transfer *t, struct link *link,
                            const struct item *item, enum parcel_reason reason,
                            const uint8_t *node)
{
    struct parcel_no *m = &t->out.u.no;
    t->out.type = MESSAGE_NO;
    m->ask = item->ask;
    m->reason = reason;
    m->retry_ms = 0;
    m->ranges.count = 0;
    (void)transfer_ranges_add(&m->ranges, item->index, 1);
    m->has_node = node != NULL;
    if (node)
        memcpy(m->node.b, node, sizeof m->node.b);
    transfer_send(t, link);
}

/* ---- Blobs: bytes read once for all who ask. ---- */

static void blob_unlink(struct transfer *t, struct blob *blob)
{
    for (struct blob **p = &t->blobs; *p; p = &(*p)->next)
        if (*p == blob) {
            *p = blob->next;
            break;
        }
    t->blob_bytes -= blob->size;
    free(blob->data);
    free(blob);
}

static void blobs_evict(struct transfer *t)
{
    while (t->blob_bytes > CACHE_BYTES) {
        struct blob *oldest = NULL;
        for (struct blob *b = t->blobs; b; b = b->next)
            if (!b->refs && b->state == BLOB_READY &&
                (!oldest || b->used < oldest->used))
                oldest = b;
        if (!oldest)
            return;
        blob_unlink(t, oldest);
    }
}

static void blob_unref(struct transfer *t, struct blob *blob)
{
    if (!blob)
        return;
    blob->refs--;
    if (!blob->refs && blob->state == BLOB_FAILED)
        blob_unlink(t, blob);
    else
        blobs_evict(t);
}

static bool blob_is(const struct blob *a, const struct blob *b)
{
    return a->kind == b->kind && a->packed == b->packed &&
           a->index == b->index && a->has_prefix == b->has_prefix &&
           hash_equal(&a->id, &b->id) &&
           (!a->has_prefix || hash_equal(&a->prefix, &b->prefix));
}

static struct blob *blob_find(struct transfer *t, const struct blob *key)
{
    for (struct blob *b = t->blobs; b; b = b->next)
        if (blob_is(b, key) && b->state != BLOB_FAILED) {
            b->used = ++t->blob_clock;
            return b;
        }
    return NULL;
}

static struct blob *blob_add(struct transfer *t, const struct blob *key)
{
    struct blob *b = malloc(sizeof *b);
    if (!b)
        return NULL;
    *b = *key;
    b->used = ++t->blob_clock;
    b->next = t->blobs;
    t->blobs = b;
    return b;
}

static bool blob_read(struct transfer *t, struct blob *b)
{
    static const enum node_action_kind kinds[] = {
        [ITEM_MANIFEST] = NODE_ACTION_READ_MANIFEST,
        [ITEM_HEADER] = NODE_ACTION_READ_HEADER,
        [ITEM_SEGMENT] = NODE_ACTION_READ_SEGMENT,
    };
    struct node_action action = {.kind = kinds[b->kind], .index = b->index};
    struct op op = {.what = OP_READ_BLOB, .blob = b};
    if (b->kind == ITEM_MANIFEST)
        action.version = b->id;
    else
        action.update = b->id;
    return transfer_start(t, &action, &op);
}

/* The blob, read or being read; NULL when it cannot be. Referenced. */
static struct blob *blob_get(struct transfer *t, const struct blob *key)
{
    struct blob *b = blob_find(t, key);
    if (!b)
        b = blob_add(t, key);
    else
        goto found;
    if (!b)
        return NULL;
    if (!blob_read(t, b)) {
        blob_unlink(t, b);
        return NULL;
    }
found:
    b->refs++;
    return b;
}

static void blob_done(struct transfer *t, struct blob *b,
                      const struct node_result *result)
{
    b->state = BLOB_FAILED;
    if (!result->status && result->bytes.size) {
        b->data = malloc(result->bytes.size);
        if (b->data) {
            memcpy(b->data, result->bytes.data, result->bytes.size);
            b->size = result->bytes.size;
            b->state = BLOB_READY;
            t->blob_bytes += b->size;
        }
    }
    if (!b->refs && b->state == BLOB_FAILED)
        blob_unlink(t, b);
    else
        blobs_evict(t);
}

/* Packs a manifest over a prefix (NULL: none) into a blob of its own, which is
 * referenced. NULL without memory. */
static struct blob *pack_manifest(struct transfer *t, const struct blob *key,
                                  const struct blob *raw,
                                  const struct blob *prefix)
{
    struct writer wr;
    struct bytes none = {NULL, 0};
    writer_init_heap(&wr, raw->size + raw->size / 64 + 1024);
    enum status status = manifest_pack(
        bytes_of(raw->data, raw->size),
        prefix ? bytes_of(prefix->data, prefix->size) : none, &wr);
    struct blob *b = status ? NULL : blob_add(t, key);
    if (b) {
        b->data = writer_take(&wr, &b->size);
        b->state = BLOB_READY;
        b->refs = 1;
        t->blob_bytes += b->size;
    }
    writer_deinit(&wr);
    return b;
}

/* ---- The queue of a link. ---- */

static void kick(struct transfer *t, struct link *link)
{
    if (link->queue_count)
        t->host.output(t->host.ctx, link->id);
}

static void item_remove(struct transfer *t, struct link *link, size_t i)
{
    blob_unref(t, link->queue[i].blob);
    memmove(&link->queue[i], &link->queue[i + 1],
            (--link->queue_count - i) * sizeof *link->queue);
    if (link->sending == i + 1)
        link->sending = 0;
    else if (link->sending > i + 1)
        link->sending--;
}

static struct item *item_add(struct link *link, uint32_t ask,
                             enum item_kind kind, const struct hash *id)
{
    if (!transfer_grow((void **)&link->queue, link->queue_count,
                       &link->queue_cap, sizeof *link->queue))
        return NULL;
    struct item *item = &link->queue[link->queue_count++];
    memset(item, 0, sizeof *item);
    item->ask = ask;
    item->kind = kind;
    item->id = *id;
    return item;
}

static size_t count_small(const struct link *link)
{
    size_t count = 0;
    for (size_t i = 0; i < link->queue_count; i++)
        count += link->queue[i].kind != ITEM_SEGMENT;
    return count;
}

/* ---- Budgets. ---- */

/* The peer's budget of CPU time: its index. */
static size_t budget_of(struct transfer *t, const uint8_t *node)
{
    for (size_t i = 0; i < t->budget_count; i++)
        if (!memcmp(t->budgets[i].node, node, 32))
            return i;
    size_t i = t->budget_next++ % BUDGETS_MAX;
    if (t->budget_count < BUDGETS_MAX)
        t->budget_count++;
    memcpy(t->budgets[i].node, node, 32);
    t->budgets[i].cpu_ns = 0;
    t->budgets[i].since_ns = t->now;
    return i;
}

/* Milliseconds until the peer may have something made; 0: now. */
static uint32_t make_wait_ms(struct transfer *t, size_t budget)
{
    struct budget *b = &t->budgets[budget];
    if (t->now >= b->since_ns + MAKE_CPU_PERIOD_NS) {
        b->since_ns = t->now;
        b->cpu_ns = 0;
    }
    if (b->cpu_ns < MAKE_CPU_NS)
        return 0;
    return (uint32_t)((b->since_ns + MAKE_CPU_PERIOD_NS - t->now) / MS) + 1;
}

/* ---- Offers. ---- */

/* The smallest update over a base: to this very tree, or else of the line. 0:
 * there is none. */
static uint64_t nearest_bytes(const struct transfer *t, const struct version *v)
{
    uint64_t same = 0, line = 0;
    for (size_t i = 0; i < t->update_count; i++) {
        const struct update *u = t->updates[i];
        const struct version *to =
            transfer_version_with_tree(t, &u->header.tree);
        if (!u->header.has_base || !to || strcmp(to->model, v->model) != 0)
            continue;
        if (!line || u->bytes < line)
            line = u->bytes;
        if (hash_equal(&to->tree, &v->tree) && (!same || u->bytes < same))
            same = u->bytes;
    }
    return same ? same : line;
}

/* When nobody can tell better. Changes add up like a random walk: twice as
 * many steps cost half a bit a parameter more, of four bytes each. */
static uint64_t guess(const struct transfer *t, const struct version *v,
                      const struct version *base)
{
    if (!base)
        return v->shape.size / 10 * 9 + 1;
    uint64_t near = nearest_bytes(t, v), log2 = 0;
    if (!near)
        near = v->shape.size / 10 * 6 + 1;
    uint64_t steps = v->counter > base->counter ? v->counter - base->counter
                                                : base->counter - v->counter;
    while (steps >> (log2 + 1))
        log2++;
    return near + v->shape.size / 64 * log2;
}

static struct estimate *find_estimate(struct transfer *t,
                                      const struct hash *tree,
                                      const struct hash *base)
{
    for (size_t i = 0; i < t->estimate_count; i++) {
        struct estimate *e = &t->estimates[i];
        if (hash_equal(&e->tree, tree) && e->has_base == (base != NULL) &&
            (!base || hash_equal(&e->base, base)))
            return e;
    }
    return NULL;
}

/* The next one makes room for the newest: never the one being asked for. */
static struct estimate *new_estimate(struct transfer *t)
{
    if (t->estimate_count < ESTIMATES_MAX)
        return &t->estimates[t->estimate_count++];
    size_t i = t->estimate_next++ % ESTIMATES_MAX;
    if (t->estimates[i].state == ESTIMATE_ASKED)
        i = t->estimate_next++ % ESTIMATES_MAX;
    return &t->estimates[i];
}

/* A guess, until the host has told: then the peers hear of it. look: ask it. */
static uint64_t estimate(struct transfer *t, const struct link *link,
                         const struct version *v, const struct version *base,
                         bool look)
{
    struct estimate *e = find_estimate(t, &v->tree, base ? &base->tree : NULL);
    if (e && e->state == ESTIMATE_KNOWN)
        return e->bytes;
    size_t budget = budget_of(t, link->node);
    if (!e && look && !make_wait_ms(t, budget)) {
        e = new_estimate(t);
        *e = (struct estimate){.has_base = base != NULL,
                               .tree = v->tree,
                               .state = ESTIMATE_WANTED,
                               .budget = budget};
        if (base)
            e->base = base->tree;
    }
    return guess(t, v, base);
}

static void forget_estimate(struct transfer *t, struct estimate *e)
{
    *e = t->estimates[--t->estimate_count];
}

static void start_estimate(struct transfer *t, struct estimate *e)
{
    struct op op = {.what = OP_ESTIMATE};
    const struct node_action action = {.kind = NODE_ACTION_ESTIMATE,
                                       .has_base = e->has_base,
                                       .base = e->base,
                                       .tree = e->tree};
    t->estimating = transfer_start(t, &action, &op);
    if (t->estimating)
        e->state = ESTIMATE_ASKED;
    else
        forget_estimate(t, e);
}

/* One at a time. */
static void start_estimates(struct transfer *t)
{
    for (size_t i = 0; i < t->estimate_count && !t->estimating;) {
        size_t count = t->estimate_count;
        if (t->estimates[i].state == ESTIMATE_WANTED)
            start_estimate(t, &t->estimates[i]);
        i += count == t->estimate_count;
    }
}

/* What cannot be told now is asked for with a later offer. */
static void estimated(struct transfer *t, const struct node_result *result)
{
    struct estimate *e = t->estimates;
    t->estimating = false;
    while (e < t->estimates + t->estimate_count && e->state != ESTIMATE_ASKED)
        e++;
    if (e == t->estimates + t->estimate_count)
        return;
    t->budgets[e->budget].cpu_ns += result->cpu_ns;
    if (result->status || !result->estimate) {
        forget_estimate(t, e);
        return;
    }
    e->state = ESTIMATE_KNOWN;
    e->bytes = result->estimate;
    t->offers_dirty = true;
}

static bool offer_has(const struct parcel_offer *m, uint32_t ref)
{
    for (size_t i = 0; i < m->update_count; i++)
        if (m->updates[i].ref == ref)
            return true;
    return false;
}

static void offer_add(struct parcel_offer *m, const struct version *v,
                      const struct update *u)
{
    if (m->update_count == PARCEL_UPDATES_MAX || offer_has(m, u->ref))
        return;
    m->updates[m->update_count++] = (struct parcel_offer_update){
        .ref = u->ref,
        .update = u->id,
        .has_base = u->header.has_base,
        .base = u->header.base,
        .has_tree = !hash_equal(&u->header.tree, &v->tree),
        .tree = u->header.tree,
        .bytes = u->bytes,
        .partial = !update_is_whole(u)};
}

static bool sub_has_base(const struct sub *sub, const struct hash *tree)
{
    for (size_t i = 0; i < sub->base_count; i++)
        if (hash_equal(&sub->bases[i], tree))
            return true;
    return false;
}

/* Adds every update to tree that starts at a base of the peer, at nothing, or
 * where another one that is added leads; returns whether there is any. */
static bool offer_ways_to(struct transfer *t, const struct sub *sub,
                          const struct version *v, const struct hash *tree,
                          unsigned depth, struct parcel_offer *m)
{
    bool any = false;
    for (size_t i = 0; i < t->update_count; i++) {
        const struct update *u = t->updates[i];
        if (!hash_equal(&u->header.tree, tree))
            continue;
        bool starts = !u->header.has_base || sub_has_base(sub, &u->header.base);
        if (starts)
            offer_add(m, v, u);
        else if (depth > 1 && transfer_version_with_tree(t, &u->header.base) &&
                 offer_ways_to(t, sub, v, &u->header.base, depth - 1, m))
            offer_add(m, v, u);
        else
            continue;
        any = true;
    }
    return any;
}

static bool offers_pair(const struct parcel_offer *m, const struct hash *base)
{
    for (size_t i = 0; i < m->update_count; i++) {
        const struct parcel_offer_update *e = &m->updates[i];
        if (e->has_tree || e->has_base != (base != NULL))
            continue;
        if (!base || hash_equal(&e->base, base))
            return true;
    }
    return false;
}

/* One that is here, over a base of the peer. */
static bool offers_direct(const struct parcel_offer *m, const struct sub *sub)
{
    for (size_t i = 0; i < m->update_count; i++) {
        const struct parcel_offer_update *e = &m->updates[i];
        if (e->ref && e->has_base && !e->has_tree &&
            sub_has_base(sub, &e->base))
            return true;
    }
    return false;
}

static void offer_make(struct transfer *t, const struct link *link,
                       const struct sub *sub, const struct version *v,
                       const struct version *base, struct parcel_offer *m)
{
    if (m->update_count == PARCEL_UPDATES_MAX ||
        offers_pair(m, base ? &base->tree : NULL))
        return;
    /* Next to one that is here, one that is made hardly ever pays. */
    uint64_t bytes = estimate(t, link, v, base, !offers_direct(m, sub));
    struct parcel_offer_update *e = &m->updates[m->update_count++];
    *e = (struct parcel_offer_update){.has_base = base != NULL, .bytes = bytes};
    if (base)
        e->base = base->tree;
}

static void offer_makes(struct transfer *t, const struct link *link,
                        const struct sub *sub, const struct version *v,
                        struct parcel_offer *m)
{
    bool any = false;
    if (t->no_make || !v->complete || v->damaged || !v->named)
        return;
    for (size_t i = 0; i < sub->base_count; i++) {
        const struct version *base = transfer_holder_of(t, &sub->bases[i]);
        any = any || base;
        if (base && base != v)
            offer_make(t, link, sub, v, base, m);
    }
    if (!any)
        offer_make(t, link, sub, v, NULL, m);
}

static void build_offer(struct transfer *t, const struct link *link,
                        const struct sub *sub)
{
    struct parcel_offer *m = &t->out.u.offer;
    const struct version *v = transfer_version_of(t, &sub->version);
    t->out.type = MESSAGE_OFFER;
    m->ask = sub->ask;
    m->update_count = 0;
    m->manifest = v && v->manifest;
    m->complete = v && v->complete;
    if (!v || !v->manifest)
        return;
    (void)offer_ways_to(t, sub, v, &v->tree, OFFER_DEPTH, m);
    offer_makes(t, link, sub, v, m);
}

/* Of what makes an offer another one: not how far it has come. */
static void offer_digest(const struct parcel_offer *m, struct hash *out)
{
    struct hash_state st;
    hash_begin(&st, HASH_MISC);
    hash_add_le32(&st, (uint32_t)m->manifest << 1 | m->complete);
    for (size_t i = 0; i < m->update_count; i++) {
        hash_add_le32(&st, m->updates[i].ref);
        hash_add(&st, m->updates[i].base.b, HASH_BYTES);
        if (!m->updates[i].ref)
            hash_add_le64(&st, m->updates[i].bytes);
    }
    hash_end(&st, out);
}

static bool sub_lists(const struct sub *sub, uint32_t ref)
{
    for (size_t i = 0; sub->used && i < sub->ref_count; i++)
        if (sub->refs[i] == ref)
            return true;
    return false;
}

static void told_sweep(struct link *link)
{
    for (size_t i = link->told_count; i-- > 0;) {
        bool listed = false;
        for (size_t j = 0; j < SUBS_MAX; j++)
            listed = listed || sub_lists(&link->subs[j], link->told[i].ref);
        if (listed)
            continue;
        free(link->told[i].have);
        free(link->told[i].pending);
        link->told[i] = link->told[--link->told_count];
    }
}

/* The peer knows nothing of this update yet. */
static void told_reset(struct link *link, const struct update *u)
{
    size_t bytes = bits_bytes(u->header.segment_count) + 1;
    struct told *told = NULL;
    for (size_t i = 0; i < link->told_count && !told; i++)
        if (link->told[i].ref == u->ref)
            told = &link->told[i];
    if (!told) {
        if (!transfer_grow((void **)&link->told, link->told_count,
                           &link->told_cap, sizeof *link->told))
            return;
        told = &link->told[link->told_count];
        told->have = calloc(bytes, 1);
        told->pending = calloc(bytes, 1);
        if (!told->have || !told->pending) {
            free(told->have);
            free(told->pending);
            return;
        }
        link->told_count++;
        told->ref = u->ref;
    }
    memset(told->have, 0, bytes);
    memset(told->pending, 0, bytes);
    told->complete = false;
    told->changes = u->changes - 1;
}

static void tell_offer(struct transfer *t, struct link *link, struct sub *sub,
                       bool always)
{
    struct parcel_offer *m = &t->out.u.offer;
    struct hash digest;
    build_offer(t, link, sub);
    offer_digest(m, &digest);
    if (!always && sub->told && hash_equal(&digest, &sub->digest))
        return;
    sub->told = true;
    sub->digest = digest;
    uint32_t refs[PARCEL_UPDATES_MAX];
    size_t count = 0;
    for (size_t i = 0; i < m->update_count; i++) {
        uint32_t ref = m->updates[i].ref;
        if (!ref)
            continue;
        refs[count++] = ref;
        if (m->updates[i].partial && !sub_lists(sub, ref))
            told_reset(link, transfer_update_at(t, ref));
    }
    memcpy(sub->refs, refs, count * sizeof refs[0]);
    sub->ref_count = count;
    told_sweep(link);
    transfer_send(t, link);
    t->have_dirty = true;
}

static void tell_offers(struct transfer *t)
{
    t->offers_dirty = false;
    for (size_t i = 0; i < t->link_count; i++)
        for (size_t j = 0; j < SUBS_MAX; j++)
            if (t->links[i]->subs[j].used)
                tell_offer(t, t->links[i], &t->links[i]->subs[j], false);
}

/* ---- HAVE. ---- */

static void tell_segment(struct transfer *t, const struct update *u,
                         struct told *told, uint32_t index,
                         struct parcel_have *m)
{
    bool have = bit_get(u->held, index);
    bool pending = !have && swarm_near(t, &u->id, index) == SWARM_ARRIVING;
    bool had = bit_get(told->have, index);
    bool was_pending = bit_get(told->pending, index);
    if (have == had && pending == was_pending)
        return;
    struct parcel_ranges *list =
        have ? &m->verified : (pending ? &m->pending : &m->gone);
    if (!transfer_ranges_add(list, index, 1)) {
        told->changes = u->changes - 1; /* the rest next time */
        return;
    }
    (have ? bit_set : bit_clear)(told->have, index);
    (pending ? bit_set : bit_clear)(told->pending, index);
}

static bool tell_have(struct transfer *t, struct link *link, struct told *told)
{
    const struct update *u = transfer_update_at(t, told->ref);
    if (!u || told->changes == u->changes || told->complete)
        return false;
    struct parcel_have *m = &t->out.u.have;
    t->out.type = MESSAGE_HAVE;
    m->ref = u->ref;
    m->complete = update_is_whole(u);
    m->verified.count = m->pending.count = m->gone.count = 0;
    told->changes = u->changes;
    told->complete = m->complete;
    for (uint32_t i = 0; !m->complete && i < u->header.segment_count; i++)
        if (u->header.segments[i].size)
            tell_segment(t, u, told, i, m);
    if (!m->complete && !m->verified.count && !m->pending.count &&
        !m->gone.count)
        return false;
    transfer_send(t, link);
    return true;
}

static void tell_haves(struct transfer *t)
{
    bool due = t->have_dirty || t->now >= t->have_due_ns;
    if (!due)
        return;
    t->have_dirty = false;
    t->have_due_ns = NEVER;
    for (size_t i = 0; i < t->link_count; i++) {
        struct link *link = t->links[i];
        uint64_t from = link->have_ns ? link->have_ns + HAVE_INTERVAL_NS : 0;
        bool sent = false, more = false;
        for (size_t j = 0; j < link->told_count; j++) {
            struct told *told = &link->told[j];
            const struct update *u = transfer_update_at(t, told->ref);
            if (t->now >= from)
                sent = tell_have(t, link, told) || sent;
            more = more || (u && told->changes != u->changes);
        }
        if (sent)
            link->have_ns = t->now;
        if (t->now >= from) /* what was left out waits its turn */
            from = t->now + HAVE_INTERVAL_NS;
        if (more && from < t->have_due_ns)
            t->have_due_ns = from;
    }
}

/* ---- Asks. ---- */

static void ask_version(struct transfer *t, struct link *link,
                        const struct parcel_ask *m)
{
    struct sub *sub = NULL;
    for (size_t i = 0; i < SUBS_MAX; i++)
        if (link->subs[i].used && hash_equal(&link->subs[i].version, &m->id))
            sub = &link->subs[i];
    for (size_t i = 0; i < SUBS_MAX && !sub; i++)
        if (!link->subs[i].used)
            sub = &link->subs[i];
    if (!sub) {
        send_no(t, link, m->ask, PARCEL_NO_BUSY, 1000);
        return;
    }
    memset(sub, 0, sizeof *sub);
    sub->used = true;
    sub->ask = m->ask;
    sub->version = m->id;
    sub->base_count = m->base_count;
    memcpy(sub->bases, m->bases, m->base_count * sizeof m->bases[0]);
    tell_offer(t, link, sub, true);
}

static void ask_small(struct transfer *t, struct link *link,
                      const struct parcel_ask *m, enum item_kind kind)
{
    if (count_small(link) >= SMALL_ASKS_MAX) {
        send_no(t, link, m->ask, PARCEL_NO_BUSY, 500);
        return;
    }
    struct item *item = item_add(link, m->ask, kind, &m->id);
    if (!item) {
        send_no(t, link, m->ask, PARCEL_NO_BUSY, 1000);
        return;
    }
    const struct version *prefix =
        m->base_count ? transfer_version_of(t, &m->bases[0]) : NULL;
    if (kind == ITEM_MANIFEST && prefix && prefix->manifest) {
        item->has_prefix = true;
        item->prefix = prefix->id;
    }
    kick(t, link);
}

static void ask_manifest(struct transfer *t, struct link *link,
                         const struct parcel_ask *m)
{
    const struct version *v = transfer_version_of(t, &m->id);
    if (v && v->manifest)
        ask_small(t, link, m, ITEM_MANIFEST);
    else
        send_no(t, link, m->ask, PARCEL_NO_UNKNOWN, 0);
}

static uint64_t queued_bytes(const struct transfer *t, const struct link *link)
{
    uint64_t bytes = 0;
    for (size_t i = 0; i < link->queue_count; i++) {
        const struct item *item = &link->queue[i];
        const struct update *u = item->kind == ITEM_SEGMENT
                                     ? transfer_update_of(t, &item->id)
                                     : NULL;
        bytes += u ? u->header.segments[item->index].size : 0;
    }
    return bytes;
}

/* One segment asked: queued, parked, or put into the list of its reason. */
static void ask_segment(struct transfer *t, struct link *link,
                        const struct parcel_ask *m, const struct update *u,
                        uint32_t index, uint64_t *queued,
                        struct parcel_ranges *unknown,
                        struct parcel_ranges *busy)
{
    bool known =
        index < u->header.segment_count && u->header.segments[index].size;
    bool held = known && bit_get(u->held, index);
    if (!held && (!known || swarm_near(t, &u->id, index) == SWARM_NOT)) {
        (void)transfer_ranges_add(unknown, index, 1);
        return;
    }
    uint32_t size = u->header.segments[index].size;
    bool fits = link->queue_count < QUEUE_MAX + SMALL_ASKS_MAX &&
                (!*queued || *queued + size <= CREDIT_LINK);
    struct item *item =
        fits ? item_add(link, m->ask, ITEM_SEGMENT, &u->id) : NULL;
    if (!item) {
        (void)transfer_ranges_add(busy, index, 1);
        return;
    }
    *queued += size;
    item->index = index;
    item->insist = m->insist;
    item->parked = !held;
}

static void send_no_ranges(struct transfer *t, struct link *link, uint32_t ask,
                           const struct parcel_ranges *ranges,
                           enum parcel_reason reason, uint32_t retry_ms)
{
    if (!ranges->count)
        return;
    struct parcel_no *m = &t->out.u.no;
    t->out.type = MESSAGE_NO;
    m->ask = ask;
    m->reason = reason;
    m->retry_ms = retry_ms;
    m->has_node = false;
    m->ranges = *ranges;
    transfer_send(t, link);
}

/* A count that no honest asker needs is not walked through. */
static bool ranges_are_sane(const struct parcel_ranges *ranges)
{
    uint64_t sum = transfer_ranges_sum(ranges);
    return sum && sum <= QUEUE_MAX;
}

static void ask_segments(struct transfer *t, struct link *link,
                         const struct parcel_ask *m)
{
    const struct update *u = transfer_update_of(t, &m->id);
    struct parcel_ranges unknown = {.count = 0}, busy = {.count = 0};
    if (!u || !ranges_are_sane(&m->ranges)) {
        send_no(t, link, m->ask, PARCEL_NO_UNKNOWN, 0);
        return;
    }
    uint64_t queued = queued_bytes(t, link);
    for (size_t i = 0; i < m->ranges.count; i++)
        for (uint32_t k = 0; k < m->ranges.at[i].count; k++) {
            uint32_t index = m->ranges.at[i].first + k;
            ask_segment(t, link, m, u, index, &queued, &unknown, &busy);
        }
    send_no_ranges(t, link, m->ask, &unknown, PARCEL_NO_UNKNOWN, 0);
    send_no_ranges(t, link, m->ask, &busy, PARCEL_NO_BUSY, 100);
    kick(t, link);
}

/* ---- Making. ---- */

static bool is_making(const struct transfer *t, const struct parcel_ask *m)
{
    return t->making.active && hash_equal(&t->making.version, &m->id) &&
           t->making.has_base == (m->base_count > 0) &&
           (!m->base_count || hash_equal(&t->making.base, &m->bases[0]));
}

static void add_maker_asker(struct transfer *t, struct link *link, uint32_t ask)
{
    struct making *mk = &t->making;
    if (mk->asker_count == sizeof mk->askers / sizeof mk->askers[0])
        return; /* the offer will reach it all the same */
    mk->askers[mk->asker_count].link = link->id;
    mk->askers[mk->asker_count++].ask = ask;
}

/* Fewest bytes for a slow link, fast decoding for a fast one. */
static enum coding_speed make_speed(const struct parcel_ask *m)
{
    if (!m->rate)
        return CODING_SPEED_AUTO;
    return m->rate < SLOW_LINK ? CODING_SPEED_SMALL : CODING_SPEED_FAST;
}

static bool start_making(struct transfer *t, struct link *link,
                         const struct version *v, const struct version *base,
                         enum coding_speed speed)
{
    struct node_action action = {.kind = NODE_ACTION_MAKE,
                                 .version = v->id,
                                 .tree = v->tree,
                                 .has_base = base != NULL,
                                 .speed = speed};
    struct op op = {.what = OP_MAKE, .version = v->id};
    if (base)
        action.base = base->tree;
    if (!transfer_start(t, &action, &op))
        return false;
    t->making = (struct making){.active = true,
                                .has_base = base != NULL,
                                .base = action.base,
                                .version = v->id,
                                .budget = budget_of(t, link->node)};
    return true;
}

static void ask_make(struct transfer *t, struct link *link,
                     const struct parcel_ask *m)
{
    const struct version *v = transfer_version_of(t, &m->id);
    const struct version *base =
        m->base_count ? transfer_holder_of(t, &m->bases[0]) : NULL;
    if (t->no_make || !v || !v->complete || v->damaged || !v->named ||
        (m->base_count && (!base || base == v))) {
        send_no(t, link, m->ask, PARCEL_NO_UNKNOWN, 0);
        return;
    }
    if (is_making(t, m)) {
        add_maker_asker(t, link, m->ask);
        return;
    }
    for (size_t i = 0; i < t->update_count; i++) {
        const struct update *u = t->updates[i];
        if (hash_equal(&u->header.tree, &v->tree) && update_is_whole(u) &&
            u->header.has_base == (base != NULL) &&
            (!base || hash_equal(&u->header.base, &base->tree))) {
            for (size_t j = 0; j < SUBS_MAX; j++)
                if (link->subs[j].used &&
                    hash_equal(&link->subs[j].version, &v->id))
                    tell_offer(t, link, &link->subs[j], true);
            return;
        }
    }
    uint32_t wait = make_wait_ms(t, budget_of(t, link->node));
    if (t->making.active || wait ||
        !start_making(t, link, v, base, make_speed(m)))
        send_no(t, link, m->ask, PARCEL_NO_BUSY, wait ? wait : 1000);
    else
        add_maker_asker(t, link, m->ask);
}

/* What was made is the update that was meant, and is here whole. */
static bool take_made(struct transfer *t, struct bytes bytes)
{
    struct transfer_header h;
    struct hash id;
    const struct version *v = transfer_version_of(t, &t->making.version);
    if (!v || transfer_read_header(t, bytes, &h))
        return false;
    if (!hash_equal(&h.tree, &v->tree) || h.has_base != t->making.has_base ||
        (h.has_base && !hash_equal(&h.base, &t->making.base))) {
        free(h.segments);
        return false;
    }
    hash_bytes(HASH_UPDATE, bytes, &id);
    struct update *u = transfer_add_update(t, &id, &h, bytes.size);
    if (!u)
        return false;
    for (uint32_t i = 0; i < u->header.segment_count; i++)
        if (u->header.segments[i].size)
            bit_set(u->held, i);
    u->held_count = u->coded_count;
    u->changes++;
    t->counters.updates_made++;
    return true;
}

static void made(struct transfer *t, const struct node_result *result)
{
    struct making *mk = &t->making;
    t->budgets[mk->budget].cpu_ns += result->cpu_ns;
    bool good = !result->status && take_made(t, result->bytes);
    for (size_t i = 0; !good && i < mk->asker_count; i++) {
        struct link *link = transfer_link_of(t, mk->askers[i].link);
        if (link)
            send_no(t, link, mk->askers[i].ask, PARCEL_NO_UNKNOWN, 0);
    }
    mk->active = false;
    t->offers_dirty = true;
}

/* ---- Dispatch of asks. ---- */

void serve_ask(struct transfer *t, struct link *link,
               const struct parcel_ask *m)
{
    switch (m->what) {
    case PARCEL_ASK_VERSION:
        ask_version(t, link, m);
        break;
    case PARCEL_ASK_MANIFEST:
        ask_manifest(t, link, m);
        break;
    case PARCEL_ASK_HEADER:
        if (transfer_update_of(t, &m->id))
            ask_small(t, link, m, ITEM_HEADER);
        else
            send_no(t, link, m->ask, PARCEL_NO_UNKNOWN, 0);
        break;
    case PARCEL_ASK_SEGMENTS:
        ask_segments(t, link, m);
        break;
    case PARCEL_ASK_MAKE:
        ask_make(t, link, m);
        break;
    }
}

static bool in_ranges(const struct parcel_ranges *ranges, uint32_t index)
{
    for (size_t i = 0; i < ranges->count; i++)
        if (index >= ranges->at[i].first &&
            index - ranges->at[i].first < ranges->at[i].count)
            return true;
    return !ranges->count;
}

void serve_cancel(struct transfer *t, struct link *link,
                  const struct parcel_cancel *m)
{
    for (size_t i = 0; i < SUBS_MAX; i++)
        if (link->subs[i].used && link->subs[i].ask == m->ask) {
            link->subs[i].used = false;
            told_sweep(link);
            return;
        }
    struct parcel_ranges gone = {.count = 0};
    for (size_t i = link->queue_count; i-- > 0;) {
        struct item *item = &link->queue[i];
        if (item->ask != m->ask ||
            (item->kind == ITEM_SEGMENT && !in_ranges(&m->ranges, item->index)))
            continue;
        if (item->kind != ITEM_SEGMENT) {
            send_no(t, link, m->ask, PARCEL_NO_CANCELLED, 0);
        } else if (!transfer_ranges_add(&gone, item->index, 1)) {
            send_no_ranges(t, link, m->ask, &gone, PARCEL_NO_CANCELLED, 0);
            gone.count = 0;
            (void)transfer_ranges_add(&gone, item->index, 1);
        }
        item_remove(t, link, i);
    }
    send_no_ranges(t, link, m->ask, &gone, PARCEL_NO_CANCELLED, 0);
}

/* ---- What becomes of segments here. ---- */

void serve_segment_here(struct transfer *t, struct update *u, uint32_t index)
{
    for (size_t i = 0; i < t->link_count; i++) {
        struct link *link = t->links[i];
        bool any = false;
        for (size_t j = 0; j < link->queue_count; j++) {
            struct item *item = &link->queue[j];
            if (item->parked && item->index == index &&
                hash_equal(&item->id, &u->id)) {
                item->parked = false;
                any = true;
            }
        }
        if (any)
            kick(t, link);
    }
}

static void refuse_where(struct transfer *t, const struct update *u,
                         bool only_parked, uint32_t index)
{
    for (size_t i = 0; i < t->link_count; i++) {
        struct link *link = t->links[i];
        for (size_t j = link->queue_count; j-- > 0;) {
            struct item *item = &link->queue[j];
            if (item->kind != ITEM_SEGMENT || !hash_equal(&item->id, &u->id) ||
                (only_parked && (!item->parked || item->index != index)))
                continue;
            send_no_segment(t, link, item, PARCEL_NO_UNKNOWN, NULL);
            item_remove(t, link, j);
        }
    }
}

void serve_segment_lost(struct transfer *t, struct update *u, uint32_t index)
{
    refuse_where(t, u, true, index);
    if (t->have_due_ns > t->now + HAVE_INTERVAL_NS)
        t->have_due_ns = t->now + HAVE_INTERVAL_NS;
}

void serve_drop_update(struct transfer *t, struct update *u)
{
    refuse_where(t, u, false, 0);
    for (size_t i = 0; i < t->link_count; i++) {
        struct link *link = t->links[i];
        for (size_t j = link->queue_count; j-- > 0;)
            if (link->queue[j].kind == ITEM_HEADER &&
                hash_equal(&link->queue[j].id, &u->id)) {
                send_no(t, link, link->queue[j].ask, PARCEL_NO_UNKNOWN, 0);
                item_remove(t, link, j);
            }
    }
}

/* ---- First copies. ---- */

/* Who got the first copy and may still be expected to show it. */
static struct link *given_to(struct transfer *t, struct update *u,
                             uint32_t index)
{
    for (size_t i = u->given_count; i-- > 0;) {
        struct link *link = transfer_link_of(t, u->given[i].link);
        if (!link || t->now >= u->given[i].until_ns)
            u->given[i] = u->given[--u->given_count];
        else if (u->given[i].index == index)
            return link;
    }
    return NULL;
}

static void send_elsewhere(struct transfer *t, struct link *link, size_t i,
                           const struct link *to)
{
    send_no_segment(t, link, &link->queue[i], PARCEL_NO_ELSEWHERE, to->node);
    item_remove(t, link, i);
}

/* The first copy goes to this link: everybody else who waits for it here is
 * sent there. */
static void give(struct transfer *t, struct update *u, uint32_t index,
                 struct link *to)
{
    uint64_t expected = u->header.segments[index].size * (S / 1000000);
    if (transfer_grow((void **)&u->given, u->given_count, &u->given_cap,
                      sizeof *u->given))
        u->given[u->given_count++] =
            (struct given){index, to->id, t->now + GIVEN_NS + 2 * expected};
    for (size_t i = 0; i < t->link_count; i++) {
        struct link *link = t->links[i];
        for (size_t j = link->queue_count; link != to && j-- > 0;) {
            const struct item *item = &link->queue[j];
            if (item->kind == ITEM_SEGMENT && item->index == index &&
                !item->given && !item->insist && hash_equal(&item->id, &u->id))
                send_elsewhere(t, link, j, to);
        }
    }
}

/* ---- Rounds. ---- */

static bool waits_for_turn(const struct link *link)
{
    for (size_t i = 0; i < link->queue_count; i++) {
        const struct item *item = &link->queue[i];
        if (item->kind == ITEM_SEGMENT && !item->parked && !item->given)
            return true;
    }
    return false;
}

static bool round_is_over(const struct transfer *t)
{
    if (t->now >= t->round_ns + ROUND_NS)
        return true;
    for (size_t i = 0; i < t->link_count; i++)
        if (t->links[i]->round != t->round && waits_for_turn(t->links[i]))
            return false;
    return true;
}

static void begin_round(struct transfer *t)
{
    t->round++;
    t->round_ns = t->now;
    for (size_t i = 0; i < t->link_count; i++)
        if (waits_for_turn(t->links[i]))
            kick(t, t->links[i]);
}

static bool take_turn(struct transfer *t, struct link *link)
{
    if (link->round == t->round) {
        if (!round_is_over(t))
            return false;
        begin_round(t);
    }
    link->round = t->round;
    return true;
}

/* ---- Choosing what goes out next on a link. ---- */

/* Takes the next segment for this link: its first copy, or it is held by
 * others too. False when there is none or it is not its turn. */
static bool take_segment(struct transfer *t, struct link *link)
{
    for (size_t i = 0; i < link->queue_count;) {
        struct item *item = &link->queue[i];
        if (item->kind != ITEM_SEGMENT || item->parked || item->given) {
            i++;
            continue;
        }
        struct update *u = transfer_update_of(t, &item->id);
        bool first = u && update_is_whole(u) && !item->insist;
        struct link *to = first ? given_to(t, u, item->index) : NULL;
        if (to && to != link) {
            send_elsewhere(t, link, i, to);
            continue;
        }
        if (!take_turn(t, link))
            return false;
        item->given = true;
        if (first && !to)
            give(t, u, item->index, link);
        return true;
    }
    return false;
}

static unsigned count_given(const struct link *link)
{
    unsigned count = 0;
    for (size_t i = 0; i < link->queue_count; i++)
        count += link->queue[i].given;
    return count;
}

/* The blob of a manifest as it travels, referenced; NULL while it is being
 * read. *failed: it cannot be had. */
static struct blob *manifest_blob(struct transfer *t, struct item *item,
                                  bool *failed)
{
    struct blob key = {.kind = ITEM_MANIFEST,
                       .packed = true,
                       .has_prefix = item->has_prefix,
                       .id = item->id,
                       .prefix = item->prefix,
                       .state = BLOB_READING};
    struct blob *packed = blob_find(t, &key);
    if (packed) {
        packed->refs++;
        return packed;
    }
    struct blob raw_key = {.kind = ITEM_MANIFEST, .id = item->id};
    struct blob prefix_key = {.kind = ITEM_MANIFEST, .id = item->prefix};
    struct blob *raw = blob_get(t, &raw_key);
    struct blob *prefix = item->has_prefix ? blob_get(t, &prefix_key) : NULL;
    if (raw && raw->state == BLOB_READY &&
        (!item->has_prefix || (prefix && prefix->state == BLOB_READY)))
        packed = pack_manifest(t, &key, raw, prefix);
    bool reading = (raw && raw->state == BLOB_READING) ||
                   (prefix && prefix->state == BLOB_READING);
    *failed = !packed && !reading;
    blob_unref(t, raw);
    blob_unref(t, prefix);
    return packed;
}

/* True when the item's bytes are there. Removes an item whose cannot be had. */
static bool item_is_ready(struct transfer *t, struct link *link, size_t i)
{
    struct item *item = &link->queue[i];
    bool failed = false;
    if (!item->blob && item->kind == ITEM_MANIFEST) {
        item->blob = manifest_blob(t, item, &failed);
    } else if (!item->blob) {
        struct blob key = {
            .kind = item->kind, .id = item->id, .index = item->index};
        item->blob = blob_get(t, &key);
        failed = !item->blob;
    }
    failed = failed || (item->blob && item->blob->state == BLOB_FAILED);
    if (!failed)
        return item->blob && item->blob->state == BLOB_READY;
    if (item->kind == ITEM_SEGMENT) {
        struct update *u = transfer_update_of(t, &item->id);
        if (u && bit_get(u->held, item->index)) { /* swept behind our back */
            bit_clear(u->held, item->index);
            u->held_count--;
            u->changes++;
            t->have_dirty = true;
        }
        send_no_segment(t, link, item, PARCEL_NO_UNKNOWN, NULL);
    } else {
        send_no(t, link, item->ask, PARCEL_NO_UNKNOWN, 0);
    }
    item_remove(t, link, i);
    return false;
}

/* Index + 1 of what to send now, 0: nothing is ready. Manifests and headers
 * go first: the peer can do nothing without them. */
static size_t next_ready(struct transfer *t, struct link *link)
{
    for (int segments = 0; segments < 2; segments++)
        for (size_t i = 0; i < link->queue_count;) {
            size_t count = link->queue_count;
            const struct item *item = &link->queue[i];
            bool wanted = segments ? item->given : item->kind != ITEM_SEGMENT;
            if (wanted && item_is_ready(t, link, i))
                return i + 1;
            i += link->queue_count == count;
        }
    return 0;
}

static size_t choose(struct transfer *t, struct link *link)
{
    while (count_given(link) < READS_LINK_MAX && take_segment(t, link))
        continue;
    return next_ready(t, link);
}

/* ---- DATA. ---- */

static bool has_tokens(struct transfer *t)
{
    if (!t->rate)
        return true;
    uint64_t passed = t->now - t->tokens_ns;
    int64_t most = (int64_t)(t->rate / 10 + CREDIT_LINK / 16);
    if (passed >= MS) {
        uint64_t ms = passed / MS < 1000 ? passed / MS : 1000;
        t->tokens +=
            (int64_t)(t->rate / 1000 * ms + t->rate % 1000 * ms / 1000);
        t->tokens_ns = t->now;
    }
    if (t->tokens > most)
        t->tokens = most;
    return t->tokens > 0;
}

static size_t write_part(struct transfer *t, struct link *link, uint8_t *buf,
                         size_t cap)
{
    size_t at = link->sending - 1;
    struct item *item = &link->queue[at];
    size_t left = item->blob->size - (size_t)item->offset;
    size_t room = cap - PARCEL_DATA_HEAD_MAX;
    struct parcel_data *m = &t->out.u.data;
    struct writer wr;
    t->out.type = MESSAGE_DATA;
    m->ask = item->ask;
    m->index = item->index;
    m->offset = item->offset;
    m->payload =
        bytes_of(item->blob->data + item->offset, left < room ? left : room);
    m->last = m->payload.size == left;
    m->prefixed = item->kind == ITEM_MANIFEST && item->has_prefix;
    writer_init(&wr, buf, cap);
    if (parcel_encode(&t->out, &wr))
        return 0;
    item->offset += m->payload.size;
    if (m->last) {
        t->counters.segments_out += item->kind == ITEM_SEGMENT;
        item_remove(t, link, at);
    }
    return wr.size;
}

size_t serve_data(struct transfer *t, struct link *link, uint8_t *buf,
                  size_t cap)
{
    if (!link->queue_count || !has_tokens(t))
        return 0;
    if (cap > LIMIT_FRAME_PLAIN_BYTES)
        cap = LIMIT_FRAME_PLAIN_BYTES;
    if (!link->sending)
        link->sending = choose(t, link);
    if (!link->sending)
        return 0;
    size_t size = write_part(t, link, buf, cap);
    if (t->rate)
        t->tokens -= (int64_t)size;
    return size;
}

void serve_op_done(struct transfer *t, struct op *op,
                   const struct node_result *result)
{
    if (op->what == OP_MAKE) {
        made(t, result);
        return;
    }
    if (op->what == OP_ESTIMATE) {
        estimated(t, result);
        return;
    }
    blob_done(t, op->blob, result);
    for (size_t i = 0; i < t->link_count; i++)
        kick(t, t->links[i]);
}

/* ---- Running. ---- */

void serve_run(struct transfer *t)
{
    if (t->offers_dirty)
        tell_offers(t);
    start_estimates(t);
    tell_haves(t);
    bool waiting = false;
    for (size_t i = 0; i < t->link_count && !waiting; i++)
        waiting = waits_for_turn(t->links[i]);
    if (waiting && round_is_over(t))
        begin_round(t);
    if (t->rate && t->tokens <= 0 && has_tokens(t))
        for (size_t i = 0; i < t->link_count; i++)
            kick(t, t->links[i]);
}

uint64_t serve_deadline(const struct transfer *t)
{
    uint64_t at = t->have_due_ns;
    bool queued = false, waiting = false;
    for (size_t i = 0; i < t->link_count; i++) {
        queued = queued || t->links[i]->queue_count;
        waiting = waiting || waits_for_turn(t->links[i]);
    }
    if (waiting && t->round_ns + ROUND_NS < at)
        at = t->round_ns + ROUND_NS;
    if (queued && t->rate && t->tokens <= 0) {
        uint64_t wait = (uint64_t)-t->tokens * 1000 / t->rate + 2;
        if (t->tokens_ns + wait * MS < at)
            at = t->tokens_ns + wait * MS;
    }
    return at;
}

void serve_link_down(struct transfer *t, struct link *link)
{
    while (link->queue_count)
        item_remove(t, link, link->queue_count - 1);
    for (size_t i = 0; i < t->update_count; i++) {
        struct update *u = t->updates[i];
        for (size_t j = u->given_count; j-- > 0;)
            if (u->given[j].link == link->id)
                u->given[j] = u->given[--u->given_count];
    }
}

void serve_free(struct transfer *t)
{
    while (t->blobs)
        blob_unlink(t, t->blobs);
}
