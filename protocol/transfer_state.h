/* What the files behind transfer.h share: its tables and its timers. Not for
 * others.
 *
 *     transfer.c  the handle, tables, inputs
 *     fetch.c     asking for a version: offers, plan, manifest, header
 *     swarm.c     asking for the segments of one update
 *     serve.c     answering: offers, HAVE, data, making
 *
 * Every input ends with transfer_run, which lets each fetch and the serving
 * side do whatever can be done now; so handlers only note what changed. */
#ifndef PROTOCOL_TRANSFER_STATE_H
#define PROTOCOL_TRANSFER_STATE_H

#include "codec/update/header.h"
#include "codec/update/tree.h"
#include "protocol/transfer.h"

#define MS ((uint64_t)1000000)
#define S  ((uint64_t)1000000000)

/* Limits; those that are part of the protocol stand in PROTOCOL.md too. */
#define FETCH_TOP_MAX      3u   /* wanted versions fetched at a time */
#define FETCH_MAX          4u   /* with the intermediate ones */
#define SUBS_MAX           4u   /* versions a peer may have asked for */
#define SMALL_ASKS_MAX     8u   /* manifests and headers a peer may have open */
#define QUEUE_MAX          256u /* segments a peer may have asked for */
#define CREDIT_LINK        (1u << 20)
#define CREDIT_ALL         (4u << 20)
#define MEMORY_ALL         (8u << 20) /* asked for, arrived, being decoded */
#define MEMORY_AHEAD       (4u << 20) /* of it: while auxiliary ones lack */
#define DECODES_MAX        4u
#define CACHE_BYTES        (4u << 20)
#define READS_LINK_MAX     2u
#define CHOICE_WINDOW      256u /* missing segments looked at a time */
#define BANS_MAX           16u
#define FLOW_BYTES_MIN     (64u << 10) /* before a link's rate is believed */
#define FLOW_BYTES_MAX     (1u << 20)
#define SLOW_LINK          2500000u   /* bytes/s: below, fewer bytes win */
#define MAKE_CPU_NS        (10 * S)   /* for a peer ... */
#define MAKE_CPU_PERIOD_NS (3600 * S) /* ... in this time */

/* Timers. */
#define FLOW_GAP_NS      (1 * S)    /* longer ones are no flow */
#define OFFER_WAIT_NS    (100 * MS) /* for all peers to answer */
#define HAVE_INTERVAL_NS (30 * MS)
#define ROUND_NS         (20 * MS) /* a link may delay the others so long */
#define SMALL_TIMEOUT_NS (10 * S)  /* manifest, header */
#define MAKE_TIMEOUT_NS  (120 * S)
#define MAKE_RETRY_NS    (600 * S)  /* after a refusal */
#define PARK_NS          (2 * S)    /* at least */
#define STALL_NS         (5 * S)    /* at least */
#define END_GAME_NS      (500 * MS) /* at least */
#define CANCEL_NS        (2 * S)
#define UNLINKED_MIN_NS  (20 * MS)
#define UNLINKED_MAX_NS  (1 * S)
#define GIVEN_NS         (4 * S) /* plus twice the time it should take */
#define STUCK_NS         (5 * S)
#define BAN_STUCK_NS     (30 * S)
#define QUIET_NS         (20 * S)  /* no byte, while there is another way */
#define TRICKLE_NS       (120 * S) /* no whole segment, likewise */
#define PAUSE_NS         (60 * S)
#define RETRY_NS         (1 * S)
#define NEVER            UINT64_MAX

struct fetch;
struct swarm;

struct version {
    struct hash id, tree;
    struct tree_shape shape;
    uint64_t manifest_size, counter;
    char *model;
    struct hash *parents;
    size_t parent_count;
    bool named;
    bool manifest; /* durable here */
    bool complete;
    bool refused; /* its manifest is not what the record promised */
    bool damaged; /* complete, but no base until it is healed */
    bool wanted;
    unsigned urgency;
    uint8_t *blocks; /* verified ones */
    uint32_t blocks_done;
    struct fetch *fetch; /* NULL: not being fetched */
    char why[96];
};

/* The asker that a segment was first given to. */
struct given {
    uint32_t index;
    link_id link;
    uint64_t until_ns;
};

/* An update whose header is durable here. */
struct update {
    struct hash id;
    uint32_t ref; /* our number of it, never reused */
    struct transfer_header header;
    uint64_t bytes;       /* header and all segments */
    uint8_t *held;        /* segments that can be read back */
    uint32_t held_count;  /* of those with bytes */
    uint32_t coded_count; /* segments with bytes */
    uint32_t changes;     /* counts changes of what is held or pending */
    struct given *given;
    size_t given_count, given_cap;
};

static inline bool update_is_whole(const struct update *u)
{
    return u->held_count == u->coded_count;
}

/* ---- The asking side of a link. ---- */

/* Our open ASK for a version, and the last OFFER to it. */
struct offer {
    struct hash version;
    uint32_t ask; /* 0: this place is free */
    bool answered;
    bool manifest, complete;
    size_t count;
    struct parcel_offer_update entries[PARCEL_UPDATES_MAX];
};

/* What the peer shows of an update it offered. */
struct seen {
    uint32_t ref;
    struct hash update;
    bool whole;
    uint8_t *have, *pending; /* both of bytes bytes */
    size_t bytes;
};

/* Our open ASK for anything but a version. */
struct request {
    uint32_t ask;
    enum parcel_ask_what what;
    struct hash id;   /* version or update */
    struct hash base; /* MAKE: tree; MANIFEST: version for the prefix */
    bool has_base;
    uint64_t sent_ns;
    uint32_t open;    /* SEGMENTS: not yet answered */
    uint32_t dropped; /* of these, no longer waited for */
    bool dead;        /* cancelled: what still comes is thrown away */
    struct writer in; /* MANIFEST, HEADER: what came so far */
    bool prefixed;
};

/* ---- The serving side of a link. ---- */

struct sub {
    uint32_t ask;
    bool used;
    struct hash version;
    struct hash bases[PARCEL_BASES_MAX];
    size_t base_count;
    bool told;
    struct hash digest;                /* of the last OFFER */
    uint32_t refs[PARCEL_UPDATES_MAX]; /* updates it listed */
    size_t ref_count;
};

/* What the peer was told of an update by HAVE. */
struct told {
    uint32_t ref;
    uint32_t changes;
    bool complete;
    uint8_t *have, *pending;
};

enum item_kind {
    ITEM_MANIFEST,
    ITEM_HEADER,
    ITEM_SEGMENT
};

/* One thing asked of us. */
struct item {
    uint32_t ask;
    enum item_kind kind;
    struct hash id, prefix;
    bool has_prefix;
    uint32_t index;
    bool insist;
    bool parked; /* ours is still arriving */
    bool given;  /* chosen: it goes to this link */
    bool reading;
    struct blob *blob; /* referenced */
    uint64_t offset;
};

struct link {
    link_id id;
    uint8_t node[32];
    bool lan;
    uint64_t rtt_ns;

    uint32_t last_ask;
    struct offer offers[FETCH_MAX];
    struct seen *seen;
    size_t seen_count, seen_cap;
    struct request *requests;
    size_t request_count, request_cap;
    uint64_t owed;                /* bytes of segments asked and not yet here */
    uint64_t data_ns;             /* when DATA came last, or was first asked */
    uint64_t flow_ns, flow_bytes; /* time in which DATA flowed, its bytes */
    uint64_t busy_until_ns;       /* it said so */
    unsigned late;                /* asks that ran out of time */
    unsigned asked;               /* segments asked and not yet answered */
    bool insists;                 /* its "elsewhere" leads to nobody we know */
    struct parcel_ranges batch[2]; /* being put together; [1] insists */

    struct sub subs[SUBS_MAX];
    struct told *told;
    size_t told_count, told_cap;
    struct item *queue;
    size_t queue_count, queue_cap;
    size_t sending;   /* index of the item in flight + 1; 0: none */
    uint64_t have_ns; /* when the last HAVE went out */
    uint32_t round;   /* the last one in which it had its turn */
};

/* ---- Operations in flight. ---- */

enum op_what {
    OP_PUT_MANIFEST,
    OP_READ_PREFIX,
    OP_PUT_HEADER,
    OP_DECODE,
    OP_COMPLETE,
    OP_READ_BLOB,
    OP_MAKE,
    OP_ESTIMATE
};

struct op {
    op_id id;
    enum op_what what;
    struct hash version, update; /* or the id of the blob */
    uint32_t index, size;
    link_id link;   /* who sent the bytes */
    uint8_t *frame; /* READ_PREFIX: the packed manifest */
    size_t frame_size;
    struct blob *blob; /* READ_BLOB */
};

/* Bytes read for serving, shared by all who asked. */
struct blob {
    struct blob *next;
    enum item_kind kind;
    bool packed; /* a manifest as it travels, else as it is stored */
    bool has_prefix;
    struct hash id, prefix;
    uint32_t index;
    enum {
        BLOB_READING,
        BLOB_READY,
        BLOB_FAILED
    } state;
    uint8_t *data;
    size_t size;
    unsigned refs;
    uint64_t used; /* for eviction: the least is oldest */
};

/* CPU time spent on updates for a peer. */
struct budget {
    uint8_t node[32];
    uint64_t cpu_ns, since_ns;
};
#define BUDGETS_MAX 64u

/* What an update that could be made would take. */
struct estimate {
    bool has_base;
    struct hash base, tree;
    enum {
        ESTIMATE_WANTED,
        ESTIMATE_ASKED,
        ESTIMATE_KNOWN /* bytes, 0: it cannot be told */
    } state;
    uint64_t bytes;
    size_t budget; /* who pays */
};
#define ESTIMATES_MAX 64u

struct making {
    bool active;
    bool has_base;
    struct hash base, version;
    size_t budget; /* who pays */
    struct {
        link_id link;
        uint32_t ask;
    } askers[16];
    size_t asker_count;
};

struct transfer {
    struct transfer_host host;
    uint8_t node[32];
    bool no_make;
    uint64_t now;
    bool quiet; /* the input changed nothing that others wait for */

    struct version **versions;
    size_t version_count, version_cap;
    struct update **updates;
    size_t update_count, update_cap;
    uint32_t last_ref;
    struct link **links;
    size_t link_count, link_cap;
    struct op *ops;
    size_t op_count, op_cap;

    struct fetch *fetches; /* a list, the most urgent first */
    bool plans_dirty;      /* wants or what is held changed */
    unsigned decodes;
    uint64_t owed;    /* of all links */
    uint64_t arrived; /* bytes of segments waiting for or in decoding */

    struct blob *blobs;
    size_t blob_bytes;
    uint64_t blob_clock;
    struct making making;
    struct estimate estimates[ESTIMATES_MAX];
    size_t estimate_count, estimate_next;
    bool estimating; /* one is asked for */
    struct budget budgets[BUDGETS_MAX];
    size_t budget_count, budget_next;
    bool offers_dirty, have_dirty;
    uint64_t have_due_ns; /* when changes of less weight are told */
    uint32_t round;
    uint64_t round_ns;
    uint64_t rate, tokens_ns;
    int64_t tokens;   /* bytes that may be sent */
    uint64_t wake_ns; /* the earliest time at which a fetch wants to run */

    struct parcel out; /* scratch for what is sent */
    struct parcel in;
    struct transfer_counters counters;
};

/* ---- transfer.c ---- */

static inline bool bit_get(const uint8_t *bits, size_t i)
{
    return bits[i / 8] >> i % 8 & 1;
}

static inline void bit_set(uint8_t *bits, size_t i)
{
    bits[i / 8] = (uint8_t)(bits[i / 8] | 1u << i % 8);
}

static inline void bit_clear(uint8_t *bits, size_t i)
{
    bits[i / 8] = (uint8_t)(bits[i / 8] & ~(1u << i % 8));
}

static inline size_t bits_bytes(size_t count)
{
    return (count + 7) / 8;
}

/* Appends first .. first + count - 1, or joins it to the last range. False
 * when the list is full. */
bool transfer_ranges_add(struct parcel_ranges *ranges, uint32_t first,
                         uint32_t count);

/* How many numbers the ranges of a message hold: up to 2^38, so look before
 * walking through them. */
uint64_t transfer_ranges_sum(const struct parcel_ranges *ranges);

/* Room for one more element of size bytes; false without memory. */
bool transfer_grow(void **items, size_t count, size_t *cap, size_t size);

struct version *transfer_version_of(const struct transfer *t,
                                    const struct hash *id);
struct version *transfer_version_with_tree(const struct transfer *t,
                                           const struct hash *tree);
/* A complete and sound version with that tree. */
struct version *transfer_holder_of(const struct transfer *t,
                                   const struct hash *tree);
struct update *transfer_update_of(const struct transfer *t,
                                  const struct hash *id);
struct update *transfer_update_at(const struct transfer *t, uint32_t ref);
struct link *transfer_link_of(const struct transfer *t, link_id id);
struct link *transfer_link_to(const struct transfer *t, const uint8_t *node);

/* Sends t->out. */
void transfer_send(struct transfer *t, struct link *link);
void transfer_strike(struct transfer *t, struct link *link, const char *why);
void transfer_log(struct transfer *t, enum node_log_level level,
                  const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* Starts an operation and remembers it; false when the host cannot, or without
 * memory. On true action->owned is the host's. */
bool transfer_start(struct transfer *t, const struct node_action *action,
                    const struct op *op);

/* Takes the header over. NULL without memory; EXISTS is the one there is. */
struct update *transfer_add_update(struct transfer *t, const struct hash *id,
                                   struct transfer_header *header,
                                   size_t header_bytes);
enum status transfer_read_header(struct transfer *t, struct bytes bytes,
                                 struct transfer_header *out);

static inline bool transfer_segment_is_aux(const struct update *u,
                                           uint32_t index)
{
    return index < u->header.aux_count;
}

/* The blocks that segment index covers: first and one past the last; none for
 * an auxiliary one. */
void transfer_segment_blocks(const struct update *u, const struct version *v,
                             uint32_t index, uint32_t *first, uint32_t *end);
/* All blocks under segment index are verified; an auxiliary one is held. */
bool transfer_segment_is_done(const struct update *u, const struct version *v,
                              uint32_t index);

/* The fetch wants to run again at this time. */
static inline void transfer_wake(struct transfer *t, uint64_t at_ns)
{
    if (at_ns < t->wake_ns)
        t->wake_ns = at_ns;
}

/* ---- fetch.c ---- */

struct ban {
    struct hash update;
    uint64_t until_ns;
};

/* Refusals to make: who, from what. */
struct refusal {
    link_id link;
    bool has_base;
    struct hash base;
    uint64_t until_ns;
};

struct fetch {
    struct fetch *next;
    struct version *version;
    unsigned depth; /* 0: wanted itself; else an intermediate one */
    uint64_t asked_ns;
    uint64_t pause_until_ns;
    uint64_t retry_ns; /* of the manifest or header after a failure */
    bool waited;       /* the first offers had their time */
    bool planned;
    bool no_prefix;     /* ours could not be read */
    bool manifest_busy; /* unpacking or being put */
    bool completing;
    bool header_busy; /* being put */
    uint8_t *header;  /* checked, waiting for the manifest */
    size_t header_size;
    struct hash via; /* the intermediate version it waits for */
    bool has_via;
    struct hash update; /* the one being fetched */
    bool has_update;
    struct swarm *swarm;
    struct ban bans[BANS_MAX];
    size_t ban_count;
    struct refusal refusals[BANS_MAX];
    size_t refusal_count;
    link_id bad_links[8]; /* sent wrong things, or none in time */
    size_t bad_link_count;
};

void fetch_run_all(struct transfer *t);
void fetch_free(struct transfer *t, struct fetch *f);
/* Stops fetching the segments of its update; a new plan follows. */
void fetch_leave_update(struct transfer *t, struct fetch *f);
struct fetch *fetch_of_update(const struct transfer *t,
                              const struct hash *update);
void fetch_offer(struct transfer *t, struct link *link,
                 const struct parcel_offer *m);
void fetch_have(struct transfer *t, struct link *link,
                const struct parcel_have *m);
void fetch_no(struct transfer *t, struct link *link, const struct parcel_no *m);
void fetch_data(struct transfer *t, struct link *link,
                const struct parcel_data *m);
void fetch_link_down(struct transfer *t, struct link *link);
void fetch_op_done(struct transfer *t, struct op *op,
                   const struct node_result *result);
void fetch_ban(struct transfer *t, struct fetch *f, const struct hash *update,
               uint64_t until_ns);
void fetch_pause(struct transfer *t, struct fetch *f, enum status why);
/* Bytes of u that are still to come for v, missing auxiliary ones included. */
uint64_t fetch_left(const struct update *u, const struct version *v);
struct request *fetch_request(struct transfer *t, struct link *link,
                              enum parcel_ask_what what, const struct hash *id);
struct request *fetch_request_of(struct link *link, uint32_t ask);
void fetch_close(struct link *link, struct request *r);
struct seen *fetch_seen(const struct link *link, const struct hash *update);

/* ---- swarm.c ---- */

/* STATUS_NO_MEMORY as NULL. u is that of f and durable. */
struct swarm *swarm_new(struct transfer *t, struct fetch *f, struct update *u);
void swarm_free(struct transfer *t, struct swarm *s);
void swarm_run(struct transfer *t, struct fetch *f);
void swarm_data(struct transfer *t, struct link *link, struct request *r,
                const struct parcel_data *m);
void swarm_no(struct transfer *t, struct link *link, struct request *r,
              const struct parcel_no *m);
void swarm_link_down(struct transfer *t, struct link *link);
void swarm_decoded(struct transfer *t, const struct op *op, enum status status);
/* How near segment index is: asked of somebody who has it, or arriving. */
enum swarm_near {
    SWARM_NOT,
    SWARM_ASKED,
    SWARM_ARRIVING
};
enum swarm_near swarm_near(const struct transfer *t, const struct hash *update,
                           uint32_t index);
void swarm_touch(struct swarm *s); /* what peers show changed */
/* Nothing is asked, arriving or being decoded. */
bool swarm_is_idle(const struct swarm *s);
uint64_t swarm_idle_since(const struct swarm *s);
/* When a peer last sent anything of use; when a segment was last done; and
 * whether nothing but peers is waited for. */
uint64_t swarm_quiet_since(const struct swarm *s);
uint64_t swarm_done_since(const struct swarm *s);
bool swarm_waits_for_peers(const struct swarm *s);

/* ---- serve.c ---- */

void serve_ask(struct transfer *t, struct link *link,
               const struct parcel_ask *m);
void serve_cancel(struct transfer *t, struct link *link,
                  const struct parcel_cancel *m);
void serve_run(struct transfer *t);
uint64_t serve_deadline(const struct transfer *t);
size_t serve_data(struct transfer *t, struct link *link, uint8_t *buf,
                  size_t cap);
void serve_link_down(struct transfer *t, struct link *link);
void serve_op_done(struct transfer *t, struct op *op,
                   const struct node_result *result);
/* A segment was verified, or will not come after all. */
void serve_segment_here(struct transfer *t, struct update *u, uint32_t index);
void serve_segment_lost(struct transfer *t, struct update *u, uint32_t index);
/* The update was dropped, or a segment of it cannot be read. */
void serve_drop_update(struct transfer *t, struct update *u);
void serve_free(struct transfer *t);

#endif
