/* What a fleet's records say, and which of them count: roles, thresholds,
 * epochs, the root chain, certificates, floors, bounds and equivocation. A
 * function of the records alone: no clock, no I/O, no randomness; whoever has
 * the same records comes to the same state, in whatever order they came.
 *
 * Acceptance is in two steps, so that nothing is acted on or relayed before it
 * is durable:
 *
 *     trust_consider(t, envelope, &verdict)
 *     if (trust_accepted(&verdict))
 *         ... make verdict.value durable under verdict.slot ...
 *         trust_commit(t, &verdict, &changes)
 *         ... forget the slots in changes.dropped, push the record ...
 *     trust_verdict_deinit(&verdict)
 *
 * Values of one slot must become durable in the order they were considered.
 *
 * Ref: PROTOCOL.md, "Trust". */
#ifndef PROTOCOL_TRUST_H
#define PROTOCOL_TRUST_H

#include "protocol/body.h"
#include "protocol/gossip/trie.h"
#include "protocol/record.h"

struct trust;

/* fleet: the payload hash of fleet record 1, or NULL: the first record 1 that
 * is committed founds the fleet (init). NO_MEMORY. */
enum status trust_new(const struct hash *fleet, struct trust **out) MUST_CHECK;
void trust_free(struct trust *t);

/* ---- Accepting records. ---- */

enum trust_outcome {
    TRUST_NEW,          /* the first of its slot: make durable, commit */
    TRUST_NEWER,        /* replaces the slot's newest: likewise */
    TRUST_EQUIVOCATION, /* completes or widens a proof: likewise */
    TRUST_DUPLICATE,    /* this payload is held */
    TRUST_STALE,        /* older than what is held */
    TRUST_UNKNOWN,      /* its author, epoch or predecessor is not known (yet):
                         * drop it, the next digest brings it again */
    TRUST_REFUSED       /* never counts; status and diag say why */
};

struct trust_verdict {
    enum trust_outcome outcome;
    enum status status; /* OK for the first four, STALE, NOT_FOUND (unknown);
                         * refused: CORRUPT, TRUNCATED, LIMIT, UNSUPPORTED
                         * (malformed), BAD_SIGNATURE (below the threshold),
                         * MISMATCH (another fleet), REFUSED (a rule) */
    struct diag diag;
    /* Of the record; zero when it could not be parsed. */
    struct slot_id slot;
    struct slot_author author;
    uint64_t kind, epoch, seq;
    struct hash hash;
    /* Accepted only: what to store under slot, a CBOR sequence of 1 to 3
     * envelopes (see slot_entry_envelopes). Owned by the verdict. */
    struct bytes value;
    /* NEWER only: the slot's proof of equivocation is healed by this record;
     * a store that keeps proofs apart from records forgets it. */
    bool heals;
    struct trust_pending *pending; /* private */
};

static inline bool trust_accepted(const struct trust_verdict *verdict)
{
    return verdict->outcome == TRUST_NEW || verdict->outcome == TRUST_NEWER ||
           verdict->outcome == TRUST_EQUIVOCATION;
}

/* "new", "stale"... Static. */
const char *trust_outcome_text(enum trust_outcome outcome);

/* Judges an envelope against what is committed; changes nothing that queries
 * show. Anything may be in the bytes. Only NO_MEMORY fails; else *out is set,
 * to be released with trust_verdict_deinit. */
enum status trust_consider(struct trust *t, struct bytes envelope,
                           struct trust_verdict *out) MUST_CHECK;
void trust_verdict_deinit(struct trust_verdict *verdict);

/* What a commit did. Lists grow over several commits until deinit. */
struct trust_changes {
    struct slot_id *dropped; /* forget these durably, when convenient */
    size_t dropped_count, dropped_cap;
    bool fleet; /* another fleet record is in force */
    bool certs; /* certificates or revocations changed: judge links anew */
};

void trust_changes_init(struct trust_changes *changes);
void trust_changes_deinit(struct trust_changes *changes);

/* Takes an accepted verdict into force, after verdict->value is durable.
 *
 * OK         done; or, when verdict->outcome is no longer an accepted one,
 *            nothing was done: another record overtook it
 * BUSY       the slot changed since it was considered: verdict->value is new;
 *            make that durable and commit again
 * NO_MEMORY  not taken, or without all its consequences: load everything anew
 */
enum status trust_commit(struct trust *t, struct trust_verdict *verdict,
                         struct trust_changes *changes) MUST_CHECK;

/* After a restart: every stored value, whole or envelope by envelope, in any
 * order, then trust_load_end, which judges them by the newest fleet record
 * among them. What does not count any more is in changes->dropped.
 *
 * CORRUPT    value is no sequence of records; nothing was loaded
 * NO_MEMORY */
enum status trust_load(struct trust *t, struct bytes value) MUST_CHECK;
enum status trust_load_end(struct trust *t, struct trust_changes *changes)
    MUST_CHECK;

/* ---- Slots and digests. Views hold until the next commit or load. ---- */

enum trust_trie {
    TRUST_TRIE_CONTROL,
    TRUST_TRIE_STATUS
};

/* Status records are in the status trie, all other kinds in the other. The
 * trie may be asked anything; do not put or remove. */
struct trie *trust_trie(struct trust *t, enum trust_trie which);

static inline enum trust_trie trust_trie_of(uint64_t kind)
{
    return kind == RECORD_STATUS ? TRUST_TRIE_STATUS : TRUST_TRIE_CONTROL;
}

/* All slots held, whether they are acted on or not. NULL: unknown. */
const struct slot_entry *trust_slot(const struct trust *t,
                                    const struct slot_id *slot);
size_t trust_slot_count(const struct trust *t);
const struct slot_entry *trust_slot_at(const struct trust *t, size_t index);

/* The record is acted on: understood, and no equivocation is open. */
bool trust_slot_acts(const struct slot_entry *entry);

/* ---- The fleet. ---- */

/* NULL before the first fleet record when none was given. */
const struct hash *trust_fleet_id(const struct trust *t);

/* The fleet record in force and its number; NULL: none yet. */
const struct body_fleet *trust_fleet(const struct trust *t, uint64_t *number);

/* Payload hash of the fleet record in force: what the next one calls prev. */
const struct hash *trust_fleet_hash(const struct trust *t);

/* Role of the record in force; NULL: none of that name. */
const struct body_role *trust_role(const struct trust *t, struct bytes name);

/* True when key is one of the role's current keys. */
bool trust_role_has_key(const struct body_role *role,
                        const struct node_id *key);

enum trust_standing {
    TRUST_NODE_UNKNOWN,
    TRUST_NODE_CERTIFIED,
    TRUST_NODE_REVOKED
};

/* How a node stands. cert (may be NULL) gets the newest certificate when there
 * is one, else labels and epoch are zero. */
enum trust_standing trust_node(const struct trust *t,
                               const struct node_id *node,
                               struct body_cert *cert);

/* Judges a peer at the handshake: by the newest certificate held, by the one
 * presented (an envelope, may be empty) only when none is held. */
enum trust_standing trust_node_presented(struct trust *t,
                                         const struct node_id *node,
                                         struct bytes envelope);

/* The certificate envelope that node presents; empty when none is held. */
struct bytes trust_node_certificate(const struct trust *t,
                                    const struct node_id *node);

/* Certified nodes one by one; *cursor starts at 0. False at the end. */
bool trust_node_next(const struct trust *t, size_t *cursor,
                     struct node_id *node, struct body_cert *cert);

/* ---- Versions. ---- */

struct trust_version {
    const struct slot_entry *entry;
    struct bytes model;
    struct bytes author; /* the role */
    uint64_t n;          /* its counter */
    bool startable;      /* not retired */
    struct body_version body;
};

/* Versions that are acted on, of model (empty: of all); *cursor starts at 0.
 */
bool trust_version_next(const struct trust *t, size_t *cursor,
                        struct bytes model, struct trust_version *out);

/* NOT_FOUND. */
enum status trust_version_get(const struct trust *t, const struct hash *id,
                              struct trust_version *out) MUST_CHECK;

/* True when no other startable version of its model dominates it. */
bool trust_version_is_head(const struct trust *t,
                           const struct trust_version *v);

/* The one head of model. NOT_FOUND: no startable version. AMBIGUOUS: siblings,
 * named in diag; out is one of them. */
enum status trust_version_latest(const struct trust *t, struct bytes model,
                                 struct trust_version *out, struct diag *diag)
    MUST_CHECK;

/* MISMATCH unless the vector of v is the join of its parents' and its own tick;
 * of parents that are not held (buried, or not here yet) only that v is not
 * below them can be told. */
enum status trust_version_lineage(const struct trust *t,
                                  const struct trust_version *v) MUST_CHECK;

/* The lowest counter of role's versions of model that may be started. */
uint64_t trust_floor(const struct trust *t, struct bytes role,
                     struct bytes model);

/* ---- Channels. ---- */

/* Records of channels that are acted on, of name (empty: all), in the order in
 * which the fleet record lists their roles; *cursor starts at 0. *supported is
 * false when this build does not act on all of it. */
bool trust_channel_next(const struct trust *t, size_t *cursor,
                        struct bytes name, const struct slot_entry **entry,
                        struct body_channel *out, bool *supported);

/* What node should run of model by channel name: the first entry that matches
 * in the channel's records, in the order of trust_channel_next.
 *
 * NOT_FOUND    no entry matches, or track has no version yet: run what runs
 * UNSUPPORTED  the channel says something this build does not act on, or was
 *              signed in two ways at once: likewise
 * REFUSED      it names a version that is not known, retired, buried by a
 *              floor, or of another model; out gets its id; diag says which
 */
enum status trust_target(const struct trust *t, struct bytes channel,
                         struct bytes model, const struct node_id *node,
                         const struct body_labels *labels, struct hash *out,
                         struct diag *diag) MUST_CHECK;

/* The models that channel name speaks of, each once, for node: index 0, 1...;
 * false past the end. The view holds until the next commit. */
bool trust_channel_model(const struct trust *t, struct bytes channel,
                         size_t index, struct bytes *model);

/* True when any channel record in force names version (for keeping, and for
 * making updates only toward such). */
bool trust_named_by_channel(const struct trust *t, const struct hash *version);

/* ---- Statuses and contributions. ---- */

/* Statuses of certified nodes; *cursor starts at 0. */
bool trust_status_next(const struct trust *t, size_t *cursor,
                       struct node_id *node, struct body_status *out);

/* NOT_FOUND. */
enum status trust_status_get(const struct trust *t, const struct node_id *node,
                             struct body_status *out) MUST_CHECK;

/* ---- Authoring. ---- */

/* The (epoch, seq) of the next record an author writes in a slot: the current
 * epoch, and one above the highest seq seen. heals gets the hashes that the
 * body must name (a list in heals_buf), empty when there is no equivocation.
 * NOT_FOUND: the author is not known. LIMIT: the highest seq is used up, only
 * the next epoch helps. */
enum status trust_next_seq(const struct trust *t,
                           const struct slot_author *author, uint64_t kind,
                           struct bytes name, uint64_t *epoch, uint64_t *seq,
                           struct hash heals_buf[2], struct bytes *heals)
    MUST_CHECK;

/* Slots that author has of the LIMIT_AUTHOR_SLOTS (LIMIT_NODE_SLOTS) it may: a
 * publisher near its bound raises floors before it publishes more. */
size_t trust_author_slots(const struct trust *t,
                          const struct slot_author *author);

/* The next counter of role for model: one above every counter of its that any
 * version record held shows. */
uint64_t trust_next_counter(const struct trust *t, struct bytes role,
                            struct bytes model);

#endif
