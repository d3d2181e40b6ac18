/* The bodies of records: one struct a kind, encoded as CBOR maps with integer
 * keys.
 *
 * Extension rule: in every map of a body an unknown key >= 0 is ignored (the
 * envelope keeps it); an unknown key < 0 must be understood: decoding then
 * succeeds with common.understood false, the record is stored and relayed and
 * never acted on, and the struct's other fields may be incomplete.
 *
 * Everything decoded is a view of the body's bytes. Decoding answers, with
 * words in diag:
 *
 * CORRUPT, TRUNCATED, LIMIT  not of this form, or a value out of its range
 *
 * Encoding answers USAGE for what decoding would refuse, else the writer's
 * status. What was encoded decodes to the same.
 *
 * Key by key in PROTOCOL.md, "Bodies". */
#ifndef PROTOCOL_BODY_H
#define PROTOCOL_BODY_H

#include "codec/base/hash.h"
#include "codec/base/writer.h"
#include "protocol/gossip/vector.h"
#include "protocol/limits.h"
#include "protocol/node_id.h"

/* In the body of any kind. */
struct body_common {
    bool understood;    /* out only */
    int64_t must_key;   /* out only: the first unknown key < 0 */
    struct bytes heals; /* payload hashes, 32 bytes each, ascending: the
                         * equivocation that this record resolves */
};

/* Sorted lists (strictly ascending) of 32-byte hashes, ids or keys travel as
 * one byte string. */
static inline size_t body_list_count(struct bytes list)
{
    return list.size / HASH_BYTES;
}

static inline const struct hash *body_list_hash(struct bytes list, size_t index)
{
    return (const struct hash *)(const void *)(list.data + index * HASH_BYTES);
}

bool body_list_has(struct bytes list, const void *item);

/* Sorts count items of 32 bytes in place, drops duplicates, returns how many
 * are left: for those who encode. */
size_t body_list_sort(void *items, size_t count);

/* Reads any body for what all kinds share: a map with integer keys. */
enum status body_decode_common(struct bytes body, struct body_common *out,
                               struct diag *diag) MUST_CHECK;

/* ---- fleet ---- */

enum body_role_kind {
    BODY_ROLE_ROOT = 1,
    BODY_ROLE_PUBLISHER = 2,
    BODY_ROLE_OPERATOR = 3,
    BODY_ROLE_ENROLLER = 4,
    BODY_ROLE_AGGREGATOR = 5
};

/* The one role of kind root has this name. */
#define BODY_ROOT_NAME "root"

struct body_role {
    struct bytes name;
    uint64_t kind;        /* an unknown kind signs no known record */
    struct bytes pattern; /* of models; "*" when none is given */
    struct bytes keys;    /* Ed25519 public keys, a list; may be empty */
    uint64_t threshold;   /* 1..LIMIT_ROLE_KEYS; above the count of keys: the
                           * role signs nothing */
    uint64_t epoch;
};

enum body_enroll {
    BODY_ENROLL_PSK = 0,         /* certificates are self-signed */
    BODY_ENROLL_CERTIFICATES = 1 /* an enroller signs them */
};

struct body_fleet {
    struct body_common common;
    struct bytes name;
    bool has_prev; /* false in record 1 only */
    struct hash prev;
    size_t role_count;
    struct body_role roles[LIMIT_ROLES];
    uint64_t enroll;
    struct bytes revoked; /* node ids, a list */
    bool small;           /* publish also releases to channel "main" */
};

enum status body_fleet_decode(struct bytes body, struct body_fleet *out,
                              struct diag *diag) MUST_CHECK;
enum status body_fleet_encode(const struct body_fleet *in, struct writer *out)
    MUST_CHECK;

/* NULL when there is none of that name. */
const struct body_role *body_fleet_role(const struct body_fleet *fleet,
                                        struct bytes name);

/* ---- cert ---- */

/* Ascending by key (shorter keys first). */
struct body_label {
    struct bytes key, value;
};

struct body_labels {
    size_t count;
    struct body_label labels[LIMIT_LABELS];
};

/* Inserts or replaces in order. USAGE: no legal key or value. LIMIT: full. */
enum status body_labels_set(struct body_labels *labels, struct bytes key,
                            struct bytes value) MUST_CHECK;

/* The X25519 key is implied by the node id. */
struct body_cert {
    struct body_common common;
    struct body_labels labels;
    uint64_t epoch; /* of the records of this node */
    bool revoked;
};

enum status body_cert_decode(struct bytes body, struct body_cert *out,
                             struct diag *diag) MUST_CHECK;
enum status body_cert_encode(const struct body_cert *in, struct writer *out)
    MUST_CHECK;

/* ---- version ---- */

struct body_version {
    struct body_common common;
    struct hash id, tree;
    uint64_t size;          /* bytes of the content */
    uint64_t manifest_size; /* bytes of the manifest, not packed */
    struct vector_model vector;
    struct bytes parents; /* version ids, a list */
    uint64_t floor;       /* lowest counter that may still be started */
    bool retired;
};

enum status body_version_decode(struct bytes body, struct body_version *out,
                                struct diag *diag) MUST_CHECK;
enum status body_version_encode(const struct body_version *in,
                                struct writer *out) MUST_CHECK;

/* Model vectors, as manifests hold them too: a map of role names to counters.
 * Reading checks the form; valid: 1 to LIMIT_VECTOR legal roles in order with
 * counters >= 1. */
struct reader;
void body_read_vector(struct reader *rd, struct vector_model *out);
void body_write_vector(struct writer *wr, const struct vector_model *v);
bool body_vector_valid(const struct vector_model *v);

/* ---- channel ---- */

enum body_test_op {
    BODY_TEST_EQUAL = 0,   /* the label is there and has this value */
    BODY_TEST_UNEQUAL = 1, /* it is not there or has another value */
    BODY_TEST_HAS = 2,     /* it is there; no value */
    BODY_TEST_LACKS = 3    /* it is not there; no value */
};

/* The key "node" tests the node id in hex. */
struct body_test {
    uint64_t op;
    struct bytes key, value;
};

#define BODY_PERCENT_AUTO 101u
#define BODY_STEPS_MAX    16u

struct body_entry {
    struct bytes model;
    bool has_version; /* else track */
    struct hash version;
    struct bytes track; /* publisher role whose newest version runs */
    size_t test_count;  /* all must pass; none: every node */
    struct body_test tests[LIMIT_CHANNEL_TESTS];

    /* The rollout. This build acts on none of these: an entry that has one is
     * refused by body_channel_supported. */
    size_t step_count;
    uint64_t steps[BODY_STEPS_MAX]; /* percent, rising, 1..100 */
    bool has_gate;
    uint64_t gate_ok, gate_bad, gate_soak_s;
    bool has_percent;
    uint64_t percent; /* 0..100 or BODY_PERCENT_AUTO */
};

struct body_channel {
    struct body_common common;
    size_t entry_count;
    struct body_entry entries[LIMIT_CHANNEL_ENTRIES]; /* first match wins */
};

/* Big structs (about 50 kB): keep them off small stacks. */
enum status body_channel_decode(struct bytes body, struct body_channel *out,
                                struct diag *diag) MUST_CHECK;
enum status body_channel_encode(const struct body_channel *in,
                                struct writer *out) MUST_CHECK;

/* UNSUPPORTED, with words, when this build does not act on something the
 * channel says. Release refuses such a channel; a receiver keeps it and acts on
 * nothing in it. */
enum status body_channel_supported(const struct body_channel *channel,
                                   struct diag *diag) MUST_CHECK;

/* True when all tests of entry pass for this node. */
bool body_entry_matches(const struct body_entry *entry,
                        const struct node_id *node,
                        const struct body_labels *labels);

/* ---- status ---- */

enum body_state {
    BODY_STATE_RUNNING = 0,
    BODY_STATE_KNOWN = 1,    /* the wish is known, nothing moves yet */
    BODY_STATE_FETCHING = 2, /* blocks arrive */
    BODY_STATE_STAGED = 3,   /* complete, not yet in place */
    BODY_STATE_TRIAL = 4,    /* runs unconfirmed */
    BODY_STATE_REVERTED = 5, /* the older one runs again */
    BODY_STATE_FAILED = 6    /* see why */
};

struct body_status_model {
    struct bytes model;
    bool has_running;
    struct hash running;
    uint64_t state;   /* of enum body_state, or one unknown here */
    struct bytes why; /* words, empty when fine */
    uint64_t since_s; /* uptime of the node when this state began */
};

struct body_status {
    struct body_common common;
    size_t model_count;
    /* Ascending by name, shorter names first. */
    struct body_status_model models[LIMIT_STATUS_MODELS];
    size_t address_count;
    struct bytes addresses[LIMIT_STATUS_ADDRESSES]; /* "HOST:PORT" */
    struct bytes held;     /* trees that others may code against, a list */
    struct bytes software; /* name and version */
    uint64_t free_bytes;   /* the quota that is left */
    uint64_t uptime_s;     /* durable uptime: rises with each beat */
};

enum status body_status_decode(struct bytes body, struct body_status *out,
                               struct diag *diag) MUST_CHECK;
enum status body_status_encode(const struct body_status *in, struct writer *out)
    MUST_CHECK;

/* ---- contrib ---- */

struct body_contrib {
    struct body_common common;
    struct hash id, tree;
    uint64_t size, manifest_size;
    struct hash parent;
    uint64_t samples;
};

enum status body_contrib_decode(struct bytes body, struct body_contrib *out,
                                struct diag *diag) MUST_CHECK;
enum status body_contrib_encode(const struct body_contrib *in,
                                struct writer *out) MUST_CHECK;

#endif
