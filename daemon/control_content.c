/* Export and Verify: whole contents, read or made by a job. */
#include "daemon/control.h"

#include "daemon/content.h"
#include "protocol/trust.h"
#include "store/fsck.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

/* ---- Export. ---- */

struct export
{
    struct job job;
    struct call *call;
    const struct places *places;
    struct hash version, tree;
    bool running; /* the job */
    bool called;  /* the call still holds it */
    /* out */
    struct content *content;
    enum status status;
    struct diag diag;
};

static void export_run(struct job *job)
{
    struct export *x = (struct export *)job;
    x->status = content_open(x->places, &x->tree, job, &x->content, &x->diag);
    if (!x->status && !x->content->has_manifest)
        x->status = STATUS_NOT_FOUND;
}

static void export_release(struct export *x)
{
    if (x->running || x->called)
        return;
    content_close(x->content);
    free(x);
}

static void export_end(struct call *call)
{
    struct export *x = call->state;
    x->called = false;
    atomic_store(&x->job.cancelled, true);
    export_release(x);
}

/* A descriptor for reading alone. */
static int reopen(int fd)
{
    char path[64];
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    int out = open(path, O_RDONLY | O_CLOEXEC);
    return out;
}

/* One descriptor a file, or one for all of a content that was made. */
static enum status take_fds(const struct content *content,
                            struct varlink_fds *fds)
{
    size_t count = content->files ? fileset_count(content->files) : 1;
    fds->count = 0;
    for (size_t i = 0; i < count; i++) {
        int fd = reopen(content->files ? fileset_fd(content->files, i)
                                       : content->scratch);
        if (fd < 0) {
            varlink_fds_close(fds);
            return STATUS_IO;
        }
        fds->fd[fds->count++] = fd;
    }
    return STATUS_OK;
}

static void export_reply(struct call *call, const struct export *x)
{
    const struct manifest *m = &x->content->manifest;
    struct varlink_fds fds;
    enum status status = take_fds(x->content, &fds);
    if (status) {
        call_fail(call, status, NULL, "");
        return;
    }
    json_t *files = json_array();
    for (size_t i = 0; i < m->file_count; i++)
        json_array_append_new(
            files,
            json_pack("{s:o, s:I, s:I, s:i}", "path",
                      control_text_json(m->files[i].path), "size",
                      (json_int_t)m->files[i].length, "offset",
                      (json_int_t)(x->content->files ? 0 : m->files[i].offset),
                      "fd", x->content->files ? (int)i : 0));
    call_reply_fds(call,
                   json_pack("{s:s, s:i, s:i, s:o, s:o, s:o}", "stage", "ready",
                             "done", 1, "total", 1, "version",
                             control_hash_json(&x->version), "model",
                             control_text_json(m->model), "files", files),
                   &fds);
}

static void export_done(struct job *job)
{
    struct export *x = (struct export *)job;
    struct call *call = x->call;
    x->running = false;
    if (call_alive(call)) {
        if (x->status)
            call_fail(call, x->status, &x->diag, "");
        else
            export_reply(call, x);
    } else {
        export_release(x);
    }
    loop_trim(call->loop);
    call_unref(call);
}

static void export_start(struct call *call, struct export *x)
{
    call->progress = NULL;
    x->running = true;
    x->job.lanes = JOB_LANE_LONG;
    x->job.run = export_run;
    x->job.done = export_done;
    call_ref(call);
    job_submit(&call->loop->jobs, &x->job);
}

/* Waits until the version is here. */
static void export_progress(struct call *call)
{
    struct export *x = call->state;
    struct node_version_info info;
    if (!node_version_get(call->loop->node, &x->version, &info)) {
        call_fail(call, STATUS_NOT_FOUND, NULL, "");
    } else if (info.state == NODE_VERSION_COMPLETE) {
        x->tree = info.tree;
        export_start(call, x);
    } else if (call->more) {
        call_continue(call, json_pack("{s:s, s:I, s:I}", "stage", "fetching",
                                      "done", (json_int_t)info.blocks_done,
                                      "total", (json_int_t)info.blocks_total));
    }
}

void control_export(struct call *call)
{
    struct hash id;
    struct node_version_info info;
    const char *name;
    if (!call_joined(call) || !(name = call_text(call, "version")) ||
        !control_find_version(call, name, &id))
        return;
    struct loop *loop = call->loop;
    bool here = node_version_get(loop->node, &id, &info) &&
                info.state == NODE_VERSION_COMPLETE;
    if (!here && !call->may_write) {
        call_error(call, "Refused", name,
                   "run it as root or as the user of the daemon",
                   "the version is not here, and members of the group may "
                   "only look: they cannot have it fetched");
        return;
    }
    enum status status =
        here ? STATUS_OK : node_want(loop->node, &id, uv_hrtime());
    struct export *x = status ? NULL : calloc(1, sizeof(*x));
    if (!x) {
        call_fail(call, status ? status : STATUS_NO_MEMORY, NULL, name);
        return;
    }
    x->call = call;
    x->called = true;
    x->places = &loop->places;
    x->version = id;
    call->state = x;
    call->end = export_end;
    if (here) {
        x->tree = info.tree;
        export_start(call, x);
    } else {
        call_progress(call, export_progress);
    }
    loop_drain(loop);
}

/* ---- Verify. ---- */

struct verify {
    struct job job;
    struct call *call;
    struct loop *loop;
    const struct places *places;
    struct hash *versions, *trees;
    size_t count;
    bool whole_store;
    uint64_t uptime_s;
    atomic_size_t at;
    /* out */
    json_t *bad;
    int healed;
    uint32_t bad_blocks; /* of the version being read */
    enum status status;
    struct diag diag;
};

static void note_line(void *ctx, const char *line)
{
    struct verify *v = ctx;
    json_t *text = json_string(line);
    if (text)
        json_array_append_new(v->bad, text);
}

static void note_block(void *ctx, uint32_t block)
{
    struct verify *v = ctx;
    (void)block;
    v->bad_blocks++;
}

/* Files in place that are damaged are made again from updates. */
static bool heal(struct verify *v, const struct hash *version)
{
    const struct activate_options options = {
        .job = &v->job, .uptime_s = v->uptime_s, .fresh = true};
    struct diag diag = {""};
    uint64_t n;
    return !activate_version(v->places, version, &options, &n, &diag);
}

static void verify_version(struct verify *v, size_t i)
{
    char line[400], hex[HASH_HEX_SIZE];
    struct content *content = NULL;
    struct diag diag = {""};
    bool healed = false;
    v->bad_blocks = 0;
    enum status status =
        content_open(v->places, &v->trees[i], &v->job, &content, &diag);
    bool in_place = !status && content->files;
    if (!status)
        status = content_check(content, &v->job, note_block, v);
    content_close(content);
    if (status == STATUS_CLOSED || status == STATUS_NO_MEMORY) {
        v->status = status;
        return;
    }
    if (!status)
        return;
    if (status == STATUS_MISMATCH && in_place)
        healed = heal(v, &v->versions[i]);
    v->healed += healed;
    hash_hex(&v->versions[i], hex);
    snprintf(line, sizeof(line), "version %.16s: %s%s%s", hex,
             v->bad_blocks  ? "damaged blocks in its files"
             : diag.text[0] ? diag.text
                            : status_text(status),
             healed ? "; made again from its updates" : "", "");
    note_line(v, line);
}

static enum status check_segment(void *ctx, struct bytes header, uint32_t index,
                                 struct bytes segment)
{
    struct verify *v = ctx;
    struct update_header h;
    uint8_t hash[UPDATE_SEGMENT_HASH_BYTES];
    if (job_stopped(&v->job))
        return STATUS_OK;
    enum status status = update_header_parse(header, &h, NULL);
    if (status)
        return status;
    if (index >= h.segment_count || h.segments[index].size != segment.size) {
        status = STATUS_CORRUPT;
    } else if (segment.size) {
        update_segment_hash(segment, hash);
        if (memcmp(hash, h.segments[index].hash, sizeof(hash)))
            status = STATUS_MISMATCH;
    }
    update_header_free(&h);
    return status;
}

static void verify_run(struct job *job)
{
    struct verify *v = (struct verify *)job;
    for (size_t i = 0; i < v->count && !v->status; i++) {
        atomic_store(&v->at, i);
        verify_version(v, i);
    }
    if (v->status || !v->whole_store)
        return;
    const struct store_fsck_options options = {.deep = true,
                                               .report = note_line,
                                               .check_segment = check_segment,
                                               .ctx = v};
    struct store_fsck_result result;
    v->status = store_fsck_run(v->places->env, &options, &result, &v->diag);
}

static void verify_progress(struct call *call)
{
    struct verify *v = call->state;
    call_continue(call, json_pack("{s:s, s:I, s:I}", "stage", "reading", "done",
                                  (json_int_t)atomic_load(&v->at), "total",
                                  (json_int_t)v->count));
}

static void verify_end(struct call *call)
{
    struct verify *v = call->state;
    atomic_store(&v->job.cancelled, true);
}

static void verify_done(struct job *job)
{
    struct verify *v = (struct verify *)job;
    struct call *call = v->call;
    if (call_alive(call)) {
        call->end = NULL;
        if (v->status)
            call_fail(call, v->status, &v->diag, "");
        else
            call_reply(call, json_pack("{s:s, s:I, s:I, s:O, s:i}", "stage",
                                       "ready", "done", (json_int_t)v->count,
                                       "total", (json_int_t)v->count, "bad",
                                       v->bad, "healed", v->healed));
    }
    json_decref(v->bad);
    free(v->versions);
    free(v->trees);
    free(v);
    loop_trim(call->loop);
    call_unref(call);
}

/* Complete versions: all of them, or the one named. */
static enum status take_versions(struct loop *loop, const struct hash *only,
                                 struct verify *v)
{
    struct node_version_info info;
    size_t count = 0;
    while (node_version_at(loop->node, count, &info))
        count++;
    v->versions = calloc(count + 1, sizeof(*v->versions));
    v->trees = calloc(count + 1, sizeof(*v->trees));
    if (!v->versions || !v->trees)
        return STATUS_NO_MEMORY;
    for (size_t i = 0; i < count; i++) {
        if (!node_version_at(loop->node, i, &info) ||
            info.state != NODE_VERSION_COMPLETE ||
            (only && !hash_equal(only, &info.id)))
            continue;
        v->versions[v->count] = info.id;
        v->trees[v->count++] = info.tree;
    }
    return only && !v->count ? STATUS_NOT_FOUND : STATUS_OK;
}

void control_verify(struct call *call)
{
    struct hash id;
    const char *name = NULL;
    if (!call_joined(call))
        return;
    if (call_has(call, "version") && (!(name = call_text(call, "version")) ||
                                      !control_find_version(call, name, &id)))
        return;
    struct verify *v = calloc(1, sizeof(*v));
    enum status status =
        v ? take_versions(call->loop, name ? &id : NULL, v) : STATUS_NO_MEMORY;
    if (status) {
        struct diag diag = {""};
        if (status == STATUS_NOT_FOUND)
            diag_fail(&diag, status, "the version is not held here");
        if (v) {
            free(v->versions);
            free(v->trees);
        }
        free(v);
        call_fail(call, status, &diag, name);
        return;
    }
    v->call = call;
    v->places = &call->loop->places;
    v->whole_store = !name;
    v->uptime_s = loop_uptime_s(call->loop);
    v->bad = json_array();
    v->job.lanes = JOB_LANE_LONG | JOB_LANE_PLACE;
    v->job.run = verify_run;
    v->job.done = verify_done;
    call_ref(call);
    call->state = v;
    call->end = verify_end;
    if (call->more)
        call_progress(call, verify_progress);
    job_submit(&call->loop->jobs, &v->job);
}
