/* The whole protocol core of one node: bytes, time and randomness in, actions
 * out. It never sees a socket, a clock, a file or a thread; the shell in
 * daemon/ (or the simulator) performs its actions and reports their outcome.
 *
 * Driving it. Every call that takes now_ns passes a monotonic time; it never
 * goes back. After any call the shell drains node_next_action, then pulls
 * bytes for each link whose output flag was raised with node_link_output, and
 * arms one timer for node_deadline_ns. Not thread-safe: one thread drives it.
 *
 * Who decides what. The core decides whom to dial, what to say, which version
 * is wanted and by which updates; what a manifest, a record or a message may
 * be. The shell stores, decodes, makes and activates, and judges only bytes
 * against hashes (decoded blocks against leaves).
 *
 * Durability. A record, a manifest or a header is acted on and relayed only
 * after the shell reported that it is durable. */
#ifndef PROTOCOL_NODE_H
#define PROTOCOL_NODE_H

#include "codec/base/bytes.h"
#include "codec/base/hash.h"
#include "codec/base/rng.h"
#include "codec/base/status.h"
#include "codec/update/update_enc.h"
#include "protocol/crypto.h"

#include <stdbool.h>

struct node;
struct trust;

typedef uint32_t link_id; /* chosen by the core; never reused in a process */
typedef uint64_t op_id;   /* chosen by the core; never 0 */

#define NODE_ADDR_MAX 255u /* bytes of "HOST:PORT", "[v6%if]:PORT" */

struct node_config {
    struct crypto_sign_key key; /* the node's Ed25519 key; copied */
    struct hash fleet;          /* fleet id: payload hash of fleet record 1 */
    uint8_t psk[2][32];       /* fleet secrets accepted; [0] is used to dial */
    unsigned psk_count;       /* 1 or 2 */
    struct rng rng;           /* random bytes; must outlive the node */
    uint64_t uptime_ns;       /* durable uptime at now_ns of node_start */
    const char *const *peers; /* static "HOST:PORT" lines; copied */
    size_t peer_count;
    const char *const *listen; /* own addresses to tell others; copied */
    size_t listen_count;
    const char *const *labels; /* "key=value" for the own certificate; copied */
    size_t label_count;
    const char *const *mirror; /* model patterns fetched though unnamed */
    size_t mirror_count;
    const char *software;    /* for status records; copied */
    unsigned dial_max;       /* random roster members to dial, 0: default 3 */
    unsigned accept_max;     /* accepted links, 0: default 16 */
    uint64_t rate_bytes_s;   /* sent by all links together, 0: unlimited */
    uint64_t ping_idle_ns;   /* idle time before a keep-alive, 0: 60 s */
    uint64_t author_wait_ns; /* wait for a digest before authoring, 0: 60 s */
    uint8_t
        wire_version_max; /* 0: newest; tests pretend to be an older build */
};

/* Creates a node that knows nothing yet. STATUS_NO_MEMORY. */
enum status node_new(const struct node_config *config, struct node **out)
    MUST_CHECK;
void node_free(struct node *n);

/* ---- Restoring what is durable, before node_start, in this order. ---- */

/* The bytes of a NODE_ACTION_PUT_RECORD, as they were stored: one envelope, or
 * several of one slot in a row. In any order: node_start sorts them out, and
 * drops those that do not count any more. CORRUPT: no records; go on with the
 * others. */
enum status node_load_record(struct node *n, struct bytes envelope) MUST_CHECK;

/* How far a version is here. Values are stored: append only. */
enum node_version_state {
    NODE_VERSION_KNOWN = 0,    /* a record names it */
    NODE_VERSION_WANTED = 1,   /* a channel, mirror or request names it */
    NODE_VERSION_FETCHING = 2, /* manifest held, blocks arriving */
    NODE_VERSION_COMPLETE = 3, /* every block verified and durable */
};

/* A version whose manifest is durable. bitmap: one bit a block, bit i of byte
 * i / 8 = block i verified and durable; empty when complete. */
enum status node_load_version(struct node *n, const struct hash *version,
                              struct bytes manifest,
                              enum node_version_state state,
                              struct bytes bitmap) MUST_CHECK;

/* An update whose header is durable, with the segments that are (as bitmap;
 * empty: all of them). */
enum status node_load_update(struct node *n, struct bytes header,
                             struct bytes segments) MUST_CHECK;

/* What runs: version of a model whose files are in place. */
enum status node_load_running(struct node *n, const char *model,
                              const struct hash *version) MUST_CHECK;

enum status node_start(struct node *n, uint64_t now_ns) MUST_CHECK;

/* ---- Links. ---- */

/* An incoming connection. peer_addr: "HOST:PORT", for limits and messages.
 * BUSY (too many that have not shaken hands), LIMIT, NO_MEMORY: close it at
 * once; *out is 0. */
enum status node_accept(struct node *n, const char *peer_addr, uint64_t now_ns,
                        link_id *out) MUST_CHECK;

/* The outcome of NODE_ACTION_DIAL: connected, or why not; after a failure the
 * id is unknown. remote_addr is the numeric address that answered. */
void node_dialled(struct node *n, link_id link, enum status status,
                  const char *remote_addr, uint64_t now_ns);

void node_link_recv(struct node *n, link_id link, struct bytes in,
                    uint64_t now_ns);

/* The connection is gone. After it the id is unknown. Also right after
 * NODE_ACTION_CLOSE was performed. */
void node_link_closed(struct node *n, link_id link, enum status why,
                      uint64_t now_ns);

/* Bytes to put on the wire now, sealed, control before data; 0: none. Call
 * while the socket takes more; cap >= NODE_OUTPUT_MIN. */
#define NODE_OUTPUT_MIN (18u * 1024)
size_t node_link_output(struct node *n, link_id link, uint8_t *buf, size_t cap,
                        uint64_t now_ns);

/* One more static address, as in node_config.peers: kept dialled. Known ones
 * are tried again at once. LIMIT, NO_MEMORY. */
enum status node_add_peer(struct node *n, const char *addr, uint64_t now_ns)
    MUST_CHECK;

/* A peer of the fleet was seen at this address (beacon). */
void node_peer_hint(struct node *n, const char *addr, uint64_t now_ns);

/* ---- Time. ---- */

void node_tick(struct node *n, uint64_t now_ns);
uint64_t node_deadline_ns(const struct node *n); /* UINT64_MAX: nothing due */

/* ---- Actions. ---- */

enum node_action_kind {
    NODE_ACTION_DIAL,   /* link, text = address: connect, node_dialled */
    NODE_ACTION_CLOSE,  /* link: close after what is queued; status = why */
    NODE_ACTION_OUTPUT, /* link has bytes: call node_link_output */

    /* Each of these has op: perform, then node_done(op, ...). */
    NODE_ACTION_PUT_RECORD,   /* record, bytes: make durable under its slot, in
                                 the order of these actions */
    NODE_ACTION_DROP_RECORD,  /* slot: forget; no node_done */
    NODE_ACTION_PUT_MANIFEST, /* version, bytes: make durable, state WANTED */
    NODE_ACTION_PUT_HEADER,   /* update, version (target), bytes, base, tree */
    NODE_ACTION_DECODE, /* version, update, index, bytes = coded segment */
    NODE_ACTION_READ_MANIFEST, /* version: answer with its bytes */
    NODE_ACTION_READ_HEADER,   /* update: answer with its bytes */
    NODE_ACTION_READ_SEGMENT,  /* update, index: answer with coded bytes */
    NODE_ACTION_COMPLETE,      /* version: all blocks verified; make durable */
    NODE_ACTION_MAKE,          /* base, tree, speed: make that update and store
                                  it */
    NODE_ACTION_ESTIMATE,      /* base, tree: about how large it would be */
    NODE_ACTION_ACTIVATE,      /* model text, version: files, rename current */
    NODE_ACTION_CANCEL,       /* op: the result is no longer wanted; optional */
    NODE_ACTION_DROP_VERSION, /* version: floor or retired; may be forgotten */

    NODE_ACTION_LOG,   /* level, text */
    NODE_ACTION_EVENT, /* event, model text, version: for `watch` */
};

enum node_log_level {
    NODE_LOG_ERROR,
    NODE_LOG_WARN,
    NODE_LOG_INFO,
    NODE_LOG_DEBUG
};

enum node_event {
    NODE_EVENT_VERSION_KNOWN,
    NODE_EVENT_VERSION_FETCHING,
    NODE_EVENT_VERSION_PROGRESS, /* done of total blocks */
    NODE_EVENT_VERSION_COMPLETE,
    NODE_EVENT_VERSION_RUNNING,
    NODE_EVENT_LINK_UP,
    NODE_EVENT_LINK_DOWN,
    NODE_EVENT_CHANNEL,
    NODE_EVENT_STATUS, /* another node's status changed: node in peer */
    NODE_EVENT_FLEET,
};

/* Every pointer holds until the next call of a node_ function, except that
 * the memory behind `owned` is the shell's: free() it when done. */
struct node_action {
    enum node_action_kind kind;
    op_id op;
    link_id link;
    enum status status;
    struct hash version, update, base, tree;
    bool has_base;
    enum coding_speed speed;
    uint32_t index;
    struct bytes bytes; /* envelope, manifest, header, coded segment */
    uint8_t *owned;     /* what bytes points into when the shell must free it */
    struct node_record_ref {
        uint8_t slot[16];
        uint64_t epoch, seq;
        uint32_t kind;
        struct hash hash;
    } record;
    enum node_log_level level;
    enum node_event event;
    const char *text; /* address, model, log line */
    uint8_t peer[32];
    uint64_t done, total;
};

/* False when there is none. */
bool node_next_action(struct node *n, struct node_action *out);

/* What an operation came to.
 *
 * PUT_*, COMPLETE, ACTIVATE: status alone; NO_SPACE pauses fetching.
 * READ_*:   bytes, borrowed for the call; NOT_FOUND when it was swept.
 * DECODE:   OK: the blocks of this segment are verified and the segment can be
 *           read back; the shell makes both durable within 250 ms or 1 MiB.
 *           MISMATCH or CORRUPT: the sender's fault. BAD_BASE: our own base is
 *           damaged, nobody is blamed. NO_SPACE, IO: ours, try later.
 * MAKE:     bytes = the update's header; all its segments are readable.
 * ESTIMATE: estimate = bytes in all, > 0. */
struct node_result {
    enum status status;
    struct bytes bytes;
    uint64_t estimate;
    uint64_t cpu_ns; /* CPU time it took, for budgets */
};
void node_done(struct node *n, op_id op, const struct node_result *result,
               uint64_t now_ns);

/* ---- Requests of the local operator (control socket). ---- */

/* A record signed by a client (version, channel, fleet, cert). Judged at once;
 * an accepted one is put and pushed, and *op names the PUT_RECORD whose
 * completion the caller may wait for (0: it was a duplicate).
 *
 * STALE, NOT_FOUND (its author or epoch is not known), BAD_SIGNATURE, REFUSED,
 * MISMATCH (another fleet), CORRUPT, TRUNCATED, LIMIT, UNSUPPORTED: words in
 * diag. BUSY: another record of the slot is on its way to the disk. */
enum status node_submit(struct node *n, struct bytes envelope, uint64_t now_ns,
                        op_id *op, struct diag *diag) MUST_CHECK;

/* A version made here: manifest, content and updates are durable already. */
enum status node_add_version(struct node *n, const struct hash *version,
                             struct bytes manifest) MUST_CHECK;
enum status node_add_update(struct node *n, struct bytes header) MUST_CHECK;

/* Fetch a version though no channel names it (export, mirror). NOT_FOUND: no
 * record names it; REFUSED: retired or below its floor. */
enum status node_want(struct node *n, const struct hash *version,
                      uint64_t now_ns) MUST_CHECK;

/* The shell swept these; the core stops offering them. */
void node_swept_version(struct node *n, const struct hash *version);
void node_swept_update(struct node *n, const struct hash *update);

/* A block of a held version was found damaged: fetch it again. */
void node_heal(struct node *n, const struct hash *version, uint32_t block,
               uint64_t now_ns);

/* ---- What is known, for status, peers, versions, fleet, metrics. Views hold
 * until the next call that takes now_ns. ---- */

const struct trust *node_trust(const struct node *n);
const uint8_t *node_id(const struct node *n); /* 32 bytes */

struct node_version_info {
    struct hash id, tree;
    const char *model;
    enum node_version_state state;
    uint32_t blocks_done, blocks_total;
    uint64_t size;
    bool running;
    bool wanted;
    const char *why; /* what it waits for, or the last error; "" when fine */
};
/* Index 0, 1, 2...; false past the end. */
bool node_version_at(const struct node *n, size_t index,
                     struct node_version_info *out);
bool node_version_get(const struct node *n, const struct hash *id,
                      struct node_version_info *out);

struct node_link_info {
    link_id link;
    bool up, outgoing, certified;
    uint8_t peer[32]; /* zero until the handshake told */
    const char *addr;
    const char *state; /* dialling noise hello up draining */
    const char *error; /* the last failure at this address, "" when none */
    uint64_t up_since_ns, rtt_ns;
    uint64_t bytes_in, bytes_out, data_in, data_out;
    bool equal; /* the peer's last digest equals ours */
};
bool node_link_at(const struct node *n, size_t index,
                  struct node_link_info *out);

/* Addresses that are tried, with their last failure: what `join` shows. */
struct node_dial_info {
    const char *addr;
    const char *error; /* "" when it is up or was never tried */
    uint64_t next_try_ns;
    unsigned failures;
};
bool node_dial_at(const struct node *n, size_t index,
                  struct node_dial_info *out);

struct node_counters {
    uint64_t records_in, records_new, records_refused, records_pushed;
    uint64_t links_opened, links_refused, handshakes_failed, strikes;
    uint64_t bytes_in, bytes_out, data_in, data_out;
    uint64_t segments_in, segments_out, segments_twice, updates_made;
    uint64_t versions_completed, activations;
};
void node_counters(const struct node *n, struct node_counters *out);

#endif
