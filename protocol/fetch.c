/* Fetching a version: ask all peers for it, plan from what they offer, get the
 * manifest and the header of the update chosen, then leave its segments to
 * swarm.c. Everything that can be done next is found by fetch_run, called
 * after every input. */
#include "protocol/manifest.h"
#include "protocol/planner.h"
#include "protocol/transfer_state.h"

#include <stdio.h>
#include <stdlib.h>

static void say_why(struct fetch *f, const char *why)
{
    (void)snprintf(f->version->why, sizeof f->version->why, "%s", why);
}

/* ---- Requests: our open asks. ---- */

struct request *fetch_request_of(struct link *link, uint32_t ask)
{
    for (size_t i = 0; i < link->request_count; i++)
        if (link->requests[i].ask == ask)
            return &link->requests[i];
    return NULL;
}

struct request *fetch_request(struct transfer *t, struct link *link,
                              enum parcel_ask_what what, const struct hash *id)
{
    if (!transfer_grow((void **)&link->requests, link->request_count,
                       &link->request_cap, sizeof *link->requests))
        return NULL;
    struct request *r = &link->requests[link->request_count++];
    memset(r, 0, sizeof *r);
    r->ask = ++link->last_ask;
    r->what = what;
    r->id = *id;
    r->sent_ns = t->now;
    return r;
}

void fetch_close(struct link *link, struct request *r)
{
    writer_deinit(&r->in);
    *r = link->requests[--link->request_count];
}

static struct request *find_request(const struct link *link,
                                    enum parcel_ask_what what,
                                    const struct hash *id)
{
    for (size_t i = 0; i < link->request_count; i++) {
        struct request *r = &link->requests[i];
        if (r->what == what && !r->dead && hash_equal(&r->id, id))
            return r;
    }
    return NULL;
}

static void send_cancel(struct transfer *t, struct link *link, uint32_t ask)
{
    t->out.type = MESSAGE_CANCEL;
    t->out.u.cancel.ask = ask;
    t->out.u.cancel.ranges.count = 0;
    transfer_send(t, link);
}

/* The peer confirms; until then what still comes is thrown away. */
static void cancel_request(struct transfer *t, struct link *link,
                           struct request *r)
{
    send_cancel(t, link, r->ask);
    writer_deinit(&r->in);
    memset(&r->in, 0, sizeof r->in);
    r->dead = true;
    if (r->what == PARCEL_ASK_MAKE)
        fetch_close(link, r);
}

/* Counts what flows while it flows; older bytes weigh less and less. */
static void note_flow(const struct transfer *t, struct link *link, size_t bytes)
{
    uint64_t took = t->now - link->data_ns;
    if (took > FLOW_GAP_NS)
        return;
    link->flow_ns += took;
    link->flow_bytes += bytes;
    if (link->flow_bytes > FLOW_BYTES_MAX) {
        link->flow_ns /= 2;
        link->flow_bytes /= 2;
    }
}

/* Bytes a second that came over the link; 0: not enough came to tell. */
static uint64_t flow_rate(const struct link *link)
{
    if (link->flow_bytes < FLOW_BYTES_MIN || !link->flow_ns)
        return 0;
    return link->flow_bytes * S / link->flow_ns + 1;
}

static void send_ask(struct transfer *t, struct link *link,
                     const struct request *r)
{
    struct parcel_ask *m = &t->out.u.ask;
    t->out.type = MESSAGE_ASK;
    m->ask = r->ask;
    m->what = r->what;
    m->insist = false;
    m->id = r->id;
    m->base_count = r->has_base;
    m->bases[0] = r->base;
    m->ranges.count = 0;
    m->rate = r->what == PARCEL_ASK_MAKE ? flow_rate(link) : 0;
    transfer_send(t, link);
}

/* ---- What peers show. ---- */

static struct offer *offer_of(struct link *link, const struct hash *version)
{
    for (size_t i = 0; i < FETCH_MAX; i++)
        if (link->offers[i].ask &&
            hash_equal(&link->offers[i].version, version))
            return &link->offers[i];
    return NULL;
}

struct seen *fetch_seen(const struct link *link, const struct hash *update)
{
    for (size_t i = 0; i < link->seen_count; i++)
        if (hash_equal(&link->seen[i].update, update))
            return &link->seen[i];
    return NULL;
}

static bool is_offered(const struct link *link, uint32_t ref)
{
    for (size_t i = 0; i < FETCH_MAX; i++)
        for (size_t j = 0; link->offers[i].ask && j < link->offers[i].count;
             j++)
            if (link->offers[i].entries[j].ref == ref)
                return true;
    return false;
}

static void sweep_seen(struct link *link)
{
    for (size_t i = link->seen_count; i-- > 0;) {
        if (is_offered(link, link->seen[i].ref))
            continue;
        free(link->seen[i].have);
        free(link->seen[i].pending);
        link->seen[i] = link->seen[--link->seen_count];
    }
}

static void note_seen(struct link *link, const struct parcel_offer_update *e)
{
    struct seen *s = NULL;
    for (size_t i = 0; i < link->seen_count && !s; i++)
        if (link->seen[i].ref == e->ref)
            s = &link->seen[i];
    if (!s) {
        if (!transfer_grow((void **)&link->seen, link->seen_count,
                           &link->seen_cap, sizeof *link->seen))
            return;
        s = &link->seen[link->seen_count++];
        memset(s, 0, sizeof *s);
        s->ref = e->ref;
    }
    s->update = e->update;
    s->whole = !e->partial;
}

struct fetch *fetch_of_update(const struct transfer *t,
                              const struct hash *update)
{
    for (struct fetch *f = t->fetches; f; f = f->next)
        if (f->has_update && hash_equal(&f->update, update))
            return f;
    return NULL;
}

/* What was to be made is here under its own name. */
static void close_made(struct transfer *t, struct link *link,
                       const struct offer *o)
{
    for (size_t j = 0; j < o->count; j++) {
        const struct parcel_offer_update *e = &o->entries[j];
        struct request *r = find_request(link, PARCEL_ASK_MAKE, &o->version);
        if (r && e->ref && !e->has_tree && e->has_base == r->has_base &&
            (!r->has_base || hash_equal(&e->base, &r->base)))
            fetch_close(link, r);
    }
    t->plans_dirty = true;
}

static bool is_bad_link(const struct fetch *f, link_id link)
{
    for (size_t i = 0; i < f->bad_link_count; i++)
        if (f->bad_links[i] == link)
            return true;
    return false;
}

/* Somebody has all of what could not be had. */
static void lift_ban(struct transfer *t, const struct link *link,
                     const struct parcel_offer_update *e)
{
    for (struct fetch *f = t->fetches; f && !e->partial; f = f->next)
        for (size_t i = 0; !is_bad_link(f, link->id) && i < f->ban_count; i++)
            if (f->bans[i].until_ns != NEVER &&
                hash_equal(&f->bans[i].update, &e->update))
                f->bans[i].until_ns = 0;
}

void fetch_offer(struct transfer *t, struct link *link,
                 const struct parcel_offer *m)
{
    struct offer *o = NULL;
    for (size_t i = 0; i < FETCH_MAX && m->ask; i++)
        if (link->offers[i].ask == m->ask)
            o = &link->offers[i];
    if (!o) /* cancelled meanwhile */
        return;
    o->answered = true;
    o->manifest = m->manifest;
    o->complete = m->complete;
    o->count = m->update_count;
    memcpy(o->entries, m->updates, m->update_count * sizeof m->updates[0]);
    for (size_t j = 0; j < o->count; j++) {
        if (o->entries[j].ref)
            note_seen(link, &o->entries[j]);
        lift_ban(t, link, &o->entries[j]);
    }
    sweep_seen(link);
    close_made(t, link, o);
    for (struct fetch *f = t->fetches; f; f = f->next)
        if (f->swarm)
            swarm_touch(f->swarm);
}

static bool seen_grow(struct seen *s, size_t bytes)
{
    if (bytes <= s->bytes)
        return true;
    uint8_t *have = realloc(s->have, bytes);
    if (have)
        s->have = have;
    uint8_t *pending = realloc(s->pending, bytes);
    if (pending)
        s->pending = pending;
    if (!have || !pending)
        return false;
    memset(have + s->bytes, 0, bytes - s->bytes);
    memset(pending + s->bytes, 0, bytes - s->bytes);
    s->bytes = bytes;
    return true;
}

static bool seen_apply(struct seen *s, const struct parcel_ranges *ranges,
                       bool have, bool pending)
{
    if (transfer_ranges_sum(ranges) > UPDATE_SEGMENTS_MAX)
        return false;
    for (size_t i = 0; i < ranges->count; i++) {
        struct parcel_range r = ranges->at[i];
        if (r.count > UPDATE_SEGMENTS_MAX ||
            r.first > UPDATE_SEGMENTS_MAX - r.count)
            return false;
        if (!seen_grow(s, bits_bytes((size_t)r.first + r.count)))
            return true;
        for (uint32_t k = r.first; k < r.first + r.count; k++) {
            (have ? bit_set : bit_clear)(s->have, k);
            (pending ? bit_set : bit_clear)(s->pending, k);
        }
    }
    return true;
}

void fetch_have(struct transfer *t, struct link *link,
                const struct parcel_have *m)
{
    struct seen *s = NULL;
    for (size_t i = 0; i < link->seen_count; i++)
        if (link->seen[i].ref == m->ref)
            s = &link->seen[i];
    if (!s) /* cancelled meanwhile */
        return;
    s->whole = s->whole || m->complete;
    if (!seen_apply(s, &m->verified, true, false) ||
        !seen_apply(s, &m->pending, false, true) ||
        !seen_apply(s, &m->gone, false, false)) {
        transfer_strike(t, link, "HAVE of a segment that cannot be");
        return;
    }
    struct fetch *f = fetch_of_update(t, &s->update);
    if (f && f->swarm)
        swarm_touch(f->swarm);
}

/* ---- Bans, pauses, leaving. ---- */

static bool is_banned(const struct transfer *t, const struct fetch *f,
                      const struct hash *update)
{
    for (size_t i = 0; i < f->ban_count; i++)
        if (f->bans[i].until_ns > t->now &&
            hash_equal(&f->bans[i].update, update))
            return true;
    return false;
}

void fetch_leave_update(struct transfer *t, struct fetch *f)
{
    if (f->swarm)
        swarm_free(t, f->swarm);
    f->swarm = NULL;
    for (size_t i = 0; f->has_update && i < t->link_count; i++) {
        struct request *r =
            find_request(t->links[i], PARCEL_ASK_HEADER, &f->update);
        if (r)
            cancel_request(t, t->links[i], r);
    }
    free(f->header);
    f->header = NULL;
    f->has_update = false;
    t->plans_dirty = true;
}

/* The oldest ban gives way when there are too many. */
void fetch_ban(struct transfer *t, struct fetch *f, const struct hash *update,
               uint64_t until_ns)
{
    if (f->ban_count == BANS_MAX)
        memmove(f->bans, f->bans + 1, --f->ban_count * sizeof *f->bans);
    f->bans[f->ban_count++] = (struct ban){*update, until_ns};
    if (f->has_update && hash_equal(&f->update, update))
        fetch_leave_update(t, f);
    t->plans_dirty = true;
}

void fetch_pause(struct transfer *t, struct fetch *f, enum status why)
{
    f->pause_until_ns = t->now + PAUSE_NS;
    char text[96];
    (void)snprintf(text, sizeof text, "%s here; trying again in a minute",
                   status_text(why));
    say_why(f, text);
    transfer_log(t, NODE_LOG_WARN, "%s: %s", f->version->model, text);
    t->plans_dirty = true;
}

static void leave_link(struct transfer *t, struct fetch *f, struct link *link)
{
    const struct hash *id = &f->version->id;
    struct offer *o = offer_of(link, id);
    if (o) {
        send_cancel(t, link, o->ask);
        o->ask = 0;
        sweep_seen(link);
    }
    struct request *r = find_request(link, PARCEL_ASK_MANIFEST, id);
    if (r)
        cancel_request(t, link, r);
    r = find_request(link, PARCEL_ASK_MAKE, id);
    if (r)
        cancel_request(t, link, r);
}

void fetch_free(struct transfer *t, struct fetch *f)
{
    fetch_leave_update(t, f);
    for (size_t i = 0; i < t->link_count; i++)
        leave_link(t, f, t->links[i]);
    for (struct fetch **p = &t->fetches; *p; p = &(*p)->next)
        if (*p == f) {
            *p = f->next;
            break;
        }
    f->version->fetch = NULL;
    free(f);
}

void fetch_link_down(struct transfer *t, struct link *link)
{
    swarm_link_down(t, link);
    t->owed -= link->owed;
    link->owed = 0;
    t->plans_dirty = true;
}

/* The oldest gives way when there are too many. */
static void note_bad_link(struct fetch *f, link_id link)
{
    if (is_bad_link(f, link))
        return;
    if (f->bad_link_count == sizeof f->bad_links / sizeof f->bad_links[0])
        memmove(f->bad_links, f->bad_links + 1,
                --f->bad_link_count * sizeof f->bad_links[0]);
    f->bad_links[f->bad_link_count++] = link;
}

/* ---- Subscribing. ---- */

static bool is_base(const struct version *v)
{
    return v->complete && !v->damaged;
}

static bool has_base(const struct hash *bases, size_t count,
                     const struct hash *tree)
{
    for (size_t i = 0; i < count; i++)
        if (hash_equal(&bases[i], tree))
            return true;
    return false;
}

static uint64_t distance(const struct version *a, const struct version *b)
{
    return a->counter > b->counter ? a->counter - b->counter
                                   : b->counter - a->counter;
}

static bool is_parent(const struct version *v, const struct version *of)
{
    for (size_t i = 0; i < of->parent_count; i++)
        if (hash_equal(&of->parents[i], &v->id))
            return true;
    return false;
}

/* The held version that is most likely the nearest: a parent, else the next in
 * the same line; not one whose tree is among bases already. */
static struct version *nearest_base(const struct transfer *t,
                                    const struct version *to,
                                    const struct hash *bases, size_t count)
{
    struct version *best = NULL;
    bool best_parent = false;
    for (size_t i = 0; i < t->version_count; i++) {
        struct version *v = t->versions[i];
        bool parent = is_parent(v, to);
        if (!is_base(v) || has_base(bases, count, &v->tree) ||
            (!parent && strcmp(v->model, to->model) != 0))
            continue;
        if (best &&
            (best_parent > parent ||
             (best_parent == parent && distance(best, to) <= distance(v, to))))
            continue;
        best = v;
        best_parent = parent;
    }
    return best;
}

static void subscribe_to(struct transfer *t, struct fetch *f, struct link *link)
{
    struct offer *o = NULL;
    for (size_t i = 0; i < FETCH_MAX && !o; i++)
        if (!link->offers[i].ask)
            o = &link->offers[i];
    if (!o)
        return;
    memset(o, 0, sizeof *o);
    o->version = f->version->id;
    o->ask = ++link->last_ask;
    struct parcel_ask *m = &t->out.u.ask;
    t->out.type = MESSAGE_ASK;
    m->ask = o->ask;
    m->what = PARCEL_ASK_VERSION;
    m->rate = 0;
    m->insist = false;
    m->id = o->version;
    m->ranges.count = 0;
    for (m->base_count = 0; m->base_count < PARCEL_BASES_MAX; m->base_count++) {
        const struct version *base =
            nearest_base(t, f->version, m->bases, m->base_count);
        if (!base)
            break;
        m->bases[m->base_count] = base->tree;
    }
    transfer_send(t, link);
}

/* True when every peer has answered. */
static bool subscribe(struct transfer *t, struct fetch *f)
{
    bool all = true;
    for (size_t i = 0; i < t->link_count; i++) {
        struct link *link = t->links[i];
        struct offer *o = offer_of(link, &f->version->id);
        if (!o && link->busy_until_ns > t->now) {
            transfer_wake(t, link->busy_until_ns);
            continue;
        }
        if (!o)
            subscribe_to(t, f, link);
        all = all && o && o->answered;
    }
    return all;
}

/* ---- The manifest. ---- */

/* Where small things are fetched: a LAN peer first, then who owes us least;
 * of equals each node takes another. */
static bool is_better_source(const struct transfer *t, const struct link *a,
                             const struct link *b)
{
    if (!b)
        return true;
    if (a->lan != b->lan)
        return a->lan;
    if (a->request_count != b->request_count)
        return a->request_count < b->request_count;
    return (uint8_t)(a->node[1] ^ t->node[1]) <
           (uint8_t)(b->node[1] ^ t->node[1]);
}

/* The open request, or NULL; one that got no answer in time is given up. */
static bool is_under_way(struct transfer *t, struct fetch *f,
                         enum parcel_ask_what what, const struct hash *id,
                         uint64_t timeout_ns)
{
    for (size_t i = 0; i < t->link_count; i++) {
        struct link *link = t->links[i];
        struct request *r = find_request(link, what, id);
        if (!r)
            continue;
        if (t->now < r->sent_ns + timeout_ns) {
            transfer_wake(t, r->sent_ns + timeout_ns);
            return true;
        }
        note_bad_link(f, link->id);
        cancel_request(t, link, r);
    }
    return false;
}

/* Who failed once is asked again after a while: there is nobody else. */
static void forgive_links(struct transfer *t, struct fetch *f)
{
    if (!f->bad_link_count)
        return;
    f->bad_link_count = 0;
    f->retry_ns = t->now + RETRY_NS;
    transfer_wake(t, f->retry_ns);
}

static void ask_manifest(struct transfer *t, struct fetch *f)
{
    struct link *best = NULL;
    for (size_t i = 0; i < t->link_count; i++) {
        struct link *link = t->links[i];
        const struct offer *o = offer_of(link, &f->version->id);
        if (o && o->manifest && !is_bad_link(f, link->id) &&
            is_better_source(t, link, best))
            best = link;
    }
    if (!best) {
        say_why(f, "no peer has it yet");
        forgive_links(t, f);
        return;
    }
    struct request *r =
        fetch_request(t, best, PARCEL_ASK_MANIFEST, &f->version->id);
    if (!r)
        return;
    const struct version *prefix = nearest_base(t, f->version, NULL, 0);
    if (prefix && !f->no_prefix) {
        r->has_base = true;
        r->base = prefix->id;
    }
    /* A frame that does not pack at all is hardly larger. */
    uint64_t max = f->version->manifest_size;
    writer_init_heap(&r->in, (size_t)(max + max / 64 + 1024));
    send_ask(t, best, r);
    say_why(f, "fetching the manifest");
}

static void run_manifest(struct transfer *t, struct fetch *f)
{
    if (f->version->manifest || f->manifest_busy)
        return;
    if (is_under_way(t, f, PARCEL_ASK_MANIFEST, &f->version->id,
                     SMALL_TIMEOUT_NS))
        return;
    if (t->now < f->retry_ns)
        transfer_wake(t, f->retry_ns);
    else
        ask_manifest(t, f);
}

static void put_manifest(struct transfer *t, struct fetch *f,
                         struct writer *bytes)
{
    size_t size;
    uint8_t *data = writer_take(bytes, &size);
    struct node_action action = {.kind = NODE_ACTION_PUT_MANIFEST,
                                 .version = f->version->id,
                                 .bytes = {data, size},
                                 .owned = data};
    struct op op = {.what = OP_PUT_MANIFEST, .version = f->version->id};
    f->manifest_busy = transfer_start(t, &action, &op);
    if (!f->manifest_busy) {
        free(data);
        fetch_pause(t, f, STATUS_NO_MEMORY);
    }
}

/* Undoes the packing, then judges. */
static void take_manifest(struct transfer *t, struct fetch *f, link_id from,
                          struct bytes frame, struct bytes prefix)
{
    struct version *v = f->version;
    struct writer bytes;
    struct hash id;
    writer_init_heap(&bytes, (size_t)v->manifest_size);
    enum status status =
        manifest_unpack(frame, prefix, v->manifest_size, &bytes);
    hash_bytes(HASH_MANIFEST, writer_view(&bytes), &id);
    if (status == STATUS_NO_MEMORY) {
        fetch_pause(t, f, status);
    } else if (status || !hash_equal(&id, &v->id)) {
        struct link *link = transfer_link_of(t, from);
        note_bad_link(f, from);
        if (link)
            transfer_strike(t, link, "wrong manifest");
    } else if (t->host.check_manifest(t->host.ctx, &v->id,
                                      writer_view(&bytes))) {
        v->refused = true;
        say_why(f, "its manifest is not what its record promises");
        transfer_log(t, NODE_LOG_ERROR, "%s: %s", v->model, v->why);
    } else {
        put_manifest(t, f, &bytes);
    }
    t->plans_dirty = true;
    writer_deinit(&bytes);
}

static void unpack_manifest(struct transfer *t, struct fetch *f,
                            struct link *link, struct request *r)
{
    size_t size;
    uint8_t *frame = writer_take(&r->in, &size);
    if (!r->prefixed || !r->has_base) {
        take_manifest(t, f, link->id, bytes_of(frame, size),
                      (struct bytes){NULL, 0});
        free(frame);
        return;
    }
    struct node_action action = {.kind = NODE_ACTION_READ_MANIFEST,
                                 .version = r->base};
    struct op op = {.what = OP_READ_PREFIX,
                    .version = f->version->id,
                    .link = link->id,
                    .frame = frame,
                    .frame_size = size};
    f->manifest_busy = transfer_start(t, &action, &op);
    if (!f->manifest_busy) {
        free(frame);
        fetch_pause(t, f, STATUS_NO_MEMORY);
    }
}

/* ---- The plan. ---- */

uint64_t fetch_left(const struct update *u, const struct version *v)
{
    uint64_t left = 0;
    for (uint32_t i = 0; i < u->header.segment_count; i++)
        if (u->header.segments[i].size && !transfer_segment_is_done(u, v, i))
            left += u->header.segments[i].size;
    return left;
}

struct graph {
    struct planner_edge edges[PLANNER_EDGES_MAX];
    size_t count;
};

/* bytes for the part of v that is not verified yet. */
static uint64_t scaled(uint64_t bytes, const struct version *v)
{
    uint32_t blocks = v->shape.block_count;
    if (!blocks || !v->blocks_done)
        return bytes;
    return bytes / blocks * (blocks - v->blocks_done);
}

static bool is_refused(const struct transfer *t, const struct fetch *f,
                       link_id link, const struct parcel_offer_update *e)
{
    for (size_t i = 0; i < f->refusal_count; i++) {
        const struct refusal *r = &f->refusals[i];
        if (r->link == link && r->until_ns > t->now &&
            r->has_base == e->has_base &&
            (!r->has_base || hash_equal(&r->base, &e->base)))
            return true;
    }
    return false;
}

/* A name for what has no id yet, the same for everyone. */
static void name_pair(const struct parcel_offer_update *e,
                      const struct hash *target, const uint8_t *node,
                      struct hash *out)
{
    struct hash_state st;
    static const struct hash nothing;
    hash_begin(&st, HASH_MISC);
    hash_add(&st, e->has_base ? e->base.b : nothing.b, HASH_BYTES);
    hash_add(&st, target->b, HASH_BYTES);
    if (node)
        hash_add(&st, node, 32);
    hash_end(&st, out);
}

/* One peer's offer becomes an edge, or joins the one that is there. */
static void add_edge(struct transfer *t, struct fetch *f, struct link *link,
                     const struct parcel_offer_update *e, struct graph *g)
{
    const struct hash *tree = e->has_tree ? &e->tree : &f->version->tree;
    const struct version *to =
        e->has_tree ? transfer_version_with_tree(t, tree) : f->version;
    struct planner_edge edge = {.has_base = e->has_base,
                                .base = e->base,
                                .tree = *tree,
                                .id = e->update,
                                .make = !e->ref};
    if (!to || to->refused || g->count == PLANNER_EDGES_MAX)
        return;
    /* What is under way is not left for an estimate. */
    if (edge.make && (e->has_tree || f->swarm || is_refused(t, f, link->id, e)))
        return;
    if (edge.make)
        name_pair(e, tree, NULL, &edge.id);
    if (!edge.make && is_banned(t, f, &e->update))
        return;
    const struct update *u = edge.make ? NULL : transfer_update_of(t, &edge.id);
    /* Who kept us waiting once is not believed while there is another way: else
     * a few cheap offers with nothing behind them keep all others away. */
    bool goes_on = u && f->has_update && hash_equal(&f->update, &edge.id);
    if (!goes_on && is_bad_link(f, link->id))
        return;
    edge.bytes = u ? fetch_left(u, to) : scaled(e->bytes, to);
    for (size_t i = 0; i < g->count; i++)
        if (hash_equal(&g->edges[i].id, &edge.id)) {
            if (edge.bytes > g->edges[i].bytes)
                g->edges[i].bytes = edge.bytes;
            return;
        }
    g->edges[g->count++] = edge;
}

static void build_graph(struct transfer *t, struct fetch *f, struct graph *g)
{
    g->count = 0;
    for (size_t i = 0; i < t->link_count; i++) {
        const struct offer *o = offer_of(t->links[i], &f->version->id);
        for (size_t j = 0; o && j < o->count; j++)
            add_edge(t, f, t->links[i], &o->entries[j], g);
    }
}

#define HELD_MAX 256u

static bool find_plan(struct transfer *t, struct fetch *f, struct graph *g,
                      struct planner_plan *plan)
{
    struct hash held[HELD_MAX];
    size_t count = 0;
    for (size_t i = 0; i < t->version_count && count < HELD_MAX; i++)
        if (is_base(t->versions[i]))
            held[count++] = t->versions[i]->tree;
    return planner_find(g->edges, g->count, held, count, &f->version->tree,
                        plan);
}

static void ask_make(struct transfer *t, struct fetch *f,
                     const struct planner_edge *edge)
{
    struct link *best = NULL;
    struct hash best_hash;
    for (size_t i = 0; i < t->link_count; i++) {
        struct link *link = t->links[i];
        const struct offer *o = offer_of(link, &f->version->id);
        for (size_t j = 0; o && j < o->count; j++) {
            const struct parcel_offer_update *e = &o->entries[j];
            struct hash pair, name;
            name_pair(e, &f->version->tree, NULL, &pair);
            name_pair(e, &f->version->tree, link->node, &name);
            if (e->ref || is_refused(t, f, link->id, e) ||
                !hash_equal(&pair, &edge->id) ||
                (best && hash_compare(&name, &best_hash) >= 0))
                continue;
            best = link;
            best_hash = name;
        }
    }
    struct request *r =
        best ? fetch_request(t, best, PARCEL_ASK_MAKE, &f->version->id) : NULL;
    if (!r)
        return;
    r->has_base = edge->has_base;
    r->base = edge->base;
    send_ask(t, best, r);
    say_why(f, "waiting for a peer to make an update");
}

static void refuse_make(struct transfer *t, struct fetch *f, link_id link,
                        const struct request *r, uint64_t until_ns)
{
    if (f->refusal_count == BANS_MAX)
        memmove(f->refusals, f->refusals + 1,
                --f->refusal_count * sizeof *f->refusals);
    f->refusals[f->refusal_count++] =
        (struct refusal){link, r->has_base, r->base, until_ns};
    t->plans_dirty = true;
}

/* True while a peer makes an update for us. */
static bool is_being_made(struct transfer *t, struct fetch *f)
{
    for (size_t i = 0; i < t->link_count; i++) {
        struct link *link = t->links[i];
        struct request *r =
            find_request(link, PARCEL_ASK_MAKE, &f->version->id);
        if (!r)
            continue;
        if (t->now < r->sent_ns + MAKE_TIMEOUT_NS) {
            transfer_wake(t, r->sent_ns + MAKE_TIMEOUT_NS);
            return true;
        }
        refuse_make(t, f, link->id, r, t->now + MAKE_RETRY_NS);
        note_bad_link(f, link->id);
        cancel_request(t, link, r);
    }
    return false;
}

/* The update in progress stays unless another is a tenth better. */
static bool keeps_update(const struct fetch *f, const struct graph *g,
                         uint64_t best)
{
    for (size_t i = 0; f->has_update && i < g->count; i++)
        if (hash_equal(&g->edges[i].id, &f->update))
            return g->edges[i].bytes <= best + best / 10;
    return false;
}

static void follow(struct transfer *t, struct fetch *f,
                   const struct planner_edge *edge)
{
    bool via = !hash_equal(&edge->tree, &f->version->tree);
    if (f->has_update && (via || !hash_equal(&edge->id, &f->update)))
        fetch_leave_update(t, f);
    const struct version *to =
        via ? transfer_version_with_tree(t, &edge->tree) : NULL;
    if (f->has_via != via || (via && !hash_equal(&f->via, &to->id)))
        t->plans_dirty = true;
    f->has_via = via;
    if (via) {
        f->via = to->id;
        say_why(f, "fetching an earlier version first");
    } else if (edge->make) {
        ask_make(t, f, edge);
    } else {
        f->has_update = true;
        f->update = edge->id;
    }
}

static void run_plan(struct transfer *t, struct fetch *f)
{
    struct graph *g = malloc(sizeof *g);
    struct planner_plan plan;
    if (!g)
        return;
    build_graph(t, f, g);
    f->planned = find_plan(t, f, g, &plan);
    if (!f->planned) {
        if (!f->has_update)
            say_why(f, "no peer offers a way to it");
        forgive_links(t, f);
    } else if (plan.step_count && !keeps_update(f, g, plan.bytes)) {
        follow(t, f, &g->edges[plan.steps[0]]);
    }
    free(g);
}

/* ---- The header. ---- */

static void ask_header(struct transfer *t, struct fetch *f)
{
    struct link *best = NULL;
    for (size_t i = 0; i < t->link_count; i++) {
        struct link *link = t->links[i];
        if (fetch_seen(link, &f->update) && !is_bad_link(f, link->id) &&
            is_better_source(t, link, best))
            best = link;
    }
    struct request *r =
        best ? fetch_request(t, best, PARCEL_ASK_HEADER, &f->update) : NULL;
    if (!best)
        fetch_leave_update(t, f); /* planned anew, without those links */
    if (!r)
        return;
    writer_init_heap(&r->in, UPDATE_HEADER_MAX);
    send_ask(t, best, r);
    say_why(f, "fetching the header of an update");
}

static void put_header(struct transfer *t, struct fetch *f)
{
    struct transfer_header h;
    struct bytes bytes = bytes_of(f->header, f->header_size);
    if (transfer_read_header(t, bytes, &h)) {
        fetch_pause(t, f, STATUS_NO_MEMORY);
        return;
    }
    free(h.segments);
    struct node_action action = {.kind = NODE_ACTION_PUT_HEADER,
                                 .version = f->version->id,
                                 .update = f->update,
                                 .has_base = h.has_base,
                                 .base = h.base,
                                 .tree = h.tree,
                                 .bytes = bytes,
                                 .owned = NULL};
    uint8_t *copy = malloc(f->header_size);
    if (copy) {
        memcpy(copy, f->header, f->header_size);
        action.bytes.data = action.owned = copy;
    }
    struct op op = {
        .what = OP_PUT_HEADER, .version = f->version->id, .update = f->update};
    f->header_busy = copy && transfer_start(t, &action, &op);
    if (!f->header_busy) {
        free(copy);
        fetch_pause(t, f, STATUS_NO_MEMORY);
    }
}

static void run_header(struct transfer *t, struct fetch *f)
{
    if (f->header_busy)
        return;
    if (f->header) {
        if (f->version->manifest)
            put_header(t, f);
        return;
    }
    if (is_under_way(t, f, PARCEL_ASK_HEADER, &f->update, SMALL_TIMEOUT_NS))
        return;
    if (t->now < f->retry_ns)
        transfer_wake(t, f->retry_ns);
    else
        ask_header(t, f);
}

/* The header leads to the version from something that is here. */
static bool header_fits(const struct transfer *t, const struct fetch *f,
                        const struct transfer_header *h)
{
    return hash_equal(&h->tree, &f->version->tree) &&
           h->size == f->version->shape.size &&
           (!h->has_base || transfer_holder_of(t, &h->base));
}

static void take_header(struct transfer *t, struct fetch *f, struct link *link,
                        struct request *r)
{
    struct transfer_header h;
    struct hash id;
    hash_bytes(HASH_UPDATE, writer_view(&r->in), &id);
    if (!hash_equal(&id, &f->update)) {
        note_bad_link(f, link->id);
        transfer_strike(t, link, "wrong header");
        return;
    }
    enum status status = transfer_read_header(t, writer_view(&r->in), &h);
    if (status == STATUS_NO_MEMORY) {
        fetch_pause(t, f, status);
        return;
    }
    bool fits = !status && header_fits(t, f, &h);
    free(h.segments);
    if (!fits) {
        if (status != STATUS_UNSUPPORTED)
            transfer_strike(t, link, "an update that is not what was offered");
        struct hash bad = f->update;
        fetch_ban(t, f, &bad, NEVER);
        return;
    }
    f->header = writer_take(&r->in, &f->header_size);
}

/* ---- Messages to our requests. ---- */

static struct fetch *fetch_of_request(const struct transfer *t,
                                      const struct request *r)
{
    if (r->what == PARCEL_ASK_HEADER)
        return fetch_of_update(t, &r->id);
    const struct version *v = transfer_version_of(t, &r->id);
    return v ? v->fetch : NULL;
}

static uint64_t retry_after(const struct transfer *t, uint32_t retry_ms)
{
    uint64_t wait = retry_ms * MS;
    if (wait < 100 * MS)
        wait = 100 * MS;
    return t->now + (wait < PAUSE_NS ? wait : PAUSE_NS);
}

static void no_to_version(struct transfer *t, struct link *link,
                          const struct parcel_no *m)
{
    for (size_t i = 0; i < FETCH_MAX; i++)
        if (link->offers[i].ask == m->ask && m->ask) {
            link->offers[i].ask = 0;
            link->busy_until_ns = retry_after(t, m->retry_ms);
            sweep_seen(link);
            t->plans_dirty = true;
        }
}

void fetch_no(struct transfer *t, struct link *link, const struct parcel_no *m)
{
    struct request *r = fetch_request_of(link, m->ask);
    if (!r) {
        no_to_version(t, link, m);
        return;
    }
    if (r->what == PARCEL_ASK_SEGMENTS) {
        swarm_no(t, link, r, m);
        return;
    }
    struct fetch *f = r->dead ? NULL : fetch_of_request(t, r);
    if (f && r->what == PARCEL_ASK_MAKE)
        refuse_make(t, f, link->id, r,
                    m->reason == PARCEL_NO_BUSY ? retry_after(t, m->retry_ms)
                                                : t->now + MAKE_RETRY_NS);
    else if (f && m->reason == PARCEL_NO_BUSY)
        f->retry_ns = retry_after(t, m->retry_ms);
    else if (f)
        note_bad_link(f, link->id);
    fetch_close(link, r);
}

void fetch_data(struct transfer *t, struct link *link,
                const struct parcel_data *m)
{
    struct request *r = fetch_request_of(link, m->ask);
    note_flow(t, link, m->payload.size);
    link->data_ns = t->now;
    t->quiet = true;
    if (!r || r->what == PARCEL_ASK_MAKE) {
        transfer_strike(t, link, "data that nobody asked for");
        return;
    }
    if (r->what == PARCEL_ASK_SEGMENTS) {
        swarm_data(t, link, r, m);
        return;
    }
    struct fetch *f = r->dead ? NULL : fetch_of_request(t, r);
    if (f && m->offset == r->in.size)
        writer_bytes(&r->in, m->payload.data, m->payload.size);
    else if (f)
        writer_fail(&r->in, STATUS_CORRUPT);
    if (f && writer_status(&r->in)) {
        note_bad_link(f, link->id);
        transfer_strike(t, link, "more data than there can be");
        cancel_request(t, link, r);
        t->quiet = false;
        return;
    }
    if (!m->last)
        return;
    t->quiet = false;
    r->prefixed = m->prefixed;
    if (f && r->what == PARCEL_ASK_MANIFEST)
        unpack_manifest(t, f, link, r);
    else if (f)
        take_header(t, f, link, r);
    r = fetch_request_of(link, m->ask);
    if (r)
        fetch_close(link, r);
}

/* ---- Outcomes. ---- */

static void manifest_put(struct transfer *t, struct fetch *f,
                         enum status status)
{
    f->manifest_busy = false;
    if (status) {
        fetch_pause(t, f, status);
        return;
    }
    f->version->manifest = true;
    t->plans_dirty = t->offers_dirty = true;
    t->host.event(t->host.ctx, NODE_EVENT_VERSION_FETCHING, &f->version->id,
                  f->version->blocks_done, f->version->shape.block_count);
}

static void header_put(struct transfer *t, struct fetch *f, const struct op *op,
                       enum status status)
{
    f->header_busy = false;
    if (!f->has_update || !hash_equal(&op->update, &f->update))
        return;
    struct transfer_header h;
    struct bytes bytes = bytes_of(f->header, f->header_size);
    if (!status && f->header) {
        status = transfer_read_header(t, bytes, &h);
        if (!status && !transfer_add_update(t, &op->update, &h, bytes.size))
            status = STATUS_NO_MEMORY;
    }
    free(f->header);
    f->header = NULL;
    if (status)
        fetch_pause(t, f, status);
}

static void completed(struct transfer *t, struct version *v, enum status status)
{
    struct fetch *f = v->fetch;
    if (f)
        f->completing = false;
    if (status) {
        if (f)
            fetch_pause(t, f, status);
        return;
    }
    v->complete = true;
    v->damaged = false;
    v->why[0] = 0;
    t->counters.versions_completed++;
    t->plans_dirty = t->offers_dirty = true;
    if (f)
        fetch_free(t, f);
    t->host.event(t->host.ctx, NODE_EVENT_VERSION_COMPLETE, &v->id,
                  v->shape.block_count, v->shape.block_count);
}

static void prefix_read(struct transfer *t, struct fetch *f,
                        const struct op *op, const struct node_result *result)
{
    f->manifest_busy = false;
    f->no_prefix = result->status != STATUS_OK; /* ask again, without it */
    t->plans_dirty = true;
    if (!result->status)
        take_manifest(t, f, op->link, bytes_of(op->frame, op->frame_size),
                      result->bytes);
}

void fetch_op_done(struct transfer *t, struct op *op,
                   const struct node_result *result)
{
    if (op->what == OP_DECODE) {
        swarm_decoded(t, op, result->status);
        return;
    }
    struct version *v = transfer_version_of(t, &op->version);
    if (!v || (!v->fetch && op->what != OP_COMPLETE))
        return;
    switch (op->what) {
    case OP_PUT_MANIFEST:
        manifest_put(t, v->fetch, result->status);
        break;
    case OP_READ_PREFIX:
        prefix_read(t, v->fetch, op, result);
        break;
    case OP_PUT_HEADER:
        header_put(t, v->fetch, op, result->status);
        break;
    default:
        completed(t, v, result->status);
    }
}

/* ---- Running. ---- */

static void start_complete(struct transfer *t, struct fetch *f)
{
    struct node_action action = {.kind = NODE_ACTION_COMPLETE,
                                 .version = f->version->id};
    struct op op = {.what = OP_COMPLETE, .version = f->version->id};
    f->completing = transfer_start(t, &action, &op);
    if (!f->completing)
        fetch_pause(t, f, STATUS_NO_MEMORY);
    else
        say_why(f, "making it durable");
}

static bool has_all_blocks(struct transfer *t, struct fetch *f)
{
    struct version *v = f->version;
    if (!v->manifest)
        return false;
    if (v->blocks_done < v->shape.block_count &&
        transfer_holder_of(t, &v->tree))
        for (uint32_t b = 0; b < v->shape.block_count; b++) {
            v->blocks_done += !bit_get(v->blocks, b);
            bit_set(v->blocks, b);
        }
    return v->blocks_done == v->shape.block_count;
}

/* Somebody else, whom we have no reason to doubt, offers something else. */
static bool has_another_way(struct transfer *t, const struct fetch *f)
{
    for (size_t i = 0; i < t->link_count; i++) {
        struct link *link = t->links[i];
        const struct offer *o = offer_of(link, &f->version->id);
        if (o && o->count && !is_bad_link(f, link->id) &&
            !fetch_seen(link, &f->update))
            return true;
    }
    return false;
}

/* When to look for another way. */
static uint64_t stuck_ns(struct transfer *t, const struct fetch *f)
{
    const struct swarm *s = f->swarm;
    if (swarm_is_idle(s))
        return swarm_idle_since(s) + STUCK_NS;
    if (!swarm_waits_for_peers(s) || !has_another_way(t, f))
        return NEVER;
    uint64_t quiet = swarm_quiet_since(s) + QUIET_NS;
    uint64_t trickle = swarm_done_since(s) + TRICKLE_NS;
    return quiet < trickle ? quiet : trickle;
}

/* Peers that show what is missing went away, or show it and do not send it:
 * look for another way, and come back to this one later. */
static void leave_when_stuck(struct transfer *t, struct fetch *f)
{
    uint64_t until = stuck_ns(t, f);
    if (t->now < until) {
        transfer_wake(t, until);
        return;
    }
    struct hash update = f->update;
    for (size_t i = 0; i < t->link_count; i++)
        if (fetch_seen(t->links[i], &update))
            note_bad_link(f, t->links[i]->id);
    say_why(f, "no peer has the rest of the update");
    fetch_ban(t, f, &update, t->now + BAN_STUCK_NS);
}

static void wake_for_bans(struct transfer *t, const struct fetch *f)
{
    for (size_t i = 0; i < f->ban_count; i++)
        if (f->bans[i].until_ns > t->now)
            transfer_wake(t, f->bans[i].until_ns);
    for (size_t i = 0; i < f->refusal_count; i++)
        if (f->refusals[i].until_ns > t->now)
            transfer_wake(t, f->refusals[i].until_ns);
}

static void run_segments(struct transfer *t, struct fetch *f)
{
    struct update *u = transfer_update_of(t, &f->update);
    if (!u) {
        run_header(t, f);
        return;
    }
    if (!f->version->manifest)
        return;
    if (!f->swarm) {
        f->swarm = swarm_new(t, f, u);
        say_why(f, "");
    }
    if (!f->swarm) {
        fetch_pause(t, f, STATUS_NO_MEMORY);
        return;
    }
    swarm_run(t, f);
    if (f->swarm)
        leave_when_stuck(t, f);
}

static void fetch_run(struct transfer *t, struct fetch *f, bool replan)
{
    if (f->completing || f->version->refused)
        return;
    if (t->now < f->pause_until_ns) {
        transfer_wake(t, f->pause_until_ns);
        return;
    }
    if (has_all_blocks(t, f)) {
        start_complete(t, f);
        return;
    }
    bool all = subscribe(t, f);
    run_manifest(t, f);
    if (!f->waited && !all && t->now < f->asked_ns + OFFER_WAIT_NS) {
        transfer_wake(t, f->asked_ns + OFFER_WAIT_NS);
        return;
    }
    replan = replan || !f->waited || !f->planned;
    f->waited = true;
    bool being_made = is_being_made(t, f);
    if (!being_made && (replan || (!f->has_update && !f->has_via)))
        run_plan(t, f);
    if (f->has_update)
        run_segments(t, f);
    wake_for_bans(t, f);
}

/* ---- Which versions are fetched now. ---- */

static bool is_chosen(const struct version *v, struct version *const *chosen,
                      size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (chosen[i] == v)
            return true;
    return false;
}

static struct version *next_wanted(const struct transfer *t,
                                   struct version *const *chosen, size_t count)
{
    struct version *best = NULL;
    for (size_t i = 0; i < t->version_count; i++) {
        struct version *v = t->versions[i];
        if (!v->wanted || v->complete || v->refused ||
            is_chosen(v, chosen, count))
            continue;
        if (!best || v->urgency > best->urgency ||
            (v->urgency == best->urgency && v->counter > best->counter))
            best = v;
    }
    return best;
}

static struct fetch *fetch_start(struct transfer *t, struct version *v)
{
    struct fetch *f = v->fetch ? v->fetch : calloc(1, sizeof *f);
    if (!f || v->fetch)
        return f;
    f->version = v;
    f->asked_ns = t->now;
    v->fetch = f;
    f->next = t->fetches;
    t->fetches = f;
    say_why(f, "asking peers");
    return f;
}

/* The wanted ones and the intermediate versions that they wait for. */
static size_t choose(struct transfer *t, struct version **chosen)
{
    size_t count = 0;
    for (unsigned top = 0; top < FETCH_TOP_MAX && count < FETCH_MAX; top++) {
        struct version *v = next_wanted(t, chosen, count);
        while (v && count < FETCH_MAX && !v->complete &&
               !is_chosen(v, chosen, count)) {
            struct fetch *f = fetch_start(t, v);
            if (!f)
                return count;
            chosen[count++] = v;
            v = f->has_via ? transfer_version_of(t, &f->via) : NULL;
        }
    }
    return count;
}

static void choose_fetches(struct transfer *t)
{
    struct version *chosen[FETCH_MAX];
    size_t count = choose(t, chosen);
    for (struct fetch *f = t->fetches, *next; f; f = next) {
        next = f->next;
        if (!is_chosen(f->version, chosen, count))
            fetch_free(t, f);
    }
    t->fetches = NULL;
    for (size_t i = count; i-- > 0;) {
        chosen[i]->fetch->next = t->fetches;
        t->fetches = chosen[i]->fetch;
    }
}

void fetch_run_all(struct transfer *t)
{
    for (unsigned pass = 0; pass < 8; pass++) {
        bool replan = t->plans_dirty;
        t->plans_dirty = false;
        t->wake_ns = NEVER;
        if (replan)
            choose_fetches(t);
        for (struct fetch *f = t->fetches; f; f = f->next)
            fetch_run(t, f, replan);
        if (!t->plans_dirty)
            return;
    }
    transfer_wake(t, t->now + 10 * MS);
}
