/* The segments of one update: which to ask of whom, what arrives, decoding.
 *
 * A segment is missing, asked, arrived (its bytes wait), decoding or done. It
 * is asked of one peer at a time, and of another only after the first has
 * confirmed a CANCEL, so that no segment comes twice unless a link dies.
 *
 * Auxiliary segments come first: no other is asked for while one of them is
 * not, and none is decoded before all of them are durable here. What arrives
 * meanwhile waits, in a part of the memory only, so that there is always room
 * for the auxiliary ones. */
#include "protocol/transfer_state.h"

#include <stdlib.h>

enum seg_state {
    SEG_MISSING,
    SEG_ASKED,
    SEG_ARRIVED,
    SEG_DECODING,
    SEG_DONE
};

struct seg {
    enum seg_state state;
    bool parked;     /* asked of a peer that is getting it itself */
    bool insist;     /* ask who has it, without being sent elsewhere */
    bool cancelling; /* until the peer confirms */
    link_id link;    /* asked of, or who sent it */
    link_id hint;    /* who is getting it, as another peer said; 0: nobody */
    link_id avoid;   /* did not deliver; 0: nobody */
    uint32_t ask;
    uint32_t got; /* bytes here */
    uint64_t asked_ns, cancel_ns;
    uint64_t retry_ns; /* not before */
    uint8_t *buf;
};

#define SAMPLES        16u
#define LATE_MAX       2u /* asks in vain until a peer is no longer waited for */
#define ASKED_LINK_MAX 128u

struct swarm {
    struct update *update;
    struct version *version;
    struct seg *segs;
    uint32_t count;
    uint32_t aux_count; /* the first ones */
    uint64_t start;     /* of this node's order: modulo a count */
    uint32_t scan;      /* places in that order that are done */
    uint32_t *active;   /* asked, arrived, decoding */
    uint32_t active_count;
    uint32_t missing;     /* with bytes */
    uint32_t missing_aux; /* of these, auxiliary ones */
    uint32_t empty;       /* missing, without bytes */
    uint32_t left_aux;    /* auxiliary ones not done */
    bool dirty;
    uint64_t retry_ns; /* the least of the missing ones that must wait */
    uint64_t samples[SAMPLES]; /* times from ask to arrival */
    unsigned sample_count;
    uint64_t idle_since_ns;
    uint64_t done_ns; /* when a segment was last done */
    uint64_t data_ns; /* when a peer last sent anything of use */
};

static uint32_t seg_size(const struct swarm *s, uint32_t index)
{
    return s->update->header.segments[index].size;
}

static bool is_aux(const struct swarm *s, uint32_t index)
{
    return index < s->aux_count;
}

/* The segment at a place of this node's order: first the auxiliary ones, then
 * the others, each from a place of its own on. */
static uint32_t seg_at(const struct swarm *s, uint32_t place)
{
    bool aux = place < s->aux_count;
    uint32_t first = aux ? 0 : s->aux_count;
    uint32_t count = aux ? s->aux_count : s->count - s->aux_count;
    return first + (uint32_t)((s->start % count + place - first) % count);
}

/* Its bytes wait until all auxiliary ones are here. */
static bool waits_for_aux(const struct swarm *s, uint32_t index)
{
    return s->segs[index].state == SEG_ARRIVED && !is_aux(s, index) &&
           s->left_aux;
}

static void note_missing(struct swarm *s, uint32_t index)
{
    if (!seg_size(s, index))
        s->empty++;
    else
        s->missing++;
    s->missing_aux += is_aux(s, index);
}

/* ---- Creation. ---- */

static uint64_t own_start(const struct transfer *t, const struct update *u)
{
    struct hash_state st;
    struct hash h;
    hash_begin(&st, HASH_MISC);
    hash_add(&st, t->node, sizeof t->node);
    hash_add(&st, u->id.b, sizeof u->id.b);
    hash_end(&st, &h);
    return load_le64(h.b);
}

struct swarm *swarm_new(struct transfer *t, struct fetch *f, struct update *u)
{
    struct swarm *s = calloc(1, sizeof *s);
    if (!s)
        return NULL;
    s->update = u;
    s->version = f->version;
    s->count = u->header.segment_count;
    s->aux_count = u->header.aux_count;
    s->segs = calloc(s->count + 1u, sizeof *s->segs);
    s->active = calloc(s->count + 1u, sizeof *s->active);
    if (!s->segs || !s->active) {
        swarm_free(t, s);
        return NULL;
    }
    for (uint32_t i = 0; i < s->count; i++)
        if (transfer_segment_is_done(u, f->version, i))
            s->segs[i].state = SEG_DONE;
        else
            note_missing(s, i);
    s->left_aux = s->missing_aux;
    s->start = own_start(t, u);
    s->dirty = true;
    s->idle_since_ns = s->done_ns = t->now;
    return s;
}

static void activate(struct swarm *s, uint32_t index)
{
    s->active[s->active_count++] = index;
}

static void deactivate(struct swarm *s, uint32_t index)
{
    for (uint32_t i = 0; i < s->active_count; i++)
        if (s->active[i] == index) {
            s->active[i] = s->active[--s->active_count];
            return;
        }
}

/* The link owes us one segment less. */
static void settle_debt(struct transfer *t, struct link *link, uint32_t size)
{
    link->owed -= size;
    link->asked--;
    t->owed -= size;
}

static void drop_bytes(struct seg *seg)
{
    free(seg->buf);
    seg->buf = NULL;
    seg->got = 0;
}

/* Asked, and now not any more. Who waits here for it is told. */
static void back_to_missing(struct transfer *t, struct swarm *s, uint32_t index)
{
    struct seg *seg = &s->segs[index];
    drop_bytes(seg);
    seg->state = SEG_MISSING;
    seg->cancelling = seg->parked = false;
    seg->hint = 0;
    deactivate(s, index);
    note_missing(s, index);
    s->dirty = true;
    s->idle_since_ns = t->now;
    s->update->changes++;
    serve_segment_lost(t, s->update, index);
}

static void send_cancel(struct transfer *t, struct link *link, uint32_t ask,
                        uint32_t index)
{
    struct parcel_cancel *m = &t->out.u.cancel;
    t->out.type = MESSAGE_CANCEL;
    m->ask = ask;
    m->ranges.count = 0;
    (void)transfer_ranges_add(&m->ranges, index, 1);
    transfer_send(t, link);
}

/* The rest of the ask is still waited for; this one comes in vain. */
static void drop_asked(struct transfer *t, struct swarm *s, uint32_t index)
{
    struct seg *seg = &s->segs[index];
    struct link *link = transfer_link_of(t, seg->link);
    if (!link)
        return;
    struct request *r = fetch_request_of(link, seg->ask);
    if (r)
        r->dropped++;
    settle_debt(t, link, seg_size(s, index));
}

void swarm_free(struct transfer *t, struct swarm *s)
{
    for (uint32_t i = 0; i < s->active_count; i++) {
        uint32_t index = s->active[i];
        struct seg *seg = &s->segs[index];
        if (seg->state == SEG_ASKED) {
            struct link *link = transfer_link_of(t, seg->link);
            if (link && !seg->cancelling)
                send_cancel(t, link, seg->ask, index);
            drop_asked(t, s, index);
            seg->state = SEG_MISSING;
            serve_segment_lost(t, s->update, index);
        } else if (seg->state == SEG_ARRIVED) {
            t->arrived -= seg_size(s, index);
        }
        free(seg->buf);
    }
    free(s->segs);
    free(s->active);
    free(s);
}

bool swarm_is_idle(const struct swarm *s)
{
    for (uint32_t i = 0; i < s->active_count; i++)
        if (!waits_for_aux(s, s->active[i]))
            return false;
    return true;
}

uint64_t swarm_idle_since(const struct swarm *s)
{
    return s->idle_since_ns;
}

uint64_t swarm_quiet_since(const struct swarm *s)
{
    return s->data_ns > s->done_ns ? s->data_ns : s->done_ns;
}

uint64_t swarm_done_since(const struct swarm *s)
{
    return s->done_ns;
}

bool swarm_waits_for_peers(const struct swarm *s)
{
    for (uint32_t i = 0; i < s->active_count; i++)
        if (s->segs[s->active[i]].state != SEG_ASKED &&
            !waits_for_aux(s, s->active[i]))
            return false;
    return true;
}

void swarm_touch(struct swarm *s)
{
    s->dirty = true;
}

enum swarm_near swarm_near(const struct transfer *t, const struct hash *update,
                           uint32_t index)
{
    const struct fetch *f = fetch_of_update(t, update);
    if (!f || !f->swarm || index >= f->swarm->count)
        return SWARM_NOT;
    const struct seg *seg = &f->swarm->segs[index];
    switch (seg->state) {
    case SEG_ASKED:
        if (seg->got)
            return SWARM_ARRIVING;
        return seg->parked || seg->cancelling ? SWARM_NOT : SWARM_ASKED;
    case SEG_ARRIVED:
    case SEG_DECODING:
        return SWARM_ARRIVING;
    default:
        return SWARM_NOT;
    }
}

/* ---- Times. ---- */

static void add_sample(struct swarm *s, uint64_t ns)
{
    s->samples[s->sample_count++ % SAMPLES] = ns;
}

/* Of the last arrivals; 0 before the third. */
static uint64_t median(const struct swarm *s)
{
    unsigned count = s->sample_count < SAMPLES ? s->sample_count : SAMPLES;
    if (count < 3)
        return 0;
    for (unsigned i = 0; i < count; i++) {
        unsigned below = 0, equal = 0;
        for (unsigned j = 0; j < count; j++) {
            below += s->samples[j] < s->samples[i];
            equal += s->samples[j] == s->samples[i];
        }
        if (below <= count / 2 && below + equal > count / 2)
            return s->samples[i];
    }
    return 0;
}

static uint64_t at_least(uint64_t ns, uint64_t least)
{
    return ns > least ? ns : least;
}

static bool shows(const struct link *link, const struct swarm *s,
                  uint32_t index)
{
    const struct seen *seen = fetch_seen(link, &s->update->id);
    return seen && (seen->whole ||
                    (index / 8 < seen->bytes && bit_get(seen->have, index)));
}

/* Another peer that shows the segment and keeps its time. */
static bool has_alternative(const struct transfer *t, const struct swarm *s,
                            uint32_t index)
{
    for (size_t i = 0; i < t->link_count; i++) {
        const struct link *link = t->links[i];
        if (link->id != s->segs[index].link && link->late < LATE_MAX &&
            shows(link, s, index))
            return true;
    }
    return false;
}

/* Nothing but auxiliary segments is under way: all else waits for them. */
static bool held_up(const struct swarm *s)
{
    for (uint32_t i = 0; i < s->active_count; i++)
        if (!is_aux(s, s->active[i]) && !waits_for_aux(s, s->active[i]))
            return false;
    return true;
}

/* When to stop waiting for an asked segment. */
static uint64_t give_up_ns(const struct transfer *t, const struct swarm *s,
                           uint32_t index, const struct link *link)
{
    const struct seg *seg = &s->segs[index];
    uint64_t four = 4 * median(s);
    if (seg->cancelling)
        return seg->cancel_ns + CANCEL_NS;
    if (seg->parked && !seg->got)
        return seg->asked_ns + at_least(four, PARK_NS);
    uint64_t last = at_least(link->data_ns, seg->asked_ns);
    uint64_t stalled = last + at_least(four, STALL_NS);
    uint32_t missing =
        is_aux(s, index) && held_up(s) ? s->missing_aux : s->missing;
    if (missing || !four || !has_alternative(t, s, index))
        return stalled;
    uint64_t end_game = seg->asked_ns + at_least(four, END_GAME_NS);
    return end_game < stalled ? end_game : stalled;
}

static void give_up(struct transfer *t, struct swarm *s, uint32_t index,
                    struct link *link)
{
    struct seg *seg = &s->segs[index];
    seg->avoid = link->id;
    if (seg->cancelling) { /* no answer either: do without it */
        drop_asked(t, s, index);
        back_to_missing(t, s, index);
        return;
    }
    link->late++;
    seg->insist = true;
    seg->cancelling = true;
    seg->cancel_ns = t->now;
    send_cancel(t, link, seg->ask, index);
    transfer_wake(t, t->now + CANCEL_NS);
}

static void run_timers(struct transfer *t, struct swarm *s)
{
    for (uint32_t i = s->active_count; i-- > 0;) {
        uint32_t index = s->active[i];
        if (s->segs[index].state != SEG_ASKED)
            continue;
        struct link *link = transfer_link_of(t, s->segs[index].link);
        if (!link)
            continue;
        uint64_t until = give_up_ns(t, s, index, link);
        if (t->now < until)
            transfer_wake(t, until);
        else
            give_up(t, s, index, link);
    }
}

/* ---- Choosing. ---- */

/* One missing segment and how many peers show it. */
struct candidate {
    uint32_t index, place;
    unsigned holders;
};

static int compare_candidates(const void *a, const void *b)
{
    const struct candidate *x = a, *y = b;
    if (x->holders != y->holders)
        return x->holders < y->holders ? -1 : 1;
    return x->place < y->place ? -1 : x->place > y->place;
}

/* The first missing segments in this node's order, the rarest first. Only
 * auxiliary ones while there are such. */
static size_t collect(struct transfer *t, struct swarm *s,
                      struct candidate *out)
{
    size_t count = 0;
    bool only_done = true;
    uint32_t end = s->missing_aux ? s->aux_count : s->count;
    for (uint32_t p = s->scan; p < end && count < CHOICE_WINDOW; p++) {
        uint32_t index = seg_at(s, p);
        struct seg *seg = &s->segs[index];
        if (seg->state == SEG_DONE && only_done)
            s->scan = p + 1;
        else
            only_done = false;
        if (seg->state != SEG_MISSING || !seg_size(s, index))
            continue;
        if (t->now < seg->retry_ns) {
            if (seg->retry_ns < s->retry_ns)
                s->retry_ns = seg->retry_ns;
            continue;
        }
        out[count] = (struct candidate){index, p, 0};
        for (size_t i = 0; i < t->link_count; i++)
            out[count].holders += shows(t->links[i], s, index);
        count++;
    }
    qsort(out, count, sizeof *out, compare_candidates);
    return count;
}

static bool has_credit(const struct transfer *t, const struct link *link,
                       uint32_t size, uint64_t memory)
{
    return (!link->owed || link->owed + size <= CREDIT_LINK) &&
           (!t->owed || t->owed + size <= CREDIT_ALL) &&
           t->owed + t->arrived + size <= memory &&
           link->asked < ASKED_LINK_MAX && link->busy_until_ns <= t->now;
}

static bool is_nearer(const struct link *a, const struct link *b)
{
    if (!b)
        return true;
    if (a->late != b->late)
        return a->late < b->late;
    if (a->lan != b->lan)
        return a->lan;
    return a->owed < b->owed;
}

/* Who could give a segment. */
struct sources {
    struct link *partial;          /* shows it and not all: the best one */
    struct link *whole;            /* has the whole update: the best one */
    struct link *pending;          /* is getting it */
    bool any_partial, any_pending; /* even without credit */
    unsigned wholes;
};

static void note_pending(const struct seg *seg, struct link *link, bool credit,
                         struct sources *out)
{
    if (link->late >= LATE_MAX)
        return;
    out->any_pending = true;
    if (credit && (!out->pending || seg->hint == link->id))
        out->pending = link;
}

static void find_sources(struct transfer *t, struct swarm *s, uint32_t index,
                         bool avoid, struct sources *out)
{
    const struct seg *seg = &s->segs[index];
    uint64_t memory =
        s->left_aux && !is_aux(s, index) ? MEMORY_AHEAD : MEMORY_ALL;
    *out = (struct sources){NULL, NULL, NULL, false, false, 0};
    for (size_t i = 0; i < t->link_count; i++) {
        struct link *link = t->links[i];
        const struct seen *seen = fetch_seen(link, &s->update->id);
        if (avoid && link->id == seg->avoid)
            continue;
        bool credit = has_credit(t, link, seg_size(s, index), memory);
        bool inside = seen && index / 8 < seen->bytes;
        if (seen && seen->whole) {
            out->wholes++;
            if (credit && is_nearer(link, out->whole))
                out->whole = link;
        } else if (inside && bit_get(seen->have, index)) {
            out->any_partial = true;
            if (credit && is_nearer(link, out->partial))
                out->partial = link;
        } else if (link->id == seg->hint ||
                   (inside && bit_get(seen->pending, index))) {
            note_pending(seg, link, credit, out);
        }
    }
}

/* Peers besides us that are getting this update show themselves. */
static bool has_partial_peers(const struct transfer *t, const struct swarm *s)
{
    for (size_t i = 0; i < t->link_count; i++) {
        const struct seen *seen = fetch_seen(t->links[i], &s->update->id);
        if (seen && !seen->whole)
            return true;
    }
    return false;
}

/* Who to ask, or NULL to wait. Whoever has everything is spared for what
 * nobody else has. */
static struct link *pick(struct transfer *t, struct swarm *s, uint32_t index,
                         bool crowd, bool *insist)
{
    struct seg *seg = &s->segs[index];
    struct sources from;
    find_sources(t, s, index, true, &from);
    if (!from.any_partial && !from.wholes && !from.any_pending)
        find_sources(t, s, index, false, &from);
    seg->parked = false;
    *insist = true;
    if (from.partial)
        return from.partial;
    if (from.any_partial)
        return from.whole;
    if (from.any_pending && !seg->insist) {
        seg->parked = true;
        return from.pending;
    }
    *insist = seg->insist || (from.wholes > 1 && !crowd) ||
              (from.whole && from.whole->insists);
    return from.whole;
}

static void send_batch(struct transfer *t, struct swarm *s, struct link *link,
                       bool insist)
{
    struct parcel_ranges *batch = &link->batch[insist];
    struct request *r =
        fetch_request(t, link, PARCEL_ASK_SEGMENTS, &s->update->id);
    uint32_t ask = r ? r->ask : 0;
    for (size_t i = 0; i < batch->count; i++)
        for (uint32_t k = 0; k < batch->at[i].count; k++) {
            uint32_t index = batch->at[i].first + k;
            s->segs[index].ask = ask;
            if (r)
                r->open++;
        }
    if (r) {
        struct parcel_ask *m = &t->out.u.ask;
        t->out.type = MESSAGE_ASK;
        m->ask = ask;
        m->what = PARCEL_ASK_SEGMENTS;
        m->insist = insist;
        m->id = s->update->id;
        m->base_count = 0;
        m->rate = 0;
        m->ranges = *batch;
        transfer_send(t, link);
    }
    batch->count = 0;
}

static void ask_for(struct transfer *t, struct swarm *s, uint32_t index,
                    struct link *link, bool insist)
{
    struct seg *seg = &s->segs[index];
    if (!link->owed)
        link->data_ns = t->now;
    if (!transfer_ranges_add(&link->batch[insist], index, 1)) {
        send_batch(t, s, link, insist);
        (void)transfer_ranges_add(&link->batch[insist], index, 1);
    }
    seg->state = SEG_ASKED;
    seg->link = link->id;
    seg->asked_ns = t->now;
    seg->cancelling = false;
    link->owed += seg_size(s, index);
    link->asked++;
    t->owed += seg_size(s, index);
    s->missing--;
    s->missing_aux -= is_aux(s, index);
    activate(s, index);
}

static void choose_some(struct transfer *t, struct swarm *s, bool crowd)
{
    struct candidate candidates[CHOICE_WINDOW];
    size_t count = collect(t, s, candidates);
    for (size_t i = 0; i < count; i++) {
        bool insist;
        struct link *link = pick(t, s, candidates[i].index, crowd, &insist);
        if (link)
            ask_for(t, s, candidates[i].index, link, insist);
    }
}

static void choose(struct transfer *t, struct swarm *s)
{
    bool crowd = has_partial_peers(t, s);
    s->retry_ns = NEVER;
    if (s->missing_aux)
        choose_some(t, s, crowd);
    if (s->missing && !s->missing_aux)
        choose_some(t, s, crowd);
    for (size_t i = 0; i < t->link_count; i++)
        for (int insist = 0; insist < 2; insist++)
            if (t->links[i]->batch[insist].count)
                send_batch(t, s, t->links[i], insist);
}

/* ---- Decoding. ---- */

static bool start_decode(struct transfer *t, struct fetch *f, uint32_t index)
{
    struct swarm *s = f->swarm;
    struct seg *seg = &s->segs[index];
    struct node_action action = {.kind = NODE_ACTION_DECODE,
                                 .version = s->version->id,
                                 .update = s->update->id,
                                 .has_base = s->update->header.has_base,
                                 .base = s->update->header.base,
                                 .tree = s->update->header.tree,
                                 .index = index,
                                 .bytes = {seg->buf, seg_size(s, index)},
                                 .owned = seg->buf};
    struct op op = {.what = OP_DECODE,
                    .version = s->version->id,
                    .update = s->update->id,
                    .index = index,
                    .size = seg_size(s, index),
                    .link = seg->link};
    if (!transfer_start(t, &action, &op)) {
        fetch_pause(t, f, STATUS_NO_MEMORY);
        return false;
    }
    seg->buf = NULL;
    seg->state = SEG_DECODING;
    t->decodes++;
    return true;
}

static void decode_arrived(struct transfer *t, struct fetch *f)
{
    struct swarm *s = f->swarm;
    for (uint32_t i = 0; i < s->active_count; i++) {
        if (t->decodes >= DECODES_MAX)
            return;
        uint32_t index = s->active[i];
        if (s->segs[index].state == SEG_ARRIVED && !waits_for_aux(s, index) &&
            !start_decode(t, f, index))
            return;
    }
}

/* What did not change is decoded from the base alone. */
static void decode_empty(struct transfer *t, struct fetch *f)
{
    struct swarm *s = f->swarm;
    for (uint32_t p = s->scan; p < s->count && s->empty; p++) {
        uint32_t index = seg_at(s, p);
        struct seg *seg = &s->segs[index];
        if (seg->state != SEG_MISSING || seg_size(s, index))
            continue;
        if (t->decodes >= DECODES_MAX)
            return;
        seg->link = 0;
        if (!start_decode(t, f, index))
            return;
        s->empty--;
        activate(s, index);
    }
}

void swarm_run(struct transfer *t, struct fetch *f)
{
    struct swarm *s = f->swarm;
    run_timers(t, s);
    if (s->missing && (s->dirty || t->now >= s->retry_ns)) {
        s->dirty = false;
        choose(t, s);
    }
    if (s->missing && s->retry_ns != NEVER)
        transfer_wake(t, at_least(s->retry_ns, t->now));
    decode_arrived(t, f);
    if (f->swarm && s->empty && t->now >= f->pause_until_ns)
        decode_empty(t, f);
}

static void poisoned(struct transfer *t, const struct op *op,
                     enum status status)
{
    struct link *link = transfer_link_of(t, op->link);
    struct version *v = transfer_version_of(t, &op->version);
    transfer_log(t, NODE_LOG_WARN, "%s: a segment does not decode: %s",
                 v->model, status_text(status));
    if (link && status != STATUS_UNSUPPORTED)
        transfer_strike(t, link, "a segment that does not decode");
    /* Its bytes are those that the header names: the update itself is bad. */
    if (v->fetch)
        fetch_ban(t, v->fetch, &op->update, NEVER);
}

static void damaged_base(struct transfer *t, const struct op *op)
{
    const struct update *u = transfer_update_of(t, &op->update);
    struct version *v = transfer_version_of(t, &op->version);
    struct version *base =
        u && u->header.has_base ? transfer_holder_of(t, &u->header.base) : NULL;
    if (base) {
        base->damaged = true;
        transfer_log(t, NODE_LOG_WARN, "%s: a block of a held version is bad",
                     base->model);
    }
    t->offers_dirty = true;
    if (v->fetch && v->fetch->has_update &&
        hash_equal(&v->fetch->update, &op->update))
        fetch_leave_update(t, v->fetch);
}

/* What the store has of the update is not what was put: the auxiliary segments
 * are fetched again. */
static void damaged_aux(struct transfer *t, const struct op *op)
{
    struct update *u = transfer_update_of(t, &op->update);
    struct version *v = transfer_version_of(t, &op->version);
    struct fetch *f = v->fetch;
    for (uint32_t i = 0; u && i < u->header.aux_count; i++)
        if (bit_get(u->held, i)) {
            bit_clear(u->held, i);
            u->held_count--;
            u->changes++;
            t->have_dirty = t->offers_dirty = true;
        }
    if (f && u && u->header.aux_count && f->has_update &&
        hash_equal(&f->update, &u->id))
        fetch_leave_update(t, f);
    if (f)
        fetch_pause(t, f, STATUS_NOT_FOUND);
}

static void decoded_well(struct transfer *t, const struct op *op)
{
    struct update *u = transfer_update_of(t, &op->update);
    struct version *v = transfer_version_of(t, &op->version);
    uint32_t first, end;
    if (!u)
        return;
    transfer_segment_blocks(u, v, op->index, &first, &end);
    for (uint32_t b = first; b < end; b++) {
        v->blocks_done += !bit_get(v->blocks, b);
        bit_set(v->blocks, b);
    }
    if (op->size && !bit_get(u->held, op->index)) {
        bit_set(u->held, op->index);
        u->held_count++;
    }
    u->changes++;
    t->have_dirty = true;
    serve_segment_here(t, u, op->index);
    t->host.event(t->host.ctx, NODE_EVENT_VERSION_PROGRESS, &v->id,
                  v->blocks_done, v->shape.block_count);
}

/* The swarm that started the operation, if it still goes on. */
static struct swarm *swarm_of_op(const struct transfer *t, const struct op *op)
{
    const struct fetch *f = fetch_of_update(t, &op->update);
    if (!f || !f->swarm || !hash_equal(&f->version->id, &op->version) ||
        f->swarm->segs[op->index].state != SEG_DECODING)
        return NULL;
    return f->swarm;
}

void swarm_decoded(struct transfer *t, const struct op *op, enum status status)
{
    struct swarm *s = swarm_of_op(t, op);
    struct version *v = transfer_version_of(t, &op->version);
    t->decodes--;
    t->arrived -= op->size;
    if (s && status) {
        back_to_missing(t, s, op->index);
    } else if (s) {
        s->segs[op->index].state = SEG_DONE;
        s->left_aux -= is_aux(s, op->index);
        deactivate(s, op->index);
        s->dirty = true;
        s->idle_since_ns = s->done_ns = t->now;
    }
    if (!v)
        return;
    switch (status) {
    case STATUS_OK:
        decoded_well(t, op);
        break;
    case STATUS_MISMATCH:
    case STATUS_CORRUPT:
    case STATUS_TRUNCATED:
    case STATUS_LIMIT:
    case STATUS_UNSUPPORTED:
        poisoned(t, op, status);
        break;
    case STATUS_BAD_BASE:
        damaged_base(t, op);
        break;
    case STATUS_NOT_FOUND:
        damaged_aux(t, op);
        break;
    default: /* ours: no space, input or output */
        if (v->fetch)
            fetch_pause(t, v->fetch, status);
    }
}

/* ---- Arriving. ---- */

static bool hash_fits(const struct swarm *s, uint32_t index)
{
    uint8_t hash[UPDATE_SEGMENT_HASH_BYTES];
    update_segment_hash(bytes_of(s->segs[index].buf, seg_size(s, index)), hash);
    return !memcmp(hash, s->update->header.segments[index].hash, sizeof hash);
}

/* What was asked is answered; an ask whose parts all are is closed. */
static void answer(struct link *link, struct request *r)
{
    if (--r->open == 0)
        fetch_close(link, r);
}

static void arrived(struct transfer *t, struct swarm *s, uint32_t index,
                    struct link *link, struct request *r)
{
    struct seg *seg = &s->segs[index];
    t->counters.segments_in++;
    settle_debt(t, link, seg_size(s, index));
    answer(link, r);
    if (!hash_fits(s, index)) {
        seg->avoid = link->id;
        back_to_missing(t, s, index);
        transfer_strike(t, link, "a segment whose hash is wrong");
        return;
    }
    add_sample(s, t->now - seg->asked_ns);
    if (link->late && !seg->cancelling)
        link->late--;
    seg->state = SEG_ARRIVED;
    seg->cancelling = false;
    t->arrived += seg_size(s, index);
    s->dirty = true;
    s->idle_since_ns = t->now;
}

static void wrong_data(struct transfer *t, struct swarm *s, uint32_t index,
                       struct link *link, struct request *r, const char *why)
{
    s->segs[index].avoid = link->id;
    settle_debt(t, link, seg_size(s, index));
    back_to_missing(t, s, index);
    r->dropped++; /* the rest of it comes in vain */
    transfer_strike(t, link, why);
}

/* A part of a segment that is no longer waited for, or that never was. */
static void stray(struct transfer *t, struct link *link, struct request *r,
                  const struct parcel_data *m)
{
    if (!r->dropped) {
        transfer_strike(t, link, "a segment that nobody asked for");
        return;
    }
    if (!m->last)
        return;
    const struct update *u = transfer_update_of(t, &r->id);
    if (u && m->index < u->header.segment_count && bit_get(u->held, m->index))
        t->counters.segments_twice++;
    r->dropped--;
    answer(link, r);
}

static struct swarm *swarm_of_request(const struct transfer *t,
                                      const struct request *r)
{
    const struct fetch *f = fetch_of_update(t, &r->id);
    return f ? f->swarm : NULL;
}

static bool is_asked(const struct swarm *s, uint32_t index,
                     const struct link *link, const struct request *r)
{
    return s && index < s->count && s->segs[index].state == SEG_ASKED &&
           s->segs[index].link == link->id && s->segs[index].ask == r->ask;
}

void swarm_data(struct transfer *t, struct link *link, struct request *r,
                const struct parcel_data *m)
{
    struct swarm *s = swarm_of_request(t, r);
    if (!is_asked(s, m->index, link, r)) {
        t->quiet = false;
        stray(t, link, r, m);
        return;
    }
    struct seg *seg = &s->segs[m->index];
    uint32_t size = seg_size(s, m->index);
    if (!seg->buf)
        seg->buf = malloc(size);
    t->quiet = seg->buf && m->offset == seg->got && seg->got &&
               seg->got + m->payload.size < size && !m->last;
    if (!seg->buf || m->offset != seg->got ||
        m->payload.size > size - seg->got ||
        m->last != (seg->got + m->payload.size == size)) {
        wrong_data(t, s, m->index, link, r, "data out of place");
        return;
    }
    memcpy(seg->buf + seg->got, m->payload.data, m->payload.size);
    if (!seg->got) {
        s->update->changes++; /* pending now */
        if (t->have_due_ns > t->now + HAVE_INTERVAL_NS)
            t->have_due_ns = t->now + HAVE_INTERVAL_NS;
    }
    seg->got += (uint32_t)m->payload.size;
    s->data_ns = t->now;
    if (m->last)
        arrived(t, s, m->index, link, r);
}

/* ---- Refusals. ---- */

static void sent_elsewhere(struct transfer *t, struct swarm *s, uint32_t index,
                           struct link *link, const struct parcel_no *m)
{
    struct seg *seg = &s->segs[index];
    struct link *to = m->has_node ? transfer_link_to(t, m->node.b) : NULL;
    if (to && to != link && to->id != seg->avoid && to->late < LATE_MAX) {
        seg->hint = to->id;
        return;
    }
    /* Not linked with it: perhaps a common neighbour gets it meanwhile. */
    uint64_t wait = at_least(median(s), UNLINKED_MIN_NS);
    seg->insist = true;
    if (!link->insists)
        seg->retry_ns =
            t->now + (wait < UNLINKED_MAX_NS ? wait : UNLINKED_MAX_NS);
    link->insists = true;
}

/* It does not have what it showed. */
static void unsee(struct link *link, const struct swarm *s, uint32_t index)
{
    struct seen *seen = fetch_seen(link, &s->update->id);
    if (!seen)
        return;
    seen->whole = false;
    if (index / 8 < seen->bytes) {
        bit_clear(seen->have, index);
        bit_clear(seen->pending, index);
    }
}

static void refused(struct transfer *t, struct swarm *s, uint32_t index,
                    struct link *link, struct request *r,
                    const struct parcel_no *m)
{
    struct seg *seg = &s->segs[index];
    bool parked = seg->parked;
    settle_debt(t, link, seg_size(s, index));
    back_to_missing(t, s, index);
    if (m->reason == PARCEL_NO_ELSEWHERE) {
        sent_elsewhere(t, s, index, link, m);
    } else if (m->reason == PARCEL_NO_UNKNOWN) {
        unsee(link, s, index);
        seg->insist = seg->insist || parked;
    } else if (m->reason != PARCEL_NO_CANCELLED) {
        uint64_t wait = at_least(m->retry_ms * MS, 100 * MS);
        link->busy_until_ns = t->now + (wait < PAUSE_NS ? wait : PAUSE_NS);
        if (seg->retry_ns < link->busy_until_ns)
            seg->retry_ns = link->busy_until_ns;
    }
    answer(link, r);
}

/* One segment of a NO. False when the request is closed by it. */
static bool no_to_segment(struct transfer *t, struct link *link, uint32_t ask,
                          uint32_t index, const struct parcel_no *m)
{
    struct request *r = fetch_request_of(link, ask);
    if (!r)
        return false;
    struct swarm *s = swarm_of_request(t, r);
    if (is_asked(s, index, link, r)) {
        refused(t, s, index, link, r, m);
    } else if (r->dropped) {
        r->dropped--;
        answer(link, r);
    }
    return true;
}

static void no_to_all(struct transfer *t, struct link *link, struct request *r,
                      const struct parcel_no *m)
{
    struct swarm *s = swarm_of_request(t, r);
    uint32_t ask = r->ask;
    for (uint32_t i = s ? s->active_count : 0; i-- > 0;) {
        uint32_t index = s->active[i];
        r = fetch_request_of(link, ask);
        if (r && is_asked(s, index, link, r))
            refused(t, s, index, link, r, m);
    }
    r = fetch_request_of(link, ask);
    if (r)
        fetch_close(link, r);
}

void swarm_no(struct transfer *t, struct link *link, struct request *r,
              const struct parcel_no *m)
{
    uint32_t ask = r->ask;
    if (!m->ranges.count) {
        no_to_all(t, link, r, m);
        return;
    }
    /* A count that no answer to us needs is not walked through. */
    if (transfer_ranges_sum(&m->ranges) > QUEUE_MAX) {
        transfer_strike(t, link, "NO to more than was asked for");
        no_to_all(t, link, r, m);
        return;
    }
    for (size_t i = 0; i < m->ranges.count; i++)
        for (uint32_t k = 0; k < m->ranges.at[i].count; k++)
            if (!no_to_segment(t, link, ask, m->ranges.at[i].first + k, m))
                return;
}

void swarm_link_down(struct transfer *t, struct link *link)
{
    for (struct fetch *f = t->fetches; f; f = f->next) {
        struct swarm *s = f->swarm;
        for (uint32_t i = s ? s->active_count : 0; i-- > 0;) {
            uint32_t index = s->active[i];
            struct seg *seg = &s->segs[index];
            if (seg->state != SEG_ASKED || seg->link != link->id)
                continue;
            seg->insist = seg->insist || seg->parked;
            settle_debt(t, link, seg_size(s, index));
            back_to_missing(t, s, index);
        }
        if (s)
            s->dirty = true;
    }
}
