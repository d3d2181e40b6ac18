/* Prepare, Commit, PrepareRelease, PrepareRecord, Submit, Record: everything
 * that ends in a record a client signs. */
#include "daemon/control.h"

#include "protocol/name.h"
#include "protocol/trust.h"

#include <stdlib.h>
#include <unistd.h>

#define RELEASE_ROLE_KIND BODY_ROLE_OPERATOR

/* ---- Base64 and keys. ---- */

static json_t *base64_json(struct bytes in)
{
    char *text = crypto_base64(in);
    json_t *json = text ? json_string(text) : json_null();
    free(text);
    return json;
}

static uint8_t *call_bytes(struct call *call, const char *name, size_t *size)
{
    uint8_t *bytes = NULL;
    const char *text = call_text(call, name);
    if (!text)
        return NULL;
    if (!crypto_from_base64(text, &bytes, size))
        return bytes;
    call_error(call, "Usage", name, NULL, "%s is no base64", name);
    return NULL;
}

/* The role of this kind that one of the client's keys may sign for and whose
 * pattern has the model. NULL with an error sent. */
static const struct body_role *find_role(struct call *call, uint64_t kind,
                                         const char *model)
{
    const struct body_fleet *fleet =
        trust_fleet(node_trust(call->loop->node), NULL);
    json_t *keys = json_object_get(call->params, "keys"), *one;
    size_t i;
    bool any_role = false;
    for (size_t r = 0; fleet && r < fleet->role_count; r++) {
        const struct body_role *role = &fleet->roles[r];
        if (role->kind != kind ||
            !name_pattern_matches(role->pattern, bytes_of_text(model)))
            continue;
        any_role = true;
        json_array_foreach(keys, i, one)
        {
            struct node_id key;
            if (json_is_string(one) &&
                node_id_from_hex(json_string_value(one), &key) &&
                trust_role_has_key(role, &key))
                return role;
        }
    }
    call_error(call, "Refused", model, "--key FILE names a key of the role",
               !any_role ? "no %s role of the fleet has %s"
                         : "none of the keys given is a key of a %s of %s",
               kind == BODY_ROLE_PUBLISHER ? "publisher" : "operator", model);
    return NULL;
}

/* The payload of the next record of a slot. */
static enum status build_payload(struct loop *loop,
                                 const struct slot_author *author,
                                 uint64_t kind, struct bytes name,
                                 struct bytes body, uint64_t *epoch,
                                 uint64_t *seq, struct writer *out)
{
    struct hash heals_buf[2];
    struct bytes heals;
    struct record_fields fields = {
        .has_fleet = true,
        .fleet = loop->fleet.fleet,
        .author = *author,
        .kind = kind,
        .name = name,
        .body = body,
    };
    enum status status = trust_next_seq(node_trust(loop->node), author, kind,
                                        name, epoch, seq, heals_buf, &heals);
    if (status)
        return status;
    fields.epoch = *epoch;
    fields.seq = *seq;
    return record_build_payload(&fields, out);
}

/* ---- Prepare. ---- */

static void prepare_run(struct job *job)
{
    publish_run((struct publish *)job);
}

struct prepare {
    struct call *call;
    struct publish *publish;
};

static const char *stage_name(int stage)
{
    return stage == PUBLISH_HASHING ? "hashing"
           : stage == PUBLISH_FULL  ? "coding"
                                    : "coding against what nodes run";
}

static void prepare_progress(struct call *call)
{
    const struct prepare *prepare = call->state;
    struct publish *p = prepare->publish;
    call_continue(call,
                  json_pack("{s:s, s:I, s:I}", "stage",
                            stage_name(atomic_load(&p->stage)), "done",
                            (json_int_t)atomic_load(&p->mark.done), "total",
                            (json_int_t)atomic_load(&p->mark.total)));
}

/* The client is gone or answered: the job, if it runs, need not go on. */
static void prepare_end(struct call *call)
{
    struct prepare *prepare = call->state;
    if (prepare->publish)
        atomic_store(&prepare->publish->job.cancelled, true);
}

static enum status version_payload(struct loop *loop, const struct publish *p,
                                   struct writer *out)
{
    uint8_t buf[LIMIT_RECORD_BYTES];
    char name_buf[NAME_VERSION_SIZE];
    struct writer wr;
    uint64_t epoch, seq;
    struct body_version *body = calloc(1, sizeof(*body));
    struct hash heals_buf[2];
    if (!body)
        return STATUS_NO_MEMORY;
    struct bytes role = bytes_of_text(p->role);
    struct bytes model = bytes_of_text(p->model);
    struct bytes name = name_join_version(model, p->n, name_buf);
    struct slot_author author = slot_author_role(role);
    body->id = p->version;
    body->tree = p->tree;
    body->size = p->size;
    body->manifest_size = p->manifest_size;
    body->parents = bytes_of(p->parents, p->parent_count * HASH_BYTES);
    body->floor = trust_floor(node_trust(loop->node), role, model);
    if (!body->floor)
        body->floor = 1;
    if (p->n - body->floor >= LIMIT_FLOOR_WINDOW)
        body->floor = p->n - LIMIT_FLOOR_WINDOW + 1;
    enum status status =
        trust_next_seq(node_trust(loop->node), &author, RECORD_VERSION, name,
                       &epoch, &seq, heals_buf, &body->common.heals);
    for (size_t i = 0; i < p->tick_count && !status; i++)
        status = vector_model_set(
            &body->vector, bytes_of_text(p->ticks_role[i]), p->ticks_n[i]);
    if (!status)
        status = vector_model_set(&body->vector, role, p->n);
    writer_init(&wr, buf, sizeof(buf));
    if (!status)
        status = body_version_encode(body, &wr);
    if (!status)
        status = build_payload(loop, &author, RECORD_VERSION, name,
                               writer_view(&wr), &epoch, &seq, out);
    free(body);
    return status;
}

static json_t *updates_json(const struct publish *p)
{
    json_t *out = json_array();
    for (size_t i = 0; i < p->update_count; i++) {
        const struct made_update *u = &p->updates[i];
        json_array_append_new(
            out,
            json_pack("{s:o, s:o, s:I, s:I, s:I}", "id",
                      control_hash_json(&u->id), "base",
                      u->has_base ? control_hash_json(&u->base) : json_null(),
                      "bytes", (json_int_t)u->bytes, "segments_held",
                      (json_int_t)u->segment_count, "segments_total",
                      (json_int_t)u->segment_count));
    }
    return out;
}

static json_t *warnings_json(const struct publish *p)
{
    json_t *out = json_array();
    if (p->warning[0])
        json_array_append_new(out, json_string(p->warning));
    return out;
}

static void prepare_unchanged(struct call *call, const struct publish *p)
{
    struct loop *loop = call->loop;
    struct trust_version *v = malloc(sizeof(*v));
    uint64_t n = 0;
    if (v && !trust_version_get(node_trust(loop->node), &p->version, v))
        n = v->n;
    free(v);
    call_reply(
        call, json_pack("{s:s, s:i, s:i, s:o, s:s, s:I, s:I, s:b, s:[], s:o}",
                        "stage", "ready", "done", 1, "total", 1, "version",
                        control_hash_json(&p->version), "role", p->role, "n",
                        (json_int_t)n, "size", (json_int_t)p->size, "unchanged",
                        1, "updates", "warnings", warnings_json(p)));
}

/* True when the publish is kept for Commit. */
static bool prepare_ready(struct call *call, struct publish *p)
{
    uint8_t buf[LIMIT_RECORD_BYTES];
    struct writer wr;
    char token[17];
    writer_init(&wr, buf, sizeof(buf));
    enum status status = version_payload(call->loop, p, &wr);
    if (status) {
        call_fail(call, status, NULL, p->model);
        return false;
    }
    control_keep_prepared(call, p, token);
    call_reply(
        call,
        json_pack("{s:s, s:i, s:i, s:s, s:o, s:s, s:I, s:I, s:o, s:b, "
                  "s:o, s:o}",
                  "stage", "ready", "done", 1, "total", 1, "token", token,
                  "version", control_hash_json(&p->version), "role", p->role,
                  "n", (json_int_t)p->n, "size", (json_int_t)p->size, "payload",
                  base64_json(writer_view(&wr)), "unchanged", 0, "updates",
                  updates_json(p), "warnings", warnings_json(p)));
    return true;
}

static void prepare_done(struct job *job)
{
    struct publish *p = (struct publish *)job;
    struct prepare *prepare = p->owner;
    struct call *call = prepare->call;
    bool kept = false;
    prepare->publish = NULL;
    fileset_free(p->files); /* descriptors are the client's again */
    fileset_free(p->premade);
    p->files = p->premade = NULL;
    if (call_alive(call)) {
        if (p->status)
            call_fail(call, p->status, &p->diag, p->model);
        else if (p->unchanged)
            prepare_unchanged(call, p);
        else
            kept = prepare_ready(call, p);
    }
    if (!kept)
        publish_free(p);
    free(prepare);
    loop_trim(call->loop);
    call_unref(call);
}

/* Paths and descriptors of the call. */
static enum status take_files(struct call *call, struct publish *p,
                              struct diag *diag)
{
    json_t *files = json_object_get(call->params, "files"), *file;
    int fds[LIMIT_MANIFEST_FILES];
    size_t count = json_array_size(files), i;
    if (!count || count > LIMIT_MANIFEST_FILES)
        return diag_fail(diag, STATUS_USAGE, "a version has 1 to %u files",
                         LIMIT_MANIFEST_FILES);
    for (i = 0; i < count; i++)
        fds[i] = -1;
    json_array_foreach(files, i, file)
    {
        const char *path = json_string_value(json_object_get(file, "path"));
        const json_t *fd = json_object_get(file, "fd");
        json_int_t index = json_is_integer(fd) ? json_integer_value(fd) : -1;
        if (!path || index < 0 || (size_t)index >= call->fds.count ||
            call->fds.fd[index] < 0)
            return diag_fail(diag, STATUS_USAGE,
                             "file %zu has no path, or no descriptor came for "
                             "it",
                             i);
        p->paths[i] = strdup(path);
        if (!p->paths[i])
            return STATUS_NO_MEMORY;
    }
    json_array_foreach(files, i, file)
    {
        json_int_t index = json_integer_value(json_object_get(file, "fd"));
        fds[i] = call->fds.fd[index];
        call->fds.fd[index] = -1;
        if (fds[i] < 0) { /* named twice */
            while (i--)
                close(fds[i]);
            return diag_fail(diag, STATUS_USAGE, "a descriptor is named twice");
        }
    }
    return fileset_of_fds(fds, count, &p->files, diag);
}

/* The update file the client made, if one came. */
static enum status take_premade(struct call *call, struct publish *p,
                                struct diag *diag)
{
    const json_t *fd = json_object_get(call->params, "update");
    if (!fd || json_is_null(fd))
        return STATUS_OK;
    json_int_t index = json_is_integer(fd) ? json_integer_value(fd) : -1;
    if (index < 0 || (size_t)index >= call->fds.count ||
        call->fds.fd[index] < 0)
        return diag_fail(diag, STATUS_USAGE,
                         "no descriptor came for the update");
    int taken = call->fds.fd[index];
    call->fds.fd[index] = -1;
    return fileset_of_fds(&taken, 1, &p->premade, diag);
}

static enum status take_meta(struct call *call, struct publish *p,
                             struct diag *diag)
{
    json_t *meta = json_object_get(call->params, "meta"), *value;
    const char *key;
    json_object_foreach(meta, key, value)
    {
        const char *text = json_string_value(value);
        if (!text || p->meta_count == PUBLISH_META_MAX)
            return diag_fail(diag, STATUS_USAGE,
                             "meta: at most %u texts, and \"%s\" is one more "
                             "or no text",
                             PUBLISH_META_MAX, key);
        p->meta_keys[p->meta_count] = strdup(key);
        p->meta_values[p->meta_count] = strdup(text);
        if (!p->meta_keys[p->meta_count] || !p->meta_values[p->meta_count]) {
            p->meta_count++;
            return STATUS_NO_MEMORY;
        }
        p->meta_count++;
    }
    return STATUS_OK;
}

/* Takes a parent's vector and tree into account. */
static enum status add_parent(struct loop *loop, struct publish *p,
                              struct vector_model *joined,
                              struct trust_version *v)
{
    if (p->parent_count == LIMIT_PARENTS)
        return STATUS_LIMIT;
    p->parents[p->parent_count++] = v->body.id;
    if (p->base_count < PUBLISH_BASES_MAX)
        p->bases[p->base_count++] = v->body.tree;
    (void)loop;
    return vector_model_join(joined, &v->body.vector);
}

static enum status keep_vector(struct publish *p,
                               const struct vector_model *joined)
{
    for (size_t i = 0; i < joined->count; i++) {
        struct bytes role = joined->ticks[i].role;
        if (bytes_equal(role, bytes_of_text(p->role)))
            continue; /* ticked by this version */
        if (role.size > STORE_NAME_MAX)
            return STATUS_LIMIT;
        memcpy(p->ticks_role[p->tick_count], role.data, role.size);
        p->ticks_n[p->tick_count++] = joined->ticks[i].n;
    }
    return STATUS_OK;
}

/* The head of the model: what is the same as it is no new version. */
static void note_latest(struct loop *loop, struct publish *p,
                        struct trust_version *v, struct diag *diag,
                        enum status *out)
{
    *out = trust_version_latest(node_trust(loop->node), bytes_of_text(p->model),
                                v, diag);
    if (*out)
        return;
    p->has_latest = true;
    p->latest_tree = v->body.tree;
    p->version = v->body.id; /* replaced when it is a new one */
}

/* True when everything was understood; else an error was sent. */
static bool take_parents(struct call *call, struct publish *p)
{
    struct loop *loop = call->loop;
    json_t *list = json_object_get(call->params, "parents"), *one;
    struct trust_version *v = malloc(sizeof(*v));
    struct vector_model *joined = calloc(1, sizeof(*joined));
    struct diag diag = {""};
    enum status status = v && joined ? STATUS_OK : STATUS_NO_MEMORY, latest;
    size_t i;
    bool sent = false;
    if (!status) {
        note_latest(loop, p, v, &diag, &latest);
        if (!json_array_size(list) && latest == STATUS_AMBIGUOUS) {
            call_error(call, "Ambiguous", p->model,
                       "name the parents: --parent V, once for each",
                       "%s has versions that do not follow each other: %s",
                       p->model, diag.text);
            sent = true;
        } else if (!json_array_size(list) && !latest) {
            status = add_parent(loop, p, joined, v);
        }
        diag_reset(&diag); /* of what was asked for there is more to say */
    }
    json_array_foreach(list, i, one)
    {
        struct hash id;
        const char *name = json_string_value(one);
        if (status || sent)
            break;
        if (!control_find_version(call, name ? name : "", &id)) {
            sent = true;
            break;
        }
        status = trust_version_get(node_trust(loop->node), &id, v);
        if (!status && !bytes_equal(v->model, bytes_of_text(p->model)))
            status = diag_fail(&diag, STATUS_USAGE,
                               "%s is a version of another model", name);
        if (!status)
            status = add_parent(loop, p, joined, v);
    }
    p->parent_count = body_list_sort(p->parents, p->parent_count);
    if (!status && !sent)
        status = keep_vector(p, joined);
    free(v);
    free(joined);
    if (status && !sent)
        call_fail(call, status, &diag, p->model);
    return !status && !sent;
}

/* Trees to make direct updates from: those of parents that are here, and what
 * channels name. */
static void take_bases(struct loop *loop, struct publish *p)
{
    struct hash more[PUBLISH_BASES_MAX];
    size_t count = loop_bases(loop, p->model, more, PUBLISH_BASES_MAX);
    for (size_t i = 0; i < count && p->base_count < PUBLISH_BASES_MAX; i++) {
        bool seen = false;
        for (size_t k = 0; k < p->base_count; k++)
            seen = seen || hash_equal(&p->bases[k], &more[i]);
        if (!seen)
            p->bases[p->base_count++] = more[i];
    }
}

/* Both could not lie in one models folder; the older name stays. */
static bool name_is_free(struct call *call, const char *model)
{
    struct trust_version *v = malloc(sizeof(*v));
    const struct bytes all = {NULL, 0};
    size_t cursor = 0;
    bool taken = !v;
    if (!v)
        call_fail(call, STATUS_NO_MEMORY, NULL, model);
    while (!taken &&
           trust_version_next(node_trust(call->loop->node), &cursor, all, v)) {
        taken = name_models_conflict(v->model, bytes_of_text(model));
        if (taken)
            call_error(call, "Refused", model, "choose another name",
                       "one name would be a folder of the other: there is a "
                       "model %.*s",
                       (int)v->model.size, (const char *)v->model.data);
    }
    free(v);
    return !taken;
}

static bool prepare_inputs(struct call *call, struct publish *p)
{
    struct diag diag = {""};
    const char *model = call_text(call, "model");
    const struct body_role *role;
    if (!model)
        return false;
    if (!name_is_model(bytes_of_text(model))) {
        call_error(call, "Usage", model, NULL, "\"%s\" is no model name",
                   model);
        return false;
    }
    if (!name_is_free(call, model) ||
        !(role = find_role(call, BODY_ROLE_PUBLISHER, model)))
        return false;
    snprintf(p->model, sizeof(p->model), "%s", model);
    memcpy(p->role, role->name.data, role->name.size);
    p->n = trust_next_counter(node_trust(call->loop->node), role->name,
                              bytes_of_text(model));
    if (!take_parents(call, p))
        return false;
    take_bases(call->loop, p);
    p->places = &call->loop->places;
    p->quota_bytes = store_env_quota(call->loop->env);
    p->uptime_s = loop_uptime_s(call->loop);
    enum status status = take_files(call, p, &diag);
    if (!status)
        status = take_premade(call, p, &diag);
    if (!status)
        status = take_meta(call, p, &diag);
    if (status)
        call_fail(call, status, &diag, model);
    return !status;
}

void control_prepare(struct call *call)
{
    if (!call_joined(call))
        return;
    struct publish *p = calloc(1, sizeof(*p));
    struct prepare *prepare = calloc(1, sizeof(*prepare));
    if (!p || !prepare) {
        free(p);
        free(prepare);
        call_fail(call, STATUS_NO_MEMORY, NULL, "");
        return;
    }
    if (!prepare_inputs(call, p)) {
        publish_free(p);
        free(prepare);
        return;
    }
    prepare->call = call;
    prepare->publish = p;
    p->owner = prepare;
    p->job.lanes = JOB_LANE_LONG;
    p->job.run = prepare_run;
    p->job.done = prepare_done;
    call_ref(call);
    call->state = prepare;
    call->end = prepare_end;
    if (call->more)
        call_progress(call, prepare_progress);
    job_submit(&call->loop->jobs, &p->job);
}

/* ---- Commit. ---- */

struct commit {
    struct call *call;
    struct publish *publish;
    uint8_t *envelope;
    size_t size;
};

static void commit_free(struct commit *commit)
{
    publish_free(commit->publish);
    free(commit->envelope);
    call_unref(commit->call);
    free(commit);
}

static void commit_stored(void *ctx, enum status status)
{
    struct commit *commit = ctx;
    struct call *call = commit->call;
    struct loop_item *item = status ? NULL : loop_item_new(INTAKE_COMMITTED);
    if (item) {
        item->item.version = commit->publish->version;
        loop_item_submit(call->loop, item);
    }
    if (call_alive(call)) {
        if (status)
            call_fail(call, status, NULL, commit->publish->model);
        else
            call_reply(call,
                       json_pack("{s:o}", "version",
                                 control_hash_json(&commit->publish->version)));
    }
    commit_free(commit);
}

/* The version lies in the store: the core takes it, then its record. */
static enum status commit_submit(struct loop *loop, struct commit *commit,
                                 op_id *op, struct diag *diag)
{
    const struct publish *p = commit->publish;
    enum status status = node_add_version(
        loop->node, &p->version, bytes_of(p->manifest, p->manifest_size));
    for (size_t i = 0; i < p->update_count && !status; i++)
        status =
            node_add_update(loop->node, bytes_of(p->updates[i].header,
                                                 p->updates[i].header_size));
    if (!status)
        status =
            node_submit(loop->node, bytes_of(commit->envelope, commit->size),
                        uv_hrtime(), op, diag);
    return status;
}

/* The record was refused: nothing of the version shall stay. */
static void commit_undo(struct loop *loop, const struct publish *p)
{
    struct loop_item *item = loop_item_new(INTAKE_DROP_VERSION);
    node_swept_version(loop->node, &p->version);
    for (size_t i = 0; i < p->update_count; i++)
        node_swept_update(loop->node, &p->updates[i].id);
    if (item) {
        item->item.version = p->version;
        loop_item_submit(loop, item);
    }
    loop->beat_due_gc_ns = uv_hrtime();
}

static void commit_added(struct loop *loop, struct loop_item *item)
{
    struct commit *commit = item->ctx;
    struct diag diag = {""};
    op_id op = 0;
    enum status status = item->item.status;
    if (!status)
        status = commit_submit(loop, commit, &op, &diag);
    else
        memcpy(&diag, &item->item.diag, sizeof(diag));
    if (status) {
        if (!item->item.status)
            commit_undo(loop, commit->publish);
        if (call_alive(commit->call))
            call_fail(commit->call, status, &diag, commit->publish->model);
        commit_free(commit);
    } else if (op) {
        loop_wait_op(loop, op, commit_stored, commit);
    } else {
        commit_stored(commit, STATUS_OK);
    }
    loop_drain(loop);
}

/* What was signed must be what was prepared. */
static enum status check_envelope(struct loop *loop, const struct commit *c,
                                  struct diag *diag)
{
    uint8_t buf[LIMIT_RECORD_BYTES];
    struct writer wr;
    struct record *rec = malloc(sizeof(*rec));
    if (!rec)
        return STATUS_NO_MEMORY;
    writer_init(&wr, buf, sizeof(buf));
    enum status status = version_payload(loop, c->publish, &wr);
    if (!status)
        status = record_parse(bytes_of(c->envelope, c->size), rec, diag);
    if (!status && !bytes_equal(rec->envelope.payload, writer_view(&wr)))
        status = diag_fail(diag, STATUS_REFUSED,
                           "another version was published meanwhile, or "
                           "something else was signed: publish again");
    free(rec);
    return status;
}

static void commit_start(struct call *call, struct commit *commit)
{
    const struct publish *p = commit->publish;
    struct loop_item *item = loop_item_new(INTAKE_ADD_VERSION);
    uint8_t *bytes = malloc(p->manifest_size);
    if (!item || !bytes) {
        free(item);
        free(bytes);
        call_fail(call, STATUS_NO_MEMORY, NULL, "");
        commit_free(commit);
        return;
    }
    memcpy(bytes, p->manifest, p->manifest_size);
    memcpy(item->item.role, p->role, sizeof(item->item.role));
    item->item.version = p->version;
    item->item.update = p->updates[0].id;
    item->item.counter = p->n;
    item->item.bytes = bytes;
    item->item.size = p->manifest_size;
    item->done = commit_added;
    item->ctx = commit;
    loop_item_submit(call->loop, item);
}

void control_commit(struct call *call)
{
    struct diag diag = {""};
    const char *token;
    size_t size = 0;
    uint8_t *envelope = NULL;
    if (!call_joined(call) || !(token = call_text(call, "token")) ||
        !(envelope = call_bytes(call, "envelope", &size)))
        return;
    struct publish *p = control_take_prepared(call, token);
    struct commit *commit = calloc(1, sizeof(*commit));
    if (!p || !commit) {
        free(envelope);
        free(commit);
        publish_free(p);
        call_error(call, "NotFound", token, "publish again",
                   "nothing is prepared under this token");
        return;
    }
    *commit = (struct commit){call, p, envelope, size};
    call_ref(call);
    enum status status = check_envelope(call->loop, commit, &diag);
    if (status) {
        call_fail(call, status, &diag, p->model);
        commit_free(commit);
        return;
    }
    commit_start(call, commit);
}

/* ---- Release. ---- */

/* The entries of the channel's record of this role, with the one of the model
 * set to the version. */
static enum status release_body(const struct trust *t, struct bytes role,
                                struct bytes channel, struct bytes model,
                                const struct hash *id, struct writer *out,
                                bool *unchanged)
{
    struct slot_author author = slot_author_role(role);
    struct slot_id slot = slot_id_of(&author, RECORD_CHANNEL, channel);
    const struct slot_entry *entry = trust_slot(t, &slot);
    struct body_channel *body = calloc(1, sizeof(*body));
    struct diag ignored = {""};
    enum status status = body ? STATUS_OK : STATUS_NO_MEMORY;
    size_t at = 0;
    if (!status && entry)
        status = body_channel_decode(entry->body, body, &ignored);
    if (!status && entry && !entry->understood)
        status = STATUS_UNSUPPORTED;
    while (!status && at < body->entry_count &&
           !(bytes_equal(body->entries[at].model, model) &&
             !body->entries[at].test_count))
        at++;
    if (!status && at == LIMIT_CHANNEL_ENTRIES)
        status = STATUS_LIMIT;
    if (!status) {
        struct body_entry *e = &body->entries[at];
        *unchanged = at < body->entry_count && e->has_version &&
                     hash_equal(&e->version, id) && trust_slot_acts(entry);
        if (at == body->entry_count) {
            memset(e, 0, sizeof(*e));
            body->entry_count++;
        }
        e->model = model;
        e->has_version = true;
        e->version = *id;
        e->track = bytes_of(NULL, 0);
        body->common.heals = bytes_of(NULL, 0);
        struct hash heals[2];
        uint64_t epoch, seq;
        status = trust_next_seq(t, &author, RECORD_CHANNEL, channel, &epoch,
                                &seq, heals, &body->common.heals);
        if (!status)
            status = body_channel_encode(body, out);
    }
    free(body);
    return status;
}

static void release_reply(struct call *call, const struct trust_version *v,
                          const struct body_role *role, struct bytes channel)
{
    uint8_t body_buf[LIMIT_RECORD_BYTES], buf[LIMIT_RECORD_BYTES];
    struct writer body, wr;
    struct loop *loop = call->loop;
    uint64_t epoch, seq;
    bool unchanged = false;
    struct slot_author author = slot_author_role(role->name);
    writer_init(&body, body_buf, sizeof(body_buf));
    writer_init(&wr, buf, sizeof(buf));
    enum status status =
        release_body(node_trust(loop->node), role->name, channel, v->model,
                     &v->body.id, &body, &unchanged);
    if (!status)
        status = build_payload(loop, &author, RECORD_CHANNEL, channel,
                               writer_view(&body), &epoch, &seq, &wr);
    if (status) {
        call_fail(call, status, NULL, "");
        return;
    }
    call_reply(
        call, json_pack("{s:o, s:o, s:o, s:o, s:b}", "version",
                        control_hash_json(&v->body.id), "model",
                        control_text_json(v->model), "role",
                        control_text_json(role->name), "payload",
                        unchanged ? json_null() : base64_json(writer_view(&wr)),
                        "unchanged", unchanged));
}

void control_prepare_release(struct call *call)
{
    const char *name, *channel;
    struct hash id;
    char model[STORE_NAME_MAX + 1] = "";
    const struct body_role *role;
    if (!call_joined(call) || !(name = call_text(call, "version")) ||
        !(channel = call_text(call, "channel")))
        return;
    if (!name_is_channel(bytes_of_text(channel))) {
        call_error(call, "Usage", channel, NULL, "\"%s\" is no channel name",
                   channel);
        return;
    }
    if (!control_find_version(call, name, &id))
        return;
    struct trust_version *v = malloc(sizeof(*v));
    enum status status =
        v ? trust_version_get(node_trust(call->loop->node), &id, v)
          : STATUS_NO_MEMORY;
    if (status)
        call_fail(call, status, NULL, name);
    else if (!v->startable)
        call_error(call, "Refused", name, NULL,
                   "the version is retired, or below its publisher's floor");
    else if (v->model.size <= STORE_NAME_MAX) {
        memcpy(model, v->model.data, v->model.size);
        role = find_role(call, RELEASE_ROLE_KIND, model);
        if (role)
            release_reply(call, v, role, bytes_of_text(channel));
    }
    free(v);
}

/* ---- Any record. ---- */

static bool parse_kind(const char *text, uint64_t *kind)
{
    static const uint64_t kinds[] = {RECORD_FLEET, RECORD_CERT, RECORD_VERSION,
                                     RECORD_CHANNEL, RECORD_STATUS};
    for (size_t i = 0; i < sizeof(kinds) / sizeof(*kinds); i++)
        if (!strcmp(record_kind_text(kinds[i]), text)) {
            *kind = kinds[i];
            return true;
        }
    return false;
}

/* kind, author and name of the call; an error is sent when one is wrong. */
static bool take_slot(struct call *call, uint64_t *kind,
                      struct slot_author *author, struct bytes *name)
{
    struct node_id id;
    const char *kind_text = call_text(call, "kind");
    const char *author_text = kind_text ? call_text(call, "author") : NULL;
    const char *name_text = author_text ? call_text(call, "name") : NULL;
    if (!name_text)
        return false;
    if (!parse_kind(kind_text, kind)) {
        call_error(call, "Usage", "kind", NULL, "\"%s\" is no kind of record",
                   kind_text);
        return false;
    }
    if (strlen(name_text) > LIMIT_NAME_BYTES) {
        call_error(call, "Usage", "name", NULL, "the name is too long");
        return false;
    }
    if (node_id_from_hex(author_text, &id))
        *author = slot_author_node(&id);
    else
        *author = slot_author_role(bytes_of_text(author_text));
    *name = bytes_of_text(name_text);
    return true;
}

void control_prepare_record(struct call *call)
{
    uint64_t kind, epoch, seq;
    struct slot_author author;
    struct bytes name;
    size_t size;
    uint8_t buf[LIMIT_RECORD_BYTES], *body;
    struct writer wr;
    if (!call_joined(call) || !take_slot(call, &kind, &author, &name) ||
        !(body = call_bytes(call, "body", &size)))
        return;
    writer_init(&wr, buf, sizeof(buf));
    enum status status = build_payload(call->loop, &author, kind, name,
                                       bytes_of(body, size), &epoch, &seq, &wr);
    free(body);
    if (status) {
        call_fail(call, status, NULL, "");
        return;
    }
    call_reply(call, json_pack("{s:o, s:I, s:I}", "payload",
                               base64_json(writer_view(&wr)), "epoch",
                               (json_int_t)epoch, "seq", (json_int_t)seq));
}

static json_t *submit_json(const struct record *rec, bool duplicate)
{
    char hex[2 * SLOT_ID_BYTES + 1];
    for (size_t i = 0; i < SLOT_ID_BYTES; i++)
        snprintf(hex + 2 * i, 3, "%02x", rec->slot.b[i]);
    return json_pack("{s:s, s:b}", "slot", hex, "duplicate", duplicate);
}

static void submit_stored(void *ctx, enum status status)
{
    struct call *call = ctx;
    json_t *reply = call->state;
    if (status) {
        call_fail(call, status, NULL, "");
        return;
    }
    call->state = NULL;
    call_reply(call, reply);
}

static void submit_end(struct call *call)
{
    json_decref(call->state);
    call->state = NULL;
}

void control_submit(struct call *call)
{
    struct diag diag = {""};
    size_t size;
    op_id op = 0;
    uint8_t *envelope;
    if (!call_joined(call) || !(envelope = call_bytes(call, "envelope", &size)))
        return;
    struct loop *loop = call->loop;
    struct record *rec = malloc(sizeof(*rec));
    enum status status =
        rec ? record_parse(bytes_of(envelope, size), rec, &diag)
            : STATUS_NO_MEMORY;
    json_t *reply = NULL;
    if (!status)
        status = node_submit(loop->node, bytes_of(envelope, size), uv_hrtime(),
                             &op, &diag);
    if (!status)
        reply = submit_json(rec, !op);
    free(rec);
    free(envelope);
    if (status) {
        call_fail(call, status, &diag, "");
    } else if (!op) {
        call_reply(call, reply);
    } else {
        call->state = reply;
        call->end = submit_end;
        loop_wait_op(loop, op, submit_stored, call);
    }
    loop_drain(loop);
}

void control_record(struct call *call)
{
    uint64_t kind;
    struct slot_author author;
    struct bytes name, envelopes[3];
    if (!call_joined(call) || !take_slot(call, &kind, &author, &name))
        return;
    struct slot_id id = slot_id_of(&author, kind, name);
    const struct slot_entry *entry =
        trust_slot(node_trust(call->loop->node), &id);
    if (!entry) {
        call_error(call, "NotFound", "", NULL, "no such record is known");
        return;
    }
    unsigned count = slot_entry_envelopes(entry, envelopes);
    call_reply(call, json_pack("{s:o}", "envelope",
                               base64_json(envelopes[count - 1])));
}
