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
#define LIMIT_HAVE_UPDATES   4u
#define LIMIT_ASK_BASES      4u
#define LIMIT_ASK_RANGES     64u
#define LIMIT_OFFER_UPDATES  16u
#define LIMIT_PEERS_ADDRS    16u
#define LIMIT_ADDR_BYTES     255u /* "HOST:PORT" */
#define LIMIT_SOFTWARE_BYTES 64u
#define LIMIT_BYE_TEXT_BYTES 128u
#define LIMIT_MESSAGE_KEYS   32u   /* pairs in a message's map */
#define LIMIT_BITMAP_BYTES   8192u /* 65,536 blocks */

#endif
