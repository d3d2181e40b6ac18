/* Every message of the protocol: one struct each, its encoding and decoding.
 *
 * A message is the plaintext of one frame: a type byte, then one deterministic
 * CBOR map with integer keys. Unknown keys >= 0 are skipped; with an unknown
 * key < 0 the message is not acted on and the link stays.
 *
 * Byte by byte in PROTOCOL.md, "Frames and messages". */
#ifndef PROTOCOL_MESSAGE_H
#define PROTOCOL_MESSAGE_H

#include "codec/base/hash.h"
#include "codec/base/reader.h"
#include "codec/base/writer.h"
#include "protocol/limits.h"
#include "protocol/node_id.h"

#include <stdbool.h>

/* Values are the type byte. */
enum message_type {
    MESSAGE_HELLO = 0,
    MESSAGE_PING = 1,
    MESSAGE_PONG = 2,
    MESSAGE_TRIE = 3,
    MESSAGE_LEAF = 4,
    MESSAGE_GET = 5,
    MESSAGE_RECORD = 6,
    MESSAGE_HAVE = 7,
    MESSAGE_ASK = 8,
    MESSAGE_OFFER = 9,
    MESSAGE_NO = 10,
    MESSAGE_CANCEL = 11,
    MESSAGE_PEERS = 12,
    MESSAGE_BYE = 13,
    MESSAGE_DATA = 14,
    MESSAGE_TYPE_COUNT
};

/* First on a link, once. */
struct message_hello {
    uint8_t wire_min, wire_max; /* versions spoken */
    uint64_t capabilities;      /* none defined yet: 0 */
    uint64_t instance;          /* random, new at each start */
    uint64_t fleet_seq;         /* newest fleet record held; 0: none */
    struct bytes software;      /* text, for people */
};

#define MESSAGE_ROOT_BYTES 16u

/* PING and PONG. */
struct message_ping {
    uint64_t nonce; /* echoed by PONG */
    uint8_t control_root[MESSAGE_ROOT_BYTES];
    uint8_t status_root[MESSAGE_ROOT_BYTES];
    uint8_t load; /* 0 idle .. 255 busy */
};

/* A node of a 16-way trie: the slots whose first depth nibbles are these; high
 * nibble first, nibbles past depth zero. */
#define MESSAGE_PREFIX_BYTES 8u
struct message_prefix {
    uint8_t depth; /* 0..2 * MESSAGE_PREFIX_BYTES */
    uint8_t nibbles[MESSAGE_PREFIX_BYTES];
};

#define MESSAGE_CHILDREN    16u
#define MESSAGE_CHILD_BYTES 12u
struct message_trie_node {
    struct message_prefix prefix;
    uint8_t children[MESSAGE_CHILDREN][MESSAGE_CHILD_BYTES]; /* 0: empty */
};

struct message_trie {
    uint8_t trie; /* 0 control, 1 status */
    size_t count;
    struct message_trie_node nodes[LIMIT_TRIE_NODES];
};

#define MESSAGE_SLOT_BYTES       16u
#define MESSAGE_ENTRY_HASH_BYTES 8u
struct message_entry {
    uint8_t slot[MESSAGE_SLOT_BYTES];
    uint64_t epoch, seq;
    uint8_t hash[MESSAGE_ENTRY_HASH_BYTES];
};

/* All entries under a prefix. */
struct message_leaf_group {
    struct message_prefix prefix;
    size_t first, count; /* in entries */
};

struct message_leaf {
    uint8_t trie;
    size_t group_count, entry_count;
    struct message_leaf_group groups[LIMIT_TRIE_NODES];
    struct message_entry entries[LIMIT_LEAF_ENTRIES];
};

struct message_get {
    size_t count;
    uint8_t slots[LIMIT_GET_SLOTS][MESSAGE_SLOT_BYTES];
};

struct message_record {
    struct bytes envelope;
};

/* What is held of a version, or of one update toward it. Bits as everywhere:
 * bit i of byte i / 8; empty: all of it, when complete is set. */
struct message_have_update {
    struct hash update;
    bool complete;         /* every segment */
    struct bytes segments; /* verified, may be asked for */
    struct bytes pending;  /* being fetched; may be empty */
};

struct message_have {
    struct hash version;
    bool complete;       /* every block */
    struct bytes blocks; /* verified */
    size_t update_count;
    struct message_have_update updates[LIMIT_HAVE_UPDATES];
};

enum message_ask_what {
    MESSAGE_ASK_VERSION = 0,  /* id: version; offers and HAVE until CANCEL */
    MESSAGE_ASK_MANIFEST = 1, /* id: version */
    MESSAGE_ASK_HEADER = 2,   /* id: update */
    MESSAGE_ASK_SEGMENTS = 3, /* id: update; ranges */
};

struct message_range {
    uint32_t first, count;
};

struct message_ask {
    uint32_t ask; /* chosen by the asker, never reused on a link */
    enum message_ask_what what;
    struct hash id;
    size_t base_count;
    struct hash bases[LIMIT_ASK_BASES]; /* trees held */
    uint64_t speed_bytes_s;             /* wanted; 0: any */
    uint64_t offset;                    /* of the object, to resume at */
    uint64_t credit_bytes;              /* may be sent before the next ASK */
    size_t range_count;
    struct message_range ranges[LIMIT_ASK_RANGES]; /* segments */
};

struct message_offer_update {
    struct hash update; /* zero: can be made when asked for */
    bool has_base;
    struct hash base; /* a tree */
    uint64_t bytes;   /* header and all segments */
    bool exact;       /* else estimated */
};

struct message_offer {
    uint32_t ask;
    uint64_t manifest_bytes; /* as it travels; 0: not held */
    size_t update_count;
    struct message_offer_update updates[LIMIT_OFFER_UPDATES];
};

/* A piece of what an ASK asked for: at most 40 bytes beside its payload. */
struct message_data {
    uint32_t ask;
    uint32_t index;  /* segment; 0 otherwise */
    uint64_t offset; /* of this piece */
    bool last;       /* ends the object */
    struct bytes payload;
};

enum message_reason {
    MESSAGE_NO_BUSY = 0,
    MESSAGE_NO_FULL = 1,
    MESSAGE_NO_ELSEWHERE = 2, /* node has it, or is getting it */
    MESSAGE_NO_UNKNOWN = 3,
    MESSAGE_NO_REASON_COUNT
};

struct message_no {
    uint32_t ask;
    uint32_t index; /* first segment refused; 0 otherwise */
    uint32_t count; /* segments refused; 0: the whole ask */
    enum message_reason reason;
    uint32_t retry_ms;
    bool has_node;
    struct node_id node;
};

struct message_cancel {
    uint32_t ask;
};

struct message_peers {
    size_t count;
    struct bytes addrs[LIMIT_PEERS_ADDRS]; /* "HOST:PORT" */
};

enum message_bye_reason {
    MESSAGE_BYE_CLOSING = 0,   /* going down */
    MESSAGE_BYE_WIRE = 1,      /* no common wire version */
    MESSAGE_BYE_DUPLICATE = 2, /* another link to this node stays */
    MESSAGE_BYE_FULL = 3,      /* too many links */
    MESSAGE_BYE_REVOKED = 4,
    MESSAGE_BYE_CERTIFICATE = 5, /* no certificate that counts */
    MESSAGE_BYE_PROTOCOL = 6,    /* malformed, or against the rules */
    MESSAGE_BYE_BLOCKS = 7,      /* too many wrong blocks */
    MESSAGE_BYE_SELF = 8,        /* we are the same node */
};

struct message_bye {
    uint32_t reason; /* enum message_bye_reason, or unknown */
    struct bytes text;
};

/* About 30 kB: on the heap, one a node. */
struct message {
    enum message_type type;
    union {
        struct message_hello hello;
        struct message_ping ping; /* PONG too */
        struct message_trie trie;
        struct message_leaf leaf;
        struct message_get get;
        struct message_record record;
        struct message_have have;
        struct message_ask ask;
        struct message_offer offer;
        struct message_data data;
        struct message_no no;
        struct message_cancel cancel;
        struct message_peers peers;
        struct message_bye bye;
    } u;
};

/* Reads one message. Views are of in.
 *
 * UNSUPPORTED  an unknown type, or a key that must be understood and is not:
 *              ignore it; the link stays
 * TRUNCATED, CORRUPT, LIMIT  the sender broke the protocol; words in diag
 * On error *out is unspecified. Allocates nothing. */
enum status message_decode(struct bytes in, struct message *out,
                           struct diag *diag) MUST_CHECK;

/* Appends the message to wr. LIMIT: it exceeds LIMIT_FRAME_PLAIN_BYTES; else
 * the writer's status. A count over its bound, or a text that is too long, is
 * our own mistake and asserted. */
enum status message_encode(const struct message *msg, struct writer *wr)
    MUST_CHECK;

/* "PING": static, for logs. */
const char *message_name(enum message_type type);

/* Bytes that a TRIE or LEAF grows by with one more node or entry at most. */
#define MESSAGE_TRIE_NODE_BYTES                 \
    (1u + 1u + 1u + MESSAGE_PREFIX_BYTES + 2u + \
     MESSAGE_CHILDREN * MESSAGE_CHILD_BYTES)
#define MESSAGE_ENTRY_BYTES 45u

#endif
