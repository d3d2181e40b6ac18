/* Version vectors: of the fleet (slot -> epoch, seq, hash), whose join is a
 * pointwise maximum, and of a model version (publisher role -> counter).
 *
 * Ref: PROTOCOL.md, "Digest tries"; "Bodies" for those of versions. */
#ifndef PROTOCOL_GOSSIP_VECTOR_H
#define PROTOCOL_GOSSIP_VECTOR_H

#include "codec/base/status.h"
#include "protocol/limits.h"
#include "protocol/slot.h"

enum vector_order {
    VECTOR_EQUAL,
    VECTOR_BEFORE,     /* the first is older */
    VECTOR_AFTER,      /* the first is newer: it dominates */
    VECTOR_CONCURRENT, /* each has something the other lacks */
    VECTOR_FORK        /* entries only: one (epoch, seq), two contents */
};

#define VECTOR_HASH_BYTES  8u
#define VECTOR_ENTRY_BYTES (SLOT_ID_BYTES + 8u + 8u + VECTOR_HASH_BYTES)

/* One slot of the fleet's vector. */
struct vector_entry {
    struct slot_id slot;
    uint64_t epoch, seq;
    uint8_t hash[VECTOR_HASH_BYTES]; /* slot_entry_digest */
};

struct vector_entry vector_entry_of(const struct slot_entry *entry);

/* Two entries of one slot: EQUAL, BEFORE, AFTER or FORK. */
enum vector_order vector_entry_compare(const struct vector_entry *a,
                                       const struct vector_entry *b);

/* Whole vectors, each sorted strictly by slot. A fork counts as something that
 * each lacks: CONCURRENT. */
enum vector_order vector_compare(const struct vector_entry *a, size_t a_count,
                                 const struct vector_entry *b, size_t b_count);

/* The pointwise maximum, sorted; out has room for a_count + b_count entries.
 * Of a fork the greater hash stands. Returns the count. */
size_t vector_join(const struct vector_entry *a, size_t a_count,
                   const struct vector_entry *b, size_t b_count,
                   struct vector_entry *out);

/* The vector of a model version. Ticks in the order of their CBOR keys
 * (shorter roles first), each role once, n >= 1. Roles are views. */
struct vector_tick {
    struct bytes role;
    uint64_t n;
};

struct vector_model {
    size_t count;
    struct vector_tick ticks[LIMIT_VECTOR];
};

/* The counter of role, 0 when absent. */
uint64_t vector_model_get(const struct vector_model *v, struct bytes role);

/* Sets the counter of role (n >= 1) in order. LIMIT: no room. */
enum status vector_model_set(struct vector_model *v, struct bytes role,
                             uint64_t n) MUST_CHECK;

enum vector_order vector_model_compare(const struct vector_model *a,
                                       const struct vector_model *b);

/* a becomes the join of a and b. LIMIT: no room. */
enum status vector_model_join(struct vector_model *a,
                              const struct vector_model *b) MUST_CHECK;

#endif
