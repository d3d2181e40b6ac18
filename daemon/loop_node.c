/* Starting the node: its addresses, what the store holds of it, its fleet. */
#include "daemon/loop_parts.h"

#include "daemon/fs.h"
#include "daemon/net.h"
#include "daemon/udp.h"
#include "protocol/trust.h"
#include "store/record.h"
#include "store/update.h"

#include <net/if.h>
#include <stdlib.h>

/* ---- Addresses of this node. ---- */

static bool is_wildcard(const char *text)
{
    return !strncmp(text, "[::]:", 5) || !strncmp(text, "0.0.0.0:", 8);
}

static size_t interface_addresses(unsigned port, char out[][NODE_ADDR_MAX + 1],
                                  size_t max)
{
    uv_interface_address_t *list;
    int count;
    size_t used = 0;
    if (uv_interface_addresses(&list, &count))
        return 0;
    for (int i = 0; i < count && used < max; i++) {
        char host[64];
        const struct sockaddr *sa = (const struct sockaddr *)&list[i].address;
        const struct sockaddr_in6 *in6 = &list[i].address.address6;
        if (list[i].is_internal ||
            (sa->sa_family == AF_INET6 &&
             IN6_IS_ADDR_LINKLOCAL(&in6->sin6_addr)) ||
            uv_ip_name(sa, host, sizeof(host)))
            continue;
        snprintf(out[used++], NODE_ADDR_MAX + 1,
                 sa->sa_family == AF_INET6 ? "[%s]:%u" : "%s:%u", host, port);
    }
    uv_free_interface_addresses(list, count);
    return used;
}

size_t loop_addresses(const struct loop *loop,
                      char out[INVITE_ADDRESSES_MAX][NODE_ADDR_MAX + 1])
{
    const struct config_list *announce = &loop->config.announce;
    char bound[NODE_ADDR_MAX + 1], host[NODE_ADDR_MAX + 1];
    size_t count = 0;
    unsigned port;
    for (size_t i = 0; i < announce->count && count < INVITE_ADDRESSES_MAX;
         i++) {
        if (!config_split_address(announce->item[i], net_port(loop->net), host,
                                  sizeof(host), &port))
            continue;
        int n = snprintf(out[count], NODE_ADDR_MAX + 1,
                         strchr(host, ':') ? "[%s]:%u" : "%s:%u", host, port);
        count += n > 0 && n <= (int)NODE_ADDR_MAX;
    }
    if (count)
        return count;
    for (size_t i = 0;
         net_address(loop->net, i, bound) && count < INVITE_ADDRESSES_MAX; i++)
        if (is_wildcard(bound))
            count += interface_addresses(net_port(loop->net), out + count,
                                         INVITE_ADDRESSES_MAX - count);
        else
            memcpy(out[count++], bound, sizeof(bound));
    return count;
}

/* ---- Starting the node. ---- */

struct restore {
    struct loop *loop;
    struct store_txn *txn;
    enum status status;
};

static bool restore_record(void *ctx, const struct store_record *rec)
{
    struct restore *r = ctx;
    enum status status = node_load_record(r->loop->node, rec->envelope);
    if (status == STATUS_NO_MEMORY)
        r->status = status;
    else if (status)
        log_warn(&r->loop->log, "a stored record is damaged: %s",
                 status_text(status));
    return !r->status;
}

static enum node_version_state node_state(enum store_version_state state)
{
    switch (state) {
    case STORE_VERSION_COMPLETE:
    case STORE_VERSION_STAGED:
    case STORE_VERSION_RUNNING:
    case STORE_VERSION_PREVIOUS:
    case STORE_VERSION_TRIAL:
        return NODE_VERSION_COMPLETE;
    case STORE_VERSION_FETCHING:
        return NODE_VERSION_FETCHING;
    case STORE_VERSION_WANTED:
        return NODE_VERSION_WANTED;
    default:
        return NODE_VERSION_KNOWN;
    }
}

static bool restore_version(void *ctx, const struct store_version *version)
{
    struct restore *r = ctx;
    struct bytes manifest, bitmap = {NULL, 0};
    if (store_version_get_manifest(r->txn, &version->id, &manifest))
        return true;
    enum node_version_state state = node_state(version->state);
    size_t size = ((size_t)version->block_count + 7) / 8;
    uint8_t *bits = calloc(size + 1, 1);
    if (!bits)
        r->status = STATUS_NO_MEMORY;
    else if (state == NODE_VERSION_FETCHING &&
             !store_version_get_blocks(r->txn, &version->id, bits, size, NULL))
        bitmap = bytes_of(bits, size);
    if (!r->status) {
        enum status status = node_load_version(r->loop->node, &version->id,
                                               manifest, state, bitmap);
        if (status)
            log_warn(&r->loop->log, "a stored version of %s is not taken: %s",
                     version->model, status_text(status));
    }
    free(bits);
    return !r->status;
}

static bool restore_update(void *ctx, const struct store_update *update)
{
    struct restore *r = ctx;
    struct bytes header, bitmap = {NULL, 0};
    size_t size = ((size_t)update->segment_count + 7) / 8;
    if (store_update_get_header(r->txn, &update->id, &header))
        return true;
    uint8_t *bits = calloc(size + 1, 1);
    if (!bits)
        r->status = STATUS_NO_MEMORY;
    else if (!store_update_complete(update) &&
             !store_update_get_held(r->txn, &update->id, bits, size, NULL))
        bitmap = bytes_of(bits, size);
    if (!r->status) {
        enum status status = node_load_update(r->loop->node, header, bitmap);
        if (status)
            log_debug(&r->loop->log, "a stored update is not taken: %s",
                      status_text(status));
    }
    free(bits);
    return !r->status;
}

static bool restore_running(void *ctx, const char *model,
                            const struct hash *version, uint64_t n)
{
    struct restore *r = ctx;
    (void)n;
    enum status status = node_load_running(r->loop->node, model, version);
    if (status)
        log_warn(&r->loop->log, "%s: what runs is not known any more: %s",
                 model, status_text(status));
    return true;
}

static enum status restore_all(struct loop *loop, struct diag *diag)
{
    struct store_txn txn;
    struct restore r = {.loop = loop, .txn = &txn};
    enum status status = store_txn_begin(&txn, loop->env, STORE_TXN_READ, diag);
    if (status)
        return status;
    status = store_record_each(&txn, restore_record, &r);
    if (!status && !r.status)
        status = store_version_each(&txn, restore_version, &r);
    if (!status && !r.status)
        status = store_update_each(&txn, restore_update, &r);
    if (!status && !r.status)
        status = activate_each_running(&txn, restore_running, &r);
    store_txn_abort(&txn);
    return status ? status : r.status;
}

/* Texts that node_config borrows. */
struct node_texts {
    char address[INVITE_ADDRESSES_MAX][NODE_ADDR_MAX + 1];
    const char *listen[INVITE_ADDRESSES_MAX];
    const char *peers[CONFIG_LIST_MAX + INVITE_ADDRESSES_MAX];
};

static void fill_config(struct loop *loop, struct node_config *config,
                        struct node_texts *texts)
{
    const struct config *c = &loop->config;
    size_t peers = 0;
    *config = (struct node_config){
        .key = loop->identity.key,
        .fleet = loop->fleet.fleet,
        .psk_count = loop->fleet.secret_count,
        .rng = loop->rng,
        .uptime_ns = loop_uptime_s(loop) * 1000000000u,
        .listen_count = loop_addresses(loop, texts->address),
        .labels = (const char *const *)c->label.item,
        .label_count = c->label.count,
        .mirror = (const char *const *)c->mirror.item,
        .mirror_count = c->mirror.count,
        .software = LOOP_SOFTWARE,
        .dial_max = c->links_out,
        .accept_max = c->links_in,
        .rate_bytes_s = c->rate_bytes_s,
    };
    for (unsigned i = 0; i < loop->fleet.secret_count; i++)
        memcpy(config->psk[i], loop->fleet.secret[i].b, 32);
    for (size_t i = 0; i < c->peer.count; i++)
        texts->peers[peers++] = c->peer.item[i];
    for (size_t i = 0; i < loop->fleet.address_count; i++)
        texts->peers[peers++] = loop->fleet.address[i];
    for (size_t i = 0; i < config->listen_count; i++)
        texts->listen[i] = texts->address[i];
    config->peers = texts->peers;
    config->peer_count = peers;
    config->listen = texts->listen;
}

static enum status start_node(struct loop *loop, struct diag *diag)
{
    struct node_config config;
    struct node_texts *texts = calloc(1, sizeof(*texts));
    if (!texts)
        return STATUS_NO_MEMORY;
    fill_config(loop, &config, texts);
    enum status status = node_new(&config, &loop->node);
    crypto_wipe(&config, sizeof(config));
    free(texts);
    if (!status)
        status = restore_all(loop, diag);
    if (!status)
        status = node_start(loop->node, uv_hrtime());
    if (!status)
        status = net_listen(loop->net, diag);
    if (status) {
        node_free(loop->node);
        loop->node = NULL;
        return diag_fail(diag, status, "the node cannot start: %s",
                         status_text(status));
    }
    loop->joined = true;
    struct node_version_info info;
    for (size_t i = 0; node_version_at(loop->node, i, &info); i++)
        if (info.running)
            loop_submit_shallow(loop, &info.id);
    udp_start(loop->udp);
    loop_drain(loop);
    return STATUS_OK;
}

/* Another invite of the same fleet: its addresses are tried too, the oldest
 * make room. */
static enum status add_addresses(struct loop *loop,
                                 const struct fleet_file *fleet,
                                 struct diag *diag)
{
    struct fleet_file *have = &loop->fleet;
    for (size_t i = 0; i < fleet->address_count; i++) {
        const char *addr = fleet->address[i];
        bool known = false;
        for (size_t k = 0; k < have->address_count; k++)
            known |= !strcmp(have->address[k], addr);
        if (known)
            continue;
        if (have->address_count == INVITE_ADDRESSES_MAX) {
            memmove(have->address[0], have->address[1],
                    (INVITE_ADDRESSES_MAX - 1) * sizeof(have->address[0]));
            have->address_count--;
        }
        memcpy(have->address[have->address_count++], addr,
               sizeof(have->address[0]));
        if (node_add_peer(loop->node, addr, uv_hrtime()))
            return diag_fail(diag, STATUS_LIMIT, "no room for another address");
    }
    loop_drain(loop);
    enum status status = fleet_file_write(loop->config.state_dir, have);
    if (status)
        diag_fail(diag, status, "%s/fleet cannot be written: %s",
                  loop->config.state_dir, status_text(status));
    return status;
}

enum status loop_join(struct loop *loop, const struct fleet_file *fleet,
                      struct diag *diag)
{
    if (loop->joined && !hash_equal(&loop->fleet.fleet, &fleet->fleet))
        return diag_fail(diag, STATUS_REFUSED,
                         "this node belongs to another fleet already");
    if (loop->joined)
        return add_addresses(loop, fleet, diag);
    enum status status = fleet_file_write(loop->config.state_dir, fleet);
    if (status)
        return diag_fail(diag, status, "%s/fleet cannot be written: %s",
                         loop->config.state_dir, status_text(status));
    loop->fleet = *fleet;
    return start_node(loop, diag);
}

/* ---- The fleet. ---- */

/* The join file or the credential of the service manager, at the first start
 * only. Neither is a failure: the node can still be joined by hand. */
static void read_join_file(struct loop *loop, struct fleet_file *out,
                           bool *found)
{
    char path[PATH_MAX] = "", *text = NULL;
    size_t size;
    struct invite invite;
    struct diag diag = {""};
    const char *dir = getenv("CREDENTIALS_DIRECTORY");
    *found = false;
    if (loop->config.join_file)
        snprintf(path, sizeof(path), "%s", loop->config.join_file);
    else if (dir)
        snprintf(path, sizeof(path), "%s/deltamesh.join", dir);
    if (!path[0])
        return;
    enum status status = fs_read(path, INVITE_LINE_MAX, &text, &size);
    if (status == STATUS_NOT_FOUND)
        return;
    if (!status)
        status = invite_read(text, &invite, &diag);
    if (text)
        crypto_wipe(text, size);
    free(text);
    if (status) {
        log_error(&loop->log, "%s: %s", path,
                  diag.text[0] ? diag.text : status_text(status));
        return;
    }
    memset(out, 0, sizeof(*out));
    out->fleet = invite.fleet;
    out->secret[0] = invite.secret;
    out->secret_count = 1;
    out->address_count = invite.address_count;
    memcpy(out->address, invite.address, sizeof(out->address));
    crypto_wipe(&invite, sizeof(invite));
    *found = true;
}

enum status loop_open_fleet(struct loop *loop, struct diag *diag)
{
    enum status status =
        fleet_file_read(loop->config.state_dir, &loop->fleet, diag);
    if (!status)
        return start_node(loop, diag);
    if (status != STATUS_NOT_FOUND)
        return status;
    struct fleet_file fleet;
    bool found;
    read_join_file(loop, &fleet, &found);
    if (found)
        return loop_join(loop, &fleet, diag);
    log_info(&loop->log, "not joined: run deltamesh join");
    return STATUS_OK;
}
