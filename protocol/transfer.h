/* Moving contents between peers: which versions are wanted, what the linked
 * peers offer, the path with the fewest bytes, asking, receiving, decoding,
 * resuming; and the other side of it: offering, making, serving, sharing the
 * load. A sans-IO part of the node core: the node hands it peers, messages and
 * outcomes, and it acts through struct transfer_host.
 *
 * Its messages are HAVE ASK OFFER DATA NO CANCEL (protocol/parcel.h); what
 * they mean, every limit and every timer are in protocol/PROTOCOL.md, section
 * "Moving contents".
 *
 * Re-entrancy: the host must not call back into the transfer from inside a
 * callback; it queues. now_ns is monotonic and never goes back. */
#ifndef PROTOCOL_TRANSFER_H
#define PROTOCOL_TRANSFER_H

#include "protocol/node.h"
#include "protocol/parcel.h"

struct transfer;

/* What an update header says, as far as moving it is concerned. The first
 * aux_count segments are auxiliary: they cover no blocks, and must be here
 * before any other is decoded. Segment aux_count + i covers blocks
 * [i << segment_log, (i + 1) << segment_log) of the target. */
struct transfer_segment {
    uint32_t size;    /* coded bytes, 0: nothing changes, never transferred;
                         at least 1 of an auxiliary one */
    uint8_t hash[16]; /* zero when size is 0 */
};
struct transfer_header {
    bool has_base;
    struct hash base, tree;
    uint64_t size; /* of the target */
    uint32_t segment_log;
    uint32_t segment_count; /* auxiliary ones included */
    uint32_t aux_count;
    struct transfer_segment *segments; /* heap; the transfer frees it */
};

/* What a version record (or a manifest) says. */
struct transfer_version {
    struct hash id, tree;
    uint64_t size;
    uint64_t manifest_size;
    const char *model; /* copied */
    uint64_t counter;  /* its place in the line: near ones are near bases */
    const struct hash *parents; /* version ids; copied */
    size_t parent_count;        /* <= 16, more are ignored */
};

/* How the transfer acts. Every callback gets ctx. All are required except
 * those marked optional (NULL). Bytes are borrowed for the call. */
struct transfer_host {
    void *ctx;

    /* Queues a control message (never DATA) for the link: the plaintext of
     * one frame, type byte first. */
    void (*send)(void *ctx, link_id link, struct bytes message);

    /* The link has DATA: call transfer_next_data until it returns 0. */
    void (*output)(void *ctx, link_id link);

    /* Starts an operation: kinds PUT_MANIFEST PUT_HEADER DECODE READ_MANIFEST
     * READ_HEADER READ_SEGMENT COMPLETE MAKE ESTIMATE, fields as node.h says;
     * op is unset. action->owned, when set, is what bytes points into and
     * becomes the host's, to free(). Returns the op, whose outcome the host
     * reports by transfer_op_done, always later; 0 when it cannot (owned stays
     * ours). */
    op_id (*start)(void *ctx, const struct node_action *action);

    /* The result of op is no longer wanted; its outcome may still come. */
    void (*cancel)(void *ctx, op_id op);

    /* The peer sent what no honest peer sends: three strikes close the link.
     * The link may be gone when the call returns, but transfer_peer_down is
     * called later, not from inside. */
    void (*strike)(void *ctx, link_id link, const char *why);

    void (*log)(void *ctx, enum node_log_level level, const char *text);

    /* FETCHING, PROGRESS (blocks done of total), COMPLETE. The version's
     * facts are those of transfer_learn. */
    void (*event)(void *ctx, enum node_event event, const struct hash *version,
                  uint64_t done, uint64_t total);

    /* Is this the manifest that the version's record promises? Its hash is
     * checked already. Anything but OK makes the version refused, for good. */
    enum status (*check_manifest)(void *ctx, const struct hash *version,
                                  struct bytes manifest);

    /* Optional: reads an update header; the default is update_header_parse of
     * codec/update/header.h. On OK out->segments is the transfer's. */
    enum status (*read_header)(void *ctx, struct bytes header,
                               struct transfer_header *out);
};

struct transfer_config {
    const uint8_t *node;   /* 32 bytes, own node id; copied */
    uint64_t rate_bytes_s; /* of DATA, all links together; 0: unlimited */
    bool no_make;          /* never make updates for others */
};

/* STATUS_NO_MEMORY. *host is copied. */
enum status transfer_new(const struct transfer_config *config,
                         const struct transfer_host *host,
                         struct transfer **out) MUST_CHECK;
void transfer_free(struct transfer *t);

/* ---- What is known and local. ---- */

/* A version record that counts. Known ids are updated (the same facts).
 * STATUS_LIMIT: size or count out of bounds; NO_MEMORY. */
enum status transfer_learn(struct transfer *t,
                           const struct transfer_version *facts) MUST_CHECK;

/* A channel names the version, or no longer: updates are made for others only
 * toward named versions. */
void transfer_name(struct transfer *t, const struct hash *version, bool named);

/* The version's manifest is durable here. COMPLETE: so is every block (restored
 * or published here), bitmap empty. Else bitmap = verified blocks, bit i of
 * byte i / 8, empty: none. Must be learned before. May be called at any time;
 * peers that asked are offered it. STATUS_NOT_FOUND, CORRUPT (bitmap),
 * NO_MEMORY. */
enum status transfer_hold_version(struct transfer *t,
                                  const struct hash *version, bool complete,
                                  struct bytes bitmap, uint64_t now_ns)
    MUST_CHECK;

/* An update whose header is durable here, with those segments (bitmap; empty:
 * all). What read_header says, EXISTS is OK, CORRUPT (bitmap), NO_MEMORY. */
enum status transfer_hold_update(struct transfer *t, struct bytes header,
                                 struct bytes segments, uint64_t now_ns)
    MUST_CHECK;

/* Swept: not offered any more. The version stays known. */
void transfer_drop_version(struct transfer *t, const struct hash *version);
void transfer_drop_update(struct transfer *t, const struct hash *update);

/* Forgets a version wholly (floor, retired, record gone). */
void transfer_forget(struct transfer *t, const struct hash *version);

/* A block of a complete version is damaged: it is fetched again, and is no
 * base until then. */
void transfer_heal(struct transfer *t, const struct hash *version,
                   uint32_t block, uint64_t now_ns);

/* ---- What is wanted. ---- */

/* urgency: higher first. Wanting again changes it. NOT_FOUND: not learned. */
enum status transfer_want(struct transfer *t, const struct hash *version,
                          unsigned urgency, uint64_t now_ns) MUST_CHECK;
/* Verified blocks stay; only asking stops. */
void transfer_unwant(struct transfer *t, const struct hash *version,
                     uint64_t now_ns);

/* ---- Peers. ---- */

struct transfer_peer {
    const uint8_t *node; /* 32 bytes; copied */
    bool lan;            /* on the same subnet */
    uint64_t rtt_ns;     /* 0: not measured */
};
/* The link is up: messages may be sent. STATUS_NO_MEMORY. */
enum status transfer_peer_up(struct transfer *t, link_id link,
                             const struct transfer_peer *peer, uint64_t now_ns)
    MUST_CHECK;
void transfer_peer_down(struct transfer *t, link_id link, uint64_t now_ns);
void transfer_peer_rtt(struct transfer *t, link_id link, uint64_t rtt_ns);

/* One of the six messages, DATA included: the plaintext of a frame, type byte
 * first. OK, or what parcel_decode says of its form: UNSUPPORTED is to be
 * ignored, after the others the link is to be closed. What is well formed but
 * wrong is answered or struck here. */
enum status transfer_message(struct transfer *t, link_id link,
                             struct bytes message, uint64_t now_ns) MUST_CHECK;

/* Writes the next DATA message for the link, type byte included, at most cap
 * bytes (TRANSFER_DATA_MIN <= cap; a frame's plaintext). Called when the link
 * has no control message waiting. 0: none now; output is raised when there
 * is. Round robin over links, within rate_bytes_s. May send control messages,
 * on this link too. */
#define TRANSFER_DATA_MIN 1024u
size_t transfer_next_data(struct transfer *t, link_id link, uint8_t *buf,
                          size_t cap, uint64_t now_ns);

/* ---- Outcomes and time. ---- */

/* True when op was one of the transfer's. */
bool transfer_op_done(struct transfer *t, op_id op,
                      const struct node_result *result, uint64_t now_ns);

void transfer_tick(struct transfer *t, uint64_t now_ns);
uint64_t transfer_deadline_ns(const struct transfer *t);

/* ---- For status and tests. ---- */

struct transfer_info {
    enum node_version_state state;
    bool wanted;
    uint32_t blocks_done, blocks_total;
    const char *why; /* what it waits for; "" when fine; until the next call */
};
/* False when the version is not known. */
bool transfer_info(const struct transfer *t, const struct hash *version,
                   struct transfer_info *out);

struct transfer_counters {
    uint64_t data_in, data_out; /* bytes of DATA messages */
    uint64_t segments_in, segments_out, segments_twice;
    uint64_t updates_made, versions_completed, strikes;
};
void transfer_counters(const struct transfer *t, struct transfer_counters *out);

#endif
