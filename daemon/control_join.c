/* Init, Invite, Join, Gc, Reload and Metrics. */
#include "daemon/control.h"

#include "daemon/metrics.h"
#include "protocol/trust.h"
#include "store/usage.h"

#include <stdlib.h>

/* Base64 parameter of any size; an error is sent when it is none. */
static uint8_t *call_bytes(struct call *call, const char *name, size_t *size)
{
    uint8_t *bytes = NULL;
    const char *text = call_text(call, name);
    if (!text)
        return NULL;
    enum status status = crypto_from_base64(text, &bytes, size);
    if (!status)
        return bytes;
    call_error(call, "Usage", name, NULL, "%s is no base64", name);
    return NULL;
}

/* ---- Init. ---- */

static void init_reply(struct call *call)
{
    struct loop *loop = call->loop;
    struct node_id id = crypto_sign_key_id(&loop->identity.key);
    call_reply(call, json_pack("{s:o, s:o}", "fleet",
                               control_id_json(loop->fleet.fleet.b), "node",
                               control_id_json(id.b)));
}

static void init_stored(void *ctx, enum status status)
{
    struct call *call = ctx;
    if (status)
        call_fail(call, status, NULL, "");
    else
        init_reply(call);
}

/* The first fleet record is judged by the core like any other; a wrong one
 * must not leave a fleet behind, so it is looked at before. */
static enum status check_record(struct bytes envelope, struct hash *fleet,
                                struct diag *diag)
{
    struct trust *t = NULL;
    struct trust_verdict verdict;
    enum status status = trust_new(NULL, &t);
    if (!status)
        status = trust_consider(t, envelope, &verdict);
    if (!status) {
        *fleet = verdict.hash;
        if (!trust_accepted(&verdict))
            status = diag_fail(
                diag, verdict.status ? verdict.status : STATUS_REFUSED,
                "the fleet record is refused: %.180s", verdict.diag.text);
        trust_verdict_deinit(&verdict);
    }
    trust_free(t);
    return status;
}

static void init_with(struct call *call, struct bytes envelope,
                      const uint8_t *secret)
{
    struct loop *loop = call->loop;
    struct diag diag = {""};
    struct fleet_file *fleet = calloc(1, sizeof(*fleet));
    op_id op = 0;
    if (!fleet) {
        call_fail(call, STATUS_NO_MEMORY, NULL, "");
        return;
    }
    enum status status = check_record(envelope, &fleet->fleet, &diag);
    memcpy(fleet->secret[0].b, secret, CRYPTO_SECRET_BYTES);
    fleet->secret_count = 1;
    if (!status)
        status = loop_join(loop, fleet, &diag);
    crypto_wipe(fleet, sizeof(*fleet));
    free(fleet);
    if (!status)
        status = node_submit(loop->node, envelope, uv_hrtime(), &op, &diag);
    if (status)
        call_fail(call, status, &diag, "");
    else if (!op)
        init_reply(call);
    else
        loop_wait_op(loop, op, init_stored, call);
    loop_drain(loop);
}

void control_init(struct call *call)
{
    size_t size, secret_size;
    uint8_t *record, *secret;
    if (call->loop->node) {
        call_error(call, "Failed", call->loop->config.state_dir, NULL,
                   "this node belongs to a fleet already");
        return;
    }
    if (!(record = call_bytes(call, "record", &size)))
        return;
    secret = call_bytes(call, "secret", &secret_size);
    if (secret && secret_size != CRYPTO_SECRET_BYTES)
        call_error(call, "Usage", "secret", NULL, "secret is not 32 bytes");
    else if (secret)
        init_with(call, bytes_of(record, size), secret);
    if (secret)
        crypto_wipe(secret, secret_size);
    free(secret);
    free(record);
}

/* ---- Invite. ---- */

static bool take_addresses(struct call *call, struct invite *invite)
{
    json_t *list = json_object_get(call->params, "addresses"), *one;
    size_t i;
    json_array_foreach(list, i, one)
    {
        const char *text = json_string_value(one);
        if (!text || strlen(text) > NODE_ADDR_MAX ||
            invite->address_count == INVITE_ADDRESSES_MAX) {
            call_error(call, "Usage", "addresses", NULL,
                       "at most %u addresses HOST:PORT", INVITE_ADDRESSES_MAX);
            return false;
        }
        strcpy(invite->address[invite->address_count++], text);
    }
    if (!invite->address_count)
        invite->address_count = loop_addresses(call->loop, invite->address);
    return true;
}

void control_invite(struct call *call)
{
    struct invite *invite = calloc(1, sizeof(*invite));
    struct diag diag = {""};
    char *line = NULL;
    if (!invite) {
        call_fail(call, STATUS_NO_MEMORY, NULL, "");
        return;
    }
    if (!call_joined(call) || !take_addresses(call, invite)) {
        free(invite);
        return;
    }
    invite->fleet = call->loop->fleet.fleet;
    invite->secret = call->loop->fleet.secret[0];
    enum status status = invite_write(invite, &line, &diag);
    json_t *addresses = json_array();
    for (size_t i = 0; i < invite->address_count; i++)
        json_array_append_new(addresses, json_string(invite->address[i]));
    crypto_wipe(invite, sizeof(*invite));
    free(invite);
    if (status) {
        json_decref(addresses);
        call_fail(call, status, &diag, "");
        return;
    }
    call_reply(call,
               json_pack("{s:s, s:o}", "invite", line, "addresses", addresses));
    crypto_wipe(line, strlen(line));
    free(line);
}

/* ---- Join. ---- */

static bool is_joined(const struct loop *loop)
{
    return trust_fleet(node_trust(loop->node), NULL) && control_links_up(loop);
}

static json_t *join_state(struct loop *loop, bool joined)
{
    const struct body_fleet *fleet = trust_fleet(node_trust(loop->node), NULL);
    return json_pack("{s:s, s:o, s:o, s:o}", "state",
                     joined ? "joined" : "trying", "fleet",
                     control_id_json(loop->fleet.fleet.b), "fleet_name",
                     fleet ? control_text_json(fleet->name) : json_string(""),
                     "dials", control_dials(loop));
}

/* Tells only what is new: the client shows each reply. */
static void join_progress(struct call *call)
{
    json_t *last = call->state, *dials;
    if (is_joined(call->loop)) {
        call_reply(call, join_state(call->loop, true));
        return;
    }
    dials = json_array();
    json_t *all = control_dials(call->loop), *one;
    size_t i;
    json_array_foreach(all, i, one)
        json_array_append(dials, json_object_get(one, "error"));
    json_decref(all);
    if (last && json_equal(last, dials)) {
        json_decref(dials);
        return;
    }
    json_decref(last);
    call->state = dials;
    call_continue(call, join_state(call->loop, false));
}

static void join_end(struct call *call)
{
    json_decref(call->state);
}

static void join_by(struct call *call, const struct invite *invite)
{
    struct loop *loop = call->loop;
    struct diag diag = {""};
    struct fleet_file *fleet = calloc(1, sizeof(*fleet));
    if (!fleet) {
        call_fail(call, STATUS_NO_MEMORY, NULL, "");
        return;
    }
    fleet->fleet = invite->fleet;
    fleet->secret[0] = invite->secret;
    fleet->secret_count = 1;
    fleet->address_count = invite->address_count;
    memcpy(fleet->address, invite->address, sizeof(fleet->address));
    enum status status = loop_join(loop, fleet, &diag);
    crypto_wipe(fleet, sizeof(*fleet));
    free(fleet);
    if (status) {
        call_fail(call, status, &diag, loop->config.state_dir);
    } else if (call->more) {
        call->end = join_end;
        call_progress(call, join_progress);
    } else {
        call_reply(call, join_state(loop, is_joined(loop)));
    }
}

void control_join(struct call *call)
{
    const char *line = call_text(call, "invite");
    struct diag diag = {""};
    if (!line)
        return;
    struct invite *invite = malloc(sizeof(*invite));
    enum status status =
        invite ? invite_read(line, invite, &diag) : STATUS_NO_MEMORY;
    if (status)
        call_fail(call, status, &diag, "");
    else
        join_by(call, invite);
    if (invite)
        crypto_wipe(invite, sizeof(*invite));
    free(invite);
}

/* ---- Gc, Reload, Metrics. ---- */

static void gc_reply(void *ctx, struct loop_gc *gc)
{
    struct call *call = ctx;
    json_t *versions = json_array(), *updates = json_array();
    for (size_t i = 0; i < gc->item_count; i++)
        json_array_append_new(gc->items[i].kind == STORE_GC_VERSION ? versions
                                                                    : updates,
                              control_hash_json(&gc->items[i].id));
    struct store_txn txn;
    uint64_t used = 0;
    if (!store_txn_begin(&txn, gc->loop->env, STORE_TXN_READ, NULL)) {
        if (store_usage_total(&txn, &used))
            used = 0;
        store_txn_abort(&txn);
    }
    if (gc->status) {
        json_decref(versions);
        json_decref(updates);
        if (call_alive(call))
            call_fail(call, gc->status, &gc->diag, "");
    } else {
        json_t *reply =
            json_pack("{s:o, s:o, s:I, s:I}", "versions", versions, "updates",
                      updates, "freed_bytes", (json_int_t)gc->freed_bytes,
                      "used_bytes", (json_int_t)used);
        if (call_alive(call))
            call_reply(call, reply);
        else
            json_decref(reply);
    }
    call_unref(call);
}

void control_gc(struct call *call)
{
    bool dry_run = json_is_true(json_object_get(call->params, "dry_run"));
    if (!call_joined(call))
        return;
    call_ref(call);
    enum status status = loop_gc(call->loop, dry_run, gc_reply, call);
    if (status) {
        call_fail(call, status, NULL, "");
        call_unref(call);
    }
}

void control_reload(struct call *call)
{
    char restart[512];
    struct diag diag = {""};
    enum status status =
        loop_reload(call->loop, restart, sizeof(restart), &diag);
    if (status) {
        call_fail(call, status, &diag, "");
        return;
    }
    json_t *list = json_array();
    for (char *save, *word = strtok_r(restart, " ", &save); word;
         word = strtok_r(NULL, " ", &save))
        json_array_append_new(list, json_string(word));
    call_reply(call, json_pack("{s:o}", "restart", list));
}

void control_metrics(struct call *call)
{
    char *text = metrics_text(call->loop);
    if (!text) {
        call_fail(call, STATUS_NO_MEMORY, NULL, "");
        return;
    }
    call_reply(call, json_pack("{s:s}", "text", text));
    free(text);
}
