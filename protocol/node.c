/* The face of the core: each call sets the time, does its part, and settles
 * what follows from it, so that the shell finds all that is to be done. */
#include "protocol/node.h"

#include "protocol/node_state.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#define DIAL_MAX_DEFAULT   3u
#define ACCEPT_MAX_DEFAULT 16u
#define PING_IDLE_NS       60000000000ull
#define AUTHOR_WAIT_NS     60000000000ull

/* ---- Life. ---- */

static bool copy_texts(const char *const *texts, size_t count, char ***out,
                       size_t *out_count)
{
    if (!count)
        return true;
    *out = calloc(count, sizeof **out);
    if (!*out)
        return false;
    for (size_t i = 0; i < count; i++) {
        (*out)[i] = strdup(texts[i]);
        if (!(*out)[i])
            return false;
        *out_count = i + 1;
    }
    return true;
}

static void free_texts(char **texts, size_t count)
{
    for (size_t i = 0; i < count; i++)
        free(texts[i]);
    free(texts);
}

static bool linked(void *ctx, const struct node_id *node)
{
    return peer_of_node(ctx, node) != NULL;
}

static enum status init_identity(struct node *n,
                                 const struct node_config *config)
{
    struct crypto_secret psks[2] = {{{0}}};
    if (config->psk_count < 1 || config->psk_count > 2)
        return STATUS_USAGE;
    for (unsigned i = 0; i < config->psk_count; i++)
        memcpy(psks[i].b, config->psk[i], sizeof psks[i].b);
    enum status status = session_identity_init(&n->identity, &n->key, psks,
                                               config->psk_count, &n->rng);
    crypto_wipe(psks, sizeof psks);
    n->identity.fleet = config->fleet;
    n->identity.software = n->software;
    if (config->wire_version_max)
        n->identity.wire_max = config->wire_version_max;
    return status;
}

static enum status init_parts(struct node *n, const struct node_config *config)
{
    struct links_config links = {
        .rng = n->rng,
        .dial_max = config->dial_max ? config->dial_max : DIAL_MAX_DEFAULT,
        .linked = linked,
        .ctx = n};
    enum status status = init_identity(n, config);
    if (!status)
        status = trust_new(&config->fleet, &n->trust);
    if (!status)
        status = links_new(&links, &n->links);
    if (!status)
        status = shelf_start_transfer(n, config->rate_bytes_s);
    for (size_t i = 0; !status && i < config->peer_count; i++)
        status = links_add(n->links, config->peers[i], LINKS_STATIC, NULL, 0);
    return status;
}

static enum status init_copies(struct node *n, const struct node_config *config)
{
    n->in = calloc(1, sizeof *n->in);
    n->out = calloc(1, sizeof *n->out);
    n->plain = malloc(LIMIT_FRAME_PLAIN_BYTES);
    bool ok = n->in && n->out && n->plain &&
              copy_texts(config->listen, config->listen_count, &n->listen,
                         &n->listen_count) &&
              copy_texts(config->labels, config->label_count, &n->labels,
                         &n->label_count) &&
              copy_texts(config->mirror, config->mirror_count, &n->mirror,
                         &n->mirror_count);
    return ok ? STATUS_OK : STATUS_NO_MEMORY;
}

enum status node_new(const struct node_config *config, struct node **out)
{
    struct node *n = calloc(1, sizeof *n);
    *out = NULL;
    if (!n)
        return STATUS_NO_MEMORY;
    outbox_init(&n->outbox);
    n->key = config->key;
    n->id = crypto_sign_key_id(&config->key);
    n->rng = config->rng;
    n->next_link = 1;
    n->accept_max =
        config->accept_max ? config->accept_max : ACCEPT_MAX_DEFAULT;
    n->ping_idle_ns =
        config->ping_idle_ns ? config->ping_idle_ns : PING_IDLE_NS;
    n->author_wait_ns =
        config->author_wait_ns ? config->author_wait_ns : AUTHOR_WAIT_NS;
    n->uptime_base_ns = config->uptime_ns;
    if (config->software)
        (void)snprintf(n->software, sizeof n->software, "%s", config->software);
    enum status status = init_copies(n, config);
    if (!status)
        status = init_parts(n, config);
    if (status) {
        node_free(n);
        return status;
    }
    *out = n;
    return STATUS_OK;
}

void node_free(struct node *n)
{
    if (!n)
        return;
    transfer_free(n->transfer); /* may still say goodbye to peers */
    for (size_t i = 0; i < n->peer_count; i++)
        peer_free(n->peers[i]);
    free(n->peers);
    shelf_deinit(&n->shelf);
    ledger_deinit(&n->ledger);
    links_free(n->links);
    trust_free(n->trust);
    outbox_deinit(&n->outbox);
    free((uint8_t *)(uintptr_t)n->identity.cert.data);
    session_identity_deinit(&n->identity);
    free_texts(n->listen, n->listen_count);
    free_texts(n->labels, n->label_count);
    free_texts(n->mirror, n->mirror_count);
    free(n->in);
    free(n->out);
    free(n->plain);
    crypto_wipe(&n->key, sizeof n->key);
    free(n);
}

/* ---- Time and what follows. ---- */

static void set_time(struct node *n, uint64_t now_ns)
{
    assert(now_ns >= n->now_ns);
    n->now_ns = now_ns;
}

/* Addresses of the roster, from the statuses of certified nodes. */
static void learn_roster(struct node *n)
{
    struct body_status *body = malloc(sizeof *body);
    struct node_id node;
    size_t cursor = 0;
    while (body && trust_status_next(n->trust, &cursor, &node, body))
        peer_learn_addresses(n, &node, body);
    free(body);
}

static void dial(struct node *n, struct links_entry *entry)
{
    struct peer *p = peer_new(n, entry->addr, true);
    if (!p) {
        links_down(n->links, entry, "out of memory", false, n->now_ns);
        return;
    }
    entry->link = p->id;
    struct node_action action = {
        .kind = NODE_ACTION_DIAL, .link = p->id, .text = entry->addr};
    (void)outbox_put(&n->outbox, &action);
}

static void settle(struct node *n)
{
    if (!n->started)
        return;
    shelf_settle(n);
    ledger_tick(n);
    struct links_entry *entry;
    while ((entry = links_next(n->links, n->now_ns)))
        dial(n, entry);
}

/* ---- Restoring. ---- */

enum status node_load_record(struct node *n, struct bytes envelope)
{
    return trust_load(n->trust, envelope);
}

enum status node_load_version(struct node *n, const struct hash *version,
                              struct bytes manifest,
                              enum node_version_state state,
                              struct bytes bitmap)
{
    return shelf_load_version(n, version, manifest, state, bitmap);
}

enum status node_load_update(struct node *n, struct bytes header,
                             struct bytes segments)
{
    return transfer_hold_update(n->transfer, header, segments, n->now_ns);
}

enum status node_load_running(struct node *n, const char *model,
                              const struct hash *version)
{
    return shelf_load_running(n, model, version);
}

enum status node_start(struct node *n, uint64_t now_ns)
{
    n->now_ns = n->start_ns = now_ns;
    status_beat_init(&n->beat, now_ns);
    enum status status = ledger_start(n);
    if (status)
        return status;
    n->started = true;
    n->shelf.stale = true;
    learn_roster(n);
    settle(n);
    return STATUS_OK;
}

/* ---- Links. ---- */

/* Bytes of addr that name the host: all before the last colon. */
static size_t host_size(const char *addr)
{
    const char *colon = strrchr(addr, ':');
    return colon ? (size_t)(colon - addr) : strlen(addr);
}

/* Daemons on one machine may come all at once. */
static bool is_loopback(const char *addr)
{
    return !strncmp(addr, "127.", 4) || !strncmp(addr, "[::1]", 5) ||
           !strncmp(addr, "[::ffff:127.", 12);
}

/* Who has not shown yet that it knows the fleet secret. */
static bool is_stranger(const struct peer *p)
{
    return !p->outgoing && p->session && !session_proved(p->session);
}

/* The stranger that came first; NULL: none. */
static struct peer *first_stranger(const struct node *n)
{
    struct peer *first = NULL;
    for (size_t i = 0; i < n->peer_count; i++) {
        struct peer *p = n->peers[i];
        if (!p->closing && is_stranger(p) && (!first || p->id < first->id))
            first = p;
    }
    return first;
}

/* Room for one more that has not shaken hands? When all places are taken, the
 * stranger that has been silent longest goes: else whoever opens connections
 * and says nothing would keep all others out. */
static bool half_open_room(struct node *n, const char *addr)
{
    size_t size = host_size(addr);
    unsigned all = 0, same = 0;
    for (size_t i = 0; i < n->peer_count; i++) {
        const struct peer *p = n->peers[i];
        if (p->outgoing || p->up || (p->closing && is_stranger(p)))
            continue;
        all++;
        if (host_size(p->addr) == size && !memcmp(p->addr, addr, size))
            same++;
    }
    if (same >= LIMIT_LINKS_HALF_OPEN_ADDRESS && !is_loopback(addr))
        return false;
    struct peer *first = all < LIMIT_LINKS_HALF_OPEN ? NULL : first_stranger(n);
    if (first)
        peer_close(n, first, STATUS_BUSY, "silent, and others wait");
    return all < LIMIT_LINKS_HALF_OPEN || first;
}

enum status node_accept(struct node *n, const char *peer_addr, uint64_t now_ns,
                        link_id *out)
{
    *out = 0;
    set_time(n, now_ns);
    if (strlen(peer_addr) > NODE_ADDR_MAX)
        return STATUS_LIMIT;
    if (!half_open_room(n, peer_addr)) {
        n->counters.links_refused++;
        return STATUS_BUSY;
    }
    struct peer *p = peer_new(n, peer_addr, false);
    if (!p)
        return STATUS_NO_MEMORY;
    *out = p->id;
    peer_connected(n, p);
    return STATUS_OK;
}

void node_dialled(struct node *n, link_id link, enum status status,
                  const char *remote_addr, uint64_t now_ns)
{
    struct peer *p = peer_find(n, link);
    set_time(n, now_ns);
    (void)remote_addr;
    if (!p || !p->dialling)
        return;
    if (status)
        peer_remove(n, p, status);
    else
        peer_connected(n, p);
    settle(n);
}

void node_link_recv(struct node *n, link_id link, struct bytes in,
                    uint64_t now_ns)
{
    struct peer *p = peer_find(n, link);
    set_time(n, now_ns);
    if (!p)
        return;
    peer_recv(n, p, in);
    settle(n);
}

void node_link_closed(struct node *n, link_id link, enum status why,
                      uint64_t now_ns)
{
    struct peer *p = peer_find(n, link);
    set_time(n, now_ns);
    if (!p)
        return;
    peer_remove(n, p, why);
    settle(n);
}

size_t node_link_output(struct node *n, link_id link, uint8_t *buf, size_t cap,
                        uint64_t now_ns)
{
    struct peer *p = peer_find(n, link);
    assert(cap >= NODE_OUTPUT_MIN);
    set_time(n, now_ns);
    return p ? peer_output(n, p, buf, cap) : 0;
}

enum status node_add_peer(struct node *n, const char *addr, uint64_t now_ns)
{
    set_time(n, now_ns);
    enum status status = links_add(n->links, addr, LINKS_STATIC, NULL, now_ns);
    if (!status)
        settle(n);
    return status;
}

void node_peer_hint(struct node *n, const char *addr, uint64_t now_ns)
{
    set_time(n, now_ns);
    if (links_add(n->links, addr, LINKS_HINT, NULL, now_ns))
        return; /* no room for another hint: nothing is lost */
    settle(n);
}

/* ---- Time. ---- */

void node_tick(struct node *n, uint64_t now_ns)
{
    set_time(n, now_ns);
    for (size_t i = 0; i < n->peer_count; i++)
        peer_tick(n, n->peers[i]);
    transfer_tick(n->transfer, now_ns);
    settle(n);
}

uint64_t node_deadline_ns(const struct node *n)
{
    if (!n->started)
        return UINT64_MAX;
    uint64_t due = transfer_deadline_ns(n->transfer);
    for (size_t i = 0; i < n->peer_count; i++)
        due = node_earlier(due, peer_deadline_ns(n, n->peers[i]));
    due = node_earlier(due, links_deadline_ns(n->links));
    due = node_earlier(due, shelf_deadline_ns(n));
    return node_earlier(due, ledger_deadline_ns(n));
}

/* ---- Actions. ---- */

bool node_next_action(struct node *n, struct node_action *out)
{
    return outbox_next(&n->outbox, out);
}

void node_done(struct node *n, op_id op, const struct node_result *result,
               uint64_t now_ns)
{
    set_time(n, now_ns);
    if (!ledger_done(n, op, result->status) &&
        !shelf_done(n, op, result->status))
        (void)transfer_op_done(n->transfer, op, result, now_ns);
    settle(n);
}

/* ---- Requests. ---- */

enum status node_submit(struct node *n, struct bytes envelope, uint64_t now_ns,
                        op_id *op, struct diag *diag)
{
    set_time(n, now_ns);
    return ledger_submit(n, envelope, op, diag);
}

enum status node_add_version(struct node *n, const struct hash *version,
                             struct bytes manifest)
{
    enum status status = shelf_load_version(
        n, version, manifest, NODE_VERSION_COMPLETE, bytes_of(NULL, 0));
    settle(n);
    return status;
}

enum status node_add_update(struct node *n, struct bytes header)
{
    return transfer_hold_update(n->transfer, header, bytes_of(NULL, 0),
                                n->now_ns);
}

enum status node_want(struct node *n, const struct hash *version,
                      uint64_t now_ns)
{
    set_time(n, now_ns);
    enum status status = shelf_want(n, version);
    settle(n);
    return status;
}

void node_swept_version(struct node *n, const struct hash *version)
{
    shelf_swept(n, version);
    settle(n);
}

void node_swept_update(struct node *n, const struct hash *update)
{
    transfer_drop_update(n->transfer, update);
}

void node_heal(struct node *n, const struct hash *version, uint32_t block,
               uint64_t now_ns)
{
    set_time(n, now_ns);
    shelf_heal(n, version, block);
    settle(n);
}

/* ---- What is known. ---- */

const struct trust *node_trust(const struct node *n)
{
    return n->trust;
}

const uint8_t *node_id(const struct node *n)
{
    return n->id.b;
}

static void fill_version(const struct node *n, const struct shelf_version *v,
                         struct node_version_info *out)
{
    const struct shelf_model *m = shelf_model(&n->shelf, v->model);
    struct transfer_info info = {.why = ""};
    (void)transfer_info(n->transfer, &v->id, &info);
    *out = (struct node_version_info){
        .id = v->id,
        .tree = v->tree,
        .model = v->model,
        .state = v->complete ? NODE_VERSION_COMPLETE : info.state,
        .blocks_done = info.blocks_done,
        .blocks_total = info.blocks_total,
        .size = v->size,
        .running = m && m->has_running && hash_equal(&m->running, &v->id),
        .wanted = v->target || v->mirrored || v->asked,
        .why = v->complete ? "" : info.why,
    };
}

bool node_version_at(const struct node *n, size_t index,
                     struct node_version_info *out)
{
    if (index >= n->shelf.version_count)
        return false;
    fill_version(n, n->shelf.versions[index], out);
    return true;
}

bool node_version_get(const struct node *n, const struct hash *id,
                      struct node_version_info *out)
{
    const struct shelf_version *v = shelf_find(&n->shelf, id);
    if (!v)
        return false;
    fill_version(n, v, out);
    return true;
}

bool node_link_at(const struct node *n, size_t index,
                  struct node_link_info *out)
{
    if (index >= n->peer_count)
        return false;
    const struct peer *p = n->peers[index];
    const struct links_entry *entry = links_of(n->links, p->id);
    *out = (struct node_link_info){
        .link = p->id,
        .up = p->up && !p->closing,
        .outgoing = p->outgoing,
        .certified = p->certified,
        .addr = p->addr,
        .state = p->closing   ? "draining"
                 : p->session ? session_state_text(p->session)
                              : "dialling",
        .error = p->error[0] ? p->error
                 : entry     ? entry->error
                             : "",
        .up_since_ns = p->up_ns,
        .rtt_ns = p->rtt_ns,
        .bytes_in = p->bytes_in,
        .bytes_out = p->bytes_out,
        .data_in = p->data_in,
        .data_out = p->data_out,
        .equal = p->equal,
    };
    memcpy(out->peer, p->node.b, sizeof out->peer);
    return true;
}

bool node_dial_at(const struct node *n, size_t index,
                  struct node_dial_info *out)
{
    if (index >= links_count(n->links))
        return false;
    const struct links_entry *entry = links_at(n->links, index);
    *out = (struct node_dial_info){
        .addr = entry->addr,
        .error = entry->self ? "this node itself" : entry->error,
        .next_try_ns = entry->next_try_ns,
        .failures = entry->failures,
    };
    return true;
}

void node_counters(const struct node *n, struct node_counters *out)
{
    struct transfer_counters t;
    transfer_counters(n->transfer, &t);
    *out = n->counters;
    out->data_in = t.data_in;
    out->data_out = t.data_out;
    out->segments_in = t.segments_in;
    out->segments_out = t.segments_out;
    out->segments_twice = t.segments_twice;
    out->updates_made = t.updates_made;
}
