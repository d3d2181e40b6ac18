/* The loop: actions of the core become jobs, sockets and log lines; their
 * outcome goes back. */
#include "daemon/loop_parts.h"

#include "daemon/control.h"
#include "daemon/net.h"
#include "daemon/notify.h"
#include "daemon/udp.h"
#include "store/meta.h"

#include <malloc.h>
#include <signal.h>
#include <unistd.h>

#define UPTIME_SAVE_S   600u
#define STOP_WAIT_NS    (1500u * 1000000ull)
#define GC_PERIOD_NS    (6u * 3600u * 1000000000ull)
#define DRAIN_TURNS_MAX 10000u

uint64_t loop_uptime_s(const struct loop *loop)
{
    return loop->uptime_base_s + (uv_hrtime() - loop->started_ns) / 1000000000u;
}

void loop_trim(struct loop *loop)
{
    (void)loop;
    malloc_trim(0);
}

/* ---- Actions. ---- */

static void perform(struct loop *loop, const struct node_action *a)
{
    static const enum log_level levels[] = {LOG_LEVEL_ERROR, LOG_LEVEL_WARN,
                                            LOG_LEVEL_INFO, LOG_LEVEL_DEBUG};
    switch (a->kind) {
    case NODE_ACTION_DIAL: {
        char addr[NODE_ADDR_MAX + 1];
        snprintf(addr, sizeof(addr), "%s", a->text);
        net_dial(loop->net, a->link, addr);
        return;
    }
    case NODE_ACTION_CLOSE:
        net_close(loop->net, a->link, a->status);
        return;
    case NODE_ACTION_OUTPUT:
        net_output(loop->net, a->link);
        return;
    case NODE_ACTION_PUT_RECORD:
        loop_submit_action(loop, INTAKE_PUT_RECORD, a);
        return;
    case NODE_ACTION_DROP_RECORD:
        loop_submit_action(loop, INTAKE_DROP_RECORD, a);
        return;
    case NODE_ACTION_PUT_MANIFEST:
        loop_submit_action(loop, INTAKE_PUT_MANIFEST, a);
        return;
    case NODE_ACTION_PUT_HEADER:
        loop_submit_action(loop, INTAKE_PUT_HEADER, a);
        return;
    case NODE_ACTION_DECODE:
        loop_submit_action(loop, INTAKE_DECODE, a);
        return;
    case NODE_ACTION_COMPLETE:
        loop_submit_action(loop, INTAKE_COMPLETE, a);
        return;
    case NODE_ACTION_DROP_VERSION:
        loop_submit_action(loop, INTAKE_DROP_VERSION, a);
        return;
    case NODE_ACTION_READ_MANIFEST:
    case NODE_ACTION_READ_HEADER:
    case NODE_ACTION_READ_SEGMENT:
    case NODE_ACTION_MAKE:
    case NODE_ACTION_ESTIMATE:
    case NODE_ACTION_ACTIVATE:
        loop_submit_op(loop, a);
        return;
    case NODE_ACTION_CANCEL:
        loop_cancel_op(loop, a->op);
        return;
    case NODE_ACTION_LOG:
        log_line(&loop->log, levels[a->level & 3], "%s", a->text);
        return;
    case NODE_ACTION_EVENT:
        control_event(loop->control, a);
        return;
    }
}

static void on_node_timer(uv_timer_t *timer)
{
    struct loop *loop = timer->data;
    if (loop->node)
        node_tick(loop->node, uv_hrtime());
    loop_drain(loop);
}

static void arm_timer(struct loop *loop)
{
    uint64_t due = node_deadline_ns(loop->node);
    uint64_t now = uv_hrtime();
    if (due == UINT64_MAX) {
        uv_timer_stop(&loop->node_timer);
        return;
    }
    uint64_t ms = due > now ? (due - now + 999999) / 1000000 : 0;
    uv_update_time(&loop->uv);
    uv_timer_start(&loop->node_timer, on_node_timer, ms, 0);
}

/* Callbacks of sockets call this again from within: the outermost call goes
 * on until nothing is left. */
void loop_drain(struct loop *loop)
{
    struct node_action action;
    if (!loop->node || loop->draining_now || loop->stopping)
        return;
    loop->draining_now = true;
    for (unsigned turn = 0; turn < DRAIN_TURNS_MAX; turn++) {
        bool any = false;
        while (node_next_action(loop->node, &action)) {
            perform(loop, &action);
            any = true;
        }
        if (net_flush(loop->net))
            any = true;
        if (!any)
            break;
    }
    loop->draining_now = false;
    arm_timer(loop);
}

/* ---- Opening. ---- */

static void on_beat(uv_timer_t *timer);
static void on_signal(uv_signal_t *signal, int number);

static void on_watchdog(uv_timer_t *timer)
{
    (void)timer;
    notify_state("WATCHDOG=1");
}

static enum status open_handles(struct loop *loop)
{
    static const int numbers[] = {SIGTERM, SIGINT, SIGHUP};
    uint64_t watchdog_ms = notify_watchdog_ms();
    uv_timer_init(&loop->uv, &loop->node_timer);
    uv_timer_init(&loop->uv, &loop->beat);
    uv_timer_init(&loop->uv, &loop->watchdog);
    uv_timer_init(&loop->uv, &loop->stop_timer);
    loop->node_timer.data = loop->beat.data = loop;
    loop->watchdog.data = loop->stop_timer.data = loop;
    for (int i = 0; i < 3; i++) {
        uv_signal_init(&loop->uv, &loop->signals[i]);
        loop->signals[i].data = loop;
        if (uv_signal_start(&loop->signals[i], on_signal, numbers[i]))
            return STATUS_IO;
    }
    uv_timer_start(&loop->beat, on_beat, LOOP_BEAT_MS, LOOP_BEAT_MS);
    if (watchdog_ms)
        uv_timer_start(&loop->watchdog, on_watchdog, 0, watchdog_ms);
    loop->beat_due_gc_ns = uv_hrtime() + GC_PERIOD_NS;
    return STATUS_OK;
}

enum status loop_open(struct loop *loop, const struct loop_setup *setup,
                      struct diag *diag)
{
    memset(loop, 0, sizeof(*loop));
    loop->lock_fd = -1;
    loop->setup = *setup;
    loop->rng = crypto_rng();
    loop->started_ns = uv_hrtime();
    if (uv_loop_init(&loop->uv))
        return STATUS_NO_MEMORY;
    enum status status = setup->read_config(setup->ctx, &loop->config, diag);
    log_init(&loop->log, loop->config.log_level);
    job_queue_init(&loop->jobs, &loop->uv);
    if (!status)
        status = open_handles(loop);
    if (!status)
        status = loop_open_state(loop, diag);
    if (!status)
        status = loop_open_identity(loop, diag);
    if (!status)
        status = intake_new(&loop->places, &loop->intake);
    if (!status)
        status = net_open(loop, &loop->net, diag);
    if (!status)
        status = udp_new(loop, &loop->udp);
    if (!status)
        status = control_open(loop, &loop->control, diag);
    if (!status)
        status = loop_open_fleet(loop, diag);
    return status;
}

/* ---- Running. ---- */

static void save_uptime(struct loop *loop)
{
    uint64_t now = loop_uptime_s(loop);
    struct loop_item *it;
    if (now - loop->uptime_saved_s < UPTIME_SAVE_S ||
        !(it = loop_item_new(INTAKE_ADD_UPTIME)))
        return;
    it->item.counter = now - loop->uptime_saved_s;
    loop->uptime_saved_s = now;
    loop_item_submit(loop, it);
}

static void on_beat(uv_timer_t *timer)
{
    struct loop *loop = timer->data;
    uint64_t now = uv_hrtime();
    if (loop->stopping)
        return;
    save_uptime(loop);
    control_notify_status(loop->control);
    if (loop->beat_due_gc_ns && now >= loop->beat_due_gc_ns &&
        !loop->gc_running && loop->node) {
        loop->beat_due_gc_ns = now + GC_PERIOD_NS;
        enum status ignored = loop_gc(loop, false, NULL, NULL);
        (void)ignored; /* the next beat tries again */
    }
    if (job_queue_idle(&loop->jobs) && !loop->items_first) {
        intake_rest(loop->intake);
        malloc_trim(0);
    }
}

enum status loop_reload(struct loop *loop, char *restart, size_t restart_size,
                        struct diag *diag)
{
    struct config fresh;
    enum status status = loop->setup.read_config(loop->setup.ctx, &fresh, diag);
    restart[0] = '\0';
    if (status)
        return status;
    config_restart_keys(&loop->config, &fresh, restart, restart_size);
    loop->log.level = fresh.log_level;
    loop->config.log_level = fresh.log_level;
    loop->config.quota_bytes = fresh.quota_bytes;
    loop->config.quota_percent = fresh.quota_percent;
    loop->config.keep = fresh.keep;
    loop->config.discovery = fresh.discovery;
    store_env_set_quota(loop->env, loop_quota(loop));
    config_deinit(&fresh);
    if (loop->joined)
        udp_start(loop->udp);
    return STATUS_OK;
}

static void reload(struct loop *loop)
{
    char restart[512];
    struct diag diag = {""};
    notify_state("RELOADING=1");
    enum status status = loop_reload(loop, restart, sizeof(restart), &diag);
    if (status)
        log_error(&loop->log, "configuration not taken: %s",
                  diag.text[0] ? diag.text : status_text(status));
    else if (restart[0])
        log_warn(&loop->log, "these keys need a restart: %s", restart);
    else
        log_info(&loop->log, "configuration taken");
    notify_state("READY=1");
}

static void on_stop_timer(uv_timer_t *timer)
{
    struct loop *loop = timer->data;
    if (job_queue_idle(&loop->jobs)) {
        uv_stop(&loop->uv);
        return;
    }
    if (uv_hrtime() - loop->stopped_ns > STOP_WAIT_NS) {
        log_warn(&loop->log, "a job does not end; it is begun anew at the "
                             "next start");
        _exit(0);
    }
}

static void on_signal(uv_signal_t *handle, int number)
{
    struct loop *loop = handle->data;
    if (number == SIGHUP) {
        reload(loop);
        return;
    }
    if (loop->stopping)
        return;
    log_info(&loop->log, "stopping");
    notify_state("STOPPING=1");
    loop->stopping = true;
    job_queue_stop(&loop->jobs);
    loop->stopped_ns = uv_hrtime();
    uv_timer_start(&loop->stop_timer, on_stop_timer, 0, 20);
}

void loop_run(struct loop *loop)
{
    log_info(&loop->log, "%s is ready, control socket %s", LOOP_SOFTWARE,
             loop->config.control);
    notify_state("READY=1");
    control_notify_status(loop->control);
    uv_run(&loop->uv, UV_RUN_DEFAULT);
}

/* ---- Closing. ---- */

static void close_any(uv_handle_t *handle, void *arg)
{
    (void)arg;
    if (!uv_is_closing(handle))
        uv_close(handle, NULL);
}

static void save_uptime_now(struct loop *loop)
{
    struct store_txn txn;
    uint64_t now_s = loop_uptime_s(loop);
    if (!loop->env || now_s <= loop->uptime_saved_s ||
        store_txn_begin(&txn, loop->env, STORE_TXN_WRITE, NULL))
        return;
    enum status status =
        store_meta_add_uptime(&txn, now_s - loop->uptime_saved_s, NULL);
    if (status)
        store_txn_abort(&txn);
    else
        status = store_txn_commit(&txn);
    (void)status; /* some seconds of age are lost */
}

void loop_close(struct loop *loop)
{
    loop->stopping = true;
    control_close(loop->control);
    udp_stop(loop->udp);
    net_stop(loop->net);
    uv_walk(&loop->uv, close_any, NULL);
    uv_run(&loop->uv, UV_RUN_DEFAULT);
    control_free(loop->control);
    udp_free(loop->udp);
    net_free(loop->net);
    uv_loop_close(&loop->uv);
    loop_free_jobs(loop);
    node_free(loop->node);
    intake_free(loop->intake);
    save_uptime_now(loop);
    store_env_close(loop->env);
    if (loop->lock_fd >= 0)
        close(loop->lock_fd);
    crypto_unlock(&loop->identity.key, sizeof(loop->identity.key));
    crypto_wipe(&loop->fleet, sizeof(loop->fleet));
    config_deinit(&loop->config);
}
