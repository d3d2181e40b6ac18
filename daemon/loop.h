/* The shell around the core: one libuv loop that performs what the node asks
 * for and reports what came of it. It holds no decision of the protocol.
 *
 * Everything here runs on the thread of the loop; long work goes to jobs. */
#ifndef DAEMON_LOOP_H
#define DAEMON_LOOP_H

#include "daemon/config.h"
#include "daemon/identity.h"
#include "daemon/intake.h"
#include "daemon/job.h"
#include "daemon/log.h"
#include "daemon/publish.h"
#include "protocol/node.h"
#include "store/gc.h"

#include <uv.h>

#define LOOP_SOFTWARE "deltameshd " VERSION

struct control;
struct net;
struct udp;

/* Reads the configuration again: files and command line. */
struct loop_setup {
    enum status (*read_config)(void *ctx, struct config *out,
                               struct diag *diag);
    void *ctx;
    const char *machine_id_path;
};

struct loop {
    struct loop_setup setup;
    struct config config;
    struct log log;
    uv_loop_t uv;
    uv_timer_t node_timer, beat, watchdog, stop_timer;
    uv_signal_t signals[3];

    char models_dir[PATH_MAX], store_dir[PATH_MAX], scratch_dir[PATH_MAX];
    int lock_fd; /* of STATE/lock: one daemon a state */
    struct store_env *env;
    struct places places;
    struct identity identity;
    struct rng rng;
    bool joined;
    struct fleet_file fleet;
    struct node *node; /* NULL until joined */

    struct job_queue jobs;
    struct intake *intake;
    struct loop_item *items_first, *items_last; /* wait for the next batch */
    bool intake_busy;
    struct loop_op *ops;     /* long jobs of the core */
    struct loop_wait *waits; /* for records to be durable */

    struct net *net;
    struct udp *udp;
    struct control *control;

    uint64_t uptime_base_s; /* durable uptime when the daemon started */
    uint64_t started_ns, stopped_ns, uptime_saved_s;
    uint64_t beat_due_gc_ns; /* when gc shall run; 0: not */
    bool gc_running;
    bool stopping, draining_now;
    char space_problem[256]; /* "" while there is room */
};

/* Opens everything that does not need the loop: state, store, identity; starts
 * the node when the fleet is known; serves the control socket.
 *
 * diag says in one line what is wrong. USAGE: the configuration. */
enum status loop_open(struct loop *loop, const struct loop_setup *setup,
                      struct diag *diag) MUST_CHECK;

/* Runs until a signal ends it. */
void loop_run(struct loop *loop);

/* Also after a failed loop_open. */
void loop_close(struct loop *loop);

uint64_t loop_uptime_s(const struct loop *loop);

/* After any call of a node_ function: performs actions, sends, arms the timer.
 */
void loop_drain(struct loop *loop);

/* Writes the fleet file and starts the node. EXISTS: of another fleet already.
 */
enum status loop_join(struct loop *loop, const struct fleet_file *fleet,
                      struct diag *diag) MUST_CHECK;

/* Addresses others can reach this node at: configured ones, else those of the
 * network interfaces. Returns how many. */
size_t loop_addresses(const struct loop *loop,
                      char out[INVITE_ADDRESSES_MAX][NODE_ADDR_MAX + 1]);

/* The configuration again. *restart gets the keys that need a restart. */
enum status loop_reload(struct loop *loop, char *restart, size_t restart_size,
                        struct diag *diag) MUST_CHECK;

/* An item for the intake, and what to do after it. bytes are owned by it. */
struct loop_item {
    struct intake_item item; /* zeroed but for its inputs */
    void (*done)(struct loop *loop, struct loop_item *item); /* then freed */
    void *ctx;
};

/* On the heap; freed with its bytes after done. */
struct loop_item *loop_item_new(enum intake_kind kind);
void loop_item_submit(struct loop *loop, struct loop_item *item);

/* Calls fn when the record behind op is durable, or could not be made so. ctx
 * may be withdrawn with loop_forget. */
void loop_wait_op(struct loop *loop, op_id op,
                  void (*fn)(void *ctx, enum status status), void *ctx);
void loop_forget(struct loop *loop, const void *ctx);

/* Forgets what nothing needs. fn is called with the result on the loop; it may
 * be NULL. */
struct loop_gc {
    struct job job;
    struct loop *loop;
    bool dry_run;
    void (*fn)(void *ctx, struct loop_gc *gc);
    void *ctx;

    struct hash *targets;
    size_t target_count;
    struct hash *in_use; /* updates of versions not yet committed */
    size_t in_use_count;

    struct store_gc_item *items; /* model is not set */
    size_t item_count, item_cap;
    uint64_t freed_bytes;
    enum status status;
    struct diag diag;
};
enum status loop_gc(struct loop *loop, bool dry_run,
                    void (*fn)(void *ctx, struct loop_gc *gc), void *ctx);

/* Gives memory back to the system after long work. */
void loop_trim(struct loop *loop);

/* Names the trees of versions that channels name or that run here, of a model:
 * what direct updates are made from. */
size_t loop_bases(struct loop *loop, const char *model, struct hash *out,
                  size_t max);

#endif
