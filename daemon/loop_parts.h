/* What the files of the loop share with each other and with nobody else:
 *
 *   loop.c        performs actions, timers and signals, opens and closes
 *   loop_state.c  the state folder: lock, store, what a kill left, identity
 *   loop_node.c   the node: addresses, what the store holds of it, its fleet
 *   loop_jobs.c   work on other threads, and who waits for it
 *   loop_gc.c     collecting garbage */
#ifndef DAEMON_LOOP_PARTS_H
#define DAEMON_LOOP_PARTS_H

#include "daemon/loop.h"

#define LOOP_BEAT_MS 60000u

/* Makes the folders, takes the lock, opens the store and settles what a kill
 * left behind. BUSY: another daemon has the state. */
enum status loop_open_state(struct loop *loop, struct diag *diag) MUST_CHECK;

/* The key of this node: read, or made at the first start. */
enum status loop_open_identity(struct loop *loop, struct diag *diag) MUST_CHECK;

/* What the store may take at most, by the configuration. */
uint64_t loop_quota(const struct loop *loop);

/* Starts the node if its fleet is known, by its file or by an invite that the
 * first start finds. */
enum status loop_open_fleet(struct loop *loop, struct diag *diag) MUST_CHECK;

/* Has the action done by the intake, in the order of these calls. */
void loop_submit_action(struct loop *loop, enum intake_kind kind,
                        const struct node_action *action);

/* Has a read or a make done; cancel asks a make to end early. */
void loop_submit_op(struct loop *loop, const struct node_action *action);
void loop_cancel_op(struct loop *loop, op_id op);

/* Keeps what is in place readable by few steps, while its files are there. */
void loop_submit_shallow(struct loop *loop, const struct hash *version);

/* Frees what was submitted and never began; no job runs any more. */
void loop_free_jobs(struct loop *loop);

#endif
