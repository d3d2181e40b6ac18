/* The versions and models of the node: what the records say should run here,
 * what is wanted for it, what runs. Hosts the transfer.
 *
 * Private to the core; n is the node everywhere. */
#ifndef PROTOCOL_SHELF_H
#define PROTOCOL_SHELF_H

#include "protocol/node.h"
#include "protocol/transfer.h"

#define SHELF_WHY_SIZE 256u

struct shelf_version {
    struct hash id, tree;
    char *model;
    uint64_t size, manifest_size, counter;
    struct hash parents[LIMIT_PARENTS];
    size_t parent_count;
    bool record;     /* a record in force names it */
    bool had_record; /* one did */
    bool startable;
    bool held;   /* the manifest is durable */
    bool asked;  /* node_want */
    bool named;  /* by a channel */
    bool target; /* of this node */
    bool mirrored;
    bool wanted;  /* as told to the transfer */
    bool dropped; /* DROP_VERSION was issued */
    bool complete;
};

struct shelf_model {
    char *name;
    bool has_running, has_target;
    struct hash running, target;
    op_id op; /* ACTIVATE under way */
    struct hash activating;
    unsigned failures;
    uint64_t retry_ns;
    char why[SHELF_WHY_SIZE];
    unsigned state; /* enum body_state, as last told */
    uint64_t since_ns;
};

struct shelf {
    struct shelf_version **versions; /* by id */
    size_t version_count, version_cap;
    struct shelf_model **models; /* by name */
    size_t model_count, model_cap;
    bool restored; /* what comes now is news */
    bool stale;    /* records changed: decide anew */
    uint64_t decided_ns;
    bool check; /* a version or a model changed: anything to activate? */
};

void shelf_deinit(struct shelf *shelf);

/* The transfer over this node. */
enum status shelf_start_transfer(struct node *n, uint64_t rate_bytes_s)
    MUST_CHECK;

/* As the functions of node.h. */
enum status shelf_load_version(struct node *n, const struct hash *version,
                               struct bytes manifest,
                               enum node_version_state state,
                               struct bytes bitmap) MUST_CHECK;
enum status shelf_load_running(struct node *n, const char *model,
                               const struct hash *version) MUST_CHECK;
enum status shelf_want(struct node *n, const struct hash *version) MUST_CHECK;
void shelf_swept(struct node *n, const struct hash *version);

void shelf_heal(struct node *n, const struct hash *version, uint32_t block);

/* True when op was one of the shelf's. */
bool shelf_done(struct node *n, op_id op, enum status status);

/* Writes the body of the own status record. */
enum status shelf_status(struct node *n, struct bytes heals, struct writer *out)
    MUST_CHECK;

/* Acts on what became stale; called at the end of every call of the node. */
void shelf_settle(struct node *n);
uint64_t shelf_deadline_ns(const struct node *n);

struct shelf_version *shelf_find(const struct shelf *shelf,
                                 const struct hash *id);
struct shelf_model *shelf_model(const struct shelf *shelf, const char *name);

#endif
