/* The six messages that move contents: HAVE, ASK, OFFER, NO, CANCEL and DATA,
 * their encoding and decoding. What each is for and when it is sent is in
 * PROTOCOL.md, section "Moving contents".
 *
 * As every message: a type byte, then one deterministic CBOR map with integer
 * keys. Unknown keys >= 0 are skipped; with an unknown key < 0 the message is
 * not acted on and the link stays. Values that are zero, false or empty are
 * left out, so that a message has one encoding. */
#ifndef PROTOCOL_PARCEL_H
#define PROTOCOL_PARCEL_H

#include "protocol/message.h"
#include "protocol/node_id.h"

#define PARCEL_RANGES_MAX  64u /* in one list */
#define PARCEL_BASES_MAX   4u
#define PARCEL_UPDATES_MAX 16u /* in one OFFER */

/* Bytes of a DATA message beside its payload, at most. */
#define PARCEL_DATA_HEAD_MAX 40u

struct parcel_range {
    uint32_t first, count; /* count > 0 */
};

struct parcel_ranges {
    size_t count;
    struct parcel_range at[PARCEL_RANGES_MAX];
};

/* What changed of one update that the sender offered on this link, and knows
 * by the number it gave it there. */
struct parcel_have {
    uint32_t ref;
    bool complete;                 /* every segment is verified */
    struct parcel_ranges verified; /* segments that may be asked for */
    struct parcel_ranges pending;  /* arriving: an ask waits for them */
    struct parcel_ranges gone;     /* neither any more */
};

enum parcel_ask_what {
    PARCEL_ASK_VERSION = 0,  /* id: version; offers and HAVE until CANCEL */
    PARCEL_ASK_MANIFEST = 1, /* id: version; bases: a version whose manifest
                                 may be the prefix */
    PARCEL_ASK_HEADER = 2,   /* id: update */
    PARCEL_ASK_SEGMENTS = 3, /* id: update; ranges, in the order wanted */
    PARCEL_ASK_MAKE = 4,     /* id: version; bases: the tree, or none */
};

struct parcel_ask {
    uint32_t ask; /* chosen by the asker, never reused on a link */
    enum parcel_ask_what what;
    bool insist; /* do not answer "elsewhere" */
    struct hash id;
    size_t base_count;
    struct hash bases[PARCEL_BASES_MAX]; /* trees held */
    struct parcel_ranges ranges;         /* segments */
    uint64_t rate; /* MAKE: bytes/s that lately came over this link; 0: not
                      measured */
};

struct parcel_offer_update {
    uint32_t ref;       /* the sender's number of it; 0: could be made */
    struct hash update; /* zero when it could be made */
    bool has_base;
    struct hash base; /* a tree */
    bool has_tree;    /* leads to another tree than the version asked for */
    struct hash tree;
    uint64_t bytes; /* header and all segments; estimated without ref */
    bool partial;   /* not every segment yet: HAVE tells which */
};

/* All that leads there; replaces the sender's earlier OFFER to this ask. */
struct parcel_offer {
    uint32_t ask;
    bool manifest; /* held */
    bool complete; /* the version, every block */
    size_t update_count;
    struct parcel_offer_update updates[PARCEL_UPDATES_MAX];
};

/* A piece of what an ASK asked for: at most 40 bytes beside its payload. */
struct parcel_data {
    uint32_t ask;
    uint32_t index;  /* segment; 0 otherwise */
    uint64_t offset; /* of this piece */
    bool last;       /* ends the object */
    bool prefixed;   /* a manifest, packed with the prefix named */
    struct bytes payload;
};

enum parcel_reason {
    PARCEL_NO_BUSY = 0,
    PARCEL_NO_FULL = 1,
    PARCEL_NO_ELSEWHERE = 2, /* node is getting it */
    PARCEL_NO_UNKNOWN = 3,
    PARCEL_NO_CANCELLED = 4, /* nothing more of it follows */
    PARCEL_NO_REASON_COUNT
};

struct parcel_no {
    uint32_t ask;
    struct parcel_ranges ranges; /* segments refused; none: the whole ask */
    enum parcel_reason reason;
    uint32_t retry_ms;
    bool has_node;
    struct node_id node;
};

struct parcel_cancel {
    uint32_t ask;
    struct parcel_ranges ranges; /* segments; none: the whole ask */
};

/* About 3 kB. */
struct parcel {
    enum message_type type; /* one of the six */
    union {
        struct parcel_have have;
        struct parcel_ask ask;
        struct parcel_offer offer;
        struct parcel_data data;
        struct parcel_no no;
        struct parcel_cancel cancel;
    } u;
};

/* Reads one message, type byte included. Views are of in.
 *
 * UNSUPPORTED  another type, or a key or choice that must be understood and is
 *              not: ignore it; the link stays
 * TRUNCATED, CORRUPT, LIMIT  the sender broke the protocol; words in diag
 * On error *out is unspecified. Allocates nothing. */
enum status parcel_decode(struct bytes in, struct parcel *out,
                          struct diag *diag) MUST_CHECK;

/* Appends the message, type byte first. LIMIT: it exceeds
 * LIMIT_FRAME_PLAIN_BYTES; else the writer's status. A count over its bound is
 * our own mistake and asserted. */
enum status parcel_encode(const struct parcel *msg, struct writer *wr)
    MUST_CHECK;

#endif
