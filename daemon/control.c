/* Connections and calls of the control socket. */
#include "daemon/control.h"

#include "daemon/fs.h"
#include "daemon/notify.h"

#include <errno.h>
#include <grp.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define INTERFACE       "io.deltamesh.Control"
#define CONNECTIONS_MAX 64u
#define QUEUED_MAX      (4u << 20) /* bytes a client may leave unread */
#define PROGRESS_MS     100u
#define GROUPS_MAX      256

/* The text of deltamesh.varlink, made into a string at build time. */
static const char interface_text[] =
#include "daemon/deltamesh.varlink.inc"
    ;

struct prepared {
    struct publish *publish;
    char token[17];
};

struct conn {
    struct conn *next;
    struct control *control;
    struct varlink *vl;
    uv_poll_t poll;
    bool closing, may_write;
    bool in_process; /* conn_process is on the stack */
    struct call *call;
    struct prepared prepared;
};

struct control {
    struct loop *loop;
    int fd;
    uv_poll_t poll;
    uv_timer_t progress;
    bool polling, progressing, stopping;
    char path[sizeof(((struct sockaddr_un *)0)->sun_path)];
    bool owns_path;
    struct conn *conns;
    unsigned conn_count;
};

struct method {
    const char *name;
    control_method_fn fn;
    bool read; /* members of the group may call it */
};

static const struct method methods[] = {
    {"Status", control_status, true},
    {"Versions", control_versions, true},
    {"Show", control_show, true},
    {"Peers", control_peers, true},
    {"Fleet", control_fleet, true},
    {"Metrics", control_metrics, true},
    {"Watch", control_watch, true},
    {"Record", control_record, true},
    {"Export", control_export, true},
    {"Init", control_init, false},
    {"Invite", control_invite, false},
    {"Join", control_join, false},
    {"Prepare", control_prepare, false},
    {"Commit", control_commit, false},
    {"PrepareRelease", control_prepare_release, false},
    {"PrepareRecord", control_prepare_record, false},
    {"Submit", control_submit, false},
    {"Verify", control_verify, false},
    {"Gc", control_gc, false},
    {"Reload", control_reload, false},
};

/* ---- Connections. ---- */

static void conn_process(struct conn *conn);
static void on_conn(uv_poll_t *poll, int status, int events);

static void call_finish(struct call *call)
{
    struct conn *conn = call->conn;
    if (conn)
        conn->call = NULL;
    call->conn = NULL;
    if (call->end) {
        void (*end)(struct call * call) = call->end;
        call->end = NULL;
        end(call);
    }
    loop_forget(call->loop, call);
    varlink_fds_close(&call->fds);
    json_decref(call->params);
    call->params = NULL;
    call_unref(call);
}

static void on_conn_closed(uv_handle_t *handle)
{
    struct conn *conn = handle->data;
    struct control *control = conn->control;
    struct conn **at = &control->conns;
    while (*at != conn)
        at = &(*at)->next;
    *at = conn->next;
    control->conn_count--;
    varlink_free(conn->vl);
    publish_free(conn->prepared.publish);
    free(conn);
}

static void conn_close(struct conn *conn)
{
    if (conn->closing)
        return;
    conn->closing = true;
    if (conn->call)
        call_finish(conn->call);
    uv_close((uv_handle_t *)&conn->poll, on_conn_closed);
}

static void conn_flush(struct conn *conn)
{
    if (conn->closing)
        return;
    enum status status = varlink_flush(conn->vl);
    int events = UV_READABLE | UV_DISCONNECT;
    if (status == STATUS_BUSY)
        events |= UV_WRITABLE;
    else if (status) {
        conn_close(conn);
        return;
    }
    if (varlink_queued(conn->vl) > QUEUED_MAX)
        conn_close(conn);
    else
        uv_poll_start(&conn->poll, events, on_conn);
}

static void on_conn(uv_poll_t *poll, int result, int events)
{
    struct conn *conn = poll->data;
    if (result < 0 || conn->closing) {
        conn_close(conn);
        return;
    }
    if (events & (UV_READABLE | UV_DISCONNECT)) {
        enum status status;
        while ((status = varlink_receive(conn->vl)) == STATUS_OK)
            conn_process(conn);
        if (status != STATUS_BUSY) {
            conn_close(conn);
            return;
        }
    }
    conn_flush(conn);
}

/* ---- Replies. ---- */

static void conn_send(struct conn *conn, json_t *message,
                      struct varlink_fds *fds)
{
    if (conn && message && !conn->closing) {
        if (varlink_send(conn->vl, message, fds))
            conn_close(conn);
        else
            conn_flush(conn);
    } else if (fds) {
        varlink_fds_close(fds);
    }
    json_decref(message);
}

static void call_send(struct call *call, json_t *message,
                      struct varlink_fds *fds)
{
    if (call->oneway) {
        json_decref(message);
        if (fds)
            varlink_fds_close(fds);
        return;
    }
    conn_send(call->conn, message, fds);
}

/* The call is over; the next one of the connection may begin. */
static void call_over(struct call *call)
{
    struct conn *conn = call->conn;
    if (!conn)
        return;
    call_finish(call);
    if (!conn->in_process && !conn->closing)
        conn_process(conn);
}

void call_reply_fds(struct call *call, json_t *reply, struct varlink_fds *fds)
{
    call_send(call, json_pack("{s:o}", "parameters", reply), fds);
    call_over(call);
}

void call_reply(struct call *call, json_t *reply)
{
    call_reply_fds(call, reply, NULL);
}

void call_continue(struct call *call, json_t *reply)
{
    call_send(call,
              json_pack("{s:o, s:b}", "parameters", reply, "continues", 1),
              NULL);
}

static int exit_of(const char *error)
{
    static const struct {
        const char *name;
        int exit;
    } exits[] = {
        {"Usage", CONTROL_USAGE},        {"BadInput", CONTROL_BAD_INPUT},
        {"Refused", CONTROL_REFUSED},    {"TimedOut", CONTROL_TIMED_OUT},
        {"NoSpace", CONTROL_NO_SPACE},   {"NotFound", CONTROL_NOT_FOUND},
        {"Ambiguous", CONTROL_NOT_FOUND}};
    for (size_t i = 0; i < sizeof(exits) / sizeof(*exits); i++)
        if (!strcmp(exits[i].name, error))
            return exits[i].exit;
    return CONTROL_FAILED;
}

void call_error(struct call *call, const char *error, const char *where,
                const char *hint, const char *fmt, ...)
{
    char what[512], name[128];
    va_list args;
    va_start(args, fmt);
    vsnprintf(what, sizeof(what), fmt, args);
    va_end(args);
    snprintf(name, sizeof(name), INTERFACE ".%s", error);
    json_t *text = json_string(what);
    if (!text) /* words from outside that are no UTF-8 */
        text = json_string("an error whose words are not readable");
    json_t *place = json_string(where ? where : "");
    call_send(call,
              json_pack("{s:s, s:{s:o, s:o, s:s, s:i}}", "error", name,
                        "parameters", "what", text, "where",
                        place ? place : json_string(""), "hint",
                        hint ? hint : "", "exit", exit_of(error)),
              NULL);
    call_over(call);
}

void call_fail(struct call *call, enum status status, const struct diag *diag,
               const char *where)
{
    static const struct {
        enum status status;
        const char *name;
    } names[] = {
        {STATUS_USAGE, "Usage"},           {STATUS_CORRUPT, "BadInput"},
        {STATUS_TRUNCATED, "BadInput"},    {STATUS_LIMIT, "BadInput"},
        {STATUS_UNSUPPORTED, "BadInput"},  {STATUS_REFUSED, "Refused"},
        {STATUS_BAD_SIGNATURE, "Refused"}, {STATUS_STALE, "Refused"},
        {STATUS_PERMISSION, "Refused"},    {STATUS_TIMEOUT, "TimedOut"},
        {STATUS_NO_SPACE, "NoSpace"},      {STATUS_NOT_FOUND, "NotFound"},
        {STATUS_AMBIGUOUS, "Ambiguous"},   {STATUS_BUSY, "Busy"},
    };
    const char *name = "Failed";
    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
        if (names[i].status == status)
            name = names[i].name;
    call_error(call, name, where, NULL, "%s",
               diag && diag->text[0] ? diag->text : status_text(status));
}

static void varlink_error(struct call *call, const char *error,
                          const char *field, const char *value)
{
    json_t *params = json_object();
    json_t *text = json_string(value);
    json_object_set_new(params, field, text ? text : json_string("?"));
    call_send(call,
              json_pack("{s:s, s:o}", "error", error, "parameters", params),
              NULL);
    call_over(call);
}

void call_ref(struct call *call)
{
    call->refs++;
}

void call_unref(struct call *call)
{
    if (!--call->refs)
        free(call);
}

bool call_alive(const struct call *call)
{
    return call->conn != NULL;
}

const char *call_text(struct call *call, const char *name)
{
    const json_t *value = json_object_get(call->params, name);
    if (json_is_string(value))
        return json_string_value(value);
    varlink_error(call, "org.varlink.service.InvalidParameter", "parameter",
                  name);
    return NULL;
}

bool call_has(const struct call *call, const char *name)
{
    const json_t *value = json_object_get(call->params, name);
    return value && !json_is_null(value);
}

bool call_joined(struct call *call)
{
    if (call->loop->node)
        return true;
    call_error(call, "NotJoined", "", "deltamesh join INVITE",
               "not joined: run deltamesh join");
    return false;
}

/* ---- Dispatch. ---- */

static void service_info(struct call *call)
{
    call_reply(call, json_pack("{s:s, s:s, s:s, s:s, s:[s, s]}", "vendor",
                               "deltamesh", "product", "deltameshd", "version",
                               VERSION, "url", "", "interfaces",
                               "org.varlink.service", INTERFACE));
}

static void service_description(struct call *call)
{
    const char *name = call_text(call, "interface");
    if (!name)
        return;
    if (strcmp(name, INTERFACE))
        varlink_error(call, "org.varlink.service.InterfaceNotFound",
                      "interface", name);
    else
        call_reply(call, json_pack("{s:s}", "description", interface_text));
}

static void call_method(struct call *call, const char *name, bool may_write)
{
    for (size_t i = 0; i < sizeof(methods) / sizeof(*methods); i++) {
        if (strcmp(methods[i].name, name))
            continue;
        if (methods[i].read || may_write)
            methods[i].fn(call);
        else
            call_error(call, "Refused", "",
                       "run it as root or as the user of the daemon",
                       "members of the group may only look");
        return;
    }
    varlink_error(call, "org.varlink.service.MethodNotFound", "method", name);
}

static void call_dispatch(struct call *call, const char *method, bool may_write)
{
    static const char prefix[] = INTERFACE ".";
    if (!strcmp(method, "org.varlink.service.GetInfo"))
        service_info(call);
    else if (!strcmp(method, "org.varlink.service.GetInterfaceDescription"))
        service_description(call);
    else if (!strncmp(method, prefix, sizeof(prefix) - 1))
        call_method(call, method + sizeof(prefix) - 1, may_write);
    else
        varlink_error(call, "org.varlink.service.InterfaceNotFound",
                      "interface", method);
}

/* False: no call; the connection is to be closed. */
static bool conn_call(struct conn *conn, json_t *message,
                      struct varlink_fds *fds)
{
    const char *method = json_string_value(json_object_get(message, "method"));
    json_t *params = json_object_get(message, "parameters");
    struct call *call = method ? calloc(1, sizeof(*call)) : NULL;
    if (!call || (params && !json_is_object(params))) {
        varlink_fds_close(fds);
        free(call);
        return false;
    }
    call->control = conn->control;
    call->loop = conn->control->loop;
    call->conn = conn;
    call->params = params ? json_incref(params) : json_object();
    call->fds = *fds;
    call->more = json_is_true(json_object_get(message, "more"));
    call->oneway = json_is_true(json_object_get(message, "oneway"));
    call->may_write = conn->may_write;
    call->refs = 1;
    conn->call = call;
    call_ref(call);
    call_dispatch(call, method, conn->may_write);
    call_unref(call);
    return true;
}

/* Begins calls as long as none is under way. */
static void conn_process(struct conn *conn)
{
    conn->in_process = true;
    while (!conn->call && !conn->closing) {
        json_t *message;
        struct varlink_fds fds;
        enum status status = varlink_next(conn->vl, &message, &fds);
        if (status == STATUS_NOT_FOUND)
            break;
        if (status || !conn_call(conn, message, &fds))
            conn_close(conn);
        json_decref(message);
    }
    conn->in_process = false;
    loop_drain(conn->control->loop);
}

/* ---- Who may. ---- */

static bool in_group(int fd, gid_t own, const char *name)
{
    const struct group *group = getgrnam(name);
    gid_t list[GROUPS_MAX];
    socklen_t size = sizeof(list);
    if (!group)
        return false;
    if (own == group->gr_gid)
        return true;
#ifdef SO_PEERGROUPS
    if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, list, &size))
        return false;
    for (size_t i = 0; i < size / sizeof(gid_t); i++)
        if (list[i] == group->gr_gid)
            return true;
#endif
    return false;
}

static bool rights_of(const struct control *control, int fd, bool *may_write)
{
    struct ucred cred;
    socklen_t size = sizeof(cred);
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &size))
        return false;
    *may_write = !cred.uid || cred.uid == geteuid();
    return *may_write ||
           in_group(fd, cred.gid, control->loop->config.control_group);
}

static void accept_one(struct control *control, int fd)
{
    bool may_write = false;
    struct conn *conn = NULL;
    if (control->conn_count < CONNECTIONS_MAX &&
        rights_of(control, fd, &may_write))
        conn = calloc(1, sizeof(*conn));
    if (!conn) {
        close(fd);
        return;
    }
    conn->vl = varlink_new(fd);
    if (!conn->vl || uv_poll_init(&control->loop->uv, &conn->poll, fd)) {
        varlink_free(conn->vl);
        free(conn);
        return;
    }
    conn->control = control;
    conn->may_write = may_write;
    conn->poll.data = conn;
    conn->next = control->conns;
    control->conns = conn;
    control->conn_count++;
    uv_poll_start(&conn->poll, UV_READABLE | UV_DISCONNECT, on_conn);
}

static void on_listen(uv_poll_t *poll, int status, int events)
{
    struct control *control = poll->data;
    (void)events;
    if (status < 0)
        return;
    for (;;) {
        int fd = accept4(control->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd < 0)
            return;
        accept_one(control, fd);
    }
}

/* ---- Progress. ---- */

static void on_progress(uv_timer_t *timer)
{
    struct control *control = timer->data;
    bool any = false;
    for (struct conn *conn = control->conns, *next; conn; conn = next) {
        next = conn->next;
        if (conn->call && conn->call->progress && !conn->closing) {
            any = true;
            conn->call->progress(conn->call);
        }
    }
    if (!any) {
        uv_timer_stop(timer);
        control->progressing = false;
    }
}

static void want_progress(struct control *control)
{
    if (control->progressing)
        return;
    control->progressing = true;
    uv_timer_start(&control->progress, on_progress, PROGRESS_MS, PROGRESS_MS);
}

void call_progress(struct call *call, void (*fn)(struct call *call))
{
    call->progress = fn;
    want_progress(call->control);
}

/* ---- Prepared versions. ---- */

void control_keep_prepared(struct call *call, struct publish *p, char token[17])
{
    struct prepared *prepared = &call->conn->prepared;
    uint8_t random[8];
    rng_fill(&call->loop->rng, random, sizeof(random));
    publish_free(prepared->publish);
    prepared->publish = p;
    for (size_t i = 0; i < sizeof(random); i++)
        snprintf(prepared->token + 2 * i, 3, "%02x", random[i]);
    memcpy(token, prepared->token, sizeof(prepared->token));
}

struct publish *control_take_prepared(struct call *call, const char *token)
{
    struct prepared *prepared = &call->conn->prepared;
    struct publish *p = prepared->publish;
    if (!p || strcmp(prepared->token, token))
        return NULL;
    prepared->publish = NULL;
    return p;
}

enum status control_prepared(struct control *control, struct hash **out,
                             size_t *count)
{
    size_t conns = control ? control->conn_count : 0;
    *count = 0;
    *out = calloc(conns * (PUBLISH_BASES_MAX + 1) + 1, sizeof(**out));
    if (!*out)
        return STATUS_NO_MEMORY;
    for (struct conn *conn = control ? control->conns : NULL; conn;
         conn = conn->next) {
        const struct publish *p = conn->prepared.publish;
        for (size_t i = 0; p && i < p->update_count; i++)
            (*out)[(*count)++] = p->updates[i].id;
    }
    return STATUS_OK;
}

/* ---- Watching. ---- */

struct watch {
    bool logs;
};

static void watch_end(struct call *call)
{
    free(call->state);
}

void control_watch(struct call *call)
{
    struct watch *watch = calloc(1, sizeof(*watch));
    if (!watch) {
        call_fail(call, STATUS_NO_MEMORY, NULL, "");
        return;
    }
    if (!call->more) {
        free(watch);
        call_error(call, "Usage", "", "call it with more",
                   "Watch answers many times");
        return;
    }
    watch->logs = json_is_true(json_object_get(call->params, "logs"));
    call->state = watch;
    call->end = watch_end;
    call_continue(call, json_pack("{s:b}", "ready", 1));
}

static void tell_watchers(struct control *control, bool log, json_t *event)
{
    for (struct conn *conn = control->conns, *next; conn; conn = next) {
        next = conn->next;
        struct call *call = conn->call;
        if (call && call->end == watch_end && !conn->closing &&
            (!log || ((struct watch *)call->state)->logs))
            call_continue(call, json_pack("{s:O}", "event", event));
    }
    json_decref(event);
}

static bool anyone_watches(const struct control *control)
{
    for (const struct conn *conn = control->conns; conn; conn = conn->next)
        if (conn->call && conn->call->end == watch_end)
            return true;
    return false;
}

static const char *event_name(enum node_event event)
{
    switch (event) {
    case NODE_EVENT_VERSION_KNOWN:
        return "version-known";
    case NODE_EVENT_VERSION_FETCHING:
        return "version-fetching";
    case NODE_EVENT_VERSION_PROGRESS:
        return "version-progress";
    case NODE_EVENT_VERSION_COMPLETE:
        return "version-complete";
    case NODE_EVENT_VERSION_RUNNING:
        return "version-running";
    case NODE_EVENT_LINK_UP:
        return "link-up";
    case NODE_EVENT_LINK_DOWN:
        return "link-down";
    case NODE_EVENT_CHANNEL:
        return "channel";
    case NODE_EVENT_STATUS:
        return "status";
    case NODE_EVENT_FLEET:
        return "fleet";
    }
    return "unknown";
}

/* Which events carry a model in text, which an address. */
static bool is_version_event(enum node_event event)
{
    return event <= NODE_EVENT_VERSION_RUNNING;
}

void control_event(struct control *control, const struct node_action *a)
{
    static const struct hash none;
    char node[65] = "", version[65] = "";
    struct hash peer;
    if (a->event == NODE_EVENT_VERSION_RUNNING)
        control_notify_status(control);
    if (!control || !anyone_watches(control))
        return;
    memcpy(peer.b, a->peer, sizeof(peer.b));
    if (!hash_equal(&peer, &none))
        hash_hex(&peer, node);
    if (!hash_equal(&a->version, &none))
        hash_hex(&a->version, version);
    bool has_model = is_version_event(a->event);
    const char *text = a->text ? a->text : "";
    tell_watchers(control, false,
                  json_pack("{s:s, s:s, s:s, s:s, s:I, s:I, s:s}", "event",
                            event_name(a->event), "model",
                            has_model ? text : "", "version", version, "node",
                            node, "done", (json_int_t)a->done, "total",
                            (json_int_t)a->total, "text",
                            has_model ? "" : text));
}

static void on_log_line(void *ctx, enum log_level level, const char *line)
{
    struct control *control = ctx;
    if (control->stopping || !anyone_watches(control))
        return;
    char text[1200];
    snprintf(text, sizeof(text), "%s: %s", log_level_name(level), line);
    tell_watchers(control, true,
                  json_pack("{s:s, s:s, s:s, s:s, s:i, s:i, s:s}", "event",
                            "log", "model", "", "version", "", "node", "",
                            "done", 0, "total", 0, "text", text));
}

void control_notify_status(struct control *control)
{
    const struct loop *loop = control ? control->loop : NULL;
    struct node_version_info info;
    unsigned running = 0;
    if (!loop || !loop->node) {
        notify_status("not joined: run deltamesh join");
        return;
    }
    for (size_t i = 0; node_version_at(loop->node, i, &info); i++)
        running += info.running;
    notify_status("%u links, %u models run%s%s", control_links_up(loop),
                  running, loop->space_problem[0] ? "; " : "",
                  loop->space_problem);
}

/* ---- Listening. ---- */

/* True when somebody answers at the socket file. */
static bool somebody_listens(const struct sockaddr_un *addr)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return false;
    bool yes = !connect(fd, (const struct sockaddr *)addr, sizeof(*addr));
    close(fd);
    return yes;
}

static enum status make_folder(const char *path)
{
    char dir[PATH_MAX];
    snprintf(dir, sizeof(dir), "%s", path);
    char *slash = strrchr(dir, '/');
    if (!slash || slash == dir)
        return STATUS_OK;
    *slash = '\0';
    return fs_make_dirs(dir, 0755);
}

static enum status bind_socket(struct control *control, struct diag *diag)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    const struct config *config = &control->loop->config;
    memcpy(addr.sun_path, control->path, strlen(control->path));
    if (somebody_listens(&addr))
        return diag_fail(diag, STATUS_EXISTS,
                         "%s is in use by another deltameshd", control->path);
    struct stat st;
    if (!lstat(control->path, &st) && S_ISSOCK(st.st_mode))
        unlink(control->path);
    control->fd =
        socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (control->fd < 0 ||
        bind(control->fd, (const struct sockaddr *)&addr, sizeof(addr)))
        return diag_fail(diag, status_from_errno(errno), "%s: %s",
                         control->path, strerror(errno));
    control->owns_path = true;
    const struct group *group = getgrnam(config->control_group);
    bool shared = group && !stat(control->path, &st) &&
                  (st.st_gid == group->gr_gid ||
                   !chown(control->path, (uid_t)-1, group->gr_gid));
    if (chmod(control->path, shared ? 0660 : 0600) || listen(control->fd, 16))
        return diag_fail(diag, status_from_errno(errno), "%s: %s",
                         control->path, strerror(errno));
    return STATUS_OK;
}

enum status control_open(struct loop *loop, struct control **out,
                         struct diag *diag)
{
    struct control *control = calloc(1, sizeof(*control));
    *out = control;
    if (!control)
        return STATUS_NO_MEMORY;
    control->loop = loop;
    control->fd = -1;
    size_t size = strlen(loop->config.control);
    if (size >= sizeof(control->path))
        return diag_fail(diag, STATUS_USAGE, "%s: the path is too long",
                         loop->config.control);
    memcpy(control->path, loop->config.control, size);
    enum status status = make_folder(control->path);
    if (status)
        return diag_fail(diag, status, "%s: its folder cannot be made: %s",
                         control->path, status_text(status));
    status = bind_socket(control, diag);
    if (status)
        return status;
    uv_timer_init(&loop->uv, &control->progress);
    control->progress.data = control;
    if (uv_poll_init(&loop->uv, &control->poll, control->fd))
        return STATUS_IO;
    control->poll.data = control;
    control->polling = true;
    uv_poll_start(&control->poll, UV_READABLE, on_listen);
    loop->log.tap = on_log_line;
    loop->log.tap_ctx = control;
    return STATUS_OK;
}

void control_close(struct control *control)
{
    if (!control || control->stopping)
        return;
    control->stopping = true;
    control->loop->log.tap = NULL;
    if (control->polling)
        uv_close((uv_handle_t *)&control->poll, NULL);
    for (struct conn *conn = control->conns, *next; conn; conn = next) {
        next = conn->next;
        conn_close(conn);
    }
}

void control_free(struct control *control)
{
    if (!control)
        return;
    if (control->fd >= 0)
        close(control->fd);
    if (control->owns_path)
        unlink(control->path);
    free(control);
}
