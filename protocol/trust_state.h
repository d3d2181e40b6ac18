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

/* ---- trust_check.c ---- */

/* Note an outcome with its words (the first ones stay) and answer false. */
bool trust_refuse(struct trust_verdict *v, enum status status,
                  const char *what);
bool trust_unknown(struct trust_verdict *v, const char *what);
bool trust_say_stale(struct trust_verdict *v, const char *what);

/* The record is of this fleet. */
bool trust_check_fleet_id(const struct trust *t, const struct record *rec,
                          struct trust_verdict *v);

/* The author may write this now, and did sign it (asked only with verify). */
bool trust_check_author(const struct trust *t, const struct record *rec,
                        bool verify, struct trust_verdict *v);

/* The rules of the record's kind, of which the author passed; common tells of
 * heals and understanding. */
bool trust_check_body(const struct trust *t, const struct record *rec,
                      struct body_common *common, struct trust_verdict *v);

/* Both, and for fleet records the rules of the chain. *ok tells; NO_MEMORY is
 * the only failure. */
enum status trust_check_record(const struct trust *t, const struct record *rec,
                               bool verify, struct body_common *common,
                               struct trust_verdict *v, bool *ok) MUST_CHECK;

/* The slot of fleet record number; NULL: not held. */
const struct slot_entry *trust_fleet_entry(const struct trust *t,
                                           uint64_t number);

/* A record of the chain, decoded; free it. */
enum status trust_fleet_copy(struct bytes envelope, struct trust_fleet **out)
    MUST_CHECK;
void trust_fleet_free(struct trust_fleet *fleet);

/* Whether rec, which says body, may follow prev (NULL: is number 1). */
bool trust_fleet_follows(const struct trust_fleet *prev,
                         const struct record *rec,
                         const struct body_fleet *body, bool verify,
                         struct trust_verdict *v);

/* ---- trust_query.c ---- */

/* True unless the body of this kind holds, anywhere, an unknown key < 0. */
bool trust_body_understood(uint64_t kind, struct bytes body);

#endif
