/* All bounds of the protocol in one place. Whatever a peer can make us hold,
 * loop over or compute is bounded by a number here; PROTOCOL.md repeats the
 * ones that are part of the protocol. */
#ifndef PROTOCOL_LIMITS_H
#define PROTOCOL_LIMITS_H

/* Deterministic CBOR. */
#define LIMIT_CBOR_DEPTH \
    8u /* arrays, maps and tags around the innermost item */

/* Records and their envelopes. */
#define LIMIT_RECORD_BYTES      8192u /* one COSE_Sign envelope, whole */
#define LIMIT_RECORD_SIGNATURES 16u   /* in one envelope */

/* Names. */
#define LIMIT_MODEL_NAME_BYTES  128u
#define LIMIT_NAME_BYTES        64u /* role, channel, fleet, label key, value */
#define LIMIT_RECORD_NAME_BYTES 192u /* "model#n" fits */

/* What records say. */
#define LIMIT_BODY_KEYS        64u /* pairs of one map, unknown keys included */
#define LIMIT_BODY_HEALS       8u
#define LIMIT_ROLES            32u
#define LIMIT_ROLE_KEYS        16u
#define LIMIT_REVOKED          64u
#define LIMIT_LABELS           16u
#define LIMIT_VECTOR           16u /* publisher roles in one model's vector */
#define LIMIT_PARENTS          8u
#define LIMIT_CHANNEL_ENTRIES  64u
#define LIMIT_CHANNEL_TESTS    8u
#define LIMIT_STATUS_MODELS    32u
#define LIMIT_STATUS_ADDRESSES 4u
#define LIMIT_STATUS_HELD      32u
#define LIMIT_STATUS_TEXT      200u

/* Trust. */
#define LIMIT_AUTHOR_SLOTS 1024u /* of one role; the lowest slots are kept */
#define LIMIT_NODE_SLOTS   16u   /* of one node */
#define LIMIT_PSK_NODES    256u  /* self-signed certificates in a fleet */
#define LIMIT_FLOOR_WINDOW 64u   /* n - floor of a version is below this */

/* Digest tries. */
#define LIMIT_TRIE_LEAF_ENTRIES 31u /* of more, children are shown */

/* Manifests. */
#define LIMIT_MANIFEST_FILES      64u
#define LIMIT_MANIFEST_PATH_PARTS 8u
#define LIMIT_MANIFEST_META       64u
#define LIMIT_MANIFEST_META_BYTES 16384u /* of all keys and values */
#define LIMIT_MANIFEST_BYTES      (2097152u + 393216u) /* leaves and the rest */

/* Noise and its frames. */
#define LIMIT_NOISE_MESSAGE_BYTES   65535u /* by the specification */
#define LIMIT_FRAME_PLAIN_BYTES     16384u /* plaintext of one transport frame */
#define LIMIT_FRAME_BYTES           (LIMIT_FRAME_PLAIN_BYTES + 16u)
#define LIMIT_HANDSHAKE_FRAME_BYTES 4096u  /* one handshake message, whole */
#define LIMIT_REKEY_MESSAGES        65536u /* each direction, then REKEY */
#define LIMIT_NOISE_PSKS            8u     /* in one pattern */

/* Messages. */
#define LIMIT_TRIE_NODES     64u  /* nodes in a TRIE, groups in a LEAF */
#define LIMIT_LEAF_ENTRIES   512u /* in one LEAF */
#define LIMIT_GET_SLOTS      256u /* in one GET */
#define LIMIT_PEERS_ADDRS    16u
#define LIMIT_ADDR_BYTES     255u /* "HOST:PORT" */
#define LIMIT_SOFTWARE_BYTES 64u
#define LIMIT_BYE_TEXT_BYTES 128u
#define LIMIT_MESSAGE_KEYS   32u /* pairs in a message's map */

/* Sessions. */
#define LIMIT_HANDSHAKE_CERT_BYTES 3072u /* certificate in a handshake */
#define LIMIT_REPLAY_KEYS          4096u /* first messages remembered */

/* Links. */
#define LIMIT_LINKS_HALF_OPEN         16u  /* accepted, not yet up */
#define LIMIT_LINKS_HALF_OPEN_ADDRESS 2u   /* of them, from one address */
#define LIMIT_LINKS_ADDRS             256u /* addresses remembered */
#define LIMIT_LINK_STRIKES            3u
#define LIMIT_LINK_CONTROL_BYTES      65536u /* waiting control messages */
#define LIMIT_PUSH_SLOTS              2048u  /* records waiting on a link */
#define LIMIT_PENDING_RECORDS         512u   /* being made durable */
#define LIMIT_PENDING_BYTES           1048576u

#endif
