/* A fleet made for tests: keys from a seed, fleet records signed by old and new
 * root, and any record of any author. The same seed gives the same bytes.
 *
 * Functions assert (cmocka's mock assert is not needed): a test that asks for
 * something impossible stops. */
#ifndef TESTS_SUPPORT_FLEET_H
#define TESTS_SUPPORT_FLEET_H

#include "codec/base/rng.h"
#include "protocol/body.h"
#include "protocol/record.h"

#define FLEET_ROLES_MAX 12u
#define FLEET_KEYS_MAX  LIMIT_ROLE_KEYS

struct fleet_role {
    char name[LIMIT_NAME_BYTES + 1];
    uint64_t kind;
    char pattern[LIMIT_MODEL_NAME_BYTES + 3];
    struct crypto_sign_key keys[FLEET_KEYS_MAX];
    unsigned key_count;
    uint64_t threshold, epoch;
};

/* The state from which the next fleet record is made: change it, then call
 * fleet_advance. roles[0] is root. */
struct fleet {
    uint64_t seed, next_key;
    struct fleet_role roles[FLEET_ROLES_MAX];
    unsigned role_count;
    uint64_t enroll;
    bool small;
    struct node_id revoked[LIMIT_REVOKED];
    unsigned revoked_count;
    /* Of the last fleet record made. */
    uint64_t number;
    struct hash id, prev;
    struct fleet_role prev_root;
};

/* One envelope. */
struct fleet_bytes {
    size_t size;
    uint8_t b[LIMIT_RECORD_BYTES];
};

static inline struct bytes fleet_view(const struct fleet_bytes *bytes)
{
    return bytes_of(bytes->b, bytes->size);
}

/* A fleet with a root of 1 key, enrolled by the fleet secret, and no other
 * role yet; no fleet record is made. */
void fleet_init(struct fleet *f, uint64_t seed);

/* The usual one: root 1 of 1, publisher "trainer" and operator "desk" 1 of 1
 * for every model; out is fleet record 1. */
void fleet_init_small(struct fleet *f, uint64_t seed, struct fleet_bytes *out);

/* Adds a role with fresh keys, or changes nothing but its keys. */
struct fleet_role *fleet_add_role(struct fleet *f, const char *name,
                                  uint64_t kind, const char *pattern,
                                  unsigned key_count, uint64_t threshold);
struct fleet_role *fleet_find_role(struct fleet *f, const char *name);
void fleet_new_keys(struct fleet *f, struct fleet_role *role);
void fleet_remove_role(struct fleet *f, const char *name);

/* Makes the next fleet record of the state: signed by all root keys, old and
 * new. */
void fleet_advance(struct fleet *f, struct fleet_bytes *out);

/* The body and payload that fleet_advance would sign, for damaged ones. */
void fleet_body(const struct fleet *f, struct body_fleet *body,
                struct node_id (*keys)[FLEET_KEYS_MAX]);

/* The key of node index: the same for a seed. */
void fleet_node_key(const struct fleet *f, unsigned index,
                    struct crypto_sign_key *out);
struct node_id fleet_node_id(const struct fleet *f, unsigned index);

/* Signs a record of a role with its first count keys (0: its threshold). */
void fleet_sign(const struct fleet *f, const struct fleet_role *role,
                unsigned count, uint64_t kind, struct bytes name,
                uint64_t epoch, uint64_t seq, struct bytes body,
                struct fleet_bytes *out);

/* Signs a record of a node. */
void fleet_sign_node(const struct fleet *f, unsigned index, uint64_t kind,
                     struct bytes name, uint64_t epoch, uint64_t seq,
                     struct bytes body, struct fleet_bytes *out);

/* The self-signed certificate of a node, of epoch 0. labels may be NULL. */
void fleet_self_cert(const struct fleet *f, unsigned index, uint64_t seq,
                     const struct body_labels *labels, struct fleet_bytes *out);

/* A certificate by an enroller role. */
void fleet_cert(const struct fleet *f, const char *enroller, unsigned index,
                uint64_t epoch, uint64_t seq, bool revoked,
                struct fleet_bytes *out);

/* A version n of model by a role, of an invented content; its id is made of
 * model, role and n. floor 0: 1. */
struct hash fleet_version_id(const char *role, const char *model, uint64_t n);
void fleet_version(struct fleet *f, const char *role, const char *model,
                   uint64_t n, uint64_t floor, uint64_t seq,
                   struct fleet_bytes *out);

/* A version record of a body that the caller made. */
void fleet_version_body(struct fleet *f, const char *role, const char *model,
                        uint64_t n, uint64_t seq,
                        const struct body_version *body,
                        struct fleet_bytes *out);

/* A channel record with one entry: model runs version. */
void fleet_channel(struct fleet *f, const char *role, const char *channel,
                   uint64_t seq, const char *model, const struct hash *version,
                   struct fleet_bytes *out);

/* A status of a node that runs nothing; uptime tells beats apart. */
void fleet_status(const struct fleet *f, unsigned index, uint64_t epoch,
                  uint64_t seq, uint64_t uptime_s, struct fleet_bytes *out);

#endif
