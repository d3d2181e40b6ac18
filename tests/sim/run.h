/* The simulator: real cores on one virtual clock, driven from one seed. A run
 * with the same seed and the same calls is the same run, to the byte: its trace
 * hash tells. */
#ifndef TESTS_SIM_RUN_H
#define TESTS_SIM_RUN_H

#include "codec/base/hash.h"
#include "codec/base/rng.h"
#include "protocol/node.h"
#include "protocol/trust.h"
#include "tests/sim/disk.h"
#include "tests/support/fleet.h"

#define SIM_MS        1000000ull
#define SIM_SECOND    1000000000ull
#define SIM_MINUTE    (60 * SIM_SECOND)
#define SIM_NODES_MAX 256u

struct sim_config {
    uint64_t seed;
    unsigned nodes;
    uint64_t delay_min_ns, delay_max_ns; /* one way, fixed for a connection */
    uint64_t bytes_s;                    /* of a connection, each way */
    uint64_t op_min_ns, op_max_ns;       /* of an operation on the disk */
    uint64_t ping_idle_ns;               /* 0: the protocol's */
    unsigned dial_max;                   /* 0: the protocol's */
    unsigned static_peers; /* node i gets nodes 0 .. this - 1 as static peers */
    int64_t skew_ppm_max;  /* clocks run this much too fast or slow */
    bool verbose;          /* log lines of the cores to stderr */
};

struct sim;

/* What a node's disk and reader do wrong. */
struct sim_faults {
    bool bad_segments;  /* answers READ_SEGMENT with changed bytes */
    bool bad_updates;   /* makes updates of other contents */
    unsigned fail_puts; /* of 1,000 operations that many fail with IO */
};

struct sim_node {
    struct sim *sim;
    unsigned index;
    char addr[32];
    struct crypto_sign_key key;
    struct node_id id;
    struct node *core; /* NULL: down */
    unsigned boots;
    uint8_t wire_max;
    const char *mirror; /* pattern; NULL: none */
    struct rng_seeded seeded;
    struct disk disk;
    struct sim_faults faults;
    int64_t skew_ppm;
    uint64_t offset_ns;  /* of its clock at boot */
    uint64_t timer_ns;   /* when its timer event is due; 0: none */
    uint64_t records_ns; /* when its last record write ends */
    uint64_t uptime_ns, booted_ns;
    unsigned spins;           /* ticks in a row that left something due */
    uint64_t checked_records; /* counters.records_new when last checked */
};

/* Ends the program with a message that names the seed. */
void sim_fail(struct sim *sim, const char *fmt, ...)
    __attribute__((format(printf, 2, 3), noreturn));

struct sim *sim_new(const struct sim_config *config);
void sim_free(struct sim *sim);

uint64_t sim_now(const struct sim *sim);
struct rng *sim_rng(struct sim *sim);
struct fleet *sim_fleet(struct sim *sim);
const struct sim_config *sim_config(const struct sim *sim);
struct sim_node *sim_node(struct sim *sim, unsigned index);
unsigned sim_node_count(const struct sim *sim);

/* Adds a node (up to SIM_NODES_MAX), not booted. */
struct sim_node *sim_add_node(struct sim *sim);

/* ---- Events. ---- */

/* Boots every node; node 0 founds the fleet, the others know its id alone. */
void sim_boot_all(struct sim *sim);
void sim_boot(struct sim *sim, unsigned node);
/* Power off: what is not durable is gone; its connections break. */
void sim_crash(struct sim *sim, unsigned node);

/* Ends all nodes: actors are told nothing any more. */
void sim_stop(struct sim *sim);

/* Runs until the virtual time, or until done(ctx) is true after an event.
 * False when the time came first. */
typedef bool sim_done_fn(struct sim *sim, void *ctx);
bool sim_run(struct sim *sim, uint64_t until_ns, sim_done_fn *done, void *ctx);

/* Calls fn(sim, ctx) at that time. */
typedef void sim_call_fn(struct sim *sim, void *ctx);
void sim_at(struct sim *sim, uint64_t at_ns, sim_call_fn *fn, void *ctx);

/* Nodes of different groups cannot reach each other; group 0 for all: healed.
 * What is on its way between them is lost, and the connection with it. */
void sim_group(struct sim *sim, unsigned node, unsigned group);
void sim_heal(struct sim *sim);

/* Breaks a random connection; false when there is none. */
bool sim_break_one(struct sim *sim);

/* ---- Fleet. ---- */

/* Hands a record to a node, as an operator would; the status of node_submit. */
enum status sim_submit(struct sim *sim, unsigned node, struct bytes envelope,
                       struct diag *diag);

/* A content of size bytes from a seed; round r changes a little of round
 * r - 1. Free it. */
uint8_t *sim_content(uint64_t seed, unsigned round, size_t size);

/* Publishes version n of model at the node: content, full update, and an
 * update from version n - 1 when the node has it. Its id. */
struct hash sim_publish(struct sim *sim, unsigned node, const char *model,
                        uint64_t n, struct bytes content);
/* The same with a floor: lower versions are buried. */
struct hash sim_publish_floor(struct sim *sim, unsigned node, const char *model,
                              uint64_t n, uint64_t floor, struct bytes content);
/* Channel "main" names it. */
void sim_release(struct sim *sim, unsigned node, uint64_t seq,
                 const char *model, const struct hash *version);

/* node_want. */
enum status sim_want(struct sim *sim, unsigned node,
                     const struct hash *version);

/* Block 0 of a complete version is damaged, and the node is told. */
void sim_damage(struct sim *sim, unsigned node, const struct hash *version);

/* ---- Asking. ---- */

/* All nodes that are up have equal digests. */
bool sim_equal(struct sim *sim, void *unused);
/* All nodes that are up run version (ctx: struct sim_goal). */
struct sim_goal {
    const char *model;
    struct hash version;
};
bool sim_all_run(struct sim *sim, void *goal);
bool sim_all_link(struct sim *sim, void *unused); /* each has a link up */

unsigned sim_links_up(struct sim *sim, unsigned node);

/* Counters of all nodes that are up, added. */
void sim_totals(struct sim *sim, struct node_counters *out);

/* Hash over everything that happened so far. */
uint64_t sim_trace(struct sim *sim);
uint64_t sim_events(const struct sim *sim);

/* ---- For actors that are no cores: a raw connection to a node. ---- */

struct sim_actor {
    void (*opened)(void *ctx, uint32_t conn);
    void (*recv)(void *ctx, uint32_t conn, struct bytes in);
    void (*closed)(void *ctx, uint32_t conn);
    void *ctx;
};
uint32_t sim_actor_connect(struct sim *sim, const struct sim_actor *actor,
                           unsigned node);
void sim_actor_send(struct sim *sim, uint32_t conn, struct bytes out);
void sim_actor_close(struct sim *sim, uint32_t conn);

#endif
