/* Whom to dial: the addresses known, where they come from, when each is tried
 * again, and what went wrong the last time.
 *
 * Static addresses are always kept dialled. Addresses of roster members (from
 * status records) and hints (beacons, other nodes) are dialled at random until
 * enough links are up. After a failure an address waits 1 s, doubling up to
 * 60 s, with jitter, and is tried for ever.
 *
 * Ref: PROTOCOL.md, "Links". */
#ifndef PROTOCOL_GOSSIP_LINKS_H
#define PROTOCOL_GOSSIP_LINKS_H

#include "codec/base/rng.h"
#include "codec/base/status.h"
#include "protocol/limits.h"
#include "protocol/node_id.h"

#include <stdbool.h>

#define LINKS_BACKOFF_MIN_NS 1000000000ull
#define LINKS_BACKOFF_MAX_NS 60000000000ull
#define LINKS_HINT_NS        1000000000ull /* hints are dialled no faster */

enum links_source {
    LINKS_STATIC, /* configured */
    LINKS_ROSTER, /* in a status record of a certified node */
    LINKS_HINT    /* a beacon, or another node's word */
};

struct links_entry {
    char *addr;
    enum links_source source;
    bool has_node; /* who answers there is known */
    struct node_id node;
    bool self;     /* it is us: never dial */
    uint32_t link; /* the link dialled there, 0: none */
    unsigned failures;
    uint64_t next_try_ns;
    char error[128]; /* the last failure, "" when none or up since */
};

struct links;

/* True when a link to the node exists already, in either direction. */
typedef bool links_linked_fn(void *ctx, const struct node_id *node);

struct links_config {
    struct rng rng;
    unsigned dial_max; /* roster members and hints dialled at a time */
    links_linked_fn *linked;
    void *ctx;
};

enum status links_new(const struct links_config *config, struct links **out)
    MUST_CHECK;
void links_free(struct links *l);

/* Notes an address; known ones keep the stronger source. node may be NULL.
 * When LIMIT_LINKS_ADDRS are there, one that is neither static nor in use makes
 * room, hints first; for a hint nothing but a hint does. LIMIT: none does, or
 * the address is empty or too long; CORRUPT: one that is not static holds
 * anything but printable ASCII without blanks; NO_MEMORY. */
enum status links_add(struct links *l, const char *addr,
                      enum links_source source, const struct node_id *node,
                      uint64_t now_ns) MUST_CHECK;

/* The next address to dial now, NULL when none is due. The caller sets link, or
 * reports a failure. */
struct links_entry *links_next(struct links *l, uint64_t now_ns);

/* When links_next may have something; UINT64_MAX: never. */
uint64_t links_deadline_ns(const struct links *l);

/* The entry that a link was dialled for, NULL when none. */
struct links_entry *links_of(struct links *l, uint32_t link);

/* The link dialled for entry came up to this node. */
void links_up(struct links *l, struct links_entry *entry,
              const struct node_id *node);

/* The link is gone. why: words, "" for an orderly end. A punished address waits
 * the longest time. */
void links_down(struct links *l, struct links_entry *entry, const char *why,
                bool punished, uint64_t now_ns);

size_t links_count(const struct links *l);
const struct links_entry *links_at(const struct links *l, size_t index);

#endif
