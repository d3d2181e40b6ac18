/* What the daemon knows, as JSON: Status, Versions, Show, Peers, Fleet. */
#include "daemon/control.h"

#include "daemon/net.h"
#include "protocol/name.h"
#include "protocol/trust.h"
#include "store/update.h"
#include "store/usage.h"

#include <stdlib.h>
#include <unistd.h>

/* ---- Small values. ---- */

json_t *control_hash_json(const struct hash *hash)
{
    char hex[HASH_HEX_SIZE];
    hash_hex(hash, hex);
    return json_string(hex);
}

json_t *control_id_json(const uint8_t id[32])
{
    struct hash hash;
    memcpy(hash.b, id, sizeof(hash.b));
    return control_hash_json(&hash);
}

json_t *control_text_json(struct bytes text)
{
    json_t *json = json_stringn((const char *)text.data, text.size);
    return json ? json : json_string("");
}

static json_t *optional_id(bool has, const uint8_t id[32])
{
    return has ? control_id_json(id) : json_string("");
}

static double seconds_since(uint64_t ns)
{
    uint64_t now = uv_hrtime();
    return ns && now > ns ? (double)(now - ns) / 1e9 : 0;
}

/* ---- Channels. ---- */

#define CHANNELS_MAX 64u

/* Names of channels, each once. Views hold until the next commit. */
static size_t channel_names(const struct trust *t, struct bytes *out)
{
    struct body_channel *body = malloc(sizeof(*body));
    const struct slot_entry *entry;
    size_t cursor = 0, count = 0;
    bool supported;
    const struct bytes all = {NULL, 0};
    while (body && count < CHANNELS_MAX &&
           trust_channel_next(t, &cursor, all, &entry, body, &supported)) {
        bool seen = false;
        for (size_t i = 0; i < count; i++)
            seen = seen || bytes_equal(out[i], entry->name);
        if (!seen)
            out[count++] = entry->name;
    }
    free(body);
    return count;
}

/* Channels by which a node should run this version; names only those that
 * name it for this node. */
static json_t *channels_of(struct loop *loop, const char *model,
                           const struct hash *id)
{
    const struct trust *t = node_trust(loop->node);
    struct bytes names[CHANNELS_MAX];
    struct node_id self;
    struct body_cert cert;
    json_t *out = json_array();
    memcpy(self.b, node_id(loop->node), sizeof(self.b));
    (void)trust_node(t, &self, &cert);
    size_t count = channel_names(t, names);
    for (size_t i = 0; i < count; i++) {
        struct hash target;
        if (!trust_target(t, names[i], bytes_of_text(model), &self,
                          &cert.labels, &target, NULL) &&
            hash_equal(&target, id))
            json_array_append_new(out, control_text_json(names[i]));
    }
    return out;
}

/* ---- Versions. ---- */

static const char *state_name(enum node_version_state state)
{
    static const char *const names[] = {"known", "wanted", "fetching",
                                        "complete"};
    return names[(unsigned)state & 3];
}

/* What its record says, when there is one. */
struct facts {
    bool known;
    struct trust_version v;
    bool head, siblings;
};

static struct facts *facts_new(struct loop *loop, const struct hash *id)
{
    const struct trust *t = node_trust(loop->node);
    struct facts *f = calloc(1, sizeof(*f));
    if (!f)
        return NULL;
    f->known = !trust_version_get(t, id, &f->v);
    if (!f->known)
        return f;
    f->head = f->v.startable && trust_version_is_head(t, &f->v);
    struct trust_version *latest = malloc(sizeof(*latest));
    f->siblings =
        f->head && latest &&
        trust_version_latest(t, f->v.model, latest, NULL) == STATUS_AMBIGUOUS;
    free(latest);
    return f;
}

static json_t *place_of(struct loop *loop, const char *model,
                        const struct hash *id)
{
    struct store_txn txn;
    struct hash running;
    uint64_t n;
    char dir[PATH_MAX];
    if (store_txn_begin(&txn, loop->env, STORE_TXN_READ, NULL))
        return json_null();
    enum status status = activate_running(&txn, model, &running, &n);
    store_txn_abort(&txn);
    if (status || !hash_equal(&running, id) ||
        activate_dir(&loop->places, model, n, dir))
        return json_null();
    return json_string(dir);
}

json_t *control_version_json(struct loop *loop, const struct hash *id)
{
    struct node_version_info info = {.model = "", .why = ""};
    char model[STORE_NAME_MAX + 1] = "", why[256] = "";
    bool here = node_version_get(loop->node, id, &info);
    struct facts *f = facts_new(loop, id);
    if (!f || (!here && !f->known)) {
        free(f);
        return NULL;
    }
    if (here) {
        snprintf(model, sizeof(model), "%s", info.model ? info.model : "");
        snprintf(why, sizeof(why), "%s", info.why ? info.why : "");
    } else {
        snprintf(model, sizeof(model), "%.*s", (int)f->v.model.size,
                 (const char *)f->v.model.data);
        info.size = f->v.body.size;
    }
    if (here && f->known && !info.size)
        info.size = f->v.body.size;
    bool complete = here && info.state == NODE_VERSION_COMPLETE;
    json_t *out = json_pack(
        "{s:o, s:s, s:o, s:I, s:I, s:s, s:I, s:I, s:b, s:b, s:b, s:b, s:b, "
        "s:o, s:o, s:s}",
        "id", control_hash_json(id), "model", model, "role",
        f->known ? control_text_json(f->v.author) : json_string(""), "n",
        (json_int_t)(f->known ? f->v.n : 0), "size", (json_int_t)info.size,
        "state", here ? state_name(info.state) : "known", "blocks_done",
        (json_int_t)(complete ? info.blocks_total : info.blocks_done),
        "blocks_total", (json_int_t)info.blocks_total, "held", complete,
        "running", here && info.running, "latest", f->head, "siblings",
        f->siblings, "retired", f->known && !f->v.startable, "channels",
        channels_of(loop, model, id), "place",
        info.running ? place_of(loop, model, id) : json_null(), "why", why);
    free(f);
    return out;
}

static bool id_listed(const json_t *list, const struct hash *id)
{
    char hex[HASH_HEX_SIZE];
    size_t i;
    json_t *version;
    hash_hex(id, hex);
    json_array_foreach(list, i, version)
    {
        if (!strcmp(json_string_value(json_object_get(version, "id")), hex))
            return true;
    }
    return false;
}

/* By model, then counter, newest first. */
static int compare_versions(const void *a, const void *b)
{
    const json_t *x = *(json_t *const *)a, *y = *(json_t *const *)b;
    int by_model = strcmp(json_string_value(json_object_get(x, "model")),
                          json_string_value(json_object_get(y, "model")));
    json_int_t n = json_integer_value(json_object_get(x, "n"));
    json_int_t m = json_integer_value(json_object_get(y, "n"));
    if (by_model)
        return by_model;
    return n > m ? -1 : n < m;
}

static json_t *sorted(json_t *list)
{
    size_t count = json_array_size(list);
    json_t **items = calloc(count + 1, sizeof(*items));
    json_t *out = json_array();
    if (!items)
        return list;
    for (size_t i = 0; i < count; i++)
        items[i] = json_array_get(list, i);
    qsort(items, count, sizeof(*items), compare_versions);
    for (size_t i = 0; i < count; i++)
        json_array_append(out, items[i]);
    free(items);
    json_decref(list);
    return out;
}

/* All that records name and all that is here. model NULL: of all models. */
static json_t *versions_json(struct loop *loop, const char *model)
{
    json_t *out = json_array();
    struct node_version_info info;
    struct trust_version *v = malloc(sizeof(*v));
    size_t cursor = 0;
    struct bytes of = model ? bytes_of_text(model) : (struct bytes){NULL, 0};
    while (v && loop->node &&
           trust_version_next(node_trust(loop->node), &cursor, of, v)) {
        struct hash id = v->body.id;
        json_t *one = control_version_json(loop, &id);
        if (one)
            json_array_append_new(out, one);
    }
    free(v);
    for (size_t i = 0; loop->node && node_version_at(loop->node, i, &info);
         i++) {
        struct hash id = info.id;
        if ((model && strcmp(info.model, model)) || id_listed(out, &id))
            continue;
        json_t *one = control_version_json(loop, &id);
        if (one)
            json_array_append_new(out, one);
    }
    return sorted(out);
}

void control_versions(struct call *call)
{
    const char *model = NULL;
    if (!call_joined(call))
        return;
    if (call_has(call, "model") && !(model = call_text(call, "model")))
        return;
    json_t *list = versions_json(call->loop, model);
    if (model && !json_array_size(list)) {
        json_decref(list);
        call_error(call, "NotFound", model, "deltamesh versions",
                   "no version of %s is known", model);
        return;
    }
    call_reply(call, json_pack("{s:o}", "versions", list));
}

/* ---- Names of versions. ---- */

struct find {
    struct loop *loop;
    struct hash id;
    size_t count;
    char list[256]; /* of those that match */
};

static void find_note(struct find *find, const struct hash *id)
{
    char hex[HASH_HEX_SIZE];
    size_t used = strlen(find->list);
    if (find->count && hash_equal(&find->id, id))
        return;
    hash_hex(id, hex);
    snprintf(find->list + used, sizeof(find->list) - used, "%s%.16s",
             used ? ", " : "", hex);
    find->id = *id;
    find->count++;
}

static void find_prefix(struct find *find, const char *prefix)
{
    struct trust_version *v = malloc(sizeof(*v));
    struct node_version_info info;
    char hex[HASH_HEX_SIZE];
    const struct bytes all = {NULL, 0};
    size_t cursor = 0, size = strlen(prefix);
    while (v &&
           trust_version_next(node_trust(find->loop->node), &cursor, all, v)) {
        hash_hex(&v->body.id, hex);
        if (!strncmp(hex, prefix, size))
            find_note(find, &v->body.id);
    }
    free(v);
    if (find->count)
        return; /* what is here and has a record was seen already */
    for (size_t i = 0; node_version_at(find->loop->node, i, &info); i++) {
        hash_hex(&info.id, hex);
        if (!strncmp(hex, prefix, size))
            find_note(find, &info.id);
    }
}

static void find_counter(struct find *find, struct bytes model,
                         const char *digits)
{
    struct trust_version *v = malloc(sizeof(*v));
    size_t cursor = 0;
    uint64_t n;
    if (name_to_number(bytes_of_text(digits), &n))
        while (v && trust_version_next(node_trust(find->loop->node), &cursor,
                                       model, v))
            if (v->n == n)
                find_note(find, &v->body.id);
    free(v);
}

static void find_running(struct find *find, struct bytes model)
{
    struct node_version_info info;
    for (size_t i = 0; node_version_at(find->loop->node, i, &info); i++)
        if (info.running && bytes_equal(bytes_of_text(info.model), model))
            find_note(find, &info.id);
}

static void find_heads(struct find *find, struct bytes model)
{
    const struct trust *t = node_trust(find->loop->node);
    struct trust_version *v = malloc(sizeof(*v));
    size_t cursor = 0;
    while (v && trust_version_next(t, &cursor, model, v))
        if (v->startable && trust_version_is_head(t, v))
            find_note(find, &v->body.id);
    free(v);
}

static void find_channel(struct find *find, struct bytes model,
                         const char *channel, struct diag *diag)
{
    const struct trust *t = node_trust(find->loop->node);
    struct node_id self;
    struct body_cert cert;
    struct hash id;
    memcpy(self.b, node_id(find->loop->node), sizeof(self.b));
    (void)trust_node(t, &self, &cert);
    enum status status = trust_target(t, bytes_of_text(channel), model, &self,
                                      &cert.labels, &id, diag);
    if (!status || status == STATUS_REFUSED)
        find_note(find, &id);
}

bool control_find_version(struct call *call, const char *name, struct hash *out)
{
    struct find find = {.loop = call->loop};
    struct diag diag = {""};
    const char *at = strrchr(name, '@'), *sharp = strrchr(name, '#');
    struct bytes model = bytes_of(name, 0);
    if (at) {
        model.size = (size_t)(at - name);
        if (!strcmp(at + 1, "latest"))
            find_heads(&find, model);
        else if (!strcmp(at + 1, "running"))
            find_running(&find, model);
        else
            find_channel(&find, model, at + 1, &diag);
    } else if (sharp) {
        model.size = (size_t)(sharp - name);
        find_counter(&find, model, sharp + 1);
    } else if (strlen(name) >= 4) {
        find_prefix(&find, name);
    }
    if (find.count == 1) {
        *out = find.id;
        return true;
    }
    if (find.count)
        call_error(call, "Ambiguous", name, "name one by its id",
                   "%zu versions are meant by %s: %s", find.count, name,
                   find.list);
    else
        call_error(call, "NotFound", name, "deltamesh versions",
                   "no version is known by the name %s%s%s", name,
                   diag.text[0] ? ": " : "", diag.text);
    return false;
}

/* ---- Show. ---- */

struct show_updates {
    json_t *list;
};

static bool show_update(void *ctx, const struct store_update *update)
{
    struct show_updates *show = ctx;
    json_array_append_new(
        show->list,
        json_pack("{s:o, s:o, s:I, s:I, s:I}", "id",
                  control_hash_json(&update->id), "base",
                  update->has_base ? control_hash_json(&update->base)
                                   : json_null(),
                  "bytes", (json_int_t)update->coded_size, "segments_held",
                  (json_int_t)update->held_count, "segments_total",
                  (json_int_t)update->segment_count));
    return true;
}

static void show_manifest(const struct manifest *m, json_t *files, json_t *meta)
{
    for (size_t i = 0; i < m->file_count; i++)
        json_array_append_new(
            files, json_pack("{s:o, s:I, s:I}", "path",
                             control_text_json(m->files[i].path), "size",
                             (json_int_t)m->files[i].length, "offset",
                             (json_int_t)m->files[i].offset));
    for (size_t i = 0; i < m->meta_count; i++) {
        char key[129];
        size_t size = m->meta[i].key.size;
        if (size >= sizeof(key))
            continue;
        memcpy(key, m->meta[i].key.data, size);
        key[size] = '\0';
        json_object_set_new(meta, key, control_text_json(m->meta[i].value));
    }
}

/* Parts that come from the store. tree: which updates are shown. */
static enum status show_stored(struct loop *loop, const struct hash *id,
                               const struct hash *tree, json_t *files,
                               json_t *meta, json_t *updates)
{
    struct store_txn txn;
    struct show_updates show = {updates};
    uint8_t *bytes;
    size_t size;
    struct manifest *m = malloc(sizeof(*m));
    enum status status =
        m ? store_txn_begin(&txn, loop->env, STORE_TXN_READ, NULL)
          : STATUS_NO_MEMORY;
    if (status) {
        free(m);
        return status;
    }
    if (!content_manifest(&txn, id, &bytes, &size, m)) {
        show_manifest(m, files, meta);
        free(bytes);
    }
    status = store_update_each_to(&txn, tree, show_update, &show);
    store_txn_abort(&txn);
    free(m);
    return status;
}

static json_t *id_list(struct bytes list)
{
    json_t *out = json_array();
    for (size_t i = 0; i < body_list_count(list); i++)
        json_array_append_new(out, control_hash_json(body_list_hash(list, i)));
    return out;
}

void control_show(struct call *call)
{
    struct hash id, tree;
    struct tree_shape shape = {0};
    const char *name = NULL;
    if (!call_joined(call) || !(name = call_text(call, "version")) ||
        !control_find_version(call, name, &id))
        return;
    struct facts *f = facts_new(call->loop, &id);
    struct node_version_info info;
    bool here = node_version_get(call->loop->node, &id, &info);
    memset(&tree, 0, sizeof(tree));
    if (f && f->known)
        tree = f->v.body.tree;
    else if (here)
        tree = info.tree;
    uint64_t size = f && f->known ? f->v.body.size : here ? info.size : 0;
    enum status status = tree_shape_of(size, &shape);
    json_t *files = json_array(), *meta = json_object(),
           *updates = json_array();
    if (!status)
        status = show_stored(call->loop, &id, &tree, files, meta, updates);
    json_t *reply = json_pack(
        "{s:o, s:o, s:I, s:I, s:o, s:o, s:o, s:o}", "version",
        control_version_json(call->loop, &id), "tree", control_hash_json(&tree),
        "block_size", (json_int_t)1 << shape.block_log, "floor",
        (json_int_t)(f && f->known ? f->v.body.floor : 0), "parents",
        f && f->known ? id_list(f->v.body.parents) : json_array(), "files",
        files, "meta", meta, "updates", updates);
    free(f);
    if (status) {
        json_decref(reply);
        call_fail(call, status, NULL, name);
    } else {
        call_reply(call, reply);
    }
}

/* ---- Peers. ---- */

unsigned control_links_up(const struct loop *loop)
{
    struct node_link_info info;
    unsigned up = 0;
    for (size_t i = 0; loop->node && node_link_at(loop->node, i, &info); i++)
        up += info.up;
    return up;
}

static json_t *links_json(struct loop *loop)
{
    json_t *out = json_array();
    struct node_link_info info;
    static const uint8_t none[32];
    for (size_t i = 0; loop->node && node_link_at(loop->node, i, &info); i++)
        json_array_append_new(
            out,
            json_pack(
                "{s:o, s:s, s:s, s:b, s:b, s:b, s:f, s:f, s:I, s:I, s:I, s:I, "
                "s:s}",
                "node",
                optional_id(memcmp(info.peer, none, 32) != 0, info.peer),
                "addr", info.addr ? info.addr : "", "state",
                info.state ? info.state : "", "outgoing", info.outgoing,
                "certified", info.certified, "equal", info.equal, "up_s",
                info.up ? seconds_since(info.up_since_ns) : 0.0, "rtt_ms",
                (double)info.rtt_ns / 1e6, "bytes_in",
                (json_int_t)info.bytes_in, "bytes_out",
                (json_int_t)info.bytes_out, "data_in", (json_int_t)info.data_in,
                "data_out", (json_int_t)info.data_out, "error",
                info.error ? info.error : ""));
    return out;
}

json_t *control_dials(struct loop *loop)
{
    json_t *out = json_array();
    struct node_dial_info info;
    uint64_t now = uv_hrtime();
    for (size_t i = 0; loop->node && node_dial_at(loop->node, i, &info); i++) {
        double next = info.next_try_ns > now && info.next_try_ns != UINT64_MAX
                          ? (double)(info.next_try_ns - now) / 1e9
                          : 0;
        json_array_append_new(
            out, json_pack("{s:s, s:s, s:i, s:f}", "addr", info.addr, "error",
                           info.error ? info.error : "", "failures",
                           (int)info.failures, "next_try_s", next));
    }
    return out;
}

void control_peers(struct call *call)
{
    if (!call_joined(call))
        return;
    call_reply(call, json_pack("{s:o, s:o}", "links", links_json(call->loop),
                               "dials", control_dials(call->loop)));
}

/* ---- Status. ---- */

static void add_problem(json_t *list, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

static void add_problem(json_t *list, const char *fmt, ...)
{
    char text[512];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    json_array_append_new(list, json_string(text));
}

static size_t count_nodes(const struct trust *t)
{
    struct node_id id;
    size_t cursor = 0, count = 0;
    while (trust_node_next(t, &cursor, &id, NULL))
        count++;
    return count;
}

static void link_problems(struct loop *loop, json_t *out)
{
    struct node_dial_info dial;
    const char *error = NULL;
    size_t tried = 0;
    if (control_links_up(loop))
        return;
    for (; node_dial_at(loop->node, tried, &dial); tried++)
        if (dial.error && *dial.error)
            error = dial.error;
    if (tried)
        add_problem(out, "no peer is connected; %zu addresses are tried%s%s",
                    tried, error ? ", the last error: " : "",
                    error ? error : "");
    else if (count_nodes(node_trust(loop->node)) > 1)
        add_problem(out, "no peer is connected and no address is known");
}

static void record_problems(struct loop *loop, json_t *out)
{
    const struct trust *t = node_trust(loop->node);
    if (!trust_fleet(t, NULL)) {
        add_problem(out, "the fleet record is not here yet");
        return;
    }
    for (size_t i = 0; i < trust_slot_count(t); i++) {
        const struct slot_entry *entry = trust_slot_at(t, i);
        if (entry->has_proof && !trust_slot_acts(entry))
            add_problem(out,
                        "two different %s records \"%.*s\" were signed: sign "
                        "a newer one",
                        record_kind_text(entry->kind), (int)entry->name.size,
                        (const char *)entry->name.data);
        else if (!entry->understood)
            add_problem(out, "a %s record \"%.*s\" needs a newer deltamesh",
                        record_kind_text(entry->kind), (int)entry->name.size,
                        (const char *)entry->name.data);
    }
}

json_t *control_problems(struct loop *loop)
{
    json_t *out = json_array();
    struct node_version_info info;
    if (!loop->node) {
        add_problem(out, "not joined: run deltamesh join");
        return out;
    }
    if (loop->space_problem[0])
        add_problem(out, "%s", loop->space_problem);
    record_problems(loop, out);
    link_problems(loop, out);
    for (size_t i = 0; node_version_at(loop->node, i, &info); i++) {
        char hex[HASH_HEX_SIZE];
        hash_hex(&info.id, hex);
        if (info.why && *info.why)
            add_problem(out, "%s %.12s: %s", info.model, hex, info.why);
    }
    return out;
}

static json_t *listen_json(struct loop *loop)
{
    json_t *out = json_array();
    char text[NODE_ADDR_MAX + 1];
    for (size_t i = 0; net_address(loop->net, i, text); i++)
        json_array_append_new(out, json_string(text));
    return out;
}

static uint64_t used_bytes(struct loop *loop)
{
    struct store_txn txn;
    uint64_t used = 0;
    if (store_txn_begin(&txn, loop->env, STORE_TXN_READ, NULL))
        return 0;
    if (store_usage_total(&txn, &used))
        used = 0;
    store_txn_abort(&txn);
    return used;
}

static json_t *fleet_name(struct loop *loop)
{
    const struct body_fleet *fleet =
        loop->node ? trust_fleet(node_trust(loop->node), NULL) : NULL;
    return fleet ? control_text_json(fleet->name) : json_string("");
}

void control_status(struct call *call)
{
    struct loop *loop = call->loop;
    struct node_id id = crypto_sign_key_id(&loop->identity.key);
    json_t *problems = control_problems(loop);
    bool healthy = !json_array_size(problems);
    json_t *reply = json_pack(
        "{s:s, s:o, s:b, s:o, s:o, s:b, s:o, s:o, s:i, s:o, s:o}", "software",
        LOOP_SOFTWARE, "node", control_id_json(id.b), "joined",
        loop->node != NULL, "fleet",
        optional_id(loop->node != NULL, loop->fleet.fleet.b), "fleet_name",
        fleet_name(loop), "healthy", healthy, "problems", problems, "listen",
        listen_json(loop), "links_up", (int)control_links_up(loop), "versions",
        versions_json(loop, NULL), "dials", control_dials(loop));
    json_t *rest =
        json_pack("{s:s, s:s, s:I, s:I, s:f, s:I}", "state_dir",
                  loop->config.state_dir, "models_dir", loop->models_dir,
                  "used_bytes", (json_int_t)used_bytes(loop), "quota_bytes",
                  (json_int_t)store_env_quota(loop->env), "uptime_s",
                  seconds_since(loop->started_ns), "pid", (json_int_t)getpid());
    json_object_update(reply, rest);
    json_decref(rest);
    call_reply(call, reply);
}

/* ---- Fleet. ---- */

static const char *role_kind(uint64_t kind)
{
    switch (kind) {
    case BODY_ROLE_ROOT:
        return "root";
    case BODY_ROLE_PUBLISHER:
        return "publisher";
    case BODY_ROLE_OPERATOR:
        return "operator";
    case BODY_ROLE_ENROLLER:
        return "enroller";
    case BODY_ROLE_AGGREGATOR:
        return "aggregator";
    default:
        return "unknown";
    }
}

static json_t *roles_json(const struct body_fleet *fleet)
{
    json_t *out = json_array();
    for (size_t i = 0; fleet && i < fleet->role_count; i++) {
        const struct body_role *role = &fleet->roles[i];
        json_array_append_new(
            out, json_pack("{s:o, s:s, s:o, s:o, s:I, s:I}", "name",
                           control_text_json(role->name), "kind",
                           role_kind(role->kind), "pattern",
                           control_text_json(role->pattern), "keys",
                           id_list(role->keys), "threshold",
                           (json_int_t)role->threshold, "epoch",
                           (json_int_t)role->epoch));
    }
    return out;
}

static const char *body_state_name(uint64_t state)
{
    static const char *const names[] = {"running", "known", "fetching",
                                        "staged",  "trial", "reverted",
                                        "failed"};
    return state < sizeof(names) / sizeof(*names) ? names[state] : "unknown";
}

/* What any channel lets this node run of a model. */
static bool target_of(const struct trust *t, struct bytes model,
                      const struct node_id *node,
                      const struct body_labels *labels, struct hash *out)
{
    struct bytes names[CHANNELS_MAX];
    size_t count = channel_names(t, names);
    for (size_t i = 0; i < count; i++)
        if (!trust_target(t, names[i], model, node, labels, out, NULL))
            return true;
    return false;
}

struct node_models {
    json_t *list;
    const struct trust *t;
    const struct node_id *node;
    const struct body_labels *labels;
};

static void add_model(struct node_models *nm, struct bytes model,
                      const struct hash *running, const char *state,
                      struct bytes why)
{
    struct hash target;
    bool has = target_of(nm->t, model, nm->node, nm->labels, &target);
    bool behind = has && (!running || !hash_equal(&target, running));
    json_array_append_new(
        nm->list,
        json_pack("{s:o, s:o, s:s, s:o, s:o, s:b}", "model",
                  control_text_json(model), "running",
                  running ? control_hash_json(running) : json_string(""),
                  "state", state, "why", control_text_json(why), "target",
                  has ? control_hash_json(&target) : json_string(""), "behind",
                  behind));
}

/* Models a channel names for the node that its status does not speak of. */
static void add_silent_models(struct node_models *nm,
                              const struct body_status *status)
{
    struct bytes names[CHANNELS_MAX], model;
    size_t count = channel_names(nm->t, names);
    for (size_t c = 0; c < count; c++) {
        for (size_t i = 0; trust_channel_model(nm->t, names[c], i, &model);
             i++) {
            bool told = false;
            for (size_t k = 0; status && k < status->model_count; k++)
                told = told || bytes_equal(status->models[k].model, model);
            if (!told)
                add_model(nm, model, NULL, "unknown", bytes_of(NULL, 0));
        }
    }
}

/* This node says it directly: its own status record may lag behind. */
static void add_own_models(struct loop *loop, struct node_models *nm,
                           struct body_status *said)
{
    struct node_version_info info;
    said->model_count = 0;
    for (size_t i = 0; node_version_at(loop->node, i, &info); i++) {
        if (!info.running || said->model_count == LIMIT_STATUS_MODELS)
            continue;
        struct bytes model = bytes_of_text(info.model);
        add_model(nm, model, &info.id, "running", bytes_of(NULL, 0));
        said->models[said->model_count++].model = model;
    }
}

static json_t *node_json(struct loop *loop, const struct node_id *id,
                         const struct body_cert *cert)
{
    const struct trust *t = node_trust(loop->node);
    struct body_status *status = calloc(1, sizeof(*status));
    struct node_link_info link;
    bool self = !memcmp(id->b, node_id(loop->node), NODE_ID_BYTES);
    bool linked = false;
    if (!status)
        return NULL;
    bool told = !trust_status_get(t, id, status);
    struct node_models nm = {json_array(), t, id, &cert->labels};
    json_t *labels = json_array();
    for (size_t i = 0; i < cert->labels.count; i++) {
        char text[160];
        const struct body_label *label = &cert->labels.labels[i];
        snprintf(text, sizeof(text), "%.*s=%.*s", (int)label->key.size,
                 (const char *)label->key.data, (int)label->value.size,
                 (const char *)label->value.data);
        json_array_append_new(labels, json_string(text));
    }
    json_t *software = self   ? json_string(LOOP_SOFTWARE)
                       : told ? control_text_json(status->software)
                              : json_string("");
    if (self)
        add_own_models(loop, &nm, status);
    for (size_t i = 0; !self && told && i < status->model_count; i++) {
        const struct body_status_model *m = &status->models[i];
        add_model(&nm, m->model, m->has_running ? &m->running : NULL,
                  body_state_name(m->state), m->why);
    }
    add_silent_models(&nm, self || told ? status : NULL);
    for (size_t i = 0; node_link_at(loop->node, i, &link); i++)
        linked = linked || (link.up && !memcmp(link.peer, id->b, 32));
    free(status);
    return json_pack("{s:o, s:o, s:o, s:b, s:b, s:b, s:f, s:o}", "id",
                     control_id_json(id->b), "labels", labels, "software",
                     software, "self", self, "linked", linked, "revoked",
                     cert->revoked, "age_s",
                     self   ? 0.0
                     : told ? 0.0
                            : -1.0,
                     "models", nm.list);
}

void control_fleet(struct call *call)
{
    struct loop *loop = call->loop;
    if (!call_joined(call))
        return;
    const struct trust *t = node_trust(loop->node);
    uint64_t number = 0;
    const struct body_fleet *fleet = trust_fleet(t, &number);
    struct body_cert *cert = malloc(sizeof(*cert));
    struct node_id id;
    size_t cursor = 0;
    json_t *nodes = json_array();
    while (cert && trust_node_next(t, &cursor, &id, cert)) {
        json_t *node = node_json(loop, &id, cert);
        if (node)
            json_array_append_new(nodes, node);
    }
    free(cert);
    call_reply(call, json_pack("{s:o, s:o, s:I, s:s, s:o, s:o}", "fleet",
                               control_id_json(loop->fleet.fleet.b), "name",
                               fleet_name(loop), "record", (json_int_t)number,
                               "enroll",
                               fleet && fleet->enroll == BODY_ENROLL_PSK
                                   ? "psk"
                                   : "certificates",
                               "roles", roles_json(fleet), "nodes", nodes));
}
