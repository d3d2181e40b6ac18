/* What is remembered of other nodes: where they were met, and how it went. */
#ifndef STORE_PEER_H
#define STORE_PEER_H

#include "store/txn.h"

#define STORE_PEER_ID_BYTES      32u
#define STORE_PEER_ADDRESS_COUNT 8u
#define STORE_PEER_ADDRESS_MAX   255u

/* Caller-owned. */
struct store_peer {
    uint8_t id[STORE_PEER_ID_BYTES];
    uint64_t seen_uptime; /* seconds of uptime when last linked */
    uint64_t sent_bytes;
    uint64_t received_bytes;
    uint32_t link_count; /* links that came up */
    uint32_t fail_count; /* dials that failed since the last link */
    uint32_t strikes;    /* bad data from it */
    uint32_t address_count;
    char addresses[STORE_PEER_ADDRESS_COUNT]
                  [STORE_PEER_ADDRESS_MAX + 1]; /* the last good one first */
};

/* Replaces what is there. STATUS_USAGE: more addresses than fit. */
enum status store_peer_put(struct store_txn *txn, const struct store_peer *peer)
    MUST_CHECK;

/* STATUS_NOT_FOUND */
enum status store_peer_get(struct store_txn *txn,
                           const uint8_t id[STORE_PEER_ID_BYTES],
                           struct store_peer *out) MUST_CHECK;

/* Fine when there is none. */
enum status store_peer_remove(struct store_txn *txn,
                              const uint8_t id[STORE_PEER_ID_BYTES]) MUST_CHECK;

/* All peers in id order until fn returns false. fn changes nothing. */
enum status store_peer_each(struct store_txn *txn,
                            bool (*fn)(void *ctx,
                                       const struct store_peer *peer),
                            void *ctx) MUST_CHECK;

/* Removes peers, those seen longest ago first, until at most keep are left. */
enum status store_peer_trim(struct store_txn *txn, size_t keep) MUST_CHECK;

#endif
