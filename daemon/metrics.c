/* The state of the node in numbers. */
#include "daemon/metrics.h"

#include "daemon/control.h"
#include "store/usage.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define METRICS_MAX (1u << 19)

static void put(struct writer *wr, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

static void put(struct writer *wr, const char *fmt, ...)
{
    char line[512];
    va_list args;
    va_start(args, fmt);
    int n = vsnprintf(line, sizeof(line), fmt, args);
    va_end(args);
    if (n > 0 && (size_t)n < sizeof(line))
        writer_bytes(wr, line, (size_t)n);
}

static void family(struct writer *wr, const char *name, const char *type,
                   const char *help)
{
    put(wr, "# TYPE deltamesh_%s %s\n# HELP deltamesh_%s %s\n", name, type,
        name, help);
}

static void gauge(struct writer *wr, const char *name, uint64_t value,
                  const char *help)
{
    family(wr, name, "gauge", help);
    put(wr, "deltamesh_%s %" PRIu64 "\n", name, value);
}

static void counter(struct writer *wr, const char *name, uint64_t value,
                    const char *help)
{
    family(wr, name, "counter", help);
    put(wr, "deltamesh_%s_total %" PRIu64 "\n", name, value);
}

static void put_counters(struct writer *wr, const struct node *node)
{
    struct node_counters c;
    node_counters(node, &c);
    counter(wr, "records_received", c.records_in, "Records received.");
    counter(wr, "records_new", c.records_new, "Records that were news.");
    counter(wr, "records_refused", c.records_refused, "Records refused.");
    counter(wr, "records_pushed", c.records_pushed, "Records sent on.");
    counter(wr, "links_opened", c.links_opened, "Links that came up.");
    counter(wr, "links_refused", c.links_refused, "Connections refused.");
    counter(wr, "handshakes_failed", c.handshakes_failed,
            "Handshakes that failed.");
    counter(wr, "strikes", c.strikes, "Wrong data received from peers.");
    counter(wr, "received_bytes", c.bytes_in, "Bytes received on links.");
    counter(wr, "sent_bytes", c.bytes_out, "Bytes sent on links.");
    counter(wr, "received_data_bytes", c.data_in,
            "Bytes of updates and manifests received.");
    counter(wr, "sent_data_bytes", c.data_out,
            "Bytes of updates and manifests sent.");
    counter(wr, "segments_received", c.segments_in, "Segments received.");
    counter(wr, "segments_sent", c.segments_out, "Segments sent.");
    counter(wr, "segments_twice", c.segments_twice,
            "Segments received though they were here.");
    counter(wr, "updates_made", c.updates_made, "Updates made for peers.");
    counter(wr, "versions_completed", c.versions_completed,
            "Versions that became complete.");
    counter(wr, "activations", c.activations, "Versions put in place.");
}

/* Model names are of letters, digits and . _ - /: no escapes are needed. */
static void put_models(struct writer *wr, struct loop *loop)
{
    struct node_version_info info;
    family(wr, "model_running", "gauge", "1 for the version that runs.");
    for (size_t i = 0; node_version_at(loop->node, i, &info); i++) {
        char hex[HASH_HEX_SIZE];
        hash_hex(&info.id, hex);
        if (info.running)
            put(wr, "deltamesh_model_running{model=\"%s\",version=\"%s\"} 1\n",
                info.model, hex);
    }
    family(wr, "model_blocks_missing", "gauge",
           "Blocks still to come of versions that are fetched.");
    for (size_t i = 0; node_version_at(loop->node, i, &info); i++)
        if (info.state == NODE_VERSION_FETCHING)
            put(wr, "deltamesh_model_blocks_missing{model=\"%s\"} %u\n",
                info.model, info.blocks_total - info.blocks_done);
}

static void put_node(struct writer *wr, struct loop *loop)
{
    struct store_txn txn;
    uint64_t used = 0;
    if (!store_txn_begin(&txn, loop->env, STORE_TXN_READ, NULL)) {
        if (store_usage_total(&txn, &used))
            used = 0;
        store_txn_abort(&txn);
    }
    json_t *problems = control_problems(loop);
    gauge(wr, "joined", loop->node != NULL, "1 when it belongs to a fleet.");
    gauge(wr, "problems", json_array_size(problems),
          "Things that are not well; see deltamesh status.");
    json_decref(problems);
    gauge(wr, "links_up", control_links_up(loop), "Links that are up.");
    gauge(wr, "store_used_bytes", used, "Content held in the store.");
    gauge(wr, "store_quota_bytes", store_env_quota(loop->env),
          "Content the store may hold.");
    gauge(wr, "uptime_seconds", (uv_hrtime() - loop->started_ns) / 1000000000u,
          "Seconds since the daemon started.");
}

char *metrics_text(struct loop *loop)
{
    struct writer wr;
    size_t size;
    writer_init_heap(&wr, METRICS_MAX);
    family(&wr, "build", "info", "The software.");
    put(&wr, "deltamesh_build_info{version=\"%s\"} 1\n", VERSION);
    put_node(&wr, loop);
    if (loop->node) {
        put_counters(&wr, loop->node);
        put_models(&wr, loop);
    }
    put(&wr, "# EOF\n");
    writer_u8(&wr, 0);
    char *text = (char *)writer_take(&wr, &size);
    writer_deinit(&wr);
    return text;
}
