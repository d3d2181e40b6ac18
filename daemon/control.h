/* The control socket: a varlink server over raw local sockets, because
 * descriptors travel both ways. Methods are in control_*.c; each call is
 * answered once, or with `more` several times, now or later. */
#ifndef DAEMON_CONTROL_H
#define DAEMON_CONTROL_H

#include "daemon/loop.h"
#include "daemon/varlink.h"

struct control;

/* Listens. A socket file that nobody listens at is replaced. EXISTS: somebody
 * does. diag names the path. */
enum status control_open(struct loop *loop, struct control **out,
                         struct diag *diag) MUST_CHECK;
void control_close(struct control *control); /* starts; ends on the loop */
void control_free(struct control *control);

/* Tells watchers what the core reports. */
void control_event(struct control *control, const struct node_action *a);

/* Says in one line to the service manager how the daemon is. */
void control_notify_status(struct control *control);

/* Updates of versions prepared and not committed, on the heap. NO_MEMORY. */
enum status control_prepared(struct control *control, struct hash **out,
                             size_t *count) MUST_CHECK;

/* ---- For control_*.c. ---- */

/* Exit statuses of the command, as errors carry them. */
enum control_exit {
    CONTROL_FAILED = 1,
    CONTROL_USAGE = 2,
    CONTROL_BAD_INPUT = 4,
    CONTROL_REFUSED = 5,
    CONTROL_TIMED_OUT = 6,
    CONTROL_NO_SPACE = 7,
    CONTROL_NOT_FOUND = 8,
};

/* One call that is not answered yet. */
struct call {
    struct control *control;
    struct loop *loop;
    struct conn *conn;      /* NULL when the client is gone */
    json_t *params;         /* an object */
    struct varlink_fds fds; /* what came with it; a method may take them */
    bool more;
    bool oneway;
    bool may_write; /* root, or the user of the daemon */
    /* What an unfinished call holds; called once when it ends, answered or
     * abandoned. */
    void (*end)(struct call *call);
    void *state;
    void (*progress)(struct call *call);
    unsigned refs; /* jobs that will still touch it */
};

/* Each consumes the object. After call_reply and call_error the call is gone
 * unless a reference is held. */
void call_reply(struct call *call, json_t *reply);
void call_reply_fds(struct call *call, json_t *reply, struct varlink_fds *fds);
void call_continue(struct call *call, json_t *reply); /* only with more */
void call_error(struct call *call, const char *error, const char *where,
                const char *hint, const char *fmt, ...)
    __attribute__((format(printf, 5, 6)));

/* An error whose name follows from the status. */
void call_fail(struct call *call, enum status status, const struct diag *diag,
               const char *where);

/* A job that outlives its call holds a reference; after it the call is only
 * released. False from call_alive: the client is gone. */
/* fn is called ten times a second until the call ends. */
void call_progress(struct call *call, void (*fn)(struct call *call));

void call_ref(struct call *call);
void call_unref(struct call *call);
bool call_alive(const struct call *call);

/* Parameters. NULL, or false with an error sent, when one is missing or of
 * another type. */
const char *call_text(struct call *call, const char *name);
bool call_has(const struct call *call, const char *name);

/* True when a node runs; else NotJoined is sent. */
bool call_joined(struct call *call);

typedef void (*control_method_fn)(struct call *call);

void control_status(struct call *call);
void control_versions(struct call *call);
void control_show(struct call *call);
void control_peers(struct call *call);
void control_fleet(struct call *call);
void control_metrics(struct call *call);
void control_watch(struct call *call);
void control_init(struct call *call);
void control_invite(struct call *call);
void control_join(struct call *call);
void control_prepare(struct call *call);
void control_commit(struct call *call);
void control_prepare_release(struct call *call);
void control_prepare_record(struct call *call);
void control_submit(struct call *call);
void control_record(struct call *call);
void control_export(struct call *call);
void control_verify(struct call *call);
void control_gc(struct call *call);
void control_reload(struct call *call);

/* What a connection keeps between Prepare and Commit. */
struct publish *control_take_prepared(struct call *call, const char *token);
void control_keep_prepared(struct call *call, struct publish *p,
                           char token[17]);

/* Finds a version by its name (deltamesh.varlink). An error is sent when it
 * fails. */
bool control_find_version(struct call *call, const char *name,
                          struct hash *out);

/* A version as the interface describes it. */
json_t *control_version_json(struct loop *loop, const struct hash *id);

/* Words for each thing that is not well; an array. */
json_t *control_problems(struct loop *loop);

/* What Peers and Join show. */
json_t *control_dials(struct loop *loop);

json_t *control_hash_json(const struct hash *hash);
json_t *control_id_json(const uint8_t id[32]);
json_t *control_text_json(struct bytes text);

/* How many links are up. */
unsigned control_links_up(const struct loop *loop);

#endif
