/* The inside of struct trust, shared by trust.c (which changes it) and
 * trust_query.c (which reads it). Nobody else includes this. */
#ifndef PROTOCOL_TRUST_STATE_H
#define PROTOCOL_TRUST_STATE_H

#include "protocol/trust.h"

/* A fleet record, decoded; body holds views of bytes. */
struct trust_fleet {
    uint64_t number;
    struct hash hash;
    uint8_t *bytes; /* its envelope; owned */
    struct body_fleet body;
};

/* The older record seen last, not judged; see completes_stale_pair. */
struct trust_stale {
    uint8_t *bytes; /* owned; NULL: none */
    size_t size;
    struct slot_id slot;
    uint64_t epoch, seq;
    struct hash hash;
};

struct trust_loaded {
    uint8_t *bytes; /* one envelope; owned */
    size_t size;
    unsigned rank; /* fleet, cert, the rest */
    uint64_t number, epoch, seq;
};

struct trust {
    bool has_fleet_id;
    struct hash fleet_id;
    struct trust_fleet *fleet; /* in force; NULL: none yet */
    struct slot_table *table;
    struct trie *tries[2]; /* by enum trust_trie */
    struct trust_stale last_stale;
    struct trust_loaded *loaded; /* between trust_load and trust_load_end */
    size_t loaded_count, loaded_cap;
    uint64_t generation;       /* rises with every commit */
    uint64_t fleet_generation; /* rises with every fleet record in force */
};

/* True unless the body of this kind holds, anywhere, an unknown key < 0. */
bool trust_body_understood(uint64_t kind, struct bytes body);

#endif
