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
#include "protocol/gossip/trie.h"
#include "protocol/limits.h"

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

/* HAVE, ASK, OFFER, NO, CANCEL and DATA move contents; what their maps say is
 * in protocol/parcel.h. */
static inline bool message_is_parcel(enum message_type type)
{
    return (type >= MESSAGE_HAVE && type <= MESSAGE_CANCEL) ||
           type == MESSAGE_DATA;
}

/* First on a link, once. */
struct message_hello {
    uint8_t wire_min, wire_max; /* versions spoken */
    uint64_t capabilities;      /* none defined yet: 0 */
    uint64_t instance;          /* random, new at each start */
    uint64_t fleet_seq;         /* newest fleet record held; 0: none */
    struct bytes software;      /* text, for people */
};

/* PING and PONG. */
struct message_ping {
    uint64_t nonce; /* echoed by PONG */
    struct trie_root control, status;
    uint8_t load; /* 0 idle .. 255 busy */
};

/* A node of a digest trie: the hashes of its 16 children. */
struct message_trie_node {
    struct trie_prefix prefix;
    struct trie_children children;
};

struct message_trie {
    uint8_t trie; /* 0 control, 1 status */
    size_t count;
    struct message_trie_node nodes[LIMIT_TRIE_NODES];
};

/* All entries under a prefix. */
struct message_leaf_group {
    struct trie_prefix prefix;
    size_t first, count; /* in entries */
};

struct message_leaf {
    uint8_t trie;
    size_t group_count, entry_count;
    struct message_leaf_group groups[LIMIT_TRIE_NODES];
    struct vector_entry entries[LIMIT_LEAF_ENTRIES];
};

struct message_get {
    size_t count;
    struct slot_id slots[LIMIT_GET_SLOTS];
};

struct message_record {
    struct bytes envelope;
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
    MESSAGE_BYE_SELF = 7,        /* we are the same node */
};

struct message_bye {
    uint32_t reason; /* enum message_bye_reason, or unknown */
    struct bytes text;
};

/* About 40 kB: on the heap, one a node. */
struct message {
    enum message_type type;
    union {
        struct message_hello hello;
        struct message_ping ping; /* PONG too */
        struct message_trie trie;
        struct message_leaf leaf;
        struct message_get get;
        struct message_record record;
        struct bytes parcel; /* the map, unread: see protocol/parcel.h */
        struct message_peers peers;
        struct message_bye bye;
    } u;
};

/* Reads one message. Views are of in.
 *
 * A parcel's map is not looked at.
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

/* Bytes that a LEAF grows by with one more group or entry at most. */
#define MESSAGE_GROUP_BYTES (1u + 2u + 1u + SLOT_ID_BYTES + 3u)
#define MESSAGE_ENTRY_BYTES \
    (1u + 1u + SLOT_ID_BYTES + 9u + 9u + 1u + VECTOR_HASH_BYTES)

#endif
